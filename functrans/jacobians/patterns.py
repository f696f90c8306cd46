"""Where a matrix may be nonzero: compressed rows of indices, without values."""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from functrans.errors import FunctransIndexError, FunctransTypeError, FunctransValueError
from functrans.jacobians import pictures
from functrans.trace.frames import api_boundary, here

if TYPE_CHECKING:
    from functrans.jacobians.colouring import Colouring

_LARGEST = 2**31 - 1  # indices are int32


def _frozen(values: Any, dtype: Any) -> NDArray[Any]:
    """A view that cannot be written through."""
    view = np.asarray(values, dtype).view()
    view.flags.writeable = False
    return view


class Pattern:
    """The places of an m by n matrix that may be nonzero.

    Row i holds ``columns[starts[i]:starts[i + 1]]``, ascending and each once. Two patterns are equal, and have one
    hash, where they have the same shape and the same places.

    Args:
      shape: (m, n).
      starts: [m + 1] integers, kept as int64.
      columns: [size] integers, kept as int32. Neither array is copied where its dtype is right; both are read-only
        through the pattern.
      assumed: descriptions of places where more is assumed to be nonzero than is known.

    Raises:
      FunctransValueError: the arrays are no compressed rows of this shape.

    >>> pattern = Pattern((2, 3), starts=[0, 2, 3], columns=[0, 2, 1])
    >>> pattern
    Pattern(2 x 3, 3 places, 50% dense)
    >>> pattern.to_scipy().todense()
    array([[ True, False,  True],
           [False,  True, False]])
    """

    def __init__(self, shape: tuple[int, int], starts: Any, columns: Any, assumed: tuple[str, ...] = ()) -> None:
        self.shape = _checked_shape(shape)
        self.starts: NDArray[np.int64] = _frozen(starts, np.int64)
        self.columns: NDArray[np.int32] = _frozen(columns, np.int32)
        self.assumed = tuple(assumed)
        fault = self._fault()
        if fault:
            raise FunctransValueError(f"Pattern: {fault}, at {here()}")

    def _fault(self) -> str | None:
        """What is wrong with the arrays."""
        (m, n), starts, columns = self.shape, self.starts, self.columns
        if starts.shape != (m + 1,) or columns.ndim != 1:
            return f"starts of shape {starts.shape} and columns of shape {columns.shape} for {m} rows"
        if starts[0] != 0 or starts[-1] != columns.size or (starts[1:] < starts[:-1]).any():
            return f"starts must ascend from 0 to {columns.size}, the number of columns given"
        if columns.size and not (columns.min() >= 0 and columns.max() < n):
            return f"columns from {columns.min()} to {columns.max()}, where there are {n}"
        falls = columns[1:] <= columns[:-1]
        inner = starts[1:-1]
        falls[inner[(inner > 0) & (inner < columns.size)] - 1] = False
        if falls.any():
            row = int(np.searchsorted(starts, np.argmax(falls), side="right")) - 1
            return f"the columns of row {row} do not ascend: {columns[starts[row] : starts[row + 1]]}"
        return None

    @staticmethod
    def from_dense(matrix: Any) -> Pattern:
        """The nonzeros of a matrix [m, n] of numbers or booleans; NaN is one.

        Raises:
          FunctransValueError: it has not two axes.

        >>> Pattern.from_dense([[1.0, 0.0], [0.0, 2.0]]).columns
        array([0, 1], dtype=int32)
        """
        matrix = np.asarray(matrix)
        if matrix.ndim != 2:
            raise FunctransValueError(
                f"Pattern.from_dense: a matrix is wanted, this has shape {matrix.shape}, at {here()}"
            )
        nonzero = matrix != 0
        starts = np.concatenate([[0], np.cumsum(np.count_nonzero(nonzero, axis=1))])
        return Pattern(matrix.shape, starts, np.nonzero(nonzero)[1])

    @staticmethod
    def from_coordinates(rows: Any, columns: Any, shape: tuple[int, int]) -> Pattern:
        """The places (rows[k], columns[k]), in any order; a place may be named more than once.

        Args:
          rows, columns: [k] integers.
          shape: (m, n).

        Raises:
          FunctransTypeError: they are not integers.
          FunctransValueError: they are not two vectors of one length.
          FunctransIndexError: a place lies outside of the shape.

        >>> Pattern.from_coordinates([1, 0, 1], [0, 2, 0], (2, 3))
        Pattern(2 x 3, 2 places, 33% dense)
        """
        rows, columns, (m, n) = np.asarray(rows), np.asarray(columns), _checked_shape(shape)
        if rows.ndim != 1 or rows.shape != columns.shape:
            raise FunctransValueError(
                f"Pattern.from_coordinates: rows of shape {rows.shape}, columns of shape {columns.shape}: two vectors "
                f"of one length are wanted, at {here()}"
            )
        if rows.size == 0:
            return Pattern((m, n), np.zeros(m + 1), [])
        if rows.dtype.kind not in "iu" or columns.dtype.kind not in "iu":
            raise FunctransTypeError(
                f"Pattern.from_coordinates: rows are of dtype {rows.dtype}, columns of {columns.dtype}: integers are "
                f"wanted, at {here()}"
            )
        for name, indices, limit in (("row", rows, m), ("column", columns, n)):
            if indices.min() < 0 or indices.max() >= limit:
                wrong = indices[(indices < 0) | (indices >= limit)][0]
                raise FunctransIndexError(
                    f"Pattern.from_coordinates: there is no {name} {wrong} in a matrix of shape {(m, n)}, at {here()}"
                )
        matrix = sparse.coo_array((np.ones(rows.size, np.bool_), (rows, columns)), shape=(m, n)).tocsr()
        matrix.sum_duplicates()  # and sorts
        return Pattern((m, n), matrix.indptr, matrix.indices)

    @property
    def size(self) -> int:
        """The number of places that may be nonzero."""
        return self.columns.size

    @property
    def density(self) -> float:
        """Their share of all places; 0 where there are none."""
        m, n = self.shape
        return self.size / (m * n) if m * n else 0.0

    @cached_property
    def rows(self) -> NDArray[np.int32]:
        """[size]: the row of each place."""
        return _frozen(np.repeat(np.arange(self.shape[0], dtype=np.int32), np.diff(self.starts)), np.int32)

    @cached_property
    def transposed(self) -> Pattern:
        """The pattern of the transposed matrix."""
        matrix = sparse.csr_array((np.ones(self.size, np.int8), self.columns, self.starts), shape=self.shape).tocsc()
        return Pattern((self.shape[1], self.shape[0]), matrix.indptr, matrix.indices, self.assumed)

    @cached_property
    def is_symmetric(self) -> bool:
        """Whether with each place (i, j) there is (j, i)."""
        return self.shape[0] == self.shape[1] and self == self.transposed

    @cached_property
    def digest(self) -> str:
        """A key of shape and places, the same in every process."""
        found = hashlib.blake2b(repr(self.shape).encode(), digest_size=16)
        for array in (self.starts, self.columns):
            found.update(array.tobytes())
        return found.hexdigest()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Pattern):
            return NotImplemented
        return self is other or (
            self.shape == other.shape
            and np.array_equal(self.starts, other.starts)
            and np.array_equal(self.columns, other.columns)
        )

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        m, n = self.shape
        return f"Pattern({m} x {n}, {self.size} places, {100 * self.density:.2g}% dense)"

    def to_scipy(self, data: Any = None) -> Any:
        """A ``scipy.sparse.csr_array`` with these places.

        Args:
          data: [size] values in the order of the rows; by default True everywhere.

        Raises:
          FunctransValueError: there is not one value for each place.

        >>> Pattern.from_dense([[0, 1], [1, 1]]).to_scipy([1.5, 2.5, 3.5]).todense()
        array([[0. , 1.5],
               [2.5, 3.5]])
        """
        values = np.ones(self.size, np.bool_) if data is None else np.asarray(data)
        if values.shape != (self.size,):
            raise FunctransValueError(
                f"Pattern.to_scipy: values of shape {values.shape} for {self.size} places, at {here()}"
            )
        return sparse.csr_array((values, self.columns, self.starts), shape=self.shape)

    def picture(self, width: int = 64, height: int = 32) -> str:
        """The pattern drawn with letters, for a terminal.

        A matrix of up to 16 rows and columns has one letter for each place; larger ones are drawn in dots of Braille,
        two by four to a letter, a dot for every place or, where they are too many, for every tile that holds one.

        Args:
          width, height: the most letters in a line, and the most lines.

        >>> print(Pattern.from_dense([[1, 1, 0], [0, 1, 1], [0, 0, 1]]).picture())
        ┌───────┐
        │ ■ ■ · │
        │ · ■ ■ │
        │ · · ■ │
        └───────┘
        """
        return pictures.in_letters(self, width, height)

    @api_boundary
    def plot(self, ax: Any = None, colouring: Colouring | None = None) -> Any:
        """The pattern drawn with matplotlib: small ones in dots, large ones as an image of tiles.

        Args:
          ax: the axes to draw in; by default new ones.
          colouring: each place is drawn in the colour of the product that it is read from; those read from reverse
            products are squares. By default all are of one colour.

        Returns:
          the axes.

        Raises:
          FunctransRuntimeError: matplotlib is not installed.
          FunctransValueError: the colouring belongs to another pattern.
        """
        return pictures.in_axes(self, ax, colouring)


def _checked_shape(shape: tuple[int, int]) -> tuple[int, int]:
    if len(shape) != 2 or not all(0 <= size <= _LARGEST for size in shape):
        raise FunctransValueError(f"Pattern: the shape of a matrix is wanted, not {shape}, at {here()}")
    return int(shape[0]), int(shape[1])
