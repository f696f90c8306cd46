"""What a checkpoint stores: a program cut in two by a policy, one part that stores and one that computes again.

    storing : inputs -> (outputs, stored)          recomputing : (stored, inputs) -> outputs

The policy is asked for every operation, also for those in the programs that calls, scans and branches hold: what it
stores inside a scan is stacked, a slice for each step, and what it stores in a branch shares room with what the others
do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from functrans.control.branches import Branching, filling, shared_slots
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
    return jaxpr.remember(("cut", policy), lambda: _cut(inlined(jaxpr), policy))


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
        parts = _cut_held(eqn, policy)
        if parts is not None:
            storing.append(parts[0])
            recomputing.append(parts[1])
            stored += parts[2]
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


Parts = tuple[Equation, Equation, list[Var]]


def _cut_held(eqn: Equation, policy: Policy) -> Parts | None:
    """For an operation that holds programs with something to store: the operation that stores it, the one that reads
    it, and what is stored.
    """
    if isinstance(eqn.op, Scan):
        return _cut_scan(eqn, eqn.op, policy)
    if isinstance(eqn.op, Branching):
        return _cut_branches(eqn, eqn.op, policy)
    return None


def _cut_scan(eqn: Equation, scan: Scan, policy: Policy) -> Parts | None:
    body = cut(scan.jaxpr, policy)
    label = f"{scan.progress} (again)" if scan.progress else ""
    if not body.num_stored and not scan.effects and not label:
        return None
    types = body.storing.out_types[len(scan.jaxpr.outputs) :]
    stored = [Var(-1, scan.stacked(t)) for t in types]
    first = scan.remade(body.storing, scan.num_consts, scan.num_carry)
    inputs, count = body.recomputing.inputs, body.num_stored
    reading = Jaxpr([*inputs[count:], *inputs[:count]], body.recomputing.equations, body.recomputing.outputs)
    second = scan.remade(reading, scan.num_consts, scan.num_carry, label)
    return (
        Equation(first, eqn.inputs, (*eqn.outputs, *stored), eqn.where),
        Equation(second, (*eqn.inputs, *stored), eqn.outputs, eqn.where),
        stored,
    )


def _cut_branches(eqn: Equation, op: Branching, policy: Policy) -> Parts | None:
    bodies = [cut(branch, policy) for branch in op.branches]
    if not any(body.num_stored for body in bodies) and not op.effects:
        return None
    mapped, summed = op.flags()
    num_outputs = len(summed)
    slots, places = shared_slots([body.storing.out_types[num_outputs:] for body in bodies])
    storing = [filling(body.storing, num_outputs, slots, place) for body, place in zip(bodies, places, strict=True)]
    reading = []
    for body, place in zip(bodies, places, strict=True):
        variables = [Var(-1, t) for t in slots]
        for slot, v in zip(place, body.recomputing.inputs, strict=False):
            variables[slot] = v
        own = body.recomputing.inputs[body.num_stored :]
        reading.append(Jaxpr([*own, *variables], body.recomputing.equations, body.recomputing.outputs))
    first = op.remade(storing, mapped, [*summed, *[False] * len(slots)])
    second = op.remade(reading, [*mapped, *[True] * len(slots)], summed)
    stored = [Var(-1, t) for t in first.infer(*[a.type for a in eqn.inputs])[num_outputs:]]
    return (
        Equation(first, eqn.inputs, (*eqn.outputs, *stored), eqn.where),
        Equation(second, (*eqn.inputs, *stored), eqn.outputs, eqn.where),
        stored,
    )
