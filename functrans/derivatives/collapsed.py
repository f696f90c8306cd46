"""Collapsed Taylor mode: one sum of the highest Taylor coefficients along many lines.

    collapse : (a -> b) -> (a, directions [n, a], weights [n]) -> (b, sum_i weights[i] * coefficient K along line i)

The highest coefficient of a result is linear in those of the operands, by one and the same linear map on every line:
y_K = J x_K + g(x_0, ..., x_{K-1}). So the sum over lines goes through the program as one value: J (sum x_K) + sum g.
Only the coefficients between the value and the highest one are carried line by line. With K = 2, the standard basis and
weights of 1 it is half of the Laplacian ("forward Laplacian").

Source: Dangel, Siebert, Zeinhofer and Walther, "Collapsing Taylor Mode Automatic Differentiation", 2025; Li et al., "A
Computational Framework for Neural Network-based Variational Monte Carlo with Forward Laplacian", 2024.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from functrans.derivatives.blocks import (
    INDEX,
    Blocks,
    Slices,
    known_results,
    known_value,
    narrowed,
    placed,
    slices,
    steps,
)
from functrans.ir.cache import Cache
from functrans.ir.program import Equation, Jaxpr, Literal, Var
from functrans.ir.types import ArrayType, is_differentiable
from functrans.jacobians.basis import array_of
from functrans.ops.constants import Constant
from functrans.ops.elementwise import MUL, add, mul
from functrans.ops.logic import eq, select
from functrans.ops.slicing import pad, slice_in_dim
from functrans.ops.structural import (
    BroadcastInDim,
    ReduceSum,
    broadcast_in_dim,
    convert,
    iota,
    reduce_sum,
    reshape,
    scalar_literal,
    spread,
    transpose,
)
from functrans.trace.binding import bind
from functrans.trace.primitive import Lanes, Primitive, Tangent, Value
from functrans.trace.replay import emit, entering, replay_here, replay_into
from functrans.trace.state import surroundings
from functrans.trace.tracer import Tracer, producer_of, tracer_for
from functrans.transform.effects import without_effects
from functrans.transform.jvp import jvp_jaxpr
from functrans.transform.taylor import taylor_jaxpr
from functrans.transform.vmap import vmap


class _Spread(NamedTuple):
    """A value on all lines: ``rows``: its coefficients from the first to the last but one, None or with an axis 0 of
    lines; ``top``: the sum of the highest ones, or None.

    ``blocks``: on which blocks of lines each element moves (derivatives.blocks): the rows are those of these, as many
    for each block as it has lines. None: every line has a row.
    """

    value: Any
    rows: tuple[Any, ...]
    top: Any
    blocks: Blocks | None = None


def _value(x: Any) -> Any:
    return x.value if type(x) is _Spread else x


class Lines(NamedTuple):
    """How many lines, which coefficient is summed, and its weights ``[number]`` (None: ones).

    ``in_block``: where an input is given on the lines of blocks, how many these have; line i is then one of block
    ``i // in_block``.
    """

    number: int
    order: int
    weights: Any
    in_block: int = 1

    @property
    def most_blocks(self) -> int:
        """More than these are no saving over a row for every line."""
        return min(self.number // self.in_block // 2, 32)


def collapse(
    jaxpr: Jaxpr,
    primals: Sequence[Value],
    directions: Sequence[Tangent],
    lines: Lines,
    blocks: Sequence[Blocks | None] = (),
    known: Mapping[Any, Any] = types.MappingProxyType({}),
) -> tuple[list[Any], list[Any]]:
    """The program's outputs, and for each the sum over lines of its highest coefficient (None: zero).

    ``directions``: for each input its first coefficients, with an axis 0 of lines, or None; there are no others.
    ``blocks``: for each input the blocks for whose lines they are given. ``known``: by variable, values of inputs that
    may say where elements go.
    """
    given = entering(jaxpr, primals)
    nothing = (None,) * max(lines.order - 2, 0)
    inputs = []
    for v, d, own in zip(jaxpr.inputs, directions, blocks or [None] * len(directions), strict=True):
        if d is None or not lines.number:
            inputs.append(given[v])
        elif lines.order > 1:
            inputs.append(_Spread(given[v], (d, *nothing), None, own))
        else:
            inputs.append(_Spread(given[v], (), lines_sum(d, lines)))
    outs = _through(jaxpr, inputs, lines, dict(known))
    return (
        [_value(x) for x in outs],
        [x.top if type(x) is _Spread else None for x in outs],
    )


EVERYWHERE: Blocks = np.zeros(0, np.int32)  # a row for every line


def rows_carried(jaxpr: Jaxpr, moves: Sequence[Blocks | None], lines: Lines, known: Mapping[Any, Any]) -> int:
    """About how many numbers rows have in all, and those that are made on the way to other blocks, when inputs (None:
    that do not move) are given on these blocks."""
    return _carried(jaxpr, moves, lines, dict(known))[1]


def _carried(
    jaxpr: Jaxpr, moves: Sequence[Blocks | None], lines: Lines, known: dict[Any, Any]
) -> tuple[list[Blocks | None], int]:
    found = {v: m for v, m in zip(jaxpr.inputs, moves, strict=True) if m is not None}
    total = 0
    for eqn in jaxpr.equations:
        given = [found.get(a) for a in eqn.inputs]
        if all(m is None for m in given):
            known.update(zip(eqn.outputs, known_results(eqn, known) or (), strict=False))
            continue
        if eqn.op.locally_constant:
            continue
        inside = eqn.op.in_place(eqn.inputs) if eqn.op.transparent else None
        if inside is not None:
            own = {v: known[a] for v, a in zip(inside[0].inputs, inside[1], strict=True) if a in known}
            results, more = _carried(inside[0], [found.get(a) for a in inside[1]], lines, own)
            total += more
        else:
            results, more = _one_carried(eqn, given, lines, known)
            total += more
        found.update((v, m) for v, m in zip(eqn.outputs, results, strict=True) if m is not None)
    return [found.get(a) for a in jaxpr.outputs], total


def _one_carried(
    eqn: Equation, given: Sequence[Blocks | None], lines: Lines, known: Mapping[Any, Any]
) -> tuple[list[Blocks | None], int]:
    types = [v.type for v in eqn.outputs]
    place = None
    if not any(m is EVERYWHERE for m in given):
        place = placed(eqn, given, [known_value(a, known) for a in eqn.inputs], types, lines.most_blocks)
    if place is None:
        total = lines.number * sum(t.size for t in types)
        for a, m in zip(eqn.inputs, given, strict=True):
            if m is not None and m is not EVERYWHERE:
                summed = type(eqn.op) is ReduceSum and _slices(m) is not None
                total += len(m) * a.type.size * (lines.in_block if summed else lines.number)
        return [EVERYWHERE if is_differentiable(t.dtype) else None for t in types], total
    total = 0
    for a, m, wanted in zip(eqn.inputs, given, place.given, strict=True):
        if m is not None:
            many = len(steps(m, wanted))
            total += (many - 1) * len(wanted) * lines.in_block * a.type.size if many > 1 else 0
    for r, t in zip(place.results, types, strict=True):
        total += 0 if r is None else len(r) * lines.in_block * t.size
    return list(place.results), total


def _through(jaxpr: Jaxpr, inputs: Sequence[Any], lines: Lines, known: dict[Any, Any]) -> list[Any]:
    def step(eqn: Equation, operands: list[Any]) -> Sequence[Any]:
        if not any(type(x) is _Spread for x in operands):
            known.update(zip(eqn.outputs, known_results(eqn, known) or (), strict=False))
            return emit(eqn, operands)
        inside = eqn.op.in_place(operands) if eqn.op.transparent else None
        if inside is not None:  # a call: its own lines through its own program
            places = eqn.op.in_place(eqn.inputs)
            assert places is not None
            own = {v: known[a] for v, a in zip(inside[0].inputs, places[1], strict=True) if a in known}
            return _through(inside[0], inside[1], lines, own)
        return _applied(eqn, operands, lines, known)

    values = replay_into(dict(zip(jaxpr.inputs, inputs, strict=True)), jaxpr.equations, step)
    return [values[a] if type(a) is Var else a for a in jaxpr.outputs]


def _numbers(array: Any) -> Any:
    """NumPy integers or bools in the program."""
    return bind(Constant(array.dtype, array.shape, np.ascontiguousarray(array).tobytes()))


def _by_block(row: Any, lines: Lines) -> Any:
    return reshape(row, (row.shape[0] // lines.in_block, lines.in_block, *row.shape[1:]))


def _along(array: Any, shape: Sequence[int]) -> Any:
    """What there is for each block or once, ``[blocks or 1, *axes]``, for each of its lines and elements."""
    return broadcast_in_dim(array, shape, (0, *range(2, len(shape))))


def _on_every_line(x: _Spread, lines: Lines) -> _Spread:
    """The value with a row for every line, zero on those that it does not move on."""
    if x.blocks is None:
        return x
    count, blocks = lines.number // lines.in_block, x.blocks

    def filled(row: Any) -> Any:
        own = _by_block(row, lines)
        shape = (count, *own.shape[1:])
        numbers = broadcast_in_dim(iota(INDEX, count), shape, (0,))
        wide: Any = None
        for k in range(len(blocks)):
            moves = eq(numbers, _along(array_of(blocks[k : k + 1]), shape))
            part = broadcast_in_dim(reshape(own[k : k + 1], shape[1:]), shape, tuple(range(1, len(shape))))
            wide = select(moves, part, 0.0 if wide is None else wide)
        return reshape(wide, (lines.number, *row.shape[1:]))

    return _Spread(x.value, tuple([None if row is None else filled(row) for row in x.rows]), x.top)


def _on_blocks(x: _Spread, wanted: Blocks, lines: Lines) -> _Spread:
    """The value with the rows of these blocks, among which are its own."""
    todo = steps(x.blocks, wanted)
    if todo == [(0, len(wanted), 0, None)]:
        return x._replace(blocks=wanted)

    def moved(row: Any) -> Any:
        own = _by_block(row, lines)
        total: Any = None
        for first, last, offset, mask in todo:
            part = slice_in_dim(own, first, last) if last - first < own.shape[0] else own
            if mask is not None:
                part = select(_along(_numbers(mask), part.shape), part, 0.0)
            around = [(first + offset, len(wanted) - last - offset, 0), *[(0, 0, 0)] * (part.ndim - 1)]
            part = pad(part, 0.0, around)
            total = part if total is None else add(total, part)
        return reshape(total, (total.shape[0] * lines.in_block, *row.shape[1:]))

    return _Spread(x.value, tuple([None if row is None else moved(row) for row in x.rows]), x.top, wanted)


_equations = Cache(4096)


def _one_equation(op: Primitive, operands: Sequence[Any]) -> Jaxpr:
    """The program of one operation; numbers that are the same on all lines stand in it."""
    kinds = tuple([x if type(x) is Literal else _value(x).type for x in operands])
    found = _equations.find((op, kinds))
    if found is None:
        atoms: list[Any] = [Var(i, k) if isinstance(k, ArrayType) else k for i, k in enumerate(kinds)]
        result = op.infer(*[k.type if type(k) is Literal else k for k in kinds])
        outs = [Var(len(kinds) + i, t) for i, t in enumerate(result if op.multiple else [result])]
        found = Jaxpr([a for a in atoms if type(a) is Var], [Equation(op, atoms, outs, None)], outs)
        found = found if op.passing else _equations.add((op, kinds), found)
    return found  # type: ignore[no-any-return]


def _applied(eqn: Equation, operands: Sequence[Any], lines: Lines, known: Mapping[Any, Any]) -> list[Any]:
    """The results of an operation on all lines."""
    op = eqn.op
    if type(op) is ReduceSum and operands[0].blocks is not None:
        return [_sum_applied(eqn, op, operands[0], lines, known)]
    return _by_rule(eqn, operands, lines, known)


def _sum_applied(eqn: Equation, op: ReduceSum, x: _Spread, lines: Lines, known: Mapping[Any, Any]) -> Any:
    """A sum, which needs no row for every line of what is summed."""
    kept_apart = placed(eqn, [x.blocks], [None], [eqn.outputs[0].type], lines.most_blocks)
    parts = None if kept_apart is not None else _slices(x.blocks)
    if parts is None:
        return _by_rule(eqn, [x], lines, known)[0]
    count = lines.number // lines.in_block

    def summed(row: Any) -> Any:
        total: Any = None
        for k, part in enumerate(parts):
            own = slice_in_dim(_by_block(row, lines), k, k + 1)
            if part.mask is not None:
                own = select(_along(_numbers(narrowed(part.mask[None])), own.shape), own, 0.0)
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
    return _Spread(value, tuple([None if row is None else summed(row) for row in x.rows]), top)


def _slices(blocks: Blocks) -> list[Slices] | None:
    """Each row of the blocks as slices along an axis; None where they are something else."""
    found = [slices(blocks[k : k + 1]) for k in range(len(blocks))]
    return [f for f in found if f] if all(f is not None for f in found) else None


def _by_rule(eqn: Equation, operands: Sequence[Any], lines: Lines, known: Mapping[Any, Any]) -> list[Any]:
    op = eqn.op
    place = None
    moves = [x.blocks if type(x) is _Spread else None for x in operands]
    if any(m is not None for m in moves):
        if not any(type(x) is _Spread and x.blocks is None for x in operands):
            values = [known_value(a, known) for a in eqn.inputs]
            place = placed(eqn, moves, values, [v.type for v in eqn.outputs], lines.most_blocks)
        operands = [
            x if type(x) is not _Spread
            else _on_every_line(x, lines) if place is None
            else _on_blocks(x, place.given[i], lines)
            for i, x in enumerate(operands)
        ]  # fmt: skip
    number = lines.number
    if place is not None:
        number = lines.in_block * max(len(m) for m in place.given if m is not None)
    jaxpr = _one_equation(op, operands)
    own = [x for x in operands if type(x) is not Literal]
    arrays = [_value(x) for x in own]
    below = [x.rows if type(x) is _Spread else (None,) * (lines.order - 1) for x in own]
    outs: list[Any] | None = None
    rows: list[tuple[Any, ...]]
    if any(c is not None for row in below for c in row):
        pattern = [(*[c is not None for c in row], False) for row in below]
        program, has = taylor_jaxpr(jaxpr, pattern)
        before = len(surroundings().producers)
        given = [c for row in below for c in row if c is not None]
        results, mapped = vmap(
            program, Lanes(number), [*arrays, *given], [*[False] * len(arrays), *[True] * len(given)]
        )
        n = len(jaxpr.outputs)
        outs = [_on_first_line(x) if m else x for x, m in zip(results[:n], mapped[:n], strict=True)]
        rest = iter(zip(results[n:], mapped[n:], strict=True))
        rows, tops = [], []
        for flags in has:
            own_row = [next(rest) if flag else None for flag in flags]
            *first, last = own_row
            tops.append(None if last is None else lines_sum(last[0], lines._replace(number=number), last[1], before))
            rows.append(tuple([None if c is None else c[0] if c[1] else spread(c[0], number) for c in first]))
    else:
        rows, tops = [(None,) * (lines.order - 1)] * len(jaxpr.outputs), [None] * len(jaxpr.outputs)
    highest = [x.top if type(x) is _Spread else None for x in own]
    if any(t is not None for t in highest):
        once = jaxpr if outs is None else without_effects(jaxpr)
        program, has_slope = jvp_jaxpr(once, [t is not None for t in highest])
        results = replay_here(program, [*arrays, *[t for t in highest if t is not None]])
        outs = results[: len(jaxpr.outputs)]
        slopes = iter(results[len(outs) :])
        moved = [next(slopes) if h else None for h in has_slope]
        tops = [a if b is None else b if a is None else add(a, b) for a, b in zip(tops, moved, strict=True)]
    elif outs is None:
        outs = replay_here(jaxpr, arrays)
    blocks = [None] * len(outs) if place is None else place.results
    if place is not None:
        rows = [(None,) * len(row) if b is None else row for row, b in zip(rows, blocks, strict=True)]
    return [
        x if t is None and all(c is None for c in row) else _Spread(x, row, t, b)
        for x, row, t, b in zip(outs, rows, tops, blocks, strict=True)
    ]


def _on_first_line(x: Any) -> Any:
    """A value that is the same on all lines, of an operation whose rule for lanes gives it to each of them."""
    return reshape(slice_in_dim(x, 0, 1), x.shape[1:])


def lines_sum(x: Any, lines: Lines, mapped: bool = True, since: int | None = None) -> Any:
    """The weighted sum over the lines of a value with an axis 0 of them, or of one that is the same on all.

    ``since``: how many variables there were before the operation whose result x is.
    """
    weights = None if lines.weights is None else convert(lines.weights, x.dtype)
    if not mapped:
        if weights is None:
            return mul(x, float(lines.number))
        return mul(x, broadcast_in_dim(reduce_sum(weights, (0,)), x.shape, ()))
    moving, common = ([x], []) if since is None else _factors(x, since)
    product = functools.reduce(mul, moving) if moving else spread(scalar_literal(1.0, x.dtype), lines.number)
    if weights is not None:  # not a product of matrices: one kernel, and x is not stored
        product = mul(product, broadcast_in_dim(weights, product.shape, (0,)))
    return functools.reduce(mul, common, reduce_sum(product, (0,)))


def _factors(x: Any, since: int) -> tuple[list[Any], list[Any]]:
    """Those of a product that differ from line to line, and those that do not, which need not be summed; as far as they
    were made since then."""
    producer = producer_of(x) if type(x) is Tracer and x.variable.id >= since else None
    if producer is not None and producer.op is MUL:
        moving, common = [], []
        for a in producer.inputs:
            if type(a) is Literal:
                common.append(a)
            else:
                more_moving, more_common = _factors(tracer_for(x, a), since)
                moving += more_moving
                common += more_common
        return moving, common
    if producer is not None and type(producer.op) is BroadcastInDim and 0 not in producer.op.dims:
        (a,) = producer.inputs
        if type(a) is not Literal and a.type.shape == x.shape[1:]:
            return [], [tracer_for(x, a)]
    return [x], []
