"""fori_loop has reverse mode wherever the number of steps is known, as in JAX; map, scan and their options."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans import lax
from tests.agreement import assert_same

x = np.array([0.4, 0.9], np.float32)


def loop(o: Any, np_: Any, l: Any, lower: Any, upper: Any, **options: Any) -> Any:
    def total(x: Any) -> Any:
        return np_.sum(l.fori_loop(lower, upper, lambda i, c: np_.sin(c) * x + i, x, **options))

    return total


BOUNDS = [(0, 4), (2, 5), (-2, 1), (3, 3), (4, 1), (np.int32(1), 4), (0, np.uint8(3)), (jnp.int32(0), jnp.int32(3))]


@pytest.mark.parametrize("bounds", BOUNDS, ids=str)
@pytest.mark.parametrize("transform", ["grad", "hessian", "jit of grad"])
def test_known_bounds_have_reverse_mode(bounds: Any, transform: str) -> None:
    if any(isinstance(b, np.uint8) for b in bounds):  # JAX takes bounds of one dtype only
        bounds = tuple(map(np.uint8, bounds))
    apply = {"grad": lambda o, f: o.grad(f), "hessian": lambda o, f: o.hessian(f), "jit of grad": lambda o, f: o.jit(o.grad(f))}  # noqa: E501
    expected = apply[transform](jax, loop(jax, jnp, jax.lax, *bounds))(x)
    assert_same(apply[transform](ft, loop(ft, fnp, lax, *bounds))(x), expected, 256)


@pytest.mark.parametrize("unroll", [None, True, False, 1, 2, 3, 7])
def test_unrolling_changes_no_result(unroll: Any) -> None:
    expected = jax.value_and_grad(loop(jax, jnp, jax.lax, 0, 5))(x)
    assert_same(ft.jit(ft.value_and_grad(loop(ft, fnp, lax, 0, 5, unroll=unroll)))(x), expected, 256)


def computed(np_: Any, l: Any) -> Any:
    def total(x: Any) -> Any:
        steps = np_.floor(4.0 * np_.sum(x)).astype(np_.int32)
        return np_.sum(l.fori_loop(0, steps, lambda i, c: np_.sin(c) * x + i, x))

    return total


def test_computed_bounds_have_reverse_mode_without_jit() -> None:
    assert_same(ft.grad(computed(fnp, lax))(x), jax.grad(computed(jnp, jax.lax))(x), 256)
    assert_same(ft.hessian(computed(fnp, lax))(x), jax.jit(jax.jacfwd(jax.jacfwd(computed(jnp, jax.lax))))(x), 256)


def test_computed_bounds_under_jit_have_forward_mode_and_a_refusal_of_reverse_mode() -> None:
    pushed = lambda o, f: o.jit(lambda x: o.jvp(f, (x,), (x,)))(x)
    assert_same(pushed(ft, computed(fnp, lax)), pushed(jax, computed(jnp, jax.lax)), 256)
    with pytest.raises(NotImplementedError, match="fori_loop"):
        ft.jit(ft.grad(computed(fnp, lax)))(x)


@pytest.mark.parametrize("batch_size", [None, 1, 2, 3, 5, 8, np.int64(4)])
def test_batches_of_a_map_change_no_result(batch_size: Any) -> None:
    xs = {"a": np.linspace(0.0, 1.0, 5, dtype=np.float32), "b": np.ones((5, 2), np.float32)}
    f = lambda np_: lambda row: {"s": np_.sin(row["a"]) * row["b"], "t": row["a"]}
    plain = lambda xs: jax.lax.map(f(jnp), xs)
    mapped = lambda xs: lax.map(f(fnp), xs, batch_size=batch_size)
    assert_same(mapped(xs), plain(xs))
    total = lambda np_, mapped: lambda xs: np_.sum(mapped(xs)["s"])
    assert_same(ft.grad(total(fnp, mapped))(xs), jax.grad(total(jnp, plain))(xs))


@pytest.mark.parametrize("length", [0, 1, 4])
@pytest.mark.parametrize("options", [{}, {"reverse": True}, {"unroll": True}, {"unroll": 3}, {"_split_transpose": True}], ids=str)  # noqa: E501
def test_options_of_scan(length: int, options: Any) -> None:
    def total(np_: Any, l: Any, **options: Any) -> Any:
        def f(x: Any, xs: Any) -> Any:
            last, ys = l.scan(lambda c, y: (np_.sin(c) * y, c + y), x, xs, **options)
            return np_.sum(last) + np_.sum(np_.sin(ys))

        return f

    xs = np.linspace(0.2, 1.0, 2 * length, dtype=np.float32).reshape(length, 2)
    without = {k: v for k, v in options.items() if k != "_split_transpose"}
    expected = jax.value_and_grad(total(jnp, jax.lax, **without), (0, 1))(x, xs)
    assert_same(ft.value_and_grad(total(fnp, lax, **options), (0, 1))(x, xs), expected, 256)


@pytest.mark.parametrize("bounds", [(0.0, 3.0), (np.float32(1), np.float32(4)), (2.0, 1.0)])
def test_floating_bounds_that_are_whole(bounds: tuple[Any, Any]) -> None:
    lower, upper = bounds
    for library in (ft, jax):
        total = library.lax.fori_loop(lower, upper, lambda i, c: c * 2 + i, np.float32(1))
        traced = library.jit(lambda u: library.lax.fori_loop(lower, u, lambda i, c: c * 2 + i, np.float32(1)))(upper)  # noqa: B023
        slope = library.grad(lambda x: library.lax.fori_loop(lower, upper, lambda i, c: c * x + i, x))(2.0)  # noqa: B023
        expected, derivative = 1.0, (2.0, 1.0)
        for i in range(int(lower), int(upper)):
            expected, derivative = expected * 2 + i, (derivative[0] * 2 + i, derivative[0] + derivative[1] * 2)
        assert (float(total), float(traced), float(slope)) == (expected, expected, derivative[1])
