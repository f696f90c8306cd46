"""Sample rows of the primitives that libraries compute for matrices."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from functrans.ops import factorisations, triangular
from tests.ops.samples import Row, c64, c128, f32, f64

BATCHES: list[tuple[int, ...]] = [(), (2,), (0,), (2, 1)]


def matrices(shape: Sequence[int], dtype: Any, seed: int = 0) -> Any:
    """Matrices of independent numbers in [-0.5, 0.5], with 2 more on the diagonal."""
    random = np.random.default_rng((seed, *shape))
    x = random.random(shape) - 0.5
    if np.dtype(dtype).kind == "c":
        x = x + 1j * (random.random(shape) - 0.5)
    return (x + 2 * np.eye(*shape[-2:])).astype(dtype)


def positive(shape: Sequence[int], dtype: Any) -> Any:
    """Hermitian matrices with eigenvalues of 1 and more."""
    x = matrices(shape, dtype)
    return np.asarray(x @ np.swapaxes(x.conj(), -1, -2) + np.eye(shape[-1]), dtype)


def cholesky_rows() -> Iterator[Row]:
    for dtype in (f32, f64, c64, c128):
        yield Row(factorisations.CHOLESKY, (positive((3, 3), dtype),), {"execute": dtype in (f32, c128)})
    for batch in BATCHES[1:]:
        for n in (0, 1, 2):
            yield Row(factorisations.CHOLESKY, (positive((*batch, n, n), f64),), {"execute": False})
    yield Row(factorisations.CHOLESKY, (np.float32([[[1, 0], [0, -1]], [[4, 9], [2, 2]]]),), {"wrt": ()})


def triangular_rows() -> Iterator[Row]:
    for flags in itertools.product((False, True), repeat=5):
        left, lower, transposed, _, unit = flags
        a, b = matrices((2, 3, 3), c128), matrices((2, 3, 2) if left else (2, 2, 3), c128, 1)
        more = {"execute": left == lower == unit, "second_order": transposed == unit}
        yield Row(triangular.TriangularSolve(*flags), (a, b), more)
    for left, dtype in itertools.product((False, True), (f32, c64)):
        op = triangular.TriangularSolve(left, True, False, False, False)
        a, b = matrices((3, 3), dtype), matrices((3, 5) if left else (5, 3), dtype, 1)
        yield Row(op, (a, b), {"execute": dtype == f32})
        for shape in ((0, 0), (1, 1), (0, 2)):
            a, b = matrices((2, shape[0], shape[0]), f64), matrices((2, *(shape if left else shape[::-1])), f64, 1)
            yield Row(op, (a, b), {"execute": False})
    singular = np.float64([[1, 0], [2, 0]])
    yield Row(triangular.TriangularSolve(True, True, False, False, False), (singular, np.eye(2)), {"wrt": ()})


ROWS: list[Row] = [*cholesky_rows(), *triangular_rows()]
