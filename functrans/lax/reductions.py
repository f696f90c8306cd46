"""Reductions and scans by a function that the user gives, under the names of ``jax.lax``."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax

from functrans.errors import FunctransTypeError, FunctransValueError
from functrans.ir.types import type_of
from functrans.lax.computations import Computation
from functrans.ops import reductions
from functrans.ops.cumulative import prefix_scan
from functrans.ops.slicing import canonical_axis, concatenate, rev, slice_in_dim
from functrans.ops.structural import broadcast_in_dim, reduce_sum, reshape, transpose

_KINDS = {
    "sum": reduce_sum, "prod": reductions.reduce_prod, "max": reductions.reduce_max, "min": reductions.reduce_min,
    "and": reductions.reduce_and, "or": reductions.reduce_or,
}  # fmt: skip


def reduce(
    operands: Any, init_values: Any, computation: Callable[[Any, Any], Any], dimensions: Sequence[int],
    out_sharding: Any = None,
) -> Any:  # fmt: skip
    """An array (or a pytree of arrays of one shape) reduced over ``dimensions`` by an associative function.

    Args:
      operands: an array or a pytree of arrays of one shape.
      init_values: a scalar for each: the neutral element, with which each reduction starts.
      computation: a function of two scalars (or two pytrees of them) that gives one.
      dimensions: the axes.

    Sums, products, extrema and logical operations are single operations; any other function is applied in a number of
    steps logarithmic in the number of elements, and may be differentiated to any order.

    Raises:
      TypeError: trees or shapes that differ.
      ValueError: no such axis, or one named twice.

    >>> from functrans import lax
    >>> import numpy as np
    >>> lax.reduce(np.float32([[1, 2], [3, 4]]), 0., lax.add, (1,)).tolist()
    [3.0, 7.0]
    >>> lax.reduce(np.float32([1, 2, 4]), 0., lambda a, b: a + b + a * b, (0,)).tolist()
    29.0
    """
    if out_sharding is not None:
        raise NotImplementedError("reduce: out_sharding is not supported")
    computed = Computation("reduce", operands, init_values, computation)
    shape = computed.types[0].shape
    axes = tuple([canonical_axis("reduce", a, len(shape)) for a in dimensions])
    if len(set(axes)) != len(axes):
        raise FunctransValueError(f"reduce: dimensions {tuple(dimensions)} name one axis twice")
    if computed.known is not None:
        return computed.result([_KINDS[computed.known](computed.operands[0], axes)])
    kept = tuple([a for a in range(len(shape)) if a not in axes])
    lead = tuple([shape[a] for a in kept])
    count = math.prod(shape[a] for a in axes)
    starts = [broadcast_in_dim(s, lead, ()) for s in computed.starts]
    if not count:
        return computed.result(starts)
    values = [reshape(transpose(x, (*axes, *kept)), (count, *lead)) for x in computed.operands]
    while count > 1:  # neighbours together; an odd one out waits at the end

        def part(xs: Sequence[Any], start: int, stop: int, step: int = 1) -> list[Any]:
            return [slice_in_dim(x, start, stop, step) for x in xs]

        pairs = computed.combine(part(values, 0, count - 1, 2), part(values, 1, count, 2))
        if count % 2:
            last = part(values, count - 1, count)
            pairs = [concatenate([p, x], 0) for p, x in zip(pairs, last, strict=True)]
        values, count = pairs, (count + 1) // 2
    return computed.result(computed.combine(starts, [reshape(x, lead) for x in values]))


def associative_scan(fn: Callable[[Any, Any], Any], elems: Any, reverse: bool = False, axis: int = 0) -> Any:
    """All prefixes of arrays under an associative function, in logarithmic depth.

    Args:
      fn: (a, b) -> c, pytrees of arrays like ``elems`` along any number of places of the axis at once.
      elems: an array or a pytree of arrays with ``axis`` of one size.
      reverse: suffixes instead.
      axis: the axis to scan along.

    Returns:
      A pytree like ``elems``: place i holds fn over the elements up to i.

    Raises:
      TypeError: ``fn`` is not callable.
      ValueError: no arrays, or sizes that differ.

    >>> from functrans import lax
    >>> import numpy as np
    >>> lax.associative_scan(lax.add, np.float32([1, 2, 3])).tolist()
    [1.0, 3.0, 6.0]
    """
    if not callable(fn):
        raise FunctransTypeError(f"associative_scan: fn must be callable, got {fn!r}")
    leaves, tree = jax.tree.flatten(elems)
    if not leaves:
        raise FunctransValueError("associative_scan: at least one array is needed")
    axis = canonical_axis("associative_scan", axis, type_of(leaves[0]).ndim)
    sizes = {type_of(x).shape[axis] for x in leaves}
    if len(sizes) > 1:
        shapes = ", ".join(str(type_of(x).shape) for x in leaves)
        raise FunctransValueError(f"associative_scan: arrays must have one size along axis {axis}, got shapes {shapes}")

    def combine(earlier: Sequence[Any], later: Sequence[Any]) -> list[Any]:
        out, out_tree = jax.tree.flatten(fn(jax.tree.unflatten(tree, earlier), jax.tree.unflatten(tree, later)))
        if out_tree != tree:  # type: ignore[operator]
            raise FunctransTypeError(f"associative_scan: fn must return the tree {tree}, got {out_tree}")
        return out

    values = [rev(x, (axis,)) for x in leaves] if reverse else leaves
    outs = prefix_scan(combine, values, axis)
    return jax.tree.unflatten(tree, [rev(x, (axis,)) for x in outs] if reverse else outs)
