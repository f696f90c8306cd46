"""``custom_linear_solve``: a linear solver of the user's, differentiated implicitly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from jax.tree_util import tree_flatten

from functrans.api.bodies import Body, Leaf, check_same_results, operand_types, rebuild, trace_body, typed_leaves
from functrans.control.linear_solve import CustomLinearSolve
from functrans.errors import FunctransTypeError, NotLinearError
from functrans.ir.types import ArrayType, describe, is_differentiable, type_of
from functrans.ops.structural import convert, zeros
from functrans.trace.binding import bind_all
from functrans.trace.frames import api_boundary, function_name, here
from functrans.trace.leaves import Places
from functrans.trace.replay import replay, trace
from functrans.transform.transpose import transpose_jaxpr


class System(NamedTuple):
    """The right-hand side of a system of equations, flat: what its functions are traced on and checked against."""

    what: str
    name: str
    leaves: list[Any]
    tree: Any
    types: list[ArrayType]
    places: Places

    def traced(self, function: Callable[..., Any], role: str, has_aux: bool = False, count: int = 1) -> Body:
        """The function of ``count`` trees like the right-hand side, whose result (or its first part) is like it too."""
        size = len(self.leaves)

        def arguments(inputs: Sequence[Any]) -> list[Any]:
            return [rebuild(self.tree, inputs[i * size : (i + 1) * size]) for i in range(count)]

        def checked(*args: Any) -> Any:
            result = function(*args)
            aux: list[Any] = []
            if has_aux:
                if not (isinstance(result, tuple | list) and len(result) == 2):
                    raise FunctransTypeError(
                        f"{self.what}: {role} must return a pair (solution, aux) because has_aux=True, it returned "
                        f"{describe(result)} at {here()}"
                    )
                result, aux = result
            leaves, tree, types = operand_types(f"the result of {role} of {self.what}", result)
            own = [Leaf(self.places, i, t) for i, t in enumerate(self.types)]
            check_same_results(
                self.what, self.name, own, self.tree, f"the result of {role}", typed_leaves(result, types), tree,
                f"the result of {role} must be like {self.name}",
            )  # fmt: skip
            like = [convert(x, t.dtype, t.weak_type) for x, t in zip(leaves, self.types, strict=True)]
            return (like, aux) if has_aux else like

        return trace_body(checked, self.types * count, arguments, f"{role} of {self.what}")


def system_of(what: str, name: str, value: Any) -> System:
    """Raises TypeError unless every leaf is a floating or complex array."""
    leaves, tree, types = operand_types(f"{name} of {what}", value)
    places = Places(value)
    for i, t in enumerate(types):
        if not is_differentiable(t.dtype):
            raise FunctransTypeError(
                f"{what}: {name}{places[i]} has type {t}, and equations are solved in floating or complex numbers, at "
                f"{here()}\nConvert it with .astype('float32')."
            )
    return System(what, name, leaves, tree, types, places)


def check_functions(what: str, functions: dict[str, Any]) -> None:
    """Raise TypeError naming the argument that is no function."""
    for name, function in functions.items():
        if not callable(function):
            raise FunctransTypeError(f"{what}: {name} must be a function, got {describe(function)} at {here()}")


def on_trees(system: System, program: Callable[[Sequence[Any]], Sequence[Any]], role: str) -> Callable[[Any], Any]:
    """A flat linear map as a function of trees like the right-hand side, for the user's solver to call."""

    def apply(x: Any) -> Any:
        leaves, tree = tree_flatten(x)
        if tree != system.tree:
            raise FunctransTypeError(
                f"{system.what}: {role} was called with another tree than {system.name} has, at {here()}\n  given: "
                f"{tree}\n  {system.name}: {system.tree}"
            )
        given = []
        for i, (leaf, t) in enumerate(zip(leaves, system.types, strict=True)):
            found = type_of(leaf)
            if found.shape != t.shape or (found.dtype != t.dtype and not found.weak_type):
                path = system.places[i]
                raise FunctransTypeError(
                    f"{system.what}: {role} was called with {found}{' at ' + path if path else ''}, and {system.name} "
                    f"has {t}, at {here()}"
                )
            given.append(convert(leaf, t.dtype, t.weak_type))
        return rebuild(system.tree, program(given))

    return apply


@api_boundary
def custom_linear_solve(
    matvec: Callable[[Any], Any],
    b: Any,
    solve: Callable[[Callable[[Any], Any], Any], Any],
    transpose_solve: Callable[[Callable[[Any], Any], Any], Any] | None = None,
    symmetric: bool = False,
    has_aux: bool = False,
) -> Any:
    """Solve ``matvec(x) == b`` with a solver of yours; derivatives are those of the equation, not of the solver.

    Every transform works, to any order; ``matvec`` and the solvers may close over traced values. Neither solver needs
    to be differentiable: they may hold a ``while_loop``.

    Args:
      matvec: a linear function of a tree like ``b``, with a result like ``b``; differentiable.
      b: the right-hand side, a pytree of floating arrays.
      solve: ``solve(matvec, b)`` returns x.
      transpose_solve: ``transpose_solve(vecmat, b)`` solves ``vecmat(x) == b`` for the transpose of ``matvec``. Reverse
        mode needs it, unless ``symmetric``.
      symmetric: the matrix of ``matvec`` equals its transpose; ``solve`` is its own ``transpose_solve``.
      has_aux: both solvers return ``(x, aux)``; aux is returned and has no derivative.

    Returns:
      What ``solve`` returns.

    Raises:
      TypeError: an argument is no function, or a function returns another tree, shape or dtype than ``b`` has.
      NotLinearError (a TypeError): ``matvec`` is not linear and its transpose is needed.

    >>> import functrans as ft, functrans.numpy as fnp, numpy as np
    >>> a = np.array([[2.0, 0.0], [0.0, 4.0]], 'float32')
    >>> def by_diagonal(matvec, b):
    ...     return b / matvec(fnp.ones_like(b))
    >>> def total(scale):
    ...     b = np.array([2.0, 4.0], 'float32')
    ...     return fnp.sum(ft.lax.custom_linear_solve(lambda x: scale * a @ x, b, by_diagonal, symmetric=True))
    >>> float(total(1.0)), float(ft.grad(total)(1.0))
    (2.0, -2.0)
    """
    what = "custom_linear_solve"
    functions: dict[str, Any] = {"matvec": matvec, "solve": solve}
    if transpose_solve is not None:
        functions["transpose_solve"] = transpose_solve
    check_functions(what, functions)
    if transpose_solve is None and symmetric:
        transpose_solve = solve
    system = system_of(what, "b", b)
    forward = system.traced(matvec, f"matvec ({function_name(matvec)})")
    solver = system.traced(lambda y: solve(matvec, y), f"solve ({function_name(solve)})", has_aux)
    none = Body(forward.jaxpr, [], [], None)
    backward = transposed_solver = none
    if transpose_solve is not None:
        backward = forward if symmetric else _transposed(system, forward)
        back = transpose_solve
        vecmat = on_trees(system, lambda y: replay(backward.jaxpr, [*backward.captured, *y]), "vecmat")
        if symmetric:
            vecmat = matvec
        name = f"transpose_solve ({function_name(back)})"
        transposed_solver = system.traced(lambda y: back(vecmat, y), name, has_aux)
    parts = (forward, backward, solver, transposed_solver)
    counts = tuple([len(p.captured) for p in parts])
    op = CustomLinearSolve(
        forward.jaxpr,
        None if backward is none else backward.jaxpr,
        solver.jaxpr,
        None if transposed_solver is none else transposed_solver.jaxpr,
        counts,  # type: ignore[arg-type]
    )
    outs = bind_all(op, [*[c for p in parts for c in p.captured], *system.leaves])
    size = len(system.leaves)
    x = rebuild(system.tree, outs[:size])
    return (x, rebuild(solver.tree.children()[1], outs[size:])) if has_aux else x


def _transposed(system: System, forward: Body) -> Body:
    """The transpose of ``matvec`` as a program on the same captured values."""
    jaxpr, count, size = forward.jaxpr, len(forward.captured), len(system.leaves)
    linear = [False] * count + [True] * size
    try:
        program, has = transpose_jaxpr(jaxpr, linear, [True] * size)
    except NotLinearError as error:
        raise NotLinearError(
            f"custom_linear_solve needs the transpose of matvec, and matvec is not linear: {error}\nmatvec(x) must be "
            "linear in x: sums, products with values that do not depend on x, rearrangements."
        ) from None
    if not all(has):

        def filled(*inputs: Any) -> list[Any]:
            outs = iter(replay(program, inputs))
            return [next(outs) if h else zeros(t.shape, t) for h, t in zip(has, system.types, strict=True)]

        program, _ = trace(filled, program.in_types, "the transpose of matvec")
    return Body(program, forward.captured, [], system.tree)
