"""jacobian, hessian: dense Jacobians by the plan that costs least within a budget of memory."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from functrans.api.arguments import argument_numbers, check_callable, check_chunk_size
from functrans.api.jacobians import Options, Taken, jacrev, listening_jacrev, taken
from functrans.api.staging import api_boundary, apply
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.program import all_equations
from functrans.ir.types import describe, kind_of, type_of
from functrans.jacobians.evaluation import blocks
from functrans.jacobians.remembered import Made, planned
from functrans.jacobians.reports import note_plan
from functrans.ops.structural import convert
from functrans.trace.frames import here, named_as


@api_boundary
def jacobian(
    fun: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
    *,
    memory: int | None = None,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """The dense Jacobian of ``fun`` by the cheapest of forward mode, reverse mode, both (through a bottleneck) and
    coloured products (where many entries are zero by the structure of the function).

    Args and errors are those of ``jacfwd``, of ``jacrev`` where ``allow_int`` is True: so it is computed then.
      memory: the most bytes that the result and temporary arrays may take together, None: any number. Inputs are not
        counted.
      chunk_size: the most directions at a time, None: as many as ``memory`` allows.

    Returns:
      A function whose result has JAX's layout: for each leaf ``[...out]`` of the result and each leaf ``[...in]`` of
      the argument a block ``[...out, ...in]``, with the dtype of the leaf of the argument (of a complex result: with
      that of the result). ``explain`` says what was chosen for a call of it, and why.

    Raises:
      ValueError: no plan fits in ``memory`` (with the least that one needs); chunk_size is below one.

    >>> import numpy as np, functrans as ft
    >>> ft.jacobian(lambda x: x * x)(np.array([1.0, 2.0], np.float32)).tolist()
    [[2.0, 0.0], [0.0, 4.0]]
    """
    check_callable(fun, "jacobian")
    if allow_int:
        budget = check_memory(memory, "jacobian")
        if budget is not None:
            raise FunctransValueError(
                f"jacobian: by integers (allow_int=True) it is jacrev's, which keeps no budget, at {here()}\n"
                "Leave memory out."
            )
        return jacrev(fun, argnums, has_aux, holomorphic, True, chunk_size=chunk_size)
    options = Options(argnums, has_aux, holomorphic)
    return _planned(lambda listen: fun, fun, options, memory, chunk_size, "jacobian")


@api_boundary
def hessian(
    fun: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    *,
    memory: int | None = None,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """The dense Hessian of ``fun``: the Jacobian of its gradient, planned as ``jacobian`` does, and coloured as a
    symmetric matrix where many entries are zero. Args, result and errors are those of ``jacobian``.

    >>> import functrans as ft
    >>> float(ft.hessian(lambda x: x * x * x)(2.0))
    12.0
    """
    check_callable(fun, "hessian")
    options = Options(argnums, has_aux, holomorphic)
    make = lambda listen: listening_jacrev(fun, options, listen)
    return _planned(make, fun, options, memory, chunk_size, "hessian")


def check_memory(memory: Any, what: str) -> int | None:
    """Raise unless it is None or a number of bytes."""
    if memory is None:
        return None
    if not isinstance(memory, int | np.integer) or isinstance(memory, bool):
        given = describe(memory)
        raise FunctransTypeError(f"{what}: memory must be a number of bytes or None, got {given} at {here()}")
    return int(memory)


Make = Callable[[Callable[[Taken], None]], Callable[..., Any]]


def _planned(
    make: Make, fun: Callable[..., Any], options: Options, memory: Any, chunk_size: Any, what: str
) -> Callable[..., Any]:
    """``make``: of what is to be told of an inner call, the function whose Jacobian is taken."""
    argument_numbers(options.argnums, what)
    budget, chunk = check_memory(memory, what), check_chunk_size(chunk_size, what)

    def prepared(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Taken, Made]:
        inner: list[Taken] = []
        call = taken(make(inner.append), options, args, kwargs, what, "jacfwd")
        given = [*call.captured, *[None] * len(call.leaves)]
        made = planned(call.jaxpr, call.wrt, call.first, given, symmetric(inner, options), budget, chunk, what)
        note_plan(what, made.plan, budget)
        return call, made

    @functools.partial(named_as, fun)
    @api_boundary
    def jacobian(*args: Any, **kwargs: Any) -> Any:
        call, made = prepared(args, kwargs)
        return call.answer(evaluated(call, made, what))

    return jacobian


def symmetric(inner: Sequence[Taken], options: Options) -> bool:
    """Whether the Jacobian of a gradient is symmetric: that of a real scalar, and no rule of the user's in it."""
    if len(inner) != 1 or options.holomorphic:
        return False
    jaxpr, outs = inner[0].jaxpr, inner[0].outs
    scalar = len(outs) == 1 and not outs[0].shape and kind_of(outs[0].dtype) == "f"
    return scalar and not any(eqn.op.told_its_derivative or eqn.op.unknown for eqn in all_equations(jaxpr))


def evaluated(call: Taken, made: Made, what: str) -> list[Any]:
    """The outputs and the blocks."""
    count, wrt, first = len(call.jaxpr.inputs), call.wrt, call.first

    def transformed(inputs: list[Any]) -> list[Any]:
        outs, found = blocks(made, call.jaxpr, inputs[:count], wrt, first, inputs[count:])
        for t, row in zip(call.outs, found, strict=True):
            for s, block in zip(call.ins, row, strict=True):  # of JAX's types, whatever the plan
                like = s if what == "jacobian" and kind_of(t.dtype) != "c" else t
                outs.append(convert(block, like.dtype, like.weak_type))
        return outs

    values = [*call.captured, *call.leaves, *made.arrays]
    in_types = lambda: [*call.jaxpr.in_types, *map(type_of, made.arrays)]
    return apply((what, wrt, first, made), call.jaxpr, values, transformed, what, in_types)
