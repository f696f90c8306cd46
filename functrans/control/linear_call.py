"""``linear_call``: a linear function with a transpose of the user's own.

b = linear_call[jaxpr=f, transposed=t] consts of f, consts of t, residuals, a        transposes to

a = linear_call[jaxpr=t, transposed=f] consts of t, consts of f, residuals, b
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from functrans.control.call import InPlace
from functrans.control.masking import under_mask
from functrans.control.rules import Rule, are_passing, batched_rule, mapped_rule, resolve, rule_under_mask
from functrans.errors import NotLinearError
from functrans.ir.program import Jaxpr
from functrans.ir.types import ArrayType
from functrans.ops.elementwise import add
from functrans.ops.structural import spread, zeros
from functrans.trace.binding import bind_all
from functrans.trace.primitive import Lanes, Tangent, Value, is_linear
from functrans.trace.replay import evaluate
from functrans.trace.state import operation_place
from functrans.transform.jvp import How, differentiate


class LinearCall(InPlace):
    """Operands: consts of ``jaxpr``, consts of ``transposed``, residuals, linear operands.

    ``jaxpr``: (consts, residuals, a) -> b, linear in a; ``transposed``: (consts, residuals, b) -> a.
    """

    told_its_derivative = True
    jaxpr: Jaxpr
    transposed: Rule
    counts: tuple[int, int, int]  # consts of jaxpr, consts of transposed, residuals
    name_: str

    @property
    def passing(self) -> bool:  # type: ignore[override]
        """Where its transpose is, or an operation of a held program."""
        return are_passing(self.jaxpr, self.transposed)

    def split(self, values: Sequence[Any]) -> tuple[list[Any], list[Any], list[Any], list[Any]]:
        """consts, consts of the transpose, residuals, linear operands."""
        a = self.counts[0]
        b = a + self.counts[1]
        c = b + self.counts[2]
        return list(values[:a]), list(values[a:b]), list(values[b:c]), list(values[c:])

    def program_operands(self, operands: Sequence[Any]) -> list[Any]:
        consts, _, residuals, linear = self.split(operands)
        return [*consts, *residuals, *linear]

    def infer(self, *types: ArrayType) -> Any:
        return list(self.jaxpr.out_types)

    def impl(self, *arrays: Any) -> Any:
        return evaluate(self.jaxpr, self.program_operands(arrays))

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        return self._differentiated(primals, tangents, "jvp")

    def linearize(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        return self._differentiated(primals, tangents, "linearize")

    def _differentiated(self, primals: Sequence[Value], tangents: Sequence[Tangent], how: How) -> tuple[Any, Any]:
        outs = bind_all(self, primals)
        consts_t, _, residuals_t, linear_t = self.split(tangents)
        slopes: list[Any] = [None] * len(outs)
        linear = self.split(primals)[3]
        if any(t is not None for t in linear_t):
            given = [zeros(x.type.shape, x.type) if t is None else t for t, x in zip(linear_t, linear, strict=True)]
            slopes = bind_all(self, [*primals[: len(primals) - len(linear)], *given])
        if any(t is not None for t in [*consts_t, *residuals_t]):
            none = [None] * len(linear)
            _, more = differentiate(self.jaxpr, self.program_operands(primals), [*consts_t, *residuals_t, *none], how)
            slopes = [b if a is None else a if b is None else add(a, b) for a, b in zip(slopes, more, strict=True)]
        return outs, slopes

    def transpose(self, cotangent: Any, *operands: Any) -> Sequence[Any]:
        consts, other, residuals, linear = self.split(operands)
        fixed = [*consts, *other, *residuals]
        if any(is_linear(x) for x in fixed):
            raise NotLinearError(
                f"linear_call of {self.name_} at {operation_place()} stands in a program that has to be "
                "linear, and a residual or a value closed over depends on the linear input"
            )
        program, other = resolve(self.transposed, other)
        types = self.jaxpr.out_types
        given = [zeros(t.shape, t) if ct is None else ct for ct, t in zip(cotangent, types, strict=True)]
        op = LinearCall(program, self.jaxpr, (len(other), len(consts), len(residuals)), self.name_)
        sent = bind_all(op, [*other, *consts, *residuals, *given])
        return [*[None] * len(fixed), *[ct if is_linear(x) else None for ct, x in zip(sent, linear, strict=True)]]

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Sequence[bool]]:
        """vmap of both programs; every residual, linear operand and result mapped."""
        consts, other, residuals, linear = self.split(operands)
        consts_m, other_m, residuals_m, linear_m = self.split(mapped)
        behind = [
            x if m else spread(x, lanes.size)
            for x, m in zip([*residuals, *linear], [*residuals_m, *linear_m], strict=True)
        ]
        program, consts = batched_rule(self.jaxpr, consts, lanes, consts_m, len(behind))
        transposed, other = mapped_rule(self.transposed, other, lanes, other_m)
        op = LinearCall(program, transposed, (len(consts), len(other), len(residuals)), self.name_)
        outs = bind_all(op, [*consts, *other, *behind])
        return outs, [True] * len(outs)

    def run_where(self, mask: Any, operands: Sequence[Any]) -> list[Any]:
        consts, other, residuals, linear = self.split(operands)
        a, b, c = self.counts
        op = LinearCall(under_mask(self.jaxpr), rule_under_mask(self.transposed), (a + 1, b + 1, c), self.name_)
        return bind_all(op, [mask, *consts, mask, *other, *residuals, *linear])

    def in_place(self, operands: Sequence[Any]) -> tuple[Jaxpr, Sequence[Any]]:
        return self.jaxpr, self.program_operands(operands)
