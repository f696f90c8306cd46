"""``check_rules``: every rule of a primitive against its NumPy reference and against one another."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from functrans.control.call import evaluate
from functrans.ir.check import check_jaxpr
from functrans.ir.program import Jaxpr, Literal
from functrans.ir.types import ArrayType, array_type, is_differentiable, type_of
from functrans.ops.structural import scalar_literal
from functrans.testing.closeness import assert_close, difference_step, difference_tolerance, epsilon, wide
from functrans.trace.builder import apply_operation
from functrans.trace.primitive import Linear, Primitive
from functrans.trace.replay import trace
from functrans.transform.jvp import instantiate_zero, jvp_jaxpr
from functrans.transform.linearize import linearize_jaxpr
from functrans.transform.transpose import transpose
from functrans.transform.vmap import vmap_jaxpr
from functrans.xla.execute import run

_LANES = 3
_ROUNDINGS = 64  # how many roundings a rule's result may be away from the reference


def check_rules(
    primitive: Primitive,
    *sample: Any,
    derivative: bool = True,
    second_order: bool = True,
    batch: bool = True,
    wrt: Sequence[int] | None = None,
    reverse: bool = True,
    execute: bool = True,
    roundings: float = _ROUNDINGS,
) -> None:
    """Check every rule of a primitive at a sample of operands.

    - ``infer`` gives the shapes and dtypes of what ``impl`` returns;
    - ``lower``, compiled and run, gives the values of ``impl``;
    - ``jvp`` gives the central differences of ``impl``, for each choice of operands; its derivative those of ``jvp``;
    - ``linearize`` gives what ``jvp`` gives, ``transpose`` its adjoint, also where cotangents are missing or add up;
    - ``batch`` gives what a Python loop gives, for each choice of mapped operands, and again when mapped twice.

    Args:
      primitive: the operation, its parameters included.
      sample: operands: arrays of any shape; a Python number stands for a literal of the dtype of the first array.
      derivative: compare jvp with differences (False: the function is not what its derivative rule says on purpose).
      second_order: compare the derivative of jvp with differences of jvp.
      batch: check batch.
      wrt: the arrays to differentiate by, counted without literals; by default every floating or complex one.
      reverse: check linearize and transpose (False: the operation has no reverse mode).
      execute: compile and run what the rules emit, ``lower`` included; False: evaluate it with NumPy alone.
      roundings: the tolerance of values, in units of the dtype's epsilon.

    Raises:
      AssertionError: a rule is wrong; the message says which, at which operands, with both results.

    >>> import numpy as np
    >>> from functrans.ops import elementwise, functions
    >>> from functrans.testing import check_rules
    >>> check_rules(elementwise.MUL, np.float32([1, 2, 3]), np.float32([4, 5, 6]))
    """
    case = _Case(primitive, sample, roundings)
    case.check_values()
    for chosen in _subsets([i for i in case.differentiable if wrt is None or i in wrt]):
        case.check_jvp(chosen, derivative)
        if reverse:
            case.check_linear(chosen)
        if second_order and derivative and case.precise:
            case.check_second_order(chosen)
    if batch and case.arrays:
        for mapped in _subsets(range(len(case.arrays))):
            case.check_batch(mapped)
    if execute:
        check_execution([case])


def check_lowering(samples: Sequence[tuple[Primitive, Sequence[Any]]], roundings: float = _ROUNDINGS) -> None:
    """Check that what ``lower`` writes, compiled and run, gives the values of ``impl``: all samples in one program.

    Compiling takes most of the time of check_rules; a table of rows pays it once here, with ``execute=False`` there.

    >>> import numpy as np
    >>> from functrans.ops import elementwise, functions
    >>> from functrans.testing import check_lowering
    >>> check_lowering([(functions.SIN, [np.float32([1, 2])]), (functions.COS, [np.float32(3)])])
    """
    cases = [_Case(op, operands, roundings) for op, operands in samples]
    for case in cases:
        case.check_values()
    check_execution(cases)


def check_execution(cases: Sequence[_Case]) -> None:
    """Every program that the cases evaluated with NumPy, compiled as one and run."""
    runs = [(case, *entry) for case in cases for entry in case.seen.values()]
    together = Jaxpr(
        [v for _, jaxpr, _, _ in runs for v in jaxpr.inputs],
        [eqn for _, jaxpr, _, _ in runs for eqn in jaxpr.equations],
        [a for _, jaxpr, _, _ in runs for a in jaxpr.outputs],
    )
    actual = iter(run(together, [a for _, _, args, _ in runs for a in args]))
    for case, jaxpr, _, expected in runs:
        for b, type_ in zip(expected, jaxpr.out_types, strict=True):
            a = next(actual)
            if (a.shape, a.dtype) != (type_.shape, type_.dtype):
                raise AssertionError(f"{case.message('lower')}: it gives {a.dtype}{a.shape}, infer says {type_}")
            case.close(a, b, "lower")


def _subsets(items: Sequence[int]) -> list[tuple[int, ...]]:
    items = tuple(items)
    if len(items) > 3:  # all of them and each alone
        return [items, *[(i,) for i in items]]
    return [s for n in range(1, len(items) + 1) for s in itertools.combinations(items, n)]


class _Case:
    """A primitive and a sample: the program of one equation, and how to run programs."""

    def __init__(self, op: Primitive, sample: Sequence[Any], roundings: float) -> None:
        self.op = op
        lead = next((type_of(x).dtype for x in sample if not _is_number(x)), None)
        if lead is None and sample:
            raise TypeError("check_rules needs at least one array among the operands")
        self.operands = [scalar_literal(x, lead) if _is_number(x) else x for x in sample]  # type: ignore[arg-type]
        self.arrays = [np.asarray(x) for x in self.operands if type(x) is not Literal]
        self.types: list[ArrayType] = [type_of(x) for x in self.arrays]
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
        return f"rule {rule!r} of {self.op} at ({shapes})"

    def close(self, actual: Any, expected: Any, rule: str, tolerance: float | None = None) -> None:
        actual, expected = np.asarray(actual), np.asarray(expected)
        bound = self.roundings * max(epsilon(actual.dtype), epsilon(self.dtype)) if tolerance is None else tolerance
        assert_close(actual, expected, bound, self.message(rule))

    def direction(self, type_: ArrayType) -> Any:
        x = self.random.standard_normal(type_.shape)
        if type_.dtype.kind == "c":
            x = x + 1j * self.random.standard_normal(type_.shape)
        return np.asarray(x).astype(type_.dtype)

    # -- the checks -----------------------------------------------------------------------------------------------

    def check_values(self) -> None:
        check_jaxpr(self.jaxpr)
        for type_, b in zip(self.jaxpr.out_types, self.run(self.jaxpr, self.arrays), strict=True):
            b = np.asarray(b)
            if (b.shape, b.dtype) != (type_.shape, type_.dtype):
                found = array_type(b.shape, b.dtype)
                raise AssertionError(f"{self.message('infer')}: it says {type_}, impl gives {found}")

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
        program, _ = vmap_jaxpr(self.jaxpr, _LANES, chosen, True)
        check_jaxpr(program)
        stacked = [_lanes(x) if m else x for x, m in zip(self.arrays, chosen, strict=True)]
        loop = [self.reference([x[k] if m else x for x, m in zip(stacked, chosen, strict=True)]) for k in range(_LANES)]
        for a, *rows in zip(self.run(program, stacked), *loop, strict=True):
            self.close(a, np.stack([np.asarray(r) for r in rows]), f"batch (operands {tuple(mapped)} mapped)")
        # mapped twice: the outer time, the operands that were not, and all of them
        for outer in {tuple(not c for c in chosen), (True,) * len(chosen)} - {(False,) * len(chosen)}:
            again, _ = vmap_jaxpr(program, 2, outer, True)
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


def _is_number(x: Any) -> bool:
    return isinstance(x, bool | int | float | complex) and not isinstance(x, np.generic)


def _lanes(x: Any) -> Any:
    """A stack of arrays with the elements of x in other orders: whatever domain x is from, they are."""
    if x.ndim == 0:
        if x.dtype == np.bool_:
            return np.stack([x, ~x, x])
        if is_differentiable(x.dtype):
            return np.stack([x, (wide(x) * 0.9375).astype(x.dtype), (wide(x) * 1.0625).astype(x.dtype)])
        return np.stack([x, x - np.sign(x) if x else x + np.asarray(1, x.dtype), x])
    flat = x.reshape(-1)
    return np.stack([x, flat[::-1].reshape(x.shape), np.roll(flat, 1).reshape(x.shape)])
