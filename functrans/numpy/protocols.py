"""NumPy's own functions on traced values: ``np.sin(tracer)``, ``np.concatenate([tracer, ...])``.

They reach the function of the same name in ``functrans.numpy``. A NumPy function that has none there gets a TypeError,
never a silent conversion.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from functrans.errors import FunctransTypeError
from functrans.trace.frames import here

_REDUCTIONS = {
    "add": "sum", "multiply": "prod", "maximum": "max", "minimum": "min", "logical_and": "all", "logical_or": "any",
}  # fmt: skip


def array_ufunc(namespace: Mapping[str, Any]) -> Callable[..., Any]:
    """The method ``__array_ufunc__``, looking functions up in ``namespace``."""

    def method(self: Any, ufunc: Any, how: str, *inputs: Any, **options: Any) -> Any:
        name = ufunc.__name__
        out = options.pop("out", None)
        if out is not None:
            raise FunctransTypeError(
                f"np.{name} with out= would write a traced value into a NumPy array, at {here()}\nUse the returned "
                "array."
            )
        if how == "reduce" and name in _REDUCTIONS:
            options.setdefault("axis", 0)
            if options.get("initial", 0) is np._NoValue:
                options.pop("initial")
            return namespace[_REDUCTIONS[name]](*inputs, **options)
        found = namespace.get(name) if how == "__call__" else None
        if found is None:
            raise _no_counterpart(f"np.{name}" + ("" if how == "__call__" else f".{how}"))
        return found(*inputs, **options)

    return method


def array_function(namespace: Mapping[str, Any]) -> Callable[..., Any]:
    """The method ``__array_function__``, looking functions up in ``namespace``."""

    def method(self: Any, function: Any, types: Any, args: Any, options: Any) -> Any:
        module, name = function.__module__, function.__name__
        where: Any = namespace
        if module.startswith("numpy.") and module.count(".") == 1:
            where = vars(namespace[module[6:]]) if module[6:] in namespace else {}
        found = where.get(name)
        if found is None or not callable(found):
            raise _no_counterpart(f"{module.replace('numpy', 'np', 1)}.{name}")
        return found(*args, **options)

    return method


def _no_counterpart(name: str) -> FunctransTypeError:
    return FunctransTypeError(
        f"{name} was called on a traced value, and functrans.numpy has no function of that name, at {here()}\n"
        "Build it from functrans.numpy functions, or compute it outside of the transformed function."
    )
