"""The exponential of matrices: a Padé approximant of the matrix scaled down, squared again and again."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from functrans import lax
from functrans.api.vectorization import vmap
from functrans.ir.types import type_of
from functrans.numpy import factorised
from functrans.numpy.equations import matrices
from functrans.numpy.families import one_program
from functrans.numpy.promotion import Array, ArrayLike
from functrans.ops.elementwise import real_dtype
from functrans.ops.matrices import INT32, identity, matmul

# Orders of the approximants and the largest 1-norms for which they are exact to a rounding (Higham 2005, SIAM J. Matrix
# Anal. Appl. 26, table 2.3; for single precision as in section 2).
_ORDERS = {4: (7, 3.925724783138660), 8: (13, 5.371920351148152)}


@one_program("upper_triangular", "max_squarings")
def expm(A: ArrayLike, *, upper_triangular: bool = False, max_squarings: int = 16) -> Array:
    """The exponentials of square matrices.

    Args:
      A: ``[..., n, n]``.
      upper_triangular: the matrices are upper triangular, which is cheaper.
      max_squarings: NaN for a matrix whose 1-norm would need more.

    Raises:
      ValueError: matrices that are not square.

    >>> import functrans.numpy as fnp, functrans.scipy.linalg as linalg
    >>> linalg.expm(fnp.array([[0., 1.], [0., 0.]])).tolist()
    [[1.0, 1.0], [0.0, 1.0]]
    """
    (x,) = matrices("expm", A, square=True)
    shape = type_of(x).shape
    if 0 in shape:
        return x
    if len(shape) == 2:
        return _exponential(x, upper_triangular, max_squarings)
    flat = lax.reshape(x, (math.prod(shape[:-2]), *shape[-2:]))
    return lax.reshape(vmap(lambda a: _exponential(a, upper_triangular, max_squarings))(flat), shape)


def _exponential(a: Any, upper_triangular: bool, max_squarings: int) -> Any:
    part = real_dtype(a.dtype)
    order, radius = _ORDERS[part.itemsize]
    norm = lax.reduce_max(lax.reduce_sum(lax.abs(lax.stop_gradient(a)), (0,)), (0,))
    squarings = lax.max(0.0, lax.ceil(lax.div(lax.log(lax.div(norm, radius)), math.log(2.0))))
    scaled = lax.mul(a, lax.convert_element_type(lax.exp2(lax.neg(squarings)), a.dtype))
    even, odd = _approximant(scaled, order)
    # exp = (even - odd)^-1 (even + odd)
    if upper_triangular:
        start = lax.linalg.triangular_solve(lax.sub(even, odd), lax.add(even, odd), left_side=True)
    else:
        start = factorised.solve(lax.sub(even, odd), lax.add(even, odd))
    count = lax.convert_element_type(squarings, INT32)

    def step(i: Any, x: Any) -> Any:
        return lax.cond(lax.lt(lax.convert_element_type(i, INT32), count), lambda x: matmul(x, x), lambda x: x, x)

    result = lax.fori_loop(0, int(max_squarings), step, start)
    return lax.select(lax.gt(squarings, float(max_squarings)), np.nan, result)


def _approximant(a: Any, order: int) -> tuple[Any, Any]:
    """The even and the odd part of the numerator of the diagonal Padé approximant of exp."""
    coefficients = [
        math.factorial(2 * order - j) * math.factorial(order) // (math.factorial(order - j) * math.factorial(j))
        for j in range(order + 1)
    ]
    scale = float(coefficients[-1])
    weights = [c / scale for c in coefficients]
    unit = identity(a)
    powers = [unit, matmul(a, a)]
    half = order // 2  # of squares
    while len(powers) < min(half, 3) + 1:
        powers.append(matmul(powers[-1], powers[1]))

    def combination(chosen: list[float]) -> Any:
        """The sum of chosen[j] a^2j, j up to 6: a^6 is factored out of what lies beyond it."""
        total = lax.mul(powers[0], chosen[0])
        for power, weight in zip(powers[1:], chosen[1:], strict=False):
            total = lax.add(total, lax.mul(power, weight))
        if len(chosen) > len(powers):
            beyond = lax.mul(powers[1], chosen[4])
            for power, weight in zip(powers[2:], chosen[5:], strict=False):
                beyond = lax.add(beyond, lax.mul(power, weight))
            total = lax.add(total, matmul(powers[3], beyond))
        return total

    return combination(weights[0::2]), matmul(a, combination(weights[1::2]))
