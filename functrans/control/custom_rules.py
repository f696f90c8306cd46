"""Operations whose derivative a user wrote: ``custom_jvp`` and ``custom_vjp``.

The rule is a program too (control.rules). One serves every mode: the forward rule of ``custom_jvp`` is linearized in
its tangents; the pullback of ``custom_vjp`` is transposed when forward mode asks, and is required to be linear only
then.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from jax.errors import ConcretizationTypeError

from functrans.control.at_zero import linearize_at_zero
from functrans.control.call import InPlace
from functrans.control.masking import under_mask
from functrans.control.rules import (
    DeferredRule,
    Rule,
    are_passing,
    batched_rule,
    mapped_pair,
    mapped_rule,
    or_none,
    resolve,
    rule_under_mask,
    rules_around,
)
from functrans.errors import FunctransTypeError, NotLinearError
from functrans.ir.effects import Effects
from functrans.ir.program import Jaxpr, live_equations
from functrans.ir.types import ArrayType, is_differentiable, type_of
from functrans.ops.constants import trace_closed
from functrans.ops.structural import full
from functrans.trace.binding import bind_all
from functrans.trace.dependence import DERIVATIVE, VALUE, Dependence
from functrans.trace.frames import here
from functrans.trace.primitive import Lanes, Tangent, Value, is_linear, one_run
from functrans.trace.replay import evaluate, replay, trace
from functrans.trace.state import surroundings
from functrans.transform.jvp import How, differentiate, instantiate_zero
from functrans.transform.transpose import (
    check_linear,
    check_no_offset,
    dependent_part,
    offset_at_zero,
    transpose,
    transpose_jaxpr,
)

_MOST_RULES = 2  # nested rules that are linearized by themselves
_MOST_TRANSPOSED = 12  # nested rules that are transposed in place of their functions


class CustomJvp(InPlace):
    """Apply ``jaxpr``; ``rule``: (rule consts, arguments, tangents) -> (results, tangents of the results).

    Operands: consts of the function, consts of the rule, arguments. Only differentiable arguments and results have
    tangents.
    """

    told_its_derivative = True
    jaxpr: Jaxpr
    rule: Rule
    num_consts: int
    num_rule_consts: int
    name_: str

    @property
    def passing(self) -> bool:  # type: ignore[override]
        """Where a rule is, or an operation of a held program."""
        return are_passing(self.jaxpr, self.rule)

    @property
    def effects(self) -> Effects:  # type: ignore[override]
        """Those of the function: its rules may never run."""
        return self.jaxpr.effects

    def infer(self, *types: ArrayType) -> Any:
        return list(self.jaxpr.out_types)

    def split(self, operands: Sequence[Any]) -> tuple[list[Any], list[Any], list[Any]]:
        """consts of the function, consts of the rule, arguments."""
        a, b = self.num_consts, self.num_consts + self.num_rule_consts
        return list(operands[:a]), list(operands[a:b]), list(operands[b:])

    def primal_operands(self, operands: Sequence[Any]) -> list[Any]:
        consts, _, args = self.split(operands)
        return [*consts, *args]

    def impl(self, *arrays: Any) -> Any:
        return evaluate(self.jaxpr, self.primal_operands(arrays))

    def runs(self, operands: Sequence[Any]) -> Any:
        return one_run(self.jaxpr, self.primal_operands(operands))

    def reached(self, given: Sequence[bool], dependence: Dependence) -> Sequence[bool] | None:
        if dependence is DERIVATIVE:
            return None  # what the rule says, be the function constant or not
        return dependence.outputs(self.jaxpr, self.primal_operands(given))

    def _tangents(
        self, primals: Sequence[Value], tangents: Sequence[Tangent]
    ) -> tuple[Jaxpr, list[Any], list[Any], list[Any]]:
        consts, rule_consts, args = self.split(primals)
        const_ts, _, arg_ts = self.split(tangents)
        refuse_closed_over(const_ts, self.name_, "custom_jvp")
        types = self.jaxpr.in_types[len(consts) :]
        wanted = [
            full(t.shape, 0, t.dtype) if dt is None else dt
            for dt, t in zip(arg_ts, types, strict=True)
            if is_differentiable(t.dtype)
        ]
        rule, values = resolve(self.rule, rule_consts, arg_ts, [*args, *wanted])
        return rule, values, args, wanted

    def _outputs(self, outs: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        count = len(self.jaxpr.outputs)
        rest = iter(outs[count:])
        slopes = [or_none(next(rest)) if is_differentiable(t.dtype) else None for t in self.jaxpr.out_types]
        return list(outs[:count]), slopes

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        rule, values, args, wanted = self._tangents(primals, tangents)
        return self._outputs(replay(rule, [*values, *args, *wanted]))

    def linearize(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        if surroundings().rules >= _MOST_RULES:
            return self.as_linear(primals, tangents)
        rule, values, args, wanted = self._tangents(primals, tangents)
        _check_rule(rule, len(wanted), len(self.jaxpr.outputs), self.name_)
        with rules_around(surroundings().rules + 1):
            outs, slopes = linearize_at_zero(rule, [*values, *args], wanted)
        count = len(self.jaxpr.outputs)
        return self._outputs([*outs[:count], *slopes[count:]])

    def as_linear(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        """The linearization of a function that a rule applies to tangents: it is linear in them, its own derivative.

        A linear function may have a rule that applies the function itself to the tangents; that ends here.
        """
        at_tangents = bind_all(self, [x if t is None else t for x, t in zip(primals, tangents, strict=True)])
        dependent = VALUE.outputs(self.jaxpr, [t is not None for t in self.primal_operands(tangents)])
        slopes = [
            t if depends and is_differentiable(type_of(t).dtype) else None
            for t, depends in zip(at_tangents, dependent, strict=True)
        ]
        return bind_all(self, primals), slopes

    def transpose(self, cotangent: Any, *operands: Any) -> Sequence[Any]:
        consts, rule_consts, args = self.split(operands)
        used = [*consts, *args]
        try:
            sent = iter(transpose(self.jaxpr, used, cotangent))
        except NotLinearError as error:
            sent = iter(self._transposed_rule(error, consts, rule_consts, args, cotangent))
        by_operand = [next(sent) if is_linear(x) else None for x in used]
        return [*by_operand[: len(consts)], *[None] * len(rule_consts), *by_operand[len(consts) :]]

    def _transposed_rule(
        self, error: NotLinearError, consts: Sequence[Any], rule_consts: Sequence[Any], args: Sequence[Any],
        cotangent: Sequence[Any],
    ) -> list[Any]:  # fmt: skip
        """Cotangents of the linear arguments by the rule.

        A function is linear, whatever it is made of (a check that calls back is not), where its derivative does not
        depend on them. Raises ``error`` where it does, and where a result has none (``floor``).
        """
        linear = [is_linear(x) for x in args]
        smooth = [is_differentiable(t.dtype) for t in self.jaxpr.in_types[len(consts) :]]
        differentiated = [x if flag else None for x, flag in zip(args, linear, strict=True)]
        rule, values = resolve(self.rule, rule_consts, differentiated)
        tangents = sum(smooth)
        moving = VALUE.outputs(rule, [*[False] * len(values), *linear, *[False] * tangents])
        count = len(self.jaxpr.outputs)
        reached = [
            d for d, t in zip(VALUE.outputs(self.jaxpr, [*map(is_linear, consts), *linear]), self.jaxpr.out_types,
            strict=True) if is_differentiable(t.dtype)
        ]  # fmt: skip
        along_them = [flag for flag, s in zip(linear, smooth, strict=True) if s]
        slopes = VALUE.outputs(rule, [*[False] * (len(values) + len(args)), *along_them])[count:]
        flat = any(r and not d for r, d in zip(reached, slopes, strict=True))
        if any(map(is_linear, consts)) or any(moving[count:]) or flat or surroundings().rules >= _MOST_TRANSPOSED:
            raise error
        if _offset_at_zero(*dependent_part(self.jaxpr, [*[False] * len(consts), *linear])) is not None:
            raise error  # an offset has no derivative
        at = [full(x.shape, 0, x.dtype) if flag else x for x, flag in zip(args, linear, strict=True)]
        along = [x if flag else full(x.shape, 0, x.dtype) for x, flag, s in zip(args, linear, smooth, strict=True) if s]
        given = [ct for ct, t in zip(cotangent, self.jaxpr.out_types, strict=True) if is_differentiable(t.dtype)]
        # A rule that applies the function itself says no more at the next turn.
        with rules_around(surroundings().rules + 1):
            sent = iter(transpose(rule, [*values, *at, *along], [*[None] * count, *given]))
        return [next(sent) if s else None for flag, s in zip(linear, smooth, strict=True) if flag]

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Sequence[bool]]:
        """vmap of the function and of its rule; every result mapped.

        An argument that all lanes share stays one, with one tangent: what it alone decides is decided once.
        """
        consts, rule_consts, args = self.split(operands)
        consts_m, rule_m, args_m = self.split(mapped)
        program, values = batched_rule(self.jaxpr, consts, lanes, [*consts_m, *args_m], 0)
        types = self.jaxpr.in_types[len(consts) :]
        inputs_m = [*args_m, *[m for m, t in zip(args_m, types, strict=True) if is_differentiable(t.dtype)]]
        rule, rule_consts = mapped_rule(self.rule, rule_consts, lanes, rule_m, inputs_m)
        op = CustomJvp(program, rule, len(values), len(rule_consts), self.name_)
        outs = bind_all(self.batched(op, lanes, args_m), [*values, *rule_consts, *args])
        return outs, [True] * len(outs)

    def batched(self, op: CustomJvp, lanes: Lanes, mapped: Sequence[bool]) -> CustomJvp:
        """The operation over lanes, where ``op`` has its programs and ``mapped`` says which arguments are."""
        return op

    def run_where(self, mask: Any, operands: Sequence[Any]) -> list[Any]:
        consts, rule_consts, args = self.split(operands)
        changed = {
            "jaxpr": under_mask(self.jaxpr), "rule": rule_under_mask(self.rule),
            "num_consts": len(consts) + 1, "num_rule_consts": len(rule_consts) + 1,
        }  # fmt: skip
        return bind_all(type(self)(**self.parameters() | changed), [mask, *consts, mask, *rule_consts, *args])

    def in_place(self, operands: Sequence[Any]) -> tuple[Jaxpr, Sequence[Any]]:
        return self.jaxpr, self.primal_operands(operands)


def _check_rule(rule: Jaxpr, count: int, results: int, name: str) -> None:
    """Raise NotLinearError unless what a jvp rule gives after so many ``results`` is linear in its last ``count``
    inputs.

    Rules are traced at each un-jitted call: what of them the tangents reach is checked once, though the rest, in which
    the function itself is called, never equals that of another call.
    """
    def check() -> None:
        given = [False] * (len(rule.inputs) - count) + [True] * count
        program, linear = dependent_part(rule, given)
        depends = VALUE.outputs(rule, given)[results:]
        constant = [a for a, d in zip(rule.outputs[results:], depends, strict=True) if not d and or_none(a) is not None]
        with rules_around(0):
            _check_linear(program, linear, f"the jvp rule of {name}")
            if constant:
                equations, live = live_equations(rule.equations, constant, keep_effects=False)
                inputs = [v for v in rule.inputs if v in live]
                _check_no_offset(Jaxpr(inputs, equations, constant), f"the jvp rule of {name}")

    rule.remember("checked linear", check)


_check_linear = functools.lru_cache(maxsize=256)(check_linear)
_check_no_offset = functools.lru_cache(maxsize=256)(check_no_offset)
_offset_at_zero = functools.lru_cache(maxsize=256)(offset_at_zero)


def refuse_closed_over(tangents: Sequence[Any], name: str, what: str) -> None:
    """Raise when a value that the function closes over is differentiated: its rule says nothing about it."""
    if any(t is not None for t in tangents):
        raise FunctransTypeError(
            f"the {what} function {name} is differentiated with respect to a value it closes over, and its rule gives "
            f"derivatives by its arguments only, at {here()}\nPass that value as an argument of {name}, or "
            "stop_gradient it."
        )


class CustomVjp(InPlace):
    """Apply ``jaxpr``; ``forward``: (consts, arguments) -> (results, residuals); ``backward``: (consts, residuals,
    cotangents of the differentiable results) -> cotangents of the differentiable arguments.

    Operands: consts of the function, of forward, of backward, then the arguments. ``backward`` need not be linear, so
    of two applications to the same values each pulls back its own cotangent, and not one of them the sum.

    ``told_of_zeros``: both are deferred, and ``backward`` is traced where it is known which cotangents are given.

    The last ``num_states`` arguments, results and cotangents are states of the backward pass: values that it hands from
    one pullback to the next, in the order in which it runs them. Forward they are handed on as they are.
    """

    told_its_derivative = True
    jaxpr: Jaxpr
    forward: Rule
    backward: Rule
    num_consts: tuple[int, int, int]
    name_: str
    told_of_zeros: bool = False
    num_states: int = 0
    shared = False

    @property
    def passing(self) -> bool:  # type: ignore[override]
        """Where a rule is, or an operation of a held program."""
        return are_passing(self.jaxpr, self.forward, self.backward)

    @property
    def effects(self) -> Effects:  # type: ignore[override]
        """Those of the function: its rules may never run."""
        return self.jaxpr.effects

    def infer(self, *types: ArrayType) -> Any:
        return list(self.jaxpr.out_types)

    def split(self, operands: Sequence[Any]) -> tuple[list[Any], list[Any], list[Any], list[Any]]:
        """consts of the function, of forward, of backward; arguments."""
        a = self.num_consts[0]
        b = a + self.num_consts[1]
        c = b + self.num_consts[2]
        return list(operands[:a]), list(operands[a:b]), list(operands[b:c]), list(operands[c:])

    def primal_operands(self, operands: Sequence[Any]) -> list[Any]:
        consts, _, _, args = self.split(operands)
        return [*consts, *args]

    def impl(self, *arrays: Any) -> Any:
        return evaluate(self.jaxpr, self.primal_operands(arrays))

    def runs(self, operands: Sequence[Any]) -> Any:
        return one_run(self.jaxpr, self.primal_operands(operands))

    def reached(self, given: Sequence[bool], dependence: Dependence) -> Sequence[bool] | None:
        if dependence is DERIVATIVE:
            return None  # what the rule says, be the function constant or not
        return dependence.outputs(self.jaxpr, self.primal_operands(given))

    def _forward(
        self, primals: Sequence[Value], tangents: Sequence[Tangent]
    ) -> tuple[list[Any], CustomPullback, list[Any]]:
        """The results, the pullback, and its operands."""
        consts, forward_consts, backward_consts, args = self.split(primals)
        const_ts, _, _, arg_ts = self.split(tangents)
        refuse_closed_over(const_ts, self.name_, "custom_vjp")
        forward, values = resolve(self.forward, forward_consts, arg_ts, args)
        results = replay(forward, [*values, *args])
        count = len(self.jaxpr.outputs)
        backward, values = self._backward(backward_consts, arg_ts)
        types = self.jaxpr.in_types[len(consts) :]
        slopes = [
            full(t.shape, 0, t.dtype) if dt is None else dt
            for dt, t in zip(arg_ts, types, strict=True)
            if is_differentiable(t.dtype)
        ]
        out_types = tuple([t for t in self.jaxpr.out_types if is_differentiable(t.dtype)])
        pullback = CustomPullback(backward, len(values), len(results) - count, out_types, self.name_, self.num_states)
        return results[:count], pullback, [*values, *results[count:], *slopes]

    def _backward(self, consts: Sequence[Any], tangents: Sequence[Tangent]) -> tuple[Rule, list[Any]]:
        """The backward rule and the values for its leading inputs: where they are differentiated that have tangents."""
        if not isinstance(self.backward, DeferredRule):
            return self.backward, list(consts)
        if not self.told_of_zeros:
            try:
                return resolve(self.backward, consts, tangents)
            except ConcretizationTypeError:  # it asks for the number behind a cotangent, which there is none of yet
                pass
        return self.backward.told(tuple([t is not None for t in tangents])), list(consts)

    def _slopes(self, results: Sequence[Any]) -> list[Any]:
        rest = iter(results)
        return [next(rest) if is_differentiable(t.dtype) else None for t in self.jaxpr.out_types]

    def _only_states(self, tangents: Sequence[Tangent]) -> list[Tangent] | None:
        """The tangents of the results where no argument has one: the rules do not run."""
        end = len(tangents) - self.num_states
        if not self.num_states or any(t is not None for t in tangents[:end]):
            return None
        return [*[None] * (len(self.jaxpr.outputs) - self.num_states), *tangents[end:]]

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        handed_on = self._only_states(tangents)
        if handed_on is not None:
            return bind_all(self, primals), handed_on
        outs, pullback, operands = self._forward(primals, tangents)
        try:
            pushed = pullback.forward(operands)
        except (NotLinearError, ConcretizationTypeError):  # a rule that pushes tangents through this may be pulled back
            pushed = bind_all(pullback, operands)
        return outs, self._slopes(pushed)

    def linearize(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        handed_on = self._only_states(tangents)
        if handed_on is not None:
            return bind_all(self, primals), handed_on
        outs, pullback, operands = self._forward(primals, tangents)
        return outs, self._slopes(bind_all(pullback, operands))

    def transpose(self, cotangent: Any, *operands: Any) -> Sequence[Any]:
        consts, forward_consts, backward_consts, args = self.split(operands)
        used = [*consts, *args]
        sent = iter(transpose(self.jaxpr, used, cotangent))
        by_operand = [next(sent) if is_linear(x) else None for x in used]
        none = [None] * (len(forward_consts) + len(backward_consts))
        return [*by_operand[: len(consts)], *none, *by_operand[len(consts) :]]

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Sequence[bool]]:
        """vmap of the function, of forward and of backward; every result mapped, and those residuals that are.

        An argument that all lanes share stays one, as in ``CustomJvp``: its cotangent is the sum of theirs.
        """
        consts, forward_consts, backward_consts, args = self.split(operands)
        consts_m, forward_m, backward_m, args_m = self.split(mapped)
        program, values = batched_rule(self.jaxpr, consts, lanes, [*consts_m, *args_m], 0)
        types = self.jaxpr.in_types[len(consts) :]
        smooth_m = [m for m, t in zip(args_m, types, strict=True) if is_differentiable(t.dtype)]
        shared = [i for i, m in enumerate(smooth_m) if not m]
        forward, forward_consts, backward, backward_consts = mapped_pair(
            self.forward, self.backward, (forward_consts, backward_consts), lanes, (forward_m, backward_m), args_m,
            len(self.jaxpr.outputs), shared,
        )  # fmt: skip
        counts = (len(values), len(forward_consts), len(backward_consts))
        op = CustomVjp(program, forward, backward, counts, self.name_, self.told_of_zeros, self.num_states)
        outs = bind_all(self.batched(op, lanes, args_m), [*values, *forward_consts, *backward_consts, *args])
        return outs, [True] * len(outs)

    def batched(self, op: CustomVjp, lanes: Lanes, mapped: Sequence[bool]) -> CustomVjp:
        """The operation over lanes, where ``op`` has its programs and ``mapped`` says which arguments are."""
        return op

    def run_where(self, mask: Any, operands: Sequence[Any]) -> list[Any]:
        consts, forward_consts, backward_consts, args = self.split(operands)
        forward, backward = rule_under_mask(self.forward), rule_under_mask(self.backward)
        a, b, c = self.num_consts
        counts = (a + 1, b + 1, c + 1)
        program, told = under_mask(self.jaxpr), self.told_of_zeros
        op = CustomVjp(program, forward, backward, counts, self.name_, told, self.num_states)
        return bind_all(op, [mask, *consts, mask, *forward_consts, mask, *backward_consts, *args])

    def in_place(self, operands: Sequence[Any]) -> tuple[Jaxpr, Sequence[Any]]:
        return self.jaxpr, self.primal_operands(operands)


class CustomPullback(InPlace):
    """The linear map whose transpose is ``backward``: (consts, residuals, tangents) -> tangents of the results.

    Its transpose runs ``backward`` as the user wrote it, linear or not (gradient clipping is not); only running it
    forward needs the transpose of ``backward``. A deferred one is traced for the cotangents that are given.
    """

    told_its_derivative = True
    backward: Rule
    num_consts: int
    num_residuals: int
    types: tuple[ArrayType, ...]
    name_: str
    num_states: int = 0  # of the last results and tangents, as in CustomVjp
    shared = False

    @property
    def passing(self) -> bool:  # type: ignore[override]
        """Where a rule is, or an operation of a held program."""
        return are_passing(self.backward)

    def infer(self, *types: ArrayType) -> Any:
        return list(self.types)

    def split(self, operands: Sequence[Any]) -> tuple[list[Any], list[Any], list[Any]]:
        """consts, residuals, tangents."""
        a, b = self.num_consts, self.num_consts + self.num_residuals
        return list(operands[:a]), list(operands[a:b]), list(operands[b:])

    def pushforward(self) -> tuple[Jaxpr, list[Any], list[bool]]:
        """The program of the map itself: (consts, values captured, residuals, tangents) -> tangents of the results; the
        values captured; which tangents it takes: those whose cotangents are not zero.
        """
        backward, captured = resolve(self.backward, (), self.types)
        sent = [or_none(a) is not None for a in backward.outputs]
        return self._pushforward(backward, sent), captured, sent

    def forward(self, operands: Sequence[Any]) -> list[Any]:
        """The results by the program of the map itself."""
        program, captured, sent = self.pushforward()
        return replay(program, self._taken(operands, captured, sent))

    def _taken(self, operands: Sequence[Any], captured: Sequence[Any], sent: Sequence[bool]) -> list[Any]:
        """What the pushforward takes, of the operands or of their tangents."""
        consts, residuals, slopes = self.split(operands)
        return [*consts, *captured, *residuals, *[t for t, s in zip(slopes, sent, strict=True) if s]]

    def _pushforward(self, backward: Jaxpr, sent: Sequence[bool]) -> Jaxpr:
        fixed = len(backward.inputs) - len(self.types)
        linear = [False] * fixed + [True] * len(self.types)
        try:
            program, has = transpose_jaxpr(backward, linear, sent)
        except NotLinearError as error:
            raise NotLinearError(
                f"forward mode through the custom_vjp function {self.name_} needs the transpose of its bwd function, "
                f"and bwd is not linear in the cotangent: {error}\nUse reverse mode (grad, vjp) only, or define "
                f"{self.name_} with custom_jvp."
            ) from None
        if all(has):
            return program

        def filled(*inputs: Any) -> list[Any]:
            outs = iter(replay(program, inputs))
            return [next(outs) if h else full(t.shape, 0, t.dtype) for h, t in zip(has, self.types, strict=True)]

        return backward.remember(
            "pushforward", lambda: trace(filled, program.in_types, "the pushforward of a pullback")[0]
        )

    def impl(self, *arrays: Any) -> Any:
        return evaluate(*self.in_place(arrays))

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        return self._differentiated(primals, tangents, "jvp")

    def linearize(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        fixed = self.num_consts + self.num_residuals
        if all(t is None for t in tangents[:fixed]):
            outs = bind_all(self, primals)
            slopes = [instantiate_zero(t, x) for t, x in zip(tangents, primals, strict=True)][fixed:]
            return outs, bind_all(self, [*primals[:fixed], *slopes])
        return self._differentiated(primals, tangents, "linearize")

    def _differentiated(self, primals: Sequence[Value], tangents: Sequence[Tangent], how: How) -> tuple[Any, Any]:
        program, captured, sent = self.pushforward()
        fixed = [None] * len(captured)
        given, slopes = self._taken(primals, captured, sent), self._taken(tangents, fixed, sent)
        return differentiate(program, given, slopes, how)

    def transpose(self, cotangent: Any, *operands: Any) -> Sequence[Any]:
        consts, residuals, slopes = self.split(operands)
        end = len(self.types) - self.num_states
        if all(ct is None for ct in cotangent[:end]):  # nothing to pull back
            handed_on = [*[None] * (len(slopes) - self.num_states), *cotangent[end:]]
            return [None] * (len(consts) + len(residuals)) + handed_on
        cts = [full(t.shape, 0, t.dtype) if ct is None else ct for ct, t in zip(cotangent, self.types, strict=True)]
        backward, values = resolve(self.backward, consts, cotangent, [*residuals, *cts])
        sent = replay(backward, [*values, *residuals, *cts])
        return [None] * (len(consts) + len(residuals)) + [
            or_none(ct) if is_linear(x) else None for ct, x in zip(sent, slopes, strict=True)
        ]

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Sequence[bool]]:
        """vmap of backward; tangents shared by all lanes have their cotangents summed."""
        consts_m, residuals_m, slopes_m = self.split(mapped)
        shared = [i for i, m in enumerate(slopes_m) if not m]
        rule, _ = mapped_rule(self.backward, self.split(operands)[0], lanes, consts_m, residuals_m, summed=shared)
        types = tuple([t.update(shape=(lanes.size, *t.shape)) for t in self.types])
        op = CustomPullback(rule, self.num_consts, self.num_residuals, types, self.name_, self.num_states)
        outs = bind_all(op, operands)
        return outs, [True] * len(outs)

    def run_where(self, mask: Any, operands: Sequence[Any]) -> list[Any]:
        rule = rule_under_mask(self.backward)
        op = CustomPullback(rule, self.num_consts + 1, self.num_residuals, self.types, self.name_, self.num_states)
        return bind_all(op, [mask, *operands])

    def in_place(self, operands: Sequence[Any]) -> tuple[Jaxpr, Sequence[Any]]:
        program, captured, sent = self.pushforward()
        if captured:
            count = self.num_consts
            types = [*program.in_types[:count], *program.in_types[count + len(captured) :]]
            given = program
            program = given.remember("closed", lambda: trace_closed(
                lambda *xs: replay(given, [*xs[:count], *captured, *xs[count:]]), types, "a pushforward"
            ))  # fmt: skip
        return program, self._taken(operands, (), sent)
