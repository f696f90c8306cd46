"""``jax.experimental.custom_partitioning``: JAX's own; on the one device of a program it is the function itself."""

from jax.experimental.custom_partitioning import *
