"""The primitives: one class an operation, one file a family. Functions of ``jax.ops`` stand in ``functrans.lax``, and
are found here, too.
"""

from importlib import import_module as _import_module

_SEGMENTS = ("segment_max", "segment_min", "segment_prod", "segment_sum")


def __getattr__(name: str) -> object:
    """The functions of ``jax.ops``, from the room above when somebody asks for them."""
    if name in _SEGMENTS:
        return getattr(_import_module("functrans.lax"), name)
    raise AttributeError(f"module 'functrans.ops' has no attribute {name!r}")
