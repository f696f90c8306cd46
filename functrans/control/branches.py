"""What operations with branches share: their derivatives, with room for residuals that the branches share.

A branch is a program ``inputs -> results``. The operation's own way of giving each branch its inputs (which of them are
mapped to lanes, which results are summed over lanes) goes with it, flag by flag, to the operations derived from it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from functrans.control.holding import (
    Holding,
    Push,
    chosen,
    flat,
    is_given,
    placed,
    present,
    rows_given,
    rows_placed,
    strong_zeros,
    unchanged,
)
from functrans.ir.program import Equation, Jaxpr, Var, live_equations
from functrans.ir.types import ArrayType, is_differentiable
from functrans.ops.structural import full
from functrans.trace.binding import bind_all
from functrans.trace.dependence import Dependence
from functrans.trace.detection import Detection, Entry
from functrans.trace.primitive import Primitive, Tangent, Value, is_linear
from functrans.trace.replay import replay, trace
from functrans.transform.linearize import LinearizedJaxpr, linearize_jaxpr
from functrans.transform.transpose import transpose_jaxpr


class Branching(Holding):
    """Operands ``(index, *inputs)``: the results of ``branches[index]`` on the inputs. The index is in range."""

    branches: tuple[Jaxpr, ...]

    def flags(self) -> tuple[tuple[bool, ...], tuple[bool, ...]]:
        """Which inputs are mapped to lanes, and which results are summed over them."""
        return (False,) * len(self.branches[0].inputs), (False,) * len(self.branches[0].outputs)

    def remade(self, branches: Sequence[Jaxpr], mapped: Sequence[bool], summed: Sequence[bool]) -> Branching:
        """The operation over other branches."""
        raise NotImplementedError

    def pushed(
        self, primals: Sequence[Value], extras: Sequence[Sequence[Tangent]], push: Push
    ) -> tuple[list[Any], list[tuple[Any, ...]]]:
        mapped, summed = self.flags()
        given = rows_given(extras[1:])
        has = [union(rows) for rows in zip(*[push(branch, given)[1] for branch in self.branches], strict=True)]
        branches = [push(branch, given, has)[0] for branch in self.branches]
        more_mapped = [m for m, own in zip(mapped, given, strict=True) for flag in own if flag]
        more_summed = [s for s, own in zip(summed, has, strict=True) for flag in own if flag]
        op = self.remade(branches, [*mapped, *more_mapped], [*summed, *more_summed])
        results = bind_all(op, [*primals, *present(flat(extras))])
        n = len(has)
        return results[:n], rows_placed(results[n:], has)

    def linearize(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        mapped, summed = self.flags()
        wrt = is_given(tangents[1:])
        split = [_without_sums(linearize_jaxpr(branch, wrt), summed) for branch in self.branches]
        has = union(part.nonzero for part in split)
        slots, places = shared_slots([part.primal.out_types[part.num_outputs :] for part in split])
        primal = [
            filling(part.primal, part.num_outputs, slots, place) for part, place in zip(split, places, strict=True)
        ]
        results = bind_all(self.remade(primal, mapped, [*summed, *[False] * len(slots)]), primals)
        if not any(has):
            return results[: len(has)], [None] * len(has)
        values = [*primals[1:], *results]
        shared = sorted(
            {shared_place(s, place, part) for part, place in zip(split, places, strict=True) for s in part.sources}
        )
        lead = self.branches[0]
        types = [*lead.in_types, *lead.out_types, *slots]
        linear = [
            linear_branch(part, place, [(i, types[i]) for i in shared], has, lead.out_types)
            for part, place in zip(split, places, strict=True)
        ]
        own = [mapped[i] if i < len(mapped) else True for i in shared]
        op = self.remade(linear, [*own, *chosen(mapped, wrt)], chosen(summed, has))
        slopes = bind_all(op, [primals[0], *[values[i] for i in shared], *present(tangents)])
        return results[: len(has)], placed(slopes, has)

    def transpose(self, cotangent: Any, *operands: Any) -> Sequence[Any]:
        mapped, summed = self.flags()
        index, *rest = operands
        linear = [is_linear(x) for x in rest]
        nonzero = is_given(cotangent)
        parts = [transpose_jaxpr(branch, linear, nonzero) for branch in self.branches]
        has = union(part_has for _, part_has in parts)
        types = chosen(chosen(self.branches[0].in_types, linear), has)
        branches = [with_zeros(part, chosen(part_has, has), types) for part, part_has in parts]
        fixed = [not flag for flag in linear]
        op = self.remade(
            branches,
            [*chosen(mapped, fixed), *[not s for s in chosen(summed, nonzero)]],
            [not m for m in chosen(chosen(mapped, linear), has)],
        )
        sent = iter(placed(bind_all(op, [index, *chosen(rest, fixed), *present(cotangent)]), has))
        return [None, *[next(sent) if flag else None for flag in linear]]

    def sparsity(self, detection: Detection, operands: Sequence[Entry], types: Sequence[ArrayType]) -> Any:
        index, *rest = operands
        known = index.value()
        branches = self.branches if known is None else [self.branches[int(known)]]
        results = [[x.sets for x in detection.program(branch, rest)] for branch in branches]
        return [detection.union(*own) for own in zip(*results, strict=True)]

    def reached(self, given: Sequence[bool], dependence: Dependence) -> Sequence[bool] | None:
        if given[0] and dependence.through_choices:
            return None
        return union(dependence.outputs(branch, given[1:]) for branch in self.branches)

    def lifted(
        self, programs: Sequence[Jaxpr], operands: Sequence[Any], extra: Sequence[Sequence[Any]]
    ) -> tuple[Primitive, list[Any]] | None:
        mapped, summed = self.flags()
        own, counts = len(mapped), [len(more) for more in extra]
        types = [v.type for program in programs for v in program.inputs[own:]]
        widened = []
        for i, program in enumerate(programs):
            unused = [Var(-1, t) for t in types]
            first = sum(counts[:i])
            unused[first : first + counts[i]] = program.inputs[own:]
            widened.append(Jaxpr([*program.inputs[:own], *unused], program.equations, program.outputs))
        op = self.remade(widened, [*mapped, *[False] * len(types)], summed)
        return op, [*operands, *[x for more in extra for x in more]]

    def cut(self, eqn: Equation, divided: Callable[[Jaxpr], Any]) -> tuple[Equation, Equation, list[Var]] | None:
        """What one branch stores shares room with what the others do."""
        bodies = [divided(branch) for branch in self.branches]
        if not any(body.num_stored for body in bodies) and not self.effects:
            return None
        mapped, summed = self.flags()
        num_outputs = len(summed)
        slots, places = shared_slots([body.storing.out_types[num_outputs:] for body in bodies])
        storing = [filling(body.storing, num_outputs, slots, place) for body, place in zip(bodies, places, strict=True)]
        reading = []
        for body, place in zip(bodies, places, strict=True):
            variables = [Var(-1, t) for t in slots]
            for slot, v in zip(place, body.recomputing.inputs, strict=False):
                variables[slot] = v
            own = body.recomputing.inputs[body.num_stored :]
            reading.append(Jaxpr([*own, *variables], body.recomputing.equations, body.recomputing.outputs))
        first = self.remade(storing, mapped, [*summed, *[False] * len(slots)])
        second = self.remade(reading, [*mapped, *[True] * len(slots)], summed)
        stored = [Var(-1, t) for t in first.infer(*[a.type for a in eqn.inputs])[num_outputs:]]
        return (
            Equation(first, eqn.inputs, (*eqn.outputs, *stored), eqn.where),
            Equation(second, (*eqn.inputs, *stored), eqn.outputs, eqn.where),
            stored,
        )

    def drop_unused(self, used: Sequence[bool]) -> tuple[Primitive, Sequence[int], Sequence[int]] | None:
        found = without_unused(self.branches, used)
        if found is None:
            return None
        branches, inputs, outputs = found
        mapped, summed = self.flags()
        op = self.remade(branches, [mapped[i] for i in inputs], [summed[i] for i in outputs])
        return op, [0, *[i + 1 for i in inputs]], outputs


def _without_sums(part: LinearizedJaxpr, summed: Sequence[bool]) -> LinearizedJaxpr:
    """The parts of a branch with a residual of its own for each residual that is a result summed over lanes."""
    n = len(part.primal.inputs)
    hidden = sorted({s for s in part.sources if s >= n and s - n < part.num_outputs and summed[s - n]})
    if not hidden:
        return part
    primal = part.primal
    end = n + len(primal.outputs)
    moved = {s: end + i for i, s in enumerate(hidden)}
    outputs = [*primal.outputs, *[primal.outputs[s - n] for s in hidden]]
    return part._replace(
        primal=Jaxpr(primal.inputs, primal.equations, outputs), sources=tuple([moved.get(s, s) for s in part.sources])
    )


def union(flags: Any) -> tuple[bool, ...]:
    """The flags that any of several rows has."""
    return tuple([any(column) for column in zip(*flags, strict=True)])


def shared_slots(types: Sequence[Sequence[ArrayType]]) -> tuple[list[ArrayType], list[list[int]]]:
    """For what each branch stores: types of slots that all branches share, and for each branch the slot of each value.

    Values of one type share a slot: only one branch runs.
    """
    slots: list[ArrayType] = []
    by_type: dict[ArrayType, list[int]] = {}
    places = []
    for own in types:
        taken: dict[ArrayType, int] = {}  # how many slots of each type this branch has
        mine = []
        for type_ in own:
            type_ = type_.strong()
            same = by_type.setdefault(type_, [])
            count = taken[type_] = taken.get(type_, 0) + 1
            if count > len(same):
                same.append(len(slots))
                slots.append(type_)
            mine.append(same[count - 1])
        places.append(mine)
    return slots, places


def shared_place(source: int, place: Sequence[int], part: LinearizedJaxpr) -> int:
    """The place of a residual among (inputs, results, slots)."""
    first_extra = len(part.primal.inputs) + part.num_outputs
    return source if source < first_extra else first_extra + place[source - first_extra]


def filling(program: Jaxpr, num_outputs: int, slots: Sequence[ArrayType], place: Sequence[int]) -> Jaxpr:
    """A branch inputs -> (results, values at these places) as inputs -> (results, slots).

    Other slots hold ones: over lanes, the backward pass of another branch may run on them, its result dropped, and most
    of what divides by a stored value or solves with it stays finite on ones.
    """

    def function(*inputs: Any) -> list[Any]:
        outs = replay(program, inputs)
        given: dict[int, Any] = dict(zip(place, outs[num_outputs:], strict=True))
        return [*outs[:num_outputs], *[given[i] if i in given else _unused(t) for i, t in enumerate(slots)]]

    return trace(function, program.in_types, "a branch that stores values")[0]


def _unused(type: ArrayType) -> Any:
    return full(type.shape, 1 if is_differentiable(type.dtype) else 0, type.dtype)


def linear_branch(
    part: LinearizedJaxpr,
    place: Sequence[int],
    shared: Sequence[tuple[int, ArrayType]],
    has: Sequence[bool],
    out_types: Sequence[ArrayType],
) -> Jaxpr:
    """(shared residuals, tangents) -> tangents of the results in ``has``; ``shared``: places and types of residuals."""
    position = {p: i for i, (p, _) in enumerate(shared)}
    mine = [position[shared_place(s, place, part)] for s in part.sources]

    def function(*inputs: Any) -> list[Any]:
        residuals, tangents = inputs[: len(shared)], inputs[len(shared) :]
        slopes = placed(replay(part.linear, [*[residuals[i] for i in mine], *tangents]), part.nonzero)
        return [strong_zeros(t) if x is None else x for x, flag, t in zip(slopes, has, out_types, strict=True) if flag]

    tangent_types = part.linear.in_types[len(part.sources) :]
    return trace(function, [*[t for _, t in shared], *tangent_types], "linearize of a branch")[0]


def with_zeros(program: Jaxpr, given: Sequence[bool], types: Sequence[ArrayType]) -> Jaxpr:
    """The program with zeros for the results that it does not give."""
    if all(given):
        return program

    def function(*inputs: Any) -> list[Any]:
        outs = placed(replay(program, inputs), given)
        return [strong_zeros(t) if x is None else x for x, t in zip(outs, types, strict=True)]

    return trace(function, program.in_types, "transpose of a branch")[0]


def without_unused(
    branches: Sequence[Jaxpr], used: Sequence[bool]
) -> tuple[tuple[Jaxpr, ...], list[int], list[int]] | None:
    """The branches without the results that are not used; the places of the inputs and of the results that are left."""
    outs_left = [i for i, u in enumerate(used) if u]
    needed: set[int] = set()
    lives = []
    for branch in branches:
        outputs = [branch.outputs[i] for i in outs_left]
        equations, live = live_equations(branch.equations, outputs)
        lives.append((equations, outputs))
        needed.update(i for i, v in enumerate(branch.inputs) if v in live)
    same = all(unchanged(equations, branch) for (equations, _), branch in zip(lives, branches, strict=True))
    if all(used) and len(needed) == len(branches[0].inputs) and same:
        return None
    left = sorted(needed)
    smaller = tuple(
        [
            Jaxpr([branch.inputs[i] for i in left], equations, outputs)
            for branch, (equations, outputs) in zip(branches, lives, strict=True)
        ]
    )
    return smaller, left, outs_left
