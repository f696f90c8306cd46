"""Products that follow each other under vmap: the mapped axis is not moved back and forth between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans.ir.program import live_equations
from functrans.ops.structural import Transpose
from tests.agreement import assert_same

RANDOM = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


A, B, C, MANY = normal(3, 3), normal(3, 3), normal(3, 3), normal(5, 4, 3, 3)
CHAINS: dict[str, Callable[..., Any]] = {
    "from the left": lambda np, x: A @ (B @ (C @ x)),
    "from the right": lambda np, x: x @ A @ B @ C,
    "from both sides": lambda np, x: A @ (B @ x @ C) @ A,
    "with itself": lambda np, x: x @ (A @ x) @ (x @ B),
    "transposed": lambda np, x: (A @ x).T @ (x.T @ B),
    "einsum": lambda np, x: np.einsum("ij,jk,lk->li", A, x @ B, C @ x),
    "outer": lambda np, x: np.tensordot(np.tensordot(A, x @ B, 0), C @ x, ((1, 3), (0, 1))),
    "batches": lambda np, x: np.einsum("bij,bjk->ikb", MANY[0], np.einsum("ij,bjk->bik", x, MANY[1]) @ x),
    "vectors": lambda np, x: np.sin(A @ x[0]) @ (x @ B) @ (C @ x[1]),
}


@pytest.mark.parametrize("places", [(0, 0), (1, 0), (2, 1), (2, 3)])
@pytest.mark.parametrize("name", CHAINS)
def test_chains_of_products_are_mapped_as_by_jax(name: str, places: tuple[int, int]) -> None:
    """Twice, along axes at these places of the inner and of the whole array."""
    inner, outer = places
    x = np.moveaxis(np.moveaxis(MANY, 1, 1 + inner), 0, outer)

    def mapped(transforms: Any, namespace: Any) -> Any:
        return transforms.vmap(transforms.vmap(lambda x: CHAINS[name](namespace, x), inner), outer)(x)

    assert_same(mapped(ft, fnp), mapped(jax, jax.numpy), scale=100.0)


@pytest.mark.parametrize("name", ["from the left", "from the right", "from both sides"])
def test_a_chain_moves_its_mapped_axis_once(name: str) -> None:
    jaxpr = ft.make_jaxpr(ft.vmap(lambda x: CHAINS[name](fnp, x)))(MANY[0])
    live, _ = live_equations(jaxpr.equations, jaxpr.outputs)
    assert sum(type(eqn.op) is Transpose for eqn in live) <= 1
