"""The table of JAX's operations that hold programs: calls, branches, loops and custom derivative rules.

What a held program closes over becomes leading operands of our operation. A custom rule stays the rule.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from functrans.control.call import Call
from functrans.control.conditional import Switch
from functrans.control.custom_rules import CustomJvp, CustomVjp, DeferredRule, Rule
from functrans.control.holding import share_captured
from functrans.control.scan import Scan
from functrans.control.while_loop import While
from functrans.interop.jax_tracing import JvpRule, VjpRule, type_of_aval
from functrans.interop.translation import Application, Emit, size_of
from functrans.ir.program import Jaxpr
from functrans.trace.builder import Builder, bind_all, state
from functrans.trace.replay import replay

_SMALL = 16  # equations: a shorter callee is written in place, a call of it would cost more than it shares


def _call(application: Application) -> Any:
    """A nested jit: a call, unless it is short."""
    params = application.params
    closed = params["jaxpr"] if "jaxpr" in params else params["call_jaxpr"]
    inner = getattr(closed, "jaxpr", closed)
    if params.get("inline") or size_of(inner) <= _SMALL:
        return application.translator.run(inner, getattr(closed, "consts", ()), application.operands)
    program, captured = application.translator.held(closed)
    return bind_all(Call(program, str(params.get("name", "f"))), [*captured, *application.operands])


def _inline(name: str) -> Emit:
    """An operation that stands for the program in this parameter."""

    def emit(application: Application) -> Any:
        closed = application.params[name]
        inner = getattr(closed, "jaxpr", closed)
        return application.translator.run(inner, getattr(closed, "consts", ()), application.operands)

    return emit


def _cond(application: Application) -> Any:
    index, *operands = application.operands
    bodies = [application.translator.held(branch, "a branch of cond") for branch in application.params["branches"]]
    programs, captured = share_captured([program for program, _ in bodies], [values for _, values in bodies])
    return bind_all(Switch(tuple(programs)), [index, *captured, *operands])


def _scan(application: Application) -> Any:
    params = application.params
    program, captured = application.translator.held(params["jaxpr"], "the body of scan")
    count = len(captured) + params["num_consts"]
    unroll = max(1, int(params["unroll"]))
    scan = Scan(program, int(params["length"]), bool(params["reverse"]), unroll, count, params["num_carry"])
    return bind_all(scan, [*captured, *application.operands])


def _while(application: Application) -> Any:
    params = application.params
    condition, condition_captured = application.translator.held(params["cond_jaxpr"], "the condition of while_loop")
    body, body_captured = application.translator.held(params["body_jaxpr"], "the body of while_loop")
    first = params["cond_nconsts"]
    second = first + params["body_nconsts"]
    operands = application.operands
    loop = While(condition, body, len(condition_captured) + first, len(body_captured) + second - first)
    return bind_all(
        loop, [*condition_captured, *operands[:first], *body_captured, *operands[first:second], *operands[second:]]
    )


# -- custom derivative rules -------------------------------------------------------------------------------------------

Traced = tuple[Jaxpr, list[Any]]


def _rule(make: Callable[[int], Traced]) -> tuple[Rule, list[Any]]:
    """The rule as a program now where a derivative may be taken, else later if it is asked for after all."""
    order = state.builder.order if state.builder is not None else 0
    if order > 0:
        return make(order - 1)
    return DeferredRule(lambda: make(0)), []


def _traced(application: Application, closed: Any, order: int) -> Traced:
    """A JAX program as one of ours, in which ``order`` more differentiations are foreseen."""
    types = [type_of_aval(v.aval) for v in closed.jaxpr.invars]
    with Builder(f"a derivative rule of {application.name}", order=order) as builder:
        inputs = [builder.new_input(t) for t in types]
        outs = application.translator.run(closed.jaxpr, closed.consts, inputs)
        return builder.finish([builder.output(x) for x in outs])


def _custom_jvp(application: Application) -> Any:
    program, captured = application.translator.held(application.params["call_jaxpr"])
    rule = JvpRule(application.equation)
    found, rule_captured = _rule(lambda order: _traced(application, rule.program(), order))
    name = _rule_name(application, "jvp")
    op = CustomJvp(program, found, len(captured), len(rule_captured), name)
    return bind_all(op, [*captured, *rule_captured, *application.operands])


def _custom_vjp(application: Application) -> Any:
    params = application.params
    program, captured = application.translator.held(params["call_jaxpr"])
    rules = VjpRule(application.equation)
    residual_types: list[Any] = []

    def forward(order: int) -> Traced:
        closed = rules.forward()
        residual_types[:] = [type_of_aval(v.aval) for v in closed.jaxpr.outvars][len(application.out_types) :]
        return _traced(application, closed, order)

    def backward(order: int) -> Traced:
        return _traced(application, rules.backward(residual_types), order)

    first, first_captured = _rule(forward)
    second, second_captured = _rule(backward)
    counts = (len(captured), len(first_captured), len(second_captured))
    op = CustomVjp(program, first, second, counts, _rule_name(application, "vjp"))
    return bind_all(op, [*captured, *first_captured, *second_captured, *application.operands])


def _rule_name(application: Application, kind: str) -> str:
    info = getattr(getattr(application.params["call_jaxpr"], "jaxpr", None), "debug_info", None)
    return str(getattr(info, "func_name", None) or f"a jax.custom_{kind} function")


def _ours(application: Application) -> Any:
    """A function that ``to_jax`` brought into the JAX program: our own program again."""
    return replay(application.params["program"], application.operands)


CONTROL_FLOW: dict[str, Emit] = {
    **dict.fromkeys(("jit", "pjit", "closed_call", "core_call", "core_closed_call"), _call),
    "remat2": _inline("jaxpr"),
    "checkpoint": _inline("jaxpr"),
    "composite": _inline("jaxpr"),
    "custom_vmap_call": _inline("call"),
    "cond": _cond,
    "scan": _scan,
    "while": _while,
    "custom_jvp_call": _custom_jvp,
    "custom_vjp_call": _custom_vjp,
    "functrans": _ours,
}
