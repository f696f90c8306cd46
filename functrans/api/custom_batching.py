"""custom_vmap and sequential_vmap: JAX's names, signatures and meaning; reverse mode works too."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from jax.tree_util import tree_flatten, tree_map, tree_unflatten

from functrans.api.arguments import check_callable
from functrans.api.bodies import trace_body
from functrans.api.custom_rules import inner_rule
from functrans.api.loops import map as map_rows
from functrans.api.staging import as_arrays
from functrans.control.custom_batching import CustomVmap, UserRule
from functrans.errors import FunctransTypeError
from functrans.jaxlib_compat.tracing import evaluates
from functrans.trace.binding import bind_all
from functrans.trace.frames import api_boundary, function_name, here
from functrans.trace.leaves import leaf_types


class custom_vmap:
    """A function whose ``vmap`` you write; every other transform sees the function itself.

    ``def_vmap(rule)``: ``rule(axis_size, in_batched, *args) -> (results, out_batched)``. ``in_batched`` is a list with
    a bool, or a tree of them, for each argument; batched arguments come with the mapped axis first, and so must the
    results that ``out_batched``, a tree of bools like the results, says are batched. Derivatives of the mapped function
    are those of the rule, in reverse mode too.

    Args:
      fun: the function.

    >>> import functrans as ft, numpy as np
    >>> @ft.custom_batching.custom_vmap
    ... def f(x, y):
    ...     return x + y
    >>> @f.def_vmap
    ... def rule(axis_size, in_batched, x, y):
    ...     return x * y, True
    >>> [float(z) for z in ft.vmap(f)(np.float32([1, 2]), np.float32([3, 4]))]
    [3.0, 8.0]
    """

    def __init__(self, fun: Callable[..., Any]) -> None:
        check_callable(fun, type(self).__name__)
        functools.update_wrapper(self, fun)
        self.fun = fun
        self.vmap_rule: Callable[..., Any] | None = None

    def def_vmap(self, vmap_rule: Callable[..., Any]) -> Callable[..., Any]:
        """Set the rule ``vmap_rule(axis_size, in_batched, *args) -> (results, out_batched)``; returns it."""
        check_callable(vmap_rule, "custom_vmap.def_vmap")
        self.vmap_rule = vmap_rule
        return vmap_rule

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    @api_boundary
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        name = function_name(self.fun)
        if self.vmap_rule is None:
            raise FunctransTypeError(
                f"the custom_vmap function {name} has no rule yet, at {here()}\nGive it one with @{name}.def_vmap "
                "before calling it."
            )
        args = self._by_position(name, args, kwargs)
        if evaluates():
            return self.fun(*as_arrays(args, lambda i: f"an argument of {name}"))
        leaves, tree = tree_flatten(args)
        types = leaf_types(leaves, lambda i: f"an argument of {name}")
        body = trace_body(self.fun, types, lambda inputs: tree_unflatten(tree, inputs), f"custom_vmap of {name}")
        count = len(body.captured)
        rule = UserRule(self.vmap_rule, tree, body.tree, body.jaxpr.out_types, count, name)
        return tree_unflatten(body.tree, bind_all(CustomVmap(body.jaxpr, rule, name), [*body.captured, *leaves]))

    def __getattr__(self, name: str) -> Any:
        """The rules of another kind are those of the function inside, ``custom_vmap(custom_jvp(f)).defjvp``."""
        return inner_rule(self, name)

    def _by_position(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        try:
            bound = inspect.signature(self.fun).bind(*args, **kwargs)
        except ValueError:  # a builtin without a signature
            if kwargs:
                raise
            return args
        bound.apply_defaults()
        if bound.kwargs:
            raise FunctransTypeError(
                f"custom_vmap function {name} was called with keyword-only arguments {sorted(bound.kwargs)}, which a "
                f"vmap rule cannot receive, at {here()}"
            )
        return bound.args


def sequential_vmap(f: Callable[..., Any]) -> custom_vmap:
    """A function that ``vmap`` runs for one lane after the other, in a compiled loop, instead of vectorizing it.

    Args:
      f: the function.

    >>> import functrans as ft, numpy as np
    >>> square = ft.custom_batching.sequential_vmap(lambda x: x * x)
    >>> [float(y) for y in ft.vmap(square)(np.float32([1, 2, 3]))]
    [1.0, 4.0, 9.0]
    """
    mapped = custom_vmap(f)

    @mapped.def_vmap
    def rule(axis_size: int, in_batched: list[Any], *args: Any) -> tuple[Any, Any]:
        leaves, tree = tree_flatten(args)
        flags = tree_flatten(tuple(in_batched))[0]

        def lane(own: list[Any]) -> Any:
            rows = iter(own)
            whole = [next(rows) if flag else x for x, flag in zip(leaves, flags, strict=True)]
            return mapped(*tree_unflatten(tree, whole))

        out = map_rows(lane, [x for x, flag in zip(leaves, flags, strict=True) if flag])
        return out, tree_map(lambda _: True, out)

    return mapped
