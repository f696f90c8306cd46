"""``jax.experimental.overlap``, where this JAX has it: in functrans' programs XLA orders what need not be ordered."""

from functrans.jaxlib_compat.operations import jax_operation

_OF_JAX = frozenset(("program_order",))


def __getattr__(name: str) -> object:
    """JAX's own."""
    return jax_operation("experimental.overlap", name, _OF_JAX)
