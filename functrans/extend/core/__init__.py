"""``jax.extend.core``: operations of JAX, and its programs."""

from jax.extend.core import *
