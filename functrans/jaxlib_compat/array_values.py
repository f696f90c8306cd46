"""JAX's arrays from outside: their classes and types, host values as arrays, the devices where they live."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from functrans.errors import FunctransRuntimeError, FunctransValueError
from functrans.jaxlib_compat.argument_checks import TypedArray, argument_name, describe, device_expression, host_array
from functrans.jaxlib_compat.configuration import Device, default_device
from functrans.jaxlib_compat.versions import private

_jax, _array_methods, _prng = private(
    {
        "jaxlib._jax": (
            "ArrayImpl._committed",
            "ArrayImpl._sharding",
            "ArrayImpl.is_deleted",
            "array_result_handler",
            "batched_device_put",
        ),
        "jax._src.numpy.array_methods": ("_IndexUpdateHelper", "_IndexUpdateRef", "_array_operators"),
        "jax._src.random.prng": ("PRNGKeyArray._base_array",),
    }
)

# --------------------------------------------------------------------------------------------------- classes

ArrayImpl: Any = _jax.ArrayImpl
KeyArray: Any = _prng.PRNGKeyArray
IndexUpdateHelper: Any = _array_methods._IndexUpdateHelper
IndexUpdateRef: Any = _array_methods._IndexUpdateRef
array_operators: Mapping[str, Callable[..., Any]] = _array_methods._array_operators


# ------------------------------------------------------------------------------------------------- values and types


@functools.lru_cache(maxsize=8192)
def _abstract(shape: tuple[int, ...], dtype: np.dtype[Any], weak_type: bool) -> Any:
    return jax.core.ShapedArray(shape, dtype, weak_type=weak_type)


def abstract_value(array_type: TypedArray) -> Any:
    """The ``jax.core.ShapedArray`` of a type, one object for equal types."""
    return _abstract(array_type.shape, array_type.dtype, array_type.weak_type)


class _Stored(NamedTuple):
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    weak_type: bool


def stored_type(array_type: TypedArray) -> TypedArray:
    """The type that a program has in the place of another: bool for float0, which holds no information."""
    if array_type.dtype != jax.dtypes.float0:
        return array_type
    return _Stored(array_type.shape, np.dtype(np.bool_), False)


@functools.lru_cache(maxsize=1024)
def single_device_sharding(device: Device) -> jax.sharding.SingleDeviceSharding:
    """The sharding of an array that lives on one device, one object for each device."""
    return jax.sharding.SingleDeviceSharding(device)


def array_result(array_type: TypedArray, device: Device, committed: bool = False) -> Any:
    """The handler that turns an executable's output buffer into a ``jax.Array`` of this type."""
    arguments = (abstract_value(array_type), single_device_sharding(device), committed)
    try:
        return _jax.array_result_handler(*arguments, _skip_checks=True)
    except TypeError:  # jaxlib 0.11 and later
        return _jax.array_result_handler(*arguments)


def put(value: Any, array_type: TypedArray, device: Device, *, committed: bool = False, copy: bool = True) -> jax.Array:
    """A host value as an array of exactly this type on this device, 64-bit types kept whatever ``jax_enable_x64`` says.

    ``copy=False`` may share memory with a NumPy array that nobody will write to. Raises TypeError where the conversion
    would lose more than precision (3.7 to an integer), ValueError for a wrong shape.
    """
    if array_type.dtype == jax.dtypes.float0:
        value, array_type = np.zeros(np.shape(value), np.bool_), stored_type(array_type)
    array = host_array(value, array_type.dtype)
    if array.shape != array_type.shape:
        raise FunctransValueError(f"a value of shape {array.shape} cannot become {describe(array_type)}")
    return _jax.batched_device_put(  # type: ignore[no-any-return]
        abstract_value(array_type),
        single_device_sharding(device),
        [array],
        [device],
        committed,
        copy and (array is value or array.base is not None),  # a view, as of an array of another class
        enable_x64=True,
    )


# ------------------------------------------------------------------------------------------------ where arrays live


def placement(arrays: Iterable[Any], names: Sequence[str] | None = None) -> Device:
    """The one device on which committed arrays live; the default device where none is committed.

    Host values and uncommitted arrays go anywhere. Raises ValueError that names the argument for an array that is
    spread over several devices, and for arrays committed to different ones.
    """
    found: Device = None
    found_at = 0
    known: Any = None
    for position, array in enumerate(arrays):
        if type(array) is KeyArray:
            array = array._base_array
        if type(array) is ArrayImpl and array._committed:
            sharding = array._sharding
            if sharding is known:  # nearly always: results share the sharding object of their program
                continue
            device = device_of(array, position, names)
            if found is None:
                found, found_at = device, position
            elif device != found:
                raise FunctransValueError(
                    f"{argument_name(found_at, names)} is committed to {found} and "
                    f"{argument_name(position, names)} to {device}; "
                    f"move one of them: jax.device_put(x, {device_expression(found)})"
                )
            known = sharding
    return default_device() if found is None else found


def is_spread(array: Any) -> bool:
    """Whether it lives on several devices."""
    return len(array.sharding.device_set) > 1


class SpreadError(FunctransValueError):
    """An array that is spread over several devices was given to a program for one."""


def device_of(array: Any, position: int, names: Sequence[str] | None) -> Device:
    """The device of an array that lives on one, or ValueError."""
    devices = array._sharding.device_set
    if is_spread(array):
        raise SpreadError(
            f"{argument_name(position, names)}, {describe(array)}, is spread over {len(devices)} devices "
            f"({array._sharding}), and this program runs on one; gather it first: "
            f"jax.device_put(x, {device_expression(default_device())})"
        )
    return next(iter(devices))


def deleted_argument_error(arguments: Sequence[Any], names: Sequence[str] | None = None) -> RuntimeError | None:
    """The error that names the first deleted (donated) array among the arguments, if there is one.

    The C++ fast path reports a donated array only as 'Buffer has been deleted or donated'; who catches that ValueError
    asks here.
    """
    for position, array in enumerate(arguments):
        if type(array) is ArrayImpl and array.is_deleted():
            return deleted_error(argument_name(position, names), array)
    return None


def deleted_error(argument: str, array: Any) -> RuntimeError:
    return FunctransRuntimeError(
        f"{argument}, {describe(array)}, has been deleted: it was donated to an earlier call (donate_argnums) or its "
        ".delete() was called; keep the result of that call, or do not donate it"
    )
