"""Matrices that have a name, under the names of ``jax.scipy.linalg``.

Those of numbers alone are computed on the host, exactly, and rounded once to the default dtype.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from functrans import lax
from functrans import numpy as fnp
from functrans.errors import FunctransValueError
from functrans.ir.types import canonical_dtype, kind_of
from functrans.numpy.promotion import Array, ArrayLike, promote_dtypes, static_value
from functrans.scipy.linalg.structured import toeplitz


def _order(name: str, n: Any, least: int = 0) -> int:
    order = operator.index(static_value(name, "n", n))
    if order < least:
        raise FunctransValueError(f"{name}: the order n must be at least {least}, got {order}")
    return order


def _of_numbers(rows: Any, shape: tuple[int, int]) -> Array:
    """Python's numbers, each rounded once."""

    def rounded(x: Any) -> float:
        try:
            return float(x)
        except OverflowError:
            return math.copysign(math.inf, x)

    with np.errstate(over="ignore"):
        values = np.array([[rounded(x) for x in row] for row in rows], np.float64).reshape(shape)
        return fnp.asarray(values.astype(canonical_dtype(np.dtype(np.float64))))


def hilbert(n: int) -> Array:
    """The matrix [n, n] of Hilbert, of 1 / (i + j + 1).

    >>> from functrans.scipy import linalg
    >>> linalg.hilbert(2).round(4).tolist()[0]
    [1.0, 0.5]
    """
    n = _order("hilbert", n)
    return _of_numbers([[1 / (i + j + 1) for j in range(n)] for i in range(n)], (n, n))


def invhilbert(n: int) -> Array:
    """The inverse [n, n] of the matrix of Hilbert: whole numbers.

    >>> from functrans.scipy import linalg
    >>> linalg.invhilbert(2).tolist()
    [[4.0, -6.0], [-6.0, 12.0]]
    """
    n, c = _order("invhilbert", n), math.comb
    rows = [
        [
            (-1) ** (i + j) * (i + j + 1) * c(n + i, n - j - 1) * c(n + j, n - i - 1) * c(i + j, i) ** 2
            for j in range(n)
        ]
        for i in range(n)
    ]
    return _of_numbers(rows, (n, n))


def _kind(name: str, kind: str | None) -> str:
    if kind not in (None, "symmetric", "lower", "upper"):
        raise FunctransValueError(f"{name}: kind must be 'symmetric', 'lower' or 'upper', got {kind!r}")
    return kind or "symmetric"


def pascal(n: int, kind: str | None = None) -> Array:
    """The matrix [n, n] of Pascal, of binomial coefficients (in the default float dtype).

    Args:
      n: the order.
      kind: 'symmetric' (the default), 'lower' or 'upper'.

    Raises:
      ValueError: another kind, or a negative order.

    >>> from functrans.scipy import linalg
    >>> linalg.pascal(3).tolist()
    [[1.0, 1.0, 1.0], [1.0, 2.0, 3.0], [1.0, 3.0, 6.0]]
    """
    n, kind = _order("pascal", n), _kind("pascal", kind)
    entry: Callable[[int, int], int] = {
        "symmetric": lambda i, j: math.comb(i + j, i), "lower": lambda i, j: math.comb(i, j),
        "upper": lambda i, j: math.comb(j, i),
    }[kind]  # fmt: skip
    return _of_numbers([[entry(i, j) for j in range(n)] for i in range(n)], (n, n))


def invpascal(n: int, kind: str | None = None) -> Array:
    """The inverse of ``pascal(n, kind)``: whole numbers.

    >>> from functrans.scipy import linalg
    >>> linalg.invpascal(2).tolist()
    [[2.0, -1.0], [-1.0, 1.0]]
    """
    n, kind = _order("invpascal", n), _kind("invpascal", kind)
    lower = [[(-1) ** (i + j) * math.comb(i, j) for j in range(n)] for i in range(n)]
    entry: Callable[[int, int], int] = {
        "lower": lambda i, j: lower[i][j], "upper": lambda i, j: lower[j][i],
        "symmetric": lambda i, j: sum(lower[k][i] * lower[k][j] for k in range(n)),
    }[kind]  # fmt: skip
    return _of_numbers([[entry(i, j) for j in range(n)] for i in range(n)], (n, n))


def helmert(n: int, full: bool = False) -> Array:
    """The matrix of Helmert: n - 1 orthonormal rows [n - 1, n] whose sums are 0; if ``full``, with the constant row.

    >>> from functrans.scipy import linalg
    >>> linalg.helmert(2).round(4)
    Array([[ 0.7071, -0.7071]], dtype=float32)
    """
    n = _order("helmert", n, 1)
    rows = [
        [(1.0 if j < k else -k if j == k else 0.0) / math.sqrt(k * (k + 1)) for j in range(n)] for k in range(1, n)
    ]
    if full:
        rows.insert(0, [1 / math.sqrt(n)] * n)
    return _of_numbers(rows, (len(rows), n))


def hadamard(n: int, dtype: Any = int) -> Array:
    """The matrix [n, n] of Hadamard, of 1 and -1 with orthogonal rows, for a power n of two.

    Raises:
      ValueError: n is no power of two.

    >>> from functrans.scipy import linalg
    >>> linalg.hadamard(2).tolist()
    [[1, 1], [1, -1]]
    """
    n = _order("hadamard", n, 1)
    if n & (n - 1):
        raise FunctransValueError(f"hadamard: the order must be a power of two, got {n}")
    i = np.arange(n)
    both = i[:, None] & i
    odd = np.zeros_like(both)
    for bit in range(n.bit_length()):
        odd ^= (both >> bit) & 1
    return fnp.asarray(1 - 2 * odd, dtype=canonical_dtype(np.dtype(dtype)))


def dft(n: int, scale: str | None = None, *, dtype: Any = None) -> Array:
    """The matrix [n, n] of the discrete Fourier transform, of exp(-2 pi i j k / n).

    Args:
      n: the order.
      scale: None, 'sqrtn' (divided by sqrt(n): unitary) or 'n' (divided by n).
      dtype: complex; the default complex dtype where it is None.

    Raises:
      ValueError: another scale, or a dtype that is not complex.

    >>> from functrans.scipy import linalg
    >>> linalg.dft(2).real.round(4).tolist()
    [[1.0, 1.0], [1.0, -1.0]]
    """
    n = _order("dft", n)
    if scale not in (None, "sqrtn", "n"):
        raise FunctransValueError(f"dft: scale must be None, 'sqrtn' or 'n', got {scale!r}")
    chosen = canonical_dtype(np.dtype(np.complex128 if dtype is None else dtype))
    if kind_of(chosen) != "c":
        raise FunctransValueError(f"dft: the dtype must be complex, got {dtype}")
    turns = (np.arange(n)[:, None] * np.arange(n)) % max(n, 1)
    values = np.exp(-2j * np.pi * turns / max(n, 1)) / {None: 1.0, "sqrtn": math.sqrt(max(n, 1)), "n": n or 1}[scale]
    return fnp.asarray(values.astype(chosen))


def leslie(f: ArrayLike, s: ArrayLike) -> Array:
    """The matrices of Leslie [..., n, n]: ``f`` [..., n] in the first row, ``s`` [..., n - 1] below the diagonal.

    Raises:
      ValueError: fewer than two elements of f, or not one fewer of s.

    >>> import functrans.numpy as fnp
    >>> from functrans.scipy import linalg
    >>> linalg.leslie(fnp.array([1., 2.]), fnp.array([0.5])).tolist()
    [[1.0, 2.0], [0.5, 0.0]]
    """
    first, below = (fnp.atleast_1d(fnp.asarray(x)) for x in promote_dtypes("leslie", fnp.asarray(f), fnp.asarray(s)))
    n = first.shape[-1]
    if n < 2 or below.shape[-1] != n - 1:
        raise FunctransValueError(
            f"leslie: f must have at least two elements and s one fewer, got shapes {tuple(first.shape)} and "
            f"{tuple(below.shape)}"
        )
    i, j = np.arange(n)[:, None], np.arange(n)
    spread = below[..., np.minimum(j, n - 2)][..., None, :]
    return fnp.where(i == 0, first[..., None, :], fnp.where(i == j + 1, spread, fnp.zeros_like(spread)))


def fiedler(a: ArrayLike) -> Array:
    """The symmetric matrices of Fiedler [..., n, n] of a [..., n]: abs(a_i - a_j).

    >>> import functrans.numpy as fnp
    >>> from functrans.scipy import linalg
    >>> linalg.fiedler(fnp.array([1., 4.])).tolist()
    [[0.0, 3.0], [3.0, 0.0]]
    """
    x = fnp.atleast_1d(fnp.asarray(a))
    return fnp.abs(fnp.subtract(x[..., None], x[..., None, :]))


def fiedler_companion(a: ArrayLike) -> Array:
    """The pentadiagonal matrices [..., n - 1, n - 1] whose eigenvalues are the roots of polynomials ``a`` [..., n].

    Raises:
      ValueError: no coefficients.

    >>> import functrans.numpy as fnp
    >>> from functrans.scipy import linalg
    >>> linalg.fiedler_companion(fnp.array([1., -16., 86., -176.])).tolist()
    [[16.0, -86.0, 1.0], [1.0, 0.0, 0.0], [0.0, 176.0, 0.0]]
    """
    (x,) = promote_dtypes("fiedler_companion", fnp.asarray(a), inexact=True)
    x = fnp.atleast_1d(fnp.asarray(x))
    if not x.shape[-1]:
        raise FunctransValueError(f"fiedler_companion: a coefficient is needed, got shape {tuple(x.shape)}")
    n = x.shape[-1] - 1
    if not n:
        return fnp.zeros((*x.shape[:-1], 0, 0), x.dtype)
    scaled = -(x / x[..., :1])
    source, ones = np.zeros((n, n), int), np.zeros((n, n))  # which coefficient stands there, and where there are ones
    source[0, 0] = 1
    ones[1:2, 0] = 1.0
    for i in range(n):
        for j, value in ((i + 1, i + 2), (i - 1, i + 1)) if i % 2 == 0 else ():
            if 0 <= j < n:
                source[i, j] = value
        j = i + 2 if i % 2 == 0 else i - 2
        if 0 <= j < n:
            ones[i, j] = 1.0
    return fnp.where(source > 0, scaled[..., source], fnp.asarray(ones.astype(x.dtype)))


def convolution_matrix(a: ArrayLike, n: int, mode: str = "full") -> Array:
    """The matrices A with A v = convolve(a, v, mode) for vectors v [n]: a [..., m] -> [..., k, n].

    Args:
      a: ``[..., m]``.
      n: how many columns.
      mode: 'full' (k = m + n - 1), 'same' (k = max(m, n)) or 'valid' (k = max(m, n) - min(m, n) + 1).

    Raises:
      ValueError: another mode, no elements, or n < 1.

    >>> import functrans.numpy as fnp
    >>> from functrans.scipy import linalg
    >>> linalg.convolution_matrix(fnp.array([1., 2.]), 2).tolist()
    [[1.0, 0.0], [2.0, 1.0], [0.0, 2.0]]
    """
    n = _order("convolution_matrix", n, 1)
    x = fnp.asarray(a)
    if not x.ndim or not x.shape[-1]:
        raise FunctransValueError(f"convolution_matrix: a vector with elements is needed, got shape {tuple(x.shape)}")
    if mode not in ("full", "same", "valid"):
        raise FunctransValueError(f"convolution_matrix: mode must be 'full', 'same' or 'valid', got {mode!r}")
    m, edges = x.shape[-1], [(0, 0, 0)] * (x.ndim - 1) + [(0, n - 1, 0)]
    zero = x.dtype.type(0)
    column, row = lax.pad(x, zero, edges), lax.pad(x[..., :1], zero, edges)
    whole = toeplitz(column, row)
    lost = {"full": 0, "same": min(m, n) - 1, "valid": 2 * (min(m, n) - 1)}[mode]
    start = lost // 2
    return whole[..., start : start + m + n - 1 - lost, :]


__all__ = [
    "convolution_matrix", "dft", "fiedler", "fiedler_companion", "hadamard", "helmert", "hilbert", "invhilbert",
    "invpascal", "leslie", "pascal",
]  # fmt: skip
