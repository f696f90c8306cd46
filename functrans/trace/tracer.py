"""The tracer: what stands for an array while a function is traced."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from functrans.errors import EscapedTracerError
from functrans.ir.program import Equation, Var
from functrans.ir.types import ArrayType, describe, is_differentiable
from functrans.jaxlib_compat.array_values import abstract_value
from functrans.jaxlib_compat.tracing import PERTURBED, JaxTracer, evaluates, register_tracer
from functrans.trace.frames import describe_place, where
from functrans.trace.jax_trace import Unreachable

if TYPE_CHECKING:
    from functrans.trace.builder import Builder


class Tracer(JaxTracer):  # type: ignore[misc]
    """The one value that user code sees while it is traced: a variable of an open builder.

    What Python itself asks of a number is installed by ``trace.conversions``, the operators and methods of an array by
    ``numpy.array_methods``. It is a tracer of JAX as well: ``isinstance(x, jax.Array)`` holds, and JAX's functions and
    transforms take it (trace.jax_trace). What JAX's arrays have and ours do not name is JAX's.
    """

    __slots__ = ("builder", "type", "variable")

    builder: Builder
    type: ArrayType
    variable: Var

    def __init__(self, builder: Builder, var: Var, type: ArrayType) -> None:
        self.builder = builder
        self.variable = var
        self.type = type

    @property
    def aval(self) -> Any:
        """The type, as JAX has it."""
        type_ = self.type
        try:
            return type_.aval
        except AttributeError:
            type_.aval = abstract_value(type_)
            return type_.aval

    @property
    def _trace(self) -> Any:
        """The trace that JAX takes it for a value of."""
        return self.builder.trace if self.reachable() else Unreachable(self)

    @property
    def _line_info(self) -> None:
        """What JAX's error about an escaped tracer says of it: that error is ours."""
        if not self.reachable():
            raise escaped(self)

    def _contents(self) -> list[tuple[str, Any]]:
        """What JAX looks into to see whether the value may be differentiated: that it may, if it has a derivative."""
        return [("value", PERTURBED)] if is_differentiable(self.type.dtype) else []

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError as error:
            raise AttributeError(*error.args, name=name, obj=self) from None

    def reachable(self) -> bool:
        """Whether its trace is open, in this thread."""
        return self.builder.open and self.builder.thread == threading.get_ident()

    def escaped(self) -> EscapedTracerError:
        """The error for a tracer met outside its trace."""
        return escaped(self)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.type.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.type.dtype

    @property
    def ndim(self) -> int:
        return len(self.type.shape)

    @property
    def size(self) -> int:
        return self.type.size

    @property
    def weak_type(self) -> bool:
        return self.type.weak_type


register_tracer(Tracer)


def producer_of(x: Any) -> Equation | None:
    """The equation that made a traced value; None for inputs and concrete values."""
    return x.builder.producers[x.variable.id] if type(x) is Tracer else None


def tracer_for(x: Tracer, var: Any) -> Tracer:
    """The tracer of a variable of the same builder as ``x``."""
    tracer: Tracer = x.builder.tracers[var.id]
    return tracer


def check_reachable(x: Any) -> None:
    """Raise where a traced value, ours or JAX's, is used where it means nothing."""
    if not isinstance(x, JaxTracer):
        return
    if type(x) is Tracer:
        if evaluates() or not x.reachable():
            raise escaped(x)
    elif evaluates():
        raise EscapedTracerError(
            f"a value that JAX traced ({type(x).__name__} of {describe(x)}) was used at {describe_place(where())}\n"
            "outside of its trace, where nothing is traced. Return it from the function that JAX transforms, instead "
            "of storing it in a global, an attribute or a list."
        )


def escaped(x: Tracer) -> EscapedTracerError:
    """The error for a tracer met outside its trace."""
    owner = x.builder
    producer = owner.producers[x.variable.id] if x.variable.id < len(owner.producers) else None
    made = f"made at {describe_place(producer.where)}" if producer is not None else "an argument or captured value"
    what = f"a traced value of type {x.type} from {owner.purpose} ({made})"
    if owner.open and owner.thread != threading.get_ident():
        name = next((t.name for t in threading.enumerate() if t.ident == owner.thread), str(owner.thread))
        return EscapedTracerError(
            f"{what} belongs to thread {name!r} and was used in thread {threading.current_thread().name!r} at "
            f"{describe_place(where())}\nA traced value can be used only by the thread that traces it: call the "
            "transformed function inside the other thread, or pass arrays."
        )
    return EscapedTracerError(
        f"{what} was used at {describe_place(where())}\n{'after' if not owner.open else 'outside of'} its trace"
        f"{' had ended' if not owner.open else ''}. A traced value is meaningful only inside the function being "
        "transformed: return it from that function (has_aux=True carries extra results out) instead of storing it in a "
        "global, an attribute or a list."
    )
