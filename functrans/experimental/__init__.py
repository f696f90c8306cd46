"""Names that JAX keeps in ``jax.experimental``, for programs written for it; its modules are loaded when asked for."""

from importlib import import_module as _import_module

from jax.experimental import primal_tangent_dtype as primal_tangent_dtype

from functrans.api.callbacks import io_callback as io_callback

__all__ = ["io_callback", "primal_tangent_dtype"]

_MODULES = frozenset(
    """
    buffer_callback checkify colocated_python compilation_cache compute_on custom_partitioning hijax jet layout
    mesh_utils multihost_utils ode overlap pallas profiler random rnn scheduling_groups source_mapper sparse topologies
    xla_metadata
    """.split()
)


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return _import_module(f"functrans.experimental.{name}")
    raise AttributeError(f"module 'functrans.experimental' has no attribute {name!r}")
