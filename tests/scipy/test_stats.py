"""Distributions against jax.scipy.stats and SciPy: signatures, values inside and outside the support, derivatives."""

from __future__ import annotations

import inspect

import jax
import jax.scipy.stats
import numpy as np
import pytest
import scipy.stats

import functrans as ft
import functrans.numpy as fnp
from functrans.scipy import stats

LINE = np.array([-3.0, -0.7, -0.1, 0.2, 0.9, 2.5, 40.0])
COUNTS = np.array([-1.0, 0.0, 1.0, 2.0, 3.0, 7.0, 5.0])
PROBABILITIES = np.array([0.01, 0.2, 0.45, 0.55, 0.8, 0.95, 0.999])
SHAPES = {
    "bernoulli": (0.3,), "beta": (1.7, 2.4), "betabinom": (6.0, 0.7, 2.3), "binom": (6.0, 0.35), "chi2": (3.4,),
    "gamma": (2.2,), "gennorm": (1.6,), "geom": (0.35,), "nbinom": (2.5, 0.4), "pareto": (1.8,), "poisson": (2.7,),
    "t": (4.5,), "truncnorm": (-0.6, 1.9), "vonmises": (1.3,), "wrapcauchy": (0.4,),
}  # fmt: skip
ELEMENTWISE = sorted(set(stats.__all__) - {"dirichlet", "multinomial", "multivariate_normal"})
FUNCTIONS = ("logpdf", "pdf", "logpmf", "pmf", "cdf", "logcdf", "sf", "logsf", "ppf", "isf")
PAIRS = [(d, f) for d in ELEMENTWISE for f in FUNCTIONS if hasattr(getattr(jax.scipy.stats, d), f)]
OURS_ONLY = [(d, f) for d in ELEMENTWISE for f in FUNCTIONS if hasattr(getattr(stats, d), f) and (d, f) not in PAIRS]


# JAX raises an error in gumbel, and its igamma and betaln by their parameters have seven digits
NO_SLOPES_IN_JAX = ("gennorm", "gumbel_l", "gumbel_r", "betabinom")


def arguments(distribution: str, function: str) -> tuple[list[np.ndarray], bool]:
    """The operands, and whether loc and scale are among them."""
    parameters = list(inspect.signature(getattr(getattr(stats, distribution), function)).parameters)
    first = PROBABILITIES if function in ("ppf", "isf") else COUNTS if parameters[0] == "k" else LINE
    shapes = SHAPES.get(distribution, ())
    rest = {"loc": 1.0 if parameters[0] == "k" else 0.15, "scale": 1.3}
    others = [*shapes, *[rest[p] for p in parameters[1 + len(shapes) :]]]
    return [first, *map(np.float64, others)], "loc" in parameters


@pytest.mark.parametrize(("distribution", "function"), PAIRS, ids="-".join)
def test_values_and_gradients_are_those_of_jax(distribution: str, function: str) -> None:
    ours, theirs = (getattr(getattr(m, distribution), function) for m in (stats, jax.scipy.stats))
    assert list(inspect.signature(ours).parameters)[1:] == list(inspect.signature(theirs).parameters)[1:]
    operands, _ = arguments(distribution, function)
    with jax.enable_x64(True):
        actual, expected = ours(*operands), theirs(*operands)
        if distribution in ("beta", "betabinom"):  # JAX's betaln is wrong in the seventh digit
            expected = np.asarray(getattr(getattr(scipy.stats, distribution), function)(*operands))
        assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
        np.testing.assert_allclose(actual, expected, rtol=1e-11, atol=1e-13)
        wrt = tuple(range(len(operands))) if operands[0] is not COUNTS else tuple(range(1, len(operands)))
        if distribution in NO_SLOPES_IN_JAX or (distribution, function) == ("bernoulli", "ppf"):
            return  # a step has no slope either
        if distribution == "beta" and function not in ("logpdf", "pdf"):
            wrt = (0, 3, 4)  # JAX has no derivative of betainc by a and b
        finite = np.isfinite(np.asarray(expected))

        def weighted(f, where):
            return lambda *q: where(finite, f(*q), 0.0).sum()

        slopes = ft.grad(weighted(ours, fnp.where), wrt)(*operands)
        slopes_of_jax = jax.grad(weighted(theirs, jax.numpy.where), wrt)(*operands)
        for slope, slope_of_jax in zip(slopes, slopes_of_jax, strict=True):
            clean = np.isfinite(np.asarray(slope_of_jax))  # JAX has NaNs where a density vanishes
            assert np.isfinite(np.asarray(slope)).all()
            np.testing.assert_allclose(np.asarray(slope)[clean], np.asarray(slope_of_jax)[clean], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(("distribution", "function"), OURS_ONLY, ids="-".join)
def test_values_that_jax_has_not_are_those_of_scipy(distribution: str, function: str) -> None:
    operands, _ = arguments(distribution, function)
    with jax.enable_x64(True):
        expected = getattr(getattr(scipy.stats, distribution), function)(*operands)
        np.testing.assert_allclose(getattr(getattr(stats, distribution), function)(*operands), expected, rtol=1e-11)


@pytest.mark.parametrize("distribution", [d for d, f in PAIRS if f == "cdf" and hasattr(getattr(stats, d), "pdf")])
def test_the_density_is_the_slope_of_the_distribution_function(distribution: str) -> None:
    family, shapes = getattr(stats, distribution), SHAPES.get(distribution, ())
    with jax.enable_x64(True):
        for name, density in (("cdf", family.pdf(LINE, *shapes)), ("sf", -family.pdf(LINE, *shapes))):
            if hasattr(family, name):
                slopes = ft.vmap(ft.grad(lambda x, name=name: getattr(family, name)(x, *shapes)))(LINE)
                np.testing.assert_allclose(slopes, density, rtol=1e-11, atol=2.0**-49)


@pytest.mark.parametrize("distribution", ["cauchy", "expon", "gumbel_l", "gumbel_r", "logistic", "pareto"])
def test_tails_keep_their_digits(distribution: str) -> None:
    with jax.enable_x64(True):
        x = np.array([30.0, 600.0]) if distribution not in ("gumbel_l",) else np.array([-30.0, -600.0])
        shapes = SHAPES.get(distribution, ())
        for function in ("logsf", "logcdf", "sf"):
            ours = getattr(getattr(stats, distribution), function)(x, *shapes)
            expected = getattr(getattr(scipy.stats, distribution), function)(x, *shapes)
            np.testing.assert_allclose(ours, expected, rtol=1e-12)


def test_parameters_outside_their_domain_give_nan_as_in_scipy() -> None:
    assert np.isnan(stats.gamma.logpdf(1.0, -1.0)) and np.isnan(stats.binom.pmf(1.0, 3.0, 1.5))
    assert np.isnan(stats.truncnorm.cdf(0.0, 1.0, -1.0)) and np.isnan(stats.gamma.logpdf(np.nan, 1.0))


def test_points_on_the_simplex_and_counts_of_outcomes() -> None:
    with jax.enable_x64(True):
        alpha, inside = np.array([0.7, 2.0, 3.5]), np.array([[0.2, 0.1], [0.3, 0.6], [0.5, 0.3]])
        for x in (inside, inside[:2], inside * 1.1):
            ours, theirs = stats.dirichlet.logpdf(x, alpha), jax.scipy.stats.dirichlet.logpdf(x, alpha)
            np.testing.assert_allclose(ours, theirs, rtol=1e-12)
        slope, slope_of_jax = (
            grad(lambda a, f=m.dirichlet.pdf: f(inside, a).sum())(alpha)
            for grad, m in ((ft.grad, stats), (jax.grad, jax.scipy.stats))
        )
        np.testing.assert_allclose(slope, slope_of_jax, rtol=1e-10)
        p, counts = np.array([0.2, 0.3, 0.5]), np.array([[1, 0, 2], [0, 3, 0], [1, 1, 0]])
        expected = [scipy.stats.multinomial.logpmf(row, 3, p) for row in counts]
        np.testing.assert_allclose(stats.multinomial.logpmf(counts, 3, p), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda: stats.gamma.logpdf(1j, 1.0), TypeError, "gamma.logpdf takes real numbers, got dtype c128"),
        (lambda: stats.gamma.logpdf(1.0), TypeError, "missing a required argument: 'a'"),
        (lambda: stats.dirichlet.pdf(np.ones(4), np.ones(2)), ValueError, "got shapes (4,) of x and (2,) of alpha"),
        (lambda: stats.multinomial.pmf(np.ones(2), 2, np.ones(2)), TypeError, "the counts x must be integers, got f"),
    ],
)
def test_refusals(call, kind, text: str) -> None:
    with jax.enable_x64(True), pytest.raises(kind) as caught:
        call()
    assert text in str(caught.value)
