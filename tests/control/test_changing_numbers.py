"""Numbers in bodies of branches and loops that change between un-jitted calls do not compile for ever."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans import lax
from tests.agreement import assert_same
from tests.control.libraries import values

C, XS = values(3), values(5, 3)


def scanned(rate: float) -> Any:
    return lambda c: fnp.sum(lax.scan(lambda c, x: (c * rate + x * fnp.sin(rate * 2.0), None), c, XS)[0])


def branching(rate: float) -> Any:
    return lambda c: fnp.sum(lax.cond(c[0] > 0.5 * rate, lambda c: c * rate, lambda c: c + rate, c))


def by_lane(rate: float) -> Any:
    return lambda c: fnp.sum(ft.vmap(lambda v: lax.cond(v > rate, lambda v: v * rate, lambda v: v - rate, v))(c))


def checkpointed(rate: float) -> Any:
    return lambda c: fnp.sum(ft.checkpoint(lambda c: fnp.sin(ft.jit(lambda c: c * rate)(c)))(c))


def nested(rate: float) -> Any:
    def step(c: Any, x: Any) -> Any:
        return lax.cond(c[0] > rate, lambda c: c * rate, lambda c: c + rate * x, c), None

    return lambda c: fnp.sum(lax.scan(step, c, XS)[0] * (rate + 1.0))


def looped(rate: float) -> Any:
    steps = int(10 * rate) + 2  # the number of steps is a literal of the condition
    return lambda c: fnp.sum(lax.while_loop(lambda s: s[0] < steps, lambda s: (s[0] + 1, s[1] * rate), (0, c))[1])


PROGRAMS = {f.__name__: f for f in (scanned, branching, by_lane, checkpointed, nested)}
CALLS = {name: lambda rate, f=f: ft.grad(f(rate))(C) for name, f in PROGRAMS.items()}
CALLS |= {
    "looped": lambda rate: ft.jvp(looped(rate), (C,), (C,)),
    "hessian of scanned": lambda rate: ft.hessian(lambda c: scanned(rate)(fnp.sin(c)))(C),
    "a scan that nothing transforms": lambda rate: lax.scan(lambda c, x: (c * rate + x, c - rate), C, XS),
    "a loop that nothing transforms": lambda rate: looped(rate)(C),
}  # fmt: skip
RATES = [0.9**k for k in range(1, 7)]


@pytest.mark.parametrize("name", CALLS)
def test_a_number_that_changes_becomes_an_input(name: str) -> None:
    call = CALLS[name]
    ft.clear_caches()
    counts, results = [], []
    for rate in RATES:
        before = ft.compilation_count()
        results.append(call(rate))
        counts.append(ft.compilation_count() - before)
    assert counts[0] > 0
    assert counts[2:] == [0] * (len(RATES) - 2), counts
    for rate, result in zip(RATES, results, strict=True):
        ft.clear_caches()  # so that the number is written in the program again
        assert_same(result, call(rate), operations=200)


def test_programs_of_other_structure_are_not_confused() -> None:
    def f(rate: float, more: bool) -> Any:
        def step(c: Any, x: Any) -> Any:
            return c * rate + (x * 2.0 if more else x), None

        return np.asarray(ft.grad(lambda c: fnp.sum(lax.scan(step, c, XS)[0] ** 2))(C))

    def expected(rate: float, more: bool) -> Any:
        c = C.astype(np.float64)
        for x in XS:
            c = c * rate + x * (2.0 if more else 1.0)
        return 2.0 * c * rate ** len(XS)

    for rate in RATES[:3]:
        for more in (False, True):
            np.testing.assert_allclose(f(rate, more), expected(rate, more), rtol=1e-5)
