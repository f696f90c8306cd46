"""Plans, remembered on the program that they are for, with the captured values that its pattern was detected for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from functrans.ir.program import Jaxpr
from functrans.ir.types import kind_of
from functrans.jacobians.compressed import places_in_passes
from functrans.jacobians.detection import Detected, detect
from functrans.jacobians.patterns import Pattern
from functrans.jacobians.planner import Plan, Question, plan, sparse_plan
from functrans.jacobians.sets import TooDense
from functrans.jaxlib_compat import configuration
from functrans.trace.tracer import Tracer

_KEPT = 8


class Reading:
    """The values that a pattern was made for: ``fits`` says whether others are equal where it matters."""

    __slots__ = ("objects", "values")

    def __init__(self, read: dict[int, bool], given: Sequence[Any]) -> None:
        self.objects = {place: given[place] for place in read}
        self.values = {place: (nonzero, _counted(given[place], nonzero)) for place, nonzero in read.items()}

    def fits(self, given: Sequence[Any]) -> bool:
        return all(self._same(place, given[place]) for place in self.values)

    def known(self) -> dict[int, Any]:
        """The values, by place, that count as they are."""
        return {place: value for place, (nonzero, value) in self.values.items() if not nonzero}

    def _same(self, place: int, x: Any) -> bool:
        if isinstance(x, jax.Array) and x is self.objects[place]:  # it cannot be written to
            return True
        nonzero, value = self.values[place]
        if x is None or type(x) is Tracer:
            return False
        found = _counted(x, nonzero)
        return np.array_equal(found, value, equal_nan=kind_of(found.dtype) in "fc")


def _counted(x: Any, nonzero: bool) -> Any:
    return np.asarray(x) != 0 if nonzero else np.array(x)


class Made:
    """A plan, and the arrays that its program takes besides the function's inputs. Compares by identity."""

    __slots__ = ("arrays", "columns", "indices", "plan", "reading")

    def __init__(self, plan: Plan, reading: Reading) -> None:
        self.plan = plan
        self.reading = reading
        self.arrays: list[Any] = []
        self.indices: Any = None
        self.columns: Any = None  # that of each row's entry, where each row has one
        if plan.colouring is not None:
            pattern = plan.pattern
            places = pattern.rows.astype(np.int64) * plan.inputs + pattern.columns
            if (np.diff(pattern.starts) == 1).all():
                self.columns = pattern.columns
            self.arrays = [jax.device_put(places_in_passes(plan.colouring)), _column(places)]
        if plan.sums is not None:
            self.arrays = [jax.device_put(x) for x in (plan.sums.first, plan.sums.to, plan.sums.more)]

    def read(self) -> dict[int, Any]:
        """The values, by place, of inputs of the program that the plan was made for."""
        return self.reading.known()

    def coordinates(self) -> Any:
        """``[entries, 2]``: row and column of each, on the default device."""
        if self.indices is None:
            pattern = self.plan.pattern
            self.indices = jax.device_put(np.stack([pattern.rows, pattern.columns], 1))
        return self.indices


def _column(numbers: Any) -> Any:
    """``[n, 1]`` on the default device; int32 where that holds them."""
    fits = not numbers.size or numbers.max() < 2**31
    return jax.device_put(np.asarray(numbers, np.int32 if fits else np.int64)[:, None])


def detected(
    jaxpr: Jaxpr, wrt: Sequence[bool], first: int, given: Sequence[Any], limit: int | None = None
) -> tuple[Detected, Reading]:
    """The pattern, and the values that it holds for. Remembered on the program."""
    context = ("patterns", tuple(wrt), first, limit, configuration.trace_context())
    known: list[tuple[Detected, Reading]] = jaxpr.remember(context, list)
    for found, reading in known:
        if reading.fits(given):
            return found, reading
    found = detect(jaxpr, wrt, first, given, limit)
    reading = Reading(found.read, given)
    known.append((found, reading))
    del known[:-_KEPT]
    return found, reading


def coloured(
    jaxpr: Jaxpr, wrt: tuple[bool, ...], first: int, given: Sequence[Any], symmetric: bool, mode: str | None,
    pattern: Pattern | None, chunk_size: int | None, name: str,
) -> Made:  # fmt: skip
    """The plan for the entries of a sparse Jacobian, whose pattern is detected unless it is given."""
    context = ("coloured", wrt, first, symmetric, mode, pattern, chunk_size, configuration.trace_context())
    known: list[Made] = jaxpr.remember(context, list)
    for made in known:
        if made.reading.fits(given):
            return made
    reading = Reading({}, given)
    question = Question(jaxpr, wrt, first, symmetric, None)
    if pattern is None:
        found, reading = detected(jaxpr, wrt, first, given)
        pattern = found.pattern
    made = Made(sparse_plan(question, pattern, mode, chunk_size, name, reading.known()), reading)
    known.append(made)
    del known[:-_KEPT]
    return made


def planned(
    jaxpr: Jaxpr, wrt: tuple[bool, ...], first: int, given: Sequence[Any], symmetric: bool, memory: int | None,
    chunk_size: int | None, name: str,
) -> Made:  # fmt: skip
    """The plan for a Jacobian, the same object for programs of one structure and values that count the same."""
    context = ("plans", wrt, first, symmetric, memory, chunk_size, configuration.trace_context())
    known: list[Made] = jaxpr.remember(context, list)
    for made in known:
        if made.reading.fits(given):
            return made
    readings = [Reading({}, given)]

    def pattern(limit: int) -> tuple[Any, str]:
        try:
            found, reading = detected(jaxpr, wrt, first, given, limit)
        except TooDense:
            return None, "more entries than colouring pays for"
        readings.append(reading)
        return found.pattern, ""

    real = all(kind_of(t.dtype) != "c" for t in (*jaxpr.in_types, *jaxpr.out_types))
    question = Question(jaxpr, wrt, first, symmetric, pattern if real else None)
    made = Made(plan(question, memory, chunk_size, name), readings[-1])
    known.append(made)
    del known[:-_KEPT]
    return made
