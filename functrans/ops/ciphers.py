"""The ciphers of Random123 that keys of other implementations than Threefry-2x32 count by (Salmon, Moraes, Dror and
Shaw 2011): a counter of a few 32-bit words, enciphered with the words of a key. Written in terms of other operations.

Words are uint32 arrays; those of the key have the shape of those of the counter, or are scalars.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from functrans.ops import logic
from functrans.ops.elementwise import add, mul
from functrans.ops.structural import broadcast_in_dim, convert, scalar_literal
from functrans.ops.threefry import PARITY, UINT32

_UINT64 = np.dtype(np.uint64)
_PHILOX_ROUNDS = 10
_PHILOX_2X32, _PHILOX_4X32 = 0xD256D193, (0xD2511F53, 0xCD9E8D57)  # multipliers
_WEYL = (0x9E3779B9, 0xBB67AE85)  # what the words of a Philox key grow by in each round
_THREEFRY_ROUNDS = 20
_ROTATIONS = ((10, 26), (11, 21), (13, 27), (23, 5), (6, 20), (17, 11), (25, 10), (18, 20))


def philox2x32(key: Sequence[Any], counter: Sequence[Any]) -> list[Any]:
    """The two words of a counter enciphered with the one word of a key, in 10 rounds."""
    x0, x1 = counter
    for turn in range(_PHILOX_ROUNDS):
        high, low = _product(x0, _PHILOX_2X32)
        x0, x1 = logic.xor(logic.xor(high, x1), _grown(key[0], _WEYL[0], turn, x0.shape)), low
    return [x0, x1]


def philox4x32(key: Sequence[Any], counter: Sequence[Any]) -> list[Any]:
    """The four words of a counter enciphered with the two words of a key, in 10 rounds."""
    x0, x1, x2, x3 = counter
    for turn in range(_PHILOX_ROUNDS):
        k0, k1 = (_grown(k, weyl, turn, x0.shape) for k, weyl in zip(key, _WEYL, strict=True))
        (high0, low0), (high1, low1) = (_product(x, m) for x, m in zip((x0, x2), _PHILOX_4X32, strict=True))
        x0, x1, x2, x3 = logic.xor(logic.xor(high1, x1), k0), low1, logic.xor(logic.xor(high0, x3), k1), low0
    return [x0, x1, x2, x3]


def threefry4x32(key: Sequence[Any], counter: Sequence[Any]) -> list[Any]:
    """The four words of a counter enciphered with the four words of a key, in 20 rounds."""
    k0, k1, k2, k3 = key
    last = logic.xor(logic.xor(logic.xor(k0, k1), logic.xor(k2, k3)), PARITY)
    schedule = [_spread(k, counter[0].shape) for k in (*key, last)]
    x = [add(word, k) for word, k in zip(counter, schedule[:4], strict=True)]
    for turn in range(_THREEFRY_ROUNDS):
        for i, rotation in zip((0, 2), _ROTATIONS[turn % 8], strict=True):
            j = i + 1 if turn % 2 == 0 else 3 - i
            x[i] = add(x[i], x[j])
            x[j] = logic.xor(x[i], _rotated(x[j], rotation))
        if turn % 4 == 3:
            n = turn // 4 + 1
            x = [add(word, schedule[(n + place) % 5]) for place, word in enumerate(x)]
            x[3] = add(x[3], n)
    return x


def _spread(word: Any, shape: tuple[int, ...]) -> Any:
    return word if word.shape == shape else broadcast_in_dim(word, shape, ())


def _grown(word: Any, weyl: int, turn: int, shape: tuple[int, ...]) -> Any:
    """A word of a Philox key in this round."""
    return _spread(add(word, scalar_literal(weyl * turn % 2**32, UINT32)) if turn else word, shape)


def _product(x: Any, multiplier: int) -> tuple[Any, Any]:
    """The upper and the lower half of a product of 32-bit words."""
    wide = mul(convert(x, _UINT64), scalar_literal(multiplier, _UINT64))
    return convert(logic.shift_right_logical(wide, 32), UINT32), convert(wide, UINT32)


def _rotated(x: Any, by: int) -> Any:
    return logic.or_(logic.shift_left(x, by), logic.shift_right_logical(x, 32 - by))
