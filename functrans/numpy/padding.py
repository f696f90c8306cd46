"""Padding: arrays with a border."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from functrans import lax
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import type_of
from functrans.numpy.arithmetic import add, multiply, subtract
from functrans.numpy.creation import asarray
from functrans.numpy.grids import linspace
from functrans.numpy.joining import take_rows
from functrans.numpy.mapping import apply_along_axis
from functrans.numpy.promotion import Array, ArrayLike, as_operand, is_scalar, scalar_of_kind, static_array, to_dtype
from functrans.numpy.quantiles import median
from functrans.numpy.reductions import max as max_over
from functrans.numpy.reductions import mean as mean_over
from functrans.numpy.reductions import min as min_over
from functrans.trace.frames import function_name
from functrans.trace.tracer import Tracer

_STATISTICS = {"maximum": max_over, "minimum": min_over, "mean": mean_over, "median": median}
_MODES = ("constant", "edge", "linear_ramp", "reflect", "symmetric", "wrap", "empty", *_STATISTICS)
_OPTIONS = {
    "constant": ("constant_values",), "linear_ramp": ("end_values",), "reflect": ("reflect_type",),
    "symmetric": ("reflect_type",), **dict.fromkeys(_STATISTICS, ("stat_length",)),
}  # fmt: skip


def pad(array: ArrayLike, pad_width: Any, mode: str = "constant", **kwargs: Any) -> Array:
    """``array`` with a border of static widths: an int, (before, after), or one pair an axis.

    ``mode``: 'constant' (``constant_values``, 0), 'edge' (the nearest element), 'reflect' and 'symmetric' (mirrored
    without and with the edge), 'wrap' (periodic), 'linear_ramp' (from ``end_values``, 0, to the edge), 'maximum',
    'minimum', 'mean', 'median' (of the axis, or of ``stat_length`` elements at its ends), 'empty' (zeros). With
    ``reflect_type='odd'`` what is mirrored is also turned upside down at the edge: twice the edge less it.

    Or a function of (a padded vector, its two widths, the axis, the other arguments) that returns the vector, called
    for every vector along the first axis, then along the second of what came out, and so on.

    >>> import functrans.numpy as fnp
    >>> fnp.pad(fnp.array([1, 2]), 1)
    Array([0, 1, 2, 0], dtype=int32)
    """
    x = asarray(as_operand("pad", array))
    if callable(mode):
        return _by_function(x, _widths(x.ndim, pad_width), mode, kwargs)
    if mode not in _MODES:
        raise NotImplementedError(f"pad: mode must be one of {', '.join(_MODES)}, got {mode!r}")
    strange = set(kwargs) - set(_OPTIONS.get(mode, ()))
    if strange:
        raise FunctransValueError(f"pad: mode {mode!r} has no option {', '.join(sorted(strange))}")
    reflect_type = kwargs.get("reflect_type", "even")
    if reflect_type not in ("even", "odd"):
        raise FunctransValueError(f"pad: reflect_type is 'even' or 'odd', got {reflect_type!r}")
    widths = _widths(x.ndim, pad_width)
    if mode in ("constant", "empty"):
        return _constant(x, widths, kwargs.get("constant_values", 0))
    ends = _pairs(x.ndim, "end_values", kwargs.get("end_values", 0))
    lengths = kwargs.get("stat_length")
    lengths = [None] * x.ndim if lengths is None else _pairs(x.ndim, "stat_length", lengths)
    for axis, (before, after) in enumerate(widths):
        if not before and not after:
            continue
        n = x.shape[axis]
        if not n:
            raise FunctransValueError(
                f"pad: axis {axis} of shape {tuple(x.shape)} is empty and can be padded with constants only"
            )
        if mode in _STATISTICS:
            x = _statistic(x, axis, before, after, _STATISTICS[mode], lengths[axis])
        elif mode == "linear_ramp":
            x = _ramps(x, axis, before, after, ends[axis])
        elif reflect_type == "odd" and n > 1:
            x = _odd(x, axis, 2 * n if mode == "symmetric" else 2 * n - 2, before, after)
        else:
            x = take_rows(x, _sources(mode, n, before, after), axis)
    return x


def _by_function(x: Any, widths: list[tuple[int, int]], function: Callable[..., Any], options: dict[str, Any]) -> Any:
    x = _constant(x, widths, 0)
    for axis, width in enumerate(widths):
        shape = x.shape
        x = apply_along_axis(function, axis, x, width, axis, options)
        if x is None or x.shape != shape:
            raise FunctransValueError(
                f"pad: {function_name(function)} has to return the padded vector of {shape[axis]} elements: arrays are "
                "immutable, vector = vector.at[:width[0]].set(value)"
            )
    return x


def _widths(rank: int, pad_width: Any) -> list[tuple[int, int]]:
    if isinstance(pad_width, dict):
        pairs: Any = [(0, 0)] * rank
        for axis, width in pad_width.items():
            pairs[axis] = (width, width) if np.ndim(width) == 0 else tuple(width)
    else:
        pairs = pad_width
    given = static_array("pad", "pad_width", pairs)
    if given.dtype.kind not in "iu":
        raise FunctransTypeError(f"pad: widths must be integers, got dtype {given.dtype.name}")
    try:
        pairs = np.broadcast_to(given, (rank, 2))
    except ValueError:
        raise FunctransValueError(
            f"pad: pad_width of shape {given.shape} does not give (before, after) for {rank} axes"
        ) from None
    if pairs.size and pairs.min() < 0:
        raise FunctransValueError(f"pad: widths cannot be negative, got {pad_width}; slice instead")
    return [(int(b), int(a)) for b, a in pairs.tolist()]


def _constant(x: Any, widths: list[tuple[int, int]], values: Any) -> Any:
    traced, weak = type(values) is Tracer, type_of(x).weak_type
    if is_scalar(values) or (traced and not values.ndim) or (np.ndim(values) == 0 and not traced):
        value = scalar_of_kind(values, x.dtype) if is_scalar(values) else to_dtype(values, x.dtype, weak)
        return lax.pad(x, value, [(b, a, 0) for b, a in widths])
    pairs = np.broadcast_to(static_array("pad", "constant_values", values), (x.ndim, 2))
    for axis, (before, after) in enumerate(widths):
        for side, width in ((0, before), (1, after)):
            config = [(0, 0, 0)] * x.ndim
            config[axis] = (0, width, 0) if side else (width, 0, 0)
            if width:
                x = lax.pad(x, scalar_of_kind(pairs[axis, side], x.dtype), config)
    return x


def _pairs(rank: int, name: str, given: Any) -> Any:
    """(before, after) for each axis, of one value, one pair or a pair an axis; traced values stay what they are."""
    if np.ndim(given) == 0:
        return [(given, given)] * rank
    try:
        return np.broadcast_to(static_array("pad", name, given), (rank, 2)).tolist()
    except ValueError:
        raise FunctransValueError(
            f"pad: {name} of shape {np.shape(given)} does not give (before, after) for {rank} axes"
        ) from None


def _ramps(x: Any, axis: int, before: int, after: int, ends: Any) -> Any:
    first, last = lax.index_in_dim(x, 0, axis, False), lax.index_in_dim(x, x.shape[axis] - 1, axis, False)
    ramps = [
        to_dtype(linspace(end, edge, width, endpoint=False, dtype=x.dtype, axis=axis), x.dtype, type_of(x).weak_type)
        for end, edge, width in ((ends[0], first, before), (ends[1], last, after))
    ]
    return lax.concatenate([ramps[0], x, lax.rev(ramps[1], (axis,))], axis)


def _statistic(x: Any, axis: int, before: int, after: int, function: Any, lengths: Any) -> Any:
    size = x.shape[axis]
    if lengths is not None and min(lengths) < 1:
        raise FunctransValueError(f"pad: stat_length must be at least 1, got {tuple(lengths)}")
    near = [size, size] if lengths is None else [min(int(n), size) for n in lengths]
    ends = [lax.slice_in_dim(x, 0, near[0], axis=axis), lax.slice_in_dim(x, size - near[1], size, axis=axis)]
    if near == [size, size]:
        ends[1] = ends[0]
    shape = list(x.shape)
    parts = []
    for part, width in zip(ends, (before, after), strict=True):
        value = function(part, axis, keepdims=True)
        if value.dtype != x.dtype and x.dtype.kind in "iu":
            value = lax.round(value, lax.RoundingMethod.TO_NEAREST_EVEN)
        value = to_dtype(value, x.dtype, type_of(x).weak_type)
        shape[axis] = width
        parts.append(lax.broadcast_in_dim(value, shape, tuple(range(x.ndim))))
    return lax.concatenate([parts[0], x, parts[1]], axis)


def _odd(x: Any, axis: int, period: int, before: int, after: int) -> Any:
    """The axis continued by its mirror image in a point at each edge: over a period it grows by twice what lies between
    its ends.
    """
    n = x.shape[axis]
    turns, at = np.divmod(np.arange(-before, n + after), period)
    mirrored = at >= n
    shape = [1] * x.ndim
    shape[axis] = len(at)
    signs, lasts, steps = (
        np.reshape(a, shape).astype(x.dtype) for a in (np.where(mirrored, -1, 1), 2 * mirrored, 2 * turns)
    )
    first, last = (lax.slice_in_dim(x, i, i + 1, axis=axis) for i in (0, n - 1))
    taken = multiply(take_rows(x, np.where(mirrored, period - (n == period // 2) - at, at), axis), signs)
    return add(taken, add(multiply(last, lasts), multiply(subtract(last, first), steps)))


def _sources(mode: str, n: int, before: int, after: int) -> np.ndarray[Any, Any]:
    """The position that each element of the padded axis is taken from."""
    at = np.arange(-before, n + after)
    if mode == "edge":
        return np.clip(at, 0, n - 1)
    if mode == "wrap":
        return at % n
    if mode == "symmetric":
        at = at % (2 * n)
        return np.where(at < n, at, 2 * n - 1 - at)
    if n == 1:
        return np.zeros_like(at)
    at = at % (2 * n - 2)
    return np.where(at < n, at, 2 * n - 2 - at)
