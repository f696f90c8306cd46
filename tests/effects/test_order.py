"""Effects happen once, where Python would do them, whatever transforms the program goes through."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import functrans as ft
from functrans import lax
from tests.effects.programs import FORWARD_ONLY, PROGRAMS, REVERSE_STACKS, STACKS, Log, agree, library, python_log

EVERY = {**PROGRAMS, **FORWARD_ONLY}
ROWS = [(name, stack, "debug") for name in EVERY for stack in STACKS]
ROWS += [(name, stack, "debug") for name in PROGRAMS for stack in REVERSE_STACKS]
ROWS += [(name, stack, "io") for name in PROGRAMS for stack in ("jit", "grad", "jit of grad of grad")]


@pytest.mark.parametrize(("name", "stack", "kind"), ROWS, ids=["-".join(row).replace(" ", "-") for row in ROWS])
def test_ordered_effects_happen_once_in_the_order_of_python(name: str, stack: str, kind: str) -> None:
    log: Log = []
    o = library(log, ordered=True, kind=kind)
    f = {**STACKS, **REVERSE_STACKS}[stack](lambda x: EVERY[name](o, x))
    for x in (0.3, 0.9):
        f(x)
        agree(log, python_log(EVERY[name], [x]))
        log.clear()


@pytest.mark.parametrize("stack", ["vmap", "jit of vmap", "vmap of jit", "vmap of jvp", "vmap of vmap"])
@pytest.mark.parametrize("name", sorted(EVERY))
def test_under_vmap_each_lane_does_what_python_does(name: str, stack: str) -> None:
    log: Log = []
    o = library(log, ordered=False)
    f = lambda x: EVERY[name](o, x)
    points = np.array([0.3, 0.9, 0.55, 0.1], np.float32)
    transformed: Any = {
        "vmap": ft.vmap(f),
        "jit of vmap": ft.jit(ft.vmap(f)),
        "vmap of jit": ft.vmap(ft.jit(f)),
        "vmap of jvp": ft.vmap(lambda x: ft.jvp(f, (x,), (1.0,))),
        "vmap of vmap": lambda x: ft.vmap(ft.vmap(f))(x.reshape(2, 2)),
    }[stack]
    transformed(points)
    agree(log, python_log(EVERY[name], [float(p) for p in points]), in_order=False)


@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_vmap_of_grad_does_each_lane_once(name: str) -> None:
    log: Log = []
    o = library(log, ordered=False)
    ft.jit(ft.vmap(ft.grad(lambda x: PROGRAMS[name](o, x))))(np.array([0.3, 0.9], np.float32))
    agree(log, python_log(PROGRAMS[name], [0.3, 0.9]), in_order=False)


def test_a_hundred_steps_keep_the_order_of_three_kinds_of_callback() -> None:
    seen: list[Any] = []

    def body(c: Any, i: Any) -> Any:
        ft.debug.callback(lambda v: seen.append(("debug", int(v))), i, ordered=True)
        c = lax.cond(i % 3 == 0, lambda v: note(v, i), lambda v: v, c)
        ft.io_callback(lambda v: seen.append(("io", int(v))), None, i, ordered=True)
        return c * 1.01, c

    def note(v: Any, i: Any) -> Any:
        ft.io_callback(lambda k: seen.append(("branch", int(k))), None, i, ordered=True)
        return v + 1.0

    expected = [
        (kind, i) for i in range(100) for kind in ("debug", "branch", "io") if kind != "branch" or i % 3 == 0
    ]
    run = ft.jit(lambda x: lax.scan(body, x, np.arange(100)))
    for _ in range(3):
        seen.clear()
        run(1.0)
        assert seen == expected


def test_effects_of_one_call_come_before_those_of_the_next() -> None:
    seen: list[float] = []

    @ft.jit
    def step(x: Any) -> Any:
        y = lax.fori_loop(0, 2000, lambda _, v: v * 1.0001, x)
        ft.io_callback(lambda v: seen.append(float(v)), None, x, ordered=True)
        return y

    for i in range(20):
        step(float(i))
    assert seen == [float(i) for i in range(20)]


def test_an_effect_is_kept_when_nothing_reads_the_result_and_equal_ones_are_not_shared() -> None:
    seen: list[float] = []

    def f(x: Any) -> Any:
        for _ in range(3):
            ft.io_callback(lambda v: seen.append(float(v)), None, x)
        lax.fori_loop(0, 2, lambda i, c: (ft.debug.callback(lambda v: seen.append(float(v)), i), c)[1], 0.0)
        return 1.0

    ft.jit(f)(7.0)
    assert sorted(seen) == [0.0, 1.0, 7.0, 7.0, 7.0]
    jaxpr = ft.make_jaxpr(f)(7.0)
    assert {effect.name for effect in jaxpr.effects} == {"debug", "input and output"}


def test_results_of_input_and_output_in_a_loop_are_not_taken_for_the_same_in_each_step() -> None:
    numbers = iter(range(1, 100))

    def body(c: Any, _: Any) -> Any:
        weight = ft.io_callback(lambda: np.float32(next(numbers)), ft.ShapeDtypeStruct((), np.float32))
        return c * weight, None

    slope = ft.jit(ft.grad(lambda x: lax.scan(body, x, None, length=4)[0]))(1.0)
    assert float(slope) == 24.0


def test_custom_rules_do_what_they_say_where_they_run() -> None:
    seen: list[str] = []
    note = lambda tag: ft.debug.callback(seen.append, tag, ordered=True)

    @ft.custom_vjp
    def f(x: Any) -> Any:
        note("value")
        return x * x

    def forward(x: Any) -> Any:
        note("forward")
        return x * x, x

    def backward(x: Any, ct: Any) -> Any:
        note("backward")
        return (2.0 * x * ct,)

    f.defvjp(forward, backward)
    f(3.0)
    assert seen == ["value"]
    seen.clear()
    ft.jit(f)(3.0)
    assert seen == ["value"]
    seen.clear()
    assert float(ft.jit(ft.grad(f))(3.0)) == 6.0
    assert seen == ["forward", "backward"]
    seen.clear()
    float(ft.grad(lambda x: lax.scan(lambda c, _: (f(c), None), x, None, length=3)[0])(1.1))
    assert seen == ["forward"] * 3 + ["backward"] * 3

    @ft.custom_jvp
    def g(x: Any) -> Any:
        note("value")
        return x * x

    @g.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        note("rule")
        return primals[0] ** 2, 2.0 * primals[0] * tangents[0]

    for transformed, expected in ((g, ["value"]), (ft.jit(g), ["value"]), (ft.grad(g), ["rule"]),
                                  (ft.jit(ft.grad(g)), ["rule"])):  # fmt: skip
        seen.clear()
        transformed(3.0)
        assert seen == expected
