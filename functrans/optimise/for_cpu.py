"""What XLA compiles badly on CPU, written otherwise: one walk over the program, its loops and branches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from functrans.ir.program import Equation, Jaxpr, all_equations, with_programs
from functrans.ops.dynamic_slicing import DynamicUpdateSlice
from functrans.ops.representation import KEEP
from functrans.optimise.long_axes import is_turned, turned
from functrans.optimise.short_reductions import by_steps, is_short
from functrans.optimise.updates_in_place import read_in_place
from functrans.trace.binding import bind_all
from functrans.trace.replay import emit, replay, trace

Rule = Callable[[Equation, list[Any], bool], Sequence[Any]]


def for_cpu(jaxpr: Jaxpr) -> Jaxpr:
    """The program as it is compiled for CPU. Remembered on the program."""
    return jaxpr.remember("for CPU", lambda: _written(jaxpr, _outside, False))


def _written(jaxpr: Jaxpr, rule: Rule, inside_call: bool) -> Jaxpr:
    if not any(is_short(eqn) or is_turned(eqn) or type(eqn.op) is DynamicUpdateSlice for eqn in all_equations(jaxpr)):
        return jaxpr  # as often: to write a program anew takes longer
    apart = {id(jaxpr.equations[i]) for i in read_in_place(jaxpr, inside_call)}
    one = lambda eqn, operands: rule(eqn, operands, id(eqn) in apart)
    program, captured = trace(lambda *xs: replay(jaxpr, xs, one), jaxpr.in_types, "a program to be compiled")
    assert not captured
    return program


def _outside(eqn: Equation, operands: list[Any], apart: bool) -> Sequence[Any]:
    """Where a kernel ends at a reduction, one ends at its steps."""
    results = _inside(eqn, operands, apart)
    return bind_all(KEEP, results) if is_short(eqn) else results


def _inside(eqn: Equation, operands: list[Any], apart: bool) -> Sequence[Any]:
    """In loops and branches, where a barrier would keep XLA from making one kernel of a small loop. ``apart``: its
    second operand is computed before."""
    op = eqn.op
    if op.holds_jaxprs:
        in_loop = op.repeated() is not None and not op.is_unrolled
        inner = with_programs(op, lambda jaxpr: _written(jaxpr, _inside, not in_loop))
        return emit(Equation(inner, eqn.inputs, eqn.outputs, eqn.where), operands)
    if is_turned(eqn):
        return [turned(eqn, operands)]
    if apart:
        x, update, *starts = operands
        operands = [x, *bind_all(KEEP, [update]), *starts]
    return [by_steps(eqn, operands)] if is_short(eqn) else emit(eqn, operands)
