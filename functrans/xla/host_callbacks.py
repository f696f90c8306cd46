"""Python functions that a compiled program calls, and their exceptions on the way back to the user.

The runtime knows status texts only. So an exception is kept here under a number, the number travels in the text of the
runtime's error, and who waits for the program raises the exception itself. A program that calls Python is always waited
for: its effects have happened, and its errors have been raised, when the call returns. That also keeps effects of one
call ahead of those of the next.
"""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from functrans.ir.program import Where
from functrans.trace.frames import describe_place

_raised: dict[int, BaseException] = {}
_numbers = itertools.count()
_lock = threading.Lock()
_MARK = "functrans host callback error "
_KEPT = 256


class HostCallback(NamedTuple):
    """``function`` takes NumPy arrays and returns a tuple of them; ``what`` and ``place`` are for error messages."""

    function: Callable[..., tuple[Any, ...]]
    what: str
    place: Where
    ordered: bool


def for_runtime(callback: HostCallback) -> Callable[..., tuple[Any, ...]]:
    """The function that the runtime calls; with a token in front of operands and results where it is ordered."""
    function, ordered = callback.function, callback.ordered

    def call(*arrays: Any) -> tuple[Any, ...]:
        try:
            # Copies: the arrays are views of memory that XLA uses again, and the user may keep them, or write to them.
            if ordered:
                return (arrays[0], *function(*map(np.array, arrays[1:])))
            return function(*map(np.array, arrays))
        except BaseException as error:  # whatever it is, the thread that called the program raises it
            raise RuntimeError(f"{_MARK}{_keep(error, callback)}. {type(error).__name__}: {error}") from None

    return call


def _keep(error: BaseException, callback: HostCallback) -> int:
    if callback.what:
        note = f"in the function that {callback.what} calls, at {describe_place(callback.place)}"
        if note not in getattr(error, "__notes__", ()):
            error.add_note(note)
    with _lock:
        number = next(_numbers)
        _raised[number] = error
        while len(_raised) > _KEPT:  # errors of programs that somebody else ran and never asked for
            del _raised[next(iter(_raised))]
    return number


def original_error(error: Exception) -> BaseException:
    """The exception behind a runtime error: the callback's own where one raised, else the error itself."""
    found = re.search(_MARK + r"(\d+)\.", str(error))
    if found is None:
        return error
    with _lock:
        return _raised.pop(int(found[1]), error)


def effects_barrier() -> None:
    """Wait until the effects of every call so far have happened.

    A call whose program calls Python returns after its effects, so there is nothing to wait for but programs of JAX.

    >>> import functrans as ft
    >>> ft.effects_barrier()
    """
    jax.effects_barrier()  # type: ignore[no-untyped-call]
