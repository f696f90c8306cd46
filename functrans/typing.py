"""``jax.typing``: types for annotations."""

from jax.typing import *
