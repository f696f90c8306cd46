"""Is a jaxpr well formed? Every variable is defined once and before its use, and every equation has the types it claims.

The error prints the equations around the fault and the user's line.
"""

from __future__ import annotations

from functrans.errors import InternalError
from functrans.ir.program import Equation, Jaxpr, Literal, Var, subjaxprs
from functrans.ir.show import format_equation, line_text

_NEIGHBOURS = 3


def check_jaxpr(jaxpr: Jaxpr) -> None:
    """Raise InternalError unless the program, and every program that its operations hold, is well formed.

    >>> import functrans as ft
    >>> from functrans.testing import check_jaxpr
    >>> check_jaxpr(ft.make_jaxpr(lambda x: x * x)(3.0))
    """
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
        if v in defined:
            raise InternalError(f"input v{v.id}:{v.type} of a jaxpr is declared twice")
        defined.add(v)
    for i, eqn in enumerate(jaxpr.equations):
        for a in eqn.inputs:
            if type(a) is Var and a not in defined:
                raise _fault(jaxpr, i, f"v{a.id}:{a.type} is used and not defined before")
            if type(a) is Literal and a.type.shape != ():
                raise _fault(jaxpr, i, f"literal {a.value} has shape {a.type.shape}; only scalars may be literals")
        for v in eqn.outputs:
            if v in defined:
                raise _fault(jaxpr, i, f"v{v.id}:{v.type} is defined twice")
            defined.add(v)
        _check_types(jaxpr, i, eqn)
    for a in jaxpr.outputs:
        if type(a) is Var and a not in defined:
            raise InternalError(f"the result v{a.id}:{a.type} of a jaxpr is not defined in it")


def _check_types(jaxpr: Jaxpr, i: int, eqn: Equation) -> None:
    try:
        inferred = eqn.op.infer(*[a.type for a in eqn.inputs])
    except Exception as error:
        raise _fault(jaxpr, i, f"its types do not fit: {error}") from error
    inferred = list(inferred) if eqn.op.multiple else [inferred]
    claimed = [v.type for v in eqn.outputs]
    if inferred != claimed:
        raise _fault(
            jaxpr, i, f"it has results of types {', '.join(map(str, inferred))} and claims {', '.join(map(str, claimed))}"
        )


def _fault(jaxpr: Jaxpr, i: int, what: str) -> InternalError:
    eqns = jaxpr.equations
    rows = []
    for j in range(max(0, i - _NEIGHBOURS), min(len(eqns), i + _NEIGHBOURS + 1)):
        mark = "-->" if j == i else "   "
        rows.append(f"{mark} {format_equation(eqns[j])}    # {line_text(eqns[j].where)}")
    return InternalError(f"equation {i} of a jaxpr is not well formed: {what}\n" + "\n".join(rows))
