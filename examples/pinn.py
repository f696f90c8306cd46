"""Physics-informed networks: five differential equations solved by networks of 300 to 500 weights, in seconds.

    python examples/pinn.py [--steps N] [--figure PATH]

A network stands for the solution, and training makes the residual of the equation zero at scattered points (Raissi,
Perdikaris and Karniadakis, 2019). Initial and boundary conditions hold exactly, whatever the weights are, by the form
that the network is put into (Lagaris, Likas and Fotiadis, 1998). What it takes of derivatives:

- the equation's own, by ``functrans.derivatives``: one pass of collapsed Taylor mode for each operator, to order four;
- the gradient of every residual by every weight, ``vmap(grad(...))`` of these, for the steps of Levenberg and
  Marquardt, which reach in a few hundred steps what gradient descent does not in many thousands.

The equations: heat conduction, Burgers' with a steep front, Helmholtz's, Korteweg and de Vries' with two solitons, one
of which overtakes the other, and the bending of a clamped plate. It prints errors against the exact solutions, checks
the operators of the trained networks against nested derivatives, and writes one figure.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from drawing import COOL, FAINT, INK, WARM, panel, save, titled, titled_figure
from threadpoolctl import threadpool_limits
from tqdm import tqdm

import functrans as ft
import functrans.numpy as fnp
from functrans.derivatives import biharmonic, differential_operator, laplacian

ft.config.update("jax_enable_x64", True)

PI = np.pi


class Problem(NamedTuple):
    """An equation on a rectangle; points x are ``[2]``, the time first where there is time."""

    title: str
    equation: str
    low: tuple
    high: tuple
    operator: Callable  # the highest derivatives
    terms: dict  # the same, written out
    rest: Callable  # (u, x) -> what makes up the residual with operator(u)(x)
    form: Callable  # (value of the network, x) -> u(x), which fulfils the conditions
    exact: Callable  # x: [..., 2] -> [...]
    width: int = 16
    points: int = 400
    steps: int = 250

    def residual(self, u, x):
        return self.operator(u)(x) + self.rest(u, x)


# -- the equations ---------------------------------------------------------------------------------------------------


def heat():
    conduction = 0.1
    terms = {(1, 0): 1.0, (0, 2): -conduction}

    def exact(x):
        mode = lambda k: fnp.sin(k * PI * x[..., 1]) * fnp.exp(-conduction * (k * PI) ** 2 * x[..., 0])
        return mode(1) + 0.5 * mode(3)

    form = lambda n, x: exact(x * START) + x[0] * x[1] * (1 - x[1]) * n
    return Problem(
        "heat", "$u_t = 0.1\\,u_{xx}$", (0, 0), (1, 1), differential_operator(terms), terms, lambda u, x: 0.0, form,
        exact,
    )  # fmt: skip


def burgers():
    viscosity = 0.02
    terms = {(1, 0): 1.0, (0, 2): -viscosity}
    nodes, weights = np.polynomial.hermite.hermgauss(200)

    def exact(x):
        """By the transform of Cole and Hopf: a quotient of means over a normal distribution."""
        place = x[..., 1, None] - np.sqrt(4 * viscosity * x[..., 0, None]) * nodes
        kernel = weights * np.exp(-np.cos(PI * place) / (2 * PI * viscosity))
        return -np.sum(np.sin(PI * place) * kernel, -1) / np.sum(kernel, -1)

    form = lambda n, x: -fnp.sin(PI * x[1]) + x[0] * (1 - x[1] ** 2) * n
    return Problem(
        "Burgers", "$u_t + u\\,u_x = 0.02\\,u_{xx}$", (0, -1), (1, 1), differential_operator(terms), terms,
        lambda u, x: u(x) * slope(u)(x), form, exact, points=600,
    )  # fmt: skip


def helmholtz():
    wave = 3.0
    exact = lambda x: fnp.sin(PI * x[..., 0]) * fnp.sin(2 * PI * x[..., 1])
    source = lambda x: (wave**2 - 5 * PI**2) * exact(x)
    form = lambda n, x: (1 - x[0] ** 2) * (1 - x[1] ** 2) * n
    return Problem(
        "Helmholtz", "$\\Delta u + 9u = f$", (-1, -1), (1, 1), laplacian, {(2, 0): 1.0, (0, 2): 1.0},
        lambda u, x: wave**2 * u(x) - source(x), form, exact,
    )  # fmt: skip


def korteweg_de_vries():
    terms = {(1, 0): 1.0, (0, 3): 1.0}
    a, b = 1.0, 1.6

    def exact(x):
        """Hirota's two solitons: 2 (log F)'' with a sum F of exponentials."""
        first = fnp.exp(a * (x[..., 1] + 1) - a**3 * x[..., 0])
        second = fnp.exp(b * (x[..., 1] + 4) - b**3 * x[..., 0])
        both = ((a - b) / (a + b)) ** 2 * first * second
        total = 1 + first + second + both
        tilt = a * first + b * second + (a + b) * both
        bend = a**2 * first + b**2 * second + (a + b) ** 2 * both
        return 2 * (total * bend - tilt**2) / total**2

    # The ends of the line are at rest, to 1e-3: third order takes two conditions on the right and one on the left.
    form = lambda n, x: exact(x * START) + fnp.tanh(x[0]) * (1 + x[1] / 11) * (1 - x[1] / 12) ** 2 * n
    return Problem(
        "Korteweg–de Vries", "$u_t + 6u\\,u_x + u_{xxx} = 0$", (0, -11), (3, 12), differential_operator(terms), terms,
        lambda u, x: 6 * u(x) * slope(u)(x), form, exact, width=20, points=900, steps=200,
    )  # fmt: skip


def plate():
    clamped = lambda x: (1 - x[..., 0] ** 2) ** 2 * (1 - x[..., 1] ** 2) ** 2
    exact = lambda x: clamped(x) * fnp.exp(x[..., 0]) * fnp.cos(2 * x[..., 0] + 3 * x[..., 1])
    load = biharmonic(exact)
    return Problem(
        "clamped plate", "$\\Delta\\Delta u = q$", (-1, -1), (1, 1), biharmonic,
        {(4, 0): 1.0, (2, 2): 2.0, (0, 4): 1.0}, lambda u, x: -load(x), lambda n, x: clamped(x) * n, exact, steps=120,
    )  # fmt: skip


START = np.array([0.0, 1.0])  # a point times this is its place at the beginning
slope = differential_operator({(0, 1): 1.0})
PROBLEMS = [heat, burgers, helmholtz, korteweg_de_vries, plate]


# -- networks and their training -------------------------------------------------------------------------------------


def layers(width):
    return [(2, width), (width, width), (width, 1)]


def first_weights(width, seed=0):
    numbers = np.random.default_rng(seed)
    parts = [(numbers.normal(size=a * b) * np.sqrt(2 / (a + b)), numbers.uniform(-1, 1, b)) for a, b in layers(width)]
    return np.concatenate([x for pair in parts for x in pair])


def network(weights, x, width):
    place = 0
    for a, b in layers(width):
        matrix, shift = weights[place : place + a * b].reshape(a, b), weights[place + a * b : place + (a + 1) * b]
        x = (x if place == 0 else fnp.tanh(x)) @ matrix + shift
        place += (a + 1) * b
    return x[0]


def solution(problem, weights):
    low, high = np.array(problem.low, float), np.array(problem.high, float)
    return lambda x: problem.form(network(weights, (2 * x - low - high) / (high - low), problem.width), x)


def scattered(problem):
    """Points of the sequence of the plastic number, which fills the rectangle evenly."""
    unit = (0.5 + np.outer(np.arange(problem.points), [0.7548776662466927, 0.5698402909980532])) % 1
    return np.array(problem.low) + (np.array(problem.high) - problem.low) * unit


def grid(problem, n):
    axes = [np.linspace(a, b, n) for a, b in zip(problem.low, problem.high, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1)


class Trained(NamedTuple):
    weights: np.ndarray
    loss: float  # the mean square of the residuals
    errors: list  # of the solution, relative, after each step
    seconds: float


def train(problem, steps):
    """Levenberg and Marquardt: Gauss and Newton's step, damped as much as makes it go down."""
    points = scattered(problem)
    residual = lambda weights, x: problem.residual(solution(problem, weights), x)
    values = lambda weights: ft.vmap(residual, (None, 0))(weights, points)

    @ft.jit
    def normal_equations(weights):
        j = ft.vmap(ft.grad(residual), (None, 0))(weights, points)
        return j.T @ j, j.T @ values(weights)

    @ft.jit
    def attempt(weights, matrix, gradient, damping):
        moved = weights - fnp.linalg.solve(matrix + damping * fnp.eye(len(weights)), gradient)
        return moved, fnp.mean(values(moved) ** 2)

    coarse = grid(problem, 41).reshape(-1, 2)
    wanted = np.asarray(problem.exact(coarse))
    evaluate = ft.jit(ft.vmap(lambda weights, x: solution(problem, weights)(x), (None, 0)))
    off = lambda weights: float(np.linalg.norm(evaluate(weights, coarse) - wanted) / np.linalg.norm(wanted))

    weights = first_weights(problem.width)
    matrix, gradient = normal_equations(weights)
    damping = 1e-3 * float(np.trace(matrix)) / len(weights)
    _, loss = attempt(weights, matrix, 0 * gradient, damping)
    off(weights)  # all is compiled: from here on it is training
    errors, started = [], time.perf_counter()
    with threadpool_limits(1):  # matrices of a few hundred rows: more threads would wait for each other
        for _ in tqdm(range(min(steps, problem.steps)), desc=f"{problem.title:18}", unit="step"):
            for _ in range(30):
                moved, now = attempt(weights, matrix, gradient, damping)
                if now < loss:
                    break
                damping *= 3
            weights, loss, damping = moved, now, damping / 4
            matrix, gradient = normal_equations(weights)
            errors.append(off(weights))
    return Trained(weights, float(loss), errors, time.perf_counter() - started)


def nested(fun, axes):
    """A mixed derivative, by one forward derivative within the other."""
    if not axes:
        return fun
    return nested(lambda x: ft.jvp(fun, (x,), (np.eye(2)[axes[0]],))[1], axes[1:])


def difference_from_nested_derivatives(problem, weights):
    """Of the highest derivatives of a trained network at a point, relative to the largest of them."""

    @ft.jit
    def both(weights, x):
        u = solution(problem, weights)
        return problem.operator(u)(x), [c * nested(u, (0,) * n + (1,) * m)(x) for (n, m), c in problem.terms.items()]

    found, parts = both(weights, np.array([0.3, 0.4]))
    return abs(float(found - sum(parts))) / max(abs(float(part)) for part in parts)


# -- the figure ------------------------------------------------------------------------------------------------------


SHADES = (COOL, INK, "#7a9e7e", WARM, "#d9a441")


def image(part, axes, values, problem, **style):
    reach = (problem.low[0], problem.high[0], problem.low[1], problem.high[1])
    shown = axes.imshow(values.T, origin="lower", extent=reach, aspect="auto", **style)
    part.colorbar(shown, ax=axes, pad=0.02, aspect=25)
    axes.set_xticks([reach[0], reach[1]])
    axes.set_yticks([reach[2], 0, reach[3]] if reach[2] else [0, 1])


def draw(path, results):
    figure = titled_figure("Networks that solve differential equations", (18, 11))
    top, bottom = figure.subfigures(2, 1, height_ratios=(1.7, 1), hspace=0.04)
    for i, (part, (problem, trained)) in enumerate(
        zip(top.subfigures(1, len(results), wspace=0.01), results, strict=True), 1
    ):
        titled(part, f"{i}  {problem.title}\n    {problem.equation}")
        x = grid(problem, 121)
        exact = np.asarray(problem.exact(x))
        most = np.abs(exact).max()
        found = np.asarray(ft.vmap(ft.vmap(solution(problem, trained.weights)))(x))
        learned, off = part.subplots(2, 1)
        image(part, learned, found, problem, cmap="RdBu_r", vmin=-most, vmax=most)
        image(part, off, np.log10(np.abs(found - exact) / most + 1e-12), problem, cmap="magma", vmin=-7, vmax=-2)
        learned.set_title("learned", fontsize=9, color="grey")
        off.set_title("log₁₀ of the error, relative to the largest value", fontsize=9, color="grey")
        off.set_xlabel("time" if (1, 0) in problem.terms else "x")
        off.set_ylabel("x" if (1, 0) in problem.terms else "y")

    left, right = bottom.subfigures(1, 2, wspace=0.03)
    axes = panel(left, "6  relative error of the solution, by steps of Levenberg and Marquardt")
    for shade, (problem, trained) in zip(SHADES, results, strict=True):
        label = f"{problem.title}, {trained.seconds:.1f} s"
        axes.semilogy(np.arange(1, len(trained.errors) + 1), trained.errors, color=shade, label=label)
    axes.set_xlabel("step")
    axes.legend(frameon=False, fontsize=9, ncols=2)

    problem, trained = next(row for row in results if row[0].title.startswith("Korteweg"))
    axes = panel(right, "7  the faster soliton overtakes the slower one: network (lines) and exact solution (dots)")
    for time_, shade in zip(np.linspace(problem.low[0], problem.high[0], 4), (FAINT, COOL, INK, WARM), strict=True):
        x = np.stack(np.broadcast_arrays(time_, np.linspace(problem.low[1], problem.high[1], 461)), -1)
        axes.plot(x[:, 1], ft.vmap(solution(problem, trained.weights))(x), color=shade, label=f"t = {time_:.0f}")
        axes.plot(x[::8, 1], problem.exact(x[::8]), ".", color=shade, markersize=5)
    axes.set_xlabel("x")
    axes.legend(frameon=False, fontsize=9)
    save(figure, path)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=1000, help="at most so many steps for each equation")
    parser.add_argument("--figure", type=Path, default=Path(__file__).parent / "figures" / "pinn.png")
    options = parser.parse_args(arguments)
    started = time.perf_counter()
    problems = [make() for make in PROBLEMS]
    results = [(problem, train(problem, options.steps)) for problem in problems]

    print("\nequation             weights  steps  seconds  mean residual  relative error")
    for problem, trained in results:
        print(
            f"{problem.title:20} {len(trained.weights):7}  {len(trained.errors):5}  {trained.seconds:7.1f}  "
            f"{np.sqrt(trained.loss):13.1e}  {trained.errors[-1]:14.1e}"
        )
    differences = [difference_from_nested_derivatives(problem, trained.weights) for problem, trained in results]
    print(f"operators and nested derivatives of the networks differ by at most {max(differences):.1e}")
    draw(options.figure, results)
    print(f"\nfigure: {options.figure}\n{time.perf_counter() - started:.1f} s")


if __name__ == "__main__":
    main()
