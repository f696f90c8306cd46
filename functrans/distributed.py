"""``jax.distributed``: the processes of a cluster, which XLA's runtime connects."""

from jax.distributed import *
