"""Which columns and rows of a sparse matrix are found in one product.

A Jacobian's columns that share no row are read off one product with the sum of their unit vectors (Curtis, Powell and
Reid, "On the estimation of sparse Jacobian matrices", 1974), a forward pass; its rows likewise off a reverse pass. So
columns, or rows, get colours, one for each pass; where a few rows and columns are dense, both
(``functrans.jacobians.bidirectional``); where the matrix is symmetric, fewer (``functrans.jacobians.stars``). Least
numbers of colours are hard to find in general (the problem is NP-hard), but for regular patterns there is a rule
(``functrans.jacobians.lattices``), and for others columns are coloured first fit (``functrans.jacobians.first_fit``)
and colours dropped by interchange (``functrans.jacobians.interchange``).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from functrans.errors import FunctransValueError
from functrans.jacobians.bidirectional import cheapest
from functrans.jacobians.columns import column_colours
from functrans.jacobians.patterns import Pattern
from functrans.jacobians.stars import occurrences, symmetric_colours, symmetrised
from functrans.trace.frames import here

Colours = NDArray[np.int32]
Kind = Literal["columns", "rows", "both", "star"]


@dataclass(frozen=True, eq=False, repr=False)
class Colouring:
    """Colours of the columns and rows of a pattern, and from which product each place is read.

    The columns of one colour are found in one forward pass: J times the sum of their unit vectors, [m]. The rows of one
    colour are found in one reverse pass: the sum of their unit vectors times J, [n]. Colour -1 is in no pass.

    Attributes:
      pattern: what is coloured, of shape (m, n).
      kind: 'columns' or 'rows', one of the arrays below; 'both'; 'star' for symmetric matrices, where the passes are
        those of the columns, and a place (i, j) is read from row i or from row j.
      column_colours: int32 [n] or None.
      row_colours: int32 [m] or None.

    >>> arrowhead = Pattern.from_dense([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 1]])
    >>> colour_columns(arrowhead)
    Colouring(columns: 4 forward passes)
    >>> bicolour(arrowhead)
    Colouring(both: 3 passes, 2 forward and 1 reverse)
    >>> colour_star(arrowhead).column_colours
    array([0, 1, 1, 1], dtype=int32)
    """

    pattern: Pattern
    kind: Kind
    column_colours: Colours | None
    row_colours: Colours | None

    @cached_property
    def columns(self) -> int:
        """The number of colours of columns: forward passes, or products of the Hessian."""
        return _number(self.column_colours)

    @cached_property
    def rows(self) -> int:
        """The number of colours of rows: reverse passes."""
        return _number(self.row_colours)

    @cached_property
    def source(self) -> NDArray[np.int64]:
        """Where each place is read: [size] indices into the results of all passes.

        The results are those of the forward passes [columns, m] (of the products [columns, n], for a star), flattened,
        followed by those of the reverse passes [rows, n].

        >>> matrix = np.array([[1.0, 2.0, 0.0], [0.0, 3.0, 4.0], [0.0, 0.0, 5.0]])
        >>> colouring = colour_columns(Pattern.from_dense(matrix))
        >>> seeds = np.arange(colouring.columns)[:, None] == colouring.column_colours
        >>> (seeds @ matrix.T).ravel()[colouring.source]
        array([1., 2., 3., 4., 5.])
        """
        (m, n), places = self.pattern.shape, self.pattern
        if self.column_colours is None:
            return _slots(self.row_colours, places.rows, places.columns, n)
        forward = _slots(self.column_colours, places.columns, places.rows, m)
        if self.kind == "columns":
            return forward
        if self.kind == "star":
            other = _slots(self.column_colours, places.rows, places.columns, m)
        else:
            reverse = _slots(self.row_colours, places.rows, places.columns, n)
            other = np.where(reverse >= 0, reverse + m * self.columns, -1)
        return np.where((forward >= 0) & (self._summed(forward) == 1), forward, other)

    def _summed(self, slots: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many places of the matrix, which is symmetric for a star, these results are the sum of."""
        (m, n), places = self.pattern.shape, symmetrised(self.pattern) if self.kind == "star" else self.pattern
        shown, size = [], m * self.columns + n * self.rows
        if self.column_colours is not None:
            shown.append(_slots(self.column_colours, places.columns, places.rows, m))
        if self.row_colours is not None:
            reverse = _slots(self.row_colours, places.rows, places.columns, n)
            shown.append(np.where(reverse >= 0, reverse + m * self.columns, -1))
        found = np.concatenate(shown)
        return np.where(slots >= 0, occurrences(found[found >= 0], np.maximum(slots, 0), size), 0)

    @cached_property
    def products(self) -> NDArray[np.int32]:
        """[size]: the number of the pass that each place is read from; reverse passes come after forward ones."""
        m, n = self.pattern.shape
        ends = np.concatenate([m * np.arange(1, self.columns + 1), m * self.columns + n * np.arange(1, self.rows + 1)])
        return np.searchsorted(ends, self.source, side="right").astype(np.int32)

    def check(self, pattern: Pattern | None = None) -> None:
        """Refuse colours from which some place cannot be read, by counting what each result is the sum of.

        Args:
          pattern: what to read; by default the pattern that was coloured.

        Raises:
          FunctransValueError: a result that a place is read from is the sum of several, or belongs to another place.

        >>> Colouring(Pattern.from_dense([[1, 1]]), "columns", np.array([0, 0], np.int32), None).check()
        Traceback (most recent call last):
        ...
        functrans.errors.FunctransValueError: Colouring.check: place (0, 0) is read from a sum of 2 places, at ...
        """
        if pattern is not None and pattern != self.pattern:
            Colouring(pattern, self.kind, self.column_colours, self.row_colours).check()
            return
        m, n = self.pattern.shape
        for name, colours, length in (("columns", self.column_colours, n), ("rows", self.row_colours, m)):
            if colours is not None and colours.shape != (length,):
                raise FunctransValueError(f"Colouring.check: {colours.size} colours for {length} {name}, at {here()}")
        sums = self._summed(self.source)
        if (sums != 1).any():
            k = int((sums != 1).argmax())
            place = (int(self.pattern.rows[k]), int(self.pattern.columns[k]))
            raise FunctransValueError(
                f"Colouring.check: place {place} is read from a sum of {sums[k]} places, at {here()}"
            )

    @property
    def summary(self) -> str:
        """How many passes there are, in words."""
        total = self.columns + self.rows
        if self.columns and self.rows:
            return f"{total} passes, {self.columns} forward and {self.rows} reverse"
        if self.kind == "star":
            return f"{total} product{'' if total == 1 else 's'}"
        return f"{total} {'reverse' if self.rows else 'forward'} pass{'' if total == 1 else 'es'}"

    def __repr__(self) -> str:
        return f"Colouring({self.kind}: {self.summary})"

    def plot(self, ax: Any = None) -> Any:
        """The pattern in the colours of its passes: see ``Pattern.plot``."""
        return self.pattern.plot(ax, self)


def _number(colours: Colours | None) -> int:
    return 0 if colours is None else int(colours.max(initial=-1)) + 1


def _slots(colours: Any, own: NDArray[np.int32], other: NDArray[np.int32], length: int) -> NDArray[np.int64]:
    """The results [number of colours, length], flattened, that places show in; negative where there is no colour."""
    found: NDArray[np.int64] = colours[own] * np.int64(length) + other
    return found


def colour_columns(pattern: Pattern) -> Colouring:
    """Colours of the columns such that those of each row differ: forward passes alone.

    >>> colour_columns(Pattern.from_dense([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]])).column_colours
    array([0, 1, 0, 1], dtype=int32)
    """
    return Colouring(pattern, "columns", column_colours(pattern), None)


def colour_rows(pattern: Pattern) -> Colouring:
    """Colours of the rows such that those of each column differ: reverse passes alone.

    >>> colour_rows(Pattern.from_dense([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]])).row_colours
    array([0, 1, 0], dtype=int32)
    """
    return Colouring(pattern, "rows", None, column_colours(pattern.transposed))


def colour_star(pattern: Pattern) -> Colouring:
    """Colours of the columns of a symmetric matrix, of which each place is read from its row or from its column.

    Where a place (i, j) is known and (j, i) is not, the matrix may still be nonzero at both, and is coloured so.

    Raises:
      FunctransValueError: the pattern is not square.

    >>> colour_star(Pattern.from_dense([[0, 1, 1], [1, 0, 0], [1, 0, 0]]))
    Colouring(star: 1 product)
    """
    if pattern.shape[0] != pattern.shape[1]:
        raise FunctransValueError(
            f"colour_star: a pattern of shape {pattern.shape} is not that of a symmetric matrix, at {here()}"
        )
    return Colouring(pattern, "star", symmetric_colours(symmetrised(pattern)), None)


def bicolour(pattern: Pattern, forward_cost: float = 1.0, reverse_cost: float = 1.0) -> Colouring:
    """Colours of columns and rows: some places are read off forward passes, all others off reverse ones.

    Args:
      pattern: of any shape.
      forward_cost, reverse_cost: of one pass, positive.

    Returns:
      the cheapest found, which has no reverse or no forward passes where those are of no use.

    Raises:
      FunctransValueError: a cost is not positive.
    """
    _check_costs("bicolour", forward_cost, reverse_cost)
    return Colouring(pattern, "both", *cheapest(pattern, forward_cost, reverse_cost))


def best(pattern: Pattern, forward_cost: float = 1.0, reverse_cost: float = 1.0) -> Colouring:
    """The cheapest found of colours of columns, of rows, and of both.

    Args:
      pattern: of any shape.
      forward_cost, reverse_cost: of one pass, positive.

    Raises:
      FunctransValueError: a cost is not positive.

    >>> wide = Pattern.from_dense([[1, 1, 1, 1], [0, 1, 0, 1]])
    >>> best(wide), best(wide, reverse_cost=3.0)
    (Colouring(rows: 2 reverse passes), Colouring(columns: 4 forward passes))
    """
    _check_costs("best", forward_cost, reverse_cost)
    columns, rows = cheapest(pattern, forward_cost, reverse_cost)
    if not _number(rows):
        return Colouring(pattern, "columns", columns, None)
    if not _number(columns):
        return Colouring(pattern, "rows", None, rows)
    return Colouring(pattern, "both", columns, rows)


def _check_costs(name: str, forward_cost: float, reverse_cost: float) -> None:
    if not (0 < forward_cost < np.inf and 0 < reverse_cost < np.inf):
        raise FunctransValueError(
            f"{name}: passes cost {forward_cost} (forward) and {reverse_cost} (reverse), where positive numbers are "
            f"wanted, at {here()}"
        )
