"""Differences of digamma functions, and of their derivatives, at two points: they do not cancel.

Each is a sum of terms that are multiples of the distance of the points.
"""

from __future__ import annotations

import math
from typing import Any

from functrans.lax.evaluated import Evaluated, everywhere
from functrans.ops.elementwise import binary
from functrans.ops.functions import log, log1p
from functrans.ops.logic import gt, select
from functrans.ops.special import Polygamma, digamma, polygamma
from functrans.ops.structural import broadcast_in_dim, iota, reduce_sum
from functrans.trace.binding import bind


class PolygammaDifference(Evaluated):
    """psi_n(x + d) - psi_n(x) for the polygamma function of this order, digamma for order 0."""

    order: int

    def define(self, *operands: Any) -> Any:
        x, d = operands
        n, positive = self.order, gt(x, 0.0) & gt(x + d, 0.0)
        right = positive_difference(n, select(positive, x, 1.0), select(positive, d, 1.0))
        return select(positive, right, polygamma_of_order(n, x + d) - polygamma_of_order(n, x))

    def partial(self, i: int, out: Any, x: Any, d: Any) -> Any:
        if i == 0:
            return binary(PolygammaDifference(self.order + 1), x, d)
        return polygamma_of_order(self.order + 1, x + d)


def positive_difference(n: int, x: Any, d: Any) -> Any:
    """psi_n(x + d) - psi_n(x) for positive x and x + d.

    From the recurrence and the asymptotic series (DLMF 5.15.5, 5.15.8), power by power.
    """
    shifted, step = lattice(x, SUMMED), over_new_axis(d, SUMMED)
    total = reduce_sum(power_differences(shifted, shifted + step, step, n + 1)[n + 1], (x.ndim,))
    total = total * float(math.factorial(n))
    far = x + float(SUMMED)
    powers = power_differences(far, far + d, d, 2 * len(BERNOULLI) + n)
    total = total + (powers[n] * float(math.factorial(n - 1)) if n else -log1p(d / far))
    series = powers[n + 1] * (math.factorial(n) / 2)
    for k, b in enumerate(BERNOULLI, 1):
        series = series + powers[2 * k + n] * (b * math.factorial(2 * k + n - 1) / math.factorial(2 * k))
    total = total + series
    return total if n % 2 else -total


def log_gamma_quotient(x: Any, d: Any, base: Any) -> Any:
    """log(base^d Gamma(x + d) / Gamma(x)) for positive x and d: a multiple of d, small where base x is near 1."""
    excess = d / x  # of Gamma(x + n + d) Gamma(x) / (Gamma(x + n) Gamma(x + d)) over 1
    for n in range(1, SUMMED + 1):
        excess = excess + (1.0 + excess) * (d / (x + float(n)))
    total = -log1p(excess)
    far = x + float(SUMMED + 1)
    powers = power_differences(far, far + d, d, 2 * len(BERNOULLI))
    for k, b in enumerate(BERNOULLI, 1):
        total = total + powers[2 * k - 1] * (b / (2 * k * (2 * k - 1)))
    return total + ((far - 0.5) * log1p(d / far) + d * (log(base * (far + d)) - 1.0))


def over_new_axis(x: Any, size: int) -> Any:
    """x along a new last axis: what is summed over it is one small program, however many its terms."""
    return broadcast_in_dim(x, (*x.shape, size), tuple(range(x.ndim)))


def lattice(x: Any, size: int) -> Any:
    """x, x + 1, x + 2, ... along a new last axis."""
    return over_new_axis(x, size) + broadcast_in_dim(iota(x.dtype, size), (*x.shape, size), (x.ndim,))


SUMMED = 12
BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6)


def power_differences(x: Any, y: Any, step: Any, most: int) -> list[Any]:
    """y^-m - x^-m for m = 0 ... most, where y = x + step: all of one sign."""
    u, v = 1.0 / x, 1.0 / y
    first = -(step * v) * u
    out, power = [0.0, first], u
    for _ in range(2, most + 1):
        out.append(out[-1] * v + first * power)
        power = power * u
    return out


def polygamma_of_order(order: int, x: Any) -> Any:
    return digamma(x) if order == 0 else polygamma(everywhere(float(order), x), x)


def positive_polygamma(order: int, x: Any) -> Any:
    """The polygamma function of an order from 1 on, for positive x: without the program that others need."""
    return bind(Polygamma(right_half=True), everywhere(float(order), x), x)


DIGAMMA_DIFFERENCE = PolygammaDifference(0)
