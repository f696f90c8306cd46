"""Primitives: one class an operation; its fields are its parameters, its methods are its rules.

    class Sinc(Primitive):
        def infer(self, x): return x                                   # ArrayType -> ArrayType
        def impl(self, x): return np.sinc(x)                           # NumPy: what the tests compare with
        def jvp(self, primals, tangents): ...                          # (a, T a) -> (b, T b)
        def transpose(self, cotangent, x): ...                         # T b -> T a, only where linear
        def batch(self, lanes, operands, mapped): ...                  # the mapped axis is axis 0
        def lower(self, emitter, operands, in_types, out_types): ...   # StableHLO

Fields are declared as in a dataclass (``axes: tuple[int, ...]``), are frozen and hashable, and are part of the
program's structural key. ``None`` is a zero tangent or cotangent in every rule.

What a rule (and ``fold``) may meet. ``bind`` and the entries of the transforms (``trace.replay.entering``) guarantee
it, whatever the user passed; ``testing.variations`` draws all of it for every primitive:

- A value, tangent or cotangent is a ``Tracer`` or a ``Literal``; in ``transpose`` a linear operand is a ``Linear``.
  Never a Python number, a NumPy scalar or an array. All three have ``type``, ``shape``, ``dtype`` and ``ndim``.
- A ``Literal`` has rank 0, and the dtype and weak flag of the variable that it stands for. It stands for an array only
  where ``literal_places`` says so. Values, tangents, cotangents: any of them may be one.
- Operands are weak in any subset; vmap, jvp and linearize give results the weak flag that ``infer`` gave them.
- One tracer may be several operands, with tangents of their own, and one tracer the tangent of several operands.
- ``None`` tangents in any subset but all, ``None`` cotangents in any subset but all, mapped operands in any subset
  but none, or none where the operation names the mapped axis; batched again, any other subset.
- A tracer may belong to any open builder around the current one (``bind`` captures it): ``x.builder`` says nothing.
- Axes have any length, 0 and 1 among them; so has the mapped axis.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, NoReturn, TypeAlias, dataclass_transform

import numpy as np

from functrans.errors import MissingRuleError
from functrans.ir.cache import Cache
from functrans.ir.effects import NO_EFFECTS, Effects
from functrans.ir.exact import exact_key
from functrans.ir.program import Equation, Jaxpr, Literal, Var, subjaxprs
from functrans.ir.types import ArrayType, Typed
from functrans.trace.emitter import EmitterProtocol, Names, Types

if TYPE_CHECKING:
    from functrans.trace.dependence import Dependence
    from functrans.trace.detection import Detection, Entry
    from functrans.trace.series import Line, Series
    from functrans.trace.tracer import Tracer

Value: TypeAlias = "Tracer | Literal"  # what stands for an array in a rule
Tangent: TypeAlias = "Tracer | Literal | None"  # and for a tangent or cotangent, where None is zero

_HOME = __name__.partition(".")[0] + "."
_DERIVATIVES = frozenset({"jvp", "linearize", "partial"})  # methods that say what a derivative is
_NUMBERS = (int, float, complex, np.number, np.bool_)
_INTS = frozenset((int,))


def _whole(x: Any) -> Any:
    """True, 1.0 and NumPy's 1 as 1, which they are equal to: they are one parameter, and may be one object."""
    if type(x) is int or not isinstance(x, _NUMBERS) or x.imag or x.real % 1:
        return x
    return int(x.real) if x.real == x.real and abs(x.real) != math.inf else x


def _truth(x: Any) -> Any:
    return bool(x) if type(x) is not bool and isinstance(x, _NUMBERS) and x in (0, 1) else x


def _is_of(kind: type, x: Any) -> bool:
    """Whether a parameter is of its declared kind: then what Python finds equal to it is converted to it."""
    if kind is tuple:
        return type(x) is tuple and _INTS.issuperset(map(type, x))
    return type(x) is kind or (kind is np.dtype and isinstance(x, np.dtype))


def _whole_numbers(x: Any) -> Any:
    return tuple([_whole(n) for n in x]) if isinstance(x, tuple) else x


_CONVERSIONS: dict[str, Callable[[Any], Any]] = {  # by the annotation of a field
    "int": _whole, "bool": _truth, "tuple[int, ...]": _whole_numbers, "Shape": _whole_numbers, "Axes": _whole_numbers,
}  # fmt: skip
_SAFE_FIELDS: dict[str, type] = {
    "int": int, "bool": bool, "str": str, "np.dtype[Any]": np.dtype, "tuple[int, ...]": tuple, "Shape": tuple,
    "Axes": tuple,
}  # fmt: skip


class _PrimitiveMeta(type):
    """Makes equal primitives the same object where it can, so that comparing them is comparing addresses."""

    _shared: Cache

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if kwargs or not cls._interned:  # type: ignore[attr-defined]
            return super().__call__(*args, **kwargs)
        try:
            found = cls._shared.get(args) or cls._shared.find(args)
        except TypeError:  # an unhashable argument: let the constructor speak
            return super().__call__(*args)
        if found is None:
            found = super().__call__(*args)
            if all(map(_is_of, cls._kinds, found.parameters().values())):  # type: ignore[attr-defined]
                found = cls._shared.add(tuple(found.parameters().values())[: len(args)], found)
        return found


class Lanes(NamedTuple):
    """The axis that ``vmap`` adds: how many lanes it has, and its name in collectives, where it has one.

    ``spmd_name``: the axis of a device mesh over which the lanes are spread, for an operation that constrains how its
    results are laid out over devices. There is none so far, and ``vmap`` refuses ``spmd_axis_name``.
    """

    size: int
    axis_name: Any = None
    spmd_name: Any = None


class Fusion(enum.Enum):
    """How often a compiler that fuses operations into kernels computes a result (see optimise.recomputation)."""

    APART = "once, from operands that are kept"
    REDUCING = "once, from operands that it may compute again"
    CHEAP = "for each kernel that reads it, element by element"
    MOVING = "for each kernel that reads it, from operands at other places"
    COSTLY = "once if more than one operation reads it, else with the one that does"


class Combination(enum.Enum):
    """How a reduction makes one element of two."""

    SUM = "their sum, beginning at zero"
    LARGER = "the larger one, NaN if either is"
    SMALLER = "the smaller one, NaN if either is"


class Linear(Typed):
    """Stands for an operand that a transpose rule is linear in: it has a type and no value."""

    __slots__ = ("type",)

    def __init__(self, type: ArrayType) -> None:
        self.type = type



def is_linear(operand: Any) -> bool:
    """Whether a transpose rule is asked for the cotangent of this operand."""
    return type(operand) is Linear


def _held_effects(op: Any) -> Effects:
    """The effects of an operation that holds programs: those of the programs."""
    return NO_EFFECTS.union(*[jaxpr.effects for jaxpr in subjaxprs(op)])


def _is_shared(op: Any) -> bool:
    """Whether equal applications are one: not where they have effects, nor where those of a held program are not."""
    return not op.effects and all(jaxpr.shared for jaxpr in subjaxprs(op))


def is_passing(jaxpr: Jaxpr) -> bool:
    """Whether no other trace will give this program, since an operation is ``passing``: it is not worth remembering."""
    return jaxpr.remember("passing", lambda: any(eqn.op.passing for eqn in jaxpr.equations))


@dataclass_transform(frozen_default=True)
class Primitive(metaclass=_PrimitiveMeta):
    """An operation on arrays. Subclass it, declare parameters as fields and write the rules as methods."""

    multiple: ClassVar[bool] = False  # True: infer, rules and bind speak of a list of results
    effects: ClassVar[Effects] = NO_EFFECTS  # with effects: never shared with an equal operation, never dropped as dead
    shared: ClassVar[bool] = True  # False: equal applications stay apart, because each has a derivative of its own
    holds_jaxprs: ClassVar[bool] = False
    endless: ClassVar[bool] = False  # True: on operands that it would never be given, it may run for ever
    fold: ClassVar[Callable[..., Any] | None] = None  # identities that hold for every IEEE value, tried at bind
    folds_literals: ClassVar[bool] = False  # True: fold has nothing to say when no operand is a number
    cheap: ClassVar[bool] = False  # True: computing an element again costs less than reading it from memory
    effort: ClassVar[int] = 1  # floating-point operations for an element of the result, roughly
    smooth: ClassVar[bool] = False  # True: analytic where it is defined, by all operands; asked by control.derivatives
    elementwise: ClassVar[bool] = False  # True: an element of the result is made of those at its place in the operands
    locally_constant: ClassVar[bool] = False  # True: the derivative is zero wherever there is one
    broadcasts_literals: ClassVar[bool] = False  # True: a scalar literal may stand for any operand that is an array
    moves: ClassVar[bool] = False  # True: results are made of the operands' elements, random keys as well as numbers
    repeats_operand: ClassVar[bool] = False  # True: the result is the operand over and over, made where it is read
    fusion: ClassVar[Fusion] = Fusion.APART  # what a compiler that fuses operations does with it
    is_unrolled: ClassVar[bool] = False  # True: a loop compiled step after step; asked by optimise.recomputation
    transparent: ClassVar[bool] = False  # True: policies of checkpoint see what in_place names; asked by control.saving
    # True: by a rule of the user's, of which nothing is known, as of classes outside of this package with rules of
    # their own that do not say False.
    told_its_derivative: ClassVar[bool] = False
    # True: it holds a rule that no other trace holds, and that keeps alive whatever the user's functions close over.
    passing: ClassVar[bool] = False
    unknown: ClassVar[bool] = False  # True: nobody can tell whether it is linear; asked by transform.transpose
    fixes_numbers: ClassVar[bool] = False  # whether needs_number may say yes
    gives_place: ClassVar[bool] = False  # whether in_place may name a program
    name: ClassVar[str] = ""
    _interned: ClassVar[bool] = True
    parameter_names: ClassVar[tuple[str, ...]] = ()
    _kinds: ClassVar[tuple[type, ...]] = ()  # of the parameters, where equal primitives are one object
    _conversions: ClassVar[tuple[tuple[str, Callable[[Any], Any]], ...]] = ()  # of whole numbers and truth values

    def __init_subclass__(cls, **kwargs: Any) -> None:
        # What dataclasses.dataclass(frozen=True) would do; it compiles an __init__ for each class, which would be most
        # of the time that importing this package takes.
        super().__init_subclass__(**kwargs)
        own = {k: str(v) for k, v in cls.__dict__.get("__annotations__", {}).items() if "ClassVar" not in str(v)}  # noqa: RUF063
        cls.parameter_names = (*cls.parameter_names, *[name for name in own if name not in cls.parameter_names])
        found = [(name, _CONVERSIONS[text]) for name, text in own.items() if text in _CONVERSIONS]
        cls._conversions = (*[pair for pair in cls._conversions if pair[0] not in own], *found)
        cls._shared = Cache(8192)
        cls._interned = cls._interned and all(text in _SAFE_FIELDS for text in own.values())
        if cls._interned:
            inherited = dict(zip(cls.parameter_names, cls._kinds, strict=False))
            inherited.update({name: _SAFE_FIELDS[text] for name, text in own.items()})
            cls._kinds = tuple([inherited[name] for name in cls.parameter_names])
        if not cls.parameter_names:  # one object: its address is its identity, which C compares
            cls.__hash__ = object.__hash__  # type: ignore[method-assign]
            cls.__eq__ = object.__eq__  # type: ignore[method-assign]
        elif cls.__hash__ is object.__hash__:
            cls.__hash__ = Primitive.__hash__  # type: ignore[method-assign]
            cls.__eq__ = Primitive.__eq__  # type: ignore[method-assign]
        if cls.holds_jaxprs and cls.effects is NO_EFFECTS:
            cls.effects = property(_held_effects)  # type: ignore[assignment]
        if cls.shared is True and cls.effects is not NO_EFFECTS:
            cls.shared = property(_is_shared)  # type: ignore[assignment]
        cls.fixes_numbers = cls.holds_jaxprs or cls.needs_number is not Primitive.needs_number
        cls.gives_place = cls.in_place is not Primitive.in_place
        if not cls.__module__.startswith(_HOME) and not _DERIVATIVES.isdisjoint(cls.__dict__):
            cls.told_its_derivative = bool(cls.__dict__.get("told_its_derivative", True))
        if "name" not in cls.__dict__:
            cls.name = "".join("_" + c.lower() if c.isupper() else c for c in cls.__name__).lstrip("_")

    if not TYPE_CHECKING:  # the type checker makes the signature from the fields (dataclass_transform)

        def __init__(self, *args, **kwargs):
            values = self.__dict__
            names = self.parameter_names
            if len(args) > len(names):
                raise TypeError(f"{type(self).__name__} takes {len(names)} parameters {names}, got {len(args)}")
            values.update(zip(names, args))
            for name, value in kwargs.items():
                if name not in names or name in values:
                    raise TypeError(f"{type(self).__name__} has no parameter {name!r} left to be given; it has {names}")
                values[name] = value
            for name in names:
                if name not in values:
                    if not hasattr(type(self), name):
                        raise TypeError(f"{type(self).__name__} needs the parameter {name!r}; it has {names}")
                    values[name] = getattr(type(self), name)
            for name, convert in self._conversions:
                values[name] = convert(values[name])

        def __setattr__(self, name, value):
            raise AttributeError(f"a primitive is immutable: {name} of {type(self).__name__} cannot be set")

    def __eq__(self, other: object) -> bool:
        return self is other or (type(self) is type(other) and self._key() == other._key())

    def __hash__(self) -> int:
        cached = self.__dict__.get("_hash_value")
        if cached is None:
            cached = hash(self._key())
            self.__dict__["_hash_value"] = cached
        return cached

    def _key(self) -> tuple[Any, ...]:
        key = self.__dict__.get("_key_value")
        if key is None:
            values = [self.__dict__[name] for name in self.parameter_names]
            key = (type(self), *map(exact_key, values))
            self.__dict__["_key_value"] = key
        return key

    def parameters(self) -> dict[str, Any]:
        """The parameters by name."""
        return {name: self.__dict__[name] for name in self.parameter_names}

    def __repr__(self) -> str:
        parameters = self.parameters()
        if not parameters:
            return self.name
        return f"{self.name}[{', '.join(f'{k}={v}' for k, v in parameters.items())}]"

    # -- rules ----------------------------------------------------------------------------------------------------

    if TYPE_CHECKING:  # a subclass names its operands: def infer(self, x: ArrayType, y: ArrayType) -> ArrayType
        infer: Callable[..., Any]
        impl: Callable[..., Any]
        transpose: Callable[..., Sequence[Any]]
    else:

        def infer(self, *types):
            """Types of the operands -> type of the result (a list of them where ``multiple``)."""
            self.missing("infer", "tracing")

        def impl(self, *arrays):
            """The operation on NumPy arrays: the reference that the tests hold every other rule against."""
            self.missing("impl", "evaluation by NumPy")

        def transpose(self, cotangent, *operands):
            """Cotangent of the result -> cotangent (or None) of each operand; linear operands come as ``Linear``."""
            self.missing("transpose", "reverse mode (grad, vjp, linear_transpose)")

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        """(a, T a) -> (b, T b); at least one tangent is not None."""
        self.missing("jvp", "differentiation (jvp, grad, vjp, linearize)")

    def linearize(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        """As jvp, called while a linear builder is open: what depends on no tangent lands in the primal program."""
        if self.holds_jaxprs:
            self.missing("linearize", "reverse mode (grad, vjp, linearize)")
        return self.jvp(primals, tangents)

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Any]:
        """Operands whose axis 0 is mapped where ``mapped`` says so -> (results, whether each is mapped)."""
        self.missing("batch", "vmap")

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        """Names of the operands in StableHLO -> name (list of names where ``multiple``) of the results."""
        self.missing("lower", "execution on a device")

    def taylor(self, line: Line, operands: Sequence[Value | Series]) -> Any:
        """Operands along a line, of which at least one is a Series -> the result along it (a list of them where
        ``multiple``). Derived from ``jvp`` unless a class knows better."""
        return line.along(self, operands)

    def sums_over(self, place: int) -> Sequence[int]:
        """Of an operation that is linear in the operand at this place: the axes of it whose elements it multiplies,
        each by a number of its own, and adds up; empty where it does something else. Asked by jacobians.basis."""
        return ()

    def by_element(self, place: int, scale: Any, operands: Sequence[Any]) -> Any:
        """What the operation makes of single elements along the axes that it sums over: [number of them, *result],
        row-major in these axes. ``scale``: the operand at that place, None for ones."""
        self.missing("by_element", "the products of a basis")

    def moving(self, count: int) -> Sequence[int]:
        """Of so many operands, those of whose elements (and zeros) the result consists, moved and repeated as the other
        operands and the parameters say, whatever they are: ``impl`` can move numbers of theirs instead. Empty where
        elements are computed. Asked by the room jacobians."""
        return ()

    def choices(self, types: Sequence[ArrayType]) -> Any:
        """Of integers that are not known before: the few of which each element of the result is one, whatever operands
        of these types are, as a NumPy array ``[*result, choices]``; None: it may be any. Asked by the room jacobians.
        """
        return None

    def destinations(self, types: Sequence[ArrayType], known: Sequence[Any]) -> list[Any] | None:
        """For each operand whose elements go to one place of the result each, or to none: the numbers of these places
        (-1: none) as a NumPy array of its shape; None for other operands, and where the places are not known.
        ``known``: the values of operands, where they are known, as NumPy arrays. Asked by derivatives.blocks."""
        return None

    def over_numbers(self) -> Primitive:
        """Of an operation that moves elements: the one that moves their numbers, among which 0 is a zero."""
        return self

    def sparsity(self, detection: Detection, operands: Sequence[Entry], types: Sequence[ArrayType]) -> Any:
        """On which columns of a Jacobian each element of the result depends (a list of sets where ``multiple``), of an
        operation of a linear program; ``types``: of the results. At least one operand depends on some.

        Never fewer than it does: unless a class knows better, every element depends on all that the operands do."""
        places = self.moving(len(operands))
        if places and all(i in places or x.value() is not None for i, x in enumerate(operands)):
            return detection.moved(self, operands, places)
        if self.elementwise:
            return None if self.locally_constant else detection.union(*[x.sets for x in operands])
        placed = self.in_place(operands) if self.gives_place else None
        if placed is not None:
            found = [x.sets for x in detection.program(*placed)]
        else:
            found = detection.everything(self, operands, types)
        return found if self.multiple else found[0]

    def apart(self, axes: Sequence[int | None], types: Sequence[ArrayType]) -> int | None:
        """The axis of the result whose every slice is made of one slice of the operands, where ``axes`` are those of
        the operands along which they are sliced (None: an operand that has a part in every slice), of which there is
        one; None where slices are mixed. Only of operations with one result. Asked by derivatives.blocks."""
        return None

    def program(self, types: Sequence[ArrayType]) -> Jaxpr | None:
        """What it does to operands of these types, in terms of other operations; None where it is one of the simple
        ones, which are not made of others."""
        return None

    def physical(self, operands: Sequence[Any], types: Sequence[ArrayType]) -> Any:
        """Operands with words in the place of random keys (``types``: with keys) -> the result or results, words if
        it is keys; None where it only moves keys, every word like every other. Asked by optimise.key_arrays."""
        return None

    def cost(self, in_types: Sequence[ArrayType], out_types: Sequence[ArrayType]) -> int:
        """Floating-point operations of one run, roughly: of the program that is compiled in its place, where there is
        one, and not of those that say what its derivatives are. Asked where lanes take different branches."""
        if self.holds_jaxprs:
            placed = self.in_place(in_types)
            return sum(map(program_cost, subjaxprs(self))) if placed is None else program_cost(placed[0])
        expanded = self.program(in_types)
        if expanded is not None:
            return program_cost(expanded)
        size = max([t.size for t in out_types], default=0)
        return self.effort * size if self.effort > 1 else max([size, *[t.size for t in in_types]])

    def reached(self, given: Sequence[bool], dependence: Dependence) -> Sequence[bool] | None:
        """Which results depend on the given operands (flags), of which there is one; None: all of them.

        Asked by linearity checks, transposition and values on demand. An operation that holds programs asks
        ``dependence.outputs(program, flags)`` for each, so that the answer is exact result by result.
        """
        return None

    def lifted(
        self, programs: Sequence[Jaxpr], operands: Sequence[Any], extra: Sequence[Sequence[Any]]
    ) -> tuple[Primitive, list[Any]] | None:
        """The operation over programs with further inputs at their ends, and its operands with those for each program
        among them; None where it cannot have any."""
        return None

    def needs_number(self, place: int, number: Any) -> bool:
        """Whether a number as this operand stays in an un-jitted program, whose numbers are inputs otherwise: because
        the operation is another one for another number. Zero, where a loop starts from it, is no value at all.
        """
        return self.holds_jaxprs and bool(number == 0)

    def number_shape(self, place: int, results: Sequence[ArrayType]) -> tuple[int, ...]:
        """The shape of the array that a number as this operand stands for."""
        return results[0].shape if self.broadcasts_literals and results else ()

    def narrowed(self, used: tuple[bool, ...]) -> tuple[Primitive, Sequence[int], Sequence[int]] | None:
        """Given which results anybody reads: an operation with less work, the places of its operands among this one's,
        and the places of its results among this one's; None where nothing can be dropped."""
        return None

    def as_run(self, operands: Sequence[Any]) -> tuple[Primitive, Sequence[Any]]:
        """The operation without what it holds for transforms alone (rules), and its operands. Asked for a value."""
        return self, operands

    def runs(self, operands: Sequence[Any]) -> Generator[tuple[Jaxpr, Sequence[Any]], Any, None] | None:
        """The runs of held programs for these values, in order: (program, values of its inputs), each answered with the
        results. None where no programs are held, or it is not known how they run."""
        held = list(subjaxprs(self)) if self.holds_jaxprs else []
        if len(held) == 1 and len(held[0].inputs) == len(operands):
            return one_run(held[0], operands)
        return None

    def updates(self, in_types: Sequence[ArrayType]) -> bool:
        """Whether the one result is operand 0 but for elements that are written anew, and ``run_where`` can leave them
        as they are. Asked by control.masking."""
        return False

    def run_where(self, mask: Any, operands: Sequence[Any]) -> list[Any]:
        """The results where a scalar mask is true. Where it is false: operand 0, not copied, of an operation that
        ``updates`` it; else results that are unspecified, and no loop inside runs. Asked by control.masking."""
        self.missing("run_where", "a program that does nothing in lanes that are done")

    def cut(self, eqn: Equation, divided: Callable[[Jaxpr], Any]) -> tuple[Equation, Equation, list[Var]] | None:
        """For an equation of an operation whose programs a checkpoint's policy cuts in two: one that stores, one that
        reads it and computes the rest again, and what is stored. ``divided(jaxpr)``: the two programs (``Cut``). None
        where nothing inside is stored. Asked by control.saving."""
        return None

    def in_place(self, operands: Sequence[Any]) -> tuple[Jaxpr, Sequence[Any]] | None:
        """The held program that is compiled in place of the operation, and its operands among the operation's; None
        where it runs in a loop, in a branch or behind a barrier."""
        return None

    def reduction(self) -> tuple[Combination, Sequence[int]] | None:
        """Of a reduction: how it combines elements, and the axes along which; None where it is none, or one whose steps
        are never written out. Asked by optimise.short_reductions."""
        return None

    def turns(self) -> int:
        """How often the programs that it holds run, where that is known; else 1. Asked by control.index_sets."""
        return 1

    def repeated(self) -> Jaxpr | None:
        """The held program of a loop that each step runs; None where it is no loop. Asked by optimise.recomputation."""
        return None

    def literal_places(self, count: int) -> Sequence[int]:
        """Of so many operands, those for which a scalar literal may stand where infer speaks of an array; the checkers
        of rules ask."""
        return range(count) if self.broadcasts_literals else ()

    def axis_names(self) -> frozenset[Any]:
        """Names of mapped axes that the operation speaks of (collectives)."""
        return frozenset()

    def missing(self, rule: str, use: str) -> NoReturn:
        """Say which class lacks which method for which transform."""
        kind = type(self)
        raise MissingRuleError(
            f"primitive {self.name!r} (class {kind.__module__}.{kind.__qualname__}) has no rule for {use}: "
            f"define the method {kind.__qualname__}.{rule}"
        )


def one_run(jaxpr: Jaxpr, operands: Sequence[Any]) -> Generator[tuple[Jaxpr, Sequence[Any]], Any, None]:
    """``Primitive.runs`` of an operation that runs one program once."""
    yield jaxpr, operands


def program_cost(jaxpr: Jaxpr) -> int:
    """Floating-point operations of one run of a program, roughly. Remembered on it."""
    def total() -> int:
        return sum(eqn.op.cost([a.type for a in eqn.inputs], [v.type for v in eqn.outputs]) for eqn in jaxpr.equations)

    return jaxpr.remember("cost", total)


def describe_equation(eqn: Equation) -> str:
    """One line on an equation for error messages."""
    ins = ", ".join(str(a.type) for a in eqn.inputs)
    outs = ", ".join(str(v.type) for v in eqn.outputs)
    return f"{eqn.op} : ({ins}) -> ({outs})"
