"""JAX's functions and transforms in every nesting of functrans' transforms with JAX's: what JAX alone computes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
from tests.agreement import assert_same
from tests.crossing.functions import FUNCTIONS, ONCE, WITHOUT_FORWARD_MODE

X = np.array([0.5, 1.0, 2.0], np.float32)
LANES = np.stack([X, X[::-1] * 0.75])


def first(grad: Any, f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda x: jnp.sum(jnp.sin(grad(f)(x)))


# How a function is transformed, given (functrans', JAX's) transforms; JAX alone is given (jax, jax).
NESTINGS: dict[str, Callable[[Any, Any, Any], Callable[[Any], Any]]] = {
    "value": lambda a, b, f: a.jit(f),
    "grad": lambda a, b, f: a.grad(f),
    "jit(grad)": lambda a, b, f: a.jit(a.grad(f)),
    "grad(jit)": lambda a, b, f: a.grad(a.jit(f)),
    "jax.grad(jit)": lambda a, b, f: b.grad(a.jit(f)),
    "grad(jax.jit)": lambda a, b, f: a.grad(b.jit(f)),
    "jax.jit(grad)": lambda a, b, f: b.jit(a.grad(f)),
    "grad(grad)": lambda a, b, f: a.grad(first(a.grad, f)),
    "jax.grad(grad)": lambda a, b, f: b.grad(first(a.grad, f)),
    "grad(jax.grad)": lambda a, b, f: a.grad(first(b.grad, f)),
    "jvp": lambda a, b, f: lambda x: a.jvp(f, (x,), (x * 0.5,))[1],
    "vmap(grad)": lambda a, b, f: lambda x: a.vmap(a.grad(f))(jnp.stack([x, x[::-1] * 0.75])),
    "jax.vmap(grad)": lambda a, b, f: lambda x: b.vmap(a.grad(f))(jnp.stack([x, x[::-1] * 0.75])),
    "vmap(jax.grad)": lambda a, b, f: lambda x: a.vmap(b.grad(f))(jnp.stack([x, x[::-1] * 0.75])),
    "hessian": lambda a, b, f: a.hessian(f),
}
FORWARD = {"jvp", "hessian"}
TWICE = {"grad(grad)", "jax.grad(grad)", "grad(jax.grad)", "hessian"}
PAIRS = [
    (name, nesting)
    for name in FUNCTIONS
    for nesting in NESTINGS
    if not (nesting in FORWARD and name in WITHOUT_FORWARD_MODE) and not (nesting in TWICE and name in ONCE)
]


@functools.cache
def _by_jax(name: str, nesting: str) -> Any:
    return NESTINGS[nesting](jax, jax, FUNCTIONS[name])(X)


@pytest.mark.parametrize(("name", "nesting"), PAIRS)
def test_a_function_of_jax_in_transforms_of_both(name: str, nesting: str) -> None:
    found = NESTINGS[nesting](ft, jax, FUNCTIONS[name])(X)
    assert_same(found, _by_jax(name, nesting), 1024)


@pytest.mark.parametrize("nesting", ["grad", "jit(jacrev)", "vmap(grad)"])
def test_a_rule_for_reverse_mode_in_a_program_of_jax_that_closes_over_arrays(nesting):
    """The rule refuses to be asked for derivatives by what is closed over, which nobody asks it for."""
    matrix = jnp.array([[1.0, 2.0], [3.0, 4.0]])

    @jax.custom_vjp
    def product(x):
        return matrix @ x + x**2

    product.defvjp(lambda x: (product(x), x), lambda x, ct: (3 * ct @ matrix + 2 * x * ct,))
    x = jnp.array([0.5, -1.0])
    closed = jax.make_jaxpr(product)(x)

    def function(x):
        return jax.core.eval_jaxpr(closed.jaxpr, closed.consts, x)[0]

    slopes = {
        "grad": lambda of: of.grad(lambda x: function(x).sum())(x),
        "jit(jacrev)": lambda of: of.jit(of.jacrev(function))(x),
        "vmap(grad)": lambda of: of.vmap(of.grad(lambda x: function(x).sum()))(jnp.stack([x, -x])),
    }[nesting]
    assert_same(slopes(ft), slopes(jax))
