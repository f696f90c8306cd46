"""The way of a scenario to its result, stage by stage: trace, lower, compile, first result, steady run, un-jitted."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax

from benchmarks.libraries import Library
from benchmarks.report import Row
from benchmarks.scenarios import SCENARIOS, Scenario
from benchmarks.sides import Side
from benchmarks.timing import Effort, Repeated, Sampler, Samples, interleave, now, timed

MOST_EQUATIONS_TO_RUN = 1_000  # by JAX's count; longer programs are traced, transformed and lowered only

VARIANTS_OF_FIRST_RESULT = ("grad", "jacobian")  # the two measurements that compile everything on every sample
VARIANTS_OF_FIRST_CALL = ("grad", "jacobian")

MEASUREMENTS = (
    "trace",
    "transform",
    "lower",
    "trace + lower",
    "compile",
    "first result",
    "steady run",
    "un-jitted call",
    "plain call of f",
    "un-jitted first call",
)


def rows(
    sides: Sequence[Side],
    libraries: Sequence[Library],
    scenario: str,
    variant: str,
    effort: Effort,
    chosen: Callable[[str], bool],
) -> list[Row]:
    """All stages of one variant of one scenario. `chosen` says which measurements are wanted.

    The libraries take part in the un-jitted calls, in turns with the two sides.

    `f` itself is no transform: called without `jit` it runs operation by operation on either side, and is reported
    apart from the un-jitted calls, as "plain call of f".
    """
    entry = SCENARIOS[scenario]
    ours, yardstick = sides
    effort = dataclasses.replace(effort, least=min(effort.least, entry.samples), most=min(effort.most, entry.samples))
    measured: dict[str, dict[str, Samples]] = {}

    def measure(make_sampler: Callable[[Any], Sampler], warm_up: int = 1, others: Sequence[Library] = ()) -> None:
        measured.update(interleave({each.name: make_sampler(each) for each in (*sides, *others)}, effort, warm_up))

    equations = {side.name: side.equation_count(*side.variant(entry, variant)) for side in sides}
    runs = equations[yardstick.name] <= MOST_EQUATIONS_TO_RUN
    unjitted = "plain call of f" if variant == "f" else "un-jitted call"
    compiles = runs and chosen("compile")
    if compiles or any(chosen(name) for name in ("trace", "lower", "trace + lower")):
        measure(lambda side: _trace_lower_compile(side, entry, variant, compiles))
    if runs and chosen("steady run"):
        measure(lambda side: _steady_run(side, entry, variant))
    if runs and chosen(unjitted):
        able = [library for library in libraries if library.variant(entry, variant) is not None]
        measure(lambda each: _unjitted_call(each, entry, variant, unjitted), others=able)
    if runs and chosen("first result") and variant in VARIANTS_OF_FIRST_RESULT:
        measure(lambda side: _first_result(side, entry, variant), warm_up=0 if compiles else 1)
    if runs and chosen("un-jitted first call") and variant in VARIANTS_OF_FIRST_CALL:
        measure(lambda side: _unjitted_first_call(side, sides, entry, variant), warm_up=0)
    note = f"equations: {equations[ours.name]} / {equations[yardstick.name]}"
    return [
        Row(
            name,
            scenario,
            variant,
            samples.pop(ours.name),
            samples.pop(yardstick.name),
            note=note if name == "trace" else "",
            others=samples,
        )
        for name, samples in measured.items()
        if chosen(name)
    ]


def _trace_lower_compile(side: Side, scenario: Scenario, variant: str, compiles: bool) -> Sampler:
    def sample() -> dict[str, float]:
        side.forget()
        function, args = side.variant(scenario, variant)
        start = now()
        traced = side.trace(function, args)
        after_trace = now()
        lowered = side.lower(traced)
        after_lower = now()
        result = {
            "trace": after_trace - start,
            "lower": after_lower - after_trace,
            "trace + lower": after_lower - start,
        }
        if compiles:
            start = now()
            side.compile(lowered)
            result["compile"] = now() - start
        return result

    return sample


def _first_result(side: Side, scenario: Scenario, variant: str) -> Sampler:
    def sample() -> dict[str, float]:
        side.forget()
        function, args = side.variant(scenario, variant)
        return {"first result": timed(lambda: side.transforms.jit(function)(*args))}

    return sample


def _steady_run(side: Side, scenario: Scenario, variant: str) -> Sampler:
    function, args = side.variant(scenario, variant)
    jitted = side.transforms.jit(function)
    return Repeated("steady run", lambda: jitted(*args))


def _unjitted_call(side: Side | Library, scenario: Scenario, variant: str, measurement: str) -> Sampler:
    found = side.variant(scenario, variant)
    assert found is not None  # the caller asked
    function, args = found
    return Repeated(measurement, lambda: function(*args), warm_up=side.calls_until_warm)


def _unjitted_first_call(side: Side, sides: Sequence[Side], scenario: Scenario, variant: str) -> Sampler:
    def sample() -> dict[str, float]:
        function, args = side.variant(scenario, variant)
        jax.block_until_ready(args)
        for every_side in sides:  # both: one side's caches may hold what the other would use
            every_side.clear_caches()
        return {"un-jitted first call": timed(lambda: function(*args))}

    return sample


def transform_rows(traces: Sequence[Row]) -> list[Row]:
    """The cost of the transform alone: the trace of a variant less the median trace of `f`, within one scenario."""
    by_variant = {row.variant: row for row in traces if row.measurement == "trace"}
    plain = by_variant.pop("f", None)
    if plain is None:
        return []

    def less(samples: Samples | None, base: Samples | None) -> Samples | None:
        """None where nothing is left: a derivative that is traced as fast as its function has no cost to compare."""
        if samples is None or base is None or samples.median <= base.median:
            return None
        return Samples(tuple(max(value - base.median, 1e-9) for value in samples.values))

    found = []
    for row in by_variant.values():
        ours, theirs = less(row.ours, plain.ours), less(row.jax, plain.jax)
        if ours is not None or theirs is not None:
            found.append(Row("transform", row.scenario, row.variant, ours, theirs))
    return found
