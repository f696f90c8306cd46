"""Comparisons, logic, bits, and questions about numbers (isnan, isclose ...): elementwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from functrans import lax
from functrans.errors import FunctransTypeError
from functrans.ir.types import is_key_dtype
from functrans.numpy.creation import asarray
from functrans.numpy.families import binary, checked, numeric_unary
from functrans.numpy.promotion import (
    BOOL,
    COMPLEX,
    FLOATS,
    INTEGERS,
    UNSIGNED,
    Array,
    ArrayLike,
    as_array,
    as_operand,
    broadcast,
    common_dtype,
    is_scalar,
    operand_type,
    promote_arrays,
    promote_one,
    promote_operands,
    scalar_of_kind,
    to_dtype,
)
from functrans.trace.keywords import refuse, takes

_FALSE = "Array(False, dtype=bool)"
_TRUE = "Array(True, dtype=bool)"

equal = binary("equal", lax.eq, "x == y.", f">>> fnp.equal(1, 2)\n    {_FALSE}")
not_equal = binary("not_equal", lax.ne, "x != y.", f">>> fnp.not_equal(1, 2)\n    {_TRUE}")


def _lexicographic(compare: Callable[..., Any]) -> Callable[..., Any]:
    """Complex numbers are ordered by their real parts, then by their imaginary parts, as in NumPy."""

    def ordered(x: Any, y: Any) -> Any:
        xr, xi = (x.real, x.imag) if is_scalar(x) else (lax.real(x), lax.imag(x))
        yr, yi = (y.real, y.imag) if is_scalar(y) else (lax.real(y), lax.imag(y))
        return lax.select(lax.eq(xr, yr), compare(xi, yi), compare(xr, yr))

    return ordered


greater = binary("greater", lax.gt, "x > y.", f">>> fnp.greater(1, 2)\n    {_FALSE}", of_complex=_lexicographic(lax.gt))
greater_equal = binary(
    "greater_equal", lax.ge, "x >= y.", f">>> fnp.greater_equal(1, 2)\n    {_FALSE}", of_complex=_lexicographic(lax.ge)
)
less = binary("less", lax.lt, "x < y.", f">>> fnp.less(1, 2)\n    {_TRUE}", of_complex=_lexicographic(lax.lt))
less_equal = binary(
    "less_equal", lax.le, "x <= y.", f">>> fnp.less_equal(1, 2)\n    {_TRUE}", of_complex=_lexicographic(lax.le)
)


# -- bits ----------------------------------------------------------------------------------------------------------

_THREE = "Array(3, dtype=int32, weak_type=True)"
bitwise_and = binary(
    "bitwise_and",
    lax.bitwise_and,
    "The bits that are set in both integers.",
    f">>> fnp.bitwise_and(3, 7)\n    {_THREE}",
)
bitwise_or = binary(
    "bitwise_or", lax.bitwise_or, "The bits that are set in either integer.", f">>> fnp.bitwise_or(1, 2)\n    {_THREE}"
)
bitwise_xor = binary(
    "bitwise_xor", lax.bitwise_xor, "The bits that are set in one integer.", f">>> fnp.bitwise_xor(1, 2)\n    {_THREE}"
)
left_shift = binary(
    "left_shift", lax.shift_left, "x shifted left by y bits.",
    ">>> fnp.left_shift(3, 1)\n    Array(6, dtype=int32, weak_type=True)", numeric=True,
)  # fmt: skip


def _shift_right(x: Any, y: Any) -> Any:
    unsigned = operand_type("right_shift", y if is_scalar(x) else x).dtype in UNSIGNED
    return lax.shift_right_logical(x, y) if unsigned else lax.shift_right_arithmetic(x, y)


right_shift = binary(
    "right_shift", _shift_right, "x shifted right by y bits; the sign is kept.",
    f">>> fnp.right_shift(6, 1)\n    {_THREE}", numeric=True,
)  # fmt: skip
invert = numeric_unary(
    "invert", lax.bitwise_not, "All bits flipped; for bools, not.",
    ">>> fnp.invert(0)\n    Array(-1, dtype=int32, weak_type=True)",
)  # fmt: skip
bitwise_not = bitwise_invert = invert
bitwise_left_shift, bitwise_right_shift = left_shift, right_shift


def bitwise_count(x: ArrayLike, /) -> Array:
    """The number of set bits of abs(x), as uint8.

    >>> import functrans.numpy as fnp
    >>> fnp.bitwise_count(7)
    Array(3, dtype=uint8)
    """
    x = promote_one("bitwise_count", x, numeric=True)
    if operand_type("bitwise_count", x).dtype not in UNSIGNED:
        x = lax.abs(x)
    return to_dtype(lax.population_count(x), np.dtype(np.uint8))


# -- logic ---------------------------------------------------------------------------------------------------------


def truth(operation: str, x: ArrayLike) -> Any:
    """x != 0 as a bool array (bools as they are)."""
    x, dtype = checked(operation, x)
    if is_scalar(x):
        return bool(x)
    if dtype == BOOL:
        return x
    return lax.ne(promote_one(operation, x), scalar_of_kind(0, dtype))


def _logical(name: str, primitive: Callable[..., Any], summary: str, example: str) -> Callable[..., Any]:
    of_bools = binary(name, primitive, summary, example)

    @takes(out=None, where=None)
    def function(x: Any, y: Any, /) -> Any:
        return of_bools(truth(name, x), truth(name, y))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = of_bools.__doc__
    return function


logical_and = _logical("logical_and", lax.bitwise_and, "x and y.", f">>> fnp.logical_and(1, 0)\n    {_FALSE}")
logical_or = _logical("logical_or", lax.bitwise_or, "x or y.", f">>> fnp.logical_or(1, 0)\n    {_TRUE}")
logical_xor = _logical("logical_xor", lax.bitwise_xor, "One of x and y.", f">>> fnp.logical_xor(1, 0)\n    {_TRUE}")


def logical_not(x: ArrayLike, /) -> Array:
    """not x, elementwise.

    >>> import functrans.numpy as fnp
    >>> fnp.logical_not(1)
    Array(False, dtype=bool)
    """
    x, dtype = checked("logical_not", x)
    if is_scalar(x) or dtype == BOOL:
        return lax.bitwise_not(truth("logical_not", x))
    return lax.eq(promote_one("logical_not", x), scalar_of_kind(0, dtype))


# -- questions -----------------------------------------------------------------------------------------------------


def _all_equal_to(value: bool, x: Any) -> Any:
    return lax.full(() if is_scalar(x) else x.shape, value, BOOL)


def isnan(x: ArrayLike, /) -> Array:
    """Whether x is not a number.

    >>> import functrans.numpy as fnp
    >>> fnp.isnan(fnp.nan)
    Array(True, dtype=bool)
    """
    x, dtype = checked("isnan", x)
    if dtype not in FLOATS and dtype not in COMPLEX:
        return _all_equal_to(False, x)
    x = promote_one("isnan", x)
    return lax.ne(x, x)


def isfinite(x: ArrayLike, /) -> Array:
    """Whether x is neither infinite nor NaN.

    >>> import functrans.numpy as fnp
    >>> fnp.isfinite(1.)
    Array(True, dtype=bool)
    """
    x, dtype = checked("isfinite", x)
    if dtype in FLOATS:
        return lax.is_finite(promote_one("isfinite", x))
    if dtype in COMPLEX:
        x = promote_one("isfinite", x)
        return lax.bitwise_and(lax.is_finite(lax.real(x)), lax.is_finite(lax.imag(x)))
    return _all_equal_to(True, x)


def isinf(x: ArrayLike, /) -> Array:
    """Whether x is infinite, of either sign.

    >>> import functrans.numpy as fnp
    >>> fnp.isinf(-fnp.inf)
    Array(True, dtype=bool)
    """
    x, dtype = checked("isinf", x)
    if dtype in FLOATS:
        return lax.eq(lax.abs(promote_one("isinf", x)), np.inf)
    if dtype in COMPLEX:
        x = promote_one("isinf", x)
        real, imag = (lax.eq(lax.abs(part), np.inf) for part in (lax.real(x), lax.imag(x)))
        return lax.bitwise_or(real, imag)
    return _all_equal_to(False, x)


def _is_infinity(operation: str, x: Any, infinity: float) -> Any:
    x, dtype = checked(operation, x)
    if dtype in COMPLEX:
        raise FunctransTypeError(f"{operation}: the operand has dtype {dtype.name}, and complex infinity has no sign")
    return lax.eq(promote_one(operation, x), infinity) if dtype in FLOATS else _all_equal_to(False, x)


def isposinf(x: ArrayLike, /, out: Any = None) -> Array:
    """Whether x is positive infinity; TypeError for complex x."""
    if out is not None:
        refuse("isposinf", out=out)
    return _is_infinity("isposinf", x, np.inf)


def isneginf(x: ArrayLike, /, out: Any = None) -> Array:
    """Whether x is negative infinity; TypeError for complex x."""
    if out is not None:
        refuse("isneginf", out=out)
    return _is_infinity("isneginf", x, -np.inf)


def isreal(x: ArrayLike) -> Array:
    """Whether the imaginary part of x is 0."""
    x, dtype = checked("isreal", x)
    return lax.eq(lax.imag(promote_one("isreal", x)), 0.0) if dtype in COMPLEX else _all_equal_to(True, x)


def iscomplex(x: ArrayLike) -> Array:
    """Whether the imaginary part of x is not 0."""
    x, dtype = checked("iscomplex", x)
    return lax.ne(lax.imag(promote_one("iscomplex", x)), 0.0) if dtype in COMPLEX else _all_equal_to(False, x)


_BITS = {2: np.dtype(np.uint16), 4: np.dtype(np.uint32), 8: np.dtype(np.uint64)}


def signbit(x: ArrayLike, /) -> Array:
    """Whether the sign bit of x is set (true for -0.0).

    >>> import functrans.numpy as fnp
    >>> fnp.signbit(-0.)
    Array(True, dtype=bool)
    """
    x, dtype = checked("signbit", x)
    if dtype in INTEGERS:
        return lax.lt(promote_one("signbit", x), 0)
    if dtype == BOOL:
        return _all_equal_to(False, x)
    if dtype in COMPLEX or dtype.itemsize not in _BITS:
        raise FunctransTypeError(f"signbit: not defined for dtype {dtype.name}")
    bits = _BITS[dtype.itemsize]
    sign = lax.bitcast_convert_type(as_array("signbit", x), bits)
    return lax.ne(lax.shift_right_logical(sign, 8 * dtype.itemsize - 1), 0)


def copysign(x1: ArrayLike, x2: ArrayLike, /) -> Array:
    """The magnitude of x1 with the sign of x2; real operands.

    >>> import functrans.numpy as fnp
    >>> fnp.copysign(1., -2.)
    Array(-1., dtype=float32, weak_type=True)
    """
    dtype, weak = common_dtype("copysign", as_operand("copysign", x1), as_operand("copysign", x2), inexact=True)
    x1, x2 = promote_operands("copysign", x1, x2, inexact=True)
    if operand_type("copysign", x1).dtype in COMPLEX or operand_type("copysign", x2).dtype in COMPLEX:
        raise FunctransTypeError("copysign: complex operands have no sign")
    if is_scalar(x1):
        x1, x2 = promote_arrays("copysign", x1, x2)
    size = lax.abs(to_dtype(x1, dtype, weak))  # alone in the result: weak only where both are
    if is_scalar(x2):
        return lax.neg(size) if np.signbit(x2) else size
    return lax.select(signbit(x2), lax.neg(size), size)


def isclose(
    a: ArrayLike, b: ArrayLike, rtol: ArrayLike = 1e-05, atol: ArrayLike = 1e-08, equal_nan: bool = False
) -> Array:
    """Whether abs(a - b) <= atol + rtol * abs(b), elementwise; infinities must be equal. Random keys: whether equal.

    >>> import functrans.numpy as fnp
    >>> fnp.isclose(1., 1.0000001)
    Array(True, dtype=bool)
    """
    a, b = promote_operands("isclose", a, b)
    if is_scalar(a) and is_scalar(b):
        a = as_array("isclose", a)
    dtype = operand_type("isclose", b if is_scalar(a) else a).dtype
    if dtype == BOOL:
        a, b = (to_dtype(as_array("isclose", v), np.dtype(np.int32)) for v in (a, b))
        dtype = np.dtype(np.int32)
    if is_key_dtype(dtype):
        return equal(a, b)
    if dtype in INTEGERS:
        a, b = promote_operands("isclose", *(as_array("isclose", v) for v in (a, b)), 0.0)[:2]
    distance = lax.abs(lax.sub(a, b))
    size = abs(b) if is_scalar(b) else lax.abs(b)
    from_size = size * rtol if is_scalar(size) and is_scalar(rtol) else _multiply(size, rtol)
    bound = from_size + atol if is_scalar(from_size) and is_scalar(atol) else _add(from_size, atol)
    near = less_equal(distance, bound)
    finite = lax.bitwise_and(isfinite(a), isfinite(b)) if not is_scalar(a) else isfinite(b)
    if is_scalar(a) or is_scalar(b):
        number = a if is_scalar(a) else b
        finite = isfinite(b if is_scalar(a) else a) if np.isfinite(number) else _all_equal_to(False, distance)
    result = lax.select(finite, near, lax.eq(a, b))
    if equal_nan:
        both = logical_and(isnan(a), isnan(b))
        result = logical_or(result, both)
    return result


_multiply = binary("multiply", lax.mul, "", "")
_add = binary("add", lax.add, "", "")


def allclose(
    a: ArrayLike, b: ArrayLike, rtol: ArrayLike = 1e-05, atol: ArrayLike = 1e-08, equal_nan: bool = False
) -> Array:
    """Whether isclose holds for all elements.

    >>> import functrans.numpy as fnp
    >>> fnp.allclose(fnp.ones(3), 1.0)
    Array(True, dtype=bool)
    """
    close = isclose(a, b, rtol, atol, equal_nan)
    return lax.reduce_and(close, tuple(range(len(close.shape))))


def array_equal(a1: ArrayLike, a2: ArrayLike, equal_nan: bool = False) -> Array:
    """Whether two arrays have the same shape and elements.

    >>> import functrans.numpy as fnp
    >>> fnp.array_equal(fnp.ones(3), fnp.ones(4))
    Array(False, dtype=bool)
    """
    a1, a2 = (np.asarray(a) if isinstance(a, list | tuple) else as_operand("array_equal", a) for a in (a1, a2))
    if np.shape(a1) != np.shape(a2):
        return lax.full((), False, BOOL)
    same = equal(a1, a2)
    if equal_nan:
        same = logical_or(same, logical_and(isnan(a1), isnan(a2)))
    return lax.reduce_and(same, tuple(range(len(same.shape))))


def array_equiv(a1: ArrayLike, a2: ArrayLike) -> Array:
    """Whether two arrays are equal after broadcasting."""
    arrays = [asarray(a1), asarray(a2)]
    try:
        shape = np.broadcast_shapes(*[a.shape for a in arrays])
    except ValueError:
        return lax.full((), False, BOOL)
    same = equal(*[broadcast(a, shape) for a in arrays])
    return lax.reduce_and(same, tuple(range(len(same.shape))))


__all__ = [
    "allclose", "array_equal", "array_equiv", "bitwise_and", "bitwise_count", "bitwise_invert", "bitwise_left_shift",
    "bitwise_not", "bitwise_or", "bitwise_right_shift", "bitwise_xor", "copysign", "equal", "greater", "greater_equal",
    "invert", "isclose", "iscomplex", "isfinite", "isinf", "isnan", "isneginf", "isposinf", "isreal", "left_shift",
    "less", "less_equal", "logical_and", "logical_not", "logical_or", "logical_xor", "not_equal", "right_shift",
    "signbit", "truth",
]  # fmt: skip
