"""What transforms and custom rules accept beside the usual, as JAX does."""

from __future__ import annotations

import collections
import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans import lax


def test_none_stands_for_the_cotangents_of_a_subtree() -> None:
    @ft.custom_vjp
    def f(p: Any, q: Any) -> Any:
        return p["a"]["x"] * p["b"] * q[1]

    def backward(residuals: Any, ct: Any) -> Any:
        return {"a": None, "b": 3 * ct}, [None, 5 * ct]

    f.defvjp(lambda p, q: (f(p, q), None), backward)
    found = ft.jit(ft.grad(f, (0, 1)))({"a": {"x": 2.0, "y": (1.0, 1.0)}, "b": 4.0}, [1.0, 2.0])
    assert jax.tree.map(float, found) == ({"a": {"x": 0.0, "y": (0.0, 0.0)}, "b": 3.0}, [0.0, 5.0])
    f.defvjp(lambda p, q: (f(p, q), None), lambda _, ct: ({"a": None, "c": ct}, None))
    with pytest.raises(TypeError, match=r"another tree structure"):
        ft.grad(f)({"a": {"x": 2.0}, "b": 4.0}, [1.0, 2.0])


class Pair(NamedTuple):
    x: Any
    y: Any


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Record:
    x: Any
    y: Any


@jax.tree_util.register_pytree_node_class
class Node:
    def __init__(self, x: Any, y: Any, kind: str = "plain") -> None:
        self.x, self.y, self.kind = x, y, kind

    def tree_flatten(self) -> Any:
        return (self.x, self.y), self.kind

    @classmethod
    def tree_unflatten(cls, kind: str, children: Any) -> Node:
        return cls(*children, kind)


CONTAINERS: dict[str, Any] = {
    "tuple": lambda x, y: (x, y), "list": lambda x, y: [x, y], "dict": lambda x, y: {"x": x, "y": y},
    "ordered dict": lambda x, y: collections.OrderedDict(y=y, x=x),
    "default dict": lambda x, y: collections.defaultdict(int, y=y, x=x), "named tuple": Pair, "dataclass": Record,
    "class": Node, "nested": lambda x, y: Pair([x, None, ()], {"y": Record(y, None)}), "one": lambda x, y: Pair(x, ()),
}  # fmt: skip


@pytest.mark.parametrize("kind", CONTAINERS)
def test_arguments_of_custom_functions_in_every_container(kind: str) -> None:
    """The cotangents of a named tuple were refused with a TypeError of functrans' own."""
    build = CONTAINERS[kind]
    total = lambda p: sum(fnp.sin(x) * (i + 1.0) for i, x in enumerate(jax.tree.leaves(p)))
    f, g = ft.custom_vjp(total), ft.custom_jvp(total)
    f.defvjp(lambda p: (f(p), p), lambda p, ct: (jax.tree.map(lambda x: 10 * ct * x, p),))
    g.defjvp(lambda p, t: (g(*p), sum(10 * x * s for x, s in zip(*map(jax.tree.leaves, (p, t)), strict=True))))
    p = build(2.0, 3.0)
    expected = jax.tree.map(lambda x: 10 * x, p)
    for function in (f, g):
        for run in (ft.grad(function), ft.jit(ft.grad(function)), jax.grad(function)):
            found = run(p)
            assert jax.tree.structure(found) == jax.tree.structure(p)
            assert list(map(float, jax.tree.leaves(found))) == jax.tree.leaves(expected)
    f.defvjp(lambda p: (f(p), None), lambda _, ct: (build(None, 5 * ct),))
    assert sorted(map(float, jax.tree.leaves(ft.grad(f)(p)))) == ([0.0, 5.0] if kind != "one" else [0.0])
    f.defvjp(lambda p: (f(p), None), lambda _, ct: ([ct, ct, ct],))
    with pytest.raises(TypeError, match=r"another tree structure"):
        ft.grad(f)(p)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_a_backward_rule_may_give_another_float_dtype(dtype: str) -> None:
    with ft.enable_x64(True):
        f = ft.custom_vjp(lambda x: x * x)
        f.defvjp(lambda x: (x * x, x), lambda x, ct: ((2 * x * ct).astype(dtype),))
        x = fnp.asarray(1.5, np.float32)
        slope = ft.jit(ft.grad(f))(x)
        assert slope == 3.0
        assert slope.dtype == np.float32
        assert ft.vmap(ft.grad(f))(fnp.ones(3, np.float32)).dtype == np.float32


def test_a_backward_rule_branches_on_residuals_where_they_have_values() -> None:
    f = ft.custom_vjp(lambda x: x * 2)
    f.defvjp(lambda x: (x * 2, x), lambda x, ct: (ct * 5 if x > 0 else ct,))
    assert [float(ft.grad(f)(x)) for x in (1.0, -1.0)] == [5.0, 1.0]


def test_custom_rules_of_functions_with_keyword_only_defaults_and_partials() -> None:
    def scaled(x: Any, *, by: float = 2.0) -> Any:
        return x * by

    with_vjp, with_jvp = ft.custom_vjp(scaled), ft.custom_jvp(functools.partial(scaled, by=4.0))
    with_vjp.defvjp(lambda x: (x * 2.0, None), lambda _, ct: (ct * 7.0,))
    with_jvp.defjvp(lambda primals, tangents: (primals[0] * 4.0, tangents[0] * 9.0))
    assert float(ft.grad(with_vjp)(1.0)) == 7.0
    assert float(ft.grad(with_jvp)(1.0)) == 9.0
    with pytest.raises(TypeError, match=r"keyword-only arguments \['by'\]"):
        with_vjp(1.0, by=3.0)


class Duck:
    """Something with a shape and a dtype."""

    shape, dtype = (3,), np.dtype(np.float32)


def test_objects_with_a_shape_and_a_dtype_stand_for_arrays() -> None:
    found = ft.eval_shape(lambda x: {"y": x[:2] * 2}, Duck())["y"]
    assert (found.shape, found.dtype) == ((2,), np.float32)
    (back,) = ft.linear_transpose(lambda x: 2 * x, Duck())(np.ones(3, np.float32))
    np.testing.assert_array_equal(back, [2.0, 2.0, 2.0])
    with pytest.raises(TypeError, match=r"Duck"):
        ft.jit(lambda x: x)(Duck())


@pytest.mark.parametrize("argnums", [np.int64(1), np.uint8(1), (np.int32(1),), np.int8(-1)])
def test_argnums_may_be_numpy_integers(argnums: Any) -> None:
    f = lambda x, y: x * y * y
    for transform in (ft.grad, ft.jacfwd, ft.jacrev, ft.value_and_grad):
        found = jax.tree.leaves(transform(f, argnums=argnums)(2.0, 3.0))[-1]
        assert float(found) == 12.0


NUMBERS = np.array([0, 1, -1, 3j, 2 + 3j, -40 + 1j, 700 - 2j, -np.inf, np.inf, 0.3 - 3.1j], np.complex128)


def test_logaddexp_of_complex_numbers() -> None:
    x, y = (v.ravel() for v in np.meshgrid(NUMBERS, NUMBERS))
    with ft.enable_x64(True):
        for name in ("logaddexp", "logaddexp2"):
            found, expected = ft.jit(getattr(fnp, name))(x, y), getattr(jnp, name)(x, y)
            told = np.isfinite(expected)  # JAX's is NaN where a part is infinite
            np.testing.assert_allclose(found[told], expected[told], rtol=1e-13, atol=1e-13, err_msg=name)
            largest = np.maximum(x.real, y.real)[~told]
            np.testing.assert_allclose(np.real(found[~told]), largest, rtol=1e-15)
        finite = np.isfinite(x) & np.isfinite(y)
        x, y = x[finite] / 700, y[finite] / 700
        slope = ft.vmap(ft.grad(fnp.logaddexp, holomorphic=True))(x, y)
        np.testing.assert_allclose(slope, np.exp(x) / (np.exp(x) + np.exp(y)), rtol=1e-12)
        second = ft.vmap(ft.grad(ft.grad(fnp.logaddexp, holomorphic=True), holomorphic=True))(x, y)
        np.testing.assert_allclose(second, np.exp(x + y) / (np.exp(x) + np.exp(y)) ** 2, rtol=1e-10)


@pytest.mark.parametrize("name", ["add", "mul", "div", "max", "atan2", "pow", "eq", "lt", "rem"])
def test_binary_operations_of_lax_spread_axes_of_size_one(name: str) -> None:
    x, y = np.arange(1.0, 4.0, dtype=np.float32)[:, None], np.arange(2.0, 6.0, dtype=np.float32)[None]
    ours, theirs = getattr(lax, name), getattr(jax.lax, name)
    for one, other in ((x, y), (y, x), (x[:0], y), (x[0], y[0])):
        np.testing.assert_array_equal(ft.jit(ours)(one, other), theirs(one, other))
    with pytest.raises(TypeError, match=r"different shapes"):
        ours(x, y[0])
    if name in ("add", "mul", "div"):
        f = lambda x, y: fnp.sum(ours(x, y) ** 2)
        g = lambda x, y: jnp.sum(theirs(x, y) ** 2)
        for found, expected in zip(ft.grad(f, (0, 1))(x, y), jax.grad(g, (0, 1))(x, y), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-6)
