"""Rows of matrices in another order, and the order that the pivots of an LU factorisation stand for."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any

import numpy as np

from functrans.errors import FunctransTypeError
from functrans.ir.types import ArrayType, Shape
from functrans.ops.indexing import Gather
from functrans.ops.matrices import INT32, Kernels, MatrixKernel, Written, flip
from functrans.ops.sorting import positions, sort_key_val
from functrans.ops.structural import spread
from functrans.ops.windows import GatherDimensionNumbers
from functrans.trace.binding import bind
from functrans.trace.detection import Detection, Entry
from functrans.trace.emitter import EmitterProtocol, Names, Types
from functrans.trace.primitive import Lanes, Primitive, Tangent, Value


class PermuteRows(Primitive):
    """x[..., order, :] for an ``order`` [..., m] of all rows of x [..., m, n]: the inverse order is the transpose."""

    moves = True
    name = "permute_rows"

    def infer(self, x: ArrayType, order: ArrayType) -> ArrayType:
        if x.ndim < 2 or order.shape != x.shape[:-1] or order.dtype.kind not in "iu":
            raise FunctransTypeError(
                f"permute_rows: matrices [..., m, n] and integers [..., m] are needed, got types {x} and {order}"
            )
        return x

    def moving(self, count: int) -> Sequence[int]:
        return (0,)

    def sparsity(self, detection: Detection, operands: Sequence[Entry], types: Sequence[ArrayType]) -> Any:
        x, order = operands
        if order.value() is not None:
            return super().sparsity(detection, operands, types)
        return detection.mixed(x.sets, (x.ndim - 2,))

    def impl(self, x: Any, order: Any) -> Any:
        return np.take_along_axis(x, np.asarray(order)[..., None], -2)

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        return bind(self, *primals), bind(self, tangents[0], primals[1])

    def transpose(self, cotangent: Any, x: Any, order: Any) -> Sequence[Any]:
        return [bind(self, cotangent, inverse_permutation(order)), None]

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Any]:
        operands = [x if m else spread(x, lanes.size) for x, m in zip(operands, mapped, strict=True)]
        return bind(self, *operands), True

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        x, order = in_types
        if not x.size:
            return operands[0]
        batch = tuple(range(x.ndim - 2))
        at = x.ndim - 2
        gather = Gather(
            GatherDimensionNumbers((at + 1,), (at,), (at,), batch, batch), (*[1] * (at + 1), x.shape[-1]),
            "promise_in_bounds", unique_indices=True,
        )  # fmt: skip
        column = order.update(shape=(*order.shape, 1))
        indices = emitter.op(f"stablehlo.reshape {operands[1]}", [order], column)
        return gather.lower(emitter, [operands[0], indices], [x, column], out_types)


PERMUTE_ROWS = PermuteRows()


def permute_rows(x: Any, order: Any) -> Any:
    """x[..., order, :]."""
    return bind(PERMUTE_ROWS, x, order)


def permute_columns(x: Any, order: Any) -> Any:
    """x[..., :, order]."""
    return flip(bind(PERMUTE_ROWS, flip(x), order))


def inverse_permutation(order: Any) -> Any:
    """[..., m] -> [..., m]: where each number stands."""
    axis = order.ndim - 1
    return sort_key_val(order, positions(order.shape, axis), axis)[1]


class LuPivotsToPermutation(MatrixKernel):
    """The order of the rows after row i has changed places with row pivots[i], for each i in turn."""

    permutation_size: int
    name = "lu_pivots_to_permutation"
    ranks = (1,)
    accepts = (INT32,)

    def shapes(self, *shapes: Shape) -> list[Shape]:
        ((count,),) = shapes
        if count > self.permutation_size:
            raise self.refuse(f"permutation_size is {self.permutation_size}, less than the number of pivots", *shapes)
        return [(self.permutation_size,)]

    def reference(self, *arrays: Any) -> Sequence[Any]:
        order = np.arange(self.permutation_size, dtype=np.int32)
        for i, j in enumerate(arrays[0]):
            order[[i, j]] = order[[j, i]]
        return [order]

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        return bind(self, *primals), None

    def lower_empty(self, kernels: Kernels, *operands: Written) -> Sequence[Written]:
        return [kernels.numbers(kernels.out_types[0], -1)]

    def lower_cpu(self, kernels: Kernels, *operands: Written) -> Sequence[Written]:
        return self.lower_elsewhere(kernels, *operands)

    def lower_gpu(self, kernels: Kernels, *operands: Written) -> Sequence[Written]:
        return kernels.gpu("_lu_pivots_to_permutation", operands, kernels.out_types)

    def lower_elsewhere(self, kernels: Kernels, *operands: Written) -> Sequence[Written]:
        return [kernels.swapped(operands[0], kernels.out_types[0])]


def lu_pivots_to_permutation(pivots: Any, permutation_size: int) -> Any:
    """The order of rows that the pivots of an LU factorisation stand for.

    Args:
      pivots: ``[..., k]`` int32: row i changed places with row ``pivots[i]``, for each i in turn.
      permutation_size: the number m of rows, at least k.

    Returns:
      ``[..., m]`` int32.

    Raises:
      TypeError: another dtype. ValueError: ``permutation_size`` is less than k.

    >>> from functrans import lax
    >>> import numpy as np
    >>> lax.linalg.lu_pivots_to_permutation(np.int32([2, 2]), 3).tolist()
    [2, 0, 1]
    """
    return bind(LuPivotsToPermutation(index(permutation_size)), pivots)
