"""Replay: emit a jaxpr's equations again in the current builder, as they are or through a rule.

Every forward transform is ``replay`` with a rule of its own, and what it has to remember from equation to equation. The
backward walk of transposition stands in the same ``again``, by which equations keep the user's lines they came from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from functrans.ir.program import Equation, Jaxpr, Var, Where
from functrans.trace.binding import as_operand, bind, bind_all
from functrans.trace.builder import Builder
from functrans.trace.frames import describe_place
from functrans.trace.state import surroundings
from functrans.trace.tracer import Tracer


def trace(
    function: Callable[..., Sequence[Any]], types: Sequence[Any], purpose: str, **options: Any
) -> tuple[Jaxpr, list[Any]]:
    """(types of the inputs) -> the jaxpr of a flat function, and the values it captured (its leading inputs)."""
    with Builder(purpose, **options) as builder:
        inputs = [builder.new_input(t) for t in types]
        outputs = [builder.output(x) for x in function(*inputs)]
        return builder.finish(outputs)


def emit(eqn: Equation, operands: Sequence[Any]) -> list[Any]:
    """The equation again, on other operands."""
    return bind_all(eqn.op, operands) if eqn.op.multiple else [bind(eqn.op, *operands)]


def entering(jaxpr: Jaxpr, inputs: Sequence[Any]) -> dict[Any, Any]:
    """The values of a program's inputs, as rules may meet them (see trace.primitive): where a transform begins."""
    return {
        v: x if type(x) is Tracer else as_operand(x, v.type) for v, x in zip(jaxpr.inputs, inputs, strict=True)
    }


class again:
    """Around a loop that emits equations again: each at the place where the user wrote it, and named by an error.

        with again() as now:
            for eqn in equations:
                now.equation, now.inside.place = eqn, eqn.where
    """

    __slots__ = ("equation", "inside", "outer")

    def __init__(self) -> None:
        self.inside = surroundings()
        self.outer = self.inside.place
        self.equation: Equation | None = None

    def __enter__(self) -> again:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self.inside.place = self.outer
        eqn = self.equation
        if isinstance(error, Exception) and eqn is not None:
            note = f"in the rule for {eqn.op.name}, for the operation at {describe_place(eqn.where)}"
            if note not in getattr(error, "__notes__", ()):
                error.add_note(note)


def replay(
    jaxpr: Jaxpr, inputs: Sequence[Any], rule: Callable[[Equation, list[Any]], Sequence[Any]] = emit
) -> list[Any]:
    """jaxpr, values for its inputs -> values of its outputs; ``rule`` maps an equation and its operands to results."""
    values = replay_into(entering(jaxpr, inputs), jaxpr.equations, rule)
    return [values[a] if type(a) is Var else a for a in jaxpr.outputs]


def replay_into(
    values: dict[Any, Any], equations: Iterable[Equation], rule: Callable[[Equation, list[Any]], Sequence[Any]] = emit
) -> dict[Any, Any]:
    """The values by variable, with those of the equations' results added to them."""
    with again() as now:
        inside = now.inside
        for eqn in equations:
            now.equation = eqn
            inside.place = eqn.where
            results = rule(eqn, [values[a] if type(a) is Var else a for a in eqn.inputs])
            for v, x in zip(eqn.outputs, results, strict=True):
                values[v] = x
    return values


def replay_here(jaxpr: Jaxpr, inputs: Sequence[Any]) -> list[Any]:
    """As ``replay``; the equations belong to the user's present line, not to those where they were first emitted."""
    values = entering(jaxpr, inputs)
    for eqn in jaxpr.equations:
        operands = [values[a] if type(a) is Var else a for a in eqn.inputs]
        if eqn.op.multiple:
            values.update(zip(eqn.outputs, bind_all(eqn.op, operands), strict=True))
        else:
            values[eqn.outputs[0]] = bind(eqn.op, *operands)
    return [values[a] if type(a) is Var else a for a in jaxpr.outputs]


class Backward(tuple):  # type: ignore[type-arg]
    """The place of an operation of the backward pass: that of the forward operation it belongs to.

    It differs from it in the signature by which repeated rounds are recognised (optimise.segments).
    """

    __slots__ = ()


@contextmanager
def at(place: Where) -> Iterator[None]:
    """Equations emitted inside carry this user line."""
    inside = surroundings()
    outer, inside.place = inside.place, place
    try:
        yield
    finally:
        inside.place = outer


def evaluate(jaxpr: Jaxpr, arrays: Sequence[Any]) -> list[Any]:
    """The program evaluated by the operations' NumPy references."""
    values: dict[Any, Any] = dict(zip(jaxpr.inputs, arrays, strict=True))

    def read(a: Any) -> Any:
        return values[a] if a in values else a.type.dtype.type(a.value)

    for eqn in jaxpr.equations:
        outs = eqn.op.impl(*[read(a) for a in eqn.inputs])
        values.update(zip(eqn.outputs, outs if eqn.op.multiple else [outs], strict=True))
    return [read(a) for a in jaxpr.outputs]
