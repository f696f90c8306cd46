"""softmax and its logarithm with SciPy's signatures: over all axes by default."""

from __future__ import annotations

from typing import Any

from functrans.nn import normalised
from functrans.scipy.special.arguments import Array, ArrayLike


def softmax(x: ArrayLike, /, *, axis: Any = None) -> Array:
    """exp(x) / sum(exp(x)) over ``axis`` (all of them by default).

    >>> import numpy as np
    >>> from functrans.scipy import special
    >>> special.softmax(np.zeros(2, np.float32)).tolist()
    [0.5, 0.5]
    """
    return normalised.softmax(x, axis=axis)


def log_softmax(x: ArrayLike, /, *, axis: Any = None) -> Array:
    """log(softmax(x)) over ``axis`` (all of them by default).

    >>> import numpy as np
    >>> from functrans.scipy import special
    >>> special.log_softmax(np.zeros(1, np.float32)).tolist()
    [0.0]
    """
    return normalised.log_softmax(x, axis=axis)
