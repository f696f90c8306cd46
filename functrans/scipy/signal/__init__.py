"""``jax.scipy.signal`` by functrans: convolution and correlation of arrays of any rank."""

from functrans.scipy.signal.convolution import convolve, convolve2d, correlate, correlate2d, fftconvolve
from functrans.trace.frames import guard_namespace

__all__ = ["convolve", "convolve2d", "correlate", "correlate2d", "fftconvolve"]

guard_namespace(globals())
