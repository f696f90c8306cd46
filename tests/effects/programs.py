"""Programs with effects, written once for functrans and for plain Python, which says what has to happen and when."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

import functrans as ft
from functrans import lax
from functrans import numpy as fnp

Log = list[tuple[str, float]]


def _plain_scan(f: Any, init: Any, xs: Any, reverse: bool = False, unroll: int = 1) -> Any:
    carry, ys = init, []
    for x in reversed(xs) if reverse else xs:
        carry, y = f(carry, x)
        ys.append(y)
    return carry, sum(ys)


def _plain_while(condition: Any, body: Any, value: Any) -> Any:
    while condition(value):
        value = body(value)
    return value


def _plain_fori(lower: int, upper: int, body: Any, value: Any) -> Any:
    for i in range(lower, upper):
        value = body(i, value)
    return value


def _scan(f: Any, init: Any, xs: Any, **options: Any) -> Any:
    carry, ys = lax.scan(f, init, np.asarray(xs, np.float32), **options)
    return carry, fnp.sum(ys)


def library(log: Log, ordered: bool, kind: str = "debug") -> SimpleNamespace:
    """functrans' operations, and ``note(tag, x)``, which enters x into the log when the program runs."""

    def enter(tag: str, x: Any) -> None:
        log.append((tag, float(x)))

    def note(tag: str, x: Any) -> None:
        if kind == "debug":
            ft.debug.callback(enter, tag, x, ordered=ordered)
        else:
            ft.io_callback(functools.partial(enter, tag), None, lax.stop_gradient(x), ordered=ordered)

    return SimpleNamespace(
        note=note, sin=fnp.sin, scan=_scan, while_loop=lax.while_loop, fori=lax.fori_loop, cond=lax.cond,
        switch=lax.switch, jit=ft.jit,
    )  # fmt: skip


def plain(log: Log) -> SimpleNamespace:
    """The same in Python: everything happens where it stands."""
    return SimpleNamespace(
        note=lambda tag, x: log.append((tag, float(x))), sin=math.sin, scan=_plain_scan,
        while_loop=_plain_while, fori=_plain_fori, cond=lambda p, a, b, *xs: a(*xs) if p else b(*xs),
        switch=lambda i, fs, *xs: fs[min(max(int(i), 0), len(fs) - 1)](*xs), jit=lambda f: f,
    )  # fmt: skip


def straight(o: Any, x: Any) -> Any:
    o.note("in", x)
    y = o.sin(x) * x
    o.note("middle", y)
    o.note("middle", y)
    z = y * y
    o.note("out", z)
    return z


def branches(o: Any, x: Any) -> Any:
    def large(v: Any) -> Any:
        o.note("large", v)
        return o.sin(v)

    def small(v: Any) -> Any:
        o.note("small", v)
        return v * v

    y = o.cond(x > 0.5, large, small, x)
    o.note("between", y)
    return o.cond(y > 0.5, large, small, y * 0.5)


def steps(o: Any, x: Any, **options: Any) -> Any:
    def body(c: Any, a: Any) -> Any:
        o.note("first", c + a)
        c = o.sin(c) + a
        o.note("second", c)
        return c, c * a

    o.note("before", x)
    carry, total = o.scan(body, x, [0.25, 0.5, 0.75, 1.0, 1.25], **options)
    o.note("after", carry)
    return carry + total


def deep(o: Any, x: Any) -> Any:
    """A branch in a loop in a loop, with a nested jit in the branch."""

    @o.jit
    def inner(v: Any) -> Any:
        o.note("inner", v)
        return o.sin(v) * 1.1

    def row(i: Any, c: Any) -> Any:
        def cell(d: Any, a: Any) -> Any:
            d = o.cond(a > 0.4, inner, lambda v: v * 0.9, d)
            o.note("cell", d)
            return d, d

        c, total = o.scan(cell, c, [0.25, 0.5, 0.75])
        o.note("row", c)
        return c + total * 0.01

    return o.fori(0, 3, row, x)


def choose(o: Any, x: Any) -> Any:
    def body(c: Any, a: Any) -> Any:
        def put(tag: str) -> Callable[[Any], Any]:
            def branch(v: Any) -> Any:
                o.note(tag, v)
                return v * 1.25

            return branch

        index = a * 4 if isinstance(a, float) else (a * 4).astype("int32")
        c = o.switch(index, [put("zero"), put("one"), put("two")], c)
        return c, c

    return o.scan(body, x, [0.0, 0.25, 0.5, 2.0])[1]


def until(o: Any, x: Any) -> Any:
    def step(v: Any) -> Any:
        o.note("step", v)
        return v * 1.5 + 0.1

    return o.while_loop(lambda v: v < 3.0, step, x)


PROGRAMS: dict[str, Callable[[Any, Any], Any]] = {
    "straight": straight,
    "branches": branches,
    "scan": steps,
    "scan reversed": functools.partial(steps, reverse=True),
    "scan unrolled": functools.partial(steps, unroll=2),
    "nested to depth three": deep,
    "switch in a scan": choose,
}
FORWARD_ONLY = {"while": until}


def second(f: Any) -> Any:
    """The second derivative, by reverse mode twice."""
    return ft.grad(ft.grad(f))


STACKS: dict[str, Callable[[Any], Callable[[Any], Any]]] = {
    "call": lambda f: f,
    "jit": ft.jit,
    "jvp": lambda f: lambda x: ft.jvp(f, (x,), (1.0,)),
    "jit of jvp": lambda f: ft.jit(lambda x: ft.jvp(f, (x,), (1.0,))),
    "jit in jit": lambda f: ft.jit(lambda x: ft.jit(f)(x) * 2.0),
}
REVERSE_STACKS: dict[str, Callable[[Any], Callable[[Any], Any]]] = {
    "grad": ft.grad,
    "jit of grad": lambda f: ft.jit(ft.grad(f)),
    "grad of jit": lambda f: ft.grad(ft.jit(f)),
    "grad of grad": second,
    "jit of grad of grad": lambda f: ft.jit(second(f)),
    "jvp of grad": lambda f: lambda x: ft.jvp(ft.grad(f), (x,), (1.0,)),
    "grad of jvp": lambda f: ft.grad(lambda x: ft.jvp(f, (x,), (1.0,))[1]),
    "vjp": lambda f: lambda x: ft.vjp(f, x)[1](1.0),
    "linearize": lambda f: lambda x: ft.linearize(f, x)[1](1.0),
}


def python_log(program: Any, points: Sequence[float]) -> Log:
    """What Python does, one point after the other."""
    log: Log = []
    for x in points:
        program(plain(log), x)
    return log


def agree(log: Log, expected: Log, in_order: bool = True) -> None:
    """The same entries, the numbers up to float32; without ``in_order`` in any order."""
    if not in_order:
        log, expected = sorted(log), sorted(expected)
    assert [tag for tag, _ in log] == [tag for tag, _ in expected]
    # Python computes in float64: what is shown here has gone through a few dozen roundings of numbers around one.
    np.testing.assert_allclose([x for _, x in log], [x for _, x in expected], rtol=2e-6, atol=2e-6)
