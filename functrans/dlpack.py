"""``jax.dlpack``: arrays of other libraries on the same memory. Arrays are JAX's own."""

from jax.dlpack import *
