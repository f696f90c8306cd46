"""What a checkpoint stores: a program cut in two by a policy, one part that stores and one that computes again.

    storing : inputs -> (outputs, stored)          recomputing : (stored, inputs) -> outputs

The policy is asked for every operation, also for those in the programs that calls and scans hold: what it stores inside
a scan is stacked, a slice for each step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from functrans.control.call import Call
from functrans.control.scan import Scan
from functrans.ir.program import Equation, Jaxpr, Var
from functrans.trace.replay import emit, replay, trace

Policy = Callable[..., bool]


class Cut(NamedTuple):
    """``storing``: inputs -> (outputs, stored); ``recomputing``: (stored, inputs) -> outputs."""

    storing: Jaxpr
    recomputing: Jaxpr
    num_stored: int


def saveable(policy: Policy, eqn: Equation) -> bool:
    """What the policy says of an operation."""
    parameters = {name.rstrip("_"): value for name, value in eqn.op.parameters().items()}
    return bool(policy(eqn.op, *[a.type for a in eqn.inputs], **parameters))


def cut(jaxpr: Jaxpr, policy: Policy) -> Cut:
    """The program cut in two. Remembered on the jaxpr."""
    memo_key = ("cut", policy)
    found: Cut | None = jaxpr.memo.get(memo_key)
    if found is None:
        found = jaxpr.memo[memo_key] = _cut(inlined(jaxpr), policy)
    return found


def inlined(jaxpr: Jaxpr) -> Jaxpr:
    """The program with the programs that its calls hold written in place."""
    if not any(type(eqn.op) is Call for eqn in jaxpr.equations):
        return jaxpr

    def write(eqn: Equation, operands: list[Any]) -> Sequence[Any]:
        return replay(eqn.op.jaxpr, operands, write) if type(eqn.op) is Call else emit(eqn, operands)

    return trace(lambda *inputs: replay(jaxpr, inputs, write), jaxpr.in_types, "a checkpointed program")[0]


def _cut(jaxpr: Jaxpr, policy: Policy) -> Cut:
    stored: list[Var] = []
    storing: list[Equation] = []
    recomputing: list[Equation] = []
    for eqn in jaxpr.equations:
        if type(eqn.op) is Scan:
            first, second, more = _cut_scan(eqn, policy)
            storing.append(first)
            recomputing.append(second)
            stored += more
        elif eqn.op.effects or saveable(policy, eqn):  # what has happened does not happen again
            storing.append(eqn)
            stored += eqn.outputs
        else:
            storing.append(eqn)
            recomputing.append(eqn)
    return Cut(
        Jaxpr(jaxpr.inputs, storing, [*jaxpr.outputs, *stored]),
        Jaxpr([*stored, *jaxpr.inputs], recomputing, jaxpr.outputs),
        len(stored),
    )


def _cut_scan(eqn: Equation, policy: Policy) -> tuple[Equation, Equation, list[Var]]:
    """The scan that stores what the policy stores in its body, the scan that reads it, and what is stored."""
    scan: Scan = eqn.op  # type: ignore[assignment]
    body = cut(scan.jaxpr, policy)
    label = f"{scan.progress} (again)" if scan.progress else ""
    if not body.num_stored and not scan.effects and not label:
        return eqn, eqn, []
    types = body.storing.out_types[len(scan.jaxpr.outputs) :]
    stored = [Var(-1, scan.stacked(t)) for t in types]
    first = Equation(
        scan.remade(body.storing, scan.num_consts, scan.num_carry), eqn.inputs, (*eqn.outputs, *stored), eqn.where
    )
    inputs, count = body.recomputing.inputs, body.num_stored
    reading = Jaxpr([*inputs[count:], *inputs[:count]], body.recomputing.equations, body.recomputing.outputs)
    again = scan.remade(reading, scan.num_consts, scan.num_carry, label)
    return first, Equation(again, (*eqn.inputs, *stored), eqn.outputs, eqn.where), stored


