"""Order: ``sort`` of several operands by the first of them, and ``top_k``.

Floats have one total order: -0 equals 0, and NaNs, all alike, come last. Complex numbers are ordered by their real,
then by their imaginary part. Differentiation follows the elements to where they went: a gather.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any

import numpy as np

from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import ArrayType, array_type, is_key_dtype, type_of
from functrans.ops.elementwise import kind_of, neg, real_dtype
from functrans.ops.indexing import Gather
from functrans.ops.slicing import canonical_axis
from functrans.ops.structural import Iota, broadcasted_iota, compare_kind, reshape, spread
from functrans.ops.windows import GatherDimensionNumbers
from functrans.trace.binding import bind, bind_all
from functrans.trace.emitter import EmitterProtocol, Names, Types
from functrans.trace.primitive import Lanes, Primitive, Tangent, Value
from functrans.trace.tracer import producer_of

_BOOL = np.dtype(np.bool_)


class Sort(Primitive):
    """The operands with one permutation along ``dimension``, which puts the first ``num_keys`` of them in order."""

    dimension: int
    is_stable: bool
    num_keys: int
    moves = True
    multiple = True

    def infer(self, *types: ArrayType) -> list[ArrayType]:
        shape = types[0].shape
        if any(t.shape != shape for t in types):
            raise FunctransTypeError(
                f"sort: all operands must have one shape, got {', '.join(str(t.shape) for t in types)}"
            )
        if any(is_key_dtype(t.dtype) for t in types[: self.num_keys]):
            raise FunctransTypeError(f"sort: random keys have no order, got {', '.join(map(str, types))}")
        if not 0 <= self.dimension < len(shape):
            raise FunctransValueError(f"sort: dimension {self.dimension} is not an axis of an array of shape {shape}")
        if not 1 <= self.num_keys <= len(types):
            raise FunctransValueError(
                f"sort: num_keys is {self.num_keys}; it must be between 1 and {len(types)}, the number of operands"
            )
        if any(is_key_dtype(t.dtype) for t in types[: self.num_keys]):
            raise FunctransTypeError(f"sort: random keys have no order, got {', '.join(map(str, types))}")
        return list(types)

    def impl(self, *arrays: Any) -> Any:
        order = stable_order(arrays[: self.num_keys], self.dimension)
        return [np.take_along_axis(np.asarray(x), order, self.dimension) for x in arrays]

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        place = self._numbered(primals)
        if place is None:  # sort the positions along
            numbers = positions(primals[0].shape, self.dimension)
            *outs, order = bind_all(self, [*primals, numbers])
        else:
            outs = list(bind_all(self, primals))
            order = outs[place]
        return outs, [None if t is None else take_along(t, order, self.dimension) for t in tangents]

    def _numbered(self, operands: Sequence[Any]) -> int | None:
        """An operand that is no key and holds the positions along the dimension, if there is one."""
        for i, x in enumerate(operands):
            if i >= self.num_keys:
                producer = producer_of(x)
                if producer is not None and type(producer.op) is Iota and producer.op.dimension == self.dimension:
                    return i
        return None

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Any]:
        operands = [x if m else spread(x, lanes.size) for x, m in zip(operands, mapped, strict=True)]
        return bind_all(Sort(self.dimension + 1, self.is_stable, self.num_keys), operands), [True] * len(operands)

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        scalars = [array_type((), t.dtype) for t in in_types]
        flag = array_type((), _BOOL)

        def body(names: list[str]) -> list[str]:
            pairs: list[tuple[str, str, ArrayType]] = []
            for i in range(self.num_keys):
                a, b = names[2 * i], names[2 * i + 1]
                pairs.extend(
                    (x, y, t)
                    for (x, t), (y, _) in zip(_keys(emitter, a, scalars[i]), _keys(emitter, b, scalars[i]), strict=True)
                )
            before: str | None = None
            for a, b, type_ in reversed(pairs):
                kind = compare_kind(type_.dtype)
                kind = "TOTALORDER" if kind == "FLOAT" else kind
                less = emitter.op(f"stablehlo.compare LT, {a}, {b}, {kind}", [type_, type_], flag)
                if before is not None:
                    equal = emitter.op(f"stablehlo.compare EQ, {a}, {b}, {kind}", [type_, type_], flag)
                    tie = emitter.elementwise("and", [equal, before], [flag, flag], flag)
                    less = emitter.elementwise("or", [less, tie], [flag, flag], flag)
                before = less
            assert before is not None
            return [before]

        region = emitter.region([t for t in scalars for _ in (0, 1)], body, [flag])
        types = ", ".join(emitter.text(t) for t in in_types)
        stable = "true" if self.is_stable else "false"
        return emitter.raw_many(
            f'"stablehlo.sort"({", ".join(operands)}) <{{dimension = {self.dimension} : i64, is_stable = {stable}}}> '
            f"({region}) : ({types}) -> ({types})",
            len(operands),
        )


def _keys(emitter: EmitterProtocol, x: str, type_: ArrayType) -> list[tuple[str, ArrayType]]:
    """The scalars whose total order is the order of a key: parts of complex numbers, one zero and one NaN of floats."""
    if type_.dtype.kind == "c":
        part = array_type((), real_dtype(type_.dtype))
        parts = [emitter.op(f"stablehlo.{name} {x}", [type_], part) for name in ("real", "imag")]
        return [key for p in parts for key in _keys(emitter, p, part)]
    if compare_kind(type_.dtype) != "FLOAT":
        return [(x, type_)]
    flag = array_type((), _BOOL)
    zero, nan = (emitter.constant_here(v, type_) for v in (0.0, float("nan")))
    is_zero = emitter.op(f"stablehlo.compare EQ, {x}, {zero}, FLOAT", [type_, type_], flag)
    x = emitter.select(is_zero, zero, x, flag, type_)
    is_nan = emitter.op(f"stablehlo.compare NE, {x}, {x}, FLOAT", [type_, type_], flag)
    return [(emitter.select(is_nan, nan, x, flag, type_), type_)]


def stable_order(keys: Sequence[Any], axis: int) -> Any:
    """The positions along ``axis`` in the order of the keys (NumPy arrays), equal ones as they came."""
    parts: list[Any] = []
    for key in map(np.asarray, keys):
        key = key.astype(np.float32) if key.dtype.kind == "V" else key
        parts.extend([key.real, key.imag] if key.dtype.kind == "c" else [key])
    return np.lexsort(parts[::-1], axis=axis)


class TopK(Primitive):
    """The ``k`` largest elements along ``axis``, the largest first, and their positions; a NaN is larger than any."""

    k: int
    axis: int
    multiple = True

    def infer(self, x: ArrayType) -> list[ArrayType]:
        if kind_of(x.dtype) == "c":
            raise FunctransValueError(f"top_k: complex numbers have no order, got an operand of type {x}")
        if not 0 <= self.axis < x.ndim:
            raise FunctransValueError(f"top_k: axis {self.axis} is not an axis of an array of shape {x.shape}")
        if not 0 <= self.k <= x.shape[self.axis]:
            raise FunctransValueError(
                f"top_k: k is {self.k}; it must be between 0 and {x.shape[self.axis]}, the size of axis {self.axis} of "
                f"an operand of shape {x.shape}"
            )
        shape = (*x.shape[: self.axis], self.k, *x.shape[self.axis + 1 :])
        # JAX has the positions as weak as the values.
        return [array_type(shape, x.dtype, x.weak_type), array_type(shape, np.dtype(np.int32), x.weak_type)]

    def impl(self, x: Any) -> Any:
        x = np.asarray(x)
        backward = np.flip(stable_order([np.flip(x, self.axis)], self.axis), self.axis)
        order = (x.shape[self.axis] - 1 - backward).take(range(self.k), self.axis)
        return [np.take_along_axis(x, order, self.axis), order.astype(np.int32)]

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        values, order = bind_all(self, primals)
        return [values, order], [take_along(tangents[0], order, self.axis), None]

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Any]:
        return bind_all(TopK(self.k, self.axis + 1), operands), [True, True]

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        last = in_types[0].ndim - 1
        swap = [*range(last + 1)]
        swap[self.axis], swap[last] = last, self.axis

        def swapped(x: str, type_: ArrayType) -> tuple[str, ArrayType]:
            to = type_.update(shape=tuple([type_.shape[a] for a in swap]))
            if self.axis == last:
                return x, type_
            return emitter.op(f"stablehlo.transpose {x}, dims = {swap}", [type_], to), to

        x, type_ = swapped(operands[0], in_types[0])
        found = [t.update(shape=tuple([t.shape[a] for a in swap])) for t in out_types]
        outs = emitter.raw_many(
            f"chlo.top_k({x}, k = {self.k}) : {emitter.text(type_)} -> "
            f"({', '.join(emitter.text(t) for t in found)})",
            2,
        )
        return [swapped(name, t)[0] for name, t in zip(outs, found, strict=True)]


def positions(shape: Sequence[int], axis: int) -> Any:
    """The position of each element along one axis."""
    return broadcasted_iota(np.int32 if shape[axis] < 2**31 else np.int64, tuple(shape), axis)


def take_along(x: Any, indices: Any, axis: int) -> Any:
    """The elements of x at ``indices``, distinct positions in bounds along one axis; the other axes correspond."""
    shape = indices.shape
    others = tuple([a for a in range(len(shape)) if a != axis])
    numbers = GatherDimensionNumbers((), (axis,), (axis,), others, others)
    sizes = tuple([min(1, n) for n in x.shape])
    op = Gather(numbers, sizes, "promise_in_bounds", unique_indices=True)
    return bind(op, x, reshape(indices, (*shape, 1)))


# -- functions ---------------------------------------------------------------------------------------------------------


def sort(operand: Any, dimension: int = -1, is_stable: bool = True, num_keys: int = 1) -> Any:
    """An array in order along ``dimension``, or several of one shape, by the first ``num_keys`` of them.

    Raises:
      TypeError: no operand, or operands of different shapes.
      ValueError: no such axis, or ``num_keys`` is not between 1 and the number of operands.

    >>> from functrans import lax
    >>> import numpy as np
    >>> lax.sort(np.float32([3, 1, 2])).tolist()
    [1.0, 2.0, 3.0]
    >>> [x.tolist() for x in lax.sort([np.int32([2, 1, 2]), np.int32([7, 8, 6])], num_keys=2)]
    [[1, 2, 2], [8, 6, 7]]
    """
    several = isinstance(operand, list | tuple)
    operands = list(operand) if several else [operand]
    if not operands:
        raise FunctransTypeError("sort: at least one operand is needed, got an empty sequence")
    axis = canonical_axis("sort", dimension, type_of(operands[0]).ndim)
    outs = bind_all(Sort(axis, bool(is_stable), int(num_keys)), operands)
    return tuple(outs) if several else outs[0]


def sort_key_val(keys: Any, values: Any, dimension: int = -1, is_stable: bool = True) -> tuple[Any, Any]:
    """Keys in order along ``dimension``, and the values in the order of their keys.

    >>> from functrans import lax
    >>> import numpy as np
    >>> lax.sort_key_val(np.int32([3, 1, 2]), np.float32([30, 10, 20]))[1].tolist()
    [10.0, 20.0, 30.0]
    """
    keys, values = sort((keys, values), dimension, is_stable)
    return keys, values


def top_k(operand: Any, k: int, *, axis: int = -1, is_stable: bool = True) -> tuple[Any, Any]:
    """The ``k`` largest elements along ``axis``, the largest first, and their positions (int32).

    Of equal elements the earlier one comes first, with ``is_stable=False``, too.

    Raises:
      ValueError: complex elements, k negative or larger than the axis, or no such axis.

    >>> from functrans import lax
    >>> import numpy as np
    >>> [x.tolist() for x in lax.top_k(np.float32([9, 3, 6, 4, 10]), 2)]
    [[10.0, 9.0], [4, 0]]
    """
    if not type_of(operand).ndim:
        raise FunctransTypeError("top_k: an operand of rank 1 or more is needed, got a scalar")
    values, order = bind_all(TopK(index(k), canonical_axis("top_k", axis, type_of(operand).ndim)), [operand])
    return values, order


def _approximately(operation: str, operand: Any, k: int, dimension: int, recall: float, largest: bool) -> Any:
    if not 0 < recall <= 1:
        raise FunctransValueError(f"{operation}: recall_target must be in (0, 1], got {recall}")
    values, order = top_k(operand if largest else neg(operand), k, axis=dimension)
    return values if largest else neg(values), order


def approx_max_k(
    operand: Any, k: int, reduction_dimension: int = -1, recall_target: float = 0.95,
    reduction_input_size_override: int = -1, aggregate_to_topk: bool = True,
) -> tuple[Any, Any]:  # fmt: skip
    """The ``k`` largest elements along an axis and their positions, where some may be missed: here none is (``top_k``).

    >>> from functrans import lax
    >>> import numpy as np
    >>> [x.tolist() for x in lax.approx_max_k(np.float32([1, 3, 2]), 2)]
    [[3.0, 2.0], [1, 2]]
    """
    return _approximately("approx_max_k", operand, k, reduction_dimension, recall_target, True)  # type: ignore[no-any-return]


def approx_min_k(
    operand: Any, k: int, reduction_dimension: int = -1, recall_target: float = 0.95,
    reduction_input_size_override: int = -1, aggregate_to_topk: bool = True,
) -> tuple[Any, Any]:  # fmt: skip
    """The ``k`` smallest elements along an axis and their positions, where some may be missed: here none is."""
    return _approximately("approx_min_k", operand, k, reduction_dimension, recall_target, False)  # type: ignore[no-any-return]
