"""Operations that speak of a mapped axis by its name: ``psum``, ``pmax``, ``pmin``, ``all_gather``, ``axis_index``.

Outside of the ``vmap`` that binds the name they are placeholders; that vmap turns them into reductions over axis 0.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import jax
import numpy as np

from functrans.errors import FunctransError, FunctransTypeError
from functrans.ir.types import ArrayType, array_type, describe
from functrans.ops import elementwise, logic
from functrans.ops.reductions import reduce_max, reduce_min
from functrans.ops.structural import broadcast_in_dim, iota, reduce_sum, reshape, transpose
from functrans.trace.builder import bind, state
from functrans.trace.frames import here
from functrans.trace.primitive import Primitive


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
        return state.axes[axis_name]
    except (KeyError, TypeError):
        bound = ", ".join(map(repr, state.axes)) or "none"
        raise UnboundAxisError(
            f"the axis name {axis_name!r} is not bound (bound here: {bound}), at {here()}\n"
            "Name the axis in the vmap around this call: vmap(f, axis_name=...)."
        ) from None


class _Collective(Primitive):
    """One operation over several mapped axes."""

    axes: tuple[Hashable, ...]

    def infer(self, x: ArrayType) -> ArrayType:
        return x

    def impl(self, x: Any) -> Any:
        return x

    def axis_names(self) -> frozenset[Any]:
        return frozenset(self.axes)

    def batch(self, size: int, operands: Sequence[Any], mapped: Sequence[bool]) -> tuple[Any, Any]:
        return bind(self, operands[0]), True

    def without(self, name: Any, x: Any) -> Any:
        rest = tuple(a for a in self.axes if a != name)
        return bind(type(self)(rest), x) if rest else x


class Psum(_Collective):
    """The sum over mapped axes: linear, and its own transpose."""

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        return bind(self, primals[0]), bind(self, tangents[0])

    def transpose(self, cotangent: Any, x: Any) -> Sequence[Any]:
        return [bind(self, cotangent)]

    def batch_axis(self, name: Any, size: int, operands: Sequence[Any], mapped: Sequence[bool]) -> tuple[Any, Any]:
        x = operands[0]
        total = reduce_sum(x, (0,)) if mapped[0] else elementwise.mul(x, size)
        return self.without(name, total), False


class Pmax(_Collective):
    """The maximum over mapped axes."""

    def batch_axis(self, name: Any, size: int, operands: Sequence[Any], mapped: Sequence[bool]) -> tuple[Any, Any]:
        x = operands[0]
        return self.without(name, reduce_max(x, (0,)) if mapped[0] else x), False


class Pmin(_Collective):
    """The minimum over mapped axes."""

    def batch_axis(self, name: Any, size: int, operands: Sequence[Any], mapped: Sequence[bool]) -> tuple[Any, Any]:
        x = operands[0]
        return self.without(name, reduce_min(x, (0,)) if mapped[0] else x), False


class AllGather(Primitive):
    """The values of every lane, along a new axis ``axis`` of size ``size``."""

    axis_name: Hashable
    size: int
    axis: int

    def infer(self, x: ArrayType) -> ArrayType:
        return array_type((*x.shape[: self.axis], self.size, *x.shape[self.axis :]), x.dtype, x.weak_type)

    def impl(self, x: Any) -> Any:
        return np.stack([x] * self.size, self.axis)

    def axis_names(self) -> frozenset[Any]:
        return frozenset([self.axis_name])

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        return bind(self, primals[0]), bind(self, tangents[0])

    def transpose(self, cotangent: Any, x: Any) -> Sequence[Any]:
        return [bind(ScatterLane(self.axis_name, self.size, self.axis), bind(Psum((self.axis_name,)), cotangent))]

    def batch(self, size: int, operands: Sequence[Any], mapped: Sequence[bool]) -> tuple[Any, Any]:
        return bind(AllGather(self.axis_name, self.size, self.axis + 1), operands[0]), True

    def batch_axis(self, name: Any, size: int, operands: Sequence[Any], mapped: Sequence[bool]) -> tuple[Any, Any]:
        x = operands[0]
        if mapped[0]:
            order = [*range(1, self.axis + 1), 0, *range(self.axis + 1, x.ndim)]
            return transpose(x, order), False
        kept = tuple(d for d in range(x.ndim + 1) if d != self.axis)
        return broadcast_in_dim(x, self.infer(x.type).shape, kept), False


class ScatterLane(Primitive):
    """Each lane's own slice along ``axis``: the transpose of all_gather, after a psum."""

    axis_name: Hashable
    size: int
    axis: int

    def infer(self, x: ArrayType) -> ArrayType:
        return array_type((*x.shape[: self.axis], *x.shape[self.axis + 1 :]), x.dtype, x.weak_type)

    def impl(self, x: Any) -> Any:
        return np.take(x, 0, self.axis)

    def axis_names(self) -> frozenset[Any]:
        return frozenset([self.axis_name])

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        return bind(self, primals[0]), bind(self, tangents[0])

    def transpose(self, cotangent: Any, x: Any) -> Sequence[Any]:
        lane = bind(AxisIndex(self.axis_name))
        positions = iota(np.dtype(np.int32), self.size)
        chosen = broadcast_in_dim(logic.eq(positions, lane), x.shape, (self.axis,))
        kept = tuple(d for d in range(x.ndim) if d != self.axis)
        spread = broadcast_in_dim(cotangent, x.shape, kept)
        return [logic.select(chosen, spread, 0)]

    def batch(self, size: int, operands: Sequence[Any], mapped: Sequence[bool]) -> tuple[Any, Any]:
        return bind(ScatterLane(self.axis_name, self.size, self.axis + 1), operands[0]), True

    def batch_axis(self, name: Any, size: int, operands: Sequence[Any], mapped: Sequence[bool]) -> tuple[Any, Any]:
        x = operands[0]
        if not mapped[0]:
            order = [self.axis, *[d for d in range(x.ndim) if d != self.axis]]
            return transpose(x, order), True
        positions = iota(np.dtype(np.int32), size)
        same = logic.eq(
            broadcast_in_dim(positions, x.shape, (0,)), broadcast_in_dim(positions, x.shape, (self.axis + 1,))
        )
        return reduce_sum(logic.select(same, x, 0), (self.axis + 1,)), True


class AxisIndex(Primitive):
    """The number of the lane along a mapped axis: int32."""

    axis_name: Hashable

    def infer(self) -> ArrayType:
        return array_type((), np.dtype(np.int32), False)

    def impl(self) -> Any:
        return np.int32(0)

    def axis_names(self) -> frozenset[Any]:
        return frozenset([self.axis_name])

    def batch_axis(self, name: Any, size: int, operands: Sequence[Any], mapped: Sequence[bool]) -> tuple[Any, Any]:
        return iota(np.dtype(np.int32), size), True


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
    """The sum over one or more mapped axes, for each leaf."""
    _refuse_groups(axis_index_groups, "psum")
    names = _names(axis_name)
    size = axis_size(names)
    return jax.tree_util.tree_map(
        lambda leaf: leaf * size if isinstance(leaf, bool | int | float | complex) else bind(Psum(names), leaf), x
    )


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


def all_gather(x: Any, axis_name: Any, *, axis_index_groups: Any = None, axis: int = 0, tiled: bool = False) -> Any:
    """The values of every lane along a new axis (an existing one with ``tiled``), for each leaf."""
    _refuse_groups(axis_index_groups, "all_gather")
    size = axis_size(axis_name)

    def gather(leaf: Any) -> Any:
        place = axis % (np.ndim(leaf) + (0 if tiled else 1))
        out = bind(AllGather(axis_name, size, place), leaf)
        if not tiled:
            return out
        shape = np.shape(leaf)
        return reshape(out, (*shape[:place], size * shape[place], *shape[place + 1 :]))

    return jax.tree_util.tree_map(gather, x)


def axis_index(axis_name: Any) -> Any:
    """The number of the lane along a mapped axis: an int32 scalar."""
    axis_size(axis_name)
    return bind(AxisIndex(axis_name))
