"""What a scenario is: a numerical program written once for any NumPy-like namespace, and the register of them all.

`build(np)` returns `(f, args)`: a function and its example arguments as NumPy arrays, the real ones float32. The same
source runs under `jax.numpy`, `functrans.numpy`, `autograd.numpy`, plain NumPy and `benchmarks.torch_namespace`, so
benchmarks and tests compare like with like. Derivatives are taken with respect to the first argument, which may be a
pytree: gradients of a function whose value is a scalar, the Jacobian of one whose value is an array.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy

Namespace = Any  # a module with NumPy's functions: jax.numpy, functrans.numpy, numpy ...
Program = tuple[Callable[..., Any], tuple[Any, ...]]

VARIANTS = ("f", "grad", "jacobian", "vmap(grad)", "hvp", "hessian")
OF_SCALARS = ("f", "grad", "vmap(grad)", "hvp", "hessian")
WITHOUT_HESSIAN = OF_SCALARS[:-1]
OF_ARRAYS = ("f", "jacobian")


@dataclass(frozen=True)
class Scenario:
    """A program, the arguments that `vmap` maps (as `in_axes`), and the transforms that are measured.

    `samples` is the most that the benchmarks take of it: few for what takes a side seconds, and for the scenarios that
    vary a theme that another one measures fully. `sizes` are keyword arguments of `build`, from a small problem to a
    large one: at each of them the cost of the derivative is compared with the cost of the function.
    """

    name: str
    build: Callable[..., Program]
    mapped: tuple[int | None, ...]
    variants: tuple[str, ...]
    samples: int
    sizes: tuple[dict[str, int], ...]

    @property
    def derivative(self) -> str:
        """The variant that is the first derivative: 'grad' or 'jacobian'."""
        return "jacobian" if "jacobian" in self.variants else "grad"

    def sized(self, size: dict[str, int]) -> Scenario:
        """The same scenario at one of its sizes."""
        return replace(self, build=partial(self.build, **size))


SCENARIOS: dict[str, Scenario] = {}


def scenario(
    mapped: tuple[int | None, ...],
    variants: tuple[str, ...] = OF_SCALARS,
    samples: int = 1_000,
    sizes: tuple[dict[str, int], ...] = (),
) -> Callable[..., Any]:
    """Registers the decorated `build` under its own name."""

    def register(build: Callable[..., Program]) -> Callable[..., Program]:
        SCENARIOS[build.__name__] = Scenario(build.__name__, build, mapped, variants, samples, sizes)
        return build

    return register


def normal(generator: numpy.random.Generator, *shape: int, scale: float = 1.0) -> numpy.ndarray:
    return (scale * generator.standard_normal(shape)).astype(numpy.float32)
