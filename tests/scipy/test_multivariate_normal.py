"""The normal distribution of vectors against jax.scipy.stats."""

from __future__ import annotations

from typing import Any

import jax
import jax.scipy.stats
import numpy as np
import pytest

from functrans.scipy import stats
from tests.derivative_rows import assert_agree

RNG = np.random.default_rng(4)
ROOT = RNG.normal(size=(2, 3, 3))
COV = ROOT @ ROOT.swapaxes(1, 2) + np.eye(3)
X, MEAN = RNG.normal(size=(5, 3)), RNG.normal(size=3)
ROWS: dict[str, list[Any]] = {
    "vector": [X[0], MEAN, COV[0]],
    "vectors": [X, MEAN, COV[0]],
    "covariances": [X[0], MEAN, COV],
    "both": [X[:4].reshape(2, 2, 3), RNG.normal(size=(2, 3)), COV],
    "variance": [X, MEAN, np.float64(1.7)],
    "numbers": [X, np.float64(0.3), np.float64(1.7)],
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ROWS)
def test_densities_and_their_derivatives_are_those_of_jax(name: str, dtype: Any) -> None:
    both = [m.multivariate_normal.logpdf for m in (stats, jax.scipy.stats)]
    assert_agree(*both, ROWS[name], dtype, order=2 if dtype is np.float64 else 1, scale=4.0)
    both = [m.multivariate_normal.pdf for m in (stats, jax.scipy.stats)]
    assert_agree(*both, ROWS[name], dtype, order=0)


def test_no_density_for_a_covariance_that_is_not_positive() -> None:
    assert np.isnan(stats.multivariate_normal.logpdf(np.zeros(2, "f"), np.zeros(2, "f"), -np.eye(2, dtype="f")))


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda f: f(np.ones(2, "f"), np.ones(3, "f"), 1.0), "got shapes (2,) and (3,)"),
        (lambda f: f(np.ones(2, "f"), np.ones(2, "f"), np.eye(3, dtype="f")), "shapes (3, 3) of cov and (2,) of"),
        (lambda f: f(0.0, 0.0, np.eye(1, dtype="f")), "must be a number or [..., n, n] for a mean [..., n]"),
        (lambda f: f(0.0, 0.0, 1.0, True), "allow_singular is not supported"),
    ],
)
def test_refusals(call: Any, text: str) -> None:
    with pytest.raises(ValueError) as caught:
        call(stats.multivariate_normal.logpdf)
    assert text in str(caught.value)
