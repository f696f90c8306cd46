"""The garbage collector, paused while programs are made: of many objects, none garbage, that it would walk again and
again."""

from __future__ import annotations

import gc


class CollectionPause:
    """A context manager, for one use: the collector rests inside, and runs afterwards if it ran before."""

    ran = False

    def __enter__(self) -> None:
        self.ran = gc.isenabled()  # noted before anything is done, so that Ctrl-C leaves nothing undone
        if self.ran:
            gc.disable()

    def __exit__(self, *exc: object) -> None:
        if self.ran:
            gc.enable()
