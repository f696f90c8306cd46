"""``x[key]`` for every key that NumPy takes: parsing keys, and reading elements.

A key is parsed once to a ``Key``: what each axis of the array and of the result does. Static slices and integers then
become slice, rev and reshape; traced integers a dynamic_slice; index arrays one gather. Positions out of bounds are
clamped to the nearest element (JAX's default) unless a mode says otherwise; slices are cut as in NumPy.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from functrans import lax
from functrans.errors import (
    ConcretizationError,
    FunctransIndexError,
    FunctransTypeError,
    NonConcreteBooleanIndexError,
)
from functrans.ir.types import describe, refuse_mask
from functrans.jaxlib_compat.configuration import checks_indices
from functrans.jaxlib_compat.tracing import JaxTracer
from functrans.numpy.creation import asarray
from functrans.numpy.promotion import BOOL, INTEGERS, UNSIGNED, Array, common_shape, to_dtype
from functrans.trace.tracer import Tracer

_INT32, _INT64 = np.dtype(np.int32), np.dtype(np.int64)
_STATIC_MODES = (None, "promise_in_bounds", "clip")


def mode_name(mode: Any) -> str | None:
    """A gather or scatter mode, given as a string or a GatherScatterMode, as its string."""
    if mode is None or isinstance(mode, str):
        name = mode
    else:
        name = getattr(mode, "name", str(mode)).lower()
        name = {"fill_or_drop": "fill"}.get(name, name)
    if name not in (None, "fill", "drop", "clip", "promise_in_bounds"):
        raise ValueError(f"mode must be 'promise_in_bounds', 'clip', 'fill' or 'drop', got {mode!r}")
    return name


@dataclass(slots=True)
class Key:
    """A parsed index.

    ``entries`` has one item an axis of the array, plus one None per new axis: a slice, a static int, or an index array
    (NumPy, traced, or concrete; rank 0 included). ``group`` is the position, among the axes of the result, of the axes
    that index arrays make; -1 without index arrays of rank above 0.
    """

    shape: tuple[int, ...]
    entries: list[Any] = field(default_factory=list)
    group: int = -1

    @property
    def is_static(self) -> bool:
        """Whether only slices, new axes and static integers occur."""
        return all(e is None or type(e) is slice or type(e) is int for e in self.entries)

    @property
    def is_window(self) -> bool:
        """Whether one traced or static position an axis, and slices of step 1, say it all."""
        return self.group < 0 and all(type(e) is not slice or e.step in (None, 1) for e in self.entries)


def parse(shape: tuple[int, ...], key: Any) -> tuple[Key, tuple[int, ...]]:
    """The parsed index, and the shape with the axes of size 1 that scalar bools add (usually ``shape`` itself).

    Raises IndexError and TypeError, naming the key, for what cannot index an array of this shape.
    """
    items = key if isinstance(key, tuple) else (key,)
    if isinstance(key, list):
        raise FunctransTypeError(
            f"an array cannot be indexed by the list {describe(key)}: use x[tuple(key)] for one index an axis, or "
            "x[functrans.numpy.array(key)] for several elements of the first axis"
        )
    entries: list[Any] = []
    for item in items:
        entries.extend(_parse_item(item))
    consumed = sum(1 for e in entries if e is not None and e is not Ellipsis and not isinstance(e, _ScalarBool))
    if sum(e is Ellipsis for e in entries) > 1:
        raise FunctransIndexError("an index can hold only one ellipsis (...)")
    if consumed > len(shape):
        raise FunctransIndexError(
            f"too many indices: {consumed} for an array of {len(shape)} dimension{'s' if len(shape) != 1 else ''} "
            f"(shape {shape})"
        )
    group = _group_position(entries, len(shape) - consumed)
    missing = [slice(None)] * (len(shape) - consumed)
    at = next((i for i, e in enumerate(entries) if e is Ellipsis), None)
    entries = [*entries, *missing] if at is None else [*entries[:at], *missing, *entries[at + 1 :]]
    sizes = list(shape)
    axis = 0
    for i, e in enumerate(entries):
        if isinstance(e, _ScalarBool):
            sizes.insert(axis, 1)
            entries[i] = np.zeros(int(e.value), _INT32)
        if entries[i] is not None:
            _check_mask(e, sizes, axis)
            axis += 1
    return Key(tuple(sizes), [_plain(e) for e in entries], group), tuple(sizes)


@dataclass(frozen=True)
class _ScalarBool:
    """A single True or False in a key: a new axis of one or no element."""

    value: bool


@dataclass(frozen=True, eq=False)
class _Mask:
    """One axis of a boolean mask: the positions where it holds, and the size it was made for."""

    positions: np.ndarray[Any, Any]
    size: int
    mask_shape: tuple[int, ...]


def _parse_item(item: Any) -> list[Any]:
    kind = type(item)
    if item is None or item is Ellipsis:
        return [item]
    if kind is int:
        return [item]
    if kind is slice:
        return [slice(*(None if v is None else _bound(v) for v in (item.start, item.stop, item.step)))]
    if kind is bool or kind is np.bool_:
        return [_ScalarBool(bool(item))]
    if isinstance(item, np.integer):
        return [int(item)]
    if isinstance(item, list | tuple):
        item = np.zeros(0, _INT32) if not item else asarray(item)
        if isinstance(item, jax.Array) and not isinstance(item, JaxTracer):
            item = np.asarray(item)  # a Python list: its values are known
    if isinstance(item, np.ndarray | jax.Array) or type(item) is Tracer:
        refuse_mask(item)
        if item.dtype == BOOL:
            return _parse_mask(item)
        if item.dtype in INTEGERS:
            return [int(item)] if isinstance(item, np.ndarray) and not item.ndim else [item]
        raise FunctransTypeError(f"an index array must be of integers or bools, got dtype {item.dtype.name}")
    if isinstance(item, float | complex | str | np.generic):
        raise FunctransTypeError(
            f"an index must be an integer, slice, None, ... or an array of integers, got {describe(item)}"
        )
    if hasattr(item, "__jax_array__"):
        return _parse_item(item.__jax_array__())
    try:
        return [operator.index(item)]
    except TypeError:
        raise FunctransIndexError(
            f"an index must be an integer, slice, None, ... or an array of integers or bools, got {describe(item)}"
        ) from None


def _bound(v: Any) -> int:
    """A bound of a slice as an int; slices decide shapes."""
    try:
        return operator.index(v)
    except ConcretizationError:
        raise FunctransIndexError(
            f"the bounds of a slice decide the shape of the result and must be static, but one is traced ({v.type}). "
            "Use functrans.lax.dynamic_slice(x, starts, sizes) for a window of static size at a traced position, or "
            "functrans.numpy.where with a mask."
        ) from None
    except TypeError:
        raise FunctransTypeError(f"the bounds of a slice must be integers or None, got {describe(v)}") from None


def _parse_mask(mask: Any) -> list[Any]:
    try:
        values = np.asarray(mask)
    except ConcretizationError:
        raise NonConcreteBooleanIndexError(
            "x[mask] needs the values of the boolean mask, because their number decides the shape of the result, and "
            f"this mask of shape {tuple(mask.shape)} is traced. Use functrans.numpy.where(mask, x, 0) to keep the "
            "shape, x.at[...] with where for updates, or functrans.numpy.nonzero(mask, size=n) outside."
        ) from None
    if not values.ndim:
        return [_ScalarBool(bool(values))]
    return [_Mask(at, n, values.shape) for at, n in zip(np.nonzero(values), values.shape, strict=True)]


def _check_mask(e: Any, sizes: list[int], axis: int) -> None:
    if isinstance(e, _Mask) and e.size not in (0, sizes[axis]):
        raise FunctransIndexError(
            f"a boolean mask of shape {e.mask_shape} does not match the array: axis {axis} has size {sizes[axis]}"
        )


def _plain(e: Any) -> Any:
    return e.positions if isinstance(e, _Mask) else e


def _is_index(e: Any) -> bool:
    """Integers and index arrays: what NumPy calls advanced where an array occurs."""
    return not (e is None or e is Ellipsis or type(e) is slice)


def _group_position(entries: list[Any], implicit: int) -> int:
    """Where the axes of index arrays go: at the first of them if all are neighbours in the key, else in front."""
    if not any(isinstance(e, _Mask | _ScalarBool) or (_is_index(e) and type(e) is not int and e.ndim) for e in entries):
        return -1
    at = [i for i, e in enumerate(entries) if _is_index(e)]
    if at[-1] - at[0] != len(at) - 1:
        return 0
    return sum(implicit if e is Ellipsis else 1 for e in entries[: at[0]])


# -- reading -------------------------------------------------------------------------------------------------------


def get_item(x: Array, key: Any) -> Array:
    """x[key]."""
    return read(x, key)


def read(
    x: Array, key: Any, *, mode: Any = None, fill_value: Any = None, unique_indices: bool = False,
    indices_are_sorted: bool = False, wrap_negative_indices: bool = True,
) -> Array:  # fmt: skip
    """The elements at ``key``; what is out of bounds is clamped, or filled with mode='fill'."""
    mode = mode_name(mode)
    mode = "fill" if mode == "drop" else mode
    parsed, shape = parse(tuple(x.shape), key)
    if shape != tuple(x.shape):
        x = lax.reshape(x, shape)
    if mode in (None, "promise_in_bounds") and checks_indices():
        _check_bounds(parsed, wrap_negative_indices)
    if mode in _STATIC_MODES or not _out_of_bounds(parsed):
        x, parsed = _apply_static(x, parsed, wrap_negative_indices)
    if parsed.group < 0 and mode in _STATIC_MODES and parsed.is_window:
        return _apply_window(x, parsed, wrap_negative_indices)
    plan = make_plan(parsed, wrap_negative_indices)
    if 0 in plan.shape:
        return lax.full(plan.shape, 0, x.dtype)
    if plan.indices is not None:
        dimension_numbers = lax.GatherDimensionNumbers(
            offset_dims=plan.window_dims, collapsed_slice_dims=plan.collapsed, start_index_map=plan.index_map
        )
        x = lax.gather(
            x, asarray(plan.indices), dimension_numbers, plan.slice_sizes,
            unique_indices=unique_indices or plan.unique, indices_are_sorted=indices_are_sorted,
            mode="promise_in_bounds" if mode is None else mode, fill_value=fill_value,
        )  # fmt: skip
    return lax.reshape(x, plan.shape) if tuple(x.shape) != plan.shape else x


def _check_bounds(key: Key, wrap: bool) -> None:
    """Raise IndexError for a static integer outside of its axis: what ``jax_check_static_indices`` asks for."""
    axis = 0
    for e in key.entries:
        if e is not None:
            n = key.shape[axis]
            if type(e) is int and not (-n if wrap else 0) <= e < n:
                raise FunctransIndexError(
                    f"index {e} is out of bounds for axis {axis} of size {n}, and jax_check_static_indices is on "
                    "(without it the nearest element is read)"
                )
            axis += 1


def _out_of_bounds(key: Key) -> bool:
    """Whether a static integer lies outside its axis."""
    axes = iter(key.shape)
    for e in key.entries:
        if e is not None:
            n = next(axes)
            if type(e) is int and not -n <= e < n:
                return True
    return False


def static_position(i: int, n: int, axis: int, wrap: bool = True) -> int:
    """A static index as a position on an axis of size n, clamped as XLA clamps."""
    if not n:
        raise FunctransIndexError(f"index {i} is out of bounds for axis {axis}, which has size 0")
    return min(max(i + n if i < 0 and wrap else i, 0), n - 1)


def _apply_static(x: Array, key: Key, wrap: bool) -> tuple[Array, Key]:
    """Carry out slices, static integers and, without index arrays or traced positions, new axes: at most one slice, one
    rev and one reshape."""
    starts: list[int] = []
    limits: list[int] = []
    strides: list[int] = []
    reverse: list[int] = []
    shape: list[int] = []
    rest: list[Any] = []
    finish = key.is_static
    axis = 0
    for e in key.entries:
        if e is None:
            rest.append(None)
            if finish:
                shape.append(1)
            continue
        n = key.shape[axis]
        if type(e) is slice:
            start, stop, step = e.indices(n)
            count = len(range(start, stop, step))
            low = start if step > 0 else start + (count - 1) * step
            if not count:
                low, step = 0, 1
            starts.append(low)
            limits.append(low + (count - 1) * abs(step) + 1 if count else low)
            strides.append(abs(step))
            if step < 0 and count > 1:
                reverse.append(axis)
            shape.append(count)
            rest.append(slice(None))
        elif type(e) is int:
            position = static_position(e, n, axis, wrap)
            starts.append(position)
            limits.append(position + 1)
            strides.append(1)
        else:
            starts.append(0)
            limits.append(n)
            strides.append(1)
            shape.append(n)
            rest.append(e)
        axis += 1
    if starts != [0] * axis or tuple(limits) != key.shape or strides != [1] * axis:
        x = lax.slice(x, starts, limits, None if strides == [1] * axis else strides)
    if reverse:
        x = lax.rev(x, reverse)
    if tuple(shape) != tuple(x.shape):
        x = lax.reshape(x, tuple(shape))
    if finish:
        rest = [slice(None)] * len(shape)
    sizes = tuple(shape)
    return x, Key(sizes, rest, key.group)


def _apply_window(x: Array, key: Key, wrap: bool) -> Array:
    """Traced scalar positions on some axes (slices are done): dynamic_slice and reshape."""
    if all(e is None or type(e) is slice for e in key.entries):
        return lax.reshape(x, result_shape(key)) if None in key.entries else x
    starts: list[Any] = []
    sizes: list[int] = []
    dtype = index_dtype(key.shape)
    for e, n in zip([e for e in key.entries if e is not None], key.shape, strict=True):
        if type(e) is slice:
            starts.append(np.zeros((), dtype))
            sizes.append(n)
        else:
            if not n:
                raise FunctransIndexError("an index is out of bounds for an axis of size 0")
            starts.append(_position(e, dtype, n, wrap))
            sizes.append(1)
    window = lax.dynamic_slice(x, starts, sizes, allow_negative_indices=False)
    return lax.reshape(window, result_shape(key))


def result_shape(key: Key) -> tuple[int, ...]:
    """The shape of a key without index arrays of rank above 0."""
    sizes = iter(key.shape)
    shape = []
    for e in key.entries:
        if e is None:
            shape.append(1)
            continue
        n = next(sizes)
        if type(e) is slice:
            shape.append(len(range(*e.indices(n))))
    return tuple(shape)


def index_dtype(shape: tuple[int, ...]) -> np.dtype[Any]:
    """The integer dtype that reaches every position: int32, or int64 for an axis longer than its range."""
    return _INT64 if shape and max(shape) > np.iinfo(np.int32).max else _INT32


def _position(e: Any, dtype: np.dtype[Any], n: int, wrap: bool) -> Any:
    """An index array in the index dtype (a weak one stays weak: a conversion would cost an equation)."""
    index = e if e.dtype == dtype else to_dtype(e, dtype)
    return normalized(index, n) if wrap else index


def wide_index(index: Any) -> Any:
    """An index array of at least 32 bits, in which a position may be added to."""
    if index.dtype.itemsize >= 4:
        return index
    return index.astype(_INT32) if isinstance(index, np.ndarray | np.generic) else to_dtype(index, _INT32)


def normalized(index: Any, n: int) -> Any:
    """Index array with negative positions counted from the end of an axis of size n."""
    index = wide_index(index)
    if isinstance(index, np.ndarray | np.generic):
        return (
            np.where(index < 0, index + n, index).astype(index.dtype) if index.dtype.kind == "i" else np.asarray(index)  # type: ignore[operator]
        )
    if index.dtype in UNSIGNED:
        return index
    return lax.select(lax.lt(index, 0), lax.add(index, n), index)


# -- the plan of a gather or scatter -------------------------------------------------------------------------------


@dataclass(slots=True)
class Plan:
    """A gather or scatter: ``shape`` is the result's, ``compact`` the same without the new axes."""

    shape: tuple[int, ...]
    compact: tuple[int, ...]
    indices: Any  # [*batch, len(index_map)], None where every element is taken
    window_dims: tuple[int, ...]
    collapsed: tuple[int, ...]
    index_map: tuple[int, ...]
    slice_sizes: tuple[int, ...]
    unique: bool  # known without looking at index arrays: no element is named twice


def make_plan(key: Key, wrap: bool = True) -> Plan:
    """Index columns and dimension numbers for a parsed key.

    An axis of the array is a *window* (a slice of step 1), a *column* of index arrays in the group, or a strided slice,
    which is a column with an axis of its own. Columns known now are one NumPy array; traced ones are concatenated.
    """
    dtype = index_dtype(key.shape)
    sizes = iter(enumerate(key.shape))
    placed = [(e, *((None, 0) if e is None else next(sizes))) for e in key.entries]
    arrays = [e for e in key.entries if _is_index(e)]
    group_shape = (
        common_shape("indexing", *[() if type(e) is int else tuple(e.shape) for e in arrays]) if arrays else ()
    )
    # Axes of the result in order: (kind, size, axis of the array)
    dims: list[tuple[str, int, int]] = []
    group = [("group", n, -1) for n in group_shape]
    for e, axis, n in placed:
        if e is None:
            dims.append(("new", 1, -1))
        elif type(e) is slice:
            start, stop, step = e.indices(n)
            dims.append(("window" if step == 1 else "strided", len(range(start, stop, step)), axis))
    if key.group >= 0:
        dims[key.group : key.group] = group
    compact = [d for d in dims if d[0] != "new"]
    batch = [d for d in compact if d[0] != "window"]
    batch_shape = tuple(n for _, n, _ in batch)
    first = next((i for i, d in enumerate(batch) if d[0] == "group"), 0)
    group_axes = tuple(range(first, first + len(group_shape)))
    columns: list[tuple[Any, tuple[int, ...]]] = []  # the index array and the batch axes that its axes are
    index_map: list[int] = []
    collapsed: list[int] = []
    slice_sizes: list[int] = []
    for e, axis, n in placed:
        if e is None:
            continue
        if type(e) is slice:
            start, stop, step = e.indices(n)
            count = len(range(start, stop, step))
            if step == 1:
                slice_sizes.append(count)
                if count != n:
                    columns.append((np.asarray(start, dtype), ()))
                    index_map.append(axis)
                continue
            at = next(i for i, d in enumerate(batch) if d[2] == axis)
            columns.append((np.asarray(range(start, stop, step), dtype), (at,)))
        else:
            if not n and math.prod(group_shape):  # type: ignore[arg-type]
                raise FunctransIndexError(f"an index is out of bounds for axis {axis}, which has size 0")
            column = _position(np.asarray(e) if type(e) is int else e, dtype, n, wrap)
            columns.append((column, group_axes[len(group_axes) - len(column.shape) :]))
        index_map.append(axis)
        collapsed.append(axis)
        slice_sizes.append(1)
    return Plan(
        shape=tuple(n for _, n, _ in dims),
        compact=tuple(n for _, n, _ in compact),
        indices=_join_columns(columns, batch_shape, dtype) if columns else None,
        window_dims=tuple(i for i, d in enumerate(compact) if d[0] == "window"),
        collapsed=tuple(collapsed),
        index_map=tuple(index_map),
        slice_sizes=tuple(slice_sizes),
        unique=not any(_is_index(e) and type(e) is not int and e.ndim for e in key.entries),
    )


def _join_columns(columns: list[tuple[Any, tuple[int, ...]]], batch: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    known = all(isinstance(column, np.ndarray) for column, _ in columns)
    full = (*batch, 1)
    parts = []
    for column, axes in columns:
        if isinstance(column, np.ndarray):
            shape = [1] * len(batch)
            for axis, n in zip(axes, column.shape, strict=True):
                shape[axis] = n
            part: Any = np.broadcast_to(column.reshape(shape), batch)[..., None]
        elif tuple(column.shape) == batch:
            part = lax.reshape(column, full)
        else:
            part = lax.broadcast_in_dim(column, full, axes)
        parts.append(part)
    if known:
        return np.ascontiguousarray(np.concatenate(parts, -1)).astype(dtype)
    return parts[0] if len(parts) == 1 else lax.concatenate([asarray(p) for p in parts], len(batch))


__all__ = [
    "Key", "Plan", "get_item", "index_dtype", "make_plan", "mode_name", "normalized", "parse", "read", "wide_index",
    "static_position",
]  # fmt: skip
