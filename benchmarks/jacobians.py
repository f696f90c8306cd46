"""Jacobians and Hessians against their peers: compiled run, temporaries and compile time, a table for each section.

    batched     a Jacobian in every lane: bundle adjustment, hand tracking, networks, cameras, steps of an ODE
    random      the same of random small functions of products, sums, indexing and elementwise operations
    sparse      entries, passes and preparation of sparse Jacobians and Hessians, against asdex
    shapes      a planned Jacobian against every mode that a user may choose

python -m benchmarks jacobians                                     about ten minutes on two quiet cores
python -m benchmarks jacobians --section batched --only hand
python -m benchmarks jacobians --control                           JAX on both sides: what noise makes of the ratios
python -m benchmarks jacobians --write docs/jacobians.md           and the tables of the page

All sides of a case are jitted functions of arrays on the device. They take turns in samples of several milliseconds,
each of many calls that are waited for; a ratio is that of one turn, and the figure is the median of the ratios with its
bootstrap interval of 95 %.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy

from benchmarks import batched, jacobian_shapes, random_batched, sparse_jacobians
from benchmarks.cases import OURS, Case
from benchmarks.timing import Effort, Repeated, Sampler, interleave, now

RUN = Effort(25, 151, 2.0, patience=20.0)
COMPILE = Effort(5, 15, 3.0, patience=10.0)
SAMPLE = 6e-3  # seconds, at least
RESAMPLES = 2_000


class Section(NamedTuple):
    """What one table shows."""

    about: str
    cases: Sequence[Case]


SECTIONS = {
    "batched": Section(batched.__doc__ or "", batched.CASES),
    "random": Section("", random_batched.CASES),
    "shapes": Section(jacobian_shapes.__doc__ or "", jacobian_shapes.CASES),
    "sparse": Section(sparse_jacobians.__doc__ or "", sparse_jacobians.CASES),
}


class Ratio(NamedTuple):
    """The median of the ratios peer / ours, and the bounds of its 95 % interval."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} [{self.low:.2f}, {self.high:.2f}]"


class Row(NamedTuple):
    """A case against one peer. Times in seconds, temporaries in bytes; ratios above 1: ours is the better."""

    case: str
    peer: str
    least: float  # the ratio of run times that was promised
    run: Ratio
    compiling: Ratio
    temporaries: tuple[int, int]  # ours, theirs
    ours: tuple[float, float]  # run, compile
    difference: float  # of the results, relative to the largest

    @property
    def falls_short(self) -> bool:
        """Whether the run's whole interval lies below what was promised, or we take more memory."""
        return self.run.high < self.least or self.temporaries[0] > self.temporaries[1]


def ratio(theirs: Sequence[float], ours: Sequence[float]) -> Ratio:
    """Median and 95 % interval of the ratios of samples taken in turns, by resampling the turns (Efron 1979)."""
    ratios = numpy.asarray(theirs) / numpy.asarray(ours)
    chosen = numpy.random.default_rng(0).integers(0, len(ratios), (RESAMPLES, len(ratios)))
    low, high = numpy.percentile(numpy.median(ratios[chosen], axis=1), (2.5, 97.5))
    return Ratio(float(numpy.median(ratios)), float(low), float(high))


def measured(case: Case) -> list[Row]:
    """A row for each peer."""
    names = list(case.entries())
    compiling = interleave({name: _compiling(case, name) for name in names}, COMPILE)["compile"]
    entries = case.entries()
    args = {name: jax.device_put(entry.args) for name, entry in entries.items()}
    jitted = {name: entry.transforms.jit(entry.function) for name, entry in entries.items()}
    results = {name: jax.tree.leaves(entries[name].compared(jitted[name](*args[name]))) for name in names}
    temporaries = {
        name: int(jitted[name].lower(*args[name]).compile().memory_analysis().temp_size_in_bytes) for name in names
    }
    calls: dict[str, Sampler] = {
        name: Repeated("run", lambda name=name: jitted[name](*args[name]), seconds=SAMPLE)  # type: ignore[misc]
        for name in names
    }
    running = interleave(calls, RUN)["run"]
    return [
        Row(
            case.name,
            name,
            case.least,
            ratio(running[name].values, running[OURS].values),
            ratio(compiling[name].values, compiling[OURS].values),
            (temporaries[OURS], temporaries[name]),
            (running[OURS].median, compiling[OURS].median),
            _difference(results[name], results[OURS]),
        )
        for name in names
        if name != OURS
    ]


def _compiling(case: Case, name: str) -> Sampler:
    """From the lowered program to the executable, nothing remembered."""

    def sample() -> dict[str, float]:
        entry = case.entries()[name]
        args = jax.device_put(entry.args)
        entry.transforms.clear_caches()
        lowered = entry.transforms.jit(entry.function).lower(*args)
        start = now()
        lowered.compile()
        return {"compile": now() - start}

    return sample


def _difference(found: Sequence[Any], expected: Sequence[Any]) -> float:
    pairs = [(numpy.asarray(a), numpy.asarray(b)) for a, b in zip(found, expected, strict=True)]
    return max(
        (float(numpy.max(numpy.abs(a - b)) / (numpy.max(numpy.abs(b)) + 1e-30)) for a, b in pairs if b.size),
        default=0.0,
    )


HEAD = (
    "case", "against", "run", "promised", "compile", "temporaries, kB: ours", "theirs", "ours: run, µs", "compile, s",
    "differ by",
)  # fmt: skip


def cells(row: Row) -> tuple[str, ...]:
    return (
        row.case,
        row.peer,
        f"**{row.run}**" if row.falls_short else str(row.run),
        f"{row.least:g}",
        str(row.compiling),
        *[f"{size / 1e3:,.1f}" for size in row.temporaries],
        f"{row.ours[0] * 1e6:,.1f}",
        f"{row.ours[1]:.2f}",
        f"{row.difference:.0e}",
    )


def table(rows: Sequence[Row]) -> str:
    """Ratios peer / ours, losses first."""
    ordered = sorted(rows, key=lambda row: row.run.median / row.least)
    lines = [HEAD, ("---",) * len(HEAD), *[cells(row) for row in ordered]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def run(section: str, only: Sequence[str], control: bool) -> Iterator[Row]:
    for case in SECTIONS[section].cases:
        if only and not any(word in case.name for word in only):
            continue
        for row in measured(case.against_itself() if control else case):
            print("  ".join(cells(row)), flush=True)
            yield row


def write(path: Path, section: str, text: str) -> None:
    """Put a section's table in place of the one that the page has between the section's marks."""
    begin, end = f"<!-- figures: {section} -->", "<!-- end of figures -->"
    page, count = re.subn(
        f"{begin}.*?{end}",
        lambda _: f"{begin}\n{text}\n{end}",
        path.read_text(encoding="utf-8"),
        flags=re.DOTALL,
    )
    if not count:
        raise ValueError(f"{path} has no place for the figures of section {section}: a line {begin}, and {end}")
    path.write_text(page, encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks jacobians", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--section", action="append", choices=SECTIONS, help="a table; all by default")
    parser.add_argument("--only", action="append", default=[], metavar="WORD", help="cases whose name has this word")
    parser.add_argument("--control", action="store_true", help="JAX against itself")
    parser.add_argument("--write", type=Path, help="a page whose tables between the marks are replaced")
    options = parser.parse_args(arguments)
    jax.config.update("jax_enable_compilation_cache", False)
    for section in options.section or SECTIONS:
        print(f"{section}: peer / ours, medians with 95 % intervals", flush=True)
        text = table(list(run(section, options.only, options.control)))
        print(f"\n{text}\n")
        if section == "sparse":
            rows = [sparse_jacobians.PREPARED, ("---",) * len(sparse_jacobians.PREPARED)]
            rows += list(sparse_jacobians.preparations())
            text += "\n\n" + "\n".join("| " + " | ".join(row) + " |" for row in rows)
            print(f"\n{text}\n")
        if options.write is not None:
            write(options.write, section, text)
    return 0
