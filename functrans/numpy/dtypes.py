"""Constants, scalar types, and questions about dtypes, under NumPy's names."""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np
from jax import dtypes as jax_dtypes

from functrans.ir.types import canonical_dtype, promote, type_of
from functrans.numpy.creation import asarray
from functrans.numpy.promotion import as_operand
from functrans.trace.tracer import Tracer

pi: float = math.pi
e: float = math.e
inf: float = math.inf
nan: float = math.nan
euler_gamma: float = float(np.euler_gamma)
newaxis = None

ndarray = jax.Array
dtype = np.dtype
generic, number, inexact, floating, complexfloating = np.generic, np.number, np.inexact, np.floating, np.complexfloating
integer, signedinteger, unsignedinteger = np.integer, np.signedinteger, np.unsignedinteger
finfo, iinfo = jax_dtypes.finfo, jax_dtypes.iinfo  # type: ignore[attr-defined]


class _ScalarType(type):
    """A dtype that is also a function: ``float32(x)`` makes an array; ``np.dtype(float32)`` works."""

    dtype: np.dtype[Any]

    def __call__(cls, x: Any = 0) -> Any:
        return asarray(x, cls.dtype)

    def __eq__(cls, other: object) -> bool:
        """Equal to whatever means this dtype: ``np.float32``, ``np.dtype("float32")``, "float32", jax.numpy's."""
        if cls is other or cls.dtype.type is other:
            return True
        own = getattr(other, "dtype", other) if isinstance(other, type) else other
        return isinstance(own, np.dtype | str) and cls.dtype == own

    def __hash__(cls) -> int:
        return hash(cls.dtype.type)

    def __repr__(cls) -> str:
        return f"functrans.numpy.{cls.__name__}"

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, cls.dtype.type)


def _scalar_type(name: str) -> Any:
    found = np.dtype(getattr(jax_dtypes, name, name))
    return _ScalarType(name, (), {"dtype": found, "__doc__": f"{name}: a dtype; called, it makes an array of it."})


bool_ = _scalar_type("bool_")
int8, int16, int32, int64 = (_scalar_type(f"int{n}") for n in (8, 16, 32, 64))
uint8, uint16, uint32, uint64 = (_scalar_type(f"uint{n}") for n in (8, 16, 32, 64))
float16, float32, float64 = (_scalar_type(f"float{n}") for n in (16, 32, 64))
bfloat16 = _scalar_type("bfloat16")
float8_e4m3fn, float8_e5m2 = _scalar_type("float8_e4m3fn"), _scalar_type("float8_e5m2")
complex64, complex128 = _scalar_type("complex64"), _scalar_type("complex128")
float8_e3m4, float8_e4m3, float8_e4m3b11fnuz, float8_e4m3fnuz, float8_e5m2fnuz, float8_e8m0fnu = (
    _scalar_type(f"float8_{kind}") for kind in ("e3m4", "e4m3", "e4m3b11fnuz", "e4m3fnuz", "e5m2fnuz", "e8m0fnu")
)
float4_e2m1fn, float6_e2m3fn, float6_e3m2fn = (_scalar_type(f"float{n}") for n in ("4_e2m1fn", "6_e2m3fn", "6_e3m2fn"))
int1, int2, int4 = (_scalar_type(f"int{n}") for n in (1, 2, 4))
uint1, uint2, uint4 = (_scalar_type(f"uint{n}") for n in (1, 2, 4))
ComplexWarning = np.exceptions.ComplexWarning
object_, character, flexible = np.object_, np.character, np.flexible
single, double, csingle, cdouble = float32, float64, complex64, complex128
int_, uint, float_, complex_ = int64, uint64, float64, complex128


def result_type(*args: Any) -> np.dtype[Any]:
    """The dtype that these arrays, numbers and dtypes are promoted to.

    >>> import functrans.numpy as fnp
    >>> fnp.result_type(fnp.int32, 1.0)
    dtype('float32')
    """
    types = []
    for x in args:
        if type(x) is Tracer or isinstance(x, np.ndarray | np.generic | jax.Array | int | float | complex):
            types.append(type_of(x))
        elif x in (bool, int, float, complex):
            types.append(type_of(x(0)))
        else:
            types.append(type_of(np.zeros((), canonical_dtype(x))))
    return promote(*types)[0]


def promote_types(a: Any, b: Any) -> np.dtype[Any]:
    """The dtype that values of two dtypes are promoted to."""
    return np.dtype(jax_dtypes.result_type(*[np.zeros((), np.dtype(x)) for x in (a, b)]))


def can_cast(from_: Any, to: Any, casting: str = "safe") -> bool:
    """Whether NumPy's rule ``casting`` allows the conversion."""
    given = from_ if isinstance(from_, type) else getattr(from_, "dtype", from_)
    return bool(np.can_cast(np.dtype(given), np.dtype(to), casting=casting))  # type: ignore[arg-type]


def issubdtype(arg1: Any, arg2: Any) -> bool:
    """Whether the first dtype is of the second kind, bfloat16 being floating."""
    first, second = (x.dtype if isinstance(x, _ScalarType) else x for x in (arg1, arg2))
    return bool(jax_dtypes.issubdtype(first, second))  # type: ignore[attr-defined]


_KINDS: dict[str, Any] = {
    "bool": np.bool_, "integral": np.integer, "signed integer": np.signedinteger,
    "unsigned integer": np.unsignedinteger, "real floating": np.floating, "complex floating": np.complexfloating,
    "numeric": np.number,
}  # fmt: skip


def isdtype(dtype: Any, kind: Any) -> bool:
    """Whether a dtype is of a kind of the array API: 'bool', 'integral', 'real floating', 'numeric' ..., or a dtype."""
    kinds = kind if isinstance(kind, tuple) else (kind,)
    own = np.dtype(dtype)
    return any(issubdtype(own, _KINDS[k]) if isinstance(k, str) and k in _KINDS else own == np.dtype(k) for k in kinds)


def isscalar(element: Any) -> bool:
    """Whether this is a number, or an array of rank 0."""
    if isinstance(element, Tracer | jax.Array | np.ndarray):
        return element.ndim == 0
    if hasattr(element, "__jax_array__"):
        return np.ndim(element.__jax_array__()) == 0
    return np.isscalar(element)


def iscomplexobj(x: Any) -> bool:
    """Whether the dtype is complex."""
    if x is None:
        return False
    x = asarray(x) if isinstance(x, list | tuple) else as_operand("iscomplexobj", x)
    return type_of(x).dtype.kind == "c"


def isrealobj(x: Any) -> bool:
    """Whether the dtype is not complex."""
    return not iscomplexobj(x)


def iterable(y: Any) -> bool:
    """Whether ``iter(y)`` works."""
    return bool(np.iterable(y))
