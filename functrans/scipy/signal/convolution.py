"""Convolution and correlation, by sums of products or by Fourier transforms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from functrans import lax
from functrans.errors import FunctransValueError
from functrans.numpy import fft
from functrans.numpy.arithmetic import conjugate, multiply
from functrans.numpy.creation import asarray
from functrans.numpy.promotion import COMPLEX, Array, ArrayLike, axis_indices, promote_dtypes

_MODES = ("full", "same", "valid")


def _operands(name: str, in1: ArrayLike, in2: ArrayLike, mode: str) -> list[Any]:
    operands = [asarray(x) for x in promote_dtypes(name, asarray(in1), asarray(in2), inexact=True)]
    first, second = (tuple(x.shape) for x in operands)
    if mode not in _MODES:
        raise FunctransValueError(f"{name}: mode must be 'full', 'same' or 'valid', got {mode!r}")
    if len(first) != len(second):
        raise FunctransValueError(f"{name}: operands of one rank are needed, got shapes {first} and {second}")
    if 0 in first + second:
        raise FunctransValueError(f"{name}: operands with elements are needed, got shapes {first} and {second}")
    return operands


def _larger_first(name: str, x: Any, y: Any) -> tuple[Any, Any]:
    if all(n >= m for n, m in zip(x.shape, y.shape, strict=True)):
        return x, y
    if all(n <= m for n, m in zip(x.shape, y.shape, strict=True)):
        return y, x
    raise FunctransValueError(
        f"{name}: one operand must be at least as large as the other along every axis, got shapes {tuple(x.shape)} and "
        f"{tuple(y.shape)}; method='fft' has no such limit where mode is 'full' or 'same'"
    )


def convolve(
    in1: ArrayLike, in2: ArrayLike, mode: str = "full", method: str = "auto", precision: Any = None
) -> Array:
    """The convolution of two arrays: out[k] = sum over j of in1[k - j] in2[j], along every axis.

    Args:
      in1: ``[...]`` of any rank.
      in2: of the same rank; by the direct method one of both is at least as large as the other along every axis.
      mode: 'full' (n + m - 1 elements along an axis), 'same' (the middle of them, as many as in1 has), or 'valid'
        (where the smaller lies wholly in the larger).
      method: 'direct' sums products, 'fft' goes through Fourier transforms; 'auto' is direct.
      precision: of the products, as for ``lax.conv_general_dilated``.

    Raises:
      ValueError: operands that do not fit together, or without elements; another mode or method.

    >>> import functrans.numpy as fnp
    >>> from functrans.scipy import signal
    >>> signal.convolve(fnp.ones((2, 2)), fnp.ones((1, 2)), mode="same").tolist()
    [[1.0, 2.0], [1.0, 2.0]]
    """
    return _convolve("convolve", in1, in2, mode, method, precision)


def _convolve(name: str, in1: ArrayLike, in2: ArrayLike, mode: str, method: str, precision: Any) -> Any:
    if method not in ("auto", "direct", "fft"):
        raise FunctransValueError(f"{name}: method must be 'auto', 'direct' or 'fft', got {method!r}")
    if method == "fft":
        return _by_fft(name, in1, in2, mode, None)
    x, y = _operands(name, in1, in2, mode)
    rank, wanted = x.ndim, tuple(x.shape)
    if not rank:
        return multiply(x, y)
    x, y = _larger_first(name, x, y)
    if mode == "valid":
        padding = [(0, 0)] * rank
    elif mode == "full":
        padding = [(m - 1, m - 1) for m in y.shape]
    else:  # the middle of 'full', as many as in1 has
        padding = []
        for n, m, out in zip(x.shape, y.shape, wanted, strict=True):
            before = (n + m - 1 - out) // 2
            padding.append((m - 1 - before, out - n + before))
    found = lax.conv_general_dilated(
        lax.expand_dims(x, (0, 1)), lax.expand_dims(lax.rev(y, tuple(range(rank))), (0, 1)), (1,) * rank, padding,
        precision=precision,
    )  # fmt: skip
    return lax.reshape(found, found.shape[2:])


def fftconvolve(in1: ArrayLike, in2: ArrayLike, mode: str = "full", axes: Sequence[int] | None = None) -> Array:
    """The convolution of two arrays through Fourier transforms, which is quick where both are large.

    Args: in1, in2 and mode as for ``convolve``; ``axes``: those to convolve along, all by default. Along the others
      both operands have one size, and row goes with row.

    Raises:
      ValueError: operands that do not fit together, or without elements; another mode.

    >>> import functrans.numpy as fnp
    >>> from functrans.scipy import signal
    >>> [round(float(x), 4) for x in signal.fftconvolve(fnp.array([1., 2.]), fnp.array([1., 10.]))]
    [1.0, 12.0, 20.0]
    """
    return _by_fft("fftconvolve", in1, in2, mode, axes)


def _by_fft(name: str, in1: ArrayLike, in2: ArrayLike, mode: str, axes: Any) -> Any:
    x, y = _operands(name, in1, in2, mode)
    along = axis_indices(name, axes, x.ndim)
    if any(x.shape[i] != y.shape[i] for i in range(x.ndim) if i not in along):
        raise FunctransValueError(
            f"{name}: along axes that are not convolved both operands must have one size, got shapes {tuple(x.shape)} "
            f"and {tuple(y.shape)} for axes {along}"
        )
    if mode == "valid":
        x, y = _larger_first(name, x, y)
    sizes = {i: x.shape[i] + y.shape[i] - 1 for i in along}
    if all(1 in (x.shape[i], y.shape[i]) for i in along):
        found = multiply(x, y)
    else:
        lengths = tuple(sizes.values())
        forward, back = (fft.fftn, fft.ifftn) if x.dtype in COMPLEX else (fft.rfftn, fft.irfftn)
        found = back(multiply(forward(x, lengths, along), forward(y, lengths, along)), lengths, along)
    starts, ends = [0] * x.ndim, list(found.shape)
    for i, size in sizes.items():
        out = {"full": size, "same": x.shape[i], "valid": x.shape[i] - y.shape[i] + 1}[mode]
        starts[i] = (size - out) // 2
        ends[i] = starts[i] + out
    return lax.slice(found, starts, ends)


def correlate(
    in1: ArrayLike, in2: ArrayLike, mode: str = "full", method: str = "auto", precision: Any = None
) -> Array:
    """The correlation of two arrays: out[k] = sum over j of in1[k + j] conj(in2[j]), along every axis.

    Arguments and errors are those of ``convolve``.

    >>> import functrans.numpy as fnp
    >>> from functrans.scipy import signal
    >>> signal.correlate(fnp.array([1., 2., 3.]), fnp.array([1., 10.]), mode="valid").tolist()
    [21.0, 32.0]
    """
    return _convolve("correlate", in1, _turned(in2), mode, method, precision)


def _turned(x: ArrayLike) -> Any:
    x = conjugate(asarray(x))
    return lax.rev(x, tuple(range(x.ndim)))


def _of_matrices(name: str, in1: ArrayLike, in2: ArrayLike, boundary: str, fillvalue: float) -> None:
    if boundary != "fill" or fillvalue != 0:
        raise FunctransValueError(
            f"{name}: only boundary='fill' with fillvalue=0 is supported, got {boundary!r} and {fillvalue!r}"
        )
    shapes = [tuple(asarray(x).shape) for x in (in1, in2)]
    if any(len(shape) != 2 for shape in shapes):
        raise FunctransValueError(f"{name}: two matrices are needed, got shapes {shapes[0]} and {shapes[1]}")


def convolve2d(
    in1: ArrayLike, in2: ArrayLike, mode: str = "full", boundary: str = "fill", fillvalue: float = 0,
    precision: Any = None,
) -> Array:  # fmt: skip
    """The convolution of two matrices with zeros around them, as ``convolve``.

    >>> import functrans.numpy as fnp
    >>> from functrans.scipy import signal
    >>> signal.convolve2d(fnp.ones((2, 2)), fnp.ones((2, 2)), mode="valid").tolist()
    [[4.0]]
    """
    _of_matrices("convolve2d", in1, in2, boundary, fillvalue)
    return _convolve("convolve2d", in1, in2, mode, "direct", precision)


def correlate2d(
    in1: ArrayLike, in2: ArrayLike, mode: str = "full", boundary: str = "fill", fillvalue: float = 0,
    precision: Any = None,
) -> Array:  # fmt: skip
    """The correlation of two matrices with zeros around them, as ``correlate``, but for two conventions of SciPy's.

    'same' starts one element later along axes where in2 has an even size, and 'valid' conjugates the smaller matrix.

    >>> import functrans.numpy as fnp
    >>> from functrans.scipy import signal
    >>> signal.correlate2d(fnp.array([[1., 2.]]), fnp.array([[0., 1.]]), mode="valid").tolist()
    [[2.0]]
    """
    _of_matrices("correlate2d", in1, in2, boundary, fillvalue)
    x, y = asarray(in1), asarray(in2)
    if mode == "same":
        found = _convolve("correlate2d", lax.rev(x, (0, 1)), conjugate(y), mode, "direct", precision)
        return lax.rev(found, (0, 1))
    found = _convolve("correlate2d", x, _turned(y), mode, "direct", precision)
    smaller_first = x.shape != y.shape and all(n <= m for n, m in zip(x.shape, y.shape, strict=True))
    return conjugate(found) if mode == "valid" and smaller_first else found


__all__ = ["convolve", "convolve2d", "correlate", "correlate2d", "fftconvolve"]
