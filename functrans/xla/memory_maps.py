"""Executables on CPU against the number of memory maps that Linux allows a process.

Each one takes dozens of maps, of 65,530 by default, and LLVM ends the process where it gets no more. So before it comes
to that, the executables that are only remembered are let go.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from pathlib import Path

_MAPS, _ALLOWED = Path("/proc/self/maps"), Path("/proc/sys/vm/max_map_count")
_EACH = 32  # compilations between two looks: one takes 10 ms where there are tens of thousands of maps
_SHARE = 0.6  # of what is allowed, from which on executables are let go
_GROWTH = 0.1  # of what is allowed, that has to be new since the last time: others than ours may hold the rest


class MemoryMaps:
    """Counts compilations, and calls ``forget`` where the process has taken most of its memory maps."""

    def __init__(self, forget: Callable[[], None]) -> None:
        self.forget = forget
        self.left = 0  # maps, after the last time
        self._compilations = 0
        self._lock = threading.Lock()

    def before_compiling(self) -> None:
        """Make room, where it is time to look and there is little."""
        with self._lock:
            self._compilations += 1
            if self._compilations % _EACH:
                return
        allowed, taken = self.counts()
        if taken > max(_SHARE * allowed, self.left + _GROWTH * allowed):
            self.forget()
            gc.collect()
            self.left = self.counts()[1]

    @staticmethod
    def counts() -> tuple[int, int]:
        """Maps that the process may have and has; none are counted where the system does not say."""
        try:
            return int(_ALLOWED.read_text()), _MAPS.read_bytes().count(b"\n")
        except (OSError, ValueError):
            return 1, 0
