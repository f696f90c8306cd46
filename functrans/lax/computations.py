"""Reductions by a function that the user gives: the function traced on scalars, known kinds told apart."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from functrans.errors import FunctransTypeError
from functrans.ir.types import array_type, type_of
from functrans.ops.arithmetic import MAX, MIN
from functrans.ops.elementwise import ADD, MUL
from functrans.ops.logic import AND, OR
from functrans.ops.reductions import greatest, least
from functrans.ops.structural import broadcast_in_dim, convert, reshape
from functrans.trace.primitive import Lanes
from functrans.trace.replay import trace
from functrans.trace.values import concrete, differentiators
from functrans.transform.vmap import vmap


class Computation:
    """An associative function of two (pytrees of) scalars, and the arrays and neutral elements it is to reduce.

    ``known``: 'sum', 'max', 'min', 'prod', 'and' or 'or' where it is one of these and starts from the neutral element.
    """

    __slots__ = ("captured", "known", "operands", "program", "scalars", "starts", "tree", "types")

    def __init__(self, operation: str, operand: Any, init_value: Any, computation: Callable[..., Any]) -> None:
        self.operands, self.tree = jax.tree.flatten(operand)
        initials, initials_tree = jax.tree.flatten(init_value)
        if self.tree != initials_tree:  # type: ignore[operator]
            raise FunctransTypeError(
                f"{operation}: initial values must have the tree of the operands, {self.tree}, got {initials_tree}"
            )
        if not self.operands:
            raise FunctransTypeError(f"{operation}: at least one array is needed")
        self.types = [type_of(x) for x in self.operands]
        if any(t.shape != self.types[0].shape for t in self.types):
            raise FunctransTypeError(
                f"{operation}: all arrays must have one shape, got {', '.join(str(t.shape) for t in self.types)}"
            )
        self.starts = []
        for value, type_ in zip(initials, self.types, strict=True):
            if type_of(value).ndim:
                raise FunctransTypeError(
                    f"{operation}: an initial value must be a scalar, got shape {type_of(value).shape}"
                )
            self.starts.append(convert(value, type_.dtype))
        self.scalars = [array_type((), t.dtype) for t in self.types]

        def flat(*values: Any) -> list[Any]:
            half = len(self.types)
            earlier, later = (jax.tree.unflatten(self.tree, part) for part in (values[:half], values[half:]))
            outs, out_tree = jax.tree.flatten(computation(earlier, later))
            if out_tree != self.tree:  # type: ignore[operator]
                raise FunctransTypeError(
                    f"{operation}: the computation must return the tree of its operands, {self.tree}, got {out_tree}"
                )
            return outs

        self.program, self.captured = trace(flat, [*self.scalars, *self.scalars], f"the computation of {operation}")
        self.known = self._known(initials[0]) if len(self.types) == 1 and not self.captured else None

    def _known(self, initial: Any) -> str | None:
        value = concrete(initial) if not differentiators(initial) else None
        if value is None or len(self.program.equations) != 1:
            return None
        eqn = self.program.equations[0]
        if set(eqn.inputs) != set(self.program.inputs) or tuple(self.program.outputs) != tuple(eqn.outputs):
            return None
        dtype = self.types[0].dtype
        if dtype.kind == "c" and eqn.op in (MAX, MIN):
            return None
        neutral: dict[Any, tuple[str, Callable[[], Any]]] = {
            ADD: ("sum", lambda: 0),
            MUL: ("prod", lambda: 1),
            MAX: ("max", lambda: least(dtype)),
            MIN: ("min", lambda: greatest(dtype)),
        }
        if dtype == np.bool_:
            neutral = {AND: ("and", lambda: True), OR: ("or", lambda: False)}
        found = neutral.get(eqn.op)
        return found[0] if found is not None and np.asarray(value).item() == found[1]() else None

    def combine(self, earlier: Sequence[Any], later: Sequence[Any]) -> list[Any]:
        """The computation on corresponding elements of arrays."""
        shape = type_of(earlier[0]).shape
        size = math.prod(shape)
        flats = [reshape(x, (size,)) for x in (*earlier, *later)]
        mapped = [False] * len(self.captured) + [True] * len(flats)
        outs, spread = vmap(self.program, Lanes(size), [*self.captured, *flats], mapped)
        full = [x if m else broadcast_in_dim(x, (size,), ()) for x, m in zip(outs, spread, strict=True)]
        return [reshape(convert(x, t.dtype), shape) for x, t in zip(full, self.scalars, strict=True)]

    def result(self, arrays: Sequence[Any]) -> Any:
        """Arrays in the tree of the operands."""
        return jax.tree.unflatten(self.tree, arrays)
