"""The structure of a trace: what is already there is not emitted again, and equal traces have one key.

    x = 3.;  y = sin(x) * 2.;  z = sin(x) * 2.         rows:  (sin, %0)  (mul, %1, f32[])          literals:  2.

The second ``sin(x)`` and the second product are found among the results. The key leaves out the values of literals,
which are inputs of an un-jitted program (see optimise.numbers), unless the operation is another one for another number
(``Primitive.needs_number``).
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from functrans.ir.program import Literal
from functrans.ir.types import ArrayType
from functrans.trace.primitive import Primitive
from functrans.trace.tracer import Tracer

_type = operator.attrgetter("type")


class Structure:
    """The structure of what a builder holds so far."""

    __slots__ = ("literals", "results", "rows")

    def __init__(self) -> None:
        self.results: dict[tuple[Any, ...], Any] = {}  # by operation and operands: its tracer, or a tuple of tracers
        self.rows: list[Any] = []  # one for each equation and each captured value
        self.literals: list[Literal] = []  # those whose values the rows leave out, in the order of the rows

    def key(self, inputs: Sequence[Tracer], outputs: Sequence[Any]) -> tuple[Any, ...]:
        """The key of the program from these inputs to these outputs; the literals' values are not in it."""
        return (
            tuple(map(_type, inputs)),
            tuple(self.rows),
            tuple([a.variable.id if type(a) is Tracer else a for a in outputs]),
        )


def described(
    op: Primitive, operands: Sequence[Any]
) -> tuple[tuple[Any, ...], tuple[Any, ...], list[Any], list[ArrayType], list[Literal]]:
    """For an operation on tracers of one builder and literals: the key of its results, its row, the atoms of its
    equation, their types, and the literals whose values its row leaves out.
    """
    atoms: list[Any] = []
    types: list[ArrayType] = []
    key: list[Any] = [op]
    row: list[Any] = key
    literals: list[Literal] = []
    for x in operands:
        if type(x) is Literal:
            if row is key:
                row = key.copy()
            if op.fixes_numbers and op.needs_number(len(atoms), x.value):
                row.append(x)
            else:
                literals.append(x)
                row.append(x.type)
            atoms.append(x)
            key.append(x.key)
        else:
            var = x.variable
            atoms.append(var)
            key.append(var.id)
            if row is not key:
                row.append(var.id)
        types.append(x.type)
    whole = tuple(key)
    return whole, whole if row is key else tuple(row), atoms, types, literals
