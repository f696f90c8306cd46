"""Operations on how values are stored and scheduled: bits, precision, and a barrier to XLA's moving of work."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any

import jax
import ml_dtypes
import numpy as np

from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import (
    SMALLER_THAN_A_BYTE,
    ArrayType,
    array_type,
    bits_of,
    canonical_dtype,
    is_differentiable,
    kind_of,
    short_dtype,
    type_of,
)
from functrans.ops.structural import LinearUnary
from functrans.trace.binding import bind, bind_all
from functrans.trace.detection import Detection, Entry
from functrans.trace.emitter import EmitterProtocol, Names, Types
from functrans.trace.primitive import Fusion, Lanes, Primitive, Tangent, Value, is_linear


class BitcastConvertType(Primitive):
    """The same bits read as another dtype; a dtype of another width removes or adds a last axis."""

    fusion = Fusion.CHEAP
    to: np.dtype[Any]

    def infer(self, x: ArrayType) -> ArrayType:
        source, to = bits_of(x.dtype), bits_of(self.to)
        if (x.dtype.kind == "c") != (self.to.kind == "c"):
            raise FunctransTypeError(
                f"bitcast_convert_type: {x} cannot be read as {short_dtype(self.to)}: only one of them is complex"
            )
        if np.bool_ in (x.dtype, self.to) and x.dtype != self.to:
            raise FunctransTypeError(
                f"bitcast_convert_type: {x} cannot be read as {short_dtype(self.to)}: bools have no bits"
            )
        if source == to:
            shape = x.shape
        elif source < to:
            if not x.shape or x.shape[-1] != to // source:
                raise FunctransTypeError(
                    f"bitcast_convert_type: the last axis of {x} must have size {to // source} to become "
                    f"{short_dtype(self.to)}"
                )
            shape = x.shape[:-1]
        else:
            shape = (*x.shape, source // to)
        return array_type(shape, self.to, False)

    def impl(self, x: Any) -> Any:
        out = self.infer(type_of(np.asarray(x)))
        if SMALLER_THAN_A_BYTE.isdisjoint((x.dtype, self.to)):
            return np.frombuffer(np.ascontiguousarray(x).tobytes(), self.to).reshape(out.shape)
        apart = np.ascontiguousarray(x).view(np.uint8).reshape((*np.shape(x), x.dtype.itemsize))
        bits = np.unpackbits(apart, axis=-1, bitorder="little")[..., : bits_of(x.dtype)]
        joined = np.packbits(bits.reshape((*out.shape, bits_of(self.to))), axis=-1, bitorder="little")
        if kind_of(self.to) == "i" and bits_of(self.to) < 8:
            sign = np.uint8(1 << bits_of(self.to) - 1)
            joined = (joined ^ sign) - sign  # the bits in front are those of the sign
        return joined.view(self.to).reshape(out.shape)

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        return bind(self, primals[0]), None

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Any]:
        return bind(self, operands[0]), True

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        return emitter.op(f"stablehlo.bitcast_convert {operands[0]}", in_types, out_types[0])


class ReducePrecision(LinearUnary):
    """Values rounded to a float with these numbers of bits; the derivative is rounded likewise."""

    elementwise = True
    fusion = Fusion.CHEAP
    exponent_bits: int
    mantissa_bits: int

    def infer(self, x: ArrayType) -> ArrayType:
        if not is_differentiable(x.dtype) or x.dtype.kind == "c":
            raise FunctransTypeError(f"reduce_precision: the operand must be real and floating, got {x}")
        if self.exponent_bits < 1 or self.mantissa_bits < 0:
            raise FunctransValueError(
                "reduce_precision: at least one bit of exponent and none of mantissa less than zero"
            )
        return x

    def impl(self, x: Any) -> Any:
        x = np.asarray(x)
        limits: Any = ml_dtypes.finfo(x.dtype)  # type: ignore[no-untyped-call]
        least = 2 - 2 ** (self.exponent_bits - 1)  # the smallest exponent of a normal number
        wide = x.astype(np.float64) if x.dtype.itemsize < 8 else x
        mantissa, exponent = np.frexp(wide)
        digits = min(self.mantissa_bits, limits.nmant) + 1
        rounded = np.ldexp(np.rint(np.ldexp(mantissa, digits)), exponent - digits)
        if self.exponent_bits < limits.nexp:
            rounded = np.where(np.abs(rounded) < 2.0**least, np.copysign(0, wide), rounded)
            largest = 2.0 ** (2 ** (self.exponent_bits - 1) - 1) * (2 - 2.0 ** (1 - digits))
            rounded = np.where(np.abs(rounded) > largest, np.copysign(np.inf, wide), rounded)
        return np.where(np.isfinite(wide), rounded, wide).astype(x.dtype)

    def transpose(self, cotangent: Any, x: Any) -> Sequence[Any]:
        return [bind(self, cotangent)]

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Any]:
        return bind(self, operands[0]), True

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        return emitter.raw(
            f"stablehlo.reduce_precision {operands[0]}, format = e{self.exponent_bits}m{self.mantissa_bits} : "
            f"{emitter.text(out_types[0])}"
        )


class OptimizationBarrier(Primitive):
    """The operands themselves; XLA moves no work across."""

    moves = True
    multiple = True

    def infer(self, *types: ArrayType) -> list[ArrayType]:
        return list(types)

    def sparsity(self, detection: Detection, operands: Sequence[Entry], types: Sequence[ArrayType]) -> Any:
        return [x.sets for x in operands]

    def impl(self, *arrays: Any) -> Any:
        return list(arrays)

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        given = [t for t in tangents if t is not None]
        slopes = iter(bind_all(self, given))
        return bind_all(self, primals), [None if t is None else next(slopes) for t in tangents]

    def transpose(self, cotangent: Any, *operands: Any) -> Sequence[Any]:
        slopes = iter(bind_all(self, [ct for ct in cotangent if ct is not None]))
        passed = [None if ct is None else next(slopes) for ct in cotangent]
        return [ct if is_linear(x) else None for ct, x in zip(passed, operands, strict=True)]

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Any]:
        return bind_all(self, operands), list(mapped)

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        return emitter.barrier(operands, in_types)


class Keep(OptimizationBarrier):
    """The operands themselves, kept where XLA's fusion would compute them again for each reader.

    On CPU only: the compiler for GPUs weighs what it computes again against another launch (docs/unrolled.md).
    """

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        return super().lower(emitter, operands, in_types, out_types) if emitter.platform == "cpu" else list(operands)


OPTIMIZATION_BARRIER = OptimizationBarrier()
KEEP = Keep()


def bitcast_convert_type(operand: Any, new_dtype: Any) -> Any:
    """The same bits read as another dtype."""
    return bind(BitcastConvertType(canonical_dtype(new_dtype)), operand)


def reduce_precision(operand: Any, exponent_bits: int, mantissa_bits: int) -> Any:
    """Values rounded to a float with these numbers of bits."""
    return bind(ReducePrecision(index(exponent_bits), index(mantissa_bits)), operand)


def optimization_barrier(operand: Any) -> Any:
    """A pytree of arrays as it is; XLA moves no work across."""
    leaves, tree = jax.tree_util.tree_flatten(operand)
    return jax.tree_util.tree_unflatten(tree, bind_all(OPTIMIZATION_BARRIER, leaves)) if leaves else operand


__all__ = [
    "BitcastConvertType", "OptimizationBarrier", "ReducePrecision", "bitcast_convert_type", "optimization_barrier",
    "reduce_precision",
]  # fmt: skip
