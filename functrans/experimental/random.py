"""``jax.experimental.random``: JAX's own generators with a state, in functions that make them."""

from jax.experimental.random import *
