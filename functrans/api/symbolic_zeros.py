"""What rules with ``symbolic_zeros`` are given: zeros that are no arrays, arguments that say if they are perturbed."""

from __future__ import annotations

from typing import Any

import numpy as np
from jax.tree_util import tree_flatten, tree_map, tree_unflatten

from functrans.errors import FunctransTypeError
from functrans.ir.records import Record
from functrans.ir.types import ArrayType, array_type, describe, float0, is_differentiable, type_of
from functrans.ops.structural import full
from functrans.trace.frames import api_boundary, here


class SymbolicZero:
    """A tangent or cotangent known to be zero: it has a type and no value.

    >>> import functrans as ft
    >>> zero = ft.custom_derivatives.zero_from_primal(1.0, symbolic_zeros=True)
    >>> zero, zero.shape
    (SymbolicZero, ())
    """

    __slots__ = ("aval",)

    def __init__(self, aval: ArrayType) -> None:
        self.aval = aval

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the zeros."""
        return self.aval.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the zeros."""
        return self.aval.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.aval.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return self.aval.size

    def __repr__(self) -> str:
        return "SymbolicZero"


class CustomVJPPrimal(Record):
    """An argument of a fwd rule with ``symbolic_zeros``: its value, and whether it is differentiated."""

    value: Any
    perturbed: bool


def symbolic_zero(primal: ArrayType) -> SymbolicZero:
    """The zero tangent of a value of this type."""
    return SymbolicZero(primal if is_differentiable(primal.dtype) else array_type(primal.shape, float0))


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
