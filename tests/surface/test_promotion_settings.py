"""Where arrays of different ranks or dtypes may not meet, what functrans computes with inside does not count as the
user's: every row that JAX takes then is taken.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functrans as ft
import functrans.numpy as fnp
from tests.surface.rows import TEXTS, is_available, row_of

pytestmark = pytest.mark.filterwarnings("ignore")

SETTINGS: dict[str, Any] = {
    "ranks": lambda: jax.numpy_rank_promotion("raise"),
    "dtypes": lambda: jax.numpy_dtype_promotion("strict"),
}
AVAILABLE = [text for text in TEXTS if is_available(text) and '"a"' not in text]
PARTS = 16


@pytest.mark.parametrize("update", ["set", "add", "multiply", "divide", "power", "min", "max"])
def test_updates_spread_their_values(update: str) -> None:
    x, values = np.ones((3, 4), np.float32), np.full(4, 2.0, np.float32)
    with jax.numpy_rank_promotion("raise"):
        for key in (0, slice(0, 2), np.array([2, 0])):
            found = getattr(fnp.asarray(x).at[key], update)(values)
            np.testing.assert_array_equal(found, getattr(jnp.asarray(x).at[key], update)(values))


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("setting", SETTINGS)
def test_what_jax_takes_is_taken(setting: str, part: int) -> None:
    refused = {}
    for text in AVAILABLE[part::PARTS]:
        row = row_of(text)
        try:
            with SETTINGS[setting]():
                ft.make_jaxpr(lambda *xs, row=row: row.ours(*xs))(*row.arguments)
        except (TypeError, ValueError) as error:
            try:
                with SETTINGS[setting]():
                    jax.make_jaxpr(lambda *xs, row=row: row.theirs(*xs))(*row.arguments)
            except (TypeError, ValueError):
                continue
            refused[text] = error
    assert not refused
