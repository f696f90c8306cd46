"""Bessel functions of real order and positive argument: a pair of orders near 0, and from there to any.

For x >= 2 the functions of orders m and m + 1, |m| <= 1/2, are integrals by the trapezoidal rule, with errors below any
rounding. With u = x (cosh t - 1), and on the path of steepest descent t = s + i gd(s) of Hankel's integral (DLMF
10.32.9, 10.9.10), where i cosh t = i - sinh s tanh s:

    e^x K_m(x)          = integral of e^-u cosh(m t)                                           over t > 0
    J_m(x) + i Y_m(x)   = 2 e^(i (x - m pi/2)) / (pi i) integral of e^(-x sinh s tanh s) cosh(m t) dt/ds  over s > 0

For smaller x by Temme's series (1975, J. Comput. Phys. 19). K and Y go upward in the order, and J up to x; beyond x, J
follows from Y by the Wronskian and the fraction J_(n+1) / J_n, and I everywhere from K (DLMF 10.5.2, 10.28.2).
"""

from __future__ import annotations

import math
from typing import Any

from functrans import lax
from functrans.lax.evaluated import epsilon, everywhere, rows, stacked
from functrans.lax.gamma_factors import RECIPROCAL, horner
from functrans.numpy.selection import where
from functrans.scipy.special.quadrature import is_double, steps

_ODD, _EVEN = RECIPROCAL[0::2], (1.0, *RECIPROCAL[1::2])


def sine_cosine_pi(x: Any) -> tuple[Any, Any]:
    """sin(pi x) and cos(pi x), exact for whole and half numbers."""
    whole = lax.round(x)
    rest, odd = x - whole, lax.rem(whole, 2.0) != 0.0
    sine = lax.sin(rest * math.pi)
    cosine = where(lax.abs(rest) == 0.5, 0.0, lax.cos(rest * math.pi))
    return where(odd, -sine, sine), where(odd, -cosine, cosine)


def _any(flags: Any) -> Any:
    return lax.reduce_or(flags, tuple(range(flags.ndim)))


def split_order(order: Any) -> tuple[Any, Any]:
    """(m, n) with order = m + n, n whole and |m| <= 1/2."""
    count = lax.round(order)
    return order - count, count


def _temme(m: Any, x: Any, oscillating: bool) -> tuple[Any, Any, Any]:
    """K_m and K_(m+1), or Y_m and Y_(m+1), for 0 < x < 2; and 1 / Gamma(1 + m)."""
    square = m * m
    odd, even = -horner(square, _ODD), horner(square, _EVEN)  # of (1/Gamma(1 - m) -+ 1/Gamma(1 + m)) / 2, by m
    below, above = even + m * odd, even - m * odd  # 1 / Gamma(1 - m), 1 / Gamma(1 + m)
    logarithm = lax.log(2.0 / x)
    sigma, angle = m * logarithm, m * math.pi
    growth = lax.exp(sigma)
    fall = 1.0 / growth
    small = lax.abs(sigma) < 0.05
    near, far = where(small, sigma * sigma, 0.0), where(small, 1.0, sigma)
    shape = 1.0 + near / 6.0 * (1.0 + near / 20.0 * (1.0 + near / 42.0))  # sinh(sigma) / sigma
    shape = where(small, shape, 0.5 * (growth - fall) / far)
    zero = m == 0.0
    ratio = where(zero, 1.0, angle / where(zero, 1.0, lax.sin(angle)))
    f = ratio * (odd * (0.5 * (growth + fall)) + even * shape * logarithm)
    p, q = 0.5 * growth / above, 0.5 * fall / below
    quarter, turned = 0.25 * x * x, everywhere(0.0, x)
    if oscillating:  # 2 / m sin(m pi / 2)^2
        quarter = -quarter
        turned = where(zero, 0.0, 2.0 * lax.square(lax.sin(0.5 * angle)) / where(zero, 1.0, m))

    def body(k: Any, carry: Any) -> Any:
        c, f, p, q, total, other = carry
        k = _as(lax.convert_element_type(k, x.dtype) + 1.0, x)
        f = (k * f + p + q) / (k * k - square)
        p, q, c = p / (k - m), q / (k + m), c * quarter / k
        g = f + turned * q
        return c, f, p, q, total + c * g, other + c * (p - k * g)

    start = (everywhere(1.0, x), f, p, q, f + turned * q, p)
    *_, total, other = lax.fori_loop(0, 18 if is_double(x) else 10, body, start)
    scale = -2.0 / math.pi if oscillating else 1.0
    return total * scale, other * (2.0 / x) * scale, above


def _power_series(m: Any, reciprocal: Any, x: Any, sign: float) -> Any:
    """J_m(x) (sign -1) or I_m(x) (1) for 0 < x < 2, with 1 / Gamma(1 + m) (DLMF 10.2.2)."""
    quarter, total = (0.25 * sign) * x * x, everywhere(1.0, x)
    for k in reversed(range(1, 16 if is_double(x) else 9)):
        total = 1.0 + total * quarter / (float(k) * (m + float(k)))
    return lax.pow(0.5 * x, m) * reciprocal * total


def modified_pair(m: Any, x: Any) -> tuple[Any, Any, Any]:
    """e^x K_m(x) and e^x K_(m+1)(x) for x > 0; and e^-x I_m(x) for x < 2."""
    small = x < 2.0
    near, far = where(small, x, 1.0), where(small, 2.0, x)
    low, high, reciprocal = _temme(m, near, False)
    grown = lax.exp(near)
    enough = (42.0 if is_double(x) else 20.0) / far
    nodes = steps(x, 32)
    t = nodes.points * nodes.spread(lax.log1p(enough + lax.sqrt(enough * (2.0 + enough))))
    reach = t[..., -1]
    grow = lax.expm1(t)
    beside = grow / (1.0 + grow)
    sine, versed = 0.5 * (grow + beside), 0.5 * grow * beside  # sinh t, cosh t - 1
    turn = lax.exp(nodes.spread(m) * t)
    back = 1.0 / turn
    value = lax.exp(-nodes.spread(far) * versed)
    even, odd = 0.5 * (turn + back), 0.5 * (turn - back)
    first = nodes.sum(value * even) * reach
    second = nodes.sum(value * (even + (even * versed + odd * sine))) * reach
    series = _power_series(m, reciprocal, near, 1.0) / grown
    return where(small, low * grown, first), where(small, high * grown, second), series


def oscillating_pair(m: Any, x: Any) -> tuple[Any, Any, Any, Any]:
    """J_m, J_(m+1), Y_m and Y_(m+1) for x > 0."""
    small = x < 2.0
    near, far = where(small, x, 1.0), where(small, 2.0, x)
    y_low, y_high, reciprocal = _temme(m, near, True)
    j_low = _power_series(m, reciprocal, near, -1.0)
    j_high = _power_series(m + 1.0, reciprocal / (m + 1.0), near, -1.0)
    enough = (42.0 if is_double(x) else 20.0) / far  # of sinh s tanh s = cosh s - 1 / cosh s
    versed = 0.5 * (enough + enough * enough / (lax.sqrt(enough * enough + 4.0) + 2.0))  # cosh s - 1 there
    nodes = steps(x, 40)
    s = nodes.points * nodes.spread(lax.log1p(versed + lax.sqrt(versed * (2.0 + versed))))
    reach = s[..., -1]
    grow = lax.expm1(s)
    beside = grow / (1.0 + grow)
    sine, secant = 0.5 * (grow + beside), 1.0 / (1.0 + 0.5 * grow * beside)
    tangent = sine * secant
    fall = sine * tangent
    # cosh(m t) and sinh(m t) for t = s + i gd(s), of which cosh is 1 + i fall and sinh is tangent + i sine
    order = nodes.spread(m)
    turn, angle = lax.exp(order * s), order * lax.atan(sine)
    back = 1.0 / turn
    even, odd, along, across = 0.5 * (turn + back), 0.5 * (turn - back), lax.cos(angle), lax.sin(angle)
    c_real, c_imag, s_real, s_imag = even * along, odd * across, odd * along, even * across
    n_real = (c_real - c_imag * fall) + (s_real * tangent - s_imag * sine)
    n_imag = (c_imag + c_real * fall) + (s_imag * tangent + s_real * sine)
    value = lax.exp(-nodes.spread(far) * fall)

    def integral(real: Any, imaginary: Any) -> tuple[Any, Any]:  # times dt/ds = 1 + i / cosh s
        scale = reach * (2.0 / math.pi)
        return (
            nodes.sum(value * (real - secant * imaginary)) * scale,
            nodes.sum(value * (imaginary + secant * real)) * scale,
        )

    first, second = integral(c_real, c_imag), integral(n_real, n_imag)
    half = 0.5 * math.pi * m
    sin_x, cos_x, sin_m, cos_m = lax.sin(far), lax.cos(far), lax.sin(half), lax.cos(half)
    sine, cosine = sin_x * cos_m - cos_x * sin_m, cos_x * cos_m + sin_x * sin_m  # of x - m pi / 2
    return (
        where(small, j_low, first[0] * sine + first[1] * cosine),
        where(small, j_high, second[1] * sine - second[0] * cosine),
        where(small, y_low, first[1] * sine - first[0] * cosine),
        where(small, y_high, -(second[1] * cosine + second[0] * sine)),
    )


def _climbed(m: Any, count: Any, x: Any, low: Any, high: Any, sign: float) -> tuple[Any, Any]:
    """Functions of orders m and m + 1 at those moved by count >= 0: f_(o+1) = 2 o / x f_o + sign f_(o-1)."""
    inverse = 2.0 / x

    def unfinished(carry: Any) -> Any:
        return _any(carry[0] < count)

    def step(carry: Any) -> Any:
        n, low, high = carry
        active = n < count
        following = where(lax.abs(high) == math.inf, high, (m + n + 1.0) * inverse * high + sign * low)
        return n + 1.0, where(active, high, low), where(active, following, high)

    return lax.while_loop(unfinished, step, (0.0 * low, low, high))[1:]  # type: ignore[no-any-return]


def _descending_ratio(order: Any, x: Any, sign: float) -> Any:
    """I_(o+1) / I_o for sign 1, J_(o+1) / J_o for x <= o and sign -1, by their continued fraction (DLMF 10.33.1)."""
    inverse, limit = 2.0 / x, 2.0 * epsilon(x)

    def unfinished(carry: Any) -> Any:
        return _any(carry[-1]) & lax.lt(carry[0], 20000.0)

    def step(carry: Any) -> Any:
        k, added, below, total, active = carry
        # Steed's form: the denominators of successive fractions, and what the last one added
        denominator = 1.0 / ((order + _as(k, x)) * inverse + sign * below)
        added = added * (below * denominator) * -sign
        new = where(active, total + added, total)
        return k + 1.0, added, denominator, new, active & (lax.abs(added) > limit * lax.abs(new))

    first = 1.0 / ((order + 1.0) * inverse)
    start = (lax.convert_element_type(2.0, x.dtype), first, first, first, first == first)
    return lax.while_loop(unfinished, step, start)[3]


def _as(k: Any, x: Any) -> Any:
    return lax.broadcast_in_dim(k, x.shape, ())


def modified(order: Any, x: Any) -> tuple[Any, Any]:
    """e^-x I_o(x) and e^x K_o(x) for o >= 0 and x > 0."""
    m, count = split_order(order)
    low, high, series = modified_pair(m, x)
    first = count == 0.0
    before, k = _climbed(m, count - 1.0, x, low, high, 1.0)  # K_(o-1) and K_o
    k = where(first, low, k)
    far = is_far(order, x)
    ratio = _descending_ratio(where(far, 0.0, order), where(far, 1.0, x), 1.0)
    # x K_(o+1) is 2 o K_o + x K_(o-1)
    near = 1.0 / (x * where(first, high, before) + (where(first, 0.0, 2.0 * order) + x * ratio) * k)
    near = where(first & (x < 1.0), series, near)
    return where(far, asymptotic(order, where(far, x, 64.0), 0, -1.0), near), k


def is_far(order: Any, x: Any) -> Any:
    """Whether the asymptotic series are exact to a rounding."""
    return x > lax.max(20.0 if is_double(x) else 12.0, 0.5 * (order * order))


def asymptotic(order: Any, x: Any, derivative: int, sign: float) -> Any:
    """The derivative of this order of the scaled I (sign -1) or K (1), term by term.

    e^-x I_o(x) ~ (2 pi x)^(-1/2) sum of (-1)^k a_k / x^k, e^x K_o(x) ~ (pi / (2 x))^(1/2) sum of a_k / x^k
    (DLMF 10.40.1, 2); the derivative of x^(-k - 1/2) is -(k + 1/2) x^(-k - 3/2).
    """
    four, inverse = 4.0 * (order * order), 1.0 / x

    def body(carry: Any) -> Any:
        k, term, total, active = carry
        # a_(k+1) / a_k, and how the factor (k + 1/2) ... (k + n - 1/2) of the derivative grows
        odd = 2.0 * k + 1.0
        grown = term * ((four - odd * odd) * (0.125 * sign) * inverse / (k + 1.0))
        grown = grown * ((odd + 2.0 * derivative) / odd)
        # the series diverges in the end: no further than to its least term
        active = active & ((lax.abs(grown) < lax.abs(term)) | (k < lax.abs(order)))
        new = where(active, total + grown, total)
        return k + 1.0, where(active, grown, term), new, active & (
            lax.abs(grown) > epsilon(x) * 0.25 * lax.abs(new)
        )

    first = everywhere(1.0, x)
    for n in range(derivative):
        first = first * (-(n + 0.5) * inverse)
    start = (lax.convert_element_type(0.0, x.dtype), first, first, first == first)

    def unfinished(carry: Any) -> Any:
        return _any(carry[-1]) & lax.lt(carry[0], 64.0)

    total = lax.while_loop(unfinished, lambda c: _spread_count(body, c, x), start)[2]
    scale = math.sqrt(0.5 / math.pi) if sign < 0 else math.sqrt(0.5 * math.pi)
    return total * (scale / lax.sqrt(x))


def _spread_count(body: Any, carry: Any, x: Any) -> Any:
    k, *rest = carry
    _, *new = body((_as(k, x), *rest))
    return k + 1.0, *new


def oscillating(order: Any, x: Any) -> tuple[Any, Any]:
    """J_o(x) and Y_o(x) for o >= 0 and x > 0."""
    m, count = split_order(order)
    j_low, j_high, y_low, y_high = oscillating_pair(m, x)
    first = count == 0.0
    beyond = (order > x) & ~first
    both = stacked(where(beyond, 0.0, count) - 1.0, count - 1.0)
    low, high = _climbed(stacked(m, m), both, stacked(x, x), stacked(j_low, y_low), stacked(j_high, y_high), -1.0)
    (_, before), (j, y) = rows(low), rows(high)
    j, y = where(first, j_low, j), where(first, y_low, y)
    ratio = _descending_ratio(where(beyond, order, 1.0), where(beyond, x, 0.5), -1.0)
    # J_o (J_(o+1) / J_o Y_o - Y_(o+1)) is 2 / (pi x), and x Y_(o+1) is 2 o Y_o - x Y_(o-1)
    wronskian = (2.0 / math.pi) / ((x * ratio - 2.0 * order) * y + x * before)
    return where(beyond, where(y == -math.inf, 0.0, wronskian), j), y
