"""Estimates of differential operators: unbiased, with the variance that theory gives, repeatable, and cheap."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans import random
from functrans.derivatives import differential_operator, estimated_laplacian, estimated_operator, laplacian
from tests.errors.refusal import refusal

pytestmark = pytest.mark.usefixtures("x64")

KINDS = ["rademacher", "gaussian", "coordinates"]
X = np.linspace(0.3, 1.0, 6)
TERMS = {
    (2, 0, 0, 0, 0, 0): 1.0, (1, 1, 0, 0, 0, 0): -3.0, (0, 0, 2, 0, 0, 0): 0.1, (0, 1, 0, 1, 0, 0): 0.7,
    (0, 0, 0, 0, 0, 0): 2.0, (1, 0, 0, 0, 0, 0): 1.0, (0, 0, 0, 0, 1, 0): -1.0, (0, 0, 0, 0, 2, 0): 0.0,
    (2, 1, 0, 0, 0, 0): 0.4, (0, 0, 0, 1, 0, 2): 5.0, (0, 0, 3, 0, 0, 0): 1.0,
}  # fmt: skip


def f(x):
    return fnp.sin(x[0] * x[1]) * fnp.exp(x[2]) + fnp.sum(x**3) * x[3] + x[3] * x[4] * x[5] ** 2


def draws(estimate, number=2000):
    """The values of an estimate by many keys."""
    return np.asarray(ft.jit(ft.vmap(estimate))(random.split(random.key(1), number)))


def assert_unbiased(values, exact):
    """Their mean is off by at most four of its standard errors."""
    assert np.std(values) > 0
    assert abs(np.mean(values) - exact) < 4 * np.std(values) / math.sqrt(len(values))


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_the_mean_over_keys_is_the_laplacian(kind, count):
    assert_unbiased(draws(lambda key: estimated_laplacian(f, key, count, kind)(X)), laplacian(f)(X))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_mean_over_keys_is_the_operator(count):
    assert_unbiased(draws(lambda key: estimated_operator(TERMS, key, count)(f)(X)), differential_operator(TERMS)(f)(X))


def test_variances_are_those_of_theory():
    hessian = np.asarray(ft.hessian(f)(X))
    diagonal, n, count = np.diag(hessian), len(X), 3
    every = np.sum(hessian**2)
    wanted = {
        "gaussian": 2 * every / count,
        "rademacher": 2 * (every - np.sum(diagonal**2)) / count,
        "coordinates": n**2 * (1 - count / n) * np.var(diagonal, ddof=1) / count,
    }
    for kind, variance in wanted.items():
        values = draws(lambda key, kind=kind: estimated_laplacian(f, key, count, kind)(X), 4000)
        np.testing.assert_allclose(np.var(values), variance, rtol=0.15)


def test_what_an_estimate_is_exact_for():
    separable = lambda x: fnp.sum(fnp.sin(x) * fnp.arange(6.0))
    even = lambda x: x @ x + 3 * x[0] * x[1]
    for key in random.split(random.key(5), 4):
        np.testing.assert_allclose(estimated_laplacian(separable, key, 1)(X), laplacian(separable)(X), rtol=1e-12)
        np.testing.assert_allclose(estimated_laplacian(even, key, 2, "coordinates")(X), 12.0, rtol=1e-12)


@pytest.mark.parametrize("count", [6, 7, 100])
def test_as_many_lines_as_variables_are_exact_and_no_more_are_needed(count):
    np.testing.assert_allclose(estimated_laplacian(f, random.key(0), count, "coordinates")(X), laplacian(f)(X))
    operator = estimated_operator(TERMS, random.key(0), count)
    np.testing.assert_allclose(operator(f)(X), differential_operator(TERMS)(f)(X))
    for kind in KINDS[:2]:
        assert estimated_laplacian(f, random.key(0), count, kind)(X) != laplacian(f)(X)


def test_no_coordinate_is_drawn_twice_and_all_are():
    digits = lambda x: fnp.sum(x**2 * 10.0 ** np.arange(5)) / 2
    found = draws(lambda key: estimated_laplacian(digits, key, 2, "coordinates")(np.ones(5)), 500) * 2 / 5
    pairs = {10**i + 10**j for i, j in itertools.combinations(range(5), 2)}
    assert set(np.round(found).astype(int).tolist()) == pairs


def test_terms_are_drawn_in_proportion_to_their_coefficients():
    """Of 8, 1, 1, 2 with two draws the first is always taken, and the others with 1/4, 1/4, 1/2."""
    coefficients = dict(zip([(2, 0, 0, 0), (0, 2, 0, 0), (0, 0, 2, 0), (0, 0, 0, 2)], [8.0, 1.0, -1.0, 2.0]))
    square = lambda x: fnp.sum(x**2 * np.array([1.0, 1e2, 1e4, 1e6])) / 2
    found = draws(lambda key: estimated_operator(coefficients, key, 2)(square)(np.ones(4)), 2000)
    values, counts = np.unique(np.round(found), return_counts=True)
    assert values.tolist() == [8 - 4e4, 8 + 4e2, 8 + 4e6]
    np.testing.assert_allclose(counts / 2000, [0.25, 0.25, 0.5], atol=4 * math.sqrt(0.25 / 2000))


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_key_gives_the_same_value(kind):
    apply = lambda key: estimated_laplacian(f, key, 2, kind)(X)
    assert apply(random.key(3)) == apply(random.key(3))
    assert len({float(apply(random.key(seed))) for seed in range(6)}) > 1
    old = np.asarray(random.key_data(random.key(3)))
    assert estimated_laplacian(f, old, 2, kind)(X) == apply(random.key(3))
    np.testing.assert_allclose(ft.jit(apply)(random.key(3)), apply(random.key(3)), rtol=1e-13)


@pytest.mark.parametrize("kind", KINDS)
def test_estimates_stand_under_transforms_and_take_trees(kind):
    key = random.key(2)
    f = lambda t, w: fnp.sum(fnp.sin(t["a"] * w)) * t["b"] ** 2
    tree = {"a": X, "b": 0.5}
    estimate = estimated_laplacian(f, key, 3, kind)
    step = 1e-5
    slope = (estimate(tree, X + step) - estimate(tree, X - step)) / (2 * step)
    np.testing.assert_allclose(np.sum(ft.grad(estimate, 1)(tree, X)), slope, rtol=1e-6)
    keys, points = random.split(key, 3), np.stack([X, 2 * X, 3 * X])
    one = lambda x, k: estimated_laplacian(lambda x: f({"a": x, "b": 1.0}, X), k, 3, kind)(x)
    found = ft.vmap(one)(points, keys)
    np.testing.assert_allclose(found, [one(x, k) for x, k in zip(points, keys)], rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_the_result_has_the_dtype_of_the_function(dtype):
    for kind in KINDS:
        found = estimated_laplacian(lambda x: fnp.sum(x * x), random.key(0), 2, kind)(X.astype(dtype))
        assert found.dtype == dtype
        np.testing.assert_allclose(np.float64(found), 12.0, rtol=1e-2 if kind != "gaussian" else 2)
    assert estimated_operator(TERMS, random.key(0), 2)(f)(X.astype(dtype)).dtype == dtype


def test_arguments_of_no_and_of_one_element():
    for kind in KINDS:
        assert estimated_laplacian(lambda x: fnp.sum(x**2), random.key(0), 2, kind)(np.zeros(0)) == 0.0
    for kind in ("rademacher", "coordinates"):
        np.testing.assert_allclose(estimated_laplacian(lambda x: x**3, random.key(0), 2, kind)(0.5), 3.0)


def test_the_cost_is_that_of_the_lines_and_not_of_the_variables():
    n = 3000
    for kind in KINDS:
        estimate = estimated_laplacian(lambda x: fnp.sum(fnp.tanh(x) ** 2), random.key(0), 2, kind)
        program = ft.make_jaxpr(estimate)(np.ones(n))
        assert max(v.type.size for eqn in program.equations for v in eqn.outputs) <= 4 * n


# -- wrong input -----------------------------------------------------------------------------------------------------


def test_what_is_no_key_is_refused():
    refusal(TypeError, lambda: estimated_laplacian(f, 0, 2)).says("estimated_laplacian: a random key is needed, got 0")
    refusal(TypeError, lambda: estimated_operator(TERMS, "a", 2)).says("estimated_operator: a random key is needed")
    keys = random.split(random.key(0), 3)
    refusal(ValueError, lambda: estimated_laplacian(f, keys, 2)).says("takes a single key", "vmap")


@pytest.mark.parametrize("make", [estimated_laplacian, lambda _, *rest: estimated_operator(TERMS, *rest)])
def test_counts_that_are_none_are_refused(make):
    key = random.key(0)
    refusal(ValueError, lambda: make(f, key, 0)).says("the count must be 1 or more, got 0")
    refusal(TypeError, lambda: make(f, key, 2.0)).says("the count must be a whole number, got 2.0")
    refusal(TypeError, lambda: make(f, key, True)).says("the count must be a whole number, got True")


def test_another_kind_and_wrong_functions_are_refused():
    key = random.key(0)
    found = refusal(ValueError, lambda: estimated_laplacian(f, key, 2, "normal"))
    found.says("the kind must be 'rademacher', 'gaussian' or 'coordinates', got 'normal'")
    refusal(TypeError, lambda: estimated_laplacian(X, key, 2)).says("callable")
    refusal(TypeError, lambda: estimated_laplacian(lambda x: x, key, 2)(X)).says("must be a real floating scalar")
    refusal(TypeError, lambda: estimated_laplacian(f, key, 2)(np.arange(6))).says("needs real floating arguments")
    refusal(ValueError, lambda: estimated_operator(TERMS, key, 2)(f)(X[:5])).says("has 6 variables", "has 5 elements")
    refusal(ValueError, lambda: estimated_operator({(-1,): 1.0}, key, 2)).says("estimated_operator: exponents must")
