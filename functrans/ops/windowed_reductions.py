"""Reductions over windows that slide along the axes: sum, maximum and minimum, and where the extremum stands.

The maximum's derivative takes tangents from where the maxima stand (``window_argmax`` and a gather), so that reverse
mode and every higher order follow from the rules of gather and scatter.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import ArrayType, array_type, short_dtype
from functrans.ops.elementwise import kind_of
from functrans.ops.indexing import Gather
from functrans.ops.reductions import compare_positions, greatest, least, with_nans
from functrans.ops.slicing import pad
from functrans.ops.structural import Axes, reshape, zeros_like
from functrans.ops.windows import FILL, GatherDimensionNumbers
from functrans.trace.binding import bind
from functrans.trace.detection import Detection, Entry
from functrans.trace.emitter import EmitterProtocol, Names, Types
from functrans.trace.primitive import Lanes, Primitive, Tangent, Value

Pairs = tuple[tuple[int, int], ...]
Geometry = tuple[Axes, Axes, Pairs, Axes, Axes]


class WindowedReduction(Primitive):
    """Windows of ``window_dimensions`` (elements ``window_dilation`` apart) every ``window_strides`` steps.

    The operand's elements stand ``base_dilation`` apart, ``padding`` (low, high) around them; in the holes and in the
    padding stands the element that changes nothing.
    """

    window_dimensions: Axes
    window_strides: Axes
    padding: Pairs
    base_dilation: Axes
    window_dilation: Axes
    accepts: ClassVar[str] = "iufc"
    hlo: ClassVar[str] = ""

    def neutral(self, dtype: np.dtype[Any]) -> Any:
        """The element that changes nothing."""
        self.missing("neutral", "lowering")

    def geometry(self) -> Geometry:
        """The parameters that say where the windows are."""
        return self.window_dimensions, self.window_strides, self.padding, self.base_dilation, self.window_dilation

    def shape(self, operand: Sequence[int]) -> Axes:
        """The number of windows along each axis."""
        if any(len(p) != len(operand) for p in self.geometry()):
            raise FunctransTypeError(
                f"{self.name}: window_dimensions {self.window_dimensions}, window_strides {self.window_strides}, "
                f"padding {self.padding} and dilations {self.base_dilation} and {self.window_dilation} must have one "
                f"entry for each of the {len(operand)} axes of an operand of shape {tuple(operand)}"
            )
        for what in ("window_dimensions", "window_strides", "base_dilation", "window_dilation"):
            if any(n < 1 for n in getattr(self, what)):
                raise FunctransValueError(f"{self.name}: {what} must be positive, got {getattr(self, what)}")
        return window_counts(operand, *self.geometry())

    def infer(self, x: ArrayType) -> ArrayType:
        if kind_of(x.dtype) not in self.accepts:
            raise FunctransTypeError(f"{self.name} does not accept operands of dtype {short_dtype(x.dtype)}")
        return array_type(self.shape(x.shape), x.dtype, x.weak_type)

    def views(self, x: Any, filling: Any) -> Any:
        """For the NumPy references: the windows' elements as trailing axes."""
        return window_views(x, filling, *self.geometry())

    def batched(self) -> tuple[Any, ...]:
        """The parameters with a new leading axis that no window spans."""
        return (1, *self.window_dimensions), (1, *self.window_strides), ((0, 0), *self.padding), (
            1, *self.base_dilation), (1, *self.window_dilation)  # fmt: skip

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Any]:
        return bind(type(self)(*self.batched()), operands[0]), True

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        scalar = array_type((), in_types[0].dtype)
        initials = [emitter.scalar(self.neutral(scalar.dtype), scalar)]
        operands, in_types, geometry = _without_holes(emitter, operands, initials, in_types, self.geometry())
        return lower_windows(
            emitter, operands, initials, in_types, out_types, geometry,
            lambda names: [emitter.elementwise(self.hlo, names, [scalar, scalar], scalar)],
        )[0]  # fmt: skip


def window_counts(
    shape: Sequence[int], window: Axes, strides: Axes, padding: Pairs, base_dilation: Axes, window_dilation: Axes
) -> Axes:
    """The number of windows along each axis."""
    counts = []
    for n, w, s, (low, high), b, d in zip(shape, window, strides, padding, base_dilation, window_dilation, strict=True):
        room = low + dilated(n, b) + high - dilated(w, d)
        counts.append(0 if room < 0 else room // s + 1)
    return tuple(counts)


def dilated(size: int, dilation: int) -> int:
    """The extent of ``size`` elements that stand ``dilation`` apart."""
    return (size - 1) * dilation + 1 if size else 0


def window_views(
    x: Any, filling: Any, window: Axes, strides: Axes, padding: Pairs, base_dilation: Axes, window_dilation: Axes
) -> Any:
    """For the NumPy references: an array of windows, whose elements are the trailing axes."""
    x = np.asarray(x)
    extents = [dilated(n, b) for n, b in zip(x.shape, base_dilation, strict=True)]
    sizes = [max(0, low + n + high) for n, (low, high) in zip(extents, padding, strict=True)]
    spread = np.full(extents, filling, x.dtype)
    spread[tuple(slice(None, None, b) for b in base_dilation)] = x
    padded = np.full(sizes, filling, x.dtype)
    to = tuple(slice(max(0, low), max(0, low) + n) for n, (low, _) in zip(extents, padding, strict=True))
    part = spread[tuple(slice(max(0, -low), n + min(0, high)) for n, (low, high) in zip(extents, padding, strict=True))]
    to = tuple(slice(t.start, t.start + n) for t, n in zip(to, part.shape, strict=True))
    padded[to] = part
    spans = [dilated(w, d) for w, d in zip(window, window_dilation, strict=True)]
    if any(n < span for n, span in zip(sizes, spans, strict=True)):
        counts = [max(0, n - span + 1) for n, span in zip(sizes, spans, strict=True)]
        return np.zeros((*[-(-n // s) for n, s in zip(counts, strides, strict=True)], *window), x.dtype)
    views = np.lib.stride_tricks.sliding_window_view(padded, spans)
    return views[(*[slice(None, None, s) for s in strides], *[slice(None, None, d) for d in window_dilation])]


def _without_holes(
    emitter: EmitterProtocol, operands: Names, initials: Sequence[str], in_types: Types, geometry: Geometry
) -> tuple[Names, Types, Geometry]:
    """Operands that hold what stands in their holes, or lack what negative padding removes, and what is left to do.

    XLA's CPU library for windows that do not overlap takes a dilated operand for a dense one (jaxlib 0.10.2: wrong
    numbers, and reads behind the end), and its simplifier ends the process where negative padding meets windows of one
    element.
    """
    window, strides, padding, base_dilation, window_dilation = geometry
    apart = [b > 1 or min(pads) < 0 for b, pads in zip(base_dilation, padding, strict=True)]
    if any(apart):
        config = [(*pads, b - 1) if a else (0, 0, 0) for a, pads, b in zip(apart, padding, base_dilation, strict=True)]
        shape = [dilated(n, i + 1) + low + high for n, (low, high, i) in zip(in_types[0].shape, config, strict=True)]
        if min(shape) >= 0:  # else there is no window, and lower_windows asks for no operand
            low, high, interior = ([entry[i] for entry in config] for i in range(3))
            padded = [t.update(shape=tuple(shape)) for t in in_types]
            operands = [
                emitter.op(
                    f"stablehlo.pad {x}, {initial}, low = {low}, high = {high}, interior = {interior}",
                    [before, array_type((), before.dtype)], after,
                )
                for x, initial, before, after in zip(operands, initials, in_types, padded, strict=True)
            ]  # fmt: skip
            in_types = padded
        padding = tuple([(0, 0) if a else pads for a, pads in zip(apart, padding, strict=True)])
    operands = apart_from_padding(emitter, operands, in_types)
    return operands, in_types, (window, strides, padding, (1,) * len(window), window_dilation)


def apart_from_padding(emitter: EmitterProtocol, operands: Names, types: Types) -> Names:
    """The operands behind a barrier, which keeps XLA from joining windows with a padding in front of them.

    That padding may be the user's, or the transpose of a slice. XLA makes a dilation of its holes, and where it pads
    an axis of size 1 to both sides it takes the windows for ones without a padding of their own: wrong numbers.
    It need not outlive XLA's simplifier.
    """
    if not types[0].shape or emitter.platform != "cpu":
        return operands
    return emitter.barrier(operands, types, lasting=False)


def lower_windows(
    emitter: EmitterProtocol, operands: Names, initials: Sequence[str], in_types: Types, out_types: Types,
    geometry: Geometry, body: Callable[[list[str]], list[str]],
) -> Any:  # fmt: skip
    """The text of a windowed reduction of any operands without holes, with any body."""
    if not in_types[0].shape:
        return list(operands)
    if not out_types[0].size:
        return [emitter.splat(0, t.update(dtype=i.dtype)) for t, i in zip(out_types, in_types, strict=True)]
    window, strides, padding, _, window_dilation = geometry
    scalars = [array_type((), t.dtype) for t in in_types]
    region = emitter.region([*scalars, *scalars], body, scalars)
    ins = ", ".join(emitter.text(t) for t in (*in_types, *scalars))
    outs = ", ".join(emitter.text(t.update(dtype=i.dtype)) for t, i in zip(out_types, in_types, strict=True))
    text = (
        f'"stablehlo.reduce_window"({", ".join([*operands, *initials])}) <{{'
        f"window_dimensions = {emitter.indices(window)}, window_strides = {emitter.indices(strides)}, "
        f"window_dilations = {emitter.indices(window_dilation)}, "
        f"padding = dense<{[list(p) for p in padding]}> : tensor<{len(padding)}x2xi64>}}> ({region}) : "
        f"({ins}) -> ({outs})"
    )
    return emitter.raw_many(text, len(operands))


class ReduceWindowSum(WindowedReduction):
    """The sum of each window."""

    hlo = "add"

    def neutral(self, dtype: np.dtype[Any]) -> Any:
        return 0

    def sparsity(self, detection: Detection, operands: Sequence[Entry], types: Types) -> Any:
        (x,) = operands
        views = self.views(np.arange(x.type.size).reshape(x.shape), -1)
        inside = views >= 0
        targets = np.arange(types[0].size).reshape((*types[0].shape, *[1] * x.ndim))
        return detection.collected(
            x.sets, np.broadcast_to(targets, views.shape)[inside], views[inside], types[0].shape
        )

    def impl(self, x: Any) -> Any:
        x = np.asarray(x)
        axes = tuple(range(x.ndim, 2 * x.ndim))
        return np.asarray(np.sum(self.views(x, 0), axis=axes, dtype=x.dtype))

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        return bind(self, primals[0]), bind(self, tangents[0])

    def transpose(self, cotangent: Any, x: Any) -> Sequence[Any]:
        if 0 in cotangent.shape or 0 in x.shape:
            return [zeros_like(x)]
        config = []
        for n, count, w, s, (low, _), b, d in zip(x.shape, cotangent.shape, *self.geometry(), strict=True):
            before = dilated(w, d) - 1 - low
            config.append((before, dilated(n, b) + dilated(w, d) - 1 - dilated(count, s) - before, s - 1))
        none = ((0, 0),) * len(config)
        ones = (1,) * len(config)
        op = ReduceWindowSum(self.window_dimensions, self.base_dilation, none, ones, self.window_dilation)
        return [bind(op, pad(cotangent, 0, config))]


class _WindowExtremum(WindowedReduction):
    accepts = "biuf"
    position: ClassVar[type[_WindowPosition]]
    reference: ClassVar[Any]

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        extremum = super().lower(emitter, operands, in_types, out_types)
        if any(w > s for w, s in zip(self.window_dimensions, self.window_strides, strict=True)):
            return extremum  # XLA's own code reduces windows that overlap, and keeps NaNs

        def any_of(flags: str, flags_in: ArrayType, flags_out: ArrayType) -> str:
            scalar, initials = flags_in.update(shape=()), [emitter.scalar(False, flags_in)]
            names, types, geometry = _without_holes(emitter, [flags], initials, [flags_in], self.geometry())
            return lower_windows(  # type: ignore[no-any-return]
                emitter, names, initials, types, [flags_out], geometry,
                lambda names: [emitter.elementwise("or", names, [scalar, scalar], scalar)],
            )[0]  # fmt: skip

        return with_nans(emitter, extremum, operands[0], in_types[0], out_types[0], any_of)

    def impl(self, x: Any) -> Any:
        x = np.asarray(x)
        axes = tuple(range(x.ndim, 2 * x.ndim))
        return np.asarray(type(self).reference(self.views(x, self.neutral(x.dtype)), axis=axes))

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        x, t = primals[0], tangents[0]
        out = bind(self, x)
        places = bind(self.position(*self.geometry()), x)
        taking = Gather(GatherDimensionNumbers((), (0,), (0,)), (min(1, math.prod(x.shape)),), FILL, fill_value=0)
        return out, bind(taking, reshape(t, (math.prod(x.shape),)), reshape(places, (*places.shape, 1)))


class _WindowPosition(WindowedReduction):
    """The position of each window's extremum (the first of equal ones, or of NaNs) in the flattened operand.

    Behind ``leading`` axes, which positions do not count; the largest int32 where a window holds no element.
    """

    leading: int = 0
    accepts = "biuf"
    direction: ClassVar[str] = ""

    def infer(self, x: ArrayType) -> ArrayType:
        return array_type(super().infer(x).shape, np.dtype(np.int32))

    def impl(self, x: Any) -> Any:
        x = np.asarray(x)
        wide = x.astype(np.float64) if x.dtype.kind == "V" else x
        axes = tuple(range(x.ndim, 2 * x.ndim))
        numbers = np.broadcast_to(
            np.arange(math.prod(x.shape[self.leading :]), dtype=np.int32).reshape(x.shape[self.leading :]), x.shape
        )
        values, places = self.views(wide, self.neutral(x.dtype)), self.views(numbers, _NOWHERE)
        function = np.max if self.direction == "GT" else np.min
        best = function(values, axis=axes, keepdims=True) if values.size else values
        hit = (values == best) | (np.isnan(values) & np.isnan(best)) if x.dtype.kind not in "biu" else values == best
        return np.asarray(np.min(np.where(hit, places, _NOWHERE), axis=axes, initial=_NOWHERE)).astype(np.int32)

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        return bind(self, primals[0]), None

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Any]:
        again: Any = type(self)
        return bind(again(*self.batched(), self.leading + 1), operands[0]), True

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        x = in_types[0]
        inner = x.shape[self.leading :]
        index = np.dtype(np.int32)
        flat, shaped, numbers = (array_type(s, index) for s in ((math.prod(inner),), inner, x.shape))
        name = emitter.raw(f"stablehlo.iota dim = 0 : {emitter.text(flat)}")
        name = emitter.op(f"stablehlo.reshape {name}", [flat], shaped)
        if self.leading:
            dims = list(range(self.leading, x.ndim))
            name = emitter.op(f"stablehlo.broadcast_in_dim {name}, dims = {dims}", [shaped], numbers)
        value, place = array_type((), x.dtype), array_type((), index)
        initials = [emitter.scalar(self.neutral(x.dtype), value), emitter.scalar(_NOWHERE, place)]
        both, both_types, geometry = _without_holes(
            emitter, [operands[0], name], initials, [x, numbers], self.geometry()
        )
        return lower_windows(
            emitter, both, initials, both_types, [out_types[0], out_types[0]], geometry,
            compare_positions(emitter, self.direction, value, place),
        )[1]  # fmt: skip


_NOWHERE = 2**31 - 1


class WindowArgmax(_WindowPosition):
    """The position of each window's largest element."""

    direction = "GT"

    def neutral(self, dtype: np.dtype[Any]) -> Any:
        return least(dtype)


class WindowArgmin(_WindowPosition):
    """The position of each window's smallest element."""

    direction = "LT"

    def neutral(self, dtype: np.dtype[Any]) -> Any:
        return greatest(dtype)


class ReduceWindowMax(_WindowExtremum):
    """The largest element of each window."""

    hlo = "maximum"
    position = WindowArgmax
    reference = staticmethod(np.max)

    def neutral(self, dtype: np.dtype[Any]) -> Any:
        return least(dtype)


class ReduceWindowMin(_WindowExtremum):
    """The smallest element of each window."""

    hlo = "minimum"
    position = WindowArgmin
    reference = staticmethod(np.min)

    def neutral(self, dtype: np.dtype[Any]) -> Any:
        return greatest(dtype)
