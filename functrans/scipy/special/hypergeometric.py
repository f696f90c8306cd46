"""The hypergeometric functions 1F1 and 2F1, differentiable by every argument.

    M(a, b, x)    = sum of (a)_k / (b)_k x^k / k!  =  e^x M(b - a, b, -x)                                (DLMF 13.2.39)
    F(a, b; c; x) = sum of (a)_k (b)_k / (c)_k x^k / k!  =  (1 - x)^-a F(a, c - b; c; x / (x - 1))       (DLMF 15.8.1)

The second forms are taken for x < 0: of positive parameters, the terms have one sign then. Beyond 0.9, F is continued
to x by the Taylor series of its differential equation about points that halve the distance to 1, which asks nothing of
the parameters. All is done on Taylor polynomials in the parameters, so that derivatives by them are coefficients.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any

from functrans import lax
from functrans.lax.evaluated import Evaluated, epsilon, everywhere
from functrans.numpy.selection import where
from functrans.scipy.special.arguments import Array, ArrayLike, strong_operands
from functrans.scipy.special.complex_gamma import RGAMMA
from functrans.scipy.special.gamma_functions import GAMMA
from functrans.scipy.special.quadrature import is_double
from functrans.trace.binding import bind

Jet = list[Any]  # coefficients of a polynomial in the moves of the parameters, in the order of Jets.powers
_MOST_TERMS = 20000.0
_RIM = 0.9  # up to here 2F1 is its own series: from less far off the second solution, x^(1 - c), would be amplified


class Linear:
    """value + slopes . moves"""

    def __init__(self, value: Any, slopes: Sequence[Any]) -> None:
        self.value, self.slopes = value, tuple(slopes)

    def __add__(self, number: Any) -> Linear:
        return Linear(self.value + number, self.slopes)

    def minus(self, other: Linear) -> Linear:
        return Linear(self.value - other.value, [s - t for s, t in zip(self.slopes, other.slopes, strict=True)])

    def chosen(self, which: Any, other: Linear) -> Linear:
        """This where the condition holds, else the other."""
        slopes = [s if s is t else where(which, s, t) for s, t in zip(self.slopes, other.slopes, strict=True)]
        return Linear(where(which, self.value, other.value), slopes)


class Jets:
    """Arithmetic of polynomials in as many moves, up to these powers."""

    def __init__(self, orders: tuple[int, ...]) -> None:
        self.powers = list(itertools.product(*[range(n + 1) for n in orders]))
        self._place = {p: i for i, p in enumerate(self.powers)}

    def constant(self, x: Any) -> Jet:
        return [x, *[0.0 * x for _ in self.powers[1:]]]

    def _below(self, power: tuple[int, ...]) -> list[tuple[int, int]]:
        """(which move, the place of the power with one less of it)"""
        out = []
        for d, n in enumerate(power):
            if n:
                out.append((d, self._place[(*power[:d], n - 1, *power[d + 1 :])]))
        return out

    def times(self, x: Jet, factor: Linear) -> Jet:
        out = []
        for i, power in enumerate(self.powers):
            total = x[i] * factor.value
            for d, j in self._below(power):
                total = total + x[j] * factor.slopes[d]
            out.append(total)
        return out

    def over(self, x: Jet, divisor: Linear) -> Jet:
        out: Jet = []
        safe = where(divisor.value == 0.0, 1.0, divisor.value)  # of a sum that has ended
        for i, power in enumerate(self.powers):
            total = x[i]
            for d, j in self._below(power):
                total = total - out[j] * divisor.slopes[d]
            out.append(total / safe)
        return out

    def times_exponential(self, x: Jet, rate: Any, move: int) -> Jet:
        """x times exp(rate * that move)."""
        out = []
        for power in self.powers:
            total: Any = 0.0
            for m in range(power[move] + 1):
                lower = (*power[:move], power[move] - m, *power[move + 1 :])
                factor: Any = 1.0 / math.factorial(m)
                for _ in range(m):
                    factor = factor * rate
                total = total + x[self._place[lower]] * factor
            out.append(total)
        return out


def _combine(first: Jet, second: Jet) -> Jet:
    return [p + q for p, q in zip(first, second, strict=True)]


def _scaled(x: Jet, factor: Any) -> Jet:
    return [p * factor for p in x]


def _any(flags: Any) -> Any:
    return lax.reduce_or(flags, tuple(range(flags.ndim)))


def _as(k: Any, x: Any) -> Any:
    return lax.broadcast_in_dim(k, x.shape, ())


def _number(value: float, like: Any) -> Any:
    return lax.convert_element_type(value, like.dtype)


def _series(
    jets: Jets, above: Sequence[Linear], below: Linear, z: Any, first: Any, enabled: Any
) -> tuple[Jet, Jet, Any]:
    """The sum of first (above)_k / (below)_k z^k / k!, that of k times its terms, and whether it ended."""
    size, limit = len(jets.powers), 0.25 * epsilon(z)

    def unfinished(carry: Any) -> Any:
        return _any(carry[1]) & lax.lt(carry[0], _MOST_TERMS)

    def step(carry: Any) -> Any:
        count, active, *flat = carry
        k = _as(count, z)
        term, total, slope = flat[:size], flat[size : 2 * size], flat[2 * size :]
        new = functools.reduce(lambda t, p: jets.times(t, p + k), above, term)
        new = _scaled(jets.over(new, below + k), z / (k + 1.0))
        total_new = _combine(total, new)
        slope_new = _combine(slope, _scaled(new, k + 1.0))
        ratio = functools.reduce(lambda r, p: r * (p.value + k), above, z / (k + 1.0)) / where(
            below.value + k == 0.0, 1.0, below.value + k
        )
        going = lax.abs(ratio) > 0.9
        for p in (*above, below):
            going = going | (p.value + k < 0.0)
        something = new[0] != new[0]
        for t, s, d in zip(new, total_new, slope_new, strict=True):
            going = going | (lax.abs(t) > limit * lax.abs(s)) | (lax.abs(t) * (k + 1.0) > limit * lax.abs(d))
            something = something | (t != 0.0)
        going = going & something
        kept = [where(active, p, q) for p, q in zip([*new, *total_new, *slope_new], flat, strict=True)]
        return count + 1.0, active & going & (new[0] == new[0]), *kept

    start = jets.constant(first)
    zero = jets.constant(0.0 * first)
    begin = (_number(0.0, z), enabled, *start, *start, *zero)
    _, active, *flat = lax.while_loop(unfinished, step, begin)
    return flat[size : 2 * size], flat[2 * size :], ~active


def _whole_and_not_positive(x: Any) -> Any:
    return (x <= 0.0) & (x == lax.floor(x))


class Hyp1f1(Evaluated):
    """The derivative of M(a, b, x) of these orders by each argument."""

    orders: tuple[int, int, int] = (0, 0, 0)

    def define(self, *operands: Any) -> Any:
        a, b, x = operands
        n = float(self.orders[2])
        jets, plain = Jets(self.orders[:2]), not any(self.orders[:2])
        ends = _whole_and_not_positive(a)
        pole = _whole_and_not_positive(b) & ~(ends & (a >= b))
        negative = (x < 0.0) & ~ends
        far = negative & lax.lt(x, -700.0 if is_double(x) else -85.0)  # exp(x) is no number there
        z = where(far | pole, 0.0, where(negative, -x, x))
        b_safe = where(pole, 1.0, b)
        first, second = Linear(a + n, (1.0, 0.0)), Linear(b_safe + n, (0.0, 1.0))
        reflected = Linear(b_safe - a, (-1.0, 1.0))
        above = reflected.chosen(negative, first)
        start = where(negative & ~far & ~pole, lax.exp(x), everywhere(1.0, x))
        total, _, ended = _series(jets, [above], second, z, start, everywhere(1.0, x) == 1.0)
        for m in range(self.orders[2]):
            total = jets.over(jets.times(total, Linear(a + m, (1.0, 0.0))), Linear(b_safe + m, (0.0, 1.0)))
        out = total[-1] * float(math.prod(map(math.factorial, self.orders[:2])))
        out = where(far & _whole_and_not_positive(b - a), 0.0, where(far | ~ended, math.nan, out))
        if plain:
            left = negative & lax.lt(x, -50.0)
            value, exact = _far_left(a, b_safe, where(left, -x, 1e3), self.orders[2])
            out = where(left & exact, value, out)
        if any(self.orders):
            return where(pole, math.nan, out)
        return where(a == 0.0, where(x == x, 1.0, math.nan), where(pole, math.inf, out))

    def partial(self, i: int, out: Any, *operands: Any) -> Any:
        return bind(Hyp1f1(_raised(self.orders, i)), *operands)


def _raised(orders: tuple[int, ...], i: int) -> Any:
    return (*orders[:i], orders[i] + 1, *orders[i + 1 :])


def _far_left(a: Any, b: Any, z: Any, n: int) -> tuple[Any, Any]:
    """The n-th derivative of M(a, b, x) at x = -z for large z, and whether it is exact to a rounding (DLMF 13.7.2).

    The exponentially small part is left out.
    """
    power = a + float(n)
    term = total = everywhere(1.0, z)
    growing = term != term
    for k in range(24):
        ratio = (power + float(k)) * (a - b + 1.0 + float(k)) / ((k + 1.0) * z)
        growing = growing | ((lax.abs(ratio) > 0.7) & (lax.abs(term) > 0.25 * epsilon(z) * lax.abs(total)))
        term = term * ratio
        total = total + where(lax.abs(ratio) > 0.7, 0.0, term)
    # (a)_n / (b)_n Gamma(b + n) / Gamma(b - a) = (a)_n Gamma(b) / Gamma(b - a)
    scale = GAMMA.define(b) * RGAMMA.define(b - a)
    for m in range(n):
        scale = scale * (a + float(m))
    exact = ~growing & (lax.abs(term) <= 0.25 * epsilon(z) * lax.abs(total))
    exact = exact & ~_whole_and_not_positive(b - a)
    return scale * lax.pow(z, -power) * total, exact & (lax.abs(scale) < math.inf)


class Hyp2f1(Evaluated):
    """The derivative of F(a, b; c; x) of these orders by each argument."""

    orders: tuple[int, int, int, int] = (0, 0, 0, 0)

    def define(self, *operands: Any) -> Any:
        a, b, c, x = operands
        n = float(self.orders[3])
        jets, plain = Jets(self.orders[:3]), not any(self.orders[:3])
        last = lax.max(where(_whole_and_not_positive(a), a, -math.inf), where(_whole_and_not_positive(b), b, -math.inf))
        ends = last > -math.inf
        pole = (c == 0.0) | (_whole_and_not_positive(c) & ~(ends & (last >= c)))
        finite = ends & (_whole_and_not_positive(c) | (x >= 1.0))  # sums that end, of which nothing else is right
        negative = (x < 0.0) & ~finite
        inside = (x < 1.0) & ~pole
        safe, c_safe = where(inside | finite, x, 0.0), where(pole, 1.0, c)
        left = where(negative, safe, 0.0)
        rest = where(negative, 1.0 / (1.0 - left), 1.0 - where(finite, 0.0, safe))  # one minus what F is taken of
        z = where(negative, left / (left - 1.0), safe)
        # whichever makes a positive difference of parameters, and then the smaller power of 1 - x
        swapped = where(c_safe >= lax.max(a, b), b < a, a < b)
        one, other = (Linear(p, slopes) for p, slopes in ((a, (1.0, 0.0, 0.0)), (b, (0.0, 1.0, 0.0))))
        first, less, third = other.chosen(swapped, one), one.chosen(swapped, other), Linear(c_safe, (0.0, 0.0, 1.0))
        second = third.minus(less).chosen(negative, less + n)
        first, third = first + n, third + n
        beyond = (z > _RIM) & ~finite
        near = where(beyond, _RIM, z)
        total, slope, ended = _series(
            jets, [first, second], third, near, everywhere(1.0, x), everywhere(1.0, x) == 1.0
        )
        total = _continued(jets, total, _scaled(slope, 1.0 / _RIM), first, second, third, rest, beyond)
        rate = -lax.log1p(-left)
        total = jets.times_exponential(total, where(swapped, 0.0, rate), 0)
        total = jets.times_exponential(total, where(swapped, rate, 0.0), 1)
        scale = where(negative, lax.pow(1.0 - left, -first.value), 1.0)
        for m in range(self.orders[3]):
            total = jets.times(jets.times(total, Linear(a + m, (1.0, 0.0, 0.0))), Linear(b + m, (0.0, 1.0, 0.0)))
            total = jets.over(total, Linear(c_safe + m, (0.0, 0.0, 1.0)))
        out = total[-1] * scale * float(math.prod(map(math.factorial, self.orders[:3])))
        out = where(ended, out, math.nan)
        outside = math.inf if plain and not n else math.nan
        at_one = self._at_one(a, b, c_safe) if plain else math.nan
        out = where(inside | finite, out, where((x == 1.0) & ~pole, at_one, outside))
        if any(self.orders):
            return out
        return where(x == 0.0, 1.0, where(x == x, out, math.nan))

    def _at_one(self, a: Any, b: Any, c: Any) -> Any:
        """DLMF 15.4.20"""
        n = self.orders[3]
        excess = c - a - b - float(n)
        converges = excess > 0.0
        out = GAMMA.define(c + float(n)) * GAMMA.define(where(converges, excess, 1.0))
        out = out * RGAMMA.define(c - a) * RGAMMA.define(c - b)
        for m in range(n):
            out = out * ((a + float(m)) * (b + float(m)) / (c + float(m)))
        return where(converges, out, math.nan if n else math.inf)

    def partial(self, i: int, out: Any, *operands: Any) -> Any:
        return bind(Hyp2f1(_raised(self.orders, i)), *operands)


def _continued(
    jets: Jets, value: Jet, slope: Jet, a: Linear, b: Linear, c: Linear, rest: Any, enabled: Any
) -> Jet:  # fmt: skip
    """F at 1 - ``rest``, from its value and slope at ``_RIM``, where enabled.

    About x0, u_(k+2) (k+2)(k+1) x0 (1 - x0) = (k+a)(k+b) u_k - (k+1) ((1 - 2 x0) k + c - (a+b+1) x0) u_(k+1).
    """
    size, limit = len(value), 0.25 * epsilon(rest)

    def unfinished(carry: Any) -> Any:
        return _any(enabled & (carry[0] > rest))

    def step(carry: Any) -> Any:
        distance, *flat = carry
        active = enabled & (distance > rest)
        target = where(active, lax.max(0.5 * distance, rest), distance)
        move, at = distance - target, 1.0 - distance
        unit = 1.0 / (at * distance)
        middle = Linear(
            c.value - (a.value + b.value + 1.0) * at,
            [s - (p + q) * at for p, q, s in zip(a.slopes, b.slopes, c.slopes, strict=True)],
        )

        def unended(inner: Any) -> Any:
            return _any(inner[1]) & lax.lt(inner[0], 1000.0)

        def add_term(inner: Any) -> Any:
            count, going, *flat = inner
            k = _as(count, at)
            before, present, total, moved = (flat[i * size : (i + 1) * size] for i in range(4))
            twice = jets.times(jets.times(before, a + k), b + k)
            once = jets.times(present, middle + (1.0 - 2.0 * at) * k)
            weight = move * unit / ((k + 2.0) * (k + 1.0))
            following = [(p * move - q * (k + 1.0)) * weight for p, q in zip(twice, once, strict=True)]
            total, moved = _combine(total, following), _combine(moved, _scaled(following, k + 2.0))
            more = k < 8.0
            for t, s, d in zip(following, total, moved, strict=True):
                more = more | (lax.abs(t) > limit * lax.abs(s)) | (lax.abs(t) * (k + 2.0) > limit * lax.abs(d))
            return (count + 1.0, going & more, *present, *following, *total, *moved)

        first, second = flat[:size], _scaled(flat[size:], move)
        begin = (_number(0.0, at), active, *first, *second, *_combine(first, second), *second)
        out = lax.while_loop(unended, add_term, begin)[2:]
        inverse = 1.0 / where(active, move, 1.0)
        new = [*out[2 * size : 3 * size], *_scaled(list(out[3 * size :]), inverse)]
        return target, *[where(active, p, q) for p, q in zip(new, flat, strict=True)]

    start = (where(enabled, 1.0 - _RIM, everywhere(1.0, rest)), *value, *slope)
    return list(lax.while_loop(unfinished, step, start)[1 : 1 + size])


HYP1F1, HYP2F1 = Hyp1f1(), Hyp2f1()


def hyp1f1(a: ArrayLike, b: ArrayLike, x: ArrayLike) -> Array:
    """Kummer's confluent hypergeometric function 1F1(a; b; x) of real numbers, elementwise.

    inf where b is 0, -1, ... (unless the sum ends before); NaN where 20,000 terms are not enough. Differentiable by all
    three; below x = -700 (-85 in float32) a derivative by a or b is NaN, and so is the value where a and b are too
    large for its asymptotic series.

    >>> from functrans.scipy import special
    >>> round(float(special.hyp1f1(1.0, 2.0, 1.0)), 5)
    1.71828
    """
    return bind(HYP1F1, *strong_operands("hyp1f1", a, b, x))


def hyp2f1(a: ArrayLike, b: ArrayLike, c: ArrayLike, x: ArrayLike) -> Array:
    """Gauss' hypergeometric function 2F1(a, b; c; x) of real numbers, elementwise, for x <= 1.

    inf where it has a pole, and for x > 1 unless its sum ends. Differentiable by all four; at x = 1 a derivative by a
    parameter is NaN.

    >>> from functrans.scipy import special
    >>> round(float(special.hyp2f1(1.0, 1.0, 2.0, 0.5)), 5)
    1.38629
    """
    return bind(HYP2F1, *strong_operands("hyp2f1", a, b, c, x))
