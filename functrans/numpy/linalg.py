"""``jax.numpy.linalg``: norms, powers and chains of matrices; equations and factorisations from ``equations``."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

from functrans import lax
from functrans.errors import FunctransValueError
from functrans.numpy import reductions
from functrans.numpy.arithmetic import absolute, power
from functrans.numpy.calculus import trace as _trace
from functrans.numpy.comparison import isnan, not_equal
from functrans.numpy.creation import asarray, astype
from functrans.numpy.einsum import einsum
from functrans.numpy.equations import cholesky, det, inv, qr, slogdet, solve, tensorinv, tensorsolve
from functrans.numpy.grids import diagonal as _diagonal
from functrans.numpy.grids import eye
from functrans.numpy.products import cross as _cross
from functrans.numpy.products import matmul, tensordot, vecdot
from functrans.numpy.products import outer as _outer
from functrans.numpy.promotion import Array, ArrayLike, as_operand, axis_indices, promote_dtypes, strengthened
from functrans.numpy.selection import where
from functrans.numpy.shapes import matrix_transpose, ravel
from functrans.numpy.spectra import (
    eig,
    eigh,
    eigvals,
    eigvalsh,
    lstsq,
    matrix_rank,
    pinv,
    spectral_norm,
    svd,
    svdvals,
)

__all__ = [
    "cholesky", "cond", "cross", "det", "diagonal", "eig", "eigh", "eigvals", "eigvalsh", "inv", "lstsq", "matmul",
    "matrix_norm", "matrix_power", "matrix_rank", "matrix_transpose", "multi_dot", "norm", "outer", "pinv", "qr",
    "slogdet", "solve", "svd", "svdvals", "tensordot", "tensorinv", "tensorsolve", "trace", "vecdot", "vector_norm",
]  # fmt: skip


def norm(x: ArrayLike, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Array:
    """A norm of vectors (one axis) or matrices (two axes).

    Vectors: ``ord`` a number (2 by default), inf, -inf, 0. Matrices: 'fro' (default), 1, -1, inf, -inf, and by
    singular values 2, -2, 'nuc'. The gradient of Euclidean norms at 0 is NaN, as in JAX.

    >>> import functrans.numpy as fnp
    >>> fnp.linalg.norm(fnp.array([3., 4.]))
    Array(5., dtype=float32)
    """
    (x,) = promote_dtypes("norm", asarray(as_operand("norm", x)), inexact=True)
    if axis is None:
        if ord is None:
            flat = ravel(x)
            result = lax.sqrt(_sum_of_squares(flat, (0,), False))
            return lax.reshape(result, (1,) * x.ndim) if keepdims else result
        axes = tuple(range(x.ndim))
    else:
        axes = axis_indices("norm", axis, x.ndim)
    if len(axes) == 1:
        return _vector_norm(x, axes, 2 if ord is None else ord, keepdims)
    if len(axes) == 2:
        return _matrix_norm(x, axes, "fro" if ord is None else ord, keepdims)
    raise FunctransValueError(f"norm: ord={ord!r} needs one axis (vectors) or two (matrices), got {len(axes)}")


def _sum_of_squares(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    squares = lax.square(x) if x.dtype.kind != "c" else lax.real(lax.mul(x, lax.conj(x)))
    return reductions.sum(squares, axes, keepdims=keepdims)


def _vector_norm(x: Any, axes: tuple[int, ...], ord: Any, keepdims: bool) -> Any:
    if isinstance(ord, str):
        raise FunctransValueError(f"norm: ord must be a number for vectors, got {ord!r}")
    if ord == 2:
        return lax.sqrt(_sum_of_squares(x, axes, keepdims))
    if ord == math.inf:
        return reductions.max(absolute(x), axes, keepdims=keepdims, initial=0)
    if ord == -math.inf:
        return reductions.min(absolute(x), axes, keepdims=keepdims)
    if ord == 0:
        return reductions.sum(astype(not_equal(x, 0), absolute(x).dtype), axes, keepdims=keepdims)
    if ord == 1:
        return reductions.sum(absolute(x), axes, keepdims=keepdims)
    return power(reductions.sum(power(absolute(x), float(ord)), axes, keepdims=keepdims), 1.0 / float(ord))


def _matrix_norm(x: Any, axes: tuple[int, ...], ord: Any, keepdims: bool) -> Any:
    rows, columns = axes
    if ord == "fro":
        return lax.sqrt(_sum_of_squares(x, axes, keepdims))
    if ord in (1, -1, math.inf, -math.inf):
        summed, other = (rows, columns) if abs(ord) == 1 else (columns, rows)
        sums = reductions.sum(absolute(x), summed, keepdims=True)
        if ord > 0:
            result = reductions.max(sums, other, keepdims=True, initial=0)
        else:
            result = reductions.min(sums, other, keepdims=True)
        shape = tuple(n for i, n in enumerate(result.shape) if i not in axes)
        return result if keepdims else lax.reshape(result, shape)
    if ord in ("nuc", 2, -2):
        rest = [i for i in range(x.ndim) if i not in axes]
        found = spectral_norm(lax.transpose(x, (*rest, rows, columns)), ord)
        return lax.expand_dims(found, axes) if keepdims else found
    raise FunctransValueError(f"norm: ord of matrices must be 'fro', 'nuc', 1, -1, 2, -2, inf or -inf, got {ord!r}")


def vector_norm(x: ArrayLike, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Array:
    """The norm of vectors along ``axis`` (a tuple counts as one axis; None takes all elements)."""
    (x,) = promote_dtypes("vector_norm", asarray(as_operand("vector_norm", x)), inexact=True)
    return _vector_norm(x, axis_indices("vector_norm", axis, x.ndim), ord, keepdims)


def matrix_norm(x: ArrayLike, /, *, keepdims: bool = False, ord: Any = "fro") -> Array:
    """The norm of the matrices in the last two axes."""
    return norm(x, ord, (-2, -1), keepdims)


def cond(x: ArrayLike, p: Any = None) -> Array:
    """The condition numbers of matrices in a norm: ``[...]``.

    Args:
      x: ``[..., m, n]``, neither 0; square but for the spectral norm.
      p: None or 2 (the largest singular value by the smallest), -2, or what ``norm`` takes for matrices.

    Raises:
      ValueError: no matrices, empty ones, or none that are square where that is needed.

    >>> import functrans.numpy as fnp
    >>> fnp.linalg.cond(fnp.array([[4., 0.], [0., 2.]]))
    Array(2., dtype=float32)
    """
    (a,) = promote_dtypes("cond", asarray(as_operand("cond", x)), inexact=True)
    if a.ndim < 2 or not a.shape[-1] or not a.shape[-2]:
        raise FunctransValueError(f"cond: matrices that are not empty are needed, got shape {tuple(a.shape)}")
    if p in (None, 2, -2):
        s = svdvals(a)
        last = s.ndim - 1
        largest, smallest = (lax.index_in_dim(s, i, last, keepdims=False) for i in (0, s.shape[last] - 1))
        if p != -2:
            return lax.div(largest, smallest)
        found = lax.div(smallest, largest)
    else:
        if a.shape[-1] != a.shape[-2]:
            raise FunctransValueError(f"cond: with p={p!r} square matrices are needed, got shape {tuple(a.shape)}")
        found = lax.mul(norm(a, p, (-2, -1)), norm(inv(a), p, (-2, -1)))
    unknown = lax.bitwise_and(isnan(found), lax.bitwise_not(reductions.any(isnan(a), (-2, -1))))
    return where(unknown, math.inf, found)


def matrix_power(a: ArrayLike, n: int) -> Array:
    """A square matrix to a static integer power, by squaring; a negative power is one of the inverse.

    >>> import functrans.numpy as fnp
    >>> fnp.linalg.matrix_power(fnp.array([[1, 1], [0, 1]]), 3)
    Array([[1, 3],
           [0, 1]], dtype=int32)
    """
    x = asarray(as_operand("matrix_power", a))
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise FunctransValueError(f"matrix_power: square matrices are needed, got shape {tuple(x.shape)}")
    n = operator.index(n)
    if n < 0:
        x, n = inv(x), -n
    if not n:
        unit = eye(x.shape[-1], dtype=x.dtype)
        return lax.broadcast_in_dim(unit, tuple(x.shape), (x.ndim - 2, x.ndim - 1))
    result = None
    while True:
        if n & 1:
            result = x if result is None else matmul(result, x)
        n >>= 1
        if not n:
            return result
        x = matmul(x, x)


def multi_dot(arrays: Sequence[ArrayLike], *, precision: Any = None) -> Array:
    """The product of several matrices (the first and last may be vectors) in the cheapest order."""
    given = [asarray(a) for a in arrays]
    if not given:
        raise FunctransValueError("multi_dot: at least one array is needed")
    for i, a in enumerate(given):
        if a.ndim != 2 and not (a.ndim == 1 and i in (0, len(given) - 1)):
            raise FunctransValueError(f"multi_dot: matrices are needed, argument {i} has shape {tuple(a.shape)}")
    if len(given) == 1:
        return given[0]
    names = [chr(ord("a") + i) + chr(ord("a") + i + 1) for i in range(len(given))]
    if given[0].ndim == 1:
        names[0] = names[0][1]
    if given[-1].ndim == 1:
        names[-1] = names[-1][0]
    result = (names[0][0] if given[0].ndim == 2 else "") + (names[-1][-1] if given[-1].ndim == 2 else "")
    return einsum(f"{','.join(names)}->{result}", *given, optimize="optimal", precision=precision)


def cross(x1: ArrayLike, x2: ArrayLike, /, *, axis: int = -1) -> Array:
    """The vector product of vectors of 3 components."""
    return _cross(x1, x2, axis=axis)


def outer(x1: ArrayLike, x2: ArrayLike, /) -> Array:
    """All products of elements of two vectors."""
    return _outer(x1, x2)


def trace(x: ArrayLike, /, *, offset: int = 0, dtype: Any = None) -> Array:
    """The sum of a diagonal of the last two axes."""
    return _trace(x, offset, -2, -1, dtype)


def diagonal(x: ArrayLike, /, *, offset: int = 0) -> Array:
    """A diagonal of the last two axes."""
    return strengthened(_diagonal(x, offset, -2, -1))
