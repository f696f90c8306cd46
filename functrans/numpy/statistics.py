"""Covariances and correlations of variables."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from functrans import lax
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.numpy.arithmetic import absolute, conjugate, divide, imag, multiply, real, subtract
from functrans.numpy.creation import asarray
from functrans.numpy.grids import diag
from functrans.numpy.joining import concatenate
from functrans.numpy.products import dot
from functrans.numpy.promotion import (
    COMPLEX,
    INEXACT,
    INTEGERS,
    Array,
    ArrayLike,
    as_array,
    promote_dtypes,
    requested_dtype,
    to_dtype,
)
from functrans.numpy.reductions import average
from functrans.numpy.reductions import sum as sum_over
from functrans.numpy.selection import clip
from functrans.numpy.shapes import atleast_2d, squeeze, transpose


def _weights(name: str, weights: ArrayLike, count: int) -> Any:
    w = as_array("cov", weights)
    if tuple(w.shape) != (count,):
        raise FunctransValueError(f"cov: {name} of shape {tuple(w.shape)} for {count} observations")
    return absolute(w)


def _inexact(operation: str, dtype: Any) -> Any:
    if dtype is None:
        return None
    to = requested_dtype(operation, dtype)
    if to not in INEXACT:
        raise FunctransValueError(f"{operation}: dtype must be floating or complex, got {to.name}")
    return to


def cov(
    m: ArrayLike, y: ArrayLike | None = None, rowvar: bool = True, bias: bool = False, ddof: int | None = None,
    fweights: ArrayLike | None = None, aweights: ArrayLike | None = None, dtype: Any = None,
) -> Array:  # fmt: skip
    """The covariances of variables: of the rows of ``m`` (and of ``y``), or of the columns without ``rowvar``.

    Args:
      m: [variables, observations], or a vector of observations.
      bias, ddof: divide by the number of observations (bias) or by it less ``ddof`` (1).
      fweights: integer frequencies of the observations.
      aweights: weights of the observations.

    Raises:
      ValueError: rank above 2, or weights of another length.
      TypeError: frequencies that are not integers.

    >>> import functrans.numpy as fnp
    >>> fnp.cov(fnp.array([[0., 2.], [2., 0.]])).tolist()
    [[2.0, -2.0], [-2.0, 2.0]]
    """
    to = _inexact("cov", dtype)
    arrays = promote_dtypes("cov", *[as_array("cov", v) for v in (m, y) if v is not None], inexact=True)
    for v in arrays:
        if len(v.shape) > 2:
            raise FunctransValueError(f"cov: variables must be of rank 1 or 2, got shape {tuple(v.shape)}")
    rows = [
        transpose(v) if not rowvar and len(a.shape) != 1 and (i == 0 or v.shape[0] != 1) else v
        for i, (a, v) in enumerate((a, atleast_2d(a)) for a in arrays)
    ]
    x = asarray(rows[0] if len(rows) == 1 else concatenate(rows, 0))
    variables, count = x.shape
    if not variables:
        return lax.full((0, 0), 0, x.dtype)
    if not count:
        return lax.full(() if variables == 1 else (variables, variables), math.nan, x.dtype)
    if ddof is None:
        ddof = 0 if bias else 1
    w: Any = None
    if fweights is not None:
        w = _weights("fweights", fweights, count)
        if w.dtype not in INTEGERS:
            raise FunctransTypeError(f"cov: fweights must be integers, got dtype {w.dtype.name}")
    a = None if aweights is None else _weights("aweights", aweights, count)
    if a is not None:
        w = a if w is None else multiply(w, a)
    if to is not None:
        x, w = to_dtype(x, to), w if w is None else to_dtype(asarray(w), to)
    mean, total = average(x, 1, w, returned=True)
    total = lax.index_in_dim(total, 0, keepdims=False)
    divisor: Any
    if w is None:
        divisor = count - ddof
    elif ddof == 0:
        divisor = total
    elif a is None:
        divisor = subtract(total, ddof)
    else:
        divisor = subtract(total, divide(multiply(sum_over(multiply(w, a)), ddof), total))
    x = subtract(x, lax.expand_dims(mean, (1,)))
    weighted = x if w is None else multiply(x, lax.expand_dims(w, (0,)))
    return squeeze(divide(dot(x, conjugate(transpose(weighted))), divisor))


def corrcoef(x: ArrayLike, y: ArrayLike | None = None, rowvar: bool = True, dtype: Any = None) -> Array:
    """The correlations of variables, as ``cov`` takes them: covariances divided by the standard deviations.

    >>> import functrans.numpy as fnp
    >>> fnp.corrcoef(fnp.array([[0., 1.], [3., 5.]])).round(5).tolist()
    [[1.0, 1.0], [1.0, 1.0]]
    """
    _inexact("corrcoef", dtype)
    c = cov(x, y, rowvar, dtype=dtype)
    if not c.shape:
        return divide(c, c)
    deviations = to_dtype(lax.sqrt(real(diag(c))), np.dtype(c.dtype))
    c = divide(divide(c, lax.expand_dims(deviations, (1,))), lax.expand_dims(deviations, (0,)))
    if c.dtype in COMPLEX:
        return lax.complex(clip(real(c), -1, 1), clip(imag(c), -1, 1))
    return clip(c, -1, 1)


__all__ = ["corrcoef", "cov"]
