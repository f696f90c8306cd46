"""Convolution and correlation of vectors, window functions, and phases without jumps."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from functrans import lax
from functrans.errors import FunctransValueError
from functrans.ir.types import canonical_dtype
from functrans.lax.bessel import bessel_i
from functrans.numpy.arithmetic import (
    absolute,
    add,
    conjugate,
    floor_divide,
    multiply,
    remainder,
    subtract,
    true_divide,
)
from functrans.numpy.calculus import diff
from functrans.numpy.comparison import equal, greater, less, logical_and
from functrans.numpy.creation import asarray
from functrans.numpy.cumulative import cumsum
from functrans.numpy.families import one_program
from functrans.numpy.promotion import (
    COMPLEX,
    INTEGERS,
    Array,
    ArrayLike,
    as_array,
    axis_index,
    promote_dtypes,
    promote_one,
)
from functrans.numpy.selection import where


def _sliding(
    operation: str, a: ArrayLike, v: ArrayLike, mode: str, precision: Any, preferred_element_type: Any
) -> Array:
    x, y = as_array(operation, a), as_array(operation, v)
    if len(x.shape) != 1 or len(y.shape) != 1 or not x.shape[0] or not y.shape[0]:
        raise FunctransValueError(
            f"{operation}: two vectors with elements are needed, got shapes {tuple(x.shape)} and {tuple(y.shape)}"
        )
    if mode not in ("full", "same", "valid"):
        raise FunctransValueError(f"{operation}: mode must be 'full', 'same' or 'valid', got {mode!r}")
    x, y = map(asarray, promote_dtypes(operation, x, y, inexact=preferred_element_type is None))
    turned = False
    if operation == "correlate":
        y = conjugate(y)
        if x.shape[0] < y.shape[0]:
            x, y, turned = y, x, True
    else:
        if x.shape[0] < y.shape[0]:
            x, y = y, x
        y = lax.rev(y, (0,))
    n, m = x.shape[0], y.shape[0]
    padding = {"valid": (0, 0), "same": (m // 2, m - m // 2 - 1), "full": (m - 1, m - 1)}[mode]
    out = lax.conv_general_dilated(
        lax.reshape(x, (1, 1, n)), lax.reshape(y, (1, 1, m)), (1,), [padding], precision=precision,
        preferred_element_type=preferred_element_type,
    )  # fmt: skip
    out = lax.reshape(out, out.shape[2:])
    return lax.rev(out, (0,)) if turned else out


_STATIC = ("mode", "precision", "preferred_element_type")


@one_program(*_STATIC)
def convolve(
    a: ArrayLike, v: ArrayLike, mode: str = "full", *, precision: Any = None, preferred_element_type: Any = None
) -> Array:
    """The convolution of two vectors: out[k] = sum over j of a[k - j] v[j].

    ``mode``: 'full' (n + m - 1 elements), 'same' (as many as the longer vector) or 'valid' (where both overlap wholly).

    Raises:
      ValueError: operands that are no vectors, or empty; an unknown mode.

    >>> import functrans.numpy as fnp
    >>> fnp.convolve(fnp.array([1., 2.]), fnp.array([1., 10.]))
    Array([ 1., 12., 20.], dtype=float32)
    """
    return _sliding("convolve", a, v, mode, precision, preferred_element_type)


@one_program(*_STATIC)
def correlate(
    a: ArrayLike, v: ArrayLike, mode: str = "valid", *, precision: Any = None, preferred_element_type: Any = None
) -> Array:
    """The correlation of two vectors: out[k] = sum over j of a[k + j] conj(v[j]). ``mode`` as for convolve.

    >>> import functrans.numpy as fnp
    >>> fnp.correlate(fnp.array([1., 2., 3.]), fnp.array([1., 10.]))
    Array([21., 32.], dtype=float32)
    """
    return _sliding("correlate", a, v, mode, precision, preferred_element_type)


def _window(formula: Callable[[Any, int], Any]) -> Callable[[int], Array]:
    def window(M: int) -> Array:
        if M <= 1:
            values = np.ones(max(M, 0))
        else:
            values = formula(np.arange(M, dtype=np.float64), M)
        return asarray(values.astype(canonical_dtype(float)))

    return window


def bartlett(M: int) -> Array:
    """The triangular window of M samples.

    >>> import functrans.numpy as fnp
    >>> fnp.bartlett(3).tolist()
    [0.0, 1.0, 0.0]
    """
    return _window(lambda n, m: 1 - np.abs(2 * n - m + 1) / (m - 1))(M)


def blackman(M: int) -> Array:
    """The Blackman window of M samples."""
    return _window(
        lambda n, m: 0.42 - 0.5 * np.cos(2 * np.pi * n / (m - 1)) + 0.08 * np.cos(4 * np.pi * n / (m - 1))
    )(M)


def hamming(M: int) -> Array:
    """The Hamming window of M samples."""
    return _window(lambda n, m: 0.54 - 0.46 * np.cos(2 * np.pi * n / (m - 1)))(M)


def hanning(M: int) -> Array:
    """The Hann window of M samples."""
    return _window(lambda n, m: 0.5 * (1 - np.cos(2 * np.pi * n / (m - 1))))(M)


def i0(x: ArrayLike) -> Array:
    """The modified Bessel function of the first kind of order 0, of real numbers.

    >>> import functrans.numpy as fnp
    >>> round(float(fnp.i0(0.)), 5)
    1.0
    """
    values = as_array("i0", x)
    if values.dtype in COMPLEX:
        raise FunctransValueError(f"i0: real numbers are needed, got dtype {values.dtype.name}")
    return bessel_i(0, asarray(promote_one("i0", values, inexact=True)))


def kaiser(M: int, beta: ArrayLike) -> Array:
    """The Kaiser window of M samples with shape ``beta``.

    >>> import functrans.numpy as fnp
    >>> fnp.kaiser(3, 0.).tolist()
    [1.0, 1.0, 1.0]
    """
    dtype = canonical_dtype(float)
    if M <= 1:
        return lax.full((max(M, 0),), 1, dtype)
    heights = np.sqrt(np.maximum(0.0, 1 - ((2 * np.arange(M) - M + 1) / (M - 1)) ** 2)).astype(dtype)
    return true_divide(i0(multiply(beta, heights)), i0(beta))


def unwrap(
    p: ArrayLike, discont: ArrayLike | None = None, axis: int = -1, period: ArrayLike = 2 * math.pi
) -> Array:
    """Phases along ``axis`` with jumps of ``discont`` (half a period) or more taken back by whole periods.

    >>> import functrans.numpy as fnp
    >>> fnp.unwrap(fnp.array([0, 3, 5]), period=4).tolist()
    [0, -1, 1]
    """
    x, period = promote_dtypes("unwrap", as_array("unwrap", p), as_array("unwrap", period))
    if x.dtype in COMPLEX:
        raise FunctransValueError("unwrap: complex phases are not supported")
    axis = axis_index("unwrap", axis, len(x.shape))
    n = x.shape[axis]
    if not n:
        return asarray(x)
    if discont is None:
        discont = true_divide(period, 2)
    half = floor_divide(period, 2) if x.dtype in INTEGERS else true_divide(period, 2)
    step = diff(x, axis=axis)
    low = subtract(remainder(add(step, half), period), half)
    low = where(logical_and(equal(low, subtract(0, half)), greater(step, 0)), half, low)
    correction = where(less(absolute(step), discont), 0, subtract(low, step))
    first, rest = lax.slice_in_dim(x, 0, 1, axis=axis), lax.slice_in_dim(x, 1, n, axis=axis)
    rest = add(rest, cumsum(correction, axis))
    return lax.concatenate([lax.convert_element_type(first, rest.dtype), rest], axis)


__all__ = ["bartlett", "blackman", "convolve", "correlate", "hamming", "hanning", "i0", "kaiser", "unwrap"]
