"""What a variation does with a case: choose subsets of operands, draw tangents, check it as a case of its own."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from functrans.errors import FunctransError
from functrans.ir.program import Literal
from functrans.ir.types import ArrayType, is_differentiable
from functrans.ops.structural import scalar_literal
from functrans.testing.cases import Case
from functrans.testing.closeness import wide
from functrans.trace.primitive import Tangent, Value
from functrans.trace.replay import replay
from functrans.transform.jvp import instantiate_zero
from functrans.transform.linearize import linearize

_MOST_SUBSETS = 15  # of more operands than make so many subsets: all, none, each alone and all but each


def all_subsets(items: Sequence[int]) -> list[tuple[int, ...]]:
    items = tuple(items)
    if 2 ** len(items) - 1 <= _MOST_SUBSETS:
        return [s for n in range(1, len(items) + 1) for s in itertools.combinations(items, n)]
    return [items, *[(i,) for i in items], *[tuple(k for k in items if k != i) for i in items]]


def tangents_of(case: Case, wrt: Sequence[int]) -> list[Any]:
    return [case.direction(case.types[i]) for i in wrt]


def placed(values: Sequence[Any], places: Sequence[int], count: int) -> list[Any]:
    """The values at these places of a list, None elsewhere."""
    found = dict(zip(places, values, strict=True))
    return [found.get(i) for i in range(count)]


def slopes_of(case: Case, tangents: Sequence[Any]) -> list[Any]:
    """The tangents of the floating results, zeros for None."""
    pairs = zip(tangents, case.jaxpr.outputs, strict=True)
    return [instantiate_zero(t, a) for t, a in pairs if is_differentiable(a.type.dtype)]


def number_of(x: Any, type_: ArrayType) -> Literal:
    value = np.asarray(x).reshape(-1)
    return scalar_literal(value[0].item() if value.size else 1, type_.dtype, type_.weak_type)


def checked(case: Case) -> Case:
    """A case as it is checked by itself; what a rule raises is its fault."""
    try:
        case.check_values()
        chosen = case.differentiable
        if chosen:
            # differences of what is infinite or not a number say nothing
            finite = all(np.isfinite(wide(x)).all() for x in case.reference(case.arrays) if is_differentiable(x.dtype))
            case.check_jvp(chosen, case.derivative and finite)
            if case.reverse:
                case.check_linear(chosen)
        if case.batch:
            for mapped in [(i,) for i in range(len(case.arrays))] + [tuple(range(len(case.arrays)))]:
                if mapped:
                    case.check_batch(mapped)
    except AssertionError:
        raise
    except Exception as error:
        raise AssertionError(f"{case.message('any')}: it raises {type(error).__name__}: {error}") from error
    return case


def inferred(case: Case, types: Sequence[ArrayType]) -> list[ArrayType] | None:
    """What the operation says of operands of these types; None where it refuses them."""
    rest = iter(types)
    full = [x.type if type(x) is Literal else next(rest) for x in case.operands]
    try:
        found = case.op.infer(*full)
    except FunctransError:
        return None
    return list(found) if case.op.multiple else [found]


def with_operand(row: Sequence[Any], i: int, x: Any) -> list[Any]:
    return [*row[:i], x, *row[i:]]


def linearized(jaxpr: Any, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[list[Any], list[Any]]:
    """What jvp gives, by linearize."""
    outs, program = linearize(jaxpr, primals, [t is not None for t in tangents])
    slopes = iter(replay(program.jaxpr, [*program.residuals, *[t for t in tangents if t is not None]]))
    return outs, [next(slopes) if nonzero else None for nonzero in program.nonzero]
