"""Reductions over windows, under the names of ``jax.lax``."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import array_type, type_of
from functrans.ops import slicing, windowed_reductions
from functrans.ops.arithmetic import MAX, MIN
from functrans.ops.elementwise import ADD
from functrans.ops.reductions import greatest, least
from functrans.ops.structural import broadcast_in_dim, convert, reshape
from functrans.ops.windowed_reductions import Pairs, dilated, window_counts
from functrans.trace.builder import bind
from functrans.trace.replay import trace
from functrans.trace.tracer import concrete
from functrans.transform.vmap import vmap


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
    operands, tree = jax.tree.flatten(operand)
    initials, initials_tree = jax.tree.flatten(init_value)
    if tree != initials_tree:  # type: ignore[operator]
        raise FunctransTypeError(
            f"reduce_window: init_value must have the tree of the operand, {tree}, got {initials_tree}"
        )
    if not operands:
        raise FunctransTypeError("reduce_window: at least one array is needed")
    types = [type_of(x) for x in operands]
    shape, window = types[0].shape, tuple(map(int, window_dimensions))
    ones = (1,) * len(window)
    strides = ones if window_strides is None else tuple(map(int, window_strides))
    base = ones if base_dilation is None else tuple(map(int, base_dilation))
    dilation = ones if window_dilation is None else tuple(map(int, window_dilation))
    if isinstance(padding, str):
        spans = [dilated(w, d) for w, d in zip(window, dilation, strict=True)]
        padding = padtype_to_pads(shape, spans, strides, padding)
    geometry = (window, strides, pad_pairs("reduce_window", padding), base, dilation)
    check = windowed_reductions.ReduceWindowSum(*geometry)
    for type_ in types:
        if type_.shape != shape:
            raise FunctransTypeError(
                f"reduce_window: all arrays must have one shape, got {', '.join(str(t.shape) for t in types)}"
            )
    check.shape(shape)
    starts = []
    for value, type_ in zip(initials, types, strict=True):
        if type_of(value).ndim:
            raise FunctransTypeError(f"reduce_window: init_value must be a scalar, got shape {type_of(value).shape}")
        starts.append(convert(value, type_.dtype))
    scalars = [array_type((), t.dtype) for t in types]

    def flat(*values: Any) -> list[Any]:
        earlier, later = (jax.tree.unflatten(tree, half) for half in (values[: len(types)], values[len(types) :]))
        outs, out_tree = jax.tree.flatten(computation(earlier, later))
        if out_tree != tree:  # type: ignore[operator]
            raise FunctransTypeError(f"reduce_window: computation must return the tree {tree}, got {out_tree}")
        return outs

    program, captured = trace(flat, [*scalars, *scalars], "reduce_window's computation")
    kind = _single(program, captured, initials[0], types[0]) if len(types) == 1 else None
    if kind is not None:
        return bind(kind(*geometry), operands[0])

    def combine(earlier: Sequence[Any], later: Sequence[Any]) -> list[Any]:
        like = earlier[0].shape
        size = math.prod(like)
        flats = [_reshape(x, (size,)) for x in (*earlier, *later)]
        inputs = [*captured, *flats]
        outs, mapped = vmap(program, size, inputs, [False] * len(captured) + [True] * len(flats))
        full = [x if m else broadcast_in_dim(x, (size,), ()) for x, m in zip(outs, mapped, strict=True)]
        return [_reshape(convert(x, t.dtype), like) for x, t in zip(full, scalars, strict=True)]

    return jax.tree.unflatten(tree, _general(operands, starts, combine, geometry))


def _reshape(x: Any, shape: Sequence[int]) -> Any:
    from_shape = tuple(x.shape)
    return x if from_shape == tuple(shape) else reshape(x, shape)


def _single(program: Any, captured: Any, initial: Any, type_: Any) -> Any:
    """The primitive that a computation and its neutral start are, or None."""
    value = concrete(initial) if not isinstance(initial, int | float) else initial
    if captured or value is None or len(program.equations) != 1:
        return None
    eqn = program.equations[0]
    if set(eqn.inputs) != set(program.inputs) or tuple(program.outputs) != tuple(eqn.outputs):
        return None
    dtype = type_.dtype
    value = np.asarray(value).item()
    if eqn.op is ADD and value == 0 and dtype != np.bool_:
        return windowed_reductions.ReduceWindowSum
    if eqn.op is MAX and value == least(dtype) and dtype.kind != "c":
        return windowed_reductions.ReduceWindowMax
    if eqn.op is MIN and value == greatest(dtype) and dtype.kind != "c":
        return windowed_reductions.ReduceWindowMin
    return None


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
