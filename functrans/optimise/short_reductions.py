"""Reductions over a few elements, written out for CPU.

    y:f32[5000] = reduce_sum[axes=(1,)] x:f32[5000,3]     becomes     y = x[:, 0] + x[:, 1] + x[:, 2]

XLA hands reductions of larger arrays to a library on CPU. Over an axis of two to eight elements its call takes three to
thirty times as long as the additions; and its extrema drop NaNs (see ops.reductions), which an elementwise maximum does
not. The result is kept behind a barrier, as that of a reduction is: the kernels that read it would else compute it
again, a concatenation element by element in its branches. In the programs of loops and branches it is not, because a
barrier there keeps XLA from making one kernel of a small loop (optimise.for_cpu).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from functrans.ir.program import Equation
from functrans.ops.arithmetic import max_, min_
from functrans.ops.elementwise import add
from functrans.ops.logic import eq, select
from functrans.ops.reductions import FEWEST_OF_LIBRARY
from functrans.ops.slicing import slice_in_dim
from functrans.ops.structural import reshape, zeros
from functrans.trace.primitive import Combination

_LONGEST = 8  # elements along the axis: from sixteen on the library is as fast
_OF_THE_LIBRARY = (np.dtype(np.float32), np.dtype(np.float64))
_STEPS: dict[Combination, Callable[[Any, Any], Any]] = {
    Combination.SUM: add, Combination.LARGER: max_, Combination.SMALLER: min_,
}  # fmt: skip


def _short(eqn: Equation) -> tuple[Combination, int] | None:
    """How a reduction over few elements combines them, and along which axis; None where it is none."""
    found = eqn.op.reduction()
    if found is None or len(found[1]) != 1:
        return None
    combination, (axis,) = found
    x = eqn.inputs[0].type
    if x.dtype in _OF_THE_LIBRARY and x.size >= FEWEST_OF_LIBRARY and 2 <= x.shape[axis] <= _LONGEST:
        return combination, axis
    return None


def is_short(eqn: Equation) -> bool:
    """Whether this is a reduction over few elements."""
    return _short(eqn) is not None


def by_steps(eqn: Equation, operands: Sequence[Any]) -> Any:
    """The result of a short reduction."""
    combination, axis = _short(eqn)  # type: ignore[misc]
    (x,) = operands
    result, *parts = [slice_in_dim(x, i, i + 1, axis=axis) for i in range(x.shape[axis])]
    for part in parts:
        result = _STEPS[combination](result, part)
    if combination is Combination.SUM:  # the zero makes a sum of negative zeros positive; XLA drops a zero added
        zero = zeros(result.shape, result.type)
        result = select(eq(result, zero), zero, result)
    return reshape(result, eqn.outputs[0].type.shape)
