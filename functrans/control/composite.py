"""``Composite``: an operation given by other operations. ``define`` alone is enough; override what you know better.

    class SoftSign(Composite):
        def define(self, x):
            return x / (1.0 + fnp.abs(x))
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from functrans.errors import FunctransTypeError
from functrans.ir.program import Jaxpr, Literal
from functrans.ir.types import ArrayType, type_of
from functrans.ops.structural import spread
from functrans.trace.binding import bind
from functrans.trace.emitter import EmitterProtocol, Names, Types
from functrans.trace.primitive import Lanes, Linear, Primitive, Tangent, Value, is_linear, one_run
from functrans.trace.replay import evaluate, trace
from functrans.trace.tracer import Tracer
from functrans.transform.jvp import differentiate, jvp
from functrans.transform.transpose import transpose
from functrans.transform.vmap import vmap


class Composite(Primitive):
    """An operation with one result, defined by a function of its operands.

    Every rule follows from the program that ``define`` traces to; a subclass may write any rule itself. ``define`` may
    use the fields of the class and must not close over traced values.

    >>> import functrans as ft
    >>> class Cube(ft.Composite):
    ...     def define(self, x):
    ...         return x * x * x
    >>> float(ft.grad(lambda x: ft.bind(Cube(), x))(2.0))
    12.0
    """

    if TYPE_CHECKING:
        define: ClassVar[Any]
    else:

        def define(self, *operands):
            """The operation in terms of others."""
            self.missing("define", "tracing")

    def program(self, types: Sequence[ArrayType]) -> Jaxpr:
        """What ``define`` does to operands of these types; remembered."""
        programs = self.__dict__.setdefault("_programs", {})
        key = tuple(types)
        found: Jaxpr | None = programs.get(key)
        if found is None:
            jaxpr, captured = trace(lambda *xs: [self.define(*xs)], key, f"{self.name}.define")
            if captured:
                raise FunctransTypeError(
                    f"{type(self).__qualname__}.define closes over {len(captured)} array(s) or traced value(s); pass "
                    "them as operands"
                )
            found = programs.setdefault(key, jaxpr)
        return found

    def infer(self, *types: ArrayType) -> ArrayType:
        return self.program(types).out_types[0]

    def impl(self, *arrays: Any) -> Any:
        return evaluate(self.program([type_of_array(x) for x in arrays]), arrays)[0]

    def runs(self, operands: Sequence[Any]) -> Any:
        return one_run(self.program([type_of(x).strong() for x in operands]), operands)

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        outs, slopes = jvp(self.program([type_of(x) for x in primals]), primals, tangents)
        return outs[0], slopes[0]

    def linearize(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        if type(self).jvp is not Composite.jvp:
            return self.jvp(primals, tangents)
        outs, slopes = differentiate(self.program([type_of(x) for x in primals]), primals, tangents, "linearize")
        return outs[0], slopes[0]

    def transpose(self, cotangent: Any, *operands: Any) -> Sequence[Any]:
        sent = iter(transpose(self.program([x.type for x in operands]), operands, [cotangent]))
        return [next(sent) if is_linear(x) else None for x in operands]

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Any]:
        types = [
            type_of(x).update(shape=type_of(x).shape[1:]) if m else type_of(x)
            for x, m in zip(operands, mapped, strict=True)
        ]
        if type(self).jvp is not Composite.jvp:  # its definition alone would lose its derivative
            return bind(Mapped(self, lanes.size, tuple(mapped), tuple(types)), *operands), True
        outs, outs_mapped = vmap(self.program(types), lanes, operands, mapped)
        return outs[0], outs_mapped[0]

    def in_place(self, operands: Sequence[Any]) -> tuple[Jaxpr, Sequence[Any]] | None:
        if type(self).lower is not Composite.lower or any(type(x) is Literal for x in operands):
            return None
        return self.program([x.type for x in operands]), operands

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        return emitter.inline(self.program(in_types), operands)[0]


class Mapped(Composite):
    """vmap of an operation with a derivative rule of its own: of its definition, and of that rule."""

    name = "mapped"

    op: Composite
    size: int
    mapped: tuple[bool, ...]
    types: tuple[ArrayType, ...]  # of the operands of one lane

    def define(self, *operands: Any) -> Any:
        return self._lanes(self.op.program(self.types), operands, self.mapped)[0]

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        given = [i for i, t in enumerate(tangents) if t is not None]
        rule, arrays = self.rule(tuple(given))
        outs = self._lanes(
            rule,
            [*arrays, *primals, *[tangents[i] for i in given]],
            [*[False] * len(arrays), *self.mapped, *[self.mapped[i] for i in given]],
        )
        return outs[0], outs[1] if len(outs) == 2 else None

    def rule(self, given: tuple[int, ...]) -> tuple[Jaxpr, list[Any]]:
        """(operands, tangents of those that have one) -> (result, its tangent if it has one), of one lane.

        With the arrays that it closes over, which are its leading inputs.
        """
        rules = self.__dict__.setdefault("_rules", {})
        if given not in rules:

            def function(*inputs: Any) -> list[Any]:
                tangents: list[Any] = [None] * len(self.types)
                for i, t in zip(given, inputs[len(self.types) :], strict=True):
                    tangents[i] = t
                out, slope = self.op.jvp(inputs[: len(self.types)], tangents)
                return [out] if slope is None else [out, slope]

            types = [*self.types, *[self.types[i] for i in given]]
            program, captured = trace(function, types, f"{self.op.name}.jvp")
            if any(type(x) is Tracer for x in captured):
                raise FunctransTypeError(
                    f"{type(self.op).__qualname__}.jvp closes over a traced value; pass it as an operand"
                )
            rules[given] = program, captured
        found: tuple[Jaxpr, list[Any]] = rules[given]
        return found

    def _lanes(self, program: Jaxpr, operands: Sequence[Any], mapped: Sequence[bool]) -> list[Any]:
        outs = zip(*vmap(program, Lanes(self.size), operands, mapped), strict=True)
        return [x if m else spread(x, self.size) for x, m in outs]


def type_of_array(x: Any) -> ArrayType:
    """The type of an operand of ``impl``."""
    return x.type if type(x) is Linear else ArrayType(x.shape, x.dtype)
