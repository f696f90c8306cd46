"""No cache of either library keeps a captured array or a tracer alive, and none confuses two traces."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
import functrans.lax as flax
import functrans.numpy as fnp
from functrans.derivatives import laplacian
from functrans.trace.builder import Builder
from tests.agreement import assert_same

X = np.array([0.5, 1.0, 2.0], np.float32)


def _ruled_forward(w: Any, of: Any) -> Any:
    f = of.custom_jvp(lambda x: jnp.sin(x) * w)
    f.defjvp(lambda primals, tangents: (jnp.sin(primals[0]) * w, tangents[0] * w))
    return f


def _ruled_backward(w: Any, of: Any) -> Any:
    f = of.custom_vjp(lambda x: jnp.sin(x) * w)
    f.defvjp(lambda x: (jnp.sin(x) * w, None), lambda _, ct: (ct * w,))
    return f


def _ruled_by_itself(w: Any, of: Any) -> Any:
    """The usual form: the forward rule calls the function."""
    f = of.custom_vjp(lambda x: jnp.sin(x) * w)
    f.defvjp(lambda x: (f(x), None), lambda _, ct: (ct * w,))
    return f


def _told_of_zeros(w: Any) -> Any:
    f = ft.custom_jvp(lambda x: jnp.sin(x) * w)
    f.defjvp(lambda primals, tangents: (jnp.sin(primals[0]) * w, tangents[0] * w), symbolic_zeros=True)
    return f


# Given an array, a function that captures it.
CAPTURES: dict[str, Callable[[Any], Callable[[Any], Any]]] = {
    "operator": lambda w: lambda x: x * w,
    "jax.numpy": lambda w: lambda x: jnp.multiply(jnp.sin(x), w),
    "jax.jit": lambda w: jax.jit(lambda x: x * w),
    "functrans.jit": lambda w: ft.jit(lambda x: x * w),
    "jit in jit": lambda w: jax.jit(ft.jit(lambda x: jnp.sin(x) * w)),
    "jax.jit in functrans.jit": lambda w: ft.jit(jax.jit(lambda x: jnp.sin(x) * w)),
    "scan": lambda w: lambda x: jax.lax.scan(lambda c, t: (c * w + t, None), x, x)[0],
    "cond": lambda w: lambda x: jax.lax.cond(jnp.sum(x) > 0, lambda y: y * w, lambda y: y, x),
    "checkpoint": lambda w: jax.checkpoint(lambda x: jnp.sin(x) * w),
    "vmap": lambda w: lambda x: jax.vmap(lambda t: t * w)(x)[0],
    "custom_jvp of JAX": lambda w: _ruled_forward(w, jax),
    "custom_jvp": lambda w: _ruled_forward(w, ft),
    "custom_vjp of JAX": lambda w: _ruled_backward(w, jax),
    "custom_vjp": lambda w: _ruled_backward(w, ft),
    "custom_vjp that calls itself": lambda w: _ruled_by_itself(w, ft),
    "custom_jvp told of zeros": _told_of_zeros,
    "from_jax": lambda w: ft.from_jax(lambda x: jnp.sin(x) * w),
    "functrans.scan": lambda w: lambda x: flax.scan(lambda c, t: (c * w + t, None), x, x)[0],
}
CALLS: dict[str, Callable[[Any], Any]] = {
    "grad": lambda f: ft.grad(lambda x: fnp.sum(f(x)))(X),
    "jit(grad)": lambda f: ft.jit(ft.grad(lambda x: fnp.sum(f(x))))(X),
    "jax.jit(grad)": lambda f: jax.jit(ft.grad(lambda x: fnp.sum(f(x))))(X),
    "jax.grad(jit)": lambda f: jax.grad(ft.jit(lambda x: fnp.sum(f(x))))(X),
    "vmap(grad)": lambda f: ft.vmap(ft.grad(lambda x: fnp.sum(f(x))))(X[None]),
    "value": lambda f: ft.jit(lambda x: f(x))(X),
    "laplacian": lambda f: laplacian(lambda x: fnp.sum(f(x)))(X),
    "taylor": lambda f: ft.taylor(f, (X,), ([X, None, None],)),
    "hessian": lambda f: ft.hessian(lambda x: fnp.sum(f(x)))(X),
}


@pytest.mark.parametrize("name", CAPTURES)
def test_a_captured_array_dies_with_the_function_that_captured_it(name: str) -> None:
    alive = []
    for call in CALLS:
        if (call == "jax.jit(grad)" and name.endswith("itself")) or (call == "value" and name.endswith("of JAX")):
            continue  # see below
        array = jnp.arange(3.0) + 1
        CALLS[call](CAPTURES[name](array))
        alive.append((call, weakref.ref(array)))
    del array
    gc.collect()
    assert [call for call, reference in alive if reference() is not None] == []


@pytest.mark.parametrize("call", ["value", "grad", "jax.jit(grad)"])
@pytest.mark.parametrize("of", [jax, ft], ids=["jax", "functrans"])
def test_what_the_other_library_keeps_with_an_untraced_rule_in_it_goes_with_its_caches(of: Any, call: str) -> None:
    """JAX remembers the types of an operation's results by its parameters, which hold the program with the rule; and
    the rules of JAX's functions may be those of a library, which come again."""
    array = jnp.arange(3.0) + 1
    CALLS[call](_ruled_by_itself(array, of))
    reference = weakref.ref(array)
    del array
    ft.clear_caches()
    jax.clear_caches()
    gc.collect()
    assert reference() is None


@pytest.mark.parametrize("name", [name for name in CAPTURES if not name.endswith("calls itself")])
def test_a_trace_whose_values_were_captured_leaves_nothing(name: str) -> None:
    def inner(w: Any) -> Any:
        return ft.grad(lambda x: fnp.sum(CAPTURES[name](w)(x)))(X)

    def outer(w: Any) -> Any:
        return fnp.sum(inner(w))

    def alive() -> int:
        gc.collect()
        return sum(type(x) is Builder for x in gc.get_objects())

    before = alive()
    ft.vmap(inner)(X[None])
    jax.vmap(ft.jit(inner))(X[None])
    ft.jit(jax.jit(inner))(X)
    if not name.startswith("custom_"):  # whose rules give derivatives by their arguments alone
        ft.jit(ft.grad(outer))(X)
        ft.vmap(jax.grad(outer))(X[None])
    assert alive() <= before


def test_a_jitted_function_of_jax_is_right_in_each_of_many_traces() -> None:
    scaled = jax.jit(lambda x, w: jnp.sin(x) * w)
    for k in range(1, 4):
        found = ft.grad(lambda w: jnp.sum(scaled(X * k, w)))(2.0)  # noqa: B023
        assert_same(found, jax.grad(lambda w: jnp.sum(scaled(X * k, w)))(2.0))  # noqa: B023
        assert_same(ft.grad(lambda x: jnp.sum(scaled(x, X * k)))(X), np.cos(X) * X * k)  # noqa: B023


@pytest.mark.parametrize("jit", [jax.jit, ft.jit, lambda f: f, jax.checkpoint], ids=["jax", "functrans", "no", "ckpt"])
def test_equal_code_with_other_closures_is_another_function(jit: Any) -> None:
    def made(w: Any) -> Any:
        return jit(lambda x: jnp.sin(x) * w)

    for w in (1.0, 2.0, jnp.float32(3), jnp.arange(3.0), np.arange(3.0, dtype=np.float32) + 1, 2, True):
        expected = jnp.cos(X) * w
        assert_same(ft.grad(lambda x, w=w: jnp.sum(made(w)(x)))(X), expected, weak=False)
        assert_same(jax.grad(lambda x, w=w: fnp.sum(made(w)(x)))(X), expected, weak=False)
        assert_same(ft.grad(lambda v, w=w: jnp.sum(made(v * w)(X)))(jnp.ones(3)), jnp.sin(X) * w, weak=False)


factor = 1.0


def test_a_changed_global_is_read_again_where_jax_reads_it_again() -> None:
    global factor

    @jax.custom_jvp
    def ruled(x: Any) -> Any:
        return x * factor

    ruled.defjvp(lambda primals, tangents: (ruled(primals[0]), tangents[0] * 10 * factor))
    plain = lambda x: jnp.sum(jax.nn.relu(x) * factor)
    for factor in (1.0, 2.0, 3.0):
        assert_same(ft.grad(plain)(X), np.full(3, factor, np.float32))
        assert_same(ft.grad(lambda x: jnp.sum(ruled(x)))(X), np.full(3, 10 * factor, np.float32))
        assert_same(jax.grad(lambda x: fnp.sum(ft.grad(plain)(x) * x))(X), np.full(3, factor, np.float32))


def test_values_captured_by_the_bodies_of_one_loop_are_those_of_each_trace() -> None:
    def loss_after(steps: int) -> Callable[[Any], Any]:
        def loss(w: Any) -> Any:
            return jnp.sum(jax.lax.scan(lambda c, t: (c * w + t, None), X, jnp.ones(steps))[0])

        return loss

    for steps in (1, 2, 3):
        loss = loss_after(steps)
        for w in (0.5, 2.0):
            assert_same(ft.grad(loss)(w), jax.grad(loss)(w), 256)
            lanes = jnp.array([w, w + 1])
            assert_same(ft.vmap(ft.grad(loss))(lanes), jax.vmap(jax.grad(loss))(lanes), 256)


def test_the_width_of_numbers_is_in_every_memo() -> None:
    f = lambda x: jnp.sum(jax.nn.softplus(x) * jnp.arange(3))
    for wide in (False, True, False, True):
        with jax.enable_x64(wide):
            x = jnp.asarray([0.5, 1.0, 2.0])
            assert_same(ft.grad(f)(x), jax.grad(f)(x))
            assert_same(ft.jit(ft.grad(jax.jit(f)))(x), jax.grad(f)(x))


def test_what_jax_is_told_to_compute_at_once_is_kept_over_traces() -> None:
    """``jax.ensure_compile_time_eval``: a library's cache of tables holds arrays, and no values of a trace."""
    kept: list[Any] = []

    def table(x: Any) -> Any:
        with jax.ensure_compile_time_eval():
            if not kept:
                kept.append(jax.nn.relu(jnp.cos(jnp.arange(3.0)) / 2 ** jnp.arange(3.0)[None, :])[0])
        return kept[0] * x

    expected = np.maximum(np.cos(np.arange(3.0)), 0) / 2 ** np.arange(3.0)
    for run in (ft.vmap(table), ft.jit(table), ft.jit(ft.vmap(table)), lambda x: ft.jit(jax.vmap(table))(x)):
        kept.clear()
        for factor in (1.0, 2.0):
            found = run(np.full(3, factor, np.float32))
            np.testing.assert_allclose(np.ravel(found)[:3] / factor, expected, rtol=1e-6)
            assert isinstance(kept[0], jax.Array) and not isinstance(kept[0], jax.core.Tracer)
