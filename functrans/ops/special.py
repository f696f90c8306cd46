"""Special functions: the error function and its relatives, log gamma and its derivatives, zeta."""

from __future__ import annotations

import importlib
import math
from typing import Any, ClassVar

import numpy as np

from functrans.errors import FunctransTypeError
from functrans.ir.types import array_type, type_of
from functrans.ops.arithmetic import ceil, floor, rem
from functrans.ops.elementwise import Elementwise, add, binary, div, mul, neg, sub
from functrans.ops.expanded import Expanded
from functrans.ops.functions import exp, log
from functrans.ops.logic import eq, lt, select
from functrans.ops.structural import full
from functrans.trace.binding import bind
from functrans.trace.emitter import EmitterProtocol, Names, Types
from functrans.trace.keywords import refuse
from functrans.trace.primitive import Fusion
from functrans.trace.replay import evaluate


class Special(Elementwise):
    """A function that StableHLO knows through its client dialect; real operands."""

    effort = 10
    fusion = Fusion.COSTLY
    accepts = "f"

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        type_ = emitter.text(out_types[0])
        ins = ", ".join([type_] * len(operands))
        return emitter.raw(f"chlo.{self.hlo} {', '.join(operands)} : {ins} -> {type_}")


def scipy_special() -> Any:
    return importlib.import_module("scipy.special")  # late: it takes 0.2 s, and the references alone need it


def scipy_reference(name: str) -> Any:
    """SciPy's function of that name, computed in float64."""

    def reference(*arrays: Any) -> Any:
        dtype = np.asarray(arrays[0]).dtype
        wide = [np.asarray(x).astype(np.float64) for x in arrays]
        return np.asarray(getattr(scipy_special(), name)(*wide)).astype(dtype)

    return staticmethod(reference)


def _gaussian(x: Any, scale: float) -> Any:
    return mul(exp(neg(mul(x, x))), scale)


class Erf(Special):
    hlo = "erf"
    reference = scipy_reference("erf")

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return _gaussian(x, 2 / math.sqrt(math.pi))


class Erfc(Special):
    hlo = "erfc"
    reference = scipy_reference("erfc")

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return _gaussian(x, -2 / math.sqrt(math.pi))


class ErfInv(Special):
    hlo = "erf_inv"
    reference = scipy_reference("erfinv")

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return mul(exp(mul(out, out)), math.sqrt(math.pi) / 2)


class Lgamma(Special):
    hlo = "lgamma"
    reference = scipy_reference("gammaln")

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return digamma(x)


class Digamma(Special):
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
        result = scipy_special().polygamma(m.astype(np.float64), x.astype(np.float64))
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
        return binary(ZetaByExponent(1), x, q) if i == 0 else mul(neg(x), zeta(add(x, 1.0), q))


# B_2j / (2j)! for j = 1, 2, ...: the coefficients of the Euler-Maclaurin formula.
_EULER_MACLAURIN = (
    1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160, -691 / 1307674368000, 1 / 74724249600,
    -3617 / 10670622842880000, 43867 / 5109094217170944000, -174611 / 802857662698291200000,
)  # fmt: skip
_SUMMED = 12  # terms that are summed before the formula takes over


class ZetaByExponent(Expanded):
    """The derivative of this order (at least 1) of zeta(x, q) by x: of the Euler-Maclaurin formula (DLMF 25.11.28)."""

    order: int

    def cost(self, in_types: Types, out_types: Types) -> int:
        return 100 * out_types[0].size  # a series

    def impl(self, *arrays: Any) -> Any:
        arrays = tuple(np.broadcast_arrays(*[np.asarray(x) for x in arrays]))
        return evaluate(self.program([type_of(x) for x in arrays]), arrays)[0]

    def define(self, *operands: Any) -> Any:
        x, q = operands
        n = self.order
        total: Any = None
        for k in range(_SUMMED):
            minus_log = neg(log(add(q, float(k))))
            term = exp(mul(x, minus_log))
            for _ in range(n):
                term = mul(term, minus_log)
            total = term if total is None else add(total, term)
        far, above = add(q, float(_SUMMED)), sub(x, 1.0)
        minus_log, scale = neg(log(far)), div(1.0, far)
        # The rest of the sum over far^-x, as a polynomial in the change of x: far / (x - 1), a half, and products of
        # x / far, (x + 1) / far, ...
        rest = [div(far, above)]
        for _ in range(n):
            rest.append(neg(div(rest[-1], above)))
        rest[0] = add(rest[0], 0.5)
        rising = [mul(x, scale), scale]
        for j, coefficient in enumerate(_EULER_MACLAURIN):
            for i, r in enumerate(rising):
                rest[i] = add(rest[i], mul(r, coefficient))
            for step in (2 * j + 1, 2 * j + 2):
                factor, moved = mul(add(x, float(step)), scale), [mul(r, scale) for r in rising]
                kept = [mul(r, factor) for r in rising]
                rising = [kept[0], *[add(r, m) for r, m in zip(kept[1:], moved, strict=False)], moved[-1]][: n + 1]
        out = rest[0]  # with the derivatives of far^-x, by the rule of products
        for i in range(1, n + 1):
            out = add(mul(out, minus_log), mul(rest[i], float(math.perm(n, i))))
        return add(total, mul(out, exp(mul(x, minus_log))))

    def partial(self, i: int, out: Any, x: Any, q: Any) -> Any:
        if i == 0:
            return binary(ZetaByExponent(self.order + 1), x, q)
        further = add(x, 1.0)  # of -x zeta(x + 1, q), the derivative by q
        lower = zeta(further, q) if self.order == 1 else binary(ZetaByExponent(self.order - 1), further, q)
        return neg(add(mul(lower, float(self.order)), mul(x, binary(self, further, q))))


ERF, ERFC, ERF_INV, LGAMMA, DIGAMMA = Erf(), Erfc(), ErfInv(), Lgamma(), Digamma()
POLYGAMMA, ZETA = Polygamma(), Zeta()


def erf(x: Any) -> Any:
    """The error function."""
    return bind(ERF, x)


def erfc(x: Any, *, accuracy: Any = None) -> Any:
    """1 - erf(x), exact for large x."""
    if accuracy is not None:
        refuse("erfc", accuracy=accuracy)
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
