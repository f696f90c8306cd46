"""Operations on arrays whose shapes or dtypes do not fit, and what arrays and tracers do not allow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans import lax
from tests.errors.refusal import caught, refusal

three = np.ones(3, np.float32)
matrix = np.ones((2, 3), np.float32)
ints = np.ones(3, np.int32)

MISMATCHES: dict[str, tuple[Callable[[Any, Any], Any], Any, Any, tuple[Any, ...]]] = {
    "add": (lambda x, y: x + y, three, np.ones(4, np.float32), (("add", "+"), "(3,)", "(4,)")),
    "power": (lambda x, y: x**y, three, np.ones(4, np.float32), ("(3,)", "(4,)")),
    "maximum": (fnp.maximum, three, matrix.T, (("maximum", "max"), "(3,)", "(3, 2)")),
    "where": (lambda x, y: fnp.where(x > 0, x, y), three, np.ones(2, np.float32), ("(3,)", "(2,)")),
    "matmul": (lambda x, y: x @ y, matrix, matrix, (("matmul", "dot", "@"), "(2, 3)")),
    "dot": (fnp.dot, three, np.ones(4, np.float32), ("dot", "(3,)", "(4,)")),
    "dot_general": (
        lambda x, y: lax.dot_general(x, y, (((1,), (0,)), ((), ()))),
        matrix,
        np.ones(4, np.float32),
        ("dot_general", ("(2, 3)", "3"), ("(4,)", "4")),
    ),
    "concatenate": (lambda x, y: fnp.concatenate([x, y]), three, matrix, ("concatenate", "(3,)", "(2, 3)")),
    "stack": (lambda x, y: fnp.stack([x, y]), three, matrix, ("stack", "(3,)", "(2, 3)")),
    "reshape": (lambda x, y: fnp.reshape(x, (2, 2)), three, three, ("reshape", "(3,)", "(2, 2)")),
    "reshape_unknown": (lambda x, y: x.reshape(-1, 2), three, three, ("reshape", "3", "-1")),
    "broadcast_to": (lambda x, y: fnp.broadcast_to(x, (3, 2)), three, three, ("broadcast", "(3,)", "(3, 2)")),
    "transpose": (lambda x, y: fnp.transpose(x, (0, 0)), matrix, three, ("transpose", "(0, 0)")),
    "sum_axis": (
        lambda x, y: fnp.sum(x, axis=2),
        matrix,
        three,
        ("axis", "2", ("(2, 3)", "rank 2", "dimension 2", "2 dimensions")),
    ),
    "squeeze": (lambda x, y: fnp.squeeze(x, 0), matrix, three, ("squeeze", ("(2, 3)", "size 2", "2"))),
    "too_many_indices": (
        lambda x, y: x[0, 0],
        three,
        three,
        (("ind"), ("(3,)", "rank 1", "1 dimension", "1-dimensional")),
    ),
    "lax_add_shapes": (lax.add, three, np.ones(4, np.float32), ("add", "(3,)", "(4,)")),
    "lax_add_dtypes": (lax.add, three, ints, ("add", "float32", "int32", ("astype", "convert"))),
    "lax_select": (lambda x, y: lax.select(x > 0, x, y), three, np.ones(4, np.float32), ("select", "(3,)", "(4,)")),
    "lax_clamp": (lambda x, y: lax.clamp(np.zeros(3, np.int32), x, y), three, three, ("clamp", "int32", "float32")),
    "dynamic_slice": (lambda x, y: lax.dynamic_slice(x, (0,), (5,)), three, three, ("dynamic_slice", "5", "3")),
    "dynamic_update_slice": (
        lambda x, y: lax.dynamic_update_slice(x, y, (0,)),
        three,
        np.ones(4, np.float32),
        ("dynamic_update_slice", "(3,)", "(4,)"),
    ),
    "at_set": (lambda x, y: x.at[0].set(y), matrix, np.ones(2, np.float32), ((".at[", "scatter"), "(2,)", "(3,)")),
    "bitwise_of_floats": (lambda x, y: x & y, three, three, (("and", "&"), "float32", ("int", "bool"))),
    "floor_of_ints": (lambda x, y: lax.floor(y), three, ints, ("floor", "int32", "float")),
}


@pytest.mark.parametrize("construct", ["under_jit", "under_grad", "unjitted"])
@pytest.mark.parametrize("name", MISMATCHES)
def test_a_mismatch_names_the_operation_and_what_does_not_fit(name: str, construct: str) -> None:
    operation, x, y, fragments = MISMATCHES[name]

    def function(x: Any, y: Any) -> Any:
        return operation(x, y)

    runs: dict[str, Callable[[], Any]] = {
        "under_jit": lambda: ft.jit(function)(x, y),
        "under_grad": lambda: ft.grad(lambda x, y: fnp.sum(function(x, y)))(x, y),
        "unjitted": lambda: function(fnp.asarray(x), fnp.asarray(y)),
    }
    kinds = (TypeError, ValueError, IndexError)
    # Of two concrete arrays the operators belong to JAX; its message is not ours to test.
    if construct == "unjitted" and operation.__name__ == "<lambda>" and "lax." not in fragments:
        caught(kinds, runs[construct])
    else:
        refusal(kinds, runs[construct]).says(*fragments)


def test_a_mismatch_blames_the_line_of_the_operation() -> None:
    def function(x: Any) -> Any:
        y = fnp.sin(x)
        return y + fnp.ones(4)  # blame

    refusal((TypeError, ValueError), lambda: ft.jit(function)(three)).says("(3,)", "(4,)")


def test_item_assignment_proposes_at() -> None:
    def function(x: Any) -> Any:
        x[1] = 2.0  # blame
        return x

    refusal(TypeError, lambda: ft.jit(function)(three)).says(".at[", ".set(", "immutable")


def test_augmented_item_assignment_proposes_at() -> None:
    def function(x: Any) -> Any:
        x[1] += 2.0  # blame
        return x

    refusal(TypeError, lambda: ft.grad(function)(three)).says(".at[")


def test_a_jax_numpy_function_refuses_our_tracer_as_it_refuses_an_array() -> None:
    def function(x: Any) -> Any:
        return jax.numpy.matmul(x, jax.numpy.ones(4))

    caught(TypeError, lambda: ft.jit(function)(three)).says("(3,)", "(4,)")


def test_a_numpy_function_without_counterpart_is_named() -> None:
    def function(x: Any) -> Any:
        return np.busday_count(x, x)  # blame

    def other(x: Any) -> Any:
        return np.lib.scimath.sqrt(np.real_if_close(x))  # blame

    refusal(TypeError, lambda: ft.jit(function)(three)).says("busday_count")
    refusal(TypeError, lambda: ft.jit(other)(three)).says(("real_if_close", "numpy"))


def test_a_list_where_an_array_is_needed_proposes_asarray() -> None:
    refusal(TypeError, lambda: fnp.sin([1.0, 2.0])).says("list", ("array", "asarray"))
    refusal(TypeError, lambda: ft.jit(lambda x: x + [1.0, 2.0, 3.0])(three)).says("list")


def test_a_string_where_an_array_is_needed_names_its_class() -> None:
    refusal(TypeError, lambda: fnp.cos("text")).says("str")
    refusal(TypeError, lambda: ft.jit(lambda x: x * "text")(three)).says("str")


def test_none_as_an_operand_is_named() -> None:
    refusal(TypeError, lambda: ft.jit(lambda x: fnp.add(x, None))(three)).says("None")


def test_an_index_of_a_float_names_the_dtype() -> None:
    refusal((TypeError, IndexError), lambda: ft.jit(lambda x, i: x[i])(three, np.float32(1))).says("float32", "int")


def test_a_string_as_an_index_is_named() -> None:
    refusal((TypeError, IndexError), lambda: ft.jit(lambda x: x["first"])(three)).says(("str", "'first'"))


def test_a_boolean_mask_with_a_traced_value_proposes_where() -> None:
    def function(x: Any) -> Any:
        return x[x > 0]  # blame

    refusal((TypeError, IndexError), lambda: ft.jit(function)(three)).says("bool", "where")


def test_a_shape_that_depends_on_a_traced_value_is_refused() -> None:
    def function(n: Any) -> Any:
        return fnp.zeros(n)  # blame

    refusal(TypeError, lambda: ft.jit(function)(3)).says(("shape", "static"), "static_argnums")


def test_a_missing_attribute_is_an_attribute_error() -> None:
    refusal(AttributeError, lambda: ft.jit(lambda x: x.no_such_method())(three)).says("no_such_method")


def test_iteration_over_a_scalar_is_refused() -> None:
    refusal(TypeError, lambda: ft.jit(lambda x: list(x))(np.float32(1))).says(("0-d", "scalar", "rank 0"))


def test_len_of_a_scalar_is_refused() -> None:
    refusal(TypeError, lambda: ft.jit(lambda x: len(x))(np.float32(1))).says(
        ("len", "unsized"), ("scalar", "0-d", "unsized")
    )


@pytest.mark.parametrize("shape", [(-1,), "23", (2.5,), 2.5])
def test_what_is_no_shape_is_refused_by_broadcast_shapes_as_in_jax(shape: Any) -> None:
    for module in (ft.lax, ft.numpy, jax.lax, jax.numpy):
        with pytest.raises(TypeError):
            module.broadcast_shapes((2, 3), shape)
    with pytest.raises(TypeError, match=r"broadcast_shapes: a shape (is a sequence|has no negative sizes)"):
        ft.lax.broadcast_shapes(shape)


def test_an_axis_or_a_stride_that_is_none_is_named() -> None:
    with pytest.raises(TypeError, match="squeeze: an axis is an integer, got None"):
        lax.squeeze(np.ones((1, 2), np.float32), (None,))
    image, kernel = np.ones((1, 1, 3, 3), np.float32), np.ones((1, 1, 1, 1), np.float32)
    for options in ({"window_strides": (1,)}, {"lhs_dilation": (1, 1, 1)}, {"rhs_dilation": ()}):
        with pytest.raises(ValueError, match=rf"{next(iter(options))} has one number for each of the 2 spatial axes"):
            lax.conv_general_dilated(image, kernel, **{"window_strides": (1, 1), "padding": "VALID", **options})
