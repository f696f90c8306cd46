"""The primitives: one class an operation, one file a family."""


def __getattr__(name: str) -> object:
    """Whoever looks for a function of ``jax.ops`` is told where it stands."""
    where = f"; functrans.lax.{name} is what jax.ops.{name} does" if name.startswith("segment_") else ""
    raise AttributeError(f"module 'functrans.ops' has no attribute {name!r}{where}")
