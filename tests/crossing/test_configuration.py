"""A derivative rule means what it would mean where its function is called, inside of the ``with`` statements around."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
from tests.agreement import assert_same

X = np.array([0.5, 2.0], np.float32)


def _forward(of: Any, told_of_zeros: bool) -> Any:
    f = of.custom_jvp(lambda x: x * 3)

    def rule(primals, tangents):
        small, large = jnp.arange(2, dtype=jnp.int16), jnp.int32(3)  # strict promotion refuses their sum
        return primals[0] * 3, tangents[0] * (small + large)

    f.defjvp(rule, symbolic_zeros=told_of_zeros)
    return f


@pytest.mark.parametrize("transform", ["grad", "jit(grad)", "vmap(grad)", "grad(vmap)"])
@pytest.mark.parametrize("told_of_zeros", [False, True])
def test_dtype_promotion(told_of_zeros: bool, transform: str) -> None:
    def slope(of: Any, ruled: Any) -> Any:
        f = _forward(ruled, told_of_zeros)

        def function(x):
            with jax.numpy_dtype_promotion("standard"):
                return f(x).sum()

        return {
            "grad": lambda: of.grad(function)(X),
            "jit(grad)": lambda: of.jit(of.grad(function))(X),
            "vmap(grad)": lambda: of.vmap(of.grad(function))(X[None]),
            "grad(vmap)": lambda: of.grad(lambda x: of.vmap(function)(x).sum())(X[None]),
        }[transform]()

    with jax.numpy_dtype_promotion("strict"):
        wanted = slope(jax, jax)
        assert_same(slope(ft, jax), wanted)
        assert_same(slope(ft, ft), wanted)


def test_64_bit_types():
    def slope(of):
        f = of.custom_jvp(lambda x: x * 3)
        f.defjvp(lambda primals, tangents: (f(*primals), tangents[0] * jnp.arange(2.0).dtype.itemsize))

        def function(x):
            with jax.enable_x64(True):
                return f(x).sum()

        return of.grad(function)(X)

    assert_same(slope(ft), slope(jax))
