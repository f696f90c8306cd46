"""A traced value of functrans is what JAX's own is: to isinstance, to ``except jax.errors``, to a request for a value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from tests.agreement import assert_same

X = np.array([0.5, 1.0, 2.0], np.float32)
TRANSFORMS: dict[str, Callable[[Any], Any]] = {
    "grad": lambda f: ft.grad(lambda x: fnp.sum(f(x))),
    "jit": ft.jit,
    "vmap": lambda f: lambda x: ft.vmap(f)(x[None]),
    "jvp": lambda f: lambda x: ft.jvp(f, (x,), (x,)),
    "jax.jit": jax.jit,
    "jax.jit of jit": lambda f: jax.jit(ft.jit(f)),
    "grad of jax.jit": lambda f: ft.grad(lambda x: fnp.sum(jax.jit(f)(x))),
}


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_a_traced_value_is_an_array_of_both(transform: str) -> None:
    seen: list[Any] = []

    def f(x: Any) -> Any:
        for y in (x, fnp.sin(x), jnp.sin(x), x + jnp.ones(3)):
            seen.append([isinstance(y, c) for c in (jax.Array, jax.core.Tracer, fnp.ndarray, jnp.ndarray)])
            assert (y.shape, y.dtype, y.ndim, y.size, jnp.shape(y), jnp.result_type(y)) == (
                (3,), np.float32, 1, 3, (3,), np.float32,
            )  # fmt: skip
        return x

    TRANSFORMS[transform](f)(X)
    assert seen
    assert all(map(all, seen))


def test_concrete_arrays_are_arrays_of_both_and_other_things_of_neither() -> None:
    assert isinstance(fnp.ones(3), jax.Array)
    assert isinstance(jnp.ones(3), fnp.ndarray)
    assert not isinstance(fnp.ones(3), jax.core.Tracer)
    assert not isinstance(np.ones(3), fnp.ndarray)
    assert not isinstance(1.0, fnp.ndarray)


ASKED: dict[str, tuple[Callable[[Any], Any], type[Exception]]] = {
    "bool": (lambda x: bool(x[0] > 0), jax.errors.TracerBoolConversionError),
    "if": (lambda x: x if jnp.sum(x) > 0 else -x, jax.errors.TracerBoolConversionError),
    "bool is a concretization": (lambda x: bool(x[0] > 0), jax.errors.ConcretizationTypeError),
    "float": (lambda x: float(x[0]), jax.errors.ConcretizationTypeError),
    "int": (lambda x: int(x[0]), jax.errors.ConcretizationTypeError),
    "index": (lambda x: [1, 2, 3][x.astype(int)[0]], jax.errors.TracerIntegerConversionError),
    "numpy": (lambda x: np.asarray(x), jax.errors.TracerArrayConversionError),
    "mask": (lambda x: x[x > 1], jax.errors.NonConcreteBooleanIndexError),
    "mask of jax": (lambda x: jnp.arange(3.0)[x > 1], jax.errors.NonConcreteBooleanIndexError),
    "shape": (lambda x: jnp.zeros(x.astype(int)[0]), TypeError),
    "length": (lambda x: jnp.linspace(0.0, 1.0, x.astype(int)[0]), jax.errors.ConcretizationTypeError),
}


@pytest.mark.parametrize("name", ASKED)
def test_errors_are_caught_as_those_of_jax(name: str) -> None:
    asked, kind = ASKED[name]
    for jit in (jax.jit, ft.jit, lambda f: jax.jit(ft.jit(f)), lambda f: ft.jit(jax.jit(f))):
        with pytest.raises(kind):
            jit(asked)(X)


def test_a_tracer_that_escaped_is_an_unexpected_tracer_to_jax() -> None:
    kept: list[Any] = []
    ft.jit(lambda x: (kept.append(x), x)[1])(X)
    for use in (jnp.sin, fnp.sin, jax.jit(jnp.sin), ft.jit(fnp.sin), lambda x: x + 1, lambda x: jnp.ones(3) * x):
        with pytest.raises(jax.errors.UnexpectedTracerError):
            use(kept[0])


# -- values on demand --------------------------------------------------------------------------------------------------


def test_values_that_go_through_functions_of_jax_are_there_on_demand() -> None:
    def f(x: Any) -> Any:
        n = 0
        while jnp.sum(x) < 50:
            x, n = x * x + 1, n + 1
        return jnp.sum(x) * int(jnp.argmax(x)) + (n if jnp.any(x > 2) else 0)

    def by_hand(x: Any) -> Any:
        for _ in range(int(jax.device_get(rounds))):
            x = x * x + 1
        return jnp.sum(x) * 2 + rounds

    rounds = 0
    x = X
    while x.sum() < 50:
        x, rounds = x * x + 1, rounds + 1
    assert_same(ft.grad(f)(X), jax.grad(by_hand)(X), 256)
    assert_same(ft.value_and_grad(f)(X)[0], by_hand(X), 256, weak=False)


def test_jax_gets_whole_numbers_and_flags_and_no_number_that_is_differentiated() -> None:
    found = ft.grad(lambda x: jnp.sum(jnp.linspace(0.0, 1.0, jnp.int32(jnp.sum(x) > 0) + 3) * x[0]))(X)
    assert_same(found, np.array([2, 0, 0], np.float32), weak=False)
    assert_same(ft.grad(lambda x: jnp.sum(x[x > 0.75] ** 2))(X), np.where(X > 0.75, 2 * X, 0))
    for lost in (
        lambda x: jnp.sum(jnp.arange(x[2]) * x[0]),
        lambda x: x[0] * float(jnp.sum(x)),
        lambda x: x[0] * np.sum(np.asarray(jnp.sin(x))),
        lambda x: jax.jit(lambda y: x[0] * float(jnp.sum(y)))(x),
    ):
        with pytest.raises((TypeError, ft.errors.FunctransError)):
            ft.grad(lost)(X)


class _Amount(float):
    """A number of a class of its own."""


@pytest.mark.parametrize("numbers", [(2.0, 3), (2j, 4), (np.float32(1.5), 2), (_Amount(1.5), 2)])
def test_numbers_that_jax_hands_to_a_function_with_rules(numbers):
    """Where nothing is traced they are of classes of JAX's own."""

    def results(of):
        function = jax.custom_vjp(lambda a, b: (of.jit(lambda a, b: (a * b, b + 1))(a, b), of.jvp(jnp.sin, (a,), (a,))))
        function.defvjp(lambda a, b: (function(a, b), None), lambda _, ct: (ct, ct))
        return function(*numbers)

    ours, theirs = results(ft), results(jax)
    assert_same(ours, theirs)
    assert [x.weak_type for x in jax.tree.leaves(ours)] == [x.weak_type for x in jax.tree.leaves(theirs)]


def test_an_argument_that_decides_a_shape_is_asked_for_by_the_names_of_jax() -> None:
    for ask in (fnp.arange, lambda n: fnp.zeros((n,)), lambda n: fnp.eye(n), lambda n: fnp.repeat(fnp.ones(2), n)):
        with pytest.raises(jax.errors.ConcretizationTypeError, match="must be known while tracing"):
            ft.jit(ask)(3)


@pytest.mark.parametrize("around", [ft.jit, ft.grad, lambda f: lambda x: ft.vmap(f)(jnp.stack([x, x]))[0]])
def test_each_operation_of_jax_gives_an_object_of_its_own(around: Any) -> None:
    """Though equal operations are one in our program: by objects ``jax.make_jaxpr`` counts what is closed over."""

    def f(x: Any) -> Any:
        made = [jnp.zeros(3), jnp.zeros(3), jnp.sin(x), jnp.sin(x), jax.nn.relu(x), jax.nn.relu(x), jax.lax.mul(x, x)]
        made.append(jax.lax.mul(x, x))
        assert len({*map(id, made)}) == len(made)
        assert len(jax.make_jaxpr(lambda: sum(jnp.sum(t) for t in made))().consts) == len(made)
        return sum(jnp.sum(t) for t in made)

    wanted = {ft.grad: 2 * np.cos(0.5) + 2 + 2}.get(around, 2 * np.sin(0.5) + 1 + 0.5)
    np.testing.assert_allclose(around(f)(np.float32(0.5)), wanted, rtol=1e-6)
