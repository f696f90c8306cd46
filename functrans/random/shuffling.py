"""Permutations and choices of the elements of arrays; the same as ``jax.random`` gives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from functrans import lax
from functrans import numpy as fnp
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import kind_of, type_of
from functrans.numpy.promotion import axis_index, promote_dtypes, static_value
from functrans.random.arguments import Array, ArrayLike
from functrans.random.continuous import _gumbel, _uniform, gumbel_mode
from functrans.random.discrete import randint
from functrans.random.keys import Key, Shape, default_integer, random_bits, split_key, typed_key
from functrans.trace.frames import here
from functrans.trace.keywords import takes


def _shuffled(key: Any, x: Any, axis: int) -> Any:
    """Sort by random keys, in as many rounds as make ties of keys harmless."""
    size = math.prod(x.shape)
    rounds = math.ceil(3 * math.log(max(1, size)) / math.log(2**32 - 1))
    for _ in range(rounds):
        key, own = split_key(key)
        x = lax.sort_key_val(random_bits(own, 32, tuple(x.shape)), x, axis)[1]
    return x


@takes(out_sharding=None)
def permutation(key: Key, x: int | ArrayLike, axis: int = 0, independent: bool = False) -> Array:
    """The slices of an array along ``axis`` in a random order, or 0 ... x - 1 in a random order for an integer x.

    Args:
      key: a random key ``[]``.
      x: an array, or a Python integer.
      axis: the axis that is shuffled.
      independent: shuffle every vector along the axis for itself.

    Raises:
      TypeError: x is a scalar that is no integer.

    >>> from functrans import random
    >>> sorted(random.permutation(random.key(0), 4).tolist())
    [0, 1, 2, 3]
    """
    typed, _ = typed_key("permutation", key)
    if not (isinstance(x, int) and not isinstance(x, bool)):
        x = fnp.asarray(x)
        if x.shape:
            axis = axis_index("permutation", axis, len(x.shape))
            if independent or len(x.shape) == 1:
                return _shuffled(typed, x, axis)
            order = _shuffled(typed, fnp.arange(x.shape[axis]), 0)
            return fnp.take(x, order, axis, unique_indices=True)
        if kind_of(x.dtype) not in "iu":
            raise FunctransTypeError(
                f"permutation: an integer or an array of at least one axis is needed, got {type_of(x)} at {here()}"
            )
    axis_index("permutation", axis, 1)
    return _shuffled(typed, fnp.arange(int(static_value("permutation", "x", x))), 0)


def choice(
    key: Key, a: int | ArrayLike, shape: Shape = (), replace: bool = True, p: ArrayLike | None = None, axis: int = 0,
    mode: str | None = None,
) -> Array:  # fmt: skip
    """Random slices of an array along ``axis`` (or of 0 ... a - 1), with or without replacement.

    Args:
      key: a random key ``[]``.
      a: an array, or a Python integer.
      shape: the shape of the draw; the result has it in the place of ``axis``.
      replace: whether a slice may be drawn again.
      p: [n], the probability of each slice; all are alike by default.
      mode: as for ``gumbel``, for a draw without replacement by ``p``.

    Raises:
      ValueError: more draws without replacement than slices, nothing to draw from, or a wrong shape of ``p``.

    >>> from functrans import random
    >>> random.choice(random.key(0), 10, (3,)).shape
    (3,)
    """
    typed, _ = typed_key("choice", key)
    if not isinstance(shape, Sequence):
        raise FunctransTypeError(f"choice: the shape must be a sequence of integers, got {shape!r} at {here()}")
    sizes = tuple(shape)
    number = isinstance(a, int) or not fnp.asarray(a).shape
    array = fnp.asarray(a)
    if number:
        count = int(static_value("choice", "a", a))
    else:
        axis = axis_index("choice", axis, len(array.shape))
        count = array.shape[axis]
    draws = math.prod(sizes)
    if draws == 0:
        return fnp.zeros(sizes, array.dtype)
    if count <= 0:
        raise FunctransValueError(f"choice: there is nothing to draw {draws} from, at {here()}")
    if not replace and draws > count:
        raise FunctransValueError(f"choice: {draws} draws without replacement of {count}, at {here()}")
    if p is None and not replace:
        whole = permutation(typed, count if number else array, axis)
        result = lax.slice_in_dim(whole, 0, draws, axis=0 if number else axis)
    else:
        places = randint(typed, sizes, 0, count) if p is None else _weighted(typed, sizes, count, replace, p, mode)
        result = places if number else fnp.take(array, places, axis)
    return lax.reshape(result, sizes if number else (*array.shape[:axis], *sizes, *array.shape[axis + 1 :]))


def _weighted(key: Any, sizes: tuple[int, ...], count: int, replace: bool, p: Any, mode: str | None) -> Any:
    (p,) = promote_dtypes("choice", fnp.asarray(p), inexact=True)
    if tuple(p.shape) != (count,):
        raise FunctransValueError(
            f"choice: p must have one probability for each of the {count}, got shape {tuple(p.shape)} at {here()}"
        )
    if replace:
        cumulative = fnp.cumsum(p)
        r = cumulative[-1] * (1.0 - _uniform(key, 0.0, 1.0, shape=sizes, dtype=p.dtype))
        return lax.convert_element_type(fnp.searchsorted(cumulative, r), default_integer())
    scores = fnp.add(_gumbel(key, shape=(count,), dtype=p.dtype, mode=gumbel_mode("choice", mode)), fnp.log(p))
    return lax.convert_element_type(lax.top_k(scores, math.prod(sizes))[1], default_integer())


