"""Differential operators by collapsed Taylor mode, against nested derivatives and closed forms."""

from __future__ import annotations

import itertools
import math

import hypothesis
import jax
import numpy as np
import pytest
from hypothesis import given

import functrans as ft
import functrans.numpy as fnp
from functrans import lax
from functrans.derivatives import (
    biharmonic,
    curl,
    differential_operator,
    directional,
    divergence,
    estimated_operator,
    laplacian,
)
from tests.errors.refusal import refusal
from tests.laws.random_programs import RandomProgram, programs

pytestmark = pytest.mark.usefixtures("x64", "nests_written_out")


@pytest.fixture
def nests_written_out():
    """The derivatives that operators are compared with are nests, and no Taylor mode."""
    ft.collapse_nests(False)
    yield
    ft.collapse_nests(None)


NUMBERS = np.random.default_rng(0)
WEIGHTS = {n: [NUMBERS.normal(size=s) / np.sqrt(s[0]) for s in ((n, 8), (8, 8), (8,))] for n in (1, 2, 3, 5)}
MATRIX = NUMBERS.normal(size=(3, 3)) + 3 * np.eye(3)
X = np.array([0.3, -0.7, 1.1])


def point(n, seed=0):
    return np.random.default_rng([n, seed]).uniform(-1.0, 1.0, n)


def network(x):
    first, second, last = WEIGHTS[x.shape[0]]
    return fnp.tanh(fnp.tanh(x @ first) @ second) @ last


def trace_of_hessian(fun):
    """The Laplacian by two nested derivatives; the argument is any pytree."""

    def trace(x, *args):
        leaves, tree = jax.tree.flatten(x)
        ends = np.cumsum([0, *[np.size(leaf) for leaf in leaves]])
        parts = lambda v: [v[i:j].reshape(np.shape(y)) for i, j, y in zip(ends, ends[1:], leaves)]
        flat = fnp.concatenate([fnp.reshape(leaf, -1) for leaf in leaves])
        return fnp.trace(ft.hessian(lambda v: fun(jax.tree.unflatten(tree, parts(v)), *args))(flat))

    return trace


def partial(fun, *axes):
    """The partial derivative by each of these elements in turn, by nested grad."""
    if not axes:
        return fun
    first, *rest = axes
    return partial(lambda x: ft.grad(fun)(x)[first], *rest)


def close(found, wanted, rounding=1e-11):
    found, wanted = np.asarray(found), np.asarray(wanted)
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=0, atol=rounding * np.max(np.abs(wanted), initial=1.0))


# -- values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_laplacian_and_biharmonic_are_those_of_nested_derivatives(n):
    x = point(n)
    close(laplacian(network)(x), trace_of_hessian(network)(x))
    close(biharmonic(network)(x), trace_of_hessian(trace_of_hessian(network))(x))
    close(laplacian(laplacian(network))(x), biharmonic(network)(x))


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_the_closed_forms_of_a_wave_a_bell_and_a_power(n):
    x, k = point(n), point(n, 1)
    square = k @ k
    wave = lambda x: fnp.sin(k @ x)
    close(laplacian(wave)(x), -square * np.sin(k @ x))
    close(biharmonic(wave)(x), square**2 * np.sin(k @ x))
    bell = lambda x: fnp.exp(-(x @ x) / 2)
    r = x @ x
    close(laplacian(bell)(x), (r - n) * np.exp(-r / 2))
    close(biharmonic(bell)(x), (r * r - 2 * (n + 2) * r + n * (n + 2)) * np.exp(-r / 2))
    close(laplacian(lambda x: (x @ x) ** 3)(x), 6 * (n + 4) * r**2)
    close(biharmonic(lambda x: (x @ x) ** 3)(x), 24 * (n + 4) * (n + 2) * r)


@pytest.mark.parametrize("order", range(6))
@pytest.mark.parametrize("n", [1, 2, 3])
def test_every_partial_derivative_of_a_network(n, order):
    x = point(n)
    keys = [key for key in itertools.product(range(order + 1), repeat=n) if sum(key) == order]
    if order > 2:
        keys = keys[:: len(keys) // 2 or 1]
    for key in keys:
        axes = [i for i, a in enumerate(key) for _ in range(a)]
        close(differential_operator({key: 2.0})(network)(x), 2.0 * partial(network, *axes)(x), 1e-10)


def test_an_operator_of_mixed_orders():
    operator = differential_operator(
        {(1, 1, 1): 2.0, (2, 0, 0): 1.0, (0, 0, 0): 3.0, (0, 1, 0): -1.0, (0, 3, 1): 0.5, (0, 2, 2): np.float32(0.25)}
    )
    terms = [(2.0, (0, 1, 2)), (1.0, (0, 0)), (3.0, ()), (-1.0, (1,)), (0.5, (1, 1, 1, 2)), (0.25, (1, 1, 2, 2))]
    close(operator(network)(X), sum(c * partial(network, *axes)(X) for c, axes in terms))
    same = {(2, 0, 0): 1.0, (0, 2, 0): 1.0, (0, 0, 2): 1.0}
    close(differential_operator(same)(network)(X), laplacian(network)(X))
    plate = {(4, 0): 1.0, (2, 2): 2.0, (0, 4): 1.0}
    close(differential_operator(plate)(network)(X[:2]), biharmonic(network)(X[:2]))


def test_wave_and_heat_operators_vanish_on_their_solutions():
    wave = differential_operator({(2, 0): 1.0, (0, 2): -4.0})
    heat = differential_operator({(1, 0): 1.0, (0, 2): -0.5})
    for x in (point(2), point(2, 1)):
        close(wave(lambda x: fnp.sin(x[1] - 2 * x[0]) + fnp.exp(-((x[1] + 2 * x[0]) ** 2)))(x), 0.0)
        close(heat(lambda x: fnp.exp(-0.5 * 9 * x[0]) * fnp.sin(3 * x[1]))(x), 0.0, 1e-10)


@pytest.mark.parametrize("order", range(5))
def test_directional_derivatives_of_every_order(order):
    v = point(3, 2)
    nested = lambda s: network(X + s * v)
    for _ in range(order):
        nested = ft.grad(nested)
    close(directional(network, v, order)(X), nested(0.0))
    many = directional(lambda x: {"a": fnp.sin(x), "b": (x @ x, x[0] * 1j)}, v, order)(X)
    close(many["a"], v**order * np.sin(X + order * math.pi / 2))
    close(many["b"][0], [X @ X, 2 * X @ v, 2 * v @ v, 0, 0][order])
    close(many["b"][1], [1j * X[0], 1j * v[0], 0j, 0j, 0j][order])


def field(x):
    return fnp.stack([fnp.sin(x[1] * x[2]) + x[0], x[0] ** 2 * x[2] + fnp.cos(x[1]), fnp.exp(x[0] * x[1]) * x[2]])


def test_divergence_and_curl_are_made_of_the_jacobian():
    j = np.asarray(ft.jacfwd(field)(X))
    close(divergence(field)(X), np.trace(j))
    close(curl(field)(X), [j[2, 1] - j[1, 2], j[0, 2] - j[2, 0], j[1, 0] - j[0, 1]])
    plane = lambda x: fnp.stack([fnp.sin(x[1]) * x[0], x[0] ** 3 * x[1]])
    close(curl(plane)(X[:2]), 3 * X[0] ** 2 * X[1] - np.cos(X[1]) * X[0])


def test_identities_of_vector_calculus():
    """div curl = 0, curl grad = 0, div grad = laplacian, curl curl = grad div - laplacian."""
    close(divergence(curl(field))(X), 0.0)
    close(curl(ft.grad(network))(X), np.zeros(3))
    close(divergence(ft.grad(network))(X), laplacian(network)(X))
    vector_laplacian = np.array([laplacian(lambda x, i=i: field(x)[i])(X) for i in range(3)])
    close(curl(curl(field))(X), np.asarray(ft.grad(divergence(field))(X)) - vector_laplacian)


# -- pytrees, sizes, dtypes ------------------------------------------------------------------------------------------


def test_the_argument_may_be_any_pytree():
    tree = {"a": X, "b": (0.5, [np.array([[1.0, -1.0], [0.25, 2.0]])])}

    def f(t):
        (m,) = t["b"][1]
        return fnp.sum(fnp.sin(t["a"]) * t["b"][0] ** 2) + t["b"][0] ** 3 * fnp.sum(m @ m) + network(t["a"] * m[0, 0])

    close(laplacian(f)(tree), trace_of_hessian(f)(tree))
    close(biharmonic(f)(tree), trace_of_hessian(trace_of_hessian(f))(tree), 1e-10)
    swap = lambda t: {"a": t["a"] ** 2 * t["b"][0], "b": (t["b"][0] ** 3, [t["b"][1][0].T * t["a"][0]])}
    close(divergence(swap)(tree), 2 * X.sum() * 0.5 + 3 * 0.25 + 2 * X[0])
    close(directional(f, tree, 1)(tree), jax.tree.reduce(
        lambda total, x: total + x, jax.tree.map(lambda g, t: np.sum(g * t), ft.grad(f)(tree), tree)
    ))  # fmt: skip
    two = differential_operator({(1, 1): 1.0, (0, 2): 2.0})(lambda t: t["x"] ** 2 * t["y"] ** 3)
    close(two({"x": 2.0, "y": 3.0}), 2 * 2 * 27.0 + 2 * 4 * 6 * 3)


def test_leaves_that_the_function_ignores_add_nothing():
    close(laplacian(lambda t: fnp.sum(t[0] ** 4))((X, X)), 12 * np.sum(X**2))
    close(biharmonic(lambda t: fnp.sum(t[1] ** 4))((X, X)), 72.0)
    close(laplacian(lambda x: x[1] ** 3)(X), 6 * X[1])


@pytest.mark.parametrize(
    "f", [lambda x: x @ X, lambda x: 3.0 * x[0] - x[2], lambda x: fnp.sum(x), lambda x: fnp.zeros(()), lambda x: X @ X],
    ids=["dot", "elements", "sum", "constant", "closed over"],
)  # fmt: skip
def test_what_is_linear_or_constant_has_none(f):
    for operator in (laplacian, biharmonic, differential_operator({(1, 1, 0): 1.0})):
        found = operator(f)(X)
        assert found.dtype == np.float64
        assert found.shape == ()
        assert found == 0.0
        assert ft.jit(operator(f))(X) == 0.0
        assert np.array_equal(ft.grad(operator(f))(X), np.zeros(3))


def test_arguments_of_no_and_of_one_element():
    for operator in (laplacian, biharmonic):
        assert operator(lambda x: fnp.sum(x**4))(np.zeros(0)) == 0.0
        assert operator(lambda t: fnp.sum(t[0] ** 4) + t[1] ** 4)((np.zeros((3, 0)), 2.0)) in (48.0, 24.0)
    for x in (0.5, np.array([0.5]), np.array([[[0.5]]])):
        close(laplacian(lambda x: fnp.sum(x**5))(x), 20 * 0.5**3)
        close(biharmonic(lambda x: fnp.sum(x**5))(x), 120 * 0.5)
    assert divergence(lambda x: x**2)(np.zeros(0)) == 0.0


def test_the_same_array_given_twice_is_two_arguments():
    f = lambda t: fnp.sum(t[0] * t[1] ** 3) + fnp.sum(t[0] ** 2)
    close(laplacian(f)((X, X)), 6 * X @ X + 2 * 3)
    g = lambda x, c: fnp.sum(x**2 * c)
    close(laplacian(g)(X, X), 2 * X.sum())
    close(laplacian(lambda x: fnp.sum(x * x * X))(X), 2 * X.sum())


@pytest.mark.parametrize("dtype", [np.float32, np.float16, jax.numpy.bfloat16, np.float64])
def test_the_result_has_the_dtype_of_the_function(dtype):
    x = X.astype(dtype)
    f = lambda x: fnp.sum(fnp.sin(x) * x)
    unit = float(jax.numpy.finfo(dtype).eps)
    for operator, exact in ((laplacian, np.sum(2 * np.cos(X) - X * np.sin(X))), (biharmonic, None)):
        found = operator(f)(x)
        assert found.dtype == np.dtype(dtype)
        wanted = exact if exact is not None else trace_of_hessian(trace_of_hessian(f))(X)
        close(np.float64(found), np.float64(wanted), 64 * unit)
    scaled = laplacian(lambda x: f(x) * np.ones((), dtype))
    assert scaled(x).dtype == np.dtype(dtype)


def test_with_64_bit_types_off():
    with jax.enable_x64(False):
        found = laplacian(network)(X.astype(np.float32))
        assert found.dtype == np.float32
        again = biharmonic(network)(X.astype(np.float32))
    close(np.float64(found), np.float64(laplacian(network)(X)), 1e-5)
    close(np.float64(again), np.float64(biharmonic(network)(X)), 1e-4)


# -- under other transforms ------------------------------------------------------------------------------------------

OPERATORS = {
    "laplacian": laplacian,
    "biharmonic": biharmonic,
    "mixed": differential_operator({(1, 1, 0): 1.0, (0, 0, 3): -2.0, (0, 0, 0): 0.5}),
    "directional": lambda f: directional(f, np.array([1.0, 2.0, -1.0]), 3),
    "divergence": lambda f: divergence(lambda x, *args, **kwargs: x**2 * f(x, *args, **kwargs)),
}


def with_parameters(x, w):
    return fnp.tanh(fnp.sin(x @ w) @ fnp.cos(w)) @ w[0]


@pytest.mark.parametrize("name", OPERATORS)
def test_operators_stand_under_every_transform(name):
    operator = OPERATORS[name]
    applied, points = operator(network), np.stack([point(3, seed) for seed in range(4)])
    one_by_one = np.stack([applied(x) for x in points])
    close(ft.vmap(applied)(points), one_by_one)
    close(ft.jit(ft.vmap(applied))(points), one_by_one)
    close(ft.jit(applied)(X), applied(X))
    slope = ft.jvp(applied, (X,), (X,))[1]
    close(ft.grad(applied)(X) @ X, slope)
    step = 1e-5
    close((applied((1 + step) * X) - applied((1 - step) * X)) / (2 * step), slope, 1e-6)
    close(ft.hessian(applied)(X) @ X, ft.jvp(ft.grad(applied), (X,), (X,))[1], 1e-10)


@pytest.mark.parametrize("name", OPERATORS)
def test_gradients_by_parameters_closed_over_or_given(name):
    operator = OPERATORS[name]
    w = NUMBERS.normal(size=(3, 3))
    closed = ft.grad(lambda w: operator(lambda x: with_parameters(x, w))(X))(w)
    given_later = ft.grad(operator(with_parameters), 1)(X, w)
    by_keyword = ft.grad(lambda w: operator(with_parameters)(X, w=w))(w)
    close(given_later, closed)
    close(by_keyword, closed)
    close(ft.jit(ft.grad(operator(with_parameters), 1))(X, w), closed)
    direction, step = NUMBERS.normal(size=(3, 3)), 1e-5
    difference = operator(with_parameters)(X, w + step * direction) - operator(with_parameters)(X, w - step * direction)
    close(np.sum(closed * direction), difference / (2 * step), 1e-6)
    points = np.stack([point(3, seed) for seed in range(4)])
    loss = lambda w: fnp.mean(ft.vmap(operator(with_parameters), (0, None))(points, w) ** 2)
    wanted = sum(2 * operator(with_parameters)(x, w) * ft.grad(operator(with_parameters), 1)(x, w) for x in points) / 4
    close(ft.jit(ft.grad(loss))(w), wanted)


def test_the_gradient_by_parameters_is_that_of_nested_derivatives():
    w = NUMBERS.normal(size=(3, 3))
    nested = lambda w: trace_of_hessian(lambda x: with_parameters(x, w))(X)
    close(ft.grad(laplacian(with_parameters), 1)(X, w), ft.grad(nested)(w))
    close(ft.hessian(laplacian(with_parameters), 1)(X, w), ft.hessian(nested)(w), 1e-10)


@pytest.mark.parametrize("number", [0.5, np.float64(0.5), np.array(0.5)], ids=["float", "float64", "array"])
def test_numbers_may_be_arguments_inside_of_other_transforms(number):
    """A program that is transformed has numbers in its text, and the operator differentiates by them all the same."""
    f = lambda x, w: fnp.sum(fnp.sin(x[0] * w)) * x[1] ** 3 + x[2] ** 4 * w
    given = (1.5, number, number)
    mixed = differential_operator({(1, 1, 0): 1.0, (0, 2, 0): 2.0, (0, 0, 4): 1.0})
    exact = {
        laplacian: lambda w: fnp.sin(1.5 * w) * (3 - w**2 / 8) + 3 * w,
        mixed: lambda w: w * fnp.cos(1.5 * w) * 0.75 + 6 * fnp.sin(1.5 * w) + 24 * w,
        lambda f: directional(f, (1.0, 0.0, 1.0)): lambda w: w * fnp.cos(1.5 * w) / 8 + w / 2,
        lambda f: divergence(lambda x, w: (x[1] ** 2, f(x, w), x[2] * x[0])): lambda w: fnp.sin(1.5 * w) * 0.75 + 1.5,
    }
    for operator, wanted in exact.items():
        found = lambda w, operator=operator: operator(f)(given, w)
        close(found(0.7), wanted(0.7))
        close(ft.jit(found)(0.7), wanted(0.7))
        close(ft.grad(found)(0.7), ft.grad(wanted)(0.7))
        close(ft.jit(ft.vmap(ft.grad(found)))(X), ft.vmap(ft.grad(wanted))(X))


def test_operators_stand_in_loops_and_branches():
    def descend(x):
        return lax.fori_loop(0, 5, lambda _, x: x - 0.1 * ft.grad(laplacian(network))(x), x)

    x = X
    for _ in range(5):
        x = x - 0.1 * ft.grad(laplacian(network))(x)
    close(descend(X), x)
    chosen = lambda x: lax.cond(x[0] > 0, laplacian(network), lambda x: 0.0 * x[0], x)
    close(chosen(X), laplacian(network)(X))
    assert ft.jit(chosen)(-X) == 0.0


def test_arguments_and_the_function_do_not_mix_perturbations():
    """d/dc of the Laplacian by x of c x^2, where c is the argument of the outer derivative too."""
    close(ft.grad(lambda c: laplacian(lambda x: c * x**3)(c))(2.0), 12 * 2.0)
    close(laplacian(lambda c: laplacian(lambda x: c**2 * x**3)(c))(2.0), 36 * 2.0)
    close(laplacian(lambda x: x * laplacian(lambda y: x * y**3)(x))(1.5), 6 * 3 * 2 * 1.5)


# -- what functions are made of --------------------------------------------------------------------------------------


@ft.custom_jvp
def tripled_sine(x):
    return 3.0 * fnp.sin(x)


tripled_sine.defjvp(lambda primals, tangents: (tripled_sine(*primals), 3.0 * fnp.cos(primals[0]) * tangents[0]))


@ft.custom_vjp
def own_cube(x):
    return x**3


own_cube.defvjp(lambda x: (own_cube(x), x), lambda x, g: (3 * x**2 * g,))


def by_value(x):
    total = x[0] ** 2
    while float(ft.lax.stop_gradient(total)) < 3.0:
        total = total * 1.7 + x[1] ** 4
    return total * x[2] if x[1] < 0 else total


def newton_root(x):
    """The root y of y^3 + y = sum of squares, by a loop of unknown length."""
    target = x @ x
    step = lambda y: y - (y**3 + y - target) / (3 * y**2 + 1)
    start = fnp.ones_like(target)
    return lax.while_loop(lambda y: fnp.abs(y**3 + y - target) > 1e-13, step, start)


def attention(x):
    q, k = x @ MATRIX, x @ MATRIX.T
    return fnp.sum((ft.nn.softmax(q @ k.T, axis=-1) @ x) ** 2)


def branching(x):
    return lax.cond(fnp.sum(x) > 0.5, lambda x: fnp.sin(x) * fnp.prod(x), lambda x: x**3, x)


@ft.custom_batching.custom_vmap
def in_all_lanes(x):
    return fnp.sin(x)


in_all_lanes.def_vmap(lambda size, mapped, x: (fnp.broadcast_to(fnp.sin(x), (size, x.shape[-1])), True))


def deep(x):
    return lax.scan(lambda c, w: (fnp.tanh(c * w + x), fnp.sum(c**3)), x, np.arange(3.0))


MADE_OF = {
    "scan": (lambda x: fnp.sum(deep(x)[0]) * fnp.sum(deep(x)[1]), 3),
    "reversed scan": (lambda x: lax.scan(lambda c, y: (fnp.sin(c * y), c), 1.0 * x[0], x, reverse=True)[0], 3),
    "fori_loop": (lambda x: lax.fori_loop(0, 4, lambda i, c: fnp.sin(c) * x[i % 3] + c, x[0]), 3),
    "cond": (lambda x: lax.cond(x[0] > 0, lambda x: fnp.sin(x[0] * x[1]), lambda x: fnp.prod(x), x), 3),
    "switch": (lambda x: lax.switch(2, [fnp.sum, fnp.prod, lambda x: fnp.sum(fnp.exp(x) ** 2)], x), 3),
    "cond without derivative in one branch": (lambda x: lax.cond(x[0] > 0, lambda x: x @ x, lambda x: 1.0, x), 3),
    "jit": (lambda x: ft.jit(network)(x) ** 2 + ft.jit(network)(2 * x), 3),
    "jit in scan": (lambda x: lax.scan(lambda c, _: (ft.jit(fnp.sin)(c) + x, None), x, None, length=2)[0] @ x, 3),
    "checkpoint": (lambda x: ft.checkpoint(network)(x) * x[0], 3),
    "custom_jvp": (lambda x: fnp.sum(tripled_sine(x * x)), 3),
    "custom_vjp": (lambda x: fnp.sum(own_cube(fnp.sin(x))), 3),
    "vmap": (lambda x: fnp.sum(ft.vmap(lambda a: fnp.sin(a * x) @ x)(x)), 3),
    "grad": (lambda x: ft.grad(network)(x) @ x, 3),
    "jax.numpy": (lambda x: jax.numpy.sum(jax.numpy.sin(x) * jax.numpy.cumsum(x)) ** 2, 3),
    "jax.jit": (lambda x: jax.jit(lambda x: jax.nn.logsumexp(x * x))(x), 3),
    "numpy": (lambda x: np.sum(np.sin(x) * x) ** 2, 3),
    "attention": (attention, (2, 3)),
    "slogdet": (lambda x: fnp.linalg.slogdet(MATRIX + x @ x.T)[1], (3, 2)),
    "solve": (lambda x: fnp.linalg.solve(MATRIX + fnp.outer(x, x), fnp.sin(x)) @ x, 3),
    "inverse": (lambda x: fnp.sum(fnp.linalg.inv(MATRIX + fnp.diag(x)) ** 2), 3),
    "cholesky": (lambda x: fnp.sum(fnp.linalg.cholesky(MATRIX @ MATRIX.T + fnp.outer(x, x)) ** 3), 3),
    "eigh": (lambda x: fnp.sum(fnp.linalg.eigvalsh(MATRIX + MATRIX.T + fnp.outer(x, x)) ** 3), 3),
    "norm": (lambda x: fnp.linalg.norm(x), 3),
    "maximum": (lambda x: fnp.max(x**3) * fnp.min(fnp.cos(x)), 3),
    "sort": (lambda x: fnp.sort(x**2) @ np.arange(3.0) * x[0], 3),
    "reductions": (lambda x: fnp.prod(x) * fnp.var(x) + ft.nn.logsumexp(x * x) + fnp.mean(x**3), 3),
    "cumulative": (lambda x: fnp.sum(fnp.cumprod(x) * fnp.cumsum(x**2)), 3),
    "indexing": (lambda x: fnp.sum(x[np.array([0, 2, 2])] ** 3 * x[::-1]) * x[-1], 3),
    "dynamic index": (lambda x: x[fnp.argmax(x)] ** 3 + lax.dynamic_slice(x, (1,), (2,)) @ x[:2], 3),
    "scatter": (lambda x: fnp.sum((x.at[1].set(x[0] ** 2).at[np.array([0, 0])].add(fnp.sin(x[1:]))) ** 3), 3),
    "scatter of products": (lambda x: fnp.sum(x.at[np.array([0, 2])].multiply(x[1:]) ** 2), 3),
    "where": (lambda x: fnp.sum(fnp.where(x > 0, x**3, fnp.sin(x) * x)), 3),
    "concatenate and pad": (lambda x: fnp.prod(fnp.concatenate([x, x**2])) + fnp.sum(fnp.pad(x, 1) ** 4), 3),
    "convolution": (lambda x: fnp.sum(fnp.convolve(x, x * x) ** 2), 3),
    "einsum": (lambda x: fnp.einsum("i,j,k,ijk->", x, x, x, np.arange(27.0).reshape(3, 3, 3)) * fnp.exp(x[0]), 3),
    "fft": (lambda x: fnp.sum(fnp.abs(fnp.fft.fft(x * x) + 0.5) ** 2), 3),
    "complex inside": (lambda x: ((x[0] + 1j * x[1]) ** 3 * fnp.exp(1j * x[2])).real, 3),
    "special": (lambda x: fnp.sum(ft.scipy.special.gammaln(x + 3.0) * ft.scipy.special.erf(x)), 3),
    "powers": (lambda x: fnp.sum((2.0 + x) ** x) + fnp.sum((x * x + 1) ** -1.5), 3),
    "activations": (lambda x: fnp.sum(ft.nn.gelu(x) * ft.nn.softplus(x) + ft.nn.silu(x) ** 2), 3),
    "associative scan": (lambda x: lax.associative_scan(lambda a, b: fnp.sin(a * b), x)[-1], 3),
    "custom_linear_solve": (
        lambda x: fnp.sum(
            lax.custom_linear_solve(
                lambda y: MATRIX @ y + x * y, x**2, lambda _, b: fnp.linalg.solve(MATRIX + fnp.diag(x), b),
                lambda _, b: fnp.linalg.solve((MATRIX + fnp.diag(x)).T, b),
            )
        ), 3,
    ),
    "stop_gradient": (lambda x: fnp.sum(lax.stop_gradient(x) * x**3), 3),
    "integers inside": (lambda x: fnp.sum(x**3 * fnp.floor(x * 4)) + fnp.argmax(x) * x[0] ** 2, 3),
    "values of the argument": (by_value, 3),
    "rows": (lambda x: fnp.sum(ft.vmap(network)(x) ** 2), (4, 3)),
    "rows, weighed": (lambda x: ft.vmap(network)(x) @ np.arange(1.0, 5.0) * x[1, 2], (4, 3)),
    "rows that meet": (lambda x: fnp.prod(ft.nn.logsumexp(x**2, axis=1)) + fnp.sum(fnp.sin(x) @ x.T), (4, 3)),
    "columns": (lambda x: fnp.sum(fnp.prod(fnp.sin(x), axis=0) ** 2), (3, 4)),
    "rows turned": (lambda x: fnp.sum(fnp.sin(x) * x[::-1] ** 2), (4, 3)),
    "rows beside each other": (lambda x: fnp.sum(fnp.sin(x[1:]) * x[:-1] ** 2), (4, 3)),
    "rows chosen": (lambda x: fnp.sum(fnp.sin(x)[np.array([0, 0, 2])] * x[1] ** 2), (4, 3)),
    "rows one by one": (lambda x: fnp.sum(lax.scan(lambda c, r: (fnp.tanh(c + r), c @ r), x[0], x)[1] ** 2), (4, 3)),
    "rows reshaped": (lambda x: fnp.sum(fnp.sin(x).reshape(2, 6) * fnp.cos(x.T).reshape(2, 6)), (4, 3)),
    "rows, summed up": (lambda x: fnp.sum(fnp.cumsum(fnp.sin(x), axis=0) ** 2 * fnp.sort(x, axis=1)), (4, 3)),
    "rows with branches": (lambda x: fnp.sum(ft.vmap(branching)(x) ** 2), (4, 3)),
    "rows with branches, inside of rows": (lambda x: fnp.sum(ft.vmap(ft.vmap(branching))(x) ** 2), (2, 4, 3)),
    "rows of a rule for lanes": (lambda x: fnp.sum(in_all_lanes(x) ** 2 * x), 3),
    "rows of matrices": (lambda x: fnp.sum(ft.vmap(lambda m: fnp.linalg.inv(m + MATRIX) ** 2)(x)), (2, 3, 3)),
}  # fmt: skip


@pytest.mark.parametrize("name", MADE_OF)
def test_the_laplacian_of_what_functions_are_made_of(name):
    f, shape = MADE_OF[name]
    x = np.resize(X, shape) + np.linspace(0, 0.1, math.prod(np.atleast_1d(shape))).reshape(shape)
    wanted = trace_of_hessian(f)(x)
    close(laplacian(f)(x), wanted, 1e-10)
    assert np.asarray(wanted) != 0


def test_loops_of_unknown_length():
    forward_twice = lambda f: lambda x: fnp.trace(ft.jacfwd(ft.jacfwd(f))(x))
    close(laplacian(newton_root)(X), forward_twice(newton_root)(X))
    close(biharmonic(newton_root)(X), forward_twice(forward_twice(newton_root))(X), 1e-10)
    y = newton_root(X)
    first = 1 / (3 * y**2 + 1)
    close(laplacian(newton_root)(X), 6 * first - 6 * y * first**3 * 4 * X @ X, 1e-8)


@hypothesis.settings(
    max_examples=max(60, hypothesis.settings.default.max_examples),
    suppress_health_check=list(hypothesis.HealthCheck),
)
@given(programs(smooth=False))
def test_the_laplacian_of_random_programs(program: RandomProgram):
    def total(inputs):
        results = program(*inputs)
        return sum([fnp.sum(fnp.sin(r + k)) for k, r in enumerate(results)], 0.0)

    inputs = program.inputs()
    close(laplacian(total)(inputs), trace_of_hessian(total)(inputs), 1e-10)


# -- costs -----------------------------------------------------------------------------------------------------------


def equations(fun, *args):
    return len(ft.make_jaxpr(fun)(*args).equations)


def test_equations_do_not_grow_with_the_dimension():
    f = lambda x, w: fnp.sum(fnp.tanh(fnp.tanh(w @ x) ** 2) * fnp.exp(x))
    few, many = ((np.ones(n), np.ones((n, n))) for n in (4, 40))
    assert equations(laplacian(f), *few) == equations(laplacian(f), *many)
    assert equations(biharmonic(f), *few) == equations(biharmonic(f), *many) < equations(laplacian(laplacian(f)), *few)


def test_no_array_is_larger_than_the_lines_times_the_values():
    n = 20
    f = lambda x, w: fnp.sum(fnp.tanh(fnp.tanh(w @ x) ** 2))
    program = ft.make_jaxpr(laplacian(f))(np.ones(n), np.ones((n, n)))
    assert max(v.type.size for eqn in program.equations for v in eqn.outputs) == n * n


def test_operators_of_one_kind_with_other_numbers_compile_nothing_new():
    f = lambda x: fnp.sum(fnp.sin(x)) * x[0] * x[1]
    first, second, third = (differential_operator({(2, 1): c, (3, 0): 0.5}) for c in (1.0, 3.0, 7.0))
    found = [first(f)(X[:2])]
    before = ft.compilation_count()
    found += [second(f)(X[:2]), third(f)(X[:2])]
    assert ft.compilation_count() == before
    close(found[2] - found[0], 3 * (found[1] - found[0]))


# -- wrong input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "operator", [laplacian, biharmonic, divergence, differential_operator({(2, 0, 0): 1.0})],
    ids=["laplacian", "biharmonic", "divergence", "differential_operator"],
)  # fmt: skip
@pytest.mark.parametrize("x", [np.arange(3), np.ones(3) * 1j, np.ones(3, bool)], ids=["integer", "complex", "bool"])
def test_arguments_that_are_not_real_and_floating_are_refused(operator, x):
    found = refusal(TypeError, lambda: operator(lambda x: x.sum())(x))  # blame
    found.says("needs real floating arguments", ".astype(float)")


def test_curl_refuses_what_is_no_field_in_space_or_plane():
    refusal(TypeError, lambda: curl(lambda x: x)(np.arange(3))).says("curl needs real floating")
    refusal(ValueError, lambda: curl(lambda x: x)(np.ones(4))).says("one array [2] or [3], got (4,)")
    refusal(ValueError, lambda: curl(lambda x: x)((np.ones(3), np.ones(3)))).says("one array [2] or [3]", "(3,), (3,)")


def wide(x):
    return fnp.concatenate([x, x])


def pair(x):
    return x, x


@pytest.mark.parametrize("operator", [divergence, curl])
def test_a_field_is_like_its_argument(operator):
    name = operator.__name__
    refusal(ValueError, lambda: operator(wide)(X)).says(f"{name}: the result of wide", "(6,) for (3,)")
    found = refusal(TypeError, lambda: operator(pair)(X))
    found.says(f"{name}: the result of pair must have the tree of its argument", "\n  argument: ", "\n  result:   ")


@pytest.mark.parametrize(
    "result", [lambda x: x, lambda x: x.sum() * 1j, lambda x: fnp.argmax(x), lambda x: (x.sum(),), lambda x: None,
     lambda x: ft.random.key(0)],
    ids=["array", "complex", "integer", "tuple", "nothing", "key"],
)  # fmt: skip
@pytest.mark.parametrize("operator", [laplacian, biharmonic])
def test_a_result_that_is_no_real_scalar_is_refused(operator, result):
    found = refusal(TypeError, lambda: operator(result)(X))
    found.says(f"{operator.__name__}: the result of <lambda> must be a real floating scalar", "vmap over points")


@pytest.mark.parametrize(
    "operator", [laplacian, biharmonic, divergence, curl, differential_operator({(1,): 1.0}), directional],
    ids=["laplacian", "biharmonic", "divergence", "curl", "differential_operator", "directional"],
)  # fmt: skip
def test_what_is_no_function_is_refused(operator):
    given = (X, X) if operator is directional else (X,)
    refusal(TypeError, lambda: operator(*given)).says("callable")


def test_directional_refuses_other_orders_and_directions():
    refusal(ValueError, lambda: directional(network, X, -1)).says("directional: the order must be 0 or more, got -1")
    refusal(TypeError, lambda: directional(network, X, 1.5)).says("directional: the order must be a whole number")
    refusal(ValueError, lambda: directional(network, X[:2])(X)).says("directional", "(2,)", "(3,)")
    refusal(TypeError, lambda: directional(network, (X, X))(X)).says("directional", "the tree of its argument")
    refusal(TypeError, lambda: directional(network, X * 1j)(X)).says("directional", "complex128")


@pytest.mark.parametrize(
    ("kind", "coefficients", "said"),
    [
        (TypeError, [(1, 0)], "needs a dictionary"),
        (TypeError, {}, "needs a dictionary"),
        (TypeError, {1: 1.0}, "a key must be a tuple of whole numbers, got 1"),
        (TypeError, {(1.0, 0): 1.0}, "a key must be a tuple of whole numbers, got (1.0, 0)"),
        (ValueError, {(-1, 0): 1.0}, "exponents must be 0 or more, got (-1, 0)"),
        (ValueError, {(1,): 1.0, (1, 1): 2.0}, "got lengths [1, 2]"),
        (TypeError, {(1,): "a"}, "a coefficient must be a real number, got 'a'"),
        (TypeError, {(1,): 1j}, "a coefficient must be a real number, got 1j"),
        (TypeError, {(1,): np.ones(2)}, "a coefficient must be a real number, got array"),
    ],
)
def test_coefficients_that_make_no_operator_are_refused(kind, coefficients, said):
    refusal(kind, lambda: differential_operator(coefficients)).says("differential_operator", said)


def test_coefficients_may_be_traced_and_are_differentiated():
    keys = [(2, 0, 0), (0, 1, 1), (1, 0, 0), (0, 0, 0), (0, 0, 3)]
    axes = [(0, 0), (1, 2), (0,), (), (2, 2, 2)]

    def by_operator(c, x):
        factors = [c[0], c[1] * x[0], 2.0, c[2], c[0] * c[2]]
        return differential_operator(dict(zip(keys, factors)))(network)(x)

    def by_nests(c, x):
        factors = [c[0], c[1] * x[0], 2.0, c[2], c[0] * c[2]]
        return sum(f * partial(network, *a)(x) for f, a in zip(factors, axes))

    c, lanes = point(3, 7), np.stack([point(3, i) for i in range(4)])
    close(by_operator(c, X), by_nests(c, X))
    close(ft.jit(by_operator)(c, X), by_nests(c, X))
    for found, wanted in zip(ft.grad(by_operator, (0, 1))(c, X), ft.grad(by_nests, (0, 1))(c, X)):
        close(found, wanted, 1e-10)
    close(ft.vmap(by_operator, (None, 0))(c, lanes), ft.vmap(by_nests, (None, 0))(c, lanes))
    close(jax.jit(by_operator)(c, X), by_nests(c, X))
    close(jax.grad(by_operator)(c, X), ft.grad(by_nests)(c, X), 1e-10)
    close(ft.hessian(by_operator)(c, X), ft.hessian(by_nests)(c, X), 1e-9)


def test_terms_are_not_drawn_by_traced_coefficients():
    drawn = lambda c: estimated_operator({(2, 0, 0): c}, ft.random.key(0), 1)(network)(X)
    found = refusal(TypeError, lambda: ft.jit(drawn)(1.0))
    found.says("estimated_operator", "must be a number, by which terms are drawn")


def test_an_operator_knows_its_number_of_variables():
    operator = differential_operator({(1, 1): 1.0})
    found = refusal(ValueError, lambda: operator(network)(X))  # blame
    found.says("the operator has 2 variables and the argument has 3 elements")


def test_a_coefficient_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="must be finite, got nan"):
        differential_operator({(1, 0): float("nan")})
    with pytest.raises(TypeError, match="tuple of whole numbers"):
        differential_operator({(True, 0): 1.0})


def test_integers_of_the_result_have_no_derivative_along_a_direction() -> None:
    cube, three = directional(lambda x: (x**3, 3), 1.0, 2)(2.0)
    assert float(cube) == 12.0 and three.dtype == ft.float0
