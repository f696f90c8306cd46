"""Programs that hold programs: nested jit, branches, loops, and transforms inside their bodies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.compose.table import program, values

Function = Callable[..., Any]


@program(values(3))
def nested_jit(ft: Any, fnp: Any, lax: Any) -> Function:
    inner = ft.jit(lambda x, y: fnp.sin(x) * y)
    return lambda x: inner(inner(x, x), 2.0) + x


@program(values(2))
def jit_over_closed_over_tracer(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda x: ft.jit(lambda y: fnp.sin(y) * x)(x * x)


@program(values(2))
def jit_two_deep_with_tree_result(ft: Any, fnp: Any, lax: Any) -> Function:
    outer = ft.jit(lambda x: {"a": ft.jit(fnp.cos)(x), "b": (x, 1.0)})
    return lambda x: outer(x)["a"] * outer(x)["b"][0]


@program(values())
def cond_on_value(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda x: lax.cond(x > 0.5, lambda y: y * y, fnp.sin, x)


@program(np.array(True), values(2))
def cond_with_closures(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda flag, x: lax.cond(flag, lambda: (x * x, 1.0), lambda: (fnp.cos(x) * x[0], 2.0))


@program(np.array(1), values(2))
def switch_of_three(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda index, x: lax.switch(index, [lambda y: y, lambda y: y**3, lambda y: fnp.exp(y) * x[0]], x * 1.0)


@program(np.array(7), values(2))
def switch_index_is_clamped(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda index, x: lax.switch(index, (fnp.sin, fnp.cos), x)


@program(values(2), values(3, 2, seed=1.0))
def scan_with_carry_and_outputs(ft: Any, fnp: Any, lax: Any) -> Function:
    def step(carry: Any, x: Any) -> Any:
        carry = fnp.tanh(carry * x + x)
        return carry, carry * x

    return lambda start, xs: lax.scan(step, start, xs)


@program(values(2), values(3, seed=1.0))
def scan_over_closed_over_value(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda x, ys: lax.scan(lambda total, y: (total + fnp.sum(fnp.sin(x * y)), None), 0.0, ys)


@program(values())
def scan_without_inputs(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda x: lax.scan(lambda c, _: (c * x, c), x, None, length=4)


@program(values(3, 2))
def scan_in_reverse(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda xs: lax.scan(lambda c, x: (c * 0.5 + x, c * x), xs[0] * 0.0, xs, reverse=True)


@program({"x": values(2), "n": np.array(0)}, values(3, seed=1.0))
def scan_with_tree_and_integer_carry(ft: Any, fnp: Any, lax: Any) -> Function:
    def step(carry: Any, y: Any) -> Any:
        return {"x": fnp.sin(carry["x"]) * y, "n": carry["n"] + 1}, {"seen": carry["n"] * y}

    return lambda carry, ys: lax.scan(step, carry, ys)


@program(values(2), values(2, 2, seed=1.0))
def scan_inside_scan(ft: Any, fnp: Any, lax: Any) -> Function:
    def row(total: Any, xs: Any) -> Any:
        inner, trace = lax.scan(lambda c, x: (c + x * total[0], c * x), total[1], xs)
        return fnp.stack([inner, total[0]]), trace

    return lambda start, table: lax.scan(row, start, table)


@program(values(2), values(3, seed=1.0))
def weak_carry_is_promoted(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda x, ys: lax.scan(lambda c, y: (c + y, c), 0, ys)[0] * x


@program(values(2))
def fori_loop_with_static_bounds(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda x: lax.fori_loop(0, 3, lambda i, y: fnp.sin(y) * x + i * y, x)


@program(np.array(3), values(2), reverse=False)
def fori_loop_with_dynamic_bound(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda n, x: lax.fori_loop(0, n, lambda i, y: y * x + i, x)


@program(values(), reverse=False)
def while_loop_until_large(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda x: lax.while_loop(lambda c: c[0] < 3.0, lambda c: (c[0] * 1.5 + fnp.sin(c[0]) * x, c[1] + 1), (x, 0))


@program(values(2), reverse=False)
def while_loop_over_closed_over_limit(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda x: lax.while_loop(lambda y: fnp.sum(y) < 4.0 + x[1], lambda y: y * 1.5 + x * x, x)


@program(values(2))
def cond_inside_scan(ft: Any, fnp: Any, lax: Any) -> Function:
    def step(carry: Any, i: Any) -> Any:
        carry = lax.cond(i % 2 == 0, lambda c: c * c, lambda c: fnp.cos(c), carry)
        return carry, carry

    return lambda x: lax.scan(step, x, fnp.arange(3))


@program(values(2), values(3, seed=1.0))
def scan_inside_cond(ft: Any, fnp: Any, lax: Any) -> Function:
    def loop(x: Any, ys: Any) -> Any:
        return lax.scan(lambda c, y: (c * y, None), x, ys)[0]

    return lambda x, ys: lax.cond(x[0] > x[1], loop, lambda x, ys: x * ys[0], x, ys)


@program(values(2))
def grad_inside_scan(ft: Any, fnp: Any, lax: Any) -> Function:
    def descend(x: Any, _: Any) -> Any:
        return x - 0.1 * ft.grad(lambda y: fnp.sum(fnp.sin(y) ** 2))(x), fnp.sum(x)

    return lambda x: lax.scan(descend, x, None, length=3)


@program(values(2))
def jvp_inside_cond(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda x: lax.cond(fnp.sum(x) > 1.0, lambda y: ft.jvp(fnp.sin, (y,), (x,))[1], lambda y: y * x, x)


@program(values(3), values(2, seed=1.0))
def vmap_of_scan_inside(ft: Any, fnp: Any, lax: Any) -> Function:
    return lambda xs, ys: ft.vmap(lambda x: lax.scan(lambda c, y: (c * y + x, c), x, ys))(xs)


@program(values(3))
def named_axis_inside(ft: Any, fnp: Any, lax: Any) -> Function:
    def standardised(x: Any) -> Any:
        centred = x - lax.pmean(x, "lane")
        return centred / fnp.sqrt(1.0 + lax.psum(centred**2, "lane")), lax.axis_index("lane") * x

    return lambda xs: ft.vmap(standardised, axis_name="lane")(xs)


@program(values(2))
def linearize_inside_jit(ft: Any, fnp: Any, lax: Any) -> Function:
    def function(x: Any) -> Any:
        value, pushforward = ft.linearize(lambda y: fnp.sin(y) * x, x)
        return value, pushforward(x), pushforward(value)

    return lambda x: ft.jit(function)(x * x)
