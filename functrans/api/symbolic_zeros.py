"""What rules with ``symbolic_zeros`` are given: zeros that are no arrays, arguments that say if they are perturbed.

The classes are those of JAX: a library's rule looks for them, whoever differentiates by it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jax.custom_derivatives import CustomVJPPrimal as CustomVJPPrimal
from jax.custom_derivatives import SymbolicZero as SymbolicZero
from jax.tree_util import tree_flatten, tree_map, tree_unflatten

from functrans.errors import FunctransTypeError
from functrans.ir.types import ArrayType, describe, float0, type_of
from functrans.jaxlib_compat.array_values import abstract_value
from functrans.ops.structural import full
from functrans.trace.frames import api_boundary, here


def symbolic_zero(primal: ArrayType) -> SymbolicZero:
    """The zero tangent of a value of this type."""
    return SymbolicZero(abstract_value(primal).to_tangent_aval())


def zero_from_primal(val: Any, symbolic_zeros: bool = False) -> Any:
    """Zero tangents for a pytree of values: arrays, or ``SymbolicZero``s.

    >>> import functrans as ft
    >>> float(ft.custom_derivatives.zero_from_primal(2.0))
    0.0
    """

    def zero(x: Any) -> Any:
        found = symbolic_zero(type_of(x))
        if symbolic_zeros:
            return found
        return np.zeros(found.shape, float0) if found.dtype == float0 else full(found.shape, 0, found.dtype)

    return tree_map(zero, val)


@api_boundary
def custom_vjp_primal_tree_values(tree: Any) -> Any:
    """The values of a pytree of ``CustomVJPPrimal``s.

    Raises:
      TypeError: a leaf is something else.

    >>> import functrans as ft
    >>> ft.custom_derivatives.custom_vjp_primal_tree_values((ft.custom_derivatives.CustomVJPPrimal(1.0, True),))
    (1.0,)
    """

    leaves, structure = tree_flatten(tree)
    for leaf in leaves:
        if type(leaf) is not CustomVJPPrimal:
            raise FunctransTypeError(
                f"custom_vjp_primal_tree_values needs CustomVJPPrimal leaves, got {describe(leaf)} at {here()}"
            )
    return tree_unflatten(structure, [leaf.value for leaf in leaves])
