"""NumPy arrays as they are now: the caller may write to his own at any time, and XLA reads later.

XLA on CPU reads a NumPy array where it lies when its address is a multiple of 64, and may do so after the call has
returned. So it is given arrays that nobody writes to.
"""

from __future__ import annotations

import zlib
from typing import Any

import jax
import numpy as np

_ALIGNMENT = 64  # bytes: what XLA asks of memory that it reads in place
_SMALL = 16384  # bytes: XLA copying them once more costs less than choosing their address


class _Memory(np.ndarray[Any, Any]):
    """What a snapshot is a view of. Nobody else has it, so nobody makes it writeable again."""


def is_settled(x: np.ndarray[Any, Any]) -> bool:
    """Whether nobody can ever write to the memory of an array: it is a snapshot's, immutable, or a device array's.

    A read-only array that owns its memory is not settled: its owner may make it writeable again.
    """
    view: Any = x
    while isinstance(view, np.ndarray):
        if view.flags.writeable:
            return False
        if type(view) is _Memory:
            return True
        view = view.base
    if isinstance(view, memoryview):  # what NumPy makes of a device array
        view = view.obj
    return isinstance(view, bytes | jax.Array)


def snapshot(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The array itself where nobody can write to it, else a read-only copy, where XLA can read it in place.

    >>> import numpy as np
    >>> mine = np.ones(3)
    >>> kept = snapshot(mine)
    >>> mine[:] = 0
    >>> kept.tolist(), snapshot(kept) is kept
    ([1.0, 1.0, 1.0], True)
    """
    if is_settled(x) or isinstance(x, np.ma.MaskedArray):  # that one is refused later, and a copy would lack its mask
        return x
    if x.nbytes < _SMALL or x.dtype.hasobject:
        copy = memory = _Memory(x.shape, x.dtype)
    else:
        memory = _Memory(x.nbytes + _ALIGNMENT, np.uint8)
        start = -memory.__array_interface__["data"][0] % _ALIGNMENT
        copy = memory[start : start + x.nbytes].view(x.dtype).reshape(x.shape)
    copy[...] = x
    memory.flags.writeable = False
    copy.flags.writeable = False
    return copy.view(np.ndarray)


def for_one_reader(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """What a NumPy array holds now, for a program that is started at once: nobody else is given the result."""
    return x.copy() if x.nbytes < _SMALL else snapshot(x)


def same_contents(x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> bool:
    """Whether two arrays of one shape and dtype hold the same bits."""
    if x.dtype.kind in "biu":
        return bool(np.array_equal(x, y))
    return bool(np.array_equal(np.ascontiguousarray(x).view(np.uint8), np.ascontiguousarray(y).view(np.uint8)))


class Snapshots(dict[Any, tuple[Any, Any]]):
    """NumPy arrays met in a trace and in those inside it, with their copies of when they were met.

    An array that is met again while it holds the same has one copy, and so one place in the program. ``by_contents``:
    another array of the same bits has that copy too, as what is converted at each use; for a program that is kept,
    because one that is traced anew at each call would be another where they differ.
    """

    # By identity and by contents. A value begins with the array whose address is its key: another may not have it.
    by_contents = False

    def of(self, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """The array as it is now."""
        _, known = self.get(id(x), (None, None))
        if known is not None and (known is x or same_contents(known, x)):
            return known  # type: ignore[no-any-return]
        copy = snapshot(x)
        if self.by_contents and not copy.dtype.hasobject and type(copy) is np.ndarray:
            copy = self._equal(copy)
        self[id(x)] = x, copy
        return copy

    def _equal(self, copy: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """The first copy that holds the same."""
        key = copy.shape, copy.dtype, zlib.crc32(np.ascontiguousarray(copy).view(np.uint8).data)
        _, first = self.setdefault(key, (None, copy))
        return first if first is copy or same_contents(first, copy) else copy
