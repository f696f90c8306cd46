"""Reductions over windows, under the names of ``jax.lax``."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import type_of
from functrans.lax.computations import Computation
from functrans.ops import slicing, windowed_reductions
from functrans.ops.structural import broadcast_in_dim
from functrans.ops.windowed_reductions import Pairs, dilated, window_counts
from functrans.trace.binding import bind


def padtype_to_pads(
    in_shape: Sequence[int], window_shape: Sequence[int], window_strides: Sequence[int], padding: str
) -> list[tuple[int, int]]:
    """The (low, high) padding that 'SAME', 'SAME_LOWER' or 'VALID' means for each axis.

    Raises:
      TypeError: ``padding`` is no string.
      ValueError: another string.

    >>> from functrans import lax
    >>> lax.padtype_to_pads((5,), (2,), (1,), 'SAME')
    [(0, 1)]
    """
    if not isinstance(padding, str):
        raise FunctransTypeError(f"padding must be a string ('SAME', 'SAME_LOWER' or 'VALID'), got {padding!r}")
    kind = padding.upper()
    if kind == "VALID":
        return [(0, 0)] * len(in_shape)
    if kind not in ("SAME", "SAME_LOWER"):
        raise FunctransValueError(
            f"unknown padding {padding!r}: use 'SAME', 'SAME_LOWER', 'VALID' or (low, high) pairs"
        )
    pads = []
    for n, w, s in zip(in_shape, window_shape, window_strides, strict=True):
        total = max((-(-n // s) - 1) * s + w - n, 0)
        low = total // 2 if kind == "SAME" else total - total // 2
        pads.append((low, total - low))
    return pads


def pad_pairs(operation: str, padding: Any) -> Pairs:
    """(low, high) pairs as tuples of Python integers."""
    try:
        return tuple([(operator.index(low), operator.index(high)) for low, high in padding])
    except (TypeError, ValueError) as error:
        raise FunctransValueError(
            f"{operation}: padding must be 'SAME', 'SAME_LOWER', 'VALID' or one (low, high) pair of integers for each "
            f"axis, got {padding!r}"
        ) from error


def reduce_window(
    operand: Any, init_value: Any, computation: Callable[..., Any], window_dimensions: Sequence[int],
    window_strides: Sequence[int] | None = None, padding: str | Sequence[tuple[int, int]] = "VALID",
    base_dilation: Sequence[int] | None = None, window_dilation: Sequence[int] | None = None,
) -> Any:  # fmt: skip
    """Windows that slide over an array (or over several of one shape, in a pytree), each reduced to one element.

    Args:
      operand: an array, or a pytree of arrays of one shape.
      init_value: a scalar for each array; it stands in the padding and starts every reduction.
      computation: an associative function of two scalars (or two pytrees of them) that gives one.
      window_dimensions, window_strides, base_dilation, window_dilation: an integer for each axis.
      padding: 'VALID', 'SAME', 'SAME_LOWER' or a (low, high) pair for each axis.

    Sums from 0 and extrema from the lowest or highest value are single operations; any other computation is applied in
    a number of steps logarithmic in the size of the window, and may be differentiated to any order.

    Raises:
      TypeError: trees that differ, or parameters that do not have one entry for each axis.
      ValueError: a window, stride or dilation that is not positive; an unknown padding.

    >>> from functrans import lax
    >>> import numpy as np
    >>> lax.reduce_window(np.float32([1, 5, 2, 3]), -np.inf, lax.max, (2,), (2,)).tolist()
    [5.0, 3.0]
    >>> lax.reduce_window(np.float32([1, 5, 2, 3]), 1.0, lax.mul, (2,)).tolist()
    [5.0, 10.0, 6.0]
    """
    computed = Computation("reduce_window", operand, init_value, computation)
    operands, types = computed.operands, computed.types
    shape, window = types[0].shape, tuple(map(int, window_dimensions))
    ones = (1,) * len(window)
    strides = ones if window_strides is None else tuple(map(int, window_strides))
    base = ones if base_dilation is None else tuple(map(int, base_dilation))
    dilation = ones if window_dilation is None else tuple(map(int, window_dilation))
    if isinstance(padding, str):
        spans = [dilated(w, d) for w, d in zip(window, dilation, strict=True)]
        padding = padtype_to_pads(shape, spans, strides, padding)
    geometry = (window, strides, pad_pairs("reduce_window", padding), base, dilation)
    windowed_reductions.ReduceWindowSum(*geometry).shape(shape)
    kind = _KINDS.get(computed.known or "")
    if kind is not None:
        return bind(kind(*geometry), operands[0])
    return computed.result(_general(operands, computed.starts, computed.combine, geometry))


_KINDS = {
    "sum": windowed_reductions.ReduceWindowSum,
    "max": windowed_reductions.ReduceWindowMax,
    "min": windowed_reductions.ReduceWindowMin,
}


def _general(
    operands: Sequence[Any], starts: Sequence[Any], combine: Callable[..., list[Any]], geometry: tuple[Any, ...]
) -> list[Any]:
    """Reduce axis by axis; along an axis, runs of 1, 2, 4 ... elements, put together to the window's length."""
    window, strides, padding, base, dilation = geometry
    counts = window_counts(type_of(operands[0]).shape, *geometry)
    if 0 in counts:
        return [broadcast_in_dim(start, counts, ()) for start in starts]
    config = [(low, high, b - 1) for (low, high), b in zip(padding, base, strict=True)]
    values = [slicing.pad(x, start, config) for x, start in zip(operands, starts, strict=True)]
    for axis, (size, gap) in enumerate(zip(window, dilation, strict=True)):
        values = _along(values, combine, axis, size, gap)
    limits = [(count - 1) * s + 1 for count, s in zip(counts, strides, strict=True)]
    values = [slicing.slice_(x, (0,) * len(limits), limits, strides) for x in values]
    return combine([broadcast_in_dim(s, counts, ()) for s in starts], values)


def _along(values: Sequence[Any], combine: Callable[..., list[Any]], axis: int, size: int, gap: int) -> list[Any]:
    def shifted(xs: Sequence[Any], by: int, count: int) -> list[Any]:
        return [slicing.slice_in_dim(x, by, by + count, axis=axis) for x in xs]

    total = type_of(values[0]).shape[axis] - (size - 1) * gap
    runs, length = list(values), 1  # runs[i]: the elements i, i + gap ... of which there are ``length``
    done: list[Any] | None = None
    covered = 0
    while True:
        if size & length:
            part = shifted(runs, covered * gap, total)
            done = part if done is None else combine(done, part)
            covered += length
        if 2 * length > size:
            assert done is not None
            return done
        count = type_of(runs[0]).shape[axis] - length * gap
        runs = combine(shifted(runs, 0, count), shifted(runs, length * gap, count))
        length *= 2


def reduce_window_shape_tuple(
    operand_shape: Sequence[int], window_dimensions: Sequence[int], window_strides: Sequence[int], padding: Any,
    base_dilation: Sequence[int] | None = None, window_dilation: Sequence[int] | None = None,
) -> tuple[int, ...]:  # fmt: skip
    """The shape of a reduction over windows.

    >>> from functrans import lax
    >>> lax.reduce_window_shape_tuple((5,), (2,), (2,), 'SAME')
    (3,)
    """
    ones = (1,) * len(window_dimensions)
    base, gaps = tuple(base_dilation or ones), tuple(window_dilation or ones)
    if isinstance(padding, str):
        sizes, spans = (
            [dilated(n, d) for n, d in zip(*pair, strict=True)]
            for pair in ((operand_shape, base), (window_dimensions, gaps))
        )
        padding = padtype_to_pads(sizes, spans, window_strides, padding)
    return window_counts(
        operand_shape, tuple(window_dimensions), tuple(window_strides), pad_pairs("reduce_window", padding), base, gaps
    )
