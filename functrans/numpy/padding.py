"""Padding: arrays with a border."""

from __future__ import annotations

from typing import Any

import numpy as np

from functrans import lax
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.numpy.creation import asarray
from functrans.numpy.joining import take_rows
from functrans.numpy.promotion import Array, ArrayLike, as_operand, is_scalar, scalar_of_kind, static_value, to_dtype
from functrans.numpy.reductions import max as max_over
from functrans.numpy.reductions import mean as mean_over
from functrans.numpy.reductions import min as min_over
from functrans.trace.tracer import Tracer

_STATISTICS = {"maximum": max_over, "minimum": min_over, "mean": mean_over}
_MODES = ("constant", "edge", "reflect", "symmetric", "wrap", "empty", *_STATISTICS)


def pad(array: ArrayLike, pad_width: Any, mode: str = "constant", **kwargs: Any) -> Array:
    """``array`` with a border of static widths: an int, (before, after), or one pair an axis.

    ``mode``: 'constant' (``constant_values``, 0), 'edge' (the nearest element), 'reflect' and 'symmetric' (mirrored
    without and with the edge), 'wrap' (periodic), 'maximum', 'minimum', 'mean' (of the whole axis), 'empty' (zeros).

    >>> import functrans.numpy as fnp
    >>> fnp.pad(fnp.array([1, 2]), 1)
    Array([0, 1, 2, 0], dtype=int32)
    """
    x = asarray(as_operand("pad", array))
    if mode not in _MODES:
        raise NotImplementedError(f"pad: mode must be one of {', '.join(_MODES)}, got {mode!r}")
    allowed = {"constant": ("constant_values",), "reflect": ("reflect_type",), "symmetric": ("reflect_type",)}.get(
        mode, ()
    )
    strange = set(kwargs) - set(allowed)
    if strange:
        raise FunctransValueError(f"pad: mode {mode!r} has no option {', '.join(sorted(strange))}")
    if kwargs.get("reflect_type", "even") != "even":
        raise NotImplementedError(f"pad: reflect_type={kwargs['reflect_type']!r} is not supported, only 'even'")
    widths = _widths(x.ndim, pad_width)
    if mode in ("constant", "empty"):
        return _constant(x, widths, kwargs.get("constant_values", 0))
    for axis, (before, after) in enumerate(widths):
        if not before and not after:
            continue
        n = x.shape[axis]
        if not n:
            raise FunctransValueError(
                f"pad: axis {axis} of shape {tuple(x.shape)} is empty and can be padded with constants only"
            )
        if mode in _STATISTICS:
            x = _statistic(x, axis, before, after, _STATISTICS[mode])
        else:
            x = take_rows(x, _sources(mode, n, before, after), axis)
    return x


def _widths(rank: int, pad_width: Any) -> list[tuple[int, int]]:
    if isinstance(pad_width, dict):
        pairs: Any = [(0, 0)] * rank
        for axis, width in pad_width.items():
            pairs[axis] = (width, width) if np.ndim(width) == 0 else tuple(width)
    else:
        pairs = pad_width
    given = np.asarray(static_value("pad", "pad_width", pairs))
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
    traced = type(values) is Tracer
    if is_scalar(values) or (traced and not values.ndim) or (np.ndim(values) == 0 and not traced):
        value = np.asarray(scalar_of_kind(values, x.dtype), x.dtype) if is_scalar(values) else to_dtype(values, x.dtype)
        return lax.pad(x, value, [(b, a, 0) for b, a in widths])
    pairs = np.broadcast_to(np.asarray(static_value("pad", "constant_values", values)), (x.ndim, 2))
    for axis, (before, after) in enumerate(widths):
        for side, width in ((0, before), (1, after)):
            config = [(0, 0, 0)] * x.ndim
            config[axis] = (0, width, 0) if side else (width, 0, 0)
            if width:
                x = lax.pad(x, pairs[axis, side].astype(x.dtype), config)
    return x


def _statistic(x: Any, axis: int, before: int, after: int, function: Any) -> Any:
    value = function(x, axis, keepdims=True)
    if value.dtype != x.dtype:
        value = to_dtype(
            lax.round(value, lax.RoundingMethod.TO_NEAREST_EVEN) if x.dtype.kind in "iu" else value, x.dtype
        )
    shape = list(x.shape)
    parts = []
    for width in (before, after):
        shape[axis] = width
        parts.append(lax.broadcast_in_dim(value, shape, tuple(range(x.ndim))))
    return lax.concatenate([parts[0], x, parts[1]], axis)


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
