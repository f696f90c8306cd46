"""Statistics of samples and estimated densities against jax.scipy.stats and SciPy."""

from __future__ import annotations

import inspect
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.stats
import numpy as np
import pytest
import scipy.stats

import functrans as ft
import functrans.numpy as fnp
from functrans.scipy import stats
from tests.derivative_rows import assert_agree
from tests.turns import covering_share

pytestmark = pytest.mark.usefixtures("x64")
RNG = np.random.default_rng(9)
TIES = RNG.integers(0, 4, (6, 5, 2))
FLOATS = np.where(TIES == 3, np.nan, TIES * 0.5)


def test_every_name_of_jax_is_here() -> None:
    public = {name for name in dir(jax.scipy.stats) if not name.startswith("_")}
    assert not public - set(stats.__all__)
    for name in ("mode", "rankdata", "sem"):
        ours, theirs = (inspect.signature(getattr(m, name)) for m in (stats, jax.scipy.stats))
        assert list(ours.parameters) == list(theirs.parameters), name


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
def test_common_values_and_ranks(axis: int | None) -> None:
    for x in (TIES, FLOATS, np.array(3.0)):
        if not x.ndim and axis not in (None, 0):
            continue
        for keepdims in (False, True):
            ours, theirs = (m.mode(x, axis, keepdims=keepdims) for m in (stats, jax.scipy.stats))
            for found, wanted in zip(ours, theirs, strict=True):
                assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
                np.testing.assert_array_equal(found, wanted)
        if not x.ndim:
            continue
        for method in ("average", "min", "max", "dense", "ordinal"):
            found = stats.rankdata(x, method, axis=axis)
            np.testing.assert_array_equal(found, scipy.stats.rankdata(x, method, axis=axis))
            assert found.dtype == np.float64


def test_ranks_under_transforms() -> None:
    x = TIES[:, :, 0]
    np.testing.assert_array_equal(ft.vmap(stats.rankdata)(x), [scipy.stats.rankdata(row) for row in x])
    np.testing.assert_array_equal(ft.jit(stats.rankdata)(x), jax.scipy.stats.rankdata(x))
    assert not np.asarray(ft.grad(lambda x: fnp.sum(stats.rankdata(x)))(x[0] * 1.0)).any()
    empty = stats.mode(np.zeros((0, 3)))
    assert np.isnan(empty.mode).all() and not np.asarray(empty.count).any()
    assert stats.rankdata(np.zeros(0)).shape == (0,)


@pytest.mark.parametrize("options", [{}, {"axis": None}, {"axis": 1, "ddof": 0}, {"axis": -1, "keepdims": True}])
def test_errors_of_means(options: dict[str, Any]) -> None:
    x = RNG.normal(size=(4, 5, 3))
    np.testing.assert_allclose(*[m.sem(x, **options) for m in (stats, jax.scipy.stats)], rtol=1e-13)
    holes = np.where(x > 1.0, np.nan, x)
    ours, theirs = (m.sem(holes, nan_policy="omit", **options) for m in (stats, jax.scipy.stats))
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    assert_agree(lambda x: stats.sem(x, **options), lambda x: jax.scipy.stats.sem(x, **options), [x], np.float64)


def test_entropies_and_divergences_of_probabilities() -> None:
    p, q = RNG.uniform(0.0, 2.0, (2, 5, 3))
    p[0] = 0.0
    for args, options in (((p,), {}), ((p, q), {"base": 2.0}), ((p, q[:, :1]), {"axis": 1}), ((q, p), {})):
        np.testing.assert_allclose(*[m.entropy(*args, **options) for m in (stats, scipy.stats)], rtol=1e-12)
    rows = p[1:] / p[1:].sum(0)
    slope = ft.grad(lambda p: fnp.sum(stats.entropy(p)))(rows)
    np.testing.assert_allclose(slope, -np.log(rows) - scipy.stats.entropy(rows), rtol=1e-12)


SAMPLE, PLANE = RNG.normal(size=9), RNG.normal(size=(2, 9))
WEIGHTS = RNG.uniform(0.5, 2.0, 9)


WIDTHS = [(w, given) for w in (None, "scott", "silverman", 0.7, lambda kde: 0.3 * kde.d) for given in (False, True)]


@pytest.mark.parametrize(("bw_method", "weighted"), covering_share(WIDTHS, 5))
def test_estimated_densities(bw_method: Any, weighted: bool) -> None:
    for data, points in ((SAMPLE, np.linspace(-3, 3, 7)), (PLANE, RNG.normal(size=(2, 5)))):
        weights = WEIGHTS if weighted else None
        ours, theirs, exact = (m.gaussian_kde(data, bw_method, weights) for m in (stats, jax.scipy.stats, scipy.stats))
        np.testing.assert_allclose(ours(points), exact(points), rtol=1e-11)
        np.testing.assert_allclose(ours.logpdf(points), theirs.logpdf(points), rtol=1e-11)
        for name in ("covariance", "inv_cov", "neff", "weights", "dataset"):
            np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-12)
        other = [m.gaussian_kde(data * 0.5 + 0.1, bw_method) for m in (stats, jax.scipy.stats)]
        np.testing.assert_allclose(ours.integrate_kde(other[0]), theirs.integrate_kde(other[1]), rtol=1e-11)
        mean, cov = np.full(ours.d, 0.2), np.eye(ours.d) * 0.4
        np.testing.assert_allclose(
            ours.integrate_gaussian(mean, cov), theirs.integrate_gaussian(mean, cov), rtol=1e-11
        )
        key = jax.random.key(3)
        np.testing.assert_allclose(ours.resample(key, (4,)), theirs.resample(key, (4,)), rtol=1e-10)
        if ours.d == 1:
            np.testing.assert_allclose(ours.integrate_box_1d(-1.0, 0.5), exact.integrate_box_1d(-1.0, 0.5), rtol=1e-11)


def test_an_estimated_density_is_a_tree_and_differentiable() -> None:
    def density(m: Any) -> Any:
        return lambda data, points: m.gaussian_kde(data).logpdf(points)

    assert_agree(density(stats), density(jax.scipy.stats), [SAMPLE, np.linspace(-1.0, 1.0, 3)], np.float64)
    kde = ft.jit(stats.gaussian_kde)(PLANE)
    found = ft.vmap(lambda point: ft.jit(lambda kde, p: kde(p))(kde, point))(PLANE.T)
    np.testing.assert_allclose(found[:, 0], scipy.stats.gaussian_kde(PLANE)(PLANE), rtol=1e-11)
    far = stats.gaussian_kde(SAMPLE).logpdf(np.array([300.0]))  # whose density is 0 in floats
    np.testing.assert_allclose(far, jax.scipy.stats.gaussian_kde(jnp.asarray(SAMPLE)).logpdf(np.array([300.0])))


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda: stats.rankdata(SAMPLE, "first"), ValueError, "rankdata: method must be 'average', 'min', 'max'"),
        (lambda: stats.mode(SAMPLE, nan_policy="no"), ValueError, "mode: nan_policy must be 'propagate', 'omit' or "),
        (lambda: stats.mode(SAMPLE, nan_policy="omit"), NotImplementedError, "nan_policy='omit' is not supported"),
        (lambda: stats.entropy(WEIGHTS, base=-1.0), ValueError, "entropy: the base must be positive, got -1.0"),
        (lambda: stats.sem(SAMPLE, nan_policy="raise"), NotImplementedError, "use 'propagate' or 'omit'"),
        (lambda: stats.gaussian_kde(np.ones(1)), ValueError, "at least two numbers is needed, got shape (1, 1)"),
        (lambda: stats.gaussian_kde(SAMPLE, weights=np.ones(3)), ValueError, "9 weights are needed, got shape (3,)"),
        (lambda: stats.gaussian_kde(SAMPLE, "wide"), ValueError, "bw_method must be 'scott', 'silverman', a number"),
        (lambda: stats.gaussian_kde(SAMPLE + 1j), TypeError, "real numbers are needed"),
        (lambda: stats.gaussian_kde(PLANE)(np.ones((3, 2))), ValueError, "points of 2 dimensions are needed"),
        (lambda: stats.gaussian_kde(PLANE).integrate_box_1d(0, 1), ValueError, "one dimension is needed, there are 2"),
        (lambda: stats.gaussian_kde(SAMPLE).set_bandwidth(1), NotImplementedError, "make a new one"),
    ],
)
def test_refusals(call: Any, kind: Any, text: str) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert text in str(caught.value)
