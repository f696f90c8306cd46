"""Sample rows of the primitives that libraries compute for matrices."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from functrans.ops import factorisations, orthogonal, permutations, triangular
from tests.ops.samples import Row, c64, c128, f32, f64, numbers

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


def tridiagonal_rows() -> Iterator[Row]:
    for shape, dtype in (((4,), f32), ((2, 4), c128), ((1,), f64), ((2,), f64), ((0,), f64), ((0, 3), f64)):
        diagonals = [numbers(shape, dtype, seed=1), numbers(shape, dtype, 4.0, 6.0), numbers(shape, dtype, seed=2)]
        operands = (*diagonals, numbers((*shape, 3), dtype, seed=3))
        yield Row(triangular.TRIDIAGONAL_SOLVE, operands, {"execute": dtype == c128})
    singular = np.float64([0, 1, 1]), np.float64([0, 1, 1]), np.float64([0, 1, 1]), np.ones((3, 1))
    yield Row(triangular.TRIDIAGONAL_SOLVE, singular, {"wrt": ()})


BROKEN_PROMISE = {"short axes": "the indices of the sample, which promise to be a permutation, would be out of bounds"}


def permutation_rows() -> Iterator[Row]:
    for pivots, size in (([2, 3, 2, 3], 4), ([4, 1], 5), ([], 2), ([[1, 1], [0, 1]], 2), ([[], []], 0)):
        yield Row(permutations.LuPivotsToPermutation(size), (np.array(pivots, np.int32),))
    for order, columns in (([2, 0, 1], 2), ([[1, 0], [0, 1]], 3), ([], 2), ([1, 0], 0)):
        order = np.array(order, np.int32)
        x = numbers((*order.shape, columns), f32)
        yield Row(permutations.PERMUTE_ROWS, (x, order), {"execute": columns == 2, "without": BROKEN_PROMISE})


SHAPES = [(3, 3), (4, 2), (2, 4), (1, 1), (2, 2, 2), (0, 0), (3, 0), (0, 3), (0, 2, 2), (2, 0, 3)]


def factorisation_rows() -> Iterator[Row]:
    ops = [factorisations.LU, *[orthogonal.Qr(p, f) for p in (False, True) for f in (True, False)]]
    for op, shape in itertools.product(ops, SHAPES):
        deep = len(shape) == 2 and op != orthogonal.Qr(True, True)
        yield Row(op, (matrices(shape, f64),), {"execute": False, "second_order": deep})
    for op, shape in itertools.product(ops, SHAPES[:3]):
        yield Row(op, (matrices(shape, c128),), {"execute": op in ops[:2]})
    for dtype in (f32, c64):
        for op in (*ops, orthogonal.GEQRF):
            yield Row(op, (matrices((3, 2), dtype),), {"execute": False, "wrt": ()})
    yield Row(factorisations.LU, (np.float64([[1, 2], [2, 4]]),), {"wrt": ()})
    for shape in SHAPES:
        yield Row(orthogonal.GEQRF, (matrices(shape, f64),), {"execute": False, "wrt": ()})
    for batch, count in (((), 3), ((2,), 2), ((), 0)):
        taus = numbers((*batch, count), f64, 0.5, 1.0)
        yield Row(orthogonal.HOUSEHOLDER_PRODUCT, (matrices((*batch, 4, 3), f64), taus), {"wrt": ()})
    operands = matrices((3, 2), c128), numbers((2,), c128)
    yield Row(orthogonal.HOUSEHOLDER_PRODUCT, operands, {"execute": False, "wrt": ()})


ROWS: list[Row] = [
    *cholesky_rows(), *triangular_rows(), *tridiagonal_rows(), *permutation_rows(), *factorisation_rows(),
]  # fmt: skip
