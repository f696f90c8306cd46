"""The Lambert W function, the inverse of w e^w, by steps of Halley."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from functrans import lax
from functrans.errors import FunctransValueError
from functrans.lax.evaluated import Evaluated
from functrans.numpy.creation import asarray
from functrans.numpy.promotion import static_value
from functrans.numpy.selection import where
from functrans.scipy.special.arguments import Array, ArrayLike, real_operand
from functrans.trace.binding import bind

# 1 + W as a series in p = +-sqrt(2 (e z + 1)) about the branch point (DLMF 4.13.6).
_BRANCH = (1.0, -1 / 3, 11 / 72, -43 / 540, 769 / 17280, -221 / 8505, 680863 / 43545600, -1963 / 204120)
_MINUS_INVERSE_E = (-0.36787944117144233, 1.2428753672788363e-17)  # -1/e as a number and what that is from it


class Lambertw(Evaluated):
    """W_0 of real numbers, or W_(-1), ``below`` it."""

    below: bool = False

    def define(self, *operands: Any) -> Any:
        (z,) = operands
        single = z.dtype != np.float64
        edge = float(np.float32(_MINUS_INVERSE_E[0])) if single else _MINUS_INVERSE_E[0]
        rest = _MINUS_INVERSE_E[0] - edge - (0.0 if single else _MINUS_INVERSE_E[1])
        distance = lax.max((z - edge) - rest, 0.0) * math.e  # e z + 1
        p = lax.sqrt(2.0 * distance)
        if self.below:
            p = -p
        near = lax.abs(p) < 0.06
        series: Any = 0.0
        for c in reversed(_BRANCH):
            series = (series + c) * p
        size = where(z == 0.0, 1.0, lax.abs(z))
        logarithm = lax.log(size)
        if self.below:
            far = logarithm - lax.log(lax.max(-logarithm, 1e-3))
            w, by_logarithm = where(z > -0.25, far, series - 1.0), ~near
        else:
            bent = lax.log1p(lax.max(z, -0.3))
            middle = bent * (1.0 - lax.log1p(bent) / (2.0 + bent))
            far = logarithm - lax.log(lax.max(logarithm, 1.0))
            w, by_logarithm = where(z > math.e, far, where(z > -0.25, middle, series - 1.0)), z > 1.0
        # where w is large by its logarithm, w + log(w) = log(z): exp(w) multiplies the rounding of w
        for _ in range(4):
            v = where(near | by_logarithm, 1.0, w)
            excess = where(near | by_logarithm, 0.0, v - lax.exp(-v) * z)
            plain = excess / ((v + 1.0) - (v + 2.0) * excess / (2.0 * (v + 1.0)))
            v = where(by_logarithm, w, -3.0 if self.below else 3.0)
            rest = where(by_logarithm, logarithm - lax.log(lax.abs(v)) - v, 0.0)
            double = 2.0 * (1.0 + v) * (1.0 + v + (2.0 / 3.0) * rest)
            step = v * (rest / (1.0 + v)) * ((double - rest) / (double - 2.0 * rest))  # Fritsch et al. 1973
            w = where(by_logarithm, w + step, w - plain)
        out = where(near, series - 1.0, w)
        if self.below:
            out = where(z == 0.0, -math.inf, out)
            defined = (z >= edge) & (z <= 0.0)
        else:
            out = where(z == math.inf, math.inf, where(z == 0.0, z, out))
            defined = z >= edge
        return where(defined, out, math.nan)

    def partial(self, i: int, out: Any, z: Any) -> Any:
        large = lax.abs(out) > 1.0
        beside = out + 1.0
        return where(large, out / beside / where(large, z, 1.0), lax.exp(-where(large, 0.0, out)) / beside)


def lambertw(z: ArrayLike, k: int = 0, tol: float = 1e-8) -> Array:
    """The Lambert W function of real numbers, elementwise: the w with w exp(w) = z.

    Args:
      z: real numbers.
      k: which branch: 0 (w >= -1) or -1 (w <= -1, for z in [-1/e, 0)).
      tol: there for SciPy's signature: the result is right to the last digits.

    Returns:
      real numbers (SciPy's are complex); NaN where w is not real.

    Raises:
      TypeError: complex numbers. ValueError: another branch.

    >>> from functrans.scipy import special
    >>> round(float(special.lambertw(1.0)), 5)
    0.56714
    """
    branch = static_value("lambertw", "k", k)
    if np.ndim(branch) or branch not in (0, -1):
        raise FunctransValueError(f"lambertw: the branches of real values are k=0 and k=-1, got k={k!r}")
    return bind(Lambertw(int(branch) == -1), asarray(real_operand("lambertw", z)))
