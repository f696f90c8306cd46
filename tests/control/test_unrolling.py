"""A scan whose steps are written out is the scan: values, derivatives and lanes, in both directions."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp

pytestmark = pytest.mark.usefixtures("x64")
X = np.linspace(0.1, 0.9, 7)


def function(library: Any, xp: Any, unroll: int, reverse: bool, length: int = 7) -> Any:
    """A scan with constants, a carry of an array and a number, ys of which one is a number, and a loss of all."""

    def f(a: Any, xs: Any) -> Any:
        def step(carry: Any, x: Any) -> Any:
            p, q = carry
            p = xp.sin(p) * a + x
            return (p, q + xp.sum(p)), (p * q, 1.0, x * x)

        carry, ys = library.scan(step, (xp.ones(2), 0.5), xs[:length], unroll=unroll, reverse=reverse)
        return xp.sum(carry[0]) * carry[1] + sum(map(xp.sum, ys))

    return f


@pytest.mark.parametrize(("unroll", "reverse"), [(3, False), (3, True), (7, True), (9, False)])
def test_values_derivatives_and_lanes_are_those_of_jax(unroll: int, reverse: bool) -> None:
    ours, theirs = function(ft.lax, fnp, unroll, reverse), function(jax.lax, jax.numpy, unroll, reverse)
    lanes = np.stack([X, 2.0 * X])
    for transformed in (
        lambda library, f: library.value_and_grad(f, (0, 1)),
        lambda library, f: lambda a, xs: library.vmap(library.grad(f), (None, 0))(a, lanes),
    ):
        found = ft.jit(transformed(ft, ours))(0.7, X)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), found, jax.jit(transformed(jax, theirs))(0.7, X)
        )


@pytest.mark.parametrize("length", [0, 1])
def test_short_scans_may_be_unrolled(length: int) -> None:
    ours = function(ft.lax, fnp, 4, False, length)
    theirs = function(jax.lax, jax.numpy, 4, False, length)
    np.testing.assert_allclose(ft.jit(ft.grad(ours))(0.7, X), jax.grad(theirs)(0.7, X), rtol=1e-12)


def test_what_one_unrolled_scan_hands_to_another_is_not_joined_and_sliced() -> None:
    def f(a: Any) -> Any:
        return ft.lax.scan(lambda c, _: (fnp.sin(c) * a, None), a, None, length=6, unroll=6)[0]

    assert "concatenate" not in ft.jit(ft.grad(f)).lower(0.5).as_text()


def test_a_slice_that_is_one_of_the_joined_arrays_is_that_array() -> None:
    def f(x: Any, y: Any) -> Any:
        joined = fnp.concatenate([x, y])
        return joined[3:5], joined[2:4], joined[::2]

    program = ft.make_jaxpr(f)(np.ones(3), np.ones(2))
    assert program.outputs[0] is program.inputs[1]
    assert [eqn.op.name for eqn in program.equations].count("slice") == 2
