"""Transposition.  transpose : (r, a -o b) -> (r, b -o a)

A backward walk over a linear program: the cotangent of a variable is the sum of what its uses send back.

    linear(u, a, b; t): db = mul t u; v = mul db a; w = mul t b; dc = add v w        becomes, for cotangent k of dc,

    m = mul k b;  n = mul k a;  p = mul n u;  dt = add m p

A cotangent of ``None`` is zero. Equations that depend on no linear input are residuals computed late: emitted forward.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from functrans.errors import NotLinearError
from functrans.ir.program import Equation, Jaxpr, Var
from functrans.ops.constants import trace_closed
from functrans.ops.elementwise import DIV, MUL, add
from functrans.trace.builder import as_operand, state
from functrans.trace.frames import describe_place
from functrans.trace.primitive import Linear, Primitive
from functrans.trace.replay import Backward, blame, emit


def transpose(jaxpr: Jaxpr, operands: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
    """Cotangents of the outputs (None: zero) -> cotangents of the linear inputs, in order.

    ``operands``: a value for each nonlinear input, a ``Linear`` for each linear one.
    """
    values: dict[Any, Any] = {}
    linear: set[Any] = set()
    for v, x in zip(jaxpr.inputs, operands, strict=True):
        if type(x) is Linear:
            linear.add(v)
        else:
            values[v] = as_operand(x, v.type)
    saved = state.where
    try:
        backward: list[Equation] = []
        for eqn in jaxpr.equations:
            if any(a in linear for a in eqn.inputs):
                linear.update(eqn.outputs)
                backward.append(eqn)
                continue
            state.where = eqn.where
            ins = [values[a] if type(a) is Var else a for a in eqn.inputs]
            values.update(zip(eqn.outputs, emit(eqn, ins), strict=True))
        pending: dict[Any, Any] = {}

        def send(a: Any, cotangent: Any) -> None:
            if cotangent is not None:
                known = pending.get(a)
                pending[a] = cotangent if known is None else add(known, cotangent)

        for a, ct in zip(jaxpr.outputs, cotangents, strict=True):
            if ct is not None and a in linear:
                send(a, as_operand(ct, a.type))
        for eqn in reversed(backward):
            cts = [pending.pop(v, None) for v in eqn.outputs]
            if all(ct is None for ct in cts):
                continue
            state.where = None if eqn.where is None else Backward(eqn.where)
            ins = [Linear(a.type) if a in linear else values[a] if type(a) is Var else a for a in eqn.inputs]
            check_rule_is_linear(eqn.op, eqn, ins)
            sent = eqn.op.transpose(cts if eqn.op.multiple else cts[0], *ins)
            for a, ct in zip(eqn.inputs, sent, strict=True):
                if ct is not None and a in linear:
                    send(a, ct)
    except Exception as error:
        blame(error, eqn)
        raise
    finally:
        state.where = saved
    return [pending.get(v) for v in jaxpr.inputs if v in linear]


def check_rule_is_linear(op: Primitive, eqn: Equation, operands: Sequence[Any]) -> None:
    """Blame the equation when its operation has no transpose rule at all."""
    if type(op).transpose is Primitive.transpose:
        raise NotLinearError(
            f"{op.name} at {describe_place(eqn.where)} stands in a program that has to be linear, and it is not linear "
            f"(or class {type(op).__qualname__} lacks a transpose rule). If this came from the derivative rule of a "
            "primitive, that rule is at fault: tangents may only be added, scaled and rearranged."
        )


def check_linear(jaxpr: Jaxpr, linear: Sequence[bool], what: str) -> None:
    """Raise NotLinearError, naming the operation, unless the program is linear in these inputs taken together.

    Decided by the operations: an operation without a transpose rule is not linear, and a product of two values that
    depend on the inputs is not.
    """
    dependent = {v for v, is_linear in zip(jaxpr.inputs, linear, strict=True) if is_linear}
    for eqn in jaxpr.equations:
        places = [i for i, a in enumerate(eqn.inputs) if a in dependent]
        if not places:
            continue
        op = eqn.op
        if op.holds_jaxprs:
            dependent.update(_dependent_results(eqn, [a in dependent for a in eqn.inputs]))
            continue
        dependent.update(eqn.outputs)
        product = op in (MUL,) or type(op).__name__ == "DotGeneral"
        if type(op).transpose is Primitive.transpose or (product and len(places) > 1) or (op is DIV and 1 in places):
            raise NotLinearError(
                f"{what} must be linear in the tangents, and {op.name} at {describe_place(eqn.where)} is not: tangents "
                "may only be added, scaled by other values and rearranged"
            )


def _dependent_results(eqn: Equation, given: Sequence[bool]) -> list[Var]:
    """The results of an operation that holds programs which depend on the given operands; of a call these are known,
    of another operation all are taken to.
    """
    if type(eqn.op).__name__ != "Call":
        return list(eqn.outputs)
    jaxpr: Jaxpr = eqn.op.jaxpr  # type: ignore[attr-defined]
    return [v for v, depends in zip(eqn.outputs, dependent_outputs(jaxpr, given), strict=True) if depends]


def dependent_outputs(jaxpr: Jaxpr, given: Sequence[bool]) -> list[bool]:
    """Which outputs of a program depend on the given inputs."""
    dependent = {v for v, flag in zip(jaxpr.inputs, given, strict=True) if flag}
    for eqn in jaxpr.equations:
        flags = [a in dependent for a in eqn.inputs]
        if any(flags):
            dependent.update(_dependent_results(eqn, flags) if eqn.op.holds_jaxprs else eqn.outputs)
    return [a in dependent for a in jaxpr.outputs]


def transpose_jaxpr(jaxpr: Jaxpr, linear: Sequence[bool], nonzero: Sequence[bool]) -> tuple[Jaxpr, tuple[bool, ...]]:
    """The program (nonlinear inputs, nonzero cotangents) -> nonzero cotangents of the linear inputs, and which those
    are.

    Remembered on the jaxpr.
    """
    linear, nonzero = tuple(linear), tuple(nonzero)
    memo_key = ("transpose", linear, nonzero)
    if memo_key in jaxpr.memo:
        return jaxpr.memo[memo_key]  # type: ignore[no-any-return]
    has: list[bool] = []

    def function(*inputs: Any) -> list[Any]:
        rest = iter(inputs)
        operands = [
            Linear(v.type) if is_linear else next(rest) for v, is_linear in zip(jaxpr.inputs, linear, strict=True)
        ]
        cts = transpose(jaxpr, operands, [next(rest) if nz else None for nz in nonzero])
        has.extend(ct is not None for ct in cts)
        return [ct for ct in cts if ct is not None]

    types = [t for t, is_linear in zip(jaxpr.in_types, linear, strict=True) if not is_linear]
    types += [t for t, nz in zip(jaxpr.out_types, nonzero, strict=True) if nz]
    program = trace_closed(function, types, "transpose of a program")
    jaxpr.memo[memo_key] = program, tuple(has)
    return program, tuple(has)
