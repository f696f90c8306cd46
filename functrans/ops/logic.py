"""Bits, comparisons and choices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from functrans.errors import FunctransTypeError
from functrans.ir.program import Literal
from functrans.ir.types import ArrayType, array_type, is_key_dtype, kind_of, type_of
from functrans.ops.elementwise import Stepwise, align, batched_alike, binary, one_axis
from functrans.ops.structural import broadcast_in_dim, compare_kind, convert, full, reduce_sum, scalar_literal
from functrans.trace.binding import bind
from functrans.trace.emitter import EmitterProtocol, Names, Types
from functrans.trace.primitive import Fusion, Lanes, Primitive, Tangent, Value, is_linear
from functrans.trace.tracer import Tracer


class _Bitwise(Stepwise):
    cheap = True
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


_UNORDERED = {
    "c": "complex numbers have no order; compare their real parts or absolute values",
    "k": "random keys have no order",
}


class Compare(Stepwise):
    """``direction`` is one of EQ, NE, LT, LE, GT, GE; the result is bool. Random keys are equal or not, and have no
    order (``optimise.key_arrays``)."""

    cheap = True
    direction: str
    accepts = "iufcbk"

    def result_dtype(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        return np.dtype(np.bool_)

    def infer(self, *types: ArrayType) -> ArrayType:
        if self.direction not in ("EQ", "NE") and kind_of(types[0].dtype) in _UNORDERED:
            raise FunctransTypeError(
                f"{self.direction.lower()}: {_UNORDERED[kind_of(types[0].dtype)]}, got operands of types "
                f"{', '.join(map(str, types))}"
            )
        return super().infer(*types).update(weak_type=False)

    def physical(self, operands: Sequence[Any], types: Sequence[ArrayType]) -> Any:
        if not is_key_dtype(types[0].dtype):
            return None
        different = convert(bind(Compare("NE"), *operands), np.dtype(np.int32))
        return bind(Compare(self.direction), reduce_sum(different, (types[0].ndim,)), 0)

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

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        full_type = next((t for t in in_types if t.shape), in_types[0])
        text = f"stablehlo.compare {self.direction}, {operands[0]}, {operands[1]}, {compare_kind(in_types[0].dtype)}"
        return emitter.op(text, [full_type, full_type], out_types[0])


class IsFinite(Stepwise):
    accepts = "f"
    reference = staticmethod(np.isfinite)

    def result_dtype(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        return np.dtype(np.bool_)

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        return emitter.op(f"stablehlo.is_finite {operands[0]}", in_types, out_types[0])


class Select(Primitive):
    """Elementwise: the second operand where the first (bool) is true, the third elsewhere. Linear in those two.

    The first is of the shape of the others or a scalar; scalar literals stand for arrays.
    """

    moves = True
    cheap = True
    fusion = Fusion.CHEAP
    elementwise = True
    broadcasts_literals: ClassVar[bool] = True

    def infer(self, which: ArrayType, yes: ArrayType, no: ArrayType) -> ArrayType:
        shape = yes.shape or no.shape or which.shape
        if (
            which.dtype != np.bool_
            or yes.dtype != no.dtype
            or any(t.shape not in ((), shape) for t in (which, yes, no))
        ):
            raise FunctransTypeError(
                f"select: a bool and two arrays of one type are needed, got {which}, {yes} and {no}"
            )
        return array_type(shape, yes.dtype, yes.weak_type and no.weak_type)

    def apart(self, axes: Sequence[int | None], types: Sequence[ArrayType]) -> int | None:
        return one_axis(axes)

    def moving(self, count: int) -> Sequence[int]:
        return (1, 2)

    def impl(self, which: Any, yes: Any, no: Any) -> Any:
        return np.where(which, yes, no)

    @staticmethod
    def fold(which: Any, yes: Any, no: Any) -> Any:
        return yes if yes is no and type(yes) is Tracer else None

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        which, yes, no = primals
        out = bind(self, which, yes, no)
        _, t, f = tangents
        return out, _chosen(which, t, f, out)

    def transpose(self, cotangent: Any, which: Any, yes: Any, no: Any) -> Sequence[Any]:
        return [
            None,
            _chosen(which, cotangent, None, cotangent) if is_linear(yes) else None,
            _chosen(which, None, cotangent, cotangent) if is_linear(no) else None,
        ]

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Any]:
        which, yes, no = operands
        arrays = [(x, m) for x, m in zip(operands[1:], mapped[1:], strict=True) if type(x) is not Literal]
        if not arrays:  # a choice between two numbers
            return bind(self, which, yes, no), True
        shape = (lanes.size, *(arrays[0][0].shape[1:] if arrays[0][1] else arrays[0][0].shape))
        yes, no = batched_alike(lanes.size, (yes, no), mapped[1:])
        if not mapped[0] and not which.shape:
            return bind(self, which, yes, no), True
        if len(which.shape) < len(shape):
            which = broadcast_in_dim(
                which, shape, (0,) if len(which.shape) == 1 and mapped[0] else tuple(range(1, len(shape)))
            )
        return bind(self, which, yes, no), True

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        which, yes, no = operands
        return emitter.select(which, yes, no, in_types[0], out_types[0])


def _chosen(which: Any, yes: Any, no: Any, like: Any) -> Any:
    """A selection where None stands for zeros."""
    zero = scalar_literal(0, like.dtype)
    return bind(SELECT, which, zero if yes is None else yes, zero if no is None else no)


AND, OR, XOR, NOT, POPULATION_COUNT, CLZ = And(), Or(), Xor(), Not(), PopulationCount(), Clz()
SHIFT_LEFT, SHIFT_RIGHT_ARITHMETIC, SHIFT_RIGHT_LOGICAL = ShiftLeft(), ShiftRightArithmetic(), ShiftRightLogical()
EQ, NE, LT, LE, GT, GE = (Compare(d) for d in ("EQ", "NE", "LT", "LE", "GT", "GE"))
IS_FINITE, SELECT = IsFinite(), Select()


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


def choose(mask: Any, new: Any, old: Any) -> Any:
    """One of two values of one type by a scalar mask."""
    if new is old:
        return old
    shape = old.type.shape
    new = new if getattr(new, "shape", ()) == shape else full(shape, new)
    return bind(SELECT, broadcast_in_dim(mask, shape) if shape else mask, new, old)


def select(pred: Any, on_true: Any, on_false: Any) -> Any:
    """on_true where ``pred`` is true, on_false elsewhere; numbers stand for arrays."""
    if type(on_true) is not Tracer or type(on_false) is not Tracer or on_true.type is not on_false.type:
        on_true, on_false = align(SELECT, on_true, on_false)
        shape = type_of(pred).shape
        if shape:  # scalars that are not literals
            on_true, on_false = (
                broadcast_in_dim(x, shape, ()) if type(x) is not Literal and not type_of(x).shape else x
                for x in (on_true, on_false)
            )
    return bind(SELECT, pred, on_true, on_false)
