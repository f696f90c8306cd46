"""Distinct elements, and arrays as sets.

Without ``size`` the number of distinct elements decides the shape of the result, so that values must be known: outside
of jit, vmap and loop bodies. With ``size`` the result is cut, or padded with ``fill_value``.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from functrans import lax
from functrans.errors import FunctransValueError
from functrans.ir.types import scalar_type, type_of
from functrans.numpy.comparison import isnan, logical_and, logical_not, not_equal
from functrans.numpy.creation import asarray
from functrans.numpy.joining import concatenate
from functrans.numpy.positions import nonzero
from functrans.numpy.promotion import (
    COMPLEX,
    INEXACT,
    Array,
    ArrayLike,
    as_array,
    axis_index,
    promote_dtypes,
    select,
    static_value,
    strengthened,
    to_dtype,
)
from functrans.numpy.reductions import any as any_over
from functrans.numpy.reductions import sum as sum_over
from functrans.numpy.selection import take, where
from functrans.numpy.shapes import moveaxis, ravel
from functrans.numpy.sorting import lexsort, searchsorted


def _integer() -> np.dtype[Any]:
    return scalar_type(int).dtype


def _count(operation: str, size: Any) -> int | None:
    return None if size is None else int(static_value(operation, "size", size))


def _in_order(x: Any, equal_nan: bool) -> tuple[Any, Any, Any]:
    """(the rows of x in order, whether each differs from the one before it, where each was)."""
    n, *rest = x.shape
    width = math.prod(rest)
    if x.dtype in COMPLEX:  # a NaN in one part is as good as in both
        x = where(isnan(x), math.nan, x)
    if rest:
        flat = lax.reshape(x, (n, width))
        keys = [lax.reshape(lax.slice_in_dim(flat, i, i + 1, axis=1), (n,)) for i in range(width)]
        order = lexsort(tuple(keys[::-1])) if keys else lax.iota(_integer(), n)
        ordered = take(x, order, 0)
    else:
        ordered, order = lax.sort((x, lax.iota(_integer(), n)))
    later, earlier = lax.slice_in_dim(ordered, 1, n), lax.slice_in_dim(ordered, 0, n - 1)
    differs = not_equal(later, earlier)
    if equal_nan and x.dtype in INEXACT:
        differs = logical_and(differs, logical_not(logical_and(isnan(later), isnan(earlier))))
    if rest:
        differs = any_over(differs, tuple(range(1, len(x.shape))))
    return ordered, lax.concatenate([lax.full((1,), True), differs], 0), order


def _unique(
    x: Any, size: int | None, fill_value: Any, equal_nan: bool = True
) -> tuple[Any, Any, Any, Any, Any]:
    """Along axis 0: (distinct rows, where each first was, the number of each row's distinct one, counts, how many)."""
    n = x.shape[0]
    x = strengthened(x) if x.dtype in COMPLEX else x
    integer = _integer()
    if not n:
        if size and fill_value is None:
            raise FunctransValueError("unique: an empty array has no element to pad with; give fill_value")
        rows = lax.full((size or 0, *x.shape[1:]), 0 if fill_value is None else fill_value, x.dtype)
        none = lax.full((size or 0,), 0, integer)
        return rows, none, lax.full((0,), 0, integer), none, lax.full((), 0, integer)
    ordered, first, order = _in_order(x, equal_nan)
    total = sum_over(first, dtype=integer)
    found = nonzero(first, size=size)[0]
    length = found.shape[0]
    rows, places = take(ordered, found, 0, mode="clip"), take(order, found, 0, mode="clip")
    number = lax.sub(lax.cumsum(lax.convert_element_type(first, integer)), 1)
    inverse = lax.sort((order, number))[1]  # back to where the rows were
    if size is None:
        ends = lax.concatenate([lax.slice_in_dim(found, 1, length), lax.full((1,), n, integer)], 0)
        counts = lax.sub(ends, found)
    else:  # the end of the last one is the next one's start, or the end of all
        is_found = lax.lt(lax.iota(integer, length), lax.broadcast_in_dim(total, (length,)))
        ends = nonzero(first, size=length + 1, fill_value=n)[0]
        counts = lax.sub(lax.slice_in_dim(ends, 1, length + 1), found)
        counts = lax.select(is_found, counts, lax.full((length,), 0, integer))
        if fill_value is not None:
            fill = to_dtype(as_array("unique", fill_value), x.dtype)
            mask = lax.broadcast_in_dim(is_found, tuple(rows.shape), (0,))
            rows = where(mask, rows, fill)
    return rows, places, inverse, counts, total


def unique(
    ar: ArrayLike, return_index: bool = False, return_inverse: bool = False, return_counts: bool = False,
    axis: int | None = None, *, equal_nan: bool = True, size: int | None = None, fill_value: ArrayLike | None = None,
    sorted: bool = True,
) -> Any:  # fmt: skip
    """The distinct elements in order (distinct slices along ``axis``).

    Also, where asked for: the position of each one's first appearance, the number of each element's distinct one, and
    how often each appears.

    Args:
      size: the length of the result, cut or padded with ``fill_value`` (the least element); needed where the values
        are not known (under jit, vmap and in loop bodies).
      equal_nan: NaNs are one element.

    Raises:
      TypeError: values that are not known, and no size.

    >>> import functrans.numpy as fnp
    >>> fnp.unique(fnp.array([3, 1, 3]))
    Array([1, 3], dtype=int32)
    >>> fnp.unique(fnp.array([3, 1, 3]), size=4, fill_value=0)
    Array([1, 3, 0, 0], dtype=int32)
    """
    x = as_array("unique", ar)
    size = _count("unique", size)
    shape = tuple(x.shape)
    if axis is None:
        x = ravel(x)
    else:
        axis = axis_index("unique", axis, len(shape))
        x = moveaxis(x, axis, 0)
    rows, places, inverse, counts, _ = _unique(x, size, fill_value, equal_nan)
    results = [rows if axis is None else moveaxis(rows, 0, axis)]
    if return_index:
        results.append(places)
    if return_inverse:
        results.append(lax.reshape(inverse, shape) if axis is None else inverse)
    if return_counts:
        results.append(counts)
    return results[0] if len(results) == 1 else tuple(results)


class UniqueAll(NamedTuple):
    """What ``unique_all`` gives."""

    values: Array
    indices: Array
    inverse_indices: Array
    counts: Array


class UniqueCounts(NamedTuple):
    """What ``unique_counts`` gives."""

    values: Array
    counts: Array


class UniqueInverse(NamedTuple):
    """What ``unique_inverse`` gives."""

    values: Array
    inverse_indices: Array


def unique_all(x: ArrayLike, /, *, size: int | None = None, fill_value: ArrayLike | None = None) -> UniqueAll:
    """Distinct elements (each NaN one of its own), first positions, numbers of the distinct ones, and counts."""
    return UniqueAll(*unique(x, True, True, True, equal_nan=False, size=size, fill_value=fill_value))


def unique_counts(x: ArrayLike, /, *, size: int | None = None, fill_value: ArrayLike | None = None) -> UniqueCounts:
    """Distinct elements (each NaN one of its own) and their counts."""
    return UniqueCounts(*unique(x, return_counts=True, equal_nan=False, size=size, fill_value=fill_value))


def unique_inverse(x: ArrayLike, /, *, size: int | None = None, fill_value: ArrayLike | None = None) -> UniqueInverse:
    """Distinct elements (each NaN one of its own) and the number of each element's distinct one."""
    return UniqueInverse(*unique(x, return_inverse=True, equal_nan=False, size=size, fill_value=fill_value))


def unique_values(x: ArrayLike, /, *, size: int | None = None, fill_value: ArrayLike | None = None) -> Array:
    """Distinct elements (each NaN one of its own)."""
    return unique(x, equal_nan=False, size=size, fill_value=fill_value)


# -- arrays as sets ----------------------------------------------------------------------------------------------------


def isin(
    element: ArrayLike, test_elements: ArrayLike, assume_unique: bool = False, invert: bool = False, *,
    method: str = "auto",
) -> Array:  # fmt: skip
    """Whether each element is among the test elements (``invert``: is not). NaN is among none.

    ``method``: 'compare_all', 'binary_search' or 'sort' (the same here); 'auto' compares all with few.

    >>> import functrans.numpy as fnp
    >>> fnp.isin(fnp.array([1, 2, 3]), fnp.array([2, 5]))
    Array([False,  True, False], dtype=bool)
    """
    if method not in ("auto", "compare_all", "binary_search", "sort"):
        raise FunctransValueError(
            f"isin: method must be 'auto', 'compare_all', 'binary_search' or 'sort', got {method!r}"
        )
    x = as_array("isin", element)
    shape = tuple(x.shape)
    x, among = promote_dtypes("isin", ravel(x), ravel(as_array("isin", test_elements)))
    if not x.shape[0] or not among.shape[0]:
        return lax.full(shape, bool(invert))
    if method in ("auto", "compare_all"):
        table = (x.shape[0], among.shape[0])
        same = lax.eq(lax.broadcast_in_dim(x, table, (0,)), lax.broadcast_in_dim(among, table, (1,)))
        found = lax.reduce_or(same, (1,))
    else:
        among = lax.sort(among)
        found = lax.eq(take(among, searchsorted(among, x), 0, mode="clip"), x)
    return lax.reshape(lax.bitwise_not(found) if invert else found, shape)


def union1d(
    ar1: ArrayLike, ar2: ArrayLike, *, size: int | None = None, fill_value: ArrayLike | None = None
) -> Array:
    """The elements of either array, distinct and in order.

    >>> import functrans.numpy as fnp
    >>> fnp.union1d(fnp.array([1, 3]), fnp.array([2, 3]))
    Array([1, 2, 3], dtype=int32)
    """
    both = concatenate([ravel(as_array("union1d", x)) for x in (ar1, ar2)])
    return unique(both, size=size, fill_value=fill_value)


def setdiff1d(
    ar1: ArrayLike, ar2: ArrayLike, assume_unique: bool = False, *, size: int | None = None,
    fill_value: ArrayLike | None = None,
) -> Array:  # fmt: skip
    """The elements of the first array that are not in the second, distinct and in order.

    >>> import functrans.numpy as fnp
    >>> fnp.setdiff1d(fnp.array([1, 2, 3]), fnp.array([2]))
    Array([1, 3], dtype=int32)
    """
    x = ravel(as_array("setdiff1d", ar1))
    size = _count("setdiff1d", size)
    fill = to_dtype(as_array("setdiff1d", 0 if fill_value is None else fill_value), x.dtype, type_of(x).weak_type)
    n = x.shape[0]
    if not n:
        return lax.broadcast_in_dim(asarray(fill), (size or 0,))
    among = lax.full((n,), True)
    if not assume_unique:
        x, _, _, _, total = _unique(x, n, None)
        among = lax.lt(lax.iota(_integer(), n), lax.broadcast_in_dim(total, (n,)))
    return _chosen(x, lax.bitwise_and(among, isin(x, ar2, invert=True)), size, fill)


def _chosen(x: Any, mask: Any, size: int | None, fill: Any) -> Any:
    """The elements where the mask holds."""
    found = nonzero(mask, size=size)[0]
    rows = take(x, found, 0, mode="clip")
    if size is None:
        return rows
    if not size:
        return rows
    total = lax.broadcast_in_dim(sum_over(mask, dtype=_integer()), (size,))
    is_found = lax.lt(lax.iota(_integer(), size), total)
    if fill is None:  # the least of what was found, which comes first; 0 if nothing was
        rows = select(lax.eq(total, 0), 0, rows)
        fill = lax.index_in_dim(rows, 0, keepdims=False)
    return where(is_found, rows, fill)


def _distinct(operation: str, x: Any, assume_unique: bool) -> tuple[Any, Any, Any]:
    """(elements, which of them count, where each was)."""
    n = x.shape[0]
    if assume_unique or not n:
        return x, lax.full((n,), True), lax.iota(_integer(), n)
    rows, places, _, _, total = _unique(x, n, None)
    return rows, lax.lt(lax.iota(_integer(), n), lax.broadcast_in_dim(total, (n,))), places


def _together(
    operation: str, ar1: ArrayLike, ar2: ArrayLike, assume_unique: bool
) -> tuple[Any, Any, Any, tuple[int, int], list[Any]]:
    """Both arrays' distinct elements in order: (elements, which count, places in both, sizes, places in each)."""
    arrays = promote_dtypes(operation, *[ravel(as_array(operation, x)) for x in (ar1, ar2)])
    parts = [_distinct(operation, x, assume_unique) for x in arrays]
    values, valid = (lax.concatenate([p[k] for p in parts], 0) for k in (0, 1))
    skipped, values, order = lax.sort(
        (lax.bitwise_not(valid), values, lax.iota(_integer(), values.shape[0])), num_keys=2
    )
    return values, lax.bitwise_not(skipped), order, tuple(x.shape[0] for x in arrays), [p[2] for p in parts]


def _repeats(values: Any, valid: Any) -> Any:
    """Whether each element is followed by an equal one: [n] -> [n - 1]."""
    n = values.shape[0]
    same = lax.eq(lax.slice_in_dim(values, 1, n), lax.slice_in_dim(values, 0, n - 1))
    return lax.bitwise_and(same, lax.slice_in_dim(valid, 1, n))


def intersect1d(
    ar1: ArrayLike, ar2: ArrayLike, assume_unique: bool = False, return_indices: bool = False, *,
    size: int | None = None, fill_value: ArrayLike | None = None,
) -> Any:  # fmt: skip
    """The elements of both arrays, distinct and in order; also their positions in each with ``return_indices``.

    >>> import functrans.numpy as fnp
    >>> fnp.intersect1d(fnp.array([1, 2, 3]), fnp.array([3, 2]))
    Array([2, 3], dtype=int32)
    """
    size = _count("intersect1d", size)
    values, valid, order, sizes, places = _together("intersect1d", ar1, ar2, assume_unique)
    values = values if size is None else strengthened(values)
    n = values.shape[0]
    if not n:
        none = lax.full((size or 0,), 0, values.dtype)
        index = lax.full((size or 0,), 0, _integer())
        return (none, index, index) if return_indices else none
    mask = lax.concatenate([_repeats(values, valid), lax.full((1,), False)], 0)
    fill = None if fill_value is None else to_dtype(as_array("intersect1d", fill_value), values.dtype)
    common = _chosen(values, mask, size, fill)
    if not return_indices:
        return common
    at = nonzero(mask, size=size)[0]
    length = at.shape[0]
    is_found = lax.lt(lax.iota(_integer(), length), lax.broadcast_in_dim(sum_over(mask, dtype=_integer()), (length,)))
    results = [common]
    for k, (count, where_was) in enumerate(zip(sizes, places, strict=True)):
        place = take(order, lax.add(at, k), 0, mode="clip")
        place = take(where_was, lax.sub(place, sizes[0]) if k else place, 0, mode="clip")
        results.append(lax.select(is_found, place, lax.full((length,), count, _integer())))
    return tuple(results)


def setxor1d(
    ar1: ArrayLike, ar2: ArrayLike, assume_unique: bool = False, *, size: int | None = None,
    fill_value: ArrayLike | None = None,
) -> Array:  # fmt: skip
    """The elements of one array that are not in the other, distinct and in order.

    >>> import functrans.numpy as fnp
    >>> fnp.setxor1d(fnp.array([1, 2]), fnp.array([2, 3]))
    Array([1, 3], dtype=int32)
    """
    size = _count("setxor1d", size)
    values, valid, _, _, _ = _together("setxor1d", ar1, ar2, assume_unique)
    values = values if size is None else strengthened(values)
    if not values.shape[0]:
        return lax.full((size or 0,), 0, values.dtype)
    repeated, no = _repeats(values, valid), lax.full((1,), False)
    paired = lax.bitwise_or(lax.concatenate([repeated, no], 0), lax.concatenate([no, repeated], 0))
    fill = None if fill_value is None else to_dtype(as_array("setxor1d", fill_value), values.dtype)
    return _chosen(values, lax.bitwise_and(valid, lax.bitwise_not(paired)), size, fill)


__all__ = [
    "intersect1d", "isin", "setdiff1d", "setxor1d", "union1d", "unique", "unique_all", "unique_counts",
    "unique_inverse", "unique_values",
]  # fmt: skip
