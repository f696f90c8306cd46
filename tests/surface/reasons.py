"""What the table of coverage says beyond what it finds out by itself: {what is said: names or patterns}."""

from __future__ import annotations

WHOLE_MODULES_ABSENT: dict[str, str] = {}
ABSENT: dict[str, str] = {}
DIFFERENT: dict[str, str] = {}
BY_THE_CROSSING: dict[str, str] = {}
# The tests, by file, that hold names which no row can: transforms, contexts, classes.
HELD: dict[str, str] = {}
