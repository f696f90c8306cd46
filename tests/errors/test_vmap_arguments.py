"""Wrong arguments of vmap and of the collectives over its named axes."""

from __future__ import annotations

from typing import Any

import numpy as np

import functrans as ft
import functrans.numpy as fnp
from functrans import lax
from tests.errors.refusal import refusal

three, four, matrix = np.ones(3, np.float32), np.ones(4, np.float32), np.ones((3, 4), np.float32)


def test_different_sizes_are_listed_with_their_arguments() -> None:
    refusal(ValueError, lambda: ft.vmap(lambda x, y: x + y)(three, four)).says(
        "vmap", "size", "3", "4", ("argument", "x")
    )


def test_different_sizes_inside_a_tree_name_the_leaves() -> None:
    refusal(ValueError, lambda: ft.vmap(lambda t: t["a"])({"a": three, "b": four})).says("'a'", "'b'", "3", "4")


def test_an_axis_beyond_the_rank_names_axis_and_shape() -> None:
    refusal(ValueError, lambda: ft.vmap(lambda x: x, in_axes=2)(three)).says(
        "vmap", "in_axes", "2", ("(3,)", "rank 1", "[3]")
    )
    refusal(ValueError, lambda: ft.vmap(lambda x: x, in_axes=-2)(three)).says("in_axes", "-2")


def test_a_scalar_cannot_be_mapped_and_none_is_proposed() -> None:
    refusal(ValueError, lambda: ft.vmap(lambda x, y: x + y)(three, np.float32(1.0))).says(
        "vmap", ("scalar", "()", "rank 0"), ("in_axes", "None")
    )


def test_in_axes_of_the_wrong_length_name_both_numbers() -> None:
    refusal(ValueError, lambda: ft.vmap(lambda x, y: x + y, in_axes=(0,))(three, three)).says("in_axes", "1", "2")


def test_in_axes_of_another_tree_show_both_trees() -> None:
    refusal(ValueError, lambda: ft.vmap(lambda t: t["a"], in_axes=({"b": 0},))({"a": three})).says(
        "in_axes", "'a'", "'b'"
    )


def test_in_axes_of_the_wrong_kind_are_refused_with_their_value() -> None:
    refusal(TypeError, lambda: ft.vmap(lambda x: x, in_axes=1.5)(three)).says("in_axes", "1.5")


def test_nothing_mapped_asks_for_an_axis_or_its_size() -> None:
    refusal(ValueError, lambda: ft.vmap(lambda x: x, in_axes=None)(three)).says(
        "in_axes", "None", ("axis_size", "at least one")
    )


def test_axis_size_against_the_arguments_shows_both() -> None:
    refusal(ValueError, lambda: ft.vmap(lambda x: x, axis_size=5)(three)).says("axis_size", "5", "3")


def test_out_axes_none_for_a_mapped_result_is_refused() -> None:
    refusal(ValueError, lambda: ft.vmap(lambda x: x * 2, out_axes=None)(three)).says(
        "out_axes", "None", ("mapped", "batched")
    )


def test_out_axes_beyond_the_rank_name_axis_and_result() -> None:
    refusal(ValueError, lambda: ft.vmap(lambda x: x, out_axes=2)(three)).says("out_axes", "2")


def test_out_axes_of_another_tree_show_both_trees() -> None:
    refusal(ValueError, lambda: ft.vmap(lambda x: (x, x), out_axes=(0, 0, 0))(three)).says(
        "out_axes", ("tree", "structure")
    )


def test_an_unbound_axis_name_is_named_with_those_in_scope() -> None:
    def total(x: Any) -> Any:
        return lax.psum(x, "rows")  # blame

    refusal(NameError, lambda: ft.vmap(total, axis_name="columns")(three)).says("rows", "columns")


def test_an_unbound_axis_name_outside_vmap_proposes_axis_name() -> None:
    refusal(NameError, lambda: ft.jit(lambda x: lax.pmean(x, "rows"))(three)).says("rows", "axis_name")


def test_a_shape_error_inside_vmap_shows_the_shapes_of_one_lane() -> None:
    def add(x: Any) -> Any:
        return x + fnp.ones(3)  # blame

    refusal((TypeError, ValueError), lambda: ft.vmap(add)(matrix)).says("(4,)", "(3,)")


def test_an_axis_of_a_device_mesh_is_refused_with_what_to_do() -> None:
    refusal(TypeError, lambda: ft.vmap(lambda x: x, spmd_axis_name="devices")).says(
        "spmd_axis_name='devices'", "Leave it out", "axis_name"
    )
