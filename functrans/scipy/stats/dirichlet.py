"""The Dirichlet distribution: densities of points on the simplex."""

from __future__ import annotations

import math

from functrans import lax
from functrans.errors import FunctransValueError
from functrans.numpy.creation import asarray
from functrans.numpy.joining import concatenate
from functrans.numpy.promotion import promote_dtypes
from functrans.numpy.reductions import all as every
from functrans.numpy.reductions import sum as total
from functrans.numpy.selection import where
from functrans.scipy.special.arguments import Array, ArrayLike
from functrans.scipy.special.entropies import xlogy


def logpdf(x: ArrayLike, alpha: ArrayLike) -> Array:
    """The logarithm of the density at x: [k, ...] or [k - 1, ...], the last coordinate left out, for alpha: [k].

    Raises:
      ValueError: alpha is not a vector, or x has another number of coordinates.

    >>> from functrans.scipy.stats import dirichlet
    >>> import numpy as np
    >>> round(float(dirichlet.logpdf(np.float32([0.2, 0.8]), np.float32([1, 2]))), 4)
    0.47
    """
    x, alpha = map(asarray, promote_dtypes("dirichlet.logpdf", asarray(x), asarray(alpha), inexact=True))
    if alpha.ndim != 1 or not x.ndim or x.shape[0] not in (alpha.shape[0], alpha.shape[0] - 1):
        raise FunctransValueError(
            f"dirichlet.logpdf: alpha must be a vector and x have as many coordinates along axis 0, or one fewer; got "
            f"shapes {tuple(x.shape)} of x and {tuple(alpha.shape)} of alpha"
        )
    if x.shape[0] != alpha.shape[0]:
        x = concatenate([x, 1.0 - total(x, 0, keepdims=True)], 0)
    constant = total(lax.lgamma(alpha)) - lax.lgamma(total(alpha))
    exponents = lax.broadcast_in_dim(alpha - 1.0, x.shape, (0,))
    on_simplex = every(x > 0.0, 0) & (lax.abs(total(x, 0) - 1.0) < 1e-6)
    return where(on_simplex, total(xlogy(exponents, x), 0) - constant, -math.inf)


def pdf(x: ArrayLike, alpha: ArrayLike) -> Array:
    """The density at x, as ``logpdf``.

    >>> from functrans.scipy.stats import dirichlet
    >>> import numpy as np
    >>> float(dirichlet.pdf(np.float32([0.5, 0.6]), np.float32([1, 1])))
    0.0
    """
    return lax.exp(logpdf(x, alpha))
