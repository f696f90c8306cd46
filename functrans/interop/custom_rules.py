"""The table of JAX's custom derivatives: the rule that the user gave in JAX is the rule here.

A rule with ``symbolic_zeros`` is told which arguments are differentiated. It is traced when a transform knows that,
once for each such set of arguments (``PerturbedJvp``, ``PerturbedVjp``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from functrans.control.custom_rules import (
    CustomJvp,
    CustomPullback,
    CustomVjp,
    DeferredRule,
    Rule,
    batched_rule,
    refuse_closed_over,
)
from functrans.interop.jax_tracing import JvpRule, VjpRule, type_of_aval
from functrans.interop.translation import Application, Emit
from functrans.ir.program import Jaxpr
from functrans.trace.builder import Builder, bind_all, state
from functrans.trace.replay import replay
from functrans.transform.vmap import spread_out

Traced = tuple[Jaxpr, list[Any]]
Perturbed = tuple[bool, ...]


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
    if params.get("symbolic_zeros"):
        rules = RulesByPerturbation(
            lambda perturbed: [_traced(application, JvpRule(application.equation, perturbed).program(), 0)]
        )
        op: CustomJvp = PerturbedJvp(program, rules, len(captured), 0, name)  # type: ignore[arg-type]
        return bind_all(op, [*captured, *application.operands])
    rule = JvpRule(application.equation)
    found, rule_captured = _rule(lambda order: _traced(application, rule.program(), order))
    op = CustomJvp(program, found, len(captured), len(rule_captured), name)
    return bind_all(op, [*captured, *rule_captured, *application.operands])


def _custom_vjp(application: Application) -> Any:
    params, name = application.params, _name(application, "vjp")
    program, captured = application.translator.held(params["call_jaxpr"])
    if params.get("symbolic_zeros"):

        def both(perturbed: Perturbed) -> list[Traced]:
            rule = VjpRule(application.equation, perturbed)
            return [_traced(application, rule.forward(), 0), _traced(application, rule.backward(), 0)]

        rules_later: Any = RulesByPerturbation(both)
        op: CustomVjp = PerturbedVjp(program, rules_later, rules_later, (len(captured), 0, 0), name)
        return bind_all(op, [*captured, *application.operands])
    rule = VjpRule(application.equation)
    first, first_captured = _rule(lambda order: _traced(application, rule.forward(), order))
    if isinstance(first, Jaxpr):
        second, second_captured = _rule(lambda order: _traced(application, rule.backward(), order))
    else:
        second, second_captured = DeferredRule(lambda: _traced(application, rule.backward(), 0)), []
    counts = (len(captured), len(first_captured), len(second_captured))
    op = CustomVjp(program, first, second, counts, name)
    return bind_all(op, [*captured, *first_captured, *second_captured, *application.operands])


class RulesByPerturbation:
    """The programs of a rule, traced for each set of arguments that are differentiated."""

    __slots__ = ("known", "make")

    def __init__(self, make: Callable[[Perturbed], list[Traced]]) -> None:
        self.make = make
        self.known: dict[Perturbed, list[Traced]] = {}

    def __call__(self, perturbed: Perturbed) -> list[Traced]:
        found = self.known.get(perturbed)
        if found is None:
            found = self.known[perturbed] = self.make(perturbed)
        return found

    def batched(self, size: int, axis_name: Any) -> RulesByPerturbation:
        """The rules over lanes, all their inputs mapped."""

        def make(perturbed: Perturbed) -> list[Traced]:
            found: list[Traced] = []
            for program, values in self(perturbed):
                rest = len(program.inputs) - len(values)
                found.append(batched_rule(program, values, size, [False] * len(values), rest, axis_name))
            return found

        return RulesByPerturbation(make)


def _given(tangents: Sequence[Any]) -> tuple[Perturbed, list[Any]]:
    return tuple([t is not None for t in tangents]), [t for t in tangents if t is not None]


def _mapped(
    op: CustomJvp | CustomVjp, size: int, operands: Sequence[Any], mapped: Sequence[bool], axis_name: Any
) -> tuple[Jaxpr, list[Any], list[Any]]:
    """The function over lanes, the values for its leading inputs, and its arguments, each mapped."""
    consts, *_, args = op.split(operands)
    consts_mapped, *_, args_mapped = op.split(mapped)
    args = [x if m else spread_out(x, size) for x, m in zip(args, args_mapped, strict=True)]
    program, values = batched_rule(op.jaxpr, consts, size, consts_mapped, len(args), axis_name)
    return program, values, args


class PerturbedJvp(CustomJvp):
    """``CustomJvp`` with a rule for each set of arguments that have tangents; other tangents are no operands of it."""

    def _tangents(
        self, primals: Sequence[Any], tangents: Sequence[Any]
    ) -> tuple[Jaxpr, list[Any], list[Any], list[Any]]:
        _, _, args = self.split(primals)
        const_ts, _, arg_ts = self.split(tangents)
        refuse_closed_over(const_ts, self.name_, "custom_jvp")
        perturbed, given = _given(arg_ts)
        ((rule, values),) = self.rule(perturbed)  # type: ignore[operator]
        return rule, values, args, given

    def batch_named(
        self, size: int, operands: Sequence[Any], mapped: Sequence[bool], axis_name: Any
    ) -> tuple[Any, Sequence[bool]]:
        """vmap of the function and of its rules; every argument and result mapped."""
        program, values, args = _mapped(self, size, operands, mapped, axis_name)
        rules: Any = self.rule.batched(size, axis_name)  # type: ignore[union-attr]
        outs = bind_all(PerturbedJvp(program, rules, len(values), 0, self.name_), [*values, *args])
        return outs, [True] * len(outs)


class PerturbedVjp(CustomVjp):
    """``CustomVjp`` with a pair of rules for each set of arguments that have tangents."""

    def _forward(self, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[list[Any], Any, list[Any], list[Any]]:
        _, _, _, args = self.split(primals)
        const_ts, _, _, arg_ts = self.split(tangents)
        refuse_closed_over(const_ts, self.name_, "custom_vjp")
        perturbed, given = _given(arg_ts)
        (forward, values), (backward, backward_values) = self.forward(perturbed)  # type: ignore[operator]
        results = replay(forward, [*values, *args])
        count = len(self.jaxpr.outputs)
        pullback = CustomPullback(backward, len(backward_values) + len(results) - count, self.name_)
        return results[:count], pullback, [*backward_values, *results[count:]], given

    def batch_named(
        self, size: int, operands: Sequence[Any], mapped: Sequence[bool], axis_name: Any
    ) -> tuple[Any, Sequence[bool]]:
        """vmap of the function and of its rules; every argument and result mapped."""
        program, values, args = _mapped(self, size, operands, mapped, axis_name)
        rules: Any = self.forward.batched(size, axis_name)  # type: ignore[union-attr]
        outs = bind_all(PerturbedVjp(program, rules, rules, (len(values), 0, 0), self.name_), [*values, *args])
        return outs, [True] * len(outs)


CUSTOM_RULES: dict[str, Emit] = {"custom_jvp_call": _custom_jvp, "custom_vjp_call": _custom_vjp}
