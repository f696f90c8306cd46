"""Elementwise functions of ``jax.lax`` that are more than one primitive."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import canonical_dtype, is_differentiable, short_dtype, type_of
from functrans.ops import complex_numbers, functions, structural
from functrans.ops.arithmetic import integer_pow, pow_, round_, square
from functrans.ops.elementwise import COMPLEX, add, align, div, kind_of, mul
from functrans.ops.logic import eq, ne, select


class RoundingMethod(enum.Enum):
    """What ``round`` does with halves."""

    AWAY_FROM_ZERO = 0
    TO_NEAREST_EVEN = 1


def round(x: Any, rounding_method: Any = RoundingMethod.AWAY_FROM_ZERO) -> Any:
    """The nearest integer of each element; halves go away from zero, or to even.

    >>> from functrans import lax
    >>> float(lax.round(2.5)), float(lax.round(2.5, lax.RoundingMethod.TO_NEAREST_EVEN))
    (3.0, 2.0)
    """
    name = getattr(rounding_method, "name", rounding_method)
    if name not in RoundingMethod.__members__:
        raise FunctransValueError(f"round: unknown rounding method {rounding_method!r}; use a lax.RoundingMethod")
    return round_(x, name == "TO_NEAREST_EVEN")


def pow(x: Any, y: Any) -> Any:
    """x ** y for a floating or complex x; an integer y is taken as it is.

    >>> from functrans import lax
    >>> float(lax.pow(2.0, 3))
    8.0
    """
    if isinstance(y, int) and not isinstance(y, bool):
        return integer_pow(x, y)
    base, exponent = type_of(x), type_of(y)
    if kind_of(exponent.dtype) in "iu" and is_differentiable(base.dtype):
        y = structural.convert(y, base.dtype, base.weak_type and exponent.weak_type)
    return pow_(x, y)


def atan2(x: Any, y: Any) -> Any:
    """The angle of the point (y, x); of complex numbers -i log((y + i x) / sqrt(x^2 + y^2)).

    >>> from functrans import lax
    >>> float(lax.atan2(0.0, 1.0))
    0.0
    """
    if kind_of(type_of(x).dtype) != COMPLEX and kind_of(type_of(y).dtype) != COMPLEX:
        return functions.atan2(x, y)
    operands = align(functions.ATAN2, x, y, ones=True)
    shape = max((type_of(v).shape for v in operands), key=len)
    x, y = [v if type_of(v).shape else structural.broadcast_in_dim(v, shape, ()) for v in operands]
    direction = div(add(y, mul(x, 1j)), functions.sqrt(add(square(x), square(y))))
    return mul(functions.log(direction), -1j)


def conj(x: Any) -> Any:
    """The complex conjugate; a floating number becomes a complex one, as in JAX.

    Raises TypeError for other dtypes than float32, float64 and the complex ones.

    >>> from functrans import lax
    >>> lax.conj(np.float32(1.5)).item()
    (1.5+0j)
    """
    type_ = type_of(x)
    if kind_of(type_.dtype) == COMPLEX:
        return complex_numbers.conj(x)
    if type_.dtype not in (np.float32, np.float64):
        raise FunctransTypeError(f"conj does not accept operands of dtype {short_dtype(type_.dtype)}")
    return complex_numbers.complex_(x, structural.zeros(type_.shape, type_))


def select_n(which: Any, *cases: Any) -> Any:
    """The element of ``cases[which]``; ``which`` is bool with at most two cases, or int32.

    Raises:
      TypeError: no case, or a ``which`` of another dtype.

    >>> from functrans import lax
    >>> float(lax.select_n(True, 1.0, 2.0))
    2.0
    """
    type_ = type_of(which)
    kind = kind_of(type_.dtype)
    if not cases or kind not in "bi" or (kind == "b" and len(cases) > 2):
        raise FunctransTypeError(
            f"select_n: `which` must be int32, or bool with one or two cases; got {type_} and {len(cases)} cases"
        )
    out = cases[0] if kind == "b" else cases[-1]
    if kind == "b":
        return select(which, cases[1], out) if len(cases) == 2 else out
    if len(cases) == 2:
        return select(ne(which, 0), cases[1], cases[0])
    for i in reversed(range(len(cases) - 1)):
        out = select(eq(which, i), cases[i], out)
    return out


def convert_element_type(operand: Any, new_dtype: Any) -> Any:
    """The operand in another dtype; complex to real drops the imaginary part, integers keep their lower bits.

    >>> from functrans import lax
    >>> int(lax.convert_element_type(2.75, int)), int(lax.convert_element_type(2**32 + 1, "int32"))
    (2, 1)
    """
    if type(operand) is int:
        dtype = canonical_dtype(new_dtype)
        if dtype.kind in "iu" and np.dtype(new_dtype) == dtype:  # not where 64 bits that are off are asked for
            operand = int(np.asarray(operand).astype(dtype))
    return structural.convert_element_type(operand, new_dtype)


def stop_gradient(x: Any) -> Any:
    """A pytree of arrays as it is, with a zero derivative.

    >>> import functrans as ft
    >>> from functrans import lax
    >>> float(ft.grad(lambda x: lax.mul(x, lax.stop_gradient(x)))(3.0))
    3.0
    """
    return jax.tree_util.tree_map(structural.stop_gradient, x)


def in_single(function: Callable[..., Any], *xs: Any) -> Any:
    """The function of arrays of one dtype; of half precision computed in single, with all its derivatives."""
    dtype = type_of(xs[0]).dtype
    if dtype.itemsize >= 4:
        return function(*xs)
    return structural.convert(function(*[structural.convert(x, np.dtype(np.float32)) for x in xs]), dtype)


def reciprocal(x: Any) -> Any:
    """1 / x of a floating or complex array.

    >>> from functrans import lax
    >>> import numpy as np
    >>> lax.reciprocal(np.float32([2, 4])).tolist()
    [0.5, 0.25]
    """
    return integer_pow(x, -1)
