"""Orbits by Taylor series of order 20: the right-hand side is written once, and every derivative in time is exact.

    pip install -e '.[examples]' && python examples/taylor_ode.py [--figure PATH] [--turns N]

`solution_coefficients(field, state, 20)` gives the Taylor coefficients of the solution itself. A step is the polynomial
that they are, as far as its last coefficients say that it holds (Jorba and Zou 2005, section 3.2); the sum over steps
is compensated. Two orbits that need short steps at some places and long ones at others, against SciPy's DOP853 (whose
right-hand side is in plain Python floats, which is the fastest it can be given):

1. Kepler's ellipse with eccentricity 0.9: the speed changes 19-fold in each turn, and after whole turns the planet must
   be where it was.
2. Arenstorf's orbit of the restricted three-body problem: it passes the Moon closely and closes after 17.07 units of
   time, so that what it misses by is the error (Hairer, Norsett and Wanner, Solving ODEs I, section II.0).
"""

import argparse
import math
import time
from pathlib import Path
from typing import NamedTuple

import jax
import matplotlib.ticker
import numpy as np
import scipy.integrate
from drawing import COOL, FAINT, INK, WARM, panel, save, titled_figure

import functrans as ft
import functrans.numpy as fnp
from functrans import lax
from functrans.derivatives import solution_coefficients

jax.config.update("jax_enable_x64", True)

ORDER = 20
MOST_STEPS = 20_000
ECCENTRICITY = 0.9
MOON = 0.012277471
TOLERANCES = 10.0 ** -np.arange(4, 17)


class Orbit(NamedTuple):
    field: object  # state -> its derivative in time
    start: np.ndarray
    period: float


def kepler(state):
    x, y, u, v = state
    square = x * x + y * y
    cube = square * fnp.sqrt(square)
    return fnp.stack([u, v, -x / cube, -y / cube])


def arenstorf(state):
    x, y, u, v = state
    earth, moon = (x + MOON) ** 2 + y * y, (x - 1 + MOON) ** 2 + y * y
    to_earth, to_moon = (1 - MOON) / (earth * fnp.sqrt(earth)), MOON / (moon * fnp.sqrt(moon))
    return fnp.stack([
        u, v, x + 2 * v - to_earth * (x + MOON) - to_moon * (x - 1 + MOON), y - 2 * u - (to_earth + to_moon) * y
    ])  # fmt: skip


def kepler_in_floats(t, state):
    x, y, u, v = state
    cube = (x * x + y * y) ** 1.5
    return [u, v, -x / cube, -y / cube]


def arenstorf_in_floats(t, state):
    x, y, u, v = state
    to_earth, to_moon = (1 - MOON) / ((x + MOON) ** 2 + y * y) ** 1.5, MOON / ((x - 1 + MOON) ** 2 + y * y) ** 1.5
    return [u, v, x + 2 * v - to_earth * (x + MOON) - to_moon * (x - 1 + MOON), y - 2 * u - (to_earth + to_moon) * y]


def energy(state):
    x, y, u, v = np.moveaxis(np.asarray(state), -1, 0)
    return (u * u + v * v) / 2 - 1 / np.hypot(x, y)


PERIHELION = [1 - ECCENTRICITY, 0.0, 0.0, math.sqrt((1 + ECCENTRICITY) / (1 - ECCENTRICITY))]
KEPLER = Orbit(kepler, np.array(PERIHELION), 2 * math.pi)
ARENSTORF = Orbit(
    arenstorf, np.array([0.994, 0.0, 0.0, -2.00158510637908252240537862224]), 17.0652165601579625588917206249
)


def solver(field):
    """(state, end, tolerance) -> (how many steps, [MOST_STEPS + 1] times, and the states then), jitted."""

    def step(carry):
        count, now, state, lost, end, tolerance, times, states = carry
        series = solution_coefficients(field, state, ORDER)
        size = lambda c: fnp.max(fnp.abs(c))
        reach = fnp.minimum(*[(tolerance * size(state) / size(series[k])) ** (1 / k) for k in (ORDER - 1, ORDER)])
        h = fnp.minimum(reach, end - now)
        change = series[-1] * h
        for c in series[-2:0:-1]:
            change = (change + c) * h
        change = change - lost  # what earlier sums rounded away
        new = state + change
        now = fnp.where(reach < end - now, now + h, end)
        count = count + 1
        return (
            count, now, new, (new - state) - change, end, tolerance, times.at[count].set(now), states.at[count].set(new)
        )  # fmt: skip

    @ft.jit
    def solve(state, end, tolerance):
        times, states = fnp.zeros(MOST_STEPS + 1), fnp.zeros((MOST_STEPS + 1, 4)).at[0].set(state)
        start = (0, 0.0, state, fnp.zeros(4), end, tolerance, times, states)
        going = lambda carry: (carry[1] < carry[4]) & (carry[0] < MOST_STEPS)
        count, *_, times, states = lax.while_loop(going, step, start)
        return count, times, states

    def run(state, end, tolerance):
        count, times, states = solve(state, end, tolerance)
        count = int(count)
        return np.asarray(times)[: count + 1], np.asarray(states)[: count + 1]

    return run


def by_dop853(field, orbit, end, tolerance):
    found = scipy.integrate.solve_ivp(
        field, (0, end), orbit.start, method="DOP853", rtol=max(tolerance, 2.3e-14), atol=tolerance * 1e-3
    )
    assert found.success
    return found.t, found.y.T


def timed(function, *args):
    function(*args)
    started = time.perf_counter()
    out = function(*args)
    return out, time.perf_counter() - started


def miss(orbit, states):
    """How far from its start a closed orbit ends."""
    return float(np.hypot(*(states[-1] - orbit.start)[:2]))


def comparison(orbit, floats, end):
    """For each method the best path, and its rows (error, steps, seconds), one for each tolerance."""
    solve, paths, rows = solver(orbit.field), {}, {"Taylor": [], "DOP853": []}
    for tolerance in TOLERANCES:
        for name, run, args in (
            ("Taylor", solve, (orbit.start, end, tolerance)),
            ("DOP853", by_dop853, (floats, orbit, end, tolerance)),
        ):
            (times, states), seconds = timed(run, *args)
            rows[name].append((miss(orbit, states), len(times) - 1, seconds))
            if rows[name][-1][0] == min(rows[name])[0]:
                paths[name] = times, states
    return paths, {name: np.array(own) for name, own in rows.items()}


# ----------------------------------------------------------------------------------------------------------- figure


def draw_orbit(part, title, path, bodies):
    axes = panel(part, title)
    _, states = path
    axes.plot(states[:, 0], states[:, 1], ".", color=COOL, markersize=5, label="steps")
    for name, x, color in bodies:
        axes.plot([x], [0], "o", color=color, markersize=9, label=name)
    axes.set_aspect("equal", "datalim")
    axes.set_xlabel("x")
    axes.set_ylabel("y")
    axes.legend(frameon=False, loc="upper right")
    return axes


def draw_work(part, title, rows):
    axes = panel(part, title)
    for name, color, mark in (("Taylor", WARM, "o-"), ("DOP853", INK, "s-")):
        axes.loglog(rows[name][:, 1], rows[name][:, 0], mark, color=color, label=name, markersize=4)
    axes.set_xlabel("steps")
    axes.set_ylabel("missed by at the end")
    axes.xaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(matplotlib.ticker.StrMethodFormatter("{x:,.0f}"))
    axes.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    axes.legend(frameon=False)


def draw(path, turns, ellipse, loop, energies, kepler_rows, arenstorf_rows):
    figure = titled_figure("Orbits by Taylor series: long steps, and the last digit", (16, 9))
    parts = figure.subfigures(2, 3)
    dense = np.linspace(0, 2 * np.pi, 400)
    axes = draw_orbit(parts[0, 0], "1  Kepler's ellipse: the steps of a turn", ellipse, [("Sun", 0, WARM)])
    axes.plot(
        np.cos(dense) - ECCENTRICITY, math.sqrt(1 - ECCENTRICITY**2) * np.sin(dense), color=FAINT, zorder=0
    )
    draw_work(parts[0, 1], f"1  error after {turns} turns", kepler_rows)
    axes = panel(parts[0, 2], "1  energy along the way")
    for (name, (times, lost)), color in zip(energies.items(), (WARM, INK)):
        axes.semilogy(times / KEPLER.period, np.maximum(lost, 1e-16), color=color, label=name, linewidth=1)
    axes.set_ylim(bottom=1e-16)
    axes.set_xlabel("turns")
    axes.set_ylabel("relative error of the energy")
    axes.legend(frameon=False)

    bodies = [("Earth", -MOON, WARM), ("Moon", 1 - MOON, INK)]
    draw_orbit(parts[1, 0], "2  Arenstorf's orbit: the steps", loop, bodies)
    draw_work(parts[1, 1], "2  error after one period", arenstorf_rows)
    axes = panel(parts[1, 2], "2  error against time, both orbits")
    for rows, style in ((kepler_rows, "-"), (arenstorf_rows, "--")):
        label = "Kepler" if rows is kepler_rows else "Arenstorf"
        for name, color in (("Taylor", WARM), ("DOP853", INK)):
            axes.loglog(rows[name][:, 2] * 1e3, rows[name][:, 0], style, color=color, label=f"{name}, {label}")
    axes.set_xlim(1, 8000)
    axes.set_xlabel("milliseconds")
    axes.set_ylabel("missed by at the end")
    axes.legend(frameon=False)
    save(figure, path)


# ------------------------------------------------------------------------------------------------------------- main


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--figure", type=Path, default=Path(__file__).parent / "figures" / "taylor_ode.png")
    parser.add_argument("--turns", type=int, default=20, help="turns of the ellipse")
    options = parser.parse_args(arguments)
    started = time.perf_counter()

    paths, kepler_rows = comparison(KEPLER, kepler_in_floats, options.turns * KEPLER.period)
    loops, arenstorf_rows = comparison(ARENSTORF, arenstorf_in_floats, ARENSTORF.period)
    exact = energy(KEPLER.start)
    energies = {name: (times, np.abs(energy(states) / exact - 1)) for name, (times, states) in paths.items()}
    times, states = paths["Taylor"]
    turn = times <= KEPLER.period
    ellipse = times[turn], states[turn]
    draw(options.figure, options.turns, ellipse, loops["Taylor"], energies, kepler_rows, arenstorf_rows)

    def best(rows):
        error, steps, seconds = min(map(tuple, rows))
        return f"misses by {error:.1e}, {steps:.0f} steps, {seconds * 1e3:.1f} ms"

    print(
        f"""
Kepler, eccentricity {ECCENTRICITY}, {options.turns} turns, at the best of {len(TOLERANCES)} tolerances
  Taylor series of order {ORDER}   {best(kepler_rows["Taylor"])}
  DOP853 of SciPy           {best(kepler_rows["DOP853"])}
  energy, largest error     Taylor {energies["Taylor"][1].max():.1e}, DOP853 {energies["DOP853"][1].max():.1e}
Arenstorf's orbit, one period
  Taylor series of order {ORDER}   {best(arenstorf_rows["Taylor"])}
  DOP853 of SciPy           {best(arenstorf_rows["DOP853"])}

figure: {options.figure}
{time.perf_counter() - started:.1f} s"""
    )


if __name__ == "__main__":
    main()
