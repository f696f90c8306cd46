"""Counting: how often integers appear, and how many samples lie in bins."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from functrans import lax
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import scalar_type
from functrans.numpy.arithmetic import add, divide, multiply, subtract
from functrans.numpy.calculus import diff
from functrans.numpy.comparison import equal
from functrans.numpy.creation import asarray, ones_like, zeros
from functrans.numpy.grids import linspace
from functrans.numpy.promotion import (
    BOOL,
    INTEGERS,
    Array,
    ArrayLike,
    as_array,
    inexact_dtype,
    is_scalar,
    promote_dtypes,
    static_array,
    static_value,
    to_dtype,
)
from functrans.numpy.reductions import max as max_over
from functrans.numpy.reductions import min as min_over
from functrans.numpy.reductions import sum as sum_over
from functrans.numpy.selection import clip, where
from functrans.numpy.shapes import ravel
from functrans.numpy.sorting import searchsorted
from functrans.numpy.updates import IndexUpdate
from functrans.trace.keywords import takes


@takes(out_sharding=None)
def bincount(
    x: ArrayLike, weights: ArrayLike | None = None, minlength: int = 0, *, length: int | None = None
) -> Array:
    """How often each of 0, 1, 2 ... appears in a vector of integers, or the sum of the weights where it does.

    Args:
      x: integers; negative ones count as 0.
      weights: a vector of the shape of ``x``.
      minlength: the least length of the result.
      length: the length of the result; needed where the values of x are not known. Larger integers are dropped.

    Raises:
      TypeError: x is not of integers; its values are not known and no length is given.
      ValueError: x is no vector, or the weights have another shape.

    >>> import functrans.numpy as fnp
    >>> fnp.bincount(fnp.array([0, 2, 2]))
    Array([1, 0, 2], dtype=int32)
    """
    values = as_array("bincount", x)
    if values.dtype == BOOL:
        values = to_dtype(values, np.dtype(np.int32))
    if values.dtype not in INTEGERS:
        raise FunctransTypeError(f"bincount: integers are needed, got dtype {values.dtype.name}")
    if len(values.shape) != 1:
        raise FunctransValueError(f"bincount: a vector is needed, got shape {tuple(values.shape)}")
    if length is None:
        known = static_array("bincount (without length=)", "the array", values)
        length = max(operator.index(minlength), int(known.max(initial=-1)) + 1)
    if weights is None:
        w: Any = 1
        dtype = scalar_type(int).dtype
    else:
        w = as_array("bincount", weights)
        dtype = w.dtype
        if tuple(w.shape) != tuple(values.shape):
            raise FunctransValueError(
                f"bincount: weights of shape {tuple(w.shape)} for integers of shape {tuple(values.shape)}"
            )
    return IndexUpdate(zeros(operator.index(length), dtype), clip(values, 0)).add(w, mode="drop")


def histogram_bin_edges(
    a: ArrayLike, bins: ArrayLike = 10, range: Sequence[ArrayLike] | None = None, weights: ArrayLike | None = None
) -> Array:
    """The edges of ``bins`` bins of one width over ``range`` (least to largest element), or ``bins`` itself.

    >>> import functrans.numpy as fnp
    >>> fnp.histogram_bin_edges(fnp.array([0., 4.]), 2)
    Array([0., 2., 4.], dtype=float32)
    """
    if isinstance(bins, str):
        raise NotImplementedError(f"histogram_bin_edges: rules by name are not supported, got {bins!r}; give a number")
    x = as_array("histogram_bin_edges", a)
    dtype = inexact_dtype(x.dtype)
    if not is_scalar(bins):
        edges = as_array("histogram_bin_edges", asarray(bins))
        if len(edges.shape) == 1:
            return asarray(to_dtype(edges, dtype))
        bins = static_value("histogram_bin_edges", "the number of bins", edges)
    if range is None:
        low, high = min_over(x), max_over(x)
    else:
        if len(range) != 2:
            raise FunctransValueError(f"histogram_bin_edges: range must be (low, high), got {range!r}")
        low, high = range
    low, high = (asarray(to_dtype(as_array("histogram_bin_edges", v), dtype)) for v in (low, high))
    flat = equal(low, high)
    low, high = where(flat, subtract(low, 0.5), low), where(flat, add(high, 0.5), high)
    return linspace(low, high, operator.index(np.asarray(bins).item()) + 1, dtype=dtype)


def _bin_numbers(x: Any, edges: Any) -> Any:
    """1 for the first bin, ...; 0 below; the last edge belongs to the last bin."""
    n = edges.shape[0]
    at_end = equal(x, lax.index_in_dim(edges, n - 1, keepdims=False))
    return where(at_end, n - 1, searchsorted(edges, x, "right"))


@takes(out_sharding=None)
def histogram(
    a: ArrayLike, bins: ArrayLike = 10, range: Sequence[ArrayLike] | None = None, weights: ArrayLike | None = None,
    density: bool | None = None,
) -> tuple[Array, Array]:  # fmt: skip
    """How many elements (or how much weight) lie in each bin, and the bins' edges.

    Args:
      bins: a number of bins of one width, or a vector of edges; a bin holds its lower edge, the last one both.
      range: (low, high) of the bins; without it, from the least to the largest element.
      density: divided by the total and by the widths, so that the integral is 1.

    >>> import functrans.numpy as fnp
    >>> fnp.histogram(fnp.array([1., 1., 3.]), 2)[0]
    Array([2., 1.], dtype=float32)
    """
    x = as_array("histogram", a)
    if weights is None:
        (x,) = promote_dtypes("histogram", x, inexact=True)
        w: Any = ones_like(x)
    else:
        w = as_array("histogram", weights)
        if tuple(w.shape) != tuple(x.shape):
            raise FunctransValueError(f"histogram: weights of shape {tuple(w.shape)} for samples of {tuple(x.shape)}")
        x, w = promote_dtypes("histogram", x, w, inexact=True)
    edges = histogram_bin_edges(x, bins, range)
    n = edges.shape[0]
    counts = IndexUpdate(zeros(n, w.dtype), ravel(_bin_numbers(x, edges))).add(ravel(w))
    counts = lax.slice_in_dim(counts, 1, n)
    if density:
        counts = divide(divide(counts, diff(edges)), sum_over(counts))
    return counts, edges


def histogramdd(
    sample: ArrayLike, bins: Any = 10, range: Sequence[Any] | None = None, weights: ArrayLike | None = None,
    density: bool | None = None,
) -> tuple[Array, list[Array]]:  # fmt: skip
    """How many points (rows of ``sample``: [count, dimensions]) lie in each box, and the edges along each dimension.

    ``bins``: as for ``histogram``, one for all dimensions or a sequence of one for each; ``range``: likewise, or None.
    """
    x = as_array("histogramdd", sample)
    if len(x.shape) != 2:
        raise FunctransValueError(f"histogramdd: samples must be of shape [count, dimensions], got {tuple(x.shape)}")
    count, dimensions = x.shape
    if weights is None:
        (x,) = promote_dtypes("histogramdd", x, inexact=True)
        w: Any = None
    else:
        w = as_array("histogramdd", weights)
        if tuple(w.shape) != (count,):
            raise FunctransValueError(f"histogramdd: weights of shape {tuple(w.shape)} for {count} samples")
        x, w = promote_dtypes("histogramdd", x, w, inexact=True)
    each = list(bins) if isinstance(bins, list | tuple) else [bins] * dimensions
    if is_scalar(bins) is False and not isinstance(bins, list | tuple) and len(bins.shape):
        each = [lax.index_in_dim(asarray(bins), i, keepdims=False) for i in np.arange(bins.shape[0])]
    if len(each) != dimensions or (range is not None and len(range) != dimensions):
        raise FunctransValueError(
            f"histogramdd: bins (and range) must be one for all or one for each of the {dimensions} dimensions, got "
            f"bins={bins!r}, range={range!r}"
        )
    columns = [lax.index_in_dim(x, i, 1, keepdims=False) for i in np.arange(dimensions)]
    edges = [
        histogram_bin_edges(column, b, None if range is None else range[i])
        for i, (column, b) in enumerate(zip(columns, each, strict=True))
    ]
    sizes = [e.shape[0] + 1 for e in edges]
    flat: Any = 0
    for column, e, size in zip(columns, edges, sizes, strict=True):
        at_end = equal(column, lax.index_in_dim(e, e.shape[0] - 1, keepdims=False))
        place = searchsorted(e, column, "right")
        flat = add(multiply(flat, size), where(at_end, subtract(place, 1), place))
    hist = bincount(flat, w, length=math.prod(sizes))
    hist = lax.slice(lax.reshape(hist, sizes), (1,) * dimensions, [n - 1 for n in sizes])
    if density:
        hist = to_dtype(hist, x.dtype)
        hist = divide(hist, sum_over(hist))
        for i, e in enumerate(edges):
            hist = divide(hist, lax.broadcast_in_dim(diff(e), tuple(hist.shape), (i,)))
    return hist, edges


def histogram2d(
    x: ArrayLike, y: ArrayLike, bins: Any = 10, range: Sequence[Any] | None = None, weights: ArrayLike | None = None,
    density: bool | None = None,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """``histogramdd`` of points with coordinates ``x`` and ``y``: counts, edges along x, edges along y."""
    first, second = promote_dtypes("histogram2d", as_array("histogram2d", x), as_array("histogram2d", y))
    if not is_scalar(bins) and (isinstance(bins, list | tuple) or np.ndim(bins)) and len(bins) not in (1, 2):
        bins = [asarray(bins)] * 2
    sample = lax.concatenate([lax.expand_dims(asarray(v), (1,)) for v in (first, second)], 1)
    hist, edges = histogramdd(sample, bins, range, weights, density)
    return hist, edges[0], edges[1]


__all__ = ["bincount", "histogram", "histogram2d", "histogram_bin_edges", "histogramdd"]
