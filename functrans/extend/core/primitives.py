"""``jax.extend.core.primitives``: the operations of JAX."""

from jax.extend.core.primitives import *
