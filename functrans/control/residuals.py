"""Which values of a loop body are stored for the backward pass: what is quick to compute again is not.

A residual that follows from values which are stored anyway, or from smaller ones, by operations that cost less than
reading it from memory (``cheap`` ones: sums, products, comparisons, rearrangements) is computed in the backward pass.

    h = tanh z;  s = mul h h;  d = sub 1.0 s          h is a result of the loop: d needs no room
    m = compare x y;  f = convert m                   m needs a quarter of the room of f
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from functrans.control.holding import depends_on
from functrans.ir.program import Equation, Jaxpr, Literal, Var
from functrans.ops.constants import trace_closed
from functrans.trace.replay import at, emit, replay
from functrans.transform.linearize import LinearizedJaxpr

_DEEPEST = 12  # equations from a residual to what it is computed from


class _Choice:
    """What is stored, among the variables of a primal body."""

    def __init__(self, primal: Jaxpr, free: set[Any]) -> None:
        self.producers: dict[Any, Equation] = {v: eqn for eqn in primal.equations for v in eqn.outputs}
        self.free = free  # there anyway
        self.stored: dict[Any, None] = {}

    def price(self, v: Any, depth: int = 0) -> int:
        """Bytes that have to be stored so that this value can be had."""
        if type(v) is Literal or v in self.free or v in self.stored:
            return 0
        own = _bytes(v)
        eqn = self.producers.get(v)
        if eqn is None or not eqn.op.cheap or depth == _DEEPEST:
            return own
        total = 0
        for a in dict.fromkeys(eqn.inputs):
            total += self.price(a, depth + 1)
            if total >= own:
                return own
        return total

    def store(self, v: Any, depth: int = 0) -> None:
        """Store what this value is best computed from, or the value itself."""
        if type(v) is Literal or v in self.free or v in self.stored:
            return
        eqn = self.producers.get(v)
        if eqn is not None and eqn.op.cheap and depth < _DEEPEST and self.price(v, depth) < _bytes(v):
            for a in eqn.inputs:
                self.store(a, depth + 1)
        else:
            self.stored[v] = None


def _bytes(v: Any) -> int:
    return int(v.type.size) * int(v.type.dtype.itemsize)


def fewer_residuals(part: LinearizedJaxpr, fixed: Sequence[Var], moving: Sequence[Var], first: int) -> LinearizedJaxpr:
    """The two parts of a loop body, with less to store.

    ``fixed``: inputs that are there in the backward pass (constants, slices of ``xs``); ``moving``: inputs that change
    from step to step; outputs from ``first`` on are stacked anyway.
    """
    primal = part.primal
    atoms: list[Any] = [*primal.inputs, *primal.outputs]
    wanted = [atoms[s] for s in part.sources]
    varying = depends_on(primal, moving)
    free: set[Any] = {*fixed, *[a for a in primal.outputs[first : part.num_outputs] if type(a) is Var]}
    free |= {v for eqn in primal.equations for v in eqn.outputs if v not in varying}
    choice = _Choice(primal, free)
    for v in wanted:  # what nothing quick leads to comes first: others may follow from it
        if choice.price(v) == _bytes(v):
            choice.store(v)
    for v in wanted:
        choice.store(v)
    if all(v in choice.stored or v in free for v in wanted):
        return part
    return _recomputing(part, choice, wanted, free)


def _recomputing(part: LinearizedJaxpr, choice: _Choice, wanted: Sequence[Any], free: set[Any]) -> LinearizedJaxpr:
    primal = part.primal
    known = {*choice.stored, *[v for v in free if v not in choice.producers]}
    needed: dict[Any, None] = {}
    steps: dict[int, Equation] = {}

    def visit(v: Any) -> None:
        if type(v) is Literal:
            return
        eqn = choice.producers.get(v)
        if v in known or v in free or eqn is None:
            needed[v] = None
            return
        if id(eqn) not in steps:
            for a in eqn.inputs:
                visit(a)
            steps[id(eqn)] = eqn

    for v in wanted:
        visit(v)
    leaves = list(needed)

    def function(*inputs: Any) -> list[Any]:
        values = dict(zip(leaves, inputs, strict=False))
        for eqn in steps.values():
            operands = [values[a] if type(a) is Var else a for a in eqn.inputs]
            with at(eqn.where):
                values.update(zip(eqn.outputs, emit(eqn, operands), strict=True))
        return replay(part.linear, [*[values[v] for v in wanted], *inputs[len(leaves) :]])

    tangents = part.linear.in_types[len(wanted) :]
    linear = trace_closed(function, [*[v.type for v in leaves], *tangents], "linearize of a loop body")
    outputs = list(primal.outputs[: part.num_outputs])
    places: dict[Any, int] = {}
    for i, a in enumerate([*primal.inputs, *outputs]):
        if type(a) is Var:
            places.setdefault(a, i)
    for v in leaves:
        if v not in places:
            places[v] = len(primal.inputs) + len(outputs)
            outputs.append(v)
    return part._replace(
        primal=Jaxpr(primal.inputs, primal.equations, outputs),
        linear=linear,
        sources=tuple([places[v] for v in leaves]),
    )
