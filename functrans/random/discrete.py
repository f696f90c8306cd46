"""Samples of discrete distributions: integers, choices, signs; the same as ``jax.random`` gives."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from functrans import lax
from functrans import numpy as fnp
from functrans.api.compilation import jit
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import kind_of, type_of
from functrans.numpy.promotion import broadcast, promote_dtypes, requested_dtype, shape_argument, to_dtype
from functrans.random.arguments import Array, ArrayLike, floating, limits, sample_shape, shape_of, static
from functrans.random.continuous import _gumbel, between, gumbel_mode
from functrans.random.keys import Key, Shape, default_integer, random_bits, split_key, typed_key
from functrans.trace.frames import here
from functrans.trace.keywords import takes

_INT32 = np.dtype(np.int32)


def integral(name: str, dtype: Any) -> Any:
    """The dtype of samples that a user asked for; raises TypeError unless it is an integer."""
    found = default_integer() if dtype is None else requested_dtype(name, dtype)
    if kind_of(found) not in "iu":
        raise FunctransTypeError(f"{name}: the dtype of samples must be an integer, got {found} at {here()}")
    return found


def _clipped(x: Any, dtype: Any) -> Any:
    """An integer array in another integer dtype, what does not fit cut off."""
    source, to = np.iinfo(x.dtype), np.iinfo(dtype)
    return lax.convert_element_type(fnp.clip(x, max(source.min, to.min), min(source.max, to.max)), dtype)


@static
def _randint(key: Any, minval: Any, maxval: Any, *, shape: tuple[int, ...], dtype: Any) -> Any:
    """Two draws of bits make the bias of the remainder negligible."""
    info = np.iinfo(dtype)
    unsigned = np.dtype(f"uint{info.bits}")
    beyond = lax.gt(maxval, min(int(info.max), int(np.iinfo(maxval.dtype).max)))
    minval, maxval = _clipped(minval, dtype), _clipped(maxval, dtype)
    higher, lower = (random_bits(k, info.bits, shape) for k in split_key(key))
    span = lax.convert_element_type(maxval - minval, unsigned)
    span = fnp.where(maxval <= minval, unsigned.type(1), span)
    span = fnp.where(beyond & (maxval > minval), span + unsigned.type(1), span)
    multiplier = lax.rem(fnp.full(span.shape, 1 << (info.bits // 2), unsigned), span)
    multiplier = lax.rem(lax.mul(multiplier, multiplier), span)
    span, multiplier, minval = broadcast(span, shape), broadcast(multiplier, shape), broadcast(minval, shape)
    offset = lax.add(lax.mul(lax.rem(higher, span), multiplier), lax.rem(lower, span))
    return lax.add(minval, lax.convert_element_type(lax.rem(offset, span), dtype))


@takes(out_sharding=None)
def randint(key: Key, shape: Shape, minval: ArrayLike, maxval: ArrayLike, dtype: Any = None) -> Array:
    """Integers in [minval, maxval), each equally likely.

    Args:
      key: a random key ``[]``.
      shape: the shape of the samples.
      minval, maxval: the ends, integers or arrays that broadcast to ``shape``; the upper one is left out.
      dtype: an integer dtype; int32 by default.

    Raises:
      TypeError, ValueError: the key is none, or the dtype no integer, or a shape does not fit.

    >>> from functrans import random
    >>> random.randint(random.key(0), (3,), 0, 10).dtype
    dtype('int32')
    """
    typed, _ = typed_key("randint", key)
    dtype = integral("randint", dtype)
    sizes = sample_shape("randint", shape, ("minval", shape_of(minval)), ("maxval", shape_of(maxval)))
    ends = [fnp.asarray(x) for x in (minval, maxval)]
    ends = [x if kind_of(x.dtype) in "iu" else lax.convert_element_type(x, default_integer()) for x in ends]
    info = np.iinfo(dtype)
    if info.bits >= 32:
        return _randint(typed, *ends, shape=sizes, dtype=dtype)
    ends = [
        fnp.clip(lax.convert_element_type(x, _INT32), int(info.min), int(info.max) + k) for k, x in enumerate(ends)
    ]
    return lax.convert_element_type(_randint(typed, *ends, shape=sizes, dtype=_INT32), dtype)


@functools.partial(jit, static_argnames=("shape", "mode"))
def _bernoulli(key: Any, p: Any, *, shape: tuple[int, ...], mode: str) -> Any:
    if mode == "high":
        both = between(key, 0.0, 1.0, (2, *shape), p.dtype)
        return both[1] * 2.0 ** -int(limits(p.dtype).nmant) < p - both[0]
    return fnp.less(between(key, 0.0, 1.0, shape, p.dtype), p)


@takes(out_sharding=None)
def bernoulli(key: Key, p: ArrayLike = 0.5, shape: Shape | None = None, mode: str = "low") -> Array:
    """True with probability ``p``; ``mode='high'`` draws twice the bits, for tiny probabilities.

    >>> from functrans import random
    >>> random.bernoulli(random.key(0), 0.3, (2,)).dtype
    dtype('bool')
    """
    typed, _ = typed_key("bernoulli", key)
    if mode not in ("high", "low"):
        raise FunctransValueError(f"bernoulli: mode must be 'high' or 'low', got {mode!r}")
    p = fnp.asarray(p)
    if kind_of(p.dtype) != "f":
        raise FunctransTypeError(f"bernoulli: the probability must be floating, got {type_of(p)} at {here()}")
    sizes = sample_shape("bernoulli", shape, ("p", tuple(p.shape)))
    return _bernoulli(typed, p, shape=sizes, mode=mode)


@static
def _rademacher(key: Any, *, shape: tuple[int, ...], dtype: Any) -> Any:
    half = np.asarray(0.5, floating("rademacher", None))
    signs = lax.convert_element_type(_bernoulli(key, half, shape=shape, mode="low"), dtype)
    return lax.convert_element_type(2 * signs - 1, dtype)


@takes(out_sharding=None)
def rademacher(key: Key, shape: Shape = (), dtype: Any = None) -> Array:
    """1 or -1, each equally likely.

    >>> from functrans import random
    >>> random.rademacher(random.key(0), (2,)).dtype
    dtype('int32')
    """
    typed, _ = typed_key("rademacher", key)
    to = default_integer() if dtype is None else requested_dtype("rademacher", dtype)
    return _rademacher(typed, shape=shape_argument("rademacher", shape), dtype=to)


@takes(out_sharding=None)
def categorical(
    key: Key, logits: ArrayLike, axis: int = -1, shape: Shape | None = None, replace: bool = True,
    mode: str | None = None,
) -> Array:  # fmt: skip
    """Places along ``axis``, each with a probability proportional to exp(logits).

    Args:
      key: a random key ``[]``.
      logits: [..., n, ...], unnormalized logarithms of probabilities.
      axis: the axis of the categories.
      shape: the shape of the result; that of ``logits`` without ``axis`` by default, and its end in any case.
      replace: whether a category may be drawn again along the leading axes that ``shape`` adds.
      mode: as for ``gumbel``.

    >>> import numpy as np
    >>> from functrans import random
    >>> random.categorical(random.key(0), np.float32([-np.inf, 0.0]), shape=(2,)).tolist()
    [1, 1]
    """
    typed, _ = typed_key("categorical", key)
    (logits,) = promote_dtypes("categorical", fnp.asarray(logits), inexact=True)
    rank = len(logits.shape)
    if not -rank <= axis < rank:
        raise FunctransValueError(f"categorical: axis {axis} is no axis of logits of shape {tuple(logits.shape)}")
    axis %= rank
    batch = tuple(n for i, n in enumerate(logits.shape) if i != axis)
    sizes = sample_shape("categorical", batch if shape is None else shape, ("logits without the axis", batch))
    prefix = sizes[: len(sizes) - len(batch)]
    how = gumbel_mode("categorical", mode)
    if replace:
        own = list(sizes[len(prefix) :])
        own.insert(axis, logits.shape[axis])
        drawn = _gumbel(typed, shape=(*prefix, *own), dtype=logits.dtype, mode=how)
        return fnp.argmax(fnp.add(drawn, logits), axis=axis - rank)
    count = math.prod(prefix)
    if count > logits.shape[axis]:
        raise FunctransValueError(
            f"categorical: {count} samples without replacement of {logits.shape[axis]} categories, at {here()}"
        )
    scores = fnp.add(logits, _gumbel(typed, shape=tuple(logits.shape), dtype=logits.dtype, mode=how))
    places = lax.top_k(fnp.moveaxis(scores, axis, -1), count)[1]
    return lax.reshape(fnp.moveaxis(places, -1, 0), sizes)


@static
def _geometric(key: Any, p: Any, *, shape: tuple[int, ...], dtype: Any) -> Any:
    u = between(key, 0.0, 1.0, shape, p.dtype)
    u = fnp.where(u == 0.0, 1.0, u)
    ratio = lax.div(lax.log(u), broadcast(lax.log1p(-p), shape))
    return lax.convert_element_type(lax.floor(ratio) + 1.0, dtype)


@takes(out_sharding=None)
def geometric(key: Key, p: ArrayLike, shape: Shape | None = None, dtype: Any = None) -> Array:
    """How many trials it takes to the first success, which has probability ``p``.

    >>> from functrans import random
    >>> int(random.geometric(random.key(0), 0.5, (100,)).min())
    1
    """
    typed, _ = typed_key("geometric", key)
    (p,) = promote_dtypes("geometric", fnp.asarray(p), inexact=True)
    sizes = sample_shape("geometric", shape, ("p", tuple(p.shape)))
    return _geometric(typed, p, shape=sizes, dtype=integral("geometric", dtype))


# -- Poisson -----------------------------------------------------------------------------------------------------------


def _poisson_by_product(key: Any, rate: Any, shape: tuple[int, ...], dtype: Any, most: int) -> Any:
    """Knuth's method: how many uniform numbers can be multiplied before the product falls below exp(-rate)."""

    def step(state: Any) -> Any:
        i, k, following, log_product = state
        following, own = split_key(following)
        k = lax.select(log_product > -rate, k + 1, k)
        return i + 1, k, following, log_product + lax.log(between(own, 0.0, 1.0, shape, np.dtype(np.float32)))

    def unfinished(state: Any) -> Any:
        return fnp.any(state[3] > -rate) & (state[0] < most)

    start = (np.int32(0), fnp.zeros(shape, dtype), key, fnp.zeros(shape, np.float32))
    return lax.while_loop(unfinished, step, start)[1] - 1


def _poisson_by_rejection(key: Any, rate: Any, shape: tuple[int, ...], dtype: Any, most: int) -> Any:
    """Transformed rejection with squeeze (Hörmann 1993, algorithm PTRS), for rates of 10 and more."""
    log_rate = lax.log(rate)
    b = 0.931 + 2.53 * lax.sqrt(rate)
    a = -0.059 + 0.02483 * b
    inverse_alpha = 1.1239 + 1.1328 / (b - 3.4)
    v_r = 0.9277 - 3.6224 / (b - 2.0)

    def step(state: Any) -> Any:
        i, found, accepted, following = state
        following, first, second = split_key(following, 3)
        u = between(first, 0.0, 1.0, shape, rate.dtype) - 0.5
        v = between(second, 0.0, 1.0, shape, rate.dtype)
        shifted = 0.5 - lax.abs(u)
        k = lax.floor((2.0 * a / shifted + b) * u + rate + 0.43)
        s = lax.log(v * inverse_alpha / (a / (shifted * shifted) + b))
        density = -rate + k * log_rate - lax.lgamma(k + 1.0)
        squeezed = (shifted >= 0.07) & (v <= v_r)
        refused = (k < 0.0) | ((shifted < 0.013) & (v > shifted))
        accept = squeezed | (~refused & (s <= density))
        return i + 1, lax.select(accept, k, found), accepted | accept, following

    def unfinished(state: Any) -> Any:
        return fnp.any(~state[2]) & (state[0] < most)

    start = (np.int32(0), fnp.full(shape, -1.0, rate.dtype), fnp.zeros(shape, bool), key)
    return lax.convert_element_type(lax.while_loop(unfinished, step, start)[1], dtype)


@static
def _poisson(key: Any, rate: Any, *, shape: tuple[int, ...], dtype: Any) -> Any:
    small = (rate != rate) | (rate < 10.0)
    most = min(int(np.iinfo(dtype).max), int(np.iinfo(np.int32).max))
    few = _poisson_by_product(key, fnp.where(small, rate, 0.0), shape, dtype, most)
    many = _poisson_by_rejection(key, fnp.where(small, 1e5, rate), shape, dtype, most)
    return fnp.where(rate == 0.0, dtype.type(0), lax.select(small, few, many))


@takes(method="exact", out_sharding=None)
def poisson(key: Key, lam: ArrayLike, shape: Shape | None = None, dtype: Any = None) -> Array:
    """Numbers of the Poisson distribution with this rate.

    >>> from functrans import random
    >>> random.poisson(random.key(0), 3.0, (2,)).dtype
    dtype('int32')
    """
    typed, _ = typed_key("poisson", key)
    dtype = integral("poisson", dtype)
    sizes = sample_shape("poisson", shape, ("lam", shape_of(lam)))
    rate = lax.stop_gradient(broadcast(to_dtype(fnp.asarray(lam), np.dtype(np.float32)), sizes))
    return _poisson(typed, rate, shape=sizes, dtype=dtype)
