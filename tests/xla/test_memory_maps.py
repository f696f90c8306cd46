"""Executables that are only remembered are let go before the process runs out of memory maps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans.xla import execute
from functrans.xla.memory_maps import MemoryMaps

X = np.float32([1.0, 2.0])


def test_it_looks_every_32_compilations_and_not_again_before_there_are_more(monkeypatch: pytest.MonkeyPatch) -> None:
    forgotten: list[int] = []
    maps = MemoryMaps(lambda: forgotten.append(taken[0]))
    taken = [50]
    monkeypatch.setattr(MemoryMaps, "counts", staticmethod(lambda: (100, taken[0])))

    def compilations(count: int) -> list[int]:
        for _ in range(count):
            maps.before_compiling()
        return forgotten

    assert compilations(64) == []
    taken[0] = 61
    assert compilations(31) == [] and compilations(1) == [61]
    assert compilations(64) == [61]  # others hold them
    taken[0] = 75
    assert compilations(32) == [61, 75]


def test_the_system_is_asked() -> None:
    allowed, taken = MemoryMaps.counts()
    assert (allowed, taken) == (1, 0) or 0 < taken < allowed


def test_programs_that_were_let_go_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    f = lambda x: fnp.sum(fnp.sin(x) * 3)
    jitted = ft.jit(lambda x: fnp.cos(x) * 5)
    wanted: list[Any] = [ft.grad(f)(X), ft.vmap(fnp.cos)(X), jitted(X)]
    let_go: list[Any] = []
    forget = execute.memory_maps.forget
    monkeypatch.setattr(execute.memory_maps, "forget", lambda: (let_go.append(1), forget()))
    monkeypatch.setattr(execute.memory_maps, "left", 0)
    monkeypatch.setattr(MemoryMaps, "counts", staticmethod(lambda: (100, 90)))
    monkeypatch.setattr(execute.memory_maps, "_compilations", 31)
    nested = ft.jit(lambda x: ft.grad(lambda y: fnp.sum(jitted(y) * y))(x))
    first = nested(X)  # compiles, and lets go of all before
    assert let_go == [1]
    again = [ft.grad(f)(X), ft.vmap(fnp.cos)(X), jitted(X)]
    for a, b in zip(wanted, again, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(nested(X), first)
