"""``jax.interpreters.batching``: rules of operations of JAX under vmap."""

from jax.interpreters.batching import *
