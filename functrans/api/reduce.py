"""``reduce``: elements along some axes combined by the user's function.

A function that turns out to be a known monoid (one equation: add, mul, max, min, and, or, xor) becomes that reduction.
Any other is applied to neighbours until one element is left: a logarithmic number of steps, each vectorized, in the
order of the elements, so the function need not commute. What is emitted is the function itself under vmap, so every
transform works on it without a rule, and it may close over traced values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from functrans.api.bodies import Body, check_same_results, converted, operand_types, rebuild, trace_body, typed_leaves
from functrans.control.call import Call
from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import ArrayType, array_type, describe, type_of
from functrans.ops.arithmetic import Max, Min
from functrans.ops.elementwise import Add, Mul
from functrans.ops.logic import And, Or, Xor
from functrans.ops.reductions import (
    ReduceAnd,
    ReduceMax,
    ReduceMin,
    ReduceOr,
    ReduceProd,
    ReduceXor,
    reduce_and,
    reduce_max,
    reduce_min,
    reduce_or,
    reduce_prod,
    reduce_xor,
)
from functrans.ops.slicing import concatenate, slice_in_dim
from functrans.ops.structural import broadcast_in_dim, convert, reduce_sum, reshape, transpose
from functrans.trace.binding import bind_all
from functrans.trace.frames import api_boundary, function_name, here
from functrans.trace.keywords import refuse
from functrans.trace.primitive import Lanes
from functrans.trace.replay import replay
from functrans.trace.state import current_builder
from functrans.trace.tracer import Tracer
from functrans.transform.vmap import vmap

_MONOIDS: dict[Any, tuple[Callable[..., Any], Callable[[Any], Any]]] = {
    Add: (reduce_sum, lambda dtype: 0),
    Mul: (reduce_prod, ReduceProd(()).neutral),
    Max: (reduce_max, ReduceMax(()).neutral),
    Min: (reduce_min, ReduceMin(()).neutral),
    And: (reduce_and, ReduceAnd(()).neutral),
    Or: (reduce_or, ReduceOr(()).neutral),
    Xor: (reduce_xor, ReduceXor(()).neutral),
}


@api_boundary
def reduce(
    operands: Any,
    init_values: Any,
    computation: Callable[[Any, Any], Any],
    dimensions: Sequence[int],
    out_sharding: None = None,
) -> Any:
    """Combine the elements of arrays along ``dimensions`` with a function of two elements.

    Args:
      operands: a pytree of arrays of one shape.
      init_values: a pytree of scalars like ``operands``: the value that changes nothing. It is combined with the rest
        once.
      computation: ``computation(a, b)`` of two pytrees of scalars like ``init_values``; associative. It may close over
        traced values.
      dimensions: the axes that go.
      out_sharding: must be None.

    Returns:
      A pytree like ``operands`` without the axes ``dimensions``.

    Raises:
      TypeError: trees, dtypes or the results of ``computation`` do not fit. ValueError: shapes do not.

    >>> import functrans as ft, numpy as np
    >>> x = np.array([[1.0, 5.0], [2.0, 3.0]], 'float32')
    >>> ft.lax.reduce(x, np.float32(0), lambda a, b: a * a + b, (0, 1)).shape
    ()
    >>> [float(y) for y in ft.lax.reduce(x, np.float32(0), ft.lax.add, (0,))]
    [3.0, 8.0]
    """
    if not callable(computation):
        raise FunctransTypeError(
            f"reduce needs a function as its third argument, got {describe(computation)} at {here()}\n"
            "Write reduce(operands, init_values, computation, dimensions)."
        )
    refuse("reduce", out_sharding=out_sharding)
    leaves, tree, types = operand_types("operands of reduce", operands)
    starts, start_tree, start_types = operand_types("init_values of reduce", init_values)
    _check_operands(tree, types, start_tree, start_types)
    if not leaves:
        return operands
    axes = _axes(types[0].shape, dimensions)
    scalars = [array_type((), t.dtype, t.weak_type and s.weak_type) for t, s in zip(types, start_types, strict=True)]
    starts = [converted(s, type_of(s), t) for s, t in zip(starts, scalars, strict=True)]
    name = function_name(computation)
    count = len(leaves)

    def arguments(inputs: Sequence[Any]) -> tuple[Any, Any]:
        return rebuild(tree, inputs[:count]), rebuild(tree, inputs[count:])

    body = trace_body(computation, [*scalars, *scalars], arguments, f"the function of reduce ({name})")
    check_same_results(
        "reduce", "its arguments", typed_leaves(operands, scalars), tree,
        f"the result of the function ({name})", body.leaves, body.tree, "the function must return what it takes",
    )  # fmt: skip

    monoid = _monoid(body, scalars)
    if monoid is not None and _is_neutral(starts[0], monoid[1](scalars[0].dtype)):
        return rebuild(tree, [convert(monoid[0](leaves[0], axes), scalars[0].dtype, scalars[0].weak_type)])

    def whole(*inputs: Any) -> list[Any]:
        if monoid is None:
            return _reduced(body, inputs[:count], inputs[count:], axes, scalars)
        total = monoid[0](inputs[0], axes) if axes else inputs[0]
        size = math.prod(total.shape)
        return _combined(body, [broadcast_in_dim(inputs[1], total.shape)], [total], size, total.shape, scalars)

    if current_builder() is not None:
        return rebuild(tree, whole(*leaves, *starts))
    # At top level: one program instead of one for each step.
    program = trace_body(whole, [*types, *scalars], lambda inputs: inputs, f"reduce ({name})")
    return rebuild(tree, bind_all(Call(program.jaxpr, "reduce"), [*program.captured, *leaves, *starts]))


def _check_operands(tree: Any, types: Sequence[ArrayType], start_tree: Any, start_types: Sequence[ArrayType]) -> None:
    if tree != start_tree:
        raise FunctransTypeError(
            f"reduce: operands and init_values must have one tree, at {here()}\n  operands: {tree}\n  init_values: "
            f"{start_tree}"
        )
    for t, s in zip(types, start_types, strict=True):
        if s.shape:
            raise FunctransValueError(
                f"reduce: init_values must be scalars, got {s} at {here()}\n"
                "An init value is combined with every result; to start from an array, combine it with the result."
            )
        if t.shape != types[0].shape:
            raise FunctransValueError(
                f"reduce: operands must have one shape, got {', '.join(map(str, types))} at {here()}"
            )
        if t.dtype != s.dtype and not s.weak_type:
            raise FunctransTypeError(
                f"reduce: an operand of type {t} has an init value of type {s}, at {here()}\n"
                f"Write the init value as np.{t.dtype.name}(...)."
            )


def _axes(shape: Sequence[int], dimensions: Sequence[int]) -> tuple[int, ...]:
    ndim = len(shape)
    for d in dimensions:
        if not -ndim <= d < ndim:
            raise FunctransValueError(
                f"reduce: dimensions={tuple(dimensions)} names axis {d}, and the operands have shape {tuple(shape)}, "
                f"at {here()}"
            )
    axes = tuple([d % ndim for d in dimensions])
    if len(set(axes)) != len(axes):
        raise FunctransValueError(f"reduce: dimensions={tuple(dimensions)} names an axis twice, at {here()}")
    return axes


def _reduced(
    body: Body, operands: Sequence[Any], starts: Sequence[Any], axes: tuple[int, ...], scalars: Sequence[ArrayType]
) -> list[Any]:
    shape = type_of(operands[0]).shape
    kept = tuple([a for a in range(len(shape)) if a not in axes])
    rest = tuple([shape[a] for a in kept])
    count = math.prod([shape[a] for a in axes])
    starts = [broadcast_in_dim(s, rest) for s in starts]
    if not count:
        return starts
    lanes = math.prod(rest)
    columns = [reshape(transpose(x, (*sorted(axes), *kept)), (count, lanes)) for x in operands]
    while count > 1:
        half = count // 2
        pairs = [reshape(slice_in_dim(x, 0, 2 * half), (half, 2, lanes)) for x in columns]
        left, right = ([reshape(slice_in_dim(x, i, i + 1, 1, 1), (half * lanes,)) for x in pairs] for i in (0, 1))
        combined = [reshape(x, (half, lanes)) for x in _lanes(body, left, right, half * lanes, scalars)]
        if count % 2:
            last = [slice_in_dim(x, count - 1, count) for x in columns]
            combined = [concatenate([x, y], 0) for x, y in zip(combined, last, strict=True)]
        columns, count = combined, half + count % 2
    return _combined(body, starts, [reshape(x, rest) for x in columns], lanes, rest, scalars)


def _combined(
    body: Body, left: Sequence[Any], right: Sequence[Any], size: int, shape: tuple[int, ...], types: Sequence[ArrayType]
) -> list[Any]:
    """The function applied to corresponding elements of arrays of this shape."""
    if not shape:
        outs = replay(body.jaxpr, [*body.captured, *left, *right])
        return [convert(x, t.dtype, t.weak_type) for x, t in zip(outs, types, strict=True)]
    left, right = ([reshape(x, (size,)) for x in side] for side in (left, right))
    return [reshape(x, shape) for x in _lanes(body, left, right, size, types)]


def _lanes(body: Body, left: Sequence[Any], right: Sequence[Any], size: int, types: Sequence[ArrayType]) -> list[Any]:
    mapped = [*[False] * len(body.captured), *[True] * (2 * len(left))]
    outs, outs_mapped = vmap(body.jaxpr, Lanes(size), [*body.captured, *left, *right], mapped)
    outs = [x if m else broadcast_in_dim(x, (size,)) for x, m in zip(outs, outs_mapped, strict=True)]
    return [convert(x, t.dtype, t.weak_type) for x, t in zip(outs, types, strict=True)]


def _monoid(body: Body, types: Sequence[ArrayType]) -> tuple[Callable[..., Any], Callable[[Any], Any]] | None:
    """The reduction, and the neutral element, of a function that is one operation on its two arguments."""
    jaxpr = body.jaxpr
    if types[0].dtype.kind == "c" and jaxpr.equations and type(jaxpr.equations[0].op) in (Max, Min):
        return None  # complex numbers are compared as pairs by the operation, and not by the reductions
    if len(jaxpr.equations) != 1 or len(jaxpr.inputs) != 2 or len(jaxpr.outputs) != 1:
        return None
    eqn = jaxpr.equations[0]
    if set(eqn.inputs) != set(jaxpr.inputs) or jaxpr.outputs[0] is not eqn.outputs[0]:
        return None
    return _MONOIDS.get(type(eqn.op))


def _is_neutral(start: Any, neutral: Any) -> bool:
    return type(start) is not Tracer and bool(np.asarray(getattr(start, "value", start)) == neutral)
