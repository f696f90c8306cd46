"""Modified Bessel functions of the first kind, orders 0 and 1."""

from __future__ import annotations

from functrans import lax
from functrans.lax.bessel import bessel_i
from functrans.scipy.special.arguments import Array, ArrayLike, real_operand


def i0e(x: ArrayLike) -> Array:
    """exp(-abs(x)) I_0(x), elementwise.

    >>> from functrans.scipy import special
    >>> round(float(special.i0e(0.0)), 4)
    1.0
    """
    return lax.bessel_i0e(real_operand("i0e", x))


def i0(x: ArrayLike) -> Array:
    """I_0(x), elementwise.

    >>> from functrans.scipy import special
    >>> round(float(special.i0(0.0)), 4)
    1.0
    """
    return bessel_i(0, real_operand("i0", x))


def i1e(x: ArrayLike) -> Array:
    """exp(-abs(x)) I_1(x), elementwise.

    >>> from functrans.scipy import special
    >>> float(special.i1e(0.0))
    0.0
    """
    return lax.bessel_i1e(real_operand("i1e", x))


def i1(x: ArrayLike) -> Array:
    """I_1(x), elementwise.

    >>> from functrans.scipy import special
    >>> float(special.i1(0.0))
    0.0
    """
    return bessel_i(1, real_operand("i1", x))
