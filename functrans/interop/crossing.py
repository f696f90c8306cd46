"""What JAX is asked to do while one of our traces is open: each operation of JAX becomes operations of ours.

    functrans.grad(lambda x: jnp.sum(jax.nn.relu(x)))     custom_jvp_call, reduce_sum  ->  CustomJvp, ReduceSum

JAX hands every operation to the current trace (trace.jax_trace), which is ours; it is translated as an equation of a
program that ``from_jax`` brings over. What concerns no traced value is left to JAX where operations run at once, and
staged like the rest elsewhere: under ``jit`` its effects belong to each run.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.extend.core as jax_core
import numpy as np

from functrans.api.custom_rules import custom_jvp, custom_vjp
from functrans.api.staging import as_values
from functrans.api.symbolic_zeros import CustomVJPPrimal
from functrans.control.rules import DeferredRule
from functrans.errors import FunctransTypeError, InternalError
from functrans.interop.control_flow import nested_jit
from functrans.interop.from_jax import TABLE
from functrans.interop.jax_primitive import apply_in_parts, over_devices
from functrans.interop.jax_tracing import traced_by_jax, type_of_aval
from functrans.interop.other_libraries import implementation
from functrans.interop.translation import OF_TOKENS, Application, Translator, number_literal, with_weak_flag
from functrans.ir.cache import Cache
from functrans.ir.exact import PLAIN, exact_key
from functrans.ir.types import float0
from functrans.jaxlib_compat import configuration
from functrans.jaxlib_compat.array_values import ArrayImpl
from functrans.jaxlib_compat.jax_programs import (
    Zero,
    is_jax_function,
    is_reference,
    make_equation,
    value_type,
)
from functrans.jaxlib_compat.tracing import EVALUATION, JaxTracer, current_trace, set_trace
from functrans.trace.builder import Builder
from functrans.trace.frames import here, users_line
from functrans.trace.jax_trace import BuilderTrace
from functrans.trace.replay import replay_here, trace
from functrans.trace.state import foreseen_order, state
from functrans.trace.tracer import Tracer, producer_of
from functrans.trace.values import NOTHING
from functrans.xla import execute

_translator = Translator(TABLE, implementation)
program, over_devices = apply_in_parts, over_devices


class _inside:
    """JAX's current trace is ours again, as it was before JAX began to process an operation; and the user's line."""

    __slots__ = ("before", "builder", "place", "trace")

    def __init__(self, trace: BuilderTrace) -> None:
        self.trace = trace

    def __enter__(self) -> Builder:
        builder = state.builder
        if builder is None or builder.trace is not self.trace:
            raise InternalError("JAX processes an operation in a trace of functrans that is not the innermost one")
        self.before, self.builder, self.place = current_trace(), builder, builder.place
        set_trace(self.trace)
        if builder.place is None:
            builder.place = users_line(2)
        return builder

    def __exit__(self, *exc: Any) -> None:
        self.builder.place = self.place
        set_trace(self.before)


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
        found, self.effects = primitive.abstract_eval(*avals, **params)
        self.primitive, self.params, self.source_info = primitive, params, None
        self.invars = list(map(_Operand, avals))
        self.outvars = list(map(_Operand, found if primitive.multiple_results else [found]))

    def replace(self, invars: Sequence[Any]) -> Any:
        """A real equation of JAX on these variables."""
        outvars = [jax_core.Var(v.aval) for v in self.outvars]
        return make_equation(invars, outvars, self.primitive, self.params, self.effects)


def operation(own: BuilderTrace, primitive: Any, tracers: Sequence[Any], params: Any) -> Any:
    """An operation that JAX processes in our trace."""
    traced = outside = False
    for x in tracers:
        if type(x) is Tracer:
            traced = True
        elif type(x) is Reference:
            return _with_references(own, primitive, tracers, params)
        elif is_reference(x):
            outside = True
    if outside and (traced or not _runs_now()):
        raise FunctransTypeError(
            f"{primitive.name} writes or reads a reference of JAX (jax.new_ref) that was made outside of the function "
            f"that functrans traces, at {here()}\nA program of functrans changes nothing outside of itself. Make the "
            "reference inside the function: pass the value as an argument, and return what it is at the end "
            "(jax.freeze)."
        )
    if not traced and not primitive.ref_allocating and (_runs_now() or primitive.name in OF_TOKENS):
        return _left_to(own.parent_trace, primitive, tracers, params)
    with _inside(own) as builder:
        first = len(builder.producers)
        avals = [x.aval if type(x) is Tracer else value_type(x) for x in tracers]
        operands = [x if type(x) is Tracer else _operand(x, a) for x, a in zip(tracers, avals, strict=True)]
        if primitive.name == "jit":
            return _results(nested_jit(params, operands, _translator), first)
        key = _key(primitive, avals, params)
        known = None if key is None else _translations.find(key)
        if known is None:
            equation = _Equation(primitive, avals, params)
            if primitive.ref_allocating:
                if tracers:
                    return Reference(own, equation.outvars[0].aval, tracers[0])
                of_nothing = equation.outvars[0].aval.inner_aval  # jax.empty_ref
                return Reference(own, equation.outvars[0].aval, np.zeros(of_nothing.shape, of_nothing.dtype))
            if key is None or equation.effects:
                values = _results(_translated(equation, operands), first)
            else:
                known = _remembered(key, avals, functools.partial(_translated, equation))
        if known is not None:
            program, constants = known
            values = _results(replay_here(program, [*constants, *operands]), first)
    return values if primitive.multiple_results else values[0]


_translations = Cache(4096)  # our programs for operations of JAX on values of given types


def _key(primitive: Any, avals: Sequence[Any], params: Mapping[str, Any]) -> Any:
    """What tells a translation from others; None where a parameter holds functions or programs, which may hold arrays.
    """
    parts = []
    for value in params.values():
        if type(value) in PLAIN:
            parts.append(value)
        elif _holds_more(value):
            return None
        else:
            parts.append(exact_key(value))
    key = (primitive, *avals, *params, *parts, foreseen_order(), configuration.trace_context())
    try:
        hash(key)
    except TypeError:
        return None
    return key


def _holds_more(parameter: Any) -> bool:
    if type(parameter) is tuple:
        return not PLAIN.issuperset(map(type, parameter)) and any(map(_holds_more, parameter))
    return callable(parameter) or hasattr(parameter, "eqns") or hasattr(parameter, "jaxpr")


def _translated(equation: _Equation, operands: Sequence[Any]) -> list[Any]:
    results = _translator.apply(Application(equation, list(operands), _translator))
    return [with_weak_flag(x, v.aval) for x, v in zip(results, equation.outvars, strict=True)]


def _remembered(key: Any, avals: Sequence[Any], function: Callable[[Sequence[Any]], list[Any]]) -> Any:
    """The program of a function of values of these types, and the constants for its leading inputs."""
    made = trace(lambda *xs: function(xs), [type_of_aval(a) for a in avals], "an operation of JAX")
    if any(isinstance(x, JaxTracer) for x in made[1]):
        return made
    return _translations.add(key, made)


def _runs_now() -> bool:
    """Whether operations on concrete values run at once in the trace that is open, as under un-jitted ``grad``."""
    builder = state.builder
    return builder is None or builder.known.runs is not NOTHING or configuration.folds_constants()


def _left_to(trace: Any, primitive: Any, values: Sequence[Any], params: Any) -> Any:
    before = current_trace()
    set_trace(before if trace is EVALUATION else trace)
    try:
        return primitive.bind_with_trace(trace, values, list(map(value_type, values)), params)
    finally:
        set_trace(before)


_TRACED = frozenset((Tracer,))
_NUMBERS = (bool, int, float, complex, np.generic, np.ndarray)


def _operand(x: Any, aval: Any) -> Any:
    """A value as translations take it: numbers are literals."""
    if type(x) is Tracer or getattr(aval, "shape", None) != () or aval.dtype == float0:
        return x
    if isinstance(x, _NUMBERS) or (type(x) is ArrayImpl and aval.weak_type):
        return number_literal(np.asarray(x)[()], type_of_aval(aval))
    return x


def _results(values: Sequence[Any], first: int) -> list[Any]:
    """Results as JAX takes them: traced values or arrays, no literals and no NumPy arrays.

    Those of earlier operations, of variables before the ``first`` new one, get objects of their own: code of JAX tells
    values apart by them (``jax.make_jaxpr`` what a function closes over).
    """
    if not _TRACED.issuperset(map(type, values)):
        values = [
            x if type(x) is Tracer or isinstance(x, jax.Array) else state.builder.lift(np.asarray(x))  # type: ignore[union-attr]
            for x in as_values(values)
        ]
    return [Tracer(x.builder, x.variable, x.type) if type(x) is Tracer and x.variable.id < first else x for x in values]


def array(value: Any) -> Any:
    """A number or a NumPy array as an array: libraries read its shape."""
    return value if isinstance(value, jax.Array) else EVALUATION.stage_value(value)


# -- functions with rules, and others that JAX calls in the middle of its work -----------------------------------------


def call(
    trace: BuilderTrace, method: str, primitive: Any, functions: Sequence[Any], tracers: Sequence[Any], params: Any
) -> Any:
    """A call that JAX processes in our trace by this ``method``: JAX writes its equation, which is translated.

    ``functions``: what is called, and its rules.
    """
    tree: list[Any] = []  # of the results, where JAX wants it back

    def run(*xs: Any) -> list[Any]:
        results = getattr(current_trace(), method)(primitive, *functions, xs, **params)
        if hasattr(results, "update"):
            tree.append(results.update([None] * len(results)))
        return list(results)

    with _inside(trace) as builder:
        first = len(builder.producers)
        if len(functions) > 1 and not any(type(x) is Tracer for x in tracers):
            return functions[0].call_wrapped(*tracers)
        avals = list(map(value_type, tracers))
        operands = [_operand(x, a) for x, a in zip(tracers, avals, strict=True)]
        key = _key_of_call(method, functions, avals, params)
        known = None if key is None else _calls.find(key)
        if known is not None:
            program, stored = known
            for store, value in zip(functions[0].stores, stored, strict=True):
                if store is not None:
                    store.store(value)
            return _results(replay_here(program, operands), first)
        try:
            try:
                closed = traced_by_jax(run, list(map(type_of_aval, avals)))
            except _ASKED_FOR_NUMBERS:
                if method not in _DIRECT:
                    raise
                return _results(_DIRECT[method](functions, params, operands), first)
            if key is None:
                outs = _translator.run(closed.jaxpr, closed.consts, operands)
                if method in _DIRECT and _asked_for_numbers(outs):
                    return _results(_DIRECT[method](functions, params, operands), first)
            else:
                program, captured = _translator.held(closed)
                if not captured:
                    stored = [None if store is None else store.val for store in functions[0].stores]
                    _calls.add(key, (program, stored))
                outs = replay_here(program, [*captured, *operands])
            outs = _results(outs, first)
        finally:
            for rule in functions[1:]:  # they have run, which whoever called JAX does not expect yet
                for store in getattr(rule, "stores", ()):
                    if store:
                        store.reset()
    return tree[0].update(outs) if tree else outs


# Where JAX runs operations at once a function with a rule has the numbers of its arguments: NumPy works in it. It does
# here too, when the function and its rules run on our tracers, and are not traced by JAX before.

_ASKED_FOR_NUMBERS = (
    jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
)  # fmt: skip


def _asked_for_numbers(outs: Sequence[Any]) -> bool:
    """Whether a rule of the operation that made these did so, when JAX traced it."""
    made = next((producer_of(x) for x in outs if type(x) is Tracer), None)
    rules = [] if made is None else [x for x in made.op.parameters().values() if type(x) is DeferredRule]
    return any(isinstance(rule.refused, _ASKED_FOR_NUMBERS) for rule in rules)


def _again(function: Any, *args: Any) -> list[Any]:
    """Run a function of JAX that may have run before."""
    for store in getattr(function, "stores", ()):
        if store is not None:
            store.reset()
    return list(function.call_wrapped(*args))


def _with_jvp(functions: Sequence[Any], params: Mapping[str, Any], operands: Sequence[Any]) -> Any:
    fun, jvp = functions
    direct = custom_jvp(lambda *xs: _again(fun, *xs))

    def rule(primals: Any, tangents: Any) -> tuple[list[Any], list[Any]]:
        outs = _again(jvp, *primals, *tangents)
        return outs[: len(outs) // 2], outs[len(outs) // 2 :]

    direct.defjvp(rule, params["symbolic_zeros"])
    return direct(*operands)


def _with_vjp(functions: Sequence[Any], params: Mapping[str, Any], operands: Sequence[Any]) -> Any:
    fun, fwd, bwd = functions
    direct = custom_vjp(lambda *xs: _again(fun, *xs))
    trees: list[Any] = []

    def forward(*args: Any) -> tuple[list[Any], list[Any]]:
        given = [(x.value, x.perturbed) if type(x) is CustomVJPPrimal else (x, True) for x in args]
        outs = _again(fwd, *[x for pair in given for x in pair])
        xs = [x for x, _ in given]
        trees[:] = [store.val for store in fwd.stores if store is not None]
        _, residual_tree, forwarded = params["out_trees"]()  # a residual may be the argument of this number
        count = residual_tree.num_leaves - sum(i is not None for i in forwarded)
        own = iter(outs[:count])
        return outs[count:], [next(own) if i is None else xs[i] for i in forwarded]

    def backward(residuals: Any, cotangents: Any) -> tuple[Any, ...]:
        for store, tree in zip([store for store in fwd.stores if store is not None], trees, strict=True):
            store.reset()
            store.store(tree)  # which the rule reads
        sent = bwd.call_wrapped(*residuals, *cotangents)
        if type(sent) is tuple:  # from jax 0.12 on with what it logs beside
            sent, _ = sent
        return tuple([None if type(x) is Zero else x for x in sent])

    direct.defvjp(forward, backward, params["symbolic_zeros"])
    return direct(*operands)


_DIRECT = {"process_custom_jvp_call": _with_jvp, "process_custom_vjp_call": _with_vjp}

_calls = Cache(1024)  # our programs for JAX's own functions with rules, and what their calls leave in JAX's stores
execute.caches += [_translations, _calls]


def _key_of_call(method: str, functions: Sequence[Any], avals: Sequence[Any], params: Mapping[str, Any]) -> Any:
    """What tells a call from others; None where a function is not JAX's own: a user's may change with what it reads."""
    if len(functions) < 2 or not all(is_jax_function(f.f) for f in functions):
        return None
    options = [(name, x) for name, x in params.items() if not callable(x)]
    key = (
        method, functions[0], *[f.f for f in functions[1:]], *avals, *options, foreseen_order(),
        configuration.trace_context(),
    )  # fmt: skip
    try:
        hash(key)
    except TypeError:
        return None
    return key


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

    with _inside(trace) as builder:
        first = len(builder.producers)
        closed = traced_by_jax(run, [type_of_aval(value_type(x)) for x in given])
        outs = _results(_translator.run(closed.jaxpr, closed.consts, given), first)
    count = len(outs) - len(changed)
    for ref, value in zip(changed, outs[count:], strict=True):
        ref.value = value
    return outs[:count] if primitive.multiple_results else outs[0]
