"""What stands in for JAX's traces and tracers where this version of JAX lacks a name by which ours join them.

Functrans works as ever on arrays then, and apart from JAX's traces: JAX's functions refuse our tracers, and a program
of ours refuses those of JAX. Neither takes one for a constant.
"""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any


class Trace:
    """As ``jax.core.Trace``, which JAX never asks for anything."""

    __slots__ = ("__weakref__", "requires_low")

    _weakref = None

    def is_valid(self) -> bool:
        return True

    process_primitive = process_custom_jvp_call = process_custom_vjp_call = stage_value = is_valid


class Tracer:
    """As ``jax.core.Tracer``, for which JAX takes no object of this class."""

    __slots__ = ("__weakref__",)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"{type(self).__name__} has no attribute {name}", name=name, obj=self)

    def to_concrete_value(self) -> None:
        return None

    aval = _contents = _is_traced_array = to_concrete_value


class _JVPTracer:
    aval: Any
    tangent: Any


class _CurrentTrace(threading.local):
    """The trace of this thread: ours, since JAX's are not known."""

    def __init__(self) -> None:
        self.value = EVALUATION

    def set_local(self, trace: Any) -> None:
        self.value = trace


EVALUATION = Trace()

core = SimpleNamespace(
    Trace=Trace, Tracer=Tracer, eval_trace=EVALUATION, trace_state_strong_ref=_CurrentTrace(),
    trace_state=SimpleNamespace(set_local=lambda trace: None), pytype_aval_mappings={},
)  # fmt: skip
dtypes = SimpleNamespace(register_canonicalize_value_handler=lambda *_: None)
ad = SimpleNamespace(JVPTracer=_JVPTracer)
