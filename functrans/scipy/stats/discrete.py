"""Distributions of whole numbers: each is the logarithm of its mass at loc = 0."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from functrans import lax
from functrans.numpy.reductions import sum as total
from functrans.numpy.selection import where
from functrans.scipy.special.entropies import xlog1py, xlogy
from functrans.scipy.special.gammas import betaln
from functrans.scipy.stats.families import Discrete, is_probability


def _is_count(n: Any) -> Any:
    return (n >= 0.0) & (n == lax.floor(n))


def log_factorial(n: Any) -> Any:
    """lgamma(n + 1), which is 0 for 0 and 1; by the approximation 5e-7."""
    value = lax.lgamma(n + 1.0)
    return value - where((n == 0.0) | (n == 1.0), lax.stop_gradient(value), 0.0)


def _log_choices(n: Any, k: Any) -> Any:
    return log_factorial(n) - log_factorial(k) - log_factorial(n - k)


bernoulli = Discrete(
    "bernoulli", ("p",), lambda k, p: xlogy(k, p) + xlog1py(1.0 - k, -p), highest=lambda p: 1.0, domain=is_probability
).with_cdf(lambda k, p: where(k < 1.0, 1.0 - p, 1.0), located=False)
bernoulli.expose("ppf", "q", lambda q, p: where(q <= 1.0 - p, 0.0, lax.full_like(p, 1.0)), located=False)

betabinom = Discrete(
    "betabinom", ("n", "a", "b"),
    lambda k, n, a, b: (
        -lax.log1p(n) - betaln(n - k + 1.0, k + 1.0) + betaln(k + a, n - k + b) - betaln(a, b)
    ),
    highest=lambda n, a, b: n, domain=lambda n, a, b: _is_count(n) & (a > 0.0) & (b > 0.0),
)  # fmt: skip

binom = Discrete(
    "binom", ("n", "p"), lambda k, n, p: _log_choices(n, k) + xlogy(k, p) + xlog1py(n - k, -p),
    highest=lambda n, p: n, domain=lambda n, p: _is_count(n) & is_probability(p),
)  # fmt: skip

geom = Discrete(
    "geom", ("p",), lambda k, p: xlog1py(k - 1.0, -p) + lax.log(p), lowest=1.0,
    domain=lambda p: (p > 0.0) & (p <= 1.0),
)  # fmt: skip

nbinom = Discrete(
    "nbinom", ("n", "p"),
    lambda k, n, p: lax.lgamma(k + n) - lax.lgamma(n) - log_factorial(k) + xlogy(n, p) + xlog1py(k, -p),
    domain=lambda n, p: (n > 0.0) & (p > 0.0) & (p <= 1.0),
)  # fmt: skip

poisson = Discrete(
    "poisson", ("mu",), lambda k, mu: xlogy(k, mu) - log_factorial(k) - mu, domain=lambda mu: mu >= 0.0
).with_cdf(lambda k, mu: where(k == math.inf, 1.0, lax.igammac(where(k == math.inf, 0.0, k) + 1.0, mu)))


_SUMMED, _LARGE = 256, 100.0  # below this mean, so many terms are all that count
# of mu^-1, mu^-2, ...: minus the coefficients of the asymptotic series of the entropy (Evans and Boersma 1988, SIAM
# Review 30; the later ones found from its values in sixty digits)
_ENTROPY = (1 / 12, 1 / 24, 19 / 360, 9 / 80, 863 / 2520, 1375 / 1008, 33953 / 5040)


def _poisson_entropy(mu: Any, loc: Any) -> Any:
    large = mu > _LARGE
    near, inverse = where(large, 1.0, mu), 1.0 / where(large, mu, _LARGE)
    shape = (*mu.shape, _SUMMED)
    k = lax.broadcast_in_dim(np.arange(_SUMMED).astype(mu.dtype), shape, (mu.ndim,))
    spread = lax.broadcast_in_dim(near, shape, tuple(range(mu.ndim)))
    information = spread - xlogy(k, spread) + lax.lgamma(k + 1.0)  # -log(probability)
    possible = information < math.inf
    small = total(where(possible, information, 0.0) * lax.exp(-information), -1)
    series: Any = 0.0
    for c in reversed(_ENTROPY):
        series = (series + c) * inverse
    return where(large, 0.5 * (math.log(2.0 * math.pi) + 1.0 - lax.log(inverse)) - series, small)


poisson.expose("entropy", None, _poisson_entropy)
