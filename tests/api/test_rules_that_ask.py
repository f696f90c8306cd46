"""Derivative rules that ask for the number behind a tangent or cotangent, against JAX: un-jitted code has it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp

Function = Callable[..., Any]


def branch(x: Any, ct: Any) -> Any:
    return (2.0 * ct * x,) if ct > 0 else (3.0 * ct * x * x,)


def rounded(x: Any, ct: Any) -> Any:
    return (ct * int(ct * 4) * x,)


def loop(x: Any, ct: Any) -> Any:
    n = 0
    while ct * 2.0**n < 5 and n < 6:
        n += 1 if ct > 0 else 2
    return (ct * x * n,)


def number(x: Any, ct: Any) -> Any:
    return (float(ct) * math.cos(float(x)),)


def array(x: Any, ct: Any) -> Any:
    return (np.asarray(ct) * np.cos(np.asarray(x)),)


def item(x: Any, ct: Any) -> Any:
    return (ct.item() * ct * x,)


ASKING = [branch, rounded, loop]
NUMBERS = [number, array, item]


def wave(transforms: Any, numpy: Any, backward: Function) -> Function:
    function = transforms.custom_vjp(lambda x: numpy.sin(x))
    function.defvjp(lambda x: (numpy.sin(x), x), backward)
    return function  # type: ignore[no-any-return]


HOW: dict[str, Callable[[Any, Function], Any]] = {
    "grad": lambda t, f: t.grad(f)(1.5),
    "grad of its negative": lambda t, f: t.grad(lambda x: -f(x))(1.5),
    "value_and_grad": lambda t, f: t.value_and_grad(lambda x: -f(x) * x)(1.5),
    "vjp": lambda t, f: [t.vjp(lambda x: f(x) * x, 1.5)[1](ct) for ct in (1.0, -2.0, 0.25)],
    "twice in one function": lambda t, f: t.grad(lambda x: f(f(x) * x) - 2.0 * f(x))(0.7),
    "of a trace around": lambda t, f: t.grad(lambda x: x * t.grad(lambda y: -f(y))(2.0))(1.5),
}


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("backward", [*ASKING, *NUMBERS])
def test_a_backward_rule_has_the_number_behind_its_cotangent(backward: Function, how: str) -> None:
    ours, theirs = (HOW[how](t, wave(t, numpy, backward)) for t, numpy in ((ft, fnp), (jax, jnp)))
    np.testing.assert_allclose(np.ravel(ours), np.ravel(theirs), rtol=1e-6)
    for x in jax.tree_util.tree_leaves(ours):
        assert isinstance(x, jax.Array)  # JAX returns the rule's own float
        assert x.dtype == np.float32


@pytest.mark.parametrize("order", [2, 3, 4])
@pytest.mark.parametrize("backward", ASKING)
def test_what_is_locally_constant_has_higher_derivatives(backward: Function, order: int) -> None:
    def nest(t: Any, numpy: Any) -> Any:
        f = wave(t, numpy, backward)
        g: Function = lambda x: -f(x) * x
        for _ in range(order):
            g = t.grad(g)
        return g(1.5)

    np.testing.assert_allclose(nest(ft, fnp), nest(jax, jnp), rtol=1e-5)


@pytest.mark.parametrize("backward", NUMBERS)
def test_a_number_that_would_lose_a_second_derivative_is_refused(backward: Function) -> None:
    f = wave(ft, fnp, backward)
    with pytest.raises(ft.errors.DifferentiatedValueError, match=f"in {backward.__name__}"):
        ft.grad(ft.grad(lambda x: f(x) * x))(1.5)
    pull = ft.vjp(f, 1.5)[1]
    with pytest.raises(ft.errors.DifferentiatedValueError, match=f"in {backward.__name__}"):
        ft.grad(lambda ct: pull(ct * ct)[0])(1.5)


@pytest.mark.parametrize("backward", [branch, number])
def test_where_there_is_no_number_the_error_names_the_line(backward: Function) -> None:
    f = wave(ft, fnp, backward)
    two = np.ones(2, np.float32)
    for refused in (
        lambda: ft.jit(ft.vjp(f, 1.5)[1])(1.0),
        lambda: ft.vmap(ft.grad(lambda x: x * f(x)))(two),
        lambda: ft.grad(lambda x: ft.vmap(f)(x).sum())(two),
        lambda: ft.grad(lambda x: ft.jit(f)(x) * f(x))(1.5),
        lambda: ft.grad(lambda x: ft.lax.scan(lambda c, _: (f(c), None), x, None, length=2)[0])(1.5),
    ):
        with pytest.raises(ft.errors.ConcretizationError, match=f"in {backward.__name__}"):
            refused()


@pytest.mark.parametrize("order", [0, 1])
def test_a_pullback_asks_at_each_call(order: int) -> None:
    pull = ft.vjp(wave(ft, fnp, branch), 1.5)[1]
    other = jax.vjp(wave(jax, jnp, branch), 1.5)[1]
    for ct in (1.0, -1.0, 3.0, -0.5):
        if order:
            ours, theirs = ft.grad(lambda c: pull(c)[0] ** 2)(ct), jax.grad(lambda c: other(c)[0] ** 2)(ct)
        else:
            (ours,), (theirs,) = pull(ct), other(ct)
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_a_jvp_rule_has_the_number_behind_its_tangent() -> None:
    def square(t: Any) -> Function:
        f = t.custom_jvp(lambda x: x * x)
        f.defjvp(lambda p, s: (f(*p), (2.0 * p[0] * s[0]) if s[0] > 0 else (5.0 * p[0] * s[0])))
        return f  # type: ignore[no-any-return]

    ours, theirs = square(ft), square(jax)
    for tangent in (1.0, -1.0, 0.5):
        np.testing.assert_allclose(ft.jvp(ours, (1.5,), (tangent,)), jax.jvp(theirs, (1.5,), (tangent,)))
        np.testing.assert_allclose(
            ft.jvp(lambda x: ft.jvp(ours, (x,), (tangent,))[1], (1.5,), (2.0,)),  # noqa: B023
            jax.jvp(lambda x: jax.jvp(theirs, (x,), (tangent,))[1], (1.5,), (2.0,)),  # noqa: B023
        )
    with pytest.raises(ft.errors.ConcretizationError, match="in <lambda>"):
        ft.grad(ours)(1.5)


@pytest.mark.parametrize("ct", [1.0, -1.0])
def test_rules_told_of_zeros_ask_too(ct: float) -> None:
    """On values in the midst of a function, and on results that nothing uses."""

    def pair(t: Any, numpy: Any) -> Function:
        f = t.custom_vjp(lambda x, y: (x * y, x))

        def forward(x: Any, y: Any) -> Any:
            scale = 2.0 if x.value > 1 else 3.0
            return (x.value * y.value, x.value), (scale, y.value)

        def backward(residuals: Any, cts: Any) -> Any:
            scale, y = residuals
            assert type(cts[1]).__name__ == "SymbolicZero"
            return (scale * cts[0] if cts[0] > 0 else y * cts[0]), None

        f.defvjp(forward, backward, symbolic_zeros=True)
        return f  # type: ignore[no-any-return]

    def slope(t: Any, numpy: Any) -> Any:
        f = pair(t, numpy)
        return t.grad(lambda x: ct * f(numpy.sin(x) * 2.0, 4.0)[0])(1.5)

    np.testing.assert_allclose(slope(ft, fnp), slope(jax, jnp), rtol=1e-6)


def test_a_rule_that_is_used_again_with_other_numbers_asks_again() -> None:
    f = wave(ft, fnp, branch)
    for ct, expected in ((1.0, 3.0), (-1.0, -6.75), (2.0, 6.0), (1.0, 3.0)):
        np.testing.assert_allclose(ft.grad(lambda x: ct * f(x))(1.5), expected)  # noqa: B023
    np.testing.assert_allclose(ft.grad(f)(np.float32(2.0)), 4.0)


def test_a_rule_that_asks_runs_twice_and_one_that_does_not_once() -> None:
    """Where the function is called there is no cotangent yet; where the derivative is taken of numbers there is one."""
    for backward, runs in ((branch, 2), (number, 2), (lambda x, ct: (ct * x,), 1), (lambda x, ct: (ct * float(x),), 1)):
        seen: list[Any] = []

        def counted(x: Any, ct: Any) -> Any:
            seen.append(x)  # noqa: B023
            return backward(x, ct)  # noqa: B023

        f = wave(ft, fnp, counted)
        ft.grad(lambda x: f(x) * x)(1.5)  # noqa: B023
        assert len(seen) == runs, backward


def chosen_by_residuals(rules: Any, numpy: Any, told_of_zeros: bool) -> Function:
    """A rule that tests, indexes and raises by numbers that fwd handed on beside an array."""
    f = rules.custom_vjp(lambda x: numpy.sin(x))

    def forward(x: Any) -> Any:
        x = x.value if told_of_zeros else x
        return numpy.sin(x), {"doubled": True, "which": 2, "count": np.int32(3), "x": x, "scale": 0.5}

    def backward(residuals: Any, ct: Any) -> Any:
        slope = [None, None, numpy.cos(residuals["x"])][residuals["which"]]
        for _ in range(residuals["count"]):
            slope = slope * (2 if residuals["doubled"] and residuals["scale"] == 0.5 else 1)
        return (ct * slope * residuals["scale"],)

    f.defvjp(forward, backward, symbolic_zeros=told_of_zeros)
    return f  # type: ignore[no-any-return]


@pytest.mark.parametrize("told_of_zeros", [False, True])
@pytest.mark.parametrize("how", ["grad", "grad of jit", "jit of grad", "jit of grad of jit", "grad of scan", "vmap"])
def test_numbers_among_the_residuals_stay_numbers_as_in_jax(how: str, told_of_zeros: bool) -> None:
    transformed: dict[str, Callable[[Any, Function], Any]] = {
        "grad": lambda t, f: t.grad(f)(1.5),
        "grad of jit": lambda t, f: t.grad(t.jit(f))(1.5),
        "jit of grad": lambda t, f: t.jit(t.grad(f))(1.5),
        "jit of grad of jit": lambda t, f: t.jit(t.grad(t.jit(f)))(1.5),
        "grad of scan": lambda t, f: t.grad(lambda x: t.lax.scan(lambda c, _: (f(c), None), x, None, length=2)[0])(1.5),
        "vmap": lambda t, f: t.vmap(t.grad(f))(np.float32([1.5, 0.5])),
    }
    expected = transformed[how](jax, chosen_by_residuals(jax, jnp, told_of_zeros))
    np.testing.assert_allclose(transformed[how](ft, chosen_by_residuals(ft, fnp, told_of_zeros)), expected, rtol=1e-6)
    np.testing.assert_allclose(transformed[how](ft, chosen_by_residuals(jax, jnp, told_of_zeros)), expected, rtol=1e-6)
