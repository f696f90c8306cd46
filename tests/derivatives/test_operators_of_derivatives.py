"""Jacobians and Hessians as linear operators: the same products as the matrices, and solvers of SciPy and Lineax."""

from __future__ import annotations

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse.linalg as sparse
from jax.flatten_util import ravel_pytree

import functrans as ft
import functrans.numpy as fnp
from functrans import lax
from functrans.derivatives import (
    fisher_operator,
    fisher_vp,
    gauss_newton_operator,
    hessian_operator,
    jacobian_operator,
)
from tests.agreement import assert_same, assert_values_agree
from tests.errors.refusal import refusal

pytestmark = pytest.mark.usefixtures("x64")
NUMBERS = np.random.default_rng(0)
MATRIX = NUMBERS.normal(size=(4, 4))


def point(seed=1):
    draw = np.random.default_rng(seed)
    return {"a": draw.normal(size=(2, 2)), "b": draw.normal()}


def field(library):
    """Of 5 numbers 7, in another tree."""

    def of(x):
        return [library.sin(x["a"]) * x["b"], (library.sum(x["a"] ** 2), x["a"][0] * x["b"] ** 2)]

    return of


def energy(library):
    """Convex, of 5 numbers."""

    def of(x):
        y = library.reshape(x["a"], (4,))
        return library.sum(library.cosh(MATRIX @ y)) + library.sum((y - x["b"]) ** 2) + x["b"] ** 4

    return of


def flat(tree):
    return np.asarray(ravel_pytree(tree)[0])


def dense_jacobian(x):
    vector, tree = ravel_pytree(x)
    return np.asarray(jax.jit(jax.jacobian(lambda v: ravel_pytree(field(jnp)(tree(v)))[0]))(vector))


def dense_hessian(x):
    vector, tree = ravel_pytree(x)
    return np.asarray(jax.jit(jax.hessian(lambda v: energy(jnp)(tree(v))))(vector))


def test_a_jacobian_operator_has_the_products_of_the_matrix():
    x, v = point(), point(2)
    operator, matrix = jacobian_operator(field(fnp), x), dense_jacobian(x)
    w = jax.tree.map(np.asarray, field(np)(v))
    assert operator.shape == matrix.shape == (7, 5) and operator.T.shape == (5, 7)
    assert operator.dtype == np.float64
    assert_same(operator.mv(v), jax.jvp(field(jnp), (x,), (v,))[1])
    assert_same(operator.rmv(w), jax.vjp(field(jnp), x)[1](w)[0])
    assert_same(operator.T.mv(w), operator.rmv(w))
    for found, expected in ((operator, matrix), (operator.T, matrix.T), (operator.T.T, matrix)):
        assert_values_agree(found @ np.eye(found.shape[1]), expected)
        assert_values_agree(found @ np.arange(float(found.shape[1])), expected @ np.arange(expected.shape[1]))


def test_a_hessian_operator_has_the_products_of_the_matrix():
    x = point()
    operator, matrix = hessian_operator(energy(fnp), x), dense_hessian(x)
    assert operator.T is operator
    assert_values_agree(operator @ np.eye(5), matrix)
    assert_same(operator.mv(point(2)), operator.rmv(point(2)))


def test_gauss_newton_and_fisher_operators_have_the_products_of_their_matrices():
    x = point()
    jacobian = dense_jacobian(x)
    assert_values_agree(gauss_newton_operator(field(fnp), None, x) @ np.eye(5), jacobian.T @ jacobian)
    total = lambda r: sum(fnp.sum(fnp.exp(y)) for y in jax.tree.leaves(r))
    weights = np.exp(flat(field(np)(x)))
    assert_values_agree(gauss_newton_operator(field(fnp), total, x) @ np.eye(5), jacobian.T * weights @ jacobian)
    operator = fisher_operator(field(fnp), "poisson", x)
    assert_values_agree(operator @ np.eye(5), jacobian.T * weights @ jacobian)
    assert_values_agree(operator @ flat(point(2)), flat(fisher_vp(field(fnp), "poisson", (x,), (point(2),))))
    by_metric = fisher_operator(lambda x: x["b"] * x["a"], lambda y, t: fnp.exp(y) * t, x)
    by_name = fisher_operator(lambda x: x["b"] * x["a"], "poisson", x)
    assert_values_agree(by_metric @ np.eye(5), by_name @ np.eye(5))


def test_dtypes_of_a_tree_may_differ():
    x = {"half": fnp.asarray([1.0, 2.0], fnp.bfloat16), "single": np.float32([3.0])}
    operator = jacobian_operator(lambda x: x["half"] * x["single"].astype(fnp.bfloat16), x)
    assert operator.dtype == np.float32
    assert (operator.T @ np.array([1.0, 1.0], np.float32)).dtype == np.float32
    found = operator.to_scipy() @ np.array([1.0, 0.0, 1.0])
    assert found.dtype == np.float32 and found.tolist() == [4.0, 2.0]


def test_an_operator_passes_through_transforms():
    x, v = point(), flat(point(2))
    expected = dense_hessian(x) @ v
    make = ft.jit(lambda x: hessian_operator(energy(fnp), x))
    assert_values_agree(make(x) @ v, expected)
    assert_values_agree(ft.jit(lambda x: make(x) @ v)(x), expected)
    both = jax.tree.map(lambda *x: np.stack(x), x, point(3))
    assert_values_agree(ft.vmap(lambda operator: operator @ v)(ft.vmap(make)(both))[0], expected)
    powers = lax.scan(lambda c, _: (make(x) @ c, None), v, None, length=3)[0]
    assert_values_agree(powers, dense_hessian(x) @ dense_hessian(x) @ expected)
    assert_values_agree(jax.jit(lambda x: hessian_operator(energy(fnp), x) @ v)(x), expected)

    def bent(x):
        return fnp.sum(hessian_operator(energy(fnp), x).mv(x)["a"])

    def bent_by_jax(x):
        return jnp.sum(jax.jvp(jax.grad(energy(jnp)), (x,), (x,))[1]["a"])

    assert_same(ft.grad(bent)(x), jax.grad(bent_by_jax)(x), 256)


# -- SciPy -----------------------------------------------------------------------------------------------------------


def test_scipy_has_the_same_matrix_and_its_transpose():
    x = point()
    operator, matrix = jacobian_operator(field(fnp), x).to_scipy(), dense_jacobian(x)
    assert isinstance(operator, sparse.LinearOperator) and operator.shape == (7, 5) and operator.dtype == np.float64
    v, w = NUMBERS.normal(size=5), NUMBERS.normal(size=7)
    assert_values_agree(operator.matvec(v), matrix @ v)
    assert_values_agree(operator @ v[:, None], (matrix @ v)[:, None])
    assert_values_agree(operator.rmatvec(w), matrix.T @ w)
    assert_values_agree(operator.matmat(np.eye(5)), matrix)
    assert_values_agree(operator.rmatmat(np.eye(7)), matrix.T)
    assert_values_agree(operator.H @ w, matrix.T @ w)
    assert_values_agree((operator.T @ operator) @ v, matrix.T @ (matrix @ v))


def test_operators_of_one_number_and_of_one_column():
    assert (jacobian_operator(lambda x: x**2, 3.0).to_scipy() @ np.array([2.0])).tolist() == [12.0]
    assert (jacobian_operator(lambda x: x**2, 3.0).to_scipy() @ np.array([[2.0]])).tolist() == [[12.0]]
    column = jacobian_operator(lambda x: x * np.array([1.0, 2.0]), 3.0)
    assert (column.to_scipy() @ np.array([[2.0, 3.0]])).tolist() == [[2.0, 3.0], [4.0, 6.0]]


def test_solvers_of_scipy_find_what_numpy_finds():
    x, b = point(), NUMBERS.normal(size=5)
    hessian, matrix = hessian_operator(energy(fnp), x).to_scipy(), dense_hessian(x)
    expected = np.linalg.solve(matrix, b)
    for solve in (sparse.cg, sparse.gmres, sparse.minres):
        found, failure = solve(hessian, b, rtol=1e-12)
        assert failure == 0
        np.testing.assert_allclose(found, expected, rtol=1e-9)
    largest = sparse.eigsh(hessian, k=1, v0=b, return_eigenvectors=False)
    np.testing.assert_allclose(largest, np.linalg.eigvalsh(matrix)[-1:], rtol=1e-9)
    jacobian, w = jacobian_operator(field(fnp), x), NUMBERS.normal(size=7)
    found = sparse.lsqr(jacobian.to_scipy(), w, atol=1e-14, btol=1e-14)[0]
    np.testing.assert_allclose(found, np.linalg.lstsq(dense_jacobian(x), w)[0], rtol=1e-9)


def test_products_neither_trace_nor_compile_again():
    traces = []

    def counted(x):
        traces.append(None)
        return energy(fnp)(x)

    operator = hessian_operator(counted, point())
    scipy_operator, b = operator.to_scipy(), NUMBERS.normal(size=5)
    scipy_operator @ b
    traced, compiled = len(traces), ft.compilation_count()
    assert traced == 1
    steps = []
    sparse.cg(scipy_operator, b, rtol=1e-10, callback=steps.append)
    assert len(steps) > 3
    for seed in range(3):
        operator.T @ NUMBERS.normal(size=5)
        assert hessian_operator(counted, point(seed)).to_scipy() @ b is not None
    assert ft.compilation_count() == compiled  # operators at other points have the same programs
    assert len(traces) == traced + 3


# -- Lineax ----------------------------------------------------------------------------------------------------------


def solvers():
    lineax = pytest.importorskip("lineax")
    return lineax, [lineax.CG(1e-12, 1e-12), lineax.GMRES(1e-12, 1e-12), lineax.LU()]


@pytest.mark.filterwarnings("ignore")  # what the package warns about is not ours to fix
@pytest.mark.parametrize("number", [0, 1, 2], ids=["CG", "GMRES", "LU"])
def test_lineax_solves_with_a_hessian_in_traces_of_both(number):
    lineax, known = solvers()
    x, b = point(), point(2)

    def solution(x):
        operator = hessian_operator(energy(fnp), x).to_lineax(lineax.positive_semidefinite_tag)
        return lineax.linear_solve(operator, b, known[number]).value

    side = flat(b)
    expected = np.linalg.solve(dense_hessian(x), side)
    np.testing.assert_allclose(flat(jax.jit(solution)(x)), expected, rtol=1e-9)

    if number < 2:  # what is differentiated is the equation, by the same rule whatever the solver; LU compiles soonest
        return

    def total(x):
        return fnp.sum(solution(x)["a"])

    def total_by_jax(v):
        hessian = jax.hessian(lambda v: energy(jnp)(tree(v)))(v)
        return jnp.sum(jnp.linalg.solve(hessian, side)[:4])

    vector, tree = ravel_pytree(x)
    slope = jax.jit(jax.grad(total_by_jax))(vector)
    for found in (ft.grad(total)(x), ft.jit(ft.grad(total))(x), jax.jit(jax.grad(total))(x)):
        np.testing.assert_allclose(flat(found), slope, rtol=1e-7)


@pytest.mark.filterwarnings("ignore")
def test_lineax_knows_what_kind_of_matrix_it_is():
    lineax, _ = solvers()
    x = point()
    jacobian, matrix = jacobian_operator(field(fnp), x).to_lineax(), dense_jacobian(x)
    assert not lineax.is_symmetric(jacobian)
    assert_values_agree(jacobian.as_matrix(), matrix)
    assert_values_agree(jacobian.transpose().as_matrix(), matrix.T)
    assert lineax.is_symmetric(hessian_operator(energy(fnp), x).to_lineax())
    assert not lineax.is_positive_semidefinite(hessian_operator(energy(fnp), x).to_lineax())
    positive = gauss_newton_operator(lambda x: (field(fnp)(x), x), None, x).to_lineax()
    assert lineax.is_positive_semidefinite(positive)
    found = lineax.linear_solve(positive, x, lineax.CG(1e-12, 1e-12)).value
    np.testing.assert_allclose(flat(found), np.linalg.solve(matrix.T @ matrix + np.eye(5), flat(x)), rtol=1e-9)


def test_lineax_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "lineax", None)
    operator = jacobian_operator(lambda x: x, 1.0)
    refusal(ImportError, lambda: operator.to_lineax()).says("pip install lineax")


# -- an implicit layer -----------------------------------------------------------------------------------------------

WEIGHTS = 0.4 * NUMBERS.normal(size=(4, 4)) / 2.0
INPUT = NUMBERS.normal(size=4)


@pytest.mark.filterwarnings("ignore")
def test_an_implicit_layer_is_differentiated_through_its_equation():
    """z = tanh(w z + x): the derivative solves the linearized equation by GMRES on an operator."""
    lineax, (_, gmres, _) = solvers()

    def layer(w):
        equation = lambda z: fnp.tanh(w @ z + INPUT) - z

        def iterate(f, z):
            far = lambda z: fnp.max(fnp.abs(f(z))) > 1e-14
            return lax.while_loop(far, lambda z: z + f(z), z)

        def tangent_solve(linear, y):
            return lineax.linear_solve(jacobian_operator(linear, y).to_lineax(), y, gmres).value

        return lax.custom_root(equation, fnp.zeros(4), iterate, tangent_solve)

    def loss(w):
        return fnp.sum(layer(w) ** 2)

    z = layer(WEIGHTS)
    np.testing.assert_allclose(z, np.tanh(WEIGHTS @ z + INPUT), atol=1e-13)
    slope, step = ft.jit(ft.grad(loss))(WEIGHTS), 1e-5
    compiled = ft.jit(loss)
    for i, j in ((0, 0), (1, 3), (3, 2)):
        ahead, behind = WEIGHTS.copy(), WEIGHTS.copy()
        ahead[i, j] += step
        behind[i, j] -= step
        difference = (compiled(ahead) - compiled(behind)) / (2 * step)
        np.testing.assert_allclose(slope[i, j], difference, rtol=1e-7, atol=1e-9)


# -- wrong use -------------------------------------------------------------------------------------------------------


def test_integers_and_complex_numbers_are_refused():
    x = {"n": np.array([1, 2]), "x": np.ones(2)}
    refusal(TypeError, lambda: jacobian_operator(lambda x: x["x"], x)).says("floating", "['n']", "i64[2]")
    refusal(TypeError, lambda: jacobian_operator(lambda x: (x, 3), np.ones(2))).says("the result[1]", "floating")
    refusal(TypeError, lambda: jacobian_operator(lambda x: x * 1j, np.ones(2))).says("real", "c128[2]")
    refusal(TypeError, lambda: hessian_operator(lambda x: fnp.abs(x) ** 2, 1j)).says("real")


def test_a_vector_of_another_length_is_refused():
    operator = jacobian_operator(lambda x: x[:2], np.ones(3))
    for wrong in (np.ones(2), np.ones((2, 3)), np.ones((3, 1, 1)), 1.0):
        refusal(ValueError, lambda wrong=wrong: operator @ wrong).says("(2, 3)", "[3]", "[3, k]")
    refusal(ValueError, lambda: operator.mv(np.ones(2))).says("(2,)", "(3,)")


def test_a_function_without_a_scalar_has_no_hessian_operator():
    refusal(TypeError, lambda: hessian_operator(lambda x: x, np.ones(2))).says("scalar")
