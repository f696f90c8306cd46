"""Programs with collectives over axes that JAX binds (``jax.shard_map``, ``jax.vmap``): what speaks of such an axis, a
collective, or a loop or branch with one in it, is the operation of JAX, and what stands between is ours.

    a = mul x 2.0; b = psum[axes=("i",)] a; c = sin b     becomes     functrans[mul]; jax.lax.psum; functrans[sin]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from functrans.control.checkpoint import Checkpoint
from functrans.control.scan import Scan
from functrans.control.switches import Switch
from functrans.control.while_loop import While
from functrans.interop.control_flow import JaxPolicy
from functrans.ir.program import Equation, Jaxpr, Var
from functrans.ir.types import ArrayType
from functrans.jaxlib_compat.jax_programs import alike_over_shards
from functrans.ops import collectives

lax: Any = jax.lax
Apply = Callable[[Jaxpr, Sequence[Any], str], list[Any]]  # a program on values of JAX


def constant(literal: Any) -> Any:
    """A number of a program as a value of JAX."""
    return np.asarray(literal.value, literal.type.dtype)


def _scan(apply: Apply, op: Scan, *operands: Any) -> list[Any]:
    consts, carry, xs = op.split(_loop_operands(operands, op.jaxpr.in_types, op.split(range(len(operands)))[1]))

    def step(carry: Any, row: Any) -> Any:
        outs = alike_over_shards(*apply(op.jaxpr, [*consts, *carry, *row], op.name))
        return list(outs[: op.num_carry]), outs[op.num_carry :]

    last, ys = lax.scan(step, carry, xs, op.length, op.reverse, op.unroll)
    return [*last, *ys]


def _while(apply: Apply, op: While, *operands: Any) -> Any:
    types = [*op.condition.in_types[: op.num_condition_consts], *op.body.in_types]
    tests, consts, carry = op.split(_loop_operands(operands, types, op.split(range(len(operands)))[2]))
    return lax.while_loop(
        lambda carry: apply(op.condition, [*tests, *carry], op.name)[0],
        lambda carry: list(alike_over_shards(*apply(op.body, [*consts, *carry], op.name))), carry,
    )  # fmt: skip


def _loop_operands(operands: Sequence[Any], types: Sequence[ArrayType], carried: Sequence[int]) -> list[Any]:
    """The operands of a loop, numbers as arrays where they are carried, and all as varying over the shards."""
    given = [
        jax.numpy.full(t.shape, x, t.dtype) if i in carried and np.shape(x) != t.shape else x
        for i, (x, t) in enumerate(zip(operands, types, strict=True))
    ]
    return list(alike_over_shards(*given))


def _switch(apply: Apply, op: Switch, index: Any, *operands: Any) -> Any:
    branches = [
        lambda *xs, branch=branch: list(alike_over_shards(*apply(branch, xs, op.name))) for branch in op.branches
    ]
    return lax.switch(index, branches, *alike_over_shards(*operands))


def _checkpoint(apply: Apply, op: Checkpoint, *operands: Any) -> Any:
    policy = op.policy.policy if isinstance(op.policy, JaxPolicy) else None
    held = jax.checkpoint(lambda *xs: apply(op.jaxpr, xs, op.name), prevent_cse=any(op.barred), policy=policy)
    return held(*operands)


HOLDING: dict[type[Any], Any] = {Scan: _scan, While: _while, Switch: _switch, Checkpoint: _checkpoint}
"""Loops, branches and checkpoints as operations of JAX: (how a held program is applied, the operation, operands)."""

# What speaks of an axis that JAX binds, as operations of JAX.
_OVER_AXES: dict[type[Any], Any] = {
    collectives.Psum: lambda _, op, x: [lax.psum(x, op.axes)],
    collectives.Pmax: lambda _, op, x: [lax.pmax(x, op.axes)],
    collectives.Pmin: lambda _, op, x: [lax.pmin(x, op.axes)],
    collectives.Ppermute: lambda _, op, x: [lax.ppermute(x, op.axis_name, op.perm)],
    collectives.Pbroadcast: lambda _, op, x: [lax.pbroadcast(x, op.axis_name, op.source)],
    collectives.AllToAll: lambda _, op, x: [lax.all_to_all(x, op.axis_name, op.split_axis, op.concat_axis)],
    collectives.AllGather: lambda _, op, x: [lax.all_gather(x, op.axis_name, axis=op.axis)],
    collectives.ReduceScatter: lambda _, op, x: [lax.psum_scatter(x, op.axis_name, scatter_dimension=op.axis)],
    collectives.AxisIndex: lambda _, op: [lax.axis_index(op.axis_name)],
    **HOLDING,
}  # fmt: skip


def over_axes_of_jax(program: Jaxpr, operands: Sequence[Any], name: str, apply: Apply) -> list[Any]:
    """A program with collectives over axes that JAX binds: those are JAX's, what stands between them is ours."""
    values: dict[Any, Any] = dict(zip(program.inputs, operands, strict=True))
    read_later: list[set[Any]] = [{a for a in program.outputs if type(a) is Var}]
    for eqn in reversed(program.equations):
        read_later.append(read_later[-1] | {a for a in eqn.inputs if type(a) is Var})
    between: list[Equation] = []

    def run(needed: set[Any]) -> None:
        if between:
            outs = [v for eqn in between for v in eqn.outputs if v in needed]
            made = {v for eqn in between for v in eqn.outputs}
            read = {a: None for eqn in between for a in eqn.inputs if type(a) is Var and a not in made}
            part = Jaxpr(list(read), between, outs)
            values.update(zip(outs, apply(part, [values[a] for a in read], name), strict=True))
            between.clear()

    for eqn, needed in zip(program.equations, read_later[-2::-1], strict=True):
        in_jax = _OVER_AXES.get(type(eqn.op)) if eqn.op.axis_names() else None
        if in_jax is None:
            between.append(eqn)
            continue
        run(needed | {a for a in eqn.inputs if type(a) is Var})
        given = [values[a] if type(a) is Var else constant(a) for a in eqn.inputs]
        values.update(zip(eqn.outputs, in_jax(apply, eqn.op, *given), strict=True))
    run(read_later[0])
    return [values[a] if type(a) is Var else constant(a) for a in program.outputs]
