"""Derivative rules of the user's own, under the names of ``jax.custom_derivatives``."""

from functrans.api.custom_derivatives import closure_convert as closure_convert
from functrans.api.custom_derivatives import custom_gradient as custom_gradient
from functrans.api.custom_derivatives import linear_call as linear_call
from functrans.api.custom_rules import custom_jvp as custom_jvp
from functrans.api.custom_rules import custom_vjp as custom_vjp

__all__ = ["closure_convert", "custom_gradient", "custom_jvp", "custom_vjp", "linear_call"]
