"""What the sparsity rules of loops share (trace.detection)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from functrans.ir.program import Jaxpr, subjaxprs
from functrans.ir.types import ArrayType
from functrans.trace.detection import Detection, Entry

_ROUNDS = 30


def equations_run(jaxpr: Jaxpr) -> int:
    """How many equations a run of a program looks at, those of its loops step by step. Remembered on it."""

    def counted() -> int:
        held = [eqn.op for eqn in jaxpr.equations if eqn.op.holds_jaxprs]
        return len(jaxpr.equations) + sum(op.turns() * sum(map(equations_run, subjaxprs(op))) for op in held)

    return jaxpr.remember("equations run", counted)


def started(x: Entry, type: ArrayType) -> Entry:
    """An initial carry; one of rank 0 stands for a whole array."""
    if x.shape == type.shape or x.sets is not None:
        return Entry(type, x.sets, x.known)
    return Entry(type, None, None if x.known is None else lambda: _broadcast(x.value(), type))


def _broadcast(value: Any, type: ArrayType) -> Any:
    return None if value is None else np.broadcast_to(value, type.shape)


def row_of(detection: Detection, x: Entry, i: int) -> Entry:
    """``x[i]``."""
    type = x.type.update(shape=x.shape[1:])
    if x.sets is not None:
        return Entry(type, detection.renumbered(x.sets, lambda numbers: numbers[i]))
    return Entry(type, None, None if x.known is None else lambda: _item(x.value(), i))


def _item(value: Any, i: int) -> Any:
    return None if value is None else value[i]


def computed(carry: Sequence[Entry]) -> list[Entry]:
    """The carry with what is known of it computed: what computes it would grow step by step."""
    return [Entry(x.type, x.sets, x.value()) for x in carry]


def fixed_sets(
    detection: Detection, carry: Sequence[Entry], step: Callable[[Sequence[Entry]], Sequence[Entry]]
) -> list[Entry]:
    """The carry after any number of steps, none included."""
    now = [Entry(x.type, x.sets) for x in carry]
    for _ in range(_ROUNDS):
        after = step(now)
        grown = [Entry(x.type, detection.union(x.sets, y.sets)) for x, y in zip(now, after, strict=True)]
        if all(detection.same(x.sets, y.sets) for x, y in zip(now, grown, strict=True)):
            return now
        now = grown
    while True:  # it grows slowly: all elements of a carry that grows are taken for one
        after = [detection.union(x.sets, y.sets) for x, y in zip(now, step(now), strict=True)]
        grows = [not detection.same(x.sets, s) for x, s in zip(now, after, strict=True)]
        if not any(grows):
            return now
        now = [
            Entry(x.type, detection.mixed(s, range(x.type.ndim))) if g else x
            for x, s, g in zip(now, after, grows, strict=True)
        ]
