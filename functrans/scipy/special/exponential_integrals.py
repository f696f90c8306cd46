"""The exponential integrals E_1 and Ei.

    E_1(x) = -gamma - log(x) + x - x^2/(2 2!) + x^3/(3 3!) - ...           (DLMF 6.6.2)  for small x
    E_1(x) = e^-x / (x+1 - 1/(x+3 - 4/(x+5 - 9/(x+7 - ...                  (DLMF 6.9.1, its even part)  for others
    Ei(x)  = gamma + log(x) + x + x^2/(2 2!) + x^3/(3 3!) + ...            (DLMF 6.6.1)  for x > 0
    Ei(x)  ~ e^x / x (1 + 1/x + 2!/x^2 + 3!/x^3 + ...)                     (DLMF 6.12.2) for large x
    Ei(x)  = -E_1(-x)                                                      for x < 0
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from functrans import lax
from functrans.lax.evaluated import Evaluated
from functrans.numpy.selection import where
from functrans.ops.special import scipy_reference
from functrans.scipy.special.arguments import Array, ArrayLike, real_operand
from functrans.trace.binding import bind


def _is_double(x: Any) -> bool:
    return bool(x.dtype == np.float64)


def _series(x: Any, terms: int) -> Any:
    """x + x^2/(2 2!) + x^3/(3 3!) + ..."""
    total = 1.0
    for k in range(terms, 1, -1):
        total = 1.0 + x * ((k - 1) / k**2) * total
    return x * total


def _e1(x: Any) -> Any:
    limit, steps, terms = (1.5, 60, 24) if _is_double(x) else (1.0, 24, 14)
    small = x <= limit
    near, far = where(small, x, 1.0), where(small, 2.0, x)
    fraction = far + (2.0 * steps + 1.0)
    for k in range(steps, 0, -1):
        fraction = far + (2.0 * k - 1.0) - (1.0 * k**2) / fraction
    return where(small, -np.euler_gamma - lax.log(near) - _series(-near, terms), lax.exp(-far) / fraction)


class Exp1(Evaluated):
    """E_1(x) for x >= 0."""

    impl = scipy_reference("exp1")

    def define(self, *operands: Any) -> Any:
        return _e1(operands[0])

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return lax.neg(lax.exp(lax.neg(x)) / x)


class Expi(Evaluated):
    """Ei(x)."""

    impl = scipy_reference("expi")

    def define(self, *operands: Any) -> Any:
        (x,) = operands
        limit, terms = (40, 140) if _is_double(x) else (18, 70)
        positive, large = x > 0.0, x > limit
        near = where(positive & ~large, x, 1.0)
        sum_of_series = np.euler_gamma + lax.log(near) + _series(near, terms)
        far = where(large, x, 2.0 * limit)
        asymptotic = 1.0
        for k in range(limit, 0, -1):
            asymptotic = 1.0 + (k / far) * asymptotic
        half = lax.exp(0.5 * far)
        large_value = where(far == math.inf, math.inf, half * (half / far * asymptotic))
        negative = -_e1(where(positive, 1.0, -x))
        return where(large, large_value, where(positive, sum_of_series, negative))

    def partial(self, i: int, out: Any, x: Any) -> Any:
        part = 0.5 * where(x > 0.0, x, 0.0)  # exp(x) overflows before Ei(x) does
        return lax.exp(x - part) / x * lax.exp(part)


EXP1, EXPI = Exp1(), Expi()


def exp1(x: ArrayLike) -> Array:
    """The exponential integral E_1, elementwise: the integral of exp(-t) / t from x >= 0 on; NaN for negative x.

    >>> from functrans.scipy import special
    >>> round(float(special.exp1(1.0)), 5)
    0.21938
    """
    return bind(EXP1, real_operand("exp1", x))


def expi(x: ArrayLike) -> Array:
    """The exponential integral Ei, elementwise: the principal value of the integral of exp(t) / t up to x.

    Near its zero, 0.3725, its error is absolute.

    >>> from functrans.scipy import special
    >>> round(float(special.expi(1.0)), 5)
    1.89512
    """
    return bind(EXPI, real_operand("expi", x))
