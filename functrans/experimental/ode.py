"""``jax.experimental.ode``: initial value problems by the pair of Dormand and Prince, of orders 5 and 4.

    ys = solve(y0, ts, p)              y' = f(y, t, p)
    tangents                           s' = f_y s + f_p dp, with the solution beside it, linear in s(t0) and dp;
    their transpose                    from the last time to the first, l' = -f_y^T l, and the integral of f_p^T l

The variational equation and its adjoint are solved by the same function, so that derivatives are those of the solution,
not of the steps, in both modes and of every order; their errors are controlled as its own.

References: E. Hairer, S. Norsett, G. Wanner, Solving Ordinary Differential Equations I, II.4 to II.6 (the pair, its
dense output, the first step); L. Pontryagin et al. 1962, R. Chen et al. 2018 (the adjoint).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from jax.tree_util import tree_flatten, tree_leaves, tree_map, tree_unflatten

from functrans import lax
from functrans.api.custom_derivatives import closure_convert, linear_call
from functrans.api.custom_rules import custom_jvp
from functrans.api.differentiation import jvp
from functrans.api.linear_maps import vjp
from functrans.api.vectorization import vmap
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.flatten_util import ravel_pytree
from functrans.ir.types import describe, is_differentiable, type_of
from functrans.jaxlib_compat.operations import jax_operation
from functrans.numpy.arithmetic import absolute, maximum, minimum
from functrans.numpy.creation import asarray, astype, zeros, zeros_like
from functrans.numpy.joining import concatenate
from functrans.numpy.reductions import mean
from functrans.numpy.selection import where
from functrans.trace.frames import api_boundary, here

__all__ = ["odeint"]
_OF_JAX = frozenset(
    """
    abs2 fit_4th_order_polynomial initial_step_size interp_fit_dopri mean_error_ratio optimal_step_size ravel_first_arg
    runge_kutta_step
    """.split()
)

_TIMES = (0.0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
_STAGES = (
    (),
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
_ERROR = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)
_DENSE = (
    -12715105075 / 11282082432, 0.0, 87487479700 / 32700410799, -10690763975 / 1880347072,
    701980252875 / 199316789632, -1453857185 / 822651844, 69997945 / 29380423,
)  # fmt: skip
_SAFETY, _LEAST, _MOST = 0.9, 0.2, 10.0  # of the next step, in terms of the last

Field = Callable[[Any, Any, Any], Any]  # (y, t, parameters) -> the slope of y


class _Settings(NamedTuple):
    rtol: Any
    atol: Any
    most: Any
    longest: Any


@api_boundary
def odeint(
    func: Callable[..., Any], y0: Any, t: Any, *args: Any, rtol: Any = 1.4e-8, atol: Any = 1.4e-8, mxstep: Any = np.inf,
    hmax: Any = np.inf,
) -> Any:  # fmt: skip
    """The solution of ``dy/dt = func(y, t, *args)`` with ``y(t[0]) == y0``, at the times t.

    Differentiable by y0, t, ``args`` and what ``func`` closes over, in both modes and to every order.

    Args:
      func: returns a tree like its first argument; differentiable.
      y0: a tree of floating or complex arrays.
      t: ``[m]`` floating times that increase strictly.
      args: trees of arrays.
      rtol, atol: a step is taken where the root of the mean square of ``error / (atol + rtol * abs(y))`` is at most 1.
      mxstep: steps tried for each of the times, at most; where they do not suffice, the solution is NaN from there on.
      hmax: no step is longer.

    Returns:
      A tree like y0, each leaf with a leading axis m.

    Raises:
      TypeError: ``t`` is no floating array, y0 holds integers, ``args`` something that is no array, or ``func`` returns
      another tree or shape. ValueError: ``t`` is no vector, or empty.

    >>> from functrans.experimental.ode import odeint
    >>> import functrans as ft, numpy as np
    >>> decay = lambda y, t, rate: -rate * y
    >>> end = lambda rate: odeint(decay, 1.0, np.float32([0.0, 1.0]), rate)[-1]
    >>> round(float(end(2.0)), 4), round(float(ft.grad(end)(2.0)), 4)  # exp(-2), -exp(-2)
    (0.1353, -0.1353)
    """
    times = asarray(t)
    given = type_of(times)
    if given.dtype.kind != "f" and not (is_differentiable(given.dtype) and given.dtype.kind != "c"):
        raise FunctransTypeError(f"odeint: t must be an array of floats, got {given} at {here()}")
    if len(given.shape) != 1 or not given.shape[0]:
        raise FunctransValueError(
            f"odeint: t must be a vector of at least one time, got shape {given.shape} at {here()}"
        )
    for leaf in tree_leaves(args):
        try:
            type_of(leaf)
        except FunctransTypeError:
            raise FunctransTypeError(
                f"odeint: what is passed on to the function must be arrays, got {describe(leaf)} at {here()}\nLet the "
                "function close over it."
            ) from None
    y0 = tree_map(asarray, y0)
    start, unravel = ravel_pytree(y0)
    if not is_differentiable(start.dtype):
        raise FunctransTypeError(f"odeint: y0 must be floating or complex, got {start.dtype} at {here()}")
    args = tree_map(asarray, args)
    converted, closed = closure_convert(func, y0, times[0], *args)
    leaves, tree = tree_flatten((args, list(closed)))
    smooth = [is_differentiable(type_of(x).dtype) for x in leaves]
    fixed = [x for x, s in zip(leaves, smooth, strict=True) if not s]

    def field(y: Any, time: Any, parameters: Sequence[Any], fixed: Sequence[Any]) -> Any:
        moving, still = iter(parameters), iter(fixed)
        args, closed = tree_unflatten(tree, [next(moving) if s else next(still) for s in smooth])
        slope, _ = ravel_pytree(converted(unravel(y), time, *args, *closed))
        if slope.shape != y.shape:
            raise FunctransTypeError(
                f"odeint: the function must return a tree like y0, of {y.shape[0]} numbers in all, and it returned "
                f"{slope.shape[0]}, at {here()}"
            )
        return astype(slope, y.dtype)

    settings = _Settings(rtol, atol, mxstep, hmax)
    parameters = [x for x, s in zip(leaves, smooth, strict=True) if s]
    return vmap(unravel)(_solved(field, settings, start, times, parameters, fixed))


def _solved(field: Any, settings: _Settings, y0: Any, times: Any, parameters: list[Any], fixed: list[Any]) -> Any:
    """``[m, n]``, with the derivatives that the equation has."""

    @custom_jvp
    def solve(y0: Any, times: Any, parameters: Any, fixed: Any) -> Any:
        return _integrated(lambda y, t: field(y, t, parameters, fixed), settings, y0, times)

    @partial(solve.defjvp)
    def rule(primals: Any, tangents: Any) -> Any:
        y0, times, parameters, fixed = primals
        moved, moved_times, moved_parameters, _ = tangents
        ys = solve(y0, times, parameters, fixed)
        slopes = vmap(lambda y, t: field(y, t, parameters, fixed))(ys, times)
        begin = moved - slopes[0] * moved_times[0]
        along = linear_call(
            partial(_variation, field, settings), partial(_adjoint, field, settings),
            (ys, times, parameters, fixed), (begin, moved_parameters),
        )  # fmt: skip
        return ys, along + slopes * moved_times[:, None]

    return solve(y0, times, parameters, fixed)


def _variation(field: Any, settings: _Settings, given: Any, linear: Any) -> Any:
    """(the solution), (the tangents of its start and of the parameters) -> its tangents ``[m, n]``."""
    ys, times, parameters, fixed = given
    begin, moved = linear
    size = begin.shape[0]

    def both(y: Any, t: Any, given: Any, fixed: Any) -> Any:
        parameters, moved = given
        slope, along = jvp(lambda y, p: field(y, t, p, fixed), (y[:size], parameters), (y[size:], moved))
        return concatenate([slope, along])

    found = _solved(_flat(both, (parameters, moved)), settings, concatenate([ys[0], begin]), times,
                    tree_leaves((parameters, moved)), fixed)
    return found[:, size:]


def _flat(field: Any, parameters: Any) -> Any:
    """A field of a tree of parameters as one of a list of them."""
    tree = tree_flatten(parameters)[1]
    return lambda y, t, leaves, fixed: field(y, t, tree_unflatten(tree, leaves), fixed)


def _adjoint(field: Any, settings: _Settings, given: Any, cotangents: Any) -> Any:
    """(the solution), (the cotangents ``[m, n]`` of its tangents) -> those of the start's and of the parameters'."""
    ys, times, parameters, fixed = given
    size = ys.shape[1]
    vector, unravel = ravel_pytree(parameters)
    dtype = np.promote_types(ys.dtype, vector.dtype) if parameters else ys.dtype

    def back(state: Any, t: Any, parameters: Any, fixed: Any) -> Any:
        y, adjoint = astype_of(state[:size], ys.dtype), astype_of(state[size : 2 * size], ys.dtype)
        slope, pull = vjp(lambda y, p: field(y, -t, p, fixed), y, parameters)
        at_y, at_parameters = pull(adjoint)
        shares, _ = ravel_pytree(at_parameters)
        return concatenate([astype(-slope, dtype), astype(at_y, dtype), astype(shares, dtype)])

    def interval(carry: Any, inputs: Any) -> Any:
        adjoint, shares = carry
        y, cotangent, later, earlier = inputs
        adjoint = adjoint + cotangent
        state = concatenate([astype(y, dtype), astype(adjoint, dtype), astype(zeros_like(shares), dtype)])
        found = _solved(back, settings, state, lax.stack([-later, -earlier]), parameters, fixed)[1]
        more = astype_of(found[2 * size :], shares.dtype)
        return (astype_of(found[size : 2 * size], adjoint.dtype), shares + more), None

    carry = (zeros_like(ys[0]), zeros(vector.shape, vector.dtype))
    backwards = (ys[1:], cotangents[1:], times[1:], times[:-1])
    (adjoint, shares), _ = lax.scan(interval, carry, backwards, reverse=True)
    return adjoint + cotangents[0], unravel(shares)


def astype_of(x: Any, dtype: Any) -> Any:
    """In a dtype that may have no imaginary part."""
    return astype(x.real if x.dtype.kind == "c" and np.dtype(dtype).kind != "c" else x, dtype)


class _Step(NamedTuple):
    y: Any
    slope: Any
    time: Any
    size: Any  # of the next step
    before: Any  # the time at which the last step began
    dense: Any  # the five coefficients of the solution along it


def _integrated(field: Callable[[Any, Any], Any], settings: _Settings, y0: Any, times: Any) -> Any:
    """The solution ``[m, n]`` without derivatives."""
    slope = field(y0, times[0])
    size = minimum(_first_step(field, settings, y0, slope, times[0]), astype(asarray(settings.longest), times.dtype))
    begin = _Step(y0, slope, times[0], size, times[0], lax.stack([y0, *[zeros_like(y0)] * 4]))

    def reach(step: _Step, target: Any) -> Any:
        def goes_on(carry: Any) -> Any:
            count, step = carry
            return (step.time < target) & (count < settings.most) & (step.size > 0)

        def advance(carry: Any) -> Any:
            count, step = carry
            return count + 1, _advanced(field, settings, step)

        _, step = lax.while_loop(goes_on, advance, (0, step))
        length = step.time - step.before
        share = astype((target - step.before) / where(length == 0, 1, length), step.y.real.dtype)
        y = _along(step.dense, share)
        return step, where(step.time < target, np.nan, y)

    if times.shape[0] == 1:
        return y0[None]
    _, ys = lax.scan(reach, begin, times[1:])
    return concatenate([y0[None], ys])


def _along(dense: Any, share: Any) -> Any:
    rest = 1 - share
    return dense[0] + share * (dense[1] + rest * (dense[2] + share * (dense[3] + rest * dense[4])))


def _advanced(field: Callable[[Any, Any], Any], settings: _Settings, step: _Step) -> _Step:
    """One step tried, and the size of the next one."""
    h = astype(step.size, step.y.real.dtype)
    slopes = [step.slope]
    y = step.y
    for share, weights in zip(_TIMES[1:], _STAGES[1:], strict=True):
        y = step.y + h * _combined(weights, slopes)
        slopes.append(field(y, step.time + step.size * share))
    error = h * _combined(_ERROR, slopes)
    ratio = _norm(error, settings, maximum(absolute(step.y), absolute(y)))
    taken = ratio <= 1
    factor = _SAFETY * where(ratio == 0, 1, ratio) ** -0.2
    factor = where(ratio == 0, _MOST, minimum(_MOST, maximum(factor, where(taken, 1, _LEAST))))
    factor = where(factor == factor, factor, _LEAST)  # a stage was not finite
    change = y - step.y
    first, last = h * slopes[0] - change, change - h * slopes[-1]
    dense = lax.stack([step.y, change, first, last - first, h * _combined(_DENSE, slopes)])
    size = minimum(step.size * astype(factor, step.size.dtype), astype(asarray(settings.longest), step.size.dtype))
    new = _Step(y, slopes[-1], step.time + step.size, size, step.time, dense)
    old = step._replace(size=size)
    return _Step(*[where(taken, a, b) for a, b in zip(new, old, strict=True)])


def _combined(weights: Sequence[float], slopes: Sequence[Any]) -> Any:
    terms = [w * k for w, k in zip(weights, slopes, strict=True) if w]
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def _norm(x: Any, settings: _Settings, size: Any) -> Any:
    scaled = absolute(x) / (settings.atol + settings.rtol * size)
    return lax.sqrt(mean(scaled * scaled))


def _first_step(field: Callable[[Any, Any], Any], settings: _Settings, y0: Any, slope: Any, time: Any) -> Any:
    """Hairer, Norsett and Wanner, II.4: from the sizes of the solution, its slope and its curvature."""
    of_y, of_slope = _norm(y0, settings, absolute(y0)), _norm(slope, settings, absolute(y0))
    small = (of_y < 1e-5) | (of_slope < 1e-5)
    h = where(small, 1e-6, 0.01 * of_y / where(small, 1, of_slope))
    there = field(y0 + h * slope, time + astype(h, time.dtype))
    of_curvature = _norm(there - slope, settings, absolute(y0)) / h
    largest = maximum(of_slope, of_curvature)
    flat = largest <= 1e-15
    found = where(flat, maximum(1e-6, h * 1e-3), (0.01 / where(flat, 1, largest)) ** 0.2)
    return astype(minimum(100 * h, found), time.dtype)


def __getattr__(name: str) -> object:
    """The steps of JAX's own solver, which take traced values."""
    return jax_operation("experimental.ode", name, _OF_JAX)
