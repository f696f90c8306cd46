"""Scenarios from estimation: mixture, k-means, log-sum-exp, least squares (ADBench, GradBench)."""

from __future__ import annotations

import math
from typing import Any

import numpy

from benchmarks.scenario import Namespace, Program, normal, scenario


@scenario(
    mapped=(None, 0),
    sizes=(
        {"components": 5, "dimension": 4, "count": 100},
        {"components": 5, "dimension": 10, "count": 1_000},
        {"components": 25, "dimension": 10, "count": 1_000},
    ),
)
def gmm(np: Namespace, components: int = 5, dimension: int = 4, count: int = 100) -> Program:
    """Log-likelihood of a Gaussian mixture with a Wishart prior, as in ADBench.

    Srajer, Kukelova, Fitzgibbon: "A benchmark of selected algorithmic differentiation tools on some problems in
    computer vision and machine learning", 2018, section on GMM. The inverse covariance factor of a component is a
    lower triangular matrix with exponentiated diagonal, stored as a row of `inverse_factors`.
    """
    wishart_gamma, wishart_m = 1.0, 0

    def log_sum_exp(x: Any) -> Any:
        largest = np.max(x, axis=-1, keepdims=True)
        return np.sum(largest, axis=-1) + np.log(np.sum(np.exp(x - largest), axis=-1))

    def strictly_lower(entries: Any) -> Any:
        """entries: [components, dimension * (dimension - 1) / 2], column by column, to [components, row, column]."""
        columns, start = [], 0
        for column in range(dimension):
            length = dimension - column - 1
            zeros = np.zeros((components, column + 1), numpy.float32)
            columns.append(np.concatenate([zeros, entries[:, start : start + length]], axis=1))
            start += length
        return np.stack(columns, axis=2)

    def log_gamma_distribution(a: float) -> float:
        products = sum(math.lgamma(a + 0.5 * (1 - j)) for j in range(1, dimension + 1))
        return 0.25 * dimension * (dimension - 1) * math.log(math.pi) + products

    def log_wishart_prior(diagonals: Any, log_determinants: Any, entries: Any) -> Any:
        degrees = dimension + wishart_m + 1
        squares = np.sum(diagonals * diagonals, axis=1) + np.sum(entries * entries, axis=1)
        constant = degrees * dimension * (math.log(wishart_gamma) - 0.5 * math.log(2.0))
        constant -= log_gamma_distribution(0.5 * degrees)
        prior = 0.5 * wishart_gamma * wishart_gamma * squares - wishart_m * log_determinants
        return np.sum(prior) - components * constant

    def f(parameters: Any, x: Any) -> Any:
        alphas, means, inverse_factors = parameters
        log_determinants = np.sum(inverse_factors[:, :dimension], axis=1)
        diagonals = np.exp(inverse_factors[:, :dimension])
        entries = inverse_factors[:, dimension:]
        lower = strictly_lower(entries)
        centred = np.reshape(x, (count, 1, dimension)) - means
        product = np.sum(lower * np.reshape(centred, (count, components, 1, dimension)), axis=3)
        whitened = diagonals * centred + product
        inner = alphas + log_determinants - 0.5 * np.sum(whitened * whitened, axis=2)
        likelihood = np.sum(log_sum_exp(inner)) - count * log_sum_exp(alphas)
        constant = -count * dimension * 0.5 * math.log(2.0 * math.pi)
        return constant + likelihood + log_wishart_prior(diagonals, log_determinants, entries)

    generator = numpy.random.default_rng(3)
    parameters = (
        normal(generator, components),
        normal(generator, components, dimension),
        normal(generator, components, dimension * (dimension + 1) // 2, scale=0.5),
    )
    return f, (parameters, normal(generator, count, dimension))


@scenario(
    mapped=(None, 0),
    variants=("f", "grad", "hvp"),
    samples=5,
    sizes=(
        {"means": 5, "dimension": 4, "count": 200},
        {"means": 10, "dimension": 8, "count": 1_000},
        {"means": 100, "dimension": 16, "count": 1_000},
    ),
)
def kmeans(np: Namespace, means: int = 5, dimension: int = 4, count: int = 200) -> Program:
    """Cost of k-means as in GradBench: the squared distance of each point to the nearest of the means, summed."""

    def f(centres: Any, points: Any) -> Any:
        offsets = np.reshape(points, (count, 1, dimension)) - centres
        return np.sum(np.min(np.sum(offsets * offsets, axis=2), axis=1))

    generator = numpy.random.default_rng(6)
    return f, (normal(generator, means, dimension), normal(generator, count, dimension))


@scenario(
    mapped=(0,),
    variants=("f", "grad", "hvp"),
    samples=5,
    sizes=({"count": 1_000}, {"count": 10_000}, {"count": 1_000_000}),
)
def log_sum_exp(np: Namespace, count: int = 1_000) -> Program:
    """log(sum(exp(x))) of `count` numbers, their largest taken out first, as in GradBench."""

    def f(x: Any) -> Any:
        largest = np.max(x)
        return np.log(np.sum(np.exp(x - largest))) + largest

    return f, (normal(numpy.random.default_rng(7), count),)


@scenario(
    mapped=(0, None, None),
    variants=("f", "grad", "hessian"),
    samples=5,
    sizes=(
        {"count": 128, "coefficients": 8},
        {"count": 4_096, "coefficients": 8},
        {"count": 4_096, "coefficients": 32},
    ),
)
def least_squares(np: Namespace, count: int = 128, coefficients: int = 8) -> Program:
    """Half the squared misfit of a polynomial to the sign function at points from -1 to 1, as in GradBench (and cmpad).

    y(x) = 1/2 sum_i (sign(t_i) - x_0 - x_1 t_i - x_2 t_i^2 - ...)^2 with t_i = -1 + 2 i / (n - 1); by Horner's scheme.
    """
    t = numpy.linspace(-1.0, 1.0, count, dtype=numpy.float32)

    def f(x: Any, t: Any, signs: Any) -> Any:
        polynomial = x[coefficients - 1]
        for power in range(coefficients - 2, -1, -1):
            polynomial = polynomial * t + x[power]
        misfit = signs - polynomial
        return 0.5 * np.sum(misfit * misfit)

    return f, (normal(numpy.random.default_rng(8), coefficients), t, numpy.sign(t))
