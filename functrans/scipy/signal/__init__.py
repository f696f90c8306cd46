"""``jax.scipy.signal`` by functrans: convolution and correlation of arrays of any rank, spectra of signals."""

from functrans.scipy.signal.convolution import convolve, convolve2d, correlate, correlate2d, fftconvolve
from functrans.scipy.signal.spectral import csd, detrend, istft, stft, welch
from functrans.trace.frames import guard_namespace

__all__ = [
    "convolve", "convolve2d", "correlate", "correlate2d", "csd", "detrend", "fftconvolve", "istft", "stft", "welch",
]  # fmt: skip

guard_namespace(globals())
