"""Dense Jacobians of traced functions: forward mode column by column, reverse mode row by row, in chunks of directions.

    blocks[output][input]: ``[*output shape, *input shape]``

All directions of a chunk go through the linear program at once (basis.push); of several chunks, one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from functrans.control.scan import Scan
from functrans.ir.program import Jaxpr
from functrans.ir.types import ArrayType
from functrans.jacobians.basis import INDEX, MANY, Seeds, Spread, chunk_of, only_direction, push, standard, written_out
from functrans.ops.elementwise import mul
from functrans.ops.slicing import slice_
from functrans.ops.structural import convert, iota, reshape, spread, transpose, zeros
from functrans.trace.binding import bind_all
from functrans.trace.replay import replay, trace
from functrans.transform.jvp import jvp as jvp_replay
from functrans.transform.linearize import LinearProgram, linearize
from functrans.transform.transpose import transpose_jaxpr

Blocks = list[list[Any]]


def forward(
    jaxpr: Jaxpr, inputs: Sequence[Any], wrt: Sequence[bool], first: int, chunk: int | None = None
) -> tuple[list[Any], Blocks]:
    """The outputs, and the blocks of the ``first`` of them.

    Value and tangents are one program where there is one chunk: a loop runs once for both.
    """
    ins = [t for t, w in zip(jaxpr.in_types, wrt, strict=True) if w]
    outs_t = jaxpr.out_types[:first]
    total = sum(t.size for t in ins)
    if not total:  # the value would be computed in no direction
        return replay(jaxpr, inputs), [[zeros((*t.shape, *s.shape), t) for s in ins] for t in outs_t]
    if chunk is not None and chunk < total:
        outs, linear = linearize(jaxpr, inputs, wrt)
        return outs, forward_blocks(first_outputs(linear, first), ins, outs_t, chunk)
    nonzero: list[bool] = []

    def with_tangents(*operands: Any) -> list[Any]:
        rest = iter(operands[len(wrt) :])
        outs, slopes = jvp_replay(jaxpr, operands[: len(wrt)], [next(rest) if w else None for w in wrt])
        nonzero.extend(t is not None for t in slopes[:first])
        return [*outs, *[t for t in slopes[:first] if t is not None]]

    if total == 1:
        results = with_tangents(*inputs, *map(only_direction, standard(ins)))
        count = len(jaxpr.outputs)
        return results[:count], _columns_as_blocks([spread(x, 1) for x in results[count:]], nonzero, ins, outs_t)
    program, captured = trace(with_tangents, [*jaxpr.in_types, *ins], "the derivative of jacfwd")
    results = push(program, total, [*captured, *inputs, *standard(ins)])
    count = len(jaxpr.outputs)
    outs = [_one_lane(x, total) for x in results[:count]]
    columns = [written_out(x, total) for x in results[count:]]
    return outs, _columns_as_blocks(columns, nonzero, ins, outs_t)


def _one_lane(x: Any, number: int) -> Any:
    """A value that a rule has computed once for each direction, or once."""
    if type(x) not in MANY:
        return x
    x = written_out(x, number)
    return reshape(slice_(x, (0,) * x.ndim, (1, *x.shape[1:])), x.shape[1:])


def first_outputs(linear: LinearProgram, first: int) -> LinearProgram:
    """The linear program of the ``first`` outputs alone."""
    if not any(linear.nonzero[first:]):
        return linear._replace(nonzero=linear.nonzero[:first])
    keep = [i for i, nz in enumerate(linear.nonzero) if nz]
    program = linear.jaxpr
    outputs = [o for o, i in zip(program.outputs, keep, strict=True) if i < first]
    return linear._replace(jaxpr=Jaxpr(program.inputs, program.equations, outputs), nonzero=linear.nonzero[:first])


def forward_blocks(
    linear: LinearProgram, ins: Sequence[ArrayType], outs: Sequence[ArrayType], chunk: int | None = None
) -> Blocks:
    """The blocks of a linear program, from its columns."""
    total = sum(t.size for t in ins)
    if not total:
        return [[zeros((*t.shape, *s.shape), t) for s in ins] for t in outs]
    columns = directions(linear.jaxpr, linear, standard(ins), total, chunk)
    return _columns_as_blocks(columns, linear.nonzero, ins, outs)


def backward_blocks(
    linear: LinearProgram, ins: Sequence[ArrayType], outs: Sequence[ArrayType], chunk: int | None = None
) -> Blocks:
    """The blocks of a linear program, from its rows."""
    used = [t for t, nz in zip(outs, linear.nonzero, strict=True) if nz]
    total = sum(t.size for t in used)
    program, has = transposed(linear, len(ins))
    rows: Iterator[Any] = iter(())
    if used:
        rows = iter(directions(program, linear, standard(used), total, chunk))
    by_input = [split_rows(next(rows), used) if h else None for h in has]
    blocks = []
    place = 0
    for nonzero, t in zip(linear.nonzero, outs, strict=True):
        row = []
        for parts, s in zip(by_input, ins, strict=True):
            if parts is None or not nonzero:
                row.append(zeros((*t.shape, *s.shape), s))
            else:
                row.append(convert(parts[place], s.dtype, s.weak_type))
        place += nonzero
        blocks.append(row)
    return blocks


def transposed(linear: LinearProgram, count: int) -> tuple[Jaxpr, tuple[bool, ...]]:
    """The program (residuals, cotangents) -> nonzero cotangents of the ``count`` linear inputs, and which those are."""
    mask = [False] * len(linear.residuals) + [True] * count
    return transpose_jaxpr(linear.jaxpr, mask, [True] * sum(linear.nonzero))


def directions(
    jaxpr: Jaxpr, linear: LinearProgram, seeds: Sequence[Seeds], number: int, chunk: int | None = None
) -> list[Any]:
    """The outputs ``[number, ...]`` of a program (residuals, linear inputs), that of ``linear`` or its transpose, in
    the directions of these seeds; so many of them at a time."""
    residuals = linear.residuals
    if number == 1:
        results = replay(jaxpr, [*residuals, *map(only_direction, seeds)])
        return [spread(x, 1) for x in results]
    if chunk is None or chunk >= number:
        return [written_out(x, number) for x in push(jaxpr, number, [*residuals, *seeds], linear.known)]
    turns = -(-number // chunk)

    def turn(*operands: Any) -> list[Any]:
        *given, first = operands
        own = [Spread(chunk_of(s, first, chunk)) for s in seeds]
        return [written_out(x, chunk) for x in push(jaxpr, chunk, [*given, *own])]

    firsts = mul(iota(INDEX, turns), chunk)
    types = [*jaxpr.in_types[: len(residuals)], firsts.type.update(shape=())]
    body, captured = trace(turn, types, "a chunk of directions")
    scan = Scan(body, turns, False, 1, len(captured) + len(residuals), 0)
    results = bind_all(scan, [*captured, *residuals, firsts])
    whole = [reshape(x, (turns * chunk, *x.shape[2:])) for x in results]
    return [slice_(x, (0,) * x.ndim, (number, *x.shape[1:])) for x in whole]


def _columns_as_blocks(
    columns: Sequence[Any], nonzero: Sequence[bool], ins: Sequence[ArrayType], outs: Sequence[ArrayType]
) -> Blocks:
    rest = iter(columns)
    blocks = []
    for has, t in zip(nonzero, outs, strict=True):
        if not has:
            blocks.append([zeros((*t.shape, *s.shape), t) for s in ins])
            continue
        row = []
        for part, s in zip(split_rows(next(rest), ins), ins, strict=True):
            n, m = s.ndim, t.ndim
            row.append(convert(transpose(part, (*range(n, n + m), *range(n))), t.dtype, t.weak_type))
        blocks.append(row)
    return blocks


def split_rows(x: Any, types: Sequence[ArrayType]) -> list[Any]:
    """``[total size, ...]`` -> for each type ``[*shape, ...]``."""
    rest = x.shape[1:]
    parts, offset = [], 0
    for t in types:
        rows = x
        if t.size != x.shape[0]:
            rows = slice_(x, (offset, *[0] * len(rest)), (offset + t.size, *rest))
        parts.append(reshape(rows, (*t.shape, *rest)))
        offset += t.size
    return parts
