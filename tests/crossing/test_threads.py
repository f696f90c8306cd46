"""Eight threads that trace, differentiate and compile with both libraries at once: none sees the trace of another."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import functrans as ft
import functrans.lax as flax
import functrans.numpy as fnp
from functrans.jaxlib_compat.tracing import EVALUATION, current_trace, mapped_axes
from functrans.trace.state import state
from tests.agreement import assert_same

X = np.array([0.5, 1.0, 2.0], np.float32)
THREADS = 8
shared = jax.jit(lambda x, w: jnp.sin(x) * w)
shared_by_us = ft.jit(lambda x, w: fnp.sin(x) * w)


def made(k: int, t: Any, np_: Any, lax: Any) -> dict[str, Callable[[], Any]]:
    """Programs whose numbers are k's, with these transforms among JAX's."""

    def ruled(x: Any) -> Any:
        f = jax.custom_jvp(lambda y: jnp.sin(y) * k)
        f.defjvp(lambda primals, tangents: (f(primals[0]), tangents[0] * k * 2))
        return f(x)

    return {
        "closures": lambda: t.grad(lambda w: jnp.sum(jax.jit(lambda y: y * w * k)(X)))(float(k)),
        "nested": lambda: t.grad(lambda x: jnp.sum(jax.grad(lambda y: np_.sum(y**3 * x * k))(x)))(X),
        "outwards": lambda: jax.grad(lambda x: np_.sum(t.vmap(lambda y: np_.sin(y) * k)(x)))(X),
        "shared": lambda: t.grad(lambda x: jnp.sum(shared(x * k, x)))(X),
        "rules": lambda: t.jit(t.grad(lambda x: jnp.sum(ruled(x))))(X),
        "axes": lambda: t.vmap(lambda x: x * jax.lax.psum(x * k, "i"), axis_name="i")(X),
        "other axes": lambda: jax.vmap(lambda x: x * lax.psum(x * k, "i"), axis_name="i")(X),
        "loops": lambda: jax.jit(t.grad(lambda x: lax.scan(lambda c, u: (c * u + k, None), x[0], x)[0]))(X),
    }


def test_threads_mix_both_libraries_and_none_is_wrong() -> None:
    names = list(made(1, jax, jnp, jax.lax))
    expected = [{name: f() for name, f in made(k, jax, jnp, jax.lax).items()} for k in range(THREADS)]
    barrier = threading.Barrier(THREADS)

    def work(k: int) -> list[tuple[str, Any]]:
        programs = made(k, ft, fnp, flax)
        barrier.wait(timeout=120)
        found = []
        for i in range(len(names)):
            name = names[(i + k) % len(names)]
            found.append((name, programs[name]()))
            assert state.builder is None
            assert current_trace() is EVALUATION
            assert not mapped_axes()
        return found

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(THREADS) as pool:
            results = list(pool.map(work, range(THREADS)))
    finally:
        sys.setswitchinterval(interval)
    for k, found in enumerate(results):
        for name, value in found:
            assert_same(value, expected[k][name], 256, weak=False, context=f"{name} with {k}")


def test_threads_that_stand_in_open_traces_of_both_libraries_do_not_meet() -> None:
    barrier = threading.Barrier(THREADS)

    def work(k: int) -> tuple[Any, Any]:
        def f(x: Any) -> Any:
            barrier.wait(timeout=120)  # every thread is in a trace here, half of them in one of JAX
            y = shared(x, float(k)) + shared_by_us(x, float(k))
            barrier.wait(timeout=120)
            return jnp.sum(y)

        grad = ft.grad if k % 2 else jax.grad
        return grad(f)(X), current_trace() is EVALUATION

    with ThreadPoolExecutor(THREADS) as pool:
        results = list(pool.map(work, range(THREADS)))
    for k, (slope, at_rest) in enumerate(results):
        assert at_rest
        assert_same(slope, 2 * k * np.cos(X), weak=False)
