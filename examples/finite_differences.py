"""Numerical derivatives: the valley between truncation and rounding, for every method, and how sure they are.

    python examples/finite_differences.py [--figure PATH]

A difference quotient is off by a power of its step, and by rounding errors divided by it. ``functrans.derivatives``
measures both; the script

1. draws the valley of each method for f(x) = exp(x) / (sin(x)^3 + cos(x)^3) at 1.5, the function by which Squire and
   Trapp (SIAM Review, 1998) showed the complex step: central differences of accuracy 2 to 8, Richardson's
   extrapolation, and the complex step, which subtracts nothing and has no right wall;
2. does the same in float32, where the valley is shallow;
3. draws the valleys of the first to fourth derivative: each costs digits;
4. lets the step be found automatically for five functions at points from 1e-8 to 1e8, and sets the true error beside
   the estimated one: they are honest where no point lies above the diagonal.

The exact derivatives are functrans' own, in float64. It prints a summary and writes one figure.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from drawing import COOL, FAINT, INK, WARM, panel, save, titled_figure
from tqdm import tqdm

import functrans as ft
from functrans.derivatives import derivative_along, valley

ft.config.update("jax_enable_x64", True)

POINT = 1.5
STYLES = {
    "central 2": (COOL, "-"),
    "central 4": (COOL, "--"),
    "central 8": (COOL, ":"),
    "richardson": (INK, "-"),
    "complex": (WARM, "-"),
}
FUNCTIONS = {
    "sin x": np.sin,
    "x log x": lambda x: x * np.log(x),
    "sqrt x": np.sqrt,
    "1 / (1 + x²)": lambda x: 1 / (1 + x * x),
    "atan x + 1000": lambda x: np.arctan(x) + 1000,
}


def squire_trapp(x):
    return np.exp(x) / (np.sin(x) ** 3 + np.cos(x) ** 3)


def derivatives(f, x, most):
    """f'(x), f''(x) ... by nested forward mode; NumPy's functions are functrans' own on a traced value."""
    found = []
    for _ in range(most):
        f = (lambda g: lambda y: ft.jvp(g, (y,), (1.0,))[1])(f)
        found.append(float(f(x)))
    return found


def estimates():
    """(estimated error, true error), relative to the derivative, of the automatic method, by function."""
    rows = {}
    for name, f in tqdm(FUNCTIONS.items(), desc="estimates", unit="function"):
        pairs = []
        for x in 10.0 ** np.arange(-8, 8.1, 0.5):
            (exact,) = derivatives(f, x, 1)
            value, error = derivative_along(f, (x,), (1.0,))
            pairs.append((error / abs(exact), abs(value - exact) / abs(exact)))
        rows[name] = np.array(pairs).T
    return rows


def draw_valley(part, title, found, unit):
    axes = panel(part, title)
    for name, (colour, style) in STYLES.items():
        axes.loglog(found.steps, np.maximum(found.errors[name], unit / 10), style, color=colour, label=name)
    axes.axhline(unit, color=FAINT, linewidth=1)
    axes.annotate("epsilon", (found.steps[-1], unit), color="grey", fontsize=9, va="bottom")
    axes.set_ylim(unit / 20, 30)
    axes.set_xlabel("step h")
    axes.set_ylabel("relative error")
    axes.legend(frameon=False, fontsize=9, loc="upper center")


def draw(path, double, single, orders, pairs):
    figure = titled_figure("Numerical derivatives: every method has its valley", (14, 10))
    parts = figure.subfigures(2, 2, wspace=0.04, hspace=0.05)
    draw_valley(parts[0, 0], "1  exp x / (sin³x + cos³x) at 1.5, in float64", double, 2.0**-52)
    draw_valley(parts[0, 1], "2  ... and in float32", single, 2.0**-23)

    axes = panel(parts[1, 0], "3  the first to fourth derivative, central, accuracy 2")
    for order, (found, shade) in enumerate(zip(orders, (COOL, INK, "#d98c6f", WARM), strict=True), 1):
        axes.loglog(found.steps, found.errors["central 2"], color=shade, label=f"order {order}")
    axes.set_ylim(1e-13, 30)
    axes.set_xlim(1e-9, 2)
    axes.set_xlabel("step h")
    axes.set_ylabel("relative error")
    axes.legend(frameon=False, fontsize=9, loc="lower left")

    axes = panel(parts[1, 1], "4  automatic steps: the true error beside the estimated one")
    for (name, (estimated, true)), marker in zip(pairs.items(), "os^Dv", strict=True):
        axes.loglog(estimated, np.maximum(true, 1e-17), marker, markersize=5, alpha=0.7, label=name)
    reach = np.array([1e-16, 1e-2])
    axes.loglog(reach, reach, color=INK, linewidth=1)
    axes.annotate("true = estimated", (1e-5, 2e-5), color=INK, fontsize=9, ha="right", va="bottom")
    axes.set_xlabel("estimated relative error")
    axes.set_ylabel("true relative error (none: 1e-17)")
    axes.legend(frameon=False, fontsize=9, loc="upper left")
    save(figure, path)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--figure", type=Path, default=Path(__file__).parent / "figures" / "finite_differences.png")
    options = parser.parse_args(arguments)
    started = time.perf_counter()

    exact = derivatives(squire_trapp, POINT, 4)
    double = valley(squire_trapp, (POINT,), (1.0,), exact[0])
    single = valley(squire_trapp, (np.float32(POINT),), (np.float32(1.0),), exact[0])
    orders = [valley(squire_trapp, (POINT,), (1.0,), value, n) for n, value in enumerate(exact, 1)]
    pairs = estimates()
    draw(options.figure, double, single, orders, pairs)

    print("\nmethod       best error in float64             in float32")
    for name in STYLES:
        cells = []
        for found in (double, single):
            best = np.nanargmin(found.errors[name])
            cells.append(f"{found.errors[name][best]:.1e} with h = {found.steps[best]:.0e}")
        print(f"{name:12} {cells[0]:33} {cells[1]}")
    for n, (found, value) in enumerate(zip(orders, exact, strict=True), 1):
        estimate = derivative_along(squire_trapp, (POINT,), (1.0,), order=n)
        off, sure = (abs(x / value) for x in (estimate.value - value, estimate.error))
        best = np.nanmin(found.errors["central 2"])
        print(f"order {n}: central 2 at best off by {best:.1e}; automatic off by {off:.1e}, estimated {sure:.1e}")
    ratio = max(np.max(true / estimated) for estimated, true in pairs.values())
    print(
        f"true error over estimated one, of {sum(p.shape[1] for p in pairs.values())} derivatives: at most {ratio:.2f}"
    )
    print(f"\nfigure: {options.figure}\n{time.perf_counter() - started:.1f} s")


if __name__ == "__main__":
    main()
