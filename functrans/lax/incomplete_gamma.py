"""The regularized incomplete gamma functions, and their derivatives of every order by both arguments.

With p(a, x) = x^(a-1) e^-x / Gamma(a): P(a, x) is the integral of p from 0 to x, and Q = 1 - P. Where neither is near
1 for the loss of digits,

    P = x^a e^-x / Gamma(a+1) * S,   S = 1 + x/(a+1) + x^2/((a+1)(a+2)) + ...            (DLMF 8.11.4)
    Q = x^a e^-x / Gamma(a) * C,     C = integral of (1 + t)^(a-1) e^(-x t) over t > 0    (DLMF 8.6.5)

and P, for large a, is such an integral too, of (1 - w)^(a-1) e^(x w) from 0 to 1. The derivative by x is p. Derivatives
by a are exact, too: those of the integral have powers of log(1 + t), which have one sign, in the integrand; the sum is
computed on Taylor polynomials in a. The exponents of the integrands are written about x = a, where they are small:

    -(x - a) t - a (t - log(1 + t)),   -(a - x) w - a (-w - log(1 - w)),  w = t / (1 + t).

The integrals are sums over t = r e^(k h - e^(-k h)) (Takahasi and Mori 1974, for integrands that fall exponentially).
"""

from __future__ import annotations

import functools
import math
from typing import Any

from functrans.api.loops import while_loop
from functrans.lax.evaluated import Evaluated, epsilon, everywhere
from functrans.lax.gamma_factors import (
    GAMMA_DENSITY,
    LOG_LESS_DIGAMMA,
    excess_over_log,
    growth,
    growth_of_density,
    log_less_digamma,
    prefactor,
    reciprocal_excess,
    times_growth,
)
from functrans.lax.polygamma_difference import over_new_axis, positive_polygamma
from functrans.ops.arithmetic import abs_
from functrans.ops.elementwise import binary
from functrans.ops.functions import exp, expm1, log, sqrt
from functrans.ops.logic import gt, lt, select
from functrans.ops.reductions import reduce_or
from functrans.ops.special import digamma, scipy_reference
from functrans.ops.structural import broadcast_in_dim, convert, iota, reduce_sum

_MANY = 16.0  # from here on, P, too, is the integral
_TERMS_NEAR_ZERO = 14


def _series(a: Any, x: Any, log_x: Any, enabled: Any, order: int) -> list[Any]:
    """(F S)^(n) / F for n = 0 ... order, the derivatives by a, where F = x^a e^-x / Gamma(a + 1).

    The first term has F's Taylor polynomial: those of F S are t_n (log(x) - digamma(a + n + 1)), n = 0, 1, ..., of one
    sign where x <= a, so that their sum does not cancel; that of F' S and F S' would.
    """
    eps = epsilon(x)

    def body(carry: Any) -> Any:
        running, n, term, total = carry
        r = n + 1.0
        new: list[Any] = []
        for t in term:  # term * x / (r + da)
            new.append((t * x - new[-1]) / r if new else t * (x / r))
        grown = [s + t for s, t in zip(total, new, strict=True)]
        unfinished = functools.reduce(
            lambda p, q: p | q, [gt(abs_(t), abs_(s) * eps) for t, s in zip(new, grown, strict=True)]
        )
        kept = [select(running, p, q) for p, q in zip([r, *new, *grown], [n, *term, *total], strict=True)]
        return running & unfinished, kept[0], kept[1 : order + 2], kept[order + 2 :]

    first = [g / float(math.factorial(j)) + everywhere(0.0, x) for j, g in enumerate(_growth(a, x, log_x, order))]
    total = while_loop(lambda carry: _any(carry[0]), body, (enabled, a, first, first))[3]
    return [t * float(math.factorial(j)) for j, t in enumerate(total)]


def _any(flags: Any) -> Any:
    return reduce_or(flags, tuple(range(flags.ndim)))


def _growth(a: Any, x: Any, log_x: Any, order: int) -> list[Any]:
    """F^(n) / F for n = 0 ... order, where F = x^a e^-x / Gamma(a + 1)."""
    slopes = [log_less_digamma(a, x, log_x)] if order else []
    return growth([*slopes, *[-positive_polygamma(m, a + 1.0) for m in range(1, order)]])


def _moments(a: Any, x: Any, above: Any, order: int) -> list[Any]:
    """C and its derivatives by a, for Q where ``above`` holds, and for P."""
    steps = 16 if x.dtype.itemsize == 8 else 8
    enough = 42.0 if x.dtype.itemsize == 8 else 19.0  # e^-enough is below the precision
    low, high = (-60, 12) if x.dtype.itemsize == 8 else (-26, 7)
    t = (iota(x.dtype, high - low + 1) + float(low)) * (1.0 / steps)
    node = exp(t - exp(-t))
    weight = (1.0 + exp(-t)) * node * (1.0 / steps)

    distance = abs_(x - a)
    sign = select(above, everywhere(1.0, x), everywhere(-1.0, x))
    # where the exponent is about -enough: phi(w) is w^2 / (2 + 4 w / 3) there
    square, linear = a + sign * distance * (4 / 3), 2.0 * distance - sign * (4 / 3 * enough)
    reach = 4.0 * enough / (linear + sqrt(linear * linear + 8.0 * enough * square))
    inverted = select(above, everywhere(0.5, x), reach)
    inverted = select(gt(inverted, 0.97), everywhere(0.97, x), inverted)
    reach = select(above, reach, inverted / (1.0 - inverted))

    def along(v: Any) -> Any:
        return broadcast_in_dim(v, (*x.shape, high - low + 1), (x.ndim,))

    far, upper, sign, moved, shape = [over_new_axis(v, high - low + 1) for v in (reach, above, sign, distance, a)]
    tau = far * along(node)
    w = select(upper, tau, tau / (1.0 + tau))
    phi, logarithm = excess_over_log(sign * w)
    value = exp(-moved * w - shape * phi) * along(weight) / (1.0 + tau)
    out = []
    for _ in range(order + 1):
        out.append(reduce_sum(value, (x.ndim,)) * reach)
        value = value * logarithm
    return out


def _by_a(a: Any, x: Any, order: int, mode: str, log_x: Any = None) -> Any:
    """The derivative of this order by a of P ('lower') or Q ('upper'), or that of P divided by p ('scaled').

    With the logarithm of an x that may have fallen to 0, that of P divided by x p ('logarithmic').
    """
    invalid = lt(x, 0.0) | lt(a, 0.0) | ((a == 0.0) & (x == 0.0)) | (a != a) | (x != x)
    nothing = x == 0.0 if log_x is None else log_x == -math.inf
    empty = nothing | (a == 0.0) | (x == math.inf)
    one = everywhere(1.0, x)
    a = select(invalid | empty, one, a)
    x = select(invalid | empty, one, x)
    if mode in ("lower", "upper"):
        unit = prefactor(a, x)  # F
    else:
        unit = (x if mode == "scaled" else one) / a
    above = gt(x, a) & ~lt(x, 0.1 if order else 0.5)  # derivatives of the series cancel sooner
    by_series = ~above & lt(a, _MANY)
    negligible = unit == 0.0
    growths = _growth(a, x, log_x, order)
    terms = _series(select(by_series, a, one), select(by_series, x, one), log_x, by_series & ~negligible, order)
    # a C and its derivatives
    moments = _moments(select(by_series, one, a), select(by_series, one + one, x), above | by_series, order)
    scaled = [a * m + float(j) * moments[j - 1] if j else a * m for j, m in enumerate(moments)]
    integral = [math.comb(order, j) * growths[order - j] * scaled[j] for j in range(order + 1)]
    part = select(by_series, terms[order], functools.reduce(lambda s, t: s + t, integral)) * unit
    if order:
        result = select(above, -part, part) if mode != "upper" else select(above, part, -part)
        return _at_edges(result, invalid, empty, empty, 0.0, 0.0)
    other = 1.0 - part
    if mode == "lower":
        result = select(above, other, part)
        return _at_edges(result, invalid, nothing, empty & ~nothing, 0.0, 1.0)
    near_zero = lt(a, 1.0) & lt(x, 0.5)
    other = select(near_zero, _upper_near_zero(select(near_zero, a, one), select(near_zero, x, 0.25 * one)), other)
    return _at_edges(select(above, part, other), invalid, nothing, empty & ~nothing, 1.0, 0.0)


def _upper_near_zero(a: Any, x: Any) -> Any:
    """Q for small a and x: with G = 1 / Gamma(1 + a), 1 - x^a G, and x^a G times the series of x^n in P from n = 1."""
    excess = reciprocal_excess(a)
    total = everywhere(0.0, x)
    for n in range(_TERMS_NEAR_ZERO, 0, -1):
        total = (1.0 / (a + float(n)) + total) * (x * (-1.0 / n))
    exponent = a * log(x)
    return -expm1(exponent) - exp(exponent) * a * (excess + (1.0 + a * excess) * total)


def _at_edges(result: Any, invalid: Any, low: Any, high: Any, at_low: float, at_high: float) -> Any:
    result = select(low, everywhere(at_low, result), result)
    result = select(high, everywhere(at_high, result), result)
    return select(invalid, everywhere(math.nan, result), result)


class Igamma(Evaluated):
    """P(a, x)"""

    impl = scipy_reference("gammainc")

    def define(self, *operands: Any) -> Any:
        return _by_a(operands[0], operands[1], 0, "lower")

    def partial(self, i: int, out: Any, a: Any, x: Any) -> Any:
        return igamma_grad_a(a, x) if i == 0 else binary(GAMMA_DENSITY, a, x)


class Igammac(Evaluated):
    """Q(a, x)"""

    impl = scipy_reference("gammaincc")

    def define(self, *operands: Any) -> Any:
        return _by_a(operands[0], operands[1], 0, "upper")

    def partial(self, i: int, out: Any, a: Any, x: Any) -> Any:
        return -igamma_grad_a(a, x) if i == 0 else -binary(GAMMA_DENSITY, a, x)


class IgammaGradA(Evaluated):
    """The derivative of this order (at least 1) of P(a, x) by a."""

    order: int

    def define(self, *operands: Any) -> Any:
        return _by_a(operands[0], operands[1], self.order, "lower")

    def partial(self, i: int, out: Any, a: Any, x: Any) -> Any:
        if i == 0:
            return binary(IgammaGradA(self.order + 1), a, x)
        return times_growth(binary(GAMMA_DENSITY, a, x), a, x, self.order)


class RandomGammaGrad(Evaluated):
    """Minus the derivative of this order of P(a, x) by a, divided by p(a, x).

    Order 1 is how a sample x of the distribution moves with a while P(a, x) stays.
    """

    order: int

    def define(self, *operands: Any) -> Any:
        return -_by_a(operands[0], operands[1], self.order, "scaled")

    def partial(self, i: int, out: Any, a: Any, x: Any) -> Any:
        if i == 0:
            return binary(RandomGammaGrad(self.order + 1), a, x) - out * (binary(LOG_LESS_DIGAMMA, a, x) + 1.0 / a)
        grown = growth_of_density(a, binary(LOG_LESS_DIGAMMA, a, x), self.order)
        return -grown - out * ((a - 1.0) / x - 1.0)


class RandomLoggammaGrad(Evaluated):
    """As RandomGammaGrad for y = log(x), divided by x p(a, x): how y moves, which has a number where x has none.

    For a small a, y goes down to -1 / a and far below: x = exp(y) is 0, and with it what RandomGammaGrad gives.
    """

    order: int

    def define(self, *operands: Any) -> Any:
        a, y = operands
        return -_by_a(a, exp(y), self.order, "logarithmic", y)

    def partial(self, i: int, out: Any, a: Any, y: Any) -> Any:
        if i == 0:
            return binary(RandomLoggammaGrad(self.order + 1), a, y) - out * (y - digamma(a))
        return -growth_of_density(a, y - digamma(a + 1.0), self.order) - out * (a - exp(y))


IGAMMA, IGAMMAC = Igamma(), Igammac()


def igamma(a: Any, x: Any) -> Any:
    """The regularized lower incomplete gamma function P(a, x); a and x of one floating dtype and shape, or scalars.

    >>> from functrans import lax
    >>> round(float(lax.igamma(1.0, 1.0)), 5)
    0.63212
    """
    return binary(IGAMMA, a, x)


def igammac(a: Any, x: Any) -> Any:
    """The regularized upper incomplete gamma function Q(a, x) = 1 - P(a, x), exact where it is small.

    >>> from functrans import lax
    >>> round(float(lax.igammac(1.0, 1.0)), 5)
    0.36788
    """
    return binary(IGAMMAC, a, x)


def igamma_grad_a(a: Any, x: Any) -> Any:
    """The derivative of ``igamma(a, x)`` by a.

    >>> from functrans import lax
    >>> round(float(lax.igamma_grad_a(1.0, 1.0)), 4)
    -0.4317
    """
    return binary(IgammaGradA(1), a, x)


def random_gamma_grad(a: Any, x: Any) -> Any:
    """The derivative by a of a sample x of the gamma distribution with shape a, its quantile held fixed.

    >>> from functrans import lax
    >>> round(float(lax.random_gamma_grad(1.0, 1.0)), 4)
    1.1736
    """
    out = binary(RandomGammaGrad(1), a, x)
    return convert(out, out.dtype)  # JAX's is strong: it computes with strong constants
