"""Derivatives of a function against finite differences, in both modes and to any order."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from functrans.api.differentiation import jvp
from functrans.api.linear_maps import vjp
from functrans.errors import FunctransValueError
from functrans.ir.types import float0, is_differentiable, type_of
from functrans.testing.closeness import assert_close, difference_step, difference_tolerance, epsilon, wide

_map = jax.tree_util.tree_map
_leaves = jax.tree_util.tree_leaves


def check_grads(
    f: Callable[..., Any],
    args: Sequence[Any],
    order: int,
    modes: Sequence[str] = ("fwd", "rev"),
    atol: float | None = None,
    rtol: float | None = None,
    eps: float | None = None,
) -> None:
    """Check derivatives of ``f`` up to ``order`` against central differences, along random directions.

    Args:
      f: a function of arrays and pytrees of them, ``f(*args)``.
      args: the point, arrays or numbers of floating or complex dtype; integer ones are left alone.
      order: how often to differentiate.
      modes: 'fwd', 'rev' or both; from the second order on, every composition of them.
      atol, rtol: tolerances; by default what a central difference in the dtype can be trusted to.
      eps: the step; by default the cube root of the dtype's epsilon.

    Raises:
      AssertionError: a derivative is wrong; the message says which, with both results.

    >>> import functrans.numpy as fnp
    >>> from functrans.testing import check_grads
    >>> check_grads(lambda x: fnp.sin(x) * x, (0.5,), order=2)
    """
    unknown = set(modes) - {"fwd", "rev"}
    if unknown:
        raise FunctransValueError(f"check_grads: unknown modes {sorted(unknown)}; use 'fwd' and 'rev'")
    _check(f, tuple(args), order, tuple(modes), _Bounds(atol, rtol, eps), np.random.default_rng(0), "")


class _Bounds:
    """Step and tolerance, from the dtype where the caller did not choose them."""

    def __init__(self, atol: float | None, rtol: float | None, eps: float | None) -> None:
        self.atol, self.rtol, self.eps = atol, rtol, eps

    def step(self, dtype: np.dtype[Any]) -> float:
        return difference_step(dtype) if self.eps is None else self.eps

    def tolerance(self, dtype: np.dtype[Any]) -> float:
        given = [t for t in (self.atol, self.rtol) if t is not None]
        return max(given) if given else difference_tolerance(dtype)


def _check(
    f: Callable[..., Any],
    args: tuple[Any, ...],
    order: int,
    modes: Sequence[str],
    bounds: _Bounds,
    random: Any,
    path: str,
) -> None:
    if order < 1:
        return
    directions = _direction(args, random)
    for mode in modes:
        name = f"{path}{mode}"
        if mode == "fwd":
            _compare_jvp(f, args, directions, bounds, name)
            derivative = functools.partial(_pushed, f, directions)
        else:
            cotangent = _direction(f(*args), random)
            _compare_vjp(f, args, directions, cotangent, bounds, name)
            derivative = functools.partial(_pulled, f, cotangent)
        if order > 1:
            _check(derivative, args, order - 1, modes, bounds, random, name + " of ")


def _pushed(f: Callable[..., Any], directions: Any, *args: Any) -> Any:
    return jvp(f, args, directions)[1]


def _pulled(f: Callable[..., Any], cotangent: Any, *args: Any) -> Any:
    return _floating(vjp(f, *args)[1](cotangent))


def _floating(tree: Any) -> list[Any]:
    """The leaves that are not of dtype float0."""
    return [x for x in _leaves(tree) if type_of(x).dtype != float0]


def _direction(tree: Any, random: Any) -> Any:
    """A random tangent of each leaf; float0 for integers."""

    def leaf(x: Any) -> Any:
        type_ = type_of(x)
        if not is_differentiable(type_.dtype):
            return np.zeros(type_.shape, float0)
        direction = random.standard_normal(type_.shape)
        if type_.dtype.kind == "c":
            direction = direction + 1j * random.standard_normal(type_.shape)
        return np.asarray(direction).astype(type_.dtype)

    return _map(leaf, tree)


def _dtype(*trees: Any) -> np.dtype[Any]:
    """The least precise floating dtype among the leaves."""
    found = [type_of(x).dtype for x in _leaves(trees)]
    inexact = [d for d in found if is_differentiable(d)]
    if not inexact:
        raise FunctransValueError("check_grads: no argument has a floating or complex dtype")
    return max(inexact, key=epsilon)


def _differences(f: Callable[..., Any], args: Any, directions: Any, step: float) -> list[Any]:
    """Central differences of the leaves of f, for integer leaves None."""

    def moved(sign: int) -> Any:
        def leaf(x: Any, t: Any) -> Any:
            if np.asarray(t).dtype == float0:
                return x
            return (wide(x) + sign * step * wide(t)).astype(type_of(x).dtype)

        return [wide(y) for y in _leaves(f(*_map(leaf, args, directions)))]

    return [
        (a - b) / (2 * step) if is_differentiable(a.dtype) else None for a, b in zip(moved(1), moved(-1), strict=True)
    ]


def _compare_jvp(f: Callable[..., Any], args: Any, directions: Any, bounds: _Bounds, name: str) -> None:
    values, tangents = jvp(f, args, directions)
    plain = f(*args)
    dtype = _dtype(args, plain)
    for a, b in zip(_leaves(values), _leaves(plain), strict=True):
        assert_close(a, b, bounds.tolerance(dtype), f"the value of jvp ({name})")
    for t, expected in zip(_leaves(tangents), _differences(f, args, directions, bounds.step(dtype)), strict=True):
        if expected is not None:
            assert_close(t, expected, bounds.tolerance(dtype), f"jvp against differences ({name})")


def _compare_vjp(f: Callable[..., Any], args: Any, directions: Any, cotangent: Any, bounds: _Bounds, name: str) -> None:
    values, pullback = vjp(f, *args)
    plain = f(*args)
    dtype = _dtype(args, plain)
    for a, b in zip(_leaves(values), _leaves(plain), strict=True):
        assert_close(a, b, bounds.tolerance(dtype), f"the value of vjp ({name})")
    differences = _differences(f, args, directions, bounds.step(dtype))
    back = _leaves(pullback(cotangent))
    pairs = zip(_leaves(cotangent), differences, strict=True)
    expected = sum((np.sum(np.real(wide(ct) * d)) for ct, d in pairs if d is not None), 0.0)
    sent = zip(back, _leaves(directions), strict=True)
    actual = sum((np.sum(np.real(wide(g) * wide(t))) for g, t in sent if np.asarray(t).dtype != float0), 0.0)
    assert_close(np.asarray(actual), np.asarray(expected), bounds.tolerance(dtype), f"vjp against differences ({name})")


def check_jvp(
    f: Callable[..., Any], args: Sequence[Any], *, atol: float | None = None, rtol: float | None = None,
    eps: float | None = None,
) -> None:  # fmt: skip
    """Check the forward derivative of ``f`` at ``args`` against central differences; arguments as for check_grads.

    >>> import functrans.numpy as fnp
    >>> from functrans.testing import check_jvp
    >>> check_jvp(fnp.tanh, (0.5,))
    """
    check_grads(f, args, 1, ("fwd",), atol, rtol, eps)


def check_vjp(
    f: Callable[..., Any], args: Sequence[Any], *, atol: float | None = None, rtol: float | None = None,
    eps: float | None = None,
) -> None:  # fmt: skip
    """Check the reverse derivative of ``f`` at ``args`` against central differences; arguments as for check_grads.

    >>> import functrans.numpy as fnp
    >>> from functrans.testing import check_vjp
    >>> check_vjp(fnp.tanh, (0.5,))
    """
    check_grads(f, args, 1, ("rev",), atol, rtol, eps)
