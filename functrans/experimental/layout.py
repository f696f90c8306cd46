"""``jax.experimental.layout``: JAX's own descriptions of how an array lies in memory; functrans' programs leave that to
XLA.
"""

from jax.experimental.layout import *
