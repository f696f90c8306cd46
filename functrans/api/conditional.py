"""The user's branches: ``switch`` and ``cond``, with JAX's signatures and meaning."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jax.tree_util import tree_flatten, tree_unflatten

from functrans.api.bodies import (
    Body,
    check_same_results,
    is_concrete,
    operand_types,
    plain_python,
    rebuild,
    trace_body,
    with_references,
)
from functrans.api.references import Ref, check_given_once, put, values_in
from functrans.control.holding import share_captured
from functrans.control.switches import Switch
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.program import Jaxpr, Literal
from functrans.ir.types import ArrayType, describe, kind_of, type_of
from functrans.ops.arithmetic import clamp
from functrans.ops.logic import ne
from functrans.ops.structural import convert
from functrans.trace.binding import bind_all
from functrans.trace.frames import api_boundary, function_name, here
from functrans.trace.replay import replay, trace

_INT32 = np.dtype(np.int32)
_NO_OPERAND = object()
_REMEDY = (
    "A branch is traced before it is known which one runs: use functrans.lax.cond or functrans.numpy.where inside it "
    "too. (Python's own `if` on the predicate works in un-jitted code.)"
)


def _operands(what: str, operands: tuple[Any, ...], operand: Any) -> tuple[Any, ...]:
    if operand is _NO_OPERAND:
        return operands
    if operands:
        raise FunctransTypeError(
            f"{what} got operand={describe(operand)} and the positional operands {operands!r} at {here()}\n"
            "Pass operands one way or the other."
        )
    return (operand,)


@api_boundary
def cond(
    pred: Any, true_fun: Callable[..., Any], false_fun: Callable[..., Any], *operands: Any, operand: Any = _NO_OPERAND
) -> Any:
    """``true_fun(*operands)`` where the scalar ``pred`` is true, ``false_fun(*operands)`` where it is not.

    Both functions are traced; one of them runs. Under vmap with a mapped ``pred`` a function that costs much runs for
    the lanes that take it only; cheap ones run for all lanes, and the results are selected.

    Args:
      pred: a scalar ``[]``, bool or a real number (true where it is not zero).
      true_fun, false_fun: functions of the operands with results of one tree, shapes and dtypes. They may close over
        traced values.
      operands: arrays, numbers or pytrees of them. ``operand=x`` is the same as one positional operand.

    Returns:
      The result of the function chosen.

    Raises:
      TypeError: the predicate is no scalar number, or the results of the functions differ in tree, shape or dtype.

    >>> import functrans as ft
    >>> float(ft.lax.cond(True, lambda x: x * 2.0, lambda x: x + 1.0, 3.0))
    6.0
    """
    given: tuple[Any, ...] = (true_fun, false_fun, *operands)
    if not (callable(given[0]) and callable(given[1])):
        if callable(given[1]) and len(operands) == 2 and callable(operands[1]):  # JAX's first signature
            on_true, on_false = false_fun, operands[1]
            return cond(pred, lambda x, _: on_true(x), lambda _, x: on_false(x), true_fun, operands[0])
        raise FunctransTypeError(
            f"cond needs two functions, got {describe(true_fun)} and {describe(false_fun)} at {here()}\n"
            "Write cond(pred, true_fun, false_fun, *operands)."
        )
    operands = _operands("cond", operands, operand)
    if isinstance(pred, bool | np.bool_):
        flag: Any = bool(pred)
    else:
        type_ = _scalar_type("the predicate of cond", pred)
        if kind_of(type_.dtype) not in "biuf":
            raise FunctransTypeError(f"the predicate of cond must be a bool or a real number, got {type_} at {here()}")
        if isinstance(pred, int | float | np.generic):
            flag = bool(pred)
        else:
            flag = pred if type_.dtype == np.bool_ else ne(pred, 0)
    if plain_python() and is_concrete(flag):
        return true_fun(*operands) if flag else false_fun(*operands)
    index = int(flag) if isinstance(flag, bool) else convert(flag, _INT32)
    names = "false_fun", "true_fun"
    return _switch("cond", index, [*zip(names, (false_fun, true_fun), strict=True)], operands, first=1)


@api_boundary
def switch(index: Any, branches: Sequence[Callable[..., Any]], *operands: Any, operand: Any = _NO_OPERAND) -> Any:
    """``branches[index](*operands)``, with ``index`` clamped to the branches there are.

    Args:
      index: an integer scalar ``[]``.
      branches: functions of the operands with results of one tree, shapes and dtypes.
      operands: arrays, numbers or pytrees of them.

    Returns:
      The result of the branch chosen.

    Raises:
      TypeError: the index is no integer scalar, or the results of the branches differ. ValueError: no branches.

    >>> import functrans as ft
    >>> float(ft.lax.switch(7, [lambda x: x, lambda x: x * x], 3.0))
    9.0
    """
    branches = tuple(branches)
    if not all(callable(f) for f in branches):
        raise FunctransTypeError(f"switch needs a sequence of functions, got {describe(branches)} at {here()}")
    operands = _operands("switch", operands, operand)
    type_ = _scalar_type("the index of switch", index)
    if kind_of(type_.dtype) not in "iu":
        raise FunctransTypeError(
            f"the index of switch must be an integer scalar, got {type_} at {here()}\nConvert it with .astype('int32')."
        )
    if not branches:
        raise FunctransValueError(f"switch got an empty sequence of branches at {here()}")
    if len(branches) == 1:
        return branches[0](*operands)
    if plain_python() and is_concrete(index):
        return branches[min(max(int(index), 0), len(branches) - 1)](*operands)
    if isinstance(index, int | np.integer):
        index = min(max(int(index), 0), len(branches) - 1)
    else:
        index = convert(clamp(0, index, len(branches) - 1), _INT32)
    return _switch("switch", index, [(f"branches[{i}]", f) for i, f in enumerate(branches)], operands, first=0)


def _scalar_type(what: str, x: Any) -> ArrayType:
    try:
        type_ = type_of(x)
    except FunctransTypeError:
        raise FunctransTypeError(f"{what} must be a scalar number, got {describe(x)} at {here()}") from None
    if type_.shape:
        raise FunctransTypeError(
            f"{what} must be a scalar, got an array of shape {type_.shape} ({type_}) at {here()}\n"
            "Use functrans.numpy.where to choose element by element, or vmap over the array."
        )
    return type_


def _typed_as(jaxpr: Jaxpr, weak: Sequence[bool]) -> Jaxpr:
    """The branch with results of these weak flags: those of the first branch are those of all, as in JAX."""
    if all(w == t.weak_type for w, t in zip(weak, jaxpr.out_types, strict=True)):
        return jaxpr

    def function(*inputs: Any) -> list[Any]:
        outs = zip(replay(jaxpr, inputs), jaxpr.out_types, weak, strict=True)
        return [convert(x, t.dtype, w) for x, t, w in outs]

    return trace(function, jaxpr.in_types, "a branch")[0]


def _switch(
    what: str, index: Any, functions: Sequence[tuple[str, Callable[..., Any]]], operands: tuple[Any, ...], first: int
) -> Any:
    """Trace the branches and apply the one chosen; ``first`` is the branch that the others are compared with."""
    given, structure = tree_flatten(operands)
    check_given_once(what, given)
    marks = tree_unflatten(structure, [None if isinstance(x, Ref) else x for x in given])  # references are closed over
    leaves, _, types = operand_types(f"an operand of {what}", marks)

    def arguments(inputs: Sequence[Any]) -> Any:
        rest = iter(inputs)
        return rebuild(structure, [x if isinstance(x, Ref) else next(rest) for x in given])

    bodies: list[Body] = []
    for name, function in functions:
        purpose = f"the branch {name} of {what} ({function_name(function)})"
        bodies.append(trace_body(function, types, arguments, purpose, _REMEDY, True))
    lead_name, lead = functions[first][0], bodies[first]
    for (name, _), body in zip(functions, bodies, strict=True):
        if body is not lead:
            check_same_results(
                what, lead_name, lead.leaves, lead.tree, name, body.leaves, body.tree,
                "the branches must return the same tree of the same types",
            )  # fmt: skip
    references = [*dict.fromkeys([r for body in bodies for r in body.references])]
    bodies = [with_references(body, references) for body in bodies]
    weak = [t.weak_type for t in bodies[0].jaxpr.out_types]
    programs, captured = share_captured(
        [_typed_as(body.jaxpr, weak) for body in bodies], [body.captured for body in bodies]
    )
    index = Literal(index, type_of(np.int32(0))) if isinstance(index, int) else index
    results = bind_all(Switch(tuple(programs)), [index, *captured, *values_in(references), *leaves])
    put(references, results)
    return rebuild(lead.tree, results[len(references) :])
