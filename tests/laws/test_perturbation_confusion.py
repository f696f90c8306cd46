"""Nested derivatives keep their perturbations apart.

The examples are those of Siskind and Pearlmutter, "Perturbation confusion and referential transparency" (2005), and
Manzyuk et al., "Perturbation confusion in forward automatic differentiation of higher-order functions" (2019).
Each runs with every way to take the inner and the outer derivative, un-jitted and jitted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans import lax

pytestmark = pytest.mark.usefixtures("x64")
Function = Callable[[Any], Any]


def by_jvp(function: Function) -> Function:
    return lambda x: ft.jvp(function, (x,), (fnp.ones_like(x),))[1]


def by_linearize(function: Function) -> Function:
    return lambda x: ft.linearize(function, x)[1](fnp.ones_like(x))


def by_grad(function: Function) -> Function:
    return ft.grad(function)


def by_vjp(function: Function) -> Function:
    def derivative(x: Any) -> Any:
        value, pullback = ft.vjp(function, x)
        return pullback(fnp.ones_like(value))[0]

    return derivative


def by_jacfwd(function: Function) -> Function:
    return ft.jacfwd(function)


DERIVATIVES = [by_jvp, by_linearize, by_grad, by_vjp, by_jacfwd]
JITS: list[Any] = [lambda function: function, lambda function: ft.jit(function)]
inner_derivative = pytest.mark.parametrize("inner", DERIVATIVES, ids=lambda d: f"inner_{d.__name__}")
outer_derivative = pytest.mark.parametrize("outer", DERIVATIVES, ids=lambda d: f"outer_{d.__name__}")
maybe_jit = pytest.mark.parametrize("jit", JITS, ids=["unjitted", "jitted"])
one = np.float64(1.0)


@inner_derivative
@outer_derivative
@maybe_jit
def test_the_derivative_of_x_times_the_derivative_of_x_plus_y(inner: Any, outer: Any, jit: Any) -> None:
    result = outer(jit(lambda x: x * inner(lambda y: x + y)(one)))(one)
    assert float(result) == 1.0  # A confused system says 2.


@inner_derivative
@outer_derivative
@maybe_jit
def test_an_inner_derivative_of_a_product_with_the_outer_variable(inner: Any, outer: Any, jit: Any) -> None:
    result = outer(lambda x: x * inner(jit(lambda y: x * y * y))(2.0 * one))(3.0 * one)
    assert float(result) == pytest.approx(2 * 3.0 * 4.0, rel=1e-14)  # d/dx of x * (2 x y) at x=3, y=2


@inner_derivative
@outer_derivative
def test_the_inner_point_is_the_outer_variable(inner: Any, outer: Any) -> None:
    result = outer(lambda x: inner(lambda y: fnp.sin(x * y))(x))(0.7 * one)
    expected = math.cos(0.49) - 2 * 0.49 * math.sin(0.49)
    assert float(result) == pytest.approx(expected, rel=1e-13)


@inner_derivative
@outer_derivative
def test_a_constant_inner_function_has_zero_derivative(inner: Any, outer: Any) -> None:
    assert float(outer(lambda x: x * inner(lambda y: x)(one))(one)) == 0.0


@inner_derivative
@maybe_jit
def test_nested_closures_of_depth_three(inner: Any, jit: Any) -> None:
    def first(x: Any) -> Any:
        def second(y: Any) -> Any:
            return inner(jit(lambda z: x**3 * y**2 * z**2))(y)

        return inner(second)(x)

    # inner: 2 x^3 y^3; its derivative in y at x: 6 x^5; the derivative in x: 30 x^4.
    assert float(inner(first)(1.1 * one)) == pytest.approx(30 * 1.1**4, rel=1e-12)


@pytest.mark.parametrize(
    "orders", [(a, b, c) for a in DERIVATIVES[::2] for b in DERIVATIVES[1::2] for c in DERIVATIVES[:2]]
)
def test_mixed_third_derivative_in_three_variables(orders: tuple[Any, Any, Any]) -> None:
    first, second, third = orders
    result = first(lambda x: second(lambda y: third(lambda z: fnp.exp(x * y * z))(0.3 * one))(0.5 * one))(0.7 * one)
    product = 0.7 * 0.5 * 0.3
    assert float(result) == pytest.approx((1 + 3 * product + product**2) * math.exp(product), rel=1e-12)


@inner_derivative
def test_a_function_returned_from_a_derivative_keeps_its_perturbation(inner: Any) -> None:
    """The example of Manzyuk et al.: the derivative of the curried shift `s(u)(f)(x) = f(x + u)` at zero, applied
    twice."""

    def shift(u: Any) -> Callable[[Function], Function]:
        return lambda function: lambda x: function(x + u)

    def derivative_operator(function: Function) -> Function:
        return lambda x: inner(lambda u: shift(u)(function)(x))(0.0 * one)

    twice = derivative_operator(derivative_operator(fnp.exp))
    assert float(twice(1.0 * one)) == pytest.approx(math.e, rel=1e-14)  # A confused system says 0.


@inner_derivative
@outer_derivative
def test_derivatives_inside_a_loop_body_close_over_the_outer_variable(inner: Any, outer: Any) -> None:
    def function(x: Any) -> Any:
        body = lambda carry, _: (inner(lambda y: y * y * x)(carry), None)
        return lax.scan(body, x, None, length=2)[0]

    # c -> 2 c x, twice from c = x: 4 x^3.
    assert float(outer(function)(1.3 * one)) == pytest.approx(12 * 1.3**2, rel=1e-13)


@inner_derivative
@outer_derivative
def test_derivatives_inside_a_branch_close_over_the_outer_variable(inner: Any, outer: Any) -> None:
    def function(x: Any) -> Any:
        return lax.cond(x > 0, lambda: inner(lambda y: x * y * y)(x), lambda: x)

    assert float(outer(function)(1.3 * one)) == pytest.approx(4 * 1.3, rel=1e-13)


@inner_derivative
def test_derivatives_under_vmap_keep_lanes_and_perturbations_apart(inner: Any) -> None:
    points = np.array([0.3, 0.7, 1.1])
    result = ft.vmap(lambda x: inner(lambda y: x * ft.grad(lambda z: fnp.sin(y * z))(x))(x))(points)
    # x d/dy [y cos(y z)] at y = z = x.
    expected = points * (np.cos(points**2) - points**2 * np.sin(points**2))
    np.testing.assert_allclose(result, expected, rtol=1e-13)


@inner_derivative
def test_an_outer_tangent_does_not_leak_through_a_custom_rule(inner: Any) -> None:
    @ft.custom_jvp
    def square(x: Any) -> Any:
        return x * x

    square.defjvp(lambda primals, tangents: (square(*primals), 2.0 * primals[0] * tangents[0]))
    result = inner(lambda x: x * inner(lambda y: square(x + y))(one))(one)
    # x * 2 (x + 1): derivative 4 x + 2.
    assert float(result) == pytest.approx(6.0, rel=1e-14)


@pytest.mark.parametrize("depth", range(1, 7))
def test_nested_grad_of_exponential_at_any_depth(depth: int) -> None:
    function: Function = lambda x: fnp.exp(2.0 * x)
    for _ in range(depth):
        function = ft.grad(function)
    assert float(function(0.25 * one)) == pytest.approx(2.0**depth * math.exp(0.5), rel=1e-12)


def test_the_vjp_of_an_inner_pullback_is_symmetric_in_its_two_roles() -> None:
    matrix = jax.numpy.asarray(np.arange(6.0).reshape(2, 3))

    def inner(x: Any) -> Any:
        value, pullback = ft.vjp(lambda y: fnp.sin(matrix @ y), x)
        return pullback(value)[0]

    x = np.array([0.1, 0.2, 0.3])
    # The gradient of half the squared norm; hence its Jacobian is a Hessian.
    expected = jax.hessian(lambda y: 0.5 * jax.numpy.sum(jax.numpy.sin(matrix @ y) ** 2))(x)
    np.testing.assert_allclose(ft.jacrev(inner)(x), expected, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(ft.jacfwd(inner)(x), expected, rtol=1e-12, atol=1e-13)
