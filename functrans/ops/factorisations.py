"""Matrices as products of triangles: Cholesky and LU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from functrans.ir.types import ArrayType, Shape
from functrans.ops.elementwise import add, mul
from functrans.ops.logic import and_, eq, ge, select
from functrans.ops.matrices import (
    INT32,
    Kernels,
    MatrixKernel,
    Written,
    adjoint,
    diagonal_halved,
    flip,
    matmul,
    scipy_linalg,
    tril,
    triu,
)
from functrans.ops.permutations import LuPivotsToPermutation, inverse_permutation, permute_rows
from functrans.ops.slicing import pad, slice_in_dim
from functrans.ops.structural import broadcasted_iota
from functrans.ops.triangular import triangular_solve
from functrans.trace.binding import bind, bind_all
from functrans.trace.primitive import Tangent, Value


class Cholesky(MatrixKernel):
    """The lower triangular L with L L^H = A, for Hermitian positive definite A, of which the lower triangle is read.

    A matrix that is not positive definite gives NaN.
    """

    name = "cholesky"
    square = True

    def shapes(self, *shapes: Shape) -> list[Shape]:
        return [shapes[0]]

    def reference(self, *arrays: Any) -> Sequence[Any]:
        try:
            return [np.linalg.cholesky(arrays[0])]
        except np.linalg.LinAlgError:
            return [np.tril(np.full_like(arrays[0], np.nan))]

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        # dL = L phi(L^-1 dA L^-H), phi: the lower triangle with half the diagonal (Murray 2016, arXiv 1602.07527). The
        # tangent is that of the Hermitian matrix which the lower triangle stands for.
        factor = bind(self, primals[0])
        half = diagonal_halved(tril(tangents[0]))
        inner = triangular_solve(factor, add(half, adjoint(half)), lower=True, transpose_a=True, conjugate_a=True)
        inner = triangular_solve(factor, inner, left_side=True, lower=True)
        return factor, matmul(factor, diagonal_halved(tril(inner)))

    def lower_cpu(self, kernels: Kernels, *operands: Written) -> Sequence[Written]:
        (a,) = operands
        factor, info = kernels.lapack("potrf", [a], [a.type, kernels.info], {"uplo": "L"}, {0: 0})
        return [kernels.triangle(kernels.where(kernels.succeeded(info), factor), True)]

    def lower_gpu(self, kernels: Kernels, *operands: Written) -> Sequence[Written]:
        (a,) = operands
        factor, info = kernels.gpu("solver_potrf_ffi", [a], [a.type, kernels.info], {"lower": True}, {0: 0})
        return [kernels.triangle(kernels.where(kernels.succeeded(info), factor), True)]

    def lower_elsewhere(self, kernels: Kernels, *operands: Written) -> Sequence[Written]:
        (a,) = operands
        text = f"stablehlo.cholesky {a.name}, lower = true : {kernels.emitter.text(a.type)}"
        return [kernels.triangle(Written(kernels.emitter.raw(text), a.type), True)]


def cholesky(x: Any, *, symmetrize_input: bool = True) -> Any:
    """The lower triangular factors of Hermitian positive definite matrices: L L^H = A.

    Args:
      x: ``[..., n, n]``, floating or complex.
      symmetrize_input: factorise (x + x^H) / 2. If False the lower triangle alone is read, and has a derivative.

    Returns:
      L ``[..., n, n]``, of the dtype of ``x``; NaN for a matrix that is not positive definite.

    Raises:
      TypeError: a dtype other than float32, float64, complex64, complex128, or less than two axes.
      ValueError: matrices that are not square.

    >>> from functrans import lax
    >>> import numpy as np
    >>> lax.linalg.cholesky(np.float32([[4, 2], [2, 10]])).tolist()
    [[2.0, 0.0], [1.0, 3.0]]
    """
    if symmetrize_input:
        x = mul(add(x, adjoint(x)), 0.5)
    return bind(CHOLESKY, x)


CHOLESKY = Cholesky()


class Lu(MatrixKernel):
    """P A = L U: L (without its diagonal of ones) and U in one array, the pivots, and the order of rows P.

    Row i of A changed places with row pivots[i], for each i in turn; row i of P A is row order[i] of A. Of a singular
    matrix U has a zero on its diagonal.
    """

    name = "lu"
    multiple = True

    def shapes(self, *shapes: Shape) -> list[Shape]:
        ((m, n),) = shapes
        return [(m, n), (min(m, n),), (m,)]

    def dtypes(self, dtype: np.dtype[Any], count: int) -> list[np.dtype[Any]]:
        return [dtype, INT32, INT32]

    def reference(self, *arrays: Any) -> Sequence[Any]:
        (a,) = arrays
        order = LuPivotsToPermutation(a.shape[0])
        if not a.size:
            return [a, *[np.zeros(0, np.int32), *order.reference(())]]
        (getrf,) = scipy_linalg().lapack.get_lapack_funcs(("getrf",), (a,))
        packed, pivots, _ = getrf(a)
        return [packed, pivots, *order.reference(pivots)]

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        # P dA = dL U + L dU: with M = L^-1 P dA U^-1, dL is L times the strict lower triangle of M, and dU its upper
        # triangle times U (de Hoog, Anderssen, Lukas 2011). What is not square is made so by columns of the identity.
        packed, pivots, order = bind_all(self, primals)
        m, n = packed.shape[-2:]
        k = min(m, n)
        lower = _widened(packed if n == k else slice_in_dim(packed, 0, k, axis=packed.ndim - 1), m)
        upper = flip(_widened(flip(packed if m == k else slice_in_dim(packed, 0, k, axis=packed.ndim - 2)), n))
        inner = permute_rows(tangents[0], order)
        inner = triangular_solve(lower, inner, left_side=True, lower=True, unit_diagonal=True)
        inner = triangular_solve(upper, inner)
        by_lower = add(matmul(tril(lower, -1), tril(inner, -1)), tril(inner, -1))
        return [packed, pivots, order], [add(by_lower, matmul(triu(inner), triu(upper))), None, None]

    def lower_empty(self, kernels: Kernels, *operands: Written) -> Sequence[Written]:
        packed, pivots, order = kernels.out_types
        return [kernels.fill(0, packed), kernels.fill(0, pivots), kernels.numbers(order, -1)]

    def lower_cpu(self, kernels: Kernels, *operands: Written) -> Sequence[Written]:
        packed, pivots = self._from_zero(kernels, kernels.lapack("getrf", operands, self._types(kernels), {}, {0: 0}))
        return [packed, pivots, kernels.swapped(pivots, kernels.out_types[2])]

    def lower_gpu(self, kernels: Kernels, *operands: Written) -> Sequence[Written]:
        found = kernels.gpu("solver_getrf_ffi", operands, self._types(kernels), {}, {0: 0})
        packed, pivots = self._from_zero(kernels, found)
        return [packed, pivots, *kernels.gpu("_lu_pivots_to_permutation", [pivots], kernels.out_types[2:])]

    def lower_elsewhere(self, kernels: Kernels, *operands: Written) -> Sequence[Written]:
        return kernels.custom_call("LuDecomposition", operands, kernels.out_types)

    def _types(self, kernels: Kernels) -> list[ArrayType]:
        return [*kernels.out_types[:2], kernels.info]

    def _from_zero(self, kernels: Kernels, found: Sequence[Written]) -> tuple[Written, Written]:
        """The factors and the pivots counted from 0."""
        packed, pivots, info = found
        pivots = kernels.op("stablehlo.subtract", [pivots, kernels.fill(1, pivots.type)], pivots.type)
        return kernels.where(kernels.accepted(info), packed), pivots


def _widened(x: Any, size: int) -> Any:
    """[..., size, k] -> [..., size, size]: the columns of the identity put behind, for all but the square ones."""
    count = x.shape[-1]
    if count == size:
        return x
    shape = (*x.shape[:-1], size)
    rows, columns = (broadcasted_iota(INT32, shape, axis) for axis in (x.ndim - 2, x.ndim - 1))
    wide = pad(x, 0.0, [(0, 0, 0)] * (x.ndim - 1) + [(0, size - count, 0)])
    return select(and_(eq(rows, columns), ge(columns, count)), 1.0, wide)


LU = Lu()


def lu(x: Any) -> tuple[Any, Any, Any]:
    """LU factorisations with partial pivoting: P A = L U.

    Args:
      x: ``[..., m, n]``, floating or complex.

    Returns:
      ``(lu, pivots, permutation)``: L below the diagonal (ones on it are left out), U from it on ``[..., m, n]``;
      the row that row i changed places with ``[..., min(m, n)]``, int32; and the order of rows ``[..., m]``, int32:
      ``x[permutation] = L U``.

    Raises:
      TypeError: a dtype other than float32, float64, complex64, complex128, or less than two axes.

    >>> from functrans import lax
    >>> import numpy as np
    >>> packed, pivots, permutation = lax.linalg.lu(np.float32([[1, 3], [2, 4]]))
    >>> packed.tolist(), permutation.tolist()
    ([[2.0, 4.0], [0.5, 1.0]], [1, 0])
    """
    packed, pivots, order = bind_all(LU, [x])
    return packed, pivots, order


def lu_solve(packed: Any, order: Any, b: Any, op: str = "N") -> Any:
    """X with op(A) X = B by what ``lu`` gave for A; ``op``: "N" A itself, "T" transposed, "C" conjugate transposed."""

    def solve(right: Any, lower: bool) -> Any:
        return triangular_solve(
            packed, right, left_side=True, lower=lower, unit_diagonal=lower, transpose_a=op != "N",
            conjugate_a=op == "C",
        )  # fmt: skip

    if op == "N":
        return solve(solve(permute_rows(b, order), True), False)
    return permute_rows(solve(solve(b, False), True), inverse_permutation(order))
