"""What a primitive says of the structure of its results, at a sample: which elements move, meet or stay at their place.

The room jacobians trusts ``moving``, ``elementwise``, ``sums_over`` and ``sparsity``: a wrong one gives wrong zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from functrans.ir.program import Jaxpr, Literal
from functrans.ir.types import is_differentiable, type_of
from functrans.jacobians.detection import detect
from functrans.testing.cases import LANES, Case, lanes, subsets
from functrans.testing.closeness import wide
from functrans.trace.primitive import Lanes
from functrans.trace.replay import evaluate
from functrans.transform.jvp import jvp_jaxpr
from functrans.transform.linearize import linearize_jaxpr
from functrans.transform.transpose import transpose_jaxpr
from functrans.transform.vmap import vmap_jaxpr

_COLUMNS = 8  # of a Jacobian that are computed at most


def check_structure(case: Case) -> None:
    """All that a primitive says of its structure."""
    check_moving(case)
    check_elementwise(case)
    check_choices(case)
    for place in range(len(case.operands)):
        check_sums(case, place)
    for wrt in subsets(case.differentiable):
        check_sparsity(case, wrt)


def check_moving(case: Case) -> None:
    """``moving``: the result consists of the elements whose numbers ``over_numbers`` gives. Where it gives 0, the
    elements of these operands do not count."""
    op, places = case.op, case.op.moving(len(case.operands))
    if not places:
        return
    full = _values(case)
    numbers, first = [*full], 1
    for i in places:
        numbers[i] = np.arange(first, first + full[i].size, dtype=np.int32).reshape(full[i].shape)
        first += full[i].size
    without = [np.zeros_like(x) if i in places else x for i, x in enumerate(full)]
    elements = [x for i in places for x in full[i].ravel()]
    origins, others, results = (op.over_numbers().impl(*numbers), op.impl(*without), op.impl(*full))
    if not op.multiple:
        origins, others, results = [origins], [others], [results]
    for origin, other, result in zip(origins, others, results, strict=True):
        origin, other, result = np.asarray(origin), np.asarray(other), np.asarray(result)
        if origin.shape != result.shape or origin.dtype.kind != "i" or (origin < 0).any() or (origin >= first).any():
            raise AssertionError(f"{case.message('moving')}: its numbers are {origin}, from 0 to {first - 1} there are")
        expected = np.array(other, order="C")
        flat = expected.reshape(-1)
        for k in np.flatnonzero(origin):
            flat[k] = _cast(elements[origin.ravel()[k] - 1], result.dtype)
        inexact = result.dtype.kind in "fcV"
        if not np.array_equal(wide(expected) if inexact else expected, wide(result) if inexact else result, inexact):
            raise AssertionError(f"{case.message('moving')}: elements {origin} are {expected}, and it gives {result}")


def check_elementwise(case: Case) -> None:
    """``elementwise``: operands have the result's shape, or are scalars, and an element of the result changes with
    those at its place alone."""
    if not case.op.elementwise:
        return
    full = _values(case)
    for result, t in zip(case.reference(case.arrays), case.jaxpr.out_types, strict=True):
        shapes = [x.shape for x in full]
        if not set(shapes) <= {(), t.shape} or any(x.shape != t.shape for x in _differentiated(case)):
            raise AssertionError(f"{case.message('elementwise')}: operands have shapes {shapes}, the result {t.shape}")
        if t.size < 2:
            continue
        for moved in _with_one_other(full, t.shape):
            (other,) = case.op.impl(*moved) if case.op.multiple else [case.op.impl(*moved)]
            first, second = (np.asarray(x).ravel()[1:] for x in (result, other))
            if not np.array_equal(first, second, first.dtype.kind in "fc"):
                raise AssertionError(f"{case.message('elementwise')}: another element 0 changes others of the result")


def _with_one_other(full: Sequence[Any], shape: tuple[int, ...]) -> list[list[Any]]:
    """The operands with their first element as it is elsewhere, all of them and each."""
    changed = []
    for x in full:
        x = np.array(x, order="C")
        if x.shape == shape:
            x.reshape(-1)[0] = x.reshape(-1)[-1]
        changed.append(x)
    return [changed, *[[*full[:i], x, *full[i + 1 :]] for i, x in enumerate(changed)]]


def check_choices(case: Case) -> None:
    """``choices``: each element of the result is one of those."""
    choices = case.op.choices([x.type if type(x) is Literal else type_of(x) for x in case.operands])
    if choices is not None:
        for moved in (case.arrays, [x[::-1] if x.ndim else x for x in case.arrays]):
            (result,) = case.reference(moved)
            if not (np.asarray(choices) == np.asarray(result)[..., None]).any(-1).all():
                raise AssertionError(f"{case.message('choices')}: it gives {result}, which is none of {choices}")


def check_sums(case: Case, place: int) -> None:
    """``sums_over``, ``by_element``: what it makes of single elements, against ``impl`` on a basis."""
    axes = tuple(case.op.sums_over(place))
    full = _values(case)
    x = full[place]
    if not axes or any(type(y) is Literal for y in case.operands) or not is_differentiable(x.dtype):
        return
    counts = [x.shape[a] for a in axes]
    kept = [a for a in range(x.ndim) if a not in axes]
    for scale in (np.ones_like(x), x):
        rows = []
        for k in np.ndindex(*counts):
            single = np.zeros_like(x)
            view = np.transpose(single, (*axes, *kept))
            view[k] = np.transpose(scale, (*axes, *kept))[k]
            rows.append(case.op.impl(*full[:place], single, *full[place + 1 :]))
        (t,) = case.jaxpr.out_types
        expected = np.stack(rows) if rows else np.zeros((0, *t.shape), t.dtype)

        def each(*xs: Any, plain: bool = scale is not x) -> list[Any]:
            return [case.op.by_element(place, None if plain else xs[place], xs)]

        case.agree(f"by_element (of operand {place})", each, full, [np.asarray(expected, t.dtype)])


def check_sparsity(case: Case, wrt: Sequence[int]) -> None:
    """``sparsity``: the pattern of the Jacobian by these operands has its entries, whether the others are known or not;
    by all operands also the patterns of the transposed program, and of the operation in lanes."""
    chosen = [i in wrt for i in range(len(case.types))]
    _check_pattern(case, f"sparsity (by operands {tuple(wrt)})", case.jaxpr, chosen, case.arrays)
    if len(wrt) < len(case.differentiable):
        return
    if case.batch:
        program, _ = vmap_jaxpr(case.jaxpr, Lanes(LANES), [True] * len(chosen), True)
        stacked = [*map(lanes, case.arrays)]
        _check_pattern(case, f"sparsity (by operands {tuple(wrt)}, in lanes)", program, chosen, stacked)
    if case.reverse:
        split = linearize_jaxpr(case.jaxpr, chosen)
        with np.errstate(all="ignore"):
            residuals = split.residuals(case.arrays, evaluate(split.primal, case.arrays))
        linear = [False] * len(residuals) + [True] * len(wrt)
        backward, _ = transpose_jaxpr(split.linear, linear, [True] * len(split.linear.outputs))
        cotangents = [case.direction(t) for t in split.linear.out_types]
        by = [False] * len(residuals) + [True] * len(cotangents)
        _check_pattern(
            case, f"sparsity (of the transpose by operands {tuple(wrt)})", backward, by, [*residuals, *cotangents]
        )


def _check_pattern(case: Case, rule: str, jaxpr: Jaxpr, wrt: Sequence[bool], arrays: Sequence[Any]) -> None:
    arrays = [np.asarray(x, t.dtype) for x, t in zip(arrays, jaxpr.in_types, strict=True)]
    columns = _columns(case, jaxpr, wrt, arrays)
    for known in (True, False) if not all(wrt) else (False,):
        given = [x if known and not w else None for x, w in zip(arrays, wrt, strict=True)]
        try:
            found = detect(jaxpr, wrt, len(jaxpr.outputs), given).pattern.to_scipy().toarray()
        except Exception as error:
            raise AssertionError(f"{case.message(rule)}: it raises {type(error).__name__}: {error}") from error
        for column, entries in columns:
            if (entries & ~found[:, column]).any():
                raise AssertionError(
                    f"{case.message(rule)}: rows {np.flatnonzero(entries)} depend on column {column}, and the pattern "
                    f"says {np.flatnonzero(found[:, column])} ({'other operands known' if known else 'nothing known'})"
                )


def _columns(case: Case, jaxpr: Jaxpr, wrt: Sequence[bool], arrays: Sequence[Any]) -> list[tuple[int, Any]]:
    """Some columns of a Jacobian: each with its number, and where it is neither zero nor what is not a number."""
    program, has = jvp_jaxpr(jaxpr, wrt)
    total = sum(x.size for x, w in zip(arrays, wrt, strict=True) if w)
    picked = range(total) if total <= _COLUMNS else case.random.choice(total, _COLUMNS, replace=False)
    found = []
    for column in picked:
        for unit in (1, 1j) if any(x.dtype.kind == "c" for x in arrays) else (1,):
            tangents = _basis([x for x, w in zip(arrays, wrt, strict=True) if w], int(column), unit)
            with np.errstate(all="ignore"):
                slopes = iter(evaluate(program, [*arrays, *tangents])[len(jaxpr.outputs) :])
            rows = [
                wide(next(slopes)).ravel() if h else np.zeros(t.size) for h, t in zip(has, jaxpr.out_types, strict=True)
            ]
            values = np.concatenate([np.zeros(0), *rows])
            found.append((int(column), (values != 0) & np.isfinite(values)))
    return found


def _basis(arrays: Sequence[Any], column: int, unit: Any) -> list[Any]:
    """Arrays like these with one element, and zeros."""
    tangents = []
    for x in arrays:
        tangent = np.zeros(x.size, x.dtype)
        if 0 <= column < x.size:
            tangent[column] = unit if x.dtype.kind == "c" else 1
        column -= x.size
        tangents.append(tangent.reshape(x.shape))
    return tangents


def _values(case: Case) -> list[Any]:
    """The operands as arrays."""
    return [np.asarray(x.value, x.type.dtype) if type(x) is Literal else np.asarray(x) for x in case.operands]


def _differentiated(case: Case) -> list[Any]:
    return [case.arrays[i] for i in case.differentiable]


def _cast(x: Any, dtype: np.dtype[Any]) -> Any:
    x = np.asarray(x)
    return (x.real if x.dtype.kind == "c" and dtype.kind not in "cb" else x).astype(dtype)
