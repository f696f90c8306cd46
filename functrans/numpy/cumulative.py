"""Running sums and products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from functrans import lax
from functrans.errors import FunctransValueError
from functrans.numpy.comparison import isnan
from functrans.numpy.families import one_program
from functrans.numpy.promotion import (
    BOOL,
    INEXACT,
    Array,
    ArrayLike,
    as_array,
    axis_index,
    requested_dtype,
    select,
    to_dtype,
)
from functrans.numpy.reductions import integer_sum_dtype
from functrans.trace.keywords import refuse


def _running(
    operation: str, primitive: Callable[..., Any], neutral: int, a: ArrayLike, axis: int | None, dtype: Any, out: Any,
    without_nan: bool = False, promote_integers: bool = False,
) -> Array:  # fmt: skip
    if out is not None:
        refuse(operation, out=out)
    x = as_array(operation, a)
    if axis is None or not x.shape:
        x = lax.reshape(x, (x.size if not hasattr(x, "type") else x.type.size,))
    axis = axis_index(operation, 0 if axis is None else axis, len(x.shape))
    if without_nan and x.dtype in INEXACT:
        x = select(isnan(x), neutral, x)
    if dtype is None:
        result = integer_sum_dtype(x.dtype) if promote_integers or x.dtype == BOOL else x.dtype
    else:
        result = requested_dtype(operation, dtype)
    computed = result
    if result == BOOL:  # any or all so far: 1 and -1 are not to cancel
        x, computed = (x if x.dtype == BOOL else to_dtype(x, BOOL)), integer_sum_dtype(BOOL)
    return to_dtype(primitive(to_dtype(x, computed), axis), result)


@one_program("axis", "dtype", "out")
def cumsum(a: ArrayLike, axis: int | None = None, dtype: Any = None, out: None = None) -> Array:
    """The running sum along ``axis``, without one of the flattened array.

    >>> import functrans.numpy as fnp
    >>> fnp.cumsum(fnp.array([1., 2., 3.]))
    Array([1., 3., 6.], dtype=float32)
    """
    return _running("cumsum", lax.cumsum, 0, a, axis, dtype, out)


@one_program("axis", "dtype", "out")
def cumprod(a: ArrayLike, axis: int | None = None, dtype: Any = None, out: None = None) -> Array:
    """The running product along ``axis``, without one of the flattened array.

    >>> import functrans.numpy as fnp
    >>> fnp.cumprod(fnp.array([1., 2., 3.]))
    Array([1., 2., 6.], dtype=float32)
    """
    return _running("cumprod", lax.cumprod, 1, a, axis, dtype, out)


@one_program("axis", "dtype", "out")
def nancumsum(a: ArrayLike, axis: int | None = None, dtype: Any = None, out: None = None) -> Array:
    """The running sum with NaNs counted as 0."""
    return _running("nancumsum", lax.cumsum, 0, a, axis, dtype, out, without_nan=True)


@one_program("axis", "dtype", "out")
def nancumprod(a: ArrayLike, axis: int | None = None, dtype: Any = None, out: None = None) -> Array:
    """The running product with NaNs counted as 1."""
    return _running("nancumprod", lax.cumprod, 1, a, axis, dtype, out, without_nan=True)


def _with_initial(
    operation: str, primitive: Callable[..., Any], neutral: int, x: ArrayLike, axis: int | None, dtype: Any,
    include_initial: bool,
) -> Array:  # fmt: skip
    array = as_array(operation, x)
    rank = len(array.shape)
    if not rank or (axis is None and rank > 1):
        raise FunctransValueError(
            f"{operation}: an array of rank 1, or an axis, is needed; got shape {tuple(array.shape)} and axis {axis}"
        )
    axis = axis_index(operation, 0 if axis is None else axis, rank)
    result = _running(operation, primitive, neutral, array, axis, dtype, None, promote_integers=not neutral)
    if not include_initial:
        return result
    first = lax.full((*array.shape[:axis], 1, *array.shape[axis + 1 :]), neutral, np.dtype(result.dtype))
    return lax.concatenate([first, result], axis)


@one_program("axis", "dtype", "include_initial")
def cumulative_sum(
    x: ArrayLike, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Array:
    """The running sum along ``axis`` (needed for rank 2 and more), after a 0 with ``include_initial``.

    >>> import functrans.numpy as fnp
    >>> fnp.cumulative_sum(fnp.array([1., 2.]), include_initial=True)
    Array([0., 1., 3.], dtype=float32)
    """
    return _with_initial("cumulative_sum", lax.cumsum, 0, x, axis, dtype, include_initial)


@one_program("axis", "dtype", "include_initial")
def cumulative_prod(
    x: ArrayLike, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Array:
    """The running product along ``axis`` (needed for rank 2 and more), after a 1 with ``include_initial``."""
    return _with_initial("cumulative_prod", lax.cumprod, 1, x, axis, dtype, include_initial)


__all__ = ["cumprod", "cumsum", "cumulative_prod", "cumulative_sum", "nancumprod", "nancumsum"]
