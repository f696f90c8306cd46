"""``jax.interpreters``: where the rules of an operation of JAX are registered."""
