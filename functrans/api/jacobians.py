"""jacfwd, jacrev, hessian: whole derivatives, by tangents or the transpose of the linear program, over a basis."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
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
from functrans.api.staging import api_boundary, apply, stage, tree_flatten, tree_structure, tree_unflatten
from functrans.control.derivatives import held
from functrans.errors import FunctransTypeError
from functrans.ir.program import Jaxpr
from functrans.ir.types import ArrayType, is_differentiable, kind_of
from functrans.ops.elementwise import add
from functrans.ops.logic import eq
from functrans.ops.slicing import slice_
from functrans.ops.structural import broadcast_in_dim, convert, iota, reshape, spread, transpose, zeros
from functrans.trace.frames import function_name, here, named_as
from functrans.trace.primitive import Lanes
from functrans.trace.replay import replay, trace
from functrans.transform.jvp import jvp as jvp_replay
from functrans.transform.linearize import LinearProgram, linearize
from functrans.transform.transpose import transpose_jaxpr
from functrans.transform.vmap import vmap


def basis(types: Sequence[ArrayType]) -> list[Any]:
    """The standard basis of the space of these arrays: for each of them an array ``[total size, *shape]``."""
    total = sum(t.size for t in types)
    index = np.dtype(np.int32)
    rows = iota(index, total)
    result, offset = [], 0
    for t in types:
        columns = iota(index, t.size)
        if offset:
            columns = add(columns, offset)
        hot = eq(broadcast_in_dim(rows, (total, t.size), (0,)), broadcast_in_dim(columns, (total, t.size), (1,)))
        result.append(reshape(convert(hot, t.dtype, t.weak_type), (total, *t.shape)))
        offset += t.size
    return result


def split_rows(x: Any, types: Sequence[ArrayType]) -> list[Any]:
    """``[total size, ...]`` -> for each type ``[*shape, ...]``."""
    rest = x.shape[1:]
    parts, offset = [], 0
    for t in types:
        rows = x
        if t.size != x.shape[0]:
            rows = slice_(x, (offset, *[0] * len(rest)), (offset + t.size, *rest))
        parts.append(reshape(rows, (*t.shape, *rest)))
        offset += t.size
    return parts


def _map_basis(
    program: Jaxpr, values: Sequence[Any], directions: Sequence[Any], total: int
) -> tuple[list[Any], list[bool]]:
    """The program, linear in its last inputs, over all directions at once; its outputs, and which have an axis of them.
    """
    mapped = [False] * len(values) + [True] * len(directions)
    return vmap(program, Lanes(total), [*values, *directions], mapped)


def _forward_columns(
    jaxpr: Jaxpr, inputs: Sequence[Any], wrt: Sequence[bool], first: int
) -> tuple[list[Any], list[list[Any]]]:
    """The outputs, and blocks[output][input] for the ``first`` of them: ``[*output shape, *input shape]``.

    Value and tangents are one program: a loop runs once for both.
    """
    ins = [t for t, w in zip(jaxpr.in_types, wrt, strict=True) if w]
    total = sum(t.size for t in ins)
    if not total:  # the value would be computed in no direction
        return replay(jaxpr, inputs), [[zeros((*t.shape, *s.shape), t) for s in ins] for t in jaxpr.out_types[:first]]
    nonzero: list[bool] = []

    def with_tangents(*operands: Any) -> list[Any]:
        rest = iter(operands[len(wrt) :])
        outs, slopes = jvp_replay(jaxpr, operands[: len(wrt)], [next(rest) if w else None for w in wrt])
        nonzero.extend(t is not None for t in slopes[:first])
        return [*outs, *[t for t in slopes[:first] if t is not None]]

    program, captured = trace(with_tangents, [*jaxpr.in_types, *ins], "the derivative of jacfwd")
    results, mapped = _map_basis(program, [*captured, *inputs], basis(ins), total)
    count = len(jaxpr.outputs)
    outs = [_first_lane(x) if m else x for x, m in zip(results[:count], mapped[:count], strict=True)]
    columns = iter([x if m else spread(x, total) for x, m in zip(results[count:], mapped[count:], strict=True)])
    blocks = []
    for has, t in zip(nonzero, jaxpr.out_types[:first], strict=True):
        if not has:
            blocks.append([zeros((*t.shape, *s.shape), t) for s in ins])
            continue
        row = []
        for part, s in zip(split_rows(next(columns), ins), ins, strict=True):
            n, m = s.ndim, t.ndim
            row.append(convert(transpose(part, (*range(n, n + m), *range(n))), t.dtype, t.weak_type))
        blocks.append(row)
    return outs, blocks


def _first_lane(x: Any) -> Any:
    """A value that a rule has computed once for each direction."""
    start = (0,) * x.ndim
    return reshape(slice_(x, start, (1, *x.shape[1:])), x.shape[1:])


def _backward_rows(linear: LinearProgram, ins: Sequence[ArrayType], outs: Sequence[ArrayType]) -> list[list[Any]]:
    """blocks[output][input]: ``[*output shape, *input shape]``."""
    used = [t for t, nz in zip(outs, linear.nonzero, strict=True) if nz]
    total = sum(t.size for t in used)
    count = len(linear.residuals)
    mask = [False] * count + [True] * len(ins)
    program, has = transpose_jaxpr(linear.jaxpr, mask, [True] * len(used))
    rows: Iterator[Any] = iter(())
    if used:
        results, mapped = _map_basis(program, linear.residuals, basis(used), total)
        rows = iter([x if m else spread(x, total) for x, m in zip(results, mapped, strict=True)])
    by_input = [split_rows(next(rows), used) if h else None for h in has]
    blocks = []
    place = 0
    for nonzero, t in zip(linear.nonzero, outs, strict=True):
        row = []
        for parts, s in zip(by_input, ins, strict=True):
            if parts is None or not nonzero:
                row.append(zeros((*t.shape, *s.shape), s))
            else:
                row.append(convert(parts[place], s.dtype, s.weak_type))
        place += nonzero
        blocks.append(row)
    return blocks


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
                outs, blocks = _forward_columns(jaxpr, inputs, wrt, first)
                return [*outs, *[block for row in blocks for block in row]]
            outs, linear = linearize(jaxpr, inputs, wrt)
            if any(linear.nonzero[first:]):
                keep = [i for i, nz in enumerate(linear.nonzero) if nz]
                program = linear.jaxpr
                program = Jaxpr(
                    program.inputs,
                    program.equations,
                    [o for o, i in zip(program.outputs, keep, strict=True) if i < first],
                )
                linear = LinearProgram(program, linear.residuals, linear.nonzero)
            linear = LinearProgram(linear.jaxpr, linear.residuals, linear.nonzero[:first])
            blocks = _backward_rows(linear, ins_t, outs_t)
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
