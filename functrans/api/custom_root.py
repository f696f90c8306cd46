"""``custom_root``: a solver of the user's, differentiated by the implicit function theorem."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jax.tree_util import tree_leaves

from functrans.api.bodies import Body, rebuild
from functrans.api.linear_solve import System, check_functions, on_trees, system_of
from functrans.control.custom_root import CustomRoot
from functrans.ops.structural import zeros
from functrans.trace.binding import bind_all
from functrans.trace.frames import api_boundary, function_name
from functrans.trace.replay import replay
from functrans.transform.linearize import linearize


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
