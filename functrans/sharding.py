"""``jax.sharding``: descriptions of where arrays are. A program of functrans computes on one device (README)."""

from jax.sharding import *
