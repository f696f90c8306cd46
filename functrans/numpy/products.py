"""Products of arrays: each is one dot_general."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from functrans import lax
from functrans.api.compilation import jit
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import type_of
from functrans.jaxlib_compat.array_values import ArrayImpl
from functrans.jaxlib_compat.configuration import rank_promotion
from functrans.numpy.arithmetic import conjugate, multiply, subtract
from functrans.numpy.creation import asarray
from functrans.numpy.families import concrete_arrays
from functrans.numpy.promotion import (
    Array,
    ArrayLike,
    as_array,
    as_operand,
    axis_index,
    axis_indices,
    broadcast,
    check_ranks,
    common_dtype,
    common_shape,
    operand_type,
    promote_dtypes,
    requested_dtype,
    strengthened,
    to_dtype,
)
from functrans.numpy.shapes import moveaxis, ravel
from functrans.ops.products import DotGeneral, precision_name
from functrans.trace.binding import bind
from functrans.trace.keywords import refuse, takes
from functrans.trace.tracer import Tracer

_ARRAYS = frozenset([Tracer, ArrayImpl])
DimensionNumbers = tuple[tuple[Sequence[int], Sequence[int]], tuple[Sequence[int], Sequence[int]]]


def contract(
    operation: str, a: Any, b: Any, dimension_numbers: DimensionNumbers, precision: Any, preferred_element_type: Any
) -> Array:
    """dot_general of promoted operands; the result has the promoted dtype, or the preferred one."""
    dtype, weak = common_dtype(operation, a, b)
    a, b = (x if x.dtype == dtype else to_dtype(x, dtype) for x in (a, b))
    preferred = None if preferred_element_type is None else requested_dtype(operation, preferred_element_type)
    result = lax.dot_general(a, b, dimension_numbers, precision=precision, preferred_element_type=preferred)
    return to_dtype(result, result.dtype, True) if weak and preferred is None else result


def _refuse_sizes(operation: str, a: Any, b: Any, axis_a: int, axis_b: int) -> None:
    if a.shape[axis_a] != b.shape[axis_b]:
        raise FunctransTypeError(
            f"{operation}: shapes {tuple(a.shape)} and {tuple(b.shape)} do not fit: the contracted axes {axis_a} and "
            f"{axis_b} have sizes {a.shape[axis_a]} and {b.shape[axis_b]}. Transpose one operand, or check which axis "
            "is meant."
        )


def _pair(operation: str, a: ArrayLike, b: ArrayLike) -> tuple[Any, Any]:
    return as_array(operation, a), as_array(operation, b)


@takes(out_sharding=None)
def dot(a: ArrayLike, b: ArrayLike, *, precision: Any = None, preferred_element_type: Any = None) -> Array:
    """The sum of products over the last axis of a and the last but one of b (the only one of a vector).

    Raises TypeError if their sizes differ.

    >>> import functrans.numpy as fnp
    >>> fnp.dot(fnp.array([1., 2.]), fnp.array([3., 4.]))
    Array(11., dtype=float32)
    """
    if precision is None and preferred_element_type is None and concrete_arrays(a, b):
        return _compiled_dot(a, b)
    return _dot(a, b, precision, preferred_element_type)


def _dot(a: Any, b: Any, precision: Any = None, preferred_element_type: Any = None) -> Any:
    x, y = _pair("dot", a, b)
    if not x.ndim or not y.ndim:
        result = multiply(x, y)
        return (
            result
            if preferred_element_type is None
            else to_dtype(result, requested_dtype("dot", preferred_element_type))
        )
    axis = max(0, y.ndim - 2)
    _refuse_sizes("dot", x, y, x.ndim - 1, axis)
    return contract("dot", x, y, (((x.ndim - 1,), (axis,)), ((), ())), precision, preferred_element_type)


_compiled_dot = jit(_dot)  # not of dot, which calls it: ``disable_jit`` runs what stands here


def matmul(
    a: ArrayLike, b: ArrayLike, *, precision: Any = None, preferred_element_type: Any = None, out_sharding: Any = None
) -> Array:
    """The matrix product over the last two axes, other axes broadcast; a vector is a row on the left, a column on the
    right. TypeError for scalars and sizes that do not fit.

    >>> import functrans.numpy as fnp
    >>> fnp.matmul(fnp.ones((2, 3)), fnp.ones(3))
    Array([3., 3.], dtype=float32)
    """
    if out_sharding is not None:
        refuse("matmul", out_sharding=out_sharding)
    if precision is None and preferred_element_type is None and concrete_arrays(a, b):
        return _compiled_matmul(a, b)
    return _matmul(a, b, precision, preferred_element_type)


def _matmul(a: Any, b: Any, precision: Any = None, preferred_element_type: Any = None) -> Any:
    if preferred_element_type is None and (type(a) is Tracer or type(b) is Tracer):
        product = _of_vectors_and_matrices(a, b, precision)
        if product is not None:
            return product
    a, b = as_operand("matmul", a), as_operand("matmul", b)
    x, y = _pair("matmul", a, b)
    if not x.ndim or not y.ndim:
        raise FunctransTypeError(
            f"matmul: scalars have no axis to contract (shapes {tuple(x.shape)} and {tuple(y.shape)}); use *"
        )
    axis = max(0, y.ndim - 2)
    _refuse_sizes("matmul", x, y, x.ndim - 1, axis)
    batch_x, batch_y = tuple(x.shape[:-2]), tuple(y.shape[:-2])
    shape = common_shape("matmul", batch_x, batch_y)
    # Only axes that both have are batch axes; those of one operand stay free, so that nothing is broadcast.
    rank = len(shape)
    offset_x, offset_y = rank - len(batch_x), rank - len(batch_y)
    shared, free_x, free_y, drop_x, drop_y = [], [], [], [], []
    for i in range(rank):
        in_x, in_y = i >= offset_x, i >= offset_y
        n_x, n_y = (batch_x[i - offset_x] if in_x else 1), (batch_y[i - offset_y] if in_y else 1)
        if in_x and in_y and n_x == n_y:
            shared.append(i)
        elif in_x and (not in_y or n_y == 1):
            free_x.append(i)
            if in_y:
                drop_y.append(i - offset_y)
        else:
            free_y.append(i)
            if in_x:
                drop_x.append(i - offset_x)
    x = _without(x, drop_x)
    y = _without(y, drop_y)
    batch_of_x = [i for i in range(offset_x, rank) if i - offset_x not in drop_x]
    batch_of_y = [i for i in range(offset_y, rank) if i - offset_y not in drop_y]
    numbers = (
        ((x.ndim - 1,), (max(0, y.ndim - 2),)),
        (tuple(batch_of_x.index(i) for i in shared), tuple(batch_of_y.index(i) for i in shared)),
    )
    result = contract("matmul", x, y, numbers, precision, preferred_element_type)
    order = [*shared, *[i for i in batch_of_x if i not in shared]]
    rows = [rank] if operand_type("matmul", a).ndim > 1 else []
    order += rows
    order += [i for i in batch_of_y if i not in shared]
    order += [rank + 1] if operand_type("matmul", b).ndim > 1 else []
    wanted = sorted(order)
    return result if order == wanted else lax.transpose(result, [order.index(i) for i in wanted])


_compiled_matmul = jit(_matmul)  # not of matmul, which calls it: ``disable_jit`` runs what stands here


def _of_vectors_and_matrices(a: Any, b: Any, precision: Any) -> Any:
    """The product of arrays of one or two axes and one strong dtype whose sizes fit; None for others."""
    if type(a) not in _ARRAYS or type(b) not in _ARRAYS:
        return None
    x, y = type_of(a), type_of(b)
    rows, columns = x.shape, y.shape
    if x.dtype != y.dtype or x.weak_type or y.weak_type or not 1 <= len(rows) <= 2 or not 1 <= len(columns) <= 2:
        return None
    if rows[-1] != columns[0]:
        return None
    return bind(DotGeneral((len(rows) - 1,), (0,), (), (), x.dtype, precision_name(precision)), a, b)


def _without(x: Any, axes: list[int]) -> Any:
    return lax.reshape(x, tuple(n for i, n in enumerate(x.shape) if i not in axes)) if axes else x


def vdot(a: ArrayLike, b: ArrayLike, *, precision: Any = None, preferred_element_type: Any = None) -> Array:
    """The sum of products of all elements, those of ``a`` conjugated."""
    return dot(
        conjugate(ravel(a)), ravel(b), precision=precision, preferred_element_type=preferred_element_type
    )


def vecdot(
    x1: ArrayLike, x2: ArrayLike, /, *, axis: int = -1, precision: Any = None, preferred_element_type: Any = None
) -> Array:
    """The sum of products over ``axis``, x1 conjugated; other axes are broadcast."""
    x, y = asarray(x1), asarray(x2)
    if not x.ndim or not y.ndim:
        raise FunctransValueError("vecdot: scalars have no axis to contract; use *")
    x, y = moveaxis(x, axis, -1), moveaxis(y, axis, -1)
    _refuse_sizes("vecdot", x, y, x.ndim - 1, y.ndim - 1)
    shape = common_shape("vecdot", tuple(x.shape), tuple(y.shape))
    if rank_promotion() != "allow":
        check_ranks("vecdot", tuple(x.shape), tuple(y.shape))
    x, y = conjugate(broadcast(x, shape)), broadcast(y, shape)
    batch = tuple(range(len(shape) - 1))
    numbers = (((len(shape) - 1,), (len(shape) - 1,)), (batch, batch))
    return contract("vecdot", x, y, numbers, precision, preferred_element_type)


def matvec(x1: ArrayLike, x2: ArrayLike, /) -> Array:
    """Matrices [..., m, n] times vectors [..., n]."""
    x2 = asarray(x2)
    result = matmul(x1, lax.reshape(x2, (*x2.shape, 1)))
    return lax.reshape(result, result.shape[:-1])


def vecmat(x1: ArrayLike, x2: ArrayLike, /) -> Array:
    """Conjugated vectors [..., m] times matrices [..., m, n]."""
    x1 = conjugate(asarray(x1))
    result = matmul(lax.reshape(x1, (*x1.shape[:-1], 1, x1.shape[-1])), x2)
    return lax.reshape(result, (*result.shape[:-2], result.shape[-1]))


def inner(a: ArrayLike, b: ArrayLike, *, precision: Any = None, preferred_element_type: Any = None) -> Array:
    """The sum of products over the last axes."""
    x, y = _pair("inner", a, b)
    if not x.ndim or not y.ndim:
        return multiply(x, y)
    _refuse_sizes("inner", x, y, x.ndim - 1, y.ndim - 1)
    return contract("inner", x, y, (((x.ndim - 1,), (y.ndim - 1,)), ((), ())), precision, preferred_element_type)


def outer(a: ArrayLike, b: ArrayLike, out: None = None) -> Array:
    """All products of an element of ``a`` with one of ``b``: [m, n].

    >>> import functrans.numpy as fnp
    >>> fnp.outer(fnp.array([1, 2]), fnp.array([3, 4]))
    Array([[3, 4],
           [6, 8]], dtype=int32)
    """
    refuse("outer", out=out)
    x, y = promote_dtypes("outer", ravel(asarray(a)), ravel(asarray(b)))
    shape = (x.shape[0], y.shape[0])
    return multiply(lax.broadcast_in_dim(x, shape, (0,)), lax.broadcast_in_dim(y, shape, (1,)))


@takes(out_sharding=None)
def tensordot(
    a: ArrayLike, b: ArrayLike, axes: Any = 2, *, precision: Any = None, preferred_element_type: Any = None
) -> Array:
    """The sum of products over so many last axes of ``a`` and first axes of ``b``, or over given pairs of axes.

    >>> import functrans.numpy as fnp
    >>> fnp.tensordot(fnp.ones((2, 3)), fnp.ones((3, 4)), 1).shape
    (2, 4)
    """
    x, y = _pair("tensordot", a, b)
    if isinstance(axes, list | tuple):
        if len(axes) != 2:
            raise FunctransValueError(f"tensordot: axes must be a number or two sequences of axes, got {axes}")
        axes_x, axes_y = axis_indices("tensordot", axes[0], x.ndim), axis_indices("tensordot", axes[1], y.ndim)
    else:
        n = operator.index(axes)
        if n > min(x.ndim, y.ndim):
            raise FunctransTypeError(
                f"tensordot: {n} axes to contract are more than shapes {tuple(x.shape)} and {tuple(y.shape)} have"
            )
        axes_x, axes_y = tuple(range(x.ndim - n, x.ndim)), tuple(range(n))
    if len(axes_x) != len(axes_y):
        raise FunctransValueError(f"tensordot: {len(axes_x)} axes of a go with {len(axes_y)} axes of b")
    for i, j in zip(axes_x, axes_y, strict=True):
        _refuse_sizes("tensordot", x, y, i, j)
    return contract("tensordot", x, y, ((axes_x, axes_y), ((), ())), precision, preferred_element_type)


def kron(a: ArrayLike, b: ArrayLike) -> Array:
    """The Kronecker product: every element of ``a`` times the whole of ``b``."""
    x, y = promote_dtypes("kron", asarray(a), asarray(b))
    rank = max(x.ndim, y.ndim)
    sizes_x, sizes_y = ((1,) * (rank - v.ndim) + tuple(v.shape) for v in (x, y))
    shape = tuple(n for pair in zip(sizes_x, sizes_y, strict=True) for n in pair)
    wide = lax.broadcast_in_dim(lax.reshape(x, sizes_x), shape, tuple(range(0, 2 * rank, 2)))
    tall = lax.broadcast_in_dim(lax.reshape(y, sizes_y), shape, tuple(range(1, 2 * rank, 2)))
    return lax.reshape(multiply(wide, tall), tuple(n * m for n, m in zip(sizes_x, sizes_y, strict=True)))


def cross(
    a: ArrayLike, b: ArrayLike, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None
) -> Array:
    """The vector product of vectors of 3 (or 2) components along an axis.

    >>> import functrans.numpy as fnp
    >>> fnp.cross(fnp.array([1., 0., 0.]), fnp.array([0., 1., 0.]))
    Array([0., 0., 1.], dtype=float32)
    """
    if axis is not None:
        axisa = axisb = axisc = axis
    x, y = promote_dtypes("cross", asarray(a), asarray(b))
    x, y = moveaxis(x, axisa, -1), moveaxis(y, axisb, -1)
    if x.shape[-1] not in (2, 3) or y.shape[-1] not in (2, 3):
        raise FunctransValueError(
            f"cross: vectors need 2 or 3 components, got {x.shape[-1]} and {y.shape[-1]} (shapes {tuple(x.shape)}, "
            f"{tuple(y.shape)})"
        )

    def parts(v: Any) -> list[Any]:
        count = v.shape[-1]
        zero = (0,) * (v.ndim - 1)
        return [
            lax.reshape(lax.slice(v, (*zero, i), (*v.shape[:-1], i + 1)), v.shape[:-1]) for i in range(count)
        ]

    u, v = parts(x), parts(y)
    third = subtract(multiply(u[0], v[1]), multiply(u[1], v[0]))
    if len(u) == len(v) == 2:
        return third
    u3, v3 = (p[2] if len(p) == 3 else None for p in (u, v))

    def component(i: int) -> Any:
        # i = 0: u1 v2 - u2 v1; i = 1: u2 v0 - u0 v2, where a missing third component is 0
        other_u, other_v = u[1 - i], v[1 - i]
        first = None if v3 is None else multiply(other_u, v3)
        second = None if u3 is None else multiply(u3, other_v)
        plus, minus = (first, second) if i == 0 else (second, first)
        return plus if minus is None else lax.neg(minus) if plus is None else subtract(plus, minus)

    columns = [component(0), component(1), third]
    shape = common_shape("cross", *[tuple(c.shape) for c in columns])
    columns = [lax.reshape(broadcast(c, shape), (*shape, 1)) for c in columns]
    result = strengthened(lax.concatenate(columns, len(shape)))
    return moveaxis(result, -1, axis_index("cross", axisc, result.ndim))
