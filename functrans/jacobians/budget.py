"""What a program costs: floating-point operations and bytes, counted on the jaxpr, and a budget of bytes.

The counts are bounds from above: a compiler that fuses operations stores fewer values, and none more but copies that it
makes for layouts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from functrans.ir.program import Jaxpr, Var, subjaxprs
from functrans.ir.types import ArrayType
from functrans.trace.primitive import program_cost

_UNITS = ("bytes", "kB", "MB", "GB", "TB")

STORED = 8.0  # operations in the time that reading or storing an element out of order takes


class Costs(NamedTuple):
    """Of one run: ``flops``: floating-point operations; ``bytes``: the most that is stored at once besides the inputs,
    results included; ``equations``."""

    flops: int
    bytes: int
    equations: int


def costs(jaxpr: Jaxpr) -> Costs:
    """What one run of a program costs."""
    return Costs(program_cost(jaxpr), peak_bytes(jaxpr), len(jaxpr.equations))


def bytes_of(types: Sequence[ArrayType]) -> int:
    """The size of arrays of these types."""
    return sum(t.size * t.dtype.itemsize for t in types)


def peak_bytes(jaxpr: Jaxpr) -> int:
    """The most bytes that values of the program take at one time, each from its equation to its last use; its inputs
    are not counted. Remembered on it."""
    return jaxpr.remember("peak bytes", lambda: _peak(jaxpr))


def _peak(jaxpr: Jaxpr) -> int:
    last: dict[Var, int] = {}
    for i, eqn in enumerate(jaxpr.equations):
        last.update((a, i) for a in eqn.inputs if type(a) is Var)
        last.update((v, i) for v in eqn.outputs if v not in last)
    last.update((a, len(jaxpr.equations)) for a in jaxpr.outputs if type(a) is Var)
    ending: dict[int, list[Var]] = {}
    for v, i in last.items():
        ending.setdefault(i, []).append(v)
    made: set[Var] = set()
    now = peak = 0
    for i, eqn in enumerate(jaxpr.equations):
        made.update(eqn.outputs)
        now += bytes_of([v.type for v in eqn.outputs])
        inside = max([_peak_of(p) for p in subjaxprs(eqn.op)], default=0) if eqn.op.holds_jaxprs else 0
        peak = max(peak, now + inside)
        now -= bytes_of([v.type for v in ending.get(i, ()) if v in made])
    return peak


def _peak_of(jaxpr: Jaxpr) -> int:
    return peak_bytes(jaxpr)


def in_words(count: int) -> str:
    """A number of bytes for people: ``1.50 MB``."""
    value = float(count)
    for unit in _UNITS[:-1]:
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} {_UNITS[-1]}"


class Budget:
    """How many bytes a plan may take; None: any number."""

    def __init__(self, memory: int | None) -> None:
        self.memory = memory

    def most(self, fixed: int, each: int, wanted: int) -> int:
        """How many of ``wanted`` parts of so many bytes fit at once beside what is fixed; 0: not one."""
        if self.memory is None:
            return wanted
        return max(0, min(wanted, (self.memory - fixed) // max(each, 1)))
