"""Variations of the arrays themselves: their lanes, memory, shapes and dtypes."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from functrans.errors import FunctransError
from functrans.ir.program import Literal
from functrans.ir.types import kind_of, type_of, x64_enabled
from functrans.ops.structural import scalar_literal
from functrans.testing.cases import Case
from functrans.testing.strides import LAYOUTS, settled
from functrans.testing.variations.trials import (
    all_subsets,
    checked,
    inferred,
    placed,
    slopes_of,
    tangents_of,
    with_operand,
)
from functrans.trace.binding import apply_operation
from functrans.transform.jvp import jvp


def mapped_twice(case: Case) -> list[Case]:
    """Each subset mapped, and each subset again over it."""
    if not case.batch:
        return []
    n = len(case.arrays)
    for inner in [(), *all_subsets(range(n))]:
        for outer in all_subsets(range(n)):
            case.check_batch_twice(inner, outer)
    return [case]


def odd_strides(case: Case) -> list[Case]:
    """Operands that the program closes over, as NumPy arrays of other strides: they keep their values."""
    n = len(case.types)
    for layout, laid_out in LAYOUTS.items():
        odd = [settled(laid_out(np.array(x))) for x in case.arrays]
        for i in range(n):
            rest = [k for k in range(n) if k != i]
            arrays = [case.arrays[k] for k in rest]

            def apply(*xs: Any, i: int = i, odd: Any = odd) -> list[Any]:
                return apply_operation(case.op, case.fill(with_operand(xs, i, odd[i])))

            label = f"operand {i} an array laid out {layout}"
            case.agree(f"bind ({label})", apply, arrays, case.run(case.jaxpr, case.arrays))
            chosen = [k for k in case.differentiable if k != i]
            if chosen:
                slopes = tangents_of(case, chosen)
                values, tangents = case.jvp(case.arrays, chosen, slopes)

                def forward(*xs: Any, i: int = i, odd: Any = odd, chosen: Any = chosen) -> list[Any]:
                    primals = with_operand(xs[: n - 1], i, odd[i])
                    outs, out_ts = jvp(case.jaxpr, primals, placed(xs[n - 1 :], chosen, n))
                    return [*outs, *slopes_of(case, out_ts)]

                case.agree(f"jvp ({label})", forward, [*arrays, *slopes], [*values, *tangents])
    return [case]


def short_axes(case: Case) -> list[Case]:
    """Axes of length 0 and 1: those of a mapped axis, and the operands' own, where infer accepts that."""
    found = [case]
    n = len(case.types)
    if case.batch:
        for mapped in all_subsets(range(n)):
            for size in (0, 1):
                case.check_lanes(mapped, size)
    if case.op.holds_jaxprs:
        return found  # the programs say the shapes
    lengths = sorted({length for t in case.types for length in t.shape if length > 1})
    for length in lengths:
        for short in (0, 1):
            cut = [_cut(x, length, short) for x in case.arrays]
            types = [type_of(x).update(weak_type=t.weak_type) for x, t in zip(cut, case.types, strict=True)]
            if inferred(case, types) is None:
                continue
            rest = iter(cut)
            sample = [x if type(x) is Literal else next(rest) for x in case.operands]
            found.append(checked(case.like(sample, f"axes of length {length} cut to {short}")))
    return found


def _cut(x: Any, length: int, short: int) -> Any:
    return x[tuple(slice(0, short) if m == length else slice(None) for m in x.shape)]


def _in_range(x: Any, dtype: np.dtype[Any]) -> Any:
    """Integers in another dtype: without their signs where it has none, the largest where it does not reach them."""
    limits = np.iinfo(dtype)
    values = [abs(n) if dtype.kind == "u" else n for n in np.asarray(x).reshape(-1).tolist()]
    return np.array([min(max(n, limits.min), limits.max) for n in values], dtype).reshape(np.shape(x))


_INTEGERS = [np.dtype(f"{kind}{bits}") for kind in ("int", "uint") for bits in (8, 16, 32, 64)]


def integer_dtypes(case: Case) -> list[Case]:
    """Each integer operand in every integer dtype, and all of them, where infer accepts that."""
    places = [i for i, t in enumerate(case.types) if isinstance(t.dtype, np.dtype) and kind_of(t.dtype) in "iu"]
    found = []
    for chosen in {tuple(places), *[(i,) for i in places]} - {()}:
        for dtype in _INTEGERS:
            if dtype.itemsize == 8 and not x64_enabled():
                continue
            changed = [_in_range(x, dtype) if i in chosen else x for i, x in enumerate(case.arrays)]
            if all(x.dtype == y.dtype for x, y in zip(changed, case.arrays, strict=True)):
                continue
            if inferred(case, [type_of(x) for x in changed]) is None:
                continue
            rest = iter(changed)
            sample = [x if type(x) is Literal else next(rest) for x in case.operands]
            found.append(checked(case.like(sample, f"operands {chosen} of dtype {dtype}")))
    return found


def half_precision(case: Case) -> list[Case]:
    """All floating operands in float16 and bfloat16, where infer accepts that."""
    found: list[Case] = []
    if case.op.holds_jaxprs:
        return found  # the programs say the dtypes
    if not any(kind_of(t.dtype) == "f" and t.dtype.itemsize > 2 for t in case.types if isinstance(t.dtype, np.dtype)):
        return []
    for dtype in (np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)):
        changed = [x.astype(dtype) if kind_of(x.dtype) == "f" else x for x in case.arrays]
        literals = [
            scalar_literal(x.value, dtype) if type(x) is Literal and kind_of(x.type.dtype) == "f" else x
            for x in case.operands
        ]
        rest = iter(changed)
        sample = [x if type(x) is Literal else next(rest) for x in literals]
        try:
            case.op.infer(*[type_of(x) for x in sample])
        except FunctransError:
            continue
        found.append(checked(case.like(sample, f"in {dtype}", second_order=False)))
    return found
