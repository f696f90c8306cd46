"""The gamma function, quotients of gamma functions and differences of their logarithmic derivatives.

    Gamma(x) = L(x) ((x + g - 1/2) / e)^(x - 1/2)

with the rational function L of Lanczos' approximation (1964; g and the coefficients are those of Boost, lanczos13m53).
A quotient of such powers is taken before its factors overflow.
"""

from __future__ import annotations

import functools
import math
from typing import Any

from functrans import lax
from functrans.lax.evaluated import Evaluated, everywhere
from functrans.lax.polygamma_difference import (
    BERNOULLI,
    DIGAMMA_DIFFERENCE,
    SUMMED,
    PolygammaDifference,
    polygamma_of_order,
)
from functrans.numpy.selection import where
from functrans.ops.special import scipy_reference
from functrans.trace.binding import bind

_G_LESS_HALF = 6.024680040776729583740234375 - 0.5
_NUMERATOR = (
    56906521.91347156388090791033559122686859, 103794043.1163445451906271053616070238554,
    86363131.28813859145546927288977868422342, 43338889.32467613834773723740590533316085,
    14605578.08768506808414169982791359218571, 3481712.15498064590882071018964774556468,
    601859.6171681098786670226533699352302507, 75999.29304014542649875303443598909137092,
    6955.999602515376140356310115515198987526, 449.9445569063168119446858607650988409623,
    19.51992788247617482847860966235652136208, 0.5098416655656676188125178644804694509993,
    0.006061842346248906525783753964555936883222,
)  # fmt: skip
_DENOMINATOR = (
    0.0, 39916800.0, 120543840.0, 150917976.0, 105258076.0, 45995730.0, 13339535.0, 2637558.0, 357423.0, 32670.0,
    1925.0, 66.0, 1.0,
)  # fmt: skip


def lanczos(x: Any) -> Any:
    """L(x) for x >= 0: a quotient of polynomials in x, or where that is large in 1 / x."""
    small = x < 1.0
    z = where(small, x, 1.0 / where(small, 1.0, x))

    def polynomial(ascending: tuple[float, ...]) -> Any:
        below: Any = everywhere(ascending[-1], x)
        beyond: Any = everywhere(ascending[0], x)
        for c in reversed(ascending[:-1]):
            below = below * z + c
        for c in ascending[1:]:
            beyond = beyond * z + c
        return where(small, below, beyond)

    return polynomial(_NUMERATOR) / polynomial(_DENOMINATOR)


def _base(x: Any) -> Any:
    return x + _G_LESS_HALF


def sign_of_gamma(x: Any) -> Any:
    """1 or -1; NaN at the poles left of zero."""
    below, one = lax.floor(x), lax.full_like(x, 1)
    zero_from_below = (x == 0.0) & lax.lt(lax.div(1.0, x), 0.0)
    negative = ((x < 0.0) & (lax.rem(below, 2.0) != 0.0)) | zero_from_below
    return where(((x < 0.0) & (x == below)) | (x != x), math.nan, where(negative, lax.neg(one), one))


class Gamma(Evaluated):
    """Gamma(x); left of zero by its reflection (DLMF 5.5.3)."""

    impl = scipy_reference("gamma")

    def define(self, *operands: Any) -> Any:
        (x,) = operands
        size = lax.abs(x)
        root = lax.pow(_base(size) * math.exp(-1.0), 0.5 * (size - 0.5))  # the power itself overflows too early
        right = lanczos(size) * root * root
        whole = lax.round(x)
        turned = lax.sin((x - whole) * math.pi)
        sine = where(lax.rem(whole, 2.0) == 0.0, turned, -turned)
        left = where(x == whole, math.nan, -math.pi / ((x * right) * where(sine == 0.0, 1.0, sine)))
        return where(x == 0.0, 1.0 / x, where(x < 0.0, left, right))

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return lax.mul(out, lax.digamma(x))


class Factorial(Evaluated):
    """The derivative of this order of Gamma(x + 1), for x >= 0: it hardly changes near 0, where the sum rounds x away.

    There by its Taylor series in the middle of [0, 1], elsewhere by the polygamma functions.
    """

    order: int

    def define(self, *operands: Any) -> Any:
        (x,) = operands
        n, small = self.order, x < 1.0
        step, series = where(small, x - 0.5, 0.0), 0.0
        for k in reversed(range(n, len(_AROUND_THREE_HALVES))):
            series = series * step + math.perm(k, n) * _AROUND_THREE_HALVES[k]
        far = where(small, 2.0, x + 1.0)
        slopes, ratios = [polygamma_of_order(k, far) for k in range(n)], [everywhere(1.0, x)]  # f^(k) / f
        for k in range(n):
            terms = [math.comb(k, j) * ratios[j] * slopes[k - j] for j in range(k + 1)]
            ratios.append(functools.reduce(lambda s, t: s + t, terms))
        return where(small, series, GAMMA.define(far) * ratios[n])

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return bind(Factorial(self.order + 1), x)


# Derivatives of the gamma function at 3/2 over factorials, computed in eighty digits.
_AROUND_THREE_HALVES = (
    0.88622692545275801365, 0.032338397448885013829, 0.41481345368830116823, -0.10729480456477221169,
    0.14464535904462154304, -0.077523052299854203445, 0.058610303817176289504, -0.038001935554865130252,
    0.025837606455756203894, -0.017222443113464625066, 0.011522515392399228348, -0.0076902113642415786626,
    0.0051316435019123875409, -0.003422802497359706097, 0.0022825897637902674139, -0.0015220100711244283208,
    0.0010147877421514778822, -0.00067657084106001236729, 0.00045106552539565954883, -0.00030071767120056376191,
    0.0002004813770490574194, -0.00013365542345929399548, 0.0000891040845610566404, -0.000059402910632315351301,
    0.000039602015464878783636, -0.000026401373662487025755, 0.000017600927783229516453, -0.000011733956658937063668,
    7.8226396940494319435e-6, -5.2150938979488737143e-6, 3.4767295727359115713e-6, -2.317819838132976047e-6,
    1.5452132746125609182e-6, -1.0301422027513560059e-6, 6.8676147637145434506e-7, -4.5784098739586327634e-7,
    3.0522732618986831037e-7, -2.034848846302965548e-7, 1.3565658995501827019e-7, -9.0437726717273786308e-8,
    6.0291817843753846502e-8,
)


# B_2k / (2k (2k - 1)): the coefficients of Stirling's series (DLMF 5.11.1).
_STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156)


def stirling_correction(z: Any) -> Any:
    inverse = 1.0 / z
    square = inverse * inverse
    out: Any = _STIRLING[-1]
    for c in reversed(_STIRLING[:-1]):
        out = out * square + c
    return out * inverse


class Betaln(Evaluated):
    """log |B(a, b)|; for a large b the difference of its two logarithms is expanded: they would cancel."""

    impl = scipy_reference("betaln")

    def define(self, *operands: Any) -> Any:
        a, b = lax.min(*operands), lax.max(*operands)
        large = b >= 8.0
        far = where(large, b, 8.0)
        both = a + far
        expanded = -(both - 0.5) * lax.log1p(a / far) - a * (lax.log(far) - 1.0)
        expanded = expanded + stirling_correction(far) - stirling_correction(both)
        near = where(large, 1.0, b)
        return lax.lgamma(a) + where(large, expanded, lax.lgamma(near) - lax.lgamma(a + near))

    def partial(self, i: int, out: Any, *operands: Any) -> Any:
        return lax.neg(bind(DIGAMMA_DIFFERENCE, operands[i], operands[1 - i]))


class Beta(Evaluated):
    """B(a, b); of positive numbers by Lanczos' approximation of its three factors."""

    impl = scipy_reference("beta")

    def define(self, *operands: Any) -> Any:
        x, y = operands
        positive = (x > 0.0) & (y > 0.0)
        a, b = where(positive, lax.max(x, y), 1.0), where(positive, lax.min(x, y), 1.0)
        total, base = a + b, _base(a + b)
        # Gamma(b) ((a + g') / (a + b + g'))^(a - 1/2) (e / (a + b + g'))^b L(a) / L(a + b), where g' = g - 1/2
        quotient = lanczos(a) / lanczos(total) * lax.exp((a - 0.5) * lax.log1p(-b / base))
        product = lanczos(b) * lax.pow(_base(b) * math.exp(-1.0), -0.5)
        product = product * quotient * lax.pow(_base(b) / base, b)
        sign = sign_of_gamma(x) * sign_of_gamma(y) * sign_of_gamma(x + y)
        return where(positive, product, sign * lax.exp(BETALN.define(x, y)))

    def partial(self, i: int, out: Any, *operands: Any) -> Any:
        return bind(BetaSlope(i), *operands)


class BetaSlope(Evaluated):
    """The derivative of B(a, b) by the argument ``by``."""

    by: int

    def define(self, *operands: Any) -> Any:
        x, y = operands[self.by], operands[1 - self.by]
        return -(BETA.define(*operands) * DIGAMMA_DIFFERENCE.define(x, y))

    def partial(self, i: int, out: Any, *operands: Any) -> Any:
        if i != self.by:
            return bind(BETA_MIXED, *operands)
        x, y = operands[i], operands[1 - i]
        curved = lax.mul(bind(BETA, *operands), bind(PolygammaDifference(1), x, y))
        return lax.neg(lax.add(lax.mul(out, bind(DIGAMMA_DIFFERENCE, x, y)), curved))


class BetaMixed(Evaluated):
    """The derivative of B(a, b) by a and b; near 0, where 1/a + 1/b of B(a, b) has none, it is what the rest has.

    With s = a + b and psi' the trigamma function it is B(a, b) times

        (psi(s) - psi(a)) (psi(s) - psi(b)) - psi'(s)  =  P Q + a b / s (S(a, b) + S(b, a)),

    P = psi(1 + s) - psi(1 + a), Q = psi(1 + s) - psi(1 + b), S as in ``_curvature``: all of one sign.
    """

    def define(self, *operands: Any) -> Any:
        x, y = operands
        positive = (x > 0.0) & (y > 0.0)
        a, b = where(positive, x, 1.0), where(positive, y, 1.0)
        slopes = DIGAMMA_DIFFERENCE.define(1.0 + a, b) * DIGAMMA_DIFFERENCE.define(1.0 + b, a)
        curved = a * (b / (a + b)) * (_curvature(1.0 + a, b) + _curvature(1.0 + b, a))
        plain = DIGAMMA_DIFFERENCE.define(x, y) * DIGAMMA_DIFFERENCE.define(y, x) - polygamma_of_order(1, x + y)
        return BETA.define(x, y) * where(positive, slopes + curved, plain)

    def partial(self, i: int, out: Any, *operands: Any) -> Any:
        x, y = operands[i], operands[1 - i]
        total = lax.add(x, y)
        by_x, by_y = bind(DIGAMMA_DIFFERENCE, x, y), bind(DIGAMMA_DIFFERENCE, y, x)
        curved = lax.add(lax.mul(bind(PolygammaDifference(1), x, y), by_y), lax.mul(by_x, polygamma_of_order(1, total)))
        curved = lax.sub(curved, polygamma_of_order(2, total))
        return lax.sub(lax.mul(bind(BETA, *operands), curved), lax.mul(out, by_x))


def _curvature(x: Any, step: Any) -> Any:
    """S: minus the divided difference of digamma at x, y, y, where y = x + step; a sum of positive terms."""
    y = x + step
    total: Any = 0.0
    for j in range(SUMMED):
        total = total + 1.0 / ((x + float(j)) * lax.square(y + float(j)))
    u, v = 1.0 / (x + float(SUMMED)), 1.0 / (y + float(SUMMED))
    ratio, square = step * v, v * v  # the logarithm's is -v^2 (1/2 + r/3 + r^2/4 + ...)
    small = ratio < 0.3
    near, far, series = where(small, ratio, 0.0), where(small, 0.5, ratio), 0.0
    for k in reversed(range(2, 32)):
        series = series * near + 1.0 / k
    total = total + square * where(small, series, -(lax.log1p(-far) + far) / lax.square(far))
    first, second, power = 0.0, 0.0, 1.0  # of z^-m: the divided differences at x, y and at x, y, y
    for m in range(1, 2 * len(BERNOULLI) + 1):
        power = power * u
        first, second = power * v + first * v, (power + first) * square + second * v
        weight = 0.5 if m == 1 else 0.0 if m % 2 else BERNOULLI[m // 2 - 1] / m
        total = total + weight * second
    return total


class GammaRatio(Evaluated):
    """Gamma(x + d) / Gamma(x)"""

    impl = scipy_reference("poch")

    def define(self, *operands: Any) -> Any:
        x, d = operands
        positive = (x > 0.0) & (x + d > 0.0)
        start, step = where(positive, x, 1.0), where(positive, d, 1.0)
        end = start + step
        power = lax.exp((start - 0.5) * lax.log1p(step / _base(start))) * lax.pow(_base(end) * math.exp(-1.0), step)
        sign = sign_of_gamma(x + d) * sign_of_gamma(x)
        return where(positive, lanczos(end) / lanczos(start) * power, sign * lax.exp(lax.lgamma(x + d) - lax.lgamma(x)))

    def partial(self, i: int, out: Any, x: Any, d: Any) -> Any:
        return lax.mul(out, bind(DIGAMMA_DIFFERENCE, x, d) if i == 0 else lax.digamma(lax.add(x, d)))


GAMMA, BETALN, BETA, GAMMA_RATIO = Gamma(), Betaln(), Beta(), GammaRatio()
BETA_MIXED = BetaMixed()
