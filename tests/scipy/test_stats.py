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
OF_SAMPLES = {"entropy", "gaussian_kde", "mode", "rankdata", "sem"}
ELEMENTWISE = sorted(set(stats.__all__) - {"dirichlet", "multinomial", "multivariate_normal"} - OF_SAMPLES)
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


ODD = np.array([
    -np.inf, -1.5, -1.0, -0.5, -0.0, 0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 7.0, 2 * np.pi, 10.0, np.inf, np.nan
])  # fmt: skip
DOMAINS = {
    "bernoulli": [(-0.1,), (1.1,), (0.0,), (1.0,)], "beta": [(0.0, 1.0), (1.0, -1.0), (1.0, 1.0)],
    "betabinom": [(-1.0, 1.0, 1.0), (3.0, 0.0, 1.0), (2.5, 1.0, 1.0)], "chi2": [(0.0,), (-1.0,), (2.0,)],
    "binom": [(-1.0, 0.5), (3.0, 1.5), (3.0, 0.0), (3.0, 1.0), (2.5, 0.5), (0.0, 0.5)],
    "gamma": [(0.0,), (-1.0,), (1.0,)], "gennorm": [(0.0,), (-1.0,), (2.0,)], "geom": [(0.0,), (1.0,), (1.5,)],
    "nbinom": [(0.0, 0.5), (2.0, 0.0), (2.0, 1.0), (-1.0, 0.5)], "pareto": [(0.0,), (-1.0,)],
    "poisson": [(0.0,), (-1.0,)], "t": [(0.0,), (-1.0,)], "truncnorm": [(1.0, -1.0), (1.0, 1.0)],
    "vonmises": [(0.0,), (-1.0,)], "wrapcauchy": [(0.0,), (1.0,), (-0.5,)],
}  # fmt: skip


@pytest.mark.parametrize("distribution", ELEMENTWISE)
def test_supports_and_domains_are_those_of_scipy(distribution: str) -> None:
    """Outside of the support a density is 0; a scale that is not positive, or a q that is no probability, gives NaN."""
    family, exact = (getattr(m, distribution) for m in (stats, scipy.stats))
    with jax.enable_x64(True):
        for function in FUNCTIONS:
            if not hasattr(family, function):
                continue
            names = list(inspect.signature(getattr(family, function)).parameters)
            places = [(0.5 if "scale" in names else 1.0,)] if "loc" in names else []
            places += [(0.0, 2.0), (0.0, 0.0), (0.0, -1.0), (np.nan, 1.0)] if "scale" in names else []
            rows = [
                (*shapes, *place)
                for shapes in (SHAPES.get(distribution, ()), *DOMAINS.get(distribution, []))
                for place in ((), *places)
            ]
            with np.errstate(all="ignore"):
                expected = [getattr(exact, function)(ODD, *row) for row in rows]
            points = np.broadcast_to(ODD, (len(rows), len(ODD)))
            defaults = ([0.0] if "loc" in names else []) + ([1.0] if "scale" in names else [])
            full = [[*row, *defaults[len(defaults) - (len(names) - 1 - len(row)) :]] for row in rows]
            found = np.asarray(getattr(family, function)(points, *np.array(full).T[:, :, None]))
            if (distribution, function) == ("bernoulli", "ppf"):  # SciPy has -1 for q = 0, JAX has 0
                found, expected = (np.asarray(v)[:, (ODD != 0.0) & (ODD != 1.0)] for v in (found, expected))
            if distribution in ("nbinom", "poisson"):  # SciPy has NaN for infinitely many
                found, expected = (np.asarray(v)[:, ~np.isposinf(ODD)] for v in (found, expected))
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-14, err_msg=function)


def test_numbers_outside_leave_derivatives_of_the_others_alone() -> None:
    with jax.enable_x64(True):
        q, x = np.array([0.3, 1.5, -0.2]), np.array([0.5, -1.0, 2.0])

        def total(y):
            return fnp.sum(fnp.where(fnp.isfinite(y), y, 0.0))

        slope = ft.grad(lambda s: total(stats.expon.ppf(q, 0.0, s)))(2.0)
        np.testing.assert_allclose(slope, scipy.stats.expon.ppf(0.3), rtol=1e-12)
        slope = ft.grad(lambda s: total(stats.gamma.logpdf(x, 2.0, 0.0, s)))(1.5)
        exact = sum(v / 1.5**2 - 2.0 / 1.5 for v in (0.5, 2.0))
        np.testing.assert_allclose(slope, exact, rtol=1e-12)
        scales = ft.grad(lambda s: total(stats.norm.logpdf(0.5, 0.0, s)))(np.array([2.0, 0.0, -1.0]))
        assert np.isfinite(scales[0])


def test_the_entropy_of_a_poisson_variable() -> None:
    mu = np.array([0.0, 1e-3, 0.7, 5.0, 30.0, 99.0, 101.0, 1e3, 1e6, -1.0])
    with jax.enable_x64(True):
        found = stats.poisson.entropy(mu)
        np.testing.assert_allclose(found[:6], scipy.stats.poisson.entropy(mu[:6]), rtol=1e-11)
        np.testing.assert_allclose(found[:9], jax.scipy.stats.poisson.entropy(mu[:9]), rtol=1e-5)
        assert np.isnan(found[9])
        step = 1e-4
        slope = ft.vmap(ft.grad(stats.poisson.entropy))(mu[2:7])
        difference = (stats.poisson.entropy(mu[2:7] + step) - stats.poisson.entropy(mu[2:7] - step)) / (2 * step)
        np.testing.assert_allclose(slope, difference, rtol=1e-6)
        np.testing.assert_allclose(stats.poisson.entropy(100.0), stats.poisson.entropy(100.0 + 1e-13), rtol=1e-13)


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


def test_certain_outcomes_have_the_logarithm_of_one() -> None:
    """The approximation of lgamma at 1 and 2 left 5e-7."""
    assert float(stats.binom.logpmf(0, 0, 0.5)) == float(stats.binom.logpmf(5, 5, 1.0)) == 0
    assert float(stats.poisson.logpmf(0, 0.0)) == float(stats.poisson.logpmf(1, 1.0) + 1) == 0
    assert float(stats.nbinom.logpmf(0, 3.0, 1.0)) == float(stats.multinomial.logpmf([0, 0], 0, [0.5, 0.5])) == 0
    for order in (ft.grad, lambda f: ft.grad(ft.grad(f))):  # the derivatives are those of lgamma
        ours = order(lambda n: stats.binom.logpmf(np.float32(1.0), n, 0.3))(np.float32(1.0))
        again = order(lambda n: ft.lax.lgamma(n + 1) - ft.lax.lgamma(n) + (n - 1) * np.log(0.7))(np.float32(1.0))
        np.testing.assert_allclose(ours, again, rtol=1e-6)
