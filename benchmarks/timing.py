"""Interleaved timing: both sides take turns in one run, after a warm-up, and report medians with quartiles."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy

Sampler = Callable[[], dict[str, float]]  # one sample: seconds by measurement


@dataclass(frozen=True)
class Effort:
    """How many samples: at least `least`, then more until `seconds` are spent or `most` are taken.

    After `patience` seconds three are enough: a case that takes a side seconds must not cost the others their time.
    """

    least: int
    most: int
    seconds: float
    patience: float = float("inf")

    def wants_more(self, taken: int, elapsed: float) -> bool:
        if taken < self.least:
            return taken < min(3, self.least) or elapsed < self.patience
        return taken < self.most and elapsed < self.seconds


@dataclass(frozen=True)
class Samples:
    """What one side took for one measurement, in seconds (or a count, for measurements that count)."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return float(numpy.median(self.values))

    @property
    def quartiles(self) -> tuple[float, float]:
        low, high = numpy.percentile(self.values, (25, 75))
        return float(low), float(high)

    def as_json(self) -> dict[str, Any]:
        return {"median": self.median, "quartiles": self.quartiles, "samples": list(self.values)}


def now() -> float:
    return time.perf_counter_ns() * 1e-9


def timed(call: Callable[[], Any]) -> float:
    """Seconds until the result of `call` is there."""
    start = now()
    jax.block_until_ready(call())
    return now() - start


def interleave(samplers: Mapping[str, Sampler], effort: Effort, warm_up: int = 1) -> dict[str, dict[str, Samples]]:
    """Samples by measurement and side; sides alternate A B, B A, A B ... so that drift of the machine hits both.

    Garbage collection stays on, as in a user's program, but what exists after the warm-up is exempt and every sample
    starts collected: a side pays for its own garbage only.
    """
    for _ in range(warm_up):
        for sampler in samplers.values():
            sampler()
    collected: dict[str, dict[str, list[float]]] = {}
    gc.collect()
    gc.freeze()
    try:
        began, rounds, order = now(), 0, list(samplers)
        while effort.wants_more(rounds, now() - began):
            for side in order:
                gc.collect()
                for measurement, seconds in samplers[side]().items():
                    collected.setdefault(measurement, {}).setdefault(side, []).append(seconds)
            order.reverse()
            rounds += 1
    finally:
        gc.unfreeze()
    return {
        measurement: {side: Samples(tuple(values)) for side, values in sides.items()}
        for measurement, sides in collected.items()
    }


class Repeated:
    """A sampler that repeats a short call until a sample lasts `seconds`, and reports the time of one call.

    `block` waits for every result (a run); without it only for the last (dispatch, which is asynchronous).
    `warm_up` calls come before the first sample.
    """

    def __init__(
        self,
        measurement: str,
        call: Callable[[], Any],
        *,
        seconds: float = 2e-3,
        block: bool = True,
        warm_up: int = 1,
    ) -> None:
        self.measurement, self.call, self.seconds, self.block, self.warm_up = measurement, call, seconds, block, warm_up
        self.repeats = 0

    def __call__(self) -> dict[str, float]:
        if not self.repeats:
            self._elapsed(self.warm_up)
            self.repeats = max(1, min(10_000, int(self.seconds / max(self._elapsed(3) / 3, 1e-8))))
        return {self.measurement: self._elapsed(self.repeats) / self.repeats}

    def _elapsed(self, repeats: int) -> float:
        call, wait = self.call, jax.block_until_ready
        start = now()
        if self.block:
            for _ in range(repeats):
                wait(call())
        else:
            for _ in range(repeats):
                result = call()
            wait(result)
        return now() - start
