"""How floating numbers are made: mantissa and exponent, the distance to the next number."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from functrans import lax
from functrans.errors import FunctransTypeError
from functrans.ir.types import kind_of, short_dtype, type_of
from functrans.jaxlib_compat.configuration import rank_promotion
from functrans.numpy.creation import asarray
from functrans.numpy.promotion import Array, ArrayLike, broadcast, check_ranks, common_shape, promote_one, to_dtype
from functrans.numpy.selection import where

_INT32 = np.dtype(np.int32)


def _format(dtype: np.dtype[Any]) -> tuple[int, int, Any]:
    """(bits of the mantissa, largest exponent, the signed integer dtype of the same width)"""
    mantissa = {2: 10, 4: 23, 8: 52}[dtype.itemsize] if dtype.name != "bfloat16" else 7
    bias = (1 << (8 * dtype.itemsize - mantissa - 2)) - 1
    return mantissa, bias, np.dtype(f"int{8 * dtype.itemsize}")


def _floating(name: str, x: ArrayLike) -> Any:
    x = asarray(promote_one(name, x, inexact=True))
    if kind_of(x.dtype) != "f":
        raise FunctransTypeError(f"{name} takes real numbers, got dtype {short_dtype(x.dtype)}")
    return x


def _power_of_two(exponent: Any, dtype: np.dtype[Any]) -> Any:
    """2 ** exponent for exponents of normal numbers, exact."""
    mantissa, bias, integer = _format(dtype)
    bits = lax.shift_left(lax.convert_element_type(exponent + bias, integer), mantissa)
    return lax.bitcast_convert_type(bits, dtype)


def ldexp(x1: ArrayLike, x2: ArrayLike) -> Array:
    """x1 * 2 ** x2, elementwise; x2 holds integers.

    >>> import functrans.numpy as fnp
    >>> float(fnp.ldexp(0.75, 3))
    6.0
    """
    x, exponent = _floating("ldexp", x1), asarray(x2)
    if kind_of(exponent.dtype) not in "iub":
        raise FunctransTypeError(f"ldexp: the exponent must be an integer, got {type_of(exponent)}")
    shape = common_shape("ldexp", tuple(x.shape), tuple(exponent.shape))
    if rank_promotion() != "allow":
        check_ranks("ldexp", tuple(x.shape), tuple(exponent.shape))
    x, exponent = broadcast(x, shape), broadcast(to_dtype(exponent, _INT32), shape)
    bias = _format(x.dtype)[1]
    # In three steps, none of which leaves the normal numbers before the result does.
    for _ in range(2):
        step = lax.clamp(-bias + 1, exponent, bias)
        x, exponent = x * _power_of_two(step, x.dtype), exponent - step
    return x * _power_of_two(lax.clamp(-bias + 1, exponent, bias), x.dtype)


def frexp(x: ArrayLike, /) -> tuple[Array, Array]:
    """(mantissa, exponent) with x = mantissa * 2 ** exponent and abs(mantissa) in [0.5, 1), elementwise.

    >>> import functrans.numpy as fnp
    >>> mantissa, exponent = fnp.frexp(6.0)
    >>> float(mantissa), int(exponent)
    (0.75, 3)
    """
    x = _floating("frexp", x)
    mantissa, bias, integer = _format(x.dtype)
    plain = (x == 0.0) | (x != x) | (lax.abs(x) == math.inf)
    small = lax.abs(x) < float(2.0 ** (1 - bias))
    lifted = where(small, x * float(2.0**mantissa), x)  # a subnormal number among the normal ones
    bits = lax.bitcast_convert_type(lax.stop_gradient(lifted), integer)
    field = lax.bitwise_and(lax.shift_right_logical(bits, mantissa), 2 * bias + 1)
    exponent = lax.convert_element_type(field, _INT32) - (bias - 1)
    scaled = lifted * _power_of_two(lax.clamp(-bias + 1, -exponent, bias), x.dtype)
    halved = lifted * 0.25 * _power_of_two(lax.clamp(-bias + 1, 2 - exponent, bias), x.dtype)
    scaled = where(exponent > bias - 1, halved, scaled)  # 2 ** -exponent would be subnormal
    return where(plain, x, scaled), where(plain, 0, exponent - where(small, mantissa, 0))


def spacing(x: ArrayLike, /) -> Array:
    """The distance from x to the next number away from zero, with the sign of x, elementwise.

    Of float16 it is that to the next number above, as in NumPy and JAX.

    >>> import functrans.numpy as fnp
    >>> float(fnp.spacing(1.0)) == 2.0**-23
    True
    """
    x = _floating("spacing", x)
    mantissa, bias, integer = _format(x.dtype)
    bits = lax.bitcast_convert_type(lax.stop_gradient(x), integer)
    sign = lax.bitwise_and(bits, np.iinfo(integer).min)
    size = lax.bitwise_xor(bits, sign)
    exponent = lax.shift_right_logical(size, mantissa)
    infinite = exponent > 2 * bias
    if x.dtype == np.float16:
        power = lax.bitwise_and(size, (1 << mantissa) - 1) == 0
        exponent = where((sign != 0) & power & (exponent > 0), exponent - 1, exponent)
        sign = lax.full_like(sign, 0)
    # by its bits: the processor may take subnormal numbers for zeros
    normal = lax.shift_left(exponent - mantissa, mantissa)
    subnormal = lax.shift_left(lax.full_like(exponent, 1), lax.max(exponent - 1, 0))
    gap = lax.bitcast_convert_type(lax.bitwise_or(where(exponent > mantissa, normal, subnormal), sign), x.dtype)
    return where(infinite, math.nan, gap)
