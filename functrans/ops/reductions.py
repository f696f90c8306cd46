"""Reductions besides the sum: product, extrema, logical and, or, and the position of an extremum."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import ArrayType, array_type, canonical_dtype, is_differentiable, short_dtype
from functrans.ops.elementwise import add, div, kind_of, mul
from functrans.ops.logic import eq
from functrans.ops.slicing import canonical_axis, pad, slice_in_dim
from functrans.ops.structural import (
    Axes,
    axis_left,
    broadcast_in_dim,
    check_axes,
    compare_kind,
    convert,
    reduce_sum,
    reshape,
    transpose,
)
from functrans.trace.binding import bind
from functrans.trace.emitter import EmitterProtocol, Names, Types
from functrans.trace.keywords import refuse
from functrans.trace.primitive import Combination, Fusion, Lanes, Primitive, Tangent, Value
from functrans.trace.tracer import Tracer

FEWEST_OF_LIBRARY = 4096  # elements: of arrays with fewer XLA's own code finds sums and extrema on CPU; it keeps NaNs


class _Reduction(Primitive):
    """A reduction over ``axes`` with a StableHLO binary operation and its neutral element."""

    fusion = Fusion.REDUCING
    axes: Axes
    hlo: ClassVar[str] = ""
    accepts: ClassVar[str] = "biufc"
    reference: ClassVar[Any] = None

    def neutral(self, dtype: np.dtype[Any]) -> Any:
        """The element that changes nothing."""
        self.missing("neutral", "lowering")

    def infer(self, x: ArrayType) -> ArrayType:
        check_axes(self.name, x, self.axes)
        if kind_of(x.dtype) not in self.accepts:
            raise FunctransTypeError(f"{self.name} does not accept operands of dtype {short_dtype(x.dtype)}")
        return array_type(_without(x.shape, self.axes), x.dtype, x.weak_type)

    def apart(self, axes: Sequence[int | None], types: Sequence[ArrayType]) -> int | None:
        (axis,) = axes
        return axis_left(axis, self.axes)

    def impl(self, x: Any) -> Any:
        x = np.asarray(x)
        initial = np.asarray(self.neutral(x.dtype)).astype(x.dtype)
        return np.asarray(type(self).reference(x, axis=self.axes, initial=initial)).astype(x.dtype)

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Any]:
        return bind(type(self)(tuple([a + 1 for a in self.axes])), operands[0]), True

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        initial = emitter.scalar(self.neutral(in_types[0].dtype), in_types[0])
        return emitter.reduce(self.hlo, operands[0], initial, self.axes, in_types[0], out_types[0])


class ReduceProd(_Reduction):
    """The product over ``axes``."""

    smooth = True
    hlo = "multiply"
    accepts = "iufc"
    reference = staticmethod(np.prod)

    def neutral(self, dtype: np.dtype[Any]) -> Any:
        return 1

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        # The product rule on a binary tree of products: exact with zeros, and itself differentiable.
        x, t = primals[0], tangents[0]
        out = bind(self, x)
        kept = tuple([a for a in range(x.ndim) if a not in self.axes])
        count = math.prod(x.shape[a] for a in self.axes)
        if count == 0:
            return out, None
        flat = (count, *[x.shape[a] for a in kept])
        x, t = (reshape(transpose(y, (*self.axes, *kept)), flat) for y in (x, t))
        while count > 1:
            half = (count + 1) // 2
            x, x2 = _halves(x, half, 1)
            t, t2 = _halves(t, half, 0)
            x, t = mul(x, x2), add(mul(t, x2), mul(t2, x))
            count = half
        return out, reshape(t, out.shape)


def _halves(x: Any, half: int, filling: int) -> tuple[Any, Any]:
    size = x.shape[0]
    first, second = slice_in_dim(x, 0, half), slice_in_dim(x, half, size)
    return first, pad(second, filling, [(0, 2 * half - size, 0), *[(0, 0, 0)] * (x.ndim - 1)])


class _Extremum(_Reduction):
    """Complex numbers are ordered by their real, then by their imaginary part."""

    accepts = "biufc"

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        x = in_types[0]
        if x.size < FEWEST_OF_LIBRARY:
            return super().lower(emitter, operands, in_types, out_types)
        if skips_nans(emitter, x) and x.ndim - 1 in self.axes:
            return self._beside_flags(emitter, operands[0], x, out_types[0])

        def any_of(flags: str, flags_in: ArrayType, flags_out: ArrayType) -> str:
            no = emitter.scalar(False, flags_in)
            return emitter.reduce("or", flags, no, self.axes, flags_in, flags_out)

        extremum = super().lower(emitter, operands, in_types, out_types)
        return with_nans(emitter, extremum, operands[0], x, out_types[0], any_of)

    def _beside_flags(self, emitter: EmitterProtocol, operand: str, in_type: ArrayType, out_type: ArrayType) -> str:
        """The extremum by one reduction of pairs, which the library does not take: of the elements, and of flags.

        Along the last axis this takes half of the time of two reductions, along another one up to twice.
        """
        flags_in, flags_out = _flags(in_type), _flags(out_type)
        value, flag = in_type.update(shape=(), weak_type=False), flags_in.update(shape=())
        is_nan = emitter.op(f"stablehlo.compare NE, {operand}, {operand}, FLOAT", [in_type, in_type], flags_in)

        def body(names: list[str]) -> list[str]:
            a, p, b, q = names
            return [
                emitter.elementwise(self.hlo, [a, b], [value, value], value),
                emitter.elementwise("or", [p, q], [flag, flag], flag),
            ]

        region = emitter.region([value, flag, value, flag], body, [value, flag])
        starts = emitter.scalar(self.neutral(in_type.dtype), in_type), emitter.scalar(False, flag)
        text = emitter.text
        types = ", ".join([text(t) for t in (in_type, flags_in, value, flag)])
        extremum, found = emitter.raw_many(
            f'"stablehlo.reduce"({operand}, {is_nan}, {", ".join(starts)}) '
            f"<{{dimensions = {emitter.indices(self.axes)}}}> ({region}) : "
            f"({types}) -> ({text(out_type)}, {text(flags_out)})",
            2,
        )
        return emitter.select(found, emitter.splat(math.nan, out_type), extremum, flags_out, out_type)

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        x, t = primals[0], tangents[0]
        out = bind(self, x)
        kept = tuple([a for a in range(x.ndim) if a not in self.axes])
        if any(x.shape[a] == 0 for a in self.axes):
            return out, None
        where = convert(eq(x, broadcast_in_dim(out, x.shape, kept)), x.dtype)
        return out, div(reduce_sum(mul(t, where), self.axes), reduce_sum(where, self.axes))  # ties share equally


def with_nans(
    emitter: EmitterProtocol, extremum: str, operand: str, in_type: ArrayType, out_type: ArrayType,
    any_of: Callable[[str, ArrayType, ArrayType], str],
) -> str:  # fmt: skip
    """An extremum made NaN where ``any_of`` finds a NaN among its elements."""
    if not skips_nans(emitter, in_type):
        return extremum
    flags_in, flags_out = _flags(in_type), _flags(out_type)
    is_nan = emitter.op(f"stablehlo.compare NE, {operand}, {operand}, FLOAT", [in_type, in_type], flags_in)
    found, nan = any_of(is_nan, flags_in, flags_out), emitter.splat(math.nan, out_type)
    return emitter.select(found, nan, extremum, flags_out, out_type)


def skips_nans(emitter: EmitterProtocol, type: ArrayType) -> bool:
    """Whether an extremum skips NaNs: the library that XLA gives it to on CPU does (jaxlib 0.10.2 and 0.12).

    To find the NaNs besides costs less than one body of comparisons, which the library does not take.
    """
    return kind_of(type.dtype) == "f" and emitter.platform == "cpu" and type.size > 0


def _flags(type: ArrayType) -> ArrayType:
    return type.update(dtype=np.dtype(np.bool_), weak_type=False)


class ReduceMax(_Extremum):
    """The largest element over ``axes``; NaN if there is one."""

    hlo = "maximum"
    reference = staticmethod(np.max)

    def reduction(self) -> tuple[Combination, Sequence[int]]:
        return Combination.LARGER, self.axes

    def neutral(self, dtype: np.dtype[Any]) -> Any:
        return least(dtype)


class ReduceMin(_Extremum):
    """The smallest element over ``axes``; NaN if there is one."""

    hlo = "minimum"
    reference = staticmethod(np.min)

    def reduction(self) -> tuple[Combination, Sequence[int]]:
        return Combination.SMALLER, self.axes

    def neutral(self, dtype: np.dtype[Any]) -> Any:
        return greatest(dtype)


class _OfBits(_Reduction):
    """A reduction of bools or of the bits of integers, which JAX never has weak."""

    accepts = "biu"

    def infer(self, x: ArrayType) -> ArrayType:
        return super().infer(x).update(weak_type=False)


class ReduceAnd(_OfBits):
    """Bitwise (or logical) and over ``axes``."""

    hlo = "and"

    @staticmethod
    def reference(x: Any, axis: Axes, initial: Any) -> Any:
        return np.bitwise_and.reduce(x, axis=axis, initial=initial)

    def neutral(self, dtype: np.dtype[Any]) -> Any:
        return True if dtype == np.bool_ else -1 if kind_of(dtype) == "i" else int(np.iinfo(dtype).max)


class ReduceOr(_OfBits):
    """Bitwise (or logical) or over ``axes``."""

    hlo = "or"

    @staticmethod
    def reference(x: Any, axis: Axes, initial: Any) -> Any:
        return np.bitwise_or.reduce(x, axis=axis, initial=initial)

    def neutral(self, dtype: np.dtype[Any]) -> Any:
        return 0


class ReduceXor(_OfBits):
    """Bitwise (or logical) exclusive or over ``axes``."""

    hlo = "xor"

    @staticmethod
    def reference(x: Any, axis: Axes, initial: Any) -> Any:
        return np.bitwise_xor.reduce(x, axis=axis, initial=initial)

    def neutral(self, dtype: np.dtype[Any]) -> Any:
        return 0


class _ArgExtremum(Primitive):
    """The first position of the extremum along one axis; the first NaN wins over every number."""

    fusion = Fusion.REDUCING
    axis: int
    index_dtype: np.dtype[Any]
    direction: ClassVar[str] = ""

    def neutral(self, dtype: np.dtype[Any]) -> Any:
        """The value that every other replaces."""
        self.missing("neutral", "lowering")

    def infer(self, x: ArrayType) -> ArrayType:
        check_axes(self.name, x, (self.axis,))
        if x.shape[self.axis] == 0:
            raise FunctransValueError(f"{self.name}: axis {self.axis} of an array of shape {x.shape} is empty")
        if kind_of(x.dtype) not in "biuf":
            raise FunctransTypeError(f"{self.name} does not accept operands of dtype {short_dtype(x.dtype)}")
        if kind_of(self.index_dtype) not in "iu":
            raise FunctransTypeError(f"{self.name}: index_dtype must be an integer dtype, got {self.index_dtype}")
        return array_type(_without(x.shape, (self.axis,)), self.index_dtype, False)

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        return bind(self, primals[0]), None

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Any]:
        return bind(type(self)(self.axis + 1, self.index_dtype), operands[0]), True

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        x = in_types[0]
        value, index = array_type((), x.dtype), array_type((), self.index_dtype)
        positions = array_type(x.shape, self.index_dtype)
        iota = emitter.raw(f"stablehlo.iota dim = {self.axis} : {emitter.text(positions)}")
        body = compare_positions(emitter, self.direction, value, index)
        region = emitter.region([value, index, value, index], body, [value, index])
        starts = emitter.scalar(self.neutral(x.dtype), x), emitter.scalar(0, index)
        text = emitter.text
        out_value = array_type(out_types[0].shape, x.dtype)
        line = (
            f'"stablehlo.reduce"({operands[0]}, {iota}, {", ".join(starts)}) '
            f"<{{dimensions = array<i64: {self.axis}>}}> ({region}) : "
            f"({text(x)}, {text(positions)}, {text(value)}, {text(index)}) -> ({text(out_value)}, {text(out_types[0])})"
        )
        return emitter.raw_many(line, 2)[1]


def compare_positions(
    emitter: EmitterProtocol, direction: str, value: ArrayType, index: ArrayType
) -> Callable[[list[str]], list[str]]:
    """The body of a reduction of (value, position) pairs: the better value, of equal ones the earlier position.

    ``direction``: GT or LT. A NaN is better than any number and as good as another NaN.
    """
    flag = array_type((), np.dtype(np.bool_))

    def compare(direction: str, a: str, b: str, type_: ArrayType) -> str:
        text = f"stablehlo.compare {direction}, {a}, {b}, {compare_kind(type_.dtype)}"
        return emitter.op(text, [type_, type_], flag)

    def logic(name: str, a: str, b: str) -> str:
        return emitter.elementwise(name, [a, b], [flag, flag], flag)

    def body(names: list[str]) -> list[str]:
        a, i, b, j = names
        better, tie = compare(direction, a, b, value), compare("EQ", a, b, value)
        if compare_kind(value.dtype) == "FLOAT":
            a_nan, b_nan = compare("NE", a, a, value), compare("NE", b, b, value)
            tie = logic("or", tie, logic("and", a_nan, b_nan))
            better = logic("or", better, a_nan)
        earlier = compare("LT", i, j, index)
        first_index = logic("or", logic("and", better, _not(emitter, tie, flag)), logic("and", tie, earlier))
        return [emitter.select(better, a, b, flag, value), emitter.select(first_index, i, j, flag, index)]

    return body


def _not(emitter: EmitterProtocol, x: str, flag: ArrayType) -> str:
    return emitter.elementwise("not", [x], [flag], flag)


class Argmax(_ArgExtremum):
    """The position of the largest element along ``axis``."""

    direction = "GT"

    def neutral(self, dtype: np.dtype[Any]) -> Any:
        return least(dtype)

    def impl(self, x: Any) -> Any:
        return np.argmax(_float32_of_small(x), axis=self.axis).astype(self.index_dtype)


class Argmin(_ArgExtremum):
    """The position of the smallest element along ``axis``."""

    direction = "LT"

    def neutral(self, dtype: np.dtype[Any]) -> Any:
        return greatest(dtype)

    def impl(self, x: Any) -> Any:
        return np.argmin(_float32_of_small(x), axis=self.axis).astype(self.index_dtype)


def _float32_of_small(x: Any) -> Any:
    x = np.asarray(x)
    return x.astype(np.float32) if x.dtype.kind == "V" else x


def least(dtype: np.dtype[Any]) -> Any:
    """The value below all others of a dtype: complex numbers are ordered by real, then imaginary part."""
    if is_differentiable(dtype):
        return complex(-math.inf, -math.inf) if kind_of(dtype) == "c" else -math.inf
    return False if dtype == np.bool_ else int(np.iinfo(dtype).min)


def greatest(dtype: np.dtype[Any]) -> Any:
    """The value above all others of a dtype."""
    if is_differentiable(dtype):
        return complex(math.inf, math.inf) if kind_of(dtype) == "c" else math.inf
    return True if dtype == np.bool_ else int(np.iinfo(dtype).max)


def _without(shape: Axes, axes: Axes) -> Axes:
    return tuple([n for i, n in enumerate(shape) if i not in axes])


# -- functions -------------------------------------------------------------------------------------------------------


def _reduce(kind: type[_Reduction], operand: Any, axes: Sequence[int]) -> Any:
    axes = tuple(axes)
    return operand if not axes and type(operand) is Tracer else bind(kind(axes), operand)


def reduce_prod(operand: Any, axes: Sequence[int]) -> Any:
    """The product over ``axes``."""
    return _reduce(ReduceProd, operand, axes)


def reduce_max(operand: Any, axes: Sequence[int], *, out_sharding: Any = None) -> Any:
    """The largest element over ``axes``."""
    if out_sharding is not None:
        refuse("reduce_max", out_sharding=out_sharding)
    return _reduce(ReduceMax, operand, axes)


def reduce_min(operand: Any, axes: Sequence[int], *, out_sharding: Any = None) -> Any:
    """The smallest element over ``axes``."""
    if out_sharding is not None:
        refuse("reduce_min", out_sharding=out_sharding)
    return _reduce(ReduceMin, operand, axes)


def reduce_and(operand: Any, axes: Sequence[int]) -> Any:
    """Bitwise (or logical) and over ``axes``."""
    return _reduce(ReduceAnd, operand, axes)


def reduce_or(operand: Any, axes: Sequence[int]) -> Any:
    """Bitwise (or logical) or over ``axes``."""
    return _reduce(ReduceOr, operand, axes)


def reduce_xor(operand: Any, axes: Sequence[int]) -> Any:
    """Bitwise (or logical) exclusive or over ``axes``."""
    return _reduce(ReduceXor, operand, axes)


def argmax(operand: Any, axis: int, index_dtype: Any = np.int32) -> Any:
    """The first position of the largest element along ``axis``."""
    axis = canonical_axis("argmax", axis, np.ndim(operand) if isinstance(operand, int | float) else operand.ndim)
    return bind(Argmax(axis, canonical_dtype(index_dtype)), operand)


def argmin(operand: Any, axis: int, index_dtype: Any = np.int32) -> Any:
    """The first position of the smallest element along ``axis``."""
    axis = canonical_axis("argmin", axis, np.ndim(operand) if isinstance(operand, int | float) else operand.ndim)
    return bind(Argmin(axis, canonical_dtype(index_dtype)), operand)
