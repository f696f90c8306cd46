"""What a distribution is here: a formula in standard form, and the functions of SciPy's interface that follow from it.

A continuous family gives the logarithm of its density at loc = 0 and scale = 1, a discrete one that of its mass; the
families supply location and scale, the support and the domain of the parameters, logarithms and complements.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

from functrans import lax
from functrans.numpy.selection import where
from functrans.scipy.special.arguments import real_operands

Formula = Callable[..., Any]
_POSITIONAL = inspect.Parameter.POSITIONAL_OR_KEYWORD

_SUMMARIES = {
    "logpdf": "The logarithm of the density at x",
    "pdf": "The density at x",
    "logpmf": "The logarithm of the probability of k",
    "pmf": "The probability of k",
    "cdf": "The probability of values up to the first argument",
    "logcdf": "The logarithm of the probability of values up to the first argument",
    "sf": "The probability of values above the first argument",
    "logsf": "The logarithm of the probability of values above the first argument",
    "ppf": "The number that values stay below with probability q",
    "isf": "The number that values stay above with probability q",
    "entropy": "The entropy in nats",
}


def _everywhere_positive(*parameters: Any) -> Any:
    inside: Any = True
    for p in parameters:
        inside = (p > 0.0) & inside
    return inside


def _first_parameter(quantile: Formula) -> str:
    """The name that JAX gives the probability: q, p or x."""
    return next(iter(inspect.signature(quantile).parameters))


def is_probability(p: Any) -> Any:
    return (p >= 0.0) & (p <= 1.0)


class Family:
    """A named distribution with shape parameters; its functions are attributes, ``logpdf`` or ``logpmf`` and more."""

    logpdf: Formula
    pdf: Formula
    logpmf: Formula
    pmf: Formula
    cdf: Formula
    logcdf: Formula
    sf: Formula
    logsf: Formula
    ppf: Formula
    isf: Formula
    entropy: Formula

    def __init__(self, name: str, parameters: tuple[str, ...], defaults: dict[str, int], domain: Formula) -> None:
        self.name = name
        self.parameters = parameters
        self.defaults = defaults
        self.domain = domain

    def __repr__(self) -> str:
        return f"functrans.scipy.stats.{self.name}"

    def expose(self, name: str, first: str | None, formula: Formula, located: bool = True) -> None:
        """Make ``formula(first, *parameters, loc, scale)`` of promoted operands the function ``name``.

        Without ``first`` it is a function of the parameters alone.
        """
        defaults = self.defaults if located else {}
        signature = inspect.Signature([
            inspect.Parameter(n, _POSITIONAL, default=defaults.get(n, inspect.Parameter.empty))
            for n in (*(() if first is None else (first,)), *self.parameters, *defaults)
        ])  # fmt: skip
        what = f"{self.name}.{name}"

        def function(*args: Any, **kwargs: Any) -> Any:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            operands = real_operands(what, *bound.arguments.values())
            start = 0 if first is None else 1
            valid = self.domain(*operands[start : start + len(self.parameters)])
            # what the formula sees instead of a number outside has derivatives there
            if name in ("ppf", "isf"):
                inside = is_probability(operands[0])
                operands[0], valid = where(inside, operands[0], 0.5), inside & valid
            elif first is not None:
                valid = (operands[0] == operands[0]) & valid
            if "scale" in defaults:
                inside = operands[-1] > 0.0
                operands[-1], valid = where(inside, operands[-1], 1.0), inside & valid
            return where(valid, formula(*operands), math.nan)

        function.__name__, function.__qualname__, function.__module__ = name, what, __name__
        quantile = ", and where q is no probability" if name in ("ppf", "isf") else ""
        function.__doc__ = f"{_SUMMARIES[name]}, elementwise; NaN outside the parameters' domain{quantile}."
        function.__signature__ = signature  # type: ignore[attr-defined]
        setattr(self, name, function)


class Continuous(Family):
    """A family of densities on ``support``, of which ``interior`` is a point.

    ``log_density``, ``cdf``, ``sf``, ``logcdf``, ``logsf`` take (y, *parameters), where y = (x - loc) / scale;
    ``ppf`` and ``isf`` give such a y. What is not given follows from what is, where it can. ``located=False``: no loc
    and scale, as in JAX.

    >>> from functrans import lax
    >>> half_line = Continuous("half_line", (), lambda y: lax.neg(y), support=(0.0, math.inf), interior=1.0)
    >>> float(half_line.pdf(-1.0)), float(half_line.logpdf(3.0, scale=2.0)) < -2.1
    (0.0, True)
    """

    def __init__(
        self, name: str, parameters: tuple[str, ...], log_density: Formula, *,
        support: tuple[float, float] = (-math.inf, math.inf), interior: float = 0.0, located: bool = True,
        cdf: Formula | None = None, sf: Formula | None = None, logcdf: Formula | None = None,
        logsf: Formula | None = None, ppf: Formula | None = None, isf: Formula | None = None,
        domain: Formula = _everywhere_positive,
    ) -> None:  # fmt: skip
        super().__init__(name, parameters, {"loc": 0, "scale": 1} if located else {}, domain)
        self.support, self.interior, self.located = support, interior, located
        log_pdf = self._inside(log_density, -math.inf, -math.inf, density=True)
        self.expose("logpdf", "x", log_pdf)
        self.expose("pdf", "x", _exponential(log_pdf))
        if cdf is not None:
            below = self._inside(cdf, 0.0, 1.0)
            above = self._inside(sf, 1.0, 0.0) if sf is not None else _complement(below)
            self.expose("cdf", "x", below)
            self.expose("sf", "x", above)
            self.expose("logcdf", "x", self._inside(logcdf, -math.inf, 0.0) if logcdf else _logarithm(below))
            self.expose("logsf", "x", self._inside(logsf, 0.0, -math.inf) if logsf else _logarithm(above))
        if ppf is not None:
            self.expose("ppf", _first_parameter(ppf), self._quantile(ppf))
            above = isf or (lambda q, *parameters: ppf(1.0 - q, *parameters))
            self.expose("isf", _first_parameter(above), self._quantile(above))

    def _split(self, operands: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...], Any]:
        """(y, the shape parameters, scale or None)"""
        x, *rest = operands
        if not self.located:
            return x, tuple(rest), None
        *parameters, loc, scale = rest
        return (x - loc) / scale, tuple(parameters), scale

    def _inside(self, formula: Formula, below: float, above: float, density: bool = False) -> Formula:
        """The formula on the support, constants on both sides; what it sees there is a point of the support."""
        low, high = self.support

        def function(*operands: Any) -> Any:
            y, parameters, scale = self._split(operands)
            too_low = y < low if low > -math.inf else None
            too_high = y > high if high < math.inf else None
            for outside in (too_low, too_high):
                y = y if outside is None else where(outside, self.interior, y)
            out = formula(y, *parameters)
            if density and scale is not None:
                out = out - lax.log(scale)
            for outside, value in ((too_low, below), (too_high, above)):
                out = out if outside is None else where(outside, value, out)
            return out

        return function

    def _quantile(self, formula: Formula) -> Formula:
        def function(*operands: Any) -> Any:
            q, *rest = operands
            if not self.located:
                return formula(q, *rest)
            *parameters, loc, scale = rest
            return formula(q, *parameters) * scale + loc

        return function


class Discrete(Family):
    """A family of probabilities of whole numbers from ``lowest`` to ``highest(*parameters)``.

    ``log_mass`` is a function of (k - loc, *parameters).
    """

    def __init__(
        self, name: str, parameters: tuple[str, ...], log_mass: Formula, *, lowest: float = 0.0,
        highest: Formula | None = None, domain: Formula = _everywhere_positive,
    ) -> None:  # fmt: skip
        super().__init__(name, parameters, {"loc": 0}, domain)

        def log_pmf(*operands: Any) -> Any:
            k, *inner, loc = operands
            k = k - loc
            outside = (k < lowest) | (k != lax.floor(k)) | (k == math.inf)
            outside = outside if highest is None else outside | (k > highest(*inner))
            return where(outside, -math.inf, log_mass(where(outside, lowest, k), *inner))

        self.expose("logpmf", "k", log_pmf)
        self.expose("pmf", "k", _exponential(log_pmf))

    def with_cdf(self, cdf: Formula, located: bool = True) -> Discrete:
        """This family with the probability of values up to k, a function of (floor(k - loc), *parameters)."""

        def function(*operands: Any) -> Any:
            k, *inner = operands
            if located:
                *inner, loc = inner
                k = k - loc
            return where(k < 0.0, 0.0, cdf(lax.floor(where(k < 0.0, 0.0, k)), *inner))

        self.expose("cdf", "k", function, located)
        return self


def _exponential(formula: Formula) -> Formula:
    return lambda *operands: lax.exp(formula(*operands))


def _logarithm(formula: Formula) -> Formula:
    return lambda *operands: lax.log(formula(*operands))


def _complement(formula: Formula) -> Formula:
    return lambda *operands: 1.0 - formula(*operands)
