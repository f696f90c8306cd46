"""Wrong arguments of grad, jvp, vjp and their relatives."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans import lax
from tests.errors.refusal import refusal

vector = np.ones(3, np.float32)
scalar = np.float32(2.0)


def test_grad_of_a_vector_names_the_shape_and_the_jacobians() -> None:
    def loss(x: Any) -> Any:
        return x * 2.0

    refusal(TypeError, lambda: ft.grad(loss)(vector)).says("grad", "scalar", "(3,)", ("jacrev", "jacfwd", "sum"))


def test_value_and_grad_of_a_vector_names_itself() -> None:
    refusal(TypeError, lambda: ft.value_and_grad(lambda x: x * 2.0)(vector)).says("value_and_grad", "scalar", "(3,)")


def test_grad_of_a_tree_names_the_tree_and_has_aux() -> None:
    refusal(TypeError, lambda: ft.grad(lambda x: (x, x))(scalar)).says("scalar", ("tuple", "(*, *)"), "has_aux")


def test_grad_of_an_integer_result_names_the_dtype() -> None:
    refusal(TypeError, lambda: ft.grad(lambda x: fnp.argmax(x))(vector)).says("grad", "int32", ("real", "float"))


def test_grad_of_a_complex_result_names_holomorphic() -> None:
    z = np.complex64(1 + 1j)
    refusal(TypeError, lambda: ft.grad(lambda z: z * z)(z)).says("complex64", ("holomorphic", "real"))


def test_grad_with_respect_to_an_integer_names_argument_dtype_and_remedies() -> None:
    refusal(TypeError, lambda: ft.grad(lambda x: x * 2.0)(3)).says("int", ("allow_int", "float"))
    refusal(TypeError, lambda: ft.grad(lambda x: fnp.sum(x * 2.0))(np.arange(3))).says("int", "allow_int", "float")


def test_grad_with_respect_to_an_integer_leaf_names_the_leaf() -> None:
    parameters = {"weight": vector, "steps": np.int32(3)}
    refusal(TypeError, lambda: ft.grad(lambda p: fnp.sum(p["weight"]))(parameters)).says("steps", "int32", "allow_int")


def test_holomorphic_grad_of_a_real_input_names_the_dtype() -> None:
    refusal(TypeError, lambda: ft.grad(lambda x: x * x, holomorphic=True)(scalar)).says(
        "holomorphic", "float32", "complex"
    )


def test_jacfwd_of_an_integer_input_names_the_dtype() -> None:
    refusal(TypeError, lambda: ft.jacfwd(lambda x: x * 2.0)(np.arange(3))).says("jacfwd", "int", "float")


def test_hessian_of_an_integer_input_names_the_dtype() -> None:
    refusal(TypeError, lambda: ft.hessian(lambda x: fnp.sum(x))(np.arange(3))).says("int", "float")


@pytest.mark.parametrize("transform", [ft.grad, ft.value_and_grad, ft.jacfwd, ft.jacrev, ft.hessian])
def test_argnums_beyond_the_arguments_name_both_numbers(transform: Any) -> None:
    refusal((ValueError, TypeError), lambda: transform(lambda x: fnp.sum(x), argnums=2)(vector)).says(
        "argnums", "2", "1"
    )


def test_argnums_of_the_wrong_kind_are_refused_with_their_value() -> None:
    refusal(TypeError, lambda: ft.grad(lambda x: x, argnums=1.5)(scalar)).says("argnums", "1.5", "int")
    refusal(TypeError, lambda: ft.grad(lambda x: x, argnums="x")(scalar)).says("argnums", "'x'", "int")


def test_a_function_that_is_no_function_is_refused() -> None:
    refusal(TypeError, lambda: ft.grad(3.0)(scalar)).says(("callable", "function"), "3.0")


def test_an_argument_that_is_no_array_names_its_class_and_place() -> None:
    refusal(TypeError, lambda: ft.grad(lambda x: x)("text")).says("str", ("text", "argument"))
    refusal(TypeError, lambda: ft.jvp(lambda x: x, (scalar, [None, "text"]), (scalar, [None, 1.0]))).says("str")


# jvp and linearize.


def test_jvp_with_another_number_of_tangents_names_both_numbers() -> None:
    refusal((TypeError, ValueError), lambda: ft.jvp(lambda x, y: x * y, (vector, vector), (vector,))).says(
        "jvp", "tangent", "primal", ("2", "(*, *)"), ("1", "(*,)")
    )


def test_jvp_with_arguments_that_are_no_tuples_says_so() -> None:
    refusal(TypeError, lambda: ft.jvp(fnp.sin, vector, vector)).says("jvp", "tuple", ("list", "(x,)"))


def test_jvp_with_another_tree_shows_both_trees() -> None:
    refusal((TypeError, ValueError), lambda: ft.jvp(lambda d: d["a"], ({"a": vector},), ({"b": vector},))).says(
        "tangent", "'a'", "'b'"
    )


def test_jvp_with_another_shape_shows_both_shapes() -> None:
    other = np.ones(2, np.float32)
    refusal((ValueError, TypeError), lambda: ft.jvp(fnp.sin, (vector,), (other,))).says("tangent", "(3,)", "(2,)")


def test_jvp_with_another_dtype_shows_both_dtypes_and_the_cast() -> None:
    other = np.ones(3, np.float16)
    refusal(TypeError, lambda: ft.jvp(fnp.sin, (vector,), (other,))).says("tangent", "float32", "float16", "astype")


def test_jvp_with_an_integer_primal_asks_for_float0() -> None:
    refusal(TypeError, lambda: ft.jvp(lambda n: n * 2.0, (np.arange(3),), (vector,))).says("int", "float0")


def test_a_linearized_function_refuses_another_tangent_shape() -> None:
    _, pushforward = ft.linearize(fnp.sin, vector)
    refusal((ValueError, TypeError), lambda: pushforward(np.ones(2, np.float32))).says("tangent", "(3,)", "(2,)")


# vjp and linear_transpose.


def test_a_cotangent_of_another_tree_shows_both_trees() -> None:
    _, pullback = ft.vjp(lambda x: {"y": x * x}, vector)
    refusal((ValueError, TypeError), lambda: pullback(vector)).says("cotangent", "'y'", ("tree", "structure"))


def test_a_cotangent_of_another_shape_shows_both_shapes() -> None:
    _, pullback = ft.vjp(lambda x: x * x, vector)
    refusal((ValueError, TypeError), lambda: pullback(np.ones(2, np.float32))).says("cotangent", "(3,)", "(2,)")


def test_a_cotangent_of_another_dtype_shows_both_dtypes_and_the_cast() -> None:
    _, pullback = ft.vjp(lambda x: x * x, vector)
    refusal((TypeError, ValueError), lambda: pullback(np.ones(3, np.float16))).says(
        "cotangent", "float32", "float16", "astype"
    )


def test_a_scalar_cotangent_for_a_vector_result_is_refused() -> None:
    _, pullback = ft.vjp(lambda x: x * x, vector)
    refusal((ValueError, TypeError), lambda: pullback(1.0)).says("cotangent", "(3,)", "()")


def test_linear_transpose_of_a_nonlinear_function_blames_the_operation() -> None:
    def nonlinear(x: Any) -> Any:
        return fnp.sin(x)  # blame

    refusal((TypeError, ValueError), lambda: ft.linear_transpose(nonlinear, vector)(vector)).says("linear", "sin")


def test_reverse_mode_through_while_loop_names_the_loops_that_have_it() -> None:
    def grows(x: Any) -> Any:
        return lax.while_loop(lambda y: y < 10.0, lambda y: y * 2.0, x)  # blame

    refusal((TypeError, ValueError, NotImplementedError), lambda: ft.jit(ft.grad(grows))(scalar)).says(
        ("while_loop", "while"), ("scan", "fori_loop")
    )


# has_aux.


def test_has_aux_without_a_pair_shows_what_came() -> None:
    refusal((TypeError, ValueError), lambda: ft.grad(lambda x: x, has_aux=True)(scalar)).says(
        "has_aux", ("pair", "tuple")
    )
    refusal((TypeError, ValueError), lambda: ft.vjp(lambda x: (x, x, x), scalar, has_aux=True)).says(
        "has_aux", ("pair", "tuple"), "3"
    )


def test_the_cotangent_of_an_integer_result_says_nothing_and_has_its_shape() -> None:
    _, pullback = ft.vjp(lambda x: (x, fnp.argmax(x)), vector)
    for nothing in (np.zeros((), jax.dtypes.float0), np.int32(7), 0, 1.5):
        np.testing.assert_array_equal(pullback((vector, nothing))[0], vector)
    refusal((TypeError, ValueError), lambda: pullback((vector, np.int32([0, 1])))).says("cotangent", "float0", "i32[2]")
    tangent = lambda: ft.jvp(lambda i: i, (np.int32(1),), (np.int32(0),))
    refusal((TypeError, ValueError), tangent).says("tangent", "float0", "i32[]")
