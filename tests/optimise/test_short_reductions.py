"""Sums and extrema over a few elements of larger arrays are written out for CPU, and say what they said before.

Values are held against NumPy's, derivatives against JAX's; whether the library takes a reduction is read in the
compiler's own text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans import lax
from functrans.ops.reductions import FEWEST_OF_LIBRARY
from tests.agreement import assert_same, assert_values_agree

OF_THE_LIBRARY = "ynn_fusion"
NAMES = ("sum", "max", "min")
RANDOM = np.random.default_rng(0)


def rows(count: int, length: int) -> np.ndarray:
    return RANDOM.standard_normal((count, length)).astype(np.float32)


def text_of(f: Callable[..., Any], *args: Any) -> str:
    return ft.jit(f).lower(*args).compile().as_text()


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("length", [2, 3, 8, 9])
@pytest.mark.parametrize("name", NAMES)
def test_values_are_those_of_numpy_along_every_axis(name: str, length: int, axis: int) -> None:
    shape = [40, 50, 30]
    shape[axis] = length
    x = RANDOM.standard_normal(shape).astype(np.float32)
    x[0, 0, 0] = np.nan
    x[1, 1, 1] = np.inf
    assert_values_agree(ft.jit(getattr(fnp, name), static_argnums=1)(x, axis), getattr(np, name)(x, axis))


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("name", NAMES)
def test_zeros_keep_the_sign_that_a_reduction_of_few_rows_gives_them(name: str, sign: float) -> None:
    few, many = (np.full((count, 3), sign * 0.0, np.float32) for count in (10, 5_000))
    signs = [np.signbit(ft.jit(getattr(fnp, name), static_argnums=1)(x, 1)) for x in (few, many)]
    assert set(signs[1]) == set(signs[0])


@pytest.mark.parametrize("name", NAMES)
def test_the_library_is_left_for_what_it_is_good_at(name: str) -> None:
    reduce = getattr(fnp, name)
    assert OF_THE_LIBRARY not in text_of(lambda x: reduce(x * x, 1), rows(5_000, 3))
    assert OF_THE_LIBRARY in text_of(lambda x: fnp.sum(x * x, 1), rows(5_000, 300))


def test_sums_in_loops_branches_and_calls_are_written_out() -> None:
    def lengths(x: Any) -> Any:
        return fnp.sqrt(fnp.sum(x * x, 1))

    def f(x: Any) -> Any:
        scanned = lax.scan(lambda c, _: (c / lengths(c)[:, None], None), x, None, length=2)[0]
        chosen = lax.cond(x[0, 0] > 0.0, lambda y: lengths(y), lambda y: 2.0 * lengths(y), scanned)
        return chosen + ft.jit(lengths)(x)

    x = rows(2_000, 3)
    assert OF_THE_LIBRARY not in text_of(f, x)
    length = np.sqrt((x * x).sum(1))
    assert_values_agree(ft.jit(f)(x), np.where(x[0, 0] > 0.0, 1.0, 2.0).astype(np.float32) + length)


@pytest.mark.parametrize("name", NAMES)
def test_derivatives_are_those_of_jax(name: str) -> None:
    x = rows(1_500, 4)

    def loss(xp: Any) -> Callable[..., Any]:
        def f(x: Any) -> Any:
            return xp.sum(xp.sin(x) * getattr(xp, name)(x * x, 1)[:, None])

        return f

    assert_same(ft.jit(ft.grad(loss(fnp)))(x), jax.jit(jax.grad(loss(jax.numpy)))(x))


@pytest.mark.parametrize("length", [FEWEST_OF_LIBRARY - 1, FEWEST_OF_LIBRARY, 4 * FEWEST_OF_LIBRARY])
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float16"])
@pytest.mark.parametrize("name", ["max", "min"])
def test_extrema_keep_a_nan_whoever_reduces_them(name: str, dtype: str, length: int) -> None:
    with jax.enable_x64(dtype == "float64"):
        line = np.linspace(-1.0, 1.0, length).astype(jax.numpy.dtype(dtype))
        line[length // 3] = np.nan
        reduce = ft.jit(getattr(fnp, name), static_argnums=1)
        assert np.isnan(reduce(line, None))
        for shape in ((-1, 16), (64, -1)) if length % 64 == 0 else ((-1, 3),):
            x = line.reshape(shape)
            for axis in (0, 1, (0, 1)):
                expected = getattr(np, name)(x.astype(np.float64), axis)
                np.testing.assert_array_equal(np.asarray(reduce(x, axis)).astype(np.float64), expected)
