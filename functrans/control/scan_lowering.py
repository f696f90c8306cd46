"""StableHLO of a scan: a ``while`` whose body reads a slice of each ``xs`` and writes a slice of each ``ys``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from functrans.control.progress import Bar
from functrans.ir.effects import NO_EFFECTS, Effects, is_ordered
from functrans.ir.types import ArrayType, array_type
from functrans.trace.emitter import EmitterProtocol, Names, Types

if TYPE_CHECKING:
    from functrans.control.scan import Scan

_COUNTER = array_type((), np.dtype(np.int32))


def as_whole(emitter: EmitterProtocol, name: str, given: ArrayType, wanted: ArrayType) -> str:
    """An initial carry; a scalar given for an array is repeated."""
    if given.shape == wanted.shape:
        return name
    return str(emitter.op(f"stablehlo.broadcast_in_dim {name}, dims = []", [given], wanted))


def while_loop(
    emitter: EmitterProtocol,
    initial: Sequence[str],
    types: Sequence[ArrayType],
    condition: Any,
    body: Any,
    effects: Effects = NO_EFFECTS,
) -> list[str]:
    """``condition(names) -> name`` and ``body(names) -> names`` as a ``stablehlo.while``; ``effects``: of the body."""
    ordered = is_ordered(effects)
    boolean = [array_type((), np.dtype(np.bool_))]
    test = emitter.region(types, lambda names: [condition(names)], boolean, "argument" if ordered else "")
    step = emitter.region(types, body, types, "both" if ordered else "")
    texts = [emitter.text(t) for t in types]
    if ordered:
        initial = [*initial, emitter.current_token()]
        texts.append("!stablehlo.token")
    text = ", ".join(texts)
    results = list(
        emitter.raw_many(f'"stablehlo.while"({", ".join(initial)}) ({test}, {step}) : ({text}) -> ({text})', len(texts))
    )
    if ordered:
        emitter.token = results.pop()
    return results


def while_with_bar(
    emitter: EmitterProtocol,
    bar: Bar,
    initial: Sequence[str],
    types: Sequence[ArrayType],
    condition: Any,
    body: Any,
    effects: Effects = NO_EFFECTS,
) -> list[str]:
    """As ``while_loop``, in turns of as many steps as the bar says; the first of ``initial`` counts steps from zero."""

    def turn(names: Sequence[str]) -> list[str]:
        (stop,) = emitter.host_callback(bar.advance, [names[0]], [_COUNTER], [_COUNTER], what="")
        boolean = array_type((), np.dtype(np.bool_))

        def goes_on(inner: Sequence[str]) -> str:
            text = f"stablehlo.compare LT, {inner[0]}, {stop}, SIGNED"
            early = emitter.op(text, [_COUNTER, _COUNTER], boolean)
            return str(emitter.elementwise("and", [early, condition(inner)], [boolean] * 2, boolean))

        return while_loop(emitter, names, types, goes_on, body, effects)

    results = while_loop(emitter, initial, types, condition, turn, effects)
    emitter.host_callback(bar.finish, [results[0]], [_COUNTER], [], what="")
    return results


def lower_with_bar(
    emitter: EmitterProtocol,
    bar: Bar,
    initial: Sequence[str],
    types: Sequence[ArrayType],
    condition: Any,
    body: Any,
    effects: Effects = NO_EFFECTS,
) -> list[str]:
    """``while_with_bar`` of a loop that counts no steps itself."""

    def step(names: Sequence[str]) -> list[str]:
        one = emitter.constant(1, _COUNTER)
        return [emitter.elementwise("add", [names[0], one], [_COUNTER] * 2, _COUNTER), *body(names[1:])]

    initial, types = [emitter.constant(0, _COUNTER), *initial], [_COUNTER, *types]
    return while_with_bar(emitter, bar, initial, types, lambda names: condition(names[1:]), step, effects)[1:]


def lower_scan(
    scan: Scan, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types
) -> list[str]:
    """Names of the operands -> names of the final carry and the stacked results."""
    jaxpr, n, length = scan.jaxpr, scan.num_carry, scan.length
    consts, init, xs = scan.split(operands)
    _, carry_types, x_types = scan.split(jaxpr.in_types)
    xs_types = scan.split(in_types)[2]
    y_types, ys_types = jaxpr.out_types[n:], out_types[n:]
    carry = [as_whole(emitter, x, t, w) for x, t, w in zip(init, scan.split(in_types)[1], carry_types, strict=True)]
    ys = [emitter.constant(0, t) for t in ys_types]
    if length == 0:
        return [*carry, *ys]

    def step(i: str, carry: Sequence[str], ys: Sequence[str]) -> tuple[list[str], list[str]]:
        if scan.reverse and (xs or ys):
            i = emitter.elementwise("subtract", [emitter.constant(length - 1, _COUNTER), i], [_COUNTER] * 2, _COUNTER)
        slices = [read_slice(emitter, x, i, a, t) for x, a, t in zip(xs, xs_types, x_types, strict=True)]
        outs = emitter.inline(jaxpr, [*consts, *carry, *slices])
        written = [
            write_slice(emitter, y, out, i, a, t) for y, out, a, t in zip(ys, outs[n:], ys_types, y_types, strict=True)
        ]
        return outs[:n], written

    unroll = max(1, min(scan.unroll, length))
    turns, left = divmod(length, unroll)
    done = 0
    if turns > 1:
        loop_types = [_COUNTER, *carry_types, *ys_types]
        limit, one = emitter.constant(turns * unroll, _COUNTER), emitter.constant(1, _COUNTER)

        def condition(names: Sequence[str]) -> str:
            boolean = array_type((), np.dtype(np.bool_))
            return str(emitter.op(f"stablehlo.compare LT, {names[0]}, {limit}, SIGNED", [_COUNTER, _COUNTER], boolean))

        def body(names: Sequence[str]) -> list[str]:
            i, inner_carry, inner_ys = names[0], list(names[1 : n + 1]), list(names[n + 1 :])
            for _ in range(unroll):
                inner_carry, inner_ys = step(i, inner_carry, inner_ys)
                i = emitter.elementwise("add", [i, one], [_COUNTER, _COUNTER], _COUNTER)
            return [i, *inner_carry, *inner_ys]

        initial = [emitter.constant(0, _COUNTER), *carry, *ys]
        if scan.progress:
            bar = Bar(scan.progress, turns * unroll)
            names = while_with_bar(emitter, bar, initial, loop_types, condition, body, jaxpr.effects)
        else:
            names = while_loop(emitter, initial, loop_types, condition, body, jaxpr.effects)
        carry, ys = names[1 : n + 1], names[n + 1 :]
        done = turns * unroll
    else:
        left = length
    for i in range(done, done + left):
        carry, ys = step(emitter.constant(i, _COUNTER), carry, ys)
    return [*carry, *ys]


def _starts(emitter: EmitterProtocol, i: str, rank: int) -> tuple[str, list[ArrayType]]:
    zero = emitter.constant(0, _COUNTER)
    return ", ".join([i, *[zero] * (rank - 1)]), [_COUNTER] * rank


def read_slice(emitter: EmitterProtocol, x: str, i: str, type: ArrayType, slice_type: ArrayType) -> str:
    """``x[i]``"""
    starts, start_types = _starts(emitter, i, type.ndim)
    sizes = ", ".join(map(str, (1, *slice_type.shape)))
    row = array_type((1, *slice_type.shape), slice_type.dtype)
    name = emitter.op(f"stablehlo.dynamic_slice {x}, {starts}, sizes = [{sizes}]", [type, *start_types], row)
    return str(emitter.op(f"stablehlo.reshape {name}", [row], slice_type))


def write_slice(emitter: EmitterProtocol, y: str, value: str, i: str, type: ArrayType, slice_type: ArrayType) -> str:
    """``y`` with ``y[i] = value``"""
    starts, start_types = _starts(emitter, i, type.ndim)
    row = array_type((1, *slice_type.shape), slice_type.dtype)
    name = emitter.op(f"stablehlo.reshape {value}", [slice_type], row)
    text = f"stablehlo.dynamic_update_slice {y}, {name}, {starts}"
    return str(emitter.op(text, [type, row, *start_types], type))
