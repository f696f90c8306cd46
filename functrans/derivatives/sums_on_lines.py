"""Sums and products of values that move on blocks of lines, without a row for every line of what is summed.

    p: rows of blocks i and j at (i, j)           sum of p over j: block i: the sum;  block j: the element, moved
    s = q @ k.T, q: row i: {i}, k: row j: {j}     s: (i, j): {i, j}
    s @ k, s on every line                        of the rows of k one stands in each line's: nothing is added
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from functrans.derivatives.blocks import (
    INDEX,
    Blocks,
    Placed,
    Slices,
    narrowed,
    placed,
    slices,
    turned,
    united,
)
from functrans.derivatives.spreads import (
    Lines,
    Spread,
    along,
    array_in_program,
    by_block,
    on_blocks,
    on_every_line,
)
from functrans.ir.program import Equation
from functrans.ir.types import ArrayType
from functrans.jacobians.basis import array_of
from functrans.ops.elementwise import add
from functrans.ops.logic import eq, select
from functrans.ops.products import DotGeneral
from functrans.ops.slicing import concatenate, pad, slice_in_dim
from functrans.ops.structural import (
    ReduceSum,
    as_declared,
    broadcast_in_dim,
    iota,
    reduce_sum,
    reshape,
    transpose,
)
from functrans.trace.binding import bind
from functrans.trace.primitive import Lanes


def is_sparse_product(operands: Sequence[Any]) -> bool:
    """Both factors move, on different blocks."""
    if not all(type(x) is Spread and x.rows[0] is not None for x in operands):
        return False
    blocks = [x.blocks for x in operands if x.blocks is not None]
    return len(blocks) == 1 or any(b.size != len(b) for b in blocks)


def sum_over(eqn: Equation, op: ReduceSum, x: Spread, lines: Lines) -> Spread | None:
    """A sum, which needs no row for every line of what is summed; None where there is nothing to gain."""
    kept_apart = placed(eqn, [x.blocks], [None], [eqn.outputs[0].type], lines.most_blocks)
    parts = None if kept_apart is not None else all_slices(x.blocks)
    if parts is None:
        return None
    count = lines.number // lines.in_block

    def summed(row: Any) -> Any:
        total: Any = None
        for k, part in enumerate(parts):
            own = slice_in_dim(by_block(row, lines), k, k + 1)
            if part.mask is not None:
                own = select(along(array_in_program(narrowed(part.mask[None])), own.shape), own, 0.0)
            own = reduce_sum(own, (0, *[a + 2 for a in op.axes if a != part.axis]))
            place = 1 + sum(a not in op.axes for a in range(part.axis))
            if part.axis in op.axes:  # each element has lines of its own
                own = transpose(own, (place, *[a for a in range(own.ndim) if a != place]))
                last = part.first + (own.shape[0] - 1) * part.step
                around = [(part.first, count - 1 - last, part.step - 1), *[(0, 0, 0)] * (own.ndim - 1)]
                own = pad(own, 0.0, around)
            else:
                shape = (count, *own.shape)
                numbers = part.first + part.step * np.arange(own.shape[place], dtype=INDEX)
                moves = eq(
                    broadcast_in_dim(iota(INDEX, count), shape, (0,)),
                    broadcast_in_dim(array_of(numbers), shape, (place + 1,)),
                )
                own = select(moves, broadcast_in_dim(own, shape, tuple(range(1, len(shape)))), 0.0)
            total = own if total is None else add(total, own)
        return reshape(total, (lines.number, *eqn.outputs[0].type.shape))

    value = bind(op, x.value)
    top = None if x.top is None else bind(op, x.top)
    return Spread(value, tuple([None if row is None else summed(row) for row in x.rows]), top)


def multiplied(eqn: Equation, op: DotGeneral, operands: Sequence[Spread], lines: Lines) -> Spread:
    """A product of two values that move, by the two products with one of them at rest: each has its own blocks.

    The second coefficients along lines are those of each factor times the other, and the products of the first ones on
    the same line, which are summed over the lines."""
    (result,) = [v.type for v in eqn.outputs]
    x, y = operands
    union = product_blocks(eqn, [f.blocks for f in operands], lines)
    both = [_moving_factor(eqn, op, operands, place, lines) for place in (0, 1)]
    both = [on_every_line(f, lines) if union is None else on_blocks(f, union, lines) for f in both]
    crossed = _crossed(eqn, op, x, y, lines)
    tops = [] if crossed is None else [crossed]
    tops += [] if x.top is None else [bind(op, x.top, y.value)]
    tops += [] if y.top is None else [bind(op, x.value, y.top)]
    top = as_declared(functools.reduce(add, tops), result) if tops else None
    row = add(both[0].rows[0], both[1].rows[0])
    return Spread(bind(op, x.value, y.value), (as_declared(row, result),), top, union)


def product_blocks(eqn: Equation, moves: Sequence[Blocks | None], lines: Lines) -> Blocks | None:
    """Those of a product of two values that move; None: every line."""
    found = [_factor_alone(eqn, moves, place, lines) for place in (0, 1)]
    if any(f is None for f in found):
        return None
    union = united(*[f.results[0] for f in found if f is not None])
    return union if len(union) <= lines.most_blocks else None


def _factor_alone(eqn: Equation, moves: Sequence[Blocks | None], place: int, lines: Lines) -> Placed | None:
    """How a product runs on the blocks of one of its factors; None: on every line."""
    if moves[place] is None:
        return None
    alone = [moves[i] if i == place else None for i in (0, 1)]
    return placed(eqn, alone, [None, None], [v.type for v in eqn.outputs], lines.most_blocks)


def _moving_factor(eqn: Equation, op: DotGeneral, operands: Sequence[Spread], place: int, lines: Lines) -> Spread:
    """The rows of a product by those of one of its factors."""
    x = operands[place]
    found = _factor_alone(eqn, [f.blocks for f in operands], place, lines)
    if found is None and x.blocks is not None:
        parts = slices_contracted(op, place, x.blocks)
        if parts is not None:
            return Spread(None, (_by_slices(op, place, x.rows[0], operands[1 - place].value, parts, lines),), None)
    x = on_every_line(x, lines) if found is None else on_blocks(x, found.given[place], lines)
    given = [x.rows[0] if i == place else f.value for i, f in enumerate(operands)]
    row, _ = op.batch(Lanes(given[place].shape[0]), given, [i == place for i in range(2)])
    return Spread(None, (row,), None, None if found is None else found.results[0])


def moved_by_slices(eqn: Equation, op: DotGeneral, operands: Sequence[Any], lines: Lines) -> Spread | None:
    """A product of which one factor moves, each of its elements along a contracted axis on lines of its own; None where
    it is something else."""
    (place,) = [i for i, x in enumerate(operands) if type(x) is Spread]
    x, other = operands[place], operands[1 - place]
    if _factor_alone(eqn, [x.blocks if i == place else None for i in (0, 1)], place, lines) is not None:
        return None
    parts = slices_contracted(op, place, x.blocks)
    if parts is None:
        return None
    rows = tuple([None if row is None else _by_slices(op, place, row, other, parts, lines) for row in x.rows])
    value, top = (
        None if v is None else bind(op, *[v if i == place else other for i in (0, 1)]) for v in (x.value, x.top)
    )
    return Spread(value, rows, top)


def slices_contracted(op: DotGeneral, place: int, blocks: Blocks) -> list[Slices] | None:
    """The blocks of a factor as slices along axes that the product contracts; None where they are something else."""
    parts = all_slices(blocks)
    contracting = (op.lhs_contracting, op.rhs_contracting)[place]
    return parts if parts is not None and all(part.axis in contracting for part in parts) else None


def _by_slices(op: DotGeneral, place: int, row: Any, other: Any, parts: list[Slices], lines: Lines) -> Any:
    """The row for every line of a product by a factor whose elements along a contracted axis have lines of their own:
    nothing is added along it."""
    count = lines.number // lines.in_block
    total: Any = None
    own = by_block(row, lines)
    axes = [list(a) for a in (op.lhs_contracting, op.rhs_contracting, op.lhs_batch, op.rhs_batch)]
    for k, part in enumerate(parts):
        row = slice_in_dim(own, k, k + 1)
        if part.mask is not None:
            row = select(along(array_in_program(narrowed(part.mask[None])), row.shape), row, 0.0)
        row = reshape(row, row.shape[1:])
        given = [row, other] if place == 0 else [other, row]
        at = axes[place].index(part.axis)
        contracting = [[a for i, a in enumerate(side) if i != at] for side in axes[:2]]
        batch = [[*axes[2 + side], axes[side][at]] for side in range(2)]
        contracting[place], batch[place] = [a + 1 for a in contracting[place]], [a + 1 for a in batch[place]]
        apart = op.with_axes((tuple(contracting[0]), tuple(contracting[1])), (tuple(batch[0]), tuple(batch[1])))
        out = bind(apart, *given)
        first = len(batch[0]) - 1  # the axis of slices, behind the batch
        in_block = len(batch[0])  # the lines of a block, in front of the factor's other axes
        if place == 1:
            in_block += other.ndim - len(axes[0]) - len(axes[2])
        out = transpose(out, (first, in_block, *[a for a in range(out.ndim) if a not in (first, in_block)]))
        last = part.first + (out.shape[0] - 1) * part.step
        out = pad(out, 0.0, [(part.first, count - 1 - last, part.step - 1), *[(0, 0, 0)] * (out.ndim - 1)])
        total = out if total is None else add(total, out)
    return reshape(total, (lines.number, *total.shape[2:]))


def _crossed(eqn: Equation, op: DotGeneral, x: Spread, y: Spread, lines: Lines) -> Any:
    """The sum over lines of the products of the first coefficients."""
    alone = [_factor_alone(eqn, [x.blocks, y.blocks], place, lines) for place in (0, 1)]
    blocks: list[Any] = [f.results[0] for f in alone if f is not None]
    if len(blocks) == 2 and [len(b) for b in blocks] == [len(f.blocks) for f in (x, y)]:  # none were mixed
        return _crossed_blocks(op, x, y, blocks[0], blocks[1], lines, eqn.outputs[0].type)
    for place, (moving, other) in enumerate(((x, y), (y, x))):
        if moving.blocks is None or other.blocks is not None:
            continue
        pairs = ((op.lhs_contracting, op.rhs_contracting), (op.lhs_batch, op.rhs_batch))
        partner = {p[place][i]: p[1 - place][i] for p in pairs for i in range(len(p[0]))}
        differ = {a for a, n in enumerate(moving.blocks.shape[1:]) if n > 1}
        if differ <= set(partner):  # the other one's lines that are those of its elements' blocks
            blocks = turned(moving.blocks, {a: partner[a] for a in partner}, other.value.ndim)
            taken = _at_blocks(other.rows[0], blocks, lines)
            rows = [moving.rows[0], taken] if place == 0 else [taken, moving.rows[0]]
            return _contracted(op, *rows)
    return _contracted(op, on_every_line(x, lines).rows[0], on_every_line(y, lines).rows[0])


def _contracted(op: DotGeneral, x: Any, y: Any) -> Any:
    """The product summed over axes 0, too."""
    def behind(axes: Sequence[int]) -> tuple[int, ...]:
        return tuple([a + 1 for a in axes])

    contracting = ((0, *behind(op.lhs_contracting)), (0, *behind(op.rhs_contracting)))
    return bind(op.with_axes(contracting, (behind(op.lhs_batch), behind(op.rhs_batch))), x, y)


def _crossed_blocks(
    op: DotGeneral, x: Spread, y: Spread, left: Blocks, right: Blocks, lines: Lines, result: ArrayType
) -> Any:
    total: Any = None
    xs, ys = by_block(x.rows[0], lines), by_block(y.rows[0], lines)
    for k, own in enumerate(left):
        for m, other in enumerate(right):
            mask = (own == other) & (own >= 0)
            if not mask.any():
                continue
            rows = [reshape(slice_in_dim(v, i, i + 1), v.shape[1:]) for v, i in ((xs, k), (ys, m))]
            part = _contracted(op, *rows)
            if not mask.all():
                allowed = array_in_program(narrowed(mask[None])[0])
                part = select(broadcast_in_dim(allowed, result.shape, tuple(range(mask.ndim))), part, 0.0)
            total = part if total is None else add(total, part)
    return total


def _at_blocks(row: Any, blocks: Blocks, lines: Lines) -> Any:
    """Of rows for every line, for each element those of its blocks: ``[blocks * lines of one, *axes]``."""
    own = by_block(row, lines)
    numbers = broadcast_in_dim(iota(INDEX, own.shape[0]), own.shape, (0,))
    parts = []
    for k in range(len(blocks)):
        wanted = along(array_of(blocks[k : k + 1]), own.shape)
        parts.append(reduce_sum(select(eq(numbers, wanted), own, 0.0), (0,)))
    return concatenate(parts, 0)


def all_slices(blocks: Blocks) -> list[Slices] | None:
    """Each row of the blocks as slices along an axis; None where they are something else."""
    found = [slices(blocks[k : k + 1]) for k in range(len(blocks))]
    return [f for f in found if f] if all(f is not None for f in found) else None


