"""Elementwise functions, how they are computed on power series, and where: reaching the ends of their domains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
from mpmath import mp

import functrans.numpy as fnp
from functrans import lax, nn
from functrans.scipy import special
from tests.oracle import series as s

Interval = tuple[float, float, int]  # from, to, and how many points: in geometric steps where both have one sign


class Row(NamedTuple):
    function: Callable[[Any], Any]
    precise: Callable[[s.Series], s.Series]
    intervals: tuple[Interval, ...]
    composition: bool = False  # of several operations of XLA: its value, too, is held to the bound
    made_of: tuple[str, ...] = ()  # rows of functions of XLA's that are worse than the bound
    half: bool = True  # whether it is held to the bound in half precision, too


def positive(low: float, high: float, smallest: float = 1e-300, largest: float = 0.0) -> tuple[Interval, ...]:
    """Densely between low and high; sparsely down to the smallest and up to the largest."""
    out = [(low, high, 28), (smallest, low, 10)]
    return (*out, (high, largest, 8)) if largest else tuple(out)


def both(*intervals: Interval) -> tuple[Interval, ...]:
    """The intervals and their mirror images."""
    return (*intervals, *[(-low, -high, n) for low, high, n in intervals])


def signed(low: float, high: float, smallest: float = 1e-300, largest: float = 0.0) -> tuple[Interval, ...]:
    return both(*positive(low, high, smallest, largest))


def grid(intervals: tuple[Interval, ...], dtype: Any) -> Any:
    """The points as numbers of the dtype, in order, none subnormal or infinite."""
    limits: Any = ml_dtypes.finfo(dtype)
    out = []
    for low, high, count in intervals:
        size = sorted((abs(low), abs(high)))
        if low * high > 0:
            smallest = max(size[0], float(limits.tiny) * 16.3)  # half of a number, too, is to be a normal one
            largest = min(size[1], float(limits.max) * 0.9999)
            points = np.geomspace(smallest, largest, count) if smallest < largest else np.empty(0)
            points = np.copysign(points, low)
        else:
            points = np.linspace(low, high, count)
        rounded = points.astype(dtype).astype(np.float64)
        # 0.9999 is to be no 1 in half precision
        out.append(rounded[(rounded >= min(low, high)) & (rounded <= max(low, high))])
    points = np.unique(np.concatenate(out))
    return points[np.abs(points) >= float(limits.tiny)].astype(dtype)


def near(x: float, reach: float = 0.3, count: int = 8) -> tuple[Interval, ...]:
    """Points close to x on both sides."""
    return ((x - reach, x - reach / 1e3, count), (x + reach / 1e3, x + reach, count))


UNIT = (*signed(1e-3, 0.9999), *both((0.99, 0.999999, 8)))
PARAMETER = ((0.01, 40, 10),)
PROBABILITY = (*positive(1e-3, 0.9999), (0.99, 0.999999, 8))


def _sinc(u: s.Series) -> s.Series:
    angle = mp.pi * u
    if abs(angle.c[0]) > 1e-2:
        return s.sin(angle) / angle
    square, term, out = angle * angle, s.constant(1), s.constant(1)
    for k in range(1, 14):
        term = -term * square / ((2 * k) * (2 * k + 1))
        out = out + term
    return out


def _mish(u: s.Series) -> s.Series:
    e = s.exp(u)
    n = e * e + 2 * e
    return u - u * 2 / (n + 2) if u.c[0] > 0 else u * n / (n + 2)


def _gelu(u: s.Series) -> s.Series:
    c = mp.sqrt(mp.mpf(8) / mp.pi)
    return u * s.logistic(c * (u + mp.mpf("0.044715") * u * u * u))


def _elu(u: s.Series, alpha: float = 1) -> s.Series:
    return u if u.c[0] > 0 else alpha * s.expm1(u)


def _soft_sign(u: s.Series) -> s.Series:
    size = 1 + abs(u)
    return s.grown(u.c[0] / size.c[0], 1 / (size * size), u)


def _squareplus(u: s.Series) -> s.Series:
    root = s.sqrt(u * u + 4)
    value = (u.c[0] + root.c[0]) / 2 if u.c[0] > 0 else 2 / (root.c[0] - u.c[0])
    return s.grown(value, s.grown(value / root.c[0], 2 / (root * root * root), u), u)


def _log1mexp(u: s.Series) -> s.Series:
    return s.log1p(-s.exp(-u)) if u.c[0] > 0.1 else s.log(-s.expm1(-u))


def _logaddexp(u: s.Series, other: Any) -> s.Series:
    other = mp.mpf(other)
    return other + s.softplus(u - other)


def _boxcox(log_x: s.Series, power: float) -> s.Series:
    return s.expm1(mp.mpf(power) * log_x) / mp.mpf(power)


def _boxcox_by_power(log_x: Any, power: s.Series) -> s.Series:
    z = power * log_x
    if abs(z.c[0]) > 1e-3:
        return s.expm1(z) / power
    out = term = s.constant(1)
    for k in range(2, 30):
        term = term * z / k
        out = out + term
    return out * log_x


def _betaln(a: s.Series, b: Any) -> s.Series:
    return s.lgamma(a) + mp.loggamma(b) - s.lgamma(a + b)


def _log_over_one_minus(u: s.Series) -> s.Series:
    return s.log(u) - s.log1p(-u)


def _lower_gamma(a: Any, x: float) -> Any:
    return mp.gammainc(a, 0, x, regularized=True)


SELU_ALPHA, SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946

ROWS: dict[str, Row] = {
    # exponentials and logarithms
    "exp": Row(lax.exp, s.exp, both((1e-3, 700, 30), (1e-300, 1e-3, 4), (20, 87, 6))),
    "exp2": Row(
        lax.exp2, lambda u: s.exp(u * mp.log(2)), both((1e-3, 1020, 30), (1e-300, 1e-3, 4), (60, 125, 8)), True
    ),
    "expm1": Row(lax.expm1, s.expm1, both((1e-3, 700, 30), (1e-300, 1e-3, 6), (10, 87, 8))),
    "log": Row(lax.log, s.log, (*positive(1e-3, 1e3, largest=1e300), *near(1.0))),
    "log1p": Row(lax.log1p, s.log1p, (*signed(1e-3, 0.999), (-0.9999, -0.99, 6), (1, 1e300, 12), *near(-0.4, 0.02))),
    "log2": Row(fnp.log2, lambda u: s.log(u) / mp.log(2), positive(1e-3, 1e3, largest=1e300), True),
    "log10": Row(fnp.log10, lambda u: s.log(u) / mp.log(10), positive(1e-3, 1e3, largest=1e300), True),
    # powers
    "sqrt": Row(lax.sqrt, s.sqrt, positive(1e-3, 1e3, largest=1e300)),
    "rsqrt": Row(lax.rsqrt, lambda u: 1 / s.sqrt(u), positive(1e-3, 1e3, 1e-290, 1e290)),
    "cbrt": Row(lax.cbrt, s.cbrt, signed(1e-3, 1e3, largest=1e300)),
    "square": Row(lax.square, lambda u: u * u, signed(1e-3, 1e3, 1e-150, 1e150)),
    "reciprocal": Row(lax.reciprocal, lambda u: 1 / u, signed(1e-3, 1e3, 1e-100, 1e100)),
    "x**3": Row(lambda x: x**3, lambda u: u * u * u, signed(1e-3, 1e3, 1e-100, 1e100), True),
    "x**-3": Row(
        lambda x: x**-3, lambda u: 1 / (u * u * u), signed(1e-3, 1e3, 1e-60, 1e60), True, half=False
    ),  # 12 x^-5 is a normal number of float16 where x^-5 is none
    "x**2.5": Row(lambda x: x**2.5, lambda u: u ** mp.mpf(2.5), positive(1e-3, 1e3, 1e-100, 1e100)),
    "x**y by y": Row(
        lambda y: lax.pow(fnp.full_like(y, 1.7), y),
        lambda u: s.exp(u * mp.log(mp.mpf(1.7))),
        signed(1e-3, 100, 1e-30, 1300),
    ),
    "hypot": Row(lambda x: fnp.hypot(x, 2.0), lambda u: s.sqrt(u * u + 4), signed(1e-3, 1e3, 1e-290, 1e290), True),
    "squareplus": Row(nn.squareplus, _squareplus, signed(1e-3, 1e3, 1e-290, 1e150), True),
    # trigonometric and hyperbolic functions
    "sin": Row(lax.sin, s.sin, signed(1e-3, 100, largest=1e4)),
    "cos": Row(lax.cos, s.cos, signed(1e-3, 100, largest=1e4)),
    "tan": Row(lax.tan, s.tan, signed(1e-3, 100, largest=1e4)),
    "asin": Row(lax.asin, s.asin, UNIT),
    "acos": Row(lax.acos, s.acos, UNIT),
    "atan": Row(lax.atan, s.atan, signed(1e-3, 1e3, largest=1e300)),
    "atan2 by y": Row(
        lambda y: lax.atan2(y, fnp.full_like(y, 2.0)),
        lambda u: s.atan2(u, s.constant(2)),
        signed(1e-3, 1e3, largest=1e300),
    ),
    "atan2 by x": Row(
        lambda x: lax.atan2(fnp.full_like(x, 2.0), x),
        lambda u: s.atan2(s.constant(2), u),
        signed(1e-3, 1e3, largest=1e300),
    ),
    "atan2 by x near 0": Row(
        lambda x: lax.atan2(fnp.full_like(x, 2.0**-10), x),
        lambda u: s.atan2(s.constant(2.0**-10), u),
        signed(1e-3, 1e3, largest=1e300),
    ),
    "sinh": Row(lax.sinh, s.sinh, signed(1e-3, 20, largest=710), True),
    "cosh": Row(lax.cosh, s.cosh, signed(1e-3, 20, largest=710), True),
    "tanh": Row(lax.tanh, s.tanh, signed(1e-3, 20, largest=350)),
    "asinh": Row(lax.asinh, s.asinh, signed(1e-3, 1e3, largest=1e300)),
    "acosh": Row(lax.acosh, s.acosh, ((1.0001, 2, 20), (2, 1e3, 10), (1e3, 1e300, 10))),
    "atanh": Row(lax.atanh, s.atanh, UNIT),
    "sinc": Row(fnp.sinc, _sinc, (*signed(1e-3, 20, largest=1e4), *near(1.0, 0.1), *near(-2.0, 0.1)), True),
    # activations
    "logistic": Row(lax.logistic, s.logistic, both((1e-3, 20, 28), (20, 700, 12), (1e-300, 1e-3, 5))),
    "softplus": Row(nn.softplus, s.softplus, both((1e-3, 20, 28), (20, 700, 12), (1e-300, 1e-3, 5)), True),
    "log_sigmoid": Row(nn.log_sigmoid, lambda u: -s.softplus(-u), both((1e-3, 20, 28), (20, 700, 12)), True),
    "soft_sign": Row(nn.soft_sign, _soft_sign, signed(1e-3, 1e3, largest=1e100), True),
    "silu": Row(nn.silu, lambda u: u * s.logistic(u), both((1e-3, 20, 28), (20, 700, 12), (1e-300, 1e-3, 5)), True),
    "mish": Row(nn.mish, _mish, both((1e-3, 20, 28), (20, 700, 12), (1e-300, 1e-3, 5)), True),
    "gelu": Row(nn.gelu, _gelu, both((1e-3, 8, 28), (8, 20, 10), (1e-300, 1e-3, 5)), True),
    "gelu, exact": Row(
        lambda x: nn.gelu(x, approximate=False),
        lambda u: u * s.ndtr(u),
        both((1e-3, 8, 28), (8, 37, 10), (1e-300, 1e-3, 5)),
        True,
    ),
    "elu": Row(nn.elu, _elu, signed(1e-3, 20, largest=700), True),
    "celu": Row(
        lambda x: nn.celu(x, 1.5),
        lambda u: u if u.c[0] > 0 else 1.5 * s.expm1(u / 1.5),
        signed(1e-3, 20, largest=700),
        True,
    ),
    "selu": Row(
        nn.selu, lambda u: mp.mpf(SELU_SCALE) * _elu(u, mp.mpf(SELU_ALPHA)), signed(1e-3, 20, largest=700), True
    ),
    "log1mexp": Row(nn.log1mexp, _log1mexp, positive(1e-3, 20, largest=700), True),
    "logaddexp": Row(
        lambda x: fnp.logaddexp(x, 0.5), lambda u: _logaddexp(u, 0.5), both((1e-3, 20, 28), (20, 700, 12)), True
    ),
    "logaddexp2": Row(
        lambda x: fnp.logaddexp2(x, 0.5),
        lambda u: _logaddexp(u * mp.log(2), 0.5 * mp.log(2)) / mp.log(2),
        both((1e-3, 20, 28), (20, 1000, 12)),
        True,
    ),
    # error functions
    "erf": Row(lax.erf, s.erf, signed(1e-3, 6, largest=26)),
    "erfc": Row(lax.erfc, s.erfc, signed(1e-3, 6, largest=26)),
    "erfinv": Row(lax.erf_inv, s.erfinv, UNIT),
    "ndtr": Row(special.ndtr, s.ndtr, signed(1e-3, 8, largest=37), True),
    "log_ndtr": Row(
        special.log_ndtr, s.log_ndtr, (*both((1e-3, 9, 28), (9, 37, 12)), (-1e5, -37, 8)), True
    ),
    "ndtri": Row(special.ndtri, s.ndtri, (*PROBABILITY, *near(0.5, 0.01, 4)), True),
    # the gamma function and its relatives
    "gammaln": Row(
        special.gammaln, s.lgamma, (*positive(1e-2, 20, 1e-100, 1e100), (-5.7, -0.3, 12)), made_of=("trigamma",)
    ),
    "digamma": Row(
        special.digamma,
        lambda u: s.polygamma(0, u),
        (*positive(1e-2, 20, 1e-100, 1e100), (-5.7, -0.3, 12)),
        made_of=("trigamma",),
    ),
    "trigamma": Row(lambda x: special.polygamma(1, x), lambda u: s.polygamma(1, u), positive(1e-2, 20, 1e-70, 1e70)),
    "polygamma, order 2": Row(
        lambda x: special.polygamma(2, x), lambda u: s.polygamma(2, u), positive(1e-2, 20, 1e-40, 1e40)
    ),
    "polygamma, order 7": Row(
        lambda x: special.polygamma(7, x), lambda u: s.polygamma(7, u), positive(1e-1, 20, 1e-15, 1e15)
    ),
    "gamma": Row(special.gamma, s.gamma, (*positive(1e-2, 20, 1e-100, 170), (-5.7, -0.3, 12)), True),
    "factorial": Row(special.factorial, lambda u: s.gamma(u + 1), positive(1e-2, 20, 1e-100, 169), True),
    "beta": Row(
        lambda a: special.beta(a, 2.5), lambda u: s.exp(_betaln(u, mp.mpf(2.5))), positive(1e-2, 20, 1e-50, 1e15), True
    ),
    "betaln": Row(
        lambda a: special.betaln(a, 2.5),
        lambda u: _betaln(u, mp.mpf(2.5)),
        positive(1e-2, 20, 1e-50, 1e15),
        True,
        made_of=("gammaln",),
    ),
    "betaln far": Row(
        lambda a: special.betaln(a, 300.0),
        lambda u: _betaln(u, mp.mpf(300)),
        positive(1e-2, 20, 1e-50, 1e15),
        True,
        made_of=("gammaln",),
    ),
    "poch": Row(
        lambda z: special.poch(z, 2.5),
        lambda u: s.gamma(u + mp.mpf(2.5)) / s.gamma(u),
        positive(1e-2, 20, 1e-30, 60),
        True,
    ),
    "multigammaln": Row(
        lambda a: special.multigammaln(a, 2),
        lambda u: s.lgamma(u) + s.lgamma(u - mp.mpf(0.5)) + mp.log(mp.pi) / 2,
        ((0.6, 40, 20),),
        True,
        made_of=("gammaln",),
    ),
    "zeta by q": Row(
        lambda q: special.zeta(fnp.full_like(q, 2.5), q),
        lambda u: s.zeta_of_second(mp.mpf(2.5), u),
        positive(1e-2, 20, 1e-30, 1e30),
    ),
    "zeta by x": Row(lambda x: special.zeta(x, 1.5), lambda u: s.zeta_of_first(u, mp.mpf(1.5)), ((1.1, 30, 10),)),
    "igamma by x": Row(
        lambda x: special.gammainc(2.5, x), lambda u: s.igamma(mp.mpf(2.5), u), positive(1e-2, 20, 1e-30, 600), True
    ),
    "igammac by x": Row(
        lambda x: special.gammaincc(2.5, x), lambda u: s.igammac(mp.mpf(2.5), u), positive(1e-2, 20, 1e-30, 600), True
    ),
    "betainc by x": Row(
        lambda x: special.betainc(2.5, 1.5, x),
        lambda u: s.betainc(mp.mpf(2.5), mp.mpf(1.5), u),
        ((1e-3, 0.99, 12),),
        True,
    ),
    "igamma by a": Row(
        lambda a: special.gammainc(a, 2.5), lambda u: s.averaged(lambda a: _lower_gamma(a, 2.5), u), PARAMETER, True
    ),
    "igammac by a": Row(
        lambda a: special.gammaincc(a, 2.5),
        lambda u: s.averaged(lambda a: mp.gammainc(a, 2.5, mp.inf, regularized=True), u),
        PARAMETER,
        True,
    ),
    "betainc by a": Row(
        lambda a: special.betainc(a, 1.5, 0.25),
        lambda u: s.averaged(lambda a: mp.betainc(a, 1.5, 0, 0.25, regularized=True), u),
        PARAMETER,
        True,
    ),
    "betainc by b": Row(
        lambda b: special.betainc(2.5, b, 0.25),
        lambda u: s.averaged(lambda b: mp.betainc(2.5, b, 0, 0.25, regularized=True), u),
        PARAMETER,
        True,
    ),
    # Bessel functions
    "i0e": Row(special.i0e, lambda u: s.exp(-abs(u)) * s.i0(u), signed(1e-2, 20, 1e-20, 1e8), True),
    "i1e": Row(special.i1e, lambda u: s.exp(-abs(u)) * s.i1(u), signed(1e-2, 20, 1e-20, 1e8)),
    "i0": Row(special.i0, s.i0, signed(1e-2, 20, 1e-20, 700), True),
    "i1": Row(special.i1, s.i1, signed(1e-2, 20, 1e-20, 700), True),
    # integrals of exponentials, products with logarithms
    "exp1": Row(special.exp1, s.exp1, positive(1e-2, 20, 1e-100, 690), True),
    "expi": Row(special.expi, s.expi, (*positive(1e-2, 20, 1e-100, 700), (-20, -1e-2, 16), (-690, -20, 6)), True),
    "logit": Row(special.logit, _log_over_one_minus, (*positive(1e-3, 0.9999, 1e-150), (0.99, 0.999999, 8)), True),
    "entr": Row(special.entr, lambda u: -u * s.log(u), positive(1e-3, 1e3, 1e-150, 1e150), True),
    "xlogy by x": Row(lambda x: special.xlogy(x, 3.0), lambda u: u * mp.log(3), signed(1e-3, 1e3), True),
    "xlogy by y": Row(
        lambda y: special.xlogy(3.0, y), lambda u: 3 * s.log(u), positive(1e-3, 1e3, 1e-150, 1e150), True
    ),
    "xlog1py by y": Row(
        lambda y: special.xlog1py(3.0, y), lambda u: 3 * s.log1p(u), (*signed(1e-3, 0.999), (1, 1e150, 12)), True
    ),
    "rel_entr by p": Row(
        lambda p: special.rel_entr(p, 2.0), lambda u: u * s.log(u / 2), positive(1e-3, 1e3, 1e-150, 1e150), True
    ),
    "rel_entr by q": Row(
        lambda q: special.rel_entr(3.0, q), lambda u: 3 * s.log(3 / u), positive(1e-3, 1e3, 1e-150, 1e150), True
    ),
    "kl_div by p": Row(
        lambda p: special.kl_div(p, 2.0), lambda u: u * s.log(u / 2) - u + 2, positive(1e-3, 1e3, 1e-150, 1e150), True
    ),
    "boxcox by x": Row(
        lambda x: special.boxcox(x, 0.75), lambda u: _boxcox(s.log(u), 0.75), positive(1e-3, 1e3, 1e-60, 1e60), True
    ),
    "boxcox by lmbda": Row(
        lambda p: special.boxcox(3.0, p), lambda u: _boxcox_by_power(mp.log(3), u), signed(1e-3, 20, 1e-60), True
    ),
    "boxcox1p by x": Row(
        lambda x: special.boxcox1p(x, 0.75),
        lambda u: _boxcox(s.log1p(u), 0.75),
        (*positive(1e-3, 1e3, 1e-60, 1e60), (-0.99, -1e-3, 10)),
        True,
    ),
}

# Units that a row may have instead of those allowed: what exceeds them is worse than it is known to be.
# That of betainc by a small a: the series and its factor are a dozen roundings.
STILL_EXCEEDING: dict[tuple[str, str, int], float] = {("betainc by a", "float32", 1): 5}
