"""The version of JAX that the tests compare with, for the few places where its releases disagree with each other."""

import jax

JAX = tuple(int(part) for part in jax.__version__.split(".")[:2])
