"""Sums over a new last axis that are integrals to the last digit: what the functions of this room are computed by.

Each integrand is of one sign or nearly so, so that its sum does not cancel, and so are those of derivatives. The
programs are small: the nodes are one axis more, however many they are.
"""

from __future__ import annotations

import decimal
import functools
import math
from decimal import Decimal
from typing import Any

import numpy as np

from functrans.lax.polygamma_difference import over_new_axis
from functrans.ops.constants import Constant
from functrans.ops.functions import exp
from functrans.ops.structural import broadcast_in_dim, iota, reduce_sum
from functrans.trace.binding import bind


class Nodes:
    """Points of a new last axis behind those of x, their weights, and operands spread along it."""

    def __init__(self, x: Any, points: Any, weights: Any) -> None:
        self.count = points.shape[0]
        self._shape = (*x.shape, self.count)
        self.points = broadcast_in_dim(points, self._shape, (x.ndim,))
        self._weights = broadcast_in_dim(weights, self._shape, (x.ndim,))

    def spread(self, x: Any) -> Any:
        """x [...] along the new axis."""
        return over_new_axis(x, self.count)

    def sum(self, values: Any) -> Any:
        """The weighted sum over the new axis."""
        return reduce_sum(values * self._weights, (len(self._shape) - 1,))


def is_double(x: Any) -> bool:
    return bool(x.dtype == np.float64)


def table(values: Any, like: Any) -> Any:
    """Numbers as an array that stands in the program, of the dtype of another."""
    data = np.asarray(values).astype(like.dtype)
    return bind(Constant(like.dtype, data.shape, data.tobytes()))


@functools.cache
def _legendre(count: int) -> tuple[Any, Any]:
    """Points and weights of Gauss and Legendre on [0, 1], each to a rounding however near 0, in fifty digits."""
    points, weights = [], []
    with decimal.localcontext() as context:
        context.prec = 50
        for k in range(count):
            x = Decimal(math.cos(math.pi * (k + 0.75) / (count + 0.5)))
            for _ in range(5):  # Newton on P_n
                below, value = Decimal(1), x
                for n in range(2, count + 1):
                    below, value = value, ((2 * n - 1) * x * value - (n - 1) * below) / n
                slope = count * (below - x * value) / (1 - x * x)
                x -= value / slope
            points.append(float((1 - x) / 2))
            weights.append(float(1 / ((1 - x * x) * slope * slope)))
    return np.array(points), np.array(weights)


def gauss(x: Any, count: int) -> Nodes:
    """Gauss and Legendre's rule on [0, 1]."""
    points, weights = _legendre(count)
    return Nodes(x, table(points, x), table(weights, x))


def steps(x: Any, count: int) -> Nodes:
    """0, 1/n, ..., 1 with equal weights, half of one at 0: the trapezoidal rule for an even integrand, 0 from 1 on."""
    weights = np.full(count + 1, 1.0 / count)
    weights[0] *= 0.5
    return Nodes(x, table(np.arange(count + 1) / count, x), table(weights, x))


def half_line(x: Any) -> tuple[Nodes, float]:
    """Nodes for an integrand that falls like e^(-E t) on the half-line, and E (Takahasi and Mori 1974)."""
    low, high, per_unit, enough = (-60, 12, 16, 42.0) if is_double(x) else (-26, 7, 8, 19.0)
    t = (iota(x.dtype, high - low + 1) + float(low)) * (1.0 / per_unit)
    falling = exp(-t)
    points = exp(t - falling)
    return Nodes(x, points, (1.0 + falling) * points * (1.0 / per_unit)), enough
