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

from functrans.ir.program import Atom, Equation, Jaxpr, Var, all_equations, with_programs
from functrans.ops.representation import KEEP
from functrans.trace.primitive import Fusion, Primitive
from functrans.trace.replay import emit, replay, trace

APART, REDUCING, CHEAP, MOVING, COSTLY = Fusion.APART, Fusion.REDUCING, Fusion.CHEAP, Fusion.MOVING, Fusion.COSTLY


def bounded(jaxpr: Jaxpr, bound: int) -> Jaxpr:
    """The program with barriers where it would compute a value more than ``bound`` times. Remembered on the jaxpr."""
    return jaxpr.remember(("bounded", bound), lambda: _bounded(jaxpr, bound))


def _bounded(jaxpr: Jaxpr, bound: int) -> Jaxpr:
    whole = jaxpr
    scans = False
    if _has_calls(jaxpr):
        # Scans side by side that are written out hand on single values; each by itself would join and take them apart.
        scans = any(eqn.op.is_unrolled for eqn in all_equations(jaxpr))
        sketch = _sketch(jaxpr)
        if not scans and not _too_often(sketch, bound) and not _holds_more(sketch, bound):
            return jaxpr  # as nearly always: to write a program anew takes longer than all the rest
        whole = _in_place(jaxpr)
    found = _too_often(whole, bound)
    if not scans and not found and not _holds_more(whole, bound):
        return jaxpr
    kept: dict[Atom, Var] = {v: Var(-1, v.type) for v in found}
    equations: list[Equation] = []
    for eqn in whole.equations:
        op = _held(eqn.op, bound) if eqn.op.holds_jaxprs else eqn.op
        if op is not eqn.op or not kept.keys().isdisjoint(eqn.inputs):
            eqn = Equation(op, [kept.get(a, a) for a in eqn.inputs], eqn.outputs, eqn.where)
        equations.append(eqn)
        # One barrier a value: several values behind one would wait for each other.
        equations += [Equation(KEEP, (v,), (kept[v],), eqn.where) for v in eqn.outputs if v in kept]
    return Jaxpr(whole.inputs, equations, [kept.get(a, a) for a in whole.outputs])


def _has_calls(jaxpr: Jaxpr) -> bool:
    return any(eqn.op.gives_place and eqn.op.in_place(eqn.inputs) is not None for eqn in jaxpr.equations)


def _holds_more(jaxpr: Jaxpr, bound: int) -> bool:
    """Whether a program that an operation of this one holds computes a value too often."""
    return any(_held(op, bound) is not op for op in [eqn.op for eqn in jaxpr.equations if eqn.op.holds_jaxprs])


def _too_often(jaxpr: Jaxpr, bound: int) -> set[Var]:
    """The values that would be computed more often than the bound.

    A place is a kernel, or a part of one that is computed as a whole; it is known by its number. A value that one place
    reads is computed there; one that several read is a part of its own.
    """
    times = [1]  # for each place, how often it is computed; place 0 stands for readers that take kept values
    readers: dict[Atom, int | set[int]] = dict.fromkeys(jaxpr.outputs, 0)  # the place that reads a value, or several
    several: set[Atom] = set()  # values that more than one operation reads
    producers: dict[Atom, Equation] = {}  # filled when first asked for
    found: set[Var] = set()
    for eqn in reversed(jaxpr.equations):
        op, inputs, outputs = eqn.op, eqn.inputs, eqn.outputs
        at = readers.get(outputs[0]) if len(outputs) == 1 else _of_any(outputs, readers)
        if at is None and not op.effects:
            continue  # nobody reads it
        fusion = op.fusion
        if fusion is APART:
            here = 0
        elif at == 0 or fusion is REDUCING or (fusion is COSTLY and outputs[0] in several):
            here = len(times)  # a kernel ends here
            times.append(1)
        elif type(at) is not set:
            here = at  # type: ignore[assignment]
        else:
            count = sum([times[p] for p in at])
            if count > bound:
                producers = producers or {v: eqn for eqn in jaxpr.equations for v in eqn.outputs}
                if not _rearranges(eqn) and not _is_slight(eqn, producers):
                    found.update(outputs)
                    count = 1
            here = len(times)
            times.append(count)
        if len(inputs) > 1 and (len(inputs) > 2 or inputs[0] is inputs[1]):
            inputs = set(inputs)  # type: ignore[assignment]
        moving = fusion is MOVING
        for a in inputs:
            if type(a) is not Var:
                continue
            place = here
            if moving and max(a.type.size, outputs[0].type.size) > 1:
                place = len(times)
                times.append(times[here])
            known = readers.get(a)
            if known is None:
                readers[a] = place
                continue
            several.add(a)
            if type(known) is set:
                known.add(place)
            elif known != place:
                readers[a] = {known, place}  # type: ignore[arg-type]
    return found


def _of_any(values: Sequence[Var], readers: Mapping[Atom, int | set[int]]) -> int | set[int] | None:
    """The places that read one of several values."""
    at: set[int] = set()
    for places in [readers[v] for v in values if v in readers]:
        at |= places if isinstance(places, set) else {places}
    return at if len(at) > 1 else at.pop() if at else None


def _is_slight(eqn: Equation, producers: Mapping[Atom, Equation]) -> bool:
    """Whether this is as well computed as read: one operation, on literals or on one value that is not such, or few
    cheap ones on values that are kept anyway.
    """
    read = _operands(eqn)
    if len(read) == 0 or (len(read) == 1 and len(_operands(producers.get(read.pop()))) != 1):
        return True
    operations = 0
    pending = [eqn]
    while pending:
        eqn = pending.pop()
        operations += bool(_operands(eqn)) and not _rearranges(eqn)  # numbers that are counted cost nothing
        if operations > _FEW:
            return False
        for a in _operands(eqn):
            made = producers.get(a)
            if made is None or made.op.fusion not in (CHEAP, MOVING) or _joins(made):
                continue
            pending.append(made)
    return True


def _joins(eqn: Equation) -> bool:
    """Whether this takes its elements from several values: at the bound it is kept."""
    return eqn.op.fusion is MOVING and len(_operands(eqn)) > 1


def _rearranges(eqn: Equation) -> bool:
    """Whether this takes its elements from one value: that is kept instead, and is read as fast."""
    return eqn.op.fusion is MOVING and len(_operands(eqn)) == 1


def _operands(eqn: Equation | None) -> set[Var]:
    """The variables that a fusing operation reads."""
    return set() if eqn is None or eqn.op.fusion is APART else {a for a in eqn.inputs if type(a) is Var}


def _in_place(jaxpr: Jaxpr) -> Jaxpr:
    """The program with the programs of its calls written in place of them, as the compiler has it."""

    def write(eqn: Equation, operands: list[Any]) -> Sequence[Any]:
        callee = eqn.op.in_place(operands)
        return emit(eqn, operands) if callee is None else replay(*callee, write)

    return trace(lambda *inputs: replay(jaxpr, inputs, write), jaxpr.in_types, "a program to be compiled")[0]


def _sketch(jaxpr: Jaxpr) -> Jaxpr:
    """As ``_in_place``, for counting alone: no operation is folded."""
    equations: list[Equation] = []
    results: dict[tuple[Any, ...], Sequence[Atom]] = {}  # by operation and operands: the compiler shares equal ones

    def write(program: Jaxpr, values: dict[Atom, Atom], own: bool) -> list[Atom]:
        """Write a program's equations on ``values`` in place of its variables; the values of its outputs."""
        for eqn in program.equations:
            op, outputs = eqn.op, eqn.outputs
            inputs = [values.get(a, a) if type(a) is Var else a for a in eqn.inputs]
            callee = op.in_place(inputs) if op.gives_place else None
            found: Sequence[Atom] | None
            if callee is not None:
                found = write(callee[0], dict(zip(callee[0].inputs, callee[1], strict=True)), False)
            else:
                key = (op, *inputs)
                found = results.get(key) if op.shared else None
                if found is None:
                    found = outputs if own else [Var(-1, v.type) for v in outputs]
                    equations.append(eqn if own and inputs == eqn.inputs else Equation(op, inputs, found, eqn.where))
                    results[key] = found
            if found is not outputs:
                values.update(zip(outputs, found, strict=True))
        return [values.get(a, a) if type(a) is Var else a for a in program.outputs]

    outputs = write(jaxpr, {}, True)
    return Jaxpr(jaxpr.inputs, equations, outputs)


_FEW = 4  # operations that are as fast as reading their result
_SMALL_LOOP = 1024  # bytes: XLA makes one kernel of a loop that touches fewer at each step, if no barrier is in it
_MORE_IN_SMALL_LOOPS = 8  # otherwise it launches a kernel for each operation, which takes a hundred times as long


def _held(op: Primitive, bound: int) -> Primitive:
    """The operation with the programs that it holds bounded; itself where none changes."""
    body = op.repeated()
    if body is not None and _is_small(body):
        bound *= _MORE_IN_SMALL_LOOPS
    return with_programs(op, lambda jaxpr: bounded(jaxpr, bound))  # type: ignore[no-any-return]


def _is_small(body: Jaxpr) -> bool:
    return sum(t.size * t.dtype.itemsize for t in (*body.in_types, *body.out_types)) < _SMALL_LOOP
