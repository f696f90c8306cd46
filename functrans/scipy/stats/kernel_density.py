"""Densities estimated from samples, by normal kernels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import jax
import numpy as np

from functrans import lax
from functrans import numpy as fnp
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.nn.normalised import logsumexp
from functrans.numpy.promotion import Array, ArrayLike, promote_dtypes
from functrans.random.keys import split
from functrans.random.shuffling import choice
from functrans.random.vectors import multivariate_normal
from functrans.scipy.special.normal import ndtr


def _real(what: str, *operands: ArrayLike) -> list[Any]:
    arrays = [fnp.asarray(x) for x in promote_dtypes(what, *[fnp.asarray(x) for x in operands], inexact=True)]
    if arrays[0].dtype.kind == "c":
        raise FunctransTypeError(f"{what}: real numbers are needed, got dtype {arrays[0].dtype}")
    return arrays


@jax.tree_util.register_pytree_node_class
class gaussian_kde:
    """A density estimated from a sample: the mean of normal densities about its points.

    Args:
      dataset: ``[d, n]``, n points of d dimensions, or ``[n]``.
      bw_method: how wide the kernels are, relative to the sample's covariance: 'scott' (the default), 'silverman', a
        number, or a function of this object.
      weights: ``[n]``, of the points.

    Attributes: ``dataset`` [d, n]; ``weights`` [n], with sum 1; ``neff``, the effective number of points;
    ``covariance`` [d, d] of a kernel, and ``inv_cov``, its inverse. It is a pytree of them, differentiable by all.

    Raises:
      ValueError: fewer than two numbers, or shapes that do not fit. TypeError: complex numbers.

    >>> import functrans.numpy as fnp
    >>> from functrans.scipy import stats
    >>> density = stats.gaussian_kde(fnp.array([0., 1., 2.]))
    >>> density(fnp.array([1.])).round(4)
    Array([0.3182], dtype=float32)
    """

    neff: Any
    dataset: Any
    weights: Any
    covariance: Any
    inv_cov: Any

    def __init__(
        self, dataset: ArrayLike, bw_method: str | float | Callable[[Any], Any] | None = None,
        weights: ArrayLike | None = None,
    ) -> None:  # fmt: skip
        operands = [dataset] if weights is None else [dataset, weights]
        points, *given = _real("gaussian_kde", *operands)
        points = fnp.atleast_2d(points)
        if points.ndim != 2 or points.size < 2:
            raise FunctransValueError(
                f"gaussian_kde: a dataset [d, n] of at least two numbers is needed, got shape {tuple(points.shape)}"
            )
        d, n = points.shape
        if given:
            weight = fnp.atleast_1d(given[0])
            if weight.shape != (n,):
                raise FunctransValueError(f"gaussian_kde: {n} weights are needed, got shape {tuple(weight.shape)}")
            weight = weight / fnp.sum(weight)
        else:
            weight = fnp.full((n,), 1.0 / n, points.dtype)
        self.dataset, self.weights = points, weight
        self.neff = 1.0 / fnp.sum(fnp.square(weight))
        factor: Any
        if bw_method is None or (isinstance(bw_method, str) and bw_method == "scott"):
            factor = fnp.power(self.neff, -1.0 / (d + 4))
        elif isinstance(bw_method, str) and bw_method == "silverman":
            factor = fnp.power(self.neff * (d + 2) / 4.0, -1.0 / (d + 4))
        elif callable(bw_method):
            factor = bw_method(self)
        elif isinstance(bw_method, str) or np.ndim(bw_method):
            raise FunctransValueError(
                f"gaussian_kde: bw_method must be 'scott', 'silverman', a number or a function, got {bw_method!r}"
            )
        else:
            factor = bw_method
        data = fnp.atleast_2d(fnp.cov(points, rowvar=True, bias=False, aweights=weight))
        self.covariance = data * factor**2
        self.inv_cov = fnp.linalg.inv(data) / factor**2

    def tree_flatten(self) -> tuple[tuple[Any, ...], None]:
        return (self.neff, self.dataset, self.weights, self.covariance, self.inv_cov), None

    @classmethod
    def tree_unflatten(cls, _: None, children: Sequence[Any]) -> gaussian_kde:
        out = object.__new__(cls)
        out.neff, out.dataset, out.weights, out.covariance, out.inv_cov = children
        return out

    @property
    def d(self) -> int:
        """How many dimensions."""
        return int(self.dataset.shape[0])

    @property
    def n(self) -> int:
        """How many points."""
        return int(self.dataset.shape[1])

    def evaluate(self, points: ArrayLike) -> Array:
        """The density at points ``[d, m]``, or ``[m]`` for one dimension: ``[m]``."""
        return fnp.exp(self.logpdf(points))

    __call__ = pdf = evaluate

    def logpdf(self, x: ArrayLike) -> Array:
        """The logarithm of the density at points ``[d, m]``, or ``[m]`` for one dimension: ``[m]``."""
        (points,) = _real("gaussian_kde", x)
        points = fnp.atleast_2d(points)
        d, m = points.shape
        if d != self.d:
            if d != 1 or m != self.d:
                raise FunctransValueError(
                    f"gaussian_kde: points of {self.d} dimensions are needed, got shape {tuple(fnp.shape(x))}"
                )
            points = fnp.reshape(points, (self.d, 1))
        return logsumexp(self._exponents(points, self.covariance), axis=-1, b=self.weights)

    def _exponents(self, points: Any, covariance: Any) -> Any:
        """Logarithms of normal densities [m, n] of points [d, m] about those of the sample."""
        factor = fnp.linalg.cholesky(covariance)
        ours, theirs = (
            lax.linalg.triangular_solve(factor, fnp.astype(v, factor.dtype), left_side=True, lower=True)
            for v in (points, self.dataset)
        )
        squares = fnp.sum(fnp.square(ours[:, :, None] - theirs[:, None, :]), 0)
        constant = 0.5 * self.d * math.log(2 * math.pi) + fnp.sum(fnp.log(fnp.diagonal(factor)))
        return -0.5 * squares - constant

    def integrate_gaussian(self, mean: ArrayLike, cov: ArrayLike) -> Array:
        """The integral of the density times a normal one with this mean ``[d]`` and covariance ``[d, d]``."""
        mean, cov = _real("gaussian_kde.integrate_gaussian", mean, cov)
        mean, cov = fnp.atleast_1d(fnp.squeeze(mean)), fnp.atleast_2d(cov)
        if mean.shape != (self.d,) or cov.shape != (self.d, self.d):
            raise FunctransValueError(
                f"gaussian_kde.integrate_gaussian: for {self.d} dimensions mean and cov must be [{self.d}] and "
                f"[{self.d}, {self.d}], got shapes {tuple(mean.shape)} and {tuple(cov.shape)}"
            )
        return fnp.sum(fnp.exp(self._exponents(mean[:, None], self.covariance + cov)[0]) * self.weights)

    def integrate_box_1d(self, low: ArrayLike, high: ArrayLike) -> Array:
        """The probability of numbers between two, for one dimension."""
        if self.d != 1:
            raise FunctransValueError(f"gaussian_kde.integrate_box_1d: one dimension is needed, there are {self.d}")
        if fnp.ndim(low) or fnp.ndim(high):
            raise FunctransValueError("gaussian_kde.integrate_box_1d: the limits must be numbers")
        sigma = fnp.sqrt(self.covariance[0, 0])
        ends = [ndtr((fnp.asarray(end) - self.dataset[0]) / sigma) for end in (low, high)]
        return fnp.sum(self.weights * (ends[1] - ends[0]))

    def integrate_kde(self, other: gaussian_kde) -> Array:
        """The integral of the product of two densities."""
        if other.d != self.d:
            raise FunctransValueError(
                f"gaussian_kde.integrate_kde: both must have as many dimensions, got {self.d} and {other.d}"
            )
        densities = fnp.exp(self._exponents(other.dataset, self.covariance + other.covariance))
        return fnp.sum(densities * (other.weights[:, None] * self.weights))

    def resample(self, key: Any, shape: Any = ()) -> Array:
        """A sample ``[d, *shape]`` of the density, as ``jax.random`` draws it for this key."""
        index_key, noise_key = split(key)
        places = choice(index_key, self.n, shape=shape, p=self.weights)
        noise = multivariate_normal(
            noise_key, fnp.zeros(self.d, self.covariance.dtype), self.covariance, shape=shape, dtype=self.dataset.dtype
        )
        return self.dataset[:, places] + fnp.transpose(noise)

    def integrate_box(self, low_bounds: Any, high_bounds: Any, maxpts: Any = None) -> NoReturn:
        """Not supported, as in JAX."""
        raise NotImplementedError("gaussian_kde.integrate_box is not supported; use integrate_box_1d for one dimension")

    def set_bandwidth(self, bw_method: Any = None) -> NoReturn:
        """Not supported, as in JAX: give ``bw_method`` to the constructor."""
        raise NotImplementedError("gaussian_kde.set_bandwidth is not supported; make a new one with that bw_method")


__all__ = ["gaussian_kde"]
