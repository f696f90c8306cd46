"""``to_jax``: a function of functrans as a function for JAX's transforms."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from jax.tree_util import tree_flatten, tree_unflatten

from functrans.api.arguments import check_callable
from functrans.api.staging import stage
from functrans.interop.jax_primitive import apply_program
from functrans.trace.frames import api_boundary, function_name, named_as
from functrans.trace.leaves import leaf_types
from functrans.trace.tracer import Tracer

_ORDER = 2  # orders of differentiation foreseen for custom derivative rules; beyond it they are traced when asked for
_REMEDY = (
    "Inside a JAX program the function is traced once for all values. Use functrans.lax.cond or functrans.numpy.where "
    "to choose and functrans.lax.while_loop to repeat."
)


@api_boundary
def to_jax(fun: Callable[..., Any]) -> Callable[..., Any]:
    """A function of functrans as one operation of JAX's programs.

    JAX's transforms (``jax.jit``, ``jax.grad``, ``jax.vmap``) take functions of functrans as they are, and each
    operation or transform in them becomes an operation of JAX's program. With this the whole function is one. Called on
    values that JAX traces (or on arrays), it traces ``fun`` and puts its program into JAX's; derivatives and batching,
    of any order, are those that functrans' rules give. ``fun`` may close over values that JAX traces.

    Args:
      fun: a function of arrays or pytrees of them, made of functrans' functions. Bind arguments that are no arrays
        with ``functools.partial``.

    Returns:
      A function of the same arguments.

    Raises:
      TypeError: an argument is no array, number or pytree of them, or ``fun`` has effects that keep an order.

    >>> import functrans as ft, functrans.numpy as fnp, jax
    >>> slope = jax.jit(jax.grad(ft.to_jax(lambda x: fnp.sin(x) * x)))
    >>> round(float(slope(0.0)), 6)
    0.0
    """
    check_callable(fun, "to_jax")
    name = function_name(fun)

    @functools.partial(named_as, fun)
    @api_boundary
    def bridged(*args: Any, **kwargs: Any) -> Any:
        leaves, tree = tree_flatten((args, kwargs))
        if any(type(x) is Tracer for x in leaves):
            return fun(*args, **kwargs)
        types = leaf_types(leaves, lambda i: f"an argument of to_jax({name})")

        def flat(*inputs: Any) -> Any:
            new, new_kwargs = tree_unflatten(tree, inputs)
            return fun(*new, **new_kwargs)

        staged = stage(flat, leaves, types, f"to_jax of {name}", order=_ORDER, remedy=_REMEDY)
        return tree_unflatten(staged.out_tree, apply_program(staged.jaxpr, [*staged.captured, *leaves], name))

    return bridged
