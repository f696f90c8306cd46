"""``jax.scipy.fft``: the discrete cosine transform of type 2 and its inverse.

By one complex FFT of the same length: the even elements in order and the odd ones in reverse order, transformed, are
the coefficients but for a rotation (J. Makhoul, A fast cosine transform in one and two dimensions, IEEE Trans. ASSP 28,
1980).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from functrans import lax
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.numpy import fft as transforms
from functrans.numpy.arithmetic import imag, real
from functrans.numpy.promotion import COMPLEX, as_array, axis_index, axis_indices, promote_one
from functrans.numpy.shapes import moveaxis
from functrans.trace.frames import guard_namespace, here

__all__ = ["dct", "dctn", "idct", "idctn"]


def _checked(name: str, x: Any, type: int, norm: str | None) -> Any:
    if type != 2:
        raise NotImplementedError(f"{name}: the transform of type 2 is there, as in JAX, and type={type!r} is not")
    if norm not in (None, "backward", "ortho"):
        raise FunctransValueError(f"{name}: norm must be None, 'backward' or 'ortho', got {norm!r} at {here()}")
    x = as_array(name, promote_one(name, x, inexact=True))
    if not x.ndim:
        raise FunctransValueError(f"{name}: an array of at least one axis is needed, got a scalar at {here()}")
    return x


def _resized(name: str, x: Any, n: int | None, axis: int) -> Any:
    """Cut off, or filled with zeros, to length n."""
    size = x.shape[axis]
    if n is None or n == size:
        wanted = size
    else:
        wanted = int(n)
        if wanted > 0:
            config = [(0, wanted - size if i == axis else 0, 0) for i in range(x.ndim)]
            x = lax.pad(x, np.zeros((), x.dtype), config)
    if wanted < 1:
        raise FunctransValueError(f"{name}: the length of a transform must be at least 1, got {wanted} at {here()}")
    return x


def _factors(n: int, dtype: Any, inverse: bool, ortho: bool) -> Any:
    """The rotation of coefficient k by -k quarter turns of n, with the norm."""
    k = np.arange(n)
    rotation = np.exp(-0.5j * np.pi * k / n) * 2.0
    if ortho:
        rotation *= np.where(k == 0, np.sqrt(0.25 / n), np.sqrt(0.5 / n))
    if inverse:
        rotation = 1.0 / rotation
    return rotation.astype(np.result_type(dtype, np.complex64))


def _along(name: str, x: Any, n: int | None, axis: int, ortho: bool, inverse: bool) -> Any:
    """One axis of a real array; complex arrays are transformed in parts."""
    if x.dtype in COMPLEX:
        parts = [_along(name, part(x), n, axis, ortho, inverse) for part in (real, imag)]
        return lax.complex(*parts)
    narrow = x.dtype
    if narrow.itemsize < 4:
        x = lax.convert_element_type(x, np.float32)
    x = moveaxis(_resized(name, x, n, axis), axis, -1)
    size = x.shape[-1]
    factors = np.expand_dims(_factors(size, x.dtype, inverse, ortho), tuple(range(x.ndim - 1)))
    half = (size + 1) // 2
    if inverse:
        # V[k] = (X[k] - i X[n - k]) rotated back, and X[n] counts as 0: where norms differ, at k = 0, X[0] stands alone
        last = x.ndim - 1
        mirrored = lax.rev(x[..., 1:], (last,))
        mirrored = lax.pad(mirrored, np.zeros((), x.dtype), [(0, 0, 0)] * last + [(1, 0, 0)])
        spectrum = lax.complex(x, -mirrored) * factors
        v = real(transforms.ifft(spectrum))
        result = _interleaved(v, half)
    else:
        v = lax.concatenate([x[..., ::2], lax.rev(x[..., 1::2], (x.ndim - 1,))], x.ndim - 1)
        result = real(transforms.fft(v) * factors)
    return lax.convert_element_type(moveaxis(result, -1, axis), narrow)


def _interleaved(v: Any, half: int) -> Any:
    """The inverse of: even elements, then odd ones in reverse."""
    size, last = v.shape[-1], v.ndim - 1
    even, odd = v[..., :half], lax.rev(v[..., half:], (last,))
    zero = np.zeros((), v.dtype)
    apart = [(0, 0, 0)] * last
    spread_even = lax.pad(even, zero, [*apart, (0, size - (2 * half - 1), 1)])
    if size == 1:
        return spread_even
    return lax.add(spread_even, lax.pad(odd, zero, [*apart, (1, size - 2 * (size - half), 1)]))


def dct(x: Any, type: int = 2, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """The discrete cosine transform of type 2: ``y[k] = 2 sum_j x[j] cos(pi k (2 j + 1) / (2 n))``.

    Args:
      x: ``[..., m, ...]``; a complex array is transformed part by part.
      type: 2.
      n: the length of the transform: x is cut off there, or filled with zeros; m by default.
      norm: None or 'backward' for the sum above; 'ortho' for the orthonormal one.

    Raises:
      ValueError: another norm, a length below 1, an axis that is not there. NotImplementedError: another type.

    >>> from functrans.scipy.fft import dct
    >>> import numpy as np
    >>> dct(np.float32([1.0, 1.0])).round(6).tolist()
    [4.0, 0.0]
    """
    x = _checked("dct", x, type, norm)
    return _along("dct", x, n, axis_index("dct", axis, x.ndim), norm == "ortho", False)


def idct(x: Any, type: int = 2, n: int | None = None, axis: int = -1, norm: str | None = None) -> Any:
    """The inverse of ``dct`` with the same arguments.

    >>> from functrans.scipy.fft import dct, idct
    >>> import numpy as np
    >>> idct(dct(np.float32([1.0, 2.0, 4.0]))).round(5).tolist()
    [1.0, 2.0, 4.0]
    """
    x = _checked("idct", x, type, norm)
    return _along("idct", x, n, axis_index("idct", axis, x.ndim), norm == "ortho", True)


def _of_axes(name: str, x: Any, type: int, s: Any, axes: Any, norm: str | None, inverse: bool) -> Any:
    x = _checked(name, x, type, norm)
    if axes is None:
        axes = range(x.ndim) if s is None else range(x.ndim - len(s), x.ndim)
    axes = axis_indices(name, tuple(axes) if isinstance(axes, Sequence) else axes, x.ndim)
    if s is None:
        s = [None] * len(axes)
    elif isinstance(s, int):
        raise FunctransTypeError(f"{name}: s has one length for each axis, got {s!r} at {here()}")
    if len(s) != len(axes):
        raise FunctransValueError(f"{name}: s has {len(s)} lengths for {len(axes)} axes, at {here()}")
    for n, axis in zip(s, axes, strict=True):
        x = _along(name, x, n, axis, norm == "ortho", inverse)
    return x


def dctn(
    x: Any, type: int = 2, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str | None = None
) -> Any:
    """``dct`` along several axes, by default all.

    Args:
      s: the length of the transform along each of the axes.

    >>> from functrans.scipy.fft import dctn
    >>> import numpy as np
    >>> dctn(np.ones((2, 2), np.float32)).round(5).tolist()
    [[16.0, 0.0], [0.0, 0.0]]
    """
    return _of_axes("dctn", x, type, s, axes, norm, False)


def idctn(
    x: Any, type: int = 2, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str | None = None
) -> Any:
    """The inverse of ``dctn`` with the same arguments.

    >>> from functrans.scipy.fft import dctn, idctn
    >>> import numpy as np
    >>> idctn(dctn(np.eye(2, dtype=np.float32))).round(5).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    return _of_axes("idctn", x, type, s, axes, norm, True)


guard_namespace(globals())
