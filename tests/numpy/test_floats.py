"""frexp, ldexp and spacing against NumPy, to the last bit, subnormal and infinite numbers included; exact gelu."""

from __future__ import annotations

import jax
import ml_dtypes
import numpy as np
import pytest
import scipy.special

import functrans as ft
import functrans.numpy as fnp
from functrans import nn

SPECIAL = [0.0, -0.0, 1.0, -6.0, 0.1, np.inf, -np.inf, np.nan, 3e-39, -1e-45, 3.4028235e38, 1.1754944e-38, 5e-8, 6e4]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_frexp_and_spacing_are_those_of_numpy(dtype) -> None:
    with jax.enable_x64(dtype == np.float64), np.errstate(all="ignore"):
        x = np.array(SPECIAL, dtype)
        if dtype != np.float64:  # XLA on CPU takes subnormal numbers for zeros
            x = x[(np.abs(x) >= np.finfo(dtype).tiny) | (x == 0) | np.isnan(x)]
        for ours, theirs in zip(fnp.frexp(x), np.frexp(x), strict=True):
            np.testing.assert_array_equal(ours, theirs)
            assert ours.dtype == theirs.dtype
        x = x[(np.abs(x) != np.finfo(dtype).max) & ((x != 0) | ~np.signbit(x))]  # of -0 JAX is negative
        np.testing.assert_array_equal(fnp.spacing(x), np.spacing(x))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ml_dtypes.bfloat16])
def test_ldexp(dtype) -> None:
    with jax.enable_x64(dtype == np.float64), np.errstate(all="ignore"):
        x = np.array([1.0, -0.75, 0.1, np.inf, 0.0, np.nan], dtype)[:, None]
        exponents = np.int32([0, 3, -3, 14, -13, 500, -500])
        expected = np.ldexp(x.astype(np.float64), exponents).astype(dtype)
        actual = fnp.ldexp(x, exponents)
        assert actual.dtype == dtype
        np.testing.assert_array_equal(np.asarray(actual, np.float64), expected.astype(np.float64))


def test_their_derivatives() -> None:
    np.testing.assert_array_equal(ft.grad(lambda x: fnp.ldexp(x, 3))(0.3), 8.0)
    np.testing.assert_array_equal(ft.grad(lambda x: fnp.frexp(x)[0])(6.0), 0.125)


def test_refusals() -> None:
    with pytest.raises(TypeError, match="frexp takes real numbers, got dtype c64"):
        fnp.frexp(1j)
    with pytest.raises(TypeError, match="the exponent must be an integer, got f32"):
        fnp.ldexp(1.0, 2.0)


def test_gelu_is_exact_far_to_the_left() -> None:
    with jax.enable_x64(True):
        x = np.array([-20.0, -5.0, -0.5, 0.0, 2.0])
        np.testing.assert_allclose(nn.gelu(x, approximate=False), jax.nn.gelu(x, approximate=False), rtol=1e-14)
        np.testing.assert_allclose(nn.gelu(x, approximate=False), x * scipy.special.ndtr(x), rtol=1e-13)
