"""The family of elementwise operations whose program on a device is written in terms of other operations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from functrans.ir.program import Jaxpr, Literal
from functrans.ops.elementwise import Elementwise
from functrans.ops.structural import convert
from functrans.trace.emitter import EmitterProtocol, Names, Types
from functrans.trace.primitive import Fusion, Value
from functrans.trace.replay import trace


class Expanded(Elementwise):
    """An elementwise function of real operands that ``define`` gives in terms of others; its derivative is a rule."""

    accepts = "f"
    fusion = Fusion.COSTLY

    def define(self, *operands: Any) -> Any:
        """The function of operands of one shape in float32 or float64."""
        self.missing("define", "execution on a device")

    def program(self, types: Types) -> Jaxpr:
        """What ``define`` does to operands of these types, half precision computed in single; remembered."""
        programs = self.__dict__.setdefault("_programs", {})
        key = tuple([t.strong() for t in types])
        if key not in programs:
            dtype = key[0].dtype
            wide = dtype if dtype.itemsize >= 4 else np.dtype(np.float32)
            programs[key] = trace(
                lambda *xs: [convert(self.define(*[convert(x, wide) for x in xs]), dtype)], key, f"{self.name}.define"
            )[0]
        return programs[key]  # type: ignore[no-any-return]

    def in_place(self, operands: Sequence[Value]) -> tuple[Jaxpr, Sequence[Value]] | None:
        if type(self).lower is not Expanded.lower or any(type(x) is Literal for x in operands):
            return None  # it is written in another way, or a number stands for an array
        return self.program([x.type for x in operands]), operands

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        return emitter.inline(self.program(in_types), operands)[0]
