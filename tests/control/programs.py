"""Programs with branches and loops, each with arguments: every transform of each has to agree with JAX's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.control.libraries import values

Maker = Callable[[Any], Callable[..., Any]]
PROGRAMS: dict[str, tuple[Maker, tuple[Any, ...]]] = {}
FORWARD_ONLY: dict[str, tuple[Maker, tuple[Any, ...]]] = {}


def program(*arguments: Any, forward_only: bool = False) -> Callable[[Maker], Maker]:
    def register(maker: Maker) -> Maker:
        (FORWARD_ONLY if forward_only else PROGRAMS)[maker.__name__] = (maker, arguments)
        return maker

    return register


# -- branches ----------------------------------------------------------------------------------------------------------


@program(values(), values())
def cond_on_a_value(o: Any) -> Any:
    return lambda x, y: o.cond(o.gt(x, 0.3), lambda a: o.mul(o.sin(a), y), lambda a: o.mul(o.exp(a), x), y)


@program(values(3), values(3))
def cond_with_residuals_of_different_types(o: Any) -> Any:
    def f(x: Any, y: Any) -> Any:
        return o.cond(
            o.gt(o.sum(x), 1.0),
            lambda a, b: (o.mul(o.sin(a), b), o.sum(o.mul(a, a))),
            lambda a, b: (o.exp(o.sin(a)), o.mul(o.sin(o.sum(b)), o.sum(o.exp(b)))),
            x,
            y,
        )

    return f


@program(values(2), values())
def cond_where_one_branch_is_constant(o: Any) -> Any:
    return lambda x, y: o.cond(o.lt(y, 0.0), lambda a: {"u": o.mul(a, y)}, lambda a: {"u": o.full((2,), 3.0)}, x)


@program(values(2), values(2))
def switch_of_three_with_an_untouched_operand(o: Any) -> Any:
    def f(x: Any, y: Any) -> Any:
        index = o.convert(o.mul(o.sum(x), 2.0), np.int32)
        return o.switch(index, [lambda a, b: a, lambda a, b: o.mul(a, b), lambda a, b: o.sin(b)], x, y)

    return f


@program(values(), values(3))
def cond_inside_cond(o: Any) -> Any:
    def inner(a: Any) -> Any:
        return o.cond(o.gt(o.sum(a), 1.0), lambda b: o.mul(o.sin(b), b), lambda b: o.mul(b, b), a)

    return lambda x, y: o.cond(o.gt(x, 0.1), lambda a: inner(o.mul(a, x)), lambda a: o.neg(a), y)


@program(values(2))
def gradient_inside_a_branch(o: Any) -> Any:
    def f(x: Any) -> Any:
        return o.cond(o.gt(o.sum(x), 0.0), o.grad(lambda a: o.sum(o.mul(o.sin(a), o.mul(a, x)))), lambda a: a, x)

    return f


# -- scans -------------------------------------------------------------------------------------------------------------


@program(values(), values(2), values(4, 2))
def scan_with_consts_carry_and_xs(o: Any) -> Any:
    def f(w: Any, start: Any, xs: Any) -> Any:
        def step(c: Any, x: Any) -> Any:
            new = o.add(o.mul(o.sin(c), w), x)
            return new, o.mul(new, o.exp(x))

        return o.scan(step, start, xs)

    return f


@program(values(2), values(4, 2))
def scan_in_reverse(o: Any) -> Any:
    return lambda start, xs: o.scan(lambda c, x: (o.mul(o.tanh(c), x), o.sin(c)), start, xs, reverse=True)


@program(values(2), values(7, 2))
def scan_unrolled_by_three(o: Any) -> Any:
    return lambda start, xs: o.scan(lambda c, x: (o.mul(o.tanh(c), x), o.sin(c)), start, xs, unroll=3)


@program(values(2), values(3, 2))
def scan_wholly_unrolled(o: Any) -> Any:
    return lambda start, xs: o.scan(lambda c, x: (o.mul(o.tanh(c), x), c), start, xs, unroll=True, reverse=True)


@program(values(2), values(1, 2))
def scan_of_one_step(o: Any) -> Any:
    return lambda start, xs: o.scan(lambda c, x: (o.mul(o.tanh(c), x), o.sin(x)), start, xs)


@program(values(2), values(0, 2))
def scan_of_no_step(o: Any) -> Any:
    return lambda start, xs: o.scan(lambda c, x: (o.mul(o.tanh(c), x), o.sin(x)), start, xs)


@program(values(2), values(3, 2))
def scan_from_a_zero_carry_that_gets_a_tangent(o: Any) -> Any:
    def f(w: Any, xs: Any) -> Any:
        return o.scan(lambda c, x: (o.add(o.sin(c), o.mul(x, w)), None), o.full((2,), 0.0), xs)[0]

    return f


@program(values(2), values(3, 2))
def scan_with_an_integer_beside_the_float(o: Any) -> Any:
    def f(start: Any, xs: Any) -> Any:
        def step(carry: Any, x: Any) -> Any:
            i, c = carry["i"], carry["c"]
            new = o.mul(o.sin(c), o.add(x, o.convert(i, np.float32)))
            return {"i": o.add(i, 1), "c": new}, (i, new)

        return o.scan(step, {"i": 0, "c": start}, xs)

    return f


@program(values(3), values(3))
def scan_that_indexes_with_its_counter(o: Any) -> Any:
    def f(a: Any, b: Any) -> Any:
        def step(carry: Any, _: Any) -> Any:
            i, total = carry
            return (o.add(i, 1), o.add(o.sin(total), o.mul(o.item(a, i), o.item(b, i)))), None

        return o.scan(step, (0, 0.0), None, length=3)[0][1]

    return f


@program(values(), values(), values(4))
def scan_that_carries_only_from_one_to_the_other(o: Any) -> Any:
    def f(a: Any, b: Any, xs: Any) -> Any:
        def step(carry: Any, x: Any) -> Any:
            u, v, w = carry
            return (o.mul(v, x), o.mul(w, x), o.mul(w, 2.0)), o.mul(u, v)

        return o.scan(step, (a, 1.0, b), xs)

    return f


@program(values(2), values(3, 2))
def scan_that_resets_its_carry(o: Any) -> Any:
    def f(start: Any, xs: Any) -> Any:
        return o.scan(lambda c, x: (o.stop_gradient(o.mul(c, x)), o.mul(c, x)), start, xs)

    return f


@program(values(2), values(3, 2))
def scan_with_a_carry_no_step_changes(o: Any) -> Any:
    def f(start: Any, xs: Any) -> Any:
        return o.scan(lambda c, x: ((c[0], o.mul(c[1], o.sin(c[0]))), x), (start, start), xs)

    return f


@program(values(2, 2), values(3, 2))
def scan_with_work_that_no_step_changes(o: Any) -> Any:
    def f(w: Any, xs: Any) -> Any:
        start = o.full((2,), 1.0)
        return o.scan(lambda c, x: (o.mul(o.mul(c, x), o.sin(o.sum(o.exp(w)))), None), start, xs)[0]

    return f


@program(values(2), values(2, 3, 2))
def scan_inside_scan(o: Any) -> Any:
    def f(w: Any, xss: Any) -> Any:
        def outer(c: Any, xs: Any) -> Any:
            return o.scan(lambda d, x: (o.mul(o.sin(d), o.add(x, w)), o.mul(d, c)), c, xs)

        return o.scan(outer, w, xss)

    return f


@program(values(2), values(3, 2))
def cond_inside_scan(o: Any) -> Any:
    def f(w: Any, xs: Any) -> Any:
        def step(c: Any, x: Any) -> Any:
            new = o.cond(o.gt(o.sum(x), 1.2), lambda a: o.mul(o.sin(a), w), lambda a: o.mul(a, x), c)
            return new, o.sum(new)

        return o.scan(step, w, xs)

    return f


@program(values(), values(3))
def scan_inside_cond(o: Any) -> Any:
    def f(x: Any, xs: Any) -> Any:
        return o.cond(
            o.gt(x, 0.1),
            lambda a: o.scan(lambda c, y: (o.mul(o.sin(c), y), c), a, xs)[0],
            lambda a: o.mul(a, a),
            x,
        )

    return f


@program(values(2), values(3, 2))
def gradient_inside_a_scan(o: Any) -> Any:
    def f(w: Any, xs: Any) -> Any:
        def step(c: Any, x: Any) -> Any:
            return o.sub(c, o.mul(o.grad(lambda v: o.sum(o.sin(o.mul(v, o.mul(x, w)))))(c), 0.1)), None

        return o.scan(step, w, xs)[0]

    return f


@program(values(2), values(3, 2))
def vmap_inside_a_scan(o: Any) -> Any:
    def f(w: Any, xs: Any) -> Any:
        def step(c: Any, x: Any) -> Any:
            new = o.vmap(lambda a, b: o.mul(o.sin(a), b))(c, x)
            return new, new

        return o.scan(step, w, xs)

    return f


@program(values(3, 2), values(2))
def map_over_rows(o: Any) -> Any:
    return lambda xs, w: o.map(lambda x: {"r": o.mul(o.sin(x), w), "s": o.sum(x)}, xs)


@program(values(5, 2), values(2))
def map_in_batches_with_a_rest(o: Any) -> Any:
    return lambda xs, w: o.map(lambda x: o.mul(o.sin(x), w), xs, batch_size=2)


@program(values(2), values(2))
def fori_loop_with_static_bounds(o: Any) -> Any:
    def f(x: Any, w: Any) -> Any:
        return o.fori_loop(1, 4, lambda i, c: o.mul(o.sin(c), o.add(w, o.convert(i, np.float32))), x)

    return f


@program(values(2), values(2))
def fori_loop_of_no_step(o: Any) -> Any:
    return lambda x, w: o.mul(o.fori_loop(4, 1, lambda i, c: o.mul(c, w), x), w)


# -- loops with an unknown number of steps -----------------------------------------------------------------------------


@program(values(), values(), forward_only=True)
def while_with_consts_in_both_functions(o: Any) -> Any:
    def f(x: Any, w: Any) -> Any:
        return o.while_loop(
            lambda c: o.lt(c[0], o.add(w, 6.0)),
            lambda c: (o.mul(o.add(c[0], w), 1.5), o.add(c[1], 1), o.sin(o.mul(c[0], w))),
            (x, 0, 0.0),
        )

    return f


@program(values(2), values(), forward_only=True)
def while_that_hands_tangents_down_its_carry(o: Any) -> Any:
    def f(x: Any, w: Any) -> Any:
        return o.while_loop(
            lambda c: o.lt(c[0], 4), lambda c: (o.add(c[0], 1), c[2], o.mul(c[2], w)), (0, x, o.full((2,), 1.0))
        )

    return f


@program(np.int32(3), values(2), forward_only=True)
def fori_loop_with_a_traced_bound(o: Any) -> Any:
    return lambda n, x: o.fori_loop(0, n, lambda i, c: o.mul(o.sin(c), o.add(x, o.convert(i, np.float32))), x)


@program(values(2), values(3, 2), forward_only=True)
def while_inside_scan(o: Any) -> Any:
    def f(w: Any, xs: Any) -> Any:
        def step(c: Any, x: Any) -> Any:
            return o.while_loop(lambda d: o.lt(o.sum(d), 3.0), lambda d: o.add(o.mul(d, 1.5), w), o.mul(c, x)), c

        return o.scan(step, w, xs)

    return f


@program(values(), forward_only=True)
def while_inside_while(o: Any) -> Any:
    def f(x: Any) -> Any:
        def inner(c: Any) -> Any:
            return o.while_loop(lambda d: o.lt(d, o.add(c, 1.0)), lambda d: o.add(d, o.mul(x, 0.7)), c)

        return o.while_loop(lambda c: o.lt(c, 3.0), lambda c: o.mul(inner(c), 1.1), x)

    return f
