"""Costs of calling: dispatch of `jit`, the smallest un-jitted gradient, Python loops, and how nested grad grows."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy

from benchmarks.report import Row
from benchmarks.sides import Side
from benchmarks.timing import Effort, Repeated, Sampler, Samples, interleave, timed

NEWTON_TRIP_COUNTS = 20


def _row(measurement: str, case: str, sides: Sequence[Side], samples: dict[str, Samples], **rest: Any) -> Row:
    ours, yardstick = (side.name for side in sides)
    return Row(measurement, case, "", samples.get(ours), samples.get(yardstick), **rest)


def dispatch(sides: Sequence[Side], effort: Effort) -> Iterator[Row]:
    """A jitted function of 1, 10 and 100 leaves that adds one to each: jax.Arrays, NumPy arrays, Python scalars."""
    kinds: dict[str, Callable[[int], Any]] = {
        "jax.Array": lambda index: jax.device_put(numpy.full(4, index, numpy.float32)),
        "numpy.ndarray": lambda index: numpy.full(4, index, numpy.float32),
        "Python float": float,
    }
    for kind, make in kinds.items():
        for count in (1, 10, 100):
            leaves = [make(index) for index in range(count)]

            def sampler(side: Side, leaves: list[Any] = leaves) -> Sampler:
                jitted = side.transforms.jit(lambda values: [value + 1 for value in values])
                return Repeated("dispatch", lambda: jitted(leaves), block=False)

            samples = interleave({side.name: sampler(side) for side in sides}, effort, warm_up=3)
            yield _row("dispatch", f"{count} x {kind}", sides, samples["dispatch"])


def smallest_gradient(sides: Sequence[Side], effort: Effort) -> Iterator[Row]:
    """`grad(lambda x: x * x + x)(3.0)` un-jitted, a new lambda each time; and how often Python ran it per call."""
    name = "un-jitted grad(x*x + x)(3.0)"
    samples = interleave(
        {
            side.name: Repeated(name, lambda grad=side.transforms.grad: grad(lambda x: x * x + x)(3.0))  # type: ignore[misc]
            for side in sides
        },
        effort,
    )
    yield _row(name, "", sides, samples[name])
    counts = {}
    for side in sides:
        runs = 0

        def counted(x: Any) -> Any:
            nonlocal runs
            runs += 1
            return x * x + x

        for _ in range(10):
            side.transforms.grad(counted)(3.0)
        counts[side.name] = Samples((runs / 10,))
    yield _row("python runs of the function per call", "", sides, counts, unit="")


def python_loops(sides: Sequence[Side], effort: Effort) -> Iterator[Row]:
    """The first un-jitted gradient of a Python loop that runs a number of times it never ran before."""
    name = "first call on a new trip count"
    for case, value in (("scalar", numpy.float32(0.5)), ("matrix", numpy.full((32, 32), 0.5, numpy.float32))):
        trip_counts = list(range(30, 90))
        random.Random(0).shuffle(trip_counts)

        def sampler(side: Side, value: Any = value, trip_counts: list[int] = trip_counts) -> Sampler:
            np, remaining = side.namespace, iter(trip_counts)
            x = jax.device_put(value)

            def sample() -> dict[str, float]:
                steps = next(remaining)

                def f(y: Any) -> Any:
                    for _ in range(steps):
                        y = np.sin(y) * 0.9 + y * y * 0.1
                    return np.sum(y)

                return {name: timed(lambda: side.transforms.grad(f)(x))}

            return sample

        fewer = Effort(effort.least, min(effort.most, 50), effort.seconds)
        samples = interleave({side.name: sampler(side) for side in sides}, fewer)
        yield _row(name, case, sides, samples[name])


def newton(sides: Sequence[Side], effort: Effort) -> Iterator[Row]:
    """A damped Newton iteration for a square root, left by a `while` on the value, under un-jitted grad.

    Twenty arguments make it run 20 different numbers of times, around 100. Reports the time of the first and of the
    19 others with empty caches at the start, and the number of programs compiled.
    """
    first, others = "Newton while: first trip count", "Newton while: 19 further trip counts"
    first_compiles = "programs compiled by the first trip count"
    other_compiles = "programs compiled by 19 further trip counts"
    # One iteration removes a tenth of the error, so that starts a factor 1/0.9 apart differ by one iteration.
    # Shuffled, for sorted ones would make each count the longest so far.
    arguments = [jax.device_put(numpy.float32(1.0 + 0.9**-power)) for power in range(6, 6 + NEWTON_TRIP_COUNTS)]
    random.Random(0).shuffle(arguments)
    seen: set[int] = set()
    curves: dict[str, list[int]] = {}

    def sampler(side: Side) -> Sampler:
        def square_root(a: Any) -> Any:
            x, trips = a, 0
            while abs(x * x - a) > 1e-3:
                x = x - 0.1 * (x * x - a) / (2.0 * x)
                trips += 1
            seen.add(trips)
            return x

        def sample() -> dict[str, float]:
            for every_side in sides:
                every_side.clear_caches()
            gradient = side.transforms.grad(square_root)
            counts = [side.compile_count()]
            first_time = timed(lambda: gradient(arguments[0]))
            counts.append(side.compile_count())
            others_time = 0.0
            for argument in arguments[1:]:
                others_time += timed(lambda argument=argument: gradient(argument))  # type: ignore[misc]
                counts.append(side.compile_count())
            curves[side.name] = [count - counts[0] for count in counts[1:]]
            return {
                first: first_time,
                others: others_time,
                first_compiles: counts[1] - counts[0],
                other_compiles: counts[-1] - counts[1],
            }

        return sample

    measured = interleave({side.name: sampler(side) for side in sides}, effort, warm_up=0)
    for name, samples in measured.items():
        note = f"{len(seen)} trip counts, {min(seen)} to {max(seen)}"
        if name == other_compiles:
            note = f"{sides[0].name}, in total after each: {' '.join(map(str, curves[sides[0].name]))}"
        yield _row(name, "", sides, samples, unit="" if "compiled" in name else "s", note=note)


def nested_gradients(sides: Sequence[Side], deepest: int) -> Iterator[Row]:
    """Equations of grad nested once to `deepest` times on tanh(x) sin(x^2) + exp(-x) / (1 + x^2)."""
    x = jax.device_put(numpy.float32(0.7))
    for depth in range(1, deepest + 1):
        counts = {}
        for side in sides:
            np = side.namespace

            def function(value: Any, np: Any = np) -> Any:
                return np.tanh(value) * np.sin(value * value) + np.exp(-value) / (1 + value * value)

            nested: Callable[..., Any] = function
            for _ in range(depth):
                nested = side.transforms.grad(nested)
            counts[side.name] = Samples((float(side.equation_count(nested, (x,))),))
        yield _row("equations of nested grad", f"depth {depth}", sides, counts, unit="")
