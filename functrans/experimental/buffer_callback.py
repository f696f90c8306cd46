"""``jax.experimental.buffer_callback``: JAX's own calls of Python functions on the buffers of a device."""

from jax.experimental.buffer_callback import *
