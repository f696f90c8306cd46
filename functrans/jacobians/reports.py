"""What was decided and why, for people and as data: the reports of ``explain``."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from functrans.jacobians.budget import Costs, in_words
from functrans.jacobians.planner import Plan


class Report:
    """``sections``: by name, a list of dictionaries of plain numbers and strings; printed, a page of text."""

    def __init__(self) -> None:
        self.sections: dict[str, list[dict[str, Any]]] = {}
        self._text: list[str] = []

    def add(self, section: str, data: dict[str, Any], text: str) -> None:
        """One more entry of a section, and the lines that say it to people."""
        self.sections.setdefault(section, []).append(data)
        self._text.append(text)

    def __str__(self) -> str:
        return "\n\n".join(self._text)

    __repr__ = __str__


_open = threading.local()


@contextlib.contextmanager
def collecting() -> Iterator[Report]:
    """What is decided in this thread inside goes into the report."""
    outer, _open.report = current(), Report()
    try:
        yield _open.report
    finally:
        _open.report = outer


def current() -> Report | None:
    """The report that decisions go to now."""
    return _open.__dict__.get("report")


def note_program(name: str, costs: Costs) -> None:
    """A function as it was traced."""
    report = current()
    if report is not None:
        text = (
            f"{name}: {costs.equations} equations, {costs.flops:,} floating-point operations, at most "
            f"{in_words(costs.bytes)} of values at once"
        )
        report.add("program", {"name": name, **costs._asdict()}, text)


def note_plan(name: str, plan: Plan, memory: int | None) -> None:
    """How a Jacobian is computed."""
    report = current()
    if report is None:
        return
    chosen = plan.chosen
    data: dict[str, Any] = {
        "name": name,
        "shape": (plan.outputs, plan.inputs),
        "chosen": chosen.name,
        "memory": memory,
        "candidates": [c._asdict() for c in plan.candidates],
        "note": plan.note,
    }
    lines = [f"{name}, {plan.outputs} x {plan.inputs}: {chosen.name}, {_passes(chosen)}"]
    if memory is not None:
        lines[0] += f", within {in_words(memory)}"
    if plan.pattern is not None:
        data["entries"], data["assumed"] = plan.pattern.size, plan.pattern.assumed
        lines.append(f"  pattern: {plan.pattern.size} entries of {plan.outputs * plan.inputs}")
        lines += [f"  more entries were assumed than are known: {place}" for place in plan.pattern.assumed]
    if plan.note:
        lines.append(f"  {plan.note}")
    width = max(len(c.name) for c in plan.candidates)
    for c in plan.candidates:
        mark = "*" if c is chosen else " "
        why = c.why_not or f"{c.flops:.3g} operations, {in_words(c.bytes)}"
        lines.append(f"  {mark} {c.name:<{width}}  {_passes(c)}: {why}")
    report.add("jacobian", data, "\n".join(lines))


def _passes(candidate: Any) -> str:
    parts = [
        f"{count} {word}"
        for count, word in ((candidate.forward, "forward"), (candidate.reverse, "reverse"))
        if count
    ]
    text = " + ".join(parts) or "no"
    text += " passes" if candidate.forward + candidate.reverse != 1 else " pass"
    return text if candidate.chunk is None else f"{text} in chunks of {candidate.chunk}"
