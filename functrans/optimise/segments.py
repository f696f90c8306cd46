"""Cut a long straight-line program into segments, so that a repeated loop body gives the same segment again.

XLA's compile time grows faster than linearly with the length of a program, and a Python loop that runs one more time is
a new program. A segment is a program of its own, found by structural key: 80 steps of a loop compile a handful of
segments, and 81 steps compile none.

Every segment costs XLA 50 ms and more, so a program whose segments are mostly different stays whole: nested derivatives
have the lines of one loop in every round and never the same equations (eight times of a scalar function: 1.2 s whole,
12 s in segments).

A loop is seen by its user lines: an equation's signature is its operation and its place in the user's code, and where
the signature at the start of a segment comes again, a new round begins. Numbers that differ from round to round
(``x * i``) are inputs of the program already (optimise.numbers); a number that is repeated over an array is repeated in
each segment, not handed from one to the next as an array.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

from functrans.ir.program import Equation, Jaxpr, Var

SHORTEST = 32  # equations: rounds are gathered until a segment has this many
LONGEST = 256
LONGEST_WITHOUT_REPETITION = 8192  # equations
FEWEST_ROUNDS = 3  # a program of up to LONGEST equations is cut only if it repeats itself this often


class Segment(NamedTuple):
    """``outputs = jaxpr inputs``, in variables of the whole program."""

    jaxpr: Jaxpr
    inputs: tuple[Var, ...]
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
            heads = [following[i]]
            while heads[-1] - i < shortest and 0 <= following[heads[-1]] <= heads[-1] + LONGEST:
                heads.append(following[heads[-1]])
            j = heads[-1]
            if j - i < shortest:  # the last rounds, too few to fill a segment: 8, 4, 2, 1 of them
                j = heads[(1 << len(heads).bit_length() - 1) - 1]
        if j < n:
            found.append(j)
        i = j
    return found if periodic or n > LONGEST else []


def cut(jaxpr: Jaxpr) -> list[Segment] | None:
    """The program as segments to be run in order, or None when it is best left whole. Remembered on the jaxpr."""
    return jaxpr.remember("segments", lambda: _cut(jaxpr) if len(jaxpr.equations) >= SHORTEST else None)


def _cut(jaxpr: Jaxpr) -> list[Segment] | None:
    equations = jaxpr.equations
    places = cuts(equations)
    if not places:
        return None
    repeated = {eqn.outputs[0]: eqn for eqn in equations if _repeats_a_number(eqn)}
    last_use: dict[Var, int] = {a: len(equations) for a in jaxpr.outputs if type(a) is Var}
    for i in range(len(equations) - 1, -1, -1):
        for a in equations[i].inputs:
            if type(a) is Var:
                for b in repeated[a].inputs if a in repeated else (a,):
                    last_use.setdefault(b, i)  # type: ignore[arg-type]
    pieces = _pieces(equations, places, last_use, repeated)
    # Rounds gathered into few segments, with those left over, may hide a short loop: then the single rounds show it.
    if (
        len(equations) <= LONGEST_WITHOUT_REPETITION
        and _mostly_different(pieces)
        and _mostly_different(_pieces(equations, cuts(equations, shortest=1), last_use, repeated))
    ):
        return None
    return pieces


def _repeats_a_number(eqn: Equation) -> bool:
    return eqn.op.repeats_operand and type(eqn.inputs[0]) is Var and not eqn.inputs[0].type.shape


def _pieces(
    equations: Sequence[Equation], places: Sequence[int], last_use: dict[Var, int], repeated: dict[Var, Equation]
) -> list[Segment]:
    """The segments that begin at these places."""
    bounds = itertools.pairwise([0, *places, len(equations)])
    pieces = [_segment(equations[a:b], last_use, b, repeated) for a, b in bounds]
    return [piece for piece in pieces if piece.outputs or piece.jaxpr.equations]


def _mostly_different(pieces: Sequence[Segment]) -> bool:
    """Whether more than half of the equations stand in pieces unlike any earlier one."""
    different = {piece.jaxpr: len(piece.jaxpr.equations) for piece in pieces}
    return 2 * sum(different.values()) > sum(len(piece.jaxpr.equations) for piece in pieces)


def _segment(
    piece: Sequence[Equation], last_use: dict[Var, int], end: int, repeated: dict[Var, Equation]
) -> Segment:
    """The equations with those of ``repeated`` that they read; inputs by first use, outputs what is read later."""
    own: dict[Var, None] = {}
    free: dict[Var, None] = {}
    written: list[Equation] = []

    def write(eqn: Equation) -> None:
        for a in eqn.inputs:
            if type(a) is Var and a not in own:
                if a in repeated:
                    write(repeated[a])
                else:
                    free[a] = None
        written.append(eqn)
        own.update(dict.fromkeys(eqn.outputs))

    for eqn in piece:
        if eqn.outputs and eqn.outputs[0] in repeated and (
            eqn.outputs[0] in own or last_use.get(eqn.outputs[0], -1) < end
        ):
            continue  # it is written where it is read
        write(eqn)
    kept = tuple([v for v in own if last_use.get(v, -1) >= end])
    jaxpr = Jaxpr(tuple(free), written, kept)
    jaxpr.remember("segments", lambda: None)  # it is not cut again
    return Segment(jaxpr, tuple(free), kept)

