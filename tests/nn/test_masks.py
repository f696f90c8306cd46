"""What a mask takes out takes no part: whatever stands there, values and derivatives are those of the rest."""

from __future__ import annotations

import functools
from typing import Any

import jax
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans import nn
from functrans.scipy import special

MASK = np.array([[1, 1, 0, 1, 0], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0], [0, 1, 0, 0, 0]], bool)
RNG = np.random.default_rng(0)
X = RNG.standard_normal(MASK.shape)
DIRECTION = np.where(MASK, RNG.standard_normal(MASK.shape), 1.0)
SIGNS = np.where(np.arange(5) % 2, 1.0, -1.0)


def weights(x: Any, signed: bool = False) -> Any:
    return fnp.asarray((MASK * (2.0 * SIGNS if signed else 2.0)).astype(x.dtype))


FUNCTIONS = {
    "softmax": lambda x: nn.softmax(x, where=MASK),
    "log_softmax": lambda x: fnp.where(MASK, nn.log_softmax(x, where=MASK), 0.0),
    "logsumexp": lambda x: nn.logsumexp(x, 1, where=MASK),
    "logsumexp by columns": lambda x: nn.logsumexp(x, 0, where=MASK, keepdims=True),
    "logsumexp of weights": lambda x: special.logsumexp(x, 1, weights(x)),
    "logsumexp of signs": lambda x: special.logsumexp(x, 1, weights(x, True), return_sign=True)[0],
    "logmeanexp": lambda x: nn.logmeanexp(x, 1, where=MASK),
    "standardize": lambda x: fnp.where(MASK, nn.standardize(x, where=MASK), 0.0),
    **{
        name: functools.partial(getattr(fnp, name), axis=1, where=MASK)
        for name in ("sum", "prod", "mean", "var", "std", "nansum", "nanprod", "nanmean", "nanvar", "nanstd")
    },
    "std with ddof": lambda x: fnp.std(x, 1, ddof=1, where=MASK),
    "std of all": lambda x: fnp.std(x, where=MASK),
    **{
        name: functools.partial(getattr(fnp, name), axis=1, where=MASK, initial=0.0)
        for name in ("max", "min", "nanmax", "nanmin")
    },
}  # fmt: skip
WITHOUT_NAN = {
    name: functools.partial(getattr(fnp, name), axis=1)
    for name in ("nansum", "nanprod", "nanmax", "nanmin", "nanmean", "nanvar", "nanstd", "nancumsum", "nanmedian")
}


def derivatives(f: Any, x: Any, v: Any) -> dict[str, Any]:
    value = f(x)
    cotangent = fnp.asarray(np.linspace(-1.0, 1.0, value.size, dtype=np.float32).reshape(value.shape)).astype(
        value.dtype
    )

    def slope(x: Any) -> Any:
        return ft.vjp(f, x)[1](cotangent)[0]

    return {
        "value": value,
        "slope": slope(x),
        "tangent": ft.jvp(f, (x,), (v,))[1],
        "forward over reverse": ft.jvp(slope, (x,), (v,))[1],
        "reverse over reverse": ft.vjp(slope, x)[1](v)[0],
        "forward twice": ft.jvp(lambda x: ft.jvp(f, (x,), (v,))[1], (x,), (v,))[1],
    }


def assert_masked_elements_take_no_part(f: Any, fillings: Any, dtype: str, rtol: float) -> None:
    program = ft.jit(functools.partial(derivatives, f))
    direction = DIRECTION.astype(dtype)
    expected = program(np.where(MASK, X, fillings[0]).astype(dtype), direction)
    for filling in fillings[1:]:
        found = program(np.where(MASK, X, filling).astype(dtype), direction)
        for what, number in found.items():
            np.testing.assert_allclose(
                np.asarray(number, np.float64), np.asarray(expected[what], np.float64), rtol=rtol, atol=rtol,
                err_msg=f"{what} with {filling} masked",
            )  # fmt: skip
            if what != "value":
                assert np.isfinite(np.asarray(number, np.float64)).all(), f"{what} with {filling} masked"
    np.testing.assert_array_equal(np.where(MASK, 0.0, np.asarray(expected["slope"], np.float64)), 0.0)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_masked_elements_take_no_part(name: str) -> None:
    assert_masked_elements_take_no_part(FUNCTIONS[name], (0.0, np.inf, -np.inf, np.nan, 1e30), "float32", 1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", ["softmax", "logsumexp", "std"])
def test_masked_elements_of_half_precision_take_no_part(name: str, dtype: str) -> None:
    assert_masked_elements_take_no_part(FUNCTIONS[name], (0.0, np.inf, np.nan, 6e4), dtype, 2e-2)


@pytest.mark.parametrize("name", WITHOUT_NAN)
def test_nans_have_no_derivative(name: str) -> None:
    assert_masked_elements_take_no_part(WITHOUT_NAN[name], (np.nan, -np.nan), "float32", 1e-5)


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "standardize"])
def test_a_row_is_as_if_masked_elements_were_not_there(name: str) -> None:
    f = getattr(nn, name)
    x = np.array([1.0, np.inf, -2.0, np.nan, 0.5])
    mask = np.isfinite(x)
    cotangent = np.array([0.3, -1.0, 2.0])

    def masked(x: Any) -> Any:
        return f(x, where=mask)[np.flatnonzero(mask)]

    value, pullback = ft.vjp(masked, x.astype(np.float32))
    kept, kept_pullback = ft.vjp(f, x[mask].astype(np.float32))
    np.testing.assert_allclose(value, kept, rtol=1e-6)
    slope = pullback(cotangent.astype(np.float32))[0]
    np.testing.assert_allclose(slope[mask], kept_pullback(cotangent.astype(np.float32))[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(slope[~mask], 0.0)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize("sent", [1.0, 1e30, np.inf, np.nan])
def test_what_comes_back_to_masked_elements_changes_nothing(name: str, sent: float) -> None:
    x = X.astype(np.float32)
    cotangent = np.cos(np.arange(MASK.size)).reshape(MASK.shape).astype(np.float32)
    for of in (lambda f: f, ft.jit):
        pull = of(lambda x, ct: ft.vjp(lambda x: getattr(nn, name)(x, where=MASK), x)[1](ct)[0])
        found = np.asarray(pull(x, np.where(MASK, cotangent, sent)))
        np.testing.assert_array_equal(found, pull(x, np.where(MASK, cotangent, 0.0).astype(np.float32)))
        expected = jax.vjp(lambda x: getattr(jax.nn, name)(x, where=MASK), x)[1](cotangent)[0]
        np.testing.assert_allclose(found[:2], expected[:2], rtol=1e-5, atol=1e-6)  # JAX's are NaN where all is masked
        tangent = ft.jvp(lambda x: getattr(nn, name)(x, where=MASK), (x,), (np.full_like(x, sent),))[1]
        np.testing.assert_array_equal(np.where(MASK, 0.0, tangent), 0.0)


def test_batched_gradients_of_masked_rows() -> None:
    x = np.where(MASK, X, np.inf).astype(np.float32)
    with np.errstate(divide="ignore"):
        values = np.log(np.sum(np.where(MASK, np.exp(X), 0.0), 1))
    np.testing.assert_allclose(nn.logsumexp(x, 1, where=MASK), values, rtol=1e-5)
    np.testing.assert_allclose(nn.logsumexp(x, 1, MASK.astype(np.float32)), values, rtol=1e-5)
    np.testing.assert_array_equal(nn.softmax(x, where=MASK)[2], 0.0)
    np.testing.assert_array_equal(nn.log_softmax(x, where=MASK)[2], -np.inf)
    slopes = ft.vmap(ft.grad(lambda x, m: nn.logsumexp(x, where=m)))(x, MASK)
    shares = np.where(MASK, np.exp(np.where(MASK, X, -np.inf)), 0.0)
    total = shares.sum(1, keepdims=True)
    np.testing.assert_allclose(slopes, shares / np.where(total == 0.0, 1.0, total), rtol=1e-5)


def test_empty_and_single_axes() -> None:
    for f in (nn.logsumexp, fnp.mean, fnp.std, fnp.var):
        value, tangent = ft.jvp(
            lambda x, f=f: f(x, 1), (np.zeros((2, 0), np.float32),), (np.zeros((2, 0), np.float32),)
        )
        expected = -np.inf if f is nn.logsumexp else np.nan
        np.testing.assert_array_equal(value, np.full(2, expected))
        np.testing.assert_array_equal(tangent, np.zeros(2))
    np.testing.assert_array_equal(ft.grad(lambda x: fnp.std(x))(np.float32([3.0])), [0.0])
    np.testing.assert_array_equal(ft.grad(lambda x: nn.logsumexp(x))(np.float32([-np.inf, -np.inf])), [0.0, 0.0])
    np.testing.assert_array_equal(ft.grad(fnp.logaddexp, (0, 1))(-np.inf, -np.inf), (0.0, 0.0))


def test_a_weight_of_zero_takes_its_logarithm_out() -> None:
    labels, p = np.float32([0.0, 1.0, 0.0]), np.float32([0.0, 0.5, 0.5])
    np.testing.assert_array_equal(ft.grad(lambda p: special.xlogy(labels, p).sum())(p), [0.0, 2.0, 0.0])
    np.testing.assert_array_equal(ft.grad(lambda p: special.xlog1py(labels, p - 1).sum())(p), [0.0, 2.0, 0.0])
    np.testing.assert_array_equal(ft.grad(special.entr)(np.float32(-1.0)), 0.0)
    np.testing.assert_array_equal(ft.grad(nn.sparse_plus)(np.asarray(3e38, "bfloat16")), 1.0)
