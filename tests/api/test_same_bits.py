"""The same un-jitted call on the same values gives the same bits, whatever ran between."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans import lax

pytestmark = pytest.mark.usefixtures("x64")

STEPS: list[Callable[[Any, float, float], Any]] = [
    lambda x, c, d: x * c,
    lambda x, c, d: x / c,
    lambda x, c, d: (x * c) * d + x,
    lambda x, c, d: fnp.sin(x / c),
    lambda x, c, d: abs(x + 1.5) ** c,
    lambda x, c, d: fnp.where(x > c, x * d, x - c),
    lambda x, c, d: fnp.maximum(x, c) + fnp.exp(-x * d),
    lambda x, c, d: lax.scan(lambda a, _: (a * c + fnp.sin(a), None), x, None, length=3)[0],
    lambda x, c, d: ft.jit(lambda y: y / c + y)(x),
    lambda x, c, d: lax.cond(fnp.ravel(x)[0] > c, lambda y: y * c, lambda y: y / d, x),
    lambda x, c, d: ft.checkpoint(lambda y: fnp.tanh(y / c))(x),
]


def unrolled(x: Any, c: float, d: float) -> Any:
    for i in range(13):  # a chain of segments
        x = x * 0.9 + fnp.sin(x * c) / (d + i)
    return x


def program(rng: np.random.Generator) -> Callable[[Any, list[float]], Any]:
    steps = [(STEPS[rng.integers(len(STEPS))], *rng.integers(0, 4, 2)) for _ in range(4)]
    if rng.random() < 0.3:
        steps.append((unrolled, 0, 1))

    def function(x: Any, numbers: list[float]) -> Any:
        for step, i, j in steps:
            x = step(x, numbers[i], numbers[j])
        return fnp.sum(x)

    return function


def bits(tree: Any) -> list[bytes]:
    return [np.asarray(x).tobytes() for x in jax.tree.leaves(tree)]


TRANSFORMS: dict[str, Callable[[Any, Any], Any]] = {
    "value and gradient": lambda f, x: ft.value_and_grad(f)(x),
    "lanes": lambda f, x: ft.vmap(ft.grad(f))(fnp.stack([x, x + 1])),
    "pullback": lambda f, x: ft.vjp(f, x)[1](fnp.ones((), x.dtype)),
    "forward": lambda f, x: ft.jvp(f, (x,), (x,)),
}


@pytest.mark.parametrize("seed", range(6))
def test_a_call_gives_the_same_bits_after_calls_with_other_numbers(seed: int) -> None:
    rng = np.random.default_rng(seed)
    function = program(rng)
    dtype = [np.float32, np.float64, jax.numpy.bfloat16][seed % 3]
    x = fnp.asarray(rng.normal(size=[(), (5,), (1000,)][seed % 3]), dtype)
    first = [float(c) for c in rng.choice([0.5, 2.0, 3.0, 1.0, 0.1, 1.7, 2.5, -0.7], 4)]
    others = [[float(c) for c in rng.uniform(0.2, 3.0, 4)] for _ in range(2)]
    transform = list(TRANSFORMS.values())[seed % len(TRANSFORMS)]

    def call(numbers: list[float]) -> list[bytes]:
        return bits(transform(lambda x: function(x, numbers), x))

    ft.clear_caches()
    results = [call(first)]
    for numbers in others:
        call(numbers)
        results.append(call(first))

    def in_a_thread(numbers: list[float]) -> list[bytes]:
        with ft.enable_x64(True):  # the fixture turned it on for its own thread
            return call(numbers)

    with ThreadPoolExecutor(2) as pool:
        results.append(list(pool.map(in_a_thread, [others[0], first]))[1])
    ft.clear_caches()
    call(others[0])
    results.append(call(first))
    assert all(found == results[0] for found in results)


def test_a_loop_gives_the_same_bits_whatever_number_of_steps_ran_between() -> None:
    x = fnp.asarray(np.random.default_rng(0).normal(size=1000).astype(np.float32))

    def call(n: int, c: float) -> list[bytes]:
        def function(x: Any) -> Any:
            return lax.while_loop(lambda s: s[0] < n, lambda s: (s[0] + 1, fnp.sin(s[1] / c)), (0, x))[1]

        return bits((ft.jvp(function, (x,), (x,)), function(x)))

    results = [call(n, c) for n, c in ((3, 1.7), (4, 1.7), (3, 2.0), (3, 1.7))]
    assert results[0] == results[-1]


def test_a_number_that_changes_and_comes_back_gives_the_bits_it_gave() -> None:
    x = fnp.asarray(np.random.default_rng(0).normal(size=1000).astype(np.float32))

    def call(c: float) -> list[bytes]:
        return bits(ft.grad(lambda x: fnp.sum(fnp.sin(x / c)))(x))

    assert call(3.0) == [call(5.0), call(3.0)][1]


def test_a_program_called_often_gives_the_bits_of_its_first_call() -> None:
    x = fnp.asarray(np.random.default_rng(0).normal(size=7).astype(np.float32))
    gradient = ft.grad(lambda x: fnp.sum(unrolled(x, 1.3, 0.7) ** 2))
    results = [bits(gradient(x)) for _ in range(70)]
    assert all(found == results[0] for found in results)


def test_equal_programs_of_other_lines_do_not_decide_how_a_program_is_cut() -> None:
    x = fnp.asarray(np.random.default_rng(0).normal(size=7).astype(np.float32))
    body = "x = x * 0.9 + sin(x * 1.3) / 0.7"
    loop, written_out = {"sin": fnp.sin}, {"sin": fnp.sin}
    exec(f"def f(x):\n    for _ in range(13):\n        {body}\n    return x", loop)
    exec("def f(x):\n" + f"    {body}\n" * 13 + "    return x", written_out)

    def call(scope: dict[str, Any]) -> list[bytes]:
        return bits(ft.grad(lambda x: fnp.sum(scope["f"](x)))(x))

    ft.clear_caches()
    alone = call(written_out)
    ft.clear_caches()
    call(loop)
    assert call(written_out) == alone


IN_A_NEW_PROCESS = """
import numpy as np, functrans as ft, functrans.numpy as fnp
x = fnp.asarray(np.random.default_rng(0).normal(size=1000).astype(np.float32))
call = lambda c: np.asarray(ft.grad(lambda x: fnp.sum(fnp.sin(x / c) ** 2.5 * c))(x)).tobytes().hex()
numbers = __import__("sys").argv[1:]
print([call(float(c)) for c in numbers][-1])
"""


def test_the_first_call_of_a_process_gives_the_bits_of_a_later_one() -> None:
    found = [
        subprocess.run(
            [sys.executable, "-c", IN_A_NEW_PROCESS, *numbers], check=True, capture_output=True, text=True, timeout=120
        ).stdout
        for numbers in (["3.0"], ["5.0", "7.0", "3.0"])
    ]
    assert found[0] == found[1]


@pytest.mark.parametrize("exponent", [0.5, -0.5, 2.0, 2.5, 3.0, 0.3, -1.7, 1.0, 0.0])
def test_powers_whose_exponent_stays_or_becomes_an_input_are_right(exponent: float) -> None:
    x = np.float64(1.3)
    third = exponent * (exponent - 1) * (exponent - 2) * x ** (exponent - 3)
    for _ in range(2):
        np.testing.assert_allclose(ft.grad(lambda x: x**exponent)(x), exponent * x ** (exponent - 1), rtol=1e-14)
        np.testing.assert_allclose(
            ft.grad(ft.grad(ft.grad(lambda x: x**exponent)))(x), third, rtol=1e-12, atol=1e-15
        )
        ft.grad(lambda x: x**0.123)(x)


def test_new_numbers_compile_nothing() -> None:
    def call(c: float) -> Any:
        return ft.grad(lambda x: lax.scan(lambda a, _: (a * c + fnp.sin(a / (c + 1)), None), x, None, length=3)[0])(0.5)

    call(0.3)
    before = ft.compilation_count()
    for c in (0.4, 0.7, 1.9):
        call(c)
    assert ft.compilation_count() == before
    assert float(lax.mul(fnp.float32(2.0), 1.5)) == 3.0  # an operation outside of any trace, too


def test_a_pullback_holds_a_number_and_not_an_array_of_it() -> None:
    x = fnp.asarray(np.ones(1000))
    _, pullback = ft.vjp(lambda x: fnp.sum(x * 3.0 + x / 1.7), x)
    assert max(np.size(r) for r in jax.tree.leaves(pullback)) <= 1
