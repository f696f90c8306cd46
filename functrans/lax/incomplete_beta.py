"""The regularized incomplete beta function I_x(a, b), and its derivatives of every order by all three arguments.

    I = x^a (1-x)^b / (a B(a, b)) * 1/(1 + d_1/(1 + d_2/(1 + ...              (DLMF 8.17.22)
      = x^a (1-x)^b / (a B(a, b)) * (1 + (a+b)/(a+1) x + ...)                 (DLMF 8.17.8)

The fraction, by the modified algorithm of Lentz (Thompson and Barnett 1986), gives the value. Derivatives by a and b
are those of the series, computed on Taylor polynomials in both. I_x(a, b) = 1 - I_{1-x}(b, a) keeps x where both
converge.
"""

from __future__ import annotations

import functools
import math
from typing import Any

from functrans.api.loops import while_loop
from functrans.lax.taylor import Evaluated, constant, epsilon, everywhere
from functrans.ops.arithmetic import abs_
from functrans.ops.elementwise import align
from functrans.ops.functions import exp, log, log1p
from functrans.ops.logic import gt, lt, select
from functrans.ops.reductions import reduce_or
from functrans.ops.special import digamma, lgamma, polygamma, scipy_reference
from functrans.trace.binding import bind

_MOST_STEPS = {4: 100.0, 8: 300.0}  # pairs of levels of the fraction, by the size of the dtype in bytes
_MOST_TERMS = 20000.0

Grid = dict[tuple[int, int], Any]  # coefficients of the powers of (a - a_0, b - b_0)


def _any(flags: Any) -> Any:
    return reduce_or(flags, tuple(range(flags.ndim)))


def _nonzero(x: Any, eps: float) -> Any:
    return select(lt(abs_(x), eps / 2), everywhere(eps / 2, x), x)


def _fraction(a: Any, b: Any, x: Any) -> Any:
    eps = epsilon(x)

    def level(c: Any, d: Any, numerator: Any) -> tuple[Any, Any]:
        return _nonzero(1.0 + numerator / c, eps), 1.0 / _nonzero(1.0 + numerator * d, eps)

    def body(carry: Any) -> Any:
        running, m, c, d, value = carry
        new_c, new_d = level(c, d, m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m)))
        new = value * new_c * new_d
        new_c, new_d = level(new_c, new_d, -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0)))
        change = new_c * new_d
        kept = [select(running, n, o) for n, o in ((new_c, c), (new_d, d), (new * change, value))]
        return running & ~lt(abs_(change - 1.0), eps), m + 1.0, *kept

    d = 1.0 / _nonzero(1.0 - (a + b) * x / (a + 1.0), eps)
    limit = constant(_MOST_STEPS[x.dtype.itemsize], x)
    first = ((a == a) & (b == b) & (x == x), constant(1.0, x), everywhere(1.0, x), d, d)
    return while_loop(lambda carry: _any(carry[0]) & lt(carry[1], limit), body, first)[-1]


def _series(a: Any, b: Any, x: Any, order: int, enabled: Any) -> Grid:
    """2F1(a + b, 1; a + 1; x) as a Taylor polynomial in a and b."""
    eps = epsilon(x)
    places = [(i, j) for i in range(order + 1) for j in range(order + 1)]

    def body(carry: Any) -> Any:
        running, n, terms, totals = carry
        term = dict(zip(places, terms, strict=True))
        above, below = a + b + n, a + 1.0 + n
        new: Grid = {}
        for i, j in places:  # term * (above + da + db) * x / (below + da)
            product = term[i, j] * above
            if i:
                product = product + term[i - 1, j]
            if j:
                product = product + term[i, j - 1]
            product = product * x
            new[i, j] = (product - new[i - 1, j] if i else product) / below
        grown = [s + new[k] for s, k in zip(totals, places, strict=True)]
        # below + n times the change is left out when terms fall no faster than a geometric series in x
        unfinished = functools.reduce(
            lambda p, q: p | q,
            [gt(abs_(new[k]), (1.0 - x) * abs_(s) * eps) & (s != 0.0) for s, k in zip(grown, places, strict=True)],
        )
        unfinished = unfinished | lt(n, float(2 * order))  # coefficients of high order start at zero
        terms = [select(running, new[k], t) for k, t in zip(places, terms, strict=True)]
        totals = [select(running, s, t) for s, t in zip(grown, totals, strict=True)]
        return running & unfinished, n + 1.0, terms, totals

    start = [everywhere(1.0 if k == (0, 0) else 0.0, x) for k in places]
    first = (enabled, constant(0.0, x), start, start)
    limit = constant(_MOST_TERMS, x)
    totals = while_loop(lambda carry: _any(carry[0]) & lt(carry[1], limit), body, first)[3]
    return dict(zip(places, totals, strict=True))


def _growth(a: Any, b: Any, x: Any, shift: float, order: int) -> Grid:
    """x^a (1-x)^b Gamma(a+b) / (Gamma(a+shift) Gamma(b)), divided by its value, as a Taylor polynomial in a and b."""

    def psi(m: int, z: Any) -> Any:
        return digamma(z) if m == 0 else polygamma(float(m), z)

    logarithm: Grid = {}
    for i in range(order + 1):
        for j in range(order + 1):
            if i + j == 0:
                continue
            slope = psi(i + j - 1, a + b)
            if j == 0:
                slope = slope - psi(i - 1, a + shift)
            if i == 0:
                slope = slope - psi(j - 1, b)
            if (i, j) == (1, 0):
                slope = slope + log(x)
            if (i, j) == (0, 1):
                slope = slope + log1p(-x)
            logarithm[i, j] = slope / float(math.factorial(i) * math.factorial(j))
    out: Grid = {(0, 0): 1.0}
    for i in range(order + 1):
        for j in range(order + 1):
            if i:  # i e_ij = sum of p l_pq e_(i-p)(j-q)
                terms = [
                    p * logarithm[p, q] * out[i - p, j - q] for p in range(1, i + 1) for q in range(j + 1)
                ]
            elif j:
                terms = [q * logarithm[0, q] * out[0, j - q] for q in range(1, j + 1)]
            else:
                continue
            out[i, j] = functools.reduce(lambda s, t: s + t, terms) / float(i or j)
    return out


def _log_beta(a: Any, b: Any) -> Any:
    return lgamma(a) + lgamma(b) - lgamma(a + b)


def _density(a: Any, b: Any, x: Any) -> Any:
    return exp((b - 1.0) * log1p(-x) + (a - 1.0) * log(x) - _log_beta(a, b))


def _edges(a: Any, b: Any, x: Any) -> tuple[Any, Any, Any]:
    """Where the function is undefined, 0 and 1."""
    left = (a == 0.0) | (b == math.inf)  # all mass at 0
    right = (b == 0.0) | (a == math.inf)
    invalid = lt(a, 0.0) | lt(b, 0.0) | lt(x, 0.0) | gt(x, 1.0) | (left & right) | (a != a) | (b != b) | (x != x)
    zero = (right & (x != 1.0)) | (x == 0.0)
    one = (left & (x != 0.0)) | (x == 1.0)
    return invalid, zero, one


class RegularizedIncompleteBeta(Evaluated):
    """I_x(a, b)"""

    impl = scipy_reference("betainc")

    def define(self, *operands: Any) -> Any:
        a, b, x = operands
        invalid, zero, one = _edges(a, b, x)
        direct = lt(x, (a + 1.0) / (a + b + 2.0))
        u, v = select(direct, a, b), select(direct, b, a)
        y = select(direct, x, 1.0 - x)
        logarithm = select(direct, log(x), log1p(-x)) * u + select(direct, log1p(-x), log(x)) * v
        part = _fraction(u, v, y) * exp(logarithm - (lgamma(u + 1.0) + lgamma(v) - lgamma(u + v)))
        result = select(direct, part, 1.0 - part)
        result = select(zero, everywhere(0.0, x), select(one, everywhere(1.0, x), result))
        return select(invalid, everywhere(math.nan, x), result)

    def partial(self, i: int, out: Any, a: Any, b: Any, x: Any) -> Any:
        if i == 2:
            return _density(a, b, x)
        return bind(RegularizedIncompleteBetaGrad(1 - i, i), a, b, x)


class RegularizedIncompleteBetaGrad(Evaluated):
    """The derivative of I_x(a, b) of order ``by_a`` by a and ``by_b`` by b."""

    by_a: int
    by_b: int

    def define(self, *operands: Any) -> Any:
        a, b, x = operands
        i, j, order = self.by_a, self.by_b, max(self.by_a, self.by_b)
        invalid, zero, one = _edges(a, b, x)
        direct = lt(x, (a + 1.0) / (a + b + 2.0))
        u, v = select(direct, a, b), select(direct, b, a)
        y = select(direct, x, 1.0 - x)
        series = _series(u, v, y, order, ~(invalid | zero | one))
        growth = _growth(u, v, y, 1.0, order)

        def coefficient(k: int, l: int) -> Any:
            terms = [growth[k - p, l - q] * series[p, q] for p in range(k + 1) for q in range(l + 1)]
            return functools.reduce(lambda s, t: s + t, terms)

        factor = exp(u * log(y) + v * log1p(-y) - (lgamma(u + 1.0) + lgamma(v) - lgamma(u + v)))
        factor = factor * float(math.factorial(i) * math.factorial(j))
        result = factor * select(direct, coefficient(i, j), -coefficient(j, i))
        result = select(zero | one, everywhere(0.0, x), result)
        return select(invalid, everywhere(math.nan, x), result)

    def partial(self, i: int, out: Any, a: Any, b: Any, x: Any) -> Any:
        if i == 2:
            growth = _growth(a, b, x, 0.0, max(self.by_a, self.by_b))[self.by_a, self.by_b]
            scale = float(math.factorial(self.by_a) * math.factorial(self.by_b))
            return _density(a, b, x) * growth * scale
        return bind(RegularizedIncompleteBetaGrad(self.by_a + (i == 0), self.by_b + (i == 1)), a, b, x)


REGULARIZED_INCOMPLETE_BETA = RegularizedIncompleteBeta()


def betainc(a: Any, b: Any, x: Any) -> Any:
    """The regularized incomplete beta function I_x(a, b); operands of one floating dtype and shape, or scalars.

    Its derivatives by a and b are exact, too, where JAX has none.

    >>> from functrans import lax
    >>> round(float(lax.betainc(2.0, 3.0, 0.5)), 4)
    0.6875
    """
    return bind(REGULARIZED_INCOMPLETE_BETA, *align(REGULARIZED_INCOMPLETE_BETA, a, b, x))
