"""What XLA compiles badly on CPU, written otherwise: one walk over the program, its loops and branches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from functrans.ir.program import Equation, Jaxpr, all_equations, with_programs
from functrans.ops.dynamic_slicing import DynamicUpdateSlice
from functrans.ops.representation import KEEP
from functrans.optimise.long_axes import is_turned, turned
from functrans.optimise.short_reductions import by_steps, is_short
from functrans.optimise.updates_in_place import read_in_place
from functrans.trace.binding import bind_all
from functrans.trace.replay import emit, replay, trace


class Place(NamedTuple):
    """Where an equation stands."""

    outermost: bool = False
    in_loop: bool = False
    in_call: bool = False  # of a program that runs once


def for_cpu(jaxpr: Jaxpr) -> Jaxpr:
    """The program as it is compiled for CPU. Remembered on the program."""
    return jaxpr.remember("for CPU", lambda: _written(jaxpr, Place(outermost=True)))


def _written(jaxpr: Jaxpr, place: Place) -> Jaxpr:
    if not any(_is_written(eqn, place.in_loop) for eqn in all_equations(jaxpr)):
        return jaxpr  # as often: to write a program anew takes longer
    apart = {id(jaxpr.equations[i]) for i in read_in_place(jaxpr, place.in_call)}
    one = lambda eqn, operands: _equation(eqn, operands, place, id(eqn) in apart)
    program, captured = trace(lambda *xs: replay(jaxpr, xs, one), jaxpr.in_types, "a program to be compiled")
    assert not captured
    return program


def _is_written(eqn: Equation, in_loop: bool) -> bool:
    return is_short(eqn) or is_turned(eqn, in_loop) or type(eqn.op) is DynamicUpdateSlice


def _equation(eqn: Equation, operands: list[Any], place: Place, apart: bool) -> Sequence[Any]:
    """Where a kernel ends at a reduction, one ends at its steps; not in loops and branches, where a barrier would keep
    XLA from making one kernel of a small loop. ``apart``: its second operand is computed before.
    """
    op = eqn.op
    if op.holds_jaxprs:
        repeated = op.repeated() is not None and not op.is_unrolled
        inside = Place(in_loop=place.in_loop or repeated, in_call=not repeated)
        inner = with_programs(op, lambda jaxpr: _written(jaxpr, inside))
        return emit(Equation(inner, eqn.inputs, eqn.outputs, eqn.where), operands)
    if is_turned(eqn, place.in_loop):
        return [turned(eqn, operands)]
    if is_short(eqn):
        result = by_steps(eqn, operands)
        return bind_all(KEEP, [result]) if place.outermost else [result]
    if apart:
        x, update, *starts = operands
        operands = [x, *bind_all(KEEP, [update]), *starts]
    return emit(eqn, operands)
