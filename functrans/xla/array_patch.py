"""Where the concrete array class meets our tracers: operators, and indexing by a tracer.

Binary operators of ``jax.Array`` defer to what is no array, and are told that our tracers are none. Indexing does not:
``array[tracer]`` and ``array.at[2].set(tracer)`` would be JAX's. :func:`patch_array_indexing` replaces two attributes
of the concrete array class, ``__getitem__`` and ``at``, by wrappers that look for a tracer and otherwise call JAX's
original with the same arguments. JAX's own tracers are not touched.

One case is taken from JAX for speed: ``array[3]``, ``array[:, 0]`` or ``array[numbers]`` of a concrete array while a
trace is open, the rows that an unrolled loop reads. JAX dispatches several operations for it, each time; here it is one
compiled program whatever the positions.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from jax.sharding import SingleDeviceSharding

from functrans.jaxlib_compat.array_values import (
    ArrayImpl,
    IndexUpdateHelper,
    IndexUpdateRef,
    array_operators,
)
from functrans.trace.state import current_builder, outside_of_traces, state

_UPDATE_METHODS: Final = (
    "get",
    "set",
    "apply",
    "add",
    "subtract",
    "multiply",
    "divide",
    "power",
    "min",
    "max",
)

# Classes of index that hold no tracer; slices, tuples and unknown classes are looked into.
_PLAIN: Final = frozenset((int, bool, type(None), type(...), str, np.ndarray, np.int32, np.int64, np.bool_, ArrayImpl))

_ARRAYS: Final = frozenset((ArrayImpl, np.ndarray))

_GetItem = Callable[[Any, Any], object]
_AtMethod = Callable[[Any, Any, str, tuple[Any, ...], Mapping[str, Any]], object]


Pattern = tuple[Any, ...]  # int for a position, and Ellipsis, None or "all"
_ROW: Pattern = (int,)


def _pattern(array: Any, index: Any) -> tuple[Any, ...] | None:
    """(pattern, *positions) of an index that is read by one program; None for every other index."""
    shape = array.shape
    if type(array.sharding) is not SingleDeviceSharding:
        return None
    if type(index) is int:
        return (_ROW, index) if shape and -shape[0] <= index < shape[0] else None
    parts = index if type(index) is tuple else (index,)
    pattern: list[Any] = []
    positions: list[Any] = []
    axis, behind = 0, len(shape) - sum(part is not None and part is not Ellipsis for part in parts)
    for part in parts:
        kind = type(part)
        if part is None or part is Ellipsis:
            pattern.append(part)
            axis += behind if part is Ellipsis else 0
            continue
        if behind < 0:
            return None
        if kind is slice and part.start is None and part.stop is None and part.step is None:
            pattern.append("all")
        elif (kind is int and -shape[axis] <= part < shape[axis]) or (
            kind in _ARRAYS and part.dtype.kind in "iu" and part.size
        ):
            pattern.append(int)
            positions.append(part)
        else:
            return None
        axis += 1
    if not positions or pattern.count(Ellipsis) > 1:
        return None
    return tuple(pattern), *positions


def patch_array_indexing(
    is_tracer: Callable[[object], bool], getitem: _GetItem, at_method: _AtMethod, read: Callable[..., Any]
) -> None:
    """Let ``array[index]`` and ``array.at[index].method(...)`` reach us where a tracer takes part.

    ``getitem(array, index)`` is called where the index is a tracer or a tuple or slice that holds one;
    ``at_method(array, index, method_name, args, kwargs)`` where the index or an argument of the update method does;
    ``read(array, pattern, *positions)`` where a trace is open and the index is made of whole numbers in bounds, arrays
    of integers, and what ``pattern`` says stands around them.
    Everything else reaches JAX's original. A second call replaces the hooks of the first.
    """
    original_getitem = getattr(ArrayImpl.__getitem__, "__wrapped__", ArrayImpl.__getitem__)
    plain = _PLAIN

    def holds_tracer(index: Any) -> bool:
        kind = type(index)
        if kind in plain:
            return False
        if kind is slice:
            if type(index.start) in plain and type(index.stop) in plain and type(index.step) in plain:
                return False
            return is_tracer(index.start) or is_tracer(index.stop) or is_tracer(index.step)
        if kind is tuple or kind is list:
            for part in index:  # noqa: SIM110  (a generator would cost more than all the rest, at each x[i, j])
                if type(part) not in plain and holds_tracer(part):
                    return True
            return False
        return is_tracer(index)

    @functools.wraps(original_getitem)
    def __getitem__(self: Any, index: Any, /) -> Any:
        if state.builder is not None and (found := _pattern(self, index)) is not None:
            return outside_of_traces(read, self, *found)
        if type(index) in plain or not holds_tracer(index):
            return original_getitem(self, index)
        return getitem(self, index)

    class IndexUpdate(IndexUpdateRef):  # type: ignore[misc]
        """``array.at[index]`` of a concrete array: JAX's, unless a tracer takes part."""

        __slots__ = ()

    def update_method(name: str) -> Callable[..., Any]:
        original = getattr(IndexUpdateRef, name)

        @functools.wraps(original)
        def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            if holds_tracer(self.index) or any(map(is_tracer, args)) or any(map(is_tracer, kwargs.values())):
                return at_method(self.array, self.index, name, args, kwargs)
            return original(self, *args, **kwargs)

        return method

    for name in _UPDATE_METHODS:
        setattr(IndexUpdate, name, update_method(name))
    IndexUpdate.mul = IndexUpdate.multiply  # JAX's second name for it

    class At(IndexUpdateHelper):  # type: ignore[misc]
        __slots__ = ()

        def __getitem__(self, index: Any) -> Any:
            return IndexUpdate(self.array, index)

    At.__doc__ = IndexUpdateHelper.__doc__
    ArrayImpl.__getitem__ = __getitem__
    ArrayImpl.at = property(At, doc=IndexUpdateHelper.__doc__)


# Code of the operators that return NotImplemented when they are told that their operand is no array.
# By identity: the hash of a code object reads all of it. JAX keeps them alive.
_DEFERRING: Final = frozenset(
    id(code) for operator in array_operators.values() if (code := getattr(operator, "__code__", None)) is not None
)


def jax_array_protocol() -> Callable[[], None] | None:
    """The body of ``__jax_array__`` of a tracer, to be called by the getter of that property and by nothing else.

    An operator of the concrete array class gets a function that gives None, which it takes for "no array", so that
    ``array + tracer`` defers to the tracer. Everybody else gets None, a tracer is an array as it is; and so does an
    operator in a trace of JAX inside of ours: what it adds belongs there.
    """
    caller = sys._getframe(2)  # above this function and the getter
    return _no_array if id(caller.f_code) in _DEFERRING and current_builder() is not None else None


def _no_array() -> None:
    return None
