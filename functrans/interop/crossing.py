"""What JAX is asked to do while one of our traces is open: each operation of JAX becomes operations of ours.

    functrans.grad(lambda x: jnp.sum(jax.nn.relu(x)))     custom_jvp_call, reduce_sum  ->  CustomJvp, ReduceSum

JAX hands every operation to the current trace (trace.jax_trace), which is ours; it is translated as an equation of a
program that ``from_jax`` brings over. What concerns no traced value is left to JAX where operations run at once, and
staged like the rest elsewhere: under ``jit`` its effects belong to each run.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType
from typing import Any

import jax
import jax.extend.core as jax_core
import numpy as np

from functrans.api.ahead_of_time import shape_struct
from functrans.api.staging import as_values
from functrans.errors import InternalError
from functrans.interop.from_jax import TABLE
from functrans.interop.jax_primitive import apply_program
from functrans.interop.jax_tracing import type_of_aval
from functrans.interop.other_libraries import implementation
from functrans.interop.translation import Application, Translator, number_literal, with_weak_flag
from functrans.ir.cache import Cache
from functrans.ir.program import Where
from functrans.ir.types import float0
from functrans.jaxlib_compat import configuration
from functrans.jaxlib_compat.array_values import ArrayImpl
from functrans.jaxlib_compat.jax_programs import make_equation, value_type
from functrans.jaxlib_compat.tracing import EVALUATION, JaxTracer, current_trace, set_trace
from functrans.trace.builder import Builder
from functrans.trace.frames import is_internal, users_place
from functrans.trace.jax_trace import BuilderTrace
from functrans.trace.replay import at
from functrans.trace.state import current_place, state
from functrans.trace.tracer import Tracer

_translator = Translator(TABLE, implementation, "code that functrans traces")
program = apply_program


class _inside:
    """JAX's current trace is ours again, as it was before JAX began to process an operation; and the user's line."""

    __slots__ = ("before", "place", "trace")

    def __init__(self, trace: BuilderTrace) -> None:
        self.trace = trace

    def __enter__(self) -> Builder:
        builder = state.builder
        if builder is None or builder.trace is not self.trace:
            raise InternalError("JAX processes an operation in a trace of functrans that is not the innermost one")
        self.before = current_trace()
        set_trace(self.trace)
        self.place = at(current_place() or _users_line())
        self.place.__enter__()
        return builder

    def __exit__(self, *exc: Any) -> None:
        self.place.__exit__(*exc)
        set_trace(self.before)


def _users_line() -> Where:
    """The user's line from which JAX was reached, past JAX's own code and that of packages on top of it."""

    def outside() -> Iterator[tuple[Any, int]]:
        frame: FrameType | None = sys._getframe(3)
        while frame is not None:
            if not is_internal(frame.f_code.co_filename):
                yield frame.f_code, frame.f_lasti
            frame = frame.f_back

    return users_place(outside())


# -- operations --------------------------------------------------------------------------------------------------------


class _Operand:
    """What a translation reads of a variable."""

    __slots__ = ("aval",)

    def __init__(self, aval: Any) -> None:
        self.aval = aval


class _Equation:
    """What a translation reads of an equation of JAX."""

    __slots__ = ("effects", "invars", "outvars", "params", "primitive", "source_info")

    def __init__(self, primitive: Any, avals: Sequence[Any], params: Mapping[str, Any]) -> None:
        found, self.effects = _result_types(primitive, avals, params)
        self.primitive, self.params, self.source_info = primitive, params, None
        self.invars = list(map(_Operand, avals))
        self.outvars = list(map(_Operand, found if primitive.multiple_results else [found]))

    def replace(self, invars: Sequence[Any]) -> Any:
        """A real equation of JAX on these variables."""
        outvars = [jax_core.Var(v.aval) for v in self.outvars]
        return make_equation(invars, outvars, self.primitive, self.params, self.effects)


_known_types = Cache(4096)


def _result_types(primitive: Any, avals: Sequence[Any], params: Mapping[str, Any]) -> Any:
    """The types of the results, and the effects; remembered where no parameter holds a function or a program, which may
    hold arrays.
    """
    if any(map(_holds_more, params.values())):
        return primitive.abstract_eval(*avals, **params)
    key = (primitive, *avals, *params.items(), configuration.trace_context())
    try:
        found = _known_types.find(key)
    except TypeError:  # a parameter without a hash
        return primitive.abstract_eval(*avals, **params)
    return found or _known_types.add(key, primitive.abstract_eval(*avals, **params))


def _holds_more(parameter: Any) -> bool:
    if type(parameter) is tuple:
        return any(map(_holds_more, parameter))
    return callable(parameter) or hasattr(parameter, "eqns") or hasattr(parameter, "jaxpr")


def operation(trace: BuilderTrace, primitive: Any, tracers: Sequence[Any], params: Any) -> Any:
    """An operation that JAX processes in our trace."""
    traced = False
    for x in tracers:
        if type(x) is Tracer:
            traced = True
        elif type(x) is Reference:
            return _with_references(trace, primitive, tracers, params)
    if not traced and _runs_now():
        return _left_to(trace.parent_trace, primitive, tracers, params)
    with _inside(trace):
        avals = list(map(value_type, tracers))
        equation = _Equation(primitive, avals, params)
        if primitive.ref_allocating:
            return Reference(trace, equation.outvars[0].aval, tracers[0])
        operands = [_operand(x, a) for x, a in zip(tracers, avals, strict=True)]
        results = _translator.apply(Application(equation, operands, _translator))
        values = _results([with_weak_flag(x, v.aval) for x, v in zip(results, equation.outvars, strict=True)])
    return values if primitive.multiple_results else values[0]


def _runs_now() -> bool:
    """Whether operations on concrete values run at once in the trace that is open, as under un-jitted ``grad``."""
    builder = state.builder
    return builder is None or builder.known.performs


def _left_to(trace: Any, primitive: Any, values: Sequence[Any], params: Any) -> Any:
    before = current_trace()
    set_trace(before if trace is EVALUATION else trace)
    try:
        return primitive.bind_with_trace(trace, values, list(map(value_type, values)), params)
    finally:
        set_trace(before)


_NUMBERS = (bool, int, float, complex, np.generic, np.ndarray)


def _operand(x: Any, aval: Any) -> Any:
    """A value as translations take it: numbers are literals."""
    if type(x) is Tracer or getattr(aval, "shape", None) != () or aval.dtype == float0:
        return x
    if isinstance(x, _NUMBERS) or (type(x) is ArrayImpl and aval.weak_type):
        return number_literal(np.asarray(x)[()], type_of_aval(aval))
    return x


def _results(values: Sequence[Any]) -> list[Any]:
    """Results as JAX takes them: traced values or arrays, no literals and no NumPy arrays."""
    return [x if isinstance(x, jax.Array) else state.builder.lift(np.asarray(x)) for x in as_values(values)]  # type: ignore[union-attr]


def array(value: Any) -> Any:
    """A number or a NumPy array as an array: libraries read its shape."""
    return value if isinstance(value, jax.Array) else EVALUATION.stage_value(value)


# -- functions with rules, and others that JAX calls in the middle of its work ------------------------------------------


def call(
    trace: BuilderTrace, method: str, primitive: Any, functions: Sequence[Any], tracers: Sequence[Any], params: Any
) -> Any:
    """A call that JAX processes in our trace by this ``method``: JAX writes its equation, which is translated.

    ``functions``: what is called, and its rules.
    """
    made: list[Any] = []

    def run(*xs: Any) -> list[Any]:
        made.append(getattr(current_trace(), method)(primitive, *functions, xs, **params))
        return list(made[0])

    with _inside(trace):
        if len(functions) > 1 and not any(type(x) is Tracer for x in tracers):
            return functions[0].call_wrapped(*tracers)
        avals = list(map(value_type, tracers))
        try:
            closed = jax.make_jaxpr(run)(*[shape_struct(type_of_aval(a)) for a in avals])
            operands = [_operand(x, a) for x, a in zip(tracers, avals, strict=True)]
            outs = _results(_translator.run(closed.jaxpr, closed.consts, operands))
        finally:
            for rule in functions[1:]:  # they have run, which whoever called JAX does not expect yet
                for store in getattr(rule, "stores", ()):
                    if store:
                        store.reset()
    return made[0].update(outs) if hasattr(made[0], "update") else outs


# -- references --------------------------------------------------------------------------------------------------------


class Reference(JaxTracer):  # type: ignore[misc]
    """A reference (``jax.new_ref``) made while we trace: ``value`` is what it holds now."""

    __slots__ = ("value",)

    def __init__(self, trace: BuilderTrace, aval: Any, value: Any) -> None:
        super().__init__(trace, aval)
        self.value = value


def _with_references(trace: BuilderTrace, primitive: Any, tracers: Sequence[Any], params: Any) -> Any:
    """An operation that reads or changes references: JAX writes it with the values before and after."""
    given = [x.value if type(x) is Reference else x for x in tracers]
    if primitive.name == "freeze":
        return given[0]
    changed = [x for x in tracers if type(x) is Reference]

    def run(*xs: Any) -> Any:
        values = [jax.new_ref(x) if type(t) is Reference else x for x, t in zip(xs, tracers, strict=True)]
        out = primitive.bind(*values, **params)
        refs = [x for x, t in zip(values, tracers, strict=True) if type(t) is Reference]
        return list(out) if primitive.multiple_results else [out], [jax.freeze(ref) for ref in refs]

    with _inside(trace):
        types = [shape_struct(type_of_aval(value_type(x))) for x in given]
        closed = jax.make_jaxpr(run)(*types)
        outs = _results(_translator.run(closed.jaxpr, closed.consts, given))
    count = len(outs) - len(changed)
    for ref, value in zip(changed, outs[count:], strict=True):
        ref.value = value
    return outs[:count] if primitive.multiple_results else outs[0]
