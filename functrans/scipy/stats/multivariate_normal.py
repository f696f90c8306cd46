"""The normal distribution of vectors."""

from __future__ import annotations

import math
from typing import Any

from functrans import lax
from functrans.errors import FunctransValueError
from functrans.numpy.creation import asarray
from functrans.numpy.einsum import einsum
from functrans.numpy.equations import cholesky
from functrans.numpy.grids import diagonal
from functrans.numpy.promotion import common_shape, promote_dtypes
from functrans.numpy.reductions import sum as total
from functrans.numpy.shapes import broadcast_to
from functrans.scipy.special.arguments import Array, ArrayLike

_TWO_PI = math.log(2 * math.pi)


def logpdf(x: ArrayLike, mean: ArrayLike, cov: ArrayLike, allow_singular: None = None) -> Array:
    """The logarithm of the density at x.

    Args:
      x: ``[..., n]``, or ``[...]`` for numbers.
      mean: ``[..., n]``, or ``[]`` for numbers.
      cov: ``[..., n, n]``, positive definite, or ``[]``, the variance of each coordinate.
      allow_singular: not supported: singular covariances have no density.

    Returns:
      ``[...]``; NaN where the covariance is not positive definite.

    Raises:
      ValueError: shapes that do not fit; ``allow_singular``.

    >>> from functrans.scipy.stats import multivariate_normal
    >>> import numpy as np
    >>> round(float(multivariate_normal.logpdf(np.zeros(2, np.float32), np.zeros(2, np.float32), 1.0)), 4)
    -1.8379
    """
    if allow_singular is not None:
        raise FunctransValueError("multivariate_normal.logpdf: allow_singular is not supported; leave it out")
    name = "multivariate_normal.logpdf"
    values: list[Any] = promote_dtypes(name, asarray(x), asarray(mean), asarray(cov), inexact=True)
    x, mean, cov = map(asarray, values)
    n = mean.shape[-1] if mean.ndim else 1
    if mean.ndim and (not x.ndim or x.shape[-1] not in (1, n)):
        raise FunctransValueError(
            f"{name}: x and mean must have the same number of coordinates, got shapes {tuple(x.shape)} and "
            f"{tuple(mean.shape)}"
        )
    if cov.ndim and (not mean.ndim or cov.shape[-2:] != (n, n)):
        raise FunctransValueError(
            f"{name}: the covariance must be a number or [..., n, n] for a mean [..., n], got shapes "
            f"{tuple(cov.shape)} of cov and {tuple(mean.shape)} of mean"
        )
    y = x - mean
    if not cov.ndim:
        squares = einsum("...i,...i->...", y, y) if mean.ndim else lax.square(y)
        return -0.5 * squares / cov - 0.5 * n * (_TWO_PI + lax.log(cov))
    factor = cholesky(cov)
    batch = common_shape(name, tuple(factor.shape[:-2]), tuple(y.shape[:-1]))
    if not factor.shape[:-2]:  # one factor for all: its columns are solved together
        columns = lax.transpose(lax.reshape(y, (math.prod(y.shape[:-1]), n)), (1, 0))
        scaled = lax.linalg.triangular_solve(factor, columns, left_side=True, lower=True)
        squares = lax.reshape(total(lax.square(scaled), 0), batch)
    else:
        left, right = broadcast_to(factor, (*batch, n, n)), broadcast_to(y, (*batch, n))
        scaled = lax.linalg.triangular_solve(left, lax.expand_dims(right, (-1,)), left_side=True, lower=True)
        squares = total(lax.square(scaled), (-2, -1))
    return -0.5 * squares - 0.5 * n * _TWO_PI - total(lax.log(diagonal(factor, axis1=-2, axis2=-1)), -1)


def pdf(x: ArrayLike, mean: ArrayLike, cov: ArrayLike) -> Array:
    """The density at x, as ``logpdf``.

    >>> from functrans.scipy.stats import multivariate_normal
    >>> round(float(multivariate_normal.pdf(0.0, 0.0, 1.0)), 4)
    0.3989
    """
    return lax.exp(logpdf(x, mean, cov))
