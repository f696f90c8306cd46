"""The scaled error function, Dawson's integral, the Faddeeva function and Owen's T.

    erfcx(x) = sqrt(2 / pi) / m(-sqrt(2) x)     with Mills' ratio m = density / P of the normal distribution
    D(x)     = x integral of exp(-x^2 c) dv from 0 to 1,  c = v (2 - v)
    w(z)     = i / pi integral of exp(-t^2) / (z - t) dt                     for Im z > 0    (DLMF 7.7.2)
    T(h, a)  = 1 / (2 pi) integral of exp(-h^2 (1 + t^2) / 2) / (1 + t^2) dt from 0 to a
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from functrans import lax
from functrans.lax.evaluated import Evaluated
from functrans.numpy.promotion import strengthened, to_dtype
from functrans.numpy.selection import where
from functrans.ops.special import scipy_reference
from functrans.scipy.special.arguments import (
    Array,
    ArrayLike,
    inexact_operands,
    is_complex,
    strong_operand,
    strong_operands,
)
from functrans.scipy.special.normal import NDTR_EXCESS, NDTR_RATIO
from functrans.scipy.special.quadrature import gauss
from functrans.trace.binding import bind

_ROOT2, _ROOT_PI = math.sqrt(2.0), math.sqrt(math.pi)


class Erfcx(Evaluated):
    """exp(x^2) erfc(x)"""

    impl = scipy_reference("erfcx")

    def define(self, *operands: Any) -> Any:
        (x,) = operands
        left = x < 0.0
        right = (_ROOT2 / _ROOT_PI) / NDTR_RATIO.define(where(left, 0.0, x) * -_ROOT2)
        below = where(left, x, 0.0)
        return where(left, lax.exp(lax.square(below)) * lax.erfc(below), right)

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return lax.mul(lax.mul(out, bind(NDTR_EXCESS, lax.mul(x, -_ROOT2))), -_ROOT2)


class Dawsn(Evaluated):
    """The derivative of this order of Dawson's integral.

    That of x exp(-x^2 c) is (-1)^n / 2 c^((n - 1) / 2) H_(n+1)(x sqrt(c)) exp(-x^2 c), with the polynomial of Hermite.
    """

    order: int

    def define(self, *operands: Any) -> Any:
        (x,) = operands
        n, size = self.order, lax.abs(x)
        far = size > 1e8
        y = where(far, 1.0, size)
        square = lax.square(y)
        beyond = 52.0 / lax.max(square, 52.0)  # exp(-52) is nothing: so far the integral goes
        nodes = gauss(x, 48)
        v = nodes.points * nodes.spread(beyond / (1.0 + lax.sqrt(1.0 - beyond)))
        c = v * (2.0 - v)
        total: Any = 0.0
        hermite = np.polynomial.hermite.herm2poly([0] * (n + 1) + [1])
        z = nodes.spread(square) * c
        for m in reversed(range((n + 1) % 2, n + 2, 2)):
            total = total * z + float(hermite[m])
        falling = lax.exp(-z) * c ** (n // 2)  # c^((n - 1 + m) / 2) for the least m
        out = nodes.sum(total * falling) * (0.5 * (-1) ** n) * (beyond / (1.0 + lax.sqrt(1.0 - beyond)))
        if n % 2 == 0:
            out = out * y
        size = where(far, size, 1.0)
        limit = (0.5 * (-1) ** n * math.factorial(n)) / size
        for _ in range(n):
            limit = limit / size
        out = where(far, limit, out)
        return out if n % 2 else where(lax.lt(x, 0.0), -out, out)

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return bind(Dawsn(self.order + 1), x)


_STEPS = 11
_STEP = math.sqrt(math.pi / (_STEPS + 1))


class Wofz(Evaluated):
    """The derivative of this order of w(z): a sum with steps of sqrt(pi / 12), less its poles where they are near.

    That is the modified trapezoidal rule, of those whose nodes lie at whole and half steps the one whose are farther
    from z (Al Azah and Chandler-Wilde 2021, SIAM J. Numer. Anal. 59).
    """

    accepts = "c"
    order: int

    def define(self, *operands: Any) -> Any:
        (z,) = operands
        x, y = lax.real(z), lax.imag(z)
        below = y < 0.0
        z = where(below, lax.neg(z), z)
        mirrored = lax.real(z) < 0.0  # w(-conj(z)) = conj(w(z))
        z = where(mirrored, lax.neg(lax.conj(z)), z)
        upper = self._upper_right(z)
        upper = where(mirrored, lax.conj(upper), upper)
        if self.order % 2:
            upper = where(mirrored, lax.neg(upper), upper)
        w = lax.complex(x, y)
        gaussian = _from_first(self.order, w, 2.0 * lax.exp(-(w * where(below, w, 0.0))), 0.0)
        return where(below, gaussian - (-1.0) ** self.order * upper, upper)

    def _upper_right(self, z: Any) -> Any:
        x, y = lax.real(z), lax.imag(z)
        # there the poles do not count, or are passed (y > pi / step), and none of the nodes is near
        far = (y * _STEP > math.pi) | (x * x + y * (2.0 * math.pi / _STEP - y) > 37.0)
        near = _from_first(self.order, where(far, 1.0, z), _faddeeva(where(far, 1.0, z)), 2.0 / _ROOT_PI)
        z = where(far, z, 16.0)
        total: Any = 0.0
        inverse = 1.0 / z
        for k in range(_STEPS + 1):  # over both t and -t, relative to 1 / z
            t = (k + 0.5) * _STEP
            ratio = t * inverse
            both = sum(1.0 / (1.0 + sign * ratio) ** (self.order + 1) for sign in (1.0, -1.0))
            total = total + math.exp(-t * t) * both
        scale: Any = (_STEP / math.pi * (-1) ** self.order * math.factorial(self.order)) * inverse
        for _ in range(self.order):
            scale = scale * inverse
        total = total * scale
        return where(far, lax.complex(-lax.imag(total), lax.real(total)), near)

    def partial(self, i: int, out: Any, z: Any) -> Any:
        return bind(Wofz(self.order + 1), z)


def _from_first(order: int, z: Any, value: Any, source: float) -> Any:
    """The derivative of this order of a solution of w' = -2 z w + i source with this value."""
    before, last = value, value
    for n in range(order):
        following = -2.0 * (z * last)
        if n == 0:
            following = following + lax.complex(lax.full_like(lax.real(z), 0.0), lax.full_like(lax.real(z), source))
        else:
            following = following - (2.0 * n) * before
        before, last = last, following
    return last


def _faddeeva(z: Any) -> Any:
    """w(z) for z in the right upper quarter, not too large."""
    x, y = lax.real(z), lax.imag(z)
    position = x * (1.0 / _STEP)
    position = position - lax.floor(position)
    halves = (y >= x) | (position < 0.25) | (position > 0.75)  # the nodes lie at half steps
    total = where(halves, 0.0, (_STEP / math.pi) / where(halves, 1.0, z))
    partial: Any = 0.0
    for k in range(_STEPS + 1):
        t = where(halves, (k + 0.5) * _STEP, (k + 1.0) * _STEP)
        weight = where(halves, math.exp(-(((k + 0.5) * _STEP) ** 2)), math.exp(-(((k + 1.0) * _STEP) ** 2)))
        partial = partial + weight / ((z - t) * (z + t))
    total = total + (2.0 * _STEP / math.pi) * z * partial
    total = lax.complex(-lax.imag(total), lax.real(total))
    poles = y < math.pi / _STEP
    safe = where(poles, z, 1.0)
    turns = lax.exp(lax.complex(2.0 * math.pi / _STEP * lax.imag(safe), -2.0 * math.pi / _STEP * lax.real(safe)))
    beside = 2.0 * lax.exp(-(safe * safe)) / where(halves, 1.0 + turns, 1.0 - turns)
    return where(poles & ~(halves & (y >= math.pi / _STEP)), total + beside, total)


class OwensT(Evaluated):
    """T(h, a)"""

    impl = scipy_reference("owens_t")

    def define(self, *operands: Any) -> Any:
        h, a = lax.abs(operands[0]), lax.abs(operands[1])
        steep, none = a > 1.0, h == 0.0
        across = where(none, 0.0, where(none, 1.0, a) * h)
        part = _owen(where(steep, across, h), where(steep, 1.0 / where(steep, a, 1.0), a))
        near, far = h * (1.0 / _ROOT2), across * (1.0 / _ROOT2)
        p, q = lax.erfc(near), lax.erfc(far)
        whole = where(across <= 0.67, 0.25 - 0.25 * (lax.erf(near) * lax.erf(far)), 0.25 * (p + q - p * q))
        out = where(none, lax.atan(a) * (0.5 / math.pi), where(steep, whole - part, part))
        return where(lax.lt(operands[1], 0.0), -out, out)

    def partial(self, i: int, out: Any, h: Any, a: Any) -> Any:
        square = lax.mul(h, h)
        if i == 0:
            gaussian = lax.mul(lax.exp(lax.mul(square, -0.5)), -0.5 / math.sqrt(2.0 * math.pi))
            return lax.mul(gaussian, lax.erf(lax.mul(lax.mul(a, h), 1.0 / _ROOT2)))
        further = lax.add(lax.mul(a, a), 1.0)
        return lax.div(lax.exp(lax.mul(lax.mul(square, further), -0.5)), lax.mul(further, 2.0 * math.pi))


def _owen(h: Any, a: Any) -> Any:
    """T(h, a) for h >= 0 and 0 <= a <= 1."""
    enough = 8.8  # exp(-enough^2 / 2) is nothing
    reach = where(h * a > enough, enough / where(h > enough, h, enough), a)
    nodes = gauss(h, 28)
    t = nodes.points * nodes.spread(reach)
    square, moved = lax.square(t), lax.square(nodes.spread(lax.min(h, 1e15)) * t)
    total = nodes.sum(lax.exp(-0.5 * moved) / (1.0 + square))
    return total * reach * lax.exp(-0.5 * lax.square(h)) * (0.5 / math.pi)


ERFCX, DAWSN, WOFZ, OWENS_T = Erfcx(), Dawsn(0), Wofz(0), OwensT()


def erfcx(x: ArrayLike) -> Array:
    """The scaled complementary error function exp(x^2) erfc(x) of real or complex numbers, elementwise.

    >>> from functrans.scipy import special
    >>> round(float(special.erfcx(100.0)), 6)
    0.005642
    """
    (x,) = map(strengthened, inexact_operands("erfcx", x))
    if is_complex(x):
        return bind(WOFZ, lax.complex(lax.neg(lax.imag(x)), lax.real(x)))
    return bind(ERFCX, x)


def dawsn(x: ArrayLike) -> Array:
    """Dawson's integral exp(-x^2) times the integral of exp(t^2) from 0 to x, elementwise.

    >>> from functrans.scipy import special
    >>> round(float(special.dawsn(1.0)), 5)
    0.53808
    """
    return bind(DAWSN, strong_operand("dawsn", x))


def wofz(z: ArrayLike) -> Array:
    """The Faddeeva function exp(-z^2) erfc(-i z) of real or complex numbers, elementwise, as complex numbers.

    >>> from functrans.scipy import special
    >>> complex(special.wofz(0.0))
    (1+0j)
    """
    (z,) = map(strengthened, inexact_operands("wofz", z))
    if z.dtype.kind != "c":
        z = to_dtype(z, np.dtype(np.complex128 if z.dtype == np.float64 else np.complex64))
    return bind(WOFZ, z)


def owens_t(h: ArrayLike, a: ArrayLike) -> Array:
    """Owen's T function, elementwise: the probability that X > h and 0 < Y < a X for standard normal X and Y.

    >>> from functrans.scipy import special
    >>> round(float(special.owens_t(0.0, 1.0)), 5)
    0.125
    """
    return bind(OWENS_T, *strong_operands("owens_t", h, a))
