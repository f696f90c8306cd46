"""Variations of a sample: what everyday programs make of an operation's operands, and polite samples do not.

Each variation takes a case, which has been checked as it is, checks the rules in its own way, and returns the cases
that hold what it ran. Wherever it can, it compares with what the rules gave for the case as it is: that needs no
differences, and is good to rounding.

What a variation cannot be applied to, the operation says itself: ``infer`` refuses the operands (other dtypes, other
lengths), or ``check_rules(without=...)`` names the variation and the reason.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import ml_dtypes
import numpy as np

from functrans.errors import FunctransError
from functrans.ir.program import Literal
from functrans.ir.types import ArrayType, array_type, is_differentiable, kind_of, scalar_type, type_of, x64_enabled
from functrans.ops.structural import scalar_literal, spread
from functrans.testing.cases import LANES, Case, lanes
from functrans.testing.closeness import epsilon, wide
from functrans.testing.strides import LAYOUTS, settled
from functrans.trace.binding import apply_operation
from functrans.trace.primitive import Lanes, Linear, Tangent, Value
from functrans.trace.replay import replay, trace
from functrans.transform.jvp import instantiate_zero, jvp
from functrans.transform.linearize import linearize
from functrans.transform.transpose import transpose
from functrans.transform.vmap import vmap

_MOST_SUBSETS = 15  # of more operands than make so many subsets: all, none, each alone and all but each


def _all_subsets(items: Sequence[int]) -> list[tuple[int, ...]]:
    items = tuple(items)
    if 2 ** len(items) - 1 <= _MOST_SUBSETS:
        return [s for n in range(1, len(items) + 1) for s in itertools.combinations(items, n)]
    return [items, *[(i,) for i in items], *[tuple(k for k in items if k != i) for i in items]]


def _tangents(case: Case, wrt: Sequence[int]) -> list[Any]:
    return [case.direction(case.types[i]) for i in wrt]


def _placed(values: Sequence[Any], places: Sequence[int], count: int) -> list[Any]:
    """The values at these places of a list, None elsewhere."""
    found = dict(zip(places, values, strict=True))
    return [found.get(i) for i in range(count)]


def _slopes(case: Case, tangents: Sequence[Any]) -> list[Any]:
    """The tangents of the floating results, zeros for None."""
    pairs = zip(tangents, case.jaxpr.outputs, strict=True)
    return [instantiate_zero(t, a) for t, a in pairs if is_differentiable(a.type.dtype)]


def _number(x: Any, type_: ArrayType) -> Literal:
    value = np.asarray(x).reshape(-1)
    return scalar_literal(value[0].item() if value.size else 1, type_.dtype, type_.weak_type)


def _check(case: Case) -> Case:
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


def _inferred(case: Case, types: Sequence[ArrayType]) -> list[ArrayType] | None:
    """What the operation says of operands of these types; None where it refuses them."""
    rest = iter(types)
    full = [x.type if type(x) is Literal else next(rest) for x in case.operands]
    try:
        found = case.op.infer(*full)
    except FunctransError:
        return None
    return list(found) if case.op.multiple else [found]


# -- the variations ----------------------------------------------------------------------------------------------------


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
        if case.types[i].shape and (place not in able or _inferred(case, types) != list(case.jaxpr.out_types)):
            continue
        number = _number(case.arrays[i], case.types[i])
        sample = list(case.operands)
        sample[place] = number
        wrt = [k - (k > i) for k in case.differentiable if k != i]
        changed = case.like(sample, f"operand {place} a literal", wrt=wrt)
        found.append(changed)
        if changed.arrays:
            _check(changed)
        else:
            changed.check_values()
        polite = list(case.arrays)
        polite[i] = np.full(case.types[i].shape, number.value, case.types[i].dtype)
        if wrt:
            slopes = _tangents(changed, wrt)
            theirs = [k for k in case.differentiable if k != i]
            expected = case.jvp(polite, theirs, slopes)[1]
            for a, b in zip(changed.jvp(changed.arrays, wrt, slopes)[1], expected, strict=True):
                changed.close(a, b, "jvp")
    return found


def number_values(case: Case) -> list[Case]:
    """Numbers for values, tangents and cotangents of rank 0, as transforms get them from the user."""
    types, n = case.types, len(case.types)
    for i, type_ in enumerate(types):
        if type_.shape or not isinstance(type_.dtype, np.dtype):
            continue
        for number in (_number(case.arrays[i], type_), case.arrays[i][()], case.arrays[i][()].item()):
            if type(number) is not Literal and kind_of(type_.dtype) == "f" and type_.dtype.kind == "V":
                continue  # bfloat16 has no Python number of its own
            rest = [k for k in range(n) if k != i]

            def fill(values: Sequence[Any], i: int = i, number: Any = number) -> list[Any]:
                values = list(values)
                return [*values[:i], number, *values[i:]]

            arrays = [case.arrays[k] for k in rest]
            wrt = list(case.differentiable)
            if wrt:
                slopes = _tangents(case, wrt)
                values, tangents = case.jvp(case.arrays, wrt, slopes)
                expected = [*values, *tangents]

                def forward(*xs: Any, fill: Any = fill, wrt: Any = wrt, how: Any = jvp) -> list[Any]:
                    primals, ts = fill(xs[: n - 1]), _placed(xs[n - 1 :], wrt, n)
                    outs, out_ts = how(case.jaxpr, primals, ts)
                    return [*outs, *_slopes(case, out_ts)]

                case.agree(f"jvp (operand {i} a number)", forward, [*arrays, *slopes], expected)
                if case.reverse:
                    split = lambda j, ps, ts: _linearized(j, ps, ts)
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
                        ts = _placed(xs[n - 1 :], [k for k in wrt if k != i], n)
                        ts[i] = 1.0
                        outs, out_ts = jvp(case.jaxpr, fill(xs[: n - 1]), ts)
                        return [*outs, *_slopes(case, out_ts)]

                    case.agree(f"jvp (tangent {i} a number)", unit, [*arrays, *given], [*values, *tangents])
            if case.batch and rest:
                stacked = [lanes(x) for x in arrays]
                rows = [case.reference(_with(x, i, case.arrays[i])) for x in zip(*stacked, strict=True)]

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


def _with(row: Sequence[Any], i: int, x: Any) -> list[Any]:
    return [*row[:i], x, *row[i:]]


def _linearized(jaxpr: Any, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[list[Any], list[Any]]:
    """What jvp gives, by linearize."""
    outs, program = linearize(jaxpr, primals, [t is not None for t in tangents])
    slopes = iter(replay(program.jaxpr, [*program.residuals, *[t for t in tangents if t is not None]]))
    return outs, [next(slopes) if nonzero else None for nonzero in program.nonzero]


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
        outs = _inferred(case, types)
        if outs is None or [t.strong() for t in outs] != [t.strong() for t in case.jaxpr.out_types]:
            raise AssertionError(f"{case.message('infer')}, {label}: it says {outs}")
        changed = case.like(case.operands, label, weak=flags)
        found.append(_check(changed))
        wrt = case.differentiable
        if wrt:
            slopes = _tangents(case, wrt)
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
        for chosen in _all_subsets([k for k in (i, j) if k in wrt]):
            slopes = _tangents(case, chosen)
            values, tangents = case.jvp(arrays, chosen, slopes)

            def forward(*xs: Any, fill: Any = fill, chosen: Any = chosen, how: Any = jvp) -> list[Any]:
                outs, out_ts = how(case.jaxpr, fill(xs[: n - 1]), _placed(xs[n - 1 :], chosen, n))
                return [*outs, *_slopes(case, out_ts)]

            case.agree(f"jvp ({label})", forward, [*once, *slopes], [*values, *tangents])
            if case.reverse:
                case.agree(
                    f"linearize ({label})", lambda *xs, forward=forward: forward(*xs, how=_linearized),
                    [*once, *slopes], [*values, *tangents],
                )  # fmt: skip
        if i in wrt and j in wrt:
            slope = case.direction(case.types[i])
            values, tangents = case.jvp(case.arrays, (i, j), [slope, slope])

            def together(*xs: Any, i: int = i, j: int = j, how: Any = jvp) -> list[Any]:
                outs, out_ts = how(case.jaxpr, xs[:n], _placed([xs[n], xs[n]], (i, j), n))
                return [*outs, *_slopes(case, out_ts)]

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


def zero_tangents(case: Case) -> list[Case]:
    """Each subset of tangents None, and of cotangents, against zeros in their places."""
    n, wrt = len(case.types), case.differentiable
    for chosen in _all_subsets(wrt):
        slopes = _tangents(case, chosen)
        every = [
            slopes[chosen.index(i)] if i in chosen else np.zeros(case.types[i].shape, case.types[i].dtype) for i in wrt
        ]
        values, tangents = case.jvp(case.arrays, wrt, every)
        expected = [*values, *tangents]
        for rule, how in (("jvp", jvp), ("linearize", _linearized)):
            if rule == "linearize" and not case.reverse:
                continue

            def forward(*xs: Any, chosen: Any = chosen, how: Any = how) -> list[Any]:
                outs, out_ts = how(case.jaxpr, xs[:n], _placed(xs[n:], chosen, n))
                return [*outs, *_slopes(case, out_ts)]

            case.agree(f"{rule} (tangents of {chosen} alone)", forward, [*case.arrays, *slopes], expected)
    if wrt and case.reverse:
        _zero_cotangents(case)
    return [case]


def _zero_cotangents(case: Case) -> None:
    n, wrt = len(case.types), case.differentiable
    outs = [k for k, t in enumerate(case.jaxpr.out_types) if is_differentiable(t.dtype)]
    cotangents = {k: case.direction(case.jaxpr.out_types[k]) for k in outs}

    def backward(*xs: Any, given: Sequence[int]) -> list[Any]:
        _, program = linearize(case.jaxpr, xs[:n], [i in wrt for i in range(n)])
        seeds = _placed(xs[n:], given, len(program.nonzero))
        operands = [*program.residuals, *[Linear(case.types[i]) for i in wrt]]
        sent = transpose(
            program.jaxpr, operands, [s for s, nonzero in zip(seeds, program.nonzero, strict=True) if nonzero]
        )
        return [instantiate_zero(ct, case.jaxpr.inputs[i]) for i, ct in zip(wrt, sent, strict=True)]

    types = [*case.types, *[case.jaxpr.out_types[k] for k in outs]]
    whole, _ = trace(lambda *xs: backward(*xs, given=outs), types, "a check")
    for given in [(), *_all_subsets(outs)]:
        seeds = [cotangents[k] if k in given else np.zeros_like(cotangents[k]) for k in outs]
        expected = case.run(whole, [*case.arrays, *seeds])
        case.agree(
            f"transpose (cotangents of {given} alone)",
            lambda *xs, given=given: backward(*xs, given=given),
            [*case.arrays, *[cotangents[k] for k in given]], expected,
        )  # fmt: skip


def mapped_twice(case: Case) -> list[Case]:
    """Each subset mapped, and each subset again over it."""
    if not case.batch:
        return []
    n = len(case.arrays)
    for inner in [(), *_all_subsets(range(n))]:
        for outer in _all_subsets(range(n)):
            case.check_batch_twice(inner, outer)
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
                slopes = _tangents(case, chosen)
                values, tangents = case.jvp(case.arrays, chosen, slopes)

                def forward(
                    *xs: Any, staged: Any = staged, inside: Any = inside, chosen: Any = chosen, how: Any = jvp
                ) -> list[Any]:
                    def use(jaxpr: Any, captured: Any) -> list[Any]:
                        ts = dict(zip(chosen, xs[n:], strict=True))
                        primals = [*captured, *[xs[k] for k in inside]]
                        outs, out_ts = how(jaxpr, primals, [None] * len(captured) + [ts.get(k) for k in inside])
                        return [*outs, *_slopes(case, out_ts)]

                    return list(staged(xs, use))

                args, expected = [*case.arrays, *slopes], [*values, *tangents]
                case.agree(f"jvp ({label})", forward, args, expected)
                if case.reverse:
                    split = lambda *xs, forward=forward: forward(*xs, how=_linearized)
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


def odd_strides(case: Case) -> list[Case]:
    """Operands that the program closes over, as NumPy arrays of other strides: they keep their values."""
    n = len(case.types)
    for layout, laid_out in LAYOUTS.items():
        odd = [settled(laid_out(np.array(x))) for x in case.arrays]
        for i in range(n):
            rest = [k for k in range(n) if k != i]
            arrays = [case.arrays[k] for k in rest]

            def apply(*xs: Any, i: int = i, odd: Any = odd) -> list[Any]:
                return apply_operation(case.op, case.fill(_with(xs, i, odd[i])))

            label = f"operand {i} an array laid out {layout}"
            case.agree(f"bind ({label})", apply, arrays, case.run(case.jaxpr, case.arrays))
            chosen = [k for k in case.differentiable if k != i]
            if chosen:
                slopes = _tangents(case, chosen)
                values, tangents = case.jvp(case.arrays, chosen, slopes)

                def forward(*xs: Any, i: int = i, odd: Any = odd, chosen: Any = chosen) -> list[Any]:
                    primals = _with(xs[: n - 1], i, odd[i])
                    outs, out_ts = jvp(case.jaxpr, primals, _placed(xs[n - 1 :], chosen, n))
                    return [*outs, *_slopes(case, out_ts)]

                case.agree(f"jvp ({label})", forward, [*arrays, *slopes], [*values, *tangents])
    return [case]


def short_axes(case: Case) -> list[Case]:
    """Axes of length 0 and 1: those of a mapped axis, and the operands' own, where infer accepts that."""
    found = [case]
    n = len(case.types)
    if case.batch:
        for mapped in _all_subsets(range(n)):
            for size in (0, 1):
                case.check_lanes(mapped, size)
    if case.op.holds_jaxprs:
        return found  # the programs say the shapes
    lengths = sorted({length for t in case.types for length in t.shape if length > 1})
    for length in lengths:
        for short in (0, 1):
            cut = [_cut(x, length, short) for x in case.arrays]
            types = [type_of(x).update(weak_type=t.weak_type) for x, t in zip(cut, case.types, strict=True)]
            if _inferred(case, types) is None:
                continue
            rest = iter(cut)
            sample = [x if type(x) is Literal else next(rest) for x in case.operands]
            found.append(_check(case.like(sample, f"axes of length {length} cut to {short}")))
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
            if _inferred(case, [type_of(x) for x in changed]) is None:
                continue
            rest = iter(changed)
            sample = [x if type(x) is Literal else next(rest) for x in case.operands]
            found.append(_check(case.like(sample, f"operands {chosen} of dtype {dtype}")))
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
        found.append(_check(case.like(sample, f"in {dtype}", second_order=False)))
    return found


def second_derivatives(case: Case) -> list[Case]:
    """Forward over reverse against forward over forward: <ct, d2f[s, t]> = <d(J^T ct)[s], t>."""
    n, wrt = len(case.types), case.differentiable
    if not (wrt and case.reverse and case.derivative):
        return []
    slopes, moves = _tangents(case, wrt), _tangents(case, wrt)
    outs = [k for k, t in enumerate(case.jaxpr.out_types) if is_differentiable(t.dtype)]
    cotangents = [case.direction(case.jaxpr.out_types[k]) for k in outs]

    def backward(*xs: Any) -> list[Any]:
        _, program = linearize(case.jaxpr, xs[:n], [i in wrt for i in range(n)])
        seeds = _placed(xs[n:], outs, len(program.nonzero))
        operands = [*program.residuals, *[Linear(case.types[i]) for i in wrt]]
        given = [s for s, nonzero in zip(seeds, program.nonzero, strict=True) if nonzero]
        sent = transpose(program.jaxpr, operands, given)
        return [instantiate_zero(ct, case.jaxpr.inputs[i]) for i, ct in zip(wrt, sent, strict=True)]

    def forward(*xs: Any) -> list[Any]:
        _, out_ts = jvp(case.jaxpr, xs[:n], _placed(xs[n:], wrt, n))
        return _slopes(case, out_ts)

    def moved(function: Any, args: Sequence[Any], how: Any = jvp) -> list[Any]:
        types = [*case.types, *[type_of(x) for x in args[n:]]]
        program, captured = trace(function, types, "a check")
        nothing = [None] * len(captured)

        def derivative(*xs: Any) -> list[Any]:
            ts = [*nothing, *_placed(xs[len(types) :], wrt, len(types))]
            _, found = how(program, [*captured, *xs[: len(types)]], ts)
            return [instantiate_zero(t, a) for t, a in zip(found, program.outputs, strict=True)]

        whole, more = trace(derivative, [*types, *[case.types[i] for i in wrt]], "a check")
        return case.run(whole, [*more, *args, *moves])

    try:
        curved = moved(forward, [*case.arrays, *slopes])
        for how in (jvp, _linearized):
            bent = moved(backward, [*case.arrays, *cotangents], how)
            _check_symmetric(case, cotangents, curved, bent, slopes)
    except AssertionError:
        raise
    except Exception as error:
        raise AssertionError(f"{case.message('second order')}: it raises {type(error).__name__}: {error}") from error
    return [case]


def _check_symmetric(
    case: Case, cotangents: Sequence[Any], curved: Sequence[Any], bent: Sequence[Any], slopes: Sequence[Any]
) -> None:
    sides = [
        [wide(a) * wide(b) for a, b in zip(cotangents, curved, strict=True)],
        [wide(a) * wide(b) for a, b in zip(bent, slopes, strict=True)],
    ]
    left, right = (sum(float(np.sum(np.real(p))) for p in side) for side in sides)
    size = max(1.0, sum(float(np.sum(np.abs(p))) for side in sides for p in side))
    close = abs(left - right) <= case.roundings * epsilon(case.dtype) * size
    if not close and not (np.isnan(left) and np.isnan(right)):
        raise AssertionError(
            f"{case.message('second order')}: <ct, d2f[s, t]> = {left}, and <d(J^T ct)[s], t> = {right}"
        )


VARIATIONS: dict[str, Callable[[Case], list[Case]]] = {
    "literal operands": literal_operands,
    "number values": number_values,
    "weak types": weak_types,
    "same value twice": same_value_twice,
    "zero tangents": zero_tangents,
    "mapped twice": mapped_twice,
    "captured operands": captured_operands,
    "odd strides": odd_strides,
    "short axes": short_axes,
    "integer dtypes": integer_dtypes,
    "half precision": half_precision,
    "second derivatives": second_derivatives,
}
