"""Functions of integers and of their bits."""

from __future__ import annotations

from typing import Any

import numpy as np

from functrans import lax
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import type_of
from functrans.numpy.arithmetic import absolute, floor_divide, multiply
from functrans.numpy.creation import asarray
from functrans.numpy.families import one_program
from functrans.numpy.promotion import (
    BOOL,
    INTEGERS,
    Array,
    ArrayLike,
    as_array,
    axis_index,
    promote_arrays,
    strengthened_array,
    to_dtype,
)
from functrans.numpy.selection import where
from functrans.numpy.shapes import moveaxis, ravel

_UINT8 = np.dtype(np.uint8)


def _integers(operation: str, x1: ArrayLike, x2: ArrayLike) -> tuple[Any, Any]:
    x, y = promote_arrays(operation, x1, x2)
    if x.dtype not in INTEGERS:
        raise FunctransValueError(f"{operation}: integers are needed, got dtype {x.dtype.name}")
    return asarray(strengthened_array(absolute(x))), asarray(strengthened_array(absolute(y)))


@one_program()
def gcd(x1: ArrayLike, x2: ArrayLike) -> Array:
    """The greatest common divisor of corresponding integers; gcd(0, 0) is 0.

    >>> import functrans.numpy as fnp
    >>> fnp.gcd(12, 18).item()
    6
    """

    def step(pair: Any) -> Any:
        larger, smaller = pair
        done = lax.eq(smaller, 0)
        divisor = where(done, 1, smaller)
        return where(done, larger, smaller), where(done, 0, lax.rem(larger, divisor))

    def unfinished(pair: Any) -> Any:
        return lax.reduce_or(lax.ne(pair[1], 0), tuple(range(len(pair[1].shape))))

    x, y = _integers("gcd", x1, x2)
    own = type_of(x)
    return lax.while_loop(
        unfinished, lambda pair: tuple(to_dtype(v, own.dtype, own.weak_type) for v in step(pair)), (x, y)
    )[0]


@one_program()
def lcm(x1: ArrayLike, x2: ArrayLike) -> Array:
    """The least common multiple of corresponding integers; 0 where one of them is 0.

    >>> import functrans.numpy as fnp
    >>> fnp.lcm(4, 6).item()
    12
    """
    x, y = _integers("lcm", x1, x2)
    divisor = gcd(x, y)
    zero = lax.eq(divisor, 0)
    return where(zero, 0, multiply(x, floor_divide(y, where(zero, 1, divisor))))


def _bit_order(operation: str, bitorder: str) -> Any:
    if bitorder not in ("little", "big"):
        raise FunctransValueError(f"{operation}: bitorder must be 'little' or 'big', got {bitorder!r}")
    bits = np.arange(8, dtype=np.uint8)
    return bits[::-1] if bitorder == "big" else bits


@one_program("axis", "bitorder")
def packbits(a: ArrayLike, axis: int | None = None, bitorder: str = "big") -> Array:
    """Eight elements along ``axis`` (None: of the flattened array) as the bits of a uint8, zeros added at the end.

    >>> import functrans.numpy as fnp
    >>> fnp.packbits(fnp.array([1, 0, 1])).tolist()
    [160]
    """
    x = as_array("packbits", a)
    if x.dtype not in INTEGERS and x.dtype != BOOL:
        raise FunctransTypeError(f"packbits: integers or bools are needed, got dtype {x.dtype.name}")
    order = _bit_order("packbits", bitorder)
    if axis is None:
        x, axis = ravel(x), 0
    axis = axis_index("packbits", axis, len(x.shape))
    bits = moveaxis(lax.convert_element_type(lax.ne(x, False if x.dtype == BOOL else 0), _UINT8), axis, -1)
    *lead, n = bits.shape
    bits = lax.pad(bits, np.uint8(0), [*[(0, 0, 0)] * len(lead), (0, -n % 8, 0)])
    bits = lax.reshape(bits, (*lead, -(-n // 8), 8))
    places = lax.broadcast_in_dim(asarray(order), tuple(bits.shape), (len(bits.shape) - 1,))
    packed = lax.reduce_sum(lax.shift_left(bits, places), (len(bits.shape) - 1,))
    return moveaxis(packed, -1, axis)


@one_program("axis", "count", "bitorder")
def unpackbits(a: ArrayLike, axis: int | None = None, count: int | None = None, bitorder: str = "big") -> Array:
    """The bits of uint8s along ``axis`` (of the flattened array without one), cut or padded to ``count``.

    >>> import functrans.numpy as fnp
    >>> fnp.unpackbits(fnp.array([160], dtype='uint8')).tolist()
    [1, 0, 1, 0, 0, 0, 0, 0]
    """
    x = as_array("unpackbits", a)
    if x.dtype != _UINT8:
        raise FunctransTypeError(f"unpackbits: dtype uint8 is needed, got {x.dtype.name}")
    order = _bit_order("unpackbits", bitorder)
    if axis is None:
        x, axis = ravel(x), 0
    axis = axis_index("unpackbits", axis, len(x.shape))
    x = moveaxis(x, axis, -1)
    shape = (*x.shape, 8)
    rank = len(shape)
    bytes_ = lax.broadcast_in_dim(x, shape, tuple(range(rank - 1)))
    places = lax.broadcast_in_dim(asarray(order), shape, (rank - 1,))
    bits = lax.bitwise_and(lax.shift_right_logical(bytes_, places), np.uint8(1))
    bits = lax.reshape(bits, (*x.shape[:-1], x.shape[-1] * 8))
    if count is not None:
        size = bits.shape[-1]
        length = count if count >= 0 else size + count
        bits = lax.pad(bits, np.uint8(0), [*[(0, 0, 0)] * (rank - 2), (0, length - size, 0)])
    return moveaxis(bits, -1, axis)


__all__ = ["gcd", "lcm", "packbits", "unpackbits"]
