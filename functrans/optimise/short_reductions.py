"""Reductions over a few elements, written out for CPU.

    y:f32[5000] = reduce_sum[axes=(1,)] x:f32[5000,3]     becomes     y = x[:, 0] + x[:, 1] + x[:, 2]

XLA hands reductions of larger arrays to a library on CPU. Over an axis of two to eight elements its call takes three to
thirty times as long as the additions, which besides become a part of the kernels around them; and its extrema drop NaNs
(see ops.reductions), which an elementwise maximum does not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from functrans.ir.program import Equation, Jaxpr, all_equations, with_programs
from functrans.ops.arithmetic import max_, min_
from functrans.ops.elementwise import add
from functrans.ops.logic import eq, select
from functrans.ops.reductions import FEWEST_OF_LIBRARY, ReduceMax, ReduceMin
from functrans.ops.slicing import slice_in_dim
from functrans.ops.structural import ReduceSum, reshape, zeros
from functrans.trace.primitive import Primitive
from functrans.trace.replay import emit, replay, trace

_LONGEST = 8  # elements along the axis: from sixteen on the library is as fast
_OF_THE_LIBRARY = (np.dtype(np.float32), np.dtype(np.float64))
_STEPS: dict[type[Primitive], Callable[[Any, Any], Any]] = {ReduceSum: add, ReduceMax: max_, ReduceMin: min_}


def written_out(jaxpr: Jaxpr) -> Jaxpr:
    """The program with the steps of its short reductions in place of them. Remembered on the program."""
    return jaxpr.remember("written out", lambda: _written_out(jaxpr))


def _written_out(jaxpr: Jaxpr) -> Jaxpr:
    if not any(_is_short(eqn) for eqn in all_equations(jaxpr)):
        return jaxpr
    program, captured = trace(lambda *xs: replay(jaxpr, xs, _rule), jaxpr.in_types, "a program to be compiled")
    assert not captured
    return program


def _is_short(eqn: Equation) -> bool:
    if type(eqn.op) not in _STEPS or len(eqn.op.axes) != 1:  # type: ignore[attr-defined]
        return False
    x = eqn.inputs[0].type
    return x.dtype in _OF_THE_LIBRARY and x.size >= FEWEST_OF_LIBRARY and 2 <= x.shape[_axis(eqn)] <= _LONGEST


def _axis(eqn: Equation) -> int:
    return eqn.op.axes[0]  # type: ignore[attr-defined, no-any-return]


def _rule(eqn: Equation, operands: list[Any]) -> Sequence[Any]:
    op = eqn.op
    if op.holds_jaxprs:
        return emit(Equation(with_programs(op, written_out), eqn.inputs, eqn.outputs, eqn.where), operands)
    if not _is_short(eqn):
        return emit(eqn, operands)
    x, axis = operands[0], _axis(eqn)
    result, *parts = [slice_in_dim(x, i, i + 1, axis=axis) for i in range(x.shape[axis])]
    for part in parts:
        result = _STEPS[type(op)](result, part)
    if type(op) is ReduceSum:  # a sum begins at 0, which makes that of negative zeros positive; XLA drops a zero added
        zero = zeros(result.shape, result.type)
        result = select(eq(result, zero), zero, result)
    return [reshape(result, eqn.outputs[0].type.shape)]
