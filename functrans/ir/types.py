"""Array types: what a program knows of a value before it has one.

``ArrayType`` is shape, dtype and the weak flag of JAX's promotion rules (a Python number is weak: it takes the dtype of
the array it meets). Tangents of integer and boolean values have dtype ``float0``, as in JAX.
"""

from __future__ import annotations

import functools
import operator
import threading
import weakref
from collections.abc import Callable
from typing import Any

import jax
import ml_dtypes
import numpy as np
from jax import dtypes as jax_dtypes

from functrans.errors import FunctransOverflowError, FunctransTypeError, FunctransValueError, warn

Shape = tuple[int, ...]
issubdtype: Any = jax_dtypes.issubdtype  # type: ignore[attr-defined]
float0: np.dtype[Any] = np.dtype(jax_dtypes.float0)
bfloat16: np.dtype[Any] = np.dtype(jax_dtypes.bfloat16)
_BOOL = np.dtype(np.bool_)


_types: weakref.WeakValueDictionary[Any, ArrayType] = weakref.WeakValueDictionary()
_types_lock = threading.RLock()


class ArrayType:
    """The type of an array: ``shape`` (tuple of int), ``dtype`` (NumPy dtype) and ``weak_type`` (bool).

    Immutable, and one object for equal fields: types are compared and hashed by address. ``aval`` is JAX's type of the
    same fields, once a tracer has been asked for it.
    """

    __slots__ = ("__weakref__", "aval", "dtype", "shape", "weak_type")

    shape: Shape
    dtype: np.dtype[Any]
    weak_type: bool
    aval: Any

    def __new__(cls, shape: Shape, dtype: Any, weak_type: bool = False) -> ArrayType:
        shape = tuple(map(int, shape))
        dtype = np.dtype(dtype) if isinstance(dtype, type) else dtype
        key = (shape, dtype, bool(weak_type))
        with _types_lock:  # types are compared by address: two threads make one
            found = _types.get(key)
            if found is None:
                found = object.__new__(cls)
                found.shape, found.dtype, found.weak_type = key
                _types[key] = found
        return found

    def __reduce__(self) -> Any:
        return ArrayType, (self.shape, self.dtype, self.weak_type)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        size = 1
        for n in self.shape:
            size *= n
        return size

    def update(self, **changes: Any) -> ArrayType:
        """The same type with the named fields changed."""
        return array_type(
            changes.get("shape", self.shape), changes.get("dtype", self.dtype), changes.get("weak_type", self.weak_type)
        )

    def strong(self) -> ArrayType:
        """The same type without the weak flag."""
        return array_type(self.shape, self.dtype, False) if self.weak_type else self

    def __repr__(self) -> str:
        return f"ArrayType({self})"

    def __str__(self) -> str:
        dims = ",".join(map(str, self.shape))
        return f"{short_dtype(self.dtype)}[{dims}]" + ("*" if self.weak_type else "")


@functools.lru_cache(maxsize=16384)
def array_type(shape: Shape, dtype: np.dtype[Any], weak_type: bool = False) -> ArrayType:
    """The ArrayType with these fields, by a faster way than its constructor."""
    return ArrayType(shape, dtype, weak_type)


_SHORT = {
    "bool": "bool", "bfloat16": "bf16", "float16": "f16", "float32": "f32", "float64": "f64",
    "complex64": "c64", "complex128": "c128",
    "int1": "i1", "int2": "i2", "int4": "i4", "int8": "i8", "int16": "i16", "int32": "i32", "int64": "i64",
    "uint1": "u1", "uint2": "u2", "uint4": "u4", "uint8": "u8", "uint16": "u16", "uint32": "u32", "uint64": "u64",
}  # fmt: skip


def short_dtype(dtype: np.dtype[Any]) -> str:
    """The short name that jaxprs print: ``f32`` for float32."""
    return "float0" if dtype == float0 else _SHORT.get(dtype.name, dtype.name)


_X64 = jax.config


def x64_enabled() -> bool:
    """Whether 64-bit types are on (``jax.config.update('jax_enable_x64', True)``)."""
    return bool(_X64.jax_enable_x64)  # type: ignore[attr-defined]


NARROW: dict[np.dtype[Any], np.dtype[Any]] = {
    np.dtype(np.float64): np.dtype(np.float32), np.dtype(np.int64): np.dtype(np.int32),
    np.dtype(np.uint64): np.dtype(np.uint32), np.dtype(np.complex128): np.dtype(np.complex64),
}  # fmt: skip


def canonical_dtype(dtype: Any) -> np.dtype[Any]:
    """``dtype`` as it is under the x64 flag: float64 becomes float32 when 64-bit types are off."""
    if not isinstance(dtype, np.dtype):
        if not isinstance(dtype, type) and hasattr(dtype, "dtype"):
            dtype = dtype.dtype
        if isinstance(dtype, type) and issubclass(dtype, int | float | complex) and not issubclass(dtype, np.generic):
            return scalar_type(dtype).dtype
        if issubdtype(dtype, jax_dtypes.extended):
            return dtype  # type: ignore[no-any-return]
        dtype = np.dtype(dtype)
    found: np.dtype[Any] = dtype
    return found if x64_enabled() else NARROW.get(found, found)


_narrowing_warned = False


def warn_narrowing(dtype: np.dtype[Any], name: Callable[[], str]) -> None:
    """Say once in a process that 64-bit floating data is narrowed, and how to keep it; ``name``: what to call it."""
    global _narrowing_warned
    if not _narrowing_warned and dtype in NARROW and dtype.kind in "fc":
        _narrowing_warned = True
        warn(
            f"{name()} has dtype {dtype.name} and is narrowed to {NARROW[dtype].name}, because 64-bit types are off. "
            "Turn them on with functrans.config.update('jax_enable_x64', True) at the start of the program, or convert "
            "the data yourself to silence this. (This warning is shown once.)"
        )


def _scalar_types(x64: bool) -> dict[type, ArrayType]:
    wide = "64" if x64 else "32"
    return {
        bool: array_type((), np.dtype(np.bool_), False),
        int: array_type((), np.dtype("int" + wide), True),
        float: array_type((), np.dtype("float" + wide), True),
        complex: array_type((), np.dtype("complex128" if x64 else "complex64"), True),
    }


_SCALARS = {False: _scalar_types(False), True: _scalar_types(True)}


def scalar_type(python_type: type) -> ArrayType:
    """The (weak) type of a Python bool, int, float or complex."""
    return _SCALARS[x64_enabled()][python_type]


def check_integer(value: int) -> None:
    """Raise OverflowError for a Python integer that the integers of the x64 setting do not hold, as JAX does.

    Beside any dtype: otherwise the same number would be right as a literal, and refused or cut as an argument.
    """
    wide = x64_enabled()
    if not -(1 << (63 if wide else 31)) <= value < 1 << (63 if wide else 31):
        name = "int64" if wide else "int32"
        fix = "" if wide else ", or turn 64-bit types on with functrans.config.update('jax_enable_x64', True)"
        raise FunctransOverflowError(
            f"the Python integer {value} does not fit into {name}, the dtype of Python integers\n"
            f"Write it as a float or as an array of a dtype that holds it{fix}."
        )


def static_shape(operation: str, shape: Any) -> Shape:
    """A shape that is no sequence of Python integers: one integer, or an error that names the operation and the size.

    Raises TypeError for what is no integer, and for a traced size without a value.
    """
    if not np.ndim(shape) and hasattr(shape, "__index__"):
        return (operator.index(shape),)
    for size in shape if np.ndim(shape) else (shape,):
        try:
            operator.index(size)
        except FunctransTypeError:
            raise
        except TypeError:
            raise FunctransTypeError(
                f"{operation}: a shape is an integer or a sequence of integers, got {describe(size)}"
            ) from None
    return tuple(map(operator.index, shape))


def type_of(x: Any) -> ArrayType:
    """The type of a traced value, an array or a number.

    Raises TypeError for anything that is not a number or an array of numbers.
    """
    found = getattr(x, "type", None)  # a traced value or a literal knows its type
    if type(found) is ArrayType:
        return found
    known = _SCALARS[x64_enabled()].get(type(x))
    if known is not None:
        return known
    if isinstance(x, np.ndarray | np.generic):
        dtype = x.dtype
        if dtype not in _NUMERIC:
            raise _not_numeric(dtype)
        if isinstance(x, np.ma.MaskedArray):
            raise _masked(x)
        return array_type(x.shape, dtype if x64_enabled() else NARROW.get(dtype, dtype), False)
    if isinstance(x, jax.Array):
        return array_type(x.shape, x.dtype, bool(getattr(x, "weak_type", False)))
    if isinstance(x, jax.ShapeDtypeStruct):
        if not all(isinstance(n, int) for n in x.shape):
            raise FunctransValueError(
                f"the shape {x.shape} has symbolic dimensions, and programs of functrans have sizes that are numbers: "
                "trace, lower or export the function once for each size that is needed"
            )
        return array_type(tuple(x.shape), canonical_dtype(x.dtype), bool(getattr(x, "weak_type", False)))
    if isinstance(x, bool | int | float | complex):
        kind = next(t for t in (bool, int, float, complex) if isinstance(x, t))
        return scalar_type(kind)
    raise FunctransTypeError(f"{describe(x)} is not a number, an array or a traced value")


def refuse_mask(x: Any) -> None:
    """Refuse NumPy's masked arrays: ValueError."""
    if isinstance(x, np.ma.MaskedArray):
        raise _masked(x)


def _masked(x: Any) -> FunctransValueError:
    return FunctransValueError(
        f"a masked array {x.dtype.name}{list(x.shape)} cannot be computed with, because its mask would be lost\n"
        "Pass x.filled(value), or x.data and x.mask as two arrays."
    )


def _extension(*names: str) -> frozenset[np.dtype[Any]]:
    """Those of them that ml_dtypes has: int1 and uint1 came with a later version."""
    return frozenset([np.dtype(getattr(ml_dtypes, name)) for name in names if hasattr(ml_dtypes, name)])


SMALLER_THAN_A_BYTE = _extension(
    "int1", "int2", "int4", "uint1", "uint2", "uint4", "float4_e2m1fn", "float6_e2m3fn", "float6_e3m2fn"
)


def bits_of(dtype: np.dtype[Any]) -> int:
    """The bits of an element."""
    if dtype not in SMALLER_THAN_A_BYTE:
        return int(dtype.itemsize) * 8
    return int(next(n for n in "1246" if f"t{n}" in dtype.name))


EXTENDED_FLOATS = _extension(
    "bfloat16", "float8_e3m4", "float8_e4m3", "float8_e4m3b11fnuz", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2",
    "float8_e5m2fnuz", "float8_e8m0fnu", "float4_e2m1fn", "float6_e2m3fn", "float6_e3m2fn",
)  # fmt: skip
_EXTENSION = {float0} | SMALLER_THAN_A_BYTE | EXTENDED_FLOATS

_NUMERIC = _EXTENSION | {
    np.dtype(kind)
    for kind in (
        np.bool_, np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64,
        np.float16, np.float32, np.float64, np.complex64, np.complex128,
    )
}  # fmt: skip


def _not_numeric(dtype: np.dtype[Any]) -> FunctransTypeError:
    native = dtype.newbyteorder("=")
    if native in _NUMERIC:
        return FunctransTypeError(
            f"an array of dtype {dtype} has the byte order of another machine\nConvert it with "
            f".astype({native.name!r})."
        )
    fix = ""
    if dtype.kind in "fc":  # np.longdouble and its complex numbers
        fix = f"\nConvert it with .astype({'complex128' if dtype.kind == 'c' else 'float64'!r})."
    return FunctransTypeError(f"an array of dtype {dtype} is not numeric and cannot be traced or computed with{fix}")


def as_its_type(x: Any, type_: ArrayType) -> Any:
    """A NumPy value in the dtype of its type, so that nothing later sees the 64-bit data behind a 32-bit type.

    Integers wrap around, as in JAX; anything but NumPy values has its dtype already, or is a Python number.
    """
    if isinstance(x, np.ndarray):
        if type(x) is not np.ndarray:  # np.matrix and its like have operators of their own
            x = np.asarray(x)
        return x if x.dtype == type_.dtype else x.astype(type_.dtype)
    if isinstance(x, np.generic) and x.dtype != type_.dtype:
        return x.astype(type_.dtype)
    return x


def describe(x: Any) -> str:
    """A short description of a wrong argument: its class and, when short, its value."""
    text = repr(x)
    return f"{text if len(text) <= 60 else text[:57] + '...'} of type {type(x).__name__}"



def is_key_dtype(dtype: Any) -> bool:
    """Whether values of this dtype are random keys (``jax.random.key``)."""
    return not isinstance(dtype, np.dtype) and bool(issubdtype(dtype, jax_dtypes.prng_key))


class Typed:
    """What stands for an array and has its ``type``: shape, dtype and rank are those of the type."""

    __slots__ = ()
    type: ArrayType

    @property
    def shape(self) -> tuple[int, ...]:
        return self.type.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.type.dtype

    @property
    def ndim(self) -> int:
        return len(self.type.shape)


@functools.lru_cache(maxsize=256)
def is_differentiable(dtype: np.dtype[Any]) -> bool:
    """Whether values of this dtype have tangents other than float0."""
    return bool(issubdtype(dtype, np.inexact))


def tangent_type(type_: ArrayType) -> ArrayType:
    """(T a): the type of tangents of values of this type."""
    return type_ if is_differentiable(type_.dtype) else array_type(type_.shape, float0, False)


def kind_of(dtype: Any) -> str:
    """One of b, i, u, f, c, or k for random keys; bfloat16 and the 8-bit floats are f."""
    if not isinstance(dtype, np.dtype):
        return "k"
    kind: str = dtype.kind
    if kind != "V":
        return kind
    if is_differentiable(dtype):
        return "f"
    return "u" if dtype.name.startswith("u") else "i"


class _Promotable:
    """What ``jax.dtypes.result_type`` looks at to learn a dtype and its weakness."""

    __slots__ = ("aval", "dtype", "weak_type")

    def __init__(self, dtype: np.dtype[Any], weak_type: bool) -> None:
        self.dtype = dtype
        self.weak_type = weak_type
        self.aval = self


@functools.lru_cache(maxsize=4096)
def _promote(pairs: tuple[tuple[np.dtype[Any], bool], ...], context: Any) -> tuple[np.dtype[Any], bool]:
    try:
        dtype, weak = jax_dtypes.result_type(*(_Promotable(*p) for p in pairs), return_weak_type_flag=True)
    except jax_dtypes.TypePromotionError as error:
        names = ", ".join(short_dtype(dtype) for dtype, _ in pairs)
        raise FunctransTypeError(
            f"no common dtype for {names}: {str(error).splitlines()[0]} Convert one side with .astype(...)."
        ) from None
    return np.dtype(dtype), weak


def promote(*types: ArrayType) -> tuple[np.dtype[Any], bool]:
    """The common dtype and weak flag of these types, by JAX's promotion lattice.

    Weak types alone meet as their strong counterparts do, and the result is weak: a number of the 64-bit setting beside
    a weak value of the other one.
    """
    first = types[0]
    for other in types:
        if other.dtype != first.dtype or other.weak_type != first.weak_type:
            break
    else:
        return first.dtype, first.weak_type
    if not all(isinstance(t.dtype, np.dtype) for t in types):
        names = ", ".join(map(str, types))
        raise FunctransTypeError(f"random keys are no numbers and have no common dtype with others: {names}")
    context = (x64_enabled(), _X64.jax_numpy_dtype_promotion)  # type: ignore[attr-defined]
    if all(t.weak_type for t in types) and context[1] != "strict":
        return _promote(tuple((t.dtype, False) for t in types), context)[0], True
    return _promote(tuple((t.dtype, t.weak_type) for t in types), context)
