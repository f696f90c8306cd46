"""A Jacobian or Hessian in every lane: those of computer vision, networks, a camera model and steps of an ODE."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy

from benchmarks.cases import Build, Case, Namespace, Transforms, against_jax
from benchmarks.scenario import SCENARIOS, normal
from benchmarks.sides import transformed, variant_args
from benchmarks.vision import CAMERA, POINT, project

MODES = "jacrev", "jacfwd", "hessian"

Program = tuple[Callable[..., Any], tuple[Any, ...]]


def scenario(name: str, **size: int) -> Build:
    """The Jacobian of one of the scenarios at a size."""
    entry = SCENARIOS[name].sized(size)

    def build(transforms: Transforms, np: Namespace) -> Program:
        f, args = entry.build(np)
        function = transformed(transforms, f, entry.derivative, entry.mapped)
        return function, variant_args(args, entry.derivative, entry.mapped)

    return build


def vision() -> Iterator[Case]:
    sizes: dict[str, tuple[dict[str, int], dict[str, int]]] = {
        "bundle_adjustment": (
            {"cameras": 10, "points": 100, "observations": 300},
            {"cameras": 50, "points": 500, "observations": 1_500},
        ),
        "hand": ({"vertices": 100, "count": 50}, {"vertices": 500, "count": 250}),
        "hand_on_triangles": ({"vertices": 100, "count": 50}, {"vertices": 500, "count": 250}),
    }
    for name, both in sizes.items():
        for size in both:
            title = f"{name.replace('_', ' ')}, {', '.join(f'{n:,} {what}' for what, n in size.items())}"
            yield against_jax(title, scenario(name, **size), 2.0 if name == "bundle_adjustment" else 1.0)


def network(np: Namespace) -> Program:
    """[20] -> [10] through two layers of 64, in 256 lanes."""
    generator = numpy.random.default_rng(31)
    weights = [
        (normal(generator, a, b, scale=a**-0.5), normal(generator, b, scale=0.1))
        for a, b in itertools.pairwise((20, 64, 64, 10))
    ]

    def f(x: Any, weights: Any) -> Any:
        for w, b in weights[:-1]:
            x = np.tanh(x @ w + b)
        w, b = weights[-1]
        return x @ w + b

    return f, (normal(generator, 256, 20), weights)


def camera(np: Namespace) -> Program:
    """A camera [11] and a point [3] -> its pixel [2]: the rotation of Rodrigues, projection, radial distortion."""
    generator = numpy.random.default_rng(32)
    cameras = numpy.asarray(CAMERA, numpy.float32) * (1 + normal(generator, 1_000, 11, scale=0.1))
    points = numpy.asarray(POINT, numpy.float32) + normal(generator, 1_000, 3, scale=0.3)
    return lambda camera, point: project(np, camera, point), (cameras.astype(numpy.float32), points)


def runge_kutta(slope: Callable[[Any], Any], x: Any, h: float = 0.01) -> Any:
    """A step of the classical method of order four."""
    a = slope(x)
    b = slope(x + h / 2 * a)
    c = slope(x + h / 2 * b)
    d = slope(x + h * c)
    return x + h / 6 * (a + 2 * b + 2 * c + d)


def lorenz(np: Namespace) -> Program:
    """A step of Lorenz' system of 1963: three states, 1,000 lanes."""

    def slope(state: Any) -> Any:
        x, y, z = state[0], state[1], state[2]
        return np.stack([10.0 * (y - x), x * (28.0 - z) - y, x * y - 8.0 / 3.0 * z])

    return lambda x: runge_kutta(slope, x), (normal(numpy.random.default_rng(33), 1_000, 3),)


def lorenz_of_1996(np: Namespace) -> Program:
    """A step of Lorenz' system of 1996: ten states on a circle, 1,000 lanes."""

    def slope(x: Any) -> Any:
        return (np.roll(x, -1) - np.roll(x, 2)) * np.roll(x, 1) - x + 8.0

    return lambda x: runge_kutta(slope, x), (normal(numpy.random.default_rng(34), 1_000, 10),)


def reactions(np: Namespace) -> Program:
    """A step of ten substances that react with each other: rates by matrices, 1,000 lanes."""
    generator = numpy.random.default_rng(35)
    first, second = normal(generator, 10, 10, scale=0.3), normal(generator, 10, 10, scale=0.3)

    def f(x: Any, first: Any, second: Any) -> Any:
        return runge_kutta(lambda x: first @ (x / (1.0 + x * x)) - x * (second @ x), x)

    return f, (normal(generator, 1_000, 10), first, second)


MODELS: dict[str, tuple[Callable[[Namespace], Program], tuple[int | None, ...], bool]] = {
    # program, the arguments that are mapped, whether the Hessian is of a scalar
    "MLP 20-64-64-10, 256 lanes": (network, (0, None), True),
    "camera, 1,000 lanes": (camera, (0, 0), True),
    "RK4 of 3 states, 1,000 lanes": (lorenz, (0,), False),
    "RK4 of 10 states, 1,000 lanes": (lorenz_of_1996, (0,), False),
    "RK4 of 10 states by matrices, 1,000 lanes": (reactions, (0, None, None), False),
}


def in_lanes(
    program: Callable[[Namespace], Program], mode: str, mapped: tuple[int | None, ...], scalar: bool
) -> Build:
    """``vmap(mode(f))``; the Hessian of half the square of the result if ``scalar``."""

    def build(transforms: Transforms, np: Namespace) -> Program:
        f, args = program(np)
        if mode == "hessian" and scalar:
            return transforms.vmap(transforms.hessian(lambda *xs: 0.5 * np.sum(f(*xs) ** 2)), mapped), args
        return transforms.vmap(getattr(transforms, mode)(f), mapped), args

    return build


def models() -> Iterator[Case]:
    for name, (program, mapped, scalar) in MODELS.items():
        for mode in MODES:
            yield against_jax(f"vmap({mode}), {name}", in_lanes(program, mode, mapped, scalar))


def three_operands(mode: str) -> Build:
    """``einsum("bij,vj,vb->vi")``: vertices moved by a mixture of the bones' transforms, and its derivatives."""

    def build(transforms: Transforms, np: Namespace) -> Program:
        generator = numpy.random.default_rng(36)

        def f(x: Any, bones: Any, positions: Any, weights: Any) -> Any:
            return np.einsum("bij,vj,vb->vi", bones + x[0] * bones * bones + x[1], positions, weights)

        args = normal(generator, 2), normal(generator, 22, 4, 4), normal(generator, 10_000, 4)
        function = f if mode == "f" else transforms.jacfwd(f)
        return function, (*args, normal(generator, 10_000, 22))

    return build


CASES = [
    *vision(),
    *models(),
    *[against_jax(f"einsum of three operands, {mode}", three_operands(mode)) for mode in ("f", "jacfwd")],
]
