"""What each library's test takes of a loss: gradients per example and a product with the Hessian, by either library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

import functrans as ft
from tests.agreement import assert_same

KEY = jax.random.key(0)
X = np.linspace(-1.0, 1.0, 12, dtype=np.float32).reshape(4, 3)
Y = np.sin(X.sum(1))


def products(library: Any, loss: Callable[..., Any]) -> Callable[..., Any]:
    """(parameters, examples) -> gradients per example, Hessian of their sum times the parameters.

    loss: (parameters, *example) -> scalar.
    """

    def both(parameters: Any, *examples: Any) -> Any:
        axes = (None,) + (0,) * len(examples)
        each = library.vmap(library.grad(loss), axes)(parameters, *examples)

        def total(p: Any) -> Any:
            return library.vmap(loss, axes)(p, *examples).sum()

        return each, library.jvp(library.grad(total), (parameters,), (parameters,))[1]

    return both


def assert_products_agree(
    loss: Callable[..., Any], parameters: Any, *examples: Any, operations: int = 1024, at_once: bool = True
) -> None:
    """Ours compiled are JAX's; so are gradients of ours under JAX's jit and vmap, and, if ``at_once``, un-jitted."""
    expected = jax.jit(products(jax, loss))(parameters, *examples)
    assert_same(ft.jit(products(ft, loss))(parameters, *examples), expected, operations, weak=False)
    axes = (None,) + (0,) * len(examples)
    mixed = jax.jit(jax.vmap(ft.grad(loss), axes))(parameters, *examples)
    assert_same(mixed, expected[0], operations, weak=False)
    if at_once:
        first = ft.grad(loss)(parameters, *[x[0] for x in examples])
        assert_same(first, jax.tree.map(lambda g: g[0], expected[0]), operations, weak=False)
