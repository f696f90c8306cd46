"""Samples of continuous distributions that transform uniform numbers; the same numbers as ``jax.random`` gives."""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
import numpy as np

from functrans import lax
from functrans import numpy as fnp
from functrans.api.compilation import jit
from functrans.api.custom_rules import custom_jvp
from functrans.errors import FunctransValueError
from functrans.numpy.promotion import broadcast, shape_argument
from functrans.random.arguments import (
    Array,
    ArrayLike,
    drawn,
    floating,
    limits,
    number,
    sample_shape,
    shape_of,
    static,
)
from functrans.random.keys import Key, Shape, random_bits, split_key, typed_key
from functrans.trace.keywords import takes

# -- uniform and normal ------------------------------------------------------------------------------------------------


def unit_uniform(key: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    """Numbers in [0, 1): random mantissas of numbers in [1, 2), less 1."""
    info = limits(dtype)
    width = int(info.bits)
    drawn = 8 if info.nmant < 8 else width
    unsigned = np.dtype(f"uint{width}")
    bits = random_bits(key, drawn, shape)
    if drawn != width:
        bits = lax.convert_element_type(bits, unsigned)
    one = int(np.asarray(1.0, dtype).view(unsigned))
    mantissa = lax.bitwise_or(lax.shift_right_logical(bits, drawn - int(info.nmant)), one)
    return lax.sub(lax.bitcast_convert_type(mantissa, dtype), 1.0)


@static
def _uniform(key: Any, minval: Any, maxval: Any, *, shape: tuple[int, ...], dtype: Any) -> Any:
    minval, maxval = (lax.convert_element_type(x, dtype) for x in (minval, maxval))
    drawn = fnp.add(fnp.multiply(unit_uniform(key, shape, dtype), fnp.subtract(maxval, minval)), minval)
    return fnp.maximum(minval, drawn)


@takes(out_sharding=None)
def uniform(
    key: Key, shape: Shape = (), dtype: Any = None, minval: ArrayLike = 0.0, maxval: ArrayLike = 1.0
) -> Array:
    """Numbers spread evenly over [minval, maxval).

    Args:
      key: a random key ``[]``.
      shape: the shape of the samples.
      dtype: floating; float32 by default.
      minval, maxval: the ends, scalars or arrays that broadcast to ``shape``.

    Raises:
      TypeError, ValueError: the key is none, or the dtype not floating, or a shape does not fit.

    >>> from functrans import random
    >>> random.uniform(random.key(0), (2,)).shape
    (2,)
    """
    typed, _ = typed_key("uniform", key)
    dtype = floating("uniform", dtype)
    sizes = sample_shape("uniform", shape, ("minval", shape_of(minval)), ("maxval", shape_of(maxval)))
    return _uniform(typed, minval, maxval, shape=sizes, dtype=dtype)


def _real_normal(key: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    least = number(np.nextafter(np.asarray(-1.0, dtype), np.asarray(0.0, dtype)), dtype)
    drawn = lax.add(lax.mul(unit_uniform(key, shape, dtype), number(1.0 - least, dtype)), least)
    return lax.mul(lax.erf_inv(lax.max(drawn, least)), number(np.sqrt(2), dtype))


@static
def _normal(key: Any, *, shape: tuple[int, ...], dtype: Any) -> Any:
    if dtype.kind != "c":
        return _real_normal(key, shape, dtype)
    real = np.zeros((), dtype).real.dtype
    parts = [lax.convert_element_type(_real_normal(k, shape, real), dtype) for k in split_key(key)]
    return (parts[0] + 1j * parts[1]) / np.asarray(np.sqrt(2), dtype)


@takes(out_sharding=None)
def normal(key: Key, shape: Shape = (), dtype: Any = None) -> Array:
    """Numbers of the standard normal distribution; complex ones have a variance of 1 in both parts together.

    >>> from functrans import random
    >>> random.normal(random.key(0), (2, 3)).shape
    (2, 3)
    """
    return drawn(_normal, "normal", key, shape, dtype, complex_too=True)


_NODES, _WEIGHTS = (tuple(map(float, v)) for v in np.polynomial.legendre.leggauss(8))


def _share_above(x: Any, lower: Any, upper: Any) -> Any:
    """P(Z > x) for a standard normal Z that lies between the bounds."""
    span = (upper - lower) * fnp.maximum(fnp.maximum(lax.abs(lower), lax.abs(upper)), 1.0)
    narrow = span < 1.0

    def integral(start: Any) -> Any:
        """Of the density from there to the upper bound, relative to that at the middle, by Gauss's formula."""
        low, half, end = fnp.where(narrow, lower, 0.0), 0.5 * (top - start), 0.5 * (top + start)
        middle = 0.5 * lax.square(0.5 * (low + top))
        terms = [w * lax.exp(middle - 0.5 * lax.square(end + half * z)) for z, w in zip(_NODES, _WEIGHTS, strict=True)]
        return half * functools.reduce(lax.add, terms)

    top = fnp.where(narrow, upper, 1.0)
    quadrature = integral(fnp.where(narrow, x, 0.5)) / integral(fnp.where(narrow, lower, 0.0))
    toward = fnp.where(lower + upper > 0.0, math.sqrt(0.5), -math.sqrt(0.5))  # the tail in which nothing cancels
    places = ((0.0, x), (-1.0, lower), (1.0, upper))
    of_x, of_lower, of_upper = (lax.erfc(toward * fnp.where(narrow, unused, z)) for unused, z in places)
    none = of_lower == of_upper
    wide = (of_x - of_upper) / fnp.where(none, 1.0, of_lower - of_upper)
    wide = fnp.where(none, fnp.where(x - lower < upper - x, 1.0, 0.0), wide)
    return fnp.where(narrow, quadrature, wide)


@custom_jvp
def _between_bounds(x: Any, lower: Any, upper: Any) -> Any:
    """A number of the truncated normal distribution, which moves with the bounds while its quantile stays.

    In the tails the inverse of the distribution function has no derivative: all is rounded to its ends.
    """
    return x


@_between_bounds.defjvp
def _between_bounds_jvp(primals: Any, tangents: Any) -> tuple[Any, Any]:
    lower, upper = primals[1:]
    x = _between_bounds(*primals)
    above = _share_above(x, lower, upper)
    total: Any = 0.0
    for bound, tangent, weight in ((lower, tangents[1], above), (upper, tangents[2], 1.0 - above)):
        endless = fnp.isinf(bound)
        ratio = lax.exp(0.5 * (lax.square(x) - lax.square(fnp.where(endless, 0.0, bound))))  # of the densities
        total = total + tangent * fnp.where(endless, 0.0, weight * ratio)
    return x, total


@static
def _truncated_normal(key: Any, lower: Any, upper: Any, *, shape: tuple[int, ...], dtype: Any) -> Any:
    root = number(np.sqrt(2), dtype)
    bounds = [broadcast(lax.convert_element_type(x, dtype), shape) for x in (lower, upper)]
    lower, upper = (lax.stop_gradient(x) for x in bounds)
    a, b = lax.erf(fnp.divide(lower, root)), lax.erf(fnp.divide(upper, root))
    out = lax.mul(lax.erf_inv(_uniform(key, a, b, shape=shape, dtype=dtype)), root)
    inside = [fnp.nextafter(end, np.asarray(far, dtype)) for end, far in ((lower, np.inf), (upper, -np.inf))]
    return _between_bounds(fnp.clip(out, *inside), *bounds)


@takes(out_sharding=None)
def truncated_normal(
    key: Key, lower: ArrayLike, upper: ArrayLike, shape: Shape | None = None, dtype: Any = None
) -> Array:
    """Numbers of the standard normal distribution that lie between ``lower`` and ``upper``.

    >>> from functrans import random
    >>> float(abs(random.truncated_normal(random.key(0), -1.0, 1.0, (100,))).max()) < 1.0
    True
    """
    typed, _ = typed_key("truncated_normal", key)
    dtype = floating("truncated_normal", dtype)
    sizes = sample_shape("truncated_normal", shape, ("lower", shape_of(lower)), ("upper", shape_of(upper)))
    return _truncated_normal(typed, lower, upper, shape=sizes, dtype=dtype)


@static
def _lognormal(key: Any, sigma: Any, *, shape: tuple[int, ...], dtype: Any) -> Any:
    return lax.exp(fnp.multiply(_normal(key, shape=shape, dtype=dtype), sigma))


@takes(out_sharding=None)
def lognormal(key: Key, sigma: ArrayLike = 1.0, shape: Shape | None = None, dtype: Any = None) -> Array:
    """exp of normal numbers with mean 0 and standard deviation ``sigma``.

    >>> from functrans import random
    >>> random.lognormal(random.key(0), shape=(2,)).shape
    (2,)
    """
    return drawn(_lognormal, "lognormal", key, shape, dtype, complex_too=True, sigma=sigma)


# -- by the inverse of the distribution function -----------------------------------------------------------------------


def between(key: Any, low: float, high: float, shape: tuple[int, ...], dtype: Any) -> Any:
    """Uniform numbers between two Python numbers, as ``uniform`` computes them."""
    return _uniform(key, low, high, shape=shape, dtype=dtype)


@static
def _exponential(key: Any, *, shape: tuple[int, ...], dtype: Any) -> Any:
    return lax.neg(lax.log1p(lax.neg(between(key, 0.0, 1.0, shape, dtype))))


@takes(out_sharding=None)
def exponential(key: Key, shape: Shape = (), dtype: Any = None) -> Array:
    """Numbers of the exponential distribution with mean 1.

    >>> from functrans import random
    >>> float(random.exponential(random.key(0), (100,)).min()) >= 0.0
    True
    """
    return drawn(_exponential, "exponential", key, shape, dtype)


@static
def _cauchy(key: Any, *, shape: tuple[int, ...], dtype: Any) -> Any:
    u = between(key, float(limits(dtype).eps), 1.0, shape, dtype)
    return lax.tan(lax.mul(lax.sub(u, 0.5), math.pi))


@takes(out_sharding=None)
def cauchy(key: Key, shape: Shape = (), dtype: Any = None) -> Array:
    """Numbers of the Cauchy distribution.

    >>> from functrans import random
    >>> random.cauchy(random.key(0), (2,)).shape
    (2,)
    """
    return drawn(_cauchy, "cauchy", key, shape, dtype)


@static
def _laplace(key: Any, *, shape: tuple[int, ...], dtype: Any) -> Any:
    u = between(key, -1.0 + float(limits(dtype).epsneg), 1.0, shape, dtype)
    return lax.mul(lax.sign(u), lax.log1p(lax.neg(lax.abs(u))))


@takes(out_sharding=None)
def laplace(key: Key, shape: Shape = (), dtype: Any = None) -> Array:
    """Numbers of the Laplace distribution with scale 1.

    >>> from functrans import random
    >>> random.laplace(random.key(0), (2,)).shape
    (2,)
    """
    return drawn(_laplace, "laplace", key, shape, dtype)


@static
def _logistic(key: Any, *, shape: tuple[int, ...], dtype: Any) -> Any:
    x = between(key, float(limits(dtype).tiny), 1.0, shape, dtype)
    return lax.sub(lax.log(x), lax.log1p(lax.neg(x)))


@takes(out_sharding=None)
def logistic(key: Key, shape: Shape = (), dtype: Any = None) -> Array:
    """Numbers of the logistic distribution.

    >>> from functrans import random
    >>> random.logistic(random.key(0), (2,)).shape
    (2,)
    """
    return drawn(_logistic, "logistic", key, shape, dtype)


@functools.partial(jit, static_argnames=("shape", "dtype", "mode"))
def _gumbel(key: Any, *, shape: tuple[int, ...], dtype: Any, mode: str) -> Any:
    info = limits(dtype)
    if mode == "highest" and dtype == np.float32:
        return _gumbel_of_64_bits(key, shape)
    if mode == "low":
        return lax.neg(lax.log(lax.neg(lax.log(between(key, float(info.tiny), 1.0, shape, dtype)))))
    both = between(key, 0.0, 1.0, (2, *shape), dtype)
    high, low = both[0], both[1]
    x = fnp.where(high >= 0.5, high, high + 2.0 ** -int(info.nmant) * low + number(info.tiny, dtype))
    return lax.neg(lax.log(lax.neg(lax.log1p(lax.neg(x)))))


@takes(out_sharding=None)
def gumbel(key: Key, shape: Shape = (), dtype: Any = None, mode: str | None = None) -> Array:
    """Numbers of the Gumbel distribution.

    ``mode='high'`` draws twice the bits for the far tail; ``'highest'`` makes the most of them for both tails, in
    float32.

    >>> from functrans import random
    >>> random.gumbel(random.key(0), (2,)).shape
    (2,)
    """
    typed, _ = typed_key("gumbel", key)
    return _gumbel(
        typed, shape=shape_argument("gumbel", shape), dtype=floating("gumbel", dtype), mode=gumbel_mode("gumbel", mode)
    )


def gumbel_mode(name: str, mode: str | None) -> str:
    """The configured mode where none is given; raises ValueError for an unknown one."""
    if mode is None:
        return "high" if jax.config.jax_high_dynamic_range_gumbel else "low"  # type: ignore[attr-defined]
    if mode not in ("highest", "high", "low"):
        raise FunctransValueError(f"{name}: mode must be 'highest', 'high' or 'low', got {mode!r}")
    return mode


def _gumbel_of_64_bits(key: Any, shape: tuple[int, ...]) -> Any:
    """-log(-log(u)) of u with 64 bits behind the point; 1 - u, whose digits are as many, where that is the smaller."""
    high, low = random_bits(key, 32, (2, *shape))
    small = high < np.uint32(1 << 31)
    rest = lax.bitwise_not(low)  # two's complement: 2 ** 64 less the bits
    carried = lax.convert_element_type(rest == np.uint32(2**32 - 1), np.uint32)
    x = _fraction(
        fnp.where(small, high, lax.bitwise_not(high) + carried), fnp.where(small, low, rest + np.uint32(1))
    )
    return -lax.log(-fnp.where(small, lax.log1p(-x), lax.log(x)))


def _fraction(high: Any, low: Any) -> Any:
    """The float32 in (0, 1) with these 64 bits behind the point, cut off where it ends."""
    leading, later = lax.clz(high), lax.clz(low)
    none = high == np.uint32(0)
    top = fnp.where(
        none,
        lax.shift_left(low, later),
        lax.bitwise_or(lax.shift_left(high, leading), lax.shift_right_logical(low, np.uint32(32) - leading)),
    )
    exponent = np.uint32(126) - fnp.where(none, np.uint32(32) + later, leading)
    mantissa = lax.bitwise_and(lax.shift_right_logical(top, np.uint32(8)), np.uint32(2**23 - 1))
    return lax.bitcast_convert_type(lax.bitwise_or(lax.shift_left(exponent, np.uint32(23)), mantissa), np.float32)


@static
def _pareto(key: Any, b: Any, *, shape: tuple[int, ...], dtype: Any) -> Any:
    return lax.exp(fnp.divide(_exponential(key, shape=shape, dtype=dtype), b))


@takes(out_sharding=None)
def pareto(key: Key, b: ArrayLike, shape: Shape | None = None, dtype: Any = None) -> Array:
    """Numbers of the Pareto distribution with shape parameter ``b``, at least 1.

    >>> from functrans import random
    >>> float(random.pareto(random.key(0), 2.0, (100,)).min()) >= 1.0
    True
    """
    return drawn(_pareto, "pareto", key, shape, dtype, b=b)


@static
def _rayleigh(key: Any, scale: Any, *, shape: tuple[int, ...], dtype: Any) -> Any:
    log_u = lax.log(between(key, 0.0, 1.0, shape, dtype))
    return lax.mul(broadcast(scale, shape), lax.sqrt(lax.mul(log_u, -2.0)))


@takes(out_sharding=None)
def rayleigh(key: Key, scale: ArrayLike, shape: Shape | None = None, dtype: Any = None) -> Array:
    """Lengths of normal vectors in the plane with standard deviation ``scale``.

    >>> from functrans import random
    >>> random.rayleigh(random.key(0), 1.0, (2,)).shape
    (2,)
    """
    return drawn(_rayleigh, "rayleigh", key, shape, dtype, scale=scale)


def _mills_ratio(t: Any) -> Any:
    """P(Z > t) divided by the density at t, for a standard normal Z and t >= 0."""
    near = t < 4.0
    inner, outer = fnp.where(near, t, 0.0), fnp.where(near, 4.0, t)
    fraction: Any = outer
    for k in reversed(range(1, 21)):  # Laplace's, t + 1 / (t + 2 / (t + ...)) (DLMF 7.9.1)
        fraction = outer + float(k) / fraction
    close = math.sqrt(0.5 * math.pi) * lax.exp(0.5 * lax.square(inner)) * lax.erfc(inner * math.sqrt(0.5))
    return fnp.where(near, close, 1.0 / fraction)


@custom_jvp
def _of_mean(x: Any, mean: Any) -> Any:
    """A number of the Wald distribution, which moves with the mean while its quantile stays.

    What its parts do is another thing: which of two roots is drawn depends on the mean.
    """
    return x


@_of_mean.defjvp
def _of_mean_jvp(primals: Any, tangents: Any) -> tuple[Any, Any]:
    x, mean = _of_mean(*primals), primals[1]
    usable = (x > 0.0) & lax.is_finite(x)  # rounding may have left no positive number
    root = lax.sqrt(fnp.where(usable, x, 1.0))
    # F' by the mean m is -2 / m^2 exp(2 / m) P(Z > t), and the density x^(-3/2) exp(2 / m) times that of Z at t
    slope = 2.0 * _mills_ratio(root / mean + 1.0 / root) * root * lax.square(root / mean)
    return x, tangents[1] * fnp.where(usable, slope, 0.0)


@static
def _wald(key: Any, mean: Any, *, shape: tuple[int, ...], dtype: Any) -> Any:
    first, second = split_key(key)
    own_mean = broadcast(mean, shape)
    mean = lax.stop_gradient(own_mean)
    y = lax.integer_pow(_normal(first, shape=shape, dtype=dtype), 2)
    z = between(second, 0.0, 1.0, shape, dtype)
    square = lax.integer_pow(mean, 2)
    root = lax.sqrt(4.0 * mean * y + square * lax.integer_pow(y, 2))
    x = mean + square * y / 2.0 - mean / 2.0 * root
    return _of_mean(lax.select(lax.le(z, mean / (mean + x)), x, square / x), own_mean)


@takes(out_sharding=None)
def wald(key: Key, mean: ArrayLike, shape: Shape | None = None, dtype: Any = None) -> Array:
    """Numbers of the Wald (inverse Gaussian) distribution with this mean.

    >>> from functrans import random
    >>> random.wald(random.key(0), 1.0, (2,)).shape
    (2,)
    """
    return drawn(_wald, "wald", key, shape, dtype, mean=mean)


@static
def _weibull(key: Any, scale: Any, concentration: Any, *, shape: tuple[int, ...], dtype: Any) -> Any:
    u = between(key, 0.0, 1.0, shape, dtype)
    return fnp.multiply(fnp.power(lax.neg(lax.log1p(lax.neg(u))), fnp.divide(1.0, concentration)), scale)


def weibull_min(
    key: Key, scale: ArrayLike, concentration: ArrayLike, shape: Shape = (), dtype: Any = None
) -> Array:
    """Numbers of the Weibull distribution.

    >>> from functrans import random
    >>> random.weibull_min(random.key(0), 1.0, 2.0, (2,)).shape
    (2,)
    """
    typed, _ = typed_key("weibull_min", key)
    return _weibull(
        typed, scale, concentration, shape=shape_argument("weibull_min", shape), dtype=floating("weibull_min", dtype)
    )


def _root(x: Any) -> Any:
    """The square root, which stays at 0 where it is 0."""
    nothing = x == 0.0
    return fnp.where(nothing, 0.0, lax.sqrt(fnp.where(nothing, 1.0, x)))


@static
def _triangular(key: Any, left: Any, mode: Any, right: Any, *, shape: tuple[int, ...], dtype: Any) -> Any:
    left, mode, right = (broadcast(x, shape) for x in (left, mode, right))
    u = between(key, 0.0, 1.0, shape, dtype)
    lower = left + _root(u * (right - left) * (mode - left))
    upper = right - _root((1.0 - u) * (right - left) * (right - mode))
    return lax.select(u < (mode - left) / (right - left), lower, upper)


@takes(out_sharding=None)
def triangular(
    key: Key, left: ArrayLike, mode: ArrayLike, right: ArrayLike, shape: Shape | None = None, dtype: Any = None
) -> Array:
    """Numbers of the triangular distribution on [left, right] with its peak at ``mode``.

    >>> from functrans import random
    >>> random.triangular(random.key(0), 0.0, 0.3, 1.0, (2,)).shape
    (2,)
    """
    return drawn(_triangular, "triangular", key, shape, dtype, left=left, mode=mode, right=right)
