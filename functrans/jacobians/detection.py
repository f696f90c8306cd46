"""Which entries a Jacobian may have: the index-set interpreter of linear programs.

    detect : (a -> b), which inputs -> for each output the inputs that each of its elements depends on

The function is differentiated first, so that operations need rules where they are linear only, and a derivative rule of
the user's is believed rather than the function. In the program (primals, tangents) -> tangents a value depends on
columns, or is known (captured arrays, and what follows from them without rounding), or neither. What is known is
computed when a rule asks: the indices of a gather, the predicate of a selection, the zeros of a matrix. Those captured
arrays are part of the answer's key (``Detected.read``).

    y = x[index] * w          t = gather dx index;  dy = mul t w        element i of dy: {index[i]}, {} where w[i] is 0

Never an entry less than there is: where indices depend on x, all places are assumed, and ``assumed`` says where.
Cost: a few NumPy calls for each equation and step of a loop, and linear in the entries.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from functrans.ir.program import Equation, Jaxpr, Literal
from functrans.ir.types import ArrayType, Shape, kind_of
from functrans.jacobians.patterns import Pattern
from functrans.jacobians.sets import Sets, TooDense, collected, each_its_own, joined, pruned, same, union
from functrans.trace.dependence import VALUE
from functrans.trace.detection import Entry
from functrans.trace.frames import describe_place
from functrans.trace.primitive import Lanes, Primitive
from functrans.trace.tracer import Tracer
from functrans.transform.jvp import jvp_jaxpr
from functrans.transform.vmap import vmap_jaxpr


class Detected(NamedTuple):
    """``pattern``: rows are the elements of the outputs, columns those of the inputs, one after the other; ``read``:
    the places of the inputs whose values it was made for, True where all that counts is which elements are zero."""

    pattern: Pattern
    read: dict[int, bool]


def detect(
    jaxpr: Jaxpr, wrt: Sequence[bool], outputs: int, given: Sequence[Any], limit: int | None = None
) -> Detected:
    """The pattern of the Jacobian of the first ``outputs`` outputs by the inputs ``wrt``.

    ``given``: the values of inputs that are the same at every point (None or a tracer: unknown). ``limit``: raise
    TooDense as soon as a value has more entries than that.
    """
    columns = sum(v.type.size for v, w in zip(jaxpr.inputs, wrt, strict=True) if w)
    program, has = jvp_jaxpr(jaxpr, wrt)
    finder = _Finder(columns, limit)
    read: dict[int, bool] = {}
    entries = [
        _given(v.type, None if w or type(x) is Tracer else x, i, read)
        for i, (v, w, x) in enumerate(zip(jaxpr.inputs, wrt, given, strict=True))
    ]
    first = 0
    for v in program.inputs[len(jaxpr.inputs) :]:
        entries.append(Entry(v.type, each_its_own(v.type.shape, first, columns)))
        first += v.type.size
    results = finder.program(program, entries)[len(jaxpr.outputs) :]
    slopes = iter(results)
    parts = [next(slopes).sets if h else None for h in has][:outputs]
    types = jaxpr.out_types[:outputs]
    if limit is not None:
        total = sum(int(np.diff(p.table.indptr)[p.numbers].sum()) for p in parts if p is not None)
        if total > limit:
            raise TooDense(f"{total} entries, more than {limit}")
    return Detected(_pattern(parts, types, columns, tuple(finder.assumed)), read)


def _given(type: ArrayType, x: Any, place: int, read: dict[int, bool]) -> Entry:
    """An input; None: its value is not known. Numbers are taken for unknown, they change from call to call."""
    if x is None or (not type.shape and kind_of(type.dtype) in "fc"):
        return Entry(type, None)

    def value() -> Any:
        read[place] = False
        return np.asarray(x, type.dtype)

    def nonzero() -> Any:
        read.setdefault(place, True)
        return np.asarray(x, type.dtype) != 0

    return Entry(type, None, value, nonzero)


def _pattern(
    parts: Sequence[Sets | None], types: Sequence[ArrayType], columns: int, assumed: tuple[str, ...]
) -> Pattern:
    rows = sum(t.size for t in types)
    given = [p for p in parts if p is not None]
    if not given:
        return Pattern((rows, columns), np.zeros(rows + 1, np.int64), np.zeros(0, np.int32), assumed)
    table, numbers = joined(parts, [t.shape for t in types])
    chosen = table[np.concatenate([n.ravel() for n in numbers])]
    chosen.sort_indices()
    return Pattern((rows, columns), chosen.indptr.astype(np.int64), chosen.indices.astype(np.int32), assumed)


_STEPS = 50_000  # equations of all steps of all loops together that are looked at one after the other


class _Finder:
    """The detection that rules are handed (trace.detection.Detection)."""

    def __init__(self, columns: int, limit: int | None) -> None:
        self.columns = columns
        self.limit = limit
        self.left = _STEPS
        self.assumed: dict[str, None] = {}
        self.equation: Equation | None = None

    # -- programs ------------------------------------------------------------------------------------------------------

    def program(self, jaxpr: Jaxpr, operands: Sequence[Entry]) -> list[Entry]:
        values: dict[Any, Entry] = dict(zip(jaxpr.inputs, operands, strict=True))
        outer = self.equation
        for eqn in jaxpr.equations:
            self.equation = eqn
            values.update(zip(eqn.outputs, self._applied(eqn, [_entry(a, values) for a in eqn.inputs]), strict=True))
        self.equation = outer
        return [_entry(a, values) for a in jaxpr.outputs]

    def _applied(self, eqn: Equation, operands: list[Entry]) -> list[Entry]:
        op = eqn.op
        types = [v.type for v in eqn.outputs]
        if all(x.sets is None for x in operands):
            nonzero, among = _nonzero(eqn, operands), _among(eqn, operands)
            return [Entry(t, None, k, nonzero, among) for t, k in zip(types, _known(eqn, operands), strict=True)]
        found = op.sparsity(self, operands, types)
        sets = [pruned(s) if s is not None else None for s in (found if op.multiple else [found])]
        if self.limit is not None:
            for s in sets:
                if s is not None and s.table.nnz > self.limit:
                    raise TooDense(f"more than {self.limit} entries in the result of {op.name}")
        if all(s is not None for s in sets):
            return [Entry(t, s) for t, s in zip(types, sets, strict=True)]
        known = _known(eqn, operands)
        return [Entry(t, s, None if s is not None else k) for t, s, k in zip(types, sets, known, strict=True)]

    def step(self, jaxpr: Jaxpr, operands: Sequence[Entry]) -> list[Entry]:
        self.left -= len(jaxpr.equations)
        return self.program(jaxpr, operands)

    def affords(self, equations: int) -> bool:
        return equations <= self.left

    def lanes(self, jaxpr: Jaxpr, size: int, operands: Sequence[Entry], mapped: Sequence[bool]) -> list[Entry]:
        program, _ = vmap_jaxpr(jaxpr, Lanes(size), mapped, True)
        return self.program(program, operands)

    # -- sets ----------------------------------------------------------------------------------------------------------

    def moved(self, op: Any, operands: Sequence[Entry], places: Sequence[int]) -> Any:
        table, numbers = joined([operands[i].sets for i in places], [operands[i].type.shape for i in places])
        by_place = dict(zip(places, numbers, strict=True))
        given = [by_place[i] if i in by_place else x.value() for i, x in enumerate(operands)]
        found = op.over_numbers().impl(*given)
        return [Sets(table, n) for n in found] if op.multiple else Sets(table, np.asarray(found))

    def union(self, *sets: Sets | None) -> Sets | None:
        result: Sets | None = None
        for s in sets:
            result = union(result, s)
        return result

    def reduced(self, sets: Sets | None, axes: Sequence[int]) -> Sets | None:
        if sets is None:
            return None
        shape = tuple([1 if i in axes else n for i, n in enumerate(sets.numbers.shape)])
        targets = np.broadcast_to(_positions(shape), sets.numbers.shape)
        result = tuple([n for i, n in enumerate(sets.numbers.shape) if i not in axes])
        return collected(sets, targets, _positions(sets.numbers.shape), result)

    def mixed(self, sets: Sets | None, axes: Sequence[int]) -> Sets | None:
        if sets is None:
            return None
        shape = sets.numbers.shape
        kept = tuple([1 if i in axes else n for i, n in enumerate(shape)])
        found = self.reduced(sets, axes)
        return self.renumbered(found, lambda numbers: np.broadcast_to(numbers.reshape(kept), shape))

    def renumbered(self, sets: Sets | None, rearrange: Callable[[Any], Any]) -> Sets | None:
        return None if sets is None else Sets(sets.table, rearrange(sets.numbers))

    def collected(self, sets: Sets | None, targets: Any, sources: Any, shape: Shape) -> Sets | None:
        return None if sets is None else collected(sets, targets, sources, shape)

    def stacked(self, rows: Sequence[Sets | None], shape: Shape) -> Sets | None:
        if all(s is None for s in rows):
            return None
        table, numbers = joined(rows, [shape] * len(rows))
        return Sets(table, np.stack(numbers))

    def same(self, a: Sets | None, b: Sets | None) -> bool:
        return same(a, b)

    def assume(self, op: Any) -> None:
        if self.equation is not None:
            self.assumed[f"{op.name} at {describe_place(self.equation.where)}"] = None

    def everything(self, op: Any, operands: Sequence[Entry], types: Sequence[ArrayType]) -> list[Sets | None]:
        parts = [self.reduced(x.sets, range(x.type.ndim)) for x in operands]
        whole = self.union(*parts)
        if whole is None:
            return [None] * len(types)
        if max([t.size for t in types], default=0) > 1:
            self.assume(op)
        return [Sets(whole.table, np.broadcast_to(whole.numbers, t.shape)) for t in types]


def _positions(shape: Shape) -> Any:
    return np.arange(int(np.prod(shape, dtype=np.int64))).reshape(shape)


def _entry(a: Any, values: dict[Any, Entry]) -> Entry:
    if type(a) is Literal:
        return Entry(a.type, None, np.asarray(a.value, a.type.dtype))
    return values[a]


def _nonzero(eqn: Equation, operands: Sequence[Entry]) -> Any:
    """What computes where the result is not zero: moved as the elements are."""
    op = eqn.op
    places = op.moving(len(operands))
    if not places or op.multiple or any(x.known is None for x in operands):
        return None

    def run() -> Any:
        given, holds = [], []
        for i, x in enumerate(operands):
            found = x.holds() if i in places else x.value()
            given.append(np.zeros(x.shape, x.type.dtype) if i in places else found)
            holds.append(np.where(found is None or found, 1, 2).astype(np.int32) if i in places else found)
        origins = op.over_numbers().impl(*[np.broadcast_to(h, x.shape) for h, x in zip(holds, operands, strict=True)])
        if (origins != 0).all():
            return origins == 1
        return np.where(origins == 0, op.impl(*given) != 0, origins == 1)  # 0: what the operation itself puts there

    return run


def _among(eqn: Equation, operands: Sequence[Entry]) -> Any:
    """What computes of which numbers each element of the result is one."""
    op = eqn.op
    if op.multiple or kind_of(eqn.outputs[0].type.dtype) not in "iu":
        return None
    places = [i for i, x in enumerate(operands) if x.among is not None]
    moved = len(places) == 1 and (op.elementwise or list(op.moving(len(operands))) == places)
    if not moved or any(x.known is None for i, x in enumerate(operands) if i not in places):
        tells = type(op).choices is not Primitive.choices
        return (lambda: op.choices([x.type for x in operands])) if tells and not places else None

    def run() -> Any:
        (place,) = places
        found = operands[place].choices()
        values = [x.value() for x in operands]
        if found is None:
            return None
        each = np.moveaxis(found, -1, 0)
        return np.stack([np.asarray(op.impl(*values[:place], x, *values[place + 1 :])) for x in each], -1)

    return run


def _rounds_nothing(eqn: Equation) -> bool:
    """Whether NumPy gives what a compiled program gives, to the last bit."""
    op = eqn.op
    if not eqn.inputs or op.locally_constant or op.moving(len(eqn.inputs)):
        return True
    return all(kind_of(a.type.dtype) in "iub" for a in (*eqn.inputs, *eqn.outputs))


def computed(op: Primitive, values: Sequence[Any]) -> list[Any] | None:
    """The results, of the values that NumPy and devices give alike: not of division by zero nor of a cast that does not
    fit, and of the smallest floats only where they are moved, since devices take them for zero."""
    try:
        with np.errstate(divide="raise", invalid="raise", over="ignore", under="ignore"):
            found = op.impl(*values)
    except FloatingPointError:
        return None
    results = [np.asarray(y) for y in (found if op.multiple else [found])]
    places = op.moving(len(values))
    kept = places and all(y.dtype == values[i].dtype for y in results for i in places)
    return None if not kept and any(map(_has_subnormals, values)) else results


def _has_subnormals(x: Any) -> bool:
    if kind_of(x.dtype) not in "fc":
        return False
    parts = (x.real, x.imag) if x.dtype.kind == "c" else (x,)
    limits: Any = ml_dtypes.finfo(parts[0].dtype)  # type: ignore[no-untyped-call]
    tiny = limits.smallest_normal
    return any(bool(((part != 0) & (abs(part) < tiny)).any()) for part in parts)


def _known(eqn: Equation, operands: Sequence[Entry]) -> list[Any]:
    """For each result what computes it, where it is made of known values alone."""
    op, count = eqn.op, len(eqn.outputs)
    unknown = [x.known is None for x in operands]
    if op.effects or not op.shared or op.axis_names() or not _rounds_nothing(eqn):
        return [None] * count
    if not any(unknown):
        wanted, places, kept = op, list(range(len(operands))), list(range(count))
    else:
        flags = VALUE.results(eqn, unknown)
        narrowed = None if all(flags) else op.narrowed(tuple([not f for f in flags]))
        if narrowed is None or any(unknown[i] for i in narrowed[1]):
            return [None] * count
        wanted, places, kept = narrowed[0], list(narrowed[1]), list(narrowed[2])
    results: list[list[Any]] = []

    def run() -> list[Any]:
        if not results:
            values = [operands[i].value() for i in places]
            found = None if any(v is None for v in values) else computed(wanted, values)
            results.append([None] * len(kept) if found is None else found)
        return results[0]

    def one(i: int) -> Callable[[], Any]:
        return lambda: run()[i]

    known: list[Any] = [None] * count
    for i, place in enumerate(kept):
        known[place] = one(i)
    return known
