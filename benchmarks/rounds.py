"""Programs of n rounds, written out by a Python loop, and loops that end by their values: what `unrolled` measures.

`build(np, lax, n)` returns `(f, args)`, written once for JAX and functrans, as in `scenarios`; `f` has n rounds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy

from benchmarks.namespaces import gradient_in
from benchmarks.nested import PLACE, VELOCITY, potential, squared_crossing

Namespace = Any
Build = Callable[[Namespace, Namespace, int], tuple[Callable[..., Any], tuple[Any, ...]]]

UNROLLED: dict[str, tuple[Build, int]] = {}  # name -> (program, its shortest length)


def _from(rounds: int) -> Callable[[Build], Build]:
    def register(build: Build) -> Build:
        UNROLLED[build.__name__] = build, rounds
        return build

    return register


@_from(20)
def newton(np: Namespace, lax: Namespace, n: int) -> Any:
    """Newton's iteration for a root of a cubic."""

    def f(a: Any) -> Any:
        x = a
        for _ in range(n):
            x = x - (x * x * x - 2.0 * x - a) / (3.0 * x * x - 2.0)
        return x

    return f, (numpy.float32(5.0),)


@_from(20)
def secant(np: Namespace, lax: Namespace, n: int) -> Any:
    """The secant method for a root of x**3 - x - a, damped, so that two points never meet."""

    def f(a: Any) -> Any:
        def value(x: Any) -> Any:
            return x * x * x - x - a

        x, y = a, a + 1.0
        for _ in range(n):
            x, y = y, y - 0.1 * value(y) * (y - x) / (value(y) - value(x) + 0.01)
        return y

    return f, (numpy.float32(2.0),)


@_from(20)
def continued_fraction(np: Namespace, lax: Namespace, n: int) -> Any:
    """A continued fraction of a vector of 1,000."""

    def f(a: Any) -> Any:
        x = a
        for k in range(n):
            x = a + (k + 1.0) / (1.0 + x)
        return np.sum(x)

    return f, (numpy.linspace(0.5, 2.0, 1_000, dtype=numpy.float32),)


@_from(10)
def runge_kutta(np: Namespace, lax: Namespace, n: int) -> Any:
    """Runge-Kutta of order four on a damped pendulum, angle and speed as two scalars."""

    def slope(q: Any, p: Any) -> Any:
        return p, -np.sin(q) - 0.1 * p

    def f(q: Any) -> Any:
        p, h = 0.1 * q, 0.01
        for _ in range(n):
            a, b = slope(q, p)
            c, d = slope(q + h / 2 * a, p + h / 2 * b)
            e, g = slope(q + h / 2 * c, p + h / 2 * d)
            i, j = slope(q + h * e, p + h * g)
            q = q + h / 6 * (a + 2.0 * c + 2.0 * e + i)
            p = p + h / 6 * (b + 2.0 * d + 2.0 * g + j)
        return q * q + p * p

    return f, (numpy.float32(1.0),)


def _lorenz(n: int, mark: Callable[[Any], Any]) -> Any:
    def f(start: Any) -> Any:
        x, y, z, h = start[0], start[1], start[2], 0.01
        for k in range(n):
            x, y, z = x + h * 10.0 * (y - x), y + h * (x * (28.0 - z) - y), z + h * (x * y - 8.0 / 3.0 * z)
            if k % 3 == 2:
                x, y, z = mark((x, y, z))
        return x + y + z

    return f, (numpy.ones(3, numpy.float32),)


@_from(20)
def lorenz(np: Namespace, lax: Namespace, n: int) -> Any:
    """Euler steps of the Lorenz system: products and sums of three scalars."""
    return _lorenz(n, lambda state: state)


def lorenz_by_hand(np: Namespace, lax: Namespace, n: int) -> Any:
    """The same with a barrier at every third step."""
    return _lorenz(n, lax.optimization_barrier)


@_from(5)
def n_body(np: Namespace, lax: Namespace, n: int) -> Any:
    """Leapfrog steps of eight bodies under gravity."""
    random = numpy.random.default_rng(0)

    def f(x: Any, v: Any, m: Any) -> Any:
        def pull(x: Any) -> Any:
            d = x[None] - x[:, None]
            r = np.sum(d * d, axis=-1) + 0.1
            return np.sum(m[None, :, None] * d / (r * np.sqrt(r))[..., None], axis=1)

        for _ in range(n):
            v = v + 0.005 * pull(x)
            x = x + 0.01 * v
            v = v + 0.005 * pull(x)
        return np.sum(x * x) + np.sum(v * v)

    x, v = random.normal(size=(2, 8, 3)).astype(numpy.float32)
    return f, (x, v, numpy.ones(8, numpy.float32))


def _heat(np: Namespace, n: int, mark: Callable[[Any], Any]) -> Any:
    def f(u: Any) -> Any:
        for _ in range(n):
            around = np.roll(u, 1, 0) + np.roll(u, -1, 0) + np.roll(u, 1, 1) + np.roll(u, -1, 1)
            u = mark(u + 0.1 * (around - 4.0 * u) / (1.0 + u * u))
        return np.sum(u * u)

    return f, (numpy.random.default_rng(0).normal(size=(64, 64)).astype(numpy.float32),)


@_from(20)
def heat(np: Namespace, lax: Namespace, n: int) -> Any:
    """A nonlinear heat equation on a grid of 64 x 64."""
    return _heat(np, n, lambda u: u)


def heat_by_hand(np: Namespace, lax: Namespace, n: int) -> Any:
    """The same with a barrier at each step."""
    return _heat(np, n, lax.optimization_barrier)


@_from(10)
def recurrent_network(np: Namespace, lax: Namespace, n: int) -> Any:
    """A recurrent network of 32 units, batch of 8."""
    random = numpy.random.default_rng(0)

    def f(w: Any, u: Any, xs: Any) -> Any:
        h = np.zeros((8, 32), numpy.float32)
        for k in range(n):
            h = np.tanh(h @ w + xs[k] @ u)
        return np.sum(h * h)

    w, u, xs = (random.normal(size=shape).astype(numpy.float32) * 0.2 for shape in ((32, 32), (16, 32), (n, 8, 16)))
    return f, (w, u, xs)


@_from(5)
def kalman(np: Namespace, lax: Namespace, n: int) -> Any:
    """A Kalman filter of four states and two measurements."""
    random = numpy.random.default_rng(0)

    def f(transition: Any, measurement: Any, observations: Any) -> Any:
        mean, covariance = np.zeros(4, numpy.float32), np.eye(4, dtype=numpy.float32)
        total = 0.0
        for k in range(n):
            mean = transition @ mean
            covariance = transition @ covariance @ transition.T + 0.1 * np.eye(4, dtype=numpy.float32)
            spread = measurement @ covariance @ measurement.T + np.eye(2, dtype=numpy.float32)
            determinant = spread[0, 0] * spread[1, 1] - spread[0, 1] * spread[1, 0]
            rows = [np.stack([spread[1, 1], -spread[0, 1]]), np.stack([-spread[1, 0], spread[0, 0]])]
            inverse = np.stack(rows) / determinant
            gain = covariance @ measurement.T @ inverse
            residual = observations[k] - measurement @ mean
            total = total + residual @ inverse @ residual + np.log(determinant)
            mean, covariance = mean + gain @ residual, covariance - gain @ measurement @ covariance
        return total

    transition = (numpy.eye(4) + 0.03 * random.normal(size=(4, 4))).astype(numpy.float32)
    measurement, observations = (random.normal(size=shape).astype(numpy.float32) for shape in ((2, 4), (n, 2)))
    return f, (transition, measurement, observations)


@_from(10)
def rosenbrock(np: Namespace, lax: Namespace, n: int) -> Any:
    """Gradient descent, written by hand, on Rosenbrock's function of two scalars."""

    def f(x: Any) -> Any:
        y = 0.5 * x
        for _ in range(n):
            e = y - x * x
            x, y = x + 0.001 * (400.0 * x * e + 2.0 * (1.0 - x)), y - 0.001 * 200.0 * e
        return (1.0 - x) ** 2 + 100.0 * (y - x * x) ** 2

    return f, (numpy.float32(0.3),)


@_from(100)
def unrolled_scan(np: Namespace, lax: Namespace, n: int) -> Any:
    """A scan over n steps of two scalars, unrolled whole, all states in the loss."""

    def f(a: Any, xs: Any) -> Any:
        def step(c: Any, x: Any) -> Any:
            p, q = c
            p, q = p + 0.1 * np.sin(q) * x, q - 0.1 * a * p
            return (p, q), p * q

        (p, q), ys = lax.scan(step, (a, 0.5 * a), xs, unroll=n)
        return p * q + np.sum(ys)

    return f, (numpy.float32(0.7), numpy.linspace(0.0, 1.0, n, dtype=numpy.float32))


def random_scalars(seed: int) -> Build:
    """The program of random operations on scalars with this seed."""

    def build(np: Namespace, lax: Namespace, n: int) -> Any:
        """n random operations on scalars, divisions among them, each on two of the latest six."""
        random = numpy.random.default_rng(seed)
        choices = [(*random.integers(0, 6, 2), random.integers(0, 6)) for _ in range(n)]

        def f(a: Any) -> Any:
            values = [a, 1.1 * a, a + 0.5, a * a, 1.0 / a, np.sin(a)]
            for i, j, kind in choices:
                x, y = values[-1 - i], values[-1 - j]
                values.append(
                    np.sin(x) + y if kind == 0 else 0.5 * (x + y) if kind == 1 else x / (1.5 + y * y) if kind == 2
                    else np.tanh(x * y) if kind == 3 else (x - y) * 0.7 if kind == 4 else x * np.cos(y)
                )  # fmt: skip
            return sum(values[-6:])

        return f, (numpy.float32(0.8),)

    return build


RANDOM = {f"random_scalars_{seed}": random_scalars(seed) for seed in range(20)}
RANDOM_LENGTHS = 40, 160
HAND_PLACED = {"lorenz_by_hand": lorenz_by_hand, "heat_by_hand": heat_by_hand}


# -- forward mode through loops that end by their values: the n-th derivative ------------------------------------------

FORWARD: dict[str, Build] = {}


def _forward(build: Build) -> Build:
    FORWARD[build.__name__] = build
    return build


@_forward
def particle_path(np: Namespace, lax: Namespace, _: int) -> Any:
    """Where a particle between two charges crosses the axis (see `nested`), squared, by the place of one charge."""

    def f(w: Any) -> Any:
        def step(state: Any) -> Any:
            place, velocity = state
            slope = gradient_in(np)(lambda x: potential(np, x, w))(place)
            return place + 0.1 * velocity, velocity - 0.1 * slope

        start = np.asarray(PLACE, dtype=numpy.float32), np.asarray(VELOCITY, dtype=numpy.float32)
        return squared_crossing(np, *lax.while_loop(lambda s: s[0][1] + 0.1 * s[1][1] > 0.0, step, start))

    return f, (numpy.float32(0.5),)


@_forward
def root_by_newton(np: Namespace, lax: Namespace, _: int) -> Any:
    """Newton's iteration for a root of a cubic, until a step is small."""

    def f(a: Any) -> Any:
        def step(state: Any) -> Any:
            x, _ = state
            new = x - (x * x * x - 2.0 * x - a) / (3.0 * x * x - 2.0)
            return new, np.abs(new - x)

        return lax.while_loop(lambda s: s[1] > 1e-3, step, (a, np.ones_like(a)))[0]

    return f, (numpy.float32(5.0),)


@_forward
def kepler(np: Namespace, lax: Namespace, _: int) -> Any:
    """Kepler's equation for 1,000 anomalies, by the eccentricity: until all steps are small."""
    mean = numpy.linspace(0.1, 3.0, 1_000, dtype=numpy.float32)

    def f(e: Any) -> Any:
        def step(state: Any) -> Any:
            x, _ = state
            new = x - (x - e * np.sin(x) - mean) / (1.0 - e * np.cos(x))
            return new, np.max(np.abs(new - x))

        return np.sum(lax.while_loop(lambda s: s[1] > 1e-3, step, (np.asarray(mean), np.ones_like(e)))[0])

    return f, (numpy.float32(0.4),)


@_forward
def pendulum(np: Namespace, lax: Namespace, _: int) -> Any:
    """The time until a damped pendulum hangs down, by how it was held and pushed: steps of Euler's method."""

    def f(start: Any) -> Any:
        def step(state: Any) -> Any:
            q, p, t = state
            return q + 0.01 * p, p - 0.01 * (np.sin(q) + 0.1 * p), t + 0.01

        q, p, t = lax.while_loop(lambda s: s[0] > 0.0, step, (start[0], start[1], 0.0 * start[0]))
        return t - q / p

    return f, (numpy.asarray([1.0, 0.5], numpy.float32),)


@_forward
def power_iteration(np: Namespace, lax: Namespace, _: int) -> Any:
    """The largest eigenvalue of a matrix of 16 rows, by 4 of its entries."""
    random = numpy.random.default_rng(0)
    symmetric = random.normal(size=(16, 16)).astype(numpy.float32)
    symmetric = symmetric @ symmetric.T

    def f(entries: Any) -> Any:
        matrix = symmetric + np.diag(np.concatenate([entries, np.zeros(12, numpy.float32)]))

        def step(state: Any) -> Any:
            x, size, _ = state
            y = matrix @ x
            new = np.sqrt(np.sum(y * y))
            return y / new, new, np.abs(new - size)

        start = np.ones(16, numpy.float32) / 4.0, np.float32(0.0), np.float32(1.0)
        return lax.while_loop(lambda s: s[2] > 1e-2, step, start)[1]

    return f, (numpy.zeros(4, numpy.float32),)


@_forward
def attention_to_a_fixed_point(np: Namespace, lax: Namespace, _: int) -> Any:
    """A layer applied until it changes nothing, by a factor: 8 rows of 32 numbers, tanh and a softmax."""
    random = numpy.random.default_rng(0)
    weight, x = (0.3 * random.normal(size=shape).astype(numpy.float32) for shape in ((32, 32), (8, 32)))

    def f(scale: Any) -> Any:
        def step(state: Any) -> Any:
            h, _ = state
            scores = h @ h.T
            scores = np.exp(scores - np.max(scores, axis=1, keepdims=True))
            new = np.tanh(scale * (scores / np.sum(scores, axis=1, keepdims=True)) @ h @ weight + x)
            return new, np.max(np.abs(new - h))

        return np.sum(lax.while_loop(lambda s: s[1] > 1e-2, step, (np.zeros_like(x), np.ones_like(scale)))[0] ** 2)

    return f, (numpy.float32(0.7),)
