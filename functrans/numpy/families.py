"""Makers of the functions of NumPy's elementwise families: one maker a calling convention, one call a function.

The traced common case (operands that need no promotion) is tested first and reaches the primitive directly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from functrans.numpy.promotion import (
    INEXACT,
    NUMERIC,
    DType,
    as_operand,
    operand_type,
    promote_one,
    promote_operands,
)
from functrans.trace.tracer import Tracer

Function = Callable[..., Any]


def _named(function: Function, name: str, summary: str, example: str) -> Function:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"""{summary}

    Elementwise; operands are promoted and broadcast as in NumPy, with JAX's dtypes.

    >>> import functrans.numpy as fnp
    {example.strip()}
    """
    return function


def inexact_unary(name: str, primitive: Function, summary: str, example: str) -> Function:
    """A function whose result is floating or complex: integers are promoted."""

    def function(x: Any, /) -> Any:
        if type(x) is Tracer and x.type.dtype in INEXACT:
            return primitive(x)
        return primitive(promote_one(name, x, inexact=True))

    return _named(function, name, summary, example)


def numeric_unary(name: str, primitive: Function, summary: str, example: str) -> Function:
    """A function of numbers of any dtype that keeps the dtype."""

    def function(x: Any, /) -> Any:
        if type(x) is Tracer:
            return primitive(x)
        return primitive(promote_one(name, x))

    return _named(function, name, summary, example)


def binary(
    name: str,
    primitive: Function,
    summary: str,
    example: str,
    *,
    of_bools: Function | None = None,
    of_complex: Function | None = None,
    inexact: bool = False,
    numeric: bool = False,
) -> Function:
    """A function of two promoted operands; ``of_bools`` and ``of_complex`` replace the primitive for these dtypes."""
    direct: frozenset[DType] = INEXACT if inexact else NUMERIC
    if of_complex is not None:
        direct = direct - {np.dtype(np.complex64), np.dtype(np.complex128)}

    def function(x: Any, y: Any, /) -> Any:
        if type(x) is Tracer:
            kind = type(y)
            if kind is Tracer:
                if y.type is x.type and x.type.dtype in direct:
                    return primitive(x, y)
            elif ((kind is float and x.type.dtype in INEXACT) or kind is int) and x.type.dtype in direct:
                return primitive(x, y)
        elif type(y) is Tracer:
            kind = type(x)
            if ((kind is float and y.type.dtype in INEXACT) or kind is int) and y.type.dtype in direct:
                return primitive(x, y)
        x, y = promote_operands(name, x, y, inexact=inexact, numeric=numeric)
        if of_bools is not None or of_complex is not None:
            dtype = operand_type(name, y if isinstance(x, int | float | complex) else x).dtype
            if of_bools is not None and dtype == np.bool_:
                return of_bools(x, y)
            if of_complex is not None and dtype.kind == "c":
                return of_complex(x, y)
        return primitive(x, y)

    return _named(function, name, summary, example)


def checked(operation: str, x: Any) -> tuple[Any, DType]:
    """An operand and its dtype."""
    x = as_operand(operation, x)
    return x, operand_type(operation, x).dtype
