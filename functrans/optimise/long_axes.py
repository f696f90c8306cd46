"""Products and concatenations of short axes, turned so that the long axis is the last one in memory. For CPU.

    y:f32[10000,4] = dot x:f32[10000,3] w:f32[3,4]       becomes    y = transpose (dot w x)        dot: f32[4,10000]
    y:f32[1000,3] = concatenate[1] a:f32[1000,1] ...     becomes    y = transpose (concatenate[0] (transpose a) ...)

A Jacobian in every lane is made of them: the lanes are the long axis, and stand first. The library that computes
XLA's products on CPU walks along the result's last axis, and takes two to three times as long where that has a few
elements; a kernel that joins single elements asks for each of them which it is. The transposes are read by whoever
reads the result.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from functrans.ir.program import Equation
from functrans.ops.products import DotGeneral
from functrans.ops.slicing import Concatenate
from functrans.ops.structural import transpose
from functrans.trace.binding import bind

# Measured over products [m, k] x [k, n], chains of them with elementwise operations between, and 120 random programs.
_SHORT = {np.dtype(np.float32): 16, np.dtype(np.float64): 4}  # elements of the axes of the right operand
_WHOLE = 8  # elements that the library takes at once: of axes of a multiple of them it is fast as it is
_WHOLE_IN_LOOPS = 4  # there what is carried has one layout, and is turned and turned back
_LONG = 400  # elements of the left one's other axes
_JOINED = 4  # elements of an operand from the joined axis on
_FEW = 8  # operands
_ROWS = 64  # elements of the axes before the joined one


def is_turned(eqn: Equation, in_loop: bool) -> bool:
    """Whether the operation is faster turned."""
    op, types = eqn.op, [a.type for a in eqn.inputs]
    if type(op) is DotGeneral:
        x, y = types
        short = _SHORT.get(x.dtype, 0)
        if op.lhs_batch or x.dtype != y.dtype:
            return False
        summed = _size(x.shape, op.lhs_contracting)
        rows, columns = int(x.size) // max(summed, 1), int(y.size) // max(summed, 1)
        fits = 1 <= summed <= short and 2 <= columns <= short and rows >= _LONG
        whole = _WHOLE_IN_LOOPS if in_loop else _WHOLE
        return fits and summed % whole != 0 and columns % whole != 0
    if type(op) is Concatenate:
        longest = max(_size(t.shape, range(op.dimension, t.ndim)) for t in types)
        rows = math.prod(types[0].shape[: op.dimension])
        return 2 <= len(types) <= _FEW and longest <= _JOINED and rows >= _ROWS
    return False


def turned(eqn: Equation, operands: Sequence[Any]) -> Any:
    """The result of such an operation, by way of the turned one."""
    op = eqn.op
    if type(op) is DotGeneral:
        x, y = operands
        out = bind(op.with_axes((op.rhs_contracting, op.lhs_contracting), ((), ()), swap=True), y, x)
        first = y.ndim - len(op.rhs_contracting)  # the axes of y
    else:
        assert type(op) is Concatenate
        behind, ahead = range(op.dimension, operands[0].ndim), range(op.dimension)
        out = bind(Concatenate(0), *[transpose(x, (*behind, *ahead)) for x in operands])
        first = len(behind)
    return transpose(out, (*range(first, out.ndim), *range(first)))


def _size(shape: Sequence[int], axes: Iterable[int]) -> int:
    return math.prod([shape[a] for a in axes])
