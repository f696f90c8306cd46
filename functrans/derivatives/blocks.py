"""On which lines each element of a value moves: sets of blocks of lines, in NumPy, beside the program that moves.

    x            [n, 3], a block of three lines for each row      row i: {i}
    x[:, None] - x                                                 (i, j): {i, j},  {i} on the diagonal
    (x * x).sum()                                                  {0, 1 ... n - 1}: on every line

A value has as many sets as elements, but they differ along few axes. ``Blocks`` is an array ``[K, *axes]`` of int32:
the sets of at most K blocks, -1 where a set has fewer; an axis along which they do not differ has size 1. The rows of a
value, its coefficients along lines, are those of these K blocks, in this order, and zero where there is none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from functrans.errors import MissingRuleError
from functrans.ir.program import Equation, Jaxpr, Literal
from functrans.ir.types import ArrayType, kind_of
from functrans.jacobians.detection import computed
from functrans.trace.primitive import Primitive

Blocks = Any  # an array of int32
INDEX = np.dtype(np.int32)
_MOST = 1 << 22  # numbers that are looked at for one operation, or known of one array


class Placed(NamedTuple):
    """How an operation runs on blocks: ``given``: for each operand that moves, the blocks for which its rows are to be
    given; ``results``: those of each result, None: it does not move."""

    given: list[Blocks | None]
    results: list[Blocks | None]


def placed(
    eqn: Equation, moves: Sequence[Blocks | None], known: Sequence[Any], types: Sequence[ArrayType], limit: int
) -> Placed | None:
    """None where a result would move on more than ``limit`` blocks, or nothing better is known.

    ``moves``: the blocks of each operand, None of those that do not move; ``known``: the values of these, as NumPy
    arrays, where they are known; ``types``: of the results.
    """
    op, ins = eqn.op, [a.type for a in eqn.inputs]
    found = None
    if not op.multiple:
        found = _along_axes(op, moves, ins, types[0].ndim, limit, False)
    if found is None:
        found = _moved(op, moves, known, ins)
    if found is None and not op.multiple:
        found = _gathered(op, moves, known, ins, types[0], limit)
    if found is None and not op.multiple:
        found = _along_axes(op, moves, ins, types[0].ndim, limit, True)
    return found


def _along_axes(
    op: Primitive, moves: Sequence[Blocks | None], types: Sequence[ArrayType], rank: int, limit: int, mixing: bool
) -> Placed | None:
    """Where the axes along which the blocks of operands differ are axes of the result; ``mixing``: along the others
    every element gets the blocks of all."""
    places = [i for i, m in enumerate(moves) if m is not None]
    axes: dict[int, dict[int, int]] = {}
    union: Any = None
    for i in places:
        blocks: Any = moves[i]
        axes[i] = {}
        for a, n in enumerate(types[i].shape):
            place = op.apart([a if j == i else None for j in range(len(types))], types) if n > 1 else None
            if place is not None:
                axes[i][a] = place
        mixed = [a for a, n in enumerate(blocks.shape[1:]) if n > 1 and a not in axes[i]]
        if mixed:
            blocks = mixed_along(blocks, mixed, limit) if mixing else None
        if blocks is None:
            return None
        union = turned(blocks, axes[i], rank) if union is None else united(union, turned(blocks, axes[i], rank))
        if union.shape[0] > limit:
            return None
    differs = {r for r, n in enumerate(union.shape[1:]) if n > 1}
    given: list[Any] = [None] * len(moves)
    for i in places:
        if not differs <= set(axes[i].values()):
            return None
        given[i] = turned(union, {r: a for a, r in axes[i].items()}, types[i].ndim)
    return Placed(given, [union])


def _moved(
    op: Primitive, moves: Sequence[Blocks | None], known: Sequence[Any], types: Sequence[ArrayType]
) -> Placed | None:
    """Where elements only change places: so do their blocks."""
    places = op.moving(len(moves))
    if not places or any(m is not None and i not in places for i, m in enumerate(moves)):
        return None
    if any(known[i] is None for i in range(len(moves)) if i not in places):
        return None
    count = max(m.shape[0] for m in moves if m is not None)
    if count * sum(t.size for t in types) > _MOST:
        return None
    mover = op.over_numbers()
    rows = []
    for k in range(count):
        numbers = [
            known[i] if i not in places
            else np.zeros(t.shape, INDEX) if m is None or k >= m.shape[0]
            else np.broadcast_to(m[k] + INDEX.type(1), t.shape)
            for i, (m, t) in enumerate(zip(moves, types, strict=True))
        ]  # fmt: skip
        found = mover.impl(*numbers)
        rows.append(found if op.multiple else [found])
    results = [np.stack([np.asarray(row[r], INDEX) for row in rows]) - INDEX.type(1) for r in range(len(rows[0]))]
    given = [None if m is None else _widened(m, count) for m in moves]
    return Placed(given, [narrowed(r) if (r >= 0).any() else None for r in results])


def _gathered(
    op: Primitive, moves: Sequence[Blocks | None], known: Sequence[Any], types: Sequence[ArrayType], result: ArrayType,
    limit: int,
) -> Placed | None:  # fmt: skip
    """Where each element goes to one place, which gets the blocks of all that come to it."""
    if sum(len(m) * t.size for m, t in zip(moves, types, strict=True) if m is not None) > _MOST:
        return None
    goals = op.destinations(types, known)
    if goals is None or any(m is not None and g is None for m, g in zip(moves, goals, strict=True)):
        return None
    pairs = [np.zeros((2, 0), np.int64)]
    for m, goal in zip(moves, goals, strict=True):
        if m is not None:
            own = np.broadcast_to(m, (len(m), *goal.shape))
            pair = np.stack([np.broadcast_to(goal, own.shape).ravel(), own.ravel()])
            pairs.append(pair[:, (pair >= 0).all(0)])
    at, block = np.unique(np.concatenate(pairs, 1), axis=1)
    rank = np.arange(at.size) - np.searchsorted(at, at)
    count = int(rank.max(initial=-1)) + 1
    if not 0 < count <= limit:
        return None
    blocks = np.full((count, result.size), -1, INDEX)
    blocks[rank, at] = block
    given = [
        None if m is None else narrowed(np.where(goal >= 0, blocks[:, goal], -1))
        for m, goal in zip(moves, goals, strict=True)
    ]
    return Placed(given, [narrowed(blocks.reshape(count, *result.shape))])


def turned(blocks: Blocks, axes: Mapping[int, int], rank: int) -> Blocks:
    """The blocks of a value whose axis a is axis ``axes[a]`` of one of this rank; those left out do not differ."""
    order = sorted(axes, key=lambda a: axes[a])
    shape = [1] * rank
    for a in order:
        shape[axes[a]] = blocks.shape[a + 1]
    left = [a for a in range(blocks.ndim - 1) if a not in axes]
    return np.transpose(blocks, (0, *[a + 1 for a in order], *[a + 1 for a in left])).reshape(len(blocks), *shape)


def united(a: Blocks, b: Blocks) -> Blocks:
    """The unions of corresponding sets: those of a, then what b has besides."""
    if a is b or (a.shape == b.shape and np.array_equal(a, b)):
        return a
    found = (a[:, None] == b[None]).any(0)
    more = np.where(found, -1, np.broadcast_to(b, found.shape))
    used = (more >= 0).any(tuple(range(1, more.ndim)))
    if not used.any():
        return a
    more = more[used]
    shape = np.broadcast_shapes(a.shape[1:], more.shape[1:])
    both = np.concatenate([np.broadcast_to(x, (len(x), *shape)) for x in (a, more)])
    return narrowed(pushed_down(both)).astype(INDEX)


def mixed_along(blocks: Blocks, axes: Sequence[int], limit: int) -> Blocks | None:
    """The unions of the sets along these axes; None where one has more than so many blocks."""
    rest = [a for a in range(blocks.ndim - 1) if a not in axes]
    shape = [1 if a in axes else n for a, n in enumerate(blocks.shape[1:])]
    flat = np.transpose(blocks, (0, *[a + 1 for a in axes], *[a + 1 for a in rest]))
    flat = flat.reshape(-1, int(np.prod([blocks.shape[a + 1] for a in rest])))
    order = np.argsort(flat, axis=0, kind="stable")
    ordered = np.take_along_axis(flat, order, 0)
    again = np.zeros(ordered.shape, bool)
    again[1:] = ordered[1:] == ordered[:-1]
    if ((ordered >= 0) & ~again).sum(0).max(initial=0) > limit:
        return None
    np.put_along_axis(flat := flat.copy(), order, np.where(again, -1, ordered), 0)
    return narrowed(pushed_down(flat).reshape(-1, *shape))


def pushed_down(blocks: Blocks) -> Blocks:
    """Without rows that no element needs: where there are more than the largest set has, holes are filled."""
    count = int((blocks >= 0).sum(0).max(initial=0))
    if count == len(blocks):
        return blocks
    order = np.argsort(blocks < 0, axis=0, kind="stable")[:count]
    return np.take_along_axis(blocks, order, 0)


def narrowed(blocks: Blocks) -> Blocks:
    """With size 1 for the axes along which the sets do not differ."""
    for a in range(1, blocks.ndim):
        first = blocks.take([0], axis=a) if blocks.shape[a] > 1 else None
        if first is not None and (blocks == first).all():
            blocks = first
    return blocks


def _widened(blocks: Blocks, count: int) -> Blocks:
    missing = count - blocks.shape[0]
    return np.concatenate([blocks, np.full((missing, *blocks.shape[1:]), -1, INDEX)]) if missing else blocks


class Step(NamedTuple):
    """Rows ``first`` to ``last`` stand ``offset`` rows later, where ``mask`` (``[rows or 1, *axes]``) is true; None:
    everywhere."""

    first: int
    last: int
    offset: int
    mask: Any


def steps(blocks: Blocks, wanted: Blocks) -> list[Step]:
    """How rows of these blocks become rows of the wanted ones."""
    if blocks is wanted or (blocks.shape == wanted.shape and np.array_equal(blocks, wanted)):
        return [Step(0, len(blocks), 0, None)]
    found = []
    for offset in range(1 - len(blocks), len(wanted)):
        first, last = max(0, -offset), min(len(blocks), len(wanted) - offset)
        own, other = blocks[first:last], wanted[first + offset : last + offset]
        mask = (own == other) & (own >= 0)
        used = np.flatnonzero(mask.any(tuple(range(1, mask.ndim))))
        if used.size:
            chosen = slice(used[0], used[-1] + 1)
            mask, own, other = mask[chosen], own[chosen], other[chosen]
            everywhere = (mask | ((own < 0) & (other < 0))).all()
            if not everywhere and (mask == mask[:1]).all():
                mask = mask[:1]
            mask = None if everywhere else narrowed(mask)
            found.append(Step(first + int(used[0]), first + int(used[-1]) + 1, offset, mask))
    return found


class Slices(NamedTuple):
    """A set of one block, ``first + i * step`` for element i along ``axis``, where ``mask`` (``[*axes]``; None:
    everywhere) is true, and empty elsewhere."""

    axis: int
    first: int
    step: int
    mask: Any


def slices(blocks: Blocks) -> Slices | None:
    """The one row of these blocks as slices along an axis; None where it is something else."""
    (row,) = blocks
    for axis, n in enumerate(row.shape):
        numbers = row.max(tuple([a for a in range(row.ndim) if a != axis]))
        step = int(numbers[1] - numbers[0]) if n > 1 else 0
        if step < 1 or numbers[0] < 0 or (np.diff(numbers) != step).any():
            continue
        apart = np.expand_dims(numbers, tuple([a for a in range(row.ndim) if a != axis]))
        if ((row == apart) | (row < 0)).all():
            return Slices(axis, int(numbers[0]), step, row >= 0 if (row < 0).any() else None)
    return None


# -- what is known ---------------------------------------------------------------------------------------------------


def is_known_kind(type_: ArrayType) -> bool:
    """Whether an array of this type may say where elements go."""
    return bool(type_.shape) and kind_of(type_.dtype) in "iub" and type_.size <= _MOST


def known_results(eqn: Equation, known: Mapping[Any, Any]) -> list[Any] | None:
    """The results as NumPy arrays, of integers and bools that are made of known ones; None: not known."""
    op = eqn.op
    if op.effects or not op.shared or op.axis_names():
        return None
    if not all(kind_of(v.type.dtype) in "iub" and v.type.size <= _MOST for v in eqn.outputs):
        return None
    values = [known_value(a, known) for a in eqn.inputs]
    if any(v is None for v in values):
        return None
    if op.gives_place and (inside := op.in_place(eqn.inputs)) is not None:
        return _known_program(inside[0], [known_value(a, known) for a in inside[1]])
    try:
        return computed(op, values)
    except MissingRuleError:  # of a user's operation
        return None


def known_value(a: Any, known: Mapping[Any, Any]) -> Any:
    """An operand as a NumPy array; None: not known."""
    return np.asarray(a.value, a.type.dtype) if type(a) is Literal else known.get(a)


def _known_program(jaxpr: Jaxpr, values: Sequence[Any]) -> list[Any] | None:
    known = dict(zip(jaxpr.inputs, values, strict=True))
    for eqn in jaxpr.equations:
        found = known_results(eqn, known)
        if found is None:
            return None
        known.update(zip(eqn.outputs, found, strict=True))
    return [known_value(a, known) for a in jaxpr.outputs]
