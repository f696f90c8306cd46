"""The bridge: JAX programs as functrans functions (``from_jax``), functrans functions inside JAX programs (``to_jax``).

A JAX function is traced by JAX and its program written again with our operations, so that every transform of functrans
applies to it through functrans' rules. A functrans function enters a JAX program as one operation of JAX whose rules
transform our program.
"""

from functrans.interop import opened as _opened  # checkify's rule for our programs  # noqa: F401
from functrans.interop.from_jax import from_jax as from_jax
from functrans.interop.to_jax import to_jax as to_jax

__all__ = ["from_jax", "to_jax"]
