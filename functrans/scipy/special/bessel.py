"""Bessel functions of real order, and modified ones of the first kind of orders 0 and 1."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from functrans import lax
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.lax.bessel import bessel_i
from functrans.lax.evaluated import Evaluated, rows, stacked
from functrans.numpy.promotion import static_value
from functrans.numpy.selection import where
from functrans.scipy.special.arguments import Array, ArrayLike, real_operand, real_operands
from functrans.scipy.special.bessel_orders import asymptotic, is_far, modified, oscillating, sine_cosine_pi
from functrans.scipy.special.gamma_functions import sign_of_gamma
from functrans.trace.binding import bind

_MOST = 20000.0  # the largest order: so many steps lead there
_NAMES = {"j": "jv", "y": "yv", "i": "iv", "k": "kv", "ie": "ive", "ke": "kve"}


class Bessel(Evaluated):
    """A Bessel function of order v, by its ``kind``: J, Y, I, K, or I and K times exp(-abs(x)) and exp(x)."""

    kind: str

    def define(self, *operands: Any) -> Any:
        v, x = operands
        size, order, modify = lax.abs(x), lax.abs(v), self.kind not in ("j", "y")
        plain = (size > 0.0) & (size < math.inf) & (order <= _MOST)
        safe, y = where(plain, order, 0.5), where(plain, size, 1.0)
        sine, cosine = sine_cosine_pi(safe)
        first, second = modified(safe, y) if modify else oscillating(safe, y)
        whole, turned = order == lax.floor(order), v < 0.0
        odd = whole & (lax.rem(v, 2.0) != 0.0)
        if self.kind in ("k", "ke"):
            out = second * lax.exp(-y) if self.kind == "k" else second
            out = where(size == 0.0, math.inf, where(size == math.inf, 0.0, out))
        elif self.kind == "y":
            out = where(turned, where(whole, cosine * second, sine * first + cosine * second), second)
            out = where(size == 0.0, -math.inf, where(size == math.inf, 0.0, out))
        else:
            if modify:
                beside = (2.0 / math.pi) * sine * second * lax.exp(-2.0 * y)
                out = where(turned & ~whole, first + beside, first)
            else:
                out = where(turned, where(whole, cosine * first, cosine * first - sine * second), first)
            if self.kind == "i":
                root = lax.exp(0.5 * y)
                out = (out * root) * root
            pole = where(turned & ~whole, sign_of_gamma(where(turned & ~whole, v, -0.5) + 1.0) * math.inf, 0.0)
            out = where(size == 0.0, where(v == 0.0, 1.0, pole), out)
            out = where(size == math.inf, math.inf if self.kind == "i" else 0.0, out)
            out = where(lax.lt(x, 0.0), where(whole, where(odd, -out, out), math.nan), out)
            return where(order <= _MOST, where(x == x, out, math.nan), math.nan)
        return where((order <= _MOST) & (x >= 0.0), out, math.nan)

    def partial(self, i: int, out: Any, v: Any, x: Any) -> Any:
        if i == 0:
            raise no_derivative_by_order(_NAMES[self.kind])
        below, above = rows(bind(self, stacked(v - 1.0, v + 1.0), stacked(x, x)))
        if self.kind in ("j", "y"):
            return (below - above) * 0.5
        mean = (below + above) * 0.5
        if self.kind == "i":
            return mean
        if self.kind == "k":
            return -mean
        size = lax.abs(x)
        far, sign = is_far(v, size), -1.0 if self.kind == "ie" else 1.0
        series = bind(BesselAsymptotic(sign, 1), where(far, v, 0.0), where(far, size, 64.0))
        if self.kind == "ie":
            left = lax.lt(x, 0.0)
            odd = lax.rem(v, 2.0) != 0.0
            series = where(left & ~odd, -series, where(left & (v != lax.floor(v)), math.nan, series))
            return where(far, series, mean - lax.sign(x) * out)
        return where(far & lax.gt(x, 0.0), series, out - mean)


class BesselAsymptotic(Evaluated):
    """The asymptotic series of exp(-x) I_v(x) (sign -1) or exp(x) K_v(x) (1), or a derivative of it, term by term.

    The recurrences by the order would cancel there.
    """

    sign: float
    derivative: int

    def define(self, *operands: Any) -> Any:
        order, x = operands
        return asymptotic(order, x, self.derivative, self.sign)

    def partial(self, i: int, out: Any, order: Any, x: Any) -> Any:
        if i == 0:
            raise no_derivative_by_order("ive" if self.sign < 0 else "kve")
        return bind(BesselAsymptotic(self.sign, self.derivative + 1), order, x)


def no_derivative_by_order(name: str) -> FunctransTypeError:
    return FunctransTypeError(
        f"{name}(v, x) has no derivative by its order v; differentiate by x alone, or hold v with "
        "functrans.lax.stop_gradient"
    )


def jv(v: ArrayLike, x: ArrayLike) -> Array:
    """The Bessel function J_v(x) of the first kind and real order, elementwise.

    NaN for x < 0 and an order that is not whole, and for orders beyond 20,000. Differentiable by x; a derivative by v
    is refused.

    >>> from functrans.scipy import special
    >>> round(float(special.jv(0.5, 1.0)), 5)
    0.6714
    """
    return bind(Bessel("j"), *real_operands("jv", v, x))


def yv(v: ArrayLike, x: ArrayLike) -> Array:
    """The Bessel function Y_v(x) of the second kind and real order, elementwise, for x >= 0; as ``jv``.

    >>> from functrans.scipy import special
    >>> round(float(special.yv(0.0, 1.0)), 5)
    0.08826
    """
    return bind(Bessel("y"), *real_operands("yv", v, x))


def iv(v: ArrayLike, x: ArrayLike) -> Array:
    """The modified Bessel function I_v(x) of the first kind and real order, elementwise; as ``jv``.

    >>> from functrans.scipy import special
    >>> round(float(special.iv(0.5, 1.0)), 5)
    0.93767
    """
    return bind(Bessel("i"), *real_operands("iv", v, x))


def ive(v: ArrayLike, x: ArrayLike) -> Array:
    """exp(-abs(x)) I_v(x), elementwise; as ``jv``.

    Derivatives are differences for 2 < x < max(20, v^2 / 2): that of order n loses a factor of x^n to rounding there.

    >>> from functrans.scipy import special
    >>> round(float(special.ive(0.5, 1.0)), 5)
    0.34495
    """
    return bind(Bessel("ie"), *real_operands("ive", v, x))


def kv(v: ArrayLike, x: ArrayLike) -> Array:
    """The modified Bessel function K_v(x) of the second kind and real order, elementwise, for x >= 0; as ``jv``.

    >>> from functrans.scipy import special
    >>> round(float(special.kv(0.5, 1.0)), 5)
    0.46107
    """
    return bind(Bessel("k"), *real_operands("kv", v, x))


def kve(v: ArrayLike, x: ArrayLike) -> Array:
    """exp(x) K_v(x), elementwise, for x >= 0; as ``jv``.

    Derivatives are differences for 2 < x < max(20, v^2 / 2): that of order n loses a factor of x^n to rounding there.

    >>> from functrans.scipy import special
    >>> round(float(special.kve(0.5, 1.0)), 5)
    1.25331
    """
    return bind(Bessel("ke"), *real_operands("kve", v, x))


def bessel_jn(z: ArrayLike, *, v: int, n_iter: int = 50) -> Array:
    """J_0(z), ..., J_v(z): [...] -> [v + 1, ...].

    ``n_iter`` is there for JAX's signature: the result is right for every z.

    Raises:
      TypeError: v is no integer, or z is complex. ValueError: a negative v.

    >>> from functrans.scipy import special
    >>> special.bessel_jn(0.0, v=2).tolist()
    [1.0, 0.0, 0.0]
    """
    count = operator.index(static_value("bessel_jn", "v", v))
    if count < 0:
        raise FunctransValueError(f"bessel_jn: the order v must not be negative, got {v!r}")
    z = real_operand("bessel_jn", z)
    shape = (count + 1, *z.shape)
    orders = lax.broadcast_in_dim(np.arange(count + 1).astype(z.dtype), shape, (0,))
    return bind(Bessel("j"), orders, lax.broadcast_in_dim(z, shape, tuple(range(1, len(shape)))))


def i0e(x: ArrayLike) -> Array:
    """exp(-abs(x)) I_0(x), elementwise.

    >>> from functrans.scipy import special
    >>> round(float(special.i0e(0.0)), 4)
    1.0
    """
    return lax.bessel_i0e(real_operand("i0e", x))


def i0(x: ArrayLike) -> Array:
    """I_0(x), elementwise.

    >>> from functrans.scipy import special
    >>> round(float(special.i0(0.0)), 4)
    1.0
    """
    return bessel_i(0, real_operand("i0", x))


def i1e(x: ArrayLike) -> Array:
    """exp(-abs(x)) I_1(x), elementwise.

    >>> from functrans.scipy import special
    >>> float(special.i1e(0.0))
    0.0
    """
    return lax.bessel_i1e(real_operand("i1e", x))


def i1(x: ArrayLike) -> Array:
    """I_1(x), elementwise.

    >>> from functrans.scipy import special
    >>> float(special.i1(0.0))
    0.0
    """
    return bessel_i(1, real_operand("i1", x))
