"""``jax.image``: JAX's own functions, which are composed of its operations and take traced values."""

from jax.image import *
