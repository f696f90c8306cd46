"""Fewer colours: the columns of the last colour go into others, whose columns make room for them.

Sequential colouring with interchange (Matula, Marble and Isaacson, "Graph coloring algorithms", 1972), in its simplest
form: a column may take a colour that few of its neighbours have, if each of these may take another one.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from functrans.jacobians.patterns import Pattern

_MOVED = 3  # neighbours that make room at the most
_MOST = 64  # columns of the last colour for which it is tried


class _Neighbours:
    """The columns that share a row with a column; ``seen`` is how many were looked at, and colours."""

    def __init__(self, pattern: Pattern, colours: NDArray[np.int32]) -> None:
        self.pattern, self.transposed, self.colours = pattern, pattern.transposed, colours
        self.seen = 0

    def rows_of(self, column: int) -> Iterator[NDArray[np.int32]]:
        """The columns in each of its rows, itself among them."""
        rows, starts = self.transposed, self.pattern.starts
        for row in rows.columns[rows.starts[column] : rows.starts[column + 1]].tolist():
            others = self.pattern.columns[starts[row] : starts[row + 1]]
            self.seen += others.size
            yield others

    def by_colour(self, column: int) -> dict[int, set[int]]:
        found: dict[int, set[int]] = {}
        for others in self.rows_of(column):
            for other, colour in zip(others.tolist(), self.colours[others].tolist()):
                found.setdefault(colour, set()).add(other)
        return found

    def taken_around(self, column: int) -> set[int]:
        """Their colours, and its own."""
        return set().union(*[self.colours[others].tolist() for others in self.rows_of(column)])


def _moved(neighbours: _Neighbours, column: int, last: int, work: int) -> bool:
    """Whether the column has left the last colour; its neighbours may have changed theirs."""
    colours, blocked = neighbours.colours, neighbours.by_colour(column)
    for colour in sorted(range(last), key=lambda c: len(blocked.get(c, ()))):
        blockers = blocked.get(colour, set())
        if len(blockers) > _MOVED or neighbours.seen > work:
            return False
        moves = {}
        for other in blockers:
            taken = neighbours.taken_around(other)
            neighbours.seen += last
            free = next((c for c in range(last) if c not in taken), None)
            if free is None:
                break
            moves[other] = free
        else:
            for other, free in moves.items():
                colours[other] = free
            colours[column] = colour
            return True
    return False


def with_interchange(pattern: Pattern, colours: NDArray[np.int32], least: int) -> NDArray[np.int32]:
    """Colours such that the columns of each row differ, not more than those given.

    At most as many columns and colours are looked at as the pattern has places; ``least`` colours are needed anyway.
    """
    neighbours = _Neighbours(pattern, colours.copy())
    last = int(colours.max(initial=-1))
    while last >= least:
        members = np.flatnonzero(neighbours.colours == last)
        if members.size > _MOST or not all(_moved(neighbours, int(j), last, pattern.size) for j in members):
            break
        colours = neighbours.colours.copy()
        last -= 1
    return colours
