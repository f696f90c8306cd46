"""Makers of the functions of NumPy's elementwise families: one maker a calling convention, one call a function.

The traced common case (operands that need no promotion) is tested first and reaches the primitive directly. On concrete
arrays, outside of any trace, the whole function runs as one compiled program through the C++ dispatcher.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from functrans.api.compilation import jit
from functrans.errors import FunctransError
from functrans.ir.cache import Cache
from functrans.ir.exact import exact_key
from functrans.ir.program import Literal
from functrans.ir.types import ArrayType, canonical_dtype, check_integer, kind_of, scalar_type
from functrans.jaxlib_compat.array_values import ArrayImpl
from functrans.numpy.promotion import (
    COMPLEX,
    INEXACT,
    NUMERIC,
    DType,
    as_operand,
    operand_type,
    promote_one,
    promote_operands,
    scalar_of_kind,
)
from functrans.ops.structural import scalar_literal
from functrans.trace.frames import filter_traceback, trims_tracebacks
from functrans.trace.keywords import refuse
from functrans.trace.state import state
from functrans.trace.tracer import Tracer

Function = Callable[..., Any]
_BESIDE_ARRAYS = frozenset([ArrayImpl, float])  # a Python int may be too large for the array's dtype: checked in Python


def concrete_arrays(*operands: Any) -> bool:
    """Whether nothing is being traced and the operands are arrays (or floats): run the function as one program.

    64-bit NumPy arrays are left to the function itself: they may have to be narrowed, with a warning.
    """
    return state.builder is None and all(
        type(x) in _BESIDE_ARRAYS or (type(x) is np.ndarray and x.dtype.itemsize < 8) for x in operands
    )


_STATIC = frozenset([int, bool, str, type(None), type, tuple, *[type(np.dtype(t)) for t in "?bhilqBHILQefdFD"]])
_MOST_PROGRAMS = 256


def as_one_program(function: Function) -> Function:
    """A function of one array and static options, which on a device array, outside of any trace, is one program.

    With an option that is an array, or a number that would be written into the program, it runs as it is written.
    """
    programs = Cache(2 * _MOST_PROGRAMS)

    @functools.wraps(function)
    def dispatch(*args: Any, **options: Any) -> Any:
        if not args or type(args[0]) is not ArrayImpl or state.builder is not None:
            return function(*args, **options)
        array, *rest = args
        values = (*rest, *options.values())
        kinds = tuple(map(type, values))
        if not _STATIC.issuperset(kinds):
            return function(*args, **options)
        key: Any = (*rest, *options.items(), kinds)
        if tuple in kinds:
            key = exact_key(key)
        program = programs.get(key) or programs.find(key)
        if program is None:
            program = programs.add(key, jit(lambda x: function(x, *rest, **options)))
        return program(array)

    return dispatch


def one_program(*static: str) -> Callable[[Function], Function]:
    """A decorator: on concrete arrays, outside of any trace, the function runs as one compiled program.

    ``static``: names of the arguments that are no arrays. What cannot be an argument of a program (a list, an
    unhashable static argument) goes to the plain function, whose own checks speak.
    """

    def decorate(function: Function) -> Function:
        compiled = jit(function, static_argnames=static)
        names = list(inspect.signature(function).parameters)

        @functools.wraps(function)
        def outer(*args: Any, **kwargs: Any) -> Any:
            if state.builder is None:
                named = [*zip(names, args, strict=False), *kwargs.items()]
                if all(_fits_program(x, name in static) for name, x in named):
                    return compiled(*map(_canonical, args), **{name: _canonical(x) for name, x in kwargs.items()})
            return function(*args, **kwargs)

        return outer

    return decorate


def _canonical(x: Any) -> Any:
    """NumPy arrays in the dtype that they have here, silently, as in every function of this module."""
    return np.asarray(x, canonical_dtype(x.dtype)) if isinstance(x, np.ndarray | np.generic) else x


def _fits_program(x: Any, is_static: bool) -> bool:
    if is_static:
        return x is None or type(x) in (int, bool, str, tuple, float) or isinstance(x, np.dtype | type)
    if isinstance(x, np.ndarray | np.generic):
        return x.dtype.kind in "biufcV"
    return type(x) is ArrayImpl or isinstance(x, int | float | complex | None)


def _named(function: Function, name: str, summary: str, example: str) -> Function:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"""{summary}

    Elementwise; operands are promoted and broadcast as in NumPy, with JAX's dtypes.

    >>> import functrans.numpy as fnp
    {example.strip()}
    """
    return trims_tracebacks(function)


def inexact_unary(name: str, primitive: Function, summary: str, example: str) -> Function:
    """A function whose result is floating or complex: integers are promoted."""

    def function(x: Any, /) -> Any:
        try:
            if type(x) is Tracer and x.type.dtype in INEXACT:
                return primitive(x)
            if type(x) is ArrayImpl and state.builder is None:
                return compiled(x)
            return general(x)
        except FunctransError as error:
            raise filter_traceback(error) from None

    def general(x: Any) -> Any:
        return primitive(promote_one(name, x, inexact=True))

    compiled = jit(general)  # not of the function, which calls it: ``disable_jit`` runs what stands here
    return _named(function, name, summary, example)


def numeric_unary(name: str, primitive: Function, summary: str, example: str) -> Function:
    """A function of numbers of any dtype that keeps the dtype."""

    def function(x: Any, /, *, out: Any = None, where: Any = None) -> Any:
        if out is not None or where is not None:
            refuse(name, out=out, where=where)
        try:
            if type(x) is Tracer:
                return primitive(x)
            if type(x) is ArrayImpl and state.builder is None:
                return compiled(x)
            return general(x)
        except FunctransError as error:
            raise filter_traceback(error) from None

    def general(x: Any) -> Any:
        return primitive(promote_one(name, x))

    compiled = jit(general)
    return _named(function, name, summary, example)


@functools.lru_cache(maxsize=4096, typed=True)
def _number(value: Any, beside: ArrayType) -> Literal:
    return scalar_literal(value, beside.dtype, beside.weak_type)


_DIRECT_KINDS = {int: "fiu", float: "f"}


def number(value: Any, type_: ArrayType) -> Literal | None:
    """A Python int or float as the literal it becomes beside an operand of this type; None where that needs promotion.

    The commonest numbers are remembered (a zero is not: 0.0 and -0.0 are equal keys and different numbers).
    """
    kinds = _DIRECT_KINDS.get(type(value))
    try:
        if kinds is None or type_.dtype.kind not in kinds:
            return None
    except AttributeError:  # random keys have no kind
        return None
    if type_.weak_type and scalar_type(type(value)).dtype.itemsize != type_.dtype.itemsize:  # of another x64 setting
        return None
    if not value or value != value:
        return scalar_literal(value, type_.dtype, type_.weak_type)
    if type(value) is int and not (0 if type_.dtype.kind == "u" else -128) <= value < 128:
        check_integer(value)
        value = scalar_of_kind(value, type_.dtype)
    return _number(value, type_)


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
    direct = direct_dtypes(inexact, of_complex is not None)

    def function(x: Any, y: Any, /, *, out: Any = None, where: Any = None) -> Any:
        if out is not None or where is not None:
            refuse(name, out=out, where=where)
        try:
            if type(x) is Tracer:
                if type(y) is Tracer and y.type is x.type and x.type.dtype in direct:
                    return primitive(x, y)
                if type(y) is float and x.type.dtype.kind == "f" and not x.type.weak_type:
                    return primitive(x, y)
            elif type(x) is ArrayImpl and state.builder is None and type(y) in _BESIDE_ARRAYS:
                return compiled(x, y)
            return general(x, y)
        except FunctransError as error:
            raise filter_traceback(error) from None

    def general(x: Any, y: Any) -> Any:
        x, y = promote_operands(name, x, y, inexact=inexact, numeric=numeric)
        if of_bools is not None or of_complex is not None:
            dtype = operand_type(name, y if isinstance(x, int | float | complex) else x).dtype
            if of_bools is not None and dtype == np.bool_:
                return of_bools(x, y)
            if of_complex is not None and kind_of(dtype) == "c":
                return of_complex(x, y)
        return primitive(x, y)

    compiled = jit(general)
    return _named(function, name, summary, example)


def direct_dtypes(inexact: bool, ordered: bool) -> frozenset[DType]:
    """The dtypes of which two equal operands need no promotion before the primitive (``ordered``: not complex)."""
    return (INEXACT if inexact else NUMERIC) - (COMPLEX if ordered else frozenset())


def checked(operation: str, x: Any) -> tuple[Any, DType]:
    """An operand and its dtype."""
    x = as_operand(operation, x)
    return x, operand_type(operation, x).dtype
