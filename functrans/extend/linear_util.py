"""``jax.extend.linear_util``: functions wrapped in transformations, as JAX's own are."""

from jax.extend.linear_util import *
