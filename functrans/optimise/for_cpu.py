"""What XLA compiles badly on CPU, written otherwise: one walk over the program, its loops and branches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from functrans.ir.program import Equation, Jaxpr, all_equations, with_programs
from functrans.ops.representation import KEEP
from functrans.optimise.long_axes import is_turned, turned
from functrans.optimise.short_reductions import by_steps, is_short
from functrans.trace.binding import bind_all
from functrans.trace.replay import emit, replay, trace

Rule = Callable[[Equation, list[Any]], Sequence[Any]]


def for_cpu(jaxpr: Jaxpr) -> Jaxpr:
    """The program as it is compiled for CPU. Remembered on the program."""
    return jaxpr.remember("for CPU", lambda: _written(jaxpr, _outside))


def _written(jaxpr: Jaxpr, rule: Rule) -> Jaxpr:
    if not any(is_short(eqn) or is_turned(eqn) for eqn in all_equations(jaxpr)):
        return jaxpr  # as often: to write a program anew takes longer
    program, captured = trace(lambda *xs: replay(jaxpr, xs, rule), jaxpr.in_types, "a program to be compiled")
    assert not captured
    return program


def _outside(eqn: Equation, operands: list[Any]) -> Sequence[Any]:
    """Where a kernel ends at a reduction, one ends at its steps."""
    results = _inside(eqn, operands)
    return bind_all(KEEP, results) if is_short(eqn) else results


def _inside(eqn: Equation, operands: list[Any]) -> Sequence[Any]:
    """In loops and branches, where a barrier would keep XLA from making one kernel of a small loop."""
    op = eqn.op
    if op.holds_jaxprs:
        inner = with_programs(op, lambda jaxpr: _written(jaxpr, _inside))
        return emit(Equation(inner, eqn.inputs, eqn.outputs, eqn.where), operands)
    if is_turned(eqn):
        return [turned(eqn, operands)]
    return [by_steps(eqn, operands)] if is_short(eqn) else emit(eqn, operands)
