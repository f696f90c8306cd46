"""Updates that are computed from the array that they are written over, computed before. For CPU.

    u = slice y [0:2];  z = dynamic_update_slice y u 1        becomes    z = dynamic_update_slice y (keep u) 1

XLA makes one kernel of an update in place and of what computes it, and that kernel may read elements that it has
written: shifting rows by one with ``y.at[1:3].set(y[:2])`` wrote the first one twice (jaxlib 0.10.2 to 0.12.0;
``jax.jit`` has it too). XLA means to take care, and does not where it has moved a reshape over the update: one of the
array, or of whoever reads the result, and it makes reshapes of its own, for axes of size one, for products and
convolutions. So whether one will be there cannot be told from the program. What reads no other elements than those
that it is written over, ``y.at[1:3].multiply(2)``, is left to XLA's one kernel.
"""

from __future__ import annotations

from typing import Any

from functrans.ir.program import Equation, Jaxpr, Literal, Var
from functrans.ops.dynamic_slicing import DynamicSlice, DynamicUpdateSlice
from functrans.ops.slicing import Slice
from functrans.ops.structural import Reshape

_FAR = 2000  # operations behind an update that are looked at


def read_in_place(jaxpr: Jaxpr, inside_call: bool) -> frozenset[int]:
    """The places of the equations whose update may read what it is written over. ``inside_call``: the inputs may be one
    array."""
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
    same = _same_elements(equations, made, whole)
    first = min(made.get(v, -1) for v in same)
    from_inputs = inside_call and first < 0
    seen: set[Any] = set()
    stack: list[Any] = [(part, True)]  # with whether each element is made of the one at its place alone
    while stack:
        v, in_place = stack.pop()
        if type(v) is Literal or (v, in_place) in seen:
            continue
        seen.add((v, in_place))
        if v in same or len(seen) > _FAR:
            return True
        place = made.get(v, -1)
        if place < 0:
            if from_inputs and v.type.shape:
                return True
            continue
        eqn = equations[place]
        if in_place and _is_window(eqn, update):
            continue
        if place >= first:
            in_place = in_place and (eqn.op.elementwise or type(eqn.op) is Reshape)
            stack += [(a, in_place) for a in eqn.inputs]
    return False


def _is_window(eqn: Equation, update: Equation) -> bool:
    """Whether the equation takes the elements that the update is written over."""
    op, (whole, part, *starts) = eqn.op, update.inputs
    if not eqn.inputs or eqn.inputs[0] is not whole or eqn.outputs[0].type.shape != part.type.shape:
        return False
    if type(op) is DynamicSlice:
        return all(map(_is_same, eqn.inputs[1:], starts))
    if type(op) is not Slice or any(s != 1 for s in op.strides):
        return False
    return all(type(s) is Literal and s.value == own for s, own in zip(starts, op.start_indices, strict=True))


def _is_same(a: Any, b: Any) -> bool:
    return a is b or (type(a) is Literal and type(b) is Literal and a.value == b.value)


def _same_elements(equations: Any, made: dict[Any, int], whole: Any) -> set[Any]:
    """The values of which XLA may keep this one in place."""
    found: set[Any] = set()
    stack = [whole]
    while stack:
        v = stack.pop()
        if v in found:
            continue
        found.add(v)
        place = made.get(v, -1)
        if place >= 0 and (equations[place].op.elementwise or _is_other_shape(equations[place])):
            stack += [a for a in equations[place].inputs if type(a) is Var and a.type.size == v.type.size]
    return found


def _is_other_shape(eqn: Equation) -> bool:
    """Whether the result may be an operand in another shape."""
    op, (v, *_) = eqn.op, eqn.outputs
    return (op.moves or op.gives_place) and any(a.type.size == v.type.size for a in eqn.inputs)
