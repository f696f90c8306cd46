"""Between a pytree of real arrays and one vector: the leaves in the order of the tree, each in row-major order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from functrans import numpy as fnp
from functrans.api.ahead_of_time import shape_struct
from functrans.api.staging import tree_flatten, tree_structure, tree_unflatten
from functrans.errors import FunctransTypeError
from functrans.ir.types import ArrayType, is_differentiable, kind_of, promote
from functrans.trace.frames import here
from functrans.trace.leaves import named


class Flattening(NamedTuple):
    """A tree and the types of its leaves. Hashable: in a compiled program it is static."""

    tree: Any
    types: tuple[ArrayType, ...]

    @property
    def size(self) -> int:
        """The length of the vector."""
        return sum([t.size for t in self.types])

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the vector, to which those of the leaves are promoted."""
        return promote(*self.types)[0] if self.types else np.dtype(np.float32)

    @property
    def structure(self) -> Any:
        """The tree, of ``ShapeDtypeStruct``."""
        return tree_unflatten(self.tree, [shape_struct(t) for t in self.types])

    def vector(self, value: Any) -> Any:
        """A tree of this structure, which may be traced -> ``[size]``."""
        parts = [fnp.reshape(fnp.asarray(x, self.dtype), (-1,)) for x in tree_flatten(value)[0]]
        return fnp.concatenate(parts) if parts else fnp.zeros((0,), self.dtype)

    def value(self, vector: Any) -> Any:
        """``[size]``, which may be traced -> the tree, its leaves in their own dtypes."""
        leaves, place = [], 0
        for t in self.types:
            leaves.append(fnp.reshape(vector[place : place + t.size], t.shape).astype(t.dtype))
            place += t.size
        return tree_unflatten(self.tree, leaves)


def flattening_of(value: Any, types: Sequence[ArrayType], what: str, role: str) -> Flattening:
    """How ``value`` becomes a vector, from the types of its leaves; TypeError unless all are real and floating.

    ``what`` asks, and calls the value by its ``role``.
    """
    for i, t in enumerate(types):
        if kind_of(t.dtype) == "c":
            raise FunctransTypeError(
                f"{what} needs real numbers, and {named(role, value)(i)} is {t}, at {here()}\n"
                "Write the function of real and imaginary parts."
            )
        if not is_differentiable(t.dtype):
            raise FunctransTypeError(
                f"{what} needs floating numbers, and {named(role, value)(i)} is {t}, at {here()}\n"
                "Convert it to a float: 3.0 instead of 3, x.astype(float)."
            )
    return Flattening(tree_structure(value), tuple([t.strong() for t in types]))
