"""The check of ``jax.experimental.checkify`` in our programs.

    checkify_check[errors=1] failed x

``checkify`` around the program finds it there (opened.py) and makes its error a result. Where none is around, it raises
after the call, as ``functrans.check`` does; JAX refuses to compile it then.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from functrans.control.checks import call_where
from functrans.control.holding import row
from functrans.interop.translation import Application, Emit
from functrans.ir.effects import CHECK
from functrans.ir.program import Literal, Where
from functrans.ir.types import ArrayType
from functrans.jaxlib_compat.checks import Kind, kinds_of_errors, raise_error, same_errors
from functrans.ops.elementwise import sub
from functrans.ops.reductions import argmax
from functrans.ops.slicing import rev
from functrans.ops.structural import convert
from functrans.trace.binding import bind_all
from functrans.trace.emitter import EmitterProtocol, Names, Types
from functrans.trace.primitive import Lanes, Primitive, Tangent, Value
from functrans.trace.state import current_place
from functrans.trace.tracer import producer_of

_INT32 = np.dtype(np.int32)


class Errors:
    """The errors of a check, and the codes that are known: its operands are the other values of JAX's operation.

    Equal to those of the same check in another trace, so that a program traced again is found again.
    """

    def __init__(self, tree: Any, debug: bool, codes: dict[int, int], place: Where) -> None:
        self.tree, self.debug, self.codes = tree, debug, codes
        self.kinds: list[Kind] = kinds_of_errors(tree, tree.num_leaves)
        known = [codes[kind.code] for kind in self.kinds if kind.code in codes]
        self.what: Hashable = id(tree)
        if len(known) == len(self.kinds):
            self.what = same_errors(tree, tree.num_leaves, known)
        self.key = (self.what, debug, place)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Errors) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return f"{len(self.kinds)}"

    def given(self, values: Sequence[Any]) -> list[Any]:
        """The values of JAX's operation that are operands of ours."""
        return [x for i, x in enumerate(values) if i not in self.codes]

    def all(self, operands: Sequence[Any]) -> list[Any]:
        """The values of JAX's operation."""
        rest = iter(operands)
        return [np.int32(self.codes[i]) if i in self.codes else next(rest) for i in range(self.tree.num_leaves)]


class CheckifyCheck(Primitive):
    """Raises the error of the first kind whose flag, a bool scalar among the operands, is true."""

    errors: Errors
    multiple = True
    effects = frozenset((CHECK,))

    def infer(self, *types: ArrayType) -> Any:
        return []

    def impl(self, *arrays: Any) -> Any:
        if not self.errors.debug:
            raise_error(self.errors.tree, list(map(np.asarray, self.errors.all(arrays))))
        return []

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        return bind_all(self, primals), []

    def transpose(self, cotangent: Any, *operands: Any) -> Sequence[Any]:
        return [None] * len(operands)

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Any]:
        """Of each kind that of the last lane where it happened, as in JAX."""
        values, flags = self.errors.all(operands), self.errors.all(mapped)
        last = lanes.size - 1
        for happened, code, shown in self.errors.kinds:
            lane: Any = last
            if flags[happened] is True:
                lane = sub(np.int32(last), convert(argmax(rev(values[happened], (0,)), 0), _INT32))
            for i in (happened, code, *shown):
                if flags[i] is True:  # a known code is a number
                    values[i] = row(values[i], lane)
        return bind_all(self, self.errors.given(values)), []

    def lower(self, emitter: EmitterProtocol, operands: Names, in_types: Types, out_types: Types) -> Any:
        if self.errors.debug:
            return []

        def call(*arrays: Any) -> tuple[Any, ...]:
            self.impl(*arrays)
            return ()

        places = self.errors.given(range(self.errors.tree.num_leaves))
        failed = [operands[places.index(kind.happened)] for kind in self.errors.kinds]

        for flag in failed:
            call_where(emitter, flag, call, operands, in_types)
        return []


def _number(code: Any) -> int | None:
    """A code that the program knows: a number, or what JAX computed of numbers."""
    made = producer_of(code)
    if made is not None:
        numbers = [a.value for a in made.inputs if type(a) is Literal]
        return int(made.op.impl(*numbers)) if len(numbers) == len(made.inputs) else None
    if type(code) is Literal:
        return int(code.value)
    return int(code) if isinstance(code, int | np.integer) else None


def _check(application: Application) -> Any:
    tree, debug = application.params["err_tree"], bool(application.params["debug"])
    codes = {}
    for kind in kinds_of_errors(tree, len(application.operands)):
        code = _number(application.operands[kind.code])
        if code is not None:
            codes[kind.code] = code
    errors = Errors(tree, debug, codes, current_place())
    bind_all(CheckifyCheck(errors), errors.given(application.operands))
    return []


CHECKS: dict[str, Emit] = {"check": _check}
