"""Forward mode.  jvp : (a -> b) -> (a, T a) -> (b, T b)

    { lambda ; a. let b = sin a; c = mul b a in (c,) }      becomes, for tangent t of a,

    b = sin a;  u = cos a;  db = mul t u
    c = mul b a;  v = mul db a;  w = mul t b;  dc = add v w

A tangent of ``None`` is zero; an equation with zero tangents is emitted as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from functrans.ir.program import Equation, Jaxpr, Var
from functrans.ops.constants import trace_closed
from functrans.ops.structural import as_declared, zeros
from functrans.trace.binding import as_operand
from functrans.trace.primitive import Tangent, Value
from functrans.trace.replay import emit, replay
from functrans.trace.tracer import Tracer

How = Literal["jvp", "linearize"]  # by which rule of its operations a program is differentiated


def jvp(jaxpr: Jaxpr, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[list[Any], list[Any]]:
    """Replay the program with tangents (None: zero); the outputs and their tangents."""
    return differentiate(jaxpr, primals, tangents, "jvp")


def differentiate(
    jaxpr: Jaxpr, primals: Sequence[Value], tangents: Sequence[Tangent], how: How
) -> tuple[list[Any], list[Any]]:
    """The replay behind jvp and linearize: each operation by its rule of that name where a tangent is not zero."""
    slopes: dict[Any, Any] = {
        v: as_operand(t, v.type) for v, t in zip(jaxpr.inputs, tangents, strict=True) if t is not None
    }

    def step(eqn: Equation, operands: list[Any]) -> Sequence[Any]:
        if slopes.keys().isdisjoint(eqn.inputs):
            return emit(eqn, operands)
        op = eqn.op
        rule = op.jvp if how == "jvp" else op.linearize
        outs, outs_t = rule(operands, [slopes.get(a) if type(a) is Var else None for a in eqn.inputs])
        if not eqn.op.multiple:
            (v,) = eqn.outputs
            if outs_t is not None:
                slopes[v] = outs_t if type(outs_t) is Tracer else as_operand(outs_t, v.type)
            return (as_declared(outs, v.type),)
        for v, t in zip(eqn.outputs, outs_t, strict=True):
            if t is not None:
                slopes[v] = t if type(t) is Tracer else as_operand(t, v.type)
        return [as_declared(x, v.type) for v, x in zip(eqn.outputs, outs, strict=True)]

    outs = replay(jaxpr, primals, step)
    return outs, [slopes.get(a) if type(a) is Var else None for a in jaxpr.outputs]


def jvp_jaxpr(
    jaxpr: Jaxpr, nonzero: Sequence[bool], instantiate: Sequence[bool] | None = None
) -> tuple[Jaxpr, tuple[bool, ...]]:
    """The program (primals, nonzero tangents) -> (outputs, nonzero tangents), and which output tangents it has.

    ``instantiate``: outputs whose tangent is wanted even if it is zero. Remembered on the jaxpr.
    """
    nonzero = tuple(nonzero)
    wanted = tuple(instantiate) if instantiate is not None else (False,) * len(jaxpr.outputs)
    return jaxpr.remember(("jvp", nonzero, wanted), lambda: _jvp_jaxpr(jaxpr, nonzero, wanted))


def _jvp_jaxpr(jaxpr: Jaxpr, nonzero: Sequence[bool], wanted: Sequence[bool]) -> tuple[Jaxpr, tuple[bool, ...]]:
    n = len(jaxpr.inputs)
    has: list[bool] = []

    def function(*inputs: Any) -> list[Any]:
        rest = iter(inputs[n:])
        outs, slopes = jvp(jaxpr, inputs[:n], [next(rest) if nz else None for nz in nonzero])
        slopes = [instantiate_zero(t, a) if w else t for t, a, w in zip(slopes, jaxpr.outputs, wanted, strict=True)]
        has.extend(t is not None for t in slopes)
        return [*outs, *[t for t in slopes if t is not None]]

    types = [*jaxpr.in_types, *[t for t, nz in zip(jaxpr.in_types, nonzero, strict=True) if nz]]
    program = trace_closed(function, types, "jvp of a program")
    return program, tuple(has)


def push_tangents(
    jaxpr: Jaxpr, given: Sequence[Sequence[bool]], wanted: Sequence[Sequence[bool]] | None = None
) -> tuple[Jaxpr, tuple[tuple[bool, ...], ...]]:
    """``jvp_jaxpr`` as ``control.holding.Push``: one value beside each input, its tangent."""
    program, has = jvp_jaxpr(jaxpr, [g for (g,) in given], None if wanted is None else [w for (w,) in wanted])
    return program, tuple([(h,) for h in has])


def instantiate_zero(tangent: Any, like: Any) -> Any:
    """The tangent, or an array of zeros for None."""
    return tangent if tangent is not None else zeros(like.type.shape, like.type)
