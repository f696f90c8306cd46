"""Colours of symmetric patterns: fewer than columns need, as each place is read from its row or from its column.

In the product of a Hessian with the sum of the unit vectors of one colour, row i shows the entry (i, j) if no other
column of that colour has a place in row i; by symmetry the entry (j, i) will do as well. If the ends of each edge of
the pattern's graph differ in colour, and no path of four vertices has two colours, one of them always does: then every
two colours make a forest of stars, and the leaves' rows show the colour of their hub. The colours are given first fit,
largest degree first (Gebremedhin, Tarafdar, Manne and Pothen, "New acyclic and star coloring algorithms with
application to computing Hessians", 2007).

Their algorithm looks at the neighbours of neighbours. Here each vertex keeps what it forbids its neighbours, so that
the time is linear in the places of the pattern, however many lie in one row. Three other ways may save colours: a few
dense rows have colours of their own, regular patterns a rule (``functrans.jacobians.lattices``), and where parts of the
diagonal are zero, some columns need no colour.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from functrans.jacobians.columns import column_colours, only_in_use
from functrans.jacobians.first_fit import members_of
from functrans.jacobians.lattices import regular_colours
from functrans.jacobians.patterns import Pattern

_TABLE = 16  # counts in a table for each number that is counted
_START = 1024  # vertices on which it is seen whether the limit can be kept


def symmetrised(pattern: Pattern) -> Pattern:
    """The places (i, j) and (j, i) of a square pattern's places (i, j)."""
    if pattern.is_symmetric:
        return pattern
    rows, columns = pattern.rows, pattern.columns
    return Pattern.from_coordinates(np.append(rows, columns), np.append(columns, rows), pattern.shape)


def symmetric_colours(pattern: Pattern) -> NDArray[np.int32]:
    """[n] colours such that each place (i, j) of a symmetric pattern is read from row i or from row j.

    Columns from which nothing has to be read have -1.
    """
    most = int(np.diff(pattern.starts).max(initial=0))
    known = _with_hubs(pattern)
    if known is None and most:
        known = regular_colours(pattern, most)
        known = None if known is None else only_in_use(pattern, known)
    colours = star_colours(pattern, None if known is None else int(known.max()))
    if colours is None:
        assert known is not None  # there is a limit only where some colours are known
        colours = known
    if np.count_nonzero(pattern.columns == pattern.rows) == pattern.shape[0]:
        return colours  # all of them are needed
    choices = (_needed(pattern, colours), _covering_colours(pattern))
    return min(choices, key=lambda found: int(found.max(initial=-1)))


def _with_hubs(pattern: Pattern) -> NDArray[np.int32] | None:
    """Colours of their own for vertices of large degree, all others as if these were not there; None where it is not
    plain that this saves colours.
    """
    counts = np.diff(pattern.starts)
    most = int(counts.max(initial=0))
    bounds = [(np.count_nonzero(counts > most >> k) + (most >> k), most >> k) for k in range(1, most.bit_length())]
    bound, longest = min(bounds, default=(1, 0))
    if 2 * bound > most:
        return None
    hubs = counts > longest
    kept = ~hubs[pattern.rows] & ~hubs[pattern.columns]
    starts = np.concatenate([[0], np.cumsum(np.bincount(pattern.rows[kept], minlength=counts.size))])
    colours = star_colours(Pattern(pattern.shape, starts, pattern.columns[kept]))
    assert colours is not None  # without a limit there always are some
    colours[hubs] = colours.max() + 1 + np.arange(np.count_nonzero(hubs))
    return colours


def _covering_colours(pattern: Pattern) -> NDArray[np.int32]:
    """Colours for a part of the columns that holds one end of each edge and all loops, and for no others.

    Left out are vertices of small degree of which no two are neighbours, as the second variables of a bilinear form.
    """
    n = pattern.shape[1]
    covering = np.zeros(n, np.bool_)
    covering[pattern.columns[pattern.columns == pattern.rows]] = True
    order = np.flatnonzero(~covering)
    order = order[np.argsort(np.diff(pattern.starts)[order], kind="stable")]
    for v in order.tolist():
        if not covering[v]:
            covering[pattern.columns[pattern.starts[v] : pattern.starts[v + 1]]] = True
    kept = covering[pattern.columns]
    starts = np.concatenate([[0], np.cumsum(np.bincount(pattern.rows[kept], minlength=n))])
    return column_colours(Pattern(pattern.shape, starts, pattern.columns[kept]))


def occurrences(numbers: NDArray[Any], asked: NDArray[Any], count: int) -> NDArray[np.int64]:
    """How often each of the numbers asked for is among those given, all below ``count``; in linear memory."""
    if count <= _TABLE * numbers.size:
        return np.asarray(np.bincount(numbers, minlength=max(count, 1))[asked])
    ordered = np.sort(numbers)
    return np.searchsorted(ordered, asked, side="right") - np.searchsorted(ordered, asked)


def _needed(pattern: Pattern, colours: NDArray[np.int32]) -> NDArray[np.int32]:
    """The colours without those from which no place has to be read.

    A place of the diagonal needs its column's; others that of one end, and some have the choice.
    """
    rows, columns, n = pattern.rows, pattern.columns, pattern.shape[1]
    count = int(colours.max(initial=-1)) + 1
    needed = np.zeros(count, np.bool_)
    needed[colours[columns[columns == rows]]] = True
    shown = colours[columns] * np.int64(n) + rows  # the place in the products of the sum that holds each
    alone = shown >= 0
    alone &= occurrences(shown[alone], np.maximum(shown, 0), n * count) == 1
    upper = columns > rows
    other = alone[np.argsort(columns, kind="stable")]  # column by column the places are (j, i) for each (i, j)
    mine, theirs = colours[columns], colours[rows]
    needed[mine[upper & ~other]] = True
    needed[theirs[upper & ~alone]] = True
    free = upper & alone & other & ~needed[mine] & ~needed[theirs]
    pairs = np.unique(np.stack([mine[free], theirs[free]]), axis=1)
    while pairs.size:
        needed[np.bincount(pairs.ravel()).argmax()] = True
        pairs = pairs[:, ~needed[pairs].any(axis=0)]
    numbers = np.where(needed, np.cumsum(needed) - 1, -1).astype(np.int32)
    return np.append(numbers, np.int32(-1))[colours]


class _Graph(NamedTuple):
    """The first vertices of an order and the edges among them, by rank: all neighbours, and those earlier in rank."""

    starts: NDArray[Any]
    neighbours: NDArray[Any]
    earlier_starts: NDArray[Any]
    earlier: NDArray[Any]


def _graph(pattern: Pattern, order: NDArray[Any], count: int) -> _Graph:
    ranks = np.empty(order.size, np.int32)
    ranks[order] = np.arange(order.size, dtype=np.int32)
    chosen, sizes = order[:count], np.diff(pattern.starts)[order[:count]]
    places = np.arange(sizes.sum()) + np.repeat(pattern.starts[chosen] - (np.cumsum(sizes) - sizes), sizes)
    own, other = np.repeat(np.arange(count, dtype=np.int32), sizes), ranks[pattern.columns[places]]
    parts: list[NDArray[Any]] = []
    for keep in ((other != own) & (other < count), other < own):
        parts += [np.concatenate([[0], np.cumsum(np.bincount(own[keep], minlength=count))]), other[keep]]
    return _Graph(*parts)


def star_colours(pattern: Pattern, limit: int | None = None) -> NDArray[np.int32] | None:
    """[n] colours for a symmetric pattern, -1 for empty columns; None where ``limit`` are too few."""
    n = pattern.shape[1]
    counts = np.diff(pattern.starts)
    loops = np.zeros(n, np.int64)
    loops[pattern.columns[pattern.columns == pattern.rows]] = 1
    order = np.argsort(loops - counts, kind="stable")
    if limit is not None and n > 4 * _START and _first_fit(_graph(pattern, order, _START), limit) is None:
        return None
    found = _first_fit(_graph(pattern, order, n), n if limit is None else limit)
    if found is None:
        return None
    colours = np.empty(n, np.int32)
    colours[order] = found
    colours[counts == 0] = -1
    return colours


def _first_fit(graph: _Graph, limit: int) -> list[int] | None:
    """The colours of a graph's vertices in the order of their ranks; sets of colours are the bits of integers."""
    count, starts = len(graph.starts) - 1, graph.starts.tolist()
    own = [0] * count  # the vertex's colour
    forbidding = [0] * count  # what it forbids its neighbours: its own, and its neighbours' that are hubs through it
    around = [0] * count  # the colours of its neighbours
    doubled = [0] * count  # those that two of them have: it is the hub of their star
    beyond = 1 << limit
    for v, earlier in enumerate(members_of(graph.earlier, graph.earlier_starts)):
        taken = once = twice = 0
        for w in earlier:
            taken |= forbidding[w]
            twice |= once & own[w]
            once |= own[w]
        leaves = [w for w in earlier if own[w] & twice] if twice else ()
        for w in leaves:  # v is the hub of a star of w, and must differ from all around w
            taken |= around[w]
        colour = ~taken & (taken + 1)
        if colour == beyond:
            return None
        for w in leaves:
            forbidding[w] |= colour
        forbids = colour
        for w in earlier:
            if around[w] & colour:
                forbids |= own[w]
                if not doubled[w] & colour:
                    doubled[w] |= colour
                    for other in graph.neighbours[starts[w] : starts[w + 1]].tolist():
                        if own[other] == colour:  # the one neighbour of w that had the colour
                            forbidding[other] |= own[w]
                            break
            else:
                around[w] |= colour
        own[v], forbidding[v], around[v], doubled[v] = colour, forbids, once, twice
    return [colour.bit_length() - 1 for colour in own]
