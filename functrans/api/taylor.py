"""taylor and jet: Taylor mode, which carries a function's derivatives of every order along a line."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jax.tree_util import tree_map

from functrans.api.arguments import check_callable, check_tangent, differentiation_order
from functrans.api.staging import api_boundary, apply, stage, tree_flatten, tree_structure, tree_unflatten
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import ArrayType, as_its_type, describe, float0, is_differentiable, tangent_type
from functrans.ops.elementwise import mul
from functrans.ops.structural import convert, full, scalar_literal, zeros
from functrans.trace.frames import function_name, here, named_as
from functrans.trace.leaves import entering, named
from functrans.transform.taylor import per_derivative, solution, taylor_to_order, unit_of


@api_boundary
def taylor(fun: Callable[..., Any], primals: Sequence[Any], series: Sequence[Sequence[Any]]) -> tuple[Any, list[Any]]:
    """The Taylor coefficients of ``fun`` along a line: of ``fun(x(s))`` where those of x(s) are given.

    Args:
      fun: a function of positional arguments.
      primals: a tuple or list of its arguments: x(0).
      series: for each argument its coefficients from the first on, as many for each: ``x(s) = primal + series[0] s +
        series[1] s^2 + ...``; each has the tree, shapes and dtypes of the argument, or is None for zero.

    Returns:
      ``(value, coefficients)``: ``fun(x(s)) = value + coefficients[0] s + coefficients[1] s^2 + ...``, as many as were
      given, each with the tree, shapes and dtypes of the value. The k-th derivative is ``k!`` times the k-th.

    Raises:
      TypeError: trees or dtypes differ. ValueError: shapes differ, or the series differ in length.

    >>> import functrans as ft
    >>> value, coefficients = ft.taylor(lambda x: 1 / (1 - x), (0.0,), ([1.0, None, None],))
    >>> float(value), [float(c) for c in coefficients]
    (1.0, [1.0, 1.0, 1.0])
    """
    return coefficients_along(fun, primals, series, "taylor", True)


@api_boundary
def jet(
    fun: Callable[..., Any], primals: Sequence[Any], series: Sequence[Sequence[Any]],
    factorial_scaled: bool = True, **_unused: Any,
) -> tuple[Any, Any]:  # fmt: skip
    """As ``taylor``, of derivatives and not of Taylor coefficients, unless ``factorial_scaled`` is False: the k-th is
    ``k!`` times the coefficient. Names and meaning are those of ``jax.experimental.jet.jet``: of a result that is a
    tree each leaf has its list of derivatives, and there is no list of trees.

    >>> from functrans.experimental.jet import jet
    >>> value, derivatives = jet(lambda x: 1 / (1 - x), (0.0,), ([1.0, 0.0, 0.0],))
    >>> float(value), [float(d) for d in derivatives]
    (1.0, [1.0, 2.0, 6.0])
    """
    value, found = coefficients_along(fun, primals, series, "jet", not factorial_scaled)
    return value, tree_map(lambda _, *each: list(each), value, *found)


@api_boundary
def derivatives(fun: Callable[..., Any], order: int) -> Callable[..., list[Any]]:
    """A function that evaluates ``fun`` and its derivatives by its first argument up to ``order``, all in one pass.

    Args:
      fun: a function whose first argument is a real or complex scalar ``[]``; its result is any pytree.
      order: the highest derivative, 0 or more.

    Returns:
      A function of the same arguments: the list ``[f(x), f'(x), ...]`` of ``order + 1`` results of ``fun``.

    Raises:
      ValueError: the order is negative. TypeError: the argument is no floating or complex scalar.

    >>> from functrans.derivatives import derivatives
    >>> [float(d) for d in derivatives(lambda x: x**3, 3)(2.0)]
    [8.0, 12.0, 12.0, 6.0]
    """
    check_callable(fun, "derivatives")
    check_order(order, "derivatives")

    @functools.partial(named_as, fun)
    @api_boundary
    def evaluate(x: Any, *args: Any, **kwargs: Any) -> list[Any]:
        (type_,) = entering([x], lambda i: "the argument of derivatives")[1]
        if type_.shape or not is_differentiable(type_.dtype):
            raise FunctransTypeError(
                f"derivatives: the argument must be a floating or complex scalar, got {describe(x)} at {here()}\n"
                "Map over arrays with vmap; functrans.derivatives has operators for functions of arrays."
            )
        series = [1.0, *[None] * (order - 1)][:order]
        value, found = coefficients_along(lambda x: fun(x, *args, **kwargs), (x,), (series,), "derivatives", False)
        return [value, *found]

    return evaluate


@api_boundary
def solution_coefficients(fun: Callable[..., Any], initial: Any, order: int, time: Any = None) -> list[Any]:
    """The Taylor coefficients in time of the solution of ``x' = fun(x)`` (``fun(t, x)`` where a time is given).

    The right-hand side is carried along the solution that is being made: each further coefficient costs one more
    coefficient of ``fun``, and not a new evaluation.

    Args:
      fun: the right-hand side; its result has the tree, shapes and dtypes of ``initial``.
      initial: x at the beginning: a pytree of floating arrays.
      order: how many coefficients, 0 or more.
      time: t at the beginning, a scalar.

    Returns:
      ``[x, x_1, x_2, ...]``, ``order + 1`` trees like ``initial``: ``x(t + h) = x + x_1 h + x_2 h^2 + ...``

    Raises:
      TypeError: the result of ``fun`` has another tree or dtype than ``initial``. ValueError: another shape, or the
        order is negative.

    >>> from functrans.derivatives import solution_coefficients
    >>> [float(c) for c in solution_coefficients(lambda x: x, 1.0, 3)]  # exp(t)
    [1.0, 1.0, 0.5, 0.1666666716337204]
    """
    name = "solution_coefficients"
    check_callable(fun, name)
    check_order(order, name)
    tree_given = initial if time is None else (time, initial)
    leaves, tree = tree_flatten(tree_given)
    leaves, types = entering(leaves, named("the initial value", tree_given))
    if time is not None and types[0].shape:
        raise FunctransValueError(f"{name}: the time must be a scalar, got {describe(time)} at {here()}")
    for x, t in zip(leaves, types, strict=True):
        if not is_differentiable(t.dtype):
            raise FunctransTypeError(f"{name}: {describe(x)} is no floating value, at {here()}")

    def flat_fun(*inputs: Any) -> Any:
        given = tree_unflatten(tree, inputs)
        result = fun(given) if time is None else fun(*given)
        found, found_tree = tree_flatten(result)
        wanted_tree = tree if time is None else tree_structure(initial)
        if found_tree != wanted_tree:
            raise FunctransTypeError(
                f"{name}: the result of {function_name(fun)} must have the tree of the initial value, at {here()}\n"
                f"  initial value: {wanted_tree}\n  result: {found_tree}"
            )
        found, slopes = entering(found, named("the result of the right-hand side", result, f" of {name}"), _RESULT)
        for slope, wanted in zip(slopes, types[len(types) - len(found) :], strict=True):
            if slope.shape != wanted.shape or slope.dtype != wanted.dtype:
                kind = FunctransValueError if slope.shape != wanted.shape else FunctransTypeError
                raise kind(
                    f"{name}: {function_name(fun)} returned {slope} where the initial value is {wanted}, at "
                    f"{here()}"
                )
        return found if time is None else [1.0, *found]

    staged = stage(
        flat_fun, leaves, types, f"{name} of {function_name(fun)}", values=True,
        order=max(order, differentiation_order()), differentiated=[True] * len(leaves),
    )  # fmt: skip
    jaxpr, captured = staged.jaxpr, staged.captured

    def transformed(inputs: list[Any]) -> list[Any]:
        found = solution(jaxpr, inputs[: len(captured)], inputs[len(captured) :], order)
        results = []
        for own, type_ in zip(found, types, strict=True):
            for c in own:
                results.append(
                    zeros(type_.shape, type_) if c is None else convert(c, type_.dtype, type_.weak_type)
                )
        return results

    results = apply((name, order), jaxpr, [*captured, *leaves], transformed, name)
    rows = [results[i * order : (i + 1) * order] for i in range(len(leaves))]
    if time is not None:
        rows, leaves, tree = rows[1:], leaves[1:], tree_structure(initial)
    return [tree_unflatten(tree, leaves), *[tree_unflatten(tree, [own[k] for own in rows]) for k in range(order)]]


_RESULT = "Return arrays, numbers or pytrees of them."


def check_order(order: Any, name: str) -> None:
    """Raise unless an order of differentiation is a whole number, 0 or more."""
    if isinstance(order, bool) or not hasattr(order, "__index__"):
        raise FunctransTypeError(f"{name}: the order must be a whole number, got {describe(order)} at {here()}")
    if operator.index(order) < 0:
        raise FunctransValueError(f"{name}: the order must be 0 or more, got {order} at {here()}")


def coefficients_along(
    fun: Callable[..., Any], primals: Sequence[Any], series: Sequence[Sequence[Any]], name: str, plain: bool
) -> tuple[Any, list[Any]]:
    """``taylor`` and ``jet``; ``name``: what errors call it; ``plain``: coefficients are given and returned as they
    are, and not as derivatives."""
    check_callable(fun, name)
    for what, value in (("primals", primals), ("series", series)):
        if not isinstance(value, tuple | list):
            raise FunctransTypeError(
                f"{name}: {what} must be a tuple or list with an item for each argument, got {describe(value)} at "
                f"{here()}"
            )
    if len(primals) != len(series):
        raise FunctransTypeError(f"{name}: {len(primals)} primals and {len(series)} series were given, at {here()}")
    for i, own in enumerate(series):
        if not isinstance(own, tuple | list):
            raise FunctransTypeError(
                f"{name}: series {i} must be a tuple or list of coefficients, got {describe(own)} at {here()}"
            )
        if len(own) != len(series[0]):
            raise FunctransValueError(
                f"{name}: every series must have as many coefficients; series 0 has {len(series[0])}, series {i} has "
                f"{len(own)}, at {here()}\nPut None for a coefficient that is zero."
            )
    order = len(series[0]) if series else 0
    leaves, tree = tree_flatten(tuple(primals))
    leaves, types = entering(leaves, named("primals", primals, f" of {name}"))
    rows: list[list[Any]] = []  # by order: for each leaf, its coefficient; 0 and 1 as numbers, which programs know
    for k in range(order):
        row: list[Any] = []
        for x, own in zip(primals, series, strict=True):
            part, structure = tree_flatten(x)
            found, own_structure = ([_ZERO] * len(part), structure) if own[k] is None else tree_flatten(own[k])
            if own_structure != structure:
                raise FunctransTypeError(
                    f"{name}: coefficient {k + 1} must have the tree of its argument, at {here()}\n"
                    f"  the argument:    {structure}\n  the coefficient: {own_structure}"
                )
            row += found
        for i, (c, type_) in enumerate(zip(row, types, strict=True)):
            if c is _ZERO:
                continue
            if not check_tangent(name, f"order-{k + 1} coefficient", c, tangent_type(type_), i):
                row[i] = 0.0
            elif type(c) not in (int, float) or c not in (0, 1):
                row[i] = as_its_type(c, type_)
        rows.append(row)
    given = [c for row in rows for c in row if not _is_known(c)]
    pattern = tuple([tuple([float(c) if _is_known(c) else None for c in row]) for row in rows])

    def flat_fun(*inputs: Any) -> Any:
        return fun(*tree_unflatten(tree, inputs))

    varies = [any(c != 0 for c in column) for column in zip(*pattern, strict=True)] if order else [False] * len(leaves)
    staged = stage(
        flat_fun, leaves, types, f"{name} of {function_name(fun)}", values=True,
        order=max(order, differentiation_order()), differentiated=varies,
    )  # fmt: skip
    jaxpr, captured, out_tree, *_ = staged
    first, count = len(captured), len(captured) + len(leaves)
    steps = [t.dtype for t in (*types, *jaxpr.out_types) if is_differentiable(t.dtype)]
    unit = max([unit_of(order, dtype) for dtype in steps], default=1.0)

    def transformed(inputs: list[Any]) -> list[Any]:
        rest = iter(inputs[count:])
        by_order = [
            [_direction(known, t) if known is not None else next(rest) for known, t in zip(row, types, strict=True)]
            for row in pattern
        ]
        if not plain:
            by_order = [[_times(c, 1.0 / per_derivative(k, unit)) for c in row] for k, row in enumerate(by_order, 1)]
        columns = [[row[i] for row in by_order] for i in range(len(leaves))]
        outs, found = taylor_to_order(jaxpr, inputs[:count], [[None] * order] * first + columns)
        results = list(outs)
        for k in range(order):
            for own, a in zip(found, jaxpr.outputs, strict=True):
                type_ = a.type
                if is_differentiable(type_.dtype):
                    c = own[k] if own else None  # no argument has a leaf
                    c = c if plain else _times(c, per_derivative(k + 1, unit))
                    c = zeros(type_.shape, type_) if c is None else convert(c, type_.dtype, type_.weak_type)
                    results.append(c)
        return results

    def in_types() -> list[Any]:
        return [*jaxpr.in_types, *[t for row in pattern for t, known in zip(types, row, strict=True) if known is None]]

    results = apply((name, pattern), jaxpr, [*captured, *leaves, *given], transformed, name, in_types)
    outs, rest = results[: len(jaxpr.outputs)], iter(results[len(jaxpr.outputs) :])
    coefficients = [
        tree_unflatten(
            out_tree,
            [next(rest) if is_differentiable(t.dtype) else np.zeros(t.shape, float0) for t in jaxpr.out_types],
        )
        for _ in range(order)
    ]
    return tree_unflatten(out_tree, outs), coefficients


_ZERO = 0.0  # a coefficient that was not given


def _is_known(c: Any) -> bool:
    return type(c) in (int, float) and c in (0, 1)


def _direction(number: float, type: ArrayType) -> Any:
    """A coefficient that is 0 or 1."""
    if not number:
        return None
    return full(type.shape, 1, type.dtype) if type.shape else scalar_literal(1, type.dtype, type.weak_type)


def _times(c: Any, factor: float) -> Any:
    return c if c is None or factor == 1.0 else mul(c, factor)
