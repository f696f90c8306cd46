"""Fourier transforms, convolutions, histograms, covariances, polynomials and integer functions: as jax.numpy does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from tests.numpy.many import assert_cases_agree, grad_of

RNG = np.random.default_rng(0)
A = RNG.normal(size=(4, 6)).astype(np.float32)
C = (A + 1j * A[::-1]).astype(np.complex64)
I = RNG.integers(0, 9, (4, 6)).astype(np.int32)
Cases = dict[str, Callable[..., Any]]

ONE_AXIS: list[dict[str, Any]] = [
    {}, {"n": 4}, {"n": 9, "axis": 0}, {"axis": 0, "norm": "ortho"}, {"norm": "forward"}, {"norm": "backward"},
    {"n": 0}, {"axis": (0,)}, {"norm": "x"},
]  # fmt: skip
AXES: list[dict[str, Any]] = [
    {}, {"s": (3, 8)}, {"axes": (1, 0)}, {"axes": (1, 0), "s": (5, 3), "norm": "ortho"}, {"axes": (0, 0)},
    {"s": (3,), "axes": (0, 1)},
]  # fmt: skip


def transforms(m: Any) -> Cases:
    f = m.fft
    cases: Cases = {}
    for n in ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft"):
        cases.update({f"{n} {o}": lambda x, n=n, o=o: getattr(f, n)(x, **o) for o in ONE_AXIS})
    for n in ("fftn", "ifftn", "rfftn", "irfftn", "fft2", "ifft2", "rfft2", "irfft2"):
        cases.update({f"{n} {o}": lambda x, n=n, o=o: getattr(f, n)(x, **o) for o in AXES})
        if "2" not in n:
            cases[f"{n} of rank 4"] = lambda x, n=n: getattr(f, n)(x.reshape(2, 2, 2, 3))
            cases[f"{n} of two of four"] = lambda x, n=n: getattr(f, n)(x.reshape(2, 2, 2, 3), axes=(2, 0))
    for k in (1, 4, 5):
        cases[f"frequencies {k}"] = lambda x, k=k: [f.fftfreq(k), f.fftfreq(k, 0.3), f.rfftfreq(k), f.rfftfreq(k, 2)]
    cases["shift"] = lambda x: [
        f.fftshift(x), f.ifftshift(x), f.fftshift(x, 1), f.ifftshift(x, (0,)), f.fftshift(x[0, :5]),
        f.ifftshift(x[0, :5]),
    ]  # fmt: skip
    return cases


def signals(m: Any) -> Cases:
    cases: Cases = {
        f"mode {mode}": lambda x, mode=mode: [
            m.convolve(x[0], x[1, :4], mode), m.convolve(x[0, :3], x[1], mode), m.correlate(x[0], x[1, :3], mode),
            m.correlate(x[0, :2], x[1], mode),
        ]
        for mode in ("full", "same", "valid", "half")
    }  # fmt: skip
    windows = [getattr(m, name) for name in ("bartlett", "blackman", "hamming", "hanning")]
    cases["windows"] = lambda x: [window(n) for window in windows for n in (0, 1, 2, 7)]
    cases["kaiser"] = lambda x: [m.kaiser(n, 2.5) for n in (0, 1, 5)]
    cases["unwrap"] = lambda x: [m.unwrap(x * 4), m.unwrap(x, axis=0, period=2), m.unwrap(x, discont=2.0)]
    return cases


def statistics(m: Any) -> Cases:
    f, a = np.array([1, 2, 3, 1, 1, 2]), np.float32([1, 2, 3, 1, 1, 2])
    return {
        "cov": lambda x: [
            m.cov(x), m.cov(x, rowvar=False), m.cov(x[0]), m.cov(x[0], x[1]), m.cov(x, x, bias=True), m.cov(x, ddof=0),
            m.cov(x, fweights=f), m.cov(x, aweights=a), m.cov(x, fweights=f, aweights=a),
        ],
        "cov of rank 3": lambda x: m.cov(x[None]),
        "corrcoef": lambda x: [m.corrcoef(x), m.corrcoef(x[0]), m.corrcoef(x, rowvar=False)],
        "histogram": lambda x: [
            m.histogram(x), m.histogram(x, 5), m.histogram(x, 5, range=(-1, 1)),
            m.histogram(x, np.float32([-1, 0, 0.5, 2])), m.histogram(x, 4, weights=x), m.histogram(x, 4, density=True),
            m.histogram(x * 0, 3),
        ],
        "several dimensions": lambda x: [
            m.histogram2d(x[0], x[1], 4), m.histogram2d(x[0], x[1], np.float32([-1, 0, 1, 2])), m.histogramdd(x, 3),
            m.histogramdd(x, 3, density=True)[0], m.histogramdd(x, [2] * 6, weights=x[:, 0]),
        ],
    }  # fmt: skip


def polynomials(m: Any) -> Cases:
    return {
        "poly": lambda x: [
            m.poly(x[0, :3]), m.polyadd(x[0], x[1, :3]), m.polysub(x[0, :2], x[1]), m.polymul(x[0], x[1, :2]),
            m.polyder(x[0]), m.polyder(x[0], 2), m.polyint(x[0]), m.polyint(x[0], 2, k=3),
            m.polyint(x[0], 2, k=x[1, :2]),
        ],
        "polydiv": lambda x: [m.polydiv(x[0] + 20, x[1, :2] + 10), m.polydiv(x[0, :2], x[1] + 10)],
    }  # fmt: skip


def integers(m: Any) -> Cases:
    cases: Cases = {
        "divisors": lambda x: [m.gcd(x, x[0]), m.gcd(x * 6, 9), m.lcm(x, x[0]), m.lcm(x, 4), m.gcd(-x, x[1])],
        "of floats": lambda x: m.gcd(x * 0.5, x),
        "bincount": lambda x: [
            m.bincount(x[0], length=5), m.bincount(x[0], length=12, weights=x[1]), m.bincount(x[0] - 3, length=4)
        ],
        "bincount of floats": lambda x: m.bincount(x[0] * 0.5, length=3),
    }  # fmt: skip
    for b in ("big", "little", "x"):
        cases[f"bits {b}"] = lambda x, b=b: [
            m.packbits(x > 4, bitorder=b), m.packbits(x > 4, 1, bitorder=b),
            m.unpackbits(x.astype(np.uint8), bitorder=b), m.unpackbits(x.astype(np.uint8), 0, count=5, bitorder=b),
            m.unpackbits(x.astype(np.uint8), 1, count=-3, bitorder=b),
        ]  # fmt: skip
    return cases


@pytest.mark.parametrize("x", [A, C, I], ids=["float32", "complex64", "int32"])
def test_transforms_agree_with_jax(x: Any) -> None:
    assert_cases_agree(transforms(fnp), transforms(jnp), x, operations=256, scale=8.0)


@pytest.mark.parametrize("x", [A, C, I], ids=["float32", "complex64", "int32"])
def test_signals_and_polynomials_agree_with_jax(x: Any) -> None:
    both = [{**signals(m), **polynomials(m)} for m in (fnp, jnp)]
    assert_cases_agree(*both, x, operations=256)


def test_statistics_agree_with_jax() -> None:
    assert_cases_agree(statistics(fnp), statistics(jnp), A, operations=256)


def test_integer_functions_agree_with_jax() -> None:
    assert_cases_agree(integers(fnp), integers(jnp), I)


def test_gradients_agree_with_jax() -> None:
    def cases(m: Any) -> Cases:
        return {
            "rfft": lambda x: abs(m.fft.rfft(x, 8)) ** 2,
            "irfft": lambda x: m.fft.irfft(x + 1j * x, 7),
            "fft2": lambda x: m.fft.fft2(x).real,
            "convolve": lambda x: m.convolve(x[0], x[1, :3], "same"),
            "correlate": lambda x: m.correlate(x[0, :2], x[1], "full"),
            "cov": lambda x: m.cov(x),
            "corrcoef": lambda x: m.corrcoef(x[:2]),
            "weights": lambda x: m.histogram(A.astype(np.float64), 4, weights=x)[0],
            "unwrap": lambda x: m.unwrap(x * 4),
        }

    def cotangent(out: Any) -> Any:
        return np.cos(np.arange(out.size, dtype=np.float64)).reshape(out.shape)

    both = grad_of(cases(fnp), ft.vjp, cotangent), grad_of(cases(jnp), jax.vjp, cotangent)
    with jax.enable_x64(True):
        assert_cases_agree(*both, A.astype(np.float64), operations=1024, scale=8.0)


def test_the_gradient_of_a_polynomial_division_agrees_with_differences() -> None:
    def f(x: Any) -> Any:
        quotient, remainder = fnp.polydiv(x[0] + 20.0, x[1, :2] + 10.0)
        return (np.cos(np.arange(5)) * quotient).sum() + np.sin(remainder).sum()

    with jax.enable_x64(True):
        x = A.astype(np.float64)
        steps = 1e-5 * np.eye(x.size).reshape(-1, *x.shape)[[0, 5, 6, 7]]
        expected = [(f(x + step) - f(x - step)) / 2e-5 for step in steps]
        np.testing.assert_allclose(np.asarray(ft.grad(f)(x)).ravel()[[0, 5, 6, 7]], expected, rtol=1e-6, atol=1e-8)


def test_counts_without_a_length_agree_with_numpy() -> None:
    x = np.array([1, 4, 4, 0])
    np.testing.assert_array_equal(fnp.bincount(x), np.bincount(x))
    np.testing.assert_array_equal(fnp.bincount(x, minlength=9), np.bincount(x, minlength=9))
    np.testing.assert_array_equal(fnp.polymul(np.float32([0, 1]), np.float32([0, 2]), trim_leading_zeros=True), [2.0])


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda: fnp.fft.fft(A, norm="half"), ValueError, r"fft: norm must be one of .* got 'half'"),
        (lambda: fnp.fft.rfft(C), ValueError, "rfft: a real array is needed, got dtype complex64"),
        (lambda: fnp.fft.fft(A, axis=(0, 1)), ValueError, r"fft: one axis is transformed, got \(0, 1\); use fftn"),
        (lambda: fnp.fft.fftn(A, axes=(1, -1)), ValueError, r"fftn: axes \(1, -1\) name one axis twice"),
        (lambda: fnp.convolve(A, A), ValueError, r"two vectors with elements are needed, got shapes \(4, 6\)"),
        (lambda: fnp.convolve(A[0], A[1], "half"), ValueError, "mode must be 'full', 'same' or 'valid', got 'half'"),
        (lambda: fnp.bincount(A[0]), TypeError, "bincount: integers are needed, got dtype float32"),
        (lambda: ft.jit(fnp.bincount)(I[0]), TypeError, r"bincount \(without length=\): the array must be known"),
        (lambda: fnp.histogram(A, "auto"), NotImplementedError, "rules by name are not supported, got 'auto'"),
        (lambda: fnp.cov(A[None]), ValueError, r"cov: variables must be of rank 1 or 2, got shape \(1, 4, 6\)"),
        (lambda: fnp.gcd(A, A), ValueError, "gcd: integers are needed, got dtype float32"),
        (lambda: fnp.polyder(A), ValueError, r"polyder: coefficients must be a vector, got shape \(4, 6\)"),
        (lambda: fnp.packbits(I, bitorder="middle"), ValueError, "bitorder must be 'little' or 'big', got 'middle'"),
    ],
)
def test_refusals_say_what_and_why(call: Any, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        call()


@pytest.mark.parametrize("name", ["fft", "ifft", "irfft", "hfft", "fft2", "ifftn", "irfftn"])
def test_the_transform_of_nothing_is_nothing(name: str) -> None:
    for shape in ((0, 3), (3, 0), (0, 0)):
        x = np.zeros(shape, np.complex64)
        ours, theirs = getattr(fnp.fft, name)(x), getattr(jnp.fft, name)(x)
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
        assert ft.grad(lambda x: fnp.sum(fnp.abs(getattr(fnp.fft, name)(x))))(x).shape == shape


@pytest.mark.parametrize("name", ["rfft", "ihfft", "rfft2"])
def test_a_real_transform_of_nothing_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="too short to transform"):
        getattr(fnp.fft, name)(np.zeros((3, 0), np.float32))
