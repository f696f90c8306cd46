"""Branches and loops that differ from lane to lane under vmap: values, derivatives, what runs, and its cost."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans import lax
from functrans.control import lane_programs
from functrans.control.switches import SwitchLanes
from functrans.ir.program import all_equations
from tests.agreement import assert_same
from tests.control.compiled import compiled
from tests.control.libraries import values

STRATEGIES = {
    "everywhere": {"HEAVY": 1e30},
    "if any": {"HEAVY": 0, "HEAVY_LANE": 1e30},
    "lane by lane": {"HEAVY": 0, "HEAVY_LANE": 0, "BLOCK": 0},
    "blocks of four": {"HEAVY": 0, "HEAVY_LANE": 0, "LARGEST_BLOCK": 4},
}


@pytest.fixture(params=STRATEGIES)
def strategy(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    ft.clear_caches()
    for name, value in STRATEGIES[request.param].items():
        monkeypatch.setattr(lane_programs, name, value)
    yield request.param
    ft.clear_caches()


def three_ways(np_: Any, lax: Any) -> Any:
    """A function of a lane with an index, an input of its own and one that all lanes share."""

    def f(i: Any, w: Any, x: Any) -> Any:
        branches = [
            lambda w, x: (np_.sin(x @ w), x, np_.sum(w)),
            lambda w, x: (x * 2.0, np_.exp(x), np_.sum(x) ** 2),
            lambda w, x: (np_.tanh(x) @ w @ w, np_.zeros_like(x), 1.5),
        ]
        return lax.switch(i, branches, w, x)

    return f


INDEX = np.asarray([2, 0, 1, 1, 2], np.int32)
W, X = values(3, 3), values(5, 3, seed=1)
OURS, THEIRS = three_ways(fnp, ft.lax), three_ways(jnp, jax.lax)


def in_a_loop(i: Any, w: Any, x: Any) -> Any:
    """What the lanes give one after the other, by JAX."""
    rows = [THEIRS(int(i[k]), w, x[k]) for k in range(len(i))]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *rows)


def total(np_: Any, results: Any) -> Any:
    return sum(np_.sum(np_.sin(r) * (k + 1)) for k, r in enumerate(results))


def once(make: Any) -> Any:
    """JAX's results, computed once for all strategies."""
    return functools.cache(lambda: jax.tree.map(np.asarray, make()))


def loss(w: Any, x: Any) -> Any:
    return total(fnp, ft.vmap(OURS, (0, None, 0))(INDEX, w, x))


@jax.jit
def reference_loss(w: Any, x: Any) -> Any:
    return total(jnp, in_a_loop(INDEX, w, x))


TANGENTS = (X[:3], np.cos(X))
both = (0, 1)
expected_values = once(lambda: jax.jit(lambda w, x: in_a_loop(INDEX, w, x))(W, X))
expected_slopes = once(lambda: jax.jit(jax.grad(reference_loss, both))(W, X))
expected_second = once(lambda: jax.jit(lambda: jax.jvp(jax.grad(reference_loss, both), (W, X), TANGENTS))())
expected_twice = once(lambda: jax.jit(jax.grad(lambda w: jnp.sum(jax.grad(lambda v: reference_loss(v, X))(w) ** 2)))(W))


def test_values_and_slopes(strategy: str) -> None:
    assert_same(ft.vmap(OURS, (0, None, 0))(INDEX, W, X), expected_values(), weak=False)
    assert_same(ft.grad(loss, both)(W, X), expected_slopes(), operations=500, weak=False)
    by_lane = ft.vmap(ft.grad(lambda i, w, x: total(fnp, OURS(i, w, x)), argnums=(1, 2)), (0, None, 0))
    w_slopes, x_slopes = by_lane(INDEX, W, X)
    assert_same((np.sum(w_slopes, 0), x_slopes), expected_slopes(), operations=500, weak=False)


def test_second_derivatives(strategy: str) -> None:
    assert_same(ft.jvp(ft.grad(loss, both), (W, X), TANGENTS), expected_second(), operations=2000, weak=False)
    twice = ft.grad(lambda w: fnp.sum(ft.grad(lambda v: loss(v, X))(w) ** 2))(W)
    assert_same(twice, expected_twice(), operations=20000, weak=False)


@pytest.mark.parametrize("index_axis", [None, 0])
def test_two_maps(strategy: str, index_axis: int | None) -> None:
    w, x = np.stack([W, W.T]), np.stack([X, np.cos(X)])
    index = INDEX if index_axis is None else np.stack([INDEX, INDEX[::-1]])
    gradient = ft.vmap(ft.grad(lambda w, i, x: total(fnp, ft.vmap(OURS, (0, None, 0))(i, w, x))), (0, index_axis, 0))
    expected = _gradients_of_two_maps(index_axis)
    assert_same(gradient(w, index, x), expected, operations=500, weak=False)


@functools.cache
def _gradients_of_two_maps(index_axis: int | None) -> Any:
    def gradient(i: Any) -> Any:
        return jax.jit(jax.grad(lambda v, x: total(jnp, in_a_loop(i, v, x))))

    second = INDEX if index_axis is None else INDEX[::-1]
    return np.stack([gradient(INDEX)(W, X), gradient(second)(W.T, np.cos(X))])


def test_a_branch_not_taken_leaves_no_nan_in_a_derivative(strategy: str) -> None:
    def root(x: Any) -> Any:
        return ft.lax.cond(x > 0.0, fnp.sqrt, lambda x: 0.0 * x, x)

    x = np.asarray([0.0, 4.0, -1.0, 0.25], np.float32)
    slopes = [0.0, 0.25, 0.0, 1.0]
    assert_same(ft.vmap(ft.grad(root))(x), np.float32(slopes))
    assert_same(ft.grad(lambda x: fnp.sum(ft.vmap(root)(x)))(x), np.float32(slopes))
    curvature = ft.grad(lambda x: fnp.sum(ft.grad(lambda x: fnp.sum(ft.vmap(root)(x)))(x)))
    assert_same(curvature(x), np.float32([0.0, -1 / 32, 0.0, -2.0]))


def test_a_loop_in_a_branch_runs_for_the_lanes_that_take_it(strategy: str) -> None:
    """JAX runs it for all lanes, and for ever for those whose values it was not written for."""

    def shrink(x: Any) -> Any:
        def positive(x: Any) -> Any:
            return ft.lax.while_loop(lambda y: (y <= 0) | (y > 1e-3), lambda y: y * 0.1, x)

        def negative(x: Any) -> Any:
            return ft.jit(lambda x: ft.lax.while_loop(lambda y: y < -1e-3, lambda y: y * 0.1, x))(x)

        return ft.lax.cond(x >= 0, positive, negative, x)

    x = np.asarray([0.5, -0.3, 2.0, -7.0, 0.04], np.float32)
    assert_same(ft.vmap(shrink)(x), np.float32([shrink(v) for v in x]))


def test_lanes_that_are_done_do_not_enter_the_loops_inside() -> None:
    def outer(n: Any) -> Any:
        def body(c: Any) -> Any:
            k, total = c
            # ends only for k < 3, which is what every step of an unfinished lane has
            j = ft.lax.while_loop(lambda j: (j < 10) | (k >= 3), lambda j: j + 1, 0)
            inner = ft.lax.scan(
                lambda s, _: (ft.lax.while_loop(lambda v: v < s * 0 + k, lambda v: v + 1, s), None), 0, None, length=2
            )[0]
            chosen = ft.lax.cond(
                k > 1, lambda: ft.lax.while_loop(lambda v: (v < 2) | (k >= 3), lambda v: v + 1, 0), lambda: 0
            )
            return k + 1, total + j + inner + chosen

        return ft.lax.while_loop(lambda c: c[0] < n, body, (0, 0))[1]

    lanes = np.asarray([1, 3, 0, 2], np.int32)
    expected = [sum(10 + k + (2 if k > 1 else 0) for k in range(n)) for n in lanes]
    assert [int(v) for v in ft.vmap(outer)(lanes)] == expected


def test_branches_that_speak_with_other_lanes_all_run() -> None:
    def f(x: Any) -> Any:
        return ft.lax.cond(x > 0, lambda x: x + ft.lax.psum(x, "i"), lambda x: x, x)

    x = np.asarray([1.0, -2.0, 3.0], np.float32)
    assert_same(ft.vmap(f, axis_name="i")(x), np.float32([3.0, -2.0, 5.0]))
    inner = ft.vmap(ft.vmap(f), axis_name="i")
    x = np.asarray([[1.0, -2.0], [3.0, 4.0]], np.float32)
    assert_same(inner(x), np.float32([[5.0, -2.0], [7.0, 6.0]]))


# -- cost --------------------------------------------------------------------------------------------------------------


def fifty_products(p: Any, w: Any, x: Any) -> Any:
    def heavy(x: Any) -> Any:
        for _ in range(50):
            x = fnp.tanh(x @ w)
        return x

    return ft.lax.cond(p, heavy, lambda x: x * 2.0, x)


def fastest(function: Any, *args: Any, times: int = 5) -> float:
    jax.block_until_ready(function(*args))
    best = float("inf")
    for _ in range(times):
        start = time.perf_counter()
        jax.block_until_ready(function(*args))
        best = min(best, time.perf_counter() - start)
    return best


def test_a_heavy_branch_costs_what_the_lanes_that_take_it_cost() -> None:
    w, x = values(300, 300) / 170.0, values(256, 300)
    one, none, every = np.zeros(256, bool), np.zeros(256, bool), np.ones(256, bool)
    one[77] = True
    f = ft.jit(ft.vmap(fifty_products, (0, None, 0)))
    g = ft.jit(ft.vmap(ft.grad(lambda p, w, x: fnp.sum(fifty_products(p, w, x)), argnums=2), (0, None, 0)))
    assert fastest(f, one, w, x) < 0.2 * fastest(f, every, w, x)
    assert fastest(g, one, w, x) < 0.2 * fastest(g, every, w, x)
    single = np.asarray(fifty_products(True, w, x[77]))
    for p in (one, none, every):
        y = np.asarray(f(p, w, x))
        np.testing.assert_array_equal(y[~p], 2.0 * x[~p])
        if p[77]:
            np.testing.assert_allclose(y[77], single, rtol=1e-4)
    slopes = np.asarray(g(one, w, x))
    expected = ft.grad(lambda v: fnp.sum(fifty_products(True, w, v)))(x[77])
    np.testing.assert_allclose(slopes[77], expected, rtol=1e-3, atol=1e-6)
    np.testing.assert_array_equal(slopes[~one], np.full((255, 300), 2.0, np.float32))


def test_nothing_is_duplicated_in_the_compiled_program() -> None:
    w, x, p = values(300, 300), values(256, 300), np.arange(256) == 3
    assert compiled(ft.vmap(fifty_products, (0, None, 0)), p, w, x).dots <= 50


@pytest.mark.parametrize("size", [2_000, 20_000])
def test_an_update_in_place_under_vmap_copies_nothing(size: int) -> None:
    """A step that writes one element must not touch the others: neither in while_loop nor in a cond inside scan."""

    def by_while(start: Any, xs: Any) -> Any:
        return ft.lax.while_loop(
            lambda c: c[0] < size, lambda c: (c[0] + 1, c[1].at[c[0]].add(c[1][c[0] - 1] + 1.0)), (start, xs)
        )[1]

    def by_cond(start: Any, xs: Any) -> Any:
        def step(c: Any, _: Any) -> Any:
            i, x = c
            return (i + 1, ft.lax.cond(i < size, lambda x: x.at[i].set(1.0), lambda x: x, x)), None

        return ft.lax.scan(step, (start, xs), None, length=size)[0][1]

    starts, xs = np.asarray([1, size // 2], np.int32), np.zeros((2, size), np.float32)
    expected = np.zeros((2, size), np.float32)
    expected[0, 1:] = np.arange(1, size)
    expected[1, size // 2 :] = np.arange(1, size - size // 2 + 1)
    np.testing.assert_array_equal(ft.vmap(by_while)(starts, xs), expected)
    np.testing.assert_array_equal(ft.vmap(by_cond)(starts, xs), (expected > 0).astype(np.float32))
    for f in (by_while, by_cond):
        found = compiled(ft.vmap(f), starts, xs)
        assert f"f32[2,{size}]" in found.text
        whole = [line for line in found.text.splitlines() if f"f32[2,{size}]" in line.split(" = ")[-1][:40]]
        bodies = [line for line in whole if " select(" in line or " copy(" in line]
        assert len(bodies) <= 2, bodies  # the copies of the arguments into the loop


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32"])
@pytest.mark.parametrize("update", ["set", "add", "max"])
def test_a_frozen_lane_keeps_every_element(dtype: str, update: str) -> None:
    """Indices so narrow that none is out of bounds, and updates other than writing."""

    def f(n: Any, x: Any) -> Any:
        def step(c: Any) -> Any:
            i, x = c
            place = (i % 100).astype(dtype)
            return i + 1, getattr(x.at[place], update)(2.0)

        return ft.lax.while_loop(lambda c: c[0] < n, step, (0, x))[1]

    n, x = np.asarray([2, 0, 7], np.int32), np.ones((3, 300), np.float32)
    expected = x.copy()
    for lane, count in enumerate(n):
        expected[lane, :count] = 3.0 if update == "add" else 2.0
    np.testing.assert_array_equal(ft.vmap(f)(n, x), expected)


def test_a_carry_that_no_step_changes_is_not_copied_to_lanes() -> None:
    def f(n: Any, w: Any) -> Any:
        return ft.lax.while_loop(lambda c: c[0] < n, lambda c: (c[0] + 1, c[1] @ c[2], c[2]), (0, w[0], w))[1]

    jaxpr = ft.make_jaxpr(ft.vmap(f, (0, None)))(np.arange(5, dtype=np.int32), W)
    shapes = {v.type.shape for eqn in all_equations(jaxpr) for v in eqn.outputs}
    assert (5, 3) in shapes
    assert (5, 3, 3) not in shapes


def test_a_light_cond_is_a_selection() -> None:
    f = ft.vmap(lambda p, x: ft.lax.cond(p, lambda x: x * 2.0, fnp.sin, x))
    x, p = values(5), np.arange(5) % 2 == 0
    (eqn,) = [e for e in ft.make_jaxpr(f)(p, x).equations if type(e.op) is SwitchLanes]
    assert eqn.op.lanes == 5
    text = compiled(f, p, x).text
    assert " while(" not in text and " conditional(" not in text
    assert_same(f(p, x), np.where(p, x * 2.0, np.sin(x)).astype(np.float32))


def _steps(x: Any) -> Any:
    """x times the number of steps of x to 10, which for x <= 0 it never reaches."""
    return lax.while_loop(lambda c: c[0] < 10.0, lambda c: (c[0] + x, c[1] + 1.0), (x, 0.0))[1] * x


def _ruled(transposed: bool) -> Callable[[Any], Any]:
    if transposed:
        function = ft.custom_vjp(_steps)
        function.defvjp(lambda x: (function(x), _steps(x)), lambda steps, ct: (ct * (steps / _steps(steps)) * 3.0,))
        return function
    pushed = ft.custom_jvp(_steps)
    pushed.defjvp(lambda primals, tangents: (pushed(*primals), tangents[0] * _steps(primals[0]) / 3.0))
    return pushed


ENDLESS: dict[str, Callable[[Any], Any]] = {
    "custom_jvp": _ruled(False),
    "custom_vjp": _ruled(True),
    "custom_root": lambda x: lax.custom_root(
        lambda y: y - x, x, lambda f, y: y + 0.0 * _steps(x) - f(y), lambda g, y: y / g(1.0)
    ),
    "custom_linear_solve": lambda x: lax.custom_linear_solve(
        lambda y: x * y, 1.0 + 0.0 * x, lambda a, b: b / a(1.0) + 0.0 * _steps(x), symmetric=True
    ),
    "jit": ft.jit(_steps),
    "checkpoint": ft.checkpoint(_steps),
}  # fmt: skip


@pytest.mark.parametrize("name", ENDLESS)
def test_a_loop_that_would_not_end_in_another_lane_does_not_run_there(name: str) -> None:
    """It stands in an operation that holds it, in a branch, under vmap; what it gives in its own lanes counts."""
    function = ENDLESS[name]
    branching = lambda x: lax.cond(x > 0.0, function, lambda x: x, x)
    xs = np.float32([2.0, -1.0, 3.0, -4.0])
    alone = np.array([function(x) if x > 0 else x for x in xs])
    np.testing.assert_allclose(ft.vmap(branching)(xs), alone, rtol=1e-6)
    np.testing.assert_allclose(ft.jit(ft.vmap(ft.vmap(branching)))(xs.reshape(2, 2)), alone.reshape(2, 2), rtol=1e-6)
    if name not in ("jit", "checkpoint"):  # reverse mode through a loop of unknown length
        slopes = np.array([ft.grad(function)(x) if x > 0 else 1.0 for x in xs])
        np.testing.assert_allclose(ft.vmap(ft.grad(branching))(xs), slopes, rtol=1e-6)
