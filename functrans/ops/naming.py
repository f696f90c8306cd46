"""``name``: a value as it is, with a name that checkpoint policies can speak of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax

from functrans.errors import FunctransTypeError
from functrans.ir.types import ArrayType, describe
from functrans.ops.structural import LinearUnary
from functrans.trace.binding import bind
from functrans.trace.emitter import EmitterProtocol, Names, Types
from functrans.trace.primitive import Fusion, Lanes, Value


class Name(LinearUnary):
    """The operand as it is."""

    moves = True
    elementwise = True
    cheap = True
    fusion = Fusion.CHEAP
    name_: str
    name = "name"

    def infer(self, x: ArrayType) -> ArrayType:
        return x

    def impl(self, x: Any) -> Any:
        return x

    def transpose(self, cotangent: Any, x: Any) -> Sequence[Any]:
        return [cotangent]

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Any]:
        return bind(self, *operands), True

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        return operands[0]


def checkpoint_name(x: Any, name: str) -> Any:
    """The pytree of arrays ``x`` as it is; policies of ``checkpoint`` know its leaves under ``name``.

    Raises TypeError where the name is no string.

    >>> import functrans as ft
    >>> float(ft.checkpoint_name(3.0, "hidden"))
    3.0
    """
    if not isinstance(name, str):
        raise FunctransTypeError(f"checkpoint_name needs a string as its second argument, got {describe(name)}")
    return jax.tree_util.tree_map(lambda leaf: bind(Name(name), leaf), x)
