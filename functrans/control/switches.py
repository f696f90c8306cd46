"""Operations with branches: ``switch`` runs one of several programs, ``switch_lanes`` one in each lane.

    b = switch[branches=({ lambda ; x. ... }, { lambda ; x. ... })] i a
    c:f32[n] = switch_lanes[branches=({ lambda ; x:f32[]. ... }, ...) lanes=n] j:i32[n] a:f32[n]

vmap makes the second of the first where the index differs from lane to lane. Its rules transform the branches, programs
of a single lane, so the derivative in a lane is that of the branch which the lane takes: no value of another branch
enters it, be it infinite or not a number. How it runs: lane_programs.py.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from functrans.control.branches import Branching, union
from functrans.control.holding import check_operand
from functrans.control.lane_programs import running, selecting
from functrans.control.lanes import lane_by_lane
from functrans.control.masking import masked
from functrans.errors import FunctransTypeError
from functrans.ir.effects import is_ordered
from functrans.ir.program import Jaxpr, Literal, Var
from functrans.ir.types import ArrayType, array_type
from functrans.ops.structural import broadcast_in_dim, convert, reduce_sum, reshape, spread, transpose
from functrans.trace.binding import bind_all
from functrans.trace.detection import Detection, Entry
from functrans.trace.emitter import EmitterProtocol, Names, Types
from functrans.trace.primitive import Lanes, Value, one_run, program_cost
from functrans.trace.replay import evaluate, replay, trace
from functrans.transform.vmap import vmap_jaxpr

_INT32 = np.dtype(np.int32)


class Switch(Branching):
    """Operands ``(index, *inputs)``: the results of ``branches[index]`` on the inputs. The index is in range.

    The weak flags of the results are those of the first branch, as in JAX.
    """

    def remade(self, branches: Sequence[Jaxpr], mapped: Sequence[bool], summed: Sequence[bool]) -> Switch:
        return Switch(tuple(branches))

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

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Sequence[bool]]:
        which = list(mapped[1:])
        if not mapped[0]:
            outs_mapped = union(vmap_jaxpr(branch, lanes, which, False)[1] for branch in self.branches)
            branches = tuple([vmap_jaxpr(branch, lanes, which, outs_mapped)[0] for branch in self.branches])
            return bind_all(Switch(branches), operands), outs_mapped
        if self.effects:
            return lane_by_lane(self, lanes, operands, mapped, 1)
        op = SwitchLanes(self.branches, lanes.size, tuple(which), (False,) * len(self.branches[0].outputs))
        if lanes.axis_name in self.axis_names():  # lanes speak with each other: all branches run
            outs = replay(op.selecting(lanes.axis_name), operands)
        else:
            outs = bind_all(op, operands)
        handed_on = [None if i is None or which[i] else operands[1 + i] for i in self._handed_on()]
        return [a if b is None else b for a, b in zip(outs, handed_on, strict=True)], [b is None for b in handed_on]

    def _handed_on(self) -> list[int | None]:
        """For each result the input that it is in every branch, if it is."""
        each = []
        for branch in self.branches:
            places = {v: i for i, v in enumerate(branch.inputs)}
            each.append([places.get(a) if type(a) is Var else None for a in branch.outputs])
        return [first if all(i == first for i in rest) else None for first, *rest in zip(*each, strict=True)]

    def run_where(self, mask: Any, operands: Sequence[Any]) -> list[Any]:
        none = (None,) * len(self.branches[0].outputs)
        branches = tuple([masked(branch, none) for branch in self.branches])
        return bind_all(Switch(branches), [operands[0], mask, *operands[1:]])

    def cost(self, in_types: Sequence[ArrayType], out_types: Sequence[ArrayType]) -> int:
        return max(map(program_cost, self.branches))

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        ordered = is_ordered(self.effects)
        token = "result" if ordered else ""
        regions = [
            emitter.region([], functools.partial(_written, emitter, branch, operands[1:]), out_types, token)
            for branch in self.branches
        ]
        outs = [*[emitter.text(t) for t in out_types], *["!stablehlo.token"] * ordered]
        text = f'"stablehlo.case"({operands[0]}) ({", ".join(regions)}) : (tensor<i32>) -> ({", ".join(outs)})'
        results = emitter.raw_many(text, len(outs))
        if ordered:
            emitter.token = results.pop()
        return results


def _written(emitter: EmitterProtocol, branch: Jaxpr, operands: Names, _: Names) -> Names:
    """The body of a region that takes nothing."""
    return emitter.inline(branch, operands)


class SwitchLanes(Branching):
    """Operands ``(index: int32[lanes], *inputs)``: in each lane, the results of ``branches[index]``.

    ``mapped``: inputs with an axis 0 of lanes; the others are the same in all lanes. ``summed``: results that are
    summed over the lanes; the others have an axis 0 of lanes.
    """

    lanes: int
    mapped: tuple[bool, ...]
    summed: tuple[bool, ...]

    def flags(self) -> tuple[tuple[bool, ...], tuple[bool, ...]]:
        return self.mapped, self.summed

    def remade(self, branches: Sequence[Jaxpr], mapped: Sequence[bool], summed: Sequence[bool]) -> SwitchLanes:
        return SwitchLanes(tuple(branches), self.lanes, tuple(mapped), tuple(summed))

    def in_lanes(self, type: ArrayType) -> ArrayType:
        """The type of a value for each lane."""
        return array_type((self.lanes, *type.shape), type.dtype, type.weak_type)

    def infer(self, *types: ArrayType) -> Any:
        if types[0].shape != (self.lanes,) or types[0].dtype != np.int32:
            raise FunctransTypeError(f"switch_lanes: the index must be int32[{self.lanes}], got {types[0]}")
        for i, (given, wanted, m) in enumerate(zip(types[1:], self.branches[0].in_types, self.mapped, strict=True)):
            check_operand("switch_lanes", f"operand {i}", given, self.in_lanes(wanted) if m else wanted)
        outs = self.branches[0].out_types
        return [t if s else self.in_lanes(t) for t, s in zip(outs, self.summed, strict=True)]

    def impl(self, *arrays: Any) -> Any:
        index, *rest = arrays
        types = self.branches[0].out_types
        outs = [
            np.zeros(t.shape if s else (self.lanes, *t.shape), t.dtype) for t, s in zip(types, self.summed, strict=True)
        ]
        for lane in range(self.lanes):
            inputs = [np.asarray(x)[lane] if m else x for x, m in zip(rest, self.mapped, strict=True)]
            results = evaluate(self.branches[int(index[lane])], inputs)
            for k, (x, s) in enumerate(zip(results, self.summed, strict=True)):
                if s:
                    outs[k] = (outs[k] + x).astype(outs[k].dtype)
                else:
                    outs[k][lane] = x
        return outs

    def selecting(self, axis_name: Any = None) -> Jaxpr:
        """The program that runs every branch for all lanes; ``axis_name``: what the branches call the lanes."""
        lead = self.branches[0]
        return lead.remember(
            ("selecting", self.branches[1:], self.mapped, self.summed, self.lanes, axis_name),
            lambda: selecting(self.branches, self.lanes, self.mapped, self.summed, axis_name),
        )

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Sequence[bool]]:
        n = len(self.summed)
        if lanes.axis_name in self.axis_names():
            program, outs_mapped = vmap_jaxpr(self.selecting(), lanes, mapped, False)
            return replay(program, operands), outs_mapped
        index, *rest = operands
        if not mapped[0]:
            which = list(mapped[1:])
            outs_mapped = union(vmap_jaxpr(branch, lanes, which, False)[1] for branch in self.branches)
            branches = [vmap_jaxpr(branch, lanes, which, outs_mapped)[0] for branch in self.branches]
            swapped = [_swap(x) if m and own else x for x, m, own in zip(rest, which, self.mapped, strict=True)]
            results = bind_all(self.remade(branches, self.mapped, self.summed), [index, *swapped])
            turned = [m and not s for m, s in zip(outs_mapped, self.summed, strict=True)]
            return [_swap(x) if t else x for x, t in zip(results, turned, strict=True)], outs_mapped
        size = lanes.size
        inputs = [self._flattened(x, size, m, own) for x, m, own in zip(rest, mapped[1:], self.mapped, strict=True)]
        own = tuple([a or b for a, b in zip(mapped[1:], self.mapped, strict=True)])
        op = SwitchLanes(self.branches, size * self.lanes, own, (False,) * n)
        results = bind_all(op, [reshape(index, (size * self.lanes,)), *inputs])
        outs = [reshape(x, (size, self.lanes, *x.shape[1:])) for x in results]
        return [reduce_sum(x, (1,)) if s else x for x, s in zip(outs, self.summed, strict=True)], [True] * n

    def _flattened(self, x: Any, size: int, mapped: bool, own: bool) -> Any:
        """[size, lanes, ...] -> [size * lanes, ...] for an input that has one axis or the other, or both."""
        if not mapped and not own:
            return x
        if not mapped:
            x = spread(x, size)
        elif not own:
            x = broadcast_in_dim(x, (size, self.lanes, *x.shape[1:]), (0, *range(2, x.ndim + 1)))
        return reshape(x, (size * self.lanes, *x.shape[2:]))

    def run_where(self, mask: Any, operands: Sequence[Any]) -> list[Any]:
        none = (None,) * len(self.summed)
        branches = [masked(branch, none) for branch in self.branches]
        return bind_all(self.remade(branches, (False, *self.mapped), self.summed), [operands[0], mask, *operands[1:]])

    def cost(self, in_types: Sequence[ArrayType], out_types: Sequence[ArrayType]) -> int:
        return self.lanes * max(map(program_cost, self.branches))

    def sparsity(self, detection: Detection, operands: Sequence[Entry], types: Sequence[ArrayType]) -> Any:
        return [x.sets for x in detection.program(self.selecting(), operands)]

    def in_place(self, operands: Sequence[Any]) -> tuple[Jaxpr, Sequence[Any]]:
        lead = self.branches[0]
        program = lead.remember(
            ("running", self.branches[1:], self.mapped, self.summed, self.lanes),
            lambda: running(self.branches, self.lanes, self.mapped, self.summed, _guarded),
        )
        return program, operands

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        return emitter.inline(*self.in_place(operands))


def _swap(x: Any) -> Any:
    """[a, b, ...] -> [b, a, ...]"""
    return transpose(x, (1, 0, *range(2, x.ndim)))


def _guarded(flag: Any, function: Callable[[], Sequence[Any]], otherwise: Sequence[Any]) -> list[Any]:
    """``function()`` if the flag is true, else ``otherwise``."""
    program, captured = trace(function, [], "a branch that some lane takes")
    places = {id(x): i for i, x in enumerate(captured)}
    captured = [*captured, *[x for x in otherwise if id(x) not in places]]
    places = {id(x): i for i, x in enumerate(captured)}
    inputs = [*program.inputs, *[Var(-1, x.type) for x in captured[len(program.inputs) :]]]
    takes = Jaxpr(inputs, program.equations, program.outputs)
    leaves = Jaxpr(inputs, [], [inputs[places[id(x)]] for x in otherwise])
    return bind_all(Switch((leaves, takes)), [convert(flag, _INT32), *captured])
