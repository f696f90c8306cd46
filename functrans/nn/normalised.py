"""Functions that normalise along axes: softmax and its logarithms, one-hot coding, standardisation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from functrans import lax
from functrans.errors import FunctransValueError
from functrans.ir.types import scalar_type
from functrans.numpy import reductions
from functrans.numpy.arithmetic import absolute, multiply, sign, subtract
from functrans.numpy.comparison import equal
from functrans.numpy.creation import asarray
from functrans.numpy.elementary import exp, log
from functrans.numpy.promotion import (
    COMPLEX,
    Array,
    ArrayLike,
    as_array,
    axis_index,
    axis_indices,
    broadcast,
    common_shape,
    promote_dtypes,
    requested_dtype,
    to_dtype,
)
from functrans.numpy.selection import where as choose_where

_INT32 = np.dtype(np.int32)


def _shifted(x: Any, axes: tuple[int, ...], where: Any) -> tuple[Any, Any]:
    """x less its finite maximum over the axes, which carries no derivative, and that maximum with the axes kept."""
    real = lax.real(x) if x.dtype in COMPLEX else x
    largest = lax.stop_gradient(reductions.max(real, axes, keepdims=True, initial=-math.inf, where=where))
    largest = choose_where(lax.is_finite(largest), largest, 0.0)
    return subtract(x, to_dtype(largest, x.dtype)), largest


def logsumexp(
    a: ArrayLike, axis: Any = None, b: ArrayLike | None = None, keepdims: bool = False, return_sign: bool = False,
    where: ArrayLike | None = None,
) -> Any:  # fmt: skip
    """log(sum(b * exp(a))) over ``axis`` without overflow; with ``return_sign`` of the absolute sum, and its sign.

    >>> import functrans.numpy as fnp
    >>> from functrans import nn
    >>> nn.logsumexp(fnp.array([1000., -1000.]))
    Array(1000., dtype=float32)
    """
    if b is not None:
        x, weights = promote_dtypes("logsumexp", asarray(a), asarray(b), inexact=True)
        shape = common_shape("logsumexp", tuple(x.shape), tuple(weights.shape))
        x, weights = broadcast(x, shape), broadcast(weights, shape)
        where = (
            lax.ne(weights, 0.0)
            if where is None
            else lax.bitwise_and(lax.ne(weights, 0.0), as_array("logsumexp", where))
        )
    else:
        (x,) = promote_dtypes("logsumexp", asarray(a), inexact=True)
        weights = None
    axes = axis_indices("logsumexp", axis, x.ndim)
    shifted, largest = _shifted(x, axes, where)
    terms = exp(shifted)
    if weights is not None:
        terms = multiply(weights, terms)
    total = reductions.sum(terms, axes, keepdims=keepdims, where=where)
    largest = to_dtype(largest if keepdims else lax.reshape(largest, tuple(total.shape)), total.dtype)
    if return_sign:
        return lax.add(to_dtype(log(absolute(total)), largest.dtype), largest), sign(total)
    if total.dtype not in COMPLEX:
        total = choose_where(lax.lt(total, 0.0), math.nan, total) if weights is not None else total
    return lax.add(log(total), largest)


def logmeanexp(
    x: ArrayLike, axis: Any = None, where: ArrayLike | None = None, keepdims: bool = False
) -> Array:
    """log(mean(exp(x))) over ``axis`` without overflow, of the elements that ``where`` leaves.

    >>> import functrans.numpy as fnp
    >>> from functrans import nn
    >>> nn.logmeanexp(fnp.array([1000., 1000.]))
    Array(1000., dtype=float32)
    """
    total = logsumexp(x, axis, where=where, keepdims=keepdims)
    shape = tuple(asarray(x).shape)
    if where is None:
        count: Any = math.prod(shape[i] for i in axis_indices("logmeanexp", axis, len(shape)))
    else:
        kept = broadcast(as_array("logmeanexp", where), shape)
        count = reductions.sum(to_dtype(kept, total.dtype), axis, keepdims=keepdims)
    return subtract(total, log(to_dtype(count, total.dtype)))


def softmax(x: ArrayLike, axis: Any = -1, where: ArrayLike | None = None) -> Array:
    """exp(x) / sum(exp(x)) over ``axis``, without overflow; masked elements give 0.

    >>> import functrans.numpy as fnp
    >>> from functrans import nn
    >>> nn.softmax(fnp.array([0., 0.]))
    Array([0.5, 0.5], dtype=float32)
    """
    (x,) = promote_dtypes("softmax", asarray(x), inexact=True)
    axes = axis_indices("softmax", axis, x.ndim)
    terms = exp(_shifted(x, axes, where)[0])
    if where is not None:
        terms = choose_where(where, terms, 0.0)
    return lax.div(terms, broadcast(reductions.sum(terms, axes, keepdims=True), tuple(terms.shape)))


def log_softmax(x: ArrayLike, axis: Any = -1, where: ArrayLike | None = None) -> Array:
    """log(softmax(x)), without underflow; masked elements give -inf."""
    (x,) = promote_dtypes("log_softmax", asarray(x), inexact=True)
    axes = axis_indices("log_softmax", axis, x.ndim)
    shifted, _ = _shifted(x, axes, where)
    total = log(reductions.sum(exp(shifted), axes, keepdims=True, where=where))
    result = subtract(shifted, total)
    return result if where is None else choose_where(where, result, -math.inf)


def one_hot(x: ArrayLike, num_classes: int, *, dtype: Any = None, axis: int = -1) -> Array:
    """Integers as unit vectors along a new axis of size ``num_classes``; zeros for integers outside.

    >>> from functrans import nn
    >>> nn.one_hot(1, 3)
    Array([0., 1., 0.], dtype=float32)
    """
    x = asarray(x)
    axis = axis_index("one_hot", axis, x.ndim + 1)
    if num_classes < 0:
        raise FunctransValueError(f"one_hot: num_classes must not be negative, got {num_classes}")
    to = scalar_type(float).dtype if dtype is None else requested_dtype("one_hot", dtype)
    shape = (*x.shape[:axis], num_classes, *x.shape[axis:])
    spread = lax.broadcast_in_dim(x, shape, tuple(i for i in range(len(shape)) if i != axis))
    classes = lax.broadcasted_iota(x.dtype if x.dtype.kind in "iuf" else _INT32, shape, axis)
    return to_dtype(equal(spread, classes), to)


def standardize(
    x: ArrayLike, axis: Any = -1, mean: ArrayLike | None = None, variance: ArrayLike | None = None,
    epsilon: ArrayLike = 1e-5, where: ArrayLike | None = None,
) -> Array:  # fmt: skip
    """(x - mean) / sqrt(variance + epsilon) over ``axis``."""
    (x,) = promote_dtypes("standardize", asarray(x), inexact=True)
    if mean is None:
        mean = reductions.mean(x, axis, keepdims=True, where=where)
    if variance is None:
        square_mean = reductions.mean(lax.square(x), axis, keepdims=True, where=where)
        variance = subtract(square_mean, lax.square(as_array("standardize", mean)))
    deviation = subtract(x, mean)
    return multiply(deviation, lax.rsqrt(lax.add(as_array("standardize", variance), epsilon)))
