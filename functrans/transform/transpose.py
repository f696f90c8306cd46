"""Transposition.  transpose : (r, a -o b) -> (r, b -o a)

A backward walk over a linear program: the cotangent of a variable is the sum of what its uses send back.

    linear(u, a, b; t): db = mul t u; v = mul db a; w = mul t b; dc = add v w        becomes, for cotangent k of dc,

    m = mul k b;  n = mul k a;  p = mul n u;  dt = add m p

A cotangent of ``None`` is zero. What depends on no linear input is a residual computed late: emitted forward, be it an
equation or some results of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from functrans.errors import NotLinearError
from functrans.ir.program import Equation, Jaxpr, Literal, Var, all_equations
from functrans.ir.types import ArrayType, is_differentiable
from functrans.ops.constants import trace_closed
from functrans.ops.elementwise import add
from functrans.trace.binding import as_operand
from functrans.trace.dependence import VALUE
from functrans.trace.frames import describe_place
from functrans.trace.primitive import Linear, Primitive
from functrans.trace.replay import Backward, again, evaluate, replay_into
from functrans.transform.jvp import jvp_jaxpr


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
    forward, backward = _divided(jaxpr.equations, linear)
    replay_into(values, forward)
    pending: dict[Any, Any] = {}

    def send(a: Any, cotangent: Any) -> None:
        if cotangent is not None:
            known = pending.get(a)
            pending[a] = cotangent if known is None else add(known, cotangent)

    for a, ct in zip(jaxpr.outputs, cotangents, strict=True):
        if ct is not None and a in linear:
            send(a, as_operand(ct, a.type))
    with again() as now:
        for eqn in reversed(backward):
            cts = [pending.pop(v, None) for v in eqn.outputs]
            if all(ct is None for ct in cts):
                continue
            now.equation = eqn
            now.inside.place = None if eqn.where is None else Backward(eqn.where)
            ins = [Linear(a.type) if a in linear else values[a] if type(a) is Var else a for a in eqn.inputs]
            for a, ct in zip(eqn.inputs, _sent_back(eqn, cts, ins), strict=True):
                if ct is not None and a in linear:
                    send(a, ct)
    return [pending.get(v) for v in jaxpr.inputs if v in linear]


def _divided(equations: Sequence[Equation], linear: set[Any]) -> tuple[list[Equation], list[Equation]]:
    """What depends on no linear variable and what does, in order; the results of these join ``linear``."""
    forward: list[Equation] = []
    backward: list[Equation] = []
    for eqn in equations:
        if linear.isdisjoint(eqn.inputs):
            forward.append(eqn)
            continue
        backward.append(eqn)
        rest = _independent(eqn, linear) if eqn.op.holds_jaxprs else None
        if rest is None:
            linear.update(eqn.outputs)
        else:
            forward.append(rest)
            linear.update([v for v in eqn.outputs if v not in rest.outputs])
    return forward, backward


def _independent(eqn: Equation, linear: set[Any]) -> Equation | None:
    """The equation with the results alone that depend on no linear operand; None where there are none, or the operation
    cannot leave out the others.
    """
    dependent = VALUE.results(eqn, [a in linear for a in eqn.inputs])
    found = None if all(dependent) else eqn.op.narrowed(tuple([not d for d in dependent]))
    if found is None:
        return None
    op, operands, results = found
    inputs = [eqn.inputs[i] for i in operands]
    if any(a in linear for a in inputs):
        return None
    return Equation(op, inputs, tuple([eqn.outputs[i] for i in results]), eqn.where)


def _sent_back(eqn: Equation, cotangents: Sequence[Any], operands: Sequence[Any]) -> Sequence[Any]:
    """What the operation's transpose rule says; an error that it is not linear names the equation.

    The rule is the judge of linearity: one that needs the value of a linear operand is refused it.
    """
    op = eqn.op
    try:
        if type(op).transpose is Primitive.transpose:
            raise NotLinearError(
                f"{op.name} at {describe_place(eqn.where)} stands in a program that has to be linear, and it is not "
                f"linear (or class {type(op).__qualname__} lacks a transpose rule). If this came from the derivative "
                "rule of a primitive, that rule is at fault: tangents may only be added, scaled and rearranged."
            )
        for x in () if op.holds_jaxprs else operands:
            if type(x) is Linear and x.type.dtype.kind in "biu" and is_differentiable(eqn.outputs[0].type.dtype):
                raise NotLinearError(
                    f"{op.name} at {describe_place(eqn.where)} stands in a program that has to be linear, and what it "
                    "chooses, or where it reads or writes, depends on the linear inputs."
                )
        return op.transpose(cotangents if op.multiple else cotangents[0], *operands)
    except NotLinearError as error:
        error.equation = error.equation or eqn
        raise


def dependent_part(jaxpr: Jaxpr, given: Sequence[bool]) -> tuple[Jaxpr, tuple[bool, ...]]:
    """The equations that depend on the given inputs, as a program in the values they need and those, and which inputs
    of it are the given ones. Constants that they need are made in it: a zero that is added is no offset.
    """
    dependent: dict[Any, bool] = {v: True for v, g in zip(jaxpr.inputs, given, strict=True) if g}
    needed: dict[Any, bool] = {}
    constants: dict[Any, Equation] = {}
    kept: list[Equation] = []
    for eqn in jaxpr.equations:
        flags = [a in dependent for a in eqn.inputs]
        if all(type(a) is Literal for a in eqn.inputs) and not eqn.op.effects:
            constants.update((v, eqn) for v in eqn.outputs)
        if any(flags):
            kept.append(eqn)
            needed.update((a, False) for a, f in zip(eqn.inputs, flags, strict=True) if not f and type(a) is Var)
            dependent.update((v, True) for v, d in zip(eqn.outputs, VALUE.results(eqn, flags), strict=True) if d)
    kept = [*dict.fromkeys([constants[v] for v in needed if v in constants]), *kept]
    for eqn in kept:  # a result of theirs that does not depend
        for v in eqn.outputs:
            needed.pop(v, None)
    inputs = [*needed, *[v for v, g in zip(jaxpr.inputs, given, strict=True) if g]]
    outputs = [a for a in jaxpr.outputs if a in dependent]
    return Jaxpr(inputs, kept, outputs), (*[False] * len(needed), *[True] * (len(inputs) - len(needed)))


def check_linear(jaxpr: Jaxpr, linear: Sequence[bool], what: str) -> None:
    """Raise NotLinearError, naming the operation, unless the program is linear in these inputs taken together.

    It is if it can be transposed. Where an operation refuses that (a loop of unknown length, an operation of another
    library), which matters only to somebody who takes it, the derivative decides: that of a linear program does not
    depend on the inputs; nor does that of an offset, for which the program is tried at zero.
    """
    try:
        transpose_jaxpr(jaxpr, linear, VALUE.outputs(jaxpr, linear))
    except NotLinearError as error:
        eqn = error.equation
        raise NotLinearError(
            f"{what} must be linear in the tangents, and {eqn.op.name} at {describe_place(eqn.where)} is not: tangents "
            "may only be added, scaled by other values and rearranged"
        ) from None
    except Exception:
        place = describe_place(jaxpr.equations[-1].where)
        if _bends(jaxpr, linear):
            raise NotLinearError(
                f"{what} must be linear in the tangents, and what it gives at {place} has a derivative that depends on "
                "them: tangents may only be added, scaled by other values and rearranged"
            ) from None
        if offset_at_zero(jaxpr, linear) is not None:
            raise NotLinearError(
                f"{what} must be linear in the tangents, and what it gives at {place} is not zero where they are: "
                "tangents may only be added, scaled by other values and rearranged"
            ) from None


_MOST_PROBED = 2**20  # elements that are computed to see whether they are zeros


def check_no_offset(jaxpr: Jaxpr, what: str) -> None:
    """Raise NotLinearError, naming the operation, where results that depend on no linear input are not zero.

    Who forgot to multiply by the tangent would get a gradient of zero. A zero may be computed from other values
    (``0 * x``): it is tried at some.
    """
    a = offset_at_zero(jaxpr, [False] * len(jaxpr.inputs))
    if a is not None:
        place = next((eqn.where for eqn in jaxpr.equations if a in eqn.outputs), None)
        raise NotLinearError(
            f"{what} must be linear in the tangents, and a tangent that it returns depends on none of them and is "
            f"not zero, at {describe_place(place)}\nMultiply it by the tangent; for zero return zeros_like."
        )


def offset_at_zero(jaxpr: Jaxpr, linear: Sequence[bool]) -> Any:
    """The first result that is not zero where these inputs are, tried at some values of the others; None without one.

    What cannot be tried (a callback, an operation of another library) is believed to be zero.
    """
    if any(eqn.op.unknown or eqn.op.effects for eqn in all_equations(jaxpr)):
        return None
    variables = [*jaxpr.inputs, *[v for eqn in jaxpr.equations for v in eqn.outputs]]
    if sum(v.type.size for v in variables) > _MOST_PROBED:
        return None
    at = [
        np.zeros(v.type.shape, v.type.dtype) if flag else _some(v.type)
        for v, flag in zip(jaxpr.inputs, linear, strict=True)
    ]
    try:
        with np.errstate(all="ignore"):
            found = evaluate(jaxpr, at)
    except Exception:  # nobody can compute it from these values
        return None
    for a, x in zip(jaxpr.outputs, found, strict=True):
        if np.any((x != 0) & (x == x)):  # NaN is 0 times infinity
            return a
    return None


def _some(type_: ArrayType) -> np.ndarray[Any, Any]:
    """Numbers between 0 and 1, or ones, that no operation singles out."""
    if not is_differentiable(type_.dtype):
        return np.ones(type_.shape, type_.dtype)
    return np.asarray(0.6 + 0.3 * np.cos(np.arange(type_.size).reshape(type_.shape))).astype(type_.dtype)


def _bends(jaxpr: Jaxpr, linear: Sequence[bool]) -> bool:
    """Whether the derivative by these inputs depends on them; False where there is none, or where nobody knows."""
    try:
        program, has = jvp_jaxpr(jaxpr, linear)
    except Exception:  # nobody can differentiate it
        return False
    if any(eqn.op.unknown for eqn in all_equations(program)):
        return False
    slopes = VALUE.outputs(program, [*linear, *[False] * sum(linear)])[len(jaxpr.outputs) :]
    flat = [d and not h for d, h in zip(VALUE.outputs(jaxpr, linear), has, strict=True)]  # constant in pieces
    return any(slopes) or any(flat)


def transpose_jaxpr(jaxpr: Jaxpr, linear: Sequence[bool], nonzero: Sequence[bool]) -> tuple[Jaxpr, tuple[bool, ...]]:
    """The program (nonlinear inputs, nonzero cotangents) -> nonzero cotangents of the linear inputs, and which those
    are.

    Remembered on the jaxpr.
    """
    linear, nonzero = tuple(linear), tuple(nonzero)
    return jaxpr.remember(("transpose", linear, nonzero), lambda: _transposed(jaxpr, linear, nonzero))


def _transposed(jaxpr: Jaxpr, linear: Sequence[bool], nonzero: Sequence[bool]) -> tuple[Jaxpr, tuple[bool, ...]]:
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
    return program, tuple(has)
