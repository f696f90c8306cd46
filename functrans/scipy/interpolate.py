"""``jax.scipy.interpolate``: interpolation on a grid."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from jax.tree_util import register_pytree_node_class

from functrans.errors import FunctransValueError
from functrans.ir.types import describe
from functrans.numpy.creation import asarray
from functrans.numpy.joining import stack
from functrans.numpy.promotion import as_array, promote_one
from functrans.numpy.selection import clip, where
from functrans.numpy.shapes import broadcast_arrays, reshape
from functrans.numpy.sorting import searchsorted
from functrans.trace.frames import api_boundary, here

__all__ = ["RegularGridInterpolator"]

_METHODS = ("linear", "nearest")


@register_pytree_node_class
class RegularGridInterpolator:
    """A function of n variables from its values on a grid, multilinear or constant between them.

    Args:
      points: the coordinates of the grid along each axis, n vectors ``[m_i]`` that increase strictly, of two or more.
      values: ``[m_1, ..., m_n, ...]``, values on the grid; the axes behind the first n are those of the result.
      method: 'linear' or 'nearest' (halfway the lower one).
      bounds_error: False; an error outside of the grid is impossible in compiled code.
      fill_value: the result outside of the grid; None to go on as at the edge.

    Called with ``xi``, ``[..., n]`` or a tuple of n arrays, it returns ``[...]`` values. Differentiable by the points,
    the values and ``xi``; a pytree.

    Raises:
      ValueError: an unknown method, more coordinates than axes, a number of coordinates of xi other than n.
      NotImplementedError: ``bounds_error``.

    >>> from functrans.scipy.interpolate import RegularGridInterpolator
    >>> import numpy as np
    >>> plane = RegularGridInterpolator((np.arange(3.0), np.arange(2.0)), np.float32([[0, 1], [2, 3], [4, 5]]))
    >>> plane(np.float32([[0.5, 0.5], [2.0, 0.25]])).tolist()
    [1.5, 4.25]
    """

    @api_boundary
    def __init__(
        self, points: Sequence[Any], values: Any, method: str = "linear", bounds_error: bool = False,
        fill_value: Any = np.nan,
    ) -> None:  # fmt: skip
        _check_method(method)
        if bounds_error:
            raise NotImplementedError(
                "RegularGridInterpolator: bounds_error is not there: compiled code raises no error by what a value is. "
                "Use fill_value, or functrans.check."
            )
        name = "RegularGridInterpolator"
        values = as_array(name, promote_one(name, values, inexact=True))
        if len(points) > values.ndim:
            raise FunctransValueError(
                f"RegularGridInterpolator: {len(points)} axes of points, and values of shape {tuple(values.shape)} "
                f"have {values.ndim}, at {here()}"
            )
        grid = tuple([as_array(name, promote_one(name, p, inexact=True)) for p in points])
        for i, p in enumerate(grid):
            if p.ndim != 1 or p.shape[0] != values.shape[i] or p.shape[0] < 2:
                raise FunctransValueError(
                    f"RegularGridInterpolator: points[{i}] must be a vector of two or more coordinates, as many as "
                    f"axis {i} of the values has, got shape {tuple(p.shape)} for values of shape "
                    f"{tuple(values.shape)}, at {here()}"
                )
        self.grid, self.values, self.method, self.bounds_error = grid, values, method, False
        self.fill_value = fill_value

    def tree_flatten(self) -> Any:
        """The grid, the values and what fills; the method is structure."""
        return (self.grid, self.values, self.fill_value), self.method

    @classmethod
    def tree_unflatten(cls, method: str, parts: Any) -> RegularGridInterpolator:
        """Of anything: trees are also made of what is no array."""
        made = cls.__new__(cls)
        made.grid, made.values, made.fill_value = parts
        made.method, made.bounds_error = method, False
        return made

    @api_boundary
    def __call__(self, xi: Any, method: str | None = None) -> Any:
        method = self.method if method is None else method
        _check_method(method)
        count = len(self.grid)
        if isinstance(xi, tuple):
            xi = xi[0] if len(xi) == 1 and count > 1 else stack(broadcast_arrays(*xi), -1)
        xi = as_array("RegularGridInterpolator", promote_one("RegularGridInterpolator", xi, inexact=True))
        if xi.ndim == 1:
            xi = reshape(xi, (-1, count))
        if not xi.ndim or xi.shape[-1] != count:
            raise FunctransValueError(
                f"RegularGridInterpolator: xi has shape {tuple(xi.shape)}, and its last axis must be as long as there "
                f"are coordinates, {count}, at {here()}"
            )
        below, shares, outside = [], [], False
        for i, grid in enumerate(self.grid):
            grid, x = asarray(grid), xi[..., i]
            at = clip(searchsorted(grid, x) - 1, 0, grid.shape[0] - 2)
            below.append(at)
            shares.append((x - grid[at]) / (grid[at + 1] - grid[at]))
            outside = outside | (x < grid[0]) | (x > grid[-1])
        values = asarray(self.values)
        behind = (1,) * (values.ndim - count)
        if method == "nearest":
            found = values[tuple([where(s <= 0.5, b, b + 1) for b, s in zip(below, shares, strict=True)])]
        else:
            found = 0.0
            for corner in itertools.product((0, 1), repeat=count):
                weight: Any = 1.0
                for upper, s in zip(corner, shares, strict=True):
                    weight = weight * (s if upper else 1.0 - s)
                if count:
                    weight = reshape(weight, (*xi.shape[:-1], *behind))
                found = found + values[tuple([b + upper for b, upper in zip(below, corner, strict=True)])] * weight
        if self.fill_value is None:
            return found
        return where(reshape(outside, (*xi.shape[:-1], *behind)), self.fill_value, found)


def _check_method(method: Any) -> None:
    if method not in _METHODS:
        raise FunctransValueError(
            f"RegularGridInterpolator: method must be 'linear' or 'nearest', got {describe(method)} at {here()}"
        )
