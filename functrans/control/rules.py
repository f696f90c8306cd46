"""The rules of functions whose derivative a user wrote, as programs: traced now or later, over lanes, under a mask.

A rule is traced where the function is called, so it may close over traced values, and every transform finds plain
jaxprs. It uses up one order of differentiation of the trace it stands in; where none is left (``Builder.order``) the
rule stays a Python function (``DeferredRule``), traced only if somebody differentiates after all. So does one that asks
for the number behind a tangent or cotangent, which there is none of where the function is called: it is traced at each
use, if the derivative itself is taken of numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from jax.errors import ConcretizationTypeError

from functrans.control.masking import under_mask
from functrans.ir.program import Jaxpr, Literal
from functrans.ir.types import array_type, float0
from functrans.jaxlib_compat import configuration
from functrans.ops import elementwise
from functrans.ops.constants import trace_closed
from functrans.ops.structural import reduce_sum, spread
from functrans.trace.primitive import Lanes, is_passing
from functrans.trace.state import surroundings
from functrans.trace.values import has_value
from functrans.transform.vmap import vmap, vmap_jaxpr

ZERO = Literal(False, array_type((), float0))
"""Among the results of a rule, in the place of a tangent or cotangent: it is zero, for every value of the arguments."""


def or_none(x: Any) -> Any:
    """What a rule gave for a tangent or cotangent, as transforms know it."""
    return None if type(x) is Literal and x == ZERO else x


class DeferredRule:
    """A rule that has not been traced: (which arguments are differentiated) -> (jaxpr, captured values), or raises
    what tracing it raised. It is traced once for each such choice; most rules are the same for all.

    A backward rule that is told of zeros is traced for (which arguments are differentiated, which cotangents are not
    zero).

    ``asking``: (the same, values of the rule's inputs) -> (jaxpr, captured values), for a rule that asks for the number
    behind one of them: it is traced with these, and for them alone.

    Equal to itself alone: what a user's rule reads may change between two traces of the same function. ``token`` is
    for rules that are derived from another: equal where the same is derived from the same rule. ``refused``: the error
    of an attempt to trace it before. ``passing``: no later trace will hold it again.
    """

    __slots__ = ("around", "asking", "known", "make", "passing", "refused", "token")

    def __init__(
        self, make: Callable[[Any], tuple[Any, list[Any]]], token: Any = None,
        asking: Callable[[Any, Sequence[Any]], tuple[Any, list[Any]]] | None = None,
    ) -> None:  # fmt: skip
        self.make, self.asking = make, asking
        self.around = configuration.Surroundings()  # the rule runs where the function was called, but for the time
        self.token = object() if token is None else token
        self.known: dict[Any, Any] = {}  # the programs; errors of those that asked
        self.refused: Exception | None = None
        self.passing = token is None

    def __eq__(self, other: object) -> bool:
        return self is other or (type(other) is DeferredRule and self.token == other.token)

    def __hash__(self) -> int:
        return hash(self.token)

    def __repr__(self) -> str:
        return "a rule not traced yet"

    def at(self, differentiated: Any, values: Sequence[Any] = ()) -> tuple[Jaxpr, list[Any]]:
        """The program where these arguments are differentiated, of inputs that have these ``values`` if it asks."""
        found = self.known.get(differentiated)
        if found is None:
            with self.around.again():
                try:
                    found = self.make(differentiated)
                except ConcretizationTypeError as error:  # ours, or that of JAX about its own
                    if self.asking is None:
                        raise
                    found = error.with_traceback(None)
            found = self.known.setdefault(differentiated, found)  # of two threads the first to end is right for both
        if not isinstance(found, Exception):
            return found  # type: ignore[no-any-return]
        if self.asking is None or not values or not all(map(has_value, values)):
            raise found
        with self.around.again():
            return self.asking(differentiated, values)

    def then(self, how: Any, derive: Callable[[Jaxpr, list[Any]], tuple[Jaxpr, list[Any]]]) -> DeferredRule:
        """The rule whose program is derived from this one's, as ``how`` (hashable) says."""
        return self.then_told(how, lambda given, program, captured: derive(program, captured))

    def then_told(self, how: Any, derive: Callable[[Any, Jaxpr, list[Any]], tuple[Jaxpr, list[Any]]]) -> DeferredRule:
        """As ``then``; ``derive`` is told first which arguments are differentiated."""
        return self._from_this(DeferredRule(lambda given: derive(given, *self.at(given)), (self.token, how)))

    def _from_this(self, rule: DeferredRule) -> DeferredRule:
        rule.passing = self.passing
        return rule

    def told(self, differentiated: tuple[bool, ...]) -> DeferredRule:
        """A backward rule where these arguments are differentiated: it waits for which cotangents are given."""
        return self._from_this(
            DeferredRule(
                lambda given: self.at((differentiated, given)), (self.token, differentiated),
                lambda given, values: self.at((differentiated, given), values),
            )
        )  # fmt: skip


Rule = Jaxpr | DeferredRule


def are_passing(*rules: Rule) -> bool:
    """Whether an operation with these rules is ``passing``."""
    return any(rule.passing if isinstance(rule, DeferredRule) else is_passing(rule) for rule in rules)


def rules_together(
    make: Callable[[tuple[bool, ...], Sequence[Any]], tuple[Any, Any]], asking: bool = True
) -> tuple[DeferredRule, DeferredRule]:
    """A forward and a backward rule that are told of zeros.

    ``make``: (which arguments are differentiated, their values or nothing) -> (the forward rule traced for them, (which
    cotangents are given, values of its inputs or nothing) -> the backward rule traced for those). ``asking``: it may be
    called again with values where a rule asks for them.
    """
    known: dict[tuple[bool, ...], tuple[Any, Any]] = {}

    def both(differentiated: tuple[bool, ...], values: Sequence[Any] = ()) -> tuple[Any, Any]:
        found = known.get(differentiated)
        if values:
            found = known[differentiated] = make(differentiated, values)
        elif found is None:  # of two threads the first to end is right for both: forward and backward belong together
            found = known.setdefault(differentiated, make(differentiated, ()))
        return found

    def forward(differentiated: tuple[bool, ...], values: Sequence[Any] = ()) -> tuple[Any, list[Any]]:
        return both(differentiated, values)[0]  # type: ignore[no-any-return]

    def backward(key: tuple[Any, Any], values: Sequence[Any] = ()) -> tuple[Any, list[Any]]:
        return both(key[0])[1](key[1], values)  # type: ignore[no-any-return]

    if not asking:
        return DeferredRule(forward), DeferredRule(backward)
    return DeferredRule(forward, asking=forward), DeferredRule(backward, asking=backward)


def resolve(
    rule: Rule, consts: Sequence[Any], tangents: Sequence[Any] = (), inputs: Sequence[Any] = ()
) -> tuple[Jaxpr, list[Any]]:
    """The rule's program, where ``tangents`` are those of the arguments, and the values for its leading inputs.

    ``inputs``: the values for the other inputs, where they are known.
    """
    if not isinstance(rule, DeferredRule):
        return rule, list(consts)
    with rules_around(0):  # what the user's function differentiates is no part of the rule
        program, captured = rule.at(tuple([t is not None for t in tangents]), inputs)
    return program, [*consts, *captured]


def rule_under_mask(rule: Rule) -> Rule:
    """The rule with a mask before its constants: where it is false, its results are unspecified and no loop runs."""
    if isinstance(rule, DeferredRule):
        return rule.then("under a mask", lambda program, captured: (under_mask(program), captured))
    return under_mask(rule)


@contextmanager
def rules_around(count: int) -> Iterator[None]:
    """Inside, so many derivative rules, each used by the one before, are being linearized."""
    inside = surroundings()
    saved, inside.rules = inside.rules, count
    try:
        yield
    finally:
        inside.rules = saved


def batched_rule(
    jaxpr: Jaxpr, consts: Sequence[Any], lanes: Lanes, mapped: Sequence[bool], rest: int, summed: Sequence[int] = (),
    count: int | None = None,
) -> tuple[Jaxpr, list[Any]]:  # fmt: skip
    """vmap of a rule over its consts (mapped as given) and ``rest`` mapped inputs; every output mapped, of the first
    ``count``: what others hold that is the same in all lanes stays one.

    Outputs in ``summed`` belong to inputs shared by all lanes: they are summed over the lanes. ``ZERO`` stays itself.
    """
    values = list(consts)
    which = [*mapped, *[True] * rest]
    wanted = len(jaxpr.outputs) if count is None else count

    def function(*inputs: Any) -> list[Any]:
        outs, outs_mapped = vmap(jaxpr, lanes, inputs, which)
        results = []
        for i, (x, m) in enumerate(zip(outs, outs_mapped, strict=True)):
            if or_none(x) is None:
                results.append(x)
            elif i in summed:
                results.append(reduce_sum(x, (0,)) if m else elementwise.mul(x, float(lanes.size)))
            else:
                results.append(x if m or i >= wanted else spread(x, lanes.size))
        return results

    types = [
        t.update(shape=(lanes.size, *t.shape)) if m else t for t, m in zip(jaxpr.in_types, which, strict=True)
    ]
    return trace_closed(function, types, "vmap of a custom derivative rule"), values


def mapped_rule(
    rule: Rule, consts: Sequence[Any], lanes: Lanes, mapped: Sequence[bool], behind: Sequence[bool] = (),
    summed: Sequence[int] = (), count: int | None = None,
) -> tuple[Rule, list[Any]]:  # fmt: skip
    """vmap of a rule over its consts (mapped as given), the inputs behind them (as given too) and all of its other
    inputs; every output (of the first ``count``) mapped, those in ``summed`` summed over the lanes.
    """
    if not isinstance(rule, DeferredRule):
        flags = [*mapped, *behind]
        return batched_rule(rule, consts, lanes, flags, len(rule.inputs) - len(flags), summed, count)

    def derive(program: Jaxpr, values: list[Any]) -> tuple[Jaxpr, list[Any]]:
        flags = [*mapped, *[False] * len(values), *behind]
        return batched_rule(program, values, lanes, flags, len(program.inputs) - len(flags), summed, count)

    return rule.then(("vmap", lanes, tuple(mapped), tuple(behind), tuple(summed), count), derive), list(consts)


def mapped_pair(
    forward: Rule, backward: Rule, consts: tuple[Sequence[Any], Sequence[Any]], lanes: Lanes,
    mapped: tuple[Sequence[bool], Sequence[bool]], args: Sequence[bool], count: int, summed: Sequence[int],
) -> tuple[Rule, list[Any], Rule, list[Any]]:  # fmt: skip
    """vmap of a forward rule with ``count`` results over its consts and arguments (mapped as given), and of the
    backward rule over its consts, the residuals (each where it differs between the lanes) and the cotangents.
    """
    ahead, values = mapped_rule(forward, consts[0], lanes, mapped[0], args, count=count)

    def back(given: Any, program: Jaxpr, captured: list[Any], leading: Sequence[Any] = ()) -> tuple[Jaxpr, list[Any]]:
        made, held = forward, 0
        if isinstance(made, DeferredRule):
            made, others = made.at(given[0] if given and isinstance(given[0], tuple) else given)
            held = len(others)
        residuals = vmap_jaxpr(made, lanes, [*mapped[0], *[False] * held, *args], False)[1][count:]
        flags = [*mapped[1], *[False] * len(captured), *residuals]
        return batched_rule(program, [*leading, *captured], lanes, flags, len(program.inputs) - len(flags), summed)

    if not isinstance(backward, DeferredRule):
        return ahead, values, *back((), backward, [], consts[1])
    how = ("vmap", lanes, ahead.token if isinstance(ahead, DeferredRule) else ahead, tuple(mapped[1]), tuple(summed))
    return ahead, values, backward.then_told(how, back), list(consts[1])
