"""Sparse matrices in two parts: the places, known while a program is traced, and the entries, which run through it."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from functrans.errors import FunctransTypeError
from functrans.ir.types import kind_of
from functrans.jacobians.patterns import Pattern
from functrans.trace.frames import here
from functrans.trace.tracer import Tracer


class CompressedRows:
    """A sparse matrix: ``data`` ``[entries]`` at the places of ``pattern``, row by row. A pytree, whose leaf is data.

    >>> import numpy as np, functrans as ft
    >>> J = ft.sparse_jacobian(lambda x: x[1:] * x[:-1], format="rows")(np.array([1.0, 2.0, 3.0], np.float32))
    >>> J.data.tolist(), J.pattern.columns.tolist()
    ([2.0, 1.0, 3.0, 2.0], [0, 1, 1, 2])
    """

    __slots__ = ("data", "pattern")

    def __init__(self, data: Any, pattern: Pattern) -> None:
        self.data = data
        self.pattern = pattern

    @property
    def shape(self) -> tuple[int, int]:
        return self.pattern.shape

    def to_scipy(self) -> Any:
        """The same as a ``scipy.sparse.csr_array``, of float32 where the dtype is a smaller float: SciPy has none such.
        TypeError inside of a trace, where there are no values."""
        if type(self.data) is Tracer:
            raise FunctransTypeError(
                f"a SciPy matrix holds numbers, and inside of a transformed function there are none, at {here()}\n"
                "Use format='bcoo' or format='rows' there."
            )
        data = np.asarray(self.data)
        small = kind_of(data.dtype) == "f" and data.dtype.itemsize < 4
        return self.pattern.to_scipy(data.astype(np.float32) if small else data)

    def __repr__(self) -> str:
        return f"CompressedRows({self.data}, {self.pattern})"


jax.tree_util.register_pytree_node(
    CompressedRows, lambda x: ((x.data,), x.pattern), lambda pattern, children: CompressedRows(children[0], pattern)
)
