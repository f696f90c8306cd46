"""Looking at compiled code: ``functrans.debug.print``, ``functrans.debug.callback`` and their kin."""

from jax.debug import DebugEffect as DebugEffect
from jax.debug import OrderedDebugEffect as OrderedDebugEffect
from jax.debug import visualize_sharding as visualize_sharding

from functrans.api.debugging import breakpoint as breakpoint
from functrans.api.debugging import callback as callback
from functrans.api.debugging import inspect_array_sharding as inspect_array_sharding
from functrans.api.debugging import log as log
from functrans.api.debugging import print as print
from functrans.api.debugging import visualize_array_sharding as visualize_array_sharding

__all__ = [
    "DebugEffect", "OrderedDebugEffect", "breakpoint", "callback", "inspect_array_sharding", "log", "print",
    "visualize_array_sharding", "visualize_sharding",
]  # fmt: skip
