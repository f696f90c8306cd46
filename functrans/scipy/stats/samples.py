"""Statistics of samples: the most common value, ranks, the error of the mean."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from functrans import lax
from functrans import numpy as fnp
from functrans.errors import FunctransValueError
from functrans.ir.types import canonical_dtype
from functrans.numpy.promotion import Array, ArrayLike, axis_indices, promote_dtypes
from functrans.scipy.special.entropies import entr, rel_entr

_FLOAT = np.dtype(np.float64)


class ModeResult(NamedTuple):
    """What ``mode`` returns."""

    mode: Any
    count: Any


def _policy(name: str, nan_policy: str, known: tuple[str, ...] = ("propagate",)) -> None:
    if nan_policy not in ("propagate", "omit", "raise"):
        raise FunctransValueError(f"{name}: nan_policy must be 'propagate', 'omit' or 'raise', got {nan_policy!r}")
    if nan_policy not in known:
        supported = " or ".join(map(repr, known))
        raise NotImplementedError(f"{name}: nan_policy={nan_policy!r} is not supported; use {supported}")


def _runs(x: Any) -> tuple[Any, Any, Any]:
    """x sorted along its last axis, where runs of equal values begin, and how far in its run each element is."""
    ordered = fnp.sort(x, -1)
    n = x.shape[-1]
    places = np.arange(n, dtype=np.int32).reshape((1,) * (x.ndim - 1) + (n,))
    same = ordered[..., 1:] == ordered[..., :-1]
    if ordered.dtype.kind in "fc":
        same = same | (fnp.isnan(ordered[..., 1:]) & fnp.isnan(ordered[..., :-1]))
    first = fnp.concatenate([fnp.ones((*x.shape[:-1], min(n, 1)), bool), ~same], -1)
    start = lax.cummax(fnp.where(first, places, np.int32(0)), axis=x.ndim - 1)
    return ordered, first, places - start + 1


def mode(a: ArrayLike, axis: int | None = 0, nan_policy: str = "propagate", keepdims: bool = False) -> ModeResult:
    """The most common value along an axis, the least of several, and how often it is there.

    Args:
      a: of any rank.
      axis: along which; None: of all elements.
      nan_policy: 'propagate': NaNs are one value.
      keepdims: keep the axis, of size 1.

    Returns:
      ``mode`` and ``count``; NaN and 0 where there are no elements. They have no derivative.

    Raises:
      ValueError: another policy. NotImplementedError: 'omit' and 'raise', as in JAX.

    >>> import functrans.numpy as fnp
    >>> from functrans.scipy import stats
    >>> [int(x) for x in stats.mode(fnp.array([3, 1, 3, 2]))]
    [3, 2]
    """
    _policy("mode", nan_policy)
    x = fnp.atleast_1d(fnp.asarray(a))
    shape = tuple(x.shape)
    if axis is None:
        kept, x = (1,) * len(shape), fnp.ravel(x)
    else:
        (along,) = axis_indices("mode", (axis,), x.ndim)
        kept = tuple([1 if i == along else n for i, n in enumerate(shape)])
        x = fnp.moveaxis(x, along, -1)
    if not x.shape[-1]:
        dtype = canonical_dtype(_FLOAT)
        most, count = fnp.full(x.shape[:-1], np.nan, dtype), fnp.zeros(x.shape[:-1], dtype)
    else:
        ordered, _, length = _runs(lax.stop_gradient(x))
        place = fnp.argmax(length, -1, keepdims=True)
        most = fnp.take_along_axis(ordered, place, -1)[..., 0]
        count = fnp.astype(fnp.max(length, -1), canonical_dtype(np.dtype(np.int64)))
    out = kept if keepdims else () if axis is None else tuple(x.shape[:-1])
    return ModeResult(fnp.reshape(most, out), fnp.reshape(count, out))


def rankdata(
    a: ArrayLike, method: str = "average", *, axis: int | None = None, nan_policy: str = "propagate"
) -> Array:
    """The ranks of elements, from 1 on, in the default float dtype.

    Args:
      a: real, of any rank.
      method: what equal elements get: the 'average' of their ranks, the 'min', the 'max', the number of the value
        ('dense'), or ranks in their order ('ordinal').
      axis: along which; None: of all elements, as a vector.
      nan_policy: 'propagate': NaN for all of a row with a NaN.

    Raises:
      ValueError: another method or policy. NotImplementedError: 'omit' and 'raise', as in JAX.

    >>> import functrans.numpy as fnp
    >>> from functrans.scipy import stats
    >>> stats.rankdata(fnp.array([10, 30, 20, 30])).tolist()
    [1.0, 3.5, 2.0, 3.5]
    """
    _policy("rankdata", nan_policy)
    if method not in ("average", "min", "max", "dense", "ordinal"):
        raise FunctransValueError(
            f"rankdata: method must be 'average', 'min', 'max', 'dense' or 'ordinal', got {method!r}"
        )
    x = lax.stop_gradient(fnp.asarray(a))
    if axis is None:
        x, axis = fnp.ravel(x), 0
    (along,) = axis_indices("rankdata", (axis,), x.ndim)
    dtype = canonical_dtype(_FLOAT)
    x = fnp.moveaxis(x, along, -1)
    if not x.size:
        return fnp.moveaxis(fnp.zeros(x.shape, dtype), -1, along)
    order = fnp.argsort(x, -1, stable=True)
    back = fnp.argsort(order, -1, stable=True)
    _, first, length = _runs(x)
    n = x.shape[-1]
    places = np.arange(n, dtype=np.int32).reshape((1,) * (x.ndim - 1) + (n,))
    least = places + 2 - length  # the rank of the first of its run
    last = fnp.concatenate([first[..., 1:], fnp.ones((*x.shape[:-1], 1), bool)], -1)
    most = lax.cummin(fnp.where(last, places + 1, np.int32(n)), axis=x.ndim - 1, reverse=True)
    ranks = {
        "average": lambda: 0.5 * fnp.astype(least + most, dtype), "min": lambda: least, "max": lambda: most,
        "dense": lambda: fnp.cumsum(first, -1), "ordinal": lambda: fnp.broadcast_to(places + 1, x.shape),
    }[method]()  # fmt: skip
    out = fnp.take_along_axis(fnp.astype(ranks, dtype), back, -1)
    if x.dtype.kind == "f":
        out = fnp.where(fnp.any(fnp.isnan(x), -1, keepdims=True), np.nan, out)
    return fnp.moveaxis(out, -1, along)


def sem(
    a: ArrayLike, axis: int | None = 0, ddof: int = 1, nan_policy: str = "propagate", *, keepdims: bool = False
) -> Array:
    """The standard error of the mean: the standard deviation over the root of how many there are.

    Args:
      a: of any rank.
      axis: along which; None: of all elements.
      ddof: what is taken from the number of elements in the variance.
      nan_policy: 'propagate', or 'omit' NaNs.
      keepdims: keep the axis, of size 1.

    Raises:
      ValueError: another policy. NotImplementedError: 'raise'.

    >>> import functrans.numpy as fnp
    >>> from functrans.scipy import stats
    >>> float(stats.sem(fnp.array([1., 3., 1., 3.]), ddof=0))
    0.5
    """
    _policy("sem", nan_policy, ("propagate", "omit"))
    (x,) = promote_dtypes("sem", fnp.asarray(a), inexact=True)
    x = fnp.asarray(x)
    if nan_policy == "omit":
        count = fnp.sum(~fnp.isnan(x), axis, keepdims=keepdims)
        return fnp.nanstd(x, axis, ddof=ddof, keepdims=keepdims) / fnp.sqrt(fnp.astype(count, x.dtype))
    size = x.size if axis is None else x.shape[axis]
    return fnp.std(x, axis, ddof=ddof, keepdims=keepdims) / x.dtype.type(np.sqrt(size))


def entropy(pk: ArrayLike, qk: ArrayLike | None = None, base: float | None = None, axis: int = 0) -> Array:
    """The entropy of probabilities along an axis, or their divergence from others (Kullback and Leibler's).

    Args:
      pk: not negative, of any rank; divided by its sum.
      qk: of a shape that broadcasts with that of pk; divided by its sum. With it the sum of p log(p / q) is returned.
      base: of logarithms; e by default.
      axis: along which.

    Raises:
      ValueError: a base that is not positive.

    >>> import functrans.numpy as fnp
    >>> from functrans.scipy import stats
    >>> round(float(stats.entropy(fnp.array([1., 1.]), base=2)), 4)
    1.0
    """
    if base is not None and base <= 0:
        raise FunctransValueError(f"entropy: the base must be positive, got {base}")
    operands = [pk] if qk is None else [pk, qk]
    parts = [fnp.asarray(x) for x in promote_dtypes("entropy", *[fnp.asarray(x) for x in operands], inexact=True)]
    parts = [x / fnp.sum(x, axis, keepdims=True) for x in fnp.broadcast_arrays(*parts)]
    terms = entr(parts[0]) if qk is None else rel_entr(*parts)
    total = fnp.sum(terms, axis)
    return total if base is None else total * (1.0 / math.log(base))


__all__ = ["entropy", "mode", "rankdata", "sem"]
