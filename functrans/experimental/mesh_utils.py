"""``jax.experimental.mesh_utils``: JAX's own; arrangements of devices."""

from jax.experimental.mesh_utils import *
