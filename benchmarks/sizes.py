"""ADBench's figure: what the derivative of a problem costs in evaluations of the problem itself, size by size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.libraries import Library
from benchmarks.report import Row
from benchmarks.scenarios import Scenario
from benchmarks.sides import Function, Side
from benchmarks.timing import Effort, Repeated, Sampler, interleave

MEASUREMENT = "derivative over function"


def rows(
    sides: Sequence[Side], libraries: Sequence[Library], scenario: Scenario, size: dict[str, int], effort: Effort
) -> Iterator[Row]:
    """Run time of the gradient (or Jacobian) divided by that of the function; compiled but for the libraries."""
    entry = scenario.sized(size)
    samplers: dict[str, Sampler] = {}
    for side in sides:
        samplers[side.name] = _quotient(*(_jitted(side, entry, variant) for variant in ("f", scenario.derivative)))
    for library in libraries:
        function, derivative = (library.variant(entry, variant) for variant in ("f", scenario.derivative))
        if function is not None and derivative is not None:
            samplers[library.name] = _quotient(function, derivative)
    samples = interleave(samplers, effort)[MEASUREMENT]
    case = ", ".join(f"{count:,} {what}" for what, count in size.items())
    ours, yardstick = (samples.pop(side.name) for side in sides)
    yield Row(MEASUREMENT, scenario.name, case, ours, yardstick, unit="x", others=samples)


def _jitted(side: Side, scenario: Scenario, variant: str) -> tuple[Function, tuple[Any, ...]]:
    function, args = side.variant(scenario, variant)
    return side.transforms.jit(function), args


def _quotient(function: tuple[Function, tuple[Any, ...]], derivative: tuple[Function, tuple[Any, ...]]) -> Sampler:
    """Both timed in turns in every sample, and the least of each taken: a machine is only ever too slow."""
    timings = [Repeated("run", lambda call=call, args=args: call(*args)) for call, args in (function, derivative)]  # type: ignore[misc]

    def sample() -> dict[str, float]:
        turns = [[timing()["run"] for timing in timings] for _ in range(3)]
        of_function, of_derivative = (min(times) for times in zip(*turns, strict=True))
        return {MEASUREMENT: of_derivative / of_function}

    return sample
