"""Python loops under `jit`: gradients of programs that repeat themselves, at one, two and four times a length.

`build(np, lax, n)` returns `(f, args)`, written once for JAX and functrans, as in `scenarios`; `f` has n rounds. The
compiler fuses what is cheap into each place that reads it, and a round reads the one before more than once: unless
somebody bounds it, the code, the time to compile it or the time to run it grows with the square of n or doubles with
each round. So each side compiles and runs in a process of its own that is ended after a time limit.

python -m benchmarks.unrolled                          every program, both sides, about an hour
python -m benchmarks.unrolled --only lorenz --limit 60
python -m benchmarks.unrolled --side functrans --rounds 4
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy

Namespace = Any
Build = Callable[[Namespace, Namespace, int], tuple[Callable[..., Any], tuple[Any, ...]]]

UNROLLED: dict[str, tuple[Build, int]] = {}  # name -> (program, its shortest length)
LIMIT = 100.0  # seconds for trace, compilation and runs
HAND_PLACED = "lorenz", "heat"


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


@_from(4)
def random_scalars(np: Namespace, lax: Namespace, n: int) -> Any:
    """Ten n random operations on scalars, divisions among them, each on two of the latest six."""
    random = numpy.random.default_rng(n)
    choices = [(*random.integers(0, 6, 2), random.integers(0, 6)) for _ in range(10 * n)]

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


def measured(side: str, name: str, n: int) -> dict[str, Any]:
    """Trace, lower, compile and run the gradient in this process."""
    import jax

    from benchmarks.sides import FunctransSide, JaxSide

    chosen = FunctransSide() if side == "functrans" else JaxSide()
    build = globals()[name]
    f, args = build(chosen.namespace, chosen.transforms.lax, n)
    args = jax.device_put(args)
    gradient = chosen.transforms.grad(f)
    start = time.perf_counter()
    lowered = chosen.transforms.jit(gradient).lower(*args)
    middle = time.perf_counter()
    cpu = time.process_time()
    compiled = lowered.compile()
    end, cpu = time.perf_counter(), time.process_time() - cpu
    text = compiled.as_text()
    found: dict[str, Any] = {
        "trace": middle - start, "compile": end - middle, "cpu": cpu, "hlo": text.count("\n"),
        "kernels": text[text.index("\nENTRY ") :].count("\n"),
    }  # fmt: skip
    print(json.dumps(found), flush=True)  # in case it never ends
    result = jax.block_until_ready(compiled(*args))
    once = time.perf_counter()
    jax.block_until_ready(compiled(*args))
    once = time.perf_counter() - once
    calls = max(1, min(200, int(0.005 / once)))
    samples = []
    for _ in range(60 if once < 0.1 else 1):
        start = time.perf_counter()
        for _ in range(calls):
            jax.block_until_ready(compiled(*args))
        samples.append((time.perf_counter() - start) / calls)
    found["run"] = min(samples)
    found["value"] = float(numpy.asarray(jax.tree_util.tree_leaves(result)[0]).ravel()[0])
    return found


def in_a_process(side: str, name: str, n: int, limit: float) -> dict[str, Any]:
    """What a fresh process measures before the limit; the rest is left out."""
    command = [sys.executable, "-m", "benchmarks.unrolled", "--one", side, name, str(n)]
    try:
        text = subprocess.run(command, capture_output=True, text=True, timeout=limit).stdout
    except subprocess.TimeoutExpired as error:
        text = (error.stdout or b"").decode()
    lines = text.strip().splitlines()
    return json.loads(lines[-1]) if lines else {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", help="a program, or part of its name")
    parser.add_argument("--side", action="append", choices=["functrans", "jax"])
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds for one measurement")
    parser.add_argument("--rounds", type=int, action="append", help="rounds instead of once, twice and four times")
    parser.add_argument("--json", help="where to write the results")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        side, name, n = options.one
        print(json.dumps(measured(side, name, int(n))))
        return
    results = {}
    for name, (_, least) in UNROLLED.items():
        if options.only and not any(part in name for part in options.only):
            continue
        for n in options.rounds or (least, 2 * least, 4 * least):
            for side in options.side or ("functrans", "jax"):
                found = results[f"{name} {n} {side}"] = in_a_process(side, name, n, options.limit)
                numbers = [
                    f"{found[key]:10.{digits}f}" if key in found else " " * 9 + "-"
                    for key, digits in (("trace", 3), ("compile", 3), ("hlo", 0), ("kernels", 0))
                ]
                run = f"{1e6 * found['run']:12.1f}" if "run" in found else " " * 11 + "-"
                print(f"{name:20}{n:5} {side:10}", *numbers, run, found.get("value", ""), flush=True)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
