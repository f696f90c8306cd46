"""When two results count as equal: bounds derived from the dtype, and steps of finite differences."""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np

from functrans.ir.types import is_differentiable


def epsilon(dtype: np.dtype[Any]) -> float:
    """The distance from 1 to the next number, of a floating or complex dtype; 0 for exact dtypes."""
    if not is_differentiable(dtype):
        return 0.0
    part = np.zeros((), dtype).real.dtype if dtype.kind == "c" else dtype
    limits: Any = ml_dtypes.finfo(part)  # type: ignore[no-untyped-call]
    return float(limits.eps)


def difference_step(dtype: np.dtype[Any]) -> float:
    """The step of a central difference that balances truncation (step^2) and rounding (eps / step): eps^(1/3)."""
    return math.pow(epsilon(dtype), 1 / 3)


def difference_tolerance(dtype: np.dtype[Any]) -> float:
    """What a central difference with that step can be trusted to: eps^(2/3), times 100 for third derivatives."""
    return 100 * math.pow(epsilon(dtype), 2 / 3)


def wide(x: Any) -> Any:
    """A floating or complex array in the widest dtype of its kind; others as they are."""
    x = np.asarray(x)
    if not is_differentiable(x.dtype):
        return x
    return x.astype(np.complex128 if x.dtype.kind == "c" else np.float64)


def assert_close(actual: Any, expected: Any, tolerance: float, what: str) -> None:
    """Raise AssertionError unless shapes agree and values do within ``tolerance`` times the largest expected one.

    NaN equals NaN, an infinity itself.
    """
    actual, expected = np.asarray(actual), np.asarray(expected)
    if actual.shape != expected.shape:
        raise AssertionError(f"{what}: the shape is {actual.shape}, expected {expected.shape}")
    if not is_differentiable(actual.dtype):
        same = np.array_equal(actual, expected)
    else:
        a, b = wide(actual), wide(expected)
        finite = np.isfinite(b)
        scale = max(1.0, float(np.max(np.abs(b[finite]), initial=0.0)))
        with np.errstate(invalid="ignore"):
            unequal = np.where(finite, ~(np.abs(a - b) <= tolerance * scale), ~((a == b) | (np.isnan(a) & np.isnan(b))))
        same = not unequal.any()
    if not same:
        raise AssertionError(
            f"{what}: results differ by more than {tolerance:.2g} of the largest value\n"
            f"actual:   {_text(actual)}\nexpected: {_text(expected)}"
        )


def _text(x: Any) -> str:
    return np.array2string(x, threshold=24, edgeitems=2, precision=9).replace("\n\n", "\n")
