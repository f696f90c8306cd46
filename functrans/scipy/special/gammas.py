"""The gamma function and its relatives: factorials, beta, polygamma and zeta, the incomplete integrals."""

from __future__ import annotations

import functools
import math
import operator
from typing import Any

import numpy as np

from functrans import lax
from functrans.api.compilation import jit
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import kind_of, type_of
from functrans.numpy.creation import asarray
from functrans.numpy.promotion import static_value, strengthened
from functrans.numpy.reductions import sum as total
from functrans.numpy.selection import where
from functrans.scipy.special.arguments import (
    Array,
    ArrayLike,
    real_operand,
    real_operands,
    strong_operand,
    strong_operands,
)
from functrans.scipy.special.complex_gamma import RGAMMA, complex_gamma, complex_loggamma, complex_rgamma
from functrans.scipy.special.gamma_functions import BETA, BETALN, GAMMA, GAMMA_RATIO, Factorial, sign_of_gamma
from functrans.trace.binding import bind


def gammaln(x: ArrayLike) -> Array:
    """log(abs(gamma(x))), elementwise.

    >>> from functrans.scipy import special
    >>> round(float(special.gammaln(5.0)), 3)
    3.178
    """
    return lax.lgamma(real_operand("gammaln", x))


def gammasgn(x: ArrayLike) -> Array:
    """The sign of gamma(x), elementwise; NaN at its poles.

    >>> from functrans.scipy import special
    >>> float(special.gammasgn(-0.5))
    -1.0
    """
    return sign_of_gamma(strong_operand("gammasgn", x))


def gamma(x: ArrayLike) -> Array:
    """The gamma function of real or complex numbers, elementwise; NaN at the poles left of zero.

    Of complex numbers by its logarithm, whose rounding is multiplied by its size.

    >>> from functrans.scipy import special
    >>> round(float(special.gamma(5.0)), 3)
    24.0
    """
    x, is_complex = _number("gamma", x)
    return complex_gamma(x) if is_complex else bind(GAMMA, asarray(strengthened(x)))


def _number(name: str, x: ArrayLike) -> tuple[Any, bool]:
    """An operand that may be complex, and whether it is."""
    if kind_of(type_of(asarray(x)).dtype) == "c":
        return asarray(x), True
    return real_operand(name, x), False


def loggamma(x: ArrayLike) -> Array:
    """The logarithm of the gamma function, elementwise: its principal branch, with a cut along the negative axis.

    Of real numbers it is real: NaN for x <= 0.

    >>> from functrans.scipy import special
    >>> round(float(special.loggamma(5.0)), 3), round(complex(special.loggamma(-2.5 + 0j)).imag, 3)
    (3.178, -9.425)
    """
    x, is_complex = _number("loggamma", x)
    if is_complex:
        return complex_loggamma(x)
    positive = x > 0.0
    return where(positive, lax.lgamma(where(positive, x, 1.0)), math.nan)


def rgamma(x: ArrayLike) -> Array:
    """1 / gamma(x) of real or complex numbers, elementwise: 0, and differentiable, where gamma has its poles.

    >>> from functrans.scipy import special
    >>> float(special.rgamma(-1.0)) == 0.0
    True
    """
    x, is_complex = _number("rgamma", x)
    return complex_rgamma(x) if is_complex else bind(RGAMMA, x)


@functools.cache
def _bernoulli(count: int) -> tuple[float, ...]:
    """B_0, B_1, ..., from the tangent numbers, which are whole (Brent and Harvey 2013, section 3)."""
    half = count // 2 + 1
    tangent = [0, *[math.factorial(k) for k in range(half)]]
    for k in range(2, half + 1):
        for j in range(k, half + 1):
            tangent[j] = (j - k) * tangent[j - 1] + (j - k + 2) * tangent[j]
    out = [1.0, -0.5, *[0.0] * (count - 1)]
    for k in range(1, count // 2 + 1):
        numerator, denominator = 2 * k * tangent[k] * (-1) ** (k - 1), 4**k * (4**k - 1)
        try:
            out[2 * k] = numerator / denominator
        except OverflowError:
            out[2 * k] = math.copysign(math.inf, numerator)
    return tuple(out[: count + 1])


def bernoulli(n: int) -> Array:
    """The numbers of Bernoulli B_0, ..., B_n as floats: [n + 1]; B_1 = -1/2.

    Raises:
      ValueError: a negative n. TypeError: n is no integer.

    >>> from functrans.scipy import special
    >>> [round(float(b), 4) for b in special.bernoulli(2)]
    [1.0, -0.5, 0.1667]
    """
    count = operator.index(static_value("bernoulli", "n", n))
    if count < 0:
        raise FunctransValueError(f"bernoulli: n must not be negative, got {n!r}")
    with np.errstate(over="ignore"):
        return asarray(list(_bernoulli(count)))


@jit
def _factorial(n: Any) -> Any:
    negative = n < 0.0
    return where(negative, 0.0, bind(Factorial(0), where(negative, 0.0, n)))


def factorial(n: ArrayLike, exact: bool = False) -> Array:
    """gamma(n + 1), elementwise; 0 for negative n.

    >>> from functrans.scipy import special
    >>> round(float(special.factorial(4)), 3)
    24.0
    """
    if exact:
        raise NotImplementedError("factorial: exact=True is not supported; use math.factorial on Python integers")
    return _factorial(real_operand("factorial", n))


@jit
def _comb(n: Any, k: Any) -> Any:
    defined = (k <= n) & (n >= 0.0) & (k >= 0.0)
    n, k = where(defined, n, 0.0), where(defined, k, 0.0)
    return where(defined, 1.0 / ((n + 1.0) * bind(BETA, k + 1.0, n - k + 1.0)), 0.0)


def comb(N: ArrayLike, k: ArrayLike, *, repetition: bool = False) -> Array:
    """In how many ways k of N things can be chosen, elementwise.

    >>> from functrans.scipy import special
    >>> round(float(special.comb(5, 2)), 3)
    10.0
    """
    n, k = real_operands("comb", N, k)
    if repetition:
        return where((k == 0.0) & (n >= 0.0), 1.0, _comb(n + k - 1.0, k))
    return _comb(n, k)


def betaln(a: ArrayLike, b: ArrayLike) -> Array:
    """log(abs(beta(a, b))), elementwise.

    >>> from functrans.scipy import special
    >>> round(float(special.betaln(2.0, 3.0)), 3)
    -2.485
    """
    return bind(BETALN, *real_operands("betaln", a, b))


def beta(a: ArrayLike, b: ArrayLike) -> Array:
    """The beta function gamma(a) gamma(b) / gamma(a + b), elementwise.

    >>> from functrans.scipy import special
    >>> round(float(special.beta(2.0, 3.0)), 5)
    0.08333
    """
    return bind(BETA, *strong_operands("beta", a, b))


def betainc(a: ArrayLike, b: ArrayLike, x: ArrayLike) -> Array:
    """The regularized incomplete beta function I_x(a, b), elementwise; differentiable by all three.

    >>> from functrans.scipy import special
    >>> round(float(special.betainc(2.0, 3.0, 0.5)), 4)
    0.6875
    """
    return lax.betainc(*real_operands("betainc", a, b, x))


def digamma(x: ArrayLike) -> Array:
    """The derivative of gammaln, elementwise.

    >>> from functrans.scipy import special
    >>> round(float(special.digamma(1.0)), 4)
    -0.5772
    """
    return lax.digamma(real_operand("digamma", x))


def polygamma(n: ArrayLike, x: ArrayLike) -> Array:
    """The derivative of order ``n`` (integers) of digamma, elementwise.

    >>> from functrans.scipy import special
    >>> round(float(special.polygamma(1, 1.0)), 4)
    1.6449
    """
    if kind_of(type_of(asarray(n)).dtype) not in "iu":
        raise FunctransTypeError(f"polygamma: the order must be an integer, got {type_of(asarray(n))}")
    return lax.polygamma(*real_operands("polygamma", n, x))


def zeta(x: ArrayLike, q: ArrayLike | None = None) -> Array:
    """The Hurwitz zeta function, elementwise; differentiable by both arguments.

    >>> from functrans.scipy import special
    >>> round(float(special.zeta(2.0, 1.0)), 4)
    1.6449
    """
    if q is None:
        raise NotImplementedError("zeta: the Riemann zeta function is zeta(x, 1.0) for x > 1; pass q")
    return lax.zeta(*real_operands("zeta", x, q))


def gammainc(a: ArrayLike, x: ArrayLike) -> Array:
    """The regularized lower incomplete gamma function, elementwise.

    >>> from functrans.scipy import special
    >>> round(float(special.gammainc(1.0, 1.0)), 4)
    0.6321
    """
    return lax.igamma(*real_operands("gammainc", a, x))


def gammaincc(a: ArrayLike, x: ArrayLike) -> Array:
    """The regularized upper incomplete gamma function, elementwise.

    >>> from functrans.scipy import special
    >>> round(float(special.gammaincc(1.0, 1.0)), 4)
    0.3679
    """
    return lax.igammac(*real_operands("gammaincc", a, x))


def multigammaln(a: ArrayLike, d: ArrayLike) -> Array:
    """The logarithm of the multivariate gamma function of ``d`` dimensions (a Python integer), elementwise.

    >>> from functrans.scipy import special
    >>> float(special.multigammaln(1.0, 1)) == float(special.gammaln(1.0))
    True
    """
    count = static_value("multigammaln", "d", d)
    if np.ndim(count) or int(count) != count:
        raise FunctransValueError(f"multigammaln: d must be an integer, got {d!r}")
    count = int(count)
    a = real_operand("multigammaln", a)
    halves = np.arange(count) / 2
    spread = lax.broadcast_in_dim(a, (*a.shape, count), tuple(range(len(a.shape))))
    shifts = np.broadcast_to(np.asarray(halves, a.dtype), (*a.shape, count))
    return total(lax.lgamma(lax.sub(spread, shifts)), axis=-1) + 0.25 * count * (count - 1) * math.log(math.pi)


def poch(z: ArrayLike, m: ArrayLike) -> Array:
    """The Pochhammer symbol gamma(z + m) / gamma(z), elementwise.

    >>> from functrans.scipy import special
    >>> round(float(special.poch(2.0, 3.0)), 3)
    24.0
    """
    z, m = strong_operands("poch", z, m)
    at_pole = (m == 0.0) & (z <= 0.0) & (z == lax.floor(z))
    # z taken out: the quotient of the rest is smooth through z = 0, where the derivatives of log(gamma(z)) are infinite
    return where(at_pole, 1.0, z * bind(GAMMA_RATIO, where(at_pole, 1.0, z) + 1.0, m - 1.0))
