"""custom_linear_solve and custom_root beyond the compositions: complex numbers, trees, transposes, named axes, cost."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans import lax
from functrans.ir.program import all_equations
from tests.agreement import assert_same

pytestmark = pytest.mark.usefixtures("x64")
random = np.random.default_rng(0)
matrix = random.normal(size=(3, 3)) + 3.0 * np.eye(3)
vector = random.normal(size=3)
complex_matrix = matrix + 0.5j * random.normal(size=(3, 3))
complex_vector = vector + 1j * random.normal(size=3)


def jacobi(np_: Any, l: Any) -> Any:
    """A solver for diagonally dominant systems, given as linear functions, in a loop without reverse mode."""

    def solve(matvec: Any, b: Any) -> Any:
        def step(carry: Any) -> Any:
            x, n = carry
            return x + 0.2 * (b - matvec(x)), n + 1

        return l.while_loop(lambda c: c[1] < 400, step, (np_.zeros_like(b), 0))[0]

    return solve


def solved(np_: Any, l: Any) -> Any:
    solve = jacobi(np_, l)
    return lambda m, b: l.custom_linear_solve(lambda x: m @ x, b, solve, solve)


@pytest.mark.parametrize(("m", "b"), [(matrix, vector), (complex_matrix, complex_vector)], ids=["real", "complex"])
def test_solution_and_derivatives_agree_with_jax(m: Any, b: Any) -> None:
    ours, theirs = solved(fnp, lax), solved(jnp, jax.lax)
    np.testing.assert_allclose(ours(m, b), np.linalg.solve(m, b), rtol=1e-12)
    directions = (np.cos(np.arange(9.0)).reshape(3, 3).astype(m.dtype), np.sin(np.arange(3.0)).astype(b.dtype))
    assert_same(ft.jvp(ours, (m, b), directions), jax.jit(lambda *a: jax.jvp(theirs, a, directions))(m, b), 4096)
    ct = np.arange(1.0, 4.0).astype(b.dtype)
    pulled = lambda o, f: lambda m, b: o.vjp(f, m, b)[1](ct)
    assert_same(pulled(ft, ours)(m, b), jax.jit(pulled(jax, theirs))(m, b), 4096)


def test_the_transpose_of_a_solve_solves_the_transpose() -> None:
    ours = solved(fnp, lax)
    transposed = ft.linear_transpose(lambda b: ours(matrix, b), vector)
    np.testing.assert_allclose(transposed(vector)[0], np.linalg.solve(matrix.T, vector), rtol=1e-12)
    twice = ft.linear_transpose(lambda ct: transposed(ct)[0], vector)
    np.testing.assert_allclose(twice(vector)[0], np.linalg.solve(matrix, vector), rtol=1e-12)


def test_trees_of_unknowns_and_right_hand_sides_without_a_tangent() -> None:
    def f(np_: Any, l: Any) -> Any:
        def total(w: Any, b: Any) -> Any:
            matvec = lambda x: {"p": 2.0 * x["p"] + w * x["q"], "q": 3.0 * x["q"] - w * x["p"]}

            def solve(matvec: Any, b: Any) -> Any:
                # The columns of the 2x2 system, elimination by hand.
                p, q = (matvec({"p": e, "q": 1.0 - e}) for e in (np_.ones(()), np_.zeros(())))
                det = p["p"] * q["q"] - q["p"] * p["q"]
                return {
                    "p": (b["p"] * q["q"] - b["q"] * q["p"]) / det, "q": (p["p"] * b["q"] - p["q"] * b["p"]) / det,
                }  # fmt: skip

            x = l.custom_linear_solve(matvec, {"p": b, "q": l.stop_gradient(b) * 2.0}, solve, solve)
            return x["p"] * np_.sin(x["q"])

        return total

    ours, theirs = f(fnp, lax), f(jnp, jax.lax)
    for derivative in (lambda o, f: o.grad(f, (0, 1)), lambda o, f: o.hessian(f, (0, 1))):
        assert_same(derivative(ft, ours)(0.4, 1.2), jax.jit(derivative(jax, theirs))(0.4, 1.2), 1024, weak=False)


def test_the_gradient_of_a_solve_holds_one_solve_of_each_kind() -> None:
    gradient = ft.make_jaxpr(ft.grad(lambda m, b: fnp.sum(solved(fnp, lax)(m, b)), (0, 1)))(matrix, vector)
    solves = [eqn for eqn in gradient.equations if eqn.op.name == "custom_linear_solve"]
    assert len(solves) == 2
    assert not any(eqn.op.name == "scan" for eqn in all_equations(gradient))


def test_unused_aux_is_not_computed_for_derivatives() -> None:
    def f(b: Any) -> Any:
        solve = lambda g, y: (y / g(fnp.ones_like(y)), fnp.exp(y))
        x, aux = lax.custom_linear_solve(lambda x: 2.0 * x, b, solve, symmetric=True, has_aux=True)
        return fnp.sum(x), aux

    value, aux = ft.grad(f, has_aux=True)(vector)
    np.testing.assert_allclose(value, 0.5)
    np.testing.assert_allclose(aux, np.exp(vector))
    pulled = ft.make_jaxpr(lambda b: ft.vjp(lambda b: f(b)[0], b)[1](1.0))(vector)
    assert not any(eqn.op.name == "exp" for eqn in all_equations(pulled))


def test_a_root_has_derivatives_by_everything_its_equation_closes_over() -> None:
    def f(np_: Any, l: Any, o: Any) -> Any:
        def newton(g: Any, x: Any) -> Any:
            going = lambda c: (np_.max(np_.abs(g(c[0]))) > 1e-13) & (c[1] < 50)
            step = lambda c: (c[0] - g(c[0]) / o.jvp(g, (c[0],), (np_.ones_like(c[0]),))[1], c[1] + 1)
            return l.while_loop(going, step, (x, 0))[0]

        def root(a: Any, b: Any, guess: Any) -> Any:
            return l.custom_root(lambda x: x**3 + b * x - a, guess, newton, lambda g, y: y / g(np_.ones_like(y)))

        return root

    ours, theirs = f(fnp, lax, ft), f(jnp, jax.lax, jax)
    a, b, guess = np.array([1.0, 4.0]), np.array([0.5, 2.0]), np.ones(2)
    total = lambda o, np_, root: lambda a, b, guess: np_.sum(np_.sin(root(a, b, guess)))
    for derivative in (
        lambda o, f: o.grad(f, (0, 1, 2)),
        lambda o, f: o.hessian(f, (0, 1)),
        lambda o, f: o.jacrev(o.grad(f, (0, 1)), (0, 1)),
    ):
        expected = jax.jit(derivative(jax, total(jax, jnp, theirs)))(a, b, guess)
        assert_same(derivative(ft, total(ft, fnp, ours))(a, b, guess), expected, 4096, weak=False)
    lanes = ft.vmap(ft.grad(total(ft, fnp, ours)), (0, None, 0))(np.stack([a, 2 * a]), b, np.ones((2, 2)))
    assert_same(lanes[1], jax.jit(jax.grad(total(jax, jnp, theirs)))(2 * a, b, guess), 4096, weak=False)


def test_an_equation_may_speak_of_a_mapped_axis_by_name() -> None:
    def lane(a: Any) -> Any:
        solve = lambda f, x: lax.fori_loop(0, 60, lambda _, x: x - 0.5 * f(x), x)
        return lax.custom_root(lambda x: x - 0.5 * lax.pmean(a, "i"), a * 0.0, solve, lambda g, y: y / g(1.0))

    values = np.array([1.0, 2.0, 6.0])
    np.testing.assert_allclose(ft.vmap(lane, axis_name="i")(values), 1.5 * np.ones(3), rtol=1e-12)


def test_a_linearized_equation_with_a_constant_slope_gives_the_solver_a_value() -> None:
    def half(a: Any) -> Any:
        solve = lambda f, x: x - f(x)
        return lax.custom_root(lambda x: x - 0.5 * a, a * 0.0, solve, lambda g, y: y / g(1.0))

    assert_same(ft.grad(half)(3.0), 0.5, weak=False)
    converted, values = ft.closure_convert(lambda x: (x, 2.0), 1.0)
    assert_same(ft.jit(lambda x: converted(x)[1] * 3.0 / converted(x)[1])(1.0), 3.0, weak=False)
    assert values == []
