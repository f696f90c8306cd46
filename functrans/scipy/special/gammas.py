"""The gamma function and its relatives: factorials, beta, polygamma and zeta, the incomplete integrals."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from functrans import lax
from functrans.api.compilation import jit
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import kind_of, type_of
from functrans.numpy.creation import asarray
from functrans.numpy.promotion import static_value
from functrans.numpy.reductions import sum as total
from functrans.numpy.selection import where
from functrans.scipy.special.arguments import Array, ArrayLike, real_operand, real_operands


def gammaln(x: ArrayLike) -> Array:
    """log(abs(gamma(x))), elementwise.

    >>> from functrans.scipy import special
    >>> round(float(special.gammaln(5.0)), 3)
    3.178
    """
    return lax.lgamma(real_operand("gammaln", x))


@jit
def _gammasgn(x: Any) -> Any:
    below = lax.floor(x)
    zero_from_below = (x == 0.0) & lax.lt(lax.div(1.0, x), 0.0)
    negative = ((x < 0.0) & (lax.rem(below, 2.0) != 0.0)) | zero_from_below
    return where(((x < 0.0) & (x == below)) | (x != x), math.nan, where(negative, lax.neg(_ones(x)), _ones(x)))


def _ones(x: Any) -> Any:
    return lax.full_like(x, 1)


def gammasgn(x: ArrayLike) -> Array:
    """The sign of gamma(x), elementwise; NaN at its poles.

    >>> from functrans.scipy import special
    >>> float(special.gammasgn(-0.5))
    -1.0
    """
    return _gammasgn(real_operand("gammasgn", x))


def gamma(x: ArrayLike) -> Array:
    """The gamma function, elementwise.

    >>> from functrans.scipy import special
    >>> round(float(special.gamma(5.0)), 3)
    24.0
    """
    x = real_operand("gamma", x)
    return _gammasgn(x) * lax.exp(lax.lgamma(x))


@jit
def _factorial(n: Any) -> Any:
    return where(n < 0.0, 0.0, lax.exp(lax.lgamma(n + 1.0)))


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
    return where(defined, lax.exp(lax.lgamma(n + 1.0) - lax.lgamma(k + 1.0) - lax.lgamma(n + 1.0 - k)), 0.0)


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


# B_2k / (2k (2k - 1)): the coefficients of Stirling's series (DLMF 5.11.1).
_STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156)


def _stirling_correction(z: Any) -> Any:
    inverse = 1.0 / z
    square = inverse * inverse
    out: Any = _STIRLING[-1]
    for c in reversed(_STIRLING[:-1]):
        out = out * square + c
    return out * inverse


@jit
def _betaln(a: Any, b: Any) -> Any:
    """For a large b the difference of its two logarithms is expanded: they would cancel."""
    a, b = where(a <= b, a, b), where(a <= b, b, a)  # min and max would share the derivative where they are equal
    large = b >= 8.0
    far = where(large, b, 8.0)
    both = a + far
    expanded = -(both - 0.5) * lax.log1p(a / far) - a * (lax.log(far) - 1.0)
    expanded = expanded + _stirling_correction(far) - _stirling_correction(both)
    near = where(large, _ones(b), b)
    return lax.lgamma(a) + where(large, expanded, lax.lgamma(near) - lax.lgamma(a + near))


def betaln(a: ArrayLike, b: ArrayLike) -> Array:
    """log(abs(beta(a, b))), elementwise.

    >>> from functrans.scipy import special
    >>> round(float(special.betaln(2.0, 3.0)), 3)
    -2.485
    """
    return _betaln(*real_operands("betaln", a, b))


def beta(a: ArrayLike, b: ArrayLike) -> Array:
    """The beta function gamma(a) gamma(b) / gamma(a + b), elementwise.

    >>> from functrans.scipy import special
    >>> round(float(special.beta(2.0, 3.0)), 5)
    0.08333
    """
    a, b = real_operands("beta", a, b)
    return _gammasgn(a) * _gammasgn(b) * _gammasgn(a + b) * lax.exp(_betaln(a, b))


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
    z, m = real_operands("poch", z, m)
    sign = _gammasgn(z + m) * _gammasgn(z)
    at_pole = (m == 0.0) & (z <= 0.0) & (z == lax.floor(z))
    return where(at_pole, 1.0, sign * lax.exp(lax.lgamma(z + m) - lax.lgamma(z)))
