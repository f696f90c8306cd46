"""``call``: a nested jit. It stays a call, with a program of its own that is traced, transformed and lowered once.

    b, c = call[jaxpr={ lambda ; x y. ... }] a, d
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from functrans.errors import FunctransTypeError
from functrans.ir.program import Jaxpr, all_equations, live_equations
from functrans.ir.types import ArrayType
from functrans.trace.builder import bind_all
from functrans.trace.dependence import Dependence
from functrans.trace.primitive import Primitive, is_linear
from functrans.transform.jvp import jvp_jaxpr
from functrans.transform.linearize import linearize_jaxpr
from functrans.transform.transpose import transpose_jaxpr
from functrans.transform.vmap import vmap_jaxpr


class Call(Primitive):
    """Apply ``jaxpr``; the name is for people."""

    jaxpr: Jaxpr
    name_: str = "f"
    multiple = True
    holds_jaxprs = True
    name = "jit"

    def infer(self, *types: ArrayType) -> Any:
        for i, (given, wanted) in enumerate(zip(types, self.jaxpr.in_types, strict=True)):
            if given.shape != wanted.shape or given.dtype != wanted.dtype:
                raise FunctransTypeError(
                    f"call of {self.name_}: operand {i} has type {given}, the program takes {wanted}"
                )
        return list(self.jaxpr.out_types)

    def impl(self, *arrays: Any) -> Any:
        return evaluate(self.jaxpr, arrays)

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        program, has = jvp_jaxpr(self.jaxpr, [t is not None for t in tangents])
        results = bind_all(Call(program, self.name_), [*primals, *[t for t in tangents if t is not None]])
        count = len(self.jaxpr.outputs)
        slopes = iter(results[count:])
        return results[:count], [next(slopes) if h else None for h in has]

    def linearize(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
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

    def batch_named(
        self, size: int, operands: Sequence[Any], mapped: Sequence[bool], axis_name: Any
    ) -> tuple[Any, Sequence[bool]]:
        """vmap of the held program."""
        program, outs_mapped = vmap_jaxpr(self.jaxpr, size, mapped, False, axis_name)
        return bind_all(Call(program, self.name_), operands), outs_mapped

    def in_place(self, operands: Sequence[Any]) -> tuple[Jaxpr, Sequence[Any]]:
        return self.jaxpr, operands

    def lower(
        self, emitter: Any, operands: Sequence[str], in_types: Sequence[ArrayType], out_types: Sequence[ArrayType]
    ) -> Any:
        return emitter.call(self.jaxpr, self.name_, operands)

    def reached(self, given: Sequence[bool], dependence: Dependence) -> Sequence[bool]:
        return dependence.outputs(self.jaxpr, given)

    def lifted(
        self, programs: Sequence[Jaxpr], operands: Sequence[Any], extra: Sequence[Sequence[Any]]
    ) -> tuple[Primitive, list[Any]] | None:
        return Call(programs[0], self.name_), [*operands, *extra[0]]

    def narrowed(self, used: tuple[bool, ...]) -> tuple[Primitive, Sequence[int], Sequence[int]] | None:
        jaxpr = self.jaxpr
        memo_key = ("narrowed", used)
        if memo_key not in jaxpr.memo:
            outputs = [a for a, u in zip(jaxpr.outputs, used, strict=True) if u]
            equations, live = live_equations(jaxpr.equations, outputs)
            places = [i for i, v in enumerate(jaxpr.inputs) if v in live]
            smaller = Jaxpr([jaxpr.inputs[i] for i in places], equations, outputs)
            same = all(used) and len(places) == len(jaxpr.inputs) and len(equations) == len(jaxpr.equations)
            jaxpr.memo[memo_key] = None if same else (smaller, places)
        found = jaxpr.memo[memo_key]
        if found is None:
            return None
        return Call(found[0], self.name_), found[1], [i for i, u in enumerate(used) if u]

    def axis_names(self) -> frozenset[Any]:
        return jaxpr_axis_names(self.jaxpr)


def jaxpr_axis_names(jaxpr: Jaxpr) -> frozenset[Any]:
    """Names of mapped axes that the program speaks of and does not bind."""
    known = jaxpr.memo.get("axis names")
    if known is None:
        known = jaxpr.memo["axis names"] = frozenset().union(*(eqn.op.axis_names() for eqn in all_equations(jaxpr)))
    return known


def evaluate(jaxpr: Jaxpr, arrays: Sequence[Any]) -> list[Any]:
    """The program evaluated by the operations' NumPy references."""
    values: dict[Any, Any] = dict(zip(jaxpr.inputs, arrays, strict=True))

    def read(a: Any) -> Any:
        return values[a] if a in values else a.type.dtype.type(a.value)

    for eqn in jaxpr.equations:
        outs = eqn.op.impl(*[read(a) for a in eqn.inputs])
        values.update(zip(eqn.outputs, outs if eqn.op.multiple else [outs], strict=True))
    return [read(a) for a in jaxpr.outputs]
