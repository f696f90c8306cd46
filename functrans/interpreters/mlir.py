"""``jax.interpreters.mlir``: what operations of JAX are for XLA."""

from jax.interpreters.mlir import *
