"""The loop that runs until its condition fails: ``while``. Forward mode and vmap; reverse mode has no number of steps.

    carry = while[condition={ lambda ; k carry. ... }, body={ lambda ; c carry. ... }] k c carry

A scalar given for an initial carry stands for an array filled with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from functrans.control.holding import (
    Holding,
    Push,
    check_operand,
    chosen,
    count,
    fixpoint,
    fixpoint_rows,
    flat,
    initial_lanes,
    is_given,
    permuted,
    placed,
    present,
    rows_given,
    rows_placed,
    strong_zero,
    unchanged,
)
from functrans.control.index_sets import computed, equations_run, fixed_sets, started
from functrans.control.lanes import lane_by_lane
from functrans.control.masking import masked
from functrans.control.progress import Bar
from functrans.control.scan_lowering import as_whole, lower_with_bar
from functrans.control.scan_lowering import while_loop as emit_while
from functrans.errors import NotLinearError, ReverseLoopError
from functrans.ir.program import Jaxpr, Literal, Var, live_equations
from functrans.ir.types import ArrayType
from functrans.ops.logic import and_
from functrans.ops.reductions import reduce_or
from functrans.ops.structural import broadcast_in_dim
from functrans.trace.binding import bind_all
from functrans.trace.dependence import VALUE, Dependence
from functrans.trace.detection import Detection, Entry
from functrans.trace.effects import without_effects
from functrans.trace.emitter import EmitterProtocol, Names, Types
from functrans.trace.primitive import Lanes, Primitive, Tangent, Value, is_linear, program_cost
from functrans.trace.replay import evaluate, replay, trace
from functrans.trace.state import operation_place
from functrans.trace.tracer import Tracer
from functrans.transform.jvp import push_tangents
from functrans.transform.linearize import linearize_jaxpr
from functrans.transform.transpose import transpose_jaxpr
from functrans.transform.vmap import vmap_jaxpr

_STEPS = 20  # of a loop, when its cost is estimated: nobody knows


class While(Holding):
    """Operands ``(*condition consts, *body consts, *carry)`` -> ``(*carry)``: the body, while the condition holds."""

    condition: Jaxpr
    body: Jaxpr
    num_condition_consts: int
    num_body_consts: int
    progress: str = ""  # the label of a bar that counts steps
    name = "while"
    endless = True

    def split(self, values: Sequence[Any]) -> tuple[list[Any], list[Any], list[Any]]:
        """Anything with an item for each operand: (for the condition's consts, for the body's, for the carry)."""
        first, second = self.num_condition_consts, self.num_condition_consts + self.num_body_consts
        return list(values[:first]), list(values[first:second]), list(values[second:])

    def infer(self, *types: ArrayType) -> Any:
        wanted = [*self.condition.in_types[: self.num_condition_consts], *self.body.in_types]
        for what, given, needed in zip(
            ("condition const", "body const", "initial carry"), self.split(types), self.split(wanted), strict=True
        ):
            for i, (a, b) in enumerate(zip(given, needed, strict=True)):
                check_operand("while", f"{what} {i}", a, b, scalars=what == "initial carry")
        return list(self.body.out_types)

    def literal_places(self, count: int) -> Sequence[int]:
        return self.split(range(count))[2]

    def fold(self, *operands: Any) -> Any:
        """A carry that no step changes is a constant."""
        condition, body, tests, consts = self.condition, self.body, self.num_condition_consts, self.num_body_consts
        condition_consts, body_consts, init = self.split(operands)
        same = [
            a is v and type(x) is Tracer and x.shape == v.type.shape
            for a, v, x in zip(body.outputs, body.inputs[consts:], init, strict=True)
        ]
        if not any(same):
            return None
        kept = [not s for s in same]
        count_in = [
            chosen(range(first, first + len(init)), flags) for first in (tests, consts) for flags in (same, kept)
        ]
        new_condition = permuted(condition, [*range(tests), *count_in[0], *count_in[1]], [0])
        new_body = permuted(body, [*range(consts), *count_in[2], *count_in[3]], chosen(range(len(init)), kept))
        fixed = chosen(init, same)
        op = While(new_condition, new_body, tests + len(fixed), consts + len(fixed), self.progress)
        results = placed(bind_all(op, [*condition_consts, *fixed, *body_consts, *fixed, *chosen(init, kept)]), kept)
        return [x if s else out for x, s, out in zip(init, same, results, strict=True)]

    def impl(self, *arrays: Any) -> Any:
        condition_consts, body_consts, init = self.split(arrays)
        carry = [np.broadcast_to(x, t.shape) for x, t in zip(init, self.body.out_types, strict=True)]
        while evaluate(self.condition, [*condition_consts, *carry])[0]:
            carry = evaluate(self.body, [*body_consts, *carry])
        return carry

    def runs(self, operands: Sequence[Any]) -> Any:
        condition_consts, body_consts, init = self.split(operands)
        carry = [np.broadcast_to(x, t.shape) for x, t in zip(init, self.body.out_types, strict=True)]
        while (yield self.condition, [*condition_consts, *carry])[0]:
            carry = yield self.body, [*body_consts, *carry]

    # -- derivatives --------------------------------------------------------------------------------------------------

    def pushed(
        self, primals: Sequence[Value], extras: Sequence[Sequence[Tangent]], push: Push
    ) -> tuple[list[Any], list[tuple[Any, ...]]]:
        n = len(self.body.outputs)
        carried = self._carried(extras, push)
        if not any(flat(carried)):
            return bind_all(self, primals), rows_placed([], carried)
        op, operands = self._extended(primals, extras, carried, push)
        results = bind_all(op, operands)
        return results[:n], rows_placed(results[n:], carried)

    def _carried(self, extras: Sequence[Sequence[Tangent]], push: Push) -> list[tuple[bool, ...]]:
        """Which further values each carry has."""
        _, consts_e, init_e = self.split(extras)
        lead = rows_given(consts_e)
        return fixpoint_rows(rows_given(init_e), lambda c: push(self.body, [*lead, *c])[1])

    def _extended(
        self,
        primals: Sequence[Value],
        extras: Sequence[Sequence[Tangent]],
        carried: Sequence[Sequence[bool]],
        push: Push,
    ) -> tuple[While, list[Any]]:
        """The loop that carries the further values too, behind all values; its operands."""
        _, consts_e, init_e = self.split(extras)
        lead = rows_given(consts_e)
        program, _ = push(self.body, [*lead, *carried], carried)
        # (consts, carry, extras of consts, extras of the carry) -> (consts and extras, carry and extras)
        nb, more = self.num_body_consts, count(flat(lead))
        end = len(self.body.inputs)
        order = [*range(nb), *range(end, end + more), *range(nb, end), *range(end + more, len(program.inputs))]
        types = [t for t, own in zip(self.body.out_types, carried, strict=True) for flag in own if flag]
        condition = _ignoring(self.condition, types)
        widened = permuted(program, order, range(len(program.outputs)))
        op = While(condition, widened, self.num_condition_consts, nb + more, self.progress)
        condition_consts, body_consts, init = self.split(primals)
        given = chosen(flat(init_e), flat(carried))
        started = [strong_zero(t) if x is None else x for x, t in zip(given, types, strict=True)]
        return op, [*condition_consts, *body_consts, *present(flat(consts_e)), *init, *started]

    def linearize(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        """The linear part runs the whole loop again beside its tangents: exact forward, refused backward.

        The values are those that the derivative rules of the body's operations give, as they are everywhere: a user's
        rule may give a value with another derivative than the function's.
        """
        n = len(self.body.outputs)
        extras = [(t,) for t in tangents]
        rows = self._carried(extras, push_tangents)
        carried = flat(rows)
        if not any(carried):
            return bind_all(self, primals), [None] * n
        wrt = [*is_given(self.split(tangents)[1]), *carried]
        values = permuted(linearize_jaxpr(self.body, wrt).primal, range(len(wrt)), range(n))
        outs = bind_all(
            While(self.condition, values, self.num_condition_consts, self.num_body_consts, self.progress), primals
        )
        op, operands = self._extended(primals, extras, rows, push_tangents)
        again = While(
            without_effects(op.condition), without_effects(op.body), op.num_condition_consts, op.num_body_consts
        )
        return outs, placed(bind_all(again, operands)[n:], carried)

    def sparsity(self, detection: Detection, operands: Sequence[Entry], types: Sequence[ArrayType]) -> Any:
        """Turn after turn while the condition is known; else what any number of turns may give."""
        condition_consts, body_consts, init = self.split(operands)
        carry = [started(x, t) for x, t in zip(init, self.body.out_types, strict=True)]
        turn = 1 + equations_run(self.body) + equations_run(self.condition)
        while detection.affords(turn):
            test = detection.step(self.condition, [*condition_consts, *carry])[0].value()
            if test is None:
                break
            if not test:
                return [x.sets for x in carry]
            carry = computed(detection.step(self.body, [*body_consts, *carry]))
        else:
            detection.assume(self)
        carry = fixed_sets(detection, carry, lambda now: detection.program(self.body, [*body_consts, *now]))
        return [x.sets for x in carry]

    def reached(self, given: Sequence[bool], dependence: Dependence) -> Sequence[bool] | None:
        tests, consts, init = self.split(given)
        carried = fixpoint(init, lambda c: dependence.outputs(self.body, [*consts, *c]))
        if dependence.through_choices and any(dependence.outputs(self.condition, [*tests, *carried])):
            return None  # how often the body ran is in every result
        return carried

    def transpose(self, cotangent: Any, *operands: Any) -> Sequence[Any]:
        tests, consts, init = self.split([is_linear(x) for x in operands])
        carried = fixpoint(init, lambda c: VALUE.outputs(self.body, [*consts, *c]))
        if any(VALUE.outputs(self.condition, [*tests, *carried])):
            raise NotLinearError(
                f"the condition of the while_loop at {operation_place()} depends on what has to be linear"
            )
        transpose_jaxpr(self.body, [*consts, *carried], carried)  # raises where the body is not linear
        raise ReverseLoopError(
            f"reverse mode (grad, vjp, jacrev) through the while_loop or fori_loop at {operation_place()}\n"
            "needs the values of every step, and the number of steps is not known before it runs. Use "
            "functrans.lax.scan, functrans.lax.fori_loop with plain Python integers as bounds, or a plain Python loop "
            "in un-jitted code. Forward mode (jvp, jacfwd) works."
        )

    # -- vmap ---------------------------------------------------------------------------------------------------------

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Sequence[bool]]:
        condition_consts_m, body_consts_m, init_m = self.split(mapped)
        carry_m = fixpoint(init_m, lambda c: vmap_jaxpr(self.body, lanes, [*body_consts_m, *c], False)[1])
        lanes_differ = vmap_jaxpr(self.condition, lanes, [*condition_consts_m, *carry_m], False)[1][0]
        if lanes_differ and self.effects:
            return lane_by_lane(self, lanes, operands, mapped, 1)
        if lanes_differ:
            carry_m = (True,) * len(carry_m)
        condition, _ = vmap_jaxpr(self.condition, lanes, [*condition_consts_m, *carry_m], lanes_differ)
        condition_consts, body_consts, init = self.split(operands)
        init = [
            initial_lanes(x, t, lanes.size, given) if m else x
            for x, t, m, given in zip(init, self.body.out_types, carry_m, init_m, strict=True)
        ]
        if not lanes_differ:
            body, _ = vmap_jaxpr(self.body, lanes, [*body_consts_m, *carry_m], carry_m)
            op = While(condition, body, self.num_condition_consts, self.num_body_consts, self.progress)
            return bind_all(op, [*condition_consts, *body_consts, *init]), carry_m
        step = masked(self.body, tuple(range(self.num_body_consts, len(self.body.inputs))))
        body, _ = vmap_jaxpr(step, lanes, [True, *body_consts_m, *carry_m], carry_m)
        op = _lane_by_lane(self, condition, body)
        whole = [  # the condition is evaluated once before the loop
            broadcast_in_dim(x, (lanes.size, *t.shape)) if type(x) is Literal else x
            for x, t in zip(init, self.body.out_types, strict=True)
        ]
        first = replay(condition, [*condition_consts, *whole])
        return bind_all(op, [*condition_consts, *body_consts, *first, *whole])[1:], carry_m

    def run_where(self, mask: Any, operands: Sequence[Any]) -> list[Any]:
        def goes_on(flag: Any, *inputs: Any) -> list[Any]:
            return [and_(flag, replay(self.condition, inputs)[0])]

        condition, captured = trace(goes_on, [mask.type, *self.condition.in_types], "a loop under a mask")
        assert not captured
        op = While(condition, self.body, self.num_condition_consts + 1, self.num_body_consts, self.progress)
        return bind_all(op, [mask, *operands])

    # -- lowering and clean-up ----------------------------------------------------------------------------------------

    def cost(self, in_types: Sequence[ArrayType], out_types: Sequence[ArrayType]) -> int:
        return _STEPS * (program_cost(self.condition) + program_cost(self.body))

    def repeated(self) -> Jaxpr:
        return self.body

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        condition_consts, body_consts, init = self.split(operands)
        types = list(self.body.out_types)
        init = [as_whole(emitter, x, t, w) for x, t, w in zip(init, self.split(in_types)[2], types, strict=True)]

        def condition(names: Sequence[str]) -> str:
            return str(emitter.inline(self.condition, [*condition_consts, *names])[0])

        def body(names: Sequence[str]) -> list[str]:
            return list(emitter.inline(self.body, [*body_consts, *names]))

        if self.progress:
            return lower_with_bar(emitter, Bar(self.progress, None), init, types, condition, body, self.effects)
        return emit_while(emitter, init, types, condition, body, self.effects)

    def number_shape(self, place: int, results: Sequence[ArrayType]) -> tuple[int, ...]:
        return [*self.condition.in_types[: self.num_condition_consts], *self.body.in_types][place].shape

    def lifted(
        self, programs: Sequence[Jaxpr], operands: Sequence[Any], extra: Sequence[Sequence[Any]]
    ) -> tuple[Primitive, list[Any]] | None:
        counts = (self.num_condition_consts, self.num_body_consts)
        moved = []
        for program, first, more in zip(programs, counts, extra, strict=True):
            end = len(program.inputs) - len(more)
            order = [*range(first), *range(end, end + len(more)), *range(first, end)]
            moved.append(permuted(program, order, range(len(program.outputs))))
        condition_consts, body_consts, init = self.split(operands)
        op = While(moved[0], moved[1], counts[0] + len(extra[0]), counts[1] + len(extra[1]), self.progress)
        return op, [*condition_consts, *extra[0], *body_consts, *extra[1], *init]

    def drop_unused(self, used: Sequence[bool]) -> tuple[Primitive, list[int], list[int]] | None:
        condition, body = self.condition, self.body
        _, tested = live_equations(condition.equations, condition.outputs)
        carries = body.inputs[self.num_body_consts :]
        read_by_condition = [v in tested for v in condition.inputs[self.num_condition_consts :]]

        def read(kept: tuple[bool, ...]) -> list[bool]:
            _, live = live_equations(body.equations, chosen(body.outputs, kept))
            return [v in live for v in carries]

        kept = fixpoint([u or r for u, r in zip(used, read_by_condition, strict=True)], read)
        outputs = chosen(body.outputs, kept)
        equations, live = live_equations(body.equations, outputs)
        consts_k = [v in live for v in body.inputs[: self.num_body_consts]]
        tests_k = [v in tested for v in condition.inputs[: self.num_condition_consts]]
        if all(kept) and all(consts_k) and all(tests_k) and unchanged(equations, body):
            return None
        new_body = Jaxpr(chosen(body.inputs, [*consts_k, *kept]), equations, outputs)
        new_condition = Jaxpr(chosen(condition.inputs, [*tests_k, *kept]), condition.equations, condition.outputs)
        places = chosen(range(len(tests_k) + len(body.inputs)), [*tests_k, *consts_k, *kept])
        new = While(new_condition, new_body, count(tests_k), count(consts_k), self.progress)
        return new, places, chosen(range(len(used)), kept)


def _ignoring(jaxpr: Jaxpr, types: Sequence[ArrayType]) -> Jaxpr:
    """The program with further inputs that it does not read."""
    return jaxpr.remember(
        ("ignoring", tuple(types)),
        lambda: Jaxpr([*jaxpr.inputs, *[Var(-1, t) for t in types]], jaxpr.equations, jaxpr.outputs),
    )


def _lane_by_lane(loop: While, condition: Jaxpr, body: Jaxpr) -> While:
    """The loop over ``(running: bool[n], *carry)``: on while any lane is.

    ``body``: (running, consts, carry) -> carry; a lane that is done keeps its own.
    """
    running_type = condition.out_types[0]
    carry_types = list(body.out_types)
    tests, consts = loop.num_condition_consts, loop.num_body_consts

    def goes_on(running: Any, *carry: Any) -> list[Any]:
        return [reduce_or(running, (0,))]

    def step(*inputs: Any) -> list[Any]:
        test_consts, body_consts, running = inputs[:tests], inputs[tests : tests + consts], inputs[tests + consts]
        carry = inputs[tests + consts + 1 :]
        new = replay(body, [running, *body_consts, *carry])
        return [*replay(condition, [*test_consts, *new]), *new]

    step_types = [*condition.in_types[:tests], *body.in_types[1 : consts + 1], running_type, *carry_types]
    new_condition = trace(goes_on, [running_type, *carry_types], "vmap of a while loop")[0]
    new_body = trace(step, step_types, "vmap of a while loop")[0]
    return While(new_condition, new_body, 0, tests + consts, loop.progress)
