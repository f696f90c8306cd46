"""Error functions, and the distribution function of the normal distribution with its logarithm and inverse."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from functrans import lax
from functrans.api.compilation import jit
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import short_dtype
from functrans.lax.taylor import Evaluated
from functrans.numpy.selection import where
from functrans.ops.special import scipy_reference
from functrans.scipy.special.arguments import Array, ArrayLike, real_operand
from functrans.trace.builder import bind

_LOG_ROOT_TAU = math.log(math.sqrt(2 * math.pi))


def erf(x: ArrayLike) -> Array:
    """The error function, elementwise.

    >>> from functrans.scipy import special
    >>> round(float(special.erf(1.0)), 4)
    0.8427
    """
    return lax.erf(real_operand("erf", x))


def erfc(x: ArrayLike) -> Array:
    """1 - erf(x), elementwise, exact where it is small.

    >>> from functrans.scipy import special
    >>> round(float(special.erfc(1.0)), 4)
    0.1573
    """
    return lax.erfc(real_operand("erfc", x))


def erfinv(x: ArrayLike) -> Array:
    """The inverse of the error function, elementwise.

    >>> from functrans.scipy import special
    >>> float(special.erfinv(0.0))
    0.0
    """
    return lax.erf_inv(real_operand("erfinv", x))


def _single_or_double(name: str, x: ArrayLike) -> Any:
    x = real_operand(name, x)
    if x.dtype not in (np.float32, np.float64):
        raise FunctransTypeError(f"{name} takes float32 or float64, got {short_dtype(x.dtype)}; convert it first")
    return x


def _upper_half(x: Any) -> Any:
    """P(Z <= x), through erfc of a positive number on either side, and erf in the middle."""
    w = x * math.sqrt(0.5)
    z = lax.abs(w)
    tail = where(w > 0.0, 2.0 - lax.erfc(z), lax.erfc(z))
    return 0.5 * where(z < math.sqrt(0.5), 1.0 + lax.erf(w), tail)


@jit
def _ndtr(x: Any) -> Any:
    return _upper_half(x)


def ndtr(x: ArrayLike) -> Array:
    """P(Z <= x) for a standard normal Z, elementwise; float32 or float64.

    >>> from functrans.scipy import special
    >>> float(special.ndtr(0.0))
    0.5
    """
    return _ndtr(_single_or_double("ndtr", x))


def _log_density(x: Any) -> Any:
    return -0.5 * lax.square(x) - _LOG_ROOT_TAU


class LogNdtr(Evaluated):
    """log P(Z <= x); far to the left by its asymptotic series of this order (DLMF 7.12.1)."""

    series_order: int
    impl = scipy_reference("log_ndtr")

    def define(self, *operands: Any) -> Any:
        (x,) = operands
        low = _far_left(x)
        right = x > 0.0
        probability = _upper_half(where(right, -x, lax.max(x, low)))
        far = lax.min(x, low)
        series: Any = lax.full_like(far, 1)
        power: Any = lax.square(far)
        for n in range(1, self.series_order + 1):
            odd_factorial = float(math.prod(range(2 * n - 1, 1, -2)))
            series = series + (-1.0) ** n * odd_factorial / power
            power = power * lax.square(far)
        left = _log_density(far) - lax.log(-far) + lax.log(series)
        near = where(right, lax.log1p(-probability), lax.log(probability))
        return where(x > low, near, left)

    def partial(self, i: int, out: Any, x: Any) -> Any:
        """The density over the probability; far to the left, where both vanish, by its continued fraction."""
        low = _far_left(x)
        near = x > low
        t = where(near, -low, -x)
        fraction: Any = t
        for k in reversed(range(1, 13)):  # Laplace's, t + 1 / (t + 2 / (t + ...)) (DLMF 7.9.1)
            fraction = t + float(k) / fraction
        return where(near, lax.exp(_log_density(where(near, x, 0.0)) - where(near, out, 0.0)), fraction)


def _far_left(x: Any) -> float:
    return -20.0 if x.dtype == np.float64 else -10.0


class Ndtri(Evaluated):
    """The inverse of P(Z <= x), by the rational functions of Cephes (Moshier 1989, ndtri.c)."""

    impl = scipy_reference("ndtri")

    def define(self, *operands: Any) -> Any:
        (p,) = operands
        nearer = where(p > -math.expm1(-2.0), 1.0 - p, p)
        safe = where(nearer == 0.0, 0.5, nearer)
        w = safe - 0.5
        square = w * w
        middle = (w + w * square * _ratio(square, *_MIDDLE)) * -math.sqrt(2 * math.pi)
        z = lax.sqrt(-2.0 * lax.log(safe))
        inverse = 1.0 / z
        first = z - lax.log(z) / z
        tail = first - where(z >= 8.0, _ratio(inverse, *_FAR), _ratio(inverse, *_NEAR)) * inverse
        x = where(safe > math.exp(-2.0), middle, tail)
        x = where(p > 1.0 - math.exp(-2.0), x, -x)
        x = where(p == 0.0, -math.inf, where(p == 1.0, math.inf, x))
        return where((p < 0.0) | (p > 1.0), math.nan, x)

    def partial(self, i: int, out: Any, p: Any) -> Any:
        return lax.exp(0.5 * lax.square(out)) * math.sqrt(2 * math.pi)


def _ratio(x: Any, above: tuple[float, ...], below: tuple[float, ...]) -> Any:
    def polynomial(coefficients: tuple[float, ...]) -> Any:
        out: Any = lax.full_like(x, coefficients[0])
        for c in coefficients[1:]:
            out = out * x + c
        return out

    return polynomial(above) / polynomial(below)


_MIDDLE = (
    (
        -5.99633501014107895267e1, 9.80010754185999661536e1, -5.66762857469070293439e1, 1.39312609387279679503e1,
        -1.23916583867381258016e0,
    ),
    (
        1.0, 1.95448858338141759834e0, 4.67627912898881538453e0, 8.63602421390890590575e1, -2.25462687854119370527e2,
        2.00260212380060660359e2, -8.20372256168333339912e1, 1.59056225126211695515e1, -1.18331621121330003142e0,
    ),
)  # fmt: skip
_NEAR = (
    (
        4.05544892305962419923e0, 3.15251094599893866154e1, 5.71628192246421288162e1, 4.40805073893200834700e1,
        1.46849561928858024014e1, 2.18663306850790267539e0, -1.40256079171354495875e-1, -3.50424626827848203418e-2,
        -8.57456785154685413611e-4,
    ),
    (
        1.0, 1.57799883256466749731e1, 4.53907635128879210584e1, 4.13172038254672030440e1, 1.50425385692907503408e1,
        2.50464946208309415979e0, -1.42182922854787788574e-1, -3.80806407691578277194e-2, -9.33259480895457427372e-4,
    ),
)  # fmt: skip
_FAR = (
    (
        3.23774891776946035970e0, 6.91522889068984211695e0, 3.93881025292474443415e0, 1.33303460815807542389e0,
        2.01485389549179081538e-1, 1.23716634817820021358e-2, 3.01581553508235416007e-4, 2.65806974686737550832e-6,
        6.23974539184983293730e-9,
    ),
    (
        1.0, 6.02427039364742014255e0, 3.67983563856160859403e0, 1.37702099489081330271e0, 2.16236993594496635890e-1,
        1.34204006088543189037e-2, 3.28014464682127739104e-4, 2.89247864745380683936e-6, 6.79019408009981274425e-9,
    ),
)  # fmt: skip

NDTRI = Ndtri()


def ndtri(p: ArrayLike) -> Array:
    """The x with P(Z <= x) = p for a standard normal Z, elementwise; float32 or float64.

    >>> from functrans.scipy import special
    >>> round(float(special.ndtri(0.975)), 3)
    1.96
    """
    return bind(NDTRI, _single_or_double("ndtri", p))


def log_ndtr(x: ArrayLike, series_order: int = 3) -> Array:
    """log(ndtr(x)), exact far to the left, elementwise; float32 or float64.

    Raises:
      TypeError: series_order is no integer, or another dtype. ValueError: series_order is not between 0 and 30.

    >>> from functrans.scipy import special
    >>> round(float(special.log_ndtr(-20.0)), 2)
    -203.92
    """
    if not isinstance(series_order, int):
        raise FunctransTypeError(f"log_ndtr: series_order must be an integer, got {series_order!r}")
    if not 0 <= series_order <= 30:
        raise FunctransValueError(f"log_ndtr: series_order must lie between 0 and 30, got {series_order}")
    return bind(LogNdtr(series_order), _single_or_double("log_ndtr", x))
