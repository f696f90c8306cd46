"""``jax.dtypes``: dtypes are JAX's own."""

from jax.dtypes import *
