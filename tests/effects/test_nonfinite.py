"""debug_nans and debug_infs name the line of the operation in which a NaN was born."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import pytest

import functrans as ft
from functrans import lax
from functrans import numpy as fnp
from functrans.errors import NonFiniteError


def logarithm(x: Any) -> Any:
    y = x * 2.0
    z = fnp.log(y)  # born here
    return z + 1.0


def sliding(x: Any) -> Any:
    def body(c: Any, _: Any) -> Any:
        return c - 1.0, fnp.log(c)  # born here

    return lax.scan(body, x, None, length=8)[1].sum()


def until(x: Any) -> Any:
    def body(c: Any) -> Any:
        i, v = c
        return i + 1, fnp.sqrt(v - 1.0)  # born here

    return lax.while_loop(lambda c: c[0] < 9, body, (0, x))[1]


def deep(x: Any) -> Any:
    branch = ft.jit(lambda v: lax.cond(v < 10.0, sliding, lambda u: u, v))
    return lax.fori_loop(0, 2, lambda i, c: branch(c), x)


@ft.custom_jvp
def custom(x: Any) -> Any:
    return fnp.log(x)  # born here


custom.defjvp(lambda p, t: (custom(p[0]), t[0] / p[0]))


def backward(x: Any) -> Any:
    y = x * x  # born here: the square root sends back an infinity, which meets 2 * 0
    return fnp.sqrt(y)  # the tangent is born here


def ratio(x: Any) -> Any:
    masked = fnp.where(x > 0, fnp.log(x), 0.0)
    difference = x - x
    return masked + difference / difference  # born here


ROWS: dict[str, tuple[Any, Any, list[str]]] = {
    "straight": (logarithm, -1.0, ["log(-2.0) = nan"]),
    "jit": (ft.jit(logarithm), -1.0, ["log(-2.0) = nan"]),
    "an element": (ft.jit(logarithm), np.array([[1.0, 2.0], [-3.0, -4.0]], np.float32), ["log(-6.0) = nan", "(1, 0)"]),
    "vmap": (ft.vmap(logarithm), np.array([1.0, -2.0], np.float32), ["log(-4.0) = nan at index (1,)"]),
    "scan": (ft.jit(sliding), 3.5, ["log(-0.5) = nan", "in step 4 of scan"]),
    "scan, un-jitted": (sliding, 3.5, ["in step 4 of scan"]),
    "while": (ft.jit(until), 3.0, ["sqrt(-", "in step 2 of while"]),
    "nested to depth four": (
        ft.jit(deep), 4.5, ["log(-0.5) = nan", "in scan", "in jit", "in switch", "step 5 of scan"]),
    "a custom rule": (ft.jit(lambda x: custom(x) * 2.0), -1.0, ["log(-1.0) = nan", "in custom_jvp"]),
    "the forward pass": (ft.grad(logarithm), -1.0, ["log(-2.0) = nan"]),
    "the backward pass": (ft.grad(backward), 0.0, ["in the backward pass", "mul(", "= nan"]),
    "the backward pass, jit": (ft.jit(ft.grad(backward)), 0.0, ["in the backward pass", "mul("]),
    "the backward pass of a scan": (
        ft.grad(lambda x: lax.scan(lambda c, _: (backward(c), None), x, None, length=2)[0]), 0.0,
        ["in the backward pass", "in scan"]),
    "the tangent": (
        lambda x: ft.jvp(backward, (x,), (0.0,))[1], 0.0, ["mul(0.0, inf) = nan", "# the tangent is born here"]),
    "not one that is masked": (ft.jit(ratio), -1.0, ["div(0.0, 0.0) = nan"]),
    "complex": (ft.jit(lambda x: (x * 1.0j - x * 1.0j) / (x - x)), 1.0, ["div("]),  # born here
    "half precision": (ft.jit(logarithm), np.asarray(-1.0, jax.numpy.bfloat16), ["log(-2) = nan"]),
}  # fmt: skip


@pytest.fixture
def nans() -> Iterator[None]:
    with jax.debug_nans(True):
        yield


@pytest.mark.parametrize("name", ROWS)
def test_the_line_where_a_nan_was_born(name: str, nans: None) -> None:
    f, x, fragments = ROWS[name]
    with pytest.raises(FloatingPointError) as caught:
        f(x)
    text = str(caught.value)
    assert isinstance(caught.value, NonFiniteError)
    assert "a NaN was born in" in text
    assert "born here" in text, text
    for fragment in fragments:
        assert fragment in text, text


@pytest.mark.parametrize("f", [logarithm, ft.jit(logarithm), ft.jit(ft.grad(logarithm)), sliding, ft.jit(deep)])
def test_finite_results_are_left_alone(f: Any) -> None:
    plain = f(9.5)
    with jax.debug_nans(True), jax.debug_infs(True):
        assert float(f(9.5)) == float(plain)


def test_a_masked_nan_is_no_error(nans: None) -> None:
    assert float(ft.jit(lambda x: fnp.where(x > 0, fnp.log(x), 0.0))(-1.0)) == 0.0


def test_a_nan_that_comes_in_is_said_to(nans: None) -> None:
    with pytest.raises(FloatingPointError, match=r"it came in with input 0 \(f32\[\]\*?\)"):
        ft.jit(logarithm)(np.float32(np.nan))


def test_an_operation_outside_of_any_program_names_its_line(nans: None) -> None:
    with pytest.raises(FloatingPointError, match=r"log\(-1.0\) = nan") as caught:
        fnp.log(np.float32(-1.0))  # born here
    assert "# born here" in str(caught.value)
    with pytest.raises(FloatingPointError) as caught:
        fnp.log(np.float32(-1.0))  # born on this line
    assert "# born on this line" in str(caught.value)


def test_infinities() -> None:
    f = ft.jit(lambda x: 1.0 / x)
    with jax.debug_infs(True):
        with pytest.raises(FloatingPointError, match=r"an infinity was born in div[\s\S]*div\(1.0, 0.0\) = inf"):
            f(0.0)
        assert np.isnan(float(ft.jit(logarithm)(-1.0)))
        with jax.debug_nans(True), pytest.raises(FloatingPointError, match="a NaN or an infinity was born in log"):
            ft.jit(logarithm)(-1.0)
    assert float(f(0.0)) == np.inf


def test_the_switch_works_for_functions_in_the_fast_path_and_for_the_whole_process() -> None:
    f = ft.jit(logarithm)
    for _ in range(5):
        assert np.isnan(float(f(-1.0)))
    ft.config.update("jax_debug_nans", True)
    try:
        with pytest.raises(NonFiniteError):
            f(-1.0)
        with jax.debug_nans(False):
            assert np.isnan(float(f(-1.0)))
        with pytest.raises(NonFiniteError):
            f(-1.0)
        with pytest.raises(FloatingPointError):
            jax.jit(jax.numpy.log)(-1.0)  # JAX's own functions are looked at by JAX
    finally:
        ft.config.update("jax_debug_nans", False)
    assert np.isnan(float(f(-1.0)))


def test_effects_happen_once_though_the_program_runs_again(nans: None) -> None:
    seen: list[float] = []

    def f(x: Any) -> Any:
        ft.debug.callback(lambda v: seen.append(float(v)), x)
        return logarithm(x)

    with pytest.raises(FloatingPointError, match="born in log"):
        ft.jit(f)(-1.0)
    assert seen == [-1.0]

    def g(x: Any) -> Any:
        return logarithm(ft.io_callback(lambda v: (seen.append(float(v)), v)[1], x, x))

    with pytest.raises(FloatingPointError, match="cannot be run again to find the place"):
        ft.jit(g)(-2.0)
    assert seen == [-1.0, -2.0]


def test_donated_arguments_are_kept_for_the_second_run(nans: None) -> None:
    f = ft.jit(logarithm, donate_argnums=0)
    with pytest.raises(FloatingPointError, match="born in log"):
        f(jax.numpy.full(5, -1.0))


def test_two_equal_programs_name_their_own_lines(nans: None) -> None:
    for words, f in (("# one", lambda x: fnp.log(x)),  # one
                     ("# two", lambda x: fnp.log(x))):  # two  # fmt: skip
        with pytest.raises(FloatingPointError) as caught:
            ft.jit(f)(-1.0)
        assert words in str(caught.value)
