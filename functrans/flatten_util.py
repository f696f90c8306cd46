"""``jax.flatten_util``: a pytree as one vector."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jax.tree_util import tree_flatten, tree_unflatten

from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import canonical_dtype, describe, type_of
from functrans.numpy.arithmetic import real
from functrans.numpy.creation import asarray, astype, zeros
from functrans.numpy.dtypes import result_type
from functrans.numpy.joining import concatenate
from functrans.numpy.shapes import ravel, reshape
from functrans.trace.frames import api_boundary, here

__all__ = ["ravel_pytree"]


@dataclass(frozen=True)
class Unravel:
    """The way back from a vector to the tree it was made of. Two of equal trees are equal."""

    tree: Any
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[Any, ...]
    dtype: Any  # of the vector; None where all leaves have it, and then the leaves have that of any vector

    @property
    def size(self) -> int:
        """The length of the vector."""
        return sum(map(_size, self.shapes))

    def __call__(self, vector: Any) -> Any:
        """Raises ValueError for another length, TypeError for another dtype where those of the leaves differ."""
        vector = asarray(vector)
        found = type_of(vector)
        if found.shape != (self.size,):
            raise FunctransValueError(
                f"unravel: a vector of shape {(self.size,)} is needed, as ravel_pytree made it, got {found.shape} at "
                f"{here()}"
            )
        if self.dtype is not None and found.dtype != self.dtype:
            raise FunctransTypeError(
                f"unravel: a vector of dtype {self.dtype} is needed, as ravel_pytree made it, got {found.dtype} at "
                f"{here()}\nConvert it with .astype({str(self.dtype)!r})."
            )
        leaves, start = [], 0
        for shape, dtype in zip(self.shapes, self.dtypes, strict=True):
            part = reshape(vector[start : start + _size(shape)], shape)
            start += _size(shape)
            if self.dtype is not None and dtype != self.dtype:
                part = astype(real(part) if self.dtype.kind == "c" and dtype.kind != "c" else part, dtype)
            leaves.append(part)
        return tree_unflatten(self.tree, leaves)


def _size(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape, dtype=int))


@api_boundary
def ravel_pytree(pytree: Any) -> tuple[Any, Callable[[Any], Any]]:
    """The leaves of a tree one behind the other as a vector, and the function that makes the tree of such a vector.

    Args:
      pytree: a tree of arrays and numbers.

    Returns:
      ``[n]`` in the dtype to which those of the leaves are promoted, n the number of all their elements; and
      ``unravel``, which takes ``[n]`` of that dtype and gives each leaf its shape and dtype again. Where all leaves
      have one dtype, it takes ``[n]`` of any, and the leaves have that: a mask of bools, say, or what SciPy returns.
      ``unravel`` is hashable, and equal to that of another tree of the same structure, shapes and dtypes.

    Raises:
      TypeError: a leaf is no array; ``unravel`` is given another dtype, and those of the leaves differ. ValueError: it
      is given another length.

    >>> from functrans.flatten_util import ravel_pytree
    >>> import functrans.numpy as fnp
    >>> vector, unravel = ravel_pytree({"a": fnp.ones((2, 2)), "b": 3.0})
    >>> vector.tolist(), float(unravel(2 * vector)["b"])
    ([1.0, 1.0, 1.0, 1.0, 3.0], 6.0)
    """
    leaves, tree = tree_flatten(pytree)
    for leaf in leaves:
        try:
            type_of(leaf)
        except FunctransTypeError:
            raise FunctransTypeError(
                f"ravel_pytree: the leaves of the tree must be arrays or numbers, got {describe(leaf)} at {here()}"
            ) from None
    types = [type_of(leaf) for leaf in leaves]
    dtype = np.dtype(result_type(*leaves)) if leaves else canonical_dtype(float)
    dtypes = tuple([t.dtype for t in types])
    kept = None if all(d == dtype for d in dtypes) else dtype
    unravel = Unravel(tree, tuple([t.shape for t in types]), dtypes, kept)
    if not leaves:
        return zeros(0, dtype), unravel
    return concatenate([ravel(astype(asarray(leaf), dtype)) for leaf in leaves]), unravel
