"""Derivatives by difference quotients: of any Python function of numbers, whatever it is made of.

A derivative is read off the values of the function on a line, h -> f(x + h t). A wide step h leaves terms of the
Taylor series over (truncation), a narrow one divides the values' rounding errors by h: the error has the form of a
valley (``valleys.valley`` measures it). Four methods:

- ``central``: one symmetric stencil, exact for polynomials of a chosen degree;
- ``richardson``: stencils of halved steps, extrapolated to step 0 (Ridders, "Accurate computation of F'(x) and F'(x)
  F''(x)", 1982), since the error is a series in h^2;
- ``automatic``: such stencils from wide to narrow until rounding is seen, which gives its size; of all extrapolations
  the one with the least estimated error is taken, so that no step needs to be known;
- ``complex``: Im f(x + i h t) / h, which subtracts nothing and may take h = 1e-150 (Squire and Trapp, "Using complex
  variables to estimate derivatives of real functions", 1998); for functions that are analytic and take complex numbers.

Each result is an ``Estimate``: the derivative, and how far it may be off. The estimate knows only what the function
shows at its steps. Values that hold many more rounding errors than one (by cancellation) fool it, and so does a
function that turns many times within the widest step, in single precision above the first order: give a narrower
``step`` there. With a ``step`` given, 'central' and 'richardson' suppose it narrow beside what the function does.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from functrans.api.arguments import argument_numbers, check_argnums, check_callable
from functrans.derivatives.lines import DOUBLE, Line, dtype_of
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import describe
from functrans.trace.frames import api_boundary, filter_traceback, function_name, here, named_as

_flatten, _unflatten = jax.tree_util.tree_flatten, jax.tree_util.tree_unflatten
_COLUMNS = 6  # of the tableau of extrapolations
_ROUNDINGS = 100  # that a value is expected to hold at most: while more are seen, narrower steps are tried


class Estimate(NamedTuple):
    """A derivative and an estimate of its absolute error: two trees of NumPy arrays, in double precision."""

    value: Any
    error: Any


def _extrapolated(
    ratio: float, steps: Sequence[float], quotients: Sequence[Any], roundings: Sequence[Any], order: int
) -> tuple[Any, Any]:
    """The best entry of the tableau of Richardson's extrapolations, for each element, and its error.

    The error is the largest of three changes from a step to the next narrower one: to this entry, and to the two that
    follow, which have ``ratio**order`` times as much noise each; and what rounding may change. Steps are judged from
    narrow to wide, up to the first entry that the best before denies: wider ones skip over what the function does.
    """
    noisier = ratio**order
    tableau = np.full((len(steps), min(len(steps), _COLUMNS), *quotients[0].shape), np.nan, quotients[0].dtype)
    tableau[:, 0] = quotients
    for j in range(1, tableau.shape[1]):
        before = tableau[:, j - 1]
        tableau[j:, j] = before[j:] + (before[j:] - before[j - 1 : -1]) / (ratio ** (2 * j) - 1)
    changes = np.abs(tableau[1:] - tableau[:-1])
    errors = changes.copy()
    for later in (1, 2):
        errors[:-later] = np.maximum(errors[:-later], changes[later:] / noisier**later)
    value, error = np.full_like(quotients[0], np.nan), np.full(quotients[0].shape, np.inf)
    reached = np.ones(value.shape, bool)
    for i in reversed(range(1, max(len(steps) - 2, min(len(steps), 2)))):
        judged = np.nan_to_num(errors[i - 1], nan=np.inf) + roundings[i] / steps[i] ** order
        best = np.argmin(judged, axis=0)[None]
        e, v = (np.take_along_axis(x, best, 0)[0] for x in (judged, tableau[i]))
        better = e < error
        reached &= ~(better & (np.abs(v - value) > 10 * error))
        better &= reached
        value, error = np.where(better, v, value), np.where(better, e, error)
    return value, error + 4 * DOUBLE * np.abs(value)


def _automatic(line: Line, order: int, accuracy: int, step: float | None) -> tuple[Any, Any]:
    """From the widest step on, each a quarter of the last, until rounding is all that is seen in every element."""
    h, calm = step or line.widest, 0
    last: Any = math.inf
    steps: list[float] = []
    quotients: list[Any] = []
    roundings: list[Any] = []
    while not steps or (calm < 5 and h >= line.narrowest and (h * line.speed) ** order > 1e-290):
        q, rounding = line.quotient(h, order, 2)
        steps, quotients, roundings = [*steps, h], [*quotients, q], [*roundings, rounding]
        if len(steps) > 1:
            change = h**order * np.abs(q - quotients[-2])
            most = np.max(roundings, axis=0)
            level = (change > last / 16) & (change <= _ROUNDINGS * most)  # truncation alone falls faster
            seen = level | (change <= _ROUNDINGS * rounding) | ~np.isfinite(line.value)
            calm, last = calm + 1 if seen.all() else 0, change
        h /= 4
    return _extrapolated(4.0, steps, quotients, roundings, order)


def _usual_step(line: Line, order: int, accuracy: int) -> float:
    """Where a truncation error of h^accuracy and a rounding error of eps / h^order are equal."""
    return float(line.widest * line.eps ** (1 / (order + accuracy)))


def _richardson(line: Line, order: int, accuracy: int, step: float | None) -> tuple[Any, Any]:
    widest = step or _usual_step(line, order, 8)
    steps = [widest / 2**i for i in range(_COLUMNS)]
    quotients, roundings = zip(*[line.quotient(h, order, 2) for h in steps])
    return _extrapolated(2.0, steps, quotients, roundings, order)


def _central(line: Line, order: int, accuracy: int, step: float | None) -> tuple[Any, Any]:
    h = step or _usual_step(line, order, accuracy)
    (value, rounding), (wider, _) = (line.quotient(x, order, accuracy) for x in (h, 2 * h))
    return value, np.abs(value - wider) + rounding / h**order + 4 * DOUBLE * np.abs(value)


def complex_step(line: Line, h: float, real: float = 0.0) -> Any:
    """Im f(x + (real + i h) t) / h."""
    return np.imag(line.joined(line.at(complex(real, h)))) / h


def _complex(line: Line, order: int, accuracy: int, step: float | None) -> tuple[Any, Any]:
    """Im f(x + i h t) / h, and what another step changes in it; refused where differences along x are others."""
    name, called = line.name, function_name(line.fun)
    if order != 1:
        raise FunctransValueError(f"{name}: method 'complex' gives first derivatives, order={order} given at {here()}")
    if line.value.dtype.kind == "c" or any(dtype_of(x).kind == "c" for x in line.leaves):
        raise FunctransTypeError(
            f"{name}: method 'complex' is for real functions of real arguments, and {called} takes or returns complex "
            f"numbers at {here()}\nUse method='automatic'."
        )
    h = step or (2.0**-66 if line.coarse else 2.0**-500) / line.speed
    try:
        value, other = complex_step(line, h), complex_step(line, 3 * h, line.narrowest)
    except (TypeError, ValueError) as error:
        raise FunctransTypeError(
            f"{name}: method 'complex' calls {called} with complex numbers, and it takes none: {type(error).__name__}: "
            f"{error}\nat {here()}\nUse method='automatic', or functions that know complex numbers (numpy.sin for "
            "math.sin, and no comparisons)."
        ) from filter_traceback(error)
    along, error_along = _automatic(line, 1, 2, None)
    known = np.isfinite(error_along) & np.isfinite(value)
    if not np.all(np.abs(value - along) <= 10 * error_along + 1e-3 * np.abs(along), where=known):
        raise FunctransValueError(
            f"{name}: {called} is not analytic, or loses small imaginary parts: by the complex step its derivative is "
            f"{_shown(value)}, along the real line {_shown(along)}, at {here()}\nMethod 'complex' is not for abs, "
            "real, imag, conj, max and comparisons of the argument. Use method='automatic'."
        )
    return value, 2 * np.abs(value - other) + 4 * line.eps * np.abs(value)


METHODS = {"automatic": _automatic, "central": _central, "richardson": _richardson, "complex": _complex}


def _shown(x: Any) -> str:
    return np.array2string(x[0] if x.size == 1 else x, threshold=6, edgeitems=2, precision=9)


def _estimated(line: Line, order: int, method: str, accuracy: int, step: float | None) -> tuple[Any, Any]:
    """The derivative along the line and its error, as vectors."""
    if method not in METHODS:
        raise FunctransValueError(f"{line.name}: method {method!r} is none of {', '.join(METHODS)}, at {here()}")
    if not isinstance(order, int) or not 1 <= order <= 8:
        raise FunctransValueError(
            f"{line.name}: order must be an integer from 1 to 8, got {describe(order)} at {here()}"
        )
    if accuracy not in (2, 4, 6, 8):
        raise FunctransValueError(f"{line.name}: accuracy must be 2, 4, 6 or 8, got {describe(accuracy)} at {here()}")
    if step is not None and not (isinstance(step, int | float | np.number) and 0 < float(step) < math.inf):
        raise FunctransValueError(f"{line.name}: step must be a positive number, got {describe(step)} at {here()}")
    if not line.speed or not line.value.size:
        return np.zeros_like(line.value), np.zeros(line.value.shape)
    value, error = METHODS[method](line, order, accuracy, None if step is None else float(step))
    if line.failure is not None and not np.isfinite(value).any():
        raise FunctransValueError(
            f"{line.name}: {function_name(line.fun)} failed at every step, at last with {type(line.failure).__name__}: "
            f"{line.failure}, at {here()}\nGive a point inside of its domain, or a smaller step."
        ) from filter_traceback(line.failure)
    return value, np.where(np.isfinite(line.value) & np.isfinite(value), error, math.inf)


@api_boundary
def derivative_along(
    fun: Callable[..., Any],
    primals: Sequence[Any],
    tangents: Sequence[Any],
    order: int = 1,
    method: str = "automatic",
    accuracy: int = 2,
    step: float | None = None,
) -> Estimate:
    """The ``order``-th derivative of ``fun(x + h t)`` by h at 0, numerically.

    Args:
      fun: a function of positional arguments, made of anything: NumPy, functrans, JAX, plain Python.
      primals: a tuple or list of its arguments x, arrays and pytrees of them; floating or complex where they move.
      tangents: the directions t, of the same trees and shapes; zeros or float0 for what does not move.
      order: 1 to 8; each costs a factor of accuracy.
      method: 'automatic', 'central', 'richardson' or 'complex'.
      accuracy: of 'central', 2, 4, 6 or 8: the power of the step with which its truncation error falls.
      step: h; for 'automatic' and 'richardson' the widest that is tried. By default it follows from the sizes of
        primals and tangents and the precision of ``fun``: for 'central' epsilon^(1 / (order + accuracy)) of them.

    Returns:
      ``Estimate(value, error)``: two trees like the result of ``fun``, of NumPy arrays in double precision whatever
      the precision of ``fun``; float0 for integer results. Where no derivative was found the error is infinite.

    Raises:
      TypeError: ``fun`` is no function, trees differ, an integer moves, or ``fun`` is not for method 'complex'.
      ValueError: shapes differ, an option is not one of those above, or ``fun`` is not analytic, for method 'complex'.

    >>> import math
    >>> value, error = derivative_along(math.exp, (1.0,), (1.0,))
    >>> bool(abs(value - math.e) <= error < 1e-11)
    True
    >>> print(derivative_along(np.sin, (0.5,), (1.0,), method="complex").value == np.cos(0.5))
    True
    """
    check_callable(fun, "derivative_along")
    for word, given in (("primals", primals), ("tangents", tangents)):
        if not isinstance(given, tuple | list):
            raise FunctransTypeError(
                f"derivative_along: {word} must be a tuple or list of the arguments of {function_name(fun)}, got "
                f"{describe(given)}, at {here()}"
            )
    line = Line("derivative_along", fun, primals, tangents)
    value, error = _estimated(line, order, method, accuracy, step)
    return Estimate(*(_unflatten(line.out_tree, line.split(x)) for x in (value, error)))


@api_boundary
def jacobian(
    fun: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    method: str = "automatic",
    accuracy: int = 2,
    step: float | None = None,
) -> Callable[..., Estimate]:
    """A function that evaluates the Jacobian of ``fun`` numerically, a column at a time.

    Args:
      fun, method, accuracy, step: as for ``derivative_along``; the arguments differentiated by are of floating dtype.
      argnums: the positional argument(s) to differentiate by.

    Returns:
      A function of the same arguments with result ``Estimate(value, error)``: two trees of the structure of
      ``functrans.jacfwd``, leaves ``[*result shape, *argument shape]``.

    >>> value, error = jacobian(lambda x: np.array([x[0] * x[1], x[1] ** 2]))(np.array([2.0, 3.0]))
    >>> print(value.round(9), bool(error.max() < 1e-9))
    [[3. 2.]
     [0. 6.]] True
    """
    return _differentiated("jacobian", fun, argnums, (method, accuracy, step))


@api_boundary
def gradient(
    fun: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    method: str = "automatic",
    accuracy: int = 2,
    step: float | None = None,
) -> Callable[..., Estimate]:
    """A function that evaluates the gradient of ``fun`` numerically; arguments as for ``jacobian``.

    Returns:
      A function of the same arguments, for a real scalar result, with result ``Estimate(value, error)``: two trees like
      the argument(s) differentiated by. By a complex argument x + iy it is d/dx - i d/dy, as from ``functrans.grad``.

    >>> value, error = gradient(lambda x: np.sum(x**3))(np.array([1.0, -2.0]))
    >>> print(value.round(9))
    [ 3. 12.]
    """
    return _differentiated("gradient", fun, argnums, (method, accuracy, step))


def _differentiated(
    name: str, fun: Callable[..., Any], argnums: int | Sequence[int], options: tuple[str, int, float | None]
) -> Callable[..., Estimate]:
    wanted = argument_numbers(argnums, name)
    check_callable(fun, name)

    @functools.partial(named_as, fun)
    @api_boundary
    def evaluate(*args: Any, **kwargs: Any) -> Estimate:
        indices = check_argnums(wanted, args, name, fun)
        chosen = args[indices[0]] if isinstance(argnums, int) else tuple(args[i] for i in indices)
        function = named_as(fun, functools.partial(fun, **kwargs)) if kwargs else fun
        leaves, tree = _flatten(chosen)
        if name == "jacobian" and any(dtype_of(x).kind == "c" for x in leaves):
            raise FunctransTypeError(
                f"jacobian is for real arguments, and {function_name(fun)} is given complex ones, at {here()}\n"
                "Give it real and imaginary parts as two arguments, or use derivative_along or gradient."
            )
        still = jax.tree_util.tree_map(lambda x: np.zeros(np.shape(x)), args)
        results = Line(name, function, args, still)
        if name == "gradient" and (results.shapes != [((), True)] or results.value.dtype.kind == "c"):
            found = jax.tree_util.tree_map(lambda x: f"{dtype_of(x)}{list(np.shape(x))}", fun(*args, **kwargs))
            raise FunctransTypeError(
                f"gradient needs a function with a real scalar result, and {function_name(fun)} returned {found} at "
                f"{here()}\nReduce it (sum or mean), or use jacobian."
            )

        def column(k: int, unit: Any) -> tuple[Any, Any]:
            given = _unflatten(tree, [unit if i == k else np.zeros(np.shape(x)) for i, x in enumerate(leaves)])
            tangents = list(still)
            for i, t in zip(indices, (given,) if isinstance(argnums, int) else given):
                tangents[i] = t
            return _estimated(Line(name, function, args, tangents), 1, *options)

        blocks = []
        for k, x in enumerate(leaves):
            pair = np.zeros((2, *results.value.shape, np.size(x)), complex)
            for j, unit in enumerate(np.eye(np.size(x)).reshape(np.size(x), *np.shape(x))):
                pair[:, :, j] = column(k, unit)
                if dtype_of(x).kind == "c":
                    turned, error = column(k, 1j * unit)
                    pair[:, :, j] += -1j * turned, error
            is_complex = "c" in (results.value.dtype.kind, dtype_of(x).kind)
            pair = pair.reshape(*pair.shape[:2], *np.shape(x))
            blocks.append([results.split(p if is_complex else p.real, np.shape(x)) for p in (pair[0], pair[1].real)])
        rows = range(len(results.shapes))
        return Estimate(
            *(
                _unflatten(results.out_tree, [_unflatten(tree, [block[part][i] for block in blocks]) for i in rows])
                for part in (0, 1)
            )
        )

    return evaluate
