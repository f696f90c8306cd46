"""Gather and scatter: windows of an array taken from, or written to, places that are values of the program.

Dimension numbers, modes and flags are those of ``jax.lax``. vmap adds a batching dimension to the same operation, so
indexing under vmap stays one gather. ``gather`` and ``scatter_add`` are each other's transpose.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import ml_dtypes
import numpy as np

from functrans.errors import FunctransOverflowError, FunctransTypeError
from functrans.ir.program import Literal
from functrans.ir.types import ArrayType, array_type, kind_of, short_dtype, type_of
from functrans.ops.elementwise import add
from functrans.ops.logic import choose, eq, select
from functrans.ops.structural import Axes, convert, full, iota, reshape, spread, zeros_like
from functrans.ops.windows import (
    CLIP,
    FILL,
    GatherDimensionNumbers,
    GatherScatterMode,
    ScatterDimensionNumbers,
    axes_of,
    check_indices,
    default_fill,
    flag,
    gather_numbers,
    in_bounds,
    index_bounds,
    interleave,
    kept,
    scatter_numbers,
    shifted,
    signed_indices,
    window_positions,
    windows,
)
from functrans.trace.binding import bind
from functrans.trace.detection import Detection, Entry
from functrans.trace.emitter import EmitterProtocol, Names, Types
from functrans.trace.primitive import Fusion, Lanes, Primitive, Tangent, Value, is_linear


def _check_places(what: str, name: str, axes: Axes, rank: int) -> None:
    if any(not 0 <= a < rank for a in axes) or any(a >= b for a, b in itertools.pairwise(axes)):
        raise FunctransTypeError(f"{what}: {name} {axes} must ascend within the {rank} axes that there are")


class Gather(Primitive):
    """The windows of ``slice_sizes`` that start at the index vectors along the last axis of the second operand."""

    moves = True
    fusion = Fusion.MOVING
    dimension_numbers: GatherDimensionNumbers
    slice_sizes: Axes
    mode: str
    indices_are_sorted: bool = False
    unique_indices: bool = False
    fill_value: Any = None

    def infer(self, x: ArrayType, indices: ArrayType) -> ArrayType:
        d = self.dimension_numbers
        check_indices(
            "gather", x, indices, d.start_index_map, d.collapsed_slice_dims, d.operand_batching_dims,
            d.start_indices_batching_dims,
        )  # fmt: skip
        if len(self.slice_sizes) != x.ndim or any(
            not 0 <= s <= n for s, n in zip(self.slice_sizes, x.shape, strict=True)
        ):
            raise FunctransTypeError(
                f"gather: slice_sizes {self.slice_sizes} do not fit in an operand of shape {x.shape}"
            )
        gone = (*d.collapsed_slice_dims, *d.operand_batching_dims)
        if any(self.slice_sizes[a] > 1 for a in gone):
            raise FunctransTypeError(f"gather: collapsed axes {gone} must have slice size 1, got {self.slice_sizes}")
        window = [self.slice_sizes[a] for a in kept(x.ndim, gone)]
        if len(window) != len(d.offset_dims):
            raise FunctransTypeError(f"gather: offset_dims {d.offset_dims} must name {len(window)} axes of the result")
        _check_places("gather", "offset_dims", d.offset_dims, indices.ndim - 1 + len(window))
        if self.mode == FILL and isinstance(self.fill_value, int) and kind_of(x.dtype) in "iu":
            limits = ml_dtypes.iinfo(x.dtype)  # type: ignore[no-untyped-call]
            if not int(limits.min) <= self.fill_value <= int(limits.max):
                raise FunctransOverflowError(
                    f"gather: fill_value={self.fill_value} does not fit in an operand {short_dtype(x.dtype)}"
                )
        return array_type(interleave(indices.shape[:-1], d.offset_dims, window), x.dtype, x.weak_type)

    def apart(self, axes: Sequence[int | None], types: Sequence[ArrayType]) -> int | None:
        axis, d = axes[0], self.dimension_numbers
        gone = (*d.collapsed_slice_dims, *d.operand_batching_dims)
        if axis is None or axes[1] is not None or axis in (*gone, *d.start_index_map):
            return None
        if self.slice_sizes[axis] != types[0].shape[axis]:
            return None
        return d.offset_dims[list(kept(types[0].ndim, gone)).index(axis)]

    def impl(self, x: Any, indices: Any) -> Any:
        x, indices = np.asarray(x), np.asarray(indices)
        d = self.dimension_numbers
        if not x.size:
            return np.full(self.infer(type_of(x), type_of(indices)).shape, self.empty_value(), x.dtype)
        positions, inside = self._positions(x.shape, indices)
        found = np.asarray(x).ravel()[positions]
        if self.mode == FILL and not inside.all():
            found[~inside] = self.fill_value
        count = inside.ndim
        found = np.squeeze(found, tuple([count + a for a in (*d.collapsed_slice_dims, *d.operand_batching_dims)]))
        return np.moveaxis(found, range(count, found.ndim), d.offset_dims)

    def _positions(self, shape: Axes, indices: Any) -> tuple[Any, Any]:
        d = self.dimension_numbers
        return window_positions(
            shape, indices, self.slice_sizes, d.start_index_map, d.operand_batching_dims, d.start_indices_batching_dims
        )

    def moving(self, count: int) -> Sequence[int]:
        return (0,)

    def over_numbers(self) -> Gather:
        return self._of_tangents()

    def sparsity(self, detection: Detection, operands: Sequence[Entry], types: Types) -> Any:
        x, indices = operands
        if indices.value() is not None:
            return super().sparsity(detection, operands, types)
        d, taking = self.dimension_numbers, self.over_numbers()
        found = indices.choices() if len(d.start_index_map) == 1 else None
        if found is not None:
            def taken(where: Any) -> Any:
                return detection.renumbered(x.sets, lambda numbers: taking.impl(numbers, where))

            return detection.union(*[taken(found[..., k]) for k in range(found.shape[-1])])
        # Somewhere along the axes on which windows move; at its own place along those that pair with the indices' axes.
        anywhere = [a for a in d.start_index_map if x.shape[a] != self.slice_sizes[a]]
        if anywhere:
            detection.assume(self)
        zeros = np.zeros(indices.shape, np.int64)
        mixed = detection.mixed(x.sets, anywhere)
        return detection.renumbered(mixed, lambda numbers: taking.impl(numbers, zeros))

    def empty_value(self) -> Any:
        """What windows of an operand without elements hold."""
        return self.fill_value if self.mode == FILL else 0

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        out = bind(self, *primals)
        return out, bind(self._of_tangents(), tangents[0], primals[1])

    def _of_tangents(self) -> Gather:
        if self.mode != FILL or self.fill_value == 0:
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

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Any]:
        x, indices = operands
        d = self.dimension_numbers
        sizes, is_sorted = self.slice_sizes, self.indices_are_sorted
        if not mapped[0]:  # more windows of the same operand
            d = d._replace(
                offset_dims=shifted(d.offset_dims), start_indices_batching_dims=shifted(d.start_indices_batching_dims)
            )
            is_sorted = False
        else:
            d = d._replace(
                collapsed_slice_dims=shifted(d.collapsed_slice_dims),
                start_index_map=shifted(d.start_index_map),
                operand_batching_dims=shifted(d.operand_batching_dims),
            )
            if mapped[1]:
                is_sorted = False
                sizes = (min(lanes.size, 1), *sizes)
                d = d._replace(
                    offset_dims=shifted(d.offset_dims),
                    operand_batching_dims=(0, *d.operand_batching_dims),
                    start_indices_batching_dims=(0, *shifted(d.start_indices_batching_dims)),
                )
            else:  # wider places
                sizes = (lanes.size, *sizes)
                d = d._replace(offset_dims=(0, *shifted(d.offset_dims)))
        return bind(
            Gather(d, sizes, self.mode, is_sorted, self.unique_indices and mapped[0], self.fill_value), x, indices
        ), True

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        d = self.dimension_numbers
        x_type, out_type = in_types[0], out_types[0]
        indices, index_type = signed_indices(emitter, operands[1], in_types[1], self.mode)
        if out_type.size == 0 or x_type.size == 0:
            return emitter.splat(self.empty_value(), out_type)
        text = (
            f"#stablehlo.gather<offset_dims = {list(d.offset_dims)}, "
            f"collapsed_slice_dims = {list(d.collapsed_slice_dims)}, "
            f"operand_batching_dims = {list(d.operand_batching_dims)}, "
            f"start_indices_batching_dims = {list(d.start_indices_batching_dims)}, "
            f"start_index_map = {list(d.start_index_map)}, index_vector_dim = {index_type.ndim - 1}>"
        )
        out = emitter.op(
            f'"stablehlo.gather"({operands[0]}, {indices}) <{{dimension_numbers = {text}, '
            f"indices_are_sorted = {flag(self.indices_are_sorted)}, "
            f"slice_sizes = {emitter.indices(self.slice_sizes)}}}>",
            [x_type, index_type],
            out_type,
        )
        if self.mode != FILL or not d.start_index_map:
            return out
        inside, inside_type = in_bounds(
            emitter, indices, index_type, [x_type.shape[a] - self.slice_sizes[a] for a in d.start_index_map]
        )
        mask_type = array_type(out_type.shape, np.dtype(np.bool_))
        if mask_type.shape:
            dims = kept(out_type.ndim, d.offset_dims)
            inside = emitter.op(f"stablehlo.broadcast_in_dim {inside}, dims = {dims}", [inside_type], mask_type)
        return emitter.select(inside, out, emitter.splat(self.fill_value, out_type), mask_type, out_type)


class ScatterFamily(Primitive):
    """Operand with the places at the index vectors combined with (or replaced by) the updates."""

    dimension_numbers: ScatterDimensionNumbers
    mode: str
    indices_are_sorted: bool = False
    unique_indices: bool = False
    combine: ClassVar[str] = ""
    reference: ClassVar[Callable[..., Any]]

    def updates(self, in_types: Types) -> bool:
        x, indices, _ = in_types
        return self.mode == FILL and int(np.iinfo(indices.dtype).max) >= max(x.shape, default=0)  # out of bounds

    def run_where(self, mask: Any, operands: Sequence[Any]) -> list[Any]:
        x, indices, updates = operands  # windows out of bounds are dropped
        if indices.dtype.itemsize < 4:  # the largest index of a narrow dtype may lie inside
            indices = convert(indices, np.dtype(np.int32))
        outside = full(indices.shape, int(np.iinfo(indices.dtype).max), indices.dtype)
        return [bind(self, x, choose(mask, indices, outside), updates)]

    def infer(self, x: ArrayType, indices: ArrayType, updates: ArrayType) -> ArrayType:
        d = self.dimension_numbers
        check_indices(
            self.name, x, indices, d.scatter_dims_to_operand_dims, d.inserted_window_dims, d.operand_batching_dims,
            d.scatter_indices_batching_dims,
        )  # fmt: skip
        if x.dtype != updates.dtype:
            raise FunctransTypeError(f"{self.name}: operand {x} and updates {updates} must have one dtype")
        remaining = kept(x.ndim, d.inserted_window_dims, d.operand_batching_dims)
        if len(remaining) != len(d.update_window_dims) or len(d.update_window_dims) + indices.ndim - 1 != updates.ndim:
            raise FunctransTypeError(
                f"{self.name}: updates {updates.shape} with window axes {d.update_window_dims} do not fit indices "
                f"of shape {indices.shape} and an operand of shape {x.shape}"
            )
        _check_places(self.name, "update_window_dims", d.update_window_dims, updates.ndim)
        window = [updates.shape[w] for w in d.update_window_dims]
        if any(n > x.shape[a] for n, a in zip(window, remaining, strict=True)):
            raise FunctransTypeError(
                f"{self.name}: windows of shape {window} do not fit in an operand of shape {x.shape}"
            )
        expected = interleave(indices.shape[:-1], d.update_window_dims, window)
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
        if not out.size:
            return out
        d = self.dimension_numbers
        sizes = self.window_sizes(out, updates)
        gone = (*d.inserted_window_dims, *d.operand_batching_dims)
        places = windows(
            out.shape,
            indices,
            sizes,
            d.scatter_dims_to_operand_dims,
            d.operand_batching_dims,
            d.scatter_indices_batching_dims,
        )
        for place, start, inside in places:
            if self.mode != CLIP and not inside:
                continue
            at: tuple[Any, ...] = tuple(
                interleave(place, d.update_window_dims, [slice(None)] * len(d.update_window_dims))
            )
            target = tuple(slice(s, s + n) for s, n in zip(start, sizes, strict=True))
            update = np.expand_dims(updates[at], tuple(sorted(gone)))
            out[target] = type(self).reference(out[target], update)
        return out

    def sparsity(self, detection: Detection, operands: Sequence[Entry], types: Types) -> Any:
        """What is written over may stay where several updates may meet."""
        x, indices, updates = operands
        if not x.type.size:
            return None  # windows do not fit, and nothing is written
        known, d = indices.value(), self.dimension_numbers
        sizes, anywhere = self.window_sizes(x, updates), []
        choices = indices.choices() if known is None and len(d.scatter_dims_to_operand_dims) == 1 else None
        if known is not None:
            places = [known]
        elif choices is not None:
            places = [choices[..., k] for k in range(choices.shape[-1])]
        else:
            places = [np.zeros(indices.shape, np.int64)]
            anywhere = [a for a in d.scatter_dims_to_operand_dims if x.shape[a] != sizes[a]]
            detection.assume(self)
        sources = np.arange(updates.type.size).reshape(updates.shape)
        sources = np.moveaxis(sources, d.update_window_dims, range(indices.ndim - 1, sources.ndim))
        pairs = [self._pairs(x.shape, where, sizes, sources) for where in places]
        positions, sources = (np.concatenate(own) for own in zip(*pairs, strict=True))
        sets = detection.mixed(detection.collected(updates.sets, positions, sources, x.shape), anywhere)
        return detection.union(self._left(detection, x, positions if known is not None else None), sets)

    def _pairs(self, shape: Axes, where: Any, sizes: Axes, sources: Any) -> tuple[Any, Any]:
        """The flat positions that are written, and of which elements of the updates."""
        d = self.dimension_numbers
        positions, inside = window_positions(
            shape, where, sizes, d.scatter_dims_to_operand_dims, d.operand_batching_dims,
            d.scatter_indices_batching_dims,
        )  # fmt: skip
        sources = sources.reshape(positions.shape)
        if self.mode != CLIP and not inside.all():
            positions, sources = positions[inside], sources[inside]
        return positions.ravel(), sources.ravel()

    def _left(self, detection: Detection, x: Entry, written: Any) -> Any:
        """The operand's sets where they stay; ``written``: the flat positions that are written, None: nobody knows."""
        return x.sets

    def gather_back(self, x: Any, updates: Any) -> Gather:
        """The gather that reads what this scatter wrote."""
        d = self.dimension_numbers
        dims = GatherDimensionNumbers(
            d.update_window_dims, d.inserted_window_dims, d.scatter_dims_to_operand_dims, d.operand_batching_dims,
            d.scatter_indices_batching_dims,
        )  # fmt: skip
        fill = 0 if self.mode == FILL else None
        return Gather(
            dims, self.window_sizes(x, updates), self.mode, self.indices_are_sorted, self.unique_indices, fill
        )

    def destinations(self, types: Sequence[ArrayType], known: Sequence[Any]) -> list[Any] | None:
        (x, _, updates), indices = types, known[1]
        if indices is None or not x.size:
            return None
        numbers = np.arange(x.size).reshape(x.shape)
        back = self.gather_back(x, updates)
        return [numbers, None, np.asarray(back.impl(numbers + 1, indices)) - 1]

    def writes_once(self, indices: Any) -> bool:
        """Whether no element is written twice: promised, or there is one window only."""
        batching = self.dimension_numbers.scatter_indices_batching_dims
        count = math.prod(n for i, n in enumerate(indices.shape[:-1]) if i not in batching)
        return self.unique_indices or count <= 1

    def with_op(self, kind: type[ScatterFamily], unique: bool | None = None) -> ScatterFamily:
        """The same indexing with another way to combine."""
        return kind(
            self.dimension_numbers,
            self.mode,
            self.indices_are_sorted,
            self.unique_indices if unique is None else unique,
        )

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Any]:
        x, indices, updates = operands
        x = x if mapped[0] else spread(x, lanes.size)
        updates = updates if mapped[2] else spread(updates, lanes.size)
        d = self.dimension_numbers
        d = ScatterDimensionNumbers(
            shifted(d.update_window_dims), shifted(d.inserted_window_dims), shifted(d.scatter_dims_to_operand_dims),
            shifted(d.operand_batching_dims), d.scatter_indices_batching_dims,
        )  # fmt: skip
        is_sorted = self.indices_are_sorted and not mapped[1]
        if mapped[1]:
            d = d._replace(
                operand_batching_dims=(0, *d.operand_batching_dims),
                scatter_indices_batching_dims=(0, *shifted(d.scatter_indices_batching_dims)),
            )
        else:
            d = d._replace(update_window_dims=(0, *d.update_window_dims))
        return bind(type(self)(d, self.mode, is_sorted, self.unique_indices), x, indices, updates), True

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        d = self.dimension_numbers
        x_type, _, update_type = in_types
        if update_type.size == 0 or x_type.size == 0:
            return operands[0]
        indices, index_type = signed_indices(emitter, operands[1], in_types[1], self.mode)
        if self.mode == CLIP and d.scatter_dims_to_operand_dims:
            sizes = self.window_sizes(x_type, update_type)
            bounds = [x_type.shape[a] - sizes[a] for a in d.scatter_dims_to_operand_dims]
            top = index_bounds(emitter, bounds, index_type)
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
            f"indices_are_sorted = {flag(self.indices_are_sorted)}, scatter_dimension_numbers = {text}, "
            f"unique_indices = {flag(self.unique_indices)}}}> ({region})",
            [x_type, index_type, update_type],
            out_types[0],
        )

    def _combined(self, emitter: EmitterProtocol, names: list[str], scalar: ArrayType) -> str:
        return emitter.elementwise(self.combine, names, [scalar, scalar], scalar)


class ScatterAdd(ScatterFamily):
    """Updates are added to the operand: linear in both."""

    combine = "add"

    @staticmethod
    def reference(old: Any, new: Any) -> Any:
        return old + new

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        x, indices, updates = primals
        out = bind(self, x, indices, updates)
        x_t, _, updates_t = tangents
        if updates_t is None:
            return out, x_t
        return out, bind(self, zeros_like(x) if x_t is None else x_t, indices, updates_t)

    def transpose(self, cotangent: Any, x: Any, indices: Any, updates: Any) -> Sequence[Any]:
        back = bind(self.gather_back(x, updates), cotangent, indices) if is_linear(updates) else None
        return [cotangent if is_linear(x) else None, None, back]


class Scatter(ScatterFamily):
    """Updates replace elements of the operand; which one wins where several meet is not specified."""

    moves = True

    @staticmethod
    def reference(old: Any, new: Any) -> Any:
        return new

    def _left(self, detection: Detection, x: Entry, written: Any) -> Any:
        if written is None:
            return x.sets

        def without(numbers: Any) -> Any:
            numbers = np.array(numbers)
            numbers.reshape(-1)[written.ravel()] = 0
            return numbers

        return detection.renumbered(x.sets, without)

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
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
        remaining = select(eq(winners, 0), x_t, 0.0)
        return out, bind(self.with_op(ScatterAdd), remaining, indices, select(won, updates_t, 0.0))

    def transpose(self, cotangent: Any, x: Any, indices: Any, updates: Any) -> Sequence[Any]:
        x_bar = bind(self, cotangent, indices, zeros_like(updates)) if is_linear(x) else None
        updates_bar = bind(self.gather_back(x, updates), cotangent, indices) if is_linear(updates) else None
        return [x_bar, None, updates_bar]

    def _combined(self, emitter: EmitterProtocol, names: list[str], scalar: ArrayType) -> str:
        return names[1]


def _one_based_numbers(shape: Axes, dtype: np.dtype[Any]) -> Any:
    return reshape(add(iota(dtype, math.prod(shape)), 1), shape)


# -- functions ---------------------------------------------------------------------------------------------------------


def _literal_to_array(x: Any) -> Any:
    return full((), x.value, x.type.dtype) if type(x) is Literal else x


def gather(
    operand: Any, start_indices: Any, dimension_numbers: Any, slice_sizes: Sequence[int], *,
    unique_indices: bool = False, indices_are_sorted: bool = False, mode: Any = None, fill_value: Any = None,
) -> Any:  # fmt: skip
    """The windows of ``operand`` that start at the index vectors along the last axis of ``start_indices``."""
    how = GatherScatterMode.from_any("promise_in_bounds" if mode is None else mode).value
    if how == FILL:
        if fill_value is None:
            fill_value = default_fill(type_of(operand).dtype)
        elif isinstance(fill_value, np.generic | np.ndarray):
            fill_value = fill_value.item()
    else:
        fill_value = None
    op = Gather(
        gather_numbers(dimension_numbers),
        axes_of(slice_sizes),
        how,
        bool(indices_are_sorted),
        bool(unique_indices),
        fill_value,
    )
    return bind(op, operand, start_indices)


def scatter_with(kind: type[ScatterFamily]) -> Callable[..., Any]:
    def scatter_function(
        operand: Any, scatter_indices: Any, updates: Any, dimension_numbers: Any, *, indices_are_sorted: bool = False,
        unique_indices: bool = False, mode: Any = None,
    ) -> Any:  # fmt: skip
        op = kind(
            scatter_numbers(dimension_numbers), GatherScatterMode.from_any(mode).value, bool(indices_are_sorted),
            bool(unique_indices),
        )  # fmt: skip
        return bind(op, operand, scatter_indices, _literal_to_array(updates))

    scatter_function.__doc__ = kind.__doc__
    return scatter_function


scatter = scatter_with(Scatter)
scatter_add = scatter_with(ScatterAdd)
