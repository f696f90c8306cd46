"""Colours of rows and of columns together, for matrices with a few dense rows and columns.

The rows with many places are read off reverse passes, all others off forward passes, so that the columns of a colour
may meet in the dense rows (the direct covers of Coleman and Verma, "The efficient computation of sparse Jacobian
matrices using automatic differentiation", 1998); or the columns with many places off forward passes and the rest off
reverse ones. An arrowhead of any size takes three passes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from functrans.jacobians.columns import column_colours
from functrans.jacobians.patterns import Pattern

Colours = NDArray[np.int32]


class Split(NamedTuple):
    """Rows with more than ``longest`` places are read off reverse passes, the others off forward ones.

    If ``turned``, columns with more are read off forward passes, the others off reverse ones. At least ``forward`` and
    ``reverse`` passes are needed.
    """

    forward: int
    reverse: int
    longest: int
    turned: bool = False


def _divisions(pattern: Pattern) -> list[Split]:
    """Those in which the longest row of the sparse part is at most a half, a quarter, ... as long as the longest."""
    n, counts = pattern.shape[1], np.diff(pattern.starts)
    numbers, most = np.unique(counts), int(counts.max(initial=0))
    halves = [most >> k for k in range(1, most.bit_length())]
    found = []
    for longest in sorted({int(numbers[numbers <= half][-1]) for half in halves if numbers[0] <= half} - {0}):
        dense = with_rows(pattern, counts > longest)
        found.append(Split(longest, int(np.bincount(dense.columns, minlength=n).max()), longest))
    return found


def splits(pattern: Pattern) -> list[Split]:
    """All rows off forward passes, all off reverse ones, and what lies between."""
    transposed = pattern.transposed
    longest, tallest = (int(np.diff(side.starts).max(initial=0)) for side in (pattern, transposed))
    turned = [Split(reverse, forward, limit, True) for forward, reverse, limit, _ in _divisions(transposed)]
    return [Split(longest, 0, longest), Split(0, tallest, 0), *_divisions(pattern), *turned]


def colours_of(pattern: Pattern, split: Split) -> tuple[Colours, Colours]:
    """([n] colours of columns, [m] colours of rows); -1 where nothing is read from a column or row."""
    side = pattern.transposed if split.turned else pattern
    dense = np.diff(side.starts) > split.longest
    sparse = side if not dense.any() else with_rows(side, ~dense)
    colours = column_colours(sparse), column_colours(with_rows(side, dense).transposed)
    return colours[::-1] if split.turned else colours


def with_rows(pattern: Pattern, kept: NDArray[np.bool_]) -> Pattern:
    """The pattern with all other rows empty."""
    counts = np.where(kept, np.diff(pattern.starts), 0)
    return Pattern(pattern.shape, np.concatenate([[0], np.cumsum(counts)]), pattern.columns[kept[pattern.rows]])


def cheapest(pattern: Pattern, forward_cost: float, reverse_cost: float) -> tuple[Colours, Colours]:
    """The colours of the split that costs least.

    Splits are tried by rising least cost, as long as that is below what is found; those into two parts only if they are
    so too when they exceed it as much as the pattern in one part did.
    """
    costs = (forward_cost, reverse_cost)
    excess = [1.0, 1.0]
    best, paid = None, np.inf
    choices = splits(pattern)
    if pattern.is_symmetric:  # as many colours of rows as of columns
        del choices[1 if forward_cost <= reverse_cost else 0]
    for split in sorted(choices, key=lambda split: forward_cost * split.forward + reverse_cost * split.reverse):
        least = (split.forward, split.reverse)
        scales = excess if all(least) else (1.0, 1.0)
        if best is not None and sum(c * k * scale for c, k, scale in zip(costs, least, scales)) >= paid:
            continue
        found = colours_of(pattern, split)
        needed = [int(colours.max(initial=-1)) + 1 for colours in found]
        for side in (0, 1):
            if least[side] and not least[1 - side]:
                excess[side] = needed[side] / least[side]
        cost = sum(c * k for c, k in zip(costs, needed))
        if best is None or cost < paid:
            best, paid = found, cost
    assert best is not None  # the first is always tried
    return best
