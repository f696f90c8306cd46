"""Spence's function, the dilogarithm of 1 - x.

    spence(x) = u - u^2 / 4 + B_2 u^3 / 3! + B_4 u^5 / 5! + ...  for u = -log(x)         (from DLMF 25.12.2 by u)

in the middle; elsewhere it is reflected there (DLMF 25.12.4, 6).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from functrans import lax
from functrans.lax.evaluated import Evaluated
from functrans.numpy.selection import where
from functrans.ops.special import scipy_reference
from functrans.scipy.special.arguments import Array, ArrayLike, strong_operand
from functrans.trace.binding import bind

# B_2k / (2k + 1)!
_SERIES = tuple(b / math.factorial(2 * k + 1) for k, b in enumerate(
    (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798), 1
))  # fmt: skip


class Spence(Evaluated):
    """The integral of log(t) / (1 - t) from 1 to x."""

    impl = scipy_reference("spence")

    def define(self, *operands: Any) -> Any:
        (x,) = operands
        central = (x >= 0.5) & (x <= 2.0)
        inverted = x > 2.0
        t = where(central, 1.0, where(inverted, 1.0 / where(inverted, x, 1.0), x))
        t = lax.max(t, float(np.finfo(x.dtype).tiny))
        least = where(central, 0.0, t)
        # XLA's log1p has an error of a hundred units in the last place near -0.4
        beside = where(least > 0.3, lax.log(1.0 - lax.min(least, 0.5)), lax.log1p(-lax.min(least, 0.3)))
        u = -where(central, lax.log(where(central, x, 1.0)), beside)
        square, series = u * u, 0.0
        for c in reversed(_SERIES):
            series = (series + c) * square
        middle = u * (1.0 - 0.25 * u + series)
        logarithm = where(inverted, -lax.log(where(inverted, x, 1.0)), lax.log(t))
        small = math.pi**2 / 6 + logarithm * u - middle
        out = where(central, middle, where(inverted, -0.5 * logarithm * logarithm - small, small))
        out = where(x == 0.0, math.pi**2 / 6, where(x == math.inf, -math.inf, out))
        return where(x >= 0.0, out, math.nan)

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return lax.neg(bind(LOG_OVER_STEP, x))


_NEAR = 0.3


class LogOverStep(Evaluated):
    """The derivative of this order of log(x) / (x - 1): the integral of (-t)^n n! / (1 + t (x - 1))^(n + 1)."""

    order: int

    def define(self, *operands: Any) -> Any:
        (x,) = operands
        n, step = self.order, x - 1.0
        near = lax.abs(step) < _NEAR
        inside, far = where(near, step, 0.0), where(near, 2.0, x)
        series: Any = 0.0
        for k in reversed(range(n, n + 36)):
            series = series * inside + (-1.0) ** k * math.perm(k, n) / (k + 1)
        beyond, inverse = lax.log(far) / (far - 1.0), 1.0 / far
        power: Any = 1.0
        for m in range(1, n + 1):
            power = power * inverse
            beyond = ((-1.0) ** (m - 1) * math.factorial(m - 1) * power - m * beyond) / (far - 1.0)
        return where(near, series, beyond)

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return bind(LogOverStep(self.order + 1), x)


SPENCE, LOG_OVER_STEP = Spence(), LogOverStep(0)


def spence(x: ArrayLike) -> Array:
    """Spence's function, elementwise: the integral of log(t) / (1 - t) from 1 to x >= 0; NaN for negative x.

    >>> from functrans.scipy import special
    >>> round(float(special.spence(0.0)), 5)
    1.64493
    """
    return bind(SPENCE, strong_operand("spence", x))
