"""Functions of ``jax.lax`` that index along one axis, and ``scatter_apply``."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from functrans.api.loops import fori_loop, while_loop
from functrans.errors import ConcretizationError, FunctransIndexError
from functrans.ir.types import array_type, type_of
from functrans.lax.shapes import squeeze
from functrans.ops.arithmetic import rem
from functrans.ops.dynamic_slicing import dynamic_slice, dynamic_update_slice
from functrans.ops.elementwise import add
from functrans.ops.indexing import gather, scatter_add
from functrans.ops.logic import gt, lt, select
from functrans.ops.reductions import reduce_max
from functrans.ops.slicing import canonical_axis, concatenate, slice_in_dim
from functrans.ops.structural import broadcast_in_dim, convert, full, reshape, scalar_literal
from functrans.ops.windows import GatherDimensionNumbers
from functrans.trace.primitive import Lanes
from functrans.trace.replay import trace
from functrans.transform.vmap import vmap

_INT32 = np.dtype(np.int32)


def index_in_dim(operand: Any, index: int, axis: int = 0, keepdims: bool = True) -> Any:
    """The elements at a static position along ``axis``.

    Raises:
      IndexError: the position is out of bounds.

    >>> from functrans import lax
    >>> lax.index_in_dim(lax.iota(int, 5), -1).tolist()
    [4]
    """
    shape = type_of(operand).shape
    axis = canonical_axis("index_in_dim", axis, len(shape))
    size, index = shape[axis], operator.index(index)
    if not -size <= index < size:
        raise FunctransIndexError(f"index_in_dim: index {index} is out of bounds for axis {axis} of size {size}")
    out = slice_in_dim(operand, index % size, index % size + 1, 1, axis)
    return out if keepdims else squeeze(out, (axis,))


def dynamic_slice_in_dim(
    operand: Any, start_index: Any, slice_size: int, axis: int = 0, *, allow_negative_indices: bool = True
) -> Any:
    """``slice_size`` elements along ``axis`` from a position that may be traced; moved inside where they stick out.

    >>> from functrans import lax
    >>> lax.dynamic_slice_in_dim(lax.iota(int, 5), 4, 2).tolist()
    [3, 4]
    """
    shape = type_of(operand).shape
    axis = canonical_axis("dynamic_slice_in_dim", axis, len(shape))
    sizes = (*shape[:axis], operator.index(slice_size), *shape[axis + 1 :])
    starts = _starts(len(shape), start_index, axis)
    return dynamic_slice(operand, starts, sizes, allow_negative_indices=allow_negative_indices)


def _starts(ndim: int, index: Any, axis: int) -> Sequence[Any]:
    return [index if a == axis else 0 for a in range(ndim)]


def dynamic_index_in_dim(
    operand: Any, index: Any, axis: int = 0, keepdims: bool = True, *, allow_negative_indices: bool = True
) -> Any:
    """The elements at a position along ``axis`` that may be traced.

    >>> from functrans import lax
    >>> int(lax.dynamic_index_in_dim(lax.iota(int, 5), 2, keepdims=False))
    2
    """
    out = dynamic_slice_in_dim(operand, index, 1, axis, allow_negative_indices=allow_negative_indices)
    return out if keepdims else squeeze(out, (axis,))


def dynamic_update_slice_in_dim(
    operand: Any, update: Any, start_index: Any, axis: int, *, allow_negative_indices: bool = True
) -> Any:
    """The operand with ``update`` written from a position along ``axis`` that may be traced.

    >>> from functrans import lax
    >>> lax.dynamic_update_slice_in_dim(lax.iota(int, 4), lax.full((2,), 9), 1, 0).tolist()
    [0, 9, 9, 3]
    """
    ndim = type_of(operand).ndim
    axis = canonical_axis("dynamic_update_slice_in_dim", axis, ndim)
    starts = _starts(ndim, start_index, axis)
    return dynamic_update_slice(operand, update, starts, allow_negative_indices=allow_negative_indices)


def dynamic_update_index_in_dim(
    operand: Any, update: Any, index: Any, axis: int, *, allow_negative_indices: bool = True
) -> Any:
    """The operand with ``update`` (with or without the axis, of size 1) written at a position along ``axis``.

    >>> from functrans import lax
    >>> lax.dynamic_update_index_in_dim(lax.iota(int, 4), 9, 1, 0).tolist()
    [0, 9, 2, 3]
    """
    type_ = type_of(operand)
    axis = canonical_axis("dynamic_update_index_in_dim", axis, type_.ndim)
    shape = type_of(update).shape
    if len(shape) != type_.ndim:
        wide = (*shape[:axis], 1, *shape[axis:])
        if isinstance(update, bool | int | float | complex):
            update = broadcast_in_dim(scalar_literal(update, type_.dtype), wide, ())
        else:
            update = reshape(update, wide)
    return dynamic_update_slice_in_dim(operand, update, index, axis, allow_negative_indices=allow_negative_indices)


def index_take(src: Any, idxs: Sequence[Any], axes: Sequence[int]) -> Any:
    """The elements at several positions along several axes, modulo their sizes: ``src[..., idxs[0], ..., idxs[1]]``.

    >>> from functrans import lax
    >>> lax.index_take(lax.iota(int, 5), (lax.iota(int, 2),), (0,)).tolist()
    [0, 1]
    """
    shape = type_of(src).shape
    axes = tuple(axes)
    columns = [reshape(_modulo(i, shape[axis]), (type_of(i).shape[0], 1)) for i, axis in zip(idxs, axes, strict=True)]
    sizes = tuple([1 if a in axes else n for a, n in enumerate(shape)])
    numbers = GatherDimensionNumbers(tuple(range(1, len(shape) - len(axes) + 1)), axes, axes)
    return gather(src, concatenate(columns, 1), numbers, sizes)


def _modulo(index: Any, size: int) -> Any:
    """Positions from 0 to size - 1, of one dtype."""
    dtype = type_of(index).dtype
    rest = convert(rem(convert(index, dtype if dtype.itemsize >= 4 else _INT32), max(size, 1)), _INT32)
    return select(lt(rest, 0), add(rest, size), rest)


def scatter_apply(
    operand: Any, scatter_indices: Any, func: Callable[[Any], Any], dimension_numbers: Any, *,
    update_shape: Sequence[int] = (), indices_are_sorted: bool = False, unique_indices: bool = False, mode: Any = None,
) -> Any:  # fmt: skip
    """The operand with ``func`` (a function of a scalar) applied to the elements at the indices, as often as named.

    Args: as for ``scatter``, with ``update_shape`` the shape that updates would have.

    Differentiable where the indices are unique or known; else forward mode only.

    >>> from functrans import lax
    >>> import numpy as np
    >>> numbers = lax.ScatterDimensionNumbers((), (0,), (0,))
    >>> at = np.int32([[1], [1]])
    >>> lax.scatter_apply(np.float32([1, 2, 3]), at, lambda x: x * x, numbers, update_shape=(2,)).tolist()
    [1.0, 16.0, 3.0]
    """
    count = np.dtype(np.int32)
    counts = scatter_add(
        full(type_of(operand).shape, 0, count), scatter_indices, full(tuple(update_shape), 1, count), dimension_numbers,
        indices_are_sorted=indices_are_sorted, unique_indices=unique_indices, mode=mode,
    )  # fmt: skip
    return apply_counted(operand, func, counts, unique_indices)


def apply_counted(operand: Any, func: Callable[[Any], Any], counts: Any, once: bool = False) -> Any:
    """Each element with ``func`` (of a scalar) applied ``counts`` times; ``once``: no count is above 1."""
    type_ = type_of(operand)
    scalar = array_type((), type_.dtype)
    program, captured = trace(lambda x: [func(x)], [scalar], "the function that a scatter applies")

    def apply(x: Any) -> Any:
        flat = reshape(x, (type_.size,))
        outs, mapped = vmap(program, Lanes(type_.size), [*captured, flat], [False] * len(captured) + [True])
        out = convert(outs[0], type_.dtype)
        return reshape(out if mapped[0] else broadcast_in_dim(out, (type_.size,)), type_.shape)

    def step(i: Any, x: Any) -> Any:
        i = convert(i, np.dtype(np.int32))
        going = gt(counts, broadcast_in_dim(i, type_.shape, ()) if type_.shape else i)
        return select(going, apply(x), x)

    if not type_.size:
        return operand
    if once:
        return select(gt(counts, 0), apply(operand), operand)
    try:  # an un-jitted call knows its values
        return fori_loop(0, int(np.max(np.asarray(counts), initial=0)), step, operand)
    except ConcretizationError:
        pass
    most = reduce_max(counts, tuple(range(type_.ndim)))
    start = (full((), 0, np.int32), operand)
    return while_loop(lambda s: lt(s[0], most), lambda s: (add(s[0], 1), step(s[0], s[1])), start)[1]
