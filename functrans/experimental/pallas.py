"""``jax.experimental.pallas``: JAX's own kernels, which take traced values.

A ``pallas_call`` or ``kernel`` is one operation of a program of functrans, compiled by JAX (``interpret=True`` where
the platform has no compiler of kernels). Its derivatives and its vmap are JAX's; a ``custom_vjp`` around it gives it
others. References that a kernel is given are JAX's (``jax.new_ref``).
"""

from jax.experimental.pallas import *
