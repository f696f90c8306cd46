"""Quantiles, percentiles and medians."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from functrans import lax
from functrans.errors import FunctransValueError
from functrans.numpy.arithmetic import add, maximum, minimum, multiply, subtract
from functrans.numpy.comparison import isnan
from functrans.numpy.creation import asarray
from functrans.numpy.families import one_program
from functrans.numpy.promotion import (
    COMPLEX,
    INEXACT,
    Array,
    ArrayLike,
    as_array,
    axis_indices,
    broadcast,
    inexact_dtype,
    promote_dtypes,
    promote_one,
    to_dtype,
)
from functrans.numpy.reductions import any as any_over
from functrans.numpy.reductions import sum as sum_over
from functrans.numpy.selection import take_along_axis, where
from functrans.trace.keywords import takes

Axis = Any
METHODS = ("linear", "lower", "higher", "midpoint", "nearest", "inverted_cdf")
_INDEX = np.dtype(np.int32)


def _rows(x: Any, axes: tuple[int, ...]) -> Any:
    """The array with the reduced axes as one, the last."""
    kept = [a for a in range(len(x.shape)) if a not in axes]
    moved = lax.transpose(x, (*kept, *axes))
    return lax.reshape(moved, (*[x.shape[a] for a in kept], math.prod(x.shape[a] for a in axes)))


def _quantile(
    operation: str, a: ArrayLike, q: ArrayLike, axis: Axis, out: Any, overwrite_input: bool, method: str,
    keepdims: bool, weights: ArrayLike | None, skip_nans: bool,
) -> Array:  # fmt: skip
    if overwrite_input or out is not None:
        raise FunctransValueError(f"{operation}: overwrite_input and out are not supported: arrays are immutable")
    if method not in METHODS:
        raise FunctransValueError(f"{operation}: method must be one of {METHODS}, got {method!r}")
    if weights is not None and method != "inverted_cdf":
        raise NotImplementedError(f"{operation}: weights go with method='inverted_cdf' alone, got {method!r}")
    x = as_array(operation, a)
    if x.dtype in COMPLEX:
        raise FunctransValueError(f"{operation}: complex numbers have no order")
    x = asarray(to_dtype(x, inexact_dtype(x.dtype)))
    q = as_array(operation, q)
    q = asarray(to_dtype(q, inexact_dtype(q.dtype)) if q.dtype not in INEXACT else q)
    if len(q.shape) > 1:
        raise FunctransValueError(f"{operation}: q must be a scalar or a vector, got shape {tuple(q.shape)}")
    axes = axis_indices(operation, axis, len(x.shape))
    shape = tuple(x.shape)
    if 0 in [shape[i] for i in axes]:
        raise FunctransValueError(f"{operation}: the axes {axes} of shape {shape} hold no element")
    w = None if weights is None else _weights(operation, weights, x, axis, axes)
    rows = _rows(x, axes)
    quantiles = lax.reshape(q, (math.prod(q.shape),))
    if method == "inverted_cdf":
        result = _inverted_cdf(rows, quantiles, None if w is None else _rows(w, axes), skip_nans)
    else:
        result = _interpolated(rows, quantiles, method, skip_nans)
    lead = tuple([1 if i in axes and keepdims else n for i, n in enumerate(shape) if keepdims or i not in axes])
    last = len(rows.shape) - 1
    result = lax.transpose(result, (last, *range(last)))
    return to_dtype(lax.reshape(result, (*q.shape, *lead)), x.dtype)


def _interpolated(rows: Any, q: Any, method: str, skip_nans: bool) -> Any:
    """[..., n], [k] -> [..., k]."""
    *lead, n = rows.shape
    shape = (*lead, q.shape[0])
    ordered = lax.sort(rows)
    if skip_nans:
        count = sum_over(lax.bitwise_not(isnan(ordered)), -1, dtype=q.dtype)
        top = broadcast(lax.expand_dims(subtract(count, 1.0), (len(lead),)), shape)
    else:
        top = lax.full(shape, n - 1, q.dtype)
    at = multiply(lax.broadcast_in_dim(q, shape, (len(lead),)), top)
    low, high = lax.floor(at), lax.ceil(at)
    share = subtract(at, low)
    zero = lax.full(shape, 0, q.dtype)
    places = [to_dtype(lax.stop_gradient(maximum(minimum(v, top), zero)), _INDEX) for v in (low, high)]
    below, above = (take_along_axis(ordered, p, -1, mode="promise_in_bounds") for p in places)
    if method == "linear":
        between = add(
            multiply(to_dtype(below, q.dtype), subtract(1.0, share)), multiply(to_dtype(above, q.dtype), share)
        )
        result = where(lax.eq(*places), to_dtype(below, q.dtype), between)  # infinity * 0 would be NaN
    elif method == "midpoint":
        result = multiply(add(below, above), 0.5)
    elif method == "nearest":
        result = where(lax.le(share, 0.5), below, above)
    else:
        result = below if method == "lower" else above
    if skip_nans:
        return where(lax.lt(top, 0.0), math.nan, result)  # of no number: not that of the first NaN
    largest = lax.slice_in_dim(ordered, n - 1, n, axis=len(lead))
    return where(broadcast(isnan(largest), shape), math.nan, result)


def _weights(operation: str, weights: ArrayLike, x: Any, axis: Axis, axes: tuple[int, ...]) -> Any:
    w = as_array(operation, weights)
    if w.dtype in COMPLEX:
        raise FunctransValueError(f"{operation}: weights must be real, got dtype {w.dtype.name}")
    _, w = promote_dtypes(operation, x, w, inexact=True)
    if tuple(w.shape) == tuple(x.shape):
        return w
    if axis is None or tuple(w.shape) != tuple(x.shape[i] for i in axes):
        raise FunctransValueError(
            f"{operation}: weights of shape {tuple(w.shape)} match neither the array of shape {tuple(x.shape)} nor its "
            f"axes {axes if axis is not None else '(none was named)'}"
        )
    return lax.broadcast_in_dim(w, tuple(x.shape), axes)


def _inverted_cdf(rows: Any, q: Any, weights: Any, skip_nans: bool) -> Any:
    """The first element at which the running weight reaches q times the total."""
    *lead, n = rows.shape
    rank = len(lead)
    if weights is None:
        ordered = lax.sort(rows)
        w = lax.full(tuple(rows.shape), 1, rows.dtype)
    else:
        ordered, w = lax.sort((rows, weights))
    is_nan = isnan(ordered)
    bad = lax.bitwise_or(lax.lt(w, 0.0), isnan(w))
    running = lax.cumsum(where(lax.bitwise_or(bad, is_nan), 0.0, w), rank)
    total = lax.slice_in_dim(running, n - 1, n, axis=rank)
    shape = (*lead, q.shape[0])
    q = to_dtype(q, rows.dtype) if q.dtype != rows.dtype else q
    target = multiply(broadcast(total, shape), lax.broadcast_in_dim(q, shape, (rank,)))
    table = (*shape, n)
    less = lax.lt(
        lax.broadcast_in_dim(running, table, (*range(rank), rank + 1)),
        lax.broadcast_in_dim(target, table, tuple(range(rank + 1))),
    )
    place = lax.reduce_sum(lax.convert_element_type(less, _INDEX), (rank + 1,))
    count = sum_over(lax.bitwise_not(is_nan), -1, dtype=_INDEX, keepdims=True)
    top = lax.sub(count, 1) if skip_nans else lax.full(tuple(count.shape), n - 1, _INDEX)
    place = lax.max(lax.min(place, broadcast(top, shape)), lax.full(shape, 0, _INDEX))
    result = take_along_axis(ordered, place, -1, mode="promise_in_bounds")
    unknown = lax.eq(count, 0) if skip_nans else any_over(is_nan, -1, keepdims=True)
    unknown = lax.bitwise_or(unknown, any_over(bad, -1, keepdims=True))
    return where(broadcast(unknown, shape), math.nan, result)


_STATIC = ("axis", "out", "overwrite_input", "method", "keepdims")


@one_program(*_STATIC)
def quantile(
    a: ArrayLike, q: ArrayLike, axis: Axis = None, out: None = None, overwrite_input: bool = False,
    method: str = "linear", keepdims: bool = False, *, weights: ArrayLike | None = None,
) -> Array:  # fmt: skip
    """The quantiles ``q`` (a scalar or a vector, in [0, 1]) over ``axis``; NaN where there is a NaN.

    Args:
      a: real numbers.
      axis: an int, several, or None for all axes. The axis of q comes first in the result.
      method: between two elements 'linear', 'lower', 'higher', 'midpoint', 'nearest'; or 'inverted_cdf'.
      weights: for 'inverted_cdf', of the shape of ``a`` or of its reduced axes.

    Raises:
      ValueError: complex numbers, an unknown method, q of rank 2, no element, or weights that do not fit.

    >>> import functrans.numpy as fnp
    >>> fnp.quantile(fnp.array([1., 2., 4.]), 0.75)
    Array(3., dtype=float32)
    """
    return _quantile("quantile", a, q, axis, out, overwrite_input, method, keepdims, weights, False)


@one_program(*_STATIC)
def nanquantile(
    a: ArrayLike, q: ArrayLike, axis: Axis = None, out: None = None, overwrite_input: bool = False,
    method: str = "linear", keepdims: bool = False, *, weights: ArrayLike | None = None,
) -> Array:  # fmt: skip
    """``quantile`` of the elements that are not NaN; NaN where there is none."""
    return _quantile("nanquantile", a, q, axis, out, overwrite_input, method, keepdims, weights, True)


def _hundredths(operation: str, q: ArrayLike) -> Any:
    q = promote_one(operation, as_array(operation, q), inexact=True)
    return lax.div(asarray(q), 100.0)


@takes(out_sharding=None)
@one_program(*_STATIC)
def percentile(
    a: ArrayLike, q: ArrayLike, axis: Axis = None, out: None = None, overwrite_input: bool = False,
    method: str = "linear", keepdims: bool = False, *, weights: ArrayLike | None = None,
) -> Array:  # fmt: skip
    """``quantile`` with ``q`` in percent.

    >>> import functrans.numpy as fnp
    >>> fnp.percentile(fnp.array([1., 2., 4.]), 75)
    Array(3., dtype=float32)
    """
    q = _hundredths("percentile", q)
    return _quantile("percentile", a, q, axis, out, overwrite_input, method, keepdims, weights, False)


@one_program(*_STATIC)
def nanpercentile(
    a: ArrayLike, q: ArrayLike, axis: Axis = None, out: None = None, overwrite_input: bool = False,
    method: str = "linear", keepdims: bool = False, *, weights: ArrayLike | None = None,
) -> Array:  # fmt: skip
    """``percentile`` of the elements that are not NaN; NaN where there is none."""
    q = _hundredths("nanpercentile", q)
    return _quantile("nanpercentile", a, q, axis, out, overwrite_input, method, keepdims, weights, True)


@one_program("axis", "out", "overwrite_input", "keepdims")
def median(
    a: ArrayLike, axis: Axis = None, out: None = None, overwrite_input: bool = False, keepdims: bool = False
) -> Array:
    """The element in the middle over ``axis``, or the mean of the two there; NaN where there is a NaN.

    >>> import functrans.numpy as fnp
    >>> fnp.median(fnp.array([5., 1., 2., 3.]))
    Array(2.5, dtype=float32)
    """
    return _quantile("median", a, 0.5, axis, out, overwrite_input, "midpoint", keepdims, None, False)


@one_program("axis", "out", "overwrite_input", "keepdims")
def nanmedian(
    a: ArrayLike, axis: Axis = None, out: None = None, overwrite_input: bool = False, keepdims: bool = False
) -> Array:
    """``median`` of the elements that are not NaN; NaN where there is none."""
    return _quantile("nanmedian", a, 0.5, axis, out, overwrite_input, "midpoint", keepdims, None, True)


__all__ = ["median", "nanmedian", "nanpercentile", "nanquantile", "percentile", "quantile"]
