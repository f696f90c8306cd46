"""Elementwise operations: the family base, and the functions every other rule is written with.

An operand is an array of the common shape, or a scalar literal, which needs no broadcast. A class gives its StableHLO
name, its NumPy reference and the partial derivative for each operand; the family supplies every other rule.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from functrans.errors import FunctransTypeError
from functrans.ir.program import Literal
from functrans.ir.types import ArrayType, array_type, is_differentiable, short_dtype, type_of
from functrans.ops.structural import (
    broadcast_in_dim,
    compare_kind,
    convert,
    full,
    scalar_literal,
)
from functrans.trace.builder import Tracer, bind, producer_of, tracer_for
from functrans.trace.primitive import Primitive, is_linear

FLOAT, COMPLEX, SIGNED, UNSIGNED, BOOL = "f", "c", "i", "u", "b"
_ONE = object()  # a partial derivative of 1
_MINUS_ONE = object()


def kind_of(dtype: np.dtype[Any]) -> str:
    """One of b, i, u, f, c; bfloat16 and the 8-bit floats are f."""
    kind = dtype.kind
    if kind != "V":
        return kind
    if is_differentiable(dtype):
        return FLOAT
    return UNSIGNED if dtype.name.startswith("u") else SIGNED


class Elementwise(Primitive):
    """An operation on corresponding elements. See the module docstring for what a subclass gives."""

    broadcasts_literals: ClassVar[bool] = True
    hlo: ClassVar[str] = ""
    reference: ClassVar[Callable[..., Any]]
    accepts: ClassVar[str] = "iufc"

    def result_dtype(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        return dtype

    def infer(self, *types: ArrayType) -> ArrayType:
        first = types[0]
        for other in types[1:]:
            if other is not first:
                return self._infer_mixed(types)
        if kind_of(first.dtype) not in self.accepts:
            self._refuse(first.dtype)
        result = self.result_dtype(first.dtype)
        return (
            first if result is first.dtype else array_type(first.shape, result, first.weak_type and result != np.bool_)
        )

    def _infer_mixed(self, types: Sequence[ArrayType]) -> ArrayType:
        shape = next((t.shape for t in types if t.shape), ())
        dtype = types[0].dtype
        weak = all(t.weak_type for t in types)
        for t in types:
            if t.dtype != dtype:
                names = ", ".join(str(t) for t in types)
                raise FunctransTypeError(
                    f"{self.name}: operands have different dtypes ({names}); convert one with .astype(...), or use "
                    "functrans.numpy, which promotes"
                )
            if t.shape and t.shape != shape:
                names = ", ".join(str(t.shape) for t in types)
                raise FunctransTypeError(f"{self.name}: operands have different shapes ({names})")
        if kind_of(dtype) not in self.accepts:
            self._refuse(dtype)
        result = self.result_dtype(dtype)
        return array_type(shape, result, weak and result != np.bool_)

    def _refuse(self, dtype: np.dtype[Any]) -> None:
        words = {"b": "bool", "i": "signed integer", "u": "unsigned integer", "f": "floating", "c": "complex"}
        wanted = ", ".join(words[k] for k in self.accepts)
        raise FunctransTypeError(f"{self.name} does not accept operands of dtype {short_dtype(dtype)}, only: {wanted}")

    def impl(self, *arrays: Any) -> Any:
        return type(self).reference(*arrays)

    def partial(self, i: int, out: Any, *operands: Any) -> Any:
        """The partial derivative of the result by operand i (an array, a scalar, _ONE or _MINUS_ONE; None: zero)."""
        self.missing("partial", "differentiation")

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        out = bind(self, *primals)
        total = None
        for i, t in enumerate(tangents):
            if t is None:
                continue
            factor = self.partial(i, out, *primals)
            if factor is None:
                continue
            term = t if factor is _ONE else neg(t) if factor is _MINUS_ONE else mul(t, factor)
            total = term if total is None else add(total, term)
        return out, total

    def batch(self, size: int, operands: Sequence[Any], mapped: Sequence[bool]) -> tuple[Any, Any]:
        return bind(self, *batched_alike(size, operands, mapped)), True

    def lower(
        self, emitter: Any, operands: Sequence[str], in_types: Sequence[ArrayType], out_types: Sequence[ArrayType]
    ) -> Any:
        return emitter.elementwise(self.hlo, operands, in_types, out_types[0])


def batched_alike(size: int, operands: Sequence[Any], mapped: Sequence[bool]) -> list[Any]:
    """Operands all with the mapped axis 0, scalar literals left alone."""
    out: list[Any] = []
    for x, is_mapped in zip(operands, mapped, strict=True):
        if not is_mapped and type(x) is not Literal:
            shape = x.shape
            x = broadcast_in_dim(x, (size, *shape), tuple(range(1, len(shape) + 1)))
        out.append(x)
    return out


# -- applying ----------------------------------------------------------------------------------------------------


def align(op: Primitive, *operands: Any) -> list[Any]:
    """Operands of one dtype and shape: Python scalars become literals, rank-0 arrays are broadcast; the rest must
    agree."""
    types = [type_of(x) for x in operands]
    arrays = [
        t for x, t in zip(operands, types, strict=True) if not isinstance(x, bool | int | float | complex | Literal)
    ]
    if not arrays:  # numbers alone: a literal with a dtype of its own decides
        arrays = [t for x, t in zip(operands, types, strict=True) if type(x) is Literal and not t.weak_type]
    lead = arrays[0] if arrays else types[0]
    shape = next((t.shape for t in types if t.shape), ())
    out: list[Any] = []
    for x, t in zip(operands, types, strict=True):
        if isinstance(x, bool | int | float | complex) and not isinstance(x, np.generic):
            if arrays:
                x = _literal_like(op, x, lead)
        elif isinstance(x, Literal):
            x = x if x.type.dtype == lead.dtype else _literal_like(op, x.value, lead)
        elif shape and not t.shape:
            x = broadcast_in_dim(x, shape, ())
        out.append(x)
    return out


_RANK = {"b": 0, "u": 1, "i": 1, "f": 2, "c": 3}


def _literal_like(op: Primitive, value: Any, lead: ArrayType) -> Literal:
    kind = (
        "b" if isinstance(value, bool) else "i" if isinstance(value, int) else "f" if isinstance(value, float) else "c"
    )
    if _RANK[kind] > _RANK[kind_of(lead.dtype)]:
        raise FunctransTypeError(
            f"{op.name}: the number {value!r} does not fit operands of dtype {short_dtype(lead.dtype)}; convert the "
            "array with .astype(...), or use functrans.numpy, which promotes"
        )
    return scalar_literal(value, lead.dtype, lead.weak_type)


def unary(op: Primitive, x: Any) -> Any:
    """Apply an elementwise operation of one operand."""
    return bind(op, x)


def binary(op: Primitive, x: Any, y: Any) -> Any:
    """Apply an elementwise operation of two operands of one shape and dtype (or scalars)."""
    if type(x) is Tracer:
        if type(y) is Tracer:
            if x.type is y.type:
                return bind(op, x, y)
        elif type(y) is float and x.type.dtype.kind == "f":
            if y != 0.0:  # 0.0 and -0.0 are equal keys and different literals
                return bind(op, x, _float_literal(y, x.type.dtype, x.type.weak_type))
            return bind(op, x, Literal(y, array_type((), x.type.dtype, x.type.weak_type)))
    return bind(op, *align(op, x, y))


@functools.lru_cache(maxsize=4096)
def _float_literal(value: float, dtype: np.dtype[Any], weak_type: bool) -> Literal:
    return Literal(value, array_type((), dtype, weak_type))


def literal_value(x: Any) -> Any:
    """The number that a literal operand is, or None."""
    if type(x) is Literal:
        return x.value
    return x if type(x) in (int, float, bool, complex) else None


def _same_type(x: Any, other: Any) -> bool:
    """Whether dropping ``other`` from an operation with ``x`` leaves the result's type as it is."""
    return type(x) is Tracer and (
        type(other) is not Literal or x.type.weak_type == other.type.weak_type or not x.type.weak_type
    )


# -- arithmetic --------------------------------------------------------------------------------------------------


class Neg(Elementwise):
    hlo = "negate"
    reference = staticmethod(np.negative)

    @staticmethod
    def fold(x: Any) -> Any:
        producer = producer_of(x)
        if producer is not None and producer.op is NEG and type(producer.inputs[0]) is not Literal:
            return tracer_for(x, producer.inputs[0])
        return None

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        return neg(primals[0]), neg(tangents[0])

    def transpose(self, cotangent: Any, x: Any) -> Sequence[Any]:
        return [neg(cotangent)]


def _is_negative_zero(value: Any) -> bool:
    return value == 0 and not isinstance(value, complex) and bool(np.signbit(value))


class Add(Elementwise):
    hlo = "add"
    reference = staticmethod(np.add)
    accepts = "iufcb"

    @staticmethod
    def fold(x: Any, y: Any) -> Any:
        for a, b in ((x, y), (y, x)):
            value = literal_value(b)
            if value is not None and value == 0 and _same_type(a, b):
                exact = kind_of(a.dtype) in "iu" or (isinstance(value, float) and _is_negative_zero(value))
                if exact:
                    return a
        return None

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        out = bind(self, *primals)
        s, t = tangents
        return out, t if s is None else s if t is None else add(s, t)

    def transpose(self, cotangent: Any, x: Any, y: Any) -> Sequence[Any]:
        return [cotangent if is_linear(x) else None, cotangent if is_linear(y) else None]


class Sub(Elementwise):
    hlo = "subtract"
    reference = staticmethod(np.subtract)

    @staticmethod
    def fold(x: Any, y: Any) -> Any:
        value = literal_value(y)
        if value is not None and value == 0 and not _is_negative_zero(value) and _same_type(x, y):
            return x if kind_of(x.dtype) != COMPLEX else None
        return None

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        out = bind(self, *primals)
        s, t = tangents
        return out, neg(t) if s is None else s if t is None else sub(s, t)

    def transpose(self, cotangent: Any, x: Any, y: Any) -> Sequence[Any]:
        return [cotangent if is_linear(x) else None, neg(cotangent) if is_linear(y) else None]


class Mul(Elementwise):
    hlo = "multiply"
    reference = staticmethod(np.multiply)
    accepts = "iufcb"

    @staticmethod
    def fold(x: Any, y: Any) -> Any:
        for a, b in ((x, y), (y, x)):
            value = literal_value(b)
            if value is not None and value == 1 and _same_type(a, b) and kind_of(a.dtype) != COMPLEX:
                return a
        return None

    def partial(self, i: int, out: Any, *operands: Any) -> Any:
        return operands[1 - i]

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        (x, y), (s, t) = primals, tangents
        out = bind(self, x, y)
        if s is not None and t is not None and x is y:  # d(x*x) = 2x dx: one product, not two
            return out, mul(s, mul(2.0, x))
        left = mul(s, y) if s is not None else None
        right = mul(t, x) if t is not None else None
        return out, left if right is None else right if left is None else add(left, right)

    def transpose(self, cotangent: Any, x: Any, y: Any) -> Sequence[Any]:
        return [mul(cotangent, y), None] if is_linear(x) else [None, mul(cotangent, x)]


class Div(Elementwise):
    hlo = "divide"

    @staticmethod
    def reference(x: Any, y: Any) -> Any:
        x, y = np.asarray(x), np.asarray(y)
        if x.dtype.kind not in "iu":
            return np.divide(x, y)
        quotient = np.floor_divide(x, y)
        return quotient + ((quotient < 0) & (quotient * y != x))

    @staticmethod
    def fold(x: Any, y: Any) -> Any:
        value = literal_value(y)
        if value is not None and value == 1 and _same_type(x, y) and kind_of(x.dtype) != COMPLEX:
            return x
        return None

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        (x, y), (s, t) = primals, tangents
        out = bind(self, x, y)
        if kind_of(out.dtype) in "iu":
            return out, None
        total = s if t is None else neg(mul(t, out)) if s is None else sub(s, mul(t, out))
        return out, div(total, y)

    def transpose(self, cotangent: Any, x: Any, y: Any) -> Sequence[Any]:
        return [div(cotangent, y), None]


class Rem(Elementwise):
    hlo = "remainder"
    accepts = "iuf"
    reference = staticmethod(np.fmod)

    def partial(self, i: int, out: Any, x: Any, y: Any) -> Any:
        if i == 0:
            return _ONE
        quotient = div(x, y)
        return neg(mul(sign(quotient), floor(abs_(quotient))))


class Max(Elementwise):
    hlo = "maximum"
    accepts = "iufbc"
    reference = staticmethod(np.maximum)

    def partial(self, i: int, out: Any, *operands: Any) -> Any:
        return _share_of_ties(out, operands[i], operands[1 - i])


class Min(Elementwise):
    hlo = "minimum"
    accepts = "iufbc"
    reference = staticmethod(np.minimum)

    def partial(self, i: int, out: Any, *operands: Any) -> Any:
        return _share_of_ties(out, operands[i], operands[1 - i])


def _share_of_ties(out: Any, mine: Any, other: Any) -> Any:
    """1 where the result is mine alone, 1/2 where both operands are equal, 0 elsewhere."""
    one = full(out.shape, 1.0, out.dtype)
    share = select(eq(other, out), full(out.shape, 0.5, out.dtype), one)
    return select(eq(mine, out), share, full(out.shape, 0.0, out.dtype))


class Pow(Elementwise):
    """x ** y for a floating or complex x."""

    hlo = "power"
    accepts = "fc"
    reference = staticmethod(np.power)

    @staticmethod
    def fold(x: Any, y: Any) -> Any:
        value = literal_value(y)
        return x if value is not None and value == 1 and _same_type(x, y) else None

    def partial(self, i: int, out: Any, x: Any, y: Any) -> Any:
        if i == 0:
            exponent = literal_value(y)
            if exponent is not None:
                return None if exponent == 0 else mul(exponent, pow_(x, exponent - 1))
            zero = full(out.shape, 0, out.dtype)
            return select(eq(y, 0.0), zero, mul(y, pow_(x, sub(y, 1.0))))
        if literal_value(x) is not None:
            x = full(out.shape, literal_value(x), out.dtype)
        return mul(log(select(eq(x, 0.0), full(out.shape, 1, out.dtype), x)), out)


class IntegerPow(Elementwise):
    """x ** y for a static integer y."""

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

    def lower(
        self, emitter: Any, operands: Sequence[str], in_types: Sequence[ArrayType], out_types: Sequence[ArrayType]
    ) -> Any:
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


# -- unary functions -----------------------------------------------------------------------------------------------


class Abs(Elementwise):
    hlo = "abs"
    reference = staticmethod(np.abs)

    def result_dtype(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        return real_dtype(dtype)

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        x, t = primals[0], tangents[0]
        out = abs_(x)
        if kind_of(x.dtype) == COMPLEX:
            return out, real(mul(t, conj(sign(x))))
        return out, mul(t, sign(x))

    def lower(
        self, emitter: Any, operands: Sequence[str], in_types: Sequence[ArrayType], out_types: Sequence[ArrayType]
    ) -> Any:
        if kind_of(in_types[0].dtype) == UNSIGNED:
            return operands[0]
        return super().lower(emitter, operands, in_types, out_types)


class Sign(Elementwise):
    hlo = "sign"
    reference = staticmethod(np.sign)

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        x, t = primals[0], tangents[0]
        out = sign(x)
        if kind_of(x.dtype) != COMPLEX:
            return out, None
        # d(z/|z|) = (dz - s Re(conj(s) dz)) / |z|
        size = abs_(x)
        safe = select(eq(size, 0.0), full(size.shape, 1, size.dtype), size)
        radial = real(mul(t, conj(out)))
        turn = sub(t, mul(complex_(radial, full(size.shape, 0, size.dtype)), out))
        return out, div(turn, complex_(safe, full(size.shape, 0, size.dtype)))

    def lower(
        self, emitter: Any, operands: Sequence[str], in_types: Sequence[ArrayType], out_types: Sequence[ArrayType]
    ) -> Any:
        if kind_of(in_types[0].dtype) == UNSIGNED:
            zero, one = emitter.splat(0, in_types[0]), emitter.splat(1, in_types[0])
            boolean = in_types[0].update(dtype=np.dtype(np.bool_), weak_type=False)
            is_zero = emitter.op(f"stablehlo.compare EQ, {operands[0]}, {zero}, UNSIGNED", [in_types[0]] * 2, boolean)
            return emitter.select(is_zero, zero, one, boolean, out_types[0])
        return super().lower(emitter, operands, in_types, out_types)


class _Floating(Elementwise):
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

    def lower(
        self, emitter: Any, operands: Sequence[str], in_types: Sequence[ArrayType], out_types: Sequence[ArrayType]
    ) -> Any:
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

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        return log(primals[0]), div(tangents[0], primals[0])


class Log1p(_Floating):
    hlo = "log_plus_one"
    reference = staticmethod(np.log1p)

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        return log1p(primals[0]), div(tangents[0], add(primals[0], 1.0))


class Sqrt(_Floating):
    hlo = "sqrt"
    reference = staticmethod(np.sqrt)

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
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
        return div(1.0 / 3.0, integer_pow(out, 2))


class Square(Elementwise):
    reference = staticmethod(np.square)

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return mul(2.0 if kind_of(x.dtype) in "fc" else 2, x)

    def lower(
        self, emitter: Any, operands: Sequence[str], in_types: Sequence[ArrayType], out_types: Sequence[ArrayType]
    ) -> Any:
        return emitter.elementwise("multiply", [operands[0]] * 2, [in_types[0]] * 2, out_types[0])


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

    def lower(
        self, emitter: Any, operands: Sequence[str], in_types: Sequence[ArrayType], out_types: Sequence[ArrayType]
    ) -> Any:
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
        return mul(rsqrt(sub(x, 1.0)), rsqrt(add(x, 1.0)))


class Atanh(_Chlo):
    hlo = "atanh"
    reference = staticmethod(np.arctanh)

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return div(1.0, mul(sub(1.0, x), add(1.0, x)))


class Atan2(Elementwise):
    hlo = "atan2"
    accepts = "f"
    reference = staticmethod(np.arctan2)

    def partial(self, i: int, out: Any, x: Any, y: Any) -> Any:
        square = add(mul(x, x), mul(y, y))
        return div(y, square) if i == 0 else div(neg(x), square)


class Logistic(_Floating):
    hlo = "logistic"

    @staticmethod
    def reference(x: Any) -> Any:
        return (1 / (1 + np.exp(-np.asarray(x)))).astype(np.asarray(x).dtype)

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return mul(out, sub(1.0, out))


class _Stepwise(Elementwise):
    """Piecewise constant: the derivative is zero wherever there is one."""

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        return bind(self, *primals), None


class Floor(_Stepwise):
    hlo = "floor"
    accepts = "f"
    reference = staticmethod(np.floor)


class Ceil(_Stepwise):
    hlo = "ceil"
    accepts = "f"
    reference = staticmethod(np.ceil)


class Round(_Stepwise):
    """Round half away from zero (``to_even=False``) or half to even."""

    to_even: bool = False
    accepts = "f"

    def impl(self, *arrays: Any) -> Any:
        x = np.asarray(arrays[0])
        if self.to_even:
            return np.rint(x)
        return np.trunc(x) + np.copysign((np.abs(x - np.trunc(x)) >= 0.5), x).astype(x.dtype)

    def lower(
        self, emitter: Any, operands: Sequence[str], in_types: Sequence[ArrayType], out_types: Sequence[ArrayType]
    ) -> Any:
        name = "round_nearest_even" if self.to_even else "round_nearest_afz"
        return emitter.elementwise(name, operands, in_types, out_types[0])


class NextAfter(_Stepwise):
    accepts = "f"
    reference = staticmethod(np.nextafter)

    def lower(
        self, emitter: Any, operands: Sequence[str], in_types: Sequence[ArrayType], out_types: Sequence[ArrayType]
    ) -> Any:
        type_ = emitter.text(out_types[0])
        return emitter.raw(f"chlo.broadcast_next_after {', '.join(operands)} : ({type_}, {type_}) -> {type_}")


class _Bitwise(_Stepwise):
    accepts = "iub"


class And(_Bitwise):
    hlo = "and"
    reference = staticmethod(np.bitwise_and)


class Or(_Bitwise):
    hlo = "or"
    reference = staticmethod(np.bitwise_or)


class Xor(_Bitwise):
    hlo = "xor"
    reference = staticmethod(np.bitwise_xor)


class Not(_Bitwise):
    hlo = "not"
    reference = staticmethod(np.invert)


class PopulationCount(_Bitwise):
    hlo = "popcnt"
    accepts = "iu"

    @staticmethod
    def reference(x: Any) -> Any:
        x = np.asarray(x)
        return np.bitwise_count(x.view(f"u{x.dtype.itemsize}")).astype(x.dtype)


class Clz(_Bitwise):
    hlo = "count_leading_zeros"
    accepts = "iu"

    @staticmethod
    def reference(x: Any) -> Any:
        x = np.asarray(x)
        unsigned = x.view(f"u{x.dtype.itemsize}").astype(object)
        return np.vectorize(lambda v: x.dtype.itemsize * 8 - int(v).bit_length(), otypes=[x.dtype])(unsigned)


class ShiftLeft(_Bitwise):
    hlo = "shift_left"
    accepts = "iu"
    reference = staticmethod(np.left_shift)


class ShiftRightArithmetic(_Bitwise):
    hlo = "shift_right_arithmetic"
    accepts = "iu"

    @staticmethod
    def reference(x: Any, y: Any) -> Any:
        x = np.asarray(x)
        return np.right_shift(x.view(f"i{x.dtype.itemsize}"), np.asarray(y).astype(f"i{x.dtype.itemsize}")).view(
            x.dtype
        )


class ShiftRightLogical(_Bitwise):
    hlo = "shift_right_logical"
    accepts = "iu"

    @staticmethod
    def reference(x: Any, y: Any) -> Any:
        x = np.asarray(x)
        return np.right_shift(x.view(f"u{x.dtype.itemsize}"), np.asarray(y).astype(f"u{x.dtype.itemsize}")).view(
            x.dtype
        )


# -- comparison and choice -------------------------------------------------------------------------------------------


class Compare(_Stepwise):
    """``direction`` is one of EQ, NE, LT, LE, GT, GE; the result is bool."""

    direction: str
    accepts = "iufcb"

    def result_dtype(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        return np.dtype(np.bool_)

    def infer(self, *types: ArrayType) -> ArrayType:
        return super().infer(*types).update(weak_type=False)

    def impl(self, *arrays: Any) -> Any:
        function = {
            "EQ": "equal",
            "NE": "not_equal",
            "LT": "less",
            "LE": "less_equal",
            "GT": "greater",
            "GE": "greater_equal",
        }
        return getattr(np, function[self.direction])(*arrays)

    def lower(
        self, emitter: Any, operands: Sequence[str], in_types: Sequence[ArrayType], out_types: Sequence[ArrayType]
    ) -> Any:
        full_type = next((t for t in in_types if t.shape), in_types[0])
        text = f"stablehlo.compare {self.direction}, {operands[0]}, {operands[1]}, {compare_kind(in_types[0].dtype)}"
        return emitter.op(text, [full_type, full_type], out_types[0])


class IsFinite(_Stepwise):
    accepts = "f"
    reference = staticmethod(np.isfinite)

    def result_dtype(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        return np.dtype(np.bool_)

    def lower(
        self, emitter: Any, operands: Sequence[str], in_types: Sequence[ArrayType], out_types: Sequence[ArrayType]
    ) -> Any:
        return emitter.op(f"stablehlo.is_finite {operands[0]}", in_types, out_types[0])


class Select(Primitive):
    """Elementwise: the second operand where the first (bool) is true, the third elsewhere. Linear in those two."""

    def infer(self, *types: ArrayType) -> ArrayType:
        which, yes, no = types
        if (
            which.dtype != np.bool_
            or which.shape not in ((), yes.shape)
            or yes.shape != no.shape
            or yes.dtype != no.dtype
        ):
            raise FunctransTypeError(
                f"select: a bool and two arrays of one type are needed, got {which}, {yes} and {no}"
            )
        return yes if yes.weak_type == no.weak_type or not yes.weak_type else no

    def impl(self, which: Any, yes: Any, no: Any) -> Any:
        return np.where(which, yes, no)

    @staticmethod
    def fold(which: Any, yes: Any, no: Any) -> Any:
        return yes if yes is no and type(yes) is Tracer else None

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        which, yes, no = primals
        out = bind(self, which, yes, no)
        _, t, f = tangents
        zero = full(out.shape, 0, out.dtype)
        return out, select(which, zero if t is None else t, zero if f is None else f)

    def transpose(self, cotangent: Any, which: Any, yes: Any, no: Any) -> Sequence[Any]:
        zero = full(cotangent.shape, 0, cotangent.dtype)
        return [
            None,
            select(which, cotangent, zero) if is_linear(yes) else None,
            select(which, zero, cotangent) if is_linear(no) else None,
        ]

    def batch(self, size: int, operands: Sequence[Any], mapped: Sequence[bool]) -> tuple[Any, Any]:
        which, yes, no = operands
        shape = (size, *(yes.shape[1:] if mapped[1] else yes.shape))
        if not mapped[0] and not which.shape:
            yes, no = batched_alike(size, (yes, no), mapped[1:])
            return bind(self, which, yes, no), True
        if mapped[0] and len(which.shape) == 1:
            which = broadcast_in_dim(which, shape, (0,))
            mapped = (True, *mapped[1:])
        return bind(self, *batched_alike(size, (which, yes, no), mapped)), True

    def lower(
        self, emitter: Any, operands: Sequence[str], in_types: Sequence[ArrayType], out_types: Sequence[ArrayType]
    ) -> Any:
        return emitter.select(*operands, in_types[0], out_types[0])


class Clamp(Elementwise):
    """min(max(x, low), high); operands are (low, x, high) of one shape, or scalar literals as bounds."""

    accepts = "iufb"

    def impl(self, *arrays: Any) -> Any:
        low, x, high = arrays
        return np.minimum(np.maximum(x, low), high).astype(np.asarray(x).dtype)

    def partial(self, i: int, out: Any, low: Any, x: Any, high: Any) -> Any:
        inside = and_(gt(x, low), lt(x, high)) if i == 1 else gt(low, x) if i == 0 else lt(high, x)
        if i == 0:
            inside = and_(inside, lt(low, high))
        return convert(inside, out.dtype)

    def lower(
        self, emitter: Any, operands: Sequence[str], in_types: Sequence[ArrayType], out_types: Sequence[ArrayType]
    ) -> Any:
        return emitter.op(f"stablehlo.clamp {', '.join(operands)}", [out_types[0]] * 3, out_types[0])


# -- complex ---------------------------------------------------------------------------------------------------------


def real_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype of the real part."""
    if dtype.kind != "c":
        return dtype
    return np.dtype(np.float32 if dtype.itemsize == 8 else np.float64)


class _Part(Elementwise):
    accepts = "c"

    def result_dtype(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        return real_dtype(dtype)

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        return bind(self, primals[0]), bind(self, tangents[0])

    def lower(
        self, emitter: Any, operands: Sequence[str], in_types: Sequence[ArrayType], out_types: Sequence[ArrayType]
    ) -> Any:
        return emitter.op(f"stablehlo.{self.hlo} {operands[0]}", in_types, out_types[0])


class Real(_Part):
    hlo = "real"
    reference = staticmethod(np.real)

    def transpose(self, cotangent: Any, x: Any) -> Sequence[Any]:
        return [complex_(cotangent, full(cotangent.shape, 0, cotangent.dtype))]


class Imag(_Part):
    hlo = "imag"
    reference = staticmethod(np.imag)

    def transpose(self, cotangent: Any, x: Any) -> Sequence[Any]:
        return [complex_(full(cotangent.shape, 0, cotangent.dtype), neg(cotangent))]


class Complex(Elementwise):
    """real + i imag from two real arrays."""

    accepts = "f"

    def result_dtype(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        return np.dtype(np.complex64 if dtype.itemsize == 4 else np.complex128)

    def impl(self, *arrays: Any) -> Any:
        re, im = arrays
        return (np.asarray(re) + 1j * np.asarray(im)).astype(self.result_dtype(np.asarray(re).dtype))

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        out = bind(self, *primals)
        parts = [full(out.shape, 0, real_dtype(out.dtype)) if t is None else t for t in tangents]
        return out, bind(self, *parts)

    def transpose(self, cotangent: Any, re: Any, im: Any) -> Sequence[Any]:
        return [real(cotangent) if is_linear(re) else None, neg(imag(cotangent)) if is_linear(im) else None]

    def lower(
        self, emitter: Any, operands: Sequence[str], in_types: Sequence[ArrayType], out_types: Sequence[ArrayType]
    ) -> Any:
        part = out_types[0].update(dtype=real_dtype(out_types[0].dtype))
        return emitter.op(f"stablehlo.complex {', '.join(operands)}", [part, part], out_types[0])


class Conj(Elementwise):
    accepts = "c"
    reference = staticmethod(np.conj)

    @staticmethod
    def fold(x: Any) -> Any:
        producer = producer_of(x)
        if producer is not None and producer.op is CONJ and type(producer.inputs[0]) is not Literal:
            return tracer_for(x, producer.inputs[0])
        return None

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        return conj(primals[0]), conj(tangents[0])

    def transpose(self, cotangent: Any, x: Any) -> Sequence[Any]:
        return [conj(cotangent)]

    def lower(
        self, emitter: Any, operands: Sequence[str], in_types: Sequence[ArrayType], out_types: Sequence[ArrayType]
    ) -> Any:
        part = out_types[0].update(dtype=real_dtype(out_types[0].dtype))
        re = emitter.op(f"stablehlo.real {operands[0]}", in_types, part)
        im = emitter.op(f"stablehlo.imag {operands[0]}", in_types, part)
        im = emitter.elementwise("negate", [im], [part], part)
        return emitter.op(f"stablehlo.complex {re}, {im}", [part, part], out_types[0])


# -- functions -------------------------------------------------------------------------------------------------------

NEG, ADD, SUB, MUL, DIV, REM, MAX, MIN, POW = Neg(), Add(), Sub(), Mul(), Div(), Rem(), Max(), Min(), Pow()
ABS, SIGN, EXP, EXP2, EXPM1, LOG, LOG1P, SQRT, RSQRT = (
    Abs(),
    Sign(),
    Exp(),
    Exp2(),
    Expm1(),
    Log(),
    Log1p(),
    Sqrt(),
    Rsqrt(),
)
CBRT, SQUARE, SIN, COS, TAN, ASIN, ACOS, ATAN, ATAN2 = (
    Cbrt(),
    Square(),
    Sin(),
    Cos(),
    Tan(),
    Asin(),
    Acos(),
    Atan(),
    Atan2(),
)
SINH, COSH, TANH, ASINH, ACOSH, ATANH, LOGISTIC = Sinh(), Cosh(), Tanh(), Asinh(), Acosh(), Atanh(), Logistic()
FLOOR, CEIL, NEXTAFTER, AND, OR, XOR, NOT = Floor(), Ceil(), NextAfter(), And(), Or(), Xor(), Not()
POPULATION_COUNT, CLZ, SHIFT_LEFT = PopulationCount(), Clz(), ShiftLeft()
SHIFT_RIGHT_ARITHMETIC, SHIFT_RIGHT_LOGICAL = ShiftRightArithmetic(), ShiftRightLogical()
EQ, NE, LT, LE, GT, GE = (Compare(d) for d in ("EQ", "NE", "LT", "LE", "GT", "GE"))
IS_FINITE, SELECT, CLAMP, REAL, IMAG, MAKE_COMPLEX, CONJ = (
    IsFinite(),
    Select(),
    Clamp(),
    Real(),
    Imag(),
    Complex(),
    Conj(),
)


def neg(x: Any) -> Any:
    """-x."""
    return bind(NEG, x)


def abs_(x: Any) -> Any:
    """The absolute value."""
    return bind(ABS, x)


def sign(x: Any) -> Any:
    """-1, 0 or 1; z/|z| for complex numbers."""
    return bind(SIGN, x)


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


def square(x: Any) -> Any:
    """square of each element."""
    return bind(SQUARE, x)


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


def floor(x: Any) -> Any:
    """floor of each element."""
    return bind(FLOOR, x)


def ceil(x: Any) -> Any:
    """ceil of each element."""
    return bind(CEIL, x)


def bitwise_not(x: Any) -> Any:
    """Each bit (or bool) inverted."""
    return bind(NOT, x)


def population_count(x: Any) -> Any:
    """The number of bits set."""
    return bind(POPULATION_COUNT, x)


def clz(x: Any) -> Any:
    """The number of leading zero bits."""
    return bind(CLZ, x)


def is_finite(x: Any) -> Any:
    """Neither infinite nor NaN."""
    return bind(IS_FINITE, x)


def real(x: Any) -> Any:
    """The real part of a complex array."""
    return bind(REAL, x)


def imag(x: Any) -> Any:
    """The imaginary part of a complex array."""
    return bind(IMAG, x)


def add(x: Any, y: Any) -> Any:
    """x + y."""
    return binary(ADD, x, y)


def sub(x: Any, y: Any) -> Any:
    """x - y."""
    return binary(SUB, x, y)


def mul(x: Any, y: Any) -> Any:
    """x * y."""
    return binary(MUL, x, y)


def div(x: Any, y: Any) -> Any:
    """x / y (integers truncate toward zero)."""
    return binary(DIV, x, y)


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


def atan2(x: Any, y: Any) -> Any:
    """The angle of the point (y, x)."""
    return binary(ATAN2, x, y)


def nextafter(x: Any, y: Any) -> Any:
    """nextafter of corresponding elements."""
    return binary(NEXTAFTER, x, y)


def and_(x: Any, y: Any) -> Any:
    """Bitwise (or logical) and."""
    return binary(AND, x, y)


def or_(x: Any, y: Any) -> Any:
    """Bitwise (or logical) or."""
    return binary(OR, x, y)


def xor(x: Any, y: Any) -> Any:
    """Bitwise (or logical) exclusive or."""
    return binary(XOR, x, y)


def shift_left(x: Any, y: Any) -> Any:
    """shift_left of corresponding elements."""
    return binary(SHIFT_LEFT, x, y)


def shift_right_arithmetic(x: Any, y: Any) -> Any:
    """shift_right_arithmetic of corresponding elements."""
    return binary(SHIFT_RIGHT_ARITHMETIC, x, y)


def shift_right_logical(x: Any, y: Any) -> Any:
    """shift_right_logical of corresponding elements."""
    return binary(SHIFT_RIGHT_LOGICAL, x, y)


def eq(x: Any, y: Any) -> Any:
    """eq of corresponding elements."""
    return binary(EQ, x, y)


def ne(x: Any, y: Any) -> Any:
    """ne of corresponding elements."""
    return binary(NE, x, y)


def lt(x: Any, y: Any) -> Any:
    """lt of corresponding elements."""
    return binary(LT, x, y)


def le(x: Any, y: Any) -> Any:
    """le of corresponding elements."""
    return binary(LE, x, y)


def gt(x: Any, y: Any) -> Any:
    """gt of corresponding elements."""
    return binary(GT, x, y)


def ge(x: Any, y: Any) -> Any:
    """ge of corresponding elements."""
    return binary(GE, x, y)


def complex_(x: Any, y: Any) -> Any:
    """x + iy."""
    return binary(MAKE_COMPLEX, x, y)


def conj(x: Any) -> Any:
    """The complex conjugate; x itself when it is real."""
    return bind(CONJ, x) if kind_of(type_of(x).dtype) == COMPLEX else x


def integer_pow(x: Any, y: int) -> Any:
    """x ** y for a static integer y."""
    if y == 1 and type(x) is Tracer:
        return x
    if y == 2:
        return binary(MUL, x, x) if type(x) is Tracer else bind(IntegerPow(2), x)
    return bind(IntegerPow(int(y)), x)


def round_(x: Any, to_even: bool = False) -> Any:
    """The nearest integer; halves go away from zero, or to even."""
    return bind(Round(bool(to_even)), x)


def select(which: Any, on_true: Any, on_false: Any) -> Any:
    """on_true where ``which`` is true, on_false elsewhere."""
    return bind(SELECT, which, on_true, on_false)


def clamp(low: Any, x: Any, high: Any) -> Any:
    """min(max(x, low), high)."""
    return bind(CLAMP, *align(CLAMP, low, x, high))
