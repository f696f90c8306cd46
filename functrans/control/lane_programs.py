"""How a switch over lanes runs: ``(index: int32[lanes], *inputs) -> results``, as a program of other operations.

- Light branches run for all lanes, and the results are selected; what a branch updates in place is not copied.
- A branch that is light for a lane and heavy for all of them runs if any lane takes it.
- A heavy one runs for the lanes that take it, a block of them at a time: the work grows with their number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from functrans.control.holding import choose_lanes, row
from functrans.control.masking import masked, updates_of
from functrans.control.while_loop import While
from functrans.ir.program import Jaxpr
from functrans.ir.types import array_type
from functrans.ops.dynamic_slicing import dynamic_slice, dynamic_update_slice
from functrans.ops.elementwise import add, mul, sub
from functrans.ops.indexing import gather, scatter
from functrans.ops.logic import eq, lt, select
from functrans.ops.reductions import reduce_or
from functrans.ops.slicing import pad
from functrans.ops.structural import broadcast_in_dim, convert, full, iota, reduce_sum, reshape, zeros
from functrans.ops.windows import GatherDimensionNumbers, ScatterDimensionNumbers
from functrans.trace.binding import bind_all
from functrans.trace.primitive import Lanes, program_cost
from functrans.trace.replay import replay, trace
from functrans.transform.vmap import vmap_jaxpr

HEAVY = 2_000_000  # cost of a branch in all lanes from which on it runs only where it is taken (about a millisecond)
HEAVY_LANE = 20_000  # cost of a branch in one lane from which on blocks of lanes pay
BLOCK = 100_000_000  # cost of a block of lanes
LARGEST_BLOCK = 32

Guard = Callable[[Any, Callable[[], Sequence[Any]], Sequence[Any]], list[Any]]

_INT = np.dtype(np.int32)


def running(
    branches: Sequence[Jaxpr], lanes: int, mapped: Sequence[bool], summed: Sequence[bool], guard: Guard
) -> Jaxpr:
    """The program; ``guard(flag, function, otherwise)`` is the results of the function if the flag is true."""

    def run(state: _State, i: int, branch: Jaxpr) -> None:
        price = program_cost(branch)
        if price * lanes < HEAVY:
            state.everywhere(i, branch)
        elif price < HEAVY_LANE or lanes == 1:
            state.if_any(i, branch, guard)
        else:
            state.in_blocks(i, branch, price)

    return _program(branches, lanes, mapped, summed, run)


def selecting(
    branches: Sequence[Jaxpr], lanes: int, mapped: Sequence[bool], summed: Sequence[bool], axis_name: Any
) -> Jaxpr:
    """The program that runs every branch for all lanes; ``axis_name``: what the branches call the lanes."""

    def run(state: _State, i: int, branch: Jaxpr) -> None:
        state.everywhere(i, branch, axis_name)

    return _program(branches, lanes, mapped, summed, run)


def _program(branches: Sequence[Jaxpr], lanes: int, mapped: Sequence[bool], summed: Sequence[bool], run: Any) -> Jaxpr:
    types = [
        array_type((lanes, *t.shape), t.dtype, t.weak_type) if m else t
        for t, m in zip(branches[0].in_types, mapped, strict=True)
    ]

    def function(index: Any, *inputs: Any) -> list[Any]:
        state = _State(branches, lanes, mapped, summed, index, inputs)
        order = sorted(range(len(branches)), key=lambda i: program_cost(branches[i]))  # light ones first: no select
        for i in order:
            run(state, i, branches[i])
        return state.results()

    program, captured = trace(function, [array_type((lanes,), _INT), *types], "a switch over lanes")
    assert not captured
    return program


class _State:
    """The results so far; each branch adds those of the lanes that take it."""

    def __init__(
        self, branches: Sequence[Jaxpr], lanes: int, mapped: Sequence[bool], summed: Sequence[bool], index: Any,
        inputs: Sequence[Any],
    ) -> None:  # fmt: skip
        self.lanes, self.mapped, self.summed = lanes, list(mapped), list(summed)
        self.index, self.inputs = index, list(inputs)
        self.types = branches[0].out_types
        self.roots = _updated_inputs(branches, mapped, summed)
        # A result that every branch makes by updating one input in place begins as that input.
        self.current: list[Any] = [None if root is None else inputs[root] for root in self.roots]

    def results(self) -> list[Any]:
        return self.begun()

    def begun(self) -> list[Any]:
        """The results so far, zeros where no branch has written yet."""
        return [
            x if x is not None else zeros(t.shape if s else (self.lanes, *t.shape), t)
            for x, t, s in zip(self.current, self.types, self.summed, strict=True)
        ]

    def taken(self, i: int) -> Any:
        return eq(self.index, i)

    def everywhere(self, i: int, branch: Jaxpr, axis_name: Any = None) -> None:
        """Run the branch for all lanes and select."""
        mask = self.taken(i)
        inputs = list(self.inputs)
        for k, root in enumerate(self.roots):
            if root is not None:
                inputs[root] = self.current[k]
        lanes = Lanes(self.lanes, axis_name)
        program, _ = vmap_jaxpr(masked(branch, tuple(self.roots)), lanes, [True, *self.mapped], True)
        outs = replay(program, [mask, *inputs])
        for k, (x, root) in enumerate(zip(outs, self.roots, strict=True)):
            known = self.current[k]
            if root is not None:
                self.current[k] = x
            elif self.summed[k]:
                part = reduce_sum(choose_lanes(mask, x, zeros(x.shape, x.type)), (0,))
                self.current[k] = part if known is None else add(known, part)
            else:
                self.current[k] = x if known is None else choose_lanes(mask, x, known)

    def if_any(self, i: int, branch: Jaxpr, guard: Guard) -> None:
        """Run the branch for all lanes if one takes it."""

        def function() -> list[Any]:
            self.everywhere(i, branch)
            return self.current

        before = self.begun()
        self.current = list(before)
        self.current = guard(reduce_or(self.taken(i), (0,)), function, before)

    def in_blocks(self, i: int, branch: Jaxpr, price: int) -> None:
        """Run the branch for the lanes that take it, a block of them at a time."""
        size = 1
        while 2 * size <= min(LARGEST_BLOCK, self.lanes) and 2 * size * price <= BLOCK:
            size *= 2
        order, count = _lanes_first(self.taken(i), self.lanes, size)
        first = reshape(dynamic_slice(order, [0], [1]), ())

        def goes_on(k: Any, *_: Any) -> Any:
            return lt(mul(k, size), count)

        def step(k: Any, *outs: Any) -> list[Any]:
            begin = mul(k, size)
            which = dynamic_slice(order, [begin], [size])
            if size == 1:
                lane = reshape(which, ())
                rows = [row(x, lane) if m else x for x, m in zip(self.inputs, self.mapped, strict=True)]
                new = replay(branch, rows)
                written = [
                    add(old, x) if s else _with_row(old, x, lane)
                    for old, x, s in zip(outs, new, self.summed, strict=True)
                ]
                return [add(k, 1), *written]
            inside = lt(add(iota(_INT, size), begin), count)
            safe = select(inside, which, broadcast_in_dim(first, (size,)))  # a lane that takes the branch, once more
            rows = [_rows(x, safe) if m else x for x, m in zip(self.inputs, self.mapped, strict=True)]
            new = replay(vmap_jaxpr(branch, Lanes(size), self.mapped, True)[0], rows)
            target = select(inside, which, full((size,), self.lanes, _INT))  # out of bounds: not written
            written = [
                add(old, reduce_sum(choose_lanes(inside, x, zeros(x.shape, x.type)), (0,)))
                if s
                else _with_rows(old, x, target)
                for old, x, s in zip(outs, new, self.summed, strict=True)
            ]
            return [add(k, 1), *written]

        start = full((), 0, _INT)
        self.current = _loop(goes_on, step, [start, *self.begun()])[1:]


def _updated_inputs(branches: Sequence[Jaxpr], mapped: Sequence[bool], summed: Sequence[bool]) -> list[int | None]:
    """For each result the mapped input that every branch makes it of by updating it in place, or leaves as it is."""
    roots: list[int | None] = []
    for k in range(len(summed)):
        found = None
        for j, m in enumerate(mapped):
            if m and not summed[k] and j not in roots:
                chains = [updates_of(branch, k, j) for branch in branches]
                if all(chain is not None for chain in chains) and any(chains):
                    found = j
                    break
        roots.append(found)
    return roots


def _loop(goes_on: Callable[..., Any], step: Callable[..., list[Any]], initial: Sequence[Any]) -> list[Any]:
    """``while goes_on(*carry): carry = step(*carry)``; both may close over traced values."""
    types = [x.type for x in initial]
    condition, tested = trace(lambda *carry: [goes_on(*carry)], types, "a loop over blocks of lanes")
    body, captured = trace(step, types, "a loop over blocks of lanes")
    return bind_all(While(condition, body, len(tested), len(captured)), [*tested, *captured, *initial])


def _lanes_first(mask: Any, lanes: int, size: int) -> tuple[Any, Any]:
    """The numbers of the lanes in the mask, ahead in a list whose length is a multiple of ``size``; their count."""
    ones = convert(mask, _INT)
    total, distance = ones, 1
    while distance < lanes:  # prefix sums in log2(lanes) steps
        total = add(total, pad(total, full((), 0, _INT), [(distance, -distance, 0)]))
        distance *= 2
    places = select(mask, sub(total, 1), full((lanes,), lanes + size, _INT))
    room = -(-lanes // size) * size
    numbers = ScatterDimensionNumbers((), (0,), (0,))
    order = scatter(full((room,), 0, _INT), reshape(places, (lanes, 1)), iota(_INT, lanes), numbers, mode="drop")
    return order, reduce_sum(ones, (0,))


def _with_row(x: Any, new: Any, lane: Any) -> Any:
    starts = [lane, *[full((), 0, _INT)] * (x.ndim - 1)]
    return dynamic_update_slice(x, broadcast_in_dim(new, (1, *x.shape[1:]), tuple(range(1, x.ndim))), starts)


def _rows(x: Any, lanes: Any) -> Any:
    window = tuple(range(1, x.ndim))
    numbers = GatherDimensionNumbers(window, (0,), (0,))
    return gather(x, reshape(lanes, (*lanes.shape, 1)), numbers, (1, *x.shape[1:]), mode="clip")


def _with_rows(x: Any, rows: Any, lanes: Any) -> Any:
    window = tuple(range(1, x.ndim))
    numbers = ScatterDimensionNumbers(window, (0,), (0,))
    return scatter(x, reshape(lanes, (*lanes.shape, 1)), rows, numbers, mode="drop")
