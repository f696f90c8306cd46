"""Modified Bessel functions of the first kind, not scaled, as derivatives of that of order 0."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from functrans.lax.evaluated import Evaluated
from functrans.ops.arithmetic import abs_, sign
from functrans.ops.bessel import bessel_i0e, bessel_i1e
from functrans.ops.functions import exp
from functrans.ops.logic import lt, select
from functrans.ops.special import scipy_special
from functrans.trace.binding import bind

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
        n, size = self.order, abs_(x)
        near = lt(size, 4.0)
        far = size if n < 2 else select(near, 4.0, size)
        scaled = [bessel_i0e(far), bessel_i1e(far)]
        for m in range(1, n):  # upward it loses little where x is not small (DLMF 10.29.1)
            scaled.append(scaled[m - 1] - (2.0 * m / far) * scaled[m])
        total: Any = 0.0
        for k in range(n + 1):
            total = total + (math.comb(n, k) / 2.0**n) * scaled[abs(n - 2 * k)]
        root = exp(0.5 * far)  # exp(abs(x)) itself overflows before the product does
        out = (total * root) * root
        if n >= 2:
            out = select(near, self._near_zero(select(near, size, 0.0)), out)
        return sign(x) * out if n % 2 else out

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


def bessel_i(order: int, x: Any) -> Any:
    """The derivative of this order of I_0(x): I_0(x) and I_1(x) for orders 0 and 1."""
    return bind(BesselI(order), x)
