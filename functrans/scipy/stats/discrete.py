"""Distributions of whole numbers: each is the logarithm of its mass at loc = 0."""

from __future__ import annotations

from typing import Any

from functrans import lax
from functrans.numpy.selection import where
from functrans.scipy.special.entropies import xlog1py, xlogy
from functrans.scipy.special.gammas import betaln
from functrans.scipy.stats.families import Discrete


def _is_probability(p: Any) -> Any:
    return (p >= 0.0) & (p <= 1.0)


def _log_choices(n: Any, k: Any) -> Any:
    return lax.lgamma(n + 1.0) - lax.lgamma(k + 1.0) - lax.lgamma(n - k + 1.0)


bernoulli = Discrete(
    "bernoulli", ("p",), lambda k, p: xlogy(k, p) + xlog1py(1.0 - k, -p), highest=lambda p: 1.0, domain=_is_probability
).with_cdf(lambda k, p: where(k < 1.0, 1.0 - p, 1.0), located=False)
bernoulli.expose("ppf", "q", lambda q, p: where(q <= 1.0 - p, 0.0, lax.full_like(p, 1.0)), located=False)

betabinom = Discrete(
    "betabinom", ("n", "a", "b"),
    lambda k, n, a, b: (
        -lax.log1p(n) - betaln(n - k + 1.0, k + 1.0) + betaln(k + a, n - k + b) - betaln(a, b)
    ),
    highest=lambda n, a, b: n, domain=lambda n, a, b: (n >= 0.0) & (a > 0.0) & (b > 0.0),
)  # fmt: skip

binom = Discrete(
    "binom", ("n", "p"), lambda k, n, p: _log_choices(n, k) + xlogy(k, p) + xlog1py(n - k, -p),
    highest=lambda n, p: n, domain=lambda n, p: (n >= 0.0) & _is_probability(p),
)  # fmt: skip

geom = Discrete(
    "geom", ("p",), lambda k, p: xlog1py(k - 1.0, -p) + lax.log(p), lowest=1.0,
    domain=lambda p: (p > 0.0) & (p <= 1.0),
)  # fmt: skip

nbinom = Discrete(
    "nbinom", ("n", "p"),
    lambda k, n, p: lax.lgamma(k + n) - lax.lgamma(n) - lax.lgamma(k + 1.0) + xlogy(n, p) + xlog1py(k, -p),
    domain=lambda n, p: (n > 0.0) & (p > 0.0) & (p <= 1.0),
)  # fmt: skip

poisson = Discrete(
    "poisson", ("mu",), lambda k, mu: xlogy(k, mu) - lax.lgamma(k + 1.0) - mu, domain=lambda mu: mu >= 0.0
).with_cdf(lambda k, mu: lax.igammac(k + 1.0, mu))
