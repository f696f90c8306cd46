"""roots and polyfit: values, derivatives and refusals, against JAX and NumPy."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from tests.derivative_rows import assert_agree

RNG = np.random.default_rng(3)
X, Y = np.linspace(-1, 2, 9), RNG.normal(size=(9, 2))
W = RNG.uniform(0.5, 2, 9)
FITS: dict[str, Any] = {
    "one": lambda m: lambda x, y, w: m.polyfit(x, y[:, 0], 2),
    "constant": lambda m: lambda x, y, w: m.polyfit(x, y[:, 1], 0),
    "weights": lambda m: lambda x, y, w: m.polyfit(x, y, 2, w=w),
    "covariance": lambda m: lambda x, y, w: m.polyfit(x, y[:, 0], 2, w=w, cov=True),
    "covariances": lambda m: lambda x, y, w: m.polyfit(x, y, 1, cov=True),
    "unscaled": lambda m: lambda x, y, w: m.polyfit(x, y, 1, cov="unscaled"),
}


@pytest.mark.parametrize("name", FITS)
def test_fits_and_their_derivatives_are_those_of_jax(name: str) -> None:
    assert_agree(FITS[name](fnp), FITS[name](jnp), [X, Y, W], np.float64, scale=10.0)


def test_a_full_answer_tells_what_lstsq_knows() -> None:
    for options in ({}, {"rcond": 0.4}, {"w": np.float32(W)}):
        ours, theirs = (m.polyfit(np.float32(X), np.float32(Y), 3, full=True, **options) for m in (fnp, jnp))
        for x, y in zip(ours, theirs, strict=True):
            assert (x.dtype, x.shape) == (y.dtype, y.shape)
            np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5)
    assert int(fnp.polyfit(np.float32(X), np.float32(Y), 3, rcond=0.4, full=True)[2]) < 4


def test_integers_are_points_as_well() -> None:
    x = np.arange(5)
    np.testing.assert_allclose(fnp.polyfit(x, 3 * x + 1, 1), [3, 1], atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_simple_roots_and_their_derivatives_are_those_of_jax(dtype: Any) -> None:
    p = np.array([2.0, -1.0, -7.0, 1.0, 3.0])  # four real roots, far from each other
    for options in ({}, {"strip_zeros": False}):

        def of(m: Any, options: Any = options) -> Any:
            return lambda p: m.sort(m.roots(p, **(options or {"strip_zeros": False})).real)

        assert_agree(of(fnp), of(jnp), [p], dtype, order=1, scale=30.0)
    with jax.enable_x64(dtype == np.float64):
        found = fnp.roots(p.astype(dtype))
        precision = 1e-5 if dtype == np.float32 else 1e-12
        np.testing.assert_allclose(np.sort(found.real), np.sort(np.roots(p).real), rtol=precision)
        assert found.dtype == (np.complex64 if dtype == np.float32 else np.complex128)


@pytest.mark.parametrize("p", [[], [3], [0, 0], [0, 0, 2, 4], [1, 0, 0], [0, 1, 2, 5, 0], [1, 0, 1], [1 + 2j, 3, 1j]])
@pytest.mark.parametrize("strip_zeros", [True, False])
def test_leading_and_trailing_zeros_are_treated_as_jax_treats_them(p: Any, strip_zeros: bool) -> None:
    p = np.asarray(p, np.complex64 if 1j in p else np.float32)
    found, expected = (m.roots(p, strip_zeros=strip_zeros) for m in (fnp, jnp))
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    assert np.isnan(found).tolist() == np.isnan(expected).tolist()
    np.testing.assert_allclose(*(np.sort_complex(np.asarray(v)) for v in (found, expected)), rtol=1e-5, atol=1e-5)


def test_slopes_of_complex_roots_are_those_of_the_equation() -> None:
    with jax.enable_x64(True):
        p = np.array([1.0, -1.0, 2.0, 5.0])
        slopes = ft.jacfwd(lambda p: fnp.roots(p, strip_zeros=False))(p)
        r = np.asarray(fnp.roots(p))
        expected = -np.stack([r**k for k in (3, 2, 1, 0)], 1) / np.polyval(np.polyder(p), r)[:, None]
        np.testing.assert_allclose(slopes, expected, rtol=1e-12)


def test_second_derivatives_of_roots_are_those_of_differences() -> None:
    with jax.enable_x64(True):
        p, step = np.array([2.0, -1.0, -7.0, 1.0, 3.0]), 1e-5
        slopes = ft.jit(ft.jacrev(lambda p: fnp.sort(fnp.roots(p, strip_zeros=False).real)))
        expected = [(slopes(p + step * e) - slopes(p - step * e)) / (2 * step) for e in np.eye(5)]
        np.testing.assert_allclose(ft.jacfwd(slopes)(p), np.stack(expected, -1), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda: fnp.roots(np.ones((2, 2))), ValueError, "roots: coefficients must be a vector, got shape (2, 2)"),
        (lambda: ft.jit(fnp.roots)(np.ones(3, np.float32)), TypeError, "the coefficients must be known while tracing"),
        (lambda: fnp.polyfit(X, Y, -1), ValueError, "polyfit: the degree must not be negative, got -1"),
        (lambda: fnp.polyfit(Y, Y, 1), TypeError, "polyfit: x must be a vector with elements, got shape (9, 2)"),
        (lambda: fnp.polyfit(X, Y[:4], 1), TypeError, "got shapes (9,) of x and (4, 2) of y"),
        (lambda: fnp.polyfit(X, Y, 1, w=W[:3]), TypeError, "got shapes (3,) of w and (9,) of x"),
        (lambda: fnp.polyfit(X[:3], Y[:3], 2, cov=True), ValueError, "or cov='unscaled'"),
    ],
)
def test_refusals(call: Any, kind: Any, text: str) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert text in str(caught.value)
