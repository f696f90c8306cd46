"""The table of JAX's calls of Python functions from compiled code: callbacks and prints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jax.tree_util import tree_structure, tree_unflatten

from functrans.control.callbacks import IoCallback, PureCallback
from functrans.control.debugging import DebugCallback
from functrans.control.host_functions import HostFunction
from functrans.interop.translation import Application, Emit
from functrans.trace.binding import bind_all
from functrans.trace.state import current_place


def _host(application: Application, function: Callable[..., Any]) -> HostFunction:
    """JAX's callback, which takes and returns flat arrays, as ours."""
    in_tree = tree_structure(((0,) * len(application.operands), {}))
    return HostFunction(function, in_tree, current_place(), tree_structure([0] * len(application.out_types)))


class _FlatCall:
    """JAX's flat callback under the name of the user's function, equal to another one of the same callback."""

    def __init__(self, callback: Any) -> None:
        inner = getattr(callback, "callback_func", callback)
        self.__name__ = str(getattr(inner, "__name__", "callback"))
        self.callback = callback
        self.host_key = callback

    def __call__(self, *arrays: Any) -> list[Any]:
        results = self.callback(*arrays)
        return [] if results is None else list(results)


def _pure(application: Application) -> Any:
    params = application.params
    host = _host(application, _FlatCall(params["callback"]))
    op = PureCallback(host, tuple(application.out_types), params.get("vmap_method"))
    return bind_all(op, application.operands)


def _io(application: Application) -> Any:
    params = application.params
    host = _host(application, _FlatCall(params["callback"]))
    op = IoCallback(host, tuple(application.out_types), bool(params["ordered"]))
    return bind_all(op, application.operands)


def _debug(application: Application, function: Callable[..., Any], ordered: bool) -> Any:
    in_tree = tree_structure(((0,) * len(application.operands), {}))
    host = HostFunction(function, in_tree, current_place())
    bind_all(DebugCallback(host, ordered, application.name), application.operands)
    return []


def _debug_callback(application: Application) -> Any:
    effect = application.params["effect"]
    return _debug(application, _FlatCall(application.params["callback"]), "ordered" in type(effect).__name__.lower())


def _debug_print(application: Application) -> Any:
    params = application.params
    names = ("fmt", "in_tree", "static_args", "has_placeholders", "np_printoptions")
    return _debug(application, _Print(*[params[name] for name in names]), bool(params["ordered"]))


class _Print:
    """What ``jax.debug.print`` prints of its arrays."""

    __name__ = "print"

    def __init__(self, fmt: str, in_tree: Any, static: Any, formatted: bool, options: Any) -> None:
        self.fmt, self.in_tree, self.static, self.formatted, self.options = fmt, in_tree, static, formatted, options
        self.host_key = (fmt, in_tree)

    def __call__(self, *arrays: Any) -> None:
        rest, fixed = iter(arrays), dict(self.static)
        leaves = [fixed[i] if i in fixed else next(rest) for i in range(len(fixed) + len(arrays))]
        args, kwargs = tree_unflatten(self.in_tree, leaves)
        with np.printoptions(**dict(self.options)):
            print(self.fmt.format(*args, **kwargs) if self.formatted else " ".join(map(str, [self.fmt, *args])))


HOST_CALLS: dict[str, Emit] = {
    "pure_callback": _pure,
    "io_callback": _io,
    "debug_callback": _debug_callback,
    "debug_print": _debug_print,
}
