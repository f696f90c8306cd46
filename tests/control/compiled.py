"""What XLA made of a program: its temporaries, and how often an operation stands in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from functrans.api.staging import stage
from functrans.ir.types import type_of
from functrans.xla import execute


class Compiled(NamedTuple):
    """``temporaries`` in bytes, by the executable's own analysis; ``text``: the optimised program."""

    temporaries: int
    text: str
    results: list[Any]

    @property
    def dots(self) -> int:
        return self.text.count(" dot(")


def compiled(function: Callable[..., Any], *args: Any) -> Compiled:
    """The function under functrans' jit, compiled and run."""
    leaves, tree = jax.tree.flatten(args)
    staged = stage(
        lambda *flat: function(*jax.tree.unflatten(tree, flat)), leaves, [type_of(x) for x in leaves], "a test", order=2
    )
    program = execute.program(staged.jaxpr, "test", jit=True)
    results = program(*staged.captured, *leaves)
    stats = program.executable.get_compiled_memory_stats()
    return Compiled(stats.temp_size_in_bytes, program.executable.hlo_modules()[0].to_string(), results)


def compiled_by_jax(function: Callable[..., Any], *args: Any) -> Compiled:
    """The function under ``jax.jit``, compiled and run."""
    executable = jax.jit(function).lower(*args).compile()
    stats = executable.memory_analysis()
    results = jax.tree.leaves(executable(*args))
    return Compiled(stats.temp_size_in_bytes, executable.as_text(), [np.asarray(x) for x in results])
