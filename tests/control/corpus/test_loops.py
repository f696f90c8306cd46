"""Every loop of the corpus, under every transform that is defined for it, against JAX and an independent answer."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans import lax
from tests.agreement import assert_same
from tests.control.corpus.loops import LOOPS, Loop

pytestmark = pytest.mark.usefixtures("x64")
LANES = 3


def directions(row: Loop) -> tuple[Any, ...]:
    chosen = [np.asarray(row.arguments[i]) for i in row.wrt]
    return tuple(np.cos(1.0 + np.arange(x.size)).reshape(x.shape) for x in chosen)


def loss(o: Any, np_: Any, row: Loop, f: Callable[..., Any]) -> Callable[..., Any]:
    """The sum of the sines of the result, of the arguments with a derivative."""

    def total(*chosen: Any) -> Any:
        arguments = list(row.arguments)
        for i, x in zip(row.wrt, chosen, strict=True):
            arguments[i] = x
        return np_.sum(np_.sin(f(*arguments)))

    return total


def gradient(o: Any, np_: Any, row: Loop, f: Callable[..., Any]) -> Callable[..., Any]:
    return o.grad(loss(o, np_, row, f), tuple(range(len(row.wrt))))


def pushed(o: Any, np_: Any, row: Loop, f: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *xs: o.jvp(loss(o, np_, row, f), xs, directions(row))


def at_point(of: Any) -> Any:
    def run(o: Any, np_: Any, row: Loop, f: Any) -> Any:
        return of(o, np_, row, f)(*[row.arguments[i] for i in row.wrt])

    return run


def in_lanes(of: Any) -> Any:
    def run(o: Any, np_: Any, row: Loop, f: Any) -> Any:
        factors = np.array([1.0, 0.9, 1.05])
        lanes = [jnp.asarray(np.multiply.outer(factors, row.arguments[i])) for i in row.wrt]
        return o.vmap(of(o, np_, row, f))(*lanes)

    return run


def compiled(of: Any) -> Any:
    def run(o: Any, np_: Any, row: Loop, f: Any) -> Any:
        return o.jit(of(o, np_, row, f))(*[row.arguments[i] for i in row.wrt])

    return run


def pushed_gradient(o: Any, np_: Any, row: Loop, f: Any) -> Any:
    return lambda *xs: o.jvp(gradient(o, np_, row, f), xs, directions(row))


def pushed_twice(o: Any, np_: Any, row: Loop, f: Any) -> Any:
    return lambda *xs: o.jvp(lambda *ys: pushed(o, np_, row, f)(*ys)[1], xs, directions(row))


def linearized(o: Any, np_: Any, row: Loop, f: Any) -> Any:
    def run(*xs: Any) -> Any:
        value, push = o.linearize(loss(o, np_, row, f), *xs)
        return value, push(*directions(row))

    return run


REVERSE = {
    "grad": at_point(gradient), "jit of grad": compiled(gradient), "jvp of grad": at_point(pushed_gradient),
    "vmap of jvp of grad": in_lanes(pushed_gradient),
}  # fmt: skip
FORWARD = {
    "jvp": at_point(pushed), "jit of jvp": compiled(pushed), "jvp of jvp": at_point(pushed_twice),
    "linearize": at_point(linearized), "vmap of jvp": in_lanes(pushed),
}  # fmt: skip
SAME_AS = {"jit of grad": "grad", "jit of jvp": "jvp", "linearize": "jvp"}
CASES = [
    (name, transform)
    for name, row in LOOPS.items()
    if row.wrt
    for transform in (REVERSE if row.reverse else FORWARD)
]


@functools.cache
def expected_of(name: str, transform: str) -> Any:
    """JAX's answer, compiled in one piece."""
    if transform in SAME_AS:
        return expected_of(name, SAME_AS[transform])
    row = LOOPS[name]
    return jax.jit(lambda: (REVERSE | FORWARD)[transform](jax, jnp, row, row.build(jax, jnp, jax.lax)))()


@pytest.mark.parametrize("name", LOOPS)
def test_a_loop_gives_the_independent_answer(name: str) -> None:
    row = LOOPS[name]
    f = row.build(ft, fnp, lax)
    expected = np.asarray(row.reference(*row.arguments))
    for run in (f, ft.jit(f)):
        actual = run(*map(jnp.asarray, row.arguments))
        np.testing.assert_allclose(actual, expected, rtol=row.rtol, atol=row.rtol)


@pytest.mark.parametrize("name", LOOPS)
def test_lanes_of_a_loop_are_the_loop_of_each_lane(name: str) -> None:
    row = LOOPS[name]
    f = row.build(ft, fnp, lax)
    moved = lambda x: np.roll(x, 2, 0) if x.dtype.kind == "i" else x * 0.9
    lanes = [np.stack([x, moved(x), x]) for x in map(np.asarray, row.arguments)]
    expected = np.stack([row.reference(*[x[i] for x in lanes]) for i in range(LANES)])
    np.testing.assert_allclose(ft.vmap(f)(*lanes), expected, rtol=row.rtol, atol=row.rtol)


@pytest.mark.parametrize(("name", "transform"), CASES, ids=lambda x: x.replace(" ", "_"))
def test_a_transform_of_a_loop_agrees_with_jax(name: str, transform: str) -> None:
    row = LOOPS[name]
    actual = (REVERSE | FORWARD)[transform](ft, fnp, row, row.build(ft, fnp, lax))
    assert_same(actual, expected_of(name, transform), 1 << 16, weak=False)
