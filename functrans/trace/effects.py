"""Programs that are run again, to compute alone: what else they do happens in the first run."""

from __future__ import annotations

from functrans.errors import MissingRuleError
from functrans.ir.program import Equation, Jaxpr, live_equations, with_programs
from functrans.trace.frames import describe_place


def without_effects(jaxpr: Jaxpr) -> Jaxpr:
    """The program without what it does besides computing: for a second run of what has run once.

    Raises MissingRuleError where it computes with the results of input and output.
    """
    if not jaxpr.effects:
        return jaxpr
    return jaxpr.remember("without effects", lambda: _pure(jaxpr))


def _pure(jaxpr: Jaxpr) -> Jaxpr:
    equations = []
    for eqn in jaxpr.equations:
        op = eqn.op
        if op.effects and op.holds_jaxprs:
            op = with_programs(op, without_effects)
        elif op.effects and eqn.outputs:
            raise MissingRuleError(
                f"this derivative would have to run {op.name} at {describe_place(eqn.where)} a second time, and its "
                "effect happens once\nUse functrans.lax.scan or fori_loop with plain integers as bounds, whose "
                "derivative runs each step once, or pure_callback."
            )
        if op.holds_jaxprs or not op.effects:
            equations.append(Equation(op, eqn.inputs, eqn.outputs, eqn.where))
    return Jaxpr(jaxpr.inputs, live_equations(equations, jaxpr.outputs)[0], jaxpr.outputs)
