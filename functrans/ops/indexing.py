"""Gather and scatter: windows of an array taken from, or written to, places that are values of the program.

Dimension numbers, modes and flags are those of ``jax.lax``. vmap adds a batching dimension to the same operation, so
indexing under vmap stays one gather. ``gather`` and ``scatter_add`` are each other's transpose.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.program import Literal
from functrans.ir.types import ArrayType, array_type, is_differentiable, type_of
from functrans.ops.elementwise import add, div, kind_of, mul
from functrans.ops.logic import eq, select
from functrans.ops.structural import Axes, Names, Types, convert, full, iota, reshape, spread, zeros_like
from functrans.trace.builder import bind
from functrans.trace.primitive import Primitive, is_linear


class GatherDimensionNumbers(NamedTuple):
    """Which axes of operand, indices and result a gather pairs (the meaning is that of StableHLO)."""

    offset_dims: Axes
    collapsed_slice_dims: Axes
    start_index_map: Axes
    operand_batching_dims: Axes = ()
    start_indices_batching_dims: Axes = ()


class ScatterDimensionNumbers(NamedTuple):
    """Which axes of operand, indices and updates a scatter pairs (the meaning is that of StableHLO)."""

    update_window_dims: Axes
    inserted_window_dims: Axes
    scatter_dims_to_operand_dims: Axes
    operand_batching_dims: Axes = ()
    scatter_indices_batching_dims: Axes = ()


class GatherScatterMode(enum.Enum):
    """What happens to a window that does not fit: moved inside, filled or dropped, or promised not to happen."""

    CLIP = "clip"
    FILL_OR_DROP = "fill"
    PROMISE_IN_BOUNDS = "promise_in_bounds"

    @staticmethod
    def from_any(mode: Any) -> GatherScatterMode:
        """From a mode of functrans or JAX, a string ('clip', 'fill', 'drop', 'promise_in_bounds') or None (fill)."""
        if mode is None:
            return GatherScatterMode.FILL_OR_DROP
        name = mode.upper() if isinstance(mode, str) else getattr(mode, "name", "")
        name = {"FILL": "FILL_OR_DROP", "DROP": "FILL_OR_DROP"}.get(name, name)
        if name not in GatherScatterMode.__members__:
            raise FunctransValueError(
                f"unknown mode {mode!r} for indices out of bounds: use 'clip', 'fill', 'drop' or 'promise_in_bounds'"
            )
        return GatherScatterMode[name]


_CLIP, _FILL = "clip", "fill"


def _shifted(axes: Axes) -> Axes:
    return tuple([a + 1 for a in axes])


def _kept(ndim: int, *dropped: Axes) -> list[int]:
    gone = {a for axes in dropped for a in axes}
    return [d for d in range(ndim) if d not in gone]


def default_fill(dtype: np.dtype[Any]) -> Any:
    """What a gather gives for a window out of bounds: NaN, the least integer, the largest unsigned integer, True."""
    if is_differentiable(dtype):
        return float("nan")
    kind = kind_of(dtype)
    return True if kind == "b" else int(np.iinfo(dtype).min) if kind == "i" else int(np.iinfo(dtype).max)


class Gather(Primitive):
    """The windows of ``slice_sizes`` that start at the index vectors along the last axis of the second operand."""

    dimension_numbers: GatherDimensionNumbers
    slice_sizes: Axes
    mode: str
    indices_are_sorted: bool = False
    unique_indices: bool = False
    fill_value: Any = None

    def infer(self, x: ArrayType, indices: ArrayType) -> ArrayType:
        d = self.dimension_numbers
        _check_indices("gather", indices, d.start_index_map, d.operand_batching_dims, d.start_indices_batching_dims)
        if len(self.slice_sizes) != x.ndim or any(
            not 0 <= s <= n for s, n in zip(self.slice_sizes, x.shape, strict=True)
        ):
            raise FunctransTypeError(
                f"gather: slice_sizes {self.slice_sizes} do not fit in an operand of shape {x.shape}"
            )
        gone = (*d.collapsed_slice_dims, *d.operand_batching_dims)
        if any(self.slice_sizes[a] > 1 for a in gone):
            raise FunctransTypeError(f"gather: collapsed axes {gone} must have slice size 1, got {self.slice_sizes}")
        window = [self.slice_sizes[a] for a in _kept(x.ndim, gone)]
        if len(window) != len(d.offset_dims):
            raise FunctransTypeError(f"gather: offset_dims {d.offset_dims} must name {len(window)} axes of the result")
        return array_type(_interleave(indices.shape[:-1], d.offset_dims, window), x.dtype, x.weak_type)

    def impl(self, x: Any, indices: Any) -> Any:
        x, indices = np.asarray(x), np.asarray(indices)
        d = self.dimension_numbers
        out = np.empty(self.infer(type_of(x), type_of(indices)).shape, x.dtype)
        windows = _windows(
            x.shape,
            indices,
            self.slice_sizes,
            d.start_index_map,
            d.operand_batching_dims,
            d.start_indices_batching_dims,
        )
        gone = (*d.collapsed_slice_dims, *d.operand_batching_dims)
        for place, start, inside in windows:
            at: tuple[Any, ...] = tuple(_interleave(place, d.offset_dims, [slice(None)] * len(d.offset_dims)))
            if self.mode == _FILL and not inside:
                out[at] = self.fill_value
            else:
                out[at] = np.squeeze(
                    x[tuple(slice(s, s + n) for s, n in zip(start, self.slice_sizes, strict=True))], gone
                )
        return out

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        out = bind(self, *primals)
        return out, bind(self._of_tangents(), tangents[0], primals[1])

    def _of_tangents(self) -> Gather:
        if self.mode != _FILL or self.fill_value == 0:
            return self
        return Gather(
            self.dimension_numbers, self.slice_sizes, self.mode, self.indices_are_sorted, self.unique_indices, 0
        )

    def transpose(self, cotangent: Any, x: Any, indices: Any) -> Sequence[Any]:
        d = self.dimension_numbers
        dims = ScatterDimensionNumbers(
            d.offset_dims,
            d.collapsed_slice_dims,
            d.start_index_map,
            d.operand_batching_dims,
            d.start_indices_batching_dims,
        )
        op = ScatterAdd(dims, self.mode, self.indices_are_sorted, self.unique_indices)
        return [bind(op, zeros_like(x), indices, cotangent), None]

    def batch(self, size: int, operands: Sequence[Any], mapped: Sequence[bool]) -> tuple[Any, Any]:
        x, indices = operands
        d = self.dimension_numbers
        sizes, is_sorted = self.slice_sizes, self.indices_are_sorted
        if not mapped[0]:  # more windows of the same operand
            d = d._replace(
                offset_dims=_shifted(d.offset_dims), start_indices_batching_dims=_shifted(d.start_indices_batching_dims)
            )
            is_sorted = False
        else:
            d = d._replace(
                collapsed_slice_dims=_shifted(d.collapsed_slice_dims),
                start_index_map=_shifted(d.start_index_map),
                operand_batching_dims=_shifted(d.operand_batching_dims),
            )
            if mapped[1]:
                is_sorted = False
                sizes = (min(size, 1), *sizes)
                d = d._replace(
                    offset_dims=_shifted(d.offset_dims),
                    operand_batching_dims=(0, *d.operand_batching_dims),
                    start_indices_batching_dims=(0, *_shifted(d.start_indices_batching_dims)),
                )
            else:  # wider windows
                sizes = (size, *sizes)
                d = d._replace(offset_dims=(0, *_shifted(d.offset_dims)))
        return bind(
            Gather(d, sizes, self.mode, is_sorted, self.unique_indices and mapped[0], self.fill_value), x, indices
        ), True

    def lower(self, emitter: Any, operands: Names, in_types: Types, out_types: Types) -> Any:
        d = self.dimension_numbers
        x_type, out_type = in_types[0], out_types[0]
        indices, index_type = _signed(emitter, operands[1], in_types[1], self.mode)
        if out_type.size == 0:
            return emitter.splat(0, out_type)
        text = (
            f"#stablehlo.gather<offset_dims = {list(d.offset_dims)}, "
            f"collapsed_slice_dims = {list(d.collapsed_slice_dims)}, "
            f"operand_batching_dims = {list(d.operand_batching_dims)}, "
            f"start_indices_batching_dims = {list(d.start_indices_batching_dims)}, "
            f"start_index_map = {list(d.start_index_map)}, index_vector_dim = {index_type.ndim - 1}>"
        )
        out = emitter.op(
            f'"stablehlo.gather"({operands[0]}, {indices}) <{{dimension_numbers = {text}, '
            f"indices_are_sorted = {_flag(self.indices_are_sorted)}, "
            f"slice_sizes = {emitter.indices(self.slice_sizes)}}}>",
            [x_type, index_type],
            out_type,
        )
        if self.mode != _FILL or not d.start_index_map:
            return out
        inside, inside_type = _in_bounds(
            emitter, indices, index_type, [x_type.shape[a] - self.slice_sizes[a] for a in d.start_index_map]
        )
        mask_type = array_type(out_type.shape, np.dtype(np.bool_))
        if mask_type.shape:
            dims = _kept(out_type.ndim, d.offset_dims)
            inside = emitter.op(f"stablehlo.broadcast_in_dim {inside}, dims = {dims}", [inside_type], mask_type)
        return emitter.select(inside, out, emitter.splat(self.fill_value, out_type), mask_type, out_type)


class _Scatter(Primitive):
    """Operand with the windows at the index vectors combined with (or replaced by) the updates."""

    dimension_numbers: ScatterDimensionNumbers
    mode: str
    indices_are_sorted: bool = False
    unique_indices: bool = False
    combine: ClassVar[str] = ""
    reference: ClassVar[Callable[..., Any]]

    def infer(self, x: ArrayType, indices: ArrayType, updates: ArrayType) -> ArrayType:
        d = self.dimension_numbers
        _check_indices(
            self.name, indices, d.scatter_dims_to_operand_dims, d.operand_batching_dims, d.scatter_indices_batching_dims
        )
        if x.dtype != updates.dtype:
            raise FunctransTypeError(f"{self.name}: operand {x} and updates {updates} must have one dtype")
        kept = _kept(x.ndim, d.inserted_window_dims, d.operand_batching_dims)
        if len(kept) != len(d.update_window_dims) or len(d.update_window_dims) + indices.ndim - 1 != updates.ndim:
            raise FunctransTypeError(
                f"{self.name}: updates {updates.shape} with window axes {d.update_window_dims} do not fit indices "
                f"of shape {indices.shape} and an operand of shape {x.shape}"
            )
        window = [updates.shape[w] for w in d.update_window_dims]
        if any(n > x.shape[a] for n, a in zip(window, kept, strict=True)):
            raise FunctransTypeError(
                f"{self.name}: windows of shape {window} do not fit in an operand of shape {x.shape}"
            )
        expected = _interleave(indices.shape[:-1], d.update_window_dims, window)
        if expected != updates.shape:
            raise FunctransTypeError(f"{self.name}: updates have shape {updates.shape}, the indices ask for {expected}")
        return x

    def window_sizes(self, x: Any, updates: Any) -> Axes:
        """The size of an update's window along each axis of the operand."""
        d = self.dimension_numbers
        sizes = iter(updates.shape[w] for w in d.update_window_dims)
        gone = {*d.inserted_window_dims, *d.operand_batching_dims}
        return tuple([min(1, x.shape[a]) if a in gone else next(sizes) for a in range(len(x.shape))])

    def impl(self, x: Any, indices: Any, updates: Any) -> Any:
        out, indices, updates = np.array(x), np.asarray(indices), np.asarray(updates)
        d = self.dimension_numbers
        sizes = self.window_sizes(out, updates)
        gone = (*d.inserted_window_dims, *d.operand_batching_dims)
        windows = _windows(
            out.shape,
            indices,
            sizes,
            d.scatter_dims_to_operand_dims,
            d.operand_batching_dims,
            d.scatter_indices_batching_dims,
        )
        for place, start, inside in windows:
            if self.mode != _CLIP and not inside:
                continue
            at: tuple[Any, ...] = tuple(
                _interleave(place, d.update_window_dims, [slice(None)] * len(d.update_window_dims))
            )
            target = tuple(slice(s, s + n) for s, n in zip(start, sizes, strict=True))
            update = np.expand_dims(updates[at], tuple(sorted(gone)))
            out[target] = type(self).reference(out[target], update)
        return out

    def gather_back(self, x: Any, updates: Any) -> Gather:
        """The gather that reads what this scatter wrote."""
        d = self.dimension_numbers
        dims = GatherDimensionNumbers(
            d.update_window_dims, d.inserted_window_dims, d.scatter_dims_to_operand_dims, d.operand_batching_dims,
            d.scatter_indices_batching_dims,
        )  # fmt: skip
        fill = 0 if self.mode == _FILL else None
        return Gather(
            dims, self.window_sizes(x, updates), self.mode, self.indices_are_sorted, self.unique_indices, fill
        )

    def writes_once(self, indices: Any) -> bool:
        """Whether no element is written twice: promised, or there is one window only."""
        batching = self.dimension_numbers.scatter_indices_batching_dims
        windows = math.prod(n for i, n in enumerate(indices.shape[:-1]) if i not in batching)
        return self.unique_indices or windows <= 1

    def with_op(self, kind: type[_Scatter], unique: bool | None = None) -> _Scatter:
        """The same indexing with another way to combine."""
        return kind(
            self.dimension_numbers,
            self.mode,
            self.indices_are_sorted,
            self.unique_indices if unique is None else unique,
        )

    def batch(self, size: int, operands: Sequence[Any], mapped: Sequence[bool]) -> tuple[Any, Any]:
        x, indices, updates = operands
        x = x if mapped[0] else spread(x, size)
        updates = updates if mapped[2] else spread(updates, size)
        d = self.dimension_numbers
        d = ScatterDimensionNumbers(
            _shifted(d.update_window_dims), _shifted(d.inserted_window_dims), _shifted(d.scatter_dims_to_operand_dims),
            _shifted(d.operand_batching_dims), d.scatter_indices_batching_dims,
        )  # fmt: skip
        is_sorted = self.indices_are_sorted and not mapped[1]
        if mapped[1]:
            d = d._replace(
                operand_batching_dims=(0, *d.operand_batching_dims),
                scatter_indices_batching_dims=(0, *_shifted(d.scatter_indices_batching_dims)),
            )
        else:
            d = d._replace(update_window_dims=(0, *d.update_window_dims))
        return bind(type(self)(d, self.mode, is_sorted, self.unique_indices), x, indices, updates), True

    def lower(self, emitter: Any, operands: Names, in_types: Types, out_types: Types) -> Any:
        d = self.dimension_numbers
        x_type, _, update_type = in_types
        if update_type.size == 0:
            return operands[0]
        indices, index_type = _signed(emitter, operands[1], in_types[1], self.mode)
        if self.mode == _CLIP and d.scatter_dims_to_operand_dims:
            sizes = self.window_sizes(x_type, update_type)
            bounds = [x_type.shape[a] - sizes[a] for a in d.scatter_dims_to_operand_dims]
            top = _bounds(emitter, bounds, index_type)
            indices = emitter.op(
                f"stablehlo.clamp {emitter.splat(0, index_type)}, {indices}, {top}", [index_type] * 3, index_type
            )
        scalar = array_type((), x_type.dtype)

        def body(names: list[str]) -> list[str]:
            return [self._combined(emitter, names, scalar)]

        region = emitter.region([scalar, scalar], body, [scalar])
        text = (
            f"#stablehlo.scatter<update_window_dims = {list(d.update_window_dims)}, "
            f"inserted_window_dims = {list(d.inserted_window_dims)}, "
            f"input_batching_dims = {list(d.operand_batching_dims)}, "
            f"scatter_indices_batching_dims = {list(d.scatter_indices_batching_dims)}, "
            f"scatter_dims_to_operand_dims = {list(d.scatter_dims_to_operand_dims)}, "
            f"index_vector_dim = {index_type.ndim - 1}>"
        )
        return emitter.op(
            f'"stablehlo.scatter"({operands[0]}, {indices}, {operands[2]}) <{{'
            f"indices_are_sorted = {_flag(self.indices_are_sorted)}, scatter_dimension_numbers = {text}, "
            f"unique_indices = {_flag(self.unique_indices)}}}> ({region})",
            [x_type, index_type, update_type],
            out_types[0],
        )

    def _combined(self, emitter: Any, names: list[str], scalar: ArrayType) -> str:
        return emitter.elementwise(self.combine, names, [scalar, scalar], scalar)  # type: ignore[no-any-return]


class ScatterAdd(_Scatter):
    """Updates are added to the operand: linear in both."""

    combine = "add"

    @staticmethod
    def reference(old: Any, new: Any) -> Any:
        return old + new

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        x, indices, updates = primals
        out = bind(self, x, indices, updates)
        x_t, _, updates_t = tangents
        if updates_t is None:
            return out, x_t
        return out, bind(self, zeros_like(x) if x_t is None else x_t, indices, updates_t)

    def transpose(self, cotangent: Any, x: Any, indices: Any, updates: Any) -> Sequence[Any]:
        back = bind(self.gather_back(x, updates), cotangent, indices) if is_linear(updates) else None
        return [cotangent if is_linear(x) else None, None, back]


class Scatter(_Scatter):
    """Updates replace elements of the operand; which one wins where several meet is not specified."""

    @staticmethod
    def reference(old: Any, new: Any) -> Any:
        return new

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        x, indices, updates = primals
        x_t, _, updates_t = tangents
        out = bind(self, x, indices, updates)
        x_t = zeros_like(x) if x_t is None else x_t
        updates_t = zeros_like(updates) if updates_t is None else updates_t
        if self.writes_once(indices):
            return out, bind(self.with_op(Scatter, True), x_t, indices, updates_t)
        # Number the updates and scatter the numbers: they tell which update won at each element.
        number = np.dtype(np.int32 if math.prod(updates.shape) < 2**31 - 1 else np.int64)
        numbers = _one_based_numbers(updates.shape, number)
        winners = bind(self, full(x.shape, 0, number), indices, numbers)
        won = eq(numbers, bind(self.gather_back(x, updates), winners, indices))
        kept = select(eq(winners, 0), x_t, 0.0)
        return out, bind(self.with_op(ScatterAdd), kept, indices, select(won, updates_t, 0.0))

    def transpose(self, cotangent: Any, x: Any, indices: Any, updates: Any) -> Sequence[Any]:
        x_bar = bind(self, cotangent, indices, zeros_like(updates)) if is_linear(x) else None
        updates_bar = bind(self.gather_back(x, updates), cotangent, indices) if is_linear(updates) else None
        return [x_bar, None, updates_bar]

    def _combined(self, emitter: Any, names: list[str], scalar: ArrayType) -> str:
        return names[1]


class ScatterMul(_Scatter):
    """Updates multiply elements of the operand."""

    combine = "multiply"

    @staticmethod
    def reference(old: Any, new: Any) -> Any:
        return old * new

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        x, indices, updates = primals
        x_t, _, updates_t = tangents
        out = bind(self, x, indices, updates)
        total = None if x_t is None else bind(self, x_t, indices, updates)
        if updates_t is not None:
            if not self.writes_once(indices):
                raise NotImplementedError(
                    "the derivative of scatter_mul by its updates is defined only for unique indices: pass "
                    "unique_indices=True if no element is multiplied twice"
                )
            spreading = bind(self.with_op(ScatterAdd, True), zeros_like(x), indices, updates_t)
            total = mul(spreading, x) if total is None else add(total, mul(spreading, x))
        return out, total

    def transpose(self, cotangent: Any, x: Any, indices: Any, updates: Any) -> Sequence[Any]:
        return [bind(self, cotangent, indices, updates), None, None]


class _ScatterExtremum(_Scatter):
    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        x, indices, updates = primals
        x_t, _, updates_t = tangents
        out = bind(self, x, indices, updates)
        summing = self.with_op(ScatterAdd)
        kept, won = eq(x, out), eq(updates, bind(self.gather_back(x, updates), out, indices))
        count = bind(summing, convert(kept, x.dtype), indices, convert(won, x.dtype))
        x_t = zeros_like(x) if x_t is None else select(kept, x_t, 0.0)
        if updates_t is not None:
            x_t = bind(summing, x_t, indices, select(won, updates_t, 0.0))
        return out, div(x_t, count)  # ties share equally


class ScatterMin(_ScatterExtremum):
    """The smaller of operand and updates; a derivative is shared among ties."""

    combine = "minimum"
    reference = staticmethod(np.minimum)


class ScatterMax(_ScatterExtremum):
    """The larger of operand and updates; a derivative is shared among ties."""

    combine = "maximum"
    reference = staticmethod(np.maximum)


# -- helpers of the rules --------------------------------------------------------------------------------------------


def _interleave(batch: Sequence[Any], window_dims: Axes, window: Sequence[Any]) -> tuple[Any, ...]:
    """``window`` at the axes ``window_dims``, ``batch`` at the others, both in order."""
    rest, inner = iter(batch), iter(window)
    count = len(batch) + len(window)
    if any(not 0 <= d < count for d in window_dims) or list(window_dims) != sorted(set(window_dims)):
        raise FunctransTypeError(f"window axes {window_dims} are not increasing axes of an array of rank {count}")
    return tuple([next(inner) if i in window_dims else next(rest) for i in range(count)])


def _check_indices(what: str, indices: ArrayType, index_map: Axes, batching: Axes, indices_batching: Axes) -> None:
    if kind_of(indices.dtype) not in "iu" or not indices.shape:
        raise FunctransTypeError(f"{what}: indices must be an integer array of rank 1 or more, got {indices}")
    if indices.shape[-1] != len(index_map):
        raise FunctransTypeError(
            f"{what}: the last axis of indices of shape {indices.shape} must have one entry for each of the axes "
            f"{index_map}"
        )
    if len(batching) != len(indices_batching):
        raise FunctransTypeError(f"{what}: batching axes {batching} and {indices_batching} must pair")


def _windows(
    shape: Axes, indices: Any, sizes: Axes, index_map: Axes, batching: Axes, indices_batching: Axes
) -> Iterator[tuple[tuple[int, ...], list[int], bool]]:
    """For the NumPy references: (place among the indices, start moved into bounds, whether it was in bounds)."""
    for place in np.ndindex(indices.shape[:-1]):
        start = [0] * len(shape)
        for k, a in enumerate(index_map):
            start[a] = int(indices[place][k])
        for a, b in zip(batching, indices_batching, strict=True):
            start[a] = place[b]
        moved = [max(0, min(s, n - w)) for s, n, w in zip(start, shape, sizes, strict=True)]
        yield place, moved, moved == start


def _one_based_numbers(shape: Axes, dtype: np.dtype[Any]) -> Any:
    return reshape(add(iota(dtype, math.prod(shape)), 1), shape)


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _signed(emitter: Any, indices: str, type_: ArrayType, mode: str) -> tuple[str, ArrayType]:
    """The indices as signed integers of 32 or 64 bits, so that bounds can be compared."""
    wide = type_.dtype.itemsize == 8
    signed = array_type(type_.shape, np.dtype(np.int64 if wide else np.int32))
    if type_.dtype == signed.dtype:
        return indices, signed
    if mode == _CLIP and type_.dtype.kind == "u" and type_.dtype.itemsize >= 4:
        largest = emitter.splat(2 ** (63 if wide else 31) - 1, type_)
        indices = emitter.elementwise("minimum", [indices, largest], [type_, type_], type_)
    return emitter.op(f"stablehlo.convert {indices}", [type_], signed), signed


def _bounds(emitter: Any, bounds: Sequence[int], type_: ArrayType) -> str:
    """An array of the indices' shape with ``bounds`` along its last axis."""
    if len(set(bounds)) == 1:
        return emitter.splat(bounds[0], type_)  # type: ignore[no-any-return]
    vector = array_type((len(bounds),), type_.dtype)
    name = emitter.raw(f"stablehlo.constant dense<{list(bounds)}> : {emitter.text(vector)}")
    if type_.ndim == 1:
        return name  # type: ignore[no-any-return]
    return emitter.op(f"stablehlo.broadcast_in_dim {name}, dims = [{type_.ndim - 1}]", [vector], type_)  # type: ignore[no-any-return]


def _in_bounds(emitter: Any, indices: str, type_: ArrayType, bounds: Sequence[int]) -> tuple[str, ArrayType]:
    """Whether each window lies inside the operand."""
    mask = array_type(type_.shape, np.dtype(np.bool_))
    low = emitter.op(f"stablehlo.compare GE, {indices}, {emitter.splat(0, type_)}, SIGNED", [type_, type_], mask)
    high = emitter.op(
        f"stablehlo.compare LE, {indices}, {_bounds(emitter, bounds, type_)}, SIGNED", [type_, type_], mask
    )
    both = emitter.elementwise("and", [low, high], [mask, mask], mask)
    out = array_type(type_.shape[:-1], mask.dtype)
    if len(bounds) == 1:
        return emitter.op(f"stablehlo.reshape {both}", [mask], out), out
    return emitter.reduce("and", both, emitter.scalar(True, mask), (type_.ndim - 1,), mask, out), out


# -- functions -------------------------------------------------------------------------------------------------------


def _axes(values: Any) -> Axes:
    return tuple([int(v) for v in values])


def _gather_numbers(d: Any) -> GatherDimensionNumbers:
    return GatherDimensionNumbers(
        _axes(d.offset_dims), _axes(d.collapsed_slice_dims), _axes(d.start_index_map),
        _axes(getattr(d, "operand_batching_dims", ())), _axes(getattr(d, "start_indices_batching_dims", ())),
    )  # fmt: skip


def _scatter_numbers(d: Any) -> ScatterDimensionNumbers:
    return ScatterDimensionNumbers(
        _axes(d.update_window_dims), _axes(d.inserted_window_dims), _axes(d.scatter_dims_to_operand_dims),
        _axes(getattr(d, "operand_batching_dims", ())), _axes(getattr(d, "scatter_indices_batching_dims", ())),
    )  # fmt: skip


def _literal_to_array(x: Any) -> Any:
    return full((), x.value, x.type.dtype) if type(x) is Literal else x


def gather(
    operand: Any, start_indices: Any, dimension_numbers: Any, slice_sizes: Sequence[int], *,
    unique_indices: bool = False, indices_are_sorted: bool = False, mode: Any = None, fill_value: Any = None,
) -> Any:  # fmt: skip
    """The windows of ``operand`` that start at the index vectors along the last axis of ``start_indices``."""
    how = GatherScatterMode.from_any(mode).value
    if how == _FILL:
        if fill_value is None:
            fill_value = default_fill(type_of(operand).dtype)
        elif isinstance(fill_value, np.generic | np.ndarray):
            fill_value = fill_value.item()
    else:
        fill_value = None
    op = Gather(
        _gather_numbers(dimension_numbers),
        _axes(slice_sizes),
        how,
        bool(indices_are_sorted),
        bool(unique_indices),
        fill_value,
    )
    return bind(op, operand, start_indices)


def _scatter_with(kind: type[_Scatter]) -> Callable[..., Any]:
    def scatter_function(
        operand: Any, scatter_indices: Any, updates: Any, dimension_numbers: Any, *, indices_are_sorted: bool = False,
        unique_indices: bool = False, mode: Any = None,
    ) -> Any:  # fmt: skip
        op = kind(
            _scatter_numbers(dimension_numbers), GatherScatterMode.from_any(mode).value, bool(indices_are_sorted),
            bool(unique_indices),
        )  # fmt: skip
        return bind(op, operand, scatter_indices, _literal_to_array(updates))

    scatter_function.__doc__ = kind.__doc__
    return scatter_function


scatter = _scatter_with(Scatter)
scatter_add = _scatter_with(ScatterAdd)
scatter_mul = _scatter_with(ScatterMul)
scatter_min = _scatter_with(ScatterMin)
scatter_max = _scatter_with(ScatterMax)

__all__ = [
    "Gather", "GatherDimensionNumbers", "GatherScatterMode", "Scatter", "ScatterAdd", "ScatterDimensionNumbers",
    "ScatterMax", "ScatterMin", "ScatterMul", "gather", "scatter", "scatter_add", "scatter_max",
    "scatter_min", "scatter_mul",
]  # fmt: skip
