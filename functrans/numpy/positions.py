"""Where an array is not zero."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from functrans import lax
from functrans.errors import FunctransValueError
from functrans.ir.types import scalar_type
from functrans.numpy.comparison import truth
from functrans.numpy.creation import asarray
from functrans.numpy.promotion import (
    Array,
    ArrayLike,
    as_array,
    as_operand,
    shape_of,
    static_value,
    to_dtype,
)
from functrans.numpy.shapes import ravel
from functrans.trace.tracer import Tracer


def nonzero(a: ArrayLike, *, size: int | None = None, fill_value: Any = None) -> tuple[Array, ...]:
    """The positions of the elements that are not 0, one index array an axis.

    ``size`` truncates, or pads with ``fill_value`` (0; one value, or one an axis). Without it the values of ``a`` must
    be known, for they decide the shape of the result.

    Raises:
      TypeError: no size, and an array without values (under jit, vmap, in loop bodies).

    >>> import functrans.numpy as fnp
    >>> fnp.nonzero(fnp.array([0, 7]))
    (Array([1], dtype=int32),)
    """
    a = as_operand("nonzero", a)
    if not np.ndim(a):
        raise FunctransValueError("nonzero: an array of rank 0 has no positions; use functrans.numpy.atleast_1d(a)")
    if size is not None and type(a) is Tracer:
        return _of_size(a, int(static_value("nonzero", "size", size)), fill_value)
    what = "nonzero (where with the condition alone; pass size= to fix the length)"
    values = static_value(what, "the array", a)
    found = np.nonzero(np.atleast_1d(np.asarray(values)))
    if size is not None:
        found = tuple(
            np.concatenate([at[:size], np.full(max(0, size - len(at)), np.asarray(fill))])
            for at, fill in zip(found, _fills(fill_value, len(found)), strict=True)
        )
    return tuple(asarray(at.astype(scalar_type(int).dtype)) for at in found)


def _fills(fill_value: Any, count: int) -> tuple[Any, ...]:
    return fill_value if isinstance(fill_value, tuple) else (0 if fill_value is None else fill_value,) * count


def _of_size(a: Any, size: int, fill_value: Any) -> tuple[Array, ...]:
    """The first ``size`` positions: each true element writes its own where the running count says."""
    index = scalar_type(int).dtype
    shape = tuple(a.shape) or (1,)
    count = math.prod(shape)
    if not count or not size:
        return tuple(lax.full((size,), int(fill), index) for fill in _fills(fill_value, len(shape)))
    mask = lax.reshape(as_array("nonzero", truth("nonzero", a)), (count,))
    numbers = lax.cumsum(lax.convert_element_type(mask, index))
    target = lax.select(mask, lax.sub(numbers, 1), lax.full((count,), size, index))
    dimension_numbers = lax.ScatterDimensionNumbers((), (0,), (0,))
    flat = lax.scatter(
        lax.full((size,), 0, index), lax.reshape(target, (count, 1)), lax.iota(index, count), dimension_numbers,
        mode="drop",
    )  # fmt: skip
    total = lax.broadcast_in_dim(lax.index_in_dim(numbers, count - 1, keepdims=False), (size,))
    is_found = lax.lt(lax.iota(index, size), total)
    results = []
    for axis, fill in enumerate(_fills(fill_value, len(shape))):
        at = lax.rem(lax.div(flat, math.prod(shape[axis + 1 :])), shape[axis])
        value = lax.broadcast_in_dim(to_dtype(as_array("nonzero", fill), index), (size,))
        results.append(lax.select(is_found, at, value))
    return tuple(results)


def flatnonzero(a: ArrayLike, *, size: int | None = None, fill_value: Any = None) -> Array:
    """The positions, in the flattened array, of the elements that are not 0; ``size`` and ``fill_value`` as nonzero."""
    return nonzero(ravel(a), size=size, fill_value=fill_value)[0]


def argwhere(a: ArrayLike, *, size: int | None = None, fill_value: Any = None) -> Array:
    """The positions of the elements that are not 0, as rows; ``size`` and ``fill_value`` as nonzero."""
    rank = len(shape_of(as_operand("argwhere", a)))
    found = nonzero(a if rank else lax.reshape(asarray(a), (1,)), size=size, fill_value=fill_value)
    columns = [lax.expand_dims(asarray(at), (1,)) for at in found[:rank]]
    if not columns:
        return lax.full((found[0].shape[0], 0), 0, scalar_type(int).dtype)
    return lax.concatenate(columns, 1)


__all__ = ["argwhere", "flatnonzero", "nonzero"]
