"""sparsity, sparse_jacobian, sparse_hessian: Jacobians of which the zeros are known, from a few products."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental.sparse import BCOO

from functrans.api.arguments import argument_numbers, check_argnums, check_callable, check_chunk_size
from functrans.api.jacobians import Options, Taken, listening_jacrev, taken
from functrans.api.planned import Make, symmetric
from functrans.api.staging import api_boundary, apply, tree_flatten, tree_unflatten
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import describe, type_of
from functrans.jacobians import compressed, reports, terms
from functrans.jacobians.evaluation import linear_program
from functrans.jacobians.patterns import Pattern
from functrans.jacobians.remembered import Made, coloured, detected
from functrans.jacobians.reports import note_plan
from functrans.jacobians.rows import CompressedRows
from functrans.trace.frames import here, named_as

_FORMATS = ("bcoo", "rows", "scipy")
_MODES = (None, "forward", "reverse", "both")


@api_boundary
def sparsity(
    fun: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., Pattern]:
    """Where the Jacobian of ``fun`` may have entries, at any value of the arguments ``argnums``.

    Args:
      fun: as for ``jacfwd``. Arrays that it closes over, and its other arguments, count with their values where these
        say what is connected (indices, masks, zeros of a matrix). It is traced without values.
      argnums: the arguments by which it is differentiated; any of their leaves may be ``ShapeDtypeStruct``.
      has_aux: as for ``jacfwd``.

    Returns:
      A function whose result is a pattern ``[all outputs, all inputs]``: the elements of all leaves, in the order of
      the trees. No entry is missing; ``pattern.assumed`` names the operations where more were assumed than are known.

    Raises:
      TypeError: what the function computes depends on values (``if x > 0``), and so would the pattern; a
        ``ShapeDtypeStruct`` in another argument.
      NotLinearError: a derivative rule is not known to be linear, so that what depends on what is not known.

    >>> import numpy as np, functrans as ft
    >>> ft.sparsity(lambda x: x[1:] * x[:-1])(np.zeros(3, np.float32)).columns.tolist()
    [0, 1, 1, 2]
    """
    check_callable(fun, "sparsity")
    options = Options(argnums, has_aux)
    argument_numbers(argnums, "sparsity")

    @functools.partial(named_as, fun)
    @api_boundary
    def pattern(*args: Any, **kwargs: Any) -> Pattern:
        chosen = check_argnums(argument_numbers(argnums, "sparsity"), args, "sparsity", fun)
        args = tuple([_with_values(x) if i in chosen else _valued(x, i) for i, x in enumerate(args)])
        call = taken(fun, options, args, kwargs, "sparsity", "jacfwd", values=False)
        return detected(call.jaxpr, call.wrt, call.first, _given(call))[0].pattern

    return pattern


def _with_values(tree: Any) -> Any:
    """Zeros, which take no memory, in the places of types."""
    leaves, structure = tree_flatten(tree)
    filled = [
        np.broadcast_to(np.zeros((), x.dtype), x.shape) if isinstance(x, jax.ShapeDtypeStruct) else x for x in leaves
    ]
    return tree_unflatten(structure, filled)


def _valued(tree: Any, i: int) -> Any:
    if any(isinstance(x, jax.ShapeDtypeStruct) for x in tree_flatten(tree)[0]):
        raise FunctransTypeError(
            f"sparsity: argument {i} holds a ShapeDtypeStruct, and it is not one of argnums, at {here()}\n"
            "Its values may say what is connected (indices, masks, zeros): pass an array."
        )
    return tree


def _given(call: Taken) -> list[Any]:
    return [*call.captured, *[None] * len(call.leaves)]


@api_boundary
def sparse_jacobian(
    fun: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    *,
    format: str = "bcoo",
    mode: str | None = None,
    pattern: Pattern | None = None,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """The entries of the Jacobian of ``fun`` from few products: its pattern is detected, and coloured so that columns
    that share no row are pushed forward together, and rows that share no column pulled back together. Or entry by
    entry, where that takes fewer operations: where few inputs make each value, and what moves is known.

    Detection and colouring happen while tracing: at the first un-jitted call with a program, and once for all calls
    under ``jit``.

    Args:
      fun: a function of arrays or pytrees of them, real.
      argnums: the arguments by which it is differentiated.
      has_aux: ``fun`` returns a pair, whose second part is handed on.
      format: 'bcoo': a ``jax.experimental.sparse.BCOO``; 'rows': ``CompressedRows``, the entries row by row with their
        pattern, which costs least; 'scipy': a ``scipy.sparse.csr_array``, outside of traces.
      mode: 'forward': colour columns; 'reverse': rows; 'both': some of each (an arrow needs three passes); None: the
        fewest operations, entry by entry, too (``explain`` says which).
      pattern: where there may be entries, if it is known better than it can be detected; entries elsewhere give wrong
        results. None: it is detected.
      chunk_size: the most directions at a time, None: all.

    Returns:
      A function whose result is a matrix ``[all outputs, all inputs]``, of the elements of all leaves in the order of
      the trees (with has_aux: a pair of it and what was handed on).

    Raises:
      TypeError, ValueError: of an unknown format or mode, or a pattern of another shape.
      NotLinearError: a derivative rule in ``fun`` is not known to be linear, so that sums of directions say nothing.

    >>> import numpy as np, functrans as ft
    >>> J = ft.sparse_jacobian(lambda x: x[1:] * x[:-1])(np.array([1.0, 2.0, 3.0], np.float32))
    >>> J.data.tolist(), J.indices.tolist()
    ([2.0, 1.0, 3.0, 2.0], [[0, 0], [0, 1], [1, 1], [1, 2]])
    """
    check_callable(fun, "sparse_jacobian")
    options = Options(argnums, has_aux)
    return _sparse(lambda listen: fun, fun, options, format, mode, pattern, chunk_size, "sparse_jacobian")


@api_boundary
def sparse_hessian(
    fun: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    *,
    format: str = "bcoo",
    pattern: Pattern | None = None,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """The entries of the Hessian of a scalar function from few Hessian-vector products, by a star colouring of its
    pattern, which uses that it is symmetric. Args, result and errors are those of ``sparse_jacobian``.

    >>> import numpy as np, functrans as ft
    >>> f = lambda x: ft.numpy.sum(x[1:] * x[:-1] ** 2)
    >>> ft.sparse_hessian(f, format="scipy")(np.array([1.0, 2.0, 3.0], np.float32)).toarray().tolist()
    [[4.0, 2.0, 0.0], [2.0, 6.0, 4.0], [0.0, 4.0, 0.0]]
    """
    check_callable(fun, "sparse_hessian")
    options = Options(argnums, has_aux)
    make = lambda listen: listening_jacrev(fun, options, listen)
    return _sparse(make, fun, options, format, None, pattern, chunk_size, "sparse_hessian")


def _sparse(
    make: Make, fun: Callable[..., Any], options: Options, format: Any, mode: Any, pattern: Any, chunk_size: Any,
    what: str,
) -> Callable[..., Any]:  # fmt: skip
    argument_numbers(options.argnums, what)
    chunk = check_chunk_size(chunk_size, what)
    for name, given, allowed in (("format", format, _FORMATS), ("mode", mode, _MODES)):
        if given not in allowed:
            raise FunctransValueError(f"{what}: {name} must be one of {allowed}, got {given!r} at {here()}")
    if pattern is not None and not isinstance(pattern, Pattern):
        raise FunctransTypeError(f"{what}: pattern must be a Pattern or None, got {describe(pattern)} at {here()}")

    @functools.partial(named_as, fun)
    @api_boundary
    def jacobian(*args: Any, **kwargs: Any) -> Any:
        inner: list[Taken] = []
        call = taken(make(inner.append), options, args, kwargs, what, "jacrev")
        if inner and any(t.shape for t in inner[0].outs):
            shapes = ", ".join(map(str, inner[0].outs))
            raise FunctransTypeError(f"{what} needs a function with a scalar result, got {shapes} at {here()}")
        shape = (sum(t.size for t in call.outs), sum(t.size for t in call.ins))
        if pattern is not None and pattern.shape != shape:
            raise FunctransValueError(f"{what}: the matrix has shape {shape}, the pattern {pattern.shape}, at {here()}")
        even = symmetric(inner, options)
        made = coloured(call.jaxpr, call.wrt, call.first, _given(call), even, mode, pattern, chunk, what)
        note_plan(what, made.plan, None)
        *outs, data = _entries(call, made, what)
        matrix = _matrix(data, made, format)
        return (matrix, call.outputs(outs)[1]) if options.has_aux else matrix

    return jacobian


def _entries(call: Taken, made: Made, what: str) -> list[Any]:
    """The outputs, and the entries."""
    count, wrt, first = len(call.jaxpr.inputs), call.wrt, call.first
    plan = made.plan

    def transformed(inputs: list[Any]) -> list[Any]:
        outs, linear = linear_program(call.jaxpr, inputs[:count], wrt, first, made.read())
        if plan.sums is not None:
            return [*outs, terms.entries(plan.sums, linear, inputs[count:])]
        source = inputs[count]
        return [*outs, compressed.entries(linear, call.ins, call.outs, plan.colouring, source, plan.chosen.chunk)]

    arrays = made.arrays if plan.sums is not None else made.arrays[:1]
    in_types = lambda: [*call.jaxpr.in_types, *map(type_of, arrays)]
    values = [*call.captured, *call.leaves, *arrays]
    return apply((what, wrt, first, made), call.jaxpr, values, transformed, what, in_types)


def _matrix(data: Any, made: Made, format: str) -> Any:
    pattern = made.plan.pattern
    if format == "bcoo":
        return BCOO((data, made.coordinates()), shape=pattern.shape, indices_sorted=True, unique_indices=True)
    rows = CompressedRows(data, pattern)
    return rows if format == "rows" or reports.current() is not None else rows.to_scipy()
