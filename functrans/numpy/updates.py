"""``x.at[key].set(v)`` and its kin: new arrays that differ from x at some places.

Static windows become a dynamic_update_slice; everything else a scatter. What is out of bounds is dropped, unless a mode
says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from functrans import lax
from functrans.errors import FunctransTypeError, FunctransValueError, warn
from functrans.ir.types import array_type, is_differentiable, promote, short_dtype, type_of
from functrans.jaxlib_compat.tracing import JaxTracer
from functrans.lax.indexing import apply_counted
from functrans.numpy import arithmetic
from functrans.numpy.creation import asarray, ones_like
from functrans.numpy.indexing import Key, make_plan, mode_name, parse, read
from functrans.numpy.promotion import (
    Array,
    ArrayLike,
    as_operand,
    broadcast,
    common_shape,
    is_scalar,
    operand_type,
    scalar_of_kind,
    to_dtype,
)
from functrans.trace.keywords import refuse

_STRATEGIES = ("auto", "gather", "static_slice", "dynamic_slice")


class IndexUpdateHelper:
    """What ``x.at`` gives: index it, and call a method of the result."""

    __slots__ = ("array",)

    def __init__(self, array: Array) -> None:
        self.array = array

    def __getitem__(self, key: Any) -> IndexUpdate:
        return IndexUpdate(self.array, key)

    def __repr__(self) -> str:
        return f"IndexUpdateHelper({self.array!r})"


class IndexUpdate:
    """Places of an array. Each method returns a new array; ``mode`` is 'drop' (default), 'clip' or 'promise_in_bounds'.

    >>> import functrans.numpy as fnp
    >>> from functrans.numpy.updates import IndexUpdateHelper
    >>> IndexUpdateHelper(fnp.zeros(3))[1].set(5.0)
    Array([0., 5., 0.], dtype=float32)
    """

    __slots__ = ("array", "key")

    def __init__(self, array: Array, key: Any) -> None:
        self.array = array
        self.key = key

    def __repr__(self) -> str:
        return f"IndexUpdate({self.array!r}, {self.key!r})"

    def get(
        self, *, indices_are_sorted: bool = False, unique_indices: bool = False, mode: Any = None,
        fill_value: Any = None, out_sharding: None = None, wrap_negative_indices: bool = True, strategy: Any = "auto",
    ) -> Array:  # fmt: skip
        """The elements there; mode='fill' gives NaN (or ``fill_value``) for what is out of bounds.

        ``strategy`` (from jax 0.12 on) tells JAX how to index; the elements are the same.
        """
        refuse("x.at[...].get", out_sharding=out_sharding)
        if getattr(strategy, "value", strategy) not in _STRATEGIES:  # a string, or a member of JAX's enumeration
            raise FunctransValueError(f"x.at[...].get: strategy={strategy!r} is none of {', '.join(_STRATEGIES)}")
        return read(
            self.array, self.key, mode=mode, fill_value=fill_value, unique_indices=unique_indices,
            indices_are_sorted=indices_are_sorted, wrap_negative_indices=wrap_negative_indices,
        )  # fmt: skip

    def set(self, values: ArrayLike, **options: Any) -> Array:
        """x with these values there. Of values for one place, any may win."""
        return _update("set", self.array, self.key, values, **options)

    def add(self, values: ArrayLike, **options: Any) -> Array:
        """x with the values added there, repeatedly where a place is named repeatedly."""
        return _update("add", self.array, self.key, values, **options)

    def subtract(self, values: ArrayLike, **options: Any) -> Array:
        """x with the values subtracted there, repeatedly where a place is named repeatedly."""
        return _update("add", self.array, self.key, arithmetic.negative(asarray(values)), **options)

    sub = subtract

    def multiply(self, values: ArrayLike, **options: Any) -> Array:
        """x multiplied there by the values, repeatedly where a place is named repeatedly."""
        return _update("multiply", self.array, self.key, values, **options)

    mul = multiply

    def divide(self, values: ArrayLike, **options: Any) -> Array:
        """x divided there by the values, by their product where a place is named repeatedly."""
        return _update("divide", self.array, self.key, values, **options)

    def power(self, values: ArrayLike, **options: Any) -> Array:
        """x raised there to the values, to their product where a place is named repeatedly."""
        return _update("power", self.array, self.key, values, **options)

    def min(self, values: ArrayLike, **options: Any) -> Array:
        """The smaller of x and the values there."""
        return _update("min", self.array, self.key, values, **options)

    def max(self, values: ArrayLike, **options: Any) -> Array:
        """The larger of x and the values there."""
        return _update("max", self.array, self.key, values, **options)

    def apply(self, func: Callable[[Array], Array], **options: Any) -> Array:
        """x with ``func`` (an elementwise function) applied there, repeatedly where a place is named repeatedly."""
        return _update("apply", self.array, self.key, func, **options)


_COMBINE: dict[str, Callable[[Any, Any], Any]] = {
    "add": arithmetic.add,
    "multiply": arithmetic.multiply,
    "divide": arithmetic.divide,
    "power": arithmetic.power,
    "min": arithmetic.minimum,
    "max": arithmetic.maximum,
    "apply": lambda old, function: function(old),
}
_SCATTERS = {"add": "scatter_add", "multiply": "scatter_mul", "min": "scatter_min", "max": "scatter_max"}


def _update(
    operation: str, x: Array, key: Any, values: Any, *, indices_are_sorted: bool = False, unique_indices: bool = False,
    mode: Any = None, out_sharding: None = None, wrap_negative_indices: bool = True,
) -> Array:  # fmt: skip
    name = f"x.at[...].{operation}"
    refuse(name, out_sharding=out_sharding)
    mode = mode_name(mode)
    mode = "drop" if mode in (None, "fill") else mode
    x = asarray(x)
    own = type_of(x)  # what the result is, whatever the values are
    how: dict[str, Any] = {
        "mode": mode,
        "indices_are_sorted": indices_are_sorted,
        "wrap_negative_indices": wrap_negative_indices,
    }
    common = own.dtype
    if operation != "apply":
        common, values = _checked_values(name, x, values)
    alone = operation != "set" and _is_distinct(x, key, unique_indices, mode)
    if operation in ("divide", "power") and not (alone and common == own.dtype and is_differentiable(common)):
        # The values of one place are multiplied first, in the dtype of x; integers may become floating.
        return _COMBINE[operation](x, _update("multiply", ones_like(x), key, values, **how))
    if operation == "apply" and not alone:  # as often as a place is named
        counts = _update("add", lax.full(own.shape, 0, np.int32), key, 1, **how)
        return to_dtype(apply_counted(x, values, counts), own.dtype, own.weak_type)
    if operation == "set":
        common = own.dtype
    if operation != "apply":
        values = scalar_of_kind(values, common) if is_scalar(values) else to_dtype(values, common)
    x = to_dtype(x, common)
    if alone and (operation != "add" or _is_static_window(x, key)):
        old = read(x, key, mode="clip", unique_indices=True, wrap_negative_indices=wrap_negative_indices)
        if operation != "apply" and not is_scalar(values):
            values = broadcast_into(name, values, tuple(old.shape), common)
        values = _COMBINE[operation](old, values)
        values = to_dtype(broadcast_into(name, values, tuple(old.shape), common), common)
        operation, unique_indices = "set", True
    parsed, shape = parse(tuple(x.shape), key)
    updated = _write_window(name, x, parsed, values) if operation == "set" and shape == tuple(x.shape) else None
    if updated is None:
        scatter = lax.scatter if operation == "set" else getattr(lax, _SCATTERS[operation])
        updated = _write_scatter(
            name, scatter, x, parsed, shape, values, indices_are_sorted, unique_indices, mode, wrap_negative_indices
        )
    return to_dtype(updated, own.dtype, own.weak_type)


def _checked_values(name: str, x: Any, values: Any) -> tuple[np.dtype[Any], Any]:
    """The dtype in which x meets the values, and these. Where it is not that of x, the result is cut: a warning."""
    values = asarray(values) if isinstance(values, list | tuple) else as_operand(name, values)
    found = operand_type(name, values)
    common, _ = promote(array_type((), found.dtype, found.weak_type), array_type((), x.dtype, type_of(x).weak_type))
    if common != x.dtype:
        warn(
            f"{name}: values of dtype {short_dtype(found.dtype)} do not fit an array of dtype {short_dtype(x.dtype)}, "
            "and the result is cut to it; convert the array or the values with .astype(...)",
            FutureWarning,
        )
        if isinstance(values, complex):
            values = np.complex128(values)  # Python's, which nothing cuts, as NumPy's
    return common, values


def broadcast_into(name: str, values: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """Values repeated to the shape of the places; ValueError where that is impossible."""
    if is_scalar(values):
        return lax.full(shape, values, dtype)
    own = tuple(values.shape)
    if own == shape:
        return values
    while len(own) > len(shape) and own[0] == 1:
        own = own[1:]
    if own != tuple(values.shape):
        values = lax.reshape(values, own)
    if len(own) > len(shape) or common_shape(name, own, shape) != shape:
        raise FunctransTypeError(f"{name}: values of shape {own} do not broadcast to the places, of shape {shape}")
    return broadcast(values, shape)


def _is_static_window(x: Any, key: Any) -> bool:
    """Whether the key names a box of x known now: static integers in bounds and slices of step 1."""
    parsed, shape = parse(tuple(x.shape), key)
    return shape == tuple(x.shape) and _window(parsed) is not None


def _window(key: Key) -> tuple[list[int], tuple[int, ...], tuple[int, ...]] | None:
    """Start and size of the box on each axis, and the shape of the result; None if the key is no static box."""
    starts: list[int] = []
    sizes: list[int] = []
    shape: list[int] = []
    axis = 0
    for e in key.entries:
        if e is None:
            shape.append(1)
            continue
        n = key.shape[axis]
        if type(e) is int:
            if not -n <= e < n:
                return None
            starts.append(e % n)
            sizes.append(1)
        elif type(e) is slice:
            start, stop, step = e.indices(n)
            if step != 1:
                return None
            starts.append(start)
            sizes.append(max(0, stop - start))
            shape.append(sizes[-1])
        else:
            return None
        axis += 1
    return starts, tuple(sizes), tuple(shape)


def _write_window(name: str, x: Any, key: Key, values: Any) -> Any:
    window = _window(key)
    if window is None:
        return None
    starts, sizes, shape = window
    if 0 in sizes:
        return x
    values = broadcast_into(name, values, sizes if is_scalar(values) else shape, x.dtype)
    if sizes == tuple(x.shape):
        return asarray(lax.reshape(values, sizes) if tuple(values.shape) != sizes else values)
    if tuple(values.shape) != sizes:
        values = lax.reshape(values, sizes)
    index = np.dtype(np.int32) if max(x.shape) <= np.iinfo(np.int32).max else np.dtype(np.int64)
    return lax.dynamic_update_slice(x, values, [index.type(s) for s in starts])


def _write_scatter(
    name: str, scatter: Any, x: Any, key: Key, shape: tuple[int, ...], values: Any, indices_are_sorted: bool,
    unique_indices: bool, mode: Any, wrap: bool,
) -> Any:  # fmt: skip
    plan = make_plan(key, wrap)
    if 0 in plan.shape:
        return x
    values = broadcast_into(name, values, plan.compact if is_scalar(values) else plan.shape, x.dtype)
    own = tuple(x.shape)
    if shape != own:
        x = lax.reshape(x, shape)
    if tuple(values.shape) != plan.compact:
        values = lax.reshape(values, plan.compact)
    if plan.indices is None:  # every element: one empty index
        indices: Any = np.zeros((0,), np.int32)
    else:
        indices = asarray(plan.indices)
    dimension_numbers = lax.ScatterDimensionNumbers(
        update_window_dims=plan.window_dims,
        inserted_window_dims=plan.collapsed,
        scatter_dims_to_operand_dims=plan.index_map,
    )
    result = scatter(
        x, indices, values, dimension_numbers, indices_are_sorted=indices_are_sorted,
        unique_indices=unique_indices or plan.unique, mode=mode,
    )  # fmt: skip
    return lax.reshape(result, own) if shape != own else result


def _is_distinct(x: Any, key: Any, unique_indices: bool, mode: Any) -> bool:
    """Whether no place is named twice: the caller says so, there are no index arrays, or their values show it."""
    if unique_indices:
        return True
    parsed, _ = parse(tuple(x.shape), key)
    arrays = [e for e in parsed.entries if e is not None and type(e) is not slice and type(e) is not int]
    if all(not a.ndim for a in arrays):
        return True
    if any(isinstance(a, JaxTracer) for a in arrays):  # ours, or one of JAX that traces inside of our trace
        return False
    sizes = iter(parsed.shape)
    columns = []
    for e in parsed.entries:
        n = 0 if e is None else next(sizes)
        if isinstance(e, np.ndarray | jax.Array):
            at = np.asarray(e).astype(np.int64)
            at = np.where(at < 0, at + n, at)
            columns.append(at if mode == "drop" else np.clip(at, 0, n - 1))  # clipped positions may coincide
    rows = np.stack([c.reshape(-1) for c in np.broadcast_arrays(*columns)])
    return bool(np.unique(rows, axis=1).shape[1] == rows.shape[1])


__all__ = ["IndexUpdate", "IndexUpdateHelper"]
