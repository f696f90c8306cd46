"""What JAX is tracing in this thread: the current trace, read and replaced; the classes of its traces and tracers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from functrans.jaxlib_compat import apart
from functrans.jaxlib_compat.configuration import reader
from functrans.jaxlib_compat.versions import private

(_axes,) = private({"jax._src.core": ("AxisEnv.axis_sizes", "AxisEnv.extend_pure", "axis_env_state.set_local")})

_core, _dtypes, _ad = private(
    {
        "jax._src.core": (
            "Trace",
            "Trace.is_valid",
            "Trace.process_custom_jvp_call",
            "Trace.process_custom_vjp_call",
            "Trace.process_primitive",
            "Trace._weakref",
            "Trace.requires_low",
            "Trace.stage_value",
            "Tracer",
            "Tracer._contents",
            "Tracer._is_traced_array",
            "Tracer.aval",
            "Tracer.to_concrete_value",
            "eval_trace",
            "pytype_aval_mappings",
            "trace_state.set_local",
            "trace_state_strong_ref.set_local",
        ),
        "jax._src.dtypes": ("register_canonicalize_value_handler",),
        "jax._src.interpreters.ad": ("JVPTracer", "JVPTracer.tangent"),
    },
    otherwise=(apart.core, apart.dtypes, apart.ad),
    without="JAX's functions do not take values that functrans traces, nor functrans' those that JAX traces (from_jax "
    "and to_jax translate functions)",
)

Trace: Any = _core.Trace
"""The class of JAX's traces; it processes every operation of JAX while it is the current one."""

JaxTracer: Any = _core.Tracer
"""The class of what stands for an array in a trace of JAX."""

OVERRIDDEN: Final = (
    _core.Trace.is_valid,
    _core.Trace.process_custom_jvp_call,
    _core.Trace.process_custom_vjp_call,
    _core.Trace.process_primitive,
    _core.Trace.requires_low,
    _core.Trace.stage_value,
    _core.Tracer._contents,
    _core.Tracer._is_traced_array,
    _core.Tracer.to_concrete_value,
)
"""By what JAX reaches our traces and tracers: renamed, these would never be asked."""

EVALUATION: Final[Any] = _core.eval_trace
"""JAX's trace while it traces nothing: operations run at once."""

current_trace: Callable[[], Any] = reader(_core.trace_state_strong_ref)
"""() -> JAX's trace in this thread; None while JAX processes an operation (from jax 0.11 on)."""

# Bound C++ methods: a pair of calls is on the path of every un-jitted transform.
keep_trace: Callable[[Any], object] = _core.trace_state_strong_ref.set_local
key_trace: Callable[[Any], object] = _core.trace_state.set_local


PERTURBED: Final[Any] = object.__new__(_ad.JVPTracer)
"""Among what a tracer says that it holds, this tells ``jax.closure_convert`` that it may be differentiated."""

PERTURBED.aval = PERTURBED.tangent = None


def set_trace(trace: Any) -> None:
    """Make a trace JAX's current one: ``keep_trace(trace)`` and ``key_trace(trace._weakref)``.

    The second is in the key of the C++ dispatcher: calls of jitted functions on concrete arguments miss its fast path
    while another trace than ``EVALUATION`` is current.
    """
    keep_trace(trace)
    key_trace(None if trace is None else trace._weakref)


def evaluates() -> bool:
    """Whether operations run at once: JAX traces nothing in this thread, nor do we."""
    trace = current_trace()
    return trace is EVALUATION or trace is None


def copied(x: Any) -> Any:
    """A JAX array in memory of its own, now, whatever is being traced; a tracer as it is."""
    if isinstance(x, JaxTracer):
        return x
    outer = current_trace()
    if evaluates():
        return x.copy()
    set_trace(EVALUATION)
    try:
        return x.copy()
    finally:
        set_trace(outer)


def is_around(trace: Any, other: Any) -> bool:
    """Whether values of the trace ``other`` may be used in ``trace``: it is open around that one, as far as JAX's
    traces tell (a ``jax.jit`` does not say what it stands in).
    """
    while trace is not None and trace is not EVALUATION:
        if trace is other:
            return True
        trace = getattr(trace, "parent_trace", None)
    return trace is None and other.is_valid()


def register_tracer(tracer_class: type) -> None:
    """Let JAX take the objects of a subclass of ``JaxTracer`` for values of the type that their ``aval`` is."""
    _core.pytype_aval_mappings[tracer_class] = lambda x: x.aval
    _dtypes.register_canonicalize_value_handler(tracer_class, None)  # None: leave the value as it is


axis_environment: Callable[[], Any] = reader(_axes.axis_env_state)
"""() -> the names of mapped axes for JAX's operations; they are in JAX's trace context, and so in our keys."""

restore_axes: Callable[[Any], object] = _axes.axis_env_state.set_local
"""Make what ``axis_environment`` gave the names of mapped axes again."""


def extend_axes(axes: Iterable[tuple[Any, int]]) -> None:
    """Bind further axis names to their sizes for JAX's operations."""
    restore_axes(axis_environment().extend_pure(axes))


def mapped_axes() -> Mapping[Any, int]:
    """The names of mapped axes in scope in this thread, and their sizes."""
    return axis_environment().axis_sizes  # type: ignore[no-any-return]
