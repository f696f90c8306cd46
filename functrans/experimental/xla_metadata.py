"""``jax.experimental.xla_metadata``: JAX's own marks for XLA; functrans' programs leave them out."""

from jax.experimental.xla_metadata import *
