"""Derivatives up to the fourth order against mpmath, which differentiates in fifty digits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans import lax

pytestmark = pytest.mark.usefixtures("x64")
HIGHEST_ORDER = 4

UNARY: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any], tuple[float, ...]]] = {
    "sin": (fnp.sin, mpmath.sin, (0.0, 0.7, -2.5, 30.0)),
    "cos": (fnp.cos, mpmath.cos, (0.0, 0.7, -2.5)),
    "tan": (fnp.tan, mpmath.tan, (0.0, 0.7, -1.2)),
    "arcsin": (fnp.arcsin, mpmath.asin, (0.0, 0.6, -0.9)),
    "arccos": (fnp.arccos, mpmath.acos, (0.0, 0.6, -0.9)),
    "arctan": (fnp.arctan, mpmath.atan, (0.0, 0.7, -8.0)),
    "sinh": (fnp.sinh, mpmath.sinh, (0.0, 0.7, -2.5)),
    "cosh": (fnp.cosh, mpmath.cosh, (0.0, 0.7, -2.5)),
    "tanh": (fnp.tanh, mpmath.tanh, (0.0, 0.7, -2.5, 5.0)),
    "arcsinh": (fnp.arcsinh, mpmath.asinh, (0.0, 0.7, -20.0)),
    "arccosh": (fnp.arccosh, mpmath.acosh, (1.5, 20.0)),
    "arctanh": (fnp.arctanh, mpmath.atanh, (0.0, 0.7, -0.9)),
    "exp": (fnp.exp, mpmath.exp, (0.0, 0.7, -2.5)),
    "exp2": (fnp.exp2, lambda x: mpmath.power(2, x), (0.0, 0.7, -2.5)),
    "expm1": (fnp.expm1, mpmath.expm1, (1e-8, 0.7, -2.5)),
    "log": (fnp.log, mpmath.log, (0.01, 0.7, 30.0)),
    "log2": (fnp.log2, lambda x: mpmath.log(x, 2), (0.3, 30.0)),
    "log10": (fnp.log10, mpmath.log10, (0.3, 30.0)),
    "log1p": (fnp.log1p, mpmath.log1p, (1e-8, 0.7, -0.6)),
    "sqrt": (fnp.sqrt, mpmath.sqrt, (0.04, 0.7, 30.0)),
    "rsqrt": (lax.rsqrt, lambda x: 1 / mpmath.sqrt(x), (0.04, 0.7, 30.0)),
    "cbrt": (fnp.cbrt, mpmath.cbrt, (0.04, 0.7, 30.0)),
    "reciprocal": (lambda x: 1 / x, lambda x: 1 / x, (0.3, -2.5)),
    "square": (fnp.square, lambda x: x * x, (0.0, -2.5)),
    "integer_power": (lambda x: x**5, lambda x: x**5, (0.0, 0.7, -2.5)),
    "negative_power": (lambda x: x**-3, lambda x: x**-3, (0.7, -2.5)),
    "real_power": (lambda x: x**2.5, lambda x: mpmath.power(x, 2.5), (0.7, 30.0)),
    "power_of_two": (lambda x: 2.0**x, lambda x: mpmath.power(2, x), (0.7, -2.5)),
    "power_of_itself": (lambda x: x**x, lambda x: mpmath.power(x, x), (0.7, 2.5)),
    "logistic": (lax.logistic, lambda x: 1 / (1 + mpmath.exp(-x)), (0.0, 0.7, -2.5, 20.0)),
    "logaddexp": (
        lambda x: fnp.logaddexp(x, 0.5),
        lambda x: mpmath.log(mpmath.exp(x) + mpmath.exp(0.5)),
        (0.0, 0.7, -2.5),
    ),
    "hypot": (lambda x: fnp.hypot(x, 2.0), lambda x: mpmath.sqrt(x * x + 4), (0.7, -2.5)),
    "arctan2": (lambda x: fnp.arctan2(x, 2.0), lambda x: mpmath.atan2(x, 2), (0.7, -2.5)),
    "arctan2_of_denominator": (lambda x: fnp.arctan2(2.0, x), lambda x: mpmath.atan2(2, x), (0.7, -2.5)),
    "erf": (lax.erf, mpmath.erf, (0.0, 0.7, -2.5)),
    "erfc": (lax.erfc, mpmath.erfc, (0.7, 2.5)),
    "lgamma": (lax.lgamma, mpmath.loggamma, (0.7, 30.0)),
    "composite": (
        lambda x: fnp.tanh(x) * fnp.sin(x * x) + fnp.exp(-x) / (1 + x * x),
        lambda x: mpmath.tanh(x) * mpmath.sin(x * x) + mpmath.exp(-x) / (1 + x * x),
        (0.3, 1.1),
    ),
}
ROUNDINGS = {"erf": 512, "erfc": 512, "lgamma": 2048, "logistic": 512}
"""Series of many terms round more often than the one or two steps of the others."""


def exact(function: Callable[[Any], Any], x: float, order: int) -> tuple[float, float]:
    """The derivative, and its size in the sense of how much it changes by a relative rounding of the argument."""
    with mpmath.workdps(60):
        derivative = mpmath.diff(function, mpmath.mpf(x), order)
        slope = mpmath.diff(function, mpmath.mpf(x), order + 1)
        return float(mpmath.re(derivative)), float(abs(derivative) + abs(slope * x))


@pytest.mark.parametrize("name", UNARY)
def test_derivatives_of_every_order(name: str) -> None:
    function, precise, points = UNARY[name]
    # A derivative is a sum of terms as large as those of the lower orders; rounding is measured at that scale.
    for x in points:
        derivative, scale = function, 0.0
        for order in range(HIGHEST_ORDER + 1):
            expected, size = exact(precise, x, order)
            scale = max(scale, size)
            # mpmath differentiates by differences of sixty digits, whose error is absolute.
            tolerance = 1e-40 + ROUNDINGS.get(name, 64) * 2.0**-52 * scale * max(1, order) ** 2
            found = float(derivative(x))
            assert abs(found - expected) <= tolerance, f"{name}, order {order} at {x}: {found}, exactly {expected}"
            derivative = ft.grad(derivative)


@pytest.mark.parametrize(
    "name", ["sin", "cos", "tanh", "exp", "log", "sqrt", "sinh", "cosh", "reciprocal", "integer_power"]
)
def test_complex_derivatives(name: str) -> None:
    function, precise, _ = UNARY[name]
    for z in (0.3 + 0.4j, -0.8 + 1.1j, 1.5 - 0.2j):
        derivative: Any = function
        for order in range(3):
            with mpmath.workdps(60):
                expected = complex(mpmath.diff(precise, mpmath.mpc(z), order))
            found = complex(derivative(np.complex128(z)))
            assert abs(found - expected) <= 128 * 2.0**-52 * max(1.0, abs(expected)), f"order {order} at {z}"
            derivative = ft.grad(derivative, holomorphic=True)


@pytest.mark.parametrize("name", ["sin", "exp", "tanh", "log", "sqrt", "arctan", "expm1", "log1p", "logistic"])
def test_first_derivatives_in_single_precision(name: str) -> None:
    function, precise, points = UNARY[name]
    for x in points:
        single = np.float32(x)
        expected, size = exact(precise, float(single), 1)
        found = ft.grad(function)(single)
        assert found.dtype == np.float32
        assert abs(float(found) - expected) <= 32 * 2.0**-23 * max(size, abs(exact(precise, float(single), 0)[0]))


def test_gradients_stay_finite_where_intermediate_values_overflow() -> None:
    gradient = ft.grad(lambda x: fnp.logaddexp(x, 0.0))
    assert float(gradient(1000.0)) == 1.0 and float(gradient(-1000.0)) == 0.0
    sigmoid = ft.grad(lax.logistic)
    assert float(sigmoid(1000.0)) == 0.0 and float(sigmoid(-1000.0)) == 0.0
    assert float(ft.grad(fnp.tanh)(1000.0)) == 0.0


def test_mixed_partial_derivatives_of_two_variables() -> None:
    def function(x: Any, y: Any) -> Any:
        return fnp.exp(x * y) * fnp.sin(x + y) / (1 + y * y)

    def precise(x: Any, y: Any) -> Any:
        return mpmath.exp(x * y) * mpmath.sin(x + y) / (1 + y * y)

    x, y = 0.6, -0.4
    for orders in ((1, 0), (0, 1), (1, 1), (2, 1), (1, 2), (2, 2)):
        derivative: Any = function
        for argument, order in enumerate(orders):
            for _ in range(order):
                derivative = ft.grad(derivative, argnums=argument)
        with mpmath.workdps(60):
            expected = float(mpmath.diff(precise, (mpmath.mpf(x), mpmath.mpf(y)), orders))
        assert float(derivative(x, y)) == pytest.approx(expected, rel=1e-12), orders
