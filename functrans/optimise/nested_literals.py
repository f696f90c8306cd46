"""Numbers written in the programs that operations hold: which of them change from call to call, as inputs.

    scan[jaxpr={ lambda ; c x. let d = mul c 0.9 in (d, x) }] a b      with 0.9, then 0.81, then 0.729 becomes

    scan[jaxpr={ lambda ; e c x. let d = mul c e in (d, x) }] n a b    with n = 0.9, 0.81, 0.729 at run time

The literals of a list of equations are counted in order: those of an equation itself, then those in the programs that
it holds, where its operation can take further inputs (``Primitive.lifted``).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from functrans.ir.program import Equation, Jaxpr, Literal, Var, subjaxprs
from functrans.ir.types import ArrayType
from functrans.optimise.segments import literal_as_input
from functrans.trace.primitive import Primitive

_CAPACITY = 256

Bare = tuple[Any, list[Literal]]


def exposed(op: Primitive) -> Bare | None:
    """A key of the operation without the values of literals in its programs, and these; None where they are fixed."""
    if not op.holds_jaxprs or type(op).lifted is Primitive.lifted:
        return None
    key: list[Any] = [type(op)]
    literals: list[Literal] = []
    for value in op.parameters().values():
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, Jaxpr):
                rows, more = _exposed_jaxpr(item)
                key.append(rows)
                literals += more
            else:
                key.append((type(item), item))
    return tuple(key), literals


def _exposed_jaxpr(jaxpr: Jaxpr) -> Bare:
    found: Bare | None = jaxpr.memo.get("exposed")
    if found is None:
        number: dict[Any, int] = {v: i for i, v in enumerate(jaxpr.inputs)}
        rows, literals = exposed_equations(jaxpr.equations, number)
        outputs = tuple([number[a] if type(a) is Var else a for a in jaxpr.outputs])
        found = jaxpr.memo["exposed"] = ((jaxpr.in_types, rows, outputs), literals)
    return found


def exposed_equations(equations: Sequence[Equation], number: dict[Any, int]) -> Bare:
    """Rows of a key for the equations, and their literals; ``number``: of the variables, added to."""
    rows: list[Any] = []
    literals: list[Literal] = []
    for eqn in equations:
        bare = exposed(eqn.op)
        row: list[Any] = [eqn.op if bare is None else bare[0]]
        for a in eqn.inputs:
            if type(a) is Literal:
                literals.append(a)
                row.append(a.type)
            else:
                row.append(number[a])
        if bare is not None:
            literals += bare[1]
        rows.append(tuple(row))
        for v in eqn.outputs:
            number[v] = len(number)
    return tuple(rows), literals


def with_inputs(equations: Sequence[Equation], dynamic: set[int]) -> tuple[list[Equation], list[Var]]:
    """The equations with the literals at these places as new variables; those variables, in the order of the places."""
    place = 0
    new: list[Var] = []
    result: list[Equation] = []
    for eqn in equations:
        operands = list(eqn.inputs)
        changed = False
        for i, a in enumerate(operands):
            if type(a) is Literal:
                if place in dynamic:
                    changed = True
                    operands[i] = literal_as_input(eqn, a, new, result)
                place += 1
        op = eqn.op
        bare = exposed(op)
        if bare is not None:
            inside = {p - place for p in dynamic if place <= p < place + len(bare[1])}
            place += len(bare[1])
            if inside:
                changed = True

                def variable(type_: ArrayType) -> Var:
                    new.append(Var(-1, type_))
                    return new[-1]

                op, operands = lifted(op, operands, inside, variable)
        result.append(Equation(op, operands, eqn.outputs, eqn.where) if changed else eqn)
    return result, new


def lifted(
    op: Primitive, operands: Sequence[Any], dynamic: set[int], make: Callable[[ArrayType], Any]
) -> tuple[Primitive, list[Any]]:
    """The operation with the literals at these places of its programs as operands, made by ``make`` in order."""
    programs, extra = [], []
    first = 0
    for jaxpr in subjaxprs(op):
        count = len(_exposed_jaxpr(jaxpr)[1])
        program, types = _with_inputs(jaxpr, frozenset(p - first for p in dynamic if first <= p < first + count))
        programs.append(program)
        extra.append([make(t) for t in types])
        first += count
    found = op.lifted(programs, operands, extra)
    assert found is not None
    return found


def _with_inputs(jaxpr: Jaxpr, dynamic: frozenset[int]) -> tuple[Jaxpr, list[ArrayType]]:
    if not dynamic:
        return jaxpr, []
    memo_key = ("literals as inputs", dynamic)
    if memo_key not in jaxpr.memo:
        equations, new = with_inputs(jaxpr.equations, set(dynamic))
        program = Jaxpr([*jaxpr.inputs, *new], equations, jaxpr.outputs)
        jaxpr.memo[memo_key] = program, [v.type for v in new]
    return jaxpr.memo[memo_key]  # type: ignore[no-any-return]


class Family:
    """Programs that differ in the values of literals only, however deep these are."""

    __slots__ = ("dynamic", "latest", "programs")

    def __init__(self, literals: Sequence[Literal]) -> None:
        self.dynamic: tuple[int, ...] = ()  # places of literals that have been seen to change
        self.latest = literals
        self.programs: dict[Any, Any] = {}  # by the literals that have not

    def learn(self, literals: Sequence[Literal]) -> None:
        """Note which literals differ from those of the latest program."""
        changed = {i for i, (a, b) in enumerate(zip(self.latest, literals, strict=True)) if a != b}
        if not changed <= set(self.dynamic):
            self.dynamic = tuple(sorted({*self.dynamic, *changed}))
            self.programs.clear()
        self.latest = literals

    def fixed(self, literals: Sequence[Literal]) -> tuple[Literal, ...]:
        """The literals that have not changed."""
        moving = set(self.dynamic)
        return tuple([x for i, x in enumerate(literals) if i not in moving])

    def values(self, literals: Sequence[Literal]) -> list[Any]:
        """The values of the literals that have changed, in order."""
        return [np.asarray(literals[i].value, literals[i].type.dtype) for i in self.dynamic]


_families: OrderedDict[Any, Family] = OrderedDict()


def family(key: Any, literals: Sequence[Literal]) -> Family | None:
    """What is known of programs with this key, if any literal of theirs has been seen to change."""
    known = _families.get(key)
    if known is None:
        if len(_families) >= _CAPACITY:
            _families.popitem(last=False)
        _families[key] = Family(literals)
        return None
    known.learn(literals)
    return known if known.dynamic else None


def with_operands(op: Primitive, operands: Sequence[Any], key: Any) -> tuple[Primitive, Sequence[Any]]:
    """An operation on concrete operands, with the numbers in its programs that change from call to call as operands."""
    bare = exposed(op)
    if bare is None or not bare[1]:
        return op, operands
    known = family(("operation", bare[0], key), bare[1])
    if known is None:
        return op, operands
    values = iter(known.values(bare[1]))
    return lifted(op, operands, set(known.dynamic), lambda _: next(values))


def clear() -> None:
    """Forget which literals change."""
    _families.clear()
