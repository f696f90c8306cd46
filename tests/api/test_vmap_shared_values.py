"""An argument that vmap does not map is one value for all lanes, handed on as it is: Python reads it, as in JAX."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans.errors import ConcretizationError
from tests.agreement import assert_same

lanes = np.array([0.5, -1.0, 2.0], np.float32)
Function = Callable[[Any, Any, Any], Any]
PROGRAMS: dict[str, Function] = {
    "if": lambda np_, x, n: x * 2.0 if n > 1 else np_.sin(x),
    "a_derived_value": lambda np_, x, n: x * int(np_.sum(np_.asarray(n) * 2.0)),
    "power": lambda np_, x, n: x ** int(n),
    "loop": lambda np_, x, n: sum(x * i for i in range(int(n))),
    "shape": lambda np_, x, n: np_.full((int(n),), x),
}


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("number", [2, np.int32(3), np.array(1)], ids=["python", "scalar", "array"])
def test_python_reads_an_unmapped_argument(name: str, number: Any) -> None:
    program = PROGRAMS[name]
    actual = ft.vmap(lambda x, n: program(fnp, x, n), (0, None))(lanes, number)
    expected = jax.vmap(lambda x, n: program(jnp, x, n), (0, None))(lanes, number)
    assert_same(actual, expected, weak=False)


@pytest.mark.parametrize(
    "argument", [2, 1.5, True, "sum", max, None, np.int64(3), np.array([0.1, 0.2]), {"a": 1, "b": object()}],
    ids=["int", "float", "bool", "str", "function", "None", "NumPy scalar", "NumPy array", "dict"],
)  # fmt: skip
def test_it_is_handed_on_as_it_is(argument: Any) -> None:
    seen: list[Any] = []
    for library in (jax, ft):
        library.vmap(lambda x, given: [x, seen.append(given)], (0, None))(lanes, argument)
    theirs, ours = seen
    assert type(ours) is type(theirs) and jax.tree.structure(ours) == jax.tree.structure(theirs)
    assert all(map(lambda a, b: a is b, jax.tree.leaves(ours), jax.tree.leaves(theirs)))


def test_a_number_is_a_number_under_jit_too() -> None:
    def program(library: Any, np_: Any) -> Any:
        mapped = library.vmap(lambda x, flag, n: np_.full((n,), x) if flag else x, (0, None, None))
        return library.jit(lambda x: mapped(x, True, 3))(lanes)

    assert_same(program(ft, fnp), program(jax, jnp), weak=True)


@pytest.mark.parametrize("number", [-1.25, 2, np.float64(0.5), np.int64(2)], ids=repr)
@pytest.mark.parametrize("other", [np.int64(3), np.float64(3.0), 3, 0.5], ids=repr)
def test_what_it_is_combined_with_has_the_type_that_python_or_numpy_gives_it(number: Any, other: Any) -> None:
    program = lambda library: library.vmap(lambda x, n: (n * other, x * n - other), (0, None))(lanes, number)
    assert_same(program(ft), program(jax), weak=True)


def test_it_is_read_at_each_call() -> None:
    mapped = ft.vmap(lambda x, n: x * 2.0 if n > 1 else x, (0, None))
    for number in (2, 1, 2):
        np.testing.assert_array_equal(mapped(lanes, number), lanes * 2.0 if number > 1 else lanes)


def test_a_number_read_where_it_is_differentiated_loses_nothing_in_silence() -> None:
    def total(y: Any) -> Any:
        return fnp.sum(ft.vmap(lambda x, y: x * math.sin(y), (0, None))(lanes, y))

    with pytest.raises(TypeError, match=r"stop_gradient"):
        ft.grad(total)(0.75)


def test_a_branch_on_it_under_a_derivative() -> None:
    total = lambda y: fnp.sum(ft.vmap(lambda x, y: x * y if y > 0.0 else x, (0, None))(lanes, y))
    assert_same(ft.grad(total)(np.float32(0.75)), jnp.sum(lanes), weak=False)
    assert_same(ft.grad(total)(np.float32(-0.75)), jnp.float32(0.0), weak=False)


def test_a_mapped_argument_and_one_that_jit_traces_have_none() -> None:
    mapped = ft.vmap(lambda x, y: x if y > 0 else -x, (0, None))
    with pytest.raises(ConcretizationError, match="jit"):
        ft.jit(mapped)(lanes, 1.0)
    with pytest.raises(ConcretizationError, match="vmap"):
        ft.vmap(mapped, (None, 0))(lanes, lanes)
    with pytest.raises(ConcretizationError, match="vmap"):
        ft.vmap(lambda x, y: x if x * y > 0 else -x, (0, None))(lanes, 1.0)


@pytest.mark.parametrize("kind", ["custom_jvp", "custom_vjp"])
def test_lanes_that_share_a_value_and_not_its_derivative(kind: str) -> None:
    """The rule scales the derivative by a mapped argument that the value does not depend on (as gradient scaling does):
    each lane's cotangent meets its own scale. JAX takes the value for one of all lanes and sums cotangents first.
    """
    scale, weights = np.array([1.0, 2.0, 5.0], np.float32), np.array([1.0, 10.0, 100.0], np.float32)

    def scaled(x: Any, s: Any) -> Any:
        return x * 1.0

    if kind == "custom_jvp":
        f = ft.custom_jvp(scaled)
        f.defjvp(lambda primals, tangents: (scaled(*primals), tangents[0] * primals[1]))
    else:
        f = ft.custom_vjp(scaled)
        f.defvjp(lambda x, s: (scaled(x, s), s), lambda s, ct: (ct * s, None))
    slope = ft.grad(lambda x: fnp.sum(weights * ft.vmap(f, (None, 0))(x, scale)))
    assert slope(1.5) == ft.jit(slope)(1.5) == 521.0
    with pytest.raises(ValueError, match="out_axes is None"):
        ft.vmap(f, (None, 0), None)(1.5, scale)
