"""``jax.extend.sharding``: shardings as XLA writes them."""

from jax.extend.sharding import *
