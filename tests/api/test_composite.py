"""A user's own operations: a Composite by its definition alone, and a Primitive in a few lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans.control.composite import Mapped
from functrans.trace.primitive import Lanes

X = np.array([0.3, -1.2, 2.5], np.float32)


class SoftSign(ft.Composite):
    sharpness: float

    def define(self, x: Any) -> Any:
        return self.sharpness * x / (1.0 + fnp.abs(x))


class Doubled(ft.Primitive):
    def infer(self, x: ft.ArrayType) -> ft.ArrayType:
        return x

    def impl(self, x: Any) -> Any:
        return 2 * x

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        return ft.bind(self, primals[0]), ft.bind(self, tangents[0])

    def transpose(self, cotangent: Any, x: Any) -> Sequence[Any]:
        return [ft.bind(self, cotangent)]

    def batch(self, lanes: Lanes, operands: Sequence[Any], mapped: Sequence[bool]) -> tuple[Any, Any]:
        return ft.bind(self, operands[0]), True

    def lower(self, emitter: Any, operands: Any, in_types: Any, out_types: Any) -> Any:
        return emitter.elementwise("add", [operands[0], operands[0]], [in_types[0]] * 2, out_types[0])


def ours(x: Any) -> Any:
    return ft.bind(SoftSign(2.0), x)


def reference(x: Any) -> Any:
    return 2.0 * x / (1.0 + jnp.abs(x))


def test_a_composite_follows_its_definition_under_every_transform() -> None:
    np.testing.assert_allclose(ours(X), reference(X), rtol=1e-6)
    np.testing.assert_allclose(ft.jit(ours)(X), reference(X), rtol=1e-6)
    np.testing.assert_allclose(ft.jacfwd(ours)(X), jax.jacfwd(reference)(X), rtol=1e-6)
    np.testing.assert_allclose(ft.jacrev(ours)(X), jax.jacrev(reference)(X), rtol=1e-6)
    second = jax.vmap(jax.grad(jax.grad(reference)))(X)
    np.testing.assert_allclose(ft.vmap(ft.grad(ft.grad(ours)))(X), second, rtol=1e-6)


def test_a_primitive_of_a_users_own_works_under_every_transform() -> None:
    def total(x: Any) -> Any:
        return fnp.sum(ft.bind(Doubled(), x) ** 2)

    np.testing.assert_allclose(ft.grad(total)(X), 8 * X, rtol=1e-6)
    np.testing.assert_allclose(ft.vmap(ft.grad(total))(X[:, None]), 8 * X[:, None], rtol=1e-6)
    np.testing.assert_allclose(ft.jvp(total, (X,), (X,))[1], 8 * np.sum(X * X), rtol=1e-6)


def test_parameters_are_part_of_the_program() -> None:
    assert float(ft.bind(SoftSign(2.0), 1.0)) == 1.0 and float(ft.bind(SoftSign(4.0), 1.0)) == 2.0
    assert SoftSign(2.0) == SoftSign(2.0) != SoftSign(3.0)


class Steep(ft.Composite):
    """x y by its definition, with slopes that are not those of the product: who ignores the rule is found out."""

    def define(self, x: Any, y: Any) -> Any:
        return x * y

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        x, y = primals
        parts = [t * 10.0 * z * z for t, z in zip(tangents, (x, y), strict=True) if t is not None]
        return ft.bind(self, x, y), sum(parts[1:], parts[0]) if parts else None


def test_a_derivative_rule_given_beside_a_definition_holds_under_vmap_too() -> None:
    steep = lambda x, y: ft.bind(Steep(), x, y)
    assert type(ft.make_jaxpr(ft.vmap(steep))(X, X).equations[0].op) is Mapped
    x, y = np.array([1.0, 2.0, 3.0], np.float32), np.float32(3.0)
    lanes = ft.vmap(steep, in_axes=(0, None))
    np.testing.assert_allclose(lanes(x, y), x * y)
    np.testing.assert_allclose(ft.vmap(ft.grad(steep), in_axes=(0, None))(x, y), 10 * x * x)
    np.testing.assert_allclose(ft.grad(lambda x: lanes(x, y).sum())(x), 10 * x * x)
    np.testing.assert_allclose(ft.grad(lambda y: lanes(x, y).sum())(y), 30 * y * y)
    np.testing.assert_allclose(ft.jvp(lanes, (x, y), (np.ones_like(x), np.float32(1.0)))[1], 10 * x * x + 10 * y * y)
    np.testing.assert_allclose(ft.vmap(ft.grad(ft.grad(steep)), in_axes=(0, None))(x, y), 20 * x)
    np.testing.assert_allclose(ft.jacfwd(ft.grad(lambda x: lanes(x, y).sum()))(x), np.diag(20 * x))
    twice = ft.vmap(lanes, in_axes=(None, 0))
    np.testing.assert_allclose(ft.grad(lambda x: ft.jit(twice)(x, x).sum())(x), 60 * x * x)


class Weighted(SoftSign):
    weight: Any

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        return ft.bind(self, *primals), tangents[0] * self.weight()


def test_a_derivative_rule_under_vmap_may_close_over_an_array_and_not_over_a_traced_value() -> None:
    x = X.reshape(3, 1)
    weighted = lambda weight, x: ft.vmap(lambda x: ft.bind(Weighted(2.0, weight), x))(x).sum()
    weight = np.array([3.0], np.float32)
    np.testing.assert_allclose(ft.grad(lambda x: weighted(lambda: weight, x))(x), np.full((3, 1), 3.0))
    with pytest.raises(TypeError, match=r"Weighted\.jvp closes over a traced value; pass it as an operand"):
        ft.grad(lambda y: ft.jvp(lambda x: weighted(lambda: y, x), (x,), (x,))[1])(weight)
