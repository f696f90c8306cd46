"""Values on demand: the number behind a tracer, where there is one.

In an un-jitted call the inputs of a trace keep their concrete values. ``bool(x)``, ``float(x)``, ``int(x)``,
``x.item()``, ``print(x)``, ``np.asarray(x)`` run the equations that x needs, once, and remember what the user's code
still holds on to. Inputs traced by ``jit``, by ``vmap`` or for the body of a loop have no value: the error says so.

A number that leaves a trace is a constant to it. Where that is locally true (``bool``, ``int``, printing) the value is
given; where a derivative would be lost in silence (``float``, ``np.asarray``) an error is raised.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np

from functrans.errors import (
    ConcretizationError,
    DifferentiatedValueError,
    InternalError,
    TracerArrayConversionError,
    TracerBoolConversionError,
    TracerIntegerConversionError,
)
from functrans.ir.program import Equation, Jaxpr, Literal, Var
from functrans.ir.types import kind_of
from functrans.trace.builder import Builder, Tracer, escaped, outside_of_traces, state
from functrans.trace.dependence import DERIVATIVE
from functrans.trace.frames import describe_place, formats_text, users_call, where


class _NoValue(Exception):
    """Raised inside the sweep when an input without a value is met."""

    def __init__(self, builder: Builder) -> None:
        self.builder = builder


def _no_engine(jaxpr: Jaxpr, args: Sequence[Any]) -> list[Any]:
    raise InternalError("no execution engine is installed")


_run: Callable[[Jaxpr, Sequence[Any]], list[Any]] = _no_engine


def set_program_runner(runner: Callable[[Jaxpr, Sequence[Any]], list[Any]]) -> None:
    """Install what runs a program on concrete values."""
    global _run
    _run = runner


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
            values: dict[Any, Any] = dict(zip(jaxpr.inputs, [value_of(x) for x in self.operands], strict=True))
            made = list(dict.fromkeys([a for a in jaxpr.outputs if type(a) is Var and a not in values]))
            if made:
                results = outside_of_traces(_run, Jaxpr(jaxpr.inputs, jaxpr.equations, made), list(values.values()))
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
    kind = type(x)
    if kind is Result:
        return x.computed.value(x.i)
    if kind is Literal:
        return np.asarray(x.value, x.type.dtype)
    if kind is not Tracer:
        return x
    builder: Builder = x.builder
    if not builder.open:
        if x.variable.id not in builder.values:
            raise escaped(x)
        return value_of(builder.values[x.variable.id])
    if builder.climbs and x.variable.id not in builder.values:
        raise _NoValue(builder)
    if x.variable.id not in builder.values:
        _sweep(builder, x.variable)
    return value_of(builder.values[x.variable.id])


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
        if outer.performs and outer.effects:
            _run_equations(outer, None)
    _run_equations(builder, wanted)


def _run_equations(builder: Builder, wanted: Var | None) -> None:
    values, producers = builder.values, builder.producers
    effects = list(builder.effects) if builder.performs else []
    needed: list[tuple[float, Equation]] = list(effects)
    inputs: dict[int, Var] = {}
    seen: set[int] = {v.id for _, eqn in effects for v in eqn.outputs}
    stack = [a for _, eqn in effects for a in eqn.inputs if type(a) is Var]
    if wanted is not None:
        stack.append(wanted)
    while stack:
        var = stack.pop()
        if var.id in seen:
            continue
        seen.add(var.id)
        if var.id in values:
            inputs[var.id] = var
            continue
        eqn = producers[var.id]
        if eqn is None or eqn.op.effects:
            raise _NoValue(builder)
        seen.update(v.id for v in eqn.outputs)
        needed.append((eqn.outputs[0].id, eqn))
        stack.extend(a for a in eqn.inputs if type(a) is Var)
    needed.sort(key=lambda item: item[0])
    equations = [eqn for _, eqn in needed]
    free = list(inputs.values())
    arguments = [value_of(values[v.id]) for v in free]
    kept = [v for eqn in equations for v in eqn.outputs if v is wanted or eqn.op.effects or _held(builder, eqn, v)]
    builder.effects = [] if builder.performs else builder.effects  # even if one fails: none happens twice
    saved, state.builder = state.builder, None  # the sweep itself is not part of any trace
    try:
        results = _run(Jaxpr(free, equations, kept), arguments)
    finally:
        state.builder = saved
    for v, result in zip(kept, results, strict=True):
        values[v.id] = result
    for place, eqn in effects:
        builder.perform(place, eqn, [values[v.id] for v in eqn.outputs])
    builder.segments.append(len(builder.equations))


_BUILDER_REFERENCES = 3  # the list of tracers, the table of shared operations, the call to getrefcount


def _held(builder: Builder, eqn: Equation, var: Var) -> bool:
    """Whether anything besides the builder refers to the tracer of this variable (a hint: recomputing is always right).
    """
    return sys.getrefcount(builder.tracers[var.id]) > _BUILDER_REFERENCES


def concrete(x: Any) -> Any:
    """The NumPy value of x where it is known without running anything, else None."""
    if type(x) is Literal:
        return np.asarray(x.value, x.type.dtype)
    if type(x) is Result:
        return None
    if type(x) is not Tracer:
        return np.asarray(x)
    known = x.builder.values.get(x.variable.id)
    return None if known is None else concrete(known)


def obtainable(x: Any) -> Any:
    """The NumPy value of x, computed if need be, where user code could ask for it; else None."""
    try:
        return np.asarray(value_of(x))
    except _NoValue:
        return None


def demand(x: Tracer, asked: str, error: type[ConcretizationError], fix: str) -> np.ndarray[Any, Any]:
    """The value of a tracer as a NumPy array, or ``error``: what was asked, where, and what to write instead."""
    try:
        return np.asarray(value_of(x))
    except _NoValue as missing:
        owner = missing.builder
        remedy = "\n".join(dict.fromkeys(text for text in (owner.remedy, fix) if text))
        raise error(
            f"{asked} needs a concrete value, and this one of type {x.type} has none while it is traced by "
            f"{owner.purpose}, at {describe_place(where())}\n{remedy}"
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
    known, producers = builder.differentiators, builder.producers
    stack = [x.variable]
    while stack:
        var = stack[-1]
        eqn = producers[var.id]
        if var.id in known:
            stack.pop()
        elif eqn is None:
            own = [builder] if var.id in builder.differentiated else []
            known[var.id] = differentiators(builder.values.get(var.id)).union(own)
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

    In a function with a derivative rule, and in the rule, one of them is spared: the innermost outside of it, whose
    derivative it is that the rule gives.
    """
    lost = differentiators(x)
    if not lost:
        return lost
    stack: list[Builder] = []
    builder = state.builder
    while builder is not None:
        stack.append(builder)
        builder = builder.parent
    spared = set()
    for i, inner in enumerate(stack):
        if inner.custom:
            spared.update([outer for outer in stack[i + 1 :] if outer in lost][:1])
    return lost - spared


def _number(x: Tracer, asked: str) -> np.ndarray[Any, Any]:
    """The value of x as a plain number or array, which has no derivative."""
    value = demand(x, asked, TracerArrayConversionError, _NUMBER)
    lost = losing(x)
    if lost:
        place, called = users_call()
        counterpart = _counterpart(called) if called else None
        fix = f"Call {counterpart} instead of {called}. " if counterpart else ""
        raise DifferentiatedValueError(
            f"{asked} makes a constant of a value that is being differentiated "
            f"({', '.join(sorted(b.purpose for b in lost))}), and its derivative would be lost, at "
            f"{describe_place(place)}\n{fix}Keep it an array (functrans.numpy functions and operators take it); where "
            "a constant is meant, say so with functrans.lax.stop_gradient(x)."
        )
    return value


def _no_counterpart(name: str) -> str | None:
    return None


_counterpart: Callable[[str], str | None] = _no_counterpart


def set_counterparts(find: Callable[[str], str | None]) -> None:
    """Install what knows the function of functrans for the name of one of NumPy or the math module."""
    global _counterpart
    _counterpart = find


_BRANCH = (
    "Use functrans.lax.cond or functrans.numpy.where to choose, functrans.lax.while_loop to repeat, or mark the "
    "argument with static_argnums if it is a plain Python value; combine conditions with & | ~ or "
    "functrans.numpy.logical_and, logical_or, logical_not. (Without jit, vmap or a loop around it, un-jitted grad, jvp "
    "and vjp do allow Python control flow on values.)"
)
_NUMBER = (
    "Keep it an array (functrans.numpy functions take it), return it as an extra result (has_aux=True), or mark the "
    "argument with static_argnums if it is a plain Python value."
)
_INDEX = (
    "A Python list, range or shape needs a static integer: make the list an array (functrans.numpy.asarray(list)[i]) "
    "or choose with functrans.lax.switch; use functrans.numpy indexing or functrans.lax.dynamic_slice, "
    "functrans.lax.fori_loop for the loop, or static_argnums for the argument."
)


def _bool(self: Tracer) -> bool:
    if self.type.size != 1:
        raise ValueError(
            f"the truth value of an array of shape {self.type.shape} is ambiguous at {describe_place(where())}\n"
            "Use functrans.numpy.any or functrans.numpy.all."
        )
    return bool(
        demand(self, "bool() (an `if`, `while`, `and`, `or`, `not`)", TracerBoolConversionError, _BRANCH).reshape(())
    )


def _check_scalar(self: Tracer, asked: str) -> None:
    if self.type.shape != ():
        raise TypeError(
            f"{asked} needs a scalar, and this array has shape {self.type.shape}, at {describe_place(where())}"
        )


def _float(self: Tracer) -> float:
    _check_scalar(self, "float()")
    if formats_text(1):  # "%f" % x: for the eye, like format()
        return float(demand(self, "float()", TracerArrayConversionError, _NUMBER)[()])
    return float(_number(self, "float()")[()])


def _int(self: Tracer) -> int:
    _check_scalar(self, "int()")
    return int(demand(self, "int()", TracerIntegerConversionError, _NUMBER)[()])


def _complex(self: Tracer) -> complex:
    _check_scalar(self, "complex()")
    return complex(_number(self, "complex()")[()])


def _index(self: Tracer) -> int:
    if kind_of(self.type.dtype) not in "iu":
        raise TypeError(f"only integer scalars can be used as an index; got {self.type} at {describe_place(where())}")
    _check_scalar(self, "an index or range()")
    return int(demand(self, "an index or range()", TracerIntegerConversionError, _INDEX)[()])


def _array(self: Tracer, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
    value = _number(self, "np.asarray()")
    return value if dtype is None else value.astype(dtype)


def _item(self: Tracer, *args: int) -> Any:
    return _number(self, ".item()").item(*args)


def _tolist(self: Tracer) -> Any:
    return _number(self, ".tolist()").tolist()


def _format(self: Tracer, spec: str) -> str:
    if not spec:
        return str(self)
    return format(demand(self, f"format(x, {spec!r})", TracerArrayConversionError, _NUMBER)[()], spec)


def _repr(self: Tracer) -> str:
    try:
        value = np.asarray(value_of(self)) if self.builder.open else None
    except _NoValue:
        value = None
    if value is None:
        return f"Tracer<{self.type}>"
    text = np.array2string(value, separator=", ", prefix="Tracer<", threshold=200) if value.ndim else str(value)
    return f"Tracer<{self.type}, value={text}>"


def _no_hash(self: Tracer) -> NoReturn:
    raise TypeError(
        "a traced value cannot be hashed (arrays cannot either): its value is not known while tracing. Use a static "
        f"argument for dictionary keys. At {describe_place(where())}"
    )


def _no_pickle(self: Tracer, protocol: int) -> NoReturn:
    raise TypeError(
        f"a traced value of type {self.type} cannot be pickled: it means something only inside the trace, "
        f"{self.builder.purpose}, at {describe_place(where())}\nReturn it from the function and pickle the result."
    )


def _block_until_ready(self: Tracer) -> Tracer:
    return self


for _name, _method in {
    "__bool__": _bool, "__float__": _float, "__int__": _int, "__complex__": _complex, "__index__": _index,
    "__array__": _array, "item": _item, "tolist": _tolist, "__format__": _format, "__repr__": _repr,
    "__hash__": _no_hash, "__reduce_ex__": _no_pickle, "block_until_ready": _block_until_ready,
}.items():  # fmt: skip
    setattr(Tracer, _name, _method)

__all__ = ["Tracer", "concrete", "demand", "set_program_runner", "value_of"]
