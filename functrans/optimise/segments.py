"""Cut a long straight-line program into segments, so that a repeated loop body gives the same segment again.

XLA's compile time grows faster than linearly with the length of a program, and a Python loop that runs one more time is
a new program. A segment is a program of its own, found by structural key: 80 steps of a loop compile a handful of
segments, and 81 steps compile none.

Every segment costs XLA 50 ms and more, so a program whose segments are mostly different stays whole: nested derivatives
have the lines of one loop in every round and never the same equations (eight times of a scalar function: 1.2 s whole,
12 s in segments).

A loop is seen by its user lines: an equation's signature is its operation and its place in the user's code, and where
the signature at the start of a segment comes again, a new round begins. Numbers written in the code that differ from
round to round (``x * i``) become inputs of the segment.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from functrans.ir.program import Atom, Equation, Jaxpr, Literal, Var
from functrans.ops.structural import BroadcastInDim

SHORTEST = 32  # equations: rounds are gathered until a segment has this many
LONGEST = 256
LONGEST_WITHOUT_REPETITION = 8192  # equations
FEWEST_ROUNDS = 3  # a program of up to LONGEST equations is cut only if it repeats itself this often


class Segment(NamedTuple):
    """``outputs = jaxpr inputs``; inputs are variables of the whole program or numbers."""

    jaxpr: Jaxpr
    inputs: tuple[Any, ...]
    outputs: tuple[Var, ...]


def _next_occurrences(equations: Sequence[Equation]) -> list[int]:
    """For each equation the place of the next one with the same signature, or -1."""
    upcoming: dict[Any, int] = {}
    result = [-1] * len(equations)
    for i in range(len(equations) - 1, -1, -1):
        eqn = equations[i]
        signature = (eqn.op, eqn.where, type(eqn.where), eqn.outputs[0].type if eqn.outputs else None)
        result[i] = upcoming.get(signature, -1)
        upcoming[signature] = i
    return result


def _rounds(start: int, following: Sequence[int]) -> int:
    """How often the signature at ``start`` comes again, at most FEWEST_ROUNDS."""
    count, i = 0, start
    while count < FEWEST_ROUNDS and following[i] >= 0 and following[i] - i <= LONGEST:
        i = following[i]
        count += 1
    return count


def cuts(equations: Sequence[Equation], shortest: int = SHORTEST) -> list[int]:
    """Where segments begin, but for the first; empty when no round comes again and the program is not long."""
    n = len(equations)
    following = _next_occurrences(equations)
    found: list[int] = []
    periodic = False
    i = 0
    while i < n:
        if (_rounds(i, following) < FEWEST_ROUNDS - 1 and following[i] < 0) or following[i] - i > LONGEST:
            # not the head of a loop: go on to the first equation that is
            j = i + 1
            while j < n and j - i < LONGEST and not _rounds(j, following) >= FEWEST_ROUNDS:
                j += 1
        else:
            periodic = periodic or _rounds(i, following) >= FEWEST_ROUNDS
            j = following[i]
            first = j
            while j - i < shortest:
                if following[j] < 0 or following[j] - j > LONGEST:
                    j = first  # the last rounds, too few to fill a segment: one by one
                    break
                j = following[j]
        if j < n:
            found.append(j)
        i = j
    return found if periodic or n > LONGEST else []


def cut(jaxpr: Jaxpr) -> list[Segment] | None:
    """The program as segments to be run in order, or None when it is best left whole."""
    equations = jaxpr.equations
    if len(equations) < SHORTEST:
        return None
    places = cuts(equations)
    if not places:
        return None
    last_use: dict[Var, int] = {a: len(equations) for a in jaxpr.outputs if type(a) is Var}
    for i in range(len(equations) - 1, -1, -1):
        for a in equations[i].inputs:
            if type(a) is Var:
                last_use.setdefault(a, i)
    pieces, shapes = _pieces(equations, places, last_use)
    # Rounds gathered into few segments, with those left over, may hide a short loop: then the single rounds show it.
    if (
        len(equations) <= LONGEST_WITHOUT_REPETITION
        and _mostly_different(pieces, shapes)
        and _mostly_different(*_pieces(equations, cuts(equations, shortest=1), last_use))
    ):
        return None
    for skeleton, literals, _, _ in shapes:
        _learn(skeleton, literals)
    return [_segment(piece, *shape) for piece, shape in zip(pieces, shapes, strict=True)]


def _pieces(
    equations: Sequence[Equation], places: Sequence[int], last_use: dict[Var, int]
) -> tuple[list[Sequence[Equation]], list[Any]]:
    """The pieces that begin at these places, and the skeleton of each."""
    bounds = [0, *places, len(equations)]
    pieces = [equations[a:b] for a, b in itertools.pairwise(bounds)]
    return pieces, [_skeleton(piece, last_use, end) for piece, end in zip(pieces, bounds[1:], strict=True)]


def _mostly_different(pieces: Sequence[Sequence[Equation]], shapes: Sequence[Any]) -> bool:
    """Whether more than half of the equations stand in pieces unlike any earlier one."""
    different = {shape[0]: len(piece) for piece, shape in zip(pieces, shapes, strict=True)}
    return 2 * sum(different.values()) > sum(map(len, pieces))


def _skeleton(
    piece: Sequence[Equation], last_use: dict[Var, int], end: int
) -> tuple[Any, list[Literal], list[Var], list[Var]]:
    """Structural key without the values of literals; the literals; free variables by first use; variables used
    later.
    """
    number: dict[Var, int] = {}
    free: list[Var] = []
    rows: list[Any] = []
    literals: list[Literal] = []
    made: list[Var] = []
    own: set[Var] = set()
    for eqn in piece:
        row: list[Any] = [eqn.op]
        for a in eqn.inputs:
            if type(a) is Literal:
                literals.append(a)
                row.append(a.type)
                continue
            if a not in number:
                number[a] = len(number)  # type: ignore[index]
                free.append(a)  # type: ignore[arg-type]
                row.append(a.type)
            row.append(number[a])  # type: ignore[index]
        rows.append(tuple(row))
        for v in eqn.outputs:
            number[v] = len(number)
            own.add(v)
            made.append(v)
    kept = [v for v in made if last_use.get(v, -1) >= end]
    return (tuple(rows), tuple([number[v] for v in kept])), literals, free, kept


class _Family:
    __slots__ = ("dynamic", "latest", "programs")

    def __init__(self, literals: list[Literal]) -> None:
        self.latest = literals
        self.dynamic: set[int] = set()
        self.programs: dict[Any, Jaxpr] = {}


_families: OrderedDict[Any, _Family] = OrderedDict()
_CAPACITY = 768


def _learn(skeleton: Any, literals: list[Literal]) -> None:
    """Note which literals of equal segments differ."""
    family = _families.get(skeleton)
    if family is None:
        if len(_families) >= _CAPACITY:
            _families.popitem(last=False)
        _families[skeleton] = _Family(literals)
        return
    changed = {i for i, (a, b) in enumerate(zip(family.latest, literals, strict=True)) if a != b}
    if not changed <= family.dynamic:
        family.dynamic |= changed
        family.programs.clear()
    family.latest = literals


def _segment(
    piece: Sequence[Equation], skeleton: Any, literals: list[Literal], free: list[Var], kept: list[Var]
) -> Segment:
    family = _families.get(skeleton) or _Family(literals)
    dynamic = family.dynamic
    numbers = [np.asarray(x.value, x.type.dtype) for i, x in enumerate(literals) if i in dynamic]
    static = tuple([x for i, x in enumerate(literals) if i not in dynamic])
    jaxpr = family.programs.get(static)
    if jaxpr is None:
        equations, extra = literals_to_inputs(piece, dynamic)
        jaxpr = family.programs[static] = Jaxpr([*free, *extra], equations, kept)
    return Segment(jaxpr, (*free, *numbers), tuple(kept))


def with_changing_literals(jaxpr: Jaxpr) -> Segment:
    """The whole program as one segment: literals seen to change between otherwise equal programs are its inputs."""
    last_use: dict[Var, int] = {a: len(jaxpr.equations) for a in jaxpr.outputs if type(a) is Var}
    skeleton, literals, free, kept = _skeleton(jaxpr.equations, last_use, len(jaxpr.equations))
    _learn(skeleton, literals)
    return _segment(jaxpr.equations, skeleton, literals, free, kept)


def literals_to_inputs(equations: Sequence[Equation], dynamic: set[int]) -> tuple[Sequence[Equation], list[Var]]:
    """The equations with the literals at these places (counted in order) as new variables; those variables."""
    if not dynamic:
        return equations, []
    place = 0
    new_inputs: list[Var] = []
    result: list[Equation] = []
    for eqn in equations:
        ins: list[Atom] = list(eqn.inputs)
        changed = False
        for i, a in enumerate(ins):
            if type(a) is not Literal:
                continue
            if place in dynamic:
                changed = True
                ins[i] = literal_as_input(eqn, a, new_inputs, result)
            place += 1
        result.append(Equation(eqn.op, ins, eqn.outputs, eqn.where) if changed else eqn)
    return result, new_inputs


def literal_as_input(eqn: Equation, a: Literal, inputs: list[Var], equations: list[Equation]) -> Var:
    """A variable in the place of a literal of this equation; appends the new input and, if need be, a broadcast."""
    var = Var(-1, a.type)
    inputs.append(var)
    shape = eqn.outputs[0].type.shape if eqn.outputs else ()
    if not (getattr(eqn.op, "broadcasts_literals", False) and shape):
        return var
    spread = Var(-1, a.type.update(shape=shape))
    equations.append(Equation(BroadcastInDim(shape, ()), (var,), (spread,), eqn.where))
    return spread


def clear() -> None:
    """Forget what is known of segments."""
    _families.clear()
