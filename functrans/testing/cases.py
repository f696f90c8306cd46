"""A primitive at a sample of operands: the program of one equation, and the checks of what its rules make of it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from functrans.ir.check import check_jaxpr
from functrans.ir.program import Jaxpr, Literal
from functrans.ir.types import ArrayType, array_type, is_differentiable, type_of
from functrans.ops.structural import scalar_literal
from functrans.testing.closeness import assert_close, difference_step, difference_tolerance, epsilon, wide
from functrans.trace.binding import apply_operation
from functrans.trace.primitive import Lanes, Linear, Primitive
from functrans.trace.replay import evaluate, trace
from functrans.transform.jvp import instantiate_zero, jvp_jaxpr
from functrans.transform.linearize import linearize_jaxpr
from functrans.transform.taylor import taylor_jaxpr
from functrans.transform.transpose import transpose
from functrans.transform.vmap import vmap_jaxpr

LANES = 3
ROUNDINGS = 64  # how many roundings a rule's result may be away from the reference


def subsets(items: Sequence[int]) -> list[tuple[int, ...]]:
    """The subsets that are always checked."""
    items = tuple(items)
    if len(items) > 3:  # all of them and each alone
        return [items, *[(i,) for i in items]]
    return [s for n in range(1, len(items) + 1) for s in itertools.combinations(items, n)]


class Case:
    """A primitive and a sample: the program of one equation, and how to run programs."""

    def __init__(
        self,
        op: Primitive,
        sample: Sequence[Any],
        roundings: float = ROUNDINGS,
        *,
        derivative: bool = True,
        second_order: bool = True,
        batch: bool = True,
        wrt: Sequence[int] | None = None,
        reverse: bool = True,
        weak: Sequence[bool] = (),
        label: str = "",
    ) -> None:
        self.op = op
        self.label = label  # what is unusual about the sample, for messages
        lead = next((type_of(x).dtype for x in sample if not is_number(x)), None)
        if lead is None and sample:
            raise TypeError("check_rules needs at least one array among the operands")
        self.operands = [scalar_literal(x, lead) if is_number(x) else x for x in sample]  # type: ignore[arg-type]
        self.arrays = [np.asarray(x) for x in self.operands if type(x) is not Literal]
        self.types: list[ArrayType] = [type_of(x) for x in self.arrays]
        for i, is_weak in enumerate(weak):
            self.types[i] = self.types[i].update(weak_type=is_weak)
        self.jaxpr, captured = trace(
            lambda *inputs: apply_operation(op, self.fill(inputs)), self.types, f"check of {op}"
        )
        assert not captured, "an operation captured a value"
        self.seen: dict[int, tuple[Jaxpr, Sequence[Any], list[Any]]] = {}
        self.roundings = roundings
        self.random = np.random.default_rng(0)
        self.differentiable = [i for i, t in enumerate(self.types) if is_differentiable(t.dtype)]
        inexact = [t.dtype for t in (*self.types, *self.jaxpr.out_types) if is_differentiable(t.dtype)]
        self.dtype = max(inexact, key=epsilon) if inexact else np.dtype(np.float32)
        self.precise = epsilon(self.dtype) < 1e-4
        if not any(is_differentiable(t.dtype) for t in self.jaxpr.out_types):
            self.differentiable = []
        if wrt is not None:
            self.differentiable = [i for i in self.differentiable if i in wrt]
        self.derivative, self.reverse, self.batch = derivative, reverse, batch
        self.second_order = second_order and derivative and self.precise

    def like(self, sample: Sequence[Any], label: str, **changes: Any) -> Case:
        """Another sample for the same operation, to be checked as far as this one."""
        flags = {
            "derivative": self.derivative, "second_order": self.second_order, "batch": self.batch,
            "wrt": self.differentiable, "reverse": self.reverse,
        }  # fmt: skip
        return Case(self.op, sample, self.roundings, label=label, **{**flags, **changes})

    def run(self, jaxpr: Jaxpr, args: Sequence[Any]) -> list[Any]:
        """The program's results by the NumPy references; remembered, to be compared with those of XLA."""
        args = [np.asarray(a, t.dtype) for a, t in zip(args, jaxpr.in_types, strict=True)]
        with np.errstate(all="ignore"):
            results = evaluate(jaxpr, args)
        self.seen.setdefault(id(jaxpr), (jaxpr, args, results))
        return results

    def fill(self, arrays: Sequence[Any]) -> list[Any]:
        """The operands with these arrays in the places of arrays."""
        rest = iter(arrays)
        return [x if type(x) is Literal else next(rest) for x in self.operands]

    def reference(self, arrays: Sequence[Any]) -> list[Any]:
        """What ``impl`` gives."""
        full = [np.asarray(x.value, x.type.dtype) if type(x) is Literal else x for x in self.fill(arrays)]
        with np.errstate(all="ignore"):
            out = self.op.impl(*full)
        return list(out) if self.op.multiple else [out]

    def message(self, rule: str) -> str:
        shapes = ", ".join(str(x.type) if type(x) is Literal else str(type_of(x)) for x in self.operands)
        return f"rule {rule!r} of {self.op} at ({shapes}){self.label and ', '}{self.label}"

    def close(self, actual: Any, expected: Any, rule: str, tolerance: float | None = None) -> None:
        actual, expected = np.asarray(actual), np.asarray(expected)
        bound = self.roundings * max(epsilon(actual.dtype), epsilon(self.dtype)) if tolerance is None else tolerance
        assert_close(actual, expected, bound, self.message(rule))

    def direction(self, type_: ArrayType) -> Any:
        x = self.random.standard_normal(type_.shape)
        if type_.dtype.kind == "c":
            x = x + 1j * self.random.standard_normal(type_.shape)
        return np.asarray(x).astype(type_.dtype)

    def agree(
        self,
        rule: str,
        function: Callable[..., Sequence[Any]],
        args: Sequence[Any],
        expected: Sequence[Any],
        types: Sequence[ArrayType] | None = None,
    ) -> Jaxpr:
        """Trace a function of arrays, which may apply transforms, run it, and compare; returns its program."""
        types = [type_of(np.asarray(x)) for x in args] if types is None else types
        try:
            program, captured = trace(function, types, "a check of rules")
        except AssertionError:
            raise
        except Exception as error:
            raise AssertionError(f"{self.message(rule)}: it raises {type(error).__name__}: {error}") from error
        check_jaxpr(program)
        found = self.run(program, [*captured, *args])
        for a, b, type_ in zip(found, expected, program.out_types, strict=True):
            a, b = np.asarray(a), np.asarray(b)
            if a.dtype != b.dtype or type_.dtype != b.dtype or type_.shape != b.shape:
                raise AssertionError(
                    f"{self.message(rule)}: a result has type {type_} ({a.dtype}{a.shape}), not {b.dtype}{b.shape}"
                )
            self.close(a, b, rule)
        return program

    # -- the checks -----------------------------------------------------------------------------------------------

    def check_all(self) -> None:
        """Every rule, at this sample."""
        self.check_values()
        self.check_apart()
        for chosen in subsets(self.differentiable):
            self.check_jvp(chosen, self.derivative)
            if self.reverse:
                self.check_linear(chosen)
            if self.second_order:
                self.check_second_order(chosen)
                self.check_taylor(chosen, 3 if len(chosen) == len(self.differentiable) else 2)
        if self.batch and self.arrays:
            for mapped in subsets(range(len(self.arrays))):
                self.check_batch(mapped)

    def check_values(self) -> None:
        check_jaxpr(self.jaxpr)
        for type_, b in zip(self.jaxpr.out_types, self.run(self.jaxpr, self.arrays), strict=True):
            b = np.asarray(b)
            if (b.shape, b.dtype) != (type_.shape, type_.dtype):
                found = array_type(b.shape, b.dtype)
                raise AssertionError(f"{self.message('infer')}: it says {type_}, impl gives {found}")

    def check_apart(self) -> None:
        """What ``apart`` says: another slice of the operands changes that slice of the result alone."""
        if self.op.multiple:
            return
        choices = [[None] if type(x) is Literal else [None, *range(type_of(x).ndim)] for x in self.operands]
        types = [x.type if type(x) is Literal else type_of(x) for x in self.operands]
        for axes in itertools.islice(itertools.product(*choices), 1, 200):
            sizes = {t.shape[a] for t, a in zip(types, axes, strict=True) if a is not None}
            place = self.op.apart(axes, types) if len(sizes) == 1 and min(sizes) > 1 else None
            if place is None:
                continue
            moved, rest = [], iter(self.arrays)
            for x, axis in zip(self.operands, axes, strict=True):
                if type(x) is not Literal:
                    array = next(rest)
                    if axis is not None:
                        array = array.copy()
                        array.swapaxes(0, axis)[0] = array.swapaxes(0, axis)[1]
                    moved.append(array)
            (before,), (after,) = self.reference(self.arrays), self.reference(moved)
            first, second = (np.delete(np.asarray(x), 0, place) for x in (before, after))
            same = np.array_equal(first, second, equal_nan=first.dtype.kind in "fc")
            if np.shape(before)[place] != sizes.pop() or not same:
                raise AssertionError(f"{self.message('apart')}: slices along {axes} do not stay apart along {place}")

    def check_jvp(self, wrt: Sequence[int], derivative: bool) -> None:
        slopes = [self.direction(self.types[i]) for i in wrt]
        values, tangents = self.jvp(self.arrays, wrt, slopes)
        for a, b in zip(values, self.reference(self.arrays), strict=True):
            self.close(a, b, "jvp (its value)")
        if not derivative:
            return
        # In wide arithmetic, where impl computes in it, differences are good to far more than the dtype's precision.
        step = difference_step(np.dtype(np.float64))
        far = [wide(x) for x in self.arrays]
        if not all(np.asarray(x).dtype in (np.float64, np.complex128) for x in self._inexact(self.reference(far))):
            far, step = self.arrays, difference_step(self.dtype)
        sides = []
        for sign in (1, -1):
            moved = [*far]
            for i, t in zip(wrt, slopes, strict=True):
                moved[i] = np.asarray(far[i] + (sign * step * wide(t))).astype(np.asarray(far[i]).dtype)
            sides.append([wide(x) for x in self.reference(moved)])
        tolerance = self.roundings * epsilon(self.dtype)
        if far is self.arrays:
            tolerance = max(tolerance, difference_tolerance(self.dtype))
        tolerance = max(tolerance, difference_tolerance(np.dtype(np.float64)))
        for t, plus, minus in zip(tangents, *map(self._inexact, sides), strict=True):
            self.close(t, (plus - minus) / (2 * step), f"jvp (by operands {tuple(wrt)})", tolerance)

    def _inexact(self, arrays: Sequence[Any]) -> list[Any]:
        return [x for x in arrays if is_differentiable(np.asarray(x).dtype)]

    def jvp(self, arrays: Sequence[Any], wrt: Sequence[int], slopes: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """Values and tangents (zeros where the rule gives None) of one run of the jvp program."""
        program = self.jvp_program(wrt)
        check_jaxpr(program)
        results = self.run(program, [*arrays, *slopes])
        count = len(self.jaxpr.outputs)
        return results[:count], results[count:]

    def jvp_program(self, wrt: Sequence[int]) -> Jaxpr:
        nonzero = [i in wrt for i in range(len(self.types))]
        wanted = [is_differentiable(t.dtype) for t in self.jaxpr.out_types]
        program, has = jvp_jaxpr(self.jaxpr, nonzero, wanted)
        for h, w, type_ in zip(has, wanted, self.jaxpr.out_types, strict=True):
            if h and not w:
                raise AssertionError(f"{self.message('jvp')}: a result of type {type_} has a tangent")
        tangents = program.out_types[len(self.jaxpr.outputs) :]
        for type_, found in zip([t for t in self.jaxpr.out_types if is_differentiable(t.dtype)], tangents, strict=True):
            if (found.shape, found.dtype) != (type_.shape, type_.dtype):
                raise AssertionError(f"{self.message('jvp')}: the tangent of a result {type_} has type {found}")
        return program

    def check_second_order(self, wrt: Sequence[int]) -> None:
        program = self.jvp_program(wrt)
        slopes = [self.direction(self.types[i]) for i in wrt]
        primals = list(self.arrays)
        count = len(primals)
        second, _ = jvp_jaxpr(program, [i in wrt for i in range(count)] + [False] * len(slopes), self._all(program))
        check_jaxpr(second)
        moves = [self.direction(self.types[i]) for i in wrt]
        results = self.run(second, [*primals, *slopes, *moves])[len(program.outputs) :]
        step = difference_step(self.dtype)
        sides = []
        for sign in (1, -1):
            moved = [*primals]
            for i, t in zip(wrt, moves, strict=True):
                moved[i] = np.asarray(primals[i] + sign * step * t).astype(primals[i].dtype)
            outs = self.run(program, [*moved, *slopes])
            sides.append([wide(x) for x in outs if is_differentiable(np.asarray(x).dtype)])
        for t, plus, minus in zip(results, *sides, strict=True):
            self.close(t, (plus - minus) / (2 * step), "jvp (of its own result)", difference_tolerance(self.dtype))

    def check_taylor(self, wrt: Sequence[int], order: int) -> None:
        """Derivatives along a curve, which bends at its beginning: by Taylor mode, against jvp of jvp."""
        n = len(self.arrays)
        tolerance = 100 * self.roundings * epsilon(self.dtype)  # two ways, of many operations each
        curves = [[self.direction(self.types[i]) for _ in range(min(order, 2))] for i in wrt]
        given = tuple([tuple([i in wrt and k < 2 for k in range(order)]) for i in range(n)])
        try:
            program, has = taylor_jaxpr(self.jaxpr, given)
        except Exception as error:
            raise AssertionError(f"{self.message('taylor')}: it raises {type(error).__name__}: {error}") from error
        check_jaxpr(program)
        results = self.run(program, [*self.arrays, *[c for curve in curves for c in curve]])
        outs, rest = results[: len(has)], iter(results[len(has) :])
        coefficients = [[next(rest) if flag else 0.0 for flag in own] for own in has]
        nested = self.jaxpr
        places: list[tuple[int, int]] = [(i, 0) for i in range(n)]  # operand, and which derivative of it
        for k in range(1, order + 1):
            moving = [i in wrt for i, _ in places]
            nested, _ = jvp_jaxpr(nested, moving, self._all(nested))
            places = [*places, *[(i, d + 1) for (i, d), m in zip(places, moving, strict=True) if m]]
            by_operand = dict(zip(wrt, curves, strict=True))
            inputs = []
            for i, d in places:
                if d == 0:
                    inputs.append(self.arrays[i])
                else:
                    curve = by_operand[i]
                    inputs.append(math.factorial(d) * curve[d - 1] if d <= len(curve) else np.zeros_like(curve[0]))
            derivatives = self.run(nested, inputs)[-sum(self._all(self.jaxpr)) :]
            expected = iter(derivatives)
            for own, type_, out in zip(coefficients, self.jaxpr.out_types, outs, strict=True):
                if is_differentiable(type_.dtype):
                    wanted = next(expected)
                    found = np.broadcast_to(np.asarray(own[k - 1] * math.factorial(k), wanted.dtype), np.shape(out))
                    self.close(found, wanted, f"taylor (order {k}, by operands {tuple(wrt)})", tolerance)

    def _all(self, jaxpr: Jaxpr) -> list[bool]:
        return [is_differentiable(t.dtype) for t in jaxpr.out_types]

    def check_linear(self, wrt: Sequence[int]) -> None:
        """linearize against jvp, transpose against linearize."""
        chosen = [i in wrt for i in range(len(self.types))]
        split = linearize_jaxpr(self.jaxpr, chosen)
        check_jaxpr(split.primal)
        check_jaxpr(split.linear)
        slopes = [self.direction(self.types[i]) for i in wrt]
        outs = self.run(split.primal, self.arrays)
        residuals = split.residuals(self.arrays, outs)
        linear = self.run(split.linear, [*residuals, *slopes])
        _, tangents = self.jvp(self.arrays, wrt, slopes)
        expected = iter(tangents)
        found = iter(linear)
        for nonzero, type_ in zip(split.nonzero, self.jaxpr.out_types, strict=True):
            if is_differentiable(type_.dtype):
                t = next(expected)
                self.close(next(found) if nonzero else np.zeros_like(t), t, "linearize")
        if not linear:
            return
        types = split.linear.out_types
        cotangents = [self.direction(t) for t in types]
        self._check_adjoint(split.linear, residuals, slopes, linear, cotangents)
        if len(types) > 1:
            for i in range(len(types)):
                alone = [ct if i == k else None for k, ct in enumerate(cotangents)]
                self._check_adjoint(split.linear, residuals, slopes, linear, alone)
        twice = Jaxpr(split.linear.inputs, split.linear.equations, [*split.linear.outputs] * 2)
        self._check_adjoint(twice, residuals, slopes, [*linear] * 2, [*cotangents, *cotangents])

    def _check_adjoint(
        self,
        linear: Jaxpr,
        residuals: Sequence[Any],
        slopes: Sequence[Any],
        outs: Sequence[Any],
        cotangents: Sequence[Any],
    ) -> None:
        """Re <ct, J t> = Re <J^T ct, t>."""
        count = len(residuals)
        in_types = linear.in_types
        given = [i for i, ct in enumerate(cotangents) if ct is not None]

        def backward(*inputs: Any) -> list[Any]:
            rest = iter(inputs[count:])
            operands = [*inputs[:count], *[Linear(t) for t in in_types[count:]]]
            cts = transpose(linear, operands, [next(rest) if ct is not None else None for ct in cotangents])
            return [instantiate_zero(ct, v) for ct, v in zip(cts, linear.inputs[count:], strict=True)]

        types = [*in_types[:count], *[linear.out_types[i] for i in given]]
        program, captured = trace(backward, types, "transpose of a check")
        assert not captured
        check_jaxpr(program)
        sent = self.run(program, [*residuals, *[cotangents[i] for i in given]])
        for ct, type_ in zip(sent, in_types[count:], strict=True):
            if (ct.shape, ct.dtype) != (type_.shape, type_.dtype):
                raise AssertionError(
                    f"{self.message('transpose')}: the cotangent of an operand {type_} has type {ct.dtype}{ct.shape}"
                )
        pairs = [
            [wide(cotangents[i]) * wide(outs[i]) for i in given],
            [wide(a) * wide(b) for a, b in zip(sent, slopes, strict=True)],
        ]
        left, right = (sum(float(np.sum(np.real(p))) for p in side) for side in pairs)
        size = max(1.0, sum(float(np.sum(np.abs(p))) for side in pairs for p in side))
        if not abs(left - right) <= self.roundings * epsilon(self.dtype) * size and not (
            np.isnan(left) and np.isnan(right)
        ):
            raise AssertionError(f"{self.message('transpose')}: <ct, J t> = {left} and <J^T ct, t> = {right}")

    def check_batch(self, mapped: Sequence[int]) -> None:
        chosen = [i in mapped for i in range(len(self.arrays))]
        program, _ = vmap_jaxpr(self.jaxpr, Lanes(LANES), chosen, True)
        check_jaxpr(program)
        stacked = [lanes(x) if m else x for x, m in zip(self.arrays, chosen, strict=True)]
        loop = [self.reference([x[k] if m else x for x, m in zip(stacked, chosen, strict=True)]) for k in range(LANES)]
        for a, *rows in zip(self.run(program, stacked), *loop, strict=True):
            self.close(a, np.stack([np.asarray(r) for r in rows]), f"batch (operands {tuple(mapped)} mapped)")
        # mapped twice: the outer time, the operands that were not, and all of them
        for outer in {tuple(not c for c in chosen), (True,) * len(chosen)} - {(False,) * len(chosen)}:
            again, _ = vmap_jaxpr(program, Lanes(2), outer, True)
            check_jaxpr(again)
            twice = [
                np.stack([x, np.flip(x, 0) if m else x]) if o else x
                for x, o, m in zip(stacked, outer, chosen, strict=True)
            ]
            rows = [self.run(program, [x[k] if o else x for x, o in zip(twice, outer, strict=True)]) for k in range(2)]
            for a, first, last in zip(self.run(again, twice), *rows, strict=True):
                self.close(
                    a,
                    np.stack([np.asarray(first), np.asarray(last)]),
                    f"batch (operands {tuple(mapped)} mapped, twice)",
                )

    def check_batch_twice(self, inner: Sequence[int], outer: Sequence[int]) -> None:
        """vmap of vmap against a loop in a loop, for these operands mapped by either."""
        count = len(self.arrays)
        inside, outside = ([i in chosen for i in range(count)] for chosen in (inner, outer))
        program, is_mapped = self.jaxpr, (False,) * len(self.jaxpr.outputs)
        if inner:
            program, is_mapped = vmap_jaxpr(self.jaxpr, Lanes(LANES), inside, False)
        again, _ = vmap_jaxpr(program, Lanes(2), outside, True)
        check_jaxpr(again)
        once = [lanes(x) if m else x for x, m in zip(self.arrays, inside, strict=True)]
        stacked = [lanes(x)[:2] if m else x for x, m in zip(once, outside, strict=True)]
        rows = []
        for k in range(2):
            row = [x[k] if m else x for x, m in zip(stacked, outside, strict=True)]
            loop = [self.reference([x[r] if m else x for x, m in zip(row, inside, strict=True)]) for r in range(LANES)]
            rows.append([
                np.stack([np.asarray(x) for x in column]) if m else np.asarray(column[0])
                for column, m in zip(zip(*loop, strict=True), is_mapped, strict=True)
            ])  # fmt: skip
        for a, type_, first, last in zip(self.run(again, stacked), again.out_types, *rows, strict=True):
            rule = f"batch (operands {tuple(outer)} over {tuple(inner)} mapped)"
            b = np.stack([first, last])
            if a.dtype != b.dtype or (type_.shape, type_.dtype) != (b.shape, b.dtype):
                raise AssertionError(f"{self.message(rule)}: {type_} ({a.dtype}{a.shape}), not {b.dtype}{b.shape}")
            self.close(a, b, rule)

    def check_lanes(self, mapped: Sequence[int], size: int) -> None:
        """vmap over so few lanes."""
        chosen = [i in mapped for i in range(len(self.arrays))]
        rule = f"batch (operands {tuple(mapped)} mapped, {size} lanes)"
        try:
            program, _ = vmap_jaxpr(self.jaxpr, Lanes(size), chosen, True)
        except Exception as error:
            raise AssertionError(f"{self.message(rule)}: it raises {type(error).__name__}: {error}") from error
        check_jaxpr(program)
        stacked = [np.stack([x] * max(size, 1))[:size] if m else x for x, m in zip(self.arrays, chosen, strict=True)]
        for a, type_, b in zip(self.run(program, stacked), program.out_types, self.reference(self.arrays), strict=True):
            b = np.stack([np.asarray(b)] * max(size, 1))[:size]
            if (type_.shape, type_.dtype) != (b.shape, b.dtype):
                raise AssertionError(f"{self.message(rule)}: its result has type {type_}, not {b.dtype}{b.shape}")
            self.close(a, b, rule)


def is_number(x: Any) -> bool:
    return isinstance(x, bool | int | float | complex) and not isinstance(x, np.generic)


def lanes(x: Any) -> Any:
    """A stack of arrays with the elements of x in other orders: whatever domain x is from, they are."""
    if x.ndim == 0:
        if x.dtype == np.bool_:
            return np.stack([x, ~x, x])
        if is_differentiable(x.dtype):
            return np.stack([x, (wide(x) * 0.9375).astype(x.dtype), (wide(x) * 1.0625).astype(x.dtype)])
        return np.stack([x, x - np.sign(x) if x else x + np.asarray(1, x.dtype), x])
    flat = x.reshape(-1)
    return np.stack([x, flat[::-1].reshape(x.shape), np.roll(flat, 1).reshape(x.shape)])
