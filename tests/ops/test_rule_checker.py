"""The rule checker sees what it looks for: a primitive that is wrong in one variation fails there, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pytest

from functrans.ir.program import Literal
from functrans.ir.types import ArrayType, array_type
from functrans.ops.constants import Constant
from functrans.ops.cumulative import Cumsum
from functrans.ops.elementwise import Elementwise, Mul, add, batched_alike, mul, sub
from functrans.ops.functions import cos
from functrans.ops.indexing import Gather
from functrans.ops.slicing import Rev
from functrans.ops.structural import ReduceSum, broadcast_in_dim, convert, reshape, stop_gradient
from functrans.ops.windows import GatherDimensionNumbers
from functrans.testing import check_rules
from functrans.testing.strides import LAYOUTS, oddly_laid_out
from functrans.testing.variations import VARIATIONS
from functrans.trace.binding import bind
from functrans.trace.primitive import Lanes, Primitive, is_linear
from functrans.trace.tracer import Tracer
from functrans.trace.values import concrete

X, Y = np.float32([1.5, -0.5, 2.0]), np.float32([0.75, 1.25, -1.0])
SCALAR = np.float32(1.5)


class _Product(Mul):
    """A product that is right: what the broken ones are made of."""

    name = "product"
    fold = None


class TakesArraysForGranted(_Product):
    def partial(self, i: int, out: Any, *operands: Any) -> Any:
        return reshape(operands[1 - i], out.shape)

    jvp = Elementwise.jvp


class LeavesTheTangentsOfNumbersOut(_Product):
    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        kept = [None if type(x) is Literal else t for x, t in zip(primals, tangents, strict=True)]
        return super().jvp(primals, kept)


class TakesNumbersForConstants(Elementwise):
    hlo = "sine"
    reference = staticmethod(np.sin)

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        out = bind(self, *primals)
        return out, mul(tangents[0], cos(primals[0])) if type(primals[0]) is Tracer else None


class WidensWeakOperands(_Product):
    def infer(self, *types: ArrayType) -> ArrayType:
        out = super().infer(*types)
        return out.update(dtype=np.dtype(np.complex64)) if out.weak_type else out


class TakesEqualOperandsForEqualTangents(_Product):
    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        (x, y), (s, t) = primals, tangents
        if s is not None and t is not None and x is y:
            return bind(self, x, y), mul(s, mul(2.0, x))
        return super().jvp(primals, tangents)


class TakesEqualTangentsForEqualOperands(_Product):
    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        (x, y), (s, t) = primals, tangents
        if s is not None and s is t:
            return bind(self, x, y), mul(s, mul(2.0, x))
        return super().jvp(primals, tangents)


class ForgetsAFactorBesideAZero(Primitive):
    """x y z; its rule is wrong where two of three tangents are there: subsets that are seldom drawn."""

    def infer(self, *types: ArrayType) -> ArrayType:
        return types[0]

    def impl(self, *arrays: Any) -> Any:
        return np.prod(np.stack(arrays), 0)

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        x, y, z, w = primals
        others = [mul(y, mul(z, w)), mul(x, mul(z, w)), mul(x, mul(y, w)), mul(x, mul(y, z))]
        given = [t is not None for t in tangents]
        if given == [True, True, True, False]:
            others[2] = mul(x, y)
        terms = [mul(t, o) for t, o in zip(tangents, others, strict=True) if t is not None]
        total = terms[0]
        for term in terms[1:]:
            total = add(total, term)
        return bind(self, *primals), total

    def batch(self, lanes: Lanes, operands: Sequence[Any], mapped: Sequence[bool]) -> tuple[Any, Any]:
        return bind(self, *batched_alike(lanes.size, operands, mapped)), True


class Reversed(Primitive):
    """The elements along an axis in reverse."""

    axis: int

    def infer(self, x: ArrayType) -> ArrayType:
        return x

    def impl(self, x: Any) -> Any:
        return np.flip(x, self.axis)

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        return bind(self, primals[0]), bind(self, tangents[0])

    def transpose(self, cotangent: Any, x: Any) -> Sequence[Any]:
        return [bind(self, cotangent)]

    def batch(self, lanes: Lanes, operands: Sequence[Any], mapped: Sequence[bool]) -> tuple[Any, Any]:
        return bind(type(self)(self.axis + 1), operands[0]), True


class ForgetsWhatWasMapped(Primitive):
    """(x, y) -> x + reversed y; its batch rule is wrong where one operand is mapped twice and the other never."""

    axis: int
    before: tuple[bool, ...] = ()

    def infer(self, x: ArrayType, y: ArrayType) -> ArrayType:
        return x

    def impl(self, x: Any, y: Any) -> Any:
        return x + np.flip(y, self.axis)

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        s, t = tangents
        turned = None if t is None else bind(Rev((self.axis,)), t)
        return bind(self, *primals), s if turned is None else turned if s is None else add(s, turned)

    def batch(self, lanes: Lanes, operands: Sequence[Any], mapped: Sequence[bool]) -> tuple[Any, Any]:
        again = not all(mapped) and tuple(mapped) == self.before
        op = ForgetsWhatWasMapped(self.axis if again else self.axis + 1, tuple(mapped))
        return bind(op, *batched_alike(lanes.size, operands, mapped)), True


class LosesCapturedOperands(_Product):
    folds_literals: ClassVar[bool] = False

    @staticmethod
    def fold(x: Any, y: Any) -> Any:
        both = type(x) is Tracer and type(y) is Tracer
        return x if both and x.builder is not y.builder else None


class ReadsBuffersInTheirOrder(_Product):
    folds_literals: ClassVar[bool] = False

    @staticmethod
    def fold(x: Any, y: Any) -> Any:
        known = concrete(y) if type(y) is Tracer else None
        if known is None or not known.shape:
            return None
        data = known.tobytes(order="A")
        return bind(_Product(), x, bind(Constant(known.dtype, known.shape, data)))


class TakesOneLaneForNone(Reversed):
    def batch(self, lanes: Lanes, operands: Sequence[Any], mapped: Sequence[bool]) -> tuple[Any, Any]:
        return bind(TakesOneLaneForNone(self.axis + (lanes.size > 1)), operands[0]), True


class DividesByItsLength(Reversed):
    """Right but for the derivative of an axis without elements."""

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        count = primals[0].shape[self.axis]
        slope = bind(Reversed(self.axis), tangents[0])
        return bind(self, primals[0]), mul(slope, count / count)


class Element(Primitive):
    """(x, i) -> x[i]"""

    def infer(self, x: ArrayType, i: ArrayType) -> ArrayType:
        return array_type(x.shape[1:], x.dtype, x.weak_type)

    def impl(self, x: Any, i: Any) -> Any:
        return x[i]

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        return bind(self, *primals), bind(Element(), tangents[0], primals[1])

    def batch(self, lanes: Lanes, operands: Sequence[Any], mapped: Sequence[bool]) -> tuple[Any, Any]:
        x, i = operands
        x = x if mapped[0] else broadcast_in_dim(x, (lanes.size, *x.shape), tuple(range(1, len(x.shape) + 1)))
        i = i if mapped[1] else broadcast_in_dim(i, (lanes.size, *i.shape), tuple(range(1, len(i.shape) + 1)))
        return bind(Elements(i.ndim), x, i), True


class Elements(Primitive):
    """x[k, ..., i[k, ...]] for all k, ..."""

    ndim: int

    def infer(self, x: ArrayType, i: ArrayType) -> ArrayType:
        return array_type(i.shape, x.dtype, x.weak_type)

    def impl(self, x: Any, i: Any) -> Any:
        return np.take_along_axis(x, np.asarray(i)[..., None].astype(np.int64), -1)[..., 0]

    batch = Element.batch

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        return bind(self, *primals), bind(self, tangents[0], primals[1])


class CountsInTheIndexDtype(Element):
    def batch(self, lanes: Lanes, operands: Sequence[Any], mapped: Sequence[bool]) -> tuple[Any, Any]:
        return super().batch(lanes, (operands[0], sub(add(operands[1], 200), 200)), mapped)


class KeepsItsTangentsInSingle(_Product):
    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        out, slope = super().jvp(primals, tangents)
        return out, convert(slope, np.dtype(np.float32))


class SendsBackConstants(_Product):
    def transpose(self, cotangent: Any, x: Any, y: Any) -> Sequence[Any]:
        return [mul(cotangent, stop_gradient(y)), None] if is_linear(x) else [None, mul(cotangent, stop_gradient(x))]

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
        (x, y), (s, t) = primals, tangents
        left = bind(self, s, y) if s is not None else None
        right = bind(self, x, t) if t is not None else None
        return bind(self, x, y), left if right is None else right if left is None else add(left, right)


CUT = {"short axes": "the index would be out of bounds"}
BROKEN = [
    ("literal operands", TakesArraysForGranted(), (X, Y), {}),
    ("literal operands", LeavesTheTangentsOfNumbersOut(), (X, Y), {}),
    ("number values", TakesNumbersForConstants(), (SCALAR,), {}),
    ("weak types", WidensWeakOperands(), (X, Y), {}),
    ("same value twice", TakesEqualOperandsForEqualTangents(), (X, Y), {}),
    ("same value twice", TakesEqualTangentsForEqualOperands(), (X, Y), {}),
    ("zero tangents", ForgetsAFactorBesideAZero(), (X, Y, X + 1, Y - 1), {}),
    ("mapped twice", ForgetsWhatWasMapped(0), (X, Y), {}),
    ("captured operands", LosesCapturedOperands(), (X, Y), {}),
    ("odd strides", ReadsBuffersInTheirOrder(), (np.outer(X, Y), np.outer(Y, X)), {}),
    ("short axes", TakesOneLaneForNone(0), (X,), {}),
    ("short axes", DividesByItsLength(0), (X,), {}),
    ("integer dtypes", CountsInTheIndexDtype(), (X, np.int32(2)), {"reverse": False, "without": CUT}),
    ("half precision", KeepsItsTangentsInSingle(), (X, Y), {}),
    ("second derivatives", SendsBackConstants(), (X, Y), {}),
]


@pytest.mark.parametrize(
    ("variation", "op", "operands", "flags"), BROKEN, ids=[type(row[1]).__name__ for row in BROKEN]
)
def test_a_broken_primitive_is_seen(variation: str, op: Primitive, operands: Any, flags: dict[str, Any]) -> None:
    others = [name for name in VARIATIONS if name != variation]
    check_rules(op, *operands, **flags, execute=False, variations=others)  # it is wrong in this way alone
    with pytest.raises(AssertionError, match=rf"rule .* of {op.name}"):
        check_rules(op, *operands, **flags, execute=False, variations=[variation])
    without = {**flags.get("without", {}), variation: "it is broken on purpose"}
    check_rules(op, *operands, **{**flags, "without": without}, execute=False)


def test_every_variation_has_a_primitive_that_is_broken_in_it() -> None:
    assert {variation for variation, *_ in BROKEN} == set(VARIATIONS)


def test_all_variations_are_checked_where_none_is_named() -> None:
    with pytest.raises(AssertionError, match="one value"):
        check_rules(TakesEqualOperandsForEqualTangents(), X, Y, execute=False)


def test_a_variation_is_left_out_by_its_name_and_with_a_reason() -> None:
    with pytest.raises(ValueError, match=r"'zero' is no variation; there are literal operands, .*"):
        check_rules(_Product(), X, Y, without={"zero": "nobody wants it"})
    with pytest.raises(ValueError, match=r"'zero tangents', and no reason is given"):
        check_rules(_Product(), X, Y, without={"zero tangents": ""})


class LowersWithoutItsLastAxis(Reversed):
    """Right by NumPy, and wrong as it is run on arrays without elements."""

    def lower(self, emitter: Any, operands: Any, in_types: Any, out_types: Any) -> Any:
        if out_types[0].shape[self.axis] == 1:
            return emitter.splat(0, out_types[0])
        return emitter.raw(f"stablehlo.reverse {operands[0]}, dims = [{self.axis}] : {emitter.text(out_types[0])}")


def test_what_variations_run_is_compiled_too() -> None:
    check_rules(LowersWithoutItsLastAxis(0), X, variations=[])
    check_rules(LowersWithoutItsLastAxis(0), X, execute=False)
    with pytest.raises(AssertionError, match="rule 'lower'"):
        check_rules(LowersWithoutItsLastAxis(0), X, variations=["short axes"])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 0, 3), (1,)])
@pytest.mark.parametrize("dtype", ["float32", "bool", "complex128"])
def test_an_array_in_another_layout_is_the_same_array(layout: str, shape: Any, dtype: str) -> None:
    x = np.arange(int(np.prod(shape)), dtype="float32").astype(dtype).reshape(shape)
    found = oddly_laid_out(x, list(LAYOUTS).index(layout))
    assert (found.shape, found.dtype) == (x.shape, x.dtype)
    np.testing.assert_array_equal(found, x)


def test_the_layouts_are_odd() -> None:
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    found = {name: make(x) for name, make in LAYOUTS.items()}
    assert found["fortran"].flags.f_contiguous and not found["fortran"].flags.c_contiguous
    assert all(stride < 0 for stride in found["backward"].strides)
    assert found["spaced"].strides == (48, 12)
    assert LAYOUTS["repeated"](np.ones((3, 4))).strides == (0, 0)
    assert not found["unaligned"].flags.aligned
    assert not found["read only"].flags.writeable


class LosesTheCrossTerms(_Product):
    def taylor(self, line: Any, operands: Sequence[Any]) -> Any:
        x, y = operands
        first = line.product(self, x, line.value(y))
        second = line.product(self, line.value(x), y)
        return type(first)(first.type, [first[0]], lambda k: add(first[k], second[k]))


class SaysThatItsSlicesStayApart(Rev):
    def apart(self, axes: Sequence[int | None], types: Sequence[ArrayType]) -> int | None:
        return axes[0]


@pytest.mark.parametrize(("rule", "op", "operands"), [
    ("taylor", LosesTheCrossTerms(), (np.float64([1.5, 2.0]), np.float64([0.5, -1.0]))),
    ("apart", SaysThatItsSlicesStayApart((0,)), (np.arange(6.0).reshape(3, 2),)),
])  # fmt: skip
@pytest.mark.usefixtures("x64")
def test_a_wrong_rule_of_lines_is_seen(rule: str, op: Primitive, operands: Any) -> None:
    with pytest.raises(AssertionError, match=f"rule '{rule}'"):
        check_rules(op, *operands, execute=False, variations=())


class SaysThatAProductMoves(_Product):
    def moving(self, count: int) -> Sequence[int]:
        return (0,)


class NumbersOtherElements(Rev):
    def over_numbers(self) -> Primitive:
        return Rev((1 - self.dimensions[0],))


class TakesFillingsForZeros(Gather):
    def over_numbers(self) -> Gather:
        return Gather(self.dimension_numbers, self.slice_sizes, "clip")


class SaysThatElementsStay(Reversed):
    elementwise = True


class SumsOverAnotherAxis(ReduceSum):
    def sums_over(self, place: int) -> Sequence[int]:
        return (1 - self.axes[0],)


class ForgetsTheScale(ReduceSum):
    def by_element(self, place: int, scale: Any, operands: Sequence[Any]) -> Any:
        return super().by_element(place, None, operands)


class ForgetsWhatIsLater(Cumsum):
    def sparsity(self, detection: Any, operands: Sequence[Any], types: Sequence[ArrayType]) -> Any:
        return operands[0].sets


class BelievesUnknownIndices(Gather):
    def sparsity(self, detection: Any, operands: Sequence[Any], types: Sequence[ArrayType]) -> Any:
        x, indices = operands
        if indices.value() is not None:
            return super().sparsity(detection, operands, types)
        zeros = np.zeros(indices.shape, np.int32)
        return detection.renumbered(x.sets, lambda numbers: self.over_numbers().impl(numbers, zeros))


GRID, PLACES = np.arange(1.0, 7.0).reshape(3, 2), np.int32([[2], [5], [-1], [1]])
ROWS_OF_IT = (GatherDimensionNumbers((1,), (0,), (0,), (), ()), (1, 2))


@pytest.mark.parametrize(("rule", "op", "operands"), [
    ("moving", SaysThatAProductMoves(), (GRID, GRID + 1.0)),
    ("moving", NumbersOtherElements((0,)), (GRID,)),
    ("moving", TakesFillingsForZeros(*ROWS_OF_IT, "fill", False, False, 1.5), (GRID, PLACES)),
    ("elementwise", SaysThatElementsStay(0), (GRID,)),
    ("by_element", SumsOverAnotherAxis((0,)), (np.ones((2, 2)) * [1.0, 3.0],)),
    ("by_element", ForgetsTheScale((0,)), (GRID,)),
    ("sparsity", ForgetsWhatIsLater(0, False), (GRID,)),
    ("sparsity", BelievesUnknownIndices(*ROWS_OF_IT, "clip"), (GRID, PLACES)),
])  # fmt: skip
@pytest.mark.usefixtures("x64")
def test_what_is_wrong_about_structure_is_seen(rule: str, op: Primitive, operands: Any) -> None:
    with pytest.raises(AssertionError, match=f"rule '{rule} ?"):
        check_rules(op, *operands, execute=False, variations=())
