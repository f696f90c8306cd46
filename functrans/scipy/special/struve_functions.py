"""Struve's function of real order.

    H_v(x) = sum of (-1)^k (x / 2)^(2 k + v + 1) / (Gamma(k + 3/2) Gamma(k + v + 3/2))                   (DLMF 11.2.1)
    H_v(x) - Y_v(x) = 2 (x / 2)^v / (sqrt(pi) Gamma(v + 1/2)) integral of e^(-x t) (1 + t^2)^(v - 1/2)  (DLMF 11.5.2)

over t > 0; the first for x < max(4, 3 v / 4), the second, whose integrand has one sign, beyond.
"""

from __future__ import annotations

import math
from typing import Any

from functrans import lax
from functrans.lax.evaluated import Evaluated, epsilon
from functrans.numpy.selection import where
from functrans.scipy.special.arguments import Array, ArrayLike, real_operands
from functrans.scipy.special.bessel import no_derivative_by_order
from functrans.scipy.special.bessel_orders import oscillating, sine_cosine_pi
from functrans.scipy.special.complex_gamma import RGAMMA
from functrans.scipy.special.gamma_functions import sign_of_gamma
from functrans.scipy.special.quadrature import half_line
from functrans.trace.binding import bind

_MOST = 30.0


def _is_near(v: Any, x: Any) -> Any:
    """Whether the sum loses fewer digits than the difference of Y and the integral."""
    return x < lax.max(4.0, 0.75 * lax.abs(v))


def _parity(v: Any) -> Any:
    return where(lax.rem(v, 2.0) == 0.0, 1.0, where(v == lax.floor(v), -1.0, math.nan))


class StruveSeries(Evaluated):
    """The sum of H_v(x) for x > 0, not too large, or its derivative of this order, term by term."""

    order: int

    def define(self, *operands: Any) -> Any:
        v, x = operands
        half = 0.5 * x
        quarter, limit = half * half, 0.25 * epsilon(x)
        # the first term whose 1 / Gamma(k + v + 3/2) is not 0, where those before are; they are few
        begin = where(v + 1.5 == lax.floor(v + 1.5), lax.max(0.0, -0.5 - v), 0.0)
        first = lax.pow(half, 2.0 * begin + v + 1.0) * RGAMMA.define(begin + v + 1.5) * RGAMMA.define(begin + 1.5)
        first = where(lax.rem(begin, 2.0) == 0.0, first, -first)

        def weight(k: Any) -> Any:
            out: Any = 1.0
            for n in range(self.order):
                out = out * ((2.0 * k + v + (1.0 - n)) / x)
            return out

        def unfinished(carry: Any) -> Any:
            return lax.reduce_or(carry[-1], tuple(range(carry[-1].ndim))) & lax.lt(carry[0], 2000.0)

        def step(carry: Any) -> Any:
            count, term, total, active = carry
            k = lax.broadcast_in_dim(count, x.shape, ()) + begin
            ratio = quarter / ((k + 1.5) * (v + k + 1.5))
            term = where(active, -term * ratio, 0.0)
            added = term * weight(k + 1.0)
            total = total + added
            more = (lax.abs(added) > limit * lax.abs(total)) | (lax.abs(ratio) > 0.9) | (v + k < 0.0)
            return count + 1.0, term, total, active & more

        start = (lax.convert_element_type(0.0, x.dtype), first, first * weight(begin), x == x)
        return lax.while_loop(unfinished, step, start)[2]

    def partial(self, i: int, out: Any, v: Any, x: Any) -> Any:
        if i == 0:
            raise no_derivative_by_order("struve")
        return bind(StruveSeries(self.order + 1), v, x)


class Struve(Evaluated):
    """H_v(x)"""

    def define(self, *operands: Any) -> Any:
        v, x = operands
        size, plain = lax.abs(x), lax.abs(v) <= _MOST
        order = where(plain, v, 0.0)
        near = _is_near(order, size)
        endless = size == math.inf
        small = StruveSeries(0).define(order, where(near & (size > 0.0), size, 1.0))
        y = where(near | endless, lax.max(9.0, lax.abs(order)), size)
        j, second = oscillating(lax.abs(order), y)
        sine, cosine = sine_cosine_pi(lax.abs(order))
        second = where(order < 0.0, where(sine == 0.0, cosine * second, sine * j + cosine * second), second)
        out = where(near, small, second + self._beyond(order, y))
        pole = sign_of_gamma(order + 1.5) * math.inf  # but for orders -3/2, -5/2, ...: H_(-n-1/2) is (-1)^n J_(n+1/2)
        at_zero = where(order > -1.0, 0.0, where(order == -1.0, 2.0 / math.pi, where(pole == pole, pole, 0.0)))
        out = where(size == 0.0, at_zero, out)
        out = where(endless, where(order > 1.0, math.inf, where(order == 1.0, 2.0 / math.pi, 0.0)), out)
        out = where(lax.lt(x, 0.0), -_parity(order) * out, out)
        return where(plain & (x == x), out, math.nan)

    def _beyond(self, v: Any, x: Any) -> Any:
        nodes, enough = half_line(x)
        reach = (enough + 3.4 * lax.max(v - 0.5, 0.0)) / x
        t = nodes.points * nodes.spread(reach)
        power = nodes.spread(v - 0.5) * lax.log1p(lax.square(t))
        integral = nodes.sum(lax.exp(power - nodes.spread(x) * t)) * reach
        root = lax.pow(0.5 * x, 0.5 * v)  # the power itself overflows too early
        return ((2.0 / math.sqrt(math.pi)) * root * RGAMMA.define(v + 0.5)) * root * integral

    def partial(self, i: int, out: Any, v: Any, x: Any) -> Any:
        if i == 0:
            raise no_derivative_by_order("struve")
        size, left = lax.abs(x), lax.lt(x, 0.0)
        near = _is_near(v, size) & (size > 0.0)
        small = bind(StruveSeries(1), v, where(near, size, 1.0))
        below = bind(self, v - 1.0, x)
        return where(near, where(left, _parity(v) * small, small), below - (v / where(x == 0.0, 1.0, x)) * out)


STRUVE = Struve()


def struve(v: ArrayLike, x: ArrayLike) -> Array:
    """Struve's function H_v(x) of real order, elementwise.

    NaN for x < 0 and an order that is not whole, and for orders beyond 30 in size, where digits are lost: up to there
    the error is 40 roundings. Differentiable by x; a derivative by v is refused.

    >>> from functrans.scipy import special
    >>> round(float(special.struve(0.0, 1.0)), 5)
    0.56866
    """
    return bind(STRUVE, *real_operands("struve", v, x))
