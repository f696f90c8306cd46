"""Sample operands for every primitive class: what the rule checker runs over, and nothing else.

A row is a primitive instance and operands (a Python number stands for a literal), with flags of ``check_rules``. Values
lie inside the smooth part of a function's domain, far from ties and steps, so that differences mean something.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import ml_dtypes
import numpy as np

import functrans as ft
from functrans import lax
from functrans.control.derivatives import Derivatives
from functrans.control.switches import SwitchLanes
from functrans.ir.types import type_of
from functrans.lax import gamma_factors, incomplete_beta, incomplete_gamma, polygamma_difference
from functrans.lax.bessel import BesselI
from functrans.nn import activations
from functrans.ops import (
    arithmetic,
    bessel,
    complex_numbers,
    constants,
    dynamic_slicing,
    elementwise,
    exponentials,
    functions,
    indexing,
    logic,
    naming,
    products,
    reductions,
    representation,
    scatters,
    slicing,
    special,
    structural,
    threefry,
    windows,
)
from functrans.ops.windows import GatherDimensionNumbers, ScatterDimensionNumbers
from functrans.scipy.special import (
    complex_gamma,
    dilogarithm,
    elliptic,
    entropies,
    error_functions,
    exponential_integrals,
    gamma_functions,
    normal,
)
from functrans.scipy.special.airy_functions import Airy
from functrans.scipy.special.bessel import Bessel, BesselAsymptotic
from functrans.scipy.special.hypergeometric import Hyp1f1, Hyp2f1
from functrans.scipy.special.lambert import Lambertw
from functrans.scipy.special.legendre import LEGENDRE
from functrans.scipy.special.struve_functions import STRUVE, StruveSeries
from functrans.scipy.special.trigonometric_integrals import Fresnel, SineIntegral
from functrans.trace.primitive import Primitive
from functrans.transform.linearize import linearize_jaxpr

bf16 = np.dtype(ml_dtypes.bfloat16)
f16, f32, f64, c64, c128, i8, i32, i64, u8, u32, boolean = (
    np.dtype(n)
    for n in (
        "float16",
        "float32",
        "float64",
        "complex64",
        "complex128",
        "int8",
        "int32",
        "int64",
        "uint8",
        "uint32",
        "bool",
    )
)
SHAPES = [(), (3,), (2, 3), (2, 1, 3), (0,), (2, 0, 3)]


@dataclass(frozen=True)
class Row:
    """One primitive at one sample."""

    op: Primitive
    operands: tuple[Any, ...]
    flags: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        types = ",".join(
            f"{np.asarray(x).dtype}{list(np.shape(x))}" if not isinstance(x, float | int) else "literal"
            for x in self.operands
        )
        return f"{self.op}({types})".replace(" ", "")


def numbers(shape: Sequence[int], dtype: Any, low: float = -2.0, high: float = 2.0, seed: int = 0) -> Any:
    """Distinct numbers in [low, high], none of them near an integer or half-integer multiple of the others."""
    dtype = np.dtype(dtype)
    random = np.random.default_rng((seed, *shape))
    if dtype == boolean:
        return random.random(shape) < 0.5
    if dtype.kind in "iu":
        return random.integers(int(low) if dtype.kind == "i" else 1, int(high) + 3, shape).astype(dtype)
    count = int(np.prod(shape))
    x = random.permutation(low + (high - low) * (np.arange(count) + 0.37 + 0.11 * seed) / max(count, 1)).reshape(shape)
    if dtype.kind == "c":
        x = x + 1j * random.permutation(np.linspace(0.3, 0.9, count)).reshape(shape)
    return np.asarray(x).astype(dtype)


def of_many_types(
    op: Primitive, count: int, accepts: str, low: float = -2.0, high: float = 2.0, **flags: Any
) -> Iterator[Row]:
    """An elementwise operation over dtypes, ranks, empty shapes and literals."""

    def row(shape: Sequence[int], dtype: Any, **more: Any) -> Row:
        return Row(op, tuple(numbers(shape, dtype, low, high, seed=k) for k in range(count)), {**flags, **more})

    if "f" in accepts:
        yield row((2, 3), f32)
        yield row((3,), f64, execute=False)
        yield row((3,), bf16, execute=False)
        yield from (row(shape, f32, execute=False) for shape in SHAPES)
        if count == 2:
            x = numbers((3,), f32, low, high)
            yield Row(op, (x, 0.75), flags)
            yield Row(op, (0.75, x), flags)
    if "c" in accepts:
        yield row((3,), c64)
        yield row((2,), c128, execute=False)
    if "i" in accepts:
        yield row((2, 3), i32)
        yield row((3,), i8, execute=False)
        yield row((3,), i64, execute=False)
    if "u" in accepts:
        yield row((3,), u8, execute=False)
        yield row((), u32)
    if "b" in accepts:
        yield row((2, 3), boolean)


def elementwise_rows() -> Iterator[Row]:
    rough = {"derivative": False}  # a step function, or a derivative that is zero by definition
    for op in (elementwise.NEG, arithmetic.SIGN, arithmetic.ABS):
        yield from of_many_types(op, 1, "iufc" if op is not elementwise.NEG else "ifc")
    for op in (arithmetic.SQUARE, *[arithmetic.IntegerPow(n) for n in (0, 1, 2, 3, 7)]):
        yield from of_many_types(op, 1, "iufc")
    yield from of_many_types(arithmetic.IntegerPow(-2), 1, "fc", 0.5, 2.0)
    for op in (
        functions.EXP,
        exponentials.EXP2,
        functions.EXPM1,
        functions.SIN,
        functions.COS,
        exponentials.TANH,
        exponentials.SECH_SQUARED,
        exponentials.LOGISTIC,
        exponentials.LOGISTIC_SLOPE,
    ):
        yield from of_many_types(op, 1, "fc")
    yield from of_many_types(functions.TAN, 1, "fc", -1.2, 1.2)
    for op in (
        exponentials.SINH,
        exponentials.COSH,
        exponentials.ASINH,
        exponentials.ASINH_SLOPE,
        functions.ATAN,
        functions.ATAN_SLOPE,
    ):
        yield from of_many_types(op, 1, "fc")
    for op in (functions.ASIN, functions.ACOS, exponentials.ATANH):
        yield from of_many_types(op, 1, "fc", -0.9, 0.9)
    for op in (exponentials.ACOSH, exponentials.ACOSH_SLOPE):
        yield from of_many_types(op, 1, "fc", 1.3, 3.0)
    for op in (functions.LOG, functions.SQRT, functions.RSQRT):
        yield from of_many_types(op, 1, "fc", 0.3, 3.0)
    yield from of_many_types(functions.LOG1P, 1, "fc", -0.6, 2.0)
    yield from of_many_types(functions.CBRT, 1, "f", 0.3, 3.0)
    for op in (arithmetic.FLOOR, arithmetic.CEIL, arithmetic.Round(False), arithmetic.Round(True)):
        yield from of_many_types(op, 1, "f")
    yield Row(arithmetic.Round(False), (np.float32([0.5, 1.5, -2.5]),), rough)
    yield Row(arithmetic.Round(True), (np.float32([0.5, 1.5, -2.5]),), rough)
    yield from of_many_types(logic.IS_FINITE, 1, "f")
    yield Row(logic.IS_FINITE, (np.float32([np.inf, np.nan, 1.0]),))
    for op in (logic.NOT, logic.POPULATION_COUNT, logic.CLZ):
        yield from of_many_types(op, 1, "iub" if op is logic.NOT else "iu")
    for op in (elementwise.ADD, elementwise.MUL):
        yield from of_many_types(op, 2, "iufcb")
    yield from of_many_types(elementwise.SUB, 2, "iufc")
    yield from of_many_types(elementwise.DIV, 2, "fc", 0.5, 2.0)
    for op in (elementwise.DIV, arithmetic.REM):
        yield Row(op, (np.int32([7, -7, 7, -7]), np.int32([2, 2, -2, -2])))
        yield Row(op, (np.uint8([7, 200]), np.uint8([2, 3])))
    yield Row(arithmetic.REM, (np.float32([5.3, -5.3, 5.3]), np.float32([2.1, 2.1, -2.1])))
    yield Row(arithmetic.REM, (np.float64([5.3, -5.3]), np.float64([2.1, 2.1])), {"execute": False})
    for op in (arithmetic.MAX, arithmetic.MIN):
        yield from of_many_types(op, 2, "iufb")
        yield Row(op, (np.float32([1.0, np.nan, 2.0]), np.float32([np.nan, 1.0, 3.0])), rough)
    for op in (arithmetic.POW, arithmetic.POW_SLOPE):
        yield from of_many_types(op, 2, "fc", 0.5, 2.0)
    yield Row(arithmetic.POW, (np.float32([0.0, 2.0]), np.float32([2.0, 0.0])), rough)
    for op in (functions.ATAN2, functions.ATAN2_SLOPE, exponentials.LOG_ADD_EXP):
        yield from of_many_types(op, 2, "f", 0.3, 2.0)
    yield from (Row(arithmetic.NEXTAFTER, (numbers((3,), d), numbers((3,), d, seed=1)), rough) for d in (f32, f64))
    for op in (logic.AND, logic.OR, logic.XOR):
        yield from of_many_types(op, 2, "iub")
    for op in (logic.SHIFT_LEFT, logic.SHIFT_RIGHT_ARITHMETIC, logic.SHIFT_RIGHT_LOGICAL):
        yield Row(op, (np.int32([5, -5, 100]), np.int32([1, 2, 3])))
        yield Row(op, (np.uint8([5, 250, 100]), np.uint8([1, 2, 3])))
    for op in (logic.EQ, logic.NE, logic.LT, logic.LE, logic.GT, logic.GE):
        yield from of_many_types(op, 2, "iufb" + ("c" if op in (logic.EQ, logic.NE) else ""))
        yield Row(op, (np.float32([1.0, np.nan]), np.float32([1.0, np.nan])))
    for dtype in (f32, f64, c64, bf16, i32, boolean):
        which, yes, no = numbers((2, 3), boolean), numbers((2, 3), dtype), numbers((2, 3), dtype, seed=1)
        yield Row(logic.SELECT, (which, yes, no), {"execute": dtype != f64})
    yield Row(logic.SELECT, (np.bool_(True), numbers((2, 3), f32), numbers((2, 3), f32, seed=1)))
    yield Row(logic.SELECT, (np.bool_(False), np.float32(1.5), np.float32(2.5)))
    yield Row(logic.SELECT, (numbers((0, 2), boolean), numbers((0, 2), f32), numbers((0, 2), f32)), {"execute": False})
    x = np.float32([[-1.5, 0.3, 2.5], [0.1, 0.2, 0.9]])
    yield Row(arithmetic.CLAMP, (x * 0 - 0.7, x, x * 0 + 0.8))
    yield Row(arithmetic.CLAMP, (-0.7, x, 0.8))
    yield Row(arithmetic.CLAMP, (0, np.int32([-4, 1, 9]), 5))
    for op in (complex_numbers.REAL, complex_numbers.IMAG, complex_numbers.CONJ):
        yield from of_many_types(op, 1, "c")
    for dtype in (f32, f64):
        yield Row(
            complex_numbers.MAKE_COMPLEX,
            (numbers((2, 3), dtype), numbers((2, 3), dtype, seed=1)),
            {"execute": dtype == f32},
        )
    for op in (special.ERF, special.ERFC):
        yield from of_many_types(op, 1, "f")
    yield from of_many_types(special.ERF_INV, 1, "f", -0.8, 0.8, roundings=256)
    for op in (special.LGAMMA, special.DIGAMMA):
        yield from of_many_types(op, 1, "f", 0.6, 4.0, roundings=256)
    for op in (bessel.BESSEL_I0E, bessel.BESSEL_I1E, bessel.BESSEL_I1E_SLOPE, *map(BesselI, range(4))):
        yield from of_many_types(op, 1, "f", -12.0, 12.0)
    for dtype in (f32, f64, bf16):
        fast = {"execute": dtype == f32, "roundings": 256}
        q = numbers((2, 3), dtype, 0.6, 4.0)
        yield Row(special.POLYGAMMA, (numbers((2, 3), dtype) * 0 + 2, q), {"wrt": (1,), **fast})
        yield Row(special.ZETA, (numbers((2, 3), dtype, 1.6, 5.0, seed=1), q), fast)
    half = (numbers((3,), f16, 1.6, 5.0, seed=1), numbers((3,), f16, 0.6, 4.0))
    yield Row(special.ZETA, half, {"roundings": 256})
    for order, dtype in ((1, f32), (2, f64)):  # large programs: none executed, no second derivatives
        operands = numbers((2,), dtype, 1.6, 5.0, seed=1), numbers((2,), dtype, 0.6, 4.0)
        flags = {"execute": False, "second_order": False, "roundings": 256}
        yield Row(special.ZetaByExponent(order), operands, flags)
    for dtype in (f32, f64):
        one, left = numbers((3,), dtype) * 0 + 1, numbers((3,), dtype, -9.55, -9.45)  # between poles
        for op, order in ((special.POLYGAMMA, one), (special.ZETA, one + 1)):
            yield Row(op, (order, left), {"wrt": (1,), "execute": dtype == f32, "roundings": 256})


def incomplete_rows() -> Iterator[Row]:
    """Functions computed by loops, which cost much: small samples. Derivatives by parameters are checked elsewhere."""
    for dtype in (f32, f64, bf16):
        a, b, x = (np.asarray(v, dtype) for v in ([0.8, 2.3], [1.7, 0.9], [2.1, 0.6]))
        flags = {"roundings": 256, "second_order": False, "execute": False}
        for op in (incomplete_gamma.IGAMMA, incomplete_gamma.IGAMMAC):
            yield Row(op, (a, x), {"wrt": (1,), **flags})
        yield Row(incomplete_beta.REGULARIZED_INCOMPLETE_BETA, (a, b, x / 3), {"wrt": (2,), **flags})
        flags = {"execute": dtype == f32}
        for op in (entropies.XLOGY, entropies.XLOG1PY, entropies.WEIGHTED, entropies.WEIGHTED_RECIPROCAL):
            yield Row(op, (x, a), flags)
        for op in (activations.SQUARE_PLUS, activations.SQUARE_PLUS_SLOPE):
            yield Row(op, (x, x + 1), flags)
        yield Row(activations.SOFT_SIGN, (x,), flags)
        for order in (0, 1):
            yield Row(activations.Gelu(order), (x - 1,), flags)
        yield Row(gamma_functions.GAMMA, (x,), {"roundings": 256, **flags})
        for order in (0, 1):
            yield Row(gamma_functions.Factorial(order), (x,), {"roundings": 256, **flags})
        for op in (gamma_functions.BETALN, gamma_functions.BETA, gamma_functions.GAMMA_RATIO):
            yield Row(op, (x, a), {"roundings": 256, **flags})
        for lowered in (0, 1):
            yield Row(gamma_factors.GammaDensity(lowered), (a, x), {"roundings": 256, **flags, "execute": False})
        for beyond in ((0, 0), (1, 2)):
            yield Row(incomplete_beta.BetaDensity(beyond), (a, b, x / 3), {"roundings": 256, **flags, "execute": False})
        for by in (0, 1):
            yield Row(incomplete_beta.BetaWeightSlope(by), (a, b, x / 3), {"roundings": 256, **flags, "execute": False})
        yield Row(gamma_factors.LOG_LESS_DIGAMMA, (a, x), {"roundings": 256, **flags})
        for order in (0, 1):
            yield Row(polygamma_difference.PolygammaDifference(order), (x, a), {"roundings": 256, **flags})
            yield Row(gamma_functions.BetaSlope(order), (x, a), {"roundings": 256, **flags, "execute": False})
        yield Row(gamma_functions.BETA_MIXED, (x, a), {"roundings": 256, **flags, "execute": False})
        for order in (1, 2, 3, 4):
            yield Row(bessel.BesselFalling(order), (x,), {"roundings": 256, **flags})
        for shifted in (False, True):
            yield Row(entropies.Boxcox(shifted), (x, a), {"roundings": 256, **flags})
        yield Row(entropies.XLOGX, (x,), flags)
        yield Row(exponential_integrals.EXP1, (x,), {"roundings": 256, **flags})
        yield Row(exponential_integrals.EXPI, (x - 1,), {"roundings": 256, **flags})
        yield Row(entropies.LOGIT, (x / 3,), {"roundings": 256, **flags})
        for op in (normal.NDTRI, normal.QUANTILE_DENSITY):
            yield Row(op, (x / 3,), {"roundings": 256, **flags})
        for op in (normal.LOG_NDTR, normal.NDTR_RATIO, normal.NDTR_EXCESS, normal.NdtrExcess(1)):
            yield Row(op, (x - 1,), {"roundings": 256, **flags})


def special_rows() -> Iterator[Row]:
    """Functions of scipy.special that are sums, loops and integrals; to the last digits they are checked elsewhere."""
    for dtype in (f32, f64, bf16):
        a, b, x, half = (np.asarray(v, dtype) for v in ([0.8, 2.3], [1.7, 0.9], [2.1, 0.6], [0.3, -0.4]))
        whole = np.asarray([2.0, 3.0], dtype)
        flags = {"roundings": 256, "execute": dtype == f32}
        heavy = {"roundings": 1024, "second_order": False, "execute": False}
        for op in (
            error_functions.ERFCX, error_functions.DAWSN, error_functions.Dawsn(2), dilogarithm.SPENCE,
            dilogarithm.LogOverStep(1), complex_gamma.RGAMMA, Lambertw(False), SineIntegral(False), SineIntegral(True),
            Fresnel(False), Fresnel(True),
        ):  # fmt: skip
            yield Row(op, (x,), flags)
        yield Row(Lambertw(True), (half * 0 - a / 9,), flags)
        for op in (elliptic.ELLIPK, elliptic.ELLIPE):
            yield Row(op, (half,), flags)
        yield Row(error_functions.OWENS_T, (x, a), flags)
        yield Row(exponential_integrals.EXPN, (whole, x), {"wrt": (1,), **heavy})
        for kind in ("j", "y", "i", "k", "ie", "ke"):
            yield Row(Bessel(kind), (a, x), {"wrt": (1,), **heavy})
        for sign in (-1.0, 1.0):
            yield Row(BesselAsymptotic(sign, 1), (a, x + 25), {"wrt": (1,), **heavy})
        for second, slope in ((False, False), (False, True), (True, False), (True, True)):
            yield Row(Airy(second, slope), (x - 1,), heavy)
        for op in (STRUVE, StruveSeries(1)):
            yield Row(op, (a, x), {"wrt": (1,), **heavy})
        yield Row(LEGENDRE, (whole, whole * 0 + 1, x), {"wrt": (2,), **heavy})
        yield Row(Hyp1f1((0, 0, 0)), (a, b, x), {"wrt": (2,), **heavy})
        yield Row(Hyp1f1((1, 0, 1)), (a, b, x), {"wrt": (0,), **heavy})
        yield Row(Hyp2f1((0, 0, 0, 0)), (a, b, b + 1, x / 3), {"wrt": (3,), **heavy})
        yield Row(Hyp2f1((0, 1, 0, 0)), (a, b, b + 1, x / 3), {"wrt": (2,), **heavy})
    for dtype in (c64, c128):
        z = np.asarray([0.7 + 0.4j, -1.2 + 0.9j, 0.3 - 0.2j], dtype)
        yield Row(error_functions.WOFZ, (z,), {"roundings": 256, "execute": dtype == c64})


def structural_rows() -> Iterator[Row]:
    for dtype in (f32, f64, c64, bf16, i32, boolean):
        fast = {"execute": dtype == f32}
        x = numbers((2, 3), dtype)
        yield Row(structural.BroadcastInDim((2, 4, 3), (0, 2)), (x,), fast)
        yield Row(structural.Reshape((3, 2)), (x,), fast)
        yield Row(structural.Transpose((1, 0)), (x,), fast)
        if dtype != boolean:
            yield Row(structural.ReduceSum((0,)), (x,), fast)
        yield Row(structural.STOP_GRADIENT, (x,), {"derivative": False, **fast})
    yield Row(structural.BroadcastInDim((2, 3), (0, 1)), (numbers((1, 3), f32),))
    yield Row(structural.BroadcastInDim((2, 3), ()), (np.float32(1.5),))
    yield Row(structural.BroadcastInDim((0, 3), (1,)), (numbers((3,), f32),))
    yield Row(structural.Reshape((0, 5)), (numbers((2, 0), f32),))
    yield Row(structural.Reshape(()), (numbers((1, 1), f32),))
    yield Row(structural.Transpose((2, 0, 1)), (numbers((2, 3, 4), f32),))
    yield Row(structural.ReduceSum((0, 2)), (numbers((2, 3, 4), f32),))
    yield Row(structural.ReduceSum((1,)), (numbers((2, 0), f32),))
    kinds = [f32, f64, bf16, f16, c64, i32, u8, boolean]
    for source in kinds:
        for to in kinds:
            x = numbers((3,), source, 0.6, 2.0)
            yield Row(structural.ConvertElementType(to), (x,), {"second_order": False, "execute": to == f32})
    yield Row(structural.Iota(i32, (3,), 0), ())
    yield Row(structural.Iota(f32, (2, 3), 1), ())
    yield Row(structural.Iota(bf16, (2, 0, 3), 0), ())
    for array in (
        np.float32([[1.5, -2.0, np.inf]]), np.array(True), np.array([True, False, True]), np.array([1 + 2j], c64),
        np.zeros((2, 0), i32), np.array([3.0, -0.0], bf16), np.array([[1, -8], [7, 0]], ml_dtypes.int4),
    ):  # fmt: skip
        yield Row(constants.Constant(array.dtype, array.shape, array.tobytes()), ())


def reduction_rows() -> Iterator[Row]:
    for kind, accepts in (
        (reductions.ReduceProd, [f32, f64, c64, i32]),
        (reductions.ReduceMax, [f32, f64, bf16, c64, i32, u8, boolean]),
        (reductions.ReduceMin, [f32, f64, bf16, c64, i32, u8, boolean]),
        (reductions.ReduceAnd, [i32, u8, boolean]),
        (reductions.ReduceOr, [i32, u8, boolean]),
        (reductions.ReduceXor, [i32, u8, boolean]),
    ):
        for dtype in accepts:
            yield Row(kind((1,)), (numbers((2, 3), dtype),), {"execute": dtype in (f32, i32)})
        x = numbers((2, 3, 4), accepts[0], 0.5, 1.7)
        yield Row(kind((0, 2)), (x,))
        yield Row(kind((0,)), (numbers((3,), accepts[0]),))
        yield Row(kind(()), (numbers((3,), accepts[0]),), {"execute": False})
        yield Row(kind((1,)), (numbers((2, 0), accepts[0]),), {"wrt": ()})
    yield Row(reductions.ReduceProd((0,)), (np.float64([2.0, 0.0, 3.0, 0.5, 1.5]),))
    yield Row(reductions.ReduceProd((0,)), (np.float64([[2.0, 0.0], [0.0, 3.0], [0.0, 4.0]]),))
    for kind in (reductions.ReduceMax, reductions.ReduceMin):
        yield Row(kind((0,)), (np.float32([1.0, np.nan, 2.0]),), {"wrt": ()})
        yield Row(kind((1,)), (np.zeros((2, 0), f32),), {"derivative": False})  # infinite, and its derivative is zero
        yield Row(kind((1,)), (np.float32([[1.0, 1.0, 0.5], [2.0, 3.0, 3.0]]),), {"derivative": False})  # ties
    for arg in (reductions.Argmax, reductions.Argmin):
        for dtype in (f32, f64, bf16, i32, u8, boolean):
            yield Row(arg(1, i32), (numbers((2, 3), dtype),))
        yield Row(arg(0, i64), (numbers((3, 2, 2), f32),))
        yield Row(arg(0, u8), (np.float32([1.0, np.nan, 2.0, np.nan]),))
        yield Row(arg(0, i32), (np.float32([-np.inf, -np.inf]),))
        yield Row(arg(0, i32), (np.float32([np.inf, np.inf, 1.0, -np.inf, -np.inf]),))


def product_rows() -> Iterator[Row]:
    def dot(x: tuple[int, ...], y: tuple[int, ...], dims: Any, dtype: Any = f32, **flags: Any) -> Row:
        (xc, yc), (xb, yb) = dims
        op = products.DotGeneral(tuple(xc), tuple(yc), tuple(xb), tuple(yb), np.dtype(dtype))
        return Row(op, (numbers(x, dtype), numbers(y, dtype, seed=1)), flags)

    for dtype in (f32, f64, c64, bf16, i32):
        yield dot((2, 3), (3, 4), (([1], [0]), ([], [])), dtype, execute=dtype in (f32, c64))
    yield dot((3,), (3,), (([0], [0]), ([], [])))
    yield dot((2, 3), (3,), (([1], [0]), ([], [])))
    yield dot((3,), (3, 2), (([0], [0]), ([], [])))
    yield dot((2,), (3,), (([], []), ([], [])))
    yield dot((), (), (([], []), ([], [])))
    yield dot((2, 3, 4), (4, 5, 2), (([2], [0]), ([0], [2])))
    yield dot((2, 3, 4), (3, 4, 2), (([1, 2], [0, 1]), ([0], [2])), execute=False)
    yield dot((3, 4, 2), (4, 3, 5), (([0, 1], [1, 0]), ([], [])), execute=False)
    yield dot((2, 3, 4, 5), (3, 2, 5, 4), (([3], [2]), ([1, 0], [0, 1])), execute=False)
    yield dot((2, 0), (0, 3), (([1], [0]), ([], [])))
    yield dot((0, 2), (2, 3), (([1], [0]), ([], [])), execute=False)
    x, y = numbers((2, 3), bf16), numbers((3, 4), bf16, seed=1)
    yield Row(products.DotGeneral((1,), (0,), (), (), f32), (x, y))
    x, y = numbers((2, 3), f32), numbers((3, 4), f32, seed=1)
    yield Row(products.DotGeneral((1,), (0,), (), (), f32, "HIGHEST"), (x, y))
    yield Row(products.DotGeneral((1,), (0,), (), (), f32, "HIGH:DEFAULT"), (x, y))
    yield Row(products.DotGeneral((1,), (0,), (), (), f32, "F32_F32_F32"), (x, y))


def slicing_rows() -> Iterator[Row]:
    for dtype in (f32, f64, c64, bf16, i32, boolean):
        fast = {"execute": dtype == f32}
        x, y = numbers((4, 5), dtype), numbers((2, 5), dtype, seed=1)
        yield Row(slicing.Slice((1, 0), (4, 5), (1, 2)), (x,), fast)
        zero = np.zeros((), dtype)
        yield Row(slicing.Pad((1, 0), (0, 2), (0, 1)), (x, zero), fast)
        yield Row(slicing.Concatenate(0), (x, y, x), fast)
        yield Row(slicing.Rev((0, 1)), (x,), fast)
        yield Row(slicing.Split((1, 0, 3), 0), (x,), fast)
        yield Row(dynamic_slicing.DynamicSlice((2, 3)), (x, np.int32(1), np.int32(1)), fast)
        yield Row(dynamic_slicing.DYNAMIC_UPDATE_SLICE, (x, y, np.int32(1), np.int32(0)), fast)
    x = numbers((4, 5), f32)
    yield Row(slicing.Slice((2, 5), (2, 5), (1, 1)), (x,))
    yield Row(slicing.Slice((0, 1), (4, 5), (3, 3)), (x,), {"execute": False})
    yield Row(slicing.Slice((), (), ()), (np.float32(1),), {"execute": False})
    yield Row(slicing.Pad((-1, 1), (2, -2), (1, 2)), (x, np.float32(1.5)))
    yield Row(slicing.Pad((-2, 0), (-1, 3), (0, 0)), (x, 0.5))
    yield Row(slicing.Pad((2,), (1,), (3,)), (numbers((0,), f32), np.float32(2)))
    yield Row(slicing.Concatenate(1), (numbers((2, 0), f32), numbers((2, 3), f32)))
    yield Row(slicing.Concatenate(0), (x,), {"execute": False})
    yield Row(dynamic_slicing.DynamicSlice((2, 3)), (x, np.int32(7), np.int32(-3)))  # moved inside
    yield Row(dynamic_slicing.DynamicSlice((4, 5)), (x, np.int32(7), np.int32(1)))
    yield Row(dynamic_slicing.DynamicSlice(()), (np.float32(3),), {"execute": False})
    yield Row(dynamic_slicing.DynamicSlice((1, 5)), (x, np.uint8(2), np.uint8(0)))
    y = numbers((2, 3), f32, seed=1)
    yield Row(dynamic_slicing.DYNAMIC_UPDATE_SLICE, (x, y, np.int32(7), np.int32(-3)))
    yield Row(
        dynamic_slicing.DYNAMIC_UPDATE_SLICE, (x, numbers((0, 3), f32), np.int32(1), np.int32(1)), {"execute": False}
    )


def gathers() -> Iterator[tuple[GatherDimensionNumbers, tuple[int, ...], tuple[int, ...], Any]]:
    """(dimension numbers, slice sizes, shape of the operand, indices, some of them out of bounds)."""
    yield GatherDimensionNumbers((1,), (0,), (0,)), (1, 3), (5, 3), np.int32([[4], [0], [7], [-1]])
    yield GatherDimensionNumbers((), (0, 1), (0, 1)), (1, 1), (5, 3), np.int32([[4, 1], [1, 2], [2, 9]])
    yield GatherDimensionNumbers((0, 1), (), (1, 0)), (2, 2), (5, 3), np.int32([1, 2])
    yield GatherDimensionNumbers((1,), (), (0,)), (2,), (5,), np.int32([[3], [4]])
    yield GatherDimensionNumbers((2,), (1,), (1,), (0,), (0,)), (1, 1, 3), (2, 4, 3), np.int32([[[3], [1]], [[5], [0]]])
    yield GatherDimensionNumbers((0,), (), ()), (3,), (3,), np.zeros((0,), np.int32)
    yield GatherDimensionNumbers((1,), (0,), (0,)), (1, 3), (5, 3), np.zeros((0, 1), np.int32)
    yield GatherDimensionNumbers((), (0,), (0,)), (1,), (300,), np.uint8([[255], [3]])


def indexing_rows() -> Iterator[Row]:
    for d, sizes, shape, indices in gathers():
        x = numbers(shape, f32)
        for mode, fill in (("fill", float("nan")), ("fill", 0.5), ("clip", None)):
            flags = {"second_order": False, "derivative": fill == fill}  # differences of NaN are NaN
            yield Row(indexing.Gather(d, sizes, mode, fill_value=fill), (x, indices), flags)
        inside = np.clip(indices, 0, 1)
        promising = {"second_order": False, "without": {"short axes": "the indices promise to be in bounds"}}
        yield Row(indexing.Gather(d, sizes, "promise_in_bounds"), (x, inside), promising)
        s = ScatterDimensionNumbers(*d)
        taking = indexing.Gather(d, sizes, "clip")
        updates = numbers(taking.impl(x, indices).shape, f32, seed=1)
        for kind in (
            indexing.Scatter,
            indexing.ScatterAdd,
            scatters.ScatterMul,
            scatters.ScatterMin,
            scatters.ScatterMax,
        ):
            many = kind is scatters.ScatterMul and indices.size > len(d.start_index_map)
            for mode in ("fill", "clip"):
                # scatter_mul is differentiable by its updates only where indices are unique, which vmap cannot see
                flags = {"second_order": False, "execute": mode == "fill"}
                if many:
                    flags |= {"wrt": (0,)}
                yield Row(kind(s, mode), (x, indices, updates), flags)
    d, s = GatherDimensionNumbers((1,), (0,), (0,)), ScatterDimensionNumbers((1,), (0,), (0,))
    for dtype in (f64, c64, bf16, i32, u8, boolean):
        x, indices = numbers((5, 3), dtype), np.int64([[4], [0]])
        fast = {"execute": dtype == c64}
        updates = numbers((2, 3), dtype, seed=1)
        fill = windows.default_fill(dtype)
        fits = {"without": {"integer dtypes": "the fill value is one of this dtype"}} if dtype.kind in "iu" else {}
        yield Row(indexing.Gather(d, (1, 3), "fill", fill_value=fill), (x, indices), {**fast, **fits})
        yield Row(indexing.Scatter(s, "fill"), (x, indices, updates), fast)
        yield Row(indexing.Scatter(s, "fill", True, True), (x, indices[::-1], updates), fast)
        if dtype != boolean:
            yield Row(indexing.ScatterAdd(s, "fill"), (x, indices, updates), fast)
            yield Row(scatters.ScatterMul(s, "fill", False, True), (x, indices, updates), fast)
    yield Row(indexing.Gather(d, (1, 3), "clip"), (numbers((5, 3), f32), np.uint32([[2**31 + 5], [1]])))
    empty, indices, updates = np.zeros((0, 3), f32), np.int32([[0], [2]]), numbers((2, 3), f32)
    yield Row(indexing.Gather(d, (0, 3), "fill", fill_value=1.5), (empty, indices))
    for kind in (indexing.Scatter, indexing.ScatterAdd, scatters.ScatterMax):
        for mode in ("fill", "clip"):
            yield Row(kind(s, mode), (empty, indices, updates), {"execute": mode == "fill"})
    for dtype in (i8, u8):  # an axis longer than the indices' dtype reaches
        long, index, fast = numbers((300,), f32), np.asarray(100, dtype), {"execute": dtype == i8}
        yield Row(dynamic_slicing.DynamicSlice((290,)), (long, index), fast)
        yield Row(dynamic_slicing.DYNAMIC_UPDATE_SLICE, (long, numbers((290,), f32, seed=1), index), fast)
        yield Row(indexing.Gather(GatherDimensionNumbers((1,), (), (0,)), (290,), "clip"), (long, index.reshape(1, 1)))


def representation_rows() -> Iterator[Row]:
    words = [np.uint32([[7, 2**31], [5, 2**32 - 1]]) + np.uint32(k) for k in range(4)]
    yield Row(threefry.THREEFRY_2X32, tuple(words))
    yield Row(threefry.THREEFRY_2X32, (words[0][:1], words[1][:1], words[2], words[3]), {"execute": False})
    yield Row(threefry.THREEFRY_2X32, (words[0][0, 0], words[1][0, 0], words[2], words[3]), {"execute": False})
    yield Row(representation.BitcastConvertType(i32), (numbers((3,), f32),))
    yield Row(representation.BitcastConvertType(f32), (numbers((3,), i32),), {"derivative": False})
    yield Row(representation.BitcastConvertType(u8), (numbers((3,), f32),))
    yield Row(representation.BitcastConvertType(f32), (np.uint8([[1, 2, 3, 64]]),), {"derivative": False})
    for dtype in (f32, f64, bf16):
        yield Row(representation.ReducePrecision(5, 3), (numbers((5,), dtype),), {"wrt": ()})  # rounding is not linear
        yield Row(representation.ReducePrecision(8, 5), (numbers((2, 3), dtype),), {"wrt": ()})
    for dtype in (f32, bf16, c64, i32):
        yield Row(naming.Name("hidden"), (numbers((2, 3), dtype),))
    for barrier in (representation.OPTIMIZATION_BARRIER, representation.KEEP):
        yield Row(barrier, (numbers((2, 3), f32), numbers((3,), i32), numbers((), c64)))


def held_by(f: Any, *args: Any, **flags: Any) -> Row:
    """A row for the operation that a function ends with, and that holds the rest of it."""
    last = ft.make_jaxpr(f)(*args).equations[-1]
    assert [a.type for a in last.inputs] == [type_of(x) for x in args], last
    return Row(last.op, args, flags)


def _branches_with_sums() -> tuple[Any, ...]:
    x = numbers((3,), f32)
    functions = (
        lambda a, b: (lax.mul(lax.sin(a), b), lax.exp(a)),
        lambda a, b: (lax.exp(b), lax.mul(a, b)),
        lambda a, b: (a, b),
    )
    return tuple([ft.make_jaxpr(f)(x, x) for f in functions])


def control_rows() -> Iterator[Row]:
    x, y = numbers((3,), f32), numbers((3,), f32, seed=1)
    m = numbers((3, 3), f32)
    yield held_by(ft.jit(lambda a, b: (lax.mul(lax.sin(a), b), a, lax.lt(a, b))), x, y)

    def step(carry: Any, element: Any) -> Any:
        return lax.mul(lax.sin(carry), element), lax.mul(carry, element)

    yield held_by(lambda a, b: lax.scan(step, a, b), np.float32(0.7), y)
    yield held_by(lambda a, b: lax.scan(step, a, b, reverse=True), x, m)

    nested = ft.make_jaxpr(lambda a, b: lax.mul(lax.sin(b), lax.exp(lax.mul(a, b))))(np.float32(0.3), np.float32(0.7))
    yield Row(Derivatives(nested, 1, (0, 1, 3)), (np.float32(0.3), np.float32(0.7)))
    branches = [lambda a, b: lax.mul(lax.sin(a), b), lambda a, b: b, lambda a, b: lax.full((3,), 2.0, f32)]
    for index in range(3):
        yield held_by(lambda i, a, b: lax.switch(i, branches, a, b), np.int32(index), x, y)

    lanes = np.asarray([2, 0, 1], np.int32)
    yield held_by(ft.vmap(lambda i, a, b: lax.switch(i, branches, a, b), (0, 0, None)), lanes, m, y)
    yield Row(SwitchLanes(_branches_with_sums(), 3, (True, False), (True, False)), (lanes, m, y))

    def again(state: Any) -> Any:
        return lax.add(state[0], 1), lax.mul(lax.sin(state[1]), 1.5)

    yield held_by(lambda i, a: lax.while_loop(lambda s: lax.lt(s[0], 3), again, (i, a)), np.int32(1), x, reverse=False)

    reason = "the types of the results are promised, whatever the operands are"
    fixed = dict.fromkeys(("short axes", "half precision"), reason)
    for method in ("sequential", "expand_dims", "broadcast_all"):
        host = lambda a, b: np.asarray(np.sin(a) * b, np.float32)
        call = lambda a, b: ft.pure_callback(host, a, a, b, vmap_method=method)  # noqa: B023
        yield held_by(call, x, y, wrt=(), without=fixed)
    yield held_by(lambda a, b: ft.io_callback(host, a, a, b), x, y, wrt=(), without=fixed)

    def deep(a: Any, b: Any) -> Any:
        return lax.mul(lax.sin(ft.checkpoint_name(lax.sin(a), "inner")), b), lax.exp(a)

    for policy in (None, ft.checkpoint_policies.everything_saveable):
        layer = ft.checkpoint(deep, policy=policy)
        yield held_by(layer, x, y)
        second = linearize_jaxpr(ft.make_jaxpr(layer)(x, y), (True, True)).linear.equations[-1]
        yield Row(second.op, tuple(numbers(a.type.shape, f32, seed=k) for k, a in enumerate(second.inputs)))

    @ft.custom_jvp
    def with_jvp(a: Any, b: Any) -> Any:
        return lax.mul(lax.sin(a), b)

    @with_jvp.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        (a, b), (s, t) = primals, tangents
        return with_jvp(a, b), lax.add(lax.mul(s, lax.mul(lax.cos(a), b)), lax.mul(t, lax.sin(a)))

    yield held_by(with_jvp, x, y)

    @ft.custom_vjp
    def with_vjp(a: Any, b: Any) -> Any:
        return lax.mul(lax.sin(a), b)

    def forward(a: Any, b: Any) -> Any:
        return with_vjp(a, b), (a, b)

    def backward(residuals: Any, ct: Any) -> Any:
        a, b = residuals
        return lax.mul(ct, lax.mul(lax.cos(a), b)), lax.mul(ct, lax.sin(a))

    with_vjp.defvjp(forward, backward)
    yield held_by(with_vjp, x, y)
    pullback = linearize_jaxpr(ft.make_jaxpr(with_vjp)(x, y), (True, True)).linear.equations[-1]
    yield Row(pullback.op, tuple(numbers(a.type.shape, f32, seed=k) for k, a in enumerate(pullback.inputs)))


def combinator_rows() -> Iterator[Row]:
    with jax.enable_x64(True):
        yield from list(_combinator_rows())


def _combinator_rows() -> Iterator[Row]:
    x, y = numbers((3,), f64, 0.5, 1.5), numbers((3,), f64, 0.5, 1.5, seed=1)

    def iterated(g: Any, start: Any) -> Any:
        return lax.fori_loop(0, 40, lambda _, c: lax.sub(c, lax.mul(g(c), 0.25)), start)

    def root(a: Any, guess: Any) -> Any:  # r**3 + r = a
        solve = lambda g, y: lax.div(y, g(lax.full((3,), 1.0, f64)))
        return lax.custom_root(lambda r: lax.sub(lax.add(lax.mul(r, lax.mul(r, r)), r), a), guess, iterated, solve)

    def quotient(a: Any, b: Any) -> Any:
        solve = lambda g, y: lax.div(y, g(lax.full((3,), 1.0, f64)))
        return lax.custom_linear_solve(lambda v: lax.mul(a, v), b, solve, symmetric=True)

    # Each program takes its own copy of a, and only the copy of the equation has a derivative: differences see none.
    yield _of_copies(root, x, y, derivative=False)
    yield _of_copies(quotient, x, y, wrt=(4,))

    @ft.custom_batching.custom_vmap
    def product(a: Any, b: Any) -> Any:
        return lax.mul(lax.sin(a), b)

    @product.def_vmap
    def _(size: int, in_batched: Any, a: Any, b: Any) -> Any:
        a, b = (v if m else lax.broadcast(v, (size,)) for v, m in zip((a, b), in_batched, strict=True))
        return lax.mul(lax.sin(a), b), True

    yield held_by(product, x, y)

    def scaled(r: Any, v: Any) -> Any:
        by_sine = lambda r, v: lax.mul(lax.sin(r), v)
        return ft.custom_derivatives.linear_call(by_sine, by_sine, r, v)

    yield held_by(scaled, x, y)


def _of_copies(f: Any, *args: Any, **flags: Any) -> Row:
    """A row for an operation to which a function hands its arguments, some of them several times."""
    jaxpr = ft.make_jaxpr(f)(*args)
    (eqn,) = jaxpr.equations
    return Row(eqn.op, tuple(args[jaxpr.inputs.index(a)] for a in eqn.inputs), flags)


ROWS = [
    *elementwise_rows(), *incomplete_rows(), *special_rows(), *structural_rows(), *reduction_rows(), *product_rows(),
    *slicing_rows(), *indexing_rows(), *representation_rows(), *control_rows(), *combinator_rows(),
]  # fmt: skip
