"""Exponential, logarithmic and trigonometric functions, powers of one half and a third."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from functrans.ir.types import ArrayType
from functrans.ops.elementwise import Elementwise, add, binary, div, mul, neg, real_dtype, sub
from functrans.ops.expanded import Expanded
from functrans.ops.logic import gt, select
from functrans.trace.binding import bind
from functrans.trace.emitter import EmitterProtocol, Names, Types
from functrans.trace.keywords import refuse
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


class Expm1(_Floating):
    hlo = "exponential_minus_one"
    reference = staticmethod(np.expm1)

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return exp(x)


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


def written_in_parts(
    emitter: EmitterProtocol, operand: str, type: ArrayType, names: tuple[str, str, str, str], negated: bool = False
) -> str:
    """f(a) g(b) + i h(a) k(b) of a + i b, for the names of f, g, h and k: circular functions of one part, hyperbolic
    ones of the other. XLA's functions of complex numbers lose a part that is small beside the other.

    Where a circular function is 0 so is the product, be the other infinite.
    """
    part = type.update(dtype=real_dtype(type.dtype))
    boolean = part.update(dtype=np.dtype(np.bool_), weak_type=False)
    a, b = [emitter.op(f"stablehlo.{which} {operand}", [type], part) for which in ("real", "imag")]
    products = []
    for pair in (names[:2], names[2:]):
        factors: list[str] = []
        circular = ""
        for name, x in zip(pair, (a, b), strict=True):
            if name in ("sine", "cosine"):
                circular = emitter.elementwise(name, [x], [part], part)
            else:
                factors += _hyperbolic(emitter, x, part, name)
        product = circular
        for factor in factors:
            product = emitter.elementwise("multiply", [product, factor], [part] * 2, part)
        none = emitter.op(f"stablehlo.compare EQ, {circular}, {emitter.splat(0, part)}", [part] * 2, boolean)
        products.append(emitter.select(none, circular, product, boolean, part))
    if negated:
        products[1] = emitter.elementwise("negate", products[1:], [part], part)
    return emitter.op(f"stablehlo.complex {', '.join(products)}", [part] * 2, type)


def _hyperbolic(emitter: EmitterProtocol, x: str, type: ArrayType, name: str) -> tuple[str, str]:
    """sinh x or cosh x for a real x, as two factors: from exp(x) - 1 and exp(-x) - 1, and 1; where x is large from
    exp(|x| / 2) twice, whose square may be too large for a number while a product with it is not."""
    def apply(name: str, *operands: str) -> str:
        return emitter.elementwise(name, operands, [type] * len(operands), type)

    up = apply("exponential_minus_one", x)
    down = apply("exponential_minus_one", apply("negate", x))
    twice = apply("subtract", up, down)
    if name == "cosh":
        twice = apply("add", apply("add", up, down), emitter.splat(2, type))
    size, boolean = apply("abs", x), type.update(dtype=np.dtype(np.bool_), weak_type=False)
    large = emitter.op(f"stablehlo.compare GT, {size}, {emitter.splat(_LARGE, type)}", [type] * 2, boolean)
    root = apply("exponential", apply("multiply", size, emitter.splat(0.5, type)))
    signed = apply("multiply", root, apply("sign", x)) if name == "sinh" else root
    first = apply("multiply", emitter.select(large, signed, twice, boolean, type), emitter.splat(0.5, type))
    return first, emitter.select(large, root, emitter.splat(1, type), boolean, type)


_LARGE = 20  # exp(-2 x) is below the precision of every dtype


class Sin(_Floating):
    hlo = "sine"
    reference = staticmethod(np.sin)

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        if in_types[0].dtype.kind != "c":
            return super().lower(emitter, operands, in_types, out_types)
        return written_in_parts(emitter, operands[0], in_types[0], ("sine", "cosh", "cosine", "sinh"))

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return cos(x)


class Cos(_Floating):
    hlo = "cosine"
    reference = staticmethod(np.cos)

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        if in_types[0].dtype.kind != "c":
            return super().lower(emitter, operands, in_types, out_types)
        return written_in_parts(emitter, operands[0], in_types[0], ("cosine", "cosh", "sine", "sinh"), True)

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
        return bind(ATAN_SLOPE, x)


class AtanSlope(Expanded):
    """1 / (1 + x^2)"""

    accepts = "fc"

    @staticmethod
    def reference(x: Any) -> Any:
        return (1 / (1 + np.square(x))).astype(np.asarray(x).dtype)

    def define(self, *operands: Any) -> Any:
        (x,) = operands
        return div(1.0, add(mul(x, x), 1.0))

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return mul(mul(mul(x, out), out), -2.0)  # in this order: the square of a small factor is nothing


class Atan2(Elementwise):
    effort = 10
    fusion = Fusion.COSTLY
    hlo = "atan2"
    accepts = "f"
    reference = staticmethod(np.arctan2)

    def partial(self, i: int, out: Any, x: Any, y: Any) -> Any:
        return bind(ATAN2_SLOPE, y, x) if i == 0 else neg(bind(ATAN2_SLOPE, x, y))


class Atan2Slope(Expanded):
    """x / (x^2 + y^2)"""

    @staticmethod
    def reference(x: Any, y: Any) -> Any:
        return (x / (np.square(x) + np.square(y))).astype(np.asarray(x).dtype)

    def define(self, *operands: Any) -> Any:
        """The square of the ratio of the two overflows nowhere."""
        x, y = operands
        first = gt(select(gt(x, 0.0), x, neg(x)), select(gt(y, 0.0), y, neg(y)))
        large, small = select(first, x, y), select(first, y, x)
        ratio = div(small, large)
        inverse = div(1.0, mul(large, add(mul(ratio, ratio), 1.0)))
        return select(first, inverse, mul(ratio, inverse))

    def partial(self, i: int, out: Any, x: Any, y: Any) -> Any:
        other = bind(ATAN2_SLOPE, y, x)
        return mul(sub(other, out), add(other, out)) if i == 0 else mul(mul(out, other), -2.0)


EXP, EXPM1, LOG, LOG1P, SQRT, RSQRT, CBRT = Exp(), Expm1(), Log(), Log1p(), Sqrt(), Rsqrt(), Cbrt()
SIN, COS, TAN, ASIN, ACOS, ATAN, ATAN2 = Sin(), Cos(), Tan(), Asin(), Acos(), Atan(), Atan2()
ATAN_SLOPE, ATAN2_SLOPE = AtanSlope(), Atan2Slope()


def exp(x: Any, *, accuracy: Any = None) -> Any:
    """exp of each element."""
    if accuracy is not None:
        refuse("exp", accuracy=accuracy)
    return bind(EXP, x)


def expm1(x: Any, *, accuracy: Any = None) -> Any:
    """exp(x) - 1, exact near 0."""
    if accuracy is not None:
        refuse("expm1", accuracy=accuracy)
    return bind(EXPM1, x)


def log(x: Any, *, accuracy: Any = None) -> Any:
    """log of each element."""
    if accuracy is not None:
        refuse("log", accuracy=accuracy)
    return bind(LOG, x)


def log1p(x: Any, *, accuracy: Any = None) -> Any:
    """log(1 + x), exact near 0."""
    if accuracy is not None:
        refuse("log1p", accuracy=accuracy)
    return bind(LOG1P, x)


def sqrt(x: Any, *, accuracy: Any = None) -> Any:
    """sqrt of each element."""
    if accuracy is not None:
        refuse("sqrt", accuracy=accuracy)
    return bind(SQRT, x)


def rsqrt(x: Any, *, accuracy: Any = None) -> Any:
    """1 / sqrt(x)."""
    if accuracy is not None:
        refuse("rsqrt", accuracy=accuracy)
    return bind(RSQRT, x)


def cbrt(x: Any, *, accuracy: Any = None) -> Any:
    """cbrt of each element."""
    if accuracy is not None:
        refuse("cbrt", accuracy=accuracy)
    return bind(CBRT, x)


def sin(x: Any, *, accuracy: Any = None) -> Any:
    """sin of each element."""
    if accuracy is not None:
        refuse("sin", accuracy=accuracy)
    return bind(SIN, x)


def cos(x: Any, *, accuracy: Any = None) -> Any:
    """cos of each element."""
    if accuracy is not None:
        refuse("cos", accuracy=accuracy)
    return bind(COS, x)


def tan(x: Any, *, accuracy: Any = None) -> Any:
    """tan of each element."""
    if accuracy is not None:
        refuse("tan", accuracy=accuracy)
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
