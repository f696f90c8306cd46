"""The same value given twice: equal operands are not equal tangents, in any operation of two operands or more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans import lax

POINT = np.float32(1.5)
VECTOR = np.float32([0.5, 1.5, -2.0])
MATRIX = np.float32([[2.0, 0.5, 0.1], [0.3, 3.0, 0.2], [0.1, 0.4, 2.5]])

TWO: dict[str, tuple[Callable[[Any], Callable[..., Any]], Any]] = {
    "mul": (lambda np_: lambda a, b: a * b, POINT),
    "div": (lambda np_: lambda a, b: a / b, POINT),
    "sub": (lambda np_: lambda a, b: a - b, POINT),
    "power": (lambda np_: lambda a, b: a**b, POINT),
    "arctan2": (lambda np_: np_.arctan2, POINT),
    "maximum": (lambda np_: np_.maximum, POINT),
    "minimum": (lambda np_: np_.minimum, POINT),
    "remainder": (lambda np_: lambda a, b: np_.remainder(a * 3.3, b), POINT),
    "hypot": (lambda np_: np_.hypot, POINT),
    "logaddexp": (lambda np_: np_.logaddexp, POINT),
    "where": (lambda np_: lambda a, b: np_.where(a > 1, a, b * 2), VECTOR),
    "clip": (lambda np_: lambda a, b: np_.clip(a * 2, b, b), VECTOR),
    "dot": (lambda np_: np_.dot, VECTOR),
    "outer": (lambda np_: np_.outer, VECTOR),
    "convolve": (lambda np_: np_.convolve, VECTOR),
    "concatenate": (lambda np_: lambda a, b: np_.concatenate([a, b, a]), VECTOR),
    "cross": (lambda np_: np_.cross, VECTOR),
    "matmul": (lambda np_: lambda a, b: a @ b, MATRIX),
    "solve": (lambda np_: np_.linalg.solve, MATRIX),
    "einsum": (lambda np_: lambda a, b: np_.einsum("ij,ik,ij->jk", a, b, a), MATRIX),
    "scatter": (lambda np_: lambda a, b: a.at[1].set(b[0] * 2).at[0].multiply(b[1]), VECTOR),
    "cumsum": (lambda np_: lambda a, b: np_.cumsum(a * b) * b, VECTOR),
}


def _shaken(np_: Any, out: Any) -> Any:
    return np_.sum(out * np_.cos(np_.arange(out.size, dtype=out.dtype).reshape(out.shape)))


def _grad(library: Any, np_: Any, make: Any, argnums: tuple[int, ...] = (0, 1)) -> Callable[[Any], Any]:
    function = make(np_)
    return lambda x: library.grad(lambda a, b: _shaken(np_, function(a, b)), argnums)(x, x)


@pytest.mark.parametrize("name", TWO)
def test_gradients_by_two_arguments_that_are_one_value(name: str) -> None:
    make, x = TWO[name]
    ours, theirs = _grad(ft, fnp, make), _grad(jax, jnp, make)
    expected = theirs(x)
    for how, found in {"un-jitted": ours(x), "jit": ft.jit(ours)(x), "vmap": ft.vmap(ours)(np.stack([x, x]))}.items():
        for a, b in zip(found, expected, strict=True):
            a = a[1] if how == "vmap" else a
            np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-5, err_msg=how)


@pytest.mark.parametrize("name", TWO)
def test_tangents_that_differ_at_operands_that_do_not(name: str) -> None:
    make, x = TWO[name]
    s, t = np.full_like(x, 0.7), np.full_like(x, -1.3)
    expected = jax.jvp(make(jnp), (x, x), (s, t))

    def pushed(x: Any) -> Any:
        return ft.jvp(make(fnp), (x, x), (s, t))

    for found in (pushed(x), ft.jit(pushed)(x)):
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-5)


def test_the_second_derivative_mixes_them_rightly() -> None:
    def mixed(library: Any) -> Any:
        inner = library.grad(lambda a, b: a * b * a, 0)
        return library.jit(lambda x: library.grad(lambda a, b: inner(a, b), (0, 1))(x, x))(POINT)

    np.testing.assert_allclose(mixed(ft), mixed(jax))


def test_a_value_captured_and_given() -> None:
    """The inner function closes over the very value it is applied to."""
    assert ft.jit(lambda x: ft.grad(lambda a: a * x)(x))(POINT) == POINT
    assert ft.grad(lambda x: ft.grad(lambda a: a * x)(x))(POINT) == 1.0
    assert ft.jit(lambda x: lax.scan(lambda c, y: (c * y, c * x), x, fnp.stack([x, x]))[0])(POINT) == POINT**3


def test_a_square_still_costs_one_product() -> None:
    """Equal operands with one tangent are a square: d(x*x) = 2x dx."""
    jaxpr = ft.make_jaxpr(lambda x, t: ft.jvp(lambda x: x * x, (x,), (t,)))(POINT, POINT)
    assert [eqn.op.name for eqn in jaxpr.equations].count("mul") <= 3
