"""Implementations of random keys: what each makes of the words of its keys. A new one is one more object of ``_ALL``.

    name           words  tag   bits come from
    threefry2x32   2      fry   Threefry-2x32 of counters, in one of two ways (``jax_threefry_partitionable``)
    threefry4x32   4      fry4  Threefry-4x32 of counters
    philox2x32     1      phx2  Philox-2x32 of counters
    philox4x32     2      phx4  Philox-4x32 of counters
    rbg            4      rbg   XLA's generator; keys are split and folded by Threefry-2x32
    unsafe_rbg     4      urbg  XLA's generator, keys too

Words stand along a last axis, uint32; any number of axes of keys may stand before it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import Shape, short_dtype, type_of
from functrans.ops import ciphers, logic
from functrans.ops.elementwise import add
from functrans.ops.random_bits import rng_bit_generator
from functrans.ops.slicing import concatenate, slice_, slice_in_dim
from functrans.ops.structural import Iota, broadcast_in_dim, convert, full, iota, reshape, transpose
from functrans.ops.threefry import UINT32, threefry2x32
from functrans.trace.binding import bind

UINT = {width: np.dtype(f"uint{width}") for width in (8, 16, 32, 64)}
Words = Any  # uint32 [..., words of a key]
Cipher = Callable[[Sequence[Any], Sequence[Any]], list[Any]]  # words of a key and of a counter -> enciphered words


class KeyImplementation:
    """How keys are made and used."""

    name: str
    words: int
    independent = True  # False: the bits of several keys at once are made of the first of them

    def seed(self, seeds: Any) -> Words:
        """Integers [...] -> keys [..., words]."""
        raise NotImplementedError

    def split(self, keys: Words, shape: Shape) -> Words:
        """Keys [..., words] -> keys [..., *shape, words]."""
        raise NotImplementedError

    def fold_in(self, keys: Words, data: Any) -> Words:
        """Keys [..., words] and uint32 [...] -> keys [..., words]."""
        raise NotImplementedError

    def bits(self, keys: Words, width: int, shape: Shape) -> Any:
        """Keys [..., words] -> unsigned integers of ``width`` bits [..., *shape]."""
        raise NotImplementedError


def partitionable() -> bool:
    """``jax_threefry_partitionable``: which of Threefry's two ways of making bits is configured."""
    return bool(jax.config.jax_threefry_partitionable)  # type: ignore[attr-defined]


# -- counters that are enciphered with the key -------------------------------------------------------------------------


class Enciphered(KeyImplementation):
    """Bits are the numbers 0, 1, ... enciphered with the key in blocks of 32-bit words, one block for a number: they
    stand in the first two words of the block for bits, in the last two for keys."""

    def __init__(self, name: str, words: int, block: int, cipher: Cipher) -> None:
        self.name, self.words, self.block, self.cipher = name, words, block, cipher

    def seed(self, seeds: Any) -> Words:
        return _stack(self.mixed(*_halves(seeds))[: self.words])

    def mixed(self, high: Any, low: Any) -> list[Any]:
        """The halves of a seed -> the words of a key, and more: enciphered with a key of zeros."""
        zero = full(low.shape, 0, UINT32)
        return self.cipher([zero] * self.words, [high, low, *[zero] * (self.block - 2)])

    def split(self, keys: Words, shape: Shape) -> Words:
        high, low = _numbers(shape)
        zeros = [full(shape, 0, UINT32)] * (self.block - 2)
        return _stack(self.enciphered(keys, [*zeros, high, low])[: self.words])

    def fold_in(self, keys: Words, data: Any) -> Words:
        words = _unstack(keys)
        zeros = [full(data.shape, 0, UINT32)] * (self.block - 1)
        return _stack(self.cipher(words, [*zeros, data])[: self.words])

    def bits(self, keys: Words, width: int, shape: Shape) -> Any:
        zeros = [full(shape, 0, UINT32)] * (self.block - 2)
        words, dtype = self.enciphered(keys, [*_numbers(shape), *zeros]), UINT[width]
        if width == 64:
            return _joined(*self.halves(words), dtype)
        return convert(functools.reduce(logic.xor, words), dtype)

    def halves(self, words: Sequence[Any]) -> tuple[Any, Any]:
        """The two halves of 64 bits, of a block."""
        return words[0], words[1]

    def enciphered(self, keys: Words, counter: Sequence[Any]) -> list[Any]:
        """Counters [*shape] enciphered with every key [..., words]: words [..., *shape]."""
        lead, shape = keys.shape[:-1], counter[0].shape
        words = _unstack(keys)
        if lead:
            behind = tuple(range(len(lead), len(lead) + len(shape)))
            words = [self.beside(k, (*lead, *shape)) for k in words]
            counter = [broadcast_in_dim(x, (*lead, *shape), behind) for x in counter]
        return self.cipher(words, counter)

    def beside(self, word: Any, shape: Shape) -> Any:
        """A word of every key, beside counters of this shape."""
        return broadcast_in_dim(word, shape, tuple(range(word.ndim)))


class Threefry4x32(Enciphered):
    """Threefry-4x32: a seed is the key with which zeros are enciphered."""

    def mixed(self, high: Any, low: Any) -> list[Any]:
        zero = full(low.shape, 0, UINT32)
        return self.cipher([high, low, zero, zero], [zero] * 4)

    def halves(self, words: Sequence[Any]) -> tuple[Any, Any]:
        return logic.xor(words[0], words[2]), logic.xor(words[1], words[3])


class Threefry2x32(Enciphered):
    """Threefry-2x32: a seed is a key as it is, and there is an older way of making bits, which is not partitionable:
    a whole array of bits is made of the numbers 0, 1, ... in two halves, which are the two words of the blocks."""

    def seed(self, seeds: Any) -> Words:
        return _stack(_halves(seeds))

    def beside(self, word: Any, shape: Shape) -> Any:
        return reshape(word, (*word.shape, *[1] * (len(shape) - word.ndim)))

    def split(self, keys: Words, shape: Shape) -> Words:
        if partitionable():
            return super().split(keys, shape)
        return reshape(self._in_halves(keys, 2 * math.prod(shape)), (*keys.shape[:-1], *shape, 2))

    def bits(self, keys: Words, width: int, shape: Shape) -> Any:
        if partitionable():
            return super().bits(keys, width, shape)
        size = math.prod(shape)
        count = -(-width * size // 32)
        lead = keys.shape[:-1]
        last = len(lead)
        bits, dtype = self._in_halves(keys, count), UINT[width]
        if width == 64:
            high, low = (slice_in_dim(bits, i * size, (i + 1) * size, 1, last) for i in (0, 1))
            bits = _joined(high, low, dtype)
        elif width < 32:
            parts = [
                logic.and_(logic.shift_right_logical(bits, width * i), (1 << width) - 1) for i in range(32 // width)
            ]
            bits = reshape(_stack(parts), (*lead, count * (32 // width)))
            bits = convert(slice_in_dim(bits, 0, size, 1, last), dtype)
        return reshape(bits, (*lead, *shape))

    def _in_halves(self, keys: Words, count: int) -> Any:
        """``count`` words for each key [..., 2] -> [..., count]."""
        if count >= (1 << 32) - 1:
            raise FunctransValueError(
                f"random bits: {count} words of 32 bits at once, of 2**32 - 2 at most; set jax_threefry_partitionable, "
                "or split the key"
            )
        half = (count + 1) // 2
        low = iota(UINT32, half)
        high = add(low, half)
        if count % 2:  # the last counter of an odd number is 0
            high = concatenate([slice_in_dim(high, 0, half - 1), full((1,), 0, UINT32)], 0)
        last = keys.ndim - 1
        return slice_in_dim(concatenate(self.enciphered(keys, [low, high]), last), 0, count, 1, last)


def _word(words: Words, i: int) -> Any:
    rank = words.ndim - 1
    return reshape(slice_in_dim(words, i, i + 1, 1, rank), words.shape[:-1])


def _unstack(words: Words) -> list[Any]:
    return [_word(words, i) for i in range(words.shape[-1])]


def _stack(parts: Sequence[Any]) -> Any:
    """Arrays of one shape along a new last axis."""
    rank = len(parts[0].shape)
    return concatenate([reshape(x, (*x.shape, 1)) for x in parts], rank)


def _halves(seeds: Any) -> tuple[Any, Any]:
    """Integers -> their high and their low word."""
    type_ = type_of(seeds)
    low = convert(seeds, UINT32)
    if type_.dtype.itemsize == 8:
        return convert(logic.shift_right_logical(seeds, 32), UINT32), low
    return full(type_.shape, 0, UINT32), low


def _joined(high: Any, low: Any, dtype: np.dtype[Any]) -> Any:
    return logic.or_(logic.shift_left(convert(high, dtype), 32), convert(low, dtype))


def _numbers(shape: Shape) -> tuple[Any, Any]:
    """The numbers 0, 1, ... in an array of this shape, as high and low words."""
    size = math.prod(shape)
    if size <= 1 << 32:
        return full(shape, 0, UINT32), reshape(iota(UINT32, size), shape)
    wide = reshape(bind(Iota(UINT[64], (size,), 0)), shape)  # with or without 64-bit types for users
    return convert(logic.shift_right_logical(wide, 32), UINT32), convert(wide, UINT32)


# -- XLA's generator ---------------------------------------------------------------------------------------------------


class Generated(KeyImplementation):
    """Bits of XLA's generator. A key is two keys of Threefry-2x32, split and folded each by itself."""

    name, words, independent = "rbg", 4, False

    def seed(self, seeds: Any) -> Words:
        half = THREEFRY_2X32.seed(seeds)
        return concatenate([half, half], half.ndim - 1)

    def split(self, keys: Words, shape: Shape) -> Words:
        lead = keys.shape[:-1]
        halves = THREEFRY_2X32.split(reshape(keys, (*lead, 2, 2)), shape)
        count = len(shape)
        order = (*range(len(lead)), *range(len(lead) + 1, len(lead) + 1 + count), len(lead), len(lead) + 1 + count)
        return reshape(transpose(halves, order), (*lead, *shape, 4))

    def fold_in(self, keys: Words, data: Any) -> Words:
        lead = keys.shape[:-1]
        spread = broadcast_in_dim(data, (*lead, 2), tuple(range(len(lead))))
        return reshape(THREEFRY_2X32.fold_in(reshape(keys, (*lead, 2, 2)), spread), (*lead, 4))

    def bits(self, keys: Words, width: int, shape: Shape) -> Any:
        """As in JAX the first key alone is used for all of them."""
        lead = keys.shape[:-1]
        first = reshape(slice_(keys, (0,) * (len(lead) + 1), (*[1] * len(lead), 4)), (4,)) if lead else keys
        return rng_bit_generator(first, (*lead, *shape), UINT[width])[1]


class GeneratedThroughout(Generated):
    """Keys, too, are bits of XLA's generator: every tenth four words of them."""

    name = "unsafe_rbg"

    def split(self, keys: Words, shape: Shape) -> Words:
        lead, number = keys.shape[:-1], math.prod(shape)
        bits = self.bits(keys, 32, (10 * number, 4))
        return reshape(slice_in_dim(bits, 0, 10 * number, 10, len(lead)), (*lead, *shape, 4))

    def fold_in(self, keys: Words, data: Any) -> Words:
        lead = keys.shape[:-1]
        bits = self.bits(self.seed(data), 32, (10, 4))
        return logic.xor(keys, reshape(slice_in_dim(bits, 9, 10, 1, len(lead)), (*lead, 4)))


# -- the table ---------------------------------------------------------------------------------------------------------

THREEFRY_2X32 = Threefry2x32("threefry2x32", 2, 2, lambda key, counter: threefry2x32(*key, *counter))

_ALL: tuple[KeyImplementation, ...] = (
    THREEFRY_2X32,
    Threefry4x32("threefry4x32", 4, 4, ciphers.threefry4x32),
    Enciphered("philox2x32", 1, 2, ciphers.philox2x32),
    Enciphered("philox4x32", 2, 4, ciphers.philox4x32),
    Generated(),
    GeneratedThroughout(),
)
IMPLEMENTATIONS = {each.name: each for each in _ALL}


def implementation(name: str) -> KeyImplementation:
    """The implementation of this name; raises ValueError for one that functrans does not have."""
    found = IMPLEMENTATIONS.get(name)
    if found is None:
        names = ", ".join(map(repr, IMPLEMENTATIONS))
        raise FunctransValueError(f"random keys of implementation {name!r} are not supported; there are {names}")
    return found


@functools.lru_cache(maxsize=16)
def key_dtype(name: str) -> Any:
    """The dtype of keys of an implementation; raises ValueError for one that functrans does not have."""
    return jax.random.key_dtype(implementation(name).name)


@functools.lru_cache(maxsize=16)
def implementation_of(dtype: Any) -> KeyImplementation:
    """The implementation whose keys have this dtype."""
    for name, each in IMPLEMENTATIONS.items():
        if key_dtype(name) == dtype:
            return each
    raise FunctransTypeError(f"random keys of dtype {short_dtype(dtype)} are not supported by functrans")
