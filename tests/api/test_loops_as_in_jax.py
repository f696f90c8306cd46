"""Small print of loops and branches that JAX's programs count on."""

from __future__ import annotations

import functools
from typing import Any

import jax
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp

LANES = np.arange(5, dtype=np.float32)


def test_what_every_branch_hands_on_is_the_same_in_all_lanes() -> None:
    """So that a result that no lane decides may leave vmap without an axis, whatever decides between the branches."""

    def chosen(x: Any, y: Any) -> Any:
        return ft.lax.cond(x < 3, lambda x, y: (x * 2, y, x), lambda x, y: (x * 3, y, y), x, y)

    first, second, third = ft.vmap(chosen, (0, None), (0, None, 0))(LANES, 7.0)
    np.testing.assert_array_equal(first, [0, 2, 4, 9, 12])
    assert second.shape == ()
    np.testing.assert_array_equal(third, [0, 1, 2, 7, 7])
    slope = ft.grad(lambda y: fnp.sum(ft.vmap(chosen, (0, None), (0, None, 0))(LANES, y)[1]))(7.0)
    assert float(slope) == 1.0
    with pytest.raises(ValueError, match=r"out_axes is None for result\[2\]"):
        ft.vmap(chosen, (0, None), (0, None, None))(LANES, 7.0)


def test_a_carry_that_no_step_changes_is_what_it_was() -> None:
    def steps(x: Any, y: Any) -> Any:
        (a, b), _ = ft.lax.scan(lambda c, _: ((c[0] + x, c[1]), None), (0.0, y), None, length=3)
        return a, b

    total, same = ft.vmap(steps, (0, None), (0, None))(LANES, 7.0)
    np.testing.assert_allclose(total, 3 * LANES)
    assert float(same) == 7.0
    assert [float(g) for g in ft.grad(lambda x, y: sum(steps(x, y)), (0, 1))(1.0, 2.0)] == [3.0, 1.0]

    def within(x: Any, y: Any) -> Any:
        kept = lambda _, y: ft.lax.scan(lambda y, _: (y, None), y, None, length=1)[0]
        return ft.lax.cond(x < 0, kept, kept, x, y)

    assert float(ft.vmap(within, (0, None), None)(LANES, 7.0)) == 7.0


@pytest.mark.parametrize("disabled", [False, True])
def test_a_body_cannot_write_to_the_first_carry(disabled: bool) -> None:
    def add_up(carry: Any) -> Any:
        x, y = carry
        x += 1
        return x, y + x

    start = np.array(1.0, np.float32)
    with jax.disable_jit(disabled):
        looped = ft.lax.while_loop(lambda c: c[0] < 10, add_up, (start, start))
        scanned, _ = ft.lax.scan(lambda c, _: (add_up(c), None), (start, start), None, length=3)
    assert [float(x) for x in (*looped, *scanned)] == [10.0, 55.0, 4.0, 10.0]
    assert float(start) == 1.0


@pytest.mark.parametrize(
    "use",
    [
        lambda f, x: jax.eval_shape(f, x).shape,
        lambda f, x: jax.vmap(f)(x[None])[0],
        lambda f, x: jax.jvp(f, (x,), (x,))[1],
        lambda f, x: ft.jit(f)(x),
    ],
    ids=["eval_shape", "vmap", "jvp", "jit"],
)
def test_a_value_that_is_traced_is_none_under_disable_jit(use: Any) -> None:
    def f(of: Any, x: Any) -> Any:
        x = of.lax.cond(x > 0, lambda x: x + 1, lambda x: x, x)
        x = of.lax.switch(x.astype(int) % 2, [lambda x: x, lambda x: 2 * x], x)
        return of.lax.while_loop(lambda x: x < 100, lambda x: 2 * x, x)

    x = jax.numpy.float32(3)
    with jax.disable_jit():
        assert use(functools.partial(f, ft), x) == use(functools.partial(f, jax), x)


def test_batches_of_no_size_are_one_batch() -> None:
    np.testing.assert_array_equal(ft.lax.map(lambda x: x * x, LANES, batch_size=0), LANES**2)
    with pytest.raises(ValueError, match="batch_size=-1, which is negative"):
        ft.lax.map(lambda x: x, LANES, batch_size=-1)


@pytest.mark.parametrize("lower", [0, np.int32(0)])
@pytest.mark.parametrize("traced", [False, True])
def test_the_index_of_a_loop_is_as_weak_as_its_lower_bound(lower: Any, traced: bool) -> None:
    def loops(of: Any) -> Any:
        seen: list[Any] = []

        def loop(n: Any) -> Any:
            return of.lax.fori_loop(lower, n, lambda i, x: (seen.append(jax.typeof(i)), x)[1], 0.0)

        of.jit(loop)(np.int32(3)) if traced else of.jit(lambda: loop(np.int32(3)))()
        return seen[-1].weak_type

    assert loops(ft) is loops(jax)


@pytest.mark.parametrize("jitted", [False, True])
@pytest.mark.parametrize("strong", [(0,), (1,), (0, 2), (1, 2), (0, 1, 2), ()])
def test_results_of_branches_are_as_weak_as_those_of_the_first(strong: tuple[int, ...], jitted: bool) -> None:
    """What the false branch of ``cond`` hands on keeps its type, whatever the true one makes."""

    def results(of: Any) -> list[Any]:
        branches = [lambda x, i=i: (x + np.float32(i) if i in strong else x + 1.0 * i, 1.0) for i in range(3)]

        def choose(index: Any, x: Any) -> Any:
            return of.lax.cond(index > 1, branches[1], branches[0], x), of.lax.switch(index, branches, x)

        found = (of.jit(choose) if jitted else choose)(np.int32(2), 1.0)
        return [(float(x), jax.typeof(x)) for x in jax.tree.leaves(found)]

    assert results(ft) == results(jax)


def test_rules_that_jit_keeps_hold_no_traced_values() -> None:
    """A rule that is traced late is kept with the program; what the function was called with is not."""
    square = ft.custom_jvp(lambda x: x * x)
    square.defjvps(lambda g, ans, x: 2.0 * g * x)
    cube = ft.custom_vjp(lambda x: x**3)
    cube.defvjp(lambda x: (x**3, x), lambda x, g: (3.0 * x * x * g,))

    @ft.jit
    def program() -> Any:
        a = fnp.array(1.0)
        return ft.lax.scan(lambda x, _: (square(x + a) + cube(x + a), None), fnp.array(0.0), None, length=2)[0]

    with ft.checking_leaks():
        assert float(program()) == 36.0
