"""JAX's operations on values that are not traced run at once where its own transforms run them, and not elsewhere."""

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

X = np.array([0.5, 1.0, 2.0], np.float32)
NESTINGS: dict[str, Callable[[Any, Any], Any]] = {
    "grad": lambda of, f: of.grad(lambda x: f(x).sum())(X),
    "jacfwd": lambda of, f: of.jacfwd(f)(X),
    "vmap": lambda of, f: of.vmap(f)(X),
    "vmap of no argument": lambda of, f: of.vmap(f, in_axes=None, out_axes=None, axis_size=2)(X),
    "vmap of vmap": lambda of, f: of.vmap(of.vmap(f))(X[None]),
    "vmap of grad": lambda of, f: of.vmap(of.grad(lambda x: f(x).sum()))(X),
    "grad of vmap": lambda of, f: of.grad(lambda x: of.vmap(f)(x).sum())(X),
    "JAX's grad": lambda of, f: of.vmap(jax.grad(lambda x: f(x).sum()))(X),
}


@pytest.mark.parametrize("nesting", NESTINGS)
def test_what_a_function_keeps_between_its_calls_is_an_array(nesting):
    """Libraries and their tests keep constants in caches and attributes that they fill at the first call."""
    results = []
    for of in (ft, jax):

        @functools.cache
        def table() -> Any:
            return jax.random.normal(jax.random.key(0), (3,)).at[0].set(jnp.sin(2.0)).cumsum()

        def function(x: Any) -> Any:
            return x * table()[1] + (x if table()[0] > 0 else 0.0)

        results.append((NESTINGS[nesting](of, function), NESTINGS[nesting](of, function), table()))
    assert_same(*results)


def test_under_jit_they_belong_to_each_run():
    kept = []
    ft.jit(ft.vmap(lambda x: kept.append(jnp.sin(2.0)) or x))(X)
    assert isinstance(kept[0], jax.core.Tracer)


def test_an_operation_that_names_the_lanes_is_theirs():
    def lanes(of):
        return of.vmap(lambda x: x + jax.lax.axis_index("i") + jax.lax.psum(jnp.float32(2.0), "i"), axis_name="i")

    assert_same(lanes(ft)(X), lanes(jax)(X))


def test_an_array_that_is_read_first_inside_of_a_trace_leaves_that_trace_open():
    def function(x, table):
        return jnp.sin(x) * table[jnp.int32(1), :, np.array([0, 2, 3])].sum() * jnp.cos(x)

    table = jnp.arange(60.0).reshape(3, 4, 5)
    results = [of.vmap(functools.partial(function, table=table))(X) for of in (ft, jax)]
    assert_same(*results)


def _ruled_forward() -> Any:
    @jax.custom_jvp
    def ruled(x: Any) -> Any:
        return x * x

    ruled.defjvp(lambda p, t: (p[0] * p[0], (3.0 if p[0] > 0 else 7.0) * p[0] * t[0]))
    return ruled


def _ruled_backward() -> Any:
    @jax.custom_vjp
    def ruled(x: Any) -> Any:
        return x * x

    def forward(x: Any) -> Any:
        return x * x, (x, 3.0 if x > 0 else 7.0)

    ruled.defvjp(forward, lambda r, ct: (ct * r[0] * r[1] * (2.0 if r[0] > 0 else 5.0),))
    return ruled


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("make", [_ruled_forward, _ruled_backward])
def test_rules_given_in_jax_may_branch_on_values(make: Any, order: int, sign: float) -> None:
    def slope(of: Any) -> Any:
        ruled = make()
        f = lambda x: ruled(ruled(jnp.sin(x)) * sign) * x
        for _ in range(order):
            f = of.grad(f)
        return f(0.7)

    assert_same(slope(ft), slope(jax), weak=False)


def test_a_rule_given_in_jax_that_branches_is_refused_under_jit() -> None:
    with pytest.raises(jax.errors.ConcretizationTypeError):
        ft.jit(ft.grad(_ruled_forward()))(0.7)
