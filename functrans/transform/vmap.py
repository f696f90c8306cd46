"""Vectorization.  vmap : (a -> b) -> ([n]a -> [n]b)

    { lambda ; a:f32[3] b:f32[]. let c = reduce_sum[axes=(0,)] a; d = mul c b in (d,) }   becomes, for mapped a,

    c:f32[n] = reduce_sum[axes=(1,)] a;  e:f32[n] = broadcast_in_dim[shape=(n,)] b;  d:f32[n] = mul c e

The mapped axis is axis 0 of every mapped value, so a rule has one case to think of. Equations without a mapped operand
are emitted as they are, unless they speak of the mapped axis by name (``psum(2., 'i')``, ``axis_index('i')``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from functrans.ir.program import Equation, Jaxpr
from functrans.ops.constants import trace_closed
from functrans.ops.structural import as_declared, spread
from functrans.trace.primitive import Lanes
from functrans.trace.replay import emit, replay


def vmap(
    jaxpr: Jaxpr, lanes: Lanes, inputs: Sequence[Any], mapped: Sequence[bool]
) -> tuple[list[Any], list[bool]]:
    """Replay the program over axis 0 of the mapped inputs; the outputs, and which are mapped."""
    moving: set[Any] = {v for v, m in zip(jaxpr.inputs, mapped, strict=True) if m}
    name = lanes.axis_name

    def step(eqn: Equation, operands: list[Any]) -> Sequence[Any]:
        op = eqn.op
        which = [a in moving for a in eqn.inputs]
        if not any(which) and (name is None or name not in op.axis_names()):
            return emit(eqn, operands)
        outs, outs_mapped = op.batch(lanes, operands, which)
        if not op.multiple:
            (v,) = eqn.outputs
            if outs_mapped:
                moving.add(v)
            return (as_declared(outs, v.type),)
        flags = [outs_mapped] * len(outs) if isinstance(outs_mapped, bool) else outs_mapped
        moving.update([v for v, m in zip(eqn.outputs, flags, strict=True) if m])
        return [as_declared(x, v.type) for v, x in zip(eqn.outputs, outs, strict=True)]

    outs = replay(jaxpr, inputs, step)
    return outs, [a in moving for a in jaxpr.outputs]


def vmap_jaxpr(
    jaxpr: Jaxpr, lanes: Lanes, mapped: Sequence[bool], want_mapped: Sequence[bool] | bool
) -> tuple[Jaxpr, tuple[bool, ...]]:
    """The program over mapped inputs and which outputs are mapped; outputs in ``want_mapped`` are made to be.

    Remembered on the jaxpr.
    """
    mapped = tuple(mapped)
    wanted = (want_mapped,) * len(jaxpr.outputs) if isinstance(want_mapped, bool) else tuple(want_mapped)
    return jaxpr.remember(("vmap", lanes, mapped, wanted), lambda: _vmapped(jaxpr, lanes, mapped, wanted))


def _vmapped(
    jaxpr: Jaxpr, lanes: Lanes, mapped: Sequence[bool], wanted: Sequence[bool]
) -> tuple[Jaxpr, tuple[bool, ...]]:
    is_mapped: list[bool] = []

    def function(*inputs: Any) -> list[Any]:
        outs, outs_mapped = vmap(jaxpr, lanes, inputs, mapped)
        outs = [
            spread(x, lanes.size) if w and not m else x for x, w, m in zip(outs, wanted, outs_mapped, strict=True)
        ]
        is_mapped.extend(w or m for w, m in zip(wanted, outs_mapped, strict=True))
        return outs

    types = [
        t.update(shape=(lanes.size, *t.shape)) if m else t for t, m in zip(jaxpr.in_types, mapped, strict=True)
    ]
    program = trace_closed(function, types, "vmap of a program")
    return program, tuple(is_mapped)
