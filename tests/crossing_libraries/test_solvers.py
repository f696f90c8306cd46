"""Diffrax, Lineax, Optimistix and JAXopt: their own rules for derivatives are followed by functrans' transforms."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from tests.agreement import assert_same
from tests.crossing_libraries.products import X, Y, assert_products_agree

pytestmark = pytest.mark.filterwarnings("ignore")  # what these packages warn about is not ours to fix
SIDE = np.float32([1.0, 2.0, 3.0])
MATRIX = np.float32([[4.0, 1.0, 0.0], [1.0, 5.0, 1.0], [0.0, 1.0, 6.0]])


def _end(library, y, rate, **options):
    """Where the motion y' = -rate sin(y) is at time 1, in four steps; the field is made of `library`'s functions."""
    diffrax = pytest.importorskip("diffrax")
    term = diffrax.ODETerm(lambda t, y, rate: -rate * library.sin(y))
    return diffrax.diffeqsolve(term, diffrax.Heun(), 0.0, 1.0, 0.25, y, args=rate, max_steps=8, **options).ys[-1]


@pytest.mark.parametrize("adjoint", ["RecursiveCheckpointAdjoint", "BacksolveAdjoint"])
def test_diffrax_in_reverse_mode(adjoint):
    diffrax = pytest.importorskip("diffrax")

    def each(library):
        def loss(rate, y):
            return (_end(jnp, y, rate, adjoint=getattr(diffrax, adjoint)()) ** 2).sum()

        def both(rate, starts):
            whole = lambda rate, starts: library.vmap(loss, (None, 0))(rate, starts).sum()
            each = library.vmap(library.grad(loss, (0, 1)), (None, 0))
            return each(rate, starts), library.grad(whole, (0, 1))(rate, starts)

        return both

    rate, starts = np.float32(2.0), np.float32([[0.3, 1.2], [0.6, 2.0]])
    assert_same(ft.jit(each(ft))(rate, starts), jax.jit(each(jax))(rate, starts), 1024)


def test_diffrax_in_forward_mode_and_at_second_order():
    diffrax = pytest.importorskip("diffrax")

    def both(library):
        def end(y, rate):
            return _end(jnp, y, rate, adjoint=diffrax.DirectAdjoint())

        def of(y, rate):
            slope = library.grad(lambda y: (end(y, rate) ** 2).sum())
            return library.jacfwd(end)(y, rate), library.jvp(slope, (y,), (y,))[1]

        return of

    y, rate = np.float32([0.3, 1.2]), np.float32(2.0)
    assert_same(ft.jit(both(ft))(y, rate), jax.jit(both(jax))(y, rate), 1024)


def test_a_vector_field_of_ours_in_diffrax():
    y, rate = np.float32([0.3, 1.2]), np.float32(2.0)
    expected = jax.jit(jax.jacrev(lambda y: _end(jnp, y, rate)))(y)
    assert_same(jax.jit(jax.jacrev(lambda y: _end(fnp, y, rate)))(y), expected, 1024)


def test_lineax():
    lx = pytest.importorskip("lineax")

    def loss(scale, side):
        operator = lx.MatrixLinearOperator(MATRIX * scale, lx.positive_semidefinite_tag)
        direct = lx.linear_solve(lx.MatrixLinearOperator(MATRIX + scale), side).value
        return (lx.linear_solve(operator, side, lx.CG(1e-6, 1e-6)).value * direct).sum()

    assert_products_agree(loss, jnp.float32(1.5), np.stack([SIDE, -SIDE]), at_once=False)


def test_optimistix():
    optx = pytest.importorskip("optimistix")

    def root(a):
        return optx.root_find(lambda y, a: y**3 - a, optx.Newton(1e-6, 1e-6), jnp.ones(3), args=a).value

    def fit(a):
        solver = optx.LevenbergMarquardt(1e-6, 1e-6)
        return optx.least_squares(lambda y, a: y**2 - a, solver, jnp.ones(3), args=a).value

    def slopes(library):
        return lambda a: (library.jacfwd(root)(a), library.jacrev(fit)(a))

    assert_same(ft.jit(slopes(ft))(SIDE), jax.jit(slopes(jax))(SIDE), 1024)
    ours = optx.root_find(lambda y, a: fnp.power(y, 3) - a, optx.Newton(1e-6, 1e-6), jnp.ones(3), args=SIDE).value
    assert_same(ours, root(SIDE), 256)


def test_jaxopt():
    jaxopt = pytest.importorskip("jaxopt")

    def ridge(penalty):
        def objective(w, penalty):
            return jnp.mean((X @ w - Y) ** 2) + penalty * jnp.sum(w**2)

        return jaxopt.GradientDescent(objective, maxiter=200, tol=1e-6).run(jnp.zeros(3), penalty).params.sum()

    def fixed(rate):
        return jaxopt.FixedPointIteration(lambda x, rate: jnp.cos(x) * rate, maxiter=50).run(jnp.ones(2), rate).params

    def slopes(library):
        return lambda a: (library.grad(ridge)(a), library.jacrev(fixed)(a))

    assert_same(ft.jit(slopes(ft))(jnp.float32(0.6)), jax.jit(slopes(jax))(jnp.float32(0.6)), 1024)
    objective = ft.jit(lambda w: fnp.mean((X @ w - Y) ** 2) + 0.1 * fnp.sum(w**2))
    found = jaxopt.LBFGS(objective, maxiter=20).run(jnp.zeros(3))
    wanted = np.linalg.solve(X.T @ X / len(X) + 0.1 * np.eye(3), X.T @ Y / len(X))
    np.testing.assert_allclose(found.params, wanted, atol=1e-3)  # the solver stops at a gradient of 1e-3
