"""A bound on how often XLA computes a value, over the whole program.

    q = p*p + 1.0;  r = q*q + p;  s = sum(r);  t = sum(q)          q is computed in the kernel of s and in that of t

XLA's fusion writes a cheap operation into every kernel that reads its result. Within a kernel a part of the code that
is read at one place of the arrays is computed once, and one that is read at several (``roll``, ``concatenate``,
gradients by elements) anew for each. Where a round of a loop that Python has unrolled reads the one before twice in
such a way, the code or the time to run it doubles with each round, or grows with the square of their number.

One walk backward over the program, from what is kept anyway, counts for each value how often it is computed. Where
that is more than the bound, the value is put behind an optimization barrier: it is computed once and kept, and what it
is computed from is counted from one again. Programs of ordinary length have no barrier. The walk sees the program as
it is compiled, its backward pass and the programs of its calls in place; bodies of loops and branches are programs of
their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from functrans.control.scan import Scan
from functrans.control.while_loop import While
from functrans.ir.program import Atom, Equation, Jaxpr, Var, all_equations, with_programs
from functrans.ops.representation import KEEP
from functrans.trace.primitive import Fusion, Primitive
from functrans.trace.replay import emit, replay, trace


def bounded(jaxpr: Jaxpr, bound: int) -> Jaxpr:
    """The program with barriers where it would compute a value more than ``bound`` times. Remembered on the jaxpr."""
    return jaxpr.remember(("bounded", bound), lambda: _bounded(jaxpr, bound))


def _bounded(jaxpr: Jaxpr, bound: int) -> Jaxpr:
    whole = _in_place(jaxpr)
    kept: dict[Atom, Var] = {v: Var(-1, v.type) for v in _too_often(whole, bound)}
    equations: list[Equation] = []
    # Scans side by side that are written out hand on single values; each by itself would join and take them apart.
    changed = bool(kept) or any(type(eqn.op) is Scan and eqn.op.is_unrolled for eqn in all_equations(jaxpr))
    for eqn in whole.equations:
        op = _held(eqn.op, bound) if eqn.op.holds_jaxprs else eqn.op
        if op is not eqn.op or not kept.keys().isdisjoint(eqn.inputs):
            changed = True
            eqn = Equation(op, [kept.get(a, a) for a in eqn.inputs], eqn.outputs, eqn.where)
        equations.append(eqn)
        # One barrier a value: several values behind one would wait for each other.
        equations += [Equation(KEEP, (v,), (kept[v],), eqn.where) for v in eqn.outputs if v in kept]
    if not changed:
        return jaxpr
    return Jaxpr(whole.inputs, equations, [kept.get(a, a) for a in whole.outputs])


def _too_often(jaxpr: Jaxpr, bound: int) -> set[Var]:
    """The values that would be computed more often than the bound.

    A place is a kernel, or a part of one that is computed as a whole; it is known by its number. A value that one place
    reads is computed there; one that several read is a part of its own.
    """
    times = [1]  # for each place, how often it is computed; place 0 stands for readers that take kept values
    readers: dict[Atom, set[int]] = {a: {0} for a in jaxpr.outputs}  # the places that read a value
    reads = dict.fromkeys(jaxpr.outputs, 1)  # the operations that do
    producers: dict[Atom, Equation] = {v: eqn for eqn in jaxpr.equations for v in eqn.outputs}
    found: set[Var] = set()

    def place(count: int) -> int:
        times.append(count)
        return len(times) - 1

    for eqn in reversed(jaxpr.equations):
        fusion = eqn.op.fusion
        at: set[int] = set().union(*[readers.pop(v, ()) for v in eqn.outputs])
        shared = fusion is Fusion.COSTLY and reads.get(eqn.outputs[0], 0) > 1
        if fusion is Fusion.APART:
            here = 0
        elif at == {0} or shared or fusion is Fusion.REDUCING:
            here = place(1)  # a kernel ends here
        elif len(at) == 1:
            (here,) = at
        else:
            count = sum([times[p] for p in at])
            if count > bound and not _is_slight(eqn, producers):
                found.update(eqn.outputs)
                count = 1
            here = place(count)
        for a in set(eqn.inputs):
            if type(a) is Var:
                elsewhere = fusion is Fusion.MOVING and max(a.type.size, eqn.outputs[0].type.size) > 1
                readers.setdefault(a, set()).add(place(times[here]) if elsewhere else here)
                reads[a] = reads.get(a, 0) + 1
    return found


def _is_slight(eqn: Equation, producers: Mapping[Atom, Equation]) -> bool:
    """Whether this is one operation, on literals or on one value that is not such: it is as well computed as read."""
    read = _operands(eqn)
    return len(read) == 0 or (len(read) == 1 and len(_operands(producers.get(read.pop()))) != 1)


def _operands(eqn: Equation | None) -> set[Var]:
    """The variables that a fusing operation reads."""
    return set() if eqn is None or eqn.op.fusion is Fusion.APART else {a for a in eqn.inputs if type(a) is Var}


def _in_place(jaxpr: Jaxpr) -> Jaxpr:
    """The program with the programs of its calls written in place of them, as the compiler has it."""
    if all(eqn.op.in_place(eqn.inputs) is None for eqn in jaxpr.equations):
        return jaxpr

    def write(eqn: Equation, operands: list[Any]) -> Sequence[Any]:
        callee = eqn.op.in_place(operands)
        return emit(eqn, operands) if callee is None else replay(*callee, write)

    return trace(lambda *inputs: replay(jaxpr, inputs, write), jaxpr.in_types, "a program to be compiled")[0]


_SMALL_LOOP = 1024  # bytes: XLA makes one kernel of a loop that touches fewer at each step, if no barrier is in it
_MORE_IN_SMALL_LOOPS = 8  # otherwise it launches a kernel for each operation, which takes a hundred times as long


def _held(op: Primitive, bound: int) -> Primitive:
    """The operation with the programs that it holds bounded; itself where none changes."""
    if isinstance(op, While | Scan) and _is_small(op):
        bound *= _MORE_IN_SMALL_LOOPS
    return with_programs(op, lambda jaxpr: bounded(jaxpr, bound))  # type: ignore[no-any-return]


def _is_small(loop: While | Scan) -> bool:
    body = loop.body if isinstance(loop, While) else loop.jaxpr
    return sum(t.size * t.dtype.itemsize for t in (*body.in_types, *body.out_types)) < _SMALL_LOOP
