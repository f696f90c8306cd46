"""Derivatives of derivatives: a planet's place by a series of nth derivatives, and how a cluster of atoms vibrates.

    python examples/higher_order.py [--figure PATH]

1. Kepler's equation M = E - e sin E gives a planet's place E at time M, and has no closed solution. Lagrange's series
   has one: the coefficient of e^n is the (n-1)st derivative of sin^n M, divided by n!, which is ``grad`` nested n - 1
   times. It converges for eccentricities below Laplace's limit 0.6627 and for no others, and the figure shows it.
2. Thirteen atoms that attract and repel by Lennard-Jones' law settle into an icosahedron. Newton's method finds it with
   Hessian-vector products alone (``hvp``, inside conjugate gradients); steepest descent is shown beside it.
3. The full ``hessian`` there gives the frequencies at which the cluster vibrates: 39 of them, six of which must be zero
   because neither moving nor turning the whole costs energy.
4. Programs grow with the order: ``grad`` and ``jvp`` nested one to eight times and written out, against Taylor mode,
   which a nest of a smooth scalar function becomes by itself.

It prints a summary and writes one figure. Everything is computed in float64.
"""

import argparse
import math
import time
from pathlib import Path

import numpy as np
from drawing import COOL, FAINT, INK, WARM, panel, save, titled, titled_figure
from tqdm import tqdm

import functrans as ft
import functrans.numpy as fnp
from functrans.derivatives import derivatives

ft.config.update("jax_enable_x64", True)

LAPLACE_LIMIT = 0.6627434193


def nested(derivative, f, order):
    for _ in range(order):
        f = derivative(f)
    return f


# --------------------------------------------------------------------------------------------- 1. Lagrange's series


def kepler_coefficients(times, most):
    """The coefficients of e, e^2 ... e^most in E(e, M) at the times M -> [most, len(times)]."""
    rows = []
    for n in tqdm(range(1, most + 1), desc="Lagrange's series", unit="order"):
        derivative = nested(ft.grad, lambda time, n=n: fnp.sin(time) ** n, n - 1)
        rows.append(np.asarray(ft.vmap(derivative)(times)) / math.factorial(n))
    return np.array(rows)


def kepler_by_newton(eccentricity, times):
    """E with M = E - e sin E, by Newton's method, to the last bit."""
    place = times + eccentricity * np.sin(times)
    for _ in range(50):
        place = place - (place - eccentricity * np.sin(place) - times) / (1 - eccentricity * np.cos(place))
    return place


def series_errors(coefficients, eccentricity, times):
    """The largest error over a revolution of the series broken off after 1, 2 ... terms."""
    terms = coefficients * eccentricity ** np.arange(1, len(coefficients) + 1)[:, None]
    return np.max(np.abs(times + np.cumsum(terms, axis=0) - kepler_by_newton(eccentricity, times)), axis=1)


# --------------------------------------------------------------------------------------- 2. thirteen atoms settle


PAIRS = np.triu_indices(13, 1)


def energy(places):
    """Lennard-Jones' energy of the atoms at places [39], in units of the depth of one bond."""
    atoms = fnp.reshape(places, (13, 3))
    offsets = atoms[PAIRS[0]] - atoms[PAIRS[1]]
    sixth = fnp.sum(offsets * offsets, axis=1) ** -3
    return 4.0 * fnp.sum(sixth * sixth - sixth)


def rough_icosahedron(seed=0):
    """An atom and its twelve neighbours on an icosahedron, too far out and shaken -> [39]."""
    golden = (1 + math.sqrt(5)) / 2
    corners = [np.roll((0.0, i, j * golden), k) for i in (-1, 1) for j in (-1, 1) for k in range(3)]
    atoms = np.vstack([np.zeros(3), 1.12 * np.array(corners) / math.hypot(1, golden)])
    return (atoms + np.random.default_rng(seed).normal(scale=0.03, size=atoms.shape)).ravel()


slope = ft.jit(ft.grad(energy))
curvature_along = ft.jit(lambda places, direction: ft.hvp(energy, (places,), (direction,)))


def newton_step(places, gradient):
    """Solves Hessian step = -gradient by conjugate gradients, which ask for Hessian-vector products only."""
    step, residual = np.zeros_like(gradient), -gradient
    direction, products = residual, 0
    while np.linalg.norm(residual) > min(0.1, np.linalg.norm(gradient)) * np.linalg.norm(gradient):
        bent = np.asarray(curvature_along(places, direction))
        products += 1
        if direction @ bent <= 0:  # downwards without end: leave the quadratic model here
            break
        length = residual @ residual / (direction @ bent)
        step, before = step + length * direction, residual @ residual
        residual = residual - length * bent
        direction = residual + residual @ residual / before * direction
    return step, products


def settle(places, most=10):
    """Newton's method: the places found, the norm of the force at each step, and the Hessian-vector products spent."""
    forces, products = [], 0
    for _ in range(most):
        gradient = np.asarray(slope(places))
        forces.append(np.linalg.norm(gradient))
        if forces[-1] < 1e-11:
            break
        step, spent = newton_step(places, gradient)
        places, products = places + step, products + spent
    return places, np.array(forces), products


def slide(places, steps=200, rate=1.5e-3):
    """Steepest descent with a fixed rate: the norm of the force at each step."""
    forces = []
    for _ in range(steps):
        gradient = np.asarray(slope(places))
        forces.append(np.linalg.norm(gradient))
        places = places - rate * gradient
    return np.array(forces)


# -------------------------------------------------------------------------------------------- 4. how programs grow


def wavy(x):
    return fnp.tanh(x) * fnp.sin(x * x) + fnp.exp(-x) / (1 + x * x)


def forward_derivative(f):
    return lambda x: ft.jvp(f, (x,), (1.0,))[1]


def growth(most):
    """Equations of the derivatives of orders 1 to `most`: by nested grad, by nested jvp and by Taylor mode."""
    ft.collapse_nests(False)
    nests = [[nested(mode, wavy, order) for order in range(1, most + 1)] for mode in (ft.grad, forward_derivative)]
    together = [derivatives(wavy, order) for order in range(1, most + 1)]
    sizes = [np.array([len(ft.make_jaxpr(f)(0.7).equations) for f in row]) for row in (*nests, together)]
    ft.collapse_nests(None)
    return sizes


# ------------------------------------------------------------------------------------------------------------- figure


def draw(path, times, coefficients, forces, descent, places, frequencies, softest, sizes):
    figure = titled_figure(
        "Derivatives of derivatives: a planet, a cluster of atoms, and the size of programs", (16, 9)
    )
    parts = figure.subfigures(2, 3, wspace=0.04, hspace=0.05)

    axes = panel(parts[0, 0], "1  grad nested n − 1 times: Lagrange's series for e = 0.5")
    exact = kepler_by_newton(0.5, times)
    axes.plot(times, exact - times, color=FAINT, linewidth=6, label="the planet's place")
    for most, colour, style in ((1, COOL, ":"), (2, COOL, "--"), (len(coefficients), WARM, "-")):
        powers = 0.5 ** np.arange(1, most + 1)
        axes.plot(
            times,
            powers @ coefficients[:most],
            color=colour,
            linestyle=style,
            label=f"{most} terms" if most > 1 else "1 term",
        )
    axes.set_xlabel("time M")
    axes.set_ylabel("place E − M")
    axes.legend(frameon=False)

    axes = panel(parts[0, 1], "1  it converges below Laplace's limit only")
    orders = np.arange(1, len(coefficients) + 1)
    for eccentricity, colour, style in (
        (0.2, COOL, "-"),
        (0.4, COOL, "--"),
        (LAPLACE_LIMIT, INK, ":"),
        (0.95, WARM, "-"),
    ):
        errors = series_errors(coefficients, eccentricity, times)
        axes.semilogy(orders, errors, style, marker="o", markersize=3, color=colour, label=f"e = {eccentricity:.2f}")
    axes.set_xlabel("terms of the series")
    axes.set_ylabel("largest error of the place")
    axes.legend(frameon=False)

    axes = panel(parts[0, 2], "4  how programs grow with the order")
    orders = np.arange(1, len(sizes[0]) + 1)
    labels = ("grad nested, written out", "jvp nested, written out", "Taylor mode")
    for counts, label, colour in zip(sizes, labels, (WARM, COOL, INK), strict=True):
        axes.semilogy(orders, counts, "o-", color=colour, label=label)
    axes.set_xlabel("order of the derivative")
    axes.set_ylabel("equations of the program")
    axes.legend(frameon=False)

    axes = panel(parts[1, 0], "2  hvp: Newton's method settles thirteen atoms")
    axes.semilogy(np.arange(len(forces)), forces, "o-", color=WARM, label="Newton, by Hessian-vector products")
    axes.semilogy(np.arange(len(descent)), descent, color=COOL, label="steepest descent")
    axes.set_xlabel("step")
    axes.set_ylabel("force left on the atoms")
    axes.legend(frameon=False)

    axes = panel(parts[1, 1], "3  hessian: the frequencies of the cluster")
    axes.plot(np.arange(1, 40), frequencies, "o", color=COOL, markersize=5)
    axes.plot(
        np.arange(1, 7), frequencies[:6], "o", color=WARM, markersize=5, label="moving and turning the whole: zero"
    )
    axes.set_xlabel("modes, softest first")
    axes.set_ylabel("frequency")
    axes.legend(frameon=False)

    titled(parts[1, 2], "3  ... and how it moves at the lowest of them")
    axes = parts[1, 2].subplots(subplot_kw={"projection": "3d"})
    atoms, motion = places.reshape(13, 3), softest.reshape(13, 3)
    for i, j in zip(*PAIRS, strict=True):
        if np.linalg.norm(atoms[i] - atoms[j]) < 1.2:
            axes.plot(*np.stack([atoms[i], atoms[j]], axis=1), color=FAINT, linewidth=1)
    axes.scatter(*atoms.T, s=160, color=COOL, depthshade=True, edgecolor="white")
    axes.quiver(*atoms.T, *(1.2 * motion.T), color=WARM, linewidth=2, arrow_length_ratio=0.35)
    axes.set_axis_off()
    axes.set_box_aspect((1, 1, 1), zoom=1.35)
    save(figure, path)


# --------------------------------------------------------------------------------------------------------------- main


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--figure", type=Path, default=Path(__file__).parent / "figures" / "higher_order.png")
    options = parser.parse_args(arguments)
    started = time.perf_counter()

    times = np.linspace(0, 2 * math.pi, 200)
    coefficients = kepler_coefficients(times, 8)
    # The error falls with the ninth power of the eccentricity, the first that is left out: 512-fold when e is halved.
    far, near = (series_errors(coefficients, e, times)[-1] for e in (0.1, 0.05))

    start = rough_icosahedron()
    places, forces, products = settle(start)
    descent = slide(start)
    matrix = np.asarray(ft.jit(ft.hessian(energy))(places))
    curvatures, modes = np.linalg.eigh(matrix)
    direction = np.random.default_rng(1).normal(size=39)
    product_gap = np.max(np.abs(matrix @ direction - np.asarray(curvature_along(places, direction)))) / curvatures[-1]
    frequencies = np.sqrt(np.abs(curvatures))
    sizes = growth(8)
    draw(options.figure, times, coefficients, forces, descent, places, frequencies, modes[:, 6], sizes)

    print(
        f"""
1  Lagrange's series, eight terms, by grad nested up to seven times
   error for e = 0.1                         {far:.1e}, {far / near:.0f} times that for e = 0.05 (512 expected)
2  energy of thirteen atoms                  {float(energy(places)):.9f} after {len(forces) - 1} Newton steps
   Hessian-vector products spent             {products}
   force left                                {forces[-1]:.1e}
   force left by steepest descent            {descent[-1]:.1e} after {len(descent)} steps
3  the six frequencies that must be zero     at most {frequencies[:6].max():.1e}; the next is {frequencies[6]:.6f}
   hvp against the Hessian's product         differ by {product_gap:.1e}
4  equations of grad nested 1 to 8 times     {" ".join(map(str, sizes[0]))}
   equations of jvp nested 1 to 8 times      {" ".join(map(str, sizes[1]))}
   equations by Taylor mode, orders 1 to 8   {" ".join(map(str, sizes[2]))}

figure: {options.figure}
{time.perf_counter() - started:.1f} s"""
    )


if __name__ == "__main__":
    main()
