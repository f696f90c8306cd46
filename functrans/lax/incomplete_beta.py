"""The regularized incomplete beta function I_x(a, b), and its derivatives of every order by all three arguments.

    I = x^a (1-x)^b / (a B(a, b)) * 1/(1 + d_1/(1 + d_2/(1 + ...              (DLMF 8.17.22)
      = x^a (1-x)^b / (a B(a, b)) * (1 + (a+b)/(a+1) x + ...)                 (DLMF 8.17.8)

The fraction, by the modified algorithm of Lentz (Thompson and Barnett 1986), gives the value. Compiled, each kernel of
its loop and before it costs more than its operations, so that what is alike is stacked. Derivatives by a and b
are those of the series, computed on Taylor polynomials in both. I_x(a, b) = 1 - I_{1-x}(b, a) keeps x where both
converge.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

from functrans.api.loops import while_loop
from functrans.lax.evaluated import Evaluated, constant, epsilon, everywhere, rows, stacked
from functrans.lax.gamma_factors import digamma_below_log, excess_over_log, reciprocal_excess, tempered, tilted_power
from functrans.lax.polygamma_difference import (
    PolygammaDifference,
    log_gamma_quotient,
    positive_difference,
    positive_polygamma,
)
from functrans.ops.arithmetic import abs_
from functrans.ops.elementwise import align, binary
from functrans.ops.functions import exp, expm1, log, log1p
from functrans.ops.logic import gt, lt, select
from functrans.ops.reductions import reduce_or
from functrans.ops.slicing import slice_in_dim
from functrans.ops.special import polygamma, scipy_reference
from functrans.trace.binding import bind

_MOST_STEPS = {4: 100.0, 8: 300.0}  # pairs of levels of the fraction, by the size of the dtype in bytes
_MOST_TERMS = 20000.0
_TERMS_BELOW_ONE = {4: 16, 8: 25}
_SMALL = 0.25

Grid = dict[tuple[int, int], Any]  # coefficients of the powers of (a - a_0, b - b_0)


def _any(flags: Any) -> Any:
    return reduce_or(flags, tuple(range(flags.ndim)))


def _fraction(a: Any, b: Any, x: Any, moved: Any) -> Any:
    """1 + d_1/(1 + d_2/(1 + ..., contracted: of its levels every second one is left (Didonato and Morris 1992).

    The digits of an x near 1 are in ``moved``, which is b x - a (1 - x). What Lentz's algorithm divides, quotients of
    successive numerators and of successive denominators, has one recurrence: they are the rows of one array.
    """
    eps = epsilon(x)

    def body(carry: Any) -> Any:
        running, n, terms, value = carry
        share = n * (b - n) * x / (a + 2.0 * n - 1.0)
        numerator = share * x * ((a + n - 1.0) * (a + b + n - 1.0) / (a + 2.0 * n - 1.0))
        denominator = n + share + (a + n) * (2.0 * n + 1.0 - n * x - moved) / (a + 2.0 * n + 1.0)
        terms = stacked(denominator, denominator) + stacked(numerator, numerator) / terms
        terms = select(terms == 0.0, everywhere(eps / 2, terms), terms)
        above, below = rows(terms)
        change = above / below
        return running & gt(abs_(change - 1.0), eps), n + 1.0, terms, select(running, value * change, value)

    start = (1.0 - moved) / (a + 1.0)
    limit = constant(_MOST_STEPS[x.dtype.itemsize], x)
    first = (x == x, constant(1.0, x), stacked(a * start, everywhere(math.inf, x)), start)
    return while_loop(lambda carry: _any(carry[0]) & lt(carry[1], limit), body, first)[-1]


def _series(a: Any, b: Any, x: Any, by_a: Any, first_term: Grid, enabled: Any) -> Grid:
    """2F1(a + b, 1; a + 1; x), its first term this Taylor polynomial, as another: where ``by_a``, the variable of the
    first powers is a and that of the second ones b; elsewhere they have changed places.

    With that of the factor before the series, the terms of its derivatives hardly cancel: those by b have one sign, and
    those by a too, unless a is small.
    """
    eps = epsilon(x)
    places = list(first_term)

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
            if i or j:
                product = product - select(by_a, new[i - 1, j] if i else 0.0, new[i, j - 1] if j else 0.0)
            new[i, j] = product / below
        grown = [s + new[k] for s, k in zip(totals, places, strict=True)]
        # below + n times the change is left out when terms fall no faster than a geometric series in x
        unfinished = functools.reduce(
            lambda p, q: p | q,
            [gt(abs_(new[k]), (1.0 - x) * abs_(s) * eps) & (s != 0.0) for s, k in zip(grown, places, strict=True)],
        )
        unfinished = unfinished | lt(n, float(sum(places[-1])))  # coefficients of high order start at zero
        terms = [select(running, new[k], t) for k, t in zip(places, terms, strict=True)]
        totals = [select(running, s, t) for s, t in zip(grown, totals, strict=True)]
        return running & unfinished, n + 1.0, terms, totals

    start = [first_term[k] + everywhere(0.0, x) for k in places]
    first = (enabled, constant(0.0, x), start, start)
    limit = constant(_MOST_TERMS, x)
    totals = while_loop(lambda carry: _any(carry[0]) & lt(carry[1], limit), body, first)[3]
    return dict(zip(places, totals, strict=True))


def _growth(a: Any, b: Any, most: tuple[int, int], logarithm: Callable[[int, int], Any], by_b: Any = None) -> Grid:
    """The weight x^a (1-x)^b Gamma(n) / (Gamma(a+1) Gamma(b)), n = a + b, as a Taylor polynomial, over its value.

    The powers of a and b go up to ``most``. Of x^a (1-x)^b Gamma(n+1) / (Gamma(a+1) Gamma(b+1)), whose logarithm has
    the derivatives ``logarithm``, times b / n; where ``by_b`` is given and false, times a / n; where it is not given,
    times a b / n. Near 0 the derivatives of the gamma functions of a, b and n would cancel.
    """
    places = [(i, j) for i in range(most[0] + 1) for j in range(most[1] + 1)]
    slopes: Grid = {(i, j): logarithm(i, j) / float(math.factorial(i) * math.factorial(j)) for i, j in places[1:]}
    grown: Grid = {(0, 0): 1.0}
    for i, j in places:
        if i:  # i e_ij = sum of p l_pq e_(i-p)(j-q)
            terms = [
                float(p) * slopes[p, q] * grown[i - p, j - q]
                for p in range(1, i + 1) for q in range(j + 1)
            ]  # fmt: skip
        elif j:
            terms = [float(q) * slopes[0, q] * grown[0, j - q] for q in range(1, j + 1)]
        else:
            continue
        grown[i, j] = functools.reduce(lambda s, t: s + t, terms) / float(i or j)
    share: Grid = {(0, 0): 1.0}  # of b / n or a / n
    inverse = -1.0 / (a + b)
    for i, j in places[1:]:
        m, power = i + j, inverse
        for _ in range(m - 1):
            power = power * inverse
        p, q = float(math.comb(m - 1, i - 1) if i else 0), float(math.comb(m - 1, i))
        of_b, of_a = power * (p - q * (a / b)), power * (q - p * (b / a))
        share[i, j] = of_b if by_b is None else select(by_b, of_b, of_a)
    out = _product(grown, share, places)
    return _product(out, {(0, 0): 1.0, (1, 0): 1.0 / a}, places) if by_b is None else out


def _product(first: Grid, second: Grid, places: list[tuple[int, int]]) -> Grid:
    return {
        (i, j): functools.reduce(
            lambda s, t: s + t, [first[i - p, j - q] * c for (p, q), c in second.items() if p <= i and q <= j]
        )
        for i, j in places
    }


def _slope(a: Any, b: Any, x: Any, y: Any) -> Any:
    """log(x) + digamma(a+b+1) - digamma(a+1), where y = 1 - x: small where x is near a / (a + b)."""
    n, below = a + b + 1.0, a + 1.0
    w = (b * x - a * y - y) / below
    near = gt(w, -0.3) & lt(w, 0.4)
    far = log(select(near, 1.0, n * x / below))
    large = select(near, excess_over_log(select(near, w, everywhere(0.0, x)))[1], far)
    large = large + (digamma_below_log(below) - digamma_below_log(n))
    wide = lt(x, 0.55)
    small = select(wide, log(select(wide, x, 1.0)), excess_over_log(-select(wide, everywhere(0.0, x), y))[1])
    small = small + positive_difference(0, below, b)
    return select(lt(b, 1.0), small, large)


def _prefactor(a: Any, b: Any, x: Any, y: Any, lowered: tuple[int, int] = (0, 0)) -> Any:
    """x^(a-i) y^(b-j) Gamma(a+b+1) / (Gamma(a+1) Gamma(b+1)), where y = 1 - x and i, j are ``lowered``.

    As Loader has the binomial distribution: see functrans.lax.gamma_factors.
    """
    n, moved = a + b, b * x - a * y
    parameters = stacked(a, b, n)
    both = slice_in_dim(parameters, 0, 2)
    of_a, of_b, of_n = rows(tempered(parameters))
    ratio, excess = stacked(n * x, n * y) / both, stacked(moved, -moved) / both
    by = stacked(*[everywhere(float(i), x) for i in lowered]) if any(lowered) else 0.0
    powers, divisors = tilted_power(both, ratio, excess, by)
    result = of_a * of_b / of_n
    for z, power, divisor, times in zip((a, b), rows(powers), rows(divisors), lowered, strict=True):
        result = result * power
        for _ in range(times):
            result = result * (n / z) / divisor
    return result


class BetaDensity(Evaluated):
    """x^(a-1-i) (1-x)^(b-1-j) / B(a, b), i and j of ``lowered``: of the beta distribution, and of its derivatives."""

    lowered: tuple[int, int]

    def define(self, *operands: Any) -> Any:
        a, b, x = operands
        outside = lt(x, 0.0) | gt(x, 1.0) | ~gt(a, 0.0) | ~gt(b, 0.0) | (x != x)
        a, b, x = [select(outside, everywhere(0.5, x), v) for v in operands]
        i, j = self.lowered
        result = a * (b / (a + b)) * _prefactor(a, b, x, 1.0 - x, (1 + i, 1 + j))
        return select(outside, everywhere(math.nan, x), result)

    def partial(self, i: int, out: Any, a: Any, b: Any, x: Any) -> Any:
        if i < 2:
            this, other = (a, b) if i == 0 else (b, a)
            return out * (bind(BetaWeightSlope(i), a, b, x) + other / (this * (a + b)))
        total: Any = None
        for k, (z, sign) in enumerate(((a, 1.0), (b, -1.0))):
            lowered = (self.lowered[0] + (k == 0), self.lowered[1] + (k == 1))
            power = z - float(1 + self.lowered[k])
            lower = sign * power * bind(BetaDensity(lowered), a, b, x)
            term = select(power == 0.0, everywhere(0.0, x), lower)  # 0 times the infinity at an end
            total = term if total is None else total + term
        return total


class BetaWeightSlope(Evaluated):
    """The derivative of log(x^a (1-x)^b Gamma(a+b+1) / (Gamma(a+1) Gamma(b+1))) by a or b, the operand ``by``."""

    by: int

    def define(self, *operands: Any) -> Any:
        a, b, x = operands
        return _slope(a, b, x, 1.0 - x) if self.by == 0 else _slope(b, a, 1.0 - x, x)

    def partial(self, i: int, out: Any, a: Any, b: Any, x: Any) -> Any:
        if i == 2:
            return 1.0 / x if self.by == 0 else -1.0 / (1.0 - x)
        if i != self.by:
            return polygamma(1.0, a + b + 1.0)
        return binary(PolygammaDifference(1), (a if i == 0 else b) + 1.0, b if i == 0 else a)


def _below_one(a: Any, b: Any, x: Any) -> Any:
    """1 - I_x(a, b) for a < 1, x < 0.1 and b x < 2: by the series of (1-t)^(b-1) in the integral (DLMF 8.17.7)."""
    total = everywhere(0.0, x)
    for n in range(_TERMS_BELOW_ONE[x.dtype.itemsize], 0, -1):
        total = (1.0 / (a + float(n)) + total) * ((1.0 - b / float(n)) * x)
    exponent = log_gamma_quotient(b, a, x) + log1p(a * reciprocal_excess(a))
    return -expm1(exponent) - exp(exponent) * a * total


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
        weight, moved = _prefactor(a, b, x, 1.0 - x) / (a + b), b * x - a * (1.0 - x)
        direct = lt(x * (a + b + 2.0), a + 1.0)

        def sided(direct: Any) -> tuple[Any, Any, Any, Any]:
            u, v = select(direct, a, b), select(direct, b, a)
            return u, v, select(direct, x, 1.0 - x), weight * v

        u, _, y, first = sided(direct)
        near_one = lt(u, 1.0) & gt(first * (1.0 + (a + b) / (u + 1.0) * y), 0.3)  # of the value at least a half
        turned = near_one & gt(y, 0.1)  # the fraction of what is left of 1 converges there
        direct = direct ^ turned
        u, v, y, first = sided(direct)
        part = first / _fraction(u, v, y, select(direct, moved, -moved))
        other = select(near_one & ~turned, _below_one(u, v, y), 1.0 - part)
        result = select(direct, select(gt(part, 0.5), 1.0 - other, part), other)
        result = select(zero, everywhere(0.0, x), select(one, everywhere(1.0, x), result))
        return select(invalid, everywhere(math.nan, x), result)

    def partial(self, i: int, out: Any, a: Any, b: Any, x: Any) -> Any:
        if i == 2:
            return bind(BETA_DENSITY, a, b, x)
        return bind(RegularizedIncompleteBetaGrad(1 - i, i), a, b, x)


class RegularizedIncompleteBetaGrad(Evaluated):
    """The derivative of I_x(a, b) of order ``by_a`` by a and ``by_b`` by b."""

    by_a: int
    by_b: int

    def define(self, *operands: Any) -> Any:
        a, b, x = operands
        i, j = self.by_a, self.by_b
        invalid, zero, one = _edges(a, b, x)
        direct = lt(x, (a + 1.0) / (a + b + 2.0))
        # The derivative by a of I is a small multiple of b, that by b of 1 - I one of a: by their series, if not long.
        if not j:
            direct = direct | (lt(b, _SMALL) & lt(x, 0.9))
        if not i:
            direct = direct & ~(lt(a, _SMALL) & gt(x, 0.1))
        u, v = select(direct, a, b), select(direct, b, a)
        y = select(direct, x, 1.0 - x)
        z = select(direct, 1.0 - x, x)

        def logarithm(m: int, n: int) -> Any:
            if m + n == 1:
                return _slope(a, b, x, 1.0 - x) if m else _slope(b, a, 1.0 - x, x)
            if m and n:
                return positive_polygamma(m + n - 1, a + b + 1.0)
            return positive_difference(m + n - 1, (a if m else b) + 1.0, b if m else a)

        growth = _growth(a, b, (i, j), logarithm, direct)
        coefficient = _series(u, v, y, direct, growth, ~(invalid | zero | one))[i, j]
        factor = v / (u + v) * _prefactor(u, v, y, z) * float(math.factorial(i) * math.factorial(j))
        result = factor * select(direct, coefficient, -coefficient)
        result = select(zero | one, everywhere(0.0, x), result)
        return select(invalid, everywhere(math.nan, x), result)

    def partial(self, i: int, out: Any, a: Any, b: Any, x: Any) -> Any:
        if i == 2:

            def logarithm(m: int, n: int) -> Any:
                if m + n == 1:
                    return bind(BetaWeightSlope(n), a, b, x)
                if m and n:
                    return polygamma(float(m + n - 1), a + b + 1.0)
                return binary(PolygammaDifference(m + n - 1), (a if m else b) + 1.0, b if m else a)

            growth = _growth(a, b, (self.by_a, self.by_b), logarithm)[self.by_a, self.by_b]
            scale = float(math.factorial(self.by_a) * math.factorial(self.by_b))
            return bind(BETA_DENSITY, a, b, x) * growth * scale
        return bind(RegularizedIncompleteBetaGrad(self.by_a + (i == 0), self.by_b + (i == 1)), a, b, x)


REGULARIZED_INCOMPLETE_BETA, BETA_DENSITY = RegularizedIncompleteBeta(), BetaDensity((0, 0))


def betainc(a: Any, b: Any, x: Any) -> Any:
    """The regularized incomplete beta function I_x(a, b); operands of one floating dtype, with axes of one size or 1.

    Its derivatives by a and b are exact, too, where JAX has none.

    >>> from functrans import lax
    >>> round(float(lax.betainc(2.0, 3.0, 0.5)), 4)
    0.6875
    """
    return bind(REGULARIZED_INCOMPLETE_BETA, *align(REGULARIZED_INCOMPLETE_BETA, a, b, x, ones=True))
