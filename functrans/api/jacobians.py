"""jacfwd, jacrev: dense Jacobians by the mode that the user chooses; the call of a function whose Jacobian is taken."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from functrans.api.arguments import (
    argument_numbers,
    check_argnums,
    check_callable,
    check_chunk_size,
    differentiation_order,
    entering_inputs,
    release_objects,
    split_aux,
)
from functrans.api.references import put
from functrans.api.staging import api_boundary, apply, stage, tree_flatten, tree_structure, tree_unflatten
from functrans.control.derivatives import held
from functrans.errors import FunctransTypeError
from functrans.ir.program import Jaxpr
from functrans.ir.types import ArrayType, is_differentiable, is_key_dtype, kind_of
from functrans.jacobians import dense
from functrans.trace.frames import function_name, here, named_as
from functrans.transform.linearize import linearize


class Taken(NamedTuple):
    """A call of a function of which a Jacobian is taken: traced, and how the answer is laid out.

    ``jaxpr``: (captured, leaves) -> (outputs, auxiliary outputs); ``types``: of the leaves, of which the Jacobian is by
    the differentiable ones; ``first``: how many outputs are no auxiliary ones.
    """

    jaxpr: Jaxpr
    captured: list[Any]
    leaves: list[Any]
    types: list[ArrayType]
    tree: Any
    out_tree: Any
    first: int
    has_aux: bool
    references: Sequence[Any]  # that the function writes to: the program's last results are theirs

    @property
    def wrt(self) -> tuple[bool, ...]:
        """By which inputs of the program."""
        return (*[False] * len(self.captured), *[is_differentiable(t.dtype) for t in self.types])

    @property
    def ins(self) -> list[ArrayType]:
        return [t for t in self.types if is_differentiable(t.dtype)]

    @property
    def outs(self) -> tuple[ArrayType, ...]:
        return self.jaxpr.out_types[: self.first]

    def answer(self, results: Sequence[Any]) -> Any:
        """The outputs and the blocks, as JAX lays them out."""
        count = len(self.jaxpr.outputs)
        blocks = iter(results[count:])
        result_tree, aux = self.outputs(results[:count])
        rows = []
        for t in self.outs:
            row = [
                next(blocks) if is_differentiable(s.dtype) else np.zeros((*t.shape, *s.shape), jax.dtypes.float0)
                for s in self.types
            ]
            rows.append(tree_unflatten(self.tree, row))
        answer = tree_unflatten(tree_structure(result_tree), rows)
        return (answer, aux) if self.has_aux else answer

    def outputs(self, results: Sequence[Any]) -> tuple[Any, Any]:
        """What the function returned, and what it returned besides."""
        count = len(results) - len(self.references)
        put(self.references, results[count:])
        tree = tree_unflatten(self.out_tree, results[:count])
        return release_objects(tree) if self.has_aux else (tree, None)


class Options(NamedTuple):
    """What every Jacobian is asked with."""

    argnums: int | Sequence[int] = 0
    has_aux: bool = False
    holomorphic: bool = False
    allow_int: bool = False


def taken(
    fun: Callable[..., Any], options: Options, args: tuple[Any, ...], kwargs: dict[str, Any], what: str, mode: str,
    values: bool = True,
) -> Taken:  # fmt: skip
    """Trace the function for a Jacobian. ``mode``: that of jacfwd or jacrev, whose inputs and outputs are checked;
    ``values``: they can be asked for while tracing."""
    single = isinstance(options.argnums, int)
    indices = check_argnums(argument_numbers(options.argnums, what), args, what, fun)
    chosen = args[indices[0]] if single else tuple([args[i] for i in indices])
    leaves, tree = tree_flatten(chosen)
    leaves, types = entering_inputs(leaves, chosen, what, options.holomorphic, options.allow_int)
    if mode == "jacfwd" and not options.holomorphic:
        for t in types:
            if kind_of(t.dtype) == "c":
                raise FunctransTypeError(
                    f"{what} needs real inputs, or holomorphic=True for a holomorphic function; got {t} at {here()}"
                )
    sizes: list[int] = []

    def flat_fun(*inputs: Any) -> Any:
        new = tree_unflatten(tree, inputs)
        full_args = list(args)
        for i, x in zip(indices, (new,) if single else new, strict=True):
            full_args[i] = x
        result = fun(*full_args, **kwargs)
        return split_aux(result, what, sizes) if options.has_aux else result

    smooth = tuple([is_differentiable(t.dtype) for t in types])
    purpose = f"{what} of {function_name(fun)}"
    order = differentiation_order()
    staged = stage(flat_fun, leaves, types, purpose, values=values, order=order, differentiated=smooth, lends=True)
    jaxpr, captured, out_tree, references, _ = staged
    first = sizes[0] if options.has_aux else staged.num_own
    for t in jaxpr.out_types[:first]:
        check_output(t, what, mode, options.holomorphic)
    return Taken(jaxpr, captured, list(leaves), types, tree, out_tree, first, options.has_aux, references)


def _jacobian(
    fun: Callable[..., Any], options: Options, chunk_size: Any, what: str, listen: Callable[[Taken], None] | None = None
) -> Callable[..., Any]:
    check_callable(fun, what)
    argument_numbers(options.argnums, what)
    chunk = check_chunk_size(chunk_size, what)

    @functools.partial(named_as, fun)
    @api_boundary
    def jacobian(*args: Any, **kwargs: Any) -> Any:
        call = taken(fun, options, args, kwargs, what, what)
        if listen is not None:
            listen(call)
        jaxpr, wrt, first = call.jaxpr, call.wrt, call.first

        def transformed(inputs: list[Any]) -> list[Any]:
            if what == "jacfwd":
                outs, blocks = dense.forward(jaxpr, inputs, wrt, first, chunk)
            else:
                outs, linear = linearize(jaxpr, inputs, wrt)
                blocks = dense.backward_blocks(dense.first_outputs(linear, first), call.ins, call.outs, chunk)
            return [*outs, *[block for row in blocks for block in row]]

        values = [*call.captured, *call.leaves]
        nested = held(jaxpr, values) if len(call.leaves) == 1 and not options.has_aux else None
        return call.answer(nested or apply((what, wrt, first, chunk), jaxpr, values, transformed, what))

    return jacobian


def listening_jacrev(
    fun: Callable[..., Any], options: Options, listen: Callable[[Taken], None]
) -> Callable[..., Any]:
    """``jacrev`` that shows what it has traced."""
    return _jacobian(fun, options, None, "jacrev", listen)


def check_output(t: ArrayType, what: str, mode: str, holomorphic: bool) -> None:
    """Raise unless an output of this type has a Jacobian by this mode (jacfwd or jacrev)."""
    if holomorphic and kind_of(t.dtype) != "c":
        raise FunctransTypeError(f"{what} with holomorphic=True needs complex results, got {t} at {here()}")
    if is_key_dtype(t.dtype):
        raise FunctransTypeError(
            f"{what}: random keys have no derivative, got {t} at {here()}\n"
            "Return them apart from the results, with has_aux=True."
        )
    if mode == "jacrev" and not holomorphic and (kind_of(t.dtype) == "c" or not is_differentiable(t.dtype)):
        raise FunctransTypeError(
            f"{what} needs real floating results, got {t} at {here()}\n"
            "Use jacfwd, or holomorphic=True for a holomorphic function."
        )


@api_boundary
def jacfwd(
    fun: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """The Jacobian of ``fun`` column by column, by forward mode: cheap for tall Jacobians (few inputs).

    Args and errors are those of ``grad``, but that the result of ``fun`` may have any shapes.
      chunk_size: how many columns at a time, None: all. With few, temporary arrays are small.

    Returns:
      A function whose result has, for each leaf ``[...out]`` of the result and each leaf ``[...in]`` of the argument, a
      block ``[...out, ...in]``.

    >>> import numpy as np, functrans as ft
    >>> ft.jacfwd(lambda x: x * x)(np.array([1.0, 2.0], np.float32)).tolist()
    [[2.0, 0.0], [0.0, 4.0]]
    """
    return _jacobian(fun, Options(argnums, has_aux, holomorphic), chunk_size, "jacfwd")


@api_boundary
def jacrev(
    fun: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
    *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """The Jacobian of ``fun`` row by row, by reverse mode: cheap for wide Jacobians (few results). As ``jacfwd``
    otherwise.

    >>> import numpy as np, functrans as ft
    >>> ft.jacrev(lambda x: x * x)(np.array([1.0, 2.0], np.float32)).tolist()
    [[2.0, 0.0], [0.0, 4.0]]
    """
    return _jacobian(fun, Options(argnums, has_aux, holomorphic, allow_int), chunk_size, "jacrev")
