"""functrans' functions and transforms inside of JAX's: on JAX's tracers they keep their values and their rules."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
import functrans.lax as flax
import functrans.nn as fnn
import functrans.numpy as fnp
import functrans.random as frandom
import functrans.scipy.special as fspecial
from tests.agreement import assert_same

X = np.array([0.5, 1.0, 2.0], np.float32)

# functrans' function, and what it is in JAX.
PAIRS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "numpy": (lambda x: fnp.sum(fnp.sin(x) * x[::-1]), lambda x: jnp.sum(jnp.sin(x) * x[::-1])),
    "lax": (lambda x: flax.logistic(x).sum(), lambda x: jax.lax.logistic(x).sum()),
    "nn": (lambda x: fnp.sum(fnn.gelu(x) * x), lambda x: jnp.sum(jax.nn.gelu(x) * x)),
    "random": (
        lambda x: fnp.sum(frandom.normal(frandom.key(3), (3,)) * x * x),
        lambda x: jnp.sum(jax.random.normal(jax.random.key(3), (3,)) * x * x),
    ),
    "scipy": (lambda x: fspecial.logsumexp(x * x), lambda x: jax.scipy.special.logsumexp(x * x)),
    "jit": (ft.jit(lambda x: fnp.sum(x**3)), lambda x: jnp.sum(x**3)),
    "grad": (lambda x: fnp.sum(ft.grad(lambda y: fnp.sum(y**3 * x))(x)), lambda x: jnp.sum(3 * x**3)),
    "vmap": (lambda x: fnp.sum(ft.vmap(lambda y: y * fnp.sum(x))(x)), lambda x: jnp.sum(x) ** 2),
    "jvp": (lambda x: ft.jvp(lambda y: fnp.sum(y**2 * x), (x,), (x,))[1], lambda x: 2 * jnp.sum(x**3)),
    "vjp": (lambda x: fnp.sum(ft.vjp(lambda y: y**2 * x, x)[1](x)[0]), lambda x: 2 * jnp.sum(x**3)),
    "linearize": (lambda x: fnp.sum(ft.linearize(lambda y: y**2 * x, x)[1](x)), lambda x: 2 * jnp.sum(x**3)),
    "hessian": (lambda x: fnp.sum(ft.hessian(lambda y: fnp.sum(y**3))(x)), lambda x: jnp.sum(6 * x)),
    "jacrev": (lambda x: fnp.sum(ft.jacrev(lambda y: y**3 * x)(x)), lambda x: jnp.sum(3 * x**3)),
    "checkpoint": (lambda x: fnp.sum(ft.checkpoint(lambda y: fnp.sin(y) * x)(x)), lambda x: jnp.sum(jnp.sin(x) * x)),
    "scan": (
        lambda x: flax.scan(lambda c, t: (fnp.sin(c) * t + fnp.sum(x), None), 0.5, x)[0],
        lambda x: jax.lax.scan(lambda c, t: (jnp.sin(c) * t + jnp.sum(x), None), 0.5, x)[0],
    ),
    "cond": (
        lambda x: flax.cond(fnp.sum(x) > 0, lambda: fnp.sum(x * x), lambda: fnp.float32(0)),
        lambda x: jnp.sum(x * x),
    ),
    "fori_loop": (
        lambda x: flax.fori_loop(0, 3, lambda i, c: c * fnp.sum(x), fnp.float32(1)), lambda x: jnp.sum(x) ** 3
    ),
}  # fmt: skip

AROUND: dict[str, Callable[[Callable[[Any], Any]], Callable[[Any], Any]]] = {
    "jit": jax.jit,
    "jit(grad)": lambda f: jax.jit(jax.grad(f)),
    "hessian": jax.hessian,
    "vmap(grad)": lambda f: lambda x: jax.vmap(jax.grad(f))(jnp.stack([x, x[::-1]])),
    "scan": lambda f: lambda x: jax.lax.scan(lambda c, t: (c + f(x * t), f(x * c)), jnp.float32(0), x),
    "checkpoint": lambda f: jax.grad(jax.checkpoint(lambda x: jnp.sin(f(x)))),
    "jvp of vjp": lambda f: lambda x: jax.jvp(lambda y: jax.vjp(f, y)[1](jnp.float32(1))[0], (x,), (x,)),
}


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("name", PAIRS)
def test_functions_of_functrans_in_transforms_of_jax(name: str, around: str) -> None:
    ours, by_jax = PAIRS[name]
    assert_same(AROUND[around](ours)(X), AROUND[around](by_jax)(X), 1024, weak=False)


# -- rules -------------------------------------------------------------------------------------------------------------


@ft.custom_jvp
def ruled_forward(x: Any) -> Any:
    return fnp.sin(x)


@ruled_forward.defjvp
def _(primals: Any, tangents: Any) -> Any:
    return ruled_forward(primals[0]), tangents[0] * 3 * primals[0]


@ft.custom_vjp
def ruled_backward(x: Any) -> Any:
    return fnp.sin(x)


ruled_backward.defvjp(lambda x: (ruled_backward(x), x), lambda x, ct: (ct * 3 * x,))


@pytest.mark.parametrize("f", [ruled_forward, ruled_backward], ids=["custom_jvp", "custom_vjp"])
def test_rules_of_functrans_are_kept_by_transforms_of_jax(f: Any) -> None:
    total = lambda x: jnp.sum(f(x))
    assert_same(f(X), np.sin(X))
    assert_same(jax.grad(total)(X), 3 * X)
    assert_same(jax.jit(jax.grad(total))(X), 3 * X)
    assert_same(jax.vmap(jax.grad(total))(X[None]), 3 * X[None])
    assert_same(jax.grad(lambda x: jnp.sum(jax.grad(total)(x)))(X), np.full(3, 3, np.float32))
    assert_same(ft.grad(lambda x: jnp.sum(jax.grad(total)(x) * x))(X), 6 * X)
    assert_same(jax.grad(lambda x: jax.lax.scan(lambda c, t: (c + f(t), None), 0.0, x)[0])(X), 3 * X)


def test_the_rule_for_vmap_of_a_function_of_functrans_is_kept_by_jax() -> None:
    @ft.custom_batching.custom_vmap
    def f(x: Any) -> Any:
        return fnp.sin(x)

    @f.def_vmap
    def _(size: int, batched: Any, x: Any) -> Any:
        return fnp.cos(x), True

    assert_same(jax.vmap(f)(X), np.cos(X))
    assert_same(jax.jit(jax.vmap(f))(X), np.cos(X))
    assert_same(jax.jit(f)(X), np.sin(X))


def test_transforms_of_jax_give_functions_of_functrans_python_numbers() -> None:
    double = ft.jit(lambda x: x * 2.0)
    assert jax.jvp(double, (1.0,), (1.0,)) == (2.0, 2.0)
    assert jax.vjp(double, 1.0)[1](1.0) == (2.0,)
    assert jax.grad(ft.jit(lambda x: x * x))(3.0) == 6.0
    assert jax.linearize(double, 1.0)[1](2.0) == 4.0
    assert jax.jvp(lambda x: ft.grad(lambda y: y**3)(x), (2.0,), (1.0,)) == (12.0, 12.0)
    assert jax.jit(lambda x: ft.value_and_grad(lambda y: y**3)(x))(2.0) == (8.0, 12.0)


def needed(program: Any, output: Any) -> list[bool]:
    """Which inputs of a program of JAX a result of it depends on."""
    found = {output}
    for eqn in reversed(program.eqns):
        if not found.isdisjoint(eqn.outvars):
            found.update(v for v in eqn.invars if isinstance(v, jax.extend.core.Var))
    return [v in found for v in program.invars]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (ft.jacfwd(lambda x, y: 3 * x + 1), [(False, False)]),
        (ft.jacfwd(lambda x, y: x), [(False, False)]),
        (ft.grad(lambda x, y: x * x * y), [(True, True)]),
        (ft.grad(lambda x, y: x * y), [(False, True)]),
        (ft.value_and_grad(lambda x, y: 2 * x + y), [(True, True), (False, False)]),
        (ft.jit(lambda x, y: (fnp.sin(x), 1, y, fnp.cos(y) * fnp.sin(y))), [(1, 0), (0, 0), (0, 1), (0, 1)]),
        (ft.jit(lambda x, y: (fnp.sin(x) + y, fnp.cos(x))), [(1, 1), (1, 0)]),
    ],
)
def test_jax_sees_what_each_result_depends_on(function: Any, expected: list[tuple[bool, bool]]) -> None:
    program = jax.make_jaxpr(function)(2.0, 3.0).jaxpr
    assert [needed(program, v) for v in program.outvars] == [list(map(bool, row)) for row in expected]
    results = jax.jit(function)(2.0, 3.0)
    for ours, theirs in zip(jax.tree.leaves(results), jax.tree.leaves(function(2.0, 3.0)), strict=True):
        assert_same(ours, theirs, 8, weak=False)


def test_jax_asks_for_types_and_programs_without_running_anything() -> None:
    gradient = ft.grad(lambda x: fnp.sum(x**2))
    shape = jax.eval_shape(gradient, X)
    assert (shape.shape, shape.dtype) == ((3,), np.float32)
    assert {e.primitive.name for e in jax.make_jaxpr(gradient)(X).eqns} == {"functrans"}


def test_a_function_traced_once_by_jax_is_not_traced_again() -> None:
    traces = []

    @jax.jit
    def step(x: Any) -> Any:
        def loss(y: Any) -> Any:
            traces.append(1)
            return fnp.sum(y**2)

        return x - 0.1 * ft.grad(loss)(x)

    for k in range(4):
        step(X * k)
    assert len(traces) == 1


@pytest.mark.parametrize("kind", ["custom_jvp", "custom_vjp"])
@pytest.mark.parametrize("around", ["jit", "vmap", "grad", "jvp", "jit in functrans.jit", "functrans.jit in jit"])
def test_rules_of_jax_that_close_over_values_that_jax_traces_are_kept(around: str, kind: str) -> None:
    def slope(grad: Any) -> Callable[[Any], Any]:
        def of(w: Any) -> Any:
            if kind == "custom_jvp":
                f: Any = jax.custom_jvp(lambda x: jnp.sin(x) * w)
                f.defjvp(lambda primals, tangents: (jnp.sin(primals[0]) * w, tangents[0] * w * 3))
            else:
                f = jax.custom_vjp(lambda x: jnp.sin(x) * w)
                f.defvjp(lambda x: (jnp.sin(x) * w, None), lambda _, ct: (ct * w * 3,))
            return grad(lambda x: jnp.sum(f(x)))(X)

        return of

    transforms: dict[str, Callable[[Any, Any], Any]] = {
        "jit": lambda f, _: jax.jit(f)(X),
        "vmap": lambda f, _: jax.vmap(f)(X),
        "grad": lambda f, _: jax.grad(lambda w: f(w).sum())(X),
        "jvp": lambda f, _: jax.jvp(f, (X,), (X,))[1],
        "jit in functrans.jit": lambda f, jit: jit(jax.jit(f))(X),
        "functrans.jit in jit": lambda f, jit: jax.jit(jit(f))(X),
    }
    assert_same(transforms[around](slope(ft.grad), ft.jit), transforms[around](slope(jax.grad), jax.jit))


JAX_CALLS: dict[str, Callable[[Any], Any]] = {
    "jit": lambda f: jax.jit(f)(X),
    "vmap": lambda f: jax.vmap(f)(jnp.stack([X, X])),
    "checkpoint": lambda f: jax.checkpoint(f)(X),
    "cond": lambda f: jax.lax.cond(True, f, f, X),
    "linearize": lambda f: jax.linearize(f, X)[1](X),
}


@pytest.mark.parametrize("name", JAX_CALLS)
def test_linear_maps_are_functions_to_jax(name: str) -> None:
    """JAX refers weakly to a function, and the second one that it could not refer to so crashed the interpreter."""
    tripled = lambda x: 3.0 * x
    for f in (ft.linearize(tripled, X)[1], ft.linear_transpose(tripled, X), ft.vjp(tripled, X)[1]):
        for _ in range(2):
            (found,) = jax.tree.leaves(JAX_CALLS[name](f))
            np.testing.assert_allclose(found, np.broadcast_to(3.0 * X, found.shape), rtol=1e-6)


@pytest.mark.parametrize("options", [{}, {"static_argnums": 1}, {"donate_argnums": 0}])
def test_what_jax_says_of_a_jitted_function_is_its_own(options: dict[str, int]) -> None:
    """The methods of the jitted function are not those of what wraps it, in JAX or by ``functools.wraps``."""
    f = ft.jit(lambda x, n=2: fnp.sin(x) * n, **options)
    program = jax.make_jaxpr(f)(X)
    np.testing.assert_allclose(jax.core.eval_jaxpr(program.jaxpr, program.consts, X)[0], 2 * np.sin(X), rtol=1e-6)
    compiled = jax.jit(f)
    assert isinstance(compiled.trace(X), jax.stages.Traced) and isinstance(compiled.lower(X), jax.stages.Lowered)
    assert compiled.eval_shape(X) == jax.eval_shape(f, X) == f.eval_shape(X)
    np.testing.assert_allclose(compiled.lower(X).compile()(X), 2 * np.sin(X), rtol=1e-6)
    compiled.clear_cache()
    np.testing.assert_allclose(f.lower(X).compile()(X), 2 * np.sin(X), rtol=1e-6)
    assert not hasattr(functools.wraps(f)(lambda x: f(x)), "lower")
