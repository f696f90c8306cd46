"""What a scenario is: a numerical program written once for any NumPy-like namespace, and the register of them all.

`build(np)` returns `(f, args)`: a scalar function and its example arguments as float32 NumPy arrays. The same source
runs under `jax.numpy`, `functrans.numpy`, `autograd.numpy`, plain NumPy and `benchmarks.torch_namespace`, so benchmarks
and tests compare like with like. Derivatives are taken with respect to the first argument, which may be a pytree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy

Namespace = Any  # a module with NumPy's functions: jax.numpy, functrans.numpy, numpy ...
Program = tuple[Callable[..., Any], tuple[Any, ...]]

VARIANTS = ("f", "grad", "vmap(grad)", "hvp", "hessian")
WITHOUT_HESSIAN = VARIANTS[:-1]


@dataclass(frozen=True)
class Scenario:
    """A program, the arguments that `vmap` maps (as `in_axes`), and the transforms that are measured.

    `samples` is the most that the benchmarks take of it: few for what takes a side seconds, and for the scenarios that
    vary a theme that another one measures fully.
    """

    name: str
    build: Callable[[Namespace], Program]
    mapped: tuple[int | None, ...]
    variants: tuple[str, ...]
    samples: int


SCENARIOS: dict[str, Scenario] = {}


def scenario(
    mapped: tuple[int | None, ...], variants: tuple[str, ...] = VARIANTS, samples: int = 1_000
) -> Callable[..., Any]:
    """Registers the decorated `build` under its own name."""

    def register(build: Callable[[Namespace], Program]) -> Callable[[Namespace], Program]:
        SCENARIOS[build.__name__] = Scenario(build.__name__, build, mapped, variants, samples)
        return build

    return register


def normal(generator: numpy.random.Generator, *shape: int, scale: float = 1.0) -> numpy.ndarray:
    return (scale * generator.standard_normal(shape)).astype(numpy.float32)
