"""The loop with a known number of steps: ``scan``.

    carry, ys = scan[jaxpr={ lambda ; const carry x. let ... in (carry, y) }, length=n] const carry xs

The body's inputs are constants, carry and the slice of each ``xs``; its outputs are the next carry and a slice of each
``ys``. Reverse mode splits the body in two: a scan of the primal part, which stacks what the linear part needs and does
not have yet (constants stay constants, slices of ``xs`` stay ``xs``, what no step changes is computed once outside),
and a linear scan that carries tangents alone, whose transpose is a scan in the other direction.

A scalar given for an initial carry stands for an array filled with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from functrans.control.holding import (
    Holding,
    Push,
    check_operand,
    chosen,
    count,
    depends_on,
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
    strong_zeros,
    unchanged,
)
from functrans.control.index_sets import computed, equations_run, fixed_sets, row_of, started
from functrans.control.masking import masked
from functrans.control.residuals import fewer_residuals
from functrans.control.scan_lowering import lower_scan
from functrans.control.unrolling import written_out
from functrans.errors import MissingRuleError
from functrans.ir.program import Equation, Jaxpr, Var, live_equations
from functrans.ir.types import ArrayType, array_type
from functrans.ops.elementwise import add
from functrans.ops.structural import reduce_sum
from functrans.ops.structural import transpose as transpose_axes
from functrans.trace.binding import bind_all
from functrans.trace.dependence import VALUE, Dependence
from functrans.trace.detection import Detection, Entry
from functrans.trace.emitter import EmitterProtocol, Names, Types
from functrans.trace.primitive import Lanes, Primitive, Tangent, Value, is_linear, program_cost
from functrans.trace.replay import evaluate, replay, trace
from functrans.trace.state import surroundings
from functrans.trace.tracer import Tracer
from functrans.transform.linearize import LinearizedJaxpr, linearize_jaxpr
from functrans.transform.transpose import transpose_jaxpr
from functrans.transform.vmap import vmap_jaxpr

_FEW = 512  # equations of all steps, which are looked at one after the other without more ado


class Scan(Holding):
    """Operands ``(*consts, *carry, *xs)`` -> ``(*carry, *ys)``; step i reads ``xs[i]``; last first if ``reverse``.

    ``unroll`` steps are written into one turn of the compiled loop.
    """

    smooth = True
    jaxpr: Jaxpr
    length: int
    reverse: bool
    unroll: int
    num_consts: int
    num_carry: int
    progress: str = ""  # the label of a bar that shows how far it is

    def split(self, values: Sequence[Any]) -> tuple[list[Any], list[Any], list[Any]]:
        """Anything with an item for each operand: (for the consts, for the carry, for the xs)."""
        first, second = self.num_consts, self.num_consts + self.num_carry
        return list(values[:first]), list(values[first:second]), list(values[second:])

    def remade(self, jaxpr: Jaxpr, num_consts: int, num_carry: int, progress: str | None = None) -> Scan:
        """A scan of as many steps in the same order over another body."""
        label = self.progress if progress is None else progress
        return Scan(jaxpr, self.length, self.reverse, self.unroll, num_consts, num_carry, label)

    def stacked(self, type: ArrayType) -> ArrayType:
        """The type of all the slices of this type."""
        return array_type((self.length, *type.shape), type.dtype, type.weak_type)

    def infer(self, *types: ArrayType) -> Any:
        for what, given, wanted in zip(
            ("const", "initial carry", "xs"), self.split(types), self.split(self.jaxpr.in_types), strict=True
        ):
            for i, (a, b) in enumerate(zip(given, wanted, strict=True)):
                b = self.stacked(b) if what == "xs" else b
                check_operand("scan", f"{what} {i}", a, b, scalars=what == "initial carry")
        outs = self.jaxpr.out_types
        return [*outs[: self.num_carry], *[self.stacked(t) for t in outs[self.num_carry :]]]

    def literal_places(self, count: int) -> Sequence[int]:
        return self.split(range(count))[1]

    def fold(self, *operands: Any) -> Any:
        """A carry that no step changes is a constant, and a slice of ``xs`` handed on as ``ys`` is ``xs``."""
        jaxpr = self.jaxpr
        _, carries, xs_vars = self.split(jaxpr.inputs)
        carry_outs, y_outs = jaxpr.outputs[: self.num_carry], jaxpr.outputs[self.num_carry :]
        consts, init, xs = self.split(operands)
        same = [
            a is v and type(x) is Tracer and x.shape == v.type.shape
            for a, v, x in zip(carry_outs, carries, init, strict=True)
        ]
        handed = {v: x for v, x in zip(xs_vars, xs, strict=True) if type(x) is Tracer}
        forwarded = [type(a) is Var and a in handed for a in y_outs]
        if not any(same) and not any(forwarded):
            return None
        kept = [not s for s in same]
        first, second = self.num_consts, self.num_consts + self.num_carry
        places = range(first, second)
        moved = permuted(
            jaxpr,
            [*range(first), *chosen(places, same), *chosen(places, kept), *range(second, len(jaxpr.inputs))],
            [*chosen(range(self.num_carry), kept), *[self.num_carry + i for i, f in enumerate(forwarded) if not f]],
        )
        scan = self.remade(moved, first + count(same), count(kept))
        results = bind_all(scan, [*consts, *chosen(init, same), *chosen(init, kept), *xs])
        outs = placed(results[: count(kept)], kept)
        ys = placed(results[count(kept) :], [not f for f in forwarded])
        return [
            *[x if s else out for x, s, out in zip(init, same, outs, strict=True)],
            *[handed[a] if f else y for a, f, y in zip(y_outs, forwarded, ys, strict=True)],
        ]

    def impl(self, *arrays: Any) -> Any:
        consts, init, xs = self.split(arrays)
        _, carry_types, _ = self.split(self.jaxpr.in_types)
        carry = [np.broadcast_to(x, t.shape) for x, t in zip(init, carry_types, strict=True)]
        y_types = self.jaxpr.out_types[self.num_carry :]
        ys = [np.zeros((self.length, *t.shape), t.dtype) for t in y_types]
        for i in reversed(range(self.length)) if self.reverse else range(self.length):
            outs = evaluate(self.jaxpr, [*consts, *carry, *[np.asarray(x)[i] for x in xs]])
            carry = outs[: self.num_carry]
            for y, out in zip(ys, outs[self.num_carry :], strict=True):
                y[i] = out
        return [*carry, *ys]

    def runs(self, operands: Sequence[Any]) -> Any:
        consts, init, xs = self.split(operands)
        carry = [np.broadcast_to(x, t.shape) for x, t in zip(init, self.split(self.jaxpr.in_types)[1], strict=True)]
        rows = [np.asarray(x) for x in xs]
        for i in reversed(range(self.length)) if self.reverse else range(self.length):
            results = yield self.jaxpr, [*consts, *carry, *[row[i] for row in rows]]
            carry = results[: self.num_carry]

    # -- derivatives --------------------------------------------------------------------------------------------------

    def pushed(
        self, primals: Sequence[Value], extras: Sequence[Sequence[Tangent]], push: Push
    ) -> tuple[list[Any], list[tuple[Any, ...]]]:
        jaxpr, n = self.jaxpr, self.num_carry
        consts_e, init_e, xs_e = self.split(extras)
        lead, tail = rows_given(consts_e), rows_given(xs_e)
        carried = fixpoint_rows(rows_given(init_e), lambda c: push(jaxpr, [*lead, *c, *tail])[1][:n])
        given = [*lead, *carried, *tail]
        keep_ys = [(False,) * len(own) for own in given[:1]] * (len(jaxpr.outputs) - n)
        program, has = push(jaxpr, given, [*carried, *keep_ys])
        # (consts, carry, x, extras of each) -> (consts and extras, carry and extras, x and extras)
        at = range(len(jaxpr.inputs), len(program.inputs))
        own, more = self.split(range(len(jaxpr.inputs))), self.split(rows_placed(at, given))
        order = [i for places, rows in zip(own, more, strict=True) for i in [*places, *present(flat(rows))]]
        outs = range(len(jaxpr.outputs))
        out_rows = rows_placed(range(len(outs), len(program.outputs)), has)
        out_order = [*outs[:n], *present(flat(out_rows[:n])), *outs[n:], *present(flat(out_rows[n:]))]
        consts, init, xs = self.split(primals)
        _, carry_types, _ = self.split(jaxpr.in_types)
        started = flat(
            _started(own, flags, [t] * len(own)) for own, flags, t in zip(init_e, carried, carry_types, strict=True)
        )
        scan = self.remade(permuted(program, order, out_order), len(consts) + count(flat(lead)), n + len(started))
        given_consts, given_xs = present(flat(consts_e)), present(flat(xs_e))
        results = bind_all(scan, [*consts, *given_consts, *init, *started, *xs, *given_xs])
        by_slot: dict[int | None, Any] = {None: None, **dict(zip(out_order, results, strict=True))}
        return [by_slot[i] for i in outs], [tuple([by_slot[i] for i in own]) for own in out_rows]

    def linearize(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        jaxpr, n = self.jaxpr, self.num_carry
        consts_t, init_t, xs_t = self.split(tangents)
        lead, tail = is_given(consts_t), is_given(xs_t)
        carried = fixpoint(is_given(init_t), lambda c: linearize_jaxpr(jaxpr, [*lead, *c, *tail]).nonzero[:n])
        wrt = (*lead, *carried, *tail)
        plan = jaxpr.remember(
            ("scan split", self.num_consts, n, wrt, surroundings().rules),
            lambda: _split_body(self, linearize_jaxpr(jaxpr, wrt), carried, (count(lead), count(carried), count(tail))),
        )
        results = bind_all(self.remade(plan.primal, self.num_consts, n), primals)
        outs = results[: len(jaxpr.outputs)]
        _, carry_types, _ = self.split(jaxpr.in_types)
        hoisted = replay(plan.invariant, primals[: self.num_consts])
        values = [*primals, *results, *hoisted]
        residual_consts, residual_xs = ([values[i] for i in places] for places in (plan.consts, plan.xs))
        label = f"{self.progress} (backward)" if self.progress else ""
        linear = self.remade(plan.linear, len(residual_consts) + count(lead), count(carried), label)
        slopes = bind_all(
            linear,
            [
                *residual_consts,
                *present(consts_t),
                *_started(init_t, carried, carry_types),
                *residual_xs,
                *present(xs_t),
            ],
        )
        return outs, placed(slopes, [*carried, *plan.ys])

    def transpose(self, cotangent: Any, *operands: Any) -> Sequence[Any]:
        jaxpr, n = self.jaxpr, self.num_carry
        consts, init, xs = self.split(operands)
        consts_l, init_l, xs_l = self.split([is_linear(x) for x in operands])

        carry_l = fixpoint(init_l, lambda carry: VALUE.outputs(jaxpr, [*consts_l, *carry, *xs_l])[:n])
        linear = (*consts_l, *carry_l, *xs_l)
        fixed = [x for x in consts if not is_linear(x)]
        fixed_xs = [*self._nonlinear_carry(operands, linear), *[x for x in xs if not is_linear(x)]]
        ys_given = is_given(cotangent[n:])

        def sent_back(carry: tuple[bool, ...]) -> list[bool]:
            has = transpose_jaxpr(jaxpr, linear, [*carry, *ys_given])[1]
            return [bool(h) for h in self.split(placed(has, linear))[1]]

        given = [ct is not None and flag for ct, flag in zip(cotangent[:n], carry_l, strict=True)]
        carried = fixpoint(given, sent_back)
        program, has = transpose_jaxpr(jaxpr, linear, [*carried, *ys_given])
        consts_h, _, xs_h = self.split([bool(h) for h in placed(has, linear)])
        body, _ = jaxpr.remember(
            ("scan transpose", self.num_consts, n, linear, carried, tuple(ys_given)),
            lambda: _transposed_body(self, program, has, linear, carried, ys_given),
        )
        num_carry = count(consts_h) + count(carried)
        scan = Scan(body, self.length, not self.reverse, self.unroll, len(fixed), num_carry, self.progress)
        consts_types, carry_types, _ = self.split(jaxpr.in_types)
        results = bind_all(
            scan,
            [
                *fixed,
                *[strong_zero(t) for t in chosen(consts_types, consts_h)],
                *_started(
                    [ct if g else None for ct, g in zip(cotangent[:n], given, strict=True)], carried, carry_types
                ),
                *fixed_xs,
                *present(cotangent[n:]),
            ],
        )
        init_ct = placed(results[count(consts_h) : count(consts_h) + count(carried)], carried)
        return [
            *placed(results[: count(consts_h)], consts_h),
            *[_as_given(ct, x) if flag else None for ct, x, flag in zip(init_ct, init, init_l, strict=True)],
            *placed(results[count(consts_h) + count(carried) :], xs_h),
        ]

    def _nonlinear_carry(self, operands: Sequence[Any], linear: Sequence[bool]) -> list[Any]:
        """The values, stacked, of the carries that do not depend on a linear operand."""
        free = [not flag for flag in linear]
        consts_f, carry_f, _ = self.split(free)
        if not any(carry_f):
            return []
        jaxpr, n = self.jaxpr, self.num_carry
        inputs = chosen(jaxpr.inputs, free)
        outputs = [*chosen(jaxpr.outputs[:n], carry_f), *chosen(self.split(jaxpr.inputs)[1], carry_f)]
        body = Jaxpr(inputs, live_equations(jaxpr.equations, outputs, keep_effects=False)[0], outputs)
        scan = self.remade(body, count(consts_f), count(carry_f), "")
        return bind_all(scan, chosen(operands, free))[count(carry_f) :]

    def sparsity(self, detection: Detection, operands: Sequence[Entry], types: Sequence[ArrayType]) -> Any:
        """Step after step; all at once in lanes where the steps are too many, or do not hang together and not few."""
        consts, init, xs = self.split(operands)
        carry = [started(x, t) for x, t in zip(init, self.split(self.jaxpr.in_types)[1], strict=True)]
        equations = self.length * equations_run(self.jaxpr)
        apart = equations > _FEW and self._steps_are_apart(detection, consts, carry, xs)
        affordable = detection.affords(equations)
        if apart or not affordable:
            found = self._in_lanes(detection, consts, carry, xs)
            if not apart:
                detection.assume(self)
            if found is not None or not affordable:
                return found or detection.everything(self, operands, types)
        rows = []
        for i in reversed(range(self.length)) if self.reverse else range(self.length):
            outs = detection.step(self.jaxpr, [*consts, *carry, *[row_of(detection, x, i) for x in xs]])
            carry = computed(outs[: self.num_carry])
            rows.append([x.sets for x in outs[self.num_carry :]])
        if self.reverse:
            rows.reverse()
        shapes = [t.shape for t in self.jaxpr.out_types[self.num_carry :]]
        ys = [detection.stacked([own[k] for own in rows], shape) for k, shape in enumerate(shapes)]
        return [*[x.sets for x in carry], *ys]

    def _in_lanes(
        self, detection: Detection, consts: Sequence[Entry], carry: Sequence[Entry], xs: Sequence[Entry]
    ) -> list[Any] | None:
        """What any number of steps may give; None where an operation has no rule for lanes."""
        jaxpr, n = self.jaxpr, self.num_carry
        whole = self._whole(detection, xs)
        carry = fixed_sets(detection, carry, lambda now: detection.program(jaxpr, [*consts, *now, *whole])[:n])
        lanes = [Entry(x.type, x.sets) for x in carry]
        mapped = [*[False] * (len(consts) + n), *[True] * len(xs)]
        try:
            outs = detection.lanes(jaxpr, self.length, [*consts, *lanes, *xs], mapped)
        except MissingRuleError:
            return None
        return [*[x.sets for x in carry], *[x.sets for x in outs[n:]]]

    def _steps_are_apart(
        self, detection: Detection, consts: Sequence[Entry], carry: Sequence[Entry], xs: Sequence[Entry]
    ) -> bool:
        """Whether the carry says nothing that is not the same at every step."""
        if not xs or not self.length:
            return not carry
        first = detection.program(self.jaxpr, [*consts, *carry, *[row_of(detection, x, 0) for x in xs]])
        if any(x.value() is not None for x in first[: self.num_carry]):
            return False
        unknown = [Entry(x.type, x.sets) for x in carry]
        after = detection.program(self.jaxpr, [*consts, *unknown, *self._whole(detection, xs)])
        return all(detection.same(x.sets, detection.union(x.sets, y.sets)) for x, y in zip(carry, after, strict=False))

    def _whole(self, detection: Detection, xs: Sequence[Entry]) -> list[Entry]:
        """A row that stands for all."""
        _, _, slices = self.split(self.jaxpr.in_types)
        return [Entry(t, detection.reduced(x.sets, (0,))) for x, t in zip(xs, slices, strict=True)]

    def turns(self) -> int:
        return self.length

    def reached(self, given: Sequence[bool], dependence: Dependence) -> Sequence[bool]:
        consts, init, xs = self.split(given)
        carried = fixpoint(init, lambda c: dependence.outputs(self.jaxpr, [*consts, *c, *xs])[: self.num_carry])
        return [*carried, *dependence.outputs(self.jaxpr, [*consts, *carried, *xs])[self.num_carry :]]

    # -- vmap ---------------------------------------------------------------------------------------------------------

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Sequence[bool]]:
        jaxpr, n = self.jaxpr, self.num_carry
        consts_m, init_m, xs_m = self.split(mapped)

        def outputs_mapped(carry: Sequence[bool]) -> tuple[bool, ...]:
            return vmap_jaxpr(jaxpr, lanes, [*consts_m, *carry, *xs_m], False)[1]

        carry_m = fixpoint(init_m, lambda c: outputs_mapped(c)[:n])
        outs_m = [*carry_m, *outputs_mapped(carry_m)[n:]]
        program, _ = vmap_jaxpr(jaxpr, lanes, [*consts_m, *carry_m, *xs_m], outs_m)
        consts, init, xs = self.split(operands)
        init = [
            initial_lanes(x, t, lanes.size, given) if m else x
            for x, t, m, given in zip(init, self.split(jaxpr.in_types)[1], carry_m, init_m, strict=True)
        ]
        xs = [_swap_leading(x) if m else x for x, m in zip(xs, xs_m, strict=True)]
        results = bind_all(self.remade(program, self.num_consts, n), [*consts, *init, *xs])
        ys = [_swap_leading(y) if m else y for y, m in zip(results[n:], outs_m[n:], strict=True)]
        return [*results[:n], *ys], outs_m

    def run_where(self, mask: Any, operands: Sequence[Any]) -> list[Any]:
        program = masked(self.jaxpr, (None,) * len(self.jaxpr.outputs))
        return bind_all(self.remade(program, self.num_consts + 1, self.num_carry), [mask, *operands])

    def cut(self, eqn: Equation, divided: Callable[[Jaxpr], Any]) -> tuple[Equation, Equation, list[Var]] | None:
        """What is stored is stacked, a slice for each step."""
        body = divided(self.jaxpr)
        label = f"{self.progress} (again)" if self.progress else ""
        if not body.num_stored and not self.effects and not label:
            return None
        stored = [Var(-1, self.stacked(t)) for t in body.storing.out_types[len(self.jaxpr.outputs) :]]
        first = self.remade(body.storing, self.num_consts, self.num_carry)
        inputs, n = body.recomputing.inputs, body.num_stored
        reading = Jaxpr([*inputs[n:], *inputs[:n]], body.recomputing.equations, body.recomputing.outputs)
        second = self.remade(reading, self.num_consts, self.num_carry, label)
        return (
            Equation(first, eqn.inputs, (*eqn.outputs, *stored), eqn.where),
            Equation(second, (*eqn.inputs, *stored), eqn.outputs, eqn.where),
            stored,
        )

    # -- lowering and clean-up ----------------------------------------------------------------------------------------

    def cost(self, in_types: Sequence[ArrayType], out_types: Sequence[ArrayType]) -> int:
        return self.length * program_cost(self.jaxpr)

    def repeated(self) -> Jaxpr:
        return self.jaxpr

    @property
    def is_unrolled(self) -> bool:  # type: ignore[override]
        """Whether its steps are written out; those with a bar are counted by the loop."""
        return self.unroll > 1 and self.length > 0 and not self.progress

    def in_place(self, operands: Sequence[Any]) -> tuple[Jaxpr, Sequence[Any]] | None:
        return (written_out(self, [x.type for x in operands]), operands) if self.is_unrolled else None

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        if self.is_unrolled:
            return emitter.inline(written_out(self, in_types), operands)
        return lower_scan(self, emitter, operands, in_types, out_types)

    def number_shape(self, place: int, results: Sequence[ArrayType]) -> tuple[int, ...]:
        return self.jaxpr.in_types[place].shape if place < self.num_consts + self.num_carry else ()

    def lifted(
        self, programs: Sequence[Jaxpr], operands: Sequence[Any], extra: Sequence[Sequence[Any]]
    ) -> tuple[Primitive, list[Any]] | None:
        (program,), (more,) = programs, extra
        consts, carry, xs = self.split(range(len(operands)))
        order = [*consts, *range(len(operands), len(program.inputs)), *carry, *xs]
        moved = permuted(program, order, range(len(program.outputs)))
        first = len(consts)
        op = self.remade(moved, first + len(more), self.num_carry)
        return op, [*operands[:first], *more, *operands[first:]]

    def drop_unused(self, used: Sequence[bool]) -> tuple[Primitive, list[int], list[int]] | None:
        jaxpr, n = self.jaxpr, self.num_carry
        carries = self.split(jaxpr.inputs)[1]
        y_outs = chosen(jaxpr.outputs[n:], used[n:])

        def read(kept: tuple[bool, ...]) -> list[bool]:
            _, live = live_equations(jaxpr.equations, [*chosen(jaxpr.outputs[:n], kept), *y_outs])
            return [v in live for v in carries]

        kept = fixpoint(used[:n], read)
        outputs = [*chosen(jaxpr.outputs[:n], kept), *y_outs]
        equations, live = live_equations(jaxpr.equations, outputs)
        consts_k, _, xs_k = self.split([v in live for v in jaxpr.inputs])
        inputs_kept = [*consts_k, *kept, *xs_k]
        if all(inputs_kept) and len(outputs) == len(jaxpr.outputs) and unchanged(equations, jaxpr):
            return None
        body = Jaxpr(chosen(jaxpr.inputs, inputs_kept), equations, outputs)
        places = chosen(range(len(jaxpr.inputs)), inputs_kept)
        return self.remade(body, count(consts_k), count(kept)), places, chosen(range(len(used)), [*kept, *used[n:]])


def _started(initial: Sequence[Any], carried: Sequence[bool], types: Sequence[ArrayType]) -> list[Any]:
    """Initial (co)tangents of what is carried, zero where there is none."""
    return [strong_zero(t) if x is None else x for x, flag, t in zip(initial, carried, types, strict=True) if flag]


def _as_given(cotangent: Any, x: Any) -> Any:
    """The cotangent of an initial carry, which may be a scalar that stands for an array."""
    if cotangent is None or cotangent.shape == x.shape:
        return cotangent
    return reduce_sum(cotangent, range(cotangent.ndim))


def _swap_leading(x: Any) -> Any:
    """[size, length, ...] <-> [length, size, ...]"""
    return transpose_axes(x, (1, 0, *range(2, x.ndim)))


class _Split(NamedTuple):
    """A body split for reverse mode.

    ``primal``: the body with the stacked residuals as further ``ys``; ``invariant``: consts -> residuals that no step
    changes; ``linear``: (residual consts, tangents of consts; tangents of the carry; residual xs, tangents of xs) ->
    (tangents of the carry, tangents of the ``ys`` flagged). ``consts`` and ``xs`` are the places of the residuals among
    the operands, the results of the primal scan and the results of ``invariant``.
    """

    primal: Jaxpr
    invariant: Jaxpr
    linear: Jaxpr
    consts: tuple[int, ...]
    xs: tuple[int, ...]
    ys: tuple[bool, ...]


def _split_body(scan: Scan, part: LinearizedJaxpr, carried: Sequence[bool], counts: tuple[int, int, int]) -> _Split:
    """Place each residual of the body; ``counts``: nonzero tangents among consts, carry and xs."""
    consts, carry, xs = scan.split(part.primal.inputs)
    part = fewer_residuals(part, [*consts, *xs], [*carry, *xs], scan.num_carry)
    primal, n, num_inputs = part.primal, scan.num_carry, len(part.primal.inputs)
    const_vars, carry_vars, xs_vars = scan.split(primal.inputs)
    place = {v: i for i, v in enumerate(primal.inputs)}
    first_xs = len(const_vars) + len(carry_vars)
    atoms: list[Any] = [*primal.inputs, *primal.outputs]
    made_by_effects = [v for eqn in primal.equations if eqn.op.effects for v in eqn.outputs]
    varying = depends_on(primal, [*carry_vars, *xs_vars, *made_by_effects])
    results: list[Any] = list(primal.outputs[: part.num_outputs])  # of the primal scan's body, stacked residuals behind
    stacked = {id(results[i]): i for i in reversed(range(n, len(results)))}
    invariant: list[Any] = []
    by_const: list[tuple[int, int]] = []  # (which residual, its place)
    by_xs: list[tuple[int, int]] = []
    hoisted: list[tuple[int, int]] = []
    for k, source in enumerate(part.sources):
        var = atoms[source]
        number = place.get(var, num_inputs)
        if number < len(const_vars):
            by_const.append((k, source))
        elif first_xs <= number < num_inputs:
            by_xs.append((k, number))
        elif var not in varying:
            hoisted.append((k, len(invariant)))
            invariant.append(var)
        else:
            if id(var) not in stacked:
                stacked[id(var)] = len(results)
                results.append(var)
            by_xs.append((k, num_inputs + stacked[id(var)]))
    total = num_inputs + len(results)
    by_const += [(k, total + i) for k, i in hoisted]
    num_residuals = len(part.sources)
    tangents = iter(range(num_residuals, len(part.linear.inputs)))
    consts_t, carry_t, xs_t = ([next(tangents) for _ in range(c)] for c in counts)
    order = [*[k for k, _ in by_const], *consts_t, *carry_t, *[k for k, _ in by_xs], *xs_t]
    ys = tuple(part.nonzero[n:])
    return _Split(
        Jaxpr(primal.inputs, live_equations(primal.equations, results)[0], results),
        Jaxpr(const_vars, live_equations(primal.equations, invariant, keep_effects=False)[0], invariant),
        _carrying(part, order, carried, scan.split(primal.in_types)[1]),
        tuple([p for _, p in by_const]),
        tuple([p for _, p in by_xs]),
        ys,
    )


def _carrying(
    part: LinearizedJaxpr, order: Sequence[int], carried: Sequence[bool], types: Sequence[ArrayType]
) -> Jaxpr:
    """The linear program with its inputs in this order and a tangent for everything carried."""
    linear, n = part.linear, len(carried)
    if list(part.nonzero[:n]) == list(carried):
        return permuted(linear, order, range(len(linear.outputs)))

    def function(*inputs: Any) -> list[Any]:
        by_place = dict(zip(order, inputs, strict=True))
        slopes = placed(replay(linear, [by_place[i] for i in range(len(inputs))]), part.nonzero)
        carry = [
            strong_zeros(t) if x is None else x for x, flag, t in zip(slopes[:n], carried, types, strict=True) if flag
        ]
        return [*carry, *present(slopes[n:])]

    return trace(function, [linear.in_types[i] for i in order], "linearize of a loop body")[0]


def _transposed_body(
    scan: Scan, program: Jaxpr, has: Sequence[bool], linear: Sequence[bool], carried: Sequence[bool], ys: Sequence[bool]
) -> tuple[Jaxpr, None]:
    """(nonlinear consts; sums for consts, cotangents of the carry; nonlinear carry and xs, cotangents of ys) ->
    (sums, cotangents of the carry, cotangents of xs)."""
    jaxpr, n = scan.jaxpr, scan.num_carry
    types = jaxpr.in_types
    fixed_types = [
        chosen(t, [not flag for flag in which]) for t, which in zip(scan.split(types), scan.split(linear), strict=True)
    ]
    consts_h, _, xs_h = scan.split([bool(h) for h in placed(has, linear)])
    sum_types = [t.strong() for t in chosen(scan.split(types)[0], consts_h)]
    carry_types = chosen(jaxpr.out_types[:n], carried)
    layout = [
        fixed_types[0],
        sum_types,
        carry_types,
        [*fixed_types[1], *fixed_types[2]],
        chosen(jaxpr.out_types[n:], ys),
    ]

    def function(*inputs: Any) -> list[Any]:
        rest = iter(inputs)
        fixed, sums, carry, fixed_xs, y_cts = ([next(rest) for _ in group] for group in layout)
        sent = placed(placed(replay(program, [*fixed, *fixed_xs, *carry, *y_cts]), has), linear)
        consts_ct, carry_ct, xs_ct = scan.split(sent)
        all_carry = [strong_zeros(t) if x is None else x for x, t in zip(carry_ct, scan.split(types)[1], strict=True)]
        return [
            *[add(total, x) for total, x in zip(sums, chosen(consts_ct, consts_h), strict=True)],
            *chosen(all_carry, carried),
            *chosen(xs_ct, xs_h),
        ]

    return trace(function, [t for group in layout for t in group], "transpose of a loop body")[0], None
