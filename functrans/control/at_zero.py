"""Linearizing what is linear already: a jvp rule in its tangents, a solver in its right-hand side.

The linear part of such a program is its derivative at zero. What it shows of its linear inputs (``debug.print`` of a
tangent, ``error_if``) is neither linear nor to be seen at zero: it is computed and shown by the linear program, from
what that is given, and dropped where only the transpose runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from functrans.control.saving import inlined
from functrans.ir.program import Equation, Jaxpr, Var, live_equations
from functrans.ops.structural import zeros
from functrans.trace.dependence import VALUE
from functrans.trace.primitive import Value
from functrans.trace.replay import replay
from functrans.transform.jvp import differentiate


def linearize_at_zero(jaxpr: Jaxpr, fixed: Sequence[Value], linear: Sequence[Value]) -> tuple[list[Any], list[Any]]:
    """The outputs of a program of (fixed, linear) inputs where these are zero, and the derivative along ``linear``."""
    quiet, showing = jaxpr, None
    if jaxpr.effects:
        quiet, showing = jaxpr.remember(("showing", len(linear)), lambda: _parted(inlined(jaxpr), len(linear)))
    at = [zeros(x.type.shape, x.type.strong()) for x in linear]
    found = differentiate(quiet, [*fixed, *at], [*[None] * len(fixed), *linear], "linearize")
    if showing is not None:
        replay(showing, [*fixed, *linear])
    return found


def _parted(jaxpr: Jaxpr, count: int) -> tuple[Jaxpr, Jaxpr | None]:
    """The program without the effects that have no results and depend on the last ``count`` inputs, and these alone.

    One that depends on the result of another effect stays where it is: that one happens once.
    """
    linear: set[Any] = set(jaxpr.inputs[len(jaxpr.inputs) - count :])
    received: set[Var] = set()  # what depends on a result of an effect
    shown: list[Equation] = []
    for eqn in jaxpr.equations:
        given = [a in linear for a in eqn.inputs]
        if any(given):
            linear.update(v for v, d in zip(eqn.outputs, VALUE.results(eqn, given), strict=True) if d)
        if eqn.op.effects or not received.isdisjoint(eqn.inputs):
            if eqn.op.effects and not eqn.outputs and any(given) and received.isdisjoint(eqn.inputs):
                shown.append(eqn)
            received.update(eqn.outputs)
    if not shown:
        return jaxpr, None
    rest = [eqn for eqn in jaxpr.equations if eqn not in shown]
    needed = live_equations([eqn for eqn in jaxpr.equations if not eqn.op.effects or eqn in shown], ())[0]
    return Jaxpr(jaxpr.inputs, rest, jaxpr.outputs), Jaxpr(jaxpr.inputs, needed, ())
