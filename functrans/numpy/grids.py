"""Sequences of numbers, grids, and matrices with a pattern: arange, linspace, meshgrid, eye, tri, diag ..."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from functrans import lax
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import scalar_type
from functrans.jaxlib_compat.configuration import rank_promotion
from functrans.jaxlib_compat.tracing import JaxTracer
from functrans.jaxlib_compat.versions import JAX
from functrans.numpy.arithmetic import add, multiply, power, subtract, true_divide
from functrans.numpy.array_api import several
from functrans.numpy.creation import array, asarray, zeros
from functrans.numpy.elementary import log
from functrans.numpy.promotion import (
    BOOL,
    COMPLEX,
    INEXACT,
    Array,
    ArrayLike,
    as_array,
    axis_index,
    broadcast,
    check_ranks,
    common_dtype,
    common_shape,
    inexact_dtype,
    requested_dtype,
    select,
    shape_of,
    static_value,
    strengthened,
    to_dtype,
)
from functrans.numpy.shapes import moveaxis
from functrans.trace.keywords import takes
from functrans.trace.state import current_builder
from functrans.trace.tracer import Tracer

_INDEX = np.dtype(np.int32)


@takes(out_sharding=None)
def arange(start: Any, stop: Any = None, step: Any = None, dtype: Any = None, *, device: Any = None) -> Array:
    """start, start + step, ... below stop; one argument is ``stop``. The arguments must be static.

    Raises TypeError for a traced argument without a value.

    >>> import functrans.numpy as fnp
    >>> fnp.arange(3)
    Array([0, 1, 2], dtype=int32)
    """
    given = [static_value("arange", "an argument", x) for x in (start, stop, step) if x is not None]
    if any(map(np.iscomplexobj, given)):
        raise FunctransValueError(f"arange: complex numbers have no order, got {given}")
    if any(np.ndim(x) for x in given):
        raise FunctransTypeError(f"arange: scalars are needed, got {given}")
    if stop is None and step is not None:
        stop, start = start, 0
        given = [0, *given]
    to = common_dtype("arange", *given)[0] if dtype is None else requested_dtype("arange", dtype)
    if len(given) == 1 and current_builder() is not None and device is None:
        return lax.iota(to, max(0, math.ceil(np.asarray(given[0]).item())))
    values = np.arange(*[np.asarray(x).item() for x in given])
    return jax.device_put(values.astype(to), device)


def _grid_arguments(operation: str, start: Any, stop: Any, num: Any, dtype: Any) -> tuple[int, np.dtype[Any], Any]:
    count = int(static_value(operation, "num", num))
    if count < 0:
        raise FunctransValueError(f"{operation}: num must not be negative, got {count}")
    found = inexact_dtype(common_dtype(operation, start, stop)[0])
    to = found if dtype is None else requested_dtype(operation, dtype)
    return count, to, inexact_dtype(found if to not in INEXACT else to)


def linspace(
    start: ArrayLike, stop: ArrayLike, num: int = 50, endpoint: bool = True, retstep: bool = False, dtype: Any = None,
    axis: int = 0, *, device: Any = None,
) -> Any:  # fmt: skip
    """``num`` evenly spaced numbers from start to stop (without stop if not ``endpoint``), along a new axis.

    Differentiable in start and stop. With ``retstep`` also the spacing.

    >>> import functrans.numpy as fnp
    >>> fnp.linspace(0, 1, 3)
    Array([0. , 0.5, 1. ], dtype=float32)
    """
    start, stop = (np.asarray(x) if isinstance(x, list | tuple) else x for x in (start, stop))
    count, to, computed = _grid_arguments("linspace", start, stop, num, dtype)
    start, stop = (to_dtype(as_array("linspace", x), computed) for x in (start, stop))
    shape = common_shape("linspace", start.shape, stop.shape)
    if rank_promotion() != "allow":
        check_ranks("linspace", start.shape, stop.shape)
    intervals = count - 1 if endpoint else count
    if not any(isinstance(x, JaxTracer) for x in (start, stop)):
        wide: Any = np.complex128 if computed in COMPLEX else np.float64
        exact = np.linspace(np.asarray(start, wide), np.asarray(stop, wide), count, endpoint=endpoint)
        result = asarray(exact.astype(computed))
    elif count == 0:
        result = zeros((0, *shape), computed)
    else:
        start, stop = broadcast(start, shape), broadcast(stop, shape)
        first = lax.reshape(start, (1, *shape))
        if intervals <= 0:
            result = first
        else:
            # start * (1 - t) + stop * t is exact at both ends, which start + t * (stop - start) is not
            full = (intervals, *shape)
            t = broadcast(
                lax.reshape(lax.div(lax.iota(computed, intervals), intervals), (intervals, *(1,) * len(shape))), full
            )
            lower, upper = (lax.broadcast_in_dim(x, full, tuple(range(1, len(full)))) for x in (start, stop))
            result = lax.add(lax.mul(lower, lax.sub(1.0, t)), lax.mul(upper, t))
            if endpoint:
                result = lax.concatenate([result, lax.reshape(stop, (1, *shape))], 0)
    axis = axis_index("linspace", axis, result.ndim)
    if axis:
        order = [*range(1, result.ndim)]
        order.insert(axis, 0)
        result = lax.transpose(result, order)
    if to not in INEXACT and dtype is not None:
        result = lax.floor(result)
    result = to_dtype(result, to)
    if device is not None and type(result) is not Tracer:
        result = jax.device_put(result, device)
    if not retstep:
        return result
    if intervals <= 0:
        return result, array(np.nan, computed)
    return result, true_divide(subtract(stop, start), intervals)


def logspace(
    start: ArrayLike, stop: ArrayLike, num: int = 50, endpoint: bool = True, base: ArrayLike = 10.0, dtype: Any = None,
    axis: int = 0,
) -> Array:  # fmt: skip
    """``num`` numbers evenly spaced on a logarithmic scale, from base**start to base**stop.

    >>> import functrans.numpy as fnp
    >>> fnp.logspace(0, 2, 3)
    Array([  1.,  10., 100.], dtype=float32)
    """
    _, to, computed = _grid_arguments("logspace", start, stop, num, dtype)
    exponents = linspace(start, stop, num, endpoint, dtype=computed, axis=axis)
    if isinstance(base, int | float) and type(exponents) is not Tracer:
        return asarray(np.power(float(base), np.asarray(exponents, np.float64)).astype(to))
    return to_dtype(power(to_dtype(as_array("logspace", base), computed), exponents), to)


def geomspace(
    start: ArrayLike, stop: ArrayLike, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0
) -> Array:
    """``num`` numbers of constant ratio from start to stop, which must not be 0 and have the same sign."""
    _, to, computed = _grid_arguments("geomspace", start, stop, num, dtype)
    start, stop = (asarray(start, computed), asarray(stop, computed))
    sign = lax.sign(start) if computed not in COMPLEX else lax.full(start.shape, 1, computed)
    first, last = multiply(start, sign), multiply(stop, sign)
    exponents = linspace(log(first), log(last), num, endpoint, dtype=computed)
    result = to_dtype(multiply(lax.exp(exponents), broadcast(sign, exponents.shape)), to)
    return moveaxis(result, 0, axis_index("geomspace", axis, result.ndim))


def meshgrid(*xi: ArrayLike, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> Sequence[Array]:
    """Coordinate arrays of a grid from 1-d coordinate vectors.

    >>> import functrans.numpy as fnp
    >>> fnp.meshgrid(fnp.arange(2), fnp.arange(1))[0]
    Array([[0, 1]], dtype=int32)
    """
    if indexing not in ("xy", "ij"):
        raise FunctransValueError(f"meshgrid: indexing must be 'xy' or 'ij', got {indexing!r}")
    vectors = [as_array("meshgrid", x) for x in xi]
    if any(len(v.shape) > 1 for v in vectors):
        raise FunctransValueError(f"meshgrid: vectors are needed, got shapes {[tuple(v.shape) for v in vectors]}")
    vectors = [asarray(v) if v.ndim else lax.reshape(v, (1,)) for v in vectors]
    axes = list(range(len(vectors)))
    if indexing == "xy" and len(axes) >= 2:
        axes[0], axes[1] = 1, 0
    full: list[int] = [1] * len(vectors)
    for axis, v in zip(axes, vectors, strict=True):
        full[axis] = v.shape[0]
    result = []
    for axis, v in zip(axes, vectors, strict=True):
        shape = tuple(full) if not sparse else tuple(n if i == axis else 1 for i, n in enumerate(full))
        result.append(lax.broadcast_in_dim(v, shape, (axis,)))
    return several(result)


def ix_(*args: ArrayLike) -> tuple[Array, ...]:
    """Open index arrays that select the outer product of the given indices."""
    vectors = [asarray(a) for a in args]
    if any(v.ndim != 1 for v in vectors):
        raise FunctransValueError(f"ix_: vectors are needed, got shapes {[tuple(v.shape) for v in vectors]}")
    if any(v.dtype == BOOL for v in vectors):
        vectors = [
            asarray(np.flatnonzero(static_value("ix_", "a bool mask", v))) if v.dtype == BOOL else v for v in vectors
        ]
    rank = len(vectors)
    return tuple(lax.reshape(v, (*(1,) * i, v.shape[0], *(1,) * (rank - 1 - i))) for i, v in enumerate(vectors))


# -- matrices with a pattern ---------------------------------------------------------------------------------------


def _band(rows: int, columns: int, k: Any, compare: Any) -> Array:
    """The bool matrix of compare(i + k, j)."""
    i = lax.broadcasted_iota(_INDEX, (rows, columns), 0)
    j = lax.broadcasted_iota(_INDEX, (rows, columns), 1)
    if isinstance(k, int):
        k = max(-rows - 1, min(k, columns + 1))  # beyond are no elements, and it may be any integer
    if not isinstance(k, int) or k:
        i = add(i, k)
    return compare(i, j)


def eye(N: Any, M: Any = None, k: Any = 0, dtype: Any = None, *, device: Any = None) -> Array:
    """An [N, M] matrix (M = N by default) with ones on diagonal ``k``.

    >>> import functrans.numpy as fnp
    >>> fnp.eye(2)
    Array([[1., 0.],
           [0., 1.]], dtype=float32)
    """
    to = scalar_type(float).dtype if dtype is None else requested_dtype("eye", dtype)
    rows = operator.index(static_value("eye", "N", N))
    columns = rows if M is None else operator.index(static_value("eye", "M", M))
    if rows < 0 or columns < 0:
        raise FunctransValueError(f"eye: sizes cannot be negative, got {(rows, columns)}")
    return to_dtype(_band(rows, columns, k, lax.eq), to)


def identity(n: Any, dtype: Any = None) -> Array:
    """The [n, n] identity matrix."""
    return eye(n, dtype=dtype)


def tri(N: int, M: int | None = None, k: int = 0, dtype: Any = None) -> Array:
    """An [N, M] matrix with ones at and below diagonal ``k``."""
    default = scalar_type(float).dtype if JAX >= (0, 12) else np.dtype(np.float32)
    to = default if dtype is None else requested_dtype("tri", dtype)
    return to_dtype(_band(N, N if M is None else M, k, lax.ge), to)


def _triangle(operation: str, m: ArrayLike, k: Any, lower: bool) -> Array:
    x = as_array(operation, m)
    if len(x.shape) < 2:
        raise FunctransValueError(f"{operation}: at least 2 dimensions are needed, got shape {tuple(x.shape)}")
    keep = _band(  # type: ignore[call-arg]
        *x.shape[-2:], k if lower else subtract(k, 1) if not isinstance(k, int) else k - 1, lax.ge if lower else lax.lt
    )
    return select(broadcast(keep, tuple(x.shape)), x, 0)


def tril(m: ArrayLike, k: int = 0) -> Array:
    """The lower triangle of the last two axes: zeros above diagonal ``k``.

    >>> import functrans.numpy as fnp
    >>> fnp.tril(fnp.ones((2, 2)))
    Array([[1., 0.],
           [1., 1.]], dtype=float32)
    """
    return _triangle("tril", m, k, True)


def triu(m: ArrayLike, k: int = 0) -> Array:
    """The upper triangle of the last two axes: zeros below diagonal ``k``."""
    return _triangle("triu", m, k, False)


def tril_indices(n: int, k: int = 0, m: int | None = None) -> tuple[Array, Array]:
    """Row and column indices of the lower triangle of an [n, m] matrix."""
    rows, columns = np.tril_indices(operator.index(n), k, m)
    return asarray(rows), asarray(columns)


def triu_indices(n: int, k: int = 0, m: int | None = None) -> tuple[Array, Array]:
    """Row and column indices of the upper triangle of an [n, m] matrix."""
    rows, columns = np.triu_indices(operator.index(n), k, m)
    return asarray(rows), asarray(columns)


def diag_indices(n: int, ndim: int = 2) -> tuple[Array, ...]:
    """Indices of the main diagonal of an array with ``ndim`` axes of size n."""
    return (arange(operator.index(n)),) * ndim


def diagonal(a: ArrayLike, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
    """The diagonal of two axes, as the last axis of the result.

    >>> import functrans.numpy as fnp
    >>> fnp.diagonal(fnp.array([[1, 2], [3, 4]]))
    Array([1, 4], dtype=int32)
    """
    x = as_array("diagonal", a)
    rank = len(x.shape)
    if rank < 2:
        raise FunctransValueError(f"diagonal: at least 2 dimensions are needed, got shape {tuple(x.shape)}")
    first, second = axis_index("diagonal", axis1, rank), axis_index("diagonal", axis2, rank)
    if first == second:
        raise FunctransValueError(f"diagonal: axis1 and axis2 are both axis {first}; they must be two axes")
    rows, columns = x.shape[first], x.shape[second]
    length = max(0, min(rows, columns - offset) if offset >= 0 else min(rows + offset, columns))
    rest = [i for i in range(rank) if i not in (first, second)]
    x = lax.transpose(x, (*rest, first, second))
    kept = tuple(x.shape[:-2])
    if not length:
        return zeros((*kept, 0), x.dtype)
    # Neighbours on a diagonal are columns + 1 apart in row-major order: a strided slice instead of a gather.
    begin = offset if offset >= 0 else -offset * columns
    flat = lax.reshape(x, (*kept, rows * columns))
    end = begin + (length - 1) * (columns + 1) + 1
    return lax.slice(flat, (*(0,) * len(kept), begin), (*kept, end), (*(1,) * len(kept), columns + 1))


def diag(v: ArrayLike, k: int = 0) -> Array:
    """The matrix with the vector ``v`` on diagonal ``k``, or diagonal ``k`` of the matrix ``v``.

    >>> import functrans.numpy as fnp
    >>> fnp.diag(fnp.array([1, 2]))
    Array([[1, 0],
           [0, 2]], dtype=int32)
    """
    x = as_array("diag", v)
    if len(x.shape) == 2:
        return diagonal(x, k)
    if len(x.shape) != 1:
        raise FunctransValueError(f"diag: a vector or a matrix is needed, got shape {tuple(x.shape)}")
    n = x.shape[0]
    size = n + abs(k)
    if not n:
        return zeros((size, size), x.dtype)
    before = k if k >= 0 else -k * size
    after = size * size - before - (n + (n - 1) * size)
    return lax.reshape(lax.pad(x, 0, ((before, after, size),)), (size, size))


def diagflat(v: ArrayLike, k: int = 0) -> Array:
    """The matrix with the elements of ``v`` in row-major order on diagonal ``k``."""
    x = asarray(v)
    return strengthened(diag(lax.reshape(x, (x.size,)), k))


def vander(x: ArrayLike, N: int | None = None, increasing: bool = False) -> Array:
    """The Vandermonde matrix: columns are powers of the vector ``x``, the highest first unless ``increasing``.

    >>> import functrans.numpy as fnp
    >>> fnp.vander(fnp.array([2, 3]), increasing=True)
    Array([[1, 2],
           [1, 3]], dtype=int32)
    """
    x = strengthened(as_array("vander", x))
    if len(x.shape) != 1:
        raise FunctransValueError(f"vander: a vector is needed, got shape {tuple(x.shape)}")
    n = x.shape[0] if N is None else N
    if n < 0:
        raise FunctransValueError(f"vander: N must not be negative, got {n}")
    columns = [
        lax.reshape(lax.integer_pow(x, i), (*x.shape, 1)) for i in (range(n) if increasing else range(n - 1, -1, -1))
    ]
    return lax.concatenate(columns, 1) if columns else zeros((*shape_of(x), 0), x.dtype)
