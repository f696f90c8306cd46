"""``call``: a nested jit. It stays a call, with a program of its own that is traced, transformed and lowered once.

    b, c = call[jaxpr={ lambda ; x y. ... }] a, d
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from functrans.control.holding import Holding, Push, chosen, flat, present, program_as_run, rows_given, rows_placed
from functrans.control.masking import under_mask
from functrans.errors import FunctransTypeError
from functrans.ir.program import Jaxpr, live_equations
from functrans.ir.types import ArrayType
from functrans.trace.binding import bind_all
from functrans.trace.dependence import Dependence
from functrans.trace.emitter import EmitterProtocol, Names, Types
from functrans.trace.primitive import Lanes, Primitive, Tangent, Value, is_linear
from functrans.trace.replay import evaluate, replay
from functrans.trace.series import Line
from functrans.transform.linearize import linearize_jaxpr
from functrans.transform.transpose import transpose_jaxpr
from functrans.transform.vmap import vmap_jaxpr


class Call(Holding):
    """Apply ``jaxpr``; the name is for people."""

    smooth = True
    jaxpr: Jaxpr
    name_: str = "f"
    name = "jit"
    transparent = True
    passing = False  # its program is remembered by the jitted function, and comes again

    def infer(self, *types: ArrayType) -> Any:
        for i, (given, wanted) in enumerate(zip(types, self.jaxpr.in_types, strict=True)):
            if given.shape != wanted.shape or given.dtype != wanted.dtype:
                raise FunctransTypeError(
                    f"call of {self.name_}: operand {i} has type {given}, the program takes {wanted}"
                )
        return list(self.jaxpr.out_types)

    def impl(self, *arrays: Any) -> Any:
        return evaluate(self.jaxpr, arrays)

    def pushed(
        self, primals: Sequence[Value], extras: Sequence[Sequence[Tangent]], push: Push
    ) -> tuple[list[Any], list[tuple[Any, ...]]]:
        program, has = push(self.jaxpr, rows_given(extras))
        results = bind_all(Call(program, self.name_), [*primals, *present(flat(extras))])
        count = len(self.jaxpr.outputs)
        return results[:count], rows_placed(results[count:], has)

    def linearize(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        split = linearize_jaxpr(self.jaxpr, [t is not None for t in tangents])
        results = bind_all(Call(split.primal, self.name_), primals)
        residuals = split.residuals(primals, results)
        slopes = iter(bind_all(Call(split.linear, self.name_), [*residuals, *[t for t in tangents if t is not None]]))
        return results[: split.num_outputs], [next(slopes) if nz else None for nz in split.nonzero]

    def transpose(self, cotangent: Any, *operands: Any) -> Sequence[Any]:
        linear = [is_linear(x) for x in operands]
        program, has = transpose_jaxpr(self.jaxpr, linear, [ct is not None for ct in cotangent])
        given = [x for x in operands if not is_linear(x)] + [ct for ct in cotangent if ct is not None]
        results = iter(bind_all(Call(program, self.name_), given))
        wanted = iter(has)
        return [(next(results) if next(wanted) else None) if flag else None for flag in linear]

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Sequence[bool]]:
        """vmap of the held program."""
        program, outs_mapped = vmap_jaxpr(self.jaxpr, lanes, mapped, False)
        return bind_all(Call(program, self.name_), operands), outs_mapped

    def in_place(self, operands: Sequence[Any]) -> tuple[Jaxpr, Sequence[Any]]:
        return self.jaxpr, operands

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        return emitter.call(self.jaxpr, self.name_, operands)

    def reached(self, given: Sequence[bool], dependence: Dependence) -> Sequence[bool]:
        return dependence.outputs(self.jaxpr, given)

    def lifted(
        self, programs: Sequence[Jaxpr], operands: Sequence[Any], extra: Sequence[Sequence[Any]]
    ) -> tuple[Primitive, list[Any]] | None:
        return Call(programs[0], self.name_), [*operands, *extra[0]]

    def run_where(self, mask: Any, operands: Sequence[Any]) -> list[Any]:
        return replay(under_mask(self.jaxpr), [mask, *operands])

    def drop_unused(self, used: Sequence[bool]) -> tuple[Primitive, Sequence[int], Sequence[int]] | None:
        jaxpr = self.jaxpr
        outputs = chosen(jaxpr.outputs, used)
        equations, live = live_equations(jaxpr.equations, outputs)
        places = [i for i, v in enumerate(jaxpr.inputs) if v in live]
        if all(used) and len(places) == len(jaxpr.inputs) and len(equations) == len(jaxpr.equations):
            return None
        smaller = Jaxpr([jaxpr.inputs[i] for i in places], equations, outputs)
        return Call(smaller, self.name_), places, [i for i, u in enumerate(used) if u]


class InPlace(Holding):
    """An operation that runs as one program it holds (``in_place``); what else it holds says how it is transformed."""

    def taylor(self, line: Line, operands: Sequence[Any]) -> Any:
        return line.along(self, operands)

    def as_run(self, operands: Sequence[Any]) -> tuple[Primitive, Sequence[Any]]:
        jaxpr, given = self.in_place(operands)
        return Call(program_as_run(jaxpr), self.name), given

    def in_place(self, operands: Sequence[Any]) -> tuple[Jaxpr, Sequence[Any]]:
        self.missing("in_place", "execution on a device")

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        return emitter.inline(*self.in_place(operands))
