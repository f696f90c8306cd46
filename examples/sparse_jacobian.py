"""Sparse Jacobians: a stiff reaction with diffusion, and a power grid on its way to collapse.

    python examples/sparse_jacobian.py [--sizes N ...] [--buses N] [--figure PATH]

Implicit methods for stiff equations, and Newton's for systems of them, solve with Jacobians that are nearly all zeros.
``functrans.sparse_jacobian`` reads off the program where they are not, colours the columns (or rows) that one product
finds together, and computes the entries in as many products as there are colours. The script

1. integrates the Brusselator with diffusion on n x n points of a torus, two unknowns each (Hairer and Wanner, "Solving
   Ordinary Differential Equations II", 1996, section IV.10), by SciPy's BDF method: with our sparse Jacobian and
   sparse factors, with our dense Jacobian, with SciPy's difference quotients, and with those that it colours itself
   once it is given our pattern: with either of the sparse ones, what is left is factoring;
2. measures one Jacobian by size, compares its entries with the Jacobian put together by hand of Laplacians, and the
   solution with an explicit method of order 8 at tight tolerances, which takes no Jacobian and far more steps;
3. solves for the voltages of a random power grid, whose buses are numbered in no order, by Newton's method, and checks
   residual and Jacobian against the complex matrices of the textbooks (Zimmerman, "AC power flows, generalized OPF
   costs and their derivatives using complex matrix notation", 2010);
4. raises the demand on the grid until there is no more solution, and follows the curve around its nose (Keller's
   pseudo-arclength, 1977). One more equation and unknown make a full row and a full column, an arrow: neither columns
   nor rows have few colours then, and some of both have.

It prints a summary, with what ``functrans.explain`` says, and writes one figure.
"""

import argparse
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.sparse
from drawing import COOL, FAINT, INK, WARM, panel, save, titled, titled_figure
from matplotlib.collections import LineCollection
from scipy.integrate import solve_ivp
from scipy.sparse.csgraph import minimum_spanning_tree
from scipy.sparse.linalg import splu
from scipy.spatial import Delaunay
from threadpoolctl import threadpool_limits
from tqdm import tqdm

import functrans as ft
import functrans.numpy as fnp
from functrans.jacobians.colouring import best

ft.config.update("jax_enable_x64", True)

DIFFUSION = 10.0  # large: explicit methods need half a million steps on 64 x 64 points
LIGHT, END = 1.1, 11.5  # when a light is switched on, and the last time
REFERENCE = 4  # the n for which an explicit method is run
DENSE = 32  # the n up to which dense Jacobians are taken: they have 2048 rows then
SPARSE, COLOURED, WHOLE, QUOTIENTS = "sparse", "coloured quotients", "dense", "quotients"


def largest(x):
    return float(np.max(np.abs(x), initial=0.0))


# ------------------------------------------------------------------------------------------ 1, 2. the Brusselator


def brusselator(n):
    """y' of the concentrations y [2 n n], under a light that is on (1) or off (0)."""
    x, y = grid_points(n)
    lit = 5.0 * ((x - 0.3) ** 2 + (y - 0.6) ** 2 <= 0.1**2)

    def spread(w):
        return DIFFUSION * n**2 * (sum(fnp.roll(w, by, axis) for by in (1, -1) for axis in (0, 1)) - 4 * w)

    def change(y, light):
        u, v = y.reshape(2, n, n)
        made = u * u * v
        return fnp.stack([1 + made - 4.4 * u + spread(u) + light * lit, 3.4 * u - made + spread(v)]).reshape(-1)

    return change


def grid_points(n):
    return np.meshgrid(np.arange(n) / n, np.arange(n) / n, indexing="ij")


def beginning(n):
    x, y = grid_points(n)
    return np.stack([22 * y * (1 - y) ** 1.5, 27 * x * (1 - x) ** 1.5]).reshape(-1)


def brusselator_by_hand(n):
    """The same, and its Jacobian, of matrices of SciPy's."""
    x, y = grid_points(n)
    lit = 5.0 * np.append((x - 0.3) ** 2 + (y - 0.6) ** 2 <= 0.1**2, np.zeros(n * n))
    line = scipy.sparse.diags_array([1.0, 1.0, -2.0, 1.0, 1.0], offsets=[1 - n, -1, 0, 1, n - 1], shape=(n, n))
    one = scipy.sparse.eye_array(n)
    laplacian = DIFFUSION * n**2 * (scipy.sparse.kron(one, line) + scipy.sparse.kron(line, one))
    spread = scipy.sparse.block_diag([laplacian, laplacian], format="csr")

    def change(y, light):
        u, v = y.reshape(2, -1)
        return spread @ y + np.append(1 + u**2 * v - 4.4 * u, 3.4 * u - u**2 * v) + light * lit

    def jacobian(y):
        u, v = y.reshape(2, -1)
        parts = [[2 * u * v - 4.4, u**2], [3.4 - 2 * u * v, -(u**2)]]
        return spread + scipy.sparse.block_array([[scipy.sparse.diags_array(part) for part in row] for row in parts])

    return change, jacobian


class Run(NamedTuple):
    """What an integration took; ``calls`` of f are all, those for difference quotients too."""

    t: np.ndarray  # [steps + 1]
    y: np.ndarray  # [unknowns, steps + 1]
    calls: int
    jacobians: int
    factors: int
    seconds: float


def integrate(change, light, start, span, method="BDF", tolerance=1e-3, **told):
    """By SciPy, which is told that of the Jacobian."""
    calls = 0

    def counted(t, y):
        nonlocal calls
        calls += 1
        return np.asarray(change(y, light))

    started = time.perf_counter()
    with np.errstate(all="ignore"):  # of what SciPy's BDF computes with differences of orders not reached yet: np.empty
        found = solve_ivp(counted, span, start, method, rtol=tolerance, atol=tolerance, **told)
    return Run(found.t, found.y, calls, found.njev, found.nlu, time.perf_counter() - started)


def sparse_way(change):
    """y, light -> SciPy's matrix, by one compiled program; it is put in SciPy's form outside of it."""
    compiled = ft.jit(ft.sparse_jacobian(change, format="rows"))
    return lambda y, light: compiled(y, light).to_scipy()


def ways(n, change):
    """What SciPy is told of the Jacobian, by the name of the way; all is compiled."""
    sparse, start = sparse_way(change), beginning(n)
    sparse(start, 0.0)
    found = {
        SPARSE: {"jac": lambda t, y: sparse(y, 0.0)},
        COLOURED: {"jac_sparsity": ft.sparsity(change)(start, 0.0).to_scipy()},
    }
    if n <= DENSE:
        dense = ft.jit(ft.jacobian(change))
        dense(start, 0.0)
        found |= {WHOLE: {"jac": lambda t, y: np.asarray(dense(y, 0.0))}, QUOTIENTS: {}}
    return found


def race(sizes):
    """Integrate in the dark by each way to a Jacobian: {(way, n): Run}."""
    found = {}
    with tqdm(desc="integrations", unit="run") as bar:
        for n in sizes:
            compiled = ft.jit(brusselator(n))
            compiled(beginning(n), 0.0)
            for way, told in ways(n, brusselator(n)).items():
                found[way, n] = integrate(compiled, 0.0, beginning(n), (0, LIGHT), **told)
                bar.update()
    return found


def under_light(n, start):
    """The rest of the time, with the sparse Jacobian."""
    sparse = sparse_way(brusselator(n))
    told = {"jac": lambda t, y: sparse(y, 1.0)}
    return integrate(ft.jit(brusselator(n)), 1.0, start, (LIGHT, END), **told)


def against_explicit_method(n):
    """How far Radau's method with the sparse Jacobian is from Dormand and Prince's without, at END; steps of each."""
    implicit = explicit = beginning(n)
    steps = np.zeros(2, int)
    sparse = sparse_way(brusselator(n))
    for light, span in ((0.0, (0, LIGHT)), (1.0, (LIGHT, END))):
        told = {"jac": lambda t, y, light=light: sparse(y, light)}
        ours = integrate(ft.jit(brusselator(n)), light, implicit, span, "Radau", 1e-8, **told)
        theirs = integrate(brusselator_by_hand(n)[0], light, explicit, span, "DOP853", 1e-10)
        implicit, explicit = ours.y[:, -1], theirs.y[:, -1]
        steps += len(ours.t) - 1, len(theirs.t) - 1
    return largest(implicit - explicit) / largest(explicit), steps


def one_jacobian(sizes):
    """{way: (unknowns, least seconds for a Jacobian)}, and the largest error of the sparse one, of its entries."""
    seconds, error = {}, 0.0
    for n in tqdm(sizes, desc="one Jacobian", unit="size"):
        y = beginning(n)
        programs = programs_of(brusselator(n), n <= DENSE)
        for way, program in programs.items():
            program(y)
            seconds.setdefault(way, []).append((2 * n * n, least_seconds(lambda: program(y))))  # noqa: B023
        exact = brusselator_by_hand(n)[1](y)
        error = max(error, largest((programs[SPARSE](y).to_scipy() - exact).data) / largest(exact.data))
    return {way: np.array(row).T for way, row in seconds.items()}, error


def programs_of(change, dense):
    """Functions of y, by name, which return when all is computed."""
    alone = lambda y: change(y, 0.0)
    f = ft.jit(alone)
    compiled = {"f itself": f, SPARSE: ft.jit(ft.sparse_jacobian(alone, format="rows"))}
    if dense:
        compiled |= {"jacobian, dense": ft.jit(ft.jacobian(alone)), "jacfwd, dense": ft.jit(ft.jacfwd(alone))}
    waiting = {way: lambda y, program=program: ft.block_until_ready(program(y)) for way, program in compiled.items()}
    return waiting | ({"quotients, dense": lambda y: by_quotients(f, y)} if dense else {})


def by_quotients(f, y, step=1e-7):
    here = np.asarray(f(y))
    moved = (y + step * (np.arange(len(y)) == i) for i in range(len(y)))
    return np.stack([(np.asarray(f(there)) - here) / step for there in moved], axis=1)


def least_seconds(call, most=0.2):
    found, begun = [], time.perf_counter()
    while not found or (time.perf_counter() - begun < most and len(found) < 50):
        started = time.perf_counter()
        call()
        found.append(time.perf_counter() - started)
    return min(found)


# ------------------------------------------------------------------------------------------------ 3. the power grid


class Grid(NamedTuple):
    """Buses joined by lines. Power is supplied minus demanded; at a generator the voltage is given, at one of them
    (``slack``) the angle too, and it supplies what is missing."""

    places: np.ndarray  # [buses, 2]
    ends: np.ndarray  # [2, lines]
    admittances: np.ndarray  # [lines], complex
    charging: np.ndarray  # [lines]
    generator: np.ndarray  # [buses], bool
    slack: np.ndarray  # [buses], bool
    voltage: np.ndarray  # [buses], to begin with
    power: np.ndarray  # [buses], complex

    @property
    def start(self):
        """No angles, voltages as they are wished."""
        return np.append(np.zeros(len(self.places)), self.voltage)


def random_grid(buses, seed=0):
    """The shortest tree that joins scattered buses, and a fifth of the other short lines between neighbours."""
    numbers = np.random.default_rng(seed)
    places = numbers.uniform(size=(buses, 2))
    corners = Delaunay(places).simplices
    pairs = np.unique(np.sort(np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [0, 2]]])), axis=0)
    lengths = np.linalg.norm(places[pairs[:, 0]] - places[pairs[:, 1]], axis=1) * np.sqrt(buses)
    tree = minimum_spanning_tree(scipy.sparse.csr_array((lengths, pairs.T), shape=(buses, buses))).tocoo()
    in_tree = np.isin(pairs @ [buses, 1], np.sort(np.stack([tree.row, tree.col]), axis=0).T @ [buses, 1])
    kept = in_tree | ((lengths < 2) & (numbers.uniform(size=len(pairs)) < 0.2))
    generator = np.arange(buses) < max(buses // 8, 1)  # the places are scattered, and so are they
    demand = np.where(generator, 0.0, 0.1 * numbers.gamma(2.0, 0.5, buses))
    supply = np.where(generator, demand.sum() / generator.sum(), 0.0)
    return Grid(
        places, pairs[kept].T, 1 / ((0.005 + 0.025j) * lengths[kept]), 0.01 * lengths[kept], generator,
        np.arange(buses) == 0, np.where(generator, 1.02, 1.0), supply - (1 + 0.3j) * demand,
    )  # fmt: skip


def balance(grid, x, load):
    """What is wrong at each bus with angles and voltages x [2 buses], at so many times the demand."""
    angle, voltage = x.reshape(2, -1)
    from_, to = grid.ends
    turn, product = angle[from_] - angle[to], voltage[from_] * voltage[to]
    along, across = product * fnp.cos(turn), product * fnp.sin(turn)
    g, b, squares = grid.admittances.real, grid.admittances.imag, voltage**2
    none = fnp.zeros(len(grid.places))
    active = none.at[from_].add(g * (squares[from_] - along) - b * across)
    active = active.at[to].add(g * (squares[to] - along) + b * across)
    lost = b + grid.charging / 2
    reactive = none.at[from_].add(b * along - g * across - lost * squares[from_])
    reactive = reactive.at[to].add(b * along + g * across - lost * squares[to])
    return fnp.concatenate(
        [
            fnp.where(grid.slack, angle, active - load * grid.power.real),
            fnp.where(grid.generator, voltage - grid.voltage, reactive - load * grid.power.imag),
        ]
    )


def balance_by_hand(grid, x, load):
    """The same and its Jacobian, by complex matrices."""
    buses, (from_, to) = len(grid.places), grid.ends
    y, own = grid.admittances, grid.admittances + 0.5j * grid.charging
    at = (np.r_[from_, to, from_, to], np.r_[to, from_, from_, to])
    matrix = scipy.sparse.coo_array((np.r_[-y, -y, own, own], at), shape=(buses, buses)).tocsr()
    diagonal = scipy.sparse.diags_array
    phase = np.exp(1j * x[:buses])
    voltage = x[buses:] * phase
    current = matrix @ voltage
    by_angle = 1j * diagonal(voltage) @ (diagonal(current) - matrix @ diagonal(voltage)).conj()
    by_size = diagonal(voltage) @ (matrix @ diagonal(phase)).conj() + diagonal(current.conj() * phase)
    missing = voltage * current.conj() - load * grid.power
    value = np.r_[
        np.where(grid.slack, x[:buses], missing.real), np.where(grid.generator, x[buses:] - grid.voltage, missing.imag)
    ]
    given = np.r_[grid.slack, grid.generator].astype(float)
    powers = scipy.sparse.block_array([[by_angle.real, by_size.real], [by_angle.imag, by_size.imag]])
    return value, diagonal(1 - given) @ powers + diagonal(given)


def newton(f, jacobian, x, accuracy=1e-10, most=12):
    """x where f is as small as that, or None; and the largest residual before each step."""
    residuals = []
    for _ in range(most):
        value = np.asarray(f(x))
        residuals.append(largest(value))
        if residuals[-1] <= accuracy:
            return x, residuals
        if not residuals[-1] < 1e6:
            break
        x = x - splu(jacobian(x).tocsc()).solve(value)
    return None, residuals


# ------------------------------------------------------------------------------------------------- 4. to its collapse


def on_the_curve(grid, z, tangent, start, length):
    """Balance at the point z = (x, load), which is so far along the tangent from where it starts."""
    return fnp.append(balance(grid, z[:-1], z[-1]), fnp.dot(tangent, z - start) - length)


def follow(grid, x, most=60):
    """Points (x, load) from load 1 along the curve of solutions, around its nose, to a part of the largest load."""
    equations = lambda z, *place: on_the_curve(grid, z, *place)
    f, rows = ft.jit(equations), ft.jit(ft.sparse_jacobian(equations, format="rows"))
    z, tangent, length = np.append(x, 1.0), np.append(np.zeros_like(x), 1.0), 0.3
    points = [z]
    with tqdm(total=most, desc="the nose", unit="point") as bar:
        while len(points) < most and z[-1] >= 0.7 * max(p[-1] for p in points):
            place = (tangent, z, length)
            jacobian = lambda z, place=place: rows(z, *place).to_scipy()
            found, residuals = newton(lambda z, place=place: f(z, *place), jacobian, z + length * tangent)
            if found is None:
                length /= 3
                continue
            z, tangent = found, splu(jacobian(found).tocsc()).solve(np.append(np.zeros_like(x), 1.0))
            tangent /= np.linalg.norm(tangent)
            length = min(length * (1.5 if len(residuals) < 5 else 0.8), len(x) ** 0.5 / 10)
            points.append(z)
            bar.update()
    return np.array(points)


# ------------------------------------------------------------------------------------------------------------ figure


STYLES = {
    "f itself": (FAINT, "."),
    SPARSE: (WARM, "o"),
    COLOURED: ("#d9a441", "v"),
    "jacobian, dense": (COOL, "s"),
    "jacfwd, dense": (INK, "D"),
    "quotients, dense": ("grey", "^"),
    WHOLE: (COOL, "s"),
    QUOTIENTS: ("grey", "^"),
}


def draw_solution(part, n, dark, lit):
    titled(part, f"1  the Brusselator on a torus, {n} × {n}, by implicit steps")
    picture, curves = part.subplots(2, 1, height_ratios=(1.6, 1))
    u = lit.y[: n * n, -1].reshape(n, n).T
    shown = picture.imshow(u, origin="lower", cmap="magma", interpolation="bilinear")
    picture.set_xticks([])
    picture.set_yticks([])
    picture.set_title(f"u at t = {END}", fontsize=9, color="grey")
    part.colorbar(shown, ax=picture)
    t, y = np.append(dark.t, lit.t), np.concatenate([dark.y, lit.y], axis=1).reshape(2, n * n, -1)
    for name, row, colour in (("u", y[0], WARM), ("v", y[1], COOL)):
        curves.fill_between(t, row.min(0), row.max(0), color=colour, alpha=0.25, linewidth=0)
        curves.plot(t, row.mean(0), ".-", color=colour, markersize=3, linewidth=1, label=name)
    curves.axvline(LIGHT, color=FAINT, linewidth=1, linestyle=":")
    curves.spines[["top", "right"]].set_visible(False)
    curves.set_xlabel("time; the light is switched on at the dotted line")
    curves.set_ylabel("mean, and range")
    curves.legend(frameon=False, fontsize=9)


def draw_pattern(part, title, pattern):
    axes = panel(part, title)
    best(pattern).plot(axes)
    axes.title.set(fontsize=9, color="grey")


def draw_times(part, title, rows, place):
    axes = panel(part, title)
    for way, (unknowns, seconds) in rows.items():
        colour, marker = STYLES[way]
        axes.loglog(unknowns, seconds, marker=marker, color=colour, label=way, markersize=5)
    ticks = sorted({int(n) for unknowns, _ in rows.values() for n in unknowns})
    axes.set_xticks(ticks, [str(n) for n in ticks])
    axes.set_xticks([], minor=True)
    axes.set_xlabel("unknowns")
    axes.set_ylabel("seconds")
    axes.legend(frameon=False, fontsize=9, loc=place)


def draw_grid(part, grid, points):
    nose = points[np.argmax(points[:, -1])]
    voltage = nose[len(grid.places) : -1]
    axes = panel(part, f"5  a power grid at its nose, {nose[-1]:.2f} times the demand")
    axes.add_collection(LineCollection(grid.places[grid.ends.T], colors=FAINT, linewidths=1, zorder=0))
    shown = axes.scatter(*grid.places.T, c=voltage, s=12, cmap="magma", vmin=voltage.min(), vmax=1.02)
    axes.scatter(*grid.places[grid.generator].T, s=26, facecolors="none", edgecolors=COOL, label="generators")
    axes.set_aspect("equal")
    axes.axis("off")
    axes.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(0, 0.02))
    part.colorbar(shown, ax=axes, shrink=0.8, label="voltage")


def draw_newton(part, residuals):
    axes = panel(part, "6  Newton's method for its voltages")
    for (name, row), colour in zip(residuals.items(), (WARM, FAINT), strict=True):
        axes.semilogy(row, "o-", color=colour, label=name)
    axes.set_xlabel("step")
    axes.set_ylabel("largest residual")
    axes.legend(frameon=False, fontsize=9)


def draw_nose(part, grid, points):
    axes = panel(part, "8  the 40 lowest voltages as demand rises, and falls")
    voltages = points[:, len(grid.places) : -1]
    lowest = np.argsort(voltages[-1])[:40]
    axes.plot(points[:, -1], voltages[:, lowest[1:]], color=FAINT, linewidth=0.8)
    axes.plot(points[:, -1], voltages[:, lowest[0]], ".-", color=WARM, label="the lowest at the end")
    axes.axvline(points[:, -1].max(), color=COOL, linewidth=1, linestyle=":", label="the largest demand")
    axes.set_xlabel("demand, times the present one")
    axes.set_ylabel("voltage")
    axes.legend(frameon=False, fontsize=9, loc="lower left")


def draw(path, drawn, lit, seconds, runs, grid, points, residuals):
    figure = titled_figure("Sparse Jacobians: as many products as colours, at any size", (21, 11))
    parts = figure.subfigures(2, 4, wspace=0.02, hspace=0.05)
    draw_solution(parts[0, 0], drawn, runs[SPARSE, drawn], lit)
    draw_pattern(parts[0, 1], "2  where its Jacobian is not zero, 7 × 7, by product", pattern_of(7))
    draw_times(parts[0, 2], "3  one Jacobian", seconds, "upper right")
    integrations = {}
    for (way, n), run in runs.items():
        integrations.setdefault(way, []).append((2 * n * n, run.seconds))
    integrations = {way: np.array(rows).T for way, rows in integrations.items()}
    draw_times(parts[0, 3], f"4  SciPy's BDF method to t = {LIGHT}, by Jacobian", integrations, "upper left")
    draw_grid(parts[1, 0], grid, points)
    draw_newton(parts[1, 1], residuals)
    draw_pattern(parts[1, 2], "7  the Jacobian around the nose, of 40 buses", bordered_pattern(random_grid(40)))
    draw_nose(parts[1, 3], grid, points)
    save(figure, path)


# -------------------------------------------------------------------------------------------------------------- main


def pattern_of(n):
    return ft.sparsity(brusselator(n))(beginning(n), 0.0)


def from_any_point(grid):
    """The equations of the curve as a function of (z, tangent)."""
    return lambda z, tangent: on_the_curve(grid, z, tangent, np.zeros_like(z), 0.0)


def bordered_pattern(grid):
    """Where the equations of the curve have entries. The tangent counts with its values, which are no zeros here."""
    z = np.append(grid.start, 1.0)
    return ft.sparsity(from_any_point(grid))(z, np.ones_like(z))


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--figure", type=Path, default=Path(__file__).parent / "figures" / "sparse_jacobian.png")
    parser.add_argument("--sizes", type=int, nargs="+", default=[12, 24, 48], help="n of the Brusselators integrated")
    parser.add_argument("--buses", type=int, default=1000)
    options = parser.parse_args(arguments)
    started = time.perf_counter()

    small, big = min(options.sizes), max(options.sizes)
    drawn = sorted(options.sizes)[len(options.sizes) // 2]
    runs = race(options.sizes)
    lit = under_light(drawn, runs[SPARSE, drawn].y[:, -1])
    seconds, entries_error = one_jacobian(sorted({8, *options.sizes, 2 * big}))
    solution_error, steps = against_explicit_method(REFERENCE)
    print(f"\nto t = {LIGHT} by BDF                              steps  Jacobians  factored  calls of f  seconds")
    for (way, n), run in runs.items():
        print(
            f"n = {n:3}, {2 * n * n:5} unknowns, {way:19} {len(run.t) - 1:5} {run.jacobians:10} {run.factors:9} "
            f"{run.calls:11} {run.seconds:8.2f}"
        )
    print(f"one Jacobian, {best(pattern_of(big)).summary} at n = {big}; ms (unknowns)")
    for way, row in seconds.items():
        print(f"  {way:16} " + ", ".join(f"{1e3 * taken:.3g} ({unknowns:.0f})" for unknowns, taken in row.T))
    print(
        f"""entries against those by hand      differ by {entries_error:.1e} of the largest
to t = {END} with n = {REFERENCE}             {steps[0]} steps of Radau with it, {steps[1]} of DOP853 without
their results                      differ by {solution_error:.1e} of the largest"""
    )

    grid = random_grid(options.buses)
    equations = lambda x, load: balance(grid, x, load)
    f, rows = ft.jit(equations), ft.jit(ft.sparse_jacobian(equations, format="rows"))
    balanced, jacobian = lambda x: f(x, 1.0), lambda x: rows(x, 1.0).to_scipy()
    x, exactly = newton(balanced, jacobian, grid.start)
    _, kept = newton(balanced, lambda x: jacobian(grid.start), grid.start)
    value, exact = balance_by_hand(grid, x, 1.0)
    difference = largest((jacobian(x) - exact).data) / largest(exact.data)
    points = follow(grid, x)
    last = balance_by_hand(grid, points[-1, :-1], points[-1, -1])[0]
    alone, bordered = ft.sparsity(equations)(x, 1.0), bordered_pattern(grid)
    print(
        f"""
power grid of {options.buses} buses and {grid.ends.shape[1]} lines
Newton's residuals                 {", ".join(f"{r:.1e}" for r in exactly)}
by the textbook's matrices         residual {largest(value):.1e}, of the last point of the curve {largest(last):.1e}
entries against the textbook's     differ by {difference:.1e} of the largest
the nose                           at {points[:, -1].max():.4f} times the demand, among {len(points)} points
passes of its Jacobian             {best(alone).summary}
passes on the curve                {best(bordered).summary}; columns alone would take {bordered.shape[1]}

explain(jacobian(f)) of the Brusselator, and of the curve:"""
    )
    print(ft.explain(ft.jacobian(brusselator(small)))(beginning(small), 0.0))
    z = np.append(grid.start, 1.0)
    print(ft.explain(ft.jacobian(from_any_point(grid)))(z, np.ones_like(z)))
    residuals = {"the Jacobian of each step": exactly, "that of the first step kept": kept}
    draw(options.figure, drawn, lit, seconds, runs, grid, points, residuals)
    print(f"\nfigure: {options.figure}\n{time.perf_counter() - started:.1f} s")


if __name__ == "__main__":
    with threadpool_limits(1):  # SciPy's matrices are of a thousand rows: more threads would wait for each other
        main()
