"""vmap of a function with a rule for reverse mode: an argument that all lanes share stays one, as in JAX."""

from __future__ import annotations

from typing import Any

import jax
import jax.extend.core as jax_core
import jax.numpy as jnp
import numpy as np
import pytest
from jax.interpreters import batching, mlir

import functrans as ft
from tests.agreement import assert_same

X = np.array([0.5, 1.0, 2.0], np.float32)
Y = np.float32(1.5)


def _ruled(of: Any) -> Any:
    f = of.custom_vjp(lambda x, y, n: jnp.sin(x) * y + n)
    f.defvjp(
        lambda x, y, n: (f(x, y, n), (x, y)),
        lambda kept, ct: (ct * jnp.cos(kept[0]) * kept[1] * 2, ct * jnp.sin(kept[0]) * 3, None),
    )
    return f


SLOPES = {
    "of the shared second": lambda of, f: of.grad(lambda y: of.vmap(lambda x: f(x, y, 2))(X).sum())(Y),
    "of the shared first": lambda of, f: of.jacrev(lambda y: of.vmap(lambda x: f(y, x, 2))(X))(Y),
    "in each lane": lambda of, f: of.jit(of.vmap(of.grad(f, (0, 1)), (0, None, None)))(X, Y, 1),
    "in lanes of lanes": lambda of, f: of.vmap(of.grad(lambda y: of.vmap(lambda x: f(x, y, 2))(X).sum()))(X),
}


@pytest.mark.parametrize("slope", SLOPES)
def test_its_cotangent_is_the_sum_of_the_lanes(slope):
    wanted = SLOPES[slope](jax, _ruled(jax))
    assert_same(SLOPES[slope](ft, _ruled(ft)), wanted)
    assert_same(SLOPES[slope](ft, _ruled(jax)), wanted)


shared_p = jax_core.Primitive("shared")
shared_p.def_impl(lambda x: x)
shared_p.def_abstract_eval(lambda x: x)
mlir.register_lowering(shared_p, mlir.lower_fun(lambda x: x, multiple_results=False))


def _batched(values, axes):
    raise ValueError("this is not the same in all lanes")


batching.primitive_batchers[shared_p] = _batched


@pytest.mark.parametrize("rules", ["functrans", "jax"])
def test_what_it_alone_decides_is_decided_once(rules):
    """As in Diffrax's implicit solvers, whose step counts must be no batch."""
    of = {"functrans": ft, "jax": jax}[rules]
    f = of.custom_vjp(lambda x, n: jax.lax.cond(shared_p.bind(n) > 1, lambda: x, lambda: x * 2))
    f.defvjp(lambda x, n: (f(x, n), None), lambda _, ct: (ct, None))
    assert_same(ft.vmap(f, (0, None))(X, jnp.int32(1)), X * 2)
    with pytest.raises(ValueError, match="not the same"):
        ft.vmap(f)(X, jnp.arange(3))


@pytest.mark.parametrize("told_of_zeros", [False, True])
@pytest.mark.parametrize("rules", ["functrans", "jax"])
def test_a_residual_that_it_alone_decides_stays_one(rules, told_of_zeros):
    """As the step counts of Equinox's loops, which the backward pass of a batch has in common."""
    of = {"functrans": ft, "jax": jax}[rules]
    value = lambda x: x.value if told_of_zeros else x
    f = of.custom_vjp(lambda x, n: jnp.sin(x) * n)
    f.defvjp(
        lambda x, n: (jnp.sin(value(x)) * value(n), (value(x), value(n) + 1)),
        lambda kept, ct: (jax.lax.cond(shared_p.bind(kept[1]) > 1, lambda: ct * jnp.cos(kept[0]), lambda: ct), None),
        symbolic_zeros=told_of_zeros,
    )
    wanted = np.cos(X)
    total = lambda xs, n: ft.vmap(f, (0, None))(xs, n).sum()
    n = jnp.int32(1)
    assert_same(ft.grad(total)(X, n), wanted)
    assert_same(ft.jit(ft.grad(ft.jit(total)))(X, n), wanted)
    assert_same(ft.vmap(ft.grad(f), (0, None))(X, n), wanted)
    twice = lambda xs: ft.vmap(total, (0, None))(xs, n).sum()
    assert_same(ft.grad(twice)(np.stack([X, X])), np.stack([wanted, wanted]))
    assert_same(ft.grad(lambda y: ft.vmap(lambda x: f(y, n) * x)(X).sum())(Y), X.sum() * np.cos(Y))
    with pytest.raises(ValueError, match="not the same"):
        ft.grad(lambda xs: ft.vmap(f)(xs, jnp.arange(3)).sum())(X)
