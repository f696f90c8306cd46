"""What stands in ``jax.ad_checkpoint``: checkpoints, their policies and names, and what a backward pass stores."""

from jax.ad_checkpoint import Offloadable as Offloadable
from jax.ad_checkpoint import Recompute as Recompute
from jax.ad_checkpoint import Saveable as Saveable

from functrans.api.checkpointing import checkpoint as checkpoint
from functrans.api.checkpointing import print_saved_residuals as print_saved_residuals
from functrans.api.checkpointing import remat as remat
from functrans.api.checkpointing import saved_residuals as saved_residuals
from functrans.control import checkpoint_policies as checkpoint_policies
from functrans.jaxlib_compat.operations import jax_operation
from functrans.ops.naming import checkpoint_name as checkpoint_name

__all__ = [
    "Offloadable", "Recompute", "Saveable", "checkpoint", "checkpoint_name", "checkpoint_policies",
    "print_saved_residuals", "remat", "saved_residuals",
]  # fmt: skip

_OF_JAX = frozenset(("checkpoint_name_fwd",))


def __getattr__(name: str) -> object:
    """JAX's own operation ``name_p``, and the function that gives it, where this JAX has them."""
    return jax_operation("ad_checkpoint", name, _OF_JAX)
