"""What the gradient of a loop stores, and what leaves a loop that nobody reads."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from benchmarks.control import SCANS
from functrans.control.scan import Scan
from functrans.control.switches import Switch
from functrans.control.while_loop import While
from functrans.ir.program import all_equations
from functrans.transform.linearize import linearize_jaxpr
from tests.agreement import assert_same
from tests.control.compiled import compiled
from tests.control.libraries import values

pytestmark = pytest.mark.machine_code


@pytest.mark.parametrize("name", SCANS)
def test_a_gradient_needs_no_more_memory_than_jax(name: str) -> None:
    f, args = SCANS[name](fnp, ft.lax, ft.checkpoint)
    g, _ = SCANS[name](jnp, jax.lax, jax.checkpoint)
    ours, theirs = compiled(ft.grad(f), *args), compiled(jax.grad(g), *args, jit=jax.jit)
    assert ours.temporaries <= theirs.temporaries
    scale = max(float(np.abs(x).max()) for x in theirs.results)
    assert_same(ours.results, theirs.results, operations=20_000, weak=False, scale=scale)


def stacked(f: Any, *args: Any) -> list[tuple[Any, ...]]:
    """Shapes and dtypes of what a loop stacks for its backward pass besides its own results."""
    jaxpr = ft.make_jaxpr(f)(*args)
    parts = linearize_jaxpr(jaxpr, [v.type.dtype.kind == "f" for v in jaxpr.inputs])
    (primal,) = [eqn for eqn in parts.primal.equations if type(eqn.op) is Scan]
    (own,) = [eqn for eqn in jaxpr.equations if type(eqn.op) is Scan]
    return [(v.type.shape, v.type.dtype.name) for v in primal.outputs[len(own.outputs) :]]


X, XS = values(3), values(5, 3)

ROW = ((5, 3), "float32")
RESIDUALS = {
    "what follows from a result": (lambda np: lambda c, x: (np.exp(c), np.exp(c)), []),
    "what follows from a slice": (lambda np: lambda c, x: (c * (1.0 - x * x) * 2.0, None), [ROW]),  # the carry alone
    "a comparison": (lambda np: lambda c, x: (np.exp(c) * (np.sin(c) > x), None), [((5, 3), "bool"), ROW]),
    "what costs more to compute again": (lambda np: lambda c, x: (np.exp(np.sin(c)) * x, None), [ROW] * 2),
}


@pytest.mark.parametrize("name", RESIDUALS)
def test_what_is_quick_to_compute_again_is_not_stacked(name: str) -> None:
    step, expected = RESIDUALS[name]

    def loss(np_: Any, lax: Any) -> Any:
        return lambda c, xs: sum(np_.sum(leaf) for leaf in jax.tree.leaves(lax.scan(step(np_), c, xs)))

    assert sorted(stacked(lambda c, xs: ft.lax.scan(step(fnp), c, xs), X, XS)) == sorted(expected)
    ours, theirs = ft.grad(loss(fnp, ft.lax), (0, 1)), jax.grad(loss(jnp, jax.lax), (0, 1))
    assert_same(ours(X, XS), theirs(X, XS), operations=500)
    tangents = (XS[0], XS)
    assert_same(ft.jvp(ours, (X, XS), tangents), jax.jvp(theirs, (X, XS), tangents), operations=3000, weak=False)


@pytest.mark.parametrize("reverse", [False, True])
def test_both_passes_are_unrolled(reverse: bool) -> None:
    def f(c: Any, xs: Any) -> Any:
        return fnp.sum(ft.lax.scan(lambda c, x: (fnp.sin(c) * x, None), c, xs, unroll=3, reverse=reverse)[0])

    scans = [eqn.op for eqn in all_equations(ft.make_jaxpr(ft.grad(f))(X, XS)) if type(eqn.op) is Scan]
    assert [(op.unroll, op.reverse) for op in scans] == [(3, reverse), (3, not reverse)]


def loops(f: Any, *args: Any) -> list[Any]:
    return [eqn for eqn in all_equations(ft.make_jaxpr(f)(*args)) if type(eqn.op) in (Scan, While, Switch)]


def test_results_that_nobody_reads_leave_loops_when_a_program_is_finished() -> None:
    def scanned(x: Any, xs: Any) -> Any:
        def step(c: Any, x: Any) -> Any:
            a, b = c
            return (a * x, fnp.sin(b) + a), (fnp.exp(a), fnp.cos(b))

        (a, _), (e, _) = ft.lax.scan(step, (x, x), xs)
        return a, e

    (eqn,) = loops(scanned, X, XS)
    assert (eqn.op.num_carry, len(eqn.outputs)) == (1, 2)
    assert [e.op.name for e in eqn.op.jaxpr.equations] == ["mul", "exp"]

    def looped(x: Any) -> Any:
        return ft.lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1] * 2.0, fnp.sin(c[2])), (0, x, x))[1]

    (eqn,) = loops(looped, X)
    assert len(eqn.outputs) == 2

    def nested(x: Any, xs: Any) -> Any:
        return ft.lax.scan(lambda c, row: (ft.jit(scanned)(c, xs)[0], None), x, xs)[0]

    outer, inner = loops(nested, X, XS)
    assert (len(outer.outputs), len(inner.outputs)) == (1, 1)

    def chosen(p: Any, x: Any) -> Any:
        return ft.lax.cond(p, lambda x: (x, fnp.sin(x)), lambda x: (x * 2.0, fnp.cos(x)), x)[0]

    (eqn,) = loops(chosen, np.asarray(True), X)
    assert len(eqn.outputs) == 1


def test_a_loop_whose_carry_is_never_changed_takes_it_as_a_constant() -> None:
    def f(x: Any, w: Any) -> Any:
        return ft.lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1] @ c[2], c[2]), (0, x, w))

    (eqn,) = loops(f, X, values(3, 3))
    assert len(eqn.outputs) == 2
    n, y, w = f(X, values(3, 3))
    assert int(n) == 3
    assert_same(y, X @ values(3, 3) @ values(3, 3) @ values(3, 3))
    assert_same(w, values(3, 3))
