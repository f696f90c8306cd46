"""The table of JAX's custom derivatives: the rule that the user gave in JAX is the rule here.

A rule with ``symbolic_zeros`` is told which arguments are differentiated. It is traced when a transform knows that,
once for each such set of arguments.

JAX's operations that are objects (``jax.hijax.HiPrim``; ``custom_root`` from jax 0.11 on) compute what their method
``expand`` says, and their derivative may be quite another one: they are functions with a rule like those above.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from functrans.control.custom_rules import CustomJvp, CustomVjp, refuse_closed_over
from functrans.control.linear_call import LinearCall
from functrans.control.rules import ZERO, DeferredRule, Rule, batched_rule, mapped_rule, rules_together
from functrans.errors import FunctransError
from functrans.interop.control_flow import checkpoint
from functrans.interop.jax_tracing import (
    JvpRule,
    VjpRule,
    has_rule,
    is_transposable,
    operation_object,
    trace_batched,
    trace_expansion,
    trace_transpose,
    type_of_aval,
)
from functrans.interop.translation import Application, Emit
from functrans.ir.program import Jaxpr
from functrans.ir.records import Record
from functrans.ir.types import is_differentiable, type_of
from functrans.jaxlib_compat.jax_programs import closed_over, has_batching, is_jax_operation
from functrans.jaxlib_compat.tracing import JaxTracer, is_around
from functrans.ops.naming import Name
from functrans.ops.structural import full
from functrans.trace.binding import bind, bind_all
from functrans.trace.builder import Builder
from functrans.trace.primitive import Lanes, Tangent, Value, is_linear
from functrans.trace.replay import replay, trace
from functrans.trace.state import foreseen_order
from functrans.trace.tracer import Tracer

Traced = tuple[Jaxpr, list[Any]]
Given = tuple[bool, ...]  # which arguments have tangents
T = TypeVar("T")


def _attempt(make: Callable[[int], Traced]) -> tuple[Traced | None, Exception | None]:
    """The rule as a program where a derivative may be taken; else None, and the error with which JAX refused it."""
    order = foreseen_order()
    if order == 0:
        return None, None
    try:
        return make(order - 1), None
    except Exception as error:  # a rule that refuses matters only to somebody who differentiates, who meets it then
        return None, error.with_traceback(None)  # whose frames hold what was traced


def _or_raise(error: Exception | None, make: Callable[[Given], T]) -> Callable[[Given], T]:
    """The function, or where that fails the first error: JAX runs some rules once only."""
    if error is None:
        return make

    def again(given: Given) -> T:
        try:
            return make(given)
        except Exception:
            raise error from None

    return again


def _rule(make: Callable[[int], Traced]) -> tuple[Rule, list[Any]]:
    """The rule as a program now where a derivative may be taken, else later if it is asked for after all."""
    traced, error = _attempt(make)
    if traced is not None:
        return traced
    rule = DeferredRule(_or_raise(error, lambda _: make(0)))
    rule.refused, rule.passing = error, False  # what from_jax and the crossing translate once comes again
    return rule, []


def _traced(
    application: Application, closed: Any, order: int, completed: Callable[[list[Any]], list[Any]] = list
) -> Traced:
    """A JAX program as one of ours, in which ``order`` more differentiations are foreseen; its results ``completed``.
    """
    types = [type_of_aval(v.aval) for v in closed.jaxpr.invars]
    with Builder(f"a derivative rule of {application.name}", order=order) as builder:
        for x in closed.consts:
            if isinstance(x, JaxTracer) and type(x) is not Tracer and not is_around(builder.trace, x._trace):
                raise application.refuse(
                    "a derivative rule closes over a value that JAX traced, which is gone when the rule is asked for. "
                    "Pass it as an argument of the function with the rule"
                )
        inputs = [builder.new_input(t) for t in types]
        outs = completed(application.translator.run(closed.jaxpr, closed.consts, inputs))
        return builder.finish([builder.output(x) for x in outs])


def _differentiated(application: Application, rule: JvpRule, order: int) -> Traced:
    """A rule for forward mode, traced by JAX, as one of ours."""
    closed = rule.program()
    return _traced(application, closed, order, lambda outs: _with_tangents(rule, outs))


def _with_tangents(rule: JvpRule, outs: Sequence[Any]) -> list[Any]:
    """Results and tangents as a rule of ours gives them."""
    count = len(rule.out_types)
    rest = iter(outs[count:])
    return [*outs[:count], *[next(rest) if nonzero else ZERO for nonzero in rule.nonzero]]


def _pulled_back(application: Application, rule: VjpRule, order: int, skipped: int, given: Given | None) -> Traced:
    """A rule for the cotangents ``given``, traced by JAX, as one of ours; the first operands have no cotangents."""

    def completed(outs: Sequence[Any]) -> list[Any]:
        rest = iter(outs)
        sent = iter([next(rest) if nonzero else ZERO for nonzero in rule.nonzero])
        by_operand = [next(sent) if chosen else ZERO for chosen in rule.wrt]
        types = rule.types[skipped:]
        return [ct for ct, t in zip(by_operand[skipped:], types, strict=True) if is_differentiable(t.dtype)]

    closed = rule.backward(given)
    return _traced(application, closed, order, completed)


def _name(closed: Any, kind: str) -> str:
    info = getattr(getattr(closed, "jaxpr", None), "debug_info", None)
    return str(getattr(info, "func_name", None) or f"a jax.custom_{kind} function")


def _custom_jvp(application: Application) -> Any:
    closed = application.params["call_jaxpr"]
    rule: Rule
    consts: list[Any] = []
    if application.params.get("symbolic_zeros"):
        rule = _jvp_rule(application)
    else:
        bare = application.bare()
        rule, consts = _rule(lambda order: _differentiated(bare, JvpRule(bare.equation), order))
    op, values = _with_rule(application, application.translator.held(closed), rule, consts, _name(closed, "jvp"))
    return bind_all(op, values)


def with_own_rules(application: Application, traced: Traced, name: str) -> Any:
    """An equation of JAX that computes ``traced``, under the rules that JAX has for it.

    The rules of other libraries' operations are told which tangents are zero; many refuse some that are not.
    """
    op, values = _with_rule(application, traced, _jvp_rule(application), [], name)
    transposable = is_transposable(application.equation)
    primitive = application.equation.primitive
    mappable = has_batching(primitive) and not is_jax_operation(primitive)
    bare = application.bare()
    if transposable or mappable:
        op = JaxOperation(
            **op.parameters(),
            transposed=DeferredRule(lambda linear: _transposed(bare, linear), ("transpose", _Same(bare.equation)))
            if transposable
            else None,
            mapped=_Mapped(_Same(bare.equation), _Same(bare.translator), _constants(traced[1])) if mappable else None,
        )
    return bind_all(op, values)


def _constants(captured: Sequence[Any]) -> int:
    """How many numbers and arrays there are; -1 where there is a traced value."""
    return -1 if any(isinstance(x, JaxTracer) for x in captured) else len(captured)


class _Same:
    """Equal for one and the same object."""

    __slots__ = ("x",)

    def __init__(self, x: Any) -> None:
        self.x = x

    def __eq__(self, other: object) -> bool:
        return type(other) is _Same and self.x is other.x

    def __hash__(self) -> int:
        return id(self.x)


class _Mapped(Record):
    """A library's rule for an operation under vmap.

    ``constants``: how many values the program captured that are equal in every lane; -1 where some may not be.
    """

    equation: _Same
    translator: _Same
    constants: int

    def __call__(self, size: int, mapped: Sequence[bool], operands: Sequence[Any]) -> list[Any] | None:
        """The results, mapped all; None where JAX has no rule after all."""
        application = Application(self.equation.x, [], self.translator.x)
        closed = application.translator.remember(
            ("mapped", size, tuple(mapped)), application.equation, lambda: self._traced(application, size, mapped)
        )
        return None if closed is None else application.translator.run(closed.jaxpr, closed.consts, operands)

    def _traced(self, application: Application, size: int, mapped: Sequence[bool]) -> Any:
        with _named(application, "map"):
            return trace_batched(application.equation, size, mapped)


def _transposed(application: Application, linear: Given) -> Traced:
    with _named(application, "transpose"):
        closed = trace_transpose(application.equation, linear)
    return _traced(application, closed, 0)


@contextmanager
def _named(application: Application, what: str) -> Iterator[None]:
    """What a rule of JAX raises names the operation and the user's line."""
    try:
        yield
    except FunctransError:
        raise
    except Exception as error:
        refusal = application.refuse(
            f"JAX does not {what} it ({type(error).__name__}: {error}). A jax.custom_vjp around it says how"
        )
        if is_jax_operation(application.equation.primitive):
            raise refusal from error
        error.add_note(str(refusal))  # a library's own error: its users expect that
        raise


def _jvp_rule(application: Application) -> Rule:
    bare = application.bare()
    return DeferredRule(lambda given: _jvp_rule_for(bare, given), ("jvp", _Same(bare.equation)))


def _with_rule(
    application: Application, traced: Traced, rule: Rule, rule_consts: list[Any], name: str
) -> tuple[CustomJvp, list[Any]]:
    """The operation that computes ``traced``, and its operands."""
    program, consts = traced
    op = CustomJvp(program, rule, len(consts), len(rule_consts), name)
    return op, [*consts, *rule_consts, *application.operands]


class JaxOperation(CustomJvp):
    """An operation of JAX with a rule for its transpose or for vmap, too: the transpose of a linear solver is a solve,
    and not the solver's steps backwards; that of one that moves bits could not be had from what it does; some refuse
    to be mapped. Where its derivative applies it to tangents, it becomes a ``LinearCall`` with that transpose.
    """

    transposed: DeferredRule | None  # by which are linear: (other arguments, cotangents) -> cotangents of those
    mapped: _Mapped | None

    def transpose(self, cotangent: Any, *operands: Any) -> Sequence[Any]:
        consts, rule_consts, args = self.split(operands)
        linear = tuple([is_linear(x) for x in args])
        if self.transposed is None or any(map(is_linear, [*consts, *rule_consts])):
            return super().transpose(cotangent, *operands)
        program, values = self.transposed.at(linear)
        others = [x for x, flag in zip(args, linear, strict=True) if not flag]
        given = [
            full(t.shape, 0, t.dtype) if ct is None else ct
            for ct, t in zip(cotangent, self.jaxpr.out_types, strict=True)
            if is_differentiable(t.dtype)
        ]
        sent = iter(replay(program, [*values, *others, *given]))
        return [*[None] * (len(consts) + len(rule_consts)), *[next(sent) if flag else None for flag in linear]]

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Sequence[bool]]:
        consts_m, _, args_m = self.split(mapped)
        if self.mapped is not None and (len(consts_m) == self.mapped.constants or not any(consts_m)):
            outs = self.mapped(lanes.size, args_m, self.split(operands)[2])
            if outs is not None:
                return outs, [True] * len(outs)
        return super().batch(lanes, operands, mapped)

    def as_linear(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        if self.transposed is None:
            return super().as_linear(primals, tangents)
        given_rule = self.transposed
        consts, rule_consts, args = self.split(primals)
        arg_ts = self.split(tangents)[2]
        linear = tuple([t is not None for t in arg_ts])
        outer = [*consts, *rule_consts]
        residuals = [*outer, *[x for x, flag in zip(args, linear, strict=True) if not flag]]
        given = [t for t in arg_ts if t is not None]
        smooth = [is_differentiable(t.dtype) for t in self.jaxpr.out_types]

        def apply(*inputs: Any) -> list[Any]:
            fixed, moving = iter(inputs[len(outer) : len(residuals)]), iter(inputs[len(residuals) :])
            merged = [next(moving) if flag else next(fixed) for flag in linear]
            outs = bind_all(self, [*inputs[: len(outer)], *merged])
            return [x for x, s in zip(outs, smooth, strict=True) if s]

        def transposed(_: Given) -> Traced:
            program, values = given_rule.at(linear)
            count, skipped = len(values), len(values) + len(outer)
            types = [*program.in_types[:count], *map(type_of, outer), *program.in_types[count:]]
            return trace(
                lambda *xs: replay(program, [*xs[:count], *xs[skipped:]]), types, f"the transpose of {self.name_}"
            )[0], values

        program, _ = trace(apply, [type_of(x) for x in [*residuals, *given]], f"the linear part of {self.name_}")
        rule = DeferredRule(transposed, (given_rule.token, linear, program))
        call = LinearCall(program, rule, (0, 0, len(residuals)), self.name_)
        slopes = iter(bind_all(call, [*residuals, *given]))
        return bind_all(self, primals), [next(slopes) if s else None for s in smooth]

    def batched(self, op: CustomJvp, lanes: Lanes, mapped: Sequence[bool]) -> CustomJvp:
        own = self.transposed
        if own is None:
            return op

        def transposed(linear: Given) -> Traced:
            program, values = own.at(linear)
            others = [m for m, flag in zip(mapped, linear, strict=True) if not flag]
            shared = [i for i, m in enumerate(m for m, flag in zip(mapped, linear, strict=True) if flag) if not m]
            flags = [*[False] * len(values), *others]
            rest = len(program.inputs) - len(flags)
            return batched_rule(program, values, lanes, flags, rest, summed=shared)

        rule = DeferredRule(transposed, (own.token, "vmap", lanes, tuple(mapped)))
        return JaxOperation(**op.parameters(), transposed=rule, mapped=None)


class TwoModes(CustomVjp):
    """An operation of JAX that has a rule for forward mode beside those for reverse mode; they need not agree."""

    along: Rule | None = None  # (arguments, tangents) -> (results, tangents of the results)

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        (consts, _, _, args), (const_ts, _, _, arg_ts) = self.split(primals), self.split(tangents)
        assert self.along is not None
        op = CustomJvp(self.jaxpr, self.along, len(consts), 0, self.name_)
        return op.jvp([*consts, *args], [*const_ts, *arg_ts])

    def batched(self, op: CustomVjp, lanes: Lanes, mapped: Sequence[bool]) -> CustomVjp:
        assert self.along is not None
        types = op.jaxpr.in_types[op.num_consts[0] :]
        inputs = [*mapped, *[m for m, t in zip(mapped, types, strict=True) if is_differentiable(t.dtype)]]
        along, _ = mapped_rule(self.along, [], lanes, [], inputs)
        return TwoModes(**op.parameters(), along=along)


def _jvp_rule_for(application: Application, given: Given) -> Traced:
    """The rule that was told which arguments have tangents; as every rule it takes those of all."""
    rule = JvpRule(application.equation, given)
    with _named(application, "differentiate"):
        try:
            closed = rule.program()
        except Exception:
            if all(given):
                raise
            rule, told = JvpRule(application.equation), rule  # it may take zeros where it does not know of JAX's class
            try:
                closed = rule.program()
            except Exception:
                closed = told.program()
    count, smooth = len(rule.types), [is_differentiable(t.dtype) for t in rule.types]

    def run(*inputs: Any) -> list[Any]:
        rest = iter(inputs[count:])
        tangents = [next(rest) if s else None for s in smooth]
        outs = application.translator.run(closed.jaxpr, closed.consts, [*inputs[:count], *rule.chosen(tangents)])
        return _with_tangents(rule, outs)

    types = [*rule.types, *[t for t, s in zip(rule.types, smooth, strict=True) if s]]
    return trace(run, types, f"a derivative rule of {application.name}")


def _custom_vjp(application: Application) -> Any:
    closed, params = application.params["call_jaxpr"], application.params
    told_of_zeros = bool(params.get("symbolic_zeros"))
    return _with_vjp(application, closed, _name(closed, "vjp"), params.get("num_consts", 0), told_of_zeros)


def _with_vjp(
    application: Application, closed: Any, name: str, count: int, told_of_zeros: bool = False, along: Rule | None = None
) -> Any:
    """The first ``count`` operands are values that the function closes over. ``along``: a rule for forward mode."""
    program, captured = application.translator.held(closed)
    first: Rule
    second: Rule
    first_captured: list[Any] = []
    second_captured: list[Any] = []
    consts: list[Any] = []
    args, bare = application.operands, application.bare()
    rule = VjpRule(bare.equation, [False] * count + [True] * (len(args) - count))
    traced: Traced | None = None
    error: Exception | None = None
    if not told_of_zeros:
        traced, error = _attempt(lambda order: _traced(bare, rule.forward(), order))
    if traced is None:
        # Where all arguments at once are refused, those that are differentiated may not be: what one function of JAX
        # closes over is an argument of another that calls it.
        told_of_zeros = True
        make = _or_raise(error, lambda given: _vjp_rules_for(bare, name, count, given))
        first, second = rules_together(lambda given, _: make(given), asking=False)
        first.refused, first.passing, second.passing = error, False, False
    else:
        consts, args = args[:count], args[count:]
        first, values = traced
        first_captured = [*values, *consts]
        second, second_captured = _rule(lambda order: _pulled_back(bare, rule, order, count, None))
    counts = (len(captured) + len(consts), len(first_captured), len(second_captured))
    op = CustomVjp(program, first, second, counts, name, told_of_zeros)
    if along is not None:
        op = TwoModes(**op.parameters(), along=along)
    return bind_all(op, [*captured, *consts, *first_captured, *second_captured, *args])


def _vjp_rules_for(
    application: Application, name: str, count: int, differentiated: Given
) -> tuple[Traced, Callable[[Given, Sequence[Any]], Traced]]:
    """The rules that were told which arguments are differentiated, and which cotangents are given."""
    refuse_closed_over([d or None for d in differentiated[:count]], name, "custom_vjp")
    rule = VjpRule(application.equation, differentiated)
    forward = _traced(application, rule.forward(), 0)
    return forward, lambda given, _: _pulled_back(application, rule, 0, 0, given)


# -- operations that are objects ---------------------------------------------------------------------------------------


def _operation_object(application: Application) -> Any:
    """An operation with rules of its own: what it computes, under the rules that it has in JAX."""
    operation = operation_object(application.equation)
    name = type(operation).__name__
    if name in _OBJECTS:
        return _OBJECTS[name](application, operation)
    closed = trace_expansion(operation, application.in_types)
    forward = has_rule(operation, "jvp") or has_rule(operation, "lin")
    if has_rule(operation, "vjp_fwd"):
        return _with_vjp(application, closed, name, 0, along=_jvp_rule(application) if forward else None)
    if forward:
        return with_own_rules(application, application.translator.held(closed), name)
    return application.translator.run(closed.jaxpr, closed.consts, application.operands)


def _custom_vjp_object(application: Application, operation: Any) -> Any:
    """A ``jax.custom_vjp`` function in JAX's newer form."""
    closed = trace_expansion(operation, application.in_types)
    count = closed_over(operation)
    return _with_vjp(application, closed, "a jax.custom_vjp function", count, bool(operation.symbolic_zeros))


_OBJECTS: dict[str, Callable[[Application, Any], Any]] = {
    "CustomVJPTraced": _custom_vjp_object,
    "RematTraced": lambda application, operation: checkpoint(application, operation.params),
    "CheckpointName": lambda application, operation: bind(Name(operation.name), application.operands[0]),
}

CUSTOM_RULES: dict[str, Emit] = {
    "custom_jvp_call": _custom_jvp,
    "custom_vjp_call": _custom_vjp,
    "call_hi_primitive": _operation_object,
}
