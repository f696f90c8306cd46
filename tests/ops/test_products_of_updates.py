"""Elements that several updates multiply: derivatives of every order, at zeros too, against JAX's of single steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans import lax

pytestmark = pytest.mark.usefixtures("x64")

RANDOM = np.random.default_rng(0)
INDEX = np.array([0, 0, 1, 5, 2, 2, 2, -1, 9, 1])
ZEROS = {"none": [], "one": [0], "two of an element": [0, 1, 4], "all of an element": [4, 5, 6]}


def ours(x: Any, u: Any) -> Any:
    out = x.at[INDEX].multiply(u, mode="drop")
    return fnp.sum(out**2 * fnp.arange(1.0, 7)) + fnp.sum(out)


def one_by_one(x: Any, u: Any) -> Any:
    out = list(x)
    for k, i in enumerate(INDEX):
        if -6 <= i < 6:
            out[i] = out[i] * u[k]
    return jnp.sum(jnp.stack(out) ** 2 * jnp.arange(1.0, 7)) + jnp.sum(jnp.stack(out))


@pytest.mark.parametrize("zeros", ZEROS)
def test_derivatives_to_the_third_order(zeros: str) -> None:
    x, u = fnp.asarray(RANDOM.normal(size=6)), RANDOM.normal(size=10)
    u[ZEROS[zeros]] = 0.0
    f: Callable[..., Any] = ours
    g: Callable[..., Any] = one_by_one
    both = 0, 1
    for mode in (ft.jacrev, ft.jacfwd, ft.jacrev):
        f, g = mode(f, both), jax.jacfwd(g, both)
        found, expected = ft.jit(f)(x, u), jax.jit(g)(x, u)
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def test_windows_that_overlap_and_lanes_of_indices() -> None:
    numbers = lax.ScatterDimensionNumbers((1, 2), (), (0,))
    u = RANDOM.normal(size=(2, 4, 2, 3))

    def windows(u: Any) -> Any:
        return lax.scatter_mul(fnp.full((4, 3), 2.0), np.array([[0], [1], [1], [3]]), u, numbers)

    def steps(u: Any) -> Any:
        out = jnp.full((4, 3), 2.0)
        for k, start in enumerate((0, 1, 1)):  # the last is outside
            out = out.at[start : start + 2].multiply(u[k])
        return out

    np.testing.assert_allclose(ft.jit(ft.vmap(ft.jacrev(windows)))(u), jax.vmap(jax.jacfwd(steps))(u), atol=1e-12)
    ids, data = np.array([[0, 0, 1, 1, 1, 3], [2, 2, 2, 2, 2, 2]]), RANDOM.normal(size=6)
    data[0] = 0.0
    product = lambda ids: ft.grad(lambda d: fnp.sum(lax.segment_prod(d, ids, 4)))(data)
    expected = [
        [np.prod([d for j, d in enumerate(data) if own[j] == own[k] and j != k]) for k in range(6)] for own in ids
    ]
    np.testing.assert_allclose(ft.vmap(product)(ids), expected, atol=1e-12)


def test_of_nothing() -> None:
    empty = lambda u: fnp.sum(fnp.ones(3).at[np.zeros(0, int)].multiply(u))
    assert ft.grad(empty)(np.zeros(0)).shape == (0,)
