"""Order: sorting, partitions, and places in sorted arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from functrans import lax
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import scalar_type, type_of
from functrans.numpy.comparison import greater_equal, isnan, less, less_equal, logical_and, logical_not, logical_or
from functrans.numpy.creation import asarray
from functrans.numpy.families import one_program
from functrans.numpy.promotion import (
    COMPLEX,
    INEXACT,
    Array,
    ArrayLike,
    as_array,
    axis_index,
    promote_dtypes,
    requested_dtype,
    to_dtype,
)
from functrans.numpy.selection import take, take_along_axis, where
from functrans.numpy.shapes import ravel


def _along(operation: str, a: ArrayLike, axis: int | None, kind: Any, order: Any) -> tuple[Any, int]:
    if kind is not None:
        raise FunctransTypeError(f"{operation}: kind={kind!r} is not supported; say stable=True or stable=False")
    if order is not None:
        raise FunctransTypeError(f"{operation}: order={order!r} is not supported: arrays have no fields")
    x = as_array(operation, a)
    if axis is None:
        return ravel(x), 0
    return x, axis_index(operation, axis, len(x.shape))


@one_program("axis", "kind", "order", "stable", "descending")
def sort(
    a: ArrayLike, axis: int | None = -1, *, kind: None = None, order: None = None, stable: bool = True,
    descending: bool = False,
) -> Array:  # fmt: skip
    """The elements in order along ``axis`` (None: of the flattened array); NaNs last, -0 and 0 equal.

    Raises:
      TypeError: ``kind`` or ``order`` is given.
      ValueError: no such axis.

    >>> import functrans.numpy as fnp
    >>> fnp.sort(fnp.array([3., 1., 2.]))
    Array([1., 2., 3.], dtype=float32)
    """
    x, axis = _along("sort", a, axis, kind, order)
    result = lax.sort(x, axis, stable)
    return lax.rev(result, (axis,)) if descending else result


def _places(shape: Sequence[int], axis: int, dtype: Any = None) -> Any:
    """Positions along an axis in the default integer dtype."""
    return lax.broadcasted_iota(scalar_type(int).dtype if dtype is None else dtype, tuple(shape), axis)


@one_program("axis", "kind", "order", "stable", "descending", "dtype")
def argsort(
    a: ArrayLike, axis: int | None = -1, *, kind: None = None, order: None = None, stable: bool = True,
    descending: bool = False, dtype: Any = None,
) -> Array:  # fmt: skip
    """The positions that put ``axis`` in order: ``take_along_axis(a, argsort(a, axis), axis)`` is ``sort(a, axis)``.

    >>> import functrans.numpy as fnp
    >>> fnp.argsort(fnp.array([3., 1., 2.]))
    Array([1, 2, 0], dtype=int32)
    """
    x, axis = _along("argsort", a, axis, kind, order)
    places = _places(x.shape, axis, None if dtype is None else requested_dtype("argsort", dtype))
    if descending and stable:  # equal elements are to keep their order when the result is turned round
        x, places = lax.rev(x, (axis,)), lax.rev(places, (axis,))
    result = lax.sort((x, places), axis, stable)[1]
    return lax.rev(result, (axis,)) if descending else result


def lexsort(keys: Any, axis: int = -1, *, batch_size: int = 16) -> Array:
    """The positions that put ``axis`` in order by the last key, equal ones by the key before it, and so on.

    ``batch_size``: the most keys that one sort compares; more are sorted one batch after the other, the least
    significant first, which compiles faster. Raises ValueError for one below 1.

    >>> import functrans.numpy as fnp
    >>> fnp.lexsort((fnp.array([3, 1, 2]), fnp.array([0, 0, -1])))
    Array([2, 1, 0], dtype=int32)
    """
    arrays = [as_array("lexsort", k) for k in (keys if isinstance(keys, list | tuple) else list(asarray(keys)))]
    if not arrays:
        raise FunctransTypeError("lexsort: at least one key is needed")
    shapes = list(dict.fromkeys(tuple(k.shape) for k in arrays))
    if len(shapes) > 1:
        raise FunctransValueError(f"lexsort: keys must have one shape, got {' and '.join(map(str, shapes))}")
    if not shapes[0]:
        return lax.full((), 0, scalar_type(int).dtype)
    if batch_size < 1:
        raise FunctransValueError(f"lexsort: batch_size must be 1 or more, got {batch_size}")
    axis = axis_index("lexsort", axis, len(shapes[0]))
    order = _places(shapes[0], axis)
    for first in range(0, len(arrays), batch_size):
        batch = arrays[first : first + batch_size][::-1]
        if first:
            batch = [take_along_axis(key, order, axis) for key in batch]
        order = lax.sort((*batch, order), axis, num_keys=len(batch))[-1]
    return order


@one_program()
def sort_complex(a: ArrayLike) -> Array:
    """The elements in order along the last axis, as complex numbers."""
    x = as_array("sort_complex", a)
    result = lax.sort(x, axis_index("sort_complex", -1, len(x.shape)))
    wide = x.dtype in (np.float64, np.complex128, np.int64, np.uint64)
    return to_dtype(result, np.dtype(np.complex128 if wide else np.complex64))


def _partition(operation: str, a: ArrayLike, kth: int, axis: int) -> tuple[Any, int]:
    x = as_array(operation, a)
    if x.dtype in COMPLEX:
        raise NotImplementedError(f"{operation}: complex numbers are not supported; use sort")
    axis = axis_index(operation, axis, len(x.shape))
    axis_index(f"{operation}: kth counted along axis {axis}", kth, x.shape[axis])
    return x, axis


@one_program("kth", "axis")
def partition(a: ArrayLike, kth: int, axis: int = -1) -> Array:
    """The elements along ``axis`` with place ``kth`` as in order, smaller ones before it, others after.

    >>> import functrans.numpy as fnp
    >>> int(fnp.partition(fnp.array([6, 8, 4, 3, 1, 9]), 2)[2])
    4
    """
    x, axis = _partition("partition", a, kth, axis)
    return lax.sort(x, axis)


@one_program("kth", "axis")
def argpartition(a: ArrayLike, kth: int, axis: int = -1) -> Array:
    """The positions of the elements of ``partition(a, kth, axis)``."""
    x, axis = _partition("argpartition", a, kth, axis)
    places = lax.sort((x, _places(x.shape, axis)), axis)[1]
    return to_dtype(places, np.dtype(np.int32), type_of(x).weak_type)  # of int32 and as weak as the elements, as in JAX


# -- places in sorted arrays -------------------------------------------------------------------------------------------

_METHODS = ("default", "scan", "scan_unrolled", "sort", "compare_all")


@one_program("side", "method")
def searchsorted(
    a: ArrayLike, v: ArrayLike, side: str = "left", sorter: ArrayLike | None = None, *, method: str = "scan"
) -> Array:
    """Where the elements of ``v`` would go into the sorted vector ``a``: int32 of the shape of v.

    Args:
      side: 'left' puts an element in front of equal ones, 'right' behind.
      sorter: positions that put ``a`` in order, if it is not.
      method: 'scan' (binary search in a loop), 'scan_unrolled' (without the loop), 'sort' (both arrays together),
        'compare_all' (each with each: fast for short ``a``). The result is the same.

    Raises:
      ValueError: ``a`` is no vector; an unknown side or method.

    >>> import functrans.numpy as fnp
    >>> fnp.searchsorted(fnp.array([1., 2., 2., 3.]), fnp.array([2., 5.]))
    Array([1, 4], dtype=int32)
    """
    array = as_array("searchsorted", a)
    if len(array.shape) != 1:
        raise FunctransValueError(f"searchsorted: a must be a vector, got shape {tuple(array.shape)}")
    if side not in ("left", "right"):
        raise FunctransValueError(f"searchsorted: side must be 'left' or 'right', got {side!r}")
    if method not in _METHODS:
        raise FunctransValueError(f"searchsorted: method must be one of {_METHODS}, got {method!r}")
    array, query = promote_dtypes("searchsorted", array, as_array("searchsorted", v))
    array, query = (lax.stop_gradient(asarray(x)) for x in (array, query))
    if sorter is not None:
        array = take(array, sorter, 0)
    n = array.shape[0]
    index = np.dtype(np.int32 if n < 2**31 else np.int64)
    if not n or 0 in query.shape:
        return lax.full(tuple(query.shape), 0, index)
    if method == "compare_all":
        shape = (n, *query.shape)
        each = lax.broadcast_in_dim(array, shape, (0,))
        every = lax.broadcast_in_dim(query, shape, tuple(range(1, len(shape))))
        return lax.reduce_sum(lax.convert_element_type(_before(each, every, side), index), (0,))
    if method == "sort":
        return lax.reshape(_by_sorting(array, ravel(query), side, index), tuple(query.shape))
    return _by_bisection(array, query, side, index, method == "scan_unrolled")


def _before(x: Any, query: Any, side: str) -> Any:
    """Whether x stands in front of the place of the query, NaNs being the largest numbers."""
    if x.dtype not in INEXACT:
        return (less if side == "left" else less_equal)(x, query)
    if side == "left":
        return logical_or(less(x, query), logical_and(isnan(query), logical_not(isnan(x))))
    return logical_or(less_equal(x, query), isnan(query))


def _by_bisection(array: Any, query: Any, side: str, index: Any, unrolled: bool) -> Any:
    shape = tuple(query.shape)
    n = array.shape[0]

    def halve(_: Any, bounds: Any) -> Any:
        low, high = bounds  # the place is in [low, high]; the element at ``high`` and all later ones are not before it
        middle = lax.div(lax.add(low, high), 2)
        found = _before(take(array, middle, 0, mode="clip"), query, side)
        going = lax.lt(low, high)
        found, stay = lax.bitwise_and(found, going), lax.bitwise_and(lax.bitwise_not(found), going)
        return lax.select(found, lax.add(middle, 1), low), lax.select(stay, middle, high)

    bounds = lax.full(shape, 0, index), lax.full(shape, n, index)
    steps = int(np.ceil(np.log2(n + 1)))
    if not unrolled:
        return lax.fori_loop(0, steps, halve, bounds)[0]
    for step in range(steps):
        bounds = halve(step, bounds)
    return bounds[0]


def _by_sorting(array: Any, query: Any, side: str, index: Any) -> Any:
    """A query's rank among both arrays without its rank among the queries."""
    count = query.shape[0]
    parts = [query, array] if side == "left" else [array, query]
    start = 0 if side == "left" else array.shape[0]
    together = lax.slice_in_dim(_ranks(lax.concatenate(parts, 0), index), start, start + count)
    return lax.sub(together, _ranks(query, index))


def _ranks(x: Any, index: Any) -> Any:
    """Each element's place in the stable order."""
    order = lax.sort((x, lax.iota(index, x.shape[0])))[1]
    return lax.sort((order, lax.iota(index, x.shape[0])))[1]


def digitize(x: ArrayLike, bins: ArrayLike, right: bool = False, *, method: str | None = None) -> Array:
    """The number of the bin of each element; bins[i-1] <= x < bins[i], or bins[i-1] < x <= bins[i] with ``right``.

    ``bins``: a vector of edges in increasing or decreasing order.

    >>> import functrans.numpy as fnp
    >>> fnp.digitize(fnp.array([0.5, 2.5]), fnp.array([0., 1., 2.]))
    Array([1, 3], dtype=int32)
    """
    values, edges = as_array("digitize", x), as_array("digitize", bins)
    if len(edges.shape) != 1:
        raise FunctransValueError(f"digitize: bins must be a vector, got shape {tuple(edges.shape)}")
    n = edges.shape[0]
    if not n:
        return lax.full(tuple(values.shape), 0, np.int32)
    side, how = "left" if right else "right", method or "scan"
    up = searchsorted(edges, values, side, method=how)
    down = lax.sub(n, searchsorted(lax.rev(edges, (0,)), values, side, method=how))
    last, first = (lax.index_in_dim(edges, i, keepdims=False) for i in (n - 1, 0))
    return where(greater_equal(last, first), up, down)


def top_k(
    a: ArrayLike, k: int, /, *, axis: int = -1, mode: str = "largest", sorted: bool = True
) -> tuple[Array, Array]:
    """The k largest (``mode='smallest'``: smallest) elements along an axis, in order, and their positions.

    Raises ValueError for another mode, or a k below 0 or above the size of the axis.

    >>> import functrans.numpy as fnp
    >>> values, places = fnp.top_k(fnp.array([3.0, 1.0, 2.0]), 2)
    >>> values.tolist(), places.tolist()
    ([3.0, 2.0], [0, 2])
    """
    x = asarray(a)
    axis = axis_index("top_k", axis, x.ndim)
    if mode not in ("largest", "smallest"):
        raise FunctransValueError(f"top_k: mode must be 'largest' or 'smallest', got {mode!r}")
    if not 0 <= k <= x.shape[axis]:
        raise FunctransValueError(f"top_k: k={k} is not between 0 and the {x.shape[axis]} elements along axis {axis}")
    places = lax.slice_in_dim(argsort(x, axis, descending=mode == "largest"), 0, k, axis=axis)
    values = take_along_axis(x, places, axis)
    return values, to_dtype(places, np.dtype(np.int32), type_of(x).weak_type)  # as weak as the elements, as in JAX


__all__ = [
    "argpartition", "argsort", "digitize", "lexsort", "partition", "searchsorted", "sort", "sort_complex", "top_k",
]  # fmt: skip
