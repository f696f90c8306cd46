"""Functions made of exponentials: powers of two, hyperbolic functions and their inverses, the logistic function.

Their derivatives are not made from rounded results: 1 - tanh(x)^2 has no digits left where tanh(x) is nearly 1. The
square of the hyperbolic secant, from the exponential of a negative number, has them all.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from functrans.ops.arithmetic import abs_, clamp, max_, min_, round_, sign
from functrans.ops.elementwise import COMPLEX, Elementwise, add, binary, div, kind_of, mul, neg, sub
from functrans.ops.expanded import Expanded
from functrans.ops.functions import exp, expm1, log1p, rsqrt, written_in_parts
from functrans.ops.logic import and_, eq, gt, lt, ne, select
from functrans.ops.representation import bitcast_convert_type
from functrans.ops.structural import convert
from functrans.trace.binding import bind
from functrans.trace.emitter import EmitterProtocol, Names, Types
from functrans.trace.keywords import refuse
from functrans.trace.primitive import Fusion


def _is_complex(x: Any) -> bool:
    return kind_of(x.dtype) == COMPLEX


class _Inverse(Elementwise):
    """A function that StableHLO knows through its client dialect."""

    effort = 10
    fusion = Fusion.COSTLY
    accepts = "fc"

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        (x,), (result,) = operands, out_types
        type_ = emitter.text(result)
        if result.dtype.itemsize > 2:
            return emitter.raw(f"chlo.{self.hlo} {x} : {type_} -> {type_}")
        single = emitter.text(result.update(dtype=np.dtype(np.float32)))  # XLA would round its steps to half precision
        wide = emitter.raw(f"stablehlo.convert {x} : ({type_}) -> {single}")
        out = emitter.raw(f"chlo.{self.hlo} {wide} : {single} -> {single}")
        return emitter.raw(f"stablehlo.convert {out} : ({single}) -> {type_}")


class _RealExpanded(_Inverse, Expanded):
    """Our own program for real operands, and for complex ones one of their parts."""

    parts: ClassVar[tuple[str, str, str, str]]

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        if kind_of(in_types[0].dtype) == COMPLEX:
            return written_in_parts(emitter, operands[0], in_types[0], self.parts)
        return Expanded.lower(self, emitter, operands, in_types, out_types)


# -- powers of two ---------------------------------------------------------------------------------------------------


class Exp2(Expanded):
    accepts = "fc"
    reference = staticmethod(np.exp2)

    def define(self, *operands: Any) -> Any:
        """2^n 2^r for the nearest integer n: a product of a large x with log(2) would round away digits of the power.
        """
        (x,) = operands
        if _is_complex(x):
            return exp(mul(x, math.log(2.0)))
        limits = np.finfo(x.dtype)
        x = clamp(float(2 * limits.minexp), x, float(2 * limits.maxexp))
        whole = round_(x, to_even=True)
        fraction = exp(mul(sub(x, whole), math.log(2.0)))
        integer = convert(whole, np.dtype(f"int{limits.bits}"))
        half = div(integer, 2)  # 2^n itself may lie outside of the range, or be subnormal
        return mul(mul(fraction, _power_of_two(half, x.dtype)), _power_of_two(sub(integer, half), x.dtype))

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return mul(out, math.log(2.0))


def _power_of_two(n: Any, dtype: np.dtype[Any]) -> Any:
    """2^n; bits of n above the width of the exponent do not matter."""
    limits = np.finfo(dtype)
    return bitcast_convert_type(mul(add(n, limits.maxexp - 1), 1 << limits.nmant), dtype)


# -- hyperbolic functions --------------------------------------------------------------------------------------------


class Sinh(_RealExpanded):
    hlo = "sinh"
    parts = ("sinh", "cosine", "cosh", "sine")
    reference = staticmethod(np.sinh)

    def define(self, *operands: Any) -> Any:
        """2 sinh(x/2) cosh(x/2): exp(x/2) is in range, and exact where exp(x - log(2)) is not."""
        (x,) = operands
        u = expm1(mul(abs_(x), 0.5))
        whole = add(u, 1.0)
        inverse = div(1.0, whole)
        return mul(mul(mul(sign(x), 0.5), mul(u, add(inverse, 1.0))), add(whole, inverse))

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return cosh(x)


class Cosh(_RealExpanded):
    hlo = "cosh"
    parts = ("cosh", "cosine", "sinh", "sine")
    reference = staticmethod(np.cosh)

    def define(self, *operands: Any) -> Any:
        (x,) = operands
        root = exp(mul(abs_(x), 0.5))
        return add(mul(mul(root, 0.5), root), div(0.5, mul(root, root)))

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return sinh(x)


class Tanh(Elementwise):
    effort = 10
    fusion = Fusion.COSTLY
    hlo = "tanh"
    accepts = "fc"
    reference = staticmethod(np.tanh)

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return sech_squared(x)


class SechSquared(Expanded):
    """1 / cosh(x)^2, the derivative of tanh(x)."""

    accepts = "fc"

    @staticmethod
    def reference(x: Any) -> Any:
        return (1 / np.square(np.cosh(x))).astype(np.asarray(x).dtype)

    def define(self, *operands: Any) -> Any:
        """(exp(-abs(x)) (1 + abs(tanh(x))))^2; XLA shares tanh(x) with what is being differentiated."""
        (x,) = operands
        value = tanh(x)
        if _is_complex(x):
            return sub(1.0, mul(value, value))
        root = mul(exp(neg(abs_(x))), add(abs_(value), 1.0))
        return mul(root, root)

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return mul(mul(tanh(x), out), -2.0)


class Asinh(_Inverse):
    hlo = "asinh"
    reference = staticmethod(np.arcsinh)

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return bind(ASINH_SLOPE, x)


class Acosh(_Inverse):
    hlo = "acosh"
    reference = staticmethod(np.arccosh)

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return bind(ACOSH_SLOPE, x)


class _InverseRoot(Expanded):
    """1 / sqrt(x^2 + c), where the square of x would overflow too."""

    accepts = "fc"

    def near(self, x: Any) -> Any:
        """Where x^2 is in range."""
        self.missing("near", "execution on a device")

    def define(self, *operands: Any) -> Any:
        (x,) = operands
        if _is_complex(x):
            return self.near(x)
        size = abs_(x)
        large = gt(size, 2.0 ** (np.finfo(x.dtype).maxexp // 2 - 1))
        return select(large, div(1.0, size), self.near(x))

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return neg(mul(mul(mul(x, out), out), out))  # in this order nothing overflows


class AsinhSlope(_InverseRoot):
    """1 / sqrt(x^2 + 1), the derivative of asinh(x)."""

    @staticmethod
    def reference(x: Any) -> Any:
        return (1 / np.sqrt(1 + np.square(x))).astype(np.asarray(x).dtype)

    def near(self, x: Any) -> Any:
        return rsqrt(add(mul(x, x), 1.0))


class AcoshSlope(_InverseRoot):
    """1 / sqrt(x^2 - 1), the derivative of acosh(x)."""

    @staticmethod
    def reference(x: Any) -> Any:
        return (1 / (np.sqrt(x - 1) * np.sqrt(x + 1))).astype(np.asarray(x).dtype)

    def near(self, x: Any) -> Any:
        below, above = sub(x, 1.0), add(x, 1.0)
        if _is_complex(x):  # a root of the product would lie on another branch
            return mul(rsqrt(below), rsqrt(above))
        return rsqrt(mul(below, above))


class Atanh(_Inverse):
    hlo = "atanh"
    reference = staticmethod(np.arctanh)

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return div(1.0, sub(1.0, mul(x, x)))


# -- logistic --------------------------------------------------------------------------------------------------------


class Logistic(Elementwise):
    effort = 10
    fusion = Fusion.COSTLY
    hlo = "logistic"
    accepts = "fc"

    @staticmethod
    def reference(x: Any) -> Any:
        return (1 / (1 + np.exp(-np.asarray(x)))).astype(np.asarray(x).dtype)

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return bind(LOGISTIC_SLOPE, x)


class LogisticSlope(Expanded):
    """logistic(x) logistic(-x), the derivative of logistic(x)."""

    accepts = "fc"

    @staticmethod
    def reference(x: Any) -> Any:
        return (0.25 / np.square(np.cosh(np.asarray(x) / 2))).astype(np.asarray(x).dtype)

    def define(self, *operands: Any) -> Any:
        """Beyond 1 exp(-abs(x)) logistic(abs(x))^2; XLA shares logistic(x) with what is being differentiated."""
        (x,) = operands
        value = logistic(x)
        other = sub(1.0, value)
        product = mul(value, other)  # a rounding of one is made up for by the other where they are nearly equal
        if _is_complex(x):
            return product
        size, larger = abs_(x), select(lt(value, other), other, value)
        return select(lt(size, 1.0), product, mul(mul(exp(neg(size)), larger), larger))

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return neg(mul(out, tanh(mul(x, 0.5))))


class LogAddExp(Expanded):
    """log(exp(x) + exp(y))"""

    @staticmethod
    def reference(x: Any, y: Any) -> Any:
        x, y = np.asarray(x), np.asarray(y)
        return np.logaddexp(x.astype(np.float64), y.astype(np.float64)).astype(x.dtype)

    def define(self, *operands: Any) -> Any:
        x, y = operands
        difference = sub(x, y)
        out = add(max_(x, y), log1p(exp(neg(abs_(difference)))))
        return select(ne(difference, difference), add(x, y), out)  # inf - inf: the sum is the answer, as for NaN

    def partial(self, i: int, out: Any, *operands: Any) -> Any:
        """The share of this exponential: half of two infinite ones, none of two that are zero."""
        mine, other = operands[i], operands[1 - i]
        difference = sub(mine, other)
        infinite = and_(eq(mine, other), ne(difference, difference))
        return logistic(select(infinite, min_(mine, 0.0), difference))


EXP2, SINH, COSH, TANH, SECH_SQUARED = Exp2(), Sinh(), Cosh(), Tanh(), SechSquared()
ASINH, ACOSH, ATANH, LOGISTIC = Asinh(), Acosh(), Atanh(), Logistic()
ASINH_SLOPE, ACOSH_SLOPE = AsinhSlope(), AcoshSlope()
LOGISTIC_SLOPE, LOG_ADD_EXP = LogisticSlope(), LogAddExp()


def exp2(x: Any, *, accuracy: Any = None) -> Any:
    """exp2 of each element."""
    if accuracy is not None:
        refuse("exp2", accuracy=accuracy)
    return bind(EXP2, x)


def sinh(x: Any) -> Any:
    """sinh of each element."""
    return bind(SINH, x)


def cosh(x: Any) -> Any:
    """cosh of each element."""
    return bind(COSH, x)


def tanh(x: Any, *, accuracy: Any = None) -> Any:
    """tanh of each element."""
    if accuracy is not None:
        refuse("tanh", accuracy=accuracy)
    return bind(TANH, x)


def sech_squared(x: Any) -> Any:
    """1 / cosh(x)^2, exact where it is small."""
    return bind(SECH_SQUARED, x)


def asinh(x: Any) -> Any:
    """asinh of each element."""
    return bind(ASINH, x)


def acosh(x: Any) -> Any:
    """acosh of each element."""
    return bind(ACOSH, x)


def atanh(x: Any) -> Any:
    """atanh of each element."""
    return bind(ATANH, x)


def logistic(x: Any, *, accuracy: Any = None) -> Any:
    """1 / (1 + exp(-x))."""
    if accuracy is not None:
        refuse("logistic", accuracy=accuracy)
    return bind(LOGISTIC, x)


def log_add_exp(x: Any, y: Any) -> Any:
    """log(exp(x) + exp(y)), without overflow."""
    return binary(LOG_ADD_EXP, x, y)
