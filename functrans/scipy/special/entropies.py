"""Products with logarithms, entropies and divergences; transforms of probabilities."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from functrans import lax
from functrans.api.compilation import jit
from functrans.lax.elementwise import in_single
from functrans.lax.evaluated import Evaluated, arrays_of
from functrans.numpy.selection import where
from functrans.ops.elementwise import binary
from functrans.ops.special import scipy_reference
from functrans.scipy.special.arguments import (
    Array,
    ArrayLike,
    inexact_operands,
    is_complex,
    real_operand,
    real_operands,
)
from functrans.trace.binding import bind
from functrans.trace.primitive import Tangent, Value
from functrans.trace.series import Line


class _Weighted(Evaluated):
    """x times a function of y, and 0 for x = 0 whatever that function is, unless y is NaN: linear in x.

    So are its derivatives, which are of this kind again: where the weight is 0, or does not move, an infinite factor
    is none. So logarithms of densities have derivatives at the ends of their support.
    """

    def slope(self, x: Any, y: Any) -> Any:
        """The derivative by y, of this kind in x."""
        self.missing("slope", "differentiation")

    def weigh(self, x: Any, y: Any, factor: Any) -> Any:
        return where((x != 0.0) | (y != y), factor, 0.0)

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        x, y = arrays_of(primals)
        s, t = tangents
        out = bind(self, x, y)
        left = None if s is None else binary(self, s, y)
        right = None if t is None else binary(WEIGHTED, t, self.slope(x, y))
        return out, left if right is None else right if left is None else lax.add(left, right)

    def transpose(self, cotangent: Any, x: Any, y: Any) -> Sequence[Any]:
        return [binary(self, cotangent, y), None]


class Weighted(_Weighted):
    """x y"""

    def define(self, *operands: Any) -> Any:
        x, y = operands
        return self.weigh(x, y, x * y)

    def slope(self, x: Any, y: Any) -> Any:
        return x

    def taylor(self, line: Line, operands: Sequence[Any]) -> Any:
        x, y = operands
        return line.product(self, x, y)


class Xlogy(_Weighted):
    """x log(y)"""

    impl = scipy_reference("xlogy")

    def define(self, *operands: Any) -> Any:
        x, y = operands
        return self.weigh(x, y, x * lax.log(y))

    def slope(self, x: Any, y: Any) -> Any:
        return binary(WEIGHTED_RECIPROCAL, x, y)


class Xlog1py(_Weighted):
    """x log(1 + y)"""

    impl = scipy_reference("xlog1py")

    def define(self, *operands: Any) -> Any:
        x, y = operands
        return self.weigh(x, y, x * lax.log1p(y))

    def slope(self, x: Any, y: Any) -> Any:
        return binary(WEIGHTED_RECIPROCAL, x, lax.add(y, 1.0))


class WeightedReciprocal(_Weighted):
    """x / y"""

    def define(self, *operands: Any) -> Any:
        x, y = operands
        return self.weigh(x, y, x / y)

    def slope(self, x: Any, y: Any) -> Any:
        return lax.neg(binary(self, binary(self, x, y), y))

    def taylor(self, line: Line, operands: Sequence[Any]) -> Any:
        x, y = operands
        divisor = line.value(y)
        return line.solution(lambda a: binary(self, a, divisor), lambda a, z: binary(WEIGHTED, a, z), x, y)


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


WEIGHTED, WEIGHTED_RECIPROCAL = Weighted(), WeightedReciprocal()
XLOGY, XLOG1PY, XLOGX, LOGIT = Xlogy(), Xlog1py(), Xlogx(), Logit()


def xlogy(x: ArrayLike, y: ArrayLike) -> Array:
    """x log(y), elementwise; 0 for x = 0 whatever y is.

    >>> from functrans.scipy import special
    >>> float(special.xlogy(0.0, 0.0))
    0.0
    """
    x, y = inexact_operands("xlogy", x, y)
    return _complex_product(x, lax.log(y), y) if is_complex(x) else bind(XLOGY, x, y)


def xlog1py(x: ArrayLike, y: ArrayLike) -> Array:
    """x log(1 + y), elementwise; 0 for x = 0 whatever y is.

    >>> from functrans.scipy import special
    >>> float(special.xlog1py(0.0, -1.0))
    0.0
    """
    x, y = inexact_operands("xlog1py", x, y)
    return _complex_product(x, lax.log1p(y), y) if is_complex(x) else bind(XLOG1PY, x, y)


def _complex_product(x: Any, logarithm: Any, y: Any) -> Any:
    return where((x != 0.0) | (y != y), x * logarithm, 0.0)


def logit(x: ArrayLike) -> Array:
    """log(x / (1 - x)), elementwise: the inverse of ``expit``.

    >>> from functrans.scipy import special
    >>> float(special.logit(0.5))
    0.0
    """
    (x,) = inexact_operands("logit", x, strong=True)
    return LOGIT.define(x) if is_complex(x) else bind(LOGIT, x)


def expit(x: ArrayLike) -> Array:
    """1 / (1 + exp(-x)), elementwise.

    >>> from functrans.scipy import special
    >>> float(special.expit(0.0))
    0.5
    """
    return lax.logistic(*inexact_operands("expit", x))


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
    outside = where(lax.eq(p, p) & lax.eq(q, q), math.inf, math.nan)
    return where(both, inside, where(lax.eq(p, 0.0) & lax.ge(q, 0.0), 0.0, outside))


def _probabilities(name: str, p: ArrayLike, q: ArrayLike) -> list[Any]:
    return real_operands(name, p, q, strong=np.ndim(p) > 0)  # JAX's constants are as weak as a single p


def rel_entr(p: ArrayLike, q: ArrayLike) -> Array:
    """p log(p / q), elementwise; 0 for p = 0 and q >= 0, else inf where one is not positive.

    >>> from functrans.scipy import special
    >>> float(special.rel_entr(2.0, 2.0))
    0.0
    """
    return in_single(_rel_entr, *_probabilities("rel_entr", p, q))


def kl_div(p: ArrayLike, q: ArrayLike) -> Array:
    """p log(p / q) - p + q, elementwise.

    >>> from functrans.scipy import special
    >>> float(special.kl_div(2.0, 2.0))
    0.0
    """
    return in_single(lambda p, q: _rel_entr(p, q) - p + q, *_probabilities("kl_div", p, q))


_BOXCOX_TERMS = 20  # 1 / 21! is below the precision of float64, in its derivatives too


class Boxcox(Evaluated):
    """(y^p - 1) / p for y = x, or y = 1 + x (``shifted``); log(y) for p = 0."""

    shifted: bool = False

    @property
    def impl(self) -> Any:  # type: ignore[override]
        return scipy_reference("boxcox1p" if self.shifted else "boxcox").__func__

    def _parts(self, x: Any, power: Any) -> tuple[Any, Any, Any]:
        """log(y), its product with the power, and whether that is small: there by series, smooth through p = 0."""
        logarithm = lax.log1p(x) if self.shifted else lax.log(x)
        z = binary(WEIGHTED, power, logarithm)
        return logarithm, z, lax.abs(z) < 1.0

    def _raised(self, x: Any, power: Any) -> Any:
        """y to a power: where y is rounded much more than x, by its logarithm."""
        if not self.shifted:
            return lax.pow(x, power)
        small = lax.abs(x) < 0.5
        near = lax.exp(power * lax.log1p(where(small, x, 0.0)))
        return where(small, near, lax.pow(where(small, 0.0, x) + 1.0, power))

    def define(self, *operands: Any) -> Any:
        x, power = operands
        logarithm, z, near = self._parts(x, power)
        small, series = where(near, z, 0.0), 1.0 / math.factorial(_BOXCOX_TERMS)
        for k in reversed(range(1, _BOXCOX_TERMS)):
            series = series * small + 1.0 / math.factorial(k)
        # exp of a large z would multiply the rounding of z
        beyond = (self._raised(x, power) - 1.0) / where(near, 1.0, power)
        return where(near, where(power == 0.0, 1.0, series) * logarithm, beyond)

    def partial(self, i: int, out: Any, x: Any, power: Any) -> Any:
        if i == 0:
            return self._raised(x, power - 1.0)
        logarithm, z, near = self._parts(x, power)
        small, series = where(near, z, 0.0), 1.0 / math.factorial(_BOXCOX_TERMS) / (_BOXCOX_TERMS + 2)
        for k in reversed(range(_BOXCOX_TERMS)):  # of the integral of s exp(s z) for s from 0 to 1
            series = series * small + 1.0 / math.factorial(k) / (k + 2)
        beyond = binary(WEIGHTED, self._raised(x, power), where(near, 0.0, logarithm)) - out
        inside = where(near, logarithm, 0.0)
        return where(near, inside * inside * series, beyond / where(near, 1.0, power))


def boxcox(x: ArrayLike, lmbda: ArrayLike) -> Array:
    """(x ** lmbda - 1) / lmbda, elementwise; log(x) for lmbda = 0.

    >>> from functrans.scipy import special
    >>> float(special.boxcox(3.0, 2.0))
    4.0
    """
    x, lmbda = inexact_operands("boxcox", x, lmbda)
    return _complex_boxcox(lax.log(x), lmbda) if is_complex(x) else bind(Boxcox(False), x, lmbda)


def boxcox1p(x: ArrayLike, lmbda: ArrayLike) -> Array:
    """((1 + x) ** lmbda - 1) / lmbda, elementwise; log(1 + x) for lmbda = 0.

    >>> from functrans.scipy import special
    >>> float(special.boxcox1p(2.0, 2.0))
    4.0
    """
    x, lmbda = inexact_operands("boxcox1p", x, lmbda)
    return _complex_boxcox(lax.log1p(x), lmbda) if is_complex(x) else bind(Boxcox(True), x, lmbda)


def _complex_boxcox(logarithm: Any, power: Any) -> Any:
    zero = power == 0.0
    divisor = where(zero, 1.0, power)
    return where(zero, logarithm, lax.expm1(divisor * logarithm) / divisor)
