"""checkpoint (remat): JAX's name, signature and meaning."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from jax.tree_util import keystr, tree_flatten, tree_flatten_with_path, tree_leaves, tree_map, tree_unflatten

from functrans.api.arguments import check_callable, resolve_names
from functrans.api.bodies import shared
from functrans.api.references import check_given_once, is_reference, put
from functrans.api.staging import api_boundary, output, stage
from functrans.control.checkpoint import Checkpoint
from functrans.control.checkpoint_policies import Policy
from functrans.control.saving import inlined
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.program import Jaxpr
from functrans.ir.types import ArrayType, describe, is_differentiable
from functrans.ops.naming import Name
from functrans.trace.binding import bind_all
from functrans.trace.builder import ONCE, Builder, values_of
from functrans.trace.frames import describe_place, function_name, here, named_as
from functrans.trace.keywords import takes
from functrans.trace.leaves import entering, leaf_types
from functrans.transform.linearize import linearize_jaxpr


@takes(concrete=False)
def checkpoint(
    fun: Callable[..., Any],
    *,
    prevent_cse: bool | Sequence[Any] = True,
    policy: Policy | None = None,
    static_argnums: int | tuple[int, ...] = (),
    static_argnames: str | Iterable[str] = (),
) -> Callable[..., Any]:
    """A version of ``fun`` that stores its inputs for the backward pass and computes the rest again.

    Args:
      fun: a function of arrays or pytrees of them. It may close over traced values.
      prevent_cse: whether to keep the compiler from merging the second computation with the first, which would undo the
        saving; inside ``scan`` it is not needed. A sequence holds a bool (or a tree prefix of them) for each argument.
      policy: which values are stored all the same: one of ``functrans.checkpoint_policies``, or a function
        ``policy(primitive, *types, **parameters) -> bool``.
      static_argnums, static_argnames: arguments that are Python values passed as they are.

    Returns:
      A function of the same arguments.

    Raises:
      TypeError: ``fun`` or ``policy`` is not callable, or a static position is no integer. ValueError: a static
      position is out of range.

    >>> import functrans as ft, functrans.numpy as fnp
    >>> layer = ft.checkpoint(lambda w, x: fnp.sin(fnp.sin(w * x)))
    >>> round(float(ft.grad(layer)(0.5, 2.0)), 4)
    0.7201
    """
    check_callable(fun, "checkpoint")
    numbers = (static_argnums,) if isinstance(static_argnums, int) else static_argnums
    if not isinstance(numbers, tuple | list) or not all(isinstance(i, int) for i in numbers):
        raise FunctransTypeError(
            f"checkpoint: static_argnums must be an integer or a tuple of integers, got {describe(static_argnums)}"
        )
    names = (static_argnames,) if isinstance(static_argnames, str) else tuple(static_argnames)
    if not isinstance(prevent_cse, bool | tuple | list):
        raise FunctransTypeError(f"checkpoint: prevent_cse must be a bool or a sequence, got {describe(prevent_cse)}")
    _check_policy(policy)
    if names:
        numbers, names = resolve_names(fun, tuple(numbers), names, "static_")

    @functools.partial(named_as, fun)
    @api_boundary
    def checkpointed(*args: Any, **kwargs: Any) -> Any:
        static = _positions(fun, tuple(numbers), len(args))
        dynamic = [x for i, x in enumerate(args) if i not in static]
        fixed = {k: v for k, v in kwargs.items() if k in names}
        given, tree = tree_flatten((dynamic, {k: v for k, v in kwargs.items() if k not in fixed}))
        check_given_once(f"checkpointed {function_name(fun)}", given)
        leaves = [x for x in given if not is_reference(x)]  # references are closed over
        leaves, types = entering(leaves, lambda i: f"an argument of checkpointed {function_name(fun)}")
        with Builder(f"checkpoint of {function_name(fun)}") as builder:
            builder.lends = ONCE
            inputs = iter([builder.new_input(t, x) for t, x in zip(types, leaves, strict=True)])
            own, rest = tree_unflatten(tree, [x if is_reference(x) else next(inputs) for x in given])
            by_place = iter(own)
            result = fun(*[x if i in static else next(by_place) for i, x in enumerate(args)], **rest, **fixed)
            flat, out_tree = tree_flatten(result)
            written = builder.written()
            outputs = [output(builder, x, result, "checkpoint") for x in flat]
            jaxpr, captured = builder.finish([*[builder.output(x.value) for x in written], *outputs])
        captured = values_of(captured)
        cse: bool | tuple[bool, ...]
        if isinstance(prevent_cse, bool):
            cse = prevent_cse
        else:
            cse = (*[False] * len(captured), *_flags(fun, prevent_cse, dynamic, len(leaves)))
        results = bind_all(Checkpoint(shared(jaxpr), policy, cse, False), [*captured, *leaves])
        put([x.reference for x in written], results)
        return tree_unflatten(out_tree, results[len(written) :])

    return checkpointed


@takes(concrete=False)
def remat(
    fun: Callable[..., Any],
    *,
    prevent_cse: bool | Sequence[Any] = True,
    policy: Policy | None = None,
    static_argnums: int | tuple[int, ...] = (),
    static_argnames: str | Iterable[str] = (),
) -> Callable[..., Any]:
    """The same as ``checkpoint``.

    >>> import functrans as ft
    >>> float(ft.grad(ft.remat(lambda x: x * x * x))(2.0))
    12.0
    """
    return checkpoint(
        fun, prevent_cse=prevent_cse, policy=policy, static_argnums=static_argnums, static_argnames=static_argnames
    )


def _check_policy(policy: Any) -> None:
    if policy is None:
        return
    if not callable(policy):
        raise FunctransTypeError(
            f"checkpoint: policy must be a function of a primitive, got {describe(policy)}\n"
            "Take one of functrans.checkpoint_policies."
        )
    if getattr(policy, "__module__", "").partition(".")[0] == "jax":
        raise FunctransTypeError(
            f"checkpoint: the policy {getattr(policy, '__name__', policy)!r} is JAX's and knows JAX's primitives only\n"
            "Take the one of the same name in functrans.checkpoint_policies."
        )


def _positions(fun: Callable[..., Any], numbers: tuple[int, ...], count: int) -> set[int]:
    for i in numbers:
        if not -count <= i < count:
            raise FunctransValueError(
                f"checkpoint: static_argnums={numbers} names argument {i} of {function_name(fun)}, which was called "
                f"with {count} positional argument(s), at {here()}"
            )
    return {i % count for i in numbers}


def _flags(fun: Callable[..., Any], prevent_cse: Sequence[Any], dynamic: Sequence[Any], count: int) -> list[bool]:
    """A flag for each leaf from the tree prefix that was given; keyword arguments are protected."""
    if len(prevent_cse) != len(dynamic):
        raise FunctransValueError(
            f"checkpoint: prevent_cse has {len(prevent_cse)} items, and {function_name(fun)} was called with "
            f"{len(dynamic)} positional argument(s) that are not static, at {here()}"
        )
    found: list[bool] = []
    for flags, argument in zip(prevent_cse, dynamic, strict=True):
        spread = tree_map(lambda flag, part: [bool(flag)] * len(tree_leaves(part)), flags, argument)
        found += tree_leaves(spread)
    return found + [True] * (count - len(found))


@api_boundary
def print_saved_residuals(f: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    """Print what the backward pass of ``f(*args)`` stores, a line a value: its type and where it comes from.

    >>> import functrans as ft, functrans.numpy as fnp
    >>> ft.ad_checkpoint.print_saved_residuals(ft.checkpoint(lambda x: fnp.sin(fnp.sin(x))), 1.0)
    f32[]* from the argument x
    """
    for type_, source in saved_residuals(f, *args, **kwargs):
        print(f"{type_} {source}")


def saved_residuals(f: Callable[..., Any], *args: Any, **kwargs: Any) -> list[tuple[ArrayType, str]]:
    """The types of what the backward pass of ``f(*args)`` stores, and where each value comes from."""
    check_callable(f, "saved_residuals")
    leaves, tree = tree_flatten((args, kwargs))
    types = leaf_types(leaves, lambda i: f"an argument of {function_name(f)}")

    def flat_function(*inputs: Any) -> Any:
        given, keywords = tree_unflatten(tree, inputs)
        return f(*given, **keywords)

    staged = stage(flat_function, leaves, types, f"saved_residuals of {function_name(f)}", order=1)
    jaxpr = inlined(staged.jaxpr)
    count = len(jaxpr.inputs) - len(leaves)
    wrt = [i >= count and is_differentiable(t.dtype) for i, t in enumerate(jaxpr.in_types)]
    parts = linearize_jaxpr(jaxpr, wrt)
    names = ["a value that the function closes over"] * count
    names += [f"the argument {name}" for name in _argument_names(f, args, kwargs)]
    origins = dict(zip(parts.primal.inputs, [f"from {name}" for name in names], strict=True))
    _note_origins(parts.primal, origins)
    atoms = [*parts.primal.inputs, *parts.primal.outputs]
    return [(atoms[place].type, origins[atoms[place]]) for place in sorted(parts.sources)]  # type: ignore[index]


def _argument_names(f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[str]:
    """A name for each leaf of the arguments: the parameter's, and the way to the leaf in it."""
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (ValueError, TypeError):  # a builtin without a signature
        parameters = []
    own = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    rest = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), "args")
    first = [own[i] if i < len(own) else f"{rest}[{i - len(own)}]" for i in range(len(args))]
    names = [name + keystr(way) for name, x in zip(first, args, strict=True) for way, _ in tree_flatten_with_path(x)[0]]
    return names + [f"{path[0].key}{keystr(path[1:])}" for path, _ in tree_flatten_with_path(kwargs)[0]]


def _note_origins(program: Jaxpr, origins: dict[Any, str]) -> None:
    """Where each value of a program comes from, the inputs' origins given: what a checkpoint stores, from within it."""
    for eqn in program.equations:
        place = describe_place(eqn.where).partition("\n")[0]
        how = f"named {eqn.op.name_!r}" if isinstance(eqn.op, Name) else f"output of {eqn.op.name}"
        found = [f"{how} from {place}"] * len(eqn.outputs)
        written = eqn.op.in_place(eqn.inputs) if eqn.op.holds_jaxprs else None
        if written is not None:
            inner, operands = written
            within: dict[Any, str] = {v: origins.get(a, "") for v, a in zip(inner.inputs, operands, strict=True)}
            _note_origins(inner, within)
            found = [within.get(a, outer) for a, outer in zip(inner.outputs, found, strict=True)]
        origins.update(zip(eqn.outputs, found, strict=True))
