"""``custom_linear_solve``: x with A x = b by a solver of the user's, differentiated implicitly.

    x = custom_linear_solve[matvec=..., vecmat=..., solve=..., transpose_solve=...] consts of each, b

    A x = b   =>   A dx = db - dA x          (tangents: the same solver on another right-hand side)
              =>   ct of b = A^-T ct of x    (cotangents: the solver of the transposed system)

The solvers are never differentiated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from jax.tree_util import tree_flatten

from functrans.control.bodies import (
    Body,
    Leaf,
    check_same_results,
    function_name,
    operand_types,
    rebuild,
    trace_body,
    typed_leaves,
)
from functrans.control.call import evaluate
from functrans.control.custom_rules import linearize_rule
from functrans.control.holding import Holding, check_operand, remembered
from functrans.errors import FunctransTypeError, MissingRuleError, NotLinearError
from functrans.ir.program import Jaxpr, live_equations
from functrans.ir.types import ArrayType, describe, is_differentiable, type_of
from functrans.ops.elementwise import neg, sub
from functrans.ops.structural import convert, zeros
from functrans.trace.builder import bind_all, state
from functrans.trace.frames import api_boundary, describe_place, here
from functrans.trace.leaves import Places
from functrans.trace.primitive import Primitive, is_linear
from functrans.trace.replay import replay, trace
from functrans.transform.jvp import differentiate, jvp_rule
from functrans.transform.transpose import transpose_jaxpr
from functrans.transform.vmap import spread_out, vmap_jaxpr


class CustomLinearSolve(Holding):
    """Operands ``(*consts of matvec, *of vecmat, *of solve, *of transpose_solve, *b)`` -> ``(*x, *aux)``.

    ``matvec``: (consts, x) -> A x; ``vecmat``: (consts, y) -> A^T y; ``solve``: (consts, b) -> (x, aux);
    ``transpose_solve``: (consts, b) -> (A^-T b, aux). Without a transposed solver the last two are None.
    """

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

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        return self._differentiated(primals, tangents, jvp_rule)

    def linearize(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        return self._differentiated(primals, tangents, linearize_rule)

    def _differentiated(self, primals: Sequence[Any], tangents: Sequence[Any], rule: Any) -> tuple[Any, Any]:
        outs = bind_all(self, primals)
        x, aux = outs[: self.size], outs[self.size :]
        consts, _ = self.split(primals)
        consts_t, b_t = self.split(tangents)
        right = list(b_t)
        if any(t is not None for t in consts_t[0]):
            _, moved = differentiate(self.matvec, [*consts[0], *x], [*consts_t[0], *[None] * len(x)], rule)
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
                f"custom_linear_solve at {describe_place(state.where)} stands in a program that has to be linear, and "
                "its matrix depends on the linear input: the solution is linear in b alone"
            )
        if self.transpose_solve is None or self.vecmat is None:
            raise MissingRuleError(
                f"reverse mode (grad, vjp, jacrev) through the custom_linear_solve at {describe_place(state.where)}\n"
                "solves the transposed system, and no solver for it was given. Pass transpose_solve=, or "
                "symmetric=True where the matrix equals its transpose. Forward mode (jvp, jacfwd) works."
            )
        if any(ct is not None for ct in cotangent[self.size :]):
            raise NotLinearError(
                f"the auxiliary results of the custom_linear_solve at {describe_place(state.where)} have no derivative"
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

    def batch_named(
        self, size: int, operands: Sequence[Any], mapped: Sequence[bool], axis_name: Any
    ) -> tuple[Any, Sequence[bool]]:
        """vmap of each program over its mapped consts; every leaf of x, b and aux mapped."""
        consts_m, b_m = self.split(mapped)
        programs = [
            None if p is None else vmap_jaxpr(p, size, [*m, *[True] * len(b_m)], True, axis_name)[0]
            for p, m in zip(self.programs(), consts_m, strict=True)
        ]
        consts, b = self.split(operands)
        b = [x if m else spread_out(x, size) for x, m in zip(b, b_m, strict=True)]
        op = CustomLinearSolve(*programs, self.counts)  # type: ignore[arg-type, call-arg]
        outs = bind_all(op, [*[c for part in consts for c in part], *b])
        return outs, [True] * len(outs)

    def in_place(self, operands: Sequence[Any]) -> tuple[Jaxpr, Sequence[Any]]:
        consts, b = self.split(operands)
        return self.solve, [*consts[2], *b]

    def lower(
        self, emitter: Any, operands: Sequence[str], in_types: Sequence[ArrayType], out_types: Sequence[ArrayType]
    ) -> Any:
        return emitter.inline(*self.in_place(operands))

    def drop_unused(self, used: Sequence[bool]) -> tuple[Primitive, list[int], list[int]] | None:
        if all(used) or any(used[self.size :]):
            return None
        places = range(sum(self.counts) + self.size)
        return self.without_aux(), list(places), list(range(self.size))


def _first(jaxpr: Jaxpr | None, count: int) -> Jaxpr | None:
    """The program with its first results alone."""
    if jaxpr is None or len(jaxpr.outputs) == count:
        return jaxpr
    return remembered(  # type: ignore[no-any-return]
        jaxpr,
        ("first", count),
        lambda: Jaxpr(jaxpr.inputs, live_equations(jaxpr.equations, jaxpr.outputs[:count])[0], jaxpr.outputs[:count]),
    )


def _difference(a: Any, b: Any) -> Any:
    """a - b, where None is zero."""
    if b is None:
        return a
    return neg(b) if a is None else sub(a, b)


# -- the user's call -------------------------------------------------------------------------------------------------


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
