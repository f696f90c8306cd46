"""Polynomials given by their coefficients, the highest first."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from functrans import lax
from functrans.errors import FunctransValueError
from functrans.numpy.arithmetic import add, multiply, negative, true_divide
from functrans.numpy.creation import asarray
from functrans.numpy.promotion import (
    Array,
    ArrayLike,
    as_array,
    promote_dtypes,
    static_array,
    static_value,
    strengthened,
)
from functrans.numpy.shapes import atleast_1d, ravel
from functrans.numpy.signals import convolve
from functrans.numpy.spectra import eigvals


def _vectors(operation: str, *operands: ArrayLike, inexact: bool = False) -> list[Any]:
    arrays = [as_array(operation, x) for x in operands]
    for x in arrays:
        if len(x.shape) > 1:
            raise FunctransValueError(f"{operation}: coefficients must be a vector, got shape {tuple(x.shape)}")
    return [asarray(atleast_1d(x)) for x in promote_dtypes(operation, *arrays, inexact=inexact)]


def _without_leading_zeros(operation: str, p: Any, tolerance: float = 0.0) -> Any:
    known = static_array(f"{operation} (trim_leading_zeros=True)", "the coefficients", p)
    found = np.flatnonzero(np.abs(known) > tolerance)
    start = int(found[0]) if len(found) else known.shape[0]
    return lax.slice_in_dim(p, start, known.shape[0])


def poly(seq_of_zeros: ArrayLike) -> Array:
    """The coefficients of the polynomial with these zeros and leading coefficient 1; those of the characteristic
    polynomial of a square matrix [n, n], by its eigenvalues and complex as they are.

    Raises ValueError for a matrix that is not square, and for higher ranks.

    >>> import functrans.numpy as fnp
    >>> fnp.poly(fnp.array([1., 2.]))
    Array([ 1., -3.,  2.], dtype=float32)
    """
    zeros = as_array("poly", seq_of_zeros)
    if len(zeros.shape) == 2 and zeros.shape[0] == zeros.shape[1]:
        zeros = eigvals(zeros)
    (roots,) = _vectors("poly", zeros, inexact=True)
    if not roots.shape[0]:
        return lax.full((), 1, roots.dtype)
    out = lax.full((1,), 1, roots.dtype)
    for i in range(roots.shape[0]):
        root = lax.slice_in_dim(roots, i, i + 1)
        out = convolve(out, lax.concatenate([lax.full((1,), 1, roots.dtype), lax.neg(root)], 0))
    return out


def _aligned(x: Any, size: int) -> Any:
    """Zeros in front, up to ``size`` coefficients."""
    return lax.pad(x, 0, [(size - x.shape[0], 0, 0)])


def polyadd(a1: ArrayLike, a2: ArrayLike) -> Array:
    """The sum of two polynomials.

    >>> import functrans.numpy as fnp
    >>> fnp.polyadd(fnp.array([1, 2, 3]), fnp.array([10, 20]))
    Array([ 1, 12, 23], dtype=int32)
    """
    x, y = _vectors("polyadd", a1, a2)
    size = max(x.shape[0], y.shape[0])
    return add(_aligned(x, size), _aligned(y, size))


def polysub(a1: ArrayLike, a2: ArrayLike) -> Array:
    """The difference of two polynomials."""
    x, y = _vectors("polysub", a1, a2)
    return polyadd(x, negative(y))


def polymul(a1: ArrayLike, a2: ArrayLike, *, trim_leading_zeros: bool = False) -> Array:
    """The product of two polynomials.

    ``trim_leading_zeros``: drop them first, as NumPy does; the values must be known.

    >>> import functrans.numpy as fnp
    >>> fnp.polymul(fnp.array([1., 2.]), fnp.array([1., 10.]))
    Array([ 1., 12., 20.], dtype=float32)
    """
    x, y = _vectors("polymul", a1, a2, inexact=True)
    if trim_leading_zeros and (x.shape[0] > 1 or y.shape[0] > 1):
        x, y = (_without_leading_zeros("polymul", v) for v in (x, y))
    x, y = (v if v.shape[0] else lax.full((1,), 0, v.dtype) for v in (x, y))
    return convolve(x, y)


def polydiv(u: ArrayLike, v: ArrayLike, *, trim_leading_zeros: bool = False) -> tuple[Array, Array]:
    """Quotient and remainder of two polynomials.

    ``trim_leading_zeros``: drop those of the remainder, as NumPy does; the values must be known.

    >>> import functrans.numpy as fnp
    >>> [x.tolist() for x in fnp.polydiv(fnp.array([1., 12., 20.]), fnp.array([1., 2.]))]
    [[1.0, 10.0], [0.0, 0.0, 0.0]]
    """
    x, y = _vectors("polydiv", u, v, inexact=True)
    m, n = x.shape[0], y.shape[0]
    scale = true_divide(1.0, lax.slice_in_dim(y, 0, 1))
    quotient = []
    for k in range(m - n + 1):
        factor = multiply(scale, lax.slice_in_dim(x, k, k + 1))
        quotient.append(factor)
        change = lax.neg(multiply(factor, y))
        x = add(x, lax.pad(change, 0, [(k, m - n - k, 0)]))
    q = strengthened(lax.concatenate(quotient, 0)) if quotient else lax.full((1,), 0, x.dtype)
    if trim_leading_zeros:
        x = _without_leading_zeros("polydiv", x, float(np.sqrt(np.finfo(x.dtype).eps)))
    return q, x


def _order(operation: str, m: Any) -> int:
    order = operator.index(static_value(operation, "m", m))
    if order < 0:
        raise FunctransValueError(f"{operation}: the order m must not be negative, got {order}")
    return order


def polyder(p: ArrayLike, m: int = 1) -> Array:
    """The coefficients of the ``m``-th derivative.

    >>> import functrans.numpy as fnp
    >>> fnp.polyder(fnp.array([1., 2., 3.]))
    Array([2., 2.], dtype=float32)
    """
    (x,) = _vectors("polyder", p, inexact=True)
    m = _order("polyder", m)
    if not m:
        return x
    n = x.shape[0]
    powers = np.arange(m, n)[::-1]
    factors = np.prod([powers - i for i in range(m)], axis=0)
    return multiply(lax.slice_in_dim(x, 0, max(n - m, 0)), np.asarray(factors, x.dtype))


def polyint(p: ArrayLike, m: int = 1, k: ArrayLike | None = None) -> Array:
    """The coefficients of the ``m``-th antiderivative with constants ``k`` (zeros; one for all, or one for each).

    >>> import functrans.numpy as fnp
    >>> fnp.polyint(fnp.array([2., 2.]), k=3.)
    Array([1., 2., 3.], dtype=float32)
    """
    x, constants = _vectors("polyint", p, 0 if k is None else k, inexact=True)
    m = _order("polyint", m)
    if constants.shape[0] == 1:
        constants = lax.broadcast_in_dim(constants, (m,), (0,))
    if constants.shape[0] != m:
        raise FunctransValueError(f"polyint: {constants.shape[0]} constants k for m = {m}; give one, or one for each")
    if not m:
        return x
    n = x.shape[0] + m
    powers = np.arange(n)[::-1]
    divisors = np.prod([np.maximum(1, powers - i) for i in range(m)], axis=0)
    return true_divide(lax.concatenate([x, ravel(constants)], 0), np.asarray(divisors, x.dtype))


__all__ = ["poly", "polyadd", "polyder", "polydiv", "polyint", "polymul", "polysub"]
