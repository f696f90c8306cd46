"""Draw the results of `python -m benchmarks`, and write them down with wins and losses: docs/benchmarks.png and .md.

python -m benchmarks.plot                     the newest results in benchmarks/results
python -m benchmarks.plot FILE --docs FOLDER  others, elsewhere
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from benchmarks.__main__ import RESULTS
from benchmarks.report import PARITY, geometric_mean, quantity
from benchmarks.sizes import MEASUREMENT as COST

Json = dict[str, Any]

DOCS = Path(__file__).resolve().parent.parent / "docs"
INK, WIN, LOSS, FAINT = "#22303c", "#2a6f97", "#c8442c", "#b8c4cc"
OTHERS = {"autograd": ("#8a6d1d", "^"), "torch.func": ("#7b4b94", "s")}
DRAWN = ("trace + lower", "un-jitted call", "compile", "steady run")
NESTED = "equations of nested grad"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.plot", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", nargs="?", type=Path, help="a JSON file that python -m benchmarks wrote")
    parser.add_argument("--docs", type=Path, default=DOCS, help="where benchmarks.png and benchmarks.md go")
    options = parser.parse_args(arguments)
    found = sorted(RESULTS.glob("*.json")) if options.results is None else [options.results]
    if not found:
        print(f"there are no results in {RESULTS}; python -m benchmarks makes some", file=sys.stderr)
        return 2
    results = json.loads(found[-1].read_text())
    options.docs.mkdir(parents=True, exist_ok=True)
    draw(results, options.docs / "benchmarks.png")
    (options.docs / "benchmarks.md").write_text(document(results))
    print(f"{found[-1]} drawn to {options.docs / 'benchmarks.png'}, written down in {options.docs / 'benchmarks.md'}")
    return 0


# -- the picture -------------------------------------------------------------------------------------------------------


def draw(results: Json, path: Path) -> None:
    """One panel for each measurement of the scenarios, and one for the size of nested gradients."""
    panels = [name for name in DRAWN if _rows(results, name)]
    nested = [row for row in results["rows"] if row["measurement"] == NESTED]
    costs = [row for row in results["rows"] if row["measurement"] == COST]
    cases = max([len(_rows(results, name)) for name in panels], default=1)
    below = bool(nested) + bool(costs)
    heights = [1.0 + 0.2 * cases] * bool(panels) + [1.2 + 0.2 * max(len(costs), 14)] * bool(below)
    if not heights:
        raise ValueError("the results have no row that is drawn")
    figure = plt.figure(figsize=(4.4 * max(len(panels), 3), 1.2 + sum(heights)), layout="constrained")
    bands = iter(figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0])
    figure.suptitle(f"functrans against JAX: time of the other over ours\n{surroundings(results)}", color=INK)
    if panels:
        for axes, name in zip(next(bands).subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
            _ratios(axes, results, name)
    if below:
        row_of_axes = list(next(bands).subplots(1, below, squeeze=False)[0])
        if costs:
            _costs_drawn(row_of_axes.pop(0), costs)
        if nested:
            _nested(row_of_axes.pop(0), nested)
    figure.legend(handles=_legend(results), loc="outside lower center", ncols=6, frameon=False, fontsize=9)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _legend(results: Json) -> list[Line2D]:
    entries = [
        ("o", WIN, WIN, "JAX"),
        ("o", LOSS, LOSS, "JAX, and it is faster"),
        ("o", INK, "white", "no difference beyond the spread (line: between the quartiles)"),
    ]
    for name in dict.fromkeys(name for row in results["rows"] for name in row["others"]):
        colour, marker = OTHERS[name]
        entries.append((marker, colour, colour, name))
    return [
        Line2D([], [], marker=marker, color=colour, markerfacecolor=inside, linestyle="", label=label)
        for marker, colour, inside, label in entries
    ]


def _ratios(axes: Any, results: Json, measurement: str) -> None:
    rows = _rows(results, measurement)
    heights = range(len(rows), 0, -1)
    axes.axvline(1.0, color=INK, linewidth=1)
    for height, row in zip(heights, rows, strict=True):
        low, high = _spread(row)
        colour = WIN if row["ratio"] >= PARITY else LOSS
        axes.plot([low, high], [height, height], color=colour, linewidth=2, alpha=0.4)
        filled = "white" if low <= 1.0 <= high else colour
        axes.plot(row["ratio"], height, "o", color=colour, markerfacecolor=filled, markersize=5)
        for name, samples in row["others"].items():
            colour, marker = OTHERS[name]
            axes.plot(samples["median"] / row["ours"]["median"], height, marker, color=colour, markersize=4)
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(
        LogLocator(subs=(1,) if high > 300 * low else (1, 2, 5) if high > 5 * low else (1, 1.5, 2, 3, 5, 7, 8, 9))
    )
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_yticks(list(heights), [f"{row['scenario']}  {row['variant']}" for row in rows], fontsize=8)
    axes.set_ylim(0.3, len(rows) + 0.7)
    mean = geometric_mean(row["ratio"] for row in rows)
    axes.set_title(f"{measurement}: {mean:.3g}x on geometric mean", fontsize=10, color=INK)
    axes.set_xlabel("time / ours (right of 1: functrans is the faster)", fontsize=8)
    axes.grid(axis="x", color=FAINT, linewidth=0.4)
    axes.spines[["top", "right"]].set_visible(False)


def _costs_drawn(axes: Any, rows: Sequence[Json]) -> None:
    heights = range(len(rows), 0, -1)
    for height, row in zip(heights, rows, strict=True):
        for name, samples in row["others"].items():
            colour, marker = OTHERS[name]
            axes.plot(samples["median"], height, marker, color=colour, markersize=4)
        axes.plot(row["jax"]["median"], height, "o", color=INK, markerfacecolor="white", markersize=7)
        axes.plot(row["ours"]["median"], height, "o", color=WIN, markersize=4)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_yticks(list(heights), [f"{row['scenario']}  {row['variant']}" for row in rows], fontsize=8)
    axes.set_ylim(0.3, len(rows) + 0.7)
    axes.set_title("time of the derivative / time of its function", fontsize=10, color=INK)
    axes.set_xlabel("each by itself: dot functrans, ring JAX", fontsize=8)
    axes.grid(axis="x", color=FAINT, linewidth=0.4)
    axes.spines[["top", "right"]].set_visible(False)


def _nested(axes: Any, rows: Sequence[Json]) -> None:
    depths = [int(row["scenario"].split()[-1]) for row in rows]
    for side, colour, label in (("jax", INK, "JAX"), ("ours", WIN, "functrans")):
        axes.semilogy(depths, [row[side]["median"] for row in rows], "o-", color=colour, label=label)
    axes.set_title("equations of grad, nested", fontsize=10, color=INK)
    axes.set_xlabel("depth", fontsize=8)
    axes.legend(fontsize=8, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


def _rows(results: Json, measurement: str) -> list[Json]:
    return [row for row in results["rows"] if row["measurement"] == measurement and row["ratio"]]


def _spread(row: Json) -> tuple[float, float]:
    """The least and the largest ratio that the quartiles of both sides allow."""
    (our_low, our_high), (their_low, their_high) = row["ours"]["quartiles"], row["jax"]["quartiles"]
    return their_low / our_high, their_high / our_low


# -- the document ------------------------------------------------------------------------------------------------------


def surroundings(results: Json) -> str:
    environment = results["environment"]
    load = environment["load at the end"][0]
    mode = "quick" if environment["quick"] else "full"
    return (
        f"jax {environment['jax']}, Python {environment['python']}, {environment['device']}, "
        f"{environment['cores']} cores (load {load:.1f} at the end), "
        f"{environment['when'][:10]}, {mode} mode"
    )


def document(results: Json) -> str:
    """The results as a page: how they were measured, the means and targets, and every row that JAX wins."""
    lines = [
        "# Benchmarks",
        "",
        "This page and its picture are made by `python -m benchmarks` and then `python -m benchmarks.plot`.",
        f"{surroundings(results)}.",
        "Ratios are the other's time over ours, medians of interleaved runs: above 1, functrans is the faster.",
        "",
        "![Ratios of every scenario](benchmarks.png)",
        "",
        "## Geometric means",
        "",
        "| what | over | mean | worst row | rows | target |",
        "|---|---|---|---|---|---|",
    ]
    for summary in results["summaries"]:
        target = results["targets"].get(summary["measurement"], "") if summary["verdict"] else ""
        verdict = f"{summary['verdict']}: {target}" if target else ""
        cells = [summary["measurement"], summary["scenario"], f"{summary['ratio']:.3g}", f"{summary['worst']:.3g}"]
        lines.append(f"| {' | '.join([*cells, str(summary['rows']), verdict])} |")
    lost = [row for row in results["rows"] if (row["ratio"] and row["ratio"] < PARITY) or row["verdict"] == "MISSED"]
    lines += ["", "## Where JAX is faster, or a target is missed", ""]
    if not lost:
        lines.append("Nowhere in this run.")
    else:
        lines += ["| what | case | functrans | JAX | ratio | verdict |", "|---|---|---|---|---|---|"]
    for row in lost:
        medians = [quantity(row[side]["median"], row["unit"]) if row[side] else "-" for side in ("ours", "jax")]
        ratio = f"{row['ratio']:.3g}" if row["ratio"] else "-"
        case = f"{row['scenario']} {row['variant']}".strip()
        lines.append(f"| {' | '.join([row['measurement'], case, *medians, ratio, row['verdict']])} |")
    slower = [
        (row, name, samples["median"])
        for row in results["rows"]
        for name, samples in row["others"].items()
        if row["unit"] == "s" and row["ours"] and samples["median"] < PARITY * row["ours"]["median"]
    ]
    if slower:
        lines += ["", "## Where another library is faster", ""]
        lines += ["| what | case | functrans | library | its time | ratio |", "|---|---|---|---|---|---|"]
    for row, name, median in slower:
        ours = row["ours"]["median"]
        cells = [row["measurement"], f"{row['scenario']} {row['variant']}", quantity(ours, "s"), name]
        lines.append(f"| {' | '.join([*cells, quantity(median, 's'), f'{median / ours:.3g}'])} |")
    lines += _costs([row for row in results["rows"] if row["measurement"] == COST])
    for title, entries in (("Left out", "left out"), ("Failed", "failures")):
        if results["environment"][entries]:
            lines += ["", f"## {title}", "", *[f"- {entry}" for entry in results["environment"][entries]]]
    return "\n".join(lines) + "\n"


def _costs(rows: Sequence[Json]) -> list[str]:
    """What a derivative costs in evaluations of its function, for each side: the figure that ADBench compares."""
    if not rows:
        return []
    names = list(dict.fromkeys(name for row in rows for name in row["others"]))
    lines = ["", "## Time of the derivative over the time of its function", ""]
    lines += ["functrans and JAX compiled, the libraries as they run; the gradient, or the whole Jacobian.", ""]
    lines += [f"| {' | '.join(['scenario', 'size', 'functrans', 'JAX', *names])} |", f"|{'---|' * (4 + len(names))}"]
    for row in rows:
        sides = [row["ours"], row["jax"], *[row["others"].get(name) for name in names]]
        costs = [f"{samples['median']:.3g}" if samples else "-" for samples in sides]
        lines.append(f"| {' | '.join([row['scenario'], row['variant'], *costs])} |")
    return lines


if __name__ == "__main__":
    sys.exit(main())
