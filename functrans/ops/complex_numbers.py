"""Complex numbers and their parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from functrans.errors import FunctransTypeError
from functrans.ir.types import short_dtype, type_of
from functrans.ops.elementwise import COMPLEX, Elementwise, binary, kind_of, neg, real_dtype, undone
from functrans.ops.structural import full
from functrans.trace.binding import bind
from functrans.trace.emitter import EmitterProtocol, Names, Types
from functrans.trace.primitive import Tangent, Value, is_linear


class _Part(Elementwise):
    cheap = True
    accepts = "c"

    def result_dtype(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        return real_dtype(dtype)

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        return bind(self, primals[0]), bind(self, tangents[0])

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        return emitter.op(f"stablehlo.{self.hlo} {operands[0]}", in_types, out_types[0])


class Real(_Part):
    hlo = "real"
    reference = staticmethod(np.real)

    def transpose(self, cotangent: Any, x: Any) -> Sequence[Any]:
        return [complex_(cotangent, full(cotangent.shape, 0, cotangent.dtype))]


class Imag(_Part):
    hlo = "imag"
    reference = staticmethod(np.imag)

    def transpose(self, cotangent: Any, x: Any) -> Sequence[Any]:
        return [complex_(full(cotangent.shape, 0, cotangent.dtype), neg(cotangent))]


class Complex(Elementwise):
    """real + i imag from two real arrays."""

    accepts = "f"

    def result_dtype(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        if dtype.itemsize < 4:
            raise FunctransTypeError(f"{self.name}: there are no complex numbers with parts of {short_dtype(dtype)}")
        return np.dtype(np.complex64 if dtype.itemsize == 4 else np.complex128)

    def impl(self, *arrays: Any) -> Any:
        re, im = arrays
        return (np.asarray(re) + 1j * np.asarray(im)).astype(self.result_dtype(np.asarray(re).dtype))

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        out = bind(self, *primals)
        parts = [full(out.shape, 0, real_dtype(out.dtype)) if t is None else t for t in tangents]
        return out, bind(self, *parts)

    def transpose(self, cotangent: Any, re: Any, im: Any) -> Sequence[Any]:
        return [real(cotangent) if is_linear(re) else None, neg(imag(cotangent)) if is_linear(im) else None]

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        part = out_types[0].update(dtype=real_dtype(out_types[0].dtype))
        return emitter.op(f"stablehlo.complex {', '.join(operands)}", [part, part], out_types[0])


class Conj(Elementwise):
    cheap = True
    accepts = "c"
    reference = staticmethod(np.conj)

    @staticmethod
    def fold(x: Any) -> Any:
        return undone(CONJ, x)

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        return conj(primals[0]), conj(tangents[0])

    def transpose(self, cotangent: Any, x: Any) -> Sequence[Any]:
        return [conj(cotangent)]

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        part = out_types[0].update(dtype=real_dtype(out_types[0].dtype))
        re = emitter.op(f"stablehlo.real {operands[0]}", in_types, part)
        im = emitter.op(f"stablehlo.imag {operands[0]}", in_types, part)
        im = emitter.elementwise("negate", [im], [part], part)
        return emitter.op(f"stablehlo.complex {re}, {im}", [part, part], out_types[0])


REAL, IMAG, MAKE_COMPLEX, CONJ = Real(), Imag(), Complex(), Conj()


def real(x: Any) -> Any:
    """The real part of a complex array."""
    return bind(REAL, x)


def imag(x: Any) -> Any:
    """The imaginary part of a complex array."""
    return bind(IMAG, x)


def complex_(x: Any, y: Any) -> Any:
    """x + iy."""
    return binary(MAKE_COMPLEX, x, y)


def conj(x: Any) -> Any:
    """The complex conjugate; x itself when it is real."""
    return bind(CONJ, x) if kind_of(type_of(x).dtype) == COMPLEX else x
