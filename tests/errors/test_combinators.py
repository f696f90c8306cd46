"""What associative_scan, reduce, custom_root, custom_linear_solve, custom_vmap and their kin refuse, and what they say.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import functrans as ft
import functrans.numpy as fnp
from functrans import lax
from tests.errors.refusal import refusal

scalar = np.float32(2.0)
vector = np.ones(3, np.float32)
matrix = np.ones((3, 2), np.float32)
whole = np.arange(3, dtype=np.int32)


# -- associative_scan --------------------------------------------------------------------------------------------------


def test_an_associative_scan_of_no_function_shows_what_came() -> None:
    refusal(TypeError, lambda: lax.associative_scan(vector, vector)).says("associative_scan", "function", "float32")


def test_an_associative_scan_of_sequences_of_different_lengths_lists_them() -> None:
    refusal(ValueError, lambda: lax.associative_scan(lambda a, b: a, (vector, np.ones(4, np.float32)))).says(
        "associative_scan", "axis 0", "f32[3]", "f32[4]", "same size"
    )


def test_an_associative_scan_of_a_scalar_names_it() -> None:
    refusal(ValueError, lambda: lax.associative_scan(lambda a, b: a, scalar)).says("associative_scan", "scalar", "axis")


def test_an_associative_scan_along_an_axis_that_is_not_there_names_it() -> None:
    refusal(ValueError, lambda: lax.associative_scan(lambda a, b: a, vector, axis=1)).says("associative_scan", "axis 1")


def test_an_associative_function_that_changes_the_shape_shows_both() -> None:
    def prefixes(x: Any) -> Any:
        return lax.associative_scan(lambda a, b: fnp.sum(a * b), x)  # blame

    refusal(TypeError, lambda: ft.jit(prefixes)(vector)).says("associative_scan", "(1,)", "()", "must return what")


def test_an_associative_function_that_changes_the_tree_shows_both() -> None:
    def prefixes(x: Any) -> Any:
        return lax.associative_scan(lambda a, b: {"p": a["p"] * b["p"]}, {"p": x, "q": x})  # blame

    refusal(TypeError, lambda: ft.jit(prefixes)(vector)).says("associative_scan", "'q'", "tree")


# -- reduce, map, fori_loop, scan --------------------------------------------------------------------------------------


def test_a_reduction_with_its_arguments_in_another_order_shows_the_right_one() -> None:
    refusal(TypeError, lambda: lax.reduce(vector, lax.add, scalar, (0,))).says(
        "reduce", "function", "reduce(operands, init_values, computation, dimensions)"
    )


def test_a_reduction_with_an_init_value_of_another_dtype_shows_the_cast() -> None:
    refusal(TypeError, lambda: lax.reduce(vector, np.int32(0), lax.add, (0,))).says(
        "reduce", "f32[3]", "i32[]", "np.float32"
    )


def test_a_reduction_that_starts_from_an_array_is_told_to_combine_it_later() -> None:
    refusal(ValueError, lambda: lax.reduce(vector, vector, lax.add, (0,))).says("reduce", "scalars", "f32[3]")


def test_a_reduction_of_two_shapes_lists_them() -> None:
    refusal(ValueError, lambda: lax.reduce((vector, matrix), (scalar, scalar), lambda a, b: a, (0,))).says(
        "reduce", "one shape", "f32[3]", "f32[3,2]"
    )


def test_a_reduction_with_fewer_init_values_shows_both_trees() -> None:
    refusal(TypeError, lambda: lax.reduce((vector, vector), (scalar,), lambda a, b: a, (0,))).says(
        "reduce", "operands", "init_values", "(*, *)"
    )


def test_a_reduction_over_an_axis_that_is_not_there_names_it() -> None:
    refusal(ValueError, lambda: lax.reduce(vector, scalar, lax.add, (1,))).says("reduce", "axis 1", "(3,)")


def test_a_reduction_over_an_axis_twice_says_so() -> None:
    refusal(ValueError, lambda: lax.reduce(matrix, scalar, lax.add, (0, -2))).says("reduce", "twice")


def test_a_reduction_whose_function_changes_the_dtype_shows_types_and_cast() -> None:
    def count(x: Any) -> Any:
        return lax.reduce(x, np.float32(0), lambda a, b: (a + b).astype(fnp.int32), (0,))  # blame

    refusal(TypeError, lambda: ft.jit(count)(vector)).says("reduce", "float32", "int32", "astype")


def test_a_map_in_batches_of_less_than_nothing_shows_the_number() -> None:
    refusal(ValueError, lambda: lax.map(lambda x: x, vector, batch_size=-1)).says("map", "batch_size=-1", "negative")


def test_a_map_in_batches_of_no_integer_shows_what_came() -> None:
    refusal(TypeError, lambda: lax.map(lambda x: x, vector, batch_size=1.5)).says("map", "batch_size", "1.5", "integer")


def test_a_map_of_no_function_shows_what_came() -> None:
    refusal(TypeError, lambda: lax.map(vector, lambda x: x)).says("map needs a function", "f32[3]", "map(f, xs)")


def test_an_unrolled_loop_with_traced_bounds_is_refused() -> None:
    def loop(n: Any) -> Any:
        return lax.fori_loop(0, n, lambda i, c: c, scalar, unroll=2)  # blame

    refusal(ValueError, lambda: ft.jit(loop)(3)).says("fori_loop", "unroll=2", "bounds", "integers")


def test_an_unroll_that_is_no_integer_shows_what_came() -> None:
    refusal(TypeError, lambda: lax.scan(lambda c, x: (c, x), scalar, vector, unroll=1.5)).says("unroll", "1.5")


# -- custom_root, custom_linear_solve ----------------------------------------------------------------------------------

newton = lambda f, x: x - f(x)
divide = lambda g, y: y / g(fnp.ones_like(y))


def test_a_root_without_a_solver_names_the_argument() -> None:
    refusal(TypeError, lambda: lax.custom_root(lambda x: x, scalar, None, divide)).says("custom_root", "solve", "None")


def test_a_root_from_an_integer_guess_is_told_the_cast() -> None:
    refusal(TypeError, lambda: lax.custom_root(lambda x: x, 1, newton, divide)).says(
        "custom_root", "initial_guess", "i32[]", "astype"
    )


def test_an_equation_of_another_shape_than_the_guess_shows_both() -> None:
    def root(a: Any) -> Any:
        return lax.custom_root(lambda x: fnp.sum(x) - a, vector, newton, divide)  # blame

    refusal(TypeError, lambda: ft.jit(root)(scalar)).says("custom_root", "initial_guess", "(3,)", "()", "must be like")


def test_a_solver_of_another_tree_than_the_guess_shows_both() -> None:
    def root(a: Any) -> Any:
        return lax.custom_root(lambda x: x - a, vector, lambda f, x: (x, 1), divide)  # blame

    refusal(TypeError, lambda: ft.jit(root)(scalar)).says("custom_root", "solve", "tree", "(*, *)")


def test_a_solver_without_its_aux_is_told_to_return_a_pair() -> None:
    def root(a: Any) -> Any:
        return lax.custom_root(lambda x: x - a, vector, newton, divide, has_aux=True)  # blame

    refusal(TypeError, lambda: ft.jit(root)(scalar)).says("custom_root", "solve", "pair", "has_aux=True")


def test_a_tangent_solver_of_another_shape_shows_both() -> None:
    def root(a: Any) -> Any:
        return lax.custom_root(lambda x: x - a, vector, newton, lambda g, y: fnp.sum(y))  # blame

    refusal(TypeError, lambda: ft.jit(root)(scalar)).says("custom_root", "tangent_solve", "(3,)", "()")


def test_a_linearized_function_called_with_another_shape_shows_both() -> None:
    def root(a: Any) -> Any:
        return lax.custom_root(lambda x: x - a, vector, newton, lambda g, y: y / g(1.0))  # blame

    refusal(TypeError, lambda: ft.jit(root)(scalar)).says("custom_root", "linearized f", "f32[3]", "f32[]")


def test_a_linear_solve_of_a_function_with_another_shape_shows_both() -> None:
    def solve(b: Any) -> Any:
        return lax.custom_linear_solve(lambda x: x[:2], b, divide)  # blame

    refusal(TypeError, lambda: ft.jit(solve)(vector)).says("custom_linear_solve", "matvec", "(3,)", "(2,)")


def test_a_linear_solve_of_a_function_that_is_not_linear_says_so() -> None:
    def solve(b: Any) -> Any:
        return lax.custom_linear_solve(lambda x: x * x, b, divide, divide)  # blame

    refusal(TypeError, lambda: ft.jit(solve)(vector)).says("custom_linear_solve", "matvec", "not linear")


def test_reverse_mode_without_a_transposed_solver_says_what_to_pass() -> None:
    def total(b: Any) -> Any:
        return fnp.sum(lax.custom_linear_solve(lambda x: 2.0 * x, b, divide))  # blame

    refusal(NotImplementedError, lambda: ft.grad(total)(vector)).says(
        "custom_linear_solve", "transpose_solve=", "symmetric=True", "forward mode"
    )


# -- custom_vmap and the rest ------------------------------------------------------------------------------------------


def with_rule(rule: Any) -> Any:
    @ft.custom_batching.custom_vmap
    def double(x: Any) -> Any:
        return {"d": 2.0 * x}

    double.def_vmap(rule)
    return double


def test_a_custom_vmap_without_a_rule_says_what_to_define() -> None:
    refusal(TypeError, lambda: ft.vmap(ft.custom_batching.custom_vmap(fnp.sin))(vector)).says("rule", "def_vmap")


def test_a_vmap_rule_without_a_pair_is_named() -> None:
    double = with_rule(lambda size, in_batched, x: 2.0 * x)
    refusal(TypeError, lambda: ft.vmap(double)(vector)).says("vmap rule of double", "pair", "f32[3]")


def test_a_vmap_rule_of_another_tree_shows_both() -> None:
    double = with_rule(lambda size, in_batched, x: (2.0 * x, True))
    refusal(ValueError, lambda: ft.vmap(double)(vector)).says("vmap rule of double", "tree", "'d'")


def test_a_vmap_rule_with_flags_of_another_tree_shows_both() -> None:
    double = with_rule(lambda size, in_batched, x: ({"d": 2.0 * x}, True))
    refusal(ValueError, lambda: ft.vmap(double)(vector)).says("vmap rule of double", "bool for each", "'d'")


def test_a_vmap_rule_whose_flag_does_not_fit_the_shape_shows_the_type_needed() -> None:
    double = with_rule(lambda size, in_batched, x: ({"d": 2.0 * x}, {"d": False}))
    refusal(ValueError, lambda: ft.vmap(double)(vector)).says("double", "f32[3]", "not batched", "f32[] is needed")


def test_a_vmap_rule_with_a_flag_that_is_no_bool_shows_it() -> None:
    double = with_rule(lambda size, in_batched, x: ({"d": 2.0 * x}, {"d": 0}))
    refusal(TypeError, lambda: ft.vmap(double)(vector)).says("double", "bool", "['d']")


def test_a_custom_vmap_function_that_closes_over_a_mapped_value_is_told_to_pass_it() -> None:
    def lanes(w: Any) -> Any:
        custom = ft.custom_batching.custom_vmap(lambda x: x * w)
        custom.def_vmap(lambda size, in_batched, x: (x, True))
        return custom(2.0)  # blame

    refusal(TypeError, lambda: ft.vmap(lanes)(vector)).says("custom_vmap", "closes over", "mapped", "argument")


def test_a_custom_gradient_without_a_pair_is_named() -> None:
    refusal(TypeError, lambda: ft.custom_gradient(lambda x: x)(scalar)).says("custom_gradient", "pair", "cotangent")


def test_a_closure_converted_function_called_with_another_tree_shows_both() -> None:
    converted, _ = ft.closure_convert(lambda x: x["a"], {"a": scalar})
    refusal(TypeError, lambda: converted(scalar)).says("closure_convert", "examples", "'a'")


def test_a_transpose_of_another_shape_shows_both() -> None:
    def f(x: Any) -> Any:
        call = ft.custom_derivatives.linear_call
        return fnp.sum(call(lambda _, v: 2.0 * v, lambda _, ct: fnp.sum(ct), (), x))  # blame

    refusal(TypeError, lambda: ft.grad(f)(vector)).says("linear_call", "transpose", "(3,)", "()")


def test_a_name_that_is_no_argument_is_refused_among_the_static_ones() -> None:
    refusal(ValueError, lambda: ft.custom_jvp(lambda x, n: x, nondiff_argnames=("m",))).says(
        "nondiff_argnames", "'m'", "x, n"
    )
