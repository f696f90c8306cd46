"""Powers over gamma functions, and logarithms less digamma, without the cancellation of their large logarithms.

With phi(w) = w - log(1 + w), which is about w^2 / 2, and Stirling's correction mu(z) (DLMF 5.11.1):

    Gamma(z) = sqrt(2 pi / z) (z / e)^z e^mu(z)
    x^z e^-x / Gamma(z) = sqrt(z / (2 pi)) e^-mu(z) e^(-z phi((x - z) / z))            (Loader 2000, for whole z)

Loader, "Fast and accurate computation of binomial probabilities". Where x is far below z the last factor is a power.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from functrans.lax.evaluated import Evaluated, everywhere
from functrans.ops.arithmetic import pow_
from functrans.ops.bessel import chebyshev
from functrans.ops.elementwise import binary
from functrans.ops.functions import exp, log, sqrt
from functrans.ops.logic import gt, lt, select
from functrans.ops.special import polygamma

# Of z mu(z) and -z^2 mu'(z) for z >= 1: Chebyshev series in 1 - 4 / (z + 1), computed in sixty digits.
_CORRECTION = (
    -7.60969204922310622338e-19, 4.77546317166451925001e-18, -2.8971796855269146033e-17, 1.99804306028924283645e-16,
    -1.26054328873233040136e-15, 8.15867082466496222613e-15, -5.51915853073257240406e-14, 3.5858609374391485265e-13,
    -2.397674896915767399e-12, 1.64394454534042643646e-11, -1.10495053147257021333e-10, 7.63683594978731525812e-10,
    -5.43273884579871820139e-9, 3.80647847120991710866e-8, -2.7329353807123339253e-7, 0.00000207274728282412349308,
    -0.0000150651820839992923825, 0.0000919164379862291999225, -0.000417915091244015876582,
    0.00104190523845928225292, 0.165261318353768875808,
)  # fmt: skip
_CORRECTION_SLOPE = (
    3.41050481669635087298e-20, 4.74690498605871662429e-18, 1.49019948688124769287e-17, 7.23556779865770313476e-17,
    -4.98753960399447923814e-16, -5.20005073242076541788e-16, -2.0703330918426495139e-14, 1.08726369293525984216e-13,
    -3.43066138284258682497e-13, 6.68706707739019034496e-12, -4.16173877373070305148e-11, 2.25777150197353686129e-10,
    -2.90944142224545022388e-9, 2.34093170251972502562e-8, -1.49122480656014665814e-7, 0.00000188486452337868293825,
    -0.0000243439553949880936845, 0.000205427247868626935707, -0.00108839234055620328014, 0.00285149846161870496031,
    0.16277477497457599538,
)  # fmt: skip
# Of 1 / Gamma(1 + z) in powers of z, from the first one (DLMF 5.7.1).
RECIPROCAL = (
    0.577215664901532860607, -0.655878071520253881077, -0.042002635034095235529, 0.166538611382291489502,
    -0.0421977345555443367482, -0.00962197152787697356211, 0.0072189432466630995424, -0.00116516759185906511211,
    -0.000215241674114950972816, 0.000128050282388116186153, -0.0000201348547807882386557,
    -0.00000125049348214267065735, 0.00000113302723198169588237, -2.05633841697760710345e-7,
    6.11609510448141581786e-9, 5.00200764446922293006e-9, -1.18127457048702014459e-9, 1.04342671169110051049e-10,
    7.78226343990507125405e-12, -3.69680561864220570819e-12, 5.10037028747454597902e-13, -2.05832605356650678322e-14,
    -5.34812253942301798237e-15, 1.22677862823826079016e-15, -1.18125930169745876951e-16,
)  # fmt: skip


def horner(x: Any, ascending: tuple[float, ...]) -> Any:
    out: Any = everywhere(ascending[-1], x)
    for c in reversed(ascending[:-1]):
        out = out * x + c
    return out


def correction(z: Any) -> Any:
    """mu(z) for z >= 1."""
    return chebyshev(2.0 - 8.0 / (z + 1.0), _CORRECTION) / z


def reciprocal_excess(z: Any) -> Any:
    """(1 / Gamma(1 + z) - 1) / z for 0 <= z <= 1."""
    return horner(z, RECIPROCAL)


def excess_over_log(w: Any) -> tuple[Any, Any]:
    """phi(w) = w - log(1 + w), and log(1 + w), for w > -1: near 0 by the series of atanh(w / (2 + w))."""
    near = gt(w, -0.45) & lt(w, 0.8)
    v = w / (2.0 + w)
    square = v * v
    cubic = v * square * (2.0 * horner(square, tuple([1.0 / (2 * k + 3) for k in range(16)])))
    far = log(1.0 + w)
    return select(near, w * v - cubic, w - far), select(near, 2.0 * v + cubic, far)


def tilted_power(z: Any, ratio: Any, excess: Any, lowered: Any) -> tuple[Any, Any]:
    """(r e^(1 - r))^z, at most 1, with r = ``ratio`` = 1 + ``excess``; and a divisor: divided by it as many times as
    ``lowered`` says, it is divided by r^lowered.

    A power where r is far from 1 and the power in range: its logarithm would have the rounding of a large number.
    """
    largest = math.log(float(np.finfo(z.dtype).max))
    below = lt(ratio, 0.4) & (lt(z, 0.75 * largest) | (ratio == 0.0))
    steep = below | (gt(ratio, 2.5) & lt(z * excess, 1.5 * largest))
    whole = (ratio == 0.0) | ~lt(z, 1.0)  # z - lowered would round a small z
    exponent = select(whole, z - lowered, z)
    root = pow_(ratio, 0.5 * exponent) * exp(-0.5 * (z * excess))
    result = select(steep, root * root, exp(-z * excess_over_log(excess)[0]))
    return result, select(steep & whole, everywhere(1.0, z), ratio)


def tempered(z: Any) -> Any:
    """z^z e^-z / Gamma(z+1) for z >= 0."""
    near_zero = pow_(z, z) * exp(-z) * (1.0 + z * reciprocal_excess(z))
    return select(lt(z, 1.0), near_zero, exp(-correction(z)) / sqrt(z * (2 * math.pi)))


def prefactor(a: Any, x: Any, lowered: int = 0) -> Any:
    """x^(a-lowered) e^-x / Gamma(a+1) for a, x >= 0."""
    outside = lt(x, 0.0) | lt(a, 0.0) | (a != a) | (x != x)
    beyond = x == math.inf
    one = everywhere(1.0, x)
    x = select(outside | beyond, one, x)
    small = lt(a, 1.0)
    safe, z = select(small & ~outside, a, one), select(small | outside, one, a)
    half = exp(-0.5 * x)
    near_zero = pow_(x, safe) * half * (1.0 + safe * reciprocal_excess(safe)) * half
    power, divisor = tilted_power(z, x / z, (x - z) / z, float(lowered))
    power = power * exp(-correction(z)) / sqrt(z * (2 * math.pi))
    for _ in range(lowered):
        near_zero, power = select(x == 0.0, everywhere(math.inf, x), near_zero / x), power / divisor / z
    result = select(small, near_zero, power)
    return select(outside, everywhere(math.nan, x), select(beyond, everywhere(0.0, x), result))


def log_less_digamma(a: Any, x: Any, log_x: Any = None) -> Any:
    """log(x) - digamma(a + 1) for a, x >= 0, small where x is near a; the logarithm, if given, of x fallen to 0."""
    b = a + 1.0
    w = (x - a - 1.0) / b
    near = gt(w, -0.3) & lt(w, 0.4)
    quotient = select(near, everywhere(1.0, x), x)
    far = log(quotient / b) if log_x is None else log_x - log(b)
    near_log = excess_over_log(select(near, w, everywhere(0.0, x)))[1]
    return select(near, near_log, far) + digamma_below_log(b)


def digamma_below_log(z: Any) -> Any:
    """log(z) - digamma(z) for z >= 1."""
    return (0.5 + chebyshev(2.0 - 8.0 / (z + 1.0), _CORRECTION_SLOPE) / z) / z


class GammaDensity(Evaluated):
    """x^(a-1-lowered) e^-x / Gamma(a): of the gamma distribution, and what its derivatives by x are sums of."""

    lowered: int

    def define(self, *operands: Any) -> Any:
        a, x = operands
        return a * prefactor(a, x, 1 + self.lowered)

    def partial(self, i: int, out: Any, a: Any, x: Any) -> Any:
        if i == 0:
            return times_growth(out, a, x, 1)
        power = a - float(1 + self.lowered)
        constant = power == 0.0  # 0 times the infinity that 1 / x is at 0
        inside = select(constant, everywhere(1.0, x), x)
        return power * binary(GammaDensity(self.lowered + 1), a, inside) - out


class LogLessDigamma(Evaluated):
    """log(x) - digamma(a + 1)"""

    def define(self, *operands: Any) -> Any:
        return log_less_digamma(*operands)

    def partial(self, i: int, out: Any, a: Any, x: Any) -> Any:
        return -polygamma(1.0, a + 1.0) if i == 0 else 1.0 / x


GAMMA_DENSITY, LOG_LESS_DIGAMMA = GammaDensity(0), LogLessDigamma()


def times_growth(p: Any, a: Any, x: Any, order: int) -> Any:
    """The derivative of this order by a of p = ``GammaDensity``: 0 where p is, as at the ends of the support."""
    nothing = p == 0.0
    a, x = select(nothing, 1.0, a), select(nothing, 1.0, x)
    return p * growth_of_density(a, binary(LOG_LESS_DIGAMMA, a, x), order)


def growth_of_density(a: Any, slope: Any, order: int) -> Any:
    """p^(n) / p, the order n by a, where ``slope`` is log(x) - digamma(a + 1).

    It is that of a F / x by the rule of products, where F has 1 / Gamma(a + 1): near a = 0 terms in 1 / a would cancel.
    """
    ratios = growth([slope, *[-polygamma(float(m), a + 1.0) for m in range(1, order)]])
    return ratios[order] + float(order) * ratios[order - 1] / a


def growth(slopes: list[Any]) -> list[Any]:
    """F^(n) / F for n = 0, 1, ..., where F' / F and its derivatives are ``slopes``."""
    ratios: list[Any] = [1.0]
    for n in range(1, len(slopes) + 1):
        terms = [math.comb(n - 1, j) * ratios[j] * slopes[n - 1 - j] for j in range(n)]
        ratios.append(functools.reduce(lambda s, t: s + t, terms))
    return ratios
