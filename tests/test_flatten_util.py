"""ravel_pytree and its way back, against JAX's."""

from __future__ import annotations

from typing import Any

import jax
import jax.flatten_util
import numpy as np
import pytest

import functrans as ft
from functrans.flatten_util import ravel_pytree

ALIKE = {"a": np.float32([[1, 2], [3, 4]]), "b": np.float32(5), "c": np.zeros((0, 2), np.float32)}
MIXED = {"a": np.float32([[1, 2], [3, 4]]), "b": np.int32(5), "c": np.complex64([1j])}


def same(found: Any, expected: Any) -> None:
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for x, y in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("tree", [ALIKE, MIXED, [], (np.int32([1]), 2), [True, np.bool_([False])]])
def test_a_tree_there_and_back(tree: Any) -> None:
    vector, unravel = ravel_pytree(tree)
    expected, back = jax.flatten_util.ravel_pytree(tree)
    same(vector, expected)
    same(unravel(vector), back(expected))
    same(ft.jit(lambda v: unravel(v))(vector), back(expected))


@pytest.mark.parametrize("dtype", ["bool", "int32", "float16", "complex64", "float64"])
@pytest.mark.parametrize("wide", [False, True])
def test_leaves_of_one_dtype_come_back_in_that_of_any_vector(dtype: str, wide: bool) -> None:
    with jax.enable_x64(wide):
        _, unravel = ravel_pytree(ALIKE)
        other = (np.arange(5) % 2).astype(dtype)
        if dtype == "float64" and not wide:
            other = other.astype(np.float32)
        same(unravel(other), jax.flatten_util.ravel_pytree(ALIKE)[1](other))
        assert unravel == ravel_pytree(ALIKE)[1]
        assert hash(unravel) == hash(ravel_pytree(ALIKE)[1])


def test_leaves_of_several_dtypes_need_the_vectors_own() -> None:
    _, unravel = ravel_pytree(MIXED)
    with pytest.raises(TypeError, match="a vector of dtype complex64 is needed, as ravel_pytree made it, got float32"):
        unravel(np.zeros(6, np.float32))
    with pytest.raises(ValueError, match=r"a vector of shape \(6,\) is needed"):
        unravel(np.zeros(5, np.complex64))


def test_the_way_back_of_a_complex_step() -> None:
    """A leaf's derivative by a step along the imaginary axis, which needs leaves of the step's dtype."""
    vector, unravel = ravel_pytree(ALIKE)
    f = lambda tree: ft.numpy.sum(tree["a"] ** 3) + tree["b"] ** 2
    step = np.asarray(vector).astype(np.complex64) + 1e-20j * np.float32([1, 0, 0, 0, 1])
    assert float(ft.numpy.imag(f(unravel(step)))) / 1e-20 == pytest.approx(3 * 1 + 2 * 5, rel=1e-6)
