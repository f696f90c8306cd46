"""Taylor mode under JAX's name and calling convention."""

from functrans.api.taylor import jet as jet

__all__ = ["jet"]
