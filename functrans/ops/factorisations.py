"""Direct factorisations of matrices: Cholesky, LU, QR."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from functrans.ir.types import Shape
from functrans.ops.elementwise import add, mul
from functrans.ops.matrices import Kernels, MatrixKernel, Value, adjoint, diagonal_halved, matmul, tril
from functrans.ops.triangular import triangular_solve
from functrans.trace.builder import bind


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

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        # dL = L phi(L^-1 dA L^-H), phi: the lower triangle with half the diagonal (Murray 2016, arXiv 1602.07527). The
        # tangent is that of the Hermitian matrix which the lower triangle stands for.
        factor = bind(self, primals[0])
        half = diagonal_halved(tril(tangents[0]))
        inner = triangular_solve(factor, add(half, adjoint(half)), lower=True, transpose_a=True, conjugate_a=True)
        inner = triangular_solve(factor, inner, left_side=True, lower=True)
        return factor, matmul(factor, diagonal_halved(tril(inner)))

    def lower_cpu(self, kernels: Kernels, *operands: Value) -> Sequence[Value]:
        (a,) = operands
        factor, info = kernels.lapack("potrf", [a], [a.type, kernels.info], {"uplo": "L"}, {0: 0})
        return [kernels.triangle(kernels.where(kernels.succeeded(info), factor), True)]

    def lower_gpu(self, kernels: Kernels, *operands: Value) -> Sequence[Value]:
        (a,) = operands
        factor, info = kernels.gpu("solver_potrf_ffi", [a], [a.type, kernels.info], {"lower": True}, {0: 0})
        return [kernels.triangle(kernels.where(kernels.succeeded(info), factor), True)]

    def lower_elsewhere(self, kernels: Kernels, *operands: Value) -> Sequence[Value]:
        (a,) = operands
        text = f"stablehlo.cholesky {a.name}, lower = true : {kernels.emitter.text(a.type)}"
        return [kernels.triangle(Value(kernels.emitter.raw(text), a.type), True)]


def cholesky(a: Any, *, symmetrize_input: bool = True) -> Any:
    """The lower triangular factors of Hermitian positive definite matrices: L L^H = A.

    Args:
      a: ``[..., n, n]``, floating or complex.
      symmetrize_input: factorise (A + A^H) / 2. If False the lower triangle alone is read, and has a derivative.

    Returns:
      L ``[..., n, n]``, of the dtype of ``a``; NaN for a matrix that is not positive definite.

    Raises:
      TypeError: a dtype other than float32, float64, complex64, complex128, or less than two axes.
      ValueError: matrices that are not square.

    >>> from functrans import lax
    >>> import numpy as np
    >>> lax.linalg.cholesky(np.float32([[4, 2], [2, 10]])).tolist()
    [[2.0, 0.0], [1.0, 3.0]]
    """
    if symmetrize_input:
        a = mul(add(a, adjoint(a)), 0.5)
    return bind(CHOLESKY, a)


CHOLESKY = Cholesky()
