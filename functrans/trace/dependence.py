"""Dependence: which outputs of a program depend on which of its inputs, result by result.

    c, d = call[jaxpr={ lambda ; x y. let z = sin x in (z, y) }] a b        c depends on a alone, d on b alone

There are two kinds. The *value* of a result depends on whatever is computed into it, the predicate that chose it too.
Its *derivative* goes through differentiable types only, through no choice, and ends at an operation that is
``locally_constant`` (``floor``, ``sign``, ``stop_gradient``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from functrans.ir.program import Equation, Jaxpr
from functrans.ir.types import is_differentiable


class Dependence:
    """One of the two kinds, VALUE or DERIVATIVE."""

    __slots__ = ("through_choices",)

    def __init__(self, through_choices: bool) -> None:
        self.through_choices = through_choices  # whether a result depends on what decided which program computed it

    def results(self, eqn: Equation, given: Sequence[bool]) -> list[bool]:
        """Which results of an equation depend on the given operands (a flag for each)."""
        op, outputs = eqn.op, eqn.outputs
        if not any(given) or (op.locally_constant and self is DERIVATIVE):
            return [False] * len(outputs)
        found = op.reached(given, self)
        flags = [True] * len(outputs) if found is None else list(found)
        if self is DERIVATIVE:
            flags = [f and is_differentiable(v.type.dtype) for f, v in zip(flags, outputs, strict=True)]
        return flags

    def outputs(self, jaxpr: Jaxpr, given: Sequence[bool]) -> tuple[bool, ...]:
        """Which outputs of a program depend on the given inputs (a flag for each). Remembered on the jaxpr."""
        given = tuple(given)
        return jaxpr.remember(("dependence", self.through_choices, given), lambda: self._outputs(jaxpr, given))

    def _outputs(self, jaxpr: Jaxpr, given: Sequence[bool]) -> tuple[bool, ...]:
        dependent: set[Any] = {
            v
            for v, flag in zip(jaxpr.inputs, given, strict=True)
            if flag and (self is VALUE or is_differentiable(v.type.dtype))
        }
        for eqn in jaxpr.equations:
            flags = [a in dependent for a in eqn.inputs]
            if any(flags):
                dependent.update(v for v, f in zip(eqn.outputs, self.results(eqn, flags), strict=True) if f)
        return tuple([a in dependent for a in jaxpr.outputs])


VALUE = Dependence(through_choices=True)
DERIVATIVE = Dependence(through_choices=False)
