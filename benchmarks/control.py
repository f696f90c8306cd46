"""Compiled control flow: gradients of scans, checkpoints, and branches and loops that differ from lane to lane.

`build(np, lax, checkpoint)` returns `(f, args)`, written once for JAX and functrans, as in `scenarios`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy

from benchmarks.report import Row
from benchmarks.sides import Side
from benchmarks.timing import Effort, Repeated, Sampler, Samples, interleave, now

Namespace = Any
Build = Callable[[Namespace, Namespace, Any], tuple[Callable[..., Any], tuple[Any, ...]]]

SCANS: dict[str, Build] = {}
CHECKPOINTS: dict[str, Build] = {}


def _in(table: dict[str, Build]) -> Callable[[Build], Build]:
    def register(build: Build) -> Build:
        table[build.__name__] = build
        return build

    return register


def _normal(seed: int, *shape: int, scale: float = 0.1) -> numpy.ndarray:
    return (scale * numpy.random.default_rng(seed).standard_normal(shape)).astype(numpy.float32)


@_in(SCANS)
def recurrent_network(np: Namespace, lax: Namespace, _: Any) -> Any:
    """A recurrent network of 64 units over 200 steps, batch of 32, all states in the loss."""

    def f(parameters: Any, inputs: Any) -> Any:
        recurrent, from_input, bias = parameters

        def step(state: Any, x: Any) -> Any:
            state = np.tanh(state @ recurrent + x @ from_input + bias)
            return state, state

        _, states = lax.scan(step, np.zeros((32, 64), numpy.float32), inputs)
        return np.sum(states**2)

    return f, ((_normal(0, 64, 64), _normal(1, 16, 64), _normal(2, 64)), _normal(3, 200, 32, 16))


@_in(SCANS)
def lstm(np: Namespace, lax: Namespace, _: Any) -> Any:
    """A long short-term memory of 64 units over 200 steps, batch of 32."""

    def sigmoid(x: Any) -> Any:
        return 1.0 / (1.0 + np.exp(-x))

    def f(parameters: Any, inputs: Any) -> Any:
        recurrent, from_input, bias = parameters

        def step(carry: Any, x: Any) -> Any:
            state, memory = carry
            gates = state @ recurrent + x @ from_input + bias
            first, second, third, fourth = (gates[:, 64 * k : 64 * k + 64] for k in range(4))
            memory = sigmoid(first) * memory + sigmoid(second) * np.tanh(third)
            state = sigmoid(fourth) * np.tanh(memory)
            return (state, memory), state

        zeros = np.zeros((32, 64), numpy.float32)
        _, states = lax.scan(step, (zeros, zeros), inputs)
        return np.sum(states**2)

    return f, ((_normal(0, 64, 256), _normal(1, 16, 256), _normal(2, 256)), _normal(3, 200, 32, 16))


@_in(SCANS)
def differential_equation(np: Namespace, lax: Namespace, _: Any) -> Any:
    """200 steps of Runge-Kutta of order four with a small network as right-hand side."""

    def f(parameters: Any, start: Any) -> Any:
        first, second = parameters

        def slope(y: Any) -> Any:
            return np.tanh(y @ first) @ second

        def step(y: Any, _: Any) -> Any:
            h = 0.01
            a = slope(y)
            b = slope(y + h / 2 * a)
            c = slope(y + h / 2 * b)
            d = slope(y + h * c)
            return y + h / 6 * (a + 2 * b + 2 * c + d), None

        y, _ = lax.scan(step, start, None, length=200)
        return np.sum(y**2)

    return f, ((_normal(0, 32, 64), _normal(1, 64, 32)), _normal(2, 16, 32))


@_in(SCANS)
def kalman_filter(np: Namespace, lax: Namespace, _: Any) -> Any:
    """The likelihood of 500 observations under a Kalman filter of four states and two measurements."""

    def f(parameters: Any, observations: Any) -> Any:
        transition, noise, measurement, error = parameters

        def step(carry: Any, observed: Any) -> Any:
            mean, covariance, likelihood = carry
            mean = transition @ mean
            covariance = transition @ covariance @ transition.T + noise @ noise.T
            spread = measurement @ covariance @ measurement.T + error @ error.T + np.eye(2, dtype=numpy.float32)
            determinant = spread[0, 0] * spread[1, 1] - spread[0, 1] * spread[1, 0]
            rows = [np.stack([spread[1, 1], -spread[0, 1]]), np.stack([-spread[1, 0], spread[0, 0]])]
            inverse = np.stack(rows) / determinant
            gain = covariance @ measurement.T @ inverse
            residual = observed - measurement @ mean
            likelihood = likelihood - 0.5 * (residual @ inverse @ residual + np.log(determinant))
            return (mean + gain @ residual, covariance - gain @ measurement @ covariance, likelihood), mean

        start = (np.zeros(4, numpy.float32), np.eye(4, dtype=numpy.float32), np.float32(0.0))
        return lax.scan(step, start, observations)[0][2]

    transition = numpy.eye(4, dtype=numpy.float32) + _normal(0, 4, 4, scale=0.03)
    return f, ((transition, _normal(1, 4, 4), _normal(2, 2, 4), _normal(3, 2, 2)), _normal(4, 500, 2, scale=1.0))


@_in(SCANS)
def hidden_markov_model(np: Namespace, lax: Namespace, _: Any) -> Any:
    """The likelihood of 400 observations under a hidden Markov model of 32 states and 50 symbols."""

    def log_sum(x: Any, axis: int) -> Any:
        largest = np.max(x, axis=axis, keepdims=True)
        return np.log(np.sum(np.exp(x - largest), axis=axis, keepdims=True)) + largest

    def f(parameters: Any, observations: Any) -> Any:
        transition, emission, start = parameters
        transition = transition - log_sum(transition, 1)
        emission = emission - log_sum(emission, 1)

        def step(forward: Any, observed: Any) -> Any:
            return log_sum(forward[:, None] + transition, 0)[0] + emission[:, observed], None

        first = start - log_sum(start, 0) + emission[:, observations[0]]
        return log_sum(lax.scan(step, first, observations[1:])[0], 0)[0]

    symbols = numpy.random.default_rng(3).integers(0, 50, 400).astype(numpy.int32)
    return f, ((_normal(0, 32, 32), _normal(1, 32, 50), _normal(2, 32)), symbols)


@_in(CHECKPOINTS)
def layers(np: Namespace, lax: Namespace, checkpoint: Any) -> Any:
    """24 checkpointed residual layers of width 128 on 1024 rows, each two products."""
    layer = checkpoint(lambda w, x: x + np.tanh(np.tanh(x @ w) @ w))

    def f(weights: Any, x: Any) -> Any:
        for w in weights:
            x = layer(w, x)
        return np.sum(x * x)

    return f, ([_normal(k, 128, 128) for k in range(24)], _normal(99, 1024, 128, scale=1.0))


@_in(CHECKPOINTS)
def scanned_layers(np: Namespace, lax: Namespace, checkpoint: Any) -> Any:
    """The same in a scan over the stacked weights."""
    layer = checkpoint(lambda w, x: x + np.tanh(np.tanh(x @ w) @ w))

    def f(weights: Any, x: Any) -> Any:
        return np.sum(lax.scan(lambda x, w: (layer(w, x), None), x, weights)[0] ** 2)

    return f, (numpy.stack([_normal(k, 128, 128) for k in range(24)]), _normal(99, 1024, 128, scale=1.0))


LANES = 256


def heavy_branch(np: Namespace, lax: Namespace, _: Any) -> Any:
    """A branch of fifty products with a matrix of 300 x 300, in 256 lanes; the predicate says which take it."""

    def heavy(w: Any, x: Any) -> Any:
        for _ in range(50):
            x = np.tanh(x @ w)
        return x

    def f(predicate: Any, w: Any, x: Any) -> Any:
        return lax.cond(predicate, heavy, lambda w, x: x * 2.0, w, x)

    return f, (_normal(0, 300, 300, scale=0.06), _normal(1, LANES, 300, scale=1.0))


def update_in_place(np: Namespace, lax: Namespace, _: Any) -> Any:
    """Two lanes that write an array of 10,000 elements, an element a step."""
    size = 10_000

    def f(start: Any, x: Any) -> Any:
        return lax.while_loop(lambda c: c[0] < size, lambda c: (c[0] + 1, c[1].at[c[0]].set(1.0)), (start, x))[1]

    return f, (numpy.asarray([0, 5_000], numpy.int32), numpy.zeros((2, size), numpy.float32))


def built(build: Build, side: Side) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    return build(side.namespace, side.transforms.lax, side.transforms.checkpoint)


def rows(sides: Sequence[Side], effort: Effort) -> Iterator[Row]:
    """Every measurement of compiled control flow."""
    for name, build in {**SCANS, **CHECKPOINTS}.items():
        yield from _gradient(sides, effort, name, build)
    for count in (0, 1, LANES):
        taken = numpy.arange(LANES) % LANES < count
        calls = {}
        for side in sides:
            f, args = built(heavy_branch, side)
            calls[side.name] = _call(side, side.transforms.vmap(f, in_axes=(0, None, 0)), (taken, *args))
        yield from _run(sides, effort, "batched cond", f"{count} of {LANES} lanes take the branch", calls)
    calls = {}
    for side in sides:
        f, args = built(update_in_place, side)
        calls[side.name] = _call(side, side.transforms.vmap(f), args)
    yield from _run(sides, effort, "batched while_loop", "update in place", calls)


def _gradient(sides: Sequence[Side], effort: Effort, name: str, build: Build) -> Iterator[Row]:
    compiling: dict[str, Sampler] = {}
    calls: dict[str, Callable[[], Any]] = {}
    memory: dict[str, Samples] = {}
    for side in sides:
        f, args = built(build, side)
        gradient, args = side.transforms.grad(f), jax.device_put(args)
        executable = side.transforms.jit(gradient).lower(*args).compile()
        memory[side.name] = Samples((executable.memory_analysis().temp_size_in_bytes / 1e3,))
        compiling[side.name] = _compile(side, gradient, args)
        calls[side.name] = _call(side, gradient, args)
    yield _row("temporaries of a compiled gradient", name, sides, memory, "kB")
    times = interleave(compiling, Effort(min(effort.least, 3), min(effort.most, 3), 0.0), warm_up=0)
    yield _row("compile of a loop's gradient", name, sides, times["compile"])
    yield from _run(sides, effort, "run of a loop's gradient", name, calls)


def _compile(side: Side, function: Callable[..., Any], args: tuple[Any, ...]) -> Sampler:
    def sample() -> dict[str, float]:
        side.forget()
        lowered = side.lower(side.trace(lambda *xs: function(*xs), args))
        start = now()
        side.compile(lowered)
        return {"compile": now() - start}

    return sample


def _call(side: Side, function: Callable[..., Any], args: tuple[Any, ...]) -> Callable[[], Any]:
    jitted, args = side.transforms.jit(function), jax.device_put(args)
    return lambda: jitted(*args)


def _run(
    sides: Sequence[Side], effort: Effort, measurement: str, case: str, calls: dict[str, Callable[[], Any]]
) -> Iterator[Row]:
    samplers: dict[str, Sampler] = {side.name: Repeated(measurement, calls[side.name]) for side in sides}
    yield _row(measurement, case, sides, interleave(samplers, effort)[measurement])


def _row(measurement: str, case: str, sides: Sequence[Side], samples: dict[str, Samples], unit: str = "s") -> Row:
    ours, yardstick = sides
    return Row(measurement, case, "", samples[ours.name], samples[yardstick.name], unit)
