"""Custom derivative rules that return the wrong thing: the rule and what it owes are named."""

from __future__ import annotations

from typing import Any

import numpy as np

import functrans as ft
import functrans.numpy as fnp
from tests.errors.refusal import refusal

scalar = np.float32(2.0)
vector = np.ones(3, np.float32)
KINDS = (TypeError, ValueError)


def _custom_jvp(rule: Any) -> Any:
    @ft.custom_jvp
    def primal_function(x: Any) -> Any:
        return x * x

    primal_function.defjvp(rule)
    return primal_function


def _custom_vjp(forward: Any, backward: Any) -> Any:
    @ft.custom_vjp
    def primal_function(x: Any) -> Any:
        return x * x

    primal_function.defvjp(forward, backward)
    return primal_function


def test_a_custom_jvp_without_a_rule_says_what_to_define() -> None:
    function = ft.custom_jvp(lambda x: x * x)
    refusal((AttributeError, TypeError, NotImplementedError), lambda: ft.grad(function)(scalar)).says("defjvp")


def test_a_custom_vjp_without_rules_says_what_to_define() -> None:
    function = ft.custom_vjp(lambda x: x * x)
    refusal((AttributeError, TypeError, NotImplementedError), lambda: ft.grad(function)(scalar)).says("defvjp")


def test_a_jvp_rule_without_a_pair_is_named() -> None:
    def only_the_tangent(primals: Any, tangents: Any) -> Any:
        return tangents[0]

    function = _custom_jvp(only_the_tangent)
    refusal(KINDS, lambda: ft.grad(function)(scalar)).says("only_the_tangent", ("pair", "tuple"))


def test_a_jvp_rule_with_another_primal_tree_shows_both() -> None:
    def doubled(primals: Any, tangents: Any) -> Any:
        (x,), (t,) = primals, tangents
        return (x, x), (t, t)

    refusal(KINDS, lambda: ft.grad(_custom_jvp(doubled))(scalar)).says("doubled", ("tree", "structure"))


def test_a_jvp_rule_with_tangents_of_another_tree_shows_both() -> None:
    def nested(primals: Any, tangents: Any) -> Any:
        (x,), (t,) = primals, tangents
        return x * x, (t,)

    refusal(KINDS, lambda: ft.jvp(_custom_jvp(nested), (scalar,), (scalar,))).says(
        "nested", "tangent", ("tree", "structure")
    )


def test_a_jvp_rule_with_a_tangent_of_another_shape_shows_both() -> None:
    def summed(primals: Any, tangents: Any) -> Any:
        (x,), (t,) = primals, tangents
        return x * x, fnp.sum(t)

    refusal(KINDS, lambda: ft.jvp(_custom_jvp(summed), (vector,), (vector,))).says("summed", "tangent", "(3,)", "()")


def test_a_jvp_rule_with_a_tangent_of_another_dtype_shows_both() -> None:
    def narrowed(primals: Any, tangents: Any) -> Any:
        (x,), (t,) = primals, tangents
        return x * x, t.astype(fnp.float16)

    refusal(KINDS, lambda: ft.jvp(_custom_jvp(narrowed), (scalar,), (scalar,))).says("narrowed", "float32", "float16")


def test_a_forward_rule_without_a_pair_is_named() -> None:
    def forward(x: Any) -> Any:
        return x * x

    function = _custom_vjp(forward, lambda residuals, ct: (ct,))
    refusal(KINDS, lambda: ft.grad(function)(scalar)).says("forward", ("pair", "tuple"), "residual")


def test_a_forward_rule_with_another_result_shows_both() -> None:
    def forward(x: Any) -> Any:
        return (x, x), x

    function = _custom_vjp(forward, lambda residuals, ct: (ct,))
    refusal(KINDS, lambda: ft.grad(function)(scalar)).says("forward", ("tree", "structure"))


def test_a_backward_rule_without_a_tuple_is_named() -> None:
    def backward(residuals: Any, cotangent: Any) -> Any:
        return cotangent * residuals

    function = _custom_vjp(lambda x: (x * x, x), backward)
    refusal(KINDS, lambda: ft.grad(function)(scalar)).says("backward", "tuple")


def test_a_backward_rule_with_too_many_cotangents_shows_both_numbers() -> None:
    def backward(residuals: Any, cotangent: Any) -> Any:
        return cotangent, cotangent

    function = _custom_vjp(lambda x: (x * x, x), backward)
    refusal(KINDS, lambda: ft.grad(function)(scalar)).says("backward", "2", "1")


def test_a_backward_rule_with_a_cotangent_of_another_shape_shows_both() -> None:
    def backward(residuals: Any, cotangent: Any) -> Any:
        return (fnp.sum(cotangent),)

    function = _custom_vjp(lambda x: (x * x, x), backward)
    refusal(KINDS, lambda: ft.grad(lambda x: fnp.sum(function(x)))(vector)).says("backward", "(3,)", "()")


def test_a_backward_rule_with_a_cotangent_of_another_dtype_shows_both() -> None:
    def backward(residuals: Any, cotangent: Any) -> Any:
        return (cotangent.astype(fnp.int32),)

    function = _custom_vjp(lambda x: (x * x, x), backward)
    refusal(KINDS, lambda: ft.grad(function)(scalar)).says("backward", "float32", "int32")


def test_forward_mode_through_a_clipping_rule_names_the_rule_and_linearity() -> None:
    def clip_backward(residuals: Any, cotangent: Any) -> Any:
        return (fnp.clip(cotangent, -1.0, 1.0),)  # blame

    function = _custom_vjp(lambda x: (x * x, x), clip_backward)
    assert float(ft.grad(function)(scalar)) == 1.0
    refusal((TypeError, ValueError), lambda: ft.jvp(function, (scalar,), (scalar,))).says("linear", "clip_backward")


def test_nondiff_argnums_beyond_the_parameters_are_named() -> None:
    function = ft.custom_jvp(lambda x: x, nondiff_argnums=(3,))
    function.defjvp(lambda n, primals, tangents: (primals[0], tangents[0]))
    refusal(KINDS, lambda: function(scalar)).says("nondiff_argnums", "3")
