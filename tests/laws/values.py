"""Values of any shape and dtype, and how the operands of a drawn program are fitted to each other.

The rules look at shapes and dtypes only, so that every program drawn means something, and still does after parts of it
have been taken away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

float0 = jax.dtypes.float0
Function = Callable[..., Any]


def shape_of(x: Any) -> tuple[int, ...]:
    return tuple(x.shape) if hasattr(x, "shape") else ()


def dtype_of(x: Any) -> Any:
    return x.dtype if hasattr(x, "dtype") else np.dtype(jax.dtypes.canonicalize_dtype(jax.dtypes.result_type(x)))


def is_inexact(x: Any) -> bool:
    return bool(jax.numpy.issubdtype(dtype_of(x), np.inexact))


def is_complex(x: Any) -> bool:
    return bool(jax.numpy.issubdtype(dtype_of(x), np.complexfloating))


def is_real(x: Any) -> bool:
    return is_inexact(x) and not is_complex(x)


def wave(shape: Sequence[int], dtype: Any, phase: float = 0.3) -> Any:
    """Distinct numbers of size about one, a fixed choice."""
    result = np.cos(phase + np.arange(int(np.prod(shape)), dtype=np.float64)).reshape(shape)
    return result.astype(dtype)


def without_float0(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: None if getattr(leaf, "dtype", None) == float0 else leaf, tree)


def inexact_leaves(tree: Any) -> list[Any]:
    return [leaf for leaf in jax.tree.leaves(tree) if is_inexact(leaf)]


class Fitting:
    """One of the two libraries, and the helpers by which programs fit their operands."""

    def __init__(self, transforms: Any, numpy: Any, lax: Any, wide: bool = False) -> None:
        self.t, self.np, self.lax, self.wide = transforms, numpy, lax, wide

    def dtype(self, name: str) -> Any:
        """A dtype by name; in a wide run the double of it."""
        dtype = np.dtype(getattr(jax.numpy, name) if name != "bool" else bool)
        if self.wide and jax.numpy.issubdtype(dtype, np.inexact):
            return np.dtype(np.complex128 if dtype.kind == "c" else np.float64)
        return dtype

    def leaf(self, tree: Any, place: int) -> Any:
        """A leaf of an argument; 1.5 where it has none."""
        leaves = jax.tree.leaves(tree)
        return leaves[place] if leaves else 1.5

    def fit(self, a: Any, b: Any) -> tuple[Any, Any]:
        """Two values that broadcast: the second is summed where it does not fit the first."""
        try:
            shape = np.broadcast_shapes(shape_of(a), shape_of(b))
        except ValueError:
            return a, self.np.sum(b)
        return (a, b) if int(np.prod(shape)) <= 12 and len(shape) <= 3 else (a, self.np.sum(b))

    def real(self, x: Any) -> Any:
        return self.np.real(x) if is_complex(x) else x

    def inexact(self, x: Any) -> Any:
        return x if is_inexact(x) else x * 1.0

    def small(self, x: Any) -> Any:
        """The same, or its sum where it has grown."""
        return x if int(np.prod(shape_of(x))) <= 6 else self.np.sum(x)

    def true(self, x: Any) -> Any:
        """A scalar predicate that depends on the value."""
        return self.np.sum(self.real(x)) > 0.3

    def array(self, x: Any) -> Any:
        """The same; NumPy's values and integers as the library's own.

        What a library hands on without computing with it would be combined by NumPy's rules of promotion, or Python's.
        """
        return self.np.asarray(x) if isinstance(x, np.ndarray | np.generic | int) else x

    def mix(self, tree: Any) -> Any:
        """One array that depends on every inexact leaf; the first leaf where none is, 0.5 where there is none."""
        leaves = [leaf for leaf in jax.tree.leaves(tree) if dtype_of(leaf) != float0]
        inexact = [self.array(x) for x in inexact_leaves(leaves)]
        if not inexact:
            return leaves[0] if leaves else 0.5
        result = inexact[0]
        for i, leaf in enumerate(inexact[1:]):
            a, b = self.fit(result, leaf)
            result = a + b * (0.75 - 0.125 * (i % 4))
        return result

    def like(self, value: Any, example: Any) -> Any:
        """Something of the example's shape and dtype that depends on the value."""
        value = self.mix(value)
        if shape_of(value) != shape_of(example):
            value = self.np.broadcast_to(self.np.sum(value), shape_of(example))
        if dtype_of(value) == dtype_of(example):
            return value
        if is_complex(value) and not is_complex(example):
            value = self.np.real(value)
        if is_inexact(value) and not is_inexact(example):
            value = self.np.where(self.np.abs(value) < 99.0, value, 1.0)
        return self.np.asarray(value).astype(dtype_of(example))

    def strongly_like(self, value: Any, example: Any) -> Any:
        return self.lax.convert_element_type(self.like(value, example), dtype_of(example))

    def total(self, tree: Any) -> Any:
        """A real scalar: every inexact leaf, each of its elements weighted differently."""
        result = 0.0
        for leaf in map(self.array, inexact_leaves(tree)):
            shape = shape_of(leaf)
            if is_complex(leaf):
                leaf = self.np.real(leaf) + 0.5 * self.np.imag(leaf)
            result = result + (self.np.sum(leaf * wave(shape, dtype_of(leaf))) if shape else leaf * 0.75)
        return result

    def scalar(self, f: Function) -> Function:
        return lambda *args: self.total(f(*args))
