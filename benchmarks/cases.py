"""What a case of the Jacobians' benchmark is: one computation, and those who do it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy

import functrans
import functrans.numpy

OURS, JAX = "functrans", "JAX"

Namespace = Any  # functrans.numpy or jax.numpy
Transforms = Any  # functrans or jax
Build = Callable[[Transforms, Namespace], tuple[Callable[..., Any], tuple[Any, ...]]]


class Entry(NamedTuple):
    """``transforms``: the module whose ``jit`` compiles the function and whose ``clear_caches`` forgets it;
    ``compared``: what of the result all who take part have."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    transforms: Transforms
    compared: Callable[[Any], Any] = lambda result: result


class Case(NamedTuple):
    """``entries``: fresh functions by the name of who computes them, ours under ``OURS``.

    ``least``: the ratio peer / ours of the run times that was promised.
    """

    name: str
    entries: Callable[[], dict[str, Entry]]
    least: float = 1.0

    def against_itself(self) -> Case:
        """JAX in our place."""

        def entries() -> dict[str, Entry]:
            return {OURS: self.entries()[JAX], JAX: self.entries()[JAX]}

        return self._replace(entries=entries)


def against_jax(name: str, build: Build, least: float = 1.0) -> Case:
    """A case that is written once for functrans and for JAX."""

    def entries() -> dict[str, Entry]:
        sides = {OURS: (functrans, functrans.numpy), JAX: (jax, jax.numpy)}
        return {side: Entry(*build(*modules), modules[0]) for side, modules in sides.items()}

    return Case(name, entries, least)
