"""Programs that do nothing in a lane that is done: ``(inputs) -> outputs`` becomes ``(mask, inputs) -> outputs``.

Where the mask is false, an output that has to keep the value of an input keeps it, the loops inside do not run, and all
other outputs are unspecified. An array that the program updates in place is kept without copying it: the update is made
to write what stands there already, or nothing at all.

    { lambda ; x i v. let y = dynamic_update_slice x v i in (y,) }            becomes, where y keeps x,

    { lambda ; m x i v. let u = dynamic_slice x i; w = select m v u; y = dynamic_update_slice x w i in (y,) }
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from functrans.ir.program import Equation, Jaxpr, all_equations, subjaxprs
from functrans.ir.types import array_type
from functrans.ops.logic import choose
from functrans.trace.replay import emit, replay, trace

_BOOL = array_type((), np.dtype(np.bool_))


def updates_of(jaxpr: Jaxpr, output: int, root: int) -> list[Equation] | None:
    """The equations that make an output of an input by updating it in place, none if it is that input; else None."""
    producers = {v: eqn for eqn in jaxpr.equations for v in eqn.outputs}
    a, chain = jaxpr.outputs[output], []
    while a is not jaxpr.inputs[root]:
        eqn = producers.get(a)  # type: ignore[arg-type]
        if eqn is None or not eqn.op.updates([x.type for x in eqn.inputs]):
            return None
        chain.append(eqn)
        a = eqn.inputs[0]
    return chain


def masked(jaxpr: Jaxpr, keep: tuple[int | None, ...]) -> Jaxpr:
    """The program under a mask; ``keep``: for each output the input whose value it keeps, or None. Remembered."""
    return jaxpr.remember(("masked", keep), lambda: _masked(jaxpr, keep))


def under_mask(jaxpr: Jaxpr) -> Jaxpr:
    """The program under a mask, its outputs unspecified where the mask, its first input, is false."""
    return masked(jaxpr, (None,) * len(jaxpr.outputs))


def _masked(jaxpr: Jaxpr, keep: tuple[int | None, ...]) -> Jaxpr:
    chains = [None if root is None else updates_of(jaxpr, k, root) for k, root in enumerate(keep)]
    inside = {id(eqn) for chain in chains for eqn in chain or ()}

    def function(mask: Any, *inputs: Any) -> list[Any]:
        def rule(eqn: Equation, operands: list[Any]) -> Sequence[Any]:
            if id(eqn) in inside or may_not_end(eqn):
                return eqn.op.run_where(mask, operands)
            return emit(eqn, operands)

        outs = replay(jaxpr, inputs, rule)
        return [
            x if root is None or chain is not None else choose(mask, x, inputs[root])
            for x, root, chain in zip(outs, keep, chains, strict=True)
        ]

    program, captured = trace(function, [_BOOL, *jaxpr.in_types], "a program under a mask")
    assert not captured
    return program


def may_not_end(eqn: Equation) -> bool:
    """Whether the operation is, or holds, a loop that may not end on operands that it would not be given."""
    if eqn.op.endless:
        return True
    return eqn.op.holds_jaxprs and any(
        inner.op.endless for jaxpr in subjaxprs(eqn.op) for inner in all_equations(jaxpr)
    )
