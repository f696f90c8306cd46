"""Operations of JAX of which nothing is known but JAX's rules: a kernel of Pallas, a call of a foreign library, an
exported function. They stay one operation, which lowers to the module that JAX makes of it, or where that calls Python
functions to a call of JAX on the host.

    b = opaque[pallas_call] a

Derivatives and vmap are those that JAX has for the operation; what these rules use may be opaque again. Where JAX has
no rule for vmap, the lanes run one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from functrans import lax
from functrans.errors import MissingRuleError
from functrans.interop.jax_tracing import function_of_equation, lowered, trace_batched, users_place_of
from functrans.interop.translation import OTHER_WAY_OUT, WAYS_OUT, Application
from functrans.ir.effects import INPUT_OUTPUT
from functrans.ir.program import Jaxpr
from functrans.ir.types import ArrayType, is_key_dtype
from functrans.trace.binding import bind_all
from functrans.trace.emitter import EmitterProtocol, Names, Types
from functrans.trace.frames import describe_place
from functrans.trace.primitive import Lanes, Primitive, Value
from functrans.trace.replay import trace

_WITH_STATE = frozenset(("rng_uniform",))  # each run of which gives other numbers


class Source:
    """The equation of an opaque operation; equal to itself alone."""

    def __init__(self, application: Application) -> None:
        self.equation = application.equation
        self.translator = application.translator
        self.in_types, self.out_types = application.in_types, application.out_types
        self.modules: dict[str, str | None] = {}
        self.function = function_of_equation(application.equation)
        self.place = users_place_of(application.equation)  # known now, and not when it is compiled

    def __repr__(self) -> str:
        return str(self.equation.primitive.name)

    def module(self, platform: str) -> str | None:
        """The text of the module that computes the equation on a platform, None where it calls Python functions; raises
        NotImplementedError where JAX has none.
        """
        if platform not in self.modules:
            try:
                self.modules[platform] = lowered(self.function, self.in_types, platform)
            except Exception as error:
                raise self.refused(f"JAX makes no program for {platform} ({error})") from error
        return self.modules[platform]

    def run(self, *arrays: Any) -> tuple[Any, ...]:
        """The equation on arrays of the host, by JAX."""
        return tuple([np.asarray(x) for x in self.function(*arrays)])

    def refused(self, why: str) -> MissingRuleError:
        """The error for what JAX does not do with the operation."""
        return MissingRuleError(
            f"{self.translator.subject} uses the operation {self} at {describe_place(self.place)}\n"
            f"of which {why}. {OTHER_WAY_OUT}"
        )


class Opaque(Primitive):
    """Apply the equation of ``source``."""

    source: Source
    multiple = True
    unknown = True

    def __repr__(self) -> str:
        return f"{self.name}[{self.source}]"

    def infer(self, *types: ArrayType) -> Any:
        return list(self.source.out_types)

    def missing(self, rule: str, use: str) -> NoReturn:
        raise self.source.refused(f"JAX has no rule for {use}. A jax.custom_vjp around it says how")

    def transpose(self, cotangent: Any, *operands: Any) -> Sequence[Any]:
        self.missing("transpose", "reverse mode (grad, vjp)")

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Any]:
        closed = trace_batched(self.source.equation, lanes.size, mapped)
        if closed is not None:
            outs = self.source.translator.run(closed.jaxpr, closed.consts, operands)
            return outs, [True] * len(outs)

        def lane(own: Sequence[Any]) -> list[Any]:
            rest = iter(own)
            return bind_all(self, [next(rest) if m else x for x, m in zip(operands, mapped, strict=True)])

        outs = lax.map(lane, [x for x, m in zip(operands, mapped, strict=True) if m])
        return outs, [True] * len(outs)

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        module = self.source.module(emitter.platform)
        if module is None:
            what = repr(self.source)
            return emitter.host_callback(self.source.run, operands, in_types, out_types, what=what, effect=False)
        ins, outs = (", ".join(map(emitter.text, types)) for types in (in_types, out_types))
        symbol = emitter.splice(module)
        return emitter.raw_many(f"call {symbol}({', '.join(operands)}) : ({ins}) -> ({outs})", len(out_types))


class OpaqueWithState(Opaque):
    """An operation that reads and changes what no operand is: it runs as often as it is written."""

    effects = frozenset((INPUT_OUTPUT,))


def opaque(application: Application) -> tuple[Jaxpr, list[Any]] | None:
    """The program of the one operation; None for one that means nothing outside of the program it stands in."""
    types = [*application.in_types, *application.out_types]
    if application.name in WAYS_OUT or application.equation.effects or any(is_key_dtype(t.dtype) for t in types):
        return None
    op = (OpaqueWithState if application.name in _WITH_STATE else Opaque)(Source(application))
    return trace(lambda *xs: bind_all(op, xs), application.in_types, f"{application.name} of JAX")
