"""Spectra of signals against jax.scipy.signal and SciPy, and their derivatives."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.signal
import numpy as np
import pytest
import scipy.signal

import functrans as ft
import functrans.numpy as fnp
from functrans.scipy import signal
from tests.derivative_rows import assert_agree

pytestmark = pytest.mark.usefixtures("x64")
RNG = np.random.default_rng(8)
X, Y = RNG.normal(size=(2, 3, 50))
STFT: list[dict[str, Any]] = [
    {"nperseg": 16}, {"nperseg": 15, "noverlap": 4}, {"nperseg": 8, "nfft": 13, "return_onesided": False},
    {"nperseg": 10, "boundary": None, "padded": False}, {"nperseg": 12, "boundary": "even", "fs": 7.0},
    {"nperseg": 12, "boundary": "odd", "detrend": "linear"},
    {"nperseg": 12, "boundary": "constant", "window": "hamming"},
    {"nperseg": 6, "window": np.arange(1.0, 7.0), "noverlap": 0},
    {"nperseg": 9, "window": ("kaiser", 3.0), "detrend": "constant"},
]  # fmt: skip
CSD: list[dict[str, Any]] = [
    {"nperseg": 16}, {"nperseg": 15, "average": "median"}, {"nperseg": 50, "scaling": "spectrum"},
    {"nperseg": 8, "return_onesided": False, "average": "median"}, {"nperseg": 8, "detrend": False, "fs": 3.0},
]  # fmt: skip


def both(name: str, *args: Any, **options: Any) -> tuple[Any, Any]:
    return tuple(getattr(m, name)(*args, **options) for m in (signal, jax.scipy.signal))  # type: ignore[return-value]


def assert_same(ours: Any, theirs: Any) -> None:
    for found, wanted in zip(ours, theirs, strict=True):
        assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
        np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-13)


def test_every_function_of_jax_is_here() -> None:
    public = {name for name in dir(jax.scipy.signal) if not name.startswith("_")}
    assert not public - set(signal.__all__)
    for name in sorted(public):
        ours, theirs = (inspect.signature(getattr(m, name)) for m in (signal, jax.scipy.signal))
        assert list(ours.parameters) == list(theirs.parameters), name


@pytest.mark.parametrize("k", range(len(STFT)))
def test_short_time_transforms_and_their_inverse(k: int) -> None:
    options = STFT[k]
    for x, axis in ((X, -1), (X[0], -1), (X.T, 0)):
        ours, theirs = both("stft", x, axis=axis, **options)
        assert_same(ours, theirs)
    kept = {n: v for n, v in options.items() if n in ("fs", "window", "nperseg", "noverlap", "nfft")}
    kept |= {"input_onesided": options.get("return_onesided", True), "boundary": options.get("boundary", 1) is not None}
    transform = signal.stft(X, **options)[2]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        moved = np.moveaxis(np.asarray(transform), (-1, -2), (0, 1))
        for z, axes in ((np.asarray(transform), {}), (moved, {"time_axis": 0, "freq_axis": 1})):
            ours, exact = (m.istft(z, **axes, **kept) for m in (signal, scipy.signal))
            np.testing.assert_allclose(ours[1], exact[1], rtol=1e-11, atol=1e-13)
            if options["nperseg"] % 2 == 0 and options.get("noverlap") != 0:  # JAX refuses the one, ignores the other
                assert_same(ours, jax.scipy.signal.istft(z, **axes, **kept))
    if options == {"nperseg": 16}:
        np.testing.assert_allclose(signal.istft(transform, **kept)[1][:, :50], X, atol=1e-13)


@pytest.mark.parametrize("k", range(len(CSD)))
def test_densities(k: int) -> None:
    assert_same(*both("csd", X, Y, **CSD[k]))
    assert_same(*both("csd", X, Y[:, :40], **CSD[k]))
    assert_same(*both("welch", X, **CSD[k]))
    ours, exact = signal.welch(X, **CSD[k]), scipy.signal.welch(X, **CSD[k])
    for found, wanted in zip(ours, exact, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("bp", [0, [20], [7, 30]])
def test_trends(bp: Any) -> None:
    for x, axis in ((X, -1), (X.T, 0)):
        np.testing.assert_allclose(*both("detrend", x, axis, bp=bp), atol=1e-12)
        np.testing.assert_allclose(*both("detrend", x, axis, "constant"), atol=1e-13)
    z = X + 1j * Y
    np.testing.assert_allclose(signal.detrend(z, bp=bp), scipy.signal.detrend(z, bp=bp), atol=1e-12)


def test_complex_signals_have_two_sides() -> None:
    for name, args in (("stft", (X + 1j * Y,)), ("csd", (X + 1j * Y, Y + 0j)), ("welch", (X + 1j * Y,))):
        with pytest.warns(UserWarning, match="complex"):
            assert_same(*both(name, *args, nperseg=8))
    with pytest.warns(UserWarning, match="greater than the signal's length 50"):
        assert signal.welch(X)[1].shape == (3, 26)


def test_derivatives_and_batches_are_those_of_jax() -> None:
    def powers(m: Any, numpy: Any) -> Any:
        return lambda x, y: (
            numpy.abs(m.stft(x, nperseg=6)[2]) ** 2, m.welch(x, nperseg=8)[1], numpy.real(m.csd(x, y, nperseg=8)[1]),
            m.detrend(x, bp=[9]), m.istft(m.stft(x, nperseg=4)[2], nperseg=4)[1] ** 2,
        )  # fmt: skip

    assert_agree(powers(signal, fnp), powers(jax.scipy.signal, jnp), [X[0, :20] + 2, Y[0, :20]], np.float64)
    program = ft.jit(lambda x: signal.welch(x, nperseg=8)[1])
    np.testing.assert_allclose(program(X), signal.welch(X, nperseg=8)[1], rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: signal.detrend(X, type="cubic"), "detrend: type must be 'linear' or 'constant', got 'cubic'"),
        (lambda: signal.detrend(X, bp=[60]), "breakpoints must lie between 0 and 50, got [60]"),
        (lambda: signal.stft(X, nperseg=8, noverlap=8), "stft: noverlap=8 must be smaller than nperseg=8"),
        (lambda: signal.stft(X, nperseg=8, nfft=4), "stft: nfft=4 must not be smaller than nperseg=8"),
        (lambda: signal.stft(X, nperseg=8, boundary="x"), "stft: boundary must be one of"),
        (lambda: signal.stft(X, nperseg=0), "stft: nperseg must be positive, got 0"),
        (lambda: signal.stft(X, nperseg=5, window=np.ones(6)), "stft: nperseg=5 is not the window's length 6"),
        (lambda: signal.csd(X, Y, nperseg=8, scaling="x"), "csd: scaling must be 'density' or 'spectrum', got 'x'"),
        (lambda: signal.csd(X, Y, nperseg=8, average="x"), "csd: average must be 'mean' or 'median', got 'x'"),
        (lambda: signal.csd(X, Y[0], nperseg=8), "csd: signals of one rank are needed"),
        (lambda: signal.istft(X[0]), "istft: two axes at least are needed, got shape (50,)"),
        (lambda: signal.istft(X, time_axis=-2), "time_axis and freq_axis must differ, got -2 and -2"),
    ],
)
def test_refusals(call: Any, text: str) -> None:
    with pytest.raises(ValueError) as caught:
        call()
    assert text in str(caught.value)
