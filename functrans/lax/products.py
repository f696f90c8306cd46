"""How exact products and elementwise functions are to be, as ``jax.lax`` says it: in the same words, so that JAX's
functions take them too.
"""

from __future__ import annotations

from typing import NamedTuple

from jax.lax import AccuracyMode as AccuracyMode
from jax.lax import DotAlgorithmPreset as DotAlgorithmPreset
from jax.lax import Precision as Precision

from functrans.ops.products import DotAlgorithm as DotAlgorithm


class Tolerance(NamedTuple):
    """Bounds of the error of an elementwise function: refused, as there is no telling that they are kept."""

    atol: float = 0.0
    rtol: float = 0.0
    ulps: int = 0
