"""The family of elementwise operations, and the arithmetic that its derivative rules need: neg, add, sub, mul, div.

An operand is an array of the common shape, or a scalar literal, which needs no broadcast. A class gives its StableHLO
name, its NumPy reference and the partial derivative for each operand; the family supplies every other rule.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import ml_dtypes
import numpy as np

from functrans.errors import FunctransTypeError, NotLinearError
from functrans.ir.program import Literal
from functrans.ir.types import ArrayType, array_type, canonical_dtype, check_integer, short_dtype, type_of
from functrans.ir.types import kind_of as kind_of
from functrans.ops.structural import broadcast_in_dim, convert, scalar_literal
from functrans.trace.binding import bind
from functrans.trace.detection import Detection, Entry
from functrans.trace.emitter import EmitterProtocol, Names, Types
from functrans.trace.primitive import Fusion, Lanes, Primitive, Tangent, Value, is_linear
from functrans.trace.series import Line
from functrans.trace.tracer import Tracer, producer_of, tracer_for

FLOAT, COMPLEX, SIGNED, UNSIGNED, BOOL, KEY = "f", "c", "i", "u", "b", "k"
UNIT = object()  # a partial derivative of 1
MINUS_UNIT = object()  # of -1


def real_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype of the real part."""
    if dtype.kind != "c":
        return dtype
    return np.dtype(np.float32 if dtype.itemsize == 8 else np.float64)


class Elementwise(Primitive):
    """An operation on corresponding elements. See the module docstring for what a subclass gives."""

    fusion = Fusion.CHEAP
    elementwise = True
    smooth: ClassVar[bool] = True
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
        words["k"] = "random key"
        wanted = ", ".join(words[k] for k in self.accepts)
        raise FunctransTypeError(f"{self.name} does not accept operands of dtype {short_dtype(dtype)}, only: {wanted}")

    def impl(self, *arrays: Any) -> Any:
        return type(self).reference(*arrays)

    def partial(self, i: int, out: Any, *operands: Any) -> Any:
        """The partial derivative of the result by operand i (an array, a scalar, UNIT or MINUS_UNIT; None: zero)."""
        self.missing("partial", "differentiation")

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        out = bind(self, *primals)
        total = None
        for i, t in enumerate(tangents):
            if t is None:
                continue
            factor = self.partial(i, out, *primals)
            if factor is None:
                continue
            term = t if factor is UNIT else neg(t) if factor is MINUS_UNIT else mul(t, factor)
            total = term if total is None else add(total, term)
        return out, total

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Any]:
        return bind(self, *batched_alike(lanes.size, operands, mapped)), True

    def apart(self, axes: Sequence[int | None], types: Sequence[ArrayType]) -> int | None:
        return one_axis(axes)

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        return emitter.elementwise(self.hlo, operands, in_types, out_types[0])


def one_axis(axes: Sequence[int | None]) -> int | None:
    """The axis along which operands of one shape are all sliced; None where they are not."""
    found = {a for a in axes if a is not None}
    return found.pop() if len(found) == 1 else None


class Stepwise(Elementwise):
    """Piecewise constant: the derivative is zero wherever there is one."""

    locally_constant = True
    smooth = False

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        return bind(self, *primals), None


def batched_alike(size: int, operands: Sequence[Any], mapped: Sequence[bool]) -> list[Any]:
    """Operands all with the mapped axis 0, scalar literals left alone."""
    out: list[Any] = []
    for x, is_mapped in zip(operands, mapped, strict=True):
        if not is_mapped and type(x) is not Literal:
            shape = x.shape
            x = broadcast_in_dim(x, (size, *shape), tuple(range(1, len(shape) + 1)))
        out.append(x)
    return out


# -- applying --------------------------------------------------------------------------------------------------------


def align(op: Primitive, *operands: Any, ones: bool = False) -> list[Any]:
    """Operands of one dtype and shape: numbers become literals, rank-0 arrays are broadcast, ``ones``: axes of size one
    too; the rest must agree."""
    types = [type_of(x) for x in operands]
    arrays = [
        t for x, t in zip(operands, types, strict=True) if not isinstance(x, bool | int | float | complex | Literal)
    ]
    if not arrays:  # numbers alone: a literal with a dtype of its own decides, else the widest kind
        arrays = [t for x, t in zip(operands, types, strict=True) if type(x) is Literal and not t.weak_type]
    lead = arrays[0] if arrays else max(types, key=lambda t: _RANK[kind_of(t.dtype)])
    shape = next((t.shape for t in types if t.shape), ())
    out: list[Any] = []
    differ = False
    for x, t in zip(operands, types, strict=True):
        if isinstance(x, bool | int | float | complex) and not isinstance(x, np.generic):
            if arrays or t.dtype != lead.dtype:
                x = _literal_like(op, x, lead)
        elif isinstance(x, Literal):
            x = x if x.type.dtype == lead.dtype else _literal_like(op, x.value, lead)
        elif t.shape != shape:
            if not t.shape:
                x = broadcast_in_dim(x, shape, ())
            differ = differ or bool(t.shape)
        out.append(x)
    return _ones_spread(out) if ones and differ else out


def _ones_spread(operands: list[Any]) -> list[Any]:
    """Axes of size one spread over those of the other arrays; the operands as they are where they do not fit so."""
    shapes = [shape for shape in (type_of(x).shape for x in operands) if shape]
    sizes = list(zip(*shapes, strict=False))
    if len(set(map(len, shapes))) > 1 or any(len(set(along) - {1}) > 1 for along in sizes):
        return operands
    shape = tuple([next((n for n in along if n != 1), 1) for along in sizes])
    axes = range(len(shape))
    return [broadcast_in_dim(x, shape, axes) if type_of(x).shape else x for x in operands]


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
    if kind == "i":
        check_integer(value)
    return scalar_literal(value, lead.dtype, lead.weak_type)


def binary(op: Primitive, x: Any, y: Any) -> Any:
    """Apply an elementwise operation of two operands of one dtype, and of one shape but for axes of size one."""
    if type(x) is Tracer:
        other = _beside(x.type, y)
        if other is not None:
            return bind(op, x, other)
    elif type(y) is Tracer:
        other = _beside(y.type, x)
        if other is not None:
            return bind(op, other, y)
    return bind(op, *align(op, x, y, ones=True))


def _beside(type_: ArrayType, x: Any) -> Any:
    """x as an operand beside one of this type, in the cases that need no broadcast and no check; else None."""
    kind = type(x)
    if kind is Tracer:
        return x if x.type is type_ else None
    if kind is Literal:
        return x if x.type.dtype is type_.dtype else None
    if kind is float and type_.dtype.kind == "f":
        # 0.0 and -0.0 are equal keys and different literals
        return _float_literal(x, type_) if x != 0.0 else Literal(x, array_type((), type_.dtype, type_.weak_type))
    return None


@functools.lru_cache(maxsize=4096, typed=True)
def _float_literal(value: float, beside: ArrayType) -> Literal:
    return Literal(value, array_type((), beside.dtype, beside.weak_type))


def literal_value(x: Any) -> Any:
    """The number that a literal operand is, or None."""
    if type(x) is Literal:
        return x.value
    return x if type(x) in (int, float, bool, complex) else None


def same_type(x: Any, other: Any) -> bool:
    """Whether dropping ``other`` from an operation with ``x`` leaves the result's type as it is."""
    return type(x) is Tracer and (
        type(other) is not Literal or x.type.weak_type == other.type.weak_type or not x.type.weak_type
    )


# -- the operations --------------------------------------------------------------------------------------------------


def undone(op: Primitive, x: Any) -> Any:
    """The operand behind x where ``op``, its own inverse, made x; else None."""
    producer = producer_of(x)
    if producer is not None and producer.op is op and type(producer.inputs[0]) is not Literal:
        return tracer_for(x, producer.inputs[0])
    return None


class Neg(Elementwise):
    cheap = True
    hlo = "negate"
    reference = staticmethod(np.negative)

    @staticmethod
    def fold(x: Any) -> Any:
        return undone(NEG, x)

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        return neg(primals[0]), neg(tangents[0])

    def transpose(self, cotangent: Any, x: Any) -> Sequence[Any]:
        return [neg(cotangent)]


def _is_negative_zero(value: Any) -> bool:
    return value == 0 and not isinstance(value, complex) and bool(np.signbit(value))


def refuse_offset(*operands: Any) -> None:
    """Raise NotLinearError where a number other than zero is added to a linear operand.

    What an array added to it holds is not known here; zeros are common.
    """
    for x in operands:
        if type(x) is Literal and x.value != 0:
            raise NotLinearError(f"adding the number {x.value} is not linear")


class Add(Elementwise):
    cheap = True
    hlo = "add"
    reference = staticmethod(np.add)
    folds_literals = True
    accepts = "iufcb"

    @staticmethod
    def fold(x: Any, y: Any) -> Any:
        a, b = (x, y) if type(x) is Tracer else (y, x)
        value = literal_value(b)
        if value != 0 or value is None or not same_type(a, b):
            return None
        exact = kind_of(a.dtype) in "iu" or (isinstance(value, float) and _is_negative_zero(value))
        return a if exact else None

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        out = bind(self, *primals)
        s, t = tangents
        return out, t if s is None else s if t is None else add(s, t)

    def transpose(self, cotangent: Any, x: Any, y: Any) -> Sequence[Any]:
        refuse_offset(x, y)
        return [cotangent if is_linear(x) else None, cotangent if is_linear(y) else None]


class Sub(Elementwise):
    cheap = True
    hlo = "subtract"
    reference = staticmethod(np.subtract)
    folds_literals = True

    @staticmethod
    def fold(x: Any, y: Any) -> Any:
        value = literal_value(y)
        if value is not None and value == 0 and not _is_negative_zero(value) and same_type(x, y):
            return x if kind_of(x.dtype) != COMPLEX else None
        return None

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        out = bind(self, *primals)
        s, t = tangents
        return out, neg(t) if s is None else s if t is None else sub(s, t)

    def transpose(self, cotangent: Any, x: Any, y: Any) -> Sequence[Any]:
        refuse_offset(x, y)
        return [cotangent if is_linear(x) else None, neg(cotangent) if is_linear(y) else None]


class Mul(Elementwise):
    cheap = True
    hlo = "multiply"
    reference = staticmethod(np.multiply)
    folds_literals = True
    accepts = "iufcb"

    @staticmethod
    def fold(x: Any, y: Any) -> Any:
        a, b = (x, y) if type(x) is Tracer else (y, x)
        return a if literal_value(b) == 1 and same_type(a, b) and kind_of(a.dtype) != COMPLEX else None

    def partial(self, i: int, out: Any, *operands: Any) -> Any:
        return operands[1 - i]

    def sparsity(self, detection: Detection, operands: Sequence[Entry], types: Sequence[ArrayType]) -> Any:
        x, y = operands
        return detection.union(_where_other(detection, x, y), _where_other(detection, y, x))

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        (x, y), (s, t) = primals, tangents
        out = bind(self, x, y)
        if s is not None and s is t and x is y:  # d(x*x) = 2x dx: one product, not two
            return out, mul(s, mul(2.0, x))
        left = mul(s, y) if s is not None else None
        right = mul(t, x) if t is not None else None
        return out, left if right is None else right if left is None else add(left, right)

    def transpose(self, cotangent: Any, x: Any, y: Any) -> Sequence[Any]:
        return [mul(cotangent, y), None] if is_linear(x) else [None, mul(cotangent, x)]

    def taylor(self, line: Line, operands: Sequence[Any]) -> Any:
        x, y = operands
        return line.product(self, x, y)


def _where_other(detection: Detection, x: Entry, y: Entry) -> Any:
    """The sets of one factor, without the places where the other is known to be zero."""
    holds = None if x.sets is None else y.holds()
    return x.sets if holds is None else detection.renumbered(x.sets, lambda numbers: np.where(holds, numbers, 0))


class Div(Elementwise):
    fusion = Fusion.COSTLY
    hlo = "divide"
    folds_literals = True

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
        if value is not None and value == 1 and same_type(x, y) and kind_of(x.dtype) != COMPLEX:
            return x
        return None

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        (x, y), (s, t) = primals, tangents
        out = bind(self, x, y)
        if kind_of(out.dtype) in "iu":
            return out, None
        inverse = None if s is not None else _inverse(x, out.dtype)
        if inverse is not None:  # out / x is 1 / y: no second division
            reciprocal = mul(out, inverse)
            return out, neg(mul(mul(t, out), reciprocal))  # in this order: 1 / y^2 may be out of the range
        total = s if t is None else neg(mul(t, out)) if s is None else sub(s, mul(t, out))
        if t is None or kind_of(out.dtype) == COMPLEX or out.dtype == np.float16:  # a quarter of whose range is dear
            return out, div(total, y)
        # Backward a quotient would be read twice, which XLA makes a kernel of its own; products are fused. 4 / y and
        # not 1 / y: a normal number for the largest y too.
        return out, mul(mul(total, div(4.0, y)), 0.25)

    def transpose(self, cotangent: Any, x: Any, y: Any) -> Sequence[Any]:
        return [div(cotangent, y), None]

    def taylor(self, line: Line, operands: Sequence[Any]) -> Any:
        x, y = operands
        return line.quotient(x, y)


def _inverse(x: Any, dtype: np.dtype[Any]) -> float | None:
    """1 / x where x is a number and both are normal numbers of a real dtype."""
    value = literal_value(x)
    if value is None or dtype.kind == "c" or not value:
        return None
    limits = ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call]
    found = 1.0 / float(value)
    return found if all(limits.tiny <= abs(number) <= limits.max for number in (value, found)) else None


NEG, ADD, SUB, MUL, DIV = Neg(), Add(), Sub(), Mul(), Div()


def neg(x: Any) -> Any:
    """-x."""
    return bind(NEG, x)


def add(x: Any, y: Any) -> Any:
    """x + y."""
    return binary(ADD, x, y)


def sub(x: Any, y: Any) -> Any:
    """x - y."""
    return binary(SUB, x, y)


def mul(x: Any, y: Any, *, out_dtype: Any = None) -> Any:
    """x * y; with ``out_dtype`` of operands that are converted to it first."""
    if out_dtype is not None:
        x, y = (convert(x, canonical_dtype(out_dtype)) for x in (x, y))
    return binary(MUL, x, y)


def div(x: Any, y: Any) -> Any:
    """x / y (integers truncate toward zero)."""
    return binary(DIV, x, y)
