"""Long un-jitted programs, which XLA compiles without fusion, move elements of every dtype as jitted ones do."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import ml_dtypes
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from functrans.ops.constants import trace_closed
from functrans.xla import execute

DTYPES = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16",
          ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, "float32", "float64", "complex64", "complex128")  # fmt: skip


def moved(x: Any) -> list[Any]:
    """Its elements in all orders of its axes, by programs of more equations than are compiled with fusion always."""
    results, at = [], np.array([0, 1, 1, 0])
    for order in itertools.permutations(range(3)):
        y = fnp.transpose(x, order)
        results.append(fnp.transpose(fnp.where(y == y[::-1], y, y[::-1]), (2, 0, 1)).reshape(6, 4)[::-1])
        results.append(ft.vmap(lambda z: z.at[at].set(z[0]), 1, 2)(y).reshape(4, 6))
        results += [y[i : i + 1].T for i in range(2)]
    return results


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: np.dtype(d).name)
def test_elements_move_as_in_jitted_programs(dtype: Any) -> None:
    with jax.enable_x64(True):
        x = np.random.default_rng(0).integers(0, 2 if dtype == "bool" else 100, (2, 3, 4)).astype(dtype)
        program = trace_closed(moved, [ft.ir.types.type_of(x)], "moved")
        assert len(program.equations) > execute._LONG
        for found, expected in zip(execute.run(program, [x]), ft.jit(moved)(x), strict=True):
            np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))
