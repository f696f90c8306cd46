"""Derivatives at work in SciPy's solvers: a wrong gradient or Hessian does not converge to the known answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
import scipy.special

import functrans as ft
import functrans.numpy as fnp
from functrans import lax

pytestmark = pytest.mark.usefixtures("x64")


def rosenbrock(x: Any) -> Any:
    return fnp.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def test_rosenbrock_derivatives_are_those_of_scipy() -> None:
    x = np.array([0.8, -0.3, 1.7, 0.2])
    np.testing.assert_allclose(ft.grad(rosenbrock)(x), scipy.optimize.rosen_der(x), rtol=1e-13)
    np.testing.assert_allclose(ft.hessian(rosenbrock)(x), scipy.optimize.rosen_hess(x), rtol=1e-13)
    direction = np.array([1.0, 2.0, -1.0, 0.5])
    np.testing.assert_allclose(
        ft.hvp(rosenbrock, (x,), (direction,)), scipy.optimize.rosen_hess_prod(x, direction), rtol=1e-13
    )


def test_newton_conjugate_gradients_find_the_minimum_of_rosenbrock() -> None:
    result = scipy.optimize.minimize(
        ft.jit(rosenbrock), np.zeros(6), method="Newton-CG", jac=ft.jit(ft.grad(rosenbrock)),
        hessp=ft.jit(lambda x, p: ft.hvp(rosenbrock, (x,), (p,))), options={"xtol": 1e-12},
    )  # fmt: skip
    np.testing.assert_allclose(result.x, np.ones(6), atol=1e-8)


def test_a_root_of_a_system_is_found_with_the_jacobian() -> None:
    def system(x: Any) -> Any:
        return fnp.stack([x[0] + 0.5 * (x[0] - x[1]) ** 3 - 1.0, 0.5 * (x[1] - x[0]) ** 3 + x[1]])

    result = scipy.optimize.root(system, np.zeros(2), jac=ft.jacrev(system), method="hybr", tol=1e-14)
    np.testing.assert_allclose(result.x, [0.8411639, 0.1588361], atol=1e-7)
    np.testing.assert_allclose(system(result.x), np.zeros(2), atol=1e-13)


def test_the_sensitivity_of_an_ode_solved_by_scan_is_that_of_scipy() -> None:
    def decay_rate(y: Any, k: Any) -> Any:
        return fnp.stack([-k * y[0] * y[1], k * y[0] * y[1] - 0.3 * y[1]])

    steps, end = 400, 2.0

    def solve(k: Any) -> Any:
        def step(y: Any, _: Any) -> Any:
            h = end / steps
            k1 = decay_rate(y, k)
            k2 = decay_rate(y + 0.5 * h * k1, k)
            k3 = decay_rate(y + 0.5 * h * k2, k)
            k4 = decay_rate(y + h * k3, k)
            return y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4), None

        return lax.scan(step, np.array([0.9, 0.1]), None, length=steps)[0]

    def with_sensitivity(_: float, state: np.ndarray) -> np.ndarray:
        y, s = state[:2], state[2:]
        jacobian = np.array([[-0.7 * y[1], -0.7 * y[0]], [0.7 * y[1], 0.7 * y[0] - 0.3]])
        partial = np.array([-y[0] * y[1], y[0] * y[1]])
        return np.concatenate([np.asarray(decay_rate(y, 0.7)), jacobian @ s + partial])

    reference = scipy.integrate.solve_ivp(with_sensitivity, (0, end), [0.9, 0.1, 0, 0], rtol=1e-11, atol=1e-13).y[:, -1]
    np.testing.assert_allclose(ft.jit(solve)(0.7), reference[:2], rtol=1e-9)
    for jacobian in (ft.jacfwd(solve), ft.jacrev(solve)):
        np.testing.assert_allclose(jacobian(0.7), reference[2:], rtol=1e-8)


def test_the_softmax_jacobian_and_log_sum_exp_are_those_of_scipy() -> None:
    x = np.array([1.0, -2.0, 800.0, 799.0])

    def log_sum_exp(x: Any) -> Any:
        largest = lax.stop_gradient(fnp.max(x))
        return largest + fnp.log(fnp.sum(fnp.exp(x - largest)))

    softmax = scipy.special.softmax(x)
    np.testing.assert_allclose(log_sum_exp(x), scipy.special.logsumexp(x), rtol=1e-14)
    np.testing.assert_allclose(ft.grad(log_sum_exp)(x), softmax, rtol=1e-13, atol=1e-300)
    np.testing.assert_allclose(ft.hessian(log_sum_exp)(x), np.diag(softmax) - np.outer(softmax, softmax), atol=1e-14)
