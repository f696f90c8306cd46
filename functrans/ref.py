"""``jax.ref``: references, JAX's own. One that is made inside of a function that functrans traces lives there."""

from jax.ref import *
