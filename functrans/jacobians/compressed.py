"""Jacobians from a few products: the entries of a known pattern, by the directions of a colouring.

    entries : (a -o b), colouring -> [entries]         in the order of the pattern's compressed rows

Columns that share no row are pushed forward as one, rows that share no column pulled back as one, and each entry of the
pattern is read from the one place where it stands alone (``Colouring.source``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from functrans.ir.types import ArrayType, promote
from functrans.jacobians.basis import INDEX, array_of, coloured
from functrans.jacobians.colouring import Colouring
from functrans.jacobians.dense import Blocks, directions, split_rows, transposed
from functrans.ops.indexing import Gather, Scatter
from functrans.ops.logic import eq, select
from functrans.ops.representation import KEEP
from functrans.ops.slicing import concatenate, pad, slice_
from functrans.ops.structural import broadcast_in_dim, convert, full, iota, reshape, scalar_literal, zeros
from functrans.ops.windows import GatherDimensionNumbers, ScatterDimensionNumbers
from functrans.trace.binding import bind, bind_all
from functrans.transform.linearize import LinearProgram

INSIDE = "promise_in_bounds"


def entries(
    linear: LinearProgram,
    ins: Sequence[ArrayType],
    outs: Sequence[ArrayType],
    colouring: Colouring,
    source: Any,
    chunk: int | None = None,
) -> Any:
    """The entries ``[entries]`` of the Jacobian of a linear program; ``source``: ``places_in_passes``."""
    dtype = entry_dtype(outs)
    parts = []
    if colouring.columns:
        seeds = coloured(ins, colouring.column_colours)
        found = iter(directions(linear.jaxpr, linear, seeds, colouring.columns, chunk))
        parts.append(_rows([next(found) if nz else None for nz in linear.nonzero], outs, colouring.columns, dtype))
    if colouring.rows:
        program, has = transposed(linear, len(ins))
        seeds = coloured(outs, colouring.row_colours)
        used = [s for s, nz in zip(seeds, linear.nonzero, strict=True) if nz]
        found = iter(directions(program, linear, used, colouring.rows, chunk))
        parts.append(_rows([next(found) if h else None for h in has], ins, colouring.rows, dtype))
    if not parts or not source.shape[0]:
        return full((source.shape[0],), 0, dtype)
    if len(parts) == 2:
        width = max(x.shape[1] for x in parts)
        parts = [concatenate([pad(x, 0, [(0, 0, 0), (0, width - x.shape[1], 0)]) for x in parts], 0)]
    # Computed once and then read here and there: inside of the gather each entry would compute its own again.
    (passes,) = bind_all(KEEP, parts)
    return bind(Gather(GatherDimensionNumbers((), (0, 1), (0, 1), (), ()), (1, 1), INSIDE), passes, source)


def entry_dtype(outs: Sequence[ArrayType]) -> np.dtype[Any]:
    """That of the entries of a Jacobian of these outputs."""
    return promote(*outs)[0] if outs else np.dtype(np.float32)


def places_in_passes(colouring: Colouring) -> Any:
    """``[entries, 2]``: the pass, forward ones first, and the element of its result from which each entry is read."""
    (m, n), source = colouring.pattern.shape, colouring.source
    ahead = m * colouring.columns
    forward = np.stack(np.divmod(source, max(m, 1)), 1)
    backward = np.stack(np.divmod(source - ahead, max(n, 1)), 1) + [colouring.columns, 0]
    return np.where((source < ahead)[:, None], forward, backward).astype(np.int32)


def _rows(parts: Sequence[Any], types: Sequence[ArrayType], number: int, dtype: np.dtype[Any]) -> Any:
    """``[number, ...]`` of several arrays as one ``[number, total size]``."""
    rows = [
        full((number, t.size), 0, dtype) if x is None else convert(reshape(x, (number, t.size)), dtype)
        for x, t in zip(parts, types, strict=True)
    ]
    return concatenate(rows, 1) if len(rows) > 1 else rows[0]


def as_blocks(
    data: Any, places: Any, ins: Sequence[ArrayType], outs: Sequence[ArrayType], columns: Any
) -> Blocks:
    """Entries in a dense Jacobian; ``places``: the row-major place of each, ``[entries, 1]``, ascending; ``columns``:
    where each row has one entry, its column, in NumPy."""
    n, m = (sum(t.size for t in types) for types in (ins, outs))
    if columns is not None:  # written once: a scatter writes the zeros first
        hits = eq(
            broadcast_in_dim(iota(INDEX, n), (m, n), (1,)), broadcast_in_dim(array_of(columns), (m, n), (0,))
        )
        return blocks_of(select(hits, broadcast_in_dim(data, (m, n), (0,)), scalar_literal(0, data.dtype)), ins, outs)
    empty = full((m * n,), 0, data.dtype)
    op = Scatter(ScatterDimensionNumbers((), (0,), (0,), (), ()), INSIDE, True, True)
    whole = reshape(bind(op, empty, places, data), (m, n)) if data.shape[0] else reshape(empty, (m, n))
    return blocks_of(whole, ins, outs)


def blocks_of(matrix: Any, ins: Sequence[ArrayType], outs: Sequence[ArrayType]) -> Blocks:
    """A matrix ``[outputs, inputs]`` of all elements, in blocks ``[*output, *input]``."""
    if not matrix.type.size:
        return [[zeros((*t.shape, *s.shape), t) for s in ins] for t in outs]
    blocks = []
    for part, t in zip(split_rows(matrix, outs), outs, strict=True):
        rows = reshape(part, (t.size, *part.shape[t.ndim :]))
        own = []
        for column, s in zip(_split_columns(rows, ins), ins, strict=True):
            own.append(convert(reshape(column, (*t.shape, *s.shape)), t.dtype, t.weak_type))
        blocks.append(own)
    return blocks


def _split_columns(x: Any, types: Sequence[ArrayType]) -> list[Any]:
    if len(types) == 1:
        return [x]
    parts, first = [], 0
    for t in types:
        parts.append(slice_(x, (0, first), (x.shape[0], first + t.size)))
        first += t.size
    return parts
