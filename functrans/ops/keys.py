"""Random keys: operations on arrays of keys, the dtype of ``jax.random.key``.

A key is a few 32-bit words that programs may not look at except through these operations. How many, and what is made of
them, is the matter of an implementation (``ops.key_implementations``), which the dtype names: ``key<fry>`` has the two
words of Threefry-2x32. ``physical`` says what an operation does to the words, which
stand along a last axis, uint32; ``optimise.key_arrays`` replaces keys by their words before a program is lowered, and
everything that only moves keys about (slicing, stacking, loops ...) by the same thing done to the words.

The bits of a key are those of ``jax.random`` under the same configuration.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import ArrayType, Shape, array_type, is_key_dtype
from functrans.ops.elementwise import kind_of
from functrans.ops.key_implementations import UINT, implementation, implementation_of, key_dtype
from functrans.ops.structural import broadcast_in_dim
from functrans.ops.threefry import UINT32
from functrans.trace.binding import bind
from functrans.trace.primitive import Lanes, Primitive, Tangent, Value


def words_of(dtype: Any) -> int:
    """How many 32-bit words a key of this dtype has."""
    return implementation_of(dtype).words


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
        return implementation(self.impl_).seed(operands[0])


class RandomWrap(_KeyOperation):
    """Words along the last axis (uint32) -> keys."""

    impl_: str
    name = "random_wrap"

    def infer(self, words: ArrayType) -> ArrayType:
        dtype, count = key_dtype(self.impl_), implementation(self.impl_).words
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
        return implementation_of(types[0].dtype).split(operands[0], self.shape)


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
        return implementation_of(types[0].dtype).fold_in(words, data)


class RandomBits(_KeyOperation):
    """Keys [...] -> random unsigned integers [..., *shape] of this many bits each."""

    bit_width: int
    shape: Shape
    name = "random_bits"

    def infer(self, keys: ArrayType) -> ArrayType:
        self.check_keys(keys)
        if self.bit_width not in UINT:
            raise FunctransValueError(f"random_bits: 8, 16, 32 or 64 bits, got {self.bit_width}")
        return array_type((*keys.shape, *self.shape), UINT[self.bit_width], False)

    def physical(self, operands: Sequence[Any], types: Sequence[ArrayType]) -> Any:
        return implementation_of(types[0].dtype).bits(operands[0], self.bit_width, self.shape)


RANDOM_UNWRAP, RANDOM_FOLD_IN = RandomUnwrap(), RandomFoldIn()
