"""A Flax model trained by Optax, with functrans in the place of jax.grad, jax.vmap, jax.jit and jax.jvp.

    pip install -e '.[libraries,examples]' && python examples/optax_training.py [--figure PATH]

The model and the optimiser are called as their users call them. Every transform of functrans applies to what is made of
them; the script learns to tell two spirals apart and then takes

1. a gradient for each example, ``vmap(grad)``: which points still pull at the network;
2. products with the Hessian, forward over reverse mode, and by them the largest curvature of the loss;
3. the slope of the loss by the learning rate of one more step of gradient descent, which is minus the squared length of
   the gradient, and the fourth derivative of the loss along that step.

It prints a summary and writes one figure.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import flax.linen as nn
import jax
import numpy as np
import optax
from drawing import COOL, INK, WARM, panel, save, titled_figure

import functrans as ft
import functrans.numpy as fnp


class Network(nn.Module):
    """x: [..., 2] -> logits [...]."""

    @nn.compact
    def __call__(self, x):
        for width in (32, 32):
            x = nn.gelu(nn.Dense(width)(x))
        return nn.Dense(1)(x)[..., 0]


def spirals(count: int, seed: int = 0):
    """Two interleaved spirals: points [count, 2] and labels [count]."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, count).astype(np.float32)
    radius = generator.uniform(0.3, 2.0, count)
    angle = 2.5 * radius + np.pi * labels
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1)
    return (points + 0.05 * generator.normal(size=points.shape)).astype(np.float32), labels


def moved(parameters, direction, length=1.0):
    return jax.tree.map(lambda p, d: p + length * d, parameters, direction)


def inner(a, b):
    """The inner product of two trees."""
    return sum(fnp.sum(x * y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def draw(path, model, parameters, points, labels, lengths, losses):
    figure = titled_figure("A Flax model, trained by Optax, differentiated by functrans", (13, 6))
    left, right = figure.subfigures(1, 2, width_ratios=(1.5, 1))
    axes = panel(left, "1  vmap(grad): the larger the point, the longer its gradient")
    ticks = np.linspace(-2.3, 2.3, 160)
    grid = np.stack(np.meshgrid(ticks, ticks), -1).astype(np.float32)
    logits = np.asarray(model.apply(parameters, grid))
    axes.contourf(ticks, ticks, np.tanh(logits / 4), 21, cmap="RdBu", vmin=-2.5, vmax=2.5)
    axes.contour(ticks, ticks, logits, [0.0], colors=INK, linewidths=1)
    axes.scatter(*points.T, s=4 + 300 * lengths / lengths.max(), c=np.where(labels > 0, COOL, WARM), edgecolor="white")
    axes.set_aspect("equal")
    axes = panel(right, "the loss while it learns")
    axes.semilogy(losses, color=INK)
    axes.set_xlabel("step")
    save(figure, path)


def main(arguments=None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--figure", type=Path, default=Path(__file__).parent / "figures" / "optax_training.png")
    options = parser.parse_args(arguments)
    points, labels = spirals(512)
    model = Network()
    parameters = jax.jit(model.init)(jax.random.key(0), points)
    optimiser = optax.adam(1e-2)

    def example_loss(parameters, point, label):
        """The cross-entropy of one example, log(1 + exp(-margin))."""
        return optax.sigmoid_binary_cross_entropy(model.apply(parameters, point), label)

    def loss(parameters):
        return fnp.mean(example_loss(parameters, points, labels))

    @ft.jit
    def step(parameters, state):
        value, gradient = ft.value_and_grad(loss)(parameters)
        updates, state = optimiser.update(gradient, state, parameters)
        return optax.apply_updates(parameters, updates), state, value

    state, losses = optimiser.init(parameters), []
    for i in range(61):
        parameters, state, value = step(parameters, state)
        losses.append(float(value))
        if i % 20 == 0:
            print(f"step {i:2d}  loss {losses[-1]:.4f}")
    right = np.mean((np.asarray(model.apply(parameters, points)) > 0) == (labels > 0))
    print(f"loss {losses[-1]:.4f}, accuracy {100 * right:.1f}%")

    # 1. A gradient for each example; their mean is the gradient.
    each = ft.jit(ft.vmap(ft.grad(example_loss), (None, 0, 0)))(parameters, points, labels)
    gradient = ft.grad(loss)(parameters)
    squared = float(inner(gradient, gradient))
    gap = moved(jax.tree.map(lambda g: fnp.mean(g, axis=0), each), gradient, -1.0)
    lengths = np.sqrt(np.asarray(ft.vmap(inner)(each, each)))
    print(f"gradients of {len(points)} examples: lengths {lengths.min():.1e} to {lengths.max():.1e}")
    print(f"their mean differs from the gradient by {(float(inner(gap, gap)) / squared) ** 0.5:.1e}")

    # 2. The largest curvature, by power iteration: no Hessian is formed.
    product = ft.jit(lambda v: ft.jvp(ft.grad(loss), (parameters,), (v,))[1])
    direction = jax.tree.map(lambda g: g / squared**0.5, gradient)
    along = float(inner(direction, product(direction)))
    for _ in range(30):
        image = product(direction)
        curvature = float(fnp.sqrt(inner(image, image)))
        direction = jax.tree.map(lambda v, c=curvature: v / c, image)
    print(f"curvature along the gradient {along:.4f}, the largest one {curvature:.4f}")

    # 3. Derivatives along one more step of plain gradient descent.
    def after(rate):
        return loss(moved(parameters, gradient, -rate))

    def derivative(f):
        return lambda rate: ft.jvp(f, (rate,), (1.0,))[1]

    slope = derivative(after)
    second = derivative(slope)
    fourth = derivative(derivative(second))
    print(f"slope of the loss by the learning rate   {float(slope(0.0)):.3e}")
    print(f"minus the squared length of the gradient {-squared:.3e}")
    print(f"second derivative along the step         {float(second(0.0)):.3e}")
    print(f"curvature times the squared length       {along * squared:.3e}")
    print(f"fourth derivative along the step         {float(fourth(0.0)):.3e}")
    draw(options.figure, model, parameters, points, labels, lengths, losses)


if __name__ == "__main__":
    main()
