"""No value is computed more often than a bound allows: what barriers cost, where they stand, and that nothing changes.

Sizes are counted in the compiler's own text and no time is taken; values are held against JAX's, or against the same
program without a bound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given, settings

import functrans as ft
import functrans.numpy as fnp
from benchmarks.rounds import FORWARD, UNROLLED
from benchmarks.scenarios import SCENARIOS
from benchmarks.sides import FunctransSide
from functrans import lax
from functrans.ir.program import all_equations
from functrans.ops.representation import KEEP
from functrans.optimise.recomputation import bounded
from functrans.xla.execute import run
from tests.agreement import assert_same
from tests.laws.random_programs import RandomProgram, programs

BOUND = 16
MOST_GROWTH = 2.2  # from 2n to 4n, in units of that from n to 2n: 2 where it is linear, 4 where it is quadratic


@pytest.fixture
def bound() -> Iterator[Callable[[int | None], None]]:
    """Sets the bound for one test."""
    yield ft.recomputation_bound
    ft.recomputation_bound(BOUND)


def lorenz(xp: Any, n: int) -> Callable[[Any], Any]:
    """Euler steps of the Lorenz system from the three elements of an array."""

    def f(start: Any) -> Any:
        x, y, z, h = start[0], start[1], start[2], 0.01
        for _ in range(n):
            x, y, z = x + h * 10.0 * (y - x), y + h * (x * (28.0 - z) - y), z + h * (x * y - 8.0 / 3.0 * z)
        return x + y + z

    return f


START = np.ones(3, np.float32)


def gradient_of(name: str, n: int) -> tuple[Any, tuple[Any, ...]]:
    f, args = UNROLLED[name][0](fnp, lax, n)
    return ft.jit(ft.grad(f)), args


def barriers(program: Any) -> int:
    """How many there are in a program and those that it holds."""
    return sum(eqn.op is KEEP for eqn in all_equations(program))


def kept(function: Any, *args: Any, most: int = BOUND) -> int:
    return barriers(bounded(ft.make_jaxpr(function)(*args), most))


def growth(few: int, more: int, most: int) -> float:
    return (most - more) / max(more - few, 1)


# -- what it is for ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["newton", "secant", "lorenz", "heat", "n_body"])
def test_the_barriers_and_the_optimised_program_grow_linearly_with_the_rounds(name: str) -> None:
    counts, lines = [], []
    for n in (8, 16, 32):
        gradient, args = gradient_of(name, n)
        lowered = gradient.lower(*args)
        counts.append(lowered.as_text().count("optimization_barrier"))
        lines.append(lowered.compile().as_text().count("\n"))
    assert growth(*counts) <= MOST_GROWTH, counts
    assert growth(*lines) <= MOST_GROWTH, lines


@pytest.mark.parametrize("rounds", [20, 150])
def test_a_gradient_that_would_take_seconds_or_for_ever_is_that_of_its_loop(rounds: int) -> None:
    def looped(start: Any) -> Any:
        def step(state: Any, _: Any) -> tuple[Any, None]:
            x, y, z = state
            return (x + 0.1 * (y - x), y + 0.01 * (x * (28.0 - z) - y), z + 0.01 * (x * y - 8.0 / 3.0 * z)), None

        return sum(jax.lax.scan(step, (start[0], start[1], start[2]), None, length=rounds)[0])

    with jax.enable_x64(True):
        start = START.astype(np.float64)
        np.testing.assert_allclose(ft.jit(ft.grad(lorenz(fnp, rounds)))(start), jax.grad(looped)(start), rtol=1e-9)


def test_a_program_of_jax_gains_the_same() -> None:
    crossed = ft.from_jax(lorenz(jax.numpy, 12))
    assert kept(ft.grad(crossed), START) == kept(ft.grad(lorenz(fnp, 12)), START) > 0


def test_a_step_that_is_jitted_is_bounded_like_one_written_in_place() -> None:
    def heat(u: Any) -> Any:
        return u + 0.1 * (fnp.roll(u, 1) + fnp.roll(u, -1) - 2.0 * u) / (1.0 + u * u)

    def repeated(step: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def f(u: Any) -> Any:
            for _ in range(6):
                u = step(u)
            return fnp.sum(u * u)

        return f

    u = np.linspace(0.0, 1.0, 16, dtype=np.float32)
    plain, called = ft.grad(repeated(heat)), ft.grad(repeated(ft.jit(heat)))
    assert kept(called, u) == kept(plain, u) > 0
    np.testing.assert_allclose(ft.jit(called)(u), ft.jit(plain)(u), rtol=1e-5)


def test_bodies_of_loops_are_bounded_and_small_ones_run() -> None:
    def f(x: Any) -> Any:
        def step(state: Any, _: Any) -> tuple[Any, Any]:
            value = lorenz(fnp, 6)(state)
            return fnp.stack([0.1 * value, state[0], state[1]]), value

        return fnp.sum(lax.scan(step, x, None, length=5)[1])

    x = START * np.float32(0.1)
    assert kept(ft.grad(f), x) > 0
    with jax.enable_x64(True):
        x = x.astype(np.float64)
        unjitted = ft.grad(lambda x: sum([f(x)]))
        np.testing.assert_allclose(ft.jit(ft.grad(f))(x), unjitted(x), rtol=1e-12)


# -- what it leaves alone ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["chain", "mlp", "rnn", "gmm", "least_squares", "convnet"])
def test_ordinary_programs_are_the_same_objects(name: str) -> None:
    function, args = FunctransSide().variant(SCENARIOS[name], SCENARIOS[name].derivative)
    program = ft.make_jaxpr(function)(*args)
    assert bounded(program, BOUND) is program


@pytest.mark.parametrize("name", ["runge_kutta", "rosenbrock", "continued_fraction"])
def test_a_long_program_that_is_one_kernel_stays_one(name: str) -> None:
    gradient, args = gradient_of(name, 12)
    assert "optimization_barrier" not in gradient.lower(*args).as_text()


def test_a_small_loop_has_no_barrier_that_would_keep_it_from_being_one_kernel() -> None:
    f, args = FORWARD["particle_path"](fnp, lax, 2)
    assert kept(ft.jacfwd(ft.jacfwd(f)), *args) == 0
    longer = lambda x: lax.while_loop(lambda x: x[0] < 2.0, lambda x: x + lorenz(fnp, 12)(x), x)
    assert kept(ft.jacfwd(longer), START) > 0


def test_what_is_made_of_numbers_alone_is_not_kept() -> None:
    f, args = UNROLLED["unrolled_scan"][0](fnp, lax, 40)
    assert kept(ft.grad(f), *args) == 0


# -- that nothing else changes -----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("x64")
@settings(max_examples=25)
@given(programs(smooth=False))
def test_random_programs_compute_the_same_behind_as_many_barriers_as_there_can_be(program: RandomProgram) -> None:
    inputs = tuple(map(jax.numpy.asarray, program.inputs()))

    def gradient(*xs: Any) -> Any:
        return ft.grad(lambda *ys: sum(fnp.sum(fnp.sin(r)) for r in program(*ys)), argnums=range(len(inputs)))(*xs)

    traced = ft.jit(gradient).trace(*inputs)
    operands = [*traced.captured, *inputs]
    assert_same(run(bounded(traced.jaxpr, 1), operands), run(traced.jaxpr, operands))


def test_transforms_of_a_compiled_function_see_no_barrier() -> None:
    f = ft.jit(lorenz(fnp, 12))
    f(START)
    assert barriers(ft.make_jaxpr(ft.vmap(ft.grad(f)))(np.stack([START, START]))) == 0


def test_other_platforms_have_no_barriers() -> None:
    traced = ft.jit(ft.grad(lorenz(fnp, 12))).trace(START)
    assert "optimization_barrier" in traced.lower().as_text()
    assert "optimization_barrier" not in traced.lower(lowering_platforms=("cuda",)).as_text()


# -- the switch --------------------------------------------------------------------------------------------------------


def test_a_changed_bound_compiles_anew_and_the_former_one_again_does_not(bound: Callable[[int | None], None]) -> None:
    gradient = ft.jit(ft.grad(lorenz(fnp, 8)))
    first = gradient(START)
    bound(None)
    before = ft.compilation_count()
    without = gradient(START)
    assert ft.compilation_count() == before + 1
    assert "optimization_barrier" not in gradient.lower(START).as_text()
    bound(BOUND)
    again = gradient(START)
    assert ft.compilation_count() == before + 1
    assert np.array_equal(first, again)
    np.testing.assert_allclose(first, without, rtol=1e-5)


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "16"])
def test_a_bound_below_one_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="recomputation_bound: at least 1, or None, got "):
        ft.recomputation_bound(wrong)
