"""``jax.extend.backend``: XLA's clients."""

from jax.extend.backend import *
