"""Modified Bessel functions of the first kind, and the derivatives of the scaled one of order 0.

    (-1)^n d^n/dx^n (exp(-x) I_0(x)) = 1/pi integral of exp(-x (1 - cos t)) (1 - cos t)^n dt from 0 to pi = f_n(x) > 0

for x >= 0 (from DLMF 10.32.1). They fall like x^(-n - 1/2): the differences of Bessel functions that they are would
cancel. The equation of Bessel gives x f_(n+2) = (2 x + n + 1) f_(n+1) - (2 n + 1) f_n.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from functrans.ops.arithmetic import abs_, min_, sign
from functrans.ops.elementwise import add, div, mul, neg, sub
from functrans.ops.expanded import Expanded
from functrans.ops.functions import sqrt
from functrans.ops.logic import le, lt, select
from functrans.ops.special import Special, scipy_reference, scipy_special
from functrans.trace.binding import bind


class BesselI1e(Special):
    """exp(-abs(x)) I_1(x)"""

    name = "bessel_i1e"
    hlo = "bessel_i1e"
    reference = scipy_reference("i1e")

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return bind(BESSEL_I1E_SLOPE, x)


class BesselI1eSlope(Expanded):
    """The derivative of exp(-abs(x)) I_1(x): f_2 - f_1 at abs(x), since I_1 is the derivative of I_0.

    The two are nearly equal around the root near 1.5, which is known to twice the precision: there by the Chebyshev
    series of the quotient by the distance from it, made nearly constant.
    """

    @staticmethod
    def reference(x: Any) -> Any:
        functions, wide = scipy_special(), np.abs(np.asarray(x).astype(np.float64))
        zeroth, first, second = (functions.ive(order, wide) for order in range(3))
        return ((zeroth + second) / 2 - first).astype(np.asarray(x).dtype)

    def define(self, *operands: Any) -> Any:
        size = abs_(operands[0])
        near = lt(abs_(sub(size, 3.0)), 2.5)
        inside, far = select(near, size, 3.0), select(near, 6.0, size)
        scale, distance = add(inside, 1.0), sub(sub(inside, _ROOT), _ROOT_BEYOND_SINGLE)
        coefficients = _AROUND_ROOT if size.dtype == np.float64 else _AROUND_ROOT[10:]
        quotient = chebyshev(mul(sub(inside, 3.0), 0.8), coefficients)
        around = div(mul(distance, quotient), mul(scale, scale))
        return select(near, around, sub(BesselFalling(2).define(far), BesselFalling(1).define(far)))

    def partial(self, i: int, out: Any, x: Any) -> Any:
        size = abs_(x)
        return mul(sign(x), sub(bessel_falling(2, size), bessel_falling(3, size)))


_ROOT, _ROOT_BEYOND_SINGLE = 1.545127272605896, -1.461335330992981e-08
_AROUND_ROOT = (
    -5.9238671175829414994e-19, 5.946540768077310088e-18, -5.7248090991005348398e-17, 5.2751119846137624925e-16,
    -4.6421101555538179421e-15, 3.8916500091601550905e-14, -3.0993038383513368751e-13, 2.3372435851265519066e-12,
    -1.662723324127858574e-11, 1.1108991969881869711e-10, -6.9328870198151757097e-10, 4.0141019963794276811e-9,
    -2.1371876765908304932e-8, 1.0335707801843618341e-7, -4.4571269329495044422e-7, 1.6607708476913655897e-6,
    -5.0060045580487958627e-6, 9.9256946288672189751e-6, 4.1465215000316420922e-6, -0.00015191303866820449238,
    0.00083270904045915290009, -0.0029141917541993963419, 0.006821761281432264807, -0.0072632278818143023676,
    -0.020317896708653740228, 0.13600963362902757815, -0.48011096416684859074,
)


class BesselI0e(Expanded):
    """exp(-abs(x)) I_0(x), by the Chebyshev series of Cephes (Moshier 1989, i0.c and i0f.c) beyond 1/2."""

    name = "bessel_i0e"
    reference = scipy_reference("i0e")

    def define(self, *operands: Any) -> Any:
        x = abs_(operands[0])
        near, far = _I0E[x.dtype.itemsize]
        small = chebyshev(sub(mul(x, 0.5), 2.0), near)
        large = div(chebyshev(sub(div(32.0, x), 2.0), far), sqrt(x))
        least = lt(x, 0.5)
        return select(least, _falling_near_zero(0, select(least, x, 0.0)), select(le(x, 8.0), small, large))

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return neg(mul(sign(x), bessel_falling(1, abs_(x))))


class BesselFalling(Expanded):
    """f_n(x) of the module's docstring, for x >= 0 and this order n >= 1."""

    order: int

    @property
    def impl(self) -> Any:  # type: ignore[override]
        def reference(x: Any) -> Any:
            wide = np.asarray(x).astype(np.float64)[..., None]
            angle = (np.arange(200) + 0.5) * (np.pi / 200)
            fall = 1 - np.cos(angle)  # the sum of a smooth periodic function is its integral
            return np.mean(np.exp(-wide * fall) * fall**self.order, -1).astype(np.asarray(x).dtype)

        return reference

    def define(self, *operands: Any) -> Any:
        (x,) = operands
        near = lt(x, 0.5)
        small, far = select(near, x, 0.5), min_(select(near, 0.5, x), float(np.finfo(x.dtype).max))
        return select(near, _falling_near_zero(self.order, small), self.beyond(far))

    def beyond(self, x: Any) -> Any:
        """For x >= 1/2: orders 2 and 3 by Chebyshev series, order 1 downward from them, others upward."""
        double = x.dtype == np.float64
        s = mul(div(sub(x, 6.0), add(x, 6.0)), 2.0)
        second, third = (chebyshev(s, c if double else c[30:]) for c in _FALLING)
        u, w = add(x, 0.5), add(x, 0.75)
        if self.order == 1:
            ratio = div(u, w)
            less = div(mul(mul(mul(div(x, w), third), ratio), sqrt(ratio)), w)
            return div(sub(mul(div(add(mul(x, 2.0), 2.0), u), second), less), mul(mul(u, sqrt(u)), 3.0))
        before = div(div(second, mul(u, u)), sqrt(u))
        last = div(div(div(third, mul(w, w)), w), sqrt(w))
        for m in range(4, self.order + 1):
            upward = sub(mul(add(mul(x, 2.0), float(m - 1)), last), mul(before, float(2 * m - 3)))
            before, last = last, div(upward, x)
        return before if self.order == 2 else last

    def partial(self, i: int, out: Any, x: Any) -> Any:
        return neg(bessel_falling(self.order + 1, x))


def _falling_near_zero(order: int, x: Any) -> Any:
    """f_n(x) for x < 1/2 by its Taylor series: the derivatives of f_n at 0 are -f_(n+1), f_(n+2), ... there."""
    out: Any = 0.0
    for k in reversed(range(22)):
        m = order + k
        at_zero = math.comb(2 * m, m) / 2.0**m
        out = add(mul(out, mul(x, -1.0 / (k + 1))), at_zero) if k < 21 else at_zero
    return out


# f_2(x) (x + 1/2)^(5/2) and f_3(x) (x + 3/4)^(7/2) as Chebyshev series in (x - 6) / (x + 6), computed in forty digits:
# highest order first, the constant terms doubled.
_FALLING = (
    (
        5.59209606441835218703e-19, 1.92007760847425874548e-18, 1.8469933564872965753e-18,
        -2.71707732173006308792e-18, -1.07340848636325743968e-17, -1.109644076490485495e-17,
        1.49544742714995186593e-17, 6.18987113566416724226e-17, 6.30393794593590218377e-17,
        -9.55250463728182513161e-17, -3.68981478504393678029e-16, -3.32998195884797308988e-16,
        6.93005002785783354641e-16, 2.25265213643894580025e-15, 1.50832920040512603472e-15,
        -5.42961609615580843872e-15, -1.37378987073859616943e-14, -3.92066722954671234541e-15,
        4.36064884287784459058e-14, 7.94230736082444382778e-14, -2.84325929640617335117e-14,
        -3.41873548110088571615e-13, -3.82027217727620202342e-13, 6.61591475529245821967e-13,
        2.45784140801735082177e-12, 7.49326516592136315393e-13, -7.99176726665890703256e-12,
        -1.41728666708460879691e-11, 1.44960161360482443985e-11, 7.08931319695960591598e-11,
        3.29069706873610351163e-11, -2.6199401789825646908e-10, -3.95796391811437813948e-10,
        6.23878958224238175982e-10, 2.39593395848015954732e-9, -7.11661707660019337785e-10,
        -1.05261357783229947575e-8, -6.06910903540850379987e-9, 4.53985407481764688948e-8, 5.02851047621904867635e-8,
        -1.75191803162597917729e-7, -3.32653617455211217929e-7, 8.06082143622536410817e-7,
        0.00000164843110167015712936, -0.0000037790813084986330887, -0.00000854662064827648293777,
        0.0000242743791010402617095, 0.0000291950868776512074002, -0.000147238630429560814417,
        -0.0000322673963601464950708, 0.000945527679292274401165, -0.00162287906858645620321,
        -0.00137678775962805312291, 0.0106483361894433861212, -0.0196042533207108127832, 0.00846983227959417172949,
        0.0414957113965941111895, -0.117234645160503034525, 0.155921335863060249055, -0.074218871792204485123,
        -0.16023462465228452408, 0.912308726807675348232,
    ),
    (
        3.62046192382631847625e-17, 2.86959455168126981405e-17, -5.83294139501048509598e-17,
        -1.94779295088932972572e-16, -1.71634674911075053568e-16, 2.99157119175399068159e-16,
        1.07162675070594661776e-15, 9.50050771762025308357e-16, -1.73846292379321429916e-15,
        -6.05597729411879792859e-15, -4.82650380604761351457e-15, 1.13897508625082144662e-14,
        3.49341819285760962391e-14, 2.08433700195625651039e-14, -8.11606748534004164128e-14,
        -2.01487581380219610963e-13, -5.12981163838411239972e-14, 5.99928459711930259993e-13,
        1.11098427843819187976e-12, -3.53879883330266317282e-13, -4.38151198114948814021e-12,
        -5.2637327687420889095e-12, 7.77359837954136802409e-12, 2.97816104315230306699e-11, 1.3622484746274988403e-11,
        -8.92644865060751104131e-11, -1.68026890916632288615e-10, 1.13139336413406976206e-10,
        7.67533112739084802494e-10, 4.98934625107694677846e-10, -2.34353567437229218281e-9,
        -4.52766244768026383096e-9, 4.31932086346333699838e-9, 2.21833696375363645455e-8, 3.80070929926804227836e-9,
        -8.61631699306375007185e-8, -8.58910244612626327824e-8, 2.92991626520465487944e-7, 5.54553613110940392059e-7,
        -9.25949618646922242683e-7, -0.00000283825056657640087536, 0.00000297298040392756972275,
        0.0000133678457714635895724, -0.0000114401704936143510068, -0.0000609880027664684471709,
        0.0000617699343692039703959, 0.000264632271502300283267, -0.000421592433624389257851,
        -0.000956956961484710611544, 0.00289630003175083906985, 0.000991392572842234385859, -0.0143006412170499136276,
        0.0189037607719216996919, 0.0221795236188846543238, -0.107622939319488718562, 0.131871500117118541284,
        0.0636561248018397993313, -0.476387721276972558993, 0.761474700808262455033, -0.39178828032892008559,
        -0.819345427745052107978, 3.11319956313176457091,
    ),
)  # fmt: skip


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


BESSEL_I0E, BESSEL_I1E, BESSEL_I1E_SLOPE = BesselI0e(), BesselI1e(), BesselI1eSlope()


def bessel_i0e(x: Any) -> Any:
    """exp(-abs(x)) times the modified Bessel function of the first kind and order 0."""
    return bind(BESSEL_I0E, x)


def bessel_i1e(x: Any) -> Any:
    """exp(-abs(x)) times the modified Bessel function of the first kind and order 1."""
    return bind(BESSEL_I1E, x)


def bessel_falling(order: int, x: Any) -> Any:
    """The derivative of this order of exp(-x) I_0(x), times -1 to its power, for x >= 0."""
    return bind(BesselFalling(order), x)
