"""The table of JAX's custom derivatives: the rule that the user gave in JAX is the rule here.

A rule with ``symbolic_zeros`` is told which arguments are differentiated. It is traced when a transform knows that,
once for each such set of arguments (``SelectiveRule``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from functrans.control.custom_rules import CustomJvp, CustomVjp, DeferredRule, Rule, SelectiveRule, refuse_closed_over
from functrans.interop.jax_tracing import JvpRule, VjpRule, type_of_aval
from functrans.interop.translation import Application, Emit
from functrans.ir.program import Jaxpr
from functrans.ir.types import is_differentiable
from functrans.ops.structural import full
from functrans.trace.builder import Builder, bind_all, state
from functrans.trace.replay import trace

Traced = tuple[Jaxpr, list[Any]]
Given = tuple[bool, ...]  # which arguments have tangents


def _rule(make: Callable[[int], Traced]) -> tuple[Rule, list[Any]]:
    """The rule as a program now where a derivative may be taken, else later if it is asked for after all."""
    order = state.builder.order if state.builder is not None else 0
    if order > 0:
        try:
            return make(order - 1)
        except Exception:  # a rule that refuses matters only to somebody who differentiates, who meets it then
            return DeferredRule(lambda: make(0)), []
    return DeferredRule(lambda: make(0)), []


def _traced(application: Application, closed: Any, order: int) -> Traced:
    """A JAX program as one of ours, in which ``order`` more differentiations are foreseen."""
    if any(isinstance(x, jax.core.Tracer) for x in closed.consts):
        raise application.refuse(
            "a derivative rule closes over a value that JAX traced, which is gone when the rule is asked for. Pass it "
            "as an argument of the function with the rule"
        )
    types = [type_of_aval(v.aval) for v in closed.jaxpr.invars]
    with Builder(f"a derivative rule of {application.name}", order=order) as builder:
        inputs = [builder.new_input(t) for t in types]
        outs = application.translator.run(closed.jaxpr, closed.consts, inputs)
        return builder.finish([builder.output(x) for x in outs])


def _name(application: Application, kind: str) -> str:
    info = getattr(getattr(application.params["call_jaxpr"], "jaxpr", None), "debug_info", None)
    return str(getattr(info, "func_name", None) or f"a jax.custom_{kind} function")


def _custom_jvp(application: Application) -> Any:
    params, name = application.params, _name(application, "jvp")
    program, captured = application.translator.held(params["call_jaxpr"])
    rule: Rule
    rule_captured: list[Any] = []
    if params.get("symbolic_zeros"):
        rule = _selective(lambda given: _jvp_rule_for(application, given))[0]
    else:
        rule, rule_captured = _rule(lambda order: _traced(application, JvpRule(application.equation).program(), order))
    op = CustomJvp(program, rule, len(captured), len(rule_captured), name)
    return bind_all(op, [*captured, *rule_captured, *application.operands])


def _jvp_rule_for(application: Application, given: Given) -> list[Traced]:
    """The rule that was told which arguments have tangents; as every rule it takes those of all."""
    rule = JvpRule(application.equation, given)
    closed = rule.program()
    count, smooth = len(rule.types), [is_differentiable(t.dtype) for t in rule.types]

    def run(*inputs: Any) -> list[Any]:
        rest = iter(inputs[count:])
        tangents = [next(rest) if s else None for s in smooth]
        return application.translator.run(closed.jaxpr, closed.consts, [*inputs[:count], *rule.chosen(tangents)])

    types = [*rule.types, *[t for t, s in zip(rule.types, smooth, strict=True) if s]]
    return [trace(run, types, f"a derivative rule of {application.name}")]


def _custom_vjp(application: Application) -> Any:
    params, name = application.params, _name(application, "vjp")
    program, captured = application.translator.held(params["call_jaxpr"])
    first: Rule
    second: Rule
    first_captured: list[Any] = []
    second_captured: list[Any] = []
    consts: list[Any] = []  # values that the function closes over: JAX's first operands
    args = application.operands
    if params.get("symbolic_zeros"):
        first, second = _selective(lambda given: _vjp_rules_for(application, given), 2)
    else:
        count = params.get("num_consts", 0)
        consts, args = args[:count], args[count:]
        rule = VjpRule(application.equation, [False] * count + [True] * len(args))

        def forward(order: int) -> Traced:
            traced, values = _traced(application, rule.forward(), order)
            return traced, [*values, *consts]

        first, first_captured = _rule(forward)
        if isinstance(first, Jaxpr):
            second, second_captured = _rule(lambda order: _traced(application, rule.backward(), order))
        else:
            second = DeferredRule(lambda: _traced(application, rule.backward(), 0))
    counts = (len(captured) + len(consts), len(first_captured), len(second_captured))
    op = CustomVjp(program, first, second, counts, name)
    return bind_all(op, [*captured, *consts, *first_captured, *second_captured, *args])


def _vjp_rules_for(application: Application, given: Given) -> list[Traced]:
    """The rules that were told which arguments are differentiated; the others get a cotangent of zeros."""
    count = application.params.get("num_consts", 0)  # values that the function closes over, its first operands
    refuse_closed_over([g or None for g in given[:count]], _name(application, "vjp"), "custom_vjp")
    rule = VjpRule(application.equation, given)
    forward = _traced(application, rule.forward(), 0)
    closed = rule.backward()

    def run(*inputs: Any) -> list[Any]:
        sent = iter(application.translator.run(closed.jaxpr, closed.consts, inputs))
        return [
            next(sent) if chosen else full(t.shape, 0, t.dtype)
            for chosen, t in zip(rule.wrt, rule.types, strict=True)
            if is_differentiable(t.dtype)
        ]

    types = [type_of_aval(v.aval) for v in closed.jaxpr.invars]
    return [forward, trace(run, types, f"a derivative rule of {application.name}")]


def _selective(make: Callable[[Given], list[Traced]], count: int = 1) -> list[SelectiveRule]:
    """Rules that are traced together for the arguments that are differentiated, once for each choice of them."""
    known: dict[Given, list[Traced]] = {}

    def rules(given: Given) -> list[Traced]:
        if given not in known:
            known[given] = make(given)
        return known[given]

    return [SelectiveRule(lambda given, i=i: rules(given)[i]) for i in range(count)]  # type: ignore[misc]


CUSTOM_RULES: dict[str, Emit] = {"custom_jvp_call": _custom_jvp, "custom_vjp_call": _custom_vjp}
