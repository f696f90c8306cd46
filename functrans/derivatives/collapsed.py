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

import types
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from functrans.derivatives.blocks import (
    Blocks,
    known_results,
    known_value,
    placed,
    steps,
)
from functrans.derivatives.spreads import (
    Lines,
    Spread,
    lines_sum,
    on_blocks,
    on_every_line,
    value_of,
)
from functrans.derivatives.sums_on_lines import (
    all_slices,
    is_sparse_product,
    moved_by_slices,
    multiplied,
    product_blocks,
    slices_contracted,
    sum_over,
)
from functrans.ir.cache import Cache
from functrans.ir.program import Equation, Jaxpr, Literal, Var
from functrans.ir.types import ArrayType, is_differentiable
from functrans.ops.elementwise import add
from functrans.ops.products import DotGeneral
from functrans.ops.slicing import slice_in_dim
from functrans.ops.structural import ReduceSum, reshape, spread
from functrans.trace.effects import without_effects
from functrans.trace.primitive import Lanes, Primitive, Tangent, Value
from functrans.trace.replay import emit, entering, replay_here, replay_into
from functrans.trace.state import surroundings
from functrans.transform.jvp import jvp_jaxpr
from functrans.transform.taylor import taylor_jaxpr
from functrans.transform.vmap import vmap


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
            inputs.append(Spread(given[v], (d, *nothing), None, own))
        else:
            inputs.append(Spread(given[v], (), lines_sum(d, lines)))
    outs = _through(jaxpr, inputs, lines, dict(known))
    return (
        [value_of(x) for x in outs],
        [x.top if type(x) is Spread else None for x in outs],
    )


EVERYWHERE: Blocks = np.zeros(0, np.int32)  # a row for every line


def rows_carried(jaxpr: Jaxpr, moves: Sequence[Blocks | None], lines: Lines, known: Mapping[Any, Any]) -> int:
    """About how many numbers rows have in all, and those that are made on the way to other blocks, when inputs (None:
    that do not move) are given on these blocks."""
    return _carried(jaxpr, moves, lines, dict(known))[1]


def _carried(
    jaxpr: Jaxpr, moves: Sequence[Blocks | None], lines: Lines, known: dict[Any, Any]
) -> tuple[list[Blocks | None], int]:
    found: dict[Any, Blocks] = {v: m for v, m in zip(jaxpr.inputs, moves, strict=True) if m is not None}
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
        total, results = lines.number * sum(t.size for t in types), [EVERYWHERE] * len(types)
        if type(eqn.op) is DotGeneral and all(m is not None and m is not EVERYWHERE for m in given):
            union = product_blocks(eqn, given, lines)
            if union is not None:
                return [union], 2 * len(union) * lines.in_block * types[0].size
        else:
            for a, m in zip(eqn.inputs, given, strict=True):
                if m is not None and m is not EVERYWHERE:
                    total += len(m) * a.type.size * (lines.in_block if _is_summed(eqn, m, given) else lines.number)
        return [r if is_differentiable(t.dtype) else None for r, t in zip(results, types, strict=True)], total
    total = 0
    for a, m, wanted in zip(eqn.inputs, given, place.given, strict=True):
        if m is not None and wanted is not None:
            many = len(steps(m, wanted))
            total += (many - 1) * len(wanted) * lines.in_block * a.type.size if many > 1 else 0
    for r, t in zip(place.results, types, strict=True):
        total += 0 if r is None else len(r) * lines.in_block * t.size
    return list(place.results), total


def _is_summed(eqn: Equation, blocks: Blocks, given: Sequence[Blocks | None]) -> bool:
    """Whether sums of an operand with these blocks need no row for every line of it."""
    if type(eqn.op) is DotGeneral:
        place = 0 if given[0] is blocks else 1
        return slices_contracted(eqn.op, place, blocks) is not None
    return type(eqn.op) is ReduceSum and all_slices(blocks) is not None


def _through(jaxpr: Jaxpr, inputs: Sequence[Any], lines: Lines, known: dict[Any, Any]) -> list[Any]:
    def step(eqn: Equation, operands: list[Any]) -> Sequence[Any]:
        if not any(type(x) is Spread for x in operands):
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


_equations = Cache(4096)


def _one_equation(op: Primitive, operands: Sequence[Any]) -> Jaxpr:
    """The program of one operation; numbers that are the same on all lines stand in it."""
    kinds = tuple([x if type(x) is Literal else value_of(x).type for x in operands])
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
        result = sum_over(eqn, op, operands[0], lines)
        if result is not None:
            return [result]
    if type(op) is DotGeneral:
        if lines.order == 2 and is_sparse_product(operands):
            return [multiplied(eqn, op, operands, lines)]
        moving = [x for x in operands if type(x) is Spread]
        if len(moving) == 1 and moving[0].blocks is not None:
            result = moved_by_slices(eqn, op, operands, lines)
            if result is not None:
                return [result]
    return _by_rule(eqn, operands, lines, known)


def _by_rule(eqn: Equation, operands: Sequence[Any], lines: Lines, known: Mapping[Any, Any]) -> list[Any]:
    """By the operation's Taylor rule on the rows, and its jvp rule on the sum of the highest coefficients."""
    op = eqn.op
    place = None
    moves = [x.blocks if type(x) is Spread else None for x in operands]
    if any(m is not None for m in moves):
        if not any(type(x) is Spread and x.blocks is None for x in operands):
            values = [known_value(a, known) for a in eqn.inputs]
            place = placed(eqn, moves, values, [v.type for v in eqn.outputs], lines.most_blocks)
        operands = [
            x if type(x) is not Spread
            else on_every_line(x, lines) if place is None
            else on_blocks(x, place.given[i], lines)
            for i, x in enumerate(operands)
        ]  # fmt: skip
    number = lines.number
    if place is not None:
        number = lines.in_block * max(len(m) for m in place.given if m is not None)
    jaxpr = _one_equation(op, operands)
    own = [x for x in operands if type(x) is not Literal]
    arrays = [value_of(x) for x in own]
    below = [x.rows if type(x) is Spread else (None,) * (lines.order - 1) for x in own]
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
    highest = [x.top if type(x) is Spread else None for x in own]
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
        x if t is None and all(c is None for c in row) else Spread(x, row, t, b)
        for x, row, t, b in zip(outs, rows, tops, blocks, strict=True)
    ]


def _on_first_line(x: Any) -> Any:
    """A value that is the same on all lines, of an operation whose rule for lanes gives it to each of them."""
    return reshape(slice_in_dim(x, 0, 1), x.shape[1:])


