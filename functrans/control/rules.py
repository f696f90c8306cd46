"""The rules of functions whose derivative a user wrote, as programs: traced now or later, over lanes, under a mask.

A rule is traced where the function is called, so it may close over traced values, and every transform finds plain
jaxprs. It uses up one order of differentiation of the trace it stands in; where none is left (``Builder.order``) the
rule stays a Python function (``DeferredRule``), traced only if somebody differentiates after all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from functrans.control.masking import under_mask
from functrans.ir.program import Jaxpr, Literal
from functrans.ir.types import array_type, float0
from functrans.jaxlib_compat import configuration
from functrans.ops import elementwise
from functrans.ops.constants import trace_closed
from functrans.ops.structural import reduce_sum, spread
from functrans.trace.primitive import Lanes
from functrans.trace.state import surroundings
from functrans.transform.vmap import vmap

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

    Equal to itself alone: what a user's rule reads may change between two traces of the same function. ``token`` is
    for rules that are derived from another: equal where the same is derived from the same rule.
    """

    __slots__ = ("around", "known", "make", "token")

    def __init__(self, make: Callable[[Any], tuple[Any, list[Any]]], token: Any = None) -> None:
        self.make = make
        self.around = configuration.Surroundings()  # the rule runs where the function was called, but for the time
        self.token = object() if token is None else token
        self.known: dict[Any, tuple[Any, list[Any]]] = {}

    def __eq__(self, other: object) -> bool:
        return self is other or (type(other) is DeferredRule and self.token == other.token)

    def __hash__(self) -> int:
        return hash(self.token)

    def __repr__(self) -> str:
        return "a rule not traced yet"

    def at(self, differentiated: Any) -> tuple[Jaxpr, list[Any]]:
        """The program where these arguments are differentiated."""
        found = self.known.get(differentiated)
        if found is None:  # of two threads that trace it the first to end is right for both
            with self.around.again():
                made = self.make(differentiated)
            found = self.known.setdefault(differentiated, made)
        return found

    def then(self, how: Any, derive: Callable[[Jaxpr, list[Any]], tuple[Jaxpr, list[Any]]]) -> DeferredRule:
        """The rule whose program is derived from this one's, as ``how`` (hashable) says."""
        return DeferredRule(lambda differentiated: derive(*self.at(differentiated)), (self.token, how))

    def told(self, differentiated: tuple[bool, ...]) -> DeferredRule:
        """A backward rule where these arguments are differentiated: it waits for which cotangents are given."""
        return DeferredRule(lambda given: self.at((differentiated, given)), (self.token, differentiated))


Rule = Jaxpr | DeferredRule


def rules_together(make: Callable[[tuple[bool, ...]], tuple[Any, Any]]) -> tuple[DeferredRule, DeferredRule]:
    """A forward and a backward rule that are told of zeros.

    ``make``: which arguments are differentiated -> (the forward rule traced for them, (which cotangents are given) ->
    the backward rule traced for those).
    """
    known: dict[tuple[bool, ...], tuple[Any, Any]] = {}

    def both(differentiated: tuple[bool, ...]) -> tuple[Any, Any]:
        found = known.get(differentiated)
        if found is None:  # of two threads the first to end is right for both: forward and backward belong together
            found = known.setdefault(differentiated, make(differentiated))
        return found

    forward = DeferredRule(lambda differentiated: both(differentiated)[0])
    return forward, DeferredRule(lambda key: both(key[0])[1](key[1]))


def resolve(rule: Rule, consts: Sequence[Any], tangents: Sequence[Any] = ()) -> tuple[Jaxpr, list[Any]]:
    """The rule's program, where ``tangents`` are those of the arguments, and the values for its leading inputs."""
    if not isinstance(rule, DeferredRule):
        return rule, list(consts)
    with rules_around(0):  # what the user's function differentiates is no part of the rule
        program, captured = rule.at(tuple([t is not None for t in tangents]))
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


def batched_rule(jaxpr: Jaxpr, consts: Sequence[Any], lanes: Lanes, mapped: Sequence[bool], rest: int,
                 summed: Sequence[int] = ()) -> tuple[Jaxpr, list[Any]]:  # fmt: skip
    """vmap of a rule over its consts (mapped as given) and ``rest`` mapped inputs; every output mapped.

    Outputs in ``summed`` belong to inputs shared by all lanes: they are summed over the lanes. ``ZERO`` stays itself.
    """
    values = list(consts)
    which = [*mapped, *[True] * rest]

    def function(*inputs: Any) -> list[Any]:
        outs, outs_mapped = vmap(jaxpr, lanes, inputs, which)
        results = []
        for i, (x, m) in enumerate(zip(outs, outs_mapped, strict=True)):
            if or_none(x) is None:
                results.append(x)
            elif i in summed:
                results.append(reduce_sum(x, (0,)) if m else elementwise.mul(x, float(lanes.size)))
            else:
                results.append(x if m else spread(x, lanes.size))
        return results

    types = [
        t.update(shape=(lanes.size, *t.shape)) if m else t for t, m in zip(jaxpr.in_types, which, strict=True)
    ]
    return trace_closed(function, types, "vmap of a custom derivative rule"), values


def mapped_rule(
    rule: Rule, consts: Sequence[Any], lanes: Lanes, mapped: Sequence[bool], behind: Sequence[bool] = (),
    summed: Sequence[int] = (),
) -> tuple[Rule, list[Any]]:  # fmt: skip
    """vmap of a rule over its consts (mapped as given), the inputs behind them (as given too) and all of its other
    inputs; every output mapped, those in ``summed`` summed over the lanes.
    """
    if not isinstance(rule, DeferredRule):
        flags = [*mapped, *behind]
        return batched_rule(rule, consts, lanes, flags, len(rule.inputs) - len(flags), summed)

    def derive(program: Jaxpr, values: list[Any]) -> tuple[Jaxpr, list[Any]]:
        flags = [*mapped, *[False] * len(values), *behind]
        return batched_rule(program, values, lanes, flags, len(program.inputs) - len(flags), summed)

    return rule.then(("vmap", lanes, tuple(mapped), tuple(behind), tuple(summed)), derive), list(consts)
