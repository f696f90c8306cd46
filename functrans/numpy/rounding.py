"""Rounding to integers and decimals, and the parts of a number: elementwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from functrans import lax
from functrans.errors import FunctransTypeError
from functrans.ir.types import scalar_type
from functrans.numpy.arithmetic import to_array
from functrans.numpy.families import checked
from functrans.numpy.promotion import (
    BOOL,
    COMPLEX,
    FLOATS,
    INTEGERS,
    Array,
    ArrayLike,
    as_array,
    promote_arrays,
    promote_one,
    select,
    strengthened_array,
    to_dtype,
)


def _of_parts(operation: str, x: Any, function: Callable[[Any], Any]) -> Any:
    """Apply to real x, or to both parts of complex x."""
    x = promote_one(operation, x)
    if as_array(operation, x).dtype in COMPLEX:
        return lax.complex(function(lax.real(x)), function(lax.imag(x)))
    return function(x)


def _stepwise(operation: str, x: Any, function: Callable[[Any], Any]) -> Any:
    """A rounding function of real x, the identity for integers."""
    x, dtype = checked(operation, x)
    if dtype in INTEGERS or dtype == BOOL:
        return to_array(x)
    if dtype in COMPLEX:
        raise FunctransTypeError(f"{operation}: complex numbers have no order; round the real and imaginary parts")
    return function(promote_one(operation, x))


def floor(x: ArrayLike, /) -> Array:
    """The largest integer not above x; integers as they are. TypeError for complex x.

    >>> import functrans.numpy as fnp
    >>> fnp.floor(-1.5)
    Array(-2., dtype=float32, weak_type=True)
    """
    return _stepwise("floor", x, lax.floor)


def ceil(x: ArrayLike, /) -> Array:
    """The smallest integer not below x; integers as they are. TypeError for complex x.

    >>> import functrans.numpy as fnp
    >>> fnp.ceil(-1.5)
    Array(-1., dtype=float32, weak_type=True)
    """
    return _stepwise("ceil", x, lax.ceil)


def trunc(x: ArrayLike) -> Array:
    """x without its fractional part: the nearest integer toward 0.

    >>> import functrans.numpy as fnp
    >>> fnp.trunc(-1.5)
    Array(-1., dtype=float32, weak_type=True)
    """
    return _stepwise("trunc", x, _trunc)


fix = trunc


def _trunc(x: Any) -> Any:
    return lax.select(lax.lt(x, 0.0), lax.ceil(x), lax.floor(x))


def _to_nearest(x: Any) -> Any:
    return lax.round(x, lax.RoundingMethod.TO_NEAREST_EVEN)


def rint(x: ArrayLike, /) -> Array:
    """The nearest integer, halves to even, as a floating number; complex x by parts.

    >>> import functrans.numpy as fnp
    >>> fnp.rint(2.5)
    Array(2., dtype=float32, weak_type=True)
    """
    x, dtype = checked("rint", x)
    if dtype in INTEGERS or dtype == BOOL:
        return to_dtype(as_array("rint", x), scalar_type(float).dtype)
    return _of_parts("rint", x, _to_nearest)


def round(a: ArrayLike, decimals: int = 0, out: None = None) -> Array:
    """x to ``decimals`` decimal places, halves to even; complex x by parts.

    >>> import functrans.numpy as fnp
    >>> fnp.round(2.675, 1)
    Array(2.7, dtype=float32, weak_type=True)
    """
    a, dtype = checked("round", a)
    if dtype in INTEGERS or dtype == BOOL:
        if decimals < 0:
            raise NotImplementedError(f"round: decimals={decimals} of integers of dtype {dtype.name} is not supported")
        return to_array(a)
    if decimals == 0:
        return _of_parts("round", a, _to_nearest)
    factor = 10.0**decimals
    narrow = dtype in FLOATS and dtype.itemsize < 4

    def at_decimals(x: Any) -> Any:
        x = to_dtype(x, np.dtype(np.float32)) if narrow else strengthened_array(x)
        x = lax.div(_to_nearest(lax.mul(x, factor)), factor)
        return to_dtype(x, dtype) if narrow else x

    return _of_parts("round", a, at_decimals)


around = round


def modf(x: ArrayLike, /, out: None = None) -> tuple[Array, Array]:
    """(fractional part, integral part), both with the sign of x."""
    x = promote_one("modf", x, inexact=True)
    whole = trunc(x)
    return lax.sub(x, whole), whole


def heaviside(x1: ArrayLike, x2: ArrayLike, /) -> Array:
    """0 where x1 < 0, x2 where x1 == 0, 1 where x1 > 0.

    >>> import functrans.numpy as fnp
    >>> fnp.heaviside(2., 0.5)
    Array(1., dtype=float32, weak_type=True)
    """
    # JAX's constants are as weak as a single x1
    x1, x2 = promote_arrays("heaviside", x1, x2, inexact=True, strong=np.ndim(x1) > 0)
    if x1.dtype in COMPLEX:
        raise FunctransTypeError("heaviside: complex numbers have no order; pass the real parts")
    at_zero = lax.select(lax.ne(x1, x1), x1, x2)
    return select(lax.lt(x1, 0.0), 0.0, select(lax.gt(x1, 0.0), 1.0, at_zero))
