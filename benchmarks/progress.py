"""What a run shows while it lasts: the case, how many there are, the time gone and an estimate of the time left."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TextIO

from benchmarks.timing import now

GUESSES = {
    "transform": 0.0,
    "f": 2.0,
    "grad": 6.0,
    "vmap(grad)": 8.0,
    "jacobian": 8.0,
    "hvp": 14.0,
    "hessian": 14.0,
}  # seconds
OTHERWISE = 5.0


def guessed(name: str, known: Mapping[str, float]) -> float:
    """Seconds for a case: what it took before, or what cases of its variant take about."""
    return known.get(name, GUESSES.get(name.split()[-1], OTHERWISE))


def clock(seconds: float) -> str:
    """125 -> '2:05'."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"


class Progress:
    """Yields named jobs and reports on them; on a terminal in one line that it keeps overwriting.

    The estimate scales what the remaining cases are expected to take by how this run compares with what was expected so
    far: a busy machine shows.
    """

    def __init__(
        self, jobs: Sequence[tuple[str, Any]], known: Mapping[str, float], stream: TextIO = sys.stderr
    ) -> None:
        self.jobs, self.stream = jobs, stream
        self.expected = [guessed(name, known) for name, _ in jobs]
        self.terminal = stream.isatty()

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        began = now()
        for index, (name, job) in enumerate(self.jobs):
            self._show(index, name, now() - began)
            yield name, job
        if self.terminal:
            self.stream.write("\r\x1b[K")

    def remaining(self, done: int, gone: float) -> float:
        """Seconds left after `done` jobs, which took `gone` seconds in all."""
        before = sum(self.expected[:done])
        pace = gone / before if before else 1.0
        return pace * sum(self.expected[done:])

    def _show(self, index: int, name: str, gone: float) -> None:
        left = clock(self.remaining(index, gone))
        line = f"{index + 1}/{len(self.jobs)}  {clock(gone)} gone, about {left} left  {name}"
        self.stream.write(f"\r\x1b[K{line}" if self.terminal else line + "\n")
        self.stream.flush()


def known_seconds(results: Iterable[Mapping[str, Any]], quick: bool) -> dict[str, float]:
    """Seconds by case of earlier runs of the same mode, the later ones counting."""
    known: dict[str, float] = {}
    for result in results:
        environment = result["environment"]
        if environment["quick"] == quick and not environment["control"]:
            known.update(environment["seconds by case"])
    return known
