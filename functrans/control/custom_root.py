"""``custom_root``: x with f(x) = 0 by a solver of the user's, differentiated by the implicit function theorem.

    x = custom_root[f=..., solve=..., tangent_solve=...] consts of each, initial guess

    f(p, x(p)) = 0   =>   d_x f dx = -d_p f dp      (tangents: one linear system, at the root)

The solver is never differentiated: it may hold a ``while_loop``. The linear system's solver is, in its right-hand side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jax.tree_util import tree_leaves

from functrans.control.bodies import Body, function_name, rebuild
from functrans.control.call import evaluate
from functrans.control.custom_rules import linearize_rule
from functrans.control.holding import Holding, check_operand
from functrans.control.linear_solve import System, check_functions, on_trees, system_of
from functrans.ir.program import Jaxpr
from functrans.ir.types import ArrayType
from functrans.ops.elementwise import neg
from functrans.ops.structural import zeros
from functrans.trace.builder import bind_all
from functrans.trace.frames import api_boundary
from functrans.trace.replay import replay
from functrans.transform.jvp import differentiate, jvp_rule
from functrans.transform.linearize import linearize
from functrans.transform.vmap import spread_out, vmap_jaxpr


class CustomRoot(Holding):
    """Operands ``(*consts of f, *of solve, *of tangent_solve, *initial guess)`` -> ``(*root, *aux)``.

    ``f``: (consts, x) -> residuals; ``solve``: (consts, guess) -> (root, aux); ``tangent_solve``: (consts, root, y) ->
    the z with d_x f(root) z = y.
    """

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

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        outs, operands, right = self._right_hand_side(primals, tangents, jvp_rule)
        if right is None:
            return outs, [None] * len(outs)
        return outs, self._slopes(outs, replay(self.tangent_solve, [*operands, *right]))

    def linearize(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        outs, operands, right = self._right_hand_side(primals, tangents, linearize_rule)
        if right is None:
            return outs, [None] * len(outs)
        # tangent_solve is linear in its right-hand side, so its linear part is its derivative by that at zero.
        at = [zeros(t.shape, t) for t in self.f.out_types]
        none = [None] * len(operands)
        _, slopes = differentiate(self.tangent_solve, [*operands, *at], [*none, *right], linearize_rule)
        return outs, self._slopes(outs, slopes)

    def _right_hand_side(
        self, primals: Sequence[Any], tangents: Sequence[Any], rule: Any
    ) -> tuple[list[Any], list[Any], list[Any] | None]:
        """The results, the leading operands of ``tangent_solve``, and its right-hand side up to the sign."""
        outs = bind_all(self, primals)
        root = outs[: self.size]
        consts, _, solver_consts, _ = self.split(primals)
        consts_t = self.split(tangents)[0]
        operands = [*solver_consts, *root]
        if all(t is None for t in consts_t):
            return outs, operands, None
        _, moved = differentiate(self.f, [*consts, *root], [*consts_t, *[None] * len(root)], rule)
        if all(t is None for t in moved):
            return outs, operands, None
        types = self.f.out_types
        return outs, operands, [zeros(t.shape, t) if m is None else m for m, t in zip(moved, types, strict=True)]

    def _slopes(self, outs: Sequence[Any], solved: Sequence[Any]) -> list[Any]:
        slopes = [None if z is None else neg(z) for z in solved]
        return [*slopes, *[None] * (len(outs) - len(slopes))]

    def batch_named(
        self, size: int, operands: Sequence[Any], mapped: Sequence[bool], axis_name: Any
    ) -> tuple[Any, Sequence[bool]]:
        """vmap of each program over its mapped consts; guess, root and aux mapped."""
        f_m, solve_m, tangent_m, guess_m = self.split(mapped)
        n = [True] * self.size
        f = vmap_jaxpr(self.f, size, [*f_m, *n], True, axis_name)[0]
        solve = vmap_jaxpr(self.solve, size, [*solve_m, *n], True, axis_name)[0]
        tangent_solve = vmap_jaxpr(self.tangent_solve, size, [*tangent_m, *n, *n], True, axis_name)[0]
        *consts, guess = self.split(operands)
        guess = [x if m else spread_out(x, size) for x, m in zip(guess, guess_m, strict=True)]
        outs = bind_all(CustomRoot(f, solve, tangent_solve, self.counts), [*[c for p in consts for c in p], *guess])
        return outs, [True] * len(outs)

    def in_place(self, operands: Sequence[Any]) -> tuple[Jaxpr, Sequence[Any]]:
        _, consts, _, guess = self.split(operands)
        return self.solve, [*consts, *guess]

    def lower(
        self, emitter: Any, operands: Sequence[str], in_types: Sequence[ArrayType], out_types: Sequence[ArrayType]
    ) -> Any:
        return emitter.inline(*self.in_place(operands))


@api_boundary
def custom_root(
    f: Callable[[Any], Any],
    initial_guess: Any,
    solve: Callable[[Callable[[Any], Any], Any], Any],
    tangent_solve: Callable[[Callable[[Any], Any], Any], Any],
    has_aux: bool = False,
) -> Any:
    """Find x with ``f(x) == 0`` by a solver of yours; derivatives follow from the equation, not from the solver.

    The root is differentiated by the values that ``f`` closes over. Every transform works, to any order, and neither
    ``solve`` nor the guess is differentiated: ``solve`` may hold a ``while_loop``.

    Args:
      f: a function of a tree like ``initial_guess``, with a result like it; differentiable.
      initial_guess: where ``solve`` starts, a pytree of floating arrays.
      solve: ``solve(f, initial_guess)`` returns the root.
      tangent_solve: ``tangent_solve(g, y)`` returns the x with ``g(x) == y``, where g is ``f`` linearized at the root:
        ``lambda g, y: y / g(1.0)`` for scalars, a linear solve with ``jacobian(g)(y)`` for vectors.
      has_aux: ``solve`` returns ``(root, aux)``; aux is returned and has no derivative.

    Returns:
      What ``solve`` returns.

    Raises:
      TypeError: an argument is no function, or a function returns another tree, shape or dtype than the guess has.

    >>> import functrans as ft
    >>> def newton(f, x):
    ...     return ft.lax.fori_loop(0, 10, lambda _, x: x - f(x) / ft.grad(f)(x), x)
    >>> def square_root(a):
    ...     return ft.lax.custom_root(lambda x: x * x - a, 1.0, newton, lambda g, y: y / g(1.0))
    >>> float(square_root(4.0)), float(ft.grad(square_root)(4.0))
    (2.0, 0.25)
    """
    what = "custom_root"
    check_functions(what, {"f": f, "solve": solve, "tangent_solve": tangent_solve})
    system = system_of(what, "initial_guess", initial_guess)
    equation = system.traced(f, f"f ({function_name(f)})")
    solver = system.traced(lambda x: solve(f, x), f"solve ({function_name(solve)})", has_aux)

    def solve_tangent(root: Any, y: Any) -> Any:
        return tangent_solve(_linearized(system, equation, tree_leaves(root)), y)

    tangent = system.traced(solve_tangent, f"tangent_solve ({function_name(tangent_solve)})", count=2)
    counts = (len(equation.captured), len(solver.captured), len(tangent.captured))
    op = CustomRoot(equation.jaxpr, solver.jaxpr, tangent.jaxpr, counts)
    outs = bind_all(op, [*equation.captured, *solver.captured, *tangent.captured, *system.leaves])
    size = len(system.leaves)
    root = rebuild(system.tree, outs[:size])
    return (root, rebuild(solver.tree.children()[1], outs[size:])) if has_aux else root


def _linearized(system: System, equation: Body, root: Sequence[Any]) -> Callable[[Any], Any]:
    """f linearized at the root: a function of trees like the root."""
    wrt = [False] * len(equation.captured) + [True] * len(root)
    _, program = linearize(equation.jaxpr, [*equation.captured, *root], wrt)

    def apply(tangents: Sequence[Any]) -> list[Any]:
        slopes = iter(replay(program.jaxpr, [*program.residuals, *tangents]))
        return [next(slopes) if nz else zeros(t.shape, t) for nz, t in zip(program.nonzero, system.types, strict=True)]

    return on_trees(system, apply, "the linearized f")
