"""Branches and loop bodies whose results do not fit: both trees, the leaf, both types, and the cast to write."""

from __future__ import annotations

from typing import Any

import numpy as np

import functrans as ft
import functrans.numpy as fnp
from functrans import lax
from tests.errors.refusal import refusal

scalar = np.float32(2.0)
vector = np.ones(3, np.float32)
KINDS = (TypeError, ValueError)


def test_branches_with_different_trees_show_both() -> None:
    def choose(x: Any) -> Any:
        return lax.cond(x > 0, lambda: {"a": x}, lambda: {"b": x, "c": x})  # blame

    refusal(TypeError, lambda: ft.jit(choose)(scalar)).says("cond", "'a'", "'b'", "'c'", "true", "false")


def test_branches_with_different_dtypes_show_leaf_types_and_cast() -> None:
    def choose(x: Any) -> Any:
        return lax.cond(x > 0, lambda: {"n": x, "m": x}, lambda: {"n": x, "m": x.astype(fnp.int32)})  # blame

    refusal(TypeError, lambda: ft.jit(choose)(scalar)).says("cond", "m", "float32", "int32", ("astype", "convert"))


def test_branches_with_different_shapes_show_both_shapes() -> None:
    def choose(x: Any) -> Any:
        return lax.cond(x[0] > 0, lambda: x, lambda: x[:2])  # blame

    refusal(TypeError, lambda: ft.jit(choose)(vector)).says("cond", "(3,)", "(2,)")


def test_switch_branches_that_differ_name_the_branch() -> None:
    def choose(i: Any, x: Any) -> Any:
        return lax.switch(i, [lambda y: y, lambda y: y * 2, lambda y: y > 0], x)  # blame

    refusal(TypeError, lambda: ft.jit(choose)(1, scalar)).says("switch", "2", "float32", "bool")


def test_an_unjitted_cond_is_checked_too() -> None:
    refusal(TypeError, lambda: lax.cond(True, lambda x: x, lambda x: (x, x), scalar)).says(
        "cond", ("tree", "structure")
    )


def test_a_predicate_that_is_no_scalar_names_its_shape() -> None:
    def choose(x: Any) -> Any:
        return lax.cond(x > 0, lambda: x, lambda: x)  # blame

    refusal(TypeError, lambda: ft.jit(choose)(vector)).says("cond", ("predicate", "pred"), "(3,)", ("scalar", "all"))


def test_a_branch_that_is_no_function_is_named() -> None:
    refusal(TypeError, lambda: lax.cond(True, scalar, scalar)).says("cond", ("callable", "function"))


def test_an_operand_missing_for_a_branch_is_a_type_error() -> None:
    refusal(TypeError, lambda: lax.cond(True, lambda x: x, lambda x: x)).says(("argument", "operand"))


def test_switch_without_branches_says_so() -> None:
    refusal(KINDS, lambda: lax.switch(0, [], scalar)).says("switch", "branch")


def test_switch_by_a_float_names_the_dtype() -> None:
    refusal(TypeError, lambda: lax.switch(scalar, [lambda x: x, lambda x: x], scalar)).says("switch", "float32", "int")


def test_a_scan_carry_of_another_tree_shows_both() -> None:
    def loop(x: Any) -> Any:
        return lax.scan(lambda c, _: ({"new": c["old"]}, None), {"old": x}, None, length=2)  # blame

    refusal(TypeError, lambda: ft.jit(loop)(scalar)).says("scan", "carry", "'old'", "'new'")


def test_a_scan_carry_of_another_dtype_shows_leaf_types_and_cast() -> None:
    def loop(x: Any) -> Any:
        step = lambda c, _: ({"x": c["x"], "n": c["n"] + 0.5 * c["x"]}, None)
        return lax.scan(step, {"x": x, "n": fnp.int32(0)}, None, length=2)  # blame

    refusal(TypeError, lambda: ft.jit(loop)(scalar)).says(
        "scan", "carry", "n", "int32", "float32", ("astype", "convert")
    )


def test_a_scan_carry_of_another_shape_shows_both_shapes() -> None:
    def loop(x: Any) -> Any:
        return lax.scan(lambda c, _: (fnp.stack([c, c]), None), x, None, length=2)  # blame

    refusal(TypeError, lambda: ft.jit(loop)(scalar)).says("scan", "carry", "()", "(2,)")


def test_a_scan_body_that_returns_no_pair_shows_what_came() -> None:
    def loop(x: Any) -> Any:
        return lax.scan(lambda c, _: c, x, None, length=2)  # blame

    refusal(KINDS, lambda: ft.jit(loop)(scalar)).says("scan", ("pair", "tuple"), "carry")


def test_scan_inputs_of_different_lengths_are_listed() -> None:
    inputs = {"a": np.ones(3, np.float32), "b": np.ones(4, np.float32)}
    refusal(ValueError, lambda: lax.scan(lambda c, x: (c, None), scalar, inputs)).says("scan", "3", "4")


def test_scan_length_against_the_inputs_shows_both() -> None:
    refusal(ValueError, lambda: lax.scan(lambda c, x: (c, None), scalar, vector, length=5)).says(
        "scan", "5", "3", "length"
    )


def test_scan_without_inputs_and_length_asks_for_the_length() -> None:
    refusal(KINDS, lambda: lax.scan(lambda c, x: (c, None), scalar, None)).says("scan", "length")


def test_scan_over_a_scalar_names_its_shape() -> None:
    refusal(KINDS, lambda: lax.scan(lambda c, x: (c, None), scalar, scalar)).says(
        "scan", ("scalar", "()", "axis", "rank 0")
    )


def test_a_while_carry_of_another_dtype_shows_types_and_cast() -> None:
    def loop(x: Any) -> Any:
        return lax.while_loop(lambda c: c < 10, lambda c: c.astype(fnp.float16), x)  # blame

    refusal(TypeError, lambda: ft.jit(loop)(scalar)).says("while_loop", "float32", "float16", ("astype", "convert"))


def test_a_while_carry_of_another_tree_shows_both() -> None:
    def loop(x: Any) -> Any:
        return lax.while_loop(lambda c: c[0] < 10, lambda c: c[0], (x, x))  # blame

    refusal(TypeError, lambda: ft.jit(loop)(scalar)).says(
        "while_loop", ("body", "lambda"), ("tree", "structure", "tuple")
    )


def test_a_while_condition_that_is_no_boolean_shows_its_type() -> None:
    def loop(x: Any) -> Any:
        return lax.while_loop(lambda c: c, lambda c: c - 1.0, x)  # blame

    refusal(TypeError, lambda: ft.jit(loop)(scalar)).says("while_loop", "cond", "bool", "float32")


def test_a_while_condition_of_a_vector_shows_its_shape() -> None:
    def loop(x: Any) -> Any:
        return lax.while_loop(lambda c: c < 1, lambda c: c + 1.0, x)  # blame

    refusal(TypeError, lambda: ft.jit(loop)(vector)).says("while_loop", "cond", "(3,)")


def test_a_fori_carry_of_another_shape_shows_both() -> None:
    def loop(x: Any) -> Any:
        return lax.fori_loop(0, 3, lambda i, c: fnp.sum(c), x)  # blame

    refusal(TypeError, lambda: ft.jit(loop)(vector)).says(("fori_loop", "loop"), "(3,)", "()")


def test_fori_bounds_that_are_floats_are_named() -> None:
    refusal(TypeError, lambda: lax.fori_loop(0, 3.5, lambda i, c: c, scalar)).says("fori_loop", ("float", "3.5"), "int")
