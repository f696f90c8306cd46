"""Modified Bessel functions of the first kind, orders 0 and 1."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from functrans import lax
from functrans.lax.taylor import Evaluated
from functrans.numpy.selection import where
from functrans.ops.special import scipy_special
from functrans.scipy.special.arguments import Array, ArrayLike, real_operand
from functrans.trace.binding import bind

_TERMS = 20  # 4 ** 20 / (20! 22!) is below the precision of float64


class BesselI(Evaluated):
    """I_n(x) for n = 0, 1, 2, ..., whose derivative is the mean of I_(n-1) and I_(n+1) (DLMF 10.29.1)."""

    order: int

    @property
    def impl(self) -> Any:  # type: ignore[override]
        def reference(x: Any) -> Any:
            return np.asarray(scipy_special().iv(self.order, np.asarray(x).astype(np.float64))).astype(x.dtype)

        return reference

    def define(self, *operands: Any) -> Any:
        (x,) = operands
        root = lax.exp(0.5 * lax.abs(x))  # exp(abs(x)) itself overflows before I_0 does
        before, last = (lax.bessel_i0e(x) * root) * root, (lax.bessel_i1e(x) * root) * root
        if self.order < 2:
            return last if self.order else before
        near = lax.abs(x) < 4.0
        small, far = where(near, x, 0.0), where(near, 4.0, x)
        for m in range(1, self.order):  # upward it loses little where x is not small (DLMF 10.29.1)
            before, last = last, before - (2.0 * m / far) * last
        quarter = lax.square(0.5 * small)
        series: Any = 0.0
        for k in reversed(range(_TERMS)):
            series = series * quarter + 1.0 / (math.factorial(k) * math.factorial(k + self.order))
        return where(near, series * lax.integer_pow(0.5 * small, self.order), last)

    def partial(self, i: int, out: Any, x: Any) -> Any:
        if self.order == 0:
            return bind(BesselI(1), x)
        below, above = bind(BesselI(self.order - 1), x), bind(BesselI(self.order + 1), x)
        return lax.add(below, lax.mul(0.5, lax.sub(above, below)))  # their sum may overflow



def i0e(x: ArrayLike) -> Array:
    """exp(-abs(x)) I_0(x), elementwise.

    >>> from functrans.scipy import special
    >>> round(float(special.i0e(0.0)), 4)
    1.0
    """
    return lax.bessel_i0e(real_operand("i0e", x))


def i0(x: ArrayLike) -> Array:
    """I_0(x), elementwise.

    >>> from functrans.scipy import special
    >>> round(float(special.i0(0.0)), 4)
    1.0
    """
    return bind(BesselI(0), real_operand("i0", x))


def i1e(x: ArrayLike) -> Array:
    """exp(-abs(x)) I_1(x), elementwise.

    >>> from functrans.scipy import special
    >>> float(special.i1e(0.0))
    0.0
    """
    return lax.bessel_i1e(real_operand("i1e", x))


def i1(x: ArrayLike) -> Array:
    """I_1(x), elementwise.

    >>> from functrans.scipy import special
    >>> float(special.i1(0.0))
    0.0
    """
    return bind(BesselI(1), real_operand("i1", x))
