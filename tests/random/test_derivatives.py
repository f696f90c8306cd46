"""How samples move with the parameters of their distributions: finite, and as mpmath has it; samples unchanged."""

from __future__ import annotations

from typing import Any

import jax
import mpmath
import numpy as np
import pytest

import functrans as ft
from functrans import random

KEY = jax.random.key(3)
COUNT = 100


def upper(z: Any) -> Any:
    return mpmath.ncdf(-z)


def wald(x: Any, m: Any) -> Any:
    root = mpmath.sqrt(x)
    return mpmath.ncdf(root / m - 1 / root) + mpmath.exp(2 / m) * upper(root / m + 1 / root)


# distribution: its distribution function, and parameters in float32 and float64
DISTRIBUTIONS: dict[str, Any] = {
    "loggamma": (lambda y, a: mpmath.gammainc(a, 0, mpmath.exp(y), regularized=True), [(1e-3,), (0.02,), (80.0,)]),
    "gamma": (lambda x, a: mpmath.gammainc(a, 0, x, regularized=True), [(0.02,)]),
    "chisquare": (lambda x, n: mpmath.gammainc(n / 2, 0, x / 2, regularized=True), [(0.05,)]),
    "generalized_normal": (
        lambda x, p: mpmath.sign(x) * mpmath.gammainc(1 / p, 0, abs(x) ** p, regularized=True) / 2, [(40.0,)],
    ),
    "weibull_min": (lambda x, s, c: -mpmath.expm1(-((x / s) ** c)), [(2.0, 0.1)]),
    "truncated_normal": (
        lambda x, a, b: (upper(a) - upper(x)) / (upper(a) - upper(b)), [(2.0, 2.001), (-1.0, 2.0)],
    ),
    "wald": (wald, [(0.02,), (30.0,)]),
    "triangular": (
        lambda x, a, m, b: (x - a) ** 2 / ((b - a) * (m - a)) if x < m else 1 - (b - x) ** 2 / ((b - a) * (b - m)),
        [(0.0, 0.0, 1.0)],
    ),
}  # fmt: skip
CASES = [(name, p) for name, (_, parameters) in DISTRIBUTIONS.items() for p in parameters]


def slope(cdf: Any, x: float, parameters: Any, k: int) -> Any:
    """-(dF/dparameter) / (dF/dx)"""
    with mpmath.workdps(50):
        place, values = mpmath.mpf(x), [mpmath.mpf(float(p)) for p in parameters]

        def by(step: Any, move: Any) -> Any:
            return (move(step) - move(-step)) / (2 * step)

        def of_parameter(h: Any) -> Any:
            return cdf(place, *[v + h * (i == k) for i, v in enumerate(values)])

        step = mpmath.mpf(10) ** -20
        density = by(step * abs(place), lambda h: cdf(place + h, *values))
        if values[k] == 0 and cdf is DISTRIBUTIONS["triangular"][0]:
            return None  # the distribution function has another form on the other side
        return -by(step * max(abs(values[k]), 1), of_parameter) / density


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("name", "parameters"),
    # between bounds a last bit of erf is many of the sample: the machine code of either library has to be the usual one
    [pytest.param(*case, marks=pytest.mark.machine_code if case[0] == "truncated_normal" else ()) for case in CASES],
)
def test_samples_move_as_their_quantiles_stay(name: str, parameters: Any, dtype: Any) -> None:
    """Among them the operation RandomLoggammaGrad, of two orders."""
    cdf = DISTRIBUTIONS[name][0]
    with jax.enable_x64(dtype is np.float64):
        values = tuple(dtype(p) for p in parameters)
        argnums = tuple(range(len(values)))

        def draw(*parameters: Any) -> Any:
            return getattr(random, name)(KEY, *parameters, (COUNT,), dtype)

        np.testing.assert_array_equal(draw(*values), getattr(jax.random, name)(KEY, *values, (COUNT,), dtype))

        @ft.jit
        def everything(*parameters: Any) -> Any:
            return (
                draw(*parameters), ft.jacfwd(draw, argnums)(*parameters), ft.jacrev(draw, argnums)(*parameters),
                ft.jacfwd(ft.jacrev(draw, argnums), argnums)(*parameters),
            )  # fmt: skip

        samples, forward, backward, second = everything(*values)
    samples = np.asarray(samples, np.float64)
    rtol = 2e-3 if dtype is np.float32 and name == "truncated_normal" else 1e-4 if dtype is np.float32 else 1e-9
    chosen = np.argsort(samples)[np.linspace(1, COUNT - 2, 3).astype(int)]
    for k, (one, other) in enumerate(zip(forward, backward, strict=True)):
        assert np.isfinite(one).all()
        scale = float(np.abs(one).max())
        np.testing.assert_allclose(one, other, rtol=rtol, atol=1e-6 * scale)
        for i in chosen:
            expected = slope(cdf, samples[i], values, k) if samples[i] else None
            if expected is not None:
                np.testing.assert_allclose(float(one[i]), float(expected), rtol=rtol, atol=1e-6 * scale)
    assert all(np.isfinite(entry).all() for row in second for entry in row)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("beta", (1e-3, 2e-3)),
        ("beta", (0.02, 30.0)),
        ("t", (0.3,)),
        ("t", (0.1,)),
        ("f", (0.2, 0.3)),
        ("gamma", (1e-3,)),
    ],
)
def test_derivatives_of_samples_near_the_ends_of_their_range_are_finite(name: str, parameters: Any) -> None:
    def draw(*parameters: Any) -> Any:
        return getattr(random, name)(KEY, *parameters, (COUNT,))

    values, argnums = tuple(map(np.float32, parameters)), tuple(range(len(parameters)))
    samples = np.asarray(draw(*values))
    np.testing.assert_array_equal(samples, getattr(jax.random, name)(KEY, *values, (COUNT,)))

    @ft.jit
    def derivatives(*p: Any) -> Any:
        reverse = ft.jacrev(draw, argnums)
        return [
            ft.jacfwd(draw, argnums)(*p), reverse(*p),
            *ft.jacfwd(reverse, argnums)(*p), *ft.jacrev(reverse, argnums)(*p),
        ]  # fmt: skip

    finite = np.abs(samples) < 1e20  # derivatives of larger ones are beyond float32
    assert finite.sum() > COUNT // 2
    for entry in [entry for row in derivatives(*values) for entry in row]:
        assert np.isfinite(np.asarray(entry)[finite]).all()


def test_student_numbers_move_with_their_gamma_numbers() -> None:
    first, second = jax.random.split(KEY)
    df = 0.4
    with jax.enable_x64(True):  # the difference below leaves few digits of float32
        moved = ft.jacfwd(lambda df: random.t(KEY, df, (COUNT,)))(df)
        logs = ft.jacfwd(lambda a: random.loggamma(second, a, (COUNT,)))(df / 2)
        expected = random.t(KEY, df, (COUNT,)) * 0.5 * (1 / df - 0.5 * logs)
    np.testing.assert_allclose(moved, expected, rtol=1e-10)
    assert np.isfinite(random.normal(first, (COUNT,))).all()


def test_dirichlet_numbers_of_small_parameters() -> None:
    alpha = np.float32([1e-3, 0.02, 5.0])
    moved = ft.jit(ft.vmap(ft.jacrev(lambda a: random.dirichlet(KEY, a, (50,)))))(np.stack([alpha, alpha[::-1]]))
    assert np.isfinite(moved).all()
    np.testing.assert_allclose(moved.sum(2), 0.0, atol=1e-3)  # probabilities add up to 1 whatever the parameters


@pytest.mark.parametrize(
    "draw",
    [
        lambda key, a: random.beta(key, a, a, (50,)), lambda key, a: random.beta(key, a, 2.0, (50,)),
        lambda key, a: random.beta(key, 2.0, a, (50,)), lambda key, a: random.chisquare(key, a, (50,)),
        lambda key, a: random.gamma(key, a, (50,)), lambda key, a: random.f(key, a, 3.0, (50,)),
        lambda key, a: random.dirichlet(key, a * np.float32([1, 0, 0]) + np.float32([0, 1, 2]), (20,)),
        lambda key, a: random.dirichlet(key, a * np.float32([1, 1, 1]), (20,)),
    ],
    ids=["beta a a", "beta a 2", "beta 2 a", "chisquare", "gamma", "f", "dirichlet one small", "dirichlet all small"],
)  # fmt: skip
@pytest.mark.parametrize("a", [1e-18, 1e-20, 1e-30, 1e-37])
def test_numbers_of_tiny_parameters_stand_still(draw: Any, a: float) -> None:
    # The logarithm of a gamma number goes as -1 / a, its slope as the square, beyond float32 below 1e-19; each of these
    # numbers is at an end of its range, where exp(-1 / a) times that slope is 0.
    a = np.float32(a)
    for moved in (ft.jacfwd(lambda a: draw(KEY, a))(a), ft.jacrev(lambda a: draw(KEY, a))(a)):
        np.testing.assert_array_equal(moved, 0.0)


def test_counts_have_no_derivative() -> None:
    for draw in (
        lambda p: random.binomial(KEY, 20.0, p, (5,)).sum(), lambda p: random.binomial(KEY, 500.0, p, (5,)).sum(),
        lambda p: random.poisson(KEY, 40 * p, (5,)).astype("float32").sum(),
    ):  # fmt: skip
        np.testing.assert_array_equal(ft.grad(draw)(np.float32(0.3)), 0.0)
        np.testing.assert_array_equal(ft.jvp(draw, (np.float32(0.3),), (np.float32(1.0),))[1], 0.0)
