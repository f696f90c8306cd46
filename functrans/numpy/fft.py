"""Discrete Fourier transforms: ``jax.numpy.fft``'s names, signatures, dtypes and values.

Transforms over more than three axes are made of several over three at most, which is what XLA offers.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from functrans import lax
from functrans.errors import FunctransValueError
from functrans.ir.types import canonical_dtype
from functrans.numpy.arithmetic import conjugate, multiply
from functrans.numpy.creation import asarray
from functrans.numpy.families import one_program
from functrans.numpy.promotion import (
    COMPLEX,
    Array,
    ArrayLike,
    as_array,
    axis_index,
    axis_indices,
    requested_dtype,
)
from functrans.numpy.shapes import moveaxis, roll
from functrans.trace.frames import guard_namespace

_NORMS = ("backward", "ortho", "forward")
_STATIC_1 = ("n", "axis", "norm")
_STATIC_N = ("s", "axes", "norm")


def _sizes(operation: str, s: Any) -> tuple[int, ...] | None:
    if s is None:
        return None
    sizes = tuple([operator.index(n) for n in s])
    if any(n < 1 for n in sizes):
        raise FunctransValueError(f"{operation}: sizes of transforms must be positive, got {sizes}")
    return sizes


def _transformed(
    operation: str, kind: str, a: ArrayLike, s: Sequence[int] | None, axes: Sequence[int] | None, norm: str | None
) -> Array:
    x = asarray(as_array(operation, a))
    rank = len(x.shape)
    if kind == "RFFT" and x.dtype in COMPLEX:
        raise FunctransValueError(f"{operation}: a real array is needed, got dtype {x.dtype.name}")
    if norm is not None and norm not in _NORMS:
        raise FunctransValueError(f"{operation}: norm must be one of {_NORMS}, got {norm!r}")
    sizes = _sizes(operation, s)
    if sizes is not None and axes is not None and len(sizes) != len(axes):
        raise FunctransValueError(f"{operation}: {len(sizes)} sizes {sizes} for {len(axes)} axes {tuple(axes)}")
    if axes is None:
        at = tuple(range(0 if sizes is None else rank - len(sizes), rank))
    else:
        at = tuple([axis_index(operation, axis, rank) for axis in axes])
    if len(set(at)) != len(at):
        raise FunctransValueError(f"{operation}: axes {tuple(axes or ())} name one axis twice")
    last = tuple(range(rank - len(at), rank))
    x = moveaxis(x, at, last)
    if sizes is None:
        sizes = tuple([x.shape[i] for i in last])
        if kind == "IRFFT" and sizes:
            sizes = (*sizes[:-1], max(0, 2 * (sizes[-1] - 1)))
    else:
        x = _cut_or_padded(x, (*sizes[:-1], sizes[-1] // 2 + 1) if kind == "IRFFT" else sizes)
    if any(n < 1 for n in sizes):
        if kind == "RFFT" and sizes[-1] < 1:
            raise FunctransValueError(f"{operation}: an axis of shape {tuple(x.shape)} is too short to transform")
        some = tuple([max(n, 1) for n in sizes])  # as in JAX, nothing is the transform of nothing
        out = _any_rank(_cut_or_padded(x, (*some[:-1], some[-1] // 2 + 1) if kind == "IRFFT" else some), kind, some)
        empty = (*sizes[:-1], sizes[-1] // 2 + 1) if kind == "RFFT" else sizes
        return moveaxis(_cut_or_padded(out, empty), last, at)
    out = _any_rank(x, kind, sizes)
    count = math.prod(sizes)
    if norm in ("ortho", "forward"):
        inverse = operation.startswith("i")
        factor = math.sqrt(count) if norm == "ortho" else float(count)
        out = multiply(out, factor if inverse else 1.0 / factor)
    return moveaxis(out, last, at)


def _cut_or_padded(x: Any, sizes: Sequence[int]) -> Any:
    """The last axes with these sizes: elements dropped at the end, or zeros added."""
    config = [(0, 0, 0)] * (len(x.shape) - len(sizes))
    config += [(0, n - m, 0) for n, m in zip(sizes, x.shape[len(config) :], strict=True)]
    return lax.pad(x, x.dtype.type(0) if x.dtype != np.bool_ else False, config)


def _any_rank(x: Any, kind: str, sizes: tuple[int, ...]) -> Any:
    if len(sizes) <= 3:
        return lax.fft(x, kind, sizes)
    rank, count = len(x.shape), len(sizes)
    n = 2 if count == 4 else 3
    head = tuple(range(rank - count, rank - n))
    behind = tuple(range(rank - count + n, rank))
    if kind in ("RFFT", "FFT"):
        x = lax.fft(x, kind, sizes[-n:])
        return moveaxis(_any_rank(moveaxis(x, head, behind), "FFT", sizes[:-n]), behind, head)
    x = moveaxis(_any_rank(moveaxis(x, head, behind), "IFFT", sizes[:-n]), behind, head)
    return lax.fft(x, kind, sizes[-n:])


def _along_one(operation: str, kind: str, a: ArrayLike, n: int | None, axis: Any, norm: str | None) -> Array:
    if isinstance(axis, list | tuple):
        raise FunctransValueError(f"{operation}: one axis is transformed, got {axis!r}; use {operation}n for several")
    return _transformed(operation, kind, a, None if n is None else [n], None if axis is None else [axis], norm)


def _along_two(operation: str, kind: str, a: ArrayLike, s: Any, axes: Any, norm: str | None) -> Array:
    if len(axes) != 2:
        raise FunctransValueError(f"{operation}: two axes are transformed, got {tuple(axes)}; use fftn for others")
    return _transformed(operation, kind, a, s, axes, norm)


@one_program(*_STATIC_1)
def fft(a: ArrayLike, n: int | None = None, axis: int = -1, norm: str | None = None) -> Array:
    """The transform along one axis: out[k] = sum over j of a[j] exp(-2 pi i j k / n). Complex.

    Args:
      n: the size of the axis, elements cut or zeros added; its size as it is by default.
      norm: 'backward' (the inverse divides by n), 'ortho' (both by sqrt(n)) or 'forward' (this one by n).

    Raises:
      ValueError: several axes, sizes that are not positive, an unknown norm.

    >>> import functrans.numpy as fnp
    >>> fnp.fft.fft(fnp.array([1., 2., 3.])).real.tolist()
    [6.0, -1.5, -1.5]
    """
    return _along_one("fft", "FFT", a, n, axis, norm)


@one_program(*_STATIC_1)
def ifft(a: ArrayLike, n: int | None = None, axis: int = -1, norm: str | None = None) -> Array:
    """The inverse of ``fft``."""
    return _along_one("ifft", "IFFT", a, n, axis, norm)


@one_program(*_STATIC_1)
def rfft(a: ArrayLike, n: int | None = None, axis: int = -1, norm: str | None = None) -> Array:
    """The first n // 2 + 1 elements of the transform of a real array, which determine the others."""
    return _along_one("rfft", "RFFT", a, n, axis, norm)


@one_program(*_STATIC_1)
def irfft(a: ArrayLike, n: int | None = None, axis: int = -1, norm: str | None = None) -> Array:
    """The inverse of ``rfft``: real, of size ``n`` (by default 2 (m - 1), even) along the axis."""
    return _along_one("irfft", "IRFFT", a, n, axis, norm)


@one_program(*_STATIC_1)
def hfft(a: ArrayLike, n: int | None = None, axis: int = -1, norm: str | None = None) -> Array:
    """The transform, which is real, of an array with Hermitian symmetry whose first half is ``a``."""
    x = conjugate(as_array("hfft", a))
    size = 2 * (x.shape[axis] - 1) if n is None else n
    return multiply(_along_one("hfft", "IRFFT", x, n, axis, norm), float(size))


@one_program(*_STATIC_1)
def ihfft(a: ArrayLike, n: int | None = None, axis: int = -1, norm: str | None = None) -> Array:
    """The inverse of ``hfft``: the first half of a spectrum with Hermitian symmetry."""
    x = as_array("ihfft", a)
    size = x.shape[axis] if n is None else n
    return multiply(conjugate(_along_one("ihfft", "RFFT", x, n, axis, norm)), 1.0 / size)


@one_program(*_STATIC_N)
def fftn(
    a: ArrayLike, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str | None = None
) -> Array:
    """The transform along several axes (all of them by default), to the sizes ``s``.

    >>> import functrans.numpy as fnp
    >>> fnp.fft.fftn(fnp.ones((2, 2))).real.tolist()
    [[4.0, 0.0], [0.0, 0.0]]
    """
    return _transformed("fftn", "FFT", a, s, axes, norm)


@one_program(*_STATIC_N)
def ifftn(
    a: ArrayLike, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str | None = None
) -> Array:
    """The inverse of ``fftn``."""
    return _transformed("ifftn", "IFFT", a, s, axes, norm)


@one_program(*_STATIC_N)
def rfftn(
    a: ArrayLike, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str | None = None
) -> Array:
    """The transform of a real array along several axes; of the last one the first half of the spectrum."""
    return _transformed("rfftn", "RFFT", a, s, axes, norm)


@one_program(*_STATIC_N)
def irfftn(
    a: ArrayLike, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str | None = None
) -> Array:
    """The inverse of ``rfftn``."""
    return _transformed("irfftn", "IRFFT", a, s, axes, norm)


@one_program(*_STATIC_N)
def fft2(
    a: ArrayLike, s: Sequence[int] | None = None, axes: Sequence[int] = (-2, -1), norm: str | None = None
) -> Array:
    """``fftn`` of two axes."""
    return _along_two("fft2", "FFT", a, s, axes, norm)


@one_program(*_STATIC_N)
def ifft2(
    a: ArrayLike, s: Sequence[int] | None = None, axes: Sequence[int] = (-2, -1), norm: str | None = None
) -> Array:
    """``ifftn`` of two axes."""
    return _along_two("ifft2", "IFFT", a, s, axes, norm)


@one_program(*_STATIC_N)
def rfft2(
    a: ArrayLike, s: Sequence[int] | None = None, axes: Sequence[int] = (-2, -1), norm: str | None = None
) -> Array:
    """``rfftn`` of two axes."""
    return _along_two("rfft2", "RFFT", a, s, axes, norm)


@one_program(*_STATIC_N)
def irfft2(
    a: ArrayLike, s: Sequence[int] | None = None, axes: Sequence[int] = (-2, -1), norm: str | None = None
) -> Array:
    """``irfftn`` of two axes."""
    return _along_two("irfft2", "IRFFT", a, s, axes, norm)


def _frequencies(operation: str, counts: Any, n: Any, d: ArrayLike, dtype: Any) -> Array:
    if isinstance(n, list | tuple):
        raise FunctransValueError(f"{operation}: n must be an int, got {n!r}")
    if isinstance(d, list | tuple):
        raise FunctransValueError(f"{operation}: d must be a number, got {d!r}")
    to = canonical_dtype(float) if dtype is None else requested_dtype(operation, dtype)
    steps = np.asarray(counts(operator.index(n)))
    if isinstance(d, int | float | np.generic | np.ndarray):
        return asarray((steps / np.asarray(d * n, np.float64)).astype(to))
    return lax.div(asarray(steps.astype(to)), multiply(lax.full(steps.shape, float(n), to), d))


def fftfreq(n: int, d: ArrayLike = 1.0, *, dtype: Any = None, device: Any = None) -> Array:
    """The frequencies, in cycles per unit, of the elements of ``fft`` of n samples ``d`` apart.

    >>> import functrans.numpy as fnp
    >>> fnp.fft.fftfreq(4).tolist()
    [0.0, 0.25, -0.5, -0.25]
    """
    return _frequencies("fftfreq", lambda n: (np.arange(n) + n // 2) % n - n // 2, n, d, dtype)


def rfftfreq(n: int, d: ArrayLike = 1.0, *, dtype: Any = None, device: Any = None) -> Array:
    """The frequencies of the elements of ``rfft`` of n samples ``d`` apart."""
    return _frequencies("rfftfreq", lambda n: np.arange(n // 2 + 1), n, d, dtype)


def _shifted(operation: str, x: ArrayLike, axes: Any, sign: int) -> Array:
    array = as_array(operation, x)
    at = axis_indices(operation, axes, len(array.shape))
    return roll(array, tuple([sign * (array.shape[i] // 2) for i in at]), at)


def fftshift(x: ArrayLike, axes: int | Sequence[int] | None = None) -> Array:
    """The spectrum with frequency 0 in the middle of ``axes`` (all by default).

    >>> import functrans.numpy as fnp
    >>> fnp.fft.fftshift(fnp.array([0, 1, -2, -1])).tolist()
    [-2, -1, 0, 1]
    """
    return _shifted("fftshift", x, axes, 1)


def ifftshift(x: ArrayLike, axes: int | Sequence[int] | None = None) -> Array:
    """The inverse of ``fftshift``."""
    return _shifted("ifftshift", x, axes, -1)


__all__ = [
    "fft", "fft2", "fftfreq", "fftn", "fftshift", "hfft", "ifft", "ifft2", "ifftn", "ifftshift", "ihfft", "irfft",
    "irfft2", "irfftn", "rfft", "rfft2", "rfftfreq", "rfftn",
]  # fmt: skip

guard_namespace(globals())
