"""``jax.interpreters.partial_eval``: partial evaluation of JAX's programs."""

from jax.interpreters.partial_eval import *
