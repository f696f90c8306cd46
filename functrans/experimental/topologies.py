"""``jax.experimental.topologies``: JAX's own; descriptions of devices that need not be there."""

from jax.experimental.topologies import *
