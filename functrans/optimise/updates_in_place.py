"""Updates that are computed from the array that they are written over, computed before. For CPU.

    y = reshape x;  u = slice y;  z = dynamic_update_slice y u 1 0       becomes    z = ... y (keep u) 1 0

XLA makes one kernel of an update in place and of what computes it. Where that reads the array that is written over in
another shape, the kernel reads elements that it has written: shifting rows by one with
``y.at[1:3].set(y[:2])``, of ``y = x.reshape(6, 3)``, wrote the first one twice (jaxlib 0.10.2 to 0.12.0; ``jax.jit``
has it too). In the same shape XLA takes care.
"""

from __future__ import annotations

from typing import Any

from functrans.ir.program import Equation, Jaxpr, Literal, Var
from functrans.ops.dynamic_slicing import DynamicUpdateSlice

_FAR = 2000  # operations behind an update that are looked at


def read_in_place(jaxpr: Jaxpr, inside_call: bool) -> frozenset[int]:
    """The places of the equations whose update may read what it is written over. ``inside_call``: the inputs may be one
    array in several shapes."""
    if not any(type(eqn.op) is DynamicUpdateSlice for eqn in jaxpr.equations):
        return frozenset()
    made = {v: i for i, eqn in enumerate(jaxpr.equations) for v in eqn.outputs}
    return frozenset(
        i for i, eqn in enumerate(jaxpr.equations)
        if type(eqn.op) is DynamicUpdateSlice and _reads(jaxpr.equations, made, eqn, inside_call)
    )  # fmt: skip


def _reads(equations: Any, made: dict[Any, int], update: Equation, inside_call: bool) -> bool:
    whole, part = update.inputs[:2]
    if type(whole) is Literal or type(part) is Literal:
        return False
    same, from_inputs = _same_elements(equations, made, whole)
    first = min(made.get(v, -1) for v in same)
    met = otherwise = False  # whether it reads the array, and whether anything reads it in another shape
    seen: set[Any] = set()
    stack: list[Any] = [part]
    while stack:
        v = stack.pop()
        if type(v) is Literal or v in seen or not v.type.shape:
            continue
        seen.add(v)
        if len(seen) > _FAR:
            return True
        if v in same:
            met, otherwise = True, otherwise or same[v]
        place = made.get(v, -1)
        if place < 0:
            if inside_call and from_inputs:
                return True
        elif place >= first:
            eqn = equations[place]
            otherwise = otherwise or (_is_other_shape(eqn) and v.type.size == whole.type.size)
            stack.extend(eqn.inputs)
        if met and otherwise:
            return True
    return False


def _same_elements(equations: Any, made: dict[Any, int], whole: Any) -> tuple[dict[Any, bool], bool]:
    """The values of which XLA may keep this one in place, and whether each has another shape on the way; whether inputs
    of the program are among them."""
    found: dict[Any, bool] = {}
    from_inputs = False
    stack = [(whole, False)]
    while stack:
        v, otherwise = stack.pop()
        if v in found and (found[v] or not otherwise):
            continue
        found[v] = otherwise
        place = made.get(v, -1)
        if place < 0:
            from_inputs = True
            continue
        eqn = equations[place]
        if eqn.op.elementwise or _is_other_shape(eqn):
            step = otherwise or not eqn.op.elementwise
            stack += [(a, step) for a in eqn.inputs if type(a) is Var and a.type.size == v.type.size]
    return found, from_inputs


def _is_other_shape(eqn: Equation) -> bool:
    """Whether the result may be an operand in another shape."""
    op, (v, *_) = eqn.op, eqn.outputs
    if op.elementwise or not (op.moves or op.gives_place):
        return False
    return any(a.type.size == v.type.size for a in eqn.inputs)
