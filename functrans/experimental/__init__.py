"""Names that JAX keeps in ``jax.experimental``, for programs written for it."""

from functrans.api.callbacks import io_callback as io_callback

__all__ = ["io_callback"]
