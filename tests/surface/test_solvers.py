"""Solvers of equations and minima: against SciPy, and their derivatives against closed forms."""

from __future__ import annotations

from typing import Any

import jax
import jax.experimental.sparse
import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
import scipy.sparse.linalg

import functrans as ft
import functrans.numpy as fnp
from functrans.experimental.ode import odeint
from functrans.scipy.optimize import OptimizeResults, minimize
from functrans.scipy.sparse.linalg import bicgstab, cg, gmres

RNG = np.random.default_rng(0)
SOLVERS = {
    "cg": cg,
    "bicgstab": bicgstab,
    "gmres": gmres,
    "gmres, incremental": lambda *a, **k: gmres(*a, solve_method="incremental", **k),
}


def system(name: str, size: int = 6, dtype: Any = np.float64) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(size)
    a = rng.normal(size=(size, size))
    b = rng.normal(size=size)
    if np.dtype(dtype).kind == "c":
        a, b = a + 1j * rng.normal(size=a.shape), b + 1j * rng.normal(size=size)
    a = a @ a.conj().T + size * np.eye(size) if name == "cg" else a + 2 * size * np.eye(size)
    return a.astype(dtype), b.astype(dtype)


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
@pytest.mark.parametrize("name", SOLVERS)
def test_solutions_and_their_derivatives(name: str, dtype: Any, x64: None) -> None:
    a, b = system(name, dtype=dtype)
    solve = lambda a, b, **k: SOLVERS[name](a, b, tol=1e-13, **k)[0]
    wanted = np.linalg.solve(a, b)
    near = np.diag(1 / np.diag(a))

    def everything(a: Any, b: Any) -> Any:
        loss = lambda a, b: fnp.sum(fnp.abs(solve(a, b)) ** 2)
        exact = lambda a, b: fnp.sum(fnp.abs(fnp.linalg.solve(a, b)) ** 2)
        both = []
        for f in (loss, exact):
            slopes = ft.grad(f, (0, 1))
            curve = ft.jvp(lambda b, slopes=slopes: slopes(a, b)[1], (b,), (b,))[1]
            both.append((slopes(a, b), curve, ft.jvp(f, (a, b), (a * 0.1, b))[1]))
        lanes = ft.vmap(solve, (None, 0))(a, fnp.stack([b, 2 * b]))
        return both, lanes, solve(a, b), solve(lambda x: a @ x, b), solve(a, b, M=near), solve(a, b, x0=0.9 * b)

    both, lanes, *solutions = ft.jit(everything)(a, b)
    for x in solutions:
        np.testing.assert_allclose(x, wanted, rtol=1e-10)
    np.testing.assert_allclose(lanes, [wanted, 2 * wanted], rtol=1e-10)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-8, atol=1e-10), *both)


def test_preconditioners_that_are_not_symmetric_are_transposed(x64: None) -> None:
    a, b = system("bicgstab")
    near = np.linalg.inv(a + 0.1 * np.triu(a))
    for solve in (bicgstab, gmres):
        loss = lambda b, M=None, solve=solve: fnp.sum(solve(a, b, tol=1e-13, maxiter=8, M=M)[0] ** 2)
        wanted = ft.grad(lambda b: fnp.sum(fnp.linalg.solve(a, b) ** 2))(b)
        np.testing.assert_allclose(ft.grad(loss)(b, near), wanted, rtol=1e-9)


def test_as_many_steps_as_scipy() -> None:
    a, b = system("cg", 40)
    for most in (1, 3):
        ours = cg(a.astype(np.float32), b.astype(np.float32), maxiter=most)[0]
        theirs, _ = scipy.sparse.linalg.cg(a, b, maxiter=most)
        np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=1e-6)


def test_trees_and_sparse_matrices() -> None:
    b = {"u": np.float32([1, 2]), "v": np.float32([[3.0]])}
    x = cg(lambda t: jax.tree.map(lambda leaf: 2 * leaf, t), b)[0]
    assert float(x["v"][0, 0]) == 1.5 and x["u"].tolist() == [0.5, 1.0]
    a, b = (z.astype(np.float32) for z in system("cg"))
    sparse = jax.experimental.sparse.BCOO.fromdense(a)
    slope = ft.jit(ft.grad(lambda data, b: fnp.sum(cg(type(sparse)((data, sparse.indices), shape=a.shape), b)[0])))
    wanted = ft.grad(lambda a: fnp.sum(fnp.linalg.solve(a, b)))(a)
    np.testing.assert_allclose(slope(sparse.data, b).reshape(a.shape), wanted, rtol=1e-3, atol=1e-5)


def test_nothing_to_solve() -> None:
    a = np.eye(3, dtype=np.float32)
    for solve in SOLVERS.values():
        assert solve(a, np.zeros(3, np.float32))[0].tolist() == [0, 0, 0]
        assert solve(2 * a, np.float32([2, 0, 0]))[0].tolist() == [1, 0, 0]
    assert int(gmres(a, a[0])[1]) == 0


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda a, b: cg(3.0, b), TypeError, "A must be a matrix or a function"),
        (lambda a, b: cg(a[:2], b), ValueError, "A must be a square matrix"),
        (lambda a, b: cg(a, b, x0=[b]), ValueError, "x0 must be a tree like b"),
        (lambda a, b: cg(a, b, x0=b[:2]), ValueError, "x0 must have the shapes of b"),
        (lambda a, b: gmres(a, b, solve_method="other"), ValueError, "solve_method must be"),
    ],
)
def test_wrong_systems_are_refused(call: Any, error: Any, text: str) -> None:
    a = np.eye(3, dtype=np.float32)
    with pytest.raises(error, match=text):
        call(a, a[0])


# -- minima ------------------------------------------------------------------------------------------------------------


def rosenbrock(x: Any, a: Any = 1.0) -> Any:
    return fnp.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (a - x[:-1]) ** 2)


LIMITED = "l-bfgs-experimental-do-not-rely-on-this"


@pytest.mark.parametrize("method", ["BFGS", LIMITED])
def test_minima(method: str, x64: None) -> None:
    problems = {
        "rosenbrock": (rosenbrock, np.float64([-1.2, 1.0, 0.5, 2.0])),
        "quadratic": (lambda x: x @ (np.diag([1.0, 30.0, 900.0]) @ x) / 2 - x[0] - x[1], np.zeros(3)),
        "steep": (lambda x: fnp.sum(fnp.exp(x) - x), np.float64([8.0, -30.0])),
    }
    for name, (f, start) in problems.items():
        found = ft.jit(lambda x, f=f: minimize(f, x, method=method, options={"gtol": 1e-8}))(start)
        assert bool(found.success) and int(found.status) == 0, (name, found)
        reference = scipy.optimize.minimize(f, start, jac=ft.grad(f), method="BFGS", options={"gtol": 1e-8})
        np.testing.assert_allclose(found.x, reference.x, atol=1e-6, err_msg=name)
        np.testing.assert_allclose(found.jac, ft.grad(f)(found.x), atol=1e-12)
        assert int(found.nfev) < 3 * reference.nfev + 20, name


def test_minima_in_single_precision_and_in_lanes() -> None:
    starts = np.float32([[-1.2, 1.0], [3.0, -2.0], [0.0, 0.0]])
    found = ft.vmap(lambda x: minimize(rosenbrock, x, method="BFGS", options={"gtol": 1e-3}))(starts)
    assert bool(fnp.all(found.success)), found
    np.testing.assert_allclose(found.x, np.ones((3, 2)), atol=2e-2)


def test_derivatives_of_a_minimum(x64: None) -> None:
    def place(a: Any) -> Any:  # x = (a, a^2)
        return minimize(rosenbrock, fnp.zeros(2), (a,), method="BFGS", options={"gtol": 1e-10}).x

    np.testing.assert_allclose(place(1.5), [1.5, 2.25], rtol=1e-8)
    np.testing.assert_allclose(ft.jacrev(place)(1.5), [1, 3], rtol=1e-6)
    np.testing.assert_allclose(ft.jacfwd(place)(1.5), [1, 3], rtol=1e-6)
    np.testing.assert_allclose(ft.jacfwd(ft.jacrev(place))(1.5), [0, 2], atol=1e-4)
    least = lambda a: minimize(lambda x, a: (x[0] - a) ** 2 + a**3, fnp.zeros(1), (a,), method="BFGS").fun
    np.testing.assert_allclose([least(2.0), ft.grad(least)(2.0)], [8, 12], rtol=1e-6)


def test_a_search_that_ends_without_a_minimum() -> None:
    down = minimize(lambda x: fnp.sum(-(x**3)), fnp.ones(1), method="BFGS", options={"maxiter": 3})
    assert isinstance(down, OptimizeResults) and not bool(down.success) and int(down.status) != 0
    nan = minimize(lambda x: fnp.sum(fnp.log(x)), -fnp.ones(1), method="BFGS")
    assert not bool(nan.success)
    one = minimize(rosenbrock, fnp.zeros(2), method="BFGS", options={"maxiter": 1})
    assert (int(one.status), int(one.nit)) == (1, 1)
    assert int(minimize(rosenbrock, fnp.ones(2), method="BFGS").nit) == 0


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: minimize(rosenbrock, fnp.zeros((2, 2)), method="BFGS"), ValueError, "x0 must be a vector"),
        (lambda: minimize(rosenbrock, np.arange(3), method="BFGS"), TypeError, "x0 must be a real floating"),
        (lambda: minimize(rosenbrock, fnp.zeros(2), [1.0], method="BFGS"), TypeError, "args must be a tuple"),
        (lambda: minimize(rosenbrock, fnp.zeros(2), method="Powell"), ValueError, "method must be 'BFGS'"),
        (lambda: minimize(rosenbrock, fnp.zeros(2), method="BFGS", options={"x": 1}), ValueError, "unknown options"),
        (
            lambda: minimize(rosenbrock, fnp.zeros(2), method=LIMITED, options={"maxfun": 1}), NotImplementedError,
            "maxfun",
        ),
    ],
)  # fmt: skip
def test_wrong_searches_are_refused(call: Any, error: Any, text: str) -> None:
    with pytest.raises(error, match=text):
        call()


# -- differential equations --------------------------------------------------------------------------------------------

TIMES = np.float64([0.0, 0.3, 0.7, 1.5])


def pendulum(y: Any, t: Any, p: Any, q: Any) -> Any:
    return fnp.stack([y[1], -p * fnp.sin(y[0]) + q["push"] * fnp.cos(t)])


def test_solutions_against_scipy(x64: None) -> None:
    y0, p, q = np.float64([1.0, 0.2]), 2.0, {"push": 0.5}
    found = ft.jit(lambda y0: odeint(pendulum, y0, TIMES, p, q, rtol=1e-10, atol=1e-10))(y0)
    field = lambda t, y: np.asarray(pendulum(y, t, p, q))
    wanted = scipy.integrate.solve_ivp(field, (0, 1.5), y0, t_eval=TIMES, rtol=1e-12, atol=1e-12, method="DOP853")
    np.testing.assert_allclose(found, wanted.y.T, rtol=1e-8)
    np.testing.assert_allclose(found[0], y0)


def test_derivatives_of_solutions(x64: None) -> None:
    """y' = (p + t) y: y = y0 exp(p (t - s) + (t^2 - s^2) / 2), by everything, in both modes, to the third order."""

    def solution(y0: Any, p: Any, t: Any) -> Any:
        return odeint(lambda y, t, p: (p + t) * y, y0, t, p, rtol=1e-11, atol=1e-11)

    def exact(y0: Any, p: Any, t: Any) -> Any:
        return y0 * fnp.exp(p * (t - t[0]) + (t**2 - t[0] ** 2) / 2)

    place = (np.float64(1.3), np.float64(-0.4), TIMES[1:])

    def everything(f: Any) -> Any:
        wrt = (0, 1, 2)
        loss = lambda *a: fnp.sum(f(*a) * fnp.cos(fnp.arange(3.0) + 1))
        forward = ft.jacfwd(f, wrt)(*place)
        twice = ft.hessian(loss, wrt)(*place)
        third = ft.jvp(lambda p: ft.grad(ft.grad(loss, 1), 1)(place[0], p, place[2]), (place[1],), (1.0,))[1]
        lanes = ft.vmap(ft.grad(loss), (0, None, None))(place[0] * fnp.ones(2), *place[1:])
        return f(*place), forward, ft.jacrev(f, wrt)(*place), twice, third, lanes

    ours, theirs = ft.jit(lambda: everything(solution))(), ft.jit(lambda: everything(exact))()
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-8), ours, theirs)


def test_trees_closures_and_integers(x64: None) -> None:
    def end(rate: Any, scale: Any) -> Any:
        field = lambda y, t, n: {"a": -rate * y["a"] * n, "b": (y["a"] * scale[n],)}
        solution = odeint(field, {"a": fnp.ones((2,)), "b": (0.0 * rate,)}, TIMES, np.int32(1), rtol=1e-10, atol=1e-10)
        return solution["a"][-1] + solution["b"][0][-1]

    with pytest.raises(TypeError, match="must return a tree like y0"):
        odeint(lambda y, t: y["a"], {"a": fnp.ones(2), "b": 1.0}, TIMES)
    field = lambda y, t, n: {"a": -y["a"] * n, "b": (fnp.sum(y["a"]),)}
    solution = odeint(field, {"a": np.ones(2), "b": (0.0,)}, TIMES, np.int32(2), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(solution["a"][:, 1], np.exp(-2 * TIMES), rtol=1e-8)
    np.testing.assert_allclose(solution["b"][0], 1 - np.exp(-2 * TIMES), atol=1e-8)

    def closed(rate: Any) -> Any:
        return odeint(lambda y, t: -rate * y, 1.0, TIMES, rtol=1e-10, atol=1e-10)[-1]

    np.testing.assert_allclose(ft.grad(closed)(0.7), -1.5 * np.exp(-0.7 * 1.5), rtol=1e-7)
    complex_ = odeint(lambda y, t: 1j * y, np.complex128(1), TIMES, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(complex_, np.exp(1j * TIMES), rtol=1e-8)


def test_single_precision_and_tolerances_by_default() -> None:
    found = ft.jit(lambda y: odeint(lambda y, t: -y, y, TIMES.astype(np.float32)))(np.float32(1))
    np.testing.assert_allclose(found, np.exp(-TIMES), rtol=1e-5)


def test_too_few_steps_are_seen(x64: None) -> None:
    found = odeint(lambda y, t: -50 * y, 1.0, np.float64([0.0, 1e-3, 5.0]), mxstep=3)
    assert np.isfinite(found[0]) and np.isnan(found[2])
    assert odeint(lambda y, t: -y, 1.0, TIMES[:1]).tolist() == [1.0]
    fine = odeint(lambda y, t: fnp.where(t < 1, 0.0, 1.0), 0.0, np.float64([0.0, 2.0]), hmax=0.01)
    np.testing.assert_allclose(fine[1], 1.0, atol=1e-5)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: odeint(lambda y, t: y, 1.0, np.arange(3)), TypeError, "t must be an array of floats"),
        (lambda: odeint(lambda y, t: y, 1.0, np.float32(1)), ValueError, "t must be a vector"),
        (lambda: odeint(lambda y, t: y, 1, np.float32(TIMES)), TypeError, "y0 must be floating"),
        (lambda: odeint(lambda y, t, s: y, 1.0, np.float32(TIMES), "s"), TypeError, "must be arrays"),
    ],
)
def test_wrong_equations_are_refused(call: Any, error: Any, text: str) -> None:
    with pytest.raises(error, match=text):
        call()
