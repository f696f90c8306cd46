"""Rules with symbolic_zeros are told by functrans what they are told by JAX, or more of it: which cotangents are zero.

A rule of functrans under its transforms and under JAX's, and a rule of JAX under those of functrans.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
import functrans.lax
import functrans.numpy as fnp
from tests.turns import covering_share

X = np.float32([0.3, 0.5, 0.7])
Y = np.float32([1.5, -2.0, 0.25])
BOTH = np.stack([X, 2 * X])

OURS_FOR_THEIR_CLASSES = SimpleNamespace(
    custom_jvp=ft.custom_jvp, custom_vjp=ft.custom_vjp, custom_derivatives=jax.custom_derivatives
)
JAX = SimpleNamespace(rules=jax, numpy=jnp, transforms=jax, lax=jax.lax)
SYSTEMS = {
    "rules and transforms of functrans": SimpleNamespace(rules=ft, numpy=fnp, transforms=ft, lax=ft.lax),
    "rules of jax, transforms of functrans": SimpleNamespace(rules=jax, numpy=jnp, transforms=ft, lax=jax.lax),
    "rules of jax, transforms and loops of functrans": SimpleNamespace(
        rules=jax, numpy=jnp, transforms=ft, lax=ft.lax
    ),
    "rules of functrans that look for the classes of jax": SimpleNamespace(
        rules=OURS_FOR_THEIR_CLASSES, numpy=fnp, transforms=ft, lax=ft.lax
    ),
    "rules of functrans, transforms of jax": SimpleNamespace(rules=ft, numpy=fnp, transforms=jax, lax=ft.lax),
}


class Rules:
    """Functions with rules in one system, and what the rules were told."""

    def __init__(self, system: Any) -> None:
        self.system = system
        self.told: dict[str, set[tuple[bool, ...]]] = {}
        self.zero = system.rules.custom_derivatives.SymbolicZero

    def note(self, name: str, values: Any) -> tuple[bool, ...]:
        told = tuple([type(x) is self.zero for x in jax.tree.leaves(values)])
        self.told.setdefault(name, set()).add(told)
        return told

    def forgotten(self) -> dict[str, set[tuple[bool, ...]]]:
        """What they were told since the last time."""
        told, self.told = self.told, {}
        return told

    def several(self, name: str = "several") -> Callable[..., Any]:
        """(x, y) -> {a: x y, b: (sin x, a count)}, with derivatives that are three times too large."""
        np_ = self.system.numpy

        @self.system.rules.custom_vjp
        def f(x: Any, y: Any) -> Any:
            return {"a": x * y, "b": (np_.sin(x), np_.sum(np_.astype(x, "int32")))}

        def forward(x: Any, y: Any) -> Any:
            x, y = x.value, y.value
            return f(x, y), (x, y)

        def backward(residuals: Any, cts: Any) -> Any:
            x, y = residuals
            zero_a, zero_b, zero_count = self.note(name, cts)
            assert zero_count
            by_a = [(3 * cts["a"] * y, 3 * cts["a"] * x)] if not zero_a else []
            by_b = [(3 * cts["b"][0] * np_.cos(x), None)] if not zero_b else []
            parts = [a for a, _ in [*by_a, *by_b]]
            return sum(parts[1:], parts[0]), by_a[0][1] if by_a else None

        f.defvjp(forward, backward, symbolic_zeros=True)
        return f

    def product(self, name: str = "product") -> Callable[..., Any]:
        """(x, y) -> (x y, x + y); a cotangent of zero for what is not differentiated, or is sent nothing."""

        @self.system.rules.custom_vjp
        def f(x: Any, y: Any) -> Any:
            return x * y, x + y

        def forward(x: Any, y: Any) -> Any:
            return (x.value * y.value, x.value + y.value), (x.value, y.value)

        def backward(residuals: Any, cts: Any) -> Any:
            x, y = residuals
            zero_product, zero_sum = self.note(name, cts)
            if zero_product:
                return 5 * cts[1], self.zero(self.type_of(y))
            if zero_sum:
                return None, 7 * cts[0] * x
            return cts[0] * y + cts[1], cts[0] * x + cts[1]

        f.defvjp(forward, backward, symbolic_zeros=True)
        return f

    def type_of(self, x: Any) -> Any:
        if self.system.rules is jax:
            return jax.core.ShapedArray(x.shape, x.dtype)
        return ft.custom_derivatives.zero_from_primal(x, symbolic_zeros=True).aval


def results(rules: Rules, f: Callable[..., Any]) -> dict[str, Callable[[], Any]]:
    total = lambda *xs: rules.system.numpy.sum(f(*xs))
    T = rules.system.transforms
    return {
        "grad": lambda: T.grad(total)(X, Y),
        "grad by both": lambda: T.grad(total, (0, 1))(X, Y),
        "vjp": lambda: T.vjp(f, X, Y)[1](2 * X),
        "jit of grad": lambda: T.jit(T.grad(total, (0, 1)))(X, Y),
        "grad of jit": lambda: T.grad(T.jit(total), (0, 1))(X, Y),
        "vmap of grad": lambda: T.vmap(T.grad(total, (0, 1)), (0, None))(BOTH, Y),
        "grad of vmap": lambda: T.grad(lambda x: rules.system.numpy.sum(T.vmap(f, (0, None))(x, Y)))(BOTH),
        "grad of grad": lambda: T.grad(lambda x: rules.system.numpy.sum(T.grad(total)(x, Y)))(X),
        "grad of checkpoint": lambda: T.grad(T.checkpoint(total), (0, 1))(X, Y),
    }


def scanned(rules: Rules) -> Callable[..., Any]:
    f = rules.several()

    def g(x: Any, y: Any) -> Any:
        return rules.system.lax.scan(lambda c, _: (f(c, y)["a"], None), x, None, length=3)[0]

    return g


def stacked(rules: Rules) -> Callable[..., Any]:
    f = rules.several()

    def g(x: Any, y: Any) -> Any:
        return rules.system.lax.scan(lambda c, z: (c, f(c, z)["b"][0]), x, rules.system.numpy.stack([y, y]))[1][0]

    return g


def chosen(rules: Rules) -> Callable[..., Any]:
    f = rules.several()
    return lambda x, y: rules.system.lax.cond(x[0] > 0, lambda: f(x, y)["a"], lambda: f(x, y)["b"][0])


def stopped(rules: Rules) -> Callable[..., Any]:
    f = rules.several()

    def g(x: Any, y: Any) -> Any:
        out = f(x, y)
        return out["a"] * rules.system.lax.stop_gradient(out["b"][0])

    return g


def nested(rules: Rules) -> Callable[..., Any]:
    """What a rule sends back as zero is zero to the rule before."""
    before, after = rules.several("before"), rules.product("after")

    def g(x: Any, y: Any) -> Any:
        out = before(x, y)
        return after(out["a"], out["b"][0])[0]

    return g


def inside_a_rule(rules: Rules) -> Callable[..., Any]:
    """A rule that calls another function with a rule, and is differentiated itself."""
    inner = rules.several("inner")
    outer = rules.system.rules.custom_vjp(lambda x: x * x)
    outer.defvjp(lambda x: (x * x, x), lambda x, ct: (ct * inner(x, Y)["a"],))
    return lambda x, y: rules.system.transforms.grad(lambda t: outer(t).sum())(x) * y


FUNCTIONS = {
    "one result": lambda rules: lambda x, y: rules.several()(x, y)["a"],
    "the other result": lambda rules: lambda x, y: rules.several()(x, y)["b"][0] * y,
    "both results": lambda rules: lambda x, y: (lambda out: out["a"] * out["b"][0])(rules.several()(x, y)),
    "a cotangent returned as a SymbolicZero": lambda rules: lambda x, y: rules.product()(x, y)[1],
    "a cotangent returned as None": lambda rules: lambda x, y: rules.product()(x, y)[0],
    "a result behind stop_gradient": stopped,
    "in a carry": scanned,
    "in a stacked result": stacked,
    "in a branch": chosen,
    "nested": nested,
    "inside of a rule": inside_a_rule,
}


CASES = [(name, system) for name in FUNCTIONS for system in SYSTEMS]


@pytest.mark.parametrize(("name", "system"), CASES)
def test_a_bwd_rule_is_told_of_zeros_as_by_jax(name: str, system: str) -> None:
    ours, theirs = Rules(SYSTEMS[system]), Rules(JAX)
    expected = results(theirs, FUNCTIONS[name](theirs))
    found = results(ours, FUNCTIONS[name](ours))
    for transform in covering_share(list(found), 3, offset=CASES.index((name, system))):
        np.testing.assert_allclose(
            *map(np.hstack, (found[transform](), expected[transform]())), rtol=2e-6, atol=1e-6, err_msg=transform
        )
        assert ours.forgotten() == theirs.forgotten(), transform


def loop_in_a_branch(T: Any) -> Callable[[Any], Any]:
    """A function whose bwd rule loops, in a branch: in lanes that do not take it no loop may run."""
    lax = T.lax
    zero = T.custom_derivatives.SymbolicZero
    doubled = lambda x: lax.while_loop(lambda c: c < 10, lambda c: 2 * c, x)
    f = T.custom_vjp(lambda x, y: (doubled(x) * y, x))
    f.defvjp(
        lambda x, y: (f(x.value, y.value), (x.value, y.value)),
        lambda r, cts: (doubled(r[0]) * r[1] * cts[0], None if type(cts[1]) is zero else 0 / r[0]),
        symbolic_zeros=True,
    )
    step = lambda x: lax.cond(x > 0.5, lambda: f(x, x)[0] / 100, lambda: 3 * x)
    return lambda x: lax.fori_loop(0, 3, lambda _, c: c + step(c), x)


def test_rules_told_of_zeros_stand_under_masks() -> None:
    x = np.float32([0.0, 0.25, 0.7, 1.5, -1.0])  # doubling the first and the last never ends
    f = loop_in_a_branch(ft)
    g = loop_in_a_branch(jax)
    expected = [jax.grad(g)(t) for t in x]
    np.testing.assert_allclose(ft.vmap(ft.grad(f))(x), expected, rtol=1e-6)
    np.testing.assert_allclose(ft.grad(lambda x: fnp.sum(ft.vmap(f)(x)))(x), expected, rtol=1e-6)


def test_a_rule_told_of_zeros_has_a_forward_mode() -> None:
    f = Rules(SYSTEMS["rules and transforms of functrans"]).several()
    g = lambda x: (lambda out: out["a"] * out["b"][0])(f(x, Y))
    expected = 3 * (Y * np.sin(X) + X * Y * np.cos(X)) * Y
    for pushed in (ft.jvp(g, (X,), (Y,))[1], ft.linearize(g, X)[1](Y), ft.jit(lambda x: ft.jvp(g, (x,), (Y,))[1])(X)):
        np.testing.assert_allclose(pushed, expected, rtol=1e-6)
    np.testing.assert_allclose(ft.vmap(lambda t: ft.linearize(g, X)[1](t))(np.stack([Y, Y])), [expected] * 2, rtol=1e-6)


def left_out(system: Any, told: bool, how: str) -> Callable[[Any], Any]:
    """A function whose second argument is sent nothing, at the square root of x: infinity times zero is no number."""
    zero, np_ = system.rules.custom_derivatives.SymbolicZero, system.numpy
    f = system.rules.custom_vjp(lambda x, y: x + y)
    value = lambda x: x.value if told else x
    nothing = lambda y: None if how == "None" else zero(Rules(system).type_of(y))
    f.defvjp(
        lambda x, y: (value(x) + value(y), value(y)), lambda y, ct: (2 * ct, nothing(y)), symbolic_zeros=told
    )
    return lambda x: np_.sum(f(x, np_.sqrt(x)))


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("how", ["None", "SymbolicZero"])
def test_a_cotangent_that_a_rule_leaves_out_meets_no_infinite_derivative(system: str, told: bool, how: str) -> None:
    T = SYSTEMS[system].transforms
    f, g = left_out(SYSTEMS[system], told, how), left_out(JAX, told, how)
    zeros = np.zeros(3, np.float32)
    assert jax.grad(g)(zeros).tolist() == T.grad(f)(zeros).tolist() == [2.0, 2.0, 2.0]
    assert T.jit(T.grad(f))(zeros).tolist() == T.grad(T.jit(f))(zeros).tolist() == [2.0, 2.0, 2.0]
    assert T.vmap(T.grad(f))(np.stack([zeros, zeros])).tolist() == [[2.0, 2.0, 2.0]] * 2


def constant_by_its_rule(system: Any, seen: list[Any]) -> Callable[[Any], Any]:
    """A jvp rule that returns a SymbolicZero, and another that is told of it."""
    rules, np_ = system.rules, system.numpy
    zero = rules.custom_derivatives.SymbolicZero
    f = rules.custom_jvp(lambda x: (x * x, 3 * x))
    f.defjvp(
        lambda p, t: (f(*p), (zero(Rules(system).type_of(p[0])), 3 * t[0])), symbolic_zeros=True
    )
    after = rules.custom_jvp(lambda x, y: x + y)

    def rule(primals: Any, tangents: Any) -> Any:
        seen.append([type(t) is zero for t in tangents])
        return after(*primals), tangents[1]

    after.defjvp(rule, symbolic_zeros=True)

    def g(x: Any) -> Any:
        constant, linear = f(x)
        return np_.sum(np_.sqrt(constant)) + np_.sum(after(constant, linear))

    return g


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_tangent_that_a_rule_returns_as_a_symbolic_zero_is_one_to_others(system: str) -> None:
    zeros = np.zeros(3, np.float32)
    T = SYSTEMS[system].transforms
    for transform in (
        lambda T, f: T.grad(f)(zeros),
        lambda T, f: T.jvp(f, (zeros,), (X,))[1],
        lambda T, f: T.vmap(T.grad(f))(np.stack([zeros, zeros])),
        lambda T, f: T.grad(T.jit(f))(zeros),
        lambda T, f: T.grad(lambda x: jnp.sum(T.vmap(f)(x)))(np.stack([zeros, zeros])),
    ):
        ours: list[Any] = []
        theirs: list[Any] = []
        found = transform(T, constant_by_its_rule(SYSTEMS[system], ours))
        np.testing.assert_allclose(found, transform(jax, constant_by_its_rule(JAX, theirs)), rtol=1e-6)
        assert ours[-1] == theirs[-1] == [True, False]


@pytest.mark.parametrize("system", [name for name in SYSTEMS if name != "rules of functrans, transforms of jax"])
def test_rules_that_use_numpy_are_told_of_zeros(system: str) -> None:
    """Under un-jitted grad of functrans there are values; JAX's has none for what functrans gives it."""
    rules, T = SYSTEMS[system].rules, SYSTEMS[system].transforms
    seen: list[Any] = []
    f = rules.custom_vjp(lambda x, y: (np.sin(float(x)) + 0 * x, y))

    def backward(slope: Any, cts: Any) -> Any:
        seen.append([type(ct) is rules.custom_derivatives.SymbolicZero for ct in cts])
        return 2 * float(slope) * cts[0], None

    f.defvjp(lambda x, y: (f(x.value, y.value), np.float32(np.cos(x.value))), backward, symbolic_zeros=True)
    slope = T.grad(lambda x, y: f(x, y)[0])(0.5, 1.0)
    np.testing.assert_allclose(slope, 2 * np.cos(0.5), rtol=1e-6)
    assert seen == [[False, True]]
