"""Is a program well formed? Scoping and typing, for it and for every program that it holds.

Each variable is defined once, before it is used; each equation's outputs have the types that its operation infers from
its inputs; no variable of one program is used in another. The error prints the equations around the fault and the
user's line. The cost is linear in the size of the program.
"""

from __future__ import annotations

from typing import Any, NoReturn

from functrans.errors import InternalError
from functrans.ir.program import Equation, Jaxpr, Literal, Var, subjaxprs
from functrans.ir.show import format_equation, location, source_line
from functrans.ir.types import ArrayType

_AROUND = 3  # equations shown before and behind the fault


def check_jaxpr(jaxpr: Jaxpr) -> None:
    """Raise InternalError unless the program, and every program it holds, is well formed."""
    checked: set[int] = set()
    stack = [jaxpr]
    while stack:
        current = stack.pop()
        if id(current) in checked:
            continue
        checked.add(id(current))
        _check_one(current)
        for eqn in current.equations:
            if eqn.op.holds_jaxprs:
                stack.extend(subjaxprs(eqn.op))


def _check_one(jaxpr: Jaxpr) -> None:
    defined: set[Var] = set()
    for v in jaxpr.inputs:
        if type(v) is not Var:
            _fault(jaxpr, None, f"the input {v} is not a variable")
        if v in defined:
            _fault(jaxpr, None, f"the variable %{v.id} is an input twice")
        defined.add(v)
    for i, eqn in enumerate(jaxpr.equations):
        for a in eqn.inputs:
            _check_atom(jaxpr, i, a, defined)
        for v, expected in zip(eqn.outputs, _inferred(jaxpr, i, eqn), strict=True):
            if v in defined:
                _fault(jaxpr, i, f"the variable %{v.id} is defined twice")
            if v.type != expected:
                _fault(jaxpr, i, f"the variable %{v.id} has type {v.type}, its operation gives {expected}")
            defined.add(v)
    for a in jaxpr.outputs:
        _check_atom(jaxpr, None, a, defined)


def _check_atom(jaxpr: Jaxpr, at: int | None, a: Any, defined: set[Var]) -> None:
    if type(a) is Var:
        if a not in defined:
            _fault(jaxpr, at, f"the variable %{a.id} is used and not defined (before it, in this program)")
    elif type(a) is not Literal:
        _fault(jaxpr, at, f"{a!r} of type {type(a).__name__} is neither a variable nor a literal")
    elif a.type.shape:
        _fault(jaxpr, at, f"the literal {a.value} has the type {a.type}; a literal is a scalar")


def _inferred(jaxpr: Jaxpr, i: int, eqn: Equation) -> list[ArrayType]:
    types = [a.type for a in eqn.inputs]
    try:
        found = eqn.op.infer(*types)
    except Exception as error:
        _fault(jaxpr, i, f"the operation refuses its operands: {type(error).__name__}: {error}", error)
    results = list(found) if eqn.op.multiple else [found]
    if len(results) != len(eqn.outputs):
        _fault(jaxpr, i, f"the operation gives {len(results)} results, the equation names {len(eqn.outputs)}")
    return results


def _fault(jaxpr: Jaxpr, at: int | None, what: str, cause: BaseException | None = None) -> NoReturn:
    """Raise with the neighbourhood of the faulty equation (None: of the inputs or outputs)."""
    count = len(jaxpr.equations)
    if at is None:
        first, last, place = max(0, count - 2 * _AROUND), count, "in the inputs or outputs of the program"
    else:
        first, last = max(0, at - _AROUND), min(count, at + _AROUND + 1)
        eqn = jaxpr.equations[at]
        place = f"in equation {at} of {count}, written at {location(eqn.where)}"
        if source_line(eqn.where):
            place += f"\n    {source_line(eqn.where)}"
    rows = []
    if first:
        rows.append("     ...")
    for i in range(first, last):
        rows.append(f"{'  -> ' if i == at else '     '}{format_equation(jaxpr.equations[i], lines=False)}")
    if last < count:
        rows.append("     ...")
    outs = ", ".join(f"%{a.id}" if type(a) is Var else str(a) for a in jaxpr.outputs)
    if last == count:
        rows.append(f"     in ({outs})")
    ins = " ".join(f"%{v.id}:{v.type}" if type(v) is Var else str(v) for v in jaxpr.inputs[:20])
    more = " ..." if len(jaxpr.inputs) > 20 else ""
    raise InternalError(
        f"a program is not well formed: {what}\n{place}\n     lambda {ins}{more}.\n" + "\n".join(rows)
    ) from cause
