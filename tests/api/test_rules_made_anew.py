"""Un-jitted functions with custom rules are traced at every call, and compiled once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp

X = np.float32([0.3, 0.5, 0.7])
Function = Callable[[Any], Any]


@ft.custom_jvp
def by_itself(x: Any) -> Any:
    return fnp.sin(x)


by_itself.defjvp(lambda p, t: (by_itself(*p), 2 * fnp.cos(p[0]) * t[0]))


@ft.custom_jvp
def told_of_zeros(x: Any, y: Any) -> Any:
    return fnp.sin(x) * y


def told_of_zeros_jvp(primals: Any, tangents: Any) -> Any:
    x, y = primals
    slopes = (fnp.cos(x) * y, told_of_zeros(x, 1.0))
    given = [(s, t) for s, t in zip(slopes, tangents, strict=True) if type(t) is not ft.custom_derivatives.SymbolicZero]
    return told_of_zeros(x, y), sum(s * t for s, t in given)


told_of_zeros.defjvp(told_of_zeros_jvp, symbolic_zeros=True)


@ft.custom_vjp
def pulled_back(x: Any) -> Any:
    return fnp.sin(x)


pulled_back.defvjp(lambda x: (pulled_back(x), x), lambda x, ct: (2 * fnp.cos(x) * ct,))


@ft.custom_vjp
def pulled_back_told_of_zeros(x: Any) -> Any:
    return fnp.sin(x)


pulled_back_told_of_zeros.defvjp(
    lambda x: (fnp.sin(x.value), x.value), lambda x, ct: (2 * fnp.cos(x) * ct,), symbolic_zeros=True
)


def twice(factor: Any, x: Any) -> Any:
    return factor * x


def made_at_each_call(x: Any) -> Any:
    @ft.custom_jvp
    def sine(x: Any) -> Any:
        return fnp.sin(x)

    sine.defjvp(lambda p, t: (sine(*p), 2 * fnp.cos(p[0]) * t[0]))
    return sine(sine(x))


FUNCTIONS: dict[str, Function] = {
    "custom_jvp": by_itself,
    "custom_jvp with symbolic zeros": lambda x: told_of_zeros(x, X),
    "custom_vjp": pulled_back,
    "custom_vjp with symbolic zeros": pulled_back_told_of_zeros,
    "linear_call": lambda x: ft.custom_derivatives.linear_call(twice, twice, fnp.cos(x), x),
    "made at each call": made_at_each_call,
}
BOTH = np.stack([X, 2 * X])
STACKS: dict[str, Callable[[Function], Any]] = {
    "value": lambda f: f(X),
    "grad": lambda f: ft.grad(lambda x: fnp.sum(f(x)))(X),
    "jvp": lambda f: ft.jvp(f, (X,), (X,)),
    "vmap": lambda f: ft.vmap(f)(BOTH),
    "vmap of grad": lambda f: ft.vmap(ft.grad(lambda x: fnp.sum(f(x))))(BOTH),
    "grad of vmap": lambda f: ft.grad(lambda x: fnp.sum(ft.vmap(f)(x)))(BOTH),
    "hessian": lambda f: ft.hessian(lambda x: fnp.sum(f(x)))(X),
    "linearize": lambda f: ft.linearize(f, X)[1](X),
    "vjp": lambda f: ft.vjp(f, X)[1](X),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_was_compiled_once_is_not_compiled_again(name: str) -> None:
    for stack, run in STACKS.items():
        first = run(FUNCTIONS[name])
        before = ft.compilation_count()
        again = run(FUNCTIONS[name])
        assert ft.compilation_count() == before, f"{stack} compiled again"
        jax.tree.map(np.testing.assert_array_equal, again, first)


def test_a_rule_that_is_changed_is_another_rule() -> None:
    @ft.custom_jvp
    def sine(x: Any) -> Any:
        return fnp.sin(x)

    for factor in (2.0, 3.0, 2.0):
        sine.defjvp(lambda p, t, factor=factor: (sine(*p), factor * fnp.cos(p[0]) * t[0]))
        np.testing.assert_allclose(ft.grad(sine)(0.3), factor * np.cos(0.3), rtol=1e-6)
        np.testing.assert_allclose(ft.vmap(ft.grad(ft.grad(sine)))(X), -factor * np.sin(X), rtol=1e-6)


def test_what_a_rule_reads_may_change_between_calls() -> None:
    """Un-jitted functions are traced at every call, and so are their rules."""
    factor = np.float32(2.0)

    @ft.custom_jvp
    def linear(x: Any) -> Any:
        return factor * x

    linear.defjvp(lambda p, t: (linear(*p), linear(*t)))

    @ft.custom_jvp
    def by_zeros(x: Any) -> Any:
        return fnp.sin(x)

    by_zeros.defjvp(lambda p, t: (by_zeros(*p), factor * t[0]), symbolic_zeros=True)

    @ft.custom_vjp
    def pulled(x: Any) -> Any:
        return fnp.sin(x)

    pulled.defvjp(lambda x: (pulled(x.value), None), lambda _, ct: (factor * ct,), symbolic_zeros=True)
    functions = [linear, by_zeros, pulled, lambda x: ft.custom_derivatives.linear_call(
        lambda _, x: factor * x, lambda _, ct: factor * ct, (), x)]  # fmt: skip
    for factor in np.float32([2.0, 3.0, -5.0, 2.0]):
        for f in functions:
            assert ft.grad(f)(0.5) == factor
            np.testing.assert_array_equal(ft.vmap(ft.grad(f))(X), [factor] * 3)
            assert ft.vjp(f, 0.5)[1](1.0)[0] == factor
            assert ft.grad(lambda x, f=f: ft.vmap(f)(x)[0])(X)[0] == factor
            assert ft.linearize(f, 0.5)[1](1.0) == factor


def test_static_arguments_choose_the_rule() -> None:
    scaled = ft.custom_jvp(lambda x, how: fnp.sin(x), nondiff_argnums=(1,))
    scaled.defjvp(lambda how, p, t: (scaled(p[0], how), how[0] * fnp.cos(p[0]) * t[0]))
    for how in ((2.0,), (3.0,), [5.0], [7.0], (2.0,)):
        slope = ft.grad(lambda x, how=how: scaled(x, how))
        np.testing.assert_allclose(slope(0.3), how[0] * np.cos(0.3), rtol=1e-6)
        np.testing.assert_allclose(ft.vmap(slope)(X), how[0] * np.cos(X), rtol=1e-6)
