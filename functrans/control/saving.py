"""What a checkpoint stores: a program cut in two by a policy, one part that stores and one that computes again.

    storing : inputs -> (outputs, stored)          recomputing : (stored, inputs) -> outputs

The policy is asked for every operation, also for those in the programs that calls, scans and branches hold: what it
stores inside a scan is stacked, a slice for each step, and what it stores in a branch shares room with what the others
do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
from jax.ad_checkpoint import Offloadable, Recompute, Saveable

from functrans.ir.program import Equation, Jaxpr, Var
from functrans.trace.replay import emit, replay, trace

Policy = Callable[..., Any]  # to bool, or to what policies of JAX answer


class Cut(NamedTuple):
    """``storing``: inputs -> (outputs, stored); ``recomputing``: (stored, inputs) -> outputs."""

    storing: Jaxpr
    recomputing: Jaxpr
    num_stored: int


def saveable(policy: Policy, eqn: Equation) -> bool:
    """What the policy says of an operation: a bool, ``Saveable`` or ``Recompute``; ``Offloadable`` is saved where the
    host is the device, and raises NotImplementedError elsewhere.
    """
    parameters = {name.rstrip("_"): value for name, value in eqn.op.parameters().items()}
    answer = policy(eqn.op, *[a.type for a in eqn.inputs], **parameters)
    if answer is Saveable or answer is Recompute:
        return answer is Saveable
    if isinstance(answer, Offloadable) or answer is Offloadable:
        if jax.default_backend() != "cpu":
            raise NotImplementedError(
                f"checkpoint: the policy offloads a result of {eqn.op.name} to the host, and functrans keeps values in "
                "the memory of the device; answer Saveable or Recompute"
            )
        return True
    return bool(answer)


def cut(jaxpr: Jaxpr, policy: Policy) -> Cut:
    """The program cut in two. Remembered on the jaxpr."""
    return jaxpr.remember(("cut", policy), lambda: _cut(inlined(jaxpr), policy))


def inlined(jaxpr: Jaxpr) -> Jaxpr:
    """The program with the programs that its transparent operations (calls) hold written in place."""
    if not any(eqn.op.transparent for eqn in jaxpr.equations):
        return jaxpr

    def write(eqn: Equation, operands: list[Any]) -> Sequence[Any]:
        callee = eqn.op.in_place(operands) if eqn.op.transparent else None
        return emit(eqn, operands) if callee is None else replay(*callee, write)

    return trace(lambda *inputs: replay(jaxpr, inputs, write), jaxpr.in_types, "a checkpointed program")[0]


def _cut(jaxpr: Jaxpr, policy: Policy) -> Cut:
    stored: list[Var] = []
    storing: list[Equation] = []
    recomputing: list[Equation] = []
    for eqn in jaxpr.equations:
        parts = eqn.op.cut(eqn, lambda held: cut(held, policy))
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
