"""The regularized incomplete gamma functions, and their derivatives of every order by both arguments.

With p(a, x) = x^(a-1) e^-x / Gamma(a): P(a, x) is the integral of p from 0 to x, and Q = 1 - P.

    P = x^a e^-x / Gamma(a+1) * S,   S = 1 + x/(a+1) + x^2/((a+1)(a+2)) + ...            (DLMF 8.11.4)
    Q = x^a e^-x / Gamma(a) * C,     C = 1/(x+1-a - 1(1-a)/(x+3-a - 2(2-a)/(x+5-a - ...  (DLMF 8.9.2)

The derivative by x is p. Derivatives by a are exact too: the sum and the fraction are computed on Taylor polynomials in
a, and the factor before them satisfies F' = F * L with L = log(x) - digamma, whose derivatives are polygamma functions.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import ml_dtypes

from functrans.api.loops import while_loop
from functrans.lax.taylor import Evaluated, constant, epsilon, everywhere
from functrans.ops.arithmetic import abs_, pow_
from functrans.ops.elementwise import binary
from functrans.ops.functions import exp, log
from functrans.ops.logic import ge, gt, lt, select
from functrans.ops.reductions import reduce_or
from functrans.ops.special import digamma, lgamma, polygamma, scipy_reference

_MOST_STEPS = 2000.0  # of the continued fraction

Taylor = list[Any]  # coefficients of the powers of a - a_0


def _density(a: Any, x: Any) -> Any:
    """p(a, x): by a power where it is in range; the logarithm of a small or large x would multiply its rounding."""
    limit = everywhere(0.9 * math.log(float(ml_dtypes.finfo(x.dtype).max)), x)  # type: ignore[no-untyped-call]
    in_range = ~ge((a - 1.0) * log(x), limit) & lt(x + lgamma(a), limit)  # 0 times -inf is in range: 0^0 is 1
    near_x, near_a = (select(in_range, v, everywhere(1.0, x)) for v in (x, a))
    far_x, far_a = (select(in_range, everywhere(1.0, x), v) for v in (x, a))
    power = pow_(near_x, near_a - 1.0) * exp(-near_x - lgamma(near_a))
    return select(in_range, power, exp((far_a - 1.0) * log(far_x) - far_x - lgamma(far_a)))


def _growth(a: Any, log_x: Any, shift: float, order: int) -> list[Any]:
    """F^(n) / F for n = 0 ... order, where F' / F = L = log(x) - digamma(a + shift)."""
    slopes = [log_x - digamma(a + shift), *[-polygamma(float(m), a + shift) for m in range(1, order)]][:order]
    ratios: list[Any] = [1.0]
    for n in range(1, order + 1):
        terms = [math.comb(n - 1, j) * ratios[j] * slopes[n - 1 - j] for j in range(n)]
        ratios.append(functools.reduce(lambda s, t: s + t, terms))
    return ratios


def _series(a: Any, x: Any, enabled: Any, order: int) -> Taylor:
    """S as a Taylor polynomial in a."""
    eps = epsilon(x)

    def body(carry: Any) -> Any:
        running, n, term, total = carry
        r = n + 1.0
        new: Taylor = []
        for t in term:  # term * x / (r + da)
            new.append((t * x - new[-1]) / r if new else t * (x / r))
        grown = [s + t for s, t in zip(total, new, strict=True)]
        unfinished = functools.reduce(
            lambda p, q: p | q, [gt(abs_(t), abs_(s) * eps) for t, s in zip(new, grown, strict=True)]
        )
        kept = _keep(running, [r, *new, *grown], [n, *term, *total])
        return running & unfinished, kept[0], kept[1 : order + 2], kept[order + 2 :]

    start = [everywhere(1.0, x), *[everywhere(0.0, x) for _ in range(order)]]
    return while_loop(lambda carry: _any(carry[0]), body, (enabled, a, start, start))[3]  # type: ignore[no-any-return]


def _fraction(a: Any, x: Any, enabled: Any, order: int) -> Taylor:
    """C as a Taylor polynomial in a: convergents p / q by their recurrence, scaled down before they overflow."""
    eps = epsilon(x)
    size = order + 1

    def body(carry: Any) -> Any:
        running, n, y, z, p, q, p_before, q_before, ratio = carry
        n, y, z = n + 1.0, y + 1.0, z + 2.0
        new_p, new_q = _recur(p, p_before, n, y, z), _recur(q, q_before, n, y, z)
        singular = new_q[0] == 0.0
        new_ratio = _divide(new_p, [select(singular, everywhere(1.0, x), new_q[0]), *new_q[1:]])
        new_ratio = [select(singular, old, new) for old, new in zip(ratio, new_ratio, strict=True)]
        moved = [abs_(new - old) for old, new in zip(ratio, new_ratio, strict=True)]
        least = abs_(new_ratio[0])
        unfinished = functools.reduce(
            lambda s, t: s | t,
            [
                gt(m, eps * (abs_(r) if j == 0 else abs_(r) + least))
                for j, (m, r) in enumerate(zip(moved, new_ratio, strict=True))
            ],
        )
        scale = select(gt(abs_(new_p[0]), everywhere(1.0 / eps, x)), everywhere(eps, x), everywhere(1.0, x))
        new = [y, z, *[c * scale for c in (*new_p, *new_q, *p, *q)], *new_ratio]
        old = [carry[2], carry[3], *p, *q, *p_before, *q_before, *ratio]
        y, z, *rest = _keep(running, new, old)
        parts = [rest[i : i + size] for i in range(0, 5 * size, size)]
        return running & (unfinished | singular), n, y, z, *parts

    def zeros(count: int) -> Taylor:
        return [everywhere(0.0, x) for _ in range(count)]

    y = 1.0 - a
    z = x + y + 1.0
    p_before, q_before = [everywhere(1.0, x), *zeros(order)], [x, *zeros(order)]
    p = [x + 1.0, *zeros(order)]
    q = [z * x, -x, *zeros(order - 1)][:size]
    first = (enabled, constant(0.0, x), y, z, p, q, p_before, q_before, _divide(p, q))
    return while_loop(  # type: ignore[no-any-return]
        lambda carry: _any(carry[0]) & lt(carry[1], constant(_MOST_STEPS, x)), body, first
    )[-1]


def _recur(last: Taylor, before: Taylor, n: Any, y: Any, z: Any) -> Taylor:
    """(z - da) last - n (y - da) before"""
    out: Taylor = []
    for j, (u, v) in enumerate(zip(last, before, strict=True)):
        term = u * z - v * (y * n)
        out.append(term if j == 0 else term - last[j - 1] + before[j - 1] * n)
    return out


def _divide(p: Taylor, q: Taylor) -> Taylor:
    out: Taylor = []
    for j, c in enumerate(p):
        for i in range(j):
            c = c - out[i] * q[j - i]
        out.append(c / q[0])
    return out


def _keep(running: Any, new: list[Any], old: list[Any]) -> list[Any]:
    """The new values in lanes that still run."""
    return [select(running, n, o) for n, o in zip(new, old, strict=True)]


def _any(flags: Any) -> Any:
    return reduce_or(flags, tuple(range(flags.ndim)))


def _by_a(a: Any, x: Any, order: int, mode: str, log_x: Any = None) -> Any:
    """The derivative of this order by a of P ('lower') or Q ('upper'), or that of P divided by p ('scaled').

    With the logarithm of an x that may have fallen to 0, that of P divided by x p ('logarithmic').
    """
    invalid = lt(x, 0.0) | lt(a, 0.0) | ((a == 0.0) & (x == 0.0)) | (a != a) | (x != x)
    nothing = x == 0.0 if log_x is None else log_x == -math.inf
    factor = x * _density(a, x) if log_x is None else exp(a * log_x - x - lgamma(a))
    log_x = log(x) if log_x is None else log_x
    empty = nothing | (a == 0.0) | (x == math.inf)
    negligible = factor == 0.0 if mode in ("lower", "upper") else invalid
    enabled = ~(invalid | empty | negligible)
    by_fraction = ge(x, 1.0) & gt(x, a)
    total = _series(a, x, enabled & ~by_fraction, order)
    fraction = _fraction(a, x, enabled & by_fraction, order)

    def combined(taylor: Taylor, shift: float) -> Any:
        growth = _growth(a, log_x, shift, order)
        terms = [math.comb(order, j) * growth[order - j] * (math.factorial(j) * taylor[j]) for j in range(order + 1)]
        return functools.reduce(lambda s, t: s + t, terms)

    unit = {"scaled": x, "logarithmic": everywhere(1.0, x)}.get(mode, factor)
    lower = combined(total, 1.0) * (unit / a)
    upper = combined(fraction, 0.0) * unit
    if order:
        result = select(by_fraction, -upper, lower) if mode != "upper" else select(by_fraction, upper, -lower)
        return _at_edges(result, invalid, empty, empty, 0.0, 0.0)
    if mode == "lower":
        result = select(by_fraction, 1.0 - upper, lower)
        return _at_edges(result, invalid, x == 0.0, (a == 0.0) | (x == math.inf), 0.0, 1.0)
    result = select(by_fraction, upper, 1.0 - lower)
    return _at_edges(result, invalid, x == 0.0, (a == 0.0) | (x == math.inf), 1.0, 0.0)


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
        return igamma_grad_a(a, x) if i == 0 else _density(a, x)


class Igammac(Evaluated):
    """Q(a, x)"""

    impl = scipy_reference("gammaincc")

    def define(self, *operands: Any) -> Any:
        return _by_a(operands[0], operands[1], 0, "upper")

    def partial(self, i: int, out: Any, a: Any, x: Any) -> Any:
        return -igamma_grad_a(a, x) if i == 0 else -_density(a, x)


class IgammaGradA(Evaluated):
    """The derivative of this order (at least 1) of P(a, x) by a."""

    order: int

    def define(self, *operands: Any) -> Any:
        return _by_a(operands[0], operands[1], self.order, "lower")

    def partial(self, i: int, out: Any, a: Any, x: Any) -> Any:
        if i == 0:
            return binary(IgammaGradA(self.order + 1), a, x)
        return _density(a, x) * _growth(a, log(x), 0.0, self.order)[-1]


class RandomGammaGrad(Evaluated):
    """Minus the derivative of this order of P(a, x) by a, divided by p(a, x).

    Order 1 is how a sample x of the distribution moves with a while P(a, x) stays.
    """

    order: int

    def define(self, *operands: Any) -> Any:
        return -_by_a(operands[0], operands[1], self.order, "scaled")

    def partial(self, i: int, out: Any, a: Any, x: Any) -> Any:
        if i == 0:
            return binary(RandomGammaGrad(self.order + 1), a, x) - out * (log(x) - digamma(a))
        return -_growth(a, log(x), 0.0, self.order)[-1] - out * ((a - 1.0) / x - 1.0)


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
        return -_growth(a, y, 0.0, self.order)[-1] - out * (a - exp(y))


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
    return binary(RandomGammaGrad(1), a, x)
