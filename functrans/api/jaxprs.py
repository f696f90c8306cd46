"""Functions traced and not run: ``make_jaxpr``, ``eval_shape``."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from functrans.api.ahead_of_time import as_shape_struct, shape_struct
from functrans.api.arguments import check_callable
from functrans.api.compilation import REMEDY
from functrans.api.references import Given, values_in
from functrans.api.staging import api_boundary, output, stage, tree_flatten, tree_unflatten
from functrans.trace.builder import OFTEN, Builder
from functrans.trace.frames import function_name, named_as
from functrans.trace.leaves import leaf_types
from functrans.trace.state import axis_scope


@api_boundary
def make_jaxpr(
    fun: Callable[..., Any],
    static_argnums: int | Sequence[int] = (),
    axis_env: Sequence[tuple[Any, int]] | None = None,
    return_shape: bool = False,
) -> Callable[..., Any]:
    """A function that traces ``fun`` and returns its jaxpr; what the function closes over comes first among the inputs.
    Mutable references are inputs by what they hold, and where they are written to, results: the leading ones.

    Args:
      fun: the function to trace.
      static_argnums: positional arguments passed as they are.
      axis_env: names and sizes of mapped axes that ``fun`` may speak of.
      return_shape: also return the tree of ``ShapeDtypeStruct`` of the result.

    >>> import functrans as ft
    >>> len(ft.make_jaxpr(lambda x: x * x + x)(3.0).equations)
    2
    """
    check_callable(fun, "make_jaxpr")
    numbers = (static_argnums,) if isinstance(static_argnums, int) else tuple(static_argnums)

    @functools.partial(named_as, fun)
    @api_boundary
    def jaxpr_of(*args: Any, **kwargs: Any) -> Any:
        static = {i % len(args) for i in numbers if -len(args) <= i < len(args)}
        dynamic = tuple(None if i in static else x for i, x in enumerate(args))
        leaves, tree = tree_flatten((dynamic, kwargs))
        given = Given("make_jaxpr", leaves)
        types = leaf_types([*map(as_shape_struct, values_in(leaves))], lambda i: "an argument of make_jaxpr")

        def flat_fun(*inputs: Any) -> Any:
            new, new_kwargs = tree_unflatten(tree, given.enter(inputs))
            return fun(*[args[i] if i in static else x for i, x in enumerate(new)], **new_kwargs)

        with axis_scope(dict(axis_env or ())), Builder(f"make_jaxpr of {function_name(fun)}", order=1) as builder:
            builder.remedy, builder.lends = REMEDY, OFTEN
            result = flat_fun(*[builder.new_input(t) for t in types])
            flat, out_tree = tree_flatten(result)
            ends = [x.value for x in builder.written()] + [x for x in given.leave() if x is not None]
            outputs = [output(builder, x, result, "make_jaxpr") for x in flat]
            jaxpr, _ = builder.finish([*map(builder.output, ends), *outputs])
        if not return_shape:
            return jaxpr
        return jaxpr, tree_unflatten(out_tree, [shape_struct(t) for t in jaxpr.out_types[len(ends) :]])

    return jaxpr_of


@api_boundary
def eval_shape(fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The shapes and dtypes of ``fun(*args, **kwargs)`` without computing it: a tree of ``ShapeDtypeStruct``.

    >>> import numpy as np, functrans as ft
    >>> ft.eval_shape(lambda x: x * 2.0, np.ones((3,), np.float32)).shape
    (3,)
    """
    check_callable(fun, "eval_shape")
    leaves, tree = tree_flatten((args, kwargs))
    given = Given("eval_shape", leaves)
    leaves = [*map(as_shape_struct, values_in(leaves))]
    types = leaf_types(leaves, lambda i: "an argument of eval_shape")

    def flat_fun(*inputs: Any) -> Any:
        new, new_kwargs = tree_unflatten(tree, given.enter(inputs))
        return fun(*new, **new_kwargs)

    staged = stage(flat_fun, leaves, types, f"eval_shape of {function_name(fun)}", remedy=REMEDY, lends=True)
    return tree_unflatten(staged.out_tree, [shape_struct(t) for t in staged.out_types])
