"""What XLA made of a program: its temporaries, and how often an operation stands in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

import functrans as ft


class Compiled(NamedTuple):
    """``temporaries`` in bytes, by the executable's own analysis; ``text``: the optimised program."""

    temporaries: int
    text: str
    results: list[Any]

    @property
    def dots(self) -> int:
        return self.text.count(" dot(")


def compiled(function: Callable[..., Any], *args: Any, jit: Any = ft.jit) -> Compiled:
    """The function under functrans' jit (or another with JAX's stages), compiled and run."""
    executable = jit(function).lower(*args).compile()
    results = jax.tree.leaves(executable(*args))
    return Compiled(executable.memory_analysis().temp_size_in_bytes, executable.as_text(), results)
