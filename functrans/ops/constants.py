"""Arrays that stand in a program.

What a program closes over becomes an input of it. A program that a transform derives from one which others hold already
(the derivative of a loop's body) can have no further inputs: an array that a derivative rule, traced only then, closes
over stands in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from functrans.errors import InternalError
from functrans.ir.program import Equation, Jaxpr
from functrans.ir.types import ArrayType, array_type
from functrans.trace.emitter import EmitterProtocol, Names, Types
from functrans.trace.primitive import Primitive
from functrans.trace.replay import trace
from functrans.trace.tracer import Tracer

_CARRIED = {"bool": "uint8", "int2": "int8", "int4": "int8", "uint2": "uint8", "uint4": "uint8"}  # smaller than a byte


class Constant(Primitive):
    """An array: its bytes, in row-major order."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    data: bytes
    weak_type: bool = False

    def __repr__(self) -> str:
        return f"constant[shape={self.shape} dtype={self.dtype}]"

    def infer(self) -> ArrayType:
        return array_type(self.shape, self.dtype, self.weak_type)

    def impl(self) -> Any:
        return np.frombuffer(self.data, self.dtype).reshape(self.shape)

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        (type_,) = out_types
        carrier = _CARRIED.get(self.dtype.name)
        if carrier is None:
            return emitter.raw(f"stablehlo.constant dense<{_text(self.data)}> : {emitter.text(type_)}")
        carried = array_type(self.shape, np.dtype(carrier))
        data = self.impl().astype(carried.dtype).tobytes()
        value = emitter.raw(f"stablehlo.constant dense<{_text(data)}> : {emitter.text(carried)}")
        return emitter.op(f"stablehlo.convert {value}", [carried], type_)


def _text(data: bytes) -> str:
    return f'"0x{data.hex()}"' if data else ""


def trace_closed(function: Callable[..., Sequence[Any]], types: Sequence[Any], purpose: str) -> Jaxpr:
    """(types of the inputs) -> the jaxpr of a flat function that has no further inputs."""
    return _close(*trace(function, types, purpose))


def _close(jaxpr: Jaxpr, captured: Sequence[Any]) -> Jaxpr:
    """The program with the arrays captured, its leading inputs, standing in it."""
    if not captured:
        return jaxpr
    if any(type(x) is Tracer for x in captured):
        raise InternalError("a derived program captured a traced value")
    equations = [
        Equation(
            Constant(v.type.dtype, v.type.shape, np.asarray(x, v.type.dtype).tobytes(), v.type.weak_type), [], [v], None
        )
        for v, x in zip(jaxpr.inputs[: len(captured)], captured, strict=True)
    ]
    return Jaxpr(jaxpr.inputs[len(captured) :], [*equations, *jaxpr.equations], jaxpr.outputs)
