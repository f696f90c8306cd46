"""Parts of arrays and arrays made of parts: slice, split, pad, concatenate, rev."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any

import numpy as np

from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.program import Literal
from functrans.ir.types import ArrayType, array_type, describe, type_of
from functrans.ops.elementwise import one_axis, sub
from functrans.ops.logic import select
from functrans.ops.structural import (
    Axes,
    LinearUnary,
    broadcast_in_dim,
    check_axes,
    full,
    reduce_sum,
    scalar_literal,
    spread,
    zeros_like,
)
from functrans.trace.binding import bind, bind_all
from functrans.trace.emitter import EmitterProtocol, Names, Types
from functrans.trace.primitive import Fusion, Lanes, Primitive, Tangent, Value, is_linear
from functrans.trace.tracer import Tracer, producer_of, tracer_for


class Slice(LinearUnary):
    """The elements start, start + stride ... below limit along each axis."""

    moves = True
    fusion = Fusion.MOVING
    start_indices: Axes
    limit_indices: Axes
    strides: Axes

    def infer(self, x: ArrayType) -> ArrayType:
        start, limit, strides = self.start_indices, self.limit_indices, self.strides
        if not len(start) == len(limit) == len(strides) == x.ndim or any(
            not 0 <= a <= b <= n or s < 1 for a, b, s, n in zip(start, limit, strides, x.shape, strict=True)
        ):
            raise FunctransTypeError(
                f"slice: start {start}, limit {limit} and strides {strides} do not fit an array of shape {x.shape}"
            )
        shape = tuple([(b - a + s - 1) // s for a, b, s in zip(start, limit, strides, strict=True)])
        return array_type(shape, x.dtype, x.weak_type)

    def fold(self, x: Any) -> Any:
        """A slice that is one of the arrays of which x has been joined is that array."""
        producer = producer_of(x)
        if producer is None or type(producer.op) is not Concatenate:
            return None
        axis, shape = producer.op.dimension, x.shape
        whole = [a == 0 and b == n for a, b, n in zip(self.start_indices, self.limit_indices, shape, strict=True)]
        if not all(w or i == axis for i, w in enumerate(whole)) or any(s != 1 for s in self.strides):
            return None
        place = 0
        for part in producer.inputs:
            size = part.type.shape[axis]
            if place == self.start_indices[axis] and place + size == self.limit_indices[axis]:
                same = part.type.weak_type == x.type.weak_type and type(part) is not Literal
                return tracer_for(x, part) if same else None
            place += size
            if place > self.start_indices[axis]:
                return None
        return None

    def apart(self, axes: Sequence[int | None], types: Sequence[ArrayType]) -> int | None:
        (axis,) = axes
        assert axis is not None
        whole = (self.start_indices[axis], self.limit_indices[axis], self.strides[axis])
        return axis if whole == (0, types[0].shape[axis], 1) else None

    def moving(self, count: int) -> Sequence[int]:
        return (0,)

    def impl(self, x: Any) -> Any:
        return x[tuple(map(slice, self.start_indices, self.limit_indices, self.strides))]

    def transpose(self, cotangent: Any, x: Any) -> Sequence[Any]:
        config = []
        for start, n, stride, size in zip(self.start_indices, cotangent.shape, self.strides, x.shape, strict=True):
            end = start + (n - 1) * stride + 1 if n else start
            config.append((start, size - end, stride - 1))
        return [pad(cotangent, scalar_literal(0, cotangent.dtype), config)]

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Any]:
        op = Slice((0, *self.start_indices), (lanes.size, *self.limit_indices), (1, *self.strides))
        return bind(op, operands[0]), True

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        ranges = ", ".join(
            f"{a}:{b}:{s}" for a, b, s in zip(self.start_indices, self.limit_indices, self.strides, strict=True)
        )
        return emitter.op(f"stablehlo.slice {operands[0]} [{ranges}]", in_types, out_types[0])


class Pad(Primitive):
    """``low`` elements before, ``high`` behind (negative: removed) and ``interior`` between, all of one value."""

    moves = True
    smooth = True
    fusion = Fusion.MOVING
    low: Axes
    high: Axes
    interior: Axes

    def infer(self, x: ArrayType, value: ArrayType) -> ArrayType:
        low, high, interior = self.low, self.high, self.interior
        if value.shape or value.dtype != x.dtype:
            raise FunctransTypeError(f"pad: the padding value must be a scalar of the dtype of {x}, got {value}")
        if len(low) != x.ndim or any(i < 0 for i in interior):
            raise FunctransValueError(
                f"pad: low {low}, high {high} and interior {interior} must have one entry for each axis of {x.shape}, "
                "and interior padding cannot be negative"
            )
        shape = tuple(
            [lo + hi + n + max(0, n - 1) * i for n, lo, hi, i in zip(x.shape, low, high, interior, strict=True)]
        )
        if any(n < 0 for n in shape):
            raise FunctransValueError(
                f"pad: padding {low}, {high} leaves a negative size {shape} of an array {x.shape}"
            )
        return array_type(shape, x.dtype, x.weak_type and value.weak_type)

    def apart(self, axes: Sequence[int | None], types: Sequence[ArrayType]) -> int | None:
        axis = axes[0]
        if axis is None or self.low[axis] or self.high[axis] or self.interior[axis]:
            return None
        return axis

    def moving(self, count: int) -> Sequence[int]:
        return (0, 1)

    def impl(self, x: Any, value: Any) -> Any:
        x = np.asarray(x)
        spaced_shape = [n + max(0, n - 1) * i for n, i in zip(x.shape, self.interior, strict=True)]
        spaced = np.full(spaced_shape, value, x.dtype)
        spaced[tuple(slice(None, None, i + 1) for i in self.interior)] = x
        wide = [(max(0, lo), max(0, hi)) for lo, hi in zip(self.low, self.high, strict=True)]
        out = np.full([n + a + b for n, (a, b) in zip(spaced_shape, wide, strict=True)], value, x.dtype)
        out[tuple(slice(a, a + n) for n, (a, _) in zip(spaced_shape, wide, strict=True))] = spaced
        cut = [slice(max(0, -lo), n - max(0, -hi)) for n, lo, hi in zip(out.shape, self.low, self.high, strict=True)]
        return out[tuple(cut)]

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        out = bind(self, *primals)
        x_t, value_t = tangents
        if value_t is None:
            return out, bind(self, x_t, scalar_literal(0, out.dtype))
        return out, bind(self, zeros_like(primals[0]) if x_t is None else x_t, value_t)

    def transpose(self, cotangent: Any, x: Any, value: Any) -> Sequence[Any]:
        inner = pad(
            cotangent,
            scalar_literal(0, cotangent.dtype),
            [(-lo, -hi, 0) for lo, hi in zip(self.low, self.high, strict=True)],
        )
        inner = slice_(inner, (0,) * inner.ndim, inner.shape, tuple([i + 1 for i in self.interior]))
        value_bar = None
        if is_linear(value):
            everything = reduce_sum(cotangent, tuple(range(cotangent.ndim)))
            value_bar = sub(everything, reduce_sum(inner, tuple(range(inner.ndim))))
        return [inner if is_linear(x) else None, value_bar]

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Any]:
        x, value = operands
        op = Pad((0, *self.low), (0, *self.high), (0, *self.interior))
        x = x if mapped[0] else spread(x, lanes.size)
        if not mapped[1]:
            return bind(op, x, value), True
        padded = bind(op, x, scalar_literal(0, x.dtype))
        inside = bind(op, full(x.shape, True), scalar_literal(False, np.dtype(np.bool_)))
        return select(inside, padded, broadcast_in_dim(value, padded.shape, (0,))), True

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        low, high, interior = list(self.low), list(self.high), list(self.interior)
        text = f"stablehlo.pad {operands[0]}, {operands[1]}, low = {low}, high = {high}, interior = {interior}"
        return emitter.op(text, in_types, out_types[0])


class Concatenate(Primitive):
    """The operands joined along the axis ``dimension``."""

    moves = True
    smooth = True
    fusion = Fusion.MOVING
    dimension: int

    def infer(self, *types: ArrayType) -> ArrayType:
        axis = self.dimension
        if not types:
            raise FunctransTypeError("concatenate: at least one array is needed")
        first = types[0]
        if not 0 <= axis < first.ndim:
            raise FunctransValueError(f"concatenate: {axis} is not an axis of an array of shape {first.shape}")
        for t in types:
            other = (*t.shape[:axis], first.shape[axis], *t.shape[axis + 1 :])
            if t.ndim != first.ndim or other != first.shape or t.dtype != first.dtype:
                names = ", ".join(map(str, types))
                raise FunctransTypeError(
                    f"concatenate: operands {names} must agree in dtype and in all axes but {axis}"
                )
        size = sum(t.shape[axis] for t in types)
        shape = (*first.shape[:axis], size, *first.shape[axis + 1 :])
        return array_type(shape, first.dtype, all(t.weak_type for t in types))

    def apart(self, axes: Sequence[int | None], types: Sequence[ArrayType]) -> int | None:
        axis = one_axis(axes)
        return None if axis == self.dimension else axis

    def moving(self, count: int) -> Sequence[int]:
        return range(count)

    def impl(self, *arrays: Any) -> Any:
        return np.concatenate(arrays, self.dimension)

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        out = bind(self, *primals)
        slopes = [zeros_like(x) if t is None else t for x, t in zip(primals, tangents, strict=True)]
        return out, bind(self, *slopes)

    def transpose(self, cotangent: Any, *operands: Any) -> Sequence[Any]:
        out: list[Any] = []
        start, axis = 0, self.dimension
        for x in operands:
            end = start + x.shape[axis]
            out.append(slice_in_dim(cotangent, start, end, 1, axis) if is_linear(x) else None)
            start = end
        return out

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Any]:
        parts = [x if m else spread(x, lanes.size) for x, m in zip(operands, mapped, strict=True)]
        return bind(Concatenate(self.dimension + 1), *parts), True

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        return emitter.op(
            f"stablehlo.concatenate {', '.join(operands)}, dim = {self.dimension}", in_types, out_types[0]
        )


class Split(Primitive):
    """Consecutive parts of these sizes along ``axis``."""

    moves = True
    smooth = True
    fusion = Fusion.MOVING
    sizes: Axes
    axis: int
    multiple = True

    def infer(self, x: ArrayType) -> list[ArrayType]:
        axis = self.axis
        if not 0 <= axis < x.ndim or any(n < 0 for n in self.sizes) or sum(self.sizes) != x.shape[axis]:
            raise FunctransTypeError(
                f"split: sizes {self.sizes} along axis {axis} do not add up to that of an array of shape {x.shape}"
            )
        return [array_type((*x.shape[:axis], n, *x.shape[axis + 1 :]), x.dtype, x.weak_type) for n in self.sizes]

    def moving(self, count: int) -> Sequence[int]:
        return (0,)

    def impl(self, x: Any) -> Any:
        return np.split(np.asarray(x), np.cumsum(self.sizes)[:-1], self.axis) if self.sizes else []

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        return bind_all(self, primals), bind_all(self, tangents)

    def transpose(self, cotangent: Any, x: Any) -> Sequence[Any]:
        types = self.infer(x.type)
        parts = [zeros_like(t) if ct is None else ct for ct, t in zip(cotangent, types, strict=True)]
        return [concatenate(parts, self.axis)]

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Any]:
        return bind_all(Split(self.sizes, self.axis + 1), operands), [True] * len(self.sizes)

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        names: list[str] = []
        start = 0
        for size, type_ in zip(self.sizes, out_types, strict=True):
            ranges = [f"0:{n}:1" for n in in_types[0].shape]
            ranges[self.axis] = f"{start}:{start + size}:1"
            names.append(emitter.op(f"stablehlo.slice {operands[0]} [{', '.join(ranges)}]", in_types, type_))
            start += size
        return names


class Rev(LinearUnary):
    """The elements in reverse order along ``dimensions``."""

    moves = True
    cheap = True
    fusion = Fusion.MOVING
    dimensions: Axes

    def infer(self, x: ArrayType) -> ArrayType:
        check_axes("rev", x, self.dimensions)
        return x

    def apart(self, axes: Sequence[int | None], types: Sequence[ArrayType]) -> int | None:
        (axis,) = axes
        return None if axis in self.dimensions else axis

    def moving(self, count: int) -> Sequence[int]:
        return (0,)

    def impl(self, x: Any) -> Any:
        return np.flip(x, self.dimensions)

    def transpose(self, cotangent: Any, x: Any) -> Sequence[Any]:
        return [bind(self, cotangent)]

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Any]:
        return bind(Rev(tuple([d + 1 for d in self.dimensions])), operands[0]), True

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        return emitter.raw(
            f"stablehlo.reverse {operands[0]}, dims = {list(self.dimensions)} : {emitter.text(out_types[0])}"
        )


# -- functions ---------------------------------------------------------------------------------------------------------


def slice_(
    operand: Any, start_indices: Sequence[int], limit_indices: Sequence[int], strides: Sequence[int] | None = None
) -> Any:
    """The elements from start to limit along each axis."""
    start, limit = tuple(map(index, start_indices)), tuple(map(index, limit_indices))
    steps = (1,) * len(start) if strides is None else tuple(map(index, strides))
    shape = type_of(operand).shape
    if limit == shape and not any(start) and all(s == 1 for s in steps) and type(operand) is Tracer:
        return operand
    return bind(Slice(start, limit, steps), operand)


def slice_in_dim(operand: Any, start_index: int | None, limit_index: int | None, stride: int = 1, axis: int = 0) -> Any:
    """The elements from start to limit along one axis; negative positions count from the end."""
    shape = type_of(operand).shape
    axis = canonical_axis("slice_in_dim", axis, len(shape))
    size = shape[axis]
    start = 0 if start_index is None else index(start_index)
    limit = size if limit_index is None else index(limit_index)
    starts, limits, strides = [0] * len(shape), list(shape), [1] * len(shape)
    starts[axis] = start + size if start < 0 else start
    limits[axis] = limit + size if limit < 0 else limit
    strides[axis] = int(stride)
    return slice_(operand, starts, limits, strides)


def canonical_axis(what: str, axis: int, ndim: int) -> int:
    """The axis counted from the front; raises ValueError if there is no such axis, TypeError for what is none."""
    try:
        axis = index(axis)
    except TypeError:
        if type(axis) is Tracer:
            raise
        raise FunctransTypeError(f"{what}: an axis is an integer, got {describe(axis)}") from None
    if not -ndim <= axis < ndim:
        raise FunctransValueError(f"{what}: axis {axis} is out of bounds for an array of rank {ndim}")
    return axis % ndim


def pad(operand: Any, padding_value: Any, padding_config: Sequence[tuple[int, int, int]]) -> Any:
    """``padding_config``: (low, high, interior) for each axis; negative low and high remove elements."""
    config = [tuple(map(int, c)) for c in padding_config]
    if type(operand) is Tracer and not any(any(c) for c in config) and len(config) == operand.ndim:
        return operand
    low, high, interior = zip(*config, strict=True) if config else ((), (), ())
    dtype = type_of(operand).dtype
    if isinstance(padding_value, bool | int | float | complex):
        padding_value = scalar_literal(padding_value, dtype, type_of(operand).weak_type)
    return bind(Pad(low, high, interior), operand, padding_value)


def concatenate(operands: Sequence[Any], dimension: int) -> Any:
    """The arrays joined along the axis ``dimension``."""
    if len(operands) == 1 and type(operands[0]) is Tracer:
        return operands[0]
    return bind(Concatenate(index(dimension)), *operands)


def split(operand: Any, sizes: Sequence[int], axis: int = 0) -> list[Any]:
    """Consecutive parts of these sizes along ``axis``."""
    place = canonical_axis("split", axis, type_of(operand).ndim)
    return list(bind_all(Split(tuple(map(index, sizes)), place), [operand]))


def rev(operand: Any, dimensions: Sequence[int]) -> Any:
    """The elements in reverse order along ``dimensions``."""
    axes = tuple(dimensions)
    return operand if not axes and type(operand) is Tracer else bind(Rev(axes), operand)
