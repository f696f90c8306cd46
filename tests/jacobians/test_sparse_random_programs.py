"""The entries of sparse Jacobians, and Jacobians by every plan, of random programs: those of forward mode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import pytest

import functrans as ft
from functrans.errors import NotLinearError
from functrans.jacobians import planner
from functrans.testing.closeness import wide
from tests.jacobians import sparse_steps, sparse_sums_and_control
from tests.jacobians.sparse_programs import STEPS, SparseProgram
from tests.turns import covering_share

WAYS = ("forward", "reverse", "both", "planned", "planned in chunks", "compiled")


def matrix(blocks: Sequence[Any], inputs: Sequence[Any]) -> Any:
    rows = []
    for row in blocks:
        parts = [wide(np.asarray(b)) for b in row]
        outs = [int(np.prod(b.shape[: b.ndim - x.ndim])) for b, x in zip(parts, inputs, strict=True)]
        flat = [b.reshape((n, x.size)) for b, n, x in zip(parts, outs, inputs, strict=True)]
        rows.append(np.concatenate(flat, 1))
    return np.concatenate(rows)


def taken(program: SparseProgram, way: str, inputs: Any) -> Any:
    if way.startswith("planned"):
        return matrix(ft.jacobian(program, chunk_size=2 if "chunks" in way else None)(inputs), inputs)
    if way == "compiled":
        return wide(np.asarray(ft.jit(ft.sparse_jacobian(program))(inputs).todense()))
    chunk = 3 if program.seed % 2 else None
    return wide(ft.sparse_jacobian(program, mode=way, format="scipy", chunk_size=chunk)(inputs).toarray())


@pytest.mark.parametrize("seed", covering_share(range(216), 36))
def test_entries_are_those_of_forward_mode(seed: int, monkeypatch: Any) -> None:
    monkeypatch.setattr(planner, "_WORTH_DETECTING", 1)
    assert sparse_steps and sparse_sums_and_control and STEPS  # they have registered
    program = SparseProgram(seed)
    inputs = program.inputs(0)
    expected = matrix(ft.jacfwd(program)(inputs), inputs)
    small = any(x.dtype.itemsize < 4 for x in (*inputs, *jax.tree.leaves(ft.eval_shape(program, inputs))))
    bound = (0.1 if small or "casts" in program.names else 2e-3) * max(1.0, np.nanmax(np.abs(expected), initial=0.0))
    for way in (WAYS[seed % len(WAYS)], WAYS[(seed + 3) % len(WAYS)]):
        try:
            found = taken(program, way, inputs)
        except NotLinearError:  # a loop of unknown length has no reverse mode
            assert way == "reverse" and {"counted", "uncounted"}.intersection(program.names)
            continue
        assert found.shape == expected.shape
        finite = np.isfinite(expected) & np.isfinite(found)
        assert (np.abs(found - expected)[finite] <= bound).all(), (way, program.names)
