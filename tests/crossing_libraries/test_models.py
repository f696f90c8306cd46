"""Flax, Equinox and Optax inside functrans' transforms as they are, and functrans' functions inside theirs."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest

import functrans as ft
import functrans.numpy as fnp
from tests.agreement import assert_same
from tests.crossing_libraries.products import KEY, X, Y, assert_products_agree

pytestmark = pytest.mark.filterwarnings("ignore")  # what these packages warn about is not ours to fix


def test_flax_linen():
    nn = pytest.importorskip("flax.linen")

    class Perceptron(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(1)(nn.gelu(nn.LayerNorm()(nn.Dense(4)(x))))[..., 0]

    model = Perceptron()
    parameters = model.init(KEY, X)
    assert_products_agree(lambda p, x, y: (model.apply(p, x) - y) ** 2, parameters, X, Y)


def test_our_functions_in_a_linen_module():
    nn = pytest.importorskip("flax.linen")

    def module(numpy):
        class Waves(nn.Module):
            @nn.compact
            def __call__(self, x):
                rates = self.param("rates", nn.initializers.constant(0.5), (3,))
                return numpy.sum(numpy.sin(x * rates), axis=-1)

        return Waves()

    ours, theirs = module(fnp), module(jnp)
    parameters = ours.init(KEY, X)
    gradient = jax.jit(jax.grad(lambda p: jnp.sum(ours.apply(p, X) ** 2)))(parameters)
    assert_same(gradient, jax.grad(lambda p: jnp.sum(theirs.apply(p, X) ** 2))(parameters), 256)


def test_flax_nnx():
    nnx = pytest.importorskip("flax.nnx")
    model = nnx.Sequential(nnx.Linear(3, 4, rngs=nnx.Rngs(0)), nnx.relu, nnx.Linear(4, 1, rngs=nnx.Rngs(1)))
    graph, state = nnx.split(model)
    assert_products_agree(lambda s, x, y: (nnx.merge(graph, s)(x)[0] - y) ** 2, state, X, Y)


def test_an_nnx_module_that_changes_its_statistics():
    nnx = pytest.importorskip("flax.nnx")
    module = nnx.Sequential(
        nnx.Linear(3, 4, rngs=nnx.Rngs(0)), nnx.BatchNorm(4, rngs=nnx.Rngs(1)), nnx.Dropout(0.5, rngs=nnx.Rngs(2))
    )
    graph, parameters, rest = nnx.split(module, nnx.Param, ...)

    def loss(parameters, rest):
        module = nnx.merge(graph, parameters, rest, copy=True)
        value = jnp.mean(module(X) ** 3)
        return value, nnx.split(module, nnx.Param, ...)[2]

    def numbers(x):
        return jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x

    found, expected = (t.jit(t.value_and_grad(loss, has_aux=True))(parameters, rest) for t in (ft, jax))
    assert_same(jax.tree.map(numbers, found), jax.tree.map(numbers, expected), 256, weak=False)


def test_our_functions_in_nnx_transforms():
    nnx = pytest.importorskip("flax.nnx")

    def slope(library, numpy):
        @nnx.jit
        def step(module, x):
            each = library.vmap(lambda m, y: numpy.sum(numpy.tanh(m(y)) ** 2), (None, 0))
            return nnx.value_and_grad(lambda m: each(m, x).sum())(module)

        value, gradient = step(nnx.Linear(3, 2, rngs=nnx.Rngs(0)), X)
        return value, nnx.state(gradient)

    assert_same(slope(ft, fnp), slope(jax, jnp), 256, weak=False)


def test_equinox():
    eqx = pytest.importorskip("equinox")
    parameters, static = eqx.partition(eqx.nn.MLP(3, "scalar", 4, 2, key=KEY), eqx.is_array)
    assert_products_agree(lambda p, x, y: (eqx.combine(p, static)(x) - y) ** 2, parameters, X, Y)


def test_equinox_transforms_and_ours_in_each_other():
    eqx = pytest.importorskip("equinox")
    model = eqx.nn.Linear(3, "scalar", key=KEY)

    def loss(vmap, numpy):
        return lambda m: numpy.mean((vmap(m)(X) - Y) ** 2)

    expected = eqx.filter_grad(loss(jax.vmap, jnp))(model)
    assert_same(eqx.filter_jit(eqx.filter_grad(loss(ft.vmap, fnp)))(model), expected, 256)
    arrays, static = eqx.partition(model, eqx.is_array)
    found = ft.grad(lambda p: eqx.filter_jit(loss(eqx.filter_vmap, fnp))(eqx.combine(p, static)))(arrays)
    assert_same(found, eqx.filter(expected, eqx.is_array), 256)


def test_an_operation_of_equinox_that_refuses_cotangents_meets_none():
    """What a rule leaves out stays zero, and a rule is checked without asking what it holds to be transposed."""
    eqx = pytest.importorskip("equinox")
    import equinox.internal as eqxi

    def f(x, y, wrong):
        x = eqxi.nondifferentiable_backward(x)
        x, y = eqx.error_if((x, y), wrong, "oops")
        return y

    for library in (jax, ft):
        assert library.jit(library.grad(f))(1.0, 1.0, False) == 0.0
        assert library.jit(library.grad(f, 1))(1.0, 1.0, False) == 1.0
        assert library.jvp(lambda x: eqxi.nondifferentiable_backward(x) * x, (3.0,), (1.0,))[1] == 6.0
        with pytest.raises(RuntimeError, match="Unexpected cotangent"):
            library.grad(lambda x, y: f(x, y, False) + eqxi.nondifferentiable_backward(x))(1.0, 1.0)


def test_equinox_state_and_the_name_of_a_mapped_axis():
    eqx = pytest.importorskip("equinox")
    norm, state = eqx.nn.make_with_state(eqx.nn.BatchNorm)(3, axis_name="batch", mode="batch")

    def slope(library):
        def loss(x):
            out, _ = library.vmap(norm, axis_name="batch", in_axes=(0, None), out_axes=(0, None))(x, state)
            return jnp.sum(out**3)

        return library.grad(loss)(X)

    assert_same(slope(ft), slope(jax), 256, weak=False)


def _trained(library, optax, rate, w):
    """The loss after two steps of Adam at this rate: the optimiser is inside of what is differentiated."""

    def loss(w):
        return optax.huber_loss(X @ w, Y).mean()

    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate))
    state = optimiser.init(w)
    for _ in range(2):
        updates, state = optimiser.update(library.grad(loss)(w), state, w)
        w = optax.apply_updates(w, updates)
    return loss(w)


def test_optax():
    optax = pytest.importorskip("optax")
    rate, w = jnp.float32(0.1), jnp.ones(3)
    expected = jax.jit(jax.value_and_grad(lambda r, w: _trained(jax, optax, r, w), (0, 1)))(rate, w)
    ours = ft.value_and_grad(lambda r, w: _trained(ft, optax, r, w), (0, 1))
    for found in (ours(rate, w), ft.jit(ours)(rate, w), jax.jit(ours)(rate, w)):
        assert_same(found, expected, 1024, weak=False)


def test_optax_losses():
    optax = pytest.importorskip("optax")
    labels = jnp.arange(4) % 2
    assert_products_agree(
        lambda w, x, label: optax.softmax_cross_entropy_with_integer_labels(x @ w, label),
        jnp.ones((3, 2)) * jnp.float32([0.3, -0.2]), X, labels,
    )  # fmt: skip


def test_equinox_noinline_is_a_call_of_jax_on_the_host() -> None:
    internal = pytest.importorskip("equinox.internal")
    function = internal.noinline(lambda x: jnp.sum(jnp.sin(x) * x))
    x = jnp.array([0.5, 1.0, 2.0])
    assert_same(ft.jit(ft.grad(function))(x), jax.jit(jax.grad(function))(x))
    assert_same(ft.vmap(ft.grad(function))(jnp.stack([x, -x])), jax.vmap(jax.grad(function))(jnp.stack([x, -x])))
    assert_same(ft.hessian(function)(x), jax.hessian(function)(x))
