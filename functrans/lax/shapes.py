"""Functions of ``jax.lax`` that change shapes, built from reshape, broadcast and slice."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import describe, scalar_type, type_of
from functrans.ops import slicing, structural
from functrans.ops.slicing import canonical_axis
from functrans.trace.keywords import refuse


def reshape(
    operand: Any, new_sizes: Sequence[int], dimensions: Sequence[int] | None = None, *, out_sharding: Any = None
) -> Any:
    """The same elements in row-major order (of the axes in the order ``dimensions``) under another shape.

    >>> from functrans import lax
    >>> lax.reshape(lax.iota(int, 6), (2, 3)).shape
    (2, 3)
    """
    if out_sharding is not None:
        refuse("reshape", out_sharding=out_sharding)
    if dimensions is not None:
        operand = structural.transpose(operand, tuple(dimensions))
    return structural.reshape(operand, structural.whole_numbers(new_sizes))


def squeeze(array: Any, dimensions: Sequence[int] | None = None) -> Any:
    """The array without the axes ``dimensions`` (None: without every axis of size 1).

    Raises:
      ValueError: an axis whose size is not 1, or the same one twice.

    >>> from functrans import lax
    >>> lax.squeeze(lax.full((1, 3, 1), 0.0), (0,)).shape
    (3, 1)
    """
    shape = type_of(array).shape
    if dimensions is None:
        gone = {i for i, n in enumerate(shape) if n == 1}
    else:
        axes = [canonical_axis("squeeze", d, len(shape)) for d in dimensions]
        gone = set(axes)
        if len(gone) < len(axes):
            raise FunctransValueError(f"squeeze: axes {tuple(axes)} name one axis twice")
    for d in gone:
        if shape[d] != 1:
            raise FunctransValueError(f"squeeze: axis {d} of an array of shape {shape} has size {shape[d]}, not 1")
    return structural.reshape(array, tuple([n for i, n in enumerate(shape) if i not in gone]))


def expand_dims(array: Any, dimensions: Sequence[int]) -> Any:
    """The array with new axes of size 1 at ``dimensions`` of the result.

    >>> from functrans import lax
    >>> lax.expand_dims(lax.full((3,), 0.0), (0, 2)).shape
    (1, 3, 1)
    """
    shape = type_of(array).shape
    ndim = len(shape) + len(dimensions)
    new = {canonical_axis("expand_dims", d, ndim) for d in dimensions}
    if len(new) != len(dimensions):
        raise FunctransValueError(f"expand_dims: axes {tuple(dimensions)} name one axis twice")
    old = tuple([d for d in range(ndim) if d not in new])
    sizes = iter(shape)
    return structural.broadcast_in_dim(array, tuple([1 if d in new else next(sizes) for d in range(ndim)]), old)


def collapse(operand: Any, start_dimension: int, stop_dimension: int | None = None) -> Any:
    """The axes from start to stop as one.

    >>> from functrans import lax
    >>> lax.collapse(lax.full((2, 3, 4), 0.0), 1).shape
    (2, 12)
    """
    shape = type_of(operand).shape
    start, stop, _ = slice(start_dimension, stop_dimension).indices(len(shape))
    return structural.reshape(operand, (*shape[:start], math.prod(shape[start:stop]), *shape[stop:]))


def broadcast_shapes(*shapes: Sequence[int]) -> tuple[int, ...]:
    """The shape that arrays of these shapes broadcast to.

    Raises:
      TypeError: what is given is no shape. ValueError: the shapes do not broadcast.

    >>> from functrans import lax
    >>> lax.broadcast_shapes((2, 1), (3,))
    (2, 3)
    """
    shapes = tuple([_sizes("broadcast_shapes", s) for s in shapes])
    ndim = max((len(s) for s in shapes), default=0)
    out: list[int] = []
    for axis in range(-ndim, 0):
        sizes = {s[axis] for s in shapes if len(s) >= -axis}
        if len(sizes - {1}) > 1:
            raise FunctransValueError(f"shapes {', '.join(str(tuple(s)) for s in shapes)} do not broadcast together")
        out.append(next(iter(sizes - {1}), 1))
    return tuple(out)


def _sizes(operation: str, shape: Any) -> tuple[int, ...]:
    try:
        sizes = tuple([operator.index(n) for n in shape])
    except TypeError:
        raise FunctransTypeError(f"{operation}: a shape is a sequence of ints, got {describe(shape)}") from None
    if any(n < 0 for n in sizes):
        raise FunctransTypeError(f"{operation}: a shape has no negative sizes, got {sizes}")
    return sizes


def broadcast_to_rank(x: Any, rank: int) -> Any:
    """The array with leading axes of size 1 up to this rank.

    >>> from functrans import lax
    >>> lax.broadcast_to_rank(lax.full((3,), 0.0), 3).shape
    (1, 1, 3)
    """
    return expand_dims(x, tuple(range(rank - type_of(x).ndim)))


def full_like(
    x: Any, fill_value: Any, dtype: Any = None, shape: Sequence[int] | None = None, sharding: Any = None
) -> Any:
    """An array filled with a scalar, with the shape and dtype of ``x`` unless they are given.

    >>> from functrans import lax
    >>> lax.full_like(lax.full((2,), 0.0), 1).tolist()
    [1.0, 1.0]
    """
    if sharding is not None:
        refuse("full_like", sharding=sharding)
    type_ = type_of(x)
    to = type_.shape if shape is None else shape
    if dtype is None and type_.weak_type:
        return structural.broadcast_in_dim(structural.convert(fill_value, type_.dtype, True), to, ())
    return structural.full(to, fill_value, type_.dtype if dtype is None else dtype)


def zeros_like_array(x: Any) -> Any:
    """Zeros with the shape and dtype of ``x``.

    >>> from functrans import lax
    >>> lax.zeros_like_array(lax.full((2,), 5)).tolist()
    [0, 0]
    """
    return full_like(x, 0)


def split(operand: Any, sizes: Sequence[int], axis: int = 0) -> list[Any]:
    """Consecutive parts of these sizes along ``axis``.

    Raises:
      TypeError: the sizes do not add up to the size of the axis.

    >>> from functrans import lax
    >>> [part.shape for part in lax.split(lax.iota(int, 5), (2, 3))]
    [(2,), (3,)]
    """
    return slicing.split(operand, sizes, axis)


def stack(operands: Sequence[Any], axis: int = 0) -> Any:
    """Arrays of one shape and dtype along a new axis.

    >>> from functrans import lax
    >>> lax.stack([lax.iota(int, 3), lax.iota(int, 3)]).shape
    (2, 3)
    """
    if not len(operands):
        raise FunctransValueError("stack: at least one array is needed")
    shapes = [type_of(x).shape for x in operands]
    if len(set(shapes)) > 1:
        raise FunctransValueError(f"stack: arrays must have one shape, got {', '.join(map(str, shapes))}")
    axis = canonical_axis("stack", axis, len(shapes[0]) + 1)
    return slicing.concatenate([expand_dims(x, (axis,)) for x in operands], axis)


def unstack(x: Any, axis: int = 0) -> tuple[Any, ...]:
    """The elements along an axis, each an array without it.

    >>> from functrans import lax
    >>> len(lax.unstack(lax.full((3, 2), 0.0)))
    3
    """
    shape = type_of(x).shape
    axis = canonical_axis("unstack", axis, len(shape))
    return tuple([squeeze(part, (axis,)) for part in slicing.split(x, (1,) * shape[axis], axis)])


def tile(operand: Any, reps: Sequence[int]) -> Any:
    """The array repeated ``reps[i]`` times along axis i.

    Raises:
      ValueError: another number of repetitions than of axes.

    >>> from functrans import lax
    >>> lax.tile(lax.iota(int, 2), (2,)).tolist()
    [0, 1, 0, 1]
    """
    shape = type_of(operand).shape
    if len(reps) != len(shape):
        raise FunctransValueError(f"tile: {len(reps)} repetitions for the {len(shape)} axes of shape {shape}")
    spread = tuple([n for pair in zip(reps, shape, strict=True) for n in pair])
    out = structural.broadcast_in_dim(operand, spread, tuple(range(1, 2 * len(shape), 2)))
    return structural.reshape(out, tuple([r * n for r, n in zip(reps, shape, strict=True)]))


def empty(shape: Sequence[int], dtype: Any, *, out_sharding: Any = None) -> Any:
    """An array whose elements do not matter (zeros).

    >>> from functrans import lax
    >>> lax.empty((2,), 'float32').shape
    (2,)
    """
    refuse("empty", out_sharding=out_sharding)
    return structural.full(shape, 0, dtype)


def shape_as_value(shape: Sequence[int]) -> Any:
    """A shape as a vector of integers.

    >>> from functrans import lax
    >>> lax.shape_as_value((2, 3)).tolist()
    [2, 3]
    """
    return np.asarray(tuple(shape), scalar_type(int).dtype)
