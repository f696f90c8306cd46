"""checkpoint (remat): JAX's name, signature and meaning."""

from __future__ import annotations

import functools
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
from functrans.ir.types import ArrayType, describe, is_differentiable
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
    f32[]* from the argument args[0]
    """
    for type_, source in saved_residuals(f, *args, **kwargs):
        print(f"{type_} {source}")


def saved_residuals(f: Callable[..., Any], *args: Any, **kwargs: Any) -> list[tuple[ArrayType, str]]:
    """The types of what the backward pass of ``f(*args)`` stores, and where each value comes from."""
    check_callable(f, "saved_residuals")
    leaves, tree = tree_flatten((args, kwargs))
    types = leaf_types(leaves, lambda i: f"an argument of {function_name(f)}")
    paths = [keystr(path) for path, _ in tree_flatten_with_path({"args": args, "kwargs": kwargs})[0]]

    def flat_function(*inputs: Any) -> Any:
        given, keywords = tree_unflatten(tree, inputs)
        return f(*given, **keywords)

    staged = stage(flat_function, leaves, types, f"saved_residuals of {function_name(f)}", order=1)
    jaxpr = inlined(staged.jaxpr)
    count = len(jaxpr.inputs) - len(leaves)
    wrt = [i >= count and is_differentiable(t.dtype) for i, t in enumerate(jaxpr.in_types)]
    parts = linearize_jaxpr(jaxpr, wrt)
    producers = {v: eqn for eqn in parts.primal.equations for v in eqn.outputs}
    atoms = [*parts.primal.inputs, *parts.primal.outputs]
    found: list[tuple[ArrayType, str]] = []
    for place in parts.sources:
        a = atoms[place]
        if a in producers:
            eqn = producers[a]  # type: ignore[index]
            source = f"output of {eqn.op.name} from {describe_place(eqn.where).partition(chr(10))[0]}"
        elif place < count:
            source = "from a value that the function closes over"
        else:
            path = paths[place - count].removeprefix("['")
            source = f"from the argument {path.replace(chr(39) + ']', '', 1)}"
        found.append((a.type, source))
    return found
