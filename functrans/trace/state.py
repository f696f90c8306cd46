"""What a thread is tracing: its innermost open builder.

It is ambient because it has to be: users write ``x + y``, with no argument that could say into which program the
equation goes. So are the names of mapped axes, ``psum(x, 'i')``: they stand in JAX's environment of them, for its
operations and ours. What else a rule takes from its surroundings (the
user's line of an equation that is emitted again, how many derivative rules stand around) is a field of the builder,
which the builders opened inside of it inherit: it ends with the trace, however that ends. Where nothing is traced, and
the operations of a rule run at once, the thread's state has the same fields.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from functrans.ir.program import Where
from functrans.jaxlib_compat.tracing import (
    EVALUATION,
    axis_environment,
    current_trace,
    evaluates,
    extend_axes,
    restore_axes,
    set_trace,
)
from functrans.trace.frames import describe_place, on_interrupt
from functrans.trace.jax_trace import BuilderTrace

if TYPE_CHECKING:
    from functrans.trace.builder import Builder


class _ThreadState(threading.local):
    """What this thread is tracing."""

    def __init__(self) -> None:
        self.builder: Builder | None = None
        self.place: Where = None
        self.rules = 0
        self.trace = BuilderTrace(EVALUATION)  # of every outermost builder that stands in no trace of JAX
        self.axes: Any = None  # JAX's axis names as they were before the outermost ``axis_scope``


state = _ThreadState()


def current_builder() -> Builder | None:
    """The innermost open builder of this thread, unless JAX traces something of its own inside of it."""
    trace = current_trace()
    return trace.builder if type(trace) is BuilderTrace else None


_ORDERS_IN_JAX = 2  # beyond it derivative rules are traced when they are asked for


def foreseen_order() -> int:
    """How many differentiations may still be applied to what is traced here (see ``Builder``)."""
    builder = current_builder()
    if builder is not None:
        return builder.order
    return 0 if evaluates() else _ORDERS_IN_JAX


def surroundings() -> Builder | _ThreadState:
    """What the operations of a rule find around them: ``place`` and ``rules`` (see ``Builder``)."""
    builder = state.builder
    return state if builder is None else builder


def current_place() -> Where:
    """The user's line of the equation that a transform emits again; None while user code is traced, or runs."""
    return surroundings().place


def operation_place() -> str:
    """In words, for the messages of a rule: where the user asked for the operation."""
    return describe_place(current_place())


class axis_scope:
    """Binds further axis names to their sizes while a function is traced."""

    __slots__ = ("axes", "outer")

    def __init__(self, axes: Mapping[Any, int]) -> None:
        self.axes = axes

    def __enter__(self) -> None:
        if self.axes:
            self.outer = axis_environment()
            if state.axes is None:
                state.axes = self.outer  # first, so that what follows is undone whenever Ctrl-C comes
            extend_axes(self.axes.items())

    def __exit__(self, *exc: object) -> None:
        if self.axes:
            restore_axes(self.outer)
            if state.axes is self.outer:
                state.axes = None


def outside_of_traces(function: Callable[..., Any], *args: Any) -> Any:
    """Call a function of concrete values as if this thread were tracing nothing: it is run, not staged."""
    if state.builder is None and current_trace() is EVALUATION:
        return function(*args)
    with untraced():
        return function(*args)


class untraced:
    """Inside, this thread traces nothing."""

    __slots__ = ("builder", "outermost", "trace")

    def __enter__(self) -> None:
        self.builder, self.trace = state.builder, current_trace()
        self.outermost = state.trace.builder  # which may not be the innermost one: JAX may trace in between
        state.builder = None
        set_trace(EVALUATION)

    def __exit__(self, *exc: object) -> None:
        state.builder = self.builder
        state.trace.builder = self.outermost  # it may have served another
        set_trace(self.trace)


def _abandon() -> None:
    """Close the traces that Ctrl-C has left open: it may come before their ``__exit__`` does anything."""
    while state.builder is not None:
        state.builder.__exit__()
    state.place, state.rules = None, 0
    if state.axes is not None:
        restore_axes(state.axes)
        state.axes = None


on_interrupt(_abandon)
