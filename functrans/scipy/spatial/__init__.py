"""``jax.scipy.spatial``: ``transform``."""

from functrans.scipy.spatial import transform as transform
