"""Results that have the memory of an argument: those that are an argument as it was given, and those to which a donated
argument gives its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax

from functrans.control.call import Call, InPlace
from functrans.errors import warn
from functrans.ir.program import Jaxpr
from functrans.ir.types import float0


def donation(jaxpr: Jaxpr, donated: Sequence[bool]) -> list[str]:
    """For each input what says which result takes its memory: the first of the type of a donated one."""
    free: dict[Any, list[int]] = {}
    for i, t in reversed(list(enumerate(jaxpr.out_types))):
        free.setdefault((t.shape, t.dtype), []).append(i)
    attributes, left = [], []
    for t, flag in zip(jaxpr.in_types, donated, strict=True):
        results = free.get((t.shape, t.dtype)) if flag else None
        attributes.append(f" {{tf.aliasing_output = {results.pop()} : i32}}" if results else "")
        if flag and not attributes[-1]:
            left.append(f"{t.dtype.name}[{','.join(map(str, t.shape))}]")
    if left:
        warn(
            f"Some donated buffers were not usable: {', '.join(left)}. An argument gives its memory to a result of its "
            "shape and dtype; these are kept."
        )
    return attributes


def handing_on(call: Callable[..., list[Any]], jaxpr: Jaxpr) -> Callable[..., list[Any]]:
    """An array that is a result as it was given is that array, and no copy of it is kept, as in JAX."""
    same = [(o, i, jaxpr.inputs[i].type) for o, i in enumerate(_inputs_handed_on(jaxpr)) if i is not None]
    handed_on = [(o, i) for o, i, t in same if t == jaxpr.outputs[o].type and t.dtype != float0]
    if not handed_on:
        return call

    def run(*args: Any) -> list[Any]:
        results = call(*args)
        for o, i in handed_on:
            if isinstance(args[i], jax.Array):
                results[o] = args[i]
        return results

    return run


def _inputs_handed_on(jaxpr: Jaxpr) -> list[int | None]:
    """For each result the place of the input that it is, also where a program held by a call or by an operation with
    rules hands it on. Remembered on the program.
    """

    def found() -> list[int | None]:
        places: dict[Any, int] = {v: i for i, v in enumerate(jaxpr.inputs)}
        for eqn in jaxpr.equations:
            if isinstance(eqn.op, Call | InPlace) and any(a in places for a in eqn.inputs):
                program, operands = eqn.op.in_place(eqn.inputs)
                for v, i in zip(eqn.outputs, _inputs_handed_on(program), strict=True):
                    if i is not None and operands[i] in places:
                        places[v] = places[operands[i]]
        return [places.get(a) for a in jaxpr.outputs]

    return jaxpr.remember("inputs handed on", found)
