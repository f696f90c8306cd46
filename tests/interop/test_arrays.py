"""Results are ``jax.Array`` everywhere one is taken: DLPack, NumPy, pickle, trees of registered classes, Optax."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans import lax
from tests.agreement import assert_same

X = np.linspace(-0.9, 0.8, 6, dtype=np.float32)
RESULTS = {
    "an operation": lambda: fnp.sin(X),
    "grad": lambda: ft.grad(lambda x: fnp.sum(fnp.sin(x)))(X),
    "jit": lambda: ft.jit(fnp.sin)(X),
    "vmap": lambda: ft.vmap(fnp.sin)(X),
    "from_jax": lambda: ft.from_jax(jnp.sin)(X),
    "to_jax": lambda: ft.to_jax(fnp.sin)(X),
}


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_is_an_array_of_jax(name: str) -> None:
    result = RESULTS[name]()
    values = np.cos(X) if name == "grad" else np.sin(X)
    assert isinstance(result, jax.Array)
    assert not isinstance(result, jax.core.Tracer)
    assert jax.block_until_ready(result) is result
    assert ft.block_until_ready({"r": result})["r"] is result
    assert_same(jnp.sum(result), values.sum())
    np.testing.assert_allclose(np.asarray(result), values, rtol=1e-6)
    np.testing.assert_allclose(np.from_dlpack(result), values, rtol=1e-6)
    assert_same(jnp.from_dlpack(result), result)
    assert_same(pickle.loads(pickle.dumps(result)), result)
    assert_same(copy.deepcopy(result), result)
    assert list(result.devices()) == jax.devices()[:1]
    assert result.sharding == jax.sharding.SingleDeviceSharding(jax.devices()[0])
    assert memoryview(np.asarray(result)).nbytes == 24


def test_arrays_of_dlpack_and_of_the_buffer_protocol_go_in() -> None:
    torch_like = jnp.from_dlpack(X)
    assert_same(ft.grad(lambda x: fnp.sum(x * x))(torch_like), 2 * X)
    assert_same(fnp.sin(np.asarray(memoryview(X))), np.sin(X))


def test_trees_of_results_are_pickled() -> None:
    value, gradient = ft.value_and_grad(lambda tree: fnp.sum(tree["a"] ** 2) + tree["b"][0])({"a": X, "b": (2.0,)})
    again = pickle.loads(pickle.dumps((value, gradient)))
    assert_same(again, (value, gradient))


# -- trees of registered classes ---------------------------------------------------------------------------------------


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Layer:
    weight: Any
    bias: Any
    activation: str = dataclasses.field(default="tanh", metadata={"static": True})

    def __call__(self, x: Any) -> Any:
        return getattr(fnp, self.activation)(x @ self.weight + self.bias)


def test_a_registered_dataclass_goes_through_every_transform() -> None:
    layer = Layer(jnp.ones((6, 2)) * 0.1, jnp.zeros(2))

    def loss(layer: Layer, x: Any) -> Any:
        return fnp.sum(layer(x) ** 2)

    gradient = ft.jit(ft.grad(loss))(layer, X)
    assert isinstance(gradient, Layer)
    assert gradient.activation == "tanh"
    assert_same(gradient.weight, jax.grad(lambda w: (jnp.tanh(X @ w) ** 2).sum())(layer.weight))
    stacked = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf * 2]), layer)
    assert ft.vmap(ft.grad(loss), (0, None))(stacked, X).weight.shape == (2, 6, 2)
    carried = lax.scan(lambda c, _: (jax.tree.map(lambda leaf: leaf * 0.5, c), c(X)), layer, None, length=3)[0]
    assert isinstance(carried, Layer)
    assert_same(carried.weight, layer.weight * 0.125)
    assert_same(pickle.loads(pickle.dumps(gradient)).bias, gradient.bias)


# -- training with Optax -----------------------------------------------------------------------------------------------


def perceptron(parameters: Any, x: Any) -> Any:
    for layer in parameters[:-1]:
        x = fnp.tanh(x @ layer["w"] + layer["b"])
    return x @ parameters[-1]["w"] + parameters[-1]["b"]


def perceptron_parameters(sizes: tuple[int, ...]) -> Any:
    keys = jax.random.split(jax.random.key(1), len(sizes))
    return [
        {"w": jax.random.normal(k, (m, n)) / np.sqrt(m), "b": jnp.zeros(n)}
        for k, m, n in zip(keys, sizes[:-1], sizes[1:], strict=False)
    ]


def attention(parameters: Any, x: Any) -> Any:
    """Two blocks of causal attention and a perceptron over tokens ``x: [time, features]``."""
    time = x.shape[0]
    mask = fnp.tril(fnp.ones((time, time), bool))
    for block in parameters["blocks"]:
        q, k, v = (x @ block[name] for name in ("q", "k", "v"))
        scores = fnp.where(mask, q @ k.T / np.sqrt(k.shape[-1]).astype(np.float32), -1e9)
        weights = fnp.exp(scores - fnp.max(scores, axis=-1, keepdims=True))
        x = x + (weights / fnp.sum(weights, axis=-1, keepdims=True)) @ v
        x = x + fnp.tanh(x @ block["up"]) @ block["down"]
    return x @ parameters["out"]


def attention_parameters(tokens: int, width: int) -> Any:
    keys = iter(jax.random.split(jax.random.key(2), 64))

    def matrix(m: int, n: int) -> Any:
        return jax.random.normal(next(keys), (m, n)) / np.sqrt(m)

    names = {"q": width, "k": width, "v": width, "up": 2 * width}
    blocks = [
        {**{name: matrix(width, n) for name, n in names.items()}, "down": matrix(2 * width, width)} for _ in range(2)
    ]
    return {"embedding": matrix(tokens, width), "blocks": blocks, "out": matrix(width, tokens)}


def test_an_optax_loop_trains_a_perceptron() -> None:
    optax = pytest.importorskip("optax")
    x = np.linspace(-1, 1, 64, dtype=np.float32)[:, None]
    y = np.sin(3 * x)
    parameters = perceptron_parameters((1, 16, 16, 1))
    optimiser = optax.adam(1e-2)

    @ft.jit
    def step(parameters: Any, state: Any) -> Any:
        loss, gradient = ft.value_and_grad(lambda p: fnp.mean((perceptron(p, x) - y) ** 2))(parameters)
        updates, state = ft.from_jax(optimiser.update)(gradient, state, parameters)
        return ft.from_jax(optax.apply_updates)(parameters, updates), state, loss

    state = optimiser.init(parameters)
    losses = []
    for _ in range(200):
        parameters, state, loss = step(parameters, state)
        losses.append(float(loss))
    assert losses[-1] < 0.02 * losses[0]
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves((parameters, state)))
    assert int(state[0].count) == 200


def test_an_optax_loop_on_concrete_gradients_equals_that_of_jax() -> None:
    optax = pytest.importorskip("optax")
    x = np.linspace(-1, 1, 16, dtype=np.float32)[:, None]
    y = np.sin(3 * x)
    optimiser = optax.sgd(0.05, momentum=0.9)

    def train(value_and_grad: Any, loss: Any) -> Any:
        parameters = perceptron_parameters((1, 8, 1))
        state = optimiser.init(parameters)
        gradient_of = value_and_grad(loss)
        for _ in range(10):
            value, gradient = gradient_of(parameters)
            updates, state = optimiser.update(gradient, state, parameters)
            parameters = optax.apply_updates(parameters, updates)
        return parameters, value

    def theirs(p: Any) -> Any:
        hidden = jnp.tanh(x @ p[0]["w"] + p[0]["b"])
        return jnp.mean((hidden @ p[1]["w"] + p[1]["b"] - y) ** 2)

    ours = train(ft.value_and_grad, lambda p: fnp.mean((perceptron(p, x) - y) ** 2))
    assert_same(ours, train(jax.value_and_grad, theirs), 4096)


def test_an_optax_loop_trains_a_small_transformer_to_continue_a_sequence() -> None:
    optax = pytest.importorskip("optax")
    tokens = np.asarray([0, 2, 1, 3, 0, 2, 1, 3, 0, 2, 1, 3], np.int32)
    parameters = attention_parameters(4, 8)
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(2e-2))

    def loss(parameters: Any) -> Any:
        logits = attention(parameters, parameters["embedding"][tokens[:-1]])
        logits = logits - fnp.max(logits, axis=-1, keepdims=True)
        chosen = fnp.take_along_axis(logits, tokens[1:, None], axis=-1)[:, 0]
        return fnp.mean(fnp.log(fnp.sum(fnp.exp(logits), axis=-1)) - chosen)

    @ft.jit
    def step(parameters: Any, state: Any) -> Any:
        value, gradient = ft.value_and_grad(loss)(parameters)
        updates, state = ft.from_jax(optimiser.update)(gradient, state, parameters)
        return jax.tree.map(lambda p, u: p + u, parameters, updates), state, value

    state = optimiser.init(parameters)
    first = float(loss(parameters))
    for _ in range(60):
        parameters, state, value = step(parameters, state)
    assert first > 1.0
    assert float(value) < 0.2
    continued = attention(parameters, parameters["embedding"][tokens])
    assert int(jnp.argmax(continued[-1])) == 0
