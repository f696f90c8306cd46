"""Higher derivatives and differential operators against those who do them best: JAX (nested transforms and
`jax.experimental.jet`), and, where they are installed, folx (forward Laplacian), and PyTorch's torch.func and HIPS
autograd, which compile nothing.

python -m benchmarks derivatives                                   a few minutes on two quiet cores
python -m benchmarks derivatives --only laplacian
python -m benchmarks derivatives --write docs/higher_orders.md     and the tables of the page
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import math
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy
from jax.experimental.jet import jet

import functrans
import functrans.numpy as fnp
from benchmarks.timing import Effort, interleave, now, timed
from functrans.derivatives import biharmonic, derivatives, laplacian

BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"
EFFORT = Effort(5, 15, 1.0, patience=8.0)
POINT = 0.7


EAGER = "HIPS autograd", "torch.func"


class Case(NamedTuple):
    """``build``: fresh functions of one argument by the name of who computes them, ours under "functrans"."""

    name: str
    build: Callable[[], dict[str, Callable[[Any], Any]]]
    argument: Any
    equations: bool = False


class Figures(NamedTuple):
    compile: float  # seconds, trace and lowering included
    run: float  # seconds
    memory: float | None  # megabytes of temporaries
    equations: int | None


def scalar_function(numpy_: Any) -> Callable[[Any], Any]:
    return lambda x: numpy_.tanh(x) * numpy_.sin(x * x) + numpy_.exp(-x) / (1 + x * x)


def nested(function: Callable[[Any], Any], order: int, grad: Any) -> Callable[[Any], Any]:
    for _ in range(order):
        function = grad(function)
    return function


def jet_of(order: int, all_of_them: bool) -> Callable[[Any], Any]:
    def evaluate(x: Any) -> Any:
        value, found = jet(scalar_function(jnp), (x,), ([1.0, *[0.0] * (order - 1)],))
        return [value, *found] if all_of_them else found[-1]

    return evaluate


def nth_derivative(order: int) -> dict[str, Callable[[Any], Any]]:
    sides = {"functrans": nested(scalar_function(fnp), order, functrans.grad), "jet": jet_of(order, False)}
    if order <= 5:  # the eighth takes JAX a quarter of a minute
        sides["nested jax.grad"] = nested(scalar_function(jnp), order, jax.grad)
        autograd, autograd_numpy = installed("autograd"), installed("autograd.numpy")
        if autograd is not None and autograd_numpy is not None:
            sides["HIPS autograd"] = nested(scalar_function(autograd_numpy), order, autograd.grad)
        torch = installed("torch")
        if torch is not None:
            derivative = nested(scalar_function(torch), order, installed("torch.func").grad)  # type: ignore[union-attr]
            sides["torch.func"] = lambda x: derivative(torch.tensor(x, dtype=torch.float32))
    return sides


def installed(module: str) -> Any:
    """The module, or None."""
    try:
        return importlib.import_module(module)
    except ImportError:
        return None


def all_derivatives(order: int) -> dict[str, Callable[[Any], Any]]:
    return {"functrans": derivatives(scalar_function(fnp), order), "jet": jet_of(order, True)}


def layers(sizes: Sequence[int]) -> list[tuple[Any, Any]]:
    random = numpy.random.default_rng(0)
    return [
        ((random.normal(size=(a, b)) / numpy.sqrt(a)).astype(numpy.float32), 0.1 * numpy.ones(b, numpy.float32))
        for a, b in itertools.pairwise(sizes)
    ]


def network(numpy_: Any, weights: Any, activation: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def apply(x: Any) -> Any:
        for w, b in weights[:-1]:
            x = activation(x @ w + b)
        w, b = weights[-1]
        return (x @ w + b).sum()

    return apply


def folx_laplacian(threshold: int) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]] | None:
    folx = installed("folx")
    if folx is None:
        return None

    def operator(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        applied = folx.ForwardLaplacianOperator(threshold)(function)
        return lambda x: applied(x)[0]

    return operator


def trace_of_hessian(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda x: jnp.trace(jax.hessian(lambda v: function(v.reshape(x.shape)))(x.reshape(-1)))


def laplacians(sizes: Sequence[int], silu: bool, thresholds: Sequence[int]) -> dict[str, Callable[[Any], Any]]:
    weights = layers(sizes)
    ours = network(fnp, weights, functrans.nn.silu if silu else fnp.tanh)
    theirs = network(jnp, weights, jax.nn.silu if silu else jnp.tanh)
    sides = {"functrans": functrans.vmap(laplacian(ours)), "trace of jax.hessian": jax.vmap(trace_of_hessian(theirs))}
    for threshold in thresholds:
        operator = folx_laplacian(threshold)
        if operator is not None:
            sides[f"folx, {'sparse' if threshold else 'dense'}"] = jax.vmap(operator(theirs))
    torch = installed("torch")
    if torch is not None and not silu:
        tensors = [(torch.from_numpy(w), torch.from_numpy(b)) for w, b in weights]
        hessian = torch.func.hessian(network(torch, tensors, torch.tanh))
        traces = torch.func.vmap(lambda x: torch.trace(hessian(x)))
        sides["torch.func"] = lambda x: traces(torch.from_numpy(x))
    return sides


PARTICLES, WIDTH = 20, 32


def pairs_of_particles(x: Any, numpy_: Any, w: Sequence[Any]) -> Any:
    y = x.reshape(PARTICLES, 3)
    d = y[:, None] - y
    p = numpy_.concatenate([d, numpy_.sqrt(numpy_.sum(d * d, -1, keepdims=True) + 0.01)], -1)
    for weights in w[1:4]:
        p = numpy_.tanh(p @ weights)
    return numpy_.sum(p)


def layers_of_particles(x: Any, numpy_: Any, w: Sequence[Any]) -> Any:
    """Features of particles and of pairs, layer by layer: a particle's from the means of all and of its pairs."""
    y = x.reshape(PARTICLES, 3)
    d = y[:, None] - y
    p = numpy_.tanh(
        numpy_.concatenate([d, numpy_.sqrt(numpy_.sum(d * d, -1, keepdims=True) + 0.01)], -1) @ w[1]
    )
    a = numpy_.tanh(y @ w[0])
    for weights in w[2:4]:
        mean = numpy_.broadcast_to(numpy_.mean(a, 0, keepdims=True), a.shape)
        a = numpy_.tanh(numpy_.concatenate([a, mean, numpy_.mean(p, 1)], -1) @ w[4]) + a
        p = numpy_.tanh(p @ weights) + p
    return numpy_.sum(a)


def attention_of_particles(x: Any, numpy_: Any, w: Sequence[Any]) -> Any:
    a = numpy_.tanh(x.reshape(PARTICLES, 3) @ w[0])
    e = numpy_.exp((a @ w[2]) @ (a @ w[3]).T / 8)
    return numpy_.sum(numpy_.tanh(e / numpy_.sum(e, -1, keepdims=True) @ a))


def particles(function: Callable[[Any, Any, Any], Any]) -> dict[str, Callable[[Any], Any]]:
    random = numpy.random.default_rng(2)
    sizes = [(3, WIDTH), (4, WIDTH), (WIDTH, WIDTH), (WIDTH, WIDTH), (3 * WIDTH, WIDTH)]
    weights = [(random.normal(size=s) / numpy.sqrt(s[0])).astype(numpy.float32) for s in sizes]
    sides = {"functrans": functrans.vmap(laplacian(lambda x: function(x, fnp, weights)))}
    theirs = lambda x: function(x, jnp, weights)
    sides["trace of jax.hessian"] = jax.vmap(trace_of_hessian(theirs))
    operator = folx_laplacian(6)
    if operator is not None:
        sides["folx, sparse"] = jax.vmap(operator(theirs))
    return sides


def biharmonics(sizes: Sequence[int], by_parameters: bool) -> dict[str, Callable[[Any], Any]]:
    weights = layers(sizes)

    def loss(operator: Any, numpy_: Any, transforms: Any) -> Callable[[Any], Any]:
        if not by_parameters:
            return transforms.vmap(operator(network(numpy_, weights, numpy_.tanh)))  # type: ignore[no-any-return]

        def squared(parameters: Any, points: Any) -> Any:
            return numpy_.mean(transforms.vmap(operator(network(numpy_, parameters, numpy_.tanh)))(points) ** 2)

        return lambda points: transforms.grad(squared)(weights, points)

    sides = {"functrans": loss(biharmonic, fnp, functrans)}
    operator = folx_laplacian(0)
    if operator is not None:
        sides["folx, nested"] = loss(lambda f: operator(operator(f)), jnp, jax)
    sides["nested jax.hessian"] = loss(lambda f: trace_of_hessian(trace_of_hessian(f)), jnp, jax)
    return sides


def points(*shape: int) -> Any:
    return numpy.random.default_rng(1).normal(size=shape).astype(numpy.float32)


CASES = [
    *[
        Case(f"derivative {n} of a scalar function", lambda n=n: nth_derivative(n), POINT, True)  # type: ignore[misc]
        for n in (2, 3, 4, 5, 8, 12)
    ],
    Case("derivatives 0 to 20 of a scalar function", lambda: all_derivatives(20), POINT, True),
    Case("laplacian, MLP of 50 inputs", lambda: laplacians((50, 256, 256, 256, 1), False, (0,)), points(64, 50)),
    Case(
        "laplacian, folx's example: an MLP of each of 100 nodes",
        lambda: laplacians((4, *[100] * 10, 1), True, (0, 4)),
        points(20, 100, 4),
    ),
    *[
        Case(f"laplacian, {name} of 20 particles", lambda f=f: particles(f), points(16, 3 * PARTICLES))  # type: ignore[misc]
        for name, f in (
            ("an MLP of each pair", pairs_of_particles),
            ("two layers of single and pair features", layers_of_particles),
            ("attention", attention_of_particles),
        )
    ],
    Case("biharmonic, tanh MLP 4 x 64", lambda: biharmonics((3, 64, 64, 64, 64, 1), False), points(256, 3)),
    Case(
        "biharmonic, tanh MLP 4 x 64, gradient by the parameters",
        lambda: biharmonics((3, 64, 64, 64, 64, 1), True),
        points(256, 3),
    ),
]


def measured(case: Case) -> tuple[dict[str, Figures], float]:
    """The figures of each side, and by how much the results differ from ours, relative to the largest."""
    compiled, times, sizes = {}, {}, {}
    for name, function in case.build().items():
        if name in EAGER:
            compiled[name], times[name], sizes[name] = function, 0.0, None
            continue
        side = functrans if name == "functrans" else jax
        sizes[name] = _equations(name, function, case.argument) if case.equations else None
        start = now()
        compiled[name] = side.jit(function).lower(case.argument).compile()
        times[name] = now() - start
    functrans.clear_caches()
    jax.clear_caches()
    for name, function in case.build().items():  # once more, with everything imported and warm
        if name in EAGER:
            continue
        side = functrans if name == "functrans" else jax
        start = now()
        side.jit(function).lower(case.argument).compile()
        times[name] = min(times[name], now() - start)
    results = {name: jax.tree.leaves(c(case.argument)) for name, c in compiled.items()}
    error = 0.0
    for found in results.values():
        for a, b in zip(found, results["functrans"], strict=True):
            difference = numpy.abs(numpy.asarray(a) - numpy.asarray(b))
            error = max(error, float(numpy.max(difference) / (numpy.max(numpy.abs(b)) + 1e-30)))
    repeat = max(1, int(0.005 / max(timed(lambda: compiled["functrans"](case.argument)), 1e-9)))

    def sampler(call: Any) -> Callable[[], dict[str, float]]:
        def once() -> dict[str, float]:
            start = now()
            for _ in range(repeat):
                result = call(case.argument)
            jax.block_until_ready(result)
            return {"run": (now() - start) / repeat}

        return once

    samples = interleave({name: sampler(c) for name, c in compiled.items()}, EFFORT)["run"]
    return {
        name: Figures(
            times[name], min(samples[name].values), None if name in EAGER else _memory(compiled[name]), sizes[name]
        )
        for name in compiled
    }, error


def _equations(name: str, function: Any, argument: Any) -> int:
    if name == "functrans":
        return sum(
            len(eqn.op.program_in_place().equations) if eqn.op.name == "derivatives" else 1
            for eqn in functrans.make_jaxpr(function)(argument).equations
        )
    return _size(jax.make_jaxpr(function)(argument).jaxpr)


def _size(jaxpr: Any) -> int:
    """Equations; of a call, those of the callee and not the call itself."""
    held = [[p.jaxpr for p in eqn.params.values() if hasattr(p, "jaxpr")] for eqn in jaxpr.eqns]
    return sum(sum(map(_size, programs)) if programs else 1 for programs in held)


def _memory(compiled: Any) -> float | None:
    analysis = compiled.memory_analysis()
    return None if analysis is None else analysis.temp_size_in_bytes / 1e6


def table(rows: Sequence[tuple[str, dict[str, Figures], float]]) -> str:
    """Ratios to ours: below 1 the other is better. The worst of ours first."""
    lines = [
        "| case | against | compile | run | memory | equations | ours: compile, run | differ by |",
        "|---|---|---|---|---|---|---|---|",
    ]
    found = []
    for name, figures, error in rows:
        ours = figures["functrans"]
        for other, theirs in figures.items():
            if other == "functrans":
                continue
            ratios = (theirs.compile / ours.compile if theirs.compile else math.inf, theirs.run / ours.run)
            first = _ratio(theirs.compile, ours.compile)
            memory = _ratio(theirs.memory, ours.memory)
            equations = _ratio(theirs.equations, ours.equations)
            found.append((
                min(ratios),
                f"| {name} | {other} | {first} | {ratios[1]:.2f} | {memory} | {equations} | "
                f"{ours.compile:.2f} s, {ours.run * 1e6:,.0f} us | {error:.0e} |",
            ))  # fmt: skip
    return "\n".join([*lines, *[line for _, line in sorted(found)]])


def _ratio(theirs: float | None, ours: float | None) -> str:
    return f"{theirs / ours:.2f}" if theirs and ours else "-"


def run(only: Sequence[str]) -> Iterator[tuple[str, dict[str, Figures], float]]:
    for case in CASES:
        if not only or any(word in case.name for word in only):
            figures, error = measured(case)
            print(case.name, f"(results differ by {error:.0e})")
            for name, own in figures.items():
                print(f"  {name:22} compile {own.compile:7.3f} s  run {own.run * 1e6:12,.1f} us  memory "
                      f"{own.memory if own.memory is None else round(own.memory, 3)} MB  equations {own.equations}",
                      flush=True)  # fmt: skip
            yield case.name, figures, error


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks derivatives", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--only", action="append", default=[], metavar="WORD", help="cases whose name has this word")
    parser.add_argument("--write", type=Path, help="a page whose table between the marks is replaced")
    options = parser.parse_args(arguments)
    jax.config.update("jax_enable_compilation_cache", False)
    rows = list(run(options.only))
    text = table(rows)
    print(text)
    if options.write is not None:
        page = options.write.read_text(encoding="utf-8")
        page = re.sub(f"{BEGIN}.*{END}", lambda _: f"{BEGIN}\n{text}\n{END}", page, flags=re.DOTALL)
        options.write.write_text(page, encoding="utf-8")
    return 0
