"""A function along a line, h -> f(x + h t): the values that difference quotients are made of."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import ml_dtypes
import numpy as np

from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import describe, float0, is_differentiable
from functrans.trace.frames import function_name, here

DOUBLE = 2.0**-52  # the epsilon of the arithmetic here

_flatten, _unflatten = jax.tree_util.tree_flatten, jax.tree_util.tree_unflatten


@functools.cache
def stencil(order: int, accuracy: int) -> tuple[float, ...]:
    """The weights of f(x + k h), k = -m ... m, in the central difference of an order, of even accuracy in h.

    It is the derivative of the polynomial through the points: n! times the coefficient of z^n in each of Lagrange's
    polynomials.

    >>> stencil(1, 2), stencil(2, 2)
    ((-0.5, 0.0, 0.5), (1.0, -2.0, 1.0))
    """
    m = (order + 1) // 2 + accuracy // 2 - 1
    weights = []
    for k in range(-m, m + 1):
        others = [q for q in range(-m, m + 1) if q != k]
        coefficients = np.poly(np.array(others, float))
        weights.append(math.factorial(order) * float(coefficients[2 * m - order]) / math.prod(k - q for q in others))
    return tuple(w + 0.0 for w in weights)


def dtype_of(x: Any) -> Any:
    """The dtype that NumPy gives a number or an array."""
    return x.dtype if hasattr(x, "dtype") else np.asarray(x).dtype


def _epsilon(dtype: Any) -> float:
    found: Any = ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call]
    return max(float(found.eps), DOUBLE)


def _wide(x: Any) -> Any:
    x = np.asarray(x)
    return x.astype(np.complex128 if x.dtype.kind == "c" else np.float64)


class Line:
    """h -> the inexact leaves of f(x + h t), one after the other, in double precision; NaN where f is not defined.

    ``eps`` is the epsilon of the function's own arithmetic; ``speed`` the largest element of t, 0 where nothing moves;
    between ``widest`` and ``narrowest`` lie the steps that may tell something.
    """

    def __init__(self, name: str, fun: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]) -> None:
        self.name, self.fun = name, fun
        self.tree: Any
        self.out_tree: Any
        self.leaves, self.tree = _flatten(tuple(primals))
        directions, tree = _flatten(tuple(tangents))
        if tree != self.tree:
            raise FunctransTypeError(f"{name}: primals are a tree {self.tree}, tangents {tree}, at {here()}")
        self.directions = [self._direction(x, t) for x, t in zip(self.leaves, directions)]
        moved = [(x, t) for x, t in zip(self.leaves, self.directions) if t is not None]
        self.failure: Exception | None = None
        results, self.out_tree = _flatten(fun(*primals))
        self.shapes = [(np.shape(y), is_differentiable(dtype_of(y))) for y in results]
        dtypes = [dtype_of(x) for x in (*[x for x, _ in moved], *results)]
        self.eps = max((_epsilon(d) for d in dtypes if is_differentiable(d)), default=DOUBLE)
        self.coarse = self.eps > DOUBLE
        self.value = self.joined(results)
        self.speed = max((float(np.max(np.abs(t))) for _, t in moved), default=0.0)
        if self.speed:
            size = max(float(np.max(np.abs(_wide(x)[t != 0]))) for x, t in moved)
            self.widest = 2.0 ** math.floor(math.log2(max(1.0, size / 2) / self.speed))
            least = 2 * self.eps * size / self.speed if size else self.eps**2 * self.widest
            self.narrowest = max(least, (1e-36 if self.coarse else 1e-290) / self.speed)

    def _direction(self, x: Any, t: Any) -> Any:
        """A tangent in double precision; None where the argument does not move."""
        dtype, given = dtype_of(x), dtype_of(t)
        if np.shape(x) != np.shape(t):
            raise FunctransValueError(
                f"{self.name}: an argument of shape {np.shape(x)} has a tangent of shape {np.shape(t)}, at {here()}"
            )
        if given == float0 or not np.any(t):
            return None
        if not is_differentiable(dtype):
            raise FunctransTypeError(
                f"{self.name}: the argument {describe(x)} is of dtype {dtype} and has no derivative, at {here()}\n"
                "Pass it in a floating dtype (1.0 for 1), or give it a tangent of zeros."
            )
        if given.kind == "c" and dtype.kind != "c":
            raise FunctransTypeError(f"{self.name}: an argument of dtype {dtype} has a complex tangent, at {here()}")
        return _wide(t)

    def _moved(self, x: Any, t: Any, h: Any) -> Any:
        if t is None:
            return x
        y = _wide(x) + h * t
        if isinstance(x, float | complex) and not isinstance(x, np.generic):
            return y.item()
        if isinstance(h, complex):
            y = y.astype(np.complex64 if _epsilon(dtype_of(x)) > DOUBLE else np.complex128)
        else:
            y = y.astype(dtype_of(x))
        return jax.device_put(y) if isinstance(x, jax.Array) else y if isinstance(x, np.ndarray) else y[()]

    def at(self, h: complex) -> list[Any]:
        """The leaves of f(x + h t)."""
        args = _unflatten(self.tree, [self._moved(x, t, h) for x, t in zip(self.leaves, self.directions)])
        with np.errstate(all="ignore"):
            results, tree = _flatten(self.fun(*args))
        if tree != self.out_tree or [np.shape(y) for y in results] != [shape for shape, _ in self.shapes]:
            raise FunctransTypeError(
                f"{self.name}: {function_name(self.fun)} returns {self.out_tree} with shapes "
                f"{[shape for shape, _ in self.shapes]} at the point, and {tree} with shapes "
                f"{[np.shape(y) for y in results]} beside it, at {here()}"
            )
        return results

    def __call__(self, h: float) -> Any:
        try:
            return self.joined(self.at(h))
        except (ArithmeticError, ValueError) as error:
            self.failure = error
            return np.full_like(self.value, np.nan)

    def joined(self, results: list[Any]) -> Any:
        """The inexact ones among the leaves of a result as one vector."""
        parts = [_wide(y).ravel() for y, (_, inexact) in zip(results, self.shapes) if inexact]
        return np.concatenate([np.zeros(0), *parts])

    def split(self, vector: Any, shape: tuple[int, ...] = ()) -> list[Any]:
        """``[size, *shape]`` as leaves ``[..., *shape]``; float0 for those of integers."""
        sizes = [math.prod(s) for s, inexact in self.shapes if inexact]
        parts = iter(np.split(vector, np.cumsum(sizes)))
        return [
            next(parts).reshape(s + shape) if inexact else np.zeros(s + shape, float0) for s, inexact in self.shapes
        ]

    def quotient(self, h: float, order: int, accuracy: int) -> tuple[Any, Any]:
        """The central difference, and what the rounding of the values may change in h^order times it."""
        weights = stencil(order, accuracy)
        total = np.zeros_like(self.value)
        with np.errstate(all="ignore"):
            rounding = abs(weights[len(weights) // 2]) * self.eps * np.abs(self.value)
            for k, weight in enumerate(weights, -(len(weights) // 2)):
                if weight == 0.0 or k == 0:
                    continue
                y = self(k * h)
                total = total + weight * np.where(y == self.value, 0.0, y - self.value)  # infinity - infinity is 0
                rounding = np.fmax(rounding, abs(weight) * self.eps * np.abs(y))
            return total / h**order, np.where(np.isfinite(rounding), rounding, 0.0)
