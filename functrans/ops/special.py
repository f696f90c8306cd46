"""Special functions: the error function and its relatives, log gamma and its derivatives, zeta, Bessel functions."""

from __future__ import annotations

import importlib
import math
from typing import Any, ClassVar

import numpy as np

from functrans.errors import FunctransTypeError
from functrans.ir.types import array_type, type_of
from functrans.ops.arithmetic import abs_, ceil, floor, rem, sign
from functrans.ops.elementwise import Elementwise, add, binary, div, mul, neg, sub
from functrans.ops.expanded import Expanded
from functrans.ops.functions import exp, log, sqrt
from functrans.ops.logic import eq, le, lt, select
from functrans.ops.structural import convert, full
from functrans.trace.builder import bind
from functrans.trace.emitter import EmitterProtocol, Names, Types
from functrans.trace.primitive import Fusion


class _Special(Elementwise):
    """A function that StableHLO knows through its client dialect; real operands."""

    effort = 10
    fusion = Fusion.COSTLY
    accepts = "f"

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        type_ = emitter.text(out_types[0])
        ins = ", ".join([type_] * len(operands))
        return emitter.raw(f"chlo.{self.hlo} {', '.join(operands)} : {ins} -> {type_}")


def _scipy_special() -> Any:
    return importlib.import_module("scipy.special")  # late: it takes 0.2 s, and the references alone need it


def scipy_reference(name: str) -> Any:
    """SciPy's function of that name, computed in float64."""

    def reference(*arrays: Any) -> Any:
        dtype = np.asarray(arrays[0]).dtype
        wide = [np.asarray(x).astype(np.float64) for x in arrays]
        return np.asarray(getattr(_scipy_special(), name)(*wide)).astype(dtype)

    return staticmethod(reference)


def _gaussian(x: Any, scale: float) -> Any:
    return mul(exp(neg(mul(x, x))), scale)


class Erf(_Special):
    hlo = "erf"
    reference = scipy_reference("erf")

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return _gaussian(x, 2 / math.sqrt(math.pi))


class Erfc(_Special):
    hlo = "erfc"
    reference = scipy_reference("erfc")

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return _gaussian(x, -2 / math.sqrt(math.pi))


class ErfInv(_Special):
    hlo = "erf_inv"
    reference = scipy_reference("erfinv")

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return mul(exp(mul(out, out)), math.sqrt(math.pi) / 2)


class Lgamma(_Special):
    hlo = "lgamma"
    reference = scipy_reference("gammaln")

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return digamma(x)


class Digamma(_Special):
    hlo = "digamma"
    reference = scipy_reference("psi")

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return polygamma(1.0, x)


class _LatticeSum(Expanded):
    """A sum over x, x + 1, x + 2, ...: ``chlo`` knows it for positive x, ``right_half`` says that all are.

    Left of zero it is the sum over all of the lattice, whose two halves are such sums, less what stands left of x.
    """

    right_half: bool = False
    hlo: ClassVar[str] = ""

    def parity(self, order: Any) -> Any:
        """(-1) to the power of the summands' exponent."""
        self.missing("parity", "execution on a device")

    def cost(self, in_types: Types, out_types: Types) -> int:
        return 100 * out_types[0].size  # a series

    def define(self, *operands: Any) -> Any:
        order, x = operands
        summed = type(self)(True)
        left = lt(x, 0.0)
        above = bind(summed, order, select(left, sub(x, floor(x)), x))
        below = bind(summed, order, select(left, sub(ceil(x), x), 1.0))
        beyond = bind(summed, order, select(left, sub(1.0, x), 1.0))
        return select(left, add(above, mul(self.parity(order), sub(below, beyond))), above)

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        type_, x_type = out_types[0], in_types[1]
        text = emitter.text(type_)

        def plain(_: Any = ()) -> list[str]:
            return [emitter.raw(f"chlo.{self.hlo} {', '.join(operands)} : {text}, {text} -> {text}")]

        if self.right_half:
            return plain()[0]
        flags, flag = array_type(x_type.shape, np.dtype(np.bool_)), array_type((), np.dtype(np.bool_))
        zero = emitter.splat(0, x_type)
        any_left = emitter.op(f"stablehlo.compare LT, {operands[1]}, {zero}, FLOAT", [x_type] * 2, flags)
        if x_type.shape:
            axes = tuple(range(x_type.ndim))
            any_left = emitter.reduce("or", any_left, emitter.scalar(False, flags), axes, flags, flag)
        whole = emitter.region([], lambda _: emitter.inline(self.program(in_types), operands), [type_])
        right = emitter.region([], plain, [type_])
        return emitter.raw(f'"stablehlo.if"({any_left}) ({whole}, {right}) : (tensor<i1>) -> {text}')


class Polygamma(_LatticeSum):
    """The derivative of order ``m`` of digamma at ``x``; it has no derivative by ``m``."""

    hlo = "polygamma"

    def parity(self, order: Any) -> Any:
        return select(eq(rem(order, 2.0), 0.0), -1.0, full(order.shape, 1.0, order.dtype))

    def impl(self, *arrays: Any) -> Any:
        m, x = map(np.asarray, arrays)
        dtype = x.dtype
        result = _scipy_special().polygamma(m.astype(np.float64), x.astype(np.float64))
        return np.asarray(result).astype(dtype)

    def partial(self, i: int, out: Any, m: Any, x: Any) -> Any:
        if i == 0:
            raise FunctransTypeError(
                "polygamma(m, x) has no derivative by its order m; stop_gradient(m) says that none is wanted"
            )
        return polygamma(add(m, 1.0), x)


class Zeta(_LatticeSum):
    """The Hurwitz zeta function, sum of (q + k)^-x over k = 0, 1, ..., for x > 1; whole x for negative q."""

    hlo = "zeta"
    reference = scipy_reference("zeta")

    def parity(self, order: Any) -> Any:
        odd = rem(order, 2.0)
        return select(eq(odd, 0.0), 1.0, select(eq(odd, 1.0), full(order.shape, -1.0, order.dtype), math.nan))

    def partial(self, i: int, out: Any, x: Any, q: Any) -> Any:
        return _zeta_by_exponent(x, q) if i == 0 else mul(neg(x), zeta(add(x, 1.0), q))


# B_2j / (2j)! for j = 1, 2, ...: the coefficients of the Euler-Maclaurin formula.
_EULER_MACLAURIN = (
    1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160, -691 / 1307674368000, 1 / 74724249600,
    -3617 / 10670622842880000, 43867 / 5109094217170944000, -174611 / 802857662698291200000,
)  # fmt: skip
_SUMMED = 12  # terms that are summed before the formula takes over


def _zeta_by_exponent(x: Any, q: Any) -> Any:
    """The derivative of zeta(x, q) by x: of its Euler-Maclaurin expansion (DLMF 25.11.28), term by term."""
    dtype, single = type_of(x).dtype, np.dtype(np.float32)
    if dtype.itemsize < 4:  # the products below leave the range of float16
        return convert(_zeta_by_exponent(convert(x, single), convert(q, single)), dtype)
    total: Any = None
    for k in range(_SUMMED):
        base = log(add(q, float(k)))
        term = mul(base, exp(mul(neg(x), base)))
        total = term if total is None else add(total, term)
    far = add(q, float(_SUMMED))
    base = log(far)
    power = exp(mul(neg(x), base))
    above = sub(x, 1.0)
    integral = div(mul(power, far), above)
    # each term is power * c; its derivative is power * (c' - c * log(far))
    slope = neg(mul(integral, add(base, div(1.0, above))))
    slope = sub(slope, mul(mul(power, base), 0.5))
    rising: Any = x  # x (x + 1) ... (x + 2j - 2) and the sum of the reciprocals of its factors
    reciprocals = div(1.0, x)
    scale: Any = div(power, far)
    for j, coefficient in enumerate(_EULER_MACLAURIN):
        slope = add(slope, mul(mul(mul(rising, scale), sub(reciprocals, base)), coefficient))
        for step in (2 * j + 1, 2 * j + 2):
            factor = add(x, float(step))
            rising, reciprocals = mul(rising, factor), add(reciprocals, div(1.0, factor))
        scale = div(div(scale, far), far)
    return sub(slope, total)


class BesselI1e(_Special):
    """exp(-abs(x)) I_1(x)"""

    name = "bessel_i1e"
    hlo = "bessel_i1e"
    reference = scipy_reference("i1e")

    def partial(self, i: int, out: Any, x: Any) -> Any:
        # I_1' = I_0 - I_1 / x (DLMF 10.29.2), and 1/2 at zero
        size = abs_(x)
        near = lt(size, 1.0)
        quarter = mul(select(near, mul(x, x), 0.0), 0.25)
        series: Any = 0.0  # I_1(x) / x (DLMF 10.25.2): the quotient of two small numbers has no exact derivative
        for k in reversed(range(12)):
            c = 0.5 / (math.factorial(k) * math.factorial(k + 1))
            series = add(mul(series, quarter), c) if k < 11 else c
        ratio = select(near, mul(series, exp(neg(size))), div(out, select(near, 1.0, x)))
        return sub(sub(bessel_i0e(x), ratio), mul(sign(x), out))


class BesselI0e(Expanded):
    """exp(-abs(x)) I_0(x), by the Chebyshev series of Cephes (Moshier 1989, i0.c and i0f.c)."""

    name = "bessel_i0e"
    reference = scipy_reference("i0e")

    def define(self, *operands: Any) -> Any:
        x = abs_(operands[0])
        near, far = _I0E[x.dtype.itemsize]
        small = chebyshev(sub(mul(x, 0.5), 2.0), near)
        large = div(chebyshev(sub(div(32.0, x), 2.0), far), sqrt(x))
        return select(le(x, 8.0), small, large)

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return sub(bessel_i1e(x), mul(sign(x), out))


def chebyshev(x: Any, coefficients: tuple[float, ...]) -> Any:
    """Clenshaw's recurrence for a series in T_k(x / 2), highest order first, the constant term halved."""
    last: Any = 0.0
    present: Any = 0.0
    before: Any = 0.0
    for k, c in enumerate(coefficients):
        before, last = last, present
        if k == 0:
            present = c
        elif k == 1:
            present = add(mul(x, last), c)
        else:
            present = add(sub(mul(x, last), before), c)
    return mul(sub(present, before), 0.5)


# By size of the dtype in bytes: coefficients for abs(x) <= 8 in x / 2 - 2, and for larger ones in 32 / x - 2.
_I0E: dict[int, tuple[tuple[float, ...], tuple[float, ...]]] = {
    8: (
        (
            -4.41534164647933937950e-18, 3.33079451882223809783e-17, -2.43127984654795469359e-16,
            1.71539128555513303061e-15, -1.16853328779934516808e-14, 7.67618549860493561688e-14,
            -4.85644678311192946090e-13, 2.95505266312963983461e-12, -1.72682629144155570723e-11,
            9.67580903537323691224e-11, -5.18979560163526290666e-10, 2.65982372468238665035e-9,
            -1.30002500998624804212e-8, 6.04699502254191894932e-8, -2.67079385394061173391e-7,
            1.11738753912010371815e-6, -4.41673835845875056359e-6, 1.64484480707288970893e-5,
            -5.75419501008210370398e-5, 1.88502885095841655729e-4, -5.76375574538582365885e-4,
            1.63947561694133579842e-3, -4.32430999505057594430e-3, 1.05464603945949983183e-2,
            -2.37374148058994688156e-2, 4.93052842396707084878e-2, -9.49010970480476444210e-2,
            1.71620901522208775349e-1, -3.04682672343198398683e-1, 6.76795274409476084995e-1,
        ),
        (
            -7.23318048787475395456e-18, -4.83050448594418207126e-18, 4.46562142029675999901e-17,
            3.46122286769746109310e-17, -2.82762398051658348494e-16, -3.42548561967721913462e-16,
            1.77256013305652638360e-15, 3.81168066935262242075e-15, -9.55484669882830764870e-15,
            -4.15056934728722208663e-14, 1.54008621752140982691e-14, 3.85277838274214270114e-13,
            7.18012445138366623367e-13, -1.79417853150680611778e-12, -1.32158118404477131188e-11,
            -3.14991652796324136454e-11, 1.18891471078464383424e-11, 4.94060238822496958910e-10,
            3.39623202570838634515e-9, 2.26666899049817806459e-8, 2.04891858946906374183e-7,
            2.89137052083475648297e-6, 6.88975834691682398426e-5, 3.36911647825569408990e-3,
            8.04490411014108831608e-1,
        ),
    ),
}  # fmt: skip
_I0E[4] = (_I0E[8][0][12:], _I0E[8][1][18:])  # what is below the precision of float32 left out


ERF, ERFC, ERF_INV, LGAMMA, DIGAMMA = Erf(), Erfc(), ErfInv(), Lgamma(), Digamma()
POLYGAMMA, ZETA, BESSEL_I0E, BESSEL_I1E = Polygamma(), Zeta(), BesselI0e(), BesselI1e()


def erf(x: Any) -> Any:
    """The error function."""
    return bind(ERF, x)


def erfc(x: Any) -> Any:
    """1 - erf(x), exact for large x."""
    return bind(ERFC, x)


def erf_inv(x: Any) -> Any:
    """The inverse of the error function."""
    return bind(ERF_INV, x)


def lgamma(x: Any) -> Any:
    """log |gamma(x)|."""
    return bind(LGAMMA, x)


def digamma(x: Any) -> Any:
    """The derivative of lgamma."""
    return bind(DIGAMMA, x)


def polygamma(m: Any, x: Any) -> Any:
    """The derivative of order ``m`` of digamma; ``m`` is a floating array or number of whole numbers."""
    return binary(POLYGAMMA, m, x)


def zeta(x: Any, q: Any) -> Any:
    """The Hurwitz zeta function, sum of (q + k)^-x over k = 0, 1, ..."""
    return binary(ZETA, x, q)


def bessel_i0e(x: Any) -> Any:
    """exp(-abs(x)) times the modified Bessel function of the first kind and order 0."""
    return bind(BESSEL_I0E, x)


def bessel_i1e(x: Any) -> Any:
    """exp(-abs(x)) times the modified Bessel function of the first kind and order 1."""
    return bind(BESSEL_I1E, x)
