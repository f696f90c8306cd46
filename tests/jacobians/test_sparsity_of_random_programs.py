"""No entry of a Jacobian is missing in its pattern: over 1,600 random programs, a twentieth at each commit."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import pytest

import functrans as ft
from functrans.control import index_sets, scan, while_loop
from functrans.jacobians import sets
from functrans.ops import convolution, products
from tests.jacobians import sparse_steps, sparse_sums_and_control
from tests.jacobians.sparse_programs import STEPS, SparseProgram, nonzeros
from tests.turns import covering_share

LOT = 40
SEEDS = range(1600)
POINTS = 3


def missing(program: SparseProgram) -> Any:
    """Entries at one of several points that the pattern has not."""
    pattern = ft.sparsity(program)(program.inputs(0)).to_scipy().toarray()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy's references on what overflows
        return [np.argwhere(nonzeros(program, program.inputs(k)) & ~pattern).tolist() for k in range(POINTS)]


def _check(seeds: Sequence[int]) -> None:
    for seed in seeds:
        with jax.enable_x64(seed % 5 == 0):
            program = SparseProgram(seed)
            assert missing(program) == [[]] * POINTS, (seed, program.shapes, program.names)


@pytest.mark.parametrize("first", covering_share(SEEDS[::LOT], 20))
def test_no_entry_is_missing(first: int) -> None:
    _check(range(first, first + LOT))


@pytest.mark.parametrize("first", covering_share(SEEDS[::LOT], 40, offset=7))
def test_no_entry_is_missing_where_programs_are_taken_for_large_ones(first: int, monkeypatch: Any) -> None:
    """Loops of which not every step is looked at, products of which not every pair is, tables in parts."""
    for module in (index_sets, scan, while_loop):
        monkeypatch.setattr(module, "STEPS", 3)
    for module in (products, convolution):
        monkeypatch.setattr(module, "_PAIRS", 3)
    monkeypatch.setattr(index_sets, "_ROUNDS", 1)
    monkeypatch.setattr(sets, "_CHUNK", 7)
    monkeypatch.setattr(sets, "_LONG", 0)
    _check(range(first, first + LOT))


def test_the_programs_take_every_step() -> None:
    written = [v for module in (sparse_steps, sparse_sums_and_control) for v in vars(module).values()]
    assert set(STEPS.values()) <= {v for v in written if callable(v)}
    taken_steps: set[str] = set()
    for seed in range(160):
        program = SparseProgram(seed)
        ft.eval_shape(program, program.inputs(0))
        taken_steps.update(program.names)
    assert taken_steps == set(STEPS)
