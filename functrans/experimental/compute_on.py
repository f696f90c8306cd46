"""``jax.experimental.compute_on``: JAX's own; functrans' programs compute on their device all the same."""

from jax.experimental.compute_on import *
