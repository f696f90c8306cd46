"""The discrete Fourier transform over the last axes and its inverse, of complex arrays and of real ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import ArrayType, array_type, short_dtype
from functrans.ops.complex_numbers import conj
from functrans.ops.elementwise import kind_of, mul, real_dtype
from functrans.ops.slicing import pad
from functrans.ops.structural import Axes, broadcast_in_dim, convert, full
from functrans.trace.binding import bind
from functrans.trace.detection import Detection, Entry
from functrans.trace.emitter import EmitterProtocol, Names, Types
from functrans.trace.primitive import Lanes, Primitive, Tangent, Value

KINDS = ("FFT", "IFFT", "RFFT", "IRFFT")


class Fft(Primitive):
    """``kind`` FFT, IFFT: complex to complex; RFFT: real to the half spectrum; IRFFT: back. IFFT and IRFFT divide by n.

    ``fft_lengths``: the sizes of the transformed axes, as they are where the array is not a spectrum.
    """

    fft_type: str
    fft_lengths: Axes
    name = "fft"

    def infer(self, x: ArrayType) -> ArrayType:
        kind, lengths = self.fft_type, self.fft_lengths
        if kind not in KINDS or not lengths:
            raise FunctransValueError(f"fft: the kind must be one of {KINDS} and lengths given, got {kind} {lengths}")
        wanted = "real (float32 or float64)" if kind == "RFFT" else "complex"
        if kind_of(x.dtype) != ("f" if kind == "RFFT" else "c") or x.dtype.itemsize < 4 or x.dtype.kind == "V":
            raise FunctransTypeError(f"fft: {kind} needs a {wanted} operand, got dtype {short_dtype(x.dtype)}")
        expected = (*lengths[:-1], lengths[-1] // 2 + 1) if kind == "IRFFT" else lengths
        if len(lengths) > x.ndim or x.shape[x.ndim - len(lengths) :] != expected:
            raise FunctransValueError(
                f"fft: {kind} with fft_lengths {lengths} needs an operand whose last axes have the sizes {expected}, "
                f"got shape {x.shape}"
            )
        lead = x.shape[: x.ndim - len(lengths)]
        if kind == "RFFT":
            to = np.dtype(np.complex64 if x.dtype.itemsize == 4 else np.complex128)
            return array_type((*lead, *lengths[:-1], lengths[-1] // 2 + 1), to)
        return array_type((*lead, *lengths), real_dtype(x.dtype) if kind == "IRFFT" else x.dtype)

    def sparsity(self, detection: Detection, operands: Sequence[Entry], types: Sequence[ArrayType]) -> Any:
        (x,) = operands
        lead = x.ndim - len(self.fft_lengths)
        reduced, shape = detection.reduced(x.sets, range(lead, x.ndim)), types[0].shape
        lanes = (*shape[:lead], *[1] * len(self.fft_lengths))
        return detection.renumbered(reduced, lambda numbers: np.broadcast_to(numbers.reshape(lanes), shape))

    def impl(self, x: Any) -> Any:
        x = np.asarray(x)
        axes = tuple(range(-len(self.fft_lengths), 0))
        to = self.infer(array_type(x.shape, x.dtype)).dtype
        if 0 in self.fft_lengths:
            return np.zeros(self.infer(array_type(x.shape, x.dtype)).shape, to)
        return getattr(np.fft, f"{self.fft_type.lower()}n")(x, self.fft_lengths, axes).astype(to)

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        return bind(self, primals[0]), bind(self, tangents[0])

    def transpose(self, cotangent: Any, x: Any) -> Sequence[Any]:
        count = math.prod(self.fft_lengths)
        if not count:
            return [full(x.shape, 0, x.dtype)]
        if self.fft_type == "RFFT":
            halves = mul(conj(cotangent), self._multiplicity(cotangent, 0.5))
            return [mul(bind(Fft("IRFFT", self.fft_lengths), halves), float(count))]
        if self.fft_type == "IRFFT":
            spectrum = bind(Fft("RFFT", self.fft_lengths), cotangent)
            return [conj(mul(mul(spectrum, self._multiplicity(spectrum, 2.0)), 1.0 / count))]
        return [bind(self, cotangent)]  # a symmetric matrix

    def _multiplicity(self, spectrum: Any, inside: float) -> Any:
        """``inside`` where an entry of the half spectrum stands for two of the whole, 1 where it stands for itself."""
        size = spectrum.shape[-1]
        alone = min(size, 2 if self.fft_lengths[-1] % 2 == 0 else 1)
        dtype = real_dtype(spectrum.dtype)
        middle = full((size - alone,), inside, dtype)
        factors = pad(middle, 1.0, [(1, alone - 1, 0)])
        return broadcast_in_dim(convert(factors, spectrum.dtype, False), spectrum.shape, (len(spectrum.shape) - 1,))

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Any]:
        return bind(self, operands[0]), True

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        x, out = in_types[0], out_types[0]
        name = operands[0]
        if x.size == 0 or out.size == 0:
            return emitter.splat(0, out)
        lengths = self.fft_lengths
        if self.fft_type == "IRFFT" and len(lengths) > 1:
            # cuFFT supposes symmetry along all axes; NumPy along the last one alone, which goes on its own here
            lead = x.ndim - len(lengths)
            order = [*range(lead), x.ndim - 1, *range(lead, x.ndim - 1)]
            back = [order.index(a) for a in range(x.ndim)]
            moved = x.update(shape=tuple([x.shape[a] for a in order]))
            name = emitter.op(f"stablehlo.transpose {name}, dims = {order}", [x], moved)
            name = self._text(emitter, name, "IFFT", lengths[:-1], moved, moved)
            name = emitter.op(f"stablehlo.transpose {name}, dims = {back}", [moved], x)
            lengths = lengths[-1:]
        return self._text(emitter, name, self.fft_type, lengths, x, out)

    def _text(
        self, emitter: EmitterProtocol, x: str, kind: str, lengths: Axes, x_type: ArrayType, out_type: ArrayType
    ) -> str:
        text = (
            f'"stablehlo.fft"({x}) <{{fft_length = {emitter.indices(lengths)}, '
            f"fft_type = #stablehlo<fft_type {kind}>}}>"
        )
        return emitter.op(text, [x_type], out_type)
