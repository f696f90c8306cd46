"""A neural ODE in Diffrax: a field of Equinox, learned by Optax, and functrans takes every derivative of it.

    pip install -e '.[libraries,examples]' && python examples/neural_ode.py [--figure PATH] [--steps N]

A damped pendulum is watched from sixteen starts, with noise; a small network learns the field that moves it, through
the differential equation's solver. Nothing is wrapped: ``functrans.grad``, ``vmap``, ``jacfwd`` and ``jvp`` are applied
to functions that call ``diffrax.diffeqsolve``. The script

1. learns the field by a gradient for each watched path, ``vmap(value_and_grad)`` inside ``jit``, whose mean Optax gets;
2. takes products with the Hessian of the loss, forward over reverse mode, checks one by differences of gradients, and
   finds the largest curvature by power iteration;
3. takes the Jacobian of the end by the start of each path, ``vmap(jacfwd)``, and checks it by Liouville's formula: its
   determinant is exp of the integral of the field's divergence along the path.

It prints a summary and writes one figure.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from drawing import COOL, FAINT, INK, WARM, panel, save, titled_figure

import functrans as ft
import functrans.numpy as fnp

DURATION, STEPS = 2.0, 16


def solve(field, start, adjoint):
    """The places [17, 2] after each step of the motion y' = field(y), its start [2] the first of them."""
    term = diffrax.ODETerm(lambda t, y, args: field(y))
    save = diffrax.SaveAt(t0=True, steps=True)
    return diffrax.diffeqsolve(
        term, diffrax.Heun(), 0.0, DURATION, DURATION / STEPS, start, saveat=save, adjoint=adjoint, max_steps=STEPS,
        throw=False,  # steps of one size cannot fail, and checks take time to compile
    ).ys  # fmt: skip


def watched(count=16, noise=0.02, seed=0, finer=10):
    """Places [count, 17, 2] of a pendulum (angle, angular velocity), with noise, and the starts [count, 2] without."""
    generator = np.random.default_rng(seed)
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False)
    places = [np.stack([2.0 * np.cos(angles), 2.4 * np.sin(angles)], -1) * generator.uniform(0.3, 1, (count, 1))]

    def field(y):
        return np.stack([y[:, 1], -2.0 * np.sin(y[:, 0]) - 0.3 * y[:, 1]], -1)

    h = DURATION / STEPS / finer
    for _ in range(STEPS * finer):
        half = places[-1] + 0.5 * h * field(places[-1])
        places.append(places[-1] + h * field(half))
    exact = np.stack(places[::finer], 1)
    noisy = exact + noise * generator.normal(size=exact.shape)
    return noisy.astype(np.float32), exact[:, 0].astype(np.float32)


def length(tree):
    """The Euclidean length of all the numbers of a tree."""
    return fnp.sqrt(sum(fnp.sum(leaf**2) for leaf in jax.tree.leaves(tree)))


def relative(found, expected):
    """How far a tree is from another, as a share of the other's length."""
    return float(length(jax.tree.map(lambda a, b: a - b, found, expected)) / length(expected))


# ----------------------------------------------------------------------------------------------------------- figure


def draw(path, field, places, paths, lengths, jacobians, losses):
    figure = titled_figure("A field learned through a solver, and what its derivatives say", (16, 6))
    parts = figure.subfigures(1, 3, width_ratios=(1.3, 1.3, 1))

    axes = panel(parts[0], "1  the gradient of each path: what still pulls at the field")
    grid = np.stack(np.meshgrid(np.linspace(-2.4, 2.4, 19), np.linspace(-3, 3, 19)), -1).astype(np.float32)
    arrows = np.asarray(ft.vmap(ft.vmap(field))(grid))
    axes.quiver(*np.moveaxis(grid, -1, 0), *np.moveaxis(arrows, -1, 0), color=FAINT)
    for curve, seen, gradient in zip(paths, places, lengths):
        axes.plot(*curve.T, color=COOL, linewidth=1 + 5 * gradient / max(lengths), alpha=0.8)
        axes.plot(*seen.T, ".", color=WARM, markersize=4)
    axes.set_xlabel("angle   (wider line: longer gradient)")
    axes.set_ylabel("angular velocity")

    axes = panel(parts[1], "3  vmap(jacfwd): where each small circle of starts goes")
    turn = np.linspace(0, 2 * np.pi, 60)
    circle = 0.2 * np.stack([np.cos(turn), np.sin(turn)])
    for curve, jacobian in zip(paths, jacobians):
        axes.plot(*curve.T, color=FAINT, linewidth=1)
        axes.plot(*(curve[0][:, None] + circle), color=COOL, linewidth=1.5)
        axes.plot(*(curve[-1][:, None] + jacobian @ circle), color=WARM, linewidth=1.5)
    axes.set_xlabel("angle   (blue: at the start, red: at the end)")
    axes.set_aspect("equal")

    axes = panel(parts[2], "1  learning")
    axes.semilogy(losses, color=INK)
    axes.set_xlabel("step")
    axes.set_ylabel("mean squared error")
    save(figure, path)


# ------------------------------------------------------------------------------------------------------------- main


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--figure", type=Path, default=Path(__file__).parent / "figures" / "neural_ode.png")
    parser.add_argument("--steps", type=int, default=250, help="steps of the optimiser")
    options = parser.parse_args(arguments)
    started = time.perf_counter()

    places, starts = watched()
    network = eqx.nn.MLP(2, 2, 24, 2, activation=jnp.tanh, key=jax.random.key(1))
    parameters, static = eqx.partition(network, eqx.is_array)
    adjoint = diffrax.DirectAdjoint()  # the solver's steps are differentiated, to any order

    def loss(parameters, start, seen):
        """The mean squared error of one path."""
        return fnp.mean((solve(eqx.combine(parameters, static), start, adjoint) - seen) ** 2)

    # 1. Learning, by a gradient for each path.
    each = ft.jit(ft.vmap(ft.value_and_grad(loss), (None, 0, 0)))
    optimiser = optax.adam(optax.cosine_decay_schedule(2e-2, options.steps))
    update = ft.jit(optimiser.update)

    def mean(tree):
        return jax.tree.map(lambda leaf: leaf.mean(0), tree)

    state, losses = optimiser.init(parameters), []
    for _ in range(options.steps):
        values, gradients = each(parameters, starts, places)
        updates, state = update(mean(gradients), state)
        parameters = optax.apply_updates(parameters, updates)
        losses.append(float(values.mean()))
    _, gradients = each(parameters, starts, places)
    lengths = np.asarray(ft.vmap(length)(gradients))
    learned = time.perf_counter()

    # 2. Products with the Hessian.
    def total(parameters):
        return fnp.mean(ft.vmap(loss, (None, 0, 0))(parameters, starts, places))

    product = ft.jit(lambda p, v: ft.jvp(ft.grad(total), (p,), (v,))[1])
    direction = jax.tree.map(lambda g: g / length(mean(gradients)), mean(gradients))
    found = product(parameters, direction)
    ahead, behind = (
        mean(each(jax.tree.map(lambda p, v, h=h: p + h * v, parameters, direction), starts, places)[1])
        for h in (1e-2, -1e-2)
    )
    gap = relative(found, jax.tree.map(lambda a, b: (a - b) / 2e-2, ahead, behind))
    for _ in range(20):
        image = product(parameters, direction)
        curvature = length(image)
        direction = jax.tree.map(lambda v, c=curvature: v / c, image)

    # 3. A Jacobian for each path, and Liouville's formula.
    field = eqx.combine(parameters, static)

    def end_and_path(start):
        path = solve(field, start, diffrax.ForwardMode())
        return path[-1], path

    jacobians, paths = map(np.asarray, ft.jit(ft.vmap(ft.jacfwd(end_and_path, has_aux=True)))(starts))
    divergences = np.asarray(ft.vmap(ft.vmap(lambda y: fnp.trace(ft.jacfwd(field)(y))))(paths))
    determinants = np.linalg.det(jacobians)
    expected = np.exp(np.trapezoid(divergences, dx=DURATION / STEPS, axis=1))
    draw(options.figure, field, places, paths, lengths, jacobians, losses)

    print(
        f"""
learning                              {losses[0]:.4f} to {losses[-1]:.5f} in {options.steps} steps, \
{learned - started:.1f} s with compiling
a gradient for each of {len(starts)} paths       lengths {lengths.min():.4f} to {lengths.max():.4f}
a product with the Hessian            differs from differences of gradients by {gap:.1e}
  largest curvature                   {float(curvature):.2f}
a Jacobian for each path              determinants {determinants.min():.3f} to {determinants.max():.3f}
  against Liouville's formula         differ by {np.max(np.abs(determinants / expected - 1)):.1e}

figure: {options.figure}
{time.perf_counter() - started:.1f} s"""
    )


if __name__ == "__main__":
    main()
