"""Plans for Jacobians: forward, reverse, through a bottleneck or coloured, in chunks, within a budget of memory.

The function is linearised once. Its linear program has a cost for each direction; what differs between the plans is how
many directions there are: the inputs, the outputs, twice the width of the narrowest place that everything goes through,
or the colours of the pattern. A plan that the function's derivative rules do not support is none.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from functrans.errors import FunctransError, FunctransValueError, NotLinearError
from functrans.ir.program import Equation, Jaxpr, Var, all_equations, live_equations
from functrans.ir.types import ArrayType, kind_of
from functrans.jacobians.budget import STORED, Budget, bytes_of, in_words, peak_bytes
from functrans.jacobians.colouring import Colouring, bicolour, colour_columns, colour_rows, colour_star
from functrans.jacobians.patterns import Pattern
from functrans.jacobians.terms import sums_of
from functrans.trace.frames import here
from functrans.trace.primitive import program_cost
from functrans.transform.linearize import LinearizedJaxpr, linearize_jaxpr
from functrans.transform.transpose import transpose_jaxpr

FORWARD, REVERSE, MIXED = "forward", "reverse", "mixed"
BY_ENTRY = "entry by entry"
COLUMNS, ROWS, BOTH, STAR = "coloured columns", "coloured rows", "coloured columns and rows", "star colouring"
_WORTH_DETECTING = 1024  # entries of a Jacobian from which on it may pay to know which are zero
_FEW = 3  # passes that colouring both sides is not going to beat
_DENSITY = 0.25  # of entries, from which on no colouring pays
_COMPLEX_ROWS = "there is no reverse mode from complex results to real inputs"
_MOST_TERMS = 32  # of a value


class Candidate(NamedTuple):
    """A plan that was weighed: the directions it pushes forward and pulls back, operations and bytes as they are
    estimated, directions at a time; ``why_not``: empty if it could be taken."""

    name: str
    forward: int
    reverse: int
    flops: float
    bytes: int
    chunk: int | None
    why_not: str = ""


class Cut(NamedTuple):
    """A linear program in two parts: (residuals, inputs) -> the values that everything goes through -> outputs."""

    first: Jaxpr
    second: Jaxpr
    types: tuple[ArrayType, ...]


class Plan(NamedTuple):
    """The candidate that was chosen, all that were weighed, and what it needs: a cut or a colouring of a pattern."""

    chosen: Candidate
    candidates: tuple[Candidate, ...]
    inputs: int
    outputs: int
    cut: Cut | None = None
    pattern: Any = None
    colouring: Any = None
    note: str = ""
    sums: Any = None


class Question(NamedTuple):
    """Which Jacobian: of the ``first`` outputs of the program by the inputs ``wrt``, symmetric or not; ``pattern``:
    what detects its pattern, up to so many entries, and says what to know of it; None: it is not to be looked at."""

    jaxpr: Jaxpr
    wrt: tuple[bool, ...]
    first: int
    symmetric: bool
    pattern: Callable[[int], Any] | None


def plan(question: Question, memory: int | None = None, chunk_size: int | None = None, name: str = "jacobian") -> Plan:
    """The cheapest plan within ``memory`` bytes, with at most ``chunk_size`` directions at a time.

    Raises ValueError where no plan fits, with the least number of bytes that one needs.
    """
    weighing = _Weighing(question, Budget(memory), chunk_size)
    candidates, makers = weighing.candidates()
    possible = [c for c in candidates if not c.why_not]
    if not possible:
        raise _none_possible(candidates, memory, name)
    chosen = min(possible, key=lambda c: (c.flops, c.reverse))
    extra = makers[chosen.name]
    n, m = weighing.n, weighing.m
    return Plan(chosen, tuple(candidates), n, m, note=weighing.note, **extra)


_MODES = {"forward": (True, False), "reverse": (False, True), None: (True, True), "both": (True, True)}


def sparse_plan(
    question: Question, pattern: Pattern, mode: str | None, chunk_size: int | None = None,
    name: str = "sparse_jacobian", read: Mapping[int, Any] = MappingProxyType({}),
) -> Plan:  # fmt: skip
    """The colouring with the fewest passes, or entry by entry, where that is cheaper; ``mode``: by the products that it
    says. ``read``: the values, by place, of inputs of the program that the pattern is for.

    Raises NotLinearError where the function's rules do not support the products, or say nothing of their sums.
    """
    weighing = _Weighing(question, Budget(None), chunk_size)
    forward, reverse = _MODES[mode]
    if weighing.no_forward:  # then a pullback is not known to be linear, and colouring adds cotangents
        raise NotLinearError(
            f"{name}: products with sums of directions are only right where derivative rules are linear, and one here "
            f"is not known to be, at {here()}\n{weighing.no_forward}\nUse jacrev, which takes one row at a time."
        )
    if weighing.no_reverse and not forward:
        raise NotLinearError(f"{name}: mode='reverse' is not supported by the function's rules, at {here()}\n"
                             f"{weighing.no_reverse}")
    if mode == "both" and not weighing.no_reverse:
        found = [(BOTH, bicolour(pattern))]
    else:
        found = choices(pattern, question.symmetric, forward, reverse and not weighing.no_reverse)
    weighed = []
    for kind, made in found:
        kept = made.columns * weighing.m + made.rows * weighing.n
        flops = (made.columns + made.rows) * weighing.cost + kept + STORED * pattern.size
        weighed.append((weighing.weighed(kind, made.columns, made.rows, flops, 16 * pattern.size), made))
    chosen, colouring = min(weighed, key=lambda pair: (pair[0].flops, pair[0].reverse))
    candidates, sums = [c for c, _ in weighed], None
    if mode is None and chunk_size is None and not weighing.no_reverse:
        known = [read.get(place) for place in weighing.split.sources]
        most = min(2 * (colouring.columns + colouring.rows), _MOST_TERMS)
        sums = sums_of(
            weighing.linear, known, weighing.ins, weighing.outs, weighing.split.nonzero[: question.first], pattern, most
        )
    if sums is not None:
        candidates.append(weighing.weighed(BY_ENTRY, 0, 0, sums.cost, 16 * pattern.size))
        if sums.cost < chosen.flops:
            chosen = candidates[-1]
        else:
            sums = None
    return Plan(chosen, tuple(candidates), weighing.n, weighing.m, pattern=pattern, colouring=colouring, sums=sums)


def _none_possible(candidates: Sequence[Candidate], memory: int | None, name: str) -> FunctransError:
    over = [c for c in candidates if c.bytes and c.why_not.startswith("over")]
    if over and memory is not None:
        least = min(c.bytes for c in over)
        return FunctransValueError(
            f"{name}: memory={memory} ({in_words(memory)}) is below the least possible, {least} bytes "
            f"({in_words(least)}) with one direction at a time, at {here()}\nThe result alone is a part of it; "
            "sparse_jacobian stores its entries alone, and jvp, vjp and hvp give products without it."
        )
    reasons = "\n".join(f"  {c.name}: {c.why_not}" for c in candidates)
    return NotLinearError(f"{name}: the function has no mode of differentiation that its rules support:\n{reasons}")


class _Weighing:
    def __init__(self, question: Question, budget: Budget, chunk_size: int | None) -> None:
        self.question, self.budget, self.chunk_size = question, budget, chunk_size
        jaxpr, wrt, first = question.jaxpr, question.wrt, question.first
        self.ins = [t for t, w in zip(jaxpr.in_types, wrt, strict=True) if w]
        self.outs = list(jaxpr.out_types[:first])
        self.n, self.m = (sum(t.size for t in types) for types in (self.ins, self.outs))
        self.split: LinearizedJaxpr = linearize_jaxpr(jaxpr, wrt)
        self.linear = linear_part(self.split, first)
        count = len(self.linear.inputs) - len(self.ins)
        given = len(jaxpr.inputs)
        made = [t for t, place in zip(self.linear.in_types, self.split.sources, strict=False) if place >= given]
        self.residuals = max(bytes_of(made), peak_bytes(self.split.primal))
        self.result = self.m * self.n * max([t.dtype.itemsize for t in (*self.outs, *self.ins)], default=1)
        self.no_forward = _refusal(lambda: _runs_forward(self.linear))
        linear = [False] * count + [True] * len(self.ins)
        backward = functools.partial(transpose_jaxpr, self.linear, linear, [True] * len(self.linear.outputs))
        one_way = _complex(self.outs, any) and not _complex(self.ins, all)
        self.no_reverse = _COMPLEX_ROWS if one_way else _refusal(backward)
        counted = self.linear if not self.no_forward or self.no_reverse else backward()[0]
        self.cost = max(program_cost(counted), 1) if not (self.no_forward and self.no_reverse) else 1
        self.each = max(peak_bytes(counted), 1)
        self.note = ""

    def candidates(self) -> tuple[list[Candidate], dict[str, dict[str, Any]]]:
        stored = self.n * self.m
        turned = STORED if len(self.outs) and self.n > 1 else 1.0  # columns become rows
        found = [
            self.weighed(FORWARD, self.n, 0, self.n * self.cost + turned * stored, 2 * self.result, self.no_forward),
            self.weighed(REVERSE, 0, self.m, self.m * self.cost + stored, 2 * self.result, self.no_reverse),
        ]
        makers: dict[str, dict[str, Any]] = {FORWARD: {}, REVERSE: {}}
        cut = None if self.no_forward or self.no_reverse else self.cut()
        if cut is not None:
            found.append(self.through(cut))
            makers[MIXED] = {"cut": cut}
        for candidate, extra in self.coloured():
            found.append(candidate)
            makers[candidate.name] = extra
        return found, makers

    def weighed(
        self, name: str, forward: int, reverse: int, flops: float, fixed: int, why_not: str = ""
    ) -> Candidate:
        """``fixed``: bytes besides the residuals and a direction's own."""
        wanted = max(forward, reverse, 1)
        if self.chunk_size is not None:
            wanted = min(wanted, self.chunk_size)
        fixed += self.residuals
        chunk = self.budget.most(fixed, self.each, wanted)
        if not why_not and not chunk:
            why_not = f"over the budget: {in_words(fixed + self.each)} with one direction at a time"
            chunk = 1
        whole = chunk >= max(forward, reverse)
        return Candidate(
            name, forward, reverse, flops, fixed + max(chunk, 1) * self.each, None if whole else chunk, why_not
        )

    # -- through a bottleneck ------------------------------------------------------------------------------------------

    def cut(self) -> Cut | None:
        """The narrowest place of the linear program where all that crosses it has the dtype of the ends, if it is
        narrower than both of them. Complex numbers may not cross: by their parts the second half need not be linear
        in them, and they are two directions each.
        """
        types = [*self.ins, *self.outs]
        if not types or any(t.dtype != types[0].dtype or kind_of(t.dtype) == "c" for t in types):
            return None
        program, count = self.linear, len(self.linear.inputs) - len(self.ins)
        moving: set[Any] = set(program.inputs[count:])
        last = {a: i for i, eqn in enumerate(program.equations) for a in eqn.inputs}
        last.update((a, len(program.equations)) for a in program.outputs)
        live, best, at = {v for v in moving if v in last}, min(self.n, self.m), -1
        size = sum(v.type.size for v in live)
        others = 0  # values that cross and are of another dtype
        for i, eqn in enumerate(program.equations):
            if not moving.isdisjoint(eqn.inputs):
                moving.update(eqn.outputs)
                read = [v for v in eqn.outputs if last.get(v, -1) > i]
                live.update(read)
                size += sum(v.type.size for v in read)
                others += sum(v.type.dtype != types[0].dtype for v in read)
            ended = {a for a in eqn.inputs if last[a] == i and a in live}
            live -= ended
            size -= sum(a.type.size for a in ended)
            others -= sum(a.type.dtype != types[0].dtype for a in ended)
            if not others and 0 < size < best:
                best, at = size, i
        return None if at < 0 or 2 * best > min(self.n, self.m) else _cut(program, count, at)

    def through(self, cut: Cut) -> Candidate:
        size = sum(t.size for t in cut.types)
        first, second = program_cost(cut.first), program_cost(cut.second)
        into, out = min(self.n, size), min(self.m, size)
        flops = into * first + out * second + 2.0 * size * self.n * self.m / 8 + self.n * self.m
        width = bytes_of(cut.types) * (self.n + self.m)
        forward = (into if self.n <= size else 0) + (out if size <= self.m else 0)
        return self.weighed(MIXED, forward, into + out - forward, flops, self.result + 2 * width)

    # -- coloured ------------------------------------------------------------------------------------------------------

    def coloured(self) -> list[tuple[Candidate, dict[str, Any]]]:
        detect = self.question.pattern
        if detect is None or self.n * self.m < _WORTH_DETECTING or min(self.n, self.m) < 8:
            return []
        if self.no_forward:
            self.note = f"no pattern was looked for: {self.no_forward}"
            return []
        pattern, self.note = detect(int(_DENSITY * self.n * self.m))
        if pattern is None:
            return []
        result = []
        for name, made in choices(pattern, self.question.symmetric, True, not self.no_reverse):
            flops = made.columns * self.cost + made.rows * self.cost + STORED * pattern.size + self.n * self.m
            fixed = self.result + 4 * pattern.size * 4
            candidate = self.weighed(name, made.columns, made.rows, flops, fixed)
            result.append((candidate, {"pattern": pattern, "colouring": made}))
        return result


def choices(
    pattern: Pattern, symmetric: bool, forward: bool = True, reverse: bool = True
) -> list[tuple[str, Colouring]]:
    """The colourings of a pattern that may be cheapest, for a function with these modes."""
    if symmetric and forward:
        return [(STAR, colour_star(pattern))]
    found = []
    if forward:
        found.append((COLUMNS, colour_columns(pattern)))
    if reverse:
        found.append((ROWS, colour_rows(pattern)))
    if forward and reverse and min(made.columns + made.rows for _, made in found) > _FEW:
        found.append((BOTH, bicolour(pattern)))
    return found


def linear_part(split: LinearizedJaxpr, first: int) -> Jaxpr:
    """The linear program of the ``first`` outputs. Remembered on that of all."""
    linear = split.linear
    if not any(split.nonzero[first:]):
        return linear

    def part() -> Jaxpr:
        keep = [i for i, nz in enumerate(split.nonzero) if nz]
        outputs = [a for a, i in zip(linear.outputs, keep, strict=True) if i < first]
        return Jaxpr(linear.inputs, live_equations(linear.equations, outputs, keep_effects=False)[0], outputs)

    return linear.remember(("first", first), part)


def _complex(types: Sequence[ArrayType], which: Callable[[Iterable[bool]], bool]) -> bool:
    return which(kind_of(t.dtype) == "c" for t in types)


def _refusal(attempt: Callable[[], object]) -> str:
    """Why an attempt is refused by a rule, ours or another library's; empty if it is not."""
    try:
        attempt()
    except Exception as error:
        return (str(error) or type(error).__name__).splitlines()[0]
    return ""


def _runs_forward(jaxpr: Jaxpr) -> None:
    """Ask every operation that is compiled as another program for that: some have one only if a rule is linear."""
    for eqn in all_equations(jaxpr):
        if eqn.op.gives_place:
            eqn.op.in_place(eqn.inputs)


def _cut(program: Jaxpr, count: int, at: int) -> Cut:
    """The program cut behind the equation ``at``."""
    moving: set[Any] = set(program.inputs[count:])
    first: list[Equation] = []
    second: list[Equation] = []
    for i, eqn in enumerate(program.equations):
        depends = not moving.isdisjoint(eqn.inputs)
        if depends:
            moving.update(eqn.outputs)
        if i <= at:
            first.append(eqn)
        if i > at or not depends:
            second.append(eqn)
    made = {v for eqn in first for v in eqn.outputs} | set(program.inputs[count:])
    read = dict.fromkeys(
        [a for eqn in program.equations[at + 1 :] for a in eqn.inputs] + list(program.outputs)
    )
    between: list[Var] = [a for a in read if type(a) is Var and a in made and a in moving]
    residuals = program.inputs[:count]
    head, _ = live_equations(first, between, keep_effects=False)
    tail, _ = live_equations(second, program.outputs, keep_effects=False)
    return Cut(
        Jaxpr(program.inputs, head, between),
        Jaxpr([*residuals, *between], tail, program.outputs),
        tuple([v.type for v in between]),
    )
