"""``debug.print`` and ``debug.callback``: look at values in compiled code without changing what it computes.

    debug_callback[callback=print ordered=False what=debug.print] x

A derivative keeps them in the primal program; what is printed of tangents, in a rule, is printed by the linear program
(control.at_zero) and dropped in the backward pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from functrans.control.host_functions import HostFunction, as_host_array
from functrans.control.lanes import lane_by_lane
from functrans.ir.effects import DEBUG, ORDERED_DEBUG, Effects
from functrans.ir.types import ArrayType
from functrans.trace.binding import bind_all
from functrans.trace.emitter import EmitterProtocol, Names, Types
from functrans.trace.primitive import Lanes, Primitive, Tangent, Value


class DebugCallback(Primitive):
    """A call of a Python function for its effect; it has no results. ``what`` is the name that the user called."""

    callback: HostFunction
    ordered: bool
    what: str
    multiple = True

    @property
    def effects(self) -> Effects:  # type: ignore[override]
        return frozenset((ORDERED_DEBUG if self.ordered else DEBUG,))

    def infer(self, *types: ArrayType) -> Any:
        return []

    def impl(self, *arrays: Any) -> Any:
        self.callback.call([as_host_array(x) for x in arrays])
        return []

    def physical(self, operands: Sequence[Any], types: Sequence[ArrayType]) -> Any:
        return bind_all(self, operands)

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        return bind_all(self, primals), []

    def transpose(self, cotangent: Any, *operands: Any) -> Sequence[Any]:
        return [None] * len(operands)

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Any]:
        return lane_by_lane(self, lanes, operands, mapped)

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        callback = self.callback

        def call(*arrays: Any) -> tuple[Any, ...]:
            callback.call(arrays)
            return ()

        return emitter.host_callback(call, operands, in_types, out_types, what=self.what, ordered=self.ordered)
