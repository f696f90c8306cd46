"""Values on demand: the number behind a tracer, where there is one.

In an un-jitted call the inputs of a trace keep their concrete values. ``bool(x)``, ``float(x)``, ``int(x)``,
``x.item()``, ``print(x)``, ``np.asarray(x)`` run the equations that x needs, once, and remember what the user's code
still holds on to; the effects that stand before happen then too. Inputs traced by ``jit``, by ``vmap`` or for the body
of a loop have no value: the error says so. Which derivatives a value would lose as a plain number is known here too.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from functrans.errors import ConcretizationError, MissingRuleError
from functrans.ir.program import Atom, Equation, Jaxpr, Literal, Var, Where, live_equations
from functrans.ir.types import is_key_dtype
from functrans.jaxlib_compat.tracing import JaxTracer
from functrans.trace.dependence import DERIVATIVE
from functrans.trace.effects import without_effects
from functrans.trace.engine import engine
from functrans.trace.frames import describe_place, where
from functrans.trace.state import outside_of_traces, state
from functrans.trace.tracer import Tracer, escaped

if TYPE_CHECKING:
    from functrans.trace.builder import Builder


class _NoValue(Exception):
    """Raised inside the sweep when an input without a value is met; ``builder`` is None where JAX traces it."""

    def __init__(self, builder: Builder | None) -> None:
        self.builder = builder


NOTHING, OPERATIONS, EFFECTS = range(3)
"""What runs while a function is traced. ``OPERATIONS``: those of JAX on concrete values, at once, as in its transforms.
``EFFECTS``: a value asked for makes the effects so far happen, too, and they are not staged any more.
"""


_NOT_TOLD: frozenset[int] = frozenset((-1,))  # which is no variable's id
_ALWAYS = -1
_NONE: dict[int, int] = {}
_sweeps = 0  # how often equations were run for a value: what had none may have one since


class Known:
    """What is known while a function is traced: values of variables, and which effects have happened.

    A value by the id of its variable is an array, a ``Result``, or a value of another trace: a captured one.
    """

    __slots__ = ("custom", "differentiated", "differentiators", "effects", "obtainable", "performed", "runs", "values")

    def __init__(self) -> None:
        self.values: dict[int, Any] = {}
        self.effects: list[tuple[float, Equation]] = []  # to happen: (place in the order of variables, equation)
        self.runs = NOTHING
        self.performed: set[Equation] = set()
        self.custom: Sequence[Any] = ()  # arguments of a call whose function, or derivative rule, is traced
        self.differentiated = _NOT_TOLD  # ids of the inputs that what traces here differentiates by
        self.differentiators: dict[int, frozenset[Builder]] = {}  # what ``differentiators`` says, by id of variable
        self.obtainable: dict[int, int] = {}  # what ``has_value`` says, by id of variable: _ALWAYS, or when it said no

    @property
    def given(self) -> bool:
        """Whether inputs have values: those of a transform, or of a rule."""
        return self.differentiated is not _NOT_TOLD

    def staged(self, equations: list[Equation]) -> list[Equation]:
        """The equations of the trace, without those whose effects have happened."""
        if not self.performed:
            return equations
        return [eqn for eqn in equations if eqn not in self.performed]


class Computed:
    """The outputs of a program on values of open traces, computed if one of them is asked for."""

    __slots__ = ("jaxpr", "operands", "values")

    def __init__(self, jaxpr: Jaxpr, operands: Sequence[Any]) -> None:
        self.jaxpr = jaxpr
        self.operands = operands
        self.values: dict[Any, Any] | None = None

    def value(self, i: int) -> Any:
        """Output i; raises an internal signal where an operand has no value."""
        jaxpr = self.jaxpr
        if self.values is None:
            values: dict[Any, Any] = dict(zip(jaxpr.inputs, [_stood_for(x) for x in self.operands], strict=True))
            made = list(dict.fromkeys([a for a in jaxpr.outputs if type(a) is Var and a not in values]))
            if made:
                needed, _ = live_equations(jaxpr.equations, made, keep_effects=False)
                try:
                    program = without_effects(Jaxpr(jaxpr.inputs, needed, made))  # they happen where the program runs
                except MissingRuleError:  # the value is that of an effect
                    raise _NoValue(None) from None
                results = outside_of_traces(engine.run_program, program, list(values.values()))
                values.update(zip(made, results, strict=True))
            self.values = values
        a = jaxpr.outputs[i]
        return value_of(a) if type(a) is Literal else self.values[a]


class Result(NamedTuple):
    """One result of a program that is computed if it is asked for: the known value of an input of a trace."""

    computed: Computed
    i: int


def value_of(x: Any) -> Any:
    """The concrete value of x (an array); raises an internal signal where there is none."""
    if type(x) is Tracer and not x.builder.open:
        raise escaped(x)
    return _stood_for(x)


def _stood_for(x: Any) -> Any:
    """As ``value_of``, of what a variable of a trace stands for: if that trace is a derivative rule's, which is traced
    when it is needed, x is of a trace that may have ended."""
    kind = type(x)
    if kind is Result:
        return x.computed.value(x.i)
    if kind is Literal:
        return np.asarray(x.value, x.type.dtype)
    if kind is not Tracer:
        if isinstance(x, JaxTracer):
            raise _NoValue(None)
        return x
    builder: Builder = x.builder
    values = builder.known.values
    if x.variable.id not in values:
        if builder.climbs:
            raise _NoValue(builder)
        _sweep(builder, x.variable)
    return _stood_for(values[x.variable.id])


def _sweep(builder: Builder, wanted: Var) -> None:
    """Run the equations that ``wanted`` needs and that have not been run; keep what user code may use again.

    Effects that stand before happen now, once, in the outer traces first: the user's Python goes on after them.
    """
    ancestors: list[Builder] = []
    parent = builder.parent
    while parent is not None:
        ancestors.append(parent)
        parent = parent.parent
    for outer in reversed(ancestors):
        if outer.known.runs is EFFECTS and outer.known.effects:
            _run_equations(outer, None)
    _run_equations(builder, wanted)


def _run_equations(builder: Builder, wanted: Var | None) -> None:
    known = builder.known
    values = known.values
    effects = known.effects if known.runs is EFFECTS else []
    equations, inputs = _needed(builder, wanted, effects)
    free = list(inputs)
    arguments = [_stood_for(values[v.id]) for v in free]
    kept = [v for eqn in equations for v in eqn.outputs if v is wanted or eqn.op.effects or _held(builder, eqn, v)]
    if known.runs is EFFECTS:
        known.effects = []  # even if one fails: none happens twice
    results = outside_of_traces(engine.run_program, Jaxpr(free, equations, kept), arguments)
    for v, result in zip(kept, results, strict=True):
        values[v.id] = result
    global _sweeps
    _sweeps += 1
    for place, eqn in effects:
        known.performed.add(eqn)
        builder.structure.rows.append(("performed", place))
        for v in eqn.outputs:
            builder.has_happened(v, values[v.id])


def _needed(
    builder: Builder, wanted: Var | None, effects: Sequence[tuple[float, Equation]], answers: Mapping[int, int] = _NONE
) -> tuple[list[Equation], list[Var]]:
    """The equations to be run for a value, the effects among them, in order; and the variables with values they read.

    From the last one back, so that all readers of an equation are known when it is met: of a held program only what
    its wanted results need is run, and an operand without a value that only others need does no harm. ``answers``: of
    which variables it is known whether they have a value; nothing behind them is looked at.
    """
    values, producers = builder.known.values, builder.producers
    found: list[Equation] = []
    inputs: list[Var] = []
    asked = {v.id for _, eqn in effects for v in eqn.outputs}
    waiting: list[tuple[float, int, Equation]] = [(-place, -i, eqn) for i, (place, eqn) in enumerate(effects)]
    heapify(waiting)
    met: set[Equation] = {eqn for _, eqn in effects}

    def ask(variables: Iterable[Atom]) -> None:
        for v in variables:
            if type(v) is Var and v.id not in asked:
                asked.add(v.id)
                if v.id in values or answers.get(v.id) in (_ALWAYS, _sweeps):
                    inputs.append(v)
                    continue
                eqn = producers[v.id]
                if eqn is None or eqn.op.effects or eqn.op.axis_names():  # lanes of vmap are no numbers yet
                    raise _NoValue(builder)
                if eqn not in met:
                    met.add(eqn)
                    heappush(waiting, (-eqn.outputs[0].id, 0, eqn))

    if wanted is not None:
        ask([wanted])
    while waiting:
        *_, eqn = heappop(waiting)
        if eqn.op.holds_jaxprs and not eqn.op.effects:
            op, operands = eqn.op.as_run(eqn.inputs)
            results = eqn.outputs
            smaller = op.narrowed(tuple([v.id in asked for v in results]))
            if smaller is not None:
                op, ins, outs = smaller
                operands, results = [operands[i] for i in ins], [results[i] for i in outs]
            eqn = Equation(op, operands, results, eqn.where)
        found.append(eqn)
        ask(eqn.inputs)
    found.reverse()
    return found, inputs


_BUILDER_REFERENCES = 3  # the list of tracers, the table of shared operations, the call to getrefcount


def _held(builder: Builder, eqn: Equation, var: Var) -> bool:
    """Whether anything besides the builder refers to the tracer of this variable (a hint: recomputing is always right).
    """
    return not builder.open or sys.getrefcount(builder.tracers[var.id]) > _BUILDER_REFERENCES


def concrete(x: Any) -> Any:
    """The NumPy value of x where it is known without running anything, else None."""
    if type(x) is Literal:
        return np.asarray(x.value, x.type.dtype)
    if type(x) is Result:
        return None
    if type(x) is not Tracer:
        return None if isinstance(x, JaxTracer) else np.asarray(x)
    known = x.builder.known.values.get(x.variable.id)
    return None if known is None else concrete(known)


def obtainable(x: Any) -> Any:
    """The NumPy value of x, computed if need be, where user code could ask for it; else None. Keys have none."""
    if is_key_dtype(x.dtype):
        return None
    try:
        return np.asarray(value_of(x))
    except _NoValue:
        return None


def has_value(x: Any) -> bool:
    """Whether the value of x could be asked for now; nothing runs."""
    kind = type(x)
    if kind is Result:
        return x.computed.values is not None or all(map(has_value, x.computed.operands))
    if kind is not Tracer:
        return not isinstance(x, JaxTracer)
    builder: Builder = x.builder
    values, obtainable, place = builder.known.values, builder.known.obtainable, x.variable.id
    if place in values:
        return has_value(values[place])
    if builder.climbs:
        return False
    if obtainable.get(place) not in (_ALWAYS, _sweeps):  # each is looked for once: a program asks at every rule
        try:
            _, inputs = _needed(builder, x.variable, (), obtainable)
            found = all(has_value(values[v.id]) if v.id in values else obtainable[v.id] == _ALWAYS for v in inputs)
        except _NoValue:
            found = False
        obtainable[place] = _ALWAYS if found else _sweeps
    return obtainable[place] == _ALWAYS


def demand(
    x: Tracer, asked: str, error: type[ConcretizationError], fix: str, by: Callable[[], tuple[Where, str]] | None = None
) -> np.ndarray[Any, Any]:
    """The value of a tracer as a NumPy array, or ``error``: what was asked, where, and what to write instead.

    ``by`` knows the place, and a fix of the call that stands there, where the caller is code of a package.
    """
    try:
        return np.asarray(value_of(x))
    except _NoValue as missing:
        owner = missing.builder
        tracing, own_remedy = ("JAX", "") if owner is None else (owner.purpose, owner.remedy)
        place, instead = (where(), "") if by is None else by()
        remedy = "\n".join(dict.fromkeys(text for text in (instead, own_remedy, fix) if text))
        raise error(
            f"{asked} needs a concrete value, and this one of type {x.type} has none while it is traced by "
            f"{tracing}, at {describe_place(place)}\n{remedy}"
        ) from None


# -- values that leave a derivative ----------------------------------------------------------------------------------


def differentiators(x: Any) -> frozenset[Builder]:
    """The traces that differentiate by something that x depends on: as a plain number it would lose these derivatives.

    Each equation is looked at once in the life of its builder.
    """
    if type(x) is Result:
        return frozenset().union(*map(differentiators, x.computed.operands))
    if type(x) is not Tracer:
        return frozenset()
    builder: Builder = x.builder
    known, producers = builder.known.differentiators, builder.producers
    stack = [x.variable]
    while stack:
        var = stack[-1]
        eqn = producers[var.id]
        if var.id in known:
            stack.pop()
        elif eqn is None:
            own = [builder] if var.id in builder.known.differentiated else []
            known[var.id] = differentiators(builder.known.values.get(var.id)).union(own)
            stack.pop()
        else:
            waiting = [a for a in eqn.inputs if type(a) is Var and a.id not in known]
            if waiting:
                stack.extend(waiting)
                continue
            sources = [known[a.id] if type(a) is Var else frozenset() for a in eqn.inputs]
            for v in eqn.outputs:
                known[v.id] = frozenset()
            for source in frozenset().union(*sources):
                given = [source in s for s in sources]
                for v, depends in zip(eqn.outputs, DERIVATIVE.results(eqn, given), strict=True):
                    if depends:
                        known[v.id] |= {source}
            stack.pop()
    return known[x.variable.id]


def losing(x: Tracer) -> frozenset[Builder]:
    """The traces whose derivatives x would lose as a plain number.

    In a function with a derivative rule, and in the rule, one is spared: the innermost that differentiates by something
    that the function's arguments depend on, whose derivative it is that the rule gives. It has ended already where the
    rule is traced late, as it is differentiated.
    """
    lost = differentiators(x)
    builder = state.builder if lost else None
    while builder is not None:
        given = frozenset().union(*map(differentiators, builder.known.custom))
        if given:
            lost -= {max(given, key=_depth)}
        builder = builder.below
    return lost


def _depth(builder: Builder) -> int:
    """How many traces it was opened in."""
    depth = 0
    while builder.below is not None:
        builder, depth = builder.below, depth + 1
    return depth
