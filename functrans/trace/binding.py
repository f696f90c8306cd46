"""Binding: how an operation enters a program, or is run where nothing is being traced.

``bind(op, *operands)`` emits an equation into the current builder, unless that one *climbs*: then the equation goes to
the innermost ancestor that owns one of the operands. Equal pure operations on equal operands are emitted once, unless
each has a derivative of its own (``Primitive.shared``); identities that hold for every IEEE value are folded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from functrans.errors import FunctransError
from functrans.ir.cache import Cache
from functrans.ir.program import Equation, Literal, Var, Where
from functrans.ir.types import ArrayType
from functrans.jaxlib_compat.tracing import current_trace
from functrans.trace.builder import Builder
from functrans.trace.engine import engine
from functrans.trace.frames import describe_place, where
from functrans.trace.jax_trace import BuilderTrace
from functrans.trace.primitive import Linear, Primitive
from functrans.trace.state import current_builder
from functrans.trace.structure import described
from functrans.trace.tracer import Tracer

_results = Cache(16384)  # what op.infer said, by operation and types of operands


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
    trace = current_trace()
    if type(trace) is not BuilderTrace:  # nothing is traced, or JAX traces something of its own
        return engine.run_operation(op, operands)
    builder: Builder = trace.builder
    current = builder
    if builder.climbs:
        builder = _owner(builder, operands)
    # Most equations have one or two operands, values of this builder or a number: what _own and described do, written
    # out. Each attribute of a tracer is read once: the class that it has from JAX makes that slow.
    count = len(operands)
    x: Any = None
    y: Any = None
    v: Any = None  # the variables of x and y, where these are values of this builder
    w: Any = None
    plain = scaled = False
    if count == 2:
        x, y = operands
        if type(x) is Tracer and x.builder is builder:
            v = x.variable
            if type(y) is Tracer:
                if y.builder is builder:
                    plain, w = True, y.variable
            else:
                scaled = type(y) is Literal
    elif count == 1:
        x = operands[0]
        if type(x) is Tracer and x.builder is builder:
            plain, v = True, x.variable
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
        if w is None:
            key = row = (op, v.id)
            atoms, signature = (v,), (op, v.type)
        else:
            key = row = (op, v.id, w.id)
            atoms, signature = (v, w), (op, v.type, w.type)
    elif scaled:
        key, row = (op, v.id, y.key), (op, v.id, y.type)
        atoms, signature, literals = (v, y), (op, v.type, y.type), (y,)
        if op.fixes_numbers and op.needs_number(1, y.value):
            row, literals = (op, v.id, y), ()
    else:
        key, row, atoms, types, literals = described(op, _own(builder, operands))
        signature = (op, *types)
    structure = builder.structure
    found = structure.results.get(key)
    if found is not None:
        return found
    out_type = _results.get(signature) or _infer(op, signature, current.place)
    var = Var(len(builder.producers), out_type)
    eqn = Equation(op, atoms, (var,), current.place or where(2))
    builder.producers.append(eqn)
    builder.equations.append(eqn)
    structure.rows.append(row)
    if literals:
        structure.literals.extend(literals)
    tracer = Tracer(builder, var, out_type)
    builder.tracers.append(tracer)
    if op.shared:
        structure.results[key] = tracer
    elif op.effects:
        builder.known.effects.append((var.id, eqn))
    return tracer


def bind_all(op: Primitive, operands: Sequence[Any]) -> list[Any]:
    """Apply a primitive with a list of results."""
    current = current_builder()
    if current is None:
        return engine.run_operation(op, operands)  # type: ignore[no-any-return]
    builder: Builder = current
    if op.fold is not None:
        operands = [as_operand(x) for x in operands]
        folded = op.fold(*operands)
        if folded is not None:
            return list(folded)
    if builder.climbs:
        builder = _owner(builder, operands)
    key, row, atoms, types, literals = described(op, _own(builder, operands))
    structure = builder.structure
    found = structure.results.get(key)
    if found is not None:
        return list(found)
    eqn = Equation(op, atoms, (), current.place or where(2))
    try:
        out_types = op.infer(*types)
    except FunctransError as error:
        raise located(error, eqn.where) from None
    outs = [builder.new_var(type_, eqn) for type_ in out_types]
    eqn.outputs = tuple([t.variable for t in outs])
    builder.equations.append(eqn)
    structure.rows.append(row)
    structure.literals.extend(literals)
    if op.shared:
        structure.results[key] = tuple(outs)
    elif op.effects:
        builder.known.effects.append((outs[0].variable.id if outs else len(builder.producers) - 0.5, eqn))
    return outs


def apply_operation(op: Primitive, operands: Sequence[Any]) -> list[Any]:
    """Apply any primitive; the results as a list."""
    return bind_all(op, operands) if op.multiple else [bind(op, *operands)]


def as_operand(x: Any, wanted: ArrayType | None = None) -> Any:
    """A value as rules meet it: a Tracer, a Literal (of the type ``wanted``, where that is a scalar's) or a Linear.

    A number becomes a literal, an array is captured by the innermost builder that does not climb. Where nothing is
    being traced operations run at once, and take what they are given.
    """
    kind = type(x)
    if kind is Tracer or kind is Linear:
        return x
    if kind is not Literal:
        current = current_builder()
        if current is None:
            return x
        builder: Builder = current
        while builder.climbs:
            builder = builder.parent  # type: ignore[assignment]
        x = builder.output(x)
    if wanted is None or type(x) is not Literal or x.type is wanted or wanted.shape:
        return x
    return Literal(x.value if x.type.dtype == wanted.dtype else wanted.dtype.type(x.value), wanted)


def located(error: FunctransError, place: Where) -> FunctransError:
    """The error with the user's line in its text."""
    if place is not None and error.args and "\n    at " not in str(error):
        error.args = (f"{error.args[0]}\n    at {describe_place(place)}", *error.args[1:])
    return error


def _owner(builder: Builder, operands: Sequence[Any]) -> Builder:
    """From a climbing builder, the innermost one that owns an operand."""
    while builder.climbs:
        for x in operands:
            if type(x) is Tracer and x.builder is builder:
                return builder
        builder = builder.parent  # type: ignore[assignment]
    return builder


def _own(builder: Builder, operands: Sequence[Any]) -> list[Any]:
    """Operands as tracers of this builder and literals."""
    own: list[Any] = []
    for x in operands:
        own.append(x if type(x) is Literal or (type(x) is Tracer and x.builder is builder) else builder.output(x))
    return own


def _infer(op: Primitive, signature: tuple[Any, ...], place: Where) -> ArrayType:
    known = _results.find(signature)
    if known is not None:
        return known  # type: ignore[no-any-return]
    try:
        result: ArrayType = op.infer(*signature[1:])
    except FunctransError as error:
        raise located(error, place or where(3)) from None
    return _results.add(signature, result)  # type: ignore[no-any-return]
