"""in_axes, out_axes, axis_size, and the collectives over named axes."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans import lax
from tests.agreement import assert_same

cube = np.arange(24.0, dtype=np.float32).reshape(2, 3, 4)
matrix = np.arange(6.0, dtype=np.float32).reshape(2, 3)
vector = np.arange(3.0, dtype=np.float32)


@pytest.mark.parametrize("out_axis", [0, 1, 2, -1, -2])
@pytest.mark.parametrize("in_axis", [0, 1, 2, -1, -3])
def test_in_axes_and_out_axes_count_from_either_end(in_axis: int, out_axis: int) -> None:
    actual = ft.vmap(lambda x: x * 2 + x[0], in_axis, out_axis)(cube)
    assert_same(actual, jax.vmap(lambda x: x * 2 + x[0], in_axis, out_axis)(cube))


TREES: dict[str, tuple[Any, Any, tuple[Any, ...]]] = {
    "one_int_for_a_tree": (0, 0, ({"a": matrix, "b": matrix.T[:2]}, matrix)),
    "none_for_an_argument": ((0, None), 0, ({"a": matrix, "b": matrix}, vector)),
    "int_for_a_subtree": (
        (1, {"x": 0, "y": None}),
        0,
        ({"a": matrix, "b": matrix}, {"x": (vector, vector), "y": matrix}),
    ),
    "full_tree": (({"a": 0, "b": -1}, None), {"s": 0, "t": 1}, ({"a": matrix.T, "b": matrix}, vector)),
    "none_inside": (({"a": 0, "b": None}, (0, None)), 0, ({"a": matrix, "b": vector}, (matrix, vector))),
    "list_of_axes": ([0, 0], 0, ({"a": matrix, "b": matrix}, matrix)),
}


@pytest.mark.parametrize("name", TREES)
def test_axes_are_tree_prefixes(name: str) -> None:
    in_axes, out_axes, arguments = TREES[name]

    def function(first: Any, second: Any) -> Any:
        total = sum(leaf.sum() for leaf in jax.tree.leaves(second))
        return {"s": first["a"] * total, "t": first["b"] + total}

    assert_same(ft.vmap(function, in_axes, out_axes)(*arguments), jax.vmap(function, in_axes, out_axes)(*arguments))


def test_out_axes_none_for_an_unmapped_result_keeps_it() -> None:
    actual = ft.vmap(lambda x, y: (x + 1, y * 2), in_axes=(0, None), out_axes=(0, None))(vector, matrix)
    assert_same(actual, (jax.numpy.asarray(vector + 1), jax.numpy.asarray(matrix * 2)))


def test_an_unmapped_result_is_repeated_along_out_axes() -> None:
    actual = ft.vmap(lambda x, y: (y, 3.0), in_axes=(0, None), out_axes=(1, 0))(vector, matrix[:, 0])
    expected = jax.vmap(lambda x, y: (y, 3.0), in_axes=(0, None), out_axes=(1, 0))(vector, matrix[:, 0])
    assert_same(actual, expected)


def test_axis_size_alone_maps_a_function_of_nothing() -> None:
    assert_same(ft.vmap(lambda: fnp.ones(2), axis_size=3)(), jax.vmap(lambda: jax.numpy.ones(2), axis_size=3)())
    indices = ft.vmap(lambda: lax.axis_index("i"), axis_size=3, axis_name="i")()
    assert np.asarray(indices).tolist() == [0, 1, 2]


def test_an_empty_axis_is_mapped() -> None:
    empty = np.zeros((0, 3), np.float32)
    assert_same(
        ft.vmap(lambda x: fnp.sum(fnp.sin(x)))(empty), jax.vmap(lambda x: jax.numpy.sum(jax.numpy.sin(x)))(empty)
    )


def test_keyword_arguments_are_mapped_over_axis_zero() -> None:
    actual = ft.vmap(lambda x, y: x * y, in_axes=1)(matrix, y=vector)
    assert_same(actual, jax.vmap(lambda x, y: x * y, in_axes=1)(matrix, y=vector))


def test_nested_vmap_over_different_axes() -> None:
    actual = ft.vmap(ft.vmap(lambda x, y: x @ y, (0, None)), (None, 1), 1)(cube[0], cube[1].T)
    assert_same(actual, jax.vmap(jax.vmap(lambda x, y: x @ y, (0, None)), (None, 1), 1)(cube[0], cube[1].T))


COLLECTIVES: dict[str, Any] = {
    "psum": lambda lax, x: lax.psum(x, "i"),
    "pmean": lambda lax, x: lax.pmean(x, "i"),
    "pmax": lambda lax, x: lax.pmax(x, "i"),
    "pmin": lambda lax, x: lax.pmin(x, "i"),
    "all_gather": lambda lax, x: lax.all_gather(x, "i"),
    "all_gather_last": lambda lax, x: lax.all_gather(x, "i", axis=-1),
    "all_gather_tiled": lambda lax, x: lax.all_gather(x, "i", tiled=True),
    "axis_index": lambda lax, x: x * lax.axis_index("i"),
    "axis_size": lambda lax, x: x * lax.axis_size("i"),
    "psum_of_a_constant": lambda lax, x: x + lax.psum(2.0, "i"),
    "psum_of_one": lambda lax, x: x / lax.psum(1, "i"),
    "psum_of_a_tree": lambda lax, x: lax.psum({"a": x, "b": (x * 2, 1.0)}, "i"),
    "softmax": lambda lax, x: x - lax.pmax(x, "i") + lax.psum(x * x, "i"),
}


@pytest.mark.parametrize("name", COLLECTIVES)
def test_a_collective_over_the_mapped_axis(name: str) -> None:
    body = COLLECTIVES[name]
    actual = ft.vmap(lambda x: body(lax, x), axis_name="i")(matrix)
    assert_same(actual, jax.vmap(lambda x: body(jax.lax, x), axis_name="i")(matrix))


@pytest.mark.parametrize("name", [name for name in COLLECTIVES if "pm" not in name and name != "softmax"])
def test_the_derivative_of_a_collective(name: str) -> None:
    body = COLLECTIVES[name]

    def total(transforms: Any, module_lax: Any, module_numpy: Any) -> Any:
        def function(x: Any) -> Any:
            result = transforms.vmap(lambda x: body(module_lax, x * x), axis_name="i")(x)
            weights = [np.cos(np.arange(leaf.size)).reshape(leaf.shape) for leaf in jax.tree.leaves(result)]
            pairs = zip(weights, jax.tree.leaves(result), strict=True)
            return sum(module_numpy.sum(module_numpy.asarray(w, dtype=leaf.dtype) * leaf) for w, leaf in pairs)

        return function

    actual = ft.grad(total(ft, lax, fnp))(matrix)
    assert_same(actual, jax.grad(total(jax, jax.lax, jax.numpy))(matrix))


def test_nested_names_reduce_over_one_axis_or_both() -> None:
    def body(module_lax: Any) -> Any:
        def function(x: Any) -> Any:
            inner, outer, both = (module_lax.psum(x, name) for name in ("i", "o", ("o", "i")))
            index = module_lax.axis_index("o") * module_lax.axis_size("i") + module_lax.axis_index("i")
            return inner, outer, both, index, module_lax.pmean(x, ("i", "o"))

        return function

    actual = ft.vmap(ft.vmap(body(lax), axis_name="i"), axis_name="o")(matrix)
    assert_same(actual, jax.vmap(jax.vmap(body(jax.lax), axis_name="i"), axis_name="o")(matrix))


def test_an_inner_axis_of_the_same_name_hides_the_outer_one() -> None:
    actual = ft.vmap(ft.vmap(lambda x: lax.psum(x, "i"), axis_name="i"), axis_name="i")(matrix)
    assert_same(actual, jax.vmap(jax.vmap(lambda x: jax.lax.psum(x, "i"), axis_name="i"), axis_name="i")(matrix))


@pytest.mark.parametrize("wrap", ["jit", "scan", "cond", "grad", "custom_jvp"])
def test_a_collective_inside_another_construct_sees_the_outer_axis(wrap: str) -> None:
    def function(transforms: Any, module_numpy: Any, module_lax: Any) -> Any:
        def centred(x: Any) -> Any:
            return x - module_lax.pmean(x, "i")

        wraps = {
            "jit": transforms.jit(centred),
            "scan": lambda x: module_lax.scan(lambda c, _: (centred(c * c), None), x, None, length=2)[0],
            "cond": lambda x: module_lax.cond(module_lax.axis_index("i") > 0, lambda y: y * 2, lambda y: y, centred(x)),
            "grad": transforms.grad(lambda x: module_numpy.sum(centred(x) ** 2)),
            "custom_jvp": _with_rule(transforms, centred),
        }
        return transforms.vmap(wraps[wrap], axis_name="i")

    actual = function(ft, fnp, lax)(matrix)
    assert_same(actual, function(jax, jax.numpy, jax.lax)(matrix))


def _with_rule(transforms: Any, function: Any) -> Any:
    custom = transforms.custom_jvp(function)
    custom.defjvp(lambda primals, tangents: (function(*primals), function(*tangents)))
    return lambda x: transforms.jvp(custom, (x,), (x * 2,))


def test_one_jitted_function_serves_axes_of_different_sizes() -> None:
    mean = ft.jit(lambda x: lax.pmean(x, "i") + lax.axis_size("i"))
    for size in (2, 3, 2):
        xs = np.arange(float(size), dtype=np.float32)
        np.testing.assert_allclose(ft.vmap(mean, axis_name="i")(xs), np.full(size, xs.mean() + size), rtol=1e-6)
