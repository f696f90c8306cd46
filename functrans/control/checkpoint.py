"""``checkpoint``: a program whose intermediate values are computed again in the backward pass instead of stored.

    b = remat2[jaxpr={ lambda ; x. ... } policy=None] a

Linearization emits the program as it is, with what the policy stores as further results, and a linear operation whose
program computes the residuals again from the inputs and what was stored. The transpose of that operation computes them
ahead of its backward pass: behind an optimization barrier that the cotangents go through too, so that the compiler can
neither merge the computation with the first one nor begin it before the cotangents are there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from functrans.control.checkpoint_policies import Policy, nothing_saveable
from functrans.control.holding import (
    Holding,
    Push,
    check_operand,
    chosen,
    count,
    flat,
    is_given,
    placed,
    present,
    rows_given,
    rows_placed,
    unchanged,
)
from functrans.control.masking import masked
from functrans.control.saving import cut, inlined
from functrans.ir.program import Jaxpr, live_equations
from functrans.ir.types import ArrayType
from functrans.ops.constants import trace_closed
from functrans.trace.binding import bind_all
from functrans.trace.dependence import Dependence
from functrans.trace.detection import Detection, Entry
from functrans.trace.effects import without_effects
from functrans.trace.emitter import EmitterProtocol, Names, Types
from functrans.trace.primitive import Lanes, Primitive, Tangent, Value, is_linear
from functrans.trace.replay import evaluate, replay
from functrans.trace.state import surroundings
from functrans.transform.linearize import linearize_jaxpr
from functrans.transform.transpose import transpose_jaxpr
from functrans.transform.vmap import vmap_jaxpr


class Checkpoint(Holding):
    """Operands -> the results of ``jaxpr``.

    ``policy``: what to store (None: nothing). ``prevent_cse``: whether a barrier keeps the compiler from merging the
    second computation with the first, or a flag for each operand. ``differentiated``: this is the second computation.
    """

    smooth = True
    jaxpr: Jaxpr
    policy: Policy | None
    prevent_cse: bool | tuple[bool, ...]
    differentiated: bool
    name = "remat2"

    def infer(self, *types: ArrayType) -> Any:
        for i, (given, wanted) in enumerate(zip(types, self.jaxpr.in_types, strict=True)):
            check_operand("checkpoint", f"operand {i}", given, wanted)
        return list(self.jaxpr.out_types)

    def impl(self, *arrays: Any) -> Any:
        return evaluate(self.jaxpr, arrays)

    def sparsity(self, detection: Detection, operands: Sequence[Entry], types: Sequence[ArrayType]) -> Any:
        return [x.sets for x in detection.program(self.jaxpr, operands)]

    @property
    def barred(self) -> tuple[bool, ...]:
        """For each operand, whether it goes through the barrier."""
        if isinstance(self.prevent_cse, bool):
            return (self.prevent_cse,) * len(self.jaxpr.inputs)
        return self.prevent_cse

    def remade(self, jaxpr: Jaxpr, barred: Sequence[bool], differentiated: bool | None = None) -> Checkpoint:
        """A checkpoint of another program with the same policy."""
        cse: bool | tuple[bool, ...] = tuple(barred)
        if isinstance(self.prevent_cse, bool):
            cse = self.prevent_cse
        return Checkpoint(jaxpr, self.policy, cse, self.differentiated if differentiated is None else differentiated)

    # -- derivatives --------------------------------------------------------------------------------------------------

    def pushed(
        self, primals: Sequence[Value], extras: Sequence[Sequence[Tangent]], push: Push
    ) -> tuple[list[Any], list[tuple[Any, ...]]]:
        given = rows_given(extras)
        program, has = push(self.jaxpr, given)
        more = [b for b, own in zip(self.barred, given, strict=True) for flag in own if flag]
        results = bind_all(self.remade(program, [*self.barred, *more]), [*primals, *present(flat(extras))])
        n = len(has)
        return results[:n], rows_placed(results[n:], has)

    def linearize(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        wrt = tuple(is_given(tangents))
        parts = self.jaxpr.remember(
            ("checkpoint", self.policy, wrt, surroundings().rules),
            lambda: _split(self.jaxpr, wrt, self.policy or nothing_saveable),
        )
        results = bind_all(self.remade(parts.storing, self.barred), primals)
        outs, stored = results[: parts.num_outputs], results[parts.num_outputs :]
        barred = [*[True] * len(stored), *chosen(self.barred, parts.needed), *[True] * count(wrt)]
        linear = self.remade(parts.linear, barred, True)
        slopes = bind_all(linear, [*stored, *chosen(primals, parts.needed), *present(tangents)])
        return outs, placed(slopes, parts.nonzero)

    def transpose(self, cotangent: Any, *operands: Any) -> Sequence[Any]:
        linear = [is_linear(x) for x in operands]
        program, has = transpose_jaxpr(self.jaxpr, linear, is_given(cotangent))
        fixed = [not flag for flag in linear]
        sent = present(cotangent)
        op = self.remade(program, [*chosen(self.barred, fixed), *[True] * len(sent)], True)
        return placed(placed(bind_all(op, [*chosen(operands, fixed), *sent]), has), linear)

    # -- vmap, lowering and clean-up ----------------------------------------------------------------------------------

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Sequence[bool]]:
        program, outs_mapped = vmap_jaxpr(self.jaxpr, lanes, mapped, False)
        return bind_all(self.remade(program, self.barred), operands), outs_mapped

    def run_where(self, mask: Any, operands: Sequence[Any]) -> list[Any]:
        program = masked(self.jaxpr, (None,) * len(self.jaxpr.outputs))
        return bind_all(self.remade(program, (True, *self.barred)), [mask, *operands])

    def in_place(self, operands: Sequence[Any]) -> tuple[Jaxpr, Sequence[Any]] | None:
        return None if self.differentiated and any(self.barred) else (self.jaxpr, operands)

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        if self.in_place(operands) is not None:
            return emitter.inline(self.jaxpr, operands)
        barred = self.barred
        passed = iter(emitter.barrier(chosen(operands, barred), chosen(self.jaxpr.in_types, barred)))
        return emitter.inline(self.jaxpr, [next(passed) if b else x for x, b in zip(operands, barred, strict=True)])

    def reached(self, given: Sequence[bool], dependence: Dependence) -> Sequence[bool]:
        return dependence.outputs(self.jaxpr, given)

    def lifted(
        self, programs: Sequence[Jaxpr], operands: Sequence[Any], extra: Sequence[Sequence[Any]]
    ) -> tuple[Primitive, list[Any]] | None:
        (program,), (more,) = programs, extra
        return self.remade(program, [*self.barred, *[False] * len(more)]), [*operands, *more]

    def drop_unused(self, used: Sequence[bool]) -> tuple[Primitive, list[int], list[int]] | None:
        jaxpr = self.jaxpr
        outputs = chosen(jaxpr.outputs, used)
        equations, live = live_equations(jaxpr.equations, outputs)
        kept = [v in live for v in jaxpr.inputs]
        if all(kept) and all(used) and unchanged(equations, jaxpr):
            return None
        op = self.remade(Jaxpr(chosen(jaxpr.inputs, kept), equations, outputs), chosen(self.barred, kept))
        return op, chosen(range(len(kept)), kept), chosen(range(len(used)), used)


class _Parts(NamedTuple):
    """``storing``: inputs -> (outputs, stored); ``linear``: (stored, needed inputs, tangents) -> nonzero tangents."""

    storing: Jaxpr
    linear: Jaxpr
    needed: tuple[bool, ...]
    nonzero: tuple[bool, ...]
    num_outputs: int


def _split(jaxpr: Jaxpr, wrt: tuple[bool, ...], policy: Policy) -> _Parts:
    part = linearize_jaxpr(inlined(jaxpr), wrt)
    storing, recomputing, num_stored = cut(part.primal, policy)
    recomputing = without_effects(recomputing)  # they happen once
    rest = num_stored + len(jaxpr.inputs)

    def tangents_from(*inputs: Any) -> list[Any]:
        outs = replay(recomputing, inputs[:rest])
        return replay(part.linear, [*part.residuals(inputs[num_stored:rest], outs), *inputs[rest:]])

    tangent_types = chosen(jaxpr.in_types, wrt)
    program = trace_closed(tangents_from, [*recomputing.in_types, *tangent_types], "a checkpoint's second pass")
    _, live = live_equations(program.equations, program.outputs)
    kept = [v in live for v in program.inputs]
    kept[rest:] = [True] * len(tangent_types)
    stored = storing.outputs[len(recomputing.outputs) :]
    outputs = [*storing.outputs[: part.num_outputs], *chosen(stored, kept[:num_stored])]
    return _Parts(
        Jaxpr(storing.inputs, live_equations(storing.equations, outputs)[0], outputs),
        Jaxpr(chosen(program.inputs, kept), program.equations, program.outputs),
        tuple(kept[num_stored:rest]),
        part.nonzero,
        part.num_outputs,
    )
