"""Choosing elements: by a condition, by bounds, by position along an axis."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jax.dtypes import finfo  # type: ignore[attr-defined]

from functrans import lax
from functrans.api.compilation import jit
from functrans.errors import FunctransIndexError, FunctransTypeError, FunctransValueError
from functrans.ir.types import refuse_mask
from functrans.numpy.arithmetic import maximum, minimum, remainder, to_array
from functrans.numpy.comparison import greater, isnan, less, logical_or, truth
from functrans.numpy.creation import asarray
from functrans.numpy.families import concrete_arrays
from functrans.numpy.indexing import normalized, wide_index
from functrans.numpy.positions import flatnonzero, nonzero
from functrans.numpy.promotion import (
    BOOL,
    COMPLEX,
    INEXACT,
    INTEGERS,
    Array,
    ArrayLike,
    as_array,
    as_operand,
    axis_index,
    broadcast,
    common_dtype,
    common_shape,
    filled,
    is_scalar,
    operand_type,
    scalar_of_kind,
    shape_of,
    static_array,
    strengthened,
    to_dtype,
)
from functrans.numpy.shapes import ravel
from functrans.trace.keywords import refuse
from functrans.trace.tracer import Tracer


def where(
    condition: ArrayLike, x: ArrayLike | None = None, y: ArrayLike | None = None, /, *, size: int | None = None,
    fill_value: Any = None,
) -> Any:  # fmt: skip
    """x where the condition holds, else y; the three are broadcast together, x and y promoted.

    With the condition alone, the positions where it holds (as nonzero).

    >>> import functrans.numpy as fnp
    >>> fnp.where(fnp.array([True, False]), 1., 2.)
    Array([1., 2.], dtype=float32, weak_type=True)
    """
    if x is None and y is None:
        return nonzero(condition, size=size, fill_value=fill_value)
    if x is None or y is None:
        raise FunctransValueError(
            "where: both x and y are needed, or neither (for the positions where the condition holds)"
        )
    if size is not None or fill_value is not None:
        raise FunctransValueError(
            "where: size and fill_value go with the condition alone, for the positions where it holds"
        )
    if concrete_arrays(condition, x, y):
        return _compiled_where(condition, x, y)
    return _where(condition, x, y)


def _where(condition: Any, x: Any, y: Any) -> Any:
    which = truth("where", condition)
    x, y = as_operand("where", x), as_operand("where", y)
    dtype, weak = common_dtype("where", x, y)
    shape = common_shape("where", shape_of(which), shape_of(x), shape_of(y))
    on_true, on_false = (_alternative(v, dtype, weak, shape) for v in (x, y))
    if is_scalar(which):
        return to_dtype(to_array(on_true if which else on_false), dtype, weak)  # a weak one beside a strong one is not
    if which.shape != shape and which.shape != ():
        which = broadcast(which, shape)
    return lax.select(which, on_true, on_false)


_compiled_where = jit(_where)  # not of where, which calls it: ``disable_jit`` runs what stands here


def _alternative(x: Any, dtype: np.dtype[Any], weak: bool, shape: tuple[int, ...]) -> Any:
    if is_scalar(x):
        return filled(shape, x, dtype, weak)
    if x.dtype != dtype or (weak and not operand_type("where", x).weak_type):
        x = to_dtype(x, dtype, weak)
    return broadcast(x, shape)


def clip(arr: ArrayLike, /, min: ArrayLike | None = None, max: ArrayLike | None = None) -> Array:
    """Elements below ``min`` replaced by it, then those above ``max``; ValueError for complex numbers.

    >>> import functrans.numpy as fnp
    >>> fnp.clip(fnp.array([-1., 2.]), 0, 1)
    Array([0., 1.], dtype=float32)
    """
    result = as_operand("clip", arr)
    min, max = (bound if bound is None else as_operand("clip", bound) for bound in (min, max))
    for bound in (result, min, max):
        if bound is not None and operand_type("clip", bound).dtype in COMPLEX:
            raise FunctransValueError("clip: complex numbers have no order; clip the real and imaginary parts")
    if min is not None:
        result = maximum(min, result)
    if max is not None:
        result = minimum(max, result)
    return result if type(result) is Tracer else asarray(result)


def fmax(x1: ArrayLike, x2: ArrayLike) -> Array:
    """The larger of x1 and x2, the other one where one is NaN.

    >>> import functrans.numpy as fnp
    >>> fnp.fmax(1., fnp.nan)
    Array(1., dtype=float32, weak_type=True)
    """
    return where(logical_or(greater(x1, x2), isnan(x2)), x1, x2)


def fmin(x1: ArrayLike, x2: ArrayLike) -> Array:
    """The smaller of x1 and x2, the other one where one is NaN."""
    return where(logical_or(less(x1, x2), isnan(x2)), x1, x2)


def nan_to_num(
    x: ArrayLike,
    copy: bool = True,
    nan: ArrayLike = 0.0,
    posinf: ArrayLike | None = None,
    neginf: ArrayLike | None = None,
) -> Array:
    """NaNs replaced by ``nan``, infinities by the largest finite numbers or those given.

    >>> import functrans.numpy as fnp
    >>> fnp.nan_to_num(fnp.array([1., fnp.nan]))
    Array([1., 0.], dtype=float32)
    """
    x = as_array("nan_to_num", x)
    if x.dtype not in INEXACT:
        return asarray(x)
    if x.dtype in COMPLEX:
        return lax.complex(*(nan_to_num(part, copy, nan, posinf, neginf) for part in (lax.real(x), lax.imag(x))))
    info = finfo(x.dtype)  # type: ignore[no-untyped-call]
    high = float(info.max) if posinf is None else posinf
    low = float(info.min) if neginf is None else neginf
    result = where(isnan(x), nan if not is_scalar(nan) else scalar_of_kind(nan, x.dtype), x)
    result = where(lax.eq(result, math.inf), high, result)
    result = where(lax.eq(result, -math.inf), low, result)
    return to_dtype(result, x.dtype)


def select(condlist: Sequence[ArrayLike], choicelist: Sequence[ArrayLike], default: ArrayLike = 0) -> Array:
    """At each place the choice of the first condition that holds there, else ``default``.

    >>> import functrans.numpy as fnp
    >>> x = fnp.arange(4)
    >>> fnp.select([x < 1, x < 3], [x, x * 10], -1)
    Array([ 0, 10, 20, -1], dtype=int32)
    """
    if len(condlist) != len(choicelist):
        raise FunctransValueError(f"select: {len(condlist)} conditions for {len(choicelist)} choices")
    if len(condlist) == 0:
        raise FunctransValueError("select: at least one condition is needed")
    dtype, weak = common_dtype("select", *[as_operand("select", c) for c in (*choicelist, default)])
    result: Any = default
    for condition, choice in zip(condlist[::-1], choicelist[::-1], strict=True):
        result = where(condition, choice, result)
    return to_dtype(result, dtype, weak)


def choose(a: ArrayLike, choices: Any, out: None = None, mode: str = "raise") -> Array:
    """At each place the element of ``choices[a]``. ``mode`` is 'wrap' or 'clip' (or 'raise', with static ``a``)."""
    refuse("choose", out=out)
    index = as_array("choose", a)
    if index.dtype not in INTEGERS:
        raise FunctransTypeError(f"choose: the index array must be integer, got dtype {index.dtype.name}")
    options = [as_operand("choose", c) for c in choices]
    n = len(options)
    if mode == "raise":
        known = static_array("choose (mode='raise')", "the index array", index)
        if known.size and (known.min() < 0 or known.max() >= n):
            raise FunctransValueError(f"choose: indices must lie in [0, {n}), got {known.min()} to {known.max()}")
    elif mode == "wrap":
        index = remainder(index, n)
    elif mode == "clip":
        index = clip(index, 0, n - 1)
    else:
        raise FunctransValueError(f"choose: mode must be 'raise', 'wrap' or 'clip', got {mode!r}")
    result = options[-1]
    for i in range(n - 2, -1, -1):
        result = where(lax.eq(index, i), options[i], result)
    shape = common_shape("choose", tuple(index.shape), *map(shape_of, options))
    return to_dtype(broadcast(as_array("choose", result), shape), common_dtype("choose", *options)[0])


def piecewise(
    x: ArrayLike, condlist: Any, funclist: list[ArrayLike | Callable[..., Array]], *args: Any, **kw: Any
) -> Array:
    """At each place the function (or constant) of the last condition that holds; one more function is the default.

    All functions are computed for all of ``x``.
    """
    x = as_array("piecewise", x)
    conditions = (
        list(condlist) if isinstance(condlist, list | tuple) or np.ndim(condlist) > len(x.shape) else [condlist]
    )
    n = len(conditions)
    if len(funclist) not in (n, n + 1):
        raise FunctransValueError(f"piecewise: {n} conditions go with {n} or {n + 1} functions, got {len(funclist)}")
    values = [f(x, *args, **kw) if callable(f) else f for f in funclist]
    result: Any = values[n] if len(values) > n else 0
    for condition, value in zip(conditions, values[:n], strict=True):
        result = where(condition, value, result)
    return to_dtype(broadcast(as_array("piecewise", result), tuple(x.shape)), x.dtype)


# -- by position ---------------------------------------------------------------------------------------------------


def take(
    a: ArrayLike, indices: ArrayLike, axis: int | None = None, out: None = None, mode: str | None = None,
    unique_indices: bool = False, indices_are_sorted: bool = False, fill_value: Any = None,
) -> Array:  # fmt: skip
    """Elements at ``indices`` of ``axis`` (of the flattened array without one).

    ``mode`` None or 'fill': positions out of bounds give NaN (the lowest integer, True), or ``fill_value``; 'clip' and
    'wrap' bring them in.

    >>> import functrans.numpy as fnp
    >>> fnp.take(fnp.array([5., 6., 7.]), fnp.array([2, 0]))
    Array([7., 5.], dtype=float32)
    """
    refuse("take", out=out)
    x, at = as_array("take", a), as_array("take", indices)
    if at.dtype == BOOL:
        at = to_dtype(at, np.dtype(np.int32))
    if at.dtype not in INTEGERS and at.size:
        raise FunctransTypeError(f"take: indices must be integers, got dtype {at.dtype.name}")
    if axis is None:
        x, axis = ravel(x), 0
    axis = axis_index("take", axis, len(x.shape))
    sizes = tuple(x.shape)
    n = sizes[axis]
    result_shape = (*sizes[:axis], *at.shape, *sizes[axis + 1 :])
    if not n and at.size:
        raise FunctransIndexError(f"take: axis {axis} of shape {sizes} is empty and has no element to take")
    if 0 in result_shape:
        return lax.full(result_shape, 0, x.dtype)
    if mode in (None, "fill"):
        at, gather_mode = normalized(at, n), "fill"
    elif mode == "wrap":
        at, gather_mode = remainder(wide_index(at), n), "promise_in_bounds"
    elif mode in ("clip", "promise_in_bounds"):
        gather_mode = mode
    elif mode == "raise":
        raise NotImplementedError(
            "take: mode='raise' is not supported: a compiled program cannot raise; use 'fill' or 'clip'"
        )
    else:
        raise FunctransValueError(f"take: mode must be 'fill', 'wrap' or 'clip', got {mode!r}")
    rank, index_rank = len(sizes), len(at.shape)
    dimension_numbers = lax.GatherDimensionNumbers(
        offset_dims=(*range(axis), *range(axis + index_rank, rank + index_rank - 1)),
        collapsed_slice_dims=(axis,),
        start_index_map=(axis,),
    )
    return lax.gather(
        x, lax.reshape(at, (*at.shape, 1)), dimension_numbers, (*sizes[:axis], 1, *sizes[axis + 1 :]),
        unique_indices=unique_indices, indices_are_sorted=indices_are_sorted, mode=gather_mode, fill_value=fill_value,
    )  # fmt: skip


def take_along_axis(
    arr: ArrayLike, indices: ArrayLike, axis: int | None = -1, mode: str | None = None, fill_value: Any = None, *,
    wrap_negative_indices: bool = True,
) -> Array:  # fmt: skip
    """Elements of ``arr`` at ``indices`` along ``axis``, other positions being equal; both have the same rank.

    ``mode``: what is read out of bounds, as by ``take``; 'one_hot': zeros.

    >>> import functrans.numpy as fnp
    >>> fnp.take_along_axis(fnp.array([[1, 2], [3, 4]]), fnp.array([[1], [0]]), 1)
    Array([[2],
           [3]], dtype=int32)
    """
    x, at = as_array("take_along_axis", arr), as_array("take_along_axis", indices)
    if at.dtype not in INTEGERS:
        raise FunctransTypeError(f"take_along_axis: indices must be integers, got dtype {at.dtype.name}")
    if axis is None:
        if len(at.shape) != 1:
            raise FunctransValueError(
                f"take_along_axis: without an axis indices must be a vector, got {tuple(at.shape)}"
            )
        x, axis = ravel(x), 0
    rank = len(x.shape)
    if len(at.shape) != rank:
        raise FunctransValueError(
            f"take_along_axis: indices and array must have the same rank, got shapes {tuple(at.shape)} and "
            f"{tuple(x.shape)}"
        )
    axis = axis_index("take_along_axis", axis, rank)
    n = x.shape[axis]
    if mode is not None and (mode if isinstance(mode, str) else mode.name).lower() == "one_hot":
        mode, fill_value = "fill", 0  # in JAX a product with unit vectors, of the same values
    if wrap_negative_indices:
        at = normalized(at, n)
    others = common_shape(
        "take_along_axis", *[(*s[:axis], 1, *s[axis + 1 :]) for s in (tuple(x.shape), tuple(at.shape))]
    )
    result_shape = (*others[:axis], at.shape[axis], *others[axis + 1 :])
    if 0 in result_shape or not n:
        return lax.full(result_shape, 0, x.dtype)
    return _gather_along(x, at, axis, others, "fill" if mode is None else mode, fill_value)


def _gather_along(x: Any, at: Any, axis: int, others: tuple[int, ...], mode: str, fill_value: Any) -> Any:
    """Axes where both agree are batch axes; where indices have size 1, whole axes of x are taken at once."""
    whole = [i for i in range(len(x.shape)) if i != axis and at.shape[i] == 1]
    single = [i for i in range(len(x.shape)) if i != axis and at.shape[i] != 1 and x.shape[i] == 1]
    if single:
        x = lax.reshape(x, tuple(n for i, n in enumerate(x.shape) if i not in single))
    kept = [i for i in range(len(others)) if i not in single]  # axes of x by their original numbers
    in_indices = [i for i in range(len(others)) if i not in whole]
    index_shape = tuple(at.shape[i] for i in in_indices)
    batch = [i for i in kept if i != axis and i not in whole]
    dimension_numbers = lax.GatherDimensionNumbers(
        offset_dims=tuple(whole),
        collapsed_slice_dims=(kept.index(axis),),
        start_index_map=(kept.index(axis),),
        operand_batching_dims=tuple(kept.index(i) for i in batch),
        start_indices_batching_dims=tuple(in_indices.index(i) for i in batch),
    )
    slice_sizes = tuple(others[i] if i in whole else 1 for i in kept)
    return lax.gather(
        x, lax.reshape(at, (*index_shape, 1)), dimension_numbers, slice_sizes, mode=mode, fill_value=fill_value
    )


def extract(
    condition: ArrayLike, arr: ArrayLike, *, size: int | None = None, fill_value: ArrayLike = 0
) -> Array:
    """The elements where the condition holds: its values must be known, or ``size`` says how many elements the result
    has, the first of them that hold and then ``fill_value``.

    >>> import functrans as ft, functrans.numpy as fnp
    >>> ft.jit(lambda x: fnp.extract(x > 1.0, x, size=3))(fnp.array([2.0, 1.0, 3.0]))
    Array([2., 3., 0.], dtype=float32)
    """
    return compress(ravel(condition), ravel(arr), size=size, fill_value=fill_value)


def _holds(condition: Any) -> Any:
    if type(condition) is Tracer:
        return truth("compress", condition)
    refuse_mask(condition)
    return np.asarray(condition, bool)


def _compressed(condition: Any, x: Array, axis: int | None, size: int, fill_value: Any) -> Array:
    """``compress`` to ``size`` slices."""
    if axis is None:
        x, axis = ravel(x), 0
    axis = axis_index("compress", axis, x.ndim)
    count = min(condition.shape[0], x.shape[axis])
    if not 0 <= size <= count:
        raise FunctransValueError(f"compress: size={size} is not between 0 and the {count} slices along axis {axis}")
    holds = lax.slice_in_dim(asarray(_holds(condition)), 0, count)
    at = flatnonzero(holds, size=size, fill_value=count)
    x = strengthened(x)
    return take(lax.slice_in_dim(x, 0, count, axis=axis), at, axis, mode="fill", fill_value=fill_value)


def compress(
    condition: ArrayLike, a: ArrayLike, axis: int | None = None, out: None = None, *, size: int | None = None,
    fill_value: ArrayLike = 0,
) -> Array:  # fmt: skip
    """The slices along ``axis`` where the vector ``condition`` holds: it must be static, or ``size`` says how many
    slices the result has, the first of them that hold and then ``fill_value``.

    >>> import functrans as ft, functrans.numpy as fnp
    >>> ft.jit(lambda x: fnp.compress(x > 1.0, x, size=3))(fnp.array([2.0, 1.0, 3.0]))
    Array([2., 3., 0.], dtype=float32)
    """
    refuse("compress", out=out)
    if np.ndim(condition) != 1:
        raise FunctransValueError(f"compress: the condition must be a vector, got shape {np.shape(condition)}")
    if size is not None:
        return _compressed(asarray(condition), asarray(a), axis, size, fill_value)
    keep = static_array("compress", "the condition", _holds(condition))
    return take(a, np.flatnonzero(keep).astype(np.int32), axis)


__all__ = [
    "choose", "clip", "compress", "extract", "fmax", "fmin", "nan_to_num", "piecewise", "select", "take",
    "take_along_axis", "where",
]  # fmt: skip
