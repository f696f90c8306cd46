"""The names of mapped axes are one: functrans' collectives find those of ``jax.vmap``, and JAX's those of ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

import functrans as ft
import functrans.lax as flax
from tests.agreement import assert_same

X = np.array([1.0, 2.0, 4.0], np.float32)

# Given a ``lax``, a function of one lane.
LANES: dict[str, Callable[[Any], Callable[[Any], Any]]] = {
    "psum": lambda lax: lambda x: x / lax.psum(x, "i"),
    "psum of a number": lambda lax: lambda x: x / lax.psum(2.0, "i"),
    "pmean": lambda lax: lambda x: x * lax.pmean(x * x, "i"),
    "pmax": lambda lax: lambda x: x * lax.stop_gradient(lax.pmax(lax.stop_gradient(x), "i")),
    "axis_size": lambda lax: lambda x: x / lax.axis_size("i"),
    "axis_index": lambda lax: lambda x: x * (lax.axis_index("i") + 1),
    "all_gather": lambda lax: lambda x: (lax.all_gather(x, "i") * X).sum() * x,
    "ppermute": lambda lax: lambda x: lax.ppermute(x, "i", [(0, 1), (1, 2), (2, 0)]) * x,
    "in scan": lambda lax: lambda x: lax.scan(lambda c, _: (lax.psum(c, "i") * x, None), x, None, length=2)[0],
    "in cond": lambda lax: lambda x: lax.cond(True, lambda y: lax.psum(y, "i") * y, lambda y: y, x),
}


def total(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda xs: (f(xs) ** 2).sum()


@pytest.mark.parametrize("name", LANES)
def test_collectives_of_functrans_in_an_axis_of_jax(name: str) -> None:
    ours, theirs = LANES[name](flax), LANES[name](jax.lax)
    mapped, expected = jax.vmap(ours, axis_name="i"), jax.vmap(theirs, axis_name="i")
    assert_same(mapped(X), expected(X), weak=False)
    assert_same(jax.jit(jax.vmap(ft.jit(ours), axis_name="i"))(X), expected(X), weak=False)
    slopes = jax.grad(total(expected))(X)
    assert_same(jax.grad(total(mapped))(X), slopes, 256, weak=False)
    assert_same(ft.grad(total(mapped))(X), slopes, 256, weak=False)
    each = jax.vmap(jax.grad(theirs), axis_name="i")(X)
    assert_same(jax.vmap(ft.grad(ours), axis_name="i")(X), each, 256, weak=False)


@pytest.mark.parametrize("name", LANES)
def test_collectives_of_jax_in_an_axis_of_functrans(name: str) -> None:
    lane = LANES[name](jax.lax)
    mapped, expected = ft.vmap(lane, axis_name="i"), jax.vmap(lane, axis_name="i")
    assert_same(mapped(X), expected(X), weak=False)
    assert_same(ft.jit(ft.vmap(jax.jit(lane), axis_name="i"))(X), expected(X), weak=False)
    slopes = jax.grad(total(expected))(X)
    assert_same(ft.grad(total(mapped))(X), slopes, 256, weak=False)
    assert_same(jax.grad(total(mapped))(X), slopes, 256, weak=False)
    each = jax.vmap(jax.grad(lane), axis_name="i")(X)
    assert_same(ft.vmap(jax.grad(lane), axis_name="i")(X), each, 256, weak=False)


def test_axes_of_both_at_once() -> None:
    xy = np.arange(6, dtype=np.float32).reshape(2, 3)

    def lane(of_i: Any, of_j: Any) -> Callable[[Any], Any]:
        return lambda x: x * of_i.psum(x, "i") + of_j.psum(x * x, "j")

    by_jax = jax.vmap(jax.vmap(lane(jax.lax, jax.lax), axis_name="j"), axis_name="i")(xy)
    for inner, outer in ((ft, jax), (jax, ft)):
        for of_i in (flax, jax.lax):
            for of_j in (flax, jax.lax):
                found = outer.vmap(inner.vmap(lane(of_i, of_j), axis_name="j"), axis_name="i")(xy)
                assert_same(found, by_jax, weak=False)
    both = ft.vmap(jax.vmap(lambda x: x / flax.psum(x, ("i", "j")), axis_name="j"), axis_name="i")(xy)
    assert_same(both, xy / xy.sum(), weak=False)


def test_an_inner_axis_hides_an_outer_one_of_the_same_name() -> None:
    xy = np.arange(6, dtype=np.float32).reshape(2, 3)
    expected = xy / xy.sum(1, keepdims=True)
    for inner, outer in ((ft, jax), (jax, ft)):
        for lax in (flax, jax.lax):
            lane = lambda x, lax=lax: x / lax.psum(x, "i")
            assert_same(outer.vmap(inner.vmap(lane, axis_name="i"), axis_name="i")(xy), expected, weak=False)


@pytest.mark.parametrize("lax", [flax, jax.lax], ids=["functrans", "jax"])
def test_an_unknown_axis_is_named(lax: Any) -> None:
    for transform in (ft.grad, jax.grad, ft.jit, jax.jit):
        with pytest.raises(NameError, match="nowhere"):
            transform(lambda x: lax.psum(x, "nowhere"))(1.0)
    for vmap in (ft.vmap, jax.vmap):
        with pytest.raises(NameError, match="nowhere"):
            vmap(lambda x: lax.psum(x, "nowhere"), axis_name="i")(X)
        assert_same(vmap(lambda x: lax.psum(x, "i"), axis_name="i")(X), np.full(3, 7, np.float32), weak=False)
