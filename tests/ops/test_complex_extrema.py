"""Complex numbers are ordered by their real, then by their imaginary part, and NaNs are kept: NumPy's extrema."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import functrans as ft
from functrans import lax
from functrans import numpy as fnp

INFINITE = [complex(real, imaginary) for real in (-np.inf, np.inf) for imaginary in (-np.inf, -2, 0, 1, np.inf)]
NUMBERS = np.array([1 + 2j, 1 + 3j, complex(np.nan, 0), complex(1, np.nan), 9j, 3 + 1j, 3 - 1j, *INFINITE])
FIRST, SECOND = (grid.ravel().astype(np.complex64) for grid in np.meshgrid(NUMBERS, NUMBERS))


@pytest.mark.parametrize("name", ["max", "min"])
def test_complex_extrema_are_those_of_numpy(name: str) -> None:
    largest = name == "max"
    reduce = getattr(lax, f"reduce_{name}")

    @ft.jit
    def extrema(x: Any, y: Any) -> dict[str, Any]:
        both = fnp.stack([x, y])
        numbers = lax.ScatterDimensionNumbers((), (0,), (0,))
        places = np.arange(x.size, dtype=np.int32)[:, None]
        return {
            "of two": getattr(lax, name)(x, y),
            "reduction": reduce(both, (0,)),
            "reduction over nothing": getattr(lax, name)(reduce(both, ())[0], y),
            "running": getattr(lax, f"cum{name}")(both)[1],
            "scatter": getattr(lax, f"scatter_{name}")(x, places, y, numbers),
        }

    expected = (np.maximum if largest else np.minimum)(FIRST, SECOND)
    for what, found in extrema(FIRST, SECOND).items():
        np.testing.assert_array_equal(np.isnan(found), np.isnan(expected), err_msg=what)
        kept = ~np.isnan(expected)
        np.testing.assert_array_equal(np.asarray(found)[kept], expected[kept], err_msg=what)
    for number in NUMBERS[~np.isnan(NUMBERS)].astype(np.complex64):  # alone: what a reduction begins with is beyond it
        alone = number[None]
        assert reduce(alone, (0,)) == number == getattr(lax, f"cum{name}")(alone)[0] == getattr(fnp, name)(alone)
