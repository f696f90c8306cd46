"""Derivative rules of the user's own, under the names of ``jax.custom_derivatives``."""

from functrans.api.custom_derivatives import closure_convert as closure_convert
from functrans.api.custom_derivatives import custom_gradient as custom_gradient
from functrans.api.custom_derivatives import linear_call as linear_call
from functrans.api.custom_rules import custom_jvp as custom_jvp
from functrans.api.custom_rules import custom_vjp as custom_vjp
from functrans.api.symbolic_zeros import CustomVJPPrimal as CustomVJPPrimal
from functrans.api.symbolic_zeros import SymbolicZero as SymbolicZero
from functrans.api.symbolic_zeros import custom_vjp_primal_tree_values as custom_vjp_primal_tree_values
from functrans.api.symbolic_zeros import zero_from_primal as zero_from_primal
from functrans.jaxlib_compat.operations import jax_operation

__all__ = [
    "CustomVJPPrimal", "SymbolicZero", "closure_convert", "custom_gradient", "custom_jvp", "custom_vjp",
    "custom_vjp_primal_tree_values", "linear_call", "zero_from_primal",
]  # fmt: skip


def __getattr__(name: str) -> object:
    """JAX's own operations (``custom_jvp_call_p``), which take traced values: for programs that bind them."""
    return jax_operation("custom_derivatives", name)
