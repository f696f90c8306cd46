"""A Flax model trained by Optax, with functrans in the place of jax.grad, jax.jit and jax.hessian.

    pip install -e '.[bridge]' && python examples/optax_training.py

The model and the optimiser are JAX programs; ``functrans.from_jax`` brings them over, and every transform of functrans
applies to them: at the end the slope of the loss by the learning rate of one more step, which is minus the squared
length of the gradient, and the fourth derivative of the loss along that step.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import numpy as np
import optax

import functrans as ft
import functrans.numpy as fnp


class Network(nn.Module):
    """x: [batch, 2] -> logits [batch]."""

    @nn.compact
    def __call__(self, x):
        for width in (32, 32):
            x = nn.gelu(nn.Dense(width)(x))
        return nn.Dense(1)(x)[:, 0]


def spirals(count: int, seed: int = 0):
    """Two interleaved spirals: points [count, 2] and labels [count]."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, count).astype(np.float32)
    radius = generator.uniform(0.3, 2.0, count)
    angle = 2.5 * radius + np.pi * labels
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1)
    return (points + 0.05 * generator.normal(size=points.shape)).astype(np.float32), labels


def main() -> None:
    points, labels = spirals(512)
    model = Network()
    parameters = model.init(jax.random.key(0), points)
    apply = ft.from_jax(model.apply)
    optimiser = optax.adam(1e-2)
    update = ft.from_jax(optimiser.update)

    def loss(parameters):
        """The mean cross-entropy, log(1 + exp(-margin))."""
        margin = (2.0 * labels - 1.0) * apply(parameters, points)
        return fnp.mean(fnp.logaddexp(0.0, -margin))

    @ft.jit
    def step(parameters, state):
        value, gradient = ft.value_and_grad(loss)(parameters)
        updates, state = update(gradient, state, parameters)
        return moved(parameters, updates), state, value

    def moved(parameters, updates, length=1.0):
        return jax.tree.map(lambda p, u: p + length * u, parameters, updates)

    state = optimiser.init(parameters)
    for i in range(61):
        parameters, state, value = step(parameters, state)
        if i % 20 == 0:
            print(f"step {i:2d}  loss {float(value):.4f}")
    right = np.mean((np.asarray(apply(parameters, points)) > 0) == (labels > 0))
    print(f"loss {float(value):.4f}, accuracy {100 * right:.1f}%")

    gradient = ft.grad(loss)(parameters)

    def after(rate):
        """The loss after one step of plain gradient descent."""
        return loss(moved(parameters, gradient, -rate))

    print(f"slope of the loss by the learning rate   {float(ft.grad(after)(0.0)):.3e}")
    squared = sum(float(fnp.sum(g * g)) for g in jax.tree.leaves(gradient))
    print(f"minus the squared length of the gradient {-squared:.3e}")
    fourth = ft.grad(ft.grad(ft.grad(ft.grad(after))))
    print(f"fourth derivative along the step         {float(fourth(0.0)):.3e}")


if __name__ == "__main__":
    main()
