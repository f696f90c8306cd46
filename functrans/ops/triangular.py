"""Systems of equations whose matrix is a triangle or three diagonals: linear in the right-hand side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from functrans.errors import FunctransValueError
from functrans.ir.types import ArrayType, Shape
from functrans.ops.complex_numbers import conj
from functrans.ops.elementwise import add, mul, neg, sub
from functrans.ops.matrices import Kernels, MatrixKernel, Written, flip, matmul, scipy_linalg, tril, triu
from functrans.ops.slicing import concatenate, slice_in_dim
from functrans.ops.structural import broadcast_in_dim, reshape, spread, transpose, zeros_like
from functrans.trace.binding import bind
from functrans.trace.detection import Detection, Entry
from functrans.trace.primitive import Lanes, Tangent, Value
from functrans.trace.series import Line


def batched_columns(solve: Callable[[Any], Any], b: Any) -> Any:
    """One system, a batch of right-hand sides [size, ..., m, k]: solved as the columns of one [..., m, size * k]."""
    n = b.ndim
    inner = transpose(b, (*range(1, n - 1), 0, n - 1))
    flat = reshape(inner, (*inner.shape[:-2], inner.shape[-2] * inner.shape[-1]))
    return transpose(reshape(solve(flat), inner.shape), (n - 2, *range(n - 2), n - 1))


class TriangularSolve(MatrixKernel):
    """X with op(A) X = B (``left_side``) or X op(A) = B, where op(A) is A, A^T, conj(A) or A^H and A a triangle.

    The other triangle of A is not read, nor its diagonal, of ones, with ``unit_diagonal``.
    """

    left_side: bool
    lower_: bool
    transpose_a: bool
    conjugate_a: bool
    unit_diagonal: bool
    name = "triangular_solve"
    ranks = (2, 2)
    square = True

    def shapes(self, *shapes: Shape) -> list[Shape]:
        a, b = shapes
        if a[0] != b[0 if self.left_side else 1]:
            side = "rows" if self.left_side else "columns"
            raise self.refuse(f"the right-hand side must have as many {side} as the triangle", a, b)
        return [b]

    def reference(self, *arrays: Any) -> Sequence[Any]:
        a, b = arrays
        if not b.size:
            return [b]
        a = a.conj() if self.conjugate_a and not self.transpose_a else a
        (trsm,) = scipy_linalg().blas.get_blas_funcs(("trsm",), (a, b))
        letter = (2 if self.conjugate_a else 1) if self.transpose_a else 0
        return [trsm(1.0, a, b, side=not self.left_side, lower=self.lower_, trans_a=letter, diag=self.unit_diagonal)]

    # -- derivatives ---------------------------------------------------------------------------------------------

    def sparsity(self, detection: Detection, operands: Sequence[Entry], types: Sequence[ArrayType]) -> Any:
        a, b = operands  # linear in b, each of whose columns (rows) has a solution of its own
        if a.sets is not None:
            return super().sparsity(detection, operands, types)
        return detection.mixed(b.sets, (b.ndim - (2 if self.left_side else 1),))

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        (a, b), (a_t, b_t) = primals, tangents
        x = bind(self, a, b)
        if a_t is None:
            return x, bind(self, a, b_t)
        # op(A) X = B  =>  op(A) dX = dB - op(dA) X
        moved = neg(self._matrix(a_t))
        wide = b.shape[-1] > b.shape[-2] if self.left_side else b.shape[-2] > b.shape[-1]
        if wide:  # op(A)^-1 dop(A) first: the smaller product
            square = bind(self, a, moved)
            slope = matmul(square, x) if self.left_side else matmul(x, square)
            return x, slope if b_t is None else add(bind(self, a, b_t), slope)
        right = matmul(moved, x) if self.left_side else matmul(x, moved)
        return x, bind(self, a, right if b_t is None else add(b_t, right))

    def _matrix(self, a_t: Any) -> Any:
        """op(dA): what is read of it."""
        offset = 1 if self.unit_diagonal else 0
        moved = tril(a_t, -offset) if self.lower_ else triu(a_t, offset)
        moved = flip(moved) if self.transpose_a else moved
        return conj(moved) if self.conjugate_a else moved

    def taylor(self, line: Line, operands: Sequence[Any]) -> Any:
        a, b = operands
        beginning = line.value(a)

        def product(a: Any, x: Any) -> Any:
            return matmul(self._matrix(a), x) if self.left_side else matmul(x, self._matrix(a))

        return line.solution(lambda right: bind(self, beginning, right), product, b, a)

    def transpose(self, cotangent: Any, *operands: Any) -> Sequence[Any]:
        other = TriangularSolve(
            self.left_side, self.lower_, not self.transpose_a, self.conjugate_a, self.unit_diagonal
        )
        return [None, bind(other, operands[0], cotangent)]

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Any]:
        a, b = operands
        if mapped[0]:
            return bind(self, a, b if mapped[1] else spread(b, lanes.size)), True
        # one triangle, many right-hand sides: all of them as columns (rows) of one
        if self.left_side:
            return batched_columns(lambda columns: bind(self, a, columns), b), True
        n = b.ndim
        inner = transpose(b, (*range(1, n - 2), 0, n - 2, n - 1))  # -> [..., lanes.size * k, m]
        flat = reshape(inner, (*inner.shape[:-3], inner.shape[-3] * inner.shape[-2], inner.shape[-1]))
        x = reshape(bind(self, a, flat), inner.shape)
        return transpose(x, (n - 3, *range(n - 3), n - 2, n - 1)), True

    # -- lowering ------------------------------------------------------------------------------------------------

    def lower_cpu(self, kernels: Kernels, *operands: Written) -> Sequence[Written]:
        a, b = operands
        if self.conjugate_a and not self.transpose_a:
            a = kernels.conjugated(a)
        letters = {
            "side": "L" if self.left_side else "R", "uplo": "L" if self.lower_ else "U",
            "trans_x": ("C" if self.conjugate_a else "T") if self.transpose_a else "N",
            "diag": "U" if self.unit_diagonal else "N",
        }  # fmt: skip
        return kernels.lapack("trsm", [a, b], [b.type], letters, {1: 0})

    def lower_gpu(self, kernels: Kernels, *operands: Written) -> Sequence[Written]:
        return self.lower_elsewhere(kernels, *operands)

    def lower_elsewhere(self, kernels: Kernels, *operands: Written) -> Sequence[Written]:
        a, b = operands
        if self.conjugate_a and not self.transpose_a:
            a = kernels.conjugated(a)
        transposed = ("ADJOINT" if self.conjugate_a else "TRANSPOSE") if self.transpose_a else "NO_TRANSPOSE"
        left, lower, unit = (
            "true" if flag else "false" for flag in (self.left_side, self.lower_, self.unit_diagonal)
        )
        text = (
            f'"stablehlo.triangular_solve"({a.name}, {b.name}) <{{left_side = {left}, lower = {lower}, '
            f"transpose_a = #stablehlo<transpose {transposed}>, unit_diagonal = {unit}}}>"
        )
        return [Written(kernels.emitter.op(text, [a.type, b.type], b.type), b.type)]


def triangular_solve(
    a: Any,
    b: Any,
    *,
    left_side: bool = False,
    lower: bool = False,
    transpose_a: bool = False,
    conjugate_a: bool = False,
    unit_diagonal: bool = False,
) -> Any:
    """X with op(A) X = B, or X op(A) = B unless ``left_side``, for triangular matrices A.

    Args:
      a: ``[..., m, m]``; the triangle that ``lower`` does not name is not read.
      b: ``[..., m, n]`` (``[..., n, m]`` unless ``left_side``), or one vector ``[..., m]`` for each matrix.
      transpose_a, conjugate_a: op transposes, conjugates, or both.
      unit_diagonal: the diagonal of A is taken for ones and not read.

    Returns:
      X, of the shape and dtype of ``b``.

    Raises:
      TypeError: operands of different or unsupported dtypes, or different leading axes.
      ValueError: shapes that do not fit.

    >>> from functrans import lax
    >>> import numpy as np
    >>> a, b = np.float32([[2, 0], [1, 1]]), np.float32([[2], [3]])
    >>> lax.linalg.triangular_solve(a, b, left_side=True, lower=True).tolist()
    [[1.0], [2.0]]
    """
    op = TriangularSolve(
        bool(left_side), bool(lower), bool(transpose_a), bool(conjugate_a and np.dtype(a.dtype).kind == "c"),
        bool(unit_diagonal),
    )  # fmt: skip
    if b.ndim != a.ndim - 1:
        return bind(op, a, b)
    if not a.ndim or a.shape[-1] != b.shape[-1]:
        raise FunctransValueError(
            f"triangular_solve: a vector for each matrix must have one element for each of its rows, got {b.shape} for "
            f"{a.shape}"
        )
    column = (*b.shape, 1) if left_side else (*b.shape[:-1], 1, b.shape[-1])
    return reshape(bind(op, a, reshape(b, column)), b.shape)


class TridiagonalSolve(MatrixKernel):
    """X with A X = B, where A[i, i - 1] = dl[i], A[i, i] = d[i], A[i, i + 1] = du[i]. Singular matrices give NaN.

    The first element of dl and the last of du are not read.
    """

    name = "tridiagonal_solve"
    ranks = (1, 1, 1, 2)

    def shapes(self, *shapes: Shape) -> list[Shape]:
        dl, d, du, b = shapes
        if not dl == d == du == b[:1]:
            raise self.refuse("three diagonals [..., m] and a right-hand side [..., m, n] are needed", *shapes)
        return [b]

    def reference(self, *arrays: Any) -> Sequence[Any]:
        dl, d, du, b = arrays
        if d.size < 2 or not b.size:
            with np.errstate(all="ignore"):
                return [np.where(d[:, None] == 0, np.nan, b / d[:, None])]
        (gtsv,) = scipy_linalg().lapack.get_lapack_funcs(("gtsv",), (d, b))
        *_, x, info = gtsv(dl[1:], d, du[:-1], b)
        return [x if info == 0 else np.full_like(b, np.nan)]

    # -- derivatives ---------------------------------------------------------------------------------------------

    def sparsity(self, detection: Detection, operands: Sequence[Entry], types: Sequence[ArrayType]) -> Any:
        if any(x.sets is not None for x in operands[:3]):
            return super().sparsity(detection, operands, types)
        return detection.mixed(operands[3].sets, (operands[3].ndim - 2,))

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        *diagonals, b = primals
        *moves, right = tangents
        x = bind(self, *diagonals, b)
        if any(t is not None for t in moves):
            filled = [zeros_like(v) if t is None else t for v, t in zip(diagonals, moves, strict=True)]
            moved = _tridiagonal_product(filled, x)
            right = neg(moved) if right is None else sub(right, moved)
        return x, bind(self, *diagonals, right)

    def transpose(self, cotangent: Any, *operands: Any) -> Sequence[Any]:
        dl, d, du, _ = operands
        return [None, None, None, bind(self, _moved(du, 1), d, _moved(dl, -1), cotangent)]

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Any]:
        if any(mapped[:3]):
            return super().batch(lanes, operands, mapped)
        *diagonals, b = operands
        return batched_columns(lambda columns: bind(self, *diagonals, columns), b), True

    # -- lowering ------------------------------------------------------------------------------------------------

    def lower_cpu(self, kernels: Kernels, *operands: Written) -> Sequence[Written]:
        types = [v.type for v in operands]
        *_, x, info = kernels.lapack("gtsv", operands, [*types, kernels.info], {}, {i: i for i in range(4)})
        return [kernels.where(kernels.succeeded(info), x)]

    def lower_gpu(self, kernels: Kernels, *operands: Written) -> Sequence[Written]:
        if operands[0].shape[-1] < 3:  # cuSPARSE refuses them
            return self.lower_elsewhere(kernels, *operands)
        return kernels.gpu("sparse_gtsv2_ffi", operands, [operands[3].type], {}, {3: 0})

    def lower_elsewhere(self, kernels: Kernels, *operands: Written) -> Sequence[Written]:
        raise self.unavailable(kernels)


def _moved(x: Any, by: int) -> Any:
    """[..., m]: each element one place further (by = 1) or back (-1); a zero enters."""
    axis, size = x.ndim - 1, x.shape[-1]
    if not size:
        return x
    zero = zeros_like(slice_in_dim(x, 0, 1, axis=axis))
    if by > 0:
        return concatenate([zero, slice_in_dim(x, 0, size - 1, axis=axis)], axis)
    return concatenate([slice_in_dim(x, 1, size, axis=axis), zero], axis)


def _tridiagonal_product(diagonals: Sequence[Any], x: Any) -> Any:
    """A X, for the matrix of these diagonals."""
    dl, d, du = diagonals

    def scaled(diagonal: Any, rows: Any) -> Any:
        return mul(broadcast_in_dim(diagonal, rows.shape, tuple(range(diagonal.ndim))), rows)

    above, below = (flip(_moved(flip(x), by)) for by in (1, -1))
    return add(add(scaled(d, x), scaled(dl, above)), scaled(du, below))


def tridiagonal_solve(dl: Any, d: Any, du: Any, b: Any, *, perturb_singular: bool = False) -> Any:
    """X with A X = B for matrices A of three diagonals.

    Args:
      dl: ``[..., m]``, below the diagonal: ``dl[i]`` is A[i, i - 1]; ``dl[0]`` is not read.
      d: ``[..., m]``, the diagonal.
      du: ``[..., m]``, above it: ``du[i]`` is A[i, i + 1]; ``du[m - 1]`` is not read.
      b: ``[..., m, n]``.

    Returns:
      X ``[..., m, n]``; NaN for a singular matrix.

    Raises:
      TypeError, ValueError: dtypes or shapes that do not fit.
      NotImplementedError: ``perturb_singular``.

    >>> from functrans import lax
    >>> import numpy as np
    >>> ones = np.ones(2, np.float32)
    >>> lax.linalg.tridiagonal_solve(ones, 2 * ones, ones, np.float32([[4], [5]])).tolist()
    [[1.0], [2.0]]
    """
    if perturb_singular:
        raise NotImplementedError(
            "tridiagonal_solve: perturb_singular=True is not supported; solve with a matrix that is regular"
        )
    return bind(TRIDIAGONAL_SOLVE, dl, d, du, b)


TRIDIAGONAL_SOLVE = TridiagonalSolve()
