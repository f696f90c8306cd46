"""Names that mean the same as in JAX, pytrees of every origin, and how arrays and tracers meet."""

from __future__ import annotations

import collections
import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from tests.agreement import assert_same

x0 = np.array([1.0, 2.0], np.float32)


def test_re_exported_names_work_as_in_jax() -> None:
    assert ft.tree.map(lambda x: x + 1, {"a": 1, "b": (2, None)}) == {"a": 2, "b": (3, None)}
    assert ft.tree.leaves({"b": 2, "a": 1}) == [1, 2]
    assert ft.config.jax_enable_x64 == jax.config.jax_enable_x64
    assert ft.ShapeDtypeStruct((2,), np.float32) == jax.ShapeDtypeStruct((2,), np.float32)
    moved = ft.device_put({"x": x0}, jax.devices()[0])
    assert isinstance(moved["x"], jax.Array) and moved["x"].devices() == {jax.devices()[0]}
    fetched = ft.device_get(moved)
    assert type(fetched["x"]) is np.ndarray
    assert ft.block_until_ready(moved)["x"] is moved["x"]


def test_device_put_of_a_tracer_is_differentiable() -> None:
    assert float(ft.grad(lambda x: ft.device_put(x) * x)(3.0)) == 6.0
    np.testing.assert_array_equal(ft.jit(lambda x: ft.device_put({"a": x})["a"] * 2)(x0), x0 * 2)


def test_named_scope_changes_no_result_and_works_as_decorator() -> None:
    @ft.named_scope("inner")
    def inner(x: Any) -> Any:
        return fnp.sin(x)

    def function(x: Any) -> Any:
        with ft.named_scope("outer"):
            return fnp.sum(inner(x))

    np.testing.assert_allclose(ft.jit(ft.grad(function))(x0), np.cos(x0), rtol=1e-6)


# Trees.


class Point(NamedTuple):
    x: Any
    y: Any


@functools.partial(jax.tree_util.register_dataclass, data_fields=["weight", "bias"], meta_fields=["name"])
@dataclasses.dataclass
class Layer:
    weight: Any
    bias: Any
    name: str = "layer"


@jax.tree_util.register_static
class Setting:
    def __init__(self, value: int) -> None:
        self.value = value

    def __hash__(self) -> int:
        return hash(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Setting) and other.value == self.value


class Box:
    """A class of another library, which registered it with keys."""

    def __init__(self, content: Any) -> None:
        self.content = content


jax.tree_util.register_pytree_with_keys(
    Box, lambda box: (((jax.tree_util.GetAttrKey("content"), box.content),), None), lambda _, children: Box(*children)
)

TREES: dict[str, Any] = {
    "namedtuple": Point(x0, np.float32(3.0)),
    "dataclass": Layer(x0, np.float32(3.0)),
    "none": (x0, None, [None]),
    "ordered_dict": collections.OrderedDict([("z", x0), ("a", np.float32(2.0))]),
    "default_dict": collections.defaultdict(list, {"a": [x0, np.float32(2.0)]}),
    "static": (x0, Setting(3)),
    "nested": {"p": Point(Layer(x0, None), (np.float32(1.0),)), "empty": {}, "list": []},
    "partial": jax.tree_util.Partial(lambda x: x, x0),
    "box": Box({"inner": x0}),
}


@pytest.mark.parametrize("name", TREES)
@pytest.mark.parametrize("transform", ["jit", "grad", "vmap", "jvp", "vjp", "linearize", "jacrev", "hessian"])
def test_trees_go_through_transforms_and_come_back(name: str, transform: str) -> None:
    tree = TREES[name]

    def function(tree: Any) -> Any:
        return jax.tree.map(lambda leaf: leaf * leaf, tree)

    def total(tree: Any) -> Any:
        return sum(fnp.sum(leaf * leaf) for leaf in jax.tree.leaves(tree))

    def stack(tree: Any) -> Any:
        return jax.tree.map(lambda leaf: np.stack([leaf, leaf * 2]), tree)

    squared, doubled = (jax.tree.map(f, tree) for f in (lambda x: x * x, lambda x: x + x))
    if transform == "jit":
        assert_same(ft.jit(function)(tree), squared, weak=False)
    elif transform == "grad":
        assert_same(ft.grad(total)(tree), doubled, weak=False)
    elif transform == "vmap":
        assert_same(ft.vmap(function)(stack(tree)), jax.tree.map(lambda x: x * x, stack(tree)), weak=False)
    elif transform == "jvp":
        assert_same(ft.jvp(function, (tree,), (tree,))[1], jax.tree.map(lambda x: 2 * x * x, tree), weak=False)
    elif transform == "vjp":
        assert_same(ft.vjp(function, tree)[1](tree)[0], jax.tree.map(lambda x: 2 * x * x, tree), weak=False)
    elif transform == "linearize":
        assert_same(ft.linearize(function, tree)[1](tree), jax.tree.map(lambda x: 2 * x * x, tree), weak=False)
    elif transform == "jacrev":
        assert_same(ft.jacrev(total)(tree), doubled, weak=False)
    else:
        found = ft.hessian(total)(tree)
        expected = jax.hessian(lambda t: sum(jax.numpy.sum(leaf * leaf) for leaf in jax.tree.leaves(t)))(tree)
        assert_same(jax.tree.leaves(found), jax.tree.leaves(expected), weak=False)


def test_the_metadata_of_a_tree_is_part_of_the_jit_key() -> None:
    traces = []
    compiled = ft.jit(lambda layer: traces.append(layer.name) or layer.weight * len(layer.name))
    compiled(Layer(x0, None, "a")), compiled(Layer(x0, None, "bcd")), compiled(Layer(x0 + 1, None, "a"))
    assert traces == ["a", "bcd"]
    np.testing.assert_array_equal(compiled(Layer(x0, None, "bcd")), x0 * 3)


def test_trees_pass_through_control_flow() -> None:
    from functrans import lax

    carry = Point(Layer(fnp.asarray(x0), None), np.float32(1.0))
    result, _ = ft.jit(lambda c: lax.scan(lambda c, _: (jax.tree.map(lambda x: x * 2, c), None), c, None, length=3))(
        carry
    )
    assert isinstance(result.x, Layer)
    np.testing.assert_array_equal(result.x.weight, x0 * 8)
    chosen = ft.jit(lambda flag, c: lax.cond(flag, lambda c: c, lambda c: jax.tree.map(lambda x: -x, c), c))(
        False, carry
    )
    np.testing.assert_array_equal(chosen.x.weight, -x0)


# Arrays and tracers.


def test_results_are_jax_arrays_and_go_on_as_such() -> None:
    result = ft.jit(lambda x: x * 2)(x0)
    assert isinstance(result, jax.Array)
    assert_same(jax.numpy.sum(result), jax.numpy.sum(jax.numpy.asarray(x0 * 2)))
    assert_same(ft.grad(lambda x: fnp.sum(x * x))(jax.jit(lambda x: x + 1)(x0)), jax.numpy.asarray(2 * (x0 + 1)))


def test_concrete_arrays_meet_tracers_from_either_side() -> None:
    constant = fnp.asarray(x0)
    operations = [
        lambda x: constant + x, lambda x: x - constant, lambda x: x0 * x, lambda x: x / x0, lambda x: constant**x, lambda x: constant @ x,  # noqa: E501
        lambda x: x @ x0, lambda x: np.float32(2.0) * x, lambda x: 2 - x, lambda x: np.multiply(x0, x), lambda x: np.sin(x) + np.exp(x),  # noqa: E501
    ]  # fmt: skip
    for operation in operations:
        assert_same(ft.jit(operation)(x0), jax.numpy.asarray(operation(jax.numpy.asarray(x0))), weak=False)


def test_a_concrete_array_is_indexed_and_updated_by_tracers() -> None:
    table = fnp.asarray(np.arange(6.0, dtype=np.float32).reshape(3, 2))
    np.testing.assert_array_equal(ft.jit(lambda i: table[i])(1), [2.0, 3.0])
    np.testing.assert_array_equal(ft.jit(lambda i: table.at[i].set(0.0)[1])(1), [0.0, 0.0])
    np.testing.assert_array_equal(ft.jit(lambda v: table.at[0].add(v)[0])(x0), [1.0, 3.0])
    gradient = ft.grad(lambda v: fnp.sum(table.at[0].mul(v)))(x0)
    np.testing.assert_array_equal(gradient, [0.0, 1.0])


def test_numpy_functions_of_tracers_are_traced() -> None:
    def function(x: Any) -> Any:
        return np.sum(np.concatenate([np.sin(x), np.where(x > 1, x, 0.0)])) + np.mean(np.stack([x, x * 2]))

    expected = np.sin(x0).sum() + 2.0 + np.stack([x0, x0 * 2]).mean()
    np.testing.assert_allclose(ft.jit(function)(x0), expected, rtol=1e-6)
    assert ft.grad(function)(x0).shape == (2,)


def test_tracers_hash_and_compare_as_in_jax() -> None:
    def function(x: Any) -> Any:
        with pytest.raises(TypeError):
            hash(x)
        equal = x == x
        assert equal.dtype == bool and equal.shape == (2,)
        assert (x != x).dtype == bool
        return equal

    assert np.asarray(ft.jit(function)(x0)).all()
    with pytest.raises(TypeError):
        jax.jit(lambda x: hash(x) or x)(x0)


def test_tracers_show_shape_dtype_and_friends() -> None:
    def function(x: Any) -> Any:
        assert (x.shape, x.dtype, x.ndim, x.size, len(x), x.weak_type) == ((2, 3), np.float32, 2, 6, 2, False)
        assert x.T.shape == (3, 2) and x.itemsize == 4 and x.nbytes == 24
        assert fnp.shape(x) == (2, 3)
        first, second = x
        return (
            first + second + x.sum(axis=0) + x.reshape(-1)[:3] + x.astype(fnp.int32)[0] + x.mean() + x.max(0) - x.min(0)
        )

    matrix = np.arange(6.0, dtype=np.float32).reshape(2, 3)

    def by_numpy(x: Any) -> Any:
        return x[0] + x[1] + x.sum(axis=0) + x.reshape(-1)[:3] + x[0].astype(np.int32) + x.mean() + x.max(0) - x.min(0)

    np.testing.assert_allclose(ft.jit(function)(matrix), by_numpy(matrix), rtol=1e-6)


def test_isinstance_of_array_is_decided_and_documented() -> None:
    seen: list[bool] = []
    ft.jit(lambda x: seen.append(isinstance(x, ft.Array)) or x)(x0)
    ft.grad(lambda x: seen.append(isinstance(x, ft.Array)) or fnp.sum(x))(x0)
    assert len(set(seen)) == 1, "the same answer whatever the transform"
    documentation = " ".join((ft.Tracer.__doc__ or "").split())
    assert "isinstance" in documentation and "jax.Array" in documentation


def test_default_device_and_matmul_precision_are_part_of_the_key() -> None:
    compiled = ft.jit(lambda x: x @ x)
    plain = compiled(x0)
    with ft.default_matmul_precision("highest"), ft.default_device(jax.devices()[0]):
        assert_same(compiled(x0), plain)


def test_random_keys_go_in_and_out_of_compiled_functions() -> None:
    key, doubled = ft.jit(lambda k, x: (k, x * 2))(jax.random.key(5), x0)
    np.testing.assert_array_equal(jax.random.key_data(key), jax.random.key_data(jax.random.key(5)))
    assert key.dtype == jax.random.key(0).dtype
    np.testing.assert_array_equal(doubled, x0 * 2)
