"""``rng_bit_generator``: random bits by a generator of XLA. Which bits depends on the platform and its version."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from operator import index
from typing import Any

import numpy as np

from functrans.errors import FunctransTypeError
from functrans.ir.types import ArrayType, Shape, array_type, canonical_dtype, short_dtype, static_shape
from functrans.ops.dynamic_slicing import dynamic_update_slice
from functrans.ops.slicing import slice_in_dim
from functrans.ops.structural import reshape
from functrans.trace.binding import bind_all
from functrans.trace.emitter import EmitterProtocol, Names, Types
from functrans.trace.keywords import refuse
from functrans.trace.primitive import Lanes, Primitive, Tangent, Value

_UINT32, _UINT64 = np.dtype(np.uint32), np.dtype(np.uint64)


class RandomAlgorithm(enum.IntEnum):
    """The generators of ``rng_bit_generator``."""

    RNG_DEFAULT = 0
    RNG_THREE_FRY = 1
    RNG_PHILOX = 2

    def __str__(self) -> str:
        return self.name


_NAMES = {0: "DEFAULT", 1: "THREE_FRY", 2: "PHILOX"}


class RngBitGenerator(Primitive):
    """A key (uint32[4] or uint64[2]) -> the next key, and bits."""

    shape: Shape
    dtype: np.dtype[Any]
    algorithm: int
    multiple = True

    def infer(self, key: ArrayType) -> list[ArrayType]:
        if (key.dtype, key.shape) not in ((_UINT32, (4,)), (_UINT64, (2,))):
            raise FunctransTypeError(f"rng_bit_generator: the key must be u32[4] or u64[2], got {key}")
        if self.dtype.kind != "u":
            raise FunctransTypeError(
                f"rng_bit_generator: bits are unsigned integers, not {short_dtype(self.dtype)}; convert them with "
                "bitcast_convert_type"
            )
        return [key.strong(), array_type(self.shape, self.dtype, False)]

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        return bind_all(self, primals), [None, None]

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Any]:
        """As in JAX, the key of the first lane alone is used; the other lanes' keys stay as they are."""
        keys = operands[0]
        key = reshape(slice_in_dim(keys, 0, 1), keys.shape[1:])
        after, bits = bind_all(RngBitGenerator((lanes.size, *self.shape), self.dtype, self.algorithm), [key])
        return [dynamic_update_slice(keys, reshape(after, (1, *after.shape)), (0, 0)), bits], True

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        key = operands[0]
        pairs, wide = array_type((2, 2), _UINT32), array_type((2,), _UINT64)
        if in_types[0].dtype == _UINT32:
            key = emitter.op(f"stablehlo.reshape {key}", in_types, pairs)
            key = emitter.op(f"stablehlo.bitcast_convert {key}", [pairs], wide)
        after, bits = emitter.raw_many(
            f"stablehlo.rng_bit_generator {key}, algorithm = {_NAMES[self.algorithm]} : "
            f"({emitter.text(wide)}) -> ({emitter.text(wide)}, {emitter.text(out_types[1])})",
            2,
        )
        if in_types[0].dtype == _UINT32:
            after = emitter.op(f"stablehlo.bitcast_convert {after}", [wide], pairs)
            after = emitter.op(f"stablehlo.reshape {after}", [pairs], out_types[0])
        return [after, bits]


def rng_bit_generator(
    key: Any, shape: Sequence[int], dtype: Any = np.uint32, algorithm: Any = RandomAlgorithm.RNG_DEFAULT, *,
    out_sharding: Any = None,
) -> list[Any]:  # fmt: skip
    """(the next key, random integers of this shape and dtype) by a generator of XLA, from a key u32[4] or u64[2]."""
    if out_sharding is not None:
        refuse("rng_bit_generator", out_sharding=out_sharding)
    try:
        sizes = tuple(map(index, shape))
    except TypeError:
        sizes = static_shape("rng_bit_generator", shape)
    return list(bind_all(RngBitGenerator(sizes, canonical_dtype(dtype), int(algorithm)), [key]))
