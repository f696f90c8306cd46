"""Grids and arrays written with brackets: ``mgrid[0:3, 0:2]``, ``r_[1:4, 0, 4]``."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from functrans.errors import FunctransValueError
from functrans.numpy.creation import asarray
from functrans.numpy.grids import arange, linspace, meshgrid
from functrans.numpy.joining import concatenate, stack
from functrans.numpy.promotion import Array, promote_dtypes, static_value
from functrans.numpy.shapes import expand_dims, reshape, transpose


def _points(operation: str, s: slice) -> Array:
    """start:stop:step as a vector; an imaginary step is a number of points."""
    start, stop, step = (
        None if v is None else static_value(operation, what, v)
        for what, v in (("start", s.start), ("stop", s.stop), ("step", s.step))
    )
    if isinstance(step, complex):
        return linspace(start or 0, stop, int(abs(step)))
    return arange(start or 0, stop, step or 1)


class _Grid:
    """``grid[slices]``: coordinates along each axis, as whole arrays or (sparse) with size 1 on the other axes."""

    def __init__(self, name: str, sparse: bool) -> None:
        self.name, self.sparse = name, sparse

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            return _points(self.name, key)
        vectors = [_points(self.name, s) for s in key]
        if not vectors:
            return [] if self.sparse else arange(0)
        with jax.numpy_dtype_promotion("standard"):  # whatever may meet in the user's own operations
            vectors = promote_dtypes(self.name, *vectors)
        grids = meshgrid(*vectors, indexing="ij", sparse=self.sparse)
        return list(grids) if self.sparse else stack(grids, 0)


class _Joined:
    """``joined[parts]``: slices, numbers and arrays along one axis."""

    def __init__(self, name: str, axis: int, rank: int, first: int) -> None:
        self.name, self.defaults = name, [axis, rank, first]

    def __getitem__(self, key: Any) -> Array:
        parts = key if isinstance(key, tuple) else (key,)
        axis, rank, first = self.defaults
        matrix = None
        if isinstance(parts[0], str):
            directive, parts = parts[0], parts[1:]
            if directive in ("r", "c"):
                matrix = 0 if directive == "r" else 1
            else:
                try:
                    given = [int(v) for v in directive.split(",")][:3]
                except ValueError:
                    raise FunctransValueError(
                        f"{self.name}: {directive!r} is no directive; write 'r', 'c' or up to three integers"
                    ) from None
                axis, rank, first = [*given, *self.defaults[len(given) :]]
        arrays = []
        for part in parts:
            if isinstance(part, str):
                raise FunctransValueError(f"{self.name}: the directive {part!r} must come first")
            x = _points(self.name, part) if isinstance(part, slice) else asarray(part)
            own = 0 if isinstance(part, slice) else len(x.shape)
            if len(x.shape) < rank:
                x = reshape(x, (1,) * (rank - len(x.shape)) + tuple(x.shape))
            if first != -1 and rank > own:
                shift = rank - abs(rank + first + 1) % rank
                order = tuple(range(rank))
                x = transpose(x, order[shift:] + order[:shift])
            arrays.append(x)
        out = concatenate(arrays, axis)
        return expand_dims(out, matrix) if matrix is not None and len(out.shape) == 1 else asarray(out)

    def __len__(self) -> int:
        return 0


mgrid, ogrid = _Grid("mgrid", False), _Grid("ogrid", True)
r_, c_ = _Joined("r_", 0, 1, -1), _Joined("c_", -1, 2, 0)
s_, index_exp = np.s_, np.index_exp

__all__ = ["c_", "index_exp", "mgrid", "ogrid", "r_", "s_"]
