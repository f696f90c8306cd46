"""Effects in checkpoints, in programs compiled ahead of time, inside JAX, and beside collectives."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

import functrans as ft
from functrans import lax
from functrans import numpy as fnp
from tests.effects.programs import PROGRAMS, Log, agree, library, python_log


@pytest.mark.parametrize("kind", ["debug", "io"])
@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_a_checkpoint_computes_again_and_does_nothing_again(name: str, kind: str) -> None:
    log: Log = []
    o = library(log, ordered=True, kind=kind)
    f = lambda x: PROGRAMS[name](o, x)
    slope = ft.jit(ft.grad(ft.checkpoint(f)))(0.3)
    agree(log, python_log(PROGRAMS[name], [0.3]))
    np.testing.assert_allclose(float(slope), float(ft.grad(f)(0.3)), rtol=1e-6)


def test_a_checkpoint_keeps_what_was_read() -> None:
    numbers = iter([3.0, 5.0, 7.0])

    @ft.checkpoint
    def f(x: Any) -> Any:
        weight = ft.io_callback(lambda: np.float32(next(numbers)), ft.ShapeDtypeStruct((), np.float32))
        return fnp.sin(x * weight)

    assert float(ft.jit(ft.grad(f))(0.5)) == pytest.approx(3.0 * np.cos(1.5), rel=1e-6)
    assert next(numbers) == 5.0


def test_ahead_of_time() -> None:
    seen: list[float] = []

    def f(x: Any) -> Any:
        ft.debug.callback(lambda v: seen.append(float(v)), x)
        ft.error_if(x < 0, "negative")
        return fnp.log(x)

    compiled = ft.jit(f).lower(1.0).compile()
    assert float(compiled(1.0)) == 0.0
    assert seen == [1.0]
    with pytest.raises(ValueError, match="negative"):
        compiled(-1.0)
    with jax.debug_nans(True), pytest.raises(FloatingPointError, match="a NaN was born in log"):
        ft.jit(lambda x: fnp.log(x)).lower(1.0).compile()(-1.0)


def test_effects_go_over_to_jax_and_keep_their_order_outside_of_loops(capsys: pytest.CaptureFixture[str]) -> None:
    def f(x: Any) -> Any:
        y = ft.pure_callback(np.sin, x, x, vmap_method="expand_dims")
        return lax.fori_loop(0, 3, lambda i, c: c * 2.0, y, progress="inside JAX")

    g = ft.to_jax(f)
    x = np.float32(0.5)

    def both(x: Any) -> Any:
        first = jax.pure_callback(np.cos, x, x, vmap_method="expand_dims")
        return first + g(x) + g(x * 2.0)

    found = jax.jit(both)(x)
    np.testing.assert_allclose(found, np.cos(0.5) + 8 * np.sin(0.5) + 8 * np.sin(1.0), rtol=1e-6)
    assert "inside JAX: 100%" in capsys.readouterr().err
    xs = np.array([0.5, 1.0], np.float32)
    np.testing.assert_allclose(jax.vmap(g)(xs), 8 * np.sin(xs), rtol=1e-6)
    assert jax.jit(ft.to_jax(lambda x: (ft.debug.print("seen {}", x), x)[1]))(x) == x
    jax.effects_barrier()
    assert "seen 0.5" in capsys.readouterr().out
    assert jax.jit(ft.to_jax(lambda x: (ft.debug.print("in order {}", x, ordered=True), x)[1]))(x) == x
    jax.effects_barrier()
    assert "in order 0.5" in capsys.readouterr().out

    def step(c: Any, _: Any) -> Any:
        ft.debug.print("{}", c, ordered=True)
        return c, None

    with pytest.raises(TypeError, match="ordered=True"):
        jax.jit(ft.to_jax(lambda x: lax.scan(step, x, None, length=2)[0]))(x)


def test_what_a_callback_raises_inside_jax_is_said() -> None:
    def host(v: Any) -> Any:
        raise ValueError("of the user's own")

    with pytest.raises(Exception, match="ValueError: of the user's own"):
        jax.block_until_ready(jax.jit(ft.to_jax(lambda x: ft.pure_callback(host, x, x)))(1.0))


def test_a_collective_cannot_stand_beside_an_effect_in_a_branch_that_lanes_choose() -> None:
    def f(x: Any) -> Any:
        def branch(v: Any) -> Any:
            ft.debug.print("{}", v)
            return lax.psum(v, "i")

        return lax.cond(x > 0, branch, lambda v: v, x)

    with pytest.raises(ValueError, match="runs it lane by lane, and it combines all lanes along the axis 'i'"):
        ft.vmap(f, axis_name="i")(np.ones(3, np.float32))


def test_random_keys_are_no_numbers_to_look_at() -> None:
    key = jax.random.key(0)
    with jax.debug_nans(True):
        assert ft.jit(lambda k: k)(key).dtype == key.dtype
