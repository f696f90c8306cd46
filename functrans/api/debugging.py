"""``debug.print`` and ``debug.callback``: look at values in compiled code without changing what it computes."""

from __future__ import annotations

import importlib
import inspect
import logging
import string
import sys
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.tree_util import tree_leaves

from functrans.api.callbacks import check_function
from functrans.control.debugging import DebugCallback
from functrans.control.host_functions import HostFunction, flatten_arguments
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import describe
from functrans.jaxlib_compat.tracing import evaluates
from functrans.trace.binding import bind_all
from functrans.trace.frames import api_boundary, describe_place, here, is_internal, where
from functrans.trace.state import current_place
from functrans.trace.tracer import Tracer

logger = logging.getLogger("functrans.debug")


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
      callback: a function of NumPy arrays in the trees of ``args`` and ``kwargs``; its result is thrown away.
        Random keys come as their words, uint32. Without it, ``callback(ordered=True)`` is a function that takes the
        callback and its arguments.
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
        self.host_key: tuple[Any, ...] = (format, tuple((k, repr(v)) for k, v in sorted(self.options.items())))

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        with np.printoptions(**self.options):
            self.say(self.format.format(*args, **kwargs))

    def say(self, text: str) -> None:
        sys.stdout.write(text + "\n")


class _Logger(_Printer):
    """Formats, and hands the text to the logger ``functrans.debug``."""

    __name__ = "log"

    def __init__(self, format: str) -> None:
        super().__init__(format)
        self.host_key = ("log", *self.host_key)

    def say(self, text: str) -> None:
        logger.info("%s", text)


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


@api_boundary
def log(
    fmt: str | None = None, *args: Any, ordered: bool = False, partitioned: bool = False,
    skip_format_check: bool = False, **kwargs: Any,
) -> Any:  # fmt: skip
    """As ``print``, but to the logger ``functrans.debug``, at level INFO.

    >>> import functrans as ft, logging
    >>> logging.getLogger("functrans.debug").setLevel(logging.INFO)
    >>> doubled = ft.jit(lambda x: (ft.debug.log("x = {x}", x=x), x * 2.0)[1])(3.0)
    """
    if fmt is None:
        if args or kwargs:
            raise FunctransTypeError(f"debug.log got arguments and no format, at {here()}")
        return lambda text, *a, **k: _print(text, a, k, ordered, skip_format_check, _Logger)
    return _print(fmt, args, kwargs, ordered, skip_format_check, _Logger)


def _print(
    fmt: Any, args: tuple[Any, ...], kwargs: dict[str, Any], ordered: bool, unchecked: bool,
    kind: type[_Printer] = _Printer,
) -> None:  # fmt: skip
    name = "debug.log" if kind is _Logger else "debug.print"
    if not isinstance(fmt, str):
        raise FunctransTypeError(
            f"{name} needs a format string as its first argument, got {describe(fmt)} at {here()}\n"
            f'Write {name}("{{}}", x).'
        )
    if not unchecked:
        formatter = _FormatCheck()
        try:
            formatter.format(fmt, *args, **kwargs)
        except (IndexError, KeyError):
            raise FunctransValueError(
                f"the format {fmt!r} of {name} names what it was not given: it got {len(args)} positional "
                f"arguments and the names {sorted(kwargs)}, at {here()}"
            ) from None
        if formatter.unused:
            raise FunctransValueError(
                f"{name} got arguments that its format does not name: {', '.join(formatter.unused)}, at {here()}\n"
                "Write {} or {name} for them. (An f-string is formatted while tracing: pass a plain string.)"
            )
    arrays, fixed, tree = flatten_arguments(args, kwargs)
    _emit(name, kind(fmt), arrays, fixed, tree, ordered)


def inspect_array_sharding(value: Any, *, callback: Callable[[Any], None]) -> None:
    """Call a function with the sharding of each array of a tree.

    A program of functrans computes on one device: of a traced value it is called while it is traced, with that device.

    >>> import functrans as ft
    >>> seen = []
    >>> ft.debug.inspect_array_sharding(ft.device_put(1.0), callback=seen.append)
    >>> len(seen[0].device_set)
    1
    """
    for x in tree_leaves(value):
        if isinstance(x, jax.Array) and type(x) is not Tracer:
            callback(x.sharding)
        else:
            callback(jax.sharding.SingleDeviceSharding(jax.local_devices()[0]))


def visualize_array_sharding(arr: Any, **options: Any) -> None:
    """Draw where the parts of an array are, by the package ``rich``.

    ``options``: those of ``visualize_sharding``.
    """
    inspect_array_sharding(arr, callback=lambda s: jax.debug.visualize_sharding(arr.shape, s, **options))


@api_boundary
def breakpoint(
    *, backend: str | None = None, filter_frames: bool = True, num_frames: int | None = None, ordered: bool = False,
    token: Any = None, **kwargs: Any,
) -> Any:  # fmt: skip
    """Stop compiled code here, in an interactive Python with the local variables; Ctrl-D goes on.

    Un-jitted code has values while it is traced, and Python's own ``breakpoint()`` stops it.

    Args:
      ordered: keep the order of the program among all ordered effects (refused under vmap).
      token: a value that is returned.
      backend, filter_frames, num_frames, kwargs: accepted for programs written for JAX.

    >>> import functrans as ft
    >>> step = ft.jit(lambda x: (ft.debug.breakpoint(), x * 2.0)[1])  # and at each call:
    >>> # (console) >>> x
    """
    frame: Any = inspect.currentframe()
    while frame is not None and is_internal(frame.f_code.co_filename):
        frame = frame.f_back
    variables = {} if frame is None else dict(frame.f_locals)
    arrays = {k: v for k, v in variables.items() if isinstance(v, jax.Array | np.ndarray | np.generic)}
    place = describe_place(where(2))
    others = {k: v for k, v in variables.items() if k not in arrays}

    def stop(values: dict[str, Any]) -> None:
        importlib.import_module("code").interact(f"breakpoint at {place}", local={**others, **values}, exitmsg="")

    _callback(stop, (arrays,), {}, ordered)
    return token
