"""Spectra of signals: Fourier transforms of windowed segments, their inverse, densities, and trends taken away."""

from __future__ import annotations

import importlib
import itertools
import operator
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from functrans import lax
from functrans import numpy as fnp
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.numpy import fft
from functrans.numpy.promotion import Array, ArrayLike, axis_indices, promote_dtypes, static_value

Trend = bool | str | Callable[[Any], Any]
_BOUNDARIES = (None, "zeros", "even", "odd", "constant")


def detrend(
    data: ArrayLike, axis: int = -1, type: str = "linear", bp: int | Sequence[int] = 0, overwrite_data: None = None
) -> Array:
    """The data less their mean, or less a line of least squares, or one between each two breakpoints.

    Args:
      data: of any rank.
      axis: along which.
      type: 'linear' or 'constant'.
      bp: where a new line begins, indices along the axis, for 'linear'.
      overwrite_data: not supported.

    Raises:
      ValueError: another type, or a breakpoint outside of the axis. NotImplementedError: ``overwrite_data``.

    >>> import functrans.numpy as fnp
    >>> from functrans.scipy import signal
    >>> signal.detrend(fnp.array([1., 4., 1.]), type="constant").tolist()
    [-1.0, 2.0, -1.0]
    """
    if overwrite_data is not None:
        raise NotImplementedError("detrend: overwrite_data is not supported; leave it out")
    if type not in ("linear", "constant"):
        raise FunctransValueError(f"detrend: type must be 'linear' or 'constant', got {type!r}")
    (x,) = promote_dtypes("detrend", fnp.asarray(data), inexact=True)
    x = fnp.asarray(x)
    if type == "constant":
        return x - fnp.mean(x, axis, keepdims=True)
    (along,) = axis_indices("detrend", (axis,), x.ndim)
    n = x.shape[along]
    ends = np.unique([0, *np.ravel(static_value("detrend", "bp", bp)), n]).astype(int)
    if ends[0] < 0 or ends[-1] > n:
        raise FunctransValueError(f"detrend: breakpoints must lie between 0 and {n}, got {bp!r}")
    x, parts = fnp.moveaxis(x, along, -1), []
    for low, high in itertools.pairwise(ends.tolist()):
        # orthogonal: a constant and a line of mean 0
        line = (np.arange(high - low) - (high - low - 1) / 2).astype(x.dtype)
        part = x[..., low:high]
        part = part - fnp.mean(part, -1, keepdims=True)
        norm = float(np.sum(line.real**2)) or 1.0
        parts.append(part - fnp.sum(part * line, -1, keepdims=True) * (line / x.dtype.type(norm)))
    return fnp.moveaxis(fnp.concatenate(parts, -1), -1, along)


def _whole(name: str, what: str, x: Any) -> int:
    value = operator.index(static_value(name, what, x))
    if value < 1 - (what == "noverlap"):
        raise FunctransValueError(f"{name}: {what} must be positive, got {value}")
    return value


def _last_axis(vector: Any, x: Any) -> Any:
    """A vector along the last axis of an array, in its dtype and with as many axes."""
    return fnp.asarray(vector, x.dtype).reshape((1,) * (x.ndim - 1) + vector.shape)


def _windowed(name: str, window: Any, nperseg: int | None, length: int | None, dtype: Any) -> tuple[Any, int]:
    """The window and its length, from its name or elements; for a signal of this length."""
    if isinstance(window, str | tuple):
        nperseg = 256 if nperseg is None else nperseg
        if length is not None and nperseg > length:
            warnings.warn(
                f"{name}: nperseg={nperseg} is greater than the signal's length {length}, which is used", stacklevel=4
            )
            nperseg = length
        # late: SciPy's windows take 0.2 s to import
        values = importlib.import_module("scipy.signal").get_window(window, nperseg)
        return fnp.asarray(values.astype(dtype)), nperseg
    win = fnp.asarray(window)
    if win.ndim != 1:
        raise FunctransValueError(f"{name}: the window must be a vector, got shape {tuple(win.shape)}")
    if length is not None and win.shape[0] > length:
        raise FunctransValueError(f"{name}: the window of {win.shape[0]} is longer than the signal of {length}")
    if nperseg not in (None, win.shape[0]):
        raise FunctransValueError(f"{name}: nperseg={nperseg} is not the window's length {win.shape[0]}")
    return win, win.shape[0]


def _extended(name: str, x: Any, n: int, boundary: str | None) -> Any:
    """n elements more on both ends of the last axis."""
    if boundary is None or not n:
        return x
    if boundary in ("even", "odd") and n > x.shape[-1] - 1:
        raise FunctransValueError(f"{name}: boundary={boundary!r} needs more than {n} elements, got {x.shape[-1]}")
    edges = [(0, 0)] * (x.ndim - 1) + [(n, n)]
    if boundary == "odd":
        left, right = x[..., n:0:-1], x[..., -2 : -n - 2 : -1]
        return fnp.concatenate([2 * x[..., :1] - left, x, 2 * x[..., -1:] - right], -1)
    mode = {"zeros": "constant", "even": "reflect", "constant": "edge"}[boundary]
    return fnp.pad(x, edges, mode)


def _spectra(
    name: str, x: ArrayLike, y: ArrayLike | None, fs: ArrayLike, window: Any, nperseg: Any, noverlap: Any, nfft: Any,
    trend: Trend, return_onesided: bool, scaling: str, axis: int, transform: bool, boundary: str | None = None,
    padded: bool = False,
) -> tuple[Any, Any, Any]:  # fmt: skip
    """Frequencies, times, and for each segment its transform, or its product with that of y: [..., f, ..., segment]."""
    if boundary not in _BOUNDARIES:
        raise FunctransValueError(f"{name}: boundary must be one of {_BOUNDARIES}, got {boundary!r}")
    if scaling not in ("density", "spectrum"):
        raise FunctransValueError(f"{name}: scaling must be 'density' or 'spectrum', got {scaling!r}")
    arrays = promote_dtypes(name, *[fnp.asarray(v) for v in (x, y) if v is not None], inexact=True)
    signals = [fnp.asarray(v) for v in arrays]
    if len({v.ndim for v in signals}) > 1:
        raise FunctransValueError(
            f"{name}: signals of one rank are needed, got shapes {tuple(signals[0].shape)} and "
            f"{tuple(signals[1].shape)}"
        )
    (along,) = axis_indices(name, (axis,), signals[0].ndim)
    real = np.finfo(signals[0].dtype).dtype
    complex_ = np.result_type(real, np.complex64)
    segment = None if nperseg is None else _whole(name, "nperseg", nperseg)
    win, segment = _windowed(name, window, segment, signals[0].shape[along], real)
    overlap = segment // 2 if noverlap is None else _whole(name, "noverlap", noverlap)
    length = segment if nfft is None else _whole(name, "nfft", nfft)
    if any(0 in v.shape for v in signals):
        lengths = [v.shape[along] for v in signals]
        outer = np.broadcast_shapes(*[(*v.shape[:along], *v.shape[along + 1 :]) for v in signals])
        shape = (*outer[:along], min(lengths), *outer[along:])
        return fnp.zeros(shape, real), fnp.zeros(shape, real), fnp.zeros(shape, complex_)
    if length < segment:
        raise FunctransValueError(f"{name}: nfft={length} must not be smaller than nperseg={segment}")
    if overlap >= segment:
        raise FunctransValueError(f"{name}: noverlap={overlap} must be smaller than nperseg={segment}")
    step = segment - overlap
    signals = [fnp.moveaxis(v, along, -1) for v in signals]
    longest = max(v.shape[-1] for v in signals)
    signals = [_extended(name, _zeros_after(v, longest - v.shape[-1]), segment // 2, boundary) for v in signals]
    if padded:
        signals = [_zeros_after(v, (-(v.shape[-1] - segment) % step) % segment) for v in signals]
    onesided = return_onesided and all(v.dtype.kind == "f" for v in signals)
    if return_onesided and not onesided:
        warnings.warn(f"{name}: the signal is complex: return_onesided=False is used", stacklevel=3)
    scale = 1.0 / (fs * fnp.sum(win * win)) if scaling == "density" else 1.0 / fnp.square(fnp.sum(win))
    scale = fnp.sqrt(scale) if transform else scale

    total = signals[0].shape[-1]
    places = np.arange(0, total - segment + 1, step)[:, None] + np.arange(segment)

    def transformed(v: Any) -> Any:
        parts = _without_trend(name, v[..., places], trend)
        parts *= _last_axis(win, parts)
        return fft.fft(parts, length) if not onesided else fft.rfft(fnp.real(parts), length)

    scale = fnp.asarray(scale, complex_)

    first = transformed(signals[0])
    if transform:
        result = first * scale
    else:
        result = fnp.conj(first) * (first if len(signals) == 1 else transformed(signals[1])) * scale
        if onesided:  # what stands for two frequencies
            twice = np.ones(result.shape[-1], real)
            twice[1 : None if length % 2 else -1] = 2
            result *= _last_axis(twice, result)
        if len(signals) == 1:
            result = fnp.real(result)
    frequencies = (fft.rfftfreq if onesided else fft.fftfreq)(length, 1.0, dtype=real) * fs
    start = segment / 2 if boundary is None else 0.0
    times = fnp.asarray((np.arange(len(places)) * step + start).astype(real))
    result = fnp.astype(result, complex_ if result.dtype.kind == "c" else real)
    return fnp.astype(frequencies, real), fnp.astype(times / fs, real), fnp.moveaxis(result, -1, along)


def _zeros_after(x: Any, n: int) -> Any:
    return x if n <= 0 else fnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, n)])


def _without_trend(name: str, x: Any, trend: Trend) -> Any:
    if isinstance(trend, str):
        return detrend(x, type=trend)
    if callable(trend):
        return trend(x)
    if trend:
        raise FunctransTypeError(f"{name}: detrend must be False, a type or a function, got {trend!r}")
    return x


def stft(
    x: ArrayLike, fs: ArrayLike = 1.0, window: Any = "hann", nperseg: int = 256, noverlap: int | None = None,
    nfft: int | None = None, detrend: Trend = False, return_onesided: bool = True, boundary: str | None = "zeros",
    padded: bool = True, axis: int = -1,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """The short-time Fourier transform: transforms of overlapping windowed segments.

    Args:
      x: a signal, of any rank.
      fs: its sampling frequency.
      window: a name or tuple of ``scipy.signal.get_window``, or the window's elements.
      nperseg: the length of segments.
      noverlap: how many elements neighbours share; half of them by default.
      nfft: the length of transforms, zeros behind a segment; ``nperseg`` by default.
      detrend: False, a type of ``detrend``, or a function of segments [..., segments, nperseg].
      return_onesided: for a real signal, no negative frequencies.
      boundary: what half a segment before and behind the signal is filled with: 'zeros', 'even', 'odd', 'constant' or
        None, where there is none.
      padded: fill the last segment with zeros.
      axis: of time.

    Returns:
      frequencies ``[f]``, times ``[t]``, and the transforms, with frequencies in the place of ``axis`` and times last.

    Raises:
      ValueError: lengths, a boundary or a window that do not fit.

    >>> import functrans.numpy as fnp
    >>> from functrans.scipy import signal
    >>> signal.stft(fnp.ones(8), nperseg=4)[2].shape
    (3, 5)
    """
    return _spectra(
        "stft", x, None, fs, window, nperseg, noverlap, nfft, detrend, return_onesided, "spectrum", axis, True,
        boundary, padded,
    )  # fmt: skip


def csd(
    x: ArrayLike, y: ArrayLike | None, fs: ArrayLike = 1.0, window: Any = "hann", nperseg: int | None = None,
    noverlap: int | None = None, nfft: int | None = None, detrend: Trend = "constant", return_onesided: bool = True,
    scaling: str = "density", axis: int = -1, average: str = "mean",
) -> tuple[Array, Array]:  # fmt: skip
    """The cross spectral density of two signals, by Welch's mean over segments.

    Args:
      x, y: signals of one rank; the shorter is filled with zeros. ``y=None``: the density of x, real.
      scaling: 'density', or 'spectrum' for powers.
      average: over segments: 'mean' or 'median'.
      The others are those of ``stft``.

    Returns:
      frequencies ``[f]``, and densities, with frequencies in the place of ``axis``.

    Raises:
      ValueError: what ``stft`` raises it for, another scaling or average.

    >>> import functrans.numpy as fnp
    >>> from functrans.scipy import signal
    >>> signal.csd(fnp.ones(8), fnp.arange(8.), nperseg=4)[1].shape
    (3,)
    """
    if average not in ("mean", "median"):
        raise FunctransValueError(f"csd: average must be 'mean' or 'median', got {average!r}")
    frequencies, _, density = _spectra(
        "csd", x, y, fs, window, nperseg, noverlap, nfft, detrend, return_onesided, scaling, axis, False
    )
    count = density.shape[-1] if density.ndim else 0
    if density.ndim < 2 or not density.size:
        return frequencies, density
    if count == 1:
        return frequencies, density[..., 0]
    if average == "mean":
        return frequencies, fnp.mean(density, -1)
    even = 2 * np.arange(1, (count - 1) // 2 + 1)
    bias = float(1 + np.sum(1.0 / (even + 1) - 1.0 / even))  # of a median of exponential variables
    if density.dtype.kind == "c":
        return frequencies, lax.complex(*[fnp.median(f(density), -1) / bias for f in (fnp.real, fnp.imag)])
    return frequencies, fnp.median(density, -1) / bias


def welch(
    x: ArrayLike, fs: ArrayLike = 1.0, window: Any = "hann", nperseg: int | None = None, noverlap: int | None = None,
    nfft: int | None = None, detrend: Trend = "constant", return_onesided: bool = True, scaling: str = "density",
    axis: int = -1, average: str = "mean",
) -> tuple[Array, Array]:  # fmt: skip
    """The power spectral density of a signal, by Welch's mean over segments: ``csd(x, None, ...)``.

    >>> import functrans.numpy as fnp
    >>> from functrans.scipy import signal
    >>> signal.welch(fnp.ones(8), nperseg=4)[1].shape
    (3,)
    """
    frequencies, density = csd(
        x, None, fs, window, nperseg, noverlap, nfft, detrend, return_onesided, scaling, axis, average
    )
    return frequencies, fnp.real(density)


def istft(
    Zxx: ArrayLike, fs: ArrayLike = 1.0, window: Any = "hann", nperseg: int | None = None, noverlap: int | None = None,
    nfft: int | None = None, input_onesided: bool = True, boundary: bool = True, time_axis: int = -1,
    freq_axis: int = -2,
) -> tuple[Array, Array]:  # fmt: skip
    """The signal whose short-time Fourier transform is this, or is nearest to it.

    Args:
      Zxx: transforms, with frequencies and times along two of its axes.
      nperseg: the length of segments; by default as many as the frequencies say.
      input_onesided: there are no negative frequencies.
      boundary: ``stft`` had one, which is cut off.
      time_axis, freq_axis: which axes.
      The others are those of ``stft``.

    Returns:
      times, and the signal ``[..., t]``.

    Raises:
      ValueError: axes, lengths or a window that do not fit.

    >>> import functrans.numpy as fnp
    >>> from functrans.scipy import signal
    >>> x = fnp.array([1., 2., 3., 2., 1., 0., 1., 2.])
    >>> signal.istft(signal.stft(x, nperseg=4)[2], nperseg=4)[1].round(4).tolist()
    [1.0, 2.0, 3.0, 2.0, 1.0, 0.0, 1.0, 2.0]
    """
    z = fnp.asarray(Zxx)
    if z.ndim < 2:
        raise FunctransValueError(f"istft: two axes at least are needed, got shape {tuple(z.shape)}")
    (time,), (frequency,) = (axis_indices("istft", (axis,), z.ndim) for axis in (time_axis, freq_axis))
    if time == frequency:
        raise FunctransValueError(f"istft: time_axis and freq_axis must differ, got {time_axis} and {freq_axis}")
    (z,) = promote_dtypes("istft", z, inexact=True)
    z = fnp.astype(z, np.result_type(z.dtype, np.complex64))
    count = z.shape[frequency]
    usual = 2 * (count - 1) if input_onesided else count
    segment = usual if nperseg is None else _whole("istft", "nperseg", nperseg)
    if nfft is not None:
        length = _whole("istft", "nfft", nfft)
    else:
        length = usual + (input_onesided and segment == usual + 1)
    overlap = segment // 2 if noverlap is None else _whole("istft", "noverlap", noverlap)
    if length < segment:
        raise FunctransValueError(f"istft: nfft={length} must not be smaller than nperseg={segment}")
    if overlap >= segment:
        raise FunctransValueError(f"istft: noverlap={overlap} must be smaller than nperseg={segment}")
    step = segment - overlap
    z = fnp.moveaxis(z, (time, frequency), (-2, -1))
    parts = (fft.irfft if input_onesided else fft.ifft)(z, length)[..., :segment]
    win, _ = _windowed("istft", window, segment, None, np.finfo(z.dtype).dtype)
    parts = parts * _last_axis(win * fnp.sum(win), parts)
    frames = parts.shape[-2]
    places = np.arange(frames)[:, None] * step + np.arange(segment)
    total = step * (frames - 1) + segment
    added = fnp.zeros((*parts.shape[:-2], total), parts.dtype).at[..., places].add(parts)
    norm = fnp.zeros((total,), win.dtype).at[places].add(fnp.broadcast_to(win * win, places.shape))
    if boundary:
        added, norm = (v[..., segment // 2 : total - segment // 2] for v in (added, norm))
    out = added / _last_axis(fnp.where(norm > 1e-10, norm, 1.0), added)
    if out.ndim > 1 and time != z.ndim - 1:
        out = fnp.moveaxis(out, -1, time - (frequency < time))
    return fnp.arange(out.shape[0], dtype=np.finfo(z.dtype).dtype) / fs, out


__all__ = ["csd", "detrend", "istft", "stft", "welch"]
