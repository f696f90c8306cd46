"""What is remembered and may be forgotten: one bounded table, shared between threads, for the whole package."""

from __future__ import annotations

import threading
from typing import Any


class Cache(dict[Any, Any]):
    """At most ``capacity`` values by key; those not asked for longest leave first. No value is None.

    Threads share it: of two values made for one key at the same time the first to be added is everybody's
    (``add`` returns it), and an entry is whole when it can be seen. So what is stored is never changed afterwards.

    The dictionary itself holds the recent half, and its own ``get`` looks there alone, at the speed of C; ``find``
    looks in both halves. When the recent half is full it becomes the older one, and what was older is forgotten: an
    order of use that costs nothing to keep.

    >>> squares = Cache(4)
    >>> squares.add(3, 9), squares.add(3, 10), squares.find(3), squares.find(4)
    (9, 9, 9, None)
    """

    __slots__ = ("_half", "_lock", "_older")

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self._half = max(1, capacity // 2)
        self._older: dict[Any, Any] = {}
        self._lock = threading.RLock()  # the comparison of two keys may be a user's, who may call us

    def find(self, key: Any) -> Any:
        """The value, or None."""
        found = self.get(key)
        if found is None:
            found = self._older.get(key)
            if found is not None:
                return self.add(key, found)
        return found

    def add(self, key: Any, value: Any) -> Any:
        """Remember a value; the one that is remembered: another thread's, if that was first."""
        with self._lock:
            found = self.setdefault(key, value)
            if len(self) >= self._half:
                self._older = dict(self)
                dict.clear(self)
        return found

    def all_keys(self) -> list[Any]:
        """The keys of both halves, the latest last."""
        with self._lock:
            return list(dict.fromkeys([*self._older, *self]))

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._older = {}
            dict.clear(self)
