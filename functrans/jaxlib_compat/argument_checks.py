"""Checks of what a compiled program is called with, in words a user understands; the runtime itself checks nothing.

``executors`` calls these when a signature is new.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import jax
import numpy as np

from functrans.errors import EscapedTracerError, FunctransTypeError
from functrans.jaxlib_compat.versions import private

private({"jaxlib._jax": ("Client.devices",)})
_dtypes: Any = jax.dtypes  # public, but its stubs do not say so


class TypedArray(Protocol):
    """What this room needs to know of an array type."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def weak_type(self) -> bool: ...


PYTHON_NUMBERS: Final[Mapping[type, np.dtype[Any]]] = {kind: np.dtype(kind) for kind in (bool, int, float, complex)}


def _number_kind(value: Any) -> type | None:
    """bool, int, float or complex for a Python number, be it of a class of its own (as numbers are that JAX handed to
    a function with derivative rules).
    """
    kind = type(value)
    return kind if kind in PYTHON_NUMBERS else next((k for k in PYTHON_NUMBERS if isinstance(value, k)), None)


def host_array(value: Any, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """np.asarray(value, dtype), or TypeError where the kind of number would be narrowed."""
    if type(value) in PYTHON_NUMBERS:
        source = PYTHON_NUMBERS[type(value)]
    else:
        source = value.dtype if hasattr(value, "dtype") else np.asarray(value).dtype
    if source != dtype and not (_kind(source) <= _kind(dtype)):
        raise FunctransTypeError(f"{value!r} of dtype {source} cannot become {dtype}; convert it with .astype first")
    return np.asarray(value, dtype)


@functools.lru_cache(maxsize=256)
def _kind(dtype: np.dtype[Any]) -> int:
    """bool 0, integer 1, floating 2, complex 3; other kinds fit nowhere. NumPy itself takes bfloat16 for raw bytes."""
    for rank, kind in enumerate((np.bool_, np.integer, np.floating, np.complexfloating)):
        if _dtypes.issubdtype(dtype, kind):
            return rank
    return 9


def describe(array_type: Any) -> str:
    """'float32[3,4]' for anything with a dtype and a shape."""
    return f"{array_type.dtype}[{','.join(map(str, array_type.shape))}]"


def mismatch(found: str, expected: TypedArray, position: int, name: str) -> FunctransTypeError:
    """The error for an argument that is not what the program was compiled for."""
    return FunctransTypeError(
        f"argument {position} of {name} is {found}, and the program was compiled for {describe(expected)}; "
        f"pass an array of that dtype and shape (x.astype, x.reshape)"
    )


def host_argument(value: Any, expected: TypedArray, position: int, name: str) -> np.ndarray[Any, Any]:
    """A NumPy value or Python number as JAX would convert it for a parameter of this type, or TypeError."""
    if isinstance(value, np.ndarray | np.generic):
        if value.shape != expected.shape or expected.dtype not in (value.dtype, canonical_dtype(value)):
            raise mismatch(describe(value), expected, position, name)
        return np.asarray(value, expected.dtype)
    kind = _number_kind(value)
    if kind is None:
        if isinstance(value, jax.core.Tracer):
            raise EscapedTracerError(
                f"argument {position} of {name} is a value that JAX traced ({type(value).__name__}) and that is used "
                "outside of its trace, where nothing is traced. Return it from the function that JAX transforms, "
                "instead of storing it in a global, an attribute or a list."
            )
        dtype = getattr(value, "dtype", None)  # key arrays of jax.random have one
        found = f"of class {type(value).__name__}" + (f" and dtype {dtype}" if dtype else "")
        raise mismatch(found, expected, position, name)
    if expected.shape != () or _kind(PYTHON_NUMBERS[kind]) > _kind(expected.dtype):
        raise mismatch(f"the Python number {value!r}", expected, position, name)
    try:
        return np.asarray(kind(value), expected.dtype)
    except OverflowError as error:
        raise OverflowError(
            f"argument {position} of {name}, the Python number {value!r}, does not fit into {expected.dtype}"
        ) from error


def canonical_dtype(value: Any) -> np.dtype[Any] | None:
    """The dtype that JAX gives a host value under the present x64 setting."""
    kind = _number_kind(value)
    dtype = value.dtype if kind is None else PYTHON_NUMBERS[kind]
    try:
        return _dtypes.canonicalize_dtype(dtype)  # type: ignore[no-any-return]
    except TypeError:  # strings, objects: no array dtype
        return None


def argument_name(position: int, names: Sequence[str] | None) -> str:
    """What a message calls an argument."""
    return f"argument {position}" if names is None else f"argument {names[position]!r}"


def device_expression(device: Any) -> str:
    """The expression that yields a device."""
    return f"jax.devices({device.platform!r})[{device.client.devices().index(device)}]"
