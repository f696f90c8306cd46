"""Effects: what an operation does besides computing its results.

An operation with effects is kept though nobody reads its results, and is never shared with an equal one. Ordered
effects of a program happen in the order in which they were written, all kinds of them in one order.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias


class Effect(NamedTuple):
    """A kind of effect; ``ordered`` effects keep the order of the program."""

    name: str
    ordered: bool = False

    def __repr__(self) -> str:
        return self.name


Effects: TypeAlias = frozenset[Effect]

NO_EFFECTS: Effects = frozenset()
DEBUG = Effect("debug")  # may be left out or repeated where a program is taken apart
ORDERED_DEBUG = Effect("ordered debug", True)
INPUT_OUTPUT = Effect("input and output")  # happens exactly once
ORDERED_INPUT_OUTPUT = Effect("ordered input and output", True)
CHECK = Effect("check")  # raises an error after the call

REPEATABLE: Effects = frozenset((DEBUG, ORDERED_DEBUG, CHECK))  # nothing reads what these do


def is_ordered(effects: Effects) -> bool:
    """Whether one of the effects keeps the order of the program."""
    return any(effect.ordered for effect in effects)
