"""An operation run lane by lane under vmap: a ``scan`` over the mapped axis.

For operations that cannot be run on all lanes at once: callbacks that take one lane, and branches and loops with
effects that are to happen only for the lanes that take them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from functrans.control.holding import chosen, count
from functrans.control.scan import Scan
from functrans.errors import FunctransValueError
from functrans.ir.effects import is_ordered
from functrans.ir.types import array_type
from functrans.trace.binding import bind_all
from functrans.trace.primitive import Lanes, Primitive
from functrans.trace.replay import trace
from functrans.trace.state import operation_place


def lane_by_lane(
    op: Primitive, lanes: Lanes, operands: Sequence[Any], mapped: Sequence[bool], unroll: int = 1
) -> tuple[list[Any], list[bool]]:
    """The results of ``op`` for each lane, stacked; every one of them is mapped.

    Raises ValueError where the order of effects would be one of lanes first and not that of the program, and where the
    operation speaks of the mapped axis, for which all lanes have to be there at once.
    """
    if lanes.axis_name is not None and lanes.axis_name in op.axis_names():
        raise FunctransValueError(
            f"{op.name} has effects in what only some lanes do, so vmap runs it lane by lane, and it combines all "
            f"lanes along the axis {lanes.axis_name!r}, at {operation_place()}\n"
            "Take the collective or the effect out of it."
        )
    if is_ordered(op.effects):
        raise FunctransValueError(
            f"{op.name} has ordered effects, and under vmap all lanes reach them at once, at "
            f"{operation_place()}\nPass ordered=False, or go through the lanes one by one with "
            "functrans.lax.map instead of vmap."
        )
    types = [x.type for x in operands]
    shared = [not m for m in mapped]
    consts = chosen(types, shared)
    rows = [array_type(t.shape[1:], t.dtype, t.weak_type) for t in chosen(types, mapped)]

    def body(*inputs: Any) -> list[Any]:
        fixed, row = iter(inputs[: len(consts)]), iter(inputs[len(consts) :])
        return bind_all(op, [next(row) if m else next(fixed) for m in mapped])

    jaxpr, _ = trace(body, [*consts, *rows], f"vmap of {op.name}")
    scan = Scan(jaxpr, lanes.size, False, unroll, count(shared), 0)
    results = bind_all(scan, [*chosen(operands, shared), *chosen(operands, mapped)])
    return results, [True] * len(results)
