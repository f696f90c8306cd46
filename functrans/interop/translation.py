"""A JAX program written again with our operations, equation by equation, by a table {name of JAX's primitive: emit}.

    { lambda ; a:f32[3]. let b:f32[3] = sin a; c:f32[3] = mul b 2.0:f32[] in (c,) }        (JAX's)

    emits   lax.sin(a), lax.mul(b, 2.0)   into the program that is being traced

An entry of the table is a function of ``Application`` that emits the operation and returns its result (or the list of
its results). An operation that is not in the table is named in the error, with the user's line.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from typing import Any
from weakref import WeakKeyDictionary

import jax.extend.core as jax_core
import numpy as np

from functrans.errors import InternalError, MissingRuleError
from functrans.interop.jax_tracing import describe_equation, place_of, type_of_aval
from functrans.ir.program import Jaxpr, Literal
from functrans.ir.types import ArrayType, float0, type_of
from functrans.jaxlib_compat import configuration
from functrans.jaxlib_compat.jax_programs import discharged
from functrans.jaxlib_compat.tracing import JaxTracer
from functrans.ops.structural import convert, full
from functrans.trace.replay import at, trace
from functrans.trace.state import foreseen_order, surroundings


class Application:
    """One equation of a JAX program with our values for its operands."""

    def __init__(self, equation: Any, operands: list[Any], translator: Translator) -> None:
        self.equation = equation
        self.operands = operands
        self.translator = translator

    @property
    def name(self) -> str:
        """The name of JAX's primitive."""
        return self.equation.primitive.name  # type: ignore[no-any-return]

    @property
    def params(self) -> Mapping[str, Any]:
        """The parameters of JAX's primitive."""
        return self.equation.params  # type: ignore[no-any-return]

    @cached_property
    def in_types(self) -> list[ArrayType]:
        """The types of the operands in JAX's program."""
        return [type_of_aval(a.aval) for a in self.equation.invars]

    @cached_property
    def out_types(self) -> list[ArrayType]:
        """The types of the results in JAX's program."""
        return [type_of_aval(v.aval) for v in self.equation.outvars]

    def bare(self) -> Application:
        """The equation without values: what rules keep, which may be asked for long after."""
        return Application(self.equation, [], self.translator)

    def refuse(self, why: str) -> MissingRuleError:
        """The error for an operation used in a way that has no counterpart."""
        return MissingRuleError(f"{self.translator.door}: {why}, in the operation {describe_equation(self.equation)}")


OF_TOKENS = frozenset(("create_token", "after_all"))  # which hold nothing: effects are ordered without them
REFERENCES = frozenset(("new_ref", "empty_ref", "freeze", "get", "swap", "addupdate"))
_AROUND = "Compute that part outside of the function and pass its result as an argument"
OTHER_WAY_OUT = f"{_AROUND}, or write the part with functrans.numpy and functrans.lax."
WAYS_OUT = {
    "core_map": "It changes memory that its program holds. Wrap it in one pallas_call.",
    "custom_lin": "It is half of a derivative that JAX took and did not finish. Differentiate by functrans instead.",
    **dict.fromkeys(
        ("psend", "precv"),
        "Use another collective (jax.lax.ppermute, all_to_all), whose lanes are those of functrans.vmap.",
    ),
}
Emit = Callable[[Application], Any]


class Translator:
    """Writes JAX programs again with our operations. It remembers the programs that operations hold."""

    def __init__(self, table: Mapping[str, Emit], otherwise: Callable[[Application], Any], name: str = "") -> None:
        """``name``: of the one function whose programs are translated, which are kept; none for passing code."""
        self.table = table
        self.otherwise = otherwise  # for an operation that is not in the table: its results, or None
        self.name = name or "code of JAX"
        self.door = "from_jax" if name else "JAX in a function that functrans traces"  # what messages begin with
        self.subject = f"from_jax: the JAX function {name}" if name else self.door
        self.equations: dict[Any, tuple[Any, Any]] | None = {} if name else None
        self.programs: Any = WeakKeyDictionary()  # JAX's program -> ours, by what is foreseen for them

    def run(self, jaxpr: Any, consts: Sequence[Any], inputs: Sequence[Any]) -> list[Any]:
        """Emit the equations of a JAX program; the values of its outputs, with the weak flags they have in JAX."""
        if any(e.primitive.name in REFERENCES for e in jaxpr.eqns):
            closed = discharged(jaxpr, consts)  # they become values that pass from line to line
            jaxpr, consts = closed.jaxpr, closed.consts
        values: dict[Any, Any] = dict(zip(jaxpr.constvars, consts, strict=True))
        values.update(zip(jaxpr.invars, inputs, strict=True))
        inside = surroundings()
        outer = inside.place
        with at(outer):
            for equation in jaxpr.eqns:
                inside.place = place_of(equation) or outer
                operands = [
                    literal(a) if isinstance(a, jax_core.Literal) else values[a] for a in equation.invars
                ]
                results = self.apply(Application(equation, operands, self))
                values.update(zip(equation.outvars, results, strict=True))
        return [
            literal(a) if isinstance(a, jax_core.Literal) else with_weak_flag(values[a], a.aval) for a in jaxpr.outvars
        ]

    def apply(self, application: Application) -> list[Any]:
        """Emit one equation; raises NotImplementedError naming an operation that the table does not have."""
        if application.name in OF_TOKENS:
            return [None]
        results = self.table.get(application.name, self.otherwise)(application)
        if results is None:
            raise MissingRuleError(
                f"{self.subject} uses the operation "
                f"{describe_equation(application.equation)}\nwhich has no counterpart in functrans yet. "
                f"{WAYS_OUT.get(application.name, OTHER_WAY_OUT)}"
            )
        results = list(results) if isinstance(results, list | tuple) else [results]
        for x, wanted in zip(results, application.out_types, strict=True):
            found = type_of(x)
            if found.shape != wanted.shape or found.dtype != wanted.dtype:
                raise InternalError(
                    f"{self.door}: {describe_equation(application.equation)} has the type {wanted} in JAX and "
                    f"{found} here"
                )
        return results

    def program(self, jaxpr: Any, consts: Sequence[Any] = (), purpose: str = "") -> tuple[Jaxpr, list[Any]]:
        """A JAX program as one of ours, and the values for its leading inputs: what it captures, then the constants.

        Remembered, whatever the constants are.
        """
        known = self.programs.get(jaxpr)
        if known is None:
            known = self.programs.setdefault(jaxpr, {})
        key = (foreseen_order(), configuration.trace_context())
        found = known.get(key)
        if found is None:
            types = [type_of_aval(v.aval) for v in (*jaxpr.constvars, *jaxpr.invars)]
            count = len(jaxpr.constvars)
            found = trace(
                lambda *inputs: self.run(jaxpr, inputs[:count], inputs[count:]),
                types,
                purpose or f"{self.door}, {self.name}",
            )
            if not any(isinstance(x, JaxTracer) for x in found[1]):  # by a derivative rule
                found = known.setdefault(key, found)
        return found[0], [*found[1], *consts]

    def remember(self, key: Hashable, equation: Any, make: Callable[[], Any]) -> Any:
        """What is made of an equation, remembered with the program it stands in, if that is kept."""
        if self.equations is None:
            return make()
        key = (id(equation), key)
        found = self.equations.get(key)
        if found is None:
            found = self.equations.setdefault(key, (equation, make()))
        return found[1]

    def held(self, closed: Any, purpose: str = "") -> tuple[Jaxpr, list[Any]]:
        """``program`` of a closed jaxpr (or a jaxpr without constants)."""
        if hasattr(closed, "jaxpr"):
            return self.program(closed.jaxpr, closed.consts, purpose)
        return self.program(closed, (), purpose)


def literal(atom: Any) -> Any:
    """A literal of a JAX program as one of ours; an array that stands there is captured like any other."""
    type_ = type_of_aval(atom.aval)
    if type_.dtype == float0:
        return full(type_.shape, False, float0)
    if type_.shape:
        return np.asarray(atom.val)
    return number_literal(np.asarray(atom.val)[()], type_)


def number_literal(value: Any, type_: ArrayType) -> Literal:
    """A NumPy scalar as a literal of this type."""
    return Literal(value.item() if type_.weak_type else np.asarray(value, type_.dtype)[()], type_)


def with_weak_flag(x: Any, aval: Any) -> Any:
    """The value with the weak flag of JAX's variable."""
    wanted = type_of_aval(aval)
    if type_of(x).weak_type == wanted.weak_type or wanted.dtype == float0:
        return x
    return convert(x, wanted.dtype, wanted.weak_type)


def is_short(jaxpr: Any, most: int) -> bool:
    """Whether a JAX program has at most so many equations, those of the programs it holds included."""
    return next(islice(equations_of(jaxpr), most, None), None) is None


def equations_of(jaxpr: Any) -> Iterator[Any]:
    """The equations of a JAX program, those of the programs it holds included."""
    yield from jaxpr.eqns
    for held in _held_programs(jaxpr):
        yield from equations_of(held)


def _held_programs(jaxpr: Any) -> list[Any]:
    found = []
    for equation in jaxpr.eqns:
        for value in equation.params.values():
            parts = value if isinstance(value, tuple | list) else (value,)
            found += [getattr(part, "jaxpr", part) for part in parts if hasattr(getattr(part, "jaxpr", part), "eqns")]
    return found


