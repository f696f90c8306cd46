"""Detection looks at each equation once, in loops a bounded number of times; its memory is linear in the entries."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans import lax
from functrans.jacobians import detection


def halves(v: Any) -> Any:
    return (v - fnp.mean(v)) / fnp.sqrt(1 + fnp.var(v))


def heat(u: Any) -> Any:
    return u + 0.1 * (fnp.roll(u, 1) + fnp.roll(u, -1) - 2 * u)


Made = Callable[[int], tuple[Callable[[Any], Any], tuple[int, ...]]]
LINEAR: dict[str, Made] = {  # n -> a function, and the shape of its argument
    "elementwise": lambda n: (lambda x: fnp.sin(x) * x, (n,)),
    "neighbours": lambda n: (lambda x: x[1:-1] * x[2:] - x[:-2], (n,)),
    "indexed": lambda n: (lambda x: x[np.random.default_rng(0).integers(0, n, n)] * x, (n,)),
    "added at": lambda n: (lambda x: fnp.zeros(n).at[np.arange(n) // 3].add(x), (n,)),
    "by its sum": lambda n: (lambda x: x / fnp.sum(x), (n,)),
    "normed three times": lambda n: (lambda x: halves(halves(halves(x))), (n,)),
    "cumulative of by its sum": lambda n: (lambda x: fnp.cumsum(x / fnp.sum(x)), (n,)),
    "cumulative in rows": lambda n: (lambda x: fnp.cumsum(x, 1), (n, 4)),
    "sorted": lambda n: (lambda x: fnp.sort(x), (n,)),
    "sorted rows": lambda n: (lambda x: fnp.sort(x, 1), (n, 4)),
    "rows times a matrix": lambda n: (lambda x: fnp.tanh(x @ np.ones((4, 3), np.float32)), (n, 4)),
    "rows times rows": lambda n: (lambda x: fnp.einsum("bi,bj->bij", x, x), (n, 3)),
    "rows solved": lambda n: (lambda x: fnp.linalg.solve(x.reshape((n, 2, 2)), np.ones((n, 2, 1), np.float32)), (n, 4)),
    "convolved": lambda n: (lambda x: fnp.convolve(x, np.float32([1, 2, 3])), (n,)),
    "convolved with its own": lambda n: (lambda x: fnp.convolve(x, x[:3]), (n,)),
    "largest of windows": lambda n: (
        lambda x: lax.reduce_window(x, -np.float32(np.inf), lax.max, (3,), (2,), "SAME"), (n,)
    ),
    "mapped": lambda n: (lambda x: lax.map(lambda v: v[0] * v[1:], x), (n, 3)),
    "steps of a field": lambda n: (lambda x: lax.fori_loop(0, 6, lambda _, u: heat(u), x), (n,)),
    "unknown steps": lambda n: (lambda x: lax.while_loop(lambda v: v[0] < 9, lambda v: v * v, x), (n,)),
    "unknown steps of a field": lambda n: (lambda x: lax.while_loop(lambda v: v[0] < 9, heat, x), (n,)),
    "gradient": lambda n: (ft.grad(lambda x: fnp.sum((x[1:] - x[:-1] ** 2) ** 2)), (n,)),
    "steps that hang together": lambda n: (lambda x: lax.scan(lambda c, v: (c * v[0], v * c), 1.0, x)[0], (n, 2)),
    "loops in loops": lambda n: (
        lambda x: lax.fori_loop(0, n, lambda _, u: lax.fori_loop(0, 5, lambda _, v: fnp.sin(v) * u, u), x), (3,)
    ),
}  # fmt: skip


class Counts:
    """What a detection looked at: ``equations``; ``entries``: of the sets made, with their numbers."""

    def __init__(self) -> None:
        self.equations = self.entries = 0


@pytest.fixture
def counts(monkeypatch: Any) -> Counts:
    found = Counts()
    applied = detection._Finder._applied

    def counted(self: Any, eqn: Any, operands: Any) -> Any:
        results = applied(self, eqn, operands)
        found.equations += 1
        found.entries += sum(x.sets.table.nnz + x.sets.numbers.size for x in results if x.sets is not None)
        return results

    monkeypatch.setattr(detection._Finder, "_applied", counted)
    return found


def looked_at(counts: Counts, made: Made, n: int) -> tuple[int, int]:
    function, shape = made(n)
    counts.equations = counts.entries = 0
    ft.sparsity(function)(np.ones(shape, np.float32))
    return counts.equations, counts.entries


@pytest.mark.parametrize("name", LINEAR)
def test_what_is_looked_at_and_stored_grows_with_the_function(name: str, counts: Counts) -> None:
    small, large = (looked_at(counts, LINEAR[name], n) for n in (300, 1200))
    stepwise = name in ("steps that hang together", "loops in loops")
    assert 0 < large[0] <= (4.1 * small[0] if stepwise else small[0])
    if name != "steps that hang together":  # each depends on all before
        assert 0 < large[1] <= 5 * small[1]  # sums over powers of two take a logarithm more


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("outer", [True, False])
def test_the_steps_of_all_loops_are_bounded(known: bool, outer: bool, counts: Counts, monkeypatch: Any) -> None:
    """1,000 times 1,000 times a few equations, the number of turns told beforehand or not."""
    monkeypatch.setattr(detection, "_STEPS", 5000)

    def loop(told: bool, body: Callable[[Any], Any], v: Any) -> Any:
        if told:
            return lax.fori_loop(0, 1000, lambda _, u: body(u), v)
        return lax.while_loop(lambda c: c[0] < 1000, lambda c: (c[0] + 1, body(c[1])), (0, v))[1]

    pattern = ft.sparsity(lambda x: loop(outer, lambda v: loop(known, fnp.sin, v) * x, x))(np.ones(3, np.float32))
    assert counts.equations < 6 * 5000
    np.testing.assert_array_equal(pattern.to_scipy().toarray(), np.eye(3))


def test_a_loop_over_rows_that_do_not_meet_is_looked_at_once(counts: Counts) -> None:
    rows = lambda x: lax.scan(lambda c, v: (c * 0.5, v * v), 0.0, x)[1]
    assert looked_at(counts, lambda n: (rows, (n,)), 2000)[0] < 30
    assert ft.sparsity(rows)(np.ones(2000, np.float32)).size == 2000
    known = np.arange(2000)[::-1].copy()
    pairs = lambda x: lax.map(lambda i: x[i] * x[(i + 1) % 2000], known)
    assert looked_at(counts, lambda n: (pairs, (n,)), 2000)[0] < 200
    found = ft.sparsity(pairs)(np.ones(2000, np.float32))
    assert found.size == 4000
    np.testing.assert_array_equal(found.columns[:4], [0, 1999, 1998, 1999])


def test_a_loop_over_rows_may_hold_what_has_no_rule_for_lanes() -> None:
    """Then it is looked at step by step."""

    def row(v: Any) -> Any:
        type_ = ft.ShapeDtypeStruct((), np.float32)
        return v * ft.pure_callback(lambda a: np.asarray(a) * 2, type_, lax.stop_gradient(v))

    assert ft.sparsity(lambda x: lax.map(row, x))(np.ones(300, np.float32)).size == 300


@pytest.mark.parametrize("name", ["by its sum", "normed three times", "cumulative of by its sum", "sorted"])
def test_a_dense_jacobian_is_refused_without_being_stored(name: str) -> None:
    n = 12_000  # of which the square takes 576 MB
    function, _ = LINEAR[name](n)
    x = np.ones(n, np.float32)
    ft.sparsity(LINEAR[name](8)[0])(np.ones(8, np.float32))
    tracemalloc.start()
    try:
        report = ft.explain(ft.jacobian(function))(x)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    (section,) = report.sections["jacobian"]
    assert "entries" not in section
    assert peak < 400 * n
