"""``jax.monitoring``: listeners to the events of a process, those of XLA's compiler and of JAX's caches."""

from jax.monitoring import *
