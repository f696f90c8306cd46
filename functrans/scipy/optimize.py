"""``jax.scipy.optimize``: the minimum of a function, in compiled code.

``functrans.derivatives.minimize`` is SciPy's, with all its methods, and runs in Python; this one can be mapped,
compiled and differentiated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from functrans import lax
from functrans.api.custom_root import custom_root
from functrans.api.differentiation import grad, value_and_grad
from functrans.api.jacobians import jacfwd
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import describe, is_differentiable, type_of
from functrans.numpy.arithmetic import absolute, maximum
from functrans.numpy.comparison import isfinite
from functrans.numpy.creation import asarray, zeros
from functrans.numpy.equations import solve
from functrans.numpy.grids import eye
from functrans.numpy.linalg import norm as norm_of
from functrans.numpy.products import matmul, outer
from functrans.numpy.reductions import sum as sum_
from functrans.numpy.selection import where
from functrans.trace.frames import api_boundary, here

__all__ = ["OptimizeResults", "minimize"]

_PRECISION = lax.Precision.HIGHEST
_LIMITED = "l-bfgs-experimental-do-not-rely-on-this"
_IGNORED = ("ftol", "maxfun", "maxgrad")
_CONVERGED, _TOO_MANY_STEPS, _NO_STEP = 0, 1, 5


class OptimizeResults(NamedTuple):
    """What ``minimize`` found.

    ``x``: ``[n]``. ``success``: whether the gradient is below its tolerance. ``status``: 0 where it is, 1 after the
    most steps, 5 where no step along the direction was good enough. ``fun``, ``jac``: value and gradient at x.
    ``hess_inv``: the estimate ``[n, n]`` of the inverse of the Hessian, or None. ``nfev``, ``njev``, ``nit``: how many
    values, gradients and steps it took.
    """

    x: Any
    success: Any
    status: Any
    fun: Any
    jac: Any
    hess_inv: Any
    nfev: Any
    njev: Any
    nit: Any


@api_boundary
def minimize(
    fun: Callable[..., Any], x0: Any, args: tuple[Any, ...] = (), *, method: str, tol: float | None = None,
    options: Mapping[str, Any] | None = None,
) -> OptimizeResults:  # fmt: skip
    """A local minimum of ``fun(x, *args)`` by the method of Broyden, Fletcher, Goldfarb and Shanno.

    The derivatives of ``x`` by ``args`` and by what ``fun`` closes over follow from ``grad(fun)(x) == 0``, in every
    mode and order, and are right where it has converged to a minimum with a regular Hessian; ``x0`` has none.

    Args:
      fun: a function of a vector, with a real scalar result.
      x0: ``[n]``, where to start.
      args: further arguments of ``fun``.
      method: 'BFGS', or 'l-bfgs-experimental-do-not-rely-on-this', which keeps the latest pairs of steps only.
      tol: as ``options["gtol"]``, where that is not given.
      options: ``gtol`` (1e-5): it ends where the norm of the gradient is below; ``norm`` (inf): of which order;
        ``maxiter`` (200 n): or after so many steps; ``line_search_maxiter`` (20): values of ``fun`` for a step. For the
        second method also ``maxcor`` (10), the pairs it keeps, and ``maxls``, another name for the last.

    Returns:
      ``OptimizeResults``.

    Raises:
      TypeError: ``args`` is no tuple, ``x0`` is no floating array. ValueError: ``x0`` is no vector; another method or
      option.

    References:
      J. Nocedal, S. Wright, Numerical Optimization, 2nd edition, algorithms 6.1, 7.4, 3.5 and 3.6; the test that takes
      over where values are all noise: W. Hager, H. Zhang, SIAM J. Optim. 16, 2005.

    >>> from functrans.scipy.optimize import minimize
    >>> import functrans as ft, functrans.numpy as fnp
    >>> well = lambda x, a: (x[0] - a) ** 2 + 10 * (x[1] - x[0] ** 2) ** 2
    >>> minimize(well, fnp.zeros(2), (1.5,), method="BFGS").x.round(2).tolist()
    [1.5, 2.25]
    >>> slope = ft.grad(lambda a: minimize(well, fnp.zeros(2), (a,), method="BFGS").x[1])(1.5)
    >>> round(float(slope), 2)
    3.0
    """
    if not isinstance(args, tuple):
        raise FunctransTypeError(f"minimize: args must be a tuple, got {describe(args)} at {here()}")
    x0 = asarray(x0)
    given = type_of(x0)
    if len(given.shape) != 1 or not given.shape[0]:
        raise FunctransValueError(f"minimize: x0 must be a vector, got shape {given.shape} at {here()}")
    if not is_differentiable(given.dtype) or given.dtype.kind == "c":
        raise FunctransTypeError(f"minimize: x0 must be a real floating array, got {given} at {here()}")
    settings = _settings(method, tol, options, given.shape[0])

    def objective(x: Any) -> Any:
        return fun(x, *args)

    def search(_: Any, start: Any) -> Any:
        state = _search(objective, start, settings)
        return state.x, (state.status, state.curvature, state.evaluations, state.steps)

    def tangent(linear: Callable[[Any], Any], y: Any) -> Any:
        return solve(jacfwd(linear)(zeros(y.shape, y.dtype)), y)

    x, (status, curvature, evaluations, steps) = custom_root(grad(objective), x0, search, tangent, has_aux=True)
    value, slope = value_and_grad(objective)(x)
    hess_inv = None if settings.kept else curvature
    return OptimizeResults(
        x, status == _CONVERGED, status, value, slope, hess_inv, evaluations, evaluations, steps
    )


class _Settings(NamedTuple):
    gtol: Any
    norm: Any
    most: Any
    evaluations: Any
    kept: int  # pairs; 0 for the whole matrix


def _settings(method: Any, tol: Any, options: Any, size: int) -> _Settings:
    name = method.lower() if isinstance(method, str) else method
    common = ("gtol", "norm", "maxiter", "line_search_maxiter")
    known = {"bfgs": common, _LIMITED: (*common, "maxcor", "maxls", *_IGNORED)}
    if name not in known:
        raise FunctransValueError(
            f"minimize: method must be 'BFGS' or '{_LIMITED}', got {describe(method)} at {here()}\n"
            "functrans.derivatives.minimize has the methods of scipy.optimize."
        )
    options = dict(options or {})
    unknown = sorted(set(options) - set(known[name]))
    if unknown:
        raise FunctransValueError(
            f"minimize: unknown options {unknown} at {here()}\n{method} has {', '.join(known[name])}."
        )
    for name_ in _IGNORED:
        if options.get(name_) is not None:
            raise NotImplementedError(f"minimize: the option {name_!r} is not there; gtol and maxiter end the search.")
    gtol = options.get("gtol")
    if gtol is None:
        gtol = 1e-5 if tol is None else tol
    most = options.get("maxiter")
    evaluations = options.get("line_search_maxiter") or options.get("maxls") or 20
    kept = int(options.get("maxcor") or 10) if name == _LIMITED else 0
    return _Settings(gtol, options.get("norm", np.inf), 200 * size if most is None else most, evaluations, kept)


class _State(NamedTuple):
    x: Any
    value: Any
    slope: Any
    curvature: Any  # the estimate of the inverse Hessian, or the pairs (steps, changes of the slope)
    status: Any  # -1 while it goes on
    steps: Any
    evaluations: Any


def _search(objective: Callable[[Any], Any], start: Any, settings: _Settings) -> _State:
    both = value_and_grad(objective)
    size, dtype = start.shape[0], start.dtype

    def is_flat(slope: Any) -> Any:
        return norm_of(slope, ord=settings.norm) < settings.gtol

    def step(state: _State) -> _State:
        direction = -_times_inverse(state.curvature, state.slope, settings.kept)
        decline = _dot(direction, state.slope)
        downhill = decline < 0  # else the estimate is no longer positive, by rounding: begin anew
        direction = where(downhill, direction, -state.slope)
        decline = where(downhill, decline, -_dot(state.slope, state.slope))
        first = where(state.steps == 0, 1 / maximum(1, norm_of(state.slope)), 1).astype(dtype)
        found = _line_search(both, state, direction, decline, first, settings.evaluations)
        taken = found.length * direction
        x = state.x + taken
        change = found.slope - state.slope
        curvature = _updated(state.curvature, taken, change, state.steps, settings.kept, downhill)
        status = where(is_flat(found.slope), _CONVERGED, where(found.good, -1, _NO_STEP))
        evaluations = state.evaluations + found.count
        return _State(x, found.value, found.slope, curvature, status, state.steps + 1, evaluations)

    def goes_on(state: _State) -> Any:
        return (state.status < 0) & (state.steps < settings.most)

    value, slope = both(start)
    if settings.kept:
        nothing = zeros((settings.kept, size), dtype)
        curvature: Any = (nothing, nothing)
    else:
        curvature = eye(size, dtype=dtype)
    status = where(is_flat(slope), _CONVERGED, -1)
    end: _State = lax.while_loop(goes_on, step, _State(start, value, slope, curvature, status, 0, 1))
    return end._replace(status=where(end.status < 0, _TOO_MANY_STEPS, end.status))


def _dot(x: Any, y: Any) -> Any:
    return matmul(x, y, precision=_PRECISION)


def _times_inverse(curvature: Any, slope: Any, kept: int) -> Any:
    """The estimate of the inverse Hessian times the slope: a product, or the recursion over the pairs that are kept."""
    if not kept:
        return _dot(curvature, slope)
    taken, changes = curvature  # the latest first; pairs that are not there yet are 0
    inner = sum_(taken * changes, axis=1)
    rho = where(inner > 0, 1 / where(inner > 0, inner, 1), 0)
    shares = []
    q = slope
    for i in range(kept):
        share = rho[i] * _dot(taken[i], q)
        q = q - share * changes[i]
        shares.append(share)
    size = _dot(changes[0], changes[0])
    q = q * where(size > 0, inner[0] / where(size > 0, size, 1), 1)
    for i in reversed(range(kept)):
        q = q + taken[i] * (shares[i] - rho[i] * _dot(changes[i], q))
    return q


def _updated(curvature: Any, taken: Any, change: Any, steps: Any, kept: int, downhill: Any) -> Any:
    """With the step and the change of the slope along it; as it was where they have no positive product."""
    inner = _dot(taken, change)
    useful = (inner > 0) & isfinite(1 / where(inner > 0, inner, 1))
    if kept:
        rows = [where(useful, _shifted(old, new), old) for old, new in zip(curvature, (taken, change), strict=True)]
        return tuple([where(downhill, new, 0) for new in rows])
    identity = eye(taken.shape[0], dtype=taken.dtype)
    size = _dot(change, change)
    begun = where(downhill, curvature, identity)
    scale = inner / where(size > 0, size, 1)  # of the first estimate, before its first change
    begun = where((steps == 0) & useful, scale * identity, begun)
    rho = where(useful, 1 / where(useful, inner, 1), 0)
    left = identity - rho * outer(taken, change)
    new = matmul(matmul(left, begun, precision=_PRECISION), left.T, precision=_PRECISION) + rho * outer(taken, taken)
    return where(useful, new, begun)


def _shifted(rows: Any, first: Any) -> Any:
    return lax.concatenate([first[None], rows[:-1]], 0)


class _Found(NamedTuple):
    length: Any
    value: Any
    slope: Any
    count: Any
    good: Any


_DECREASE, _CURVATURE = 1e-4, 0.9


def _line_search(both: Any, state: _State, direction: Any, decline: Any, first: Any, most: Any) -> _Found:
    """A length with enough decrease and a slope that is flat enough; the best one seen where there is none.

    A bracket (low, high) is moved outwards until it holds such a length, then narrowed by cubic interpolation.
    """
    dtype = state.x.dtype
    noise = 10 * np.finfo(dtype).eps * absolute(state.value)

    def goes_on(carry: Any) -> Any:
        return ~carry[-1].good & (carry[-1].count < most)

    def try_one(carry: Any) -> Any:
        length, low, high, found = carry
        value, slope = both(state.x + length * direction)
        change = _dot(direction, slope)
        sound = isfinite(value) & isfinite(change)
        enough = value <= state.value + _DECREASE * length * decline
        in_noise = (value <= state.value + noise) & (change <= (2 * _DECREASE - 1) * decline)
        decreased = sound & ((enough & (value <= low[1])) | in_noise)
        good = decreased & (absolute(change) <= -_CURVATURE * decline)
        here = (length, value, change)
        turns = change * (high[0] - low[0]) >= 0
        new_high = _chosen(decreased, _chosen(turns, low, high), here)
        new_low = _chosen(decreased, here, low)
        better = good | (decreased & (value <= found.value))
        best = _chosen(better, (length, value, slope), found[:3])
        found = _Found(best[0], best[1], best[2], found.count + 1, good)
        return _next_length(new_low, new_high, dtype), new_low, new_high, found

    zero = zeros((), dtype)
    low = (zero, state.value, decline)
    high = (zero + np.inf, zero + np.inf, zero)
    found = _Found(zero, state.value, state.slope, 0, zero != 0)
    end: _Found = lax.while_loop(goes_on, try_one, (first, low, high, found))[-1]
    return end


def _chosen(which: Any, left: Any, right: Any) -> Any:
    return tuple([where(which, a, b) for a, b in zip(left, right, strict=True)])


def _next_length(low: Any, high: Any, dtype: Any) -> Any:
    """Outside: four times as long. Inside: the minimum of the cubic, kept a tenth of the bracket away from its ends."""
    unbounded = ~isfinite(high[0])
    end = where(unbounded, 2 * low[0] + 1, high[0])
    width = end - low[0]
    value = where(isfinite(high[1]), high[1], low[1] + absolute(low[2] * width))
    d = low[2] + high[2] - 3 * (low[1] - value) / where(width == 0, 1, -width)
    root = d * d - low[2] * high[2]
    s = lax.sqrt(maximum(root, 0)) * where(width < 0, -1, 1)
    below = high[2] - low[2] + 2 * s
    share = (high[2] + s - d) / where(below == 0, 1, below)
    share = where((root < 0) | (below == 0) | ~isfinite(share), 0.5, 1 - share)
    share = where(share < 0.1, 0.1, where(share > 0.9, 0.9, share))
    inside = low[0] + share * width
    return where(unbounded, where(low[0] > 0, 4 * low[0], 1), inside).astype(dtype)
