"""Our traces as traces of JAX: while a builder is open, what JAX is asked to do becomes equations of ours.

An outermost builder makes a ``BuilderTrace`` JAX's current trace; JAX hands it every operation, as to its own. What it
does with them is installed by the room that translates JAX's operations (``interop.crossing``), which is loaded with
the first of them.

    functrans.grad(lambda x: jnp.sum(jax.nn.relu(x)))    # relu, reduce_sum are processed by our trace

JAX may open traces inside of ours (``jax.jit``, ``jax.grad``): then theirs is current, and what they have not to do
with comes to ours. Ours may be opened inside of theirs: its program becomes one operation of theirs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

from functrans.jaxlib_compat.tracing import EVALUATION, Trace, current_trace, set_trace

if TYPE_CHECKING:
    from functrans.trace.tracer import Tracer


class _Crossing:
    """What JAX's operations become; the module that knows is loaded when one is met."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        before = current_trace()
        set_trace(EVALUATION)  # importing runs operations of JAX
        try:
            module = import_module("functrans.interop.crossing")
        finally:
            set_trace(before)
        self.__dict__[name] = found = getattr(module, name)
        return found


crossing: Any = _Crossing()


class BuilderTrace(Trace):  # type: ignore[misc]
    """The trace of an outermost builder, for JAX. ``parent_trace``: what JAX was tracing, or evaluating, around it;
    ``builder``: the innermost builder opened inside of it.
    """

    __slots__ = ("builder", "parent_trace")

    def __init__(self, parent: Any) -> None:
        super().__init__()
        self.requires_low = False  # type: ignore[misc]  # operations that are objects come as they are, with their rules
        self.builder: Any = None  # a Builder while one is open
        self.parent_trace = EVALUATION if parent is None else parent

    def process_primitive(self, primitive: Any, tracers: Any, params: Any, /) -> Any:
        return crossing.operation(self, primitive, tracers, params)

    def process_call(self, primitive: Any, f: Any, tracers: Any, params: Any, /) -> Any:
        return crossing.call(self, "process_call", primitive, (f,), tracers, params)

    def process_custom_jvp_call(self, primitive: Any, fun: Any, jvp: Any, tracers: Any, /, **params: Any) -> Any:
        return crossing.call(self, "process_custom_jvp_call", primitive, (fun, jvp), tracers, params)

    def process_custom_vjp_call(
        self, primitive: Any, fun: Any, fwd: Any, bwd: Any, tracers: Any, /, **params: Any
    ) -> Any:
        return crossing.call(self, "process_custom_vjp_call", primitive, (fun, fwd, bwd), tracers, params)

    def process_shard_map(self, primitive: Any, fun: Any, tracers: Any, /, **params: Any) -> Any:
        return crossing.call(self, "process_shard_map", primitive, (fun,), tracers, params)

    def stage_value(self, value: Any) -> Any:
        return crossing.array(value)

    def cur_qdd(self, x: Any) -> Any:
        return self.parent_trace.cur_qdd(x)


class Unreachable(Trace):  # type: ignore[misc]
    """The trace, for JAX, of a tracer that is used outside of its own."""

    __slots__ = ("tracer",)

    def __init__(self, tracer: Tracer) -> None:
        super().__init__()
        self.tracer = tracer

    def is_valid(self) -> NoReturn:
        raise self.tracer.escaped()
