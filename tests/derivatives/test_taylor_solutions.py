"""solution_coefficients: against closed forms, at quadratic cost, and through control flow."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans import lax
from functrans.derivatives import derivatives, solution_coefficients
from tests.derivatives.test_taylor_laws import equations_of

pytestmark = pytest.mark.usefixtures("x64")
ORDER = 12

# right-hand side, and its solution from 0.5 at time 0 (at time 0.3 where it depends on time)
CLOSED: dict[str, tuple[Callable[..., Any], Callable[[Any], Any], float | None]] = {
    "growth": (lambda x: x, lambda t: 0.5 * fnp.exp(t), None),
    "decay": (lambda x: -3 * x, lambda t: 0.5 * fnp.exp(-3 * t), None),
    "blow-up": (lambda x: x * x, lambda t: 1 / (2 - t), None),
    "cubic": (lambda x: x**3, lambda t: 1 / fnp.sqrt(4 - 2 * t), None),
    "logistic": (lambda x: x * (1 - x), lambda t: 1 / (1 + fnp.exp(-t)), None),
    "tangent": (lambda x: 1 + x * x, lambda t: fnp.tan(t + math.atan(0.5)), None),
    "root": (lambda x: fnp.sqrt(x), lambda t: (math.sqrt(0.5) + t / 2) ** 2, None),
    "exponential": (lambda x: fnp.exp(-x), lambda t: fnp.log(t + math.exp(0.5)), None),
    "sine": (lambda x: fnp.sin(x), lambda t: 2 * fnp.arctan(math.tan(0.25) * fnp.exp(t)), None),
    "quotient": (lambda x: 1 / x, lambda t: fnp.sqrt(0.25 + 2 * t), None),
    "constant": (lambda x: fnp.full_like(x, 2.0), lambda t: 0.5 + 2 * t, None),
    "in time": (lambda t, x: t * x, lambda t: 0.5 * fnp.exp((t * t - 0.09) / 2), 0.3),
    "time alone": (lambda t, x: fnp.cos(t), lambda t: 0.5 + fnp.sin(t) - math.sin(0.3), 0.3),
    "jitted": (lambda x: ft.jit(lambda x: x * (1 - x))(x), lambda t: 1 / (1 + fnp.exp(-t)), None),
    "loop": (lambda x: lax.fori_loop(0, 3, lambda i, c: c * x, 1 / x), lambda t: 1 / (2 - t), None),
    "while_loop": (
        lambda x: lax.while_loop(lambda c: c[0] < 2, lambda c: (c[0] + 1, c[1] * x), (0, x / x))[1],
        lambda t: 1 / (2 - t),
        None,
    ),
    "scan": (
        lambda x: lax.scan(lambda c, y: (c + y * x, None), -x * x, fnp.asarray([0.25, 0.75]))[0],
        lambda t: 1 / (1 + fnp.exp(-t)),
        None,
    ),
    "cond": (lambda x: lax.cond(x > 0, lambda x: x * x, fnp.exp, x), lambda t: 1 / (2 - t), None),
    "in time, scan": (
        lambda t, x: lax.scan(lambda c, _: (c + t * x / 2, None), 0.0 * x, None, length=2)[0],
        lambda t: 0.5 * fnp.exp((t * t - 0.09) / 2),
        0.3,
    ),
}


@pytest.mark.parametrize("name", CLOSED)
def test_the_coefficients_are_those_of_the_closed_form(name: str) -> None:
    fun, exact, time = CLOSED[name]
    wanted = [float(d) / math.factorial(k) for k, d in enumerate(derivatives(exact, ORDER)(time or 0.0))]
    for solve in (solution_coefficients, ft.jit(solution_coefficients, static_argnums=(0, 2))):
        found = solve(fun, 0.5, ORDER, time) if time is not None else solve(fun, 0.5, ORDER)
        np.testing.assert_allclose([float(c) for c in found], wanted, rtol=1e-11, atol=1e-15)


def test_trees_are_solved_as_they_are() -> None:
    """A circle, as a dictionary of arrays."""
    initial = {"x": np.array([1.0, 0.0]), "v": (np.array([0.0, 2.0]),)}
    found = solution_coefficients(lambda s: {"x": s["v"][0], "v": (-s["x"],)}, initial, 8)
    for k, c in enumerate(found):
        signs = np.array([math.cos(k * math.pi / 2), 2 * math.sin(k * math.pi / 2)])
        np.testing.assert_allclose(np.asarray(c["x"]), signs / math.factorial(k), atol=1e-15)
        assert set(c) == {"x", "v"} and c["v"][0].shape == (2,)


def test_matrices_are_solved_to_the_exponential() -> None:
    a = np.array([[0.3, -1.0], [0.7, 0.2]])
    found = solution_coefficients(lambda x: a @ x, np.eye(2), 6)
    for k, c in enumerate(found):
        np.testing.assert_allclose(np.asarray(c), np.linalg.matrix_power(a, k) / math.factorial(k), rtol=1e-14)


def test_order_zero_is_the_initial_value() -> None:
    assert [float(c) for c in solution_coefficients(lambda x: x * x, 0.5, 0)] == [0.5]


def test_single_precision_stays_single() -> None:
    found = solution_coefficients(lambda x: x * x, np.float32(0.5), 4)
    assert {c.dtype for c in found[1:]} == {np.dtype(np.float32)}
    assert [float(c) for c in found] == [0.5, 0.25, 0.125, 0.0625, 0.03125]


def test_complex_equations_turn() -> None:
    found = solution_coefficients(lambda z: 1j * z, 1.0 + 0j, 6)
    np.testing.assert_allclose([complex(c) for c in found], [1j**k / math.factorial(k) for k in range(7)], rtol=1e-15)


def test_solutions_have_derivatives_and_lanes() -> None:
    """By the initial value, by a parameter, and many at once."""
    third = lambda a, x: solution_coefficients(lambda x: a * x * x, x, 3)[3]  # a^3 x^4
    np.testing.assert_allclose([float(g) for g in ft.grad(third, (0, 1))(0.7, 0.5)], [3 * 0.49 * 0.0625, 0.343 * 0.5])
    xs = np.array([0.5, 1.0, 2.0])
    np.testing.assert_allclose(np.asarray(ft.vmap(third, (None, 0))(1.0, xs)), xs**4, rtol=1e-14)
    value, coefficients = ft.taylor(lambda x: third(1.0, x), (0.5,), ([1.0, None],))
    np.testing.assert_allclose([float(value), *map(float, coefficients)], [0.0625, 0.5, 1.5], rtol=1e-14)


def _kepler(state: Any) -> Any:
    position, velocity = state
    square = fnp.sum(position * position)
    return velocity, -position / (square * fnp.sqrt(square))


QUADRATIC: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "kepler": (_kepler, (np.array([1.0, 0.0]), np.array([0.0, 1.0]))),
    "pendulum": (lambda s: (s[1], -fnp.sin(s[0])), (0.5, 0.0)),
    "lorenz": (lambda s: (10 * (s[1] - s[0]), s[0] * (28 - s[2]) - s[1], s[0] * s[1] - 8 / 3 * s[2]), (1.0, 2.0, 3.0)),
    "solve": (lambda x: fnp.linalg.solve(fnp.outer(x, x) + 3 * fnp.eye(2), x), np.array([0.3, 0.7])),
    "tanh": (lambda x: fnp.tanh(x) * fnp.sqrt(1 + x), 0.5),
}


@pytest.mark.parametrize("name", QUADRATIC)
def test_the_cost_grows_as_the_square_of_the_order(name: str) -> None:
    fun, initial = QUADRATIC[name]
    counts = []
    for order in (8, 16, 32):
        solve = functools.partial(solution_coefficients, fun, order=order)
        counts.append(equations_of(solve, initial))
    assert counts[1] < 5 * counts[0] and counts[2] < 5 * counts[1], counts  # 4, and terms of lower order; a cube: 8
