"""Twelve shapes of Jacobians, each by the plan that is found against every mode that a user may choose."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy

import functrans
import functrans.numpy
from benchmarks.cases import JAX, OURS, Case, Entry, Namespace
from benchmarks.scenario import normal
from benchmarks.vision import CAMERA, POINT, project

Function = Callable[..., Any]
ENOUGH = 1 / 1.2  # of the speed of the best choice by hand


class Shape(NamedTuple):
    """``build``: (namespace, library with vmap, scan and conv) -> the function and its argument; ``by_hand``: what a
    user who knows the structure writes with functrans."""

    build: Callable[[Namespace, Any], tuple[Function, Any]]
    by_hand: Callable[[Function], Function] | None = None


def network(*sizes: int) -> Callable[[Namespace, Any], tuple[Function, Any]]:
    """Layers of these sizes with tanh, of one vector."""

    def build(np: Namespace, _: Any) -> tuple[Function, Any]:
        generator = numpy.random.default_rng(1)
        weights = [jax.device_put(normal(generator, a, b, scale=a**-0.5)) for a, b in itertools.pairwise(sizes)]

        def f(x: Any) -> Any:
            for w in weights:
                x = np.tanh(x @ w)
            return x

        return f, normal(generator, sizes[0])

    return build


def each_example(np: Namespace, lib: Any, examples: int = 256, width: int = 20) -> tuple[Function, Any]:
    f, _ = network(width, 32, width)(np, lib)
    return lib.vmap(f), normal(numpy.random.default_rng(2), examples, width)


def elementwise(np: Namespace, _: Any, size: int = 2000) -> tuple[Function, Any]:
    return lambda x: np.sin(x) * np.exp(-x * x), normal(numpy.random.default_rng(3), size)


def banded(np: Namespace, _: Any, size: int = 2000) -> tuple[Function, Any]:
    def f(x: Any) -> Any:
        around = np.concatenate([x[-1:], x, x[:1]])
        return (around[2:] - 2 * x + around[:-2]) * x + np.sin(x)

    return f, normal(numpy.random.default_rng(4), size)


def blocks(np: Namespace, _: Any, count: int = 50, width: int = 20) -> tuple[Function, Any]:
    generator = numpy.random.default_rng(5)
    matrices = jax.device_put(normal(generator, count, width, width, scale=width**-0.5))

    def f(x: Any) -> Any:
        return np.tanh(np.einsum("bij,bj->bi", matrices, np.reshape(x, (count, width)))).ravel()

    return f, normal(generator, count * width)


def convolution(np: Namespace, lib: Any, size: int = 20) -> tuple[Function, Any]:
    generator = numpy.random.default_rng(6)
    kernel = jax.device_put(normal(generator, 8, 1, 3, 3))
    f = lambda x: np.tanh(lib.lax.conv_general_dilated(x, kernel, (1, 1), "SAME"))
    return f, normal(generator, 1, 1, size, size)


def ode(np: Namespace, lib: Any, steps: int = 100) -> tuple[Function, Any]:
    """The last of the states [10] by the parameters [50]."""
    generator = numpy.random.default_rng(7)
    fixed, start = (jax.device_put(normal(generator, *shape, scale=0.3)) for shape in ((10, 10), (10,)))

    def f(parameters: Any) -> Any:
        mixing, push = np.reshape(parameters[:40], (10, 4)), parameters[40:]

        def step(y: Any, _: Any) -> Any:
            return y + 0.05 * (np.tanh(fixed @ y + 0.1 * (mixing @ (mixing.T @ y))) + 0.1 * push), None

        return lib.lax.scan(step, start, None, length=steps)[0]

    return f, normal(generator, 50, scale=0.3)


def graph(np: Namespace, _: Any, nodes: int = 1000) -> tuple[Function, Any]:
    """Messages along three times as many random edges as nodes."""
    generator = numpy.random.default_rng(8)
    source, target = generator.integers(0, nodes, (2, 3 * nodes))

    def f(x: Any) -> Any:
        return 0.1 * x + np.zeros(nodes, x.dtype).at[target].add(np.tanh(x[source] - x[target]))

    return f, normal(generator, nodes)


def bundle(
    np: Namespace, _: Any, cameras: int = 10, points: int = 100, observations: int = 300
) -> tuple[Function, Any]:
    """All pixels by all cameras and points, in one vector."""
    generator = numpy.random.default_rng(9)
    camera = numpy.asarray(CAMERA, numpy.float32) * (1 + normal(generator, cameras, 11, scale=0.1))
    point = numpy.asarray(POINT, numpy.float32) + normal(generator, points, 3, scale=0.3)
    of_camera, of_point = (generator.integers(0, most, observations) for most in (cameras, points))

    def f(x: Any) -> Any:
        every_camera, every_point = np.reshape(x[: cameras * 11], (cameras, 11)), np.reshape(x[cameras * 11 :], (-1, 3))
        return project(np, every_camera[of_camera], every_point[of_point]).ravel()

    return f, numpy.concatenate([camera.ravel(), point.ravel()]).astype(numpy.float32)


def _diagonal(f: Function) -> Function:
    np = functrans.numpy
    return lambda x: np.diag(functrans.jvp(f, (x,), (np.ones_like(x),))[1])


def _of_each_example(f: Function) -> Function:
    """The Jacobian of one example in lanes, placed in zeros."""
    np = functrans.numpy

    def jacobian(x: Any) -> Any:
        n, width = x.shape
        own = functrans.vmap(functrans.jacfwd(lambda row: f(row[None])[0]))(x)
        at = np.arange(n)
        return np.zeros((n, width, n, width), x.dtype).at[at, :, at, :].set(own)

    return jacobian


def _three_bands(f: Function) -> Function:
    np = functrans.numpy

    def jacobian(x: Any) -> Any:
        n = x.shape[0]
        places = np.arange(n)
        left = n - n % 3  # on a circle whose length three does not divide, the rest has colours of its own
        colours = np.where(places >= left, 3 + places - left, places % 3)
        push = lambda c: functrans.jvp(f, (x,), ((colours == c).astype(x.dtype),))[1]
        products = functrans.vmap(push)(np.arange(3 + n % 3))
        near = (places[:, None] + np.arange(-1, 2)) % n
        return np.zeros((n, n), x.dtype).at[places[:, None], near].set(products[colours[near], places[:, None]])

    return jacobian


SHAPES: dict[str, Shape] = {
    "MLP, tall, 10 to 1000": Shape(network(10, 128, 128, 1000)),
    "MLP, wide, 1000 to 10": Shape(network(1000, 128, 128, 10)),
    "MLP, square, 200 to 200": Shape(network(200, 200, 200, 200)),
    "bottleneck, 200 to 3 to 200": Shape(network(200, 100, 3, 100, 200)),
    "per example, 256 x (20 to 20)": Shape(each_example, _of_each_example),
    "elementwise, 2000": Shape(elementwise, _diagonal),
    "banded stencil, 2000": Shape(banded, _three_bands),
    "50 blocks of 20 x 20": Shape(blocks),
    "convolution, 1 x 20 x 20 to 8 x 20 x 20": Shape(convolution),
    "ODE, 100 steps of 10 states by 50 parameters": Shape(ode),
    "graph of 1000 nodes": Shape(graph),
    "bundle adjustment": Shape(bundle),
}


def _case(name: str, shape: Shape) -> Case:
    def entries() -> dict[str, Entry]:
        f, x = shape.build(functrans.numpy, functrans)
        g, _ = shape.build(jax.numpy, jax)
        found = {
            OURS: Entry(functrans.jacobian(f), (x,), functrans),
            "our jacfwd": Entry(functrans.jacfwd(f), (x,), functrans),
            "our jacrev": Entry(functrans.jacrev(f), (x,), functrans),
            f"{JAX}, jacfwd": Entry(jax.jacfwd(g), (x,), jax),
            f"{JAX}, jacrev": Entry(jax.jacrev(g), (x,), jax),
        }
        if shape.by_hand is not None:
            found["by hand"] = Entry(shape.by_hand(f), (x,), functrans)
        return found

    return Case(name, entries, ENOUGH)


CASES = [_case(name, shape) for name, shape in SHAPES.items()]
