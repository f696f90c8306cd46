"""What functions computed inside a loop share: their reference, and constants of their dtype."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from functrans.ir.types import type_of
from functrans.ops.elementwise import literal_value
from functrans.ops.expanded import Expanded
from functrans.ops.slicing import concatenate, slice_in_dim
from functrans.ops.structural import full, reshape
from functrans.trace.primitive import Tangent, Value
from functrans.trace.replay import evaluate


class Evaluated(Expanded):
    """The program of ``define``, evaluated by NumPy, is its own reference; the tests hold it against SciPy and mpmath.
    """

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        return super().jvp(arrays_of(primals), tangents)

    def impl(self, *arrays: Any) -> Any:
        arrays = tuple(np.broadcast_arrays(*[np.asarray(x) for x in arrays]))
        return evaluate(self.program([type_of(x) for x in arrays]), arrays)[0]


def arrays_of(operands: Sequence[Any]) -> list[Any]:
    """The operands of one operation, numbers as arrays of the shape of the others."""
    shape = next((type_of(x).shape for x in operands if type_of(x).shape), ())
    numbers = [literal_value(x) for x in operands]
    return [x if n is None else full(shape, n, type_of(x).dtype) for x, n in zip(operands, numbers, strict=True)]


def constant(value: float, like: Any) -> Any:
    """A scalar in the dtype of an array."""
    return full((), value, like.dtype)


def everywhere(value: float, like: Any) -> Any:
    """An array of one number, of the shape and dtype of another."""
    return full(like.shape, value, like.dtype)


def stacked(*xs: Any) -> Any:
    """Arrays of one shape along a new first axis: what is done to all of them is one small program."""
    return concatenate([reshape(x, (1, *x.shape)) for x in xs], 0)


def rows(x: Any) -> list[Any]:
    """The arrays that ``stacked`` has put together."""
    return [reshape(slice_in_dim(x, i, i + 1), x.shape[1:]) for i in range(x.shape[0])]


def epsilon(x: Any) -> float:
    """The spacing of numbers at 1 in the dtype of x."""
    return float(np.finfo(x.dtype).eps)
