"""``jax.scipy.ndimage``: JAX's own function, which is composed of its operations and takes traced values."""

from jax.scipy.ndimage import map_coordinates as map_coordinates
