"""``debug.print`` and ``debug.callback``: look at values in compiled code without changing what it computes."""

from __future__ import annotations

import string
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from functrans.api.callbacks import check_function
from functrans.control.debugging import DebugCallback
from functrans.control.host_functions import HostFunction, flatten_arguments
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import describe
from functrans.jaxlib_compat.tracing import evaluates
from functrans.trace.binding import bind_all
from functrans.trace.frames import api_boundary, here, where
from functrans.trace.state import current_place


def _emit(what: str, function: Any, arrays: list[Any], fixed: Any, tree: Any, ordered: bool) -> None:
    op = DebugCallback(HostFunction(function, tree, current_place() or where(3), None, fixed), bool(ordered), what)
    if evaluates():
        op.impl(*arrays)
    else:
        bind_all(op, arrays)


@api_boundary
def callback(
    callback: Callable[..., None] | None = None, *args: Any, ordered: bool = False, partitioned: bool = False,
    **kwargs: Any,
) -> Any:  # fmt: skip
    """Call a Python function with values of compiled code, to look at them.

    Under vmap it is called for each lane, under grad once, in the forward pass.

    Args:
      callback: a function of NumPy arrays in the trees of ``args`` and ``kwargs``; its result is thrown away. Without
        it, ``callback(ordered=True)`` is a function that takes the callback and its arguments.
      args, kwargs: pytrees; leaves that are no arrays are passed as they are.
      ordered: keep the order of the program among all ordered effects (refused under vmap).
      partitioned: accepted for programs written for JAX; arrays are whole here.

    Raises:
      TypeError: the first argument is no function. What the function raises is raised by the call.

    >>> import functrans as ft
    >>> seen = []
    >>> float(ft.jit(lambda x: (ft.debug.callback(lambda v: seen.append(float(v)), x), x * 2.0)[1])(3.0)), seen
    (6.0, [3.0])
    """
    if callback is None:
        if args or kwargs:
            raise FunctransTypeError(f"debug.callback got arguments and no function, at {here()}")
        return lambda function, *a, **k: _callback(function, a, k, ordered)
    return _callback(callback, args, kwargs, ordered)


def _callback(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], ordered: bool) -> None:
    check_function(function, "debug.callback")
    arrays, fixed, tree = flatten_arguments(args, kwargs)
    _emit("debug.callback", function, arrays, fixed, tree, ordered)


class _FormatCheck(string.Formatter):
    """Formats nothing, and finds arguments that the format does not name."""

    unused: list[str]

    def format_field(self, value: Any, format_spec: str) -> str:
        return ""

    def convert_field(self, value: Any, conversion: Any) -> Any:
        return value

    def check_unused_args(self, used_args: Any, args: Any, kwargs: Any) -> None:
        self.unused = [f"number {i}" for i in range(len(args)) if i not in used_args]
        self.unused += [repr(k) for k in kwargs if k not in used_args]


class _Printer:
    """Formats and prints, with NumPy's print options as they were when it was made."""

    __name__ = "print"

    def __init__(self, format: str) -> None:
        self.format = format
        self.options: dict[str, Any] = dict(np.get_printoptions())
        self.host_key = (format, tuple((k, repr(v)) for k, v in sorted(self.options.items())))

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        with np.printoptions(**self.options):
            text = self.format.format(*args, **kwargs)
        sys.stdout.write(text + "\n")


@api_boundary
def print(
    fmt: str | None = None, *args: Any, ordered: bool = False, partitioned: bool = False,
    skip_format_check: bool = False, **kwargs: Any,
) -> Any:  # fmt: skip
    """Print values of compiled code: ``fmt.format(*args, **kwargs)``.

    Under vmap it prints a line for each lane, under grad once, in the forward pass.

    Args:
      fmt: a format string, formatted when the program runs: no f-string. Without it, ``print(ordered=True)`` is a
        function that takes the format and its arguments.
      args, kwargs: pytrees of arrays, or anything to be formatted as it is.
      ordered: keep the order of the program among all ordered effects (refused under vmap).
      partitioned: accepted for programs written for JAX; arrays are whole here.
      skip_format_check: do not check that the format names every argument.

    Raises:
      ValueError: the format and the arguments do not fit.

    >>> import functrans as ft
    >>> doubled = ft.jit(lambda x: (ft.debug.print("x = {x}", x=x), x * 2.0)[1])(3.0)
    x = 3.0
    """
    if fmt is None:
        if args or kwargs:
            raise FunctransTypeError(f"debug.print got arguments and no format, at {here()}")
        return lambda text, *a, **k: _print(text, a, k, ordered, skip_format_check)
    return _print(fmt, args, kwargs, ordered, skip_format_check)


def _print(fmt: Any, args: tuple[Any, ...], kwargs: dict[str, Any], ordered: bool, unchecked: bool) -> None:
    if not isinstance(fmt, str):
        raise FunctransTypeError(
            f"debug.print needs a format string as its first argument, got {describe(fmt)} at {here()}\n"
            'Write debug.print("{}", x).'
        )
    if not unchecked:
        formatter = _FormatCheck()
        try:
            formatter.format(fmt, *args, **kwargs)
        except (IndexError, KeyError):
            raise FunctransValueError(
                f"the format {fmt!r} of debug.print names what it was not given: it got {len(args)} positional "
                f"arguments and the names {sorted(kwargs)}, at {here()}"
            ) from None
        if formatter.unused:
            raise FunctransValueError(
                f"debug.print got arguments that its format does not name: {', '.join(formatter.unused)}, at {here()}\n"
                "Write {} or {name} for them. (An f-string is formatted while tracing: pass a plain string.)"
            )
    arrays, fixed, tree = flatten_arguments(args, kwargs)
    _emit("debug.print", _Printer(fmt), arrays, fixed, tree, ordered)
