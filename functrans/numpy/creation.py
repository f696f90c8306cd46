"""Making arrays: from Python and NumPy data, filled, of like type.

Without a ``dtype``, numbers get JAX's default dtypes; a single Python number stays weak (it adapts to what it meets).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from functrans import lax
from functrans.errors import FunctransOverflowError, FunctransTypeError, FunctransValueError
from functrans.ir.snapshots import snapshot
from functrans.ir.types import (
    array_type,
    canonical_dtype,
    describe,
    float0,
    is_key_dtype,
    promote,
    scalar_type,
    type_of,
    warn_narrowing,
)
from functrans.jaxlib_compat.tracing import copied
from functrans.numpy.promotion import (
    BOOL,
    INTEGERS,
    Array,
    ArrayLike,
    as_array,
    as_operand,
    broadcast,
    is_scalar,
    requested_dtype,
    scalar_of_kind,
    shape_argument,
    to_dtype,
)
from functrans.ops.key_implementations import implementation_of
from functrans.ops.keys import RandomWrap, words_of
from functrans.ops.structural import warn_of_parts
from functrans.trace.binding import bind
from functrans.trace.keywords import refuse, takes
from functrans.trace.tracer import Tracer

_WIDE_DATA = (np.dtype(np.float64), np.dtype(np.complex128))


def array(
    object: Any, dtype: Any = None, copy: bool = True, order: str | None = "K", ndmin: int = 0, *, device: Any = None,
    out_sharding: Any = None,
) -> Array:  # fmt: skip
    """An array of the numbers in ``object``: a number, array, traced value, or nested lists of them.

    Raises ValueError for ragged lists and TypeError for what is not numeric.

    >>> import functrans.numpy as fnp
    >>> fnp.array([1, 2, 3])
    Array([1, 2, 3], dtype=int32)
    """
    if out_sharding is not None:
        refuse("array", out_sharding=out_sharding)
    if order not in (None, "K", "C"):
        raise NotImplementedError(
            f"array: order={order!r} is not supported, because arrays have no memory order; use 'K'"
        )
    to = None if dtype is None else requested_dtype("array", dtype)
    result = _from_object(object, to)
    if to is not None:
        warn_of_parts(result.dtype, to)
        result = to_dtype(result, to)
    missing = ndmin - result.ndim
    if missing > 0:
        result = lax.reshape(result, (*(1,) * missing, *result.shape))
    if isinstance(result, np.ndarray | np.generic):
        made_here = isinstance(object, list | tuple)
        return jax.device_put(result if made_here else snapshot(np.asarray(result)), device)
    return _placed(copied(result) if copy and result is object else result, device)


def asarray(
    a: Any, dtype: Any = None, order: str | None = None, *, copy: bool | None = None, device: Any = None,
    out_sharding: Any = None,
) -> Array:  # fmt: skip
    """``a`` as an array; arrays and traced values are returned as they are, or with ``copy=True`` a copy.

    >>> import functrans.numpy as fnp
    >>> fnp.asarray([1.5, 2])
    Array([1.5, 2. ], dtype=float32)
    """
    if out_sharding is not None:
        refuse("asarray", out_sharding=out_sharding)
    if dtype is None and device is None and not copy and (type(a) is Tracer or isinstance(a, jax.Array)):
        return a
    return array(a, dtype, copy=bool(copy), order=order, device=device)


def _from_object(x: Any, dtype: np.dtype[Any] | None) -> Any:
    """An array, not yet of the wanted dtype; NumPy arrays stay NumPy arrays."""
    if type(x) is Tracer or isinstance(x, jax.Array):
        return x
    if isinstance(x, np.ndarray | np.generic):
        if (
            x.dtype in _WIDE_DATA
            and isinstance(x, np.ndarray)
            and dtype is None
            and canonical_dtype(x.dtype) != x.dtype
        ):
            warn_narrowing(x.dtype, lambda: "a NumPy array")
        if dtype is not None and x.dtype != dtype:
            warn_of_parts(x.dtype, dtype)
            return to_dtype(np.asarray(x), dtype)
        return as_array("array", x)
    if isinstance(x, int | float | complex):
        if type(x) is int and dtype is not None and dtype in INTEGERS and scalar_of_kind(x, dtype) != x:
            raise FunctransOverflowError(f"the Python integer {x} does not fit into {dtype.name}")
        return jax.device_put(x) if dtype is None else to_dtype(x, dtype)
    if isinstance(x, list | tuple):
        return _from_sequence(x, dtype)
    if hasattr(x, "__jax_array__"):
        return x.__jax_array__()
    if hasattr(x, "__array__"):
        return _from_object(np.asarray(x), dtype)
    try:
        buffer = memoryview(x)
    except TypeError:
        pass
    else:
        return _from_object(np.asarray(buffer), dtype)
    raise FunctransTypeError(f"array: numbers or nested lists of numbers are needed, got {describe(x)}")


def _from_sequence(x: Any, dtype: np.dtype[Any] | None) -> Any:
    kinds: dict[Any, Any] = {}
    concrete = _collect_leaf_types(x, kinds)
    if dtype is None:
        dtype = promote(*kinds.values())[0] if kinds else scalar_type(float).dtype
    if not concrete:
        return _stack(x, dtype)
    try:
        return np.array(x, dtype)
    except ValueError as error:
        raise FunctransValueError(
            f"array: nested lists of unequal lengths do not make an array ({error}); pad them to one length"
        ) from None


def _collect_leaf_types(x: Any, kinds: dict[Any, Any]) -> bool:
    """Gather the types of the numbers in nested lists; whether they all are Python or NumPy numbers."""
    concrete = True
    for item in x:
        if isinstance(item, list | tuple):
            concrete = _collect_leaf_types(item, kinds) and concrete
        elif type(item) in (int, float, bool, complex):
            kinds[type(item)] = type_of(item)
        else:
            item = as_operand("array", item)
            found = type_of(item)
            kinds[(found.dtype, found.weak_type)] = array_type((), found.dtype, found.weak_type)
            concrete = concrete and isinstance(item, np.ndarray | np.generic | int | float | complex)
    return concrete


def _stack(x: Any, dtype: np.dtype[Any]) -> Any:
    """Nested lists with traced values or arrays in them: one concatenate a level."""
    if not isinstance(x, list | tuple):
        return to_dtype(as_operand("array", x), dtype)
    parts = [_stack(item, dtype) for item in x]
    if not parts:
        return np.zeros((0,), dtype)
    shapes = dict.fromkeys(tuple(part.shape) for part in parts)
    if len(shapes) > 1:
        raise FunctransValueError(
            f"array: the items of a list have different shapes ({', '.join(map(str, shapes))}), which makes no array; "
            "pad or broadcast them to one shape"
        )
    return stack_parts(parts)


def stack_parts(parts: list[Any]) -> Any:
    """Arrays of one shape and dtype along a new leading axis."""
    rows = [lax.reshape(part, (1, *part.shape)) for part in parts]
    return rows[0] if len(rows) == 1 else lax.concatenate(rows, 0)


# -- filled --------------------------------------------------------------------------------------------------------


def _placed(x: Array, device: Any) -> Array:
    return x if device is None or type(x) is Tracer else jax.device_put(x, device)


def _filled(operation: str, shape: Any, value: Any, dtype: Any, device: Any) -> Array:
    to = scalar_type(float).dtype if dtype is None else requested_dtype(operation, dtype)
    sizes = shape_argument(operation, shape)
    _check_sizes(operation, sizes)
    return _placed(_broadcast_value(operation, value, sizes, to), device)


def _check_sizes(operation: str, shape: tuple[int, ...]) -> None:
    if any(n < 0 for n in shape):
        raise FunctransValueError(f"{operation}: sizes of a shape cannot be negative, got {shape}")


@takes(out_sharding=None)
def zeros(shape: Any, dtype: Any = None, *, device: Any = None) -> Array:
    """An array of zeros (float32 by default; float64 with x64 on).

    >>> import functrans.numpy as fnp
    >>> fnp.zeros(2)
    Array([0., 0.], dtype=float32)
    """
    return _filled("zeros", shape, 0, dtype, device)


@takes(out_sharding=None)
def ones(shape: Any, dtype: Any = None, *, device: Any = None) -> Array:
    """An array of ones (float32 by default; float64 with x64 on).

    >>> import functrans.numpy as fnp
    >>> fnp.ones((1, 2))
    Array([[1., 1.]], dtype=float32)
    """
    return _filled("ones", shape, 1, dtype, device)


@takes(out_sharding=None)
def empty(shape: Any, dtype: Any = None, *, device: Any = None) -> Array:
    """An array of zeros: there is no uninitialised memory."""
    return _filled("empty", shape, 0, dtype, device)


@takes(out_sharding=None)
def full(shape: Any, fill_value: ArrayLike, dtype: Any = None, *, device: Any = None) -> Array:
    """An array filled with ``fill_value``, a scalar or an array that broadcasts to ``shape``.

    >>> import functrans.numpy as fnp
    >>> fnp.full(2, 7)
    Array([7, 7], dtype=int32, weak_type=True)
    """
    sizes = shape_argument("full", shape)
    _check_sizes("full", sizes)
    fill_value = as_operand("full", fill_value)
    to = None if dtype is None else requested_dtype("full", dtype)
    return _placed(_broadcast_value("full", fill_value, sizes, to), device)


def _broadcast_value(operation: str, value: Any, shape: tuple[int, ...], dtype: np.dtype[Any] | None) -> Array:
    if dtype == float0:
        return np.zeros(shape, float0)
    if dtype is not None and is_key_dtype(dtype) and is_scalar(value):
        words = lax.full((*shape, words_of(dtype)), value, np.uint32)
        return bind(RandomWrap(implementation_of(dtype).name), words)
    if is_scalar(value):
        if isinstance(value, np.generic):
            dtype = canonical_dtype(value.dtype) if dtype is None else dtype
            value = scalar_of_kind(value, dtype)
        return lax.full(shape, value, dtype)
    if dtype is not None:
        warn_of_parts(value.dtype, dtype)
        value = to_dtype(value, dtype)
    value = as_array(operation, value)
    if len(value.shape) > len(shape) or any(
        n not in (1, m) for n, m in zip(value.shape[::-1], shape[::-1], strict=False)
    ):
        raise FunctransValueError(f"{operation}: a fill value of shape {value.shape} does not broadcast to {shape}")
    return asarray(broadcast(value, shape))


def _like(operation: str, a: Any, value: Any, dtype: Any, shape: Any, device: Any) -> Array:
    if not hasattr(a, "shape") or not hasattr(a, "dtype"):  # ShapeDtypeStruct and the like need no values
        a = as_array(operation, a)
    own = type_of(a) if type(a) is Tracer or isinstance(a, np.ndarray | np.generic | jax.Array) else a
    sizes = tuple(own.shape) if shape is None else shape_argument(operation, shape)
    _check_sizes(operation, sizes)
    to = canonical_dtype(own.dtype) if dtype is None else requested_dtype(operation, dtype)
    result = _broadcast_value(operation, value, sizes, to)
    if dtype is None and getattr(own, "weak_type", False) and not np.ndim(value):
        result = to_dtype(result, to, True)
    return _placed(result, device)


@takes(out_sharding=None)
def zeros_like(a: Any, dtype: Any = None, shape: Any = None, *, device: Any = None) -> Array:
    """Zeros of the shape and dtype of ``a``."""
    return _like("zeros_like", a, 0, dtype, shape, device)


@takes(out_sharding=None)
def ones_like(a: Any, dtype: Any = None, shape: Any = None, *, device: Any = None) -> Array:
    """Ones of the shape and dtype of ``a``."""
    return _like("ones_like", a, 1, dtype, shape, device)


def empty_like(prototype: Any, dtype: Any = None, shape: Any = None, *, device: Any = None) -> Array:
    """Zeros of the shape and dtype of ``prototype``: there is no uninitialised memory."""
    return _like("empty_like", prototype, 0, dtype, shape, device)


@takes(out_sharding=None)
def full_like(a: Any, fill_value: ArrayLike, dtype: Any = None, shape: Any = None, *, device: Any = None) -> Array:
    """``fill_value`` in the shape and dtype of ``a``."""
    return _like("full_like", a, as_operand("full_like", fill_value), dtype, shape, device)


def copy(a: ArrayLike, order: str | None = None) -> Array:
    """``a`` as an array of its own, which stays whole where ``a`` is donated. A traced value is returned as it is."""
    return array(a, copy=True, order=order or "K")


def astype(x: ArrayLike, dtype: Any, /, *, copy: bool = False, device: Any = None) -> Array:
    """``x`` in another dtype; None means the default float.

    >>> import functrans.numpy as fnp
    >>> fnp.astype(fnp.array([1.5, 2.5]), int)
    Array([1, 2], dtype=int32)
    """
    x = own = asarray(as_operand("astype", x))
    to = scalar_type(float).dtype if dtype is None else requested_dtype("astype", dtype)
    if x.dtype.kind == "c" and to.kind != "c" and to != BOOL:
        x = lax.real(x)
    result = to_dtype(x, to)
    return _placed(copied(result) if copy and result is own else result, device)


def fromfunction(function: Callable[..., Any], shape: Any, *, dtype: Any = float, **kwargs: Any) -> Array:
    """``function`` of the index arrays of ``shape`` (one array an axis, as in NumPy), broadcast to ``shape``."""
    from_shape = shape_argument("fromfunction", shape)
    result = function(*indices(from_shape, dtype), **kwargs)
    return jax.tree_util.tree_map(lambda leaf: _broadcast_value("fromfunction", leaf, from_shape, None), result)


def indices(dimensions: Any, dtype: Any = None, sparse: bool = False) -> Any:
    """Index arrays of a grid: [rank, *dimensions], or with ``sparse`` a tuple of open arrays.

    >>> import functrans.numpy as fnp
    >>> fnp.indices((2, 2))[0]
    Array([[0, 0],
           [1, 1]], dtype=int32)
    """
    shape = shape_argument("indices", dimensions)
    to = scalar_type(int).dtype if dtype is None else requested_dtype("indices", dtype)
    if sparse:
        parts = [
            lax.reshape(lax.iota(to, n), (*(1,) * i, n, *(1,) * (len(shape) - 1 - i))) for i, n in enumerate(shape)
        ]
        return tuple(parts)
    if not shape:
        return lax.full((0,), 0, to)
    return stack_parts([lax.broadcasted_iota(to, shape, i) for i in range(len(shape))])
