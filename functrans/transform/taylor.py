"""Taylor mode.  taylor : (a -> b) -> (a, its coefficients along a line) -> (b, its coefficients)

    { lambda ; a. let b = sin a; c = mul b a in (c,) }      becomes, for a[0], a[1] and order 2,

    b0 = sin a0;  u0 = cos a0;  c0 = mul b0 a0
    b1 = mul a1 u0;             c1 = add (mul b0 a1) (mul b1 a0)
    u1 = neg (mul a1 b0);  v = mul a1 u1;  b2 = mul v 0.5;  c2 = add (mul b1 a1) (mul b2 a0)

Coefficient k of every result comes from coefficients up to k of the operands. An operation's own rule is derived from
its jvp rule: the derivative along the line, ``y'(s) = jvp(x(s), x'(s))``, is a program of other operations, and where
the operation itself is among them, on the same operand, the series that is being made is read: a recurrence.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from functrans.ir.cache import Cache
from functrans.ir.program import Equation, Jaxpr, Literal, Var, live_equations, with_programs
from functrans.ir.types import is_differentiable
from functrans.jaxlib_compat import configuration
from functrans.ops.constants import trace_closed
from functrans.ops.elementwise import MUL, add, div, mul, real_dtype, sub
from functrans.ops.slicing import concatenate, rev, slice_in_dim
from functrans.ops.structural import as_declared, full, reduce_sum, reshape, zeros
from functrans.trace.binding import apply_operation, as_operand
from functrans.trace.effects import without_effects
from functrans.trace.primitive import Lanes, Primitive, Tangent, Value
from functrans.trace.replay import emit, entering, replay_here, replay_into, trace
from functrans.trace.series import Series
from functrans.trace.state import surroundings
from functrans.transform.jvp import jvp_jaxpr

_WRITTEN_OUT = 24  # products in a sum


class CurrentLine:
    """A line in the program being built (``trace.series.Line``). ``order``: how many coefficients are wanted; 0 where
    that is not known."""

    def __init__(self, order: int) -> None:
        self.target = order  # the highest order that anybody will ask for, as far as is known
        self.memo: dict[Any, tuple[Any, Any]] = {}  # what is remembered, and what keeps the identities in its key alive

    # -- operations ---------------------------------------------------------------------------------------------------

    def apply(self, op: Primitive, operands: Sequence[Any]) -> Any:
        """See ``Line``. Equal operations on the same operands have one result."""
        if not any(type(x) is Series for x in operands):
            results = apply_operation(op, operands)
            return results if op.multiple else results[0]
        if not op.shared:
            return op.taylor(self, operands)
        key = (op, *[x if type(x) is Literal else id(x) for x in operands])
        if key not in self.memo:
            self.memo[key] = (op.taylor(self, operands), list(operands))
        return self.memo[key][0]

    def along(self, op: Primitive, operands: Sequence[Any]) -> Any:
        """See ``Line``."""
        results = _Derived(self, op, operands).results
        return results if op.multiple else results[0]

    def pushed(self, op: Primitive, operands: Sequence[Any]) -> Any:
        """See ``Line``."""
        results = _Pushed(self, op, operands).results
        return results if op.multiple else results[0]

    def derivative(self, x: Series) -> Any:
        """See ``Line``."""
        if x.degree == 1:
            return x[1]
        key = ("derivative", id(x))
        if key not in self.memo:
            degree = None if x.degree is None else x.degree - 1
            series = Series(x.type, [], lambda k: _scaled(x[k + 1], k + 1.0), degree)
            self.memo[key] = (series, x)
        return self.memo[key][0]

    def product(self, op: Primitive, x: Any, y: Any) -> Any:
        """See ``Line``."""
        (value,) = apply_operation(op, [value_of(x), value_of(y)])

        def apply(a: Any, b: Any) -> Any:
            return apply_operation(op, [a, b])[0]

        def step(k: int) -> Any:
            if x is not y or op is not MUL or k >= _WRITTEN_OUT:
                return self._convolved(apply, x, y, k, range(k + 1), op)
            twice = _scaled(self._convolved(apply, x, y, k, range((k + 1) // 2), op), 2.0)
            once = None if k % 2 else self._convolved(apply, x, y, k, [k // 2], op)
            return once if twice is None else twice if once is None else add(twice, once)

        degrees = [x.degree if type(x) is Series else 0, y.degree if type(y) is Series else 0]
        return Series(value.type, [value], step, None if None in degrees else sum(degrees))  # type: ignore[arg-type]

    def quotient(self, x: Any, y: Any) -> Any:
        """See ``Line``. Half precision divides each coefficient: its range is too small for reciprocals."""
        value, divisor = div(value_of(x), value_of(y)), value_of(y)
        divide = div if value.dtype.itemsize == 2 else lambda a, divisor: mul(a, div(1.0, divisor))
        return self._solution(value, lambda a: divide(a, divisor), mul, x, y, MUL)

    def solution(self, solve: Callable[[Any], Any], product: Callable[[Any, Any], Any], x: Any, y: Any) -> Any:
        """See ``Line``."""

        def solve_array(a: Any) -> Any:
            return solve(_as_array(a, x))

        return self._solution(solve(value_of(x)), solve_array, lambda a, z: product(_as_array(a, y), z), x, y)

    def value(self, x: Any) -> Any:
        """See ``Line``."""
        return value_of(x)

    def _solution(
        self,
        value: Any,
        solve: Callable[[Any], Any],
        product: Callable[[Any, Any], Any],
        x: Any,
        y: Any,
        op: Primitive | None = None,
    ) -> Series:
        def step(k: int) -> Any:
            total = self._convolved(product, y, series, k, range(1, k + 1), op)
            given = coefficient(x, k)
            if total is None:
                return None if given is None else solve(given)
            return solve(_negative(total) if given is None else sub(given, total))

        degree = None if type(y) is Series else x.degree
        series = Series(value.type, [value], step, degree)
        return series

    def _convolved(
        self,
        product: Callable[[Any, Any], Any],
        x: Any,
        y: Any,
        k: int,
        places: Sequence[int],
        op: Primitive | None,
    ) -> Any:
        """The sum of products of x[i] and y[k - i] over these i; None where each is zero.

        Where an operation is named that is the product, a long sum is one product of arrays that hold the coefficients
        along a new axis: the number of equations of order K grows with K, and not with its square.
        """
        pairs = [(i, coefficient(x, i), coefficient(y, k - i)) for i in places]
        pairs = [pair for pair in pairs if pair[1] is not None and pair[2] is not None]
        if op is not None and len(pairs) > _WRITTEN_OUT and type(x) is Series and type(y) is Series:
            first, last = pairs[0][0], pairs[-1][0]
            rows = slice_in_dim(self._stacked(x, last), first, last + 1)
            others = rev(slice_in_dim(self._stacked(y, k - first), k - last, k - first + 1), (0,))
            products, _ = op.batch(Lanes(last + 1 - first), [rows, others], [True, True])
            return reduce_sum(products, (0,))
        total = None
        for _, a, b in pairs:
            term = product(a, b)
            total = term if total is None else add(total, term)
        return total

    def _stacked(self, x: Series, k: int) -> Any:
        """The coefficients up to k along a new axis 0; each time those that are new are put behind those before."""
        key = ("stacked", id(x))
        if key not in self.memo:
            self.memo[key] = ([], x)
        known: list[Any] = self.memo[key][0]  # the array of so many rows less one, or None
        if k >= len(known):
            longest = max([n for n, array in enumerate(known) if array is not None], default=-1)
            rows = [reshape(_whole(x[n], x), (1, *x.shape)) for n in range(longest + 1, k + 1)]
            before = [] if longest < 0 else [known[longest]]
            known += [None] * (k - len(known))
            known.append(concatenate([*before, *rows], 0))
        elif known[k] is None:
            longer = next(array for array in known[k:] if array is not None)
            known[k] = slice_in_dim(longer, 0, k + 1)
        return known[k]


def value_of(x: Any) -> Any:
    """What an operand is at the beginning of the line."""
    return _whole(x[0], x) if type(x) is Series else x


def _whole(c: Any, like: Any) -> Any:
    """A coefficient as an array, be it zero or a number."""
    return zeros(like.shape, like.type) if c is None else _as_array(c, like)


def _as_array(c: Any, like: Any) -> Any:
    """A coefficient, where it is a number that stands for an array as that array."""
    return full(like.shape, c.value, like.dtype) if type(c) is Literal and like.shape else c


def coefficient(x: Any, k: int) -> Any:
    """Coefficient k of an operand."""
    return x[k] if type(x) is Series else None if k else x


def _scaled(x: Any, factor: float) -> Any:
    """A coefficient times a number."""
    return None if x is None else x if factor == 1.0 else mul(x, factor)


def _negative(x: Any) -> Any:
    return mul(x, -1.0)


# -- by the jvp rule -------------------------------------------------------------------------------------------------


class _Slopes(NamedTuple):
    """The jvp rule of an operation on operands of some types, of which some vary.

    ``values``: operands that are no numbers -> results; ``slopes``: (the same, tangents of those that vary) -> tangents
    of those results that have one (``has``). ``fixed``: the tangents are a linear function that is the same along the
    line. ``captured``: the first inputs of both.
    """

    values: Jaxpr | None
    slopes: Jaxpr
    has: tuple[bool, ...]
    fixed: bool
    captured: tuple[Any, ...]


_slopes = Cache(4096)


def _slopes_of(
    op: Primitive, operands: Sequence[Any], given: tuple[bool, ...], varying: tuple[bool, ...] = ()
) -> _Slopes:
    """``given``: operands that have a tangent, among the ``varying`` ones, by default all of them."""
    fixed = [type(x) is Literal and not v for x, v in zip(operands, varying or given, strict=True)]
    kinds = tuple([x if f else x.type for x, f in zip(operands, fixed, strict=True)])
    key = (op, kinds, given, surroundings().rules, configuration.trace_context())
    found = _slopes.find(key)
    if found is None:
        made = _make_slopes(op, kinds, given)
        if made.captured or op.passing:
            return made
        found = _slopes.add(key, made)
    return found  # type: ignore[no-any-return]


def _make_slopes(op: Primitive, kinds: Sequence[Any], varying: Sequence[bool]) -> _Slopes:
    has: list[bool] = []
    types = [k for k in kinds if type(k) is not Literal]
    own = [v for v, k in zip(varying, kinds, strict=True) if type(k) is not Literal]

    def function(*inputs: Any) -> list[Any]:
        arrays, tangents = iter(inputs[: len(types)]), iter(inputs[len(types) :])
        primals = [k if type(k) is Literal else next(arrays) for k in kinds]
        outs, slopes = op.jvp(primals, [next(tangents) if v else None for v in varying])
        if not op.multiple:
            outs, slopes = [outs], [slopes]
        has.extend([t is not None for t in slopes])
        return [*outs, *[t for t in slopes if t is not None]]

    tangent_types = [t for t, v in zip(types, own, strict=True) if v]
    jaxpr, captured = trace(function, [*types, *tangent_types], f"the derivative of {op.name} along a line")
    outs, slopes = jaxpr.outputs[: len(has)], jaxpr.outputs[len(has) :]
    values: Jaxpr | None = None  # the operation itself, where a user's rule reads tangents in them
    equations, live = live_equations(jaxpr.equations, outs)
    if live.isdisjoint(jaxpr.inputs[len(captured) + len(types) :]):
        values = Jaxpr(jaxpr.inputs[: len(captured) + len(types)], equations, outs)
    tangents = Jaxpr(jaxpr.inputs, live_equations(jaxpr.equations, slopes, keep_effects=False)[0], slopes)
    moving = [*[False] * len(captured), *own, *[False] * len(tangent_types)]
    fixed = not slopes or not any(jvp_jaxpr(tangents, moving)[1])
    return _Slopes(values, tangents, tuple(has), fixed, tuple(captured))


class _Derived:
    """The results of an operation along a line, by its jvp rule."""

    def __init__(self, line: CurrentLine, op: Primitive, operands: Sequence[Any]) -> None:
        self.line, self.op, self.operands = line, op, operands
        self.varying = tuple([type(x) is Series for x in operands])
        self.primals = [value_of(x) for x in operands]
        self.rows: list[Sequence[Any]] = []  # by order, beginning with 1
        self.inner: tuple[list[Any], list[Series]] | None = (
            None  # the derivative along the line, and what it is made of
        )
        self.begun = False
        rule = self.rule = _slopes_of(op, self.primals, self.varying)
        if op.holds_jaxprs and rule.values is not None:  # the rule of a user's derivative gives the values too
            values = replay_here(rule.values, self._inputs(rule, self.primals, [None] * len(operands)))
        else:
            values = apply_operation(op, self.primals)
        degree: int | None = None
        if rule.fixed:
            degrees = [x.degree for x, v in zip(operands, self.varying, strict=True) if v]
            degree = None if None in degrees else max(degrees)
        places = iter(range(sum(rule.has)))
        self.results = [
            _part_of(self.rows, as_operand(x), next(places), self.made, degree) if h else x
            for x, h in zip(values, rule.has, strict=True)
        ]

    def made(self, k: int) -> None:
        """Make the rows known to order k."""
        if len(self.rows) < k and not self.rule.fixed:
            self._differentiate(k - 1)
        while len(self.rows) < k:
            n = len(self.rows) + 1
            self.rows.append(self._fixed(n) if self.rule.fixed else self._integrated(n))

    def _inputs(self, rule: _Slopes, operands: Sequence[Any], tangents: Sequence[Any]) -> list[Any]:
        """What the programs of a rule take; tangents are None where the operand does not vary."""
        arrays = [
            x for x, p, v in zip(operands, self.primals, self.varying, strict=True) if v or type(p) is not Literal
        ]
        return [*rule.captured, *arrays, *[t for t in tangents if t is not None]]

    def _fixed(self, k: int) -> Sequence[Any]:
        """The linear function of coefficient k."""
        given = [coefficient(x, k) if v else None for x, v in zip(self.operands, self.varying, strict=True)]
        present = tuple([t is not None for t in given])
        if not any(present):
            return [None] * sum(self.rule.has)
        rule = self.rule if present == self.varying else _slopes_of(self.op, self.primals, present, self.varying)
        slopes = iter(replay_here(rule.slopes, self._inputs(rule, self.primals, given)))
        own = [next(slopes) if h else None for h in rule.has]
        return [t for t, h in zip(own, self.rule.has, strict=True) if h]

    def _differentiate(self, k: int) -> None:
        """Make the derivative known to order k."""
        if self.inner is None:
            if self.begun:
                raise _NotYet
            self.begun, outer, self.line.target = True, self.line.target, k
            slopes = [self.line.derivative(x) if v else None for x, v in zip(self.operands, self.varying, strict=True)]
            self.inner = taylor(self.rule.slopes, self._inputs(self.rule, self.operands, slopes), self.line)
            self.line.target = outer
        for x in self.inner[1]:  # in order: what one asks for the other has, however long the program is
            x[k]

    def _integrated(self, k: int) -> Sequence[Any]:
        """Coefficient k of an integral: coefficient k - 1 of the derivative, by k."""
        return [_scaled(coefficient(x, k - 1), 1.0 / k) for x in self.inner[0]]  # type: ignore[index]


class _NotYet(Exception):
    """A coefficient was asked of a series whose derivative is being written."""


class _Pushed:
    """The results of an operation that holds programs: of the operation over programs that carry coefficients too.

    One run gives every coefficient that will be asked for, where the operands' are known; else it runs again for each.
    """

    def __init__(self, line: CurrentLine, op: Any, operands: Sequence[Any]) -> None:
        self.op, self.operands = op, operands
        self.primals = [value_of(x) for x in operands]
        self.rows: list[Sequence[Any]] = []
        try:
            values = self._run(op, line.target)
        except _NotYet:
            values = apply_operation(op, self.primals)
        self.results = [
            _part_of(self.rows, as_operand(x), i, self.made) if is_differentiable(x.dtype) else x
            for i, x in enumerate(values)
        ]

    def made(self, k: int) -> None:
        """Make the rows known to order k."""
        if len(self.rows) < k:
            self._run(with_programs(self.op, without_effects), k)

    def _run(self, op: Any, order: int) -> list[Any]:
        extras = [tuple([_as_array(coefficient(x, k), x) for k in range(1, order + 1)]) for x in self.operands]
        if all(c is None for own in extras for c in own):
            outs = apply_operation(op, self.primals)
            slopes = [(None,) * order] * len(outs)
        else:
            outs, slopes = op.pushed(self.primals, extras, taylor_jaxpr)
        self.rows[:] = zip(*slopes, strict=True)
        return outs


def _part_of(
    rows: list[Sequence[Any]], value: Any, place: int, ahead: Callable[[int], None], degree: int | None = None
) -> Series:
    """One of several results, whose coefficients of order k are made together: ``rows[k - 1]``."""
    return Series(value.type, [value], lambda k: rows[k - 1][place], degree, ahead)


# -- programs --------------------------------------------------------------------------------------------------------


def taylor(jaxpr: Jaxpr, operands: Sequence[Any], line: CurrentLine) -> tuple[list[Any], list[Series]]:
    """The program's outputs along the line, where its inputs are these, and the series on the way, in order."""
    values: dict[Any, Any] = {
        v: x if type(x) is Series else as_operand(x, v.type) for v, x in zip(jaxpr.inputs, operands, strict=True)
    }
    trail: list[Series] = []
    for eqn in jaxpr.equations:
        results = line.apply(eqn.op, [values[a] if type(a) is Var else a for a in eqn.inputs])
        for v, x in zip(eqn.outputs, results if eqn.op.multiple else [results], strict=True):
            values[v] = x
            if type(x) is Series:
                trail.append(x)
    return [values[a] if type(a) is Var else a for a in jaxpr.outputs], trail


def taylor_to_order(
    jaxpr: Jaxpr, primals: Sequence[Value], series: Sequence[Sequence[Tangent]]
) -> tuple[list[Any], list[list[Any]]]:
    """Replay the program along a line; ``series``: the coefficients from the first on of each input, as many of each
    (None: zero). Its outputs, and as many coefficients of each."""
    order = len(series[0]) if series else 0
    line = CurrentLine(order)
    given = entering(jaxpr, primals)
    inputs = [
        Series(v.type, [given[v], *[as_operand(c, v.type) if c is not None else None for c in own]], _none, degree)
        if (degree := max([k for k, c in enumerate(own, 1) if c is not None], default=0))
        else given[v]
        for v, own in zip(jaxpr.inputs, series, strict=True)
    ]

    def step(eqn: Equation, operands: list[Any]) -> Sequence[Any]:
        if not any(type(x) is Series for x in operands):
            return emit(eqn, operands)
        results = line.apply(eqn.op, operands)
        results = results if eqn.op.multiple else [results]
        for x in results:
            if type(x) is Series:
                x[order]  # every coefficient at its place in the program
        return results

    values = replay_into(dict(zip(jaxpr.inputs, inputs, strict=True)), jaxpr.equations, step)
    outs = [values[a] if type(a) is Var else a for a in jaxpr.outputs]
    return (
        [as_declared(value_of(x), a.type) for x, a in zip(outs, jaxpr.outputs, strict=True)],
        [[coefficient(x, k) for k in range(1, order + 1)] for x in outs],
    )


def unit_of(order: int, dtype: np.dtype[Any]) -> float:
    """How long a step along the line is for derivatives of functions that compute in this dtype: the power of two that
    keeps ``1 / k!`` a normal number of it, ``unit**k / k!``. It is 1 but for high orders in half precision, and very
    high ones in others; no digits are lost by it."""
    smallest = float(ml_dtypes.finfo(real_dtype(dtype)).smallest_normal)  # type: ignore[no-untyped-call]
    if math.lgamma(order + 1) <= -math.log(smallest):
        return 1.0
    return math.ldexp(1.0, round(math.lgamma(order + 1) / order / math.log(2)))


def per_derivative(k: int, unit: float) -> float:
    """Derivative k is so many times coefficient k along a line with steps of this length."""
    return float(math.factorial(k) / int(unit) ** k)


def _none(k: int) -> None:
    """The coefficients of a polynomial beyond its degree."""


def taylor_jaxpr(
    jaxpr: Jaxpr, given: Sequence[Sequence[bool]], wanted: Sequence[Sequence[bool]] | None = None
) -> tuple[Jaxpr, tuple[tuple[bool, ...], ...]]:
    """The program (inputs, their coefficients that are given) -> (outputs, their coefficients), which are those.

    ``given``: for each input, which of its coefficients from the first on, as many for each; ``wanted``: coefficients
    of outputs that are instantiated where they are zero. Remembered on the jaxpr.
    """
    given = tuple(map(tuple, given))
    wanted = None if wanted is None else tuple(map(tuple, wanted))
    return jaxpr.remember(("taylor", given, wanted), lambda: _taylor_jaxpr(jaxpr, given, wanted))


def _taylor_jaxpr(jaxpr: Jaxpr, given: Any, wanted: Any) -> tuple[Jaxpr, tuple[tuple[bool, ...], ...]]:
    n = len(jaxpr.inputs)
    has: list[tuple[bool, ...]] = []

    def function(*inputs: Any) -> list[Any]:
        rest = iter(inputs[n:])
        series = [[next(rest) if flag else None for flag in own] for own in given]
        outs, found = taylor_to_order(jaxpr, inputs[:n], series)
        flat: list[Any] = []
        for i, (a, own) in enumerate(zip(jaxpr.outputs, found, strict=True)):
            own = [
                zeros(a.type.shape, a.type) if c is None and wanted is not None and wanted[i][k] else c
                for k, c in enumerate(own)
            ]
            has.append(tuple([c is not None for c in own]))
            flat += [c for c in own if c is not None]
        return [*outs, *flat]

    types = [*jaxpr.in_types, *[t for t, own in zip(jaxpr.in_types, given, strict=True) for flag in own if flag]]
    program = trace_closed(function, types, "the Taylor coefficients of a program")
    return program, tuple(has)


def solution(jaxpr: Jaxpr, consts: Sequence[Any], initial: Sequence[Any], order: int) -> list[list[Any]]:
    """The coefficients of the solution of x' = f(x) from the first on; ``jaxpr``: (consts, x) -> f(x)."""
    line = CurrentLine(0)
    n = len(consts)
    given = entering(jaxpr, [*consts, *initial])
    found: list[Any] = []

    def state(place: int, v: Var) -> Series:
        return Series(v.type, [given[v]], lambda k: _scaled(coefficient(found[place], k - 1), 1.0 / k))

    states = [state(i, v) for i, v in enumerate(jaxpr.inputs[n:])]
    outs, trail = taylor(jaxpr, [*[given[v] for v in jaxpr.inputs[:n]], *states], line)
    found += outs
    for k in range(order):
        for x in trail:
            x[k]
    return [[x[k] for k in range(1, order + 1)] for x in states]
