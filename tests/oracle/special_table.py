"""Rows as those of elementwise_table for functions of ``scipy.special`` that are sums, loops and integrals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mpmath import mp

import functrans.numpy as fnp
from functrans.scipy import special
from tests.oracle import series as s
from tests.oracle.elementwise_table import Row, both, near, positive, signed


def solution(value: Any, slope: Callable[[s.Series], s.Series], u: s.Series) -> s.Series:
    """f(u) with this value, where f' = slope(f)."""
    out = s.constant(value)
    for _ in range(s.ORDER):  # each turn makes one more coefficient right
        out = s.grown(value, slope(out), u)
    return out


def _dawsn(u: s.Series) -> s.Series:
    with mp.workdps(s.DIGITS + 80):
        x = u.c[0]
        value = mp.sqrt(mp.pi) / 2 * mp.exp(-x * x) * mp.erfi(x)
        return solution(value, lambda f: 1 - 2 * u * f, u)


def _erfcx(u: s.Series) -> s.Series:
    with mp.workdps(s.DIGITS + 80):
        return s.exp(u * u) * s.erfc(u)


def _spence(u: s.Series) -> s.Series:
    slope = -s.log(u) / (u - 1)
    return s.grown(mp.re(mp.polylog(2, 1 - u.c[0])), slope, u)


def _owens_t(h: Any, a: Any) -> Any:
    parts = [a * k / 8 for k in range(9)] if abs(h * a) < 8 else [0, *[k / abs(h) for k in range(1, 9)], a]
    if a < 0:
        parts = [-part for part in parts[:-1]] + [a] if abs(h * a) >= 8 else parts
    return mp.quad(lambda t: mp.exp(-h * h * (1 + t * t) / 2) / (1 + t * t), parts) / (2 * mp.pi)


def _owens_by_h(u: s.Series, a: Any) -> s.Series:
    slope = -s.exp(-u * u / 2) * s.erf(u * (a / mp.sqrt(2))) / (2 * mp.sqrt(2 * mp.pi))
    return s.grown(_owens_t(u.c[0], a), slope, u)


def _owens_by_a(h: Any, u: s.Series) -> s.Series:
    further = 1 + u * u
    return s.grown(_owens_t(h, u.c[0]), s.exp(-h * h / 2 * further) / (2 * mp.pi * further), u)


def _si(u: s.Series) -> s.Series:
    with mp.workdps(s.DIGITS + 120):
        return s.grown(mp.si(u.c[0]), s.sin(u) / u, u)


def _fresnel(value: Any, slope: Callable[[s.Series], s.Series]) -> Callable[[s.Series], s.Series]:
    return lambda u: s.grown(value(u.c[0]), slope(mp.pi / 2 * u * u), u)


def _expn(n: int) -> Callable[[s.Series], s.Series]:
    return lambda u: s.composed([(-1) ** k * mp.expint(n - k, u.c[0]) for k in range(s.ORDER + 1)], u)


def _elliptic(kind: Callable[[Any], Any]) -> Callable[[s.Series], s.Series]:
    def precise(m: s.Series) -> s.Series:
        with mp.workdps(s.DIGITS + 120):
            k, e = s.constant(mp.ellipk(m.c[0])), s.constant(mp.ellipe(m.c[0]))
            start = k.c[0], e.c[0]
            for _ in range(s.ORDER):
                k, e = (
                    s.grown(start[0], (e - (1 - m) * k) / (2 * m * (1 - m)), m), s.grown(start[1], (e - k) / (2 * m), m)
                )  # fmt: skip
            return k if kind is mp.ellipk else e

    return precise


def _bessel(
    function: Callable[[Any, Any], Any], order: Any, sign: int, first: int = 1
) -> Callable[[s.Series], s.Series]:  # fmt: skip
    """2 f' = f of order less 1 + sign f of order plus 1, times ``first``."""

    def precise(u: s.Series) -> s.Series:
        derivatives = []
        for k in range(s.ORDER + 1):
            terms = [mp.binomial(k, j) * sign**j * function(order - k + 2 * j, u.c[0]) for j in range(k + 1)]
            derivatives.append(mp.fsum(terms) * mp.mpf(first) ** k / 2**k)
        return s.composed(derivatives, u)

    return precise


def _scaled(function: Callable[[s.Series], s.Series], sign: int) -> Callable[[s.Series], s.Series]:
    def precise(u: s.Series) -> s.Series:
        with mp.workdps(s.DIGITS + 60):
            return function(u) * s.exp(sign * u)

    return precise


def _lambertw(branch: int) -> Callable[[s.Series], s.Series]:
    def precise(u: s.Series) -> s.Series:
        with mp.workdps(s.DIGITS + 30):
            return solution(mp.re(mp.lambertw(u.c[0], branch)), lambda f: s.exp(-f) / (1 + f), u)

    return precise


def _airy(function: Callable[..., Any], slope: int) -> Callable[[s.Series], s.Series]:
    return lambda u: s.composed([function(u.c[0], derivative=k + slope) for k in range(s.ORDER + 1)], u)


def _rgamma(u: s.Series) -> s.Series:
    with mp.workdps(s.DIGITS + 240):
        return 1 / s.gamma(u)


def _kummer(a: Any, b: Any) -> Callable[[s.Series], s.Series]:
    def precise(u: s.Series) -> s.Series:
        terms = [mp.rf(a, k) / mp.rf(b, k) * mp.hyp1f1(a + k, b + k, u.c[0]) for k in range(s.ORDER + 1)]
        return s.composed(terms, u)

    return precise


def _gauss(a: Any, b: Any, c: Any) -> Callable[[s.Series], s.Series]:
    def precise(u: s.Series) -> s.Series:
        x = u.c[0]
        return s.composed([
            mp.rf(a, k) * mp.rf(b, k) / mp.rf(c, k) * mp.hyp2f1(a + k, b + k, c + k, x) for k in range(s.ORDER + 1)
        ], u)  # fmt: skip

    return precise


def _of(function: Callable[..., Any], order: float) -> Callable[[Any], Any]:
    return lambda x: function(fnp.full_like(x, order), x)


def _row(function: Callable[[Any], Any], precise: Callable[[s.Series], s.Series], intervals: Any) -> Row:
    return Row(function, precise, intervals, True, half=False)


M = mp.mpf
PARAMETERS = (*signed(1e-3, 0.999, 1e-30), (-1e6, -1, 8), (0.99, 0.999999, 8))
FALLING = (*positive(1e-2, 60, 1e-30), (60, 80, 4), (110, 650, 5))
WAVES = (*positive(1e-2, 60, 1e-30), (60, 1e5, 8))
SPECIAL_ROWS: dict[str, Row] = {
    "erfcx": _row(special.erfcx, _erfcx, (*positive(1e-3, 20, 1e-300, 1e15), (-8, -1e-3, 16), (-26, -8, 6))),
    "erfcinv": _row(
        special.erfcinv, lambda u: s.ndtri(u / 2) * (-1 / mp.sqrt(2)),
        (*positive(1e-3, 0.9999, 1e-150), (1.001, 1.999, 12), *near(1.0, 0.02, 4)),
    ),
    "dawsn": _row(special.dawsn, _dawsn, signed(1e-3, 20, 1e-100, 1e12)),
    "owens_t by h": _row(
        lambda h: special.owens_t(h, 0.75), lambda u: _owens_by_h(u, M(0.75)), both((1e-3, 8, 12), (8, 36, 5))
    ),
    "owens_t by h, steep": _row(
        lambda h: special.owens_t(h, 2.5), lambda u: _owens_by_h(u, M(2.5)), both((1e-3, 8, 12), (8, 36, 5))
    ),
    "owens_t by a": _row(
        lambda a: special.owens_t(1.25, a), lambda u: _owens_by_a(M(1.25), u), both((1e-3, 8, 12), (1e-30, 1e-3, 3))
    ),
    "sici, sine": _row(
        lambda x: special.sici(x)[0], _si, signed(1e-2, 60, 1e-30, 1e4)
    ),
    "sici, cosine": _row(
        lambda x: special.sici(x)[1], lambda u: s.grown(mp.ci(u.c[0]), s.cos(u) / u, u), positive(1e-2, 60, 1e-30, 1e4)
    ),
    "fresnel, sine": _row(
        lambda x: special.fresnel(x)[0], _fresnel(mp.fresnels, s.sin), signed(1e-2, 20, 1e-30, 1e3)
    ),
    "fresnel, cosine": _row(
        lambda x: special.fresnel(x)[1], _fresnel(mp.fresnelc, s.cos), signed(1e-2, 20, 1e-30, 1e3)
    ),
    "spence": _row(special.spence, _spence, (*positive(1e-2, 20, 1e-100, 1e100), *near(1.0))),
    "expn, order 1": _row(_of(special.expn, 1.0), _expn(1), positive(1e-2, 20, 1e-100, 600)),
    "expn, order 3": _row(_of(special.expn, 3.0), _expn(3), positive(1e-2, 20, 1e-100, 600)),
    "expn, order 12": _row(_of(special.expn, 12.0), _expn(12), positive(1e-2, 20, 1e-100, 600)),
    "ellipk": _row(special.ellipk, _elliptic(mp.ellipk), PARAMETERS),
    "ellipe": _row(special.ellipe, _elliptic(mp.ellipe), PARAMETERS),
    "rgamma": _row(
        special.rgamma, _rgamma, (*positive(1e-2, 20, 1e-100, 165), (-5.7, -0.3, 12), (-60.3, -6.2, 6))
    ),
    "jv, order 0": _row(_of(special.jv, 0.0), _bessel(mp.besselj, M(0), -1), WAVES),
    "jv, order 2.25": _row(_of(special.jv, 2.25), _bessel(mp.besselj, M(2.25), -1), WAVES),
    "jv, order 30": _row(_of(special.jv, 30.0), _bessel(mp.besselj, M(30), -1), ((1, 300, 24),)),
    "jv, order -1.25": _row(_of(special.jv, -1.25), _bessel(mp.besselj, M(-1.25), -1), WAVES),
    "yv, order 0": _row(_of(special.yv, 0.0), _bessel(mp.bessely, M(0), -1), WAVES),
    "yv, order 2.25": _row(_of(special.yv, 2.25), _bessel(mp.bessely, M(2.25), -1), WAVES),
    "iv, order 0": _row(_of(special.iv, 0.0), _bessel(mp.besseli, M(0), 1), FALLING),
    "iv, order 2.25": _row(_of(special.iv, 2.25), _bessel(mp.besseli, M(2.25), 1), FALLING),
    "kv, order 0": _row(_of(special.kv, 0.0), _bessel(mp.besselk, M(0), 1, -1), FALLING),
    "kv, order 2.25": _row(_of(special.kv, 2.25), _bessel(mp.besselk, M(2.25), 1, -1), FALLING),
    "ive, order 2.25": _row(
        _of(special.ive, 2.25), _scaled(_bessel(mp.besseli, M(2.25), 1), -1), positive(1e-2, 60, 1e-30, 1e8)
    ),
    "kve, order 2.25": _row(
        _of(special.kve, 2.25), _scaled(_bessel(mp.besselk, M(2.25), 1, -1), 1), positive(1e-2, 60, 1e-30, 1e8)
    ),
    "airy, first": _row(lambda x: special.airy(x)[0], _airy(mp.airyai, 0), (*signed(1e-2, 20, 1e-20), (-300, -20, 5))),
    "airy, first, slope": _row(lambda x: special.airy(x)[1], _airy(mp.airyai, 1), signed(1e-2, 20, 1e-20)),
    "airy, second": _row(lambda x: special.airy(x)[2], _airy(mp.airybi, 0), (*signed(1e-2, 20, 1e-20), (-300, -20, 5))),
    "airy, second, slope": _row(lambda x: special.airy(x)[3], _airy(mp.airybi, 1), signed(1e-2, 20, 1e-20)),
    "lambertw": _row(special.lambertw, _lambertw(0), (*positive(1e-2, 20, 1e-100, 1e100), (-0.36, -1e-3, 12))),
    "lambertw, lower": _row(
        lambda x: special.lambertw(x, -1), _lambertw(-1), ((-0.36, -1e-3, 12), (-1e-3, -1e-100, 8))
    ),
    "hyp1f1 by x": _row(
        lambda x: special.hyp1f1(1.5, 2.75, x), _kummer(M(1.5), M(2.75)), (*signed(1e-2, 60, 1e-30), (-1e4, -60, 8))
    ),
    "hyp2f1 by x": _row(
        lambda x: special.hyp2f1(0.75, 1.5, 2.75, x), _gauss(M(0.75), M(1.5), M(2.75)),
        (*signed(1e-2, 0.999, 1e-30), (-1e4, -1, 8)),
    ),
}  # fmt: skip

# Units that a row has instead of those allowed, by dtype and order: what was measured, rounded up. The derivatives of
# functions scaled by exp(x) are differences where x is moderate; they cost x^2 / 2 roundings at most.
MEASURED: dict[tuple[str, str, int], float] = {
    ("ellipe", "float64", 0): 6,
    ("rgamma", "float64", 2): 18,
    ("hyp1f1 by x", "float32", 0): 5,
    ("hyp2f1 by x", "float64", 0): 8,
    ("hyp2f1 by x", "float64", 1): 5,
    ("ive, order 2.25", "float64", 1): 50,
    ("ive, order 2.25", "float64", 2): 1500,
    ("ive, order 2.25", "float32", 1): 30,
    ("ive, order 2.25", "float32", 2): 250,
    ("kve, order 2.25", "float64", 2): 60,
    ("kve, order 2.25", "float32", 1): 10,
    ("kve, order 2.25", "float32", 2): 80,
}
