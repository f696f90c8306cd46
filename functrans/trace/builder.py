"""Builders: programs under construction.

Each thread has a stack of open builders; the innermost is the current one, into which ``bind`` emits (trace.binding).
A value of an outer builder, or a concrete array, that meets a builder is *captured*: it becomes an extra input. A
builder that *climbs* (the linear one of linearize) takes only the equations that one of its own values enters.

What a builder is not: the table of equal operations and the structural key (``Structure``), and what is known of values
while they are traced (``Known``).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from functrans.errors import EscapedTracerError, FunctransTypeError, InternalError, NotLinearError
from functrans.ir.program import Equation, Jaxpr, Literal, Var, Where, live_equations
from functrans.ir.snapshots import Snapshots
from functrans.ir.types import ArrayType, as_its_type, check_integer, describe, scalar_type, type_of, warn_narrowing
from functrans.jaxlib_compat import array_values, configuration
from functrans.jaxlib_compat.tracing import EVALUATION, JaxTracer, current_trace, is_around, keep_trace, key_trace
from functrans.trace.collection import CollectionPause
from functrans.trace.frames import describe_place, where
from functrans.trace.jax_trace import BuilderTrace
from functrans.trace.primitive import Linear
from functrans.trace.state import current_builder, current_place, foreseen_order, state
from functrans.trace.structure import Structure
from functrans.trace.tracer import Tracer, escaped
from functrans.trace.values import Known

_PYTHON_SCALARS = (float, int, bool, complex)


NEVER, ONCE, OFTEN = range(3)


class Borrowed:
    """What a mutable reference from outside holds in a trace: ``outer`` around it, ``entry`` where it begins, and
    ``value`` now. Among the captured values of a trace that is for many runs it stands for ``outer``."""

    __slots__ = ("entry", "outer", "reference", "value")

    def __init__(self, reference: Any, outer: Any, entry: Tracer) -> None:
        self.reference, self.outer = reference, outer
        self.entry = self.value = entry


def values_of(captured: Sequence[Any]) -> list[Any]:
    """Captured values, those of references as they are around the trace."""
    return [x.outer if type(x) is Borrowed else x for x in captured]


class Builder:
    """A program under construction. Use as a context manager; ``finish`` gives the jaxpr and what it captured.

    ``purpose`` names, for error messages, what traces here; ``remedy`` says what to use instead of a concrete value,
    ``outlet`` what instead of writing to a reference from outside.
    The builders opened inside of it take over, unless they are given another:

    - ``order``: how many differentiations may still be applied to what is traced here; custom derivative rules are
      traced that deep.
    - ``place``: the user's line of the equation that is emitted again, while a transform does that; else None.
    - ``rules``: how many derivative rules, each used by the one before, are being linearized.
    - ``pulls_back``: who traces here differentiates by the threads of references (api.references), too.
    - ``lends``: who traces here takes the last values of mutable references from outside (api.references) for results:
      ``ONCE`` where the trace is for one run, ``OFTEN`` where their first values are inputs of their own.
    """

    __slots__ = (
        "before", "below", "callees", "captured", "captures", "climbs", "equations", "inputs", "known", "lends", "open",
        "order", "outlet", "parent", "pause", "place", "producers", "pulls_back", "purpose",
        "references", "remedy", "rules", "snapshots", "structure", "thread", "trace", "tracers",
    )  # fmt: skip

    def __init__(self, purpose: str = "a trace", *, climbs: bool = False, order: int | None = None) -> None:
        self.below: Builder | None = state.builder
        parent = self.parent = current_builder()  # None as well where JAX traces something of its own in between
        if parent is None:
            self.trace: BuilderTrace | None = None
            self.place: Where = None
            self.rules = 0
            self.snapshots = Snapshots()
            self.order: int = foreseen_order() if order is None else order
        else:
            self.trace, self.place, self.rules = parent.trace, parent.place, parent.rules
            self.order = parent.order if order is None else order
            self.snapshots = parent.snapshots
        self.before: Any = None  # JAX's trace around an outermost builder
        self.climbs = climbs
        self.purpose = purpose
        self.remedy = ""
        self.lends = NEVER
        self.pulls_back = False
        self.outlet = ""
        self.open = False
        self.thread = 0
        self.inputs: list[Tracer] = []
        self.captured: list[Any] = []  # the captured values, and
        self.captures: dict[int, Tracer] = {}  # by identity of the value, the input each became
        self.equations: list[Equation] = []
        self.producers: list[Equation | None] = []  # by id of variable
        self.tracers: list[Tracer] = []  # by id of variable
        self.references: dict[Any, Borrowed] = {}  # mutable references from outside, by identity
        self.callees: dict[Any, Any] = {}  # jitted functions that captured tracers, traced here
        self.structure = Structure()
        self.known = Known()

    # -- opening and closing --------------------------------------------------------------------------------------

    def __enter__(self) -> Builder:
        if state.builder is not self.below:
            raise InternalError("builders must be opened innermost last")
        if self.parent is None:
            # Kept here, not in the thread's state: the sweep behind a value may open a trace of its own.
            self.pause = CollectionPause()
            before = self.before = current_trace()
            self.trace = state.trace if before is EVALUATION and self.below is None else BuilderTrace(before)
            state.builder = self  # first, so that what follows is undone whenever Ctrl-C comes (see trace.state)
            try:
                self.pause.__enter__()
            except Exception:  # a call too many (RecursionError)
                state.builder = self.below
                raise
            keep_trace(self.trace)
            key_trace(self.trace._weakref)
        self.thread = threading.get_ident()
        self.open = True
        state.builder = self.trace.builder = self  # type: ignore[union-attr]
        return self

    def __exit__(self, *exc: object) -> None:
        self.open = False
        # Tracers refer to their builder: without these lines every trace would be a cycle for the garbage collector.
        # ``producers`` and the known values stay, for the errors about escaped tracers.
        self.inputs = []
        self.captures = {}
        self.references = {}
        self.tracers = []
        self.callees = {}
        self.structure.results = {}
        self.known.effects = []
        if self.parent is None:
            before = self.before
            keep_trace(before)
            key_trace(None if before is None else before._weakref)
            self.pause.__exit__()
        if self.trace is not None:
            self.trace.builder = self.parent
        state.builder = self.below

    # -- inputs ---------------------------------------------------------------------------------------------------

    def new_var(self, type: ArrayType, producer: Equation | None) -> Tracer:
        var = Var(len(self.producers), type)
        self.producers.append(producer)
        tracer = Tracer(self, var, type)
        self.tracers.append(tracer)
        return tracer

    def new_input(self, type: ArrayType, value: Any = None) -> Tracer:
        """A declared input; ``value`` (concrete, or a tracer of an outer builder) is what it stands for, if known."""
        tracer = self.new_var(type, None)
        self.inputs.append(tracer)
        if value is not None:
            self.known.values[tracer.variable.id] = value
        return tracer

    def lift(self, x: Any) -> Tracer:
        """The tracer of this builder that stands for ``x``: an outer tracer or a concrete array is captured.

        A NumPy array is captured as it is now: the function that is traced may write to it and use it again.
        """
        if isinstance(x, np.ndarray):
            if type(x) is not np.ndarray:
                type_of(x)  # refuses what a copy would lose: the mask of a masked array
            x = self.snapshots.of(x)
        known = self.captures.get(id(x))
        if known is not None:
            return known
        kind = type(x)
        if kind is Tracer:
            if x.builder is self:
                return x  # type: ignore[no-any-return]
            self._check_reaches(x)
            producer = x.builder.producers[x.variable.id] if self.climbs else None
            if producer is not None and producer.op.repeats_operand and _is_number(producer.inputs[0]):
                return self._repeated(x, producer)
            type_ = x.type
        else:
            if isinstance(x, JaxTracer) and not is_around(self.trace, x._trace):
                raise EscapedTracerError(
                    f"{describe(x)} was made in a trace of JAX that has ended, or that is not open around "
                    f"{self.purpose}, and was used at {describe_place(where())}\nReturn it from the function that JAX "
                    "traces."
                )
            type_ = type_of(x)
            converted = as_its_type(x, type_)
            if converted is not x:
                if x.dtype != type_.dtype:
                    warn_narrowing(x.dtype, lambda: f"the array of shape {x.shape} used at {describe_place(where())}")
                self.snapshots[id(x)] = x, x  # kept, so that none has its identity
                tracer = self.captures[id(x)] = self.lift(converted)
                return tracer
        tracer = self.new_var(type_, None)
        self.captured.append(x)
        self.captures[id(x)] = tracer
        self.known.values[tracer.variable.id] = x
        self.structure.rows.append(type_)
        return tracer

    def borrow(self, reference: Any, outer: Any, apart: bool = False) -> Borrowed:
        """Take up a reference from outside, which holds ``outer`` around this trace.

        In a trace for many runs, or ``apart``, its value is an input of its own: another value that is captured may be
        the same array now and stays when the reference changes.
        """
        if self.lends is ONCE and not apart:
            found = Borrowed(reference, outer, self.lift(outer))
        else:
            tracer = self.new_var(type_of(outer), None)
            found = Borrowed(reference, outer, tracer)
            self.captured.append(found)
            self.captures[id(found)] = tracer
            if self.lends is ONCE:
                self.known.values[tracer.variable.id] = outer
            self.structure.rows.append(tracer.type)
        self.references[reference] = found
        return found

    def written(self) -> list[Borrowed]:
        """The references from outside that have got another value here."""
        return [found for found in self.references.values() if found.value is not found.entry]

    def _repeated(self, x: Tracer, producer: Equation) -> Tracer:
        """A number repeated over an array is repeated here: the number is the residual, and not the array."""
        operand = self.lift(x.builder.tracers[producer.inputs[0].id])  # type: ignore[union-attr]
        eqn = Equation(producer.op, (operand.variable,), (), producer.where)
        tracer = self.new_var(x.type, eqn)
        eqn.outputs = (tracer.variable,)
        self.equations.append(eqn)
        self.structure.rows.append((eqn.op, operand.variable.id))
        self.captures[id(x)] = tracer
        self.known.values[tracer.variable.id] = x
        return tracer

    def _check_reaches(self, x: Tracer) -> None:
        owner = self.below
        while owner is not None:
            if x.builder is owner:
                return
            owner = owner.below
        raise escaped(x)

    def has_happened(self, var: Var, result: Any) -> None:
        """Note that the effect that made a variable has happened: its value is a captured one from now on."""
        self.captured.append(result)
        self.captures[id(result)] = self.tracers[var.id]
        self.producers[var.id] = None

    # -- outputs --------------------------------------------------------------------------------------------------

    def output(self, x: Any) -> Any:
        """A value that the traced function returned, as a Tracer of this builder or a Literal."""
        kind = type(x)
        if kind is Tracer:
            return x if x.builder is self else self.lift(x)
        if kind is Literal:
            return x
        if kind is Linear:
            raise NotLinearError(
                f"a program that has to be linear multiplies, divides or otherwise combines its linear inputs, at "
                f"{describe_place(current_place() or where())}\nOnly sums, scalings by other values and rearrangements "
                "are linear."
            )
        if kind in _PYTHON_SCALARS:
            if kind is int:
                check_integer(x)
            return Literal(x, type_of(x))
        if isinstance(x, np.generic):
            type_ = type_of(x)
            return Literal(as_its_type(x, type_), type_)
        if isinstance(x, jax.Array | np.ndarray):
            return self.lift(x)
        return Literal(*_scalar(x))

    def finish(self, outputs: Sequence[Any]) -> tuple[Jaxpr, list[Any]]:
        """The program, dead code removed, and the values captured, which are its leading inputs."""
        atoms = [a.variable if type(a) is Tracer else a for a in outputs]
        kept, live = live_equations(self.known.staged(self.equations), atoms)
        captured, variables = [], []
        for x in self.captured:
            var = self.captures[id(x)].variable
            if var in live:
                captured.append(_as_traced(x, var.type))
                variables.append(var)
        return Jaxpr([*variables, *[t.variable for t in self.inputs]], kept, atoms), captured


def _as_traced(x: Any, traced: ArrayType) -> Any:
    """A captured value of the type that it was traced with. A NumPy array has another where the function had switched
    64-bit types on or off: there it becomes an array that keeps its type.
    """
    if not isinstance(x, np.ndarray | np.generic) or type_of(x).dtype == traced.dtype:
        return x
    return array_values.put(x, traced, configuration.default_device())


def _is_number(a: Any) -> bool:
    return type(a) is Var and not a.type.shape


def _scalar(x: Any) -> tuple[Any, ArrayType]:
    for kind in _PYTHON_SCALARS:
        if isinstance(x, kind):
            convert: Any = kind
            return convert(x), scalar_type(kind)
    raise FunctransTypeError(f"{describe(x)} is not a number, an array or a traced value")
