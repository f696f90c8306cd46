"""Rules with symbolic_zeros are told which arguments are not differentiated."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans import lax
from functrans.custom_derivatives import (
    CustomVJPPrimal,
    SymbolicZero,
    custom_vjp_primal_tree_values,
    zero_from_primal,
)
from tests.agreement import assert_same
from tests.errors.refusal import refusal

pytestmark = pytest.mark.usefixtures("x64")
xs = np.array([0.3, 0.8])


def product_with_jvp(seen: list[Any]) -> Any:
    @ft.custom_jvp
    def product(x: Any, y: Any, n: Any) -> Any:
        return fnp.sin(x) * y * n, n

    def rule(primals: Any, tangents: Any) -> Any:
        x, y, n = primals
        seen.append(tuple(type(t) is SymbolicZero for t in tangents))
        parts: list[Any] = []
        if type(tangents[0]) is not SymbolicZero:
            parts.append(2.0 * tangents[0] * fnp.cos(x) * y * n)
        if type(tangents[1]) is not SymbolicZero:
            parts.append(5.0 * tangents[1] * fnp.sin(x) * n)
        slope = sum(parts[1:], parts[0]) if parts else zero_from_primal(x, symbolic_zeros=True)
        assert type(tangents[2]) is SymbolicZero and tangents[2].dtype == ft.float0
        return product(x, y, n), (slope, zero_from_primal(n))

    product.defjvp(rule, symbolic_zeros=True)
    return product


def test_a_jvp_rule_sees_which_tangents_are_zero() -> None:
    seen: list[Any] = []
    f = lambda x, y: product_with_jvp(seen)(x, y, 3)[0]
    assert_same(ft.grad(f)(0.3, 2.0), 2 * np.cos(0.3) * 6.0, weak=False)
    assert set(seen) == {(False, True, True)}
    seen.clear()
    assert_same(ft.grad(f, 1)(0.3, 2.0), 5 * np.sin(0.3) * 3.0, weak=False)
    assert set(seen) == {(True, False, True)}
    seen.clear()
    assert_same(ft.jvp(f, (0.3, 2.0), (1.0, 1.0))[1], 2 * np.cos(0.3) * 6.0 + 5 * np.sin(0.3) * 3.0, weak=False)
    assert set(seen) == {(False, False, True)}


def test_a_selective_jvp_rule_serves_the_other_transforms() -> None:
    f = lambda x, y: product_with_jvp([])(x, y, 3)[0]
    gradient = 2 * np.cos(xs) * 2.0 * 3
    assert_same(ft.vmap(ft.grad(f), (0, None))(xs, 2.0), gradient, weak=False)
    assert_same(ft.grad(lambda x: fnp.sum(ft.vmap(f, (0, None))(x, 2.0)))(xs), gradient, weak=False)
    assert_same(ft.jit(ft.grad(f))(0.3, 2.0), 2 * np.cos(0.3) * 6.0, weak=False)
    # product is called by its own rule, so the second derivative by y goes through the rule again.
    mixed = ft.grad(ft.grad(lambda x, y: f(x, y) * f(x, y)), 1)(0.3, 2.0)
    value, by_x, by_y = np.sin(0.3) * 6.0, 2 * np.cos(0.3) * 6.0, 5 * np.sin(0.3) * 3.0
    assert_same(mixed, 2.0 * by_y * by_x + 2.0 * value * 2.0 * np.cos(0.3) * 3.0, weak=False)

    def loop(x: Any) -> Any:
        return lax.scan(lambda c, _: (f(c, 1.0), None), x, None, length=2)[0]

    inner = np.sin(0.3) * 3
    assert_same(ft.grad(loop)(0.3), 2 * np.cos(inner) * 3 * 2 * np.cos(0.3) * 3, weak=False)


def product_with_vjp(seen: list[Any]) -> Any:
    @ft.custom_vjp
    def product(tree: Any, n: Any) -> Any:
        return fnp.sin(tree["x"]) * tree["y"] * n

    def forward(tree: Any, n: Any) -> Any:
        assert all(isinstance(leaf, CustomVJPPrimal) for leaf in (*tree.values(), n))
        seen.append((tree["x"].perturbed, tree["y"].perturbed, n.perturbed))
        values, count = custom_vjp_primal_tree_values((tree, n))
        flags = (tree["x"].perturbed, tree["y"].perturbed)
        return product(values, count), (values, count, Flags(flags))

    def backward(residuals: Any, ct: Any) -> Any:
        tree, n, flags = residuals
        by_x = 2.0 * ct * fnp.cos(tree["x"]) * tree["y"] * n if flags.which[0] else None
        by_y = 5.0 * ct * fnp.sin(tree["x"]) * n if flags.which[1] else zero_from_primal(tree["y"], True)
        return {"x": by_x, "y": by_y}, None

    product.defvjp(forward, backward, symbolic_zeros=True)
    return product


@jax.tree_util.register_static
class Flags:
    """Flags among the residuals, which no transform touches."""

    def __init__(self, which: tuple[bool, ...]) -> None:
        self.which = which

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Flags) and other.which == self.which

    def __hash__(self) -> int:
        return hash(self.which)


def test_a_fwd_rule_sees_which_arguments_are_differentiated() -> None:
    seen: list[Any] = []
    f = lambda x, y: product_with_vjp(seen)({"x": x, "y": y}, 3)
    assert_same(ft.grad(f)(0.3, 2.0), 2 * np.cos(0.3) * 6.0, weak=False)
    assert set(seen) == {(True, False, False)}
    seen.clear()
    assert_same(ft.grad(f, (0, 1))(0.3, 2.0), (2 * np.cos(0.3) * 6.0, 5 * np.sin(0.3) * 3.0), weak=False)
    assert set(seen) == {(True, True, False)}


def test_a_selective_pullback_serves_the_other_transforms() -> None:
    f = lambda x, y: product_with_vjp([])({"x": x, "y": y}, 3)
    gradient = 2 * np.cos(xs) * 6.0
    assert_same(ft.vmap(ft.grad(f), (0, None))(xs, 2.0), gradient, weak=False)
    assert_same(ft.grad(lambda x: fnp.sum(ft.vmap(f, (0, None))(x, 2.0)))(xs), gradient, weak=False)
    assert_same(ft.jit(ft.grad(f))(0.3, 2.0), gradient[0], weak=False)
    assert_same(ft.jvp(lambda x: f(x, 2.0), (0.3,), (1.0,))[1], gradient[0], weak=False)
    assert_same(ft.hessian(lambda x: f(x, 2.0))(0.3), -2 * np.sin(0.3) * 6.0, weak=False)


def test_values_of_other_leaves_are_refused() -> None:
    refusal(TypeError, lambda: custom_vjp_primal_tree_values((1.0,))).says("CustomVJPPrimal", "float")


def test_a_late_rule_may_close_over_an_array_inside_a_compiled_function():
    weights = np.float32([1.0, 2.0])

    @ft.custom_vjp
    def scaled(x):
        return x * weights

    scaled.defvjp(lambda x: (x.value * weights, weights), lambda w, t: (t * w,), symbolic_zeros=True)
    ones = np.float32([1.0, 1.0])
    for f in (scaled, ft.jit(scaled), lambda x: ft.lax.scan(lambda c, _: (c + scaled(x), None), 0 * x, None, 1)[0]):
        assert ft.grad(lambda x, f=f: fnp.sum(f(x)))(ones).tolist() == [1.0, 2.0]
        assert ft.jvp(f, (ones,), (3 * ones,))[1].tolist() == [3.0, 6.0]
        assert ft.vmap(ft.grad(lambda x, f=f: fnp.sum(f(x))))(np.stack([ones, ones])).tolist() == [[1.0, 2.0]] * 2


# -- values on demand ------------------------------------------------------------------------------------------------
# Such a rule is traced when the trace of its arguments has ended.


def scaled_with_jvp(lib: Any) -> Any:
    @lib.custom_jvp
    def scaled(x: Any, y: Any) -> Any:
        return x * y

    def rule(primals: Any, tangents: Any) -> Any:
        x, y = primals
        factor = 3.0 if x > 0 else 7.0
        slopes = [
            factor * other * t for t, other in zip(tangents, (y, x)) if not type(t).__name__.startswith("Symbolic")
        ]
        return scaled(x, y), sum(slopes[1:], slopes[0])

    scaled.defjvp(rule, symbolic_zeros=True)
    return scaled


def scaled_with_vjp(lib: Any) -> Any:
    @lib.custom_vjp
    def scaled(x: Any, y: Any) -> Any:
        return x * y

    def forward(x: Any, y: Any) -> Any:
        return scaled(x.value, y.value), (x.value, y.value)

    def backward(residuals: Any, ct: Any) -> Any:
        x, y = residuals
        factor = 3.0 if x > 0 else 7.0
        return factor * y * ct, factor * x * ct

    scaled.defvjp(forward, backward, symbolic_zeros=True)
    return scaled


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("make", [scaled_with_jvp, scaled_with_vjp])
def test_a_rule_may_ask_for_values_of_its_arguments(make: Any, order: int, sign: float) -> None:
    def of(lib: Any) -> Any:
        scaled = make(lib)
        slope = lambda x: scaled(scaled(x * x, 2.5) * sign, x)
        for _ in range(order):
            slope = lib.grad(slope)
        return slope(0.7)

    assert float(of(ft)) == pytest.approx(float(of(jax)), rel=1e-12)


def test_where_there_is_no_value_the_rule_is_refused_in_words() -> None:
    scaled = scaled_with_jvp(ft)
    with pytest.raises(TypeError, match="needs a concrete value"):
        ft.jit(ft.grad(lambda x: scaled(fnp.sin(x), 2.0)))(0.7)
