"""Exponential, logarithmic, trigonometric and hyperbolic functions, powers of one half and a third."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from functrans.ops.elementwise import COMPLEX, Elementwise, add, binary, div, kind_of, mul, neg, sub
from functrans.trace.builder import bind
from functrans.trace.emitter import EmitterProtocol, Names, Types
from functrans.trace.primitive import Fusion, Tangent, Value


class _Floating(Elementwise):
    effort = 10
    fusion = Fusion.COSTLY
    accepts = "fc"


class Exp(_Floating):
    hlo = "exponential"
    reference = staticmethod(np.exp)

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return out


class Exp2(_Floating):
    reference = staticmethod(np.exp2)

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return mul(out, float(np.log(2.0)))

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        scaled = emitter.elementwise(
            "multiply", [operands[0], emitter.splat(np.log(2.0), in_types[0])], [in_types[0]] * 2, in_types[0]
        )
        return emitter.elementwise("exponential", [scaled], in_types, out_types[0])


class Expm1(_Floating):
    hlo = "exponential_minus_one"
    reference = staticmethod(np.expm1)

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return add(out, 1.0)


class Log(_Floating):
    hlo = "log"
    reference = staticmethod(np.log)

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        return log(primals[0]), div(tangents[0], primals[0])


class Log1p(_Floating):
    hlo = "log_plus_one"
    reference = staticmethod(np.log1p)

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        return log1p(primals[0]), div(tangents[0], add(primals[0], 1.0))


class Sqrt(_Floating):
    hlo = "sqrt"
    reference = staticmethod(np.sqrt)

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        out = sqrt(primals[0])
        return out, mul(tangents[0], div(0.5, out))


class Rsqrt(_Floating):
    hlo = "rsqrt"

    @staticmethod
    def reference(x: Any) -> Any:
        return (1 / np.sqrt(x)).astype(np.asarray(x).dtype)

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return mul(-0.5, div(out, x))


class Cbrt(_Floating):
    hlo = "cbrt"
    accepts = "f"
    reference = staticmethod(np.cbrt)

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return div(1.0 / 3.0, mul(out, out))


class Sin(_Floating):
    hlo = "sine"
    reference = staticmethod(np.sin)

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return cos(x)


class Cos(_Floating):
    hlo = "cosine"
    reference = staticmethod(np.cos)

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return neg(sin(x))


class Tan(_Floating):
    hlo = "tan"
    reference = staticmethod(np.tan)

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return add(mul(out, out), 1.0)


class _Chlo(_Floating):
    """A function that StableHLO knows through its client dialect."""

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        type_ = emitter.text(out_types[0])
        return emitter.raw(f"chlo.{self.hlo} {operands[0]} : {type_} -> {type_}")


class Asin(_Chlo):
    hlo = "asin"
    reference = staticmethod(np.arcsin)

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return rsqrt(sub(1.0, mul(x, x)))


class Acos(_Chlo):
    hlo = "acos"
    reference = staticmethod(np.arccos)

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return neg(rsqrt(sub(1.0, mul(x, x))))


class Atan(_Chlo):
    hlo = "atan"
    reference = staticmethod(np.arctan)

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return div(1.0, add(mul(x, x), 1.0))


class Atan2(Elementwise):
    effort = 10
    fusion = Fusion.COSTLY
    hlo = "atan2"
    accepts = "f"
    reference = staticmethod(np.arctan2)

    def partial(self, i: int, out: Any, x: Any, y: Any) -> Any:
        square = add(mul(x, x), mul(y, y))
        return div(y, square) if i == 0 else div(neg(x), square)


class Sinh(_Chlo):
    hlo = "sinh"
    reference = staticmethod(np.sinh)

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return cosh(x)


class Cosh(_Chlo):
    hlo = "cosh"
    reference = staticmethod(np.cosh)

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return sinh(x)


class Tanh(_Floating):
    hlo = "tanh"
    reference = staticmethod(np.tanh)

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return sub(1.0, mul(out, out))


class Asinh(_Chlo):
    hlo = "asinh"
    reference = staticmethod(np.arcsinh)

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return rsqrt(add(mul(x, x), 1.0))


class Acosh(_Chlo):
    hlo = "acosh"
    reference = staticmethod(np.arccosh)

    def partial(self, i: int, out: Any, x: Any) -> Any:
        if kind_of(x.dtype) == COMPLEX:  # a root of the product would lie on another branch
            return mul(rsqrt(sub(x, 1.0)), rsqrt(add(x, 1.0)))
        return rsqrt(mul(sub(x, 1.0), add(x, 1.0)))


class Atanh(_Chlo):
    hlo = "atanh"
    reference = staticmethod(np.arctanh)

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return div(1.0, mul(sub(1.0, x), add(1.0, x)))


class Logistic(_Floating):
    hlo = "logistic"

    @staticmethod
    def reference(x: Any) -> Any:
        return (1 / (1 + np.exp(-np.asarray(x)))).astype(np.asarray(x).dtype)

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return mul(out, sub(1.0, out))


EXP, EXP2, EXPM1, LOG, LOG1P, SQRT, RSQRT, CBRT = Exp(), Exp2(), Expm1(), Log(), Log1p(), Sqrt(), Rsqrt(), Cbrt()
SIN, COS, TAN, ASIN, ACOS, ATAN, ATAN2 = Sin(), Cos(), Tan(), Asin(), Acos(), Atan(), Atan2()
SINH, COSH, TANH, ASINH, ACOSH, ATANH, LOGISTIC = Sinh(), Cosh(), Tanh(), Asinh(), Acosh(), Atanh(), Logistic()


def exp(x: Any) -> Any:
    """exp of each element."""
    return bind(EXP, x)


def exp2(x: Any) -> Any:
    """exp2 of each element."""
    return bind(EXP2, x)


def expm1(x: Any) -> Any:
    """exp(x) - 1, exact near 0."""
    return bind(EXPM1, x)


def log(x: Any) -> Any:
    """log of each element."""
    return bind(LOG, x)


def log1p(x: Any) -> Any:
    """log(1 + x), exact near 0."""
    return bind(LOG1P, x)


def sqrt(x: Any) -> Any:
    """sqrt of each element."""
    return bind(SQRT, x)


def rsqrt(x: Any) -> Any:
    """1 / sqrt(x)."""
    return bind(RSQRT, x)


def cbrt(x: Any) -> Any:
    """cbrt of each element."""
    return bind(CBRT, x)


def sin(x: Any) -> Any:
    """sin of each element."""
    return bind(SIN, x)


def cos(x: Any) -> Any:
    """cos of each element."""
    return bind(COS, x)


def tan(x: Any) -> Any:
    """tan of each element."""
    return bind(TAN, x)


def asin(x: Any) -> Any:
    """asin of each element."""
    return bind(ASIN, x)


def acos(x: Any) -> Any:
    """acos of each element."""
    return bind(ACOS, x)


def atan(x: Any) -> Any:
    """atan of each element."""
    return bind(ATAN, x)


def atan2(x: Any, y: Any) -> Any:
    """The angle of the point (y, x)."""
    return binary(ATAN2, x, y)


def sinh(x: Any) -> Any:
    """sinh of each element."""
    return bind(SINH, x)


def cosh(x: Any) -> Any:
    """cosh of each element."""
    return bind(COSH, x)


def tanh(x: Any) -> Any:
    """tanh of each element."""
    return bind(TANH, x)


def asinh(x: Any) -> Any:
    """asinh of each element."""
    return bind(ASINH, x)


def acosh(x: Any) -> Any:
    """acosh of each element."""
    return bind(ACOSH, x)


def atanh(x: Any) -> Any:
    """atanh of each element."""
    return bind(ATANH, x)


def logistic(x: Any) -> Any:
    """1 / (1 + exp(-x))."""
    return bind(LOGISTIC, x)
