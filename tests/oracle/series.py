"""Functions on Taylor polynomials in mpmath's numbers: a value and its first derivatives, exact to sixty digits.

A polynomial is the function near one point: coefficient k is the k-th derivative over k!. What is known of a function
is its value and its derivative as a formula (``grown``), or its derivatives (``composed``); the rest is the arithmetic
of power series. No differences are formed, so that far tails have as many digits as the middle.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from mpmath import mp

ORDER = 3  # of the highest coefficient; see ``to_order``
DIGITS = 60


@contextlib.contextmanager
def to_order(order: int) -> Iterator[None]:
    """Polynomials of this degree."""
    global ORDER
    before, ORDER = ORDER, order
    try:
        yield
    finally:
        ORDER = before


def _cycle(*derivatives: Any) -> list[Any]:
    """As many as are wanted of derivatives that repeat themselves."""
    return list(itertools.islice(itertools.cycle(derivatives), ORDER + 1))


class Series:
    """c[0] + c[1] t + ... up to the power ``ORDER``."""

    def __init__(self, coefficients: Sequence[Any]) -> None:
        self.c = list(coefficients)

    def derivatives(self) -> list[Any]:
        """The value and the derivatives."""
        return [c * mp.factorial(k) for k, c in enumerate(self.c)]

    def __add__(self, other: Any) -> Series:
        return Series([a + b for a, b in zip(self.c, constant(other).c, strict=True)])

    def __neg__(self) -> Series:
        return Series([-a for a in self.c])

    def __sub__(self, other: Any) -> Series:
        return self + -constant(other)

    def __rsub__(self, other: Any) -> Series:
        return constant(other) - self

    def __mul__(self, other: Any) -> Series:
        b = constant(other).c
        return Series([mp.fsum(self.c[j] * b[k - j] for j in range(k + 1)) for k in range(ORDER + 1)])

    __radd__, __rmul__ = __add__, __mul__

    def __truediv__(self, other: Any) -> Series:
        b, out = constant(other).c, []
        for k in range(ORDER + 1):
            out.append((self.c[k] - mp.fsum(out[j] * b[k - j] for j in range(k))) / b[0])
        return Series(out)

    def __rtruediv__(self, other: Any) -> Series:
        return constant(other) / self

    def __pow__(self, power: Any) -> Series:
        u, out = self.c, [mp.power(self.c[0], power)]
        for k in range(1, ORDER + 1):
            out.append(mp.fsum((power * j - (k - j)) * u[j] * out[k - j] for j in range(1, k + 1)) / (k * u[0]))
        return Series(out)

    def __abs__(self) -> Series:
        return -self if self.c[0] < 0 else self


def constant(x: Any) -> Series:
    return x if isinstance(x, Series) else Series([mp.mpf(x), *[mp.mpf(0)] * ORDER])


def variable(x: Any) -> Series:
    """The identity near x."""
    return Series([mp.mpf(x), mp.mpf(1), *[mp.mpf(0)] * (ORDER - 1)])


def grown(value: Any, slope: Series, u: Series) -> Series:
    """f(u) for f with this value at u's, where ``slope`` is f'(u)."""
    out = [mp.mpf(value)]
    for k in range(1, ORDER + 1):
        out.append(mp.fsum(j * u.c[j] * slope.c[k - j] for j in range(1, k + 1)) / k)
    return Series(out)


def composed(derivatives: Sequence[Any], u: Series) -> Series:
    """f(u) for f with these derivatives at u's value."""
    step, power, out = Series([mp.mpf(0), *u.c[1:]]), constant(1), constant(0)
    for k, d in enumerate(derivatives):
        out = out + power * (d / mp.factorial(k))
        power = power * step
    return out


def exp(u: Series) -> Series:
    out = [mp.exp(u.c[0])]
    for k in range(1, ORDER + 1):
        out.append(mp.fsum(j * u.c[j] * out[k - j] for j in range(1, k + 1)) / k)
    return Series(out)


def expm1(u: Series) -> Series:
    return Series([mp.expm1(u.c[0]), *exp(u).c[1:]])


def log(u: Series) -> Series:
    return grown(mp.log(abs(u.c[0])), 1 / u, u)


def log1p(u: Series) -> Series:
    return grown(mp.log1p(u.c[0]), 1 / (1 + u), u)


def sqrt(u: Series) -> Series:
    return u ** mp.mpf("0.5")


def cbrt(u: Series) -> Series:
    return u ** (mp.mpf(1) / 3) if u.c[0] > 0 else -((-u) ** (mp.mpf(1) / 3))


def sin(u: Series) -> Series:
    s, c = mp.sin(u.c[0]), mp.cos(u.c[0])
    return composed(_cycle(s, c, -s, -c), u)


def cos(u: Series) -> Series:
    s, c = mp.sin(u.c[0]), mp.cos(u.c[0])
    return composed(_cycle(c, -s, -c, s), u)


def tan(u: Series) -> Series:
    cosine = cos(u)
    return grown(mp.tan(u.c[0]), 1 / (cosine * cosine), u)


def asin(u: Series) -> Series:
    return grown(mp.asin(u.c[0]), 1 / sqrt((1 - u) * (1 + u)), u)


def acos(u: Series) -> Series:
    return grown(mp.acos(u.c[0]), -1 / sqrt((1 - u) * (1 + u)), u)


def atan(u: Series) -> Series:
    return grown(mp.atan(u.c[0]), 1 / (1 + u * u), u)


def atan2(y: Series, x: Series) -> Series:
    """For x = variable or y = variable, the other a constant."""
    square = x * x + y * y
    value, moved = mp.atan2(y.c[0], x.c[0]), x / square * Series([*y.c]) if y.c[1] else -y / square
    if y.c[1]:
        moved = x / square
        return grown(value, moved, y)
    return grown(value, moved, x)


def sinh(u: Series) -> Series:
    s, c = mp.sinh(u.c[0]), mp.cosh(u.c[0])
    return composed(_cycle(s, c), u)


def cosh(u: Series) -> Series:
    s, c = mp.sinh(u.c[0]), mp.cosh(u.c[0])
    return composed(_cycle(c, s), u)


def tanh(u: Series) -> Series:
    e = exp(-2 * abs(u))
    return grown(mp.tanh(u.c[0]), 4 * e / ((1 + e) * (1 + e)), u)


def asinh(u: Series) -> Series:
    return grown(mp.asinh(u.c[0]), 1 / sqrt(1 + u * u), u)


def acosh(u: Series) -> Series:
    return grown(mp.acosh(u.c[0]), 1 / sqrt((u - 1) * (u + 1)), u)


def atanh(u: Series) -> Series:
    return grown(mp.atanh(u.c[0]), 1 / ((1 - u) * (1 + u)), u)


def logistic(u: Series) -> Series:
    return 1 / (1 + exp(-u)) if u.c[0] > 0 else exp(u) / (1 + exp(u))


def softplus(u: Series) -> Series:
    return u + log1p(exp(-u)) if u.c[0] > 0 else log1p(exp(u))


def gaussian(u: Series) -> Series:
    return exp(-u * u)


def erf(u: Series) -> Series:
    return grown(mp.erf(u.c[0]), 2 / mp.sqrt(mp.pi) * gaussian(u), u)


def erfc(u: Series) -> Series:
    return grown(mp.erfc(u.c[0]), -2 / mp.sqrt(mp.pi) * gaussian(u), u)


def _inverse(x: Any, slope: Callable[[Series], Series], u: Series) -> Series:
    """The inverse function of one with this derivative, which has the value u at x: by its differential equation."""
    out = constant(x)
    for _ in range(ORDER):  # each turn makes one more coefficient right
        out = grown(x, 1 / slope(out), u)
    return out


def erfinv(u: Series) -> Series:
    with mp.workdps(DIGITS + 20):
        x = mp.erfinv(u.c[0])
    return _inverse(x, lambda v: 2 / mp.sqrt(mp.pi) * gaussian(v), u)


def ndtr(u: Series) -> Series:
    scaled = -u / mp.sqrt(2)
    return grown(mp.erfc(scaled.c[0]) / 2, exp(-scaled * scaled) / mp.sqrt(2 * mp.pi), u)


def log_ndtr(u: Series) -> Series:
    density = exp(-u * u / 2) / mp.sqrt(2 * mp.pi)
    if u.c[0] > 0:
        return grown(mp.log1p(-mp.erfc(u.c[0] / mp.sqrt(2)) / 2), density / ndtr(u), u)
    return log(ndtr(u))


def ndtri(p: Series) -> Series:
    with mp.workdps(DIGITS + 20):
        q = min(p.c[0], 1 - p.c[0])
        x = -mp.sqrt(-2 * mp.log(q)) if q < 0.1 else mp.mpf(0)
        for _ in range(200):  # Newton on the logarithm, which is nearly a parabola
            value = mp.erfc(-x / mp.sqrt(2)) / 2
            step = value * mp.log(value / q) / (mp.exp(-x * x / 2) / mp.sqrt(2 * mp.pi))
            x = x - step
            if abs(step) < mp.mpf(10) ** -(DIGITS + 5):
                break
        x = x if p.c[0] < 0.5 else -x
    return _inverse(x, lambda v: exp(-v * v / 2) / mp.sqrt(2 * mp.pi), p)


def lgamma(u: Series) -> Series:
    x = u.c[0]
    value = mp.re(mp.loggamma(x))
    return composed([value, *[mp.re(mp.psi(k, x)) for k in range(ORDER)]], u)


def gamma(u: Series) -> Series:
    sign = -1 if u.c[0] < 0 and int(mp.floor(u.c[0])) % 2 else 1
    return sign * exp(lgamma(u))


def polygamma(order: int, u: Series) -> Series:
    return composed([mp.psi(order + k, u.c[0]) for k in range(ORDER + 1)], u)


def zeta_of_second(s: Any, u: Series) -> Series:
    """The Hurwitz zeta function by its second argument."""
    factors = [(-1) ** k * mp.rf(s, k) for k in range(ORDER + 1)]
    return composed([f * mp.zeta(s + k, u.c[0]) for k, f in enumerate(factors)], u)


def zeta_of_first(u: Series, q: Any) -> Series:
    return composed([mp.zeta(u.c[0], q, k) for k in range(ORDER + 1)], u)


def bessel_i(order: int, u: Series) -> Series:
    """By 2 I_n' = I_(n-1) + I_(n+1), where I_(-n) = I_n."""
    i = [mp.besseli(k, u.c[0]) for k in range(order + ORDER + 1)]
    terms = [[mp.binomial(k, j) * i[abs(order - k + 2 * j)] for j in range(k + 1)] for k in range(ORDER + 1)]
    return composed([mp.fsum(own) / 2**k for k, own in enumerate(terms)], u)


def i0(u: Series) -> Series:
    return bessel_i(0, u)


def i1(u: Series) -> Series:
    return bessel_i(1, u)


def exp1(u: Series) -> Series:
    return grown(mp.e1(u.c[0]), -exp(-u) / u, u)


def expi(u: Series) -> Series:
    return grown(mp.ei(u.c[0]), exp(u) / u, u)


def igamma(a: Any, u: Series) -> Series:
    density = exp((a - 1) * log(u) - u - mp.loggamma(a))
    return grown(mp.gammainc(a, 0, u.c[0], regularized=True), density, u)


def igammac(a: Any, u: Series) -> Series:
    density = exp((a - 1) * log(u) - u - mp.loggamma(a))
    return grown(mp.gammainc(a, u.c[0], mp.inf, regularized=True), -density, u)


def betainc(a: Any, b: Any, u: Series) -> Series:
    density = exp((a - 1) * log(u) + (b - 1) * log1p(-u)) / mp.beta(a, b)
    return grown(mp.betainc(a, b, 0, u.c[0], regularized=True), density, u)


def averaged(function: Callable[[Any], Any], u: Series, radius: Any = 0.5, count: int = 128) -> Series:
    """By Cauchy's integral over a circle, where nothing better is known: for a real function that is analytic in one
    three times as large, a mean of so many values has sixty digits."""
    x, r = u.c[0], mp.mpf(radius)
    turns = [mp.expjpi(mp.mpf(2 * j + 1) / count) for j in range(count // 2)]  # those of the lower half are conjugates
    values = [function(x + r * turn) for turn in turns]
    means = [
        2 * mp.fsum(mp.re(v * turn**-k) for v, turn in zip(values, turns, strict=True)) / count
        for k in range(ORDER + 1)
    ]
    return composed([mp.factorial(k) * mean / r**k for k, mean in enumerate(means)], u)
