"""A scan whose steps are written out, all of them or several in one turn of the loop.

    scan[unroll=3] over 8 steps        becomes      scan over 2 blocks, whose body is 3 steps; and 2 steps behind it

What a step reads and writes are slices at constant places, and what one scan has written and another reads, as the
backward pass does, is handed on value by value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from functrans.ir.program import Jaxpr, Literal
from functrans.ir.types import ArrayType
from functrans.ops.slicing import concatenate, slice_in_dim
from functrans.ops.structural import broadcast_in_dim, full, reshape
from functrans.trace.binding import bind_all
from functrans.trace.replay import replay, trace

if TYPE_CHECKING:
    from functrans.control.scan import Scan


def written_out(scan: Scan, types: Sequence[ArrayType]) -> Jaxpr:
    """The program of an unrolled scan of operands of these types. Remembered on its body."""
    key = ("written out", *[v for v in scan.parameters().values() if v is not scan.jaxpr], tuple(types))
    return scan.jaxpr.remember(key, lambda: trace(lambda *xs: _run(scan, xs), types, "a scan")[0])


def _run(scan: Scan, operands: Sequence[Any]) -> list[Any]:
    turns, left = divmod(scan.length, scan.unroll)
    consts, init, xs = scan.split(operands)
    shapes = [t.shape for t in scan.split(scan.jaxpr.in_types)[1]]
    carry = [x if x.shape == s else broadcast_in_dim(x, s, ()) for x, s in zip(init, shapes, strict=True)]
    if turns < 2:
        carry, ys = _steps(scan, scan.length, consts, carry, xs)
        return [*carry, *ys]
    size = turns * scan.unroll
    if scan.reverse:
        rest, blocks = _parts(xs, left)
    else:
        blocks, rest = _parts(xs, size)
    blocks = [reshape(x, (turns, scan.unroll, *x.shape[1:])) for x in blocks]
    results = bind_all(_of_blocks(scan, turns), [*consts, *carry, *blocks])
    carry, ys = results[: scan.num_carry], results[scan.num_carry :]
    ys = [reshape(y, (size, *y.shape[2:])) for y in ys]
    if left:
        carry, more = _steps(scan, left, consts, carry, rest)
        pairs = zip(more, ys, strict=True) if scan.reverse else zip(ys, more, strict=True)
        ys = [concatenate(pair, 0) for pair in pairs]
    return [*carry, *ys]


def _parts(xs: Sequence[Any], place: int) -> tuple[list[Any], list[Any]]:
    return [slice_in_dim(x, 0, place) for x in xs], [slice_in_dim(x, place, None) for x in xs]


def _of_blocks(scan: Scan, turns: int) -> Scan:
    """The scan over blocks of ``unroll`` steps, a turn each."""
    consts, carry, xs = scan.split(scan.jaxpr.in_types)
    types = [*consts, *carry, *[t.update(shape=(scan.unroll, *t.shape)) for t in xs]]

    def turn(*operands: Any) -> list[Any]:
        carry, ys = _steps(scan, scan.unroll, *scan.split(operands))
        return [*carry, *ys]

    body, captured = trace(turn, types, "the steps of a turn of a scan")
    assert not captured
    return type(scan)(body, turns, scan.reverse, 1, scan.num_consts, scan.num_carry)


def _steps(
    scan: Scan, count: int, consts: Sequence[Any], carry: Sequence[Any], xs: Sequence[Any]
) -> tuple[list[Any], list[Any]]:
    """So many steps in a row: the carry, and the stacked results."""
    carry, n = list(carry), scan.num_carry
    rows: list[list[Any]] = []
    places = range(count)
    for i in reversed(places) if scan.reverse else places:
        slices = [reshape(slice_in_dim(x, i, i + 1), x.shape[1:]) for x in xs]
        outs = replay(scan.jaxpr, [*consts, *carry, *slices])
        carry = outs[:n]
        rows.append([_row(y, t) for y, t in zip(outs[n:], scan.jaxpr.out_types[n:], strict=True)])
    if scan.reverse:
        rows.reverse()
    return carry, [concatenate(column, 0) for column in zip(*rows, strict=True)]


def _row(y: Any, type_: ArrayType) -> Any:
    """[...] -> [1, ...]"""
    if type(y) is Literal:
        return full((1, *type_.shape), y.value, type_.dtype)
    return reshape(y, (1, *type_.shape))
