"""Numbers written in the code of an un-jitted call are inputs of its program.

    mul x 0.9                                  becomes, with n = 0.9, 0.81, 0.729 at run time,   mul x n

    scan[jaxpr={ lambda ; c x. let d = mul c 0.9 in (d, x) }] a b                      becomes

    scan[jaxpr={ lambda ; e c x. let d = mul c e in (d, x) }] n a b

Always, and not only when they have been seen to change: XLA computes with a constant as it does not with an argument
(``x / c`` becomes ``x * (1 / c)``), so a program that depended on what ran before would give the same call other bits.
And ``rate = rate * 0.9`` in a loop compiles nothing after the first round.

A number stays where the operation needs it (``Primitive.needs_number``: the exponent of a square root), and in the
programs of operations that can take no further inputs (``Primitive.lifted``). Equal numbers become one input.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

from functrans.ir.program import Equation, Jaxpr, Literal, Var, subjaxprs
from functrans.ops.structural import BroadcastInDim
from functrans.trace.primitive import Primitive


class Numbers(NamedTuple):
    """Equations whose numbers are variables; these, and the number that each stands for.

    ``places``: where the number comes first among those of the equations themselves; -1 for one in a held program.
    """

    equations: list[Equation]
    variables: list[Var]
    values: list[Literal]
    places: list[int]


def as_variables(equations: Sequence[Equation], left_out: Collection[Equation] = ()) -> Numbers:
    """The equations with variables for their numbers, without those ``left_out``."""
    found = Numbers([], [], [], [])
    own: dict[Literal, Var] = {}
    held: dict[Literal, Var] = {}  # apart: the others may change and these not

    def variable(table: dict[Literal, Var], number: Literal, place: int) -> Var:
        var = table.get(number)
        if var is None:
            var = table[number] = Var(-1, number.type)
            found.variables.append(var)
            found.values.append(number)
            found.places.append(place)
        return var

    place = 0
    for eqn in equations:
        op, operands = eqn.op, list(eqn.inputs)
        dropped = bool(left_out) and eqn in left_out
        changed = False
        for i, a in enumerate(operands):
            if type(a) is not Literal or (op.fixes_numbers and op.needs_number(i, a.value)):
                continue
            if not dropped:
                operands[i] = _spread(eqn, i, variable(own, a, place), found.equations)
                changed = True
            place += 1
        if dropped:
            continue
        general = _lifted(op, operands, lambda number: variable(held, number, -1))
        if general is not None:
            (op, operands), changed = general, True
        found.equations.append(Equation(op, operands, eqn.outputs, eqn.where) if changed else eqn)
    return found


def _spread(eqn: Equation, place: int, var: Var, equations: list[Equation]) -> Var:
    """The variable of a number as the array that the number stands for at this place of the equation."""
    shape = eqn.op.number_shape(place, [v.type for v in eqn.outputs])
    if not shape:
        return var
    spread = Var(-1, var.type.update(shape=shape))
    equations.append(Equation(BroadcastInDim(shape, ()), (var,), (spread,), eqn.where))
    return spread


def _lifted(
    op: Primitive, operands: Sequence[Any], make: Callable[[Literal], Any]
) -> tuple[Primitive, list[Any]] | None:
    """The operation with the numbers in its programs as operands; None where there are none or they have to stay."""
    if not op.holds_jaxprs or type(op).lifted is Primitive.lifted:
        return None
    found = [as_inputs(jaxpr) for jaxpr in subjaxprs(op)]
    if not any(numbers for _, numbers in found):
        return None
    return op.lifted([program for program, _ in found], operands, [list(map(make, numbers)) for _, numbers in found])


def as_inputs(jaxpr: Jaxpr) -> tuple[Jaxpr, tuple[Literal, ...]]:
    """The program with its numbers as further inputs, and these. Remembered on the jaxpr."""
    def make() -> tuple[Jaxpr, tuple[Literal, ...]]:
        found = as_variables(jaxpr.equations)
        program = Jaxpr([*jaxpr.inputs, *found.variables], found.equations, jaxpr.outputs) if found.values else jaxpr
        return program, tuple(found.values)

    return jaxpr.remember("numbers as inputs", make)
