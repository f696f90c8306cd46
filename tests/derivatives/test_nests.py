"""Nested derivatives of a scalar function: collapsed they are what the nest written out is, in a small program."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans import lax
from tests.derivatives.nest_programs import collapsing, derivative, differences
from tests.turns import THOROUGH

pytestmark = pytest.mark.usefixtures("x64")
CHOICES: dict[str, Callable[[Any], Any]] = {
    "abs": fnp.abs,
    "relu": ft.nn.relu,
    "tie": lambda x: fnp.maximum(x, x),
    "where": lambda x: fnp.where(x > 1, x, x * x),
    "sqrt of relu": lambda x: fnp.sqrt(ft.nn.relu(x)),
    "cond": lambda x: lax.cond(x > 1, fnp.sin, fnp.cos, x),
}
BOUND = 1e-10  # of these programs; one in thousands loses more digits, the nest and all
SHARE = 250 if THOROUGH else 40


def f(x: Any) -> Any:
    return fnp.tanh(x) * fnp.sin(x * x) + fnp.exp(-x) / (1 + x * x)


def nested(function: Callable[[Any], Any], order: int, transform: Any = ft.grad) -> Callable[[Any], Any]:
    for _ in range(order):
        function = transform(function)
    return function


def exact(order: int, x: float) -> float:
    def precise(x: Any) -> Any:
        return mpmath.tanh(x) * mpmath.sin(x * x) + mpmath.exp(-x) / (1 + x * x)

    with mpmath.workdps(60):
        return float(mpmath.taylor(precise, mpmath.mpf(x), order)[order] * mpmath.factorial(order))


def forward(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda x: ft.jvp(function, (x,), (1.0,))[1]


@pytest.mark.parametrize("transform", [ft.grad, forward, ft.jacfwd, ft.jacrev, ft.hessian], ids=lambda t: t.__name__)
def test_every_transform_nests(transform: Any) -> None:
    levels = 3 if transform is ft.hessian else 6
    assert float(nested(f, levels, transform)(0.7)) == pytest.approx(exact(6, 0.7), rel=1e-13)
    assert float(ft.jit(nested(f, levels, transform))(0.7)) == pytest.approx(exact(6, 0.7), rel=1e-13)


def test_the_twelfth_derivative() -> None:
    assert float(nested(f, 12)(0.7)) == pytest.approx(exact(12, 0.7), rel=1e-12)


def equations(order: int) -> int:
    program = derivative(f, order)
    return sum(len(eqn.op.program_in_place().equations) if eqn.op.name == "derivatives" else 1
               for eqn in program.equations)  # fmt: skip


def test_the_program_grows_with_the_square_of_the_order() -> None:
    assert 100 < equations(8) <= 300
    assert equations(16) <= 4 * equations(8)
    collapsed = equations(6)
    with collapsing(False):
        assert equations(6) > 4 * collapsed


def test_random_smooth_programs_agree_wherever_the_nest_is_finite() -> None:
    compared = 0
    for found, error in differences(range(SHARE), smooth=True, on=None):
        if np.isfinite(found.nest):
            compared += 1
            assert error <= BOUND, found
    assert compared > 3 * SHARE


def test_programs_with_choices_agree_when_they_are_collapsed() -> None:
    found = [(error, np.isfinite(d.nest + d.collapsed)) for d, error in differences(range(40), False, True)]
    finite = [error for error, both in found if both]
    assert len(finite) > 200
    assert max(finite) <= BOUND


@pytest.mark.parametrize("point", [0.0, -0.0, 1.0, -1.0, 3.0])
@pytest.mark.parametrize("function", CHOICES.values(), ids=CHOICES)
def test_by_default_choices_have_the_derivatives_of_the_nest(function: Any, point: float) -> None:
    found = float(nested(function, 3)(point))
    with collapsing(False):
        np.testing.assert_equal(found, float(nested(function, 3)(point)))


def test_values_of_lower_order_and_other_variables_come_along() -> None:
    def g(x: Any, y: Any) -> Any:
        return fnp.exp(x * y) * x

    def mixed(x: Any) -> Any:
        value, slope = ft.value_and_grad(lambda u: g(u, x))(x)  # the inner function captures what the outer moves
        return value * slope

    x = 0.4
    by_hand = float(nested(mixed, 3)(x))
    with collapsing(False):
        assert by_hand == pytest.approx(float(nested(mixed, 3)(x)), rel=1e-12)
    product = nested(lambda x: x * nested(f, 2)(x), 2)
    assert float(product(x)) == pytest.approx(2 * exact(3, x) + x * exact(4, x), rel=1e-12)


def test_has_aux_holomorphic_and_lanes() -> None:
    slope = ft.grad(lambda x: ft.grad(lambda u: (f(u), u * 2), has_aux=True)(x)[0])
    assert float(slope(0.7)) == pytest.approx(exact(2, 0.7), rel=1e-13)
    third = nested(lambda z: fnp.sin(z) * z, 3, lambda g: ft.grad(g, holomorphic=True))
    z = 0.3 + 0.2j
    assert complex(third(z)) == pytest.approx(-3 * np.sin(z) - z * np.cos(z), rel=1e-13)
    points = np.array([0.1, 0.7, 1.5])
    np.testing.assert_allclose(ft.vmap(nested(f, 5))(points), [exact(5, x) for x in points], rtol=1e-12)
    np.testing.assert_allclose(ft.vmap(ft.grad(lambda x: ft.vmap(nested(f, 3))(x * points).sum()))(points[:1]),
                               [sum(p * exact(4, 0.1 * p) for p in points)], rtol=1e-12)  # fmt: skip


def test_custom_rules_and_effects_keep_the_nest() -> None:
    @ft.custom_vjp
    def clipped(x: Any) -> Any:
        return x * x * x

    clipped.defvjp(lambda x: (clipped(x), x), lambda x, ct: (fnp.clip(3 * x * x * ct, -1.0, 1.0),))
    assert float(nested(clipped, 3)(2.0)) == 0.0  # as the clipped slope says, and not 6

    calls = []

    def seen(x: Any) -> Any:
        ft.debug.callback(calls.append, x)
        return x**4

    assert float(nested(seen, 3)(2.0)) == 48.0
    ft.effects_barrier()
    assert len(calls) == 1


@pytest.mark.parametrize("on", [None, True])
def test_a_nest_that_speaks_with_other_lanes_keeps_their_cotangents(on: bool | None) -> None:
    def f(x: Any) -> Any:
        return lax.psum(fnp.sin(x * x), "lane") * x

    points = np.array([0.3, 0.7, 1.1])
    with collapsing(on):
        found = ft.vmap(nested(f, 3), axis_name="lane")(points)
    with collapsing(False):
        expected = ft.vmap(nested(f, 3), axis_name="lane")(points)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_value_of_an_inner_derivative_can_be_asked_for() -> None:
    def g(x: Any) -> Any:
        slope = ft.grad(f)(x)
        return slope * slope if slope > 0 else x**3

    for x in (0.7, 2.0):
        with collapsing(False):
            expected = float(nested(g, 3)(x))
        assert float(nested(g, 3)(x)) == pytest.approx(expected, rel=1e-11)


def test_the_switch_refuses_other_values() -> None:
    with pytest.raises(TypeError, match="True, False or None"):
        ft.collapse_nests(1)  # type: ignore[arg-type]


def test_float32_and_half() -> None:
    for dtype, digits in ((np.float32, 1e-5), (np.float16, 2e-2)):
        found = nested(f, 4)(dtype(0.7))
        assert found.dtype == dtype
        assert float(found) == pytest.approx(exact(4, float(dtype(0.7))), rel=digits)
    assert math.isfinite(float(nested(f, 3)(np.float32(0.0))))
