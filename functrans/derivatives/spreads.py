"""Values on many lines: a row for each of them, or for the lines of a few blocks (derivatives.blocks).

    x: value [n], rows [lines, n], top [n]        row i: the coefficients along line i;  top: a sum over all lines
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from functrans.derivatives.blocks import (
    INDEX,
    Blocks,
    steps,
)
from functrans.ir.program import Literal
from functrans.jacobians.basis import array_of
from functrans.ops.constants import Constant
from functrans.ops.elementwise import MUL, add, mul
from functrans.ops.logic import eq, select
from functrans.ops.slicing import pad, slice_in_dim
from functrans.ops.structural import (
    BroadcastInDim,
    broadcast_in_dim,
    convert,
    iota,
    reduce_sum,
    reshape,
    scalar_literal,
    spread,
)
from functrans.trace.binding import bind
from functrans.trace.tracer import Tracer, producer_of, tracer_for


class Spread(NamedTuple):
    """A value on all lines: ``rows``: its coefficients from the first to the last but one, None or with an axis 0 of
    lines; ``top``: the sum of the highest ones, or None.

    ``blocks``: on which blocks of lines each element moves (derivatives.blocks): the rows are those of these, as many
    for each block as it has lines. None: every line has a row.
    """

    value: Any
    rows: tuple[Any, ...]
    top: Any
    blocks: Any = None  # Blocks or None


def value_of(x: Any) -> Any:
    return x.value if type(x) is Spread else x


class Lines(NamedTuple):
    """How many lines, which coefficient is summed, and its weights ``[number]`` (None: ones).

    ``in_block``: where an input is given on the lines of blocks, how many these have; line i is then one of block
    ``i // in_block``.
    """

    number: int
    order: int
    weights: Any
    in_block: int = 1

    @property
    def most_blocks(self) -> int:
        """More than these are no saving over a row for every line."""
        return min(self.number // self.in_block // 2, 32)


def array_in_program(array: Any) -> Any:
    """NumPy integers or bools in the program."""
    return bind(Constant(array.dtype, array.shape, np.ascontiguousarray(array).tobytes()))


def by_block(row: Any, lines: Lines) -> Any:
    return reshape(row, (row.shape[0] // lines.in_block, lines.in_block, *row.shape[1:]))


def along(array: Any, shape: Sequence[int]) -> Any:
    """What there is for each block or once, ``[blocks or 1, *axes]``, for each of its lines and elements."""
    return broadcast_in_dim(array, shape, (0, *range(2, len(shape))))


def on_every_line(x: Spread, lines: Lines) -> Spread:
    """The value with a row for every line, zero on those that it does not move on."""
    if x.blocks is None:
        return x
    count, blocks = lines.number // lines.in_block, x.blocks

    def filled(row: Any) -> Any:
        own = by_block(row, lines)
        shape = (count, *own.shape[1:])
        numbers = broadcast_in_dim(iota(INDEX, count), shape, (0,))
        wide: Any = None
        for k in range(len(blocks)):
            moves = eq(numbers, along(array_of(blocks[k : k + 1]), shape))
            part = broadcast_in_dim(reshape(own[k : k + 1], shape[1:]), shape, tuple(range(1, len(shape))))
            wide = select(moves, part, 0.0 if wide is None else wide)
        return reshape(wide, (lines.number, *row.shape[1:]))

    return Spread(x.value, tuple([None if row is None else filled(row) for row in x.rows]), x.top)


def on_blocks(x: Spread, wanted: Blocks, lines: Lines) -> Spread:
    """The value with the rows of these blocks, among which are its own."""
    todo = steps(x.blocks, wanted)
    if len(todo) == 1 and todo[0].mask is None and todo[0].last - todo[0].first == len(wanted):
        return x._replace(blocks=wanted)

    def moved(row: Any) -> Any:
        own = by_block(row, lines)
        total: Any = None
        for first, last, offset, mask in todo:
            part = slice_in_dim(own, first, last) if last - first < own.shape[0] else own
            if mask is not None:
                part = select(along(array_in_program(mask), part.shape), part, 0.0)
            around = [(first + offset, len(wanted) - last - offset, 0), *[(0, 0, 0)] * (part.ndim - 1)]
            part = pad(part, 0.0, around)
            total = part if total is None else add(total, part)
        return reshape(total, (total.shape[0] * lines.in_block, *row.shape[1:]))

    return Spread(x.value, tuple([None if row is None else moved(row) for row in x.rows]), x.top, wanted)


def lines_sum(x: Any, lines: Lines, mapped: bool = True, since: int | None = None) -> Any:
    """The weighted sum over the lines of a value with an axis 0 of them, or of one that is the same on all.

    ``since``: how many variables there were before the operation whose result x is.
    """
    weights = None if lines.weights is None else convert(lines.weights, x.dtype)
    if not mapped:
        if weights is None:
            return mul(x, float(lines.number))
        return mul(x, broadcast_in_dim(reduce_sum(weights, (0,)), x.shape, ()))
    moving, common = ([x], []) if since is None else _factors(x, since)
    product = functools.reduce(mul, moving) if moving else spread(scalar_literal(1.0, x.dtype), lines.number)
    if weights is not None:  # not a product of matrices: one kernel, and x is not stored
        product = mul(product, broadcast_in_dim(weights, product.shape, (0,)))
    return functools.reduce(mul, common, reduce_sum(product, (0,)))


def _factors(x: Any, since: int) -> tuple[list[Any], list[Any]]:
    """Those of a product that differ from line to line, and those that do not, which need not be summed; as far as they
    were made since then."""
    producer = producer_of(x) if type(x) is Tracer and x.variable.id >= since else None
    if producer is not None and producer.op is MUL:
        moving, common = [], []
        for a in producer.inputs:
            if type(a) is Literal:
                common.append(a)
            else:
                more_moving, more_common = _factors(tracer_for(x, a), since)
                moving += more_moving
                common += more_common
        return moving, common
    if producer is not None and type(producer.op) is BroadcastInDim and 0 not in producer.op.dims:
        (a,) = producer.inputs
        if type(a) is not Literal and a.type.shape == x.shape[1:]:
            return [], [tracer_for(x, a)]
    return [x], []
