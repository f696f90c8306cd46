"""``derivatives``: the value and derivatives, of chosen orders, of a scalar function of one scalar.

    b, c = derivatives[jaxpr=f place=0 orders=(0, 1)] a

An inner derivative that is met while more differentiation is to come is held as this operation. Its derivative by the
scalar is the same operation with orders one higher,

    jvp:  b, c, d = derivatives[jaxpr=f place=0 orders=(0, 1, 2)] a;   db = mul t c;  dc = mul t d

so that a nest of derivatives is one operation when the outermost is reached, and its program does not grow with every
level. It runs as the nest written out up to order 2, and by Taylor mode beyond.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from functrans.control.call import InPlace
from functrans.control.holding import jaxpr_axis_names
from functrans.control.masking import under_mask
from functrans.errors import ReverseLoopError
from functrans.ir.program import Jaxpr, live_equations, subjaxprs
from functrans.ir.types import ArrayType
from functrans.jaxlib_compat import configuration
from functrans.ops.constants import trace_closed
from functrans.ops.elementwise import mul
from functrans.ops.structural import convert, scalar_literal, zeros
from functrans.trace.binding import bind_all
from functrans.trace.dependence import Dependence
from functrans.trace.primitive import Lanes, Linear, Primitive, Tangent, Value, is_linear
from functrans.trace.replay import evaluate, replay
from functrans.trace.state import surroundings
from functrans.trace.tracer import Tracer
from functrans.trace.values import differentiators
from functrans.transform.jvp import How, differentiate
from functrans.transform.linearize import linearize
from functrans.transform.taylor import per_derivative, taylor_to_order, unit_of
from functrans.transform.transpose import transpose
from functrans.transform.vmap import vmap_jaxpr

_WRITTEN_OUT = 2  # the highest order for which the nest itself is the shorter program


class Derivatives(InPlace):
    """Operands of ``jaxpr``, a program with one scalar result -> its derivatives by operand ``place``, of each of the
    ``orders``; 0 is the value. The operand and the result have one floating dtype."""

    jaxpr: Jaxpr
    place: int
    orders: tuple[int, ...]
    smooth = True

    def infer(self, *types: ArrayType) -> Any:
        return [self.jaxpr.out_types[0] if order == 0 else self.jaxpr.in_types[self.place] for order in self.orders]

    def impl(self, *arrays: Any) -> Any:
        return evaluate(self.program_in_place(), arrays)

    def of_orders(self, orders: Sequence[int], operands: Sequence[Any]) -> dict[int, Any]:
        """The derivatives of these orders."""
        orders = tuple(sorted(set(orders)))
        return dict(zip(orders, bind_all(Derivatives(self.jaxpr, self.place, orders), operands), strict=True))

    def program_in_place(self) -> Jaxpr:
        """What runs; remembered on the function's program."""
        key = ("derivatives", self.place, self.orders, surroundings().rules)
        return self.jaxpr.remember(key, lambda: _written(self.jaxpr, self.place, self.orders))

    def in_place(self, operands: Sequence[Any]) -> tuple[Jaxpr, Sequence[Any]]:
        return self.program_in_place(), operands

    # -- transforms ---------------------------------------------------------------------------------------------------

    def jvp(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        return self._differentiated(primals, tangents, "jvp")

    def linearize(self, primals: Sequence[Value], tangents: Sequence[Tangent]) -> tuple[Any, Any]:
        return self._differentiated(primals, tangents, "linearize")

    def _differentiated(self, primals: Sequence[Value], tangents: Sequence[Tangent], how: How) -> tuple[Any, Any]:
        along = tangents[self.place]
        if any(t is not None for i, t in enumerate(tangents) if i != self.place):
            return differentiate(self.program_in_place(), primals, tangents, how)
        found = self.of_orders([k for order in self.orders for k in (order, order + 1)], primals)
        return [found[k] for k in self.orders], [mul(along, found[k + 1]) for k in self.orders]

    def transpose(self, cotangent: Any, *operands: Any) -> Sequence[Any]:
        linear = [is_linear(x) for x in operands]
        sent = iter(transpose(self.program_in_place(), operands, cotangent))
        return [next(sent) if flag else None for flag in linear]

    def batch(self, lanes: Lanes, operands: Sequence[Value], mapped: Sequence[bool]) -> tuple[Any, Sequence[bool]]:
        program, outs_mapped = vmap_jaxpr(self.program_in_place(), lanes, mapped, False)
        return replay(program, operands), outs_mapped

    def reached(self, given: Sequence[bool], dependence: Dependence) -> Sequence[bool]:
        return list(dependence.outputs(self.jaxpr, given)) * len(self.orders)

    def run_where(self, mask: Any, operands: Sequence[Any]) -> list[Any]:
        return replay(under_mask(self.program_in_place()), [mask, *operands])

    def lifted(
        self, programs: Sequence[Jaxpr], operands: Sequence[Any], extra: Sequence[Sequence[Any]]
    ) -> tuple[Primitive, list[Any]] | None:
        return Derivatives(programs[0], self.place, self.orders), [*operands, *extra[0]]

    def drop_unused(self, used: Sequence[bool]) -> tuple[Primitive, Sequence[int], Sequence[int]] | None:
        if all(used):
            return None
        orders = tuple([k for k, u in zip(self.orders, used, strict=True) if u])
        op = Derivatives(self.jaxpr, self.place, orders)
        return op, range(len(self.jaxpr.inputs)), [i for i, u in enumerate(used) if u]


def _written(jaxpr: Jaxpr, place: int, orders: Sequence[int]) -> Jaxpr:
    """inputs -> derivatives of these orders."""
    nest, highest = jaxpr, max(orders)
    if highest <= _WRITTEN_OUT:
        try:
            for _ in range(highest):
                nest = _with_gradient(nest, place)
            outputs = [nest.outputs[k] for k in orders]
            return Jaxpr(nest.inputs, live_equations(nest.equations, outputs)[0], outputs)
        except ReverseLoopError:  # the nest was one of forward mode
            pass
    return trace_closed(lambda *inputs: _by_taylor(jaxpr, place, orders, inputs), jaxpr.in_types, "derivatives")


def _by_taylor(jaxpr: Jaxpr, place: int, orders: Sequence[int], inputs: Sequence[Any]) -> list[Any]:
    type_, highest = jaxpr.in_types[place], max(orders)
    unit = unit_of(highest, type_.dtype)
    series: list[list[Any]] = [[None] * highest for _ in inputs]
    series[place][0] = scalar_literal(unit, type_.dtype, type_.weak_type)
    (value,), (found,) = taylor_to_order(jaxpr, inputs, series)
    results = []
    for order in orders:
        c = value if order == 0 else found[order - 1]
        if order > 0:
            c = zeros((), type_) if c is None else convert(c, type_.dtype, type_.weak_type)
            factor = per_derivative(order, unit)
            c = c if factor == 1.0 else mul(c, factor)
        results.append(c)
    return results


def _with_gradient(jaxpr: Jaxpr, place: int) -> Jaxpr:
    """The program with one more result: the gradient of its last by input ``place``, by reverse mode."""
    def function(*inputs: Any) -> list[Any]:
        wrt = [i == place for i in range(len(inputs))]
        outs, linear = linearize(jaxpr, inputs, wrt)
        type_ = jaxpr.in_types[place]
        slope = None
        if linear.nonzero[-1]:
            out_type = jaxpr.out_types[-1]
            seeds: list[Any] = [None] * sum(linear.nonzero)
            seeds[-1] = scalar_literal(1, out_type.dtype, out_type.weak_type)
            (slope,) = transpose(linear.jaxpr, [*linear.residuals, Linear(type_)], seeds)
        slope = zeros((), type_) if slope is None else convert(slope, type_.dtype, type_.weak_type)
        return [*outs, slope]

    return trace_closed(function, jaxpr.in_types, "the gradient of a scalar function")


def held(jaxpr: Jaxpr, operands: Sequence[Any]) -> list[Any] | None:
    """The value and the derivative by the last operand, as one operation; None where that is not the shorter way.

    It is where the operand is itself being differentiated by: the derivative will have a derivative.
    """
    x, place = operands[-1], len(operands) - 1
    if (
        type(x) is not Tracer
        or x.shape
        or len(jaxpr.outputs) != 1
        or jaxpr.out_types[0].shape
        or jaxpr.out_types[0].dtype != x.dtype
        or configuration.collapses_nests.value() is False
        or not differentiators(x)
        or not is_collapsible(jaxpr, not configuration.collapses_nests.value())
    ):
        return None
    order = 0
    if len(jaxpr.equations) == 1:  # the derivative of a derivative
        (eqn,) = jaxpr.equations
        op = eqn.op
        if type(op) is Derivatives and op.place == place and tuple(eqn.inputs) == tuple(jaxpr.inputs):
            jaxpr, order = op.jaxpr, op.orders[eqn.outputs.index(jaxpr.outputs[0])]
    return bind_all(Derivatives(jaxpr, place, (order, order + 1)), operands)


def is_collapsible(jaxpr: Jaxpr, smooth: bool) -> bool:
    """Whether Taylor mode gives what a nest of derivatives of this program gives: it has no effects, which would happen
    more or less often, speaks with no other lanes (reverse mode sends cotangents to them, forward mode has only the
    lane's own tangent), and has no operation whose every application has a derivative of its own (a backward rule of a
    user's need not be the derivative of anything). Remembered.

    ``smooth``: where the nest is finite, too. Reverse mode drops the infinite slope of what a selection has dropped.
    """
    return jaxpr.remember(("collapsible", smooth), lambda: _is_collapsible(jaxpr, smooth))


def _is_collapsible(jaxpr: Jaxpr, smooth: bool) -> bool:
    return not jaxpr.effects and not jaxpr_axis_names(jaxpr) and all(
        eqn.op.shared and (eqn.op.smooth or not smooth) and all(is_collapsible(p, smooth) for p in subjaxprs(eqn.op))
        for eqn in jaxpr.equations
    )
