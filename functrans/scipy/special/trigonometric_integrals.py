"""The sine and cosine integrals and those of Fresnel, with their auxiliary functions, integrals of one sign.

    f(x) = integral of e^(-x t) / (1 + t^2),  g(x) = integral of t e^(-x t) / (1 + t^2)  over t > 0   (DLMF 6.7.13, 14)
    Si(x) = pi/2 - f cos x - g sin x,  Ci(x) = f sin x - g cos x                                     (DLMF 6.2.19, 20)
    S(x) = 1/2 - f cos(pi x^2/2) - g sin(pi x^2/2),  C(x) = 1/2 + f sin(pi x^2/2) - g cos(pi x^2/2)  (DLMF 7.5.3, 4)

where the last two have other f and g: sqrt(2) / pi times those of e^(-pi x^2 s^2 / 2) / (1 + s^4) and s^2 times it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from functrans import lax
from functrans.lax.evaluated import Evaluated
from functrans.numpy.elementary import sinc
from functrans.numpy.selection import where
from functrans.scipy.special.arguments import Array, ArrayLike, strong_operand
from functrans.scipy.special.quadrature import half_line, steps
from functrans.trace.binding import bind


class SineIntegral(Evaluated):
    """Si(x), or Ci(abs(x)) if ``cosine``."""

    cosine: bool = False

    def define(self, *operands: Any) -> Any:
        (x,) = operands
        size = lax.abs(x)
        large, endless = size > 2.5, size == math.inf
        far, near = where(large & ~endless, size, 4.0), where(large, 1.0, size)
        nodes, enough = half_line(x)
        t = nodes.points * nodes.spread(enough / far)
        value = lax.exp(-enough * nodes.points) / (1.0 + lax.square(t))
        f, g = nodes.sum(value) * (enough / far), nodes.sum(value * t) * (enough / far)
        sine, cosine = lax.sin(far), lax.cos(far)
        square, series = lax.square(near), 0.0
        first = 2 if self.cosine else 1
        for n in reversed(range(first, 24, 2)):  # (-1)^k x^n / (n n!) from x^first on, over the term before
            ratio = -1.0 / ((n + 1) * (n + 2))
            series = series * (square * ratio) + 1.0 / n
        if self.cosine:
            small = np.euler_gamma + lax.log(near) - 0.5 * square * series
            out = where(large, f * sine - g * cosine, small)
            return where(endless, where(x > 0.0, 0.0, math.nan), out)
        out = where(large, (0.5 * math.pi - f * cosine) - g * sine, near * series)
        out = where(endless, 0.5 * math.pi, out)
        return where(x < 0.0, -out, out)

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return lax.div(lax.cos(x), x) if self.cosine else sinc(lax.mul(x, 1.0 / math.pi))


class Fresnel(Evaluated):
    """S(x), or C(x) if ``cosine``."""

    cosine: bool = False

    def define(self, *operands: Any) -> Any:
        (x,) = operands
        size = lax.abs(x)
        large, endless = size > 1.5, size > math.sqrt(float(np.finfo(x.dtype).max)) / 4
        far, near = where(large & ~endless, size, 2.0), where(large, 1.0, size)
        scale = 1.0 / (far * math.sqrt(0.5 * math.pi))
        nodes = steps(x, 32)
        u = nodes.points * 6.6  # exp(-6.6^2) is nothing
        square = lax.square(u * nodes.spread(scale))
        value = lax.exp(-(u * u)) / (1.0 + lax.square(square))
        weight = (6.6 * math.sqrt(2.0) / math.pi) * scale
        f, g = nodes.sum(value) * weight, nodes.sum(value * square) * weight
        phase = _phase(far)
        sine, cosine = lax.sin(phase), lax.cos(phase)
        angle = (0.5 * math.pi) * lax.square(near)
        square, series = lax.square(angle), 0.0
        first = 0 if self.cosine else 1
        for n in reversed(range(first, 26, 2)):  # (-1)^k angle^n x / ((2 n + 1) n!), over the term before
            series = series * (square * (-1.0 / ((n + 1) * (n + 2)))) + 1.0 / (2 * n + 1)
        small = near * series if self.cosine else near * angle * series
        beyond = 0.5 + (f * sine - g * cosine) if self.cosine else 0.5 - (f * cosine + g * sine)
        out = where(endless, 0.5, where(large, beyond, small))
        return where(x < 0.0, -out, out)

    def partial(self, i: int, out: Any, x: Any) -> Any:
        phase = _phase(x)
        return lax.cos(phase) if self.cosine else lax.sin(phase)


def _phase(x: Any) -> Any:
    """pi x^2 / 2 less a multiple of 2 pi, as exact as x is: with x = n + r, x^2 is n (mod 2) + 2 n r + r^2 (mod 4)."""
    n = lax.stop_gradient(lax.round(x))
    r = lax.sub(x, n)
    square = lax.add(lax.mul(lax.mul(n, 2.0), r), lax.mul(r, r))
    square = lax.sub(square, lax.stop_gradient(lax.mul(lax.round(lax.mul(square, 0.25)), 4.0)))
    return lax.mul(lax.add(square, lax.abs(lax.rem(n, 2.0))), 0.5 * math.pi)


SI, CI, FRESNEL_S, FRESNEL_C = SineIntegral(False), SineIntegral(True), Fresnel(False), Fresnel(True)


def sici(x: ArrayLike) -> tuple[Array, Array]:
    """The sine integral Si(x) and the cosine integral Ci(abs(x)), elementwise.

    Si(x) is the integral of sin(t) / t from 0 to x, Ci(x) minus that of cos(t) / t from x > 0 on. Ci(-inf) is NaN.

    >>> from functrans.scipy import special
    >>> [round(float(part), 5) for part in special.sici(1.0)]
    [0.94608, 0.3374]
    """
    x = strong_operand("sici", x)
    return bind(SI, x), bind(CI, x)


def fresnel(x: ArrayLike) -> tuple[Array, Array]:
    """Fresnel's integrals S(x) and C(x), elementwise: of sin(pi t^2 / 2) and cos(pi t^2 / 2) from 0 to x.

    >>> from functrans.scipy import special
    >>> [round(float(part), 5) for part in special.fresnel(1.0)]
    [0.43826, 0.77989]
    """
    x = strong_operand("fresnel", x)
    return bind(FRESNEL_S, x), bind(FRESNEL_C, x)
