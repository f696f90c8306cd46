"""``jax.ffi``: calls of compiled functions of other languages, which are JAX's own operations in our programs."""

from jax.ffi import *
