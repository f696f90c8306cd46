"""Operands of special functions: promoted, broadcast, real."""

from __future__ import annotations

from typing import Any

from functrans.errors import FunctransTypeError
from functrans.ir.types import kind_of, short_dtype, type_of
from functrans.numpy.creation import asarray
from functrans.numpy.promotion import promote_arrays

Array = Any
ArrayLike = Any


def real_operands(name: str, *operands: Any) -> list[Any]:
    """The operands as arrays of one shape and floating dtype; raises TypeError for complex numbers, which the function
    does not take.
    """
    promoted = [asarray(x) for x in promote_arrays(name, *operands, inexact=True)]
    dtype = type_of(promoted[0]).dtype
    if kind_of(dtype) == "c":
        raise FunctransTypeError(f"{name} takes real numbers, got dtype {short_dtype(dtype)}")
    return promoted


def real_operand(name: str, x: Any) -> Any:
    """One operand."""
    return real_operands(name, x)[0]
