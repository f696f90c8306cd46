"""Floating numbers taken apart and put together: mantissa and exponent, and the distance to the next number."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jax.dtypes import finfo  # type: ignore[attr-defined]

from functrans import lax
from functrans.api.custom_rules import custom_jvp
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import float0
from functrans.numpy.comparison import copysign
from functrans.numpy.creation import asarray
from functrans.numpy.families import one_program
from functrans.numpy.promotion import (
    COMPLEX,
    INEXACT,
    Array,
    ArrayLike,
    as_array,
    broadcast,
    common_shape,
    inexact_dtype,
    to_dtype,
)
from functrans.numpy.selection import where


def _floats(operation: str, x: ArrayLike) -> Any:
    array = as_array(operation, x)
    if array.dtype in COMPLEX:
        raise FunctransTypeError(f"{operation}: complex numbers are not supported")
    return asarray(to_dtype(array, inexact_dtype(array.dtype)))


@custom_jvp
def _parts(x: Any) -> tuple[Any, Any]:
    info = finfo(x.dtype)  # type: ignore[no-untyped-call]
    integer = np.dtype(f"i{x.dtype.itemsize}")
    mask = (1 << info.nexp) - 1
    bias = 1 - int(info.minexp)
    small = lax.lt(lax.abs(x), float(info.tiny))
    bits = lax.bitcast_convert_type(lax.select(small, lax.mul(x, float(1 << info.nmant)), x), integer)
    shift = lax.select(small, lax.full(x.shape, -info.nmant, integer), lax.full(x.shape, 0, integer))
    field = lax.bitwise_and(lax.shift_right_logical(bits, _full(bits, info.nmant)), _full(bits, mask))
    exponent = lax.add(lax.sub(field, bias - 1), shift)
    cleared = lax.bitwise_and(bits, _full(bits, ~(mask << info.nmant)))
    mantissa = lax.bitcast_convert_type(lax.bitwise_or(cleared, _full(bits, (bias - 1) << info.nmant)), x.dtype)
    whole = lax.bitwise_or(lax.bitwise_not(lax.is_finite(x)), lax.eq(x, 0.0))
    return lax.select(whole, x, mantissa), lax.convert_element_type(where(whole, 0, exponent), np.int32)


def _full(like: Any, value: int) -> Any:
    return lax.full(like.shape, value, like.dtype)


@_parts.defjvp
def _parts_jvp(primals: Any, tangents: Any) -> Any:
    (x,), (t,) = primals, tangents
    mantissa, exponent = _parts(x)
    slope = lax.mul(t, lax.exp2(lax.neg(lax.convert_element_type(exponent, x.dtype))))
    return (mantissa, exponent), (slope, np.zeros(exponent.shape, float0))


@one_program()
def frexp(x: ArrayLike, /) -> tuple[Array, Array]:
    """Mantissas in [1/2, 1) with the sign of x, and exponents (int32): x = mantissa * 2 ** exponent.

    >>> import functrans.numpy as fnp
    >>> [float(v) for v in fnp.frexp(10.)]
    [0.625, 4.0]
    """
    mantissa, exponent = _parts(_floats("frexp", x))
    return mantissa, exponent


@one_program()
def ldexp(x1: ArrayLike, x2: ArrayLike, /) -> Array:
    """x1 * 2 ** x2 for integers x2, without overflow on the way.

    >>> import functrans.numpy as fnp
    >>> float(fnp.ldexp(5., 3))
    40.0
    """
    power = as_array("ldexp", x2)
    if power.dtype in INEXACT:
        raise FunctransValueError(f"ldexp: exponents must be integers, got dtype {power.dtype.name}")
    x = _floats("ldexp", x1)
    shape = common_shape("ldexp", tuple(x.shape), tuple(power.shape))
    x, power = broadcast(x, shape), broadcast(asarray(power), shape)
    mantissa, exponent = _parts(x)
    total = lax.add(lax.convert_element_type(exponent, x.dtype), to_dtype(power, x.dtype))
    above = lax.gt(total, 0.0)  # the power of two itself may overflow where the result does not
    mantissa = lax.select(above, lax.mul(mantissa, 2.0), mantissa)
    total = lax.select(above, lax.sub(total, 1.0), total)
    whole = lax.bitwise_or(lax.eq(lax.abs(x), math.inf), lax.eq(x, 0.0))
    return where(whole, x, lax.mul(mantissa, lax.exp2(total)))


@one_program()
def spacing(x: ArrayLike, /) -> Array:
    """The distance from x to the next number away from 0, with the sign of x.

    >>> import functrans.numpy as fnp
    >>> float(fnp.spacing(1.)) == float(fnp.finfo('float32').eps)
    True
    """
    values = _floats("spacing", x)
    least = float(finfo(values.dtype).smallest_subnormal)  # type: ignore[no-untyped-call]
    away = lax.full(values.shape, math.inf, values.dtype)
    if values.dtype != np.float16:
        away = copysign(away, values)
    step = lax.sub(lax.nextafter(values, away), values)
    return step if values.dtype == np.float16 else where(lax.eq(step, 0.0), copysign(least, values), step)


__all__ = ["frexp", "ldexp", "spacing"]
