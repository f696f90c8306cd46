"""Arrays with some elements replaced, and positions counted along one axis or along all.

NumPy writes into its operand; arrays are immutable: these functions take ``inplace=False`` and return a new array.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from functrans import lax
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import describe
from functrans.jaxlib_compat.tracing import JaxTracer
from functrans.numpy.arithmetic import add, divmod, multiply, remainder, subtract
from functrans.numpy.comparison import greater, less, not_equal
from functrans.numpy.creation import asarray, ones
from functrans.numpy.grids import diag_indices, tril_indices, triu_indices
from functrans.numpy.indexing import normalized
from functrans.numpy.positions import nonzero
from functrans.numpy.promotion import (
    BOOL,
    INTEGERS,
    UNSIGNED,
    Array,
    ArrayLike,
    as_array,
    axis_index,
    axis_indices,
    broadcast,
    common_dtype,
    common_shape,
    requested_dtype,
    static_array,
    to_dtype,
)
from functrans.numpy.selection import clip, where
from functrans.numpy.shapes import ravel
from functrans.numpy.updates import IndexUpdate


def _refuse_inplace(operation: str, inplace: bool) -> None:
    if inplace:
        raise FunctransValueError(
            f"{operation}: arrays are immutable and cannot be changed in place; pass inplace=False and use the result"
        )


def _repeated(operation: str, values: Any, count: int) -> Any:
    """A vector's elements over and over, ``count`` of them."""
    n = values.shape[0]
    if not n:
        raise FunctransValueError(f"{operation}: there are no values to place")
    many = lax.reshape(lax.broadcast_in_dim(values, (-(-count // n), n), (1,)), (-(-count // n) * n,))
    return lax.slice_in_dim(many, 0, count)


def put(a: ArrayLike, ind: ArrayLike, v: ArrayLike, mode: str | None = None, *, inplace: bool = True) -> Array:
    """The array with the values ``v`` (repeated as needed) at positions ``ind`` of the flattened array.

    ``mode``: None drops positions out of bounds; 'clip' and 'wrap' bring them in.

    >>> import functrans.numpy as fnp
    >>> fnp.put(fnp.zeros(3), fnp.array([0, 2]), 5., inplace=False).tolist()
    [5.0, 0.0, 5.0]
    """
    _refuse_inplace("put", inplace)
    x, at, values = (ravel(as_array("put", y)) for y in (a, ind, v))
    shape = tuple(as_array("put", a).shape)
    n = x.shape[0]
    if at.dtype == BOOL:  # positions 0 and 1, and no mask
        at = to_dtype(at, np.dtype(np.int32))
    if not n or not at.shape[0] or not values.shape[0]:
        return asarray(a)
    if mode == "clip":
        at = clip(at, 0, n - 1)
    elif mode == "wrap":
        at = remainder(at, n)
    elif mode == "raise":
        raise NotImplementedError("put: mode='raise' is not supported: a compiled program cannot raise")
    elif mode is not None:
        raise FunctransValueError(f"put: mode must be None, 'clip' or 'wrap', got {mode!r}")
    out = IndexUpdate(x, at).set(_repeated("put", values, at.shape[0]), mode="drop")
    return lax.reshape(out, shape)


def place(arr: ArrayLike, mask: ArrayLike, vals: ArrayLike, *, inplace: bool = True) -> Array:
    """The array with values, one after the other, where the mask holds.

    >>> import functrans.numpy as fnp
    >>> fnp.place(fnp.zeros(3), fnp.array([True, False, True]), fnp.array([1., 2.]), inplace=False).tolist()
    [1.0, 0.0, 2.0]
    """
    _refuse_inplace("place", inplace)
    x, which, values = (as_array("place", y) for y in (arr, mask, vals))
    shape = tuple(x.shape)
    n = math.prod(shape)
    if math.prod(which.shape) != n:
        raise FunctransValueError(f"place: mask of shape {tuple(which.shape)} for an array of shape {shape}")
    values = ravel(values)
    if not n:
        return asarray(x)
    at = nonzero(ravel(which), size=n, fill_value=n)[0]
    return lax.reshape(IndexUpdate(ravel(x), at).set(_repeated("place", values, n), mode="drop"), shape)


def put_along_axis(
    arr: ArrayLike, indices: ArrayLike, values: ArrayLike, axis: int | None, inplace: bool = True, *,
    mode: str | None = None,
) -> Array:  # fmt: skip
    """The array with ``values`` at ``indices`` along ``axis``, the other positions being equal.

    >>> import functrans.numpy as fnp
    >>> fnp.put_along_axis(fnp.zeros((2, 2)), fnp.array([[1], [0]]), 5., 1, inplace=False).tolist()
    [[0.0, 5.0], [5.0, 0.0]]
    """
    _refuse_inplace("put_along_axis", inplace)
    x, at = as_array("put_along_axis", arr), as_array("put_along_axis", indices)
    shape = tuple(x.shape)
    if at.dtype not in INTEGERS:
        raise FunctransTypeError(f"put_along_axis: indices must be integers, got dtype {at.dtype.name}")
    if axis is None:
        x, axis = ravel(x), 0
    rank = len(x.shape)
    if len(at.shape) != rank:
        raise FunctransValueError(
            f"put_along_axis: indices and array must have one rank, got shapes {tuple(at.shape)} and {tuple(x.shape)}"
        )
    axis = axis_index("put_along_axis", axis, rank)
    updates = broadcast(as_array("put_along_axis", values), tuple(at.shape))
    others = [(*s[:axis], at.shape[axis], *s[axis + 1 :]) for s in (tuple(x.shape), tuple(at.shape))]
    full = common_shape("put_along_axis", *others)
    at = normalized(broadcast(at, full), x.shape[axis])
    places = tuple([at if i == axis else lax.broadcasted_iota(at.dtype, full, i) for i in range(rank)])
    out = IndexUpdate(x, places).set(broadcast(updates, full), mode=mode)
    return lax.reshape(out, shape)


def fill_diagonal(a: ArrayLike, val: ArrayLike, wrap: bool = False, *, inplace: bool = True) -> Array:
    """The array with ``val`` (a scalar, or values one after the other) on its main diagonal.

    >>> import functrans.numpy as fnp
    >>> fnp.fill_diagonal(fnp.zeros((2, 2)), 3., inplace=False).tolist()
    [[3.0, 0.0], [0.0, 3.0]]
    """
    _refuse_inplace("fill_diagonal", inplace)
    if wrap:
        raise NotImplementedError("fill_diagonal: wrap=True is not supported")
    x, value = as_array("fill_diagonal", a), as_array("fill_diagonal", val)
    shape = tuple(x.shape)
    if len(shape) < 2 or (len(shape) > 2 and len(set(shape)) > 1):
        raise FunctransValueError(f"fill_diagonal: a matrix, or axes of one size, are needed; got shape {shape}")
    n = min(shape)
    if value.shape:
        value = _repeated("fill_diagonal", ravel(value), n)
    return IndexUpdate(asarray(x), diag_indices(n, len(shape))).set(value)


def unravel_index(indices: ArrayLike, shape: Any) -> tuple[Array, ...]:
    """Positions in a flattened array of this shape as one index array an axis; those out of bounds are clipped.

    >>> import functrans.numpy as fnp
    >>> [int(i) for i in fnp.unravel_index(5, (2, 3))]
    [1, 2]
    """
    rest: Any = as_array("unravel_index", indices)
    is_unsigned = rest.dtype in UNSIGNED
    given = shape if isinstance(shape, Sequence) or getattr(shape, "ndim", 0) == 1 else (shape,)
    if any(getattr(n, "ndim", 0) for n in given):
        raise FunctransValueError(f"unravel_index: shape must be a number or a sequence of them, got {describe(shape)}")
    sizes = [n if isinstance(n, JaxTracer) else operator.index(n) for n in given]
    found: list[Any] = []
    for n in reversed(sizes):
        rest, at = divmod(rest, n)
        found.append(at)
    above = greater(rest, 0)
    results = []
    for n, at in zip(sizes, reversed(found), strict=True):
        inside = at if is_unsigned else where(less(rest, -1), 0, at)
        results.append(where(above, subtract(n, 1), inside))
    return tuple(results)


def ravel_multi_index(
    multi_index: Sequence[ArrayLike], dims: Sequence[int], mode: str = "raise", order: str = "C", *, dtype: Any = None
) -> Array:
    """Positions in the flattened array of indices along each axis.

    ``mode``: 'raise' (the values must be known), 'clip', 'wrap' or 'ignore'; ``order``: 'C' or 'F'.

    >>> import functrans.numpy as fnp
    >>> int(fnp.ravel_multi_index((fnp.array(1), fnp.array(2)), (2, 3)))
    5
    """
    indices = [as_array("ravel_multi_index", i) for i in multi_index]
    sizes = [operator.index(n) for n in dims]
    if len(indices) != len(sizes):
        raise FunctransValueError(f"ravel_multi_index: {len(indices)} index arrays for {len(sizes)} dimensions")
    if mode not in ("raise", "clip", "wrap", "ignore"):
        raise FunctransValueError(
            f"ravel_multi_index: mode must be 'raise', 'clip', 'wrap' or 'ignore', got {mode!r}"
        )
    if order not in ("C", "F"):
        raise FunctransValueError(f"ravel_multi_index: order must be 'C' or 'F', got {order!r}")
    for i in indices:
        if i.dtype not in INTEGERS:
            raise FunctransTypeError(f"ravel_multi_index: indices must be integers, got dtype {i.dtype.name}")
    if dtype is None:
        to = common_dtype("ravel_multi_index", 0, *indices)[0]
    else:
        to = requested_dtype("ravel_multi_index", dtype)
    result: Any = np.zeros((), to)
    strides = np.cumprod([1, *(sizes[:-1] if order == "F" else sizes[:0:-1])], dtype=np.int64).tolist()
    for i, n, stride in zip(indices, sizes, strides if order == "F" else strides[::-1], strict=True):
        if mode == "raise":
            known = static_array("ravel_multi_index (mode='raise')", "an index array", i)
            if known.size and (known.min() < 0 or known.max() >= n):
                raise FunctransValueError(
                    f"ravel_multi_index: indices from {known.min()} to {known.max()} for an axis of size {n}"
                )
        index = clip(i, 0, n - 1) if mode == "clip" else remainder(i, n) if mode == "wrap" else i
        result = add(result, multiply(to_dtype(asarray(index), to), stride))
    return asarray(result)


def _square(operation: str, arr: ArrayLike, rank: int | None = 2) -> tuple[int, ...]:
    shape = tuple(as_array(operation, arr).shape)
    if rank is not None and len(shape) != rank:
        raise FunctransValueError(f"{operation}: an array of rank {rank} is needed, got shape {shape}")
    return shape


def diag_indices_from(arr: ArrayLike) -> tuple[Array, ...]:
    """The positions of the main diagonal of an array whose axes have one size."""
    shape = _square("diag_indices_from", arr, None)
    if len(shape) < 2 or len(set(shape)) > 1:
        raise FunctransValueError(f"diag_indices_from: two or more axes of one size are needed, got shape {shape}")
    return diag_indices(shape[0], len(shape))


def tril_indices_from(arr: ArrayLike, k: int = 0) -> tuple[Array, Array]:
    """The positions of the lower triangle of a matrix."""
    shape = _square("tril_indices_from", arr)
    return tril_indices(shape[0], k, shape[1])


def triu_indices_from(arr: ArrayLike, k: int = 0) -> tuple[Array, Array]:
    """The positions of the upper triangle of a matrix."""
    shape = _square("triu_indices_from", arr)
    return triu_indices(shape[0], k, shape[1])


def mask_indices(
    n: int, mask_func: Callable[[Any, int], Any], k: int = 0, *, size: int | None = None
) -> tuple[Array, Array]:
    """The positions in an n by n matrix that ``mask_func`` (``triu``, ``tril``) keeps."""
    rows, columns = nonzero(mask_func(ones((n, n)), k), size=size)
    return rows, columns


def trim_zeros(filt: ArrayLike, trim: str = "fb", axis: int | Sequence[int] | None = None) -> Array:
    """The array without the zeros at the front ('f') and back ('b') of ``axis`` (all); the values must be known.

    >>> import functrans.numpy as fnp
    >>> fnp.trim_zeros(fnp.array([0, 1, 0, 2, 0])).tolist()
    [1, 0, 2]
    """
    x = as_array("trim_zeros", filt)
    known = static_array("trim_zeros", "the array", not_equal(x, 0))
    front, back = ("f" in trim.lower(), "b" in trim.lower())
    if not front and not back:
        return asarray(x)
    starts, stops = [0] * known.ndim, list(known.shape)
    for i in axis_indices("trim_zeros", axis, known.ndim):
        found = np.flatnonzero(known.any(axis=tuple([a for a in range(known.ndim) if a != i])))
        if not len(found):
            stops[i] = 0
            continue
        starts[i] = int(found[0]) if front else 0
        stops[i] = int(found[-1]) + 1 if back else known.shape[i]
    return lax.slice(asarray(x), starts, stops)


__all__ = [
    "diag_indices_from", "fill_diagonal", "mask_indices", "place", "put", "put_along_axis", "ravel_multi_index",
    "tril_indices_from", "trim_zeros", "triu_indices_from", "unravel_index",
]  # fmt: skip
