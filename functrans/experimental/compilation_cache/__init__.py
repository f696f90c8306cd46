"""``jax.experimental.compilation_cache``: the module ``compilation_cache``."""

from functrans.experimental.compilation_cache import compilation_cache as compilation_cache
