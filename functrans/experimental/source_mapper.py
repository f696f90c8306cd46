"""``jax.experimental.source_mapper``: JAX's own; what its compiler makes of a function, by line."""

from jax.experimental.source_mapper import *
