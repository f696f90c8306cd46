"""``jax.interpreters.xla``: how an operation of JAX runs by itself."""

from jax.interpreters.xla import *
