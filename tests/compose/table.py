"""The table of functions that the composition tests send through stacks of transforms.

A row is written once, as a function of the three namespaces, so that functrans and JAX run the very same source.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

Build = Callable[[Any, Any, Any], Callable[..., Any]]
"""`(transforms, numpy, lax) -> function under test`."""


@dataclass(frozen=True)
class Program:
    """One row: how to build the function, arguments to call it with, and what is not defined for it."""

    name: str
    build: Build
    templates: tuple[Any, ...]
    forward: bool = True
    reverse: bool = True
    jacobians: bool = True
    vectorised: bool = True
    operations: int = 256
    """Rounding steps granted to the comparison: the length of the longest chain after three transforms."""

    def arguments(self) -> tuple[Any, ...]:
        """The templates as arrays of the widths that `jax_enable_x64` allows; Python scalars stay what they are."""
        return jax.tree.map(_canonical_array, self.templates)


def _canonical_array(leaf: Any) -> Any:
    if not isinstance(leaf, np.ndarray):
        return leaf
    return jax.numpy.asarray(leaf, dtype=jax.dtypes.canonicalize_dtype(leaf.dtype))


PROGRAMS: dict[str, Program] = {}


def program(*templates: Any, **limits: Any) -> Callable[[Build], Build]:
    """Put the decorated builder into the table, with these arguments and limits."""

    def register(build: Build) -> Build:
        name = build.__name__
        assert name not in PROGRAMS, f"two programs are called {name}"
        PROGRAMS[name] = Program(name, build, templates, **limits)
        return build

    return register


def values(*shape: int, seed: float = 0.0, dtype: Any = np.float64) -> np.ndarray:
    """Distinct, smooth, deterministic values in (0.2, 1.2): no ties for `max` and no poles for `log`."""
    count = math.prod(shape)
    raw = 0.7 + 0.5 * np.cos(1.0 + seed + 1.7 * np.arange(count))
    if np.issubdtype(dtype, np.complexfloating):
        return (raw + 1j * np.sin(2.0 + seed + np.arange(count))).reshape(shape).astype(dtype)
    return raw.reshape(shape).astype(dtype)
