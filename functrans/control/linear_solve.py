"""``custom_linear_solve``: x with A x = b by a solver of the user's, differentiated implicitly.

    x = custom_linear_solve[matvec=..., vecmat=..., solve=..., transpose_solve=...] consts of each, b

    A x = b   =>   A dx = db - dA x          (tangents: the same solver on another right-hand side)
              =>   ct of b = A^-T ct of x    (cotangents: the solver of the transposed system)

The solvers are never differentiated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from functrans.control.call import InPlace
from functrans.control.holding import check_operand
from functrans.control.masking import under_mask
from functrans.errors import MissingRuleError, NotLinearError
from functrans.ir.program import Jaxpr, live_equations
from functrans.ir.types import ArrayType
from functrans.ops.elementwise import neg, sub
from functrans.ops.structural import spread, zeros
from functrans.trace.binding import bind_all
from functrans.trace.primitive import Lanes, Primitive, Tangent, Value, is_linear
from functrans.trace.replay import evaluate
from functrans.trace.state import operation_place
from functrans.transform.jvp import How, differentiate
from functrans.transform.vmap import vmap_jaxpr


class CustomLinearSolve(InPlace):
    """Operands ``(*consts of matvec, *of vecmat, *of solve, *of transpose_solve, *b)`` -> ``(*x, *aux)``.

    ``matvec``: (consts, x) -> A x; ``vecmat``: (consts, y) -> A^T y; ``solve``: (consts, b) -> (x, aux);
    ``transpose_solve``: (consts, b) -> (A^-T b, aux). Without a transposed solver the last two are None.
    """

    told_its_derivative = True
    matvec: Jaxpr
    vecmat: Jaxpr | None
    solve: Jaxpr
    transpose_solve: Jaxpr | None
    counts: tuple[int, int, int, int]

    def split(self, values: Sequence[Any]) -> tuple[list[list[Any]], list[Any]]:
        """Anything with an item for each operand: (for the consts of each program, for b)."""
        parts, place = [], 0
        for n in self.counts:
            parts.append(list(values[place : place + n]))
            place += n
        return parts, list(values[place:])

    @property
    def size(self) -> int:
        """How many leaves x and b have."""
        return len(self.matvec.outputs)

    def programs(self) -> list[Jaxpr | None]:
        return [self.matvec, self.vecmat, self.solve, self.transpose_solve]

    def without_aux(self) -> CustomLinearSolve:
        """The solve with x alone as result."""
        matvec, vecmat, solve, transpose_solve = self.programs()
        solve, transpose_solve = _first(solve, self.size), _first(transpose_solve, self.size)
        return CustomLinearSolve(matvec, vecmat, solve, transpose_solve, self.counts)  # type: ignore[arg-type]

    def infer(self, *types: ArrayType) -> Any:
        _, b = self.split(types)
        for i, (given, wanted) in enumerate(zip(b, self.solve.in_types[self.counts[2] :], strict=True)):
            check_operand("custom_linear_solve", f"leaf {i} of b", given, wanted)
        return list(self.solve.out_types)

    def impl(self, *arrays: Any) -> Any:
        consts, b = self.split(arrays)
        return evaluate(self.solve, [*consts[2], *b])

    # -- derivatives --------------------------------------------------------------------------------------------------

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        return self._differentiated(primals, tangents, "jvp")

    def linearize(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        return self._differentiated(primals, tangents, "linearize")

    def _differentiated(self, primals: Sequence[Value], tangents: Sequence[Tangent], how: How) -> tuple[Any, Any]:
        outs = bind_all(self, primals)
        x, aux = outs[: self.size], outs[self.size :]
        consts, _ = self.split(primals)
        consts_t, b_t = self.split(tangents)
        right = list(b_t)
        if any(t is not None for t in consts_t[0]):
            _, moved = differentiate(self.matvec, [*consts[0], *x], [*consts_t[0], *[None] * len(x)], how)
            right = [_difference(t, m) for t, m in zip(b_t, moved, strict=True)]
        if all(t is None for t in right):
            return outs, [None] * len(outs)
        types = self.matvec.out_types
        right = [zeros(t.shape, t) if r is None else r for r, t in zip(right, types, strict=True)]
        slopes = bind_all(self.without_aux(), [*[c for part in consts for c in part], *right])
        return outs, [*slopes, *[None] * len(aux)]

    def transpose(self, cotangent: Any, *operands: Any) -> Sequence[Any]:
        consts, b = self.split(operands)
        flat = [c for part in consts for c in part]
        if any(is_linear(c) for c in flat):
            raise NotLinearError(
                f"custom_linear_solve at {operation_place()} stands in a program that has to be linear, and "
                "its matrix depends on the linear input: the solution is linear in b alone"
            )
        if self.transpose_solve is None or self.vecmat is None:
            raise MissingRuleError(
                f"reverse mode (grad, vjp, jacrev) through the custom_linear_solve at {operation_place()}\n"
                "solves the transposed system, and no solver for it was given. Pass transpose_solve=, or "
                "symmetric=True where the matrix equals its transpose. Forward mode (jvp, jacfwd) works."
            )
        if any(ct is not None for ct in cotangent[self.size :]):
            raise NotLinearError(
                f"the auxiliary results of the custom_linear_solve at {operation_place()} have no derivative"
            )
        types = self.matvec.out_types
        given = [zeros(t.shape, t) if ct is None else ct for ct, t in zip(cotangent[: self.size], types, strict=True)]
        matvec, vecmat, solve, transpose_solve = consts
        other = CustomLinearSolve(
            self.vecmat,
            self.matvec,
            self.transpose_solve,
            self.solve,
            (self.counts[1], self.counts[0], self.counts[3], self.counts[2]),
        )
        sent = bind_all(other.without_aux(), [*vecmat, *matvec, *transpose_solve, *solve, *given])
        return [*[None] * len(flat), *[ct if is_linear(x) else None for ct, x in zip(sent, b, strict=True)]]

    # -- vmap, lowering ----------------------------------------------------------------------------------------------

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Sequence[bool]]:
        """vmap of each program over its mapped consts; every leaf of x, b and aux mapped."""
        consts_m, b_m = self.split(mapped)
        programs = [
            None if p is None else vmap_jaxpr(p, lanes, [*m, *[True] * len(b_m)], True)[0]
            for p, m in zip(self.programs(), consts_m, strict=True)
        ]
        consts, b = self.split(operands)
        b = [x if m else spread(x, lanes.size) for x, m in zip(b, b_m, strict=True)]
        op = CustomLinearSolve(*programs, self.counts)  # type: ignore[arg-type, call-arg]
        outs = bind_all(op, [*[c for part in consts for c in part], *b])
        return outs, [True] * len(outs)

    def run_where(self, mask: Any, operands: Sequence[Any]) -> list[Any]:
        consts, b = self.split(operands)
        programs = (self.matvec, self.vecmat, self.solve, self.transpose_solve)
        masked = [None if program is None else under_mask(program) for program in programs]
        counts = tuple([n + (program is not None) for n, program in zip(self.counts, programs, strict=True)])
        given = [
            x
            for part, program in zip(consts, programs, strict=True)
            for x in ([] if program is None else [mask, *part])
        ]
        return bind_all(CustomLinearSolve(*masked, counts), [*given, *b])  # type: ignore[arg-type, call-arg]

    def in_place(self, operands: Sequence[Any]) -> tuple[Jaxpr, Sequence[Any]]:
        consts, b = self.split(operands)
        return self.solve, [*consts[2], *b]

    def drop_unused(self, used: Sequence[bool]) -> tuple[Primitive, list[int], list[int]] | None:
        if all(used) or any(used[self.size :]):
            return None
        places = range(sum(self.counts) + self.size)
        return self.without_aux(), list(places), list(range(self.size))


def _first(jaxpr: Jaxpr | None, count: int) -> Jaxpr | None:
    """The program with its first results alone."""
    if jaxpr is None or len(jaxpr.outputs) == count:
        return jaxpr
    return jaxpr.remember(
        ("first", count),
        lambda: Jaxpr(jaxpr.inputs, live_equations(jaxpr.equations, jaxpr.outputs[:count])[0], jaxpr.outputs[:count]),
    )


def _difference(a: Any, b: Any) -> Any:
    """a - b, where None is zero."""
    if b is None:
        return a
    return neg(b) if a is None else sub(a, b)


# -- the user's call -------------------------------------------------------------------------------------------------
