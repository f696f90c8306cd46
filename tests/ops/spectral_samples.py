"""Sample rows of the primitives that decompose matrices by their spectra."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from functrans.numpy.spectra import PseudoInverse
from functrans.ops import general_spectra, spectra, spectral_tangents
from functrans.ops.spectral_tangents import COLUMNS, DIFFERENCES, SUMS, VALUES
from tests.ops.matrix_samples import BATCHES, matrices
from tests.ops.samples import Row, c64, c128, f32, f64, numbers

DTYPES = (f32, f64, c64, c128)


def of_spectrum(shape: Sequence[int], dtype: Any) -> Any:
    """Matrices with singular values 1, 2, 3 ..."""
    *batch, m, n = shape
    u, v = (np.linalg.qr(matrices((*batch, k, k), dtype, k))[0] for k in (m, n))
    s = np.zeros((*batch, m, n))
    for i in range(min(m, n)):
        s[..., i, i] = i + 1.0
    return np.asarray(u @ s @ v, dtype)


def eigh_rows() -> Iterator[Row]:
    # the phase of complex vectors is the kernel's choice, which the derivative does not follow
    for lower, dtype in itertools.product((True, False), DTYPES):
        flags = {"execute": lower and dtype in (f32, c128), "derivative": dtype.kind != "c"}
        yield Row(spectra.Eigh(lower), (matrices((3, 3), dtype) + np.diag(np.arange(3, dtype=dtype)),), flags)
    for batch, n in itertools.product(BATCHES, (0, 1, 2)):
        yield Row(spectra.Eigh(True), (matrices((*batch, n, n), f64),), {"execute": False})
    yield Row(spectra.Eigh(True), (np.full((2, 2), np.nan, f32),), {"wrt": ()})


def _smooth(m: int, n: int, full: bool, dtype: Any) -> bool:
    """Whether the vectors move as their derivative says, and not by another choice of phases or of a basis."""
    return dtype.kind != "c" and not (full and abs(m - n) > 1)


def svd_rows() -> Iterator[Row]:
    for full, (m, n), dtype in itertools.product((True, False), ((2, 2), (3, 2), (2, 4)), DTYPES):
        flags = {"execute": dtype in (f32, c128) and full == (m == n), "derivative": _smooth(m, n, full, dtype)}
        if full and m > n:
            flags["without"] = {"short axes": "with two columns more, which basis is completed has no derivative"}
        yield Row(spectra.Svd(True, full), (of_spectrum((m, n), dtype),), flags)
    for m, n in ((0, 0), (0, 2), (1, 1), (3, 1)):
        for batch, full in itertools.product(((), (0,), (2,)), (True, False)):
            flags = {"execute": batch == (2,) and full, "derivative": _smooth(m, n, full, f64)}
            yield Row(spectra.Svd(True, full), (of_spectrum((*batch, m, n), f64),), flags)
    yield Row(spectra.Svd(False, False), (of_spectrum((2, 0, 2), f32),))
    for dtype in DTYPES:
        yield Row(spectra.Svd(False, False), (of_spectrum((2, 3, 2), dtype),), {"execute": dtype in (f32, c64)})


def split_rows() -> Iterator[Row]:
    square, more = numbers((2, 3, 3), c128), numbers((2, 4, 3), c128, seed=1)
    values = np.float64([[1.0, 2.0, 4.0], [3.0, 0.5, 1.5]])
    every = (VALUES, DIFFERENCES, SUMS, COLUMNS)
    for joint in (True, False):
        op = spectral_tangents.SpectralSplit(every, True, joint)
        yield Row(op, (square, square, square, more, values), {"wrt": (0, 3, 4), "execute": joint})
    yield Row(spectral_tangents.SpectralSplit((VALUES, DIFFERENCES), False, True), (square, square, values + 1j))
    repeated, real = np.float64([[1.0, 1.0, 0.0], [0.0, 2.0, 0.0]]), numbers((2, 3, 3), f64)
    for kind, joint in itertools.product((DIFFERENCES, SUMS, COLUMNS), (True, False)):
        x = np.where(np.arange(3) == 2, 0.0, real) if kind != DIFFERENCES else real
        yield Row(spectral_tangents.SpectralSplit((kind,), True, joint), (x, repeated), {"wrt": (), "execute": joint})


def general_rows() -> Iterator[Row]:
    turned = np.float64([[1, 2, 0], [-1, 1.5, 0.5], [0.3, 0.2, -2]])  # LAPACK's sign does not flip nearby
    for dtype, left, right in itertools.product(DTYPES, (True, False), (True, False)):
        a = (turned * (1 + 0.2j * np.arange(3)) if dtype.kind == "c" else turned).astype(dtype)
        flags = {"execute": left and dtype in (f32, c128), "second_order": right}
        yield Row(general_spectra.Eig(left, right), (a,), flags)
    for batch, n in itertools.product(BATCHES, (0, 1, 2)):
        yield Row(general_spectra.Eig(True, True), (of_spectrum((*batch, n, n), f64),), {"execute": False})
    for dtype, shape in itertools.product(DTYPES, ((3, 3), (2, 1, 1), (0, 2, 2))):
        a = of_spectrum(shape, dtype)
        for op in (
            general_spectra.Schur(True), general_spectra.Schur(False), general_spectra.Hessenberg(),
            general_spectra.Tridiagonal(True), general_spectra.Tridiagonal(False),
        ):  # fmt: skip
            flags = {"wrt": (), "execute": shape == (3, 3) and dtype in (f32, c128)}
            # the order of eigenvalues in a Schur form changes with the rounding
            yield Row(op, (a,), {**flags, "batch": not isinstance(op, general_spectra.Schur)})
    yield Row(general_spectra.Schur(True), (np.zeros((2, 0, 0), f32),), {"wrt": ()})


def pinv_rows() -> Iterator[Row]:
    for dtype, hermitian in itertools.product((f32, c64), (True, False)):
        a = of_spectrum((3, 3) if hermitian else (3, 2), dtype)
        a = a + np.swapaxes(a.conj(), -1, -2) + 6 * np.eye(3, dtype=dtype) if hermitian else a
        yield Row(PseudoInverse(hermitian), (a, np.float32(1e-5)), {"wrt": (0,), "execute": dtype == f32})


ROWS: list[Row] = [*eigh_rows(), *svd_rows(), *split_rows(), *general_rows(), *pinv_rows()]
