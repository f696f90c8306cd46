"""``jax.experimental.sparse``: JAX's own arrays and functions, which take traced values."""

from jax.experimental.sparse import *
