"""Sparse Jacobians entry by entry: every value of the linear program as the sum of a few terms.

    v[e] = sum over k of  scale_k[e] * x[column_k[e]]

Where few inputs make an element, their numbers and factors are fewer than the directions of a colouring, which are all
multiplied: a product scales each term, a sum of values has the terms of both, what moves elements moves numbers and
factors alike. What adds up elements leaves the factors as they are: they become entries of a row, in no order
(``Entries``), and the entries of one place are added at the end. Which row that is says the pullback of the unit
vectors. All numbers are known while the program is made, so that only factors are computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from functrans.errors import MissingRuleError
from functrans.ir.program import Equation, Jaxpr, Literal, Var
from functrans.ir.types import ArrayType, Typed
from functrans.jacobians.basis import INDEX, Known, Seeds, array_of, kept, moved, numbers_moved, push, standard
from functrans.jacobians.budget import STORED
from functrans.jacobians.compressed import INSIDE, entry_dtype
from functrans.jacobians.patterns import Pattern
from functrans.ops.constants import trace_closed
from functrans.ops.elementwise import add, mul
from functrans.ops.indexing import Gather, ScatterAdd
from functrans.ops.representation import KEEP
from functrans.ops.slicing import concatenate
from functrans.ops.structural import as_declared, convert, full, reshape, scalar_literal
from functrans.ops.windows import GatherDimensionNumbers, ScatterDimensionNumbers
from functrans.trace.binding import as_operand, bind, bind_all
from functrans.trace.primitive import program_cost
from functrans.trace.replay import emit, replay, replay_into
from functrans.transform.linearize import LinearProgram
from functrans.transform.transpose import transpose_jaxpr

_WRITTEN = 1 << 16  # numbers of rows that may be written into the program
_LONGER, _SHORT = 8, 10  # times as many equations as the linear program that sums may have, which is longer than this


class NotAFew(Exception):
    """A value has no terms that are known, or too many."""


class Entries(NamedTuple):
    """Terms of the elements ``rows``, each of one input: ``data`` is None for ones. A row of -1 is of none."""

    rows: Any
    columns: Any
    data: Any


class Terms(Typed):
    """A value as the sum of terms, of all its elements (``parts``) or of some (``entries``)."""

    __slots__ = ("entries", "parts", "type")

    def __init__(self, parts: Sequence[Seeds], entries: Sequence[Entries], type: ArrayType) -> None:
        self.parts = list(parts)
        self.entries = list(entries)
        self.type = type


class Sums(NamedTuple):
    """``program``: residuals -> factors, one vector; the entries are its elements ``first``, to which at the places
    ``to`` are added those at ``more``; ``cost``: in operations."""

    program: Jaxpr
    first: Any
    to: Any
    more: Any
    cost: float


def sums_of(
    linear: Jaxpr, known: Sequence[Any], ins: Sequence[ArrayType], outs: Sequence[ArrayType], nonzero: Sequence[bool],
    pattern: Pattern, most: int,
) -> Sums | None:  # fmt: skip
    """The entries of the Jacobian of a linear program (residuals, inputs) -> nonzero outputs; None where a value has
    more than ``most`` terms, or they are not known. ``known``: the residuals that are, else None."""
    count = len(linear.inputs) - len(ins)
    places: list[tuple[Any, Any]] = []

    def factors(*residuals: Any) -> list[Any]:
        seeds = [Terms([s] if s.type.size else [], [], s.type) for s in standard(ins)]
        results = _pushed(linear, [*residuals, *seeds], known, most)
        found, data, row = iter(results), [], 0
        dtype = entry_dtype(outs)
        for t, nz in zip(outs, nonzero, strict=True):
            x = next(found) if nz else None
            for rows, columns, own in _contributions(x):
                places.append((np.where(rows < 0, -1, rows + row), columns))
                ones = own is None
                data.append(full((rows.size,), 1, dtype) if ones else convert(reshape(own, (rows.size,)), dtype))
            row += t.size
        data.append(full((1,), 0, dtype))
        return [concatenate(data, 0) if len(data) > 1 else data[0]]

    try:
        program = trace_closed(factors, linear.in_types[:count], "the entries of a sparse Jacobian")
    except NotAFew:
        return None
    if len(program.equations) > _LONGER * (len(linear.equations) + _SHORT):
        return None
    rows, columns = (
        np.concatenate([*[p[i].astype(np.int64) for p in places], np.full(1, -1)]) for i in (0, 1)
    )
    return _collected(program, rows, columns, pattern)


def _contributions(x: Any) -> list[tuple[Any, Any, Any]]:
    """(rows, columns, factors) of the terms of an output; one that is known to be zero has none."""
    if type(x) is not Terms:
        return []
    whole = np.arange(x.type.size, dtype=INDEX)
    return [*[(whole, s.directions.ravel(), s.scale) for s in x.parts], *x.entries]


def _collected(program: Jaxpr, rows: Any, columns: Any, pattern: Pattern) -> Sums | None:
    """Where each entry of the pattern is read; None where a term is at a place that the pattern has not."""
    width = pattern.shape[1]
    places = pattern.rows.astype(np.int64) * width + pattern.columns
    own = np.flatnonzero((rows >= 0) & (columns >= 0))
    wanted = rows[own] * width + columns[own]
    slots = np.searchsorted(places, wanted)
    if not places.size or (slots == places.size).any() or (places[slots] != wanted).any():
        return None
    first = np.full(places.size, rows.size - 1)  # a zero, where a place of the pattern has no term
    first[slots[::-1]] = own[::-1]
    later = own != first[slots]
    to, more = slots[later], own[later]
    order = np.argsort(to, kind="stable")
    cost = program_cost(program) + rows.size + STORED * (places.size + 2 * to.size)  # each factor is kept
    return Sums(program, _column(first), _column(to[order]), _column(more[order]), cost)


def _column(numbers: Any) -> Any:
    return np.ascontiguousarray(numbers[:, None], np.int32)


def entries(sums: Sums, linear: LinearProgram, arrays: Sequence[Any]) -> Any:
    """The entries, in the order of the pattern; ``arrays``: ``first``, ``to`` and ``more`` as inputs of the program."""
    first, to, more = arrays
    # Computed once and then read here and there: inside of the gather each entry would compute its own again.
    (data,) = bind_all(KEEP, replay(sums.program, linear.residuals))
    found = _taken(data, first)
    if not to.shape[0]:
        return found
    op = ScatterAdd(ScatterDimensionNumbers((), (0,), (0,), (), ()), INSIDE, True, False)
    return bind(op, found, to, _taken(data, more))


def _taken(data: Any, places: Any) -> Any:
    return bind(Gather(GatherDimensionNumbers((), (0,), (0,), (), ()), (1,), INSIDE), data, places)


# -- the linear program ------------------------------------------------------------------------------------------------


def _pushed(jaxpr: Jaxpr, inputs: Sequence[Any], known: Sequence[Any], most: int) -> list[Any]:
    found = {v: k for v, k in zip(jaxpr.inputs, known, strict=False) if k is not None}
    values = {
        v: x if type(x) is Terms else as_operand(x, v.type) for v, x in zip(jaxpr.inputs, inputs, strict=True)
    }
    values = replay_into(values, jaxpr.equations, lambda eqn, operands: _applied(eqn, operands, found, most))
    return [values[a] if type(a) is Var else a for a in jaxpr.outputs]


def _applied(eqn: Equation, operands: list[Any], known: Known, most: int) -> Sequence[Any]:
    op = eqn.op
    if not any(type(x) is Terms for x in operands):
        return emit(eqn, operands)
    if all(type(x) is not Terms or not (x.parts or x.entries) for x in operands):
        return [Terms([], [], v.type) for v in eqn.outputs]
    placed = op.in_place(operands) if op.transparent else None
    if placed is not None:  # a call
        own = {id(x): known[a] for a, x in zip(eqn.inputs, operands, strict=True) if a in known}
        return _pushed(placed[0], placed[1], [own.get(id(x)) for x in placed[1]], most)
    places = op.moving(len(operands))
    if places and all(i in places or type(x) is Literal or eqn.inputs[i] in known for i, x in enumerate(operands)):
        results = _moved(eqn, operands, places, known)
    elif op.multiple or op.holds_jaxprs:
        raise NotAFew
    else:
        results = [_scaled(eqn, operands, known) if op.elementwise else _summed(eqn, operands, known)]
    for x in results:
        if len(x.parts) + len(x.entries) > most:
            raise NotAFew
    return results


def _moved(eqn: Equation, operands: list[Any], places: Sequence[int], known: Known) -> list[Terms]:
    """Elements are moved: the first terms of all operands, then the second ones, and so on."""
    terms = [x for x in operands if type(x) is Terms]
    results = [Terms([], [], v.type) for v in eqn.outputs]
    for k in range(max(len(x.parts) for x in terms)):
        of_k = [_part(x, k) if type(x) is Terms else x for x in operands]
        for result, part in zip(results, moved(eqn, of_k, places, known), strict=True):
            if (part.directions >= 0).any():
                result.parts.append(part)
    for i, x in enumerate(operands):
        if type(x) is Terms and x.entries:
            alone = [
                np.arange(1, x.type.size + 1, dtype=INDEX).reshape(x.type.shape) if j == i
                else np.zeros(y.shape, INDEX) if j in places
                else y
                for j, y in enumerate(operands)
            ]  # fmt: skip
            for result, numbers in zip(results, numbers_moved(eqn, alone, known), strict=True):
                found = [_at_rows(e, numbers.ravel() - 1, x.type.size) for e in x.entries]
                result.entries += [e for e in found if (e.rows >= 0).any()]
    return results


def _part(x: Terms, k: int) -> Seeds:
    """The k-th term of all elements: of none, where there are fewer."""
    return x.parts[k] if k < len(x.parts) else Seeds(np.full(x.type.shape, -1, INDEX), None, x.type)


def _at_rows(e: Entries, source: Any, size: int) -> Entries:
    """The entries after their rows have moved: element o of the result is element ``source[o]``, or zero."""
    moved_to = np.flatnonzero(source >= 0)
    if np.unique(source[moved_to]).size != moved_to.size:
        raise NotAFew  # an element comes twice
    places = np.full(size, -1, INDEX)
    places[source[moved_to]] = moved_to
    return e._replace(rows=np.where(e.rows < 0, -1, places[e.rows]))


def _scaled(eqn: Equation, operands: list[Any], known: Known) -> Terms:
    """Element by element, each linear operand by itself: the others are zero."""
    (t,) = [v.type for v in eqn.outputs]
    parts: dict[Any, Seeds] = {}
    found: list[Entries] = []
    for i, x in enumerate(operands):
        if type(x) is not Terms:
            continue
        alone = [
            scalar_literal(0, y.type.dtype, y.type.weak_type) if type(y) is Terms and j != i else y
            for j, y in enumerate(operands)
        ]
        for s in x.parts:
            made = kept(eqn, [s if j == i else y for j, y in enumerate(alone)], known)
            if made is None:
                raise NotAFew
            _add_part(parts, made[0])
        found += [_scaled_entries(eqn, alone, i, e, t) for e in x.entries]
    return Terms(list(parts.values()), found, t)


def _add_part(parts: dict[Any, Seeds], s: Seeds) -> None:
    """Terms of the same inputs are one."""
    key = s.directions.tobytes()
    other = parts.get(key)
    if other is not None:
        ones = [
            full(x.type.shape, 1, x.type.dtype) if x.scale is None else x.scale for x in (other, s)
        ]
        s = Seeds(s.directions, as_declared(add(*ones), s.type), s.type)
    parts[key] = s


def _scaled_entries(eqn: Equation, alone: Sequence[Any], place: int, e: Entries, t: ArrayType) -> Entries:
    x_type = eqn.inputs[place].type
    data = full((e.rows.size,), 1, x_type.dtype) if e.data is None else convert(e.data, x_type.dtype)
    others = [y for j, y in enumerate(alone) if j != place and type(y) is not Literal]
    if others and e.rows.size > _WRITTEN:
        raise NotAFew
    rows = reshape(array_of(np.maximum(e.rows, 0).astype(INDEX)), (e.rows.size, 1)) if others else None
    given = []
    for j, y in enumerate(alone):
        if j == place:
            given.append(data)
        elif type(y) is Literal:
            given.append(y)
        elif y.shape == x_type.shape:
            given.append(_taken(reshape(y, (y.type.size,)), rows))
        else:
            raise NotAFew
    return e._replace(data=as_declared(bind(eqn.op, *given), ArrayType((e.rows.size,), t.dtype)))


def _summed(eqn: Equation, operands: list[Any], known: Known) -> Terms:
    """Elements are added up, or scaled and moved: the pullback of the unit vectors says to where, and by which factor.
    """
    (t,) = [v.type for v in eqn.outputs]
    variables = list(dict.fromkeys(a for a in eqn.inputs if type(a) is Var))
    values = {a: x for a, x in zip(eqn.inputs, operands, strict=True) if type(a) is Var}
    linear = [type(values[v]) is Terms for v in variables]
    one = Jaxpr(variables, [eqn], eqn.outputs)
    given = [v for v, is_linear in zip(variables, linear, strict=True) if not is_linear]
    inputs = [*[values[v] for v in given], *standard([t])]
    try:
        back, has = transpose_jaxpr(one, linear, [True])
        pulled = iter(push(back, t.size, inputs, [known.get(v) for v in given]))
    except MissingRuleError:
        raise NotAFew from None
    found: list[Entries] = []
    for v, h in zip([v for v, is_linear in zip(variables, linear, strict=True) if is_linear], has, strict=True):
        to = next(pulled) if h else None
        if to is None:
            continue
        if type(to) is not Seeds:
            raise NotAFew
        rows, x = to.directions.ravel(), values[v]
        for s in x.parts:
            found.append(Entries(rows, s.directions.ravel(), _product(s.scale, to.scale, t.dtype)))
        if x.entries and to.scale is not None:
            raise NotAFew
        found += [
            e._replace(rows=np.where(e.rows < 0, -1, rows[e.rows]), data=_product(e.data, None, t.dtype))
            for e in x.entries
        ]
    return Terms([], [e for e in found if e.rows.size], t)


def _product(scale: Any, factor: Any, dtype: np.dtype[Any]) -> Any:
    own = [convert(reshape(x, (x.type.size,)), dtype) for x in (scale, factor) if x is not None]
    return None if not own else own[0] if len(own) == 1 else mul(*own)
