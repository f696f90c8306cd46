"""functrans.scipy.signal against jax.scipy.signal and SciPy."""

from __future__ import annotations

from typing import Any

import jax
import jax.scipy.signal
import numpy as np
import pytest
import scipy.signal

from functrans.scipy import signal
from tests.derivative_rows import assert_agree

RNG = np.random.default_rng(2)
PAIRS = {
    "vectors": ((7,), (4,)), "shorter first": ((3,), (6,)), "matrices": ((4, 5), (2, 3)),
    "smaller first": ((2, 3), (4, 5)), "cubes": ((3, 4, 2), (2, 1, 2)), "numbers": ((1,), (1,)),
}  # fmt: skip
FUNCTIONS = {
    "convolve": {}, "correlate": {}, "fftconvolve": {}, "convolve by fft": {"method": "fft"},
    "correlate by fft": {"method": "fft"}, "convolve2d": {}, "correlate2d": {},
}  # fmt: skip


def operands(pair: str) -> list[Any]:
    return [RNG.normal(size=shape) for shape in PAIRS[pair]]


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("pair", PAIRS)
def test_values_are_those_of_jax(name: str, pair: str) -> None:
    function = name.partition(" ")[0]
    x, y = operands(pair)
    if function.endswith("2d") and x.ndim != 2:
        return
    for mode in ("full", "same", "valid"):
        for a, b in ((x, y), (x + 1j * x[::-1], y - 2j)):
            with jax.enable_x64(True):
                ours, theirs = (getattr(m, function)(a, b, mode, **FUNCTIONS[name]) for m in (signal, jax.scipy.signal))
            assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
            np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-13)
            if mode != "valid" and ours.shape == getattr(scipy.signal, function)(a, b, mode).shape:
                np.testing.assert_allclose(ours, getattr(scipy.signal, function)(a, b, mode), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", ["convolve", "correlate", "fftconvolve"])
def test_derivatives_and_batches_are_those_of_jax(name: str) -> None:
    for pair, mode in (("matrices", "same"), ("shorter first", "full")):
        both = [lambda a, b, m=m, mode=mode: getattr(m, name)(a, b, mode) ** 2 for m in (signal, jax.scipy.signal)]
        assert_agree(*both, operands(pair), np.float64)


def test_along_some_axes_and_without_any() -> None:
    x, y = RNG.normal(size=(3, 5, 2)), RNG.normal(size=(3, 4, 3))
    with jax.enable_x64(True):
        for mode in ("full", "same"):
            ours, theirs = (m.fftconvolve(x, y, mode, axes=(1, -1)) for m in (signal, jax.scipy.signal))
            np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(
            signal.fftconvolve(x, y[..., :2], "valid", axes=1), scipy.signal.fftconvolve(x, y[..., :2], "valid", axes=1)
        )
    assert signal.convolve(np.int32([1, 2]), np.int32([3])).dtype == np.float32


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: signal.convolve([1.0], [1.0], "half"), "convolve: mode must be 'full', 'same' or 'valid', got 'half'"),
        (lambda: signal.convolve([1.0], [1.0], method="slow"), "method must be 'auto', 'direct' or 'fft', got 'slow'"),
        (lambda: signal.fftconvolve(np.ones((2, 2), "f"), [1.0]), "operands of one rank are needed, got shapes"),
        (lambda: signal.correlate([], [1.0]), "correlate: operands with elements are needed, got shapes (0,) and (1,)"),
        (lambda: signal.convolve(np.ones((1, 2), "f"), np.ones((2, 1), "f")), "and (2, 1); method='fft'"),
        (lambda: signal.fftconvolve(np.ones((1, 2), "f"), np.ones((2, 1), "f"), axes=1), "must have one size"),
        (lambda: signal.convolve2d(np.ones((1, 2), "f"), [1.0]), "two matrices are needed, got shapes (1, 2) and (1,)"),
        (lambda: signal.correlate2d([[1.0]], [[1.0]], boundary="wrap"), "only boundary='fill' with fillvalue=0"),
    ],
)
def test_refusals(call: Any, text: str) -> None:
    with pytest.raises(ValueError) as caught:
        call()
    assert text in str(caught.value)
