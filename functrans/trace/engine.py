"""What runs programs, as the tracer sees it: installed by the room that compiles (``xla.execute``), which stands above.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from functrans.errors import InternalError
from functrans.ir.program import Jaxpr
from functrans.trace.primitive import Primitive


def _missing(*_: Any) -> Any:
    raise InternalError("no execution engine is installed")


class Engine:
    """The two entries by which tracing reaches an execution engine."""

    __slots__ = ("run_operation", "run_program")

    def __init__(self) -> None:
        # runs a primitive on concrete values, where nothing is being traced
        self.run_operation: Callable[[Primitive, Sequence[Any]], Any] = _missing
        # runs the program behind a value that is asked for while it is traced
        self.run_program: Callable[[Jaxpr, Sequence[Any]], list[Any]] = _missing


engine = Engine()
