"""Differences, slopes, integrals, interpolation and polynomials of sampled functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from functrans import lax
from functrans.errors import FunctransValueError
from functrans.numpy.arithmetic import absolute, add, multiply, remainder, subtract, true_divide
from functrans.numpy.comparison import not_equal
from functrans.numpy.creation import asarray, full_like
from functrans.numpy.grids import diagonal
from functrans.numpy.joining import concatenate
from functrans.numpy.promotion import (
    BOOL,
    COMPLEX,
    Array,
    ArrayLike,
    as_operand,
    axis_index,
    axis_indices,
    broadcast,
    is_scalar,
    operand_type,
    promote_dtypes,
    strengthened,
)
from functrans.numpy.reductions import sum as sum_over
from functrans.numpy.selection import take, where
from functrans.numpy.shapes import broadcast_arrays, ravel
from functrans.numpy.sorting import searchsorted
from functrans.trace.keywords import refuse


def _cut(x: Any, axis: int, start: int, stop: int, step: int = 1) -> Any:
    """x[start:stop:step] on one axis."""
    n = x.shape[axis]
    start, stop, step = slice(start, stop if stop else None, step).indices(n)
    starts, limits, strides = [0] * x.ndim, list(x.shape), [1] * x.ndim
    starts[axis], limits[axis], strides[axis] = start, max(start, stop), step
    return lax.slice(x, starts, limits, None if step == 1 else strides)


def diff(
    a: ArrayLike, n: int = 1, axis: int = -1, prepend: ArrayLike | None = None, append: ArrayLike | None = None
) -> Array:
    """Differences of neighbours along ``axis``, ``n`` times over; for bools, whether they differ.

    >>> import functrans.numpy as fnp
    >>> fnp.diff(fnp.array([1, 4, 9]))
    Array([3, 5], dtype=int32)
    """
    x = asarray(as_operand("diff", a))
    if n < 0:
        raise FunctransValueError(f"diff: n must not be negative, got {n}")
    if not n:
        return x
    if not x.ndim:
        raise FunctransValueError("diff: a scalar has no neighbours; at least 1 dimension is needed")
    axis = axis_index("diff", axis, x.ndim)
    parts = []
    for end in (prepend, x, append):
        if end is None:
            continue
        end = asarray(as_operand("diff", end))
        if end is not x and not end.ndim:
            end = broadcast(end, (*x.shape[:axis], 1, *x.shape[axis + 1 :]))
        parts.append(end)
    if len(parts) > 1:
        x = concatenate(parts, axis)
    operation = not_equal if x.dtype == BOOL else subtract
    for _ in range(n):
        x = operation(_cut(x, axis, 1, 0), _cut(x, axis, 0, -1)) if x.shape[axis] else x
    return x


def ediff1d(ary: ArrayLike, to_end: ArrayLike | None = None, to_begin: ArrayLike | None = None) -> Array:
    """Differences of neighbours of the flattened array, between ``to_begin`` and ``to_end``."""
    x = ravel(ary)
    result = subtract(_cut(x, 0, 1, 0), _cut(x, 0, 0, -1))
    parts = [result if p is result else ravel(asarray(p, x.dtype)) for p in (to_begin, result, to_end) if p is not None]
    return concatenate(parts) if len(parts) > 1 else result


def gradient(
    f: ArrayLike, *varargs: ArrayLike, axis: int | Sequence[int] | None = None, edge_order: int | None = None
) -> Any:
    """Slopes along each of the axes by central differences, one-sided at the ends.

    Spacings: none (1), one scalar for all axes, or one scalar or vector of coordinates an axis.

    >>> import functrans.numpy as fnp
    >>> fnp.gradient(fnp.array([1., 2., 4.]))
    Array([1. , 1.5, 2. ], dtype=float32)
    """
    if edge_order not in (None, 1):
        raise NotImplementedError(f"gradient: edge_order={edge_order} is not supported, only 1")
    x, *spacings = promote_dtypes("gradient", asarray(f), *map(asarray, varargs), inexact=True)
    axes = axis_indices("gradient", axis, x.ndim)
    if not spacings:
        spacings = [1.0] * len(axes)
    elif len(spacings) == 1:
        spacings = spacings * len(axes)
    if len(spacings) != len(axes):
        raise FunctransValueError(f"gradient: {len(spacings)} spacings for {len(axes)} axes")
    slopes = []
    for i, h in zip(axes, spacings, strict=True):
        n = x.shape[i]
        if n < 2:
            raise FunctransValueError(f"gradient: axis {i} of shape {tuple(x.shape)} needs at least 2 samples")
        if not is_scalar(h) and h.ndim:
            if tuple(h.shape) != (n,):
                raise FunctransValueError(f"gradient: coordinates of shape {tuple(h.shape)} for axis {i} of size {n}")
            slopes.append(_uneven_slopes(x, i, h))
            continue
        first = true_divide(subtract(_cut(x, i, 1, 2), _cut(x, i, 0, 1)), h)
        inside = true_divide(subtract(_cut(x, i, 2, 0), _cut(x, i, 0, -2)), multiply(h, 2.0))
        last = true_divide(subtract(_cut(x, i, n - 1, n), _cut(x, i, n - 2, n - 1)), h)
        slopes.append(lax.concatenate([first, inside, last], i))
    return slopes[0] if len(axes) == 1 else slopes


def _uneven_slopes(x: Any, axis: int, at: Any) -> Any:
    """Second-order slopes between unevenly spaced samples (Fornberg 1988, as NumPy uses it)."""
    shape = [1] * x.ndim
    shape[axis] = x.shape[axis] - 1
    steps = lax.reshape(subtract(_cut(at, 0, 1, 0), _cut(at, 0, 0, -1)), shape)
    before, after = _cut(steps, axis, 0, -1), _cut(steps, axis, 1, 0)
    rise = subtract(_cut(x, axis, 1, 0), _cut(x, axis, 0, -1))
    secant = true_divide(rise, steps)
    inside = true_divide(
        add(multiply(_cut(secant, axis, 0, -1), after), multiply(_cut(secant, axis, 1, 0), before)), add(before, after)
    )
    n = secant.shape[axis]
    return lax.concatenate([_cut(secant, axis, 0, 1), inside, _cut(secant, axis, n - 1, n)], axis)


def trapezoid(y: ArrayLike, x: ArrayLike | None = None, dx: ArrayLike = 1.0, axis: int = -1) -> Array:
    """The integral of samples ``y`` along ``axis`` by the trapezoidal rule, at coordinates ``x`` or spacing ``dx``.

    >>> import functrans.numpy as fnp
    >>> fnp.trapezoid(fnp.array([1., 2., 3.]))
    Array(4., dtype=float32)
    """
    if x is None:
        (values,) = promote_dtypes("trapezoid", asarray(y), inexact=True)
        axis = axis_index("trapezoid", axis, values.ndim)
        steps: Any = dx
    else:
        values, at = promote_dtypes("trapezoid", asarray(y), asarray(x), inexact=True)
        along = 0 if at.ndim == 1 else axis_index("trapezoid", axis, at.ndim)  # each counts its own axes
        steps = subtract(_cut(at, along, 1, 0), _cut(at, along, 0, -1))
        axis = axis_index("trapezoid", axis, values.ndim)
        if at.ndim == 1:
            shape = [1] * values.ndim
            shape[axis] = steps.shape[0]
            steps = lax.reshape(steps, shape)
    sums = add(_cut(values, axis, 1, 0), _cut(values, axis, 0, -1))
    return multiply(sum_over(multiply(*broadcast_arrays(sums, steps)), axis), 0.5)


def trace(
    a: ArrayLike, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: None = None
) -> Array:
    """The sum of a diagonal of two axes.

    >>> import functrans.numpy as fnp
    >>> fnp.trace(fnp.eye(3))
    Array(3., dtype=float32)
    """
    refuse("trace", out=out)
    return sum_over(diagonal(a, offset, axis1, axis2), -1, dtype)


_MANY_COEFFICIENTS = 64  # are not written out, and compile in a time that does not depend on their number


def polyval(p: ArrayLike, x: ArrayLike, *, unroll: int | None = 16) -> Array:
    """The polynomial with coefficients ``p`` (highest first, along axis 0) at ``x``, by Horner's scheme.

    ``unroll``: how many steps of the loop over more than 64 coefficients are written out.

    >>> import functrans.numpy as fnp
    >>> fnp.polyval(fnp.array([1., 0., 2.]), 3.)
    Array(11., dtype=float32)
    """
    coefficients, x = map(strengthened, promote_dtypes("polyval", asarray(p), asarray(x)))
    tail = tuple(coefficients.shape[1:])
    if coefficients.shape[0] > _MANY_COEFFICIENTS:
        start = multiply(coefficients[0], full_like(x, 1))
        return lax.scan(lambda y, c: (add(multiply(y, x), c), None), start, coefficients[1:], unroll=unroll or 1)[0]
    zero = (0,) * len(tail)
    result: Any = None
    for i in range(coefficients.shape[0]):
        c = lax.reshape(lax.slice(coefficients, (i, *zero), (i + 1, *tail)), tail)
        result = c if result is None else add(multiply(result, x), c)
    if result is None:
        return multiply(x, 0)
    return add(result, multiply(x, 0)) if coefficients.shape[0] == 1 else result


def interp(
    x: ArrayLike, xp: ArrayLike, fp: ArrayLike, left: Any = None, right: Any = None, period: ArrayLike | None = None
) -> Array:
    """Piecewise linear interpolation at ``x`` of samples fp at increasing coordinates xp (both [n]).

    Beyond the ends: the end values, ``left`` and ``right``, or 'extrapolate'.

    >>> import functrans.numpy as fnp
    >>> fnp.interp(1.5, fnp.array([1., 2.]), fnp.array([10., 20.]))
    Array(15., dtype=float32)
    """
    xp, fp = asarray(xp), asarray(fp)
    if xp.ndim != 1 or tuple(xp.shape) != tuple(fp.shape):
        raise FunctransValueError(
            f"interp: xp and fp must be vectors of one length, got {tuple(xp.shape)} and {tuple(fp.shape)}"
        )
    at, xp = promote_dtypes("interp", asarray(x), xp, inexact=True)
    (fp,) = promote_dtypes("interp", fp, inexact=True)
    if operand_type("interp", at).dtype in COMPLEX:
        raise FunctransValueError("interp: complex coordinates have no order")
    n = xp.shape[0]
    if period is not None and n:
        at, xp, fp = _periodic(at, xp, fp, period)
        n = xp.shape[0]
    if n == 1:
        return where(lax.eq(at, at), broadcast(lax.reshape(fp, (1,) * at.ndim), tuple(at.shape)), at)
    # the segment of x is the number of inner coordinates not above it
    inner = _cut(xp, 0, 1, -1)
    segment = searchsorted(inner, at, "right", method="compare_all" if n <= 16 else "scan")
    low_x, high_x = take(xp, segment, 0, mode="clip"), take(_cut(xp, 0, 1, 0), segment, 0, mode="clip")
    low_f, high_f = take(fp, segment, 0, mode="clip"), take(_cut(fp, 0, 1, 0), segment, 0, mode="clip")
    step = subtract(high_x, low_x)
    flat = lax.eq(step, 0.0)
    fraction = true_divide(subtract(at, low_x), where(flat, 1.0, step))
    result = where(flat, low_f, add(low_f, multiply(subtract(high_f, low_f), fraction)))
    first, last = (_cut(fp, 0, i, i + 1) for i in (0, n - 1))
    low_end, high_end = (_cut(xp, 0, i, i + 1) for i in (0, n - 1))
    ends = tuple(at.shape)
    if left != "extrapolate":
        value = lax.reshape(first, ()) if left is None else left
        result = where(lax.lt(at, lax.broadcast_in_dim(lax.reshape(low_end, ()), ends, ())), value, result)
    if right != "extrapolate":
        value = lax.reshape(last, ()) if right is None else right
        result = where(lax.gt(at, lax.broadcast_in_dim(lax.reshape(high_end, ()), ends, ())), value, result)
    return result


def _periodic(at: Any, xp: Any, fp: Any, period: ArrayLike) -> tuple[Any, Any, Any]:
    """Coordinates within one period, the samples in order, the last one before the first and the first after the last.
    """
    if not is_scalar(period) and len(asarray(period).shape):
        raise FunctransValueError(f"interp: period must be a scalar, got shape {tuple(asarray(period).shape)}")
    period = absolute(period)
    at, xp = remainder(at, period), remainder(xp, period)
    xp, fp = lax.sort_key_val(xp, fp)
    n = xp.shape[0]
    first, last = _cut(xp, 0, 0, 1), _cut(xp, 0, n - 1, n)
    xp = lax.concatenate([subtract(last, period), xp, add(first, period)], 0)
    fp = lax.concatenate([_cut(fp, 0, n - 1, n), fp, _cut(fp, 0, 0, 1)], 0)
    return at, xp, fp


__all__ = ["diff", "ediff1d", "gradient", "interp", "polyval", "trace", "trapezoid"]
