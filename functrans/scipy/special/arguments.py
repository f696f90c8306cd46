"""Operands of special functions: promoted, broadcast, real."""

from __future__ import annotations

from typing import Any

from functrans.errors import FunctransTypeError
from functrans.ir.types import kind_of, short_dtype, type_of
from functrans.numpy.creation import asarray
from functrans.numpy.promotion import promote_operands
from functrans.ops.structural import broadcast_in_dim

Array = Any
ArrayLike = Any


def real_operands(name: str, *operands: Any) -> list[Any]:
    """The operands as arrays of one shape and floating dtype; raises TypeError for complex numbers, which the function
    does not take.
    """
    promoted = [asarray(x) for x in promote_operands(name, *operands, inexact=True)]
    types = [type_of(x) for x in promoted]
    if kind_of(types[0].dtype) == "c":
        raise FunctransTypeError(f"{name} takes real numbers, got dtype {short_dtype(types[0].dtype)}")
    shape = next((t.shape for t in types if t.shape), ())
    return [x if t.shape == shape else broadcast_in_dim(x, shape, ()) for x, t in zip(promoted, types, strict=True)]


def real_operand(name: str, x: Any) -> Any:
    """One operand."""
    return real_operands(name, x)[0]
