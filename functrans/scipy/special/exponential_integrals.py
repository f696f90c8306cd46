"""The exponential integrals E_1, E_n and Ei.

    E_1(x) = -gamma - log(x) + x - x^2/(2 2!) + x^3/(3 3!) - ...           (DLMF 6.6.2)  for small x
    E_1(x) = e^-x / (x+1 - 1/(x+3 - 4/(x+5 - 9/(x+7 - ...                  (DLMF 6.9.1, its even part)  for others
    Ei(x)  = gamma + log(x) + x + x^2/(2 2!) + x^3/(3 3!) + ...            (DLMF 6.6.1)  for x > 0
    Ei(x)  ~ e^x / x (1 + 1/x + 2!/x^2 + 3!/x^3 + ...)                     (DLMF 6.12.2) for large x
    Ei(x)  = -E_1(-x)                                                      for x < 0

E_n as E_1 (DLMF 8.19.8, 8.19.17), for n <= 0 from E_0 on by x E_n(x) = e^-x - n E_(n+1)(x): sums of one sign.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from functrans import lax
from functrans.errors import FunctransTypeError
from functrans.lax.evaluated import Evaluated, everywhere
from functrans.numpy.selection import where
from functrans.ops.special import scipy_reference
from functrans.scipy.special.arguments import Array, ArrayLike, strong_operand, strong_operands
from functrans.scipy.special.gamma_functions import GAMMA
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


class Expn(Evaluated):
    """E_n(x) for whole n and x >= 0: a fraction for x > 1/2, a series for smaller x, a recurrence for n <= 0."""

    def define(self, *operands: Any) -> Any:
        n, x = operands
        x = lax.abs(x) + where(x < 0.0, math.nan, 0.0)  # -0 is 0
        steps, terms = (200, 20) if _is_double(x) else (60, 11)
        large, whole = x > 0.5, n == lax.floor(n)
        order = where(n < 1.0, 1.0, n)
        far, near = where(large, x, 2.0), where(large | (x <= 0.0), 1.0, x)
        fraction = lax.fori_loop(
            0, steps,
            lambda k, below: _fraction_step(far, order, steps - _like(k, x), below),
            far + order + 2.0 * steps,
        )  # fmt: skip

        def add_term(m: Any, carry: Any) -> Any:
            term, total = carry
            distance = m - order + 1.0
            beside = distance != 0.0
            part = where(beside, term / where(beside, distance, 1.0), 0.0)
            return term * (-near / (m + 1.0)), total - part

        one = everywhere(1.0, x)
        _, total = lax.fori_loop(0, terms, lambda k, carry: add_term(_like(k, x), carry), (one, 0.0 * one))
        counted = lax.min(order, terms + 2.0)  # from here on the logarithm has no weight
        weight = lax.pow(near, counted - 1.0) / GAMMA.define(counted)
        weight = where(lax.rem(counted, 2.0) == 0.0, -weight, weight)
        total = total + weight * (lax.digamma(counted) - lax.log(near))
        total = where(x == 0.0, where(order > 1.0, 1.0 / where(order > 1.0, order - 1.0, 1.0), math.inf), total)
        positive = where(large, lax.exp(-far) / fraction, total)
        falling, count = lax.exp(-x), where(n < 1.0, -n, 0.0)

        def lower(carry: Any) -> Any:
            k, value = carry
            return k + 1.0, where(k < count, (falling + (k + 1.0) * value) / x, value)

        def unfinished(carry: Any) -> Any:
            return lax.reduce_or(carry[0] < count, tuple(range(x.ndim)))

        _, negative = lax.while_loop(unfinished, lower, (0.0 * one, falling / x))
        out = where(n < 1.0, negative, positive)
        return where(whole & (x >= 0.0) & (n < math.inf), out, math.nan)

    def partial(self, i: int, out: Any, n: Any, x: Any) -> Any:
        if i == 0:
            raise FunctransTypeError("expn(n, x) has no derivative by its order n; differentiate by x alone")
        return lax.neg(bind(EXPN, lax.sub(n, 1.0), x))


def _fraction_step(x: Any, n: Any, k: Any, below: Any) -> Any:
    return x + n + 2.0 * (k - 1.0) - k * (n + k - 1.0) / below


def _like(k: Any, x: Any) -> Any:
    return lax.convert_element_type(k, x.dtype)


EXP1, EXPI, EXPN = Exp1(), Expi(), Expn()


def exp1(x: ArrayLike) -> Array:
    """The exponential integral E_1, elementwise: the integral of exp(-t) / t from x >= 0 on; NaN for negative x.

    >>> from functrans.scipy import special
    >>> round(float(special.exp1(1.0)), 5)
    0.21938
    """
    return bind(EXP1, strong_operand("exp1", x))


def expi(x: ArrayLike) -> Array:
    """The exponential integral Ei, elementwise: the principal value of the integral of exp(t) / t up to x.

    Near its zero, 0.3725, its error is absolute.

    >>> from functrans.scipy import special
    >>> round(float(special.expi(1.0)), 5)
    1.89512
    """
    return bind(EXPI, strong_operand("expi", x))


def expn(n: ArrayLike, x: ArrayLike) -> Array:
    """The exponential integral E_n(x), elementwise: that of exp(-x t) / t^n over t > 1, for whole n >= 0 and x >= 0.

    NaN for other n or x. Differentiable by x; a derivative by n is refused.

    >>> from functrans.scipy import special
    >>> round(float(special.expn(2, 1.0)), 5)
    0.1485
    """
    n, x = strong_operands("expn", n, x)
    return where(n < 0.0, math.nan, bind(EXPN, n, x))
