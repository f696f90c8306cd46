"""``jax.example_libraries``: ``stax`` and ``optimizers``, JAX's own functions, which take traced values."""

from functrans.example_libraries import optimizers as optimizers
from functrans.example_libraries import stax as stax
