"""The functions of ``jax.numpy.linalg`` that need eigenvalues or singular values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from functrans import lax
from functrans.control.composite import Composite
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.lax import linalg as kernels
from functrans.numpy import reductions
from functrans.numpy.arithmetic import absolute
from functrans.numpy.comparison import greater
from functrans.numpy.creation import asarray
from functrans.numpy.promotion import Array, ArrayLike, as_operand, promote_dtypes, static_value
from functrans.numpy.selection import where
from functrans.numpy.shapes import expand_dims
from functrans.ops.logic import select
from functrans.ops.matrices import adjoint, flip, matmul
from functrans.ops.spectra import check_subset
from functrans.ops.structural import convert
from functrans.trace.binding import bind
from functrans.trace.frames import here
from functrans.trace.primitive import Tangent, Value


class EigResult(NamedTuple):
    """What ``eig`` returns."""

    eigenvalues: Any
    eigenvectors: Any


class EighResult(NamedTuple):
    """What ``eigh`` returns."""

    eigenvalues: Any
    eigenvectors: Any


class SVDResult(NamedTuple):
    """What ``svd`` returns."""

    U: Any
    S: Any
    Vh: Any


def _matrices(operation: str, a: ArrayLike) -> Any:
    (a,) = promote_dtypes(operation, asarray(as_operand(operation, a)), inexact=True)
    if a.ndim < 2:
        raise FunctransValueError(f"{operation}: matrices are needed, got shape {tuple(a.shape)} at {here()}")
    return a


def _product(*factors: Any) -> Any:
    first, *rest = factors
    for x in rest:
        first = matmul(first, x)
    return first


def _epsilon(x: Any) -> float:
    return float(ml_dtypes.finfo(x.dtype).eps)  # type: ignore[no-untyped-call]


def eigh(a: ArrayLike, UPLO: str | None = None, symmetrize_input: bool = True) -> EighResult:
    """Eigenvalues in ascending order and eigenvectors of Hermitian matrices.

    Args:
      a: ``[..., n, n]``.
      UPLO: 'L' or 'U', the triangle that is read with ``symmetrize_input=False``.
      symmetrize_input: decompose (a + a^H) / 2.

    Returns:
      eigenvalues ``[..., n]``, real, and eigenvectors ``[..., n, n]`` in columns. What their derivatives are at
      repeated eigenvalues is said in ``lax.linalg.eigh``.

    Raises:
      ValueError: no matrices, not square, or another UPLO. TypeError: a dtype without a kernel.

    >>> import functrans.numpy as fnp
    >>> fnp.linalg.eigh(fnp.array([[2., 0.], [0., 1.]])).eigenvalues
    Array([1., 2.], dtype=float32)
    """
    if UPLO not in (None, "L", "U"):
        raise FunctransValueError(f"eigh: UPLO must be 'L' or 'U', got {UPLO!r}")
    vectors, values = kernels.eigh(_matrices("eigh", a), lower=UPLO != "U", symmetrize_input=symmetrize_input)
    return EighResult(values, vectors)


def eigvalsh(a: ArrayLike, UPLO: str | None = "L", *, symmetrize_input: bool = True) -> Array:
    """The eigenvalues of Hermitian matrices, in ascending order: ``[..., n]``.

    >>> import functrans.numpy as fnp
    >>> fnp.linalg.eigvalsh(fnp.array([[2., 0.], [0., 1.]]))
    Array([1., 2.], dtype=float32)
    """
    return eigh(a, UPLO, symmetrize_input).eigenvalues


def eig(a: ArrayLike) -> EigResult:
    """Eigenvalues and right eigenvectors of square matrices, complex, on CPU.

    >>> import functrans.numpy as fnp
    >>> fnp.linalg.eig(fnp.array([[2., 0.], [0., 1.]])).eigenvalues
    Array([2.+0.j, 1.+0.j], dtype=complex64)
    """
    w, vectors = kernels.eig(_matrices("eig", a), compute_left_eigenvectors=False)
    return EigResult(w, vectors)


def eigvals(a: ArrayLike) -> Array:
    """The eigenvalues of square matrices, complex, on CPU: ``[..., n]``.

    >>> import functrans.numpy as fnp
    >>> fnp.linalg.eigvals(fnp.array([[2., 0.], [0., 1.]]))
    Array([2.+0.j, 1.+0.j], dtype=complex64)
    """
    options = {"compute_left_eigenvectors": False, "compute_right_eigenvectors": False}
    return kernels.eig(_matrices("eigvals", a), **options)[0]


def svd(
    a: ArrayLike, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False,
    subset_by_index: tuple[int, int] | None = None,
) -> Any:  # fmt: skip
    """Singular values in descending order, and vectors: a = U diag(S) Vh.

    Args:
      a: ``[..., m, n]``; k = min(m, n).
      full_matrices: U ``[..., m, m]`` and Vh ``[..., n, n]``, else ``[..., m, k]`` and ``[..., k, n]``.
      compute_uv: if False S ``[..., k]`` alone.
      hermitian: a is Hermitian, and is decomposed by ``eigh``.
      subset_by_index: None or (0, k).

    Returns:
      (U, S, Vh), or S. What their derivatives are at repeated singular values is said in ``lax.linalg.svd``.

    Raises:
      ValueError: no matrices, or a part of the singular values. TypeError: a dtype without a kernel.

    >>> import functrans.numpy as fnp
    >>> fnp.linalg.svd(fnp.array([[0., 2.], [1., 0.]]), compute_uv=False)
    Array([2., 1.], dtype=float32)
    """
    x = _matrices("svd", a)
    if not hermitian:
        found = kernels.svd(x, full_matrices=full_matrices, compute_uv=compute_uv, subset_by_index=subset_by_index)
        return SVDResult(*found) if compute_uv else found
    check_subset("svd", subset_by_index, min(x.shape[-2:]))
    return _hermitian_svd(x) if compute_uv else _hermitian_svd(x).S


def _hermitian_svd(x: Any) -> SVDResult:
    """Singular values and vectors by eigenvalues and eigenvectors."""
    vectors, values = kernels.eigh(x)
    s = lax.abs(values)
    last = s.ndim - 1
    places = lax.broadcasted_iota(np.dtype(np.int32), tuple(s.shape), last)
    found = lax.sort((s, places, lax.sign(values)), dimension=last, num_keys=1)
    s, places, signs = (lax.rev(y, (last,)) for y in found)
    # row i says which eigenvector is singular vector i
    from_place = lax.broadcasted_iota(np.dtype(np.int32), (*places.shape, places.shape[-1]), places.ndim)
    order = lax.eq(from_place, flip(_rows(places, from_place)))
    chosen = flip(convert(order, x.dtype))
    u = _product(vectors, chosen)
    return SVDResult(u, s, adjoint(lax.mul(u, convert(_rows(signs, u), u.dtype))))


def _rows(w: Any, like: Any) -> Any:
    """w [..., n] as rows of matrices."""
    return lax.broadcast_in_dim(w, tuple(like.shape), (*range(like.ndim - 2), like.ndim - 1))


def svdvals(x: ArrayLike, /) -> Array:
    """The singular values of matrices, in descending order: ``[..., k]``.

    >>> import functrans.numpy as fnp
    >>> fnp.linalg.svdvals(fnp.array([[0., 2.], [1., 0.]]))
    Array([2., 1.], dtype=float32)
    """
    return svd(x, compute_uv=False)


class PseudoInverse(Composite):
    """Matrices and relative cut-offs -> pseudo-inverses; the derivative is that at a constant rank."""

    hermitian: bool
    name = "pinv"

    def define(self, *operands: Any) -> Any:
        a, rtol = operands
        u, s, vh = _hermitian_svd(a) if self.hermitian else kernels.svd(a, full_matrices=False)
        rtol = convert(rtol, s.dtype)
        largest = lax.slice_in_dim(s, 0, 1, axis=s.ndim - 1)
        cutoff = lax.mul(largest, lax.broadcast_in_dim(rtol, tuple(largest.shape), tuple(range(rtol.ndim))))
        kept = lax.gt(s, lax.broadcast_in_dim(cutoff, tuple(s.shape), tuple(range(s.ndim))))
        inverse = select(kept, lax.div(1.0, select(kept, s, 1.0)), 0.0)
        scaled = lax.mul(adjoint(vh), convert(_rows(inverse, adjoint(vh)), vh.dtype))
        return _product(scaled, adjoint(u))

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        # Golub and Pereyra 1973: dP = -P dA P + P P^H dA^H (1 - A P) + (1 - P A) dA^H P^H P
        a, rtol = primals
        p = bind(self, a, rtol)
        moved = tangents[0]
        if moved is None:
            return p, None
        if self.hermitian:
            a, moved = (lax.mul(lax.add(x, adjoint(x)), 0.5) for x in (a, moved))
        first = _product_of_three(p, adjoint(p), adjoint(moved))
        second = _product_of_three(adjoint(moved), adjoint(p), p)
        slope = lax.neg(_product_of_three(p, moved, p))
        slope = lax.add(slope, lax.sub(first, _product_of_three(first, a, p)))
        return p, lax.add(slope, lax.sub(second, _product_of_three(p, a, second)))


def _product_of_three(x: Any, y: Any, z: Any) -> Any:
    """x y z, by the cheaper of the two products in between: of a long matrix no square of the long side is made."""
    a, (b, c), d = x.shape[-2], y.shape[-2:], z.shape[-1]
    if a * c * (b + d) <= b * d * (a + c):
        return _product(_product(x, y), z)
    return _product(x, _product(y, z))


def pinv(
    a: ArrayLike, rtol: ArrayLike | None = None, hermitian: bool = False, *, rcond: ArrayLike | None = None
) -> Array:
    """The Moore-Penrose pseudo-inverses of matrices.

    Args:
      a: ``[..., m, n]``.
      rtol: ``[...]``: singular values up to this times the largest count as zero; 10 max(m, n) eps by default.
      hermitian: a is Hermitian.
      rcond: another name of ``rtol``.

    Returns:
      ``[..., n, m]``. The derivative is that of matrices of the same rank, finite for repeated singular values and for
      those that count as zero.

    Raises:
      ValueError: no matrices, or both ``rtol`` and ``rcond``.

    >>> import functrans.numpy as fnp
    >>> fnp.linalg.pinv(fnp.array([[2., 0.], [0., 0.]])).tolist()
    [[0.5, 0.0], [0.0, 0.0]]
    """
    if rcond is not None and rtol is not None:
        raise FunctransValueError("pinv: only one of rtol and rcond may be given")
    rtol = rcond if rtol is None else rtol
    x = _matrices("pinv", a)
    m, n = x.shape[-2:]
    if not m or not n:
        return lax.full((*x.shape[:-2], n, m), 0, x.dtype)
    real = lax.real(x).dtype if x.dtype.kind == "c" else x.dtype
    rtol = asarray(10.0 * max(m, n) * _epsilon(x) if rtol is None else rtol)
    rtol = lax.convert_element_type(rtol, real)
    missing = x.ndim - 2 - rtol.ndim
    if missing < 0:
        raise FunctransValueError(f"pinv: rtol of shape {tuple(rtol.shape)} does not fit matrices {tuple(x.shape)}")
    rtol = lax.broadcast_in_dim(rtol, tuple(x.shape[:-2]), tuple(range(missing, x.ndim - 2)))
    return bind(PseudoInverse(bool(hermitian)), x, lax.stop_gradient(rtol))


def matrix_rank(
    M: ArrayLike, rtol: ArrayLike | None = None, *, hermitian: bool = False, tol: ArrayLike | None = None
) -> Array:
    """How many singular values are larger than a tolerance.

    Args:
      M: ``[..., m, n]``; of a scalar or vector, whether it is not zero.
      rtol: ``[...]``, the tolerance itself, as in JAX; the largest singular value times max(m, n) eps by default.
      hermitian: M is Hermitian.
      tol: another name of ``rtol``.

    >>> import functrans.numpy as fnp
    >>> fnp.linalg.matrix_rank(fnp.array([[1., 2.], [2., 4.]]))
    Array(1, dtype=int32)
    """
    if tol is not None and rtol is not None:
        raise FunctransValueError("matrix_rank: only one of tol and rtol may be given")
    rtol = tol if rtol is None else rtol
    (x,) = promote_dtypes("matrix_rank", asarray(as_operand("matrix_rank", M)), inexact=True)
    if x.ndim < 2:
        return lax.convert_element_type(reductions.any(lax.ne(x, 0)), np.dtype(np.int32))
    s = svd(x, full_matrices=False, compute_uv=False, hermitian=hermitian)
    if rtol is None:
        rtol = lax.mul(reductions.max(s, -1), max(x.shape[-2:]) * _epsilon(x))
    return reductions.sum(greater(s, expand_dims(asarray(rtol), -1)), -1)


def lstsq(
    a: ArrayLike, b: ArrayLike, rcond: float | None = None, *, numpy_resid: bool = False
) -> tuple[Array, Array, Array, Array]:
    """The shortest x with the least squares of a x - b.

    Args:
      a: ``[m, n]``.
      b: ``[m]`` or ``[m, k]``.
      rcond: singular values below this times the largest count as zero; max(m, n) eps by default, eps if negative.
      numpy_resid: residuals as NumPy has them, empty where a is rank-deficient or m <= n; the rank must be known.

    Returns:
      x ``[n]`` or ``[n, k]``; the sums of squares of a x - b, ``[1]`` or ``[k]``; the rank of a; its singular values.
      The derivative of x is that of matrices of the same rank.

    Raises:
      TypeError: arrays of other ranks. ValueError: other lengths.

    >>> import functrans.numpy as fnp
    >>> fnp.linalg.lstsq(fnp.array([[2.], [0.]]), fnp.array([4., 1.]))[0].tolist()
    [2.0]
    """
    x, y = promote_dtypes("lstsq", *(asarray(as_operand("lstsq", v)) for v in (a, b)), inexact=True)
    if x.ndim != 2 or y.ndim not in (1, 2):
        raise FunctransTypeError(
            f"lstsq: a matrix and a right-hand side of one or two axes are needed, got shapes {tuple(x.shape)} and "
            f"{tuple(y.shape)} at {here()}"
        )
    if x.shape[0] != y.shape[0]:
        raise FunctransValueError(f"lstsq: a has {x.shape[0]} rows and b {y.shape[0]}, at {here()}")
    m, n = x.shape
    right = y if y.ndim == 2 else expand_dims(y, -1)
    rank_dtype = reductions.sum(lax.full((1,), True, np.dtype(bool))).dtype
    if not m or not n:
        s = lax.full((0,), 0, x.dtype)
        rank = lax.full((), 0, rank_dtype)
        found = lax.full((n, right.shape[1]), 0, x.dtype)
    else:
        s = svdvals(x)
        if rcond is None:
            rcond = _epsilon(x) * max(m, n)
        limit = where(lax.lt(asarray(rcond, s.dtype), 0.0), _epsilon(x), rcond)
        cutoff = lax.mul(lax.convert_element_type(limit, s.dtype), lax.index_in_dim(s, 0, keepdims=False))
        kept = lax.bitwise_and(greater(s, 0.0), lax.ge(s, lax.broadcast_in_dim(cutoff, s.shape, ())))
        rank = reductions.sum(kept)
        found = _product(pinv(x, limit), right)
    if numpy_resid and (m <= n or int(static_value("lstsq (numpy_resid=True)", "the rank", rank)) < n):
        residuals = lax.full((0,), 0, s.dtype)
    else:
        off = lax.sub(right, _product(x, found))
        residuals = reductions.sum(lax.square(absolute(off)) if off.dtype.kind == "c" else lax.square(off), 0)
    return (found if y.ndim == 2 else lax.reshape(found, (n,))), residuals, rank, s


def spectral_norm(x: Any, ord: Any) -> Any:
    """Norms of matrices in the last two axes by their singular values: ``ord`` 2, -2 or 'nuc'."""
    s = svdvals(x)
    if ord == "nuc":
        return reductions.sum(s, -1)
    return reductions.max(s, -1, initial=0) if ord > 0 else reductions.min(s, -1)


__all__ = [
    "EigResult", "EighResult", "SVDResult", "eig", "eigh", "eigvals", "eigvalsh", "lstsq", "matrix_rank", "pinv",
    "spectral_norm", "svd", "svdvals",
]  # fmt: skip
