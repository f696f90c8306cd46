"""When two results count as the same: tree, shape, dtype, weak type, and value to a tolerance derived from the dtype.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np


def is_weak(leaf: Any) -> bool:
    """True for Python scalars and for arrays whose dtype gives way in promotion."""
    return bool(getattr(leaf, "weak_type", isinstance(leaf, bool | int | float | complex)))


def describe(leaf: Any) -> str:
    """`float32[3]{weak}`: what a leaf is, without its values."""
    dtype = leaf.dtype if hasattr(leaf, "dtype") else jax.dtypes.canonicalize_dtype(jax.dtypes.result_type(leaf))
    return f"{dtype}{list(np.shape(leaf))}{'{weak}' if is_weak(leaf) else ''}"


def rounding(dtype: Any) -> float:
    """The unit roundoff of an inexact dtype; 0 for every other one, whose values must agree exactly."""
    dtype = np.dtype(dtype)
    return float(jax.numpy.finfo(dtype).eps) if jax.numpy.issubdtype(dtype, np.inexact) else 0.0


def assert_values_agree(
    actual: Any, expected: Any, operations: int = 64, context: str = "", scale: float = 1.0
) -> None:
    """Equal up to the rounding of `operations` operations at the scale of the largest value of the leaf.

    The error of a sum of rounded terms grows with the terms, not with the result; hence the scale is that of the
    whole leaf and at least `scale`, the size of the inputs. Infinities and NaNs must stand at the same places.
    """
    actual_array, expected_array = np.asarray(actual), np.asarray(expected)
    unit = rounding(expected_array.dtype)
    if unit == 0.0:
        np.testing.assert_array_equal(actual_array, expected_array, err_msg=context)
        return
    wide = np.complex128 if np.iscomplexobj(expected_array) else np.float64
    actual_wide, expected_wide = actual_array.astype(wide), expected_array.astype(wide)
    finite = np.isfinite(expected_wide)
    largest = float(np.max(np.abs(expected_wide[finite]), initial=scale))
    np.testing.assert_allclose(
        actual_wide, expected_wide, rtol=0.0, atol=operations * unit * largest, equal_nan=True, err_msg=context
    )


def assert_same(
    actual: Any, expected: Any, operations: int = 64, *, weak: bool = True, scale: float = 1.0, context: str = ""
) -> None:
    """The same tree, and leaf by leaf the same shape, dtype, weak type (unless `weak` is false) and value."""
    actual_structure, expected_structure = jax.tree.structure(actual), jax.tree.structure(expected)
    assert actual_structure == expected_structure, f"{context}: tree {actual_structure}, expected {expected_structure}"
    expected_leaves = jax.tree_util.tree_leaves_with_path(expected)
    for (path, expected_leaf), actual_leaf in zip(expected_leaves, jax.tree.leaves(actual), strict=True):
        place = f"{context} at result{jax.tree_util.keystr(path)}"
        found, wanted = describe(actual_leaf), describe(expected_leaf)
        if not weak:
            found, wanted = found.removesuffix("{weak}"), wanted.removesuffix("{weak}")
        assert found == wanted, f"{place}: {found}, expected {wanted}"
        if getattr(expected_leaf, "dtype", None) != jax.dtypes.float0:
            assert_values_agree(actual_leaf, expected_leaf, operations, place, scale)
