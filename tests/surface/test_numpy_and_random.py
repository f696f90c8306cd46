"""Names of ``jax.numpy`` and ``jax.random`` that compute nothing, or need values: as NumPy and JAX have them."""

from __future__ import annotations

import jax
import numpy as np

import functrans as ft
import functrans.numpy as fnp
from functrans import lax, random

X = np.float32([3.0, 1.0, 3.0, 2.0])


def test_distinct_values() -> None:
    values, counts = fnp.unique_counts(X)
    assert (values.tolist(), counts.tolist()) == ([1, 2, 3], [1, 1, 2])
    values, inverse = fnp.unique_inverse(X)
    np.testing.assert_array_equal(values[inverse], X)
    assert fnp.unique_values(X).tolist() == fnp.unique_all(X).values.tolist() == [1, 2, 3]
    sized = ft.jit(lambda x: fnp.unique_values(x, size=2))(X)
    assert sized.tolist() == [1, 2]
    slope = ft.grad(lambda x: fnp.sum(fnp.unique_values(x, size=3) * np.float32([1, 10, 100])))(X)
    np.testing.assert_array_equal(slope, jax.grad(lambda x: sum_of(x))(X))
    assert ft.vmap(lambda x: fnp.unique_counts(x, size=3).counts)(X[None]).tolist() == [[1, 1, 2]]


def sum_of(x: jax.Array) -> jax.Array:
    return jax.numpy.sum(jax.numpy.unique_values(x, size=3) * np.float32([1, 10, 100]))


def test_the_order_of_products() -> None:
    a, b = np.ones((2, 3)), np.ones((3, 4))
    path, text = fnp.einsum_path("ij,jk->ik", a, b)
    assert list(path) == ["einsum_path", (0, 1)] and "ij,jk->ik" in text


def test_numbers_from_text() -> None:
    assert fnp.fromstring("1 2 3", sep=" ").tolist() == [1, 2, 3]


def test_how_arrays_are_printed() -> None:
    before = fnp.get_printoptions()["precision"]
    with fnp.printoptions(precision=2):
        assert "0.33]" in str(fnp.asarray([1 / 3]))
    fnp.set_printoptions(precision=3)
    try:
        assert "0.333]" in str(fnp.asarray([1 / 3]))
    finally:
        fnp.set_printoptions(precision=before)


def test_implementations_of_keys() -> None:
    assert random.key_impl(random.key(0)) == "threefry2x32" and random.key_dtype() == random.key(0).dtype
    assert random.key_dtype("rbg") == jax.random.key(0, impl="rbg").dtype


def test_algorithms_of_products() -> None:
    product = ft.jit(lambda x: lax.dot(x, x, precision=lax.DotAlgorithmPreset.F32_F32_F32))(X)
    np.testing.assert_allclose(product, 23.0)
