"""Arithmetic of arrays: sums, products, quotients, remainders and powers, under the names of ``jax.numpy``."""

from __future__ import annotations

import operator
from typing import Any

import jax
import numpy as np

from functrans import lax
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.snapshots import snapshot
from functrans.ir.types import scalar_type
from functrans.jaxlib_compat.versions import JAX
from functrans.numpy.families import binary, checked, inexact_unary, numeric_unary
from functrans.numpy.promotion import (
    BOOL,
    COMPLEX,
    FLOATS,
    INEXACT,
    INTEGERS,
    UNSIGNED,
    Array,
    ArrayLike,
    as_array,
    as_operand,
    filled,
    is_scalar,
    operand_type,
    promote_arrays,
    promote_one,
    promote_operands,
    select,
    shape_of,
    strengthened_array,
    to_dtype,
)
from functrans.ops import functions
from functrans.ops.exponentials import log_add_exp
from functrans.trace.keywords import takes
from functrans.trace.tracer import Tracer

add = binary(
    "add", lax.add, "x + y; for bools, or.", ">>> fnp.add(1.5, 2)\n    Array(3.5, dtype=float32, weak_type=True)",
    of_bools=lax.bitwise_or,
)  # fmt: skip
multiply = binary(
    "multiply", lax.mul, "x * y; for bools, and.",
    ">>> fnp.multiply(1.5, 2)\n    Array(3., dtype=float32, weak_type=True)",
    of_bools=lax.bitwise_and,
)  # fmt: skip
subtract = binary(
    "subtract", lax.sub, "x - y. Bools are refused with TypeError: use logical_xor.",
    ">>> fnp.subtract(1.5, 2)\n    Array(-0.5, dtype=float32, weak_type=True)",
)  # fmt: skip
true_divide = binary(
    "true_divide", lax.div, "x / y, always floating or complex.",
    ">>> fnp.true_divide(1, 2)\n    Array(0.5, dtype=float32, weak_type=True)", inexact=True,
)  # fmt: skip
divide = binary(
    "divide", lax.div, "x / y, always floating or complex.",
    ">>> fnp.divide(1, 2)\n    Array(0.5, dtype=float32, weak_type=True)", inexact=True,
)  # fmt: skip
arctan2 = binary(
    "arctan2", functions.atan2, "The angle in (-pi, pi] of the point (y, x), in radians.",
    ">>> fnp.arctan2(0., 1.)\n    Array(0., dtype=float32, weak_type=True)", inexact=True, of_complex=lax.atan2,
)  # fmt: skip
atan2 = arctan2
float_power = binary(
    "float_power", lax.pow, "x ** y, always floating or complex.",
    ">>> fnp.float_power(2, 3)\n    Array(8., dtype=float32, weak_type=True)", inexact=True,
)  # fmt: skip


def _larger(x: Any, y: Any) -> Any:
    """The larger complex number: by real part, then imaginary part; NaN if either is."""
    x, y = promote_arrays("maximum", x, y)
    bigger = lax.select(
        lax.eq(lax.real(x), lax.real(y)), lax.gt(lax.imag(x), lax.imag(y)), lax.gt(lax.real(x), lax.real(y))
    )
    return lax.select(lax.bitwise_or(bigger, lax.ne(x, x)), x, y)


def _smaller(x: Any, y: Any) -> Any:
    """The smaller complex number: by real part, then imaginary part; NaN if either is."""
    x, y = promote_arrays("minimum", x, y)
    lower = lax.select(
        lax.eq(lax.real(x), lax.real(y)), lax.lt(lax.imag(x), lax.imag(y)), lax.lt(lax.real(x), lax.real(y))
    )
    return lax.select(lax.bitwise_or(lower, lax.ne(x, x)), x, y)


maximum = binary(
    "maximum", lax.max, "The larger of x and y, NaN if either is; the derivative is shared equally at ties.",
    ">>> fnp.maximum(1, 2)\n    Array(2, dtype=int32, weak_type=True)", of_complex=_larger,
)  # fmt: skip
minimum = binary(
    "minimum", lax.min, "The smaller of x and y, NaN if either is; the derivative is shared equally at ties.",
    ">>> fnp.minimum(1, 2)\n    Array(1, dtype=int32, weak_type=True)", of_complex=_smaller,
)  # fmt: skip
nextafter = binary(
    "nextafter", lax.nextafter, "The number after x in the direction of y.",
    ">>> bool(fnp.nextafter(1., 2.) > 1)\n    True", inexact=True,
)  # fmt: skip
negative = numeric_unary(
    "negative", lax.neg, "-x. Bools are refused with TypeError: use logical_not.",
    ">>> fnp.negative(1.5)\n    Array(-1.5, dtype=float32, weak_type=True)",
)  # fmt: skip
sign = numeric_unary(
    "sign", lax.sign, "-1, 0 or 1 as x is negative, zero or positive; x / abs(x) for complex x.",
    ">>> fnp.sign(-1.5)\n    Array(-1., dtype=float32, weak_type=True)",
)  # fmt: skip


def positive(x: ArrayLike, /) -> Array:
    """x itself, as an array."""
    return x if type(x) is Tracer else to_array(x)


def to_array(x: ArrayLike) -> Array:
    """``x`` as a traced value or jax.Array."""
    x = as_array("asarray", x)
    return jax.device_put(snapshot(x)) if isinstance(x, np.ndarray) else x


def absolute(x: ArrayLike, /) -> Array:
    """The absolute value (modulus for complex x), elementwise.

    >>> import functrans.numpy as fnp
    >>> fnp.absolute(-1.5)
    Array(1.5, dtype=float32, weak_type=True)
    """
    if type(x) is Tracer and x.type.dtype in FLOATS:
        return lax.abs(x)
    x, dtype = checked("absolute", x)
    return to_array(x) if dtype == BOOL or dtype in UNSIGNED else lax.abs(promote_one("absolute", x))


abs = absolute


def fabs(x: ArrayLike, /) -> Array:
    """The absolute value of real x as a floating array; TypeError for complex x."""
    x, dtype = checked("fabs", x)
    if dtype in COMPLEX:
        raise FunctransTypeError(f"fabs: the operand has dtype {dtype.name}; use abs for complex numbers")
    return lax.abs(promote_one("fabs", x, inexact=True))


def square(x: ArrayLike, /) -> Array:
    """x * x.

    >>> import functrans.numpy as fnp
    >>> fnp.square(3.)
    Array(9., dtype=float32, weak_type=True)
    """
    if type(x) is Tracer and x.type.dtype in INEXACT:
        return lax.square(x)
    return lax.square(promote_one("square", x, numeric=True))


reciprocal = inexact_unary(
    "reciprocal", lambda x: lax.integer_pow(x, -1), "1 / x.",
    ">>> fnp.reciprocal(4.)\n    Array(0.25, dtype=float32, weak_type=True)",
)  # fmt: skip


def power(x1: ArrayLike, x2: ArrayLike, /) -> Array:
    """x1 ** x2. A static integer exponent is repeated multiplication, differentiable at 0.

    Raises TypeError for integers to a negative static power.

    >>> import functrans.numpy as fnp
    >>> fnp.power(3., 2)
    Array(9., dtype=float32, weak_type=True)
    """
    if type(x2) is float and type(x1) is Tracer and x1.type.dtype in INEXACT:
        return lax.pow(x1, x2)
    exponent = _static_exponent(x2)
    if exponent is not None:
        x1 = promote_one("power", x1, numeric=True)
        if exponent < 0 and operand_type("power", x1).dtype in INTEGERS:
            raise FunctransTypeError(
                f"power: integers of dtype {operand_type('power', x1).dtype.name} cannot be raised to the negative "
                f"power {exponent}; convert the base with .astype(float)"
            )
        return lax.integer_pow(x1, exponent)
    x1, x2 = as_operand("power", x1), as_operand("power", x2)
    type1, type2 = operand_type("power", x1), operand_type("power", x2)
    base, by = promote_operands("power", x1, x2, numeric=True)
    dtype = operand_type("power", by if is_scalar(base) else base).dtype
    if dtype in INTEGERS:
        return _integer_power(*promote_arrays("power", x1, x2, numeric=True), dtype)  # type: ignore[call-arg]
    result = lax.pow(base, by)
    if type2.dtype in INTEGERS and type1.dtype in INEXACT:  # the exponent's own type counts, not the promoted one
        return to_dtype(result, dtype, type1.weak_type and type2.weak_type)
    return result


pow = power


def _static_exponent(x: Any) -> int | None:
    """The exponent as an int where it is concrete and integer (a bool of Python is, one of NumPy is not)."""
    if type(x) is int or type(x) is bool:
        return int(x)
    if type(x) is Tracer or isinstance(x, float | complex | np.bool_):
        return None
    if not isinstance(x, int | np.integer | np.ndarray | jax.Array) or (
        isinstance(x, np.ndarray | jax.Array) and x.ndim
    ):
        return None
    try:
        return operator.index(x)
    except TypeError:
        return None


def _integer_power(x: Any, y: Any, dtype: np.dtype[Any]) -> Any:
    """Integers to integer powers, by squaring; 6 bits of the exponent suffice, for more overflows every dtype."""
    one = filled(tuple(x.shape), 1, dtype)
    result = select(lax.bitwise_and(lax.eq(x, 0), lax.ne(y, 0)), 0, one)
    for bit in range(6):
        result = lax.select(lax.ne(lax.bitwise_and(y, 1), 0), lax.mul(result, x), result)
        if bit < 5:
            x = lax.mul(x, x)
            y = lax.shift_right_logical(y, 1)
    return result


def _array_pair(operation: str, x1: ArrayLike, x2: ArrayLike) -> tuple[Any, Any, np.dtype[Any]]:
    """Two promoted operands, the common dtype; at least one is an array."""
    x1, x2 = promote_operands(operation, x1, x2, numeric=True)
    if is_scalar(x1) and is_scalar(x2):
        x1, x2 = promote_arrays(operation, x1, x2, numeric=True)
    dtype = operand_type(operation, x2 if is_scalar(x1) else x1).dtype
    if dtype in COMPLEX:
        raise FunctransTypeError(
            f"{operation}: the operands have dtype {dtype.name}, and there is no order of complex numbers to divide by"
        )
    return x1, x2, dtype


def floor_divide(x1: ArrayLike, x2: ArrayLike, /) -> Array:
    """The largest integer not above x1 / x2.

    >>> import functrans.numpy as fnp
    >>> fnp.floor_divide(-7, 2)
    Array(-4, dtype=int32, weak_type=True)
    """
    x1, x2, dtype = _array_pair("floor_divide", x1, x2)
    if dtype in UNSIGNED:
        return lax.div(x1, x2)
    if dtype in INTEGERS:
        quotient = lax.div(x1, x2)
        inexact = lax.bitwise_and(lax.ne(_sign(x1), _sign(x2)), lax.ne(lax.rem(x1, x2), 0))
        return lax.select(inexact, lax.sub(quotient, 1), quotient)
    return _float_divmod(x1, x2)[0]


def _sign(x: Any) -> Any:
    return int(np.sign(x)) if is_scalar(x) else lax.sign(x)


def divmod(x1: ArrayLike, x2: ArrayLike, /) -> tuple[Array, Array]:
    """(floor_divide(x1, x2), remainder(x1, x2))."""
    x1, x2, dtype = _array_pair("divmod", x1, x2)
    if dtype in INTEGERS:
        return floor_divide(x1, x2), remainder(x1, x2)
    return _float_divmod(x1, x2)


def _float_divmod(x1: Any, x2: Any) -> tuple[Any, Any]:
    # The algorithm of CPython's float_divmod (Objects/floatobject.c): rem first, so that quotient and remainder agree.
    mod = lax.rem(x1, x2)
    by_zero = x2 == 0 if is_scalar(x2) else lax.eq(x2, 0.0)
    exact = lax.sub(x1, mod)
    if is_scalar(x2):
        if by_zero:
            exact = x1
    elif is_scalar(x1):
        exact = select(by_zero, x1, exact)
    else:
        exact = lax.select(by_zero, x1, exact)
    quotient = lax.div(exact, x2)
    sign2 = float(np.sign(x2)) if is_scalar(x2) else lax.sign(x2)
    opposite = lax.bitwise_and(lax.ne(mod, 0.0), lax.ne(lax.sign(mod), sign2))
    mod = lax.select(opposite, lax.add(mod, x2), mod)
    quotient = lax.select(opposite, lax.sub(quotient, 1.0), quotient)
    return lax.round(quotient), mod


def remainder(x1: ArrayLike, x2: ArrayLike, /) -> Array:
    """x1 - x2 * floor(x1 / x2): it has the sign of x2.

    >>> import functrans.numpy as fnp
    >>> fnp.remainder(-7, 3)
    Array(2, dtype=int32, weak_type=True)
    """
    x1, x2, dtype = _array_pair("remainder", x1, x2)
    if dtype in INTEGERS:
        x2 = _nonzero(x2)
    rest = lax.rem(x1, x2)
    zero = 0.0 if dtype in FLOATS else 0
    negative2 = bool(x2 < 0) if is_scalar(x2) else lax.lt(x2, zero)
    opposite = lax.bitwise_and(lax.ne(lax.lt(rest, zero), negative2), lax.ne(rest, zero))
    return lax.select(opposite, lax.add(rest, x2), rest)


mod = remainder


def fmod(x1: ArrayLike, x2: ArrayLike, /) -> Array:
    """x1 - x2 * trunc(x1 / x2): it has the sign of x1.

    >>> import functrans.numpy as fnp
    >>> fnp.fmod(-7, 3)
    Array(-1, dtype=int32, weak_type=True)
    """
    x1, x2, dtype = _array_pair("fmod", x1, x2)
    return lax.rem(x1, _nonzero(x2) if dtype in INTEGERS else x2)


def _nonzero(x: Any) -> Any:
    """An integer divisor with 1 in place of 0, as JAX does (the result of dividing by 0 is undefined in XLA)."""
    return x or 1 if is_scalar(x) else select(lax.eq(x, 0), 1, x)


@takes(out=None, where=None)
def logaddexp(x1: ArrayLike, x2: ArrayLike, /) -> Array:
    """log(exp(x1) + exp(x2)) without overflow; of complex operands its principal value.

    >>> import functrans.numpy as fnp
    >>> fnp.logaddexp(0., -1000.)
    Array(0., dtype=float32, weak_type=True)
    """
    return _log_add_exp(*promote_arrays("logaddexp", x1, x2, inexact=True))


@takes(out=None, where=None)
def logaddexp2(x1: ArrayLike, x2: ArrayLike, /) -> Array:
    """log2(2**x1 + 2**x2) without overflow; of complex operands that of the principal logarithm."""
    x1, x2 = promote_arrays("logaddexp2", x1, x2, inexact=True, strong=True)
    return _times(_log_add_exp(_times(x1, _LN2), _times(x2, _LN2)), 1.0 / _LN2)


_LN2 = float(np.log(2.0))


def _times(x: Any, factor: float) -> Any:
    """Each part by the real factor: an infinite one times a complex number would be NaN."""
    if x.dtype not in COMPLEX:
        return lax.mul(x, factor)
    return lax.complex(lax.mul(lax.real(x), factor), lax.mul(lax.imag(x), factor))


def _log_add_exp(x1: Any, x2: Any) -> Any:
    if x1.dtype not in COMPLEX:
        return log_add_exp(x1, x2)
    first = lax.ge(lax.real(x1), lax.real(x2))
    larger, smaller = lax.select(first, x1, x2), lax.select(first, x2, x1)
    infinite = lax.eq(lax.abs(lax.real(larger)), float("inf"))  # the difference of two of them is not a number
    difference = lax.sub(smaller, lax.select(infinite, 0.0, larger))
    added = lax.select(infinite, 0.0, lax.log1p(lax.exp(difference)))
    out = strengthened_array(lax.add(larger, added))
    angle = lax.imag(out)
    turns = lax.ceil(lax.sub(lax.mul(angle, 0.5 / _PI), 0.5))  # into (-pi, pi]
    return lax.complex(lax.real(out), lax.sub(angle, lax.mul(turns, 2.0 * _PI)))


_PI = float(np.pi)


def _real_arrays(operation: str, x1: ArrayLike, x2: ArrayLike) -> tuple[Any, Any]:
    """Two floating operands as arrays of one shape; ValueError for complex ones."""
    x1, x2 = promote_arrays(operation, x1, x2, inexact=True, strong=JAX < (0, 12))
    if x1.dtype in COMPLEX:
        raise FunctransValueError(f"{operation}: complex operands are not supported")
    return x1, x2


def hypot(x1: ArrayLike, x2: ArrayLike, /) -> Array:
    """sqrt(x1**2 + x2**2) without overflow; real operands.

    >>> import functrans.numpy as fnp
    >>> fnp.hypot(3., 4.)
    Array(5., dtype=float32, weak_type=True)
    """
    x1, x2 = _real_arrays("hypot", x1, x2)
    size1, size2 = lax.abs(x1), lax.abs(x2)
    infinite = lax.bitwise_or(lax.eq(size1, np.inf), lax.eq(size2, np.inf))
    # One operand is chosen also where both are equal, and the other keeps its sign: each choice is smooth there.
    second_is_larger = lax.lt(size1, size2)
    large, other = lax.select(second_is_larger, size2, size1), lax.select(second_is_larger, x1, x2)
    ratio = lax.div(other, select(lax.eq(large, 0.0), 1.0, large))
    return select(infinite, np.inf, lax.mul(large, lax.sqrt(lax.add(lax.square(ratio), 1.0))))


def conjugate(x: ArrayLike, /) -> Array:
    """The complex conjugate; real x is returned as it is."""
    x, dtype = checked("conjugate", x)
    return lax.conj(promote_one("conjugate", x)) if dtype in COMPLEX else to_array(x)


conj = conjugate


def real(x: ArrayLike, /) -> Array:
    """The real part; real x is returned as it is."""
    x, dtype = checked("real", x)
    return lax.real(promote_one("real", x)) if dtype in COMPLEX else to_array(x)


def imag(x: ArrayLike, /) -> Array:
    """The imaginary part; zeros for real x."""
    x, dtype = checked("imag", x)
    if dtype in COMPLEX:
        return lax.imag(promote_one("imag", x))
    return filled(shape_of(x), 0, dtype, operand_type("imag", x).weak_type)


def angle(z: ArrayLike, deg: bool = False) -> Array:
    """The argument of complex z in radians (degrees with ``deg``), in (-pi, pi]."""
    z, dtype = checked("angle", z)
    if dtype in COMPLEX:
        z = promote_one("angle", z)
        result = lax.atan2(lax.imag(z), lax.real(z))
    else:  # of the default dtype for integers and, as JAX has it, for every single number
        keeps = dtype in FLOATS and shape_of(z) != ()
        dtype = dtype if keeps else scalar_type(float).dtype
        weak = keeps and operand_type("angle", z).weak_type
        result = lax.atan2(filled(shape_of(z), 0, dtype, weak), to_dtype(z, dtype, weak))
    return lax.mul(result, 180.0 / np.pi) if deg else result
