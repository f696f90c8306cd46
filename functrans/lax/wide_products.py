"""Products of integers whose upper half is wanted, and products of rows that come in groups."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import ml_dtypes
import numpy as np

from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import type_of
from functrans.ops.cumulative import cumsum
from functrans.ops.elementwise import add, mul, sub
from functrans.ops.logic import and_, ge, lt, select, shift_right_arithmetic, shift_right_logical
from functrans.ops.products import DotDimensionNumbers, dot_general
from functrans.ops.structural import (
    broadcast_in_dim,
    broadcasted_iota,
    convert,
    full,
    reshape,
    scalar_literal,
    transpose,
)
from functrans.trace.frames import here
from functrans.trace.keywords import refuse


def mulhi(x: Any, y: Any, /) -> Any:
    """The upper half of the bits of a product of integers: of N-bit integers ``(x * y) >> N``.

    Raises TypeError for other dtypes than one integer dtype of 8 bits or more.

    >>> from functrans import lax
    >>> import numpy as np
    >>> lax.mulhi(np.uint32([2**31]), np.uint32([6])).tolist()
    [3]
    """
    of_x, of_y = type_of(x), type_of(y)
    bits = 8 * of_x.dtype.itemsize
    if of_x.dtype != of_y.dtype or of_x.dtype.kind not in "iu":
        raise FunctransTypeError(
            f"mulhi: two arrays of one integer dtype are needed, got {of_x} and {of_y} at {here()}"
        )
    shape = np.broadcast_shapes(of_x.shape, of_y.shape)
    weak = of_x.weak_type and of_y.weak_type
    number: Callable[[int], Any] = lambda value: broadcast_in_dim(scalar_literal(value, of_x.dtype, weak), shape, ())
    x, y = [
        x if t.shape == shape else broadcast_in_dim(x, shape, tuple(range(len(shape) - len(t.shape), len(shape))))
        for x, t in ((x, of_x), (y, of_y))
    ]
    half, mask = number(bits // 2), number((1 << (bits // 2)) - 1)
    shift = shift_right_arithmetic if of_x.dtype.kind == "i" else shift_right_logical
    # x y = (a B + b) (c B + d) with B = 2^(N/2), a and c signed: a c B^2 + (a d + b c) B + b d
    a, b, c, d = shift(x, half), and_(x, mask), shift(y, half), and_(y, mask)
    middle = add(mul(a, d), shift_right_logical(mul(b, d), half))  # no overflow: |a| < B, and b d < B^2
    low = add(mul(b, c), and_(middle, mask))
    return add(add(mul(a, c), shift(middle, half)), shift(low, half))


class RaggedDotDimensionNumbers:
    """The axes of ``ragged_dot_general``.

    Args:
      dot_dimension_numbers: ``((lhs_contracting, rhs_contracting), (lhs_batch, rhs_batch))``.
      lhs_ragged_dimensions: the one axis of lhs that is divided into groups.
      rhs_group_dimensions: the one axis of rhs that numbers the groups, or none.
    """

    def __init__(
        self, dot_dimension_numbers: DotDimensionNumbers, lhs_ragged_dimensions: Sequence[int],
        rhs_group_dimensions: Sequence[int],
    ) -> None:  # fmt: skip
        (left, right), (left_batch, right_batch) = dot_dimension_numbers
        self.dot_dimension_numbers = (tuple(left), tuple(right)), (tuple(left_batch), tuple(right_batch))
        self.lhs_ragged_dimensions = tuple(lhs_ragged_dimensions)
        self.rhs_group_dimensions = tuple(rhs_group_dimensions)


def ragged_dot(
    lhs: Any, rhs: Any, group_sizes: Any, precision: Any = None, preferred_element_type: Any = None,
    group_offset: Any = None, out_sharding: Any = None,
) -> Any:  # fmt: skip
    """Products of rows with matrices, the first ``group_sizes[0]`` rows with the first matrix, and so on.

    Args:
      lhs: ``[m, k]``. rhs: ``[g, k, n]``. group_sizes: ``[g]`` integers; rows behind their sum are 0.
      precision, preferred_element_type: as of ``dot``.

    Returns:
      ``[m, n]``. Every matrix is multiplied with all rows: the work is that of g products.

    Raises:
      ValueError: shapes that do not fit. NotImplementedError: ``group_offset`` or ``out_sharding``.

    >>> from functrans import lax
    >>> import numpy as np
    >>> weights = np.float32([[[1.0]], [[10.0]]])
    >>> lax.ragged_dot(np.ones((3, 1), np.float32), weights, np.int32([1, 2]))[:, 0].tolist()
    [1.0, 10.0, 10.0]
    """
    refuse("ragged_dot", group_offset=group_offset, out_sharding=out_sharding)
    left, right, sizes = (type_of(x).shape for x in (lhs, rhs, group_sizes))
    if len(left) != 2 or len(right) != 3 or len(sizes) != 1 or left[1] != right[1] or right[0] != sizes[0]:
        raise FunctransValueError(
            f"ragged_dot: lhs [m, k], rhs [g, k, n] and group_sizes [g] are needed, got shapes {left}, {right} and "
            f"{sizes} at {here()}"
        )
    numbers = RaggedDotDimensionNumbers((((1,), (1,)), ((), ())), (0,), (0,))
    return ragged_dot_general(lhs, rhs, group_sizes, numbers, precision, preferred_element_type)


def ragged_dot_general(
    lhs: Any, rhs: Any, group_sizes: Any, ragged_dot_dimension_numbers: RaggedDotDimensionNumbers,
    precision: Any = None, preferred_element_type: Any = None, group_offset: Any = None, out_sharding: Any = None,
) -> Any:  # fmt: skip
    """Products over an axis of ``lhs`` (the ragged one) that is divided into groups, one after the other.

    Args:
      lhs, rhs: two arrays, as of ``dot_general``.
      group_sizes: integers ``[..., g]``, how long the g groups are for every place along the batch axes and the axes of
        the ragged one's kind before it (free or contracted); ``[g]`` where they are the same for all.
      ragged_dot_dimension_numbers: those of ``dot_general``; the ragged axis of ``lhs``; where that is a free one, the
        axis of ``rhs`` that numbers the groups.
      precision, preferred_element_type: as of ``dot_general``.

    Returns:
      The ragged axis is free: ``[batch..., free of lhs..., free of rhs...]``, every element by the matrix of its group,
      0 behind the groups. It is contracted: ``[g, batch..., free of lhs..., free of rhs...]``, the sums over each
      group. It is a batch axis: ``dot_general``. The work is that of g products.

    Raises:
      ValueError: axes or sizes that do not fit. NotImplementedError: ``group_offset`` or ``out_sharding``.

    >>> from functrans import lax
    >>> import numpy as np
    >>> numbers = lax.RaggedDotDimensionNumbers((((0,), (0,)), ((), ())), [0], [])
    >>> lax.ragged_dot_general(np.float32([1, 2, 3]), np.ones(3, np.float32), np.int32([1, 2]), numbers).tolist()
    [1.0, 5.0]
    """
    refuse("ragged_dot_general", group_offset=group_offset, out_sharding=out_sharding)
    numbers = ragged_dot_dimension_numbers
    (contracting, batch), left = numbers.dot_dimension_numbers, type_of(lhs)
    if len(numbers.lhs_ragged_dimensions) != 1 or not 0 <= numbers.lhs_ragged_dimensions[0] < left.ndim:
        raise FunctransValueError(
            f"ragged_dot_general: one ragged axis of lhs {left} is needed, got {numbers.lhs_ragged_dimensions} at "
            f"{here()}"
        )
    (ragged,) = numbers.lhs_ragged_dimensions
    free = [a for a in range(left.ndim) if a not in (*contracting[0], *batch[0])]
    groups = list(numbers.rhs_group_dimensions)
    if len(groups) != (ragged in free):
        raise FunctransValueError(
            f"ragged_dot_general: rhs has one axis of groups where the ragged axis is free, and none elsewhere; got "
            f"{groups} for axis {ragged} at {here()}"
        )
    product = functools.partial(dot_general, precision=precision, preferred_element_type=preferred_element_type)
    if ragged in batch[0]:
        return product(lhs, rhs, numbers.dot_dimension_numbers)
    kind = free if ragged in free else list(contracting[0])
    before = kind[: kind.index(ragged)]
    apart = _groups_apart(lhs, group_sizes, ragged, [*batch[0], *before])
    later = [[a + 1 for a in axes] for axes in (contracting[0], batch[0])]
    if ragged in free:
        return product(apart, rhs, (((0, *later[0]), (*groups, *contracting[1])), (later[1], batch[1])))
    own = dict(zip(contracting[0], contracting[1], strict=True))
    rhs_apart = _groups_apart(rhs, group_sizes, own[ragged], [*batch[1], *[own[a] for a in before]])
    rhs_later = [[a + 1 for a in axes] for axes in (contracting[1], batch[1])]
    return product(apart, rhs_apart, ((later[0], rhs_later[0]), ((0, *later[1]), (0, *rhs_later[1]))))


def _groups_apart(x: Any, group_sizes: Any, ragged: int, outer: Sequence[int]) -> Any:
    """``[g, *x.shape]``: x for each group, 0 along the ragged axis outside of it. ``outer``: the axes of x that the
    sizes have in front of the groups.
    """
    sizes, own = type_of(group_sizes), type_of(x)
    prefix = tuple([own.shape[a] for a in outer])
    if sizes.shape[:-1] not in ((), prefix) or not sizes.ndim:
        raise FunctransValueError(
            f"ragged_dot_general: group_sizes of shape [g] or {[*prefix, 'g']} is needed, got {list(sizes.shape)} at "
            f"{here()}"
        )
    shape = (sizes.shape[-1], *own.shape)
    axes = [*[a + 1 for a in outer if sizes.ndim > 1], 0]
    in_order = sorted(range(len(axes)), key=axes.__getitem__)
    spread: Callable[[Any], Any] = lambda x: broadcast_in_dim(transpose(x, in_order), shape, sorted(axes))
    ends = cumsum(group_sizes, sizes.ndim - 1)
    place = broadcasted_iota(sizes.dtype, shape, ragged + 1)
    inside = and_(lt(place, spread(ends)), ge(place, spread(sub(ends, group_sizes))))
    return select(inside, broadcast_in_dim(x, shape, tuple(range(1, len(shape)))), full(shape, 0, own.dtype))


def scaled_dot(
    lhs: Any, rhs: Any, *, lhs_scale: Any = None, rhs_scale: Any = None,
    dimension_numbers: DotDimensionNumbers | None = None, preferred_element_type: Any = None,
) -> Any:  # fmt: skip
    """A product of arrays in blocks, each block times its scale.

    Args:
      lhs, rhs: matrices ``[m, k]``, ``[k, n]``, or stacks of them ``[b, m, k]``, ``[b, k, n]``; floating, of any width.
      lhs_scale, rhs_scale: as their array, but along contracting axes one number for a block: its size divides k.
      dimension_numbers: as of ``dot_general``, for other axes.
      preferred_element_type: of the products, the sums and the result; bfloat16 by default.

    Raises ValueError for scales that do not fit.

    >>> from functrans import lax
    >>> import numpy as np
    >>> lax.scaled_dot(np.ones((1, 4), "f4"), np.ones((4, 1), "f4"), lhs_scale=np.float32([[1, 10]])).tolist()
    [[22.0]]
    """
    dtype = np.dtype(ml_dtypes.bfloat16 if preferred_element_type is None else preferred_element_type)
    if dimension_numbers is None:
        dimension_numbers = (((2,), (1,)), ((0,), (0,))) if type_of(lhs).ndim == 3 else (((1,), (0,)), ((), ()))
    left, right = (_scaled(x, scale, dtype) for x, scale in ((lhs, lhs_scale), (rhs, rhs_scale)))
    return dot_general(left, right, dimension_numbers, preferred_element_type=dtype)


def _scaled(x: Any, scale: Any, dtype: np.dtype[Any]) -> Any:
    x = convert(x, dtype)
    if scale is None:
        return x
    shape, blocks = type_of(x).shape, type_of(scale).shape
    if len(shape) != len(blocks) or any(b == 0 or n % b for n, b in zip(shape, blocks, strict=True)):
        raise FunctransValueError(
            f"scaled_dot: a scale of shape {blocks} does not divide an array of shape {shape} into blocks, at {here()}"
        )
    apart = tuple([size for n, b in zip(shape, blocks, strict=True) for size in (b, n // b)])
    spread = broadcast_in_dim(convert(scale, dtype), apart, tuple(range(0, len(apart), 2)))
    return mul(x, reshape(spread, shape))
