"""Where does a flow tear neighbours apart? One Jacobian for each of 12,800 drifting particles tells.

    python examples/batched_jacobian.py [--figure PATH] [--columns N]

Particles drift in the double gyre, two eddies that swing sideways and trade water: the standard test of the search for
transport barriers (Shadden, Lekien, Marsden: "Definition and properties of Lagrangian coherent structures", Physica D,
2005). The flow map takes a particle's start to its place 15 time units later; how much neighbours separate is in the
singular values of its Jacobian. The script

1. makes the velocity by ``grad`` of the stream function, which keeps areas as water does, and the flow map by a loop of
   Runge-Kutta steps;
2. takes the 2 x 2 Jacobian of every particle of a grid with ``vmap(jacfwd(flow_map))``, draws the separation rate (the
   finite-time Lyapunov exponent), and checks that every Jacobian keeps areas: its determinant is 1;
3. compares it with ``vmap(jacrev(flow_map))``, which goes backwards through the loop, and with difference quotients;
4. takes the 2 x 3 Jacobian in the constants of the flow, by reverse mode, for all particles;
5. predicts by one Jacobian where a drop of dye goes.

It prints a summary and writes one figure. Everything is computed in float64.
"""

import argparse
import math
import time
from pathlib import Path

import numpy as np
from drawing import COOL, FAINT, INK, WARM, panel, save, titled_figure
from tqdm import tqdm

import functrans as ft
import functrans.numpy as fnp
from functrans import lax

ft.config.update("jax_enable_x64", True)

CONSTANTS = np.array([0.1, 0.25, 2 * math.pi / 10])  # strength of the eddies, how far they swing, how fast
DURATION, STEPS = 15.0, 100


# --------------------------------------------------------------------------------------------------- 1. the flow map


def stream(place, t, constants):
    """The stream function of the double gyre at a place [2] of the tank, 2 wide and 1 high."""
    strength, swing, frequency = constants
    shift = swing * fnp.sin(frequency * t)
    bent = shift * place[0] ** 2 + (1.0 - 2.0 * shift) * place[0]
    return strength * fnp.sin(math.pi * bent) * fnp.sin(math.pi * place[1])


def velocity(place, t, constants):
    """(-d stream / dy, d stream / dx): whatever the stream function, no area is gained or lost."""
    slope = ft.grad(stream)(place, t, constants)
    return fnp.stack([-slope[1], slope[0]])


def flow_map(place, constants):
    """Where a particle that starts at `place` [2] is after DURATION: classical Runge-Kutta steps."""
    h = DURATION / STEPS

    def step(i, place):
        t = i * h
        k1 = velocity(place, t, constants)
        k2 = velocity(place + 0.5 * h * k1, t + 0.5 * h, constants)
        k3 = velocity(place + 0.5 * h * k2, t + 0.5 * h, constants)
        k4 = velocity(place + h * k3, t + h, constants)
        return place + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)

    return lax.fori_loop(0, STEPS, step, place)


def start_places(columns):
    """A grid of particles over the tank: [columns * columns / 2, 2]."""
    x = (np.arange(columns) + 0.5) * 2 / columns
    y = (np.arange(columns // 2) + 0.5) * 2 / columns
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)


flow = ft.jit(ft.vmap(flow_map, in_axes=(0, None)))


# ------------------------------------------------------------------------------------- 2 to 4. a Jacobian for each


def jacobians(mode, argument):
    """The Jacobian of the flow map by `mode` (jacfwd or jacrev) for every particle, compiled."""
    return ft.jit(ft.vmap(mode(flow_map, argnums=argument), in_axes=(0, None)))


def in_portions(function, places, what, portion=640):
    """function(places, CONSTANTS), a portion at a time, with a progress bar; and the seconds a particle took."""
    ft.block_until_ready(function(places[:portion], CONSTANTS))  # compiles
    started = time.perf_counter()
    results = []
    for start in tqdm(range(0, len(places), portion), desc=what, unit="portion"):
        results.append(np.asarray(function(places[start : start + portion], CONSTANTS)))
    return np.concatenate(results), (time.perf_counter() - started) / len(places)


def separation_rates(matrices):
    """The finite-time Lyapunov exponent, log(largest singular value) / DURATION, of each Jacobian [n, 2, 2]."""
    return np.log(np.linalg.norm(matrices, ord=2, axis=(1, 2))) / DURATION


def by_differences(places, argument, width=1e-6):
    """Central differences of the flow map in the start place, or in the constants of the flow."""
    columns = []
    for direction in np.eye(2 if argument == 0 else 3) * width:
        changes = (direction, 0.0) if argument == 0 else (0.0, direction)
        ahead, behind = (flow(places + sign * changes[0], CONSTANTS + sign * changes[1]) for sign in (1, -1))
        columns.append((np.asarray(ahead) - np.asarray(behind)) / (2 * width))
    return np.stack(columns, axis=-1)


def largest_error(found, expected):
    """The largest difference of two Jacobians of one particle, as a share of the Jacobian's size."""
    sizes = np.linalg.norm(expected, axis=(1, 2))
    return float(np.max(np.linalg.norm(found - expected, axis=(1, 2)) / sizes))


# ------------------------------------------------------------------------------------------------ 5. a drop of dye


def drop(centre, radius, points):
    """A circle of dye [points, 2], where the flow takes it, and where one Jacobian says that it goes."""
    angles = np.linspace(0, 2 * math.pi, points)
    offsets = radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    jacobian = np.asarray(ft.jit(ft.jacfwd(flow_map))(centre, CONSTANTS))
    carried = np.asarray(flow(centre + offsets, CONSTANTS))
    return centre + offsets, carried, np.asarray(flow_map(centre, CONSTANTS)) + offsets @ jacobian.T


# ------------------------------------------------------------------------------------------------------------- figure


def draw(path, columns, rates, sensitivity, dye, determinants):
    figure = titled_figure(
        "A Jacobian for each drifting particle shows the barriers that a flow does not cross", (16, 9)
    )
    upper, lower = figure.subfigures(2, 1, height_ratios=(1.35, 1), hspace=0.04)
    field, closer = upper.subfigures(1, 2, width_ratios=(2, 1))
    left, right = lower.subfigures(1, 2, width_ratios=(2, 1))
    shape = (columns // 2, columns)

    axes = panel(field, "2  vmap(jacfwd(flow_map)): how fast neighbours separate, by where they start")
    image = axes.imshow(rates.reshape(shape), origin="lower", extent=(0, 2, 0, 1), cmap="magma", vmin=0)
    figure.colorbar(image, ax=axes, label="separation rate", shrink=0.85)
    circle, carried, predicted = dye
    axes.plot(*circle.T, color="#7fd6ff", linewidth=2)
    axes.annotate("dye", circle.mean(axis=0) + (0.03, 0.02), color="#7fd6ff", fontsize=11)

    axes = panel(closer, "5  a drop of dye, 15 time units later")
    axes.plot(*carried.T, color=COOL, linewidth=5, alpha=0.45, label="where it went")
    axes.plot(*predicted.T, color=WARM, linewidth=1.2, label="where one Jacobian puts it")
    axes.set_xlabel("x")
    axes.set_ylabel("y")
    axes.legend(frameon=False)

    axes = panel(left, "4  vmap(jacrev), in the constants of the flow: how far a faster swing moves each particle")
    image = axes.imshow(
        np.log10(sensitivity).reshape(shape), origin="lower", extent=(0, 2, 0, 1), cmap="cividis", aspect="auto"
    )
    figure.colorbar(image, ax=axes, label="log₁₀ |d place / d frequency|", shrink=0.85)

    axes = panel(right, "2  water keeps its area: determinants of all Jacobians")
    axes.hist(np.log10(np.maximum(np.abs(determinants - 1), 1e-17)), bins=60, color=FAINT, edgecolor="white")
    axes.set_xlabel("log₁₀ |determinant − 1|")
    axes.set_ylabel("particles")
    axes.yaxis.label.set_color(INK)
    save(figure, path)


# --------------------------------------------------------------------------------------------------------------- main


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--figure", type=Path, default=Path(__file__).parent / "figures" / "batched_jacobian.png")
    parser.add_argument("--columns", type=int, default=160, help="particles along the tank, twice those across it")
    options = parser.parse_args(arguments)
    started = time.perf_counter()

    places = start_places(options.columns)
    sample = places[:: len(places) // 640][:640]
    forward, forward_cost = in_portions(jacobians(ft.jacfwd, 0), places, "vmap(jacfwd)")
    reverse, reverse_cost = in_portions(jacobians(ft.jacrev, 0), sample, "vmap(jacrev), a sample")
    constants, constants_cost = in_portions(jacobians(ft.jacrev, 1), places, "vmap(jacrev), constants")
    here = np.isin(np.arange(len(places)), np.arange(len(places))[:: len(places) // 640][:640])
    mode_gap = largest_error(reverse, forward[here])
    difference_gaps = [
        largest_error(by_differences(sample, i), exact[here]) for i, exact in enumerate((forward, constants))
    ]
    determinants, rates = np.linalg.det(forward), separation_rates(forward)
    dye = drop(np.array([0.75, 0.3]), 0.01, len(sample))
    dye_gap = np.max(np.linalg.norm(dye[1] - dye[2], axis=1)) / np.max(
        np.linalg.norm(dye[1] - dye[1].mean(axis=0), axis=1)
    )
    draw(options.figure, options.columns, rates, np.linalg.norm(constants[:, :, 2], axis=1), dye, determinants)

    print(
        f"""
a Jacobian [2, 2] for each of {len(places)} particles, through {STEPS} Runge-Kutta steps
  forward mode                        {1e6 * forward_cost:.0f} us a particle
  reverse mode, {len(sample)} of them           {1e6 * reverse_cost:.0f} us a particle
  forward against reverse mode        differ by {mode_gap:.1e}
  against difference quotients        differ by {difference_gaps[0]:.1e}
  determinants                        differ from 1 by at most {np.max(np.abs(determinants - 1)):.1e}
separation rate                       {rates.min():.3f} to {rates.max():.3f}: neighbours part up to \
{math.exp(rates.max() * DURATION):.0f}-fold
a Jacobian [2, 3] in the constants of the flow
  reverse mode                        {1e6 * constants_cost:.0f} us a particle
  against difference quotients        differ by {difference_gaps[1]:.1e}
drop of dye                           one Jacobian puts it within {dye_gap:.1%} of its size

figure: {options.figure}
{time.perf_counter() - started:.1f} s"""
    )


if __name__ == "__main__":
    main()
