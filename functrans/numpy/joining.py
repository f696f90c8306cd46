"""Joining arrays, splitting them, repeating their elements, leaving some out."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from functrans import lax
from functrans.errors import FunctransIndexError, FunctransTypeError, FunctransValueError
from functrans.ir.types import describe, refuse_mask, type_of
from functrans.jaxlib_compat.tracing import JaxTracer
from functrans.numpy.creation import asarray
from functrans.numpy.promotion import (
    INTEGERS,
    Array,
    ArrayLike,
    as_array,
    as_operand,
    axis_index,
    broadcast,
    promote_dtypes,
    requested_dtype,
    static_array,
    static_value,
    to_dtype,
)
from functrans.numpy.shapes import atleast_1d, atleast_2d, atleast_3d, ravel
from functrans.trace.keywords import refuse, takes
from functrans.trace.tracer import Tracer


def _arrays(operation: str, arrays: Any) -> list[Any]:
    """The arrays to join: a sequence, or the rows of one array."""
    if type(arrays) is Tracer or isinstance(arrays, np.ndarray | jax.Array):
        if not arrays.ndim:
            raise FunctransTypeError(f"{operation}: a sequence of arrays is needed, got an array of shape ()")
        return [_row(arrays, i) for i in range(arrays.shape[0])]
    if not isinstance(arrays, Sequence) or isinstance(arrays, str):
        raise FunctransTypeError(f"{operation}: a sequence of arrays is needed, got {describe(arrays)}")
    if not arrays:
        raise FunctransValueError(f"{operation}: at least one array is needed, got an empty sequence")
    return [asarray(a) if isinstance(a, list | tuple) else as_operand(operation, a) for a in arrays]


def _row(x: Any, i: int) -> Any:
    sizes = tuple(x.shape)
    return lax.reshape(lax.slice(x, (i, *(0,) * (len(sizes) - 1)), (i + 1, *sizes[1:])), sizes[1:])


def _common(operation: str, arrays: list[Any], dtype: Any) -> list[Any]:
    if dtype is None:
        return promote_dtypes(operation, *arrays)
    to = requested_dtype(operation, dtype)
    return [to_dtype(a, to) for a in arrays]


def concatenate(arrays: Any, axis: int | None = 0, dtype: Any = None) -> Array:
    """Arrays joined along an existing axis; None joins their elements as vectors.

    Raises ValueError if other axes differ.

    >>> import functrans.numpy as fnp
    >>> fnp.concatenate([fnp.ones(1), fnp.zeros(2)])
    Array([1., 0., 0.], dtype=float32)
    """
    return _concatenate("concatenate", _arrays("concatenate", arrays), axis, dtype)


def _concatenate(operation: str, arrays: list[Any], axis: int | None, dtype: Any) -> Array:
    parts = _common(operation, arrays, dtype)
    if axis is None:
        parts, axis = [ravel(p) for p in parts], 0
    rank = len(parts[0].shape)
    if rank == 0:
        raise FunctransValueError(f"{operation}: scalars have no axis to join along; use stack")
    axis = axis_index(operation, axis, rank)
    first = tuple(parts[0].shape)
    for part in parts:
        sizes = tuple(part.shape)
        if len(sizes) != rank or sizes[:axis] + sizes[axis + 1 :] != first[:axis] + first[axis + 1 :]:
            raise FunctransValueError(
                f"{operation}: shapes {first} and {sizes} cannot be joined along axis {axis}: all other axes must agree"
            )
    return asarray(parts[0]) if len(parts) == 1 else lax.concatenate(parts, axis)


def concat(arrays: Sequence[ArrayLike], /, *, axis: int | None = 0) -> Array:
    """Arrays joined along an existing axis."""
    return concatenate(arrays, axis)


def stack(arrays: Any, axis: int = 0, out: None = None, dtype: Any = None) -> Array:
    """Arrays of one shape joined along a new axis.

    >>> import functrans.numpy as fnp
    >>> fnp.stack([fnp.ones(2), fnp.zeros(2)])
    Array([[1., 1.],
           [0., 0.]], dtype=float32)
    """
    refuse("stack", out=out)
    parts = _common("stack", _arrays("stack", arrays), dtype)
    shapes = dict.fromkeys(tuple(p.shape) for p in parts)
    if len(shapes) > 1:
        raise FunctransValueError(f"stack: all arrays must have one shape, got {', '.join(map(str, shapes))}")
    sizes = tuple(parts[0].shape)
    axis = axis_index("stack", axis, len(sizes) + 1)
    rows = [lax.reshape(p, (*sizes[:axis], 1, *sizes[axis:])) for p in parts]
    return rows[0] if len(rows) == 1 else lax.concatenate(rows, axis)


def unstack(x: ArrayLike, /, *, axis: int = 0) -> tuple[Array, ...]:
    """The slices along ``axis``, as a tuple."""
    x = asarray(as_operand("unstack", x))
    axis = axis_index("unstack", axis, x.ndim)
    if axis:
        x = lax.transpose(x, (axis, *[i for i in range(x.ndim) if i != axis]))
    return tuple(_row(x, i) for i in range(x.shape[0]))


def vstack(tup: Any, dtype: Any = None) -> Array:
    """Arrays (vectors as rows) joined along axis 0."""
    return _concatenate("vstack", [atleast_2d(a) for a in _arrays("vstack", tup)], 0, dtype)


row_stack = vstack


def hstack(tup: Any, dtype: Any = None) -> Array:
    """Arrays joined along axis 1, vectors along axis 0."""
    parts = [atleast_1d(a) for a in _arrays("hstack", tup)]
    return _concatenate("hstack", parts, 0 if parts[0].ndim == 1 else 1, dtype)


def dstack(tup: Any, dtype: Any = None) -> Array:
    """Arrays joined along axis 2."""
    return _concatenate("dstack", [atleast_3d(a) for a in _arrays("dstack", tup)], 2, dtype)


def column_stack(tup: Any) -> Array:
    """Vectors as the columns of a matrix."""
    parts = [atleast_1d(a) for a in _arrays("column_stack", tup)]
    return _concatenate("column_stack", [lax.reshape(p, (*p.shape, 1)) if p.ndim == 1 else p for p in parts], 1, None)


def append(arr: ArrayLike, values: ArrayLike, axis: int | None = None) -> Array:
    """``values`` joined to the end of ``arr`` (both as vectors without an axis)."""
    return concatenate([asarray(arr), asarray(values)], axis)


def block(arrays: Any) -> Array:
    """An array from nested lists of blocks: the innermost lists join along the last axis."""

    def depth(x: Any) -> int:
        return 1 + max(map(depth, x)) if isinstance(x, list) else 0

    def leaves(x: Any) -> Any:
        if isinstance(x, list):
            for item in x:
                yield from leaves(item)
        else:
            yield asarray(x)

    levels = depth(arrays)
    rank = max(levels, *[leaf.ndim for leaf in leaves(arrays)])

    def build(x: Any, level: int) -> Any:
        if not isinstance(x, list):
            x = asarray(x)
            return lax.reshape(x, (*(1,) * (rank - x.ndim), *x.shape)) if x.ndim < rank else x
        return concatenate([build(item, level - 1) for item in x], axis=-level)

    return build(arrays, levels)


# -- splitting -----------------------------------------------------------------------------------------------------


def split(ary: ArrayLike, indices_or_sections: Any, axis: int = 0) -> list[Array]:
    """Parts along ``axis``: so many equal ones, or cut before the given positions.

    Raises ValueError if the axis cannot be cut into so many equal parts.

    >>> import functrans.numpy as fnp
    >>> [part.shape for part in fnp.split(fnp.arange(6), 3)]
    [(2,), (2,), (2,)]
    """
    return _split("split", ary, indices_or_sections, axis, equal=True)


def array_split(ary: ArrayLike, indices_or_sections: Any, axis: int = 0) -> list[Array]:
    """As split, but the parts may differ by one in size."""
    return _split("array_split", ary, indices_or_sections, axis, equal=False)


def vsplit(ary: ArrayLike, indices_or_sections: Any) -> list[Array]:
    """Parts along axis 0."""
    axis_index("vsplit", 1, np.ndim(ary))  # NumPy asks for two dimensions at least
    return _split("vsplit", ary, indices_or_sections, 0, equal=True)


def hsplit(ary: ArrayLike, indices_or_sections: Any) -> list[Array]:
    """Parts along axis 1, of a vector along axis 0."""
    ary = asarray(ary)
    return _split("hsplit", ary, indices_or_sections, 0 if ary.ndim == 1 else 1, equal=True)


def dsplit(ary: ArrayLike, indices_or_sections: Any) -> list[Array]:
    """Parts along axis 2."""
    return _split("dsplit", ary, indices_or_sections, 2, equal=True)


def _split(operation: str, ary: ArrayLike, indices_or_sections: Any, axis: int, equal: bool) -> list[Array]:
    x = asarray(as_operand(operation, ary))
    axis = axis_index(operation, axis, x.ndim)
    n = x.shape[axis]
    refuse_mask(indices_or_sections)
    given = static_value(operation, "indices_or_sections", indices_or_sections)
    if isinstance(given, list | tuple) or np.ndim(given):
        cuts = [operator.index(static_value(operation, "an index", i)) for i in given]
        cuts = [max(0, c + n if c < 0 else c) for c in cuts]
        bounds = [0, *[min(c, n) for c in cuts], n]
    else:
        parts = operator.index(given)
        if parts <= 0 or (equal and n % parts):
            raise FunctransValueError(
                f"{operation}: axis {axis} of shape {tuple(x.shape)} has size {n} and cannot be cut into {parts} equal "
                "parts"
                + ("; use array_split" if parts > 0 else "")
            )
        size, extra = divmod(n, parts)
        bounds = np.cumsum([0, *[size + 1] * extra, *[size] * (parts - extra)]).tolist()
    zero, sizes = (0,) * x.ndim, tuple(x.shape)
    result = []
    for low, high in itertools.pairwise(bounds):
        high = max(low, high)
        result.append(lax.slice(x, (*zero[:axis], low, *zero[axis + 1 :]), (*sizes[:axis], high, *sizes[axis + 1 :])))
    return result


# -- repeating and leaving out -------------------------------------------------------------------------------------


def tile(A: ArrayLike, reps: Any) -> Array:
    """``A`` repeated ``reps`` times along each axis.

    >>> import functrans.numpy as fnp
    >>> fnp.tile(fnp.array([1, 2]), 2)
    Array([1, 2, 1, 2], dtype=int32)
    """
    x = asarray(as_operand("tile", A))
    counts = [operator.index(r) for r in (reps if isinstance(reps, Sequence | np.ndarray) else (reps,))]
    rank = max(x.ndim, len(counts))
    sizes = (1,) * (rank - x.ndim) + tuple(x.shape)
    counts = [1] * (rank - len(counts)) + counts
    if any(c < 0 for c in counts):
        raise FunctransValueError(f"tile: the numbers of repetitions cannot be negative, got {tuple(counts)}")
    # [n] -> [r, n] -> [r * n] on every axis at once
    interleaved = tuple(m for r, n in zip(counts, sizes, strict=True) for m in (r, n))
    spread = lax.broadcast_in_dim(lax.reshape(x, sizes), interleaved, tuple(range(1, 2 * rank, 2)))
    return lax.reshape(spread, tuple(r * n for r, n in zip(counts, sizes, strict=True)))


@takes(out_sharding=None)
def repeat(
    a: ArrayLike, repeats: Any, axis: int | None = None, *, total_repeat_length: int | None = None
) -> Array:
    """Each element repeated along ``axis`` (of the flattened array without one).

    ``repeats`` decides the length of the result and must be static, unless that is given: ``total_repeat_length`` cuts
    it off, or repeats the last element further.

    >>> import functrans.numpy as fnp
    >>> fnp.repeat(fnp.array([1, 2]), 2)
    Array([1, 1, 2, 2], dtype=int32)
    """
    x = asarray(as_operand("repeat", a))
    if axis is None:
        x, axis = ravel(x), 0
    if not x.ndim:
        x = lax.reshape(x, (1,))
    axis = axis_index("repeat", axis, x.ndim)
    if total_repeat_length is not None and isinstance(repeats, JaxTracer):
        return take_rows(x, _repeated(repeats, x.shape[axis], total_repeat_length), axis)
    counts = static_array("repeat", "repeats", repeats)
    if counts.dtype.kind not in "iub" or (counts.size and counts.min() < 0):
        raise FunctransValueError(f"repeat: repeats must be integers not below 0, got {describe(repeats)}")
    n = x.shape[axis]
    sizes = tuple(x.shape)
    if counts.size == 1 and total_repeat_length is None:
        k = int(counts.reshape(())) if counts.ndim == 0 else int(counts.reshape(-1)[0])
        shape = (*sizes[: axis + 1], k, *sizes[axis + 1 :])
        spread = lax.broadcast_in_dim(x, shape, (*range(axis + 1), *range(axis + 2, len(shape))))
        return lax.reshape(spread, (*sizes[:axis], n * k, *sizes[axis + 1 :]))
    if counts.ndim > 1 or counts.size not in (1, n):
        raise FunctransValueError(f"repeat: repeats of shape {counts.shape} do not match axis {axis} of size {n}")
    sources = np.repeat(np.arange(n), np.broadcast_to(counts.reshape(-1), (n,)))
    if total_repeat_length is not None:
        sources = sources[:total_repeat_length]
        missing = total_repeat_length - len(sources)
        sources = np.concatenate([sources, np.full(missing, n - 1, sources.dtype)])
    return take_rows(x, sources, axis)


def _repeated(repeats: Any, n: int, length: int) -> Any:
    """The positions of the elements that are repeated as often as traced numbers say: n - 1 behind the last one."""
    counts = as_array("repeat", repeats)
    if counts.dtype not in INTEGERS or counts.ndim > 1 or counts.size not in (1, n):
        raise FunctransValueError(f"repeat: repeats of type {type_of(repeats)} do not match an axis of size {n}")
    if not length:
        return np.zeros(0, np.int32)
    counts = lax.broadcast_in_dim(lax.reshape(counts, (counts.size,)), (n,), (0,))
    starts = lax.sub(lax.cumsum(counts), counts)
    begun = asarray(lax.full((length,), 0, np.int32)).at[starts].add(1, mode="drop")
    return lax.clamp(0, lax.sub(lax.cumsum(begun), 1), max(n - 1, 0))


def take_rows(x: Any, indices: Any, axis: int) -> Any:
    """x at in-bounds, non-negative positions of one axis."""
    if not isinstance(indices, JaxTracer):
        indices = np.asarray(indices, np.int32)
    sizes = tuple(x.shape)
    if not indices.size or not all(sizes):
        return lax.full((*sizes[:axis], indices.size, *sizes[axis + 1 :]), 0, x.dtype)
    dimension_numbers = lax.GatherDimensionNumbers(
        offset_dims=tuple(i for i in range(len(sizes)) if i != axis),
        collapsed_slice_dims=(axis,),
        start_index_map=(axis,),
    )
    slice_sizes = (*sizes[:axis], 1, *sizes[axis + 1 :])
    return lax.gather(x, asarray(indices[:, None]), dimension_numbers, slice_sizes, mode="promise_in_bounds")


def _positions(operation: str, obj: Any, n: int) -> np.ndarray[Any, Any]:
    """Static positions on an axis of size n, from an int, a slice or an array of them."""
    if isinstance(obj, slice):
        return np.arange(n)[obj]
    at = static_array(operation, "the positions", obj)
    if at.dtype == bool:
        return np.flatnonzero(at)
    if at.size and at.dtype.kind not in "iu":
        raise FunctransIndexError(f"{operation}: positions must be integers, got dtype {at.dtype.name}")
    return at.astype(np.int64)


def _sorted_places(keys: Any) -> Any:
    """The positions of traced keys in their order, equal ones as they stand."""
    return lax.sort((keys, lax.iota(np.int32, keys.shape[0])), num_keys=1)[1]


def delete(arr: ArrayLike, obj: Any, axis: int | None = None, *, assume_unique_indices: bool = False) -> Array:
    """``arr`` without the elements at the positions ``obj`` of ``axis`` (of the flattened array without one).

    The positions must be static, unless they are integers of which none comes twice: ``assume_unique_indices``.

    >>> import functrans.numpy as fnp
    >>> fnp.delete(fnp.arange(4), 1)
    Array([0, 2, 3], dtype=int32)
    """
    x = asarray(as_operand("delete", arr))
    if axis is None:
        x, axis = ravel(x), 0
    axis = axis_index("delete", axis, x.ndim)
    n = x.shape[axis]
    if assume_unique_indices and isinstance(obj, JaxTracer) and obj.dtype != np.bool_:
        kept = asarray(lax.full((n,), 0, np.int32)).at[ravel(obj)].set(1)
        return take_rows(x, lax.slice_in_dim(_sorted_places(kept), 0, n - obj.size), axis)
    known = not isinstance(obj, slice | JaxTracer)
    if known and np.asarray(obj).dtype == np.bool_ and np.shape(obj) != (n,):
        raise FunctransValueError(
            f"delete: a mask of shape {np.shape(obj)} cannot choose from axis {axis} of size {n}; "
            "give one bool for each of its elements"
        )
    at = _positions("delete", obj, n).reshape(-1)
    if not isinstance(obj, slice) and np.ndim(obj) == 0 and at.size and not -n <= at[0] < n:
        raise FunctransIndexError(f"delete: index {at[0]} is out of bounds for axis {axis} of size {n}")
    keep = np.ones(n, bool)
    keep[[i for i in at.tolist() if -n <= i < n]] = False
    return take_rows(x, np.flatnonzero(keep), axis)


def insert(arr: ArrayLike, obj: Any, values: ArrayLike, axis: int | None = None) -> Array:
    """``arr`` with ``values`` before the positions ``obj`` of ``axis`` (of the flattened array without one).

    Raises IndexError for positions out of bounds; traced ones are clipped. A mask must be static.

    >>> import functrans.numpy as fnp
    >>> fnp.insert(fnp.arange(3), 1, 9)
    Array([0, 9, 1, 2], dtype=int32)
    """
    x = as_array("insert", arr)
    new = to_dtype(asarray(values), x.dtype, type_of(x).weak_type)
    if axis is None:
        x, axis = ravel(x), 0
    axis = axis_index("insert", axis, len(x.shape))
    n = x.shape[axis]
    traced = isinstance(obj, JaxTracer) and obj.dtype in INTEGERS
    positions = to_dtype(as_array("insert", obj), np.dtype(np.int32)) if traced else _positions("insert", obj, n)
    at = ravel(positions) if traced else positions.reshape(-1)
    if not traced and at.size and (at.min() < -n or at.max() > n):
        raise FunctransIndexError(f"insert: positions {at.tolist()} are out of bounds for axis {axis} of size {n}")
    at = lax.clamp(0, lax.select(at < 0, at + n, at), n) if traced else np.where(at < 0, at + n, at)
    rank = len(x.shape)
    new = lax.reshape(new, (*(1,) * (rank - len(new.shape)), *new.shape)) if len(new.shape) < rank else new
    if positions.ndim == 0 and not isinstance(obj, slice):
        new = lax.transpose(new, (*range(1, axis + 1), 0, *range(axis + 1, rank)))  # NumPy's rule for one position
        count = new.shape[axis]
        at = lax.broadcast_in_dim(at, (count,), (0,)) if traced else np.repeat(at, count)
    new = broadcast(new, (*x.shape[:axis], at.shape[0], *x.shape[axis + 1 :]))
    if traced:
        order = _sorted_places(lax.concatenate([at, lax.iota(np.int32, n)], 0))
    else:
        order = np.argsort(np.concatenate([at, np.arange(n)]), kind="stable")
    return take_rows(lax.concatenate([new, x], axis), order, axis)
