"""``jax.interpreters.pxla``: options of XLA's compiler."""

from jax.interpreters.pxla import *
