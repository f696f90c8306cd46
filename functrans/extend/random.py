"""``jax.extend.random``: implementations of keys."""

from jax.extend.random import *
