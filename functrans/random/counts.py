"""How often events happen in a number of trials: binomial and multinomial numbers; the same as ``jax.random`` gives."""

from __future__ import annotations

from typing import Any

import numpy as np

from functrans import lax
from functrans import numpy as fnp
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import is_differentiable, kind_of, type_of
from functrans.numpy.promotion import broadcast, promote_dtypes, shape_argument
from functrans.random.arguments import Array, ArrayLike, floating, sample_shape, shape_of, static
from functrans.random.continuous import between
from functrans.random.keys import Key, Shape, split, split_key, typed_key
from functrans.trace.frames import here

_STIRLING = (
    0.0810614667953272, 0.0413406959554092, 0.0276779256849983, 0.02079067210376509, 0.0166446911898211,
    0.0138761288230707, 0.0118967099458917, 0.0104112652619720, 0.00925546218271273, 0.00833056343336287,
)  # fmt: skip


def _stirling_error(k: Any) -> Any:
    """log(k!) less Stirling's formula: from a table up to 9, by its series beyond."""
    in_table = lax.le(k, 9.0)
    k = fnp.clip(k, 0.0, 9.0)
    square = (k + 1.0) * (k + 1.0)
    series = (1.0 / 12 - (1.0 / 360 - 1.0 / 1260 / square) / square) / (k + 1.0)
    table = fnp.asarray(np.asarray(_STIRLING, k.dtype))
    return lax.select(in_table, table[lax.convert_element_type(lax.floor(k), np.dtype(np.int32))], series)


def _by_inversion(key: Any, count: Any, probability: Any, shape: tuple[int, ...]) -> Any:
    """How many geometric waiting times fit into ``count`` trials."""
    log_failure = lax.log1p(lax.neg(probability))

    def step(state: Any) -> Any:
        times, waited, following = state
        own, following = split_key(following)
        times = lax.select(waited <= count, times + 1.0, times)
        u = between(own, 0.0, 1.0, shape, probability.dtype)
        return times, waited + lax.ceil(lax.log(u) / log_failure), following

    zeros = fnp.zeros(shape, probability.dtype)
    return lax.while_loop(lambda state: fnp.any(state[1] <= count), step, (zeros, zeros, key))[0] - 1.0


def _by_rejection(key: Any, count: Any, probability: Any, shape: tuple[int, ...]) -> Any:
    """Transformed rejection with squeeze (Hörmann 1993, algorithm BTRS), for expected counts above 10."""
    deviation = lax.sqrt(count * probability * (1.0 - probability))
    b = 1.15 + 2.53 * deviation
    a = -0.0873 + 0.0248 * b + 0.01 * probability
    center = count * probability + 0.5
    squeeze = 0.92 - 4.2 / b
    odds = probability / (1.0 - probability)
    alpha = (2.83 + 5.1 / b) * deviation
    mode = lax.floor((count + 1.0) * probability)

    def step(state: Any) -> Any:
        found, accepted, following = state
        following, first, second = split_key(following, 3)
        u = between(first, 0.0, 1.0, shape, probability.dtype)
        v = between(second, 0.0, 1.0, shape, probability.dtype)
        u = u - 0.5
        distance = 0.5 - lax.abs(u)
        squeezed = (distance >= 0.07) & (v <= squeeze)
        k = lax.floor((2.0 * a / distance + b) * u + center)
        outside = (k < 0.0) | (k > count)
        v = lax.log(v * alpha / (a / (distance * distance) + b))
        bound = (
            (mode + 0.5) * lax.log((mode + 1.0) / (odds * (count - mode + 1.0)))
            + (count + 1.0) * lax.log((count - mode + 1.0) / (count - k + 1.0))
            + (k + 0.5) * lax.log(odds * (count - k + 1.0) / (k + 1.0))
            + _stirling_error(mode)
            + _stirling_error(count - mode)
            - _stirling_error(k)
            - _stirling_error(count - k)
        )
        accept = squeezed | (~outside & (v <= bound))
        return lax.select(accept, k, found), accepted | accept, following

    start = (fnp.full(shape, -1.0, probability.dtype), fnp.zeros(shape, bool), key)
    return lax.while_loop(lambda state: fnp.any(~state[1]), step, start)[0]


@static
def _binomial(key: Any, n: Any, p: Any, *, shape: tuple[int, ...], dtype: Any) -> Any:
    n, p = (lax.stop_gradient(broadcast(x, shape)) for x in (n, p))
    rare = p < 0.5
    q = lax.select(rare, p, 1.0 - p)
    no_count = (n != n) | (n < 0.0)
    endless = fnp.isinf(n)
    q_is_nan, q_is_negative = q != q, q < 0.0
    q = fnp.where(q_is_nan | q_is_negative, 0.01, q)
    small = no_count | (n * q <= 10.0)
    n = lax.floor(n)
    few = _by_inversion(key, fnp.where(small, n, 0.0), q, shape)
    many = _by_rejection(key, fnp.where(small, 1e4, n), fnp.where(small, 0.5, q), shape)
    samples = lax.select(small, lax.convert_element_type(few, dtype), lax.convert_element_type(many, dtype))
    invalid = q_is_negative | q_is_nan | no_count
    samples = fnp.where(invalid, np.nan, samples)
    samples = fnp.where(endless & ~invalid, np.inf, samples)
    kept = rare | no_count | q_is_nan | endless
    return lax.select(kept, samples, lax.convert_element_type(n, dtype) - samples)


def binomial(key: Key, n: ArrayLike, p: ArrayLike, shape: Shape | None = None, dtype: Any = None) -> Array:
    """How many of ``n`` trials succeed, each with probability ``p``.

    Args:
      key: a random key ``[]``.
      n: the numbers of trials; what is behind the decimal point is cut off. NaN for negative ones, inf for inf.
      p: the probabilities; NaN for those outside [0, 1].
      shape: the shape of the samples; that of ``n`` and ``p`` together by default.
      dtype: floating; float32 by default.

    Raises:
      TypeError, ValueError: the key is none, or the dtype not floating, or a shape does not fit.

    >>> from functrans import random
    >>> random.binomial(random.key(0), 5, np.float32([0.0, 1.0])).tolist()
    [0.0, 5.0]
    """
    typed, _ = typed_key("binomial", key)
    dtype = floating("binomial", dtype)
    sizes = sample_shape("binomial", shape, ("n", shape_of(n)), ("p", shape_of(p)))
    (p,) = promote_dtypes("binomial", fnp.asarray(p), inexact=True)
    return _binomial(typed, lax.convert_element_type(fnp.asarray(n), p.dtype), p, shape=sizes, dtype=dtype)


def multinomial(
    key: Key, n: ArrayLike, p: ArrayLike, *, shape: Shape | None = None, dtype: Any = None, unroll: int | bool = 1
) -> Array:
    """How often each outcome comes in ``n`` trials, for outcomes of probabilities ``p``.

    Args:
      key: a random key ``[]``.
      n: the numbers of trials [...].
      p: the probabilities of the outcomes [..., k].
      shape: that of the result without its last axis, the outcomes; that of ``p`` by default.
      dtype: the dtype of the counts; the default floating one by default.
      unroll: as for ``lax.scan``, which goes over the outcomes.

    Raises:
      TypeError, ValueError: the key is none, or a shape does not fit.

    >>> from functrans import random
    >>> float(random.multinomial(random.key(0), 7, np.float32([0.2, 0.3, 0.5])).sum())
    7.0
    """
    typed, _ = typed_key("multinomial", key)
    n, p = promote_dtypes("multinomial", fnp.asarray(n), fnp.asarray(p), inexact=True)
    if not is_differentiable(p.dtype) or kind_of(p.dtype) == "c":
        raise FunctransTypeError(f"multinomial: the probabilities must be real, got {type_of(p)} at {here()}")
    if not p.shape:
        raise FunctransValueError(f"multinomial: p must have an axis of outcomes, got a scalar at {here()}")
    sizes = tuple(p.shape[:-1]) if shape is None else shape_argument("multinomial", shape)
    sample_shape("multinomial", sizes, ("p without its last axis", tuple(p.shape[:-1])))
    sample_shape("multinomial", sizes, ("n", tuple(n.shape)))
    n, p = broadcast(n, sizes), fnp.moveaxis(broadcast(p, (*sizes, p.shape[-1])), -1, 0)
    remaining = lax.cumsum(p, 0, reverse=True)
    ratios = p / fnp.where(remaining == 0.0, 1.0, remaining)

    def outcome(left: Any, of_one: Any) -> Any:
        ratio, own = of_one
        count = _binomial(own, left, fnp.clip(ratio, 0.0, 1.0), shape=sizes, dtype=left.dtype)
        return left - count, count

    _, counts = lax.scan(outcome, n, (ratios, split(typed, ratios.shape[0])), unroll=unroll)
    return fnp.astype(fnp.moveaxis(counts, 0, -1), floating("multinomial", None) if dtype is None else dtype)
