"""Arithmetic beyond the four operations: remainders, extrema, powers, signs, rounding."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from functrans.errors import FunctransTypeError
from functrans.ir.types import ArrayType, short_dtype
from functrans.ops.complex_numbers import complex_, conj, real
from functrans.ops.elementwise import (
    COMPLEX,
    MUL,
    UNIT,
    UNSIGNED,
    Elementwise,
    Stepwise,
    add,
    align,
    binary,
    div,
    kind_of,
    literal_value,
    mul,
    neg,
    real_dtype,
    same_type,
    sub,
)
from functrans.ops.expanded import Expanded
from functrans.ops.functions import log
from functrans.ops.logic import and_, eq, gt, lt, or_, select
from functrans.ops.structural import convert, full, scalar_literal
from functrans.trace.binding import bind
from functrans.trace.emitter import EmitterProtocol, Names, Types
from functrans.trace.primitive import Fusion, Tangent, Value
from functrans.trace.series import Line, Series
from functrans.trace.tracer import Tracer


class Rem(Elementwise):
    smooth = False
    fusion = Fusion.COSTLY
    hlo = "remainder"
    accepts = "iuf"
    reference = staticmethod(np.fmod)

    def partial(self, i: int, out: Any, x: Any, y: Any) -> Any:
        if i == 0:
            return UNIT
        quotient = div(x, y)
        return neg(mul(sign(quotient), floor(abs_(quotient))))


class Max(Elementwise):
    smooth = False
    cheap = True
    hlo = "maximum"
    accepts = "iufbc"
    reference = staticmethod(np.maximum)

    def partial(self, i: int, out: Any, *operands: Any) -> Any:
        return _share_of_ties(out, operands[i], operands[1 - i])


class Min(Elementwise):
    smooth = False
    cheap = True
    hlo = "minimum"
    accepts = "iufbc"
    reference = staticmethod(np.minimum)

    def partial(self, i: int, out: Any, *operands: Any) -> Any:
        return _share_of_ties(out, operands[i], operands[1 - i])


def _share_of_ties(out: Any, mine: Any, other: Any) -> Any:
    """1 where the result is mine alone, 1/2 where both operands are equal, 0 elsewhere."""
    share = select(eq(other, out), scalar_literal(0.5, out.dtype), scalar_literal(1.0, out.dtype))
    return select(eq(mine, out), share, 0.0)


class Pow(Elementwise):
    """x ** y for a floating or complex x."""

    effort = 10
    fusion = Fusion.COSTLY
    hlo = "power"
    accepts = "fc"
    reference = staticmethod(np.power)
    folds_literals = True

    @staticmethod
    def fold(x: Any, y: Any) -> Any:
        value = literal_value(y)
        return x if value is not None and value == 1 and same_type(x, y) else None

    def needs_number(self, place: int, number: Any) -> bool:
        # XLA makes products, reciprocals and square roots of these; a general power takes ten times as long.
        return place == 1 and not isinstance(number, complex) and abs(number) <= 4 and (2 * number) % 1 == 0

    def partial(self, i: int, out: Any, x: Any, y: Any) -> Any:
        if i == 0:
            exponent = literal_value(y)
            if exponent is not None:
                return None if exponent == 0 else mul(exponent, pow_(x, exponent - 1))
            return binary(POW_SLOPE, x, y)
        if literal_value(x) is not None:
            x = full(out.shape, literal_value(x), out.dtype)
        return mul(_log_of_base(x), out)

    def taylor(self, line: Line, operands: Sequence[Any]) -> Any:
        """For a power that is a number: whole ones by products, others by x y' = c y x'. Where x is 0 no coefficient is
        divided by it: those below the power are 0, those above infinite."""
        x, exponent = operands
        c = literal_value(exponent)
        if type(x) is not Series or not c or kind_of(x.dtype) == COMPLEX or abs(c) > _MOST_FACTORS:
            return line.along(self, operands)
        return _power(line, bind(self, line.value(x), exponent), x, c)


_MOST_FACTORS = 1024


def _power(line: Line, value: Any, x: Series, c: float) -> Series:
    """x^c along a line, whose value is known."""
    if c == int(c) and c > 0:
        product: Any = None
        square, left = x, int(c)
        while left:
            if left & 1:
                product = square if product is None else line.apply(MUL, [product, square])
            left >>= 1
            if left:
                square = line.apply(MUL, [square, square])
        return Series(value.type, [value], product.__getitem__, product.degree)
    first = line.value(x)
    zero = eq(first, 0.0)
    ends = or_(zero, eq(abs_(first), math.inf))  # where x^(c - k) is 0 or infinite
    base = Series(x.type, [select(ends, 1.0, first)], x.__getitem__, x.degree)

    slopes: list[Series] = []  # made when it is asked for: the x' of a solution is known after its right-hand side

    def step(k: int) -> Any:
        if not slopes:
            slopes.append(line.quotient(line.product(MUL, away, line.derivative(x)), base))
        slope = slopes[0][k - 1]
        return None if slope is None else mul(slope, c / k)

    away = Series(value.type, [select(ends, 1.0, value)], step)

    def chosen(k: int) -> Any:
        if away[k] is None:
            return None
        at_zero, at_infinity = (0.0, math.inf) if k < c else (math.inf, 0.0)
        # nothing where neither is: an infinite factor would be one of its derivative
        far = select(ends, at_infinity, full(first.shape, 0.0, first.dtype))
        limit = select(zero, at_zero, far)
        sign = math.prod([-1 if c - i < 0 else 1 for i in range(k)])
        steep = math.nan if x[1] is None else mul(integer_pow(x[1], k), mul(limit, float(sign)))
        return select(ends, steep, away[k])

    return Series(value.type, [value], chosen)


def _log_of_base(x: Any) -> Any:
    return log(select(eq(x, 0.0), 1.0, x))


class PowSlope(Expanded):
    """y x^(y - 1), the derivative of x^y by x; 0 for y = 0, as are its derivatives where x is 0 too."""

    accepts = "fc"

    @staticmethod
    def reference(x: Any, y: Any) -> Any:
        y = np.asarray(y)
        return y * np.power(x, np.where(y == 0, 0, y - 1).astype(y.dtype))

    def define(self, *operands: Any) -> Any:
        x, y = operands
        return mul(y, pow_(x, select(eq(y, 0.0), 0.0, sub(y, 1.0))))

    def partial(self, i: int, out: Any, x: Any, y: Any) -> Any:
        undefined = and_(eq(x, 0.0), eq(y, 0.0))
        base, exponent = select(undefined, 1.0, x), sub(y, 1.0)
        if i == 0:
            return mul(y, bind(POW_SLOPE, base, exponent))
        return select(undefined, 0.0, add(pow_(base, exponent), mul(_log_of_base(x), out)))


class IntegerPow(Elementwise):
    """x ** y for a static integer y."""

    cheap = True
    y: int

    @property
    def exponent(self) -> int:
        return self.y

    def impl(self, *arrays: Any) -> Any:
        x = np.asarray(arrays[0])
        if self.y < 0:
            return (np.ones((), x.dtype) / x ** np.asarray(-self.y, x.dtype if x.dtype.kind in "iu" else None)).astype(
                x.dtype
            )
        return np.power(x, np.asarray(self.y)).astype(x.dtype)

    def infer(self, *types: ArrayType) -> ArrayType:
        if self.y < 0 and kind_of(types[0].dtype) in "iu":
            raise FunctransTypeError(
                f"integer_pow: integers of dtype {short_dtype(types[0].dtype)} cannot be raised to the negative power "
                f"{self.y}; convert the base to a floating dtype"
            )
        return super().infer(*types)

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return None if self.y == 0 else mul(self.y, integer_pow(x, self.y - 1))

    def taylor(self, line: Line, operands: Sequence[Any]) -> Any:
        (x,) = operands
        if self.y == 0 or abs(self.y) > _MOST_FACTORS or (self.y < 0 and kind_of(x.dtype) == COMPLEX):
            return line.along(self, operands)
        return _power(line, bind(self, line.value(x)), x, self.y)

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        type_ = out_types[0]
        remaining, square, result = abs(self.y), operands[0], None
        while remaining:
            if remaining & 1:
                result = (
                    square if result is None else emitter.elementwise("multiply", [result, square], [type_] * 2, type_)
                )
            remaining >>= 1
            if remaining:
                square = emitter.elementwise("multiply", [square, square], [type_] * 2, type_)
        one = emitter.splat(1, type_)
        if result is None:
            return one
        return result if self.y > 0 else emitter.elementwise("divide", [one, result], [type_] * 2, type_)


class Square(Elementwise):
    cheap = True
    reference = staticmethod(np.square)

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return mul(2.0 if kind_of(x.dtype) in "fc" else 2, x)

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        if kind_of(in_types[0].dtype) == COMPLEX:  # (a - b)(a + b) for the real part: a * a - b * b loses digits
            type_ = emitter.text(out_types[0])
            return emitter.raw(f"chlo.square {operands[0]} : {type_} -> {type_}")
        return emitter.elementwise("multiply", [operands[0]] * 2, [in_types[0]] * 2, out_types[0])


class Abs(Elementwise):
    smooth = False
    cheap = True
    hlo = "abs"
    reference = staticmethod(np.abs)

    def result_dtype(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        return real_dtype(dtype)

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        x, t = primals[0], tangents[0]
        out = abs_(x)
        if kind_of(x.dtype) == COMPLEX:
            return out, real(mul(t, conj(sign(x))))
        return out, mul(t, sign(x))

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        if kind_of(in_types[0].dtype) == UNSIGNED:
            return operands[0]
        return super().lower(emitter, operands, in_types, out_types)


class Sign(Elementwise):
    smooth = False
    cheap = True
    hlo = "sign"
    reference = staticmethod(np.sign)

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        x, t = primals[0], tangents[0]
        out = sign(x)
        if kind_of(x.dtype) != COMPLEX:
            return out, None
        # d(z/|z|) = (dz - s Re(conj(s) dz)) / |z|
        size = abs_(x)
        safe = select(eq(size, 0.0), 1.0, size)
        radial = real(mul(t, conj(out)))
        turn = sub(t, mul(complex_(radial, full(size.shape, 0, size.dtype)), out))
        return out, div(turn, complex_(safe, full(size.shape, 0, size.dtype)))

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        if kind_of(in_types[0].dtype) == UNSIGNED:
            zero, one = emitter.splat(0, in_types[0]), emitter.splat(1, in_types[0])
            boolean = in_types[0].update(dtype=np.dtype(np.bool_), weak_type=False)
            is_zero = emitter.op(f"stablehlo.compare EQ, {operands[0]}, {zero}, UNSIGNED", [in_types[0]] * 2, boolean)
            return emitter.select(is_zero, zero, one, boolean, out_types[0])
        return super().lower(emitter, operands, in_types, out_types)


class Clamp(Elementwise):
    """min(max(x, low), high); operands are (low, x, high) of one shape, or scalar literals as bounds."""

    smooth = False
    cheap = True
    accepts = "iufb"

    def impl(self, *arrays: Any) -> Any:
        low, x, high = arrays
        return np.minimum(np.maximum(x, low), high).astype(np.asarray(x).dtype)

    def partial(self, i: int, out: Any, low: Any, x: Any, high: Any) -> Any:
        inside = and_(gt(x, low), lt(x, high)) if i == 1 else gt(low, x) if i == 0 else lt(high, x)
        if i == 0:
            inside = and_(inside, lt(low, high))
        return convert(inside, out.dtype)

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        return emitter.op(f"stablehlo.clamp {', '.join(operands)}", [out_types[0]] * 3, out_types[0])


class Floor(Stepwise):
    hlo = "floor"
    accepts = "f"
    reference = staticmethod(np.floor)


class Ceil(Stepwise):
    hlo = "ceil"
    accepts = "f"
    reference = staticmethod(np.ceil)


class Round(Stepwise):
    """Round half away from zero (``to_even=False``) or half to even."""

    to_even: bool = False
    accepts = "f"

    def impl(self, *arrays: Any) -> Any:
        x = np.asarray(arrays[0])
        if self.to_even:
            return np.rint(x)
        return np.trunc(x) + np.copysign((np.abs(x - np.trunc(x)) >= 0.5), x).astype(x.dtype)

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        name = "round_nearest_even" if self.to_even else "round_nearest_afz"
        return emitter.elementwise(name, operands, in_types, out_types[0])


class NextAfter(Stepwise):
    accepts = "f"
    reference = staticmethod(np.nextafter)

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        type_ = emitter.text(out_types[0])
        return emitter.raw(f"chlo.broadcast_next_after {', '.join(operands)} : ({type_}, {type_}) -> {type_}")


REM, MAX, MIN, POW, POW_SLOPE = Rem(), Max(), Min(), Pow(), PowSlope()
SQUARE, ABS, SIGN, CLAMP = Square(), Abs(), Sign(), Clamp()
FLOOR, CEIL, NEXTAFTER = Floor(), Ceil(), NextAfter()


def rem(x: Any, y: Any) -> Any:
    """The remainder with the sign of x."""
    return binary(REM, x, y)


def max_(x: Any, y: Any) -> Any:
    """The larger of x and y; NaN if either is."""
    return binary(MAX, x, y)


def min_(x: Any, y: Any) -> Any:
    """The smaller of x and y; NaN if either is."""
    return binary(MIN, x, y)


def pow_(x: Any, y: Any) -> Any:
    """x ** y."""
    return binary(POW, x, y)


def integer_pow(x: Any, y: int) -> Any:
    """x ** y for a static integer y."""
    if y == 1 and type(x) is Tracer:
        return x
    if y == 2:
        return binary(MUL, x, x) if type(x) is Tracer else bind(IntegerPow(2), x)
    return bind(IntegerPow(int(y)), x)


def square(x: Any) -> Any:
    """square of each element."""
    return bind(SQUARE, x)


def abs_(x: Any) -> Any:
    """The absolute value."""
    return bind(ABS, x)


def sign(x: Any) -> Any:
    """-1, 0 or 1; z/|z| for complex numbers."""
    return bind(SIGN, x)


def clamp(min: Any, x: Any, max: Any) -> Any:
    """x, but ``min`` where it is below it and ``max`` where it is above."""
    return bind(CLAMP, *align(CLAMP, min, x, max))


def floor(x: Any) -> Any:
    """floor of each element."""
    return bind(FLOOR, x)


def ceil(x: Any) -> Any:
    """ceil of each element."""
    return bind(CEIL, x)


def round_(x: Any, to_even: bool = False) -> Any:
    """The nearest integer; halves go away from zero, or to even."""
    return bind(Round(bool(to_even)), x)


def nextafter(x1: Any, x2: Any) -> Any:
    """nextafter of corresponding elements."""
    return binary(NEXTAFTER, x1, x2)
