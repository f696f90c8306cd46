"""A part of a large set of checks, the next part at each commit; ``FUNCTRANS_TESTS=thorough`` takes them all.

A product of choices (operands x transforms x dtypes) soon has more members than a run has seconds for.
``covering_share`` takes every n-th of them: any n commits in a row, or n runs with ``FUNCTRANS_TURN=0`` to ``n-1``,
cover the whole product. A run is repeatable: the number of the commit decides, not chance, and all of its worker
processes agree.

>>> CASES = [(rule, dtype) for rule in ("jvp", "vmap") for dtype in ("float32", "complex64")]
>>> parts = [covering_share(CASES, 3, turn=turn) for turn in range(3)]
>>> sorted(sum(parts, [])) == sorted(CASES)
True
"""

from __future__ import annotations

import functools
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

THOROUGH = os.environ.get("FUNCTRANS_TESTS") == "thorough"

T = TypeVar("T")


@functools.cache
def current_turn() -> int:
    """The number of commits so far, or what ``FUNCTRANS_TURN`` says; 0 without a history."""
    if "FUNCTRANS_TURN" in os.environ:
        return int(os.environ["FUNCTRANS_TURN"])
    command = ["git", "rev-list", "--count", "HEAD"]
    try:
        answer = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True)
    except OSError:
        return 0
    return int(answer.stdout) if answer.returncode == 0 else 0


def covering_share(cases: Sequence[T], parts: int, *, offset: int = 0, turn: int | None = None) -> list[T]:
    """Every ``parts``-th of the cases, beginning where the turn says; all of them in a thorough run.

    Args:
      cases: in an order that is the same in every process (a list, not a set).
      parts: how many turns cover all of them.
      offset: added to the turn: sets that are drawn alike (one for each row of a table) begin at different places when
        each gives its own number, so that a run sees a mixture of all choices rather than one choice in all sets.
      turn: by default ``current_turn()``; given, it holds in a thorough run too.
    """
    if turn is None:
        if THOROUGH:
            return list(cases)
        turn = current_turn()
    return list(cases[(turn + offset) % parts :: parts])
