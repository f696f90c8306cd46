"""The user's loops: ``scan`` and ``map``, ``while_loop`` and ``fori_loop``, with JAX's signatures and meaning."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jax.tree_util import tree_structure

from functrans.control.bodies import (
    Body,
    Leaf,
    check_same_results,
    converted,
    function_name,
    operand_types,
    plain_python,
    promoted_carry,
    rebuild,
    trace_body,
)
from functrans.control.holding import permuted
from functrans.control.scan import Scan
from functrans.errors import ConcretizationError, FunctransTypeError, FunctransValueError
from functrans.ir.types import ArrayType, array_type, describe, type_of
from functrans.trace.builder import Tracer, bind_all
from functrans.trace.frames import here

_SCAN_REMEDY = (
    "The body of a loop is traced once for all its steps, so nothing in it has a value: use functrans.lax.cond or "
    "functrans.numpy.where to choose inside the body, functrans.lax.while_loop inside it to repeat. (A plain Python loop keeps "
    "its values in un-jitted code.)"
)


def _carry_leaves(tree: Any, leaves: Sequence[Any], types: Sequence[ArrayType], paths: Sequence[str]) -> list[Leaf]:
    return [Leaf(path, t) for path, t in zip(paths, types, strict=True)]


# -- scan --------------------------------------------------------------------------------------------------------------


def scan(
    f: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    unroll: int | bool = 1,
    _split_transpose: bool = False,
) -> tuple[Any, Any]:
    """Apply ``carry, y = f(carry, x)`` along the leading axis of ``xs``, and stack the ``y``.

    Args:
      f: a function of the carry and a slice of ``xs``; it returns the next carry, of the same tree, shapes and dtypes, and
        a pytree of arrays. It is traced once and may close over traced values.
      init: the first carry, a pytree of arrays. Python numbers take the dtype that ``f`` gives them.
      xs: a pytree of arrays ``[length, ...]``, or None.
      length: the number of steps; needed where ``xs`` is None.
      reverse: go from the last slice to the first; ``ys[i]`` belongs to ``xs[i]`` all the same.
      unroll: how many steps to write into one turn of the compiled loop; True: all of them.

    Returns:
      ``(carry, ys)``: the last carry, and the stacked results ``[length, ...]``.

    Raises:
      TypeError: the carry changes its tree, shape or dtype, or ``f`` returns no pair. ValueError: leading axes disagree.

    >>> import functrans as ft, numpy as np
    >>> total, sums = ft.lax.scan(lambda s, x: (s + x, s + x), 0.0, np.arange(1.0, 5.0, dtype='float32'))
    >>> float(total), [float(s) for s in sums]
    (10.0, [1.0, 3.0, 6.0, 10.0])
    """
    if not callable(f):
        raise FunctransTypeError(f"scan needs a function as its first argument, got {describe(f)} at {here()}")
    carry, carry_tree, carry_types = operand_types("the initial carry of scan", init)
    slices, xs_tree, xs_types = operand_types("xs of scan", xs)
    length = _scan_length(xs_types, length)
    unroll = _unroll(unroll, length)
    name = function_name(f)
    if plain_python():
        return _scan_in_python(f, init, slices, xs_tree, length, reverse)
    purpose = f"the body of scan ({name})"
    x_types = [array_type(t.shape[1:], t.dtype, t.weak_type) for t in xs_types]

    def arguments(inputs: Sequence[Any]) -> tuple[Any, Any]:
        return rebuild(carry_tree, inputs[: len(carry)]), rebuild(xs_tree, inputs[len(carry) :])

    shape: list[Any] = []

    def body(current: Any, x: Any) -> tuple[Any, Any]:
        result = f(current, x)
        if not isinstance(result, tuple | list) or len(result) != 2:
            raise FunctransTypeError(
                f"{purpose} must return a pair (carry, y), it returned {describe(result)} at {here()}\n"
                "Write `return carry, None` where there is nothing to stack."
            )
        shape[:] = [tree_structure(result[0]), tree_structure(result[1])]
        return result[0], result[1]

    def traced(types: Sequence[ArrayType]) -> Body:
        return trace_body(body, [*types, *x_types], arguments, purpose, _SCAN_REMEDY)

    found, carry_types = _steady(traced, carry_types, lambda _: shape[0].num_leaves)
    count = shape[0].num_leaves
    leaves = [Leaf(leaf.path.removeprefix("[0]"), leaf.type) for leaf in found.leaves[:count]]
    _check_carry("scan", name, init, carry_tree, carry_types, leaves, shape[0])
    carry = [converted(x, type_of(x), t) for x, t in zip(carry, carry_types, strict=True)]
    op = Scan(found.jaxpr, length, bool(reverse), unroll, len(found.captured), count)
    results = bind_all(op, [*found.captured, *carry, *slices])
    return rebuild(carry_tree, results[:count]), rebuild(shape[1], results[count:])


def _steady(
    traced: Callable[[Sequence[ArrayType]], Body], types: list[ArrayType], count: Callable[[Body], int]
) -> tuple[Body, list[ArrayType]]:
    """Trace a body, again while weak initial values of the carry have to take another dtype."""
    found = traced(types)
    for _ in range(3):
        if count(found) != len(types):
            break
        promoted = promoted_carry(types, found.leaves[: len(types)])
        if promoted == types:
            break
        types = promoted
        found = traced(types)
    return found, types


def _check_carry(
    what: str, name: str, init: Any, tree: Any, types: Sequence[ArrayType], leaves: Sequence[Leaf], new_tree: Any
) -> None:
    from jax.tree_util import keystr, tree_flatten_with_path

    before = [Leaf(keystr(path), t) for (path, _), t in zip(tree_flatten_with_path(init)[0], types, strict=True)]
    check_same_results(
        what, "the carry going in", before, tree, f"the carry that {name} returns", leaves, new_tree,
        "the carry must keep its tree, shapes and dtypes from step to step",
    )  # fmt: skip


def _scan_length(types: Sequence[ArrayType], length: Any) -> int:
    for t in types:
        if not t.shape:
            raise FunctransValueError(
                f"scan got a scalar ({t}) in xs, which has no leading axis to go along, at {here()}\n"
                "Pass arrays [length, ...] in xs, close over what is the same for all steps, or give length= alone."
            )
    sizes = [t.shape[0] for t in types]
    if length is not None:
        if type(length) is Tracer:
            raise ConcretizationError(
                f"the length of scan must be a plain integer, and it is a traced value of type {length.type} at {here()}\n"
                "Use functrans.lax.while_loop or functrans.lax.fori_loop where the number of steps is computed."
            )
        wanted = int(length)
        if any(n != wanted for n in sizes):
            raise FunctransValueError(f"scan got length={wanted}, and xs with leading axes {sizes}, at {here()}")
        if wanted < 0:
            raise FunctransValueError(f"scan got length={wanted}, which is negative, at {here()}")
        return wanted
    if not sizes:
        raise FunctransValueError(f"scan got no xs and no length, at {here()}\nPass length= for a loop without xs.")
    if len(set(sizes)) > 1:
        raise FunctransValueError(
            f"scan got xs with different leading axes, {sizes} (types {', '.join(map(str, types))}), at {here()}\n"
            "Every array in xs needs the same leading size: it is the number of steps."
        )
    return sizes[0]


def _unroll(unroll: int | bool, length: int) -> int:
    if isinstance(unroll, bool):
        return max(length, 1) if unroll else 1
    if not isinstance(unroll, int | np.integer):
        raise FunctransTypeError(f"unroll must be a bool or a positive integer, got {describe(unroll)} at {here()}")
    if unroll < 0:
        raise FunctransValueError(f"unroll must be a bool or a positive integer, got {unroll} at {here()}")
    return max(int(unroll), 1)


def _scan_in_python(
    f: Callable[..., Any], carry: Any, xs: Sequence[Any], tree: Any, length: int, reverse: bool
) -> tuple[Any, Any]:
    raise NotImplementedError


# -- map ---------------------------------------------------------------------------------------------------------------


def map(f: Callable[[Any], Any], xs: Any, *, batch_size: int | None = None) -> Any:
    """``f`` of each slice along the leading axis of ``xs``, one after the other, stacked.

    >>> import functrans as ft, numpy as np
    >>> [float(y) for y in ft.lax.map(lambda x: x * x, np.arange(3.0, dtype='float32'))]
    [0.0, 1.0, 4.0]
    """
    if batch_size is not None:
        raise NotImplementedError
    _, ys = scan(lambda _, x: ((), f(x)), (), xs)
    return ys
