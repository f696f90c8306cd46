"""Airy functions by Bessel functions of order 1/3 and 2/3 (DLMF 9.6), and near 0 by their power series (9.4)."""

from __future__ import annotations

import math
from typing import Any

from functrans import lax
from functrans.lax.evaluated import Evaluated, everywhere
from functrans.numpy.selection import where
from functrans.scipy.special.arguments import Array, ArrayLike, real_operand
from functrans.scipy.special.bessel_orders import modified, modified_pair, oscillating_pair
from functrans.trace.binding import bind

_AT_ZERO, _SLOPE_AT_ZERO = 0.355028053887817239260063, 0.258819403792806798405184  # Ai(0), -Ai'(0)
_ROOT3 = math.sqrt(3.0)


class Airy(Evaluated):
    """Ai(x), or Bi(x) if ``second``; or its derivative."""

    second: bool
    slope: bool

    def define(self, *operands: Any) -> Any:
        (x,) = operands
        right, left, endless = x > 0.5, x < -0.5, lax.abs(x) == math.inf
        near = where(right | left | endless, 0.0, x)
        y = where((right | left) & ~endless, lax.abs(x), 1.0)
        root = lax.sqrt(y)
        zeta = (2.0 / 3.0) * y * root
        order = 2.0 / 3.0 if self.slope else 1.0 / 3.0
        if self.second:
            grown, fallen = modified(everywhere(order, x), zeta)
            half = lax.exp(0.5 * zeta)
            beyond = ((2.0 / _ROOT3) * grown * half) * half
            small = (1.0 / math.pi) * fallen * lax.exp(-zeta)
            beyond = (y * (beyond + small)) if self.slope else root * (beyond + small)
        else:
            pair = modified_pair(everywhere(-1.0 / 3.0, x), zeta)
            beyond = pair[1] if self.slope else pair[0]
            beyond = beyond * lax.exp(-zeta) * ((y if self.slope else root) * (1.0 / (math.pi * _ROOT3)))
            beyond = -beyond if self.slope else beyond
        low, high, y_low, y_high = oscillating_pair(everywhere(-1.0 / 3.0, x), zeta)
        j, k = (high, y_high) if self.slope else (low, y_low)
        waves = j * (1.0 / _ROOT3) - k if self.second else j + k * (1.0 / _ROOT3)
        waves = waves * (0.5 * (y if self.slope else root))
        out = where(right, beyond, where(left, waves, self._near_zero(near)))
        limit = math.inf if self.second else 0.0
        return where(x == math.inf, limit, where(x == -math.inf, math.nan if self.slope else 0.0, out))

    def _near_zero(self, x: Any) -> Any:
        cube = x * x * x
        series: list[Any] = [0.0, 0.0]
        for k in reversed(range(9)):
            n = 3 * k
            for i in (0, 1):  # 1 + x^3 / (2 3) (1 + x^3 / (5 6) (1 + ...)), and x (1 + x^3 / (3 4) (1 + ...))
                power = n + i
                weight = float(power if self.slope else 1.0)
                series[i] = weight + cube * (1.0 / ((power + 2) * (power + 3))) * series[i]
        even, odd = series
        if self.slope:  # a power less
            flat = even / where(x == 0.0, 1.0, x)
            even = where(x == 0.0, 0.0, flat)
        else:
            odd = odd * x
        if self.second:
            return _ROOT3 * (_AT_ZERO * even + _SLOPE_AT_ZERO * odd)
        return _AT_ZERO * even - _SLOPE_AT_ZERO * odd

    def partial(self, i: int, out: Any, x: Any) -> Any:
        other = bind(Airy(self.second, not self.slope), x)
        return lax.mul(x, other) if self.slope else other


def airy(x: ArrayLike) -> tuple[Array, Array, Array, Array]:
    """The Airy functions and their derivatives, elementwise: Ai(x), Ai'(x), Bi(x), Bi'(x) of real x.

    >>> from functrans.scipy import special
    >>> [round(float(part), 5) for part in special.airy(1.0)]
    [0.13529, -0.15915, 1.20742, 0.93244]
    """
    x = real_operand("airy", x)
    return tuple(bind(Airy(second, slope), x) for second in (False, True) for slope in (False, True))
