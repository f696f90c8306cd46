"""Flax, Equinox, Optax and Diffrax over the bridge, as their users call them, against JAX's transforms."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from tests.agreement import assert_same

# What these packages warn about when they are imported or called is not ours to fix.
pytestmark = pytest.mark.filterwarnings("ignore")
KEY = jax.random.key(0)
X = np.linspace(-1.0, 1.0, 12, dtype=np.float32).reshape(4, 3)
SEQUENCE = np.linspace(-1.0, 1.0, 80, dtype=np.float32).reshape(2, 5, 8)
IMAGE = np.cos(np.arange(2 * 8 * 8, dtype=np.float32)).reshape(2, 8, 8, 1)


def squared(apply, *more):
    return lambda parameters, *inputs: (apply(parameters, *inputs, *more) ** 2).sum()


# -- Flax --------------------------------------------------------------------------------------------------------------


def _flax_modules():
    nn = pytest.importorskip("flax.linen")

    class Perceptron(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(2)(nn.gelu(nn.LayerNorm()(nn.Dense(8)(x))))

    class Convolutional(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.relu(nn.BatchNorm(use_running_average=True)(nn.Conv(3, (3, 3))(x)))
            x = nn.max_pool(nn.avg_pool(x, (2, 2), (2, 2)), (2, 2), (2, 2))
            return nn.Dense(2)(x.reshape(x.shape[0], -1))

    class Attention(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.MultiHeadDotProductAttention(num_heads=2)(x, x, mask=nn.make_causal_mask(x[..., 0]))

    class Remembering(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(1)(nn.RNN(nn.OptimizedLSTMCell(4))(x))

    return {
        "perceptron": (Perceptron(), X),
        "convolutional": (Convolutional(), IMAGE),
        "attention": (Attention(), SEQUENCE),
        "lstm": (Remembering(), SEQUENCE),
    }


@pytest.mark.parametrize("name", ["perceptron", "convolutional", "attention", "lstm"])
def test_flax_modules(name):
    module, inputs = _flax_modules()[name]
    parameters = module.init(KEY, inputs)
    if name != "lstm":  # whose initialiser factorises a matrix
        assert_same(ft.from_jax(module.init)(KEY, inputs), parameters, 256)
    apply = ft.from_jax(module.apply)
    assert_same(apply(parameters, inputs), jax.jit(module.apply)(parameters, inputs), 256)
    expected = jax.jit(jax.grad(squared(module.apply)))(parameters, inputs)
    assert_same(ft.jit(ft.grad(squared(apply)))(parameters, inputs), expected, 1024)
    each = jax.jit(jax.vmap(jax.grad(squared(module.apply)), (None, 0)))(parameters, np.stack([inputs, -inputs]))
    assert_same(ft.vmap(ft.grad(squared(apply)), (None, 0))(parameters, np.stack([inputs, -inputs])), each, 1024)


def test_flax_hessian_and_dropout():
    nn = pytest.importorskip("flax.linen")
    module, inputs = _flax_modules()["perceptron"]
    parameters = module.init(KEY, inputs)
    apply = ft.from_jax(module.apply)
    by_input = ft.hessian(lambda x: (apply(parameters, x) ** 2).sum())(inputs)
    assert_same(by_input, jax.jit(jax.hessian(lambda x: (module.apply(parameters, x) ** 2).sum()))(inputs), 4096)

    def dropped(x, key):
        return nn.Dropout(0.5, deterministic=False).apply({}, x, rngs={"dropout": key})

    assert_same(ft.from_jax(dropped)(inputs, KEY), dropped(inputs, KEY))


def test_a_flax_module_applied_to_our_tracers_needs_no_bridge():
    module, inputs = _flax_modules()["perceptron"]
    parameters = module.init(KEY, inputs)
    expected = jax.grad(lambda x: jnp.sum(module.apply(parameters, x)))(inputs)
    assert_same(ft.grad(lambda x: fnp.sum(module.apply(parameters, x)))(inputs), expected, 256)


def test_flax_structs_are_trees():
    struct = pytest.importorskip("flax.struct")

    @struct.dataclass
    class State:
        position: jax.Array
        name: str = struct.field(pytree_node=False, default="s")

    slope = ft.jit(ft.grad(lambda s: fnp.sum(fnp.sin(s.position))))(State(X))
    assert isinstance(slope, State)
    assert_same(slope.position, np.cos(X))


# -- Equinox -----------------------------------------------------------------------------------------------------------


def test_equinox_models_as_functions_and_as_trees():
    eqx = pytest.importorskip("equinox")
    model = eqx.nn.MLP(3, 2, 8, 2, key=KEY)
    assert_same(ft.vmap(ft.from_jax(model))(X), jax.vmap(model)(X))
    parameters, static = eqx.partition(model, eqx.is_array)

    def outputs(p, x):
        return jax.vmap(eqx.combine(p, static))(x)

    gradient = ft.jit(ft.grad(squared(ft.from_jax(outputs))))(parameters, X)
    assert isinstance(gradient, eqx.nn.MLP)
    assert_same(gradient, jax.jit(jax.grad(squared(outputs)))(parameters, X), 256)
    product = ft.jvp(ft.grad(lambda p: squared(ft.from_jax(outputs))(p, X)), (parameters,), (parameters,))[1]
    wanted = jax.jvp(jax.grad(lambda p: squared(outputs)(p, X)), (parameters,), (parameters,))[1]
    assert_same(product, wanted, 1024)


def test_an_equinox_module_of_our_functions_trains_under_jax():
    eqx = pytest.importorskip("equinox")

    class Linear(eqx.Module):
        weight: jax.Array

        def __call__(self, x):
            return ft.to_jax(lambda w, t: fnp.tanh(t @ w))(self.weight, x)

    model = Linear(jnp.ones((3, 2)) * 0.1)
    gradient = eqx.filter_jit(eqx.filter_grad(lambda m, x: (m(x) ** 2).sum()))(model, X)
    expected = jax.grad(lambda w: (jnp.tanh(X @ w) ** 2).sum())(model.weight)
    assert_same(gradient.weight, expected)


# -- Optax -------------------------------------------------------------------------------------------------------------

OPTIMISERS = "sgd adam adamw lion rmsprop adagrad lamb adafactor nadam radam adabelief amsgrad sm3".split()


@pytest.mark.parametrize("name", OPTIMISERS)
def test_optax_updates(name):
    optax = pytest.importorskip("optax")
    parameters = {"w": X, "b": X[0]}
    gradients = jax.tree.map(np.cos, parameters)
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), getattr(optax, name)(1e-2))
    state = optimiser.init(parameters)
    update = ft.jit(ft.from_jax(optimiser.update))
    for _ in range(2):
        expected, next_state = jax.jit(optimiser.update)(gradients, state, parameters)
        found, found_state = update(gradients, state, parameters)
        assert_same((found, found_state), (expected, next_state), 256)
        state = next_state


def test_the_gradient_of_an_optax_step_by_its_learning_rate():
    optax = pytest.importorskip("optax")

    def after(rate, w):
        optimiser = optax.adam(rate)
        updates, _ = optimiser.update(jnp.sin(w), optimiser.init(w), w)
        return (optax.apply_updates(w, updates) ** 2).sum()

    assert_same(ft.grad(ft.from_jax(after))(0.1, X), jax.grad(after)(0.1, X), 256)


# -- Diffrax -----------------------------------------------------------------------------------------------------------


def _decay(y, rate, **options):
    diffrax = pytest.importorskip("diffrax")
    term = diffrax.ODETerm(lambda t, y, args: -rate * jnp.sin(y))
    controller = diffrax.PIDController(rtol=1e-3, atol=1e-5)
    return diffrax.diffeqsolve(
        term, diffrax.Tsit5(), 0.0, 1.0, 0.25, y, stepsize_controller=controller, max_steps=16, **options
    ).ys


def test_a_diffrax_step():
    diffrax = pytest.importorskip("diffrax")

    def step(y, rate):
        term = diffrax.ODETerm(lambda t, y, args: -rate * jnp.sin(y))
        solver = diffrax.Tsit5()
        state = solver.init(term, 0.0, 0.1, y, None)
        return solver.step(term, 0.0, 0.1, y, None, state, made_jump=False)[0]

    y, rate = np.float32([0.3, 1.2]), np.float32(2.0)
    assert_same(ft.from_jax(step)(y, rate), step(y, rate))
    assert_same(ft.jacrev(ft.from_jax(step), (0, 1))(y, rate), jax.jit(jax.jacrev(step, (0, 1)))(y, rate))
    assert_same(
        ft.hessian(lambda y: ft.from_jax(step)(y, rate).sum())(y),
        jax.jit(jax.hessian(lambda y: step(y, rate).sum()))(y),
    )


def test_a_diffrax_solve_with_its_own_gradient():
    y, rate = np.float32([0.3, 1.2]), np.float32(2.0)
    solve = ft.from_jax(_decay)
    assert_same(solve(y, rate), jax.jit(_decay)(y, rate))
    gradient = jax.jit(jax.grad(lambda y, rate: (_decay(y, rate) ** 2).sum(), (0, 1)))
    assert_same(ft.jit(ft.grad(lambda y, rate: (solve(y, rate) ** 2).sum(), (0, 1)))(y, rate), gradient(y, rate), 256)


def test_lanes_of_a_diffrax_solve():
    y, rate = np.float32([[0.3, 1.2], [0.6, 2.0]]), np.float32(2.0)
    solve = ft.from_jax(_decay)
    assert_same(ft.jit(ft.vmap(solve, (0, None)))(y, rate), jax.jit(jax.vmap(_decay, (0, None)))(y, rate))


def test_forward_mode_through_a_diffrax_solve():
    diffrax = pytest.importorskip("diffrax")

    def solve(y, rate):
        return _decay(y, rate, adjoint=diffrax.ForwardMode())

    y, rate = np.float32([0.3, 1.2]), np.float32(2.0)
    expected = jax.jit(lambda *a: jax.jvp(solve, a, a))(y, rate)
    assert_same(ft.jit(lambda *a: ft.jvp(ft.from_jax(solve), a, a))(y, rate), expected, 256)


def test_errors_of_equinox_are_raised_in_lanes_too():
    eqx = pytest.importorskip("equinox")
    bridged = ft.from_jax(lambda x: jnp.sin(eqx.error_if(x, x[0] < 0, "below zero")))
    assert_same(ft.vmap(ft.grad(lambda x: bridged(x).sum()))(np.abs(X)), np.cos(np.abs(X)))
    with pytest.raises(RuntimeError, match="below zero"):
        ft.vmap(bridged)(X)


# -- state -------------------------------------------------------------------------------------------------------------


def test_a_flax_module_that_changes_its_statistics():
    nn = pytest.importorskip("flax.linen")
    module = nn.BatchNorm(use_running_average=False)
    variables = module.init(KEY, X)

    def step(parameters, statistics, x):
        out, changed = module.apply({"params": parameters, "batch_stats": statistics}, x, mutable=["batch_stats"])
        return (out**3).sum(), changed

    arguments = variables["params"], variables["batch_stats"], X
    expected = jax.jit(jax.value_and_grad(step, has_aux=True))(*arguments)
    assert_same(ft.jit(ft.value_and_grad(ft.from_jax(step), has_aux=True))(*arguments), expected, 256)


def test_flax_nnx_modules():
    nnx = pytest.importorskip("flax.nnx")
    model = nnx.Sequential(nnx.Linear(3, 4, rngs=nnx.Rngs(0)), nnx.relu, nnx.Linear(4, 2, rngs=nnx.Rngs(1)))
    graph, state = nnx.split(model)

    def loss(state, x):
        return (nnx.merge(graph, state)(x) ** 2).sum()

    assert_same(ft.jit(ft.grad(ft.from_jax(loss)))(state, X), jax.jit(jax.grad(loss))(state, X), 256)
