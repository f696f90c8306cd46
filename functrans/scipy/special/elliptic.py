"""Complete elliptic integrals by the arithmetic-geometric mean.

With D(m) and B(m), the integrals of sin(t)^2 and cos(t)^2 over sqrt(1 - m sin(t)^2), all sums are of one sign:

    K = B + D,  E = B + (1 - m) D,  K' = B / (2 (1 - m)),  E' = -D / 2                            (DLMF 19.4.1, 2)
    K = pi / (2 M(1, sqrt(1 - m))),  D = K (1/2 + sum of 2^(n-1) e_n),  e_0 = 1, e_(n+1) = m (e_n / (4 a_(n+1)))^2

from DLMF 19.8.6, where m e_n is c_n^2. For m < 0, with m' = m / (m - 1), D(m) is B(m') / sqrt(1 - m), and B(m) is
D(m') / sqrt(1 - m).
"""

from __future__ import annotations

import math
from typing import Any

from functrans import lax
from functrans.api.compilation import jit
from functrans.lax.evaluated import Evaluated
from functrans.numpy.selection import where
from functrans.scipy.special.arguments import Array, ArrayLike, real_operand
from functrans.scipy.special.quadrature import is_double
from functrans.trace.binding import bind


def _integrals(m: Any, complement: Any) -> tuple[Any, Any]:
    """B and D for 0 <= m < 1, and 1 - m."""
    edge, steps = (1e-10, 7) if is_double(complement) else (1e-5, 5)
    tiny = complement < edge  # there by the first terms of the series of K and E (DLMF 19.12.1, 2)
    a, b, e = 1.0, lax.sqrt(where(tiny, 0.5, complement)), 1.0
    total, weight, square = 0.5, 0.5, where(tiny, 0.5, m)
    for n in range(steps):
        a, b = 0.5 * (a + b), lax.sqrt(b if n == 0 else a * b)
        e = square * lax.square(e / (4.0 * a))
        weight = 2.0 * weight
        total = total + weight * e
    k = (0.5 * math.pi) / a
    rest = where(tiny, complement, 0.5)
    logarithm = math.log(4.0) - 0.5 * lax.log(rest)
    k_tiny, e_tiny = logarithm + (0.25 * rest) * (logarithm - 1.0), 1.0 + (0.5 * rest) * (logarithm - 0.5)
    d = where(tiny, (k_tiny - e_tiny) / (1.0 - rest), k * total)
    return where(tiny, (e_tiny - rest * k_tiny) / (1.0 - rest), k * (1.0 - total)), d


@jit
def _parts(m: Any) -> tuple[Any, Any]:
    """B and D; of 0 where m is not below 1."""
    negative, below = m < 0.0, m < 1.0
    safe = where(below, m, 0.0)
    left = where(negative, safe, 0.0)
    rest = 1.0 - left
    square = where(negative, -left / rest, where(negative, 0.0, safe))
    b, d = _integrals(square, where(negative, 1.0 / rest, 1.0 - where(negative, 0.0, safe)))
    root = lax.sqrt(rest)
    return where(negative, d / root, b), where(negative, b / root, d)


class Elliptic(Evaluated):
    """K(m), or E(m) if ``second``."""

    second: bool

    def define(self, *operands: Any) -> Any:
        (m,) = operands
        b, d = _parts(m)
        out = b + (1.0 - where(m < 1.0, m, 0.0)) * d if self.second else b + d
        out = where(m == -math.inf, math.inf if self.second else 0.0, out)
        return where(m < 1.0, out, where(m == 1.0, 1.0 if self.second else math.inf, math.nan))

    def partial(self, i: int, out: Any, m: Any) -> Any:
        b, d = _parts(m)
        if self.second:
            return where(m < 1.0, -0.5 * d, where(m == 1.0, -math.inf, math.nan))
        return where(m < 1.0, 0.5 * b / (1.0 - where(m < 1.0, m, 0.0)), where(m == 1.0, math.inf, math.nan))


ELLIPK, ELLIPE = Elliptic(False), Elliptic(True)


def ellipk(m: ArrayLike) -> Array:
    """The complete elliptic integral of the first kind, elementwise.

    That of 1 / sqrt(1 - m sin(t)^2) from 0 to pi / 2, for the parameter m (the square of the modulus) up to 1, where it
    is infinite; NaN beyond.

    >>> from functrans.scipy import special
    >>> round(float(special.ellipk(0.5)), 5)
    1.85407
    """
    return bind(ELLIPK, real_operand("ellipk", m))


def ellipe(m: ArrayLike) -> Array:
    """The complete elliptic integral of the second kind, elementwise: that of sqrt(1 - m sin(t)^2), as ``ellipk``.

    >>> from functrans.scipy import special
    >>> round(float(special.ellipe(0.5)), 5)
    1.35064
    """
    return bind(ELLIPE, real_operand("ellipe", m))
