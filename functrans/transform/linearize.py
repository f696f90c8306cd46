"""Linearization.  linearize : (a -> b) -> a -> (b, T a -o T b)

The jvp rules, run with two builders: a linear one is open inside the primal one, and an equation lands in the linear
program only if it depends on a tangent. What the linear program needs of the primal one it captures: its residuals.

    { lambda ; a. let b = sin a; c = mul b a in (c,) }      becomes

    primal:  b = sin a;  u = cos a;  c = mul b a            linear(u, a, b; t):  db = mul t u; v = mul db a;
                                                                                 w = mul t b; dc = add v w
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from functrans.ir.program import Jaxpr, Var
from functrans.ops.constants import trace_closed
from functrans.ops.structural import convert
from functrans.trace.builder import Builder
from functrans.trace.state import state, surroundings
from functrans.trace.tracer import Tracer
from functrans.transform.jvp import differentiate


class LinearProgram(NamedTuple):
    """``jaxpr``: (residuals, tangents) -> tangents; ``residuals``: values of the primal builder.

    ``nonzero`` says which outputs of the function have a tangent: the jaxpr's outputs are those. ``known``: of the
    residuals those that are known as NumPy arrays, None for the others; or nothing.
    """

    jaxpr: Jaxpr
    residuals: list[Any]
    nonzero: tuple[bool, ...]
    known: Sequence[Any] = ()


def linearize(jaxpr: Jaxpr, primals: Sequence[Any], wrt: Sequence[bool]) -> tuple[list[Any], LinearProgram]:
    """Emit the primal program into the current builder; its outputs, and the linear program in the inputs ``wrt``."""
    linear = Builder("the linear program of linearize", climbs=True)
    with linear:
        tangents = [linear.new_input(v.type) if w else None for v, w in zip(jaxpr.inputs, wrt, strict=True)]
        outs, slopes = differentiate(jaxpr, primals, tangents, "linearize")
        nonzero = tuple(t is not None for t in slopes)
        slopes = [
            t if t is None else convert(t, a.type.dtype, a.type.weak_type)
            for t, a in zip(slopes, jaxpr.outputs, strict=True)
        ]
        program, residuals = linear.finish([linear.output(t) for t in slopes if t is not None])
    return outs, LinearProgram(program, residuals, nonzero)


class LinearizedJaxpr(NamedTuple):
    """``primal``: inputs -> (outputs, extra residuals); ``linear``: (residuals, tangents) -> nonzero tangents.

    ``sources[i]`` is the place of residual i among ``(*inputs, *outputs of primal)``: a residual that is an input or an
    output already is not stored twice.
    """

    primal: Jaxpr
    linear: Jaxpr
    sources: tuple[int, ...]
    nonzero: tuple[bool, ...]
    num_outputs: int

    def residuals(self, inputs: Sequence[Any], outputs: Sequence[Any]) -> list[Any]:
        """The residuals among the values of the primal program's inputs and outputs."""
        values = [*inputs, *outputs]
        return [values[i] for i in self.sources]


def linearize_jaxpr(jaxpr: Jaxpr, wrt: Sequence[bool]) -> LinearizedJaxpr:
    """The program split in two, for operations that hold programs. Remembered on the jaxpr."""
    wrt = tuple(wrt)
    return jaxpr.remember(("linearize", wrt, surroundings().rules), lambda: _linearized(jaxpr, wrt))


def _linearized(jaxpr: Jaxpr, wrt: Sequence[bool]) -> LinearizedJaxpr:
    found: list[Any] = []

    def function(*inputs: Any) -> list[Any]:
        outs, program = linearize(jaxpr, inputs, wrt)
        builder: Builder = state.builder  # type: ignore[assignment]
        outs = [builder.output(x) for x in outs]
        places: dict[Any, int] = {}
        for i, x in enumerate([*inputs, *outs]):
            if type(x) is Tracer:
                places.setdefault(x.variable, i)
        extra: list[Any] = []
        sources: list[int] = []
        for r in program.residuals:
            r = builder.lift(r)
            place = places.get(r.variable)
            if place is None:
                place = places[r.variable] = len(inputs) + len(outs) + len(extra)
                extra.append(r)
            sources.append(place)
        found.append((program, tuple(sources), len(outs)))
        return [*outs, *extra]

    primal = trace_closed(function, jaxpr.in_types, "linearize of a program")
    program, sources, num_outputs = found[0]
    return LinearizedJaxpr(primal, program.jaxpr, sources, program.nonzero, num_outputs)



def variables(jaxpr: Jaxpr) -> set[Var]:
    """The variables that a program's outputs are."""
    return {a for a in jaxpr.outputs if type(a) is Var}
