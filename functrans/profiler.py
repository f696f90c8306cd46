"""``jax.profiler``: XLA's profiler, which sees the programs of both libraries."""

from jax.profiler import *
