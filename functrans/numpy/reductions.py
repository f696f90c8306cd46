"""Reductions over axes: sums, extremes, means, variances, logic and positions of extremes.

As in JAX, sums and means of 16-bit floats are computed in float32, sums of small integers in the default integer, and
no sum or extreme is weakly typed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from functrans import lax
from functrans.errors import FunctransValueError
from functrans.ir.types import scalar_type
from functrans.numpy.arithmetic import multiply, subtract, true_divide
from functrans.numpy.comparison import truth
from functrans.numpy.creation import asarray
from functrans.numpy.families import as_one_program
from functrans.numpy.promotion import (
    BOOL,
    COMPLEX,
    FLOATS,
    INEXACT,
    SIGNED,
    UNSIGNED,
    Array,
    ArrayLike,
    as_array,
    as_operand,
    axis_index,
    axis_indices,
    broadcast,
    common_shape,
    inexact_dtype,
    is_scalar,
    promote_dtypes,
    requested_dtype,
    scalar_of_kind,
    select,
    shape_of,
    static_value,
    to_dtype,
)
from functrans.ops.reductions import greatest, least
from functrans.trace.keywords import refuse
from functrans.trace.tracer import Tracer

Axis = Any  # int, sequence of ints, or None for all axes
_FLOAT32 = np.dtype(np.float32)
_DTYPE = np.dtype[Any]


def _operand(operation: str, a: ArrayLike, axis: Axis, out: Any) -> tuple[Any, tuple[int, ...]]:
    if out is not None:
        refuse(operation, out=out)
    x = as_array(operation, a)
    return x, axis_indices(operation, static_value(operation, "axis", axis), len(x.shape))


def mask_of(operation: str, where: Any, shape: tuple[int, ...]) -> Any:
    """A mask of the operand's shape. One of higher rank is refused: it would add axes to the operand."""
    mask = as_array(operation, where)
    if mask.dtype != BOOL:
        raise FunctransValueError(f"{operation}: where must be a bool array, got dtype {mask.dtype.name}")
    if common_shape(operation, shape, tuple(mask.shape)) != shape:
        raise FunctransValueError(
            f"{operation}: where of shape {tuple(mask.shape)} does not broadcast to the array of shape {shape}"
        )
    return broadcast(mask, shape)


def _masked(operation: str, x: Any, where: Any, neutral: Any) -> Any:
    """x with ``neutral`` where the mask is false."""
    return x if where is None else select(mask_of(operation, where, tuple(x.shape)), x, neutral)


def _finished(result: Any, x: Any, axes: tuple[int, ...], keepdims: bool, initial: Any, combine: Any) -> Any:
    if initial is not None:
        if shape_of(as_operand("initial", initial)) != ():
            raise FunctransValueError(
                f"the initial value of a reduction must be a scalar, got shape {np.shape(initial)}"
            )
        start = scalar_of_kind(initial, x.dtype) if is_scalar(initial) else to_dtype(initial, x.dtype)
        result = combine(result, start if is_scalar(start) else broadcast(start, tuple(result.shape)))
    if keepdims and axes:
        result = lax.reshape(result, tuple(1 if i in axes else n for i, n in enumerate(x.shape)))
    return result


def integer_sum_dtype(dtype: _DTYPE) -> _DTYPE:
    """The dtype that integers and bools of this dtype are summed in."""
    default = scalar_type(int).dtype
    if dtype == BOOL:
        return default
    if dtype in SIGNED and dtype.itemsize < default.itemsize:
        return default
    if dtype in UNSIGNED and dtype.itemsize < default.itemsize:
        return np.dtype(f"u{default.itemsize}")
    return dtype


def _accumulation(operation: str, own: _DTYPE, dtype: Any, promote_integers: bool) -> tuple[_DTYPE, _DTYPE]:
    """The dtypes of the computation and of the result."""
    if dtype is not None:
        to = requested_dtype(operation, dtype)
        return to, to
    result = integer_sum_dtype(own) if promote_integers else np.dtype(np.int32) if own == BOOL else own
    return (_FLOAT32 if result in FLOATS and result.itemsize < 4 else result), result


def _total(
    operation: str, primitive: Callable[..., Any], neutral: int, combine: Callable[..., Any], of_bools: Any,
    a: ArrayLike, axis: Axis, dtype: Any, out: Any, keepdims: bool, initial: Any, where: Any, promote_integers: bool,
) -> Array:  # fmt: skip
    x, axes = _operand(operation, a, axis, out)
    computed, result_dtype = _accumulation(operation, x.dtype, dtype, promote_integers)
    if computed == BOOL:
        x = truth(operation, x)
        x = _masked(operation, x, where, bool(neutral))
        return _finished(
            of_bools(x, axes), x, axes, keepdims, initial, lax.bitwise_or if not neutral else lax.bitwise_and
        )
    x = _masked(operation, to_dtype(x, computed), where, neutral)
    result = _finished(primitive(x, axes), x, axes, keepdims, initial, combine)
    return to_dtype(result, result_dtype)


@as_one_program
def sum(
    a: ArrayLike, axis: Axis = None, dtype: Any = None, out: None = None, keepdims: bool = False,
    initial: ArrayLike | None = None, where: ArrayLike | None = None, promote_integers: bool = True,
) -> Array:  # fmt: skip
    """The sum over ``axis`` (an int, a tuple, None for all axes) of the elements where ``where`` holds.

    >>> import functrans.numpy as fnp
    >>> fnp.sum(fnp.ones((2, 3)), axis=0)
    Array([2., 2., 2.], dtype=float32)
    """
    if type(a) is Tracer and axis is None and not keepdims and where is None and initial is None and dtype is None:
        type_ = a.type
        if out is None and type_.dtype in INEXACT and type_.dtype.itemsize >= 4 and not type_.weak_type:
            return lax.reduce_sum(a, tuple(range(len(type_.shape))))
    return _total(
        "sum",
        lax.reduce_sum,
        0,
        lax.add,
        lax.reduce_or,
        a,
        axis,
        dtype,
        out,
        keepdims,
        initial,
        where,
        promote_integers,
    )


@as_one_program
def prod(
    a: ArrayLike, axis: Axis = None, dtype: Any = None, out: None = None, keepdims: bool = False,
    initial: ArrayLike | None = None, where: ArrayLike | None = None, promote_integers: bool = True,
) -> Array:  # fmt: skip
    """The product over ``axis`` of the elements where ``where`` holds.

    >>> import functrans.numpy as fnp
    >>> fnp.prod(fnp.array([2., 3.]))
    Array(6., dtype=float32)
    """
    return _total(
        "prod",
        lax.reduce_prod,
        1,
        lax.mul,
        lax.reduce_and,
        a,
        axis,
        dtype,
        out,
        keepdims,
        initial,
        where,
        promote_integers,
    )


def _extreme(
    operation: str, primitive: Callable[..., Any], combine: Callable[..., Any], neutral: Any,
    a: ArrayLike, axis: Axis, out: Any, keepdims: bool, initial: Any, where: Any,
) -> Array:  # fmt: skip
    x, axes = _operand(operation, a, axis, out)
    if initial is None and where is not None:
        raise FunctransValueError(
            f"{operation}: with where= an initial value is needed, because all elements may be masked"
        )
    if initial is None and 0 in [x.shape[i] for i in axes]:
        raise FunctransValueError(
            f"{operation}: the reduced axes {axes} of shape {tuple(x.shape)} hold no element; pass an initial value"
        )
    x = _masked(operation, to_dtype(x, x.dtype), where, neutral(x.dtype))
    return _finished(primitive(x, axes), x, axes, keepdims, initial, combine)


@as_one_program
def max(
    a: ArrayLike, axis: Axis = None, out: None = None, keepdims: bool = False, initial: ArrayLike | None = None,
    where: ArrayLike | None = None,
) -> Array:  # fmt: skip
    """The largest element over ``axis``; NaN if there is one. ValueError for no element and no ``initial``.

    >>> import functrans.numpy as fnp
    >>> fnp.max(fnp.array([1., 3., 2.]))
    Array(3., dtype=float32)
    """
    return _extreme("max", lax.reduce_max, lax.max, least, a, axis, out, keepdims, initial, where)


@as_one_program
def min(
    a: ArrayLike, axis: Axis = None, out: None = None, keepdims: bool = False, initial: ArrayLike | None = None,
    where: ArrayLike | None = None,
) -> Array:  # fmt: skip
    """The smallest element over ``axis``; NaN if there is one. ValueError for no element and no ``initial``."""
    return _extreme("min", lax.reduce_min, lax.min, greatest, a, axis, out, keepdims, initial, where)


amax, amin = max, min


def minmax(
    a: ArrayLike, axis: Axis = None, out: None = None, keepdims: bool = False, initial: Any = None,
    where: ArrayLike | None = None,
) -> tuple[Array, Array]:  # fmt: skip
    """The smallest and the largest element over ``axis``; ``initial`` is one for both, or a pair.

    >>> import functrans.numpy as fnp
    >>> [int(x) for x in fnp.minmax(fnp.array([2, -1, 5]))]
    [-1, 5]
    """
    low, high = initial if isinstance(initial, tuple) else (initial, initial)
    return min(a, axis, out, keepdims, low, where), max(a, axis, out, keepdims, high, where)


@as_one_program
def all(
    a: ArrayLike, axis: Axis = None, out: None = None, keepdims: bool = False, *, where: ArrayLike | None = None
) -> Array:
    """Whether all elements over ``axis`` are true.

    >>> import functrans.numpy as fnp
    >>> fnp.all(fnp.array([1, 0]))
    Array(False, dtype=bool)
    """
    x, axes = _operand("all", a, axis, out)
    x = _masked("all", truth("all", x), where, True)
    return _finished(lax.reduce_and(x, axes), x, axes, keepdims, None, None)


@as_one_program
def any(
    a: ArrayLike, axis: Axis = None, out: None = None, keepdims: bool = False, *, where: ArrayLike | None = None
) -> Array:
    """Whether any element over ``axis`` is true."""
    x, axes = _operand("any", a, axis, out)
    x = _masked("any", truth("any", x), where, False)
    return _finished(lax.reduce_or(x, axes), x, axes, keepdims, None, None)


def _count(x: Any, axes: tuple[int, ...], keepdims: bool, where: Any, dtype: _DTYPE) -> Any:
    """The number of elements that a mean divides by: a Python number without a mask."""
    if where is None:
        return math.prod(x.shape[i] for i in axes)
    return sum(mask_of("where", where, tuple(x.shape)), axes, dtype=dtype, keepdims=keepdims)


def _quotient(total: Any, count: Any, of_nothing: Any = math.nan) -> Any:
    """The total divided by the count, and ``of_nothing``, a constant without derivatives, where that is not positive.

    The division there is by 1: what it is multiplied with in derivatives is to be finite.
    """
    dtype = np.dtype(total.dtype)
    if dtype not in INEXACT:
        return lax.div(total, scalar_of_kind(count, dtype) if is_scalar(count) else count)
    if is_scalar(count):
        if count <= 0:
            return lax.full(tuple(total.shape), of_nothing, dtype)
        return lax.div(total, scalar_of_kind(count, dtype))
    counted = lax.gt(lax.real(count) if count.dtype in COMPLEX else count, 0.0)
    return select(counted, lax.div(total, select(counted, count, 1.0)), of_nothing)


def _mean_dtypes(operation: str, own: _DTYPE, dtype: Any) -> tuple[_DTYPE, _DTYPE]:
    if dtype is not None:
        to = requested_dtype(operation, dtype)
        return to, to
    result = inexact_dtype(own)
    return (_FLOAT32 if result in FLOATS and result.itemsize < 4 else result), result


@as_one_program
def mean(
    a: ArrayLike, axis: Axis = None, dtype: Any = None, out: None = None, keepdims: bool = False, *,
    where: ArrayLike | None = None,
) -> Array:  # fmt: skip
    """The mean over ``axis`` of the elements where ``where`` holds.

    >>> import functrans.numpy as fnp
    >>> fnp.mean(fnp.array([1., 3.]))
    Array(2., dtype=float32)
    """
    x, axes = _operand("mean", a, axis, out)
    computed, result_dtype = _mean_dtypes("mean", x.dtype, dtype)
    total = sum(x, axes, dtype=computed, keepdims=keepdims, where=where)
    return to_dtype(_quotient(total, _count(x, axes, keepdims, where, computed)), result_dtype)


def average(
    a: ArrayLike, axis: Axis = None, weights: ArrayLike | None = None, returned: bool = False, keepdims: bool = False
) -> Any:
    """The weighted mean over ``axis``; weights have the shape of ``a``, or of its reduced axes. With ``returned`` also
    the sum of weights."""
    x = as_array("average", a)
    axes = axis_indices("average", axis, len(x.shape))
    if weights is None:
        x = to_dtype(x, inexact_dtype(x.dtype))
        result = mean(x, axes, keepdims=keepdims)
        total = lax.full(tuple(result.shape), math.prod(x.shape[i] for i in axes), result.dtype)
        return (result, total) if returned else result
    x, w = promote_dtypes("average", x, asarray(weights), inexact=True)
    if tuple(x.shape) != tuple(w.shape):
        if axis is None:
            raise FunctransValueError(
                f"average: weights of shape {tuple(w.shape)} for an array of shape {tuple(x.shape)}: name the axis"
            )
        if tuple(w.shape) != tuple(x.shape[i] for i in axes):
            raise FunctransValueError(
                f"average: weights of shape {tuple(w.shape)} match neither the array of shape {tuple(x.shape)} nor its "
                f"axes {axes}"
            )
        w = lax.broadcast_in_dim(w, tuple(x.shape), axes)
    total = sum(w, axes, keepdims=keepdims)
    result = true_divide(sum(multiply(x, w), axes, keepdims=keepdims), total)
    return (result, broadcast(total, tuple(result.shape))) if returned else result


@as_one_program
def var(
    a: ArrayLike, axis: Axis = None, dtype: Any = None, out: None = None, ddof: int = 0, keepdims: bool = False, *,
    where: ArrayLike | None = None, mean: ArrayLike | None = None, correction: int | float | None = None,
) -> Array:  # fmt: skip
    """The variance over ``axis``: mean of abs(x - mean)**2, divided by count - ddof (or ``correction``).

    >>> import functrans.numpy as fnp
    >>> fnp.var(fnp.array([1., 3.]))
    Array(1., dtype=float32)
    """
    return variance("var", a, axis, dtype, out, _correction(ddof, correction), keepdims, where, mean)


def _correction(ddof: Any, correction: Any) -> Any:
    if correction is None:
        return ddof
    if ddof:
        raise FunctransValueError(f"var: ddof={ddof} and correction={correction} mean the same; give one of them")
    return correction


def variance(
    operation: str, a: Any, axis: Axis, dtype: Any, out: Any, ddof: Any, keepdims: bool, where: Any, center: Any,
    root: bool = False,
) -> Array:  # fmt: skip
    """The variance, or its square root."""
    x, axes = _operand(operation, a, axis, out)
    to = None if dtype is None else requested_dtype(operation, dtype)
    if to is not None and to not in COMPLEX and x.dtype in COMPLEX:
        raise FunctransValueError(
            f"{operation}: dtype {to.name} cannot hold the complex numbers of the operand; leave dtype out, the result "
            "is real"
        )
    computed = to if to is not None else inexact_dtype(x.dtype)
    result_dtype = to if to is not None else np.zeros((), computed).real.dtype
    if computed in FLOATS and computed.itemsize < 4:
        computed = _FLOAT32
    # What is masked may be infinite: it goes before its distance from the mean is squared, not after.
    x = _masked(operation, to_dtype(x, computed), where, 0)
    own_center = center is None
    if own_center:
        center = _quotient(
            sum(x, axes, dtype=computed, keepdims=True), _count(x, axes, True, where, computed), of_nothing=0
        )
    deviation = subtract(x, center)
    if computed in COMPLEX:
        squares = lax.real(lax.mul(deviation, lax.conj(deviation)))
        computed = squares.dtype
    else:
        squares = lax.square(deviation)
    total = sum(squares, axes, dtype=computed, keepdims=keepdims, where=where)
    count = _count(x, axes, keepdims, where, computed)

    def finished(quotient: Any) -> Any:
        quotient = to_dtype(quotient, result_dtype)
        if not root:
            return quotient
        if not own_center or (is_scalar(count) and count > 1):
            return lax.sqrt(quotient)
        # A single element has the deviation 0 wherever it stands, and the root of 0 no derivative.
        alone = quotient == 0.0 if is_scalar(count) else lax.bitwise_and(lax.le(count, 1.0), quotient == 0.0)
        return select(alone, 0.0, lax.sqrt(select(alone, 1.0, quotient)))

    if is_scalar(count) and is_scalar(ddof):
        divisor = count - ddof
        if divisor <= 0:
            return lax.full(tuple(total.shape), math.nan, result_dtype)
        return finished(_quotient(total, divisor))
    divisor = subtract(float(count) if is_scalar(count) else count, ddof)
    divisor = broadcast(to_dtype(divisor, computed), tuple(total.shape))
    return select(lax.gt(divisor, 0.0), finished(_quotient(total, divisor, of_nothing=0)), math.nan)


@as_one_program
def std(
    a: ArrayLike, axis: Axis = None, dtype: Any = None, out: None = None, ddof: int = 0, keepdims: bool = False, *,
    where: ArrayLike | None = None, mean: ArrayLike | None = None, correction: int | float | None = None,
) -> Array:  # fmt: skip
    """The standard deviation over ``axis``: the square root of the variance."""
    return variance("std", a, axis, dtype, out, _correction(ddof, correction), keepdims, where, mean, root=True)


@as_one_program
def ptp(a: ArrayLike, axis: Axis = None, out: None = None, keepdims: bool = False) -> Array:
    """The largest minus the smallest element over ``axis``."""
    x, axes = _operand("ptp", a, axis, out)
    return lax.sub(max(x, axes, keepdims=keepdims), min(x, axes, keepdims=keepdims))


@as_one_program
def count_nonzero(a: ArrayLike, axis: Axis = None, keepdims: bool = False) -> Array:
    """The number of elements over ``axis`` that are not 0."""
    return sum(asarray(truth("count_nonzero", as_array("count_nonzero", a))), axis, keepdims=keepdims)


def _position(
    operation: str, primitive: Callable[..., Any], a: ArrayLike, axis: Any, out: Any, keepdims: bool
) -> Array:
    if out is not None:
        refuse(operation, out=out)
    x = as_array(operation, a)
    rank = len(x.shape)
    if axis is None:
        if 0 in x.shape:
            raise FunctransValueError(f"{operation}: an array of shape {tuple(x.shape)} has no element to point at")
        result = primitive(lax.reshape(x, (math.prod(x.shape),)), 0, scalar_type(int).dtype)
        return lax.reshape(result, (1,) * rank) if keepdims else result
    at = axis_index(operation, axis, rank)
    if not x.shape[at]:
        raise FunctransValueError(f"{operation}: axis {at} of shape {tuple(x.shape)} has no element to point at")
    result = primitive(x, at, scalar_type(int).dtype)
    return lax.reshape(result, (*x.shape[:at], 1, *x.shape[at + 1 :])) if keepdims else result


@as_one_program
def argmax(a: ArrayLike, axis: int | None = None, out: None = None, keepdims: bool | None = None) -> Array:
    """The position of the first largest element (or NaN) on ``axis``, without one in the flattened array.

    >>> import functrans.numpy as fnp
    >>> fnp.argmax(fnp.array([1., 3., 2.]))
    Array(1, dtype=int32)
    """
    return _position("argmax", lax.argmax, a, axis, out, bool(keepdims))


@as_one_program
def argmin(a: ArrayLike, axis: int | None = None, out: None = None, keepdims: bool | None = None) -> Array:
    """The position of the first smallest element (or NaN) on ``axis``, without one in the flattened array."""
    return _position("argmin", lax.argmin, a, axis, out, bool(keepdims))


# -- without NaNs --------------------------------------------------------------------------------------------------
