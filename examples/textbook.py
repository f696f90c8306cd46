"""The textbook's function, ln(x1) + x1 x2 - sin(x2) at (2, 5), differentiated in every way there is.

    python examples/textbook.py [--figure PATH]

The function is the running example of Griewank and Walther, "Evaluating Derivatives", and of Baydin et al., "Automatic
Differentiation in Machine Learning: a Survey" (JMLR 2018). The script

1. prints the program that functrans makes of it, and the table of its intermediate values and derivatives in forward
   and in reverse mode, made by two short interpreters of that program, and draws its computational graph;
2. differentiates it by hand, numerically, symbolically and automatically: the numerical derivative's valley between
   truncation and rounding, and the symbolic derivative's swell against the size of our program;
3. differentiates the derivative again, reverse over reverse, with a tape of numbers and with pullbacks;
4. shows which mode is cheaper for tall and for wide Jacobians.

It prints a summary and writes one figure. Everything is computed in float64.
"""

import argparse
import math
import time
from pathlib import Path

import numpy as np
from classical_ways import (
    RecordedNumbers,
    central_difference,
    evaluated,
    expression,
    forward_difference,
    size,
    symbolic_derivative,
    tape_gradient,
)
from drawing import COOL, FAINT, INK, WARM, panel, save, titled, titled_figure
from tqdm import tqdm

import functrans as ft
import functrans.numpy as fnp

ft.config.update("jax_enable_x64", True)

POINT = (2.0, 5.0)


def textbook(x1, x2, np=fnp):
    return np.log(x1) + x1 * x2 - np.sin(x2)


def by_hand(x1, x2):
    return 1 / x1 + x2, x1 - math.cos(x2)


# ------------------------------------------------------------------- 1. two interpreters of the program, and its graph


def name_variables(program):
    """x1, x2 ... for the inputs, v1, v2 ... for the results, as the survey writes them."""
    names = {variable: f"x{i}" for i, variable in enumerate(program.inputs, 1)}
    results = [variable for equation in program.equations for variable in equation.outputs]
    return names | {variable: f"v{i}" for i, variable in enumerate(results, 1)}


def forward(program, point, tangents):
    """Values and tangents of every variable: each equation's own jvp rule, in the order of the program."""
    values, slopes = dict(zip(program.inputs, point)), dict(zip(program.inputs, tangents))
    for equation in program.equations:
        operands = [values[variable] for variable in equation.inputs]
        value, slope = equation.op.jvp(operands, [slopes[variable] for variable in equation.inputs])
        (result,) = equation.outputs
        values[result], slopes[result] = float(value), float(slope)
    return values, slopes


def reverse(program, values):
    """The adjoint of every variable: from the result back, each adjoint times the local partial derivatives."""
    adjoints = dict.fromkeys(values, 0.0)
    adjoints[program.outputs[0]] = 1.0
    for equation in reversed(program.equations):
        operands = [values[variable] for variable in equation.inputs]
        for i, variable in enumerate(equation.inputs):
            unit = [1.0 if position == i else None for position in range(len(operands))]  # None: a zero tangent
            partial = equation.op.jvp(operands, unit)[1]
            adjoints[variable] += adjoints[equation.outputs[0]] * float(partial)
    return adjoints


def table(program, point):
    """Rows (name, formula, value, d/dx1, d/dx2, adjoint), one for each variable of the program."""
    names = name_variables(program)
    values, by_x1 = forward(program, point, (1.0, 0.0))
    _, by_x2 = forward(program, point, (0.0, 1.0))
    adjoints = reverse(program, values)
    formulas = dict.fromkeys(program.inputs, "input")
    for equation in program.equations:
        formulas[equation.outputs[0]] = f"{equation.op} {' '.join(names[variable] for variable in equation.inputs)}"
    return [(names[v], formulas[v], values[v], by_x1[v], by_x2[v], adjoints[v]) for v in names]


def layout(program):
    """A place for each variable: across by its depth in the program, and at the mean height of what it reads."""
    depths = dict.fromkeys(program.inputs, 0)
    heights = {variable: -float(i) for i, variable in enumerate(program.inputs)}
    taken = set()
    for equation in program.equations:
        (result,) = equation.outputs
        depths[result] = 1 + max(depths[variable] for variable in equation.inputs)
        height = sum(heights[variable] for variable in equation.inputs) / len(equation.inputs)
        while (depths[result], height) in taken:
            height -= 0.5
        heights[result] = height
        taken.add((depths[result], height))
    return {variable: (depths[variable], heights[variable]) for variable in depths}


def draw_graph(axes, program, rows):
    """A box for each variable with its value, tangent (forward, rightwards) and adjoint (reverse, leftwards)."""
    places = layout(program)
    for equation in program.equations:
        for variable in equation.inputs:
            start, end = places[variable], places[equation.outputs[0]]
            style = {"arrowstyle": "-|>", "color": FAINT, "linewidth": 1.6, "shrinkA": 52, "shrinkB": 52}
            axes.annotate("", xy=end, xytext=start, arrowprops=style)
    for variable, (name, formula, value, by_x1, _, adjoint) in zip(places, rows, strict=True):
        across, height = places[variable]
        label = name if formula == "input" else f"{name} = {formula}"
        box = {"boxstyle": "round,pad=0.35", "facecolor": "white", "edgecolor": INK, "linewidth": 1.2}
        axes.text(across, height, f"{label}\n{value:.4f}", ha="center", va="center", fontsize=12, color=INK, bbox=box)
        axes.text(across - 0.03, height - 0.17, f"{by_x1:+.3f} →", ha="right", va="top", fontsize=12, color=COOL)
        axes.text(across + 0.03, height - 0.17, f"← {adjoint:+.3f}", ha="left", va="top", fontsize=12, color=WARM)
    axes.set_xlim(-0.5, max(across for across, _ in places.values()) + 0.5)
    heights = [height for _, height in places.values()]
    axes.set_ylim(min(heights) - 0.32, max(heights) + 0.2)
    axes.axis("off")


# ----------------------------------------------------------------- 2. the four ways: numerical and symbolic


def numerical_errors(widths):
    """|difference quotient - d/dx2| for each width: forward and central differences."""
    x1, x2 = POINT
    exact = by_hand(x1, x2)[1]
    f = lambda value: textbook(x1, value, np)
    return [np.array([abs(way(f, x2, h) - exact) for h in widths]) for way in (forward_difference, central_difference)]


def logistic_map(steps):
    """The survey's example of expression swell: x <- 4 x (1 - x), `steps` times."""

    def f(x):
        for _ in range(steps):
            x = 4.0 * x * (1.0 - x)
        return x

    return f


def swell(most):
    """For 1 to `most` steps: operations of the symbolic derivative, equations of ours, and how far they differ."""
    formulas, programs, disagreement = [], [], 0.0
    for steps in range(1, most + 1):
        f = logistic_map(steps)
        formula = symbolic_derivative(expression(ft.make_jaxpr(f)(0.3)), "x1")
        formulas.append(size(formula))
        programs.append(len(ft.make_jaxpr(ft.grad(f))(0.3).equations))
        difference = evaluated(formula, {"x1": 0.3}) - float(ft.grad(f)(0.3))
        disagreement = max(disagreement, abs(difference) / 4.0**steps)
    return np.array(formulas), np.array(programs), disagreement


# ------------------------------------------------------------------------- 3. reverse over reverse: tape and closure


def closure_gradient(f):
    """The derivative of f by its pullback: a function that holds what it needs, to be called as often as one likes."""

    def gradient(x):
        _, pullback = ft.vjp(f, x)
        return pullback(1.0)[0]

    return gradient


def reverse_over_reverse(most):
    """Nested reverse mode of x -> textbook(x, x): entries on the outermost tape, equations of our program, values."""
    entries, equations, values = [], [], []
    by_tape = lambda x: textbook(x, x, RecordedNumbers)
    by_closure = lambda x: textbook(x, x)
    for _ in tqdm(range(most), desc="reverse over reverse", unit="order", leave=False):
        lengths = []
        by_tape, by_closure = tape_gradient(by_tape, lengths), closure_gradient(by_closure)
        on_tape = by_tape(POINT[0])
        values.append((on_tape, float(by_closure(POINT[0]))))
        entries.append(lengths[-1])
        equations.append(len(ft.make_jaxpr(by_closure)(POINT[0]).equations))
    return np.array(entries), np.array(equations), np.array(values)


# --------------------------------------------------------------------------------------- 4. tall and wide Jacobians


def jacobian_costs(entries=4096, hidden=64):
    """For Jacobians [m, n] with m n = entries: (m, n), operations of forward and reverse mode, and their seconds."""
    generator = np.random.default_rng(0)
    rows = []
    for n in tqdm([4, 16, 64, 256, 1024], desc="tall and wide", unit="shape", leave=False):
        m = entries // n
        inwards = generator.normal(size=(hidden, n)) / math.sqrt(n)
        outwards = generator.normal(size=(m, hidden)) / math.sqrt(hidden)
        x = generator.normal(size=n)
        f = lambda x, inwards, outwards: outwards @ fnp.tanh(inwards @ x)
        measured = []
        for mode in (ft.jacfwd, ft.jacrev):
            compiled = ft.jit(mode(f)).lower(x, inwards, outwards).compile()
            measured.append((compiled.cost_analysis()["flops"], seconds(compiled, x, inwards, outwards)))
        rows.append((m, n, *zip(*measured)))
    return rows


def cheaper(forward_operations, reverse_operations):
    if forward_operations == reverse_operations:
        return "they cost the same"
    return "forward is cheaper" if forward_operations < reverse_operations else "reverse is cheaper"


def seconds(function, *arguments, repeats=9):
    """The median time of a call."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        ft.block_until_ready(function(*arguments))
        times.append(time.perf_counter() - start)
    return float(np.median(times))


# ------------------------------------------------------------------------------------------------------------- figure


def draw(path, program, rows, widths, errors, sizes, orders, costs):
    figure = titled_figure("ln(x₁) + x₁x₂ − sin(x₂) at (2, 5), differentiated in every way there is", (16, 9))
    upper, lower = figure.subfigures(2, 1, height_ratios=(1.15, 1), hspace=0.05)
    graph, valley = upper.subfigures(1, 2, width_ratios=(2.1, 1))
    left, middle, right = lower.subfigures(1, 3)

    titled(graph, "1  the program's graph: value, tangent for dx₁ = 1 (forward →), adjoint (← reverse)")
    draw_graph(graph.subplots(), program, rows)

    axes = panel(valley, "2  numerical: truncation against rounding")
    one_sided, central = errors
    axes.loglog(widths, np.maximum(one_sided, 1e-17), color=COOL, label="forward difference")
    axes.loglog(widths, np.maximum(central, 1e-17), color=WARM, label="central difference")
    automatic = abs(rows[1][-1] - by_hand(*POINT)[1])
    for across, error, text in ((1e-14, 1e-5, "rounding ∝ 1/h"), (0.3, 1e-5, "∝ h²"), (3e-6, 3e-3, "truncation ∝ h")):
        axes.text(across, error, text, color="#7a8790", fontsize=9, ha="center")
    axes.axhline(max(automatic, 1e-16), color=INK, linestyle="--", linewidth=1)
    axes.text(widths[-1], 1.3e-16, "automatic: right to the last bit", ha="right", va="bottom", color=INK, fontsize=9)
    axes.set_xlabel("width h of the difference")
    axes.set_ylabel("error of the derivative in x₂")
    axes.legend(frameon=False, loc="upper center")

    axes = panel(left, "2  symbolic: the formula swells, the program does not")
    formulas, programs = sizes
    steps = np.arange(1, len(formulas) + 1)
    axes.semilogy(steps, formulas, "o-", color=WARM, label="operations of the symbolic derivative")
    axes.semilogy(steps, programs, "o-", color=COOL, label="equations of grad(f)")
    axes.set_xlabel("steps of the logistic map x ← 4x(1 − x)")
    axes.legend(frameon=False)

    axes = panel(middle, "3  reverse over reverse")
    entries, equations = orders
    steps = np.arange(1, len(entries) + 1)
    axes.semilogy(steps, entries, "o-", color=WARM, label="entries on the tape")
    axes.semilogy(steps, equations, "o-", color=COOL, label="equations of nested pullbacks")
    axes.set_xlabel("order of the derivative of x ↦ f(x, x)")
    axes.legend(frameon=False)

    axes = panel(right, "4  tall Jacobians: forward; wide ones: reverse")
    shapes = [f"{m}×{n}" for m, n, *_ in costs]
    for mode, (label, colour) in enumerate((("forward mode", COOL), ("reverse mode", WARM))):
        axes.semilogy(shapes, [1e-6 * flops[mode] for _, _, flops, _ in costs], "o-", color=colour, label=label)
    axes.set_xlabel("rows × columns of the Jacobian")
    axes.set_ylabel("million operations")
    axes.legend(frameon=False, loc="upper center")
    save(figure, path)


# --------------------------------------------------------------------------------------------------------------- main


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--figure", type=Path, default=Path(__file__).parent / "figures" / "textbook.png")
    options = parser.parse_args(arguments)
    started = time.perf_counter()

    program = ft.make_jaxpr(textbook)(*POINT)
    rows = table(program, POINT)
    print(program)
    print(f"\n{'':4}{'':10}{'value':>12}{'d/dx1 →':>12}{'d/dx2 →':>12}{'← adjoint':>12}")
    for name, formula, *numbers in rows:
        print(f"{name:4}{formula:10}" + "".join(f"{number:12.6f}" for number in numbers))

    gradient = [float(part) for part in ft.grad(textbook, argnums=(0, 1))(*POINT)]
    formulas = [symbolic_derivative(expression(program), name) for name in ("x1", "x2")]
    symbolic = [evaluated(formula, {"x1": POINT[0], "x2": POINT[1]}) for formula in formulas]
    hand = by_hand(*POINT)
    widths = np.logspace(-16, 0, 161)
    errors = numerical_errors(widths)
    *sizes, swell_gap = swell(10)
    *orders, values = reverse_over_reverse(7)
    costs = jacobian_costs()
    draw(options.figure, program, rows, widths, errors, sizes, orders, costs)

    best = [(widths[error.argmin()], error.min()) for error in errors]
    gap = max(abs(a - b) for a, b in zip(gradient, hand, strict=True))
    symbolic_gap = max(abs(a - b) for a, b in zip(symbolic, hand, strict=True))
    order_gap = float(np.max(np.abs(values[:, 0] - values[:, 1])))
    print(
        f"""
by hand       (1/x1 + x2, x1 - cos x2) = ({hand[0]:.12f}, {hand[1]:.12f})
automatic     differs by {gap:.1e}
symbolic      differs by {symbolic_gap:.1e}; ten steps of the logistic map: {sizes[0][-1]} operations,
              against {sizes[1][-1]} equations of our program; the values differ by {swell_gap:.1e}
numerical     forward difference at best off by {best[0][1]:.1e}, with h = {best[0][0]:.0e}
              central difference at best off by {best[1][1]:.1e}, with h = {best[1][0]:.0e}

reverse over reverse, order 1 to {len(values)}
  entries on the tape        {" ".join(f"{count:5}" for count in orders[0])}
  equations of the program   {" ".join(f"{count:5}" for count in orders[1])}
  the derivatives differ by  {order_gap:.1e}

Jacobian     forward                 reverse"""
    )
    for m, n, flops, times in costs:
        cells = [f"{count:10,.0f} ops {1e6 * took:6.0f} us" for count, took in zip(flops, times, strict=True)]
        print(f"{f'{m} x {n}':10}{'   '.join(cells)}   {cheaper(*flops)}")
    print(f"\nfigure: {options.figure}\n{time.perf_counter() - started:.1f} s")


if __name__ == "__main__":
    main()
