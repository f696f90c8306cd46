"""The normal distribution: density, distribution function, their logarithms and inverses."""

from __future__ import annotations

import math
from typing import Any

from functrans import lax
from functrans.numpy.selection import where
from functrans.scipy.special.arguments import Array, ArrayLike, real_operands
from functrans.scipy.special.normal import log_ndtr, ndtr, ndtri


def _located(name: str, x: ArrayLike, loc: ArrayLike, scale: ArrayLike) -> list[Any]:
    """The operands, NaN in the place of a scale that is not positive."""
    x, loc, scale = real_operands(name, x, loc, scale)
    return [x, loc, where(scale > 0.0, scale, math.nan)]


def logpdf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The logarithm of the density at x, elementwise.

    >>> from functrans.scipy.stats import norm
    >>> round(float(norm.logpdf(0.0)), 4)
    -0.9189
    """
    x, loc, scale = _located("norm.logpdf", x, loc, scale)
    square = lax.square(scale)
    return -0.5 * (math.log(2 * math.pi) + lax.log(square) + lax.square(x - loc) / square)


def pdf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The density at x, elementwise.

    >>> from functrans.scipy.stats import norm
    >>> round(float(norm.pdf(0.0)), 4)
    0.3989
    """
    return lax.exp(logpdf(x, loc, scale))


def _standardised(name: str, x: Any, loc: Any, scale: Any) -> Any:
    x, loc, scale = _located(name, x, loc, scale)
    return (x - loc) / scale


def cdf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The probability of values up to x, elementwise.

    >>> from functrans.scipy.stats import norm
    >>> float(norm.cdf(0.0))
    0.5
    """
    return ndtr(_standardised("norm.cdf", x, loc, scale))


def logcdf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The logarithm of the probability of values up to x, elementwise.

    >>> from functrans.scipy.stats import norm
    >>> round(float(norm.logcdf(0.0)), 4)
    -0.6931
    """
    return log_ndtr(_standardised("norm.logcdf", x, loc, scale))


def ppf(q: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The x that values stay below with probability q, elementwise.

    >>> from functrans.scipy.stats import norm
    >>> float(norm.ppf(0.5))
    0.0
    """
    q, loc, scale = _located("norm.ppf", q, loc, scale)
    return ndtri(q) * scale + loc


def sf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The probability of values above x, elementwise.

    >>> from functrans.scipy.stats import norm
    >>> float(norm.sf(0.0))
    0.5
    """
    return ndtr(-_standardised("norm.sf", x, loc, scale))


def logsf(x: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The logarithm of the probability of values above x, elementwise.

    >>> from functrans.scipy.stats import norm
    >>> round(float(norm.logsf(0.0)), 4)
    -0.6931
    """
    return log_ndtr(-_standardised("norm.logsf", x, loc, scale))


def isf(q: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The x that values stay above with probability q, elementwise.

    >>> from functrans.scipy.stats import norm
    >>> float(norm.isf(0.5))
    0.0
    """
    q, loc, scale = _located("norm.isf", q, loc, scale)
    return loc - ndtri(q) * scale  # 1 - q would lose the digits of a small q
