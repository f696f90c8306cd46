"""``jax.experimental.hijax``: operations of one's own for JAX, which take traced values and keep their rules.

Values of types of one's own (``HiType``) do not enter functrans' transforms.
"""

from jax.experimental.hijax import *
