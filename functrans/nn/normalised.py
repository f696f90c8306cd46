"""Functions that normalise along axes: softmax and its logarithms, one-hot coding, standardisation."""

from __future__ import annotations

import math
import operator
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
from functrans.numpy.indexing import wide_index
from functrans.numpy.promotion import (
    COMPLEX,
    INEXACT,
    INTEGERS,
    Array,
    ArrayLike,
    as_array,
    axis_index,
    axis_indices,
    broadcast,
    common_shape,
    promote_dtypes,
    requested_dtype,
    select,
    static_value,
    to_dtype,
)
from functrans.numpy.selection import where as choose_where
from functrans.trace.frames import here
from functrans.trace.keywords import takes

_INT32 = np.dtype(np.int32)


def _shifted(operation: str, x: Any, axes: tuple[int, ...], where: Any) -> tuple[Any, Any, Any]:
    """x less its finite maximum over the axes, which carries no derivative; that maximum with the axes kept; and there
    whether an element is left, None for always.

    Masked elements are -inf from here on, before exp: it could overflow, and derivatives multiply with it.
    """
    left: Any = None
    if where is not None:
        mask = reductions.mask_of(operation, where, tuple(x.shape))
        x = select(mask, x, -math.inf)
        left = reductions.any(mask, axes, keepdims=True)
    real = lax.real(x) if x.dtype in COMPLEX else x
    largest = lax.stop_gradient(reductions.max(real, axes, keepdims=True, initial=-math.inf))
    largest = choose_where(lax.is_finite(largest), largest, 0.0)
    return subtract(x, to_dtype(largest, x.dtype)), largest, left


def _total(terms: Any, axes: tuple[int, ...], left: Any) -> Any:
    """The sum over the axes, which stay; 1 where no element is left, so that it can be divided by."""
    total = reductions.sum(terms, axes, keepdims=True)
    return total if left is None else select(left, total, 1.0)


def _masked(operation: str, x: Any, where: Any, filling: float) -> Any:
    """Constant where masked: what comes back to such an element goes no further, to those that it was divided with."""
    return x if where is None else select(reductions.mask_of(operation, where, tuple(x.shape)), x, filling)


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
        mask = lax.ne(weights, 0.0)
        if where is not None:
            mask = lax.bitwise_and(mask, reductions.mask_of("logsumexp", where, shape))
        where = mask  # as in JAX an element of weight 0 counts as masked, and so does not overflow
    else:
        (x,) = promote_dtypes("logsumexp", asarray(a), inexact=True)
        weights = None
    axes = axis_indices("logsumexp", axis, x.ndim)
    shifted, largest, left = _shifted("logsumexp", x, axes, where)
    terms = exp(shifted)
    if weights is not None:
        terms = multiply(weights, terms)
    if weights is None and terms.dtype not in COMPLEX:
        total = reductions.sum(terms, axes, keepdims=True)
        left = lax.ne(total, 0.0)  # else there is none, or all are -inf: as if masked
    else:
        total = _total(terms, axes, left)
    result_sign = sign(total)
    magnitude = absolute(total) if return_sign else total
    if weights is not None and not return_sign and total.dtype not in COMPLEX:
        magnitude = choose_where(lax.lt(total, 0.0), math.nan, total)
    if left is not None:
        magnitude, result_sign = select(left, magnitude, 1.0), select(left, result_sign, 0.0)
    result = lax.add(log(magnitude), to_dtype(largest, magnitude.dtype))
    if left is not None:
        result = select(left, result, -math.inf)
    shape = tuple(n for i, n in enumerate(x.shape) if i not in axes)
    if not keepdims:
        result, result_sign = lax.reshape(result, shape), lax.reshape(result_sign, shape)
    return (result, result_sign) if return_sign else result


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


def _beside_infinity(x: ArrayLike, where: Any) -> Any:
    """Integers and bools among which some are masked, in the default dtype of the infinity that stands for those."""
    x = asarray(x)
    return x if where is None or x.dtype in INEXACT else to_dtype(x, scalar_type(float).dtype)


def softmax(x: ArrayLike, axis: Any = -1, where: ArrayLike | None = None) -> Array:
    """exp(x) / sum(exp(x)) over ``axis``, without overflow; masked elements give 0.

    >>> import functrans.numpy as fnp
    >>> from functrans import nn
    >>> nn.softmax(fnp.array([0., 0.]))
    Array([0.5, 0.5], dtype=float32)
    """
    (x,) = promote_dtypes("softmax", _beside_infinity(x, where), inexact=True)
    axes = axis_indices("softmax", axis, x.ndim)
    shifted, _, left = _shifted("softmax", x, axes, where)
    terms = exp(shifted)
    return _masked("softmax", lax.div(terms, broadcast(_total(terms, axes, left), tuple(terms.shape))), where, 0.0)


def log_softmax(x: ArrayLike, axis: Any = -1, where: ArrayLike | None = None) -> Array:
    """log(softmax(x)), without underflow; masked elements give -inf."""
    (x,) = promote_dtypes("log_softmax", _beside_infinity(x, where), inexact=True)
    axes = axis_indices("log_softmax", axis, x.ndim)
    shifted, _, left = _shifted("log_softmax", x, axes, where)
    return _masked("log_softmax", subtract(shifted, log(_total(exp(shifted), axes, left))), where, -math.inf)


@takes(out_sharding=None)
def one_hot(x: ArrayLike, num_classes: int, *, dtype: Any = None, axis: int = -1) -> Array:
    """Integers as unit vectors along a new axis of size ``num_classes``; zeros for integers outside.

    >>> from functrans import nn
    >>> nn.one_hot(1, 3)
    Array([0., 1., 0.], dtype=float32)
    """
    x = asarray(x)
    axis = axis_index("one_hot", axis, x.ndim + 1)
    num_classes = operator.index(static_value("one_hot", "num_classes", num_classes))
    if num_classes < 0:
        raise FunctransValueError(f"one_hot: num_classes must not be negative, got {num_classes}")
    to = scalar_type(float).dtype if dtype is None else requested_dtype("one_hot", dtype)
    shape = (*x.shape[:axis], num_classes, *x.shape[axis:])
    if x.dtype in INTEGERS:
        x = wide_index(x)
    spread = lax.broadcast_in_dim(x, shape, tuple(i for i in range(len(shape)) if i != axis))
    classes = lax.broadcasted_iota(x.dtype if x.dtype.kind in "iuf" else _INT32, shape, axis)
    return to_dtype(equal(spread, classes), to)


def standardize(
    x: ArrayLike, axis: Any = -1, mean: ArrayLike | None = None, variance: ArrayLike | None = None,
    epsilon: ArrayLike = 1e-5, where: ArrayLike | None = None, *, algorithm: str = "fast",
) -> Array:  # fmt: skip
    """(x - mean) / sqrt(variance + epsilon) over ``axis``; the mean and variance of the elements that ``where`` leaves.

    The variance is mean(x²) - mean² (``algorithm="fast"``), or with ``"stable"`` mean((x - mean)²), which keeps its
    digits where the mean is large. Raises ValueError for another algorithm.

    >>> import functrans.numpy as fnp
    >>> from functrans import nn
    >>> nn.standardize(fnp.array([1e4, 1e4 + 1.0]), algorithm="stable").round(2).tolist()
    [-1.0, 1.0]
    """
    if algorithm not in ("fast", "stable"):
        raise FunctransValueError(f"standardize: the algorithm is 'fast' or 'stable', got {algorithm!r} at {here()}")
    (x,) = promote_dtypes("standardize", asarray(x), inexact=True)
    kept, mask, left = x, None, None
    if where is not None:
        mask = reductions.mask_of("standardize", where, tuple(x.shape))
        kept = select(mask, x, 0.0)
        if mean is None or variance is None:
            left = reductions.any(mask, axis, keepdims=True)
    if mean is None:
        mean = reductions.mean(kept, axis, keepdims=True, where=where)
        mean = mean if left is None else select(left, mean, 0.0)
    if variance is None:
        stable = algorithm == "stable"
        squares = lax.square(subtract(kept, mean) if stable else kept)
        variance = reductions.mean(squares, axis, keepdims=True, where=where)
        variance = variance if left is None else select(left, variance, 0.0)
        if not stable:
            variance = subtract(variance, lax.square(as_array("standardize", mean)))
            variance = choose_where(lax.lt(variance, 0.0), 0.0, variance)  # of rounding; its root would be NaN
    scale = lax.rsqrt(lax.add(as_array("standardize", variance), epsilon))
    if mask is None:
        return multiply(subtract(x, mean), scale)
    # A masked element that is not finite stays as it is: its product with the scale would enter the scale's derivative.
    infinite = lax.bitwise_not(lax.bitwise_or(mask, lax.is_finite(x)))
    result = choose_where(infinite, x, multiply(subtract(select(infinite, 0.0, x), mean), scale))
    return result if left is None else choose_where(left, result, math.nan)
