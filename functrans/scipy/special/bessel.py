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
from functrans.trace.builder import bind

_TERMS = 26  # (x / 2)^(2 m) / m!^2 for abs(x) < 4, to the precision of float64 in derivatives too


class BesselI(Evaluated):
    """The derivative of this order of I_0(x); I_1(x) is the first.

    It is a sum of positive terms: the mean of I_n, I_(n-2), ..., I_-n with binomial weights (DLMF 10.29.5).
    """

    order: int

    @property
    def impl(self) -> Any:  # type: ignore[override]
        def reference(x: Any) -> Any:
            wide = np.asarray(x).astype(np.float64)
            return np.asarray(scipy_special().ivp(0, wide, self.order)).astype(x.dtype)

        return reference

    def define(self, *operands: Any) -> Any:
        (x,) = operands
        n, size = self.order, lax.abs(x)
        near = size < 4.0
        far = size if n < 2 else where(near, 4.0, size)
        scaled = [lax.bessel_i0e(far), lax.bessel_i1e(far)]
        for m in range(1, n):  # upward it loses little where x is not small (DLMF 10.29.1)
            scaled.append(scaled[m - 1] - (2.0 * m / far) * scaled[m])
        total: Any = 0.0
        for k in range(n + 1):
            total = total + (math.comb(n, k) / 2.0**n) * scaled[abs(n - 2 * k)]
        root = lax.exp(0.5 * far)  # exp(abs(x)) itself overflows before the product does
        out = (total * root) * root
        if n >= 2:
            out = where(near, self._near_zero(where(near, size, 0.0)), out)
        return lax.sign(x) * out if n % 2 else out

    def _near_zero(self, x: Any) -> Any:
        """The power series of I_0 (DLMF 10.25.2), differentiated term by term, for x >= 0."""
        n, first = self.order, (self.order + 1) // 2
        square, series = x * x, 0.0
        for m in reversed(range(first, first + _TERMS)):
            c = math.perm(2 * m, n) / (4**m * math.factorial(m) ** 2)
            series = series * square + c
        return series * x if n % 2 else series

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return bind(BesselI(self.order + 1), x)


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
