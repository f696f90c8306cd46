"""Variations of what stands for an operand: a number, a weak value, one value twice, a value from further out."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from functrans.ir.program import Literal
from functrans.ir.types import array_type, is_differentiable, kind_of, scalar_type
from functrans.ops.structural import spread
from functrans.testing.cases import LANES, Case, lanes
from functrans.testing.variations.trials import (
    all_subsets,
    checked,
    inferred,
    linearized,
    number_of,
    placed,
    slopes_of,
    tangents_of,
    with_operand,
)
from functrans.trace.binding import apply_operation
from functrans.trace.primitive import Lanes, Linear
from functrans.trace.replay import replay, trace
from functrans.transform.jvp import instantiate_zero, jvp
from functrans.transform.linearize import linearize
from functrans.transform.transpose import transpose
from functrans.transform.vmap import vmap


def literal_operands(case: Case) -> list[Case]:
    """Each operand a literal of the program: one of rank 0, and one for which a scalar may stand."""
    found = []
    able = case.op.literal_places(len(case.operands))
    places = [k for k, x in enumerate(case.operands) if type(x) is not Literal]
    for i, place in enumerate(places):
        types = list(case.types)
        types[i] = array_type((), types[i].dtype, types[i].weak_type)
        if not isinstance(types[i].dtype, np.dtype):
            continue
        if case.types[i].shape and (place not in able or inferred(case, types) != list(case.jaxpr.out_types)):
            continue
        number = number_of(case.arrays[i], case.types[i])
        sample = list(case.operands)
        sample[place] = number
        wrt = [k - (k > i) for k in case.differentiable if k != i]
        changed = case.like(sample, f"operand {place} a literal", wrt=wrt)
        found.append(changed)
        if changed.arrays:
            checked(changed)
        else:
            changed.check_values()
        polite = list(case.arrays)
        polite[i] = np.full(case.types[i].shape, number.value, case.types[i].dtype)
        if wrt:
            slopes = tangents_of(changed, wrt)
            theirs = [k for k in case.differentiable if k != i]
            expected = case.jvp(polite, theirs, slopes)[1]
            for a, b in zip(changed.jvp(changed.arrays, wrt, slopes)[1], expected, strict=True):
                changed.close(a, b, "jvp")
        if i in case.differentiable and case.types[i].shape:  # else it is among the number values
            _moving_literal(case, i, number, polite)
    return found


def _moving_literal(case: Case, i: int, number: Literal, arrays: Sequence[Any]) -> None:
    """Derivatives by the operand that is a number, alone and with the others: ``grad(lambda a, b: a / b)(2.0, y)``."""
    n = len(case.types)
    for wrt in dict.fromkeys([(i,), tuple(case.differentiable)]):
        slopes = tangents_of(case, wrt)
        values, tangents = case.jvp(arrays, wrt, slopes)
        for rule, how in (("jvp", jvp), ("linearize", linearized)):
            if rule == "linearize" and not case.reverse:
                continue

            def forward(*xs: Any, how: Any = how, wrt: Any = wrt) -> list[Any]:
                primals = [*xs[:i], number, *xs[i : n - 1]]
                outs, out_ts = how(case.jaxpr, primals, placed(xs[n - 1 :], wrt, n))
                return [*outs, *slopes_of(case, out_ts)]

            given = [*arrays[:i], *arrays[i + 1 :], *slopes]
            case.agree(f"{rule} (by operand {i}, a literal)", forward, given, [*values, *tangents])


def number_values(case: Case) -> list[Case]:
    """Numbers for values, tangents and cotangents of rank 0, as transforms get them from the user."""
    types, n = case.types, len(case.types)
    for i, type_ in enumerate(types):
        if type_.shape or not isinstance(type_.dtype, np.dtype):
            continue
        for number in (number_of(case.arrays[i], type_), case.arrays[i][()], case.arrays[i][()].item()):
            if type(number) is not Literal and kind_of(type_.dtype) == "f" and type_.dtype.kind == "V":
                continue  # bfloat16 has no Python number of its own
            rest = [k for k in range(n) if k != i]

            def fill(values: Sequence[Any], i: int = i, number: Any = number) -> list[Any]:
                values = list(values)
                return [*values[:i], number, *values[i:]]

            arrays = [case.arrays[k] for k in rest]
            wrt = list(case.differentiable)
            if wrt:
                slopes = tangents_of(case, wrt)
                values, tangents = case.jvp(case.arrays, wrt, slopes)
                expected = [*values, *tangents]

                def forward(*xs: Any, fill: Any = fill, wrt: Any = wrt, how: Any = jvp) -> list[Any]:
                    primals, ts = fill(xs[: n - 1]), placed(xs[n - 1 :], wrt, n)
                    outs, out_ts = how(case.jaxpr, primals, ts)
                    return [*outs, *slopes_of(case, out_ts)]

                case.agree(f"jvp (operand {i} a number)", forward, [*arrays, *slopes], expected)
                if case.reverse:
                    split = lambda j, ps, ts: linearized(j, ps, ts)
                    case.agree(
                        f"linearize (operand {i} a number)",
                        lambda *xs, forward=forward, split=split: forward(*xs, how=split),
                        [*arrays, *slopes], expected,
                    )  # fmt: skip
                if i in wrt:  # its tangent is a number too
                    one = [np.ones_like(t) if k == i else t for k, t in zip(wrt, slopes, strict=True)]
                    values, tangents = case.jvp(case.arrays, wrt, one)
                    given = [t for k, t in zip(wrt, one, strict=True) if k != i]

                    def unit(*xs: Any, i: int = i, fill: Any = fill, wrt: Any = wrt) -> list[Any]:
                        ts = placed(xs[n - 1 :], [k for k in wrt if k != i], n)
                        ts[i] = 1.0
                        outs, out_ts = jvp(case.jaxpr, fill(xs[: n - 1]), ts)
                        return [*outs, *slopes_of(case, out_ts)]

                    case.agree(f"jvp (tangent {i} a number)", unit, [*arrays, *given], [*values, *tangents])
            if case.batch and rest:
                stacked = [lanes(x) for x in arrays]
                rows = [case.reference(with_operand(x, i, case.arrays[i])) for x in zip(*stacked, strict=True)]

                def batched(*xs: Any, i: int = i, fill: Any = fill) -> list[Any]:
                    outs, mapped = vmap(case.jaxpr, Lanes(LANES), fill(xs), [k != i for k in range(n)])
                    return [x if m else spread(x, LANES) for x, m in zip(outs, mapped, strict=True)]

                expected = [np.stack([np.asarray(x) for x in column]) for column in zip(*rows, strict=True)]
                case.agree(f"batch (operand {i} a number)", batched, stacked, expected)
    _number_cotangents(case)
    return [case]


def _number_cotangents(case: Case) -> None:
    wrt = case.differentiable
    if not (wrt and case.reverse):
        return
    n = len(case.types)
    for k, out in enumerate(case.jaxpr.out_types):
        if out.shape or not is_differentiable(out.dtype):
            continue
        one = np.ones((), out.dtype)

        def backward(*xs: Any, k: int = k, number: bool = True) -> list[Any]:
            _, program = linearize(case.jaxpr, xs[:n], [i in wrt for i in range(n)])
            if not program.nonzero[k]:
                return []
            operands = [*program.residuals, *[Linear(case.types[i]) for i in wrt]]
            seeds = [None] * k + [1.0 if number else xs[n]] + [None] * (len(program.nonzero) - k - 1)
            given = [s for s, nonzero in zip(seeds, program.nonzero, strict=True) if nonzero]
            sent = transpose(program.jaxpr, operands, given)
            return [instantiate_zero(ct, case.jaxpr.inputs[i]) for i, ct in zip(wrt, sent, strict=True)]

        types = [*case.types, out]
        expected_by = trace(lambda *xs, k=k: backward(*xs, k=k, number=False), types, "a check")[0]
        expected = case.run(expected_by, [*case.arrays, one])
        case.agree(f"transpose (cotangent {k} a number)", backward, case.arrays, expected, case.types)


def weak_types(case: Case) -> list[Case]:
    """All operands of the dtypes that Python numbers have weak, and each alone."""
    numbers = [scalar_type(kind).dtype for kind in (int, float, complex)]
    able = [i for i, t in enumerate(case.types) if t.dtype in numbers]
    found = []
    for chosen in {tuple(able), *[(i,) for i in able]}:
        flags = [i in chosen for i in range(len(case.types))]
        types = [t.update(weak_type=f) for t, f in zip(case.types, flags, strict=True)]
        if not chosen:
            continue
        label = f"operands {chosen} weak"
        outs = inferred(case, types)
        if outs is None or [t.strong() for t in outs] != [t.strong() for t in case.jaxpr.out_types]:
            raise AssertionError(f"{case.message('infer')}, {label}: it says {outs}")
        changed = case.like(case.operands, label, weak=flags)
        found.append(checked(changed))
        wrt = case.differentiable
        if wrt:
            slopes = tangents_of(case, wrt)
            expected = case.jvp(case.arrays, wrt, slopes)
            for a, b in zip(changed.jvp(case.arrays, wrt, slopes), expected, strict=True):
                for x, y in zip(a, b, strict=True):
                    changed.close(x, y, "jvp")
        if case.batch:
            _check_weak_results(changed)
    return found


def _check_weak_results(case: Case) -> None:
    """vmap and jvp leave the weak flags of results as infer says them."""
    n = len(case.types)
    wanted = [t.weak_type for t in case.jaxpr.out_types]
    types = [t.update(shape=(LANES, *t.shape)) for t in case.types]
    batched, _ = trace(lambda *xs: vmap(case.jaxpr, Lanes(LANES), xs, [True] * n)[0], types, "a check")
    if [t.weak_type for t in batched.out_types] != wanted:
        raise AssertionError(f"{case.message('batch')}: weak flags of results are not those that infer says, {wanted}")
    if case.differentiable:
        program = case.jvp_program(case.differentiable)
        if [t.weak_type for t in program.out_types[: len(wanted)]] != wanted:
            raise AssertionError(f"{case.message('jvp')}: weak flags of results are not what infer says, {wanted}")


def same_value_twice(case: Case) -> list[Case]:
    """One tracer for two operands with tangents of their own, and one tangent for two operands."""
    n, wrt = len(case.types), case.differentiable
    for i, j in itertools.combinations(range(n), 2):
        if case.types[i] is not case.types[j]:
            continue
        rest = [k for k in range(n) if k != j]
        arrays = [case.arrays[i] if k == j else case.arrays[k] for k in range(n)]

        def fill(xs: Sequence[Any], i: int = i, j: int = j) -> list[Any]:
            xs = list(xs)
            return [*xs[:j], xs[i], *xs[j:]]

        once = [arrays[k] for k in rest]
        expected = case.run(case.jaxpr, arrays)
        label = f"operands {i} and {j} one value"
        case.agree(f"infer ({label})", lambda *xs, fill=fill: replay(case.jaxpr, fill(xs)), once, expected)
        for chosen in all_subsets([k for k in (i, j) if k in wrt]):
            slopes = tangents_of(case, chosen)
            values, tangents = case.jvp(arrays, chosen, slopes)

            def forward(*xs: Any, fill: Any = fill, chosen: Any = chosen, how: Any = jvp) -> list[Any]:
                outs, out_ts = how(case.jaxpr, fill(xs[: n - 1]), placed(xs[n - 1 :], chosen, n))
                return [*outs, *slopes_of(case, out_ts)]

            case.agree(f"jvp ({label})", forward, [*once, *slopes], [*values, *tangents])
            if case.reverse:
                case.agree(
                    f"linearize ({label})", lambda *xs, forward=forward: forward(*xs, how=linearized),
                    [*once, *slopes], [*values, *tangents],
                )  # fmt: skip
        if i in wrt and j in wrt:
            slope = case.direction(case.types[i])
            values, tangents = case.jvp(case.arrays, (i, j), [slope, slope])

            def together(*xs: Any, i: int = i, j: int = j, how: Any = jvp) -> list[Any]:
                outs, out_ts = how(case.jaxpr, xs[:n], placed([xs[n], xs[n]], (i, j), n))
                return [*outs, *slopes_of(case, out_ts)]

            case.agree(f"jvp (tangents {i} and {j} one value)", together, [*case.arrays, slope], [*values, *tangents])
        if case.batch:
            for which in itertools.product((False, True), repeat=2):
                if not any(which):
                    continue
                stacked = lanes(arrays[i])
                where = [p for p, m in zip((i, j), which, strict=True) if m]
                loop = []
                for k in range(LANES):
                    row = [stacked[k if p in where else 0] if p in (i, j) else x for p, x in enumerate(arrays)]
                    loop.append(case.reference(row))

                def batched(*xs: Any, i: int = i, j: int = j, which: Any = which, fill: Any = fill) -> list[Any]:
                    values = fill(xs[: n - 1])
                    values[i], values[j] = (xs[n - 1] if m else values[i] for m in which)
                    mapped = [(p == i and which[0]) or (p == j and which[1]) for p in range(n)]
                    outs, ms = vmap(case.jaxpr, Lanes(LANES), values, mapped)
                    return [x if m else spread(x, LANES) for x, m in zip(outs, ms, strict=True)]

                stack = [np.stack([np.asarray(x) for x in column]) for column in zip(*loop, strict=True)]
                first = [stacked[0] if k == i else x for k, x in zip(rest, once, strict=True)]
                case.agree(f"batch ({label}, mapped {which})", batched, [*first, stacked], stack)
    return [case]


def captured_operands(case: Case) -> list[Case]:
    """Each operand, and each but one, from one and from two levels out."""
    n = len(case.types)
    if not n:
        return []
    choices = {(i,) for i in range(n)} | {tuple(k for k in range(n) if k != i) for i in range(n)} - {()}
    wrt = case.differentiable
    for outside in sorted(choices):
        inside = [k for k in range(n) if k not in outside]
        own_types = [case.types[k] for k in inside]
        for levels in (1, 2):

            def staged(
                xs: Sequence[Any], use: Callable[..., list[Any]], outside: Any = outside, inside: Any = inside,
                own_types: Any = own_types, levels: int = levels,
            ) -> list[Any]:  # fmt: skip
                def inner(*own: Any) -> list[Any]:
                    values = {**{k: xs[k] for k in outside}, **dict(zip(inside, own, strict=True))}
                    return apply_operation(case.op, case.fill([values[k] for k in range(n)]))

                if levels == 1:
                    return use(*trace(inner, own_types, "an inner function"))

                def middle(*own: Any) -> list[Any]:
                    jaxpr, captured = trace(inner, own_types, "an inner function")
                    return replay(jaxpr, [*captured, *own])

                return use(*trace(middle, own_types, "a function between"))

            label = f"operands {outside} from {levels} level(s) out"

            def plain(*xs: Any, staged: Any = staged, inside: Any = inside) -> list[Any]:
                return list(staged(xs, lambda jaxpr, captured: replay(jaxpr, [*captured, *[xs[k] for k in inside]])))

            case.agree(f"bind ({label})", plain, case.arrays, case.run(case.jaxpr, case.arrays))
            chosen = [k for k in inside if k in wrt]
            if chosen:
                slopes = tangents_of(case, chosen)
                values, tangents = case.jvp(case.arrays, chosen, slopes)

                def forward(
                    *xs: Any, staged: Any = staged, inside: Any = inside, chosen: Any = chosen, how: Any = jvp
                ) -> list[Any]:
                    def use(jaxpr: Any, captured: Any) -> list[Any]:
                        ts = dict(zip(chosen, xs[n:], strict=True))
                        primals = [*captured, *[xs[k] for k in inside]]
                        outs, out_ts = how(jaxpr, primals, [None] * len(captured) + [ts.get(k) for k in inside])
                        return [*outs, *slopes_of(case, out_ts)]

                    return list(staged(xs, use))

                args, expected = [*case.arrays, *slopes], [*values, *tangents]
                case.agree(f"jvp ({label})", forward, args, expected)
                if case.reverse:
                    split = lambda *xs, forward=forward: forward(*xs, how=linearized)
                    case.agree(f"linearize ({label})", split, args, expected)
            if case.batch and inside:
                stacked = [lanes(x) if k in inside else x for k, x in enumerate(case.arrays)]
                loop = [
                    case.reference([x[r] if k in inside else x for k, x in enumerate(stacked)]) for r in range(LANES)
                ]

                def batched(*xs: Any, staged: Any = staged, inside: Any = inside) -> list[Any]:
                    def use(jaxpr: Any, captured: Any) -> list[Any]:
                        which = [False] * len(captured) + [True] * len(inside)
                        outs, ms = vmap(jaxpr, Lanes(LANES), [*captured, *[xs[k] for k in inside]], which)
                        return [x if m else spread(x, LANES) for x, m in zip(outs, ms, strict=True)]

                    return list(staged(xs, use))

                stack = [np.stack([np.asarray(x) for x in column]) for column in zip(*loop, strict=True)]
                case.agree(f"batch ({label})", batched, stacked, stack)
    return [case]
