"""Branches: ``switch`` and ``cond`` run one of several programs, chosen by a scalar.

    b = switch[branches=({ lambda ; x. ... }, { lambda ; x. ... })] i a

An index mapped by vmap runs every branch and selects lane by lane.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from functrans.control.bodies import (
    Body,
    check_same_results,
    function_name,
    is_concrete,
    operand_types,
    plain_python,
    rebuild,
    trace_body,
)
from functrans.control.call import evaluate
from functrans.control.holding import (
    Holding,
    check_operand,
    choose_lanes,
    chosen,
    is_given,
    present,
    share_captured,
    spread,
    zeros,
)
from functrans.control.lanes import lane_by_lane
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.effects import is_ordered
from functrans.ir.program import Jaxpr, Literal, live_equations
from functrans.ir.types import ArrayType, describe, type_of
from functrans.ops.arithmetic import clamp
from functrans.ops.logic import eq, ne
from functrans.ops.structural import convert
from functrans.trace.builder import bind_all
from functrans.trace.frames import api_boundary, here
from functrans.trace.primitive import Primitive, is_linear, one_run
from functrans.trace.replay import replay, trace
from functrans.transform.jvp import jvp_jaxpr
from functrans.transform.linearize import LinearizedJaxpr, linearize_jaxpr
from functrans.transform.transpose import transpose_jaxpr
from functrans.transform.vmap import spread_out, vmap, vmap_jaxpr

_INT32 = np.dtype(np.int32)


class Switch(Holding):
    """Operands ``(index, *inputs)``: the results of ``branches[index]`` on the inputs. The index is in range.

    The weak flags of the results are those of the first branch, as in JAX.
    """

    branches: tuple[Jaxpr, ...]

    def infer(self, *types: ArrayType) -> Any:
        if types[0].shape or types[0].dtype != _INT32:
            raise FunctransTypeError(f"switch: the index must be an int32 scalar, got {types[0]}")
        for i, (given, wanted) in enumerate(zip(types[1:], self.branches[0].in_types, strict=True)):
            check_operand("switch", f"operand {i}", given, wanted)
        return list(self.branches[0].out_types)

    def fold(self, *operands: Any) -> Any:
        """A branch chosen by a number that the program knows is written in place."""
        if type(operands[0]) is Literal:
            return replay(self.branches[int(operands[0].value)], operands[1:])
        return None

    def impl(self, *arrays: Any) -> Any:
        return evaluate(self.branches[int(arrays[0])], arrays[1:])

    def runs(self, operands: Sequence[Any]) -> Any:
        return one_run(self.branches[int(operands[0])], operands[1:])

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        nonzero = is_given(tangents[1:])
        has = _union(jvp_jaxpr(branch, nonzero)[1] for branch in self.branches)
        branches = tuple([jvp_jaxpr(branch, nonzero, has)[0] for branch in self.branches])
        results = bind_all(Switch(branches), [*primals, *present(tangents)])
        n = len(has)
        return results[:n], spread(results[n:], has)

    def linearize(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        wrt = is_given(tangents[1:])
        split = [linearize_jaxpr(branch, wrt) for branch in self.branches]
        has = _union(part.nonzero for part in split)
        slots, places = _residual_slots(split)
        primal = Switch(tuple([_primal_branch(part, slots, place) for part, place in zip(split, places, strict=True)]))
        results = bind_all(primal, primals)
        if not any(has):
            return results[: len(has)], [None] * len(has)
        values = [*primals[1:], *results]
        shared = sorted(
            {_shared_place(s, place, part) for part, place in zip(split, places, strict=True) for s in part.sources}
        )
        types = [*self.branches[0].in_types, *self.branches[0].out_types, *slots]
        linear = Switch(
            tuple(
                [
                    _linear_branch(part, place, [(i, types[i]) for i in shared], has, self.branches[0].out_types)
                    for part, place in zip(split, places, strict=True)
                ]
            )
        )
        slopes = bind_all(linear, [primals[0], *[values[i] for i in shared], *present(tangents)])
        return results[: len(has)], spread(slopes, has)

    def transpose(self, cotangent: Any, *operands: Any) -> Sequence[Any]:
        index, *rest = operands
        linear = [is_linear(x) for x in rest]
        nonzero = is_given(cotangent)
        parts = [transpose_jaxpr(branch, linear, nonzero) for branch in self.branches]
        has = _union(part_has for _, part_has in parts)
        types = chosen(chosen(self.branches[0].in_types, linear), has)
        branches = tuple([_filled(part, chosen(part_has, has), types) for part, part_has in parts])
        given = [x for x in rest if not is_linear(x)]
        sent = iter(spread(bind_all(Switch(branches), [index, *given, *present(cotangent)]), has))
        return [None, *[next(sent) if flag else None for flag in linear]]

    def batch_named(
        self, size: int, operands: Sequence[Any], mapped: Sequence[bool], axis_name: Any
    ) -> tuple[Any, Sequence[bool]]:
        index, *rest = operands
        which = list(mapped[1:])
        if not mapped[0]:
            outs_mapped = _union(vmap_jaxpr(branch, size, which, False, axis_name)[1] for branch in self.branches)
            branches = tuple([vmap_jaxpr(branch, size, which, outs_mapped, axis_name)[0] for branch in self.branches])
            return bind_all(Switch(branches), operands), outs_mapped
        if self.effects:
            return lane_by_lane(self, size, operands, mapped)
        chosen_outs: list[Any] = []
        for i, branch in enumerate(self.branches):
            outs, outs_mapped_ = vmap(branch, size, rest, which, axis_name)
            outs = [x if m else spread_out(x, size) for x, m in zip(outs, outs_mapped_, strict=True)]
            lanes = None if i == 0 else eq(index, i)
            chosen_outs = (
                outs if i == 0 else [choose_lanes(lanes, x, y) for x, y in zip(outs, chosen_outs, strict=True)]
            )
        return chosen_outs, [True] * len(chosen_outs)

    def lower(
        self, emitter: Any, operands: Sequence[str], in_types: Sequence[ArrayType], out_types: Sequence[ArrayType]
    ) -> Any:
        ordered = is_ordered(self.effects)
        token = "result" if ordered else ""
        regions = [
            emitter.region([], lambda _, branch=branch: emitter.inline(branch, operands[1:]), out_types, token)
            for branch in self.branches
        ]
        outs = [*[emitter.text(t) for t in out_types], *["!stablehlo.token"] * ordered]
        text = f'"stablehlo.case"({operands[0]}) ({", ".join(regions)}) : (tensor<i32>) -> ({", ".join(outs)})'
        results = emitter.raw_many(text, len(outs))
        if ordered:
            emitter.token = results.pop()
        return results

    def drop_unused(self, used: Sequence[bool]) -> tuple[Primitive, list[int], list[int]] | None:
        kept_outs = [i for i, u in enumerate(used) if u]
        needed: set[int] = set()
        lives = []
        for branch in self.branches:
            outputs = [branch.outputs[i] for i in kept_outs]
            equations, live = live_equations(branch.equations, outputs)
            lives.append((equations, outputs))
            needed.update(i for i, v in enumerate(branch.inputs) if v in live)
        if len(kept_outs) == len(used) and len(needed) == len(self.branches[0].inputs):
            return None
        kept = sorted(needed)
        branches = tuple(
            [
                Jaxpr([branch.inputs[i] for i in kept], equations, outputs)
                for branch, (equations, outputs) in zip(self.branches, lives, strict=True)
            ]
        )
        return Switch(branches), [0, *[i + 1 for i in kept]], kept_outs


def _union(flags: Any) -> tuple[bool, ...]:
    return tuple([any(column) for column in zip(*flags, strict=True)])


# -- linearization -----------------------------------------------------------------------------------------------------


def _residual_slots(split: Sequence[LinearizedJaxpr]) -> tuple[list[ArrayType], list[list[int]]]:
    """Types of the shared slots for residuals, and for each branch the slot of each of its extra residuals.

    Residuals of one type share a slot: only one branch runs.
    """
    slots: list[ArrayType] = []
    places = []
    for part in split:
        free = list(range(len(slots)))
        mine = []
        for atom in part.primal.outputs[part.num_outputs :]:
            type_ = atom.type.strong()
            slot = next((s for s in free if slots[s] == type_), None)
            if slot is None:
                slot = len(slots)
                slots.append(type_)
            else:
                free.remove(slot)
            mine.append(slot)
        places.append(mine)
    return slots, places


def _shared_place(source: int, place: Sequence[int], part: LinearizedJaxpr) -> int:
    """The place of a residual among (inputs, results, slots)."""
    first_extra = len(part.primal.inputs) + part.num_outputs
    return source if source < first_extra else first_extra + place[source - first_extra]


def _primal_branch(part: LinearizedJaxpr, slots: Sequence[ArrayType], place: Sequence[int]) -> Jaxpr:
    """inputs -> (results, slots)."""

    def function(*inputs: Any) -> list[Any]:
        outs = replay(part.primal, inputs)
        filled: dict[int, Any] = dict(zip(place, outs[part.num_outputs :], strict=True))
        return [*outs[: part.num_outputs], *[filled[i] if i in filled else zeros(t) for i, t in enumerate(slots)]]

    return trace(function, part.primal.in_types, "linearize of a branch")[0]


def _linear_branch(
    part: LinearizedJaxpr,
    place: Sequence[int],
    shared: Sequence[tuple[int, ArrayType]],
    has: Sequence[bool],
    out_types: Sequence[ArrayType],
) -> Jaxpr:
    """(shared residuals, tangents) -> tangents of the results in ``has``; ``shared``: places and types of residuals."""
    position = {p: i for i, (p, _) in enumerate(shared)}
    mine = [position[_shared_place(s, place, part)] for s in part.sources]

    def function(*inputs: Any) -> list[Any]:
        residuals, tangents = inputs[: len(shared)], inputs[len(shared) :]
        slopes = spread(replay(part.linear, [*[residuals[i] for i in mine], *tangents]), part.nonzero)
        return [zeros(t) if x is None else x for x, flag, t in zip(slopes, has, out_types, strict=True) if flag]

    tangent_types = part.linear.in_types[len(part.sources) :]
    return trace(function, [*[t for _, t in shared], *tangent_types], "linearize of a branch")[0]


def _filled(program: Jaxpr, given: Sequence[bool], types: Sequence[ArrayType]) -> Jaxpr:
    """The program with zeros for the results that it does not give."""
    if all(given):
        return program

    def function(*inputs: Any) -> list[Any]:
        outs = spread(replay(program, inputs), given)
        return [zeros(t) if x is None else x for x, t in zip(outs, types, strict=True)]

    return trace(function, program.in_types, "transpose of a branch")[0]


# -- for the user ------------------------------------------------------------------------------------------------------

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

    Both functions are traced; one of them runs. Under vmap with a mapped ``pred`` both run and the lanes are selected.

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
        if type_.dtype.kind not in "biuf":
            raise FunctransTypeError(f"the predicate of cond must be a bool or a real number, got {type_} at {here()}")
        flag = pred if type_.dtype == np.bool_ else ne(pred, 0)
    if plain_python() and is_concrete(flag):
        return true_fun(*operands) if flag else false_fun(*operands)
    index = int(flag) if isinstance(flag, bool) else convert(flag, _INT32)
    return _switch("cond", index, [("false_fun", false_fun), ("true_fun", true_fun)], operands, first=1)


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
    if type_.dtype.kind not in "iu":
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


def _switch(
    what: str, index: Any, functions: Sequence[tuple[str, Callable[..., Any]]], operands: tuple[Any, ...], first: int
) -> Any:
    """Trace the branches and apply the one chosen; ``first`` is the branch that the others are compared with."""
    leaves, tree, types = operand_types(f"an operand of {what}", operands)
    bodies: list[Body] = []
    for name, function in functions:
        purpose = f"the branch {name} of {what} ({function_name(function)})"
        bodies.append(trace_body(function, types, lambda inputs: rebuild(tree, inputs), purpose, _REMEDY))
    lead_name, lead = functions[first][0], bodies[first]
    for (name, _), body in zip(functions, bodies, strict=True):
        if body is not lead:
            check_same_results(
                what, lead_name, lead.leaves, lead.tree, name, body.leaves, body.tree,
                "the branches must return the same tree of the same types",
            )  # fmt: skip
    programs, captured = share_captured([body.jaxpr for body in bodies], [body.captured for body in bodies])
    index = Literal(index, type_of(np.int32(0))) if isinstance(index, int) else index
    return rebuild(lead.tree, bind_all(Switch(tuple(programs)), [index, *captured, *leaves]))
