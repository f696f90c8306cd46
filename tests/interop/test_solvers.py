"""Solvers of other libraries: Lineax and Optimistix (under Diffrax) define operations of their own, whose derivative is
that of the solution and not of the steps to it. These rules hold over the bridge, in every mode and order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import lineax
import numpy as np
import optimistix
import pytest

import functrans as ft

pytestmark = pytest.mark.filterwarnings("ignore")  # of these libraries, about what JAX deprecates

A = np.float32([[3, 0.4, 0.1], [0.4, 2, 0.2], [0.1, 0.2, 1.5]])
B = np.float32([1, 2, -1])
DEFINITE = lineax.positive_semidefinite_tag
EXACT = {"rtol": 1e-6, "atol": 1e-6}


def _linear(solver: Any, *tags: Any) -> Callable[[Any, Any], Any]:
    return lambda a, b: lineax.linear_solve(lineax.MatrixLinearOperator(a, tags), b, solver).value


def _cubic(y: Any, args: Any) -> Any:
    a, b = args
    return a @ y + y**3 - b


SOLUTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "lu": _linear(lineax.LU()),
    "qr": _linear(lineax.QR()),
    "conjugate gradients": _linear(lineax.CG(**EXACT), DEFINITE),
    "gmres": _linear(lineax.GMRES(**EXACT)),
    "newton": lambda a, b: optimistix.root_find(_cubic, optimistix.Newton(**EXACT), jnp.zeros(3), (a, b)).value,
    "levenberg-marquardt": lambda a, b: optimistix.least_squares(
        lambda y, args: jnp.concatenate([args[0] @ y - args[1], y]), optimistix.LevenbergMarquardt(**EXACT),
        jnp.zeros(3), (a, b),
    ).value,
    "fixed point": lambda a, b: optimistix.fixed_point(
        lambda y, args: jnp.tanh(0.2 * args[0] @ y + args[1]), optimistix.FixedPointIteration(**EXACT), jnp.zeros(3),
        (a, b),
    ).value,
}  # fmt: skip


@pytest.mark.parametrize("name", SOLUTIONS)
def test_solutions_have_the_derivatives_they_have_in_jax(name: str) -> None:
    def loss(a: Any, b: Any) -> Any:
        return jnp.sum(jnp.cos(SOLUTIONS[name](a, b)))

    def results(transforms: Any, function: Any) -> Any:
        gradient = transforms.grad(function, (0, 1))
        tangents = (np.cos(A), np.sin(B))

        def everything(a: Any, b: Any, lanes: Any) -> Any:
            return (
                gradient(a, b),
                transforms.jvp(function, (a, b), tangents),
                transforms.vmap(gradient, (None, 0))(a, lanes),
                transforms.jacfwd(transforms.grad(function, 1), 1)(a, b),
            )

        return transforms.jit(everything)(A, B, np.stack([B, 0.9 * B]))

    actual, expected = results(ft, ft.from_jax(loss)), results(jax, loss)
    for a, e in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, e, rtol=2e-5, atol=2e-5)  # iterations stop at 1e-6
    np.testing.assert_allclose(ft.grad(ft.from_jax(loss), 1)(A, B), expected[0][1], rtol=2e-5, atol=2e-5)


def test_an_implicit_step_of_runge_kutta_is_a_root() -> None:
    def loss(a: Any, b: Any) -> Any:
        term = diffrax.ODETerm(lambda t, y, args: -a @ y + jnp.sin(b))
        control = diffrax.PIDController(1e-3, 1e-3)
        solution = diffrax.diffeqsolve(term, diffrax.Kvaerno3(), 0, 1, None, b, stepsize_controller=control)
        return jnp.sum(jnp.cos(solution.ys[0]))

    expected = jax.jit(jax.grad(loss, (0, 1)))(A, B)
    for actual, wanted in zip(ft.jit(ft.grad(ft.from_jax(loss), (0, 1)))(A, B), expected, strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=2e-5, atol=2e-5)


def test_lanes_that_do_not_take_a_branch_do_not_disturb_its_solver() -> None:
    """Lineax raises where a solution is not finite; the other lanes' backward pass runs on ones, not on zeros."""
    solve = ft.from_jax(lambda b: jnp.sum(jnp.cos(SOLUTIONS["lu"](A, b))))
    slope = ft.grad(lambda b: ft.lax.cond(b[0] > 0, solve, lambda b: b.sum(), b))
    expected = jax.grad(lambda b: jnp.sum(jnp.cos(jnp.linalg.solve(A, b))))(B)
    np.testing.assert_allclose(ft.vmap(slope)(np.stack([B, -B])), [expected, np.ones(3)], rtol=1e-5)


def test_without_jit_a_solver_is_compiled_once() -> None:
    slope = ft.vmap(ft.grad(ft.from_jax(lambda b: jnp.sum(jnp.cos(SOLUTIONS["lu"](A, b))))))
    first = slope(np.stack([B, -B]))
    before = ft.compilation_count()
    np.testing.assert_array_equal(slope(np.stack([B, -B])), first)
    assert ft.compilation_count() == before
