"""The Threefry-2x32 hash with 20 rounds (Salmon, Moraes, Dror and Shaw 2011), the source of random bits.

    y0, y1 = threefry2x32 k0 k1 x0 x1     the counter (x0, x1) enciphered with the key (k0, k1), all uint32

Keys may be smaller than the counters: a scalar, or axes of size 1 where the counters' are larger.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from functrans.errors import FunctransTypeError
from functrans.ir.types import ArrayType, array_type
from functrans.ops.structural import broadcast_in_dim, reshape
from functrans.trace.binding import bind_all
from functrans.trace.emitter import EmitterProtocol, Names, Types
from functrans.trace.primitive import Lanes, Primitive, Value

UINT32 = np.dtype(np.uint32)
_INT32 = np.dtype(np.int32)
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
PARITY = 0x1BD11BDA  # of the key schedule


class Threefry2x32(Primitive):
    """Key words (k0, k1) and counter words (x0, x1) -> two words."""

    multiple = True
    name = "threefry2x32"

    def infer(self, *types: ArrayType) -> list[ArrayType]:
        k0, k1, x0, x1 = types
        if any(t.dtype != UINT32 for t in types):
            raise FunctransTypeError(f"threefry2x32: all operands must be uint32, got {', '.join(map(str, types))}")
        fits = not k0.shape or (
            k0.ndim == x0.ndim and all(k in (1, n) for k, n in zip(k0.shape, x0.shape, strict=True))
        )
        if k0.shape != k1.shape or x0.shape != x1.shape or not fits:
            raise FunctransTypeError(
                f"threefry2x32: keys of shapes {k0.shape} and {k1.shape} do not fit counters of shapes {x0.shape} and "
                f"{x1.shape}"
            )
        result = array_type(x0.shape, UINT32, False)
        return [result, result]

    def impl(self, *arrays: Any) -> Any:
        k0, k1, x0, x1 = (np.asarray(x) for x in arrays)
        schedule = [k0, k1, k0 ^ k1 ^ np.uint32(PARITY)]
        with np.errstate(over="ignore"):
            x0, x1 = x0 + k0, x1 + k1
            for i in range(5):
                for rotation in _ROTATIONS[i % 2]:
                    x0 = x0 + x1
                    x1 = x0 ^ ((x1 << np.uint32(rotation)) | (x1 >> np.uint32(32 - rotation)))
                x0 = x0 + schedule[(i + 1) % 3]
                x1 = x1 + schedule[(i + 2) % 3] + np.uint32(i + 1)
        return [x0, x1]

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Any]:
        rank = len(operands[2].shape) - mapped[2]
        keys = [
            _lane_of_its_own(x, rank) if m else x for x, m in zip(operands[:2], mapped[:2], strict=True)
        ]
        if any(mapped[:2]):
            keys = [k if m else _lane(k, lanes.size, rank) for k, m in zip(keys, mapped[:2], strict=True)]
        elif operands[0].shape:
            keys = [reshape(k, (1, *k.shape)) for k in keys]
        counters = [
            x if m else broadcast_in_dim(x, (lanes.size, *x.shape), tuple(range(1, len(x.shape) + 1)))
            for x, m in zip(operands[2:], mapped[2:], strict=True)
        ]
        return bind_all(self, [*keys, *counters]), True

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        """A loop over the five groups of four rounds: unrolled, the program takes seconds to compile."""
        key, word = in_types[0].strong(), out_types[0]
        counter = array_type((), _INT32)
        boolean = array_type((), np.dtype(np.bool_))
        scalar = array_type((), UINT32)

        def elementwise(name: str, *names: str, of: ArrayType = word) -> str:
            return str(emitter.elementwise(name, names, [of] * len(names), of))

        def spread(name: str, of: ArrayType) -> str:
            if of.shape == word.shape:
                return name
            dims = ", ".join(map(str, range(of.ndim)))
            return str(emitter.op(f"stablehlo.broadcast_in_dim {name}, dims = [{dims}]", [of], word))

        k0, k1, x0, x1 = operands
        parity = elementwise("xor", elementwise("xor", k0, k1, of=key), emitter.constant(PARITY, key), of=key)
        x0 = elementwise("add", x0, spread(k0, key))
        x1 = elementwise("add", x1, spread(k1, key))
        zero, one, five = (emitter.constant(n, counter) for n in (0, 1, 5))
        width = emitter.constant(32, word)
        rotations = [[emitter.constant(r, scalar) for r in group] for group in _ROTATIONS]

        def condition(names: Sequence[str]) -> list[str]:
            return [emitter.op(f"stablehlo.compare LT, {names[0]}, {five}, SIGNED", [counter, counter], boolean)]

        def body(names: Sequence[str]) -> list[str]:
            i, y0, y1, first, second, third = names
            odd = elementwise("and", i, one, of=counter)
            odd = emitter.op(f"stablehlo.compare EQ, {odd}, {one}, SIGNED", [counter, counter], boolean)
            for even_rotation, odd_rotation in zip(*rotations, strict=True):
                rotation = spread(emitter.select(odd, odd_rotation, even_rotation, boolean, scalar), scalar)
                y0 = elementwise("add", y0, y1)
                left = elementwise("shift_left", y1, rotation)
                right = elementwise("shift_right_logical", y1, elementwise("subtract", width, rotation))
                y1 = elementwise("xor", elementwise("or", left, right), y0)
            i = elementwise("add", i, one, of=counter)
            y0 = elementwise("add", y0, spread(first, key))
            y1 = elementwise("add", y1, spread(second, key))
            y1 = elementwise("add", y1, spread(emitter.op(f"stablehlo.convert {i}", [counter], scalar), scalar))
            return [i, y0, y1, second, third, first]

        types = [counter, word, word, key, key, key]
        test, step = emitter.region(types, condition, [boolean]), emitter.region(types, body, types)
        text = ", ".join(emitter.text(t) for t in types)
        initial = ", ".join([zero, x0, x1, k1, parity, k0])
        return emitter.raw_many(f'"stablehlo.while"({initial}) ({test}, {step}) : ({text}) -> ({text})', 6)[1:3]


def _lane_of_its_own(key: Any, rank: int) -> Any:
    """A key word with a mapped axis 0, with axes of size 1 for those of the counters."""
    return key if len(key.shape) == rank + 1 else reshape(key, (key.shape[0], *[1] * rank))


def _lane(key: Any, size: int, rank: int) -> Any:
    """A key word that is the same for all lanes, beside one that is not."""
    shape = key.shape or (1,) * rank
    return broadcast_in_dim(reshape(key, shape), (size, *shape), tuple(range(1, rank + 1)))


THREEFRY_2X32 = Threefry2x32()


def threefry2x32(k0: Any, k1: Any, x0: Any, x1: Any) -> list[Any]:
    """The counter words (x0, x1) enciphered with the key words (k0, k1)."""
    return list(bind_all(THREEFRY_2X32, [k0, k1, x0, x1]))
