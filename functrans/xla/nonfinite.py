"""``debug_nans`` and ``debug_infs``: where a NaN or an infinity was born.

A program runs as ever; only if a result is bad it is run again, with a flag for each value that says whether it is bad.
From the bad results the search goes back over bad values to the first operation whose operands are all good, and if
that operation holds programs, into the run of the held program that made it. Nothing with an effect runs again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from functrans.errors import MissingRuleError, NonFiniteError
from functrans.ir.program import Equation, Jaxpr, Literal, Var, Where, live_equations
from functrans.ir.types import ArrayType, array_type, is_differentiable, type_of
from functrans.ops.arithmetic import abs_
from functrans.ops.logic import eq, ne, or_
from functrans.ops.reductions import reduce_or
from functrans.trace.effects import without_effects
from functrans.trace.frames import describe_place
from functrans.trace.primitive import describe_equation
from functrans.trace.replay import Backward, emit, replay, trace


class Kinds(NamedTuple):
    """What counts as bad."""

    nans: bool
    infs: bool

    def __str__(self) -> str:
        return "a NaN or an infinity" if self.nans and self.infs else "a NaN" if self.nans else "an infinity"


def present_kinds() -> Kinds:
    """What the configuration asks for."""
    return Kinds(bool(jax.config.jax_debug_nans), bool(jax.config.jax_debug_infs))  # type: ignore[attr-defined]


def is_bad(x: Any, kinds: Kinds) -> bool:
    """Whether a concrete array holds what is looked for."""
    if not is_differentiable(type_of(x).dtype):
        return False
    array = np.asarray(x)
    if array.dtype.kind == "V" or array.dtype.itemsize < 4:
        array = array.astype(np.float32)
    return bool((kinds.nans and np.isnan(array).any()) or (kinds.infs and np.isinf(array).any()))


def _flag(x: Any, kinds: Kinds) -> Any:
    """The same of a traced value, as a bool scalar."""
    found = None
    if kinds.nans:
        found = ne(x, x)
    if kinds.infs:
        size = abs_(x)
        infinite = eq(size, Literal(np.inf, array_type((), size.type.dtype)))
        found = infinite if found is None else or_(found, infinite)
    return reduce_or(found, tuple(range(x.type.ndim))) if x.type.ndim else found


class Birth(NamedTuple):
    """The equation in which it was born (None: it came in with input ``came_in``), its operands, and the way there."""

    equation: Equation | None
    operands: list[Any]
    came_in: int
    way: list[str]


def find(jaxpr: Jaxpr, args: Sequence[Any], kinds: Kinds, run: Any) -> Birth | None:
    """Where bad values among the results of ``jaxpr`` on ``args`` were born; ``run(jaxpr, args)`` runs a program."""
    jaxpr = without_effects(jaxpr)
    bad = _bad_variables(jaxpr, args, kinds, run)
    producers: dict[Any, Equation] = {v: eqn for eqn in jaxpr.equations for v in eqn.outputs}
    births: dict[int, Equation] = {}
    came_in: list[Var] = []
    seen: set[Any] = set()
    order = {id(eqn): i for i, eqn in enumerate(jaxpr.equations)}
    stack = [a for a in jaxpr.outputs if a in bad]
    while stack:
        var = stack.pop()
        if var in seen:
            continue
        seen.add(var)
        eqn = producers.get(var)
        if eqn is None:
            came_in.append(var)  # type: ignore[arg-type]
            continue
        sources = [a for a in eqn.inputs if a in bad]
        if sources:
            stack.extend(sources)
        else:
            births[order[id(eqn)]] = eqn
    if not births:
        return Birth(None, [], jaxpr.inputs.index(came_in[0]), []) if came_in else None
    eqn = births[min(births)]
    operands = _values(jaxpr, args, eqn.inputs, run)
    inner = _inside(eqn, operands, kinds, run)
    return inner or Birth(eqn, operands, -1, [])


def _bad_variables(jaxpr: Jaxpr, args: Sequence[Any], kinds: Kinds, run: Any) -> set[Any]:
    watched: list[Var] = []

    def function(*inputs: Any) -> list[Any]:
        flags: list[Any] = []

        def watch(v: Var, x: Any) -> None:
            if is_differentiable(v.type.dtype) and type(x) is not Literal:
                watched.append(v)
                flags.append(_flag(x, kinds))

        def rule(eqn: Equation, operands: list[Any]) -> list[Any]:
            results = emit(eqn, operands)
            for v, x in zip(eqn.outputs, results, strict=True):
                watch(v, x)
            return results

        for v, x in zip(jaxpr.inputs, inputs, strict=True):
            watch(v, x)
        replay(jaxpr, inputs, rule)
        return flags

    program, _ = trace(function, jaxpr.in_types, "the search for the birth of a NaN")
    flags = run(program, args)
    bad = {v for v, flag in zip(watched, flags, strict=True) if bool(flag)}
    numbers = [a for eqn in jaxpr.equations for a in eqn.inputs if type(a) is Literal]
    return bad | {a for a in numbers if is_differentiable(a.type.dtype) and is_bad(a.value, kinds)}


def _values(jaxpr: Jaxpr, args: Sequence[Any], atoms: Sequence[Any], run: Any) -> list[Any]:
    """The values of variables of a program."""
    wanted = list(dict.fromkeys(a for a in atoms if type(a) is Var))
    values = run(Jaxpr(jaxpr.inputs, live_equations(jaxpr.equations, wanted)[0], wanted), args)
    by_variable = dict(zip(wanted, values, strict=True))
    return [by_variable[a] if type(a) is Var else np.asarray(a.value, a.type.dtype) for a in atoms]


def _inside(eqn: Equation, operands: Sequence[Any], kinds: Kinds, run: Any) -> Birth | None:
    """The birth inside a program that the operation holds: in the first run of one that makes bad values of good."""
    runs = eqn.op.runs(operands)
    if runs is None:
        return None
    count: dict[Jaxpr, int] = {}
    try:
        jaxpr, args = next(runs)
        while True:
            jaxpr = without_effects(jaxpr)
            results = run(jaxpr, args)
            if any(is_bad(x, kinds) for x in results):
                found = find(jaxpr, args, kinds, run)
                if found is None or found.equation is None:
                    return None
                return found._replace(way=[_way(eqn, count.get(jaxpr, 0)), *found.way])
            count[jaxpr] = count.get(jaxpr, 0) + 1
            jaxpr, args = runs.send(results)
    except StopIteration:
        return None


def _way(eqn: Equation, step: int) -> str:
    return f"in {f'step {step} of ' if step else ''}{eqn.op.name} at {_place(eqn.where)}"


def _place(place: Where) -> str:
    return f"{'the backward pass of ' if isinstance(place, Backward) else ''}{describe_place(place)}"


def explain(jaxpr: Jaxpr, args: Sequence[Any], kinds: Kinds, run: Any, name: str) -> NonFiniteError:
    """The error about bad values among the results of a program: where they were born, and of which operands."""
    head = f"{kinds} among the results of {name}"
    try:
        birth = find(jaxpr, args, kinds, run)
    except MissingRuleError:
        return NonFiniteError(f"{head}; it cannot be run again to find the place, because it does input and output")
    if birth is None:
        return NonFiniteError(f"{head}; run again operation by operation it was not found")
    if birth.equation is None:
        return NonFiniteError(f"{head}: it came in with input {birth.came_in} ({jaxpr.in_types[birth.came_in]})")
    eqn = birth.equation
    where = "in the backward pass, for the operation at" if isinstance(eqn.where, Backward) else "at"
    way = "".join([f"\n  {line}" for line in birth.way])
    return NonFiniteError(
        f"{head}: {kinds} was born in {eqn.op.name}, {where} {describe_place(eqn.where)}\n"
        f"  {_account(eqn, birth.operands, kinds, run)}{way}"
    )


def _account(eqn: Equation, operands: Sequence[Any], kinds: Kinds, run: Any) -> str:
    """The operands of the first bad element where they can be told, else the types."""
    types: list[ArrayType] = [x.type for x in eqn.inputs]
    outs = eqn.outputs
    if eqn.op.holds_jaxprs:
        return f"{', '.join([str(t) for t in types])} -> {', '.join([str(v.type) for v in outs])}"
    if len(outs) != 1 or not all(t.shape in ((), outs[0].type.shape) for t in types):
        return describe_equation(eqn)
    given = {a: x for a, x in zip(eqn.inputs, operands, strict=True) if type(a) is Var}
    result = np.asarray(run(Jaxpr(list(given), [eqn], outs), list(given.values()))[0])
    wrong = [i for i in np.ndindex(result.shape) if is_bad(result[i], kinds)]
    if not wrong:
        return describe_equation(eqn)
    at = wrong[0]
    elements = [np.asarray(x)[at] if np.ndim(x) else np.asarray(x)[()] for x in operands]
    index = f" at index {tuple(int(i) for i in at)}" if at else ""
    return f"{eqn.op.name}({', '.join(map(str, elements))}) = {result[at]}{index}"
