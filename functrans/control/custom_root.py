"""``custom_root``: x with f(x) = 0 by a solver of the user's, differentiated by the implicit function theorem.

    x = custom_root[f=..., solve=..., tangent_solve=...] consts of each, initial guess

    f(p, x(p)) = 0   =>   d_x f dx = -d_p f dp      (tangents: one linear system, at the root)

The solver is never differentiated: it may hold a ``while_loop``. The linear system's solver is, in its right-hand side.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from functrans.control.at_zero import linearize_at_zero
from functrans.control.call import InPlace
from functrans.control.holding import check_operand
from functrans.control.masking import under_mask
from functrans.ir.program import Jaxpr
from functrans.ir.types import ArrayType
from functrans.ops.elementwise import neg
from functrans.ops.structural import spread, zeros
from functrans.trace.binding import bind_all
from functrans.trace.primitive import Lanes, Tangent, Value
from functrans.trace.replay import evaluate, replay
from functrans.transform.jvp import How, differentiate
from functrans.transform.vmap import vmap_jaxpr


class CustomRoot(InPlace):
    """Operands ``(*consts of f, *of solve, *of tangent_solve, *initial guess)`` -> ``(*root, *aux)``.

    ``f``: (consts, x) -> residuals; ``solve``: (consts, guess) -> (root, aux); ``tangent_solve``: (consts, root, y) ->
    the z with d_x f(root) z = y.
    """

    told_its_derivative = True
    f: Jaxpr
    solve: Jaxpr
    tangent_solve: Jaxpr
    counts: tuple[int, int, int]

    def split(self, values: Sequence[Any]) -> tuple[list[Any], list[Any], list[Any], list[Any]]:
        """Anything with an item for each operand: for the consts of each program, for the guess."""
        a = self.counts[0]
        b = a + self.counts[1]
        c = b + self.counts[2]
        return list(values[:a]), list(values[a:b]), list(values[b:c]), list(values[c:])

    @property
    def size(self) -> int:
        """How many leaves the root has."""
        return len(self.f.outputs)

    def infer(self, *types: ArrayType) -> Any:
        guess = self.split(types)[3]
        for i, (given, wanted) in enumerate(zip(guess, self.solve.in_types[self.counts[1] :], strict=True)):
            check_operand("custom_root", f"leaf {i} of the initial guess", given, wanted)
        return list(self.solve.out_types)

    def impl(self, *arrays: Any) -> Any:
        _, consts, _, guess = self.split(arrays)
        return evaluate(self.solve, [*consts, *guess])

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        outs, operands, right = self._right_hand_side(primals, tangents, "jvp")
        if right is None:
            return outs, [None] * len(outs)
        return outs, self._slopes(outs, replay(self.tangent_solve, [*operands, *right]))

    def linearize(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        outs, operands, right = self._right_hand_side(primals, tangents, "linearize")
        if right is None:
            return outs, [None] * len(outs)
        _, slopes = linearize_at_zero(self.tangent_solve, operands, right)
        return outs, self._slopes(outs, slopes)

    def _right_hand_side(
        self, primals: Sequence[Value], tangents: Sequence[Tangent], how: How
    ) -> tuple[list[Any], list[Any], list[Any] | None]:
        """The results, the leading operands of ``tangent_solve``, and its right-hand side up to the sign."""
        outs = bind_all(self, primals)
        root = outs[: self.size]
        consts, _, solver_consts, _ = self.split(primals)
        consts_t = self.split(tangents)[0]
        operands = [*solver_consts, *root]
        if all(t is None for t in consts_t):
            return outs, operands, None
        _, moved = differentiate(self.f, [*consts, *root], [*consts_t, *[None] * len(root)], how)
        if all(t is None for t in moved):
            return outs, operands, None
        types = self.f.out_types
        return outs, operands, [zeros(t.shape, t) if m is None else m for m, t in zip(moved, types, strict=True)]

    def _slopes(self, outs: Sequence[Any], solved: Sequence[Any]) -> list[Any]:
        slopes = [None if z is None else neg(z) for z in solved]
        return [*slopes, *[None] * (len(outs) - len(slopes))]

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Sequence[bool]]:
        """vmap of each program over its mapped consts; guess, root and aux mapped."""
        f_m, solve_m, tangent_m, guess_m = self.split(mapped)
        n = [True] * self.size
        f = vmap_jaxpr(self.f, lanes, [*f_m, *n], True)[0]
        solve = vmap_jaxpr(self.solve, lanes, [*solve_m, *n], True)[0]
        tangent_solve = vmap_jaxpr(self.tangent_solve, lanes, [*tangent_m, *n, *n], True)[0]
        *consts, guess = self.split(operands)
        guess = [x if m else spread(x, lanes.size) for x, m in zip(guess, guess_m, strict=True)]
        outs = bind_all(CustomRoot(f, solve, tangent_solve, self.counts), [*[c for p in consts for c in p], *guess])
        return outs, [True] * len(outs)

    def run_where(self, mask: Any, operands: Sequence[Any]) -> list[Any]:
        *consts, guess = self.split(operands)
        f, solve, tangent_solve = map(under_mask, (self.f, self.solve, self.tangent_solve))
        a, b, c = self.counts
        op = CustomRoot(f, solve, tangent_solve, (a + 1, b + 1, c + 1))
        return bind_all(op, [*[x for part in consts for x in (mask, *part)], *guess])

    def in_place(self, operands: Sequence[Any]) -> tuple[Jaxpr, Sequence[Any]]:
        _, consts, _, guess = self.split(operands)
        return self.solve, [*consts, *guess]
