"""Reductions over the elements that are not NaN."""

from __future__ import annotations

import math
from typing import Any

from functrans import lax
from functrans.numpy import reductions
from functrans.numpy.comparison import isnan
from functrans.numpy.families import as_one_program
from functrans.numpy.promotion import INEXACT, Array, ArrayLike, as_array, scalar_of_kind, select
from functrans.numpy.reductions import Axis


def _without_nan(operation: str, a: ArrayLike, value: Any) -> tuple[Any, Any]:
    """The array with ``value`` in place of NaNs, and the mask of NaNs (None for integers)."""
    x = as_array(operation, a)
    if x.dtype not in INEXACT:
        return x, None
    mask = isnan(x)
    return select(mask, scalar_of_kind(value, x.dtype), x), mask


@as_one_program
def nansum(
    a: ArrayLike, axis: Axis = None, dtype: Any = None, out: None = None, keepdims: bool = False,
    initial: ArrayLike | None = None, where: ArrayLike | None = None,
) -> Array:  # fmt: skip
    """The sum over ``axis`` of the elements that are not NaN.

    >>> import functrans.numpy as fnp
    >>> fnp.nansum(fnp.array([1., fnp.nan]))
    Array(1., dtype=float32)
    """
    return reductions.sum(_without_nan("nansum", a, 0)[0], axis, dtype, out, keepdims, initial, where)


@as_one_program
def nanprod(
    a: ArrayLike, axis: Axis = None, dtype: Any = None, out: None = None, keepdims: bool = False,
    initial: ArrayLike | None = None, where: ArrayLike | None = None,
) -> Array:  # fmt: skip
    """The product over ``axis`` of the elements that are not NaN."""
    return reductions.prod(_without_nan("nanprod", a, 1)[0], axis, dtype, out, keepdims, initial, where)


def _nan_extreme(operation: str, function: Any, value: float, a: Any, axis: Any, out: Any, keep: bool, initial: Any,
                 where: Any) -> Array:  # fmt: skip
    x, mask = _without_nan(operation, a, value)
    result = function(x, axis, out, keep, initial, where)
    if mask is None or initial is not None:
        return result
    return select(reductions.all(mask, axis, keepdims=keep), math.nan, result)


@as_one_program
def nanmax(
    a: ArrayLike, axis: Axis = None, out: None = None, keepdims: bool = False, initial: ArrayLike | None = None,
    where: ArrayLike | None = None,
) -> Array:  # fmt: skip
    """The largest element over ``axis`` that is not NaN; NaN where there is none."""
    return _nan_extreme("nanmax", reductions.max, -math.inf, a, axis, out, keepdims, initial, where)


@as_one_program
def nanmin(
    a: ArrayLike, axis: Axis = None, out: None = None, keepdims: bool = False, initial: ArrayLike | None = None,
    where: ArrayLike | None = None,
) -> Array:  # fmt: skip
    """The smallest element over ``axis`` that is not NaN; NaN where there is none."""
    return _nan_extreme("nanmin", reductions.min, math.inf, a, axis, out, keepdims, initial, where)


def _numbers(operation: str, mask: Any, where: Any, shape: tuple[int, ...]) -> Any:
    """The mask of elements that count."""
    numbers = lax.bitwise_not(mask)
    return numbers if where is None else lax.bitwise_and(numbers, reductions.mask_of(operation, where, shape))


@as_one_program
def nanmean(
    a: ArrayLike, axis: Axis = None, dtype: Any = None, out: None = None, keepdims: bool = False,
    where: ArrayLike | None = None,
) -> Array:  # fmt: skip
    """The mean over ``axis`` of the elements that are not NaN."""
    x, mask = _without_nan("nanmean", a, 0)
    if mask is not None:
        where = _numbers("nanmean", mask, where, tuple(x.shape))
    return reductions.mean(x, axis, dtype, out, keepdims, where=where)


@as_one_program
def nanvar(
    a: ArrayLike, axis: Axis = None, dtype: Any = None, out: None = None, ddof: int = 0, keepdims: bool = False,
    where: ArrayLike | None = None, mean: ArrayLike | None = None,
) -> Array:  # fmt: skip
    """The variance over ``axis`` of the elements that are not NaN."""
    return _nan_variance("nanvar", a, axis, dtype, out, ddof, keepdims, where, mean, False)


def _nan_variance(
    operation: str, a: Any, axis: Any, dtype: Any, out: Any, ddof: Any, keepdims: bool, where: Any, mean: Any,
    root: bool,
) -> Array:  # fmt: skip
    x, mask = _without_nan(operation, a, 0)
    if mask is not None:
        where = _numbers(operation, mask, where, tuple(x.shape))
    return reductions.variance(operation, x, axis, dtype, out, ddof, keepdims, where, mean, root)


@as_one_program
def nanstd(
    a: ArrayLike, axis: Axis = None, dtype: Any = None, out: None = None, ddof: int = 0, keepdims: bool = False,
    where: ArrayLike | None = None, mean: ArrayLike | None = None,
) -> Array:  # fmt: skip
    """The standard deviation over ``axis`` of the elements that are not NaN."""
    return _nan_variance("nanstd", a, axis, dtype, out, ddof, keepdims, where, mean, True)


def _nan_position(operation: str, function: Any, value: float, a: Any, axis: Any, out: Any, keepdims: Any) -> Array:
    x, mask = _without_nan(operation, a, value)
    result = function(x, axis, out, keepdims)
    return result if mask is None else select(reductions.all(mask, axis, keepdims=bool(keepdims)), -1, result)


@as_one_program
def nanargmax(a: ArrayLike, axis: int | None = None, out: None = None, keepdims: bool | None = None) -> Array:
    """The position of the first largest element that is not NaN; -1 where there is none."""
    return _nan_position("nanargmax", reductions.argmax, -math.inf, a, axis, out, keepdims)


@as_one_program
def nanargmin(a: ArrayLike, axis: int | None = None, out: None = None, keepdims: bool | None = None) -> Array:
    """The position of the first smallest element that is not NaN; -1 where there is none."""
    return _nan_position("nanargmin", reductions.argmin, math.inf, a, axis, out, keepdims)
