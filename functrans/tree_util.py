"""``jax.tree_util``: pytrees are JAX's own, and so are the functions on them."""

from jax.tree_util import *
