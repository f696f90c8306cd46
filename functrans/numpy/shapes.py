"""The same elements under another shape or order of axes."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from functrans import lax
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.jaxlib_compat.tracing import JaxTracer
from functrans.numpy.array_api import several
from functrans.numpy.creation import asarray
from functrans.numpy.families import as_one_program
from functrans.numpy.indexing import wide_index
from functrans.numpy.promotion import (
    INTEGERS,
    Array,
    ArrayLike,
    as_array,
    as_operand,
    axis_index,
    axis_indices,
    broadcast,
    common_shape,
    is_scalar,
    shape_argument,
    shape_of,
)
from functrans.trace.keywords import takes


def shape(a: ArrayLike) -> tuple[int, ...]:
    """The shape of an array, a number or nested lists.

    >>> import functrans.numpy as fnp
    >>> fnp.shape([[1, 2, 3]])
    (1, 3)
    """
    return shape_of(asarray(a) if isinstance(a, list | tuple) else as_operand("shape", a))


def ndim(a: ArrayLike) -> int:
    """The number of axes."""
    return len(shape(a))


def size(a: ArrayLike, axis: int | Sequence[int] | None = None) -> int:
    """The number of elements, or the size of the given axes."""
    sizes = shape(a)
    return math.prod(sizes[i] for i in axis_indices("size", axis, len(sizes)))


@takes(out_sharding=None)
@as_one_program
def reshape(a: ArrayLike, shape: Any, order: str = "C", *, copy: bool | None = None) -> Array:
    """The elements of ``a`` in row-major (order="F": column-major) order in another shape; one size may be -1.

    Raises ValueError if the number of elements differs.

    >>> import functrans.numpy as fnp
    >>> fnp.reshape(fnp.arange(4), (2, -1))
    Array([[0, 1],
           [2, 3]], dtype=int32)
    """
    x = as_array("reshape", a)
    sizes = _whole_shape(tuple(x.shape), shape_argument("reshape", shape))
    if order == "F":
        x = lax.transpose(x, tuple(range(len(x.shape)))[::-1])
        return lax.transpose(lax.reshape(x, sizes[::-1]), tuple(range(len(sizes)))[::-1])
    if order != "C":
        raise FunctransValueError(f"reshape: order must be 'C' or 'F', got {order!r}")
    return asarray(x) if tuple(x.shape) == sizes else lax.reshape(x, sizes)


def _whole_shape(own: tuple[int, ...], wanted: tuple[int, ...]) -> tuple[int, ...]:
    """A wanted shape with -1 replaced by what makes the number of elements equal."""
    total = math.prod(own)
    unknown = [i for i, n in enumerate(wanted) if n == -1]
    if len(unknown) > 1 or any(n < -1 for n in wanted):
        raise FunctransValueError(f"reshape: the new shape {wanted} may hold one -1 and no other negative size")
    if unknown:
        known = math.prod(n for n in wanted if n != -1)
        if not known or total % known:
            raise FunctransValueError(
                f"reshape: an array of shape {own} ({total} elements) has no shape {wanted}: {total} is not a multiple "
                f"of {known}"
            )
        return tuple(total // known if n == -1 else n for n in wanted)
    if math.prod(wanted) != total:
        raise FunctransValueError(
            f"reshape: an array of shape {own} ({total} elements) cannot take shape {wanted} ({math.prod(wanted)} "
            "elements)"
        )
    return wanted


@takes(out_sharding=None)
@as_one_program
def ravel(a: ArrayLike, order: str = "C") -> Array:
    """The elements of ``a`` as a vector.

    >>> import functrans.numpy as fnp
    >>> fnp.ravel(fnp.ones((1, 2)))
    Array([1., 1.], dtype=float32)
    """
    return reshape(a, (-1,) if math.prod(shape_of(as_operand("ravel", a))) else (0,), "C" if order == "K" else order)


@as_one_program
def transpose(a: ArrayLike, axes: Sequence[int] | None = None) -> Array:
    """The axes reversed, or in the order ``axes``.

    >>> import functrans.numpy as fnp
    >>> fnp.transpose(fnp.array([[1, 2]]))
    Array([[1],
           [2]], dtype=int32)
    """
    x = as_array("transpose", a)
    rank = len(x.shape)
    if axes is None:
        order = tuple(range(rank))[::-1]
    else:
        order = tuple(axis_index("transpose", i, rank) for i in axes)
        if sorted(order) != list(range(rank)):
            raise FunctransValueError(
                f"transpose: axes {tuple(axes)} do not name each axis of shape {tuple(x.shape)} once"
            )
    return asarray(x) if order == tuple(range(rank)) else lax.transpose(x, order)


def permute_dims(a: ArrayLike, /, axes: tuple[int, ...]) -> Array:
    """The axes in the order ``axes``."""
    return transpose(a, axes)


def matrix_transpose(x: ArrayLike, /) -> Array:
    """The last two axes exchanged."""
    x = as_array("matrix_transpose", x)
    if len(x.shape) < 2:
        raise FunctransValueError(f"matrix_transpose: at least 2 dimensions are needed, got shape {tuple(x.shape)}")
    return swapaxes(x, -1, -2)


@as_one_program
def swapaxes(a: ArrayLike, axis1: int, axis2: int) -> Array:
    """Two axes exchanged."""
    x = as_array("swapaxes", a)
    order = list(range(len(x.shape)))
    i, j = axis_index("swapaxes", axis1, len(order)), axis_index("swapaxes", axis2, len(order))
    order[i], order[j] = order[j], order[i]
    return transpose(x, order)


@as_one_program
def moveaxis(a: ArrayLike, source: int | Sequence[int], destination: int | Sequence[int]) -> Array:
    """Axes ``source`` moved to positions ``destination``, the others in their order.

    >>> import functrans.numpy as fnp
    >>> fnp.moveaxis(fnp.ones((2, 3, 4)), 0, -1).shape
    (3, 4, 2)
    """
    x = as_array("moveaxis", a)
    rank = len(x.shape)
    from_axes, to_axes = axis_indices("moveaxis", source, rank), axis_indices("moveaxis", destination, rank)
    if len(from_axes) != len(to_axes):
        raise FunctransValueError(
            f"moveaxis: source {source} and destination {destination} name different numbers of axes"
        )
    order = [i for i in range(rank) if i not in from_axes]
    for to, from_ in sorted(zip(to_axes, from_axes, strict=True)):
        order.insert(to, from_)
    return transpose(x, order)


def rollaxis(a: ArrayLike, axis: int, start: int = 0) -> Array:
    """``axis`` moved back until it lies before position ``start``."""
    x = as_array("rollaxis", a)
    rank = len(x.shape)
    axis = axis_index("rollaxis", axis, rank)
    if not -rank <= start <= rank:
        raise FunctransValueError(f"rollaxis: start {start} is out of bounds for {rank} dimensions")
    start = start + rank if start < 0 else start
    return moveaxis(x, axis, start - 1 if start > axis else start)


@as_one_program
def expand_dims(a: ArrayLike, axis: int | Sequence[int]) -> Array:
    """New axes of size 1 at positions ``axis`` of the result.

    >>> import functrans.numpy as fnp
    >>> fnp.expand_dims(fnp.ones(3), 0).shape
    (1, 3)
    """
    x = as_array("expand_dims", a)
    added = (axis,) if not isinstance(axis, Sequence) else tuple(axis)
    rank = len(x.shape) + len(added)
    at = axis_indices("expand_dims", added, rank)
    sizes = iter(x.shape)
    return lax.reshape(x, tuple(1 if i in at else next(sizes) for i in range(rank))) if added else asarray(x)


@as_one_program
def squeeze(a: ArrayLike, axis: int | Sequence[int] | None = None) -> Array:
    """Axes of size 1 (all, or those given) left out; ValueError for a given axis of another size."""
    x = as_array("squeeze", a)
    sizes = tuple(x.shape)
    axes = [i for i, n in enumerate(sizes) if n == 1] if axis is None else axis_indices("squeeze", axis, len(sizes))
    wrong = [i for i in axes if sizes[i] != 1]
    if wrong:
        raise FunctransValueError(f"squeeze: axis {wrong[0]} of shape {sizes} has size {sizes[wrong[0]]}, not 1")
    return lax.reshape(x, tuple(n for i, n in enumerate(sizes) if i not in axes)) if axes else asarray(x)


def broadcast_shapes(*shapes: Any) -> tuple[int, ...]:
    """The common shape of these shapes.

    >>> import functrans.numpy as fnp
    >>> fnp.broadcast_shapes((3, 1), (4,))
    (3, 4)
    """
    sizes = [shape_argument("broadcast_shapes", s) for s in shapes]
    for shape in sizes:
        if any(n < 0 for n in shape):
            raise FunctransTypeError(f"broadcast_shapes: a shape has no negative sizes, got {shape}")
    return common_shape("broadcast_shapes", *sizes) if shapes else ()


@takes(out_sharding=None)
@as_one_program
def broadcast_to(array: ArrayLike, shape: Any) -> Array:
    """``array`` repeated along axes of size 1 and new leading axes to ``shape``.

    >>> import functrans.numpy as fnp
    >>> fnp.broadcast_to(1, 2)
    Array([1, 1], dtype=int32, weak_type=True)
    """
    sizes = shape_argument("broadcast_to", shape)
    x = as_operand("broadcast_to", array)
    own = shape_of(x)
    if len(own) > len(sizes) or any(n not in (1, m) for n, m in zip(own[::-1], sizes[::-1], strict=False)):
        raise FunctransValueError(
            f"broadcast_to: shape {own} does not broadcast to {sizes}: counted from the end, sizes must be equal or 1"
        )
    if is_scalar(x) and not isinstance(x, np.generic):
        return lax.full(sizes, x)
    return asarray(broadcast(as_array("broadcast_to", x), sizes))


def broadcast_arrays(*args: ArrayLike) -> Sequence[Array]:
    """The arrays repeated to their common shape."""
    arrays = [as_array("broadcast_arrays", a) for a in args]
    common = common_shape("broadcast_arrays", *[tuple(a.shape) for a in arrays]) if arrays else ()
    return several([asarray(broadcast(a, common)) for a in arrays])


def atleast_1d(*arys: ArrayLike) -> Any:
    """Scalars as vectors of one element."""
    return _at_least("atleast_1d", arys, lambda sizes: sizes or (1,))


def atleast_2d(*arys: ArrayLike) -> Any:
    """Scalars and vectors as matrices of one row."""
    return _at_least("atleast_2d", arys, lambda sizes: (*(1,) * (2 - len(sizes)), *sizes))


def atleast_3d(*arys: ArrayLike) -> Any:
    """Arrays of rank below 3 with axes of size 1 added: [n] to [1, n, 1], [m, n] to [m, n, 1]."""

    def to_rank_3(sizes: tuple[int, ...]) -> tuple[int, ...]:
        return {0: (1, 1, 1), 1: (1, *sizes, 1), 2: (*sizes, 1)}.get(len(sizes), sizes)

    return _at_least("atleast_3d", arys, to_rank_3)


def _at_least(operation: str, arrays: Sequence[Any], to: Any) -> Any:
    result = []
    for a in arrays:
        x = asarray(a)
        sizes = to(tuple(x.shape))
        result.append(x if tuple(x.shape) == sizes else lax.reshape(x, sizes))
    return result[0] if len(result) == 1 else several(result)


# -- reversing and shifting ----------------------------------------------------------------------------------------


@as_one_program
def flip(m: ArrayLike, axis: int | Sequence[int] | None = None) -> Array:
    """The elements in reverse order along the given axes (all by default).

    >>> import functrans.numpy as fnp
    >>> fnp.flip(fnp.arange(3))
    Array([2, 1, 0], dtype=int32)
    """
    x = as_array("flip", m)
    axes = axis_indices("flip", axis, len(x.shape))
    return lax.rev(x, axes) if axes else asarray(x)


def fliplr(m: ArrayLike) -> Array:
    """Axis 1 reversed."""
    return flip(m, 1)


def flipud(m: ArrayLike) -> Array:
    """Axis 0 reversed."""
    return flip(m, 0)


def rot90(m: ArrayLike, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Array:
    """Rotated by k quarter turns, from the first of ``axes`` towards the second."""
    x = as_array("rot90", m)
    first, second = axis_indices("rot90", axes, len(x.shape))
    k %= 4
    if k == 0:
        return asarray(x)
    if k == 2:
        return flip(x, (first, second))
    order = list(range(len(x.shape)))
    order[first], order[second] = order[second], order[first]
    return lax.transpose(flip(x, second), order) if k == 1 else flip(lax.transpose(x, order), second)


def roll(a: ArrayLike, shift: Any, axis: int | Sequence[int] | None = None) -> Array:
    """Elements shifted along axes, those that fall off re-entering at the other end. Shifts may be traced.

    >>> import functrans.numpy as fnp
    >>> fnp.roll(fnp.arange(4), 1)
    Array([3, 0, 1, 2], dtype=int32)
    """
    x = asarray(as_operand("roll", a))
    if axis is None:
        return lax.reshape(roll(ravel(x), shift, 0), x.shape) if x.ndim != 1 else roll(x, shift, 0)
    axes = [axis_index("roll", i, x.ndim) for i in (axis if isinstance(axis, Sequence) else (axis,))]
    shifts = list(shift) if isinstance(shift, Sequence) else [shift]
    if isinstance(shift, JaxTracer) and shift.ndim:
        shifts = [lax.reshape(lax.slice(shift, (i,), (i + 1,)), ()) for i in range(shift.shape[0])]
    elif isinstance(shift, np.ndarray | jax.Array) and shift.ndim:
        shifts = list(np.asarray(shift))
    shifts = shifts * len(axes) if len(shifts) == 1 else shifts
    axes = axes * len(shifts) if len(axes) == 1 else axes
    if len(shifts) != len(axes):
        raise FunctransValueError(f"roll: {len(shifts)} shifts for {len(axes)} axes")
    for i, by in zip(axes, shifts, strict=True):
        x = _roll_one(x, by, i)
    return x


def _roll_one(x: Any, shift: Any, axis: int) -> Any:
    n = x.shape[axis]
    if not n:
        return x
    sizes = tuple(x.shape)
    zero = (0,) * len(sizes)
    if getattr(shift, "dtype", None) == np.bool_:
        shift = lax.convert_element_type(shift, np.int32) if isinstance(shift, JaxTracer) else int(shift)
    if not isinstance(shift, JaxTracer):
        at = n - operator.index(shift) % n
        if at == n:
            return x
        tail = lax.slice(x, (*zero[:axis], at, *zero[axis + 1 :]), sizes)
        head = lax.slice(x, zero, (*sizes[:axis], at, *sizes[axis + 1 :]))
        return lax.concatenate([tail, head], axis)
    if shift.dtype not in INTEGERS:
        raise FunctransTypeError(f"roll: the shift must be an integer, got dtype {shift.dtype.name}")
    # Two copies side by side hold every rotation as a window.
    shift = wide_index(shift)
    begin = lax.sub(n, lax.rem(lax.add(lax.rem(shift, n), n), n))
    index = np.zeros((), shift.dtype)
    starts = [index] * len(sizes)
    starts[axis] = begin
    return lax.dynamic_slice(lax.concatenate([x, x], axis), starts, sizes)


def resize(a: ArrayLike, new_shape: Any) -> Array:
    """The elements of ``a``, repeated as often as needed, in ``new_shape``."""
    sizes = shape_argument("resize", new_shape)
    if any(n < 0 for n in sizes):
        raise FunctransValueError(f"resize: sizes of a shape cannot be negative, got {sizes}")
    x = ravel(a)
    wanted = math.prod(sizes)
    if not x.shape[0]:
        return lax.full(sizes, 0, x.dtype)
    repeats = -(-wanted // x.shape[0]) if wanted else 1
    if repeats > 1:
        x = lax.concatenate([x] * repeats, 0)
    if x.shape[0] != wanted:
        x = lax.slice(x, (0,), (wanted,))
    return lax.reshape(x, sizes)
