"""``error_if`` and ``check``: errors about values, raised by compiled code after the call.

    check[callback=error_if] failed x

Nothing is called while the values are as they should be: the Python function stands in a branch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from functrans.control.holding import row
from functrans.control.host_functions import HostFunction
from functrans.errors import CheckError, FunctransTypeError
from functrans.ir.effects import CHECK
from functrans.ir.program import Where
from functrans.ir.types import ArrayType
from functrans.ops.reductions import argmax, reduce_or
from functrans.ops.structural import convert
from functrans.trace.binding import bind_all
from functrans.trace.emitter import EmitterProtocol, Names, Types
from functrans.trace.frames import describe_place
from functrans.trace.primitive import Lanes, Primitive, Tangent, Value

BOOLEAN = np.dtype(np.bool_)


class Message:
    """The function behind a check: raises the error, with the values filled in."""

    def __init__(self, text: str, what: str, place: Where) -> None:
        self.text, self.what, self.place = text, what, place
        self.__name__ = what
        self.host_key = (text, what)  # the place is that of the HostFunction

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        text = self.text.format(*args, **kwargs) if args or kwargs else self.text
        raise CheckError(f"{text}\n    raised by {self.what} at {describe_place(self.place)}")


def call_where(emitter: EmitterProtocol, flag: Any, call: Any, operands: Names, in_types: Types) -> Any:
    """Call a Python function of the operands, which raises, where the flag, a bool scalar, is true."""

    def raising(_: Any) -> list[str]:
        emitter.host_callback(call, operands, in_types, [], what="")
        return []

    fails, passes = emitter.region([], raising, []), emitter.region([], lambda _: [], [])
    return emitter.raw_many(f'"stablehlo.if"({flag}) ({fails}, {passes}) : (tensor<i1>) -> ()', 0)


class Check(Primitive):
    """Operands ``(failed: bool[], *values)``: calls ``callback``, which raises, where ``failed`` is true."""

    callback: HostFunction
    multiple = True
    effects = frozenset((CHECK,))

    def infer(self, *types: ArrayType) -> Any:
        if types[0].shape or types[0].dtype != BOOLEAN:
            raise FunctransTypeError(f"check: the flag must be a bool scalar, got {types[0]}")
        return []

    def impl(self, *arrays: Any) -> Any:
        if np.any(arrays[0]):
            self.callback.call([np.asarray(x) for x in arrays[1:]])
        return []

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        return bind_all(self, primals), []

    def transpose(self, cotangent: Any, *operands: Any) -> Sequence[Any]:
        return [None] * len(operands)

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Any]:
        """Any lane; the message shows the values of the first that fails."""
        failed, *values = operands
        lane = convert(argmax(failed, 0), np.dtype(np.int32)) if mapped[0] else 0
        shown = [row(x, lane) if m else x for x, m in zip(values, mapped[1:], strict=True)]
        return bind_all(self, [reduce_or(failed, (0,)) if mapped[0] else failed, *shown]), []

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        callback = self.callback

        def call(*arrays: Any) -> tuple[Any, ...]:
            callback.call(arrays)
            return ()

        return call_where(emitter, operands[0], call, operands[1:], in_types[1:])
