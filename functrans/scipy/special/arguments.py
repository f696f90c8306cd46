"""Operands of special functions: promoted, broadcast, real."""

from __future__ import annotations

from typing import Any

from functrans.errors import FunctransTypeError
from functrans.ir.types import kind_of, short_dtype, type_of
from functrans.numpy.creation import asarray
from functrans.numpy.promotion import promote_arrays, strengthened

Array = Any
ArrayLike = Any


def inexact_operands(name: str, *operands: Any, strong: bool = False) -> list[Any]:
    """The operands as arrays of one shape and floating or complex dtype; ``strong``: what has axes is not weak."""
    return [asarray(x) for x in promote_arrays(name, *operands, inexact=True, strong=strong)]


def is_complex(x: Any) -> bool:
    """Whether an operand is complex."""
    return kind_of(type_of(x).dtype) == "c"


def real_operands(name: str, *operands: Any, strong: bool = False) -> list[Any]:
    """The operands as arrays of one shape and floating dtype; raises TypeError for complex numbers, which the function
    does not take.
    """
    promoted = inexact_operands(name, *operands, strong=strong)
    if is_complex(promoted[0]):
        raise FunctransTypeError(f"{name} takes real numbers, got dtype {short_dtype(type_of(promoted[0]).dtype)}")
    return promoted


def real_operand(name: str, x: Any, strong: bool = False) -> Any:
    """One operand."""
    return real_operands(name, x, strong=strong)[0]


def strong_operands(name: str, *operands: Any) -> list[Any]:
    """As real_operands, but never weak: JAX computes with strong constants beside them."""
    return [asarray(strengthened(x)) for x in real_operands(name, *operands)]


def strong_operand(name: str, x: Any) -> Any:
    """One operand."""
    return strong_operands(name, x)[0]
