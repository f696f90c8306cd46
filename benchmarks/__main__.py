"""Measure functrans against JAX: every scenario, stage by stage, both sides interleaved in one run.

HIPS autograd and PyTorch take part in the un-jitted calls where they are installed (pip install autograd torch).

python -m benchmarks                          everything, about a quarter of an hour on two quiet cores
python -m benchmarks --quick                  fewer samples and cases, about five minutes
python -m benchmarks --only mlp --only dispatch
python -m benchmarks --only 'steady run' --only gmm --variant grad
python -m benchmarks --control                JAX on both sides: what the machine's noise alone makes of the ratios
python -m benchmarks derivatives              higher derivatives and differential operators, against folx and jet
python -m benchmarks jacobians                batched Jacobians and Hessians, compiled
"""

from __future__ import annotations

import argparse
import datetime
import functools
import json
import os
import platform
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jaxlib
import numpy

from benchmarks import calls, control, derivatives, jacobians, process, report, sizes, stages
from benchmarks.libraries import Library, installed_libraries
from benchmarks.progress import Progress, known_seconds
from benchmarks.report import Row
from benchmarks.scenarios import SCENARIOS, VARIANTS
from benchmarks.sides import JaxSide, Side, side_named
from benchmarks.timing import Effort, now

RESULTS = Path(__file__).resolve().parent / "results"
GROUPS = ("sizes", "dispatch", "smallest", "loops", "newton", "nested", "import", "memory", "control")


@dataclass(frozen=True)
class Plan:
    """How much a run does. What is left out of it is measured all the same when named by --only."""

    effort: Effort
    newton_effort: Effort  # the one measurement that takes JAX seconds a sample
    variants: tuple[str, ...]
    left_out: tuple[str, ...]
    unjitted_calls: int  # of the memory test
    distinct_programs: int
    nested: int  # deepest nested grad
    sizes: int  # of a scenario, from the smallest


FULL = Plan(Effort(5, 25, 0.3, patience=6.0), Effort(3, 3, 0.0), VARIANTS, (), 100_000, 1_000, 8, 3)
QUICK = Plan(
    Effort(5, 9, 0.05, patience=3.0),
    Effort(2, 2, 0.0),
    ("f", "grad", "jacobian"),
    ("first result", "un-jitted first call"),
    10_000,
    200,
    6,
    1,
)

Job = tuple[str, Callable[[], Iterable[Row]]]


def main(arguments: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    pages = {"derivatives": derivatives.main, "jacobians": jacobians.main}
    if arguments and arguments[0] in pages:
        return pages[arguments[0]](arguments[1:])
    options = _parser().parse_args(arguments)
    if options.list:
        print("scenarios:   ", ", ".join(SCENARIOS))
        print("measurements:", ", ".join(stages.MEASUREMENTS))
        print("groups:      ", ", ".join(GROUPS))
        return 0
    unknown = [name for name in options.only if name not in {*SCENARIOS, *stages.MEASUREMENTS, *GROUPS}]
    if unknown:
        print(f"--only {unknown[0]!r} is no scenario, measurement or group; --list shows the names", file=sys.stderr)
        return 2
    jax.config.update("jax_enable_compilation_cache", False)  # a stored executable would be no compile time
    ours: Side = JaxSide("jax again") if options.control else side_named("functrans")
    sides = (ours, JaxSide())
    libraries, missing = ([], []) if options.control else installed_libraries()
    for line in missing:
        print(line, file=sys.stderr)
    rows: list[Row] = []
    failures: list[str] = []
    seconds: dict[str, float] = {}
    began = now()
    path = options.output / datetime.datetime.now().strftime("%Y-%m-%dT%H%M%S")
    earlier = (json.loads(file.read_text()) for file in sorted(options.output.glob("*.json")))
    progress = Progress(list(_jobs(options, sides, libraries, rows)), known_seconds(earlier, options.quick))
    interrupted = False
    text = ""
    try:
        for name, job in progress:
            start = now()
            try:
                rows.extend(job())
            except Exception as error:  # one broken case must not cost the others their result
                if options.fail:
                    raise
                failures.append(f"{name}: {type(error).__name__}: {error}")
            seconds[name] = now() - start
            text = report.table(rows, ours.name)
            environment = _environment(options, now() - began, seconds, failures, missing)
            _save(text, report.as_json(rows, environment), path)  # each time: a stopped run keeps its rows
    except KeyboardInterrupt:
        interrupted = True
    print(text)
    for failure in failures:
        print("FAILED", failure)
    if interrupted:
        print(f"interrupted after {len(seconds)} of {len(progress.jobs)} cases, which are kept")
    print(f"{now() - began:.0f} s; written to {path}.json and .txt")
    return 130 if interrupted else 1 if failures else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="scenario, measurement or group")
    parser.add_argument("--variant", action="append", default=[], choices=VARIANTS, help="of the scenarios")
    parser.add_argument("--quick", action="store_true", help="fewer samples and cases")
    parser.add_argument("--control", action="store_true", help="JAX against itself")
    parser.add_argument("--list", action="store_true", help="show the names and leave")
    parser.add_argument("--fail", action="store_true", help="stop at the first case that raises")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the results")
    return parser


def _jobs(
    options: argparse.Namespace, sides: Sequence[Side], libraries: Sequence[Library], done: Sequence[Row]
) -> Iterator[Job]:
    """The selected work, as (name, function that returns rows). `done` will hold the rows of the jobs before."""
    plan = QUICK if options.quick else FULL
    scenarios = [name for name in SCENARIOS if name in options.only]
    measurements = [name for name in stages.MEASUREMENTS if name in options.only]

    def chosen(measurement: str) -> bool:
        if measurements:
            return measurement in measurements or (measurement == "trace" and "transform" in measurements)
        return measurement not in plan.left_out

    def transform_rows(scenario: str) -> list[Row]:
        return stages.transform_rows([row for row in done if row.scenario == scenario])

    if scenarios or measurements or not options.only:
        for name in scenarios or SCENARIOS:
            wanted = options.variant or plan.variants
            for variant in (variant for variant in SCENARIOS[name].variants if variant in wanted):
                yield (
                    f"{name} {variant}",
                    functools.partial(stages.rows, sides, libraries, name, variant, plan.effort, chosen),
                )
            if chosen("transform"):
                yield f"{name} transform", functools.partial(transform_rows, name)
    if "sizes" in options.only or not options.only:
        for entry in SCENARIOS.values():
            for number, size in enumerate(entry.sizes[: plan.sizes], 1):
                job = functools.partial(sizes.rows, sides, libraries, entry, size, plan.effort)
                yield f"{entry.name} size {number}", job
    # The control's memory test is short, for JAX takes a millisecond a call.
    counts = (2_000, 100) if options.control else (plan.unjitted_calls, plan.distinct_programs)
    groups: dict[str, Callable[[], Iterable[Row]]] = {
        "dispatch": lambda: calls.dispatch(sides, plan.effort),
        "smallest": lambda: calls.smallest_gradient(sides, plan.effort),
        "loops": lambda: calls.python_loops(sides, plan.effort),
        "newton": lambda: calls.newton(sides, plan.newton_effort),
        "nested": lambda: calls.nested_gradients(sides, plan.nested),
        "import": lambda: process.import_time("jax.experimental" if options.control else "functrans"),
        "control": lambda: control.rows(sides, plan.effort, not options.quick),
        "memory": lambda: process.memory("jax" if options.control else "functrans", *counts),
    }
    for group, job in groups.items():
        if group in options.only or not options.only:
            yield group, job


def _environment(
    options: argparse.Namespace,
    seconds: float,
    seconds_by_case: dict[str, float],
    failures: Sequence[str],
    missing: Sequence[str],
) -> dict[str, Any]:
    return {
        "command": "python -m benchmarks " + " ".join(sys.argv[1:]),
        "when": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seconds": seconds,
        "seconds by case": seconds_by_case,
        "python": platform.python_version(),
        "jax": jax.__version__,
        "jaxlib": jaxlib.__version__,
        "numpy": numpy.__version__,
        "machine": platform.machine(),
        "device": str(jax.devices()[0]),
        "cores": os.cpu_count(),
        "load at the end": os.getloadavg(),
        "control": options.control,
        "quick": options.quick,
        "left out": list(missing),
        "failures": list(failures),
    }


def _save(text: str, results: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    for suffix, content in ((".txt", text), (".json", json.dumps(results, indent=1))):
        path.with_name(path.name + suffix).write_text(content)


if __name__ == "__main__":
    sys.exit(main())
