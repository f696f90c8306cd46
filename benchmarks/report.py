"""Rows, the stated targets, the table and the JSON file."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.timing import Samples


@dataclass(frozen=True)
class Row:
    """One measurement of one case on both sides. `ours` or `jax` is None where a side has nothing to measure.

    `others` holds what further libraries took, by their names.
    """

    measurement: str
    scenario: str
    variant: str
    ours: Samples | None
    jax: Samples | None
    unit: str = "s"
    note: str = ""
    others: Mapping[str, Samples] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        """JAX / ours: above one, functrans is the better."""
        if self.ours is None or self.jax is None or not self.ours.median or not self.jax.median:
            return None
        return self.jax.median / self.ours.median

    def ratio_of(self, library: str) -> float | None:
        """The library's time / ours; None where it has none."""
        if self.ours is None or library not in self.others or not self.ours.median:
            return None
        return self.others[library].median / self.ours.median

    @property
    def within_spread(self) -> bool:
        """Whether the boxes between the quartiles of both sides overlap."""
        if self.ours is None or self.jax is None:
            return False
        (our_low, our_high), (jax_low, jax_high) = self.ours.quartiles, self.jax.quartiles
        return our_low <= jax_high and jax_low <= our_high


@dataclass(frozen=True)
class Target:
    """What was promised for a measurement: least ratios JAX / ours, or a most for our own figure."""

    text: str
    overall: float | None = None  # of the geometric mean over all rows
    scenario: float | None = None  # of the geometric mean over a scenario's rows
    row: float | None = None  # of every row
    ours_at_most: float | None = None  # of our median, in the unit of the row
    spread_counts_as_equal: bool = False


PARITY = 1 / 1.05

TARGETS = {
    "trace + lower": Target("10x faster on geometric mean, each scenario 4x", overall=10.0, scenario=4.0),
    "un-jitted call": Target("each scenario 10x faster", scenario=10.0),
    "un-jitted first call": Target("never slower than 2x JAX", row=0.5),
    "first call on a new trip count": Target("never slower than 2x JAX", row=0.5),
    "un-jitted grad(x*x + x)(3.0)": Target("under 40 us", ours_at_most=40e-6),
    "python runs of the function per call": Target("exactly 1", ours_at_most=1.0),
    "dispatch": Target("within 1.05x", row=PARITY, spread_counts_as_equal=True),
    "compile": Target("within 1.05x per scenario", scenario=PARITY, spread_counts_as_equal=True),
    "steady run": Target("within 1.05x per scenario", scenario=PARITY, spread_counts_as_equal=True),
    "temporaries of a compiled gradient": Target("never more than JAX, to a thousandth", row=0.999),
    "compile of a loop's gradient": Target("within 1.05x", scenario=PARITY, spread_counts_as_equal=True),
    "run of a loop's gradient": Target("within 1.05x", scenario=PARITY, spread_counts_as_equal=True),
    "batched cond": Target("faster than JAX, one lane of 256 at most 10 ms", row=1.0),
    "batched while_loop": Target("linear in the size of the array", row=1.0),
    "equations of nested grad": Target("never more than JAX", row=1.0),
    "import on top of import jax": Target("at most 50 ms", ours_at_most=50e-3),
    "growth of memory": Target("flat: at most 2 MB in the second half", ours_at_most=2.0),
    "programs compiled by 19 further trip counts": Target(
        "O(1): at most half as many as trip counts", ours_at_most=9.5
    ),
}


def verdict(row: Row) -> str:
    """'met', 'missed', or '' where the target says nothing about single rows."""
    target = TARGETS.get(row.measurement)
    if target is None:
        return ""
    if target.ours_at_most is not None and row.ours is not None:
        return "met" if row.ours.median <= target.ours_at_most else "MISSED"
    if target.row is not None and row.ratio is not None:
        if row.ratio >= target.row:
            return "met"
        return "met (within spread)" if target.spread_counts_as_equal and row.within_spread else "MISSED"
    return ""


def geometric_mean(ratios: Iterable[float]) -> float:
    logarithms = [math.log(ratio) for ratio in ratios]
    return math.exp(sum(logarithms) / len(logarithms))


@dataclass(frozen=True)
class Summary:
    """Geometric mean of a measurement over a scenario, or over everything (`scenario` is 'all')."""

    measurement: str
    scenario: str
    ratio: float
    worst: float
    rows: int
    verdict: str


def summaries(rows: Sequence[Row]) -> list[Summary]:
    """By measurement: one summary a scenario where a target speaks of scenarios, and one over all rows."""
    result = []
    for measurement in dict.fromkeys(row.measurement for row in rows):
        chosen = [row for row in rows if row.measurement == measurement and row.ratio is not None]
        if not chosen:
            continue
        target = TARGETS.get(measurement, Target(""))
        if target.scenario is not None:
            for scenario in dict.fromkeys(row.scenario for row in chosen):
                members = [row for row in chosen if row.scenario == scenario]
                equal = target.spread_counts_as_equal and all(
                    row.within_spread or (row.ratio or 0.0) >= target.scenario for row in members
                )
                result.append(_summary(measurement, scenario, members, target.scenario, equal))
        result.append(_summary(measurement, "all", chosen, target.overall, False))
        for name in dict.fromkeys(name for row in chosen for name in row.others):
            ratios = [ratio for row in chosen if (ratio := row.ratio_of(name)) is not None]
            mean = geometric_mean(ratios)
            result.append(Summary(measurement, f"all, {name} for jax", mean, min(ratios), len(ratios), ""))
    return result


def _summary(measurement: str, scenario: str, rows: Sequence[Row], least: float | None, equal: bool) -> Summary:
    ratios = [row.ratio for row in rows if row.ratio is not None]
    mean = geometric_mean(ratios)
    if least is None:
        text = ""
    elif mean >= least:
        text = "met"
    else:
        text = "met (within spread)" if equal else "MISSED"
    return Summary(measurement, scenario, mean, min(ratios), len(ratios), text)


def quantity(value: float, unit: str) -> str:
    """A figure with three digits in the size of unit that suits it."""
    if unit != "s":
        return f"{value:,.0f}" if unit == "" else f"{value:,.2f} {unit}"
    for factor, name in ((1e-6, "us"), (1e-3, "ms")):
        if value < 1000 * factor:
            return f"{value / factor:#.3g} {name}".replace(". ", " ")
    return f"{value:#.3g} s"


def _cell(samples: Samples | None, unit: str) -> str:
    if samples is None:
        return "-"
    low, high = samples.quartiles
    if low == high:
        return quantity(samples.median, unit)
    return f"{quantity(samples.median, unit)} [{quantity(low, unit)}, {quantity(high, unit)}]"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}x" if value < 100 else f"{value:.0f}x"


def table(rows: Sequence[Row], ours: str = "functrans", yardstick: str = "jax") -> str:
    """The readable report: every row by measurement, then the geometric means with the targets."""
    lines: list[str] = []
    for measurement in dict.fromkeys(row.measurement for row in rows):
        target = TARGETS.get(measurement)
        lines += ["", measurement + (f"   (target: {target.text})" if target else ""), ""]
        others = list(dict.fromkeys(name for row in rows if row.measurement == measurement for name in row.others))
        head = ("case", f"{ours} [quartiles]", f"{yardstick} [quartiles]", f"{yardstick}/{ours}")
        cells: list[tuple[str, ...]] = [(*head, *[f"{name}/{ours}" for name in others], "")]
        for row in rows:
            if row.measurement == measurement:
                case = f"{row.scenario} {row.variant}".strip()
                remark = "; ".join(text for text in (verdict(row), row.note) if text)
                measured = (case, _cell(row.ours, row.unit), _cell(row.jax, row.unit), _ratio(row.ratio))
                cells.append((*measured, *[_ratio(row.ratio_of(name)) for name in others], remark))
        lines += _aligned(cells)
    found = summaries(rows)
    if found:
        lines += ["", f"Geometric means of {yardstick}/{ours} (above 1: {ours} is the better)", ""]
        cells5 = [("measurement", "scenario", "mean", "worst row", "rows", "target")]
        for summary in found:
            target = TARGETS.get(summary.measurement)
            remark = f"{summary.verdict}: {target.text}" if summary.verdict and target else ""
            mean, worst = _ratio(summary.ratio), _ratio(summary.worst)
            cells5.append((summary.measurement, summary.scenario, mean, worst, str(summary.rows), remark))
        lines += _aligned(cells5)
    return "\n".join(lines).strip("\n") + "\n"


def _aligned(cells: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    lines = [
        "  " + "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in cells
    ]
    return [lines[0], "  " + "-" * (len(lines[0]) - 2), *lines[1:]]


def as_json(rows: Sequence[Row], environment: dict[str, Any]) -> dict[str, Any]:
    return {
        "environment": environment,
        "targets": {name: target.text for name, target in TARGETS.items()},
        "rows": [
            {
                "measurement": row.measurement,
                "scenario": row.scenario,
                "variant": row.variant,
                "unit": row.unit,
                "ours": row.ours.as_json() if row.ours else None,
                "jax": row.jax.as_json() if row.jax else None,
                "others": {name: samples.as_json() for name, samples in row.others.items()},
                "ratio": row.ratio,
                "verdict": verdict(row),
                "note": row.note,
            }
            for row in rows
        ],
        "summaries": [vars(summary) for summary in summaries(rows)],
    }
