"""Rows of functions of ours and of JAX's: value, gradient, gradient of the gradient, and each of them mapped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import functrans as ft
import functrans.numpy as fnp

TOLERANCES = {np.dtype(np.float32): (2e-5, 2e-5), np.dtype(np.float64): (1e-11, 1e-11)}


def _scalar(function: Callable[..., Any], numpy: Any) -> Callable[..., Any]:
    """The floating results of a function, weighted and added up: every one has its own part in the slope."""

    def total(*operands: Any) -> Any:
        sums = []
        for leaf in jax.tree.leaves(function(*operands)):
            if leaf.dtype.kind in "fc":
                weights = np.cos(np.arange(leaf.size)).reshape(leaf.shape) + 1.5
                parts = [leaf] if leaf.dtype.kind == "f" else [leaf.real, leaf.imag]
                sums.extend(numpy.sum(part * (k + 1) * weights.astype(part.dtype)) for k, part in enumerate(parts))
        return sum(sums)

    return total


def programs(function: Callable[..., Any], count: int, order: int, transforms: Any, numpy: Any) -> Callable[..., Any]:
    """(operands, operands with a leading axis) -> values, slopes, curvatures; values and slopes mapped."""
    wrt = tuple(range(count))
    total = _scalar(function, numpy)
    slopes = transforms.grad(total, wrt)

    def all_of_them(operands: Any, batch: Any) -> Any:
        found = [function(*operands), transforms.vmap(function)(*batch)]
        if order > 0:
            found += [slopes(*operands), transforms.vmap(slopes)(*batch)]
        if order > 1:
            found.append(transforms.grad(_scalar(slopes, numpy), wrt)(*operands))
        return found

    return all_of_them


def assert_agree(
    ours: Callable[..., Any], theirs: Callable[..., Any], operands: Any, dtype: Any = np.float32, order: int = 2,
    scale: float = 1.0,
) -> None:  # fmt: skip
    """Both functions agree, with their derivatives by every operand up to ``order``, alone and under ``vmap``."""
    dtype = np.dtype(dtype)
    arrays = [np.asarray(x, dtype) for x in operands]
    batch = [np.stack([x, x * dtype.type(1.125) + dtype.type(0.01)]) for x in arrays]
    with jax.enable_x64(dtype == np.float64):
        found = ft.jit(programs(ours, len(arrays), order, ft, fnp))(arrays, batch)
        expected = jax.jit(programs(theirs, len(arrays), order, jax, jnp))(arrays, batch)
        alone = ours(*arrays)
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    rtol, atol = TOLERANCES[dtype]
    for x, y in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert (x.shape, x.dtype) == (y.shape, y.dtype)
        reach = np.nanmax(np.abs(np.where(np.isfinite(y), y, 0)), initial=1.0)
        np.testing.assert_allclose(x, y, rtol=rtol * scale, atol=atol * scale * reach)
    for x, y in zip(jax.tree.leaves(alone), jax.tree.leaves(expected[0]), strict=True):
        np.testing.assert_allclose(x, y, rtol=rtol * scale, atol=atol * scale)
