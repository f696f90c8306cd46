"""Windows of arrays: dimension numbers, modes and bounds, which gather and scatter share."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import ArrayType, array_type, is_differentiable
from functrans.ops.elementwise import kind_of
from functrans.ops.structural import Axes
from functrans.trace.emitter import EmitterProtocol


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


CLIP, FILL = "clip", "fill"


def shifted(axes: Axes) -> Axes:
    """The axes behind a new axis 0."""
    return tuple([a + 1 for a in axes])


def kept(ndim: int, *dropped: Axes) -> list[int]:
    """The axes that are not dropped."""
    gone = {a for axes in dropped for a in axes}
    return [d for d in range(ndim) if d not in gone]


def default_fill(dtype: np.dtype[Any]) -> Any:
    """What a gather gives for a window out of bounds: NaN, the least integer, the largest unsigned integer, True."""
    if is_differentiable(dtype):
        return float("nan")
    kind = kind_of(dtype)
    if kind == "k":
        dtype = np.dtype(np.uint32)  # of the words of a key
    return True if kind == "b" else int(np.iinfo(dtype).min) if kind == "i" else int(np.iinfo(dtype).max)


def interleave(batch: Sequence[Any], window_dims: Axes, window: Sequence[Any]) -> tuple[Any, ...]:
    """``window`` at the axes ``window_dims``, ``batch`` at the others, both in order."""
    rest, inner = iter(batch), iter(window)
    count = len(batch) + len(window)
    if any(not 0 <= d < count for d in window_dims) or list(window_dims) != sorted(set(window_dims)):
        raise FunctransTypeError(f"window axes {window_dims} are not increasing axes of an array of rank {count}")
    return tuple([next(inner) if i in window_dims else next(rest) for i in range(count)])


def check_indices(
    what: str, x: ArrayType, indices: ArrayType, index_map: Axes, gone: Axes, batching: Axes, indices_batching: Axes
) -> None:
    """What gather and scatter ask alike; ``gone``: the operand's axes that are in no window."""
    for name, axes, rank in (
        ("indexed", (*index_map, *batching), x.ndim), ("collapsed or inserted", (*gone, *batching), x.ndim),
        ("batching", indices_batching, indices.ndim - 1),
    ):  # fmt: skip
        if len(set(axes)) != len(axes) or any(not 0 <= a < rank for a in axes):
            raise FunctransTypeError(
                f"{what}: the {name} axes {axes} must be different ones of 0 to {rank - 1}, for an operand {x} and "
                f"indices {indices}"
            )
    if kind_of(indices.dtype) not in "iu" or not indices.shape:
        raise FunctransTypeError(f"{what}: indices must be an integer array of rank 1 or more, got {indices}")
    if indices.shape[-1] != len(index_map):
        raise FunctransTypeError(
            f"{what}: the last axis of indices of shape {indices.shape} must have one entry for each of the axes "
            f"{index_map}"
        )
    if len(batching) != len(indices_batching):
        raise FunctransTypeError(f"{what}: batching axes {batching} and {indices_batching} must pair")
    if any(x.shape[a] != indices.shape[b] for a, b in zip(batching, indices_batching, strict=True)):
        raise FunctransTypeError(
            f"{what}: batching axes {batching} of {x} and {indices_batching} of {indices} must pair axes of equal size"
        )


def windows(
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


def window_positions(
    shape: Axes, indices: Any, sizes: Axes, index_map: Axes, batching: Axes, indices_batching: Axes
) -> tuple[Any, Any]:
    """For NumPy: the flat positions ``[*places, *sizes]`` in an array of this shape of the elements of each window,
    moved into bounds, and ``[*places]``, whether it was in bounds."""
    indices = np.asarray(indices)
    if indices.dtype.kind == "u":
        indices = np.minimum(indices.astype(np.uint64), np.uint64(np.iinfo(np.int64).max))
    places = indices.shape[:-1]
    starts = np.zeros((*places, len(shape)), np.int64)
    starts[..., list(index_map)] = indices
    for a, b in zip(batching, indices_batching, strict=True):
        starts[..., a] = np.arange(places[b]).reshape([-1 if i == b else 1 for i in range(len(places))])
    moved = np.clip(starts, 0, np.subtract(shape, sizes))
    positions = np.zeros(places, np.int64).reshape((*places, *[1] * len(shape)))
    for a, (n, size) in enumerate(zip(shape, sizes, strict=True)):
        along = moved[..., a].reshape((*places, *[1] * len(shape)))
        positions = positions * n + along + np.arange(size).reshape([-1 if i == a else 1 for i in range(len(shape))])
    return positions, (moved == starts).all(-1)


def flag(value: bool) -> str:
    """A bool as StableHLO writes it."""
    return "true" if value else "false"


def signed_indices(emitter: EmitterProtocol, indices: str, type_: ArrayType, mode: str) -> tuple[str, ArrayType]:
    """The indices as signed integers of 32 or 64 bits, so that bounds can be compared."""
    wide = type_.dtype.itemsize == 8
    signed = array_type(type_.shape, np.dtype(np.int64 if wide else np.int32))
    if type_.dtype == signed.dtype:
        return indices, signed
    if mode == CLIP and type_.dtype.kind == "u" and type_.dtype.itemsize >= 4:
        largest = emitter.splat(2 ** (63 if wide else 31) - 1, type_)
        indices = emitter.elementwise("minimum", [indices, largest], [type_, type_], type_)
    return emitter.op(f"stablehlo.convert {indices}", [type_], signed), signed


def index_bounds(emitter: EmitterProtocol, bounds: Sequence[int], type_: ArrayType) -> str:
    """An array of the indices' shape with ``bounds`` along its last axis."""
    if len(set(bounds)) == 1:
        return emitter.splat(bounds[0], type_)
    vector = array_type((len(bounds),), type_.dtype)
    name = emitter.raw(f"stablehlo.constant dense<{list(bounds)}> : {emitter.text(vector)}")
    if type_.ndim == 1:
        return name
    return emitter.op(f"stablehlo.broadcast_in_dim {name}, dims = [{type_.ndim - 1}]", [vector], type_)


def in_bounds(emitter: EmitterProtocol, indices: str, type_: ArrayType, bounds: Sequence[int]) -> tuple[str, ArrayType]:
    """Whether each window lies inside the operand."""
    mask = array_type(type_.shape, np.dtype(np.bool_))
    low = emitter.op(f"stablehlo.compare GE, {indices}, {emitter.splat(0, type_)}, SIGNED", [type_, type_], mask)
    high = emitter.op(
        f"stablehlo.compare LE, {indices}, {index_bounds(emitter, bounds, type_)}, SIGNED", [type_, type_], mask
    )
    both = emitter.elementwise("and", [low, high], [mask, mask], mask)
    out = array_type(type_.shape[:-1], mask.dtype)
    if len(bounds) == 1:
        return emitter.op(f"stablehlo.reshape {both}", [mask], out), out
    return emitter.reduce("and", both, emitter.scalar(True, mask), (type_.ndim - 1,), mask, out), out


def axes_of(values: Any) -> Axes:
    """Axes, given as any sequence of integers (None: none), as a tuple."""
    return tuple([int(v) for v in values or ()])


def gather_numbers(d: Any) -> GatherDimensionNumbers:
    """Dimension numbers of functrans or JAX as ours."""
    return GatherDimensionNumbers(
        axes_of(d.offset_dims),
        axes_of(d.collapsed_slice_dims),
        axes_of(d.start_index_map),
        axes_of(getattr(d, "operand_batching_dims", ())),
        axes_of(getattr(d, "start_indices_batching_dims", ())),
    )


def scatter_numbers(d: Any) -> ScatterDimensionNumbers:
    """Dimension numbers of functrans or JAX as ours."""
    return ScatterDimensionNumbers(
        axes_of(d.update_window_dims),
        axes_of(d.inserted_window_dims),
        axes_of(d.scatter_dims_to_operand_dims),
        axes_of(getattr(d, "operand_batching_dims", ())),
        axes_of(getattr(d, "scatter_indices_batching_dims", ())),
    )
