"""A plan carried out: the outputs of the function, and the dense blocks of its Jacobian."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from functrans.ir.program import Jaxpr
from functrans.ir.types import ArrayType
from functrans.jacobians import compressed, dense
from functrans.jacobians.planner import FORWARD, MIXED, REVERSE, Cut, linear_part
from functrans.jacobians.remembered import Made
from functrans.ops.products import DotGeneral
from functrans.ops.slicing import concatenate
from functrans.ops.structural import reshape
from functrans.trace.binding import bind
from functrans.trace.replay import replay
from functrans.transform.linearize import LinearProgram, linearize_jaxpr


def linear_program(
    jaxpr: Jaxpr, inputs: Sequence[Any], wrt: tuple[bool, ...], first: int, read: Mapping[int, Any]
) -> tuple[list[Any], LinearProgram]:
    """The outputs, and the linear program of the ``first`` of them: that which was planned for.

    ``read``: the values, by place, of inputs that the plan was made for.
    """
    split = linearize_jaxpr(jaxpr, wrt)
    results = replay(split.primal, inputs)
    residuals = split.residuals(inputs, results)
    values = {id(inputs[place]): value for place, value in read.items()}
    known = [values.get(id(x)) for x in residuals]
    program = LinearProgram(linear_part(split, first), residuals, split.nonzero[:first], known)
    return results[: split.num_outputs], program


def blocks(
    made: Made, jaxpr: Jaxpr, inputs: Sequence[Any], wrt: tuple[bool, ...], first: int, arrays: Sequence[Any]
) -> tuple[list[Any], dense.Blocks]:
    """``arrays``: those of ``made`` as inputs of the program."""
    plan = made.plan
    ins = [t for t, w in zip(jaxpr.in_types, wrt, strict=True) if w]
    outs = jaxpr.out_types[:first]
    kind, chunk = plan.chosen.name, plan.chosen.chunk
    if kind == FORWARD:
        return dense.forward(jaxpr, inputs, wrt, first, chunk)
    results, linear = linear_program(jaxpr, inputs, wrt, first, made.read())
    if kind == REVERSE:
        return results, dense.backward_blocks(linear, ins, outs, chunk)
    if kind == MIXED:
        assert plan.cut is not None
        return results, _through(linear, plan.cut, ins, outs, chunk)
    source, places = arrays
    data = compressed.entries(linear, ins, outs, plan.colouring, source, chunk)
    return results, compressed.as_blocks(data, places, ins, outs, made.columns)


def _through(
    linear: LinearProgram, cut: Cut, ins: Sequence[ArrayType], outs: Sequence[ArrayType], chunk: int | None
) -> dense.Blocks:
    """The product of the Jacobians of the two parts, each by its shorter side."""
    first = linear._replace(jaxpr=cut.first, nonzero=(True,) * len(cut.types))
    second = linear._replace(jaxpr=cut.second)
    into = _matrix(first, ins, cut.types, chunk)
    out = _matrix(second, cut.types, outs, chunk)
    product = bind(DotGeneral((1,), (0,), (), (), into.dtype), out, into)
    return compressed.blocks_of(product, ins, outs)


def _matrix(
    linear: LinearProgram, ins: Sequence[ArrayType], outs: Sequence[ArrayType], chunk: int | None
) -> Any:
    """``[all outputs, all inputs]``."""
    n, m = (sum(t.size for t in types) for types in (ins, outs))
    make = dense.forward_blocks if n <= m else dense.backward_blocks
    rows = [
        [reshape(block, (t.size, s.size)) for block, s in zip(row, ins, strict=True)]
        for row, t in zip(make(linear, ins, outs, chunk), outs, strict=True)
    ]
    whole = [concatenate(row, 1) if len(row) > 1 else row[0] for row in rows]
    return concatenate(whole, 0) if len(whole) > 1 else whole[0]
