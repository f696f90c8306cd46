"""``jax.experimental.scheduling_groups``: JAX's own marks for XLA; functrans' programs leave them out."""

from jax.experimental.scheduling_groups import scheduling_group as scheduling_group
