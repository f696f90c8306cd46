"""Colours of regular patterns by arithmetic: bands, blocks, stencils on grids.

Where the rows of a matrix repeat one figure, the colour of column j can be j mod k or, on a grid with lines of N
columns, j + a (j // N) mod k, with a second such term for planes: the best of these use as few colours as a row has
columns (Goldfarb and Toint, "Optimal estimation of Jacobian and Hessian matrices that arise in finite difference
calculations", 1984), where first fit takes up to twice as many. N and a are not given: they are searched in a sample of
the rows, in which only the distances between two columns of a row count, of which a regular pattern has few. What is
found is checked in all rows, and if some fail (those at edges that are joined), they go into the sample.
"""

from __future__ import annotations

from functools import cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from functrans.jacobians.patterns import Pattern

_PAIRS = 500  # of columns of a row, that the sample holds about
_FEWEST = 12  # rows in it
_SHARE = 0.25  # of the pairs, or of all columns, may have distances of their own, else the pattern is not regular
_WORK = 30  # colours of pairs that are tried for each place of the pattern
_LONGEST = 32  # columns in a row, up to which lattices are searched
_MORE = 8  # colours than the least possible that a lattice may have
_LINES = 4  # lengths of lines that are tried
_CHECKS = 6  # of lattices in all rows
_WORD = 64
_HASH = np.array([1, 0x5DEECE66D, 0x9E3779B97F4A7C1, 0x27D4EB2F165667C5, 0x165667B19E3779F9])  # of several distances

Colours = NDArray[np.int32]
Integers = NDArray[np.int64]


def failing_rows(starts: Integers, columns: NDArray[np.int32], colours: Colours) -> Integers:
    """The rows in which two columns have one colour: they have fewer colours than columns."""
    counts = np.diff(starts)
    filled = np.flatnonzero(counts)
    distinct = np.zeros(filled.size, np.int64)
    for base in range(0, int(colours.max(initial=-1)) + 1, _WORD) if filled.size else ():
        own = (colours - base).view(np.uint32)
        most = min(int(colours.max()) - base, _WORD - 1)
        bits = np.where(own < _WORD, np.uint64(1) << own.astype(np.uint64), np.uint64(0))
        bits = bits.astype(np.min_scalar_type(1 << most))
        distinct += np.bitwise_count(np.bitwise_or.reduceat(bits[columns], starts[filled]))
    return np.asarray(filled[distinct != counts[filled]])


def regular_colours(pattern: Pattern, least: int) -> Colours | None:
    """[n] colours such that the columns of each row differ; None where no rule gives them, or none with few colours.

    ``least`` is the number of columns in the longest row.
    """
    n = pattern.shape[1]
    if _widest(pattern) <= least:
        return np.tile(np.arange(least, dtype=np.int32), -(-n // least))[:n]
    colours = _by_position(pattern)
    if colours is None and least <= _LONGEST:
        colours = _lattice(pattern, least, min(least + _MORE, 2 * least))
    return colours


def _widest(pattern: Pattern) -> int:
    """The most columns from the first to the last place of a row, both included."""
    ends = pattern.starts[1:]
    filled = ends > pattern.starts[:-1]
    if not filled.all():
        ends = ends[filled]
    first = pattern.columns[np.concatenate([[0], ends[:-1]])]
    return int((pattern.columns[ends - 1] - first).max()) + 1


def _by_position(pattern: Pattern) -> Colours | None:
    """A column's position in its rows, if it is the same in all."""
    m, n = pattern.shape
    colours = np.zeros(n, np.int32)
    for last in (64, m):
        starts = pattern.starts[: last + 1]
        columns = pattern.columns[: starts[-1]]
        places = np.arange(columns.size, dtype=np.int32)
        places -= np.repeat(starts[:-1].astype(np.int32), np.diff(starts))
        colours[columns] = places
        if not np.array_equal(colours[columns], places):
            return None
    return colours


class _Sample:
    """Pairs of columns that stand in one row: a lattice is valid where no pair has one colour."""

    def __init__(self) -> None:
        self.left = self.right = np.zeros(0, np.int64)

    def add(self, pattern: Pattern, rows: Integers) -> None:
        counts = np.diff(pattern.starts)[rows]
        for count in np.unique(counts):
            table = pattern.columns[pattern.starts[rows[counts == count], None] + np.arange(count)]
            a, b = np.triu_indices(count, 1)
            self.left = np.concatenate([self.left, table[:, a].ravel()])
            self.right = np.concatenate([self.right, table[:, b].ravel()])

    def distances(self, lines: list[int]) -> Integers:
        """[1 + len(lines), d]: the different distances of two columns, in columns and in lines of these lengths."""
        found = np.stack([self.right // line - self.left // line for line in (1, *lines)])
        _, first = np.unique(_HASH[: len(found)] @ found, return_index=True)
        return found[:, first]

    def likely_lines(self, rows: int) -> list[int]:
        """Lengths of lines: distances in at least half of the rows, that tell mostly how many lines another crosses."""
        apart = self.right - self.left
        distances, frequency = np.unique(apart, return_counts=True)
        lines = distances[(distances > 1) & (2 * frequency >= rows), None]
        keys = np.sort(_HASH[0] * apart + _HASH[1] * (self.right // lines - self.left // lines))
        ambiguity = np.count_nonzero(keys[:, 1:] != keys[:, :-1], axis=1)
        return sorted(lines[np.argsort(ambiguity, kind="stable")[:_LINES], 0].tolist())


def _factors(distances: Integers, k: int) -> Integers | None:
    """[terms] factors of the terms with lines, such that no distance [1 + terms, d] is a multiple of k in colours."""
    factors, differs = _factor_table(len(distances) - 1, k)
    left = distances % k
    sums = left[0] + sum(a * b for a, b in zip(factors, left[1:]))
    valid = differs[sums].reshape(-1, left.shape[1]).all(axis=1)
    return factors[:, valid.argmax(), 0] if valid.any() else None


@cache
def _factor_table(terms: int, k: int) -> tuple[Integers, NDArray[np.bool_]]:
    """All factors below k, [terms, k ** terms, 1], and whether the sums that they make are no multiples of k."""
    return np.indices((k,) * terms).reshape(terms, k**terms, 1), np.arange(k + terms * k * k) % k > 0


def _lattice(pattern: Pattern, least: int, limit: int) -> Colours | None:
    m, n = pattern.shape
    sample, rows, checks, tried = _Sample(), max(_FEWEST, _PAIRS // max(1, least * (least - 1) // 2)), 0, 0
    sample.add(pattern, np.unique(np.linspace(0, m - 1, rows, dtype=np.int64)))
    distances = sample.distances([])
    if distances.size > _SHARE * min(sample.left.size, n):
        return None
    lines = sample.likely_lines(rows)
    distances = sample.distances(lines)
    terms = range(1, 1 + len(lines))
    for k in range(least, limit):
        for chosen in ((), *combinations(terms, 1), *combinations(terms, 2)):
            tried += distances.shape[1] * k ** len(chosen)
            if tried > _WORK * (pattern.size + n):
                return None
            while (factors := _factors(distances[[0, *chosen]], k)) is not None:
                places = np.arange(n)
                sums = places.copy()
                for factor, term in zip(factors, chosen):
                    sums += factor * (places // lines[term - 1])
                colours = (sums % k).astype(np.int32)
                failing = failing_rows(pattern.starts, pattern.columns, colours)
                checks += 1
                if not failing.size or checks == _CHECKS:
                    return None if failing.size else colours
                sample.add(pattern, failing[:: -(-failing.size // rows)])
                distances = sample.distances(lines)
    return None
