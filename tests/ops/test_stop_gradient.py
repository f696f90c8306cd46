"""What stop_gradient makes of values that have no derivative anyway."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

import functrans as ft
from functrans import lax
from tests.agreement import assert_same


@pytest.mark.parametrize("op", [lambda y: y + 0, lambda y: y * 0.5], ids=["add", "multiply"])
@pytest.mark.parametrize(
    "x", [np.bool_(True), np.int32(2), np.arange(3), np.ones(2, bool), np.float64(0.5)], ids=lambda x: str(x.dtype)
)
def test_numpy_values_become_arrays_that_promote_as_ours(x: Any, op: Any) -> None:
    expected = jax.jit(lambda: op(jax.lax.stop_gradient(x)))()
    assert_same(ft.jit(lambda: op(lax.stop_gradient(x)))(), expected)
    assert_same(op(lax.stop_gradient(x)), expected)


def test_what_is_no_array_stays_what_it_is() -> None:
    zeros = np.zeros(2, jax.dtypes.float0)
    assert lax.stop_gradient(zeros) is zeros
    assert lax.stop_gradient({"n": None, "flag": True, "count": 2}) == {"n": None, "flag": True, "count": 2}
