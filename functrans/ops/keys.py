"""Random keys: operations on arrays of keys, the dtype of ``jax.random.key``.

A key is a few 32-bit words that programs may not look at except through these operations: dtype ``key<fry>`` (two
words of Threefry), ``key<rbg>`` or ``key<urbg>`` (four). ``physical`` says what an operation does to the words, which
stand along a last axis, uint32; ``optimise.key_arrays`` replaces keys by their words before a program is lowered, and
everything that only moves keys about (slicing, stacking, loops ...) by the same thing done to the words.

The bits of a key are those of ``jax.random`` under the same configuration.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import ArrayType, Shape, array_type, is_key_dtype, short_dtype, type_of
from functrans.ops import logic
from functrans.ops.elementwise import add, kind_of
from functrans.ops.random_bits import rng_bit_generator
from functrans.ops.slicing import concatenate, slice_, slice_in_dim
from functrans.ops.structural import broadcast_in_dim, convert, full, iota, reshape, transpose
from functrans.ops.threefry import UINT32, threefry2x32
from functrans.trace.binding import bind
from functrans.trace.primitive import Lanes, Primitive, Tangent, Value

_UINT = {width: np.dtype(f"uint{width}") for width in (8, 16, 32, 64)}
IMPLEMENTATIONS = ("threefry2x32", "rbg", "unsafe_rbg")
_WORDS = {"threefry2x32": 2, "rbg": 4, "unsafe_rbg": 4}


@functools.lru_cache(maxsize=16)
def key_dtype(implementation: str) -> Any:
    """The dtype of keys of an implementation; raises ValueError for one that functrans does not have."""
    if implementation not in IMPLEMENTATIONS:
        names = ", ".join(map(repr, IMPLEMENTATIONS))
        raise FunctransValueError(
            f"random keys of implementation {implementation!r} are not supported; there are {names}"
        )
    return jax.random.key_dtype(implementation)


@functools.lru_cache(maxsize=16)
def implementation_of(dtype: Any) -> str:
    """The name of the implementation whose keys have this dtype."""
    for name in IMPLEMENTATIONS:
        if key_dtype(name) == dtype:
            return name
    raise FunctransTypeError(f"random keys of dtype {short_dtype(dtype)} are not supported by functrans")


def words_of(dtype: Any) -> int:
    """How many 32-bit words a key of this dtype has."""
    return _WORDS[implementation_of(dtype)]


def partitionable() -> bool:
    """``jax_threefry_partitionable``: which of Threefry's two ways of making bits is configured."""
    return bool(jax.config.jax_threefry_partitionable)  # type: ignore[attr-defined]


# -- operations --------------------------------------------------------------------------------------------------------


class _KeyOperation(Primitive):
    """Works key by key: axes of the keys come first, whatever an operation adds comes behind them."""

    def physical(self, operands: Sequence[Any], types: Sequence[ArrayType]) -> Any:
        """Words in the place of keys -> the result, words if it is keys; ``types`` are those of the operands."""
        self.missing("physical", "execution on a device")

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        return bind(self, *primals), None

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Any]:
        return bind(self, *operands), True

    def check_keys(self, keys: ArrayType) -> None:
        """Raise TypeError unless the operand is an array of keys."""
        if not is_key_dtype(keys.dtype):
            raise FunctransTypeError(f"{self.name}: an array of random keys is needed, got {keys}")
        implementation_of(keys.dtype)


class RandomSeed(_KeyOperation):
    """Integers -> keys of the same shape."""

    impl_: str
    name = "random_seed"

    def infer(self, seeds: ArrayType) -> ArrayType:
        if kind_of(seeds.dtype) not in "iu":
            raise FunctransTypeError(f"random_seed: a seed must be an integer, got {seeds}")
        return array_type(seeds.shape, key_dtype(self.impl_), False)

    def physical(self, operands: Sequence[Any], types: Sequence[ArrayType]) -> Any:
        half = seed_words(operands[0])
        return half if self.impl_ == "threefry2x32" else concatenate([half, half], len(types[0].shape))


class RandomWrap(_KeyOperation):
    """Words along the last axis (uint32) -> keys."""

    impl_: str
    name = "random_wrap"

    def infer(self, words: ArrayType) -> ArrayType:
        dtype, count = key_dtype(self.impl_), _WORDS[self.impl_]
        if words.dtype != UINT32 or not words.shape or words.shape[-1] != count:
            raise FunctransTypeError(
                f"random_wrap: keys of {self.impl_} have {count} words along the last axis, uint32; got {words}"
            )
        return array_type(words.shape[:-1], dtype, False)

    def physical(self, operands: Sequence[Any], types: Sequence[ArrayType]) -> Any:
        return operands[0]


class RandomUnwrap(_KeyOperation):
    """Keys -> their words along a new last axis (uint32)."""

    name = "random_unwrap"

    def infer(self, keys: ArrayType) -> ArrayType:
        self.check_keys(keys)
        return array_type((*keys.shape, words_of(keys.dtype)), UINT32, False)

    def physical(self, operands: Sequence[Any], types: Sequence[ArrayType]) -> Any:
        return operands[0]


class RandomSplit(_KeyOperation):
    """Keys [...] -> new keys [..., *shape]."""

    shape: Shape
    name = "random_split"

    def infer(self, keys: ArrayType) -> ArrayType:
        self.check_keys(keys)
        return array_type((*keys.shape, *self.shape), keys.dtype, False)

    def physical(self, operands: Sequence[Any], types: Sequence[ArrayType]) -> Any:
        words, implementation = operands[0], implementation_of(types[0].dtype)
        if implementation == "threefry2x32":
            return _threefry_split(words, self.shape)
        lead = words.shape[:-1]
        if implementation == "rbg":
            halves = _threefry_split(reshape(words, (*lead, 2, 2)), self.shape)
            count = len(self.shape)
            order = (*range(len(lead)), *range(len(lead) + 1, len(lead) + 1 + count), len(lead), len(lead) + 1 + count)
            return reshape(transpose(halves, order), (*lead, *self.shape, 4))
        number = math.prod(self.shape)
        bits = _rbg_bits(words, 32, (10 * number, 4))
        axis = len(lead)
        return reshape(slice_in_dim(bits, 0, 10 * number, 10, axis), (*lead, *self.shape, 4))


class RandomFoldIn(_KeyOperation):
    """Keys and 32-bit integers of the same shape -> new keys."""

    name = "random_fold_in"

    def infer(self, *types: ArrayType) -> ArrayType:
        keys, data = types
        self.check_keys(keys)
        if data.dtype != UINT32 or data.shape != keys.shape:
            raise FunctransTypeError(f"random_fold_in: the data must be uint32 of shape {keys.shape}, got {data}")
        return keys

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Any]:
        whole = [
            x if m else broadcast_in_dim(x, (lanes.size, *x.shape), tuple(range(1, len(x.shape) + 1)))
            for x, m in zip(operands, mapped, strict=True)
        ]
        return bind(self, *whole), True

    def physical(self, operands: Sequence[Any], types: Sequence[ArrayType]) -> Any:
        words, data = operands
        implementation = implementation_of(types[0].dtype)
        if implementation == "threefry2x32":
            return _threefry_fold_in(words, data)
        lead = words.shape[:-1]
        if implementation == "rbg":
            spread = broadcast_in_dim(data, (*lead, 2), tuple(range(len(lead))))
            return reshape(_threefry_fold_in(reshape(words, (*lead, 2, 2)), spread), (*lead, 4))
        half = seed_words(data)
        bits = _rbg_bits(concatenate([half, half], len(lead)), 32, (10, 4))
        return logic.xor(words, reshape(slice_in_dim(bits, 9, 10, 1, len(lead)), (*lead, 4)))


class RandomBits(_KeyOperation):
    """Keys [...] -> random unsigned integers [..., *shape] of this many bits each."""

    bit_width: int
    shape: Shape
    name = "random_bits"

    def infer(self, keys: ArrayType) -> ArrayType:
        self.check_keys(keys)
        if self.bit_width not in _UINT:
            raise FunctransValueError(f"random_bits: 8, 16, 32 or 64 bits, got {self.bit_width}")
        return array_type((*keys.shape, *self.shape), _UINT[self.bit_width], False)

    def physical(self, operands: Sequence[Any], types: Sequence[ArrayType]) -> Any:
        words = operands[0]
        if implementation_of(types[0].dtype) != "threefry2x32":
            return _rbg_bits(words, self.bit_width, self.shape)
        return (_threefry_bits if partitionable() else _original_bits)(words, self.bit_width, self.shape)


RANDOM_UNWRAP, RANDOM_FOLD_IN = RandomUnwrap(), RandomFoldIn()


# -- Threefry ----------------------------------------------------------------------------------------------------------


def _word(words: Any, i: int) -> Any:
    rank = len(words.shape) - 1
    return reshape(slice_in_dim(words, i, i + 1, 1, rank), words.shape[:-1])


def _stack(parts: Sequence[Any]) -> Any:
    """Arrays of one shape along a new last axis."""
    rank = len(parts[0].shape)
    return concatenate([reshape(x, (*x.shape, 1)) for x in parts], rank)


def seed_words(seed: Any) -> Any:
    """Integers -> (high word, low word) along a new last axis."""
    type_ = type_of(seed)
    low = convert(seed, UINT32)
    if type_.dtype.itemsize == 8:
        high = convert(logic.shift_right_logical(seed, 32), UINT32)
    else:
        high = full(type_.shape, 0, UINT32)
    return _stack([high, low])


def _keyed(words: Any, x0: Any, x1: Any) -> list[Any]:
    """Counters [*shape] enciphered with every key [..., 2]: two arrays [..., *shape]."""
    lead, shape = words.shape[:-1], x0.shape
    keys = [_word(words, i) for i in (0, 1)]
    if lead:
        keys = [reshape(k, (*lead, *[1] * len(shape))) for k in keys]
        behind = tuple(range(len(lead), len(lead) + len(shape)))
        x0, x1 = (broadcast_in_dim(x, (*lead, *shape), behind) for x in (x0, x1))
    return threefry2x32(keys[0], keys[1], x0, x1)


def _counters(shape: Shape) -> tuple[Any, Any]:
    """The numbers 0, 1, ... in an array of this shape, as high and low words."""
    size = math.prod(shape)
    if size >= 1 << 32:
        raise FunctransValueError(f"random bits of shape {shape}: 2**32 or more numbers at once are not supported")
    return full(shape, 0, UINT32), reshape(iota(UINT32, size), shape)


def _threefry_bits(words: Any, width: int, shape: Shape) -> Any:
    high, low = _keyed(words, *_counters(shape))
    dtype = _UINT[width]
    if width == 64:
        return logic.or_(logic.shift_left(convert(high, dtype), 32), convert(low, dtype))
    return convert(logic.xor(high, low), dtype)


def _threefry_split(words: Any, shape: Shape) -> Any:
    if partitionable():
        return _stack(_keyed(words, *_counters(shape)))
    return reshape(_original_words(words, 2 * math.prod(shape)), (*words.shape[:-1], *shape, 2))


def _threefry_fold_in(words: Any, data: Any) -> Any:
    return _stack(threefry2x32(_word(words, 0), _word(words, 1), full(data.shape, 0, UINT32), data))


def _original_words(words: Any, count: int) -> Any:
    """``count`` words for each key [..., 2] by the way that is not partitionable: counters in two halves."""
    half = (count + 1) // 2
    low = iota(UINT32, half)
    high = add(low, half)
    if count % 2:  # the last counter of an odd number is 0
        high = concatenate([slice_in_dim(high, 0, half - 1), full((1,), 0, UINT32)], 0)
    last = len(words.shape) - 1
    whole = concatenate(_keyed(words, low, high), last)
    return slice_in_dim(whole, 0, count, 1, last)


def _original_bits(words: Any, width: int, shape: Shape) -> Any:
    size = math.prod(shape)
    count = -(-width * size // 32)
    lead = words.shape[:-1]
    last = len(lead)
    bits = _original_words(words, count)
    dtype = _UINT[width]
    if width == 64:
        high, low = (convert(slice_in_dim(bits, i * size, (i + 1) * size, 1, last), dtype) for i in (0, 1))
        bits = logic.or_(logic.shift_left(high, 32), low)
    elif width < 32:
        parts = [logic.and_(logic.shift_right_logical(bits, width * i), (1 << width) - 1) for i in range(32 // width)]
        bits = reshape(_stack(parts), (*lead, count * (32 // width)))
        bits = convert(slice_in_dim(bits, 0, size, 1, last), dtype)
    return reshape(bits, (*lead, *shape))


# -- XLA's generator ---------------------------------------------------------------------------------------------------


def _rbg_bits(words: Any, width: int, shape: Shape) -> Any:
    """Bits for every key [..., 4]. As in JAX the first key alone is used for all of them."""
    lead = words.shape[:-1]
    first = reshape(slice_(words, (0,) * (len(lead) + 1), (*[1] * len(lead), 4)), (4,)) if lead else words
    return rng_bit_generator(first, (*lead, *shape), _UINT[width])[1]
