"""Python asks a traced value for its number where there is none: the construct to use instead is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans import lax
from tests.errors.refusal import refusal

scalar = np.float32(2.0)
vector = np.ones(3, np.float32)

STAGED: dict[str, Callable[[Callable[[Any], Any]], Any]] = {
    "jit": lambda f: ft.jit(f)(scalar),
    "vmap": lambda f: ft.vmap(f)(vector),
    "scan": lambda f: lax.scan(lambda c, x: (c, f(x)), scalar, vector),
    "fori_loop": lambda f: lax.fori_loop(0, 2, lambda i, c: c + f(c), scalar),
    "while_loop": lambda f: lax.while_loop(lambda c: c < 3.0, lambda c: c + 1.0 + 0 * f(c), scalar),
    "cond": lambda f: lax.cond(True, f, lambda x: x, scalar),
    "grad_of_jit": lambda f: ft.grad(ft.jit(f))(scalar),
    "jit_of_grad": lambda f: ft.jit(ft.grad(f))(scalar),
    "vmap_of_grad": lambda f: ft.vmap(ft.grad(f))(vector),
    "make_jaxpr": lambda f: ft.make_jaxpr(f)(scalar),
    "eval_shape": lambda f: ft.eval_shape(f, scalar),
}
staged = pytest.mark.parametrize("construct", STAGED)


@staged
def test_if_names_cond_and_where(construct: str) -> None:
    def function(x: Any) -> Any:
        if x > 0:  # blame
            return x
        return -x

    refusal(TypeError, lambda: STAGED[construct](function)).says("cond", "where", "bool")


@staged
def test_while_names_while_loop(construct: str) -> None:
    def function(x: Any) -> Any:
        while x < 10:  # blame
            x = x * 2
        return x

    refusal(TypeError, lambda: STAGED[construct](function)).says("while_loop")


def test_and_names_the_operators() -> None:
    def function(x: Any) -> Any:
        return (x > 0) and (x < 1)  # blame

    refusal(TypeError, lambda: ft.jit(function)(scalar)).says("bool", ("&", "logical_and"))


def test_assert_and_ternary_are_conversions_to_bool() -> None:
    def asserted(x: Any) -> Any:
        assert x > 0  # blame
        return x

    def ternary(x: Any) -> Any:
        return x if x > 0 else -x  # blame

    refusal(TypeError, lambda: ft.jit(asserted)(scalar)).says("bool")
    refusal(TypeError, lambda: ft.jit(ternary)(scalar)).says("where")


CONVERSIONS: dict[str, tuple[Callable[[Any], Any], tuple[Any, ...]]] = {
    "float": (lambda x: float(x), ("float",)),
    "complex": (lambda x: complex(x), ("complex",)),
    "int": (lambda x: int(x), ("int",)),
    "bool": (lambda x: bool(x), ("bool",)),
    "item": (lambda x: x.item(), ("item",)),
    "tolist": (lambda x: x.tolist(), ("tolist",)),
    "np_array": (lambda x: np.array(x), (("np.array", "np.asarray", "numpy array", "__array__"),)),
    "np_asarray": (lambda x: np.asarray(x), (("np.asarray", "numpy array", "__array__"),)),
    "np_asarray_dtype": (lambda x: np.asarray(x, np.float64), (("np.asarray", "numpy array", "__array__"),)),
    "round": (lambda x: f"{x:.3f}", (("format", "float"),)),
}


@staged
@pytest.mark.parametrize("conversion", CONVERSIONS)
def test_a_conversion_names_what_was_asked_and_how_the_value_came_to_be_traced(construct: str, conversion: str) -> None:
    convert, fragments = CONVERSIONS[conversion]

    def function(x: Any) -> Any:
        convert(x)
        return x

    found = refusal(TypeError, lambda: STAGED[construct](function)).says(*fragments)
    if construct in ("jit", "vmap", "scan", "fori_loop", "while_loop", "cond"):
        found.says(construct if construct != "fori_loop" else ("fori_loop", "loop", "scan"))


def test_float_blames_its_line_and_proposes_static_arguments() -> None:
    def function(x: Any) -> Any:
        y = x * 2
        return float(y)  # blame

    refusal(TypeError, lambda: ft.jit(function)(scalar)).says("float", ("static_argnums", "float32"))


def test_range_names_fori_loop_and_static_arguments() -> None:
    def function(n: Any) -> Any:
        return sum(i * 2 for i in range(n))  # blame

    refusal(TypeError, lambda: ft.jit(function)(3)).says("fori_loop", "static_argnums")


def test_a_list_index_proposes_an_array() -> None:
    choices = ["a", "b", "c"]

    def function(n: Any) -> Any:
        return choices[n]  # blame

    refusal(TypeError, lambda: ft.jit(function)(1)).says(("index", "integer"), "functrans.numpy")


def test_an_index_into_a_numpy_array_works_but_into_a_tuple_is_refused() -> None:
    table = np.array([1.0, 2.0, 3.0], np.float32)
    assert float(ft.jit(lambda n: fnp.asarray(table)[n])(1)) == 2.0

    def function(n: Any) -> Any:
        return (1.0, 2.0, 3.0)[n]  # blame

    refusal(TypeError, lambda: ft.jit(function)(1)).says(("index", "integer"))


def test_a_size_from_a_traced_value_names_static_arguments() -> None:
    def function(n: Any) -> Any:
        return fnp.arange(n)  # blame

    refusal(TypeError, lambda: ft.jit(function)(3)).says("static_argnums", ("arange", "shape", "size"))


def test_a_slice_by_a_traced_value_names_dynamic_slice() -> None:
    def function(x: Any, n: Any) -> Any:
        return x[:n]  # blame

    refusal((TypeError, IndexError), lambda: ft.jit(function)(vector, 2)).says("dynamic_slice", "static")


def test_the_traced_value_is_described_by_its_type_and_origin() -> None:
    def function(x: Any) -> Any:
        y = fnp.sin(x)
        return float(y)  # blame

    refusal(TypeError, lambda: ft.jit(function)(scalar)).says("float32", "()")


def test_nonconcrete_dictionary_key_is_a_type_error() -> None:
    # Tracers hash by identity as JAX's do not: a tracer is no key to a value of a dictionary of numbers.
    refusal((TypeError, KeyError), lambda: ft.jit(lambda n: {1: 2.0}[n])(1))
