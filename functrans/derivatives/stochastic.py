"""Unbiased estimates of differential operators in high dimension: a few random lines in the place of all of them.

Their cost is that of ``count`` lines of the collapsed Taylor mode, whatever the number of variables. A key gives one
draw: fold the number of the step into it for another, and map over keys for one of its own for each point.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from functrans import numpy as fnp
from functrans import random
from functrans.api.arguments import check_callable
from functrans.api.staging import api_boundary
from functrans.derivatives.operators import Part, Terms, lines_of, of_size, operator_on, terms_by_order
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import describe
from functrans.random.keys import default_float, typed_key
from functrans.trace.frames import here


@api_boundary
def estimated_laplacian(
    fun: Callable[..., Any], key: Any, count: int, kind: str = "rademacher"
) -> Callable[..., Any]:
    """An unbiased estimate of the Laplacian of ``fun`` from second derivatives along ``count`` random lines.

    Args:
      fun: a function with a floating scalar result ``[]`` whose first argument is a pytree of real arrays, n elements.
      key: a random key ``[]``, which decides on the lines.
      count: how many lines.
      kind: ``"rademacher"``: directions of elements 1 and -1, exact where the Hessian is diagonal; its variance comes
        from the other elements: ``2 (|H|^2 - |diag H|^2) / count``. ``"gaussian"``: normal ones, ``2 |H|^2 / count``.
        ``"coordinates"``: axes, drawn without replacement, exact where the diagonal is constant or count is n or more.

    Returns:
      A function of the same arguments; its result is a scalar ``[]``.

    Raises:
      TypeError: the key is none, the count no whole number, and as for ``laplacian``. ValueError: another kind, or a
        count below 1.

    Sources: Hutchinson, "A stochastic estimator of the trace of the influence matrix for Laplacian smoothing splines",
    Communications in Statistics 18, 1989; Hu, Shi, Karniadakis and Kawaguchi, "Stochastic Taylor Derivative Estimator",
    NeurIPS 2024.

    >>> import numpy as np
    >>> from functrans import random
    >>> from functrans.derivatives import estimated_laplacian
    >>> f = lambda x: (x**3).sum()
    >>> float(estimated_laplacian(f, random.key(0), 2)(np.arange(5, dtype=np.float32)))  # diagonal: 6 sum x
    60.0
    """
    name = "estimated_laplacian"
    check_callable(fun, name)
    typed, _ = typed_key(name, key)
    _check_count(count, name)
    if kind not in ("rademacher", "gaussian", "coordinates"):
        raise FunctransValueError(
            f"{name}: the kind must be 'rademacher', 'gaussian' or 'coordinates', got {kind!r} at {here()}"
        )

    def parts(n: int) -> list[Part]:
        if kind == "coordinates":
            if count >= n:
                return [Part(2, np.eye(n), None)]
            places, factors = _drawn(typed, np.ones(n), count)
            axes = fnp.equal(fnp.expand_dims(places, 1), np.arange(n))
            return [Part(2, axes.astype(default_float()), factors)]
        sampler = random.rademacher if kind == "rademacher" else random.normal
        return [Part(2, sampler(typed, (count, n), default_float()), np.full(count, 1 / count))]

    return operator_on(fun, name, parts)


@api_boundary
def estimated_operator(coefficients: Mapping[Sequence[int], float], key: Any, count: int) -> Callable[..., Any]:
    """An unbiased estimate of a linear differential operator from ``count`` of its terms of each order.

    Terms are drawn without replacement, with probabilities in proportion to their coefficients as far as these do not
    exceed 1 (systematic sampling of the terms in random order), and each is divided by its own. All terms of orders 0
    and 1 are taken: they are one line together.

    Args:
      coefficients: as for ``differential_operator``.
      key: a random key ``[]``.
      count: how many terms of each order; where there are no more, their part is exact.

    Returns:
      The operator: it takes a function, as ``laplacian`` does, and returns one.

    Raises:
      TypeError, ValueError: as for ``differential_operator`` and ``estimated_laplacian``.

    Sources: Hu, Shi, Karniadakis and Kawaguchi, "Stochastic Taylor Derivative Estimator", NeurIPS 2024; Madow, "On the
    theory of systematic sampling, II", Annals of Mathematical Statistics 20, 1949.

    >>> import numpy as np
    >>> from functrans import random
    >>> from functrans.derivatives import estimated_operator
    >>> heat = {(1, 0, 0, 0, 0): 1.0, **{(0, *2 * row): -0.5 for row in np.eye(4, dtype=int)}}  # d/dt - Laplacian / 2
    >>> f = lambda x: x[0] ** 3 + (x[1:] ** 2).sum()
    >>> float(estimated_operator(heat, random.key(0), 2)(f)(np.ones(5, np.float32)))  # exact: four terms are alike
    -1.0
    """
    name = "estimated_operator"
    typed, _ = typed_key(name, key)
    _check_count(count, name)
    terms, size = terms_by_order(coefficients, name, numbers_only=True)

    def parts() -> list[Part]:
        found = []
        for order, own in terms.items():
            if order < 2 or count >= np.count_nonzero(list(own.values())):
                found.append(lines_of(order, own, size))
            else:
                found.append(_drawn_lines(random.fold_in(typed, order), order, own, size, count))
        return found

    @api_boundary
    def operator(fun: Callable[..., Any]) -> Callable[..., Any]:
        return operator_on(fun, name, lambda n: of_size(parts(), size, n, name))

    return operator


def _drawn_lines(key: Any, order: int, terms: Terms, size: int, count: int) -> Part:
    """The lines of some of the terms: as many for each, some of weight 0."""
    rows = [lines_of(order, {exponents: c}, size) for exponents, c in terms.items()]
    most = max(len(row.weights) for row in rows)
    directions, weights = np.zeros((len(rows), most, size)), np.zeros((len(rows), most))
    for i, row in enumerate(rows):
        directions[i, : len(row.weights)], weights[i, : len(row.weights)] = row.directions, row.weights
    places, factors = _drawn(key, np.array(list(terms.values())), count)
    own = fnp.take(weights, places, 0) * fnp.expand_dims(factors, 1)
    return Part(
        order, fnp.reshape(fnp.take(directions, places, 0), (count * most, size)), fnp.reshape(own, (count * most,))
    )


def _drawn(key: Any, sizes: np.ndarray[Any, Any], count: int) -> tuple[Any, Any]:
    """Some of them, fewer than are not 0, without replacement, and 1 / the probability of each to be drawn, which is in
    proportion to its size where that does not exceed 1.

    Of the permuted intervals, as long as the probabilities, those are drawn in which a point of u, u + 1, ... lies.
    """
    sizes = np.abs(sizes)
    certain = np.zeros(len(sizes), bool)
    while True:
        chances = (count - certain.sum()) * sizes / sizes[~certain].sum()
        more = ~certain & (chances >= 1)
        if not more.any():
            break
        certain |= more
    others = np.flatnonzero(~certain & (sizes > 0))
    first, second = random.split(key)
    order = random.permutation(first, others)
    left = count - int(certain.sum())
    ends = fnp.cumsum(fnp.take(np.asarray(chances, default_float()), order))
    points = random.uniform(second, (), default_float()) + np.arange(left)
    found = fnp.take(order, fnp.minimum(fnp.searchsorted(ends, points, side="right"), len(others) - 1))
    places = fnp.concatenate([np.flatnonzero(certain), found])
    return places, 1 / fnp.take(np.where(certain, 1.0, chances), places)


def _check_count(count: Any, name: str) -> None:
    if isinstance(count, bool) or not hasattr(count, "__index__"):
        raise FunctransTypeError(f"{name}: the count must be a whole number, got {describe(count)} at {here()}")
    if count < 1:
        raise FunctransValueError(f"{name}: the count must be 1 or more, got {count} at {here()}")
