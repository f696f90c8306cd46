"""The discrete Fourier transform, under the name of ``jax.lax``."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any

import numpy as np

from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import short_dtype, type_of
from functrans.ops.elementwise import kind_of
from functrans.ops.fourier import KINDS, Fft
from functrans.ops.structural import convert
from functrans.trace.binding import bind


class FftType(enum.IntEnum):
    """Which transform: complex, its inverse, of real arrays, back to real arrays."""

    FFT = 0
    IFFT = 1
    RFFT = 2
    IRFFT = 3


def fft(x: Any, fft_type: Any, fft_lengths: Sequence[int]) -> Any:
    """The discrete Fourier transform over the last ``len(fft_lengths)`` axes.

    Args:
      x: real for 'rfft', else complex (converted from real if need be).
      fft_type: ``FftType`` or 'fft', 'ifft', 'rfft', 'irfft'.
      fft_lengths: the sizes of the axes (of the result for 'irfft').

    Raises:
      TypeError: an unknown kind of ``fft_type``, or a complex operand for 'rfft'.
      ValueError: an unknown transform, or lengths that do not fit the operand.

    >>> from functrans import lax
    >>> import numpy as np
    >>> lax.fft(np.complex64([1, 2, 3]), 'fft', (3,)).real.tolist()
    [6.0, -1.5, -1.5]
    """
    kind = fft_type.upper() if isinstance(fft_type, str) else getattr(fft_type, "name", None)
    if kind is None:
        raise FunctransTypeError(f"fft: the transform must be an FftType or a string, got {fft_type!r}")
    if kind not in KINDS:
        raise FunctransValueError(f"fft: unknown transform {fft_type!r}; use 'fft', 'ifft', 'rfft' or 'irfft'")
    dtype = type_of(x).dtype
    wide = dtype in (np.float64, np.complex128, np.int64, np.uint64)
    if kind == "RFFT":
        if kind_of(dtype) == "c":
            raise FunctransTypeError(f"fft: 'rfft' needs a real operand, got dtype {short_dtype(dtype)}")
        x = convert(x, np.dtype(np.float64 if wide else np.float32))
    else:
        x = convert(x, np.dtype(np.complex128 if wide else np.complex64))
    lengths = tuple(map(int, fft_lengths))
    return bind(Fft(kind, lengths), x) if lengths else x
