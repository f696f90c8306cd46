"""Arrays from and to files, buffers, text and other libraries: NumPy's functions, with device arrays as results."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from functrans.errors import FunctransTypeError
from functrans.ir.types import canonical_dtype
from functrans.numpy.creation import asarray
from functrans.numpy.promotion import Array
from functrans.trace.tracer import Tracer

get_printoptions, set_printoptions, printoptions = np.get_printoptions, np.set_printoptions, np.printoptions
save, savez = np.save, np.savez


def array_repr(arr: Any, max_line_width: int | None = None, precision: int | None = None,
               suppress_small: bool | None = None) -> str:  # fmt: skip
    """The text of an array with its class and dtype.

    >>> import functrans.numpy as fnp
    >>> fnp.array_repr(fnp.array([1, 2]))
    'Array([1, 2], dtype=int32)'
    """
    if type(arr) is Tracer or (max_line_width, precision, suppress_small) == (None, None, None):
        return repr(arr)
    return np.array_repr(np.asarray(arr), max_line_width, precision, suppress_small)


def array_str(a: Any, max_line_width: int | None = None, precision: int | None = None,
              suppress_small: bool | None = None) -> str:  # fmt: skip
    """The text of an array's elements.

    >>> import functrans.numpy as fnp
    >>> fnp.array_str(fnp.array([1, 2]))
    '[1 2]'
    """
    return str(a) if type(a) is Tracer else np.array_str(np.asarray(a), max_line_width, precision, suppress_small)


def load(file: Any, *args: Any, **kwargs: Any) -> Any:
    """What ``save`` or ``savez`` wrote to a file: an array, or arrays by name."""
    found = np.load(file, *args, **kwargs)
    if isinstance(found, np.ndarray) and found.dtype == "V2":  # NumPy's format has no word for bfloat16
        found = found.view(jax.dtypes.bfloat16)
    return asarray(found) if isinstance(found, np.ndarray) else found


def _converted(found: np.ndarray[Any, Any]) -> Array:
    """What was read by the dtype that was asked for, in the one that it has here: with 64-bit types off, a narrower."""
    return asarray(found.astype(canonical_dtype(found.dtype), copy=False))


def frombuffer(buffer: Any, dtype: Any = float, count: int = -1, offset: int = 0) -> Array:
    """The elements that the bytes of a buffer hold.

    >>> import functrans.numpy as fnp
    >>> fnp.frombuffer(bytes([1, 2]), fnp.uint8).tolist()
    [1, 2]
    """
    return _converted(np.frombuffer(buffer, np.dtype(dtype), count, offset))


def fromstring(string: str, dtype: Any = float, count: int = -1, *, sep: str) -> Array:
    """The numbers written in a string, with ``sep`` between them.

    >>> import functrans.numpy as fnp
    >>> fnp.fromstring('1 2 3', int, sep=' ').tolist()
    [1, 2, 3]
    """
    return asarray(np.fromstring(string, canonical_dtype(dtype), count, sep=sep))


def fromiter(iter: Any, dtype: Any, count: int = -1) -> Array:
    """The elements that an iterator gives.

    >>> import functrans.numpy as fnp
    >>> fnp.fromiter((i * i for i in range(3)), int).tolist()
    [0, 1, 4]
    """
    return asarray(np.fromiter(iter, canonical_dtype(dtype), count))


def fromfile(file: Any, dtype: Any = float, count: int = -1, sep: str = "", offset: int = 0) -> Array:
    """The elements that a file holds, as bytes or as text with ``sep`` between them."""
    return _converted(np.fromfile(file, np.dtype(dtype), count, sep, offset))


def from_dlpack(x: Any, /, *, device: Any = None, copy: bool | None = None) -> Array:
    """An array of another library that speaks DLPack, shared or copied.

    Raises:
      TypeError: no DLPack, or a traced value.
    """
    if type(x) is Tracer or not hasattr(x, "__dlpack__"):
        raise FunctransTypeError(f"from_dlpack: an array with __dlpack__ is needed, got {type(x).__name__}")
    return jax.dlpack.from_dlpack(x, device=device, copy=copy)


def einsum_path(subscripts: Any, /, *operands: Any, optimize: Any = "auto") -> tuple[Any, Any]:
    """The order of contractions for ``einsum``, and a text on its cost: NumPy's, from the shapes alone.

    >>> import functrans.numpy as fnp
    >>> fnp.einsum_path('ij,jk->ik', fnp.ones((2, 3)), fnp.ones((3, 4)))[0]
    ['einsum_path', (0, 1)]
    """
    shapes = [
        np.broadcast_to(np.zeros((), np.float32), x.shape) if hasattr(x, "shape") else x for x in operands
    ]
    if hasattr(subscripts, "shape"):
        subscripts = np.broadcast_to(np.zeros((), np.float32), subscripts.shape)
    how = "greedy" if optimize == "auto" else optimize
    return np.einsum_path(subscripts, *shapes, optimize=how)


__all__ = [
    "array_repr", "array_str", "einsum_path", "from_dlpack", "frombuffer", "fromfile", "fromiter", "fromstring",
    "get_printoptions", "load", "printoptions", "save", "savez", "set_printoptions",
]  # fmt: skip
