"""The multinomial distribution: how often each of k outcomes occurs in n trials."""

from __future__ import annotations

import math

from functrans import lax
from functrans.errors import FunctransTypeError
from functrans.ir.types import kind_of, type_of
from functrans.numpy.creation import asarray
from functrans.numpy.promotion import promote_dtypes, to_dtype
from functrans.numpy.reductions import sum as total
from functrans.numpy.selection import where
from functrans.scipy.special.arguments import Array, ArrayLike
from functrans.scipy.special.entropies import xlogy
from functrans.scipy.stats.discrete import log_factorial


def logpmf(x: ArrayLike, n: ArrayLike, p: ArrayLike) -> Array:
    """The logarithm of the probability of the counts x: [..., k] (integers) in n trials, for probabilities p: [..., k].

    -inf where the counts do not add up to n.

    Raises:
      TypeError: x is not of integers.

    >>> from functrans.scipy.stats import multinomial
    >>> import numpy as np
    >>> round(float(multinomial.logpmf(np.array([1, 1]), 2, np.float32([0.5, 0.5]))), 4)
    -0.6931
    """
    if kind_of(type_of(asarray(x)).dtype) not in "iu":
        raise FunctransTypeError(f"multinomial.logpmf: the counts x must be integers, got {type_of(asarray(x))}")
    (p,) = map(asarray, promote_dtypes("multinomial.logpmf", asarray(p), inexact=True))
    counts, trials = to_dtype(asarray(x), p.dtype), to_dtype(asarray(n), p.dtype)
    logarithm = log_factorial(trials) + total(xlogy(counts, p) - log_factorial(counts), -1)
    return where(total(counts, -1) == trials, logarithm, -math.inf)


def pmf(x: ArrayLike, n: ArrayLike, p: ArrayLike) -> Array:
    """The probability of the counts x, as ``logpmf``.

    >>> from functrans.scipy.stats import multinomial
    >>> import numpy as np
    >>> float(multinomial.pmf(np.array([1, 2]), 2, np.float32([0.5, 0.5])))
    0.0
    """
    return lax.exp(logpmf(x, n, p))
