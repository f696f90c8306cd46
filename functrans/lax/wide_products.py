"""Products of integers whose upper half is wanted, and products of rows that come in groups."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import type_of
from functrans.ops.cumulative import cumsum
from functrans.ops.elementwise import add, mul, sub
from functrans.ops.logic import and_, ge, lt, select, shift_right_arithmetic, shift_right_logical
from functrans.ops.products import dot_general
from functrans.ops.structural import broadcast_in_dim, broadcasted_iota, full
from functrans.trace.frames import here


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
    number: Callable[[int], Any] = lambda value: full(shape, value, of_x.dtype)
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
    if group_offset is not None or out_sharding is not None:
        raise NotImplementedError("ragged_dot: group_offset= and out_sharding= are not supported.")
    left, right, sizes = (type_of(x).shape for x in (lhs, rhs, group_sizes))
    if len(left) != 2 or len(right) != 3 or len(sizes) != 1 or left[1] != right[1] or right[0] != sizes[0]:
        raise FunctransValueError(
            f"ragged_dot: lhs [m, k], rhs [g, k, n] and group_sizes [g] are needed, got shapes {left}, {right} and "
            f"{sizes} at {here()}"
        )
    groups, rows = right[0], left[0]
    ends = cumsum(group_sizes, 0)
    spread: Callable[[Any], Any] = lambda x: broadcast_in_dim(x, (groups, rows), (0,))
    place = broadcasted_iota(type_of(ends).dtype, (groups, rows), 1)
    inside = and_(lt(place, spread(ends)), ge(place, spread(sub(ends, group_sizes))))
    inside = broadcast_in_dim(inside, (groups, *left), (0, 1))
    zero = full((groups, *left), 0, type_of(lhs).dtype)
    apart = select(inside, broadcast_in_dim(lhs, (groups, *left), (1, 2)), zero)
    numbers = (((0, 2), (0, 1)), ((), ()))
    return dot_general(apart, rhs, numbers, precision=precision, preferred_element_type=preferred_element_type)
