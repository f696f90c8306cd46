"""Running sums, products, extrema and log-sum-exps along an axis.

Lowered to a windowed reduction, which XLA rewrites to blocks. All of them but the sum, which is linear, are first-order
recurrences out[i] = f(out[i-1], x[i]); so is the tangent, with coefficients from x and out, and a scan of logarithmic
depth solves it. Nothing is divided by: zeros in a product are exact.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from functrans.errors import FunctransTypeError
from functrans.ir.types import ArrayType, short_dtype, type_of
from functrans.ops.arithmetic import abs_
from functrans.ops.elementwise import add, kind_of, mul, sub
from functrans.ops.functions import exp
from functrans.ops.logic import eq, select
from functrans.ops.reductions import greatest, least
from functrans.ops.slicing import canonical_axis, concatenate, pad, rev, slice_in_dim
from functrans.ops.structural import check_axes, full
from functrans.ops.windowed_reductions import apart_from_padding, lower_windows
from functrans.trace.binding import bind
from functrans.trace.detection import Detection, Entry
from functrans.trace.emitter import EmitterProtocol, Names, Types
from functrans.trace.primitive import Lanes, Primitive, Tangent, Value


class _Cumulative(Primitive):
    """A running reduction along ``axis``, from the end if ``reverse``."""

    axis: int
    reverse: bool
    accepts: ClassVar[str] = "iufc"
    hlo: ClassVar[str] = ""
    reference: ClassVar[Any] = None

    def neutral(self, dtype: np.dtype[Any]) -> Any:
        """The element that changes nothing."""
        self.missing("neutral", "lowering")

    def coefficients(self, before: Any, x: Any, out: Any) -> tuple[Any, Any]:
        """For out = f(before, x): the derivatives by before and by x."""
        self.missing("coefficients", "differentiation")

    def infer(self, x: ArrayType) -> ArrayType:
        check_axes(self.name, x, (self.axis,))
        if kind_of(x.dtype) not in self.accepts:
            raise FunctransTypeError(f"{self.name} does not accept operands of dtype {short_dtype(x.dtype)}")
        return x

    def apart(self, axes: Sequence[int | None], types: Sequence[ArrayType]) -> int | None:
        (axis,) = axes
        return None if axis == self.axis else axis

    def impl(self, x: Any) -> Any:
        x = np.asarray(x)
        wide = x.astype(np.float32) if x.dtype.kind == "V" else x
        wide = np.flip(wide, self.axis) if self.reverse else wide
        out = type(self).reference(wide, self.axis)
        return (np.flip(out, self.axis) if self.reverse else out).astype(x.dtype)

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        (x,) = primals
        t: Any = tangents[0]
        out = bind(self, x)
        size = x.shape[self.axis]
        if size < 2:
            return out, t
        xs, ts, outs = (rev(v, (self.axis,)) if self.reverse else v for v in (x, t, out))
        before = slice_in_dim(outs, 0, size - 1, axis=self.axis)
        x, t, after = (slice_in_dim(v, 1, size, axis=self.axis) for v in (xs, ts, outs))
        by_before, by_x = self.coefficients(before, x, after)
        first = [(0, 0, 0)] * xs.ndim
        first[self.axis] = (1, 0, 0)
        offsets = concatenate([slice_in_dim(ts, 0, 1, axis=self.axis), mul(t, by_x)], self.axis)
        _, slopes = prefix_scan(_affine, [pad(by_before, 0, first), offsets], self.axis)
        return out, rev(slopes, (self.axis,)) if self.reverse else slopes

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Any]:
        return bind(type(self)(self.axis + 1, self.reverse), operands[0]), True

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        x = in_types[0]
        size = x.shape[self.axis]
        if x.size == 0:
            return operands[0]
        ones = (1,) * x.ndim
        padding = [(0, 0)] * x.ndim
        padding[self.axis] = (0, size - 1) if self.reverse else (size - 1, 0)
        window = tuple([size if a == self.axis else 1 for a in range(x.ndim)])
        initial = emitter.scalar(self.neutral(x.dtype), x)
        scalar = x.update(shape=())
        if x.ndim > 1 and size > 1:  # XLA leaves vectors alone, which small loops hold
            operands = apart_from_padding(emitter, operands, in_types)
        return lower_windows(
            emitter, operands, [initial], in_types, out_types, (window, ones, tuple(padding), ones, ones),
            lambda names: [self.combined(emitter, names, scalar)],
        )[0]  # fmt: skip

    def combined(self, emitter: EmitterProtocol, names: list[str], scalar: ArrayType) -> str:
        """Two running values made one."""
        return emitter.elementwise(self.hlo, names, [scalar, scalar], scalar)


def _affine(earlier: Sequence[Any], later: Sequence[Any]) -> list[Any]:
    """The composition of two maps t -> factor t + offset."""
    (factor, offset), (next_factor, next_offset) = earlier, later
    return [mul(factor, next_factor), add(mul(offset, next_factor), next_offset)]


class Cumsum(_Cumulative):
    """The running sum."""

    hlo = "add"

    @staticmethod
    def reference(x: Any, axis: int) -> Any:
        return np.cumsum(x, axis, dtype=x.dtype)

    def neutral(self, dtype: np.dtype[Any]) -> Any:
        return 0

    def sparsity(self, detection: Detection, operands: Sequence[Entry], types: Sequence[ArrayType]) -> Any:
        sets, reach = operands[0].sets, 1  # of so many elements, the last one at its place
        while reach < types[0].shape[self.axis]:
            sets = detection.union(sets, detection.renumbered(sets, functools.partial(self._later, by=reach)))
            reach *= 2
        return sets

    def _later(self, numbers: Any, by: int) -> Any:
        """What stands so many places before, 0 for nothing."""
        out = np.zeros_like(numbers)
        along, source = np.moveaxis(out, self.axis, 0), np.moveaxis(numbers, self.axis, 0)
        if self.reverse:
            along[:-by] = source[by:]
        else:
            along[by:] = source[:-by]
        return out

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        return bind(self, primals[0]), bind(self, tangents[0])

    def transpose(self, cotangent: Any, x: Any) -> Sequence[Any]:
        return [bind(Cumsum(self.axis, not self.reverse), cotangent)]


class Cumprod(_Cumulative):
    """The running product."""

    hlo = "multiply"

    @staticmethod
    def reference(x: Any, axis: int) -> Any:
        return np.cumprod(x, axis, dtype=x.dtype)

    def neutral(self, dtype: np.dtype[Any]) -> Any:
        return 1

    def coefficients(self, before: Any, x: Any, out: Any) -> tuple[Any, Any]:
        return x, before


class _CumulativeExtremum(_Cumulative):
    accepts = "iufc"  # complex numbers by their real, then by their imaginary part

    def coefficients(self, before: Any, x: Any, out: Any) -> tuple[Any, Any]:
        # as a chain of two-operand extrema: of equal operands each has half
        by_x = select(eq(x, out), select(eq(before, out), 0.5, full(x.shape, 1, x.dtype)), 0.0)
        return sub(1.0, by_x), by_x


class Cummax(_CumulativeExtremum):
    """The running maximum; NaN from the first NaN on."""

    hlo = "maximum"

    @staticmethod
    def reference(x: Any, axis: int) -> Any:
        return np.maximum.accumulate(x, axis)

    def neutral(self, dtype: np.dtype[Any]) -> Any:
        return least(dtype)


class Cummin(_CumulativeExtremum):
    """The running minimum; NaN from the first NaN on."""

    hlo = "minimum"

    @staticmethod
    def reference(x: Any, axis: int) -> Any:
        return np.minimum.accumulate(x, axis)

    def neutral(self, dtype: np.dtype[Any]) -> Any:
        return greatest(dtype)


class Cumlogsumexp(_Cumulative):
    """The running log(sum(exp(x)))."""

    accepts = "f"

    @staticmethod
    def reference(x: Any, axis: int) -> Any:
        return np.logaddexp.accumulate(x, axis)

    def neutral(self, dtype: np.dtype[Any]) -> Any:
        return -math.inf

    def coefficients(self, before: Any, x: Any, out: Any) -> tuple[Any, Any]:
        at = select(eq(abs_(out), math.inf), 0.0, out)  # infinity - infinity is to be 0
        return tuple(exp(sub(select(eq(v, math.inf), 0.0, v), at)) for v in (before, x))

    def combined(self, emitter: EmitterProtocol, names: list[str], scalar: ArrayType) -> str:
        def apply(name: str, *operands: str) -> str:
            return emitter.elementwise(name, operands, [scalar] * len(operands), scalar)

        flag = scalar.update(dtype=np.dtype(np.bool_), weak_type=False)
        difference = apply("subtract", *names)
        rest = apply("log_plus_one", apply("exponential", apply("negate", apply("abs", difference))))
        is_nan = emitter.op(f"stablehlo.compare NE, {difference}, {difference}, FLOAT", [scalar, scalar], flag)
        total = apply("add", apply("maximum", *names), rest)
        return emitter.select(is_nan, apply("add", *names), total, flag, scalar)


def prefix_scan(
    combine: Callable[[Sequence[Any], Sequence[Any]], Sequence[Any]], elements: Sequence[Any], axis: int
) -> list[Any]:
    """All prefixes of arrays along ``axis`` under an associative operation on lists of arrays, in logarithmic depth.

    The odd places are the prefixes of neighbours combined; an even place is the odd one before it and its own element
    (Blelloch 1990, section 1.4).
    """
    size = elements[0].shape[axis]
    if size < 2:
        return list(elements)

    def part(xs: Sequence[Any], start: int, stop: int, step: int = 1) -> list[Any]:
        return [slice_in_dim(x, start, stop, step, axis) for x in xs]

    odd = prefix_scan(combine, combine(part(elements, 0, size - 1, 2), part(elements, 1, size, 2)), axis)
    even = part(elements, 0, 1)
    if size > 2:
        count = (size - 1) // 2
        rest = combine(part(odd, 0, count), part(elements, 2, size, 2))
        even = [concatenate([first, more], axis) for first, more in zip(even, rest, strict=True)]
    return [_interleaved(a, b, axis) for a, b in zip(even, odd, strict=True)]


def _interleaved(even: Any, odd: Any, axis: int) -> Any:
    """Alternating elements of two arrays, the second as long as the first or one shorter."""
    low, high = ([(0, 0, 0)] * even.ndim for _ in range(2))
    more = even.shape[axis] - odd.shape[axis]
    low[axis], high[axis] = (0, 1 - more, 1), (1, more, 1)
    return add(pad(even, _zero(even), low), pad(odd, _zero(odd), high))


def _zero(x: Any) -> Any:
    return False if x.dtype == np.bool_ else 0


# -- functions ---------------------------------------------------------------------------------------------------------


def _cumulative(kind: type[_Cumulative], summary: str, example: str) -> Callable[..., Any]:
    name = kind.name

    def function(operand: Any, axis: int = 0, reverse: bool = False) -> Any:
        return bind(kind(canonical_axis(name, axis, type_of(operand).ndim), bool(reverse)), operand)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"""{summary} along ``axis``, from the end if ``reverse``. Shape and dtype stay.

    Raises:
      TypeError: the dtype is not one of numbers.
      ValueError: no such axis.

    >>> from functrans import lax
    >>> import numpy as np
    >>> lax.{name}(np.float32({example.partition(" ")[0]})).tolist()
    {example.partition(" ")[2]}
    """
    return function


cumsum = _cumulative(Cumsum, "The running sum", "[1,2,3] [1.0, 3.0, 6.0]")
cumprod = _cumulative(Cumprod, "The running product", "[1,2,3] [1.0, 2.0, 6.0]")
cummax = _cumulative(Cummax, "The running maximum", "[1,3,2] [1.0, 3.0, 3.0]")
cummin = _cumulative(Cummin, "The running minimum", "[2,3,1] [2.0, 2.0, 1.0]")
cumlogsumexp = _cumulative(Cumlogsumexp, "The running log-sum-exp", "[0,-np.inf] [0.0, 0.0]")
