"""The gamma function of complex numbers by its logarithm, and the reciprocal of the gamma function, which has no poles.

Stirling's series eight steps to the right (DLMF 5.11.1, 5.5.1); left of 1/2 by reflection, where above the real axis

    log(sin(pi z)) = -i pi (z - 1/2) - log(2) + log(1 - e^(2 i pi z))

is analytic, so that the logarithm has its one cut along the negative real axis.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from functrans import lax
from functrans.api.compilation import jit
from functrans.lax.evaluated import Evaluated
from functrans.numpy.reductions import sum as total
from functrans.numpy.selection import where
from functrans.ops.special import scipy_reference
from functrans.scipy.special.gamma_functions import GAMMA, stirling_correction
from functrans.trace.binding import bind

_SHIFT = 8


def _right(z: Any) -> Any:
    """log(Gamma(z)) for Re z >= 1/2."""
    steps = np.arange(_SHIFT, dtype=np.float64).astype(z.dtype)
    spread = lax.broadcast_in_dim(z, (*z.shape, _SHIFT), tuple(range(z.ndim)))
    passed = total(lax.log(spread + np.broadcast_to(steps, spread.shape)), axis=-1)
    far = z + float(_SHIFT)
    stirling = (far - 0.5) * lax.log(far) - far + (0.5 * math.log(2.0 * math.pi) + stirling_correction(far))
    return stirling - passed


@jit
def complex_loggamma(z: Any) -> Any:
    """The principal branch of log(Gamma(z)); NaN at the poles."""
    x, y = lax.real(z), lax.imag(z)
    pole = (y == 0.0) & (x <= 0.0) & (x == lax.floor(x))
    lower, left = y < 0.0, (x < 0.5) & ~pole
    z = where(pole, 1.0, where(lower, lax.conj(z), z))
    right = _right(where(left, 1.0 - z, z))
    reflected = where(left, z, 0.5)
    real, imaginary = lax.real(reflected), lax.imag(reflected)
    turn = lax.complex(-2.0 * math.pi * imaginary, 2.0 * math.pi * (real - lax.round(real)))
    quarter = (reflected - 0.5) * math.pi
    sine = lax.complex(lax.imag(quarter), -lax.real(quarter)) + lax.log(-lax.expm1(turn))
    out = where(left, (math.log(2.0 * math.pi) - sine) - right, right)
    return where(pole, complex(math.nan, math.nan), where(lower, lax.conj(out), out))


@jit
def complex_gamma(z: Any) -> Any:
    return lax.exp(complex_loggamma(z))


@jit
def complex_rgamma(z: Any) -> Any:
    x, y = lax.real(z), lax.imag(z)
    pole = (y == 0.0) & (x <= 0.0) & (x == lax.floor(x))
    return where(pole, 0.0, lax.exp(-complex_loggamma(where(pole, 1.0, z))))


class Rgamma(Evaluated):
    """1 / Gamma(x); left of 1/2 sin(pi x) Gamma(1 - x) / pi, which has derivatives where Gamma has poles."""

    impl = scipy_reference("rgamma")

    def define(self, *operands: Any) -> Any:
        (x,) = operands
        left = x < 0.5
        right = 1.0 / GAMMA.define(where(left, 1.0, x))
        sine, _ = _turned(where(left, x, 0.0))
        reflected = sine * GAMMA.define(1.0 - where(left & (sine != 0.0), x, 0.0)) * (1.0 / math.pi)
        return where(left, reflected, right)

    def partial(self, i: int, out: Any, x: Any) -> Any:
        left = x < 0.5
        right = -out * lax.digamma(where(left, 1.0, x))
        safe = where(left, x, 0.0)
        sine, cosine = _turned(safe)
        factor = cosine - sine * lax.digamma(1.0 - safe) * (1.0 / math.pi)
        return where(left, bind(GAMMA, 1.0 - safe) * factor, right)


def _turned(x: Any) -> tuple[Any, Any]:
    """sin(pi x) and cos(pi x)"""
    whole = lax.stop_gradient(lax.round(x))
    angle, odd = (x - whole) * math.pi, lax.rem(whole, 2.0) != 0.0
    sine, cosine = lax.sin(angle), lax.cos(angle)
    return where(odd, -sine, sine), where(odd, -cosine, cosine)


RGAMMA = Rgamma()
