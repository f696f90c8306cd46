"""vmap rules of the user's own, under the names of ``jax.custom_batching``."""

from functrans.api.custom_batching import custom_vmap as custom_vmap
from functrans.api.custom_batching import sequential_vmap as sequential_vmap

__all__ = ["custom_vmap", "sequential_vmap"]
