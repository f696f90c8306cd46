"""grad, value_and_grad and jvp: JAX's names, signatures and meaning."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from functrans.api.arguments import (
    argument_numbers,
    check_argnums,
    check_callable,
    check_scalar,
    check_tangent,
    differentiation_order,
    entering_inputs,
    hold_objects,
    release_objects,
    split_aux,
)
from functrans.api.references import Given, check_given_once, values_in
from functrans.api.staging import (
    Staged,
    api_boundary,
    apply,
    stage,
    tree_flatten,
    tree_structure,
    tree_unflatten,
)
from functrans.control.derivatives import held
from functrans.errors import FunctransTypeError
from functrans.ir.types import (
    ArrayType,
    as_its_type,
    describe,
    float0,
    is_differentiable,
    kind_of,
    tangent_type,
    type_of,
)
from functrans.ops.elementwise import mul
from functrans.ops.structural import convert, scalar_literal, zeros
from functrans.trace.frames import function_name, here, named_as
from functrans.trace.keywords import takes
from functrans.trace.leaves import entering, named
from functrans.trace.primitive import Linear
from functrans.trace.tracer import Tracer
from functrans.transform.jvp import instantiate_zero
from functrans.transform.jvp import jvp as jvp_replay
from functrans.transform.linearize import linearize as linearize_replay
from functrans.transform.transpose import transpose


@takes(reduce_axes=())
def grad(
    fun: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
) -> Callable[..., Any]:
    """A function that evaluates the gradient of ``fun``.

    Args:
      fun: a function of arrays or pytrees of them whose result is a scalar array ``[]`` of floating dtype (complex with
        ``holomorphic``), or a pair ``(scalar, auxiliary)`` with ``has_aux``.
      argnums: the positional argument(s) to differentiate by; a tuple gives a tuple of gradients.
      has_aux: ``fun`` returns ``(scalar, auxiliary)``; the gradient function then returns ``(gradient, auxiliary)``.
      holomorphic: ``fun`` is promised to be holomorphic; inputs and the result are complex.
      allow_int: integer arguments are allowed; their gradients have dtype float0.

    Returns:
      A function of the same arguments whose result has the tree, shapes and dtypes of the differentiated argument(s).

    Raises:
      TypeError: the result is not a scalar, or an argument has no derivative.

    >>> import functrans as ft
    >>> float(ft.grad(lambda x: x * x + x)(3.0))
    7.0
    """
    evaluate = _value_and_gradient(fun, argnums, has_aux, holomorphic, allow_int, "grad")

    @functools.partial(named_as, fun)
    @api_boundary
    def gradient(*args: Any, **kwargs: Any) -> Any:
        value, gradients = evaluate(args, kwargs)
        return (gradients, value[1]) if has_aux else gradients

    return gradient


@takes(reduce_axes=())
def value_and_grad(
    fun: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
) -> Callable[..., Any]:
    """A function that evaluates ``fun`` and its gradient; arguments as for ``grad``.

    Returns:
      A function whose result is ``(value, gradient)``, or ``((value, auxiliary), gradient)`` with ``has_aux``.

    >>> import functrans as ft
    >>> value, slope = ft.value_and_grad(lambda x: x * x + x)(3.0)
    >>> float(value), float(slope)
    (12.0, 7.0)
    """
    evaluate = _value_and_gradient(fun, argnums, has_aux, holomorphic, allow_int, "value_and_grad")

    @functools.partial(named_as, fun)
    @api_boundary
    def value_and_gradient(*args: Any, **kwargs: Any) -> Any:
        return evaluate(args, kwargs)

    return value_and_gradient


def _value_and_gradient(
    fun: Callable[..., Any],
    argnums: int | Sequence[int],
    has_aux: bool,
    holomorphic: bool,
    allow_int: bool,
    _name: str,
) -> Callable[[tuple[Any, ...], dict[str, Any]], tuple[Any, Any]]:
    """(args, kwargs) -> (value, gradient); ``_name`` is the function the user called."""
    check_callable(fun, _name)
    single = isinstance(argnums, int)
    wanted = argument_numbers(argnums, _name)

    def evaluate(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
        indices = check_argnums(wanted, args, _name, fun)
        chosen = args[indices[0]] if single else tuple([args[i] for i in indices])
        leaves, tree = tree_flatten(chosen)
        leaves, types = entering_inputs(leaves, chosen, _name, holomorphic, allow_int)

        def flat_fun(*inputs: Any) -> Any:
            new = tree_unflatten(tree, inputs)
            full_args = list(args)
            for i, x in zip(indices, (new,) if single else new, strict=True):
                full_args[i] = x
            result = fun(*full_args, **kwargs)
            if not has_aux:
                return check_scalar(result, _name, holomorphic)
            if not (isinstance(result, tuple) and len(result) == 2):
                raise FunctransTypeError(
                    f"with has_aux=True the function given to {_name} must return a pair (value, auxiliary), it "
                    f"returned {describe(result)} at {here()}"
                )
            return check_scalar(result[0], _name, holomorphic), hold_objects(result[1])

        staged = stage(
            flat_fun, leaves, types, f"{_name} of {function_name(fun)}", values=True, order=differentiation_order(),
            differentiated=[is_differentiable(t.dtype) for t in types], lends=True,
            pulls_back=True,
        )  # fmt: skip
        ends: list[tuple[Any, Any]] = []
        results = _gradients(staged, leaves, types, ends)
        count = len(staged.jaxpr.outputs)
        gradients = tree_unflatten(tree, [*results[count:]])
        value = tree_unflatten(staged.out_tree, staged.own(results[:count]))
        for reference, end in ends:
            reference._put(end)
        return release_objects(value) if has_aux else value, gradients

    return evaluate


def _gradients(
    staged: Staged, leaves: Sequence[Any], types: Sequence[ArrayType], ends_of: list[tuple[Any, Any]]
) -> list[Any]:
    """Outputs of the function, then the gradient of its first output by each leaf. ``ends_of`` gets the references that
    the backward pass writes to, and what they hold after it.
    """
    jaxpr, captured, threads = staged.jaxpr, staged.captured, staged.threads
    if leaves and type(leaves[0]) is Tracer and len(leaves) == 1 and not threads:
        nested = held(jaxpr, [*captured, *leaves])
        if nested is not None:
            return nested
    smooth = [is_differentiable(t.dtype) for t in types]
    fixed = [False] * len(captured)
    count = len(jaxpr.outputs)
    first = count - len(threads)
    sources: tuple[int | None, ...] = ()
    begins: list[Any] = []
    if threads:
        for place, _ in threads:
            fixed[place] = True
        # What a reference holds when the backward pass begins: what the function wrote, or what it holds.
        written = {r: staged.num_own + i for i, r in enumerate(staged.references)}
        sources = tuple([written.get(thread.reference) for _, thread in threads])
        begins = [t.reference._read() for (_, t), source in zip(threads, sources, strict=True) if source is None]
    wrt = (*fixed, *smooth)

    def transformed(inputs: list[Any]) -> list[Any]:
        outs, linear = linearize_replay(jaxpr, inputs[: len(wrt)], wrt)
        kinds = [t for t, w in zip(jaxpr.in_types, wrt, strict=True) if w]
        cotangents: list[Any] = [None] * len(kinds)
        given = iter(inputs[len(wrt) :])
        states = [next(given) if source is None else outs[source] for source in sources]
        if linear.nonzero[0]:
            out_type = jaxpr.outputs[0].type
            seed = scalar_literal(1, out_type.dtype, out_type.weak_type)
            seeds = [seed, *[None] * (first - 1), *states]
            operands = [*linear.residuals, *[Linear(t) for t in kinds]]
            used = [x for x, nonzero in zip(seeds, linear.nonzero, strict=True) if nonzero]
            cotangents = transpose(linear.jaxpr, operands, used)
        slopes = [
            zeros(t.shape, t) if ct is None else convert(ct, t.dtype, t.weak_type)
            for ct, t in zip(cotangents[len(threads) :], kinds[len(threads) :], strict=True)
        ]
        ends = [state if ct is None else ct for state, ct in zip(states, cotangents, strict=False)]
        return [*outs, *slopes, *ends]

    values = [*captured, *leaves, *begins]
    in_types = (lambda: [*jaxpr.in_types, *map(type_of, begins)]) if begins else None
    results = apply(("gradient", wrt, sources), jaxpr, values, transformed, "grad", in_types)
    if threads:
        behind = len(results) - len(threads)
        ends_of += zip([thread.reference for _, thread in threads], results[behind:], strict=True)
        results = results[:behind]
    if len(results) != count + len(types):
        slopes = iter(results[count:])
        filled = [next(slopes) if d else np.zeros(t.shape, float0) for d, t in zip(smooth, types, strict=True)]
        results = [*results[:count], *filled]
    return results


@api_boundary
def jvp(fun: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool = False) -> Any:
    """The value of ``fun`` at ``primals`` and its directional derivative along ``tangents`` (forward mode).

    Args:
      fun: a function of positional arguments.
      primals: a tuple or list of its arguments. A mutable reference goes with one of its tangent; both are written to.
      tangents: a tuple or list of the same trees, shapes and dtypes (float0 for integer arguments).
      has_aux: ``fun`` returns ``(result, auxiliary)``.

    Returns:
      ``(value, tangent of the value)``, and the auxiliary result third with ``has_aux``.

    Raises:
      TypeError: trees or dtypes of primals and tangents differ. ValueError: their shapes differ.

    >>> import functrans as ft
    >>> value, slope = ft.jvp(lambda x: x * x, (3.0,), (1.0,))
    >>> float(value), float(slope)
    (9.0, 6.0)
    """
    check_callable(fun, "jvp")
    for name, value in (("primals", primals), ("tangents", tangents)):
        if not isinstance(value, tuple | list):
            raise FunctransTypeError(
                f"jvp: {name} must be a tuple or list of the arguments, got {describe(value)} at {here()}"
            )
    leaves, tree = tree_flatten(tuple(primals))
    slopes, slope_tree = tree_flatten(tuple(tangents))
    if tree != slope_tree:
        raise FunctransTypeError(
            f"jvp: primals and tangents must have the same tree structure, at {here()}\n  primals:  {tree}\n  "
            f"tangents: {slope_tree}"
        )
    given, along = Given("jvp", leaves), Given("jvp", slopes)
    if given.places:
        if given.places != along.places:
            raise FunctransTypeError(
                f"jvp: where a primal is a mutable reference its tangent must be one, and the reverse, at {here()}"
            )
        check_given_once("jvp", [*leaves, *slopes])
        leaves, slopes = values_in(leaves), values_in(slopes)
    leaves, types = entering(leaves, named("primals", primals, " of jvp"))
    nonzero = []
    for i, (t, type_) in enumerate(zip(slopes, types, strict=True)):
        nonzero.append(check_tangent("jvp", "tangent", t, tangent_type(type_), i))
    out_tree_aux: list[Any] = []

    def flat_fun(*inputs: Any) -> Any:
        result = fun(*tree_unflatten(tree, given.enter(inputs)))
        if has_aux:
            result = split_aux(result, "jvp", out_tree_aux)
        return (given.leave(), result) if given.places else result

    staged = stage(
        flat_fun, leaves, types, f"jvp of {function_name(fun)}", values=True, order=differentiation_order(),
        differentiated=nonzero, lends=True,
    )  # fmt: skip
    jaxpr, captured, out_tree, *_ = staged
    count = len(captured)
    mask = (False,) * count + tuple(nonzero)
    is_slope = [is_differentiable(t.dtype) for t in jaxpr.out_types]
    ends = None
    if given.places:
        ends, out_tree = out_tree.children()
    changed = ends.num_leaves if ends is not None else 0
    first = changed + (out_tree_aux[0] if has_aux else out_tree.num_leaves)

    def transformed(inputs: list[Any]) -> list[Any]:
        rest = iter(inputs[len(mask) :])
        ts = [next(rest) if m else None for m in mask]
        outs, out_ts = jvp_replay(jaxpr, inputs[: len(mask)], ts)
        atoms = jaxpr.outputs
        wanted = [
            convert(instantiate_zero(t, a), a.type.dtype, a.type.weak_type)
            for t, a, d in list(zip(out_ts, atoms, is_slope, strict=True))[:first]
            if d
        ]
        return [*outs, *wanted]

    steps = [as_its_type(x, t) for x, t, nz in zip(slopes, types, nonzero, strict=True) if nz]
    if ends is None and not has_aux and len(leaves) == len(steps) == 1 and kind_of(types[0].dtype) == "f":
        nested = held(jaxpr, [*captured, *leaves])
        if nested is not None:
            slope = convert(mul(steps[0], nested[1]), types[0].dtype, jaxpr.out_types[0].weak_type)
            return tree_unflatten(out_tree, nested[:1]), tree_unflatten(out_tree, [slope])
    results = apply(
        ("jvp", mask, first), jaxpr, [*captured, *leaves, *steps], transformed, "jvp",
        lambda: [*jaxpr.in_types, *[t for t, m in zip(jaxpr.in_types, mask, strict=True) if m]],
    )  # fmt: skip
    outs = staged.own(results[: len(jaxpr.outputs)])
    rest = iter(results[len(jaxpr.outputs) :])
    out_slopes = [
        next(rest) if d else np.zeros(t.shape, float0)
        for t, d in list(zip(jaxpr.out_types, is_slope, strict=True))[:first]
    ]
    if ends is not None:
        given.put(tree_unflatten(ends, outs[:changed]))
        along.put(tree_unflatten(ends, out_slopes[:changed]))
        outs, out_slopes = outs[changed:], out_slopes[changed:]
    value = tree_unflatten(out_tree, outs)
    if not has_aux:
        return value, tree_unflatten(out_tree, out_slopes)
    value, aux = release_objects(value)
    return value, tree_unflatten(tree_structure(value), out_slopes), aux
