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
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from functrans.ir.cache import Cache
from functrans.ir.program import Equation, Jaxpr, Literal, Var
from functrans.ir.types import ArrayType
from functrans.ops.elementwise import MUL, add, mul
from functrans.ops.logic import eq, select
from functrans.ops.slicing import slice_in_dim
from functrans.ops.structural import (
    BroadcastInDim,
    broadcast_in_dim,
    convert,
    iota,
    reduce_sum,
    reshape,
    scalar_literal,
    spread,
)
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

    ``apart``: an axis, each slice along which moves on a few lines only, as many for each (Lines.slices): the rows are
    those of its own lines. None: every line has a row.
    """

    value: Any
    rows: tuple[Any, ...]
    top: Any
    apart: int | None = None


def _value(x: Any) -> Any:
    return x.value if type(x) is _Spread else x


class Lines(NamedTuple):
    """How many lines, which coefficient is summed, and its weights ``[number]`` (None: ones).

    ``slices``: where the lines of an input are given for each of so many slices alone, the number of these; line i is
    then the one with number ``i % (number / slices)`` of slice ``i // (number / slices)``.
    """

    number: int
    order: int
    weights: Any
    slices: int = 1


def collapse(
    jaxpr: Jaxpr,
    primals: Sequence[Value],
    directions: Sequence[Tangent],
    lines: Lines,
    apart: Sequence[int | None] = (),
) -> tuple[list[Any], list[Any]]:
    """The program's outputs, and for each the sum over lines of its highest coefficient (None: zero).

    ``directions``: for each input its first coefficients, with an axis 0 of lines, or None; there are no others.
    ``apart``: for each input the axis for whose slices they are given.
    """
    given = entering(jaxpr, primals)
    nothing = (None,) * max(lines.order - 2, 0)
    inputs = []
    for v, d, axis in zip(jaxpr.inputs, directions, apart or [None] * len(directions), strict=True):
        if d is None or not lines.number:
            inputs.append(given[v])
        elif lines.order > 1:
            inputs.append(_Spread(given[v], (d, *nothing), None, axis))
        else:
            inputs.append(_Spread(given[v], (), lines_sum(d, lines)))
    outs = _through(jaxpr, inputs, lines)
    return (
        [_value(x) for x in outs],
        [x.top if type(x) is _Spread else None for x in outs],
    )


def kept_apart(jaxpr: Jaxpr, axes: Sequence[int | None]) -> int:
    """How many elements of results keep the slices of inputs apart along these axes (None: an input that does not
    move), of operations whose result moves."""
    return _kept_apart(jaxpr, list(axes))[1]


_MIXED = object()


def _kept_apart(jaxpr: Jaxpr, axes: Sequence[Any]) -> tuple[list[Any], int]:
    known: dict[Any, Any] = dict(zip(jaxpr.inputs, axes, strict=True))
    total = 0
    for eqn in jaxpr.equations:
        given = [known.get(a) for a in eqn.inputs]
        if all(axis is None for axis in given):
            continue
        found: list[Any] = [_MIXED] * len(eqn.outputs)
        placed = eqn.op.in_place(eqn.inputs) if eqn.op.transparent else None
        if placed is not None:
            found, more = _kept_apart(placed[0], [known.get(a) for a in placed[1]])
            total += more
        elif not eqn.op.multiple and _MIXED not in given:
            axis = eqn.op.apart(given, [a.type for a in eqn.inputs])
            if axis is not None:
                found = [axis]
                total += eqn.outputs[0].type.size
        known.update(zip(eqn.outputs, found, strict=True))
    return [known.get(a) for a in jaxpr.outputs], total


def _through(jaxpr: Jaxpr, inputs: Sequence[Any], lines: Lines) -> list[Any]:
    def step(eqn: Equation, operands: list[Any]) -> Sequence[Any]:
        if not any(type(x) is _Spread for x in operands):
            return emit(eqn, operands)
        placed = eqn.op.in_place(operands) if eqn.op.transparent else None
        if placed is not None:  # a call: its own lines through its own program
            return _through(placed[0], placed[1], lines)
        return _applied(eqn.op, operands, lines)

    values = replay_into(dict(zip(jaxpr.inputs, inputs, strict=True)), jaxpr.equations, step)
    return [values[a] if type(a) is Var else a for a in jaxpr.outputs]


def _on_every_line(x: _Spread, lines: Lines) -> _Spread:
    """The value with a row for every line, zero in the slices that do not move on it."""
    if x.apart is None:
        return x
    slices, own, place = lines.slices, lines.number // lines.slices, 2 + x.apart

    def filled(row: Any) -> Any:
        shape = (slices, *row.shape)
        numbers = iota(np.dtype(np.int32), slices)
        moves = eq(broadcast_in_dim(numbers, shape, (0,)), broadcast_in_dim(numbers, shape, (place,)))
        wide = broadcast_in_dim(row, shape, tuple(range(1, len(shape))))
        return reshape(select(moves, wide, 0.0), (slices * own, *row.shape[1:]))

    return _Spread(x.value, tuple([None if row is None else filled(row) for row in x.rows]), x.top)


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


def _applied(op: Primitive, operands: Sequence[Any], lines: Lines) -> list[Any]:
    """The results of an operation on all lines."""
    axes = [x.apart if type(x) is _Spread else None for x in operands]
    axis = None
    if any(a is not None for a in axes):
        moving = [x for x in operands if type(x) is _Spread]
        if all(x.apart is not None for x in moving) and not op.multiple:
            axis = op.apart(axes, [_value(x).type for x in operands])
        if axis is None:
            operands = [_on_every_line(x, lines) if type(x) is _Spread else x for x in operands]
    number = lines.number if axis is None else lines.number // lines.slices
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
    return [
        x if t is None and all(c is None for c in row) else _Spread(x, row, t, axis)
        for x, row, t in zip(outs, rows, tops, strict=True)
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
