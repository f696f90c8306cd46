"""``jax.core``: values and types of JAX's programs. ``Tracer`` is the class of JAX's, of which functrans' is one."""

from jax.core import *
