"""Products with logarithms, entropies and divergences; transforms of probabilities."""

from __future__ import annotations

import math
from typing import Any

from functrans import lax
from functrans.api.compilation import jit
from functrans.lax.taylor import Evaluated
from functrans.numpy.selection import where
from functrans.ops.special import scipy_reference
from functrans.scipy.special.arguments import Array, ArrayLike, real_operand, real_operands
from functrans.trace.builder import bind


def _ratio_or_zero(x: Any, y: Any) -> Any:
    """x / y, and 0 for 0 / 0: the slope in y of a function that is 0 for x = 0 wherever y is."""
    return x / where((x == 0.0) & (y == 0.0), 1.0, y)


class Xlogy(Evaluated):
    """x log(y), and 0 for x = 0 whatever y is, unless it is NaN."""

    impl = scipy_reference("xlogy")

    def define(self, *operands: Any) -> Any:
        x, y = operands
        return where((x != 0.0) | (y != y), x * lax.log(y), 0.0)

    def partial(self, i: int, out: Any, x: Any, y: Any) -> Any:
        return lax.log(y) if i == 0 else _ratio_or_zero(x, y)


class Xlog1py(Evaluated):
    """x log(1 + y), and 0 for x = 0 whatever y is, unless it is NaN."""

    impl = scipy_reference("xlog1py")

    def define(self, *operands: Any) -> Any:
        x, y = operands
        return where((x != 0.0) | (y != y), x * lax.log1p(y), 0.0)

    def partial(self, i: int, out: Any, x: Any, y: Any) -> Any:
        return lax.log1p(y) if i == 0 else _ratio_or_zero(x, 1.0 + y)


class Xlogx(Evaluated):
    """x log(x), and 0 for x = 0; its derivative is log(x) + 1."""

    def define(self, *operands: Any) -> Any:
        (x,) = operands
        return where(x != 0.0, x * lax.log(x), 0.0)

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return lax.log(x) + 1.0


class Logit(Evaluated):
    """log(x / (1 - x))"""

    impl = scipy_reference("logit")

    def define(self, *operands: Any) -> Any:
        (x,) = operands
        return lax.log(lax.div(x, lax.sub(1.0, x)))

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return 1.0 / (x * (1.0 - x))


XLOGY, XLOG1PY, XLOGX, LOGIT = Xlogy(), Xlog1py(), Xlogx(), Logit()


def xlogy(x: ArrayLike, y: ArrayLike) -> Array:
    """x log(y), elementwise; 0 for x = 0 whatever y is.

    >>> from functrans.scipy import special
    >>> float(special.xlogy(0.0, 0.0))
    0.0
    """
    return bind(XLOGY, *real_operands("xlogy", x, y))


def xlog1py(x: ArrayLike, y: ArrayLike) -> Array:
    """x log(1 + y), elementwise; 0 for x = 0 whatever y is.

    >>> from functrans.scipy import special
    >>> float(special.xlog1py(0.0, -1.0))
    0.0
    """
    return bind(XLOG1PY, *real_operands("xlog1py", x, y))


def logit(x: ArrayLike) -> Array:
    """log(x / (1 - x)), elementwise: the inverse of ``expit``.

    >>> from functrans.scipy import special
    >>> float(special.logit(0.5))
    0.0
    """
    return bind(LOGIT, real_operand("logit", x))


def expit(x: ArrayLike) -> Array:
    """1 / (1 + exp(-x)), elementwise.

    >>> from functrans.scipy import special
    >>> float(special.expit(0.0))
    0.5
    """
    return lax.logistic(real_operand("expit", x))


@jit
def _entr(x: Any) -> Any:
    negative = lax.lt(x, 0.0)
    return where(negative, -math.inf, lax.neg(bind(XLOGX, where(negative, 1.0, x))))


def entr(x: ArrayLike) -> Array:
    """-x log(x), elementwise; -inf for negative x.

    >>> from functrans.scipy import special
    >>> float(special.entr(1.0))
    -0.0
    """
    return _entr(real_operand("entr", x))


@jit
def _rel_entr(p: Any, q: Any) -> Any:
    both = lax.gt(p, 0.0) & lax.gt(q, 0.0)
    safe_p, safe_q = where(both, p, 1.0), where(both, q, 1.0)
    inside = lax.sub(bind(XLOGX, safe_p), bind(XLOGY, safe_p, safe_q))
    return where(both, inside, where(lax.eq(p, 0.0) & lax.ge(q, 0.0), 0.0, math.inf))


def rel_entr(p: ArrayLike, q: ArrayLike) -> Array:
    """p log(p / q), elementwise; 0 for p = 0 and q >= 0, else inf where one is not positive.

    >>> from functrans.scipy import special
    >>> float(special.rel_entr(2.0, 2.0))
    0.0
    """
    return _rel_entr(*real_operands("rel_entr", p, q))


def kl_div(p: ArrayLike, q: ArrayLike) -> Array:
    """p log(p / q) - p + q, elementwise.

    >>> from functrans.scipy import special
    >>> float(special.kl_div(2.0, 2.0))
    0.0
    """
    p, q = real_operands("kl_div", p, q)
    return _rel_entr(p, q) - p + q


_BOXCOX_TERMS = 16  # 0.5 ** 16 / 17! is below the precision of float64, in its derivatives too


@jit
def _boxcox(log_x: Any, power: Any) -> Any:
    """log(x) expm1(z) / z for z = power log(x); near zero by its series, smooth through power = 0."""
    infinite = (power == 0.0) & (lax.abs(log_x) == math.inf)
    z = where(infinite, 0.0, power) * where(infinite, 1.0, log_x)
    near = lax.abs(z) < 0.5
    small, series = where(near, z, 0.0), 1.0 / math.factorial(_BOXCOX_TERMS)
    for k in reversed(range(1, _BOXCOX_TERMS)):
        series = series * small + 1.0 / math.factorial(k)
    return where(near, log_x * series, lax.expm1(where(near, 1.0, z)) / where(near, 1.0, power))


def boxcox(x: ArrayLike, lmbda: ArrayLike) -> Array:
    """(x ** lmbda - 1) / lmbda, elementwise; log(x) for lmbda = 0.

    >>> from functrans.scipy import special
    >>> float(special.boxcox(3.0, 2.0))
    4.0
    """
    x, lmbda = real_operands("boxcox", x, lmbda)
    return _boxcox(lax.log(x), lmbda)


def boxcox1p(x: ArrayLike, lmbda: ArrayLike) -> Array:
    """((1 + x) ** lmbda - 1) / lmbda, elementwise; log(1 + x) for lmbda = 0.

    >>> from functrans.scipy import special
    >>> float(special.boxcox1p(2.0, 2.0))
    4.0
    """
    x, lmbda = real_operands("boxcox1p", x, lmbda)
    return _boxcox(lax.log1p(x), lmbda)
