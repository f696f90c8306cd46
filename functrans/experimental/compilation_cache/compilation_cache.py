"""``jax.experimental.compilation_cache``: JAX's own, by which functrans' programs are kept, too."""

from jax.experimental.compilation_cache.compilation_cache import *
