"""What rules for sparsity meet: operands that depend on columns of a Jacobian, and the detection that they are handed.

A Jacobian's columns are the elements of the inputs by which it is taken. In the linear program of a function, each
element of each value depends on a set of them; a rule says which set an element of a result has. ``None`` is an array
whose elements depend on no column. Sets are opaque to the rules, which make new ones by what the detection offers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

from functrans.ir.program import Jaxpr
from functrans.ir.types import ArrayType, Shape, Typed

Sets: TypeAlias = Any  # of one array; None: no element depends on any column


class Entry(Typed):
    """An operand: its type, its sets, and its value where that is the same at every point.

    ``known``: the value as a NumPy array, or what computes it; None: it differs from point to point, or from tangent to
    tangent.
    """

    __slots__ = ("among", "known", "nonzero", "sets", "type")

    def __init__(
        self, type: ArrayType, sets: Sets, known: Any = None, nonzero: Any = None, among: Any = None
    ) -> None:
        self.type = type
        self.sets = sets
        self.known = known
        self.nonzero = nonzero  # what computes where it is not zero, without its value
        self.among = among  # what computes of which numbers each element is one: ``Primitive.choices``

    def value(self) -> Any:
        """The value as a NumPy array; None where it is not known."""
        if callable(self.known):
            self.known = self.known()
        return self.known

    def choices(self) -> Any:
        """The numbers of which each element is one, ``[*shape, choices]``, as a NumPy array; None: any."""
        if callable(self.among):
            self.among = self.among()
        return self.among

    def holds(self) -> Any:
        """Where the value is not zero, as a NumPy array of bools; None where nobody knows, or it is nowhere zero."""
        if callable(self.nonzero):
            self.nonzero = self.nonzero()
            found = self.nonzero
        elif self.nonzero is not None:
            found = self.nonzero
        else:
            value = self.value()
            found = None if value is None else value != 0
        return None if found is None or found.all() else found


class Detection(Protocol):
    """What a rule for sparsity makes sets with. Shapes are those of the results."""

    def moved(self, op: Any, operands: Sequence[Entry], places: Sequence[int]) -> Any:
        """Of an operation whose result consists of elements of these operands: its sets, a list where ``multiple``."""

    def union(self, *sets: Sets) -> Sets:
        """Element by element; of arrays of one shape."""

    def reduced(self, sets: Sets, axes: Sequence[int]) -> Sets:
        """The union along axes, which are removed."""

    def mixed(self, sets: Sets, axes: Sequence[int]) -> Sets:
        """The union along axes, at each place along them."""

    def renumbered(self, sets: Sets, rearrange: Callable[[Any], Any]) -> Sets:
        """Elements moved and repeated, by a NumPy function of one array of any integers."""

    def collected(self, sets: Sets, targets: Any, sources: Any, shape: Shape) -> Sets:
        """Element ``targets[i]`` of the result depends on all that element ``sources[i]`` does: flat positions."""

    def stacked(self, rows: Sequence[Sets], shape: Shape) -> Sets:
        """Those of arrays of this shape, with a new axis 0."""

    def same(self, a: Sets, b: Sets) -> bool:
        """Whether they are equal, element by element."""

    def assume(self, op: Any) -> None:
        """The user can ask where more was assumed than is known: here."""

    def everything(self, op: Any, operands: Sequence[Entry], types: Sequence[ArrayType]) -> list[Sets]:
        """Every element of every result depends on all that any element of any operand does. More than is known is
        assumed then, and the user can ask where."""

    def program(self, jaxpr: Jaxpr, operands: Sequence[Entry]) -> list[Entry]:
        """The results of a held program."""

    def step(self, jaxpr: Jaxpr, operands: Sequence[Entry]) -> list[Entry]:
        """The results of a held program that runs in steps: its equations are counted."""

    def affords(self, equations: int) -> bool:
        """Whether so many equations of steps may be looked at, one after the other."""

    def lanes(self, jaxpr: Jaxpr, size: int, operands: Sequence[Entry], mapped: Sequence[bool]) -> list[Entry]:
        """The results of a held program in so many lanes, each with an axis 0 of them; ``mapped``: the operands that
        have one."""
