"""``jax.tree``: pytrees are JAX's own, and so are the functions on them."""

from jax.tree import *
