"""Error functions, and the distribution function of the normal distribution with its logarithm and inverse."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from functrans import lax
from functrans.api.compilation import jit
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.lax.elementwise import in_single
from functrans.lax.evaluated import Evaluated
from functrans.numpy.selection import where
from functrans.ops.bessel import chebyshev
from functrans.ops.special import scipy_reference
from functrans.scipy.special.arguments import Array, ArrayLike, real_operand, strong_operand
from functrans.trace.binding import bind

_ROOT_TAU = math.sqrt(2 * math.pi)


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
    """P(Z <= x) for a standard normal Z, elementwise.

    >>> from functrans.scipy import special
    >>> float(special.ndtr(0.0))
    0.5
    """
    return in_single(_ndtr, strong_operand("ndtr", x))


def _density(x: Any) -> Any:
    return lax.exp(-0.5 * lax.square(x)) * (1.0 / _ROOT_TAU)


# With the excess e(t) = density(t) / P(Z > t) - t for t >= 0 and its derivative e', (t + 5/2) e(t) and
# -(t + 5/2)^2 e'(t) as Chebyshev series in s = (t - 5/2) / (t + 5/2) (the substitution of Schonfelder 1978 for erfc),
# computed in forty digits: highest order first, the constant terms doubled.
_EXCESS = (
    -6.51340908266161664929e-19, -3.0490513187766654748e-18, -5.20304043329903897001e-18, 8.58315415985751358081e-18,
    8.04989142267872894742e-17, 2.22633295841842199568e-16, 3.96518232553419906944e-17, -2.23106123228561358062e-15,
    -9.05860509617536503812e-15, -8.38560781451526399217e-15, 7.67334377894307341044e-14, 3.70569333925159492752e-13,
    3.2098718195734544588e-13, -3.43864163905435955567e-12, -1.4405382215016589665e-11, -1.03168650477253606101e-12,
    1.68652753297553434319e-10, 4.63197624712942489991e-10, -8.06882443820562081803e-10, -7.42158575238900731667e-9,
    -7.8178858772031004635e-9, 6.98436093646328333219e-8, 2.39596890738771857685e-7, -3.46123619637729963774e-7,
    -0.00000350665908552886653981, -0.00000204778077131207859572, 0.0000394185465598971795939,
    0.0000850194994564537840588, -0.000388284516060640063579, -0.00158692772446630191889, 0.00387790274105047126939,
    0.0265565536927992896983, -0.0577923448339099943517, -0.522408015448091276364, 3.10324456919653784886,
)
_EXCESS_SLOPE = (
    -2.54442573365504775929e-18, -2.30515070764044558783e-17, -5.91219877892188353222e-17,
    -1.50087043087961554946e-17, 4.50963890856506798151e-16, 1.78700782537817376813e-15, 2.55752253730026082415e-15,
    -7.64135194646692468191e-15, -5.58989617854244893243e-14, -1.30675783771884413609e-13, 1.39115107998871675765e-13,
    1.98047542428526301266e-12, 5.148319520761657929e-12, -5.91813968209622151431e-12, -7.64727071982039430738e-11,
    -1.57267486536057248777e-10, 4.10336018525921731191e-10, 2.81263665121349916996e-9, 2.65782378756105726646e-9,
    -2.3785987327917692497e-8, -8.28561480529979933427e-8, 6.94900604283975888236e-8, 0.00000100995298708010238371,
    0.00000126668328014833776633, -0.00000805573251392758776616, -0.000027056281230512644534,
    0.000038138405287151657435, 0.000333010759922419587676, 0.0000712154098099304276372, -0.00329932401897313357704,
    -0.00428081974752147761837, 0.0300180443506390416409, 0.064574462197406703344, -0.291064604084735265796,
    -0.69595908197753729258, 3.79920365117407514144,
)


def _tail_excess(t: Any, order: int = 0) -> Any:
    """e(t), or -e'(t), for t >= 0: they fall like 1 / t and 1 / t^2, and the differences that define them cancel."""
    double = t.dtype == np.float64
    coefficients = (_EXCESS, _EXCESS_SLOPE)[order][0 if double else 18 :]  # what is below the precision left out
    far = t == math.inf
    near = where(far, 0.0, t)
    scale = 1.0 / (near + 2.5)
    series = chebyshev(2.0 * (near - 2.5) * scale, coefficients)
    return where(far, 0.0, series * (scale * scale if order else scale))


class LogNdtr(Evaluated):
    """log P(Z <= x); for x <= 0 by the logarithms of the density and of its ratio to P."""

    impl = scipy_reference("log_ndtr")

    def define(self, *operands: Any) -> Any:
        (x,) = operands
        right = x > 0.0
        t = where(right, 0.0, -x)
        left = -0.5 * lax.square(t) - lax.log((t + _tail_excess(t)) * _ROOT_TAU)
        beyond = 0.5 * lax.erfc(where(right, x, 0.0) * math.sqrt(0.5))
        # XLA's log1p has an error of a hundred units in the last place near -0.4
        return where(x > 0.67, lax.log1p(-beyond), where(right, lax.log(1.0 - beyond), left))

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return bind(NDTR_RATIO, x)


class NdtrRatio(Evaluated):
    """m(x) = density(x) / P(Z <= x), the derivative of log P."""

    def define(self, *operands: Any) -> Any:
        (x,) = operands
        right, t = x > 0.0, where(x > 0.0, 0.0, -x)
        return where(right, _density(x) / _upper_half(where(right, x, 0.0)), t + _tail_excess(t))

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return lax.neg(lax.mul(out, bind(NDTR_EXCESS, x)))


class NdtrExcess(Evaluated):
    """x + m(x), whose product with -m(x) is m'(x); order 1: its derivative 1 - m(x) (x + m(x))."""

    order: int

    def define(self, *operands: Any) -> Any:
        (x,) = operands
        right, left = x > 0.0, _tail_excess(where(x > 0.0, 0.0, -x), self.order)
        ratio = NDTR_RATIO.define(where(right, x, 0.0))
        return where(right, x + ratio if self.order == 0 else 1.0 - ratio * (x + ratio), left)

    def partial(self, i: int, out: Any, x: Any) -> Any:
        if self.order == 0:
            return bind(NdtrExcess(1), x)
        excess = bind(NDTR_EXCESS, x)
        return lax.mul(bind(NDTR_RATIO, x), lax.sub(lax.mul(excess, excess), out))


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
        return lax.div(1.0, bind(QUANTILE_DENSITY, p))


class QuantileDensity(Evaluated):
    """The density at the x with P(Z <= x) = p, whose derivative is -x: p times its ratio to P, which hardly changes."""

    def define(self, *operands: Any) -> Any:
        (p,) = operands
        tail = where(p > 0.5, 1.0 - p, p)
        t = lax.abs(NDTRI.define(where(tail == 0.0, 0.5, p)))
        return tail * (t + _tail_excess(t))

    def partial(self, i: int, out: Any, p: Any) -> Any:
        return lax.neg(bind(NDTRI, p))


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

LOG_NDTR, NDTR_RATIO, NDTR_EXCESS = LogNdtr(), NdtrRatio(), NdtrExcess(0)
NDTRI, QUANTILE_DENSITY = Ndtri(), QuantileDensity()


@jit
def _erfcinv(y: Any) -> Any:
    return bind(NDTRI, 0.5 * y) * -math.sqrt(0.5)


def erfcinv(y: ArrayLike) -> Array:
    """The inverse of ``erfc``, elementwise, exact where y is small; NaN outside of [0, 2].

    >>> from functrans.scipy import special
    >>> round(float(special.erfcinv(1e-20)), 4)
    6.6016
    """
    return in_single(_erfcinv, strong_operand("erfcinv", y))


def ndtri(p: ArrayLike) -> Array:
    """The x with P(Z <= x) = p for a standard normal Z, elementwise.

    >>> from functrans.scipy import special
    >>> round(float(special.ndtri(0.975)), 3)
    1.96
    """
    return bind(NDTRI, strong_operand("ndtri", p))


def log_ndtr(x: ArrayLike, series_order: int = 3) -> Array:
    """log(ndtr(x)), exact far to the left, elementwise.

    ``series_order`` is there for JAX's signature: the same series serves everywhere, and it is not asymptotic.

    Raises:
      TypeError: series_order is no integer. ValueError: series_order is not between 0 and 30.

    >>> from functrans.scipy import special
    >>> round(float(special.log_ndtr(-20.0)), 2)
    -203.92
    """
    if not isinstance(series_order, int):
        raise FunctransTypeError(f"log_ndtr: series_order must be an integer, got {series_order!r}")
    if not 0 <= series_order <= 30:
        raise FunctransValueError(f"log_ndtr: series_order must lie between 0 and 30, got {series_order}")
    return bind(LOG_NDTR, strong_operand("log_ndtr", x))
