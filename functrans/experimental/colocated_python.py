"""``jax.experimental.colocated_python``: JAX's own; Python beside other devices, on arrays that are there."""

from jax.experimental.colocated_python import *
