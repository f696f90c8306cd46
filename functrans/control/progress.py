"""Progress bars of compiled loops.

The loop is compiled as turns of an outer loop. Each turn asks Python how many steps to run before it asks again: the
answer follows the clock, so a fast loop asks about ten times a second and a step costs nothing more.
"""

from __future__ import annotations

import importlib
import time
from typing import Any

import numpy as np

from functrans.errors import FunctransTypeError
from functrans.ir.types import describe
from functrans.trace.frames import here

_INTERVAL = 0.1  # seconds between two looks at the clock
_LARGEST = 2**31 - 1


class Bar:
    """A tqdm bar that starts anew where a loop does. ``total`` None: the number of steps is not known."""

    def __init__(self, label: str, total: int | None) -> None:
        self.label, self.total = label, total
        self.bar: Any = None
        self.asked = 0.0
        self.steps = 1

    def advance(self, done: Any) -> tuple[Any]:
        """``done`` steps lie behind; up to which step to run before asking again."""
        i, now = int(done), time.perf_counter()
        if i == 0 or self.bar is None:
            self.close()
            self.bar = importlib.import_module("tqdm").tqdm(total=self.total, desc=self.label)
            self.steps = 1
        else:
            self.bar.update(i - self.bar.n)
            factor = _INTERVAL / max(now - self.asked, 1e-9)
            self.steps = max(1, int(self.steps * min(max(factor, 0.05), 8.0)))
        self.asked = now
        return (np.int32(min(i + self.steps, _LARGEST)),)

    def finish(self, done: Any) -> tuple[()]:
        """The loop has ended after ``done`` steps."""
        if self.bar is not None:
            self.bar.update(int(done) - self.bar.n)
        self.close()
        return ()

    def close(self) -> None:
        """Leave the bar as it is."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None


def progress_label(progress: Any, what: str) -> str:
    """The label of a bar, empty for none; raises TypeError for what is no label, ImportError without tqdm."""
    if progress is None or progress is False or progress == "":
        return ""
    if progress is not True and not isinstance(progress, str):
        raise FunctransTypeError(f"progress of {what} must be a text or a bool, got {describe(progress)} at {here()}")
    try:
        importlib.import_module("tqdm")
    except ImportError:
        raise ImportError(f"progress={progress!r} of {what} needs the package tqdm: pip install tqdm") from None
    return what if progress is True else progress
