"""custom_gradient, closure_convert and linear_call: JAX's names, signatures and meaning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jax.tree_util import register_pytree_node_class, tree_flatten, tree_unflatten

from functrans.api.arguments import check_callable
from functrans.api.bodies import Body, check_same_results, trace_body, typed_leaves
from functrans.api.custom_rules import custom_vjp
from functrans.api.staging import as_arrays, as_values
from functrans.control.call import Call
from functrans.control.linear_call import LinearCall
from functrans.control.rules import DeferredRule, Rule
from functrans.errors import FunctransTypeError
from functrans.ir.program import Jaxpr
from functrans.ir.types import describe, is_differentiable, type_of
from functrans.jaxlib_compat.tracing import evaluates
from functrans.ops.structural import convert
from functrans.trace.binding import bind_all
from functrans.trace.frames import api_boundary, function_name, here
from functrans.trace.keywords import takes
from functrans.trace.leaves import leaf_types
from functrans.trace.replay import replay
from functrans.trace.state import current_builder
from functrans.trace.tracer import Tracer


@register_pytree_node_class
class _Pullback:
    """A gradient function that custom_gradient's user returned: its captured values are leaves, its program static."""

    def __init__(self, jaxpr: Jaxpr, tree: Any, captured: list[Any]) -> None:
        self.jaxpr, self.tree, self.captured = jaxpr, tree, captured

    def tree_flatten(self) -> Any:
        return self.captured, (self.jaxpr, self.tree)

    @classmethod
    def tree_unflatten(cls, static: Any, captured: Any) -> _Pullback:
        jaxpr, tree = static
        return cls(jaxpr, tree, list(captured))


@takes(with_logs=False, remat=False, with_accums=None)
def custom_gradient(fun: Callable[..., Any] | None = None) -> Callable[..., Any]:
    """A function with a reverse derivative rule of its own, written together with it.

    Args:
      fun: ``fun(*args) -> (result, rule)``; ``rule(cotangent)`` returns the cotangent of the argument, or a tuple of
        them where there are several. The rule may use whatever ``fun`` computed.

    Returns:
      A function of the same arguments that returns ``result``.

    >>> import functrans as ft
    >>> @ft.custom_gradient
    ... def f(x):
    ...     return x ** 2, lambda ct: ct * x
    >>> float(f(3.0)), float(ft.grad(f)(3.0))
    (9.0, 3.0)
    """
    if fun is None:
        return custom_gradient
    check_callable(fun, "custom_gradient")
    name = function_name(fun)

    def both(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        result = fun(*args, **kwargs)
        if not (isinstance(result, tuple | list) and len(result) == 2 and callable(result[1])):
            raise FunctransTypeError(
                f"the custom_gradient function {name} must return a pair (result, function of its cotangent), it "
                f"returned {describe(result)} at {here()}"
            )
        return result[0], result[1]

    def primal(*args: Any, **kwargs: Any) -> Any:
        return both(*args, **kwargs)[0]

    def forward(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        result, rule = both(*args, **kwargs)
        leaves, tree = tree_flatten(result)
        types = leaf_types(leaves, lambda i: f"a result of {name}")
        body = trace_body(rule, types, lambda inputs: (tree_unflatten(tree, inputs),), f"the gradient of {name}")
        return result, _Pullback(body.jaxpr, body.tree, body.captured)

    def backward(pullback: _Pullback, cotangent: Any) -> Any:
        sent = replay(pullback.jaxpr, [*pullback.captured, *tree_flatten(cotangent)[0]])
        result = tree_unflatten(pullback.tree, as_values(sent))
        return result if isinstance(result, tuple | list) else (result,)

    primal.__name__ = name
    primal.__wrapped__ = fun  # type: ignore[attr-defined]  # whose signature names the arguments
    wrapped = custom_vjp(primal)
    wrapped.defvjp(forward, backward)
    return wrapped


@api_boundary
def closure_convert(fun: Callable[..., Any], *example_args: Any) -> tuple[Callable[..., Any], list[Any]]:
    """Make the values that a function closes over arguments of it, so that a custom derivative rule can see them.

    Args:
      fun: a function of arguments like ``example_args``; it is traced once.
      example_args: pytrees of arrays: only shapes and dtypes count.

    Returns:
      ``(converted, values)``: ``converted(*args, *values)`` computes ``fun(*args)``, and ``values`` are the traced
      floating values that ``fun`` closes over, which a derivative may be taken by.

    Raises:
      TypeError: ``converted`` is called with other trees than ``example_args``.

    >>> import functrans as ft
    >>> def slope(w):
    ...     converted, values = ft.closure_convert(lambda x: w * x, 1.0)
    ...     return converted(3.0, *[2.0 * v for v in values])
    >>> float(ft.grad(slope)(5.0))
    6.0
    """
    check_callable(fun, "closure_convert")
    leaves, tree = tree_flatten(example_args)
    name = function_name(fun)
    types = leaf_types(leaves, lambda i: f"an example argument of closure_convert of {name}")
    body = trace_body(fun, types, lambda inputs: tree_unflatten(tree, inputs), f"closure_convert of {name}")
    hoisted = [type(x) is Tracer and is_differentiable(x.dtype) for x in body.captured]
    values = [x for x, h in zip(body.captured, hoisted, strict=True) if h]

    def converted(*args: Any) -> Any:
        count = len(args) - len(values)
        given, given_tree = tree_flatten(args[: max(count, 0)])
        trees: tuple[Any, Any] = (given_tree, tree)
        if trees[0] != trees[1]:
            raise FunctransTypeError(
                f"the function made by closure_convert of {name} takes arguments like the examples, followed by "
                f"{len(values)} value(s), at {here()}\n  examples: {tree}\n  given:    {given_tree}"
            )
        rest = iter(args[count:])
        captured = [next(rest) if h else x for x, h in zip(body.captured, hoisted, strict=True)]
        operands = [
            convert(x, t.dtype, t.weak_type) if type_of(x).dtype != t.dtype else x
            for x, t in zip([*captured, *given], body.jaxpr.in_types, strict=True)
        ]
        traced = current_builder() is not None
        outs = replay(body.jaxpr, operands) if traced else bind_all(Call(body.jaxpr, name), operands)
        return tree_unflatten(body.tree, as_values(outs))

    return converted, values


@api_boundary
def linear_call(
    fun: Callable[[Any, Any], Any], fun_transpose: Callable[[Any, Any], Any], residual_args: Any, linear_args: Any
) -> Any:
    """Call a linear function whose transpose you write.

    Args:
      fun: ``fun(residual_args, linear_args) -> b``, linear in its second argument.
      fun_transpose: ``fun_transpose(residual_args, b)``, its transpose: a result like ``linear_args``.
      residual_args: a pytree, in which neither has to be linear.
      linear_args: a pytree of floating arrays.

    Returns:
      ``fun(residual_args, linear_args)``.

    Raises:
      TypeError: ``fun_transpose`` returns another tree, shape or dtype than ``linear_args``.

    >>> import functrans as ft
    >>> def third(x):
    ...     return ft.custom_derivatives.linear_call(lambda r, x: x / r, lambda r, ct: ct / r, 3.0, x)
    >>> float(third(6.0)), round(float(ft.grad(third)(6.0)), 4)
    (2.0, 0.3333)
    """
    check_callable(fun, "linear_call")
    check_callable(fun_transpose, "linear_call")
    name = function_name(fun)
    if evaluates():
        return fun(*as_arrays((residual_args, linear_args), lambda i: f"an argument of linear_call of {name}"))
    residuals, residual_tree = tree_flatten(residual_args)
    linear, linear_tree = tree_flatten(linear_args)
    residual_types = leaf_types(residuals, lambda i: f"a residual argument of linear_call of {name}")
    linear_types = leaf_types(linear, lambda i: f"a linear argument of linear_call of {name}")

    def traced(function: Any, tree: Any, types: Any, what: str) -> Body:
        def arguments(inputs: Any) -> tuple[Any, Any]:
            return tree_unflatten(residual_tree, inputs[: len(residuals)]), tree_unflatten(
                tree, inputs[len(residuals) :]
            )

        return trace_body(function, [*residual_types, *types], arguments, what)

    body = traced(fun, linear_tree, linear_types, f"linear_call of {name}")
    out_types = body.jaxpr.out_types

    def transposed() -> tuple[Any, list[Any]]:
        found = traced(fun_transpose, body.tree, out_types, f"the transpose given to linear_call of {name}")
        wanted = typed_leaves(linear_args, linear_types)
        check_same_results(
            "linear_call", "linear_args", wanted, linear_tree,
            f"the result of the transpose ({function_name(fun_transpose)})", found.leaves, found.tree,
            "the transpose must return what the function is linear in",
        )  # fmt: skip
        return found.jaxpr, found.captured

    rule: Rule
    builder = current_builder()
    if builder is not None and builder.order > 0:
        # It may call linear_call in its turn, with this function as its transpose: one order less for that.
        builder.order -= 1
        try:
            rule, other = transposed()
        finally:
            builder.order += 1
    else:
        rule, other = DeferredRule(lambda _: transposed()), []
    op = LinearCall(body.jaxpr, rule, (len(body.captured), len(other), len(residuals)), name)
    return tree_unflatten(body.tree, bind_all(op, [*body.captured, *other, *residuals, *linear]))
