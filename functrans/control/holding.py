"""What branches and loops share: the base class of operations that hold programs, fixpoints, and shared inputs.

A held program has no constants: what a branch or body closes over are leading operands of the operation.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from functrans.errors import FunctransTypeError
from functrans.ir.program import Atom, Equation, Jaxpr, Literal, Var, subjaxprs, with_programs
from functrans.ir.types import ArrayType, array_type
from functrans.ops.dynamic_slicing import dynamic_slice
from functrans.ops.logic import SELECT
from functrans.ops.structural import broadcast_in_dim, full, reshape
from functrans.trace.binding import bind, bind_all
from functrans.trace.primitive import Primitive, Tangent, Value, is_passing
from functrans.trace.series import Line
from functrans.transform.jvp import push_tangents

Push = Callable[..., tuple[Jaxpr, tuple[tuple[bool, ...], ...]]]
"""(program, which further values are given for each input: as many flags for each; flags of the outputs that are made
zeros where they are zero, or None) -> (the program with those behind its inputs, and with the further values of its
outputs behind these; which there are for each output): transform.jvp.push_tangents, transform.taylor.taylor_jaxpr."""


class Holding(Primitive):
    """An operation that holds jaxprs and has a list of results."""

    multiple = True
    holds_jaxprs = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.__eq__ = Primitive.__eq__  # type: ignore[method-assign]  # this class has no fields and compares by address;
        cls.__hash__ = Primitive.__hash__  # type: ignore[method-assign]  # its subclasses compare by the programs they hold

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        outs, slopes = self.pushed(primals, [(t,) for t in tangents], push_tangents)
        return outs, [t for (t,) in slopes]

    def taylor(self, line: Line, operands: Sequence[Any]) -> Any:
        return line.pushed(self, operands)

    def pushed(
        self, primals: Sequence[Value], extras: Sequence[Sequence[Tangent]], push: Push
    ) -> tuple[list[Any], list[tuple[Any, ...]]]:
        """The operation over programs that ``push`` made: the results, and further values of each; ``extras`` are those
        of each operand, as many for each (None: zero)."""
        self.missing("pushed", "differentiation (jvp, grad, vjp, linearize)")

    @property
    def passing(self) -> bool:  # type: ignore[override]
        """Where an operation of a held program is."""
        return any(map(is_passing, subjaxprs(self)))

    def axis_names(self) -> frozenset[Any]:
        return frozenset().union(*[jaxpr_axis_names(jaxpr) for jaxpr in subjaxprs(self)])

    def run_where(self, mask: Any, operands: Sequence[Any]) -> list[Any]:
        return bind_all(self, operands)

    def as_run(self, operands: Sequence[Any]) -> tuple[Primitive, Sequence[Any]]:
        return with_programs(self, program_as_run), operands

    def narrowed(self, used: tuple[bool, ...]) -> tuple[Primitive, Sequence[int], Sequence[int]] | None:
        """What ``drop_unused`` says, remembered on a held program."""
        if type(self).drop_unused is Holding.drop_unused:
            return None
        lead = next(subjaxprs(self))
        others = [v[1:] if type(v) is tuple and v and v[0] is lead else v for v in self.parameters().values()]
        key = ("narrowed", type(self), *[v for v in others if v is not lead], used)  # no reference to lead itself
        return lead.remember(key, lambda: self.drop_unused(used))

    def drop_unused(self, used: Sequence[bool]) -> tuple[Primitive, Sequence[int], Sequence[int]] | None:
        """As ``narrowed``: each operation says it for itself."""
        return None


def program_as_run(jaxpr: Jaxpr) -> Jaxpr:
    """The program of operations as they run (``Primitive.as_run``). Remembered on it."""
    return jaxpr.remember("as run", lambda: _as_run(jaxpr))


def _as_run(jaxpr: Jaxpr) -> Jaxpr:
    equations = []
    for eqn in jaxpr.equations:
        op, operands = eqn.op.as_run(eqn.inputs)
        equations.append(eqn if op is eqn.op else Equation(op, operands, eqn.outputs, eqn.where))
    return jaxpr if unchanged(equations, jaxpr) else Jaxpr(jaxpr.inputs, equations, jaxpr.outputs)


def jaxpr_axis_names(jaxpr: Jaxpr) -> frozenset[Any]:
    """Names of mapped axes that the program speaks of and does not bind."""
    empty: frozenset[Any] = frozenset()
    return jaxpr.remember("axis names", lambda: empty.union(*(eqn.op.axis_names() for eqn in jaxpr.equations)))


def fixpoint(start: Iterable[bool], step: Callable[[tuple[bool, ...]], Iterable[bool]]) -> tuple[bool, ...]:
    """The smallest set of flags that holds ``start`` and what ``step`` makes of the set itself."""
    current = tuple(start)
    while True:
        grown = tuple([a or b for a, b in zip(current, step(current), strict=True)])
        if grown == current:
            return current
        current = grown


def fixpoint_rows(
    start: Iterable[Iterable[bool]], step: Callable[[list[tuple[bool, ...]]], Iterable[Sequence[bool]]]
) -> list[tuple[bool, ...]]:
    """As ``fixpoint``, of rows; one that grows gets all flags behind its first, so that a few steps are enough."""
    current = [tuple(own) for own in start]
    while True:
        grown = [tuple(map(operator.or_, a, b)) for a, b in zip(current, step(current), strict=True)]
        if grown == current:
            return current
        first = [own.index(True) if any(own) else len(own) for own in grown]
        current = [
            own if own == old else tuple([i >= f for i in range(len(own))])
            for own, old, f in zip(grown, current, first, strict=True)
        ]


def count(flags: Iterable[bool]) -> int:
    """How many flags are set."""
    return sum(map(bool, flags))


def chosen(values: Sequence[Any], flags: Iterable[bool]) -> list[Any]:
    """The values whose flag is set."""
    return [x for x, flag in zip(values, flags, strict=True) if flag]


def placed(values: Iterable[Any], flags: Iterable[bool]) -> list[Any]:
    """The values at the places whose flag is set, None at the others: the inverse of ``chosen``."""
    rest = iter(values)
    return [next(rest) if flag else None for flag in flags]


def present(values: Iterable[Any]) -> list[Any]:
    """The values that are not None."""
    return [x for x in values if x is not None]


def is_given(values: Iterable[Any]) -> list[bool]:
    """Which values are not None."""
    return [x is not None for x in values]


def rows_given(extras: Iterable[Iterable[Any]]) -> list[tuple[bool, ...]]:
    """``is_given`` of each row."""
    return [tuple(is_given(own)) for own in extras]


def flat(rows: Iterable[Iterable[Any]]) -> list[Any]:
    """The items of all rows."""
    return [x for own in rows for x in own]


def rows_placed(values: Iterable[Any], flags: Iterable[Iterable[bool]]) -> list[tuple[Any, ...]]:
    """``placed`` in rows."""
    rest = iter(values)
    return [tuple([next(rest) if flag else None for flag in own]) for own in flags]


def strong_zero(type: ArrayType) -> Literal:
    """A scalar zero of this dtype.

    It stands for a whole array of zeros where an operation takes an initial carry: a literal is never captured, so the
    zero tangent or cotangent that a loop starts from is no residual.
    """
    zero = 0j if type.dtype.kind == "c" else False if type.dtype.kind == "b" else 0 if type.dtype.kind in "iu" else 0.0
    return Literal(zero, array_type((), type.dtype))


def initial_lanes(x: Any, type: ArrayType, size: int, mapped: bool) -> Any:
    """An initial carry with a mapped axis 0. One of rank 0 stands for a whole array; as a literal it still does."""
    if isinstance(x, Literal):
        return x
    shape = (size, *type.shape)
    if mapped:
        return x if x.shape == shape else broadcast_in_dim(x, shape, (0,))
    return broadcast_in_dim(x, shape, tuple(range(1, len(shape))) if x.shape == type.shape else ())


def strong_zeros(type: ArrayType) -> Any:
    """An array of zeros, strongly typed, inside the program being traced."""
    return full(type.shape, 0, type.dtype)


def permuted(jaxpr: Jaxpr, inputs: Sequence[int], outputs: Sequence[int]) -> Jaxpr:
    """The program with its inputs and outputs in another order (or fewer outputs). Remembered on the jaxpr."""
    return jaxpr.remember(
        ("permuted", tuple(inputs), tuple(outputs)),
        lambda: Jaxpr([jaxpr.inputs[i] for i in inputs], jaxpr.equations, [jaxpr.outputs[i] for i in outputs]),
    )


def share_captured(programs: Sequence[Jaxpr], captured: Sequence[Sequence[Any]]) -> tuple[list[Jaxpr], list[Any]]:
    """Programs whose leading inputs are what each captured -> programs that all take one list of captured values."""
    shared: dict[int, tuple[Any, ArrayType]] = {}
    for jaxpr, values in zip(programs, captured, strict=True):
        for x, v in zip(values, jaxpr.inputs, strict=False):
            shared.setdefault(id(x), (x, v.type))
    widened = []
    for jaxpr, values in zip(programs, captured, strict=True):
        own = {id(x): v for x, v in zip(values, jaxpr.inputs, strict=False)}
        leading = [own[key] if key in own else Var(-1, type_) for key, (_, type_) in shared.items()]
        widened.append(Jaxpr([*leading, *jaxpr.inputs[len(values) :]], jaxpr.equations, jaxpr.outputs))
    return widened, [x for x, _ in shared.values()]


def unchanged(equations: Sequence[Equation], jaxpr: Jaxpr) -> bool:
    """Whether these are the equations of the program."""
    return len(equations) == len(jaxpr.equations) and all(map(operator.is_, equations, jaxpr.equations))


def depends_on(jaxpr: Jaxpr, sources: Iterable[Var]) -> set[Atom]:
    """The variables that depend on any of ``sources``, themselves included."""
    reached: set[Atom] = set(sources)
    for eqn in jaxpr.equations:
        if any(type(a) is Var and a in reached for a in eqn.inputs):
            reached.update(eqn.outputs)
    return reached


def check_operand(what: str, place: str, given: ArrayType, wanted: ArrayType, scalars: bool = False) -> None:
    """Raise unless an operand has the shape and dtype that a held program takes."""
    if given.dtype != wanted.dtype or (given.shape != wanted.shape and not (scalars and not given.shape)):
        raise FunctransTypeError(f"{what}: {place} has type {given}, and the program takes {wanted}")


def choose_lanes(which: Any, on_true: Any, on_false: Any) -> Any:
    """For mapped ``which: [n]``, arrays of shape [n, ...]: the lanes of one or the other."""
    if on_true is on_false:
        return on_true
    if on_true.ndim > 1:
        which = broadcast_in_dim(which, on_true.shape, (0,))
    return bind(SELECT, which, on_true, on_false)


def row(x: Any, i: Any) -> Any:
    """``x[i]`` for an index that is a value of the program."""
    rest = x.type.shape[1:]
    return reshape(dynamic_slice(x, [i, *[0] * len(rest)], (1, *rest)), rest)
