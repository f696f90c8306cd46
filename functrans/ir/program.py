"""Programs: ``Var``, ``Literal``, ``Equation``, ``Jaxpr``. Immutable once a builder has finished them.

    { lambda ; a:f32[3]. let b:f32[3] = sin a; c:f32[3] = mul b 2.0 in (c,) }

Everything that a function closes over is an input, so a jaxpr has no constants besides scalar literals. Two jaxprs are
equal when they are the same program up to the names of variables (``Jaxpr.key``); user lines do not count.

Scripts that read programs find what they are used to: ``jaxpr.jaxpr.eqns``, ``invars``, ``aval``, ``primitive.name``.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np

from functrans.ir.effects import NO_EFFECTS, Effects
from functrans.ir.exact import scalar_bits
from functrans.ir.types import ArrayType, Shape

if TYPE_CHECKING:
    from functrans.trace.primitive import Primitive

# Where an equation came from: the user's code object and the offset of the instruction in it. Cheap to record; decoded
# into file and line only when somebody asks (ir.show.location).
Where: TypeAlias = "tuple[Any, int] | None"


T = TypeVar("T")


class Var:
    """A variable of a jaxpr. ``id`` numbers the variables of one builder in the order of their creation."""

    __slots__ = ("id", "type")

    def __init__(self, id: int, type: ArrayType) -> None:
        self.id = id
        self.type = type

    @property
    def aval(self) -> ArrayType:
        return self.type

    def __repr__(self) -> str:
        return f"Var({self.id}, {self.type})"


class Literal:
    """A scalar written into the program: ``value`` is a Python number or NumPy scalar, ``type`` has rank 0."""

    __slots__ = ("_hash", "argument", "key", "type", "value")

    def __init__(self, value: Any, type: ArrayType) -> None:
        if isinstance(value, np.ndarray):  # of rank 0
            value = value[()]
        self.value = value
        self.type = type
        self.argument: Any = None  # (device, the number as an array on it), once it has been one
        self.key = (value.__class__, scalar_bits(value), type)
        self._hash = hash(self.key)

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Literal) and self.key == other.key)

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> Any:
        return Literal, (self.value, self.type)

    @property
    def shape(self) -> Shape:
        return self.type.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.type.dtype

    @property
    def ndim(self) -> int:
        return 0

    @property
    def aval(self) -> ArrayType:
        return self.type

    @property
    def val(self) -> Any:
        return self.value

    def __repr__(self) -> str:
        return f"Literal({self.value}, {self.type})"


Atom: TypeAlias = Var | Literal


class Equation:
    """``outputs = op inputs``: one application of a primitive. ``op`` carries its parameters."""

    __slots__ = ("inputs", "op", "outputs", "where")

    def __init__(self, op: Primitive, inputs: Sequence[Atom], outputs: Sequence[Var], where: Where) -> None:
        self.op = op
        self.inputs = inputs
        self.outputs = outputs
        self.where = where

    @property
    def primitive(self) -> Primitive:
        return self.op

    @property
    def params(self) -> dict[str, Any]:
        return self.op.parameters()

    @property
    def invars(self) -> list[Atom]:
        return list(self.inputs)

    @property
    def outvars(self) -> list[Var]:
        return list(self.outputs)

    def __repr__(self) -> str:
        return f"Equation({self.outputs} = {self.op} {self.inputs})"


class Jaxpr:
    """A program: ``inputs`` (Vars), ``equations`` in order, ``outputs`` (Vars or Literals).

    What has been derived from this very program (its transforms, its executable) is remembered on it (``remember``).
    """

    __slots__ = ("__weakref__", "_hash", "_key", "equations", "inputs", "memo", "outputs")

    def __init__(self, inputs: Sequence[Var], equations: Sequence[Equation], outputs: Sequence[Atom]) -> None:
        self.inputs = tuple(inputs)
        self.equations = tuple(equations)
        self.outputs = tuple(outputs)
        self.memo: dict[Any, Any] = {}
        self._key: tuple[Any, ...] | None = None
        self._hash = 0

    def remember(self, key: Hashable, make: Callable[[], T]) -> T:
        """What ``make`` derives from this program, made once. Whatever else that depends on is in the key."""
        memo = self.memo
        if key not in memo:
            memo[key] = make()
        return memo[key]  # type: ignore[no-any-return]

    @property
    def in_types(self) -> tuple[ArrayType, ...]:
        return tuple([v.type for v in self.inputs])

    @property
    def out_types(self) -> tuple[ArrayType, ...]:
        return tuple([v.type for v in self.outputs])

    # JAX's names: its jaxpr may be closed, which holds one and the constants.

    @property
    def jaxpr(self) -> Jaxpr:
        return self

    @property
    def consts(self) -> list[Any]:
        return []

    literals = consts

    @property
    def constvars(self) -> list[Var]:
        return []

    @property
    def invars(self) -> list[Var]:
        return list(self.inputs)

    @property
    def outvars(self) -> list[Atom]:
        return list(self.outputs)

    @property
    def eqns(self) -> list[Equation]:
        return list(self.equations)

    @property
    def in_avals(self) -> list[ArrayType]:
        return list(self.in_types)

    @property
    def out_avals(self) -> list[ArrayType]:
        return list(self.out_types)

    @property
    def effects(self) -> Effects:
        """What the program does besides computing its outputs."""
        return self.remember("effects", lambda: NO_EFFECTS.union(*[eqn.op.effects for eqn in self.equations]))

    @property
    def shared(self) -> bool:
        """Whether two runs of the program on the same values are as good as one: in their derivatives, too."""
        known = self.memo.get("shared")
        if known is None:
            known = self.memo["shared"] = all(eqn.op.shared for eqn in self.equations)
        return known

    @property
    def key(self) -> tuple[Any, ...]:
        """The structural key: equal for programs that are the same up to the names of variables."""
        key = self._key
        if key is None:
            key = self._structural_key()
            self._hash = hash(key)
            self._key = key  # last: who sees it takes the hash for right
        return key

    def _structural_key(self) -> tuple[Any, ...]:
        number: dict[Var, int] = {v: i for i, v in enumerate(self.inputs)}
        rows: list[tuple[Any, ...]] = []
        for eqn in self.equations:
            rows.append((eqn.op, *[number[a] if type(a) is Var else a for a in eqn.inputs]))
            for v in eqn.outputs:
                number[v] = len(number)
        outs = [number[a] if type(a) is Var else a for a in self.outputs]
        return (self.in_types, tuple(rows), tuple(outs))

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Jaxpr) and self.key == other.key)

    def __hash__(self) -> int:
        if self._key is None:
            return hash(self.key)
        return self._hash


def subjaxprs(op: Any) -> Iterator[Jaxpr]:
    """The jaxprs that an operation holds among its parameters."""
    for value in op.parameters().values():
        if isinstance(value, Jaxpr):
            yield value
        elif isinstance(value, tuple):
            yield from (v for v in value if isinstance(v, Jaxpr))


def with_programs(op: Any, rewrite: Callable[[Jaxpr], Jaxpr]) -> Any:
    """The operation with each jaxpr that it holds rewritten; itself where none changes."""

    def rewritten(value: Any) -> Any:
        if isinstance(value, Jaxpr):
            return rewrite(value)
        if isinstance(value, tuple) and any(isinstance(v, Jaxpr) for v in value):
            programs = tuple(map(rewritten, value))
            return value if all(a is b for a, b in zip(programs, value, strict=True)) else programs
        return value

    parameters = op.parameters()
    held = {name: rewritten(value) for name, value in parameters.items()}
    return op if all(held[name] is value for name, value in parameters.items()) else type(op)(**held)


def all_equations(jaxpr: Jaxpr) -> Iterator[Equation]:
    """Every equation of the program and of the programs that its operations hold, outermost first."""
    stack = [jaxpr]
    while stack:
        current = stack.pop()
        for eqn in current.equations:
            yield eqn
            if eqn.op.holds_jaxprs:
                stack.extend(subjaxprs(eqn.op))


def live_equations(
    equations: Sequence[Equation], outputs: Iterable[Any], keep_effects: bool = True
) -> tuple[list[Equation], set[Var]]:
    """The equations that ``outputs`` need, in order, and the variables they read.

    Equations with effects are needed always, unless ``keep_effects`` is off: then they happen elsewhere. An operation
    of several results loses the results that nobody reads, and the work behind them.
    """
    live: set[Var] = {a for a in outputs if type(a) is Var}
    kept: list[Equation] = []
    for eqn in reversed(equations):
        outputs, op = eqn.outputs, eqn.op
        needed = (outputs and outputs[0] in live) or (len(outputs) > 1 and not live.isdisjoint(outputs))
        if needed or (keep_effects and op.effects):
            if (op.holds_jaxprs or len(outputs) > 1) and not op.effects:
                eqn = _narrowed(eqn, tuple([v in live for v in outputs]))
            kept.append(eqn)
            for a in eqn.inputs:
                if type(a) is Var:
                    live.add(a)
    kept.reverse()
    return kept, live


def _narrowed(eqn: Equation, used: tuple[bool, ...]) -> Equation:
    """The equation without the results that are not used."""
    found = eqn.op.narrowed(used)
    if found is None:
        return eqn
    op, operands, results = found
    return Equation(op, [eqn.inputs[i] for i in operands], tuple([eqn.outputs[i] for i in results]), eqn.where)
