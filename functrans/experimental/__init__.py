"""Names that JAX keeps in ``jax.experimental``, for programs written for it; its modules are loaded when asked for."""

from importlib import import_module as _import_module

from jax.experimental import primal_tangent_dtype as primal_tangent_dtype

from functrans.api.callbacks import io_callback as io_callback

__all__ = ["checkify", "io_callback", "jet", "layout", "ode", "primal_tangent_dtype", "rnn", "sparse"]

_MODULES = ("checkify", "jet", "layout", "ode", "rnn", "sparse")


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return _import_module(f"functrans.experimental.{name}")
    raise AttributeError(f"module 'functrans.experimental' has no attribute {name!r}")
