"""Derivatives of a function against numerical differentiation, in both modes and to any order."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from functrans.api.arguments import check_callable
from functrans.api.differentiation import jvp
from functrans.api.linear_maps import vjp
from functrans.derivatives.numerical import Estimate, derivative_along
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import describe, float0, is_differentiable, type_of
from functrans.testing.closeness import assert_close, difference_step, difference_tolerance, epsilon, wide
from functrans.trace.frames import api_boundary, function_name, here

_map = jax.tree_util.tree_map
_leaves = jax.tree_util.tree_leaves


@api_boundary
def check_grads(
    f: Callable[..., Any],
    args: Sequence[Any],
    order: int,
    modes: Sequence[str] = ("fwd", "rev"),
    atol: float | None = None,
    rtol: float | None = None,
    eps: float | None = None,
) -> None:
    """Check derivatives of ``f`` up to ``order`` against numerical ones, along random directions.

    Args:
      f: a function of arrays and pytrees of them, ``f(*args)``.
      args: the point, arrays or numbers of floating or complex dtype; integer ones are left alone.
      order: how often to differentiate.
      modes: 'fwd', 'rev' or both; from the second order on, every composition of them.
      atol, rtol: tolerances; by default ten times the estimated error of the numerical derivative beside epsilon^(2/3),
        at most 100 epsilon^(2/3).
      eps: the step of a central difference; by default steps are found by ``derivatives.derivative_along``.

    Raises:
      AssertionError: a derivative is wrong; the message says which, with both results and the numerical one's error.
      TypeError, ValueError: ``f`` is no function, or an argument of this call is none of those above.

    >>> import functrans.numpy as fnp
    >>> from functrans.testing import check_grads
    >>> check_grads(lambda x: fnp.sin(x) * x, (0.5,), order=2)
    """
    check_callable(f, "check_grads")
    if not isinstance(order, int | np.integer) or order < 1:
        raise FunctransValueError(f"check_grads: order must be a positive integer, got {describe(order)}, at {here()}")
    unknown = set(modes) - {"fwd", "rev"}
    if unknown:
        raise FunctransValueError(f"check_grads: unknown modes {sorted(unknown)}, at {here()}\nUse 'fwd' and 'rev'.")
    if not isinstance(args, tuple | list):
        raise FunctransTypeError(
            f"check_grads: args must be a tuple or list of the arguments of {function_name(f)}, got {describe(args)}, "
            f"at {here()}\nWrite (x,) for one argument."
        )
    _check(f, tuple(args), order, tuple(modes), np.random.default_rng(0), _Check(f, (), atol, rtol, eps))


class _Check(NamedTuple):
    """What is being checked: the user's function, the modes from the outermost on, and the caller's bounds."""

    f: Callable[..., Any]
    path: tuple[str, ...]
    atol: float | None
    rtol: float | None
    eps: float | None

    def inside(self, mode: str) -> _Check:
        return self._replace(path=(mode, *self.path))

    def numerically(self, f: Callable[..., Any], args: Any, directions: Any) -> Estimate:
        if self.eps is not None:
            return derivative_along(f, args, directions, method="central", step=self.eps)
        size = max([1.0, *[float(np.max(np.abs(wide(x)), initial=0.0)) for x in _floating(args)]])
        return derivative_along(f, args, directions, step=16 * difference_step(_dtype(args)) * size)

    def compare(self, actual: Any, expected: Any, error: Any, dtype: np.dtype[Any], what: str) -> None:
        """Raise AssertionError unless a derivative is the numerical one; both [n], as is the latter's error."""
        actual, expected = wide(actual), wide(expected)
        name = function_name(self.f)
        which = f"{what} of {name}, of order {len(self.path)}, mode {' of '.join(self.path)!r},"
        if actual.shape != expected.shape:
            raise AssertionError(
                f"check_grads: {which} has shape {actual.shape}, and what it is of {expected.shape}, at {here()}"
            )
        finite = np.isfinite(expected)
        scale = max(1.0, float(np.max(np.abs(expected[finite]), initial=0.0)))
        given = [t for t in (self.atol, self.rtol) if t is not None]
        most = max(given) if given else difference_tolerance(dtype)
        allowed = np.full(error.shape, most * scale)
        if not given:
            allowed = np.minimum(allowed, most / 100 * scale + 10 * error)
        with np.errstate(invalid="ignore"):
            off = np.abs(actual - expected)
            same = (actual == expected) | (np.isnan(actual) & np.isnan(expected)) | (finite & (off <= allowed))
        if same.all():
            return
        worst = np.unravel_index(np.argmax(np.where(same, -1.0, np.nan_to_num(off, nan=np.inf))), off.shape)
        place = f" in element {tuple(map(int, worst))}" if off.shape else ""
        if error[worst] > allowed[worst]:
            advice = (
                "The numerical derivative is no surer than that: the function may have a kink or end near this point, "
                "or its values many rounding errors. Try another point, float64 (functrans.enable_x64), or a step "
                "(eps=) of your own."
            )
        else:
            advice = (
                f"Look first at the custom rules in {name} (custom_jvp, custom_vjp, operations of your own): at order "
                "1 the rule itself, above it what the rule calls. If the function is not smooth at this point, try "
                "another; if its derivatives lose digits, give atol= or rtol=."
            )
        raise AssertionError(
            f"check_grads: {which} differs from the numerical derivative{place}, at {here()}\n"
            f"    functrans:   {_text(actual[worst])}\n"
            f"    numerically: {_text(expected[worst])}, estimated error {error[worst]:.2g}\n"
            f"    they differ by {off[worst]:.2g}, and {allowed[worst]:.2g} is allowed\n{advice}"
        )


def _text(x: Any) -> str:
    return f"{x:.9g}"


def _check(
    f: Callable[..., Any], args: tuple[Any, ...], order: int, modes: Sequence[str], random: Any, check: _Check
) -> None:
    if order < 1:
        return
    directions = _direction(args, random)
    values = f(*args)
    dtype = _dtype(args, values)
    estimate = check.numerically(f, args, directions)
    for mode in modes:
        inner = check.inside(mode)
        if mode == "fwd":
            found, tangents = jvp(f, args, directions)
            derivative = functools.partial(_pushed, f, directions)
            for t, v, e in zip(*map(_leaves, (tangents, *estimate)), strict=True):
                if v.dtype != float0:
                    inner.compare(t, v, e, dtype, "the tangent")
        else:
            cotangent = _direction(values, random)
            found, pullback = vjp(f, *args)
            derivative = functools.partial(_pulled, f, cotangent)
            expected, error = _paired(cotangent, estimate.value), _paired(_map(_size, cotangent), estimate.error)
            inner.compare(
                _paired(pullback(cotangent), directions),
                expected,
                error,
                dtype,
                "the cotangents' product with a direction",
            )
        for a, b in zip(_leaves(found), _leaves(values), strict=True):
            assert_close(
                a,
                b,
                difference_tolerance(dtype),
                f"check_grads: the value of {function_name(check.f)} in mode {mode!r}",
            )
        if order > 1:
            _check(derivative, args, order - 1, modes, random, inner)


def _paired(cotangents: Any, tangents: Any) -> Any:
    """Re <cotangents, tangents>."""
    pairs = zip(_leaves(cotangents), _leaves(tangents), strict=True)
    return np.asarray(sum((np.sum(np.real(wide(c) * wide(t))) for c, t in pairs if np.asarray(t).dtype != float0), 0.0))


def _size(x: Any) -> Any:
    return x if x.dtype == float0 else np.abs(wide(x))


def _pushed(f: Callable[..., Any], directions: Any, *args: Any) -> Any:
    return jvp(f, args, directions)[1]


def _pulled(f: Callable[..., Any], cotangent: Any, *args: Any) -> Any:
    return _floating(vjp(f, *args)[1](cotangent))


def _floating(tree: Any) -> list[Any]:
    """The leaves that have derivatives."""
    return [x for x in _leaves(tree) if is_differentiable(type_of(x).dtype)]


def _direction(tree: Any, random: Any) -> Any:
    """A random tangent of each leaf, of few binary digits lest steps along it are rounded; float0 for integers."""

    def numbers(shape: tuple[int, ...]) -> Any:
        found = np.round(random.standard_normal(shape) * 16) / 16
        return np.where(found == 0, 1 / 16, found)

    def leaf(x: Any) -> Any:
        type_ = type_of(x)
        if not is_differentiable(type_.dtype):
            return np.zeros(type_.shape, float0)
        direction = numbers(type_.shape)
        if type_.dtype.kind == "c":
            direction = direction + 1j * numbers(type_.shape)
        return np.asarray(direction).astype(type_.dtype)

    return _map(leaf, tree)


def _dtype(*trees: Any) -> np.dtype[Any]:
    """The least precise floating dtype among the leaves."""
    found = [type_of(x).dtype for x in _leaves(trees)]
    inexact = [d for d in found if is_differentiable(d)]
    if not inexact:
        raise FunctransValueError(f"check_grads: no argument has a floating or complex dtype, at {here()}")
    return max(inexact, key=epsilon)


@api_boundary
def check_jvp(
    f: Callable[..., Any], args: Sequence[Any], *, atol: float | None = None, rtol: float | None = None,
    eps: float | None = None,
) -> None:  # fmt: skip
    """Check the forward derivative of ``f`` at ``args`` against numerical ones; arguments as for check_grads.

    >>> import functrans.numpy as fnp
    >>> from functrans.testing import check_jvp
    >>> check_jvp(fnp.tanh, (0.5,))
    """
    check_grads(f, args, 1, ("fwd",), atol, rtol, eps)


@api_boundary
def check_vjp(
    f: Callable[..., Any], args: Sequence[Any], *, atol: float | None = None, rtol: float | None = None,
    eps: float | None = None,
) -> None:  # fmt: skip
    """Check the reverse derivative of ``f`` at ``args`` against numerical ones; arguments as for check_grads.

    >>> import functrans.numpy as fnp
    >>> from functrans.testing import check_vjp
    >>> check_vjp(fnp.tanh, (0.5,))
    """
    check_grads(f, args, 1, ("rev",), atol, rtol, eps)
