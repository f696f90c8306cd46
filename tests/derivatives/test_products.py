"""Products with Hessians, Gauss and Newton's and Fisher's matrices, against the matrices themselves."""

from __future__ import annotations

import collections
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import functrans as ft
import functrans.numpy as fnp
from functrans import lax
from functrans.derivatives import fisher_vp, gauss_newton_vp
from functrans.ir.program import all_equations
from tests.agreement import assert_same, assert_values_agree
from tests.errors.refusal import caught, refusal

pytestmark = pytest.mark.usefixtures("x64")
NUMBERS = np.random.default_rng(0)
POINTS = NUMBERS.normal(size=(3, 3))


def parameters(seed=1, dtype=np.float64):
    draw = np.random.default_rng(seed)
    return {"in": draw.normal(size=(3, 4)).astype(dtype), "out": [draw.normal(size=(4, 2)).astype(dtype)]}


def model(library):
    def of(p):
        points = POINTS.astype(p["in"].dtype)
        return library.tanh(points @ p["in"]) @ p["out"][0]

    return of


def dense_product(matrix_of, p, v):
    """A matrix of JAX's times a flattened tree, as a tree."""
    flat, tree = ravel_pytree(p)
    return tree(jax.jit(lambda flat: matrix_of(flat, tree))(flat) @ ravel_pytree(v)[0])


def log_cosh(library):
    return lambda r: library.sum(library.log(library.cosh(r))) + library.sum(r[0]) * library.sum(r**2)


def gauss_newton_matrix(residual, loss):
    def of(flat, tree):
        out = ravel_pytree(residual(tree(flat)))[0]
        j = jax.jacobian(lambda x: ravel_pytree(residual(tree(x)))[0])(flat)
        shape = residual(tree(flat)).shape
        return j.T @ jax.hessian(lambda r: loss(r.reshape(shape)))(out) @ j

    return of


@pytest.mark.parametrize(("loss", "dtype"), [(None, np.float32), (log_cosh, np.float64)])
def test_a_gauss_newton_product_is_that_of_the_matrix(loss, dtype):
    p, v = parameters(1, dtype), parameters(2, dtype)
    found = gauss_newton_vp(model(fnp), loss and loss(fnp), (p,), (v,))
    of = loss(jnp) if loss else lambda r: 0.5 * jnp.sum(r**2)
    expected = dense_product(gauss_newton_matrix(model(jnp), of), p, v)
    assert_same(found, expected, 512)


def test_of_several_arguments_it_is_a_tuple():
    a, b = POINTS[:2, :2], POINTS[1:, 1:]
    found = gauss_newton_vp(lambda a, b: {"product": a @ b, "sum": fnp.sum(a)}, None, (a, b), (b, a))

    def matrix(flat, tree):
        j = jax.jacobian(lambda x: (lambda a, b: jnp.append((a @ b).ravel(), a.sum()))(*tree(x)))(flat)
        return j.T @ j

    assert_same(found, tuple(dense_product(matrix, (a, b), (b, a))))


def test_it_is_the_hessian_where_the_residual_is_linear_complex_ones_too():
    a = NUMBERS.normal(size=(4, 3)) + 1j * NUMBERS.normal(size=(4, 3))
    x, v = POINTS[0], POINTS[1]
    found = gauss_newton_vp(lambda x: a @ x, None, (x,), (v,))
    assert_values_agree(found, (a.conj().T @ a).real @ v)
    total = lambda x: 0.5 * fnp.sum(fnp.abs(a @ x) ** 2)
    assert_values_agree(ft.hvp(total, (x,), (v,)), found)
    z, w = x + 1j * v, v - 2j * x
    assert_values_agree(gauss_newton_vp(lambda z: a @ z, None, (z,), (w,)), ft.hvp(total, (z,), (w,)))


def operations(fun, *args):
    return collections.Counter(eqn.op.name for eqn in all_equations(ft.make_jaxpr(fun)(*args)))


def test_the_model_is_evaluated_and_linearized_once():
    p, v = parameters(1), parameters(2)
    value = operations(model(fnp), p)
    push = operations(lambda p, v: ft.jvp(model(fnp), (p,), (v,)), p, v)
    pull = operations(lambda p, w: ft.vjp(model(fnp), p)[1](w), p, np.ones((3, 2)))
    found = operations(lambda p, v: gauss_newton_vp(model(fnp), None, (p,), (v,)), p, v)
    assert found["tanh"] == value["tanh"] == 1
    assert found["sech_squared"] == push["sech_squared"] == 1  # the slope of tanh: for both directions
    # One product of the values (the last is of the result alone, which nothing asks for), three of slopes each way.
    assert found["dot_general"] == 1 + 3 + 3
    assert sum(found.values()) <= sum(push.values()) + sum(pull.values()) - sum(value.values())


def test_a_loop_runs_once_forward_once_along_and_once_backward():
    def residual(x):
        return lax.scan(lambda c, y: (fnp.sin(c) * y, c), x, POINTS)[1]

    x, v = POINTS[0], POINTS[1]
    assert operations(lambda x, v: gauss_newton_vp(residual, None, (x,), (v,)), x, v)["scan"] == 3

    def in_jax(x):
        return jax.lax.scan(lambda c, y: (jnp.sin(c) * y, c), x, POINTS)[1]

    j = jax.jacobian(in_jax)(x).reshape(-1, 3)
    assert_values_agree(gauss_newton_vp(residual, None, (x,), (v,)), j.T @ j @ v)


def test_it_is_linear_symmetric_and_positive():
    p, (u, v, w) = parameters(1), [parameters(seed) for seed in (2, 3, 4)]
    product = lambda v: ravel_pytree(fisher_vp(model(fnp), "categorical", (p,), (v,)))[0]
    flat = lambda v: ravel_pytree(v)[0]
    combined = jax.tree.map(lambda v, w: 2.0 * v - 3.0 * w, v, w)
    assert_values_agree(product(combined), 2.0 * product(v) - 3.0 * product(w), 256)
    assert_values_agree(flat(u) @ product(v), flat(v) @ product(u), 256)
    assert flat(u) @ product(u) > 0


def test_it_compiles_maps_and_differentiates():
    p, v = parameters(1), parameters(2)
    product = lambda p, v: gauss_newton_vp(model(fnp), None, (p,), (v,))
    once = product(p, v)
    assert_same(ft.jit(product)(p, v), once, 128)
    both = jax.tree.map(lambda *x: np.stack(x), v, p)
    mapped = ft.vmap(product, (None, 0))(p, both)
    assert_same(jax.tree.map(lambda x: x[0], mapped), once, 128)
    assert_same(jax.tree.map(lambda x: x[1], mapped), product(p, p), 128)

    def length(p):
        products = ravel_pytree(product(p, v))[0]
        return fnp.vdot(ravel_pytree(v)[0], products)

    def expected(p):
        slopes = jax.jvp(model(jnp), (p,), (v,))[1]
        return jnp.sum(slopes**2)

    assert_same(ft.jit(ft.grad(length))(p), jax.grad(expected)(p), 1024)
    assert_same(jax.jit(jax.grad(length))(p), jax.grad(expected)(p), 1024)  # in JAX's transforms, too


def test_products_are_loaded_when_they_are_asked_for():
    check = (
        "import sys, functrans; assert 'functrans.derivatives' not in sys.modules; functrans.hvp; "
        "assert 'functrans.derivatives' in sys.modules and 'scipy.optimize' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_residual_may_choose_by_its_values():
    def residual(x):
        return x**2 if x[0] > 0 else -x

    v = np.array([1.0, 1.0])
    assert gauss_newton_vp(residual, None, (np.array([1.0, 3.0]),), (v,)).tolist() == [4.0, 36.0]
    assert gauss_newton_vp(residual, None, (np.array([-1.0, 3.0]),), (v,)).tolist() == [1.0, 1.0]


# -- Fisher's matrix by its definition, the mean of the outer product of the score with itself -----------------------


def information(log_prob, outcomes, weights, flat):
    """``sum w(y) s(y) s(y)^T`` over outcomes y of probability w."""
    scores = jax.vmap(lambda y: jax.grad(lambda x: log_prob(x, y))(flat))(outcomes)
    return (scores * weights[:, None]).T @ scores


def total_information(out_log_prob, outcomes, weights_at):
    """Of the model at all points: each is independent of the others."""

    def of(flat, tree):
        total = 0.0
        for i in range(len(POINTS)):
            log_prob = lambda x, y, i=i: out_log_prob(model(jnp)(tree(x))[i], y)
            total = total + information(log_prob, outcomes, weights_at(model(jnp)(tree(flat))[i]), flat)
        return total

    return of


def of_each(log_prob, outcomes, weights_at):
    """The same, where each of a point's two numbers has a distribution of its own."""

    def of(flat, tree):
        parts = [
            total_information(lambda out, y, k=k: log_prob(out[k], y), outcomes, lambda out, k=k: weights_at(out[k]))
            for k in (0, 1)
        ]
        return sum(part(flat, tree) for part in parts)

    return of


COUNTS = np.arange(400.0)
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(9)  # for the mean over a standard normal variable
WEIGHTS = WEIGHTS / np.sqrt(2 * np.pi)
DISTRIBUTIONS = {
    "categorical": total_information(lambda out, y: jax.nn.log_softmax(out)[y], np.arange(2), jax.nn.softmax),
    "bernoulli": of_each(
        lambda logit, y: y * logit - jnp.logaddexp(0.0, logit), np.arange(2.0),
        lambda logit: jnp.stack([jax.nn.sigmoid(-logit), jax.nn.sigmoid(logit)]),
    ),
    "poisson": of_each(
        lambda rate, y: y * rate - jnp.exp(rate), COUNTS,
        lambda rate: jax.scipy.stats.poisson.pmf(COUNTS, jnp.exp(rate)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_a_fisher_product_is_that_of_the_mean_square_of_the_score(distribution):
    p, v = parameters(1), parameters(2)
    found = fisher_vp(model(fnp), distribution, (p,), (v,))
    assert_same(found, dense_product(DISTRIBUTIONS[distribution], p, v), 2048)


def normal_information(scale):
    """Of normal distributions with means from the model: y = mean + scale * node."""

    def of(flat, tree):
        total = 0.0
        means = model(jnp)(tree(flat))
        for i, k in np.ndindex(means.shape):
            log_prob = lambda x, y, i=i, k=k: -0.5 * ((y - model(jnp)(tree(x))[i, k]) / scale[i, k]) ** 2
            total = total + information(log_prob, means[i, k] + scale[i, k] * NODES, WEIGHTS, flat)
        return total

    return of


@pytest.mark.parametrize("scale", [None, 0.3, np.array([0.5, 2.0])], ids=["1", "number", "array"])
def test_of_normal_distributions_the_scale_counts(scale):
    p, v = parameters(1), parameters(2)
    found = fisher_vp(model(fnp), "gaussian", (p,), (v,), scale=scale)
    scales = np.broadcast_to(1.0 if scale is None else scale, (3, 2))
    assert_same(found, dense_product(normal_information(scales), p, v), 2048)


def test_a_scale_may_be_a_tree_like_the_means():
    model = lambda x: {"a": 2.0 * x, "b": x**2}
    x, v = np.array([1.0, 3.0]), np.array([1.0, 2.0])
    found = fisher_vp(model, "gaussian", (x,), (v,), scale={"a": 2.0, "b": np.array([1.0, 3.0])})
    np.testing.assert_allclose(found, (2.0 / 2.0) ** 2 * v + (2 * x / np.array([1.0, 3.0])) ** 2 * v, rtol=1e-14)


def test_a_metric_of_the_users_is_used():
    """Normal distributions by mean and logarithm of the standard deviation."""

    def model(x):
        return {"mean": fnp.sin(x), "log_scale": 0.1 * x**2}

    def metric(parameters, tangent):
        weight = fnp.exp(-2.0 * parameters["log_scale"])
        return {"mean": weight * tangent["mean"], "log_scale": 2.0 * tangent["log_scale"]}

    x, v = POINTS[0], POINTS[1]
    found = fisher_vp(model, metric, (x,), (v,))
    expected = np.zeros((3, 3))
    for i in range(3):
        scale = np.exp(0.1 * x[i] ** 2)
        log_prob = lambda x, y, i=i: -0.5 * ((y - jnp.sin(x[i])) * jnp.exp(-0.1 * x[i] ** 2)) ** 2 - 0.1 * x[i] ** 2
        expected += information(log_prob, np.sin(x[i]) + scale * NODES, WEIGHTS, x)
    np.testing.assert_allclose(found, expected @ v, rtol=1e-12)


def test_it_is_the_gauss_newton_matrix_of_the_negative_log_likelihood_of_any_outcome():
    p, v = parameters(1), parameters(2)
    outcomes = np.array([0, 1, 1])

    def loss(logits):
        return fnp.sum(fnp.log(fnp.sum(fnp.exp(logits), 1)) - logits[np.arange(3), outcomes])

    found = gauss_newton_vp(model(fnp), loss, (p,), (v,))
    assert_same(fisher_vp(model(fnp), "categorical", (p,), (v,)), found, 256)


# -- wrong use -------------------------------------------------------------------------------------------------------

X = np.array([1.0, 2.0])


def test_one_argument_has_to_stand_in_a_tuple():
    identity = lambda x: x
    products = [
        lambda: ft.hvp(identity, X, (X,)),
        lambda: gauss_newton_vp(identity, None, X, (X,)),
        lambda: fisher_vp(identity, "poisson", X, (X,)),
    ]
    for product in products:
        caught(TypeError, product).says("primals must be a tuple", "(x,)")


def test_a_loss_without_a_scalar_result_is_refused():
    refusal(TypeError, lambda: gauss_newton_vp(lambda x: x, lambda r: r, (X,), (X,))).says("its loss", "scalar")


def test_tangents_of_another_tree_or_shape_are_refused():
    refusal(TypeError, lambda: gauss_newton_vp(lambda x: x, None, (X,), ([X],))).says("tree structure")
    refusal(ValueError, lambda: gauss_newton_vp(lambda x: x, None, (X,), (X[:1],))).says("shape (1,)", "(2,)")


def test_an_unknown_distribution_and_a_scale_of_another_are_refused():
    refusal(ValueError, lambda: fisher_vp(lambda x: x, "gausian", (X,), (X,))).says("'gausian'", "gaussian", "metric")
    refusal(TypeError, lambda: fisher_vp(lambda x: x, 3, (X,), (X,))).says("name or a function")
    refusal(TypeError, lambda: fisher_vp(lambda x: x, "poisson", (X,), (X,), scale=2.0)).says("scale", "gaussian")


def test_a_metric_that_is_not_linear_or_of_another_tree_is_refused():
    refusal(TypeError, lambda: fisher_vp(lambda x: x, lambda y, t: t * t, (X,), (X,))).says("linear")
    refusal(TypeError, lambda: fisher_vp(lambda x: x, lambda y, t: (t,), (X,), (X,))).says("metric", "tree")
    refusal(TypeError, lambda: fisher_vp(lambda x: x, lambda y, t: fnp.sum(t), (X,), (X,))).says("metric", "f64[2]")
