"""Differential operators of functions of arrays, by collapsed Taylor mode: the sum over lines of their derivatives.

A linear combination of partial derivatives of one order K is a weighted sum of K-th derivatives along straight lines,
and that sum is carried through the function as one value (derivatives.collapsed).
"""

from __future__ import annotations

import functools
import itertools
import math
import numbers
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from functrans import numpy as fnp
from functrans.api.arguments import check_callable, differentiation_order
from functrans.api.jacobians import jacfwd
from functrans.api.staging import api_boundary, apply, stage, tree_flatten, tree_unflatten
from functrans.api.taylor import check_order, coefficients_along
from functrans.derivatives.blocks import INDEX, Blocks, is_known_kind, narrowed
from functrans.derivatives.collapsed import EVERYWHERE, collapse, rows_carried
from functrans.derivatives.spreads import Lines
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.program import Jaxpr
from functrans.ir.types import ArrayType, describe, kind_of, type_of
from functrans.jacobians.basis import coloured, standard_arrays, written_out
from functrans.ops.elementwise import mul
from functrans.ops.structural import Reshape, convert, zeros
from functrans.trace.effects import without_effects
from functrans.trace.frames import function_name, here, named_as
from functrans.trace.leaves import entering, named
from functrans.trace.tracer import Tracer
from functrans.transform.taylor import per_derivative, unit_of


class Part(NamedTuple):
    """``sum_i weights[i] * (d/ds)^order f(x + s directions[i])``: directions ``[n, size of x]`` (None: the standard
    basis), weights ``[n]`` (None: ones); they may be traced values."""

    order: int
    directions: Any
    weights: Any


@api_boundary
def laplacian(fun: Callable[..., Any]) -> Callable[..., Any]:
    """The Laplacian of ``fun``: the sum of its second derivatives by each element of its first argument.

    One pass carries the value, the gradient's directions and the Laplacian together ("forward Laplacian"): no Hessian,
    and no second derivative but the sum.

    Args:
      fun: a function with a floating scalar result ``[]`` whose first argument is a pytree of real arrays of one dtype.

    Returns:
      A function of the same arguments; its result is a scalar ``[]``.

    Raises:
      TypeError: the argument is integer or complex, or the result no real scalar.

    >>> import numpy as np
    >>> from functrans.derivatives import laplacian
    >>> float(laplacian(lambda x: (x**4).sum())(np.array([1.0, 2.0], np.float32)))
    60.0
    """
    return operator_on(fun, "laplacian", lambda n: [Part(2, None, None)])


@api_boundary
def biharmonic(fun: Callable[..., Any]) -> Callable[..., Any]:
    """The Laplacian of the Laplacian of ``fun``; arguments, result and errors as for ``laplacian``.

    Fourth derivatives along few lines: the points of a design on the sphere in one to three dimensions, ``n^2`` sums
    and differences of coordinates in n.

    >>> import numpy as np
    >>> from functrans.derivatives import biharmonic
    >>> float(biharmonic(lambda x: (x**4).sum())(np.array([1.0, 2.0], np.float32)))
    48.0
    """
    return operator_on(fun, "biharmonic", _biharmonic_parts)


def _biharmonic_parts(n: int) -> list[Part]:
    if n == 1:
        return [Part(4, np.ones((1, 1)), None)]
    if n == 2:  # three lines at sixty degrees: the mean of (v . grad)^4 over them is that over the circle
        angles = np.arange(3) * math.pi / 3
        return [Part(4, np.stack([np.cos(angles), np.sin(angles)], 1), np.full(3, 8 / 9))]
    if n == 3:  # the six axes of an icosahedron, and over the sphere
        golden = (1 + math.sqrt(5)) / 2
        axes = np.array([np.roll([0, 1, sign * golden], k) for k in range(3) for sign in (1, -1)])
        return [Part(4, axes / math.sqrt(1 + golden * golden), np.full(6, 5 / 6))]
    unit = np.eye(n)
    pairs = [unit[[i]] + sign * unit[[j]] for i, j in itertools.combinations(range(n), 2) for sign in (1, -1)]
    weights = [*[1 - (n - 1) / 3] * n, *[1 / 6] * len(pairs)]
    return [Part(4, np.concatenate([unit, *pairs]), np.array(weights))]


@api_boundary
def differential_operator(coefficients: Mapping[Sequence[int], Any]) -> Callable[..., Any]:
    """A linear differential operator, from its mixed partial derivatives.

    Args:
      coefficients: ``{(a_1, ..., a_n): c}`` for ``sum c d^(a_1 + ... + a_n) / dx_1^a_1 ... dx_n^a_n``; n is the number
        of elements of the first argument of the functions that it is applied to. Each c is a real number or a traced
        scalar: a parameter, by which the result can be differentiated, or a function of the point at hand.

    Returns:
      The operator: it takes a function, as ``laplacian`` does, and returns one.

    Raises:
      ValueError: an exponent is negative, or the keys differ in length.

    Source: Griewank, Utke and Walther, "Evaluating Higher Derivative Tensors by Forward Propagation of Univariate
    Taylor Series", Mathematics of Computation 69, 2000.

    >>> import numpy as np
    >>> from functrans.derivatives import differential_operator
    >>> wave = differential_operator({(2, 0): 1.0, (0, 2): -4.0})
    >>> u = lambda x: x[0] ** 2 * x[1] ** 2
    >>> float(wave(u)(np.array([1.0, 3.0], np.float32)))
    10.0
    >>> import functrans as ft
    >>> waves = lambda c, x: differential_operator({(2, 0): 1.0, (0, 2): -(c**2)})(u)(x)
    >>> float(ft.grad(waves)(2.0, np.array([1.0, 3.0], np.float32)))  # -2 c times 2 x_0^2
    -8.0
    """
    name = "differential_operator"
    terms, size = terms_by_order(coefficients, name)
    parts = [lines_of(order, own, size) for order, own in terms.items()]

    @api_boundary
    def operator(fun: Callable[..., Any]) -> Callable[..., Any]:
        return operator_on(fun, name, lambda n: of_size(parts, size, n, name))

    return operator


def of_size(parts: list[Part], size: int, n: int, name: str) -> list[Part]:
    if n != size:
        raise FunctransValueError(
            f"{name}: the operator has {size} variables and the argument has {n} elements, at {here()}"
        )
    return parts


Terms = dict[tuple[int, ...], Any]  # numbers and traced scalars


def terms_by_order(
    coefficients: Mapping[Any, Any], name: str, numbers_only: bool = False
) -> tuple[dict[int, Terms], int]:
    """The terms of an operator by their order, and its number of variables."""
    if not isinstance(coefficients, Mapping) or not coefficients:
        raise FunctransTypeError(
            f"{name} needs a dictionary {{(exponent of each variable): coefficient}}, got "
            f"{describe(coefficients)} at {here()}"
        )
    by_order: dict[int, Terms] = {}
    sizes = set()
    for key, c in coefficients.items():
        if not isinstance(key, tuple) or not all(hasattr(a, "__index__") and not isinstance(a, bool) for a in key):
            raise FunctransTypeError(
                f"{name}: a key must be a tuple of whole numbers, got {key!r} at {here()}"
            )
        if any(a < 0 for a in key):
            raise FunctransValueError(f"{name}: exponents must be 0 or more, got {key} at {here()}")
        if not isinstance(c, numbers.Real) and not (hasattr(c, "dtype") and c.shape == () and c.dtype.kind in "iufV"):
            raise FunctransTypeError(
                f"{name}: a coefficient must be a real number, got {describe(c)} at {here()}"
            )
        traced = isinstance(c, jax.core.Tracer)
        if traced and numbers_only:
            raise FunctransTypeError(
                f"{name}: a coefficient must be a number, by which terms are drawn, got {describe(c)} for {key} at "
                f"{here()}\nUse differential_operator, which takes every term."
            )
        if not traced and not math.isfinite(c):
            raise FunctransValueError(f"{name}: a coefficient must be finite, got {c} for {key} at {here()}")
        sizes.add(len(key))
        by_order.setdefault(sum(key), {})[key] = c if traced else float(c)
    if len(sizes) != 1:
        raise FunctransValueError(
            f"{name}: every key must have one exponent for each variable, got lengths {sorted(sizes)} at {here()}"
        )
    (size,) = sizes
    return dict(sorted(by_order.items())), size


def lines_of(order: int, coefficients: Terms, size: int) -> Part:
    """Lines along which the derivatives of this order make up the operator: (v . grad)^K = sum K! / a! v^a d^a.

    The lines are the points of the lattice of the simplex that leave out what a partial derivative leaves out: there
    are as many as derivatives, and the interpolation has one solution.
    """
    factors = list(coefficients.values())
    traced = any(isinstance(c, jax.core.Tracer) for c in factors)
    if order == 0:
        return Part(0, np.zeros((1, size)), fnp.stack(factors) if traced else np.array(factors))
    supports = {frozenset(i for i, a in enumerate(key) if a) for key in coefficients}
    points = {
        tuple(int(np.count_nonzero(np.array(choice) == i)) for i in range(size))
        for support in supports
        for choice in itertools.combinations_with_replacement(sorted(support), order)
    }
    exponents = np.array(sorted(points))
    counts = [math.factorial(order) / math.prod(map(math.factorial, a)) for a in exponents.tolist()]
    table = np.array(counts)[:, None] * np.prod(exponents[None, :, :] ** exponents[:, None, :], axis=2)
    places = [exponents.tolist().index(list(key)) for key in coefficients]
    each = np.linalg.solve(table, np.eye(len(exponents))[:, places])  # the weights of each term
    sums = each if traced else each @ np.array(factors)[:, None]
    sizes = np.abs(sums).max(1)
    needed = sizes > 1e-13 * np.max(sizes, initial=0.0)
    size_of_one = 2.0 ** round(math.log2(order))  # directions near 1, without rounding: no coefficient overflows
    weights = sums[needed] * size_of_one**order
    return Part(order, exponents[needed] / size_of_one, weights @ fnp.stack(factors) if traced else weights[:, 0])


@api_boundary
def directional(fun: Callable[..., Any], direction: Any, order: int = 1) -> Callable[..., Any]:
    """The derivative of this order of ``fun`` along a direction: of ``fun(x + s direction)`` by s at 0.

    Args:
      fun: a function of any result. direction: a pytree like its first argument. order: 0 or more.

    Returns:
      A function of the same arguments; its result is one like that of ``fun``.

    Raises:
      TypeError, ValueError: the direction is not like the argument; the order is negative.

    >>> from functrans.derivatives import directional
    >>> float(directional(lambda x: x**3, 1.0, 2)(2.0))
    12.0
    """
    check_callable(fun, "directional")
    check_order(order, "directional")

    @functools.partial(named_as, fun)
    @api_boundary
    def derivative(x: Any, *args: Any, **kwargs: Any) -> Any:
        series = [direction, *[None] * (order - 1)][:order]
        value, found = coefficients_along(lambda x: fun(x, *args, **kwargs), (x,), (series,), "directional", False)
        return found[-1] if order else value

    return derivative


@api_boundary
def divergence(fun: Callable[..., Any]) -> Callable[..., Any]:
    """The divergence of a vector field: the trace of its Jacobian.

    Args:
      fun: a function whose first argument is a pytree of real arrays, and whose result has the same tree and shapes.

    Returns:
      A function of the same arguments; its result is a scalar ``[]``.

    Raises:
      TypeError, ValueError: the result is not like the argument.

    >>> import numpy as np
    >>> from functrans.derivatives import divergence
    >>> float(divergence(lambda x: x**2)(np.array([1.0, 2.0], np.float32)))
    6.0
    """
    check_callable(fun, "divergence")

    @functools.partial(named_as, fun)
    @api_boundary
    def trace_of_jacobian(x: Any, *args: Any, **kwargs: Any) -> Any:
        columns, types = _jacobian_columns(fun, x, args, kwargs, "divergence")
        total: Any = 0.0
        for i, type_ in enumerate(types):
            block = columns[i][i].reshape((type_.size, type_.size))
            total = total + block.diagonal().sum()
        return total

    return trace_of_jacobian


@api_boundary
def curl(fun: Callable[..., Any]) -> Callable[..., Any]:
    """The curl of a vector field: ``[3]`` in space, a scalar ``[]`` in the plane.

    Args:
      fun: a function of an array ``[3]`` (or ``[2]``) first, whose result has the same shape.

    Raises:
      TypeError, ValueError: argument or result is no such array.

    >>> import numpy as np
    >>> from functrans.derivatives import curl
    >>> curl(lambda x: x[np.array([1, 2, 0])])(np.ones(3, np.float32)).tolist()
    [-1.0, -1.0, -1.0]
    """
    check_callable(fun, "curl")

    @functools.partial(named_as, fun)
    @api_boundary
    def rotation(x: Any, *args: Any, **kwargs: Any) -> Any:
        columns, types = _jacobian_columns(fun, x, args, kwargs, "curl")
        if len(types) != 1 or types[0].shape not in ((2,), (3,)):
            shapes = ", ".join(str(t.shape) for t in types)
            raise FunctransValueError(f"curl: the argument must be one array [2] or [3], got {shapes} at {here()}")
        j = columns[0][0]
        if types[0].shape == (2,):
            return j[1, 0] - j[0, 1]
        after, before = np.array([1, 2, 0]), np.array([2, 0, 1])
        return j[before, after] - j[after, before]

    return rotation


def _jacobian_columns(
    fun: Callable[..., Any], x: Any, args: Any, kwargs: Any, name: str
) -> tuple[list[list[Any]], list[ArrayType]]:
    """``[result leaf][argument leaf]``: blocks of the Jacobian of a field, and the types of the argument's leaves."""
    leaves, tree = tree_flatten(x)
    leaves, types = _real_argument(leaves, x, name)

    def field(*inputs: Any) -> list[Any]:
        found, found_tree = tree_flatten(fun(tree_unflatten(tree, inputs), *args, **kwargs))
        if found_tree != tree:
            raise FunctransTypeError(
                f"{name}: the result of {function_name(fun)} must have the tree of its argument, at {here()}\n"
                f"  argument: {tree}\n  result:   {found_tree}"
            )
        for y, t in zip(found, types, strict=True):
            if type_of(y).shape != t.shape:
                raise FunctransValueError(
                    f"{name}: the result of {function_name(fun)} must have the shapes of its argument, got "
                    f"{type_of(y).shape} for {t.shape} at {here()}"
                )
        return list(found)

    columns: list[list[Any]] = jacfwd(field, tuple(range(len(leaves))))(*leaves)
    return columns, types


# -- by lines --------------------------------------------------------------------------------------------------------


def _real_argument(leaves: Sequence[Any], x: Any, name: str) -> tuple[list[Any], list[ArrayType]]:
    leaves, types = entering(list(leaves), named("the argument", x))
    for given, t in zip(leaves, types, strict=True):
        if kind_of(t.dtype) != "f":
            raise FunctransTypeError(
                f"{name} needs real floating arguments, got {describe(given)} at {here()}\n"
                "Convert integers with .astype(float); of a complex argument give the real and the imaginary part."
            )
    return leaves, types


def operator_on(fun: Callable[..., Any], name: str, parts_for: Callable[[int], Sequence[Part]]) -> Callable[..., Any]:
    """The operator made of these parts, which are known when the number of elements of the argument is."""
    check_callable(fun, name)

    @functools.partial(named_as, fun)
    @api_boundary
    def applied(x: Any, *args: Any, **kwargs: Any) -> Any:
        return _along_lines(fun, name, parts_for, x, args, kwargs)

    return applied


def _along_lines(
    fun: Callable[..., Any],
    name: str,
    parts_for: Callable[[int], Sequence[Part]],
    x: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """The sum of the parts, of ``fun(x, *args, **kwargs)``."""
    leaves, tree = tree_flatten(x)
    leaves, types = _real_argument(leaves, x, name)
    parts = parts_for(sum(t.size for t in types))
    highest = max(part.order for part in parts)

    def flat_fun(*inputs: Any) -> Any:
        result = fun(tree_unflatten(tree, inputs), *args, **kwargs)
        found = type_of(result) if not isinstance(result, tuple | list | dict | type(None)) else None
        if found is None or found.shape or kind_of(found.dtype) != "f":
            raise FunctransTypeError(
                f"{name}: the result of {function_name(fun)} must be a real floating scalar, got {describe(result)} at "
                f"{here()}\nApply the operator to each component of a field, or use vmap over points."
            )
        return result

    staged = stage(
        flat_fun, leaves, types, f"{name} of {function_name(fun)}", values=True,
        order=max(highest, differentiation_order()), differentiated=[True] * len(leaves),
    )  # fmt: skip
    jaxpr, captured = staged.jaxpr, staged.captured
    arrays, shape = [], []
    dtype = np.result_type(np.float32, *[t.dtype for t in types if t.dtype.itemsize > 2])
    for part in parts:
        given = [a for a in (part.directions, part.weights) if a is not None]
        arrays += [np.asarray(a, dtype) if isinstance(a, np.ndarray) else a for a in given]
        shape.append((part.order, part.directions is not None, part.weights is not None))
    kinds = [type_of(a) for a in arrays]
    known = {
        v: np.array(x)  # the caller may write to it
        for v, x in zip(jaxpr.inputs, captured, strict=False) if is_known_kind(v.type) and type(x) is not Tracer
    }  # fmt: skip

    def transformed(inputs: list[Any]) -> list[Any]:
        first = len(captured)
        rest = iter(inputs[first + len(leaves) :])
        total = None
        (out,) = jaxpr.outputs
        for i, (order, directed, weighted) in enumerate(shape):
            rows, weights = next(rest) if directed else None, next(rest) if weighted else None
            program = without_effects(jaxpr) if i else jaxpr  # they happen once
            found = _part_of(program, inputs[: first + len(leaves)], types, order, rows, weights, known)
            if found is not None:
                total = found if total is None else total + found
        return [zeros((), out.type) if total is None else convert(total, out.type.dtype, out.type.weak_type)]

    def in_types() -> list[ArrayType]:
        return [*jaxpr.in_types, *kinds]

    key = (name, tuple(shape), tuple(kinds), tuple([(v.id, x.tobytes()) for v, x in known.items()]))
    (result,) = apply(key, jaxpr, [*captured, *leaves, *arrays], transformed, name, in_types)
    return result


def _part_of(
    jaxpr: Jaxpr, inputs: Sequence[Any], types: Sequence[ArrayType], order: int, rows: Any, weights: Any,
    known: Mapping[Any, Any],
) -> Any:  # fmt: skip
    """One part; None where it is zero."""
    first = len(inputs) - len(types)
    if order == 0:
        (value,) = collapse(jaxpr, inputs, [None] * len(inputs), Lines(0, 1, None))[0]
        return mul(value, weights[0].astype(value.dtype))
    unit = 1.0
    blocks: list[Blocks | None] = [None] * len(types)
    if rows is None:
        own, blocks, lines = _basis(jaxpr, types, order, known)
    else:
        unit = max([unit_of(order, t.dtype) for t in types], default=1.0)
        rows = rows if unit == 1.0 else mul(rows, unit)
        own, lines = [], Lines(rows.shape[0], order, weights)
        place = 0
        for t in types:
            own.append(rows[:, place : place + t.size].astype(t.dtype).reshape((rows.shape[0], *t.shape)))
            place += t.size
    _, (top,) = collapse(jaxpr, inputs, [*[None] * first, *own], lines, [*[None] * first, *blocks], known)
    return None if top is None else mul(top, per_derivative(order, unit))


def _basis(
    jaxpr: Jaxpr, types: Sequence[ArrayType], order: int, known: Mapping[Any, Any]
) -> tuple[list[Any], list[Blocks | None], Lines]:
    """The standard basis as directions. Where elements of values move on few of them, in blocks: those of one block for
    all at once."""
    size = sum(t.size for t in types)
    everywhere = Lines(size, order, None)
    first = len(jaxpr.inputs) - len(types)
    if order > 1 and all(t.size for t in types):
        moves: list[Blocks | None] = [EVERYWHERE] * len(types)
        chosen, least = None, size * size + rows_carried(jaxpr, [*[None] * first, *moves], everywhere, known)
        for blocks in _partitions(jaxpr, types):
            lines = everywhere._replace(in_block=size // (1 + max(int(b.max()) for b in blocks)))
            moves = [narrowed(b[None]) for b in blocks]
            carried = rows_carried(jaxpr, [*[None] * first, *moves], lines, known)
            if carried < least:
                chosen, least = (blocks, moves, lines), carried
        if chosen is not None:
            blocks, moves, lines = chosen
            own = coloured(types, _places_in_blocks(blocks))
            return [written_out(seeds, lines.in_block) for seeds in own], moves, lines
    return standard_arrays(types), [None] * len(types), everywhere


def _partitions(jaxpr: Jaxpr, types: Sequence[ArrayType]) -> Iterator[list[Any]]:
    """Ways to part the elements of the arguments into blocks of one size: for each array the numbers of the blocks."""
    sizes = [t.size for t in types]
    if len(types) == 1:
        (type_,) = types
        shapes = [type_.shape]
        for eqn in jaxpr.equations:  # an array that is many vectors, given as one
            if type(eqn.op) is Reshape and eqn.inputs[0] is jaxpr.inputs[-1]:
                shapes.append(eqn.op.shape)
        for shape in dict.fromkeys(shapes):
            for a, n in enumerate(shape):
                if 1 < n < type_.size:
                    along = np.arange(n, dtype=INDEX).reshape([n if i == a else 1 for i in range(len(shape))])
                    yield [np.broadcast_to(along, shape).reshape(type_.shape)]
    elif all(t.ndim for t in types) and len({t.size // max(t.shape[0], 1) for t in types}) == 1:
        starts = np.cumsum([0, *[t.shape[0] for t in types]])
        yield [
            np.broadcast_to(np.arange(i, i + t.shape[0], dtype=INDEX).reshape(-1, *[1] * (t.ndim - 1)), t.shape)
            for i, t in zip(starts, types)
        ]
    if sum(sizes) > 1:
        starts = np.cumsum([0, *sizes])
        yield [np.arange(i, i + t.size, dtype=INDEX).reshape(t.shape) for i, t in zip(starts, types)]


def _places_in_blocks(blocks: Sequence[Any]) -> Any:
    """For each element, one array after the other, how many of its block stand before it."""
    flat = np.concatenate([b.ravel() for b in blocks])
    order = np.argsort(flat, kind="stable")
    places = np.empty(flat.size, INDEX)
    places[order] = np.arange(flat.size) - np.searchsorted(flat[order], flat[order])
    return places
