"""Python loops under `jit`: gradients of programs that repeat themselves, at one, two and four times a length.

The compiler fuses what is cheap into each place that reads it, and a round reads the one before more than once: unless
somebody bounds it, the code, the time to compile it or the time to run it grows with the square of the rounds or
doubles with each of them. So each side compiles in a process of its own that is ended after a time limit, the two in
turns; the processor's time, of all threads, is measured beside the time that passes, which on a shared machine is the
others' as well. The runs of both take turns in one process. Each figure is the least of the repetitions.

python -m benchmarks.unrolled --write docs/unrolled.md    every program, and the page's tables: two hours
python -m benchmarks.unrolled --only lorenz --limit 60
python -m benchmarks.unrolled --side functrans --rounds 4
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import subprocess
import sys
import time
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy

from benchmarks.report import geometric_mean
from benchmarks.rounds import FORWARD, HAND_PLACED, RANDOM, RANDOM_LENGTHS, UNROLLED
from benchmarks.sides import Side, side_named
from benchmarks.timing import now, timed

LIMIT = 100.0  # seconds for a process: import, trace, compilation and runs
REPEATS = 3  # processes of each side
SAMPLES = 150  # of a run, each of a few milliseconds
SIDES = "functrans", "jax"
BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"

BUILDS = {**{name: build for name, (build, _) in UNROLLED.items()}, **RANDOM, **HAND_PLACED, **FORWARD}
ORDERS = 1, 2  # of derivatives in forward mode

Figures = dict[str, float]
Results = dict[str, dict[str, Figures]]  # "program rounds" -> side -> figures


def lengths_of(name: str) -> Sequence[int]:
    if name in FORWARD:
        return ORDERS
    if name in RANDOM:
        return RANDOM_LENGTHS
    least = UNROLLED[name.removesuffix("_by_hand")][1]
    return (least, 2 * least, 4 * least)


def lowered(side: Side, name: str, n: int) -> tuple[Any, tuple[Any, ...]]:
    """The derivative of a program, ready to be compiled, and its arguments."""
    f, args = BUILDS[name](side.namespace, side.transforms.lax, n)
    args = jax.device_put(args)
    if name in FORWARD:
        for _ in range(n):
            f = side.transforms.jacfwd(f)
    else:
        f = side.transforms.grad(f)
    return side.transforms.jit(f).lower(*args), args


def compiling(side: str, name: str, n: int) -> Figures:
    """Trace, lower and compile in this process."""
    chosen = side_named(side)
    chosen.transforms.jit(lambda x: x + 1.0).lower(1.0).compile()  # what the first compilation of a process sets up
    start = time.process_time()
    program, _ = lowered(chosen, name, n)
    traced = time.process_time() - start
    start, cpu = time.perf_counter(), time.process_time()
    compiled = program.compile()
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    text = compiled.as_text()
    return {
        "trace": traced, "compile": wall, "cpu": cpu, "hlo": text.count("\n"),
        "kernels": text[text.index("\nENTRY ") :].count("\n"),
    }  # fmt: skip


def running(sides: Sequence[str], name: str, n: int) -> dict[str, Figures]:
    """Run in this process, the sides in turns, a few milliseconds each."""
    calls = {}
    for side in sides:
        program, args = lowered(side_named(side), name, n)
        calls[side] = functools.partial(program.compile(), *args)
    found: dict[str, Figures] = {}
    repeats = {}
    for side, call in calls.items():
        result = jax.block_until_ready(call())
        once = timed(call)
        repeats[side] = max(1, min(200, int(0.003 / once)))
        found[side] = {"run": once, "value": float(numpy.asarray(jax.tree_util.tree_leaves(result)[0]).ravel()[0])}
    order = list(sides)
    for sample in range(SAMPLES):
        for side in order:
            if sample and found[side]["run"] > 0.1:
                continue  # one is enough
            call, count = calls[side], repeats[side]
            start = now()
            for _ in range(count):
                jax.block_until_ready(call())
            found[side]["run"] = min(found[side]["run"], (now() - start) / count)
        order.reverse()
    return found


def in_a_process(limit: float, *arguments: object) -> Any:
    """What a fresh process prints as JSON before the limit, else None."""
    command = [sys.executable, "-m", "benchmarks.unrolled", "--one", *map(str, arguments)]
    try:
        text = subprocess.run(command, capture_output=True, text=True, timeout=limit).stdout
    except subprocess.TimeoutExpired:
        return None
    return json.loads(text) if text.strip() else None


def least(some: Figures, others: Figures) -> Figures:
    """The less of each figure; what one lacks is the other's."""
    return {key: min(figures.get(key, math.inf) for figures in (some, others)) for key in {**some, **others}}


def in_turns(sides: Sequence[str], name: str, n: int, limit: float, repeats: int) -> dict[str, Figures]:
    """The least of each figure by side; a side that did not end is not asked again."""
    found: dict[str, Figures] = {side: {} for side in sides}
    able = list(sides)
    for _ in range(repeats):
        for side in list(able):
            figures = in_a_process(limit, "compile", side, name, n)
            if figures is None:
                able.remove(side)
            else:
                found[side] = least(found[side], figures)
        able.reverse()
    able.sort(key=SIDES.index)
    together = in_a_process(limit, "run", ",".join(able), name, n) if able else None
    for group in [] if together else [[side] for side in able if len(able) > 1]:  # one of them does not end its run
        together = {**(together or {}), **(in_a_process(limit, "run", *group, name, n) or {})}
    for side, figures in (together or {}).items():
        found[side].update(figures)
    return found


# -- tables ------------------------------------------------------------------------------------------------------------

COLUMNS = ("compile", "cpu", "hlo", "kernels", "run")
DIGITS = {"compile": 2, "cpu": 2, "hlo": 0, "kernels": 0, "run": 1}


def ratio(figures: dict[str, Figures], key: str) -> float | None:
    """functrans / JAX for what is to be small."""
    ours, theirs = (figures.get(side, {}).get(key) for side in SIDES)
    return None if ours is None or theirs is None else ours / theirs


def _text(figures: Figures, key: str) -> str:
    value = figures.get(key)
    return "-" if value is None else f"{value * (1e6 if key == 'run' else 1):,.{DIGITS[key]}f}"


def _ratio_text(value: float | None, inverse: bool = False) -> str:
    return "-" if value is None else f"{1 / value if inverse else value:.2f}"


def line(key: str, figures: dict[str, Figures]) -> list[str]:
    """Name, rounds, the figures of both sides; compile ratio ours / JAX, run ratio JAX / ours."""
    cells = key.split(" ")
    for side in SIDES:
        cells += [_text(figures.get(side, {}), column) for column in COLUMNS]
    return [*cells, _ratio_text(ratio(figures, "cpu")), _ratio_text(ratio(figures, "run"), inverse=True)]


HEAD = [
    *[f"{side}: {of}" for side in ("ours", "JAX") for of in ("compile s", "CPU s", "HLO", "kernels", "run µs")],
    "CPU of compile, ours / JAX", "run, JAX / ours",
]  # fmt: skip


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    head, *rest = ["| " + " | ".join(row) + " |" for row in rows]
    return ["", head, "|---" * len(rows[0]) + "|", *rest]


def _of(results: Results, names: Container[str]) -> Results:
    """Those of some programs, the ones first that fall furthest short beside JAX."""
    chosen = {key: figures for key, figures in results.items() if key.split(" ")[0] in names}
    worst: dict[str, float] = {}
    for key, figures in chosen.items():
        loss = max(ratio(figures, "cpu") or 0.0, ratio(figures, "run") or 0.0)
        name = key.split(" ")[0]
        worst[name] = max(worst.get(name, 0.0), loss)
    return {key: chosen[key] for key in sorted(chosen, key=lambda key: -worst[key.split(" ")[0]])}


def _rows(results: Results, second: str) -> list[str]:
    return _table([["program", second, *HEAD], *[line(key, figures) for key, figures in results.items()]])


def _in_sum(results: Results) -> list[str]:
    """A line for each length of many programs."""
    rows = [["operations", "programs", "CPU of compile, ours / JAX: mean", "worst", "run, JAX / ours: mean", "worst",
             "below 0.8"]]  # fmt: skip
    for n in sorted({int(key.split(" ")[1]) for key in results}):
        figures = [f for key, f in results.items() if key.endswith(f" {n}")]
        compiled = [r for f in figures if (r := ratio(f, "cpu")) is not None]
        run = [1 / r for f in figures if (r := ratio(f, "run")) is not None]
        if run:
            rows.append([
                str(n), str(len(run)), f"{geometric_mean(compiled):.2f}", f"{max(compiled):.2f}",
                f"{geometric_mean(run):.2f}", f"{min(run):.2f}", str(sum(r < 0.8 for r in run)),
            ])  # fmt: skip
    return _table(rows)


def page(results: Results, limit: float) -> str:
    """The tables of a page, and what stands above each."""
    unrolled, drawn, forward, by_hand = [_of(results, names) for names in (UNROLLED, RANDOM, FORWARD, HAND_PLACED)]
    lines = [
        f"Each figure is the least of the repetitions, the sides in turns; -: not within {limit:.0f} s, in which "
        "it also imports and traces. CPU s: of all threads, during the compilation.",
        *_rows(unrolled, "rounds"),
    ]
    if drawn:
        lines += ["", "Random programs on scalars, by the number of their operations:", *_in_sum(drawn)]
    if forward:
        lines += ["", "Forward mode through a `while_loop`, by the order of the derivative:", *_rows(forward, "order")]
    if by_hand:
        lines += ["", "Barriers that the user places, at every third step of the Lorenz system and at each of the heat "
                  "equation:", *_rows(by_hand, "rounds")]  # fmt: skip
    return "\n".join(lines)


def write_page(path: Path, tables: str) -> None:
    """Put the tables in place of those that a page has between its two marks."""
    text = path.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    path.write_text(f"{before}{BEGIN}\n\n{tables}\n\n{END}{after}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", help="a program, or part of its name")
    parser.add_argument("--side", action="append", choices=SIDES)
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds for one process")
    parser.add_argument("--rounds", type=int, action="append", help="rounds instead of once, twice and four times")
    parser.add_argument("--repeats", type=int, default=REPEATS, help="processes of each side")
    parser.add_argument("--json", type=Path, help="where to write the results; those there are kept and not repeated")
    parser.add_argument("--again", action="store_true", help="repeat those there too, and keep the less of each figure")
    parser.add_argument("--write", type=Path, help="the page whose tables to write")
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        what, sides, name, n = options.one
        found = compiling(sides, name, int(n)) if what == "compile" else running(sides.split(","), name, int(n))
        print(json.dumps(found))
        return
    results: Results = {}
    if options.json and options.json.exists():
        results = json.loads(options.json.read_text(encoding="utf-8"))
    ended = {}  # a side that did not end at a length does not at a longer one
    for name in BUILDS:
        if options.only and not any(part in name for part in options.only):
            continue
        for n in options.rounds or lengths_of(name):
            key = f"{name} {n}"
            if key not in results or options.again:
                sides = [side for side in options.side or SIDES if ended.get((name, side), True)]
                found, known = in_turns(sides, name, n, options.limit, options.repeats), results.get(key, {})
                results[key] = {**known, **{side: least(known.get(side, {}), found[side]) for side in sides}}
            ended.update({(name, side): "run" in figures for side, figures in results[key].items()})
            print("  ".join(cell.rjust(9) for cell in line(key, results[key])), flush=True)
            if options.json:
                options.json.write_text(json.dumps(results, indent=1), encoding="utf-8")
    if options.write:
        write_page(options.write, page(results, options.limit))


if __name__ == "__main__":
    main()
