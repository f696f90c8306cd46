"""The normal distribution cut to [loc + a scale, loc + b scale]."""

from __future__ import annotations

import math
from typing import Any

from functrans import lax
from functrans.numpy.selection import where
from functrans.scipy.special.arguments import Array, ArrayLike, real_operands
from functrans.scipy.special.normal import log_ndtr, ndtr


def _log_mass(a: Any, b: Any) -> Any:
    """log(P(a < Z <= b)), from the tail that both bounds lie in, where they do; a < b."""
    right, central = a > 0.0, (a <= 0.0) & (b > 0.0)
    low, high = where(right, -b, a), where(right, -a, b)
    low, high = where(central, -1.0, low), where(central, 0.0, high)
    log_high = log_ndtr(high)
    tail = log_high + lax.log(-lax.expm1(log_ndtr(low) - log_high))
    inside_a, inside_b = where(central, a, -1.0), where(central, b, 1.0)
    return where(central, lax.log1p(-ndtr(inside_a) - ndtr(-inside_b)), tail)


def _standardised(name: str, x: Any, a: Any, b: Any, loc: Any, scale: Any) -> tuple[Any, Any, Any, Any, Any]:
    """((x - loc) / scale cut to the bounds, the bounds, the scale, whether bounds are in order and it is positive)"""
    x, a, b, loc, scale = real_operands(name, x, a, b, loc, scale)
    ordered = (a < b) & (scale > 0.0)
    scale = where(scale > 0.0, scale, math.nan)
    return (x - loc) / scale, where(ordered, a, -1.0), where(ordered, b, 1.0), scale, ordered


def logpdf(x: ArrayLike, a: ArrayLike, b: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The logarithm of the density at x, elementwise; NaN where a >= b or scale <= 0.

    >>> from functrans.scipy.stats import truncnorm
    >>> round(float(truncnorm.logpdf(0.0, -1.0, 1.0)), 4)
    -0.5372
    """
    y, a, b, scale, ordered = _standardised("truncnorm.logpdf", x, a, b, loc, scale)
    outside = (y < a) | (y > b)
    y = where(outside, a, y)
    inside = -0.5 * lax.square(y) - 0.5 * math.log(2.0 * math.pi) - lax.log(scale) - _log_mass(a, b)
    return where(ordered, where(outside, -math.inf, inside), math.nan)


def pdf(x: ArrayLike, a: ArrayLike, b: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The density at x, elementwise; NaN where a >= b or scale <= 0.

    >>> from functrans.scipy.stats import truncnorm
    >>> float(truncnorm.pdf(2.0, -1.0, 1.0))
    0.0
    """
    return lax.exp(logpdf(x, a, b, loc, scale))


def _log_below(y: Any, a: Any, b: Any) -> Any:
    """log(P(Z <= y)) for a < b; through its complement where it is near zero."""
    below, above = y <= a, y >= b
    middle = where(below | above, 0.5 * (where(a > -math.inf, a, -1e3) + where(b < math.inf, b, 1e3)), y)
    whole = _log_mass(a, b)
    log_cdf, log_sf = _log_mass(a, middle) - whole, _log_mass(middle, b) - whole
    near_one = log_cdf > -0.1
    log_cdf = where(near_one, lax.log1p(-lax.exp(where(near_one, log_sf, -1.0))), log_cdf)
    return where(above, 0.0, where(below, -math.inf, log_cdf))


def logcdf(x: ArrayLike, a: ArrayLike, b: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The logarithm of the probability of values up to x, elementwise; NaN where a >= b or scale <= 0.

    >>> from functrans.scipy.stats import truncnorm
    >>> round(float(truncnorm.logcdf(0.0, -1.0, 1.0)), 4)
    -0.6931
    """
    y, a, b, _, ordered = _standardised("truncnorm.logcdf", x, a, b, loc, scale)
    return where(ordered, _log_below(y, a, b), math.nan)


def cdf(x: ArrayLike, a: ArrayLike, b: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The probability of values up to x, elementwise; NaN where a >= b or scale <= 0.

    >>> from functrans.scipy.stats import truncnorm
    >>> float(truncnorm.cdf(1.0, -1.0, 1.0))
    1.0
    """
    return lax.exp(logcdf(x, a, b, loc, scale))


def logsf(x: ArrayLike, a: ArrayLike, b: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The logarithm of the probability of values above x, elementwise; NaN where a >= b or scale <= 0.

    >>> from functrans.scipy.stats import truncnorm
    >>> round(float(truncnorm.logsf(0.0, -1.0, 1.0)), 4)
    -0.6931
    """
    y, a, b, _, ordered = _standardised("truncnorm.logsf", x, a, b, loc, scale)
    return where(ordered, _log_below(-y, -b, -a), math.nan)


def sf(x: ArrayLike, a: ArrayLike, b: ArrayLike, loc: ArrayLike = 0, scale: ArrayLike = 1) -> Array:
    """The probability of values above x, elementwise; NaN where a >= b or scale <= 0.

    >>> from functrans.scipy.stats import truncnorm
    >>> float(truncnorm.sf(-1.0, -1.0, 1.0))
    1.0
    """
    return lax.exp(logsf(x, a, b, loc, scale))
