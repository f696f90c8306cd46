"""Index sets: for each element of an array, the columns of a Jacobian in which it may have an entry.

    x[1:] * x[:-1] of x:f32[3] by x        numbers [1, 2] of the table  0: {}  1: {0, 1}  2: {1, 2}

The sets stand in compressed rows, each once where that is cheap to see, and an element has the number of its row: what
only moves elements moves numbers (``Primitive.moving``), and a matrix whose rows are alike is one row.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.sparse import coo_array, csr_array, vstack

from functrans.errors import FunctransValueError
from functrans.ir.types import Shape

Numbers = Any  # an array of int32
_LONG = 16  # columns in a row from which on it pays to look for equal rows
_CHUNK = 50_000_000  # columns that are merged at once


class TooDense(FunctransValueError):
    """The sets hold more columns than the caller allows."""


class Sets:
    """``table``: the sets, a row each, the first one empty; ``numbers``: for each element of an array its row."""

    __slots__ = ("numbers", "table")

    def __init__(self, table: Any, numbers: Numbers) -> None:
        self.table = table
        self.numbers = numbers


def each_its_own(shape: Shape, first: int, columns: int) -> Sets:
    """Element i has the set ``{first + i}`` of so many columns."""
    size = int(np.prod(shape, dtype=np.int64))
    starts = np.concatenate([[0], np.arange(size + 1)])
    places = np.arange(first, first + size, dtype=np.int32)
    table = csr_array((np.ones(size, np.bool_), places, starts), shape=(size + 1, columns))
    return Sets(table, np.arange(1, size + 1, dtype=np.int32).reshape(shape))


def joined(sets: Sequence[Sets | None], shapes: Sequence[Shape]) -> tuple[Any, list[Numbers]]:
    """One table that holds the sets of all, and the numbers in it; ``shapes``: those of the arrays, None: without
    entries."""
    tables: list[Any] = []
    offsets: dict[int, int] = {}  # by the identity of tables, which ``tables`` keeps
    total = 0
    for s in sets:
        if s is not None and id(s.table) not in offsets:
            tables.append(s.table)
            offsets[id(s.table)] = total
            total += s.table.shape[0]
    table = tables[0] if len(tables) == 1 else vstack(tables, format="csr")
    numbers = []
    for s, shape in zip(sets, shapes, strict=True):
        if s is None:
            numbers.append(np.broadcast_to(np.int32(0), shape))
        else:
            offset = offsets[id(s.table)]
            numbers.append(s.numbers + np.int32(offset) if offset else s.numbers)
    return table, numbers


def pruned(sets: Sets) -> Sets | None:
    """The same without rows that no element has, where those are many; None where all sets are empty."""
    if not sets.table.nnz or not sets.numbers.size:
        return None
    if sets.table.shape[0] <= 2 * sets.numbers.size + 16:
        return sets
    used, numbers = np.unique(sets.numbers, return_inverse=True)
    if used[0] != 0:
        used, numbers = np.concatenate([[0], used]), numbers + 1
    return Sets(sets.table[used], numbers.reshape(sets.numbers.shape).astype(np.int32))


def union(a: Sets | None, b: Sets | None) -> Sets | None:
    """Element by element; the arrays have one shape."""
    if a is None or b is None:
        return b if a is None else a
    if a.table is b.table and (a.numbers is b.numbers or np.array_equal(a.numbers, b.numbers)):
        return a
    shape = a.numbers.shape
    left, right = a.numbers.ravel(), b.numbers.ravel()
    a_full, b_full = _full(a.table), _full(b.table)
    if a_full is not None or b_full is not None:  # nothing can be added to a full set
        a_is = None if a_full is None else a_full[left]
        b_is = None if b_full is None else b_full[right]
        if b_is is not None:
            left = np.where(b_is, 0, left)
        if a_is is not None:
            right = np.where(a_is & (left != 0), 0, right)
    rows, others = a.table.shape[0], b.table.shape[0]
    inverse = None
    if 2 * max(rows, others) < left.size or a_full is not None or b_full is not None:
        codes, inverse = np.unique(left.astype(np.int64) * others + right, return_inverse=True)
        left, right = np.divmod(codes, others)
    table = _merged(a.table, left, b.table, right)
    numbers = np.arange(1, left.size + 1, dtype=np.int32)
    if inverse is not None:
        numbers = numbers[inverse]
    return interned(Sets(table, numbers.reshape(shape)))


def _full(table: Any) -> Any:
    """Which rows hold every column; None where none does."""
    flags = np.diff(table.indptr) == table.shape[1]
    return flags if flags.any() else None


def _merged(a: Any, left: Any, b: Any, right: Any) -> Any:
    """Rows ``a[left[i]] | b[right[i]]`` behind an empty one."""
    sizes = np.diff(a.indptr)[left] + np.diff(b.indptr)[right]
    if sizes.sum() <= _CHUNK:
        return _behind_empty([a[left] + b[right]], a.shape[1])
    parts, start = [], 0
    ends = np.searchsorted(np.cumsum(sizes), np.arange(_CHUNK, sizes.sum() + _CHUNK, _CHUNK), side="right")
    for end in [*ends[:-1], left.size]:
        end = max(int(end), start + 1) if start < left.size else start
        if end > start:
            parts.append(a[left[start:end]] + b[right[start:end]])
        start = end
    return _behind_empty(parts, a.shape[1])


def _behind_empty(parts: Sequence[Any], columns: int) -> Any:
    return vstack([csr_array((1, columns), dtype=np.bool_), *parts], format="csr") if len(parts) > 1 else _with_empty(
        parts[0]
    )


def _with_empty(table: Any) -> Any:
    starts = np.concatenate([table.indptr[:1], table.indptr])
    return csr_array((table.data, table.indices, starts), shape=(table.shape[0] + 1, table.shape[1]))


def collected(sets: Sets, targets: Any, sources: Any, shape: Shape) -> Sets | None:
    """Element ``targets[i]`` (in row-major order) of an array of this shape has all columns of element ``sources[i]``.
    """
    size = int(np.prod(shape, dtype=np.int64))
    table = sets.table
    targets, numbers = np.asarray(targets).ravel(), sets.numbers.ravel()[np.asarray(sources).ravel()]
    chosen = numbers != 0
    if not chosen.all():
        targets, numbers = targets[chosen], numbers[chosen]
    if not targets.size:
        return None
    full = _full(table)
    if full is not None:  # a target that has a full set needs no other
        is_full = full[numbers]
        complete = np.zeros(size, np.bool_)
        complete[targets[is_full]] = True
        kept = is_full | ~complete[targets]
        targets, numbers = targets[kept], numbers[kept]
        numbers = np.where(full[numbers], np.argmax(full), numbers)
    # One row for each kind of group.
    ones = np.ones(targets.size, np.bool_)
    groups = coo_array((ones, (targets, numbers)), shape=(size, table.shape[0])).tocsr()
    groups.sum_duplicates()
    own = _equal_rows(groups)
    if own is not None:
        representatives, inverse = own
        groups = groups[representatives]
    merged = groups @ table
    merged.sort_indices()
    numbers = np.arange(1, merged.shape[0] + 1, dtype=np.int32)
    if own is not None:
        numbers = numbers[inverse]
    return interned(Sets(_with_empty(merged), numbers.reshape(shape)))


@functools.lru_cache(maxsize=8)
def _weights(columns: int) -> Any:
    return np.random.default_rng(columns).integers(0, 2**63, columns, dtype=np.uint64) * np.uint64(2) + np.uint64(1)


def _equal_rows(table: Any) -> tuple[Any, Any] | None:
    """Rows that stand for all that are equal to them, and for each row its place among those; None where all differ,
    or it is not worth looking."""
    count = table.shape[0]
    if count < 2 or table.nnz <= 2 * count:
        return None
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(_weights(table.shape[1])[table.indices], dtype=np.uint64)])
    hashes = sums[table.indptr[1:]] - sums[table.indptr[:-1]]
    _, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    if first.size == count:
        return None
    alike = first[inverse]
    lengths = np.diff(table.indptr)
    if not np.array_equal(lengths, lengths[alike]):
        return None  # sums that agree by chance
    if not np.array_equal(table.indices, table[alike].indices):
        return None
    return first, inverse


def interned(sets: Sets) -> Sets | None:
    """Equal sets as one row, where the rows are long enough for it to pay."""
    table = sets.table
    if not table.nnz:
        return None
    if table.nnz <= _LONG * table.shape[0]:
        return sets
    own = _equal_rows(table)
    if own is None:
        return sets
    first, inverse = own
    empty = inverse[0]  # becomes row 0
    order = np.concatenate([[empty], np.delete(np.arange(first.size), empty)])
    place = np.empty(first.size, np.int32)
    place[order] = np.arange(first.size, dtype=np.int32)
    return Sets(table[first[order]], place[inverse][sets.numbers])


def same(a: Sets | None, b: Sets | None) -> bool:
    """Whether two arrays of one shape have the same sets."""
    if a is None or b is None:
        return a is b
    return a is b or (
        np.array_equal(np.diff(a.table.indptr)[a.numbers], np.diff(b.table.indptr)[b.numbers])
        and np.array_equal(a.table[a.numbers.ravel()].indices, b.table[b.numbers.ravel()].indices)
    )
