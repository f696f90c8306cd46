"""Sparse Jacobians and Hessians against asdex: passes, the time to find pattern and colours, and that of evaluation."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy
import numpy

import functrans
import functrans.numpy
from benchmarks.cases import OURS, Case, Entry, Namespace
from benchmarks.jacobian_shapes import bundle
from benchmarks.scenario import normal
from benchmarks.timing import now
from functrans.jacobians.colouring import best, colour_star

ASDEX = "asdex"
asdex: Any = importlib.import_module(ASDEX) if importlib.util.find_spec(ASDEX) else None

Program = tuple[Callable[..., Any], Any]


def brusselator(n: int) -> Callable[[Namespace], Program]:
    """Two species on an n by n grid on a torus (Hairer and Wanner, "Solving Ordinary Differential Equations II")."""

    def build(np: Namespace) -> Program:
        def laplacian(u: Any) -> Any:
            return (np.roll(u, 1, 0) + np.roll(u, -1, 0) + np.roll(u, 1, 1) + np.roll(u, -1, 1) - 4 * u) * float(n * n)

        def f(state: Any) -> Any:
            u, v = np.reshape(state, (2, n, n))
            rates = 1 + u * u * v - 4.4 * u + 0.1 * laplacian(u), 3.4 * u - u * u * v + 0.1 * laplacian(v)
            return np.stack(rates).ravel()

        return f, normal(numpy.random.default_rng(11), 2 * n * n)

    return build


def rosenbrock(n: int) -> Callable[[Namespace], Program]:
    def build(np: Namespace) -> Program:
        f = lambda x: np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)
        return f, normal(numpy.random.default_rng(12), n)

    return build


def power_grid(n: int = 1000) -> Callable[[Namespace], Program]:
    """Mismatches of active and reactive power at n buses by angles and voltages: each line joins near neighbours."""

    def build(np: Namespace) -> Program:
        generator = numpy.random.default_rng(13)
        buses = numpy.arange(1, n)
        tree = numpy.stack([buses, numpy.maximum(0, buses - generator.integers(1, 12, n - 1))])
        extra = generator.integers(0, n - 12, n // 3)
        lines = numpy.concatenate([tree, numpy.stack([extra, extra + generator.integers(1, 12, n // 3)])], 1)
        start, end = numpy.concatenate([lines, lines[::-1]], 1)
        conductance, susceptance = generator.uniform(0.5, 2.0, (2, lines.shape[1])).astype(numpy.float32).repeat(2, 1)
        conductance, susceptance = (jax.device_put(x[: len(start)]) for x in (conductance, susceptance))

        def f(state: Any) -> Any:
            angle, voltage = state[:n], state[n:]
            turned, product = angle[start] - angle[end], voltage[start] * voltage[end]
            active = product * (conductance * np.cos(turned) + susceptance * np.sin(turned))
            reactive = product * (conductance * np.sin(turned) - susceptance * np.cos(turned))
            zeros = np.zeros(n, state.dtype)
            return np.concatenate([zeros.at[start].add(active), zeros.at[start].add(reactive)])

        angle, voltage = normal(generator, n, scale=0.1), 1 + normal(generator, n, scale=0.05)
        return f, numpy.concatenate([angle, voltage]).astype(numpy.float32)

    return build


def arrow(n: int = 1000) -> Callable[[Namespace], Program]:
    """Every output by the first input, the first output by every input, and a diagonal."""

    def build(np: Namespace) -> Program:
        def f(x: Any) -> Any:
            return np.concatenate([np.sum(x * x)[None], x[1:] * x[0] + np.sin(x[1:])])

        return f, normal(numpy.random.default_rng(14), n)

    return build


def tridiagonal(n: int) -> Callable[[Namespace], Program]:
    def build(np: Namespace) -> Program:
        def f(x: Any) -> Any:
            around = np.concatenate([np.zeros(1, x.dtype), x, np.zeros(1, x.dtype)])
            return (around[2:] - 2 * x + around[:-2]) * float(n) + np.sin(x)

        return f, normal(numpy.random.default_rng(15), n)

    return build


class Problem(NamedTuple):
    """``dense``: the ratio of the time of JAX's dense Jacobian that was promised; None: it is not feasible."""

    build: Callable[[Namespace], Program]
    hessian: bool = False
    dense: float | None = None
    peer: bool = True


PROBLEMS = {
    "Brusselator 32 x 32": Problem(brusselator(32), dense=1000.0),
    "Brusselator 64 x 64": Problem(brusselator(64)),
    "Hessian of Rosenbrock, 10,000": Problem(rosenbrock(10_000), hessian=True),
    "bundle adjustment": Problem(lambda np: bundle(np, None), dense=1.0),
    "power grid, 1,000 buses": Problem(power_grid(), dense=1.0),
    "arrow, 1,000": Problem(arrow(), dense=1.0),
    "three bands, 1,000,000": Problem(tridiagonal(1_000_000), peer=False),
}


class Preparation(NamedTuple):
    """Passes and seconds until the first evaluation can be compiled: ours and asdex's (None: not asked)."""

    problem: str
    entries: int
    passes: tuple[int, int | None]
    detection: float
    colouring: float
    theirs: float | None


def prepared(name: str, problem: Problem, repeats: int = 3) -> Preparation:
    f, x = problem.build(functrans.numpy)
    found: list[tuple[float, float]] = []
    for _ in range(repeats):
        functrans.clear_caches()
        start = now()
        pattern = functrans.sparsity(functrans.grad(f) if problem.hessian else f)(x)
        middle = now()
        colouring = colour_star(pattern) if problem.hessian else best(pattern)
        found.append((middle - start, now() - middle))
    theirs, passes = None, None
    if problem.peer and asdex is not None:
        g, _ = problem.build(jax.numpy)
        colour = asdex.hessian_coloring if problem.hessian else asdex.jacobian_coloring
        times = []
        for _ in range(repeats):
            jax.clear_caches()
            start = now()
            coloured = colour(g, x)
            times.append(now() - start)
        theirs, passes = min(times), int(coloured.num_colors)
    detection, own = min(found, key=sum)
    return Preparation(name, pattern.size, (colouring.columns + colouring.rows, passes), detection, own, theirs)


PREPARED = "problem", "entries", "passes: ours", "asdex", "pattern, ms", "colours, ms", "asdex / ours"


def preparations() -> Iterator[tuple[str, ...]]:
    """A row of the table for each problem."""
    for name, problem in PROBLEMS.items():
        p = prepared(name, problem)
        ours, theirs = p.passes
        ratio = "" if p.theirs is None else f"{p.theirs / (p.detection + p.colouring):.1f}"
        yield (
            name, f"{p.entries:,}", str(ours), "" if theirs is None else str(theirs), f"{p.detection * 1e3:.1f}",
            f"{p.colouring * 1e3:.1f}", ratio,
        )  # fmt: skip


def _entries(pattern: Any, dense: Any) -> Any:
    return numpy.asarray(dense)[pattern.rows, pattern.columns]


def _case(name: str, problem: Problem, peer: str, least: float) -> Case:
    def entries() -> dict[str, Entry]:
        (f, x), (g, _) = problem.build(functrans.numpy), problem.build(jax.numpy)
        take = functrans.sparse_hessian if problem.hessian else functrans.sparse_jacobian
        ours = Entry(lambda x: take(f)(x).data, (x,), functrans)
        if peer == ASDEX:
            colour, evaluate = (
                (asdex.hessian_coloring, asdex.hessian_from_coloring) if problem.hessian
                else (asdex.jacobian_coloring, asdex.jacobian_from_coloring)
            )  # fmt: skip
            own = evaluate(g, colour(g, x))
            theirs = Entry(lambda x: own(x).data, (x,), jax)
        else:
            theirs = Entry(jax.jacfwd(g), (x,), jax, lambda dense: _entries(functrans.sparsity(f)(x), dense))
        return {OURS: ours, peer: theirs}

    return Case(name, entries, least)


CASES = [
    *[_case(name, p, ASDEX, 1.0) for name, p in PROBLEMS.items() if p.peer and asdex is not None],
    *[_case(name, p, "JAX, jacfwd", p.dense) for name, p in PROBLEMS.items() if p.dense is not None],
]
