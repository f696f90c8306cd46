"""``jax.experimental.multihost_utils``: JAX's own; what processes tell each other."""

from jax.experimental.multihost_utils import *
