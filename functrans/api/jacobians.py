"""jacfwd, jacrev, hessian, hvp: whole derivatives, by tangents or the transpose of the linear program, over a basis."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from functrans.api.arguments import (
    argument_numbers,
    check_argnums,
    check_callable,
    differentiation_order,
    entering_inputs,
    release_objects,
    split_aux,
)
from functrans.api.differentiation import grad, jvp
from functrans.api.staging import api_boundary, apply, stage, tree_flatten, tree_structure, tree_unflatten
from functrans.control.derivatives import held
from functrans.errors import FunctransTypeError
from functrans.ir.types import ArrayType, is_differentiable, kind_of
from functrans.jacobians import dense
from functrans.trace.frames import function_name, here, named_as
from functrans.transform.linearize import linearize


def _jacobian(
    fun: Callable[..., Any], argnums: int | Sequence[int], has_aux: bool, holomorphic: bool, allow_int: bool, what: str
) -> Callable[..., Any]:
    check_callable(fun, what)
    single = isinstance(argnums, int)
    wanted = argument_numbers(argnums, what)
    forward = what == "jacfwd"

    @functools.partial(named_as, fun)
    @api_boundary
    def jacobian(*args: Any, **kwargs: Any) -> Any:
        indices = check_argnums(wanted, args, what, fun)
        chosen = args[indices[0]] if single else tuple([args[i] for i in indices])
        leaves, tree = tree_flatten(chosen)
        leaves, types = entering_inputs(leaves, chosen, what, holomorphic, allow_int)
        if forward and not holomorphic:
            for t in types:
                if kind_of(t.dtype) == "c":
                    raise FunctransTypeError(
                        f"jacfwd needs real inputs, or holomorphic=True for a holomorphic function; got {t} at {here()}"
                    )
        sizes: list[int] = []

        def flat_fun(*inputs: Any) -> Any:
            new = tree_unflatten(tree, inputs)
            full_args = list(args)
            for i, x in zip(indices, (new,) if single else new, strict=True):
                full_args[i] = x
            result = fun(*full_args, **kwargs)
            return split_aux(result, what, sizes) if has_aux else result

        order = differentiation_order()
        smooth = tuple([is_differentiable(t.dtype) for t in types])
        staged = stage(
            flat_fun, leaves, types, f"{what} of {function_name(fun)}", values=True, order=order, differentiated=smooth
        )
        jaxpr, captured, out_tree = staged
        first = sizes[0] if has_aux else len(jaxpr.outputs)
        outs_t = jaxpr.out_types[:first]
        for t in outs_t:
            check_output(t, what, holomorphic)
        wrt = (False,) * len(captured) + smooth
        ins_t = [t for t in types if is_differentiable(t.dtype)]

        def transformed(inputs: list[Any]) -> list[Any]:
            if forward:
                outs, blocks = dense.forward(jaxpr, inputs, wrt, first)
            else:
                outs, linear = linearize(jaxpr, inputs, wrt)
                blocks = dense.backward_blocks(dense.first_outputs(linear, first), ins_t, outs_t)
            return [*outs, *[block for row in blocks for block in row]]

        nested = held(jaxpr, [*captured, *leaves]) if len(leaves) == 1 and not has_aux else None
        results = nested or apply((what, wrt, first), jaxpr, [*captured, *leaves], transformed, what)
        count = len(jaxpr.outputs)
        flat_blocks = iter(results[count:])
        result_tree = tree_unflatten(out_tree, results[:count])
        aux = None
        if has_aux:
            result_tree, aux = release_objects(result_tree)
        rows = []
        for t in outs_t:
            row = [
                next(flat_blocks) if is_differentiable(s.dtype) else np.zeros((*t.shape, *s.shape), jax.dtypes.float0)
                for s in types
            ]
            rows.append(tree_unflatten(tree, row))
        answer = tree_unflatten(tree_structure(result_tree), rows)
        return (answer, aux) if has_aux else answer

    return jacobian


def check_output(t: ArrayType, what: str, holomorphic: bool) -> None:
    """Raise unless an output of this type has a Jacobian of this kind."""
    if holomorphic and kind_of(t.dtype) != "c":
        raise FunctransTypeError(f"{what} with holomorphic=True needs complex results, got {t} at {here()}")
    if what == "jacrev" and not holomorphic and (kind_of(t.dtype) == "c" or not is_differentiable(t.dtype)):
        raise FunctransTypeError(
            f"jacrev needs real floating results, got {t} at {here()}\n"
            "Use jacfwd, or holomorphic=True for a holomorphic function."
        )


@api_boundary
def jacfwd(
    fun: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False, holomorphic: bool = False
) -> Callable[..., Any]:
    """The Jacobian of ``fun`` column by column, by forward mode: cheap for tall Jacobians (few inputs).

    Args and errors are those of ``grad``, but that the result of ``fun`` may have any shapes.

    Returns:
      A function whose result has, for each leaf ``[...out]`` of the result and each leaf ``[...in]`` of the argument, a
      block ``[...out, ...in]``.

    >>> import numpy as np, functrans as ft
    >>> ft.jacfwd(lambda x: x * x)(np.array([1.0, 2.0], np.float32)).tolist()
    [[2.0, 0.0], [0.0, 4.0]]
    """
    return _jacobian(fun, argnums, has_aux, holomorphic, False, "jacfwd")


@api_boundary
def jacrev(
    fun: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
) -> Callable[..., Any]:
    """The Jacobian of ``fun`` row by row, by reverse mode: cheap for wide Jacobians (few results). As ``jacfwd``
    otherwise.

    >>> import numpy as np, functrans as ft
    >>> ft.jacrev(lambda x: x * x)(np.array([1.0, 2.0], np.float32)).tolist()
    [[2.0, 0.0], [0.0, 4.0]]
    """
    return _jacobian(fun, argnums, has_aux, holomorphic, allow_int, "jacrev")


@api_boundary
def hessian(
    fun: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False, holomorphic: bool = False
) -> Callable[..., Any]:
    """The Hessian of ``fun``: forward mode over reverse mode.

    >>> import functrans as ft
    >>> float(ft.hessian(lambda x: x * x * x)(2.0))
    12.0
    """
    check_callable(fun, "hessian")
    return named_as(fun, jacfwd(jacrev(fun, argnums, has_aux, holomorphic), argnums, has_aux, holomorphic))


def hvp(fun: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    """The product of the Hessian of a scalar function with a vector, without the Hessian: forward over reverse.

    Args:
      fun: a function with a scalar result.
      primals: a tuple of its arguments. tangents: a tuple of the same trees and shapes.

    Returns:
      The product, with the tree of the argument (a tuple of trees where there are several arguments).

    >>> import functrans as ft
    >>> float(ft.hvp(lambda x: x * x * x, (2.0,), (1.0,)))
    12.0
    """
    argnums = 0 if len(primals) == 1 else tuple(range(len(primals)))
    return jvp(grad(fun, argnums), primals, tangents)[1]
