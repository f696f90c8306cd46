"""``jax.scipy.cluster``: ``vq``."""

from functrans.scipy.cluster import vq as vq
