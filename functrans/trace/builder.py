"""Builders: a program under construction, and ``bind``, by which every operation enters one.

Each thread has a stack of open builders; the innermost is the current one. ``bind(op, *operands)`` emits an equation
into the current builder, unless the builder *climbs* (the linear builder of linearize does): then the equation goes to
the innermost ancestor that owns one of the operands. A value of an outer builder, or a concrete array, that meets a
builder is *captured*: it becomes an extra input. Equal pure operations on equal operands are emitted once, unless
each has a derivative of its own (``Primitive.shared``).
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from functrans.errors import EscapedTracerError, FunctransError, FunctransTypeError, InternalError, NotLinearError
from functrans.ir.cache import Cache
from functrans.ir.program import Equation, Jaxpr, Literal, Var, Where, live_equations
from functrans.ir.snapshots import same_contents, snapshot
from functrans.ir.types import (
    ArrayType,
    array_type,
    as_its_type,
    canonical_dtype,
    check_integer,
    describe,
    scalar_type,
    type_of,
    warn_narrowing,
    x64_enabled,
)
from functrans.trace.frames import describe_place, on_interrupt, where
from functrans.trace.primitive import Linear, Primitive


class _ThreadState(threading.local):
    """What a thread is tracing."""

    def __init__(self) -> None:
        self.builder: Builder | None = None
        self.where: Where = None  # set while a transform re-emits an equation: its user line is kept
        self.axes: dict[Any, int] = {}  # mapped axis names in scope and their sizes
        self.rules = 0  # how many derivative rules, each used by the one before, are being linearized


state = _ThreadState()


class Tracer:
    """The one value that user code sees while it is traced: a variable of an open builder.

    The operators and methods of an array are installed by functrans.numpy.array_methods. ``isinstance(x, jax.Array)``
    is False for a tracer, on purpose: JAX's own functions take what is an instance for an array that they can read, and
    would fail obscurely instead of deferring to the tracer or refusing it by name.
    """

    __slots__ = ("__weakref__", "builder", "type", "variable")

    builder: Builder
    type: ArrayType
    variable: Var

    def __init__(self, builder: Builder, var: Var, type: ArrayType) -> None:
        self.builder = builder
        self.variable = var
        self.type = type

    @property
    def shape(self) -> tuple[int, ...]:
        return self.type.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.type.dtype

    @property
    def ndim(self) -> int:
        return len(self.type.shape)

    @property
    def size(self) -> int:
        return self.type.size

    @property
    def weak_type(self) -> bool:
        return self.type.weak_type


_PYTHON_SCALARS = (float, int, bool, complex)


class Builder:
    """A program under construction. Use as a context manager; ``finish`` gives the jaxpr and what it captured.

    ``purpose`` names, for error messages, what traces here; ``remedy`` says what to use instead of a concrete value.
    ``order`` counts the differentiations that may still be applied to what is traced here: custom derivative rules are
    traced that deep.
    """

    __slots__ = (
        "callees", "captured", "captures", "climbs", "cons", "converted", "custom", "differentiated", "differentiators",
        "effects", "equations", "inputs", "literals", "marker", "open", "order", "parent", "performed", "performs",
        "place", "producers", "purpose", "remedy", "restarts_gc", "segments", "skeleton", "snapshots", "thread",
        "tracers", "values",
    )  # fmt: skip

    def __init__(self, purpose: str = "a trace", *, climbs: bool = False, order: int | None = None) -> None:
        self.parent: Builder | None = state.builder
        self.climbs = climbs
        self.purpose = purpose
        self.remedy = ""
        self.order: int = order if order is not None else self.parent.order if self.parent is not None else 0
        self.open = False
        self.thread = 0
        self.place: Where = None
        self.inputs: list[Tracer] = []
        self.captured: list[Any] = []  # the captured values, and
        self.captures: dict[int, Tracer] = {}  # by identity of the value, the input each became
        self.converted: list[Any] = []  # NumPy values captured in another dtype: kept, so that none has their identity
        self.snapshots: dict[int, tuple[Any, Any]] = {}  # NumPy arrays met, by identity: (the array, its copy)
        self.equations: list[Equation] = []
        self.producers: list[Equation | None] = []  # by id of variable
        self.cons: dict[tuple[Any, ...], Any] = {}
        self.skeleton: list[Any] = []  # the rows of the structural key, literals left out
        self.literals: list[Literal] = []
        self.values: dict[int, Any] = {}  # by id of variable: values known while tracing
        self.tracers: list[Tracer] = []  # by id of variable
        self.callees: dict[Any, Any] = {}  # jitted functions that captured tracers, traced here
        self.performs = False  # a value asked for makes the effects so far happen, and they are not staged any more
        self.effects: list[tuple[float, Equation]] = []  # (its place in the order of variables, equation with effects)
        self.performed: set[Equation] = set()
        self.segments: list[int] = []  # positions in equations where a value was demanded
        self.custom = False  # what is traced here has, or is, a derivative rule of the user's
        self.differentiated: frozenset[int] = frozenset()  # ids of the inputs that what traces here differentiates by
        self.differentiators: dict[int, frozenset[Builder]] = {}  # by id of variable: see trace.tracer

    # -- opening and closing --------------------------------------------------------------------------------------

    def __enter__(self) -> Builder:
        if state.builder is not self.parent:
            raise InternalError("builders must be opened innermost last")
        if self.parent is None:
            # Kept here, not in the thread's state: the sweep behind a value may open a trace of its own.
            self.restarts_gc = gc.isenabled()
            self.marker = None
            state.builder = self  # first, so that what follows is undone whenever Ctrl-C comes (see ``_abandon``)
            if self.restarts_gc:
                gc.disable()  # a trace makes many objects and no garbage: collecting would walk them again and again
            self.marker = _trace_opens()
        self.thread = threading.get_ident()
        self.open = True
        state.builder = self
        return self

    def __exit__(self, *exc: object) -> None:
        self.open = False
        # Tracers refer to their builder: without these lines every trace would be a cycle for the garbage collector.
        # ``producers`` and ``values`` stay, for the errors about escaped tracers.
        self.inputs = []
        self.captures = {}
        self.snapshots = {}
        self.cons = {}
        self.tracers = []
        self.callees = {}
        self.effects = []
        if self.parent is None:
            _trace_closes(self.marker)
            if self.restarts_gc:
                gc.enable()
        state.builder = self.parent

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
            self.values[tracer.variable.id] = value
        return tracer

    def lift(self, x: Any) -> Tracer:
        """The tracer of this builder that stands for ``x``: an outer tracer or a concrete array is captured.

        A NumPy array is captured as it is now: the function that is traced may write to it and use it again.
        """
        if isinstance(x, np.ndarray):
            if type(x) is not np.ndarray:
                type_of(x)  # refuses what a copy would lose: the mask of a masked array
            x = self._snapshot(x)
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
            type_ = type_of(x)
            converted = as_its_type(x, type_)
            if converted is not x:
                if x.dtype != type_.dtype:
                    warn_narrowing(x.dtype, lambda: f"the array of shape {x.shape} used at {describe_place(where())}")
                self.converted.append(x)
                tracer = self.captures[id(x)] = self.lift(converted)
                return tracer
        tracer = self.new_var(type_, None)
        self.captured.append(x)
        self.captures[id(x)] = tracer
        self.values[tracer.variable.id] = x
        self.skeleton.append(type_)
        return tracer

    def _repeated(self, x: Tracer, producer: Equation) -> Tracer:
        """A number repeated over an array is repeated here: the number is the residual, and not the array."""
        operand = self.lift(x.builder.tracers[producer.inputs[0].id])  # type: ignore[union-attr]
        eqn = Equation(producer.op, (operand.variable,), (), producer.where)
        tracer = self.new_var(x.type, eqn)
        eqn.outputs = (tracer.variable,)
        self.equations.append(eqn)
        self.skeleton.append((eqn.op, operand.variable.id))
        self.captures[id(x)] = tracer
        self.values[tracer.variable.id] = x
        return tracer

    def _snapshot(self, x: Any) -> Any:
        """A NumPy array as it is now; the copy of an earlier use while it is the same."""
        known = self.snapshots.get(id(x))
        if known is not None and (known[1] is x or same_contents(known[1], x)):
            return known[1]
        copy = snapshot(x)
        self.snapshots[id(x)] = x, copy  # the array too: another may not have its address
        return copy

    def _check_reaches(self, x: Tracer) -> None:
        owner = self.parent
        while owner is not None:
            if x.builder is owner:
                return
            owner = owner.parent
        raise escaped(x)

    # -- finishing ------------------------------------------------------------------------------------------------

    def key(self, outputs: Sequence[Any]) -> tuple[Any, ...]:
        """The structural key of what was traced, with the values of literals left out (see ``literals``)."""
        return (
            tuple([t.type for t in self.inputs]),
            tuple(self.skeleton),
            tuple([a.variable.id if type(a) is Tracer else a for a in outputs]),
        )

    def finish(self, outputs: Sequence[Any]) -> tuple[Jaxpr, list[Any]]:
        """The program, dead code removed, and the values captured, which are its leading inputs."""
        atoms = [a.variable if type(a) is Tracer else a for a in outputs]
        kept, live = live_equations(self.staged(), atoms)
        captured, variables = [], []
        for x in self.captured:
            var = self.captures[id(x)].variable
            if var in live:
                captured.append(x)
                variables.append(var)
        return Jaxpr([*variables, *[t.variable for t in self.inputs]], kept, atoms), captured

    def staged(self) -> list[Equation]:
        """The equations, without those whose effects have happened while tracing."""
        if not self.performed:
            return self.equations
        return [eqn for eqn in self.equations if eqn not in self.performed]

    def perform(self, place: float, eqn: Equation, results: Sequence[Any]) -> None:
        """Note that an effect has happened: its results are values captured from now on."""
        self.performed.add(eqn)
        self.skeleton.append(("performed", place))
        for v, result in zip(eqn.outputs, results, strict=True):
            self.captured.append(result)
            self.captures[id(result)] = self.tracers[v.id]
            self.values[v.id] = result
            self.producers[v.id] = None

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
                f"{describe_place(state.where or where())}\nOnly sums, scalings by other values and rearrangements are "
                "linear."
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


def _is_number(a: Any) -> bool:
    return type(a) is Var and not a.type.shape


def _nothing(*_: object) -> None:
    """Before an execution engine is installed."""


_trace_opens: Callable[[], object] = _nothing  # called when a thread's outermost builder opens, and
_trace_closes: Callable[[object], object] = _nothing  # with its answer when that builder closes


def outside_of_traces(function: Callable[..., Any], *args: Any) -> Any:
    """Call a function of concrete values as if this thread were tracing nothing: it is run, not staged."""
    builder = state.builder
    if builder is None:
        return function(*args)
    state.builder = None
    _trace_closes(None)
    try:
        return function(*args)
    finally:
        state.builder = builder
        _trace_opens()


def set_trace_marker(opens: Callable[[], object], closes: Callable[[object], object]) -> None:
    """Install what tells the dispatcher that a trace is open, so that calls of jitted functions are staged."""
    global _trace_opens, _trace_closes
    _trace_opens, _trace_closes = opens, closes


def _scalar(x: Any) -> tuple[Any, ArrayType]:
    for kind in _PYTHON_SCALARS:
        if isinstance(x, kind):
            convert: Any = kind
            return convert(x), scalar_type(kind)
    raise FunctransTypeError(f"{describe(x)} is not a number, an array or a traced value")


def literal(value: Any, dtype: np.dtype[Any] | None = None, weak_type: bool = False) -> Literal:
    """A scalar literal of this dtype."""
    if dtype is None:
        return Literal(value, type_of(value))
    return Literal(value, array_type((), dtype, weak_type))


def escaped(x: Tracer) -> EscapedTracerError:
    """The error for a tracer met outside its trace."""
    owner = x.builder
    producer = owner.producers[x.variable.id] if x.variable.id < len(owner.producers) else None
    made = f"made at {describe_place(producer.where)}" if producer is not None else "an argument or captured value"
    what = f"a traced value of type {x.type} from {owner.purpose} ({made})"
    if owner.open and owner.thread != threading.get_ident():
        name = next((t.name for t in threading.enumerate() if t.ident == owner.thread), str(owner.thread))
        return EscapedTracerError(
            f"{what} belongs to thread {name!r} and was used in thread {threading.current_thread().name!r} at "
            f"{describe_place(where())}\nA traced value can be used only by the thread that traces it: call the "
            "transformed function inside the other thread, or pass arrays."
        )
    return EscapedTracerError(
        f"{what} was used at {describe_place(where())}\n{'after' if not owner.open else 'outside of'} its trace"
        f"{' had ended' if not owner.open else ''}. A traced value is meaningful only inside the function being "
        "transformed: return it from that function (has_aux=True carries extra results out) instead of storing it in a "
        "global, an attribute or a list."
    )


def _abandon() -> None:
    """Close the traces that Ctrl-C has left open: it may come before their ``__exit__`` does anything."""
    while state.builder is not None:
        state.builder.__exit__()
    state.where, state.axes, state.rules = None, {}, 0


on_interrupt(_abandon)


def current_builder() -> Builder | None:
    """The innermost open builder of this thread."""
    return state.builder


# -- bind ---------------------------------------------------------------------------------------------------------


def _owner(builder: Builder, operands: Sequence[Any]) -> Builder:
    """From a climbing builder, the innermost one that owns an operand."""
    while builder.climbs:
        for x in operands:
            if type(x) is Tracer and x.builder is builder:
                return builder
        builder = builder.parent  # type: ignore[assignment]
    return builder


def _operands(
    builder: Builder, op: Primitive, operands: Sequence[Any]
) -> tuple[tuple[Any, ...], tuple[Any, ...], list[Any], list[ArrayType], list[Literal]]:
    """For an equation in ``builder``: its key, its row of the skeleton, its atoms, their types, its literals."""
    atoms: list[Any] = []
    types: list[ArrayType] = []
    key: list[Any] = [op]
    row: list[Any] = key
    literals: list[Literal] = []
    fixes = op.fixes_numbers
    for x in operands:
        kind = type(x)
        if kind is not Tracer and kind is not Literal:
            x = builder.output(x)
            kind = type(x)
        if kind is Literal:
            if row is key:
                row = key.copy()
            if fixes and op.needs_number(len(atoms), x.value):
                row.append(x)
            else:
                literals.append(x)
                row.append(x.type)
            atoms.append(x)
            key.append(x.key)
        else:
            if x.builder is not builder:
                x = builder.lift(x)
            var = x.variable
            atoms.append(var)
            key.append(var.id)
            if row is not key:
                row.append(var.id)
        types.append(x.type)
    full = tuple(key)
    return full, full if row is key else tuple(row), atoms, types, literals


def as_operand(x: Any, wanted: ArrayType | None = None) -> Any:
    """A value as rules meet it: a Tracer, a Literal (of the type ``wanted``, where that is a scalar's) or a Linear.

    A number becomes a literal, an array is captured by the innermost builder that does not climb. Where nothing is
    being traced operations run at once, and take what they are given.
    """
    kind = type(x)
    if kind is Tracer or kind is Linear:
        return x
    if kind is not Literal:
        current = state.builder
        if current is None:
            return x
        builder: Builder = current
        while builder.climbs:
            builder = builder.parent  # type: ignore[assignment]
        x = builder.output(x)
    if wanted is None or type(x) is not Literal or x.type is wanted or wanted.shape:
        return x
    return Literal(x.value if x.type.dtype == wanted.dtype else wanted.dtype.type(x.value), wanted)


_results = Cache(16384)  # what op.infer said, by operation and types of operands


def _infer(op: Primitive, signature: tuple[Any, ...]) -> ArrayType:
    known = _results.find(signature)
    if known is not None:
        return known  # type: ignore[no-any-return]
    try:
        result: ArrayType = op.infer(*signature[1:])
    except FunctransError as error:
        raise located(error, state.where or where(3)) from None
    return _results.add(signature, result)  # type: ignore[no-any-return]


def bind(op: Primitive, *operands: Any) -> Any:
    """Apply a primitive with one result: emit its equation, or run it when nothing is being traced.

    Args:
      op: the primitive, with its parameters.
      operands: traced values, arrays or numbers.

    >>> import functrans as ft
    >>> from functrans.ops.elementwise import Add
    >>> float(ft.bind(Add(), 1.0, 2.0))
    3.0
    """
    current = state.builder
    if current is None:
        return run_operation(op, operands)
    builder: Builder = current
    if builder.climbs:
        builder = _owner(builder, operands)
    # Most equations have one or two operands, values of this builder or a number: what _operands does, written out.
    count = len(operands)
    x: Any = operands[0] if count else None
    y: Any = operands[1] if count == 2 else x
    plain = (count == 1 or count == 2) and type(x) is Tracer and x.builder is builder
    scaled = plain and type(y) is Literal
    plain = plain and type(y) is Tracer and y.builder is builder
    if op.fold is not None and not (plain and op.folds_literals):
        if not (plain or scaled):
            operands = tuple([as_operand(x) for x in operands])
        folded = op.fold(*operands)
        if folded is not None:
            return folded
    literals: Sequence[Literal] = ()
    atoms: Sequence[Any]
    key: tuple[Any, ...]
    row: tuple[Any, ...]
    signature: tuple[Any, ...]
    if plain:
        v, w = x.variable, y.variable
        if count == 1:
            key = row = (op, v.id)
            atoms, signature = (v,), (op, x.type)
        else:
            key = row = (op, v.id, w.id)
            atoms, signature = (v, w), (op, x.type, y.type)
    elif scaled:
        v = x.variable
        key, row = (op, v.id, y.key), (op, v.id, y.type)
        atoms, signature, literals = (v, y), (op, x.type, y.type), (y,)
        if op.fixes_numbers and op.needs_number(1, y.value):
            row, literals = (op, v.id, y), ()
    else:
        key, row, atoms, types, literals = _operands(builder, op, operands)
        signature = (op, *types)
    found = builder.cons.get(key)
    if found is not None:
        return found
    out_type = _results.get(signature) or _infer(op, signature)
    producers = builder.producers
    var = Var(len(producers), out_type)
    eqn = Equation(op, atoms, (var,), state.where or where(2))
    producers.append(eqn)
    builder.equations.append(eqn)
    builder.skeleton.append(row)
    if literals:
        builder.literals.extend(literals)
    tracer = Tracer(builder, var, out_type)
    builder.tracers.append(tracer)
    if op.shared:
        builder.cons[key] = tracer
    elif op.effects:
        builder.effects.append((var.id, eqn))
    return tracer


def bind_all(op: Primitive, operands: Sequence[Any]) -> list[Any]:
    """Apply a primitive with a list of results."""
    current = state.builder
    if current is None:
        return run_operation(op, operands)  # type: ignore[no-any-return]
    builder: Builder = current
    if op.fold is not None:
        operands = [as_operand(x) for x in operands]
        folded = op.fold(*operands)
        if folded is not None:
            return list(folded)
    if builder.climbs:
        builder = _owner(builder, operands)
    key, row, atoms, types, literals = _operands(builder, op, operands)
    found = builder.cons.get(key)
    if found is not None:
        return list(found)
    outs: list[Any] = []
    eqn = Equation(op, atoms, (), state.where or where(2))
    try:
        out_types = op.infer(*types)
    except FunctransError as error:
        raise located(error, eqn.where) from None
    for type_ in out_types:
        outs.append(builder.new_var(type_, eqn))
    eqn.outputs = tuple([t.variable for t in outs])
    builder.equations.append(eqn)
    builder.skeleton.append(row)
    builder.literals.extend(literals)
    if op.shared:
        builder.cons[key] = tuple(outs)
    elif op.effects:
        builder.effects.append((outs[0].variable.id if outs else len(builder.producers) - 0.5, eqn))
    return outs


def located(error: FunctransError, place: Where) -> FunctransError:
    """The error with the user's line in its text."""
    if place is not None and error.args and "\n    at " not in str(error):
        error.args = (f"{error.args[0]}\n    at {describe_place(place)}", *error.args[1:])
    return error


def apply_operation(op: Primitive, operands: Sequence[Any]) -> list[Any]:
    """Apply any primitive; the results as a list."""
    return bind_all(op, operands) if op.multiple else [bind(op, *operands)]


def _no_runner(op: Primitive, operands: Sequence[Any]) -> Any:
    raise InternalError("no execution engine is installed")


run_operation: Callable[[Primitive, Sequence[Any]], Any] = _no_runner


def set_operation_runner(runner: Callable[[Primitive, Sequence[Any]], Any]) -> None:
    """Install what runs a primitive on concrete values when nothing is being traced."""
    global run_operation
    run_operation = runner


def producer_of(x: Any) -> Equation | None:
    """The equation that made a traced value; None for inputs and concrete values."""
    return x.builder.producers[x.variable.id] if type(x) is Tracer else None


def tracer_for(x: Tracer, var: Any) -> Tracer:
    """The tracer of a variable of the same builder as ``x``."""
    tracer: Tracer = x.builder.tracers[var.id]
    return tracer


__all__ = [
    "Builder", "Tracer", "apply_operation", "as_operand", "bind", "bind_all", "current_builder", "escaped", "literal",
    "producer_of", "run_operation", "set_operation_runner", "state", "tracer_for", "canonical_dtype", "x64_enabled",
]  # fmt: skip
