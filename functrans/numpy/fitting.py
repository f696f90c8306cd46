"""Roots of polynomials, and polynomials fitted to points; coefficients stand the highest first."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from functrans import lax
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.numpy import reductions
from functrans.numpy.arithmetic import multiply, true_divide
from functrans.numpy.comparison import equal, less, not_equal
from functrans.numpy.creation import asarray, ones
from functrans.numpy.equations import inv
from functrans.numpy.grids import arange, diag, vander
from functrans.numpy.joining import concatenate
from functrans.numpy.products import matmul, outer
from functrans.numpy.promotion import (
    Array,
    ArrayLike,
    as_array,
    inexact_dtype,
    promote_dtypes,
    static_array,
    static_value,
)
from functrans.numpy.selection import where
from functrans.numpy.shapes import atleast_1d, expand_dims, matrix_transpose, roll
from functrans.numpy.sorting import argsort
from functrans.numpy.spectra import eigvals, lstsq


def roots(p: ArrayLike, *, strip_zeros: bool = True) -> Array:
    """The roots of a polynomial, always complex.

    Args:
      p: ``[n]`` coefficients, the highest first.
      strip_zeros: leave leading zeros out, so that their number, and with it the coefficients, must be known. With
        False the result has ``n - 1`` elements and the roots that leading zeros cost are NaN.

    Returns:
      ``[n - 1]``, or less by the number of leading zeros. Derivatives are right at simple roots and not finite at
      multiple ones, where they do not exist.

    Raises:
      ValueError: p is no vector. TypeError: leading zeros of traced coefficients are to be left out.

    >>> import functrans.numpy as fnp
    >>> sorted(round(float(x), 4) for x in fnp.roots(fnp.array([0., 1., -3., 2.])).real)
    [1.0, 2.0]
    """
    (x,) = promote_dtypes("roots", as_array("roots", p), inexact=True)
    x = atleast_1d(asarray(x))
    if x.ndim != 1:
        raise FunctransValueError(f"roots: coefficients must be a vector, got shape {tuple(x.shape)}")
    size = x.shape[0]
    if size < 2:
        return lax.full((0,), 0, _complex(x.dtype))
    if strip_zeros:
        known = static_array("roots (strip_zeros=True)", "the coefficients", not_equal(x, 0))
        found = np.flatnonzero(known)
        return _all_roots(lax.slice_in_dim(x, int(found[0]) if len(found) else size, size))
    is_zero = equal(x, 0)
    leading = where(reductions.all(is_zero), size, reductions.argmin(is_zero))
    p = roll(where(equal(leading, size), lax.full((size,), 1, x.dtype), x), lax.neg(leading))
    values = _all_roots(p)
    values = values[argsort(equal(values, 0))]  # those of the zeros that went behind come last
    return where(less(arange(size - 1), size - 1 - leading), values, complex(np.nan, np.nan))


def _complex(dtype: Any) -> Any:
    return np.result_type(dtype, np.complex64)


def _all_roots(p: Any) -> Any:
    """Eigenvalues of the companion matrix of p, whose first coefficient is not zero."""
    size = p.shape[0]
    if size < 2:
        return lax.full((0,), 0, _complex(p.dtype))
    first, rest = lax.slice_in_dim(p, 0, 1), lax.slice_in_dim(p, 1, size)
    below = lax.slice_in_dim(diag(ones(size - 2, p.dtype), -1), 1, size - 1)
    return eigvals(concatenate([expand_dims(lax.neg(true_divide(rest, first)), 0), below], 0))


def polyfit(
    x: ArrayLike, y: ArrayLike, deg: int, rcond: float | None = None, full: bool = False,
    w: ArrayLike | None = None, cov: bool | str = False,
) -> Any:  # fmt: skip
    """The polynomial with the least squares of its distances from points.

    Args:
      x: ``[m]``, not empty.
      y: ``[m]``, or ``[m, k]`` for k polynomials.
      deg: the degree, a number known while tracing.
      rcond: singular values of the scaled Vandermonde matrix below this times the largest count as zero; by default
        m times the spacing of numbers at 1.
      full: return what ``lstsq`` knows as well.
      w: ``[m]`` weights of the distances, not of their squares.
      cov: return the covariance of the coefficients as well, scaled by the squares that remain; 'unscaled' by none.

    Returns:
      Coefficients ``[deg + 1]`` or ``[deg + 1, k]``, the highest first. With ``full`` (coefficients, squares ``[1]`` or
      ``[k]``, rank, singular values, rcond). With ``cov`` (coefficients, covariance ``[deg + 1, deg + 1]``, and ``k``
      behind where there is one).

    Raises:
      ValueError: a negative degree; too few points for a scaled covariance. TypeError: shapes that do not fit.

    >>> import functrans.numpy as fnp
    >>> [round(float(c), 3) for c in fnp.polyfit(fnp.array([0., 1., 2.]), fnp.array([1., 3., 5.]), 1)]
    [2.0, 1.0]
    """
    points, values = asarray(as_array("polyfit", x)), asarray(as_array("polyfit", y))
    order = operator.index(static_value("polyfit", "deg", deg)) + 1
    if order < 1:
        raise FunctransValueError(f"polyfit: the degree must not be negative, got {order - 1}")
    if points.ndim != 1 or not points.shape[0]:
        raise FunctransTypeError(f"polyfit: x must be a vector with elements, got shape {tuple(points.shape)}")
    size = points.shape[0]
    if values.ndim not in (1, 2) or values.shape[0] != size:
        raise FunctransTypeError(
            f"polyfit: y must have one or two axes, the first as long as x, got shapes {tuple(points.shape)} of x and "
            f"{tuple(values.shape)} of y"
        )
    scaled = not full and cov and cov != "unscaled"
    if scaled and size <= order:
        raise FunctransValueError(
            f"polyfit: {size} points leave no squares to scale the covariance of {order} coefficients by; give more "
            f"points, or cov='unscaled'"
        )
    if rcond is None:
        rcond = size * float(np.finfo(inexact_dtype(points.dtype)).eps)
    left = vander(points, order)
    if w is not None:
        weights = asarray(as_array("polyfit", w))
        if weights.shape != (size,):
            raise FunctransTypeError(
                f"polyfit: w must be a vector as long as x, got shapes {tuple(weights.shape)} of w and ({size},) of x"
            )
        left = multiply(left, expand_dims(weights, 1))
        values = multiply(values, expand_dims(weights, 1) if values.ndim == 2 else weights)
    scale = lax.sqrt(reductions.sum(multiply(*promote_dtypes("polyfit", left, left, inexact=True)), 0))
    left = true_divide(left, expand_dims(scale, 0))
    found, squares, rank, singular = lstsq(left, values, rcond)
    found = true_divide(found, expand_dims(scale, 1) if found.ndim == 2 else scale)
    if full:
        return found, squares, rank, singular, asarray(rcond)
    if not cov:
        return found
    spread = true_divide(inv(matmul(matrix_transpose(left), left)), outer(scale, scale))
    factor = true_divide(squares, size - order) if scaled else asarray(1.0)
    if values.ndim == 2:
        spread, factor = expand_dims(spread, 2), expand_dims(atleast_1d(factor), (0, 1))
    return found, multiply(spread, factor)


__all__ = ["polyfit", "roots"]
