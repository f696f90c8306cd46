"""Derivatives by each of two operands and the mixed second one are right to a few units in the last place.

As in test_derivatives_to_the_last_digits, where the unit counts the roundings of both operands: of a derivative g it is
ulp(g) + eps (|x g_x| + |y g_y|). The mixed derivative is taken in both orders. mpmath differentiates by differences
relative to the operands, with as many digits as the smallest derivative needs.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from mpmath import mp

import functrans as ft
import functrans.numpy as fnp
from functrans import lax, nn
from functrans.scipy import special
from tests.oracle.test_derivatives_to_the_last_digits import errors

pytestmark = [pytest.mark.usefixtures("x64"), pytest.mark.machine_code]


class Pair(NamedTuple):
    function: Callable[[Any, Any], Any]
    precise: Callable[[Any, Any], Any]
    xs: tuple[float, ...]
    ys: tuple[float, ...]
    composition: bool = True  # of several operations of XLA: its value, too, is held to the bound
    digits: int = 60
    made_of: tuple[str, ...] = ()  # rows of elementwise_table that are functions of XLA's, worse than the bound


POSITIVE = (1e-25, 1e-6, 0.03, 0.7, 1.9, 40.0, 1e8)
SIGNED = (*[-x for x in POSITIVE], *POSITIVE)
MODERATE = (1e-3, 0.2, 0.9, 1.7, 5.3, 33.0, 250.0)
EXPONENTS = (-80.0, -3.0, 0.01, 1.3, 60.0)


def _beta(a: Any, b: Any) -> Any:
    return mp.gamma(a) * mp.gamma(b) / mp.gamma(a + b)


def _binomial(n: Any, k: Any) -> Any:
    return mp.gamma(n + 1) / (mp.gamma(k + 1) * mp.gamma(n - k + 1))


PAIRS = {
    "multiply": Pair(fnp.multiply, lambda x, y: x * y, SIGNED, (-3.0, 0.2)),
    "divide": Pair(fnp.divide, lambda x, y: x / y, SIGNED, (-3.0, 1e-6, 0.2, 1e8)),
    "arctan2": Pair(fnp.arctan2, mp.atan2, SIGNED, (-1e8, -0.7, 1e-6, 0.03, 1.9, 40.0), False),
    "hypot": Pair(fnp.hypot, lambda x, y: mp.sqrt(x * x + y * y), SIGNED, POSITIVE, digits=160),
    "power": Pair(fnp.power, mp.power, POSITIVE, (-2.3, -1.0, -0.5, 0.0, 0.25, 1.0, 2.0, 2.7), False),
    "logaddexp": Pair(
        fnp.logaddexp, lambda x, y: mp.log(mp.exp(x) + mp.exp(y)), EXPONENTS, EXPONENTS, digits=200
    ),
    "logaddexp2": Pair(
        fnp.logaddexp2, lambda x, y: mp.log(mp.power(2, x) + mp.power(2, y), 2), EXPONENTS, EXPONENTS, digits=200
    ),
    "squareplus": Pair(nn.squareplus, lambda x, b: (x + mp.sqrt(x * x + b)) / 2, SIGNED, (1e-6, 0.2, 4.0), digits=120),
    "xlogy": Pair(special.xlogy, lambda x, y: x * mp.log(y), SIGNED, POSITIVE),
    "xlog1py": Pair(special.xlog1py, lambda x, y: x * mp.log1p(y), SIGNED, (-0.99, -0.2, *POSITIVE)),
    "rel_entr": Pair(special.rel_entr, lambda p, q: p * mp.log(p / q), POSITIVE, POSITIVE),
    "kl_div": Pair(special.kl_div, lambda p, q: p * mp.log(p / q) - p + q, POSITIVE, POSITIVE),
    "boxcox": Pair(
        special.boxcox, lambda x, p: (mp.power(x, p) - 1) / p, POSITIVE, (-2.5, -0.3, 1e-6, 0.2, 1.5), digits=120
    ),
    "boxcox1p": Pair(
        special.boxcox1p, lambda x, p: mp.expm1(p * mp.log1p(x)) / p, (-0.9, -0.2, *POSITIVE),
        (-2.5, -0.3, 1e-6, 0.2, 1.5), digits=120,
    ),
    "beta": Pair(special.beta, _beta, MODERATE, MODERATE),
    "betaln": Pair(
        special.betaln, lambda a, b: mp.log(_beta(a, b)), MODERATE, MODERATE, made_of=("gammaln",)
    ),
    "poch": Pair(special.poch, lambda z, m: mp.gamma(z + m) / mp.gamma(z), MODERATE[:-1], (0.2, 1.5, 4.0)),
    "comb": Pair(special.comb, _binomial, (5.3, 12.0, 33.0), (0.2, 1.5, 4.0)),
    "zeta": Pair(lax.zeta, mp.zeta, (1.01, 1.5, 2.5, 7.0), (1e-3, 0.07, 0.7, 5.3, 1e4), False, 30),
    # the value that XLA gives for (25, 40) in float64, as Cephes does, is wrong in the fourteenth digit
    "zeta of large exponents": Pair(lax.zeta, mp.zeta, (25.0, 80.0), (0.7, 40.0, 1e4), False, 40),
    "gammainc": Pair(
        special.gammainc, lambda a, x: mp.gammainc(a, 0, x, regularized=True),
        (0.01, 1.5, 60.0), (0.03, 1.7, 54.0, 59.0, 70.0), digits=50,
    ),
}  # fmt: skip
DTYPES = {"float32": np.float32, "float64": np.float64}
CASES = [(name, dtype) for name in PAIRS for dtype in DTYPES]
ORDERS = ((0, 0), (1, 0), (0, 1), (1, 1), (1, 1))  # of the derivatives that are computed, the last one in two ways
ALLOWED = (4, 4, 4, 16, 16)


def computed(f: Callable[[Any, Any], Any], x: Any, y: Any) -> list[Any]:
    """The function, its two derivatives, and the mixed one by x and y and by y and x."""

    def by(i: int, g: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        return ft.grad(lambda x, y: fnp.sum(g(x, y)), argnums=i)

    functions = (f, by(0, f), by(1, f), by(1, by(0, f)), by(0, by(1, f)))
    return [np.asarray(out) for out in ft.jit(lambda x, y: [g(x, y) for g in functions])(x, y)]


def _derivative(f: Callable[[Any, Any], Any], at: tuple[Any, Any], i: int, j: int) -> Any:
    """The derivative of order i by x and j by y."""
    (x, y), (s, t) = at, [v or mp.mpf(1) for v in at]  # a step relative to 0 is none
    return (mp.diff(lambda p, q: f(x + s * p, y + t * q), (0, 0), (i, j)) if i + j else f(x, y)) / (s**i * t**j)


@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_mixed_derivatives_are_right_to_the_last_digits(name: str, dtype: str) -> None:
    pair, limits = PAIRS[name], np.finfo(DTYPES[dtype])
    eps, tiny, largest = float(limits.eps), float(limits.tiny), float(limits.max)
    points = np.array(list(itertools.product(pair.xs, pair.ys)), DTYPES[dtype]).T
    results = computed(pair.function, *points)
    worst = [(0.0, "")] * len(ORDERS)
    for k, (x, y) in enumerate(points.T.astype(np.float64)):
        with mp.workdps(pair.digits):
            at = mp.mpf(x), mp.mpf(y)

            exact = functools.cache(functools.partial(_derivative, pair.precise, at))

            if abs(exact(0, 0)) < tiny:
                continue
            for order, (i, j) in enumerate(ORDERS):
                wanted, value = exact(i, j), float(results[order][k])
                if not tiny <= abs(wanted) <= largest:
                    continue
                unit = eps * 2.0 ** math.floor(mp.log(abs(wanted), 2))
                unit = unit + eps * (abs(x * exact(i + 1, j)) + abs(y * exact(i, j + 1)))
                error = float(abs(value - wanted) / unit) if np.isfinite(value) else np.inf
                if error > worst[order][0]:
                    worst[order] = error, f"at {(x, y)} it is {value!r}, exactly {mp.nstr(wanted, 20)}"
    least = max([0.0 if pair.composition else 2 * worst[0][0], *[2 * errors(n, dtype)[0][0] for n in pair.made_of]])
    complaints = [
        f"order {ORDERS[order]}: {error:.3g} units, allowed {max(most, least):.3g}: {where}"
        for order, ((error, where), most) in enumerate(zip(worst, ALLOWED, strict=True))
        if error > max(most, least)
    ]
    assert not complaints, f"{name} in {dtype}: " + "\n".join(complaints)
