"""``jax.scipy.cluster.vq``: JAX's own function, which is composed of its operations and takes traced values."""

from jax.scipy.cluster.vq import vq as vq
