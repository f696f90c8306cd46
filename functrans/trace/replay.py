"""Replay: run a jaxpr's equations again in the current builder, as they are or through a rule.

Every forward transform is ``replay`` with a rule of its own; equations keep the user's lines they came from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from functrans.ir.program import Equation, Jaxpr, Var, Where
from functrans.trace.builder import Builder, Tracer, as_operand, bind, bind_all, state
from functrans.trace.frames import describe_place


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


def replay(
    jaxpr: Jaxpr, inputs: Sequence[Any], rule: Callable[[Equation, list[Any]], Sequence[Any]] = emit
) -> list[Any]:
    """jaxpr, values for its inputs -> values of its outputs; ``rule`` maps an equation and its operands to results."""
    values: dict[Any, Any] = entering(jaxpr, inputs)
    saved = state.where
    try:
        for eqn in jaxpr.equations:
            state.where = eqn.where
            operands = [values[a] if type(a) is Var else a for a in eqn.inputs]
            for v, x in zip(eqn.outputs, rule(eqn, operands), strict=True):
                values[v] = x
    except Exception as error:
        blame(error, eqn)
        raise
    finally:
        state.where = saved
    return [values[a] if type(a) is Var else a for a in jaxpr.outputs]


def blame(error: Exception, eqn: Equation) -> None:
    """Note on an error raised by a rule: which equation it was about and the user's line behind it."""
    note = f"in the rule for {eqn.op.name}, for the operation at {describe_place(eqn.where)}"
    if note not in getattr(error, "__notes__", ()):
        error.add_note(note)


class Backward(tuple):  # type: ignore[type-arg]
    """The place of an operation of the backward pass: that of the forward operation it belongs to.

    It differs from it in the signature by which repeated rounds are recognised (optimise.segments).
    """

    __slots__ = ()


@contextmanager
def at(place: Where) -> Iterator[None]:
    """Equations emitted inside carry this user line."""
    saved, state.where = state.where, place
    try:
        yield
    finally:
        state.where = saved


def evaluate(jaxpr: Jaxpr, arrays: Sequence[Any]) -> list[Any]:
    """The program evaluated by the operations' NumPy references."""
    values: dict[Any, Any] = dict(zip(jaxpr.inputs, arrays, strict=True))

    def read(a: Any) -> Any:
        return values[a] if a in values else a.type.dtype.type(a.value)

    for eqn in jaxpr.equations:
        outs = eqn.op.impl(*[read(a) for a in eqn.inputs])
        values.update(zip(eqn.outputs, outs if eqn.op.multiple else [outs], strict=True))
    return [read(a) for a in jaxpr.outputs]
