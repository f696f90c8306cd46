"""First-fit colouring: columns one after the other, each in the first colour that none in a common row has.

The colours depend on the order alone: largest first, after the number of columns that share a row with it (Welsh and
Powell, 1967; for Jacobians Coleman and Moré, "Estimation of sparse Jacobian matrices and graph coloring problems",
1983). All columns of a row differ, so a row remembers which colours it has, and the time is linear in the places
of the pattern, never in the pairs of columns. Three kernels give the same colours and differ in time and memory:

- ``_by_masks``: one column at a time, a row's colours are the bits of an integer;
- ``_by_spans``: one column at a time, for patterns with rows so long that such bits would fill the memory;
- ``_by_windows``: in rounds of NumPy operations, each for all columns of a window of the order that share no row with
  an earlier one in it (Jones and Plassmann, "A parallel graph coloring heuristic", 1993), which are many if the
  pattern is large and sparse.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from functrans.jacobians.patterns import Pattern

_BLOCK = 4096  # columns whose indices are Python integers at the same time
_MASK_BITS = 512  # of memory for each place of the pattern that masks may take
_WORD = 64  # colours that a window's masks hold
_MANY = 20_000  # places, from which on windows may pay
_PROBE = 256  # columns of which enough must be apart

Indices = NDArray[Any]


def columns_in_use(pattern: Pattern) -> Indices:
    """The columns that hold a place, ascending."""
    used = np.zeros(pattern.shape[1], np.bool_)
    used[pattern.columns] = True
    return np.flatnonzero(used)


def first_fit(pattern: Pattern, limit: int | None = None) -> NDArray[np.int32] | None:
    """[n] colours such that the columns of each row differ, -1 for empty columns; None where ``limit`` are too few."""
    m, n = pattern.shape
    row_counts = np.diff(pattern.starts)
    most = int(row_counts.max(initial=0))
    limit = n if limit is None else limit
    if most > limit:
        return None
    colours = np.full(n, -1, np.int32)
    if not most:
        return colours
    transposed, columns = pattern.transposed, columns_in_use(pattern)
    degrees = _degrees(pattern, columns)
    falling = degrees.max() - degrees
    if falling.max() < 2**16:
        falling = falling.astype(np.uint16)  # which NumPy sorts by counting
    order = columns[np.argsort(falling, kind="stable")]
    counts = np.diff(transposed.starts)[order]
    bounds = np.concatenate([[0], np.cumsum(counts)])
    places = np.arange(pattern.size) + np.repeat(transposed.starts[order] - bounds[:-1], counts)
    rows = transposed.columns[places]
    found: Any
    if most <= _WORD and pattern.size > _MANY and _are_apart(m, rows, bounds):
        found = _by_windows(m, rows, bounds, limit)
    elif m * most <= _MASK_BITS * (pattern.size + 1000):
        found = _by_masks(m, rows, bounds, limit)
    else:
        found = _by_spans(m, rows, bounds, limit)
    if found is None:
        return None
    colours[order] = found
    return colours


def _degrees(pattern: Pattern, columns: Indices) -> Indices:
    """How many columns share a row with each of these, itself included; of large patterns, those in k rows k times."""
    n, transposed = pattern.shape[1], pattern.transposed
    if n > _BLOCK or pattern.size > _MANY:
        return np.asarray(np.add.reduceat(np.diff(pattern.starts)[transposed.columns], transposed.starts[columns]))
    words = -(-n // _WORD)
    word = pattern.rows.astype(np.int64) * words + pattern.columns // _WORD
    first = np.flatnonzero(np.concatenate([[True], word[1:] != word[:-1]]))
    bit = np.uint64(1) << (pattern.columns % _WORD).astype(np.uint64)
    bits = np.zeros(pattern.shape[0] * words, np.uint64)  # of the columns in each row
    bits[word[first]] = np.bitwise_or.reduceat(bit, first)
    own = bits.reshape(-1, words)[transposed.columns]
    together = np.bitwise_or.reduceat(own, transposed.starts[columns], axis=0)
    return np.asarray(np.bitwise_count(together).sum(axis=1, dtype=np.int64))


def _are_apart(m: int, rows: Indices, bounds: Indices) -> bool:
    """Whether many columns in the middle of the order share no row with the one before."""
    middle = (len(bounds) - 1) // 2
    edges = bounds[middle : middle + _PROBE + 1]
    here, owner = rows[edges[0] : edges[-1]], np.repeat(np.arange(edges.size - 1), np.diff(edges))
    earliest = np.empty(m, np.int64)
    earliest[here[::-1]] = owner[::-1]
    alone = np.logical_and.reduceat(earliest[here] == owner, edges[:-1] - edges[0])
    return bool(np.count_nonzero(alone) * 4 > alone.size)


def members_of(rows: Indices, bounds: Indices) -> Iterator[list[int]]:
    """The parts of ``rows`` between the bounds, one after the other, as lists."""
    for first in range(0, len(bounds) - 1, _BLOCK):
        edges = bounds[first : first + _BLOCK + 1]
        block = rows[edges[0] : edges[-1]].tolist()
        cuts = (edges - edges[0]).tolist()
        for start, end in pairwise(cuts):
            yield block[start:end]


def _by_masks(m: int, rows: Indices, bounds: Indices, limit: int) -> list[int] | None:
    used = [0] * m
    bits = []
    beyond = 1 << limit
    for members in members_of(rows, bounds):
        taken = 0
        for i in members:
            taken |= used[i]
        bit = ~taken & (taken + 1)
        if bit == beyond:
            return None
        for i in members:
            used[i] |= bit
        bits.append(bit)
    return [bit.bit_length() - 1 for bit in bits]


def _by_spans(m: int, rows: Indices, bounds: Indices, limit: int) -> list[int] | None:
    """A row has all colours below ``full``; a long one those of ``above``, counted from there; a short one a list."""
    full = [0] * m
    above = [0] * m
    long = np.bincount(rows, minlength=m) > _WORD
    others: list[list[int] | None] = [None if is_long else [] for is_long in long.tolist()]
    colours = []
    for members in members_of(rows, bounds):
        base = max([full[i] for i in members])
        taken = 0
        for i in members:
            listed = others[i]
            if listed is None:
                taken |= above[i] >> (base - full[i])
            else:
                for colour in listed:
                    if colour >= base:
                        taken |= 1 << (colour - base)
        colour = base + (~taken & (taken + 1)).bit_length() - 1
        if colour >= limit:
            return None
        for i in members:
            listed = others[i]
            if listed is not None:
                listed.append(colour)
            elif colour > full[i]:
                above[i] |= 1 << (colour - full[i])
            else:
                bits = above[i] | 1
                filled = (~bits & (bits + 1)).bit_length() - 1
                full[i] += filled
                above[i] = bits >> filled
        colours.append(colour)
    return colours


def _by_windows(m: int, rows: Indices, bounds: Indices, limit: int) -> NDArray[np.int32] | None:
    """Colours beyond the first 64 are given in further sweeps, over the columns that find none of these free.

    All arrays are in reversed order: of the values assigned to one place NumPy keeps the last, and that must be the
    earliest column.
    """
    count = len(bounds) - 1
    colours = np.empty(count, np.int32)
    left, base = np.arange(count), 0
    while left.size:
        counts = np.diff(bounds)[left]
        starts = np.repeat(bounds[left] - (np.cumsum(counts) - counts), counts)
        bits = _sweep(m, rows[np.arange(starts.size) + starts], counts, limit - base)
        if bits is None:
            return None
        colours[left] = base + np.frexp(bits.astype(np.float64))[1] - 1
        left, base = left[bits == 0], base + _WORD
    return colours


def _sweep(m: int, rows: Indices, counts: Indices, limit: int) -> NDArray[np.uint64] | None:
    """The bit of each column's colour, 0 where all 64 are taken."""
    total = counts.size
    rows, counts = rows[::-1].astype(np.intp), counts[::-1]
    ends = np.concatenate([[0], np.cumsum(counts)])
    names = np.arange(total, dtype=np.int32)
    owners = np.repeat(names, counts)
    used, earliest = np.zeros(m, np.uint64), np.empty(m, np.int32)
    bits = np.zeros(total, np.uint64)
    beyond = np.uint64(1 << limit if limit < _WORD else 0)
    one = np.uint64(1)
    width, next_column = _WORD, total
    late, late_rows = names[:0], rows[:0]
    while next_column or late.size:
        first = max(0, next_column - max(1, width - late.size))
        chosen = np.concatenate([names[first:next_column], late])
        places = slice(ends[first], ends[next_column])
        here = np.concatenate([rows[places], late_rows])
        size = counts[chosen]
        owner = np.concatenate([owners[places], np.repeat(late, counts[late])])
        next_column = first
        earliest[here] = owner
        begins = np.cumsum(size) - size
        alone = np.logical_and.reduceat(earliest[here] == owner, begins)
        if alone.all():
            late, late_rows, width = late[:0], late_rows[:0], 2 * width
        else:
            keep = np.repeat(alone, size)
            late, late_rows = chosen[~alone], here[~keep]
            chosen, here, size = chosen[alone], here[keep], size[alone]
            begins = np.cumsum(size) - size
            width = max(_WORD // 4, width * 3 // 4) if late.size > chosen.size else width * 5 // 4
        taken = used[here]
        all_taken = np.bitwise_or.reduceat(taken, begins)
        bit = ~all_taken & (all_taken + one)
        if beyond and (bit & beyond).any():
            return None
        used[here] = taken | np.repeat(bit, size)
        bits[chosen] = bit
    return bits[::-1]
