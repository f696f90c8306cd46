"""Keywords of JAX's that functrans can do nothing with: taken at their default, else refused by name.

``takes`` gives a function such keywords, at the cost of one more call. Functions that a trace calls thousands of times
name them themselves, and call ``refuse``.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from functrans.trace.frames import api_boundary, here

F = TypeVar("F", bound=Callable[..., Any])

_ONE_DEVICE = "a program of functrans computes on one device; leave it out"
_JAX_ALONE = "it belongs to JAX's own tracer; leave it out"
_REASONS = {
    "accuracy": "every function is computed as exactly as it can be; leave it out",
    "algorithm": "which kernel computes is given by the platform",
    "backend": "a program runs on functrans.config.jax_default_device, or where its arguments are",
    "concrete": "values are known without it wherever functrans.numpy is called on no traced value",
    "device": "a program runs on functrans.config.jax_default_device, or where its arguments are",
    "group_offset": "give the groups from the first one on",
    "implementation": "which kernel computes is given by the platform",
    "in_nzs": _JAX_ALONE,
    "in_shardings": _ONE_DEVICE,
    "memory_space": "references are in the device's memory; leave it out",
    "method": "samples are those of the exact method",
    "out": "arrays are immutable; use the returned array",
    "out_sharding": _ONE_DEVICE,
    "out_shardings": _ONE_DEVICE,
    "pin": "references are in the device's memory; leave it out",
    "reduce_axes": "write lax.psum over the axis in the function",
    "remat": "wrap the function in functrans.checkpoint",
    "saveable_args": _JAX_ALONE,
    "sharding": _ONE_DEVICE,
    "sum_match": _JAX_ALONE,
    "to": _ONE_DEVICE,
    "where": "choose with functrans.numpy.where",
    "use_magma": "LAPACK computes",
    "with_accums": _JAX_ALONE,
    "with_logs": "return what is to be logged with has_aux=True",
}
# The names of values that hold without anything being done for them.
_HELD = {"accuracy": ("DEFAULT", "HIGHEST"), "algorithm": ("DEFAULT",), "implementation": ("LAPACK",)}


def refuse(operation: str, **keywords: Any) -> None:
    """Raise NotImplementedError for the first keyword that is not None, with its name, the reason and the line."""
    for keyword, value in keywords.items():
        if value is not None and getattr(value, "name", "") not in _HELD.get(keyword, ()):
            raise NotImplementedError(
                f"{operation}: {keyword}= is not supported: {_REASONS[keyword]} (at {here()})"
            )


def takes(**defaults: Any) -> Callable[[F], F]:
    """A decorator: the function takes these keywords, too, and refuses any value of theirs but the default.

    It is an ``api_boundary``, too.

    >>> from functrans.trace.keywords import takes
    >>> takes(out_sharding=None)(lambda x: x + 1)(2, out_sharding=None)
    3
    """

    def taking(function: F) -> F:
        signature = inspect.signature(function)
        name = function.__name__

        @functools.wraps(function)
        def refusing(*args: Any, **keywords: Any) -> Any:
            if keywords:
                for keyword, default in defaults.items():
                    value = keywords.pop(keyword, default)
                    if value is not default and (type(value) is not type(default) or value != default):
                        refuse(name, **{keyword: True})
            return function(*args, **keywords)

        parameters = list(signature.parameters.values())
        end = len(parameters) - (bool(parameters) and parameters[-1].kind is inspect.Parameter.VAR_KEYWORD)
        parameters[end:end] = [
            inspect.Parameter(k, inspect.Parameter.KEYWORD_ONLY, default=v) for k, v in defaults.items()
        ]
        refusing.refused = tuple(defaults)  # type: ignore[attr-defined]
        refusing.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        return api_boundary(refusing)  # type: ignore[return-value]

    return taking
