"""What a program costs to run, roughly: floating-point operations, an element of any other result counted as a few."""

from __future__ import annotations

from functrans.ir.program import Equation, Jaxpr, subjaxprs
from functrans.ops.products import DotGeneral

_STEPS_OF_A_WHILE = 20  # nobody knows
_TRANSCENDENTAL = 10


def cost(jaxpr: Jaxpr) -> int:
    """The cost of a program. Remembered on it."""
    known: int | None = jaxpr.memo.get("cost")
    if known is None:
        known = jaxpr.memo["cost"] = sum(map(_cost_of, jaxpr.equations))
    return known


def _cost_of(eqn: Equation) -> int:
    op = eqn.op
    if op.holds_jaxprs:
        inner = [cost(jaxpr) for jaxpr in subjaxprs(op)]
        if op.name == "scan":
            return int(getattr(op, "length", 1)) * sum(inner)
        if op.name == "while":
            return _STEPS_OF_A_WHILE * sum(inner)
        if op.name == "switch_lanes":
            return int(getattr(op, "lanes", 1)) * max(inner, default=0)
        return max(inner, default=0) if op.name == "switch" else sum(inner)
    size = max([v.type.size for v in eqn.outputs], default=0)
    if isinstance(op, DotGeneral):
        contracted = 1
        for axis in op.lhs_contracting:
            contracted *= eqn.inputs[0].type.shape[axis]
        return 2 * size * contracted
    if op.name in _EXPENSIVE:
        return _TRANSCENDENTAL * size
    return max([size, *[a.type.size for a in eqn.inputs]])


_EXPENSIVE = frozenset(
    "sin cos tan asin acos atan atan2 sinh cosh tanh asinh acosh atanh exp exp2 expm1 log log1p logistic pow "
    "erf erfc erf_inv lgamma digamma".split()
)
