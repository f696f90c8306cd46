"""Windows that start at values of the program, moved inside where they stick out: dynamic_slice and its update."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any

import numpy as np

from functrans.errors import FunctransTypeError
from functrans.ir.program import Literal
from functrans.ir.types import ArrayType, array_type, type_of
from functrans.ops.elementwise import add, kind_of
from functrans.ops.indexing import Gather, Scatter
from functrans.ops.logic import choose, lt, select
from functrans.ops.slicing import concatenate, slice_
from functrans.ops.structural import (
    Axes,
    broadcast_in_dim,
    convert,
    full,
    reshape,
    scalar_literal,
    spread,
    zeros_like,
)
from functrans.ops.windows import CLIP, GatherDimensionNumbers, ScatterDimensionNumbers
from functrans.trace.binding import bind
from functrans.trace.detection import Detection, Entry
from functrans.trace.emitter import EmitterProtocol, Names, Types
from functrans.trace.primitive import Fusion, Lanes, Primitive, Tangent, Value, is_linear
from functrans.trace.tracer import Tracer


class DynamicSlice(Primitive):
    """The window of ``slice_sizes`` at the scalar operands behind the first; moved inside if it sticks out."""

    moves = True
    smooth = True
    fusion = Fusion.MOVING
    slice_sizes: Axes

    def infer(self, x: ArrayType, *starts: ArrayType) -> ArrayType:
        _check_starts("dynamic_slice", x, starts)
        sizes = self.slice_sizes
        if len(sizes) != x.ndim or any(not 0 <= s <= n for s, n in zip(sizes, x.shape, strict=True)):
            raise FunctransTypeError(f"dynamic_slice: slice_sizes {sizes} do not fit in an array of shape {x.shape}")
        return array_type(sizes, x.dtype, x.weak_type)

    def apart(self, axes: Sequence[int | None], types: Sequence[ArrayType]) -> int | None:
        axis, *starts = axes
        if axis is None or any(a is not None for a in starts) or self.slice_sizes[axis] != types[0].shape[axis]:
            return None
        return axis

    def moving(self, count: int) -> Sequence[int]:
        return (0,)

    def sparsity(self, detection: Detection, operands: Sequence[Entry], types: Sequence[ArrayType]) -> Any:
        x, *starts = operands
        values = [s.value() for s in starts]
        anywhere = [i for i, value in enumerate(values) if value is None and x.shape[i] != self.slice_sizes[i]]
        if anywhere:
            detection.assume(self)
        mixed = detection.mixed(x.sets, anywhere)
        window = _window(x.shape, [0 if value is None else value for value in values], self.slice_sizes)
        return detection.renumbered(mixed, lambda numbers: numbers[window])

    def impl(self, x: Any, *starts: Any) -> Any:
        return np.asarray(x)[_window(np.shape(x), starts, self.slice_sizes)]

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        return bind(self, *primals), bind(self, tangents[0], *primals[1:])

    def transpose(self, cotangent: Any, x: Any, *starts: Any) -> Sequence[Any]:
        return [bind(DYNAMIC_UPDATE_SLICE, zeros_like(x), cotangent, *starts), *[None] * len(starts)]

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Any]:
        x, *starts = operands
        if not any(mapped[1:]):
            return bind(DynamicSlice((lanes.size, *self.slice_sizes)), x, _zero_like(starts), *starts), True
        shape = x.shape[1:] if mapped[0] else x.shape
        index_map, indices = _index_vectors(lanes.size, starts, mapped[1:], shape, self.slice_sizes)
        dims = GatherDimensionNumbers(tuple(range(len(shape))), (), index_map)
        op = Gather(dims, self.slice_sizes, CLIP)
        return op.batch(lanes, (x, indices), (mapped[0], True))

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        operands, in_types = _with_wide_starts(emitter, operands, in_types, 1)
        text = f"stablehlo.dynamic_slice {', '.join(operands)}, sizes = {list(self.slice_sizes)}"
        return emitter.op(text, in_types, out_types[0])


class DynamicUpdateSlice(Primitive):
    """The first operand with the second written over the window that starts at the scalars behind them."""

    moves = True
    smooth = True
    def infer(self, x: ArrayType, update: ArrayType, *starts: ArrayType) -> ArrayType:
        _check_starts("dynamic_update_slice", x, starts)
        fits = update.ndim == x.ndim and all(u <= n for u, n in zip(update.shape, x.shape, strict=True))
        if not fits or update.dtype != x.dtype:
            raise FunctransTypeError(f"dynamic_update_slice: an update {update} does not fit in an operand {x}")
        return array_type(x.shape, x.dtype)  # strong, whatever both are, as in JAX

    def updates(self, in_types: Types) -> bool:
        return True

    def run_where(self, mask: Any, operands: Sequence[Any]) -> list[Any]:
        x, update, *starts = operands
        return [bind(self, x, choose(mask, update, bind(DynamicSlice(update.shape), x, *starts)), *starts)]

    def moving(self, count: int) -> Sequence[int]:
        return (0, 1)

    def sparsity(self, detection: Detection, operands: Sequence[Entry], types: Sequence[ArrayType]) -> Any:
        x, update, *starts = operands
        if all(start.value() is not None for start in starts):
            return super().sparsity(detection, operands, types)
        # Somewhere along the axes whose start is not known: what was there may stay.
        axes = [i for i, s in enumerate(starts) if s.value() is None and x.shape[i] != update.shape[i]]
        window = _window(x.shape, [0 if s.value() is None else s.value() for s in starts], update.shape)
        if axes:
            detection.assume(self)
        anywhere = tuple([slice(None) if i in axes else w for i, w in enumerate(window)])

        def placed(numbers: Any) -> Any:
            out = np.zeros(x.shape, numbers.dtype)
            out[anywhere] = np.expand_dims(numbers, axes)
            return out

        return detection.union(x.sets, detection.renumbered(detection.reduced(update.sets, axes), placed))

    def impl(self, x: Any, update: Any, *starts: Any) -> Any:
        out = np.array(x)
        out[_window(out.shape, starts, np.shape(update))] = update
        return out

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        x, update, *starts = primals
        x_t, update_t = tangents[:2]
        x_t = zeros_like(x) if x_t is None else x_t
        update_t = zeros_like(update) if update_t is None else update_t
        return bind(self, *primals), bind(self, x_t, update_t, *starts)

    def transpose(self, cotangent: Any, x: Any, update: Any, *starts: Any) -> Sequence[Any]:
        x_bar = bind(self, cotangent, zeros_like(update), *starts) if is_linear(x) else None
        update_bar = bind(DynamicSlice(update.shape), cotangent, *starts) if is_linear(update) else None
        return [x_bar, update_bar, *[None] * len(starts)]

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Any]:
        x, update, *starts = operands
        x = x if mapped[0] else spread(x, lanes.size)
        update = update if mapped[1] else spread(update, lanes.size)
        if not any(mapped[2:]):
            return bind(self, x, update, _zero_like(starts), *starts), True
        index_map, indices = _index_vectors(lanes.size, starts, mapped[2:], x.shape[1:], update.shape[1:])
        dims = ScatterDimensionNumbers(tuple(range(update.ndim - 1)), (), index_map)
        return Scatter(dims, CLIP, True, True).batch(lanes, (x, indices, update), (True, True, True))

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        operands, in_types = _with_wide_starts(emitter, operands, in_types, 2)
        return emitter.op(f"stablehlo.dynamic_update_slice {', '.join(operands)}", in_types, out_types[0])


def _with_wide_starts(
    emitter: EmitterProtocol, operands: Names, in_types: Types, first: int
) -> tuple[list[str], list[ArrayType]]:
    """The operands with starts of 32 bits at least: XLA moves a window inside in the arithmetic of their dtype."""
    names, types = list(operands), list(in_types)
    for i in range(first, len(names)):
        if types[i].dtype.itemsize < 4:
            wide = array_type((), np.dtype(np.int32))
            names[i] = emitter.op(f"stablehlo.convert {names[i]}", [types[i]], wide)
            types[i] = wide
    return names, types


DYNAMIC_UPDATE_SLICE = DynamicUpdateSlice()


def _check_starts(what: str, x: ArrayType, starts: Sequence[ArrayType]) -> None:
    if len(starts) != x.ndim:
        raise FunctransTypeError(f"{what}: {len(starts)} start indices given for an array of shape {x.shape}")
    for t in starts:
        if t.shape or kind_of(t.dtype) not in "iu":
            raise FunctransTypeError(f"{what}: start indices must be integer scalars, got {t}")
        if t.dtype != starts[0].dtype:
            names = ", ".join(map(str, starts))
            raise FunctransTypeError(f"{what}: start indices must have one dtype, got {names}")


def _window(shape: Axes, starts: Sequence[Any], sizes: Axes) -> tuple[slice, ...]:
    moved = [max(0, min(int(i), n - s)) for i, n, s in zip(starts, shape, sizes, strict=True)]
    return tuple(slice(i, i + s) for i, s in zip(moved, sizes, strict=True))


def _zero_like(starts: Sequence[Any]) -> Literal:
    return scalar_literal(0, type_of(starts[0]).dtype if starts else np.dtype(np.int32))


def _index_vectors(
    size: int, starts: Sequence[Any], mapped: Sequence[bool], shape: Axes, sizes: Axes
) -> tuple[Axes, Any]:
    """The axes whose start matters and the start indices along them: (axes, [size, len(axes)])."""
    axes = tuple([a for a, (n, s) in enumerate(zip(shape, sizes, strict=True)) if n != s])
    dtype = type_of(starts[0]).dtype
    if not axes:  # whole windows: they all start at 0
        return (), full((size, 0), 0, dtype)
    columns = [broadcast_in_dim(starts[a], (size, 1), (0,) if mapped[a] else ()) for a in axes]
    return axes, concatenate(columns, 1)


# -- functions ---------------------------------------------------------------------------------------------------------


def _start_operands(what: str, shape: Axes, start_indices: Any, negative: bool | Sequence[bool]) -> list[Any]:
    """Scalars of one integer dtype; a negative one counts from the end where ``negative`` says so, as in JAX."""
    from_end = [negative] * len(shape) if isinstance(negative, bool) else list(negative)
    if hasattr(start_indices, "shape") and len(start_indices.shape) == 1:
        if start_indices.shape[0] != len(shape):
            raise FunctransTypeError(
                f"{what}: {start_indices.shape[0]} start indices given for an array of shape {shape}"
            )
        if isinstance(start_indices, Tracer):
            indices = [reshape(slice_(start_indices, (i,), (i + 1,)), ()) for i in range(len(shape))]
        else:
            indices = list(np.asarray(start_indices))
    else:
        indices = list(start_indices)
    if len(indices) != len(shape):
        raise FunctransTypeError(f"{what}: {len(indices)} start indices given for an array of shape {shape}")
    types = [type_of(i) for i in indices]
    strong = [t.dtype for t in types if not t.weak_type]
    dtype = next((d for d in strong if d.itemsize >= max(e.itemsize for e in strong)), np.dtype(np.int32))
    if dtype.itemsize < 4:
        dtype = np.dtype(np.int32)  # a start counted from the end may not fit
    out: list[Any] = []
    for i, t, n, wraps in zip(indices, types, shape, from_end, strict=True):
        if kind_of(t.dtype) not in "iu":
            raise FunctransTypeError(f"{what}: start indices must be integers, got {t}")
        if isinstance(i, int | np.integer):
            value = int(i)
            value = value + n if value < 0 and wraps else value
            out.append(scalar_literal(max(0, min(value, n)), dtype))
            continue
        i = convert(i, dtype)
        out.append(i if dtype.kind == "u" or not wraps else select(lt(i, 0), add(i, n), i))
    return out


def dynamic_slice(
    operand: Any,
    start_indices: Any,
    slice_sizes: Sequence[int],
    *,
    allow_negative_indices: bool | Sequence[bool] = True,
) -> Any:
    """The window of ``slice_sizes`` at ``start_indices``, moved inside the operand where it would stick out."""
    shape = type_of(operand).shape
    starts = _start_operands("dynamic_slice", shape, start_indices, allow_negative_indices)
    return bind(DynamicSlice(tuple(map(index, slice_sizes))), operand, *starts)


def dynamic_update_slice(
    operand: Any, update: Any, start_indices: Any, *, allow_negative_indices: bool | Sequence[bool] = True
) -> Any:
    """The operand with ``update`` written at ``start_indices``, moved inside the operand where it would stick out."""
    shape = type_of(operand).shape
    starts = _start_operands("dynamic_update_slice", shape, start_indices, allow_negative_indices)
    return bind(DYNAMIC_UPDATE_SLICE, operand, update, *starts)
