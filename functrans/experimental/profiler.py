"""``jax.experimental.profiler``: JAX's own reader of profiles."""

from jax.experimental.profiler import *
