"""Each row of the surface: values, forward and reverse mode, second order and vmap are those of JAX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
from tests.agreement import assert_same
from tests.interop.test_census import lanes, total_of
from tests.surface.rows import TEXTS, Row, is_available, row_of

pytestmark = pytest.mark.filterwarnings("ignore")  # of JAX, about deprecated functions and casts

TOGETHER = 6  # rows in one program
AVAILABLE = [text for text in TEXTS if is_available(text)]
PARTS = -(-len(AVAILABLE) // TOGETHER)


def is_smooth(row: Row) -> bool:
    """Whether there is something to differentiate, by what and of what."""
    types = jax.eval_shape(jax.vmap(row.theirs, axis_name="a"), *map(lanes, row.arguments))
    return bool(row.differentiated) and any(jnp.issubdtype(t.dtype, np.inexact) for t in jax.tree.leaves(types))


def results(of: Any, function: Callable[..., Any], row: Row, smooth: bool, given: Any) -> list[Any]:
    """Value, tangent, gradient, gradient of the gradient, and over two lanes value and gradient."""
    arguments, lanes = given
    found = [of.vmap(function, axis_name="a")(*lanes)]
    if not row.named:
        found.append(function(*arguments))
    if not smooth:
        return found
    slopes = of.grad(total_of(function), row.differentiated)
    found.append(of.vmap(slopes, axis_name="a")(*lanes))
    if row.named:
        return found

    def moved(*moving: Any) -> Any:
        given = list(arguments)
        for i, x in zip(row.differentiated, moving, strict=True):
            given[i] = x
        return [t for t in jax.tree.leaves(function(*given)) if jnp.issubdtype(t.dtype, np.inexact)]

    if row.forward:
        place = [arguments[i] for i in row.differentiated]
        tangents = [np.sin(np.arange(x.size, dtype=np.float32) + 1).reshape(x.shape).astype(x.dtype) for x in place]
        found.append(of.jvp(moved, tuple(place), tuple(tangents))[1])
    if row.order > 1:
        found.append(of.grad(total_of(slopes), row.differentiated)(*arguments))
    return found


def _with_tuples(x: Any) -> Any:
    """Several results are a tuple or a list, and which differs between functions of JAX."""
    return tuple(map(_with_tuples, x)) if isinstance(x, tuple | list) else x


def check(texts: list[str]) -> None:
    """The rows, in one program of each side."""
    rows = [row_of(text) for text in texts]
    smooth = list(map(is_smooth, rows))
    given = [(row.arguments, tuple(map(lanes, row.arguments))) for row in rows]

    def all_of(of: Any, which: str) -> Any:
        return lambda given: [
            results(of, getattr(row, which), row, s, g) for row, s, g in zip(rows, smooth, given, strict=True)
        ]

    ours, theirs = ft.jit(all_of(ft, "ours"))(given), jax.jit(all_of(jax, "theirs"))(given)
    for row, a, b in zip(rows, ours, theirs, strict=True):
        assert_same(_with_tuples(a), _with_tuples(b), 2048, weak=False, context=row.text)


@pytest.mark.parametrize("part", range(PARTS))
def test_rows_agree_with_jax(part: int) -> None:
    check(AVAILABLE[part::PARTS])
