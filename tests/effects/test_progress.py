"""Progress bars of loops: the counts they show, and that nothing else changes."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import functrans as ft
from functrans import lax
from functrans import numpy as fnp
from functrans.control.progress import Bar
from functrans.xla.lower import lower

Shown = list[tuple[str, int | None, int]]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shown]:
    """(label, total, count at the end) of each bar that was closed."""
    bars: Shown = []

    class Fake:
        def __init__(self, total: int | None, desc: str) -> None:
            self.total, self.desc, self.n = total, desc, 0

        def update(self, count: int) -> None:
            assert count >= 0
            self.n += count

        def close(self) -> None:
            bars.append((self.desc, self.total, self.n))

    monkeypatch.setitem(sys.modules, "tqdm", SimpleNamespace(tqdm=Fake))
    yield bars


def walk(x: Any, **options: Any) -> Any:
    return lax.scan(lambda c, a: (fnp.sin(c) + a, c * a), x, np.linspace(0, 1, 40, dtype=np.float32), **options)


def total(x: Any, **options: Any) -> Any:
    carry, ys = walk(x, **options)
    return carry + fnp.sum(ys)


STACKS: dict[str, tuple[Any, list[str]]] = {
    "call": (lambda f: f, ["t"]),
    "jit": (ft.jit, ["t"]),
    "grad": (ft.grad, ["t", "t (backward)"]),
    "jit of grad": (lambda f: ft.jit(ft.grad(f)), ["t", "t (backward)"]),
    "jvp": (lambda f: lambda x: ft.jvp(f, (x,), (1.0,))[1], ["t"]),
    "vmap": (lambda f: lambda x: ft.vmap(f)(np.full(3, x, np.float32)), ["t"]),
    "jit of vmap of grad": (
        lambda f: ft.jit(lambda x: ft.vmap(ft.grad(f))(fnp.full(3, x))), ["t", "t (backward)"]),
}  # fmt: skip


@pytest.mark.parametrize("options", [{}, {"reverse": True}, {"unroll": 4}, {"unroll": 3}], ids=str)
@pytest.mark.parametrize("stack", STACKS)
def test_a_bar_counts_the_steps_and_changes_nothing(stack: str, options: Any, shown: Shown) -> None:
    transform, labels = STACKS[stack]
    plain = transform(lambda x: total(x, **options))(0.5)
    assert shown == []
    found = transform(lambda x: total(x, progress="t", **options))(0.5)
    np.testing.assert_allclose(np.asarray(found), np.asarray(plain), rtol=1e-6)
    count = 40 if options.get("unroll") != 3 else 39  # the step that is left over is written behind the loop
    assert [bar for bar in shown if bar[0] in labels] == [(label, count, count) for label in labels]


def test_second_derivatives_have_bars_too(shown: Shown) -> None:
    plain = ft.grad(ft.grad(total))(0.5)
    found = ft.jit(ft.grad(ft.grad(lambda x: total(x, progress="t"))))(0.5)
    np.testing.assert_allclose(float(found), float(plain), rtol=1e-5)
    assert ("t", 40, 40) in shown


def test_fori_loop_and_while_loop(shown: Shown) -> None:
    assert float(lax.fori_loop(0, 300, lambda i, c: c + i, 0.0, progress="counting")) == 44850.0
    assert float(ft.jit(lambda n: lax.fori_loop(2, n, lambda i, c: c + i, 0.0, progress="traced"))(7)) == 20.0
    assert float(lax.while_loop(lambda c: c < 5000.0, lambda c: c + 1.0, 0.0, progress=True)) == 5000.0
    assert shown == [("counting", 300, 300), ("traced", None, 5), ("while_loop", None, 5000)]
    shown.clear()
    lanes = ft.vmap(lambda x: lax.while_loop(lambda c: c < 10.0, lambda c: c + 1.0, x, progress="lanes"))
    assert lanes(np.array([0.0, 8.0], np.float32)).tolist() == [10.0, 10.0]
    assert shown == [("lanes", None, 10)]
    ft.jvp(lambda x: lax.while_loop(lambda c: c < 10.0, lambda c: c + 1.0, x, progress="slope"), (0.0,), (1.0,))
    assert shown[-1] == ("slope", None, 10)


def test_a_bar_starts_anew_with_each_call_and_each_outer_step(shown: Shown) -> None:
    f = ft.jit(lambda x: total(x, progress="t"))
    f(0.5)
    f(0.5)
    assert shown == [("t", 40, 40)] * 2
    shown.clear()
    lax.fori_loop(0, 3, lambda i, c: total(c, progress="inner"), 0.5)
    assert shown == [("inner", 40, 40)] * 3


def test_effects_in_the_body_keep_their_order_under_a_bar(shown: Shown) -> None:
    seen: list[int] = []

    def body(i: Any, c: Any) -> Any:
        ft.debug.callback(lambda v: seen.append(int(v)), i, ordered=True)
        return c

    ft.jit(lambda: lax.fori_loop(0, 500, body, 0.0, progress="t"))()
    assert seen == list(range(500))


def test_the_bar_asks_seldom_and_follows_the_clock(monkeypatch: pytest.MonkeyPatch, shown: Shown) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def asked(steps: int, seconds: float) -> int:
        bar, i, count = Bar("t", steps), 0, 0
        while i < steps:
            stop = min(int(bar.advance(i)[0]), steps)
            now[0] += (stop - i) * seconds
            i, count = stop, count + 1
        bar.finish(i)
        return count

    assert asked(1_000_000, 1e-7) < 20  # a tenth of a second
    assert asked(100_000, 1e-4) < 130  # ten seconds
    assert asked(50, 1.0) == 50  # each step is slow: each is shown


def test_without_a_bar_the_program_is_the_same() -> None:
    program = lambda **options: lower(ft.make_jaxpr(lambda x: total(x, **options))(0.5))
    assert program() == program(progress=False) == program(progress="")
    assert "callback" not in program()
    assert "callback" in program(progress="t")
    assert 'progress=t' in str(ft.make_jaxpr(lambda x: total(x, progress="t"))(0.5))


def test_the_real_tqdm_shows_the_label(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm")
    ft.jit(lambda x: total(x, progress="training"))(0.5)
    text = capsys.readouterr().err
    assert "training: 100%" in text
    assert "40/40" in text


def test_what_is_no_label_is_refused_and_so_is_a_bar_without_tqdm(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TypeError, match="progress of scan must be a text or a bool, got 3 of type int"):
        walk(0.5, progress=3)
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with pytest.raises(ImportError, match="needs the package tqdm: pip install tqdm"):
        walk(0.5, progress="t")
