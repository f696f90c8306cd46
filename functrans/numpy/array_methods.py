"""The operators, methods and properties of an array, given to the tracer class.

Binary operators return NotImplemented for what is no array, so that the other operand's class gets its turn.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

import jax
import numpy as np

from functrans import lax
from functrans.api.compilation import jit
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.jaxlib_compat.array_values import ArrayImpl
from functrans.jaxlib_compat.tracing import JaxTracer
from functrans.numpy import (
    arithmetic,
    calculus,
    comparison,
    creation,
    cumulative,
    grids,
    joining,
    positions,
    products,
    reductions,
    rounding,
    selection,
    shapes,
    sorting,
)
from functrans.numpy.families import direct_dtypes, number
from functrans.numpy.indexing import get_item
from functrans.numpy.promotion import Array, requested_dtype
from functrans.numpy.protocols import array_function, array_ufunc
from functrans.numpy.updates import IndexUpdate, IndexUpdateHelper
from functrans.ops.elementwise import ADD, DIV, MUL, SUB
from functrans.ops.logic import EQ, GE, GT, LE, LT, NE
from functrans.trace.binding import bind
from functrans.trace.conversions import set_counterparts
from functrans.trace.frames import here
from functrans.trace.keywords import refuse
from functrans.trace.primitive import Primitive
from functrans.trace.state import current_builder
from functrans.trace.tracer import Tracer
from functrans.trace.values import obtainable
from functrans.xla.array_patch import Pattern, jax_array_protocol, patch_array_indexing

_TAKEN = frozenset((Tracer, ArrayImpl))
_OPERANDS = (Tracer, jax.Array, np.ndarray, np.generic, int, float, complex)
Function = Callable[..., Any]


def _is_operand(other: Any) -> bool:
    """Whether an operator takes ``other``. A value of a trace of JAX inside of ours it leaves to that one's operators:
    the result belongs there, and a trace of another library knows JAX's operations only.
    """
    if not isinstance(other, _OPERANDS):
        return False
    return not isinstance(other, JaxTracer) or type(other) is Tracer or current_builder() is not None


def _operator(function: Function, primitive: Primitive | None = None, inexact: bool = False) -> Function:
    """The method for ``self op other``. Operands that need no promotion go to the primitive at once."""
    if primitive is None:

        def plain(self: Any, other: Any) -> Any:
            return function(self, other) if type(other) in _TAKEN or _is_operand(other) else NotImplemented

        return plain
    direct = direct_dtypes(inexact, ordered=False)

    def method(self: Any, other: Any) -> Any:
        type_ = self.type
        if type(other) is Tracer:
            if other.type is type_ and type_.dtype in direct:
                return bind(primitive, self, other)
        elif not inexact or type_.dtype.kind == "f":
            value = number(other, type_)
            if value is not None:
                return bind(primitive, self, value)
        return function(self, other) if type(other) in _TAKEN or _is_operand(other) else NotImplemented

    return method


def _reflected(function: Function, primitive: Primitive | None = None, inexact: bool = False) -> Function:
    """The method for ``other op self``."""

    def method(self: Any, other: Any) -> Any:
        if primitive is not None and (not inexact or self.type.dtype.kind == "f"):
            value = number(other, self.type)
            if value is not None:
                return bind(primitive, value, self)
        return function(other, self) if isinstance(other, _OPERANDS) else NotImplemented

    return method


def _comparison(function: Function, symbol: str, primitive: Primitive) -> Function:
    ordered = symbol not in ("==", "!=")
    direct = direct_dtypes(False, ordered)

    def method(self: Any, other: Any) -> Any:
        type_ = self.type
        if type(other) is Tracer:
            if other.type is type_ and type_.dtype in direct:
                return bind(primitive, self, other)
        else:
            value = number(other, type_)
            if value is not None:
                return bind(primitive, self, value)
        if type(other) in _TAKEN or _is_operand(other):
            return function(self, other)
        if type(other) in (list, tuple, set, dict):
            raise FunctransTypeError(
                f"unsupported operand types for {symbol}: an array and {type(other).__name__}, at {here()}\n"
                "Convert it with functrans.numpy.asarray."
            )
        return NotImplemented

    return method


def _power(self: Any, other: Any, modulus: Any = None) -> Any:
    if modulus is not None:
        raise FunctransTypeError(
            f"pow(x, y, modulus) of arrays is not supported, at {here()}\nWrite (x ** y) % modulus."
        )
    return arithmetic.power(self, other) if _is_operand(other) else NotImplemented


def _iterate(self: Any) -> Iterator[Any]:
    if not self.type.shape:
        raise FunctransTypeError(f"a scalar (shape ()) cannot be iterated over, at {here()}")
    return iter([get_item(self, i) for i in range(self.type.shape[0])])


def _length(self: Any) -> int:
    if not self.type.shape:
        raise FunctransTypeError(f"a scalar (shape ()) has no len(), at {here()}")
    return int(self.type.shape[0])


def _set_item(self: Any, key: Any, value: Any) -> NoReturn:
    raise FunctransTypeError(
        f"arrays are immutable: x[index] = value is not possible for a traced array, at {here()}\n"
        "Write x = x.at[index].set(value) (or .add, .multiply, .min, .max)."
    )


def _contains(self: Any, value: Any) -> Any:
    return bool(reductions.any(comparison.equal(self, value)))


def _reshape(self: Any, *args: Any, order: str = "C", out_sharding: Any = None) -> Any:
    refuse("x.reshape", out_sharding=out_sharding)
    return shapes.reshape(self, args[0] if len(args) == 1 else args, order=order)


def _transpose(self: Any, *args: Any) -> Any:
    if not args:
        return shapes.transpose(self)
    return shapes.transpose(self, args[0] if len(args) == 1 else args)


def _astype(self: Any, dtype: Any, copy: bool = False, device: Any = None) -> Any:
    return creation.astype(self, dtype)


def _copy(self: Any) -> Any:
    return self


def _flatten(self: Any, order: str = "C", *, out_sharding: Any = None) -> Any:
    refuse("x.ravel", out_sharding=out_sharding)
    return shapes.ravel(self, order)


def _repeat(
    self: Any, repeats: Any, axis: int | None = None, *, total_repeat_length: int | None = None,
    out_sharding: Any = None,
) -> Any:  # fmt: skip
    refuse("x.repeat", out_sharding=out_sharding)
    return joining.repeat(self, repeats, axis, total_repeat_length=total_repeat_length)


def _compress(
    self: Any, condition: Any, axis: int | None = None, *, out: None = None, size: int | None = None,
    fill_value: Any = 0,
) -> Any:  # fmt: skip
    return selection.compress(condition, self, axis, out, size=size, fill_value=fill_value)


def _view(self: Any, dtype: Any = None, type: Any = None) -> Any:
    """The same bits as another dtype; the last axis grows or shrinks with the width. A bool counts as a byte."""
    if type is not None:
        raise FunctransTypeError(f"x.view() of a traced array takes a dtype and no type=, at {here()}")
    if dtype is None:
        return self
    to = requested_dtype("view", dtype)
    if to == self.dtype:
        return self
    width, last = to.itemsize, self.shape[-1] * self.dtype.itemsize if self.ndim else self.dtype.itemsize
    if last % width or (not self.ndim and last != width):
        raise FunctransValueError(
            f"x.view({to.name}): the last axis of {self.type} holds {last} bytes, and {to.name} takes {width} each, at "
            f"{here()}\nReshape so that the bytes of the last axis are a multiple of that, or convert the values with "
            f"x.astype({to.name!r})."
        )
    if not self.ndim:
        return shapes.reshape(_view(shapes.reshape(self, (1,)), to), ())
    if self.dtype.kind == "b":
        return _view(creation.astype(self, np.uint8), to)
    if to.kind == "b":
        return creation.astype(_view(self, np.uint8), bool)
    if self.dtype.kind == "c":
        parts = joining.stack([arithmetic.real(self), arithmetic.imag(self)], axis=-1)
        return _view(shapes.reshape(parts, (*self.shape[:-1], 2 * self.shape[-1])), to)
    if to.kind == "c":
        parts = _view(self, f"float{4 * width}")
        return lax.complex(parts[..., 0::2], parts[..., 1::2])
    x = self
    if width > x.dtype.itemsize:
        x = shapes.reshape(x, (*x.shape[:-1], last // width, width // x.dtype.itemsize))
    x = lax.bitcast_convert_type(x, to)
    return shapes.reshape(x, (*self.shape[:-1], last // width))


def _to_device(self: Any, device: Any, *, stream: Any = None) -> Any:
    return self



def _rounded(function: Function) -> Function:
    """``round(x)``, ``math.floor(x)`` ...: integers unless digits are given; of a scalar a Python number where x has a
    value, like ``int(x)``.
    """

    def method(self: Any, digits: int | None = None) -> Any:
        if digits is not None:
            return function(self, digits)
        value = None if self.type.shape else obtainable(self)
        return creation.astype(function(self), int) if value is None else int(function(value))

    return method


_UNARY: dict[str, Function] = {
    "__neg__": arithmetic.negative,
    "__pos__": arithmetic.positive,
    "__abs__": arithmetic.absolute,
    "__invert__": comparison.bitwise_not,
    "__round__": _rounded(rounding.round),
    "__floor__": _rounded(rounding.floor),
    "__ceil__": _rounded(rounding.ceil),
    "__trunc__": _rounded(rounding.trunc),
    "conj": arithmetic.conjugate,
    "conjugate": arithmetic.conjugate,
}
# name: (function, the primitive it is without promotion, whether the result is floating in any case)
_BINARY: dict[str, tuple[Function, Primitive | None, bool]] = {
    "add": (arithmetic.add, ADD, False),
    "sub": (arithmetic.subtract, SUB, False),
    "mul": (arithmetic.multiply, MUL, False),
    "truediv": (arithmetic.true_divide, DIV, True),
    "floordiv": (arithmetic.floor_divide, None, False),
    "mod": (arithmetic.remainder, None, False),
    "divmod": (arithmetic.divmod, None, False),
    "matmul": (products.matmul, None, False),
    "and": (comparison.bitwise_and, None, False),
    "or": (comparison.bitwise_or, None, False),
    "xor": (comparison.bitwise_xor, None, False),
    "lshift": (comparison.left_shift, None, False),
    "rshift": (comparison.right_shift, None, False),
}
_COMPARISONS: dict[str, tuple[Function, str, Primitive]] = {
    "__eq__": (comparison.equal, "==", EQ),
    "__ne__": (comparison.not_equal, "!=", NE),
    "__lt__": (comparison.less, "<", LT),
    "__le__": (comparison.less_equal, "<=", LE),
    "__gt__": (comparison.greater, ">", GT),
    "__ge__": (comparison.greater_equal, ">=", GE),
}
_METHODS: dict[str, Function] = {
    "all": reductions.all,
    "any": reductions.any,
    "argmax": reductions.argmax,
    "argmin": reductions.argmin,
    "choose": selection.choose,
    "clip": selection.clip,
    "argpartition": sorting.argpartition,
    "argsort": sorting.argsort,
    "compress": _compress,
    "cumprod": cumulative.cumprod,
    "cumsum": cumulative.cumsum,
    "diagonal": grids.diagonal,
    "dot": products.dot,
    "max": reductions.max,
    "mean": reductions.mean,
    "min": reductions.min,
    "nonzero": positions.nonzero,
    "partition": sorting.partition,
    "prod": reductions.prod,
    "ptp": reductions.ptp,
    "ravel": _flatten,
    "flatten": _flatten,
    "repeat": _repeat,
    "reshape": _reshape,
    "round": rounding.round,
    "searchsorted": sorting.searchsorted,
    "sort": sorting.sort,
    "squeeze": shapes.squeeze,
    "std": reductions.std,
    "sum": reductions.sum,
    "swapaxes": shapes.swapaxes,
    "take": selection.take,
    "to_device": _to_device,
    "trace": calculus.trace,
    "transpose": _transpose,
    "var": reductions.var,
    "view": _view,
    "astype": _astype,
    "copy": _copy,
    "__copy__": _copy,
    "__deepcopy__": lambda self, memo: self,
    "__getitem__": get_item,
    "__setitem__": _set_item,
    "__iter__": _iterate,
    "__len__": _length,
    "__contains__": _contains,
    "__pow__": _power,
}
_PROPERTIES: dict[str, Function] = {
    "T": shapes.transpose,
    "mT": shapes.matrix_transpose,
    "real": arithmetic.real,
    "imag": arithmetic.imag,
    "itemsize": lambda self: self.type.dtype.itemsize,
    "nbytes": lambda self: self.type.dtype.itemsize * self.type.size,
    "at": IndexUpdateHelper,
    "__jax_array__": lambda self: jax_array_protocol(),
}


def install(tracer_class: type) -> None:
    """Give a class the operators, methods and properties of ``jax.Array``."""
    for name, function in (*_UNARY.items(), *_METHODS.items()):
        setattr(tracer_class, name, _method(function))
    for name, (function, primitive, inexact) in _BINARY.items():
        setattr(tracer_class, f"__{name}__", _operator(function, primitive, inexact))
        setattr(tracer_class, f"__r{name}__", _reflected(function, primitive, inexact))
    tracer_class.__rpow__ = _reflected(arithmetic.power)  # type: ignore[attr-defined]
    for name, (function, symbol, compare) in _COMPARISONS.items():
        setattr(tracer_class, name, _comparison(function, symbol, compare))
    for name, function in _PROPERTIES.items():
        setattr(tracer_class, name, property(function))


def _method(function: Function) -> Function:
    """A plain function, so that it binds to the instance (a callable object would not)."""
    if hasattr(function, "__get__"):
        return function

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return function(self, *args, **kwargs)

    return method


def _update(array: Array, index: Any, method: str, args: Any, kwargs: Any) -> Any:
    """``array.at[index].method(...)`` of a concrete array where a tracer takes part."""
    return getattr(IndexUpdate(array, index), method)(*args, **kwargs)


def _is_tracer(x: object) -> bool:
    return type(x) is Tracer


def _read(array: Array, pattern: Pattern, *positions: Any) -> Array:
    """``array[index]`` of a concrete array, where the index is the positions in their pattern."""
    return _reader(pattern)(array, *positions)


@functools.lru_cache(maxsize=256)
def _reader(pattern: Pattern) -> Function:
    def read_positions(array: Array, *positions: Any) -> Array:
        rest = iter(positions)
        return get_item(
            array, tuple([next(rest) if part is int else slice(None) if part == "all" else part for part in pattern])
        )

    return jit(read_positions)  # type: ignore[no-any-return]


# Functions of the math module and NumPy's kin that stand elsewhere, or under another name.
_COUNTERPARTS = {
    **{name: f"functrans.scipy.special.{name}" for name in ("erf", "erfc", "gamma", "gammaln", "digamma", "expit")},
    "lgamma": "functrans.scipy.special.gammaln",
    "fabs": "functrans.numpy.abs",
    "pow": "functrans.numpy.power",
    "fmod": "functrans.numpy.fmod",
}


def _counterparts(namespace: Mapping[str, Any]) -> Callable[[str], str | None]:
    """The function of functrans for the name that user code gives one of NumPy or the math module."""

    def find(called: str) -> str | None:
        name = called.rpartition(".")[2]
        found = _COUNTERPARTS.get(name)
        own = namespace.get(name) if name in namespace["__all__"] else None
        if found is None and own is not None and own is not getattr(np, name, None):
            found = f"functrans.numpy.{name}"
        return found if found != called else None

    return find


def _array_namespace(self: Tracer, /, *, api_version: str | None = None) -> Any:
    """The module whose functions take this (array API standard)."""
    if api_version is not None and api_version not in _VERSIONS:
        raise FunctransValueError(
            f"__array_namespace__: there is no version {api_version!r} of the array API, only {', '.join(_VERSIONS)}"
        )
    return sys.modules["functrans.numpy"]


_VERSIONS = "2021.12", "2022.12", "2023.12", "2024.12", "2025.12"


def install_everywhere(namespace: Mapping[str, Any]) -> None:
    """Operators for tracers; ``array[tracer]`` and ``array.at[...]`` of concrete arrays; NumPy's protocols, whose
    functions are looked up in ``namespace``.
    """
    install(Tracer)
    Tracer.__array_ufunc__ = array_ufunc(namespace)
    Tracer.__array_function__ = array_function(namespace)
    Tracer.__array_namespace__ = _array_namespace
    patch_array_indexing(_is_tracer, get_item, _update, _read)
    set_counterparts(_counterparts(namespace))


