"""The same values in memory in other ways: what NumPy hands around, and no operation may notice."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np


def _fortran(x: Any) -> Any:
    return np.array(x, order="F")


def _backward(x: Any) -> Any:
    """Negative strides along all axes."""
    whole = (slice(None, None, -1),) * x.ndim
    return np.array(x[whole], order="C")[whole].reshape(x.shape)


def _spaced(x: Any) -> Any:
    """Elements with gaps between them."""
    wide = np.zeros((*x.shape, 3), x.dtype)
    wide[..., 1] = x
    return wide[..., 1].reshape(x.shape) if not x.ndim else wide[..., 1]


def _repeated(x: Any) -> Any:
    """A stride of zero along each axis of which all slices are equal."""
    for axis in range(x.ndim):
        first = x[(slice(None),) * axis + (slice(0, 1),)]
        if x.size and np.broadcast_to(first, x.shape).tobytes() == x.tobytes():
            x = np.broadcast_to(first, x.shape)
    return x


def _unaligned(x: Any) -> Any:
    """Elements at addresses that are no multiples of their size."""
    data = np.zeros(x.nbytes + 1, np.uint8)
    moved: Any = data[1:].view(x.dtype).reshape(x.shape)
    moved[...] = x
    return moved


def _read_only(x: Any) -> Any:
    x = x.copy()
    x.flags.writeable = False
    return x


def settled(x: Any) -> Any:
    """An array laid out as x is in memory that nobody can write to: a program keeps it as it lies and makes no copy."""
    if not x.size:
        return x
    low, high = np.lib.array_utils.byte_bounds(x)
    before = low % 16  # so that what is unaligned stays so
    memory = bytes(before) + ctypes.string_at(low, high - low)
    offset = before + x.__array_interface__["data"][0] - low
    return np.ndarray(x.shape, x.dtype, buffer=memory, offset=offset, strides=x.strides)


LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "fortran": _fortran, "backward": _backward, "spaced": _spaced, "repeated": _repeated, "unaligned": _unaligned,
    "read only": _read_only,
}  # fmt: skip


def oddly_laid_out(x: Any, i: int) -> Any:
    """An equal array in the i-th layout, counted round."""
    x = np.asarray(x)
    return list(LAYOUTS.values())[i % len(LAYOUTS)](x)
