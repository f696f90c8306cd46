"""Convolution: ``conv_general_dilated`` with strides, padding, dilation and groups; bilinear.

Without the spatial axes it is a product of matrices: lhs [batch, in], rhs [out, in], result [batch, out]. So are its
transposes: by lhs [batch, out] x [in, out], by rhs [in, batch] x [out, batch], with strides and dilations in each
other's place. With groups along the features the transpose by rhs has groups along the batch, and the other way round.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import ArrayType, array_type
from functrans.ops.elementwise import add, real_dtype
from functrans.ops.slicing import rev
from functrans.ops.structural import Axes, convert, full, reshape, transpose, zeros_like
from functrans.ops.windowed_reductions import Pairs, dilated, window_counts, window_views
from functrans.trace.binding import bind
from functrans.trace.detection import Detection, Entry
from functrans.trace.emitter import EmitterProtocol, Names, Types
from functrans.trace.primitive import Lanes, Primitive, Tangent, Value, is_linear
from functrans.trace.series import Line


class ConvDimensionNumbers(NamedTuple):
    """Where the axes stand: (batch, feature, spatial ...) of lhs and result, (out, in, spatial ...) of rhs."""

    lhs_spec: Axes
    rhs_spec: Axes
    out_spec: Axes


_PAIRS = 20_000_000  # products of single elements that are looked at


def _known_holds(y: Entry, places: Any) -> Any:
    """Where the elements at these places are not zero; None where nobody knows, or all are."""
    holds = y.holds()
    return None if holds is None else holds.ravel()[places]


class ConvGeneralDilated(Primitive):
    """Sums of products of rhs with the windows of lhs; not reversed, as in neural networks."""

    smooth = True
    window_strides: Axes
    padding: Pairs
    lhs_dilation: Axes
    rhs_dilation: Axes
    dimension_numbers: ConvDimensionNumbers
    feature_group_count: int
    batch_group_count: int
    precision: str
    preferred_element_type: np.dtype[Any]

    def infer(self, x: ArrayType, y: ArrayType) -> ArrayType:
        d = self.dimension_numbers
        if x.dtype != y.dtype:
            raise FunctransTypeError(f"conv_general_dilated: lhs {x} and rhs {y} must have one dtype")
        if x.ndim != y.ndim or any(sorted(spec) != list(range(x.ndim)) for spec in d) or x.ndim < 2:
            raise FunctransValueError(
                f"conv_general_dilated: lhs of shape {x.shape} and rhs of shape {y.shape} must have one rank, 2 or more"
                f", and dimension_numbers {tuple(d)} must name each axis once"
            )
        spatial = x.ndim - 2
        for name in ("window_strides", "padding", "lhs_dilation", "rhs_dilation"):
            if len(getattr(self, name)) != spatial:
                raise FunctransValueError(
                    f"conv_general_dilated: {name} {getattr(self, name)} must have one entry for each of the {spatial} "
                    f"spatial axes of lhs of shape {x.shape}"
                )
        for name in ("window_strides", "lhs_dilation", "rhs_dilation"):
            if any(n < 1 for n in getattr(self, name)):
                raise FunctransValueError(f"conv_general_dilated: {name} must be positive, got {getattr(self, name)}")
        batch, features, *_ = (x.shape[a] for a in d.lhs_spec)
        outs, ins, *_ = (y.shape[a] for a in d.rhs_spec)
        fgc, bgc = self.feature_group_count, self.batch_group_count
        if fgc < 1 or bgc < 1 or (fgc > 1 and bgc > 1):
            raise FunctransValueError(
                "conv_general_dilated: feature_group_count and batch_group_count must be positive and one of them 1, "
                f"got {fgc} and {bgc}"
            )
        if features != ins * fgc:
            raise FunctransValueError(
                f"conv_general_dilated: lhs of shape {x.shape} has {features} features; rhs of shape {y.shape} takes "
                f"{ins} in each of {fgc} group(s), {ins * fgc} together"
            )
        if outs % fgc or outs % bgc or batch % bgc:
            raise FunctransValueError(
                f"conv_general_dilated: feature_group_count {fgc} must divide the {outs} output features of rhs, "
                f"batch_group_count {bgc} those and the batch of {batch}"
            )
        shape = (batch // bgc, outs, *self._counts(x.shape, y.shape))
        placed = [0] * x.ndim
        for n, a in zip(shape, d.out_spec, strict=True):
            placed[a] = n
        return array_type(tuple(placed), self.preferred_element_type, x.weak_type and y.weak_type)

    def _counts(self, x: Axes, y: Axes) -> Axes:
        """The spatial sizes of the result."""
        d = self.dimension_numbers
        sizes, window = ([s[a] for a in spec[2:]] for s, spec in ((x, d.lhs_spec), (y, d.rhs_spec)))
        for n, b, pads in zip(sizes, self.lhs_dilation, self.padding, strict=True):
            if dilated(n, b) + sum(pads) < 0:
                raise FunctransValueError(
                    f"conv_general_dilated: padding {pads} removes more than the {dilated(n, b)} elements of an axis"
                )
        return window_counts(
            sizes, tuple(window), self.window_strides, self.padding, self.lhs_dilation, self.rhs_dilation
        )

    def impl(self, x: Any, y: Any) -> Any:
        d, fgc, bgc = self.dimension_numbers, self.feature_group_count, self.batch_group_count
        x, y = (np.asarray(v) for v in (x, y))
        x, y = (v.astype(np.float32) if v.dtype.kind == "V" else v for v in (x, y))
        if self.preferred_element_type.kind in "iu":
            x, y = x.astype(self.preferred_element_type), y.astype(self.preferred_element_type)
        x, y = np.transpose(x, d.lhs_spec), np.transpose(y, d.rhs_spec)
        kernel = y.shape[2:]
        views = window_views(
            x, 0, (1, 1, *kernel), (1, 1, *self.window_strides), ((0, 0), (0, 0), *self.padding),
            (1, 1, *self.lhs_dilation), (1, 1, *self.rhs_dilation),
        )  # fmt: skip
        counts, taps = views.shape[2 : x.ndim], math.prod(kernel)
        (batch, features), (outs, ins) = x.shape[:2], y.shape[:2]
        views = views.reshape((bgc, batch // bgc, fgc, features // fgc, math.prod(counts), taps))
        weights = y.reshape((bgc, fgc, outs // (fgc * bgc), ins, taps))
        out = np.einsum("bngist,bgoit->nbgos", views, weights).reshape((batch // bgc, outs, *counts))
        return np.transpose(out, np.argsort(d.out_spec)).astype(self.preferred_element_type)

    def sparsity(self, detection: Detection, operands: Sequence[Entry], types: Sequence[ArrayType]) -> Any:
        """Axes: groups of the batch b and of the features g, place in the batch n, features in i and out o, windows s,
        places in a window t."""
        x, y = operands
        d, fgc, bgc = self.dimension_numbers, self.feature_group_count, self.batch_group_count
        if x.type.size == 0 or y.type.size == 0 or types[0].size == 0:
            return None
        places = [np.arange(v.type.size).reshape(v.shape) for v in operands]
        x_places, y_places = np.transpose(places[0], d.lhs_spec), np.transpose(places[1], d.rhs_spec)
        kernel = y_places.shape[2:]
        views = window_views(
            x_places, -1, (1, 1, *kernel), (1, 1, *self.window_strides), ((0, 0), (0, 0), *self.padding),
            (1, 1, *self.lhs_dilation), (1, 1, *self.rhs_dilation),
        )  # fmt: skip
        counts = views.shape[2 : x.ndim]
        s, t = math.prod(counts), math.prod(kernel)
        (batch, features), (outs, ins) = x_places.shape[:2], y_places.shape[:2]
        n, o = batch // bgc, outs // (fgc * bgc)
        views = views.reshape((bgc, n, fgc, features // fgc, s, t))
        weights = y_places.reshape((bgc, fgc, o, ins, t))

        def placed(numbers: Any) -> Any:  # [n, b, g, o, s]
            wide = np.broadcast_to(numbers, (n, bgc, fgc, o, s)).reshape((n, outs, *counts))
            return np.transpose(wide, np.argsort(d.out_spec))

        left = self._sets_of_lhs(detection, x.sets, views, None if x.sets is None else _known_holds(y, weights))
        valid = views[0, 0, 0, 0] >= 0  # [s, t]
        window, tap = np.nonzero(valid)
        targets = np.arange(bgc * fgc * o * s).reshape((bgc, fgc, o, s))[..., window, None]
        sources = np.moveaxis(weights, 3, -1)[..., tap, :]
        right = detection.collected(y.sets, np.broadcast_to(targets, sources.shape), sources, (1, bgc, fgc, o, s))
        return detection.union(detection.renumbered(left, placed), detection.renumbered(right, placed))

    def _sets_of_lhs(self, detection: Detection, sets: Any, views: Any, holds: Any) -> Any:
        """[n, b, g, o or 1, s]; ``views`` [b, n, g, i, s, t]: places in the operand, -1 for none; ``holds``
        [b, g, o, i, t]: where the window is not zero, None: nobody knows, or everywhere."""
        b, n, g, _, s, _ = views.shape
        if holds is not None and np.count_nonzero(holds) * n * s <= _PAIRS:
            o = holds.shape[2]
            lane, group, out, feature, tap = np.nonzero(holds)
            sources = np.transpose(views, (0, 2, 3, 5, 1, 4))[lane, group, feature, tap]
            targets = np.arange(n * b * g * o * s).reshape((n, b, g, o, s))
            targets = np.transpose(targets, (1, 2, 3, 0, 4))[lane, group, out]
        else:
            o = 1
            sources = views
            targets = np.arange(n * b * g * s).reshape((n, b, g, s)).transpose((1, 0, 2, 3))[:, :, :, None, :, None]
            targets = np.broadcast_to(targets, sources.shape)
        inside = sources >= 0
        return detection.collected(sets, targets[inside], sources[inside], (n, b, g, o, s))

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        (x, y), (s, t) = primals, tangents
        left = bind(self, s, y) if s is not None else None
        right = bind(self, x, t) if t is not None else None
        return bind(self, x, y), left if right is None else right if left is None else add(left, right)

    def taylor(self, line: Line, operands: Sequence[Any]) -> Any:
        x, y = operands
        return line.product(self, x, y)

    def transpose(self, cotangent: Any, x: Any, y: Any) -> Sequence[Any]:
        if is_linear(x):
            return [self._cotangent_of_lhs(cotangent, x, y), None]
        return [None, self._cotangent_of_rhs(cotangent, x, y)]

    def _extents(self, x: Any, y: Any, cotangent: Any) -> list[tuple[int, int, int, int]]:
        """For each spatial axis the extents of lhs, window and result with their gaps, and the padding below."""
        d = self.dimension_numbers
        return [
            (dilated(x.shape[a], b), dilated(y.shape[k], r), dilated(cotangent.shape[o], s), low)
            for a, k, o, b, r, s, (low, _) in zip(
                d.lhs_spec[2:], d.rhs_spec[2:], d.out_spec[2:], self.lhs_dilation, self.rhs_dilation,
                self.window_strides, self.padding, strict=True,
            )
        ]  # fmt: skip

    def _cotangent_of_lhs(self, cotangent: Any, x: Any, y: Any) -> Any:
        if 0 in cotangent.shape or 0 in y.shape or 0 in x.shape:
            return zeros_like(x)
        d = self.dimension_numbers
        groups = max(self.feature_group_count, self.batch_group_count)
        y = _moved_out(y, d.rhs_spec[0], groups)
        y = _moved_into(y, d.rhs_spec[0], d.rhs_spec[1])
        padding = tuple([(w - low - 1, n + low - c) for n, w, c, low in self._extents(x, y, cotangent)])
        numbers = ConvDimensionNumbers(d.out_spec, _swapped(d.rhs_spec), d.lhs_spec)
        op = ConvGeneralDilated(
            self.lhs_dilation, padding, self.window_strides, self.rhs_dilation, numbers, groups, 1,
            self.precision, cotangent.dtype,
        )  # fmt: skip
        out = bind(op, cotangent, convert(rev(y, d.rhs_spec[2:]), cotangent.dtype, False))
        if self.batch_group_count > 1:
            out = _moved_out(out, d.lhs_spec[1], groups)
            out = _moved_into(out, d.lhs_spec[1], d.lhs_spec[0])
        return convert(out, x.dtype, x.type.weak_type)

    def _cotangent_of_rhs(self, cotangent: Any, x: Any, y: Any) -> Any:
        if 0 in cotangent.shape or 0 in x.shape or 0 in y.shape:
            return zeros_like(y)
        d = self.dimension_numbers
        padding = tuple([(low, c - n + w - low - 1) for n, w, c, low in self._extents(x, y, cotangent)])
        numbers = ConvDimensionNumbers(_swapped(d.lhs_spec), _swapped(d.out_spec), _swapped(d.rhs_spec))
        op = ConvGeneralDilated(
            self.rhs_dilation, padding, self.lhs_dilation, self.window_strides, numbers, self.batch_group_count,
            self.feature_group_count, self.precision, cotangent.dtype,
        )  # fmt: skip
        out = bind(op, convert(x, cotangent.dtype, False), cotangent)
        return convert(out, y.dtype, y.type.weak_type)

    def with_groups(self, feature_group_count: int, batch_group_count: int) -> ConvGeneralDilated:
        """The same convolution in other groups."""
        return ConvGeneralDilated(
            self.window_strides, self.padding, self.lhs_dilation, self.rhs_dilation, self.dimension_numbers,
            feature_group_count, batch_group_count, self.precision, self.preferred_element_type,
        )  # fmt: skip

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Any]:
        x, y = operands
        d, fgc, bgc = self.dimension_numbers, self.feature_group_count, self.batch_group_count
        if lanes.size == 0:
            types = [v.type.update(shape=v.shape[1:]) if m else v.type for v, m in zip(operands, mapped, strict=True)]
            out_type = self.infer(*types)
            return full((0, *out_type.shape), 0, out_type.dtype), True
        outs = d.out_spec[1]
        if all(mapped):  # the lanes are groups
            y = _moved_into(y, 0, d.rhs_spec[0])
            if bgc > 1:
                op = self.with_groups(1, bgc * lanes.size)
                out = bind(op, _moved_into(x, 0, d.lhs_spec[0]), y)
            else:
                op = self.with_groups(fgc * lanes.size, 1)
                out = bind(op, _moved_into(x, 0, d.lhs_spec[1]), y)
            out = _moved_out(out, outs, lanes.size)
        elif mapped[0]:  # the lanes are a larger batch, inside of its groups
            x = _moved_into(x, 0, d.lhs_spec[0], bgc)
            outs = d.out_spec[0]
            out = _moved_out(bind(self, x, y), outs, lanes.size)
        else:  # the lanes are more output features, inside of their groups
            groups = max(fgc, bgc)
            y = _moved_into(y, 0, d.rhs_spec[0], groups)
            out = _moved_out(bind(self, x, y), outs, groups)
            out = _moved_out(out, outs + 1, lanes.size)
            shape = list(out.shape)
            out = transpose(out, (outs + 1, *[a for a in range(out.ndim) if a != outs + 1]))
            shape[outs : outs + 3] = [shape[outs] * shape[outs + 2]]
            return reshape(out, (lanes.size, *shape)), True
        return transpose(out, (outs, *[a for a in range(out.ndim) if a != outs])), True

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        (x, y), (x_type, y_type), out = operands, in_types, out_types[0]
        if out.size == 0 or x_type.size == 0 or y_type.size == 0:
            return emitter.splat(0, out)
        if x_type.dtype.kind != "c":
            return self._convolution(emitter, x, y, x_type, y_type, out)
        # XLA has no fast complex convolution: three real ones (Gauss's trick), as JAX does
        parts = [t.update(dtype=real_dtype(t.dtype)) for t in (x_type, y_type, out)]
        (x_re, x_im), (y_re, y_im) = (
            [emitter.op(f"stablehlo.{part} {v}", [t], p) for part in ("real", "imag")]
            for v, t, p in zip((x, y), in_types, parts, strict=False)
        )

        def combine(name: str, a: str, b: str, type_: ArrayType) -> str:
            return emitter.elementwise(name, [a, b], [type_, type_], type_)

        first = self._convolution(emitter, combine("add", x_re, x_im, parts[0]), y_re, *parts)
        second = self._convolution(emitter, x_re, combine("subtract", y_im, y_re, parts[1]), *parts)
        third = self._convolution(emitter, x_im, combine("add", y_re, y_im, parts[1]), *parts)
        re, im = combine("subtract", first, third, parts[2]), combine("add", first, second, parts[2])
        return emitter.op(f"stablehlo.complex {re}, {im}", [parts[2], parts[2]], out)

    def _convolution(
        self, emitter: EmitterProtocol, x: str, y: str, x_type: ArrayType, y_type: ArrayType, out_type: ArrayType
    ) -> str:
        left, _, right = self.precision.partition(":")
        precision = ", ".join(f"#stablehlo<precision {p}>" for p in (left, right or left))
        labels = [_labels(*pair) for pair in zip(self.dimension_numbers, ("bf", "oi", "bf"), strict=True)]
        pads = [list(p) for p in self.padding]
        text = (
            f'"stablehlo.convolution"({x}, {y}) <{{batch_group_count = {self.batch_group_count} : i64, '
            f"dimension_numbers = #stablehlo.conv<{labels[0]}x{labels[1]}->{labels[2]}>, "
            f"feature_group_count = {self.feature_group_count} : i64, "
            f"lhs_dilation = {emitter.indices(self.lhs_dilation)}, "
            f"padding = dense<{pads or ''}> : tensor<{len(pads)}x2xi64>, precision_config = [{precision}], "
            f"rhs_dilation = {emitter.indices(self.rhs_dilation)}, "
            f"window_reversal = {emitter.indices(['false'] * len(pads), 'i1')}, "
            f"window_strides = {emitter.indices(self.window_strides)}}}>"
        )
        return emitter.op(text, [x_type, y_type], out_type)


def _labels(spec: Axes, names: str) -> str:
    """``[b, f, 0, 1]``: what each axis is, as StableHLO writes it."""
    out = [""] * len(spec)
    for i, a in enumerate(spec):
        out[a] = names[i] if i < 2 else str(i - 2)
    return f"[{', '.join(out)}]"


def _swapped(spec: Axes) -> Axes:
    return (spec[1], spec[0], *spec[2:])


def _moved_out(x: Any, axis: int, count: int) -> Any:
    """The axis as two: ``count`` groups and what a group holds."""
    shape = list(x.shape)
    shape[axis : axis + 1] = [count, shape[axis] // count]
    return reshape(x, shape)


def _moved_into(x: Any, source: int, axis: int, groups: int = 1) -> Any:
    """The axis ``source`` merged into another (numbered without it), in front of what each of its groups holds."""
    rest = [a for a in range(x.ndim) if a != source]
    x = transpose(x, (*rest[:axis], source, *rest[axis:]))
    shape = list(x.shape)
    if groups > 1:
        inner = shape[axis + 1] // groups
        x = reshape(x, (*shape[: axis + 1], groups, inner, *shape[axis + 2 :]))
        x = transpose(x, (*range(axis), axis + 1, axis, *range(axis + 2, x.ndim)))
    return reshape(x, (*shape[:axis], shape[axis] * shape[axis + 1], *shape[axis + 2 :]))
