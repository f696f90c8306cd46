"""Matrices made of blocks or of the elements of vectors, with the conventions of ``jax.scipy.linalg``."""

from __future__ import annotations

from typing import Any

import numpy as np

from functrans import lax
from functrans.errors import FunctransValueError
from functrans.ir.types import type_of
from functrans.numpy.creation import asarray
from functrans.numpy.promotion import Array, ArrayLike, as_operand, broadcast, common_shape, promote_dtypes
from functrans.numpy.shapes import atleast_2d
from functrans.ops.complex_numbers import conj
from functrans.ops.matrices import INT32


def block_diag(*arrs: ArrayLike) -> Array:
    """A matrix with these matrices along its diagonal (vectors are rows) and zeros elsewhere.

    >>> import functrans.numpy as fnp, functrans.scipy.linalg as linalg
    >>> linalg.block_diag(fnp.array([[1., 2.]]), 3.).tolist()
    [[1.0, 2.0, 0.0], [0.0, 0.0, 3.0]]
    """
    given = [atleast_2d(asarray(as_operand("block_diag", x))) for x in (arrs or (np.zeros((1, 0), np.float32),))]
    for i, x in enumerate(given):
        if type_of(x).ndim > 2:
            raise FunctransValueError(f"block_diag: matrices are needed, argument {i} has shape {type_of(x).shape}")
    blocks = promote_dtypes("block_diag", *given)
    width = sum(type_of(x).shape[1] for x in blocks)
    rows, start = [], 0
    for x in blocks:
        columns = type_of(x).shape[1]
        zero = False if x.dtype == np.bool_ else 0
        rows.append(lax.pad(x, zero, [(0, 0, 0), (start, width - start - columns, 0)]))
        start += columns
    return lax.concatenate(rows, 0)


def _vectors(operation: str, *operands: ArrayLike) -> list[Any]:
    found = promote_dtypes(operation, *[asarray(as_operand(operation, x)) for x in operands])
    return [lax.reshape(x, (1,)) if not type_of(x).ndim else x for x in found]


def _of_one_batch(operation: str, column: Any, row: Any) -> tuple[Any, Any, int, int]:
    """Columns [..., m] and rows [..., n] with the same leading axes, and m and n."""
    (*left, m), (*right, n) = type_of(column).shape, type_of(row).shape
    batch = common_shape(operation, tuple(left), tuple(right))
    return broadcast(column, (*batch, m)), broadcast(row, (*batch, n)), m, n


def _windows(elements: Any, rows: int, columns: int, backward: bool) -> Any:
    """Row i: ``columns`` elements from number i on, or from number rows - 1 - i on if ``backward``."""
    i, j = (lax.broadcasted_iota(INT32, (rows, columns), axis) for axis in (0, 1))
    places = lax.add(lax.sub(rows - 1, i) if backward else i, j)
    return elements[..., places]


def toeplitz(c: ArrayLike, r: ArrayLike | None = None) -> Array:
    """Matrices that are constant along diagonals: ``c`` [..., m] is the first column, ``r`` [..., n] the first row.

    ``r`` is conj(c) by default; its first element is not read.

    >>> import functrans.numpy as fnp, functrans.scipy.linalg as linalg
    >>> linalg.toeplitz(fnp.array([1, 2]), fnp.array([0, 5, 6])).tolist()
    [[1, 5, 6], [2, 1, 5]]
    """
    if r is None:
        (column,) = _vectors("toeplitz", c)
        row = conj(column)
    else:
        column, row = _vectors("toeplitz", c, r)
    column, row, m, n = _of_one_batch("toeplitz", column, row)
    axis = type_of(column).ndim - 1
    elements = lax.concatenate([lax.rev(column, (axis,)), lax.slice_in_dim(row, min(1, n), n, axis=axis)], axis)
    return _windows(elements, m, n, True)


def hankel(c: ArrayLike, r: ArrayLike | None = None) -> Array:
    """Matrices that are constant along antidiagonals: ``c`` [..., m] is the first column, ``r`` [..., n] the last row.

    ``r`` is zero by default; its first element is not read.

    >>> import functrans.numpy as fnp, functrans.scipy.linalg as linalg
    >>> linalg.hankel(fnp.array([1, 2]), fnp.array([0, 5, 6])).tolist()
    [[1, 2, 5], [2, 5, 6]]
    """
    if r is None:
        (column,) = _vectors("hankel", c)
        row = lax.full_like(column, 0)
    else:
        column, row = _vectors("hankel", c, r)
    column, row, m, n = _of_one_batch("hankel", column, row)
    axis = type_of(column).ndim - 1
    elements = lax.concatenate([column, lax.slice_in_dim(row, min(1, n), n, axis=axis)], axis)
    return _windows(elements, m, n, False)


def circulant(c: ArrayLike) -> Array:
    """Matrices [..., n, n] whose columns are the first one, ``c`` [..., n], moved down in a circle.

    >>> import functrans.numpy as fnp, functrans.scipy.linalg as linalg
    >>> linalg.circulant(fnp.array([1, 2, 3])).tolist()
    [[1, 3, 2], [2, 1, 3], [3, 2, 1]]
    """
    (column,) = _vectors("circulant", c)
    n = type_of(column).shape[-1]
    i, j = (lax.broadcasted_iota(INT32, (n, n), axis) for axis in (0, 1))
    difference = lax.sub(i, j)
    return column[..., lax.select(lax.lt(difference, 0), lax.add(difference, n), difference)]


def companion(a: ArrayLike) -> Array:
    """The matrices [..., n - 1, n - 1] whose characteristic polynomials have the coefficients ``a`` [..., n].

    >>> import functrans.numpy as fnp, functrans.scipy.linalg as linalg
    >>> linalg.companion(fnp.array([2., -4., 6.])).tolist()
    [[2.0, -3.0], [1.0, 0.0]]
    """
    (x,) = promote_dtypes("companion", asarray(as_operand("companion", a)), inexact=True)
    shape = type_of(x).shape
    if not shape or shape[-1] < 2:
        raise FunctransValueError(f"companion: two coefficients or more are needed, got shape {shape}")
    n, axis = shape[-1] - 1, len(shape) - 1
    lead = lax.slice_in_dim(x, 0, 1, axis=axis)
    tail = lax.slice_in_dim(x, 1, n + 1, axis=axis)
    first = lax.neg(lax.div(tail, lax.broadcast_in_dim(lead, tail.shape, tuple(range(axis + 1)))))
    full = (*shape[:-1], n, n)
    rows, columns = (lax.broadcasted_iota(INT32, full, i) for i in (axis, axis + 1))
    below = lax.convert_element_type(lax.eq(rows, lax.add(columns, 1)), x.dtype)
    spread = lax.broadcast_in_dim(first, full, (*range(axis), axis + 1))
    return lax.select(lax.eq(rows, 0), spread, below)
