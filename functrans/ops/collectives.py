"""Operations that speak of a mapped axis by its name: ``psum``, ``pmax``, ``all_gather``, ``all_to_all`` and others.

Outside of the ``vmap`` that binds the name they are placeholders; that vmap turns them into reductions over axis 0.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import jax
import numpy as np

from functrans.errors import FunctransError, FunctransTypeError, FunctransValueError
from functrans.ir.types import ArrayType, array_type, describe, type_of
from functrans.jaxlib_compat.tracing import mapped_axes
from functrans.ops import elementwise, logic
from functrans.ops.reductions import reduce_max, reduce_min
from functrans.ops.slicing import concatenate, slice_in_dim
from functrans.ops.structural import (
    broadcast_in_dim,
    convert,
    full,
    iota,
    reduce_sum,
    reshape,
    scalar_literal,
    transpose,
)
from functrans.trace.binding import bind
from functrans.trace.frames import here
from functrans.trace.keywords import takes
from functrans.trace.primitive import Lanes, Primitive, Tangent, Value


class UnboundAxisError(FunctransError, NameError):
    """An axis name is used where no vmap binds it."""


def axis_size(axis_name: Any) -> int:
    """The size of a mapped axis (the product of sizes, for a tuple of names): a Python int."""
    if isinstance(axis_name, tuple | list):
        size = 1
        for name in axis_name:
            size *= axis_size(name)
        return size
    try:
        return mapped_axes()[axis_name]
    except (KeyError, TypeError):
        bound = ", ".join(map(repr, mapped_axes())) or "none"
        raise UnboundAxisError(
            f"the axis name {axis_name!r} is not bound (bound here: {bound}), at {here()}\n"
            "Name the axis in the vmap around this call: vmap(f, axis_name=...)."
        ) from None


class _Named(Primitive):
    """An operation that speaks of mapped axes by name; other axes that vmap adds only make its operand larger."""

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Any]:
        if lanes.axis_name in self.axis_names():
            return self.over(lanes, operands, mapped)
        return bind(self.behind(), *operands), True

    def over(self, lanes: Lanes, operands: Sequence[Any], mapped: Sequence[bool]) -> tuple[Any, Any]:
        """As ``batch``, where ``lanes`` is an axis that it speaks of."""
        self.missing("over", "vmap")

    def behind(self) -> Primitive:
        """The operation on an operand with one more axis in front."""
        return self


class _Collective(_Named):
    """One operation over several mapped axes."""

    axes: tuple[Hashable, ...]

    def infer(self, x: ArrayType) -> ArrayType:
        return x

    def impl(self, x: Any) -> Any:
        return x

    def axis_names(self) -> frozenset[Any]:
        return frozenset(self.axes)

    def without(self, name: Any, x: Any) -> Any:
        rest = tuple(a for a in self.axes if a != name)
        return bind(type(self)(rest), x) if rest else x


class Psum(_Collective):
    """The sum over mapped axes: linear, and its own transpose."""

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        return bind(self, primals[0]), bind(self, tangents[0])

    def transpose(self, cotangent: Any, x: Any) -> Sequence[Any]:
        return [bind(self, cotangent)]

    def over(self, lanes: Lanes, operands: Sequence[Any], mapped: Sequence[bool]) -> tuple[Any, Any]:
        x = operands[0]
        total = reduce_sum(x, (0,)) if mapped[0] else elementwise.mul(x, lanes.size)
        return self.without(lanes.axis_name, total), False


class _Extreme(_Collective):
    """The largest or the smallest of the lanes; its derivative is shared by the lanes that have it."""

    def extreme(self, x: Any) -> Any:
        """Over axis 0."""
        self.missing("extreme", "vmap")

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        x = primals[0]
        out = bind(self, x)
        chosen = convert(logic.eq(x, out), x.dtype)
        shared = elementwise.div(elementwise.mul(tangents[0], chosen), bind(Psum(self.axes), chosen))
        return out, bind(Psum(self.axes), shared)

    def over(self, lanes: Lanes, operands: Sequence[Any], mapped: Sequence[bool]) -> tuple[Any, Any]:
        x = operands[0]
        return self.without(lanes.axis_name, self.extreme(x) if mapped[0] else x), False


class Pmax(_Extreme):
    """The maximum over mapped axes."""

    def extreme(self, x: Any) -> Any:
        return reduce_max(x, (0,))


class Pmin(_Extreme):
    """The minimum over mapped axes."""

    def extreme(self, x: Any) -> Any:
        return reduce_min(x, (0,))


class _OverOneAxis(_Named):
    """A linear operation over one mapped axis."""

    axis_name: Hashable

    def infer(self, x: ArrayType) -> ArrayType:
        return x

    def impl(self, x: Any) -> Any:
        return x

    def axis_names(self) -> frozenset[Any]:
        return frozenset([self.axis_name])

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        return bind(self, primals[0]), bind(self, tangents[0])


class Ppermute(_OverOneAxis):
    """Lane ``destination`` gets the value of lane ``source``, for each pair; a lane that gets none has zeros."""

    perm: tuple[tuple[int, int], ...]

    def transpose(self, cotangent: Any, x: Any) -> Sequence[Any]:
        return [bind(Ppermute(self.axis_name, tuple([(to, source) for source, to in self.perm])), cotangent)]

    def over(self, lanes: Lanes, operands: Sequence[Any], mapped: Sequence[bool]) -> tuple[Any, Any]:
        x = operands[0]
        if not mapped[0]:
            if len(self.perm) == lanes.size:
                return x, False
            x = broadcast_in_dim(x, (lanes.size, *x.shape), tuple(range(1, len(x.shape) + 1)))
        if not lanes.size:
            return x, True
        source = {to: origin for origin, to in self.perm}
        rows = [
            slice_in_dim(x, source[to], source[to] + 1)
            if to in source
            else broadcast_in_dim(scalar_literal(0, x.dtype), (1, *x.shape[1:]))
            for to in range(lanes.size)
        ]
        return concatenate(rows, 0) if len(rows) > 1 else rows[0], True


class Pbroadcast(_OverOneAxis):
    """The value of the lane ``source``, for all lanes."""

    source: int

    def transpose(self, cotangent: Any, x: Any) -> Sequence[Any]:
        here = logic.eq(bind(AxisIndex(self.axis_name)), self.source)
        total = bind(Psum((self.axis_name,)), cotangent)
        return [logic.select(broadcast_in_dim(here, x.shape), total, 0)]

    def over(self, lanes: Lanes, operands: Sequence[Any], mapped: Sequence[bool]) -> tuple[Any, Any]:
        x = operands[0]
        if not mapped[0]:
            return x, False
        return reshape(slice_in_dim(x, self.source, self.source + 1), x.shape[1:]), False


class AllToAll(_OverOneAxis):
    """Lane j gets from each lane i the slice j along ``split_axis``, stacked along a new axis ``concat_axis``."""

    size: int
    split_axis: int
    concat_axis: int

    def infer(self, x: ArrayType) -> ArrayType:
        rest = [n for d, n in enumerate(x.shape) if d != self.split_axis]
        rest.insert(self.concat_axis, self.size)
        return array_type(tuple(rest), x.dtype, x.weak_type)

    def impl(self, x: Any) -> Any:
        return np.moveaxis(np.asarray(x), self.split_axis, self.concat_axis)

    def transpose(self, cotangent: Any, x: Any) -> Sequence[Any]:
        return [bind(AllToAll(self.axis_name, self.size, self.concat_axis, self.split_axis), cotangent)]

    def behind(self) -> Primitive:
        return AllToAll(self.axis_name, self.size, self.split_axis + 1, self.concat_axis + 1)

    def over(self, lanes: Lanes, operands: Sequence[Any], mapped: Sequence[bool]) -> tuple[Any, Any]:
        x = operands[0]
        if not mapped[0]:
            x = broadcast_in_dim(x, (lanes.size, *x.shape), tuple(range(1, len(x.shape) + 1)))
        split = self.split_axis + 1
        order = [d for d in range(1, len(x.shape)) if d != split]
        order.insert(self.concat_axis, 0)
        return transpose(x, (split, *order)), True


class AllGather(_OverOneAxis):
    """The values of every lane, along a new axis ``axis`` of size ``size``."""

    size: int
    axis: int

    def infer(self, x: ArrayType) -> ArrayType:
        return array_type((*x.shape[: self.axis], self.size, *x.shape[self.axis :]), x.dtype, x.weak_type)

    def impl(self, x: Any) -> Any:
        return np.stack([x] * self.size, self.axis)

    def transpose(self, cotangent: Any, x: Any) -> Sequence[Any]:
        return [bind(ReduceScatter(self.axis_name, self.size, self.axis), cotangent)]

    def behind(self) -> Primitive:
        return AllGather(self.axis_name, self.size, self.axis + 1)

    def over(self, lanes: Lanes, operands: Sequence[Any], mapped: Sequence[bool]) -> tuple[Any, Any]:
        x = operands[0]
        if mapped[0]:
            order = [*range(1, self.axis + 1), 0, *range(self.axis + 1, x.ndim)]
            return transpose(x, order), False
        kept = tuple(d for d in range(x.ndim + 1) if d != self.axis)
        return broadcast_in_dim(x, self.infer(x.type).shape, kept), False


class ReduceScatter(_OverOneAxis):
    """The sum over the lanes, of which each lane keeps its own slice along ``axis``: the transpose of all_gather."""

    size: int
    axis: int

    def infer(self, x: ArrayType) -> ArrayType:
        return array_type((*x.shape[: self.axis], *x.shape[self.axis + 1 :]), x.dtype, x.weak_type)

    def impl(self, x: Any) -> Any:
        return np.take(x, 0, self.axis)

    def transpose(self, cotangent: Any, x: Any) -> Sequence[Any]:
        return [bind(AllGather(self.axis_name, self.size, self.axis), cotangent)]

    def behind(self) -> Primitive:
        return ReduceScatter(self.axis_name, self.size, self.axis + 1)

    def over(self, lanes: Lanes, operands: Sequence[Any], mapped: Sequence[bool]) -> tuple[Any, Any]:
        x = operands[0]
        total = reduce_sum(x, (0,)) if mapped[0] else elementwise.mul(x, lanes.size)
        rest = [d for d in range(total.ndim) if d != self.axis]
        return transpose(total, (self.axis, *rest)), True


class AxisIndex(_Named):
    """The number of the lane along a mapped axis: int32."""

    axis_name: Hashable

    def infer(self) -> ArrayType:
        return array_type((), np.dtype(np.int32), False)

    def impl(self) -> Any:
        return np.int32(0)

    def axis_names(self) -> frozenset[Any]:
        return frozenset([self.axis_name])

    def over(self, lanes: Lanes, operands: Sequence[Any], mapped: Sequence[bool]) -> tuple[Any, Any]:
        return iota(np.dtype(np.int32), lanes.size), True


def _names(axis_name: Any) -> tuple[Any, ...]:
    names = tuple(axis_name) if isinstance(axis_name, tuple | list) else (axis_name,)
    axis_size(names)
    return names


def _refuse_groups(groups: Any, what: str) -> None:
    if groups is not None:
        raise FunctransTypeError(f"{what}: axis_index_groups is not supported under vmap, got {describe(groups)}")


def _over(op: Callable[..., Any], x: Any, axis_name: Any, groups: Any, what: str) -> Any:
    _refuse_groups(groups, what)
    names = _names(axis_name)
    return jax.tree_util.tree_map(lambda leaf: bind(op(names), leaf), x)


def psum(x: Any, axis_name: Any, *, axis_index_groups: Any = None) -> Any:
    """The sum over one or more mapped axes, for each leaf; of bools how many are true."""
    _refuse_groups(axis_index_groups, "psum")
    names = _names(axis_name)
    size = axis_size(names)

    def total(leaf: Any) -> Any:
        if isinstance(leaf, bool | int | float | complex):
            return full((), leaf * size, np.dtype(np.int32)) if isinstance(leaf, bool) else leaf * size
        return bind(Psum(names), convert(leaf, np.dtype(np.int32)) if type_of(leaf).dtype == np.bool_ else leaf)

    return jax.tree_util.tree_map(total, x)


def pmean(x: Any, axis_name: Any, *, axis_index_groups: Any = None) -> Any:
    """The mean over one or more mapped axes, for each leaf."""
    size = axis_size(axis_name)
    total = psum(x, axis_name, axis_index_groups=axis_index_groups)
    return jax.tree_util.tree_map(lambda leaf: leaf / size, total)


def pmax(x: Any, axis_name: Any, *, axis_index_groups: Any = None) -> Any:
    """The maximum over one or more mapped axes, for each leaf."""
    return _over(Pmax, x, axis_name, axis_index_groups, "pmax")


def pmin(x: Any, axis_name: Any, *, axis_index_groups: Any = None) -> Any:
    """The minimum over one or more mapped axes, for each leaf."""
    return _over(Pmin, x, axis_name, axis_index_groups, "pmin")


@takes(to="varying")
def all_gather(x: Any, axis_name: Any, *, axis_index_groups: Any = None, axis: int = 0, tiled: bool = False) -> Any:
    """The values of every lane along a new axis (an existing one with ``tiled``), for each leaf."""
    _refuse_groups(axis_index_groups, "all_gather")
    names, size = _names(axis_name), axis_size(axis_name)

    def gather(leaf: Any) -> Any:
        place = axis % (np.ndim(leaf) + (0 if tiled else 1))
        out = leaf
        for name in reversed(names):
            out = bind(AllGather(name, axis_size(name), place), out)
        if len(names) != 1:
            shape = np.shape(leaf)
            out = reshape(out, (*shape[:place], size, *shape[place:]))
        if not tiled:
            return out
        shape = np.shape(leaf)
        return reshape(out, (*shape[:place], size * shape[place], *shape[place + 1 :]))

    return jax.tree_util.tree_map(gather, x)


def _one_name(axis_name: Any, what: str) -> Any:
    """The only axis name; a tuple of one is taken for it."""
    names = _names(axis_name)
    if len(names) != 1:
        raise FunctransTypeError(f"{what} takes one axis name, got {names}")
    return names[0]


def ppermute(x: Any, axis_name: Any, perm: Any) -> Any:
    """Each leaf from other lanes: ``perm`` holds pairs (source, destination); a lane that gets none has zeros."""
    name = _one_name(axis_name, "ppermute")
    size = axis_size(name)
    pairs = tuple((int(source), int(to)) for source, to in perm)
    for what, lanes in (("source", [p[0] for p in pairs]), ("destination", [p[1] for p in pairs])):
        if len(set(lanes)) != len(lanes) or any(not 0 <= lane < size for lane in lanes):
            raise FunctransValueError(
                f"ppermute: every {what} must be another lane of the {size} of axis {name!r}, got perm={list(pairs)}, "
                f"at {here()}"
            )
    return jax.tree_util.tree_map(lambda leaf: bind(Ppermute(name, pairs), leaf), x)


def pshuffle(x: Any, axis_name: Any, perm: Any) -> Any:
    """Each leaf in another order of lanes: lane i gets the value of lane ``perm[i]``."""
    sources = [int(source) for source in perm]
    if set(sources) != set(range(len(sources))):
        raise FunctransValueError(f"pshuffle: {sources} is no permutation of 0 ... {len(sources) - 1}, at {here()}")
    return ppermute(x, axis_name, [(source, to) for to, source in enumerate(sources)])


def pbroadcast(x: Any, axis_name: Any, source: int) -> Any:
    """Each leaf from the lane ``source``, for all lanes."""
    name = _one_name(axis_name, "pbroadcast")
    size = axis_size(name)
    if not 0 <= source < size:
        raise FunctransValueError(f"pbroadcast: axis {name!r} has no lane {source}, only {size}, at {here()}")
    return jax.tree_util.tree_map(lambda leaf: bind(Pbroadcast(name, int(source)), leaf), x)


def _by_names(leaf: Any, axis: int, names: tuple[Any, ...]) -> Any:
    """The leaf with an axis of all lanes as one axis for each name."""
    shape = np.shape(leaf)
    return reshape(leaf, (*shape[:axis], *map(axis_size, names), *shape[axis + 1 :]))


def _exchanged(leaf: Any, names: tuple[Any, ...], split: int, place: int) -> Any:
    """The axis ``split`` exchanged with the mapped ones, which stand at ``place`` then."""
    if len(names) == 1:
        return bind(AllToAll(names[0], axis_size(names), split, place), leaf)
    rank = np.ndim(leaf)
    out = _by_names(transpose(leaf, (split, *[a for a in range(rank) if a != split])), 0, names)
    for axis, name in enumerate(names):
        out = bind(AllToAll(name, axis_size(name), axis, axis), out)
    out = reshape(out, (axis_size(names), *out.shape[len(names) :]))
    return transpose(out, (*range(1, place + 1), 0, *range(place + 1, rank)))


def _axis_of(what: str, axis: int, rank: int) -> int:
    if not -rank <= axis < rank:
        raise FunctransValueError(f"{what}: axis {axis} is no axis of an array of rank {rank}, at {here()}")
    return axis % rank


def _tiles(what: str, leaf: Any, axis: int, size: int, name: Any) -> Any:
    """The leaf with ``axis`` as (lanes, the rest)."""
    shape = np.shape(leaf)
    if shape[axis] % size:
        raise FunctransValueError(
            f"{what}: axis {axis} of an array of shape {shape} cannot be split among the {size} lanes of {name!r}, at "
            f"{here()}"
        )
    return reshape(leaf, (*shape[:axis], size, shape[axis] // size, *shape[axis + 1 :]))


def _check_lanes(what: str, leaf: Any, axis: int, size: int, name: Any) -> None:
    if np.shape(leaf)[axis] != size:
        raise FunctransValueError(
            f"{what}: axis {axis} of an array of shape {np.shape(leaf)} must have a slice for each of the {size} lanes "
            f"of {name!r}, at {here()}\nWith tiled=True it may have a multiple of them."
        )


def all_to_all(
    x: Any, axis_name: Any, split_axis: int, concat_axis: int, *, axis_index_groups: Any = None, tiled: bool = False
) -> Any:
    """Each leaf with a mapped axis (several: numbered row by row) and an axis of its own exchanged.

    Lane j gets from each lane i the slice j along ``split_axis``, stacked along a new axis ``concat_axis``; with
    ``tiled`` the j-th of equal parts along ``split_axis``, joined along the present axis ``concat_axis``.
    """
    _refuse_groups(axis_index_groups, "all_to_all")
    names, size = _names(axis_name), axis_size(axis_name)

    def exchange(leaf: Any) -> Any:
        rank = np.ndim(leaf)
        split, place = (_axis_of("all_to_all", axis, rank) for axis in (split_axis, concat_axis))
        if not tiled:
            _check_lanes("all_to_all", leaf, split, size, axis_name)
            return _exchanged(leaf, names, split, place)
        out = _exchanged(_tiles("all_to_all", leaf, split, size, axis_name), names, split, place)
        shape = out.shape
        return reshape(out, (*shape[:place], shape[place] * shape[place + 1], *shape[place + 2 :]))

    return jax.tree_util.tree_map(exchange, x)


def pswapaxes(x: Any, axis_name: Any, axis: int, *, axis_index_groups: Any = None) -> Any:
    """Each leaf with the mapped axis and its axis ``axis`` exchanged."""
    return all_to_all(x, axis_name, axis, axis, axis_index_groups=axis_index_groups)


def psum_scatter(
    x: Any, axis_name: Any, *, scatter_dimension: int = 0, axis_index_groups: Any = None, tiled: bool = False
) -> Any:
    """The sum over a mapped axis (several: numbered row by row), of which each lane keeps its slice along
    ``scatter_dimension`` (with ``tiled``: its part), for each leaf.
    """
    _refuse_groups(axis_index_groups, "psum_scatter")
    names, size = _names(axis_name), axis_size(axis_name)

    def scatter(leaf: Any) -> Any:
        axis = _axis_of("psum_scatter", scatter_dimension, np.ndim(leaf))
        if tiled:
            leaf = _tiles("psum_scatter", leaf, axis, size, axis_name)
        else:
            _check_lanes("psum_scatter", leaf, axis, size, axis_name)
        if len(names) > 1:
            leaf = _by_names(leaf, axis, names)
        for name in names:
            leaf = bind(ReduceScatter(name, axis_size(name), axis), leaf)
        return leaf

    return jax.tree_util.tree_map(scatter, x)


def axis_index(axis_name: Any) -> Any:
    """The number of the lane along a mapped axis, or along several, row by row: an int32 scalar."""
    number, *others = _names(axis_name)
    place = bind(AxisIndex(number))
    for name in others:
        place = elementwise.add(elementwise.mul(place, axis_size(name)), bind(AxisIndex(name)))
    return place
