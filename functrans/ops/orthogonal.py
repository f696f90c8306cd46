"""QR factorisations: Householder reflectors, the unitary matrices they multiply to, and both at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from functrans.errors import FunctransTypeError
from functrans.ir.types import Shape, array_type, type_of
from functrans.ops.complex_numbers import complex_, imag
from functrans.ops.elementwise import add, sub
from functrans.ops.factorisations import lu, lu_solve
from functrans.ops.logic import eq, select
from functrans.ops.matrices import (
    INT32,
    Kernels,
    MatrixKernel,
    Written,
    adjoint,
    identity,
    matmul,
    scipy_linalg,
    tril,
)
from functrans.ops.permutations import permute_columns
from functrans.ops.slicing import concatenate, slice_in_dim
from functrans.ops.structural import broadcasted_iota, full, zeros_like
from functrans.ops.triangular import triangular_solve
from functrans.trace.binding import bind, bind_all
from functrans.trace.primitive import Tangent, Value


class Geqrf(MatrixKernel):
    """R in the upper triangle, Householder vectors below it, and their factors: what LAPACK's geqrf gives."""

    name = "geqrf"
    multiple = True

    def shapes(self, *shapes: Shape) -> list[Shape]:
        return [shapes[0], (min(shapes[0]),)]

    def reference(self, *arrays: Any) -> Sequence[Any]:
        (geqrf,) = scipy_linalg().lapack.get_lapack_funcs(("geqrf",), arrays)
        return geqrf(arrays[0])[:2] if arrays[0].size else [arrays[0], np.zeros(0)]

    def lower_cpu(self, kernels: Kernels, *operands: Written) -> Sequence[Written]:
        return kernels.lapack("geqrf", operands, self.results(kernels, operands[0]), {}, {0: 0})

    def lower_gpu(self, kernels: Kernels, *operands: Written) -> Sequence[Written]:
        return kernels.gpu("solver_geqrf_ffi", operands, self.results(kernels, operands[0]), {}, {0: 0})

    def lower_elsewhere(self, kernels: Kernels, *operands: Written) -> Sequence[Written]:
        return kernels.custom_call("Qr", operands, self.results(kernels, operands[0]))

    def results(self, kernels: Kernels, a: Written) -> list[Any]:
        """The types of the results."""
        return [a.type, array_type((*kernels.batch, min(a.shape[-2:])), a.dtype)]


class HouseholderProduct(MatrixKernel):
    """The first columns of the product of the reflections that ``geqrf`` gives: its Q, as many as the operand has."""

    name = "householder_product"
    ranks = (2, 1)

    def shapes(self, *shapes: Shape) -> list[Shape]:
        a, taus = shapes
        if a[0] < a[1] or taus[0] > a[1]:
            raise self.refuse("[..., m, n] with m >= n and at most n factors are needed", a, taus)
        return [a]

    def reference(self, *arrays: Any) -> Sequence[Any]:
        a, taus = arrays
        if not a.size or not taus.size:
            return [np.eye(*a.shape, dtype=a.dtype)]
        name = "ungqr" if a.dtype.kind == "c" else "orgqr"
        (gqr,) = scipy_linalg().lapack.get_lapack_funcs((name,), (a,))
        return [gqr(a, taus)[0]]

    def lower_empty(self, kernels: Kernels, *operands: Written) -> Sequence[Written]:
        return [kernels.identity(kernels.out_types[0])]

    def lower_cpu(self, kernels: Kernels, *operands: Written) -> Sequence[Written]:
        name = "ungqr" if operands[0].dtype.kind == "c" else "orgqr"
        return kernels.lapack(name, operands, [operands[0].type], {}, {0: 0})

    def lower_gpu(self, kernels: Kernels, *operands: Written) -> Sequence[Written]:
        return kernels.gpu("solver_orgqr_ffi", operands, [operands[0].type], {}, {0: 0})

    def lower_elsewhere(self, kernels: Kernels, *operands: Written) -> Sequence[Written]:
        return kernels.custom_call("ProductOfElementaryHouseholderReflectors", operands, [operands[0].type])


GEQRF, HOUSEHOLDER_PRODUCT = Geqrf(), HouseholderProduct()


class Qr(MatrixKernel):
    """Q unitary and R upper triangular with Q R = A; all columns of Q if ``full_matrices``, else min(m, n).

    With ``pivoting`` also the order p of columns, such that Q R = A[:, p] and the diagonal of R does not grow.
    """

    pivoting: bool
    full_matrices: bool
    name = "qr"
    multiple = True

    def shapes(self, *shapes: Shape) -> list[Shape]:
        ((m, n),) = shapes
        k = m if self.full_matrices else min(m, n)
        return [(m, k), (k, n), *[(n,)] * self.pivoting]

    def dtypes(self, dtype: np.dtype[Any], count: int) -> list[np.dtype[Any]]:
        return [dtype, dtype, INT32][:count]

    def reference(self, *arrays: Any) -> Sequence[Any]:
        (a,) = arrays
        if not a.size:
            (q, _), r, *order = self.shapes(a.shape)[0], *self.shapes(a.shape)[1:]
            return [np.eye(q, self.shapes(a.shape)[0][1]), np.zeros(r), *[np.arange(n) for (n,) in order]]
        mode = "full" if self.full_matrices else "economic"
        return scipy_linalg().qr(a, mode=mode, pivoting=self.pivoting, check_finite=False)  # type: ignore[no-any-return]

    # -- derivatives ---------------------------------------------------------------------------------------------

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        (a,), (a_t,) = primals, tangents
        q, r, *order = bind_all(self, [a])
        if order:
            a_t = permute_columns(a_t, order[0])
        m, n = a.shape[-2:]
        if m < n:  # A = [A1 A2] = Q [R1 R2]: A1 is square, and R2 = Q^H A2
            first, second = _columns(a_t, 0, m), _columns(a_t, m, n)
            q_t, r1_t = _thin_slopes(q, _columns(r, 0, m), first)
            r2_t = add(matmul(adjoint(q_t), matmul(q, _columns(r, m, n))), matmul(adjoint(q), second))
            slopes = [q_t, concatenate([r1_t, r2_t], r.ndim - 1)]
        elif m == n or not self.full_matrices:
            slopes = list(_thin_slopes(q, r, a_t))
        else:
            thin = _columns(q, 0, n)
            q_t, r_t = _thin_slopes(thin, _rows(r, 0, n), a_t)
            rest_t = _complement_slope(thin, _columns(q, n, m), q_t)
            below = zeros_like(_rows(r, n, m))
            slopes = [concatenate([q_t, rest_t], q.ndim - 1), concatenate([r_t, below], r.ndim - 2)]
        return [q, r, *order], [*slopes, *[None] * len(order)]

    # -- lowering ------------------------------------------------------------------------------------------------

    def lower_empty(self, kernels: Kernels, *operands: Written) -> Sequence[Written]:
        q, r, *order = kernels.out_types
        return [kernels.identity(q), kernels.fill(0, r), *[kernels.numbers(t, -1) for t in order]]

    def lower_cpu(self, kernels: Kernels, *operands: Written) -> Sequence[Written]:
        if not self.pivoting:
            return self._finished(kernels, GEQRF.lower_cpu(kernels, *operands), HOUSEHOLDER_PRODUCT.lower_cpu)
        free = kernels.fill(0, kernels.out_types[2])
        packed, taus = GEQRF.results(kernels, operands[0])
        packed, order, taus = kernels.lapack("geqp3", [*operands, free], [packed, free.type, taus], {}, {0: 0, 1: 1})
        results = self._finished(kernels, [packed, taus], HOUSEHOLDER_PRODUCT.lower_cpu)
        return [*results, kernels.op("stablehlo.subtract", [order, kernels.fill(1, order.type)], order.type)]

    def lower_gpu(self, kernels: Kernels, *operands: Written) -> Sequence[Written]:
        if self.pivoting:
            raise self.unavailable(kernels)
        return self._finished(kernels, GEQRF.lower_gpu(kernels, *operands), HOUSEHOLDER_PRODUCT.lower_gpu)

    def lower_elsewhere(self, kernels: Kernels, *operands: Written) -> Sequence[Written]:
        if self.pivoting:
            raise self.unavailable(kernels)
        return self._finished(kernels, GEQRF.lower_elsewhere(kernels, *operands), HOUSEHOLDER_PRODUCT.lower_elsewhere)

    def _finished(self, kernels: Kernels, found: Sequence[Written], product: Any) -> list[Written]:
        """Q and R from what geqrf gives."""
        packed, taus = found
        q, r = kernels.out_types[:2]
        vectors = kernels.resized(packed, q)
        return [*product(kernels, vectors, taus), kernels.triangle(kernels.resized(packed, r), False)]


def _columns(x: Any, start: int, stop: int) -> Any:
    return slice_in_dim(x, start, stop, axis=x.ndim - 1)


def _rows(x: Any, start: int, stop: int) -> Any:
    return slice_in_dim(x, start, stop, axis=x.ndim - 2)


def _thin_slopes(q: Any, r: Any, a_t: Any) -> tuple[Any, Any]:
    """The tangents of Q [m, n] and R [n, n], m >= n.

    With C = Q^H dA R^-1 = Q^H dQ + dR R^-1: the first is skew-Hermitian and the second upper triangular with a real
    diagonal, so that Q^H dQ is the lower triangle of C, less its adjoint, and the imaginary part of its diagonal.
    """
    scaled = triangular_solve(r, a_t)
    inner = matmul(adjoint(q), scaled)
    below = tril(inner, -1)
    skew = sub(below, adjoint(below))
    if inner.dtype.kind == "c":
        on_diagonal = eq(*[broadcasted_iota(INT32, inner.shape, axis) for axis in (inner.ndim - 2, inner.ndim - 1)])
        turned = imag(inner)
        skew = add(skew, select(on_diagonal, complex_(zeros_like(turned), turned), 0.0))
    rest = sub(inner, skew)
    return sub(scaled, matmul(q, rest)), matmul(rest, r)


def _complement_slope(thin: Any, rest: Any, thin_t: Any) -> Any:
    """The tangent of the columns of Q that reflections put beside the first n (arXiv 2409.13374, equations 32, 33)."""
    m, n = thin.shape[-2:]
    top, bottom = _rows(thin, 0, n), _rows(thin, n, m)
    factors, _, order = lu(sub(top, identity(top)))
    z_adjoint = lu_solve(factors, order, adjoint(bottom), "C")
    z = adjoint(z_adjoint)
    moved = sub(_rows(thin_t, n, m), matmul(z, _rows(thin_t, 0, n)))
    return sub(matmul(thin_t, z_adjoint), matmul(add(thin, matmul(rest, z)), adjoint(moved)))


# -- functions ---------------------------------------------------------------------------------------------------------


def geqrf(a: Any) -> tuple[Any, Any]:
    """``[..., m, n]`` -> R with Householder vectors below it ``[..., m, n]``, their factors ``[..., min(m, n)]``."""
    packed, taus = bind_all(GEQRF, [a])
    return packed, taus


def householder_product(a: Any, taus: Any) -> Any:
    """The first n columns of the product of reflections I - tau v v^H.

    Args:
      a: ``[..., m, n]``, m >= n: the vectors, below its diagonal (ones on it and zeros above are supposed).
      taus: ``[..., k]``, k <= n: their factors.

    Returns:
      ``[..., m, n]`` with orthonormal columns.

    Raises:
      TypeError: dtypes that do not fit. ValueError: shapes that do not fit.

    >>> from functrans import lax
    >>> import numpy as np
    >>> lax.linalg.householder_product(np.float32([[0, 0], [1, 0]]), np.float32([1, 0])).tolist()
    [[0.0, -1.0], [-1.0, 0.0]]
    """
    return bind(HOUSEHOLDER_PRODUCT, a, taus)


def ormqr(a: Any, taus: Any, c: Any, *, left: bool = True, transpose: bool = False) -> Any:
    """A matrix multiplied by the square Q that reflections make: Q C, C Q, or with the adjoint of Q.

    Args:
      a: ``[..., m, n]``: the reflections, below its diagonal, as ``geqrf`` gives them.
      taus: ``[..., k]``, k <= min(m, n): their factors.
      c: ``[..., m, p]``, or ``[..., p, m]`` with ``left=False``.
      left: Q stands on the left. transpose: the adjoint of Q in place of Q.

    Returns:
      An array like ``c``. Q is made, ``[..., m, m]``: the cost is that of two products of such matrices.

    Raises:
      TypeError: dtypes that do not fit. ValueError: shapes that do not fit.

    >>> from functrans import lax
    >>> import numpy as np
    >>> a, taus, c = np.float32([[0], [1]]), np.float32([1]), np.float32([[2], [3]])
    >>> lax.linalg.ormqr(a, taus, c).tolist()
    [[-3.0], [-2.0]]
    """
    type_ = type_of(a)
    m, n = type_.shape[-2:]
    if n < m:
        a = concatenate([a, full((*type_.shape[:-1], m - n), 0, type_.dtype)], type_.ndim - 1)
    elif n > m:
        a = slice_in_dim(a, 0, m, 1, type_.ndim - 1)
    q = householder_product(a, taus)
    if transpose:
        q = adjoint(q)
    return matmul(q, c) if left else matmul(c, q)


def qr(
    x: Any, *, pivoting: bool = False, full_matrices: bool = True, use_magma: bool | None = None
) -> tuple[Any, Any] | tuple[Any, Any, Any]:
    """QR factorisations: Q with orthonormal columns, R upper triangular, Q R = A.

    Args:
      x: ``[..., m, n]``, floating or complex.
      pivoting: also return the order p of columns with Q R = A[:, p] and a falling diagonal of R (on CPU).
      full_matrices: Q ``[..., m, m]`` and R ``[..., m, n]``; else Q ``[..., m, k]``, R ``[..., k, n]``, k = min(m, n).
      use_magma: must be None.

    Returns:
      ``(q, r)``, or ``(q, r, p)`` with p ``[..., n]`` int32. Derivatives suppose that the first min(m, n) columns are
      independent.

    Raises:
      TypeError: a dtype other than float32, float64, complex64, complex128, less than two axes, or ``use_magma``.

    >>> from functrans import lax
    >>> import numpy as np
    >>> q, r = lax.linalg.qr(np.float32([[3, 1], [4, 2]]))
    >>> abs(np.asarray(r)).round(3).tolist()
    [[5.0, 2.200000047683716], [0.0, 0.4000000059604645]]
    """
    if use_magma is not None:
        raise FunctransTypeError(f"qr: use_magma={use_magma} cannot be asked for; leave it out")
    return tuple(bind_all(Qr(bool(pivoting), bool(full_matrices)), [x]))
