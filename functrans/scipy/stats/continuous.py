"""Continuous distributions: each is its formula at loc = 0 and scale = 1."""

from __future__ import annotations

import math
from typing import Any

from functrans import lax
from functrans.nn.activations import softplus
from functrans.numpy.selection import where
from functrans.scipy.special.entropies import logit, xlog1py, xlogy
from functrans.scipy.special.gammas import betaln
from functrans.scipy.stats.families import Continuous, Formula

_HALF_LINE: dict[str, Any] = {"support": (0.0, math.inf), "interior": 1.0}
_UNIT_INTERVAL: dict[str, Any] = {"support": (0.0, 1.0), "interior": 0.5}


def _log_one_minus_exp(y: Any) -> Any:
    """log(1 - exp(-y)) for y > 0 (Maechler 2012)."""
    small = y < math.log(2.0)
    near, far = where(small, y, 1.0), where(small, 1.0, y)
    return where(small, lax.log(-lax.expm1(-near)), lax.log1p(-lax.exp(-far)))


def _symmetric(tail: Formula) -> dict[str, Any]:
    """The distribution functions of a density symmetric about 0, from P(Y > y) for y >= 0."""

    def below(y: Any, *parameters: Any) -> Any:
        part = tail(lax.abs(y), *parameters)
        return where(y < 0.0, part, 1.0 - part)

    def log_below(y: Any, *parameters: Any) -> Any:
        part = tail(lax.abs(y), *parameters)
        return where(y < 0.0, lax.log(part), lax.log1p(-part))

    return {
        "cdf": below, "sf": lambda y, *parameters: below(-y, *parameters),
        "logcdf": log_below, "logsf": lambda y, *parameters: log_below(-y, *parameters),
    }  # fmt: skip


def _cauchy_quantile(above_median: Any) -> Any:
    end = lax.abs(above_median) == 0.5
    return where(end, lax.sign(above_median) * math.inf, lax.tan(where(end, 0.0, above_median) * math.pi))


beta = Continuous(
    "beta", ("a", "b"),
    lambda y, a, b: xlogy(a - 1.0, y) + xlog1py(b - 1.0, -y) - betaln(a, b),
    cdf=lambda y, a, b: lax.betainc(a, b, y),
    sf=lambda y, a, b: lax.betainc(b, a, 1.0 - y),
    **_UNIT_INTERVAL,
)  # fmt: skip

cauchy = Continuous(
    "cauchy", (),
    lambda y: -math.log(math.pi) - lax.log1p(lax.square(y)),
    cdf=lambda y: lax.atan2(lax.full_like(y, 1.0), -y) * (1.0 / math.pi),
    sf=lambda y: lax.atan2(lax.full_like(y, 1.0), y) * (1.0 / math.pi),
    ppf=lambda q: _cauchy_quantile(q - 0.5),
    isf=lambda q: _cauchy_quantile(0.5 - q),
)  # fmt: skip

chi2 = Continuous(
    "chi2", ("df",),
    lambda y, df: xlogy(0.5 * df - 1.0, y) - 0.5 * y - 0.5 * math.log(2.0) * df - lax.lgamma(0.5 * df),
    cdf=lambda y, df: lax.igamma(0.5 * df, 0.5 * y),
    sf=lambda y, df: lax.igammac(0.5 * df, 0.5 * y),
    **_HALF_LINE,
)  # fmt: skip

expon = Continuous(
    "expon", (),
    lambda y: -y,
    cdf=lambda y: -lax.expm1(-y),
    sf=lambda y: lax.exp(-y),
    logcdf=_log_one_minus_exp,
    logsf=lambda y: -y,
    ppf=lambda q: -lax.log1p(-q),
    isf=lambda q: -lax.log(q),
    **_HALF_LINE,
)  # fmt: skip

gamma = Continuous(
    "gamma", ("a",),
    lambda y, a: xlogy(a - 1.0, y) - y - lax.lgamma(a),
    cdf=lambda y, a: lax.igamma(a, y),
    sf=lambda y, a: lax.igammac(a, y),
    **_HALF_LINE,
)  # fmt: skip

gennorm = Continuous(
    "gennorm", ("beta",),
    lambda y, beta: lax.log(0.5 * beta) - lax.lgamma(1.0 / beta) - lax.pow(lax.abs(y), beta),
    located=False, **_symmetric(lambda y, beta: 0.5 * lax.igammac(1.0 / beta, lax.pow(y, beta))),
)  # fmt: skip

gumbel_l = Continuous(
    "gumbel_l", (),
    lambda y: y - lax.exp(y),
    cdf=lambda y: -lax.expm1(-lax.exp(y)),
    sf=lambda y: lax.exp(-lax.exp(y)),
    logcdf=lambda y: _log_one_minus_exp(lax.exp(y)),
    logsf=lambda y: -lax.exp(y),
    ppf=lambda p: lax.log(-lax.log1p(-p)),
    isf=lambda q: lax.log(-lax.log(q)),
)  # fmt: skip

gumbel_r = Continuous(
    "gumbel_r", (),
    lambda y: -y - lax.exp(-y),
    cdf=lambda y: lax.exp(-lax.exp(-y)),
    sf=lambda y: -lax.expm1(-lax.exp(-y)),
    logcdf=lambda y: -lax.exp(-y),
    logsf=lambda y: _log_one_minus_exp(lax.exp(-y)),
    ppf=lambda p: -lax.log(-lax.log(p)),
    isf=lambda q: -lax.log(-lax.log1p(-q)),
)  # fmt: skip

laplace = Continuous(
    "laplace", (),
    lambda y: -lax.abs(y) - math.log(2.0),
    **_symmetric(lambda y: 0.5 * lax.exp(-y)),
    ppf=lambda q: where(q < 0.5, lax.log(2.0 * q), -lax.log(2.0 - 2.0 * q)),
    isf=lambda q: where(q > 0.5, lax.log(2.0 - 2.0 * q), -lax.log(2.0 * q)),
)  # fmt: skip

logistic = Continuous(
    "logistic", (),
    lambda y: -softplus(y) - softplus(-y),
    cdf=lax.logistic,
    sf=lambda y: lax.logistic(-y),
    logcdf=lambda y: -softplus(-y),
    logsf=lambda y: -softplus(y),
    ppf=logit,
    isf=lambda x: -logit(x),
)  # fmt: skip

pareto = Continuous(
    "pareto", ("b",),
    lambda y, b: lax.log(b) - (b + 1.0) * lax.log(y),
    support=(1.0, math.inf), interior=2.0,
    cdf=lambda y, b: -lax.expm1(-b * lax.log(y)),
    sf=lambda y, b: lax.exp(-b * lax.log(y)),
    logcdf=lambda y, b: _log_one_minus_exp(b * lax.log(y)),
    logsf=lambda y, b: -b * lax.log(y),
    ppf=lambda q, b: lax.exp(-lax.log1p(-q) / b),
    isf=lambda q, b: lax.exp(-lax.log(q) / b),
)  # fmt: skip

t = Continuous(
    "t", ("df",),
    lambda y, df: (
        lax.lgamma(0.5 * (df + 1.0)) - lax.lgamma(0.5 * df) - 0.5 * lax.log(df * math.pi)
        - 0.5 * (df + 1.0) * lax.log1p(lax.square(y) / df)
    ),
)  # fmt: skip

uniform = Continuous(
    "uniform", (), lambda y: 0.0 * y, cdf=lambda y: y, sf=lambda y: 1.0 - y, ppf=lambda q: q,
    isf=lambda q: 1.0 - q, **_UNIT_INTERVAL,
)  # fmt: skip

vonmises = Continuous(
    "vonmises", ("kappa",),
    lambda y, kappa: kappa * (lax.cos(y) - 1.0) - lax.log(2.0 * math.pi * lax.bessel_i0e(kappa)),
    located=False, domain=lambda kappa: kappa >= 0.0,
)  # fmt: skip

wrapcauchy = Continuous(
    "wrapcauchy", ("c",),
    lambda y, c: (
        lax.log1p(-lax.square(c)) - math.log(2.0 * math.pi) - lax.log(1.0 + lax.square(c) - 2.0 * c * lax.cos(y))
    ),
    support=(0.0, 2.0 * math.pi), interior=1.0, located=False,
    domain=lambda c: (c > 0.0) & (c < 1.0),
)  # fmt: skip
