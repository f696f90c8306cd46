"""Exponentials, logarithms, trigonometric and hyperbolic functions, roots: elementwise, floating or complex."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from functrans import lax
from functrans.jaxlib_compat.versions import JAX
from functrans.lax.elementwise import in_single
from functrans.numpy.families import inexact_unary
from functrans.numpy.promotion import (
    COMPLEX,
    Array,
    ArrayLike,
    as_array,
    promote_one,
    select,
    strengthened,
    strengthened_array,
)

_WEAK = "dtype=float32, weak_type=True)"

exp = inexact_unary("exp", lax.exp, "e ** x.", f">>> fnp.exp(0.)\n    Array(1., {_WEAK}")
exp2 = inexact_unary("exp2", lax.exp2, "2 ** x.", f">>> fnp.exp2(3.)\n    Array(8., {_WEAK}")
expm1 = inexact_unary("expm1", lax.expm1, "exp(x) - 1, exact near 0.", f">>> fnp.expm1(0.)\n    Array(0., {_WEAK}")
log = inexact_unary("log", lax.log, "The natural logarithm.", f">>> fnp.log(1.)\n    Array(0., {_WEAK}")
log1p = inexact_unary("log1p", lax.log1p, "log(1 + x), exact near 0.", f">>> fnp.log1p(0.)\n    Array(0., {_WEAK}")
sqrt = inexact_unary("sqrt", lax.sqrt, "The square root.", f">>> fnp.sqrt(4.)\n    Array(2., {_WEAK}")
cbrt = inexact_unary("cbrt", lax.cbrt, "The real cube root.", ">>> bool(abs(fnp.cbrt(8.) - 2) < 1e-6)\n    True")
sin = inexact_unary("sin", lax.sin, "The sine of x in radians.", f">>> fnp.sin(0.)\n    Array(0., {_WEAK}")
cos = inexact_unary("cos", lax.cos, "The cosine of x in radians.", f">>> fnp.cos(0.)\n    Array(1., {_WEAK}")
tan = inexact_unary("tan", lax.tan, "The tangent of x in radians.", f">>> fnp.tan(0.)\n    Array(0., {_WEAK}")
arcsin = inexact_unary(
    "arcsin", lax.asin, "The inverse sine, in radians.", f">>> fnp.arcsin(0.)\n    Array(0., {_WEAK}"
)
arccos = inexact_unary(
    "arccos", lax.acos, "The inverse cosine, in radians.", f">>> fnp.arccos(1.)\n    Array(0., {_WEAK}"
)
arctan = inexact_unary(
    "arctan", lax.atan, "The inverse tangent, in radians.", f">>> fnp.arctan(0.)\n    Array(0., {_WEAK}"
)
sinh = inexact_unary("sinh", lax.sinh, "The hyperbolic sine.", f">>> fnp.sinh(0.)\n    Array(0., {_WEAK}")
cosh = inexact_unary("cosh", lax.cosh, "The hyperbolic cosine.", f">>> fnp.cosh(0.)\n    Array(1., {_WEAK}")
tanh = inexact_unary("tanh", lax.tanh, "The hyperbolic tangent.", f">>> fnp.tanh(0.)\n    Array(0., {_WEAK}")
arcsinh = inexact_unary(
    "arcsinh", lax.asinh, "The inverse hyperbolic sine.", f">>> fnp.arcsinh(0.)\n    Array(0., {_WEAK}"
)
arctanh = inexact_unary(
    "arctanh", lax.atanh, "The inverse hyperbolic tangent.", f">>> fnp.arctanh(0.)\n    Array(0., {_WEAK}"
)


def _arccosh(x: Any) -> Any:
    result = lax.acosh(x)
    if result.dtype in COMPLEX:  # NumPy's branch has a non-negative real part
        result = lax.select(lax.lt(lax.real(result), 0.0), lax.neg(result), result)
    return result


arccosh = inexact_unary(
    "arccosh", _arccosh, "The inverse hyperbolic cosine.", f">>> fnp.arccosh(1.)\n    Array(0., {_WEAK}"
)

asin, acos, atan = arcsin, arccos, arctan
asinh, acosh, atanh = arcsinh, arccosh, arctanh


def _scaled_log(x: Any, base: float) -> Any:
    """log(x) / log(base), for complex x by parts."""
    logarithm = lax.log(x if base == 2.0 and JAX >= (0, 12) else strengthened(x))
    scale = 1.0 / float(np.log(base))
    if logarithm.dtype in COMPLEX:
        return lax.complex(lax.mul(lax.real(logarithm), scale), lax.mul(lax.imag(logarithm), scale))
    if base == 2.0:  # a division rounds so that log2 of a power of two is exact
        return lax.div(logarithm, float(np.log(2.0)))
    return lax.mul(logarithm, scale)


log2 = inexact_unary(
    "log2", lambda x: _scaled_log(x, 2.0), "log(x) / log(2).", ">>> fnp.log2(8.).item()\n    3.0"
)
log10 = inexact_unary(
    "log10", lambda x: _scaled_log(x, 10.0), "log(x) / log(10).", ">>> bool(abs(fnp.log10(100.) - 2) < 1e-6)\n    True"
)
deg2rad = inexact_unary(
    "deg2rad", lambda x: lax.mul(strengthened_array(x), np.pi / 180), "Degrees to radians.",
    f">>> fnp.deg2rad(0.)\n    Array(0., {_WEAK}",
)  # fmt: skip
rad2deg = inexact_unary(
    "rad2deg", lambda x: lax.mul(strengthened_array(x), 180 / np.pi), "Radians to degrees.",
    f">>> fnp.rad2deg(0.)\n    Array(0., {_WEAK}",
)  # fmt: skip
radians, degrees = deg2rad, rad2deg

_SINC_TERMS = 14  # 1 / 29! is below the precision of float64, in its derivatives too


def sinc(x: ArrayLike, /) -> Array:
    """sin(pi x) / (pi x), 1 at x = 0, where every derivative is the limit's, and 0 at infinity.

    >>> import functrans.numpy as fnp
    >>> fnp.sinc(0.)
    Array(1., dtype=float32, weak_type=True)
    """
    x = strengthened_array(as_array("sinc", promote_one("sinc", x, inexact=True)))
    return in_single(_sinc, x)


def _sinc(x: Any) -> Any:
    angle = lax.mul(x, np.pi)
    near = lax.lt(lax.abs(angle), 1.0)
    square = lax.square(select(near, angle, 0.0))
    series: Any = (-1) ** _SINC_TERMS / math.factorial(2 * _SINC_TERMS + 1)
    for k in reversed(range(_SINC_TERMS)):  # the quotient of two small numbers has no exact derivative
        series = lax.add(lax.mul(square, series), (-1) ** k / math.factorial(2 * k + 1))
    at_infinity = near if x.dtype in COMPLEX else lax.eq(lax.abs(angle), np.inf)  # a complex one has no limit there
    safe = select(lax.bitwise_or(near, at_infinity), 1.0, angle)
    if x.dtype in COMPLEX:  # sin z = 2 sin(z/2) cos(z/2): overflows where the quotient does, and not before
        half = lax.mul(safe, 0.5)
        quotient = lax.mul(lax.div(lax.sin(half), half), lax.cos(half))
    else:
        quotient = lax.div(lax.sin(safe), safe)
    elsewhere = select(at_infinity, 0.0, quotient)
    return lax.select(near, series, elsewhere)
