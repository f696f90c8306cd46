"""Associated Legendre functions and spherical harmonics, by recurrences upward in the degree (DLMF 14.10.3).

L_n^m(t) is the part of the spherical harmonic that depends on the colatitude t, with the factor that makes squares
integrate to 1 and the phase (-1)^m. Its derivatives are those of neighbouring orders, with no division by sin t:

    2 dL_n^m / dt = sqrt((n - m)(n + m + 1)) L_n^(m+1) - sqrt((n + m)(n - m + 1)) L_n^(m-1)
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from functrans import lax
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import kind_of, type_of
from functrans.lax.evaluated import Evaluated, everywhere, rows, stacked
from functrans.numpy.creation import asarray
from functrans.numpy.promotion import static_value, to_dtype
from functrans.numpy.selection import where
from functrans.scipy.special.arguments import Array, ArrayLike, real_operand, strong_operands
from functrans.trace.binding import bind


class Legendre(Evaluated):
    """L_n^m of (n, m, t) for whole n and m; 0 where abs(m) > n."""

    def define(self, *operands: Any) -> Any:
        n, m, t = operands
        order, cosine, sine = lax.abs(m), lax.cos(t), lax.sin(t)
        defined = (order <= n) & (n < 1e6)

        def unfinished(carry: Any) -> Any:
            return lax.reduce_or(defined & (carry[0] < n), tuple(range(n.ndim)))

        def step(carry: Any) -> Any:
            degree, before, last = carry
            new = degree + 1.0
            along = new <= order  # from L_l^l to that of l + 1
            safe = where(along, order + 1.0, new)
            one = where(along, 0.5, (4.0 * new * new - 1.0) / (safe * safe - order * order))
            two = where(along, 0.0, (degree * degree - order * order) / (4.0 * degree * degree - 1.0))
            upward = lax.sqrt(one) * (cosine * last - lax.sqrt(lax.max(two, 0.0)) * before)
            diagonal = -sine * lax.sqrt(1.0 + 0.5 / new) * last
            active = new <= n
            following = where(along, diagonal, upward)
            return new, where(active, where(along, 0.0, last), before), where(active, following, last)

        first = everywhere(math.sqrt(0.25 / math.pi), t)
        out = lax.while_loop(unfinished, step, (0.0 * n, 0.0 * first, first))[2]
        out = where((m < 0.0) & (lax.rem(m, 2.0) != 0.0), -out, out)
        whole = (n == lax.floor(n)) & (m == lax.floor(m)) & (n >= 0.0)
        return where(whole, where(defined, out, where(t == t, 0.0, math.nan)), math.nan)

    def partial(self, i: int, out: Any, n: Any, m: Any, t: Any) -> Any:
        if i < 2:
            raise FunctransTypeError(
                f"sph_harm_y has no derivative by its {'degrees n' if i == 0 else 'orders m'}; differentiate by the "
                "angles alone"
            )
        above, below = rows(bind(self, stacked(n, n), stacked(m + 1.0, m - 1.0), stacked(t, t)))
        up, down = (n - m) * (n + m + 1.0), (n + m) * (n - m + 1.0)
        return 0.5 * (lax.sqrt(lax.max(up, 0.0)) * above - lax.sqrt(lax.max(down, 0.0)) * below)


LEGENDRE = Legendre()


def _integers(name: str, what: str, x: ArrayLike) -> Any:
    x = asarray(x)
    if kind_of(type_of(x).dtype) not in "iu":
        raise FunctransTypeError(f"{name}: the {what} must be integers, got {type_of(x)}")
    return x


def sph_harm_y(
    n: ArrayLike, m: ArrayLike, theta: ArrayLike, phi: ArrayLike, diff_n: None = None, n_max: int | None = None
) -> Array:
    """The spherical harmonic of degree n and order m, elementwise, as complex numbers.

    Args:
      n: degrees, integers >= 0.
      m: orders, integers with abs(m) <= n; beyond, it is 0.
      theta: the colatitudes, real: in [0, pi], and where they are not, those in it of the same cosine.
      phi: the longitudes, real.
      diff_n: not supported: differentiate instead.
      n_max: larger degrees count as this one, as in JAX; by default there is no limit.

    Raises:
      NotImplementedError: ``diff_n``. TypeError: degrees or orders that are no integers; a derivative by them.

    >>> from functrans.scipy import special
    >>> round(complex(special.sph_harm_y(1, 0, 0.0, 0.0)).real, 5)
    0.4886
    """
    if diff_n is not None:
        raise NotImplementedError("sph_harm_y: diff_n is not supported; differentiate the function (grad, jvp) instead")
    degree, order = _integers("sph_harm_y", "degrees n", n), _integers("sph_harm_y", "orders m", m)
    if n_max is not None:
        degree = lax.min(degree, lax.full_like(degree, operator.index(static_value("sph_harm_y", "n_max", n_max))))
    operands = strong_operands("sph_harm_y", degree, order, theta, phi)
    if operands[0].dtype.itemsize < 4:  # no complex number has halves
        operands = [to_dtype(x, np.dtype(np.float32)) for x in operands]
    degree, order, theta, phi = operands
    theta = where(lax.sin(theta) < 0.0, -theta, theta)  # of the cosine alone: what has the sine has its size
    size, angle = bind(LEGENDRE, degree, order, theta), order * phi
    return lax.complex(size * lax.cos(angle), size * lax.sin(angle))


def _degree(name: str, m: int, n: int, z: ArrayLike) -> tuple[int, Any]:
    most, degree = (operator.index(static_value(name, k, v)) for k, v in (("m", m), ("n", n)))
    if most != degree:
        raise NotImplementedError(f"{name}: m must be n, got m={most} and n={degree}")
    z = real_operand(name, z)
    if z.ndim != 1:
        raise FunctransValueError(f"{name}: z must be a vector, got shape {tuple(z.shape)}")
    return degree, z


def _grid(most: int, z: Any) -> tuple[Any, Any, Any]:
    """Degrees, orders and colatitudes [most + 1, most + 1, len(z)], orders along the first axis."""
    shape = (most + 1, most + 1, z.shape[0])
    numbers = np.arange(most + 1).astype(z.dtype)
    degree, order = (lax.broadcast_in_dim(numbers, shape, (axis,)) for axis in (1, 0))
    return degree, order, lax.broadcast_in_dim(z, shape, (2,))


def _over_norm(most: int, dtype: Any) -> Any:
    """P_n^m over L_n^m: [most + 1, most + 1, 1]."""
    out = np.zeros((most + 1, most + 1, 1))
    for n in range(most + 1):
        for m in range(n + 1):
            logarithm = math.lgamma(n + m + 1) - math.lgamma(n - m + 1)
            out[m, n] = math.sqrt(4 * math.pi / (2 * n + 1)) * math.exp(0.5 * logarithm)
    return out.astype(dtype)


def lpmn_values(m: int, n: int, z: ArrayLike, is_normalized: bool) -> Array:
    """The associated Legendre functions of all orders (first axis) and degrees up to n at z: [k] -> [n + 1, n + 1, k].

    Args:
      m: the highest order; it must be n.
      n: the highest degree.
      z: numbers in [-1, 1]: [k].
      is_normalized: with the factors that spherical harmonics have.

    Raises:
      NotImplementedError: m is not n. ValueError: z is no vector.

    >>> import functrans.numpy as fnp
    >>> from functrans.scipy import special
    >>> round(float(special.lpmn_values(1, 1, fnp.array([0.6]), False)[1, 1, 0]), 4)
    -0.8
    """
    most, z = _degree("lpmn_values", m, n, z)
    degree, order, spread = _grid(most, z)
    out = bind(LEGENDRE, degree, order, lax.acos(spread))
    return out if is_normalized else out * np.broadcast_to(_over_norm(most, out.dtype), out.shape)


def lpmn(m: int, n: int, z: ArrayLike) -> tuple[Array, Array]:
    """The associated Legendre functions as ``lpmn_values`` gives them, not normalised, and their derivatives by z.

    >>> import functrans.numpy as fnp
    >>> from functrans.scipy import special
    >>> values, slopes = special.lpmn(1, 1, fnp.array([0.5]))
    >>> round(float(slopes[1, 1, 0]), 4)
    0.5774
    """
    most, z = _degree("lpmn", m, n, z)
    degree, order, spread = _grid(most, z)
    values = lpmn_values(most, most, z, False)
    lower = lax.concatenate([lax.full_like(values[:, :1], 0.0), values[:, :-1]], 1)
    end = lax.abs(spread) == 1.0
    inside = (degree * spread * values - (degree + order) * lower) / where(end, 1.0, spread * spread - 1.0)
    right, left = (np.broadcast_to(_slopes_at_end(most, z.dtype, at), values.shape) for at in (1, -1))
    return values, where(end, where(spread > 0.0, right, left), inside)


def _slopes_at_end(most: int, dtype: Any, at: int) -> Any:
    """The derivatives at z = 1 or -1: [most + 1, most + 1, 1]."""
    out = np.zeros((most + 1, most + 1, 1))
    for n in range(1, most + 1):
        out[0, n] = at ** (n + 1) * n * (n + 1) / 2
        out[1, n] = at**n * math.inf
        if n > 1:
            out[2, n] = -(at ** (n + 1)) * (n - 1) * n * (n + 1) * (n + 2) / 4
    return out.astype(dtype)
